//! The choice among feasible nodes.
//!
//! Scores that are normalised or look at the whole cluster are equal on many nodes: on all of a zone
//! that have no pod of the kind, say. So nodes are split into parts on which they are equal, and
//! only one node of each part is scored; nodes that differ one by one are scored one by one. What
//! remains is the search for the best score of the column in each part.

use smallvec::SmallVec;

use super::column::{Column, Group};
use super::plan::{Plan, SoftConstraint, Weighted};
use super::shape::Shape;
use super::spreading::Spreading;
use crate::bitset::{members, ones};
use crate::cluster::{Cluster, SetId, Topology, TopologyId};
use crate::framework::normalized;
use crate::plugins::inter_pod_affinity::normalized_affinity;
use crate::plugins::topology_spread::normalized_spread;

/// More blocks than these are not worth their bookkeeping.
const MAX_BLOCKS: usize = 96;

/// Raw scores of a node that are equal all over a part.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Raws {
    /// The group of raw scores of scope Node.
    group: u16,
    /// PodTopologySpread; `None` for nodes that it leaves out.
    spread: Option<i64>,
    /// InterPodAffinity.
    affinity: i64,
}

/// A part: the rows of a block that are in a mask of the last axis.
#[derive(Clone, Copy, Debug)]
struct Part {
    block: u32,
    mask: u32,
    /// One of its rows.
    row: u32,
}

/// Buffers that are used again from decision to decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    /// Words of blocks of rows, one block after the other.
    blocks: Vec<u64>,
    split: Vec<u64>,
    parts: Vec<Part>,
    /// Rows that belong to no part.
    singles: Vec<u32>,
    /// Raw scores of the parts, then of the single rows.
    raws: Vec<Raws>,
    /// What they add to the column's scores.
    bonuses: Vec<i64>,
    order: Vec<(i64, u32)>,
    /// The rows with the column's largest score, as words.
    top: Vec<u64>,
    ties: Vec<u64>,
    pub(super) spreading: super::spreading::SpreadBuffers,
}

/// What the choice is made from.
pub(super) struct Choice<'a> {
    pub(super) plan: &'a Plan,
    pub(super) shape: &'a Shape,
    pub(super) cluster: &'a Cluster,
    pub(super) column: &'a Column,
    /// The feasible rows.
    pub(super) rows: &'a [u64],
    pub(super) feasible: usize,
}

