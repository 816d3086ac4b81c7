//! What an autoscaler knows of the cluster: what its watch told it, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use seatrial_api::meta::{ObjectMeta, Uid};
use seatrial_api::node::{LABEL_HOSTNAME, Node};
use seatrial_api::object::Object;
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodReason};
use seatrial_api::policy::PodDisruptionBudget;
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::resources::Resources;
use seatrial_api::scheduling::{TaintEffect, first_untolerated};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::DaemonSet;
use seatrial_scheduler::cluster::NodeInfo;
use seatrial_scheduler::snapshot::Snapshot;

/// Rows of pods that are only thought of: those of DaemonSets on nodes that do not exist yet.
const THOUGHT_OF: u32 = 1 << 31;

/// The kinds of owners whose absence is noticed. Of others nothing is known here, so they are taken
/// for present.
const WATCHED_OWNERS: [&str; 4] = ["ReplicaSet", "StatefulSet", "Job", "DaemonSet"];

/// What an autoscaler knows of the cluster.
#[derive(Clone)]
pub(crate) struct View {
    /// Nodes and the pods on them.
    pub(crate) snapshot: Snapshot,
    pub(crate) nodes: BTreeMap<Symbol, Arc<Node>>,
    /// Pods without a node, by row.
    pub(crate) waiting: BTreeMap<u32, Arc<Pod>>,
    pub(crate) budgets: BTreeMap<u32, Arc<PodDisruptionBudget>>,
    daemon_sets: BTreeMap<u32, Arc<DaemonSet>>,
    /// Volumes that are attached to nodes, by the attachment's row.
    attachments: BTreeMap<u32, Symbol>,
    placed: FxHashMap<u32, (Arc<Pod>, Symbol)>,
    owners: FxHashSet<Uid>,
    /// Owners that count as present although nobody has seen them.
    assumed_owners: Arc<FxHashSet<Uid>>,
    /// Rises with every change that a decision could depend on.
    pub(crate) version: u64,
}

/// What a watch event means to an autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing.
    None,
    /// Decisions may become others.
    Changed,
    /// A pod was found to fit nowhere.
    Unschedulable,
    /// A pod or a volume left this node.
    Left(Symbol),
}

impl View {
    pub(crate) fn new(snapshot: Snapshot, assumed_owners: Arc<FxHashSet<Uid>>) -> View {
        View {
            snapshot,
            nodes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            budgets: BTreeMap::new(),
            daemon_sets: BTreeMap::new(),
            attachments: BTreeMap::new(),
            placed: FxHashMap::default(),
            owners: FxHashSet::default(),
            assumed_owners,
            version: 0,
        }
    }

    /// Takes a change in.
    pub(crate) fn watch(&mut self, event: &WatchEvent) -> News {
        let news = self.changed(event);
        self.version += u64::from(news != News::None);
        news
    }

    fn changed(&mut self, event: &WatchEvent) -> News {
        let gone = event.change == Change::Deleted;
        match &event.object {
            Object::Pod(pod) if gone || pod.status.phase.is_terminal() => self.pod_gone(pod),
            Object::Pod(pod) => self.pod_changed(pod),
            Object::Node(node) => self.node_changed(node, gone),
            object => self.object_changed(object, gone),
        }
    }

    fn pod_changed(&mut self, pod: &Arc<Pod>) -> News {
        let id = pod.meta.id;
        let Some(node) = pod.node else {
            let old = self.waiting.insert(id, pod.clone());
            let was = old.as_deref().map(waiting_content);
            return match waiting_content(pod) {
                now if was == Some(now) => News::None,
                now if now.unschedulable && was.is_none_or(|was| !was.unschedulable) => News::Unschedulable,
                _ => News::Changed,
            };
        };
        self.waiting.remove(&id);
        match self.placed.insert(id, (pod.clone(), node)) {
            Some((old, known)) if known == node => {
                self.snapshot.update_pod(&old, pod, node);
                let same = old.meta.is_deleting() == pod.meta.is_deleting()
                    && old.meta.annotations == pod.meta.annotations
                    && old.meta.labels == pod.meta.labels
                    && old.spec.priority() == pod.spec.priority();
                if same { News::None } else { News::Changed }
            }
            _ => {
                self.snapshot.add_pod(pod, node);
                News::Changed
            }
        }
    }

