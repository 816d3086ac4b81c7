//! The CronJob controller (upstream `pkg/controller/cronjob`): starts a Job at each due time, and only
//! for the last one if several were missed.

mod history;
mod plan;

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::calendar::Timestamp;
use seatrial_api::cronjob::{ActiveJob, ConcurrencyPolicy, CronJob};
use seatrial_api::labels::Labels;
use seatrial_api::machine::Severity;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{Change, DeleteOptions, ErrorReason, Propagation, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::time_zone::TimeZone;
use seatrial_api::units::Span;
use seatrial_api::workload::{Job, JobStatus};

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Mode, Next, Replies, RetryPolicy, Runner, controller_ref,
    read_fresh,
};
pub use plan::{Clock, Due};

/// How long after a due time the CronJob is looked at, so that clocks agree that it has come.
const DELTA: Span = Span::from_millis(100);
/// Workers of the controller.
const WORKERS: usize = 5;
/// The annotation that says for which due time a Job was made.
const SCHEDULED_TIMESTAMP: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Starts the Jobs of CronJobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct CronJobController;

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// Finished Jobs beyond the limits are being deleted.
    Clean,
    /// The CronJob was read past the cache, because a Job runs that it does not list.
    Recheck,
    /// Active Jobs that the cache does not show were read.
    Missing,
    /// Active Jobs were read before they are replaced.
    Replace,
    /// They are being deleted.
    Remove,
    /// The Job is being created.
    Create,
    /// A Job of that name was there already and was read.
    Exists,
    /// The status is being written.
    Status,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    /// The CronJob with the status as it is to be.
    cron_job: Option<Arc<CronJob>>,
    /// Its Jobs, as the cache shows them.
    jobs: Vec<Arc<Job>>,
    /// Running Jobs that are not listed as active and have not been judged yet.
    unknown: Vec<Arc<Job>>,
    /// The Jobs that the requests on their way are about, in order.
    targets: Vec<ActiveJob>,
    /// The due time for which a Job is to be started.
    due_s: i64,
    /// Whether the status has changed.
    changed: bool,
    /// Whether the sync failed.
    failed: bool,
    /// Whether the next due time is waited for.
    waits: bool,
}

