//! Claims, volumes, storage classes and the storage drivers of nodes.

use super::reader::Reader;
use super::selector;
use crate::labels::{Operator, Requirement};
use crate::meta::{ObjectMeta, Uid};
use crate::scheduling::NodeSelectorTerm;
use crate::storage::{
    AccessModes, ClaimPhase, ClaimRef, ClaimSpec, CsiNode, CsiNodeDriver, PersistentVolume,
    PersistentVolumeClaim, ReclaimPolicy, StorageClass, VolumeBindingMode, VolumeMode, VolumePhase,
};
use crate::symbol::Symbol;
use crate::units::Bytes;

const RECLAIM_POLICIES: [(&str, ReclaimPolicy); 2] =
    [("Retain", ReclaimPolicy::Retain), ("Delete", ReclaimPolicy::Delete)];

/// Sources of volumes other than CSI: where the bytes are makes no difference here.
const SOURCES: [&str; 21] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// Reads a PersistentVolumeClaim.
pub(super) fn claim(object: &Reader<'_>, meta: ObjectMeta) -> Option<PersistentVolumeClaim> {
    let phases = [("Pending", ClaimPhase::Pending), ("Bound", ClaimPhase::Bound), ("Lost", ClaimPhase::Lost)];
    let phase = super::workload::status(object, |status| {
        status.known(&[
            "accessModes",
            "allocatedResourceStatuses",
            "allocatedResources",
            "capacity",
            "conditions",
            "currentVolumeAttributesClassName",
            "modifyVolumeStatus",
        ]);
        status.choice("phase", &phases).unwrap_or_default()
    });
    Some(PersistentVolumeClaim { meta, spec: object.object_or_empty("spec", claim_spec)?, phase })
}

/// Reads what a claim asks for.
pub(super) fn claim_spec(spec: &Reader<'_>) -> ClaimSpec {
    spec.known(&["dataSource", "dataSourceRef"]);
    let request = spec.object("resources", |resources| {
        resources.known(&["limits"]);
        resources.object("requests", |requests| requests.quantity("storage")).flatten()
    });
    if request.flatten().is_none_or(|request| request.is_zero()) {
        spec.invalid("resources", "requests with an amount of storage");
    }
    ClaimSpec {
        access_modes: access_modes(spec),
        request: request.flatten().map_or(Bytes(0), |request| request.as_bytes()),
        storage_class: spec.str("storageClassName").map(Symbol::new),
        selector: selector::optional(spec, "selector"),
        volume_name: spec.symbol("volumeName"),
        volume_mode: volume_mode(spec),
        attributes_class: spec.symbol("volumeAttributesClassName"),
    }
}

fn access_modes(spec: &Reader<'_>) -> AccessModes {
    let mut modes = AccessModes::default();
    for mode in spec.strs("accessModes") {
        match &*mode {
            "ReadWriteOnce" => modes.read_write_once = true,
            "ReadOnlyMany" => modes.read_only_many = true,
            "ReadWriteMany" => modes.read_write_many = true,
            "ReadWriteOncePod" => modes.read_write_once_pod = true,
            other => {
                let expected = "ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod";
                spec.refuse("accessModes", format!("{other} is no access mode: {expected}"));
            }
        }
    }
    if modes == AccessModes::default() {
        spec.invalid("accessModes", "at least one access mode");
    }
    modes
}

fn volume_mode(spec: &Reader<'_>) -> VolumeMode {
    let modes = [("Filesystem", VolumeMode::Filesystem), ("Block", VolumeMode::Block)];
    spec.choice("volumeMode", &modes).unwrap_or_default()
}

