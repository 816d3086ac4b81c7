//! Typed objects as documents: what the typed model knows and the store or a controller may change.
//!
//! A document holds everything that its client wrote. What changed since then is found by encoding
//! the object as it was and as it is, and laying the difference over the document.

use super::machine::Rest;
use crate::calendar::Calendar;
use crate::container::Container;
use crate::document::{Node, Value};
use crate::labels::Labels;
use crate::meta::{ObjectMeta, OwnerRef};
use crate::object::{Kind, Object};
use crate::pod::Pod;
use crate::quota::Amounts;
use crate::service::Service;

/// What the typed model knows of an object, as a part of its document.
pub(super) fn encode(rest: &Rest, object: &Object) -> Node {
    let calendar = &rest.calendar;
    // A namespace that goes says so without a grace period.
    let with_grace = object.kind() != Kind::Namespace;
    let metadata = metadata(calendar, object.meta(), counts_generations(object), with_grace);
    let mut out = Node::object([("metadata", metadata)]);
    match object {
        Object::Pod(pod) => pod_fields(pod, &mut out),
        Object::Service(service) => service_fields(service, &mut out),
        Object::Node(node) => {
            let spec = out.mapping_mut("spec");
            if node.unschedulable {
                spec.set("unschedulable", Node::bool(true));
            }
        }
        Object::Namespace(namespace) => {
            let phase = if namespace.terminating { "Terminating" } else { "Active" };
            out.mapping_mut("status").set("phase", Node::text(phase));
        }
        Object::Deployment(deployment) => {
            let spec = out.mapping_mut("spec");
            spec.set("replicas", Node::int(deployment.replicas));
            if deployment.paused {
                spec.set("paused", Node::bool(true));
            }
        }
        Object::ReplicaSet(set) => out.mapping_mut("spec").set("replicas", Node::int(set.replicas)),
        Object::ResourceQuota(quota) => {
            for (key, amounts) in [("hard", &quota.status.hard), ("used", &quota.status.used)] {
                if let Some(amounts) = amounts {
                    out.mapping_mut("status").set(key, printed(amounts));
                }
            }
        }
        Object::StatefulSet(set) => out.mapping_mut("spec").set("replicas", Node::int(set.replicas)),
        _ => {}
    }
    out
}

/// Whether the generation of an object is one that clients see.
fn counts_generations(object: &Object) -> bool {
    let resource = match object {
        Object::Untyped(untyped) => {
            super::resource::of_kind(untyped.api_version.as_str(), untyped.kind.as_str())
        }
        _ => {
            let kind = object.kind();
            let (group, version) = kind.api_version().split_once('/').unwrap_or(("", kind.api_version()));
            super::resource::resource(group, version, kind.plural())
        }
    };
    resource.is_none_or(super::prepare::has_generation)
}

fn labels(labels: &Labels) -> Node {
    let mut pairs: Vec<_> =
        labels.iter().map(|(key, value)| (key.to_string(), Node::text(value.as_str()))).collect();
    pairs.sort_by(|one, two| one.0.cmp(&two.0));
    Node::object(pairs)
}

fn owner(owner: &OwnerRef) -> Node {
    let mut out = Node::object([
        ("apiVersion", Node::text(owner.api_version.as_str())),
        ("kind", Node::text(owner.kind.as_str())),
        ("name", Node::text(owner.name.clone())),
        ("uid", Node::text(owner.uid.to_string())),
    ]);
    if owner.controller {
        out.set("controller", Node::bool(true));
    }
    if owner.block_owner_deletion {
        out.set("blockOwnerDeletion", Node::bool(true));
    }
    out
}

fn metadata(calendar: &Calendar, meta: &ObjectMeta, with_generation: bool, with_grace: bool) -> Node {
    let mut out = Node::object([("name", Node::text(meta.name.clone()))]);
    if !meta.namespace.is_empty() {
        out.set("namespace", Node::text(meta.namespace.as_str()));
    }
    if !meta.uid.is_unset() {
        out.set("uid", Node::text(meta.uid.to_string()));
    }
    if meta.resource_version != 0 {
        out.set("resourceVersion", Node::text(meta.resource_version.to_string()));
        out.set("creationTimestamp", Node::text(calendar.format(meta.created)));
    }
    if meta.generation != 0 && with_generation {
        out.set("generation", Node::int(meta.generation));
    }
    if let Some(deletion) = meta.deletion() {
        out.set("deletionTimestamp", Node::text(calendar.format(deletion.at)));
        if with_grace {
            out.set("deletionGracePeriodSeconds", Node::int(i64::from(deletion.grace_seconds)));
        }
    }
    if meta.labels.iter().next().is_some() {
        out.set("labels", labels(&meta.labels));
    }
    if meta.annotations.iter().next().is_some() {
        out.set("annotations", labels(&meta.annotations));
    }
    if !meta.owner_refs().is_empty() {
        out.set("ownerReferences", Node::list(meta.owner_refs().iter().map(owner)));
    }
    if !meta.finalizers().is_empty() {
        out.set("finalizers", Node::list(meta.finalizers().iter().map(|name| Node::text(name.as_str()))));
    }
    out
}

fn printed(amounts: &Amounts) -> Node {
    Node::object(amounts.iter().map(|(name, amount)| (name.as_str(), Node::text(amount.to_string()))))
}

