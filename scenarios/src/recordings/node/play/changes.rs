//! Changes of pods in the API, as a trace tells them: what is another value now.

use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::request::Change;
use serde_json::{Map, Value, json};

use super::Play;
use super::tell::tell;

impl Play<'_> {
    /// Writes a change down, if it is one in the fields that a trace has.
    pub(super) fn write_change(&mut self, change: Change, pod: &Arc<Pod>) {
        let (id, o) = (pod.meta.id, format!("pod:{}", pod.meta.name));
        if change == Change::Deleted {
            self.told.remove(&id);
            return self.record(json!({"v": "deleted", "o": o}));
        }
        let fields = tell(pod, self.runtime_row(pod), &self.runtime);
        match self.told.insert(id, fields.clone()) {
            None => self.record(json!({"v": "added", "o": o, "set": fields})),
            Some(before) => {
                let set = changed_fields(&before, &fields);
                if !set.is_empty() {
                    self.record(json!({"v": "modified", "o": o, "set": set}));
                }
            }
        }
    }

    /// The row by which the runtime knows a pod: a mirror shows the newest static pod of its name.
    fn runtime_row(&self, pod: &Pod) -> u32 {
        let statics = self.names.range(super::actions::STATIC_ROWS..);
        let shown = statics.rev().find(|(_, name)| **name == pod.meta.name.as_str());
        shown.map_or(pod.meta.id, |(row, _)| *row)
    }
}

/// The fields with another value, null for those that are gone.
fn changed_fields(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    changed.map(|(key, value)| (key.clone(), value.clone())).chain(gone).collect()
}
