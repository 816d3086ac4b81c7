//! The disruption controller (upstream `pkg/controller/disruption`): tells how
//! many pods of each budget may be evicted. The evictions themselves are the API server's.
//!
//! Only changes of budgets and of pods lead to a sync: a workload that is scaled changes nothing
//! until one of its pods does, as upstream.

mod plan;
mod stale;

use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::meta::OwnerRef;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::policy::{PdbStatus, PodDisruptionBudget};
use seatrial_api::request::{Change, ErrorReason, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner, first_error,
};
use crate::selected_pods::{Filter, SelectedPods};

pub use plan::{
    BudgetPlan, DELETION_TIMEOUT, Demand, Scale, demand as budget_demand,
    failed_status as failed_budget_status, plan as plan_budget,
};
pub(crate) use stale::StaleDisruption;

/// How long after the end of an outstanding eviction the budget is looked at again.
const RECHECK_DELAY: Span = Span::from_millis(5);

/// The controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct DisruptionController {
    selected: SelectedPods,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing was written yet.
    #[default]
    Start,
    /// The status is being written.
    Writing,
    /// The status after a failure is being written.
    WritingFailure,
}

impl DisruptionController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<DisruptionController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, DisruptionController::default(), RetryPolicy::standard(), client, 1)
    }

    /// Enqueues the budget of a pod; of several only the first, and says so.
    fn enqueue_budget_of(&self, cx: &mut Context<'_>, pod: &Pod) {
        let budgets = self.selected.selecting(pod.meta.namespace, &pod.meta.labels);
        let Some(&first) = budgets.first() else { return };
        cx.queue.add(first);
        if budgets.len() > 1
            && let Some(chosen) = cx.caches.budgets.get(first)
        {
            let (namespace, name, chosen) = (pod.meta.namespace, &pod.meta.name, &chosen.meta.name);
            cx.event(pod.meta.object_ref(Kind::Pod), Severity::Warning, "MultiplePodDisruptionBudgets", || {
                format!(
                    "Pod \"{namespace}\"/\"{name}\" matches multiple PodDisruptionBudgets.  Chose \"{chosen}\" arbitrarily."
                )
            });
        }
    }

    fn start(&mut self, cx: &mut Context<'_>, key: u32, stage: &mut Stage) -> Next {
        let Some(budget) = cx.caches.budgets.get(key).cloned() else { return Next::Done };
        let caches = cx.caches;
        let pods: Vec<&Pod> = self.selected.pods(caches, key).map(|pod| &**pod).collect();
        let object = budget.meta.object_ref(Kind::PodDisruptionBudget);
        if pods.is_empty() {
            cx.event(object, Severity::Normal, "NoPods", || "No matching pods found");
        }
        let demand =
            match plan::demand(budget.budget, &pods, |owner, namespace| scale_of(caches, owner, namespace)) {
                Ok(demand) => demand,
                Err(error) => {
                    cx.event(object, Severity::Warning, "CalculateExpectedPodCountFailed", || {
                        format!("Failed to calculate the number of expected pods: {error}")
                    });
                    return fail(cx, &budget, stage, &error);
                }
            };
        if demand.unmanaged {
            cx.event(object, Severity::Warning, "UnmanagedPods", || unmanaged_message(&budget));
        }
        let plan = plan::plan(&budget, &pods, demand, cx.now);
        for &row in &plan.not_deleted {
            let namespace = budget.meta.namespace;
            cx.event(ObjectRef { kind: Kind::Pod, id: row }, Severity::Warning, "NotDeleted", || {
                format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't")
            });
        }
        if let Some(at) = plan.recheck_at {
            cx.queue.add_at(at + RECHECK_DELAY, key);
        }
        if plan.status == budget.status {
            return Next::Done;
        }
        *stage = Stage::Writing;
        write(&budget, plan.status)
    }
}

impl Controller for DisruptionController {
    type Sync = Stage;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind != Kind::Pod || !caches.budgets.is_empty()
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => {
                self.selected.observe(event);
                self.enqueue_budget_of(cx, pod);
            }
            Object::PodDisruptionBudget(budget) => {
                let row = budget.meta.id;
                match &budget.selector {
                    Some(selector) if event.change != Change::Deleted => {
                        let filter = Filter::Selector(Arc::new(selector.clone()));
                        self.selected.put(row, budget.meta.namespace, filter);
                    }
                    _ => self.selected.remove(row),
                }
                cx.queue.add(row);
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, stage: &mut Stage, replies: &Replies) -> Next {
        let error = first_error(replies);
        match (*stage, error) {
            (Stage::Start, _) => self.start(cx, key, stage),
            (_, None) => Next::Done,
            (Stage::Writing, Some(error)) if error.reason != ErrorReason::Conflict => {
                let message = error.to_string();
                match cx.caches.budgets.get(key).cloned() {
                    Some(budget) => fail(cx, &budget, stage, &message),
                    None => Next::Done,
                }
            }
            _ => Next::Retry,
        }
    }
}

/// Writes that the computation has failed, so that nothing is evicted on an old figure.
fn fail(cx: &mut Context<'_>, budget: &Arc<PodDisruptionBudget>, stage: &mut Stage, error: &str) -> Next {
    let status = plan::failed_status(&budget.status, error, cx.now);
    if status == budget.status {
        return Next::Done;
    }
    *stage = Stage::WritingFailure;
    write(budget, status)
}

fn write(budget: &PodDisruptionBudget, status: PdbStatus) -> Next {
    let object = Object::PodDisruptionBudget(Arc::new(PodDisruptionBudget { status, ..budget.clone() }));
    Next::send(Request::Update { object, subresource: Subresource::Status })
}

fn unmanaged_message(budget: &PodDisruptionBudget) -> String {
    let selector = budget.selector.as_ref().map(plan::go_selector).unwrap_or_default();
    format!(
        "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the \
         status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for \
         these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
    )
}

/// The workload behind a controller reference: the Deployment of a ReplicaSet, if it has one.
fn scale_of(caches: &Caches, owner: &OwnerRef, namespace: Symbol) -> Result<Option<Scale>, String> {
    let name = owner.name.as_str();
    match Kind::parse(owner.kind.as_str()) {
        Some(Kind::ReplicaSet) => {
            let set = caches.replica_sets.named(namespace, name).filter(|set| set.meta.uid == owner.uid);
            let Some(set) = set else { return Ok(None) };
            let deployment = set.meta.controller().filter(|owner| owner.kind == "Deployment");
            let deployment = deployment.and_then(|owner| {
                let found = caches.deployments.named(namespace, &owner.name)?;
                (found.meta.uid == owner.uid).then_some(found)
            });
            Ok(Some(match deployment {
                Some(deployment) => (deployment.meta.uid, deployment.replicas),
                None => (set.meta.uid, set.replicas),
            }))
        }
        Some(Kind::StatefulSet) => {
            let set = caches.stateful_sets.named(namespace, name).filter(|set| set.meta.uid == owner.uid);
            Ok(set.map(|set| (set.meta.uid, set.replicas)))
        }
        Some(Kind::Deployment) => {
            let found = caches.deployments.named(namespace, name).filter(|found| found.meta.uid == owner.uid);
            Ok(found.map(|found| (found.meta.uid, found.replicas)))
        }
        Some(kind) => Err(format!("{} does not implement the scale subresource", kind.qualified_plural())),
        None => Err(format!("no matches for kind \"{}\" in version \"{}\"", owner.kind, owner.api_version)),
    }
}
