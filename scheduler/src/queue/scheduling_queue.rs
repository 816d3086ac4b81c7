//! Where waiting pods wait.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use seatrial_api::client::exponential;
use seatrial_api::pod::Pod;
use seatrial_api::units::{SimTime, Span};

use super::discipline::{Lines, Order};
use super::entry::{Place, PodEntry, PodTable, Preempting};
use super::event::{ClusterEvent, EventKind, Interests};
use crate::cluster::Cluster;
use crate::framework::{EventContext, Hint, PluginId, PluginSet, Profile};

/// An entry of the active heap: the lowest rank first (by default the highest priority), then who
/// came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ActiveKey {
    rank: i64,
    timestamp: SimTime,
    ticket: u32,
    pub(super) pod: u32,
}

/// An entry of a back-off heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BackoffKey {
    expiry: SimTime,
    then: ActiveKey,
}

/// What an event does to a waiting pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Nothing.
    Stay,
    /// It is tried again once it has backed off.
    AfterBackoff,
}

/// The queue.
#[derive(Clone)]
pub(crate) struct SchedulingQueue {
    initial_backoff: Span,
    max_backoff: Span,
    order: Order,
    /// What takes the place of the active heap in disciplines with several lines.
    lines: Option<Box<Lines>>,
    active: BinaryHeap<Reverse<ActiveKey>>,
    backoff: BinaryHeap<Reverse<BackoffKey>>,
    error_backoff: BinaryHeap<Reverse<BackoffKey>>,
    active_count: usize,
    backoff_count: usize,
    pool: BTreeSet<u32>,
    /// How many pods of the pool would look at an event, by its kind.
    interested: [u32; EventKind::COUNT],
    next_ticket: u32,
    /// Events since the pod in flight was taken out, to be replayed if it comes back.
    in_flight: Option<Vec<ClusterEvent>>,
}

/// How long a pod may stay in the pool before it is tried again anyway.
const POOL_LIMIT: Span = Span::from_mins(5);
/// How often the pool is swept for such pods.
const POOL_SWEEP: i64 = 30;

impl SchedulingQueue {
    pub(crate) fn new(initial_backoff: Span, max_backoff: Span, order: Order) -> SchedulingQueue {
        SchedulingQueue {
            lines: order.lines(),
            order,
            initial_backoff,
            max_backoff,
            active: BinaryHeap::new(),
            backoff: BinaryHeap::new(),
            error_backoff: BinaryHeap::new(),
            active_count: 0,
            backoff_count: 0,
            pool: BTreeSet::new(),
            interested: [0; EventKind::COUNT],
            next_ticket: 0,
            in_flight: None,
        }
    }

    /// Whether some pod can be tried now. Pods backing off from a rejection can, as soon as there
    /// is nothing else to do; not in disciplines with several lines, which could not choose among
    /// them.
    pub(crate) fn is_ready(&self) -> bool {
        self.active_count > 0 || self.backoff_count > 0 && self.lines.is_none()
    }

    /// Whether the order depends on the cluster as it is when a pod is taken out.
    pub(crate) fn looks_at_cluster(&self) -> bool {
        self.lines.is_some()
    }

    /// How long a pod is expected to run.
    pub(crate) fn run_time(&self, pod: &Pod) -> Option<Span> {
        self.order.run_time(pod)
    }

    /// How many pods wait in the pool.
    pub(crate) fn pool_len(&self) -> usize {
        self.pool.len()
    }

    /// A new pod, or one that came back, wants to be tried: the PreEnqueue plugins decide.
    pub(crate) fn enqueue(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32, wake: Place) {
        let gate = pods.get(&id).and_then(|entry| gate(pods, profiles, entry));
        let Some(entry) = pods.get_mut(&id) else { return };
        entry.gated_by = gate;
        let place = if entry.gated_by.is_some() { Place::Pool } else { wake };
        self.put(pods, profiles, id, place);
    }

