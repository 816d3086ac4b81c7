//! `matchLabelKeys` and `mismatchLabelKeys` of pod affinity: the server merges the values that the
//! pod itself has into the terms' selectors.

use std::sync::Arc;

use crate::labels::{Labels, Operator, Requirement, Selector};
use crate::pod::PodSpec;
use crate::scheduling::{Affinity, PodAffinity, PodAffinityTerm};
use crate::symbol::Symbol;

/// The specification with the keys of its affinity terms merged, if there are any.
pub(super) fn merge_label_keys(spec: &Arc<PodSpec>, labels: &Labels) -> Arc<PodSpec> {
    let Some(affinity) = spec.affinity.as_ref().filter(|affinity| has_keys(affinity)) else {
        return spec.clone();
    };
    let mut merged = Affinity::clone(affinity);
    for direction in [&mut merged.pod, &mut merged.anti] {
        for term in terms_mut(direction) {
            merge(term, labels);
        }
    }
    let mut spec = PodSpec::clone(spec);
    spec.affinity = Some(Arc::new(merged));
    Arc::new(spec)
}

fn has_keys(affinity: &Affinity) -> bool {
    [&affinity.pod, &affinity.anti].into_iter().any(|direction| {
        let preferred = direction.preferred.iter().map(|weighted| &weighted.term);
        direction
            .required
            .iter()
            .chain(preferred)
            .any(|term| !term.match_label_keys.is_empty() || !term.mismatch_label_keys.is_empty())
    })
}

fn terms_mut(direction: &mut PodAffinity) -> impl Iterator<Item = &mut PodAffinityTerm> {
    direction.required.iter_mut().chain(direction.preferred.iter_mut().map(|weighted| &mut weighted.term))
}

/// Adds a requirement for each key that the pod has; a term without selector matches nothing and
/// stays so.
fn merge(term: &mut PodAffinityTerm, labels: &Labels) {
    let Some(selector) = &mut term.selector else { return };
    let value = |key: Symbol| labels.get(key).map(|value| (key, Box::<[Symbol]>::from([value])));
    let same = term.match_label_keys.iter().filter_map(|&key| value(key));
    let same = same.map(|(key, values)| Requirement { key, operator: Operator::In(values) });
    let other = term.mismatch_label_keys.iter().filter_map(|&key| value(key));
    let other = other.map(|(key, values)| Requirement { key, operator: Operator::NotIn(values) });
    let requirements = selector.requirements.iter().cloned().chain(same).chain(other).collect();
    *selector = Selector { requirements };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Container;

    #[test]
    fn the_values_of_the_pod_itself_become_requirements() {
        let term = PodAffinityTerm {
            selector: Some(Selector::default()),
            namespaces: Default::default(),
            topology_key: "zone".into(),
            match_label_keys: Box::new(["version".into(), "absent".into()]),
            mismatch_label_keys: Box::new(["tenant".into()]),
        };
        let mut spec = PodSpec::new(vec![Container::new("c", "app:1")]);
        let anti = PodAffinity { required: Box::new([term]), ..PodAffinity::default() };
        spec.affinity = Some(Arc::new(Affinity { anti, ..Affinity::default() }));
        let labels = Labels::of(&[("version", "2"), ("tenant", "t1")]);
        let merged = merge_label_keys(&Arc::new(spec), &labels);
        let selector = merged.affinity.as_ref().unwrap().anti.required[0].selector.clone().unwrap();
        assert_eq!(selector.to_string(), "version=2,tenant notin (t1)");
        assert!(selector.matches(&Labels::of(&[("version", "2"), ("tenant", "t2")])));
        assert!(!selector.matches(&labels));
    }
}
