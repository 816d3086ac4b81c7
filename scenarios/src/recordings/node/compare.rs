//! When a fact of a run is the recorded one.

use serde_json::Value;

use super::facts::{compact, derive, kind_of, same, timed_columns};
use crate::recordings::tally::{Comparison, Difference, Fact};

/// How far a time may lie outside of its bounds: what rounding leaves.
const TOLERANCE: f64 = 1e-6;

/// Compares all stable facts of a scenario with those of a trace.
pub(super) fn compare(scenario: &Value, trace: &[Value], comparison: &mut Comparison) {
    let found = derive(scenario, trace);
    for (name, fact) in scenario["facts"].as_object().into_iter().flatten() {
        if fact["stable"] != true {
            continue;
        }
        let Some(kind) = kind_of(name) else { continue };
        let got = found.get(name).unwrap_or(&Value::Null);
        let equal = is_equal(kind, fact, got);
        comparison.facts.entry(Fact::Node(kind)).or_default().add(equal);
        if !equal {
            comparison.differences.push(Difference {
                subject: name.split_once(' ').map_or("actions", |(_, pod)| pod).to_owned(),
                fact: Fact::Node(kind),
                at: kind.to_owned(),
                found: if got.is_null() { "absent".to_owned() } else { got.to_string() },
                recorded: fact["value"].to_string(),
            });
        }
    }
}

/// Whether what was found is what was recorded: equal, or with times between the recorded extremes.
/// Of a fact with `prefix` only the beginning is recorded.
fn is_equal(kind: &str, fact: &Value, found: &Value) -> bool {
    let value = &fact["value"];
    let cut = (fact["prefix"] == true).then(|| beginning(value, found));
    let found = cut.as_ref().unwrap_or(found);
    let columns = timed_columns(kind);
    if columns.is_empty() {
        return same(value, found);
    }
    if value.is_object() != found.is_object() || value.is_array() != found.is_array() {
        return false;
    }
    let (found, recorded) = (split_times(columns, found), split_times(columns, value));
    let is_within = |row: usize, times: &[Value]| {
        let bound = |key: &str, column: usize| &fact[key][row][column];
        times.iter().enumerate().all(|(column, time)| {
            match (bound("low", column).as_f64(), bound("high", column).as_f64(), time.as_f64()) {
                (Some(low), Some(high), Some(time)) => low - TOLERANCE <= time && time <= high + TOLERANCE,
                (None, None, None) => true,
                _ => false,
            }
        })
    };
    found.len() == recorded.len()
        && found.iter().zip(&recorded).all(|(found, recorded)| same(&found.0, &recorded.0))
        && found.iter().enumerate().all(|(row, found)| is_within(row, &found.1))
}

/// What was found, cut to the length of what was recorded: each list of a mapping.
pub(super) fn beginning(value: &Value, found: &Value) -> Value {
    let cut = |value: &Value, found: &Value| match (value, found) {
        (Value::Array(value), Value::Array(found)) => found.iter().take(value.len()).cloned().collect(),
        (_, found) => found.clone(),
    };
    match (value, found) {
        (Value::Object(value), Value::Object(found)) => Value::Object(
            value.iter().filter_map(|(key, rows)| Some((key.clone(), cut(rows, found.get(key)?)))).collect(),
        ),
        (value, found) => cut(value, found),
    }
}

/// Rows without their seconds, and the seconds; in the order of the former, equal ones as they
/// came. A mapping of lists counts as one list with the mapping's key in front.
fn split_times(columns: &[usize], value: &Value) -> Vec<(Value, Vec<Value>)> {
    let mut rows: Vec<(&str, &Value)> = Vec::new();
    match value {
        Value::Object(lists) => {
            for (name, list) in lists {
                rows.extend(list.as_array().into_iter().flatten().map(|row| (name.as_str(), row)));
            }
        }
        list => rows.extend(list.as_array().into_iter().flatten().map(|row| ("", row))),
    }
    let mut split: Vec<(Value, Vec<Value>)> = rows
        .into_iter()
        .map(|(name, row)| {
            let cells = row.as_array().map_or(&[][..], Vec::as_slice);
            let kept = cells.iter().enumerate().filter(|(index, _)| !columns.contains(index));
            let key = std::iter::once(Value::from(name)).chain(kept.map(|(_, cell)| cell.clone())).collect();
            (key, columns.iter().map(|&column| cells.get(column).cloned().unwrap_or_default()).collect())
        })
        .collect();
    split.sort_by_cached_key(|(key, _)| compact(key));
    split
}
