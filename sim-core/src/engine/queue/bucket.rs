//! The shipped queue: a wheel of buckets with a short sorted run before it.
//!
//! The run holds what happens next, in order. What happens after it waits unsorted in the buckets
//! of a wheel: an entry's level is the highest digit in which its time differs from `origin`, its
//! bucket at that level is that digit. This is a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan
//! 1990) with many-valued digits, or a hierarchical timing wheel (Varghese and Lauck 1987) that
//! needs no tick. When the run is empty, the first bucket of the lowest level in use is next: a
//! small one becomes the run, a large one is spread over the levels below. So an entry moves a few
//! times in its life, each time into one of a few hundred cache lines, however many others are
//! pending, and no bucket width has to be guessed.
//!
//! Entries of one instant keep their order without being compared: a bucket is spread before
//! anything is pushed behind what it held, so within every bucket the entries of an instant are in
//! the order of their sequence.

use seatrial_api::units::SimTime;

use super::run::{RUN_LEVEL, Run};
use super::wheel::{Wheel, below, level_of, tick};
use super::{EARLIEST, Entry, EventQueue, check_order};

/// When so few entries are left in the wheel, all of them go into the run, where small simulations
/// live.
const ALL_MAX: usize = 24;
/// Buckets are joined until the run has so many entries.
const RUN_WANTED: usize = 24;
/// Bounds of `open_max`.
const OPEN_MAX: (usize, usize) = (32, 320);
/// A run never has more entries than this.
const RUN_MAX: usize = 448;

/// The shipped queue: constant time at any number of pending events, 32 bytes per pending event of
/// at most 16 bytes, and 50 kilobytes besides.
#[derive(Clone, Debug)]
pub struct BucketQueue<E> {
    /// What happens up to `last`, in order.
    run: Run<E>,
    /// In ticks; what happens later is in the wheel.
    last: u64,
    /// The tick from which levels are reckoned, between that of `floor` and all in the wheel.
    ///
    /// Invariant: `floor` and `origin` agree in all digits above the lowest level in use. So what
    /// is in the wheel stays in its bucket when `origin` is lowered, down to `floor`.
    origin: u64,
    wheel: Wheel<E>,
    /// A bucket with at most so many entries goes into the run as it is. A share of what is
    /// pending, so that most events are pushed behind the run and not into it.
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
            let (wheel, origin) = (&mut self.wheel, self.origin);
            self.run
                .give(spilled, |Entry { time, sequence, event }| wheel.place(origin, time, sequence, event));
        }
    }

    /// Fills the empty run from the wheel, which is not empty. The first entry is popped at once:
    /// `floor` has to follow `origin`.
    #[inline(never)]
    fn refill(&mut self) {
        self.wheel.trim();
        self.open_max = (self.wheel.len() / 8).clamp(OPEN_MAX.0, OPEN_MAX.1);
        while let Some((level, digit)) = self.wheel.first() {
            let chain = self.wheel.chain(level, digit);
            if chain.len() <= self.open_max && level <= RUN_LEVEL {
                return self.open(level, digit);
            }
            if level == 0 {
                // An instant with many events: its bucket is both read and filled at its ends.
                self.origin = tick(chain.earliest());
                self.last = self.origin - 1;
                self.wheel.move_to(&mut self.run, level, digit, self.open_max);
                return self.run.sort();
            }
            self.origin = self.wheel.spread(level, digit);
        }
    }

    /// Makes a bucket the run, joined by those that follow while they are small.
    fn open(&mut self, level: u32, digit: usize) {
        let wanted = if self.wheel.len() <= ALL_MAX { ALL_MAX } else { RUN_WANTED };
        let (mut level, mut digit) = (level, digit);
        loop {
            self.last = tick(self.wheel.chain(level, digit).earliest()) | below(level);
            self.wheel.move_to(&mut self.run, level, digit, self.open_max);
            match self.wheel.first() {
                Some((next_level, _)) if next_level >= RUN_LEVEL => break self.last |= below(RUN_LEVEL),
                None => break self.last |= below(RUN_LEVEL),
                Some(next) => (level, digit) = next,
            }
            let joined = self.run.len() + self.wheel.chain(level, digit).len();
            if self.run.len() >= wanted || joined > self.open_max {
                break;
            }
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
            open_max: OPEN_MAX.0,
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
            if self.run.len() > (2 * self.open_max).min(RUN_MAX) {
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
