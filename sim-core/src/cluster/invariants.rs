//! What must hold at every instant, checked by an observer outside of the code that it checks.

use std::collections::BTreeMap;
use std::fmt;

use seatrial_api::node::Node;
use seatrial_api::object::Kind;
use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::policy::PodDisruptionBudget;
use seatrial_api::resources::Resources;
use seatrial_api::storage::{ClaimPhase, PersistentVolumeClaim};
use seatrial_api::symbol::Symbol;

use super::world::World;

/// An invariant that does not hold: a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What should hold.
    pub invariant: &'static str,
    /// Where it does not.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

impl std::error::Error for Violation {}

/// Checks a whole cluster; costs as much as the cluster is large.
pub(super) fn check(world: &World) -> Result<(), Violation> {
    pods_stay_where_they_were_bound(world)?;
    nodes_are_not_over_committed(world)?;
    budgets_are_not_overdrawn(world)?;
    volumes_have_one_claim(world)?;
    sums_are_what_they_sum(world)
}

fn pods_stay_where_they_were_bound(world: &World) -> Result<(), Violation> {
    for pod in world.api.list_typed::<Pod>() {
        let truth = world.runtimes.pod(pod.meta.id);
        let machine =
            truth.and_then(|truth| truth.machine).map(|machine| world.machines.get(machine).spec.name);
        if let (Some(machine), node) = (machine, pod.node)
            && node != Some(machine)
        {
            return Err(Violation {
                invariant: "a pod is bound once",
                found: format!("{} was bound to {machine} and is now at {node:?}", pod.meta.full_name()),
            });
        }
    }
    Ok(())
}

/// What runs on a node fits there. Pods that their node has not admitted yet do not count: a node
/// refuses those that do not fit.
fn nodes_are_not_over_committed(world: &World) -> Result<(), Violation> {
    let mut given: BTreeMap<Symbol, (Resources, i64)> = BTreeMap::new();
    for pod in world.api.list_typed::<Pod>().filter(|pod| pod.status.phase == PodPhase::Running) {
        let Some(node) = pod.node else { continue };
        let sum = given.entry(node).or_default();
        sum.0.add(&pod.spec.derived.requests);
        sum.1 += 1;
    }
    for (name, (sum, pods)) in given {
        let Some(seatrial_api::object::Object::Node(node)) =
            world.api.find(Kind::Node, Symbol::empty(), name.as_str())
        else {
            continue;
        };
        let offered = &node.allocatable;
        let fits =
            sum.cpu <= offered.amounts.cpu && sum.memory <= offered.amounts.memory && pods <= offered.pods;
        if !fits {
            return Err(Violation {
                invariant: "no node is over-committed",
                found: format!(
                    "{name} runs {pods} pods that request {} m CPU and {} bytes",
                    sum.cpu.0, sum.memory.0
                ),
            });
        }
    }
    Ok(())
}

fn budgets_are_not_overdrawn(world: &World) -> Result<(), Violation> {
    for budget in world.api.list_typed::<PodDisruptionBudget>() {
        if budget.status.disruptions_allowed < 0 {
            return Err(Violation {
                invariant: "no eviction goes beyond a disruption budget",
                found: format!("{} allows {}", budget.meta.full_name(), budget.status.disruptions_allowed),
            });
        }
    }
    Ok(())
}

fn volumes_have_one_claim(world: &World) -> Result<(), Violation> {
    let mut holders: BTreeMap<Symbol, &PersistentVolumeClaim> = BTreeMap::new();
    for claim in world.api.list_typed::<PersistentVolumeClaim>() {
        if claim.phase != ClaimPhase::Bound {
            continue;
        }
        if let Some(other) = holders.insert(claim.spec.volume_name, claim) {
            return Err(Violation {
                invariant: "no volume is bound to two claims",
                found: format!(
                    "{} is bound to {} and {}",
                    claim.spec.volume_name,
                    other.meta.full_name(),
                    claim.meta.full_name()
                ),
            });
        }
    }
    Ok(())
}

/// The recorder's running sums against a recount.
fn sums_are_what_they_sum(world: &World) -> Result<(), Violation> {
    let phases = [PodPhase::Pending, PodPhase::Running, PodPhase::Succeeded, PodPhase::Failed];
    for phase in phases {
        let counted = world.api.list_typed::<Pod>().filter(|pod| pod.status.phase == phase).count() as i64;
        let kept = world.recorder.phase_count(phase);
        if counted != kept {
            return Err(Violation {
                invariant: "running sums equal a recount",
                found: format!("{kept} pods {} instead of {counted}", phase.as_str()),
            });
        }
    }
    let ready = world
        .api
        .list_typed::<Node>()
        .filter(|node| node.ready() == seatrial_api::pod::ConditionStatus::True);
    let (counted, kept) = (ready.count() as i64, world.recorder.nodes_ready());
    if counted != kept {
        return Err(Violation {
            invariant: "running sums equal a recount",
            found: format!("{kept} nodes ready instead of {counted}"),
        });
    }
    let truth = super::availability::World { machines: &world.machines, runtimes: &world.runtimes };
    match world.availability.first_difference(&truth) {
        Some(found) => Err(Violation { invariant: "running sums equal a recount", found }),
        None => Ok(()),
    }
}
