//! PodDisruptionBudget and PriorityClass.

use crate::labels::Selector;
use crate::meta::{ObjectMeta, Uid};
use crate::pod::{ConditionStatus, PreemptionPolicy};
use crate::symbol::Symbol;
use crate::units::SimTime;
use crate::workload::{Condition, IntOrPercent, condition};

/// When a pod that is not ready may be evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnhealthyPodEvictionPolicy {
    /// While enough pods are healthy.
    #[default]
    IfHealthyBudget,
    /// Always.
    AlwaysAllow,
}

/// What a budget demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many pods must stay healthy.
    MinAvailable(IntOrPercent),
    /// So many pods may be unhealthy.
    MaxUnavailable(IntOrPercent),
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct PodDisruptionBudget {
    /// The metadata.
    pub meta: ObjectMeta,
    /// What it demands; `None` demands `minAvailable: 1`, as upstream does.
    pub budget: Option<Budget>,
    /// Which pods it protects; absent protects none, empty all of the namespace.
    pub selector: Option<Selector>,
    /// When pods that are not ready may be evicted.
    pub unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy,
    /// The status.
    pub status: PdbStatus,
}

/// The status of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PdbStatus {
    /// How many evictions are allowed now.
    pub disruptions_allowed: i32,
    /// How many pods are healthy.
    pub current_healthy: i32,
    /// How many must be.
    pub desired_healthy: i32,
    /// How many there should be.
    pub expected_pods: i32,
    /// Pods whose eviction was accepted and not yet seen, with its time.
    pub disrupted_pods: Vec<(Uid, SimTime)>,
    /// The generation that this status has seen.
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

impl PdbStatus {
    /// Type of the condition that says whether evictions are allowed.
    pub const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";
    /// Its reason when the status could not be computed.
    pub const SYNC_FAILED: &str = "SyncFailed";

    /// Lets the condition DisruptionAllowed say what `disruptions_allowed` does.
    pub fn note_allowed(&mut self, now: SimTime) {
        let (status, reason) = match self.disruptions_allowed {
            1.. => (ConditionStatus::True, "SufficientPods"),
            _ => (ConditionStatus::False, "InsufficientPods"),
        };
        self.set_allowed(status, reason, "", now);
    }

    /// Lets it say that the status could not be computed, and why.
    pub fn note_failure(&mut self, error: &str, now: SimTime) {
        self.set_allowed(ConditionStatus::False, PdbStatus::SYNC_FAILED, error, now);
    }

    /// The condition DisruptionAllowed, once it was set.
    pub fn allowed(&self) -> Option<&Condition> {
        condition(&self.conditions, PdbStatus::DISRUPTION_ALLOWED)
    }

    /// Its transition time, in whole seconds, moves only with its status.
    fn set_allowed(&mut self, status: ConditionStatus, reason: &str, message: &str, now: SimTime) {
        let now = now.truncate_to_second();
        let since = self.allowed().filter(|old| old.status == status).map_or(now, |old| old.transition);
        let condition = Condition {
            kind: Symbol::new(PdbStatus::DISRUPTION_ALLOWED),
            status,
            reason: Symbol::new(reason),
            message: message.into(),
            transition: since,
            updated: since,
        };
        match self.conditions.iter_mut().find(|old| old.kind == condition.kind) {
            Some(old) => *old = condition,
            None => self.conditions.push(condition),
        }
    }
}

/// A PriorityClass.
#[derive(Clone, Debug, PartialEq)]
pub struct PriorityClass {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The priority.
    pub value: i32,
    /// Whether pods without a class get it.
    pub global_default: bool,
    /// Whether its pods preempt.
    pub preemption_policy: PreemptionPolicy,
}
