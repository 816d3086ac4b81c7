//! SchedulingGates: a pod with gates does not enter the queue.

use seatrial_api::pod::Pod;

use crate::cluster::Content;
use crate::framework::{EventContext, Hint, Plugin, Points, Reason, Scope};
use crate::queue::{ClusterEvent, EventKind, Interests};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn points(&self) -> Points {
        Points { pre_enqueue: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        let _ = (pod, content);
    }

    fn pre_enqueue(&self, pod: &Pod) -> Option<Reason> {
        let gates = &pod.spec.scheduling_gates;
        if gates.is_empty() {
            return None;
        }
        let names: Vec<_> = gates.iter().map(|gate| gate.as_str()).collect();
        Some(Reason::Owned(format!("waiting for scheduling gates: [{}]", names.join(" ")).into()))
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::OwnUpdate])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let own = matches!(event, ClusterEvent::OwnUpdate { .. });
        Hint::queue_if(own && context.pod.spec.scheduling_gates.is_empty())
    }
}
