//! Facts of a scenario, derived from a trace: those of `golden/node/facts.py` that do not depend on
//! messages and generations, with its tolerance for times.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The kinds that are compared.
pub(crate) const KINDS: [&str; 9] =
    ["phases", "lifecycle", "removal", "cri", "startCounts", "starts", "kills", "exits", "sandboxes"];

/// The columns of rows that are seconds, by kind.
fn timed(kind: &str) -> Option<usize> {
    match kind {
        "starts" => Some(2),
        "kills" => Some(3),
        "exits" => Some(4),
        "sandboxes" => Some(1),
        _ => None,
    }
}

/// Whether a run shows the recorded fact `name`; `None` if it is not compared.
pub(crate) fn is_shown(name: &str, fact: &Value, trace: &[Value]) -> Option<bool> {
    let (kind, object) = name.split_once(' ')?;
    if !KINDS.contains(&kind) || fact["stable"] != true {
        return None;
    }
    let mut found = derive(kind, object, trace);
    let value = &fact["value"];
    if fact["prefix"] == true {
        cut(&mut found, value);
    }
    Some(match timed(kind) {
        None => found == *value,
        Some(column) => lies_within(&found, fact, column),
    })
}

/// Cuts what was found to the length of what was recorded.
fn cut(found: &mut Value, value: &Value) {
    if let (Some(found), Some(value)) = (found.as_array_mut(), value.as_array()) {
        found.truncate(value.len());
    }
    if let (Some(found), Some(value)) = (found.as_object_mut(), value.as_object()) {
        for (key, rows) in value {
            found.entry(key).and_modify(|list| cut(list, rows));
        }
    }
}

/// Whether rows are the recorded ones and their times lie between the recorded extremes. Both are
/// sorted by what is no time, as the recording's extremes are.
fn lies_within(found: &Value, fact: &Value, column: usize) -> bool {
    let split = |rows: &Value| -> Vec<(String, f64)> {
        let rows = rows.as_array().map_or(&[][..], |rows| rows);
        let mut split: Vec<_> = rows
            .iter()
            .map(|row| {
                let mut cells = row.as_array().cloned().unwrap_or_default();
                let time = if column < cells.len() { cells.remove(column) } else { Value::Null };
                (spaced(&cells), time.as_f64().unwrap_or(f64::NAN))
            })
            .collect();
        split.sort_by(|a, b| a.0.cmp(&b.0));
        split
    };
    let (found, wanted) = (split(found), split(&fact["value"]));
    let bound = |key: &str, row: usize| fact[key][row][0].as_f64().unwrap_or(f64::NAN);
    found.len() == wanted.len()
        && found.iter().zip(&wanted).enumerate().all(|(row, (found, wanted))| {
            found.0 == wanted.0 && bound("low", row) - 1e-6 <= found.1 && found.1 <= bound("high", row) + 1e-6
        })
}

/// Cells as the recordings' own order compares them: with an empty one in front, and spaces.
fn spaced(cells: &[Value]) -> String {
    let cells: Vec<_> = cells.iter().map(Value::to_string).collect();
    format!("[\"\", {}]", cells.join(", "))
}

fn derive(kind: &str, object: &str, trace: &[Value]) -> Value {
    match kind {
        "phases" => phases(object, trace),
        "lifecycle" => lifecycle(object, trace),
        "removal" => removal(object, trace),
        "cri" => cri(object, trace),
        "startCounts" => {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for entry in calls(object, trace).filter(|entry| entry["call"] == "StartContainer") {
                *counts.entry(container(entry)).or_default() += 1;
            }
            json!(counts)
        }
        "starts" => rows(object, trace, "StartContainer", |entry| {
            json!([container(entry), entry["n"], seconds(entry), entry["error"]])
        }),
        "sandboxes" => rows(object, trace, "RunPodSandbox", |entry| {
            json!([entry["attempt"], seconds(entry), entry["error"]])
        }),
        "kills" => {
            let running = |entry: &&Value| entry["call"] == "StopContainer" && entry["running"] == true;
            let kills = calls(object, trace).filter(running);
            let row = |entry: &Value| json!([container(entry), entry["n"], entry["timeout"], seconds(entry)]);
            Value::Array(kills.map(row).collect())
        }
        _ => {
            let exits = calls(object, trace).filter(|entry| entry["v"] == "exit");
            let row = |entry: &Value| {
                json!([container(entry), entry["n"], entry["code"], entry["why"], seconds(entry)])
            };
            Value::Array(exits.map(row).collect())
        }
    }
}

fn rows(object: &str, trace: &[Value], call: &str, row: impl Fn(&Value) -> Value) -> Value {
    Value::Array(calls(object, trace).filter(|entry| entry["call"] == call).map(row).collect())
}

/// The runtime's entries about a pod.
fn calls<'a>(object: &'a str, trace: &'a [Value]) -> impl Iterator<Item = &'a Value> {
    trace.iter().filter(move |entry| entry["o"] == object && (entry["v"] == "cri" || entry["v"] == "exit"))
}