impl CronJobController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<CronJobController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, CronJobController, RetryPolicy::standard(), client, WORKERS)
    }

    fn observe_cron_job(&mut self, cx: &mut Context<'_>, event: &Event<'_>, cron_job: &CronJob) {
        if let (Change::Modified, Some(Object::CronJob(old))) = (event.change, event.old)
            && (old.schedule_text != cron_job.schedule_text || old.time_zone_name != cron_job.time_zone_name)
        {
            return await_next(cx, cron_job);
        }
        cx.queue.add(cron_job.meta.id);
    }

    fn observe_job(&mut self, cx: &mut Context<'_>, event: &Event<'_>, job: &Job) {
        let owner_of = |job: &Job| {
            let owner = job.meta.controller().filter(|owner| owner.kind == "CronJob")?;
            cx.caches.cron_jobs.identified(owner.uid).map(|cron_job| cron_job.meta.id)
        };
        let before = match event.old {
            Some(Object::Job(old)) => owner_of(old),
            _ => None,
        };
        let owner = owner_of(job);
        before
            .filter(|before| Some(*before) != owner)
            .into_iter()
            .chain(owner)
            .for_each(|row| cx.queue.add(row));
    }

    /// Reads the CronJob and its Jobs, and deletes finished ones beyond the limits.
    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(cron_job) = cx.caches.cron_jobs.get(key).cloned() else { return Next::Done };
        sync.jobs = cx.caches.jobs.controlled_by(cron_job.meta.uid).cloned().collect();
        let surplus = history::surplus(&cron_job, &sync.jobs);
        sync.cron_job = Some(cron_job);
        sync.targets = surplus.iter().map(|job| reference(job)).collect();
        if surplus.is_empty() {
            return self.look_at_jobs(cx, sync);
        }
        sync.stage = Stage::Clean;
        Next::batch(Mode::EachInTurn, surplus.iter().map(|job| delete(job)).collect())
    }

    /// Strikes Jobs that have ended off the list of active ones.
    fn look_at_jobs(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(mut cron_job) = sync.cron_job.take() else { return Next::Done };
        let target = cron_job.meta.object_ref(Kind::CronJob);
        for job in &sync.jobs {
            let listed = is_active(&cron_job, job);
            match history::finished(job) {
                None if !listed => sync.unknown.push(job.clone()),
                Some(end) if listed => {
                    remove_active(&mut cron_job, &reference(job));
                    sync.changed = true;
                    cx.event(target, Severity::Normal, "SawCompletedJob", || {
                        format!("Saw completed job: {}, condition: {end}", job.meta.name)
                    });
                }
                _ => {}
            }
            let succeeded = history::finished(job) == Some("Complete");
            let completed = job.status.completion_time.filter(|_| succeeded);
            if completed.is_some() && completed > cron_job.status.last_successful_time {
                Arc::make_mut(&mut cron_job).status.last_successful_time = completed;
                sync.changed = true;
            }
        }
        sync.cron_job = Some(cron_job);
        self.recheck(cx, sync)
    }

    /// A Job that runs and is not listed may have been started by this controller a moment ago.
    fn recheck(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(cron_job) = &sync.cron_job else { return Next::Done };
        if sync.unknown.is_empty() {
            return self.look_for_missing(cx, sync);
        }
        sync.stage = Stage::Recheck;
        Next::send(read_fresh(&**cron_job))
    }

    fn rechecked(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(Some(Ok(Object::CronJob(fresh)))) = replies.first() else { return self.fail(sync) };
        let Some(job) = sync.unknown.pop() else { return Next::Done };
        if is_active(fresh, &job) {
            // What this sync has found out so far is told again by the next.
            sync.cron_job = Some(fresh.clone());
            sync.changed = false;
        } else {
            cx.event(fresh.meta.object_ref(Kind::CronJob), Severity::Warning, "UnexpectedJob", || {
                format!("Saw a job that the controller did not create or forgot: {}", job.meta.name)
            });
        }
        self.recheck(cx, sync)
    }

    /// Active Jobs that the cache does not show may be gone.
    fn look_for_missing(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(cron_job) = &sync.cron_job else { return Next::Done };
        let shown = |active: &&ActiveJob| sync.jobs.iter().any(|job| job.meta.uid == active.uid);
        sync.targets = cron_job.status.active.iter().filter(|active| !shown(active)).cloned().collect();
        if sync.targets.is_empty() {
            return self.schedule(cx, sync);
        }
        sync.stage = Stage::Missing;
        let read = |active: &ActiveJob| read_job(cron_job, &active.name);
        Next::batch(Mode::EachInTurn, sync.targets.iter().map(read).collect())
    }

    fn missing(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(mut cron_job) = sync.cron_job.take() else { return Next::Done };
        for (target, reply) in std::mem::take(&mut sync.targets).iter().zip(replies) {
            match reply {
                Some(Err(error)) if error.reason == ErrorReason::NotFound => {
                    let object = cron_job.meta.object_ref(Kind::CronJob);
                    cx.event(object, Severity::Normal, "MissingJob", || {
                        format!("Active job went missing: {}", target.name)
                    });
                    remove_active(&mut cron_job, target);
                    sync.changed = true;
                }
                Some(Err(_)) => sync.failed = true,
                _ => {}
            }
        }
        sync.cron_job = Some(cron_job);
        if sync.failed { self.write_status(sync) } else { self.schedule(cx, sync) }
    }

    /// Starts a Job if one is due.
    fn schedule(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(cron_job) = sync.cron_job.clone() else { return Next::Done };
        if cron_job.meta.is_deleting() {
            return self.write_status(sync);
        }
        let target = cron_job.meta.object_ref(Kind::CronJob);
        let Some(zone) = cron_job.time_zone.clone() else {
            let name = cron_job.time_zone_name.unwrap_or_default();
            cx.event(target, Severity::Warning, "UnknownTimeZone", || {
                format!("invalid timeZone: {:?}: unknown time zone {name}", name.as_str())
            });
            return self.write_status(sync);
        };
        if cron_job.suspend {
            return self.write_status(sync);
        }
        let Some(schedule) = cron_job.schedule.clone() else {
            cx.event(target, Severity::Warning, "UnparseableSchedule", || {
                format!("unparseable schedule: {:?}", cron_job.schedule_text.as_str())
            });
            return self.write_status(sync);
        };
        let due = clock(cx, &cron_job, &schedule, &zone).due();
        sync.waits = true;
        match due {
            Due::NotYet | Due::Past => return self.write_status(sync),
            Due::Impossible => {
                cx.event(target, Severity::Warning, "InvalidSchedule", || {
                    format!(
                        "invalid schedule: {} : time difference between two schedules is less than 1 second",
                        cron_job.schedule_text
                    )
                });
                sync.waits = false;
                return self.write_status(sync);
            }
            Due::At(due_s) => sync.due_s = due_s,
            Due::AtAfterMany(due_s) => {
                sync.due_s = due_s;
                cx.event(target, Severity::Warning, "TooManyMissedTimes", || {
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
                });
            }
        }
        self.begin(cx, sync, &cron_job)
    }

    /// A Job is due: unless it runs already, it is started as the policy says.
    fn begin(&mut self, cx: &mut Context<'_>, sync: &mut Sync, cron_job: &Arc<CronJob>) -> Next {
        let name = job_name(cron_job, sync.due_s);
        let last = cron_job.status.last_schedule_time.map(|time| cx.config.calendar.timestamp(time).seconds);
        if cron_job.status.active.iter().any(|active| active.name == name) || last == Some(sync.due_s) {
            return self.write_status(sync);
        }
        match cron_job.concurrency_policy {
            ConcurrencyPolicy::Forbid if !cron_job.status.active.is_empty() => {
                let target = cron_job.meta.object_ref(Kind::CronJob);
                cx.event(
                    target,
                    Severity::Normal,
                    "JobAlreadyActive",
                    || "Not starting job because prior execution is running and concurrency policy is Forbid",
                );
                self.write_status(sync)
            }
            ConcurrencyPolicy::Replace if !cron_job.status.active.is_empty() => {
                sync.stage = Stage::Replace;
                sync.targets = cron_job.status.active.clone();
                let read = |active: &ActiveJob| read_job(cron_job, &active.name);
                Next::batch(Mode::Sequential, sync.targets.iter().map(read).collect())
            }
            _ => self.create(sync),
        }
    }

    fn replace(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(cron_job) = sync.cron_job.clone() else { return Next::Done };
        let mut requests = Vec::new();
        for reply in replies.iter().flatten() {
            match reply {
                Ok(Object::Job(job)) => requests.push(delete(job)),
                Err(error) => {
                    let target = cron_job.meta.object_ref(Kind::CronJob);
                    cx.event(target, Severity::Warning, "FailedGet", || format!("Get job: {error}"));
                    return self.fail(sync);
                }
                Ok(_) => {}
            }
        }
        sync.stage = Stage::Remove;
        Next::batch(Mode::Sequential, requests)
    }

    /// Takes deleted Jobs off the list.
    fn removed(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> bool {
        let Some(mut cron_job) = sync.cron_job.take() else { return false };
        let target = cron_job.meta.object_ref(Kind::CronJob);
        let mut all = true;
        for (job, reply) in std::mem::take(&mut sync.targets).iter().zip(replies) {
            match reply {
                Some(Ok(_)) => {
                    remove_active(&mut cron_job, job);
                    sync.changed = true;
                    cx.event(target, Severity::Normal, "SuccessfulDelete", || {
                        format!("Deleted job {}", job.name)
                    });
                }
                Some(Err(error)) => {
                    all = false;
                    cx.event(target, Severity::Warning, "FailedDelete", || format!("Deleted job: {error}"));
                }
                None => all = false,
            }
        }
        sync.cron_job = Some(cron_job);
        all
    }

    fn create(&mut self, sync: &mut Sync) -> Next {
        let Some(cron_job) = &sync.cron_job else { return Next::Done };
        sync.stage = Stage::Create;
        Next::send(Request::Create(Object::Job(Arc::new(new_job(cron_job, sync.due_s)))))
    }

    fn created(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(cron_job) = sync.cron_job.clone() else { return Next::Done };
        let target = cron_job.meta.object_ref(Kind::CronJob);
        match replies.first() {
            Some(Some(Ok(Object::Job(job)))) => {
                cx.event(target, Severity::Normal, "SuccessfulCreate", || {
                    format!("Created job {}", job.meta.name)
                });
                self.note_started(cx, sync, job)
            }
            Some(Some(Err(error))) if error.reason == ErrorReason::AlreadyExists => {
                sync.stage = Stage::Exists;
                Next::send(read_job(&cron_job, &job_name(&cron_job, sync.due_s)))
            }
            Some(Some(Err(error))) if !error.namespace_terminating => {
                cx.event(target, Severity::Warning, "FailedCreate", || {
                    format!("Error creating job: {error}")
                });
                self.fail(sync)
            }
            _ => self.fail(sync),
        }
    }

    /// A Job of that name is there: this controller has made it and then failed to say so, or somebody
    /// else has.
    fn exists(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let (Some(cron_job), Some(Some(Ok(Object::Job(job))))) = (&sync.cron_job, replies.first()) else {
            return self.fail(sync);
        };
        let own = job.meta.controller().is_some_and(|owner| owner.uid == cron_job.meta.uid);
        if !own || is_active(cron_job, job) {
            sync.waits = false;
            return self.write_status(sync);
        }
        self.note_started(cx, sync, job)
    }

    fn note_started(&mut self, cx: &mut Context<'_>, sync: &mut Sync, job: &Job) -> Next {
        if let Some(cron_job) = &mut sync.cron_job {
            let due = Timestamp { seconds: sync.due_s, nanos: 0 };
            let status = &mut Arc::make_mut(cron_job).status;
            status.active.push(reference(job));
            status.last_schedule_time = cx.config.calendar.instant(due).ok();
            sync.changed = true;
        }
        self.write_status(sync)
    }

    fn fail(&mut self, sync: &mut Sync) -> Next {
        sync.failed = true;
        self.write_status(sync)
    }

    fn write_status(&mut self, sync: &mut Sync) -> Next {
        sync.stage = Stage::Status;
        match &sync.cron_job {
            Some(cron_job) if sync.changed => Next::send(Request::Update {
                object: Object::CronJob(cron_job.clone()),
                subresource: Subresource::Status,
            }),
            _ => Next::batch(Mode::Sequential, Vec::new()),
        }
    }

    /// Ends the sync, and waits for the next due time.
    fn finish(&mut self, cx: &mut Context<'_>, sync: &Sync, replies: &Replies) -> Next {
        if sync.failed || matches!(replies.first(), Some(Some(Err(_)))) {
            return Next::Retry;
        }
        if let Some(cron_job) = sync.cron_job.as_ref().filter(|_| sync.waits) {
            await_next(cx, cron_job);
        }
        Next::Done
    }
}

