//! The column of a class: the verdict and the score of every node.

use smallvec::SmallVec;

use super::nominated::NominatedColumn;

use crate::bitset::{Bitset, ones, select};

/// The verdict on a node that all filters of the column pass.
pub(crate) const PASSES: u8 = u8::MAX;

/// What stands in place of a score: of a block without feasible nodes, and of a node that the first
/// filter rejects. The next filter's rejections are one less, and so on.
const INFEASIBLE: i16 = -1;
/// What stands in place of the score of a node that was not judged yet.
const UNJUDGED: i16 = i16::MIN;
/// So many blocks are looked at together.
const BLOCKS_AT_ONCE: usize = 16;

/// What a filter's rejection is among scores.
fn rejection(filter: u8) -> i16 {
    INFEASIBLE - i16::from(filter)
}

/// The filter that rejects, of what is among scores.
fn rejector(score: i16) -> Option<u8> {
    (score < 0 && score != UNJUDGED).then(|| (INFEASIBLE - score) as u8)
}

/// What plugins of scope Node make of a node. Few kinds cover all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The first filter of scope Node that rejects, as an index into the class's filters.
    pub(crate) reject: u8,
    /// Whether evicting pods may help against that rejection.
    pub(crate) is_helpful: bool,
    /// The sum of the weighted scores that need no normalisation.
    pub(crate) base: i64,
    /// The raw scores that do, as an index into the groups.
    pub(crate) group: u16,
}

/// Nodes with equal raw scores.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The raw scores, in order of the shape's normalised scores.
    pub(crate) raws: SmallVec<[i64; 2]>,
    /// The rows of the nodes.
    pub(crate) rows: Bitset,
}

/// The column of a class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// The cluster's epoch, change count and image epoch that the column has seen.
    pub(crate) epoch: u64,
    pub(crate) seen: u64,
    pub(crate) images_seen: u64,
    /// Per row: the sum of weighted scores, or which filter rejects it. One number, so that judging a
    /// row again touches one place.
    scores: Vec<i16>,
    /// Per 64 rows: the largest score, and the rows that have it.
    block_max: Vec<i16>,
    block_best: Vec<u64>,
    /// Per 64 rows: how many have the largest score.
    block_count: Vec<u16>,
    /// Rows that pass all filters of the column.
    pub(crate) feasible: Bitset,
    /// How many those are.
    pub(crate) feasible_count: usize,
    /// Rows that are rejected in a way that evicting pods may help against.
    pub(crate) helpful: Bitset,
    /// Per filter: how many rows it is the first to reject.
    rejected: SmallVec<[u32; 8]>,
    kinds: Vec<u16>,
    kind_table: Vec<Kind>,
    pub(crate) groups: Vec<Group>,
    /// What nominated pods do to verdicts, where it was asked for.
    pub(crate) nominated: Option<Box<NominatedColumn>>,
}

impl Column {
    /// Forgets everything and makes room for `rows` rows and `filters` filters.
    pub(crate) fn reset(&mut self, rows: usize, filters: usize) {
        self.scores.clear();
        self.scores.resize(rows, UNJUDGED);
        self.block_max.clear();
        self.block_max.resize(rows.div_ceil(64), INFEASIBLE);
        self.block_best.clear();
        self.block_best.resize(rows.div_ceil(64), 0);
        self.block_count.clear();
        self.block_count.resize(rows.div_ceil(64), 0);
        self.feasible = Bitset::with_len(rows);
        self.feasible_count = 0;
        self.helpful = Bitset::with_len(rows);
        self.rejected = SmallVec::from_elem(0, filters);
        self.kinds.clear();
        self.kinds.resize(rows, 0);
        self.kind_table.clear();
        self.groups.clear();
        self.nominated = None;
    }

    /// Bytes that a column of so many rows takes, without rare parts.
    pub(crate) fn size_of_rows(rows: usize) -> usize {
        rows * (size_of::<i16>() + size_of::<u16>()) + rows / 64 * 32
    }

    /// Whether the column was ever filled.
    pub(crate) fn has_rows(&self) -> bool {
        !self.scores.is_empty()
    }

    /// The kind of a row.
    pub(crate) fn kind(&self, row: usize) -> &Kind {
        &self.kind_table[usize::from(self.kinds[row])]
    }

    /// The kind of all rows, if they are of one kind.
    pub(crate) fn only_kind(&self) -> Option<&Kind> {
        match &self.kind_table[..] {
            [kind] => Some(kind),
            _ => None,
        }
    }

