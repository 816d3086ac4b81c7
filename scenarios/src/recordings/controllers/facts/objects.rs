//! Facts about the course of one object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::run::{Run, State, field, kind_of, name_of, owner, rows, seconds};

/// The fields of the status that make up its sequence, by kind.
const STATUS_FIELDS: [(&str, &[&str]); 6] = [
    ("deploy", &["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"]),
    ("rs", &["replicas", "readyReplicas", "availableReplicas"]),
    ("sts", &["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"]),
    (
        "ds",
        &[
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberMisscheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        ],
    ),
    ("job", &["active", "ready", "terminating", "succeeded", "failed", "completedIndexes", "failedIndexes"]),
    ("pdb", &["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"]),
];

/// The sizes that were wanted, in order: of a ReplicaSet, or of all ReplicaSets of a Deployment.
pub(super) fn replica_targets(run: &Run<'_>, object: &str) -> Value {
    let mut targets = Vec::new();
    for change in run.of("rs") {
        let Some(after) = &change.after else { continue };
        let target = field(after, "spec.replicas");
        if change.before.as_ref().map_or(Value::Null, |before| field(before, "spec.replicas")) == target {
            continue;
        }
        if change.alias == object {
            targets.push(target);
        } else if owner(&change.alias, after) == object {
            targets.push(json!([name_of(&change.alias), target]));
        }
    }
    Value::Array(targets)
}

/// The changes of conditions, those of one write in the order of their types.
pub(super) fn conditions(run: &Run<'_>, object: &str) -> Value {
    let map = |state: Option<&State>| state.map_or(Value::Null, |state| field(state, "conditions"));
    let mut out = Vec::new();
    for (change, after) in run.states(object) {
        let (old, new) = (map(change.before.as_ref()), map(Some(after)));
        let names = [&old, &new].into_iter().flat_map(Value::as_object).flat_map(|map| map.keys());
        let names: BTreeSet<&String> = names.collect();
        for name in names.into_iter().filter(|name| old[*name] != new[*name]) {
            let mut row = vec![json!(name)];
            match new[name].as_array().filter(|values| !values.is_empty()) {
                Some(values) => row.extend(values.iter().cloned()),
                None => row.extend([Value::Null, Value::Null, Value::Null]),
            }
            out.push(Value::Array(row));
        }
    }
    Value::Array(out)
}

/// The distinct states of the counters, in order.
pub(super) fn status_sequence(run: &Run<'_>, object: &str) -> Value {
    let fields = STATUS_FIELDS.iter().find(|entry| entry.0 == kind_of(object)).map_or(&[][..], |e| e.1);
    let values = |state: &State| -> Value { fields.iter().map(|name| field(state, name)).collect() };
    let mut sequence: Vec<Value> = run.states(object).map(|(_, state)| values(state)).collect();
    sequence.dedup();
    Value::Array(sequence)
}

/// The Jobs of a CronJob: when each was created, and when it was due.
pub(super) fn jobs(run: &Run<'_>, object: &str) -> Value {
    let mut out = Vec::new();
    for change in run.of("job").filter(|change| change.before.is_none()) {
        if let Some(job) = change.after.as_ref().filter(|job| owner(&change.alias, job) == object) {
            out.push(json!([seconds(change.t), change.alias, field(job, "scheduledTimestamp")]));
        }
    }
    Value::Array(out)
}

/// How many endpoints of a Service are in which condition, after each change of a slice.
pub(super) fn endpoints(run: &Run<'_>, object: &str) -> Value {
    let mut slices = BTreeMap::<&str, Value>::new();
    let mut counts = Vec::<BTreeMap<String, u32>>::new();
    for change in run.of("eps") {
        slices.remove(change.alias.as_str());
        let Some(slice) = change.after.as_ref().filter(|slice| owner(&change.alias, slice) == object) else {
            continue;
        };
        slices.insert(&change.alias, field(slice, "endpoints"));
        let mut count = BTreeMap::new();
        for endpoint in slices.values().flat_map(rows) {
            *count.entry(endpoint_kind(endpoint)).or_default() += 1;
        }
        counts.push(count);
    }
    counts.dedup();
    let begun = counts.into_iter().skip_while(BTreeMap::is_empty);
    begun.map(|count| json!(count)).collect()
}

fn endpoint_kind(endpoint: &Value) -> String {
    let is = |field: &str| endpoint[field] == true;
    let serving = match (is("ready"), is("serving")) {
        (true, _) => "ready",
        (false, true) => "notready+serving",
        (false, false) => "notready",
    };
    format!("{serving}{}", if is("terminating") { "+terminating" } else { "" })
}

/// The sizes that an autoscaler wanted, with the time of each change.
pub(super) fn desired_replicas(run: &Run<'_>, object: &str) -> Value {
    let mut sizes: Vec<(f64, Value)> =
        run.states(object).map(|(change, state)| (change.t, field(state, "desiredReplicas"))).collect();
    sizes.dedup_by(|next, first| next.1 == first.1);
    sizes.into_iter().map(|(t, size)| json!([seconds(t), size])).collect()
}

/// The same without times.
pub(super) fn desired_replicas_sequence(run: &Run<'_>, object: &str) -> Value {
    rows(&desired_replicas(run, object)).iter().map(|row| row[1].clone()).collect()
}

/// What a quota said was used, from the first time on.
pub(super) fn used(run: &Run<'_>, object: &str) -> Value {
    let used = run.states(object).map(|(_, state)| field(state, "used"));
    let mut used: Vec<Value> =
        used.filter(|used| used.as_object().is_some_and(|used| !used.is_empty())).collect();
    used.dedup();
    Value::Array(used)
}
