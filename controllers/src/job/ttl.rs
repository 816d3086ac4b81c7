//! Deletes finished Jobs when their time is up (upstream `pkg/controller/ttlafterfinished`).

use std::sync::Arc;

use seatrial_api::object::{Object, ObjectRef};
use seatrial_api::request::{Change, DeleteOptions, ErrorReason, Propagation, Request};
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::Job;

use super::tracking::finished_at;
use crate::Config;
use crate::framework::{Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner, read_fresh};

/// Workers of the controller.
const WORKERS: usize = 5;

/// Deletes Jobs some time after their end.
#[derive(Clone, Debug)]
pub(crate) struct TtlAfterFinishedController;

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Start,
    /// The Job was read past the cache.
    Recheck,
    Delete,
}

impl TtlAfterFinishedController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<TtlAfterFinishedController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, TtlAfterFinishedController, RetryPolicy::standard(), client, WORKERS)
    }
}

/// When a Job is to be deleted.
fn expires_at(job: &Job) -> Option<SimTime> {
    let seconds = job.ttl_seconds_after_finished.filter(|_| !job.meta.is_deleting())?;
    Some(finished_at(job)? + Span::from_secs(i64::from(seconds)))
}

/// Whether a Job's time is up; if it will be, it is looked at again then.
fn is_expired(cx: &mut Context<'_>, job: &Job) -> bool {
    let Some(at) = expires_at(job) else { return false };
    if at > cx.now {
        cx.queue.add_at(at, job.meta.id);
    }
    at <= cx.now
}

impl Controller for TtlAfterFinishedController {
    type Sync = Stage;

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        if let Object::Job(job) = event.object
            && event.change != Change::Deleted
            && expires_at(job).is_some()
        {
            cx.queue.add(job.meta.id);
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, stage: &mut Stage, replies: &Replies) -> Next {
        match stage {
            Stage::Start => {
                let Some(job) = cx.caches.jobs.get(key).cloned() else { return Next::Done };
                if !is_expired(cx, &job) {
                    return Next::Done;
                }
                *stage = Stage::Recheck;
                Next::send(read_fresh(&*job))
            }
            Stage::Recheck => match replies.first() {
                Some(Some(Ok(Object::Job(fresh)))) if fresh.meta.id == key => {
                    let fresh: Arc<Job> = fresh.clone();
                    if !is_expired(cx, &fresh) {
                        return Next::Done;
                    }
                    *stage = Stage::Delete;
                    let target = ObjectRef { kind: seatrial_api::object::Kind::Job, id: key };
                    let propagation = Some(Propagation::Foreground);
                    let options = DeleteOptions { propagation, ..DeleteOptions::default() };
                    Next::send(Request::Delete { target, options })
                }
                Some(Some(Err(error))) if error.reason != ErrorReason::NotFound => Next::Retry,
                _ => Next::Done,
            },
            Stage::Delete => match replies.first() {
                Some(Some(Err(_))) => Next::Retry,
                _ => Next::Done,
            },
        }
    }
}