    fn pod_gone(&mut self, pod: &Arc<Pod>) -> News {
        let waited = self.waiting.remove(&pod.meta.id).is_some();
        match self.placed.remove(&pod.meta.id) {
            Some((old, node)) => {
                self.snapshot.remove_pod(&old, node);
                News::Left(node)
            }
            None if waited => News::Changed,
            None => News::None,
        }
    }

    fn node_changed(&mut self, node: &Arc<Node>, gone: bool) -> News {
        if gone {
            self.nodes.remove(&node.name);
            self.snapshot.remove_node(node.name);
            return News::Changed;
        }
        self.snapshot.set_node(node);
        let Some(old) = self.nodes.insert(node.name, node.clone()) else { return News::Changed };
        let same = old.ready() == node.ready()
            && old.unschedulable == node.unschedulable
            && old.taints() == node.taints()
            && old.allocatable == node.allocatable
            && old.meta.labels == node.meta.labels
            && old.meta.annotations == node.meta.annotations;
        if same { News::None } else { News::Changed }
    }

    fn object_changed(&mut self, object: &Object, gone: bool) -> News {
        if gone {
            self.snapshot.forget(object);
        } else {
            self.snapshot.apply(object);
        }
        let id = object.meta().id;
        match object {
            Object::PodDisruptionBudget(budget) => {
                let old =
                    if gone { self.budgets.remove(&id) } else { self.budgets.insert(id, budget.clone()) };
                let allowed = |budget: &PodDisruptionBudget| budget.status.disruptions_allowed;
                let same = !gone && old.is_some_and(|old| allowed(&old) == allowed(budget));
                return if same { News::None } else { News::Changed };
            }
            Object::DaemonSet(set) => {
                let old = if gone {
                    self.daemon_sets.remove(&id)
                } else {
                    self.daemon_sets.insert(id, set.clone())
                };
                self.owner(&set.meta, gone);
                let same = !gone && old.is_some_and(|old| Arc::ptr_eq(&old.template, &set.template));
                return if same { News::None } else { News::Changed };
            }
            Object::VolumeAttachment(attachment) => {
                if gone {
                    self.attachments.remove(&id);
                    return News::Left(attachment.node);
                }
                self.attachments.insert(id, attachment.node);
            }
            Object::ReplicaSet(set) => self.owner(&set.meta, gone),
            Object::StatefulSet(set) => self.owner(&set.meta, gone),
            Object::Job(job) => self.owner(&job.meta, gone),
            Object::PersistentVolumeClaim(_) | Object::PersistentVolume(_) | Object::StorageClass(_) => {
                return News::Changed;
            }
            _ => {}
        }
        News::None
    }

    fn owner(&mut self, meta: &ObjectMeta, gone: bool) {
        if gone {
            self.owners.remove(&meta.uid);
        } else {
            self.owners.insert(meta.uid);
        }
    }

    /// Whether a pod's controller is there, as far as one can know.
    pub(crate) fn has_owner(&self, pod: &Pod) -> bool {
        pod.meta.controller().is_none_or(|owner| {
            !WATCHED_OWNERS.contains(&owner.kind.as_str())
                || self.owners.contains(&owner.uid)
                || self.assumed_owners.contains(&owner.uid)
        })
    }

    /// The pods on a node, in the order in which the scheduler keeps them.
    pub(crate) fn pods_on(&self, node: Symbol) -> Vec<Arc<Pod>> {
        let pods = self.snapshot.node(node).map_or(&[][..], NodeInfo::pods);
        pods.iter().map(|row| row.pod.clone()).collect()
    }

    /// Whether a volume is attached to a node.
    pub(crate) fn has_volumes(&self, node: Symbol) -> bool {
        self.attachments.values().any(|&known| known == node)
    }

