//! NodeAffinity: node selectors, required and preferred node affinity.

use seatrial_api::labels::Operator;
use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::scheduling::NodeSelectorTerm;
use seatrial_api::symbol::Symbol;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cluster::{Cluster, Content, NodeInfo, node_constraint};
use crate::config::AddedAffinity;
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Normalization, Plugin, Points, PreFilter, Reason,
    Restriction, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange};

/// The plugin, with the affinity that it adds to every pod's own.
#[derive(Clone, Debug)]
pub(crate) struct NodeAffinity {
    added: AddedAffinity,
}

impl NodeAffinity {
    pub(crate) fn new(added: AddedAffinity) -> NodeAffinity {
        NodeAffinity { added }
    }

    fn admits_added(&self, node: &NodeInfo) -> bool {
        let matches = |term: &NodeSelectorTerm| term.matches(node.labels(), node.name());
        self.added.required.as_ref().is_none_or(|terms| terms.iter().any(matches))
    }

    fn admits(&self, pod: &Pod, node: &Node) -> bool {
        let matches = |term: &NodeSelectorTerm| term.matches(&node.meta.labels, node.name);
        let added = self.added.required.as_ref().is_none_or(|terms| terms.iter().any(matches));
        added && is_wanted(pod, node)
    }
}

/// Whether a node matches the pod's own selector and required terms.
fn is_wanted(pod: &Pod, node: &Node) -> bool {
    pod.node_constraint().matches(&node.meta.labels, node.name)
}

/// The required terms that count: a DaemonSet's target stands in place of the template's.
fn required_terms(pod: &Pod) -> Option<&[NodeSelectorTerm]> {
    pod.spec.affinity.as_ref().and_then(|affinity| affinity.node.required.as_deref())
}

/// Whether a pod has a node selector, required node affinity or a target.
pub(crate) fn is_constrained(pod: &Pod) -> bool {
    !pod.spec.node_selector.is_empty() || pod.target_node.is_some() || required_terms(pod).is_some()
}

/// Whether only nodes that are named can take the pod.
pub(crate) fn is_pinned(pod: &Pod) -> bool {
    pinned_names(pod).is_some()
}

/// The names to which every term is pinned, if every term is pinned to names.
fn pinned_names(pod: &Pod) -> Option<BTreeSet<Symbol>> {
    if let Some(target) = pod.target_node {
        return Some([target].into());
    }
    let terms = required_terms(pod)?;
    if terms.is_empty() {
        return None;
    }
    let mut names = BTreeSet::new();
    for term in terms {
        let mut of_term: Option<BTreeSet<Symbol>> = None;
        for field in &term.fields {
            if let (true, Operator::In(values)) = (field.key == "metadata.name", &field.operator) {
                let values: BTreeSet<Symbol> = values.iter().copied().collect();
                of_term = Some(match of_term {
                    Some(known) => known.intersection(&values).copied().collect(),
                    None => values,
                });
            }
        }
        names.extend(of_term?);
    }
    Some(names)
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, pre_score: true, score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        node_constraint(content, pod);
        let preferred = pod.spec.affinity.iter().flat_map(|affinity| affinity.node.preferred.iter());
        for preference in preferred {
            content.number(i64::from(preference.weight));
            content.node_terms(std::slice::from_ref(&preference.term));
        }
    }

    fn pre_filter(&self, _: &Cluster, pod: &Arc<Pod>, _: &mut CycleState) -> PreFilter {
        if !is_constrained(pod) && self.added.required.is_none() {
            return PreFilter::Skip;
        }
        match pinned_names(pod) {
            None => PreFilter::Run,
            Some(names) if names.is_empty() => {
                PreFilter::Reject(Code::Unresolvable, Reason::Text("pod affinity terms conflict"))
            }
            Some(names) => PreFilter::Nodes(Restriction(names.into_iter().collect())),
        }
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        if !self.admits_added(node) {
            return why.reject(Code::Unresolvable, "node(s) didn't match scheduler-enforced node affinity");
        }
        if !cycle.pod.node_constraint().matches(node.labels(), node.name()) {
            return why.reject(Code::Unresolvable, "node(s) didn't match Pod's node affinity/selector");
        }
        Ok(())
    }

    fn pre_score(&self, _: &Cluster, pod: &Arc<Pod>, _: &[&NodeInfo], _: &mut CycleState) -> bool {
        let own = pod.spec.affinity.as_ref().is_some_and(|affinity| !affinity.node.preferred.is_empty());
        own || !self.added.preferred.is_empty()
    }

    /// The sum of the weights of the preferred terms that match.
    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let own = cycle.pod.spec.affinity.iter().flat_map(|affinity| affinity.node.preferred.iter());
        let terms = own.chain(&self.added.preferred);
        let matching = terms.filter(|preferred| preferred.term.matches(node.labels(), node.name()));
        matching.map(|preferred| i64::from(preferred.weight)).sum()
    }

    fn normalization(&self) -> Normalization {
        Normalization::Proportional
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::NodeAdd, EventKind::NodeLabels, EventKind::NodeTaints])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        match event {
            ClusterEvent::NodeAdd(node) => Hint::queue_if(self.admits(context.pod, node)),
            ClusterEvent::NodeUpdate { old, new, change: NodeChange::Labels } => {
                Hint::queue_if(!is_wanted(context.pod, old) && self.admits(context.pod, new))
            }
            ClusterEvent::NodeUpdate { change: NodeChange::Taints, .. } => Hint::Queue,
            _ => Hint::Skip,
        }
    }
}
