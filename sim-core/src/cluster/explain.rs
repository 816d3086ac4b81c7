//! What the scheduler would find on every node, asked of a run that is stopped before a decision.

use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_scheduler::Scheduler;
use seatrial_scheduler::cases::{Case, CaseDecision, Play};

use super::world::World;

/// Decides about a pod on the cluster as the API server has it, over all nodes, and changes
/// nothing. `None` if there is no such pod.
pub(super) fn decision(world: &World, namespace: Symbol, name: &str) -> Option<CaseDecision> {
    let Some(Object::Pod(pod)) = world.api.find(Kind::Pod, namespace, name) else { return None };
    let on_nodes = |other: &&std::sync::Arc<Pod>| {
        other.meta.id != pod.meta.id
            && !other.status.phase.is_terminal()
            && (other.node.is_some() || other.status.nominated_node.is_some())
    };
    let other_kinds = Scheduler::WATCHED.into_iter().filter(|kind| !matches!(kind, Kind::Node | Kind::Pod));
    let case = Case {
        configuration: world.config.scheduler.clone(),
        nodes: world.api.list_typed().cloned().collect(),
        pods: world.api.list_typed::<Pod>().filter(on_nodes).cloned().collect(),
        objects: other_kinds.flat_map(|kind| world.api.list(kind)).cloned().collect(),
        owners: Vec::new(),
    };
    let mut play = Play::new(&case).ok()?;
    // Before it was bound: the pod as it waits.
    let mut waiting = Pod::clone(pod);
    waiting.node = None;
    Some(play.schedule(&waiting.into()))
}
