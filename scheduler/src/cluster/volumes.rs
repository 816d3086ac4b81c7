//! Claims, volumes, classes and storage drivers as the scheduler knows them, with what it has
//! reserved but not yet written.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::labels::Labels;
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::storage::{
    ClaimRef, CsiDriver, CsiNode, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, SELECTED_NODE,
    STORAGE_PROVISIONER, StorageClass, VolumeAttachment, claim_names,
};
use seatrial_api::symbol::Symbol;

/// A claim's address: namespace and name.
pub(crate) type ClaimKey = (Symbol, CompactString);

/// Storage objects by name.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    pub(crate) claims: BTreeMap<ClaimKey, Arc<PersistentVolumeClaim>>,
    pub(crate) volumes: BTreeMap<CompactString, Arc<PersistentVolume>>,
    pub(crate) classes: BTreeMap<Symbol, Arc<StorageClass>>,
    pub(crate) csi_nodes: BTreeMap<Symbol, Arc<CsiNode>>,
    pub(crate) csi_drivers: BTreeMap<Symbol, Arc<CsiDriver>>,
    /// By their rows in the store.
    pub(crate) capacities: BTreeMap<u32, Arc<CsiStorageCapacity>>,
    /// Attachments by node and name.
    pub(crate) attachments: BTreeMap<(Symbol, CompactString), Arc<VolumeAttachment>>,
    /// Claims that volumes were reserved for.
    assumed_refs: BTreeMap<CompactString, ClaimRef>,
    /// Nodes for which volumes of claims are to be made.
    assumed_nodes: BTreeMap<ClaimKey, Symbol>,
    /// How many pods on nodes use a claim.
    users: FxHashMap<ClaimKey, u32>,
}

impl Volumes {
    /// The claim with this name.
    pub(crate) fn claim(&self, namespace: Symbol, name: &str) -> Option<&Arc<PersistentVolumeClaim>> {
        self.claims.get(&(namespace, name.into()))
    }

    /// The claim that a volume belongs to, reservations included.
    pub(crate) fn claim_of<'a>(&'a self, volume: &'a PersistentVolume) -> Option<&'a ClaimRef> {
        self.assumed_refs.get(&volume.meta.name).or(volume.claim.as_ref())
    }

    /// The node for which a claim's volume is to be made, reservations included.
    pub(crate) fn selected_node(&self, claim: &PersistentVolumeClaim) -> Option<Symbol> {
        let key = (claim.meta.namespace, claim.meta.name.clone());
        let assumed = self.assumed_nodes.get(&key).copied();
        assumed.or_else(|| claim.meta.annotations.get(Symbol::new(SELECTED_NODE)))
    }

    /// The attachments of volumes to a node.
    pub(crate) fn attached_to(&self, node: Symbol) -> impl Iterator<Item = &Arc<VolumeAttachment>> {
        let from = (node, CompactString::default());
        self.attachments
            .range(from..)
            .take_while(move |(key, _)| key.0 == node)
            .map(|(_, attachment)| attachment)
    }

    /// Whether free storage suffices for a claim on a node with these labels, as far as the
    /// provisioner says anything about it. Each claim is looked at alone.
    pub(crate) fn has_capacity(
        &self,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        labels: &Labels,
    ) -> bool {
        let Some(driver) = self.csi_drivers.get(&class.provisioner) else { return true };
        let name = class.meta.name.as_str();
        !driver.storage_capacity
            || self
                .capacities
                .values()
                .any(|capacity| capacity.class == name && capacity.has_room(claim.spec.request, labels))
    }

    /// Reserves a volume for a claim.
    pub(crate) fn assume_volume(&mut self, volume: &CompactString, claim: &PersistentVolumeClaim) {
        let claim_ref = ClaimRef {
            namespace: claim.meta.namespace,
            name: Symbol::new(&claim.meta.name),
            uid: Some(claim.meta.uid),
        };
        self.assumed_refs.insert(volume.clone(), claim_ref);
    }

    /// Reserves the making of a claim's volume for a node.
    pub(crate) fn assume_provisioning(&mut self, claim: &PersistentVolumeClaim, node: Symbol) {
        self.assumed_nodes.insert((claim.meta.namespace, claim.meta.name.clone()), node);
    }

    /// The volume that is reserved for a claim.
    pub(crate) fn reserved_volume(&self, key: &ClaimKey) -> Option<&Arc<PersistentVolume>> {
        let of_claim = |claim: &ClaimRef| claim.namespace == key.0 && claim.name == key.1.as_str();
        let found = self.assumed_refs.iter().find(|(_, claim)| of_claim(claim));
        found.and_then(|(volume, _)| self.volumes.get(volume))
    }

