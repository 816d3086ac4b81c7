//! When a CronJob is due (upstream `pkg/controller/cronjob/utils.go`). All times are seconds since
//! 1970: schedules know no fractions.

use seatrial_api::cron::Schedule;
use seatrial_api::time_zone::TimeZone;

/// More missed due times than this are warned about.
const MISSED_MAX: i64 = 100;

/// What a CronJob's schedule is reckoned from.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    /// The schedule.
    pub schedule: &'a Schedule,
    /// Its time zone.
    pub zone: &'a TimeZone,
    /// When the CronJob was created.
    pub created_s: i64,
    /// The due time of its newest Job.
    pub last_s: Option<i64>,
    /// For how many seconds after its due time a Job is still started.
    pub deadline_s: Option<i64>,
    /// Now.
    pub now_s: i64,
}

/// The due time that was missed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// None was missed.
    NotYet,
    /// This one, the last of few.
    At(i64),
    /// This one, the last of too many.
    AtAfterMany(i64),
    /// Some were missed, none of them in time.
    Past,
    /// The schedule names no time, or two at once.
    Impossible,
}

impl Clock<'_> {
    fn next(&self, after_s: i64) -> Option<i64> {
        self.schedule.next(after_s, self.zone)
    }

    /// From when on due times count.
    fn earliest_s(&self, with_deadline: bool) -> i64 {
        let since = self.last_s.unwrap_or(self.created_s);
        match self.deadline_s.filter(|_| with_deadline) {
            Some(deadline_s) => since.max(self.now_s.saturating_sub(deadline_s)),
            None => since,
        }
    }

    /// The due time for which a Job is to be started now.
    pub fn due(&self) -> Due {
        self.missed(true)
    }

    fn missed(&self, with_deadline: bool) -> Due {
        let earliest_s = self.earliest_s(with_deadline);
        let Some(first) = self.next(earliest_s) else { return Due::Impossible };
        if self.now_s < first {
            return Due::NotYet;
        }
        let Some(second) = self.next(first) else { return Due::At(first) };
        if self.now_s < second {
            return Due::At(first);
        }
        let interval = second - first;
        if interval < 1 {
            return Due::Impossible;
        }
        // Not one by one: as many intervals as fit, and the rest by the schedule.
        let missed = (self.now_s - first) / interval + 1;
        let mut last = None;
        let mut candidate = self.next(first + (missed - 2) * interval);
        while let Some(time) = candidate.filter(|time| *time <= self.now_s) {
            last = Some(time);
            candidate = self.next(time);
        }
        match last {
            Some(last) if missed > MISSED_MAX => Due::AtAfterMany(last),
            Some(last) => Due::At(last),
            None => Due::Past,
        }
    }

    /// The first due time after now, for which the CronJob is looked at again.
    pub fn next_due_s(&self) -> Option<i64> {
        let from = match self.missed(false) {
            Due::NotYet => self.earliest_s(false),
            Due::At(last) | Due::AtAfterMany(last) => last,
            Due::Past | Due::Impossible => self.now_s,
        };
        self.next(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;

    fn clock<'a>(schedule: &'a Schedule, zone: &'a TimeZone) -> Clock<'a> {
        Clock { schedule, zone, created_s: 10, last_s: None, deadline_s: None, now_s: 30 }
    }

    #[test]
    fn only_the_last_missed_time_counts() {
        let (schedule, zone) = (Schedule::parse("* * * * *").unwrap(), TimeZone::utc());
        let clock = clock(&schedule, &zone);
        for (last_s, deadline_s, now_s, due, next) in [
            (None, None, 30, Due::NotYet, 60),
            (None, None, 60, Due::At(60), 120),
            (None, None, 119, Due::At(60), 120),
            (None, None, 190, Due::At(180), 240),
            (Some(60), None, 119, Due::NotYet, 120),
            (Some(60), None, 250, Due::At(240), 300),
            (Some(0), None, 101 * MINUTE, Due::AtAfterMany(101 * MINUTE), 102 * MINUTE),
            // The deadline hides what is older.
            (Some(60), Some(30), 200, Due::At(180), 240),
            (Some(60), Some(10), 200, Due::NotYet, 240),
            (Some(60), Some(0), 180, Due::NotYet, 240),
            (Some(0), Some(60), 101 * MINUTE, Due::At(101 * MINUTE), 102 * MINUTE),
        ] {
            let clock = Clock { last_s, deadline_s, now_s, ..clock };
            assert_eq!(
                (clock.due(), clock.next_due_s()),
                (due, Some(next)),
                "{last_s:?} {deadline_s:?} {now_s}"
            );
        }
    }

    #[test]
    fn irregular_schedules_are_reckoned_by_their_first_interval() {
        // Working days at 6:30, 10:30 and 14:30; 1970 began on a Thursday.
        let (schedule, zone) = (Schedule::parse("30 6-16/4 * * 1-5").unwrap(), TimeZone::utc());
        let at = |day: i64, hour: i64| day * 86_400 + hour * 3_600 + 30 * MINUTE;
        let clock = Clock { created_s: 0, ..clock(&schedule, &zone) };
        for (now_s, due, next) in [
            (at(0, 12), Due::At(at(0, 10)), at(0, 14)),
            (at(1, 11), Due::At(at(1, 10)), at(1, 14)),
            // By the first interval there should have been one on Saturday: the last one is lost.
            (at(2, 12), Due::Past, at(4, 6)),
            (at(4, 7), Due::At(at(4, 6)), at(4, 10)),
        ] {
            let clock = Clock { now_s, ..clock };
            assert_eq!((clock.due(), clock.next_due_s()), (due, Some(next)), "{now_s}");
        }
    }

    #[test]
    fn a_day_that_never_comes_is_no_schedule() {
        let (schedule, zone) = (Schedule::parse("59 23 31 2 *").unwrap(), TimeZone::utc());
        let clock = clock(&schedule, &zone);
        assert_eq!((clock.due(), clock.next_due_s()), (Due::Impossible, None));
    }
}
