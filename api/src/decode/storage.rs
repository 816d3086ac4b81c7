//! Claims, volumes, storage classes and the storage drivers of nodes.

use super::reader::Reader;
use super::selector;
use crate::labels::{Operator, Requirement};
use crate::meta::{ObjectMeta, Uid};
use crate::scheduling::NodeSelectorTerm;
use crate::storage::{
    AccessModes, ClaimPhase, ClaimRef, ClaimResize, ClaimSpec, ClaimTemplate, CsiDriver, CsiNode,
    CsiNodeDriver, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, ReclaimPolicy, StorageClass,
    VolumeAttachment, VolumeBindingMode, VolumeMode, VolumePhase,
};
use crate::symbol::Symbol;
use crate::units::Bytes;

const RECLAIM_POLICIES: [(&str, ReclaimPolicy); 2] =
    [("Retain", ReclaimPolicy::Retain), ("Delete", ReclaimPolicy::Delete)];

/// Sources of volumes other than CSI: where the bytes are makes no difference here.
const SOURCES: [&str; 20] = [
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
    let (phase, granted_modes, capacity, resize) = super::workload::status(object, |status| {
        status.known(&[
            "allocatedResourceStatuses",
            "allocatedResources",
            "currentVolumeAttributesClassName",
            "modifyVolumeStatus",
        ]);
        let capacity = status.object("capacity", |capacity| capacity.quantity("storage")).flatten();
        (
            status.choice("phase", &phases).unwrap_or_default(),
            access_modes(status),
            capacity.map_or(Bytes(0), |capacity| capacity.as_bytes()),
            claim_resize(status),
        )
    });
    let spec = object.object_or_empty("spec", claim_spec)?;
    Some(PersistentVolumeClaim { meta, spec, phase, granted_modes, capacity, resize })
}

/// How far an expansion is, from a claim's conditions.
fn claim_resize(status: &Reader<'_>) -> ClaimResize {
    let conditions = status.list("conditions", |condition| {
        condition.known(&["lastProbeTime", "lastTransitionTime", "message", "reason"]);
        (condition.required_symbol("type"), condition.str("status") == Some("True"))
    });
    let holds = |kind: &str| conditions.iter().any(|(name, holds)| *name == kind && *holds);
    match (holds("FileSystemResizePending"), holds("Resizing")) {
        (true, _) => ClaimResize::Node,
        (_, true) => ClaimResize::Controller,
        _ => ClaimResize::None,
    }
}

/// Reads the claim that a generic ephemeral volume of this name makes.
pub(super) fn ephemeral_template(source: &Reader<'_>, volume: Symbol) -> ClaimTemplate {
    if !source.has("volumeClaimTemplate") {
        source.invalid("volumeClaimTemplate", "the claim to be made");
    }
    let template = source.object("volumeClaimTemplate", |template| {
        let labels = template.object("metadata", |meta| {
            meta.known(&["creationTimestamp"]);
            (super::meta::labels(meta, "labels"), super::meta::annotations(meta, "annotations"))
        });
        let (labels, annotations) = labels.unwrap_or_default();
        let claim = template.object_or_empty("spec", claim_spec).unwrap_or_default();
        ClaimTemplate { name: volume, claim, labels, annotations }
    });
    template.unwrap_or_default()
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
        access_modes: required_access_modes(spec),
        request: request.flatten().map_or(Bytes(0), |request| request.as_bytes()),
        storage_class: spec.str("storageClassName").map(Symbol::new),
        selector: selector::optional(spec, "selector"),
        volume_name: spec.symbol("volumeName"),
        volume_mode: volume_mode(spec),
        attributes_class: spec.symbol("volumeAttributesClassName"),
    }
}

fn required_access_modes(spec: &Reader<'_>) -> AccessModes {
    let modes = access_modes(spec);
    if modes.is_empty() {
        spec.invalid("accessModes", "at least one access mode");
    }
    modes
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
    let (phase, message) = super::workload::status(object, |status| {
        status.known(&["lastPhaseTransitionTime", "reason"]);
        (status.choice("phase", &phases).unwrap_or_default(), status.symbol("message"))
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
        let host_path = spec.object("hostPath", |source| {
            source.known(&["type"]);
            source.required_symbol("path")
        });
        let capacity = spec.object("capacity", |capacity| capacity.quantity("storage")).flatten();
        if capacity.is_none() {
            spec.invalid("capacity", "an amount of storage");
        }
        PersistentVolume {
            meta,
            capacity: capacity.map_or(Bytes(0), |capacity| capacity.as_bytes()),
            access_modes: required_access_modes(spec),
            storage_class: spec.symbol("storageClassName"),
            volume_mode: volume_mode(spec),
            attributes_class: spec.symbol("volumeAttributesClassName"),
            claim: spec.object("claimRef", claim_ref),
            node_affinity: spec.object("nodeAffinity", |a| selector::node_terms(a, "required")).flatten(),
            reclaim_policy: spec
                .choice("persistentVolumeReclaimPolicy", &RECLAIM_POLICIES)
                .unwrap_or(ReclaimPolicy::Retain),
            phase,
            message,
            csi_driver,
            csi_handle,
            host_path: host_path.unwrap_or_default(),
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
    object.known(&["mountOptions", "parameters"]);
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
        allow_expansion: object.bool("allowVolumeExpansion"),
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

/// Reads a CSIDriver.
pub(super) fn csi_driver(object: &Reader<'_>, meta: ObjectMeta) -> CsiDriver {
    let read = object.object("spec", |spec| {
        spec.known(&[
            "fsGroupPolicy",
            "nodeAllocatableUpdatePeriodSeconds",
            "podInfoOnMount",
            "preventPodSchedulingIfMissing",
            "requiresRepublish",
            "seLinuxMount",
            "serviceAccountTokenInSecrets",
            "tokenRequests",
            "volumeLifecycleModes",
        ]);
        (spec.optional_bool("attachRequired").unwrap_or(true), spec.bool("storageCapacity"))
    });
    let (attach_required, storage_capacity) = read.unwrap_or((true, false));
    CsiDriver { meta, attach_required, storage_capacity }
}

/// Reads a CSIStorageCapacity.
pub(super) fn csi_storage_capacity(object: &Reader<'_>, meta: ObjectMeta) -> CsiStorageCapacity {
    CsiStorageCapacity {
        meta,
        class: object.required_symbol("storageClassName"),
        topology: selector::optional(object, "nodeTopology"),
        capacity: object.quantity("capacity").map(|quantity| quantity.as_bytes()),
        volume_max: object.quantity("maximumVolumeSize").map(|quantity| quantity.as_bytes()),
    }
}

/// Reads a VolumeAttachment.
pub(super) fn attachment(object: &Reader<'_>, meta: ObjectMeta) -> Option<VolumeAttachment> {
    let (attached, attach_error, detach_error) = super::workload::status(object, |status| {
        status.known(&["attachmentMetadata"]);
        let error = |key: &'static str| {
            let message = status.object(key, |error| {
                error.known(&["errorCode", "time"]);
                error.symbol("message")
            });
            message.unwrap_or_default()
        };
        (status.bool("attached"), error("attachError"), error("detachError"))
    });
    object.object_or_empty("spec", |spec| {
        let volume = spec.object("source", |source| {
            source.known(&["inlineVolumeSpec"]);
            source.symbol("persistentVolumeName")
        });
        VolumeAttachment {
            meta,
            attacher: spec.required_symbol("attacher"),
            node: spec.required_symbol("nodeName"),
            volume: volume.unwrap_or_default(),
            attached,
            attach_error,
            detach_error,
        }
    })
}
