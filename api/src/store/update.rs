//! PUT and apply: whole objects, with the check of their version.

use std::sync::Arc;

use super::create::has_generation;
use super::{ApiServer, storage};
use crate::meta::{MetaExtra, ObjectMeta};
use crate::object::{Kind, Object};
use crate::pod::PodSpec;
use crate::request::{ApiError, ErrorReason, Reply, Subresource, WatchEvent};
use crate::units::SimTime;

impl ApiServer {
    pub(super) fn update(
        &mut self,
        object: Object,
        subresource: Subresource,
        events: &mut Vec<WatchEvent>,
        now: SimTime,
    ) -> Reply {
        let stored = self.require(object.object_ref())?.clone();
        let (old, new) = (stored.meta(), object.meta());
        if new.resource_version != 0 && new.resource_version != old.resource_version {
            return Err(ApiError::conflict(stored.kind(), &old.name));
        }
        match subresource {
            Subresource::Main => {
                let mut next = merge_main(&stored, object)?;
                self.admit_update(now, &stored, &mut next, events)?;
                self.write(&stored, next, events)
            }
            Subresource::Status => self.write_status(&stored, merge_status(&stored, object)?, events),
        }
    }

    /// Admission of a new version: what it is given, its limits and its quotas.
    pub(crate) fn admit_update(
        &mut self,
        now: SimTime,
        stored: &Object,
        next: &mut Object,
        events: &mut Vec<WatchEvent>,
    ) -> Result<(), ApiError> {
        match (stored, &mut *next) {
            (Object::Service(old), Object::Service(new)) => {
                self.allocate_for_service(Some(old), Arc::make_mut(new))?;
            }
            (_, Object::PersistentVolumeClaim(claim)) => self.check_claim_limits(claim)?,
            _ => return Ok(()),
        }
        self.charge_quotas(now, Some(stored), next, events)
    }

    pub(super) fn apply(&mut self, now: SimTime, mut object: Object, events: &mut Vec<WatchEvent>) -> Reply {
        let meta = object.meta();
        let Some(stored) = self.find_like(&object, &meta.name) else {
            return self.create(now, object, events);
        };
        let id = stored.meta().id;
        storage::keep_bindings(stored, &mut object);
        let meta = object.meta_mut();
        meta.id = id;
        meta.resource_version = 0;
        self.update(object, Subresource::Main, events, now)
    }

    /// Stores `next` in place of `stored` unless nothing changed. A status never raises the
    /// generation, not even with the annotations that a Deployment's carries.
    fn write_status(&mut self, stored: &Object, next: Object, events: &mut Vec<WatchEvent>) -> Reply {
        if compare(stored, &next).changed { Ok(self.replace(next, events)) } else { Ok(stored.clone()) }
    }

    /// Stores `next` in place of `stored` unless nothing changed, and raises the generation if the
    /// specification did. An object whose last finalizer went while it was being deleted goes too.
    pub(super) fn write(&mut self, stored: &Object, next: Object, events: &mut Vec<WatchEvent>) -> Reply {
        let comparison = compare(stored, &next);
        if !comparison.changed {
            return Ok(stored.clone());
        }
        if comparison.spec_changed {
            self.check_storage_update(stored, &next)?;
        }
        Ok(self.commit(stored, next, comparison.spec_changed, events))
    }

    /// Stores a version that is known to differ from the stored one, which was judged as a document.
    pub(crate) fn commit(
        &mut self,
        stored: &Object,
        mut next: Object,
        spec_changed: bool,
        events: &mut Vec<WatchEvent>,
    ) -> Object {
        if spec_changed && has_generation(next.kind()) && next.kind() != Kind::PriorityClass {
            next.meta_mut().generation = stored.meta().generation + 1;
        }
        let grace_left = next.meta().deletion().is_some_and(|deletion| deletion.grace_seconds > 0);
        let held = !next.meta().finalizers().is_empty();
        let released = match &next {
            Object::Namespace(namespace) => namespace.finalized && !held,
            _ => !stored.meta().finalizers().is_empty() && !held,
        };
        if next.meta().is_deleting() && released && !grace_left {
            return self.remove(next, events);
        }
        self.replace(next, events)
    }
}

