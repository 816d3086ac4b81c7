//! What is due when: by time, at one time what is done before what is shown, and else in the order in
//! which it was found out.

use std::collections::BTreeMap;

use seatrial_api::units::SimTime;

/// A queue of things to do.
pub(super) struct Queue<T> {
    entries: BTreeMap<(SimTime, bool, u64), T>,
    sequence: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { entries: BTreeMap::new(), sequence: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, at: SimTime, what: T) {
        self.insert(at, false, what);
    }

    /// Pushes something that is shown, not done.
    pub(super) fn push_shown(&mut self, at: SimTime, what: T) {
        self.insert(at, true, what);
    }

    fn insert(&mut self, at: SimTime, is_shown: bool, what: T) {
        self.sequence += 1;
        self.entries.insert((at, is_shown, self.sequence), what);
    }

    /// What is due next, if it is due by `end`.
    pub(super) fn pop_until(&mut self, end: SimTime) -> Option<(SimTime, T)> {
        let entry = self.entries.first_entry().filter(|entry| entry.key().0 <= end)?;
        let ((at, _, _), what) = entry.remove_entry();
        Some((at, what))
    }
}
