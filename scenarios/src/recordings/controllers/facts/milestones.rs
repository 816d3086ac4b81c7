//! Milestones: when objects appear, begin to go away, go, are bound, and reach a size, a phase or a
//! condition. Most facts say what happens in which order; these say when.

use std::collections::BTreeMap;

use serde_json::Value;

use super::run::{starred, text};

/// Seconds that two runs of the real thing may differ by: periodic passes begin at any phase.
const TOLERANCES: [(&str, f64); 4] = [("node", 11.0), ("hpa", 16.0), ("gc", 3.0), ("volume", 3.0)];
const TOLERANCE: f64 = 2.0;

/// The times at which objects of one name reached something.
pub(in super::super) struct Milestone {
    /// The object, starred, and what it reached.
    pub(in super::super) name: String,
    /// Whether it was reached as often as recorded, and each time near.
    pub(in super::super) near: bool,
    /// The recorded seconds.
    pub(in super::super) recorded: Vec<f64>,
    /// The seconds here.
    pub(in super::super) found: Vec<f64>,
}

/// Compares the milestones of a run with the recorded ones.
pub(in super::super) fn compare_milestones(
    area: &str,
    recorded: &[Value],
    found: &[Value],
) -> Vec<Milestone> {
    let tolerance = TOLERANCES.iter().find(|entry| entry.0 == area).map_or(TOLERANCE, |entry| entry.1);
    let found = milestones(found);
    let compared = milestones(recorded).into_iter().map(|(name, recorded)| {
        let found = found.get(&name).cloned().unwrap_or_default();
        let near = recorded.len() == found.len()
            && recorded.iter().zip(&found).all(|(a, b)| (a - b).abs() <= tolerance);
        Milestone { name, near, recorded, found }
    });
    compared.collect()
}

fn milestones(trace: &[Value]) -> BTreeMap<String, Vec<f64>> {
    let mut times = BTreeMap::<String, Vec<f64>>::new();
    let mut last = BTreeMap::<&str, &Value>::new();
    for entry in trace.iter().filter(|entry| entry["v"] != "event") {
        let (alias, fields, t) = (text(&entry["o"]), &entry["set"], entry["t"].as_f64().unwrap_or(0.0));
        let mut reached = Vec::new();
        if entry["v"] != "modified" {
            reached.push(text(&entry["v"]).to_owned());
        }
        if fields["deleting"] == true {
            reached.push("terminating".to_owned());
        }
        for field in ["spec.replicas", "phase"] {
            match &fields[field] {
                Value::Null => {}
                Value::String(text) => reached.push(format!("{field} {text}")),
                value => reached.push(format!("{field} {value}")),
            }
        }
        if !text(&fields["node"]).is_empty() {
            reached.push("bound".to_owned());
        }
        let before = last.get(alias).copied().unwrap_or(&Value::Null);
        let given = &fields["conditions"];
        let after = if given.as_object().is_some_and(|map| !map.is_empty()) { given } else { before };
        for (name, value) in after.as_object().into_iter().flatten() {
            if before[name] != *value {
                let reason = value[1].as_str().unwrap_or("None");
                reached.push(format!("{name} {} {reason}", text(&value[0])));
            }
        }
        last.insert(alias, after);
        for what in reached {
            times.entry(format!("{} {what}", starred(alias))).or_default().push(t);
        }
    }
    times
}
