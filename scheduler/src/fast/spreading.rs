//! Raw scores of PodTopologySpread, node by node, with what is equal on many nodes computed once.

use smallvec::SmallVec;

use super::plan::{Plan, SoftConstraint};
use crate::bitset::{self, Bitset, members};
use crate::cluster::{Cluster, PodSet, Topology};
use crate::plugins::topology_spread::{domain_score, domain_weight, rounded};

/// Counts per node up to this one have their score computed beforehand.
const SMALL_COUNTS: usize = 8;

/// Buffers that are used again from decision to decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpreadBuffers {
    /// Per constraint: scores by count or by domain.
    values: Vec<f64>,
    /// What so many domains weigh.
    weights: Vec<f64>,
}

/// A soft constraint, ready to score nodes.
struct Term<'a> {
    topology: &'a Topology,
    set: Option<&'a PodSet>,
    table: usize,
    by_host: bool,
    max_skew: i64,
    weight: f64,
    /// Where the scores are that were computed beforehand.
    values: std::ops::Range<usize>,
}

/// The soft constraints of a pod over the feasible nodes.
pub(super) struct Spreading<'a> {
    terms: SmallVec<[Term<'a>; 2]>,
    values: &'a [f64],
    needs_all_keys: bool,
}

impl<'a> Spreading<'a> {
    pub(super) fn new(
        plan: &Plan,
        cluster: &'a Cluster,
        rows: &[u64],
        feasible: usize,
        buffers: &'a mut SpreadBuffers,
    ) -> Spreading<'a> {
        let SpreadBuffers { values, weights } = buffers;
        values.clear();
        let scored = Scored { plan, cluster, rows };
        let mut terms = SmallVec::new();
        for constraint in &plan.soft {
            let domains =
                if constraint.by_host { scored.count(feasible) } else { scored.domains(constraint) };
            while weights.len() <= domains {
                weights.push(domain_weight(weights.len()));
            }
            terms.push(term(cluster, constraint, weights[domains], values));
        }
        Spreading { terms, values, needs_all_keys: plan.needs_all_keys }
    }

    /// The raw score of a row; `None` for rows that are left out.
    pub(super) fn raw(&self, row: usize) -> Option<i64> {
        let mut score = 0.0;
        for term in &self.terms {
            match term.topology.domain(row) {
                Some(domain) => score += self.value(term, row, domain),
                None if self.needs_all_keys => return None,
                None => {}
            }
        }
        Some(rounded(score))
    }

    fn value(&self, term: &Term<'_>, row: usize, domain: usize) -> f64 {
        let known = &self.values[term.values.clone()];
        let count = match term.set {
            None => 0,
            Some(set) if term.by_host => set.count(row),
            Some(set) => match known.get(domain) {
                Some(&value) => return value,
                None => i64::from(set.tables[term.table].counts[domain]),
            },
        };
        if term.by_host
            && let Some(&value) = known.get(count as usize)
        {
            return value;
        }
        domain_score(count, term.max_skew, term.weight)
    }
}

fn term<'a>(
    cluster: &'a Cluster,
    constraint: &SoftConstraint,
    weight: f64,
    values: &mut Vec<f64>,
) -> Term<'a> {
    let topology = cluster.index.topologies.get(constraint.topology);
    let set = constraint.counted.map(|counted| cluster.index.sets.get(counted.set));
    let table = constraint.counted.map_or(0, |counted| counted.table);
    let (max_skew, by_host) = (constraint.max_skew, constraint.by_host);
    let start = values.len();
    let score = |count: i64| domain_score(count, max_skew, weight);
    if by_host {
        values.extend((0..SMALL_COUNTS as i64).map(score));
    } else if let Some(set) = set.filter(|_| topology.has_masks()) {
        values.extend(set.tables[table].counts.iter().map(|&count| score(i64::from(count))));
    }
    Term { topology, set, table, by_host, max_skew, weight, values: start..values.len() }
}

/// The feasible nodes that are scored: all, or those that have every key.
struct Scored<'a> {
    plan: &'a Plan,
    cluster: &'a Cluster,
    rows: &'a [u64],
}

impl Scored<'_> {
    fn topologies(&self) -> impl Iterator<Item = &Topology> + '_ {
        let all = self.plan.soft.iter().filter(|_| self.plan.needs_all_keys);
        all.map(|constraint| self.cluster.index.topologies.get(constraint.topology))
    }

    fn word(&self, word: usize) -> u64 {
        self.topologies()
            .filter(|topology| !topology.is_everywhere)
            .fold(self.rows[word], |rows, topology| rows & topology.present.word(word))
    }

    /// How many nodes are scored of the feasible ones.
    fn count(&self, feasible: usize) -> usize {
        if self.topologies().all(|topology| topology.is_everywhere) {
            return feasible;
        }
        (0..self.rows.len()).map(|word| self.word(word).count_ones() as usize).sum()
    }

    /// How many domains of a constraint's topology are among them.
    fn domains(&self, constraint: &SoftConstraint) -> usize {
        let topology = self.cluster.index.topologies.get(constraint.topology);
        let words = 0..self.rows.len();
        // Nodes without the label are one more domain, where they are scored at all.
        let others = !topology.is_everywhere
            && words.clone().any(|word| self.word(word) & !topology.present.word(word) != 0);
        let domains = if topology.has_masks() {
            let is_there = |mask: &Bitset| words.clone().any(|word| self.word(word) & mask.word(word) != 0);
            topology.masks.iter().filter(|mask| is_there(mask)).count()
        } else {
            let mut seen = Bitset::with_len(topology.nodes_in.len());
            for row in members(self.rows) {
                let is_scored = self.word(row / 64) >> (row % 64) & 1 == 1;
                if let Some(domain) = topology.domain(row).filter(|_| is_scored) {
                    seen.insert(domain);
                }
            }
            bitset::count(seen.words())
        };
        domains + usize::from(others)
    }
}
