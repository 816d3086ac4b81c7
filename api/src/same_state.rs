//! What two clusters have in common when they are in the same state.
//!
//! Compared is what was asked for and what became of it: per kind, namespace, chain of owners and
//! own name (unless the server made it) the spec, the phase, the ready counts, and of conditions
//! type, status and reason. Left out is what differs between two ways to the same end: generated
//! names, placement, addresses, times, identities, versions and counts of restarts.

use std::fmt::{Debug, Write};

use crate::meta::ObjectMeta;
use crate::node::NodeConditionType;
use crate::object::{Kind, Object};
use crate::pod::{ConditionStatus, Pod, PodConditionType};
use crate::store::ApiServer;
use crate::symbol::Symbol;
use crate::workload::Condition;

/// How many owners a chain may have: more is a cycle.
const OWNERS_MAX: usize = 8;

/// The state of everything that is stored: a line per object, sorted. Two clusters are in the same
/// state if their lines are equal.
pub fn state_of(server: &ApiServer) -> Vec<String> {
    let objects = Kind::ALL.iter().flat_map(|&kind| server.list(kind));
    let mut lines: Vec<String> = objects.map(|object| line(server, object)).collect();
    lines.sort_unstable();
    lines
}

/// The first line that only one of two states has, of each of them: for messages.
pub fn first_difference(expected: &[String], found: &[String]) -> Option<String> {
    let only = |of: &[String], other: &[String]| {
        let mut rest: Vec<&String> = other.iter().collect();
        let alone = of.iter().find(|line| match rest.binary_search(line) {
            Ok(place) => {
                rest.remove(place);
                false
            }
            Err(_) => true,
        });
        alone.cloned()
    };
    match (only(expected, found), only(found, expected)) {
        (None, None) => None,
        (Some(missing), None) => Some(format!("missing: {missing}")),
        (None, Some(extra)) => Some(format!("too much: {extra}")),
        (Some(missing), Some(extra)) => Some(format!("missing: {missing}\n  too much: {extra}")),
    }
}

fn line(server: &ApiServer, object: &Object) -> String {
    let meta = object.meta();
    let mut line = format!("{} {}/{}", object.kind(), meta.namespace, own_name(meta));
    owners(server, meta, &mut line);
    let labels = meta.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let _ = write!(line, " labels [{}]", labels.collect::<Vec<_>>().join(","));
    if meta.is_deleting() {
        line += " deleting";
    }
    for finalizer in meta.finalizers() {
        let _ = write!(line, " finalizer {finalizer}");
    }
    content(object, &mut line);
    line
}

/// The name, or a star where the server made it.
fn own_name(meta: &ObjectMeta) -> &str {
    let generated = meta.extra.as_ref().is_some_and(|extra| !extra.generate_name.is_empty());
    if generated { "*" } else { &meta.name }
}

/// The managing controllers above an object, up to one that has none.
fn owners(server: &ApiServer, meta: &ObjectMeta, line: &mut String) {
    let mut owner = meta.controller().cloned();
    for _ in 0..OWNERS_MAX {
        let Some(reference) = owner else { return };
        let found = Kind::parse(reference.kind.as_str())
            .and_then(|kind| server.find(kind, meta.namespace, &reference.name))
            .filter(|object| object.meta().uid == reference.uid);
        let name = found.map_or("(gone)", |object| own_name(object.meta()));
        let _ = write!(line, " of {} {name}", reference.kind);
        owner = found.and_then(|object| object.meta().controller().cloned());
    }
}

/// A short text that differs where the value does.
fn digest(value: &impl Debug) -> String {
    format!("{:016x}", crate::stream::entity_of(Symbol::empty(), &format!("{value:?}")))
}

fn conditions(list: &[Condition], line: &mut String) {
    let mut texts: Vec<String> = list
        .iter()
        .map(|condition| format!(" {}={:?}/{}", condition.kind, condition.status, condition.reason))
        .collect();
    texts.sort_unstable();
    line.extend(texts);
}

/// Writes an object's spec as a digest, with metadata and status taken away, and its counts.
macro_rules! workload {
    ($object:expr, $line:expr, [$($count:ident),* $(,)?]) => {{
        let mut spec = $object.as_ref().clone();
        spec.meta = ObjectMeta::default();
        let status = std::mem::take(&mut spec.status);
        let _ = write!($line, " spec {}", digest(&spec));
        $(let _ = write!($line, " {} {:?}", stringify!($count), status.$count);)*
        conditions(&status.conditions, $line);
    }};
}

