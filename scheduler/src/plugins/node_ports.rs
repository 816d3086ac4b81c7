//! NodePorts: a host port is given to one pod at a time.

use std::sync::Arc;

use seatrial_api::pod::{HostPort, Pod};
use seatrial_api::symbol::Symbol;

use crate::cluster::{Cluster, Content, NodeInfo};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Plugin, Points, PreFilter, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodePorts;

/// Whether two uses of a port exclude each other: same protocol and number, and the same address
/// or all addresses on either side.
fn conflict(a: &HostPort, b: &HostPort) -> bool {
    let all = Symbol::new("0.0.0.0");
    a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || a.ip == all || b.ip == all)
}

fn any_conflict(wanted: &[HostPort], used: &[HostPort]) -> bool {
    wanted.iter().any(|port| used.iter().any(|other| conflict(port, other)))
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Usage
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.number(pod.spec.derived.host_ports.len() as i64);
        for port in &pod.spec.derived.host_ports {
            content.symbol(port.ip);
            content.number(port.protocol as i64);
            content.number(i64::from(port.port));
        }
    }

    fn pre_filter(&self, _: &Cluster, pod: &Arc<Pod>, _: &mut CycleState) -> PreFilter {
        if pod.spec.derived.host_ports.is_empty() { PreFilter::Skip } else { PreFilter::Run }
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        if any_conflict(&cycle.pod.spec.derived.host_ports, node.ports()) {
            return why
                .reject(Code::Unschedulable, "node(s) didn't have free ports for the requested pod ports");
        }
        Ok(())
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::PodDelete, EventKind::NodeAdd, EventKind::NodeTaints])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        match event {
            ClusterEvent::PodDelete { pod, .. } => Hint::queue_if(any_conflict(
                &context.pod.spec.derived.host_ports,
                &pod.spec.derived.host_ports,
            )),
            ClusterEvent::NodeAdd(_) | ClusterEvent::NodeUpdate { change: NodeChange::Taints, .. } => {
                Hint::Queue
            }
            _ => Hint::Skip,
        }
    }
}
