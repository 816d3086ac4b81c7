//! Facts about what the API server was told of a pod.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::run::{Run, State};
use super::values::{distinct, elements, fields, is_truthy, same};

/// The groups of containers in a status.
const GROUPS: [&str; 3] = ["init", "containers", "ephemeral"];

/// The fields of a status.
const STATUS_FIELDS: [&str; 14] = [
    "phase",
    "reason",
    "message",
    "conditions",
    "init",
    "containers",
    "ephemeral",
    "podIPs",
    "hostIP",
    "startTime",
    "qosClass",
    "observedGeneration",
    "nominated",
    "resize",
];

/// A field of a state.
pub(super) fn field<'a>(state: &'a State, name: &str) -> &'a Value {
    state.get(name).unwrap_or(&Value::Null)
}

fn sequence(run: &Run<'_>, pod: &str, tell: impl Fn(&State) -> Value) -> Value {
    distinct(run.states(pod).map(tell))
}

/// The first cells of a row, from the second one on.
fn cells(row: &Value, count: usize) -> Value {
    elements(row).iter().skip(1).take(count).cloned().collect()
}

/// Condition type -> [status, reason, message].
pub(super) fn condition_map(state: &State) -> Map<String, Value> {
    let rows = elements(field(state, "conditions")).iter();
    rows.map(|row| (row[0].as_str().unwrap_or("").to_owned(), cells(row, 3))).collect()
}

/// "init|containers|ephemeral/name" -> status, of all containers that a state lists.
fn listed(state: &State) -> impl Iterator<Item = (&'static str, &String, &Value)> {
    GROUPS
        .into_iter()
        .flat_map(move |group| fields(field(state, group)).map(move |(name, status)| (group, name, status)))
}

/// What a status says of a container.
struct Told<'a> {
    kind: &'a Value,
    body: &'a Value,
    last: &'a Value,
    last_body: &'a Value,
    status: &'a Value,
}

