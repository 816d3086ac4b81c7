//! A pass of the health monitor: looks at the nodes that may have changed, writes what it finds,
//! marks pods, and judges the zones when all of that is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::node::{Node, NodeConditionType};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::request::{ErrorReason, Reply, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::zones::{LABEL_EXCLUDE_DISRUPTION, Zone, ZoneState, zone_of};
use super::{
    NodeLifecycle, NodeLifecycleTimer, TAINT_PERIOD, Tag, claims_ready, mark_not_ready, node_ref, patch_node,
    plan_no_execute, plan_reachable, silent_conditions,
};
use crate::ControllerTimer;
use crate::framework::Port;

/// How often a pass tries to write the conditions of one node.
const WRITE_TRIES: u8 = 5;

/// A pass under way.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    began: SimTime,
    /// Requests without an answer.
    pending: usize,
    /// Nodes whose conditions are being written: the Ready status before, and the tries so far.
    writing: BTreeMap<u32, (ConditionStatus, u8)>,
    /// Pods that are to be marked not ready, by node; each node does one after the other.
    marking: BTreeMap<u32, VecDeque<u32>>,
    /// Nodes that the tainting worker has reached while the pass ran.
    pub(super) tainted: BTreeSet<u32>,
    ends: Option<SimTime>,
}

impl NodeLifecycle {
    /// Begins a pass.
    pub(super) fn begin_pass(&mut self, port: &mut Port<'_>) {
        self.pass = Some(Pass {
            began: port.now,
            pending: 0,
            writing: BTreeMap::new(),
            marking: BTreeMap::new(),
            tainted: BTreeSet::new(),
            ends: None,
        });
        self.last_pass = Some(port.now);
        let mut rows = std::mem::take(&mut self.dirty);
        rows.extend(self.expiries.iter().take_while(|entry| entry.0 < port.now).map(|entry| entry.1));
        self.register(port, &rows);
        for row in rows {
            self.examine(port, row);
        }
        self.continue_pass(port);
    }

    /// Tells of nodes that came and went; nodes that came lose their NoExecute taints.
    fn register(&mut self, port: &mut Port<'_>, rows: &BTreeSet<u32>) {
        for &row in rows {
            let Some(node) = port.caches.nodes.get(row).cloned() else { continue };
            let zone = zone_of(&node.meta);
            self.zones.entry(zone).or_insert_with(|| Zone::new(&self.settings));
            let Some(health) = self.nodes.get_mut(&row).filter(|health| !health.known) else { continue };
            health.known = true;
            port.event(node_ref(row), Severity::Normal, "RegisteredNode", || {
                format!("Node {0} event: Registered Node {0} in Controller", node.meta.name)
            });
            self.make_reachable(port, &node);
        }
        for (row, name) in std::mem::take(&mut self.departed) {
            port.event(node_ref(row), Severity::Normal, "RemovingNode", || {
                format!("Node {name} event: Removing Node {name} from Controller")
            });
        }
    }

    /// Sends a request that the pass waits for.
    fn pass_request(&mut self, port: &mut Port<'_>, tag: Tag, row: u32, request: Request) {
        if let Some(pass) = &mut self.pass {
            pass.pending += 1;
            port.request(tag.with(row), request);
        }
    }

    /// Takes both NoExecute taints from a node and from the queue.
    fn make_reachable(&mut self, port: &mut Port<'_>, node: &Arc<Node>) {
        let row = node.meta.id;
        if let Some(zone) = self.zones.get_mut(&zone_of(&node.meta)) {
            zone.queue.remove(&row);
        }
        let plan = plan_reachable(node);
        if !plan.is_empty() {
            self.pass_request(port, Tag::PassTaint, row, patch_node(row, plan.into_patch()));
        }
    }

    /// Looks at a node: has it been silent for too long?
    fn examine(&mut self, port: &mut Port<'_>, row: u32) {
        let Some(node) = self.view(port.caches, row) else { return };
        let Some(health) = self.nodes.get_mut(&row) else { return };
        health.observe(port.now, &node);
        let ready = node.ready();
        self.file_expiry(row, ready);
        let expired = self.nodes.get(&row).and_then(|health| health.expiry).is_some_and(|at| port.now > at);
        if expired {
            self.write_silent(port, row, &node);
        } else {
            self.settle(port, row, &node, ready);
        }
    }

