//! What documents of each kind must look like, with upstream's rules, order and words.
//!
//! Documents are judged after defaulting, as clients see them. A rule is a function that adds what
//! is wrong to a list; nothing here knows the store.

mod affinity;
mod apps;
mod autoscaling;
mod batch;
mod config;
mod container;
mod cron;
mod diff;
mod meta;
mod names;
mod networking;
mod others;
mod pod;
pub(super) mod resize;
mod resources;
mod security;
mod service;
mod storage;
mod volume;

use super::errors::{Errors, Path};
use super::resource::Resource;
use crate::document::Node;

type Create = fn(&Node, &mut Errors);
type Update = fn(&Node, &Node, &mut Errors);

/// The rules of a kind: for an object that is made and for one that takes another's place.
#[derive(Clone, Copy)]
struct Rules {
    create: Create,
    update: Update,
}

/// What is wrong with an object that is to be created.
pub fn create(resource: &Resource, object: &Node) -> Errors {
    let mut errors = Errors::new();
    if let Some(rules) = rules(resource) {
        (rules.create)(object, &mut errors);
    }
    errors
}

/// What is wrong with an object that is to take the place of `old`.
pub fn update(resource: &Resource, new: &Node, old: &Node) -> Errors {
    let mut errors = Errors::new();
    common(resource, new, old, &mut errors);
    if let Some(rules) = rules(resource) {
        (rules.update)(new, old, &mut errors);
    }
    errors
}

/// What is wrong with a pod whose resources are to be changed in place.
pub fn resize(resource: &Resource, new: &Node, old: &Node) -> Errors {
    let mut errors = Errors::new();
    common(resource, new, old, &mut errors);
    resize::update(new, old, &mut errors);
    errors
}

/// What all updates are judged by, before the rules of the kind, which repeat a part of it.
fn common(resource: &Resource, new: &Node, old: &Node, e: &mut Errors) {
    let scope = if resource.namespaced { meta::Scope::Namespaced } else { meta::Scope::Cluster };
    meta::object_meta(new, scope, names::path_segment, e);
    meta::object_meta_update(new, old, e);
}

/// What is wrong with a Scale.
pub fn scale(object: &Node) -> Errors {
    let mut errors = Errors::new();
    autoscaling::scale(object, &mut errors);
    errors
}

/// What is wrong with the status of an object, or with other parts that the sub-resource may change.
pub fn status_update(resource: &Resource, new: &Node, old: &Node) -> Errors {
    let mut errors = Errors::new();
    common(resource, new, old, &mut errors);
    meta::object_meta_update(new, old, &mut errors);
    status_counts(resource, new, &mut errors);
    errors
}

/// Counters of a workload's status: not negative, and none above the number of pods.
fn status_counts(resource: &Resource, object: &Node, e: &mut Errors) {
    let counts: &[&str] = match resource.kind {
        "Deployment" => &["updatedReplicas", "readyReplicas", "availableReplicas"],
        "StatefulSet" => &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        "ReplicaSet" | "ReplicationController" => {
            &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]
        }
        _ => return,
    };
    let empty = Node::empty();
    let (status, path) = (object.field("status").unwrap_or(&empty), Path::new("status"));
    meta::non_negative(status, "replicas", &path, e);
    counts.iter().for_each(|key| meta::non_negative(status, key, &path, e));
    let of = |key: &str| status.number(key).unwrap_or(0);
    for key in counts.iter().filter(|key| of(key) > of("replicas")) {
        e.invalid(&path.child(key), of(key), "cannot be greater than status.replicas");
    }
    if of("availableReplicas") > of("readyReplicas") {
        let what = if resource.kind == "StatefulSet" { "status.readyReplicas" } else { "readyReplicas" };
        let detail = format!("cannot be greater than {what}");
        e.invalid(&path.child("availableReplicas"), of("availableReplicas"), detail);
    }
}

/// Metadata first, then the rules of a creation once more: what most simple kinds do on update.
macro_rules! again {
    ($create:path) => {
        Rules {
            create: $create,
            update: |new, old, e| {
                meta::object_meta_update(new, old, e);
                $create(new, e);
            },
        }
    };
}