/// Reads a PersistentVolume.
pub(super) fn volume(object: &Reader<'_>, meta: ObjectMeta) -> Option<PersistentVolume> {
    let phases = [
        ("Pending", VolumePhase::Pending),
        ("Available", VolumePhase::Available),
        ("Bound", VolumePhase::Bound),
        ("Released", VolumePhase::Released),
        ("Failed", VolumePhase::Failed),
    ];
    let phase = super::workload::status(object, |status| {
        status.known(&["lastPhaseTransitionTime", "message", "reason"]);
        status.choice("phase", &phases).unwrap_or_default()
    });
    object.object_or_empty("spec", |spec| {
        spec.known(&["mountOptions"]);
        spec.known(&SOURCES);
        let csi = spec.object("csi", |csi| {
            csi.known(&[
                "controllerExpandSecretRef",
                "controllerPublishSecretRef",
                "fsType",
                "nodeExpandSecretRef",
                "nodePublishSecretRef",
                "nodeStageSecretRef",
                "readOnly",
                "volumeAttributes",
            ]);
            (csi.required_symbol("driver"), csi.required_symbol("volumeHandle"))
        });
        let (csi_driver, csi_handle) = csi.unwrap_or_default();
        let capacity = spec.object("capacity", |capacity| capacity.quantity("storage")).flatten();
        if capacity.is_none() {
            spec.invalid("capacity", "an amount of storage");
        }
        PersistentVolume {
            meta,
            capacity: capacity.map_or(Bytes(0), |capacity| capacity.as_bytes()),
            access_modes: access_modes(spec),
            storage_class: spec.symbol("storageClassName"),
            volume_mode: volume_mode(spec),
            attributes_class: spec.symbol("volumeAttributesClassName"),
            claim: spec.object("claimRef", claim_ref),
            node_affinity: spec.object("nodeAffinity", |a| selector::node_terms(a, "required")).flatten(),
            reclaim_policy: spec
                .choice("persistentVolumeReclaimPolicy", &RECLAIM_POLICIES)
                .unwrap_or(ReclaimPolicy::Retain),
            phase,
            csi_driver,
            csi_handle,
        }
    })
}

fn claim_ref(claim: &Reader<'_>) -> ClaimRef {
    claim.known(&["apiVersion", "fieldPath", "kind", "resourceVersion"]);
    ClaimRef {
        namespace: claim.symbol("namespace"),
        name: claim.required_symbol("name"),
        uid: claim.str("uid").filter(|uid| !uid.is_empty()).map(Uid::parse),
    }
}

/// Reads a StorageClass.
pub(super) fn class(object: &Reader<'_>, meta: ObjectMeta) -> Option<StorageClass> {
    object.known(&["allowVolumeExpansion", "mountOptions", "parameters"]);
    let modes = [
        ("Immediate", VolumeBindingMode::Immediate),
        ("WaitForFirstConsumer", VolumeBindingMode::WaitForFirstConsumer),
    ];
    let topologies = object.list("allowedTopologies", |term| NodeSelectorTerm {
        expressions: term
            .list("matchLabelExpressions", |expression| Requirement {
                key: expression.required_symbol("key"),
                operator: Operator::In(expression.symbols("values")),
            })
            .into(),
        fields: Box::default(),
    });
    Some(StorageClass {
        meta,
        provisioner: object.required_symbol("provisioner"),
        binding_mode: object.choice("volumeBindingMode", &modes).unwrap_or_default(),
        reclaim_policy: object.choice("reclaimPolicy", &RECLAIM_POLICIES).unwrap_or(ReclaimPolicy::Delete),
        allowed_topologies: (!topologies.is_empty()).then(|| topologies.into()),
    })
}

/// Reads a CSINode.
pub(super) fn csi_node(object: &Reader<'_>, meta: ObjectMeta) -> CsiNode {
    let drivers = object.object("spec", |spec| {
        spec.list("drivers", |driver| {
            driver.known(&["nodeID", "topologyKeys"]);
            CsiNodeDriver {
                name: driver.required_symbol("name"),
                allocatable: driver.object("allocatable", |a| a.int32("count", 0)).flatten(),
            }
        })
    });
    CsiNode { meta, drivers: drivers.unwrap_or_default().into() }
}
