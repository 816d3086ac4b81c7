//! Volumes of the cluster, claims, storage classes and what CSI drivers say
//! (`pkg/apis/core/validation/validation.go`, `pkg/apis/storage/validation/validation.go`).

use super::affinity::node_selector;
use super::container::one_of;
use super::diff::diff_of;
use super::meta::{self, Scope, immutable, must_be_qualified, must_be_subdomain, non_negative, same};
use super::names;
use super::resources::{quantity, quantity_of};
use super::volume;
use crate::document::Node;
use crate::quantity::Quantity;
use crate::rest::errors::{Errors, Path};
use crate::schema::internal_json;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Sources of a volume in the order in which they are looked at.
const SOURCES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
];

/// The name of a CSI driver.
pub(super) fn driver_name(name: &str, path: &Path, e: &mut Errors) {
    if name.is_empty() {
        return e.required(path, "");
    }
    if name.len() > names::LABEL_MAX {
        e.too_long(path, names::LABEL_MAX);
    }
    e.invalid_in(path, name, names::dns_subdomain(&name.to_lowercase()));
}

fn access_modes(spec: &Node, path: &Path, e: &mut Errors) {
    let modes = spec.elements("accessModes");
    let texts: Vec<&str> = modes.iter().map(|mode| mode.as_str().unwrap_or("")).collect();
    for mode in texts.iter().filter(|mode| !ACCESS_MODES.contains(mode)) {
        e.unsupported(path, *mode, &ACCESS_MODES);
    }
    let alone = texts.contains(&"ReadWriteOncePod");
    let others = texts.iter().any(|mode| *mode != "ReadWriteOncePod" && ACCESS_MODES.contains(mode));
    if alone && others {
        e.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn volume_mode(spec: &Node, path: &Path, e: &mut Errors) {
    let mode = spec.field("volumeMode").and_then(Node::as_str);
    if let Some(mode) = mode.filter(|mode| !matches!(*mode, "Block" | "Filesystem")) {
        e.unsupported(&path.child("volumeMode"), mode, &["Block", "Filesystem"]);
    }
}

/// A PersistentVolume.
pub(super) fn persistent_volume(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    let empty = Node::empty();
    let (spec, path) = (object.field("spec").unwrap_or(&empty), Path::new("spec"));
    if spec.elements("accessModes").is_empty() {
        e.required(&path.child("accessModes"), "");
    }
    access_modes(spec, &path.child("accessModes"), e);
    let capacity = spec.entries("capacity");
    if capacity.is_empty() {
        e.required(&path.child("capacity"), "");
    } else if spec.get("capacity").is_some_and(|found| found.get("storage").is_none()) || capacity.len() > 1 {
        let shown = internal_json("core.ResourceList", spec.get("capacity"));
        e.unsupported(&path.child("capacity"), shown, &["storage"]);
    }
    for entry in capacity {
        let (path, amount) = (path.child("capacity").key(&entry.key), quantity(&entry.value));
        if amount.ceil_units() < 0 {
            e.invalid(&path, amount.ceil_units(), "must be a valid resource quantity");
        }
        if amount <= Quantity::ZERO {
            e.invalid(&path, &amount.to_string(), "must be greater than zero");
        }
    }
    let policy = spec.str("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        one_of(policy, &["Delete", "Recycle", "Retain"], &path.child("persistentVolumeReclaimPolicy"), e);
    }
    if let Some(affinity) = spec.field("nodeAffinity") {
        let path = path.child("nodeAffinity").child("required");
        match affinity.field("required") {
            Some(required) => node_selector(required, &path, e),
            None => e.required(&path, "must specify required node constraints"),
        }
    }
    volume_source(spec, &path, e);
    let recycled = policy == "Recycle";
    let path_text = spec.get("hostPath").map_or("", |source| source.str("path"));
    if recycled
        && path_text.starts_with('/')
        && path_text.split('/').all(|step| step.is_empty() || step == ".")
    {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        e.forbidden(&path.child("persistentVolumeReclaimPolicy"), detail);
    }
    if !spec.str("storageClassName").is_empty() {
        must_be_subdomain(spec.str("storageClassName"), &path.child("storageClassName"), e);
    }
    volume_mode(spec, &path, e);
    if let Some(class) = spec.field("volumeAttributesClassName").and_then(Node::as_str) {
        let at = path.child("volumeAttributesClassName");
        match class {
            "" => e.required(&at, "an empty string is disallowed"),
            class => must_be_subdomain(class, &at, e),
        }
        if spec.field("csi").is_none() {
            e.required(&path.child("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn volume_source(spec: &Node, path: &Path, e: &mut Errors) {
    let mut count = 0;
    for kind in SOURCES.iter().chain(&["csi"]) {
        let Some(source) = spec.field(kind) else { continue };
        let at = path.child(kind);
        count += 1;
        if count > 1 {
            e.forbidden(&at, "may not specify more than 1 volume type");
            continue;
        }
        match *kind {
            "hostPath" => volume::host_path(source, &at, e),
            "nfs" => volume::nfs(source, &at, e),
            "local" => {
                match source.str("path") {
                    "" => e.required(&at.child("path"), ""),
                    text => volume::no_backsteps(text, &at.child("path"), e),
                }
                if spec.field("nodeAffinity").is_none() {
                    e.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            "csi" => {
                driver_name(source.str("driver"), &at.child("driver"), e);
                if source.str("volumeHandle").is_empty() {
                    e.required(&at.child("volumeHandle"), "");
                }
                for key in [
                    "controllerPublishSecretRef",
                    "controllerExpandSecretRef",
                    "nodePublishSecretRef",
                    "nodeExpandSecretRef",
                ] {
                    if let Some(reference) = source.field(key) {
                        secret_reference(reference, &at.child(key), e);
                    }
                }
            }
            _ => {}
        }
    }
    if count == 0 {
        e.required(path, "must specify a volume type");
    }
}

fn secret_reference(reference: &Node, path: &Path, e: &mut Errors) {
    match reference.str("name") {
        "" => e.required(&path.child("name"), ""),
        name => must_be_subdomain(name, &path.child("name"), e),
    }
    match reference.str("namespace") {
        "" => e.required(&path.child("namespace"), ""),
        name => meta::must_be_label(name, &path.child("namespace"), e),
    }
}

/// A PersistentVolume that replaces another version of itself.
pub(super) fn persistent_volume_update(new: &Node, old: &Node, e: &mut Errors) {
    persistent_volume(new, e);
    let empty = Node::empty();
    let (spec, before) = (new.field("spec").unwrap_or(&empty), old.field("spec").unwrap_or(&empty));
    let source = |spec: &Node| internal_json("core.PersistentVolumeSource", Some(spec));
    let (one, mut two) = (source(before), source(spec));
    let expand = ["CSI", "ControllerExpandSecretRef"];
    if one.at(&["CSI"]).is_some_and(|csi| !csi.is_null())
        && one.at(&expand).is_none_or(Node::is_null)
        && let Some(csi) = two.get_mut("CSI").filter(|csi| !csi.is_null())
    {
        csi.set("ControllerExpandSecretRef", Node::unplaced(crate::document::Value::Null));
    }
    if !one.says_the_same_as(&two) {
        let detail =
            format!("spec.persistentvolumesource is immutable after creation\n{}", diff_of(&one, &two));
        e.forbidden(&Path::new("spec.persistentvolumesource"), &detail);
    }
    immutable(spec.field("volumeMode"), before.field("volumeMode"), &Path::new("volumeMode"), e);
    let (affinity, fixed) = (spec.field("nodeAffinity"), before.field("nodeAffinity"));
    if fixed.is_some() && !same(affinity, fixed) {
        let printed = internal_json("*core.VolumeNodeAffinity", affinity);
        let detail = "field is immutable, except for updating from beta label to GA";
        e.invalid(&Path::new("nodeAffinity"), printed, detail);
    }
    let class = |spec: &Node| spec.field("volumeAttributesClassName").is_some();
    if class(before) && !class(spec) {
        let path = Path::new("spec.volumeAttributesClassName");
        e.forbidden(&path, "update from non-nil value to nil is forbidden");
    }
}

/// A PersistentVolumeClaim.
pub(super) fn claim(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    let empty = Node::empty();
    claim_spec(object.field("spec").unwrap_or(&empty), &Path::new("spec"), e);
}

/// What a claim asks for.
pub(super) fn claim_spec(spec: &Node, path: &Path, e: &mut Errors) {
    if spec.elements("accessModes").is_empty() {
        e.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    meta::label_selector(spec, "selector", &path.child("selector"), e);
    access_modes(spec, &path.child("accessModes"), e);
    let storage = spec.at(&["resources", "requests", "storage"]).map(quantity);
    let at = path.child("resources").key("storage");
    match storage {
        None => e.required(&at, ""),
        Some(amount) if amount <= Quantity::ZERO => {
            e.invalid(&at, &amount.to_string(), "must be greater than zero");
        }
        Some(_) => {}
    }
    for key in ["storageClassName", "volumeAttributesClassName"] {
        if key == "volumeAttributesClassName" {
            volume_mode(spec, path, e);
            data_sources(spec, path, e);
        }
        if !spec.str(key).is_empty() {
            must_be_subdomain(spec.str(key), &path.child(key), e);
        }
    }
}

fn data_sources(spec: &Node, path: &Path, e: &mut Errors) {
    for key in ["dataSource", "dataSourceRef"] {
        let Some(source) = spec.field(key) else { continue };
        let path = path.child(key);
        for key in ["name", "kind"] {
            if source.str(key).is_empty() {
                e.required(&path.child(key), "");
            }
        }
        match source.str("apiGroup") {
            "" if source.str("kind") != "PersistentVolumeClaim" => {
                let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
                e.invalid(&path, source.str("kind"), detail);
            }
            "" => {}
            group => must_be_subdomain(group, &path.child("apiGroup"), e),
        }
        if !source.str("namespace").is_empty() {
            meta::must_be_label(source.str("namespace"), &path.child("namespace"), e);
        }
    }
    if let (Some(source), Some(reference)) = (spec.field("dataSource"), spec.field("dataSourceRef")) {
        let differs = ["apiGroup", "kind", "name"].iter().any(|key| source.str(key) != reference.str(key));
        // Upstream prints the path itself where the value should be.
        let printed = || Node::empty();
        if !reference.str("namespace").is_empty() {
            e.invalid(path, printed(), "may not be specified when dataSourceRef.namespace is specified");
        } else if differs {
            e.invalid(path, printed(), "must match dataSourceRef");
        }
    }
}

/// A PersistentVolumeClaim that replaces another version of itself.
pub(super) fn claim_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    claim(new, e);
    let empty = Node::empty();
    let (spec, before) = (new.field("spec").unwrap_or(&empty), old.field("spec").unwrap_or(&empty));
    let annotation = |object: &Node| {
        object.at(&["metadata", "annotations", BETA_CLASS]).and_then(Node::as_str).unwrap_or("").to_owned()
    };
    if annotation(new) != annotation(old) {
        let path = Path::new("metadata.annotations").child(BETA_CLASS);
        e.invalid(&path, &annotation(new), "field is immutable");
    }
    let (mut one, mut two) = (before.clone(), spec.clone());
    let put = |from: &Node, to: &mut Node, key: &str| match from.field(key) {
        Some(value) => to.set(key, value.clone()),
        None => drop(to.remove(key)),
    };
    if before.str("volumeName").is_empty() {
        put(spec, &mut one, "volumeName");
    }
    // A class may be given to a claim that was made before there was a default one.
    if before.field("storageClassName").is_none() && annotation(old).is_empty() {
        put(before, &mut two, "storageClassName");
    }
    let bound = new.get("status").is_some_and(|status| status.str("phase") == "Bound");
    let storage = |spec: &Node| spec.at(&["resources", "requests", "storage"]).cloned();
    if bound && two.at(&["resources", "requests"]).is_some() {
        let requests = two.mapping_mut("resources").mapping_mut("requests");
        requests.set("storage", storage(before).unwrap_or_else(|| Node::text("0")));
    }
    if bound {
        put(before, &mut two, "volumeAttributesClassName");
    }
    let of = "core.PersistentVolumeClaimSpec";
    let (one, two) = (internal_json(of, Some(&one)), internal_json(of, Some(&two)));
    if !one.says_the_same_as(&two) {
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{}",
            diff_of(&one, &two)
        );
        e.forbidden(&Path::new("spec"), &detail);
    }
    let amount = |node: Option<Node>| node.map_or(Quantity::ZERO, |node| quantity(&node));
    let (size, old_size) = (amount(storage(spec)), amount(storage(before)));
    let capacity = amount(old.at(&["status", "capacity", "storage"]).cloned());
    if size < old_size && size <= capacity {
        let path = Path::new("spec.resources.requests.storage");
        e.forbidden(&path, "field can not be less than status.capacity");
    }
    immutable(spec.field("volumeMode"), before.field("volumeMode"), &Path::new("volumeMode"), e);
    let class = |spec: &Node| spec.str("volumeAttributesClassName").to_owned();
    if class(spec) != class(before)
        && class(spec).is_empty()
        && old.at(&["status", "currentVolumeAttributesClassName"]).is_some()
    {
        let path = Path::new("spec.volumeAttributesClassName");
        e.forbidden(&path, "update from non-nil value to nil is forbidden");
    }
}

/// A StorageClass.
pub(super) fn storage_class(object: &Node, e: &mut Errors) {
    const PARAMETERS_MAX: usize = 512;
    const PARAMETER_BYTES_MAX: usize = 256 * 1024;
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    match object.str("provisioner") {
        "" => e.required(&Path::new("provisioner"), ""),
        name => must_be_qualified(&name.to_lowercase(), &Path::new("provisioner"), e),
    }
    let parameters = object.entries("parameters");
    if parameters.len() > PARAMETERS_MAX {
        e.too_long(&Path::new("parameters"), PARAMETERS_MAX);
    } else {
        for entry in parameters.iter().filter(|entry| entry.key.is_empty()) {
            e.invalid(&Path::new("parameters"), entry.key.as_str(), "field can not be empty.");
        }
        let size =
            |entry: &crate::document::Entry| entry.key.len() + entry.value.as_str().map_or(0, str::len);
        if parameters.iter().map(size).sum::<usize>() > PARAMETER_BYTES_MAX {
            e.too_long(&Path::new("parameters"), PARAMETER_BYTES_MAX);
        }
    }
    let policy = object.str("reclaimPolicy");
    if !policy.is_empty() {
        one_of(policy, &["Delete", "Retain"], &Path::new("reclaimPolicy"), e);
    }
    let modes = ["Immediate", "WaitForFirstConsumer"];
    one_of(object.str("volumeBindingMode"), &modes, &Path::new("volumeBindingMode"), e);
    for (index, term) in object.elements("allowedTopologies").iter().enumerate() {
        let requirements = term.elements("matchLabelExpressions");
        for (number, requirement) in requirements.iter().enumerate() {
            let path =
                Path::new("allowedTopologies").index(index).child("matchLabelExpressions").index(number);
            let (key, values) = (requirement.str("key"), requirement.elements("values"));
            if values.is_empty() {
                e.required(&path.child("values"), "");
            }
            for (index, value) in
                values.iter().enumerate().filter(|(index, value)| values[..*index].contains(value))
            {
                e.duplicate(&path.child("values").index(index), value);
            }
            must_be_qualified(key, &path.child("key"), e);
            if requirements[..number].iter().any(|other| other.str("key") == key) {
                e.duplicate(&path.child("key"), key);
            }
        }
    }
}

/// A StorageClass that replaces another version of itself.
pub(super) fn storage_class_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    for key in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        immutable(new.field(key), old.field(key), &Path::new(key), e);
    }
}

/// What a node's CSI drivers say.
pub(super) fn csi_node(object: &Node, e: &mut Errors) {
    const NODE_ID_MAX: usize = 256;
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    let drivers = object.get("spec").map(|spec| spec.elements("drivers")).unwrap_or_default();
    for (index, driver) in drivers.iter().enumerate() {
        let (path, name) = (Path::new("spec.drivers").index(index), driver.str("name"));
        driver_name(name, &path.child("name"), e);
        let id = driver.str("nodeID");
        if id.is_empty() {
            e.required(&path.child("nodeID"), "");
        }
        if id.len() > NODE_ID_MAX {
            e.invalid(&path.child("nodeID"), id, format!("must be {NODE_ID_MAX} characters or less"));
        }
        if let Some(allocatable) = driver.field("allocatable") {
            non_negative(allocatable, "count", &path.child("allocatable"), e);
        }
        if drivers[..index].iter().any(|other| other.str("name") == name) {
            e.duplicate(&path.child("name"), name);
        }
        let keys = driver.elements("topologyKeys");
        for (index, key) in keys.iter().enumerate() {
            let text = key.as_str().unwrap_or("");
            if text.is_empty() {
                e.required(&path, "");
            }
            if keys[..index].contains(key) {
                e.duplicate(&path, text);
            }
            must_be_qualified(text, &path, e);
        }
    }
}

/// What a node's CSI drivers say, in another version.
pub(super) fn csi_node_update(new: &Node, old: &Node, e: &mut Errors) {
    csi_node(new, e);
    let drivers = |object: &Node| object.get("spec").map(|spec| spec.elements("drivers")).unwrap_or_default();
    for old in drivers(old) {
        for new in drivers(new).iter().filter(|new| new.str("name") == old.str("name")) {
            let (mut one, mut two) = (new.clone(), old.clone());
            one.remove("allocatable");
            two.remove("allocatable");
            meta::immutable_as(
                "*storage.CSINodeDriver",
                Some(&one),
                Some(&two),
                &Path::new("spec.drivers"),
                e,
            );
        }
    }
}

/// A CSI driver.
pub(super) fn csi_driver(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    let empty = Node::empty();
    let (spec, path) = (object.field("spec").unwrap_or(&empty), Path::new("spec"));
    let policy = spec.field("fsGroupPolicy").and_then(Node::as_str);
    if let Some(policy) = policy {
        one_of(policy, &["File", "None", "ReadWriteOnceWithFSType"], &path.child("fsGroupPolicy"), e);
    }
    for (index, mode) in spec.elements("volumeLifecycleModes").iter().enumerate() {
        let text = mode.as_str().unwrap_or("");
        if !matches!(text, "Ephemeral" | "Persistent") {
            e.unsupported(
                &path.child("volumeLifecycleModes").index(index),
                text,
                &["Ephemeral", "Persistent"],
            );
        }
    }
    let period = "nodeAllocatableUpdatePeriodSeconds";
    if let Some(seconds) = spec.number(period).filter(|seconds| *seconds < 10) {
        e.invalid(&path.child(period), seconds, "must be greater than or equal to 10 seconds");
    }
}

/// A CSI driver in another version.
pub(super) fn csi_driver_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    csi_driver(new, e);
    let field = |object: &Node, key: &str| object.at(&["spec", key]).filter(|node| !node.is_null()).cloned();
    for (key, printed) in
        [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
    {
        let path = Path::new("spec").child(printed);
        immutable(field(new, key).as_ref(), field(old, key).as_ref(), &path, e);
    }
}

/// That a volume is to be attached to a node.
pub(super) fn volume_attachment(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    let empty = Node::empty();
    let (spec, path) = (object.field("spec").unwrap_or(&empty), Path::new("spec"));
    driver_name(spec.str("attacher"), &path.child("attacher"), e);
    let source = spec.field("source").unwrap_or(&empty);
    let volume = source.field("persistentVolumeName").and_then(Node::as_str);
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (source.field("inlineVolumeSpec"), volume) {
        (None, None) => e.required(&path.child("source"), detail),
        (Some(_), Some(_)) => e.forbidden(&path.child("source"), detail),
        (None, Some("")) => {
            let path = path.child("source").child("persistentVolumeName");
            e.required(&path, "must specify non empty persistentVolumeName");
        }
        _ => {}
    }
    must_be_subdomain(spec.str("nodeName"), &path.child("nodeName"), e);
    if let Some(name) = volume {
        must_be_subdomain(name, &Path::new("spec.source.persistentVolumeName"), e);
    }
}

/// The same in another version.
pub(super) fn volume_attachment_update(new: &Node, old: &Node, e: &mut Errors) {
    volume_attachment(new, e);
    meta::immutable_as(
        "storage.VolumeAttachmentSpec",
        new.field("spec"),
        old.field("spec"),
        &Path::new("spec"),
        e,
    );
}

/// How much a driver can still provision somewhere.
pub(super) fn storage_capacity(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    must_be_subdomain(object.str("storageClassName"), &Path::new("storageClassName"), e);
    for key in ["capacity", "maximumVolumeSize"] {
        if let Some(amount) = quantity_of(object, key).filter(|amount| *amount < Quantity::ZERO) {
            e.invalid(&Path::new(key), &amount.to_string(), "must be greater than or equal to 0");
        }
    }
    meta::label_selector(object, "nodeTopology", &Path::new("nodeTopology"), e);
}
