//! Facts about when things happened.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::run::Run;
use super::states::{condition_map, field};
use super::values::{is_truthy, number, seconds};

/// [what, seconds]: added, deleted; each new phase; Initialized becoming True; each new status of
/// Ready and of ContainersReady, which count as False in the beginning.
pub(super) fn status_times(run: &Run<'_>, pod: &str) -> Value {
    let beginning = || -> BTreeMap<&str, String> {
        BTreeMap::from([("Ready", "False".to_owned()), ("ContainersReady", "False".to_owned())])
    };
    let (mut rows, mut last) = (Vec::new(), beginning());
    for change in run.changes(pod) {
        if change.what == "added" || change.what == "deleted" {
            rows.push(json!([change.what, seconds(change.t)]));
            last = beginning();
        }
        let Some(state) = change.after.as_ref().filter(|state| !state.is_empty()) else { continue };
        let conditions = condition_map(state);
        let status =
            |kind: &str| conditions.get(kind).map(|row| row[0].as_str().unwrap_or("None").to_owned());
        let mut now =
            BTreeMap::from([("phase", field(state, "phase").as_str().unwrap_or("None").to_owned())]);
        for kind in ["Ready", "ContainersReady"] {
            now.extend(status(kind).map(|status| (kind, status)));
        }
        now.extend(
            status("Initialized").filter(|status| status == "True").map(|status| ("Initialized", status)),
        );
        for (what, value) in now {
            if last.get(what) != Some(&value) {
                rows.push(json!([format!("{what} {value}"), seconds(change.t)]));
            }
            last.insert(what, value);
        }
    }
    Value::Array(rows)
}

/// ["terminating", seconds of the first state that is going away], ["deleted", seconds]
pub(super) fn deletion(run: &Run<'_>, pod: &str) -> Value {
    let leaves = |state: &Option<super::run::State>| {
        state.as_ref().is_some_and(|state| is_truthy(field(state, "deleting")))
    };
    let changes = run.changes(pod);
    let begun = changes.iter().filter(|change| leaves(&change.after) && !leaves(&change.before));
    let begun = begun.map(|change| json!(["terminating", seconds(change.t)]));
    let gone = changes.iter().filter(|change| change.what == "deleted");
    begun.chain(gone.map(|change| json!(["deleted", seconds(change.t)]))).collect()
}

/// [reason, field, seconds] of each event at its first appearance.
pub(super) fn event_times(run: &Run<'_>, pod: &str) -> Value {
    let mut rows: Vec<(&str, &str, Value)> = Vec::new();
    for entry in run.events(pod) {
        let reason = entry["reason"].as_str().unwrap_or("");
        let field = entry["field"].as_str().unwrap_or("");
        if !rows.iter().any(|row| (row.0, row.1) == (reason, field)) {
            rows.push((reason, field, seconds(number(entry, "t"))));
        }
    }
    json!(rows)
}
