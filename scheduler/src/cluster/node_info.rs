//! What the scheduler knows of a node: the object, and sums over the pods on it.

use std::sync::Arc;

use seatrial_api::gpu::DeviceSet;
use seatrial_api::labels::Labels;
use seatrial_api::node::Node;
use seatrial_api::pod::{HostPort, Pod, PodSpec};
use seatrial_api::resources::Scalars;
use seatrial_api::scheduling::Taint;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu};
use smallvec::SmallVec;

use super::gpus::NodeGpus;
use super::templates::TemplateId;

/// What a node can give away and what it has given away; the scalar resources aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU to give away.
    pub allocatable_cpu: MilliCpu,
    /// Memory to give away.
    pub allocatable_memory: Bytes,
    /// Ephemeral storage to give away.
    pub allocatable_storage: Bytes,
    /// How many pods the node takes.
    pub allowed_pods: i64,
    /// CPU that its pods request.
    pub requested_cpu: MilliCpu,
    /// Memory that its pods request.
    pub requested_memory: Bytes,
    /// Ephemeral storage that its pods request.
    pub requested_storage: Bytes,
    /// CPU that its pods request, with 100 m for each container that names none.
    pub non_zero_cpu: MilliCpu,
    /// Memory that its pods request, with 200 MiB for each container that names none.
    pub non_zero_memory: Bytes,
}

/// A pod on a node.
#[derive(Clone, Debug)]
pub struct PodOnNode {
    /// The pod's row in the store.
    pub id: u32,
    /// Its template.
    pub(crate) template: TemplateId,
    /// The pod.
    pub pod: Arc<Pod>,
}

/// A node as plugins see it. What the resource plugins read lies in the first two lines of a cache.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub struct NodeInfo {
    /// Amounts of CPU, memory, storage and pods.
    pub usage: Usage,
    pods: Vec<PodOnNode>,
    name: Symbol,
    node: Option<Arc<Node>>,
    requested_scalars: Scalars,
    /// A set: of two pods that use the same port, the first one to go frees it, as upstream.
    ports: Vec<HostPort>,
    pods_with_affinity: u32,
    pods_with_required_anti_affinity: u32,
    /// Aside, since most nodes have none.
    gpus: Option<Box<NodeGpus>>,
}

impl NodeInfo {
    /// A node of which nothing but the name is known.
    pub fn unseen(name: Symbol) -> NodeInfo {
        NodeInfo { name, ..NodeInfo::default() }
    }

    /// A node without pods.
    pub fn of(node: &Arc<Node>) -> NodeInfo {
        let mut info = NodeInfo::unseen(node.name);
        info.set_node(Some(node.clone()));
        info
    }

    /// The name.
    pub fn name(&self) -> Symbol {
        self.name
    }

    /// The object; absent while pods are known on a node that is not.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    /// The labels.
    pub fn labels(&self) -> &Labels {
        self.node.as_ref().map_or(&Labels::NONE, |node| &node.meta.labels)
    }

    /// The value of a label.
    pub fn label(&self, key: Symbol) -> Option<Symbol> {
        self.labels().get(key)
    }

    /// The taints.
    pub fn taints(&self) -> &[Taint] {
        self.node.as_ref().map_or(&[], |node| node.taints())
    }

