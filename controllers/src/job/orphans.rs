//! Takes the tracking finalizer off pods that no Job will count any more: those of finished and
//! of deleted Jobs, and those without one.

use seatrial_api::object::{Object, Typed};
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, ErrorReason, Patch, Request};
use seatrial_api::symbol::Symbol;
use seatrial_api::workload::Job;

use super::assess::Keys;
use super::tracking::is_finished;
use crate::Config;
use crate::framework::{Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner};

/// Syncs pods by their row.
#[derive(Clone, Debug)]
pub(crate) struct JobOrphanController {
    keys: Keys,
    kind: Symbol,
}

impl JobOrphanController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<JobOrphanController> {
        let controller = JobOrphanController { keys: Keys::new(), kind: Symbol::new(Job::KIND.as_str()) };
        Runner::new(id, controller, RetryPolicy::standard(), Client::new(config.client_limits), 1)
    }

    /// Whether no Job will count a pod.
    fn is_orphan(&self, cx: &Context<'_>, pod: &Pod) -> bool {
        match pod.meta.controller() {
            None => true,
            Some(owner) if owner.kind != self.kind => false,
            Some(owner) => cx.caches.jobs.identified(owner.uid).is_none_or(|job| is_finished(job)),
        }
    }

    fn observe_pod(&mut self, cx: &mut Context<'_>, event: &Event<'_>, pod: &Pod) {
        if event.change == Change::Deleted || !self.keys.is_tracked(pod) {
            return;
        }
        let owned = pod.meta.controller().is_some();
        if !owned || (pod.meta.is_deleting() && self.is_orphan(cx, pod)) {
            cx.queue.add(pod.meta.id);
        }
    }
}

impl Controller for JobOrphanController {
    type Sync = bool;

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => self.observe_pod(cx, event, pod),
            Object::Job(job) if event.change == Change::Deleted || is_finished(job) => {
                for pod in cx.caches.pods.controlled_by(job.meta.uid) {
                    if self.keys.is_tracked(pod) {
                        cx.queue.add(pod.meta.id);
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sent: &mut bool, replies: &Replies) -> Next {
        if *sent {
            let refused = replies.iter().flatten().filter_map(|reply| reply.as_ref().err());
            let failed = refused.into_iter().any(|error| error.reason != ErrorReason::NotFound);
            return if failed { Next::Retry } else { Next::Done };
        }
        let Some(pod) = cx.caches.pods.get(key) else { return Next::Done };
        if !self.keys.is_tracked(pod) || !self.is_orphan(cx, pod) {
            return Next::Done;
        }
        *sent = true;
        Next::send(Request::patch_pod(key, Patch::RemoveFinalizers(vec![self.keys.finalizer])))
    }
}
