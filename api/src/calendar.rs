//! Dates: the calendar that virtual time has.
//!
//! Kubernetes stores times as RFC 3339 in UTC, whole seconds in most places and microseconds in
//! leases. The Gregorian calendar is reckoned backwards without end, and there are no leap
//! seconds. Time zones are not here: who needs one turns it into an offset first.

use crate::units::{NANOS_PER_SECOND, SimTime};
use std::fmt;

/// Maps instants of a run to dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Seconds from 1970 to the start of the run.
    start_s: i64,
}

/// Why a text is no date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateError {
    /// It is not in the format of RFC 3339.
    Malformed,
    /// There is no such day, hour, minute or second.
    NoSuchTime,
    /// It is more than 292 years away from the start of the run.
    OutOfRange,
}

impl fmt::Display for DateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DateError::Malformed => "not a time such as 2030-01-01T00:00:00Z",
            DateError::NoSuchTime => "there is no such day or time of day",
            DateError::OutOfRange => "more than 292 years away from the start of the run",
        })
    }
}

impl std::error::Error for DateError {}

/// A moment in the calendar, without a run to which it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// A day of the Gregorian calendar and a time of day, in UTC or in whatever zone it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime {
    /// The year; 0 and below are years before the common era.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
}

impl Default for Calendar {
    /// A run that starts at 2030-01-01T00:00:00Z, a Tuesday.
    fn default() -> Calendar {
        Calendar { start_s: days_from_civil(2030, 1, 1) * DAY_S }
    }
}

const DAY_S: i64 = 86_400;

impl Calendar {
    /// A run that starts at `start`, truncated to the second.
    pub fn starting_at(start: Timestamp) -> Calendar {
        Calendar { start_s: start.seconds }
    }

    /// When the run starts.
    pub fn start(&self) -> Timestamp {
        Timestamp { seconds: self.start_s, nanos: 0 }
    }

    /// The date of an instant.
    pub fn timestamp(&self, time: SimTime) -> Timestamp {
        let seconds = self.start_s.saturating_add(time.nanos().div_euclid(NANOS_PER_SECOND));
        Timestamp { seconds, nanos: time.nanos().rem_euclid(NANOS_PER_SECOND) as u32 }
    }

    /// The instant of a date.
    ///
    /// # Errors
    /// [`DateError::OutOfRange`] if it is more than 292 years away from the start.
    pub fn instant(&self, timestamp: Timestamp) -> Result<SimTime, DateError> {
        let since_start = i128::from(timestamp.seconds) - i128::from(self.start_s);
        let nanos = since_start * i128::from(NANOS_PER_SECOND) + i128::from(timestamp.nanos);
        i64::try_from(nanos).map(SimTime::from_nanos).map_err(|_| DateError::OutOfRange)
    }

    /// The instant that a text in the format of RFC 3339 names.
    ///
    /// # Errors
    /// If the text names no time, or one too far away.
    pub fn parse(&self, text: &str) -> Result<SimTime, DateError> {
        self.instant(Timestamp::parse(text)?)
    }

    /// The instant as Kubernetes stores it in most places, in whole seconds: `2030-01-01T00:00:00Z`.
    pub fn format(&self, time: SimTime) -> String {
        Timestamp { nanos: 0, ..self.timestamp(time) }.to_string()
    }

    /// The instant as leases store it: `2030-01-01T00:00:00.000000Z`.
    pub fn format_micros(&self, time: SimTime) -> String {
        let timestamp = self.timestamp(time);
        format!("{}.{:06}Z", timestamp.date_time(), timestamp.nanos / 1_000)
    }
}

