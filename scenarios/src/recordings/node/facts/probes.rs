//! Facts about commands run in containers, and about what their HTTP servers were asked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::run::Run;
use super::values::{distinct, number, seconds};

/// How many calls of a probe are compared.
const CALLS: usize = 10;

/// The calls of one command in one instance.
struct Calls<'a> {
    /// "container#instance"
    instance: String,
    command: &'a str,
    /// The period, if it is a probe's command.
    period: Option<f64>,
    /// Each with the seconds since the instance started.
    calls: Vec<(f64, &'a Value)>,
}

/// The exit code, or "error".
fn result(entry: &Value) -> Value {
    if entry["error"].is_null() { entry["code"].clone() } else { Value::from("error") }
}

/// When each instance started.
fn started(run: &Run<'_>, pod: &str) -> BTreeMap<(String, u64), f64> {
    let starts = run.calls_of(pod, "StartContainer");
    starts.map(|entry| (instance_of(entry), number(entry, "t"))).collect()
}

fn instance_of(entry: &Value) -> (String, u64) {
    (entry["c"].as_str().unwrap_or("").to_owned(), entry["n"].as_u64().unwrap_or(0))
}

fn calls<'a>(run: &'a Run<'_>, pod: &str) -> Vec<Calls<'a>> {
    let started = started(run, pod);
    let mut all: Vec<Calls<'a>> = Vec::new();
    for entry in run.calls_of(pod, "ExecSync") {
        let container = entry["c"].as_str().unwrap_or("");
        let instance = format!("{container}#{}", entry["n"]);
        let command = entry["cmd"].as_str().unwrap_or("");
        let place = all.iter().position(|calls| calls.instance == instance && calls.command == command);
        let place = place.unwrap_or_else(|| {
            let period = run.probe_period(pod, container, command.split(' ').next().unwrap_or(""));
            all.push(Calls { instance, command, period, calls: Vec::new() });
            all.len() - 1
        });
        let since = number(entry, "t") - started.get(&instance_of(entry)).unwrap_or(&0.0);
        all[place].calls.push((seconds(since).as_f64().unwrap_or(since), entry));
    }
    all
}

/// "container#instance command" -> [seconds since the start, result] of the first calls, without
/// extra ones: less than three quarters of a period after one that counts.
pub(super) fn probe_times(run: &Run<'_>, pod: &str) -> Value {
    let mut facts = Map::new();
    for calls in calls(run, pod) {
        let Some(period) = calls.period else { continue };
        let mut kept: Vec<(f64, Value)> = Vec::new();
        for (since, entry) in &calls.calls {
            if kept.last().is_none_or(|last| since - last.0 >= 0.75 * period) {
                kept.push((*since, result(entry)));
            }
        }
        let rows = kept.into_iter().take(CALLS).map(|(since, result)| json!([since, result]));
        facts.insert(format!("{} {}", calls.instance, calls.command), rows.collect());
    }
    Value::Object(facts)
}

/// "container#instance command" -> distinct sequence of [result, timeout asked for].
pub(super) fn probe_results(run: &Run<'_>, pod: &str) -> Value {
    let mut facts = Map::new();
    for calls in calls(run, pod).into_iter().filter(|calls| calls.period.is_some()) {
        let rows = calls.calls.iter().map(|(_, entry)| json!([result(entry), entry["timeout"]]));
        facts.insert(format!("{} {}", calls.instance, calls.command), distinct(rows));
    }
    Value::Object(facts)
}

/// "container#instance method path" -> [seconds since the start, answer] of the first requests.
pub(super) fn http_times(run: &Run<'_>, pod: &str) -> Value {
    let started = started(run, pod);
    let mut facts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in run.calls_of(pod, "HTTP") {
        let instance = instance_of(entry);
        let name = format!("{}#{} {}", instance.0, instance.1, entry["cmd"].as_str().unwrap_or(""));
        let since = number(entry, "t") - started.get(&instance).unwrap_or(&0.0);
        let rows = facts.entry(name).or_default();
        if rows.len() < CALLS {
            rows.push(json!([seconds(since), entry["code"]]));
        }
    }
    json!(facts)
}

/// ["container#instance command", seconds of the call, seconds that it took, result] of each hook.
pub(super) fn hook_times(run: &Run<'_>, pod: &str) -> Value {
    let mut rows = Vec::new();
    for calls in calls(run, pod).into_iter().filter(|calls| calls.period.is_none()) {
        let name = format!("{} {}", calls.instance, calls.command);
        for (_, entry) in calls.calls {
            rows.push((number(entry, "t"), name.clone(), seconds(number(entry, "took")), result(entry)));
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.into_iter().map(|(t, name, took, result)| json!([name, seconds(t), took, result])).collect()
}
