//! What a pod says about where it may run: tolerations, node affinity, pod affinity, spreading.
//!
//! The judgements that scheduler, kubelet and controllers must make alike are methods here.

use std::sync::Arc;

use crate::labels::{Labels, Requirement, Selector};
use crate::symbol::Symbol;
use crate::units::Span;

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaintEffect {
    /// They are not scheduled onto the node.
    NoSchedule,
    /// They are scheduled elsewhere if possible.
    PreferNoSchedule,
    /// They are not scheduled onto the node and evicted from it.
    NoExecute,
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    /// The key.
    pub key: Symbol,
    /// The value, often empty.
    pub value: Symbol,
    /// The effect.
    pub effect: TaintEffect,
}

/// How a toleration compares values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TolerationOperator {
    /// The values must be equal.
    Equal,
    /// Any value will do.
    Exists,
}

/// A toleration of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// The key; empty (with `Exists`) tolerates every key.
    pub key: Symbol,
    /// How values are compared.
    pub operator: TolerationOperator,
    /// The value.
    pub value: Symbol,
    /// The effect; `None` tolerates every effect.
    pub effect: Option<TaintEffect>,
    /// How long a NoExecute taint is tolerated; `None` for ever, zero or less not at all.
    pub seconds: Option<i64>,
}

impl Toleration {
    /// Whether this toleration matches `taint`.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.operator == TolerationOperator::Exists || self.value == taint.value)
    }

    /// How long a taint that this toleration matches is tolerated; `None` for ever.
    pub fn span(&self) -> Option<Span> {
        self.seconds.map(|seconds| Span::from_secs(seconds.max(0)))
    }
}

/// Whether some toleration matches `taint`.
pub fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

/// The first taint with one of `effects` that no toleration matches.
pub fn first_untolerated<'a>(
    tolerations: &[Toleration],
    taints: &'a [Taint],
    effects: &[TaintEffect],
) -> Option<&'a Taint> {
    taints.iter().find(|taint| effects.contains(&taint.effect) && !tolerated(tolerations, taint))
}

/// One alternative of a node selector: all expressions and fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSelectorTerm {
    /// Requirements over the node's labels.
    pub expressions: Box<[Requirement]>,
    /// Requirements over the node's fields; the only field is `metadata.name`.
    pub fields: Box<[Requirement]>,
}

impl NodeSelectorTerm {
    /// Whether a node with these labels and this name matches; an empty term matches nothing.
    pub fn matches(&self, labels: &Labels, name: Symbol) -> bool {
        if self.expressions.is_empty() && self.fields.is_empty() {
            return false;
        }
        self.expressions.iter().all(|requirement| requirement.admits(labels.get(requirement.key)))
            && self.fields.iter().all(|requirement| requirement.admits(Some(name)))
    }
}

/// A preferred node selector term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreferredNode {
    /// 1 to 100; 0 is skipped.
    pub weight: i32,
    /// The term.
    pub term: NodeSelectorTerm,
}

/// Node affinity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeAffinity {
    /// Required terms, of which one must match; absent if there is no requirement.
    pub required: Option<Box<[NodeSelectorTerm]>>,
    /// Preferred terms.
    pub preferred: Box<[PreferredNode]>,
}

/// The namespaces in which an affinity term looks for pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespaceScope {
    /// Namespaces by name.
    pub names: Box<[Symbol]>,
    /// Namespaces by label, added to those by name; the empty selector means all.
    pub selector: Option<Selector>,
}

/// A term of pod affinity or anti-affinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodAffinityTerm {
    /// Which pods; absent matches none.
    pub selector: Option<Selector>,
    /// Where they are looked for; neither names nor a selector means the pod's own namespace.
    pub namespaces: NamespaceScope,
    /// The node label that defines "together".
    pub topology_key: Symbol,
    /// `matchLabelKeys`, which the API server merges into the selector.
    pub match_label_keys: Box<[Symbol]>,
    /// `mismatchLabelKeys`, likewise.
    pub mismatch_label_keys: Box<[Symbol]>,
}

/// A preferred term of pod affinity or anti-affinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WeightedPodAffinityTerm {
    /// 1 to 100.
    pub weight: i32,
    /// The term.
    pub term: PodAffinityTerm,
}

/// Required and preferred terms of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodAffinity {
    /// Terms that must all hold.
    pub required: Box<[PodAffinityTerm]>,
    /// Terms that count towards the score.
    pub preferred: Box<[WeightedPodAffinityTerm]>,
}

