//! Event queues: the one source of order in a run.
//!
//! Events are ordered by (time, sequence), the sequence counting pushes, so events of one instant
//! come out in the order in which they went in. [`HeapQueue`] is the reference, readable at a
//! glance; [`BucketQueue`] is what ships. Both give the same events in the same order, which the
//! tests of this module and every trace hash check.

mod bucket;
mod heap;
mod pool;
mod run;
#[cfg(test)]
mod tests;
mod wheel;

pub use bucket::BucketQueue;
pub use heap::HeapQueue;

use seatrial_api::units::SimTime;

/// An event with its place in the order of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<E> {
    /// The instant at which the event happens.
    pub time: SimTime,
    /// How many sequence numbers were given out before this one: the order within an instant.
    pub sequence: u64,
    /// What happens.
    pub event: E,
}

impl<E> Entry<E> {
    /// The key of the total order: time first, then sequence.
    #[inline]
    pub fn key(&self) -> (SimTime, u64) {
        (self.time, self.sequence)
    }
}

/// A queue of future events, monotone: nothing is pushed before the event that was popped last.
///
/// Event types are small and `Copy` (at most 16 bytes keeps an entry at 32): they carry ids, never
/// objects. A clone is independent of its original and behaves alike.
pub trait EventQueue<E: Copy>: Clone + Default {
    /// Queues `event` for `time` behind all events of that instant.
    ///
    /// # Panics
    /// If `time` lies before the event popped last.
    fn push(&mut self, time: SimTime, event: E);

    /// Takes the first event out.
    fn pop(&mut self) -> Option<Entry<E>>;

    /// The instant of the first event.
    fn peek_time(&self) -> Option<SimTime>;

    /// Events that are known to be among the next, the first to happen first; possibly none.
    ///
    /// Where handling an event reads far-flung state, a loop that reads the state of all of them
    /// first waits for memory once and not once per event.
    fn upcoming<'a>(&'a self) -> impl Iterator<Item = &'a Entry<E>>
    where
        E: 'a;

    /// The number of pending events.
    fn len(&self) -> usize;

    /// The sequence number that the next push gets.
    fn next_sequence(&self) -> u64;

    /// Takes `count` sequence numbers out of circulation and returns the first of them.
    ///
    /// Who holds them orders events of its own between those of the queue
    /// ([`Arrivals`](super::arrivals::Arrivals)).
    fn reserve_sequences(&mut self, count: u64) -> u64;

    /// Whether no event is pending.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The earliest instant for which anything can be pushed.
const EARLIEST: SimTime = SimTime::from_nanos(i64::MIN + 1);

/// Asserts that a queue whose last event happened at `floor` may be given one for `time`.
#[inline]
fn check_order(floor: SimTime, time: SimTime) {
    if time < floor {
        out_of_order(floor, time);
    }
}

/// Panics, out of the way of the loop.
#[cold]
#[inline(never)]
fn out_of_order(floor: SimTime, time: SimTime) -> ! {
    panic!("an event was pushed for {time}, after one at {floor} was popped");
}