/// What containers ask for, which admission may fill in.
fn container_fields(containers: &[Container]) -> Node {
    let lists = |container: &Container| {
        let lists = [("limits", &container.limits), ("requests", &container.requests)];
        let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
        Node::object(given.map(|(key, list)| (key, printed(&Amounts::of_list(list)))))
    };
    Node::list(containers.iter().map(|container| Node::object([("resources", lists(container))])))
}

fn pod_fields(pod: &Pod, out: &mut Node) {
    let spec = out.mapping_mut("spec");
    spec.set("containers", container_fields(&pod.spec.containers));
    if !pod.spec.init_containers.is_empty() {
        spec.set("initContainers", container_fields(&pod.spec.init_containers));
    }

    if let Some(node) = pod.node {
        out.mapping_mut("spec").set("nodeName", Node::text(node.as_str()));
    }
}

fn service_fields(service: &Service, out: &mut Node) {
    let spec = out.mapping_mut("spec");
    if !service.cluster_ip.is_empty() {
        spec.set("clusterIP", Node::text(service.cluster_ip.clone()));
        spec.set("clusterIPs", Node::list([Node::text(service.cluster_ip.clone())]));
    }
    if service.health_check_node_port != 0 {
        spec.set("healthCheckNodePort", Node::int(i64::from(service.health_check_node_port)));
    }
    let ports = service.ports.iter().map(|port| match port.node_port {
        0 => Node::empty(),
        number => Node::object([("nodePort", Node::int(i64::from(number)))]),
    });
    spec.set("ports", Node::list(ports));
}

/// Lays over `document` what differs between `before` and `after`.
pub(super) fn follow(document: &mut Node, before: &Node, after: &Node) {
    let (Some(old), Some(new)) = (before.as_mapping(), after.as_mapping()) else { return };
    for entry in old.entries().iter().filter(|entry| new.get(&entry.key).is_none()) {
        remove(document, &entry.key, &entry.value);
    }
    for entry in new.entries() {
        match old.get(&entry.key) {
            Some(was) if was.says_the_same_as(&entry.value) => {}
            Some(was) => change(document, &entry.key, was, &entry.value),
            None => add(document, &entry.key, &entry.value),
        }
    }
}

/// A field that is gone: of a mapping only what was known of it goes.
fn remove(document: &mut Node, key: &str, was: &Node) {
    match was.as_mapping() {
        Some(_) => {
            if let Some(child) = document.get_mut(key) {
                follow(child, was, &Node::empty());
            }
        }
        None => drop(document.remove(key)),
    }
}

/// A field that is new: a mapping is laid over what the document has there.
fn add(document: &mut Node, key: &str, value: &Node) {
    match (value.as_mapping(), document.get(key).is_some_and(|own| own.as_mapping().is_some())) {
        (Some(_), true) => follow(document.mapping_mut(key), &Node::empty(), value),
        _ => match laid_over(document.elements(key), &Node::list([]), value) {
            Some(merged) => document.set(key, merged),
            None => document.set(key, value.clone()),
        },
    }
}

/// A list of mappings laid, one by one, over those that a document has; `None` if they do not fit.
fn laid_over(own: Vec<Node>, was: &Node, is: &Node) -> Option<Node> {
    let (old, new) = (was.as_sequence()?, is.as_sequence()?);
    let fits = old.is_empty() || old.len() == new.len();
    if new.is_empty() || !fits || own.len() != new.len() || new.iter().any(|new| new.as_mapping().is_none()) {
        return None;
    }
    let (old, empty) = (old.to_vec(), Node::empty());
    let merged = own.into_iter().zip(new.iter()).enumerate().map(|(index, (mut own, new))| {
        follow(&mut own, old.get(index).unwrap_or(&empty), &new);
        own
    });
    Some(Node::list(merged.collect::<Vec<_>>()))
}

fn change(document: &mut Node, key: &str, was: &Node, is: &Node) {
    match (&was.value, &is.value) {
        (Value::Mapping(_), Value::Mapping(_)) => follow(document.mapping_mut(key), was, is),
        (Value::Sequence(_), Value::Sequence(_)) => {
            let merged = laid_over(document.elements(key), was, is);
            document.set(key, merged.unwrap_or_else(|| is.clone()));
        }
        _ => document.set(key, is.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::json::parse;

    #[test]
    fn only_what_changed_is_laid_over_a_document() {
        let read = |text: &str| parse(text.as_bytes()).expect("JSON").node;
        let mut document =
            read(r#"{"spec":{"replicas":1,"own":"x","ports":[{"port":80,"nodePort":1}]},"meta":{"a":"b"}}"#);
        let before = read(r#"{"spec":{"replicas":1,"ports":[{}],"gone":true},"meta":{}}"#);
        let after = read(r#"{"spec":{"replicas":3,"ports":[{"nodePort":30000}]},"meta":{"new":"y"}}"#);
        follow(&mut document, &before, &after);
        let expected = read(
            r#"{"spec":{"replicas":3,"own":"x","ports":[{"port":80,"nodePort":30000}]},"meta":{"a":"b","new":"y"}}"#,
        );
        assert!(document.says_the_same_as(&expected), "{}", document.value);
    }
}
