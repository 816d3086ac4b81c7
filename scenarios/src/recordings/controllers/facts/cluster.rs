//! Facts about requests, deletions, bindings and nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::run::{Change, Run, field, is_deleting, name_of, rows, seconds, starred, starred_text, text};

/// Actions that ask the API server nothing.
const NO_REQUEST: [&str; 4] = ["kubelet", "metrics", "node_stop", "node_start"];
/// What actions can do besides. The first field of an action says what it does; its others do not
/// have these names.
const OPERATIONS: [&str; 10] =
    ["create", "patch", "scale", "delete", "evict", "drain", "kubectl", "node_add", "node_delete", "taint"];
const CORDON: &str = "cordon";

/// What an action does.
fn operation(action: &Value) -> Option<&'static str> {
    let known = OPERATIONS.iter().chain(&NO_REQUEST).chain([&CORDON]);
    known.copied().find(|operation| action.get(operation).is_some())
}

/// A row for each request: when, what, about what, and what was answered.
pub(super) fn answers(run: &Run<'_>) -> Value {
    let mut out = Vec::new();
    for ((action, what), answer) in run.actions().zip(run.answers) {
        let Some(operation) = operation(what).filter(|operation| !NO_REQUEST.contains(operation)) else {
            continue;
        };
        let pairs: Vec<(String, &Value)> = match operation {
            "create" => {
                let name = |manifest: &Value| {
                    format!("{}/{}", text(&manifest["kind"]), text(&manifest["metadata"]["name"]))
                };
                let manifests = rows(&what["create"]).iter();
                manifests.enumerate().map(|(index, manifest)| (name(manifest), &answer[index])).collect()
            }
            "drain" => rows(answer).iter().map(|one| (starred(text(&one["pod"])), one)).collect(),
            _ => vec![(text(&what[operation]).to_owned(), answer)],
        };
        for (target, one) in pairs {
            let status = &one["status"];
            let message = match status["message"].as_str().filter(|message| !message.is_empty()) {
                Some(message) => json!(starred_text(message)),
                None => one["output"].clone(),
            };
            let row =
                [&action["at"], &json!(operation), &json!(target), &one["code"], &status["reason"], &message];
            let length = row.iter().rposition(|value| !value.is_null()).map_or(0, |last| last + 1);
            out.push(Value::Array(row[..length].iter().map(|value| (*value).clone()).collect()));
        }
    }
    Value::Array(out)
}

/// Who began to go away and who went, in order, each once.
pub(super) fn delete_order(run: &Run<'_>) -> Value {
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for change in &run.changes {
        let what = if change.after.is_none() {
            "deleted"
        } else if change.starts_terminating() {
            "deleting"
        } else {
            continue;
        };
        let row = (what, starred(&change.alias));
        if seen.insert(row.clone()) {
            order.push(row);
        }
    }
    json!(order)
}

/// Who went, each once.
pub(super) fn deleted_objects(run: &Run<'_>) -> Value {
    let gone = run.changes.iter().filter(|change| change.after.is_none());
    let gone: BTreeSet<String> = gone.map(|change| starred(&change.alias)).collect();
    json!(gone)
}

/// The node of each pod with a name of its own that was ever bound.
pub(super) fn bindings(run: &Run<'_>) -> Value {
    let mut nodes = Map::new();
    for change in run.of("pod").filter(|change| !change.alias.contains('#')) {
        if let Some(node) = change.after.as_ref().and_then(|pod| pod.get("node")) {
            nodes.insert(change.alias.clone(), node.clone());
        }
    }
    Value::Object(nodes)
}

/// The pods that ever began to go away or went.
pub(super) fn deleted_or_deleting(run: &Run<'_>) -> Value {
    let gone = run.of("pod").filter(|change| change.after.as_ref().is_none_or(is_deleting));
    let gone: BTreeSet<&str> = gone.map(|change| change.alias.as_str()).collect();
    let mut gone: Vec<String> = gone.into_iter().map(starred).collect();
    gone.sort();
    json!(gone)
}

/// The taints that a node gets (`+`) or loses (`-`), with the time and the node.
fn taint_changes<'a>(run: &'a Run<'_>) -> Vec<(String, f64, &'a str)> {
    let mut out = Vec::new();
    for change in run.of("node") {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { continue };
        let (old, new) = (field(before, "taints"), field(after, "taints"));
        let (old, new) = (rows(&old), rows(&new));
        let added = new.iter().filter(|taint| !old.contains(taint)).map(|taint| ('+', taint));
        let removed = old.iter().filter(|taint| !new.contains(taint)).map(|taint| ('-', taint));
        for (sign, taint) in added.chain(removed) {
            out.push((format!("{sign}{}", text(taint)), change.t, name_of(&change.alias)));
        }
    }
    out
}

/// The changes of taints with their times.
pub(super) fn taints(run: &Run<'_>) -> Value {
    let mut changes: Vec<(String, f64)> =
        taint_changes(run).into_iter().map(|(taint, t, _)| (taint, t)).collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    changes.into_iter().map(|(taint, t)| json!([taint, seconds(t)])).collect()
}

/// Which nodes had each change of a taint.
pub(super) fn tainted_nodes(run: &Run<'_>) -> Value {
    let mut nodes = BTreeMap::<String, BTreeSet<&str>>::new();
    for (taint, _, node) in taint_changes(run) {
        nodes.entry(taint).or_default().insert(node);
    }
    json!(nodes)
}

/// The changes of nodes' conditions. A message that is unknown since the start did not change.
pub(super) fn node_conditions(run: &Run<'_>) -> Value {
    let mut out = Vec::new();
    for change in run.of("node") {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { continue };
        let (old, new) = (field(before, "conditions"), field(after, "conditions"));
        for (name, new) in new.as_object().into_iter().flatten() {
            let old = &old[name];
            let same_message = old[2].is_null() || old[2] == new[2];
            if old[0] != new[0] || old[1] != new[1] || !same_message {
                let node = name_of(&change.alias);
                out.push(json!([node, name, new[0], new[1], new[2], seconds(change.t)]));
            }
        }
    }
    out.sort_by_key(Value::to_string);
    Value::Array(out)
}

/// When and on which node pods began to go away.
pub(super) fn deletions(run: &Run<'_>) -> Value {
    let row = |change: &Change| {
        let node = change.after.as_ref().map_or(Value::Null, |pod| field(pod, "node"));
        json!([starred(&change.alias), node, seconds(change.t)])
    };
    let mut out: Vec<Value> = run.of("pod").filter(|change| change.starts_terminating()).map(row).collect();
    out.sort_by_key(Value::to_string);
    Value::Array(out)
}