/// What differs between two versions of an object.
struct Comparison {
    changed: bool,
    spec_changed: bool,
}

macro_rules! compare_with_status {
    ($old:expr, $new:expr, $($field:ident),+) => {{
        let mut probe = (**$new).clone();
        probe.meta = $old.meta.clone();
        $(probe.$field = $old.$field.clone();)+
        let spec_changed = probe != **$old;
        let status_changed = $($old.$field != $new.$field)||+;
        Comparison {
            changed: spec_changed || status_changed || meta_changed(&$old.meta, &$new.meta),
            spec_changed,
        }
    }};
}

fn compare(stored: &Object, next: &Object) -> Comparison {
    match (stored, next) {
        (Object::Pod(old), Object::Pod(new)) => {
            let spec_changed = !Arc::ptr_eq(&old.spec, &new.spec) && old.spec != new.spec;
            Comparison {
                changed: spec_changed
                    || old.node != new.node
                    || old.status != new.status
                    || meta_changed(&old.meta, &new.meta),
                spec_changed,
            }
        }
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => compare_with_status!(old, new, status),
        (Object::Deployment(old), Object::Deployment(new)) => {
            let mut comparison = compare_with_status!(old, new, status);
            comparison.spec_changed |= old.meta.annotations != new.meta.annotations;
            comparison
        }
        (Object::StatefulSet(old), Object::StatefulSet(new)) => compare_with_status!(old, new, status),
        (Object::DaemonSet(old), Object::DaemonSet(new)) => compare_with_status!(old, new, status),
        (Object::Job(old), Object::Job(new)) => compare_with_status!(old, new, status),
        (Object::CronJob(old), Object::CronJob(new)) => compare_with_status!(old, new, status),
        (Object::ReplicationController(old), Object::ReplicationController(new)) => {
            compare_with_status!(old, new, status)
        }
        (Object::ResourceQuota(old), Object::ResourceQuota(new)) => compare_with_status!(old, new, status),
        (Object::PodDisruptionBudget(old), Object::PodDisruptionBudget(new)) => {
            compare_with_status!(old, new, status)
        }
        (Object::HorizontalPodAutoscaler(old), Object::HorizontalPodAutoscaler(new)) => {
            compare_with_status!(old, new, status)
        }
        (Object::VerticalPodAutoscaler(old), Object::VerticalPodAutoscaler(new)) => {
            compare_with_status!(old, new, status)
        }
        (Object::Node(old), Object::Node(new)) => {
            compare_with_status!(old, new, capacity, allocatable, conditions, images, ip, volumes)
        }
        (Object::PersistentVolumeClaim(old), Object::PersistentVolumeClaim(new)) => {
            compare_with_status!(old, new, phase, granted_modes, capacity, resize)
        }
        (Object::PersistentVolume(old), Object::PersistentVolume(new)) => {
            compare_with_status!(old, new, phase, message)
        }
        (Object::VolumeAttachment(old), Object::VolumeAttachment(new)) => {
            compare_with_status!(old, new, attached, attach_error, detach_error)
        }
        (Object::Namespace(old), Object::Namespace(new)) => {
            compare_with_status!(old, new, terminating, finalized, conditions)
        }
        _ => {
            let spec_changed = !same_content(stored, next);
            Comparison { changed: spec_changed || meta_changed(stored.meta(), next.meta()), spec_changed }
        }
    }
}

