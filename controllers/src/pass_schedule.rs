//! The instants at which a controller with a fixed pause between its passes looks at the cluster.
//!
//! Upstream waits a pause from the end of one pass to the start of the next (`wait.Until`), so
//! passes drift by their own duration. Here passes in which nothing can happen are not played:
//! their instants are computed, and only the passes that may change something cost an event.

use seatrial_api::units::{SimTime, Span};

/// How long a pass takes that changes nothing.
///
/// Model: a few milliseconds, as recorded for small clusters. Without any drift the strict
/// comparison with the grace period would find every node a whole period later than upstream.
const IDLE_PASS: Span = Span::from_millis(2);

/// How many stretches of passes are remembered, for leases whose end is told late.
const STRETCHES_KEPT: usize = 8;

/// A stretch of passes without interruption: one every period from `first`, up to `last` if the
/// stretch has ended.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: SimTime,
    last: Option<SimTime>,
}

/// The instants of all passes, past and to come.
#[derive(Clone, Debug)]
pub(crate) struct PassSchedule {
    period: Span,
    stretches: Vec<Stretch>,
}

impl PassSchedule {
    /// Passes from `first` on, `pause` after each other.
    pub(crate) fn new(first: SimTime, pause: Span) -> PassSchedule {
        PassSchedule { period: pause + IDLE_PASS, stretches: vec![Stretch { first, last: None }] }
    }

    /// The first pass at or after `instant`; of those forgotten, the earliest remembered one.
    pub(crate) fn at_or_after(&self, instant: SimTime) -> SimTime {
        let reaches = |stretch: &&Stretch| stretch.last.is_none_or(|last| instant <= last);
        let stretch =
            self.stretches.iter().find(reaches).unwrap_or(&self.stretches[self.stretches.len() - 1]);
        let ahead = (instant - stretch.first).nanos();
        if ahead <= 0 {
            return stretch.first;
        }
        let periods = (ahead - 1) / self.period.nanos() + 1;
        let pass = stretch.first + self.period.times(periods);
        // The last pass of an ended stretch was played, so it may lie off the stretch's grid only
        // by being its last point.
        stretch.last.map_or(pass, |last| pass.min(last))
    }

    /// The first pass after `instant`.
    pub(crate) fn after(&self, instant: SimTime) -> SimTime {
        self.at_or_after(instant + Span::from_nanos(1))
    }

    /// The pass that began at `began` has ended at `ended`: the next one follows a pause later.
    pub(crate) fn end_of_pass(&mut self, began: SimTime, ended: SimTime) {
        let pause = self.period - IDLE_PASS;
        if ended - began <= IDLE_PASS {
            return;
        }
        if let Some(stretch) = self.stretches.last_mut() {
            stretch.last = Some(began);
        }
        self.stretches.push(Stretch { first: ended + pause, last: None });
        if self.stretches.len() > STRETCHES_KEPT {
            self.stretches.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: i64) -> SimTime {
        SimTime::ZERO + Span::from_millis(millis)
    }

    #[test]
    fn idle_passes_are_computed_with_their_drift() {
        let schedule = PassSchedule::new(millis(1_000), Span::from_secs(5));
        for (asked, expected) in [(0, 1_000), (1_000, 1_000), (1_001, 6_002), (6_002, 6_002), (6_003, 11_004)]
        {
            assert_eq!(schedule.at_or_after(millis(asked)), millis(expected), "at or after {asked} ms");
        }
        assert_eq!(schedule.after(millis(6_002)), millis(11_004));
    }

    #[test]
    fn ten_idle_passes_take_longer_than_the_grace_period() {
        let schedule = PassSchedule::new(SimTime::ZERO, Span::from_secs(5));
        let probe = schedule.at_or_after(millis(3_000));
        let found = schedule.after(probe + Span::from_secs(50));
        assert_eq!(found - probe, Span::from_millis(50_020));
    }

    #[test]
    fn a_pass_that_takes_its_time_moves_the_later_ones_and_leaves_the_earlier_ones() {
        let mut schedule = PassSchedule::new(SimTime::ZERO, Span::from_secs(5));
        schedule.end_of_pass(millis(10_004), millis(10_150));
        for (asked, expected) in [(4_000, 5_002), (5_003, 10_004), (10_005, 15_150), (15_151, 20_152)] {
            assert_eq!(schedule.at_or_after(millis(asked)), millis(expected), "at or after {asked} ms");
        }
    }

    #[test]
    fn what_lies_before_the_memory_counts_as_its_first_pass() {
        let mut schedule = PassSchedule::new(SimTime::ZERO, Span::from_secs(5));
        for pass in 1..=20 {
            schedule.end_of_pass(millis(pass * 5_100), millis(pass * 5_100 + 100));
        }
        assert!(schedule.at_or_after(SimTime::ZERO) > millis(5_100));
    }
}
