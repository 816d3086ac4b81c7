//! Counting a Job's finished pods, so that each is counted once whenever the controller stops.
//!
//! Pods are first noted in the status as uncounted, then lose their finalizer, then are counted.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use seatrial_api::meta::Uid;
use seatrial_api::pod::{ConditionStatus, Pod, PodPhase};
use seatrial_api::units::SimTime;
use seatrial_api::workload::{Condition, Job, JobStatus, condition};

use super::assess::{Assessment, COMPLETE, FAILED, FAILURE_TARGET, Finish, SUCCESS_CRITERIA_MET, View};
use super::policy::{Verdict, is_failed};

/// The most pods that are noted as uncounted at once.
const UNCOUNTED_MAX: usize = 500;

/// The outcome of a count.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// The status with what is to be counted noted in it.
    pub(super) status: JobStatus,
    /// Whether the status must be written before finalizers are taken away.
    pub(super) flush: bool,
    /// Pods that lose their finalizer.
    pub(super) strip: Vec<Arc<Pod>>,
    /// Pods that will have their finalizer still.
    pub(super) tracked: FxHashSet<Uid>,
    /// The end of the Job, once everything is counted.
    pub(super) finish: Option<Finish>,
    /// Whether there is more to count than fits.
    pub(super) capped: bool,
}

/// Notes what is to be counted in a status.
pub(super) fn count(view: &View<'_>, assessment: &Assessment, status: JobStatus, flush: bool) -> Count {
    let tracked = view.pods.iter().filter(|pod| view.is_tracked(pod));
    let mut count = Count {
        status,
        flush,
        tracked: tracked.map(|pod| pod.meta.uid).collect(),
        finish: assessment.finish.clone(),
        ..Count::default()
    };
    count.flush |= settle(&mut count.status, &count.tracked);
    let completed = note_pods(view, assessment, &mut count);
    if view.is_indexed() {
        note_indexes(assessment, &completed, &mut count);
    }
    note_finish(view.now, &mut count);
    count
}

/// Notes finished pods as uncounted; returns newly completed indexes.
fn note_pods(view: &View<'_>, assessment: &Assessment, count: &mut Count) -> Vec<i32> {
    let job = view.job;
    let mut completed = Vec::new();
    let known = &job.status.uncounted;
    let mut pods: Vec<&Arc<Pod>> = view.pods.iter().collect();
    if view.is_indexed() {
        pods.sort_by_key(|pod| view.keys.index_of(pod));
    }
    for pod in pods.into_iter().filter(|pod| view.is_tracked(pod)) {
        let failed = is_failed(job, pod);
        if !may_strip(view, assessment, pod, failed) {
            continue;
        }
        count.strip.push(pod.clone());
        let uid = pod.meta.uid;
        let over = assessment.finish.as_ref().is_some_and(|finish| finish.kind != SUCCESS_CRITERIA_MET);
        if pod.status.phase == PodPhase::Succeeded && !known.failed.contains(&uid) {
            if view.is_indexed() {
                let new = |index: &i32| !assessment.recorded.contains(*index);
                completed.extend(view.valid_index(pod).filter(new));
            } else if !known.succeeded.contains(&uid) {
                count.flush = true;
                count.status.uncounted.succeeded.push(uid);
            }
        } else if failed || over {
            // When the Job has failed, every pod that has not ended counts as failed.
            let valid = !view.is_indexed() || view.valid_index(pod).is_some();
            if valid && !known.failed.contains(&uid) && Verdict::on(job, pod).counts() {
                count.flush = true;
                count.status.uncounted.failed.push(uid);
            }
        }
        let noted = &count.status.uncounted;
        if completed.len() + noted.succeeded.len() + noted.failed.len() >= UNCOUNTED_MAX {
            count.capped = true;
            break;
        }
    }
    completed
}

/// Whether a pod may lose its finalizer: it has ended, or the Job has. The last failed pod of an
/// index keeps it until there is another one, which takes over its count of failures.
fn may_strip(view: &View<'_>, assessment: &Assessment, pod: &Pod, failed: bool) -> bool {
    if view.job.meta.is_deleting() || assessment.finish.is_some() || pod.status.phase == PodPhase::Succeeded {
        return true;
    }
    let delayed = view.keys.index_of(pod).and_then(|index| assessment.delayed.get(&index));
    failed && delayed.is_none_or(|delayed| delayed.meta.uid != pod.meta.uid)
}