    /// Writes that a node is silent.
    fn write_silent(&mut self, port: &mut Port<'_>, row: u32, node: &Arc<Node>) {
        let Some(pass) = &mut self.pass else { return };
        let tries = pass.writing.get(&row).map_or(0, |entry| entry.1) + 1;
        if tries > WRITE_TRIES {
            pass.writing.remove(&row);
            self.dirty.insert(row);
            return;
        }
        pass.writing.insert(row, (node.ready(), tries));
        let mut silent = Node::clone(node);
        silent.conditions = silent_conditions(node, port.now);
        let object = Object::Node(Arc::new(silent));
        let request = Request::Update { object, subresource: Subresource::Status };
        self.pass_request(port, Tag::Conditions, row, request);
    }

    /// Draws the conclusions from a node's readiness; `before` is what the pass has found.
    fn settle(&mut self, port: &mut Port<'_>, row: u32, node: &Arc<Node>, before: ConditionStatus) {
        let ready = node.ready();
        self.count(row, node, ready);
        self.file_expiry(row, ready);
        match ready {
            ConditionStatus::Absent => return,
            ConditionStatus::True => self.make_reachable(port, node),
            ConditionStatus::False | ConditionStatus::Unknown => {
                let plan = plan_no_execute(node);
                if !plan.remove.is_empty() {
                    self.pass_request(port, Tag::PassTaint, row, patch_node(row, plan.into_patch()));
                } else if !plan.add.is_empty() {
                    self.enqueue(port.caches, row);
                }
            }
        }
        let falls = before == ConditionStatus::True && ready != ConditionStatus::True;
        if falls {
            port.event(node_ref(row), Severity::Normal, "NodeNotReady", || {
                format!("Node {} status is now: NodeNotReady", node.meta.name)
            });
        }
        let Some(health) = self.nodes.get_mut(&row) else { return };
        let retries = std::mem::take(&mut health.marks_failed) && ready != ConditionStatus::True;
        if falls || retries {
            self.mark_pods(port, row, node.name);
        }
    }

    fn count(&mut self, row: u32, node: &Node, ready: ConditionStatus) {
        let excluded = node.meta.labels.get(Symbol::new(LABEL_EXCLUDE_DISRUPTION)).is_some();
        let counted = (!excluded).then(|| (zone_of(&node.meta), ready));
        let Some(health) = self.nodes.get_mut(&row) else { return };
        let before = std::mem::replace(&mut health.counted, counted);
        if before == counted {
            return;
        }
        if let Some(before) = before {
            self.uncount(before);
        }
        if let Some((zone, ready)) = counted {
            self.counts.entry(zone).or_default().add(ready);
        }
    }

    /// Marks the pods of a node not ready, one after the other.
    fn mark_pods(&mut self, port: &mut Port<'_>, row: u32, name: Symbol) {
        let pods = port.caches.pods.on_node(name).filter(|pod| claims_ready(pod));
        let rows: VecDeque<u32> = pods.map(|pod| pod.meta.id).collect();
        if let Some(pass) = &mut self.pass {
            pass.marking.insert(row, rows);
        }
        self.mark_next(port, row);
    }

    fn mark_next(&mut self, port: &mut Port<'_>, row: u32) {
        let Some(pass) = &mut self.pass else { return };
        let Some(queue) = pass.marking.get_mut(&row) else { return };
        while let Some(pod) = queue.pop_front() {
            if let Some(pod) = port.caches.pods.get(pod).filter(|pod| claims_ready(pod)) {
                pass.pending += 1;
                mark_not_ready(port, Tag::Mark.with(row), pod);
                return;
            }
        }
        pass.marking.remove(&row);
    }

