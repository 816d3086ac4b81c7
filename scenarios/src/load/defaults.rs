//! Machines for manifests that come without a scenario.
//!
//! They are the smallest general ones on which everything fits (`machines::choose`), spread over
//! the zones a, b and c, and they carry the labels that the manifests' node selectors ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::autoscaling::HorizontalPodAutoscaler;
use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Position};
use seatrial_api::node::{LABEL_HOSTNAME, LABEL_ZONE};
use seatrial_api::object::{Kind, Object};
use seatrial_api::resources::{Resources, Scalars};
use seatrial_api::symbol::Symbol;

use super::nodes::PoolPlan;
use super::objects::pod_spec;
use crate::machines::{Demand, choose};

/// How many machines there are if nobody says.
pub(super) const NODES_DEFAULT: u32 = 3;

/// The name of the pool.
const POOL: &str = "node";
/// The zones over which the machines are spread.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// A pool that suits `count` machines for `objects`.
pub(super) fn pool_for(
    objects: &[Object],
    count: u32,
    file: &Arc<str>,
    findings: &mut Diagnostics,
) -> PoolPlan {
    let chosen = choose(&demand(objects), count);
    let mut pool = PoolPlan::plain(POOL, chosen.capacity, chosen.micro_usd_per_hour);
    pool.zones = ZONES.map(Symbol::new).to_vec();
    for (key, values) in wanted_labels(objects) {
        if pool.labels.iter().any(|(known, _)| *known == key) || key == LABEL_ZONE || key == LABEL_HOSTNAME {
            continue;
        }
        let value = values[0];
        let others = if values.len() > 1 { ", though others are asked for too" } else { "" };
        let warning = Diagnostic::warning(file, Position::NONE, &FieldPath::ROOT);
        let message =
            format!("the machines get the label {key}={value}, for which node selectors ask{others}");
        findings.push(warning.message(message).hint("describe machines in a scenario to have several kinds"));
        pool.labels.push((key, value));
    }
    pool
}

/// What the pods of `objects` ask for, workloads at the size to which their autoscalers may take them.
fn demand(objects: &[Object]) -> Demand {
    let mut demand = Demand::default();
    for object in objects {
        let Some(spec) = pod_spec(object) else { continue };
        let requests = &spec.derived.requests;
        demand.largest = demand.largest.max(requests);
        if object.kind() == Kind::DaemonSet {
            demand.per_node.add(requests);
            demand.pods_per_node += 1;
            continue;
        }
        let count = size(object, objects);
        demand.pods = demand.pods.saturating_add(count);
        add_times(&mut demand.total, requests, count);
    }
    demand
}

fn add_times(total: &mut Resources, each: &Resources, count: i64) {
    let mut all = each.clone();
    all.cpu.0 = all.cpu.0.saturating_mul(count);
    all.memory.0 = all.memory.0.saturating_mul(count);
    all.ephemeral_storage.0 = all.ephemeral_storage.0.saturating_mul(count);
    let scalars = each.scalars.iter().map(|(name, amount)| (name, amount.saturating_mul(count)));
    all.scalars = Scalars::new(scalars.collect());
    total.add(&all);
}

/// How many pods a workload may have.
fn size(object: &Object, objects: &[Object]) -> i64 {
    let replicas = match object {
        Object::Deployment(deployment) => deployment.replicas,
        Object::ReplicaSet(set) => set.replicas,
        Object::ReplicationController(set) => set.replicas,
        Object::CronJob(cron_job) => cron_job.template.parallelism,
        Object::StatefulSet(set) => set.replicas,
        Object::Job(job) => job.parallelism,
        _ => 1,
    };
    let meta = object.meta();
    let scales_it = |hpa: &HorizontalPodAutoscaler| {
        hpa.meta.namespace == meta.namespace
            && hpa.target_kind == object.kind().as_str()
            && hpa.target_name == meta.name
    };
    let largest = objects.iter().filter_map(|other| match other {
        Object::HorizontalPodAutoscaler(hpa) if scales_it(hpa) => Some(hpa.max_replicas),
        _ => None,
    });
    i64::from(largest.max().unwrap_or(replicas).max(replicas))
}

/// The labels for which node selectors ask, with all values, in order.
fn wanted_labels(objects: &[Object]) -> BTreeMap<Symbol, Vec<Symbol>> {
    let mut wanted: BTreeMap<Symbol, Vec<Symbol>> = BTreeMap::new();
    for spec in objects.iter().filter_map(pod_spec) {
        for &(key, value) in spec.node_selector.iter() {
            let values = wanted.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    wanted.retain(|key, _| *key != "kubernetes.io/os" && *key != "kubernetes.io/arch");
    wanted
}