    /// Whether this pod is still on this node.
    pub(crate) fn is_on(&self, pod: u32, node: Symbol) -> bool {
        self.placed.get(&pod).is_some_and(|(_, known)| *known == node)
    }

    /// The grace period of a pod on a node.
    pub(crate) fn grace_seconds(&self, pod: u32) -> Option<i64> {
        self.placed.get(&pod).map(|(pod, _)| pod.spec.termination_grace_period_seconds)
    }

    /// What the pods of DaemonSets would request on such a node, and how many they would be.
    pub(crate) fn daemon_requests(&self, node: &Node) -> (Resources, i64) {
        let mut sum = (Resources::default(), 0);
        for set in self.daemon_sets.values().filter(|set| runs_on(set, node)) {
            sum.0.add(&set.template.spec.derived.requests);
            sum.1 += 1;
        }
        sum
    }

    /// Thinks of a node that does not exist yet, with the pods of DaemonSets that it would get.
    pub(crate) fn think_of_node(&mut self, node: &Arc<Node>) {
        self.snapshot.set_node(node);
        let sets: Vec<_> = self.daemon_sets.values().filter(|set| runs_on(set, node)).cloned().collect();
        for set in sets {
            let template = &set.template;
            let meta = ObjectMeta {
                id: THOUGHT_OF | set.meta.id,
                namespace: set.meta.namespace,
                labels: template.labels.clone(),
                ..ObjectMeta::default()
            };
            self.snapshot.add_pod(&Arc::new(Pod::new(meta, template.spec.clone())), node.name);
        }
    }
}

/// What matters of a pod that has no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WaitingContent {
    unschedulable: bool,
    deleting: bool,
    nominated: Option<Symbol>,
}

fn waiting_content(pod: &Pod) -> WaitingContent {
    WaitingContent {
        unschedulable: is_unschedulable(pod),
        deleting: pod.meta.is_deleting(),
        nominated: pod.status.nominated_node,
    }
}

/// Whether the scheduler has found no place for a pod.
pub(crate) fn is_unschedulable(pod: &Pod) -> bool {
    let scheduled = pod.status.conditions.get(PodConditionType::PodScheduled);
    pod.node.is_none()
        && !pod.meta.is_deleting()
        && scheduled.status == ConditionStatus::False
        && scheduled.reason == PodReason::Unschedulable
}

/// Whether a DaemonSet would have a pod on a node: by its node selector and affinity, and its
/// tolerations (upstream `NodeShouldRunDaemonPod`).
fn runs_on(set: &DaemonSet, node: &Node) -> bool {
    let spec = &set.template.spec;
    let probe = Pod::new(ObjectMeta::default(), spec.clone());
    let effects = [TaintEffect::NoSchedule, TaintEffect::NoExecute];
    probe.node_constraint().matches(&node.meta.labels, node.name)
        && first_untolerated(&spec.tolerations, node.taints(), &effects).is_none()
}

/// Whether a pod belongs to a DaemonSet.
pub(crate) fn is_daemon(pod: &Pod) -> bool {
    pod.meta.controller().is_some_and(|owner| owner.kind == "DaemonSet")
}

/// Whether a pod is the shadow of a static one.
pub(crate) fn is_mirror(pod: &Pod) -> bool {
    pod.meta.annotations.get(Symbol::new("kubernetes.io/config.mirror")).is_some()
}

/// Whether a node is Ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    node.ready() == ConditionStatus::True
}

/// A node as a template describes it, under a name.
pub(crate) fn node_of(template: &Node, name: Symbol) -> Arc<Node> {
    let labels = template.meta.labels.with(Symbol::new(LABEL_HOSTNAME), name);
    let meta = ObjectMeta { name: name.as_str().into(), labels, ..template.meta.clone() };
    Arc::new(Node { meta, name, ..template.clone() })
}

/// The first instant of the grid `from + n × step` that is not before `at`.
pub(crate) fn on_grid(from: SimTime, step: Span, at: SimTime) -> SimTime {
    let (step, late) = (step.nanos().max(1), (at - from).nanos().max(0));
    from + Span::from_nanos((late + step - 1) / step * step)
}
