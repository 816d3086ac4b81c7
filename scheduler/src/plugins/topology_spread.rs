//! PodTopologySpread: pods of a kind are spread over the domains of a topology.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::labels::{Operator, Requirement, Selector};
use seatrial_api::node::{LABEL_HOSTNAME, LABEL_ZONE, Node};
use seatrial_api::pod::Pod;
use seatrial_api::scheduling::{
    NodeInclusionPolicy, TaintEffect, TopologySpreadConstraint, WhenUnsatisfiable, first_untolerated,
};
use seatrial_api::symbol::Symbol;

use crate::cluster::{Cluster, NodeInfo};
use crate::config::{ConfigurationError, DefaultConstraints};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Indexed, MAX_NODE_SCORE, Normalization, Plugin, Points,
    PreFilter, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange, PodChange};

/// The plugin, with the constraints of pods that have none of their own.
#[derive(Clone, Debug)]
pub struct PodTopologySpread {
    defaults: Arc<[TopologySpreadConstraint]>,
    system_defaulted: bool,
}

/// A constraint, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constraint {
    pub(crate) max_skew: i64,
    pub(crate) key: Symbol,
    /// Which pods are counted; `None` counts none.
    pub(crate) selector: Option<Selector>,
    pub(crate) min_domains: i64,
    pub(crate) honors_affinity: bool,
    pub(crate) honors_taints: bool,
}

/// Pods per domain of each hard constraint.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterState {
    constraints: Arc<[Constraint]>,
    counts: Vec<FxHashMap<Symbol, i64>>,
}

/// Pods per domain of each soft constraint, and what they weigh.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScoreState {
    constraints: Arc<[Constraint]>,
    counts: Vec<FxHashMap<Symbol, i64>>,
    weights: Vec<f64>,
    ignored: BTreeSet<Symbol>,
}

impl PodTopologySpread {
    pub(crate) fn new(defaults: &DefaultConstraints) -> Result<PodTopologySpread, ConfigurationError> {
        let (defaults, system_defaulted) = match defaults {
            DefaultConstraints::System => (system_defaults().to_vec(), true),
            DefaultConstraints::List(list) => (list.clone(), false),
        };
        let path = |index| format!("pluginConfig[PodTopologySpread].args.defaultConstraints[{index}]");
        for (index, constraint) in defaults.iter().enumerate() {
            let error = |text| Err(ConfigurationError::new(&path(index), text));
            if constraint.selector.is_some() {
                return error("constraints must not have a selector: it follows from each pod");
            }
            if constraint.max_skew < 1 || constraint.topology_key.is_empty() {
                return error("maxSkew must be positive and topologyKey given");
            }
            let same = |other: &TopologySpreadConstraint| {
                (other.topology_key, other.when_unsatisfiable)
                    == (constraint.topology_key, constraint.when_unsatisfiable)
            };
            if defaults[..index].iter().any(same) {
                return error("topologyKey and whenUnsatisfiable together must be unique");
            }
        }
        Ok(PodTopologySpread { defaults: defaults.into(), system_defaulted })
    }

    /// The pod's constraints of one kind: its own or, if it has none at all, the defaults.
    pub(crate) fn constraints(
        &self,
        cluster: &Cluster,
        pod: &Pod,
        action: WhenUnsatisfiable,
    ) -> Arc<[Constraint]> {
        let of_kind = |constraint: &&TopologySpreadConstraint| constraint.when_unsatisfiable == action;
        if !pod.spec.topology_spread.is_empty() {
            let own = pod.spec.topology_spread.iter().filter(of_kind);
            return own.map(|constraint| compiled(constraint, selector_for(constraint, pod))).collect();
        }
        if !self.defaults.iter().any(|constraint| constraint.when_unsatisfiable == action) {
            return Arc::default();
        }
        let Some(selector) = default_selector(cluster, pod) else { return Arc::default() };
        let defaults = self.defaults.iter().filter(of_kind);
        defaults.map(|constraint| compiled(constraint, Some(selector.clone()))).collect()
    }

    /// Whether nodes that lack a key are left out of the scoring.
    pub(crate) fn requires_all_keys(&self, pod: &Pod) -> bool {
        !pod.spec.topology_spread.is_empty() || !self.system_defaulted
    }
}

fn system_defaults() -> [TopologySpreadConstraint; 2] {
    [(LABEL_HOSTNAME, 3), (LABEL_ZONE, 5)].map(|(key, max_skew)| TopologySpreadConstraint {
        max_skew,
        topology_key: Symbol::new(key),
        when_unsatisfiable: WhenUnsatisfiable::ScheduleAnyway,
        selector: None,
        min_domains: 1,
        node_affinity_policy: NodeInclusionPolicy::Honor,
        node_taints_policy: NodeInclusionPolicy::Ignore,
        match_label_keys: Box::default(),
    })
}