fn content(object: &Object, line: &mut String) {
    match object {
        Object::Pod(pod) => pod_content(pod, line),
        Object::Deployment(set) => {
            workload!(set, &mut *line, [replicas, updated_replicas, ready_replicas, available_replicas]);
        }
        Object::ReplicaSet(set) => workload!(set, &mut *line, [replicas, ready_replicas, available_replicas]),
        Object::StatefulSet(set) => workload!(
            set,
            &mut *line,
            [replicas, ready_replicas, available_replicas, current_revision, update_revision]
        ),
        Object::DaemonSet(set) => {
            let status = &set.status;
            let _ = write!(
                line,
                " spec {} desired {} ready {} available {} updated {} misscheduled {}",
                digest(&(&set.template, &set.selector, set.update_strategy)),
                status.desired_number_scheduled,
                status.number_ready,
                status.number_available,
                status.updated_number_scheduled,
                status.number_misscheduled,
            );
        }
        Object::Job(job) => workload!(
            job,
            &mut *line,
            [active, ready, terminating, succeeded, completed_indexes, failed_indexes]
        ),
        Object::PodDisruptionBudget(budget) => workload!(
            budget,
            &mut *line,
            [disruptions_allowed, current_healthy, desired_healthy, expected_pods]
        ),
        Object::HorizontalPodAutoscaler(autoscaler) => {
            workload!(autoscaler, &mut *line, [current_replicas, desired_replicas]);
        }
        Object::Node(node) => {
            let mut taints: Vec<String> = node
                .taints()
                .iter()
                .map(|taint| format!(" taint {}={}:{:?}", taint.key, taint.value, taint.effect))
                .collect();
            taints.sort_unstable();
            line.extend(taints);
            for kind in [NodeConditionType::Ready, NodeConditionType::MemoryPressure] {
                let condition = node.conditions.get(kind);
                let _ = write!(line, " {kind:?}={:?}/{}", condition.status, condition.reason);
            }
        }
        Object::EndpointSlice(slice) => {
            let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready).count();
            let _ = write!(line, " service {} {ready} ready of {}", slice.service, slice.endpoints.len());
        }
        Object::PersistentVolumeClaim(claim) => {
            let _ = write!(line, " {:?}", claim.phase);
        }
        Object::PersistentVolume(volume) => {
            let _ = write!(line, " {:?}", volume.phase);
        }
        Object::ControllerRevision(revision) => {
            let _ = write!(line, " revision {} {}", revision.revision, digest(&revision.template));
        }
        Object::Namespace(namespace) => conditions(&namespace.conditions, line),
        Object::ConfigMap(map) => {
            let mut map = map.as_ref().clone();
            map.meta = ObjectMeta::default();
            let _ = write!(line, " data {}", digest(&map));
        }
        // The rest is what clients wrote, and nobody else changes it.
        _ => {}
    }
}

fn pod_content(pod: &Pod, line: &mut String) {
    let status = &pod.status;
    let _ = write!(line, " spec {} {}", digest(&pod.spec), status.phase.as_str());
    let bound = if pod.node.is_some() { "bound" } else { "unbound" };
    let ready = status.containers.iter().flat_map(|list| list.iter()).filter(|status| status.ready).count();
    let _ = write!(line, " {bound} {ready} ready {}", status.reason());
    for kind in [
        PodConditionType::PodScheduled,
        PodConditionType::Initialized,
        PodConditionType::ContainersReady,
        PodConditionType::Ready,
        PodConditionType::DisruptionTarget,
    ] {
        let condition = status.conditions.get(kind);
        if condition.status != ConditionStatus::Absent {
            let _ = write!(line, " {kind:?}={:?}/{}", condition.status, condition.reason.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::MetaExtra;
    use crate::pod::PodSpec;
    use crate::request::Request;
    use crate::units::SimTime;
    use crate::version::KubernetesVersion;
    use std::sync::Arc;

    fn server_with(seed: u64, names: &[&str], generated: bool) -> ApiServer {
        let mut server = ApiServer::new(KubernetesVersion::V1_36, seed);
        let namespace = crate::config::Namespace {
            meta: ObjectMeta::named("", "default"),
            ..crate::config::Namespace::default()
        };
        let mut events = Vec::new();
        server.import(Object::Namespace(Arc::new(namespace)), &mut events).expect("the store is empty");
        for name in names {
            let mut meta = ObjectMeta::named("default", name);
            if generated {
                meta.name = Default::default();
                let extra = MetaExtra { generate_name: (*name).into(), ..MetaExtra::default() };
                meta.extra = Some(Arc::new(extra));
            }
            let pod = Pod::new(meta, Arc::new(PodSpec::new(Vec::new()).sealed()));
            let created =
                server.handle(SimTime::ZERO, Request::Create(Object::Pod(Arc::new(pod))), &mut events);
            created.expect("the pod is admitted");
        }
        server
    }

    #[test]
    fn identities_order_and_generated_names_do_not_count() {
        let a = state_of(&server_with(1, &["x", "y"], false));
        assert_eq!(first_difference(&a, &state_of(&server_with(2, &["y", "x"], false))), None);
        let a = state_of(&server_with(1, &["web-"], true));
        assert_eq!(first_difference(&a, &state_of(&server_with(2, &["web-"], true))), None);
    }

    #[test]
    fn an_object_more_or_less_is_told() {
        let one = state_of(&server_with(1, &["x"], false));
        let two = state_of(&server_with(1, &["x", "y"], false));
        let missing = first_difference(&two, &one).expect("there is a difference");
        assert!(missing.starts_with("missing: Pod default/y"), "{missing}");
        let more = first_difference(&one, &two).expect("there is a difference");
        assert!(more.starts_with("too much: Pod default/y"), "{more}");
    }
}
