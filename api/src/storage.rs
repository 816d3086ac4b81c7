//! Volumes as far as scheduling, claims and attaching go: PersistentVolume, PersistentVolumeClaim,
//! StorageClass, VolumeAttachment, and what CSI drivers say of themselves.

use std::sync::Arc;

use compact_str::{CompactString, format_compact};

use crate::labels::{Labels, Selector};
use crate::meta::{ObjectMeta, Uid};
use crate::pod::{Pod, VolumeSource};
use crate::scheduling::NodeSelectorTerm;
use crate::symbol::Symbol;
use crate::units::Bytes;

/// Annotation of a claim whose binding is complete, so that it is lost if its volume goes.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of a claim or a volume whose partner was chosen by the controller and not by a user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Annotation by which a claim's volume is to be made for a node.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Annotation of a claim: the provisioner that is to make its volume.
pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The old name of [`STORAGE_PROVISIONER`], written beside it.
pub const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// Annotation of a volume: the provisioner that made it.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Annotation of the class that claims without one get.
pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// The old name of [`DEFAULT_CLASS`].
pub const BETA_DEFAULT_CLASS: &str = "storageclass.beta.kubernetes.io/is-default-class";
/// Finalizer of every claim.
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// Finalizer of every volume.
pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// The provisioner of classes whose volumes are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

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

    /// How many modes there are.
    pub fn len(self) -> usize {
        [self.read_write_once, self.read_only_many, self.read_write_many, self.read_write_once_pod]
            .into_iter()
            .filter(|mode| *mode)
            .count()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether a volume that offers these modes may be attached to several nodes at a time.
    pub fn allows_several_nodes(self) -> bool {
        self.read_only_many || self.read_write_many
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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

/// How far the expansion of a claim's volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimResize {
    /// There is none.
    #[default]
    None,
    /// The volume is made larger: condition `Resizing`.
    Controller,
    /// The node is to make its file system larger: condition `FileSystemResizePending`.
    Node,
}

/// A claim to be made: of a StatefulSet for each of its pods, or of a pod for a generic ephemeral
/// volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClaimTemplate {
    /// The template's name, which is also the volume's.
    pub name: Symbol,
    /// The claim.
    pub claim: ClaimSpec,
    /// Labels of the claim.
    pub labels: Labels,
    /// Annotations of the claim.
    pub annotations: Labels,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersistentVolumeClaim {
    /// The metadata; annotations carry how far its binding is.
    pub meta: ObjectMeta,
    /// What it asks for.
    pub spec: ClaimSpec,
    /// The phase.
    pub phase: ClaimPhase,
    /// `status.accessModes`: the modes of its volume; none before it is bound.
    pub granted_modes: AccessModes,
    /// `status.capacity`: how much it has; 0 before it is bound.
    pub capacity: Bytes,
    /// How far its expansion is.
    pub resize: ClaimResize,
}

impl PersistentVolumeClaim {
    /// Whether its binding is complete.
    pub fn is_fully_bound(&self) -> bool {
        !self.spec.volume_name.is_empty() && self.has_annotation(BIND_COMPLETED)
    }

    /// Whether it carries an annotation.
    pub fn has_annotation(&self, key: &str) -> bool {
        self.annotation(key).is_some()
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<Symbol> {
        self.meta.annotations.get(Symbol::new(key))
    }

    /// The reference by which a volume names it.
    pub fn claim_ref(&self) -> ClaimRef {
        ClaimRef {
            namespace: self.meta.namespace,
            name: Symbol::new(&self.meta.name),
            uid: Some(self.meta.uid),
        }
    }
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

impl ClaimRef {
    /// Whether it names this claim: by name, and by identity if it has one.
    pub fn names(&self, claim: &PersistentVolumeClaim) -> bool {
        self.namespace == claim.meta.namespace
            && self.name == claim.meta.name.as_str()
            && self.uid.is_none_or(|uid| uid == claim.meta.uid)
    }
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
    /// `status.message`: why it has failed, empty otherwise.
    pub message: Symbol,
    /// The CSI driver, empty for volumes without.
    pub csi_driver: Symbol,
    /// The volume's handle at its driver.
    pub csi_handle: Symbol,
    /// The path of a `hostPath` volume, empty for others.
    pub host_path: Symbol,
}

impl PersistentVolume {
    /// Whether it is reserved for a claim or bound to it.
    pub fn is_bound_to(&self, claim: &PersistentVolumeClaim) -> bool {
        self.claim.as_ref().is_some_and(|claim_ref| claim_ref.names(claim))
    }

    /// The name by which a node's status tells that a volume is in use or attached.
    pub fn unique_name(&self) -> Symbol {
        Symbol::new(&format_compact!("kubernetes.io/csi/{}^{}", self.csi_driver, self.csi_handle))
    }
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
    /// Whether claims may ask for more later.
    pub allow_expansion: bool,
}

impl StorageClass {
    /// Whether claims without a class get this one.
    pub fn is_default(&self) -> bool {
        [DEFAULT_CLASS, BETA_DEFAULT_CLASS]
            .into_iter()
            .any(|key| self.meta.annotations.get(Symbol::new(key)).is_some_and(|value| value == "true"))
    }

    /// Whether somebody makes its volumes.
    pub fn provisions(&self) -> bool {
        !self.provisioner.is_empty() && self.provisioner != NO_PROVISIONER
    }

    /// The class that claims without one get: of several the newest, of equally old ones the first
    /// by name.
    pub fn default_of<'a>(
        classes: impl Iterator<Item = &'a Arc<StorageClass>>,
    ) -> Option<&'a Arc<StorageClass>> {
        let candidates = classes.filter(|class| class.is_default());
        candidates.min_by(|a, b| {
            let age = b.meta.created.truncate_to_second().cmp(&a.meta.created.truncate_to_second());
            age.then_with(|| a.meta.name.cmp(&b.meta.name))
        })
    }
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

/// A VolumeAttachment: that a volume is to be attached to a node, and whether it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeAttachment {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The CSI driver that attaches it.
    pub attacher: Symbol,
    /// The node.
    pub node: Symbol,
    /// The PersistentVolume.
    pub volume: Symbol,
    /// Whether it is attached.
    pub attached: bool,
    /// Why it could not be attached, empty if it could or was not tried.
    pub attach_error: Symbol,
    /// Why it could not be detached, empty if it could or was not tried.
    pub detach_error: Symbol,
}

/// A CSIDriver: what a storage driver asks of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CsiDriver {
    /// The metadata; the name is the driver's.
    pub meta: ObjectMeta,
    /// Whether its volumes are attached to a node before they are mounted there.
    pub attach_required: bool,
    /// Whether the scheduler looks at its free capacity.
    pub storage_capacity: bool,
}