fn compiled(constraint: &TopologySpreadConstraint, selector: Option<Selector>) -> Constraint {
    Constraint {
        max_skew: i64::from(constraint.max_skew),
        key: constraint.topology_key,
        selector,
        min_domains: i64::from(constraint.min_domains.max(1)),
        honors_affinity: constraint.node_affinity_policy == NodeInclusionPolicy::Honor,
        honors_taints: constraint.node_taints_policy == NodeInclusionPolicy::Honor,
    }
}

/// The constraint's selector, narrowed to the pod's own values of `matchLabelKeys`.
fn selector_for(constraint: &TopologySpreadConstraint, pod: &Pod) -> Option<Selector> {
    let selector = constraint.selector.as_ref()?;
    let own_values = constraint.match_label_keys.iter().filter_map(|&key| {
        let value = pod.meta.labels.get(key)?;
        Some(Requirement { key, operator: Operator::In(Box::new([value])) })
    });
    let requirements: Box<[Requirement]> = own_values.chain(selector.requirements.iter().cloned()).collect();
    Some(Selector { requirements })
}

/// The merged selectors of the Services that select the pod and of its owner; `None` if there are
/// none.
pub(crate) fn default_selector(cluster: &Cluster, pod: &Pod) -> Option<Selector> {
    let mut requirements = Vec::new();
    for service in cluster.service_selectors(pod.meta.namespace) {
        if !service.is_empty() && pod.meta.labels.contains_all(service) {
            requirements.extend(Selector::of_labels(service).requirements);
        }
    }
    if let Some(owner) = pod.meta.controller() {
        let key = (owner.kind, pod.meta.namespace, owner.name.clone());
        if let Some(selector) = cluster.owner_selector(&key) {
            requirements.extend(selector.requirements.iter().cloned());
        }
    }
    (!requirements.is_empty()).then(|| Selector { requirements: requirements.into() })
}

/// How many pods of `namespace` on the node match; terminating ones and empty selectors aside.
fn count_matching(node: &NodeInfo, selector: Option<&Selector>, namespace: Symbol) -> i64 {
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else { return 0 };
    let counts = |pod: &Pod| {
        pod.meta.namespace == namespace && !pod.meta.is_deleting() && selector.matches(&pod.meta.labels)
    };
    node.pods().iter().filter(|row| counts(&row.pod)).count() as i64
}

impl Constraint {
    /// Whether a node counts: by the pod's node affinity and by its tolerations, where heeded.
    pub(crate) fn includes(&self, pod: &Pod, node: &NodeInfo) -> bool {
        if self.honors_affinity && !pod.node_constraint().matches(node.labels(), node.name()) {
            return false;
        }
        let hard = [TaintEffect::NoSchedule, TaintEffect::NoExecute];
        !self.honors_taints || first_untolerated(&pod.spec.tolerations, node.taints(), &hard).is_none()
    }

    pub(crate) fn matches(&self, pod: &Pod) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta.labels))
    }

    pub(crate) fn is_by_host(&self) -> bool {
        self.key == LABEL_HOSTNAME
    }
}

fn has_all_keys(node: &NodeInfo, constraints: &[Constraint]) -> bool {
    constraints.iter().all(|constraint| node.label(constraint.key).is_some())
}

impl FilterState {
    fn new(cluster: &Cluster, pod: &Pod, constraints: Arc<[Constraint]>) -> FilterState {
        let mut counts = vec![FxHashMap::default(); constraints.len()];
        for node in cluster.nodes().iter().filter(|node| has_all_keys(node, &constraints)) {
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if constraint.includes(pod, node)
                    && let Some(domain) = node.label(constraint.key)
                {
                    let count = count_matching(node, constraint.selector.as_ref(), pod.meta.namespace);
                    *counts.entry(domain).or_insert(0) += count;
                }
            }
        }
        FilterState { constraints, counts }
    }

    fn update(&mut self, pod: &Pod, other: &Pod, node: &NodeInfo, change: i64) {
        if other.meta.namespace != pod.meta.namespace || !has_all_keys(node, &self.constraints) {
            return;
        }
        for (constraint, counts) in self.constraints.iter().zip(&mut self.counts) {
            if constraint.matches(other)
                && constraint.includes(pod, node)
                && let Some(domain) = node.label(constraint.key)
            {
                *counts.entry(domain).or_insert(0) += change;
            }
        }
    }

    /// The smallest count of a domain, 0 if there are too few domains.
    fn min_match(&self, index: usize) -> i64 {
        let counts = &self.counts[index];
        if (counts.len() as i64) < self.constraints[index].min_domains {
            return 0;
        }
        counts.values().copied().min().unwrap_or(0)
    }
}

