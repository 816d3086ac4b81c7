//! Claims, volumes, classes and storage drivers as the scheduler knows them, with what it has
//! reserved but not yet written.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::pod::{Pod, VolumeSource};
use seatrial_api::storage::{ClaimRef, CsiNode, PersistentVolume, PersistentVolumeClaim, StorageClass};
use seatrial_api::symbol::Symbol;

/// A claim's address: namespace and name.
pub(crate) type ClaimKey = (Symbol, CompactString);

/// Annotation of a claim whose binding is complete.
pub(crate) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation by which a claim's volume is to be made for a node.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Storage objects by name.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    pub(crate) claims: BTreeMap<ClaimKey, Arc<PersistentVolumeClaim>>,
    pub(crate) volumes: BTreeMap<CompactString, Arc<PersistentVolume>>,
    pub(crate) classes: BTreeMap<Symbol, Arc<StorageClass>>,
    pub(crate) csi_nodes: BTreeMap<Symbol, Arc<CsiNode>>,
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
    pod.spec.volumes.iter().filter_map(move |volume| match &volume.source {
        VolumeSource::Claim { name, .. } => Some(((namespace, name.as_str().into()), false)),
        VolumeSource::Ephemeral => {
            Some(((namespace, format!("{}-{}", pod.meta.name, volume.name).into()), true))
        }
        _ => None,
    })
}

/// Whether a pod uses claims.
pub(crate) fn uses_claims(pod: &Pod) -> bool {
    let is_claim =
        |source: &VolumeSource| matches!(source, VolumeSource::Claim { .. } | VolumeSource::Ephemeral);
    pod.spec.volumes.iter().any(|volume| is_claim(&volume.source))
}
