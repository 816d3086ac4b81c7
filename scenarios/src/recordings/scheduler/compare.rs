//! Compares two decisions in the schema of the recordings, fact by fact.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::recordings::tally::{Comparison, Difference, Fact};

/// Compares what was decided about `pod` with what was recorded.
pub(super) fn compare(pod: &str, found: &Value, recorded: &Value, comparison: &mut Comparison) {
    let before = comparison.differences.len();
    let mut check = Check { pod, comparison };
    check.group(Fact::Outcome, "", &[], found, recorded, |key| !matches!(key, "attempts" | "message"));
    if is_there(found, "message") || is_there(recorded, "message") {
        check.group(Fact::Message, "", &["message"], found, recorded, |_| false);
    }
    let attempts = |decision: &Value| decision["attempts"].as_array().map_or(0, Vec::len);
    for index in 0..attempts(found).max(attempts(recorded)) {
        let at = format!("attempts[{index}].");
        check.attempt(&at, &found["attempts"][index], &recorded["attempts"][index]);
    }
    let equal = comparison.differences.len() == before;
    comparison.subjects.add(equal);
}

fn is_there(value: &Value, key: &str) -> bool {
    value.get(key).is_some()
}

struct Check<'a> {
    pod: &'a str,
    comparison: &'a mut Comparison,
}

const FEASIBLE: &[&str] = &["feasibleCount", "feasible", "unschedulablePlugins", "absentRejected"];
const TIES: &[&str] = &["topScore", "top", "chosen"];
const MESSAGES: &[&str] = &["fitError", "preFilterMsg", "postFilterCode"];
const VICTIMS: &[&str] = &["nominatedNode", "preemption"];

impl Check<'_> {
    fn attempt(&mut self, at: &str, found: &Value, recorded: &Value) {
        self.group(Fact::Feasible, at, FEASIBLE, found, recorded, |_| false);
        self.rejections(at, &found["rejected"], &recorded["rejected"]);
        self.scores(at, &found["scores"], &recorded["scores"]);
        for (fact, keys) in [(Fact::Ties, TIES), (Fact::Message, MESSAGES), (Fact::Victims, VICTIMS)] {
            if keys.iter().any(|key| is_there(found, key) || is_there(recorded, key)) {
                self.group(fact, at, keys, found, recorded, |_| false);
            }
        }
        // What a recording may say besides counts, too.
        let known = [FEASIBLE, TIES, MESSAGES, VICTIMS, &["rejected", "scores"]].concat();
        let unknown = |key: &str| !known.contains(&key);
        if keys(recorded).any(unknown) {
            self.group(Fact::Outcome, at, &[], found, recorded, unknown);
        }
    }

    /// Counts one fact, which is equal if the values of all `keys` are, and of all others that are
    /// `wanted`.
    fn group(
        &mut self,
        fact: Fact,
        at: &str,
        listed: &[&str],
        found: &Value,
        recorded: &Value,
        wanted: impl Fn(&str) -> bool,
    ) {
        let others = keys(found).chain(keys(recorded)).filter(|key| wanted(key));
        let all: BTreeSet<&str> = listed.iter().copied().chain(others).collect();
        let mut equal = true;
        for key in all {
            equal &= self.equal(fact, &format!("{at}{key}"), &found[key], &recorded[key]);
        }
        self.comparison.facts.entry(fact).or_default().add(equal);
    }

    /// Notes the innermost values in which two differ.
    fn equal(&mut self, fact: Fact, at: &str, found: &Value, recorded: &Value) -> bool {
        if found == recorded {
            return true;
        }
        if let (Value::Object(a), Value::Object(b)) = (found, recorded) {
            let all: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in all {
                self.equal(fact, &format!("{at}.{key}"), &found[key], &recorded[key]);
            }
            return false;
        }
        self.comparison.differences.push(Difference {
            subject: self.pod.to_owned(),
            fact,
            at: at.to_owned(),
            found: shown(found),
            recorded: shown(recorded),
        });
        false
    }

    fn cell(&mut self, fact: Fact, plugin: &str, at: &str, found: &Value, recorded: &Value) {
        let equal = self.equal(fact, at, found, recorded);
        self.comparison.facts.entry(fact).or_default().add(equal);
        if !plugin.is_empty() {
            self.comparison.plugins.entry(plugin.to_owned()).or_default().add(equal);
        }
    }

    /// Every node that either rejects.
    fn rejections(&mut self, at: &str, found: &Value, recorded: &Value) {
        let nodes: BTreeSet<&str> = keys(found).chain(keys(recorded)).collect();
        for node in nodes {
            let (found, recorded) = (in_order(&found[node]), in_order(&recorded[node]));
            let plugin = recorded["plugin"].as_str().or(found["plugin"].as_str()).unwrap_or_default();
            self.cell(Fact::Rejection, plugin, &format!("{at}rejected.{node}"), &found, &recorded);
        }
    }

    /// Every node's score by every plugin that scored in either, and its sum.
    fn scores(&mut self, at: &str, found: &Value, recorded: &Value) {
        let plugins: BTreeSet<&str> = plugins(found).chain(plugins(recorded)).collect();
        let (mine, theirs) = (&found["nodes"], &recorded["nodes"]);
        let nodes: BTreeSet<&str> = keys(mine).chain(keys(theirs)).collect();
        for node in nodes {
            for &plugin in &plugins {
                let cell = |scores: &Value| {
                    let column = self::plugins(scores).position(|name| name == plugin);
                    column.map_or(Value::Null, |column| scores["nodes"][node][column].clone())
                };
                let at = format!("{at}scores.{node}.{plugin}");
                self.cell(Fact::ScoreCell, plugin, &at, &cell(found), &cell(recorded));
            }
            let sum = |row: &Value| row.as_array().and_then(|row| row.last()).cloned().unwrap_or_default();
            let at = format!("{at}scores.{node}.total");
            self.cell(Fact::ScoreCell, "", &at, &sum(&mine[node]), &sum(&theirs[node]));
        }
    }
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str))
}

fn plugins(scores: &Value) -> impl Iterator<Item = &str> {
    scores["plugins"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap_or_default())
}

/// A rejection with its reasons in text order: upstream's order is that of a map.
fn in_order(rejection: &Value) -> Value {
    let mut rejection = rejection.clone();
    if let Some(reasons) = rejection.get_mut("reasons").and_then(Value::as_array_mut) {
        reasons.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    rejection
}

fn shown(value: &Value) -> String {
    if value.is_null() { "nothing".to_owned() } else { value.to_string() }
}
