//! The pod garbage collector (upstream `pkg/controller/podgc`): removes pods
//! that nothing else will remove.
//!
//! It looks every 20 s, but a pass is played only when something was noted that a pass may
//! collect: finished pods above the threshold, terminating pods on nodes out of service, pods on
//! nodes that are gone, terminating pods that were never scheduled. A pod that stays although it
//! was deleted (a finalizer holds it) is looked at again when it changes; the deletions that
//! upstream repeats meanwhile change nothing.

mod finished;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodReason};
use seatrial_api::request::{Change, DeleteOptions, ErrorReason, Patch, Reply, Request};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::ControllerTimer;
use crate::framework::{Caches, Event, Port};
use crate::pass_schedule::PassSchedule;

use finished::FinishedPods;

/// The pause between two passes.
const PERIOD: Span = Span::from_secs(20);
/// How long a node must be gone before its pods are collected.
const QUARANTINE: Span = Span::from_secs(40);
/// The taint of a node that will not come back as it was.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// One thing that a pass does.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Fails (if it has not ended) and deletes a pod.
    Collect {
        /// The pod.
        pod: u32,
        /// Whether because its node is gone.
        orphaned: bool,
    },
    /// Asks whether a node is really gone, and collects its pods if so.
    Verify(Symbol),
}

/// Answers to requests about pods carry the pod's row and this bit if they are deletions.
const DELETE: u64 = 1 << 32;
/// The answer to the question for a node.
const VERIFY: u64 = 1 << 33;

/// A pass under way: tasks of one stage at once, or one after the other.
#[derive(Clone, Debug)]
struct Pass {
    began: SimTime,
    pending: usize,
    parallel: VecDeque<Vec<Task>>,
    serial: VecDeque<Task>,
    verifying: Option<Symbol>,
}

/// The controller.
#[derive(Clone, Debug)]
pub(crate) struct PodGc {
    /// How many finished pods may exist; zero for any number.
    threshold: usize,
    schedule: Option<PassSchedule>,
    finished: FinishedPods,
    /// Whether the finished pods have changed since the last pass.
    finished_changed: bool,
    /// Terminating pods that were never scheduled, or are on a node out of service.
    stuck: BTreeSet<u32>,
    /// Nodes out of service.
    out_of_service: BTreeSet<Symbol>,
    /// Nodes that have pods and do not exist, with the end of their quarantine.
    missing: BTreeMap<Symbol, Option<SimTime>>,
    pass: Option<Pass>,
    last_pass: Option<SimTime>,
    armed: Option<SimTime>,
}

impl PodGc {
    pub(crate) fn new(threshold: usize) -> PodGc {
        PodGc {
            threshold,
            schedule: None,
            finished: FinishedPods::default(),
            finished_changed: false,
            stuck: BTreeSet::new(),
            out_of_service: BTreeSet::new(),
            missing: BTreeMap::new(),
            pass: None,
            last_pass: None,
            armed: None,
        }
    }

    /// The caches are complete.
    pub(crate) fn start(&mut self, port: &mut Port<'_>) {
        self.schedule = Some(PassSchedule::new(port.now, PERIOD));
        let gone = port.caches.nodes.iter().filter(|node| is_out_of_service(node));
        self.out_of_service = gone.map(|node| node.name).collect();
        for pod in port.caches.pods.iter() {
            self.finished_changed |= self.finished.update(None, Some(pod));
            self.note_pod(port.caches, None, pod);
        }
        self.arm(port);
    }

    /// Is told a change of a node or a pod.
    pub(crate) fn observe(&mut self, port: &mut Port<'_>, event: &Event<'_>) {
        if self.schedule.is_none() {
            return;
        }
        match event.object {
            Object::Pod(pod) => {
                let old = event.old.and_then(Pod::of).map(|old| &**old);
                let gone = event.change == Change::Deleted;
                let others_finished = self.finished.update(old, Some(&**pod).filter(|_| !gone));
                self.finished_changed |= others_finished;
                if gone {
                    self.stuck.remove(&pod.meta.id);
                } else if is_news(old, pod) {
                    self.note_pod(port.caches, old, pod);
                } else if !others_finished {
                    return;
                }
            }
            Object::Node(node) => self.note_node(port.caches, event.change, node),
            _ => return,
        }
        self.arm(port);
    }

