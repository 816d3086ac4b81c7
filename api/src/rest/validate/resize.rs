//! Resources of running pods, changed in place (`ValidatePodResize` and the strategy of `pods/resize`).

use super::meta::{object_meta_update, same};
use super::pod::metadata_and_spec;
use crate::document::Node;
use crate::rest::errors::{Errors, Path};
use crate::rest::prepare::quality_of_service;

const LISTS: [&str; 2] = ["containers", "initContainers"];
/// What marks the mirror of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// All but the resources of containers is put back to what it was.
pub(in crate::rest) fn keep_the_rest(object: &mut Node, old: &Node) {
    let (empty, mut spec) = (Node::empty(), old.get("spec").cloned().unwrap_or_else(Node::empty));
    let given = object.get("spec").unwrap_or(&empty);
    if LISTS.iter().any(|list| given.elements(list).len() != spec.elements(list).len()) {
        return;
    }
    for list in LISTS.into_iter().filter(|list| !given.elements(list).is_empty()) {
        let (new, old) = (given.elements(list), spec.elements(list));
        if new.iter().zip(&old).any(|(new, old)| new.str("name") != old.str("name")) {
            // Validation complains.
            spec.set(list, Node::list(new));
            continue;
        }
        let merged: Vec<Node> = new.iter().zip(old).map(|(new, old)| with_resources_of(old, new)).collect();
        spec.set(list, Node::list(merged));
    }
    object.set("spec", spec);
    let version = object.get("metadata").map(|meta| meta.str("resourceVersion").to_owned());
    if let Some(meta) = old.get("metadata") {
        object.set("metadata", meta.clone());
    }
    if let Some(version) = version {
        object.mapping_mut("metadata").set("resourceVersion", Node::text(version));
    }
}

fn with_resources_of(mut container: Node, other: &Node) -> Node {
    for key in ["resources", "resizePolicy"] {
        match other.field(key) {
            Some(value) => container.set(key, value.clone()),
            None => drop(container.remove(key)),
        }
    }
    container
}

/// What is wrong with a pod that is to take the place of `old`.
pub(super) fn update(new: &Node, old: &Node, e: &mut Errors) {
    let mark = old.at(&["metadata", "annotations"]).and_then(|annotations| annotations.get(MIRROR));
    if mark.is_some() {
        *e = Errors::new();
        e.forbidden(&Path::new(""), "static pods cannot be resized");
        return;
    }
    object_meta_update(new, old, e);
    metadata_and_spec(new, e);
    let (empty, path) = (Node::empty(), Path::new("spec"));
    let (spec, before) = (new.field("spec").unwrap_or(&empty), old.field("spec").unwrap_or(&empty));
    let class = old.get("status").map_or("", |status| status.str("qosClass"));
    if class != quality_of_service(spec) {
        e.invalid(&path, class, "Pod QOS Class may not change as a result of resizing");
    }
    let mut fits = true;
    for list in LISTS {
        let (containers, old, path) = (spec.elements(list), before.elements(list), path.child(list));
        if containers.len() != old.len() {
            e.forbidden(&path, &format!("{list} may not be added or removed on resize"));
            fits = false;
            continue;
        }
        for (index, (container, old)) in containers.iter().zip(&old).enumerate() {
            if container.str("name") != old.str("name") {
                let detail = format!("{list} may not be renamed or reordered on resize");
                e.forbidden(&path.index(index).child("name"), &detail);
                fits = false;
            }
        }
    }
    if !fits {
        return;
    }
    let pairs = |list: &str| spec.elements(list).into_iter().zip(before.elements(list)).enumerate();
    for (index, (container, old)) in pairs("initContainers").filter(|(_, (_, old))| is_sidecar(old)) {
        nothing_removed(&container, &old, &path.child("initContainers").index(index), e);
    }
    for (index, (container, old)) in pairs("containers") {
        nothing_removed(&container, &old, &path.child("containers").index(index), e);
    }
    for (_, (container, old)) in pairs("containers") {
        if differs_beyond_compute(&container, &old) {
            e.forbidden(&path, "only cpu and memory resources are mutable");
        }
    }
    for (index, (container, old)) in pairs("initContainers") {
        if is_sidecar(&old) && differs_beyond_compute(&container, &old) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            e.forbidden(&path.child("initContainers").index(index), detail);
        } else if !is_sidecar(&old) && !same(Some(&container), Some(&old)) {
            e.forbidden(&path, "resources for non-sidecar init containers are immutable");
        }
    }
}

fn is_sidecar(container: &Node) -> bool {
    container.str("restartPolicy") == "Always"
}

fn nothing_removed(container: &Node, old: &Node, path: &Path, e: &mut Errors) {
    for (list, detail) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        let of = |container: &Node| container.get("resources").map(|own| own.entries(list).to_vec());
        let (new, old) = (of(container).unwrap_or_default(), of(old).unwrap_or_default());
        if old.iter().any(|entry| new.iter().all(|new| new.key != entry.key)) {
            e.forbidden(&path.child("resources").child(list), detail);
        }
    }
}

/// Whether something else than CPU and memory differs.
fn differs_beyond_compute(container: &Node, old: &Node) -> bool {
    let without = |container: &Node| {
        let mut container = container.clone();
        for list in ["requests", "limits"] {
            let amounts = container.mapping_mut("resources").mapping_mut(list);
            amounts.remove("cpu");
            amounts.remove("memory");
        }
        container
    };
    !without(container).says_the_same_as(&without(old))
}