impl Timestamp {
    /// Reads a time in the format of RFC 3339: `2030-01-01T00:00:00Z`, with or without a fraction
    /// of the second, with `Z` or an offset. Digits beyond the ninth of a fraction are dropped.
    ///
    /// # Errors
    /// If the text has another format, or names a day or a time of day that does not exist.
    pub fn parse(text: &str) -> Result<Timestamp, DateError> {
        let mut rest = text.as_bytes();
        let year = i64::from(digits(&mut rest, 4)?);
        let month = separated(&mut rest, b"-", 2)?;
        let day = separated(&mut rest, b"-", 2)?;
        let hour = separated(&mut rest, b"Tt", 2)?;
        let minute = separated(&mut rest, b":", 2)?;
        let second = separated(&mut rest, b":", 2)?;
        let nanos = fraction(&mut rest)?;
        let offset_s = offset(rest)?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return Err(DateError::NoSuchTime);
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(DateError::NoSuchTime);
        }
        let local = DateTime { year, month, day, hour, minute, second };
        let timestamp = Timestamp { seconds: local.seconds() - offset_s, nanos };
        // An offset can lead out of the years that the format can express.
        if !(0..=9999).contains(&timestamp.date_time().year) {
            return Err(DateError::NoSuchTime);
        }
        Ok(timestamp)
    }

    /// The day and the time of day in UTC.
    pub fn date_time(self) -> DateTime {
        DateTime::from_seconds(self.seconds)
    }
}

impl fmt::Display for Timestamp {
    /// `2030-01-01T00:00:00Z`, with a fraction of the second only if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date_time())?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl DateTime {
    /// The day and time of day that is `seconds` after the beginning of 1970.
    pub fn from_seconds(seconds: i64) -> DateTime {
        let (days, rest) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S) as u32);
        let (year, month, day) = civil_from_days(days);
        DateTime { year, month, day, hour: rest / 3_600, minute: rest / 60 % 60, second: rest % 60 }
    }

    /// Seconds since the beginning of 1970.
    pub fn seconds(self) -> i64 {
        let of_day = i64::from(self.hour) * 3_600 + i64::from(self.minute) * 60 + i64::from(self.second);
        days_from_civil(self.year, self.month, self.day) * DAY_S + of_day
    }

    /// The day of the week, from 0 for Sunday, as cron counts.
    pub fn weekday(self) -> u32 {
        // The first of January 1970 was a Thursday.
        (days_from_civil(self.year, self.month, self.day) + 4).rem_euclid(7) as u32
    }
}

impl fmt::Display for DateTime {
    /// `2030-01-01T00:00:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DateTime { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// The days of a month of the Gregorian calendar.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Years are counted from March, so that the leap day is the last day of its year, in eras of 400
/// years, which all have the same number of days.
const DAYS_PER_ERA: i64 = 146_097;

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// Days since 1970-01-01.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970
}

/// Year, month and day, from the days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

