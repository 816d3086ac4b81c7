//! Facts of a scenario, derived from a trace: those of `golden/controllers/facts.py` that are the
//! controllers' own. The definitions are there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

type State = Map<String, Value>;

/// What the recorder puts before the message of an Event that it counts with others.
const COMBINED: &str = "(combined from similar events): ";

/// One change of one object: its state before and after.
struct Change {
    t: f64,
    alias: String,
    before: Option<State>,
    after: Option<State>,
}

/// A run, made easy to walk.
pub struct Facts<'a> {
    scenario: &'a Value,
    changes: Vec<Change>,
    events: Vec<Value>,
    last: BTreeMap<String, State>,
}

fn kind_of(alias: &str) -> &str {
    alias.split(':').next().unwrap_or("")
}

/// `pod:web@1#3` becomes `pod:web@1#*`.
fn starred(alias: &str) -> String {
    match alias.rsplit_once('#') {
        Some((base, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("{base}#*"),
        _ => alias.to_string(),
    }
}

/// Stars each `{alias}` of a message.
fn starred_text(text: &str) -> String {
    let mut parts = text.split('{');
    let mut out = parts.next().unwrap_or("").to_string();
    for part in parts {
        match part.split_once('}') {
            Some((alias, rest)) if !alias.contains(' ') => {
                out.push_str(&format!("{{{}}}{rest}", starred(alias)));
            }
            _ => out.push_str(&format!("{{{part}")),
        }
    }
    out
}

fn owner(alias: &str, state: &State) -> String {
    let owner = state.get("owner").and_then(|owners| owners[0].as_str());
    owner.unwrap_or(alias).to_string()
}

fn is_ready(pod: &State) -> bool {
    pod.get("conditions").is_some_and(|conditions| conditions["Ready"][0] == "True")
}

fn is_terminal(pod: &State) -> bool {
    matches!(pod.get("phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

fn is_deleting(pod: &State) -> bool {
    pod.get("deleting") == Some(&Value::Bool(true))
}

fn field<'a>(state: Option<&'a State>, name: &str) -> &'a Value {
    state.and_then(|state| state.get(name)).unwrap_or(&Value::Null)
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |rows| rows)
}

impl Change {
    fn kind(&self) -> &str {
        kind_of(&self.alias)
    }

    fn starts_terminating(&self) -> bool {
        self.after.as_ref().is_some_and(is_deleting) && !self.before.as_ref().is_some_and(is_deleting)
    }
}

impl<'a> Facts<'a> {
    pub fn new(scenario: &'a Value, trace: &[Value]) -> Facts<'a> {
        let (mut changes, mut events, mut last) = (Vec::new(), Vec::new(), BTreeMap::<String, State>::new());
        for entry in trace {
            let alias = entry["o"].as_str().unwrap_or("").to_string();
            if entry["v"] == "event" {
                events.push(entry.clone());
                continue;
            }
            let before = last.remove(&alias);
            let mut after = before.clone().filter(|_| entry["v"] == "modified").unwrap_or_default();
            after.extend(entry["set"].as_object().cloned().unwrap_or_default());
            after.retain(|_, value| !value.is_null());
            let after = (entry["v"] != "deleted").then_some(after);
            last.extend(after.clone().map(|after| (alias.clone(), after)));
            changes.push(Change { t: entry["t"].as_f64().unwrap_or(0.0), alias, before, after });
        }
        Facts { scenario, changes, events, last }
    }

    /// Whether the run shows a recorded fact; `None` if it is not compared.
    pub fn shows(&self, name: &str, fact: &Value) -> Option<bool> {
        if fact["stable"] != true {
            return None;
        }
        let recorded = &fact["value"];
        let (kind, object) = name.split_once(' ').unwrap_or((name, ""));
        let object = object.split(' ').next().unwrap_or("");
        let found = match kind {
            "events" => return Some(self.shows_events(recorded)),
            "jobPods" => return Some(self.shows_job_pods(object, fact)),
            "finalObjects" => return Some(without_blanks(&json!(self.last)) == without_blanks(recorded)),
            "finalPods" => self.final_pods(),
            "replicaTargets" => self.replica_targets(object),
            "envelope" => self.envelope(object),
            "conditions" => self.conditions(object),
            "statusSequence" => self.status_sequence(object, name),
            "podOrder" => Value::Array(self.pod_order(object)),
            "podOrderPerNode" => self.pod_order_per_node(object),
            "victimAttributes" => self.victim_attributes(object),
            _ => return None,
        };
        Some(found == *recorded)
    }

    /// The states of an object after its changes.
    fn states(&self, object: &str) -> impl Iterator<Item = (Option<&State>, &State)> {
        let changes = self.changes.iter().filter(move |change| change.alias == object);
        changes.filter_map(|change| Some((change.before.as_ref(), change.after.as_ref()?)))
    }

    /// Events of the controllers, whether combined with similar ones or not.
    fn shows_events(&self, recorded: &Value) -> bool {
        let recorded: BTreeSet<_> = rows(recorded).iter().filter_map(event_row).collect();
        let sometimes = &self.scenario["facts"]["eventsSometimes"]["value"];
        let sometimes = rows(sometimes).iter().map(|row| Value::Array(rows(row)[1..].to_vec()));
        let sometimes: BTreeSet<_> = sometimes.filter_map(|row| event_row(&row)).collect();
        let found = self
            .events
            .iter()
            .map(|event| json!([event["o"], event["type"], event["reason"], event["message"]]));
        let found: BTreeSet<_> = found.filter_map(|row| event_row(&row)).collect();
        recorded.is_subset(&found)
            && found.iter().all(|row| recorded.contains(row) || sometimes.contains(row))
    }

    fn final_pods(&self) -> Value {
        let mut counts = BTreeMap::<String, BTreeMap<String, u32>>::new();
        for (alias, pod) in self.last.iter().filter(|entry| kind_of(entry.0) == "pod") {
            let ready = if is_ready(pod) { "True" } else { "False" };
            let phase = field(Some(pod), "phase").as_str().unwrap_or("");
            let deleting = if is_deleting(pod) { ",deleting" } else { "" };
            let key = format!("{phase},ready={ready}{deleting}");
            *counts.entry(owner(alias, pod)).or_default().entry(key).or_default() += 1;
        }
        json!(counts)
    }

    fn replica_targets(&self, object: &str) -> Value {
        let mut targets = Vec::new();
        for change in self.changes.iter().filter(|change| change.kind() == "rs") {
            let Some(after) = &change.after else { continue };
            let target = field(Some(after), "spec.replicas");
            if field(change.before.as_ref(), "spec.replicas") == target {
                continue;
            }
            if change.alias == object {
                targets.push(target.clone());
            } else if owner(&change.alias, after) == object {
                targets.push(json!([change.alias.trim_start_matches("rs:"), target]));
            }
        }
        Value::Array(targets)
    }

    fn envelope(&self, object: &str) -> Value {
        let mut others =
            rows(&self.scenario["actions"]).iter().filter(|action| action["do"].get("create").is_none());
        let start = others.next().and_then(|action| action["at"].as_f64()).unwrap_or(f64::INFINITY);
        let (mut owners, mut pods) = (BTreeMap::new(), BTreeMap::new());
        let mut samples = Vec::new();
        for change in &self.changes {
            match (&change.after, change.kind()) {
                (Some(after), "rs") => {
                    owners.insert(change.alias.clone(), owner(&change.alias, after));
                }
                (Some(after), "pod") if !is_terminal(after) => {
                    pods.insert(&change.alias, after);
                }
                (_, "pod") => {
                    pods.remove(&change.alias);
                }
                _ => {}
            }
            if change.t >= start {
                let mine = pods.iter().filter(|(alias, pod)| {
                    let owner = owner(alias, pod);
                    owner == object || owners.get(&owner).is_some_and(|owner| owner == object)
                });
                let mine: Vec<_> = mine.map(|entry| *entry.1).collect();
                let staying = || mine.iter().filter(|pod| !is_deleting(pod));
                samples.push((staying().count(), mine.len(), staying().filter(|pod| is_ready(pod)).count()));
            }
        }
        json!({
            "maxPods": samples.iter().map(|sample| sample.0).max(),
            "maxPodsInclTerminating": samples.iter().map(|sample| sample.1).max(),
            "minReady": samples.iter().map(|sample| sample.2).min(),
        })
    }

    fn conditions(&self, object: &str) -> Value {
        let mut changes = Vec::new();
        for (before, after) in self.states(object) {
            let before = field(before, "conditions").as_object().cloned().unwrap_or_default();
            let after = field(Some(after), "conditions").as_object().cloned().unwrap_or_default();
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
                let mut row = vec![json!(name)];
                let values = after.get(name).and_then(Value::as_array).cloned();
                row.extend(values.unwrap_or(vec![Value::Null; 3]));
                changes.push(Value::Array(row));
            }
        }
        Value::Array(changes)
    }

    fn status_sequence(&self, object: &str, name: &str) -> Value {
        let fields = name.split_once('(').map_or("", |entry| entry.1).trim_end_matches(')');
        let values = |state| fields.split(',').map(|name| field(Some(state), name).clone()).collect();
        let mut sequence: Vec<Value> =
            self.states(object).map(|(_, state)| Value::Array(values(state))).collect();
        sequence.dedup();
        Value::Array(sequence)
    }

    fn pod_order(&self, object: &str) -> Vec<Value> {
        let mut operations: Vec<(&str, &str, bool)> = Vec::new();
        let mut exists = true;
        for change in &self.changes {
            if change.alias == object {
                exists = change.after.is_some();
            }
            let Some(state) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            if change.kind() != "pod" || owner(&change.alias, state) != object {
                continue;
            }
            let operation = match (&change.before, &change.after) {
                (None, _) => "create",
                (_, None) => "deleted",
                _ if change.starts_terminating() => "deleting",
                _ => continue,
            };
            operations.push((operation, &change.alias, exists));
        }
        let is_parallel = self.is_parallel(object);
        let mut order = Vec::new();
        for group in operations.chunk_by(|a, b| (a.0, a.2) == (b.0, b.2)) {
            let in_any_order = kind_of(object) == "sts" && (is_parallel || !group[0].2);
            let mut group: Vec<_> = group.iter().map(|row| (row.0, starred(row.1))).collect();
            if in_any_order {
                group.sort();
            }
            order.extend(group.into_iter().map(|row| json!([row.0, row.1])));
        }
        order
    }

    fn is_parallel(&self, object: &str) -> bool {
        let name = object.trim_start_matches("sts:").split('~').next();
        let mut manifests =
            rows(&self.scenario["actions"]).iter().flat_map(|action| rows(&action["do"]["create"]));
        manifests.any(|manifest| {
            manifest["kind"] == "StatefulSet"
                && manifest["metadata"]["name"].as_str() == name
                && manifest["spec"]["podManagementPolicy"] == "Parallel"
        })
    }

    fn pod_order_per_node(&self, object: &str) -> Value {
        let mut nodes = BTreeMap::<String, Vec<Value>>::new();
        for row in self.pod_order(object) {
            let pod = row[1].as_str().and_then(|pod| pod.split_once('@')).map_or("", |entry| entry.1);
            nodes.entry(pod.split('~').next().unwrap_or("").to_string()).or_default().push(row);
        }
        json!(nodes)
    }

    fn victim_attributes(&self, object: &str) -> Value {
        let victims = self.changes.iter().filter(|change| change.kind() == "pod").filter_map(|change| {
            let before = change.before.as_ref()?;
            let is_victim = change.starts_terminating() && owner(&change.alias, before) == object;
            let cost = field(Some(before), "pod-deletion-cost");
            is_victim.then(|| json!([field(Some(before), "phase"), is_ready(before), cost]))
        });
        let mut victims: Vec<Value> = victims.collect();
        victims.sort_by_key(Value::to_string);
        Value::Array(victims)
    }

    /// Times of creation and end per pod of a Job, within the recorded tolerance.
    fn shows_job_pods(&self, object: &str, fact: &Value) -> bool {
        let mut pods = BTreeMap::<&str, (f64, Option<f64>, Value)>::new();
        for change in self.changes.iter().filter(|change| change.kind() == "pod") {
            let Some(after) = &change.after else { continue };
            if change.before.is_none() && owner(&change.alias, after) == object {
                pods.insert(&change.alias, (change.t, None, Value::Null));
            }
            if let Some(pod) = pods.get_mut(change.alias.as_str())
                && is_terminal(after)
                && pod.1.is_none()
            {
                (pod.1, pod.2) = (Some(change.t), field(Some(after), "phase").clone());
            }
        }
        let tolerance = fact["tolerance_s"].as_f64().unwrap_or(0.0) + 1e-6;
        let rounded = |t: f64| (t * 10.0).round() / 10.0;
        let near = |a: &Value, b: Option<f64>| match (a.as_f64(), b) {
            (Some(a), Some(b)) => (a - rounded(b)).abs() <= tolerance,
            (a, b) => a.is_none() && b.is_none(),
        };
        let mut left: Vec<_> = pods.into_values().collect();
        let pairs = rows(&fact["value"]).iter().all(|row| {
            let fits = |pod: &(f64, Option<f64>, Value)| {
                near(&row[0], Some(pod.0)) && near(&row[1], pod.1) && row[2] == pod.2
            };
            left.iter().position(fits).map(|found| left.remove(found)).is_some()
        });
        pairs && left.is_empty()
    }
}

/// An Event of a controller to compare: object, type, reason and message.
fn event_row(row: &Value) -> Option<String> {
    let object = row[0].as_str()?;
    if !matches!(kind_of(object), "rs" | "deploy" | "sts" | "ds" | "job") {
        return None;
    }
    let message = row[3].as_str()?;
    let message = starred_text(message.strip_prefix(COMBINED).unwrap_or(message));
    Some(json!([starred(object), row[1], row[2], message]).to_string())
}

/// The controllers' own objects, without empty fields and times.
fn without_blanks(objects: &Value) -> Value {
    let is_blank = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let mut objects = objects.as_object().cloned().unwrap_or_default();
    objects.retain(|alias, _| !matches!(kind_of(alias), "pod" | "node" | "pv" | "pvc"));
    for state in objects.values_mut().filter_map(Value::as_object_mut) {
        state.retain(|name, value| {
            !is_blank(value) && !matches!(name.as_str(), "startTime" | "completionTime")
        });
    }
    Value::Object(objects)
}
