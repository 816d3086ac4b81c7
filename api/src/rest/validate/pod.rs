//! Pods and templates of pods (`pkg/apis/core/validation/validation.go`).

use super::affinity;
use super::container::{self, Around, one_of};
use super::meta::{self, Scope, must_be_label, must_be_subdomain, same};
use super::names;
use super::resources;
use super::security;
use super::volume;
use crate::document::Node;
use crate::rest::errors::{Errors, Path};
use crate::rest::validate::diff::diff_of;
use crate::schema::internal_json;

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// A pod that is to be created.
pub(super) fn create(pod: &Node, e: &mut Errors) {
    metadata_and_spec(pod, e);
    let empty = Node::empty();
    let (spec, path) = (pod.field("spec").unwrap_or(&empty), Path::new("spec"));
    if !spec.elements("ephemeralContainers").is_empty() {
        e.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.str("nodeName").is_empty() && !spec.elements("schedulingGates").is_empty() {
        e.forbidden(&path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
}

pub(super) fn metadata_and_spec(pod: &Node, e: &mut Errors) {
    let empty = Node::empty();
    let (meta, spec) = (pod.field("metadata").unwrap_or(&empty), pod.field("spec").unwrap_or(&empty));
    meta::object_meta(pod, Scope::Namespaced, names::dns_subdomain, e);
    annotations(meta, spec, &Path::new("metadata.annotations"), e);
    let path = Path::new("spec");
    pod_spec(spec, Judged::Pod { name: meta.str("name") }, &path, e);
    if spec.str("serviceAccountName").is_empty() {
        for (index, volume) in spec.elements("volumes").iter().enumerate() {
            let path = path.child("volumes").index(index).child("projected").child("sources");
            let sources = volume.get("projected").map(|found| found.elements("sources")).unwrap_or_default();
            for (index, _) in
                sources.iter().enumerate().filter(|(_, s)| s.field("serviceAccountToken").is_some())
            {
                let detail = "must not be specified when serviceAccountName is not set";
                e.forbidden(&path.index(index).child("serviceAccountToken"), detail);
            }
        }
    }
    for key in ["containers", "initContainers"] {
        for (index, found) in spec.elements(key).iter().enumerate() {
            container::image_without_spaces(found, &path.child(key).index(index), e);
        }
    }
}

/// Annotations that mean something for pods.
fn annotations(meta: &Node, spec: &Node, path: &Path, e: &mut Errors) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    let mirror = meta.get("annotations").and_then(|found| found.get(MIRROR)).and_then(Node::as_str);
    if let Some(value) = mirror.filter(|_| spec.str("nodeName").is_empty()) {
        e.invalid(&path.key(MIRROR), value, "must set spec.nodeName if mirror pod annotation is set");
    }
    security::deletion_cost(meta, path, e);
}

/// A template of pods.
pub(super) fn template(template: &Node, path: &Path, e: &mut Errors) {
    let empty = Node::empty();
    let (meta, spec) =
        (template.field("metadata").unwrap_or(&empty), template.field("spec").unwrap_or(&empty));
    meta::labels(meta, "labels", &path.child("labels"), e);
    meta::annotations(meta, &path.child("annotations"), e);
    annotations(meta, spec, &path.child("annotations"), e);
    pod_spec(spec, Judged::Template, &path.child("spec"), e);
    if !spec.elements("ephemeralContainers").is_empty() {
        let path = path.child("spec").child("ephemeralContainers");
        e.forbidden(&path, "ephemeral containers not allowed in pod template");
    }
}

/// What a specification belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged<'a> {
    Pod { name: &'a str },
    Template,
}

fn pod_spec(spec: &Node, judged: Judged<'_>, path: &Path, e: &mut Errors) {
    let pod_name = if let Judged::Pod { name } = judged { name } else { "" };
    if spec.field("terminationGracePeriodSeconds").is_none() {
        e.required(&path.child("terminationGracePeriodSeconds"), "");
    }
    let volumes = volume::volumes(spec, pod_name, &path.child("volumes"), e);
    let claims: Vec<String> =
        spec.elements("resourceClaims").iter().map(|claim| claim.str("name").to_owned()).collect();
    container::resource_claims(spec, &path.child("resourceClaims"), e);
    let around = Around {
        volumes: &volumes,
        claims: &claims,
        restart_policy: spec.str("restartPolicy"),
        grace_period: spec.number("terminationGracePeriodSeconds"),
        host_users: spec.field("hostUsers").is_none_or(|users| users.as_bool() != Some(false)),
    };
    let (containers, inits) = (spec.elements("containers"), spec.elements("initContainers"));
    container::containers(&containers, &around, &path.child("containers"), e);
    container::init_containers(&inits, &containers, &around, &path.child("initContainers"), e);
    container::ephemeral_containers(spec, &around, &path.child("ephemeralContainers"), e);
    resources::pod_resources(spec, &claims, path, e);
    host_network(spec, &containers, judged, path, e);
    one_of(spec.str("restartPolicy"), &["Always", "OnFailure", "Never"], &path.child("restartPolicy"), e);
    one_of(
        spec.str("dnsPolicy"),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        &path.child("dnsPolicy"),
        e,
    );
    meta::labels(spec, "nodeSelector", &path.child("nodeSelector"), e);
    security::of_pod(spec, &path.child("securityContext"), e);
    affinity::affinity(spec, path, e);
    dns_config(spec, &path.child("dnsConfig"), e);
    for (index, gate) in spec.elements("readinessGates").iter().enumerate() {
        let path = path.child("readinessGates").index(index).child("conditionType");
        security::condition_type(gate.str("conditionType"), &path, e);
    }
    scheduling_gates(spec, &path.child("schedulingGates"), e);
    affinity::spread_constraints(spec, path, e);
    host_users(spec, path, e);
    host_names(spec, path, e);
    named(spec, path, e);
    security::operating_system(spec, path, e);
    file_volumes(spec, path, e);
}

fn host_network(spec: &Node, containers: &[Node], judged: Judged<'_>, path: &Path, e: &mut Errors) {
    if !spec.flag("hostNetwork") {
        return;
    }
    for (index, container) in containers.iter().enumerate() {
        for (number, port) in container.elements("ports").iter().enumerate() {
            let (host, own) =
                (port.number("hostPort").unwrap_or(0), port.number("containerPort").unwrap_or(0));
            if (judged != Judged::Template || host != 0) && host != own {
                let path =
                    path.child("containers").index(index).child("ports").index(number).child("hostPort");
                e.invalid(&path, host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn scheduling_gates(spec: &Node, path: &Path, e: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (index, gate) in spec.elements("schedulingGates").iter().enumerate() {
        let (path, name) = (path.index(index), gate.str("name"));
        meta::must_be_qualified(name, &path, e);
        if seen.iter().any(|other| other == name) {
            e.duplicate(&path, name);
        }
        seen.push(name.to_owned());
    }
}

fn dns_config(spec: &Node, path: &Path, e: &mut Errors) {
    const NAMESERVERS_MAX: usize = 3;
    const SEARCHES_MAX: usize = 32;
    const SEARCH_CHARACTERS_MAX: usize = 2_048;
    let config = spec.field("dnsConfig");
    if spec.str("dnsPolicy") == "None" {
        let Some(config) = config else {
            e.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        };
        if config.elements("nameservers").is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            e.required(&path.child("nameservers"), detail);
            return;
        }
    }
    let Some(config) = config else { return };
    let servers = config.elements("nameservers");
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        e.invalid(&path.child("nameservers"), Node::list(servers.clone()), detail);
    }
    for (index, server) in servers.iter().enumerate() {
        let text = server.as_str().unwrap_or("");
        e.invalid_in(&path.child("nameservers").index(index), text, names::ip_address(text));
    }
    let searches = config.elements("searches");
    let texts: Vec<&str> = searches.iter().map(|search| search.as_str().unwrap_or("")).collect();
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        e.invalid(&path.child("searches"), Node::list(searches.clone()), detail);
    }
    if texts.join(" ").len() > SEARCH_CHARACTERS_MAX {
        let detail = format!(
            "must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        );
        e.invalid(&path.child("searches"), Node::list(searches.clone()), detail);
    }
    for (index, search) in texts.iter().enumerate().filter(|(_, search)| **search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        e.invalid_in(
            &path.child("searches").index(index),
            search,
            names::dns_subdomain_with_underscore(search),
        );
    }
    for (index, option) in config.elements("options").iter().enumerate() {
        if option.str("name").is_empty() {
            e.required(&path.child("options").index(index), "must not be empty");
        }
    }
}

fn host_users(spec: &Node, path: &Path, e: &mut Errors) {
    if spec.field("hostUsers").is_none_or(|users| users.as_bool() != Some(false)) {
        return;
    }
    for (key, printed) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.flag(key) {
            e.forbidden(&path.child(printed), "when `hostUsers` is false");
        }
    }
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in spec.elements(key).iter().enumerate() {
            if !container.elements("volumeDevices").is_empty() {
                e.forbidden(
                    &path.child(key).index(index).child("volumeDevices"),
                    "when `hostUsers` is false",
                );
            }
        }
    }
}

fn host_names(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(name) = spec.field("hostnameOverride").and_then(Node::as_str) else { return };
    let path = path.child("hostnameOverride");
    if spec.flag("setHostnameAsFQDN") {
        e.forbidden(&path, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.flag("hostNetwork") {
        e.forbidden(&path, "may not be specified when hostNetwork is true");
    }
    if name.len() > 64 {
        e.too_long(&path, 64);
    }
    must_be_subdomain(name, &path, e);
}

/// Fields that name something, and a few numbers, in the order in which they are looked at.
fn named(spec: &Node, path: &Path, e: &mut Errors) {
    for key in ["serviceAccountName", "nodeName"] {
        if !spec.str(key).is_empty() {
            must_be_subdomain(spec.str(key), &path.child(key), e);
        }
    }
    let max = i64::from(i32::MAX);
    if let Some(seconds) = spec.number("activeDeadlineSeconds").filter(|s| !(1..=max).contains(s)) {
        e.invalid(&path.child("activeDeadlineSeconds"), seconds, names::inclusive_range(1, max));
    }
    for key in ["hostname", "subdomain"] {
        if !spec.str(key).is_empty() {
            must_be_label(spec.str(key), &path.child(key), e);
        }
    }
    affinity::tolerations(spec, &path.child("tolerations"), e);
    for (index, alias) in spec.elements("hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        e.invalid_in(&path.child("ip"), alias.str("ip"), names::ip_address(alias.str("ip")));
        for (index, name) in alias.elements("hostnames").iter().enumerate() {
            must_be_subdomain(name.as_str().unwrap_or(""), &path.child("hostnames").index(index), e);
        }
    }
    if !spec.str("priorityClassName").is_empty() {
        must_be_subdomain(spec.str("priorityClassName"), &path.child("priorityClassName"), e);
    }
    if let Some(class) = spec.field("runtimeClassName").and_then(Node::as_str) {
        must_be_subdomain(class, &path.child("runtimeClassName"), e);
    }
    if let Some(policy) = spec.field("preemptionPolicy").and_then(Node::as_str) {
        one_of(policy, &["PreemptLowerPriority", "Never"], &path.child("preemptionPolicy"), e);
    }
    if let Some(overhead) = spec.field("overhead") {
        let limits = Node::object([("limits", overhead.clone())]);
        resources::requirements(&limits, resources::Of::Container, &[], &path.child("overhead"), e);
    }
}

/// Variables from files need the volume that holds the file.
fn file_volumes(spec: &Node, path: &Path, e: &mut Errors) {
    let volumes = spec.elements("volumes");
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in spec.elements(key).iter().enumerate() {
            for (number, variable) in container.elements("env").iter().enumerate() {
                let Some(reference) = variable.at(&["valueFrom", "fileKeyRef"]) else { continue };
                let path = path.child(key).index(index).child("env").index(number);
                let path = path.child("valueFrom").child("fileKeyRef").child("volumeName");
                let name = reference.str("volumeName");
                match volumes.iter().find(|volume| volume.str("name") == name) {
                    None => e.not_found(&path, name),
                    Some(volume) if volume.field("emptyDir").is_none() => {
                        e.invalid(&path, name, "referenced volume must be of type emptyDir");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

/// A pod that replaces another version of itself.
pub(super) fn update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    metadata_and_spec(new, e);
    let empty = Node::empty();
    let (spec, before) = (new.field("spec").unwrap_or(&empty), old.field("spec").unwrap_or(&empty));
    let path = Path::new("spec");
    for key in ["containers", "initContainers"] {
        let (containers, old) = (spec.elements(key), before.elements(key));
        if containers.len() != old.len() {
            e.forbidden(&path.child(key), "pod updates may not add or remove containers");
            return;
        }
        for (index, container) in containers.iter().enumerate() {
            let path = path.child(key).index(index);
            if container.str("image").is_empty() {
                e.required(&path.child("image"), "");
            }
            container::image_without_spaces(container, &path, e);
        }
    }
    if !deadline_update(spec, before, &path.child("activeDeadlineSeconds"), e) {
        return;
    }
    only_added_tolerations(spec, before, &path.child("tolerations"), e);
    only_deleted_gates(spec, before, &path.child("schedulingGates"), e);
    if same(Some(spec), Some(before)) {
        return;
    }
    let munged = munged_spec(spec, before, &path, e);
    let (munged, before) =
        (internal_json("core.PodSpec", Some(&munged)), internal_json("core.PodSpec", Some(before)));
    if !munged.says_the_same_as(&before) {
        let detail = format!(
            "pod updates may not change fields other than {UPDATABLE}\n{}",
            diff_of(&before, &munged)
        );
        e.forbidden(&path, &detail);
    }
}

/// A deadline may be set and lowered. Returns whether to go on.
fn deadline_update(spec: &Node, before: &Node, path: &Path, e: &mut Errors) -> bool {
    let (new, old) = (spec.number("activeDeadlineSeconds"), before.number("activeDeadlineSeconds"));
    let max = i64::from(i32::MAX);
    match (new, old) {
        (Some(new), _) if !(0..=max).contains(&new) => {
            e.invalid(path, new, names::inclusive_range(0, max));
            false
        }
        (Some(new), Some(old)) if old < new => {
            e.invalid(path, new, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            let null = Node::unplaced(crate::document::Value::Null);
            e.invalid(path, null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn only_added_tolerations(spec: &Node, before: &Node, path: &Path, e: &mut Errors) {
    let new = spec.elements("tolerations");
    for old in before.elements("tolerations") {
        let kept = new.iter().any(|toleration| {
            let (mut one, mut other) = (toleration.clone(), old.clone());
            one.remove("tolerationSeconds");
            other.remove("tolerationSeconds");
            same(Some(&one), Some(&other))
        });
        if !kept {
            e.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
    affinity::tolerations(spec, path, e);
}

fn only_deleted_gates(spec: &Node, before: &Node, path: &Path, e: &mut Errors) {
    let old = before.elements("schedulingGates");
    for (index, gate) in spec.elements("schedulingGates").iter().enumerate() {
        let name = gate.str("name");
        if !old.iter().any(|other| other.str("name") == name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            e.forbidden(&path.index(index).child("name"), &detail);
        }
    }
}

/// The new specification with everything that may change put back as it was.
fn munged_spec(spec: &Node, before: &Node, path: &Path, e: &mut Errors) -> Node {
    let mut munged = spec.clone();
    for key in ["containers", "initContainers"] {
        let mut old = before.elements(key).into_iter();
        munged.edit_elements(key, |container| {
            if let Some(image) = old.next().and_then(|old| old.get("image").cloned()) {
                container.set("image", image);
            }
        });
    }
    for key in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        put_back(&mut munged, before, key);
    }
    let grace = "terminationGracePeriodSeconds";
    if before.number(grace).is_some_and(|grace| grace < 0) && munged.number(grace) == Some(1) {
        put_back(&mut munged, before, grace);
    }
    if !before.elements("schedulingGates").is_empty() {
        gated_changes(&mut munged, before, path, e);
    }
    munged
}

fn put_back(munged: &mut Node, before: &Node, key: &str) {
    match before.field(key) {
        Some(old) => munged.set(key, old.clone()),
        None => drop(munged.remove(key)),
    }
}

/// A pod that waits for its gates may be told more precisely where to run.
fn gated_changes(munged: &mut Node, before: &Node, path: &Path, e: &mut Errors) {
    if !same(munged.field("nodeSelector"), before.field("nodeSelector")) {
        let kept = before.entries("nodeSelector").iter().all(|entry| {
            munged.get("nodeSelector").and_then(|found| found.get(&entry.key)) == Some(&entry.value)
        });
        if !kept {
            let printed = internal_json("map[string]string", munged.field("nodeSelector"));
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            e.invalid(&path.child("nodeSelector"), printed, detail);
        }
        put_back(munged, before, "nodeSelector");
    }
    let of = |spec: &Node| spec.at(&["affinity", "nodeAffinity"]).filter(|node| !node.is_null()).cloned();
    let (new, old) = (of(munged), of(before));
    if same(new.as_ref(), old.as_ref()) {
        return;
    }
    node_affinity_change(new.as_ref(), old.as_ref(), &path.child("affinity").child("nodeAffinity"), e);
    let mut affinity = munged.field("affinity").cloned().unwrap_or_else(Node::empty);
    match old {
        Some(old) => affinity.set("nodeAffinity", old),
        None => drop(affinity.remove("nodeAffinity")),
    }
    let is_empty =
        ["nodeAffinity", "podAffinity", "podAntiAffinity"].iter().all(|key| affinity.field(key).is_none());
    if is_empty && before.field("affinity").is_none() {
        munged.remove("affinity");
    } else {
        munged.set("affinity", affinity);
    }
}

fn node_affinity_change(new: Option<&Node>, old: Option<&Node>, path: &Path, e: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = |node: Option<&Node>| {
        node.and_then(|node| node.field(REQUIRED)).map(|required| required.elements("nodeSelectorTerms"))
    };
    let Some(old) = terms(old) else { return };
    let new = terms(new).unwrap_or_default();
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if !old.is_empty() && old.len() != new.len() {
        let printed = internal_json("[]core.NodeSelectorTerm", Some(&Node::list(new)));
        e.invalid(&path, printed, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (index, (old, new)) in old.iter().zip(&new).enumerate() {
        let keeps = |key: &str| {
            let (old, new) = (old.elements(key), new.elements(key));
            new.len() >= old.len() && old.iter().zip(&new).all(|(one, two)| one.says_the_same_as(two))
        };
        let was_empty = old.elements("matchExpressions").is_empty() && old.elements("matchFields").is_empty();
        let is_empty = new.elements("matchExpressions").is_empty() && new.elements("matchFields").is_empty();
        if (was_empty && !is_empty) || !keeps("matchExpressions") || !keeps("matchFields") {
            let printed = internal_json("core.NodeSelectorTerm", Some(new));
            e.invalid(&path.index(index), printed, "only additions are allowed (no mutations or deletions)");
        }
    }
}
