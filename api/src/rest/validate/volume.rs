//! Volumes of pods and their sources (`pkg/apis/core/validation/validation.go`).

use super::container::{IsInVolume, field_reference, resource_reference};
use super::meta;
use super::names;
use super::resources;
use super::storage;
use crate::document::Node;
use crate::quantity::Quantity;
use crate::rest::errors::{Errors, Path};

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Sources in the order in which they are looked at; of those without a rule here, presence counts.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "quobyte",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "downwardAPI",
    "fc",
    "azureFile",
    "configMap",
    "vsphereVolume",
    "photonPersistentDisk",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "portworxVolume",
    "csi",
    "ephemeral",
    "image",
];

/// The volumes of a pod; returns those that are well-formed. `pod_name` is empty for templates.
pub(super) fn volumes(spec: &Node, pod_name: &str, path: &Path, e: &mut Errors) -> Vec<Node> {
    let all = spec.elements("volumes");
    let created: Vec<String> = all
        .iter()
        .filter(|volume| !pod_name.is_empty() && volume.field("ephemeral").is_some())
        .map(|volume| format!("{pod_name}-{}", volume.str("name")))
        .collect();
    let mut good: Vec<Node> = Vec::new();
    for (index, volume) in all.into_iter().enumerate() {
        let path = path.index(index);
        let (name, before) = (volume.str("name").to_owned(), e.len());
        source(&volume, pod_name, &path, e);
        match name.as_str() {
            "" => e.required(&path.child("name"), ""),
            name => meta::must_be_label(name, &path.child("name"), e),
        }
        if good.iter().any(|other| other.str("name") == name) {
            e.duplicate(&path.child("name"), &name);
        }
        let claim = volume.get("persistentVolumeClaim").map_or("", |claim| claim.str("claimName")).to_owned();
        if e.len() == before {
            good.push(volume);
        }
        if created.contains(&claim) {
            let path = path.child("persistentVolumeClaim").child("claimName");
            e.invalid(&path, &claim, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    good
}

fn source(volume: &Node, pod_name: &str, path: &Path, e: &mut Errors) {
    let mut count = 0;
    for kind in SOURCES {
        let Some(source) = volume.field(kind) else { continue };
        let at = path.child(kind);
        count += 1;
        if count > 1 {
            e.forbidden(&at, "may not specify more than 1 volume type");
            continue;
        }
        one_source(kind, source, &at, e);
        let name = volume.str("name");
        if kind == "ephemeral" && !pod_name.is_empty() && !name.is_empty() {
            let claim = format!("{pod_name}-{name}");
            for fault in names::dns_subdomain(&claim) {
                e.invalid(&path.child("name"), name, format!("PVC name {claim:?}: {fault}"));
            }
        }
    }
    if count == 0 {
        e.required(path, "must specify a volume type");
    }
}

fn one_source(kind: &str, source: &Node, path: &Path, e: &mut Errors) {
    match kind {
        "emptyDir"
            if resources::quantity_of(source, "sizeLimit").is_some_and(|limit| limit < Quantity::ZERO) =>
        {
            e.forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        "hostPath" => host_path(source, path, e),
        "gitRepo" => {
            required(source, "repository", path, e);
            local_descending_path(source.str("directory"), &path.child("directory"), e);
        }
        "secret" => {
            required(source, "secretName", path, e);
            file_mode(source, "defaultMode", path, e);
            keys_to_paths(source, path, e);
        }
        "configMap" => {
            required(source, "name", path, e);
            file_mode(source, "defaultMode", path, e);
            keys_to_paths(source, path, e);
        }
        "persistentVolumeClaim" => required(source, "claimName", path, e),
        "nfs" => nfs(source, path, e),
        "downwardAPI" => {
            file_mode(source, "defaultMode", path, e);
            for item in source.elements("items") {
                downward_file(&item, path, e);
            }
        }
        "projected" => projected(source, path, e),
        "csi" => csi(source, path, e),
        "ephemeral" => match source.field("volumeClaimTemplate") {
            None => e.required(&path.child("volumeClaimTemplate"), ""),
            Some(template) => claim_template(template, &path.child("volumeClaimTemplate"), e),
        },
        "image" => required(source, "reference", path, e),
        "gcePersistentDisk" => disk(source, "pdName", &parent(path, "persistentDisk"), e),
        "awsElasticBlockStore" => disk(source, "volumeID", path, e),
        "glusterfs" => {
            required(source, "endpoints", path, e);
            required(source, "path", path, e);
        }
        "cinder" => required(source, "volumeID", path, e),
        "azureFile" => {
            required(source, "secretName", path, e);
            required(source, "shareName", path, e);
        }
        "vsphereVolume" => required(source, "volumePath", path, e),
        "photonPersistentDisk" => required(source, "pdID", path, e),
        "portworxVolume" => required(source, "volumeID", path, e),
        "flexVolume" => required(source, "driver", path, e),
        "rbd" => {
            if source.elements("monitors").is_empty() {
                e.required(&path.child("monitors"), "");
            }
            required(source, "image", path, e);
        }
        "cephfs" if source.elements("monitors").is_empty() => e.required(&path.child("monitors"), ""),
        _ => {}
    }
}

/// The sibling `name` of the field at the end of a path.
fn parent(path: &Path, name: &str) -> Path {
    let above = path.as_str().rsplit_once('.').map_or("", |(above, _)| above);
    Path::new(above).child(name)
}

fn required(node: &Node, key: &str, path: &Path, e: &mut Errors) {
    if node.str(key).is_empty() {
        e.required(&path.child(key), "");
    }
}

fn disk(source: &Node, key: &str, path: &Path, e: &mut Errors) {
    required(source, key, path, e);
    let partition = source.number("partition").unwrap_or(0);
    if !(0..=255).contains(&partition) {
        e.invalid(&path.child("partition"), partition, names::inclusive_range(0, 255));
    }
}

/// A path on the host.
pub(super) fn host_path(source: &Node, path: &Path, e: &mut Errors) {
    if source.str("path").is_empty() {
        e.required(&path.child("path"), "");
        return;
    }
    no_backsteps(source.str("path"), &path.child("path"), e);
    if let Some(kind) =
        source.field("type").and_then(Node::as_str).filter(|kind| !HOST_PATH_TYPES.contains(kind))
    {
        e.unsupported(&path.child("type"), kind, &HOST_PATH_TYPES);
    }
}

/// A share of NFS.
pub(super) fn nfs(source: &Node, path: &Path, e: &mut Errors) {
    required(source, "server", path, e);
    required(source, "path", path, e);
    if !source.str("path").starts_with('/') {
        e.invalid(&path.child("path"), source.str("path"), "must be an absolute path");
    }
}

fn csi(source: &Node, path: &Path, e: &mut Errors) {
    storage::driver_name(source.str("driver"), &path.child("driver"), e);
    if let Some(reference) = source.field("nodePublishSecretRef") {
        match reference.str("name") {
            "" => e.required(&path.child("nodePublishSecretRef").child("name"), ""),
            name => e.invalid_in(&path.child("name"), name, names::dns_subdomain(name)),
        }
    }
}

fn claim_template(template: &Node, path: &Path, e: &mut Errors) {
    let empty = Node::empty();
    let metadata = template.get("metadata").unwrap_or(&empty);
    let meta_path = path.child("metadata");
    meta::annotations(metadata, &meta_path.child("annotations"), e);
    meta::labels(metadata, "labels", &meta_path.child("labels"), e);
    for entry in template.entries("metadata") {
        let allowed = matches!(entry.key.as_str(), "annotations" | "labels");
        if !allowed && !meta::same(Some(&entry.value), None) {
            e.forbidden(&meta_path.child(&entry.key), "cannot be set");
        }
    }
    storage::claim_spec(template.field("spec").unwrap_or(&empty), &path.child("spec"), e);
}

fn file_mode(node: &Node, key: &str, path: &Path, e: &mut Errors) {
    if let Some(mode) = node.number(key).filter(|mode| !(0..=0o777).contains(mode)) {
        e.invalid(&path.child(key), mode, FILE_MODE);
    }
}

fn keys_to_paths(source: &Node, path: &Path, e: &mut Errors) {
    for (index, item) in source.elements("items").iter().enumerate() {
        key_to_path(item, &path.child("items").index(index), e);
    }
}

fn key_to_path(item: &Node, path: &Path, e: &mut Errors) {
    required(item, "key", path, e);
    required(item, "path", path, e);
    local_path(item.str("path"), &path.child("path"), e);
    file_mode(item, "mode", path, e);
}

fn downward_file(item: &Node, path: &Path, e: &mut Errors) {
    required(item, "path", path, e);
    local_path(item.str("path"), &path.child("path"), e);
    match (item.field("fieldRef"), item.field("resourceFieldRef")) {
        (Some(reference), other) => {
            field_reference(reference, &VOLUME_FIELDS, &path.child("fieldRef"), e);
            if other.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                e.invalid(path, "resource", detail);
            }
        }
        (None, Some(reference)) => {
            resource_reference(reference, IsInVolume(true), &path.child("resourceFieldRef"), e);
        }
        (None, None) => e.required(path, "one of fieldRef and resourceFieldRef is required"),
    }
    file_mode(item, "mode", path, e);
}

fn projected(source: &Node, path: &Path, e: &mut Errors) {
    file_mode(source, "defaultMode", path, e);
    let mut paths: Vec<String> = Vec::new();
    let mut claim = |target: &str, shown: &str, e: &mut Errors| {
        if target.is_empty() {
            return;
        }
        if paths.iter().any(|other| other == target) {
            e.invalid(path, shown, "conflicting duplicate paths");
        } else {
            paths.push(target.to_owned());
        }
    };
    for (index, source) in source.elements("sources").iter().enumerate() {
        let at = path.child("sources").index(index);
        let mut count = 0;
        for kind in ["secret", "configMap"] {
            let Some(projection) = source.field(kind) else { continue };
            count += 1;
            required(projection, "name", &at.child(kind), e);
            for (index, item) in projection.elements("items").iter().enumerate() {
                key_to_path(item, &at.child(kind).child("items").index(index), e);
                claim(item.str("path"), projection.str("name"), e);
            }
        }
        if let Some(projection) = source.field("downwardAPI") {
            count += 1;
            for item in projection.elements("items") {
                downward_file(&item, &at.child("downwardAPI"), e);
                claim(item.str("path"), item.str("path"), e);
            }
        }
        if let Some(projection) = source.field("serviceAccountToken") {
            count += 1;
            let seconds = projection.number("expirationSeconds").unwrap_or(0);
            let seconds_path = at.child("serviceAccountToken").child("expirationSeconds");
            if seconds < 600 {
                e.invalid(&seconds_path, seconds, "may not specify a duration less than 10 minutes");
            }
            if seconds > 1 << 32 {
                e.invalid(&seconds_path, seconds, "may not specify a duration larger than 2^32 seconds");
            }
            match projection.str("path") {
                "" => e.required(&path.child("path"), ""),
                text => local_path(text, &path.child("path"), e),
            }
        }
        count += ["clusterTrustBundle", "podCertificate"]
            .iter()
            .filter(|kind| source.field(kind).is_some())
            .count();
        if count > 1 {
            e.forbidden(&at, "may not specify more than 1 volume type per source");
        }
    }
}

/// A relative path that does not lead outside.
pub(super) fn local_descending_path(text: &str, path: &Path, e: &mut Errors) {
    if text.starts_with('/') {
        e.invalid(path, text, "must be a relative path");
    }
    no_backsteps(text, path, e);
}

/// A path without `..` in it.
pub(super) fn no_backsteps(text: &str, path: &Path, e: &mut Errors) {
    if text.split('/').any(|step| step == "..") {
        e.invalid(path, text, "must not contain '..'");
    }
}

/// A relative path whose name does not begin with two dots.
fn local_path(text: &str, path: &Path, e: &mut Errors) {
    local_descending_path(text, path, e);
    if text.starts_with("..") && !text.starts_with("../") {
        e.invalid(path, text, "must not start with '..'");
    }
}
