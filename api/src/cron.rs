//! Schedules of CronJobs, in the format of cron: five fields, or one of the short forms such as
//! `@hourly` and `@every 90m` (upstream reads them with `robfig/cron`).

use std::fmt;

use crate::calendar::DateTime;
use crate::duration;
use crate::time_zone::TimeZone;
use crate::units::{NANOS_PER_SECOND, Span};

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At the times that all fields name.
    Fields(Fields),
    /// After so many seconds again and again.
    Every(i64),
}

/// The fields of a schedule: which values of each are wanted, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether days of the month or weekdays are free: then both must match, otherwise one of them.
    any_day: bool,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError(String);

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScheduleError {}

/// What a field may hold.
struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Short forms, and the fields that they stand for.
const SHORT_FORMS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// How many years ahead a time is looked for.
const YEARS_AHEAD: i64 = 5;

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// If the text is none.
    pub fn parse(text: &str) -> Result<Schedule, ScheduleError> {
        if text.starts_with('@') {
            return parse_short(text);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let &[minutes, hours, days, months, weekdays] = &fields[..] else {
            let message = format!("expected exactly 5 fields, found {}: {text:?}", fields.len());
            return Err(ScheduleError(message));
        };
        let (days, any_day_of_month) = parse_field(days, &DAYS)?;
        let (weekdays, any_weekday) = parse_field(weekdays, &WEEKDAYS)?;
        Ok(Schedule::Fields(Fields {
            minutes: parse_field(minutes, &MINUTES)?.0,
            hours: parse_field(hours, &HOURS)?.0,
            days,
            months: parse_field(months, &MONTHS)?.0,
            weekdays,
            any_day: any_day_of_month || any_weekday,
        }))
    }

    /// The first time after `after_s` in a zone, both in seconds since 1970; `None` if there is none
    /// in the next five years.
    pub fn next(&self, after_s: i64, zone: &TimeZone) -> Option<i64> {
        match self {
            Schedule::Fields(fields) => fields.next(after_s, zone),
            Schedule::Every(seconds) => after_s.checked_add(*seconds),
        }
    }
}

/// How far a search has gone, so that it begins anew when a larger unit has changed.
enum Step {
    Found,
    Again,
}

impl Fields {
    fn next(&self, after_s: i64, zone: &TimeZone) -> Option<i64> {
        let mut search = Search { at_s: after_s + 1, zone, rounded: false };
        let last_year = search.local().year + YEARS_AHEAD;
        while search.local().year <= last_year {
            if let Step::Found = search.advance(self) {
                return Some(search.at_s);
            }
        }
        None
    }

    fn admits_day(&self, day: DateTime) -> bool {
        let of_month = self.days >> day.day & 1 == 1;
        let of_week = self.weekdays >> day.weekday() & 1 == 1;
        if self.any_day { of_month && of_week } else { of_month || of_week }
    }
}

/// A search for the next time.
struct Search<'a> {
    at_s: i64,
    zone: &'a TimeZone,
    /// Whether smaller units stand at their beginning, because a larger one has been raised.
    rounded: bool,
}

