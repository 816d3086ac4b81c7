//! The choice among feasible nodes.
//!
//! Scores that are normalised or look at the whole cluster are equal on many nodes: on all of a zone
//! that have no pod of the kind, say. So nodes are split into parts on which they are equal, and
//! only one node of each part is scored; nodes that differ one by one are scored one by one. What
//! remains is the search for the best score of the column in each part.

use smallvec::SmallVec;

use super::column::Column;
use super::plan::{Plan, SoftConstraint, Weighted};
use super::shape::Shape;
use crate::bitset::{self, members, ones};
use crate::cluster::{Cluster, TopologyId};
use crate::framework::normalized;
use crate::plugins::inter_pod_affinity::normalized_affinity;
use crate::plugins::topology_spread::{domain_score, domain_weight, normalized_spread};

/// More parts than these are not worth their bookkeeping.
const MAX_PARTS: usize = 96;

/// Raw scores of a node that are equal all over a part.
#[derive(Clone, Debug, PartialEq)]
struct Raws {
    /// The group of raw scores of scope Node.
    group: u16,
    /// PodTopologySpread; `None` for nodes that it leaves out.
    spread: Option<i64>,
    /// InterPodAffinity.
    affinity: i64,
}

/// Buffers that are used again from decision to decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    /// Words of the parts, one part after the other.
    parts: Vec<u64>,
    split: Vec<u64>,
    raws: Vec<Raws>,
    singles: Vec<(u32, Raws)>,
    ties: Vec<u64>,
    order: Vec<(i64, u32)>,
    bonuses: Vec<i64>,
    logarithms: Vec<f64>,
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
    /// The rows with the best total, as words in `buffers`.
    pub(super) fn best<'b>(&self, buffers: &'b mut Buffers) -> &'b [u64] {
        buffers.ties.clear();
        buffers.ties.resize(self.rows.len(), 0);
        if self.is_plain() {
            self.best_by_column(self.rows, 0, i64::MIN, &mut buffers.ties);
            return &buffers.ties;
        }
        let spread_weights = self.spread_weights(buffers);
        self.split(buffers);
        self.score_parts(buffers, &spread_weights);
        self.best_of_parts(buffers);
        &buffers.ties
    }

    /// Whether the column alone decides.
    fn is_plain(&self) -> bool {
        self.plan.soft.is_empty() && self.preferences().next().is_none() && self.column.groups.len() <= 1
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
    fn best_by_column(&self, rows: &[u64], bonus: i64, best: i64, ties: &mut [u64]) -> i64 {
        let mut best = best;
        let mut first = 0;
        let mut cleared = false;
        for (word, &mask) in rows.iter().enumerate() {
            if mask == 0 {
                continue;
            }
            let Some((score, rows)) = self.column.best_of(word, mask, best.saturating_sub(bonus)) else {
                continue;
            };
            if score + bonus > best {
                best = score + bonus;
                let from = if cleared { first } else { 0 };
                let to = if cleared { word } else { ties.len() };
                ties[from..to].fill(0);
                (first, cleared) = (word, true);
            }
            ties[word] |= rows;
        }
        best
    }

    /// What each soft constraint's topology weighs, by the number of its domains among the feasible
    /// nodes.
    fn spread_weights(&self, buffers: &mut Buffers) -> SmallVec<[f64; 4]> {
        let scored = match self.plan.needs_all_keys {
            false => self.feasible,
            true => {
                let present = |word: usize| {
                    self.plan.soft.iter().fold(u64::MAX, |all, constraint| {
                        all & self.cluster.index.topologies.get(constraint.topology).present.word(word)
                    })
                };
                let rows = self.rows.iter().enumerate();
                rows.map(|(word, rows)| (rows & present(word)).count_ones() as usize).sum()
            }
        };
        let mut weight = |domains: usize| {
            while buffers.logarithms.len() <= domains {
                buffers.logarithms.push(domain_weight(buffers.logarithms.len()));
            }
            buffers.logarithms[domains]
        };
        let soft = self.plan.soft.iter();
        soft.map(|constraint| weight(if constraint.by_host { scored } else { self.domains(constraint) }))
            .collect()
    }

    /// How many domains of a constraint's topology are among the feasible nodes that are scored.
    fn domains(&self, constraint: &SoftConstraint) -> usize {
        let topologies = &self.cluster.index.topologies;
        let topology = topologies.get(constraint.topology);
        let scored = |word: usize| {
            if !self.plan.needs_all_keys {
                return self.rows[word];
            }
            self.plan
                .soft
                .iter()
                .fold(self.rows[word], |all, other| all & topologies.get(other.topology).present.word(word))
        };
        let words = 0..self.rows.len();
        // Nodes without the label are one more domain, where they are scored at all.
        let others = words.clone().any(|word| scored(word) & !topology.present.word(word) != 0);
        let domains = if topology.has_masks() {
            let is_there =
                |mask: &bitset::Bitset| words.clone().any(|word| scored(word) & mask.word(word) != 0);
            topology.masks.iter().filter(|mask| is_there(mask)).count()
        } else {
            let mut seen = bitset::Bitset::with_len(topology.nodes_in.len());
            for word in words {
                ones(scored(word)).filter_map(|bit| topology.domain(word * 64 + bit)).for_each(|domain| {
                    seen.insert(domain);
                });
            }
            bitset::count(seen.words())
        };
        domains + usize::from(others)
    }

    /// Splits the feasible rows into parts, and single rows that belong to none.
    fn split(&self, buffers: &mut Buffers) {
        buffers.parts.clear();
        buffers.parts.extend_from_slice(self.rows);
        buffers.singles.clear();
        let mut axes: SmallVec<[TopologyId; 4]> = SmallVec::new();
        let mut splits = true;
        for constraint in &self.plan.soft {
            if constraint.by_host {
                splits &= self.all_have(constraint.topology);
                let Some(counted) = constraint.counted else { continue };
                self.take_singles(buffers, counted.set);
            } else {
                axes.push(constraint.topology);
            }
        }
        for preference in self.preferences() {
            let counted = preference.counted;
            if self.cluster.index.topologies.get(counted.topology).is_host_like {
                self.take_singles(buffers, counted.set);
            } else {
                axes.push(counted.topology);
            }
        }
        axes.sort_unstable();
        axes.dedup();
        splits &= axes.iter().all(|&axis| self.cluster.index.topologies.get(axis).has_masks());
        if self.column.groups.len() > 1 {
            splits &= self.split_by_groups(buffers);
        }
        for axis in axes {
            splits = splits && self.split_by_topology(buffers, axis);
        }
        if !splits {
            self.single_out_all(buffers);
        }
    }

    fn all_have(&self, topology: TopologyId) -> bool {
        let present = &self.cluster.index.topologies.get(topology).present;
        self.rows.iter().enumerate().all(|(word, rows)| rows & !present.word(word) == 0)
    }

    /// Rows with pods of a set that is counted per node are scored one by one.
    fn take_singles(&self, buffers: &mut Buffers, set: u32) {
        let occupied = &self.cluster.index.sets.get(set).occupied;
        for (word, rows) in buffers.parts.iter_mut().enumerate() {
            let out = *rows & occupied.word(word);
            *rows &= !out;
            for bit in ones(out) {
                buffers.singles.push(((word * 64 + bit) as u32, NOTHING));
            }
        }
    }

    fn single_out_all(&self, buffers: &mut Buffers) {
        buffers.parts.clear();
        buffers.singles.clear();
        let rows = members(self.rows).map(|row| (row as u32, NOTHING));
        buffers.singles.extend(rows);
    }

    fn split_by_groups(&self, buffers: &mut Buffers) -> bool {
        let groups = &self.column.groups;
        self.split_by(buffers, groups.len(), |group, word| groups[group].rows.word(word))
    }

    fn split_by_topology(&self, buffers: &mut Buffers, axis: TopologyId) -> bool {
        let topology = self.cluster.index.topologies.get(axis);
        let domains = topology.masks.len();
        self.split_by(buffers, domains + 1, |domain, word| match topology.masks.get(domain) {
            Some(mask) => mask.word(word),
            None => !topology.present.word(word),
        })
    }

    /// Splits every part into those of its rows that are in each of so many masks.
    fn split_by(&self, buffers: &mut Buffers, masks: usize, mask: impl Fn(usize, usize) -> u64) -> bool {
        let words = self.rows.len();
        buffers.split.clear();
        for part in buffers.parts.chunks_exact(words) {
            for index in 0..masks {
                let start = buffers.split.len();
                buffers.split.extend(part.iter().enumerate().map(|(word, rows)| rows & mask(index, word)));
                if buffers.split[start..].iter().all(|&rows| rows == 0) {
                    buffers.split.truncate(start);
                }
            }
        }
        std::mem::swap(&mut buffers.parts, &mut buffers.split);
        buffers.parts.len() <= MAX_PARTS * words
    }

    /// Scores one row of every part and every single row, and turns raw scores into what they add to
    /// the column's.
    fn score_parts(&self, buffers: &mut Buffers, spread_weights: &[f64]) {
        let words = self.rows.len();
        buffers.raws.clear();
        let mut filled = 0;
        for part in 0..buffers.parts.len() / words {
            let rows = &buffers.parts[part * words..(part + 1) * words];
            let Some(row) = members(rows).next() else { continue };
            let raws = self.raws(row, spread_weights);
            buffers.parts.copy_within(part * words..(part + 1) * words, filled * words);
            buffers.raws.push(raws);
            filled += 1;
        }
        buffers.parts.truncate(filled * words);
        for (row, raws) in &mut buffers.singles {
            *raws = self.raws(*row as usize, spread_weights);
        }
        let all = || buffers.raws.iter().chain(buffers.singles.iter().map(|(_, raws)| raws));
        let range = Ranges::of(all(), self.column, self.shape.normalized.len());
        let bonuses: Vec<i64> = all().map(|raws| self.bonus(raws, &range)).collect();
        buffers.bonuses = bonuses;
    }

    fn raws(&self, row: usize, spread_weights: &[f64]) -> Raws {
        let group = if self.column.groups.len() > 1 { self.column.kind(row).group } else { 0 };
        Raws { group, spread: self.raw_spread(row, spread_weights), affinity: self.raw_affinity(row) }
    }

    fn raw_spread(&self, row: usize, weights: &[f64]) -> Option<i64> {
        let index = &self.cluster.index;
        let mut score = 0.0;
        for (constraint, weight) in self.plan.soft.iter().zip(weights) {
            let topology = index.topologies.get(constraint.topology);
            let Some(domain) = topology.domain(row) else {
                if self.plan.needs_all_keys {
                    return None;
                }
                continue;
            };
            let count = constraint.counted.map_or(0, |counted| {
                let set = index.sets.get(counted.set);
                if constraint.by_host {
                    set.count(row)
                } else {
                    i64::from(set.tables[counted.table].counts[domain])
                }
            });
            score += domain_score(count, constraint.max_skew, *weight);
        }
        Some(score.round() as i64)
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
    fn best_of_parts(&self, buffers: &mut Buffers) {
        let words = self.rows.len();
        let parts = buffers.raws.len();
        let mut best = i64::MIN;
        for ((row, _), bonus) in buffers.singles.iter().zip(&buffers.bonuses[parts..]) {
            let row = *row as usize;
            let total = self.column.score(row) + bonus;
            if total > best {
                buffers.ties.fill(0);
                best = total;
            }
            if total == best {
                buffers.ties[row / 64] |= 1 << (row % 64);
            }
        }
        buffers.order.clear();
        buffers.order.extend((0..parts).map(|part| (-buffers.bonuses[part], part as u32)));
        buffers.order.sort_unstable();
        for &(negative, part) in &buffers.order {
            let rows = &buffers.parts[part as usize * words..(part as usize + 1) * words];
            best = self.best_by_column(rows, -negative, best, &mut buffers.ties);
        }
    }
}

const NOTHING: Raws = Raws { group: 0, spread: None, affinity: 0 };

/// What raw scores are normalised by.
struct Ranges {
    raws: SmallVec<[i64; 2]>,
    spread: (i64, i64),
    affinity: (i64, i64),
}

impl Ranges {
    fn of<'a>(all: impl Iterator<Item = &'a Raws>, column: &Column, normalized: usize) -> Ranges {
        let mut ranges = Ranges {
            raws: SmallVec::from_elem(0, normalized),
            spread: (i64::MAX, 0),
            affinity: (i64::MAX, i64::MIN),
        };
        for raws in all {
            if column.groups.len() > 1 {
                let group = &column.groups[usize::from(raws.group)];
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
}