    /// Takes the next pod out and counts the attempt.
    pub(crate) fn pop(
        &mut self,
        pods: &mut PodTable,
        profiles: &[Profile],
        cluster: &Cluster,
    ) -> Option<u32> {
        let id = self.pop_active(pods, cluster).or_else(|| self.pop_backoff(pods))?;
        self.fly(pods, profiles, id);
        Some(id)
    }

    /// Takes a pod out that waits, wherever that is, and counts the attempt. Whether it did wait.
    pub(crate) fn take(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32) -> bool {
        let waits = |entry: &PodEntry| {
            matches!(
                entry.place,
                Place::Gathering | Place::Active | Place::Backoff | Place::ErrorBackoff | Place::Pool
            )
        };
        let waited = pods.get(&id).is_some_and(|entry| waits(entry) && entry.gated_by.is_none());
        if waited {
            self.fly(pods, profiles, id);
        }
        waited
    }

    fn fly(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32) {
        self.leave(pods, profiles, id);
        let entry = pods.get_mut(&id).expect("invariant: a queued pod is known");
        entry.place = Place::InFlight;
        entry.attempts += 1;
        self.in_flight = Some(Vec::new());
    }

    /// A pod waits, although it was not rejected itself: others of its group were. It is tried again
    /// once it has backed off if something happened that may help.
    pub(crate) fn park(
        &mut self,
        pods: &mut PodTable,
        profiles: &[Profile],
        id: u32,
        rejectors: PluginSet,
        may_help: bool,
        now: SimTime,
    ) {
        self.leave(pods, profiles, id);
        if rejectors.is_empty() {
            self.failed(pods, profiles, id, now);
            return;
        }
        let Some(entry) = pods.get_mut(&id) else { return };
        entry.rejectors = rejectors;
        entry.timestamp = now;
        entry.error_count = 0;
        entry.unschedulable_count += 1;
        let place = if may_help { self.after_backoff(&pods[&id], now) } else { Place::Pool };
        self.enqueue(pods, profiles, id, place);
    }

    /// The pod in flight was placed or given up: nothing is replayed for it.
    pub(crate) fn done(&mut self) {
        self.in_flight = None;
    }

    /// The pod in flight was rejected: it waits until one of its rejectors hopes.
    pub(crate) fn rejected(
        &mut self,
        pods: &mut PodTable,
        profiles: &[Profile],
        cluster: &Cluster,
        id: u32,
        rejectors: PluginSet,
        now: SimTime,
    ) {
        let events = self.in_flight.take().unwrap_or_default();
        let Some(entry) = pods.get_mut(&id) else { return };
        entry.rejectors = rejectors;
        if rejectors.is_empty() {
            self.failed(pods, profiles, id, now);
            return;
        }
        entry.timestamp = now;
        entry.error_count = 0;
        entry.unschedulable_count += 1;
        let entry = &*entry;
        let hopes = events.iter().any(|event| wakes(cluster, profiles, entry, event) != Wake::Stay);
        if hopes {
            let place = self.after_backoff(entry, now);
            self.enqueue(pods, profiles, id, place);
        } else {
            self.put(pods, profiles, id, Place::Pool);
        }
    }

    /// The pod could not be tried or bound for an error.
    pub(crate) fn failed(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32, now: SimTime) {
        let Some(entry) = pods.get_mut(&id) else { return };
        entry.timestamp = now;
        entry.error_count += 1;
        entry.rejectors = PluginSet::EMPTY;
        self.enqueue(pods, profiles, id, Place::ErrorBackoff);
    }

    /// A pod is no longer to be scheduled from here.
    pub(crate) fn remove(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32) {
        self.leave(pods, profiles, id);
    }

