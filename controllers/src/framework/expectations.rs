//! Expectations: what a controller has asked for and its cache has not shown yet. While they are
//! unmet a sync creates and deletes nothing, so that a stale cache does not make it act twice.

use std::collections::BTreeSet;

use seatrial_api::units::{SimTime, Span};

/// After which time expectations are given up.
const LAPSE: Span = Span::from_mins(5);

/// The expectations of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectations {
    creations: i64,
    deletions: BTreeSet<u32>,
    since: Option<SimTime>,
}

impl Expectations {
    /// Expects `count` pods to appear, in place of everything that was expected before.
    pub(crate) fn expect_creations(&mut self, now: SimTime, count: usize) {
        *self = Expectations { creations: count as i64, deletions: BTreeSet::new(), since: Some(now) };
    }

    /// Expects `pods` to go away, in place of everything that was expected before.
    pub(crate) fn expect_deletions(&mut self, now: SimTime, pods: impl IntoIterator<Item = u32>) {
        *self = Expectations { creations: 0, deletions: pods.into_iter().collect(), since: Some(now) };
    }

    /// Expects both, in place of everything that was expected before.
    pub(crate) fn expect(
        &mut self,
        now: SimTime,
        creations: usize,
        deletions: impl IntoIterator<Item = u32>,
    ) {
        *self = Expectations {
            creations: creations as i64,
            deletions: deletions.into_iter().collect(),
            since: Some(now),
        };
    }

    /// A pod appeared, or `count` creations failed or were not attempted.
    pub(crate) fn lower_creations(&mut self, count: usize) {
        self.creations = (self.creations - count as i64).max(0);
    }

    /// A pod is going away, or its deletion failed.
    pub(crate) fn lower_deletion(&mut self, pod: u32) {
        self.deletions.remove(&pod);
    }

    /// Whether everything expected was seen, or was given up.
    pub(crate) fn are_met(&self, now: SimTime) -> bool {
        (self.creations <= 0 && self.deletions.is_empty())
            || self.since.is_none_or(|since| now - since > LAPSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_hold_until_seen_failed_or_lapsed() {
        let at = SimTime::from_secs;
        let mut expectations = Expectations::default();
        assert!(expectations.are_met(at(0)));
        expectations.expect_creations(at(0), 2);
        expectations.lower_creations(1);
        assert!(!expectations.are_met(at(300)));
        assert!(expectations.are_met(at(301)));
        expectations.lower_creations(1);
        assert!(expectations.are_met(at(1)));
        expectations.expect_deletions(at(0), [4, 5]);
        expectations.lower_deletion(4);
        expectations.lower_deletion(4);
        assert!(!expectations.are_met(at(1)));
        expectations.lower_deletion(5);
        assert!(expectations.are_met(at(1)));
    }
}
