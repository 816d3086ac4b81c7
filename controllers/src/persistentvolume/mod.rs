//! The binder of claims and volumes (upstream `pkg/controller/volume/persistentvolume`): one
//! worker for claims, one for volumes, over caches that also hold what it has written itself.
//!
//! A look at the caches takes no time. All claims that are not bound are looked at again every 15 s. Volumes are made and deleted by
//! drivers outside; here their call is written into the claim.
//!
//! What goes with it: finalizers that protect what is in use, claims of generic ephemeral volumes,
//! and word of claims that ask for more.

mod ephemeral;
mod expand;
mod objects;
mod plan;
mod protection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use seatrial_api::object::{Kind, Object};
use seatrial_api::request::{Change, ErrorReason, Reply, Request};
use seatrial_api::storage::{ClaimPhase, STORAGE_PROVISIONER};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use self::objects::{Objects, View};
use self::plan::{Claimed, Next, Note, Plan};
use crate::framework::{Event, Port, RetryPolicy, WorkQueue};
use crate::{Config, ControllerTimer};

pub(crate) use ephemeral::EphemeralVolumeController;
pub(crate) use expand::ExpandController;
pub(crate) use protection::{ClaimProtection, VolumeProtection};

/// How often everything is looked at again.
const RESYNC: Span = Span::from_secs(15);
/// How long the provisioner of a claim is not called again after that has failed; doubled each time.
const CALL_BACK_OFF: Span = Span::from_millis(500);
/// The longest such time.
const CALL_BACK_OFF_MAX: Span = Span::from_secs(122);

/// What a worker is busy with.
#[derive(Clone, Debug, Default)]
struct Sync {
    key: u32,
    /// Whether its object was looked at.
    begun: bool,
    /// Whether the answer that is awaited says whether a volume's claim exists.
    verifying: bool,
    /// The volume to which the claim is being bound.
    binding: Option<u32>,
    /// What was found out about a volume's claim.
    claimed: Claimed,
    /// Recorded if the write on its way succeeds.
    note: Option<Note>,
    /// Whether the write on its way is the last one.
    last: bool,
}

/// A queue with its worker.
#[derive(Clone, Debug)]
struct Lane {
    queue: WorkQueue,
    sync: Option<Sync>,
    /// Counts syncs, so that an answer to an earlier one is told apart.
    count: u32,
}

impl Lane {
    fn new() -> Lane {
        Lane { queue: WorkQueue::new(RetryPolicy::standard()), sync: None, count: 0 }
    }
}

/// Calls of a claim's provisioner.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    pending: bool,
    /// Whether a sync asked for it meanwhile: it is taken to have come right after the answer.
    asked_again: bool,
    failures: u32,
    /// Not again before this instant.
    blocked_until: SimTime,
}

/// Answers to calls of provisioners carry the claim's row and this bit.
const CALL: u64 = 1 << 40;
/// Answers to the syncs of volumes carry this bit.
const OF_VOLUMES: u64 = 1 << 41;

/// The controller.
#[derive(Clone, Debug)]
pub(crate) struct Binder {
    started_at: Option<SimTime>,
    objects: Objects,
    claims: Lane,
    volumes: Lane,
    calls: BTreeMap<u32, Call>,
}

impl Binder {
    pub(crate) fn new(_: &Config) -> Binder {
        Binder {
            started_at: None,
            objects: Objects::default(),
            claims: Lane::new(),
            volumes: Lane::new(),
            calls: BTreeMap::new(),
        }
    }

    /// The caches are complete.
    pub(crate) fn start(&mut self, port: &mut Port<'_>) {
        self.started_at = Some(port.now);
        self.dispatch(port);
    }

    /// Is told a change of a claim or a volume.
    pub(crate) fn observe(&mut self, port: &mut Port<'_>, event: &Event<'_>) {
        let gone = event.change == Change::Deleted;
        self.objects.observe(event);
        match event.object {
            Object::PersistentVolumeClaim(claim) if gone => {
                self.calls.remove(&claim.meta.id);
                let volume = port.caches.volumes.named(Symbol::empty(), claim.spec.volume_name.as_str());
                if let Some(volume) = volume {
                    self.volumes.queue.add(volume.meta.id);
                }
            }
            Object::PersistentVolumeClaim(claim) => self.claims.queue.add(claim.meta.id),
            Object::PersistentVolume(volume) if gone => {
                let claim = volume.claim.as_ref();
                let claim =
                    claim.and_then(|claim| port.caches.claims.named(claim.namespace, claim.name.as_str()));
                if let Some(claim) = claim {
                    self.claims.queue.add(claim.meta.id);
                }
            }
            Object::PersistentVolume(volume) => self.volumes.queue.add(volume.meta.id),
            _ => return,
        }
        self.dispatch(port);
    }

