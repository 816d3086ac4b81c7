//! How a Job stands: a pure function of the Job, its pods and what its controller remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::container::RestartPolicy;
use seatrial_api::pod::{ConditionStatus, Pod, PodPhase};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{CompletionMode, Condition, Job, condition};

use super::backoff::{BackoffRecord, finished_at, index_wait_until};
use super::indexes::Indexes;
use super::policy::{Verdict, is_failed, job_failure, job_success, replaces_failed_only};
use crate::framework::{is_terminating, ready_since, restarts};

pub(super) const COMPLETE: &str = "Complete";
pub(super) const FAILED: &str = "Failed";
pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";

/// The most pods that one sync creates or deletes.
const BURST: usize = 500;

/// Keys of labels, annotations and finalizers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) finalizer: Symbol,
    pub(super) index: Symbol,
    pub(super) index_failures: Symbol,
    pub(super) index_ignored_failures: Symbol,
}

impl Keys {
    pub(super) fn new() -> Keys {
        Keys {
            finalizer: "batch.kubernetes.io/job-tracking".into(),
            index: "batch.kubernetes.io/job-completion-index".into(),
            index_failures: "batch.kubernetes.io/job-index-failure-count".into(),
            index_ignored_failures: "batch.kubernetes.io/job-index-ignored-failure-count".into(),
        }
    }

    /// Whether a pod is still to be counted.
    pub(super) fn is_tracked(&self, pod: &Pod) -> bool {
        pod.meta.finalizers().contains(&self.finalizer)
    }

    /// The completion index of a pod, if it has one.
    pub(super) fn index_of(&self, pod: &Pod) -> Option<i32> {
        let index = pod.meta.annotations.get(self.index)?.as_str().parse::<i32>().ok()?;
        Some(index).filter(|&index| index >= 0)
    }

    fn number(pod: &Pod, key: Symbol) -> u32 {
        let text = pod.meta.annotations.get(key);
        text.and_then(|text| text.as_str().parse::<i32>().ok())
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0)
    }

    /// How often the index had failed before this pod: counted failures, and ignored ones.
    pub(super) fn failures_before(&self, pod: &Pod) -> (u32, u32) {
        (Keys::number(pod, self.index_failures), Keys::number(pod, self.index_ignored_failures))
    }
}

/// What a sync looks at.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) job: &'a Job,
    pub(super) pods: &'a [Arc<Pod>],
    /// Pods whose finalizer was taken away and whose cached version does not show it yet.
    pub(super) stripped: &'a BTreeSet<u32>,
    pub(super) keys: &'a Keys,
    pub(super) now: SimTime,
}

impl View<'_> {
    /// Whether a pod is still to be counted, as far as is known.
    pub(super) fn is_tracked(&self, pod: &Pod) -> bool {
        self.keys.is_tracked(pod) && !self.stripped.contains(&pod.meta.id)
    }

    pub(super) fn is_indexed(&self) -> bool {
        self.job.completion_mode == CompletionMode::Indexed
    }

    pub(super) fn completions(&self) -> i32 {
        self.job.completions.unwrap_or(0)
    }

    /// The index of a pod, if it is one that the Job has.
    pub(super) fn valid_index(&self, pod: &Pod) -> Option<i32> {
        self.keys.index_of(pod).filter(|&index| index < self.completions())
    }

    /// Tracked pods; of an indexed Job those with a valid index.
    fn countable(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let valid = |pod: &&Arc<Pod>| !self.is_indexed() || self.valid_index(pod).is_some();
        self.pods.iter().filter(|pod| self.is_tracked(pod)).filter(valid)
    }
}

/// Why a Job is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finish {
    /// The condition's type.
    pub(super) kind: &'static str,
    pub(super) reason: Symbol,
    pub(super) message: CompactString,
}

impl Finish {
    fn of(kind: &'static str, reason: &str, message: impl Into<CompactString>) -> Finish {
        Finish { kind, reason: reason.into(), message: message.into() }
    }

    fn as_noted(kind: &'static str, condition: &Condition) -> Finish {
        Finish { kind, reason: condition.reason, message: condition.message.clone() }
    }

    /// All completions have been reached.
    pub(super) fn reached() -> Finish {
        Finish::of(SUCCESS_CRITERIA_MET, "CompletionsReached", "Reached expected number of succeeded pods")
    }
}