/// Whether two objects of a kind without status have the same content.
fn same_content(stored: &Object, next: &Object) -> bool {
    macro_rules! same {
        ($($kind:ident),+) => {
            match (stored, next) {
                $((Object::$kind(old), Object::$kind(new)) => {
                    let mut probe = (**new).clone();
                    probe.meta = old.meta.clone();
                    probe == **old
                })+
                _ => false,
            }
        };
    }
    same!(
        Service,
        ServiceAccount,
        ConfigMap,
        Secret,
        ControllerRevision,
        EndpointSlice,
        Endpoints,
        Lease,
        LimitRange,
        PriorityClass,
        StorageClass,
        CsiNode,
        Ingress,
        IngressClass,
        NetworkPolicy,
        CsiDriver,
        CsiStorageCapacity,
        Untyped
    )
}

/// Whether the parts of the metadata that clients write differ.
fn meta_changed(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.labels != new.labels
        || old.annotations != new.annotations
        || old.owners != new.owners
        || old.deletion() != new.deletion()
        || old.finalizers() != new.finalizers()
}

/// The stored metadata with what a client may change taken from `incoming`.
fn merge_meta(stored: &ObjectMeta, incoming: &ObjectMeta) -> ObjectMeta {
    let extra = match (&stored.extra, &incoming.extra) {
        (Some(old), Some(new)) => {
            Some(Arc::new(MetaExtra { generate_name: old.generate_name.clone(), ..MetaExtra::clone(new) }))
        }
        (_, new) => new.clone(),
    };
    ObjectMeta {
        labels: incoming.labels.clone(),
        annotations: incoming.annotations.clone(),
        owners: incoming.owners.clone(),
        extra,
        ..stored.clone()
    }
}

/// A write to the main resource: the status stays, and so does what may not change.
fn merge_main(stored: &Object, incoming: Object) -> Result<Object, ApiError> {
    let meta = merge_meta(stored.meta(), incoming.meta());
    let mut next = incoming;
    *next.meta_mut() = meta;
    match (stored, &mut next) {
        (Object::Pod(old), Object::Pod(new)) => {
            let new = Arc::make_mut(new);
            new.node = old.node;
            new.target_node = old.target_node;
            new.status = old.status.clone();
            new.spec = merge_pod_spec(&old.spec, &new.spec);
        }
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => {
            immutable(Kind::ReplicaSet, &old.meta, old.selector == new.selector)?;
            Arc::make_mut(new).status = old.status.clone();
        }
        (Object::Deployment(old), Object::Deployment(new)) => {
            immutable(Kind::Deployment, &old.meta, old.selector == new.selector)?;
            let new = Arc::make_mut(new);
            new.status = old.status.clone();
            keep_annotation(&old.meta, &mut new.meta, "deployment.kubernetes.io/revision");
        }
        (Object::StatefulSet(old), Object::StatefulSet(new)) => {
            immutable(Kind::StatefulSet, &old.meta, old.selector == new.selector)?;
            Arc::make_mut(new).status = old.status.clone();
        }
        (Object::DaemonSet(old), Object::DaemonSet(new)) => {
            immutable(Kind::DaemonSet, &old.meta, old.selector == new.selector)?;
            Arc::make_mut(new).status = old.status.clone();
        }
        (Object::Job(old), Object::Job(new)) => {
            let new = Arc::make_mut(new);
            new.selector = old.selector.clone();
            new.template = old.template.clone();
            new.status = old.status.clone();
        }
        (Object::PodDisruptionBudget(old), Object::PodDisruptionBudget(new)) => {
            Arc::make_mut(new).status = old.status.clone();
        }
        (Object::HorizontalPodAutoscaler(old), Object::HorizontalPodAutoscaler(new)) => {
            Arc::make_mut(new).status = old.status.clone();
        }
        (Object::VerticalPodAutoscaler(old), Object::VerticalPodAutoscaler(new)) => {
            Arc::make_mut(new).status = old.status.clone();
        }
        (Object::Node(old), Object::Node(new)) => {
            let new = Arc::make_mut(new);
            new.capacity = old.capacity.clone();
            new.allocatable = old.allocatable.clone();
            new.conditions = old.conditions;
            new.images = old.images.clone();
            new.ip = old.ip;
            new.volumes = old.volumes.clone();
        }
        (Object::PersistentVolumeClaim(old), Object::PersistentVolumeClaim(new)) => {
            let new = Arc::make_mut(new);
            new.phase = old.phase;
            new.granted_modes = old.granted_modes;
            new.capacity = old.capacity;
            new.resize = old.resize;
        }
        (Object::PersistentVolume(old), Object::PersistentVolume(new)) => {
            let new = Arc::make_mut(new);
            new.phase = old.phase;
            new.message = old.message;
        }
        (Object::VolumeAttachment(old), Object::VolumeAttachment(new)) => {
            let new = Arc::make_mut(new);
            new.attached = old.attached;
            new.attach_error = old.attach_error;
            new.detach_error = old.detach_error;
        }
        (Object::Namespace(old), Object::Namespace(new)) => {
            let new = Arc::make_mut(new);
            new.terminating = old.terminating;
            new.finalized = old.finalized;
            new.conditions = old.conditions.clone();
        }
        (Object::ReplicationController(old), Object::ReplicationController(new)) => {
            Arc::make_mut(new).status = old.status.clone();
        }
        (Object::CronJob(old), Object::CronJob(new)) => Arc::make_mut(new).status = old.status.clone(),
        (Object::ResourceQuota(old), Object::ResourceQuota(new)) => {
            let same = old.scopes == new.scopes;
            immutable_field(Kind::ResourceQuota, &old.meta, "spec.scopes", same)?;
            Arc::make_mut(new).status = old.status.clone();
        }
        _ => {}
    }
    Ok(next)
}

