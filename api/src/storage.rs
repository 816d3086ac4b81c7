//! Volumes as far as scheduling and claims go: PersistentVolume, PersistentVolumeClaim,
//! StorageClass, CSINode.

use crate::labels::Selector;
use crate::meta::{ObjectMeta, Uid};
use crate::scheduling::NodeSelectorTerm;
use crate::symbol::Symbol;
use crate::units::Bytes;

/// How a volume may be mounted; a set of access modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccessModes {
    /// ReadWriteOnce.
    pub read_write_once: bool,
    /// ReadOnlyMany.
    pub read_only_many: bool,
    /// ReadWriteMany.
    pub read_write_many: bool,
    /// ReadWriteOncePod.
    pub read_write_once_pod: bool,
}

impl AccessModes {
    /// Whether every mode of `wanted` is here.
    pub fn contains(self, wanted: AccessModes) -> bool {
        (self.read_write_once || !wanted.read_write_once)
            && (self.read_only_many || !wanted.read_only_many)
            && (self.read_write_many || !wanted.read_write_many)
            && (self.read_write_once_pod || !wanted.read_write_once_pod)
    }
}

/// A filesystem or a raw block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VolumeMode {
    /// A filesystem.
    #[default]
    Filesystem,
    /// A raw device.
    Block,
}

/// What a claim asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimSpec {
    /// Access modes.
    pub access_modes: AccessModes,
    /// How much storage.
    pub request: Bytes,
    /// The class; `None` if absent (a default may be filled in), empty for none.
    pub storage_class: Option<Symbol>,
    /// Which volumes may be taken.
    pub selector: Option<Selector>,
    /// The volume it is bound to, empty for none.
    pub volume_name: Symbol,
    /// Filesystem or device.
    pub volume_mode: VolumeMode,
    /// The attributes class, empty for none.
    pub attributes_class: Symbol,
}

/// The phase of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimPhase {
    /// Not bound yet.
    #[default]
    Pending,
    /// Bound.
    Bound,
    /// Its volume is gone.
    Lost,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersistentVolumeClaim {
    /// The metadata; annotations `pv.kubernetes.io/bind-completed` and
    /// `volume.kubernetes.io/selected-node` steer the scheduler.
    pub meta: ObjectMeta,
    /// What it asks for.
    pub spec: ClaimSpec,
    /// The phase.
    pub phase: ClaimPhase,
}

/// What becomes of a volume whose claim is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReclaimPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It goes.
    Delete,
}

/// The phase of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VolumePhase {
    /// Not looked at yet.
    #[default]
    Pending,
    /// Free.
    Available,
    /// Bound.
    Bound,
    /// Its claim is gone.
    Released,
    /// It could not be reclaimed.
    Failed,
}

/// The claim that a volume is reserved for.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRef {
    /// The claim's namespace.
    pub namespace: Symbol,
    /// The claim's name.
    pub name: Symbol,
    /// The claim's identity, if it is bound.
    pub uid: Option<Uid>,
}

/// A PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersistentVolume {
    /// The metadata.
    pub meta: ObjectMeta,
    /// How large it is.
    pub capacity: Bytes,
    /// Access modes.
    pub access_modes: AccessModes,
    /// The class, empty for none.
    pub storage_class: Symbol,
    /// Filesystem or device.
    pub volume_mode: VolumeMode,
    /// The attributes class, empty for none.
    pub attributes_class: Symbol,
    /// The claim it is reserved for.
    pub claim: Option<ClaimRef>,
    /// From which nodes it can be reached; `None` from all.
    pub node_affinity: Option<Box<[NodeSelectorTerm]>>,
    /// What becomes of it.
    pub reclaim_policy: ReclaimPolicy,
    /// The phase.
    pub phase: VolumePhase,
    /// The CSI driver, empty for volumes without.
    pub csi_driver: Symbol,
    /// The volume's handle at its driver.
    pub csi_handle: Symbol,
}

/// When a claim is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VolumeBindingMode {
    /// At once.
    #[default]
    Immediate,
    /// When a pod that uses it is scheduled.
    WaitForFirstConsumer,
}

/// A StorageClass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageClass {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The provisioner.
    pub provisioner: Symbol,
    /// When claims are bound.
    pub binding_mode: VolumeBindingMode,
    /// What becomes of its volumes.
    pub reclaim_policy: ReclaimPolicy,
    /// Where volumes can be made, as alternatives; `None` everywhere.
    pub allowed_topologies: Option<Box<[NodeSelectorTerm]>>,
}

/// One driver of a CSINode.
#[derive(Clone, Debug, PartialEq)]
pub struct CsiNodeDriver {
    /// The driver.
    pub name: Symbol,
    /// How many of its volumes can be attached; `None` for no limit.
    pub allocatable: Option<i32>,
}

/// A CSINode: the storage drivers of the node of the same name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CsiNode {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The drivers.
    pub drivers: Box<[CsiNodeDriver]>,
}
