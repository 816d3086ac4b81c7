//! The node life cycle controller (upstream `pkg/controller/nodelifecycle`):
//! finds nodes that are silent, marks their pods not ready and taints them, zone by zone.
//!
//! The passes of the health monitor are computed and played only when one may change something:
//! a node or its lease has changed, or a node has been silent for long enough. So an idle cluster
//! costs nothing. Left out: the reconciliation of legacy `beta.kubernetes.io` labels.

mod health;
mod pass;
mod taints;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::machine::{Heartbeat, Severity};
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType};
use seatrial_api::request::{Change, Patch, Reply, Request};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::ControllerTimer;
use crate::framework::{Caches, Event, Port};
use crate::pass_schedule::PassSchedule;
use health::{Lease, NodeHealth};
use pass::Pass;
use zones::{Zone, ZoneCount, ZoneKey};

pub use health::silent_conditions;
pub use taints::{TaintPlan, plan_no_execute, plan_no_schedule, plan_reachable};
pub use zones::{NodeLifecycleConfig, ZoneCount as NodeZoneCount, ZoneState};

/// How often the tainting worker looks at the zones' queues.
const TAINT_PERIOD: Span = Span::from_millis(100);

/// Timers of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeLifecycleTimer {
    /// A pass of the health monitor that may change something.
    Pass,
    /// A pass that has written something is over.
    PassEnd,
    /// The tainting worker looks at the queues.
    Taint,
}

/// What an answer is about: the kind of request and a row, packed into a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    /// A pass wrote the conditions of a node.
    Conditions,
    /// A pass read a node again after a conflict.
    Reread,
    /// A pass changed the NoExecute taints of a node.
    PassTaint,
    /// A pass marked a pod not ready; the row is the node's.
    Mark,
    /// The NoSchedule taints of a node were changed.
    NoSchedule,
    /// The tainting worker gave a node its NoExecute taint.
    NoExecute,
    /// Nobody waits for the answer.
    Detached,
}

impl Tag {
    const ALL: [Tag; 7] = [
        Tag::Conditions,
        Tag::Reread,
        Tag::PassTaint,
        Tag::Mark,
        Tag::NoSchedule,
        Tag::NoExecute,
        Tag::Detached,
    ];

    fn with(self, row: u32) -> u64 {
        (self as u64) << 32 | u64::from(row)
    }

    fn split(tag: u64) -> Option<(Tag, u32)> {
        Some((*Tag::ALL.get((tag >> 32) as usize)?, tag as u32))
    }
}

/// The controller.
#[derive(Clone, Debug)]
pub(crate) struct NodeLifecycle {
    settings: NodeLifecycleConfig,
    /// The passes; `None` until the caches are complete.
    schedule: Option<PassSchedule>,
    started: SimTime,
    nodes: BTreeMap<u32, NodeHealth>,
    expiries: BTreeSet<(SimTime, u32)>,
    /// Nodes at which the next pass must look.
    dirty: BTreeSet<u32>,
    /// Registered nodes that were deleted since the last pass.
    departed: Vec<(u32, CompactString)>,
    zones: BTreeMap<ZoneKey, Zone>,
    counts: BTreeMap<ZoneKey, ZoneCount>,
    pass: Option<Pass>,
    /// Nodes whose NoSchedule taints are being written, and whether they changed meanwhile.
    tainting: BTreeMap<u32, bool>,
    /// When the last pass that was played began.
    last_pass: Option<SimTime>,
    armed_pass: Option<SimTime>,
    armed_taint: Option<SimTime>,
}

impl NodeLifecycle {
    pub(crate) fn new(settings: NodeLifecycleConfig) -> NodeLifecycle {
        NodeLifecycle {
            settings,
            schedule: None,
            started: SimTime::ZERO,
            nodes: BTreeMap::new(),
            expiries: BTreeSet::new(),
            dirty: BTreeSet::new(),
            departed: Vec::new(),
            zones: BTreeMap::new(),
            counts: BTreeMap::new(),
            pass: None,
            tainting: BTreeMap::new(),
            last_pass: None,
            armed_pass: None,
            armed_taint: None,
        }
    }

    /// The caches are complete: the first pass is due, and all taints are looked at.
    pub(crate) fn start(&mut self, port: &mut Port<'_>) {
        self.started = port.now;
        self.schedule = Some(PassSchedule::new(port.now, self.settings.monitor_period));
        let rows: Vec<u32> = port.caches.nodes.iter().map(|node| node.meta.id).collect();
        for row in rows {
            self.dirty.insert(row);
            self.reconcile_no_schedule(port, row);
        }
        self.arm(port);
    }