const MISSING_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const SKEWED: &str = "node(s) didn't match pod topology spread constraints";

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, pre_score: true, score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn pre_filter(&self, cluster: &Cluster, pod: &Arc<Pod>, state: &mut CycleState) -> PreFilter {
        let constraints = self.constraints(cluster, pod, WhenUnsatisfiable::DoNotSchedule);
        if constraints.is_empty() {
            return PreFilter::Skip;
        }
        state.spread_filter = FilterState::new(cluster, pod, constraints);
        PreFilter::Run
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let state = &cycle.state.spread_filter;
        for (index, constraint) in state.constraints.iter().enumerate() {
            let Some(domain) = node.label(constraint.key) else {
                return why.reject(Code::Unresolvable, MISSING_LABEL);
            };
            let own = i64::from(constraint.matches(cycle.pod));
            let count = state.counts[index].get(&domain).copied().unwrap_or(0);
            if count + own - state.min_match(index) > constraint.max_skew {
                return why.reject(Code::Unschedulable, SKEWED);
            }
        }
        Ok(())
    }

    fn add_pod(&self, _: &Cluster, pod: &Pod, other: &Pod, node: &NodeInfo, state: &mut CycleState) {
        state.spread_filter.update(pod, other, node, 1);
    }

    fn remove_pod(&self, _: &Cluster, pod: &Pod, other: &Pod, node: &NodeInfo, state: &mut CycleState) {
        state.spread_filter.update(pod, other, node, -1);
    }

    fn pre_score(
        &self,
        cluster: &Cluster,
        pod: &Arc<Pod>,
        nodes: &[&NodeInfo],
        state: &mut CycleState,
    ) -> bool {
        let constraints = self.constraints(cluster, pod, WhenUnsatisfiable::ScheduleAnyway);
        if constraints.is_empty() {
            return false;
        }
        let all_keys = self.requires_all_keys(pod);
        let mut counts: Vec<FxHashMap<Symbol, i64>> = vec![FxHashMap::default(); constraints.len()];
        let mut ignored = BTreeSet::new();
        for node in nodes {
            if all_keys && !has_all_keys(node, &constraints) {
                ignored.insert(node.name());
                continue;
            }
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if !constraint.is_by_host() {
                    counts.entry(node.label(constraint.key).unwrap_or_default()).or_insert(0);
                }
            }
        }
        let scored = nodes.len() - ignored.len();
        let weight = |(constraint, counts): (&Constraint, &FxHashMap<Symbol, i64>)| {
            domain_weight(if constraint.is_by_host() { scored } else { counts.len() })
        };
        let weights = constraints.iter().zip(&counts).map(weight).collect();
        for node in cluster.nodes().iter().filter(|node| !all_keys || has_all_keys(node, &constraints)) {
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if constraint.includes(pod, node)
                    && let Some(count) = counts.get_mut(&node.label(constraint.key).unwrap_or_default())
                {
                    *count += count_matching(node, constraint.selector.as_ref(), pod.meta.namespace);
                }
            }
        }
        state.spread_score = ScoreState { constraints, counts, weights, ignored };
        true
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let state = &cycle.state.spread_score;
        if state.ignored.contains(&node.name()) {
            return 0;
        }
        let mut score = 0.0;
        for (index, constraint) in state.constraints.iter().enumerate() {
            let Some(domain) = node.label(constraint.key) else { continue };
            let count = if constraint.is_by_host() {
                count_matching(node, constraint.selector.as_ref(), cycle.pod.meta.namespace)
            } else {
                state.counts[index].get(&domain).copied().unwrap_or(0)
            };
            score += domain_score(count, constraint.max_skew, state.weights[index]);
        }
        rounded(score)
    }

    fn normalization(&self) -> Normalization {
        Normalization::Own
    }

    fn normalize(&self, cycle: Cycle<'_>, nodes: &[&NodeInfo], scores: &mut [i64]) {
        let ignored = |node: &NodeInfo| cycle.state.spread_score.ignored.contains(&node.name());
        let counted = nodes.iter().zip(scores.iter()).filter(|(node, _)| !ignored(node));
        let (mut min, mut max) = (i64::MAX, 0);
        for (_, &score) in counted {
            min = min.min(score);
            max = max.max(score);
        }
        for (node, score) in nodes.iter().zip(scores) {
            *score = if ignored(node) { 0 } else { normalized_spread(*score, min, max) };
        }
    }

    fn indexed(&self) -> Option<Indexed<'_>> {
        Some(Indexed::TopologySpread(self))
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
            EventKind::NodeDelete,
        ])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let constraints = self.constraints(context.cluster, context.pod, WhenUnsatisfiable::DoNotSchedule);
        hint(&constraints, context.pod, event)
    }
}

