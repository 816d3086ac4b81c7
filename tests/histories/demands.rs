//! What was asked for, and whether it is there.

use std::collections::BTreeMap;

use seatrial_api::meta::{ObjectMeta, Uid};
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::store::ApiServer;
use seatrial_api::workload::{DaemonSet, Deployment, Job, ReplicaSet, StatefulSet, condition};

/// Whether everything that was asked for is there, and nothing else.
///
/// # Errors
/// The first demand that is not met.
pub(crate) fn met(api: &ApiServer) -> Result<(), String> {
    nodes_are_well(api)?;
    nothing_is_orphaned_or_stuck(api)?;
    let pods = pods_by_owner(api);
    let of = |meta: &ObjectMeta| pods.get(&meta.uid).copied().unwrap_or_default();
    for deployment in api.list_typed::<Deployment>() {
        let (status, wanted) = (&deployment.status, deployment.replicas);
        let counts =
            [status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas];
        let seen = status.observed_generation == deployment.meta.generation;
        demand(&deployment.meta, seen && counts == [wanted; 4], || format!("{wanted} replicas: {status:?}"))?;
    }
    for set in api.list_typed::<ReplicaSet>() {
        let counts = [set.status.replicas, set.status.ready_replicas, of(&set.meta)];
        demand(&set.meta, counts == [set.replicas; 3], || {
            format!("{} replicas, ready and pods: {counts:?}", set.replicas)
        })?;
    }
    for set in api.list_typed::<StatefulSet>() {
        let counts = [set.status.replicas, set.status.ready_replicas, of(&set.meta)];
        let updated = set.status.current_revision == set.status.update_revision;
        demand(&set.meta, updated && counts == [set.replicas; 3], || {
            format!("{} replicas, ready and pods: {counts:?}, all updated: {updated}", set.replicas)
        })?;
    }
    let nodes = api.count(Kind::Node) as i32;
    for set in api.list_typed::<DaemonSet>() {
        let status = &set.status;
        let counts = [
            status.desired_number_scheduled,
            status.number_ready,
            status.updated_number_scheduled,
            of(&set.meta),
        ];
        demand(&set.meta, counts == [nodes; 4], || {
            format!("{nodes} nodes, desired, ready, updated, pods: {counts:?}")
        })?;
    }
    for job in api.list_typed::<Job>() {
        let complete = condition(&job.status.conditions, "Complete");
        let done = complete.is_some_and(|complete| complete.status == ConditionStatus::True);
        demand(&job.meta, done, || format!("completion: {:?}", job.status))?;
    }
    Ok(())
}

fn demand(meta: &ObjectMeta, met: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if met { Ok(()) } else { Err(format!("{} should have {}", meta.name, found())) }
}

fn nodes_are_well(api: &ApiServer) -> Result<(), String> {
    for node in api.list_typed::<Node>() {
        let well = node.ready() == ConditionStatus::True && node.taints().is_empty();
        demand(&node.meta, well, || format!("no taints: {:?} {:?}", node.ready(), node.taints()))?;
    }
    Ok(())
}

/// Nothing is on its way out, and what has a controller has one that is there.
fn nothing_is_orphaned_or_stuck(api: &ApiServer) -> Result<(), String> {
    for object in Kind::ALL.iter().flat_map(|&kind| api.list(kind)) {
        let meta = object.meta();
        demand(meta, !meta.is_deleting(), || format!("gone ({})", object.kind()))?;
        for owner in meta.owner_refs() {
            let found = Kind::parse(owner.kind.as_str())
                .and_then(|kind| api.find(kind, meta.namespace, &owner.name).map(Object::meta));
            let there = found.is_some_and(|found| found.uid == owner.uid);
            demand(meta, there, || format!("its owner {} {}", owner.kind, owner.name))?;
        }
    }
    Ok(())
}

/// How many pods that have not ended each controller has.
fn pods_by_owner(api: &ApiServer) -> BTreeMap<Uid, i32> {
    let mut pods = BTreeMap::new();
    for pod in api.list_typed::<Pod>().filter(|pod| !pod.status.phase.is_terminal()) {
        if let Some(owner) = pod.meta.controller() {
            *pods.entry(owner.uid).or_default() += 1;
        }
    }
    pods
}
