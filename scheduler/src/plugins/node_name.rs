//! NodeName: a pod that names its node fits there alone.

use seatrial_api::pod::Pod;

use crate::cluster::{Content, NodeInfo};
use crate::framework::{Code, Cycle, EventContext, Hint, Plugin, Points, Scope, Verdict, Why};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn points(&self) -> Points {
        Points { filter: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.optional_symbol(pod.node);
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        match cycle.pod.node {
            Some(name) if name != node.name() => {
                why.reject(Code::Unresolvable, "node(s) didn't match the requested node name")
            }
            _ => Ok(()),
        }
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::NodeAdd, EventKind::NodeTaints])
    }

    fn hint(&self, _: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let taints = matches!(event, ClusterEvent::NodeUpdate { change: NodeChange::Taints, .. });
        Hint::queue_if(taints || matches!(event, ClusterEvent::NodeAdd(_)))
    }
}
