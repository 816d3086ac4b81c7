//! PATCH: changes that are applied to the newest version, whatever it is.

use std::sync::Arc;

use super::ApiServer;
use crate::meta::OwnerRef;
use crate::node::Node;
use crate::object::{Kind, Object, ObjectRef};
use crate::pod::{
    ConditionStatus, Pod, PodConditionType, PodPhase, PodSpec, PodStatus, PodTemplate, StatusText,
};
use crate::request::{ApiError, ErrorReason, Patch, Reply, WatchEvent, merge_labels};
use crate::scheduling::Taint;
use crate::symbol::Symbol;
use crate::units::SimTime;

/// The entry of a Namespace's `spec.finalizers` that its controller takes away.
const NAMESPACE_FINALIZER: &str = "kubernetes";

impl ApiServer {
    pub(super) fn patch(
        &mut self,
        now: SimTime,
        target: ObjectRef,
        patch: Patch,
        events: &mut Vec<WatchEvent>,
    ) -> Reply {
        let stored = self.require(target)?.clone();
        let mut next = stored.clone();
        let patch = self.admitted_patch(patch, &stored)?;
        apply(now, &mut next, patch)?;
        if let (Object::Pod(old), Object::Pod(new)) = (&stored, &next)
            && !Arc::ptr_eq(&old.spec, &new.spec)
        {
            self.check_pod_limits(new)?;
            self.charge_quotas(now, Some(&stored), &next, events)?;
        }
        self.write(&stored, next, events)
    }

    /// A patch in which new specifications of pods went through admission.
    fn admitted_patch(&mut self, patch: Patch, stored: &Object) -> Result<Patch, ApiError> {
        Ok(match patch {
            // Limit ranges fill in nothing when a pod is changed.
            Patch::PodSpec(spec) => {
                let admitted = self.admit_spec(&spec, Symbol::empty());
                Patch::PodSpec(admitted.map_err(|refusal| refusal.about(&stored.meta().name))?.0)
            }
            Patch::All(patches) => {
                let patches = patches.into_iter().map(|patch| self.admitted_patch(patch, stored));
                Patch::All(patches.collect::<Result<_, _>>()?)
            }
            patch => patch,
        })
    }
}

fn apply(now: SimTime, object: &mut Object, patch: Patch) -> Result<(), ApiError> {
    match (object, patch) {
        (object, Patch::All(patches)) => {
            for patch in patches {
                apply(now, object, patch)?;
            }
        }
        (Object::Pod(pod), patch) if is_pod_patch(&patch) => patch_pod(now, Arc::make_mut(pod), patch),
        (Object::Node(node), patch) if is_node_patch(&patch) => patch_node(Arc::make_mut(node), patch),
        (object, patch) if is_storage_patch(&patch) => patch_storage(object, patch)?,
        (object, Patch::Replicas(replicas)) => *replicas_of(object)? = replicas,
        (Object::Deployment(deployment), Patch::Paused(paused)) => Arc::make_mut(deployment).paused = paused,
        (object, Patch::Image { container, image }) => set_image(object, container, image)?,
        (object, Patch::TemplateAnnotation(key, value)) => {
            let template = Arc::make_mut(template_of(object)?);
            template.annotations = template.annotations.with(key, value);
        }
        (object, patch) => patch_meta(object, patch)?,
    }
    Ok(())
}

fn is_pod_patch(patch: &Patch) -> bool {
    matches!(
        patch,
        Patch::PodStatus(_)
            | Patch::PodSpec(_)
            | Patch::Gate(_)
            | Patch::PodCondition { .. }
            | Patch::Unschedulable { .. }
            | Patch::PodPhase { .. }
            | Patch::NominatedNode(_)
    )
}

fn is_node_patch(patch: &Patch) -> bool {
    matches!(
        patch,
        Patch::Taints(_)
            | Patch::TaintChanges { .. }
            | Patch::Unschedulability(_)
            | Patch::NodeConditions(_)
            | Patch::VolumesInUse(_)
            | Patch::VolumesAttached(_)
    )
}

fn is_storage_patch(patch: &Patch) -> bool {
    matches!(patch, Patch::VolumeCapacity(_) | Patch::ClaimResize(..) | Patch::Attached(_))
}