    /// Something happened: pods of the pool whose rejectors hope are tried again.
    pub(crate) fn on_event(
        &mut self,
        pods: &mut PodTable,
        profiles: &[Profile],
        cluster: &Cluster,
        event: ClusterEvent,
        now: SimTime,
        except: Option<u32>,
    ) {
        if self.interested[event.kind() as usize] > 0 {
            let woken: Vec<u32> = self
                .pool
                .iter()
                .copied()
                .filter(|id| Some(*id) != except)
                .filter(|id| wakes(cluster, profiles, &pods[id], &event) != Wake::Stay)
                .collect();
            for id in woken {
                self.wake(pods, profiles, id, now);
            }
        }
        if let Some(events) = &mut self.in_flight {
            events.push(event);
        }
    }

    /// The waiting pod itself changed.
    pub(crate) fn on_own_update(
        &mut self,
        pods: &mut PodTable,
        profiles: &[Profile],
        cluster: &Cluster,
        id: u32,
        event: ClusterEvent,
        now: SimTime,
    ) {
        let Some(entry) = pods.get(&id) else { return };
        match entry.place {
            Place::Pool if wakes(cluster, profiles, entry, &event) != Wake::Stay => {
                self.wake(pods, profiles, id, now);
            }
            Place::InFlight => {
                if let Some(events) = &mut self.in_flight {
                    events.push(event);
                }
            }
            _ => {}
        }
    }

    /// A pod of the pool is tried again once it has backed off.
    pub(crate) fn wake(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32, now: SimTime) {
        let Some(entry) = pods.get(&id).filter(|entry| entry.place == Place::Pool) else { return };
        let place = self.after_backoff(entry, now);
        self.leave(pods, profiles, id);
        self.enqueue(pods, profiles, id, place);
    }

    /// A pod that waits is tried at once.
    pub(crate) fn activate(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32) {
        let waits = |place| matches!(place, Place::Pool | Place::Backoff | Place::ErrorBackoff);
        if pods.get(&id).is_some_and(|entry| waits(entry.place)) {
            self.leave(pods, profiles, id);
            self.enqueue(pods, profiles, id, Place::Active);
        }
    }

    /// Moves pods that have backed off to the active heap; to be called at whole seconds.
    pub(crate) fn flush_backoff(&mut self, pods: &mut PodTable, profiles: &[Profile], now: SimTime) {
        let second = now.truncate_to_second();
        for from in [Place::Backoff, Place::ErrorBackoff] {
            while let Some(key) = self.backoff_head(pods, from).filter(|key| key.expiry < second) {
                let id = key.then.pod;
                self.leave(pods, profiles, id);
                self.put(pods, profiles, id, Place::Active);
            }
        }
    }

    /// When the next pod has backed off; `None` if none is backing off.
    pub(crate) fn next_backoff_flush(&mut self, pods: &PodTable) -> Option<SimTime> {
        let heads = [Place::Backoff, Place::ErrorBackoff].map(|from| self.backoff_head(pods, from));
        let next = heads.into_iter().flatten().map(|key| key.expiry).min()?;
        Some(next + Span::from_secs(1))
    }

    /// Tries pods again that have been in the pool for long, whatever happened.
    pub(crate) fn flush_pool(&mut self, pods: &mut PodTable, profiles: &[Profile], now: SimTime) {
        let due = |id: &u32| {
            let entry = &pods[id];
            entry.gated_by.is_none() && now - entry.timestamp > POOL_LIMIT
        };
        let overdue: Vec<u32> = self.pool.iter().copied().filter(due).collect();
        for id in overdue {
            self.wake(pods, profiles, id, now);
        }
    }

    /// When a pod that enters the pool now will be swept.
    pub(crate) fn pool_sweep_after(now: SimTime) -> SimTime {
        let earliest = (now + POOL_LIMIT).nanos();
        let period = Span::from_secs(POOL_SWEEP).nanos();
        SimTime::from_nanos((earliest.div_euclid(period) + 1).saturating_mul(period))
    }

    /// Back-off queue or active heap, whichever is right for this pod now.
    fn after_backoff(&self, entry: &PodEntry, now: SimTime) -> Place {
        let backing_off = self.has_backoff(entry) && self.expiry(entry) >= now.truncate_to_second();
        if backing_off { Place::Backoff } else { Place::Active }
    }

