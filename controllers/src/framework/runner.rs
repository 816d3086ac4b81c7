//! Plays the syncs of one controller: hands keys to workers, sends batches through the client and
//! collects the answers.

use std::vec::IntoIter;

use seatrial_api::machine::{Effects, MetricValue, PodMetrics};
use seatrial_api::request::{ApiError, Reply, Request};
use seatrial_api::units::{SimTime, Span};

use super::{
    Batch, Caches, Client, Context, Controller, Event, Mode, Next, RetryPolicy, WorkQueue, is_failure, token,
};
use crate::{Config, ControllerTimer};

/// What every call into a runner is given.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: SimTime,
    /// Whether the initial lists are not complete yet.
    pub(crate) listing: bool,
    pub(crate) config: &'a Config,
    pub(crate) caches: &'a Caches,
    pub(crate) effects: &'a mut Effects<ControllerTimer>,
}

/// A batch on its way.
#[derive(Clone, Debug)]
struct Flight {
    unsent: IntoIter<Request>,
    mode: Mode,
    /// The size of the next group of a slow start.
    group: usize,
    sent: usize,
    pending: usize,
    failed: bool,
    replies: Vec<Option<Reply>>,
}

impl Flight {
    fn new(batch: Batch) -> Flight {
        let count = batch.requests.len();
        Flight {
            unsent: batch.requests.into_iter(),
            mode: batch.mode,
            group: 1,
            sent: 0,
            pending: 0,
            failed: false,
            replies: (0..count).map(|_| None).collect(),
        }
    }

    /// How many requests go out now.
    fn next_group(&mut self) -> usize {
        match self.mode {
            Mode::Parallel => self.unsent.len(),
            Mode::Sequential | Mode::EachInTurn if self.failed && self.mode == Mode::Sequential => 0,
            Mode::Sequential | Mode::EachInTurn => 1,
            Mode::SlowStart { .. } if self.failed => 0,
            Mode::SlowStart { group_max } => {
                let group = self.group.min(group_max);
                self.group = (group * 2).min(group_max);
                group
            }
        }
        .min(self.unsent.len())
    }
}

/// A worker.
#[derive(Clone, Debug)]
struct Worker<S> {
    /// The key that it works on.
    key: Option<u32>,
    /// Counts its syncs, so that an answer to an earlier one is told apart.
    generation: u16,
    sync: S,
    flight: Option<Flight>,
}

/// A controller with its queue, its client and its workers.
#[derive(Clone, Debug)]
pub(crate) struct Runner<C: Controller> {
    id: u8,
    pub(crate) controller: C,
    pub(crate) queue: WorkQueue,
    client: Client,
    workers: Vec<Worker<C::Sync>>,
}

impl<C: Controller> Runner<C> {
    pub(crate) fn new(
        id: u8,
        controller: C,
        retry: RetryPolicy,
        client: Client,
        workers: usize,
    ) -> Runner<C> {
        let worker = || Worker { key: None, generation: 0, sync: C::Sync::default(), flight: None };
        Runner {
            id,
            controller,
            queue: WorkQueue::new(retry),
            client,
            workers: (0..workers).map(|_| worker()).collect(),
        }
    }

    /// Tells the controller a change.
    #[inline]
    pub(crate) fn observe(&mut self, around: &mut Surroundings<'_>, event: &Event<'_>) {
        if !self.controller.minds(around.caches, event.object.kind()) {
            return;
        }
        let mut cx = context(around, &mut self.queue, &mut self.client);
        self.controller.observe(&mut cx, event);
    }

    /// Takes the answer to a request.
    pub(crate) fn reply(&mut self, around: &mut Surroundings<'_>, tag: u64, reply: &Reply) {
        let Some((slot, index)) = self.find(tag) else { return };
        let worker = &mut self.workers[slot];
        let (Some(key), Some(flight)) = (worker.key, &mut worker.flight) else { return };
        if reply.as_ref().is_err_and(is_failure) {
            flight.failed = true;
        }
        flight.replies[index] = Some(reply.clone());
        let mut cx = context(around, &mut self.queue, &mut self.client);
        self.controller.replied(&mut cx, key, &mut worker.sync, index, reply);
        self.answered(around, slot);
    }

    /// Takes the answer to a query of metrics.
    pub(crate) fn measured(
        &mut self,
        around: &mut Surroundings<'_>,
        tag: u64,
        samples: &Result<Vec<PodMetrics>, ApiError>,
    ) {
        let Some((slot, index)) = self.find(tag) else { return };
        let worker = &mut self.workers[slot];
        let Some(key) = worker.key else { return };
        let mut cx = context(around, &mut self.queue, &mut self.client);
        self.controller.measured(&mut cx, key, &mut worker.sync, index, samples);
        self.answered(around, slot);
    }