fn digits(rest: &mut &[u8], count: usize) -> Result<u32, DateError> {
    let (number, after) = rest.split_at_checked(count).ok_or(DateError::Malformed)?;
    if !number.iter().all(u8::is_ascii_digit) {
        return Err(DateError::Malformed);
    }
    *rest = after;
    Ok(number.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

fn separated(rest: &mut &[u8], separators: &[u8], count: usize) -> Result<u32, DateError> {
    match rest.split_first() {
        Some((byte, after)) if separators.contains(byte) => *rest = after,
        _ => return Err(DateError::Malformed),
    }
    digits(rest, count)
}

fn fraction(rest: &mut &[u8]) -> Result<u32, DateError> {
    let Some(after) = rest.strip_prefix(b".") else { return Ok(0) };
    let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return Err(DateError::Malformed);
    }
    *rest = &after[length..];
    let digit = |index: usize| after[..length].get(index).map_or(0, |digit| u32::from(digit - b'0'));
    Ok((0..9).fold(0, |sum, index| sum * 10 + digit(index)))
}

/// Seconds by which the zone is ahead of UTC.
fn offset(rest: &[u8]) -> Result<i64, DateError> {
    let (sign, mut after) = match rest.split_first() {
        Some((b'Z' | b'z', [])) => return Ok(0),
        Some((b'+', after)) => (1, after),
        Some((b'-', after)) => (-1, after),
        _ => return Err(DateError::Malformed),
    };
    let hours = digits(&mut after, 2)?;
    let minutes = separated(&mut after, b":", 2)?;
    if !after.is_empty() {
        return Err(DateError::Malformed);
    }
    if hours > 23 || minutes > 59 {
        return Err(DateError::NoSuchTime);
    }
    Ok(sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;
    use proptest::prelude::*;

    #[test]
    fn the_run_starts_in_2030_unless_told_otherwise() {
        let calendar = Calendar::default();
        assert_eq!(calendar.format(SimTime::ZERO), "2030-01-01T00:00:00Z");
        assert_eq!(calendar.start().date_time().weekday(), 2);
        let noon = Timestamp::parse("2024-02-29T12:00:00.9+01:00").expect("a date");
        let calendar = Calendar::starting_at(noon);
        assert_eq!(calendar.format(SimTime::ZERO), "2024-02-29T11:00:00Z");
        assert_eq!(calendar.format(SimTime::ZERO + Span::from_hours(24)), "2024-03-01T11:00:00Z");
        assert_eq!(calendar.format(SimTime::from_nanos(-1)), "2024-02-29T10:59:59Z");
        assert_eq!(calendar.format_micros(SimTime::from_nanos(1_999)), "2024-02-29T11:00:00.000001Z");
        assert_eq!(calendar.parse("2024-02-29T11:00:01.5Z"), Ok(SimTime::from_nanos(1_500_000_000)));
        assert_eq!(calendar.parse("9999-12-31T23:59:59Z"), Err(DateError::OutOfRange));
    }

    #[test]
    fn dates_are_read_as_rfc_3339_says() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01t00:00:00z", 0, 0),
            ("2000-02-29T23:59:59Z", 951_868_799, 0),
            ("2030-01-01T00:00:00.123456789123Z", 1_893_456_000, 123_456_789),
            ("2030-01-01T02:00:00+02:00", 1_893_456_000, 0),
            ("2029-12-31T18:30:00-05:30", 1_893_456_000, 0),
            ("0000-03-01T00:00:00Z", -62_162_035_200, 0),
        ] {
            assert_eq!(Timestamp::parse(text), Ok(Timestamp { seconds, nanos }), "{text}");
        }
        for text in [
            "",
            "2030-01-01",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00Zx",
            "2030-1-1T00:00:00Z",
            "2030-01-01T00:00:00+0200",
            "2030-01-01T00:00:00+02:00x",
            "２030-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), Err(DateError::Malformed), "{text}");
        }
        for text in [
            "2030-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-00-01T00:00:00Z",
            "2030-01-00T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:60:00Z",
            "2030-01-01T00:00:60Z",
            "2030-01-01T00:00:00+24:00",
            "0000-01-01T00:00:00+00:01",
        ] {
            assert_eq!(Timestamp::parse(text), Err(DateError::NoSuchTime), "{text}");
        }
    }

    #[test]
    fn each_day_of_eight_centuries_follows_the_one_before() {
        let mut day = DateTime::from_seconds(days_from_civil(1600, 1, 1) * DAY_S);
        for number in days_from_civil(1600, 1, 1) + 1..days_from_civil(2400, 1, 1) {
            let next = DateTime::from_seconds(number * DAY_S);
            let expected = if day.day < days_in_month(day.year, day.month) {
                (day.year, day.month, day.day + 1)
            } else if day.month < 12 {
                (day.year, day.month + 1, 1)
            } else {
                (day.year + 1, 1, 1)
            };
            assert_eq!((next.year, next.month, next.day), expected);
            assert_eq!(next.weekday(), (day.weekday() + 1) % 7);
            day = next;
        }
    }

    proptest! {
        #[test]
        fn instants_read_back_from_their_dates(nanos in -i64::MAX..i64::MAX) {
            let calendar = Calendar::default();
            let time = SimTime::from_nanos(nanos);
            prop_assert_eq!(calendar.parse(&calendar.timestamp(time).to_string()), Ok(time));
            prop_assert_eq!(calendar.parse(&calendar.format(time)), Ok(time.truncate_to_second()));
        }

        #[test]
        fn no_text_upsets_the_reader(text in ".{0,40}", close in "[0-9T:.Zz+-]{0,40}") {
            let _ = Timestamp::parse(&text);
            let _ = Timestamp::parse(&close);
        }
    }
}
