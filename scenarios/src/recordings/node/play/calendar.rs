//! What happens when, in the order of time and, at one instant, in the order in which it was
//! planned.

use std::collections::BTreeMap;

use seatrial_api::units::SimTime;

/// The calendar.
pub(super) struct Calendar<E> {
    entries: BTreeMap<(SimTime, u64), E>,
    planned: u64,
    now: SimTime,
}

impl<E> Calendar<E> {
    /// An empty calendar.
    pub(super) fn new() -> Calendar<E> {
        Calendar { entries: BTreeMap::new(), planned: 0, now: SimTime::ZERO }
    }

    /// Plans an event, at once if its time has passed.
    pub(super) fn push(&mut self, at: SimTime, event: E) {
        self.planned += 1;
        self.entries.insert((at.max(self.now), self.planned), event);
    }

    /// The next event up to `end`.
    pub(super) fn pop(&mut self, end: SimTime) -> Option<(SimTime, E)> {
        let (&(at, _), _) = self.entries.first_key_value()?;
        if at > end {
            return None;
        }
        let ((at, _), event) = self.entries.pop_first()?;
        self.now = at;
        Some((at, event))
    }

    /// Drops planned events.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&E) -> bool) {
        self.entries.retain(|_, event| keep(event));
    }
}
