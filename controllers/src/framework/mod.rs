//! What all controllers stand on: shared caches, a work queue and a rate-limited client each, and
//! a runner that plays a sync as batches of requests.
//!
//! A controller of queue shape implements [`Controller`]. It is told every change that the watch
//! shows and enqueues rows. A free worker takes a row and asks the controller step by step what
//! to do: each step may send a batch of requests and is followed by the next when all of them are
//! answered, until the controller says that the sync is done or has failed.
//!
//! Controllers that are no queues of objects (node life cycle, taint eviction, the garbage
//! collector) are fed by [`crate::ControllerManager`] directly and act through a [`Port`].

mod activity;
mod adoption;
mod cache;
mod client;
mod expectations;
mod history;
mod ownership;
mod pods;
mod queue;
mod runner;
mod selectors;
mod template;

use std::borrow::Cow;

use seatrial_api::machine::{Effects, MetricValue, PodMetrics, Severity, Token};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{ApiError, Change, Reply, Request};
use seatrial_api::units::SimTime;
use smallvec::SmallVec;

use crate::{Config, ControllerTimer};

pub(crate) use activity::{
    is_not_deleting, is_terminating, min_ready, next_availability, ready_since, restarts,
};
pub(crate) use adoption::{Adoptables, Claims, may_adopt, read_fresh};
pub(crate) use cache::{Caches, RowIndex, RowList, Table};
pub(crate) use client::Client;
pub(crate) use expectations::Expectations;
pub(crate) use history::{
    OrphanRevisions, REVISION_HASH_LABEL, REVISION_LABEL, Revised, find_revision, made_revision, next_number,
    same_content, sort_revisions,
};
pub(crate) use ownership::{Parentage, controller_ref};
pub(crate) use pods::PodTable;
pub(crate) use queue::{RetryPolicy, WorkQueue};
pub(crate) use runner::{Runner, Surroundings};
pub(crate) use selectors::SelectorIndex;
pub(crate) use template::{POD_TEMPLATE_HASH, same_template, template_hash};

/// A change that the watch has shown; the caches contain it already.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// What happened.
    pub(crate) change: Change,
    /// The new version; of a deletion the last one.
    pub(crate) object: &'a Object,
    /// The version that was cached before, if there was one.
    pub(crate) old: Option<&'a Object>,
}

/// What a controller is given whenever it is called.
pub(crate) struct Context<'a> {
    /// The instant.
    pub(crate) now: SimTime,
    /// Whether the initial lists are not complete yet.
    pub(crate) listing: bool,
    /// Settings.
    pub(crate) config: &'a Config,
    /// What the watch has told.
    pub(crate) caches: &'a Caches,
    /// The controller's own queue.
    pub(crate) queue: &'a mut WorkQueue,
    client: &'a mut Client,
    effects: &'a mut Effects<ControllerTimer>,
}

impl Context<'_> {
    /// Records an Event about an object; its message is made only if someone reads it.
    pub(crate) fn event<M: Into<Cow<'static, str>>>(
        &mut self,
        object: ObjectRef,
        severity: Severity,
        reason: &'static str,
        message: impl FnOnce() -> M,
    ) {
        self.client.spend_event(self.now, object, severity);
        self.effects.decide(object, severity, reason, message);
    }
}

/// In which order the requests of a batch are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All at once.
    Parallel,
    /// In groups of 1, 2, 4, 8 … at most so many; a group with a failure is the last.
    SlowStart {
        /// The largest group.
        group_max: usize,
    },
    /// One after another up to the first failure.
    Sequential,
    /// One after another, failures or not.
    EachInTurn,
}

/// Requests of one step.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The requests.
    pub(crate) requests: Vec<Request>,
    /// Their order.
    pub(crate) mode: Mode,
}

/// What a controller wants next in a sync.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// To send requests; its step is called again when they are answered.
    Send(Batch),
    /// Nothing: the sync has succeeded, earlier failures are forgotten.
    Done,
    /// To try again after the queue's back-off.
    Retry,
}

impl Next {
    /// To send one request.
    pub(crate) fn send(request: Request) -> Next {
        Next::Send(Batch { requests: vec![request], mode: Mode::Sequential })
    }

    /// To send requests in this order.
    pub(crate) fn batch(mode: Mode, requests: Vec<Request>) -> Next {
        Next::Send(Batch { requests, mode })
    }
}

/// The answers to a batch, in the order of its requests; `None` for those that were not sent
/// (after a failure) and for queries of metrics.
pub(crate) type Replies = [Option<Reply>];

/// The first refusal among the answers, other than for a namespace that is going away.
pub(crate) fn first_error(replies: &Replies) -> Option<&ApiError> {
    replies.iter().flatten().filter_map(|reply| reply.as_ref().err()).find(|error| is_failure(error))
}

