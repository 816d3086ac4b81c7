//! A run made easy to walk: its changes, each with the state before and after it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The fields of an object.
pub(super) type State = Map<String, Value>;

/// One change of one object.
pub(super) struct Change {
    /// When, in seconds.
    pub(super) t: f64,
    /// The object.
    pub(super) alias: String,
    /// Its state before; `None` if it did not exist.
    pub(super) before: Option<State>,
    /// Its state after; `None` if it was deleted.
    pub(super) after: Option<State>,
}

/// What the facts are derived from.
pub(super) struct Run<'a> {
    /// The recorded line.
    pub(super) scenario: &'a Value,
    /// The answers, one for each action.
    pub(super) answers: &'a [Value],
    /// The entries that are Events.
    pub(super) events: Vec<&'a Value>,
    /// All other entries.
    pub(super) changes: Vec<Change>,
    /// The state of every object in the end, in the order in which the objects were changed last.
    pub(super) last: BTreeMap<String, State>,
}

impl<'a> Run<'a> {
    pub(super) fn new(scenario: &'a Value, trace: &'a [Value], answers: &'a [Value]) -> Run<'a> {
        let mut run =
            Run { scenario, answers, events: Vec::new(), changes: Vec::new(), last: BTreeMap::new() };
        for node in rows(&scenario["nodes"]) {
            run.last.insert(format!("node:{}", text(&node["metadata"]["name"])), node_state(node));
        }
        for entry in trace {
            if entry["v"] == "event" {
                run.events.push(entry);
                continue;
            }
            let alias = text(&entry["o"]).to_owned();
            let before = run.last.remove(&alias);
            let after = (entry["v"] != "deleted").then(|| {
                let mut after = before.clone().filter(|_| entry["v"] == "modified").unwrap_or_default();
                after.extend(entry["set"].as_object().cloned().unwrap_or_default());
                after.retain(|_, value| !value.is_null());
                after
            });
            run.last.extend(after.clone().map(|after| (alias.clone(), after)));
            run.changes.push(Change { t: entry["t"].as_f64().unwrap_or(0.0), alias, before, after });
        }
        run
    }

    /// The changes of objects of one kind.
    pub(super) fn of(&self, kind: &str) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.kind() == kind)
    }

    /// The states of an object before and after each change that did not delete it.
    pub(super) fn states(&self, alias: &str) -> impl Iterator<Item = (&Change, &State)> {
        let changes = self.changes.iter().filter(move |change| change.alias == alias);
        changes.filter_map(|change| Some((change, change.after.as_ref()?)))
    }

    /// What the actions of the scenario do, in order.
    pub(super) fn actions(&self) -> impl Iterator<Item = (&'a Value, &'a Value)> {
        rows(&self.scenario["actions"]).iter().map(|action| (action, &action["do"]))
    }
}

impl Change {
    pub(super) fn kind(&self) -> &str {
        kind_of(&self.alias)
    }

    /// Whether the object begins to go away.
    pub(super) fn starts_terminating(&self) -> bool {
        self.after.as_ref().is_some_and(is_deleting) && !self.before.as_ref().is_some_and(is_deleting)
    }
}

/// The state of a node that is there from the start. Its manifest has no messages of conditions:
/// they stay unknown.
fn node_state(node: &Value) -> State {
    let mut conditions = Map::new();
    for condition in rows(&node["status"]["conditions"]) {
        let row = json!([condition["status"], condition["reason"], condition["message"]]);
        conditions.insert(text(&condition["type"]).to_owned(), row);
    }
    let taints: Vec<String> = rows(&node["spec"]["taints"])
        .iter()
        .map(|taint| {
            let value = text(&taint["value"]);
            let value = if value.is_empty() { String::new() } else { format!("={value}") };
            format!("{}{value}:{}", text(&taint["key"]), text(&taint["effect"]))
        })
        .collect();
    let state = json!({"taints": taints, "conditions": conditions});
    state.as_object().cloned().unwrap_or_default()
}

/// A text, empty if it is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// The elements of a list, none if it is none.
pub(super) fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |rows| rows)
}

pub(super) fn kind_of(alias: &str) -> &str {
    alias.split(':').next().unwrap_or(alias)
}

/// The part of an alias behind its kind.
pub(super) fn name_of(alias: &str) -> &str {
    alias.split_once(':').map_or(alias, |parts| parts.1)
}

/// An alias with its last number starred: `pod:web@1#3` is `pod:web@1#*`.
pub(super) fn starred(alias: &str) -> String {
    match alias.rsplit_once('#') {
        Some((base, number)) if is_number(number) => format!("{base}#*"),
        _ => alias.to_owned(),
    }
}

/// A message in which each alias is starred, but not the identity of one.
pub(super) fn starred_text(message: &str) -> String {
    let mut parts = message.split('{');
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push('{');
        match part.split_once('}') {
            Some((alias, rest)) if !alias.contains(' ') => {
                out.push_str(&starred(alias));
                out.push('}');
                out.push_str(rest);
            }
            _ => out.push_str(part),
        }
    }
    out
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first owner of an object, or the object itself if it has none.
pub(super) fn owner<'a>(alias: &'a str, state: &'a State) -> &'a str {
    state.get("owner").and_then(|owners| owners[0].as_str()).unwrap_or(alias)
}

pub(super) fn is_ready(pod: &State) -> bool {
    pod.get("conditions").is_some_and(|conditions| conditions["Ready"][0] == "True")
}

pub(super) fn is_terminal(pod: &State) -> bool {
    matches!(pod.get("phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

pub(super) fn is_deleting(state: &State) -> bool {
    state.get("deleting") == Some(&Value::Bool(true))
}

/// A field, null if it is absent.
pub(super) fn field(state: &State, name: &str) -> Value {
    state.get(name).cloned().unwrap_or(Value::Null)
}

/// A time in tenths of a second, as facts have it.
pub(super) fn seconds(t: f64) -> Value {
    json!(rounded(t))
}

/// A time rounded to tenths, halves to the even digit of its decimal text.
pub(super) fn rounded(t: f64) -> f64 {
    // The text of a float is exact where Rust rounds it, as in the definition's language.
    format!("{t:.1}").parse().unwrap_or(t)
}