/// What a constraint weighs: the logarithm of its number of domains.
pub(crate) fn domain_weight(domains: usize) -> f64 {
    libm::log(domains as f64 + 2.0)
}

/// What a domain with `count` pods adds to the raw score, in which less is better.
pub(crate) fn domain_score(count: i64, max_skew: i64, weight: f64) -> f64 {
    count as f64 * weight + (max_skew - 1) as f64
}

/// A score that is not negative, rounded half away from zero. (Portable binaries call a function for
/// what `f64::round` does.)
pub(crate) fn rounded(score: f64) -> i64 {
    let whole = score as i64;
    whole + i64::from(score - whole as f64 >= 0.5)
}

/// A raw score relative to the smallest and the largest.
pub(crate) fn normalized_spread(raw: i64, min: i64, max: i64) -> i64 {
    if max == 0 { MAX_NODE_SCORE } else { MAX_NODE_SCORE * (max + min - raw) / max }
}

fn node_has_all_keys(node: &Node, constraints: &[Constraint]) -> bool {
    constraints.iter().all(|constraint| node.meta.labels.get(constraint.key).is_some())
}

fn hint(constraints: &[Constraint], pod: &Pod, event: &ClusterEvent) -> Hint {
    let same_namespace = |other: &Pod| other.meta.namespace == pod.meta.namespace;
    let matches_some = |other: &Pod| constraints.iter().any(|constraint| constraint.matches(other));
    match event {
        ClusterEvent::PodAdd(other) | ClusterEvent::PodDelete { pod: other, .. } => {
            Hint::queue_if(same_namespace(other) && matches_some(other))
        }
        ClusterEvent::PodUpdate { old, new, change: PodChange::Labels }
        | ClusterEvent::OwnUpdate { old, new, change: PodChange::Labels } => {
            let flips = |constraint: &Constraint| constraint.matches(old) != constraint.matches(new);
            Hint::queue_if(same_namespace(new) && constraints.iter().any(flips))
        }
        ClusterEvent::OwnUpdate { change: PodChange::Tolerations, .. } => {
            Hint::queue_if(constraints.iter().any(|constraint| constraint.honors_taints))
        }
        ClusterEvent::NodeAdd(node) | ClusterEvent::NodeDelete(node) => {
            Hint::queue_if(node_has_all_keys(node, constraints))
        }
        ClusterEvent::NodeUpdate { new, change: NodeChange::Taints, .. } => {
            Hint::queue_if(node_has_all_keys(new, constraints))
        }
        ClusterEvent::NodeUpdate { old, new, change: NodeChange::Labels } => {
            let (before, after) = (node_has_all_keys(old, constraints), node_has_all_keys(new, constraints));
            let moved = |constraint: &Constraint| {
                old.meta.labels.get(constraint.key) != new.meta.labels.get(constraint.key)
            };
            Hint::queue_if(before != after || before && constraints.iter().any(moved))
        }
        _ => Hint::Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(raws: &[i64]) -> Vec<i64> {
        let (min, max) = (*raws.iter().min().unwrap(), *raws.iter().max().unwrap());
        raws.iter().map(|&raw| normalized_spread(raw, min, max)).collect()
    }

    #[test]
    fn spreading_scores_agree_with_the_worked_vectors() {
        let raws = |counts: &[i64], max_skew| -> Vec<i64> {
            let weight = domain_weight(counts.len());
            counts.iter().map(|&count| rounded(domain_score(count, max_skew, weight))).collect()
        };
        assert_eq!(raws(&[2, 1, 0], 1), [3, 2, 0]);
        assert_eq!(normalized(&[3, 2, 0]), [0, 33, 100]);
        assert_eq!(raws(&[3, 2, 1, 0], 1), [5, 4, 2, 0]);
        assert_eq!(normalized(&[5, 4, 2, 0]), [0, 20, 60, 100]);
        assert_eq!(normalized(&raws(&[2, 1, 0, 3], 2)), [33, 66, 100, 16]);
    }
}
