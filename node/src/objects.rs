//! The ConfigMaps, Secrets and claims that the watches have told of.

use rustc_hash::FxHashMap;
use seatrial_api::container::ConfigRef;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{Pod, Volume, VolumeSource};
use seatrial_api::request::Change;
use seatrial_api::storage::ClaimPhase;
use seatrial_api::symbol::Symbol;

/// The objects by kind, namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects(FxHashMap<(Kind, Symbol, Symbol), Object>);

/// What is missing for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// An object does not exist; looked for again with a back-off.
    Object(Kind, Symbol),
    /// A claim does not exist or is not bound; noticed when it is.
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
            VolumeSource::Claim { name, .. } => self.unbound(namespace, *name),
            VolumeSource::Ephemeral => {
                self.unbound(namespace, Symbol::new(&format!("{}-{}", pod.meta.name, volume.name)))
            }
            VolumeSource::EmptyDir { .. }
            | VolumeSource::HostPath
            | VolumeSource::Disk(_)
            | VolumeSource::Csi(_)
            | VolumeSource::Image(_)
            | VolumeSource::Other(_) => None,
        }
    }

    fn unbound(&self, namespace: Symbol, name: Symbol) -> Option<Missing> {
        match self.0.get(&(Kind::PersistentVolumeClaim, namespace, name)) {
            Some(Object::PersistentVolumeClaim(claim)) if claim.phase == ClaimPhase::Bound => None,
            _ => Some(Missing::Claim(name.to_string())),
        }
    }
}
