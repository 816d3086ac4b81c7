//! Names that are equal in every run: who owns an object, and the how manieth it is.

use std::collections::BTreeMap;

use seatrial_api::meta::Uid;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::symbol::Symbol;

/// The annotation with a pod's index in its Job.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// ConfigMaps that every namespace of the recorded cluster has, and that nobody traced.
pub(in super::super) const UNTRACED: [&str; 2] = ["kube-root-ca.crt", "openshift-service-ca.crt"];

/// The aliases of all objects that were seen.
pub(super) struct Aliases {
    /// The namespace whose objects are called by their name alone.
    namespace: Symbol,
    by_object: BTreeMap<ObjectRef, String>,
    by_alias: BTreeMap<String, ObjectRef>,
    by_uid: BTreeMap<Uid, String>,
    /// Generated names with their aliases, for texts.
    generated: BTreeMap<String, String>,
    counters: BTreeMap<String, u32>,
}

/// What aliases of a kind begin with.
pub(super) fn prefix(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Pod => "pod",
        Kind::Node => "node",
        Kind::Namespace => "ns",
        Kind::Service => "svc",
        Kind::ConfigMap => "cm",
        Kind::PersistentVolume => "pv",
        Kind::PersistentVolumeClaim => "pvc",
        Kind::ReplicaSet => "rs",
        Kind::Deployment => "deploy",
        Kind::StatefulSet => "sts",
        Kind::DaemonSet => "ds",
        Kind::ControllerRevision => "crev",
        Kind::Job => "job",
        Kind::CronJob => "cj",
        Kind::ReplicationController => "rc",
        Kind::Endpoints => "ep",
        Kind::ResourceQuota => "quota",
        Kind::LimitRange => "limits",
        Kind::EndpointSlice => "eps",
        Kind::PodDisruptionBudget => "pdb",
        Kind::HorizontalPodAutoscaler => "hpa",
        _ => return None,
    })
}

impl Aliases {
    pub(super) fn new(namespace: Symbol) -> Aliases {
        Aliases {
            namespace,
            by_object: BTreeMap::new(),
            by_alias: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            generated: BTreeMap::new(),
            counters: BTreeMap::new(),
        }
    }

    /// The alias of an object.
    pub(super) fn of(&self, object: ObjectRef) -> Option<&str> {
        self.by_object.get(&object).map(String::as_str)
    }

    /// The namespace of an object, as its alias tells.
    pub(super) fn namespace_of(&self, object: ObjectRef) -> Symbol {
        let name = self.of(object).and_then(|alias| alias.split_once(':')).map_or("", |parts| parts.1);
        name.split_once('/').map_or(self.namespace, |parts| Symbol::new(parts.0))
    }

    /// The newest object with an alias.
    pub(super) fn find(&self, alias: &str) -> Option<ObjectRef> {
        self.by_alias.get(alias).copied()
    }

    /// The alias of the object with an identity.
    pub(super) fn of_uid(&self, uid: Uid) -> Option<&str> {
        self.by_uid.get(&uid).map(String::as_str)
    }

    /// The alias for which a generated name stands.
    pub(super) fn of_generated(&self, name: &str) -> Option<&str> {
        self.generated.get(name).map(String::as_str)
    }

    /// Gives a new object its alias.
    pub(super) fn enter(&mut self, object: &Object) {
        let target = object.object_ref();
        if self.by_object.contains_key(&target) {
            return;
        }
        let Some(alias) = self.name(object) else { return };
        self.by_uid.insert(object.meta().uid, alias.clone());
        self.by_alias.insert(alias.clone(), target);
        self.by_object.insert(target, alias);
    }

    fn count(&mut self, key: &str) -> u32 {
        let counter = self.counters.entry(key.to_owned()).or_default();
        *counter += 1;
        *counter
    }

    /// `base`, or `base~2` for the second object of that name.
    fn repeated(&mut self, base: String) -> String {
        match self.count(&base) {
            1 => base,
            number => format!("{base}~{number}"),
        }
    }

    fn numbered(&mut self, base: String, sign: char) -> String {
        let number = self.count(&base);
        format!("{base}{sign}{number}")
    }

    fn name(&mut self, object: &Object) -> Option<String> {
        let (kind, meta) = (object.kind(), object.meta());
        let prefix = prefix(kind)?;
        if kind == Kind::ConfigMap && UNTRACED.contains(&meta.name.as_str()) {
            return None;
        }
        let owner = meta.controller().and_then(|owner| self.by_uid.get(&owner.uid)).cloned();
        let owner = owner.as_deref().and_then(|owner| owner.split_once(':'));
        let alias = match (object, owner) {
            (Object::ReplicaSet(_), Some(("deploy", owner)))
            | (Object::Job(_), Some(("cj", owner)))
            | (Object::EndpointSlice(_), Some(("svc", owner)))
            | (Object::ControllerRevision(_), Some((_, owner))) => {
                self.numbered(format!("{prefix}:{owner}"), '@')
            }
            (Object::Pod(_), Some(("rs" | "rc", owner))) => self.numbered(format!("pod:{owner}"), '#'),
            (Object::Pod(pod), Some(("job", owner))) => {
                let index = pod.meta.annotations.get(Symbol::new(INDEX));
                let base =
                    index.map_or_else(|| format!("pod:{owner}"), |index| format!("pod:{owner}[{index}]"));
                self.numbered(base, '#')
            }
            (Object::Pod(pod), Some(("ds", owner))) => {
                let node = pod.target_node.or(pod.node).unwrap_or_default();
                self.repeated(format!("pod:{owner}@{node}"))
            }
            (Object::PersistentVolume(volume), _) => match &volume.claim {
                Some(claim) if meta.name.starts_with("pvc-") => {
                    let base = format!("pv:{}{}", self.foreign(claim.namespace), claim.name);
                    self.repeated(base)
                }
                _ => return Some(self.repeated(format!("pv:{}", meta.name))),
            },
            _ => {
                let namespace = if kind.is_namespaced() { meta.namespace } else { Symbol::empty() };
                let base = format!("{prefix}:{}{}", self.foreign(namespace), meta.name);
                return Some(self.repeated(base));
            }
        };
        self.generated.insert(meta.name.to_string(), alias.clone());
        Some(alias)
    }

    /// What stands before the name of an object of another namespace.
    fn foreign(&self, namespace: Symbol) -> String {
        if namespace.is_empty() || namespace == self.namespace {
            String::new()
        } else {
            format!("{namespace}/")
        }
    }
}
