//! Patches of manifests: strategic merge, JSON merge, JSON.

use compact_str::CompactString;
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::status_detail::OtherCondition;
use seatrial_api::symbol::Symbol;
use serde_json::{Map, Value, json};

/// How a patch is written.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum PatchType {
    /// Strategic merge: lists of named things are merged by name.
    Strategic,
    /// JSON merge: lists are replaced.
    Merge,
    /// A list of operations.
    Json,
}

/// Fields that the server has filled in and that patches may name.
pub(super) fn defaults(manifest: &mut Value, pod: &Pod) {
    if manifest["spec"]["tolerations"].is_null() {
        manifest["spec"]["tolerations"] = json!([]);
    }
    let finalizers: Vec<&str> = pod.meta.finalizers().iter().map(|name| name.as_str()).collect();
    if !finalizers.is_empty() {
        manifest["metadata"]["finalizers"] = json!(finalizers);
    }
}

/// Applies a patch.
pub(super) fn patch(target: &mut Value, body: &Value, kind: PatchType) {
    match kind {
        PatchType::Json => {
            for operation in body.as_array().into_iter().flatten() {
                operate(target, operation);
            }
        }
        kind => merge(target, body, kind),
    }
}

fn merge(target: &mut Value, body: &Value, kind: PatchType) {
    match (target, body) {
        (target, Value::Object(changes)) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            for (key, change) in changes {
                if change.is_null() {
                    target.as_object_mut().map(|fields| fields.remove(key));
                } else {
                    merge(&mut target[key], change, kind);
                }
            }
        }
        (Value::Array(list), Value::Array(changes)) if kind == PatchType::Strategic && are_named(changes) => {
            merge_named(list, changes);
        }
        (target, body) => *target = body.clone(),
    }
}

fn are_named(list: &[Value]) -> bool {
    list.iter().all(|element| element["name"].is_string())
}

fn merge_named(list: &mut Vec<Value>, changes: &[Value]) {
    for change in changes {
        match list.iter_mut().find(|element| element["name"] == change["name"]) {
            Some(_) if change["$patch"] == "delete" => {
                list.retain(|element| element["name"] != change["name"]);
            }
            Some(element) => merge(element, change, PatchType::Strategic),
            None => list.push(change.clone()),
        }
    }
}

/// One operation of a JSON patch.
fn operate(target: &mut Value, operation: &Value) {
    let path = operation["path"].as_str().unwrap_or("");
    let Some((parent, key)) = path.rsplit_once('/') else { return };
    let Some(parent) = target.pointer_mut(parent) else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    let (value, remove) = (operation["value"].clone(), operation["op"] == "remove");
    match parent {
        Value::Array(list) => {
            let index = key.parse().unwrap_or(list.len());
            match (remove, operation["op"] == "replace") {
                (true, _) if index < list.len() => drop(list.remove(index)),
                (false, true) if index < list.len() => list[index] = value,
                (false, false) => list.insert(index.min(list.len()), value),
                _ => {}
            }
        }
        Value::Object(fields) if remove => drop(fields.remove(&key)),
        Value::Object(fields) => drop(fields.insert(key, value)),
        _ => {}
    }
}

/// A condition in a patch of a status.
pub(super) fn condition(condition: &Value) -> OtherCondition {
    let text = |key: &str| condition[key].as_str().unwrap_or("");
    OtherCondition {
        kind: Symbol::new(text("type")),
        status: match text("status") {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        },
        reason: Symbol::new(text("reason")),
        message: CompactString::from(text("message")),
    }
}