/// What a write may change of a pod's specification: images, its deadline, more tolerations; while it
/// is gated also its gates, which can only be taken away, and the nodes that it may go to.
fn merge_pod_spec(old: &Arc<PodSpec>, new: &PodSpec) -> Arc<PodSpec> {
    let mut next = PodSpec::clone(old);
    next.active_deadline_seconds = new.active_deadline_seconds;
    for (container, other) in next.containers.iter_mut().zip(&new.containers) {
        container.image = other.image;
    }
    for (container, other) in next.init_containers.iter_mut().zip(&new.init_containers) {
        container.image = other.image;
    }
    let added = new.tolerations.iter().filter(|toleration| !old.tolerations.contains(toleration));
    next.tolerations = old.tolerations.iter().chain(added).cloned().collect();
    if !old.scheduling_gates.is_empty() {
        let kept = old.scheduling_gates.iter().filter(|gate| new.scheduling_gates.contains(gate));
        next.scheduling_gates = kept.copied().collect();
        next.node_selector = new.node_selector.clone();
        next.affinity = new.affinity.clone();
    }
    if next == **old { old.clone() } else { Arc::new(next.sealed()) }
}

/// A write to the status: the specification and the metadata stay, but for a Deployment's
/// annotations, which carry its revision.
fn merge_status(stored: &Object, incoming: Object) -> Result<Object, ApiError> {
    let mut next = stored.clone();
    match (&mut next, &incoming) {
        (Object::Pod(old), Object::Pod(new)) => Arc::make_mut(old).status = new.status.clone(),
        (Object::ReplicaSet(old), Object::ReplicaSet(new)) => Arc::make_mut(old).status = new.status.clone(),
        (Object::Deployment(old), Object::Deployment(new)) => {
            let old = Arc::make_mut(old);
            old.status = new.status.clone();
            old.meta.annotations = new.meta.annotations.clone();
        }
        (Object::StatefulSet(old), Object::StatefulSet(new)) => {
            Arc::make_mut(old).status = new.status.clone()
        }
        (Object::DaemonSet(old), Object::DaemonSet(new)) => Arc::make_mut(old).status = new.status.clone(),
        (Object::ReplicationController(old), Object::ReplicationController(new)) => {
            Arc::make_mut(old).status = new.status.clone();
        }
        (Object::CronJob(old), Object::CronJob(new)) => Arc::make_mut(old).status = new.status.clone(),
        (Object::ResourceQuota(old), Object::ResourceQuota(new)) => {
            Arc::make_mut(old).status = new.status.clone();
        }
        (Object::Job(old), Object::Job(new)) => {
            if new.status.ready > new.status.active {
                return Err(more_ready_than_active(&new.meta.name, new.status.ready));
            }
            Arc::make_mut(old).status = new.status.clone();
        }
        (Object::PodDisruptionBudget(old), Object::PodDisruptionBudget(new)) => {
            Arc::make_mut(old).status = new.status.clone();
        }
        (Object::HorizontalPodAutoscaler(old), Object::HorizontalPodAutoscaler(new)) => {
            Arc::make_mut(old).status = new.status.clone();
        }
        (Object::VerticalPodAutoscaler(old), Object::VerticalPodAutoscaler(new)) => {
            Arc::make_mut(old).status = new.status.clone();
        }
        (Object::Node(old), Object::Node(new)) => {
            let old = Arc::make_mut(old);
            old.capacity = new.capacity.clone();
            old.allocatable = new.allocatable.clone();
            old.conditions = new.conditions;
            old.images = new.images.clone();
            old.ip = new.ip;
        }
        (Object::PersistentVolumeClaim(old), Object::PersistentVolumeClaim(new)) => {
            let old = Arc::make_mut(old);
            old.phase = new.phase;
            old.granted_modes = new.granted_modes;
            old.capacity = new.capacity;
            old.resize = new.resize;
        }
        (Object::PersistentVolume(old), Object::PersistentVolume(new)) => {
            let old = Arc::make_mut(old);
            old.phase = new.phase;
            old.message = new.message;
        }
        (Object::VolumeAttachment(old), Object::VolumeAttachment(new)) => {
            let old = Arc::make_mut(old);
            old.attached = new.attached;
            old.attach_error = new.attach_error;
            old.detach_error = new.detach_error;
        }
        (Object::Namespace(old), Object::Namespace(new)) => {
            let old = Arc::make_mut(old);
            old.terminating = new.terminating;
            old.conditions = new.conditions.clone();
        }
        (stored, _) => {
            let kind = stored.kind();
            let message =
                format!("the server could not find the requested resource ({}/status)", kind.plural());
            return Err(ApiError::new(ErrorReason::NotFound, message));
        }
    }
    Ok(next)
}

fn more_ready_than_active(name: &str, ready: i32) -> ApiError {
    let message = format!(
        "Job.batch \"{name}\" is invalid: status.ready: Invalid value: {ready}: cannot set more ready pods than \
         active"
    );
    ApiError::new(ErrorReason::Invalid, message)
}

/// Refuses a changed selector.
fn immutable(kind: Kind, meta: &ObjectMeta, same: bool) -> Result<(), ApiError> {
    immutable_field(kind, meta, "spec.selector", same)
}

/// Refuses a changed field.
fn immutable_field(kind: Kind, meta: &ObjectMeta, field: &str, same: bool) -> Result<(), ApiError> {
    if same {
        return Ok(());
    }
    let message = format!("{kind} \"{}\" is invalid: {field}: Invalid value: field is immutable", meta.name);
    Err(ApiError::new(ErrorReason::Invalid, message))
}

/// Keeps an annotation that the system wrote and a manifest does not know.
fn keep_annotation(stored: &ObjectMeta, next: &mut ObjectMeta, key: &str) {
    let key = crate::symbol::Symbol::new(key);
    if let (Some(value), None) = (stored.annotations.get(key), next.annotations.get(key)) {
        next.annotations = next.annotations.with(key, value);
    }
}
