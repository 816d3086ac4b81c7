//! The buckets of the shipped queue, and what happens to each when its time comes.

use seatrial_api::units::SimTime;

use super::Entry;
use super::pool::{Chain, Pool};
use super::run::Run;

/// Bits of a digit. More levels make more moves of an event, more buckets to a level make more
/// half-filled blocks; 6 and 7 were measured to be slower.
pub(super) const BITS: u32 = 8;
/// Buckets of a level.
const DIGITS: usize = 1 << BITS;
/// Words of the bitmap of a level's buckets.
const WORDS: usize = DIGITS / 64;
const LEVELS: usize = (u64::BITS / BITS) as usize;

/// The buckets of all levels.
#[derive(Clone, Debug)]
pub(super) struct Wheel<E> {
    pool: Pool<E>,
    /// Bucket `digit` of `level` is `chains[level * DIGITS + digit]`.
    chains: Vec<Chain>,
    /// Per level, a bit for each bucket that holds something.
    occupied: [[u64; WORDS]; LEVELS],
    /// A bit for each level with such a bucket.
    levels: u32,
    len: usize,
}

/// Order-preserving map from instants, which may be negative, to unsigned ticks.
#[inline]
pub(super) fn tick(time: SimTime) -> u64 {
    time.nanos() as u64 ^ (1 << 63)
}

/// The level of the highest digit with a bit in `differing`.
#[inline]
pub(super) fn level_of(differing: u64) -> u32 {
    (differing | 1).ilog2() / BITS
}

/// The digits below `level`, all set.
#[inline]
pub(super) fn below(level: u32) -> u64 {
    (1 << (level * BITS)) - 1
}

impl<E: Copy> Wheel<E> {
    pub(super) fn new() -> Self {
        Wheel {
            pool: Pool::new(),
            chains: vec![Chain::EMPTY; LEVELS * DIGITS],
            occupied: [[0; WORDS]; LEVELS],
            levels: 0,
            len: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry to the bucket in which it lies, seen from `origin`.
    #[inline]
    pub(super) fn place(&mut self, origin: u64, time: SimTime, sequence: u64, event: E) {
        let at = tick(time);
        let level = level_of(at ^ origin);
        let digit = (at >> (level * BITS)) as usize % DIGITS;
        let chain = &mut self.chains[level as usize * DIGITS + digit];
        if self.pool.append(chain, time, sequence, event) {
            self.mark(level, digit);
        }
        self.len += 1;
    }

    #[inline]
    fn mark(&mut self, level: u32, digit: usize) {
        self.occupied[level as usize][digit / 64] |= 1 << (digit % 64);
        self.levels |= 1 << level;
    }

    fn unmark(&mut self, level: u32, digit: usize) {
        let words = &mut self.occupied[level as usize];
        words[digit / 64] &= !(1 << (digit % 64));
        if words.iter().all(|&word| word == 0) {
            self.levels &= !(1 << level);
        }
    }

    /// The first bucket of the lowest level in use, which is what happens next.
    pub(super) fn first(&self) -> Option<(u32, usize)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let words = &self.occupied[level as usize];
        let word = words.iter().position(|&word| word != 0)?;
        Some((level, word * 64 + words[word].trailing_zeros() as usize))
    }

    pub(super) fn chain(&self, level: u32, digit: usize) -> &Chain {
        &self.chains[level as usize * DIGITS + digit]
    }

    /// Moves the first `limit` entries of a bucket, rounded up to whole blocks, to `run`.
    pub(super) fn move_to(&mut self, run: &mut Run<E>, level: u32, digit: usize, limit: usize) {
        let mut chain = *self.chain(level, digit);
        let before = chain.len();
        while chain.len() > 0 && before - chain.len() < limit {
            let (block, count) = self.pool.detach(&mut chain);
            run.extend(self.pool.block(block, count));
            self.pool.release(block);
        }
        self.len -= before - chain.len();
        if chain.len() == 0 {
            chain = Chain::EMPTY;
            self.unmark(level, digit);
        }
        self.chains[level as usize * DIGITS + digit] = chain;
    }

    /// Spreads a bucket over lower levels, passing over those in whose digits all its entries
    /// agree, and returns the origin from which these levels are reckoned.
    pub(super) fn spread(&mut self, level: u32, digit: usize) -> u64 {
        let mut chain = std::mem::replace(&mut self.chains[level as usize * DIGITS + digit], Chain::EMPTY);
        self.unmark(level, digit);
        let earliest = tick(chain.earliest());
        let differing = self.pool.entries(&chain).fold(0, |bits, entry| bits | (tick(entry.time) ^ earliest));
        if differing == 0 {
            let digit = earliest as usize % DIGITS;
            self.chains[digit] = chain;
            self.mark(0, digit);
            return earliest;
        }
        let origin = earliest & !below(level_of(differing) + 1);
        self.len -= chain.len();
        while chain.len() > 0 {
            let (block, count) = self.pool.detach(&mut chain);
            for index in 0..count {
                let Entry { time, sequence, event } = self.pool.block(block, count)[index];
                self.place(origin, time, sequence, event);
            }
            self.pool.release(block);
        }
        origin
    }

    /// Gives memory back if most of it is unused.
    pub(super) fn trim(&mut self) {
        if !self.pool.is_sparse() {
            return;
        }
        let mut pool = Pool::new();
        for chain in &mut self.chains {
            let mut kept = Chain::EMPTY;
            for &Entry { time, sequence, event } in self.pool.entries(chain) {
                pool.append(&mut kept, time, sequence, event);
            }
            *chain = kept;
        }
        self.pool = pool;
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.chains.capacity() * size_of::<Chain>() + self.pool.allocated_bytes()
    }
}
