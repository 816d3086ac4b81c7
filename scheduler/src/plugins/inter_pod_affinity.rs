//! InterPodAffinity: pods near to or away from other pods.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::labels::Labels;
use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::scheduling::{PodAffinityTerm, WeightedPodAffinityTerm};
use seatrial_api::symbol::Symbol;

use crate::cluster::{Cluster, Membership, NodeInfo, Role};
use crate::config::{ConfigurationError, PluginArguments};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Indexed, MAX_NODE_SCORE, Normalization, Plugin, Points,
    PreFilter, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange, PodChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct InterPodAffinity {
    pub(crate) hard_weight: i64,
    pub(crate) ignore_preferred_of_existing: bool,
}

impl InterPodAffinity {
    pub(crate) fn new(arguments: &PluginArguments) -> Result<InterPodAffinity, ConfigurationError> {
        if !(0..=100).contains(&arguments.hard_pod_affinity_weight) {
            let text = "the weight must be from 0 to 100";
            return Err(ConfigurationError::new(
                "pluginConfig[InterPodAffinity].args.hardPodAffinityWeight",
                text,
            ));
        }
        Ok(InterPodAffinity {
            hard_weight: arguments.hard_pod_affinity_weight,
            ignore_preferred_of_existing: arguments.ignore_preferred_terms_of_existing_pods,
        })
    }
}

pub(crate) fn required_affinity(pod: &Pod) -> &[PodAffinityTerm] {
    pod.spec.affinity.as_ref().map_or(&[], |affinity| &affinity.pod.required)
}

pub(crate) fn required_anti_affinity(pod: &Pod) -> &[PodAffinityTerm] {
    pod.spec.affinity.as_ref().map_or(&[], |affinity| &affinity.anti.required)
}

pub(crate) fn preferred_affinity(pod: &Pod) -> &[WeightedPodAffinityTerm] {
    pod.spec.affinity.as_ref().map_or(&[], |affinity| &affinity.pod.preferred)
}

pub(crate) fn preferred_anti_affinity(pod: &Pod) -> &[WeightedPodAffinityTerm] {
    pod.spec.affinity.as_ref().map_or(&[], |affinity| &affinity.anti.preferred)
}

/// Whether a term of a pod in namespace `owner` looks for `pod`, whose namespace has the labels
/// `namespace_labels` (`None` if it is not known).
pub(crate) fn selects(
    term: &PodAffinityTerm,
    owner: Symbol,
    pod: &Pod,
    namespace_labels: Option<&Labels>,
) -> bool {
    let namespace = pod.meta.namespace;
    let scope = &term.namespaces;
    let in_scope = match &scope.selector {
        None if scope.names.is_empty() => namespace == owner,
        None => scope.names.contains(&namespace),
        Some(selector) => {
            scope.names.contains(&namespace)
                || namespace_labels.is_some_and(|labels| selector.matches(labels))
        }
    };
    in_scope && term.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta.labels))
}

/// Whether a term of the pod that is being scheduled, in namespace `owner`, looks for `pod`.
///
/// Upstream adds the namespaces that match a term's selector to those it names, and goes on to
/// match the selector itself against no labels at all (`filtering.go`, which hands the term on as a
/// copy). So a selector that the absence of labels satisfies selects every namespace.
pub(crate) fn looks_for(
    term: &PodAffinityTerm,
    owner: Symbol,
    pod: &Pod,
    namespace_labels: Option<&Labels>,
) -> bool {
    selects(term, owner, pod, namespace_labels) || selects(term, owner, pod, Some(&Labels::NONE))
}

/// All terms that a pod carries, each as the set of the pods that carry it.
pub(crate) fn carried(pod: &Pod) -> impl Iterator<Item = Membership> + '_ {
    let owner = pod.meta.namespace;
    let carrying =
        move |role: Role, term: &PodAffinityTerm| Membership::Carrying { role, owner, term: term.clone() };
    let anti = required_anti_affinity(pod).iter().map(move |term| carrying(Role::RequiredAnti, term));
    let affinity = required_affinity(pod).iter().map(move |term| carrying(Role::RequiredAffinity, term));
    let near = preferred_affinity(pod)
        .iter()
        .map(move |preferred| carrying(Role::Preferred(preferred.weight), &preferred.term));
    let away = preferred_anti_affinity(pod)
        .iter()
        .map(move |preferred| carrying(Role::Preferred(-preferred.weight), &preferred.term));
    anti.chain(affinity).chain(near).chain(away)
}

