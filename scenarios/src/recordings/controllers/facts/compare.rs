//! When two values of a fact are equal.

use serde_json::{Map, Value};

use super::run::rows;

/// The facts whose rows have times, with the columns that are times.
const TIME_COLUMNS: [(&str, &[usize]); 6] = [
    ("jobPods", &[0, 1]),
    ("jobs", &[0, 2]),
    ("taints", &[1]),
    ("nodeConditions", &[5]),
    ("deletions", &[2]),
    ("desiredReplicas", &[0]),
];

/// How the number of nodes is written where it is no fact, and what follows it.
const ANY_NODES: &str = "/N nodes are available";
const NODES: &str = " nodes are available";

/// What an equal time may differ by besides its tolerance: floating point.
const EPSILON: f64 = 1e-6;

/// Whether a run shows a recorded fact of a kind. `sometimes` are Events that are seen in some runs
/// only, each with the number of the runs before it.
pub(in super::super) fn is_equal(kind: &str, fact: &Value, found: &Value, sometimes: &[Value]) -> bool {
    let recorded = &fact["value"];
    match kind {
        "events" => events_are_equal(recorded, &with_any_nodes(found, recorded, sometimes), sometimes),
        "eventCounts" => same(recorded, &with_any_nodes(found, recorded, sometimes)),
        "finalObjects" => same(&without_blanks(recorded), &without_blanks(found)),
        _ => match TIME_COLUMNS.iter().find(|columns| columns.0 == kind) {
            Some((_, columns)) => {
                rows_pair_up(recorded, found, columns, fact["tolerance_s"].as_f64().unwrap_or(0.0))
            }
            None => same(recorded, found),
        },
    }
}

/// Whether two values are equal; numbers by their value, however they are written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn events_are_equal(recorded: &Value, found: &Value, sometimes: &[Value]) -> bool {
    let (recorded, found) = (rows(recorded), rows(found));
    let allowed = |row: &Value| sometimes.iter().any(|other| rows(other).get(1..) == Some(rows(row)));
    recorded.iter().all(|row| found.contains(row))
        && found.iter().all(|row| recorded.contains(row) || allowed(row))
}

/// Where the recording leaves the number of nodes open, the run's is no fact either.
fn with_any_nodes(found: &Value, recorded: &Value, sometimes: &[Value]) -> Value {
    let is_open = |value: &Value| value.to_string().contains(ANY_NODES);
    if is_open(recorded) || sometimes.iter().any(is_open) { open(found) } else { found.clone() }
}

fn open(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(open_text(text)),
        Value::Array(values) => values.iter().map(open).collect(),
        value => value.clone(),
    }
}

fn open_text(text: &str) -> String {
    let mut parts = text.split(NODES);
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let digits = out.bytes().rev().take_while(u8::is_ascii_digit).count();
        let start = out.len() - digits;
        if digits > 0 && out[..start].ends_with('/') {
            out.replace_range(start.., "N");
        }
        out.push_str(NODES);
        out.push_str(part);
    }
    out
}

fn without_blanks(objects: &Value) -> Value {
    let is_blank = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let filled = |state: &Value| {
        let fields = state.as_object().into_iter().flatten().filter(|(_, value)| !is_blank(value));
        Value::Object(fields.map(|(field, value)| (field.clone(), value.clone())).collect::<Map<_, _>>())
    };
    let objects = objects.as_object().into_iter().flatten();
    Value::Object(objects.map(|(alias, state)| (alias.clone(), filled(state))).collect())
}

/// Whether each recorded row has a row of its own: times within the tolerance, all else equal.
fn rows_pair_up(recorded: &Value, found: &Value, columns: &[usize], tolerance: f64) -> bool {
    let close = |column: usize, a: &Value, b: &Value| {
        let near = match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => columns.contains(&column) && (a - b).abs() <= tolerance + EPSILON,
            _ => false,
        };
        near || same(a, b)
    };
    let mut left: Vec<&[Value]> = rows(found).iter().map(rows).collect();
    for row in rows(recorded).iter().map(rows) {
        let partner = left.iter().position(|other| {
            other.len() == row.len()
                && row.iter().zip(*other).enumerate().all(|(column, (a, b))| close(column, a, b))
        });
        let Some(partner) = partner else { return false };
        left.remove(partner);
    }
    left.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_compared_by_value() {
        assert!(same(&json!([9.0, {"a": 1}]), &json!([9, {"a": 1.0}])));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": null})));
    }

    #[test]
    fn numbers_of_nodes_are_left_open() {
        assert_eq!(open_text("0/12 nodes are available: x: 0/3 nodes are available"), {
            "0/N nodes are available: x: 0/N nodes are available"
        });
        assert_eq!(open_text("12 nodes are available"), "12 nodes are available");
    }

    #[test]
    fn rows_pair_up_in_any_order_and_once() {
        let recorded = json!([["a", 1.0], ["a", 5.0]]);
        assert!(rows_pair_up(&recorded, &json!([["a", 5.4], ["a", 1.0]]), &[1], 0.5));
        assert!(!rows_pair_up(&recorded, &json!([["a", 1.0], ["a", 1.1]]), &[1], 0.5));
        assert!(!rows_pair_up(&recorded, &json!([["a", 1.0], ["a", 5.0], ["a", 5.0]]), &[1], 0.5));
    }
}