/// Whether a refusal counts: what a terminating namespace refuses is as good as done.
pub(crate) fn is_failure(error: &ApiError) -> bool {
    !error.namespace_terminating
}

/// A controller that syncs objects by their row.
pub(crate) trait Controller: Clone {
    /// What a sync remembers from one step to the next. A new sync begins with the default.
    type Sync: Clone + Default;

    /// Whether changes of objects of this kind can matter to it now. A controller that has no
    /// objects of its own need not be told of every pod.
    fn minds(&self, _caches: &Caches, _kind: Kind) -> bool {
        true
    }

    /// Is told a change that the caches show already; enqueues what it concerns.
    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>);

    /// Does the next step of a sync. `replies` answer the batch of the step before; there are
    /// none at the first step.
    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Self::Sync, replies: &Replies) -> Next;

    /// Is told the answer to request number `index` of the batch as soon as it is there.
    fn replied(
        &mut self,
        _cx: &mut Context<'_>,
        _key: u32,
        _sync: &mut Self::Sync,
        _index: usize,
        _reply: &Reply,
    ) {
    }

    /// Is told the answer to a query of metrics, which was request number `index` of the batch.
    fn measured(
        &mut self,
        _cx: &mut Context<'_>,
        _key: u32,
        _sync: &mut Self::Sync,
        _index: usize,
        _samples: &Result<Vec<PodMetrics>, ApiError>,
    ) {
    }

    /// Is told the answer to a query of the custom or external metrics API, which was request
    /// number `index` of the batch.
    fn metric_values(
        &mut self,
        _cx: &mut Context<'_>,
        _key: u32,
        _sync: &mut Self::Sync,
        _index: usize,
        _values: &Result<Vec<MetricValue>, ApiError>,
    ) {
    }
}

/// What a controller that is no queue of objects acts through.
pub(crate) struct Port<'a> {
    /// The instant.
    pub(crate) now: SimTime,
    /// What the watch has told.
    pub(crate) caches: &'a Caches,
    /// The controller's number, which its tokens carry.
    pub(crate) id: u8,
    /// The controller's own client.
    pub(crate) client: &'a mut Client,
    /// What it wants done.
    pub(crate) effects: &'a mut Effects<ControllerTimer>,
}

impl Port<'_> {
    /// Sends a request; its answer comes back with `tag`, of which 56 bits count.
    pub(crate) fn request(&mut self, tag: u64, request: Request) {
        let send_at = self.client.take(self.now);
        self.effects.request_at(send_at, token(self.id, tag), request);
    }

    /// Sets a timer.
    pub(crate) fn timer(&mut self, at: SimTime, timer: ControllerTimer) {
        self.effects.timer(at, timer);
    }

    /// Records an Event about an object; its message is made only if someone reads it.
    pub(crate) fn event<M: Into<Cow<'static, str>>>(
        &mut self,
        object: ObjectRef,
        severity: Severity,
        reason: &'static str,
        message: impl FnOnce() -> M,
    ) {
        self.client.spend_event(self.now, object, severity);
        self.effects.decide(object, severity, reason, message);
    }
}

const TAG_BITS: u32 = 56;

/// The token of a controller's request.
pub(crate) fn token(controller: u8, tag: u64) -> Token {
    u64::from(controller) << TAG_BITS | (tag & ((1 << TAG_BITS) - 1))
}

/// The controller and the tag of a token.
pub(crate) fn split_token(token: Token) -> (u8, u64) {
    ((token >> TAG_BITS) as u8, token & ((1 << TAG_BITS) - 1))
}

/// The newest versions that a controller's own writes about one object have produced, by kind.
///
/// Since 1.36 a sync waits until the caches have caught up with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnWrites(SmallVec<[(Kind, u64); 2]>);

impl OwnWrites {
    /// Notes the answer to a write.
    pub(crate) fn note(&mut self, reply: &Reply) {
        let Ok(object) = reply else { return };
        let (kind, version) = (object.kind(), object.meta().resource_version);
        match self.0.iter_mut().find(|entry| entry.0 == kind) {
            Some(entry) => entry.1 = entry.1.max(version),
            None => self.0.push((kind, version)),
        }
    }

    /// Whether the caches show everything that was written.
    pub(crate) fn are_seen(&mut self, caches: &Caches) -> bool {
        self.0.retain(|entry| entry.1 > caches.version(entry.0));
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_their_controller_and_tag() {
        assert_eq!(split_token(token(7, 0x12_3456)), (7, 0x12_3456));
        assert_eq!(split_token(token(255, u64::MAX)), (255, (1 << 56) - 1));
    }
}
