//! Lengths of time as people write them: `10m`, `1h30m`, `250ms`, `30d`.
//!
//! The notation is Go's (`ns`, `us` or `µs`, `ms`, `s`, `m`, `h`, any of them with a fraction),
//! with days (`d`, 24 hours) and weeks (`w`) besides. Every length that can be written can be
//! printed and read back exactly.

use crate::units::Span;
use std::fmt;

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// It is not made of numbers with units.
    Malformed,
    /// A number has no unit behind it.
    UnitMissing,
    /// There is no such unit.
    UnitUnknown,
    /// It is below zero.
    Negative,
    /// It is longer than 292 years.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DurationError::Malformed => "not a length of time such as 10m, 1h30m or 250ms",
            DurationError::UnitMissing => "a length of time needs a unit: ns, us, ms, s, m, h, d or w",
            DurationError::UnitUnknown => "not a unit of time: ns, us, ms, s, m, h, d or w",
            DurationError::Negative => "a length of time cannot be negative",
            DurationError::TooLong => "longer than 292 years",
        })
    }
}

impl std::error::Error for DurationError {}

/// The units, longest first, with their nanoseconds.
const UNITS: [(&str, i64); 9] = [
    ("w", 7 * 24 * 3_600_000_000_000),
    ("d", 24 * 3_600_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Reads a length of time. A fraction of a nanosecond is dropped.
///
/// ```
/// use seatrial_api::{duration, units::Span};
/// assert_eq!(duration::parse("1h30m"), Ok(Span::from_mins(90)));
/// assert_eq!(duration::parse("0.5s"), Ok(Span::from_millis(500)));
/// assert_eq!(duration::parse("10"), Err(duration::DurationError::UnitMissing));
/// ```
///
/// # Errors
/// If the text is no length of time, is negative, or exceeds the range of [`Span`].
pub fn parse(text: &str) -> Result<Span, DurationError> {
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Span::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut nanos = 0i128;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if number.is_empty() {
            return Err(DurationError::Malformed);
        }
        nanos += nanos_of(number, unit)?;
        if nanos > i128::from(i64::MAX) {
            return Err(DurationError::TooLong);
        }
        rest = after;
    }
    Ok(Span::from_nanos(nanos as i64))
}

fn nanos_of(number: &str, unit: &str) -> Result<i128, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.len() + fraction.len();
    if digits == 0 || fraction.contains('.') {
        return Err(DurationError::Malformed);
    }
    if unit.is_empty() {
        return Err(DurationError::UnitMissing);
    }
    // U+03BC is another way to write µ.
    let unit = if unit == "\u{3bc}s" { "us" } else { unit };
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, size) = *known.ok_or(DurationError::UnitUnknown)?;
    let whole = whole.trim_start_matches('0');
    if whole.len() > 19 {
        return Err(DurationError::TooLong);
    }
    let mut nanos =
        whole.bytes().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0')) * i128::from(size);
    let mut place = i128::from(size);
    // Beyond the 18th digit even a week has no nanoseconds left.
    let mut parts = 0i128;
    let mut scale = 1i128;
    for digit in fraction.bytes().take(18) {
        parts = parts * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    place *= parts;
    nanos += place / scale;
    Ok(nanos)
}

/// Writes `span` exactly, in the units in which [`parse`] reads it: `1h30m`, `1.5s`, `30d`.
pub fn to_text(span: Span) -> String {
    let nanos = span.nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut text = if nanos < 0 { "-".to_owned() } else { String::new() };
    let mut rest = nanos.unsigned_abs();
    for (unit, size) in UNITS.iter().skip(1).take(3) {
        let count = rest / *size as u64;
        rest %= *size as u64;
        if count > 0 {
            text += &format!("{count}{unit}");
        }
    }
    // What is left is less than a minute: one number, in the largest unit that it reaches.
    for (unit, size) in UNITS.iter().skip(4) {
        let size = *size as u64;
        if rest == 0 || rest < size {
            continue;
        }
        let places = size.ilog10() as usize;
        let number = format!("{}.{:0places$}", rest / size, rest % size);
        let number = if places == 0 { number.trim_end_matches(".0") } else { number.trim_end_matches('0') };
        text += &format!("{}{unit}", number.trim_end_matches('.'));
        break;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time_are_read_as_go_reads_them_with_days_and_weeks() {
        for (text, nanos) in [
            ("0", 0),
            ("10m", 600_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("+1.5h", 5_400_000_000_000),
            ("250ms", 250_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3\u{3bc}s", 3_000),
            ("7ns", 7),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("30d", 2_592_000_000_000_000),
            ("2w1d", 1_296_000_000_000_000),
            ("0.0000000009s", 0),
            ("1m1m", 120_000_000_000),
            ("9223372036854775807ns", i64::MAX),
        ] {
            assert_eq!(parse(text), Ok(Span::from_nanos(nanos)), "{text}");
        }
        for (text, error) in [
            ("", DurationError::Malformed),
            ("+", DurationError::Malformed),
            ("m", DurationError::Malformed),
            (".s", DurationError::Malformed),
            ("1.2.3s", DurationError::Malformed),
            (" 1s", DurationError::Malformed),
            ("10", DurationError::UnitMissing),
            ("1m10", DurationError::UnitMissing),
            ("10 m", DurationError::UnitUnknown),
            ("10min", DurationError::UnitUnknown),
            ("1y", DurationError::UnitUnknown),
            ("-1s", DurationError::Negative),
            ("9223372036854775808ns", DurationError::TooLong),
            ("99999999999999999999s", DurationError::TooLong),
            ("300w99999999999999999999s", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn lengths_of_time_are_printed_shortly() {
        for (span, text) in [
            (Span::ZERO, "0s"),
            (Span::from_mins(90), "1h30m"),
            (Span::from_millis(1_500), "1.5s"),
            (Span::from_millis(250), "250ms"),
            (Span::from_nanos(1_500), "1.5us"),
            (Span::from_nanos(10), "10ns"),
            (Span::from_hours(24 * 30), "30d"),
            (Span::from_secs(90_061), "1d1h1m1s"),
            (Span::from_secs(-5), "-5s"),
        ] {
            assert_eq!(to_text(span), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_the_same(nanos in 0..i64::MAX) {
            prop_assert_eq!(parse(&to_text(Span::from_nanos(nanos))), Ok(Span::from_nanos(nanos)));
        }

        #[test]
        fn no_text_upsets_the_reader(text in ".{0,20}", numbers in "[0-9.]{0,40}(ns|us|ms|s|m|h|d|w){0,2}") {
            let _ = parse(&text);
            let _ = parse(&numbers);
        }
    }
}