fn patch_pod(now: SimTime, pod: &mut Pod, patch: Patch) {
    match patch {
        Patch::PodStatus(status) => merge_kubelet_status(&mut pod.status, *status),
        Patch::PodSpec(spec) => pod.spec = spec,
        Patch::Gate(condition) => {
            let gates = &mut text_of(pod).gates;
            match gates.iter_mut().find(|gate| gate.kind == condition.kind) {
                Some(gate) => *gate = condition,
                None => gates.push(condition),
            }
        }
        Patch::PodCondition { kind, status, reason, message } => {
            pod.status.conditions.set(kind, status, reason, now);
            if let Some(message) = message.filter(|_| kind == PodConditionType::PodScheduled) {
                text_of(pod).scheduling = (&*message).into();
            }
        }
        Patch::Unschedulable { reason, message, nominated_node } => {
            pod.status.conditions.set(PodConditionType::PodScheduled, ConditionStatus::False, reason, now);
            pod.status.nominated_node = nominated_node;
            if pod.status.text.as_ref().is_none_or(|text| text.scheduling != *message) {
                text_of(pod).scheduling = (&*message).into();
            }
        }
        Patch::NominatedNode(node) => pod.status.nominated_node = Some(node),
        Patch::PodPhase { phase, reason, message } => {
            pod.status.phase = phase;
            let text = text_of(pod);
            text.reason = reason;
            text.message = (&*message).into();
        }
        _ => unreachable!("invariant: is_pod_patch chose the patch"),
    }
}

fn text_of(pod: &mut Pod) -> &mut StatusText {
    Arc::make_mut(pod.status.text.get_or_insert_default())
}

/// A kubelet's status replaces everything but what others own: the PodScheduled condition, a
/// DisruptionTarget that the kubelet does not mention, the nomination, and a terminal phase.
fn merge_kubelet_status(stored: &mut PodStatus, mut status: PodStatus) {
    let scheduled = stored.conditions.get(PodConditionType::PodScheduled);
    // A pod that was refused keeps none.
    let without = |kind| status.conditions.get(kind).status == ConditionStatus::Absent;
    let refused = status.phase == PodPhase::Failed
        && without(PodConditionType::Ready)
        && without(PodConditionType::PodScheduled)
        && status.containers.is_none();
    if scheduled.status != ConditionStatus::Absent && !refused {
        status.conditions.set(
            PodConditionType::PodScheduled,
            scheduled.status,
            scheduled.reason,
            scheduled.since(),
        );
    }
    let target = stored.conditions.get(PodConditionType::DisruptionTarget);
    if status.conditions.get(PodConditionType::DisruptionTarget).status == ConditionStatus::Absent
        && target.status != ConditionStatus::Absent
    {
        status.conditions.set(
            PodConditionType::DisruptionTarget,
            target.status,
            target.reason,
            target.since(),
        );
    }
    if stored.phase.is_terminal() {
        status.phase = stored.phase;
    }
    status.nominated_node = stored.nominated_node;
    keep_gates(stored, &mut status);
    *stored = status;
}

/// Conditions of other owners stay as they are.
fn keep_gates(stored: &PodStatus, status: &mut PodStatus) {
    let gates = stored.text.as_ref().map_or(&[][..], |text| &text.gates);
    if status.text.as_ref().map_or(&[][..], |text| &text.gates) != gates {
        Arc::make_mut(status.text.get_or_insert_default()).gates = gates.to_vec();
    }
}

fn patch_node(node: &mut Node, patch: Patch) {
    match patch {
        Patch::Taints(taints) => node.taints = taints.filter(|taints| !taints.is_empty()),
        Patch::TaintChanges { add, remove } => {
            let named = |list: &[Taint], taint: &Taint| {
                list.iter().any(|other| other.key == taint.key && other.effect == taint.effect)
            };
            let kept = node.taints().iter().filter(|taint| !named(&add, taint) && !named(&remove, taint));
            let taints: Vec<Taint> = kept.chain(&add).cloned().collect();
            node.taints = (!taints.is_empty()).then(|| taints.into());
        }
        Patch::Unschedulability(unschedulable) => node.unschedulable = unschedulable,
        Patch::NodeConditions(conditions) => node.conditions = *conditions,
        Patch::VolumesInUse(in_use) => Arc::make_mut(node.volumes.get_or_insert_default()).in_use = in_use,
        Patch::VolumesAttached(attached) => {
            Arc::make_mut(node.volumes.get_or_insert_default()).attached = attached;
        }
        _ => unreachable!("invariant: is_node_patch chose the patch"),
    }
}

fn patch_storage(object: &mut Object, patch: Patch) -> Result<(), ApiError> {
    match (object, patch) {
        (Object::PersistentVolume(volume), Patch::VolumeCapacity(capacity)) => {
            Arc::make_mut(volume).capacity = capacity;
        }
        (Object::PersistentVolumeClaim(claim), Patch::ClaimResize(resize, capacity)) => {
            let claim = Arc::make_mut(claim);
            claim.resize = resize;
            claim.capacity = capacity.unwrap_or(claim.capacity);
        }
        (Object::VolumeAttachment(attachment), Patch::Attached(attached)) => {
            Arc::make_mut(attachment).attached = attached;
        }
        (object, _) => return Err(not_patched(object.kind())),
    }
    Ok(())
}