/// What the schedule of a CronJob is reckoned from.
fn clock<'a>(
    cx: &Context<'_>,
    cron_job: &CronJob,
    schedule: &'a seatrial_api::cron::Schedule,
    zone: &'a TimeZone,
) -> Clock<'a> {
    let seconds = |time| cx.config.calendar.timestamp(time).seconds;
    Clock {
        schedule,
        zone,
        created_s: seconds(cron_job.meta.created),
        last_s: cron_job.status.last_schedule_time.map(seconds),
        deadline_s: cron_job.starting_deadline_seconds,
        now_s: seconds(cx.now),
    }
}

/// Wants a CronJob to be looked at when it is next due.
fn await_next(cx: &mut Context<'_>, cron_job: &CronJob) {
    let (Some(schedule), Some(zone)) = (&cron_job.schedule, &cron_job.time_zone) else { return };
    let next = clock(cx, cron_job, schedule, zone).next_due_s();
    let at = next.and_then(|seconds| cx.config.calendar.instant(Timestamp { seconds, nanos: 0 }).ok());
    if let Some(at) = at {
        cx.queue.add_at(at + DELTA, cron_job.meta.id);
    }
}

fn reference(job: &Job) -> ActiveJob {
    ActiveJob { uid: job.meta.uid, name: job.meta.name.clone() }
}

