//! The pods of a StatefulSet: their names, what they are made of, and their claims.

use std::sync::Arc;

use compact_str::{CompactString, format_compact};
use seatrial_api::labels::{Labels, Operator};
use seatrial_api::meta::{ObjectMeta, OwnerRef};
use seatrial_api::object::Kind;
use seatrial_api::pod::{Pod, PodPhase, PodSpec, PodTemplate, Volume, VolumeSource};
use seatrial_api::storage::{ClaimTemplate, PersistentVolumeClaim};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{ClaimRetention, StatefulSet};

use crate::framework::{Parentage, REVISION_LABEL, controller_ref};

/// Label of a pod: its own name.
pub(super) const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// Label of a pod: its ordinal.
pub(super) const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The ordinal in the name of a pod that belongs to a set of this name.
pub(super) fn ordinal_of(set: &str, pod: &str) -> Option<i32> {
    let (parent, ordinal) = pod.rsplit_once('-')?;
    let digits = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    if parent == set && digits { ordinal.parse().ok() } else { None }
}

/// The name of the pod of an ordinal.
pub(super) fn pod_name(set: &StatefulSet, ordinal: i32) -> CompactString {
    format_compact!("{}-{ordinal}", set.meta.name)
}

/// The name of a claim of the pod of an ordinal.
pub(super) fn claim_name(set: &StatefulSet, template: &ClaimTemplate, ordinal: i32) -> CompactString {
    format_compact!("{}-{}-{ordinal}", template.name, set.meta.name)
}

/// The pod of an ordinal, made from a revision's template.
///
/// It has a specification of its own, because its host name and the names of its claims are in it.
pub(super) fn member(set: &StatefulSet, template: &PodTemplate, revision: &str, ordinal: i32) -> Pod {
    let name = pod_name(set, ordinal);
    let labels = template.labels.iter().copied().chain([
        (Symbol::new(POD_NAME_LABEL), Symbol::new(&name)),
        (Symbol::new(POD_INDEX_LABEL), Symbol::new(&ordinal.to_string())),
        (Symbol::new(REVISION_LABEL), Symbol::new(revision)),
    ]);
    let labels = Labels::new(labels.collect());
    let spec = PodSpec {
        hostname: Symbol::new(&name),
        subdomain: set.service_name,
        volumes: volumes(set, &template.spec.volumes, ordinal),
        ..PodSpec::clone(&template.spec)
    };
    let parentage = Parentage::generated(set, Vec::new());
    let mut pod = parentage.pod_with(labels, template.annotations.clone(), Arc::new(spec));
    pod.meta.name = name;
    pod
}

/// The volumes of a pod: its claims, then the template's others.
fn volumes(set: &StatefulSet, template: &[Volume], ordinal: i32) -> Box<[Volume]> {
    let claim = |template: &ClaimTemplate| Volume {
        name: template.name,
        source: VolumeSource::Claim {
            name: Symbol::new(&claim_name(set, template, ordinal)),
            read_only: false,
        },
    };
    let is_claimed =
        |volume: &&Volume| set.claim_templates.iter().any(|template| template.name == volume.name);
    let others = template.iter().filter(|volume| !is_claimed(volume)).cloned();
    set.claim_templates.iter().map(claim).chain(others).collect()
}

/// A claim of the pod of an ordinal, as it is made.
pub(super) fn claim(set: &StatefulSet, template: &ClaimTemplate, ordinal: i32) -> PersistentVolumeClaim {
    let selected = set.selector.requirements.iter().filter_map(|requirement| match &requirement.operator {
        Operator::In(values) if values.len() == 1 => Some((requirement.key, values[0])),
        _ => None,
    });
    let labels = Labels::new(template.labels.iter().copied().chain(selected).collect());
    let name = claim_name(set, template, ordinal);
    PersistentVolumeClaim {
        meta: ObjectMeta {
            labels,
            annotations: template.annotations.clone(),
            ..ObjectMeta::named(set.meta.namespace.as_str(), &name)
        },
        spec: template.claim.clone(),
        ..PersistentVolumeClaim::default()
    }
}

/// Which ordinals a set has.
pub(super) fn is_in_range(set: &StatefulSet, ordinal: i32) -> bool {
    let start = i64::from(set.ordinals_start);
    (start..start + i64::from(set.replicas)).contains(&i64::from(ordinal))
}