impl<'a> Told<'a> {
    fn new(status: &'a Value) -> Told<'a> {
        let (state, last) = (&status["state"], &status["last"]);
        Told { kind: &state[0], body: &state[1], last: &last[0], last_body: &last[1], status }
    }

    /// [kind, reason, exit code, message, ready, started, restarts, last kind, its reason, its exit
    /// code]
    fn row(&self) -> Value {
        let (body, status, last) = (self.body, self.status, self.last_body);
        json!([
            self.kind,
            body["reason"],
            body["exitCode"],
            body["message"],
            status["ready"],
            status["started"],
            status["restartCount"],
            self.last,
            last["reason"],
            last["exitCode"]
        ])
    }
}

/// Distinct sequence of [phase, reason, message].
pub(super) fn phases(run: &Run<'_>, pod: &str) -> Value {
    sequence(run, pod, |state| {
        json!([field(state, "phase"), field(state, "reason"), field(state, "message")])
    })
}

/// Distinct sequence of the list of condition types, as they stand in the array.
pub(super) fn condition_order(run: &Run<'_>, pod: &str) -> Value {
    sequence(run, pod, |state| {
        elements(field(state, "conditions")).iter().map(|row| row[0].clone()).collect()
    })
}

/// Distinct sequence of {type: observed generation}, where there is one.
pub(super) fn condition_generations(run: &Run<'_>, pod: &str) -> Value {
    sequence(run, pod, |state| {
        let rows = elements(field(state, "conditions")).iter().filter(|row| is_truthy(&row[4]));
        Value::Object(rows.map(|row| (row[0].as_str().unwrap_or("").to_owned(), row[4].clone())).collect())
    })
}

/// Type -> distinct sequence of its [status, reason, message], null while it is absent.
pub(super) fn conditions(run: &Run<'_>, pod: &str) -> Value {
    let maps: Vec<_> = run.states(pod).map(condition_map).collect();
    let types: BTreeSet<&String> = maps.iter().flat_map(Map::keys).collect();
    let row = |kind: &String| distinct(maps.iter().map(|map| map.get(kind).cloned().unwrap_or_default()));
    Value::Object(types.into_iter().map(|kind| (kind.clone(), row(kind))).collect())
}

/// Distinct sequence of {type: [status, reason]}: which change in one write.
pub(super) fn condition_sequence(run: &Run<'_>, pod: &str) -> Value {
    sequence(run, pod, |state| {
        let map = condition_map(state).into_iter();
        Value::Object(map.map(|(kind, row)| (kind, json!([row[0], row[1]]))).collect())
    })
}

/// "group/name" -> distinct sequence of what the statuses say.
pub(super) fn containers(run: &Run<'_>, pod: &str) -> Value {
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for state in run.states(pod) {
        for (group, name, status) in listed(state) {
            rows.entry(format!("{group}/{name}")).or_default().push(Told::new(status).row());
        }
    }
    Value::Object(rows.into_iter().map(|(name, rows)| (name, distinct(rows))).collect())
}

/// "group/name" -> what the statuses say of the container's instances, each row once, in order of
/// first appearance: ["running", restarts] and ["ended", restarts, reason, exit code].
pub(super) fn lifecycle(run: &Run<'_>, pod: &str) -> Value {
    let mut facts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for state in run.states(pod) {
        for (group, name, status) in listed(state) {
            instances(status, facts.entry(format!("{group}/{name}")).or_default());
        }
    }
    facts.retain(|_, rows| !rows.is_empty());
    json!(facts)
}

fn instances(status: &Value, rows: &mut Vec<Value>) {
    let told = Told::new(status);
    let count = status["restartCount"].as_i64().unwrap_or(0);
    let kind = told.kind.as_str();
    if told.last == "terminated" {
        let is_newest =
            kind == Some("waiting") || kind == Some("terminated") && same(&status["state"], &status["last"]);
        let ended = if is_newest { count } else { count - 1 };
        if !rows.iter().any(|row| row[0] == "ended" && row[1] == ended) {
            rows.push(json!(["ended", ended, told.last_body["reason"], told.last_body["exitCode"]]));
        }
    }
    let row = match kind {
        Some("running") => json!(["running", count]),
        Some("terminated") => json!(["ended", count, told.body["reason"], told.body["exitCode"]]),
        _ => return,
    };
    if !rows.contains(&row) {
        rows.push(row);
    }
}

/// Distinct sequence of [status of Ready, reason, message, status of ContainersReady], from where
/// Ready is first True or the pod has ended.
pub(super) fn readiness(run: &Run<'_>, pod: &str) -> Value {
    let states = run.states(pod).map(|state| {
        let map = condition_map(state);
        let row = |kind: &str| map.get(kind).cloned().unwrap_or_default();
        (field(state, "phase").clone(), row("Ready"), row("ContainersReady"))
    });
    let begun = states.skip_while(|(phase, ready, _)| {
        !matches!(phase.as_str(), Some("Succeeded" | "Failed")) && ready[0] != "True"
    });
    distinct(begun.map(|(_, ready, containers)| json!([ready[0], ready[1], ready[2], containers[0]])))
}

/// Distinct sequence of [phase, reason, {condition: status}, {container: [kind, reason, ready,
/// started, restarts]}]: what stands together in one write.
pub(super) fn status_sequence(run: &Run<'_>, pod: &str) -> Value {
    sequence(run, pod, |state| {
        let told = |status: &Value| {
            let row = Told::new(status).row();
            json!([row[0], row[1], row[4], row[5], row[6]])
        };
        let containers: Map<String, Value> =
            listed(state).map(|(_, name, status)| (name.clone(), told(status))).collect();
        let conditions: Map<String, Value> =
            condition_map(state).into_iter().map(|(kind, row)| (kind, row[0].clone())).collect();
        json!([field(state, "phase"), field(state, "reason"), conditions, containers])
    })
}

/// The status in the pod's last state; conditions by type, addresses counted.
pub(super) fn final_status(run: &Run<'_>, pod: &str) -> Value {
    let Some(state) = run.states(pod).next_back() else { return Value::Null };
    let mut last = Map::new();
    for name in STATUS_FIELDS {
        let Some(value) = state.get(name) else { continue };
        let value = match name {
            "podIPs" => Value::from(elements(value).len()),
            "conditions" => Value::Object(condition_map(state)),
            _ => value.clone(),
        };
        last.insert(name.to_owned(), value);
    }
    Value::Object(last)
}

/// Distinct sequence of [generation, observed generation].
pub(super) fn generations(run: &Run<'_>, pod: &str) -> Value {
    sequence(run, pod, |state| json!([field(state, "generation"), field(state, "observedGeneration")]))
}

/// Distinct sequence of [number of addresses, is the node's known?, has it begun?, QoS class].
pub(super) fn addresses(run: &Run<'_>, pod: &str) -> Value {
    sequence(run, pod, |state| {
        json!([
            elements(field(state, "podIPs")).len(),
            is_truthy(field(state, "hostIP")),
            is_truthy(field(state, "startTime")),
            field(state, "qosClass")
        ])
    })
}

/// [distinct sequence of [is it going away?, its grace], how often it was deleted]
pub(super) fn removal(run: &Run<'_>, pod: &str) -> Value {
    let steps =
        sequence(run, pod, |state| json!([is_truthy(field(state, "deleting")), field(state, "grace")]));
    json!([steps, run.changes(pod).iter().filter(|change| change.what == "deleted").count()])
}
