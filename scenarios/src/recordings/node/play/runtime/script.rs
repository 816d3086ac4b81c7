//! The script: what each pod's sandbox, images and containers do.

use seatrial_api::units::Span;
use serde_json::Value;

use super::super::seconds;

/// The script of a scenario.
pub(super) struct Script(Value);

impl Script {
    pub(super) fn new(scenario: &Value) -> Script {
        Script(scenario["script"].clone())
    }

    /// What is written of a pod.
    pub(super) fn pod(&self, pod: &str) -> &Value {
        &self.0[pod]
    }

    /// What is written of a container.
    pub(super) fn container(&self, pod: &str, container: &str) -> &Value {
        &self.0[pod]["containers"][container]
    }

    /// What is written of an instance; the last entry counts for all later ones.
    pub(super) fn run(&self, pod: &str, container: &str, n: u32) -> &Value {
        let runs = &self.container(pod, container)["runs"];
        let last = runs.as_array().map_or(0, |runs| runs.len().saturating_sub(1));
        &runs[(n as usize).min(last)]
    }

    /// The n-th pull of an image: how long it takes, and its error.
    pub(super) fn pull(&self, image: &str, n: u32) -> (Span, Option<String>) {
        let pods = self.0.as_object().into_iter().flatten();
        let lists = pods.map(|pod| &pod.1["images"][image]["pulls"]);
        let list = lists.into_iter().find_map(Value::as_array).map_or(&[][..], Vec::as_slice);
        match list.get(n as usize).or(list.last()) {
            None => (Span::from_millis(50), None),
            Some(entry) => {
                let delay = if entry["delay"].is_null() { Span::ZERO } else { seconds(&entry["delay"]) };
                (delay, entry["error"].as_str().map(str::to_owned))
            }
        }
    }
}

/// The entry of a list by attempt: how long it takes and its error; nothing beyond its end.
pub(super) fn attempt(list: &Value, n: u32) -> (Span, Option<String>) {
    let entry = &list[n as usize];
    (seconds(&entry["delay"]), entry["error"].as_str().map(str::to_owned))
}

/// The code that holds at a time, of a list of [from, code].
pub(super) fn code_at(codes: &Value, since: Span, default: i64) -> i64 {
    let list = codes.as_array().map_or(&[][..], |codes| codes);
    let holding = list.iter().rev().find(|entry| seconds(&entry[0]) <= since);
    holding.and_then(|entry| entry[1].as_i64()).unwrap_or(default)
}
