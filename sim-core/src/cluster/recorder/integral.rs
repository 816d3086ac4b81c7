//! The time integral of a value that changes in steps.

use seatrial_api::units::{SimTime, Span};

/// A value and its integral over time, in units times nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Integral {
    value: i64,
    since: SimTime,
    area: i128,
}

impl Integral {
    /// The value changes by `delta`.
    pub(crate) fn add(&mut self, now: SimTime, delta: i64) {
        self.advance(now);
        self.value += delta;
    }

    /// The value becomes `value`.
    pub(crate) fn set(&mut self, now: SimTime, value: i64) {
        self.advance(now);
        self.value = value;
    }

    /// The integral up to `now`.
    pub(crate) fn total(&self, now: SimTime) -> i128 {
        self.area + i128::from(self.value) * i128::from((now - self.since).nanos())
    }

    /// The integral up to `now` as a span, for values that are 0 or 1.
    pub(crate) fn span(&self, now: SimTime) -> Span {
        Span::from_nanos(i64::try_from(self.total(now)).unwrap_or(i64::MAX))
    }

    fn advance(&mut self, now: SimTime) {
        self.area = self.total(now);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_integrated_between_their_changes() {
        let mut integral = Integral::default();
        integral.add(SimTime::from_secs(10), 3);
        integral.add(SimTime::from_secs(20), -1);
        assert_eq!(integral.total(SimTime::from_secs(25)), (30 + 10) * 1_000_000_000);
    }
}