/// Whether a term of the incoming pod looks for an existing one.
pub(crate) fn own_term_selects(cluster: &Cluster, term: &PodAffinityTerm, pod: &Pod, existing: &Pod) -> bool {
    let labels = cluster.namespace_labels(existing.meta.namespace);
    looks_for(term, pod.meta.namespace, existing, labels)
}

/// Whether a term of an existing pod looks for the incoming one.
fn their_term_selects(cluster: &Cluster, term: &PodAffinityTerm, existing: &Pod, pod: &Pod) -> bool {
    let labels = cluster.namespace_labels(pod.meta.namespace).unwrap_or(&Labels::NONE);
    selects(term, existing.meta.namespace, pod, Some(labels))
}

/// A domain: a label and its value.
type Pair = (Symbol, Symbol);

/// How many matches there are per domain; domains without any are absent.
#[derive(Clone, Debug, Default)]
struct Counts(FxHashMap<Pair, i64>);

impl Counts {
    fn add(&mut self, node: &NodeInfo, key: Symbol, change: i64) {
        let Some(value) = node.label(key) else { return };
        let count = self.0.entry((key, value)).or_insert(0);
        *count += change;
        if *count == 0 {
            self.0.remove(&(key, value));
        }
    }

    fn get(&self, pair: Pair) -> i64 {
        self.0.get(&pair).copied().unwrap_or(0)
    }
}

/// What Filter needs to know of the pods on all nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterState {
    /// Pods whose required anti-affinity looks for the incoming pod.
    existing_anti: Counts,
    /// Pods that match all of the incoming pod's required affinity.
    affinity: Counts,
    /// Pods that match a term of the incoming pod's required anti-affinity.
    anti: Counts,
}

impl FilterState {
    fn new(cluster: &Cluster, pod: &Pod) -> FilterState {
        let mut state = FilterState::default();
        let own_terms = !required_affinity(pod).is_empty() || !required_anti_affinity(pod).is_empty();
        for node in cluster.nodes() {
            if own_terms || node.has_pods_with_required_anti_affinity() {
                for row in node.pods() {
                    state.update(cluster, pod, &row.pod, node, 1);
                }
            }
        }
        state
    }

    fn update(&mut self, cluster: &Cluster, pod: &Pod, existing: &Pod, node: &NodeInfo, change: i64) {
        for term in required_anti_affinity(existing) {
            if their_term_selects(cluster, term, existing, pod) {
                self.existing_anti.add(node, term.topology_key, change);
            }
        }
        let affinity = required_affinity(pod);
        let all = affinity.iter().all(|term| own_term_selects(cluster, term, pod, existing));
        if all {
            for term in affinity {
                self.affinity.add(node, term.topology_key, change);
            }
        }
        for term in required_anti_affinity(pod) {
            if own_term_selects(cluster, term, pod, existing) {
                self.anti.add(node, term.topology_key, change);
            }
        }
    }

    fn admits_affinity(&self, cluster: &Cluster, pod: &Pod, node: &NodeInfo) -> bool {
        let terms = required_affinity(pod);
        let mut all_found = true;
        for term in terms {
            let Some(value) = node.label(term.topology_key) else { return false };
            all_found &= self.affinity.get((term.topology_key, value)) > 0;
        }
        // The first pod of a group that looks for its like may start anywhere.
        all_found
            || self.affinity.0.is_empty()
                && terms.iter().all(|term| own_term_selects(cluster, term, pod, pod))
    }

    fn admits_anti_affinity(&self, pod: &Pod, node: &NodeInfo) -> bool {
        required_anti_affinity(pod).iter().all(|term| {
            let value = node.label(term.topology_key);
            value.is_none_or(|value| self.anti.get((term.topology_key, value)) <= 0)
        })
    }

