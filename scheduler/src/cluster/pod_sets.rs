//! Sets of pods on nodes, counted per node and per domain as pods come and go.
//!
//! A set is all pods that match something (a selector of a spread constraint, the terms of a pod's
//! affinity) or all pods that carry a certain affinity term. Whoever wants to know about a set asks
//! for it once; from then on a pod that is placed costs one addition per set that it belongs to.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::pod::Pod;
use seatrial_api::scheduling::PodAffinityTerm;
use seatrial_api::symbol::Symbol;

use super::content::Content;
use super::topology::{Topologies, TopologyId};
use super::{Eligibilities, EligibilityId};
use crate::bitset::{Bitset, members};

/// The row of a set in [`PodSets`].
pub(crate) type SetId = u32;

/// Which pods are in a set.
#[derive(Clone, Debug)]
pub(crate) enum Membership {
    /// Pods of a namespace that match a selector and are not terminating.
    Selected { namespace: Symbol, selector: Selector },
    /// Pods for which all these terms of a pod of namespace `owner` look.
    LookedFor { owner: Symbol, terms: Arc<[PodAffinityTerm]> },
    /// Pods that carry a term in this role.
    Carrying { role: Role, owner: Symbol, term: PodAffinityTerm },
}

/// What a term means to the pod that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// It must not be near pods that the term looks for.
    RequiredAnti,
    /// It must be near them.
    RequiredAffinity,
    /// It would rather be near them (or away, if negative), by so much.
    Preferred(i32),
}

/// Counts of a set by the domains of a topology.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) topology: TopologyId,
    /// Only these nodes count; `None` for all.
    pub(crate) eligibility: Option<EligibilityId>,
    /// Pods per domain.
    pub(crate) counts: Vec<i32>,
    /// Pods in all domains.
    pub(crate) total: i64,
    /// Eligible nodes per domain.
    pub(crate) nodes_in: Vec<u32>,
    /// How many domains with eligible nodes have so many pods.
    histogram: Vec<u32>,
    /// How many domains have eligible nodes.
    pub(crate) domains: usize,
}

/// A set of pods.
#[derive(Clone, Debug)]
pub(crate) struct PodSet {
    pub(crate) membership: Membership,
    /// Pods per row of a node.
    pub(crate) counts: Vec<u16>,
    /// Rows with pods.
    pub(crate) occupied: Bitset,
    pub(crate) tables: Vec<Table>,
    /// How many plans and templates refer to it.
    references: u32,
    content: Content,
}

/// All sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodSets {
    sets: Vec<Option<PodSet>>,
    by_content: FxHashMap<Content, SetId>,
    vacant: Vec<SetId>,
}

impl Membership {
    /// Whether terminating pods do not count.
    pub(crate) fn is_live_only(&self) -> bool {
        matches!(self, Membership::Selected { .. })
    }

    pub(crate) fn content(&self) -> Content {
        let mut content = Content::default();
        match self {
            Membership::Selected { namespace, selector } => {
                content.number(0);
                content.symbol(*namespace);
                content.selector(Some(selector));
            }
            Membership::LookedFor { owner, terms } => {
                content.number(1);
                content.number(terms.len() as i64);
                terms.iter().for_each(|term| term_content(&mut content, *owner, term));
            }
            Membership::Carrying { role, owner, term } => {
                content.number(2);
                match role {
                    Role::RequiredAnti => content.number(0),
                    Role::RequiredAffinity => content.number(1),
                    Role::Preferred(weight) => {
                        content.number(2);
                        content.number(i64::from(*weight));
                    }
                }
                content.symbol(term.topology_key);
                term_content(&mut content, *owner, term);
            }
        }
        content
    }
}

/// Which pods a term looks for; the owner's namespace matters only where no other is named.
fn term_content(content: &mut Content, owner: Symbol, term: &PodAffinityTerm) {
    let scope = &term.namespaces;
    let own = scope.names.is_empty() && scope.selector.is_none();
    content.selector(term.selector.as_ref());
    content.symbols(if own { std::slice::from_ref(&owner) } else { &scope.names });
    content.selector(scope.selector.as_ref());
}

