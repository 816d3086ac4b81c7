//! CSV back to rows.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use csv::StringRecord;
use seatrial_api::units::{NANOS_PER_SECOND, SimTime};

use crate::directory::ReadError;
use crate::explain::{EventRecord, PodRecord};

/// Reads `events.csv`.
pub(crate) fn read_events(path: &Path) -> Result<Vec<EventRecord>, ReadError> {
    let columns = ["time_s", "kind", "namespace", "name", "type", "reason", "message", "cause"];
    read(path, columns, |[time, kind, namespace, name, event, reason, message, cause]| {
        Ok(EventRecord {
            time: required_time(time)?,
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            event: event.into(),
            reason: reason.into(),
            message: message.into(),
            cause: match cause {
                "" => None,
                row => Some(row.parse().map_err(|_| format!("'{row}' is not the number of a row"))?),
            },
        })
    })
}

/// Reads `pods.csv`.
pub(crate) fn read_pods(path: &Path) -> Result<Vec<PodRecord>, ReadError> {
    let columns =
        ["namespace", "name", "owner", "node", "phase", "created_s", "reason", "message", "deleted"];
    read(path, columns, |[namespace, name, owner, node, phase, created, reason, message, deleted]| {
        Ok(PodRecord {
            namespace: namespace.into(),
            name: name.into(),
            owner: owner.into(),
            node: node.into(),
            phase: phase.into(),
            created: required_time(created)?,
            reason: reason.into(),
            message: message.into(),
            deleted: deleted == "true",
        })
    })
}

/// Reads the named columns of each row, in whatever order the file has them.
fn read<T, const N: usize>(
    path: &Path,
    columns: [&str; N],
    row: impl Fn([&str; N]) -> Result<T, String>,
) -> Result<Vec<T>, ReadError> {
    let file = File::open(path).map_err(|error| ReadError::new(path, error))?;
    let mut reader = csv::Reader::from_reader(BufReader::new(file));
    let headers = reader.headers().map_err(|error| ReadError::new(path, error))?.clone();
    let place = |column: &str| headers.iter().position(|header| header == column);
    let mut places = [0; N];
    for (index, column) in columns.iter().enumerate() {
        let missing = || ReadError::new(path, format!("there is no column '{column}'"));
        places[index] = place(column).ok_or_else(missing)?;
    }
    let mut record = StringRecord::new();
    let mut rows = Vec::new();
    while reader.read_record(&mut record).map_err(|error| ReadError::new(path, error))? {
        let fields = places.map(|place| record.get(place).unwrap_or_default());
        let line = record.position().map_or(0, csv::Position::line);
        let parsed = row(fields).map_err(|what| ReadError::new(path, format!("line {line}: {what}")))?;
        rows.push(parsed);
    }
    Ok(rows)
}

fn required_time(text: &str) -> Result<SimTime, String> {
    decimal_seconds(text).map(SimTime::from_nanos).ok_or_else(|| format!("'{text}' is not a time in seconds"))
}

/// Exact nanoseconds of decimal seconds with at most nine decimals.
fn decimal_seconds(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 9 || ![whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.checked_mul(NANOS_PER_SECOND)?.checked_add(fraction)?.checked_mul(sign)
}

impl ReadError {
    fn new(path: &Path, message: impl ToString) -> ReadError {
        ReadError { path: path.to_owned(), message: message.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amounts::push_decimal_seconds;

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "-", "1.2.3", "1e9", "0.1234567891", "9223372037", "x", "--1", "+1"] {
            assert_eq!(decimal_seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn written_times_are_read_back_exactly(nanos in -(i64::MAX)..i64::MAX) {
            let mut text = String::new();
            push_decimal_seconds(nanos, &mut text);
            prop_assert_eq!(decimal_seconds(&text), Some(nanos));
        }
    }
}