    /// Is told a change of a node or a pod.
    pub(crate) fn observe(&mut self, port: &mut Port<'_>, event: &Event<'_>) {
        match event.object {
            Object::Node(node) => self.observe_node(port, event.change, node),
            Object::Pod(pod) => {
                let old = event.old.and_then(|old| if let Object::Pod(old) = old { old.node } else { None });
                if event.change != Change::Deleted && pod.node != old {
                    self.pod_assigned(port, pod);
                }
            }
            _ => {}
        }
    }

    fn observe_node(&mut self, port: &mut Port<'_>, change: Change, node: &Arc<Node>) {
        let row = node.meta.id;
        if change == Change::Deleted {
            self.forget(row, node);
        } else {
            let health = self.nodes.entry(row).or_default();
            health.written.take_if(|written| written.meta.resource_version <= node.meta.resource_version);
            self.dirty.insert(row);
        }
        if self.schedule.is_some() {
            self.reconcile_no_schedule(port, row);
            self.arm(port);
        }
    }

    /// A node is gone. The next pass tells.
    fn forget(&mut self, row: u32, node: &Node) {
        self.dirty.remove(&row);
        let Some(health) = self.nodes.remove(&row) else { return };
        if let Some(expiry) = health.expiry {
            self.expiries.remove(&(expiry, row));
        }
        if let Some(counted) = health.counted {
            self.uncount(counted);
        }
        for zone in self.zones.values_mut() {
            zone.queue.remove(&row);
        }
        if health.known {
            self.departed.push((row, node.meta.name.clone()));
        }
    }

    fn uncount(&mut self, (zone, ready): (ZoneKey, ConditionStatus)) {
        if let Some(count) = self.counts.get_mut(&zone) {
            count.remove(ready);
        }
    }

    /// Is told news of a node's lease.
    pub(crate) fn heartbeat(&mut self, port: &mut Port<'_>, row: u32, heartbeat: Heartbeat) {
        let lease = Lease::after(port.now, heartbeat);
        self.nodes.entry(row).or_default().lease = lease;
        if let Some(node) = self.view(port.caches, row) {
            self.file_expiry(row, node.ready());
        }
        self.arm(port);
    }

    /// A pod was assigned to a node: on a node that is not ready it must not be ready either.
    fn pod_assigned(&mut self, port: &mut Port<'_>, pod: &Arc<Pod>) {
        let (Some(name), true) = (pod.node, claims_ready(pod)) else { return };
        let Some(node) = port.caches.nodes.named(Symbol::empty(), name.as_str()) else { return };
        let Some(health) = self.nodes.get(&node.meta.id).filter(|health| health.known) else { return };
        if matches!(health.seen.status, ConditionStatus::False | ConditionStatus::Unknown) {
            mark_not_ready(port, Tag::Detached.with(pod.meta.id), pod);
        }
    }

    /// Takes the answer to a request.
    pub(crate) fn reply(&mut self, port: &mut Port<'_>, tag: u64, reply: &Reply) {
        match Tag::split(tag) {
            Some((Tag::NoSchedule, row)) => {
                if self.tainting.remove(&row) == Some(true) {
                    self.reconcile_no_schedule(port, row);
                }
            }
            Some((Tag::NoExecute, row)) => {
                if reply.is_err() && self.view(port.caches, row).is_some() {
                    self.enqueue(port.caches, row);
                }
            }
            Some((Tag::Detached, _)) | None => {}
            Some((tag, row)) => self.pass_reply(port, tag, row, reply),
        }
        self.arm(port);
    }

    /// A timer is due.
    pub(crate) fn fire(&mut self, port: &mut Port<'_>, timer: NodeLifecycleTimer) {
        match timer {
            NodeLifecycleTimer::Pass => {
                self.armed_pass.take_if(|at| *at <= port.now);
                if self.pass.is_none() && self.next_pass(port.now) == Some(port.now) {
                    self.begin_pass(port);
                }
            }
            NodeLifecycleTimer::PassEnd => self.end_pass_at(port),
            NodeLifecycleTimer::Taint => {
                self.armed_taint.take_if(|at| *at <= port.now);
                self.taint_nodes(port);
            }
        }
        self.arm(port);
    }

    /// The newest version of a node that the controller knows: the cache's, or what its own write
    /// has made.
    fn view(&self, caches: &Caches, row: u32) -> Option<Arc<Node>> {
        let cached = caches.nodes.get(row)?;
        let written = self.nodes.get(&row).and_then(|health| health.written.as_ref());
        let newer = written.filter(|written| written.meta.resource_version > cached.meta.resource_version);
        Some(newer.unwrap_or(cached).clone())
    }

