//! The index over pods on nodes: templates, sets, topologies. It is kept up to date with every pod
//! that comes or goes, so that no decision has to look at all pods.

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;

use super::eligibility::{Eligibilities, EligibilityId};
use super::pod_sets::{Membership, PodSets, SetId, belongs};
use super::templates::{TemplateId, Templates};
use super::topology::{Topologies, TopologyId};
use super::{Namespaces, NodeInfo};
use crate::plugins::inter_pod_affinity as affinity;
use crate::plugins::topology_spread::Constraint;

/// Templates are swept when there are so many more than were left by the last sweep.
const SWEEP_SLACK: usize = 1024;

/// The index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub(crate) templates: Templates,
    pub(crate) sets: PodSets,
    pub(crate) topologies: Topologies,
    pub(crate) eligibilities: Eligibilities,
    /// Whether some term looks at labels of namespaces.
    looks_at_namespaces: bool,
    kept_by_sweep: usize,
    /// Changes when sets or templates were taken away or everything was made anew.
    pub(crate) generation: u64,
}

impl Index {
    /// The template of a pod.
    pub(crate) fn template(&mut self, pod: &Arc<Pod>, namespaces: &Namespaces) -> TemplateId {
        let (id, is_new) = self.templates.intern(pod);
        if is_new {
            self.register(id, pod, namespaces);
        }
        id
    }

    /// Finds out to which sets the pods of a new template belong, and which terms look for them.
    fn register(&mut self, id: TemplateId, pod: &Arc<Pod>, namespaces: &Namespaces) {
        let labels = namespaces.get(&pod.meta.namespace);
        for membership in affinity::carried(pod) {
            self.note_namespaces(&membership);
            let live_only = membership.is_live_only();
            let (set, is_new) = self.sets.intern(membership);
            let template = self.templates.get_mut(id);
            template.carries.push(set);
            template.member_of.push((set, live_only));
            if is_new {
                self.announce_carried(set, namespaces);
            }
        }
        let template = self.templates.get_mut(id);
        for (set, pods) in self.sets.iter() {
            match &pods.membership {
                Membership::Carrying { owner, term, .. } => {
                    let labels = Some(labels.unwrap_or(&Labels::NONE));
                    let known = template.looked_for_by.contains(&set);
                    if !known && affinity::selects(term, *owner, pod, labels) {
                        template.looked_for_by.push(set);
                    }
                }
                membership => {
                    if belongs(membership, pod, labels) {
                        template.member_of.push((set, membership.is_live_only()));
                    }
                }
            }
        }
    }

    /// Tells all templates of a term that is new.
    fn announce_carried(&mut self, set: SetId, namespaces: &Namespaces) {
        let Membership::Carrying { owner, term, .. } = &self.sets.get(set).membership else { return };
        for (_, template) in self.templates.iter_mut() {
            let labels = namespaces.get(&template.pod.meta.namespace).unwrap_or(&Labels::NONE);
            if affinity::selects(term, *owner, &template.pod, Some(labels)) {
                template.looked_for_by.push(set);
            }
        }
    }

    fn note_namespaces(&mut self, membership: &Membership) {
        self.looks_at_namespaces |= match membership {
            Membership::Selected { .. } => false,
            Membership::LookedFor { terms, .. } => {
                terms.iter().any(|term| term.namespaces.selector.is_some())
            }
            Membership::Carrying { term, .. } => term.namespaces.selector.is_some(),
        };
    }

    /// The set of pods that match something, counted now if it is new. `asker` refers to it.
    pub(crate) fn ask(
        &mut self,
        asker: TemplateId,
        membership: Membership,
        nodes: &[NodeInfo],
        namespaces: &Namespaces,
    ) -> SetId {
        self.note_namespaces(&membership);
        let live_only = membership.is_live_only();
        let (set, is_new) = self.sets.intern(membership);
        self.templates.get_mut(asker).asks.push(set);
        if !is_new {
            return set;
        }
        let membership = self.sets.get(set).membership.clone();
        let mut any_placed = false;
        for (_, template) in self.templates.iter_mut() {
            let labels = namespaces.get(&template.pod.meta.namespace);
            if belongs(&membership, &template.pod, labels) {
                template.member_of.push((set, live_only));
                any_placed |= template.placed > 0;
            }
        }
        if any_placed {
            self.count_set(set, live_only, nodes);
        }
        set
    }

