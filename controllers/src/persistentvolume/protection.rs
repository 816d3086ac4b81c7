//! Finalizers that keep claims and volumes that are in use (upstream
//! `pkg/controller/volume/pvcprotection` and `pvprotection`).
//!
//! Model: whether a pod uses a claim is taken from the cache, where upstream lists the pods once
//! more before it gives a claim up.

use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::pod::VolumeSource;
use seatrial_api::request::{Change, Patch, Request};
use seatrial_api::storage::{
    CLAIM_PROTECTION, PersistentVolumeClaim, VOLUME_PROTECTION, VolumePhase, claim_names,
    ephemeral_claim_name, uses_claims,
};
use seatrial_api::symbol::Symbol;

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner, first_error,
};

/// Whether an object lacks its finalizer, or is deleted and still has it.
fn needs_attention(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers().iter().any(|own| *own == finalizer) == meta.is_deleting()
}

/// What is to be done about an object's finalizer.
fn attend(target: ObjectRef, meta: &ObjectMeta, finalizer: &str, used: impl Fn() -> bool) -> Next {
    let has_it = meta.finalizers().iter().any(|own| *own == finalizer);
    let finalizers = vec![Symbol::new(finalizer)];
    let patch = match (meta.is_deleting(), has_it) {
        (true, true) if !used() => Patch::RemoveFinalizers(finalizers),
        (false, false) => Patch::AddFinalizers(finalizers),
        _ => return Next::Done,
    };
    Next::send(Request::Patch { target, patch })
}

fn answered(replies: &Replies) -> Option<Next> {
    let failed = first_error(replies).is_some();
    (!replies.is_empty()).then_some(if failed { Next::Retry } else { Next::Done })
}

/// Keeps claims that pods use; its keys are rows of claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimProtection;

impl ClaimProtection {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<ClaimProtection> {
        Runner::new(id, ClaimProtection, RetryPolicy::standard(), Client::new(config.client_limits), 1)
    }
}

/// Whether a pod keeps a claim: it is on a node, in whatever phase. A pod whose generic ephemeral
/// volume the claim is keeps it no longer once it has been shut down.
fn keeps(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let is_shut_down = pod.meta.deletion().is_some_and(|deletion| deletion.grace_seconds == 0);
    let owns = claim.meta.owner_refs().iter().any(|owner| owner.uid == pod.meta.uid && owner.controller);
    let name = claim.meta.name.as_str();
    pod.node.is_some()
        && pod.spec.volumes.iter().any(|volume| match &volume.source {
            VolumeSource::Claim { name: used, .. } => *used == name,
            VolumeSource::Ephemeral(_) => {
                !is_shut_down && owns && ephemeral_claim_name(&pod.meta.name, volume.name) == name
            }
            _ => false,
        })
}

impl Controller for ClaimProtection {
    type Sync = ();

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        match kind {
            Kind::Pod => !caches.claims.is_empty(),
            kind => kind == Kind::PersistentVolumeClaim,
        }
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::PersistentVolumeClaim(claim)
                if event.change != Change::Deleted && needs_attention(&claim.meta, CLAIM_PROTECTION) =>
            {
                cx.queue.add(claim.meta.id);
            }
            Object::Pod(pod) if uses_claims(pod) => {
                let lets_go =
                    event.change == Change::Deleted || pod.status.phase.is_terminal() || pod.node.is_none();
                for (name, _) in claim_names(pod).filter(|_| lets_go) {
                    let claim = cx.caches.claims.named(pod.meta.namespace, &name);
                    if let Some(claim) = claim.filter(|claim| claim.meta.is_deleting()) {
                        cx.queue.add(claim.meta.id);
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, (): &mut (), replies: &Replies) -> Next {
        if let Some(next) = answered(replies) {
            return next;
        }
        let Some(claim) = cx.caches.claims.get(key) else { return Next::Done };
        let (namespace, name) = (claim.meta.namespace, &claim.meta.name);
        let used = || cx.caches.pods.using_claim(namespace, name).any(|pod| keeps(pod, claim));
        let target = ObjectRef { kind: Kind::PersistentVolumeClaim, id: key };
        attend(target, &claim.meta, CLAIM_PROTECTION, used)
    }
}

/// Keeps volumes that are bound; its keys are rows of volumes.
#[derive(Clone, Debug, Default)]
pub(crate) struct VolumeProtection;

impl VolumeProtection {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<VolumeProtection> {
        Runner::new(id, VolumeProtection, RetryPolicy::standard(), Client::new(config.client_limits), 1)
    }
}

impl Controller for VolumeProtection {
    type Sync = ();

    fn minds(&self, _: &Caches, kind: Kind) -> bool {
        kind == Kind::PersistentVolume
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        if let Object::PersistentVolume(volume) = event.object
            && event.change != Change::Deleted
            && needs_attention(&volume.meta, VOLUME_PROTECTION)
        {
            cx.queue.add(volume.meta.id);
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, (): &mut (), replies: &Replies) -> Next {
        if let Some(next) = answered(replies) {
            return next;
        }
        let Some(volume) = cx.caches.volumes.get(key) else { return Next::Done };
        let target = ObjectRef { kind: Kind::PersistentVolume, id: key };
        attend(target, &volume.meta, VOLUME_PROTECTION, || volume.phase == VolumePhase::Bound)
    }
}
