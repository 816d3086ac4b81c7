//! What the scheduler would find on every node, asked of a run that is stopped before a decision.

use seatrial_api::object::{Kind, Object};
use seatrial_api::symbol::Symbol;
use seatrial_scheduler::cases::CaseDecision;

use super::world::World;

/// Decides about a pod on the cluster as the scheduler knows it, over all nodes, and changes
/// nothing. `None` if there is no such pod, or the scheduler does not know it.
pub(super) fn decision(world: &World, namespace: Symbol, name: &str) -> Option<CaseDecision> {
    let Some(Object::Pod(pod)) = world.api.find(Kind::Pod, namespace, name) else { return None };
    world.scheduler.explain(pod.meta.id)
}
