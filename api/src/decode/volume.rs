//! Volumes of pods.

use std::sync::Arc;

use super::reader::Reader;
use super::{names, storage};
use crate::pod::{DiskSource, Volume, VolumeSource};
use crate::symbol::Symbol;
use crate::units::Bytes;

/// Sources that have no influence on where a pod goes and when it starts.
const OTHERS: [&str; 19] = [
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "downwardAPI",
    "fc",
    "flexVolume",
    "flocker",
    "gitRepo",
    "glusterfs",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "scaleIO",
    "storageos",
    "vsphereVolume",
    "podCertificate",
];

/// Admission gives each pod a volume for its service account's token, under a name of its own.
const TOKEN_VOLUME: &str = "kube-api-access";

/// The name of a volume. In dumps the random end of the token volume's name is left out, so that
/// pods of one template have equal specifications.
pub(super) fn name(reader: &Reader<'_>, written: Symbol) -> Symbol {
    match written.as_str().strip_prefix(TOKEN_VOLUME) {
        Some(suffix) if reader.cx.is_state() && suffix.len() == 6 => Symbol::new(TOKEN_VOLUME),
        _ => written,
    }
}

/// Reads a volume.
pub(super) fn volume(volume: &Reader<'_>) -> Volume {
    let written = volume.required_symbol("name");
    if !written.is_empty() && !names::is_label(written.as_str()) {
        volume.invalid("name", names::NameForm::Label.describe());
    }
    let mut sources = Vec::new();
    sources.extend(volume.object("emptyDir", empty_dir));
    sources.extend(volume.object("configMap", |source| {
        source.known(&["items", "defaultMode"]);
        VolumeSource::ConfigMap { name: source.symbol("name"), optional: source.bool("optional") }
    }));
    sources.extend(volume.object("secret", |source| {
        source.known(&["items", "defaultMode"]);
        VolumeSource::Secret { name: source.symbol("secretName"), optional: source.bool("optional") }
    }));
    sources.extend(volume.object("persistentVolumeClaim", |source| VolumeSource::Claim {
        name: source.required_symbol("claimName"),
        read_only: source.bool("readOnly"),
    }));
    sources.extend(volume.object("ephemeral", |source| {
        VolumeSource::Ephemeral(Arc::new(storage::ephemeral_template(source, written)))
    }));
    sources.extend(volume.object("hostPath", |source| {
        source.known(&["type"]);
        source.required_str("path");
        VolumeSource::HostPath
    }));
    sources.extend(volume.object("csi", |source| {
        source.known(&["readOnly", "fsType", "volumeAttributes", "nodePublishSecretRef"]);
        VolumeSource::Csi(source.required_symbol("driver"))
    }));
    sources.extend(volume.object("image", |source| {
        source.known(&["pullPolicy"]);
        VolumeSource::Image(source.symbol("reference"))
    }));
    sources.extend(disk(volume));
    for key in OTHERS {
        if volume.has(key) {
            sources.push(VolumeSource::Other(Symbol::new(key)));
        }
    }
    if sources.len() > 1 {
        volume.refuse("name", "a volume has one source only");
    }
    let nothing = VolumeSource::EmptyDir { memory: false, size_limit: Bytes(0) };
    Volume { name: name(volume, written), source: sources.into_iter().next().unwrap_or(nothing) }
}

fn empty_dir(source: &Reader<'_>) -> VolumeSource {
    let medium = source.str("medium").unwrap_or("");
    if !matches!(medium, "" | "Memory") && !medium.starts_with("HugePages") {
        source.invalid("medium", "Memory, HugePages or nothing");
    }
    VolumeSource::EmptyDir {
        memory: medium == "Memory",
        size_limit: source.quantity("sizeLimit").map_or(Bytes(0), |size| size.as_bytes()),
    }
}

fn disk(volume: &Reader<'_>) -> Option<VolumeSource> {
    let gce = volume.object("gcePersistentDisk", |source| {
        source.known(&["fsType", "partition"]);
        DiskSource::GcePersistentDisk {
            name: source.required_symbol("pdName"),
            read_only: source.bool("readOnly"),
        }
    });
    let aws = volume.object("awsElasticBlockStore", |source| {
        source.known(&["fsType", "partition", "readOnly"]);
        DiskSource::AwsElasticBlockStore { id: source.required_symbol("volumeID") }
    });
    let iscsi = volume.object("iscsi", |source| {
        source.known(&[
            "targetPortal",
            "lun",
            "iscsiInterface",
            "fsType",
            "portals",
            "chapAuthDiscovery",
            "chapAuthSession",
            "secretRef",
            "initiatorName",
        ]);
        DiskSource::Iscsi { iqn: source.required_symbol("iqn"), read_only: source.bool("readOnly") }
    });
    let rbd = volume.object("rbd", |source| {
        source.known(&["fsType", "user", "keyring", "secretRef"]);
        let pool = source.symbol("pool");
        DiskSource::Rbd {
            monitors: source.symbols("monitors"),
            pool: if pool.is_empty() { Symbol::new("rbd") } else { pool },
            image: source.required_symbol("image"),
            read_only: source.bool("readOnly"),
        }
    });
    gce.or(aws).or(iscsi).or(rbd).map(VolumeSource::Disk)
}
