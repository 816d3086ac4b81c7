//! Facts about the end of a run.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::run::{Run, is_deleting, is_ready, kind_of, owner, rows, starred, text};

/// Kinds that the final objects leave out.
const NOT_FINAL_KINDS: [&str; 6] = ["pod", "node", "eps", "ep", "cm", "limits"];
/// Fields that they leave out.
const NOT_FINAL_FIELDS: [&str; 7] = [
    "startTime",
    "completionTime",
    "scheduledTimestamp",
    "lastScheduleTime",
    "lastSuccessfulTime",
    "lastScaleTime",
    "currentMetrics",
];

/// By owner: how many pods are in which phase, ready or not, going away or not.
pub(super) fn final_pods(run: &Run<'_>) -> Value {
    let mut counts = BTreeMap::<&str, BTreeMap<String, u32>>::new();
    for (alias, pod) in run.last.iter().filter(|entry| kind_of(entry.0) == "pod") {
        let phase = pod.get("phase").map_or("None", text);
        let ready = if is_ready(pod) { "True" } else { "False" };
        let deleting = if is_deleting(pod) { ",deleting" } else { "" };
        let key = format!("{phase},ready={ready}{deleting}");
        *counts.entry(owner(alias, pod)).or_default().entry(key).or_default() += 1;
    }
    json!(counts)
}

/// By owner: its running pods counted by node, the most first.
pub(super) fn final_spread(run: &Run<'_>) -> Value {
    let mut nodes = BTreeMap::<&str, BTreeMap<&str, u32>>::new();
    for (alias, pod) in run.last.iter().filter(|entry| kind_of(entry.0) == "pod") {
        if pod.get("phase").is_some_and(|phase| phase == "Running") {
            let node = pod.get("node").map_or("", text);
            *nodes.entry(owner(alias, pod)).or_default().entry(node).or_default() += 1;
        }
    }
    let sorted = |counts: BTreeMap<&str, u32>| {
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        json!(counts)
    };
    nodes.into_iter().map(|(owner, counts)| (owner.to_owned(), sorted(counts))).collect()
}

/// The state of each object, without times.
pub(super) fn final_objects(run: &Run<'_>) -> Value {
    let mut objects = Map::new();
    for (alias, state) in &run.last {
        if NOT_FINAL_KINDS.contains(&kind_of(alias)) {
            continue;
        }
        let mut state = state.clone();
        state.retain(|field, _| !NOT_FINAL_FIELDS.contains(&field.as_str()));
        objects.insert(alias.clone(), Value::Object(state));
    }
    Value::Object(objects)
}

/// By Service: the number of endpoints in each of its slices, the fewest first.
pub(super) fn final_slices(run: &Run<'_>) -> Value {
    let mut sizes = BTreeMap::<&str, Vec<usize>>::new();
    for (alias, state) in run.last.iter().filter(|entry| kind_of(entry.0) == "eps") {
        let size = state.get("endpoints").map_or(0, |endpoints| rows(endpoints).len());
        sizes.entry(owner(alias, state)).or_default().push(size);
    }
    sizes.values_mut().for_each(|sizes| sizes.sort_unstable());
    json!(sizes)
}

/// All objects that exist, but nodes.
pub(super) fn remaining(run: &Run<'_>) -> Value {
    let objects = run.last.keys().filter(|alias| kind_of(alias) != "node");
    let mut objects: Vec<String> = objects.map(|alias| starred(alias)).collect();
    objects.sort();
    json!(objects)
}
