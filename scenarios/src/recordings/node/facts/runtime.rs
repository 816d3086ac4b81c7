//! Facts about the calls that the runtime got and about the ends of containers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::run::Run;
use super::values::{is_truthy, number, seconds};

/// Calls that say nothing about the order of things.
const QUIET: [&str; 6] =
    ["RemoveContainer", "RemovePodSandbox", "ExecSync", "PullImage", "StopContainer.canceled", "HTTP"];

/// A call or an exit in words.
fn row(entry: &Value) -> Vec<String> {
    let call = if entry["v"] == "exit" { "exit" } else { entry["call"].as_str().unwrap_or("") };
    let mut row = vec![call.to_owned()];
    if let Some(container) = entry["c"].as_str().filter(|name| !name.is_empty()) {
        row.push(if entry["n"].is_null() {
            container.to_owned()
        } else {
            format!("{container}#{}", entry["n"])
        });
    }
    for key in ["pod", "attempt", "timeout", "running", "cmd", "code", "why", "error", "image"] {
        match &entry[key] {
            Value::Null => {}
            Value::String(text) => row.push(format!("{key}={text}")),
            Value::Bool(true) => row.push(format!("{key}=True")),
            Value::Bool(false) => row.push(format!("{key}=False")),
            other => row.push(format!("{key}={other}")),
        }
    }
    row
}

/// The order of calls and exits, without what is quiet, what met a container that ran no more, and
/// the stop of a sandbox that was stopped before. Neighbours that happen side by side are sorted.
pub(super) fn cri(run: &Run<'_>, pod: &str) -> Value {
    let loud = |entry: &&Value| {
        !QUIET.iter().any(|quiet| entry["call"] == *quiet)
            && entry["running"] != false
            && entry["was_ready"] != false
    };
    let mut rows: Vec<Vec<String>> = run.calls(pod).filter(loud).map(row).collect();
    for group in rows.chunk_by_mut(|a, b| a[0] == b[0]) {
        if matches!(group[0][0].as_str(), "exit" | "StopContainer") {
            group.sort();
        }
    }
    json!(rows)
}

/// Container -> the order of its calls, exits and hooks; probes and removals left out.
pub(super) fn cri_of_container(run: &Run<'_>, pod: &str) -> Value {
    let mut rows: BTreeMap<&str, Vec<Vec<String>>> = BTreeMap::new();
    for entry in run.calls(pod) {
        let Some(container) = entry["c"].as_str().filter(|name| !name.is_empty()) else { continue };
        let word = entry["cmd"].as_str().and_then(|command| command.split(' ').next()).unwrap_or("");
        let is_probe = entry["call"] == "ExecSync" && run.probe_period(pod, container, word).is_some();
        let quiet = matches!(entry["call"].as_str(), Some("RemoveContainer" | "HTTP"));
        if !is_probe && !quiet && entry["running"] != false {
            rows.entry(container).or_default().push(row(entry));
        }
    }
    json!(rows)
}

/// [attempt, seconds, error] of each sandbox.
pub(super) fn sandboxes(run: &Run<'_>, pod: &str) -> Value {
    run.calls_of(pod, "RunPodSandbox")
        .map(|entry| json!([entry["attempt"], seconds(number(entry, "t")), entry["error"]]))
        .collect()
}

/// [container, instance, seconds, error] of each start.
pub(super) fn starts(run: &Run<'_>, pod: &str) -> Value {
    run.calls_of(pod, "StartContainer")
        .map(|entry| json!([entry["c"], entry["n"], seconds(number(entry, "t")), entry["error"]]))
        .collect()
}

fn count<'a>(entries: impl Iterator<Item = &'a Value>, key: &str) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry[key].as_str().unwrap_or("")).or_default() += 1;
    }
    json!(counts)
}

/// Container -> number of starts.
pub(super) fn start_counts(run: &Run<'_>, pod: &str) -> Value {
    count(run.calls_of(pod, "StartContainer"), "c")
}

/// Image -> number of pulls.
pub(super) fn pull_counts(run: &Run<'_>, pod: &str) -> Value {
    count(run.calls_of(pod, "PullImage"), "image")
}

/// ["container#instance", seconds from the end of the instance before to its start]
pub(super) fn backoff(run: &Run<'_>, pod: &str) -> Value {
    let mut ended: BTreeMap<&str, f64> = BTreeMap::new();
    let mut rows = Vec::new();
    for entry in run.calls(pod) {
        let container = entry["c"].as_str().unwrap_or("");
        if entry["v"] == "exit" {
            ended.insert(container, number(entry, "t"));
        } else if entry["call"] == "StartContainer"
            && let Some(ended) = ended.get(container)
        {
            rows.push(json!([format!("{container}#{}", entry["n"]), seconds(number(entry, "t") - ended)]));
        }
    }
    Value::Array(rows)
}

/// [container, instance, timeout, seconds] of each stop of a container that ran.
pub(super) fn kills(run: &Run<'_>, pod: &str) -> Value {
    run.calls_of(pod, "StopContainer")
        .filter(|entry| is_truthy(&entry["running"]))
        .map(|entry| json!([entry["c"], entry["n"], entry["timeout"], seconds(number(entry, "t"))]))
        .collect()
}

/// [container, instance, code, why, seconds] of each end.
pub(super) fn exits(run: &Run<'_>, pod: &str) -> Value {
    run.calls(pod)
        .filter(|entry| entry["v"] == "exit")
        .map(|entry| {
            json!([entry["c"], entry["n"], entry["code"], entry["why"], seconds(number(entry, "t"))])
        })
        .collect()
}

/// [image, seconds of the call, seconds of its answer, error] of each pull.
pub(super) fn pulls(run: &Run<'_>, pod: &str) -> Value {
    run.calls_of(pod, "PullImage")
        .map(|entry| {
            let (t, took) = (number(entry, "t"), number(entry, "took"));
            json!([entry["image"], seconds(t), seconds(t + took), entry["error"]])
        })
        .collect()
}