    fn has_backoff(&self, entry: &PodEntry) -> bool {
        entry.error_count > 0 || entry.unschedulable_count > 0
    }

    fn expiry(&self, entry: &PodEntry) -> SimTime {
        let failures = if entry.error_count > 0 { entry.error_count } else { entry.unschedulable_count };
        let wait = exponential(self.initial_backoff, self.max_backoff, failures);
        (entry.timestamp + wait).truncate_to_second()
    }

    fn put(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32, place: Place) {
        let Some(entry) = pods.get_mut(&id) else { return };
        self.next_ticket = self.next_ticket.wrapping_add(1);
        entry.ticket = self.next_ticket;
        entry.place = place;
        let key = ActiveKey {
            rank: self.order.rank(&entry.pod, entry.arrival.nanos()),
            timestamp: entry.timestamp,
            ticket: entry.ticket,
            pod: id,
        };
        let entry = &*entry;
        match place {
            Place::Active => {
                match &mut self.lines {
                    Some(lines) => lines.push(&entry.pod, key),
                    None => self.active.push(Reverse(key)),
                }
                self.active_count += 1;
            }
            Place::Backoff => {
                self.backoff.push(Reverse(BackoffKey { expiry: self.expiry(entry), then: key }));
                self.backoff_count += 1;
            }
            Place::ErrorBackoff => {
                self.error_backoff.push(Reverse(BackoffKey { expiry: self.expiry(entry), then: key }));
            }
            Place::Pool => {
                self.pool.insert(id);
                self.count_interests(profiles, entry, 1);
            }
            Place::Gathering | Place::InFlight | Place::Dropped | Place::Assumed(_) | Place::Assigned(_) => {}
        }
    }

    /// Takes a pod out of the place where it waits; its heap entry becomes stale.
    fn leave(&mut self, pods: &mut PodTable, profiles: &[Profile], id: u32) {
        let Some(entry) = pods.get_mut(&id) else { return };
        match entry.place {
            Place::Active => self.active_count -= 1,
            Place::Backoff => self.backoff_count -= 1,
            Place::Pool => {
                self.pool.remove(&id);
                self.count_interests(profiles, entry, -1);
            }
            Place::ErrorBackoff
            | Place::Gathering
            | Place::InFlight
            | Place::Dropped
            | Place::Assumed(_)
            | Place::Assigned(_) => {}
        }
        self.next_ticket = self.next_ticket.wrapping_add(1);
        entry.ticket = self.next_ticket;
    }

    fn count_interests(&mut self, profiles: &[Profile], entry: &PodEntry, change: i32) {
        let interests = interests(&profiles[usize::from(entry.profile)], entry);
        for (kind, count) in EventKind::ALL.into_iter().zip(&mut self.interested) {
            if interests.contains(kind) {
                *count = count.saturating_add_signed(change);
            }
        }
    }

    /// A pod is there that was not known.
    pub(crate) fn pod_known(&mut self, pod: &Pod) {
        if let Some(lines) = &mut self.lines {
            lines.known(pod, 1);
        }
    }

    /// A known pod is there no more.
    pub(crate) fn pod_gone(&mut self, pod: &Pod) {
        if let Some(lines) = &mut self.lines {
            lines.known(pod, -1);
        }
    }

    /// A known pod has a newer version.
    pub(crate) fn pod_changed(&mut self, old: &Pod, new: &Pod) {
        if let Some(lines) = &mut self.lines {
            lines.known(old, -1);
            lines.known(new, 1);
        }
    }

    /// A pod with room on a node has a newer version.
    pub(crate) fn placed_pod_changed(&mut self, old: &Pod, new: &Pod) {
        if let Some(lines) = &mut self.lines {
            lines.placed(old, -1);
            lines.placed(new, 1);
        }
        self.pod_changed(old, new);
    }

