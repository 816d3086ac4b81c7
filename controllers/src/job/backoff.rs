//! The back-off with which a Job's pods are made again after failures.

use std::sync::Arc;

use seatrial_api::client::exponential;
use seatrial_api::meta::Deletion;
use seatrial_api::pod::{ConditionStatus, ContainerState, Pod, PodConditionType};
use seatrial_api::units::{SimTime, Span};

/// The delay after the first failure, doubling with each.
const BASE: Span = Span::from_secs(10);
/// The longest delay.
const LIMIT: Span = Span::from_mins(10);

/// Failures since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BackoffRecord {
    failures: u32,
    last_failure: SimTime,
}

impl BackoffRecord {
    /// The record with pods that have newly ended. A success resets it; failures that finished
    /// after the last success count.
    pub(super) fn with(self, succeeded: &[Arc<Pod>], failed: &[Arc<Pod>]) -> BackoffRecord {
        let last_success = succeeded.iter().map(|pod| finished_at(pod)).max();
        let later = |at: &SimTime| last_success.is_none_or(|success| *at > success);
        let failures: Vec<SimTime> = failed.iter().map(|pod| finished_at(pod)).filter(later).collect();
        let before = if last_success.is_some() { BackoffRecord::default() } else { self };
        let Some(last_failure) = failures.iter().copied().max() else { return before };
        BackoffRecord {
            failures: before.failures.saturating_add(u32::try_from(failures.len()).unwrap_or(u32::MAX)),
            last_failure,
        }
    }

    /// When pods may be made again, if not now.
    pub(super) fn wait_until(self, now: SimTime) -> Option<SimTime> {
        wait_until(self.failures, self.last_failure, now)
    }
}

/// When a pod of an index may be made again after its last one, which had failed so often before
/// and was `pod`; `None` for now.
pub(super) fn index_wait_until(failures_before: u32, pod: &Pod, now: SimTime) -> Option<SimTime> {
    wait_until(failures_before.saturating_add(1), finished_at(pod), now)
}

fn wait_until(failures: u32, last_failure: SimTime, now: SimTime) -> Option<SimTime> {
    if failures == 0 {
        return None;
    }
    Some(last_failure + exponential(BASE, LIMIT, failures)).filter(|&until| until > now)
}

/// When a pod ended, in whole seconds: with its last container, else when it ceased to be ready,
/// else when its deletion was asked for, else at its creation.
pub(super) fn finished_at(pod: &Pod) -> SimTime {
    let at = last_container_end(pod).or_else(|| {
        let ready = pod.status.conditions.get(PodConditionType::Ready);
        (ready.status == ConditionStatus::False).then(|| ready.since())
    });
    let at = at.or_else(|| {
        let asked = |deletion: Deletion| deletion.at - Span::from_secs(i64::from(deletion.grace_seconds));
        pod.meta.deletion().map(asked)
    });
    at.unwrap_or(pod.meta.created).truncate_to_second()
}

/// When the last main container or sidecar ended, if all have.
fn last_container_end(pod: &Pod) -> Option<SimTime> {
    let statuses = pod.status.containers.as_deref()?;
    let inits = &pod.spec.init_containers;
    let counts = |index: usize| inits.get(index).is_none_or(|container| container.is_sidecar());
    let mut last = None;
    for (_, status) in statuses.iter().enumerate().filter(|&(index, _)| counts(index)) {
        match status.state {
            ContainerState::Terminated { finished, .. } => last = last.max(Some(finished)),
            ContainerState::Waiting { .. } | ContainerState::Running { .. } => return None,
        }
    }
    last
}