impl Choice<'_> {
    /// Whether the column alone decides.
    pub(super) fn is_plain(&self) -> bool {
        self.plan.soft.is_empty() && self.preferences().next().is_none() && self.column.groups.len() <= 1
    }

    /// The rows with the best total, as words in `buffers`.
    pub(super) fn best<'b>(&self, buffers: &'b mut Buffers) -> &'b [u64] {
        buffers.ties.clear();
        buffers.ties.resize(self.rows.len(), 0);
        buffers.top.clear();
        buffers.top.extend(self.column.top_words(self.column.max()));
        if self.is_plain() {
            let rows = self.rows;
            if !take_top(&buffers.top, rows, Axis::All.mask(0, rows), true, &mut buffers.ties) {
                self.best_by_column(rows.iter().copied(), 0, i64::MIN, &mut buffers.ties);
            }
            return &buffers.ties;
        }
        let last_axis = self.split(buffers);
        self.score_parts(buffers);
        self.best_of_parts(buffers, last_axis);
        &buffers.ties
    }

    /// Preferences with pods to prefer.
    fn preferences(&self) -> impl Iterator<Item = &Weighted> + '_ {
        let all = self.plan.own_preferences.iter().chain(&self.plan.others_preferences);
        all.filter(|preference| {
            let counted = preference.counted;
            self.cluster.index.sets.get(counted.set).tables[counted.table].total > 0
        })
    }

    /// Adds the rows to `ties` that have the best score of the column among `rows`, if that plus
    /// `bonus` is at least `best`; clears `ties` first if it is more. Answers with the best total.
    fn best_by_column(
        &self,
        rows: impl Iterator<Item = u64>,
        bonus: i64,
        best: i64,
        ties: &mut [u64],
    ) -> i64 {
        let mut best = best;
        // Where ties may be found that are no longer best.
        let mut dirty = 0..ties.len();
        for (word, mask) in rows.enumerate() {
            if mask == 0 {
                continue;
            }
            let Some((score, rows)) = self.column.best_of(word, mask, best.saturating_sub(bonus)) else {
                continue;
            };
            if score + bonus > best {
                best = score + bonus;
                ties[dirty].fill(0);
                dirty = word..word;
            }
            ties[word] |= rows;
            dirty.end = dirty.end.max(word + 1);
        }
        best
    }

    /// Splits the feasible rows into parts, and single rows that belong to none. Answers with the
    /// axis along which blocks are to be split last.
    fn split(&self, buffers: &mut Buffers) -> Axis<'_> {
        buffers.blocks.clear();
        buffers.blocks.extend_from_slice(self.rows);
        buffers.singles.clear();
        let topologies = &self.cluster.index.topologies;
        let mut keys: SmallVec<[TopologyId; 4]> = SmallVec::new();
        let mut splits = true;
        for SoftConstraint { topology, counted, by_host, .. } in &self.plan.soft {
            if *by_host {
                splits &= topologies.get(*topology).is_everywhere;
                counted.iter().for_each(|counted| self.take_singles(buffers, counted.set));
            } else {
                keys.push(*topology);
            }
        }
        for preference in self.preferences() {
            let counted = preference.counted;
            if topologies.get(counted.topology).is_host_like {
                self.take_singles(buffers, counted.set);
            } else {
                keys.push(counted.topology);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        splits &= keys.iter().all(|&key| topologies.get(key).has_masks());
        let groups = (self.column.groups.len() > 1).then_some(Axis::Groups(&self.column.groups));
        let mut axes = groups.into_iter().chain(keys.iter().map(|&key| Axis::Topology(topologies.get(key))));
        let last = axes.next_back().unwrap_or(Axis::All);
        splits = splits && axes.all(|axis| self.split_blocks(buffers, axis));
        buffers.parts.clear();
        if splits {
            self.find_parts(buffers, last);
        } else {
            buffers.singles.clear();
            buffers.singles.extend(members(self.rows).map(|row| row as u32));
        }
        last
    }

    /// The parts that are not empty.
    fn find_parts(&self, buffers: &mut Buffers, axis: Axis<'_>) {
        for (block, rows) in buffers.blocks.chunks_exact(self.rows.len()).enumerate() {
            for mask in 0..axis.masks() {
                let first = axis.rows(mask, rows).enumerate().find(|(_, rows)| *rows != 0);
                if let Some((word, rows)) = first {
                    let row = (word * 64) as u32 + rows.trailing_zeros();
                    buffers.parts.push(Part { block: block as u32, mask: mask as u32, row });
                }
            }
        }
    }

    /// Rows with pods of a set that is counted per node are scored one by one.
    fn take_singles(&self, buffers: &mut Buffers, set: SetId) {
        let occupied = self.cluster.index.sets.get(set).occupied.words();
        for (word, (rows, occupied)) in buffers.blocks.iter_mut().zip(occupied).enumerate() {
            let out = *rows & occupied;
            if out != 0 {
                *rows &= !out;
                buffers.singles.extend(ones(out).map(|bit| (word * 64 + bit) as u32));
            }
        }
    }

    /// Splits every block along an axis; false if that makes too many.
    fn split_blocks(&self, buffers: &mut Buffers, axis: Axis<'_>) -> bool {
        let words = self.rows.len();
        buffers.split.clear();
        for block in buffers.blocks.chunks_exact(words) {
            for mask in 0..axis.masks() {
                let start = buffers.split.len();
                buffers.split.extend(axis.rows(mask, block));
                if buffers.split[start..].iter().all(|&rows| rows == 0) {
                    buffers.split.truncate(start);
                }
            }
        }
        std::mem::swap(&mut buffers.blocks, &mut buffers.split);
        buffers.blocks.len() <= MAX_BLOCKS * words
    }

    /// Scores one row of every part and every single row, and turns raw scores into what they add to
    /// the column's.
    fn score_parts(&self, buffers: &mut Buffers) {
        let Buffers { parts, singles, raws, bonuses, spreading, .. } = buffers;
        let spread = Spreading::new(self.plan, self.cluster, self.rows, self.feasible, spreading);
        raws.clear();
        raws.extend(parts.iter().map(|part| self.raws(part.row as usize, &spread)));
        raws.extend(singles.iter().map(|&row| self.raws(row as usize, &spread)));
        let ranges = self.ranges(raws);
        bonuses.clear();
        bonuses.extend(raws.iter().map(|raws| self.bonus(raws, &ranges)));
    }

    fn raws(&self, row: usize, spread: &Spreading<'_>) -> Raws {
        let group = if self.column.groups.len() > 1 { self.column.kind(row).group } else { 0 };
        Raws { group, spread: spread.raw(row), affinity: self.raw_affinity(row) }
    }

    fn raw_affinity(&self, row: usize) -> i64 {
        let index = &self.cluster.index;
        self.preferences()
            .map(|preference| {
                let counted = preference.counted;
                let domain = index.topologies.get(counted.topology).domain(row);
                let counts = &index.sets.get(counted.set).tables[counted.table].counts;
                domain.map_or(0, |domain| preference.weight * i64::from(counts[domain]))
            })
            .sum()
    }

    /// What raw scores are normalised by.
    fn ranges(&self, all: &[Raws]) -> Ranges {
        let mut ranges = Ranges {
            raws: SmallVec::from_elem(0, self.shape.normalized.len()),
            spread: (i64::MAX, 0),
            affinity: (i64::MAX, i64::MIN),
        };
        for raws in all {
            if self.column.groups.len() > 1 {
                let group = &self.column.groups[usize::from(raws.group)];
                for (max, &raw) in ranges.raws.iter_mut().zip(&group.raws) {
                    *max = raw.max(*max);
                }
            }
            if let Some(spread) = raws.spread {
                ranges.spread = (ranges.spread.0.min(spread), ranges.spread.1.max(spread));
            }
            ranges.affinity = (ranges.affinity.0.min(raws.affinity), ranges.affinity.1.max(raws.affinity));
        }
        ranges
    }

    /// What raw scores add to the column's score.
    fn bonus(&self, raws: &Raws, ranges: &Ranges) -> i64 {
        let mut bonus = 0;
        if self.column.groups.len() > 1 {
            let group = &self.column.groups[usize::from(raws.group)];
            for (index, score) in self.shape.normalized.iter().enumerate() {
                bonus += score.weight * normalized(group.raws[index], ranges.raws[index], score.reversed);
            }
        }
        if !self.plan.soft.is_empty()
            && let (Some(raw), Some(weight)) = (raws.spread, self.shape.spread_weight)
        {
            bonus += weight * normalized_spread(raw, ranges.spread.0, ranges.spread.1);
        }
        if let Some(weight) = self.shape.affinity_weight {
            bonus += weight * normalized_affinity(raws.affinity, ranges.affinity.0, ranges.affinity.1);
        }
        bonus
    }

    /// Finds the rows with the best total: parts with the largest bonus first, so that most others
    /// need no more than a look.
    fn best_of_parts(&self, buffers: &mut Buffers, axis: Axis<'_>) {
        let words = self.rows.len();
        let parts = buffers.parts.len();
        let largest = i64::from(self.column.max());
        let mut best = i64::MIN;
        buffers.order.clear();
        buffers.order.extend((0..parts).map(|part| (-buffers.bonuses[part], part as u32)));
        buffers.order.sort_unstable();
        for &(negative, part) in &buffers.order {
            let (part, bonus) = (buffers.parts[part as usize], -negative);
            if largest + bonus < best {
                break;
            }
            let block = &buffers.blocks[part.block as usize * words..][..words];
            let mask = part.mask as usize;
            let is_better = largest + bonus > best;
            if take_top(&buffers.top, block, axis.mask(mask, block), is_better, &mut buffers.ties) {
                best = largest + bonus;
            } else if is_better {
                best = self.best_by_column(axis.rows(mask, block), bonus, best, &mut buffers.ties);
            }
        }
        for (&row, bonus) in buffers.singles.iter().zip(&buffers.bonuses[parts..]) {
            let row = row as usize;
            let total = self.column.score(row) + bonus;
            if total > best {
                buffers.ties.fill(0);
                best = total;
            }
            if total == best {
                buffers.ties[row / 64] |= 1 << (row % 64);
            }
        }
    }
}