/// All affinities of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Affinity {
    /// Towards nodes.
    pub node: NodeAffinity,
    /// Towards pods.
    pub pod: PodAffinity,
    /// Away from pods.
    pub anti: PodAffinity,
}

/// What a spread constraint does when it cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenUnsatisfiable {
    /// The node is rejected.
    DoNotSchedule,
    /// The node scores less.
    ScheduleAnyway,
}

/// Whether a spread constraint heeds node affinity or taints when it counts nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeInclusionPolicy {
    /// It does.
    Honor,
    /// It does not.
    Ignore,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopologySpreadConstraint {
    /// The largest difference allowed, at least 1.
    pub max_skew: i32,
    /// The node label whose values are the domains.
    pub topology_key: Symbol,
    /// Filter or score.
    pub when_unsatisfiable: WhenUnsatisfiable,
    /// Which pods are counted; absent counts none.
    pub selector: Option<Selector>,
    /// With fewer domains than this the smallest count is taken as 0.
    pub min_domains: i32,
    /// Whether nodes that the pod's node affinity excludes are left out.
    pub node_affinity_policy: NodeInclusionPolicy,
    /// Whether nodes with untolerated taints are left out.
    pub node_taints_policy: NodeInclusionPolicy,
    /// Keys whose values are taken from the incoming pod and added to the selector.
    pub match_label_keys: Box<[Symbol]>,
}

/// The node constraints of a pod: its selector and its required affinity together.
#[derive(Clone, Copy, Debug)]
pub struct NodeConstraint<'a> {
    /// `nodeSelector`.
    pub selector: &'a Labels,
    /// `affinity`, if there is any.
    pub affinity: Option<&'a Arc<Affinity>>,
    /// The one node that a DaemonSet made the pod for.
    pub target: Option<Symbol>,
}

impl NodeConstraint<'_> {
    /// Whether a node with these labels and this name satisfies selector and required affinity.
    ///
    /// For a DaemonSet's pod the target replaces the required affinity of the template, as its
    /// controller writes it.
    pub fn matches(&self, labels: &Labels, name: Symbol) -> bool {
        if !labels.contains_all(self.selector) {
            return false;
        }
        if let Some(target) = self.target {
            return target == name;
        }
        match self.affinity.and_then(|affinity| affinity.node.required.as_ref()) {
            Some(terms) => terms.iter().any(|term| term.matches(labels, name)),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Operator;

    fn taint(key: &str, value: &str, effect: TaintEffect) -> Taint {
        Taint { key: key.into(), value: value.into(), effect }
    }

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        use TaintEffect::*;
        use TolerationOperator::*;
        let subject = taint("gpu", "yes", NoSchedule);
        let rows = [
            ("gpu", Equal, "yes", None, true),
            ("gpu", Equal, "no", None, false),
            ("gpu", Exists, "", Some(NoSchedule), true),
            ("gpu", Exists, "", Some(NoExecute), false),
            ("", Exists, "", None, true),
            ("cpu", Exists, "", None, false),
        ];
        for (key, operator, value, effect, expected) in rows {
            let toleration =
                Toleration { key: key.into(), operator, value: value.into(), effect, seconds: None };
            assert_eq!(toleration.tolerates(&subject), expected, "{toleration:?}");
        }
    }

    #[test]
    fn an_empty_term_matches_nothing_and_terms_are_alternatives() {
        let labels = Labels::of(&[("zone", "a")]);
        let zone = |value: &str| NodeSelectorTerm {
            expressions: Box::new([Requirement {
                key: "zone".into(),
                operator: Operator::In(Box::new([value.into()])),
            }]),
            fields: Box::default(),
        };
        let name = Symbol::new("node-1");
        assert!(!NodeSelectorTerm::default().matches(&labels, name));
        let affinity = Arc::new(Affinity {
            node: NodeAffinity {
                required: Some(Box::new([zone("b"), zone("a")])),
                ..NodeAffinity::default()
            },
            ..Affinity::default()
        });
        let constraint = NodeConstraint { selector: &Labels::NONE, affinity: Some(&affinity), target: None };
        assert!(constraint.matches(&labels, name));
        assert!(!NodeConstraint { target: Some("node-2".into()), ..constraint }.matches(&labels, name));
    }
}
