//! The scripted provisioner: it makes a volume a moment after a claim asks for one, and deletes it
//! a moment after it was released.

use std::collections::BTreeSet;
use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{Change, Request, WatchEvent};
use seatrial_api::storage::{
    PROVISIONED_BY, PersistentVolume, PersistentVolumeClaim, ReclaimPolicy, STORAGE_PROVISIONER,
    StorageClass, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use super::{Play, What};

/// What the names of its classes begin with.
const CLASS_PREFIX: &str = "fake-";
/// How long it takes.
const DELAY: Span = Span::from_millis(200);

/// What the provisioner is busy with.
#[derive(Default)]
pub(super) struct Provisioner(BTreeSet<ObjectRef>);

impl Play<'_> {
    /// The provisioner sees a change.
    pub(super) fn provisioner_sees(&mut self, event: &WatchEvent) {
        let asks = match &event.object {
            Object::PersistentVolumeClaim(claim) => {
                let class = claim.spec.storage_class.unwrap_or_default();
                class.as_str().starts_with(CLASS_PREFIX)
                    && claim.has_annotation(STORAGE_PROVISIONER)
                    && claim.spec.volume_name.is_empty()
            }
            Object::PersistentVolume(volume) => {
                volume.storage_class.as_str().starts_with(CLASS_PREFIX)
                    && volume.phase == VolumePhase::Released
                    && volume.reclaim_policy == ReclaimPolicy::Delete
            }
            _ => false,
        };
        let target = event.object.object_ref();
        if asks && event.change != Change::Deleted && self.provisioner.0.insert(target) {
            self.queue.push(self.now + DELAY, What::Provisioner(target));
        }
    }

    /// The provisioner does what it was asked for.
    pub(super) fn provisioner_acts(&mut self, target: ObjectRef) {
        if target.kind == Kind::PersistentVolume {
            return self.send(Request::delete(target));
        }
        let Some(claim) = self.server.typed::<PersistentVolumeClaim>(target.id).cloned() else { return };
        let class = claim.spec.storage_class.unwrap_or_default();
        let class = self.server.find(Kind::StorageClass, Symbol::empty(), class.as_str());
        let Some(Object::StorageClass(class)) = class else { return };
        let volume = volume_of(&claim, class);
        self.send(Request::Create(Object::PersistentVolume(Arc::new(volume))));
    }
}

fn volume_of(claim: &PersistentVolumeClaim, class: &StorageClass) -> PersistentVolume {
    PersistentVolume {
        meta: ObjectMeta {
            name: format!("pvc-{}", claim.meta.uid).into(),
            annotations: Labels::new(vec![(Symbol::new(PROVISIONED_BY), class.provisioner)]),
            ..ObjectMeta::default()
        },
        capacity: claim.spec.request,
        access_modes: claim.spec.access_modes,
        storage_class: Symbol::new(&class.meta.name),
        volume_mode: claim.spec.volume_mode,
        claim: Some(claim.claim_ref()),
        reclaim_policy: class.reclaim_policy,
        host_path: Symbol::new("/provisioned"),
        ..PersistentVolume::default()
    }
}
