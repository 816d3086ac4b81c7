//! The reference queue: the standard library's binary heap.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use seatrial_api::units::SimTime;

use super::{EARLIEST, Entry, EventQueue, check_order};

/// The reference: a binary heap on (time, sequence). Ten times slower than
/// [`BucketQueue`](super::BucketQueue) at a million pending events, and obviously right.
#[derive(Clone, Debug)]
pub struct HeapQueue<E> {
    heap: BinaryHeap<Earliest<E>>,
    next_sequence: u64,
    /// The time of the event popped last: nothing may be pushed before it.
    floor: SimTime,
}

/// An entry whose order is reversed, because the standard heap hands out its greatest member.
#[derive(Clone, Copy, Debug)]
struct Earliest<E>(Entry<E>);

impl<E> Ord for Earliest<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.key().cmp(&self.0.key())
    }
}

impl<E> PartialOrd for Earliest<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Earliest<E> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<E> Eq for Earliest<E> {}

impl<E> Default for HeapQueue<E> {
    fn default() -> Self {
        HeapQueue { heap: BinaryHeap::new(), next_sequence: 0, floor: EARLIEST }
    }
}

impl<E: Copy> EventQueue<E> for HeapQueue<E> {
    fn push(&mut self, time: SimTime, event: E) {
        check_order(self.floor, time);
        self.heap.push(Earliest(Entry { time, sequence: self.next_sequence, event }));
        self.next_sequence += 1;
    }

    fn pop(&mut self) -> Option<Entry<E>> {
        let Earliest(entry) = self.heap.pop()?;
        self.floor = entry.time;
        Some(entry)
    }

    fn peek_time(&self) -> Option<SimTime> {
        self.heap.peek().map(|Earliest(entry)| entry.time)
    }

    fn upcoming<'a>(&'a self) -> impl Iterator<Item = &'a Entry<E>>
    where
        E: 'a,
    {
        std::iter::empty()
    }

    fn len(&self) -> usize {
        self.heap.len()
    }

    fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    fn reserve_sequences(&mut self, count: u64) -> u64 {
        let first = self.next_sequence;
        self.next_sequence += count;
        first
    }
}
