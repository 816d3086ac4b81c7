//! The kubelets of a cluster as one machine over a table of nodes.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::machine::{Effects, Input, Machine, Token};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pages::Pages;
use seatrial_api::pod::{Pod, PodSpec, PodStatus};
use seatrial_api::request::{Change, Reply, WatchEvent};
use seatrial_api::runtime::{ProbeKind, RuntimeReport};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::names::Names;
use crate::objects::Objects;
use crate::rows::{Flag, PodRow};
use crate::statics::StaticPod;
use crate::status::is_initialized;
use crate::table::{NodeRow, Power};

/// A timer of the kubelets. Those of an earlier life of a kubelet, and those that were replaced by
/// an earlier or a later one, are ignored when they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The runtime of a node is listed.
    Relist {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// Statuses of a node's pods are compared with those at the API server.
    Check {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// The status of a node is compared with the one at the API server.
    NodeCheck {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// The list of a node's images is posted.
    Images {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// A node tries again to register.
    Register {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// A node may no longer be short of memory.
    Pressure {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// A node looks for what gone pods have left.
    Housekeeping {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// The time of a group of pods in an orderly shutdown is over.
    Shutdown {
        /// The node's slot.
        node: u32,
        /// The life of its kubelet.
        life: u32,
    },
    /// A pod is due in its worker's queue.
    Sync {
        /// The pod's row in the store.
        pod: u32,
    },
    /// The runtime was listed for one pod.
    Listed {
        /// The pod's row in the store.
        pod: u32,
    },
    /// Objects that a pod's volumes need are looked for again.
    Volumes {
        /// The pod's row in the store.
        pod: u32,
    },
    /// A pod's active deadline.
    Deadline {
        /// The pod's row in the store.
        pod: u32,
    },
    /// A probe worker's tick.
    Probe {
        /// The pod's row in the store.
        pod: u32,
        /// The container's position.
        index: u16,
        /// Which probe.
        kind: ProbeKind,
    },
}

/// The kubelets' buffer of effects.
pub(crate) type Fx = Effects<Timer>;

/// What a request was, in the upper half of its token; the node's slot is the lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A pod's status or deletion.
    PodStatus = 1,
    /// A node's registration.
    Registration = 2,
    /// A node's own status.
    NodeStatus = 3,
    /// A mirror of a static pod.
    Mirror = 4,
}

/// The token of a request of a node in a life of its kubelet.
pub(crate) fn token(purpose: Purpose, node: u32, life: u32) -> Token {
    (purpose as u64) << 56 | u64::from(life & 0x00FF_FFFF) << 32 | u64::from(node)
}

/// The kubelets of a cluster.
///
/// A driver hands it the pods bound to its nodes (Added when a pod is bound, Modified, Deleted),
/// the nodes themselves, ConfigMaps, Secrets, claims and volumes as watch events; replies to its requests;
/// timers; and reports of the container runtimes. The life of machines is told by methods:
/// [`Kubelets::start_node`], [`Kubelets::crash_node`] and their like.
#[derive(Clone, Debug)]
pub struct Kubelets {
    pub(crate) seed: u64,
    pub(crate) names: Names,
    pub(crate) nodes: Vec<NodeRow>,
    pub(crate) node_slots: FxHashMap<Symbol, u32>,
    pub(crate) pods: Vec<PodRow>,
    /// The statuses that the status manager wants the pods to have, beside their rows.
    pub(crate) statuses: Vec<PodStatus>,
    /// The version in the newest answer to a status that was sent, beside the pods' rows.
    pub(crate) answered: Vec<u64>,
    pub(crate) pod_slots: Pages<u32>,
    pod_count: usize,
    free: Vec<u32>,
    /// What vacant rows hold.
    vacant: Arc<Pod>,
    pub(crate) objects: Objects,
    /// Pods that wait for a claim.
    pub(crate) claimants: Vec<u32>,
    /// Static pods.
    pub(crate) statics: Vec<StaticPod>,
    /// A buffer for the pods of a relist.
    pub(crate) due: Vec<u32>,
}

impl Kubelets {
    /// A table without nodes. `seed` is the run's, for phases and jitter.
    pub fn new(seed: u64) -> Kubelets {
        Kubelets {
            seed,
            names: Names::new(),
            nodes: Vec::new(),
            node_slots: FxHashMap::default(),
            pods: Vec::new(),
            statuses: Vec::new(),
            answered: Vec::new(),
            pod_slots: Pages::default(),
            pod_count: 0,
            free: Vec::new(),
            vacant: Arc::new(Pod::new(ObjectMeta::default(), Arc::new(PodSpec::new(Vec::new())))),
            objects: Objects::default(),
            claimants: Vec::new(),
            statics: Vec::new(),
            due: Vec::new(),
        }
    }

    /// The number of the kubelet that made the request with this token. It stays with the name of
    /// its node.
    pub fn requester_number(token: Token) -> u32 {
        token as u32
    }

    /// The node whose kubelet made the request with this token: its name.
    pub fn requester(&self, token: Token) -> Option<Symbol> {
        self.nodes.get(token as u32 as usize).map(|row| row.node.name)
    }

    /// The number of pods that the kubelets know.
    pub fn pod_count(&self) -> usize {
        self.pod_count
    }

    /// The slot of a pod's row.
    pub(crate) fn slot(&self, pod: u32) -> Option<usize> {
        self.pod_slots.get(pod).map(|&slot| slot as usize)
    }

    /// Makes a row for a pod.
    pub(crate) fn insert_pod(&mut self, pod: Arc<Pod>, node: u32) -> usize {
        let id = pod.meta.id;
        let status = pod.status.clone();
        let mut row = PodRow::new(pod, node);
        row.put(Flag::KnownInitialized, row.first_main() > 0 && is_initialized(&row.pod));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.pods[slot as usize] = row;
                self.statuses[slot as usize] = status;
                self.answered[slot as usize] = 0;
                slot as usize
            }
            None => {
                self.pods.push(row);
                self.statuses.push(status);
                self.answered.push(0);
                self.pods.len() - 1
            }
        };
        self.pod_slots.insert(id, slot as u32);
        self.pod_count += 1;
        self.nodes[node as usize].pods.push(id);
        slot
    }

    /// Forgets a pod.
    pub(crate) fn remove_pod(&mut self, slot: usize) {
        self.release(slot);
        self.forget_volumes(slot);
        let vacant = PodRow::new(Arc::clone(&self.vacant), 0);
        let row = std::mem::replace(&mut self.pods[slot], vacant);
        self.statuses[slot] = PodStatus::default();
        let id = row.pod.meta.id;
        self.pod_slots.remove(id);
        self.pod_count -= 1;
        let pods = &mut self.nodes[row.node as usize].pods;
        if let Some(position) = pods.iter().position(|&other| other == id) {
            pods.swap_remove(position);
        }
        self.free.push(slot as u32);
    }

    /// Counts a pod's requests as used.
    pub(crate) fn occupy(&mut self, slot: usize) {
        let row = &mut self.pods[slot];
        if !row.is(Flag::Counted) {
            row.set(Flag::Counted);
            let node = &mut self.nodes[row.node as usize];
            node.used.add(row.allocated_requests());
            node.active += 1;
        }
    }

    /// Counts them as free again.
    pub(crate) fn release(&mut self, slot: usize) {
        let row = &mut self.pods[slot];
        if row.is(Flag::Counted) {
            row.unset(Flag::Counted);
            let node = &mut self.nodes[row.node as usize];
            node.used.subtract(row.allocated_requests());
            node.active -= 1;
        }
    }

    /// The reference to a pod.
    pub(crate) fn pod_ref(&self, slot: usize) -> ObjectRef {
        ObjectRef { kind: Kind::Pod, id: self.pods[slot].pod.meta.id }
    }

    /// The node's row in the store, by which commands name it.
    pub(crate) fn node_id(&self, slot: usize) -> u32 {
        self.nodes[self.pods[slot].node as usize].id
    }

    fn watch(&mut self, now: SimTime, event: &WatchEvent, fx: &mut Fx) {
        match &event.object {
            Object::Pod(pod) => self.watch_pod(now, event.change, pod, fx),
            Object::Node(node) => self.watch_node(now, event.change, node, fx),
            Object::ConfigMap(_) | Object::Secret(_) => self.objects.observe(event.change, &event.object),
            Object::PersistentVolumeClaim(_) | Object::PersistentVolume(_) | Object::CsiDriver(_) => {
                self.objects.observe(event.change, &event.object);
                self.claims_changed(now, fx);
            }
            _ => {}
        }
    }

    fn reply(&mut self, now: SimTime, token: Token, reply: &Reply, fx: &mut Fx) {
        let (node, life) = (token as u32, (token >> 32) as u32 & 0x00FF_FFFF);
        let Some(row) = self.nodes.get(node as usize) else { return };
        if row.life & 0x00FF_FFFF != life {
            return;
        }
        match token >> 56 {
            purpose if purpose == Purpose::PodStatus as u64 => self.status_answered(now, node, reply, fx),
            purpose if purpose == Purpose::Registration as u64 => {
                self.registration_answered(now, node, reply, fx)
            }
            purpose if purpose == Purpose::NodeStatus as u64 => {
                self.node_status_answered(now, node, reply, fx)
            }
            purpose if purpose == Purpose::Mirror as u64 => self.mirror_answered(now, reply, fx),
            _ => {}
        }
    }

    fn timer(&mut self, now: SimTime, timer: Timer, fx: &mut Fx) {
        match timer {
            Timer::Relist { node, life } if self.lives(node, life) => self.relist(now, node, fx),
            Timer::Check { node, life } if self.lives(node, life) => self.check_statuses(now, node, fx),
            Timer::NodeCheck { node, life } if self.lives(node, life) => self.check_node(now, node, fx),
            Timer::Images { node, life } if self.lives(node, life) => self.post_images(now, node, fx),
            Timer::Register { node, life } if self.lives(node, life) => self.register(now, node, fx),
            Timer::Pressure { node, life } if self.lives(node, life) => self.pressure_over(now, node, fx),
            Timer::Shutdown { node, life } if self.lives(node, life) => self.shutdown_goes_on(now, node, fx),
            Timer::Housekeeping { node, life } if self.lives(node, life) => self.housekeep(now, node, fx),
            Timer::Housekeeping { .. }
            | Timer::Pressure { .. }
            | Timer::Shutdown { .. }
            | Timer::Relist { .. }
            | Timer::Check { .. }
            | Timer::NodeCheck { .. }
            | Timer::Images { .. }
            | Timer::Register { .. } => {}
            Timer::Sync { pod } => self.requeue_due(now, pod, fx),
            Timer::Listed { pod } => self.listed(now, pod, fx),
            Timer::Volumes { pod } => self.volumes_due(now, pod, fx),
            Timer::Deadline { pod } => self.deadline_due(now, pod, fx),
            Timer::Probe { pod, index, kind } => self.probe_due(now, pod, index, kind, fx),
        }
    }

    /// Whether a timer belongs to the present life of a node's kubelet.
    fn lives(&self, node: u32, life: u32) -> bool {
        self.nodes.get(node as usize).is_some_and(|row| row.life == life && row.power == Power::On)
    }

    fn report(&mut self, now: SimTime, report: RuntimeReport, fx: &mut Fx) {
        match report {
            RuntimeReport::VolumesMounted { pod, ok } => self.volumes_mounted(now, pod, ok, fx),
            RuntimeReport::SandboxStarted { pod, ok, ip } => {
                self.sandbox_started(now, pod, ok.then_some(ip), fx)
            }
            RuntimeReport::ImagePulled { container, ok } => self.image_pulled(now, container, ok, fx),
            RuntimeReport::ContainerStarted { container, ok } => {
                self.container_started(now, container, ok, fx)
            }
            RuntimeReport::ContainerNotCreated { container } => self.not_created(now, container, fx),
            RuntimeReport::PostStartDone { container, ok } => self.post_start_done(now, container, ok, fx),
            RuntimeReport::PreStopDone { container, ok } => self.pre_stop_done(now, container, ok, fx),
            RuntimeReport::ContainerExited { container, exit_code, oom_killed } => {
                self.container_exited(now, container, exit_code, oom_killed, fx);
            }
            RuntimeReport::SandboxStopped { pod } => self.sandbox_stopped(now, pod, fx),
            RuntimeReport::Probed { container, kind, success, steady } => {
                self.probed(now, container, kind, crate::probes::Outcome { success, steady }, fx);
            }
            RuntimeReport::ProbeError { container, kind } => self.probe_error(now, container, kind, fx),
            RuntimeReport::ProbeChanged { container, kind } => self.probe_changed(now, container, kind, fx),
        }
    }

    fn watch_pod(&mut self, now: SimTime, change: Change, pod: &Arc<Pod>, fx: &mut Fx) {
        if self.watch_mirror(now, change, pod, fx) {
            return;
        }
        let slot = self.slot(pod.meta.id);
        match (slot, change) {
            (Some(slot), Change::Added | Change::Modified) => self.update_pod(now, slot, pod, fx),
            (Some(slot), Change::Deleted) => self.pod_gone(now, slot, pod, fx),
            (None, Change::Added | Change::Modified) => self.add_pod(now, pod, fx),
            (None, Change::Deleted) => {}
        }
    }
}

impl Machine for Kubelets {
    type Timer = Timer;

    fn handle(&mut self, now: SimTime, input: Input<'_, Timer>, effects: &mut Effects<Timer>) {
        match input {
            Input::Watch(event) => self.watch(now, event, effects),
            Input::Reply { token, reply } => self.reply(now, token, reply, effects),
            Input::Timer(timer) => self.timer(now, timer, effects),
            Input::Runtime { report, .. } => self.report(now, report, effects),
            // Kubelets ask for no metrics and hear of no leases but their own.
            Input::Metrics { .. }
            | Input::MetricValues { .. }
            | Input::Heartbeat { .. }
            | Input::Cloud(_) => {}
        }
    }
}
