//! What the facts are derived from: a scenario and a trace, taken apart by kind of entry and by pod.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::values::{elements, fields};

/// The fields of a pod.
pub(super) type State = Map<String, Value>;

/// A change of a pod in the API.
pub(super) struct Change {
    /// When, in seconds.
    pub t: f64,
    /// What: `added`, `modified` or `deleted`.
    pub what: String,
    /// The pod before it.
    pub before: Option<State>,
    /// The pod after it; none once it is gone.
    pub after: Option<State>,
}

/// A scenario and a run of it.
pub(in super::super) struct Run<'a> {
    /// All entries.
    pub(super) trace: &'a [Value],
    changes: BTreeMap<&'a str, Vec<Change>>,
    events: BTreeMap<&'a str, Vec<&'a Value>>,
    calls: BTreeMap<&'a str, Vec<Cow<'a, Value>>>,
    manifests: BTreeMap<String, &'a Value>,
}

impl<'a> Run<'a> {
    /// Takes a trace apart.
    pub(in super::super) fn new(scenario: &'a Value, trace: &'a [Value]) -> Run<'a> {
        let mut run = Run {
            trace,
            changes: BTreeMap::new(),
            events: BTreeMap::new(),
            calls: BTreeMap::new(),
            manifests: manifests(scenario),
        };
        let mut present: BTreeMap<&str, State> = BTreeMap::new();
        for entry in trace {
            let object = entry["o"].as_str().unwrap_or("");
            match entry["v"].as_str().unwrap_or("") {
                "action" => {}
                "event" => run.events.entry(object).or_default().push(entry),
                "cri" | "exit" => run.calls.entry(object).or_default().push(of_its_pod(entry)),
                what => {
                    let before = present.remove(object);
                    let after = (what != "deleted").then(|| after(what, before.as_ref(), entry));
                    present.extend(after.clone().map(|after| (object, after)));
                    let t = entry["t"].as_f64().unwrap_or(0.0);
                    run.changes.entry(object).or_default().push(Change {
                        t,
                        what: what.to_owned(),
                        before,
                        after,
                    });
                }
            }
        }
        run
    }

    /// Everything that an entry is about.
    pub(super) fn pods(&self) -> Vec<&'a str> {
        let mut pods: Vec<&str> =
            self.changes.keys().chain(self.events.keys()).chain(self.calls.keys()).copied().collect();
        pods.sort_unstable();
        pods.dedup();
        pods
    }

    /// The changes of a pod.
    pub(super) fn changes(&self, pod: &str) -> &[Change] {
        self.changes.get(pod).map_or(&[], Vec::as_slice)
    }

    /// The pod's state after each change.
    pub(super) fn states(&self, pod: &str) -> impl DoubleEndedIterator<Item = &State> {
        self.changes(pod).iter().filter_map(|change| change.after.as_ref())
    }

    /// The events about a pod.
    pub(super) fn events(&self, pod: &str) -> &[&'a Value] {
        self.events.get(pod).map_or(&[], Vec::as_slice)
    }

    /// The runtime's calls for a pod, and the ends of its containers.
    pub(super) fn calls(&self, pod: &str) -> impl Iterator<Item = &Value> {
        self.calls.get(pod).into_iter().flatten().map(|entry| &**entry)
    }

    /// The calls of this name.
    pub(super) fn calls_of<'b>(&'b self, pod: &str, call: &'b str) -> impl Iterator<Item = &'b Value> {
        self.calls(pod).filter(move |entry| entry["call"] == call)
    }

    /// The period of the probe of a container that runs a command with this first word, if there is
    /// one. `container` may carry the number of its pod.
    pub(super) fn probe_period(&self, pod: &str, container: &str, word: &str) -> Option<f64> {
        let spec = &self.manifests.get(pod)?["spec"];
        let name = container.split('@').next().unwrap_or(container);
        let all = elements(&spec["initContainers"]).iter().chain(elements(&spec["containers"]));
        let container = all.into_iter().find(|container| container["name"] == name)?;
        // If two probes run one command, the last one counts.
        ["livenessProbe", "readinessProbe", "startupProbe"].into_iter().find_map(|kind| {
            let probe = &container[kind];
            (probe["exec"]["command"][0] == word).then(|| probe["periodSeconds"].as_f64().unwrap_or(10.0))
        })
    }
}

/// The manifests by pod.
fn manifests(scenario: &Value) -> BTreeMap<String, &Value> {
    let mut manifests = BTreeMap::new();
    for action in elements(&scenario["actions"]) {
        let action = &action["do"];
        let mirror = if action["static"].is_null() { "" } else { "-{node}" };
        let created = elements(&action["create"]).iter().chain(action.get("static"));
        for manifest in created.filter(|manifest| manifest["kind"] == "Pod") {
            let name = manifest["metadata"]["name"].as_str().unwrap_or("");
            manifests.entry(format!("pod:{name}{mirror}")).or_insert(manifest);
        }
    }
    manifests
}

/// A runtime's entry; containers of a later pod of the same name are named by its number, too.
fn of_its_pod(entry: &Value) -> Cow<'_, Value> {
    let (Some(container), false) = (entry["c"].as_str(), entry["pod"].is_null()) else {
        return Cow::Borrowed(entry);
    };
    let mut entry = entry.clone();
    entry["c"] = Value::from(format!("{container}@{}", entry["pod"]));
    Cow::Owned(entry)
}

fn after(what: &str, before: Option<&State>, entry: &Value) -> State {
    let mut state = before.filter(|_| what == "modified").cloned().unwrap_or_default();
    for (field, value) in fields(&entry["set"]) {
        state.insert(field.clone(), value.clone());
    }
    state.retain(|_, value| !value.is_null());
    state
}
