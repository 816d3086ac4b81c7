//! Sub-resources of pods: binding and eviction.

use std::sync::Arc;

use super::ApiServer;
use crate::object::{Kind, Object, ObjectRef};
use crate::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodReason};
use crate::policy::{PdbStatus, PodDisruptionBudget, UnhealthyPodEvictionPolicy};
use crate::request::{ApiError, DeleteOptions, ErrorReason, Reply, WatchEvent};
use crate::symbol::Symbol;
use crate::units::SimTime;
use crate::version::KubernetesVersion;

/// How many accepted evictions a budget may have outstanding.
const DISRUPTED_PODS_MAX: usize = 2_000;

impl ApiServer {
    pub(super) fn bind(
        &mut self,
        now: SimTime,
        pod: u32,
        node: Symbol,
        events: &mut Vec<WatchEvent>,
    ) -> Reply {
        let stored = self.require(ObjectRef { kind: Kind::Pod, id: pod })?.clone();
        let Object::Pod(pod) = &stored else { return Err(ApiError::not_found(Kind::Pod, "")) };
        let name = &pod.meta.name;
        let refusal = |detail: String| {
            let message =
                format!("Operation cannot be fulfilled on pods/binding \"{name}\": pod {name} {detail}");
            Err(ApiError::new(ErrorReason::Conflict, message))
        };
        if pod.meta.is_deleting() {
            return refusal("is being deleted, cannot be assigned to a host".into());
        }
        if let Some(bound) = pod.node {
            return refusal(format!("is already assigned to node \"{bound}\""));
        }
        if !pod.spec.scheduling_gates.is_empty() {
            return refusal("has non-empty .spec.schedulingGates".into());
        }
        let mut bound = Pod::clone(pod);
        bound.node = Some(node);
        if self.version >= KubernetesVersion::V1_36 {
            bound.status.nominated_node = None;
        }
        bound.status.conditions.set(
            PodConditionType::PodScheduled,
            ConditionStatus::True,
            PodReason::None,
            now,
        );
        clear_scheduling_text(&mut bound);
        Ok(self.replace(Object::Pod(Arc::new(bound)), events))
    }

    pub(super) fn evict(
        &mut self,
        now: SimTime,
        pod: u32,
        grace_period_seconds: Option<i64>,
        events: &mut Vec<WatchEvent>,
    ) -> Reply {
        let target = ObjectRef { kind: Kind::Pod, id: pod };
        let Object::Pod(pod) = self.require(target)?.clone() else {
            return Err(ApiError::not_found(Kind::Pod, ""));
        };
        let options = DeleteOptions { grace_period_seconds, ..DeleteOptions::default() };
        if pod.status.phase == PodPhase::Pending || pod.status.phase.is_terminal() || pod.meta.is_deleting() {
            return self.delete(now, target, options, events);
        }
        if let Some(budget) = self.budget_of(&pod)? {
            self.charge(now, &pod, &budget, events)?;
        }
        let mut marked = Pod::clone(&pod);
        marked.status.conditions.set(
            PodConditionType::DisruptionTarget,
            ConditionStatus::True,
            PodReason::EvictionByEvictionApi,
            now,
        );
        self.replace(Object::Pod(Arc::new(marked)), events);
        self.delete(now, target, options, events)
    }

    /// The one budget that protects a pod; more than one is an error upstream too.
    fn budget_of(&self, pod: &Pod) -> Result<Option<Arc<PodDisruptionBudget>>, ApiError> {
        let mut matching = self.list_typed::<PodDisruptionBudget>().filter(|budget| {
            budget.meta.namespace == pod.meta.namespace
                && budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta.labels))
        });
        let first = matching.next().cloned();
        if matching.next().is_some() {
            let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not \
                           support.";
            return Err(ApiError::new(ErrorReason::InternalError, message));
        }
        Ok(first)
    }

    /// Takes one disruption from a budget, unless the pod is unhealthy and may go for free
    /// (upstream `pkg/registry/core/pod/storage/eviction.go`).
    fn charge(
        &mut self,
        now: SimTime,
        pod: &Pod,
        budget: &Arc<PodDisruptionBudget>,
        events: &mut Vec<WatchEvent>,
    ) -> Result<(), ApiError> {
        let status = &budget.status;
        let enough_healthy = status.current_healthy >= status.desired_healthy && status.desired_healthy > 0;
        let always = budget.unhealthy_pod_eviction_policy == UnhealthyPodEvictionPolicy::AlwaysAllow;
        if !pod.is_ready() && (always || enough_healthy) {
            return Ok(());
        }
        let name = &budget.meta.name;
        if status.observed_generation < budget.meta.generation {
            let cause = format!("The disruption budget {name} is still being processed by the server.");
            return Err(too_many(&cause));
        }
        if status.disruptions_allowed < 0 {
            return Err(forbidden(name, "pdb disruptions allowed is negative"));
        }
        if status.disrupted_pods.len() > DISRUPTED_PODS_MAX {
            let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
            return Err(forbidden(name, why));
        }
        if status.disruptions_allowed == 0 {
            return Err(too_many(&exhausted(name, status)));
        }
        let mut charged = PodDisruptionBudget::clone(budget);
        charged.status.disruptions_allowed -= 1;
        if charged.status.disruptions_allowed == 0 {
            charged.status.note_allowed(now);
        }
        charged.status.disrupted_pods.push((pod.meta.uid, now.truncate_to_second()));
        self.replace(Object::PodDisruptionBudget(Arc::new(charged)), events);
        Ok(())
    }
}

/// Why a budget that allows nothing does so. The counts of one that could not be computed are not
/// to be trusted.
fn exhausted(name: &str, status: &PdbStatus) -> String {
    let refusal = status
        .allowed()
        .filter(|allowed| allowed.status == ConditionStatus::False && !allowed.message.is_empty());
    let failure = refusal.filter(|allowed| allowed.reason == PdbStatus::SYNC_FAILED);
    let subject = format!("The disruption budget {name}");
    match (failure, refusal) {
        (Some(failure), _) => {
            let why = &failure.message;
            format!("{subject} does not allow evicting pods currently because it failed sync: {why}")
        }
        _ if status.current_healthy <= status.desired_healthy => {
            let (desired, current) = (status.desired_healthy, status.current_healthy);
            format!("{subject} needs {desired} healthy pods and has {current} currently")
        }
        (_, Some(refusal)) => {
            let (reason, why) = (refusal.reason, &refusal.message);
            format!("{subject} does not allow evicting pods currently ({reason}): {why}")
        }
        (None, None) => format!("{subject} does not allow evicting pods currently"),
    }
}

fn forbidden(name: &str, why: &str) -> ApiError {
    let message = format!("poddisruptionbudget.policy \"{name}\" is forbidden: {why}");
    ApiError::new(ErrorReason::Forbidden, message)
}

fn too_many(cause: &str) -> ApiError {
    let message = format!("Cannot evict pod as it would violate the pod's disruption budget. {cause}");
    ApiError::new(ErrorReason::TooManyRequests, message)
}

/// A bound pod no longer says why it was not scheduled.
fn clear_scheduling_text(pod: &mut Pod) {
    if let Some(text) = &mut pod.status.text {
        if text.reason.is_empty() && text.message.is_empty() {
            pod.status.text = None;
        } else {
            Arc::make_mut(text).scheduling = Default::default();
        }
    }
}
