//! The answer for machines.

use seatrial_scenarios::recordings::{Count, Row, Tally};
use serde_json::{Map, Value, json};

use super::Compared;

/// Everything: the counts of every kind and feature, and all differences.
pub(super) fn answer(compared: &Compared<'_>) -> Value {
    let kinds: Map<String, Value> =
        compared.kinds.iter().map(|(kind, tally)| (kind.to_string(), self::tally(tally))).collect();
    let differences: Vec<Value> = compared
        .failing
        .iter()
        .flat_map(|failing| {
            failing.comparison.differences.iter().map(|difference| {
                json!({
                    "file": &*failing.line.file,
                    "line": failing.line.number,
                    "id": failing.line.recording.id(),
                    "subject": difference.subject,
                    "fact": difference.fact.name(),
                    "at": difference.at,
                    "found": difference.found,
                    "recorded": difference.recorded,
                })
            })
        })
        .collect();
    json!({
        "passed": compared.passes(),
        "kinds": kinds,
        "not_compared": compared.not_compared,
        "differences": differences,
    })
}

fn tally(tally: &Tally) -> Value {
    let features: Map<String, Value> =
        tally.features.iter().map(|(feature, row)| (feature.clone(), self::row(row))).collect();
    let plugins: Map<String, Value> =
        tally.plugins.iter().map(|(plugin, &count)| (plugin.clone(), self::count(count))).collect();
    json!({"all": row(&tally.all), "features": features, "plugins": plugins})
}

fn row(row: &Row) -> Value {
    let mut out = Map::new();
    out.insert("cases".to_owned(), count(row.recordings));
    out.insert("pods".to_owned(), count(row.subjects));
    out.extend(row.facts.iter().map(|(fact, &facts)| (fact.name().to_owned(), count(facts))));
    Value::Object(out)
}

fn count(count: Count) -> Value {
    json!({"equal": count.equal, "total": count.total})
}
