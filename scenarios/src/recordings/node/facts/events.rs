//! Facts about events, and about the answers that the actions got.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::run::Run;
use super::values::elements;

type Text<'a> = (&'a str, &'a str, &'a str, &'a str);

fn text<'a>(entry: &'a Value) -> Text<'a> {
    let field = |name: &str| entry[name].as_str().unwrap_or("");
    (field("type"), field("reason"), field("message"), field("field"))
}

/// [action, code, reason, message] of each request that an action made.
pub(super) fn answers(run: &Run<'_>) -> Value {
    let actions = run.trace.iter().filter(|entry| entry["v"] == "action");
    let rows = actions.flat_map(|entry| {
        let answers = elements(&entry["answers"]).iter();
        answers.map(|answer| json!([entry["n"], answer["code"], answer["reason"], answer["message"]]))
    });
    rows.collect()
}

/// The distinct [type, reason, message, field], sorted.
pub(super) fn events(run: &Run<'_>, pod: &str) -> Value {
    let texts: BTreeSet<Text<'_>> = run.events(pod).iter().map(|entry| text(entry)).collect();
    json!(texts)
}

/// [reason, field] in order of first appearance.
pub(super) fn event_order(run: &Run<'_>, pod: &str) -> Value {
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for entry in run.events(pod) {
        let (_, reason, _, field) = text(entry);
        if !rows.contains(&(reason, field)) {
            rows.push((reason, field));
        }
    }
    json!(rows)
}

/// [type, reason, message, field, count] sorted: the highest counts, summed over event objects of
/// equal text.
pub(super) fn event_counts(run: &Run<'_>, pod: &str) -> Value {
    let mut best: BTreeMap<Text<'_>, BTreeMap<u64, u64>> = BTreeMap::new();
    for entry in run.events(pod) {
        let object = entry["object"].as_u64().unwrap_or(0);
        best.entry(text(entry)).or_default().insert(object, entry["count"].as_u64().unwrap_or(1));
    }
    let rows = best.into_iter().map(|((kind, reason, message, field), counts)| {
        json!([kind, reason, message, field, counts.values().sum::<u64>()])
    });
    rows.collect()
}