    fn is_admitted_by_existing(&self, node: &NodeInfo) -> bool {
        self.existing_anti.0.is_empty() || node.labels().iter().all(|&pair| self.existing_anti.get(pair) <= 0)
    }
}

/// Weights per domain.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScoreState {
    weights: FxHashMap<Pair, i64>,
}

impl ScoreState {
    fn add(&mut self, node: &NodeInfo, term: &PodAffinityTerm, weight: i64) {
        if let Some(value) = node.label(term.topology_key) {
            *self.weights.entry((term.topology_key, value)).or_insert(0) += weight;
        }
    }
}

impl InterPodAffinity {
    /// What an existing pod contributes to the scores of its domains.
    fn contribute(
        &self,
        cluster: &Cluster,
        pod: &Pod,
        existing: &Pod,
        node: &NodeInfo,
        state: &mut ScoreState,
    ) {
        for preferred in preferred_affinity(pod) {
            if own_term_selects(cluster, &preferred.term, pod, existing) {
                state.add(node, &preferred.term, i64::from(preferred.weight));
            }
        }
        for preferred in preferred_anti_affinity(pod) {
            if own_term_selects(cluster, &preferred.term, pod, existing) {
                state.add(node, &preferred.term, -i64::from(preferred.weight));
            }
        }
        if self.hard_weight > 0 {
            for term in required_affinity(existing) {
                if their_term_selects(cluster, term, existing, pod) {
                    state.add(node, term, self.hard_weight);
                }
            }
        }
        for preferred in preferred_affinity(existing) {
            if their_term_selects(cluster, &preferred.term, existing, pod) {
                state.add(node, &preferred.term, i64::from(preferred.weight));
            }
        }
        for preferred in preferred_anti_affinity(existing) {
            if their_term_selects(cluster, &preferred.term, existing, pod) {
                state.add(node, &preferred.term, -i64::from(preferred.weight));
            }
        }
    }
}

/// Whether a pod has preferences of its own.
pub(crate) fn has_preferences(pod: &Pod) -> bool {
    !preferred_affinity(pod).is_empty() || !preferred_anti_affinity(pod).is_empty()
}

const NO_AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING_ANTI_AFFINITY: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, pre_score: true, score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn pre_filter(&self, cluster: &Cluster, pod: &Arc<Pod>, state: &mut CycleState) -> PreFilter {
        let filter_state = FilterState::new(cluster, pod);
        let own_terms = !required_affinity(pod).is_empty() || !required_anti_affinity(pod).is_empty();
        if !own_terms && filter_state.existing_anti.0.is_empty() {
            return PreFilter::Skip;
        }
        state.affinity_filter = filter_state;
        PreFilter::Run
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let state = &cycle.state.affinity_filter;
        if !state.admits_affinity(cycle.cluster, cycle.pod, node) {
            return why.reject(Code::Unresolvable, NO_AFFINITY);
        }
        if !state.admits_anti_affinity(cycle.pod, node) {
            return why.reject(Code::Unschedulable, ANTI_AFFINITY);
        }
        if !state.is_admitted_by_existing(node) {
            return why.reject(Code::Unschedulable, EXISTING_ANTI_AFFINITY);
        }
        Ok(())
    }

    fn add_pod(&self, cluster: &Cluster, pod: &Pod, other: &Pod, node: &NodeInfo, state: &mut CycleState) {
        state.affinity_filter.update(cluster, pod, other, node, 1);
    }

    fn remove_pod(&self, cluster: &Cluster, pod: &Pod, other: &Pod, node: &NodeInfo, state: &mut CycleState) {
        state.affinity_filter.update(cluster, pod, other, node, -1);
    }

    fn pre_score(&self, cluster: &Cluster, pod: &Arc<Pod>, _: &[&NodeInfo], state: &mut CycleState) -> bool {
        let own = has_preferences(pod);
        if !own && self.ignore_preferred_of_existing {
            return false;
        }
        let mut score_state = ScoreState::default();
        for node in cluster.nodes() {
            if own || node.has_pods_with_affinity() {
                for row in node.pods() {
                    self.contribute(cluster, pod, &row.pod, node, &mut score_state);
                }
            }
        }
        state.affinity_score = score_state;
        !state.affinity_score.weights.is_empty()
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let weights = &cycle.state.affinity_score.weights;
        node.labels().iter().filter_map(|pair| weights.get(pair)).sum()
    }

    fn normalization(&self) -> Normalization {
        Normalization::Own
    }

    fn normalize(&self, _: Cycle<'_>, _: &[&NodeInfo], scores: &mut [i64]) {
        let min = scores.iter().copied().min().unwrap_or(0);
        let max = scores.iter().copied().max().unwrap_or(0);
        for score in scores {
            *score = normalized_affinity(*score, min, max);
        }
    }

    fn indexed(&self) -> Option<Indexed<'_>> {
        Some(Indexed::InterPodAffinity(self))
    }

    fn interests(&self) -> Interests {
        Interests::of(&[
            EventKind::PodAdd,
            EventKind::PodUpdate,
            EventKind::PodDelete,
            EventKind::OwnUpdate,
            EventKind::NodeAdd,
            EventKind::NodeLabels,
            EventKind::NodeTaints,
        ])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        hint(context.pod, event)
    }
}