    /// Takes the answer to a request of a pass.
    pub(super) fn pass_reply(&mut self, port: &mut Port<'_>, tag: Tag, row: u32, reply: &Reply) {
        let Some(pass) = &mut self.pass else { return };
        // An answer to a predecessor of this controller may come late.
        pass.pending = pass.pending.saturating_sub(1);
        match (tag, reply) {
            (Tag::Conditions, Ok(Object::Node(node))) => {
                let before = pass.writing.remove(&row).map_or(ConditionStatus::Unknown, |entry| entry.0);
                if let Some(health) = self.nodes.get_mut(&row) {
                    health.seen = node.conditions.get(NodeConditionType::Ready);
                    health.written = Some(node.clone());
                }
                self.settle(port, row, node, before);
            }
            (Tag::Conditions, Err(error)) if error.reason == ErrorReason::Conflict => {
                if let Some(node) = port.caches.nodes.get(row) {
                    let (namespace, name) = (Symbol::empty(), node.meta.name.clone());
                    let request = Request::Get { kind: Kind::Node, namespace, name };
                    self.pass_request(port, Tag::Reread, row, request);
                }
            }
            (Tag::Reread, Ok(Object::Node(node))) => {
                if let Some(health) = self.nodes.get_mut(&row) {
                    health.written = Some(node.clone());
                }
                self.examine(port, row);
            }
            (Tag::Mark, reply) => {
                let failed = reply.as_ref().is_err_and(|error| error.reason != ErrorReason::NotFound);
                if let Some(health) = self.nodes.get_mut(&row).filter(|_| failed) {
                    health.marks_failed = true;
                    self.dirty.insert(row);
                }
                self.mark_next(port, row);
            }
            // A taint that could not be written, or a node that could not be: the next pass.
            (_, Err(_)) if port.caches.nodes.get(row).is_some() => {
                self.dirty.insert(row);
            }
            _ => {}
        }
        self.continue_pass(port);
    }

    /// Ends the pass if nothing is left to wait for.
    ///
    /// Model: a pass that has written something lasts one more period of the tainting worker. So
    /// the worker, which runs beside it, reaches the first node of each zone before the zones are
    /// judged, as recorded: that node keeps its taint even if every zone turns out to be lost.
    fn continue_pass(&mut self, port: &mut Port<'_>) {
        let Some(pass) = &mut self.pass else { return };
        if pass.pending > 0 {
            return;
        }
        if port.now == pass.began {
            self.judge_zones(port);
            self.pass = None;
            return;
        }
        let ends = port.now + TAINT_PERIOD;
        pass.ends = Some(ends);
        port.timer(ends, ControllerTimer::NodeLifecycle(NodeLifecycleTimer::PassEnd));
    }

    /// A pass that has written something is over, unless it was prolonged.
    pub(super) fn end_pass_at(&mut self, port: &mut Port<'_>) {
        let Some(began) =
            self.pass.as_ref().filter(|pass| pass.ends == Some(port.now)).map(|pass| pass.began)
        else {
            return;
        };
        self.judge_zones(port);
        self.pass = None;
        if let Some(schedule) = &mut self.schedule {
            schedule.end_of_pass(began, port.now);
        }
    }

    /// Judges the zones and sets the rates of their queues.
    fn judge_zones(&mut self, port: &mut Port<'_>) {
        self.counts.retain(|_, count| count.total() > 0);
        self.zones.retain(|key, zone| self.counts.contains_key(key) || !zone.queue.is_empty());
        let threshold = self.settings.unhealthy_zone_threshold;
        let states: Vec<_> =
            self.counts.iter().map(|(key, count)| (*key, *count, count.state(threshold))).collect();
        let is_full = states.iter().all(|row| row.2 == ZoneState::FullDisruption);
        let was_full = self.zones.values().all(|zone| zone.state == ZoneState::FullDisruption);
        if is_full && was_full {
            return;
        }
        if is_full {
            return self.stop_evictions(port);
        }
        if was_full {
            self.restart_probes(port.now);
        }
        for (key, count, state) in states {
            let settings = self.settings;
            let zone = self.zones.entry(key).or_insert_with(|| Zone::new(&settings));
            if was_full || zone.state != state {
                zone.enter(port.now, state, count.total(), &settings);
            }
        }
    }

    /// Every zone is lost, so the fault is assumed on this side: no more evictions.
    fn stop_evictions(&mut self, port: &mut Port<'_>) {
        let Some(pass) = &self.pass else { return };
        let tainted = pass.tainted.clone();
        for node in port.caches.nodes.iter().filter(|node| !tainted.contains(&node.meta.id)) {
            let plan = plan_reachable(node);
            if !plan.is_empty() {
                let row = node.meta.id;
                port.request(Tag::Detached.with(row), patch_node(row, plan.into_patch()));
            }
        }
        for zone in self.zones.values_mut() {
            zone.stop(port.now);
        }
    }

    /// Some node is back: the grace periods of all nodes begin anew.
    fn restart_probes(&mut self, now: SimTime) {
        let mut rows = Vec::new();
        for (&row, health) in &mut self.nodes {
            if health.probe.is_some() {
                health.probe = Some(now);
                rows.push((row, health.seen.status));
            }
        }
        for (row, ready) in rows {
            self.file_expiry(row, ready);
        }
    }
}
