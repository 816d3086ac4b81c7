//! Claims and volumes.

use seatrial_api::storage::{
    ClaimPhase, PersistentVolume, PersistentVolumeClaim, ReclaimPolicy, VolumePhase,
};
use serde_json::json;

use super::Fields;

/// Annotations of claims that steer and tell of their binding.
const ANNOTATIONS: [&str; 4] = [
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-provisioner",
];

pub(super) fn claim(fields: &mut Fields, claim: &PersistentVolumeClaim) {
    let phase = match claim.phase {
        ClaimPhase::Pending => "Pending",
        ClaimPhase::Bound => "Bound",
        ClaimPhase::Lost => "Lost",
    };
    fields.put("phase", json!(phase));
    fields.text("volume", claim.spec.volume_name.as_str());
    if let Some(class) = claim.spec.storage_class {
        fields.text("storageClass", class.as_str());
    }
    for key in ANNOTATIONS {
        fields.annotation(key, &claim.meta, key);
    }
}

pub(super) fn volume(fields: &mut Fields, volume: &PersistentVolume) {
    let phase = match volume.phase {
        VolumePhase::Pending => "Pending",
        VolumePhase::Available => "Available",
        VolumePhase::Bound => "Bound",
        VolumePhase::Released => "Released",
        VolumePhase::Failed => "Failed",
    };
    fields.put("phase", json!(phase));
    if let Some(claim) = &volume.claim {
        fields.put("claim", json!(claim.name.as_str()));
    }
    let reclaim = match volume.reclaim_policy {
        ReclaimPolicy::Retain => "Retain",
        ReclaimPolicy::Delete => "Delete",
    };
    fields.put("reclaim", json!(reclaim));
}
