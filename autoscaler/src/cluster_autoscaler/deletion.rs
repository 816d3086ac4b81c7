//! The deletion of nodes (upstream `core/scaledown/actuation`): taint and cordon, a short wait, evictions
//! within the budgets, and then the machine is given back.

use std::collections::{BTreeMap, BTreeSet};

use seatrial_api::cloud::CloudRequest;
use seatrial_api::machine::{Effects, NO_REPLY, Severity};
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::request::{ErrorReason, Patch, Reply, Request};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::groups::{Group, InstanceState};
use super::options::ScaleDownOptions;
use super::{Timer, eviction_token};
use crate::view::{View, is_daemon, is_mirror};

/// The taint of nodes that are being deleted.
pub(crate) const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// The taint of nodes that may be deleted soon.
pub(crate) const DELETION_CANDIDATE: &str = "DeletionCandidateOfClusterAutoscaler";

/// From a refused eviction to the next try.
const EVICTION_RETRY: Span = Span::from_secs(10);
/// So much longer than the grace period a pod may take to go.
const EVICTION_HEADROOM: Span = Span::from_secs(30);
/// From one look at what is left to the next.
const POLL: Span = Span::from_secs(5);

/// How far a deletion is.
#[derive(Clone, Debug)]
enum Stage {
    /// The taint has been asked for.
    Tainted,
    /// These pods have not accepted their eviction.
    Evicting { waiting: BTreeSet<u32>, retry_until: SimTime },
    /// All have to go until then.
    Leaving { until: SimTime },
}

#[derive(Clone, Debug)]
struct Deletion {
    group: usize,
    /// Whether pods have to move.
    drain: bool,
    stage: Stage,
    /// Pods that have to be gone.
    pods: BTreeSet<u32>,
}

/// The deletions that are under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletions {
    nodes: BTreeMap<Symbol, Deletion>,
    /// The node that each pod is evicted from.
    evicting: BTreeMap<u32, Symbol>,
}

/// What came of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It goes on, or there is none.
    Goes,
    /// The machine was given back.
    Done,
    /// It was given up.
    Failed,
}

/// What deletions act on.
pub(crate) struct Around<'a> {
    pub(crate) view: &'a View,
    pub(crate) groups: &'a mut [Group],
    pub(crate) options: &'a ScaleDownOptions,
    pub(crate) effects: &'a mut Effects<Timer>,
}

impl Around<'_> {
    fn node(&self, name: Symbol) -> Option<ObjectRef> {
        self.view.nodes.get(&name).map(|node| node.meta.object_ref(Kind::Node))
    }

    fn note(&mut self, node: Symbol, severity: Severity, reason: &'static str, message: &'static str) {
        if let Some(object) = self.node(node) {
            self.effects.decide(object, severity, reason, || message);
        }
    }

    fn patch(&mut self, now: SimTime, node: Symbol, patch: Patch) {
        if let Some(target) = self.node(node) {
            self.effects.request(now, NO_REPLY, Request::Patch { target, patch });
        }
    }
}

impl Deletions {
    /// How many there are, and how many of them with a drain.
    pub(crate) fn count(&self) -> super::scale_down::UnderWay {
        let with_drain = self.nodes.values().filter(|one| one.drain).count();
        super::scale_down::UnderWay { all: self.nodes.len(), with_drain }
    }

    /// The nodes that are being deleted.
    pub(crate) fn nodes(&self) -> BTreeSet<Symbol> {
        self.nodes.keys().copied().collect()
    }

    /// Begins the deletion of a node of a group.
    pub(crate) fn begin(
        &mut self,
        now: SimTime,
        node: Symbol,
        [group, pods]: [usize; 2],
        around: &mut Around<'_>,
    ) {
        around.note(node, Severity::Normal, "ScaleDown", "marked the node as toBeDeleted/unschedulable");
        let patch = Patch::All(vec![
            Patch::TaintChanges {
                add: vec![taint(TO_BE_DELETED, TaintEffect::NoSchedule)],
                remove: vec![taint(DELETION_CANDIDATE, TaintEffect::PreferNoSchedule)],
            },
            Patch::Unschedulability(true),
        ]);
        around.patch(now, node, patch);
        around.effects.timer(now + around.options.delay_after_taint, Timer::Deletion(node));
        let deletion = Deletion { group, drain: pods > 0, stage: Stage::Tainted, pods: BTreeSet::new() };
        self.nodes.insert(node, deletion);
    }

    /// The time of a deletion's next step has come.
    pub(crate) fn step(&mut self, now: SimTime, node: Symbol, around: &mut Around<'_>) -> Progress {
        let Some(deletion) = self.nodes.get(&node) else { return Progress::Goes };
        if !around.view.nodes.contains_key(&node) {
            // Somebody else took the node away.
            return self.finish(node, around);
        }
        match deletion.stage {
            Stage::Tainted => self.evict_all(now, node, around),
            Stage::Evicting { .. } => Progress::Goes,
            Stage::Leaving { until } => {
                if deletion.pods.iter().all(|&pod| !around.view.is_on(pod, node)) {
                    self.finish(node, around)
                } else if now < until {
                    around.effects.timer(now + POLL, Timer::Deletion(node));
                    Progress::Goes
                } else {
                    self.fail(now, node, around, "failed to drain the node, aborting ScaleDown")
                }
            }
        }
    }

