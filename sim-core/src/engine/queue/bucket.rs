//! The shipped queue: a wheel of buckets with a short sorted run before it.
//!
//! The run holds what happens next, sorted, and is popped from its end. What lies at or beyond its
//! `bound` waits unsorted in buckets: an entry's level is the highest digit in which its time
//! differs from `origin`, its bucket at that level is that digit (a radix heap with many-valued
//! digits, which is a hierarchical timing wheel that needs no tick). When the run is empty, the
//! first bucket of the lowest level in use is next. If it is small it becomes the run; if not, it
//! is spread over the levels below. So an entry moves a few times in its life, each time into one
//! of a handful of cache lines, however many others are pending, and no bucket width has to be
//! guessed.
//!
//! Entries of one instant keep their order without being compared: a bucket is spread before
//! anything is pushed behind what it held, so in every bucket the entries of an instant are in the
//! order of their sequence.

use seatrial_api::units::SimTime;

use super::run::{RUN_LEVEL, Run};
use super::wheel::{Wheel, below, level_of, tick};
use super::{EARLIEST, Entry, EventQueue, check_order};

/// A bucket with at most so many entries goes into the run; a larger one is spread.
const OPEN_MAX: usize = 320;
/// Neighbouring buckets are joined until the run has so many entries.
const RUN_WANTED: usize = 16;
/// A run that grew beyond this gives entries to the wheel.
const RUN_MAX: usize = 448;
/// When so few entries are left in the wheel, all of them go into the run.
const ALL_MAX: usize = 24;

/// The shipped queue: constant time at any number of pending events, 32 bytes per pending event
/// of at most 16 bytes, and 50 kilobytes besides.
#[derive(Clone, Debug)]
pub struct BucketQueue<E> {
    /// What happens up to `last`, in order.
    run: Run<E>,
    /// In ticks; what happens later is in the wheel.
    last: u64,
    /// The tick from which levels are reckoned, between that of `floor` and all in the wheel.
    ///
    /// Invariant: `floor` and `origin` agree in all digits above the lowest level in use, so the
    /// level of what is in the wheel stays the same when `origin` is lowered, down to `floor`.
    origin: u64,
    wheel: Wheel<E>,
    open_max: usize,
    next_sequence: u64,
    /// The time of the event popped last: nothing may be pushed before it.
    floor: SimTime,
}

impl<E: Copy> BucketQueue<E> {
    /// Shortens the run: what differs from `floor` in a high digit goes to the wheel.
    #[cold]
    fn spill(&mut self) {
        let floor = tick(self.floor);
        while self.run.len() > self.open_max {
            let differing = self.run.last().map_or(0, |entry| floor ^ tick(entry.time));
            let spilled = if differing == 0 {
                // All happen at this instant; what is pushed for it from now on comes behind them.
                self.origin = floor;
                self.last = floor - 1;
                self.run.len() - self.open_max
            } else {
                self.origin = floor | below(level_of(differing));
                self.last = self.origin;
                self.run.count_after(self.last)
            };
            self.run.give(spilled, |Entry { time, sequence, event }| {
                self.wheel.place(self.origin, time, sequence, event);
            });
        }
    }

    /// Fills the empty run from the wheel, which is not empty. The first entry is popped at once:
    /// `floor` has to follow `origin`.
    fn refill(&mut self) {
        self.wheel.trim();
        self.open_max = (self.wheel.len() / 8).clamp(32, 320);
        while let Some((level, digit)) = self.wheel.first() {
            let chain = self.wheel.chain(level, digit);
            if chain.len() <= self.open_max && level <= RUN_LEVEL {
                return self.open(level, digit);
            }
            if level == 0 {
                self.origin = tick(chain.earliest());
                self.last = self.origin - 1;
                return self.wheel.move_to(&mut self.run, level, digit, self.open_max);
            }
            self.origin = self.wheel.spread(level, digit);
        }
    }

    /// Makes a bucket the run, joined by those that follow while they are small.
    fn open(&mut self, level: u32, digit: usize) {
        let (mut level, mut digit) = (level, digit);
        let wanted = if self.wheel.len() <= ALL_MAX { ALL_MAX } else { RUN_WANTED };
        loop {
            self.last = tick(self.wheel.chain(level, digit).earliest()) | below(level);
            self.wheel.move_to(&mut self.run, level, digit, self.open_max);
            let Some(next) = self.wheel.first() else { break };
            let joined = self.run.len() + self.wheel.chain(next.0, next.1).len();
            if self.run.len() >= wanted || joined > self.open_max || next.0 >= RUN_LEVEL {
                break;
            }
            (level, digit) = next;
        }
        if self.wheel.first().is_none_or(|(level, _)| level >= RUN_LEVEL) {
            self.last |= below(RUN_LEVEL);
        }
        self.origin = self.last;
        self.run.sort();
    }

    /// Heap memory held, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.run.allocated_bytes() + self.wheel.allocated_bytes()
    }
}

impl<E: Copy> Default for BucketQueue<E> {
    fn default() -> Self {
        let last = tick(EARLIEST) | below(RUN_LEVEL);
        BucketQueue {
            run: Run::new(),
            last,
            origin: last,
            wheel: Wheel::new(),
            open_max: 32,
            next_sequence: 0,
            floor: EARLIEST,
        }
    }
}

impl<E: Copy> EventQueue<E> for BucketQueue<E> {
    #[inline]
    fn push(&mut self, time: SimTime, event: E) {
        check_order(self.floor, time);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        if tick(time) <= self.last {
            self.run.insert(time, sequence, event);
            if self.run.len() > 2 * self.open_max {
                self.spill();
            }
        } else {
            self.wheel.place(self.origin, time, sequence, event);
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<Entry<E>> {
        if self.run.is_empty() {
            if self.wheel.len() == 0 {
                return None;
            }
            self.refill();
        }
        let entry = self.run.pop()?;
        self.floor = entry.time;
        Some(entry)
    }

    #[inline]
    fn peek_time(&self) -> Option<SimTime> {
        match self.run.first() {
            Some(entry) => Some(entry.time),
            None => self.wheel.first().map(|(level, digit)| self.wheel.chain(level, digit).earliest()),
        }
    }

    fn upcoming<'a>(&'a self) -> impl Iterator<Item = &'a Entry<E>>
    where
        E: 'a,
    {
        self.run.iter()
    }

    fn len(&self) -> usize {
        self.run.len() + self.wheel.len()
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