/// Along what blocks of rows are split.
#[derive(Clone, Copy)]
enum Axis<'a> {
    /// Not at all.
    All,
    /// By raw scores of scope Node.
    Groups(&'a [Group]),
    /// By domains, nodes without one being the last.
    Topology(&'a Topology),
}

impl<'a> Axis<'a> {
    /// Into how many parts a block can be split.
    fn masks(self) -> usize {
        match self {
            Axis::All => 1,
            Axis::Groups(groups) => groups.len(),
            Axis::Topology(topology) => topology.masks.len() + usize::from(!topology.is_everywhere),
        }
    }

    /// The words of a mask, and what is to be flipped in them.
    fn mask<'b>(self, mask: usize, block: &'b [u64]) -> (&'b [u64], u64)
    where
        'a: 'b,
    {
        match self {
            Axis::All => (block, 0),
            Axis::Groups(groups) => (groups[mask].rows.words(), 0),
            Axis::Topology(topology) => match topology.masks.get(mask) {
                Some(mask) => (mask.words(), 0),
                None => (topology.present.words(), u64::MAX),
            },
        }
    }

    /// The rows of a block that are in a mask.
    fn rows<'b>(self, mask: usize, block: &'b [u64]) -> impl Iterator<Item = u64> + 'b
    where
        'a: 'b,
    {
        let (mask, flip) = self.mask(mask, block);
        debug_assert!(mask.len() >= block.len(), "masks cover all rows");
        block.iter().zip(mask).map(move |(rows, mask)| rows & (mask ^ flip))
    }
}

/// Adds those rows of a block and a mask to `ties` that are among the `top` ones; if they are better
/// than what is there, they take its place. Answers with whether there are any. Plain passes over
/// words, which the compiler turns into vector instructions.
fn take_top(
    top: &[u64],
    block: &[u64],
    (mask, flip): (&[u64], u64),
    is_better: bool,
    ties: &mut [u64],
) -> bool {
    let found = || top.iter().zip(block).zip(mask).map(|((top, block), mask)| top & block & (mask ^ flip));
    if found().fold(0, |all, rows| all | rows) == 0 {
        return false;
    }
    if is_better {
        ties.iter_mut().zip(found()).for_each(|(ties, rows)| *ties = rows);
    } else {
        ties.iter_mut().zip(found()).for_each(|(ties, rows)| *ties |= rows);
    }
    true
}

/// What raw scores are normalised by.
struct Ranges {
    raws: SmallVec<[i64; 2]>,
    spread: (i64, i64),
    affinity: (i64, i64),
}
