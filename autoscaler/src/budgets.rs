//! How many evictions the disruption budgets would still allow, while one thinks of evictions.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::policy::PodDisruptionBudget;

/// The budgets, and what is left of each.
#[derive(Clone, Debug)]
pub(crate) struct RemainingBudgets {
    budgets: Vec<(Arc<PodDisruptionBudget>, i32)>,
}

impl RemainingBudgets {
    pub(crate) fn new(budgets: &BTreeMap<u32, Arc<PodDisruptionBudget>>) -> RemainingBudgets {
        let left = budgets.values().map(|budget| (budget.clone(), budget.status.disruptions_allowed));
        RemainingBudgets { budgets: left.collect() }
    }

    /// Whether a budget protects the pod at all.
    pub(crate) fn protect(&self, pod: &Pod) -> bool {
        self.budgets.iter().any(|(budget, _)| protects(budget, pod))
    }

    /// A budget that has nothing left for the pod.
    pub(crate) fn exhausted_for(&self, pod: &Pod) -> Option<&PodDisruptionBudget> {
        let exhausted = self.budgets.iter().find(|(budget, left)| *left < 1 && protects(budget, pod));
        exhausted.map(|(budget, _)| &**budget)
    }

    /// Whether all of these pods may be evicted at once.
    pub(crate) fn allow_together(&self, pods: &[Arc<Pod>]) -> bool {
        self.budgets.iter().all(|(budget, left)| {
            let wanted = pods.iter().filter(|pod| protects(budget, pod)).count();
            wanted == 0 || i64::from(*left) >= wanted as i64
        })
    }

    /// Thinks of these pods as evicted.
    pub(crate) fn take(&mut self, pods: &[Arc<Pod>]) {
        for (budget, left) in &mut self.budgets {
            *left -= pods.iter().filter(|pod| protects(budget, pod)).count() as i32;
        }
    }
}

fn protects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    budget.meta.namespace == pod.meta.namespace
        && budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta.labels))
}