    fn note_pod(&mut self, caches: &Caches, old: Option<&Pod>, pod: &Pod) {
        let Some(name) = pod.node else {
            if pod.meta.is_deleting() {
                self.stuck.insert(pod.meta.id);
            }
            return;
        };
        let is_new_there = old.is_none_or(|old| old.node != pod.node);
        if is_new_there && caches.nodes.named(Symbol::empty(), name.as_str()).is_none() {
            self.missing.entry(name).or_insert(None);
        } else if pod.meta.is_deleting() && self.out_of_service.contains(&name) {
            self.stuck.insert(pod.meta.id);
        }
    }

    fn note_node(&mut self, caches: &Caches, change: Change, node: &Node) {
        let mut pods = caches.pods.on_node(node.name);
        if change == Change::Deleted {
            self.out_of_service.remove(&node.name);
            if pods.next().is_some() {
                self.missing.entry(node.name).or_insert(None);
            }
        } else if !is_out_of_service(node) {
            self.out_of_service.remove(&node.name);
        } else {
            self.out_of_service.insert(node.name);
            self.stuck.extend(pods.filter(|pod| pod.meta.is_deleting()).map(|pod| pod.meta.id));
        }
    }

    /// The next pass that has something to do.
    fn next_pass(&self, now: SimTime) -> Option<SimTime> {
        let surplus = self.finished_changed && self.threshold > 0 && self.finished.len() > self.threshold;
        if !surplus && self.stuck.is_empty() && self.missing.is_empty() {
            return None;
        }
        let schedule = self.schedule.as_ref()?;
        let next = if self.last_pass == Some(now) { schedule.after(now) } else { schedule.at_or_after(now) };
        if surplus || !self.stuck.is_empty() || self.missing.values().any(Option::is_none) {
            return Some(next);
        }
        let released = self.missing.values().flatten().min()?;
        Some(schedule.at_or_after(*released).max(next))
    }

    fn arm(&mut self, port: &mut Port<'_>) {
        if self.pass.is_none()
            && let Some(at) = self.next_pass(port.now)
            && self.armed.is_none_or(|armed| armed > at)
        {
            self.armed = Some(at);
            port.timer(at, ControllerTimer::PodGc);
        }
    }

    /// The timer fired.
    pub(crate) fn fire(&mut self, port: &mut Port<'_>) {
        self.armed.take_if(|at| *at <= port.now);
        if self.pass.is_none() && self.next_pass(port.now) == Some(port.now) {
            self.begin_pass(port);
        }
        self.arm(port);
    }

    fn begin_pass(&mut self, port: &mut Port<'_>) {
        self.last_pass = Some(port.now);
        self.finished_changed = false;
        let surplus = self.finished.surplus(self.threshold, |row| port.caches.pods.get(row));
        let collect = |pod: &Arc<Pod>| Task::Collect { pod: pod.meta.id, orphaned: false };
        let stuck: Vec<_> = std::mem::take(&mut self.stuck)
            .into_iter()
            .filter_map(|row| port.caches.pods.get(row))
            .filter(|pod| pod.meta.is_deleting())
            .collect();
        let (unscheduled, unserved): (Vec<_>, Vec<_>) = stuck.into_iter().partition(|pod| pod.node.is_none());
        let unserved = unserved.into_iter().filter(|pod| on_node_out_of_service(port.caches, pod));
        let parallel = [surplus.into_iter().map(collect).collect(), unserved.map(collect).collect()];

        let mut serial = self.look_for_nodes(port);
        serial.extend(unscheduled.into_iter().map(collect));
        self.pass =
            Some(Pass { began: port.now, pending: 0, parallel: parallel.into(), serial, verifying: None });
        self.continue_pass(port);
    }

    /// Puts missing nodes into quarantine, and takes those out that have passed it.
    fn look_for_nodes(&mut self, port: &Port<'_>) -> VecDeque<Task> {
        let caches = port.caches;
        let is_missing = |name: Symbol| {
            caches.nodes.named(Symbol::empty(), name.as_str()).is_none()
                && caches.pods.on_node(name).next().is_some()
        };
        self.missing.retain(|&name, _| is_missing(name));
        let mut released = VecDeque::new();
        for (&name, end) in &mut self.missing {
            match end {
                None => *end = Some(port.now + QUARANTINE),
                Some(at) if *at <= port.now => released.push_back(Task::Verify(name)),
                Some(_) => {}
            }
        }
        released
    }