/// How a Job stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Assessment {
    pub(super) active: Vec<Arc<Pod>>,
    pub(super) ready: i32,
    pub(super) terminating: i32,
    pub(super) succeeded: i32,
    pub(super) record: BackoffRecord,
    pub(super) finish: Option<Finish>,
    /// Indexes that are in the status, and those with what has newly succeeded.
    pub(super) recorded: Indexes,
    pub(super) completed: Indexes,
    /// Failed indexes, if the Job limits failures by index.
    pub(super) failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that waits for a new one; it stays uncounted until then.
    pub(super) delayed: BTreeMap<i32, Arc<Pod>>,
    /// When the deadline passes.
    pub(super) deadline: Option<SimTime>,
}

/// Assesses a Job. `record` are its failures so far.
pub(super) fn assess(view: &View<'_>, record: BackoffRecord) -> Assessment {
    let job = view.job;
    let active: Vec<Arc<Pod>> = view.pods.iter().filter(|pod| pod.is_active()).cloned().collect();
    let uncounted = &job.status.uncounted;
    let is_new = |list: &[_], pod: &&Arc<Pod>| !list.contains(&pod.meta.uid);
    let ended_well =
        |pod: &&Arc<Pod>| pod.status.phase == PodPhase::Succeeded && is_new(&uncounted.succeeded, pod);
    let ended_badly = |pod: &&Arc<Pod>| is_failed(job, pod) && is_new(&uncounted.failed, pod);
    let succeeded: Vec<Arc<Pod>> = view.countable().filter(ended_well).cloned().collect();
    let failed: Vec<Arc<Pod>> = view.countable().filter(ended_badly).cloned().collect();
    let counted = failed.iter().filter(|pod| Verdict::on(job, pod).counts()).count();
    let failures = job.status.failed + count(counted) + count(uncounted.failed.len());
    let mut assessment = Assessment {
        ready: count(active.iter().filter(|pod| pod.is_ready()).count()),
        terminating: count(view.pods.iter().filter(|pod| is_terminating(pod)).count()),
        succeeded: job.status.succeeded + count(succeeded.len()) + count(uncounted.succeeded.len()),
        record: record.with(&succeeded, &failed),
        finish: verdict(view, failures),
        active,
        ..Assessment::default()
    };
    if assessment.finish.is_none() && !job.suspend {
        assessment.deadline = deadline(job, view.now);
    }
    if view.is_indexed() {
        assess_indexes(view, &mut assessment);
    }
    assessment
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What was decided before, else whether the Job has failed.
fn verdict(view: &View<'_>, failures: i32) -> Option<Finish> {
    let job = view.job;
    let noted = |kind| {
        let condition = condition(&job.status.conditions, kind);
        condition.filter(|condition| condition.status == ConditionStatus::True)
    };
    if let Some(condition) = noted(SUCCESS_CRITERIA_MET) {
        return Some(Finish::as_noted(SUCCESS_CRITERIA_MET, condition));
    }
    if let Some(condition) = noted(FAILURE_TARGET) {
        return Some(Finish::as_noted(FAILED, condition));
    }
    if let Some(message) = job_failure(job, view.pods.iter().map(|pod| &**pod)) {
        return Some(Finish::of(FAILURE_TARGET, "PodFailurePolicy", message));
    }
    if failures > job.backoff_limit || restarts_exceed_limit(view) {
        let message = "Job has reached the specified backoff limit";
        return Some(Finish::of(FAILURE_TARGET, "BackoffLimitExceeded", message));
    }
    let late = !job.suspend && deadline(job, view.now).is_some_and(|deadline| deadline <= view.now);
    late.then(|| {
        Finish::of(FAILURE_TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    })
}

/// When the Job's deadline passes. A Job that begins now is measured from now on.
fn deadline(job: &Job, now: SimTime) -> Option<SimTime> {
    let seconds = job.active_deadline_seconds?;
    let start = job.status.start_time.unwrap_or_else(|| now.truncate_to_second());
    Some(start + Span::from_secs(seconds))
}

/// Whether pods that restart their containers have done so too often.
fn restarts_exceed_limit(view: &View<'_>) -> bool {
    let job = view.job;
    if job.template.spec.restart_policy != RestartPolicy::OnFailure {
        return false;
    }
    let runs = |pod: &&Arc<Pod>| matches!(pod.status.phase, PodPhase::Running | PodPhase::Pending);
    let restarts: u64 = view.pods.iter().filter(runs).map(|pod| u64::from(pod.status.restarts())).sum();
    let limit = u64::try_from(job.backoff_limit).unwrap_or(0);
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn assess_indexes(view: &View<'_>, assessment: &mut Assessment) {
    let job = view.job;
    let completions = view.completions();
    assessment.recorded = Indexes::parse(&job.status.completed_indexes, completions);
    let indexes = |pods: &mut dyn Iterator<Item = &Arc<Pod>>| -> Vec<i32> {
        pods.filter(|pod| view.keys.is_tracked(pod)).filter_map(|pod| view.valid_index(pod)).collect()
    };
    let succeeded = indexes(&mut view.pods.iter().filter(|pod| pod.status.phase == PodPhase::Succeeded));
    assessment.completed = assessment.recorded.with(succeeded);
    assessment.succeeded = assessment.completed.total();
    if let Some(limit) = job.backoff_limit_per_index {
        let before = job.status.failed_indexes.as_deref().unwrap_or("");
        let failed = indexes(&mut view.pods.iter().filter(|pod| fails_index(view, pod, limit)));
        let failed = Indexes::parse(before, completions).with(failed);
        if assessment.finish.is_none() {
            assessment.finish = index_failure(job, &failed, &assessment.completed);
        }
        assessment.delayed = delayed_pods(view, assessment, &failed);
        assessment.failed_indexes = Some(failed);
    }
    if assessment.finish.is_none()
        && let Some(message) = job_success(job, &assessment.completed)
    {
        assessment.finish = Some(Finish::of(SUCCESS_CRITERIA_MET, "SuccessPolicy", message));
    }
}

fn fails_index(view: &View<'_>, pod: &Pod, limit: i32) -> bool {
    if !is_failed(view.job, pod) {
        return false;
    }
    match Verdict::on(view.job, pod) {
        Verdict::FailIndex => true,
        Verdict::Ignore => false,
        Verdict::Count | Verdict::FailJob(_) => {
            i64::from(view.keys.failures_before(pod).0) >= i64::from(limit)
        }
    }
}

fn index_failure(job: &Job, failed: &Indexes, completed: &Indexes) -> Option<Finish> {
    if job.max_failed_indexes.is_some_and(|most| failed.total() > most) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Some(Finish::of(FAILURE_TARGET, "MaxFailedIndexesExceeded", message));
    }
    let all_done = failed.total().saturating_add(completed.total()) >= job.completions.unwrap_or(0);
    let over = !failed.is_empty() && all_done;
    over.then(|| Finish::of(FAILURE_TARGET, "FailedIndexes", "Job has failed indexes"))
}

/// The last failed pod of each index that is neither done nor active.
fn delayed_pods(view: &View<'_>, assessment: &Assessment, failed: &Indexes) -> BTreeMap<i32, Arc<Pod>> {
    let active: BTreeSet<i32> = assessment.active.iter().filter_map(|pod| view.keys.index_of(pod)).collect();
    let failures = |pod: &Pod| {
        let (counted, ignored) = view.keys.failures_before(pod);
        counted.saturating_add(ignored)
    };
    let mut delayed: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
    for pod in view.countable().filter(|pod| is_failed(view.job, pod)) {
        let Some(index) = view.valid_index(pod) else { continue };
        if assessment.completed.contains(index) || failed.contains(index) || active.contains(&index) {
            continue;
        }
        let is_later =
            |known: &Arc<Pod>| failures(known) <= failures(pod) && finished_at(pod) >= finished_at(known);
        if delayed.get(&index).is_none_or(is_later) {
            delayed.insert(index, pod.clone());
        }
    }
    delayed
}

/// What to do about the number of active pods.
#[derive(Debug, Default)]
pub(super) enum Management {
    #[default]
    Nothing,
    /// These pods go.
    Delete(Vec<Arc<Pod>>),
    /// So many pods are made, with these indexes if the Job is indexed.
    Create(Vec<Option<i32>>),
    /// Pods are to be made, but not before this instant.
    Wait(SimTime),
}

/// Decides about the number of active pods of a Job that is not over.
pub(super) fn manage(view: &View<'_>, assessment: &Assessment) -> Management {
    let job = view.job;
    let active = count(assessment.active.len());
    if job.suspend {
        return Management::Delete(surplus(view, &assessment.active, assessment.active.len()));
    }
    let wanted = match job.completions {
        None if assessment.succeeded > 0 => active,
        None => job.parallelism,
        Some(completions) => completions.saturating_sub(assessment.succeeded).min(job.parallelism).max(0),
    };
    let mut doomed = surplus(view, &assessment.active, usize::try_from(active - wanted).unwrap_or(0));
    if !doomed.is_empty() {
        doomed.truncate(BURST);
        return Management::Delete(doomed);
    }
    let terminating = if replaces_failed_only(job) { assessment.terminating } else { 0 };
    let missing = usize::try_from(wanted - terminating - active).unwrap_or(0).min(BURST);
    if missing == 0 {
        return Management::Nothing;
    }
    if job.backoff_limit_per_index.is_none()
        && let Some(until) = assessment.record.wait_until(view.now)
    {
        return Management::Wait(until);
    }
    if !view.is_indexed() {
        return Management::Create(vec![None; missing]);
    }
    create_indexes(view, assessment, missing)
}

/// The lowest free indexes are taken first; those that must wait keep their place.
fn create_indexes(view: &View<'_>, assessment: &Assessment, missing: usize) -> Management {
    let index_of = |pod: &Arc<Pod>| view.keys.index_of(pod);
    let mut taken = assessment.completed.with(assessment.active.iter().filter_map(index_of));
    if replaces_failed_only(view.job) {
        taken = taken.with(view.pods.iter().filter(|pod| is_terminating(pod)).filter_map(index_of));
    }
    if let Some(failed) = &assessment.failed_indexes {
        taken = taken.union(failed);
    }
    let (mut now, mut earliest) = (Vec::new(), None::<SimTime>);
    for index in taken.first_missing(missing, view.completions()) {
        let last = assessment.delayed.get(&index).filter(|_| view.job.backoff_limit_per_index.is_some());
        let wait = last.and_then(|pod| {
            let (counted, ignored) = view.keys.failures_before(pod);
            index_wait_until(counted.saturating_add(ignored), pod, view.now)
        });
        match wait {
            None => now.push(Some(index)),
            Some(until) => earliest = Some(earliest.map_or(until, |earliest| earliest.min(until))),
        }
    }
    match earliest {
        Some(until) if now.is_empty() => Management::Wait(until),
        _ => Management::Create(now),
    }
}

/// Active pods to give up: of an indexed Job all without valid index and all but one of an index,
/// then others up to `at_least`.
fn surplus(view: &View<'_>, active: &[Arc<Pod>], at_least: usize) -> Vec<Arc<Pod>> {
    let (mut doomed, mut others) = (Vec::new(), Vec::new());
    if view.is_indexed() {
        let mut by_index: BTreeMap<i32, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in active {
            match view.valid_index(pod) {
                Some(index) => by_index.entry(index).or_default().push(pod.clone()),
                None => doomed.push(pod.clone()),
            }
        }
        for mut pods in by_index.into_values() {
            pods.sort_by_key(|pod| rank(pod));
            others.extend(pods.pop());
            doomed.append(&mut pods);
        }
    } else {
        others.extend_from_slice(active);
    }
    if doomed.len() < at_least {
        others.sort_by_key(|pod| rank(pod));
        others.truncate(at_least - doomed.len());
        doomed.append(&mut others);
    }
    doomed
}

/// The order in which active pods are given up.
fn rank(pod: &Pod) -> impl Ord + use<> {
    use std::cmp::Reverse;
    let phase = match pod.status.phase {
        PodPhase::Pending => 0,
        PodPhase::Unknown => 1,
        PodPhase::Running | PodPhase::Succeeded | PodPhase::Failed => 2,
    };
    let since = ready_since(pod);
    let created = pod.meta.created.truncate_to_second();
    (pod.node.is_some(), phase, since.is_some(), Reverse(since), Reverse(restarts(pod)), Reverse(created))
}