    /// Whether the node is cordoned.
    pub fn is_unschedulable(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.unschedulable)
    }

    /// The pods.
    pub fn pods(&self) -> &[PodOnNode] {
        &self.pods
    }

    /// The host ports in use.
    pub fn ports(&self) -> &[HostPort] {
        &self.ports
    }

    /// Whether some pod has pod affinity or anti-affinity of any kind.
    pub fn has_pods_with_affinity(&self) -> bool {
        self.pods_with_affinity > 0
    }

    /// Whether some pod has required anti-affinity.
    pub fn has_pods_with_required_anti_affinity(&self) -> bool {
        self.pods_with_required_anti_affinity > 0
    }

    /// How much of an extended resource there is to give away; `None` if the node does not know it.
    pub fn allocatable_scalar(&self, name: Symbol) -> Option<i64> {
        self.node.as_ref().and_then(|node| node.allocatable.amounts.scalars.find(name))
    }

    /// How much of an extended resource the pods request.
    pub fn requested_scalar(&self, name: Symbol) -> i64 {
        self.requested_scalars.get(name)
    }

    /// The GPUs, if there are some.
    pub fn gpus(&self) -> Option<&NodeGpus> {
        self.gpus.as_deref()
    }

    /// Replaces the object.
    pub(crate) fn set_node(&mut self, node: Option<Arc<Node>>) {
        self.node = node;
        let usage = &mut self.usage;
        let (amounts, pods) = match &self.node {
            Some(node) => (node.allocatable.amounts.clone(), node.allocatable.pods),
            None => Default::default(),
        };
        usage.allocatable_cpu = amounts.cpu;
        usage.allocatable_memory = amounts.memory;
        usage.allocatable_storage = amounts.ephemeral_storage;
        usage.allowed_pods = pods;
        self.renew_gpus();
    }

    /// Makes the GPUs what the object says, pods staying on their devices as far as there are such.
    fn renew_gpus(&mut self) {
        let gpus = self.node.as_ref().and_then(|node| NodeGpus::of(node));
        if let (Some(old), Some(new)) = (&mut self.gpus, &gpus)
            && old.free().len() == new.free().len()
        {
            old.model = new.model;
            return;
        }
        let old = std::mem::replace(&mut self.gpus, gpus.map(Box::new));
        let Some(gpus) = &mut self.gpus else { return };
        for row in &self.pods {
            let Some(request) = row.pod.spec.gpu.as_deref() else { continue };
            let devices = old.as_ref().map_or(DeviceSet::NONE, |old| old.devices_of(row.id));
            if devices.is_empty() || devices.iter().any(|device| device >= gpus.free().len()) {
                gpus.add(row.id, request);
            } else {
                gpus.put(row.id, request, devices);
            }
        }
    }

    /// Puts a pod on other devices.
    pub(crate) fn set_devices(&mut self, pod: &Pod, devices: DeviceSet) {
        if let (Some(gpus), Some(request)) = (&mut self.gpus, pod.spec.gpu.as_deref()) {
            gpus.remove(pod.meta.id);
            gpus.put(pod.meta.id, request, devices);
        }
    }

    /// Adds a pod.
    pub(crate) fn add_pod(&mut self, pod: &Arc<Pod>, template: TemplateId) {
        let spec = &pod.spec;
        let requests = &spec.derived.requests;
        let (cpu, memory) = node_sum_requests(spec);
        let usage = &mut self.usage;
        usage.requested_cpu += requests.cpu;
        usage.requested_memory += requests.memory;
        usage.requested_storage += requests.ephemeral_storage;
        usage.non_zero_cpu += cpu;
        usage.non_zero_memory += memory;
        if !requests.scalars.is_empty() {
            self.requested_scalars = combined(&self.requested_scalars, &requests.scalars, 1);
        }
        for port in &spec.derived.host_ports {
            if !self.ports.contains(port) {
                self.ports.push(port.clone());
            }
        }
        let (affinity, anti) = affinity_flags(spec);
        self.pods_with_affinity += affinity;
        self.pods_with_required_anti_affinity += anti;
        if let (Some(gpus), Some(request)) = (&mut self.gpus, spec.gpu.as_deref()) {
            gpus.add(pod.meta.id, request);
        }
        self.pods.push(PodOnNode { id: pod.meta.id, template, pod: pod.clone() });
    }

    /// Takes a pod away; the last one moves into its place, as upstream does it.
    pub(crate) fn remove_pod(&mut self, id: u32) -> Option<PodOnNode> {
        let index = self.pods.iter().position(|row| row.id == id)?;
        let removed = self.pods.swap_remove(index);
        let spec = &removed.pod.spec;
        let requests = &spec.derived.requests;
        let (cpu, memory) = node_sum_requests(spec);
        let usage = &mut self.usage;
        usage.requested_cpu -= requests.cpu;
        usage.requested_memory -= requests.memory;
        usage.requested_storage -= requests.ephemeral_storage;
        usage.non_zero_cpu -= cpu;
        usage.non_zero_memory -= memory;
        if !requests.scalars.is_empty() {
            self.requested_scalars = combined(&self.requested_scalars, &requests.scalars, -1);
        }
        for port in &spec.derived.host_ports {
            if let Some(index) = self.ports.iter().position(|other| other == port) {
                self.ports.swap_remove(index);
            }
        }
        let (affinity, anti) = affinity_flags(spec);
        self.pods_with_affinity -= affinity;
        self.pods_with_required_anti_affinity -= anti;
        if let (Some(gpus), Some(_)) = (&mut self.gpus, spec.gpu.as_deref()) {
            gpus.remove(id);
        }
        Some(removed)
    }

    /// Replaces a pod by a newer version of the same template.
    pub(crate) fn replace_pod(&mut self, pod: &Arc<Pod>) {
        if let Some(row) = self.pods.iter_mut().find(|row| row.id == pod.meta.id) {
            row.pod = pod.clone();
        }
    }

    /// Notes the template of a pod.
    pub(crate) fn set_template(&mut self, index: usize, template: TemplateId) {
        self.pods[index].template = template;
    }
}

/// CPU and memory of a pod in a node's sums for scoring.
///
/// For pods with pod-level requests the assumed request applies only to a resource that the whole
/// pod does not mention (upstream `getNonMissingContainerRequests`).
fn node_sum_requests(spec: &PodSpec) -> (MilliCpu, Bytes) {
    let derived = &spec.derived;
    if spec.pod_requests.is_none() {
        return (derived.non_zero_cpu, derived.non_zero_memory);
    }
    let mentioned = |names: fn(&seatrial_api::resources::ResourceList) -> bool| {
        spec.pod_requests.as_ref().is_some_and(names)
            || spec.all_containers().any(|container| names(&container.requests))
    };
    let with_cpu = spec.overhead.cpu.0 != 0 || mentioned(|list| list.cpu.is_some());
    let with_memory = spec.overhead.memory.0 != 0 || mentioned(|list| list.memory.is_some());
    let cpu = if with_cpu { derived.requests.cpu } else { derived.non_zero_cpu };
    let memory = if with_memory { derived.requests.memory } else { derived.non_zero_memory };
    (cpu, memory)
}

fn affinity_flags(spec: &PodSpec) -> (u32, u32) {
    let Some(affinity) = &spec.affinity else { return (0, 0) };
    let any = !affinity.pod.required.is_empty()
        || !affinity.pod.preferred.is_empty()
        || !affinity.anti.required.is_empty()
        || !affinity.anti.preferred.is_empty();
    (u32::from(any), u32::from(!affinity.anti.required.is_empty()))
}

fn combined(sums: &Scalars, amounts: &Scalars, sign: i64) -> Scalars {
    let mut result: SmallVec<[(Symbol, i64); 4]> = sums.iter().collect();
    result.extend(amounts.iter().map(|(name, amount)| (name, sign * amount)));
    Scalars::new(result)
}