/// A raw score relative to the smallest and the largest: division before multiplication.
pub(crate) fn normalized_affinity(raw: i64, min: i64, max: i64) -> i64 {
    if max == min { 0 } else { (MAX_NODE_SCORE as f64 * ((raw - min) as f64 / (max - min) as f64)) as i64 }
}

/// Hints see no labels of namespaces, as upstream's.
fn selects_blindly(term: &PodAffinityTerm, owner: &Pod, pod: &Pod) -> bool {
    selects(term, owner.meta.namespace, pod, Some(&Labels::NONE))
}

fn matches_all(terms: &[PodAffinityTerm], owner: &Pod, pod: &Pod) -> bool {
    !terms.is_empty() && terms.iter().all(|term| selects_blindly(term, owner, pod))
}

fn hint(pod: &Pod, event: &ClusterEvent) -> Hint {
    let (affinity, anti) = (required_affinity(pod), required_anti_affinity(pod));
    match event {
        ClusterEvent::OwnUpdate { change: PodChange::Labels, .. } => Hint::Queue,
        ClusterEvent::PodAdd(other) => Hint::queue_if(matches_all(affinity, pod, other)),
        ClusterEvent::PodUpdate { old, new, change: PodChange::Labels } => Hint::queue_if(
            !matches_all(affinity, pod, old) && matches_all(affinity, pod, new)
                || matches_all(anti, pod, old) && !matches_all(anti, pod, new),
        ),
        ClusterEvent::PodDelete { pod: other, .. } => Hint::queue_if(
            matches_all(anti, pod, other) || matches_all(required_anti_affinity(other), other, pod),
        ),
        ClusterEvent::NodeAdd(node) => {
            let has_key = |term: &PodAffinityTerm| node.meta.labels.get(term.topology_key).is_some();
            Hint::queue_if(affinity.iter().any(has_key) || !anti.is_empty())
        }
        ClusterEvent::NodeUpdate { change: NodeChange::Taints, .. } => Hint::Queue,
        ClusterEvent::NodeUpdate { old, new, change: NodeChange::Labels } => {
            Hint::queue_if(node_labels_help(affinity, anti, old, new))
        }
        _ => Hint::Skip,
    }
}

/// Whether a node joined or changed a domain of an affinity term, or left one of an anti-affinity
/// term.
fn node_labels_help(affinity: &[PodAffinityTerm], anti: &[PodAffinityTerm], old: &Node, new: &Node) -> bool {
    let values = |term: &PodAffinityTerm| [old, new].map(|node| node.meta.labels.get(term.topology_key));
    affinity.iter().map(values).any(|[before, after]| after.is_some() && before != after)
        || anti.iter().map(values).any(|[before, after]| before.is_some() && before != after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_division_comes_before_the_multiplication() {
        assert_eq!(normalized_affinity(29, 0, 100), 28);
        assert_eq!(normalized_affinity(5, 5, 5), 0);
        assert_eq!(normalized_affinity(100, 0, 100), 100);
    }
}
