//! Events, as the kubelet's client sends them: equal ones are counted in one object, and of those of
//! one reason about one container only so many get through (upstream `client-go/tools/record/events_cache.go`).

use std::collections::BTreeMap;

use seatrial_api::machine::{Decision, Severity};
use seatrial_api::object::Kind;
use seatrial_api::pod::PodSpec;
use seatrial_api::units::{NANOS_PER_SECOND, SimTime};
use serde_json::json;

use super::Play;

/// So many events of a reason get through at once, one more in each period.
const BURST: i64 = 25;
const REFILL_NANOS: i64 = 300 * NANOS_PER_SECOND;

/// What makes two events equal.
type Key = (u32, &'static str, &'static str, String, String);

/// The client's memory.
#[derive(Default)]
pub(super) struct Events {
    /// The number and the count of the object of each event.
    objects: BTreeMap<Key, (u64, u64)>,
    /// When the bucket of each reason would be full again, in nanoseconds.
    full_at: BTreeMap<(u32, &'static str, Option<u16>), i64>,
}

impl Events {
    /// Whether an event gets through.
    fn passes(&mut self, decision: &Decision, now: SimTime) -> bool {
        let now = now.nanos();
        let key = (decision.object.id, decision.reason, decision.container);
        let full_at = self.full_at.entry(key).or_insert(now);
        *full_at = (*full_at).max(now);
        let passes = *full_at - now <= (BURST - 1) * REFILL_NANOS;
        if passes {
            *full_at += REFILL_NANOS;
        }
        passes
    }
}

impl Play<'_> {
    /// The kubelet has decided something.
    pub(super) fn decided(&mut self, decision: &Decision) {
        if decision.object.kind != Kind::Pod {
            return;
        }
        let pod = decision.object.id;
        let Some(name) = self.names.get(&pod).cloned() else { return };
        if !self.events.passes(decision, self.now) {
            return;
        }
        let kind = match decision.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        let field = decision.container.map_or(String::new(), |index| self.field(pod, usize::from(index)));
        let message = decision.message.to_string();
        let key = (pod, kind, decision.reason, message.clone(), field.clone());
        let next = self.events.objects.len() as u64 + 1;
        let object = self.events.objects.entry(key).or_insert((next, 0));
        object.1 += 1;
        let (number, count) = *object;
        let mut entry = json!({
            "v": "event",
            "o": format!("pod:{name}"),
            "type": kind,
            "reason": decision.reason,
            "message": message,
            "from": "kubelet",
            "count": count,
            "object": number,
        });
        if !field.is_empty() {
            entry["field"] = json!(field);
        }
        self.record(entry);
    }

    /// The path of a container in its pod's specification.
    fn field(&self, pod: u32, index: usize) -> String {
        let Some(spec) = self.specs.get(&pod) else { return String::new() };
        let spec: &PodSpec = spec;
        let (init, main) = (spec.init_containers.len(), spec.containers.len());
        let list = if index < init {
            "initContainers"
        } else if index < init + main {
            "containers"
        } else {
            "ephemeralContainers"
        };
        let name = spec.all_containers().nth(index).map_or("", |container| container.name.as_str());
        format!("spec.{list}{{{name}}}")
    }
}
