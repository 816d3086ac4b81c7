//! Tolerations, affinities, spread constraints, taints.

use super::names;
use super::reader::Reader;
use super::selector;
use crate::scheduling::{
    Affinity, NamespaceScope, NodeAffinity, NodeInclusionPolicy, PodAffinity, PodAffinityTerm, PreferredNode,
    Taint, TaintEffect, Toleration, TolerationOperator, TopologySpreadConstraint, WeightedPodAffinityTerm,
    WhenUnsatisfiable,
};
use crate::symbol::Symbol;
use std::sync::Arc;

const EFFECTS: [(&str, TaintEffect); 3] = [
    ("NoSchedule", TaintEffect::NoSchedule),
    ("PreferNoSchedule", TaintEffect::PreferNoSchedule),
    ("NoExecute", TaintEffect::NoExecute),
];

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Reads a taint of a node.
pub(super) fn taint(taint: &Reader<'_>) -> Taint {
    taint.known(&["timeAdded"]);
    let effect = taint.choice("effect", &EFFECTS);
    if !taint.has("effect") {
        taint.invalid("effect", "one of NoSchedule, PreferNoSchedule, NoExecute");
    }
    Taint {
        key: taint.required_symbol("key"),
        value: taint.symbol("value"),
        effect: effect.unwrap_or(TaintEffect::NoSchedule),
    }
}

/// Reads a toleration of a pod.
pub(super) fn toleration(toleration: &Reader<'_>) -> Toleration {
    use TolerationOperator::{Equal, Exists};
    // Lt and Gt are behind a gate that is off.
    let operators = [("", Equal), ("Equal", Equal), ("Exists", Exists)];
    let operator = toleration.choice("operator", &operators).unwrap_or(Equal);
    let effect =
        if toleration.str("effect") == Some("") { None } else { toleration.choice("effect", &EFFECTS) };
    let result = Toleration {
        key: toleration.symbol("key"),
        operator,
        value: toleration.symbol("value"),
        effect,
        seconds: toleration.int("tolerationSeconds", i64::MIN..=i64::MAX),
    };
    if result.key.is_empty() && operator != Exists {
        toleration.invalid("operator", "Exists, for a toleration without a key");
    }
    if operator == Exists && !result.value.is_empty() {
        toleration.invalid("value", "no value for the operator Exists");
    }
    if result.seconds.is_some() && effect != Some(TaintEffect::NoExecute) {
        toleration.invalid("effect", "NoExecute, for a toleration with tolerationSeconds");
    }
    result
}

/// Reads `affinity`; one that says nothing is none.
pub(super) fn affinity(spec: &Reader<'_>) -> Option<Arc<Affinity>> {
    let affinity = spec.object("affinity", |affinity| Affinity {
        node: affinity.object("nodeAffinity", node_affinity).unwrap_or_default(),
        pod: affinity.object("podAffinity", pod_affinity).unwrap_or_default(),
        anti: affinity.object("podAntiAffinity", pod_affinity).unwrap_or_default(),
    })?;
    (affinity != Affinity::default()).then(|| Arc::new(affinity))
}

/// Reads `nodeAffinity`.
pub(super) fn node_affinity(affinity: &Reader<'_>) -> NodeAffinity {
    NodeAffinity {
        required: selector::node_terms(affinity, REQUIRED),
        preferred: affinity
            .list(PREFERRED, |preferred| PreferredNode {
                weight: weight(preferred),
                term: preferred.object_or_empty("preference", selector::node_term).unwrap_or_default(),
            })
            .into(),
    }
}

fn weight(preferred: &Reader<'_>) -> i32 {
    let weight = preferred.int("weight", i64::from(i32::MIN)..=i64::from(i32::MAX)).unwrap_or(0);
    if !(1..=100).contains(&weight) {
        preferred.invalid("weight", "a whole number from 1 to 100");
    }
    weight as i32
}

fn pod_affinity(affinity: &Reader<'_>) -> PodAffinity {
    PodAffinity {
        required: affinity.list(REQUIRED, pod_affinity_term).into(),
        preferred: affinity
            .list(PREFERRED, |preferred| WeightedPodAffinityTerm {
                weight: weight(preferred),
                term: preferred
                    .object_or_empty("podAffinityTerm", pod_affinity_term)
                    .unwrap_or_else(|| no_term(Symbol::empty())),
            })
            .into(),
    }
}

fn no_term(topology_key: Symbol) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: None,
        namespaces: NamespaceScope::default(),
        topology_key,
        match_label_keys: Box::default(),
        mismatch_label_keys: Box::default(),
    }
}

fn pod_affinity_term(term: &Reader<'_>) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: selector::optional(term, "labelSelector"),
        namespaces: NamespaceScope {
            names: term.symbols("namespaces"),
            selector: selector::optional(term, "namespaceSelector"),
        },
        match_label_keys: term.symbols("matchLabelKeys"),
        mismatch_label_keys: term.symbols("mismatchLabelKeys"),
        ..no_term(topology_key(term))
    }
}

fn topology_key(reader: &Reader<'_>) -> Symbol {
    let key = reader.required_symbol("topologyKey");
    if !key.is_empty() && !names::is_qualified_key(key.as_str()) {
        reader.invalid("topologyKey", "a label key such as topology.kubernetes.io/zone");
    }
    key
}

/// Reads a topology spread constraint.
pub(super) fn spread_constraint(constraint: &Reader<'_>) -> TopologySpreadConstraint {
    use NodeInclusionPolicy::{Honor, Ignore};
    use WhenUnsatisfiable::{DoNotSchedule, ScheduleAnyway};
    let policies = [("Honor", Honor), ("Ignore", Ignore)];
    let actions = [("DoNotSchedule", DoNotSchedule), ("ScheduleAnyway", ScheduleAnyway)];
    if !constraint.has("maxSkew") {
        constraint.invalid("maxSkew", "a whole number ≥ 1");
    }
    let when_unsatisfiable = constraint.choice("whenUnsatisfiable", &actions);
    if !constraint.has("whenUnsatisfiable") {
        constraint.invalid("whenUnsatisfiable", "one of DoNotSchedule, ScheduleAnyway");
    }
    let min_domains = constraint.int32("minDomains", 1);
    if min_domains.is_some() && when_unsatisfiable == Some(ScheduleAnyway) {
        constraint.invalid("minDomains", "no minDomains with whenUnsatisfiable: ScheduleAnyway");
    }
    TopologySpreadConstraint {
        max_skew: constraint.int32("maxSkew", 1).unwrap_or(1),
        topology_key: topology_key(constraint),
        when_unsatisfiable: when_unsatisfiable.unwrap_or(DoNotSchedule),
        selector: selector::optional(constraint, "labelSelector"),
        min_domains: min_domains.unwrap_or(1),
        node_affinity_policy: constraint.choice("nodeAffinityPolicy", &policies).unwrap_or(Honor),
        node_taints_policy: constraint.choice("nodeTaintsPolicy", &policies).unwrap_or(Ignore),
        match_label_keys: constraint.symbols("matchLabelKeys"),
    }
}