    /// Files when a node expires.
    fn file_expiry(&mut self, row: u32, ready: ConditionStatus) {
        let (Some(schedule), Some(health)) = (&self.schedule, self.nodes.get_mut(&row)) else { return };
        let expiry = health.expires(ready, schedule, &self.settings);
        if expiry == health.expiry {
            return;
        }
        if let Some(old) = health.expiry {
            self.expiries.remove(&(old, row));
        }
        if let Some(new) = expiry {
            self.expiries.insert((new, row));
        }
        health.expiry = expiry;
    }

    /// The next pass, at or after `now`, that may change something.
    fn next_pass(&self, now: SimTime) -> Option<SimTime> {
        let schedule = self.schedule.as_ref()?;
        let next = if self.last_pass == Some(now) { schedule.after(now) } else { schedule.at_or_after(now) };
        if !self.dirty.is_empty() || !self.departed.is_empty() {
            return Some(next);
        }
        let &(expiry, _) = self.expiries.first()?;
        Some(schedule.after(expiry).max(next))
    }

    /// Sets the timers that are needed.
    fn arm(&mut self, port: &mut Port<'_>) {
        if self.pass.is_none()
            && let Some(at) = self.next_pass(port.now)
            && self.armed_pass.is_none_or(|armed| armed > at)
        {
            self.armed_pass = Some(at);
            port.timer(at, ControllerTimer::NodeLifecycle(NodeLifecycleTimer::Pass));
        }
        if let Some(ready) = self.zones.values().filter_map(Zone::next).min() {
            let at = self.tick_at_or_after(ready.max(port.now));
            if self.armed_taint.is_none_or(|armed| armed > at) {
                self.armed_taint = Some(at);
                port.timer(at, ControllerTimer::NodeLifecycle(NodeLifecycleTimer::Taint));
            }
        }
    }

    /// The first look of the tainting worker at or after `instant`.
    fn tick_at_or_after(&self, instant: SimTime) -> SimTime {
        let ahead = (instant - self.started).nanos().max(0);
        let ticks = ahead.div_euclid(TAINT_PERIOD.nanos()) + i64::from(ahead % TAINT_PERIOD.nanos() != 0);
        self.started + TAINT_PERIOD.times(ticks)
    }

    /// Lets a node wait for its NoExecute taint.
    fn enqueue(&mut self, caches: &Caches, row: u32) {
        let Some(node) = self.view(caches, row) else { return };
        if let Some(zone) = self.zones.get_mut(&zones::zone_of(&node.meta)) {
            zone.queue.insert(row);
        }
    }

    /// Gives nodes their NoExecute taint, as far as the rates of their zones allow.
    fn taint_nodes(&mut self, port: &mut Port<'_>) {
        let mut taken = Vec::new();
        for zone in self.zones.values_mut() {
            taken.extend(std::iter::from_fn(|| zone.take(port.now)));
        }
        for row in taken {
            let Some(node) = self.view(port.caches, row) else { continue };
            let plan = plan_no_execute(&node);
            if plan.is_empty() {
                continue;
            }
            if let Some(pass) = &mut self.pass {
                pass.tainted.insert(row);
            }
            port.request(Tag::NoExecute.with(row), patch_node(row, plan.into_patch()));
        }
    }

    /// Brings the NoSchedule taints of a node in line with its conditions.
    fn reconcile_no_schedule(&mut self, port: &mut Port<'_>, row: u32) {
        if let Some(changed) = self.tainting.get_mut(&row) {
            *changed = true;
            return;
        }
        let Some(node) = port.caches.nodes.get(row) else { return };
        let plan = plan_no_schedule(node);
        if !plan.is_empty() {
            self.tainting.insert(row, false);
            port.request(Tag::NoSchedule.with(row), patch_node(row, plan.into_patch()));
        }
    }
}

fn node_ref(row: u32) -> ObjectRef {
    ObjectRef { kind: Kind::Node, id: row }
}

fn patch_node(row: u32, patch: Patch) -> Request {
    Request::Patch { target: node_ref(row), patch }
}

/// Whether a pod says of itself that it is ready, or may be.
fn claims_ready(pod: &Pod) -> bool {
    let ready = pod.status.conditions.get(PodConditionType::Ready).status;
    matches!(ready, ConditionStatus::True | ConditionStatus::Unknown)
}

/// Sets a pod's Ready condition to False and tells of it.
fn mark_not_ready(port: &mut Port<'_>, tag: u64, pod: &Pod) {
    let reason = pod.status.conditions.get(PodConditionType::Ready).reason;
    let kind = PodConditionType::Ready;
    let patch = Patch::PodCondition { kind, status: ConditionStatus::False, reason, message: None };
    port.request(tag, Request::patch_pod(pod.meta.id, patch));
    let object = pod.meta.object_ref(Kind::Pod);
    port.event(object, Severity::Warning, "NodeNotReady", || "Node is not ready");
}
