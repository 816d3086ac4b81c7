//! Open-Gpu-Share: a node must have room on its GPUs for what a pod asks of them, and a pod that is
//! placed gets devices of its own or shares one. The name is that of the plugin in
//! hkust-adsl/kubernetes-scheduler-simulator, `pkg/simulator/plugin/open_gpu_share.go`.

use std::sync::Arc;

use seatrial_api::gpu::{DeviceSet, GpuRequest};
use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::stream::{Stream, mix64};
use seatrial_api::symbol::Symbol;

use crate::cluster::{Cluster, Content, FreeMilli, NodeGpus, NodeInfo, tightest};
use crate::config::DeviceChoice;
use crate::fragmentation::{Fragmentation, Room};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Plugin, Points, PreFilter, Scope, Verdict, Why,
};
use crate::policies::fgd;
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange};

/// The name, as configurations write it.
pub(crate) const NAME: &str = "Open-Gpu-Share";

/// The purpose of the random stream from which devices are drawn.
const STREAM_PURPOSE: u64 = 0x6B0D_E71C;

/// The plugin.
#[derive(Clone, Debug)]
pub(crate) struct GpuSharing {
    pub(crate) choice: DeviceChoice,
    /// For [`DeviceChoice::Fragmentation`]; learnt from the pods that come if absent.
    pub(crate) fragmentation: Option<Arc<Fragmentation>>,
    pub(crate) seed: u64,
}

impl Plugin for GpuSharing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, reserve: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Usage
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.gpu_request(pod.spec.gpu.as_deref());
    }

    fn concerns(&self, pod: &Pod) -> bool {
        pod.spec.gpu.is_some()
    }

    fn learns_demand(&self) -> bool {
        self.choice == DeviceChoice::Fragmentation && self.fragmentation.is_none()
    }

    fn pre_filter(&self, _: &Cluster, pod: &Arc<Pod>, _: &mut CycleState) -> PreFilter {
        if pod.spec.gpu.is_some() { PreFilter::Run } else { PreFilter::Skip }
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let Some(request) = cycle.pod.spec.gpu.as_deref() else { return Ok(()) };
        let Some(gpus) = node.gpus().filter(|gpus| gpus.could_fit(request)) else {
            return why.reject(Code::Unresolvable, "node(s) didn't have the requested GPUs");
        };
        if !request.accepts(gpus.model) {
            return why.reject(Code::Unresolvable, "node(s) didn't have a GPU of a requested model");
        }
        if gpus.fits(request) { Ok(()) } else { why.reject(Code::Unschedulable, "Insufficient GPU") }
    }

    fn reserve(&self, cluster: &mut Cluster, pod: &Arc<Pod>, node: Symbol) {
        let Some(request) = pod.spec.gpu.as_deref().filter(|request| request.devices.is_none()) else {
            return;
        };
        let Some(info) = cluster.node(node) else { return };
        let room = room_without(info, pod, request);
        let devices = self.choose(cluster, pod, request, &room);
        cluster.set_devices(pod, node, devices);
    }

    fn interests(&self) -> Interests {
        Interests::of(&[
            EventKind::PodDelete,
            EventKind::NodeAdd,
            EventKind::NodeAllocatable,
            EventKind::NodeLabels,
        ])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let Some(request) = context.pod.spec.gpu.as_deref() else { return Hint::Skip };
        match event {
            ClusterEvent::PodDelete { pod, .. } => Hint::queue_if(pod.spec.gpu.is_some()),
            ClusterEvent::NodeAdd(node)
            | ClusterEvent::NodeUpdate {
                new: node,
                change: NodeChange::Allocatable | NodeChange::Labels,
                ..
            } => Hint::queue_if(could_host(node, request)),
            _ => Hint::Skip,
        }
    }
}

impl GpuSharing {
    /// The devices for a pod on a node that has this room for it.
    fn choose(&self, cluster: &Cluster, pod: &Pod, request: &GpuRequest, room: &Room) -> DeviceSet {
        if !request.is_shared() {
            return tightest(&room.gpus, request);
        }
        match self.choice {
            DeviceChoice::Tightest => tightest(&room.gpus, request),
            DeviceChoice::Random => self.draw(pod, request, &room.gpus),
            DeviceChoice::Fragmentation => {
                let measure = self.fragmentation.as_ref().or(cluster.learned_fragmentation());
                let best = measure.and_then(|measure| fgd::best_device(measure, room, pod, request));
                best.map_or_else(|| tightest(&room.gpus, request), |(_, device)| DeviceSet::one(device))
            }
        }
    }

    /// One of the devices that fit, each as likely as any other. The draw belongs to the pod by name.
    fn draw(&self, pod: &Pod, request: &GpuRequest, free: &FreeMilli) -> DeviceSet {
        let fitting = || (0..free.len()).filter(|&device| free[device] >= i32::from(request.milli));
        let count = fitting().count();
        if count == 0 {
            return tightest(free, request);
        }
        let mut stream = Stream::new(self.seed, name_hash(pod), STREAM_PURPOSE);
        let drawn = fitting().nth(stream.below(count as u64) as usize);
        drawn.map_or(DeviceSet::NONE, DeviceSet::one)
    }
}

fn name_hash(pod: &Pod) -> u64 {
    let bytes = pod.meta.namespace.as_str().bytes().chain([b'/']).chain(pod.meta.name.bytes());
    bytes.fold(0, |hash, byte| mix64(hash ^ u64::from(byte)))
}

/// The room on a node on which the pod is thought to be already, as it was before.
fn room_without(node: &NodeInfo, pod: &Pod, request: &GpuRequest) -> Room {
    let mut room = Room::of(node);
    room.cpu += pod.spec.derived.requests.cpu.get();
    if let Some(gpus) = node.gpus() {
        let devices = gpus.devices_of(pod.meta.id);
        devices.iter().for_each(|device| room.gpus[device] += i32::from(request.milli));
    }
    room
}

/// Whether the pod would find its GPUs on the node if there were no other pods.
fn could_host(node: &Node, request: &GpuRequest) -> bool {
    NodeGpus::of(node).is_some_and(|gpus| gpus.could_fit(request) && request.accepts(gpus.model))
}
