//! Nodes.

use std::sync::Arc;

use crate::meta::ObjectMeta;
use crate::pod::ConditionStatus;
use crate::resources::Resources;
use crate::scheduling::Taint;
use crate::symbol::Symbol;
use crate::units::{Bytes, SimTime};

/// Label key of a node's host name.
pub const LABEL_HOSTNAME: &str = "kubernetes.io/hostname";
/// Label key of a node's zone.
pub const LABEL_ZONE: &str = "topology.kubernetes.io/zone";
/// Label key of a node's region.
pub const LABEL_REGION: &str = "topology.kubernetes.io/region";
/// Label key of a node's machine type.
pub const LABEL_INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// Taint on nodes whose kubelet says that they are not ready.
pub const TAINT_NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint on nodes that are no longer heard of.
pub const TAINT_UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Taint on cordoned nodes.
pub const TAINT_UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Taint on nodes short of memory.
pub const TAINT_MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";
/// Taint on nodes short of disk.
pub const TAINT_DISK_PRESSURE: &str = "node.kubernetes.io/disk-pressure";
/// Taint on nodes short of process ids.
pub const TAINT_PID_PRESSURE: &str = "node.kubernetes.io/pid-pressure";
/// Taint on nodes without network.
pub const TAINT_NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";

/// The condition types of nodes that the system itself writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeConditionType {
    /// The kubelet can run pods.
    Ready,
    /// Memory is short.
    MemoryPressure,
    /// Disk is short.
    DiskPressure,
    /// Process ids are short.
    PidPressure,
    /// The network is not set up.
    NetworkUnavailable,
}

impl NodeConditionType {
    /// All types, in the order in which a status lists them.
    pub const ALL: [NodeConditionType; 5] = [
        NodeConditionType::MemoryPressure,
        NodeConditionType::DiskPressure,
        NodeConditionType::PidPressure,
        NodeConditionType::Ready,
        NodeConditionType::NetworkUnavailable,
    ];

    /// As written in a node's status.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeConditionType::Ready => "Ready",
            NodeConditionType::MemoryPressure => "MemoryPressure",
            NodeConditionType::DiskPressure => "DiskPressure",
            NodeConditionType::PidPressure => "PIDPressure",
            NodeConditionType::NetworkUnavailable => "NetworkUnavailable",
        }
    }
}

/// One condition of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCondition {
    /// The status; `Absent` if the node has no such condition.
    pub status: ConditionStatus,
    /// The reason, such as `KubeletReady` or `NodeStatusUnknown`.
    pub reason: Symbol,
    /// The message.
    pub message: Symbol,
    /// `lastTransitionTime`.
    pub since: SimTime,
}

/// The conditions of a node, one slot per type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeConditions([NodeCondition; 5]);

impl NodeConditions {
    /// The condition of this type; absent ones have the status `Absent`.
    pub fn get(&self, kind: NodeConditionType) -> NodeCondition {
        self.0[kind as usize]
    }

    /// Sets a condition as given, its transition time included.
    pub fn put(&mut self, kind: NodeConditionType, condition: NodeCondition) {
        self.0[kind as usize] = condition;
    }

    /// Sets a condition; its transition time moves only if the status changes.
    pub fn set(
        &mut self,
        kind: NodeConditionType,
        status: ConditionStatus,
        reason: Symbol,
        message: Symbol,
        now: SimTime,
    ) {
        let slot = &mut self.0[kind as usize];
        let since = if slot.status == status { slot.since } else { now.truncate_to_second() };
        *slot = NodeCondition { status, reason, message, since };
    }
}

/// An image that a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeImage {
    /// Its names.
    pub names: Box<[Symbol]>,
    /// Its size.
    pub size: Bytes,
}

/// What a node has, in total or to give away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeResources {
    /// CPU, memory, storage and extended resources.
    pub amounts: Resources,
    /// How many pods.
    pub pods: i64,
}

/// What a node's status says of its volumes, by their unique names, each in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeVolumes {
    /// `volumesInUse`: what the kubelet uses or is about to use.
    pub in_use: Vec<Symbol>,
    /// `volumesAttached`: what is attached to it.
    pub attached: Vec<Symbol>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The metadata. The name is interned as well, see [`Node::name`].
    pub meta: ObjectMeta,
    /// The interned name.
    pub name: Symbol,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its taints.
    pub taints: Option<Arc<[Taint]>>,
    /// `spec.providerID`, empty for none.
    pub provider_id: Symbol,
    /// What it has.
    pub capacity: Arc<NodeResources>,
    /// What it has to give away.
    pub allocatable: Arc<NodeResources>,
    /// Its conditions.
    pub conditions: NodeConditions,
    /// Its images, the largest fifty.
    pub images: Option<Arc<[NodeImage]>>,
    /// Its internal address as a number; 0 for none.
    pub ip: u32,
    /// Its volumes, if it has ever had any.
    pub volumes: Option<Arc<NodeVolumes>>,
}

impl Node {
    /// The taints.
    pub fn taints(&self) -> &[Taint] {
        self.taints.as_deref().unwrap_or(&[])
    }

    /// The images.
    pub fn images(&self) -> &[NodeImage] {
        self.images.as_deref().unwrap_or(&[])
    }

    /// The volumes that its kubelet uses.
    pub fn volumes_in_use(&self) -> &[Symbol] {
        self.volumes.as_ref().map_or(&[], |volumes| &volumes.in_use)
    }

    /// The volumes that are attached to it.
    pub fn volumes_attached(&self) -> &[Symbol] {
        self.volumes.as_ref().map_or(&[], |volumes| &volumes.attached)
    }

    /// The status of the Ready condition.
    pub fn ready(&self) -> ConditionStatus {
        self.conditions.get(NodeConditionType::Ready).status
    }

    /// The zone label's value, empty for none.
    pub fn zone(&self) -> Symbol {
        self.meta.labels.get(Symbol::new(LABEL_ZONE)).unwrap_or_default()
    }
}