    /// Delayed keys of the queues are due.
    pub(crate) fn fire(&mut self, port: &mut Port<'_>) {
        self.claims.queue.advance(port.now);
        self.volumes.queue.advance(port.now);
        self.dispatch(port);
    }

    /// Takes the answer to a request.
    pub(crate) fn reply(&mut self, port: &mut Port<'_>, tag: u64, reply: &Reply) {
        if tag & CALL != 0 {
            self.called(port, tag as u32, reply);
        } else {
            self.answered(port, tag & OF_VOLUMES == 0, tag as u32, reply);
        }
        self.dispatch(port);
    }

    fn lane(&mut self, claims: bool) -> &mut Lane {
        if claims { &mut self.claims } else { &mut self.volumes }
    }

    /// Hands keys to idle workers and sets timers.
    fn dispatch(&mut self, port: &mut Port<'_>) {
        if self.started_at.is_none() {
            return;
        }
        // A volume's sync may ask for a claim's, never the other way round.
        self.hand_out(port, false);
        self.hand_out(port, true);
        for claims in [true, false] {
            if let Some(at) = self.lane(claims).queue.arm() {
                port.timer(at, ControllerTimer::PersistentVolume);
            }
        }
    }

    /// Hands keys to a worker until it waits for an answer.
    fn hand_out(&mut self, port: &mut Port<'_>, claims: bool) {
        while self.lane(claims).sync.is_none() {
            let lane = self.lane(claims);
            let Some(key) = lane.queue.pop() else { return };
            lane.count = lane.count.wrapping_add(1);
            lane.sync = Some(Sync { key, ..Sync::default() });
            self.go_on(port, claims);
        }
    }

    /// Does steps of a worker's sync until it waits for an answer or ends.
    fn go_on(&mut self, port: &mut Port<'_>, claims: bool) {
        while let Some(sync) = &mut self.lane(claims).sync {
            let first = !std::mem::replace(&mut sync.begun, true);
            let (key, binding, claimed) = (sync.key, sync.binding, sync.claimed.clone());
            let view = View { caches: port.caches, objects: &self.objects };
            // What the watch shows may be older than what was written here: then it is not looked at.
            let Plan { notes, next } = match claims {
                _ if first && self.objects.is_behind(claims, key) => Next::Done.into(),
                true => plan_claim(view, key, binding),
                false => {
                    view.volume(key).map_or(Next::Done.into(), |volume| plan::volume(view, volume, &claimed))
                }
            };
            for note in notes {
                tell(port, note);
            }
            if self.take_step(port, claims, key, next) {
                return;
            }
        }
    }

    /// Does what comes next. Returns whether the worker waits for an answer.
    fn take_step(&mut self, port: &mut Port<'_>, claims: bool, key: u32, next: Next) -> bool {
        let lane = self.lane(claims);
        let count = u64::from(lane.count);
        let tag = if claims { count } else { OF_VOLUMES | count };
        let Some(sync) = &mut lane.sync else { return false };
        match next {
            Next::Write(request, note) => {
                (sync.note, sync.last) = (note, false);
                port.request(tag, request);
                return true;
            }
            Next::Last(request) => {
                (sync.note, sync.last) = (None, true);
                port.request(tag, request);
                return true;
            }
            Next::Verify(claim) => {
                sync.verifying = true;
                let name = claim.name.as_str().into();
                let kind = Kind::PersistentVolumeClaim;
                port.request(tag, Request::Get { kind, namespace: claim.namespace, name });
                return true;
            }
            Next::Bind(volume) => {
                sync.binding = Some(volume);
                return false;
            }
            Next::LookAtClaim(claim) => self.claims.queue.add(claim),
            Next::Provision(provisioner) => self.call(port, key, provisioner),
            Next::Failed => {
                self.finish(port, claims, false);
                return false;
            }
            Next::Done => {}
        }
        self.finish(port, claims, true);
        false
    }