impl Search<'_> {
    fn local(&self) -> DateTime {
        self.zone.local(self.at_s)
    }

    /// Goes to a local time.
    fn go(&mut self, local: DateTime) {
        self.at_s = self.zone.instant_s(local);
    }

    /// Goes to the beginning of a unit, the first time that one is raised.
    fn round(&mut self, beginning: impl FnOnce(DateTime) -> DateTime) {
        if !self.rounded {
            self.rounded = true;
            let local = beginning(self.local());
            self.go(local);
        }
    }

    /// Raises month, day, hour and minute, one after another, until each is wanted; begins again when
    /// that has changed a larger unit.
    fn advance(&mut self, fields: &Fields) -> Step {
        while fields.months >> self.local().month & 1 == 0 {
            self.round(|local| DateTime { day: 1, ..midnight(local) });
            let local = self.local();
            let (year, month) =
                if local.month == 12 { (local.year + 1, 1) } else { (local.year, local.month + 1) };
            self.go(DateTime { year, month, ..local });
            if month == 1 {
                return Step::Again;
            }
        }
        while !fields.admits_day(self.local()) {
            self.round(midnight);
            let day = DateTime::from_seconds(self.local().seconds() + 86_400);
            self.go(day);
            self.go_to_midnight();
            if self.local().day == 1 {
                return Step::Again;
            }
        }
        while fields.hours >> self.local().hour & 1 == 0 {
            self.round(|local| DateTime { minute: 0, second: 0, ..local });
            self.at_s += 3_600;
            if self.local().hour == 0 {
                return Step::Again;
            }
        }
        while fields.minutes >> self.local().minute & 1 == 0 {
            self.rounded = true;
            self.at_s += 60 - i64::from(self.local().second);
            if self.local().minute == 0 {
                return Step::Again;
            }
        }
        match i64::from(self.local().second) {
            0 => Step::Found,
            second => {
                self.rounded = true;
                self.at_s += 60 - second;
                Step::Again
            }
        }
    }

    /// A day of which midnight is skipped by a change of clocks begins a little later, or the day
    /// before ends a little earlier.
    fn go_to_midnight(&mut self) {
        match i64::from(self.local().hour) {
            0 => {}
            late @ 13.. => self.at_s += (24 - late) * 3_600,
            early => self.at_s -= early * 3_600,
        }
    }
}

fn midnight(local: DateTime) -> DateTime {
    DateTime { hour: 0, minute: 0, second: 0, ..local }
}

fn parse_short(text: &str) -> Result<Schedule, ScheduleError> {
    if let Some((_, fields)) = SHORT_FORMS.iter().find(|form| form.0 == text) {
        return Schedule::parse(fields);
    }
    let Some(every) = text.strip_prefix("@every ") else {
        return Err(ScheduleError(format!("unrecognized descriptor: {text}")));
    };
    match duration::parse(every) {
        Ok(span) if span > Span::ZERO => Ok(Schedule::Every((span.nanos() / NANOS_PER_SECOND).max(1))),
        _ => Err(ScheduleError(format!("failed to parse duration {text}"))),
    }
}

/// The wanted values of a field, and whether all are.
fn parse_field(text: &str, bounds: &Bounds) -> Result<(u64, bool), ScheduleError> {
    let (mut bits, mut all) = (0, false);
    for part in text.split(',') {
        let (part_bits, part_all) = parse_range(part, bounds)?;
        bits |= part_bits;
        all |= part_all;
    }
    Ok((bits, all))
}

/// Reads `*`, `7`, `3-9`, each with or without `/step`.
fn parse_range(text: &str, bounds: &Bounds) -> Result<(u64, bool), ScheduleError> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(parse_number(step, text)?)),
        None => (text, None),
    };
    let free = range == "*" || range == "?";
    let (first, last) = match range.split_once('-') {
        _ if free => (bounds.min, bounds.max),
        Some((first, last)) => (parse_value(first, bounds, text)?, parse_value(last, bounds, text)?),
        None => {
            let only = parse_value(range, bounds, text)?;
            (only, if step.is_some() { bounds.max } else { only })
        }
    };
    let step = step.unwrap_or(1);
    let problem = if first < bounds.min {
        Some(format!("beginning of range ({first}) below minimum ({}): {text}", bounds.min))
    } else if last > bounds.max {
        Some(format!("end of range ({last}) above maximum ({}): {text}", bounds.max))
    } else if first > last {
        Some(format!("beginning of range ({first}) beyond end of range ({last}): {text}"))
    } else if step == 0 {
        Some(format!("step of range should be a positive number: {text}"))
    } else {
        None
    };
    match problem {
        Some(problem) => Err(ScheduleError(problem)),
        None => {
            let bits = (first..=last).step_by(step as usize).fold(0, |bits, value| bits | 1 << value);
            Ok((bits, free && step == 1))
        }
    }
}

fn parse_value(text: &str, bounds: &Bounds, whole: &str) -> Result<u32, ScheduleError> {
    let named = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match named {
        Some(index) => Ok(bounds.min + index as u32),
        None => parse_number(text, whole),
    }
}