    /// A pod was given room on a node.
    pub(crate) fn pod_placed(&mut self, pod: &Pod) {
        if let Some(lines) = &mut self.lines {
            lines.placed(pod, 1);
        }
    }

    /// A pod gave its room back.
    pub(crate) fn pod_displaced(&mut self, pod: &Pod) {
        if let Some(lines) = &mut self.lines {
            lines.placed(pod, -1);
        }
    }

    fn pop_active(&mut self, pods: &PodTable, cluster: &Cluster) -> Option<u32> {
        if let Some(lines) = &mut self.lines {
            let waits = |key: &ActiveKey| is_current(pods, key, Place::Active).then(|| &pods[&key.pod].pod);
            return lines.pop(cluster, waits);
        }
        while let Some(Reverse(key)) = self.active.pop() {
            if is_current(pods, &key, Place::Active) {
                return Some(key.pod);
            }
        }
        None
    }

    fn pop_backoff(&mut self, pods: &PodTable) -> Option<u32> {
        if self.lines.is_some() {
            return None;
        }
        let key = self.backoff_head(pods, Place::Backoff)?;
        self.backoff.pop();
        Some(key.then.pod)
    }

    fn backoff_head(&mut self, pods: &PodTable, from: Place) -> Option<BackoffKey> {
        let heap = if from == Place::Backoff { &mut self.backoff } else { &mut self.error_backoff };
        while let Some(Reverse(key)) = heap.peek().copied() {
            if is_current(pods, &key.then, from) {
                return Some(key);
            }
            heap.pop();
        }
        None
    }
}

fn is_current(pods: &PodTable, key: &ActiveKey, place: Place) -> bool {
    pods.get(&key.pod).is_some_and(|entry| entry.ticket == key.ticket && entry.place == place)
}

/// The PreEnqueue plugin that keeps a pod out of the queue.
fn gate(pods: &PodTable, profiles: &[Profile], entry: &PodEntry) -> Option<PluginId> {
    let profile = &profiles[usize::from(entry.profile)];
    let is_preempting = match entry.preempting {
        Preempting::No => false,
        Preempting::Calls => true,
        Preempting::LastVictim(victim) => {
            pods.get(&victim).is_some_and(|victim| !victim.pod.meta.is_deleting())
        }
    };
    if is_preempting && let Some(&plugin) = profile.post_filter.last() {
        return Some(plugin);
    }
    let rejects = |plugin: &&PluginId| profile.plugin(**plugin).pre_enqueue(&entry.pod).is_some();
    profile.pre_enqueue.iter().find(rejects).copied()
}

/// The events that may move a pod of the pool: of a gated one, those that its gate looks at.
fn interests(profile: &Profile, entry: &PodEntry) -> Interests {
    match entry.gated_by {
        Some(gate) => profile.plugin(gate).interests(),
        None => {
            let each = entry.rejectors.iter().map(|plugin| profile.plugin(plugin).interests());
            each.fold(Interests::default(), Interests::union)
        }
    }
}

/// What an event does to a pod of the pool.
fn wakes(cluster: &Cluster, profiles: &[Profile], entry: &PodEntry, event: &ClusterEvent) -> Wake {
    if let ClusterEvent::PodDelete { up_to_priority: Some(limit), .. } = event
        && entry.pod.spec.priority() > *limit
    {
        return Wake::Stay;
    }
    let profile = &profiles[usize::from(entry.profile)];
    let context = EventContext { cluster, pod: &entry.pod };
    let kind = event.kind();
    if !interests(profile, entry).contains(kind) {
        return Wake::Stay;
    }
    let hopes = entry.gated_by.into_iter().chain(entry.rejectors.iter()).any(|plugin| {
        let plugin = profile.plugin(plugin);
        plugin.interests().contains(kind) && plugin.hint(context, event) == Hint::Queue
    });
    if hopes { Wake::AfterBackoff } else { Wake::Stay }
}
