//! The status of a Deployment: counts, conditions, and the judgement of progress.

use compact_str::CompactString;
use seatrial_api::pod::ConditionStatus;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{Condition, Deployment, DeploymentStatus, ReplicaSet, condition};

use super::plan::{Check, Limits, Planner, Step};
use super::rollout::sum;

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";

const PAUSED: &str = "DeploymentPaused";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";

/// How near a deadline must be for the Deployment to be looked at again by back-off.
const NEAR: Span = Span::from_secs(1);

impl Planner<'_> {
    /// Notes that the Deployment is paused or resumed, so that a pause does not count as a lack of
    /// progress.
    pub(super) fn judge_pause(&mut self) {
        let Some(paused) = pause_to_note(&self.deployment) else { return };
        let (reason, message) = if paused {
            (PAUSED, "Deployment is paused")
        } else {
            ("DeploymentResumed", "Deployment is resumed")
        };
        self.set_progressing(ConditionStatus::Unknown, reason, message);
        self.write_status_now();
    }

    /// The counts that the ReplicaSets report, and whether enough pods are available.
    fn counted_status(&self) -> DeploymentStatus {
        let all = || self.sets.iter().map(|set| &**set);
        let available = sum(all().map(|set| set.status.available_replicas));
        let wanted = sum(all().map(|set| set.replicas));
        let mut status = DeploymentStatus {
            replicas: sum(all().map(|set| set.status.replicas)),
            updated_replicas: self.new_set().map_or(0, |set| set.status.replicas),
            ready_replicas: sum(all().map(|set| set.status.ready_replicas)),
            available_replicas: available,
            unavailable_replicas: wanted.saturating_sub(available).max(0),
            terminating_replicas: None,
            collision_count: self.deployment.status.collision_count,
            observed_generation: self.deployment.meta.generation,
            conditions: self.deployment.status.conditions.clone(),
        };
        if self.view.version >= KubernetesVersion::V1_36 {
            status.terminating_replicas = terminating(all());
        }
        let least = self.deployment.replicas - Limits::of(&self.deployment).max_unavailable;
        let (truth, reason, message) = if available >= least {
            (ConditionStatus::True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (
                ConditionStatus::False,
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        };
        set_condition(&mut status.conditions, AVAILABLE, truth, reason, message, self.view.now);
        status
    }

    /// The status after a sync that rolls nothing out: progress is not judged.
    pub(super) fn write_scaled_status(&mut self) {
        let status = self.counted_status();
        self.write_if_changed(status);
    }

    /// The status after a rollout's step, with its progress.
    pub(super) fn write_rollout_status(&mut self) {
        let mut status = self.counted_status();
        self.judge_progress(&mut status);
        match failure(self.new_set().into_iter().chain(&self.sets).map(|set| &**set)) {
            Some(failure) => put_condition(&mut status.conditions, failure),
            None => status.conditions.retain(|condition| condition.kind != REPLICA_FAILURE),
        }
        if status == self.deployment.status {
            self.check_progress_later(&status);
        }
        self.write_if_changed(status);
    }

    fn write_if_changed(&mut self, status: DeploymentStatus) {
        if status != self.deployment.status {
            self.deployment.status = status;
            self.write_status_now();
        }
    }

    fn judge_progress(&self, status: &mut DeploymentStatus) {
        let deployment = &self.deployment;
        if !has_deadline(deployment) {
            status.conditions.retain(|condition| condition.kind != PROGRESSING);
            return;
        }
        let current = condition(&deployment.status.conditions, PROGRESSING);
        let finished = current.is_some_and(|current| current.reason == NEW_SET_AVAILABLE);
        if finished && status.replicas == status.updated_replicas {
            return;
        }
        let subject = || match self.new_set() {
            Some(set) => format!("ReplicaSet \"{}\"", set.meta.name),
            None => format!("Deployment \"{}\"", deployment.meta.name),
        };
        let now = self.view.now;
        if is_complete(deployment, status) {
            let message = format!("{} has successfully progressed.", subject());
            let truth = ConditionStatus::True;
            set_condition(&mut status.conditions, PROGRESSING, truth, NEW_SET_AVAILABLE, &message, now);
        } else if has_progressed(&deployment.status, status) {
            let message = format!("{} is progressing.", subject());
            // The time of the last progress moves even if the reason stays the same.
            let since = current.filter(|current| current.status == ConditionStatus::True);
            let updated = now.truncate_to_second();
            status.conditions.retain(|condition| condition.kind != PROGRESSING);
            status.conditions.push(Condition {
                kind: PROGRESSING.into(),
                status: ConditionStatus::True,
                reason: "ReplicaSetUpdated".into(),
                message: message.into(),
                transition: since.map_or(updated, |current| current.transition),
                updated,
            });
        } else if has_timed_out(deployment, status, now) {
            let message = format!("{} has timed out progressing.", subject());
            let truth = ConditionStatus::False;
            set_condition(&mut status.conditions, PROGRESSING, truth, TIMED_OUT, &message, now);
        }
    }

    /// Without progress nothing would wake the Deployment when its deadline passes (upstream
    /// `progress.go`, `requeueStuckDeployment`). One whose rollout was complete once and that lacks pods
    /// now never times out: once its deadline has passed, nothing comes of looking again.
    fn check_progress_later(&mut self, status: &DeploymentStatus) {
        let deployment = &self.deployment;
        let Some(current) = condition(&deployment.status.conditions, PROGRESSING) else { return };
        if !has_deadline(deployment) || is_complete(deployment, status) || current.reason == TIMED_OUT {
            return;
        }
        let deadline = current.updated + deadline(deployment);
        let check = match deadline - self.view.now < NEAR {
            false => Check::At(deadline + NEAR),
            true if current.reason == NEW_SET_AVAILABLE && self.steps.is_empty() => Check::Idly,
            true => Check::Soon,
        };
        self.steps.push(Step::CheckProgress(check));
    }
}

/// Whether a lack of progress is reported at all.
pub(super) fn has_deadline(deployment: &Deployment) -> bool {
    deployment.progress_deadline_seconds != i32::MAX
}

fn deadline(deployment: &Deployment) -> Span {
    Span::from_secs(i64::from(deployment.progress_deadline_seconds))
}

/// Whether all pods that are wanted, and no others, are of the newest template and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let desired = deployment.replicas;
    status.updated_replicas == desired
        && status.replicas == desired
        && status.available_replicas == desired
        && status.observed_generation >= deployment.meta.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    new.updated_replicas > old.updated_replicas
        || new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn has_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: SimTime) -> bool {
    condition(&status.conditions, PROGRESSING).is_some_and(|current| {
        current.reason != NEW_SET_AVAILABLE
            && (current.reason == TIMED_OUT || current.updated + deadline(deployment) < now)
    })
}