    /// Evicts everything but daemons, which are asked to go and not waited for.
    fn evict_all(&mut self, now: SimTime, node: Symbol, around: &mut Around<'_>) -> Progress {
        let Some(deletion) = self.nodes.get_mut(&node) else { return Progress::Goes };
        let pods = around.view.pods_on(node);
        let (daemons, movable): (Vec<_>, Vec<_>) =
            pods.into_iter().filter(|pod| !is_mirror(pod)).partition(|pod| is_daemon(pod));
        if !deletion.drain {
            return match movable.is_empty() {
                true => self.finish(node, around),
                false => self.fail(now, node, around, "failed to delete empty node, new pods scheduled"),
            };
        }
        deletion.pods = movable.iter().map(|pod| pod.meta.id).collect();
        let waiting = deletion.pods.clone();
        deletion.stage = Stage::Evicting { waiting, retry_until: now + around.options.eviction_time_max };
        for pod in &movable {
            self.evicting.insert(pod.meta.id, node);
            let object = pod.meta.object_ref(Kind::Pod);
            around.effects.decide(
                object,
                Severity::Normal,
                "ScaleDown",
                || "deleting pod for node scale down",
            );
            evict(now, pod.meta.id, eviction_token(pod.meta.id), around);
        }
        for pod in &daemons {
            evict(now, pod.meta.id, NO_REPLY, around);
        }
        self.wait_if_all_accepted(now, node, around)
    }

    /// An eviction was answered.
    pub(crate) fn evicted(
        &mut self,
        now: SimTime,
        pod: u32,
        reply: &Reply,
        around: &mut Around<'_>,
    ) -> Progress {
        let Some(&node) = self.evicting.get(&pod) else { return Progress::Goes };
        let Some(deletion) = self.nodes.get_mut(&node) else { return Progress::Goes };
        let Stage::Evicting { waiting, retry_until } = &mut deletion.stage else { return Progress::Goes };
        match reply {
            Err(error) if error.reason != ErrorReason::NotFound => {
                if now + EVICTION_RETRY < *retry_until {
                    around.effects.timer(now + EVICTION_RETRY, Timer::Eviction(pod));
                    return Progress::Goes;
                }
                let object = ObjectRef { kind: Kind::Pod, id: pod };
                let message = "failed to delete pod for ScaleDown";
                around.effects.decide(object, Severity::Warning, "ScaleDownFailed", || message);
                self.fail(now, node, around, "failed to drain the node, aborting ScaleDown")
            }
            _ => {
                waiting.remove(&pod);
                self.evicting.remove(&pod);
                self.wait_if_all_accepted(now, node, around)
            }
        }
    }

    /// An eviction is tried again.
    pub(crate) fn retry(&self, now: SimTime, pod: u32, around: &mut Around<'_>) {
        if self.evicting.contains_key(&pod) {
            evict(now, pod, eviction_token(pod), around);
        }
    }

    fn wait_if_all_accepted(&mut self, now: SimTime, node: Symbol, around: &mut Around<'_>) -> Progress {
        let Some(deletion) = self.nodes.get_mut(&node) else { return Progress::Goes };
        if matches!(&deletion.stage, Stage::Evicting { waiting, .. } if waiting.is_empty()) {
            let until = now + around.options.graceful_termination_max + EVICTION_HEADROOM;
            deletion.stage = Stage::Leaving { until };
            return self.step(now, node, around);
        }
        Progress::Goes
    }

    fn finish(&mut self, node: Symbol, around: &mut Around<'_>) -> Progress {
        let Some(deletion) = self.forget(node) else { return Progress::Goes };
        around.groups[deletion.group].set_state(node, InstanceState::Deleting);
        around.effects.ask_cloud(CloudRequest::Terminate { instance: node });
        around.note(node, Severity::Normal, "ScaleDown", "nodes removed by cluster autoscaler");
        Progress::Done
    }

    fn fail(
        &mut self,
        now: SimTime,
        node: Symbol,
        around: &mut Around<'_>,
        message: &'static str,
    ) -> Progress {
        self.forget(node);
        around.note(node, Severity::Warning, "ScaleDownFailed", message);
        let patch = Patch::All(vec![
            Patch::TaintChanges {
                add: Vec::new(),
                remove: vec![taint(TO_BE_DELETED, TaintEffect::NoSchedule)],
            },
            Patch::Unschedulability(false),
        ]);
        around.patch(now, node, patch);
        Progress::Failed
    }

    fn forget(&mut self, node: Symbol) -> Option<Deletion> {
        self.evicting.retain(|_, from| *from != node);
        self.nodes.remove(&node)
    }
}

/// Asks for an eviction, with the pod's own grace period as far as that is not too long.
fn evict(now: SimTime, pod: u32, token: u64, around: &mut Around<'_>) {
    let grace = around.view.grace_seconds(pod);
    let most = around.options.graceful_termination_max.nanos() / seatrial_api::units::NANOS_PER_SECOND;
    let grace_period_seconds = grace.map(|grace| grace.min(most));
    around.effects.request(now, token, Request::Evict { pod, grace_period_seconds });
}

/// A taint without a value.
///
/// Model: upstream writes the time into the value, from which it goes on after a restart.
pub(crate) fn taint(key: &str, effect: TaintEffect) -> Taint {
    Taint { key: Symbol::new(key), value: Symbol::empty(), effect }
}

/// Whether a node has a taint of this key.
pub(crate) fn has_taint(node: &Node, key: &str) -> bool {
    node.taints().iter().any(|taint| taint.key == key)
}