/// The container of an entry, marked if it is one of a later pod of the same name.
fn container(entry: &Value) -> String {
    let name = entry["c"].as_str().unwrap_or("");
    match entry["pod"].as_u64() {
        Some(number) => format!("{name}@{number}"),
        None => name.to_string(),
    }
}

fn seconds(entry: &Value) -> f64 {
    (entry["t"].as_f64().unwrap_or(0.0) * 10.0).round() / 10.0
}

/// The pod's fields after each change, but not after its deletion.
fn states(object: &str, trace: &[Value]) -> Vec<Map<String, Value>> {
    let mut states = Vec::new();
    let mut state: Map<String, Value> = Map::new();
    for entry in trace.iter().filter(|entry| entry["o"] == object) {
        match entry["v"].as_str() {
            Some("added") => state = Map::new(),
            Some("modified") => {}
            Some("deleted") => {
                state = Map::new();
                continue;
            }
            _ => continue,
        }
        for (key, value) in entry["set"].as_object().into_iter().flatten() {
            if value.is_null() {
                state.remove(key);
            } else {
                state.insert(key.clone(), value.clone());
            }
        }
        states.push(state.clone());
    }
    states
}

fn distinct(mut values: Vec<Value>) -> Value {
    values.dedup();
    Value::Array(values)
}

fn field(state: &Map<String, Value>, key: &str) -> Value {
    state.get(key).cloned().unwrap_or_default()
}

fn phases(object: &str, trace: &[Value]) -> Value {
    let row = |state: &Map<String, Value>| {
        json!([field(state, "phase"), field(state, "reason"), field(state, "message")])
    };
    distinct(states(object, trace).iter().map(row).collect())
}

fn removal(object: &str, trace: &[Value]) -> Value {
    let row = |state: &Map<String, Value>| json!([field(state, "deleting") == true, field(state, "grace")]);
    let steps = distinct(states(object, trace).iter().map(row).collect());
    let deleted = trace.iter().filter(|entry| entry["o"] == object && entry["v"] == "deleted").count();
    json!([steps, deleted])
}

/// What the statuses say about the instances of each container, each row once.
fn lifecycle(object: &str, trace: &[Value]) -> Value {
    let mut facts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for state in states(object, trace) {
        for group in ["init", "containers", "ephemeral"] {
            for (name, one) in field(&state, group).as_object().into_iter().flatten() {
                instances(one, facts.entry(format!("{group}/{name}")).or_default());
            }
        }
    }
    facts.retain(|_, rows| !rows.is_empty());
    json!(facts)
}

fn instances(one: &Value, rows: &mut Vec<Value>) {
    let (kind, body) = (&one["state"][0], &one["state"][1]);
    let count = one["restartCount"].as_i64().unwrap_or(0);
    let last = &one["last"];
    if last[0] == "terminated" {
        let same = kind == "waiting" || (kind == "terminated" && one["state"] == *last);
        let ended = if same { count } else { count - 1 };
        if !rows.iter().any(|row| row[0] == "ended" && row[1] == ended) {
            rows.push(json!(["ended", ended, last[1]["reason"], last[1]["exitCode"]]));
        }
    }
    let row = match kind.as_str() {
        Some("running") => json!(["running", count]),
        Some("terminated") => json!(["ended", count, body["reason"], body["exitCode"]]),
        _ => return,
    };
    if !rows.contains(&row) {
        rows.push(row);
    }
}

/// The order of calls and exits; what is parallel is sorted.
fn cri(object: &str, trace: &[Value]) -> Value {
    const QUIET: [&str; 6] =
        ["RemoveContainer", "RemovePodSandbox", "ExecSync", "PullImage", "StopContainer.canceled", "HTTP"];
    let loud = |entry: &&Value| {
        let call = entry["call"].as_str().unwrap_or("");
        !QUIET.contains(&call) && entry["running"] != false && entry["was_ready"] != false
    };
    let mut rows: Vec<Vec<String>> = calls(object, trace).filter(loud).map(cri_row).collect();
    let mut start = 0;
    while start < rows.len() {
        let name = rows[start][0].clone();
        let length = rows[start..].iter().take_while(|row| row[0] == name).count();
        if name == "exit" || name == "StopContainer" {
            rows[start..start + length].sort();
        }
        start += length;
    }
    json!(rows)
}

fn cri_row(entry: &Value) -> Vec<String> {
    let exit = entry["v"] == "exit";
    let mut row = vec![if exit { "exit" } else { entry["call"].as_str().unwrap_or("") }.to_string()];
    if entry["c"].is_string() {
        let name = container(entry);
        row.push(if entry["n"].is_null() { name } else { format!("{name}#{}", entry["n"]) });
    }
    for key in ["pod", "attempt", "timeout", "running", "cmd", "code", "why", "error", "image"] {
        match &entry[key] {
            Value::Null => {}
            Value::String(text) => row.push(format!("{key}={text}")),
            Value::Bool(true) => row.push(format!("{key}=True")),
            other => row.push(format!("{key}={other}")),
        }
    }
    row
}
