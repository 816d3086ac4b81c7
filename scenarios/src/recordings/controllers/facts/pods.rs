//! Facts about the pods of one object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::run::{
    Run, State, field, is_deleting, is_ready, is_terminal, kind_of, name_of, owner, rounded, rows, seconds,
    starred, text,
};

/// The most pods and the fewest ready ones from the first action on that is no creation: of the
/// pods of an object or of its ReplicaSets.
pub(super) fn envelope(run: &Run<'_>, object: &str) -> Value {
    let begun = run.actions().find(|(_, what)| what.get("create").is_none());
    let start = begun.and_then(|(action, _)| action["at"].as_f64()).unwrap_or(f64::INFINITY);
    let (mut set_owners, mut pods) = (BTreeMap::new(), BTreeMap::<&str, &State>::new());
    let mut extremes: Option<(usize, usize, usize)> = None;
    for change in &run.changes {
        match (change.kind(), &change.after) {
            ("rs", Some(set)) => {
                set_owners.insert(change.alias.as_str(), owner(&change.alias, set));
            }
            ("pod", Some(pod)) if !is_terminal(pod) => {
                pods.insert(&change.alias, pod);
            }
            ("pod", _) => {
                pods.remove(change.alias.as_str());
            }
            _ => {}
        }
        if change.t < start {
            continue;
        }
        let (mut staying, mut all, mut ready) = (0, 0, 0);
        for (alias, pod) in &pods {
            let owner = owner(alias, pod);
            if owner != object && set_owners.get(owner) != Some(&object) {
                continue;
            }
            all += 1;
            staying += usize::from(!is_deleting(pod));
            ready += usize::from(!is_deleting(pod) && is_ready(pod));
        }
        let (most, most_of_all, fewest) = extremes.unwrap_or((0, 0, usize::MAX));
        extremes = Some((most.max(staying), most_of_all.max(all), fewest.min(ready)));
    }
    extremes.map_or(
        Value::Null,
        |(most, all, ready)| json!({"maxPods": most, "maxPodsInclTerminating": all, "minReady": ready}),
    )
}

/// What happened to the pods of an object: operation, pod, and whether the object existed then.
fn pod_operations<'a>(run: &'a Run<'_>, object: &str) -> Vec<(&'static str, &'a str, bool)> {
    let mut operations = Vec::new();
    let mut exists = true;
    for change in &run.changes {
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
        operations.push((operation, change.alias.as_str(), exists));
    }
    operations
}

/// Whether an object is a StatefulSet that does not wait for its pods.
fn is_parallel(run: &Run<'_>, object: &str) -> bool {
    let name = name_of(object);
    let name = name.rsplit_once('/').map_or(name, |parts| parts.1);
    let name = name.split('~').next().unwrap_or(name);
    let mut manifests = run.actions().flat_map(|(_, what)| rows(&what["create"]));
    manifests.any(|manifest| {
        manifest["kind"] == "StatefulSet"
            && manifest["metadata"]["name"] == name
            && manifest["spec"]["podManagementPolicy"] == "Parallel"
    })
}

/// The order of operations. Where it is chance (sets that do not wait, or that are gone), rows of
/// one operation are sorted.
fn ordered(run: &Run<'_>, object: &str) -> Vec<(&'static str, String)> {
    let is_set = kind_of(object) == "sts";
    let is_parallel = is_set && is_parallel(run, object);
    let mut order = Vec::new();
    for group in pod_operations(run, object).chunk_by(|a, b| (a.0, a.2) == (b.0, b.2)) {
        let mut rows: Vec<(&str, String)> = group.iter().map(|row| (row.0, starred(row.1))).collect();
        if is_parallel || is_set && !group[0].2 {
            rows.sort();
        }
        order.extend(rows);
    }
    order
}

/// The order of operations on the pods of an object.
pub(super) fn pod_order(run: &Run<'_>, object: &str) -> Value {
    json!(ordered(run, object))
}

/// The same by node, for a DaemonSet.
pub(super) fn pod_order_per_node(run: &Run<'_>, object: &str) -> Value {
    let mut nodes = BTreeMap::<String, Vec<Value>>::new();
    for (operation, pod) in ordered(run, object) {
        let node = pod.split('@').nth(1).unwrap_or("");
        let node = node.split('~').next().unwrap_or(node).to_owned();
        nodes.entry(node).or_default().push(json!([operation, pod]));
    }
    json!(nodes)
}

/// The pods of an object that began to go away, as they were just before.
fn victim_rows(run: &Run<'_>, object: &str) -> Vec<[Value; 4]> {
    let mut out = Vec::new();
    for change in run.of("pod").filter(|change| change.starts_terminating()) {
        if let Some(before) = change.before.as_ref().filter(|before| owner(&change.alias, before) == object) {
            let cost = field(before, "pod-deletion-cost");
            out.push([json!(change.alias), field(before, "phase"), json!(is_ready(before)), cost]);
        }
    }
    out
}

/// The pods of an object that began to go away.
pub(super) fn victims(run: &Run<'_>, object: &str) -> Value {
    json!(victim_rows(run, object))
}

/// The same without their names, sorted.
pub(super) fn victim_attributes(run: &Run<'_>, object: &str) -> Value {
    let rows = victim_rows(run, object);
    let mut rows: Vec<Value> = rows.iter().map(|row| json!(row[1..])).collect();
    rows.sort_by_key(Value::to_string);
    Value::Array(rows)
}

/// When each pod of an object was created and ended, and how.
fn job_pod_rows(run: &Run<'_>, object: &str) -> Vec<(f64, Option<f64>, Value)> {
    let mut pods = BTreeMap::<&str, (f64, Option<f64>, Value)>::new();
    for change in run.of("pod") {
        let Some(pod) = &change.after else { continue };
        if change.before.is_none() && owner(&change.alias, pod) == object {
            pods.insert(&change.alias, (rounded(change.t), None, Value::Null));
        }
        if let Some(row) = pods.get_mut(change.alias.as_str())
            && row.1.is_none()
            && is_terminal(pod)
        {
            (row.1, row.2) = (Some(rounded(change.t)), json!(text(&field(pod, "phase"))));
        }
    }
    let mut rows: Vec<_> = pods.into_values().collect();
    let end = |row: &(f64, Option<f64>, Value)| (row.1.is_none(), row.1.unwrap_or(0.0));
    rows.sort_by(|a, b| {
        let (a_end, b_end) = (end(a), end(b));
        a.0.total_cmp(&b.0).then(a_end.0.cmp(&b_end.0)).then(a_end.1.total_cmp(&b_end.1))
    });
    rows
}

/// The pods of a Job with their times.
pub(super) fn job_pods(run: &Run<'_>, object: &str) -> Value {
    let rows = job_pod_rows(run, object).into_iter();
    rows.map(|(created, ended, phase)| json!([seconds(created), ended, phase])).collect()
}

/// How many pods a Job had.
pub(super) fn pod_count(run: &Run<'_>, object: &str) -> Value {
    json!(job_pod_rows(run, object).len())
}