fn parse_number(text: &str, whole: &str) -> Result<u32, ScheduleError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| ScheduleError(format!("failed to parse int from {text}: {whole}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Timestamp;

    fn next(schedule: &str, zone: &str, after: &str) -> Option<String> {
        let zone = TimeZone::named(zone).expect("the zone is known");
        let after = Timestamp::parse(after).expect("a date");
        let next = Schedule::parse(schedule).expect("a schedule").next(after.seconds, &zone);
        next.map(|seconds| Timestamp { seconds, nanos: 0 }.to_string())
    }

    #[test]
    fn the_next_time_is_the_first_that_all_fields_want() {
        for (schedule, after, expected) in [
            ("* * * * *", "2030-01-01T00:00:00Z", "2030-01-01T00:01:00Z"),
            ("* * * * *", "2030-01-01T00:00:59Z", "2030-01-01T00:01:00Z"),
            ("*/15 * * * *", "2030-01-01T00:15:00Z", "2030-01-01T00:30:00Z"),
            ("7/20 * * * *", "2030-01-01T00:27:00Z", "2030-01-01T00:47:00Z"),
            ("0 6-16/4 * * *", "2030-01-01T06:00:00Z", "2030-01-01T10:00:00Z"),
            ("30 9 * * mon-fri", "2030-01-04T09:30:00Z", "2030-01-07T09:30:00Z"),
            ("0 0 29 2 *", "2030-01-01T00:00:00Z", "2032-02-29T00:00:00Z"),
            ("0 0 31 * ?", "2030-01-31T00:00:00Z", "2030-03-31T00:00:00Z"),
            // One of the two days is enough if both are named.
            ("0 0 13 * 5", "2030-01-01T00:00:00Z", "2030-01-04T00:00:00Z"),
            ("0 0 13 * 5", "2030-01-11T00:00:00Z", "2030-01-13T00:00:00Z"),
            ("0 0 */2 * 5", "2030-01-01T00:00:00Z", "2030-01-03T00:00:00Z"),
            ("15,45 12 1 JAN,jul *", "2030-01-01T12:45:00Z", "2030-07-01T12:15:00Z"),
            ("@hourly", "2030-01-01T00:00:00Z", "2030-01-01T01:00:00Z"),
            ("@weekly", "2030-01-01T00:00:00Z", "2030-01-06T00:00:00Z"),
            ("@yearly", "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
            ("@every 90s", "2030-01-01T00:00:10Z", "2030-01-01T00:01:40Z"),
        ] {
            assert_eq!(next(schedule, "UTC", after).as_deref(), Some(expected), "{schedule} after {after}");
        }
        assert_eq!(next("59 23 31 2 *", "UTC", "2030-01-01T00:00:00Z"), None);
    }

    #[test]
    fn times_are_those_of_the_zone_also_where_clocks_are_changed() {
        for (schedule, zone, after, expected) in [
            ("0 9 * * *", "Asia/Kolkata", "2030-01-01T00:00:00Z", "2030-01-01T03:30:00Z"),
            ("0 9 * * *", "Europe/Berlin", "2030-03-30T12:00:00Z", "2030-03-31T07:00:00Z"),
            // 02:30 is not there on this day.
            ("30 2 * * *", "Europe/Berlin", "2030-03-30T12:00:00Z", "2030-04-01T00:30:00Z"),
            // 02:30 is there twice on this day.
            ("30 2 * * *", "Europe/Berlin", "2030-10-26T12:00:00Z", "2030-10-27T00:30:00Z"),
            ("0 * * * *", "Europe/Berlin", "2030-10-27T00:00:00Z", "2030-10-27T01:00:00Z"),
            // Midnight is not there on this day.
            ("0 0 * * *", "America/Havana", "2030-03-09T12:00:00Z", "2030-03-11T04:00:00Z"),
        ] {
            assert_eq!(next(schedule, zone, after).as_deref(), Some(expected), "{schedule} in {zone}");
        }
    }

    #[test]
    fn texts_that_are_no_schedules_say_why() {
        for (text, message) in [
            ("* * * *", "expected exactly 5 fields, found 4: \"* * * *\""),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("x * * * *", "failed to parse int from x: x"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
            ("@every -5s", "failed to parse duration @every -5s"),
        ] {
            assert_eq!(Schedule::parse(text).map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }
}