fn not_patched(kind: Kind) -> ApiError {
    let message = format!("{} cannot be changed in this way", kind.qualified_plural());
    ApiError::new(ErrorReason::BadRequest, message)
}

fn patch_meta(object: &mut Object, patch: Patch) -> Result<(), ApiError> {
    let kind = object.kind();
    match patch {
        Patch::Owners(owners) => {
            object.meta_mut().owners = (!owners.is_empty()).then(|| Arc::new(owners));
        }
        Patch::RemoveOwners(removed) => {
            let meta = object.meta_mut();
            let kept = meta.owner_refs().iter().filter(|owner| !removed.contains(&owner.uid));
            let kept: Vec<OwnerRef> = kept.cloned().collect();
            if kept.len() < meta.owner_refs().len() {
                meta.owners = (!kept.is_empty()).then(|| Arc::new(kept));
            }
        }
        Patch::AddFinalizers(added) => {
            let meta = object.meta_mut();
            let mut finalizers = meta.finalizers().to_vec();
            finalizers.extend(added.into_iter().filter(|added| !meta.finalizers().contains(added)));
            if meta.is_deleting() && finalizers.len() > meta.finalizers().len() {
                let message = format!(
                    "{kind} \"{}\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if \
                     the object is being deleted",
                    meta.name
                );
                return Err(ApiError::new(ErrorReason::Invalid, message));
            }
            meta.set_finalizers(finalizers);
        }
        Patch::RemoveFinalizers(finalizers) => {
            if let Object::Namespace(namespace) = object
                && finalizers.iter().any(|finalizer| *finalizer == NAMESPACE_FINALIZER)
            {
                Arc::make_mut(namespace).finalized = true;
            }
            let meta = object.meta_mut();
            let kept = meta.finalizers().iter().copied().filter(|f| !finalizers.contains(f)).collect();
            meta.set_finalizers(kept);
        }
        Patch::Labels(changes) => {
            let meta = object.meta_mut();
            meta.labels = merge_labels(&meta.labels, &changes);
        }
        Patch::Annotations(changes) => {
            let meta = object.meta_mut();
            meta.annotations = merge_labels(&meta.annotations, &changes);
        }
        _ => return Err(not_patched(kind)),
    }
    Ok(())
}

/// `spec.replicas` of a kind with the scale subresource.
fn replicas_of(object: &mut Object) -> Result<&mut i32, ApiError> {
    match object {
        Object::Deployment(object) => Ok(&mut Arc::make_mut(object).replicas),
        Object::ReplicaSet(object) => Ok(&mut Arc::make_mut(object).replicas),
        Object::ReplicationController(object) => Ok(&mut Arc::make_mut(object).replicas),
        Object::StatefulSet(object) => Ok(&mut Arc::make_mut(object).replicas),
        object => Err(no_such_field(object, "scale")),
    }
}

/// The pod template of a workload.
fn template_of(object: &mut Object) -> Result<&mut Arc<PodTemplate>, ApiError> {
    match object {
        Object::Deployment(object) => Ok(&mut Arc::make_mut(object).template),
        Object::ReplicaSet(object) => Ok(&mut Arc::make_mut(object).template),
        Object::ReplicationController(object) => Ok(&mut Arc::make_mut(object).template),
        Object::StatefulSet(object) => Ok(&mut Arc::make_mut(object).template),
        Object::DaemonSet(object) => Ok(&mut Arc::make_mut(object).template),
        object => Err(no_such_field(object, "template")),
    }
}

fn no_such_field(object: &Object, field: &str) -> ApiError {
    let message =
        format!("the server could not find the requested resource ({}/{field})", object.kind().plural());
    ApiError::new(ErrorReason::NotFound, message)
}

/// `kubectl set image`: one container's image, or every container's.
fn set_image(object: &mut Object, container: Symbol, image: Symbol) -> Result<(), ApiError> {
    let name = object.meta().name.clone();
    let template = Arc::make_mut(template_of(object)?);
    let mut spec = PodSpec::clone(&template.spec);
    let mut found = false;
    for candidate in spec.containers.iter_mut().chain(spec.init_containers.iter_mut()) {
        if container.is_empty() || candidate.name == container {
            candidate.image = image;
            found = true;
        }
    }
    if !found {
        let message = format!("unable to find container named \"{container}\" in \"{name}\"");
        return Err(ApiError::new(ErrorReason::NotFound, message));
    }
    template.spec = Arc::new(spec);
    Ok(())
}