/// A CSIStorageCapacity: how much storage of a class is free in a part of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CsiStorageCapacity {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The class.
    pub class: Symbol,
    /// From which nodes it can be reached; `None` from none.
    pub topology: Option<Selector>,
    /// How much is free; `None` if the driver does not say.
    pub capacity: Option<Bytes>,
    /// How large a volume can be; `None` if the driver does not say.
    pub volume_max: Option<Bytes>,
}

impl CsiStorageCapacity {
    /// Whether a volume of this size can be made for a node with these labels.
    pub fn has_room(&self, size: Bytes, labels: &Labels) -> bool {
        let limit = self.volume_max.or(self.capacity);
        limit.is_some_and(|limit| limit >= size)
            && self.topology.as_ref().is_some_and(|topology| topology.matches(labels))
    }
}

/// The name of the claim of a generic ephemeral volume.
pub fn ephemeral_claim_name(pod: &str, volume: Symbol) -> CompactString {
    format_compact!("{pod}-{volume}")
}

/// The names of the claims that a pod uses, each with whether it belongs to a generic ephemeral
/// volume.
pub fn claim_names(pod: &Pod) -> impl Iterator<Item = (CompactString, bool)> + '_ {
    pod.spec.volumes.iter().filter_map(move |volume| match &volume.source {
        VolumeSource::Claim { name, .. } => Some((name.as_str().into(), false)),
        VolumeSource::Ephemeral(_) => Some((ephemeral_claim_name(&pod.meta.name, volume.name), true)),
        _ => None,
    })
}

/// Whether a pod uses claims.
pub fn uses_claims(pod: &Pod) -> bool {
    let is_claim =
        |source: &VolumeSource| matches!(source, VolumeSource::Claim { .. } | VolumeSource::Ephemeral(_));
    pod.spec.volumes.iter().any(|volume| is_claim(&volume.source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;

    fn class(name: &str, seconds: i64, default: bool) -> Arc<StorageClass> {
        let mut class = StorageClass { meta: ObjectMeta::named("", name), ..StorageClass::default() };
        class.meta.created = SimTime::from_secs(seconds);
        if default {
            class.meta.annotations = Labels::of(&[(DEFAULT_CLASS, "true")]);
        }
        Arc::new(class)
    }

    #[test]
    fn the_newest_default_class_wins_and_of_equally_old_ones_the_first_by_name() {
        let rows = [
            (vec![class("a", 1, false)], None),
            (vec![class("a", 1, true), class("b", 2, true)], Some("b")),
            (vec![class("b", 1, true), class("a", 1, true), class("c", 9, false)], Some("a")),
        ];
        for (classes, expected) in rows {
            let found = StorageClass::default_of(classes.iter()).map(|class| class.meta.name.as_str());
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_capacity_has_room_for_nodes_that_it_names_and_up_to_its_largest_volume() {
        let zone = Labels::of(&[("zone", "a")]);
        let capacity = |capacity: Option<i64>, volume_max: Option<i64>, topology: Option<Selector>| {
            let (capacity, volume_max) = (capacity.map(Bytes), volume_max.map(Bytes));
            CsiStorageCapacity { capacity, volume_max, topology, ..CsiStorageCapacity::default() }
        };
        let here = || Some(Selector::of_labels(&zone));
        for (capacity, expected) in [
            (capacity(Some(10), None, here()), true),
            (capacity(Some(9), None, here()), false),
            (capacity(Some(100), Some(9), here()), false),
            (capacity(None, None, here()), false),
            (capacity(Some(10), None, None), false),
            (capacity(Some(10), None, Some(Selector::default())), true),
        ] {
            assert_eq!(capacity.has_room(Bytes(10), &zone), expected, "{capacity:?}");
        }
    }
}
