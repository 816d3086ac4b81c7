//! Chains of entries in fixed-size blocks of one pool.
//!
//! A queue of buckets that each own a `Vec` keeps the capacity that each bucket once needed. Here
//! a block that was read goes back to the pool and serves the next bucket, so memory follows the
//! number of pending entries.

use seatrial_api::units::SimTime;

use super::Entry;

/// Entries in a block: large enough that following the links is cheap, small enough that the
/// unfilled last block of each chain does not matter.
pub(super) const BLOCK: usize = 16;

/// The link after the last block of a chain.
const NONE: u32 = u32::MAX;

/// A first-in-first-out chain of entries, stored in blocks of a [`Pool`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    head: u32,
    tail: u32,
    len: u32,
    /// The time of the earliest entry: chains of several instants are taken whole, those of one in
    /// parts.
    earliest: SimTime,
}

impl Chain {
    pub(super) const EMPTY: Chain = Chain { head: NONE, tail: NONE, len: 0, earliest: SimTime::MAX };

    /// The time of the earliest entry.
    pub(super) fn earliest(&self) -> SimTime {
        self.earliest
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

/// The blocks of all chains of one queue.
#[derive(Clone, Debug)]
pub(super) struct Pool<E> {
    /// Block `b` is `entries[b * BLOCK..][..BLOCK]`.
    entries: Vec<Entry<E>>,
    /// The block after each block, in its chain or in the list of free blocks.
    next: Vec<u32>,
    free: u32,
    free_count: usize,
}

impl<E: Copy> Pool<E> {
    pub(super) const fn new() -> Self {
        Pool { entries: Vec::new(), next: Vec::new(), free: NONE, free_count: 0 }
    }

    /// Appends an entry to `chain`; true if that took a new block.
    #[inline]
    pub(super) fn append(&mut self, chain: &mut Chain, time: SimTime, sequence: u64, event: E) -> bool {
        let offset = chain.len as usize % BLOCK;
        if offset == 0 {
            let block = if self.free == NONE { self.grow(event) } else { self.recycle() };
            match chain.len {
                0 => chain.head = block,
                _ => self.next[chain.tail as usize] = block,
            }
            chain.tail = block;
        }
        self.entries[chain.tail as usize * BLOCK + offset] = Entry { time, sequence, event };
        chain.len += 1;
        chain.earliest = chain.earliest.min(time);
        offset == 0
    }

    /// Takes a block off the list of free ones.
    #[inline]
    fn recycle(&mut self) -> u32 {
        let block = self.free;
        self.free = self.next[block as usize];
        self.free_count -= 1;
        block
    }

    /// A new block, filled with `event`. Capacity grows by a quarter, since doubling would waste
    /// half of the memory.
    #[cold]
    fn grow(&mut self, event: E) -> u32 {
        let blocks = self.next.len();
        if blocks == self.next.capacity() {
            let more = (blocks / 4).max(64);
            self.next.reserve_exact(more);
            self.entries.reserve_exact(more * BLOCK);
        }
        self.next.push(NONE);
        self.entries.resize((blocks + 1) * BLOCK, Entry { time: SimTime::ZERO, sequence: 0, event });
        u32::try_from(blocks).ok().filter(|&block| block != NONE).expect("invariant: fewer than 2^32 blocks")
    }

    /// Takes the first block off `chain`: its number and how many entries it holds. Its entries
    /// stay readable until it is released.
    #[inline]
    pub(super) fn detach(&self, chain: &mut Chain) -> (u32, usize) {
        let block = chain.head;
        let count = chain.len().min(BLOCK);
        chain.len -= count as u32;
        chain.head = self.next[block as usize];
        (block, count)
    }

    /// All entries of `chain`, in their order.
    pub(super) fn entries(&self, chain: &Chain) -> impl Iterator<Item = &Entry<E>> {
        let mut rest = *chain;
        std::iter::from_fn(move || {
            (rest.len > 0).then(|| {
                let (block, count) = self.detach(&mut rest);
                self.block(block, count)
            })
        })
        .flatten()
    }

    /// The entries of a block, of which the first `count` mean something.
    #[inline]
    pub(super) fn block(&self, block: u32, count: usize) -> &[Entry<E>] {
        &self.entries[block as usize * BLOCK..][..count]
    }

    /// Gives a detached block back.
    #[inline]
    pub(super) fn release(&mut self, block: u32) {
        self.next[block as usize] = self.free;
        self.free = block;
        self.free_count += 1;
    }

    /// Whether so many blocks are free that the pool should be rebuilt without them.
    pub(super) fn is_sparse(&self) -> bool {
        self.next.len() > 1_024 && self.free_count > self.next.len() / 4 * 3
    }

    /// Heap memory held, in bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<E>>() + self.next.capacity() * size_of::<u32>()
    }
}