impl Table {
    fn new(
        topologies: &Topologies,
        eligibilities: &Eligibilities,
        topology: TopologyId,
        eligibility: Option<EligibilityId>,
    ) -> Table {
        let mut table = Table {
            topology,
            eligibility,
            counts: Vec::new(),
            total: 0,
            nodes_in: Vec::new(),
            histogram: Vec::new(),
            domains: 0,
        };
        table.reset(topologies, eligibilities);
        table
    }

    /// Forgets all counts and looks at topology and eligible nodes anew.
    fn reset(&mut self, topologies: &Topologies, eligibilities: &Eligibilities) {
        let topology = topologies.get(self.topology);
        self.nodes_in = match self.eligibility {
            None => topology.nodes_in.clone(),
            Some(eligibility) => {
                let mut nodes_in = vec![0; topology.nodes_in.len()];
                for row in members(eligibilities.get(eligibility).rows.words()) {
                    if let Some(domain) = topology.domain(row) {
                        nodes_in[domain] += 1;
                    }
                }
                nodes_in
            }
        };
        self.domains = self.nodes_in.iter().filter(|&&nodes| nodes > 0).count();
        self.counts = vec![0; self.nodes_in.len()];
        self.total = 0;
        self.histogram = vec![self.domains as u32];
    }

    fn add(&mut self, topologies: &Topologies, eligibilities: &Eligibilities, row: usize, change: i32) {
        let Some(domain) = topologies.get(self.topology).domain(row) else { return };
        if self.eligibility.is_some_and(|id| !eligibilities.get(id).rows.contains(row)) {
            return;
        }
        let count = &mut self.counts[domain];
        let (before, after) = (*count as usize, (*count + change) as usize);
        *count += change;
        self.total += i64::from(change);
        if after >= self.histogram.len() {
            self.histogram.resize(after + 1, 0);
        }
        self.histogram[before] -= 1;
        self.histogram[after] += 1;
    }

    /// The smallest count of a domain with eligible nodes; 0 if there is none.
    pub(crate) fn min(&self) -> i64 {
        self.histogram.iter().position(|&domains| domains > 0).unwrap_or(0) as i64
    }
}

impl PodSet {
    fn add(&mut self, topologies: &Topologies, eligibilities: &Eligibilities, row: usize, change: i32) {
        if row >= self.counts.len() {
            self.counts.resize(row + 1, 0);
        }
        let count = &mut self.counts[row];
        *count = count.wrapping_add_signed(change as i16);
        self.occupied.assign(row, *count > 0);
        for table in &mut self.tables {
            table.add(topologies, eligibilities, row, change);
        }
    }

    /// How many of its pods are on the node of a row.
    pub(crate) fn count(&self, row: usize) -> i64 {
        self.counts.get(row).copied().map_or(0, i64::from)
    }

    fn fill_table(&mut self, index: usize, topologies: &Topologies, eligibilities: &Eligibilities) {
        for row in members(self.occupied.words()) {
            self.tables[index].add(topologies, eligibilities, row, i32::from(self.counts[row]));
        }
    }
}

impl PodSets {
    pub(crate) fn get(&self, id: SetId) -> &PodSet {
        self.sets[id as usize].as_ref().expect("invariant: a set in use exists")
    }