fn is_active(cron_job: &CronJob, job: &Job) -> bool {
    cron_job.status.active.iter().any(|active| active.uid == job.meta.uid)
}

fn remove_active(cron_job: &mut Arc<CronJob>, job: &ActiveJob) {
    if cron_job.status.active.iter().any(|active| active.uid == job.uid) {
        Arc::make_mut(cron_job).status.active.retain(|active| active.uid != job.uid);
    }
}

/// The name of the Job for a due time: by the minute, so that none is made twice.
fn job_name(cron_job: &CronJob, due_s: i64) -> CompactString {
    compact_str::format_compact!("{}-{}", cron_job.meta.name, due_s.div_euclid(60))
}

fn read_job(cron_job: &CronJob, name: &str) -> Request {
    Request::Get { kind: Kind::Job, namespace: cron_job.meta.namespace, name: name.into() }
}

fn delete(job: &Job) -> Request {
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    Request::Delete { target: ObjectRef { kind: Kind::Job, id: job.meta.id }, options }
}

/// The Job for a due time.
fn new_job(cron_job: &CronJob, due_s: i64) -> Job {
    let template = &cron_job.template;
    let zone = cron_job.time_zone.clone().unwrap_or_else(TimeZone::utc);
    let scheduled = rfc3339(due_s, &zone);
    let mut annotations = template.meta.annotations.clone();
    annotations = annotations.with(Symbol::new(SCHEDULED_TIMESTAMP), Symbol::new(&scheduled));
    let labels: Labels = match template.meta.labels.is_empty() {
        true => template.template.labels.clone(),
        false => template.meta.labels.clone(),
    };
    Job {
        meta: ObjectMeta {
            name: job_name(cron_job, due_s),
            namespace: cron_job.meta.namespace,
            labels,
            annotations,
            owners: Some(Arc::new(vec![controller_ref(Kind::CronJob, &cron_job.meta)])),
            ..ObjectMeta::default()
        },
        status: JobStatus::default(),
        ..Job::clone(template)
    }
}

/// A time in a zone: `2030-01-01T01:00:00+01:00`, with `Z` for UTC.
fn rfc3339(at_s: i64, zone: &TimeZone) -> String {
    let local = zone.local(at_s);
    match zone.offset_s(at_s) / 60 {
        0 => format!("{local}Z"),
        minutes => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{local}{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    }
}

impl Controller for CronJobController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind == Kind::CronJob || (kind == Kind::Job && !caches.cron_jobs.is_empty())
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::CronJob(cron_job) => self.observe_cron_job(cx, event, cron_job),
            Object::Job(job) => self.observe_job(cx, event, job),
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Clean => {
                self.removed(cx, sync, replies);
                self.look_at_jobs(cx, sync)
            }
            Stage::Recheck => self.rechecked(cx, sync, replies),
            Stage::Missing => self.missing(cx, sync, replies),
            Stage::Replace => self.replace(cx, sync, replies),
            Stage::Remove => match self.removed(cx, sync, replies) {
                true => self.create(sync),
                false => self.fail(sync),
            },
            Stage::Create => self.created(cx, sync, replies),
            Stage::Exists => self.exists(cx, sync, replies),
            Stage::Status => self.finish(cx, sync, replies),
        }
    }
}
