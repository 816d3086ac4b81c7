//! The run: what happens next, in order.

use seatrial_api::units::SimTime;

use super::Entry;
use super::wheel::{BITS, below, tick};

/// Bits of the number under which an entry is stored.
const NUMBER_BITS: u32 = 9;
/// Entries that a run can number.
const NUMBERS: usize = 1 << NUMBER_BITS;
/// A run lies within one bucket of this level, so that a key has room for what times differ in.
pub(super) const RUN_LEVEL: u32 = (u64::BITS - NUMBER_BITS) / BITS;
/// A run this short is sorted without a search.
const SHORT: usize = 16;

/// A short sorted list of entries, all within one bucket of [`RUN_LEVEL`].
///
/// What is sorted is not the entries but one word for each: the low digits of its time, then the
/// number under which it was stored. Since entries of one instant are stored in the order of their
/// sequence, the words order them as (time, sequence) does.
#[derive(Clone, Debug)]
pub(super) struct Run<E> {
    /// Complements of the words, ascending, so that the first to happen is at the end.
    keys: Vec<u64>,
    /// The entries by number, those that were popped included.
    entries: Vec<Entry<E>>,
}

#[inline]
fn key(time: SimTime, number: usize) -> u64 {
    !((tick(time) & below(RUN_LEVEL)) << NUMBER_BITS | number as u64)
}

impl<E: Copy> Run<E> {
    pub(super) const fn new() -> Self {
        Run { keys: Vec::new(), entries: Vec::new() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The first entry to happen.
    #[inline]
    pub(super) fn first(&self) -> Option<&Entry<E>> {
        self.keys.last().map(|&key| self.entry(key))
    }

    /// The last entry to happen.
    pub(super) fn last(&self) -> Option<&Entry<E>> {
        self.keys.first().map(|&key| self.entry(key))
    }

    /// All entries, the first to happen first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<E>> {
        self.keys.iter().rev().map(|&key| self.entry(key))
    }

    #[inline]
    fn entry(&self, key: u64) -> &Entry<E> {
        &self.entries[!key as usize % NUMBERS]
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Entry<E>> {
        let key = self.keys.pop()?;
        // Field by field, as it was stored: a wider load would have to wait for the stores.
        let &Entry { time, sequence, event } = self.entry(key);
        if self.keys.is_empty() {
            self.entries.clear();
        }
        Some(Entry { time, sequence, event })
    }

    /// Adds an entry, pushed after all others, in its place.
    #[inline]
    pub(super) fn insert(&mut self, time: SimTime, sequence: u64, event: E) {
        if self.entries.len() == NUMBERS {
            self.renumber();
        }
        let mut key = key(time, self.entries.len());
        self.entries.push(Entry { time, sequence, event });
        if self.keys.len() <= SHORT {
            // Without a branch that depends on times, which nobody can predict.
            for other in &mut self.keys {
                (*other, key) = ((*other).min(key), (*other).max(key));
            }
            self.keys.push(key);
        } else {
            let at = self.keys.partition_point(|&other| other < key);
            self.keys.insert(at, key);
        }
    }

    /// Adds entries in the order in which they were pushed; [`Run::sort`] must follow.
    #[inline]
    pub(super) fn extend(&mut self, entries: &[Entry<E>]) {
        let stored = self.entries.len();
        self.keys.extend(entries.iter().enumerate().map(|(index, entry)| key(entry.time, stored + index)));
        self.entries.extend_from_slice(entries);
    }

    pub(super) fn sort(&mut self) {
        self.keys.sort_unstable();
    }

    /// Takes out the last `count` entries to happen, in their order.
    pub(super) fn give(&mut self, count: usize, mut take: impl FnMut(Entry<E>)) {
        for &key in self.keys[..count].iter().rev() {
            take(*self.entry(key));
        }
        self.keys.drain(..count);
        if self.keys.is_empty() {
            self.entries.clear();
        }
    }

    /// How many entries happen after the tick `last`.
    pub(super) fn count_after(&self, last: u64) -> usize {
        self.keys.partition_point(|&key| tick(self.entry(key).time) > last)
    }

    /// Drops the entries that were popped, so that numbers are free again.
    #[cold]
    fn renumber(&mut self) {
        let live: Vec<Entry<E>> = self.keys.iter().rev().map(|&key| *self.entry(key)).collect();
        self.keys.clear();
        self.entries.clear();
        self.extend(&live);
        self.keys.reverse();
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<u64>() + self.entries.capacity() * size_of::<Entry<E>>()
    }
}
