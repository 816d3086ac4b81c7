//! The Job controller (upstream `pkg/controller/job`): runs pods to completion, counts them once,
//! and says how it ended.
//!
//! A sync assesses the Job ([`assess`]), creates or deletes pods, notes in the status what it is
//! about to count, takes finalizers away, and writes the counters ([`tracking`]).
//!
//! Model: the index of an indexed Job's pod is a literal environment variable; upstream takes it
//! from the pod's label.

mod assess;
mod backoff;
mod indexes;
mod orphans;
mod policy;
#[cfg(test)]
mod tests;
mod tracking;
mod ttl;

use std::collections::BTreeSet;
use std::sync::Arc;

use compact_str::format_compact;
use seatrial_api::container::Container;
use seatrial_api::labels::Labels;
use seatrial_api::machine::Severity;
use seatrial_api::meta::MetaExtra;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::{ConditionStatus, Pod, PodSpec};
use seatrial_api::request::{Change, ErrorReason, Patch, Reply, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{Job, JobStatus};

use self::assess::{Assessment, COMPLETE, Finish, Keys, Management, View};
use self::backoff::BackoffRecord;
use self::tracking::Count;
use crate::Config;
use crate::framework::{
    Adoptables, Caches, Claims, Client, Context, Controller, Event, Expectations, Mode, Next, OwnWrites,
    Parentage, Replies, RetryPolicy, Runner, is_not_deleting, may_adopt, read_fresh,
};

pub(crate) use orphans::JobOrphanController;
pub(crate) use ttl::TtlAfterFinishedController;

/// Workers of the controller.
const WORKERS: usize = 5;
/// The largest group of a slow start.
const GROUP_MAX: usize = 500;
/// How long changes of pods and of the status are collected before a sync.
const BATCH_PERIOD: Span = Span::from_secs(1);
/// The longest base of an indexed pod's generated name.
const GENERATED_BASE_MAX: usize = 58;

/// Runs Jobs.
#[derive(Clone, Debug)]
pub(crate) struct JobController {
    kind: Symbol,
    keys: Keys,
    states: Vec<Option<Box<JobState>>>,
    adoptables: Adoptables,
}

/// What is remembered of a Job.
#[derive(Clone, Debug, Default)]
struct JobState {
    expectations: Expectations,
    writes: OwnWrites,
    record: BackoffRecord,
    /// Pods whose finalizer was taken away and whose cached version does not show it yet.
    stripped: BTreeSet<u32>,
    parentage: Option<Parentage>,
    /// Whether it was written that the Job has ended.
    ended: bool,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The Job was read past the cache, because pods are to be adopted.
    Recheck,
    Claim,
    /// Active pods of a Job that is over are deleted; they keep their finalizer until counted.
    DeleteActive,
    /// Surplus pods lose their finalizer, because they are not counted.
    ReleaseSurplus,
    DeleteSurplus,
    Create,
    /// The status notes what is about to be counted.
    Note,
    Strip,
    /// The status counts what worked before the sync fails.
    CountSome,
    Count,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    /// The newest version that this sync knows.
    job: Option<Arc<Job>>,
    claims: Claims<Pod>,
    pods: Vec<Arc<Pod>>,
    stripped: BTreeSet<u32>,
    assessment: Assessment,
    /// The status in the making.
    status: JobStatus,
    may_manage: bool,
    managed: bool,
    active: i32,
    victims: Vec<Arc<Pod>>,
    count: Count,
    failed: bool,
}

impl JobController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<JobController> {
        let controller = JobController {
            kind: Symbol::new(Job::KIND.as_str()),
            keys: Keys::new(),
            states: Vec::new(),
            adoptables: Adoptables::default(),
        };
        let retry = RetryPolicy {
            base: Span::from_secs(1),
            limit: Span::from_mins(1),
            bucket: None,
            retries_max: None,
        };
        Runner::new(id, controller, retry, Client::new(config.client_limits), WORKERS)
    }

    fn state(&mut self, row: u32) -> &mut JobState {
        let index = row as usize;
        if index >= self.states.len() {
            self.states.resize_with(index + 1, || None);
        }
        self.states[index].get_or_insert_default()
    }

    fn forget(&mut self, row: u32) {
        if let Some(state) = self.states.get_mut(row as usize) {
            *state = None;
        }
    }

    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(job) = cx.caches.jobs.get(key).cloned() else {
            self.forget(key);
            return Next::Done;
        };
        if tracking::is_finished(&job) {
            self.forget(key);
            return Next::Done;
        }
        let state = self.state(key);
        if cx.config.version >= KubernetesVersion::V1_36 && !state.writes.are_seen(cx.caches) {
            return Next::Retry;
        }
        if state.ended {
            return Next::Done;
        }
        sync.may_manage = state.expectations.are_met(cx.now);
        let matches = |pod: &&Arc<Pod>| job.selector.matches(&pod.meta.labels);
        let owned = cx.caches.pods.controlled_by(job.meta.uid).cloned();
        let (pods, strangers): (Vec<_>, Vec<_>) = owned.partition(|pod| matches(&pod));
        sync.pods = pods;
        if !job.meta.is_deleting() {
            let orphans = self.adoptables.of(key).filter_map(|row| cx.caches.pods.get(row));
            sync.claims = Claims { adopt: orphans.cloned().collect(), release: strangers };
        }
        sync.job = Some(job.clone());
        if sync.claims.is_empty() {
            return self.assess(cx, key, sync);
        }
        if sync.claims.adopt.is_empty() {
            return self.claim(sync);
        }
        sync.stage = Stage::Recheck;
        Next::send(read_fresh(&*job))
    }

    fn claim(&mut self, sync: &mut Sync) -> Next {
        let Some(job) = &sync.job else { return Next::Done };
        sync.stage = Stage::Claim;
        Next::Send(sync.claims.batch(&**job, Some(self.keys.finalizer)))
    }

    fn assess(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(job) = sync.job.clone() else { return Next::Done };
        let state = self.state(key);
        sync.stripped = state.stripped.clone();
        let record = state.record;
        sync.status = job.status.clone();
        if job.status.start_time.is_none() && !job.suspend {
            sync.status.start_time = Some(cx.now.truncate_to_second());
        }
        let view = view(&job, sync, &self.keys, cx);
        let assessment = assess::assess(&view, record);
        let management = assess::manage(&view, &assessment);
        sync.active = i32::try_from(assessment.active.len()).unwrap_or(i32::MAX);
        if let Some(deadline) = assessment.deadline {
            cx.queue.add_at(deadline, key);
        }
        sync.assessment = assessment;
        if sync.assessment.finish.is_some() {
            sync.victims = sync.assessment.active.clone();
            sync.stage = Stage::DeleteActive;
            return Next::batch(Mode::Parallel, deletions(&sync.victims));
        }
        if !sync.may_manage || job.meta.is_deleting() {
            return self.judge_completion(cx, key, sync);
        }
        sync.managed = true;
        self.manage(cx, key, sync, &job, management)
    }

    fn manage(
        &mut self,
        cx: &mut Context<'_>,
        key: u32,
        sync: &mut Sync,
        job: &Arc<Job>,
        management: Management,
    ) -> Next {
        match management {
            Management::Nothing => self.judge_completion(cx, key, sync),
            Management::Wait(until) => {
                cx.queue.add_at(until.max(cx.now + BATCH_PERIOD), key);
                // Upstream takes nothing as active while creations wait.
                sync.active = 0;
                self.judge_completion(cx, key, sync)
            }
            Management::Delete(pods) => {
                let ids = pods.iter().map(|pod| pod.meta.id);
                self.state(key).expectations.expect_deletions(cx.now, ids);
                let tracked = |pod: &&Arc<Pod>| self.keys.is_tracked(pod);
                let strip = |pod: &Arc<Pod>| self.stripping(pod);
                // Those without finalizer come last, so that answers and pods keep their places.
                let (tracked, others): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| tracked(&pod));
                let requests = tracked.iter().map(strip).collect();
                sync.victims = tracked;
                sync.victims.extend(others);
                sync.stage = Stage::ReleaseSurplus;
                Next::batch(Mode::Parallel, requests)
            }
            Management::Create(indexes) => {
                let pods = self.made_pods(key, sync, job, &indexes);
                self.state(key).expectations.expect_creations(cx.now, pods.len());
                let create = |pod| Request::Create(Object::Pod(Arc::new(pod)));
                sync.stage = Stage::Create;
                Next::batch(Mode::SlowStart { group_max: GROUP_MAX }, pods.into_iter().map(create).collect())
            }
        }
    }

    fn stripping(&self, pod: &Pod) -> Request {
        Request::patch_pod(pod.meta.id, Patch::RemoveFinalizers(vec![self.keys.finalizer]))
    }

    /// New pods. Those of a Job without indexes share their specification.
    fn made_pods(&mut self, key: u32, sync: &Sync, job: &Arc<Job>, indexes: &[Option<i32>]) -> Vec<Pod> {
        let keys = self.keys;
        let finalizers = || vec![keys.finalizer];
        let parentage =
            self.state(key).parentage.get_or_insert_with(|| Parentage::generated(&**job, finalizers()));
        let pod = |index: &Option<i32>| match index {
            None => parentage.pod(&job.template),
            Some(index) => indexed_pod(&keys, parentage, sync, job, *index),
        };
        indexes.iter().map(pod).collect()
    }

    /// Surplus pods that have no finalizer any more are deleted.
    fn surplus_released(
        &mut self,
        cx: &mut Context<'_>,
        key: u32,
        sync: &mut Sync,
        replies: &Replies,
    ) -> Next {
        let released = |index: usize| match replies.get(index) {
            Some(Some(reply)) => reply.is_ok(),
            Some(None) => false,
            None => true,
        };
        let (doomed, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut sync.victims)
            .into_iter()
            .enumerate()
            .partition(|&(index, _)| released(index));
        for (index, pod) in kept {
            self.state(key).expectations.lower_deletion(pod.meta.id);
            let gone = matches!(&replies[index], Some(Err(error)) if error.reason == ErrorReason::NotFound);
            sync.failed |= !gone;
            sync.active -= i32::from(gone);
            sync.assessment.terminating += i32::from(gone);
        }
        sync.victims = doomed.into_iter().map(|(_, pod)| pod).collect();
        sync.stage = Stage::DeleteSurplus;
        if sync.victims.is_empty() {
            return self.deleted(cx, key, sync, &[]);
        }
        Next::batch(Mode::Parallel, deletions(&sync.victims))
    }

    /// Takes deletions into the counts of this sync.
    fn deleted(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let gone = |reply: &Option<Reply>| match reply {
            Some(Err(error)) => error.reason == ErrorReason::NotFound,
            reply => reply.is_some(),
        };
        let deleted = i32::try_from(replies.iter().filter(|reply| gone(reply)).count()).unwrap_or(i32::MAX);
        let all = deleted == i32::try_from(replies.len()).unwrap_or(i32::MAX);
        let ready = sync.victims.iter().filter(|pod| pod.is_ready()).count();
        sync.active -= deleted;
        sync.assessment.terminating += deleted;
        sync.assessment.ready -= i32::try_from(ready).unwrap_or(i32::MAX);
        sync.failed |= !all;
        if sync.stage != Stage::DeleteActive {
            return self.judge_completion(cx, key, sync);
        }
        if !all || !sync.may_manage {
            // There may be pods that the cache does not show yet, or that were not deleted.
            sync.assessment.finish = None;
        }
        self.track(cx, key, sync)
    }

    fn created(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let done = |reply: &&Option<Reply>| match reply {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.namespace_terminating,
            None => false,
        };
        let made = replies.iter().filter(done).count();
        let unseen = replies.len() - made;
        self.state(key).expectations.lower_creations(unseen);
        sync.active = sync.active.saturating_add(i32::try_from(made).unwrap_or(i32::MAX));
        sync.failed |= unseen > 0;
        self.judge_completion(cx, key, sync)
    }

    /// Whether the completions are reached; if not, whether the Job is suspended.
    fn judge_completion(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(job) = sync.job.clone() else { return Next::Done };
        let wanted = job.completions.unwrap_or(1);
        let complete = sync.assessment.succeeded >= wanted && sync.active == 0;
        if complete {
            sync.assessment.finish = Some(Finish::reached());
        } else if sync.managed {
            self.note_suspension(cx, &job, sync);
        }
        self.track(cx, key, sync)
    }

    fn note_suspension(&mut self, cx: &mut Context<'_>, job: &Job, sync: &mut Sync) {
        let (status, reason, message, event) = if job.suspend {
            (ConditionStatus::True, "JobSuspended", "Job suspended", "Suspended")
        } else {
            (ConditionStatus::False, "JobResumed", "Job resumed", "Resumed")
        };
        let conditions = &mut sync.status.conditions;
        if !tracking::set_condition(conditions, "Suspended", status, reason, message, cx.now) {
            return;
        }
        cx.event(job.meta.object_ref(Kind::Job), Severity::Normal, event, || message);
        if !job.suspend {
            // The time of a suspension does not count towards the deadline.
            sync.status.start_time = Some(cx.now.truncate_to_second());
        } else if cx.config.version >= KubernetesVersion::V1_36 {
            sync.status.start_time = None;
        }
    }

    /// Notes what is about to be counted.
    fn track(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(job) = sync.job.clone() else { return Next::Done };
        let mut status = std::mem::take(&mut sync.status);
        status.active = sync.active;
        status.ready = sync.assessment.ready;
        status.terminating = sync.assessment.terminating;
        let flush = status != job.status;
        sync.count = tracking::count(&view(&job, sync, &self.keys, cx), &sync.assessment, status, flush);
        if !sync.count.flush {
            return self.strip(cx, key, sync);
        }
        sync.stage = Stage::Note;
        write(sync, &job)
    }

    /// Takes the finalizers of counted pods away.
    fn strip(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let ids: Vec<u32> = sync.count.strip.iter().map(|pod| pod.meta.id).collect();
        self.state(key).stripped.extend(ids);
        sync.stage = Stage::Strip;
        let requests: Vec<Request> = sync.count.strip.iter().map(|pod| self.stripping(pod)).collect();
        if requests.is_empty() {
            return self.stripped(cx, sync, &[]);
        }
        Next::batch(Mode::Parallel, requests)
    }

    fn stripped(&mut self, cx: &Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(job) = sync.job.clone() else { return Next::Done };
        let mut refused = false;
        for (pod, reply) in sync.count.strip.iter().zip(replies) {
            let gone = matches!(reply, Some(Err(error)) if error.reason == ErrorReason::NotFound);
            if matches!(reply, Some(Ok(_))) || gone {
                sync.count.tracked.remove(&pod.meta.uid);
            } else {
                refused = true;
            }
        }
        let settled = tracking::settle(&mut sync.count.status, &sync.count.tracked);
        if refused {
            sync.stage = Stage::CountSome;
            return if settled { write(sync, &job) } else { Next::Retry };
        }
        let mut ended = false;
        if let Some(finish) = sync.count.finish.clone().filter(|_| !sync.count.capped) {
            let terminating = sync.assessment.terminating;
            ended = tracking::conclude(&mut sync.count.status, &finish, terminating, cx.now);
        }
        if !ended {
            sync.count.finish = None;
        }
        if !settled && !ended {
            return finish(sync);
        }
        sync.stage = Stage::Count;
        write(sync, &job)
    }

    /// The counters are written: if that was the end of the Job, it is told.
    fn counted(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(Some(Ok(Object::Job(job)))) = replies.first() else { return Next::Retry };
        let target = ObjectRef { kind: Kind::Job, id: key };
        if let Some(end) = &sync.count.finish {
            self.state(key).ended = true;
            if end.kind == COMPLETE {
                if job.completions.is_some_and(|completions| job.status.succeeded > completions) {
                    cx.event(
                        target,
                        Severity::Warning,
                        "TooManySucceededPods",
                        || "Too many succeeded pods running after completion count reached",
                    );
                }
                cx.event(target, Severity::Normal, "Completed", || "Job completed");
            } else {
                let message = end.message.to_string();
                cx.event(target, Severity::Warning, end.reason.as_str(), || message);
            }
        }
        finish(sync)
    }

    /// The Job that manages a pod, as far as it is known.
    fn manager<'a>(&self, cx: &Context<'a>, pod: &Pod) -> Option<&'a Job> {
        let owner = pod.meta.controller().filter(|owner| owner.kind == self.kind)?;
        cx.caches.jobs.identified(owner.uid).map(|job| &**job)
    }

    fn observe_pod(&mut self, cx: &mut Context<'_>, event: &Event<'_>, pod: &Pod) {
        let old = event.old.and_then(Pod::of).map(|pod| &**pod);
        let new = (event.change != Change::Deleted).then_some(pod);
        let soon = cx.now + BATCH_PERIOD;
        let (caches, queue) = (cx.caches, &mut *cx.queue);
        let selector_of = |row| caches.jobs.get(row).map(|job| &*job.selector);
        self.adoptables.observe(old, new, is_not_deleting, selector_of, |row| queue.add_at(soon, row));
        let job = self.manager(cx, pod);
        if let Some(before) = old.and_then(|old| self.manager(cx, old))
            && job.is_none_or(|job| job.meta.id != before.meta.id)
        {
            cx.queue.add_at(soon, before.meta.id);
        }
        let Some(job) = job.filter(|job| !tracking::is_finished(job)) else { return };
        let (row, tracked) = (job.meta.id, self.keys.is_tracked(pod));
        let state = self.state(row);
        if new.is_none() || pod.meta.is_deleting() {
            state.expectations.lower_deletion(pod.meta.id);
        } else if old.is_none() {
            state.expectations.lower_creations(1);
        }
        if new.is_none() || !tracked {
            state.stripped.remove(&pod.meta.id);
        }
        cx.queue.add_at(soon, row);
    }

    fn observe_job(&mut self, cx: &mut Context<'_>, event: &Event<'_>, job: &Job) {
        let row = job.meta.id;
        if event.change == Change::Deleted {
            self.adoptables.remove_owner(row);
            self.forget(row);
            return cx.queue.add(row);
        }
        let old = event.old.and_then(Job::of);
        if old.is_none() {
            self.adoptables.put_owner(cx.caches, &job.meta, &job.selector, is_not_deleting);
        }
        if tracking::is_finished(job) {
            return self.forget(row);
        }
        match old {
            Some(old) if old.meta.generation == job.meta.generation => {
                cx.queue.add_at(cx.now + BATCH_PERIOD, row);
            }
            _ => cx.queue.add(row),
        }
        if let (Some(start), Some(seconds)) = (job.status.start_time, job.active_deadline_seconds)
            && old.is_some_and(|old| old.active_deadline_seconds != Some(seconds))
        {
            cx.queue.add_at((start + Span::from_secs(seconds)).max(cx.now), row);
        }
    }
}