/// Whether a pause (`true`) or its end is still to be noted.
fn pause_to_note(deployment: &Deployment) -> Option<bool> {
    let current = condition(&deployment.status.conditions, PROGRESSING);
    if !has_deadline(deployment) || current.is_some_and(|current| current.reason == TIMED_OUT) {
        return None;
    }
    let noted = current.is_some_and(|current| current.reason == PAUSED);
    (noted != deployment.paused).then_some(deployment.paused)
}

/// Terminating pods of all ReplicaSets; unknown if one that was synced does not report them.
fn terminating<'a>(sets: impl Iterator<Item = &'a ReplicaSet>) -> Option<i32> {
    let mut total = 0i32;
    for set in sets {
        match set.status.terminating_replicas {
            Some(count) => total = total.saturating_add(count),
            None if set.status.observed_generation == 0 => {}
            None => return None,
        }
    }
    Some(total)
}

/// The first failure that a ReplicaSet reports.
fn failure<'a>(mut sets: impl Iterator<Item = &'a ReplicaSet>) -> Option<Condition> {
    let failure = sets.find_map(|set| condition(&set.status.conditions, REPLICA_FAILURE))?;
    Some(Condition { updated: failure.transition, ..failure.clone() })
}

/// Sets a condition unless it has this status and reason already; its transition time moves only
/// with its status.
pub(super) fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: &str,
    now: SimTime,
) {
    let current = condition(conditions, kind);
    if current.is_some_and(|current| current.status == status && current.reason == reason) {
        return;
    }
    let now = now.truncate_to_second();
    let condition = Condition {
        kind: kind.into(),
        status,
        reason: reason.into(),
        message: CompactString::from(message),
        transition: now,
        updated: now,
    };
    put_condition(conditions, condition);
}

fn put_condition(conditions: &mut Vec<Condition>, mut next: Condition) {
    if let Some(current) = conditions.iter().find(|condition| condition.kind == next.kind) {
        if current.status == next.status {
            if current.reason == next.reason {
                return;
            }
            next.transition = current.transition;
        }
        conditions.retain(|condition| condition.kind != next.kind);
    }
    conditions.push(next);
}
