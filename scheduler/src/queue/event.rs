//! What happened in the cluster, as far as it may help a waiting pod.

use std::sync::Arc;

use seatrial_api::node::{Node, NodeConditionType};
use seatrial_api::pod::Pod;
use seatrial_api::resources::Resources;
use seatrial_api::storage::{
    CsiDriver, CsiNode, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, StorageClass,
    VolumeAttachment,
};
use smallvec::SmallVec;

/// What changed about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodChange {
    /// Its labels.
    Labels,
    /// It requests less of something.
    ScaleDown,
    /// Its last scheduling gate is gone.
    GatesGone,
    /// Its tolerations.
    Tolerations,
    /// Something else.
    Other,
}

/// What changed about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// What it has to give away.
    Allocatable,
    /// Its labels.
    Labels,
    /// Its taints, or it is no longer cordoned.
    Taints,
    /// The status of a condition.
    Conditions,
    /// Its annotations.
    Annotations,
}

/// Something that happened. Pods here are assigned or nominated to a node, but for `OwnUpdate`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ClusterEvent {
    PodAdd(Arc<Pod>),
    PodUpdate {
        old: Arc<Pod>,
        new: Arc<Pod>,
        change: PodChange,
    },
    PodDelete {
        pod: Arc<Pod>,
        /// Only waiting pods of at most this priority are concerned, if it is given.
        up_to_priority: Option<i32>,
    },
    /// The waiting pod itself changed.
    OwnUpdate {
        old: Arc<Pod>,
        new: Arc<Pod>,
        change: PodChange,
    },
    NodeAdd(Arc<Node>),
    NodeUpdate {
        old: Arc<Node>,
        new: Arc<Node>,
        change: NodeChange,
    },
    NodeDelete(Arc<Node>),
    ClaimAdd(Arc<PersistentVolumeClaim>),
    ClaimUpdate {
        old: Arc<PersistentVolumeClaim>,
        new: Arc<PersistentVolumeClaim>,
    },
    VolumeAdd(Arc<PersistentVolume>),
    VolumeUpdate {
        old: Arc<PersistentVolume>,
        new: Arc<PersistentVolume>,
    },
    ClassAdd(Arc<StorageClass>),
    ClassUpdate {
        old: Arc<StorageClass>,
        new: Arc<StorageClass>,
    },
    CsiNodeAdd(Arc<CsiNode>),
    CsiNodeUpdate {
        old: Arc<CsiNode>,
        new: Arc<CsiNode>,
    },
    DriverUpdate {
        old: Arc<CsiDriver>,
        new: Arc<CsiDriver>,
    },
    CapacityAdd(Arc<CsiStorageCapacity>),
    CapacityUpdate {
        old: Arc<CsiStorageCapacity>,
        new: Arc<CsiStorageCapacity>,
    },
    AttachmentDelete(Arc<VolumeAttachment>),
}

/// The kind of an event, for looking past events that interest nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the events")]
pub enum EventKind {
    PodAdd,
    PodUpdate,
    PodDelete,
    OwnUpdate,
    NodeAdd,
    NodeAllocatable,
    NodeLabels,
    NodeTaints,
    NodeOther,
    NodeDelete,
    Storage,
}

impl EventKind {
    /// How many kinds there are.
    pub const COUNT: usize = EventKind::ALL.len();

    /// All kinds.
    pub const ALL: [EventKind; 11] = [
        EventKind::PodAdd,
        EventKind::PodUpdate,
        EventKind::PodDelete,
        EventKind::OwnUpdate,
        EventKind::NodeAdd,
        EventKind::NodeAllocatable,
        EventKind::NodeLabels,
        EventKind::NodeTaints,
        EventKind::NodeOther,
        EventKind::NodeDelete,
        EventKind::Storage,
    ];
}

impl ClusterEvent {
    /// The kind.
    pub fn kind(&self) -> EventKind {
        match self {
            ClusterEvent::PodAdd(_) => EventKind::PodAdd,
            ClusterEvent::PodUpdate { .. } => EventKind::PodUpdate,
            ClusterEvent::PodDelete { .. } => EventKind::PodDelete,
            ClusterEvent::OwnUpdate { .. } => EventKind::OwnUpdate,
            ClusterEvent::NodeAdd(_) => EventKind::NodeAdd,
            ClusterEvent::NodeUpdate { change, .. } => match change {
                NodeChange::Allocatable => EventKind::NodeAllocatable,
                NodeChange::Labels => EventKind::NodeLabels,
                NodeChange::Taints => EventKind::NodeTaints,
                NodeChange::Conditions | NodeChange::Annotations => EventKind::NodeOther,
            },
            ClusterEvent::NodeDelete(_) => EventKind::NodeDelete,
            _ => EventKind::Storage,
        }
    }
}

/// A set of kinds of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interests(u16);

impl Interests {
    /// All kinds.
    pub const ALL: Interests = Interests((1 << EventKind::COUNT) - 1);

    /// These kinds.
    pub const fn of(kinds: &[EventKind]) -> Interests {
        let mut bits = 0;
        let mut index = 0;
        while index < kinds.len() {
            bits |= 1 << kinds[index] as u16;
            index += 1;
        }
        Interests(bits)
    }

    /// Whether a kind is in it.
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 >> kind as u16 & 1 == 1
    }

    /// All kinds of either set.
    pub const fn union(self, other: Interests) -> Interests {
        Interests(self.0 | other.0)
    }
}

/// What an update changed about a pod; `Other` if nothing that an event is made of.
pub(crate) fn pod_changes(old: &Pod, new: &Pod) -> SmallVec<[PodChange; 4]> {
    let mut changes = SmallVec::new();
    if old.meta.labels != new.meta.labels {
        changes.push(PodChange::Labels);
    }
    if !Arc::ptr_eq(&old.spec, &new.spec) {
        if requests_less(&old.spec.derived.requests, &new.spec.derived.requests) {
            changes.push(PodChange::ScaleDown);
        }
        if !old.spec.scheduling_gates.is_empty() && new.spec.scheduling_gates.is_empty() {
            changes.push(PodChange::GatesGone);
        }
        if old.spec.tolerations != new.spec.tolerations {
            changes.push(PodChange::Tolerations);
        }
    }
    if changes.is_empty() {
        changes.push(PodChange::Other);
    }
    changes
}

fn requests_less(old: &Resources, new: &Resources) -> bool {
    new.cpu < old.cpu
        || new.memory < old.memory
        || new.ephemeral_storage < old.ephemeral_storage
        || old.scalars.iter().any(|(name, amount)| new.scalars.get(name) < amount)
}

/// What an update changed about a node, as far as events are made of it.
pub(crate) fn node_changes(old: &Node, new: &Node) -> Vec<NodeChange> {
    let mut changes = Vec::new();
    if !Arc::ptr_eq(&old.allocatable, &new.allocatable) && old.allocatable != new.allocatable {
        changes.push(NodeChange::Allocatable);
    }
    if old.meta.labels != new.meta.labels {
        changes.push(NodeChange::Labels);
    }
    if old.taints() != new.taints() || old.unschedulable && !new.unschedulable {
        changes.push(NodeChange::Taints);
    }
    let status = |node: &Node, kind| node.conditions.get(kind).status;
    if NodeConditionType::ALL.into_iter().any(|kind| status(old, kind) != status(new, kind)) {
        changes.push(NodeChange::Conditions);
    }
    if old.meta.annotations != new.meta.annotations {
        changes.push(NodeChange::Annotations);
    }
    changes
}