    /// Does what can be done now; ends the pass when all is done.
    fn continue_pass(&mut self, port: &mut Port<'_>) {
        while let Some(pass) = &mut self.pass {
            if pass.pending > 0 {
                return;
            }
            let tasks = match pass.parallel.pop_front() {
                Some(stage) => stage,
                None => match pass.serial.pop_front() {
                    Some(task) => vec![task],
                    None => break,
                },
            };
            for task in tasks {
                self.do_task(port, task);
            }
        }
        let Some(pass) = self.pass.take() else { return };
        if let Some(schedule) = &mut self.schedule {
            schedule.end_of_pass(pass.began, port.now);
        }
    }

    fn do_task(&mut self, port: &mut Port<'_>, task: Task) {
        let Some(pass) = &mut self.pass else { return };
        match task {
            Task::Verify(name) => {
                pass.pending += 1;
                pass.verifying = Some(name);
                let request =
                    Request::Get { kind: Kind::Node, namespace: Symbol::empty(), name: name.as_str().into() };
                port.request(VERIFY, request);
            }
            Task::Collect { pod: row, orphaned } => {
                let Some(pod) = port.caches.pods.get(row) else { return };
                pass.pending += 1;
                match failure(pod, orphaned) {
                    Some(patch) => port.request(u64::from(row), Request::patch_pod(row, patch)),
                    None => send_delete(port, row),
                }
            }
        }
    }

    /// Takes the answer to a request.
    pub(crate) fn reply(&mut self, port: &mut Port<'_>, tag: u64, reply: &Reply) {
        let Some(pass) = &mut self.pass else { return };
        // An answer to a predecessor of this controller may come late.
        pass.pending = pass.pending.saturating_sub(1);
        if tag & VERIFY != 0 {
            self.verified(port.caches, reply);
        } else if tag & DELETE == 0 && reply.is_ok() {
            pass.pending += 1;
            return send_delete(port, tag as u32);
        } else if reply.as_ref().is_err_and(|error| error.reason != ErrorReason::NotFound) {
            self.note_failure(port.caches, tag as u32);
        }
        self.continue_pass(port);
        self.arm(port);
    }

    /// A node was asked for: without it its pods are collected next, before anything else.
    fn verified(&mut self, caches: &Caches, reply: &Reply) {
        let Some(pass) = &mut self.pass else { return };
        let Some(name) = pass.verifying.take() else { return };
        let is_gone = reply.as_ref().is_err_and(|error| error.reason == ErrorReason::NotFound);
        if !is_gone {
            // It exists, or nobody knows: its quarantine begins anew if it is still missed.
            self.missing.insert(name, None);
            return;
        }
        self.missing.remove(&name);
        let rows: Vec<u32> = caches.pods.on_node(name).map(|pod| pod.meta.id).collect();
        for &pod in rows.iter().rev() {
            pass.serial.push_front(Task::Collect { pod, orphaned: true });
        }
    }

    /// A pod could not be collected: the next pass tries again.
    fn note_failure(&mut self, caches: &Caches, row: u32) {
        if let Some(pod) = caches.pods.get(row).cloned() {
            self.note_pod(caches, None, &pod);
            self.finished_changed |= pod.status.phase.is_terminal();
        }
    }
}

/// Whether a change of a pod is one on which its collection may depend. While it terminates, every
/// change is.
fn is_news(old: Option<&Pod>, pod: &Pod) -> bool {
    old.is_none_or(|old| pod.meta.is_deleting() || old.node != pod.node)
}

fn is_out_of_service(node: &Node) -> bool {
    let tainted = node.taints().iter().any(|taint| taint.key == OUT_OF_SERVICE);
    tainted && node.ready() != ConditionStatus::True
}

fn on_node_out_of_service(caches: &Caches, pod: &Pod) -> bool {
    let node = pod.node.and_then(|name| caches.nodes.named(Symbol::empty(), name.as_str()));
    node.is_some_and(|node| is_out_of_service(node))
}

/// What is written into a pod that has not ended before it is deleted.
fn failure(pod: &Pod, orphaned: bool) -> Option<Patch> {
    if pod.status.phase.is_terminal() {
        return None;
    }
    let phase = Patch::PodPhase { phase: PodPhase::Failed, reason: Symbol::empty(), message: "".into() };
    if !orphaned {
        return Some(phase);
    }
    let condition = Patch::PodCondition {
        kind: PodConditionType::DisruptionTarget,
        status: ConditionStatus::True,
        reason: PodReason::DeletionByPodGc,
        message: None,
    };
    Some(Patch::All(vec![condition, phase]))
}

fn send_delete(port: &mut Port<'_>, row: u32) {
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    let target = ObjectRef { kind: Kind::Pod, id: row };
    port.request(DELETE | u64::from(row), Request::Delete { target, options });
}
