//! The taint eviction controller (upstream `pkg/controller/tainteviction`):
//! deletes pods from nodes with NoExecute taints, at once or after the time that they tolerate.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodReason};
use seatrial_api::request::{Change, Patch, Reply, Request};
use seatrial_api::scheduling::TaintEffect;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::ControllerTimer;
use crate::framework::{Event, Port};

use plan::same_no_execute;
pub use plan::{Verdict, judge};

/// How often a deletion is tried, and the pause between two tries.
const TRIES: u8 = 5;
const RETRY_PAUSE: Span = Span::from_millis(10);

/// What the controller is about to do with a pod.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// To delete it at this instant.
    Pending(SimTime),
    /// To try again at this instant.
    Retry(SimTime, u8),
    /// It waits for an answer.
    Busy(u8),
}

impl Work {
    fn due(self) -> Option<SimTime> {
        match self {
            Work::Pending(at) | Work::Retry(at, _) => Some(at),
            Work::Busy(_) => None,
        }
    }
}

/// The last request of a deletion; the one before it writes the condition.
const DELETE: u64 = 1 << 32;

/// The controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaintEviction {
    started: bool,
    /// The nodes that have NoExecute taints.
    tainted: BTreeSet<u32>,
    work: BTreeMap<u32, Work>,
    due: BTreeSet<(SimTime, u32)>,
    armed: Option<SimTime>,
}

impl TaintEviction {
    /// The caches are complete: looks at all tainted nodes.
    pub(crate) fn start(&mut self, port: &mut Port<'_>) {
        self.started = true;
        for node in port.caches.nodes.iter() {
            self.note_taints(node);
            self.node_changed(port, node);
        }
        self.arm(port);
    }

    /// Is told a change of a node or a pod.
    pub(crate) fn observe(&mut self, port: &mut Port<'_>, event: &Event<'_>) {
        if !self.started {
            return;
        }
        if let Object::Node(node) = event.object {
            self.note_taints(node);
        }
        match (event.object, event.old) {
            (Object::Node(node), _) if event.change == Change::Deleted => {
                self.tainted.remove(&node.meta.id);
            }
            (Object::Node(node), Some(Object::Node(old))) if same_no_execute(old.taints(), node.taints()) => {
            }
            (Object::Node(node), _) => self.node_changed(port, node),
            (Object::Pod(pod), _) if event.change == Change::Deleted => self.cancel(port, pod),
            (Object::Pod(pod), Some(Object::Pod(old))) if same_placement(old, pod) => {}
            (Object::Pod(pod), _) => self.pod_changed(port, pod),
            _ => {}
        }
        self.arm(port);
    }

    fn note_taints(&mut self, node: &Node) {
        if node.taints().iter().any(|taint| taint.effect == TaintEffect::NoExecute) {
            self.tainted.insert(node.meta.id);
        } else {
            self.tainted.remove(&node.meta.id);
        }
    }

    fn node_changed(&mut self, port: &mut Port<'_>, node: &Arc<Node>) {
        let caches = port.caches;
        for pod in caches.pods.on_node(node.name) {
            self.process(port, pod, node);
        }
    }

    fn pod_changed(&mut self, port: &mut Port<'_>, pod: &Arc<Pod>) {
        if self.tainted.is_empty() {
            return;
        }
        let caches = port.caches;
        let node = pod.node.and_then(|name| caches.nodes.named(Symbol::empty(), name.as_str()));
        if let Some(node) = node.filter(|node| judge(node.taints(), &[]) == Verdict::Now) {
            self.process(port, pod, node);
        }
    }

    /// Decides on a pod of a node whose taints, or which itself, has changed.
    fn process(&mut self, port: &mut Port<'_>, pod: &Arc<Pod>, node: &Node) {
        match judge(node.taints(), &pod.spec.tolerations) {
            Verdict::Never => self.cancel(port, pod),
            Verdict::Now => {
                self.cancel(port, pod);
                if !self.work.contains_key(&pod.meta.id) {
                    self.delete(port, pod);
                }
            }
            // What is scheduled keeps its first deadline.
            Verdict::After(_) if self.work.contains_key(&pod.meta.id) => {}
            Verdict::After(Span::ZERO) => self.delete(port, pod),
            Verdict::After(span) => self.set(pod.meta.id, Work::Pending(port.now + span)),
        }
    }