    fn count_set(&mut self, set: SetId, live_only: bool, nodes: &[NodeInfo]) {
        for (row, node) in nodes.iter().enumerate() {
            for pod in node.pods() {
                let template = self.templates.get(pod.template);
                let counts = !live_only || !pod.pod.meta.is_deleting();
                if counts && template.member_of.contains(&(set, live_only)) {
                    self.sets.add(set, &self.topologies, &self.eligibilities, row, 1);
                }
            }
        }
    }

    /// The set's table for a topology and eligible nodes.
    pub(crate) fn table(
        &mut self,
        set: SetId,
        topology: TopologyId,
        eligibility: Option<EligibilityId>,
    ) -> usize {
        self.sets.table(set, &self.topologies, &self.eligibilities, topology, eligibility)
    }

    /// The topology of a label.
    pub(crate) fn topology(&mut self, key: Symbol, nodes: &[NodeInfo]) -> TopologyId {
        self.topologies.intern(key, nodes)
    }

    /// The rule about nodes of a spread constraint.
    pub(crate) fn eligibility(
        &mut self,
        pod: &Arc<Pod>,
        constraint: &Constraint,
        keys: &[Symbol],
        nodes: &[NodeInfo],
    ) -> EligibilityId {
        self.eligibilities.intern(pod, constraint, keys, nodes)
    }

    /// A pod comes to a row.
    pub(crate) fn pod_added(&mut self, template: TemplateId, pod: &Pod, row: usize) {
        self.templates.get_mut(template).placed += 1;
        self.count_pod(template, row, 1, |live_only| !live_only || !pod.meta.is_deleting());
    }

    /// A pod leaves a row.
    pub(crate) fn pod_removed(&mut self, template: TemplateId, pod: &Pod, row: usize) {
        self.templates.get_mut(template).placed -= 1;
        self.count_pod(template, row, -1, |live_only| !live_only || !pod.meta.is_deleting());
    }

    /// A pod on a row began to terminate.
    pub(crate) fn pod_terminates(&mut self, template: TemplateId, row: usize) {
        self.count_pod(template, row, -1, |live_only| live_only);
    }

    fn count_pod(&mut self, template: TemplateId, row: usize, change: i32, counts: impl Fn(bool) -> bool) {
        let template = self.templates.get(template);
        for &(set, live_only) in &template.member_of {
            if counts(live_only) {
                self.sets.add(set, &self.topologies, &self.eligibilities, row, change);
            }
        }
    }

    /// Nodes came, went or changed in what topologies and rules look at.
    pub(crate) fn nodes_changed(&mut self, nodes: &[NodeInfo]) {
        self.topologies.rebuild(nodes);
        self.eligibilities.rebuild(nodes);
        self.sets.recount(&self.topologies, &self.eligibilities);
    }

    /// Whether a change of a namespace's labels concerns the index.
    pub(crate) fn looks_at_namespaces(&self) -> bool {
        self.looks_at_namespaces
    }

    /// Makes everything anew from the pods on nodes.
    pub(crate) fn reset(&mut self, nodes: &mut [NodeInfo], namespaces: &Namespaces) {
        let generation = self.generation + 1;
        *self = Index { generation, ..Index::default() };
        for (row, node) in nodes.iter_mut().enumerate() {
            for index in 0..node.pods().len() {
                let pod = node.pods()[index].pod.clone();
                let template = self.template(&pod, namespaces);
                node.set_template(index, template);
                self.pod_added(template, &pod, row);
            }
        }
    }

    /// Takes templates without pods away, and sets that nobody asks about, if there are many.
    pub(crate) fn sweep(&mut self) {
        if self.templates.len() <= 2 * self.kept_by_sweep + SWEEP_SLACK {
            return;
        }
        self.generation += 1;
        for template in self.templates.sweep() {
            template.carries.iter().chain(&template.asks).for_each(|&set| self.sets.release(set));
        }
        let gone = self.sets.sweep();
        for (_, template) in self.templates.iter_mut() {
            template.member_of.retain(|(set, _)| !gone.contains(*set as usize));
            template.looked_for_by.retain(|set| !gone.contains(*set as usize));
        }
        self.kept_by_sweep = self.templates.len();
    }
}