fn view<'a>(job: &'a Job, sync: &'a Sync, keys: &'a Keys, cx: &Context<'_>) -> View<'a> {
    View { job, pods: &sync.pods, stripped: &sync.stripped, keys, now: cx.now }
}

fn deletions(pods: &[Arc<Pod>]) -> Vec<Request> {
    pods.iter().map(|pod| Request::delete(pod.meta.object_ref(Kind::Pod))).collect()
}

/// Writes the status over the newest version that the sync knows.
fn write(sync: &Sync, job: &Job) -> Next {
    let next = Job { status: sync.count.status.clone(), ..Job::clone(job) };
    Next::send(Request::Update { object: Object::Job(Arc::new(next)), subresource: Subresource::Status })
}

fn finish(sync: &Sync) -> Next {
    if sync.failed { Next::Retry } else { Next::Done }
}

/// A pod of an indexed Job. It has a specification of its own, because its host name and its index
/// are in it.
fn indexed_pod(keys: &Keys, parentage: &Parentage, sync: &Sync, job: &Job, index: i32) -> Pod {
    let text = Symbol::new(&index.to_string());
    let mut annotations: Vec<(Symbol, Symbol)> = job.template.annotations.iter().copied().collect();
    annotations.push((keys.index, text));
    if job.backoff_limit_per_index.is_some() {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(last) = sync.assessment.delayed.get(&index) {
            (counted, ignored) = keys.failures_before(last);
            let counts = policy::Verdict::on(job, last).counts();
            *(if counts { &mut counted } else { &mut ignored }) += 1;
        }
        annotations.push((keys.index_failures, Symbol::new(&counted.to_string())));
        if ignored > 0 {
            annotations.push((keys.index_ignored_failures, Symbol::new(&ignored.to_string())));
        }
    }
    let mut spec = PodSpec {
        hostname: Symbol::new(&format!("{}-{index}", job.meta.name)),
        ..PodSpec::clone(&job.template.spec)
    };
    spec.containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut())
        .for_each(|container| set_index(container, text));
    let labels = job.template.labels.with(keys.index, text);
    let mut pod = parentage.pod_with(labels, Labels::new(annotations), Arc::new(spec));
    let suffix = format_compact!("-{index}-");
    let base: String = job.meta.name.chars().take(GENERATED_BASE_MAX.saturating_sub(suffix.len())).collect();
    let generate_name = format_compact!("{base}{suffix}");
    pod.meta.extra =
        Some(Arc::new(MetaExtra { generate_name, finalizers: vec![keys.finalizer], ..MetaExtra::default() }));
    pod
}