    fn set(&mut self, row: u32, work: Work) {
        self.clear(row);
        if let Some(at) = work.due() {
            self.due.insert((at, row));
        }
        self.work.insert(row, work);
    }

    fn clear(&mut self, row: u32) -> Option<Work> {
        let work = self.work.remove(&row)?;
        if let Some(at) = work.due() {
            self.due.remove(&(at, row));
        }
        Some(work)
    }

    /// Takes back a deletion that has not begun.
    fn cancel(&mut self, port: &mut Port<'_>, pod: &Pod) {
        if let Some(Work::Pending(_)) = self.work.get(&pod.meta.id) {
            self.clear(pod.meta.id);
            port.event(pod.meta.object_ref(Kind::Pod), Severity::Normal, "TaintManagerEviction", || {
                format!("Cancelling deletion of Pod {}", pod.meta.full_name())
            });
        }
    }

    /// Begins the deletion of a pod.
    fn delete(&mut self, port: &mut Port<'_>, pod: &Pod) {
        port.event(pod.meta.object_ref(Kind::Pod), Severity::Normal, "TaintManagerEviction", || {
            format!("Marking for deletion Pod {}", pod.meta.full_name())
        });
        self.attempt(port, pod, 1);
    }

    /// Writes the condition, unless the pod has it, or deletes.
    fn attempt(&mut self, port: &mut Port<'_>, pod: &Pod, tries: u8) {
        let row = pod.meta.id;
        self.set(row, Work::Busy(tries));
        let condition = pod.status.conditions.get(PodConditionType::DisruptionTarget);
        let reason = PodReason::DeletionByTaintManager;
        if condition.is_true() && condition.reason == reason {
            return send_delete(port, row);
        }
        let kind = PodConditionType::DisruptionTarget;
        let patch = Patch::PodCondition { kind, status: ConditionStatus::True, reason, message: None };
        port.request(u64::from(row), Request::patch_pod(row, patch));
    }

    /// Takes the answer to a request.
    pub(crate) fn reply(&mut self, port: &mut Port<'_>, tag: u64, reply: &Reply) {
        let row = tag as u32;
        let Some(&Work::Busy(tries)) = self.work.get(&row) else { return };
        match reply {
            Ok(_) if tag & DELETE == 0 => return send_delete(port, row),
            Err(_) if tries < TRIES => self.set(row, Work::Retry(port.now + RETRY_PAUSE, tries + 1)),
            _ => {
                self.clear(row);
            }
        }
        self.arm(port);
    }

    /// The timer fired: deletes the pods whose time has come.
    pub(crate) fn fire(&mut self, port: &mut Port<'_>) {
        self.armed.take_if(|at| *at <= port.now);
        while let Some(&(at, row)) = self.due.first() {
            if at > port.now {
                break;
            }
            let work = self.clear(row);
            let Some(pod) = port.caches.pods.get(row) else { continue };
            match work {
                Some(Work::Retry(_, tries)) => self.attempt(port, pod, tries),
                _ => self.delete(port, pod),
            }
        }
        self.arm(port);
    }

    fn arm(&mut self, port: &mut Port<'_>) {
        let Some(&(at, _)) = self.due.first() else { return };
        if self.armed.is_none_or(|armed| armed > at) {
            self.armed = Some(at);
            port.timer(at, ControllerTimer::TaintEviction);
        }
    }
}

/// Whether nothing has changed on which a decision rests.
fn same_placement(old: &Pod, new: &Pod) -> bool {
    let same_tolerations = Arc::ptr_eq(&old.spec, &new.spec) || old.spec.tolerations == new.spec.tolerations;
    old.node == new.node && same_tolerations
}

fn send_delete(port: &mut Port<'_>, row: u32) {
    port.request(DELETE | u64::from(row), Request::delete(ObjectRef { kind: Kind::Pod, id: row }));
}