    /// All sets with their rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SetId, &PodSet)> + '_ {
        self.sets.iter().enumerate().filter_map(|(id, set)| set.as_ref().map(|set| (id as SetId, set)))
    }

    /// The set with this membership and whether it is new, and so still empty.
    pub(crate) fn intern(&mut self, membership: Membership) -> (SetId, bool) {
        let content = membership.content();
        if let Some(&id) = self.by_content.get(&content) {
            if let Some(set) = &mut self.sets[id as usize] {
                set.references += 1;
            }
            return (id, false);
        }
        let set = PodSet {
            membership,
            counts: Vec::new(),
            occupied: Bitset::default(),
            tables: Vec::new(),
            references: 1,
            content: content.clone(),
        };
        let id = self.vacant.pop().unwrap_or(self.sets.len() as SetId);
        if id as usize == self.sets.len() {
            self.sets.push(Some(set));
        } else {
            self.sets[id as usize] = Some(set);
        }
        self.by_content.insert(content, id);
        (id, true)
    }

    /// One reference less. Sets without any are taken away by [`PodSets::sweep`].
    pub(crate) fn release(&mut self, id: SetId) {
        if let Some(set) = &mut self.sets[id as usize] {
            set.references -= 1;
        }
    }

    /// Takes sets away to which nothing refers; answers with those that are gone.
    pub(crate) fn sweep(&mut self) -> Bitset {
        let mut gone = Bitset::default();
        for (id, slot) in self.sets.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|set| set.references == 0)
                && let Some(set) = slot.take()
            {
                self.by_content.remove(&set.content);
                self.vacant.push(id as SetId);
                gone.insert(id);
            }
        }
        gone
    }

    /// The table of a set for a topology and eligible nodes, made now if it is new.
    pub(crate) fn table(
        &mut self,
        id: SetId,
        topologies: &Topologies,
        eligibilities: &Eligibilities,
        topology: TopologyId,
        eligibility: Option<EligibilityId>,
    ) -> usize {
        let set = self.sets[id as usize].as_mut().expect("invariant: a set in use exists");
        let same = |table: &Table| (table.topology, table.eligibility) == (topology, eligibility);
        if let Some(index) = set.tables.iter().position(same) {
            return index;
        }
        set.tables.push(Table::new(topologies, eligibilities, topology, eligibility));
        let index = set.tables.len() - 1;
        set.fill_table(index, topologies, eligibilities);
        index
    }

    /// A pod of a set comes to or leaves a row.
    pub(crate) fn add(
        &mut self,
        id: SetId,
        topologies: &Topologies,
        eligibilities: &Eligibilities,
        row: usize,
        change: i32,
    ) {
        if let Some(set) = &mut self.sets[id as usize] {
            set.add(topologies, eligibilities, row, change);
        }
    }

    /// Rows were renumbered: `rows[new]` is the old number.
    pub(crate) fn renumber(&mut self, rows: &[u32]) {
        for set in self.sets.iter_mut().flatten() {
            let old = std::mem::take(&mut set.counts);
            set.counts = rows.iter().map(|&row| old.get(row as usize).copied().unwrap_or(0)).collect();
            set.occupied = Bitset::with_len(rows.len());
            for (row, &count) in set.counts.iter().enumerate() {
                if count > 0 {
                    set.occupied.insert(row);
                }
            }
        }
    }

    /// Topologies or eligible nodes changed: all tables are counted anew.
    pub(crate) fn recount(&mut self, topologies: &Topologies, eligibilities: &Eligibilities) {
        for set in self.sets.iter_mut().flatten() {
            for index in 0..set.tables.len() {
                set.tables[index].reset(topologies, eligibilities);
                set.fill_table(index, topologies, eligibilities);
            }
        }
    }
}

/// Whether pods like this one, terminating or not, belong to a set.
pub(crate) fn belongs(membership: &Membership, pod: &Pod, namespace_labels: Option<&Labels>) -> bool {
    use crate::plugins::inter_pod_affinity as affinity;
    match membership {
        Membership::Selected { namespace, selector } => {
            pod.meta.namespace == *namespace && selector.matches(&pod.meta.labels)
        }
        Membership::LookedFor { owner, terms } => {
            terms.iter().all(|term| affinity::looks_for(term, *owner, pod, namespace_labels))
        }
        Membership::Carrying { .. } => {
            let content = membership.content();
            affinity::carried(pod).any(|carried| carried.content() == content)
        }
    }
}