    /// Takes the answer that a worker waits for.
    fn answered(&mut self, port: &mut Port<'_>, claims: bool, count: u32, reply: &Reply) {
        let lane = self.lane(claims);
        if lane.count != count {
            return;
        }
        let Some(sync) = &mut lane.sync else { return };
        let note = sync.note.take();
        let last = std::mem::take(&mut sync.last);
        let verifying = std::mem::take(&mut sync.verifying);
        match reply {
            Ok(Object::PersistentVolumeClaim(claim)) if verifying => {
                sync.claimed = Claimed::Verified(Some(claim.clone()));
            }
            Ok(object) => {
                self.objects.note(port.caches, object);
                if let Some(note) = note {
                    tell(port, note);
                }
            }
            Err(error) if verifying && error.reason == ErrorReason::NotFound => {
                sync.claimed = Claimed::Verified(None);
            }
            Err(_) => return self.finish(port, claims, false),
        }
        if last {
            self.finish(port, claims, true);
        } else {
            self.go_on(port, claims);
        }
    }

    fn finish(&mut self, port: &mut Port<'_>, claims: bool, success: bool) {
        let Some(started_at) = self.started_at else { return };
        let Some(Sync { key, .. }) = self.lane(claims).sync.take() else { return };
        let view = View { caches: port.caches, objects: &self.objects };
        let is_restless = claims && view.claim(key).is_some_and(|claim| claim.phase == ClaimPhase::Pending);
        let queue = &mut self.lane(claims).queue;
        if success {
            queue.forget(key);
        } else {
            queue.retry(port.now, key);
        }
        if is_restless {
            queue.add_at(next_resync(started_at, port.now), key);
        }
        queue.done(key);
    }

    /// Calls the provisioner of a claim, beside the worker, unless that is under way or has failed
    /// a moment ago.
    fn call(&mut self, port: &mut Port<'_>, key: u32, provisioner: Symbol) {
        let view = View { caches: port.caches, objects: &self.objects };
        let Some(claim) = view.claim(key) else { return };
        let call = self.calls.entry(key).or_default();
        if call.pending || port.now < call.blocked_until {
            call.asked_again |= call.pending;
            return;
        }
        match plan::with_provisioner(claim, provisioner) {
            None => tell(port, plan::provisioner_called(claim, provisioner)),
            Some(request) => {
                call.pending = true;
                port.request(CALL | u64::from(key), request);
            }
        }
    }

    /// The annotation that calls a provisioner was written, or not.
    fn called(&mut self, port: &mut Port<'_>, key: u32, reply: &Reply) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.pending = false;
        match reply {
            Ok(object) => {
                let times = 1 + usize::from(call.asked_again);
                *call = Call::default();
                self.objects.note(port.caches, object);
                if let Object::PersistentVolumeClaim(claim) = object {
                    let provisioner = claim.annotation(STORAGE_PROVISIONER).unwrap_or_default();
                    (0..times).for_each(|_| tell(port, plan::provisioner_called(claim, provisioner)));
                }
            }
            Err(error) => {
                call.asked_again = false;
                let wait = CALL_BACK_OFF.times(1 << call.failures.min(10)).min(CALL_BACK_OFF_MAX);
                call.failures = call.failures.saturating_add(1);
                call.blocked_until = port.now + wait;
                if let Some(claim) = port.caches.claims.get(key) {
                    tell(port, plan::provisioner_not_called(claim, &error.message));
                }
            }
        }
    }
}

fn plan_claim(view: View<'_>, key: u32, binding: Option<u32>) -> Plan {
    let Some(claim) = view.claim(key) else { return Next::Done.into() };
    let Some(volume) = binding else { return plan::claim(view, claim) };
    match view.volume(volume).map(|volume| plan::bind(volume, claim)) {
        Some(Some(write)) => Next::Write(write, None).into(),
        Some(None) => Next::Done.into(),
        None => Next::Failed.into(),
    }
}

/// The next instant at which everything is looked at again.
fn next_resync(started_at: SimTime, now: SimTime) -> SimTime {
    let periods = (now - started_at).nanos() / RESYNC.nanos() + 1;
    started_at + RESYNC.times(periods)
}

fn tell(port: &mut Port<'_>, note: Note) {
    port.event(note.about, note.severity, note.reason, || note.message);
}
