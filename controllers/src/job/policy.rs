//! What the failure or the success of a Job's pods means: its pod failure policy and its success
//! policy.

use seatrial_api::pod::{ContainerState, ContainerStatus, Pod, PodConditionType, PodPhase};
use seatrial_api::workload::{Job, PodFailureAction, PodFailureMatch, PodReplacementPolicy};

use super::indexes::Indexes;

/// How a failed pod is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts.
    Count,
    /// It does not count.
    Ignore,
    /// It counts, and its index has failed.
    FailIndex,
    /// The Job has failed, with this message.
    FailJob(String),
}

impl Verdict {
    /// The first rule of a Job's policy that a failed pod matches; without one it counts.
    pub(super) fn on(job: &Job, pod: &Pod) -> Verdict {
        for (index, rule) in job.pod_failure_policy.iter().enumerate() {
            let Some(cause) = matched(&rule.matches, pod) else { continue };
            return match rule.action {
                PodFailureAction::Count => Verdict::Count,
                PodFailureAction::Ignore => Verdict::Ignore,
                PodFailureAction::FailIndex => Verdict::FailIndex,
                PodFailureAction::FailJob => {
                    Verdict::FailJob(format!("{cause} matching FailJob rule at index {index}"))
                }
            };
        }
        Verdict::Count
    }

    /// Whether the failure counts towards the limits.
    pub(super) fn counts(&self) -> bool {
        *self != Verdict::Ignore
    }
}

/// How a pod matches a rule, as a message begins.
fn matched(rule: &PodFailureMatch, pod: &Pod) -> Option<String> {
    let name = pod.meta.full_name();
    match rule {
        PodFailureMatch::ExitCodes { container, negated, values } => {
            let statuses = pod.status.containers.as_deref().unwrap_or(&[]);
            let inits = pod.spec.init_containers.len().min(statuses.len());
            let (inits, mains) = statuses.split_at(inits);
            let fits = |status: &&ContainerStatus| {
                let named = container.is_none_or(|container| container == status.name);
                let code = exit_code(status).filter(|&code| code != 0);
                named && code.is_some_and(|code| values.contains(&code) != *negated)
            };
            let status = mains.iter().find(fits).or_else(|| inits.iter().find(fits))?;
            let code = exit_code(status)?;
            Some(format!("Container {} for pod {name} failed with exit code {code}", status.name))
        }
        PodFailureMatch::Conditions(patterns) => {
            let condition = PodConditionType::ALL.into_iter().find(|&kind| {
                let status = pod.status.conditions.get(kind).status;
                patterns.iter().any(|pattern| pattern.0 == kind.as_str() && pattern.1 == status)
            })?;
            Some(format!("Pod {name} has condition {}", condition.as_str()))
        }
    }
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    match status.state {
        ContainerState::Terminated { exit_code, .. } => Some(exit_code),
        ContainerState::Waiting { .. } | ContainerState::Running { .. } => None,
    }
}

/// Whether a pod is replaced only when it has failed, not already when it begins to terminate.
pub(super) fn replaces_failed_only(job: &Job) -> bool {
    job.pod_replacement_policy == PodReplacementPolicy::Failed || !job.pod_failure_policy.is_empty()
}

/// Whether a pod counts as failed. Pods that are going away do so before they have ended, unless
/// only failed ones are replaced.
pub(super) fn is_failed(job: &Job, pod: &Pod) -> bool {
    pod.status.phase == PodPhase::Failed
        || (!replaces_failed_only(job) && pod.meta.is_deleting() && pod.status.phase != PodPhase::Succeeded)
}

/// The message that the Job has failed by its policy, if it has.
pub(super) fn job_failure<'a>(job: &Job, mut pods: impl Iterator<Item = &'a Pod>) -> Option<String> {
    if job.pod_failure_policy.is_empty() {
        return None;
    }
    pods.find_map(|pod| match Verdict::on(job, pod) {
        Verdict::FailJob(message) if is_failed(job, pod) => Some(message),
        _ => None,
    })
}

/// The message that the Job has succeeded by its policy, if it has.
pub(super) fn job_success(job: &Job, succeeded: &Indexes) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let completions = job.completions.unwrap_or(0);
    let met = job.success_policy.iter().position(|rule| match &rule.indexes {
        Some(ranges) => {
            let required = Indexes::of_ranges(ranges, completions);
            let reached = required.overlap(succeeded);
            !required.is_empty()
                && (reached == required.total() || rule.count.is_some_and(|count| reached >= count))
        }
        None => rule.count.is_some_and(|count| succeeded.total() >= count),
    })?;
    Some(format!("Matched rules at index {met}"))
}