/// Gives a container its index, unless it has a variable of that name.
fn set_index(container: &mut Container, index: Symbol) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    if container.env.iter().all(|variable| variable.0 != NAME) {
        let own = (NAME.into(), index.as_str().into());
        container.env = container.env.iter().cloned().chain([own]).collect();
    }
}

impl Controller for JobController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind != Kind::Pod || !caches.jobs.is_empty()
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => self.observe_pod(cx, event, pod),
            Object::Job(job) => self.observe_job(cx, event, job),
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Recheck => match &sync.job {
                Some(job) if may_adopt(&**job, replies.first()) => self.claim(sync),
                _ => Next::Retry,
            },
            Stage::Claim => match sync.claims.adopted(replies) {
                Some(adopted) => {
                    sync.pods.extend(adopted);
                    self.assess(cx, key, sync)
                }
                None => Next::Retry,
            },
            Stage::DeleteActive | Stage::DeleteSurplus => self.deleted(cx, key, sync, replies),
            Stage::ReleaseSurplus => self.surplus_released(cx, key, sync, replies),
            Stage::Create => self.created(cx, key, sync, replies),
            Stage::Note => match replies.first() {
                Some(Some(Ok(Object::Job(job)))) => {
                    sync.job = Some(job.clone());
                    self.state(key).record = sync.assessment.record;
                    self.strip(cx, key, sync)
                }
                _ => Next::Retry,
            },
            Stage::Strip => self.stripped(cx, sync, replies),
            Stage::CountSome => Next::Retry,
            Stage::Count => self.counted(cx, key, sync, replies),
        }
    }

    fn replied(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, index: usize, reply: &Reply) {
        let target = ObjectRef { kind: Kind::Job, id: key };
        match sync.stage {
            Stage::Start | Stage::Recheck | Stage::DeleteActive | Stage::DeleteSurplus => {}
            _ => self.state(key).writes.note(reply),
        }
        match (sync.stage, reply) {
            (Stage::Create, Ok(pod)) => cx.event(target, Severity::Normal, "SuccessfulCreate", || {
                format!("Created pod: {}", pod.meta().name)
            }),
            (Stage::Create, Err(error)) if !error.namespace_terminating => {
                cx.event(target, Severity::Warning, "FailedCreate", || format!("Error creating: {error}"));
            }
            (Stage::DeleteActive | Stage::DeleteSurplus, Ok(pod)) => {
                cx.event(target, Severity::Normal, "SuccessfulDelete", || {
                    format!("Deleted pod: {}", pod.meta().name)
                });
            }
            (Stage::DeleteActive | Stage::DeleteSurplus, Err(error)) => {
                let victim = sync.victims[index].meta.id;
                self.state(key).expectations.lower_deletion(victim);
                if error.reason != ErrorReason::NotFound {
                    cx.event(target, Severity::Warning, "FailedDelete", || {
                        format!("Error deleting: {error}")
                    });
                }
            }
            (Stage::Strip, Err(_)) => {
                let pod = sync.count.strip[index].meta.id;
                self.state(key).stripped.remove(&pod);
            }
            _ => {}
        }
    }
}
