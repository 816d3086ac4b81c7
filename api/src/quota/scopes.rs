//! Which pods and claims a quota with scopes is about.

use crate::pod::{Pod, PodSpec, QosClass};
use crate::scheduling::PodAffinityTerm;
use crate::symbol::Symbol;

/// What a scope looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Scope {
    Terminating,
    NotTerminating,
    BestEffort,
    NotBestEffort,
    PriorityClass,
    CrossNamespacePodAffinity,
    VolumeAttributesClass,
}

/// How the value that a scope looks at is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum ScopeOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// One requirement of a quota's `scopes` or `scopeSelector`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeSelector {
    /// What it looks at.
    pub scope: Scope,
    /// How.
    pub operator: ScopeOperator,
    /// The values of `In` and `NotIn`.
    pub values: Box<[Symbol]>,
}

impl ScopeSelector {
    /// A scope of the short form, without values.
    pub fn plain(scope: Scope) -> ScopeSelector {
        ScopeSelector { scope, operator: ScopeOperator::Exists, values: Box::default() }
    }

    /// Whether the requirement is met by the name of a class, empty for none.
    fn admits(&self, class: Symbol) -> bool {
        let listed = !class.is_empty() && self.values.contains(&class);
        match self.operator {
            ScopeOperator::In => listed,
            ScopeOperator::NotIn => !listed,
            ScopeOperator::Exists => !class.is_empty(),
            ScopeOperator::DoesNotExist => class.is_empty(),
        }
    }

    /// Whether a pod is one of those that the scope is about.
    pub(super) fn matches_pod(&self, pod: &Pod) -> bool {
        let spec = &pod.spec;
        match self.scope {
            Scope::Terminating => has_deadline(spec),
            Scope::NotTerminating => !has_deadline(spec),
            Scope::BestEffort => spec.derived.qos == QosClass::BestEffort,
            Scope::NotBestEffort => spec.derived.qos != QosClass::BestEffort,
            Scope::PriorityClass => self.admits(spec.priority_class),
            Scope::CrossNamespacePodAffinity => looks_beyond_namespace(spec),
            Scope::VolumeAttributesClass => false,
        }
    }

    /// Whether a claim with this attributes class is one of those that the scope is about.
    pub(super) fn matches_claim(&self, attributes_class: Symbol) -> bool {
        self.scope == Scope::VolumeAttributesClass && self.admits(attributes_class)
    }
}

fn has_deadline(spec: &PodSpec) -> bool {
    spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0)
}

/// Whether an affinity of the pod names namespaces.
fn looks_beyond_namespace(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else { return false };
    let names =
        |term: &PodAffinityTerm| !term.namespaces.names.is_empty() || term.namespaces.selector.is_some();
    [&affinity.pod, &affinity.anti].into_iter().any(|side| {
        side.required.iter().any(names) || side.preferred.iter().any(|preferred| names(&preferred.term))
    })
}
