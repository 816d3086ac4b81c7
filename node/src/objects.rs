//! The ConfigMaps, Secrets, claims and volumes that the watches have told of.

use rustc_hash::FxHashMap;
use seatrial_api::container::ConfigRef;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{Pod, Volume, VolumeSource};
use seatrial_api::request::Change;
use seatrial_api::storage::{ClaimPhase, PersistentVolume, ephemeral_claim_name};
use seatrial_api::symbol::Symbol;

/// The objects by kind, namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects(FxHashMap<(Kind, Symbol, Symbol), Object>);

/// What is missing for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// An object does not exist; looked for again with a back-off.
    Object(Kind, Symbol),
    /// A claim does not exist or is not bound, or its volume is not known; noticed when it is. With
    /// the claim's name and what is wrong.
    Claim(String),
}

impl Objects {
    /// Takes a watch event.
    pub(crate) fn observe(&mut self, change: Change, object: &Object) {
        let meta = object.meta();
        let key = (object.kind(), meta.namespace, Symbol::new(&meta.name));
        match change {
            Change::Added | Change::Modified => self.0.insert(key, object.clone()),
            Change::Deleted => self.0.remove(&key),
        };
    }

    /// Whether an object exists and, if asked for, has a key.
    fn has(&self, kind: Kind, namespace: Symbol, name: Symbol, key: Option<Symbol>) -> bool {
        let Some(object) = self.0.get(&(kind, namespace, name)) else { return false };
        let Some(key) = key else { return true };
        let data = match object {
            Object::ConfigMap(config) => &config.data,
            Object::Secret(secret) => &secret.data,
            _ => return true,
        };
        data.iter().any(|entry| entry.0 == key.as_str())
    }

    /// Whether the object behind an environment reference is there.
    pub(crate) fn satisfies(&self, namespace: Symbol, reference: &ConfigRef) -> bool {
        let kind = if reference.secret { Kind::Secret } else { Kind::ConfigMap };
        reference.optional || self.has(kind, namespace, reference.name, reference.key)
    }

    /// Whether the object of an environment reference exists.
    pub(crate) fn knows(&self, namespace: Symbol, reference: &ConfigRef) -> bool {
        let kind = if reference.secret { Kind::Secret } else { Kind::ConfigMap };
        self.has(kind, namespace, reference.name, None)
    }

    /// What is missing for a volume of `pod`, if anything is.
    pub(crate) fn missing(&self, pod: &Pod, volume: &Volume) -> Option<Missing> {
        let namespace = pod.meta.namespace;
        let object = |kind: Kind, name: Symbol, optional: bool| {
            let there = optional || self.has(kind, namespace, name, None);
            (!there).then_some(Missing::Object(kind, name))
        };
        match &volume.source {
            VolumeSource::ConfigMap { name, optional } => object(Kind::ConfigMap, *name, *optional),
            VolumeSource::Secret { name, optional } => object(Kind::Secret, *name, *optional),
            VolumeSource::Claim { .. } | VolumeSource::Ephemeral(_) => {
                let name = claim_of(pod, volume)?;
                self.volume_of(namespace, name).err().map(|why| Missing::Claim(format!("{name}: {why}")))
            }
            VolumeSource::EmptyDir { .. }
            | VolumeSource::HostPath
            | VolumeSource::Disk(_)
            | VolumeSource::Csi(_)
            | VolumeSource::Image(_)
            | VolumeSource::Other(_) => None,
        }
    }

    /// The volume of a claim, or why there is none.
    fn volume_of(&self, namespace: Symbol, name: Symbol) -> Result<&PersistentVolume, String> {
        let Some(Object::PersistentVolumeClaim(claim)) =
            self.0.get(&(Kind::PersistentVolumeClaim, namespace, name))
        else {
            return Err(format!(
                "failed to fetch PVC from API server: persistentvolumeclaims \"{name}\" not found"
            ));
        };
        if claim.phase != ClaimPhase::Bound {
            return Err("PVC is not bound".into());
        }
        let volume = claim.spec.volume_name;
        match self.0.get(&(Kind::PersistentVolume, Symbol::empty(), volume)) {
            Some(Object::PersistentVolume(volume)) => Ok(volume),
            _ => Err(format!(
                "failed to fetch PV {volume} from API server: persistentvolumes \"{volume}\" not found"
            )),
        }
    }

    /// The unique name of the volume behind a pod's claim, if its driver attaches it.
    pub(crate) fn attachable(&self, pod: &Pod, volume: &Volume) -> Option<Symbol> {
        let volume = self.volume_of(pod.meta.namespace, claim_of(pod, volume)?).ok()?;
        if volume.csi_driver.is_empty() {
            return None;
        }
        let driver = self.0.get(&(Kind::CsiDriver, Symbol::empty(), volume.csi_driver));
        let attaches = !matches!(driver, Some(Object::CsiDriver(driver)) if !driver.attach_required);
        attaches.then(|| volume.unique_name())
    }
}

/// The claim behind a pod's volume.
fn claim_of(pod: &Pod, volume: &Volume) -> Option<Symbol> {
    match &volume.source {
        VolumeSource::Claim { name, .. } => Some(*name),
        VolumeSource::Ephemeral(_) => Some(Symbol::new(&ephemeral_claim_name(&pod.meta.name, volume.name))),
        _ => None,
    }
}