    /// Takes the answer to a query of the custom or external metrics API.
    pub(crate) fn metric_values(
        &mut self,
        around: &mut Surroundings<'_>,
        tag: u64,
        values: &Result<Vec<MetricValue>, ApiError>,
    ) {
        let Some((slot, index)) = self.find(tag) else { return };
        let worker = &mut self.workers[slot];
        let Some(key) = worker.key else { return };
        let mut cx = context(around, &mut self.queue, &mut self.client);
        self.controller.metric_values(&mut cx, key, &mut worker.sync, index, values);
        self.answered(around, slot);
    }

    /// A worker has spent the time that a sync takes.
    pub(crate) fn work(&mut self, around: &mut Surroundings<'_>, slot: u8, generation: u16) {
        let slot = usize::from(slot);
        let ready = |worker: &Worker<C::Sync>| {
            worker.key.is_some() && worker.generation == generation && worker.flight.is_none()
        };
        if self.workers.get(slot).is_some_and(ready) {
            self.run(around, slot);
        }
    }

    /// The queue's timer fired.
    pub(crate) fn advance(&mut self, now: SimTime) {
        self.queue.advance(now);
    }

    /// Hands keys to free workers and sets the queue's timer.
    #[inline]
    pub(crate) fn dispatch(&mut self, around: &mut Surroundings<'_>) {
        if self.queue.take_changed() {
            self.hand_out(around);
        }
    }

    fn hand_out(&mut self, around: &mut Surroundings<'_>) {
        while !self.queue.is_idle() {
            let Some(slot) = self.workers.iter().position(|worker| worker.key.is_none()) else { break };
            let Some(key) = self.queue.pop() else { break };
            self.queue.wake(around.now, key);
            let worker = &mut self.workers[slot];
            worker.key = Some(key);
            worker.generation = worker.generation.wrapping_add(1);
            worker.sync = C::Sync::default();
            if around.config.sync_cost == Span::ZERO {
                self.run(around, slot);
            } else {
                let timer = ControllerTimer::Worker {
                    controller: self.id,
                    worker: slot as u8,
                    generation: worker.generation,
                };
                around.effects.timer(around.now + around.config.sync_cost, timer);
            }
        }
        if let Some(at) = self.queue.arm() {
            around.effects.timer(at, ControllerTimer::Queue { controller: self.id });
        }
    }

    /// The worker and the request of a tag, if the worker still waits for it.
    fn find(&self, tag: u64) -> Option<(usize, usize)> {
        let (slot, generation, index) = ((tag >> 48) as usize, (tag >> 32) as u16, tag as u32 as usize);
        let worker = self.workers.get(slot)?;
        let flight = worker.flight.as_ref()?;
        let waits = worker.generation == generation && index < flight.sent && flight.replies[index].is_none();
        waits.then_some((slot, index))
    }

    /// One more request of a worker is answered.
    fn answered(&mut self, around: &mut Surroundings<'_>, slot: usize) {
        let Some(flight) = &mut self.workers[slot].flight else { return };
        flight.pending = flight.pending.saturating_sub(1);
        if flight.pending == 0 && !self.send(around, slot) {
            self.run(around, slot);
        }
    }

    /// Does steps of a sync until it waits for answers or ends.
    fn run(&mut self, around: &mut Surroundings<'_>, slot: usize) {
        loop {
            let worker = &mut self.workers[slot];
            let Some(key) = worker.key else { return };
            let flight = worker.flight.take();
            let replies = flight.as_ref().map_or(&[][..], |flight| &flight.replies);
            let mut cx = context(around, &mut self.queue, &mut self.client);
            match self.controller.step(&mut cx, key, &mut worker.sync, replies) {
                Next::Send(batch) => {
                    worker.flight = Some(Flight::new(batch));
                    if self.send(around, slot) {
                        return;
                    }
                }
                Next::Done => return self.finish(around.now, slot, key, true),
                Next::Retry => return self.finish(around.now, slot, key, false),
            }
        }
    }

    fn finish(&mut self, now: SimTime, slot: usize, key: u32, success: bool) {
        let worker = &mut self.workers[slot];
        worker.key = None;
        worker.sync = C::Sync::default();
        if success {
            self.queue.forget(key);
        } else {
            self.queue.retry(now, key);
        }
        self.queue.done(key);
    }

    /// Sends the next group of a worker's batch. Returns whether anything was sent.
    fn send(&mut self, around: &mut Surroundings<'_>, slot: usize) -> bool {
        let worker = &mut self.workers[slot];
        let Some(flight) = &mut worker.flight else { return false };
        let group = flight.next_group();
        for request in flight.unsent.by_ref().take(group) {
            let tag = (slot as u64) << 48 | u64::from(worker.generation) << 32 | flight.sent as u64;
            let send_at = self.client.take(around.now);
            around.effects.request_at(send_at, token(self.id, tag), request);
            flight.sent += 1;
        }
        flight.pending += group;
        group > 0
    }
}

fn context<'a>(
    around: &'a mut Surroundings<'_>,
    queue: &'a mut WorkQueue,
    client: &'a mut Client,
) -> Context<'a> {
    Context {
        now: around.now,
        listing: around.listing,
        config: around.config,
        caches: around.caches,
        queue,
        client,
        effects: around.effects,
    }
}