    /// The score of a feasible row.
    pub(crate) fn score(&self, row: usize) -> i64 {
        i64::from(self.scores[row])
    }

    /// The first filter that rejects a row, or [`PASSES`].
    pub(crate) fn verdict(&self, row: usize) -> u8 {
        rejector(self.scores[row]).unwrap_or(PASSES)
    }

    /// Per filter: how many rows it is the first to reject.
    pub(crate) fn rejected(&self) -> &[u32] {
        &self.rejected
    }

    /// Notes what plugins of scope Node make of a row.
    pub(crate) fn set_kind(&mut self, row: usize, kind: Kind, raws: SmallVec<[i64; 2]>) {
        let group = match self.groups.iter().position(|group| group.raws == raws) {
            Some(group) => group,
            None => {
                self.groups.push(Group { raws, rows: Bitset::with_len(self.scores.len()) });
                self.groups.len() - 1
            }
        };
        for (index, other) in self.groups.iter_mut().enumerate() {
            other.rows.assign(row, index == group);
        }
        let kind = Kind { group: group as u16, ..kind };
        let known = self.kind_table.iter().position(|other| *other == kind);
        let index = known.unwrap_or_else(|| {
            self.kind_table.push(kind);
            self.kind_table.len() - 1
        });
        self.kinds[row] = index as u16;
    }

    /// Whether the table of kinds is about to overflow, after many changes of nodes.
    pub(crate) fn is_crowded(&self) -> bool {
        self.kind_table.len() > usize::from(u16::MAX) / 2 || self.groups.len() > usize::from(u16::MAX) / 2
    }

    /// Notes that a filter rejects a row.
    pub(crate) fn set_rejected(&mut self, row: usize, filter: u8, is_helpful: bool) {
        self.helpful.assign(row, is_helpful);
        let old = std::mem::replace(&mut self.scores[row], rejection(filter));
        if old == rejection(filter) {
            return;
        }
        self.rejected[usize::from(filter)] += 1;
        match rejector(old) {
            Some(other) => self.rejected[usize::from(other)] -= 1,
            None if old == UNJUDGED => {}
            None => {
                self.feasible.remove(row);
                self.feasible_count -= 1;
                self.leave_best(row);
            }
        }
    }

    /// Notes that a row passes, with its score.
    pub(crate) fn set_feasible(&mut self, row: usize, score: i64) {
        let score = score as i16;
        let old = std::mem::replace(&mut self.scores[row], score);
        if old == score {
            return;
        }
        if old < 0 {
            self.becomes_feasible(row, old);
        }
        let (block, bit) = (row / 64, 1u64 << (row % 64));
        let max = &mut self.block_max[block];
        if score > *max {
            *max = score;
            self.block_best[block] = bit;
            self.block_count[block] = 1;
        } else if score == *max {
            self.block_best[block] |= bit;
            self.block_count[block] += 1;
        } else {
            self.leave_best(row);
        }
    }

    #[cold]
    fn becomes_feasible(&mut self, row: usize, old: i16) {
        if let Some(filter) = rejector(old) {
            self.rejected[usize::from(filter)] -= 1;
            self.helpful.remove(row);
        }
        self.feasible.insert(row);
        self.feasible_count += 1;
    }

    /// A row is not among the best of its block any more, if it was.
    fn leave_best(&mut self, row: usize) {
        let (block, bit) = (row / 64, 1u64 << (row % 64));
        if self.block_best[block] & bit != 0 {
            self.block_best[block] &= !bit;
            self.block_count[block] -= 1;
            if self.block_count[block] == 0 {
                self.rescan(block);
            }
        }
    }

    fn rescan(&mut self, block: usize) {
        let end = self.scores.len().min(block * 64 + 64);
        let scores = &self.scores[block * 64..end];
        let max = scores.iter().copied().max().unwrap_or(INFEASIBLE).max(INFEASIBLE);
        let mut best = 0;
        if max >= 0 {
            for (bit, &score) in scores.iter().enumerate() {
                best |= u64::from(score == max) << bit;
            }
        }
        self.block_max[block] = max;
        self.block_best[block] = best;
        self.block_count[block] = best.count_ones() as u16;
    }

    /// The largest score of all feasible rows.
    pub(crate) fn max(&self) -> i16 {
        self.block_max.iter().copied().max().unwrap_or(INFEASIBLE)
    }

