//! Facts of a run: what happened in which order, what was there in the end. The definitions are
//! those of `facts.py`, which comes with the recordings.
//!
//! A fact is a function of the trace and of the answers to the actions. All are derived from the
//! run that is judged and compared with those that were recorded.

mod cluster;
mod compare;
mod events;
mod last;
mod milestones;
mod objects;
mod pods;
mod run;

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use compare::is_equal;
pub(super) use milestones::compare_milestones;
use run::Run;

/// A fact about a whole run.
type RunFact = fn(&Run<'_>) -> Value;
/// A fact about one object of it.
type ObjectFact = fn(&Run<'_>, &str) -> Value;

const RUN_FACTS: [(&str, RunFact); 16] = [
    ("answers", cluster::answers),
    ("events", events::events),
    ("eventCounts", events::event_counts),
    ("finalPods", last::final_pods),
    ("finalSpread", last::final_spread),
    ("finalObjects", last::final_objects),
    ("finalSlices", last::final_slices),
    ("deleteOrder", cluster::delete_order),
    ("deletedObjects", cluster::deleted_objects),
    ("remaining", last::remaining),
    ("bindings", cluster::bindings),
    ("deletedOrDeleting", cluster::deleted_or_deleting),
    ("taints", cluster::taints),
    ("taintedNodes", cluster::tainted_nodes),
    ("nodeConditions", cluster::node_conditions),
    ("deletions", cluster::deletions),
];

const OBJECT_FACTS: [(&str, ObjectFact); 14] = [
    ("replicaTargets", objects::replica_targets),
    ("envelope", pods::envelope),
    ("conditions", objects::conditions),
    ("statusSequence", objects::status_sequence),
    ("podOrder", pods::pod_order),
    ("podOrderPerNode", pods::pod_order_per_node),
    ("victims", pods::victims),
    ("victimAttributes", pods::victim_attributes),
    ("jobPods", pods::job_pods),
    ("podCount", pods::pod_count),
    ("jobs", objects::jobs),
    ("endpoints", objects::endpoints),
    ("used", objects::used),
    ("desiredReplicas", objects::desired_replicas),
];

/// The name of a fact without the object that it is about.
pub(super) fn kind_of_fact(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// The values that a run has for the facts with these names; `None` for a fact that is not known.
///
/// `scenario` is a recorded line, `trace` and `answers` are the run's, in the schema of the
/// recordings.
pub(super) fn derive<'a>(
    scenario: &Value,
    trace: &[Value],
    answers: &[Value],
    names: impl Iterator<Item = &'a str>,
) -> BTreeMap<&'a str, Option<Value>> {
    let run = Run::new(scenario, trace, answers);
    names.map(|name| (name, value(&run, name))).collect()
}

fn value(run: &Run<'_>, name: &str) -> Option<Value> {
    let mut words = name.splitn(3, ' ');
    let (kind, object) = (words.next().unwrap_or(""), words.next());
    let Some(object) = object else {
        return RUN_FACTS.iter().find(|fact| fact.0 == kind).map(|fact| fact.1(run));
    };
    if kind == "desiredReplicasSequence" {
        return Some(objects::desired_replicas_sequence(run, object));
    }
    OBJECT_FACTS.iter().find(|fact| fact.0 == kind).map(|fact| fact.1(run, object))
}
