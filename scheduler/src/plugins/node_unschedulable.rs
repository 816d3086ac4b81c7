//! NodeUnschedulable: cordoned nodes take only pods that tolerate the cordon's taint.

use seatrial_api::node::TAINT_UNSCHEDULABLE;
use seatrial_api::pod::Pod;
use seatrial_api::scheduling::{Taint, TaintEffect, tolerated};
use seatrial_api::symbol::Symbol;

use crate::cluster::{Content, NodeInfo};
use crate::framework::{Code, Cycle, EventContext, Hint, Plugin, Points, Scope, Verdict, Why};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange, PodChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeUnschedulable;

fn tolerates_cordon(pod: &Pod) -> bool {
    let taint = Taint {
        key: Symbol::new(TAINT_UNSCHEDULABLE),
        value: Symbol::empty(),
        effect: TaintEffect::NoSchedule,
    };
    tolerated(&pod.spec.tolerations, &taint)
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn points(&self) -> Points {
        Points { filter: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.tolerations(&pod.spec.tolerations);
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        if node.is_unschedulable() && !tolerates_cordon(cycle.pod) {
            return why.reject(Code::Unresolvable, "node(s) were unschedulable");
        }
        Ok(())
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::NodeAdd, EventKind::NodeTaints, EventKind::OwnUpdate])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        match event {
            ClusterEvent::NodeAdd(node) => Hint::queue_if(!node.unschedulable),
            ClusterEvent::NodeUpdate { old, new, change: NodeChange::Taints } => {
                Hint::queue_if(old.unschedulable && !new.unschedulable)
            }
            ClusterEvent::OwnUpdate { change: PodChange::Tolerations, .. } => {
                Hint::queue_if(tolerates_cordon(context.pod))
            }
            _ => Hint::Skip,
        }
    }
}
