//! Facts about Events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::run::{Run, starred, starred_text, text};

/// Object, type, reason and message.
type EventRow = [String; 4];

/// One row for each entry, also if it repeats an Event. For a numbered object the message of
/// Scheduled ends in `{node}`: which node, is chance.
fn event_rows(run: &Run<'_>) -> Vec<EventRow> {
    let row = |event: &&Value| {
        let object = text(&event["o"]);
        let reason = text(&event["reason"]);
        let mut message = starred_text(text(&event["message"]));
        if object.contains('#') && reason == "Scheduled" {
            message = without_node(message);
        }
        [starred(object), text(&event["type"]).to_owned(), reason.to_owned(), message]
    };
    run.events.iter().map(row).collect()
}

fn without_node(message: String) -> String {
    match message.rsplit_once(" to ") {
        Some((start, node)) if !node.is_empty() && !node.contains(char::is_whitespace) => {
            format!("{start} to {{node}}")
        }
        _ => message,
    }
}

/// The distinct rows, sorted.
pub(super) fn events(run: &Run<'_>) -> Value {
    let mut rows = event_rows(run);
    rows.sort();
    rows.dedup();
    json!(rows)
}

/// How often each row occurs.
pub(super) fn event_counts(run: &Run<'_>) -> Value {
    let mut counts = BTreeMap::<EventRow, u32>::new();
    for row in event_rows(run) {
        *counts.entry(row).or_default() += 1;
    }
    let rows = counts
        .into_iter()
        .map(|([object, kind, reason, message], count)| json!([object, kind, reason, message, count]));
    rows.collect()
}