    /// The node for which the making of a claim's volume is reserved.
    pub(crate) fn reserved_node(&self, key: &ClaimKey) -> Option<Symbol> {
        self.assumed_nodes.get(key).copied()
    }

    /// Takes back what is reserved for a claim.
    pub(crate) fn forget_reservations(&mut self, key: &ClaimKey) {
        self.assumed_nodes.remove(key);
        self.assumed_refs.retain(|_, claim| !(claim.namespace == key.0 && claim.name == key.1.as_str()));
    }

    /// A new version of a volume supersedes its reservation.
    pub(crate) fn set_volume(&mut self, volume: Arc<PersistentVolume>) {
        if volume.claim.is_some() {
            self.assumed_refs.remove(&volume.meta.name);
        }
        self.volumes.insert(volume.meta.name.clone(), volume);
    }

    pub(crate) fn remove_volume(&mut self, name: &CompactString) {
        self.assumed_refs.remove(name);
        self.volumes.remove(name);
    }

    /// A new version of a claim supersedes its reservation.
    pub(crate) fn set_claim(&mut self, claim: Arc<PersistentVolumeClaim>) {
        let key = (claim.meta.namespace, claim.meta.name.clone());
        if claim.meta.annotations.get(Symbol::new(SELECTED_NODE)).is_some() {
            self.assumed_nodes.remove(&key);
        }
        self.claims.insert(key, claim);
    }

    pub(crate) fn remove_claim(&mut self, namespace: Symbol, name: &CompactString) {
        let key = (namespace, name.clone());
        self.assumed_nodes.remove(&key);
        self.claims.remove(&key);
    }

    /// Whether the making of a claim's volume for a node was given up: the provisioner has taken
    /// the choice of the node back.
    pub(crate) fn gave_up(&self, key: &ClaimKey, node: Symbol) -> bool {
        let called = self.claims.get(key).is_some_and(|claim| {
            claim.has_annotation(STORAGE_PROVISIONER)
                && claim.spec.volume_name.is_empty()
                && claim.annotation(SELECTED_NODE) != Some(node)
                && !self.volumes.values().any(|volume| volume.is_bound_to(claim))
        });
        called && !self.assumed_nodes.contains_key(key) && self.reserved_volume(key).is_none()
    }

    /// A new version of what a CSI driver says of itself, or of an attachment.
    pub(crate) fn set_other(&mut self, object: &Object) {
        match object {
            Object::CsiDriver(driver) => {
                self.csi_drivers.insert(Symbol::new(&driver.meta.name), driver.clone());
            }
            Object::CsiStorageCapacity(capacity) => {
                self.capacities.insert(capacity.meta.id, capacity.clone());
            }
            Object::VolumeAttachment(attachment) => {
                let key = (attachment.node, attachment.meta.name.clone());
                self.attachments.insert(key, attachment.clone());
            }
            _ => {}
        }
    }

    /// Such an object is gone.
    pub(crate) fn remove_other(&mut self, object: &Object) {
        match object {
            Object::CsiDriver(driver) => {
                self.csi_drivers.remove(&Symbol::new(&driver.meta.name));
            }
            Object::CsiStorageCapacity(capacity) => {
                self.capacities.remove(&capacity.meta.id);
            }
            Object::VolumeAttachment(attachment) => {
                self.attachments.remove(&(attachment.node, attachment.meta.name.clone()));
            }
            _ => {}
        }
    }

    /// How many pods on nodes use the claim.
    pub(crate) fn users(&self, key: &ClaimKey) -> u32 {
        self.users.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn pod_added(&mut self, pod: &Pod) {
        for (key, _) in claims_of(pod) {
            *self.users.entry(key).or_default() += 1;
        }
    }

    pub(crate) fn pod_removed(&mut self, pod: &Pod) {
        for (key, _) in claims_of(pod) {
            if let Some(count) = self.users.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.users.remove(&key);
                }
            }
        }
    }
}

/// The claims that a pod uses, each with whether it belongs to a generic ephemeral volume.
pub(crate) fn claims_of(pod: &Pod) -> impl Iterator<Item = (ClaimKey, bool)> + '_ {
    let namespace = pod.meta.namespace;
    claim_names(pod).map(move |(name, ephemeral)| ((namespace, name), ephemeral))
}
