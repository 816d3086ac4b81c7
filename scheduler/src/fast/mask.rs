//! Filters of scope Cluster over all nodes at once, a word of 64 rows at a time.

use super::plan::{Counted, HardConstraint, Plan};
use super::shape::{IndexedFilter, Shape};
use crate::bitset::ones;
use crate::cluster::{Index, Topology};
use crate::framework::{Code, PluginId};

/// Who is told of rows that a filter takes out: plugin, code, word index, rows.
pub(super) trait Removed {
    fn removed(&mut self, plugin: PluginId, code: Code, word: usize, rows: u64);
}

/// Nobody wants to know.
pub(super) struct Nobody;

impl Removed for Nobody {
    fn removed(&mut self, _: PluginId, _: Code, _: usize, _: u64) {}
}

/// Takes the rows out of `rows` that filters of scope Cluster reject.
pub(super) fn apply(plan: &Plan, shape: &Shape, index: &Index, rows: &mut [u64], removed: &mut impl Removed) {
    for &(plugin, kind) in &shape.indexed_filters {
        let mut filter = MaskFilter { plugin, index, rows, removed };
        match kind {
            IndexedFilter::Spread => plan.hard.iter().for_each(|constraint| filter.spread(constraint)),
            IndexedFilter::Affinity => {
                filter.affinity(plan);
                plan.anti.iter().for_each(|&counted| filter.keep_away(counted));
                plan.existing_anti.iter().for_each(|&counted| filter.keep_away(counted));
            }
        }
    }
}

struct MaskFilter<'a, R> {
    plugin: PluginId,
    index: &'a Index,
    rows: &'a mut [u64],
    removed: &'a mut R,
}

impl<R: Removed> MaskFilter<'_, R> {
    /// Keeps the rows of `word` that are in `kept`.
    fn keep(&mut self, code: Code, word: usize, kept: u64) {
        let out = self.rows[word] & !kept;
        if out != 0 {
            self.removed.removed(self.plugin, code, word, out);
            self.rows[word] &= kept;
        }
    }

    fn keep_present(&mut self, topology: &Topology) {
        if topology.is_everywhere {
            return;
        }
        for word in 0..self.rows.len() {
            self.keep(Code::Unresolvable, word, topology.present.word(word));
        }
    }

    /// Keeps the rows whose domain passes; rows without a domain stay if `keeps_others`.
    fn keep_domains(
        &mut self,
        code: Code,
        topology: &Topology,
        keeps_others: bool,
        passes: impl Fn(usize) -> bool,
    ) {
        if topology.has_masks() {
            for (domain, mask) in topology.masks.iter().enumerate() {
                if !passes(domain) {
                    for word in 0..self.rows.len() {
                        self.keep(code, word, !mask.word(word));
                    }
                }
            }
            if !keeps_others && !topology.is_everywhere {
                for word in 0..self.rows.len() {
                    self.keep(code, word, topology.present.word(word));
                }
            }
            return;
        }
        for word in 0..self.rows.len() {
            let mut kept = u64::MAX;
            for bit in ones(self.rows[word]) {
                let stays = topology.domain(word * 64 + bit).map_or(keeps_others, &passes);
                kept &= !(u64::from(!stays) << bit);
            }
            self.keep(code, word, kept);
        }
    }

    fn spread(&mut self, constraint: &HardConstraint) {
        let index = self.index;
        let topology = index.topologies.get(constraint.topology);
        self.keep_present(topology);
        let Some(counted) = constraint.counted else {
            // Nothing is counted, so every skew is what the pod itself adds.
            if constraint.own > constraint.max_skew {
                self.keep_domains(Code::Unschedulable, topology, false, |_| false);
            }
            return;
        };
        let set = index.sets.get(counted.set);
        let table = &set.tables[counted.table];
        let min = if (table.domains as i64) < constraint.min_domains { 0 } else { table.min() };
        let limit = constraint.max_skew - constraint.own + min;
        if limit == 0 && topology.is_host_like && table.eligibility.is_none() {
            for word in 0..self.rows.len() {
                self.keep(Code::Unschedulable, word, !set.occupied.word(word));
            }
            return;
        }
        let passes = |domain: usize| i64::from(table.counts[domain]) <= limit;
        self.keep_domains(Code::Unschedulable, topology, false, passes);
    }

    /// Required affinity: every term needs a domain with a pod that matches all terms; the first of
    /// a group that looks for its like needs only the domains.
    fn affinity(&mut self, plan: &Plan) {
        let index = self.index;
        let table = |counted: &Counted| &index.sets.get(counted.set).tables[counted.table];
        let nobody = plan.affinity.iter().all(|counted| table(counted).total == 0);
        for counted in &plan.affinity {
            let topology = index.topologies.get(counted.topology);
            if nobody && plan.matches_itself {
                self.keep_present(topology);
            } else {
                let counts = &table(counted).counts;
                self.keep_domains(Code::Unresolvable, topology, false, |domain| counts[domain] > 0);
            }
        }
    }

    /// Anti-affinity: no pod of the set in the domain.
    fn keep_away(&mut self, counted: Counted) {
        let index = self.index;
        let topology = index.topologies.get(counted.topology);
        let set = index.sets.get(counted.set);
        let table = &set.tables[counted.table];
        if table.total == 0 {
            return;
        }
        if topology.is_host_like {
            for word in 0..self.rows.len() {
                self.keep(Code::Unschedulable, word, !set.occupied.word(word));
            }
            return;
        }
        self.keep_domains(Code::Unschedulable, topology, true, |domain| table.counts[domain] == 0);
    }
}
