//! The end of nodes (upstream `node/termination`): taint, evict group after group within the budgets,
//! wait until volumes are detached, give the machine back, delete the Node.
//!
//! Model: `terminationGracePeriod` is left out: a drain waits as long as it takes.

use std::collections::BTreeMap;

use seatrial_api::cloud::CloudRequest;
use seatrial_api::machine::{Effects, NO_REPLY, Severity};
use seatrial_api::object::Kind;
use seatrial_api::pod::Pod;
use seatrial_api::request::{ErrorReason, Patch, Reply, Request};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::{Timer, eviction_token};
use crate::view::{View, is_daemon, is_mirror};

/// The taint of nodes that are being disrupted.
pub(crate) const DISRUPTED: &str = "karpenter.sh/disrupted";
/// Keeps a node, or the node of a pod.
pub(crate) const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// Pods from this priority on are critical.
const CRITICAL: i32 = 2_000_000_000;
/// The back-off of refused evictions.
const RETRY_FIRST: Span = Span::from_millis(100);
const RETRY_MAX: Span = Span::from_secs(10);

/// Nodes that are coming to their end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terminations {
    /// Whether the machine was given back already.
    nodes: BTreeMap<Symbol, bool>,
    /// Pods that were asked to go, with their node and how often that was refused.
    asked: BTreeMap<u32, (Symbol, u32)>,
}

fn taint() -> Taint {
    Taint { key: Symbol::new(DISRUPTED), value: Symbol::empty(), effect: TaintEffect::NoSchedule }
}

/// Sets or removes the taint of a node.
pub(crate) fn mark(now: SimTime, node: Symbol, disrupted: bool, view: &View, effects: &mut Effects<Timer>) {
    let Some(object) = view.nodes.get(&node) else { return };
    let (add, remove) = if disrupted { (vec![taint()], Vec::new()) } else { (Vec::new(), vec![taint()]) };
    let (target, patch) = (object.meta.object_ref(Kind::Node), Patch::TaintChanges { add, remove });
    effects.request(now, NO_REPLY, Request::Patch { target, patch });
}

/// Whether a pod says that it is not to be disrupted.
pub(crate) fn is_protected(pod: &Pod) -> bool {
    pod.meta.annotations.get(Symbol::new(DO_NOT_DISRUPT)).is_some_and(|value| value == "true")
}

/// In which group a pod goes: ordinary ones first, their daemons, critical ones, their daemons.
fn group(pod: &Pod) -> u8 {
    2 * u8::from(pod.spec.priority() >= CRITICAL) + u8::from(is_daemon(pod))
}

impl Terminations {
    /// Whether a node is coming to its end.
    pub(crate) fn contains(&self, node: Symbol) -> bool {
        self.nodes.contains_key(&node)
    }

    /// The nodes that are coming to their end, in name order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.nodes.keys().copied()
    }

    /// Begins the end of a node, or of a machine that is none yet.
    pub(crate) fn begin(&mut self, now: SimTime, node: Symbol, view: &View, effects: &mut Effects<Timer>) {
        if self.nodes.contains_key(&node) {
            return;
        }
        self.nodes.insert(node, false);
        mark(now, node, true, view, effects);
        self.step(now, node, view, effects);
    }

    /// Asks the next group of pods to go, or gives the machine back if nobody is left.
    pub(crate) fn step(&mut self, now: SimTime, node: Symbol, view: &View, effects: &mut Effects<Timer>) {
        let Some(given_back) = self.nodes.get_mut(&node) else { return };
        if *given_back {
            return;
        }
        let pods = view.pods_on(node);
        let here = pods.iter().filter(|pod| !is_mirror(pod));
        let Some(first) = here.clone().map(|pod| group(pod)).min() else {
            if view.has_volumes(node) {
                return;
            }
            *given_back = true;
            effects.ask_cloud(CloudRequest::Terminate { instance: node });
            return;
        };
        for pod in here.filter(|pod| group(pod) == first && !pod.meta.is_deleting() && !is_protected(pod)) {
            let id = pod.meta.id;
            if self.asked.contains_key(&id) {
                continue;
            }
            self.asked.insert(id, (node, 0));
            effects.decide(pod.meta.object_ref(Kind::Pod), Severity::Normal, "Evicted", || "Evicted pod");
            evict(now, id, effects);
        }
    }

    /// An eviction was answered.
    pub(crate) fn evicted(&mut self, now: SimTime, pod: u32, reply: &Reply, effects: &mut Effects<Timer>) {
        let Some((_, refused)) = self.asked.get_mut(&pod) else { return };
        match reply {
            Err(error) if error.reason != ErrorReason::NotFound => {
                let wait = RETRY_FIRST.times(1 << (*refused).min(10)).min(RETRY_MAX);
                *refused += 1;
                effects.timer(now + wait, Timer::Eviction(pod));
            }
            _ => {
                self.asked.remove(&pod);
            }
        }
    }

    /// An eviction is tried again, if the pod is still there.
    pub(crate) fn retry(&mut self, now: SimTime, pod: u32, view: &View, effects: &mut Effects<Timer>) {
        if let Some(&(node, _)) = self.asked.get(&pod) {
            if view.is_on(pod, node) {
                evict(now, pod, effects);
            } else {
                self.asked.remove(&pod);
            }
        }
    }

    /// A machine is gone; its Node goes as well.
    pub(crate) fn gone(&mut self, now: SimTime, node: Symbol, view: &View, effects: &mut Effects<Timer>) {
        self.nodes.remove(&node);
        self.asked.retain(|_, (from, _)| *from != node);
        if let Some(object) = view.nodes.get(&node) {
            effects.request(now, NO_REPLY, Request::delete(object.meta.object_ref(Kind::Node)));
        }
    }
}

fn evict(now: SimTime, pod: u32, effects: &mut Effects<Timer>) {
    effects.request(now, eviction_token(pod), Request::Evict { pod, grace_period_seconds: None });
}