fn rules(resource: &Resource) -> Option<Rules> {
    Some(match (resource.group, resource.kind) {
        ("", "Pod") => Rules { create: pod::create, update: pod::update },
        ("", "Node") => Rules { create: config::node, update: config::node_update },
        ("", "Namespace") => {
            Rules { create: config::namespace, update: |new, old, e| meta::object_meta_update(new, old, e) }
        }
        ("", "Service") => Rules { create: service::create, update: service::update },
        ("", "ServiceAccount") => again!(config::service_account),
        ("", "ConfigMap") => Rules { create: config::config_map, update: config::config_map_update },
        ("", "Secret") => Rules { create: config::secret, update: config::secret_update },
        ("", "PersistentVolume") => {
            Rules { create: storage::persistent_volume, update: storage::persistent_volume_update }
        }
        ("", "PersistentVolumeClaim") => Rules { create: storage::claim, update: storage::claim_update },
        ("", "ReplicationController") => {
            Rules { create: apps::replication_controller, update: apps::replication_controller_update }
        }
        ("", "ResourceQuota") => Rules { create: config::quota, update: config::quota_update },
        ("", "LimitRange") => again!(config::limit_range),
        ("", "Endpoints") => again!(service::endpoints),
        ("", "Event") => Rules {
            create: |object, e| others::event(object, "reportingComponent", e),
            update: |object, _, e| others::event(object, "reportingComponent", e),
        },
        ("", "PodTemplate") => Rules { create: apps::pod_template, update: apps::pod_template_update },
        ("apps", "Deployment") => Rules { create: apps::deployment, update: apps::deployment_update },
        ("apps", "ReplicaSet") => Rules { create: apps::replica_set, update: apps::replica_set_update },
        ("apps", "StatefulSet") => Rules { create: apps::stateful_set, update: apps::stateful_set_update },
        ("apps", "DaemonSet") => Rules { create: apps::daemon_set, update: apps::daemon_set_update },
        ("apps", "ControllerRevision") => {
            Rules { create: apps::controller_revision, update: apps::controller_revision_update }
        }
        ("batch", "Job") => Rules { create: batch::job, update: batch::job_update },
        ("batch", "CronJob") => Rules { create: batch::cron_job, update: batch::cron_job_update },
        ("autoscaling", _) => {
            Rules { create: autoscaling::autoscaler, update: autoscaling::autoscaler_update }
        }
        ("policy", _) => Rules {
            create: |object, e| {
                meta::object_meta(object, meta::Scope::Namespaced, names::path_segment, e);
                apps::budget(object, e);
            },
            update: |new, old, e| {
                meta::object_meta_update(new, old, e);
                apps::budget(new, e);
            },
        },
        ("discovery.k8s.io", _) => Rules {
            create: service::slice,
            update: |new, old, e| {
                service::slice(new, e);
                let path = Path::new("addressType");
                meta::immutable(new.field("addressType"), old.field("addressType"), &path, e);
            },
        },
        ("networking.k8s.io", "Ingress") => {
            Rules { create: networking::ingress, update: networking::ingress_update }
        }
        ("networking.k8s.io", "IngressClass") => {
            Rules { create: networking::ingress_class, update: networking::ingress_class_update }
        }
        ("networking.k8s.io", "NetworkPolicy") => {
            Rules { create: networking::network_policy, update: networking::network_policy_update }
        }
        ("storage.k8s.io", "StorageClass") => {
            Rules { create: storage::storage_class, update: storage::storage_class_update }
        }
        ("storage.k8s.io", "CSINode") => {
            Rules { create: storage::csi_node, update: storage::csi_node_update }
        }
        ("storage.k8s.io", "CSIDriver") => {
            Rules { create: storage::csi_driver, update: storage::csi_driver_update }
        }
        ("storage.k8s.io", "CSIStorageCapacity") => again!(storage::storage_capacity),
        ("storage.k8s.io", "VolumeAttachment") => {
            Rules { create: storage::volume_attachment, update: storage::volume_attachment_update }
        }
        ("scheduling.k8s.io", _) => {
            Rules { create: others::priority_class, update: others::priority_class_update }
        }
        ("node.k8s.io", _) => Rules { create: others::runtime_class, update: others::runtime_class_update },
        ("coordination.k8s.io", _) => Rules { create: others::lease, update: others::lease_update },
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => Rules {
            create: others::role,
            update: |new, old, e| {
                others::role(new, e);
                meta::object_meta_update(new, old, e);
            },
        },
        ("rbac.authorization.k8s.io", _) => {
            Rules { create: others::role_binding, update: others::role_binding_update }
        }
        _ => return None,
    })
}

/// The sums of requests over a pod's containers.
pub(super) fn sums_of_requests(spec: &Node) -> Vec<(String, crate::quantity::Quantity)> {
    resources::sums(spec, "requests")
}

/// What is wrong with a key of a label, in the words of a selector's parser.
pub(super) fn is_label_key(key: &str) -> Option<String> {
    let faults = names::qualified_name(key);
    let quoted = super::go_value::go_quote(key);
    (!faults.is_empty()).then(|| format!("key: Invalid value: {quoted}: {}", faults.join("; ")))
}

/// What is wrong with the value of a label.
pub(super) fn label_value_faults(value: &str) -> Vec<String> {
    names::label_value(value)
}

/// Whether two values say the same; empty ones are as good as absent ones.
pub(super) fn is_same(one: Option<&Node>, other: Option<&Node>) -> bool {
    meta::same(one, other)
}