    /// The largest score of all feasible rows, and how many have it.
    pub(crate) fn best(&self) -> (i16, usize) {
        let max = self.max();
        let count = self.counts_of(max).map(|(_, count)| usize::from(count)).sum();
        (max, if max >= 0 { count } else { 0 })
    }

    /// For some blocks at a time: the first of them, and how many rows have the score `max`, the
    /// largest of all. Plain passes, which the compiler turns into vector instructions.
    fn counts_of(&self, max: i16) -> impl Iterator<Item = (usize, u16)> + '_ {
        let chunks = self.block_max.chunks(BLOCKS_AT_ONCE).zip(self.block_count.chunks(BLOCKS_AT_ONCE));
        chunks.enumerate().map(move |(chunk, (scores, counts))| {
            let of_block = |(&score, &count): (&i16, &u16)| if score == max { count } else { 0 };
            (chunk * BLOCKS_AT_ONCE, scores.iter().zip(counts).map(of_block).sum())
        })
    }

    /// The `k`-th of the rows with the largest score, counted from zero.
    pub(crate) fn nth_best(&self, max: i16, mut k: usize) -> Option<usize> {
        for (first, count) in self.counts_of(max) {
            if k >= usize::from(count) {
                k -= usize::from(count);
                continue;
            }
            for block in first..self.block_max.len() {
                let count = usize::from(self.block_count[block]);
                if self.block_max[block] != max {
                    continue;
                }
                if k < count {
                    return Some(block * 64 + select(self.block_best[block], k));
                }
                k -= count;
            }
        }
        None
    }

    /// The rows with the largest score, `max`, as words.
    pub(crate) fn top_words(&self, max: i16) -> impl Iterator<Item = u64> + '_ {
        let blocks = self.block_max.iter().zip(&self.block_best);
        blocks.map(move |(&score, &best)| if score == max { best } else { 0 })
    }

    /// The largest score of the rows in `mask` of a block of 64 rows, all feasible, and the rows that
    /// have it, unless it is below `at_least`.
    pub(crate) fn best_of(&self, block: usize, mask: u64, at_least: i64) -> Option<(i64, u64)> {
        let max = i64::from(self.block_max[block]);
        if max < at_least {
            return None;
        }
        let best = self.block_best[block] & mask;
        if best != 0 {
            return Some((max, best));
        }
        let (mut max, mut best) = (INFEASIBLE, 0);
        for bit in ones(mask) {
            let score = self.scores[block * 64 + bit];
            if score > max {
                (max, best) = (score, 0);
            }
            best |= u64::from(score == max) << bit;
        }
        (i64::from(max) >= at_least).then_some((i64::from(max), best))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitset::members;
    use seatrial_api::stream::Stream;

    #[test]
    fn blocks_know_their_best_after_any_changes() {
        let rows = 150;
        let mut column = Column::default();
        column.reset(rows, 2);
        let mut stream = Stream::new(3, 0, 0);
        for _ in 0..20_000 {
            let row = stream.below(rows as u64) as usize;
            match stream.below(8) {
                0 => column.set_rejected(row, 1, true),
                _ => column.set_feasible(row, stream.below(12) as i64),
            }
            let block = stream.below(3) as usize;
            let mask = column.feasible.words()[block] & stream.next_u64();
            let expected = ones(mask).map(|bit| column.score(block * 64 + bit)).max();
            let found = column.best_of(block, mask, 0);
            assert_eq!(found.map(|(max, _)| max), expected);
            if let Some((max, best)) = found {
                let tied = ones(mask).filter(|bit| column.score(block * 64 + bit) == max);
                assert_eq!(ones(best).collect::<Vec<_>>(), tied.collect::<Vec<_>>());
            }
        }
        let all = members(column.feasible.words());
        assert_eq!(all.clone().count(), column.feasible_count);
        let max = all.clone().map(|row| column.score(row)).max().unwrap();
        let best: Vec<usize> = all.filter(|&row| column.score(row) == max).collect();
        let (found, count) = column.best();
        assert_eq!((i64::from(found), count), (max, best.len()));
        let nth: Vec<usize> = (0..count).map(|k| column.nth_best(found, k).unwrap()).collect();
        assert_eq!(nth, best);
        let rejected = (0..rows).filter(|&row| column.verdict(row) == 1).count();
        assert_eq!(column.rejected()[1] as usize, rejected);
    }
}