fn note_indexes(assessment: &Assessment, completed: &[i32], count: &mut Count) {
    let indexes = assessment.completed.with(completed.iter().copied());
    let text = indexes.text();
    count.flush |= !completed.is_empty() || text != count.status.completed_indexes;
    count.status.succeeded = indexes.total();
    count.status.completed_indexes = text;
    let failed = assessment.failed_indexes.as_ref().map(|failed| failed.text());
    if count.status.failed_indexes != failed {
        count.status.failed_indexes = failed;
        count.flush = true;
    }
}

/// Notes that the Job is about to end, before pods lose their finalizers.
fn note_finish(now: SimTime, count: &mut Count) {
    let Some(finish) = &mut count.finish else { return };
    let note = |finish: &Finish| Condition {
        kind: finish.kind.into(),
        status: ConditionStatus::True,
        reason: finish.reason,
        message: finish.message.clone(),
        transition: now.truncate_to_second(),
        updated: now.truncate_to_second(),
    };
    if finish.kind == FAILURE_TARGET {
        count.status.conditions.push(note(finish));
        count.flush = true;
        finish.kind = FAILED;
    } else if finish.kind == SUCCESS_CRITERIA_MET {
        if condition(&count.status.conditions, SUCCESS_CRITERIA_MET).is_none() {
            count.status.conditions.push(note(finish));
            count.flush = true;
        }
        finish.kind = COMPLETE;
    }
}

/// Counts uncounted pods that have no finalizer any more. Returns whether there were some.
pub(super) fn settle(status: &mut JobStatus, tracked: &FxHashSet<Uid>) -> bool {
    let mut settled = false;
    let mut take = |uncounted: &mut Vec<Uid>, counter: &mut i32| {
        let before = uncounted.len();
        uncounted.retain(|uid| tracked.contains(uid));
        let counted = before - uncounted.len();
        settled |= counted > 0;
        *counter = counter.saturating_add(i32::try_from(counted).unwrap_or(i32::MAX));
    };
    take(&mut status.uncounted.succeeded, &mut status.succeeded);
    take(&mut status.uncounted.failed, &mut status.failed);
    settled
}

/// Ends the Job if everything is counted and no pod is terminating. Returns whether it has ended.
pub(super) fn conclude(status: &mut JobStatus, finish: &Finish, terminating: i32, now: SimTime) -> bool {
    let uncounted = &status.uncounted;
    if !uncounted.succeeded.is_empty() || !uncounted.failed.is_empty() || terminating > 0 {
        return false;
    }
    let (reason, message) = (finish.reason.as_str(), finish.message.as_str());
    set_condition(&mut status.conditions, finish.kind, ConditionStatus::True, reason, message, now);
    if finish.kind == COMPLETE {
        status.completion_time = Some(now.truncate_to_second());
    }
    true
}

/// Sets a condition; one that is absent does not become false. Returns whether anything changed.
pub(super) fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: &str,
    now: SimTime,
) -> bool {
    let known = conditions.iter_mut().find(|condition| condition.kind == kind);
    let same =
        |known: &Condition| known.status == status && known.reason == reason && known.message == message;
    match &known {
        Some(known) if same(known) => return false,
        None if status == ConditionStatus::False => return false,
        _ => {}
    }
    let now = now.truncate_to_second();
    let next = Condition {
        kind: kind.into(),
        status,
        reason: reason.into(),
        message: message.into(),
        transition: now,
        updated: now,
    };
    match known {
        Some(known) => *known = next,
        None => conditions.push(next),
    }
    true
}

/// Whether a Job has ended.
pub(crate) fn is_finished(job: &Job) -> bool {
    finished_at(job).is_some()
}

/// When a Job ended.
pub(crate) fn finished_at(job: &Job) -> Option<SimTime> {
    let ended = |condition: &&Condition| {
        (condition.kind == COMPLETE || condition.kind == FAILED) && condition.status == ConditionStatus::True
    };
    job.status.conditions.iter().find(ended).map(|condition| condition.transition)
}