/// Whether a pod runs, is Ready and has been so for long enough.
pub(super) fn is_available(pod: &Pod, min_ready: Span, now: SimTime) -> bool {
    pod.status.phase == PodPhase::Running && pod.is_available(min_ready, now)
}

/// The revision that a pod was made from.
pub(super) fn revision_of(pod: &Pod) -> Symbol {
    pod.meta.labels.get(Symbol::new(REVISION_LABEL)).unwrap_or_default()
}

/// Whether a claim still names an earlier pod of the same name as its owner, so that it is about
/// to be collected and no new pod may use it.
pub(super) fn names_earlier_pod(claim: &PersistentVolumeClaim, pod: &str) -> bool {
    let names = |owner: &OwnerRef| owner.kind == "Pod" && owner.api_version == "v1" && owner.name == pod;
    claim.meta.owner_refs().iter().any(names)
}

/// The owners that a claim should have by the set's retention policy, if it has others.
pub(super) fn claim_owners(
    set: &StatefulSet,
    claim: &PersistentVolumeClaim,
    pod: &ObjectMeta,
    ordinal: i32,
) -> Option<Vec<OwnerRef>> {
    let owners = claim.meta.owner_refs();
    let named = |owner: &OwnerRef, kind: Kind, meta: &ObjectMeta| {
        owner.kind == kind.as_str() && owner.api_version == kind.api_version() && owner.name == meta.name
    };
    let names_set = |owner: &OwnerRef| named(owner, Kind::StatefulSet, &set.meta);
    let names_pod = |owner: &OwnerRef| named(owner, Kind::Pod, pod);
    let first =
        |names: &dyn Fn(&OwnerRef) -> bool| owners.iter().find(|owner| names(owner)).map(|owner| owner.uid);
    let is_stale = first(&names_set).is_some_and(|uid| uid != set.meta.uid)
        || first(&names_pod).is_some_and(|uid| uid != pod.uid);
    if is_stale {
        // It belongs to an earlier set or pod of the same name: the garbage collector sees to it.
        return None;
    }
    let wanted = Wanted::of(set, ordinal);
    let owned_by = |meta: &ObjectMeta| owners.iter().any(|owner| owner.uid == meta.uid);
    let (by_set, by_pod) = (owned_by(&set.meta), owned_by(pod));
    let scrubbed = || owners.iter().filter(|owner| !names_set(owner) && !names_pod(owner)).cloned();
    let is_strange = |owner: &&OwnerRef| owner.controller && !names_set(owner) && !names_pod(owner);
    let is_retained = set.retention_when_deleted == ClaimRetention::Retain
        && set.retention_when_scaled == ClaimRetention::Retain;
    if !is_retained && owners.iter().any(|owner| is_strange(&owner)) {
        return (by_set || by_pod).then(|| scrubbed().collect());
    }
    let half_hearted =
        owners.iter().any(|owner| !owner.controller && (owner.uid == set.meta.uid || owner.uid == pod.uid));
    if !half_hearted && by_set == wanted.set && by_pod == wanted.pod {
        return None;
    }
    let added = [
        wanted.set.then(|| controller_ref(Kind::StatefulSet, &set.meta)),
        wanted.pod.then(|| controller_ref(Kind::Pod, pod)),
    ];
    Some(scrubbed().chain(added.into_iter().flatten()).collect())
}

/// Who should own a claim.
struct Wanted {
    set: bool,
    pod: bool,
}

impl Wanted {
    fn of(set: &StatefulSet, ordinal: i32) -> Wanted {
        let surplus = !is_in_range(set, ordinal);
        let with_pod = set.retention_when_scaled == ClaimRetention::Delete && surplus;
        let with_set = set.retention_when_deleted == ClaimRetention::Delete;
        Wanted { set: with_set && !with_pod, pod: with_pod }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_set_with_a_number_are_members() {
        for (pod, ordinal) in [
            ("web-0", Some(0)),
            ("web-12", Some(12)),
            ("web-x", None),
            ("web-", None),
            ("web-1-2", None),
            ("other-1", None),
            ("web--1", None),
            ("web-99999999999", None),
        ] {
            assert_eq!(ordinal_of("web", pod), ordinal, "{pod}");
        }
    }
}
