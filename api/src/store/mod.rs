//! The API server and its store, as a machine: a request in, an answer and watch events out.
//!
//! How long a request takes, whether it arrives at all and when its watch events are seen is the
//! business of the driver. What is decided here is what the real server decides: names and
//! identities, versions and conflicts, generations, admission, grace periods and finalizers.

mod admission;
mod affinity;
mod charge;
mod create;
mod delete;
mod evict;
mod limits;
mod patch;
mod services;
mod storage;
mod update;
mod vertical;

pub use delete::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
pub use services::{ServiceNetwork, format_address};

use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use crate::meta::Uid;
use crate::object::{Kind, Object, ObjectRef, Typed};
use crate::pod::PodSpec;
use crate::request::{ApiError, Change, ErrorReason, Reply, Request, WatchEvent};
use crate::stream::Stream;
use crate::symbol::Symbol;
use crate::units::SimTime;
use crate::version::KubernetesVersion;

/// The objects of one kind: rows that are never used twice, and an index by name.
#[derive(Clone, Debug, Default)]
struct Arena {
    rows: Vec<Option<Object>>,
    by_name: FxHashMap<(Symbol, CompactString), u32>,
}

/// The API server with its store.
#[derive(Clone, Debug)]
pub struct ApiServer {
    version: KubernetesVersion,
    arenas: Vec<Arena>,
    revision: u64,
    seed: u64,
    uids: Stream,
    /// How many names were made from each base: what is called alike in two runs stays so, whatever
    /// else one of them creates.
    generated: FxHashMap<(Kind, u64), u32>,
    addresses: Stream,
    /// Admitted specifications by the address of the template's, which the entry keeps alive, and by
    /// the namespace if it has limits of its own.
    admitted: FxHashMap<(usize, Symbol), Admitted>,
    /// Rows of the quotas and limit ranges of each namespace.
    policies: FxHashMap<(Kind, Symbol), Vec<u32>>,
    settings: Settings,
    /// Specifications with recommended requests.
    recommended: Vec<vertical::Recommended>,
}

#[derive(Clone, Debug)]
struct Admitted {
    template: Arc<PodSpec>,
    spec: Arc<PodSpec>,
    /// What the namespace's limits have filled in, as an annotation says it.
    limited: Option<Symbol>,
}

/// What differs from cluster to cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where the virtual IPs of Services come from.
    pub service_network: ServiceNetwork,
    /// Whether pods need the ServiceAccount that they name.
    pub service_account_admission: bool,
}

/// Purposes of the server's random streams.
const PURPOSE_UIDS: u64 = 1;
const PURPOSE_SUFFIXES: u64 = 2;
const PURPOSE_ADDRESSES: u64 = 3;
/// The entity under which the server draws.
const ENTITY: u64 = u64::from_be_bytes(*b"apisrvr\0");

impl ApiServer {
    /// A server with an empty store. Identities, generated names and virtual IPs are drawn from
    /// the streams of `seed`.
    pub fn new(version: KubernetesVersion, seed: u64) -> ApiServer {
        ApiServer::with_settings(version, seed, Settings::default())
    }

    /// A server of a cluster that differs from others.
    pub fn with_settings(version: KubernetesVersion, seed: u64, settings: Settings) -> ApiServer {
        ApiServer {
            settings,
            policies: FxHashMap::default(),
            version,
            arenas: vec![Arena::default(); Kind::ALL.len()],
            revision: 0,
            seed,
            uids: Stream::new(seed, ENTITY, PURPOSE_UIDS),
            generated: FxHashMap::default(),
            addresses: Stream::new(seed, ENTITY, PURPOSE_ADDRESSES),
            admitted: FxHashMap::default(),
            recommended: Vec::new(),
        }
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The version whose behaviour is followed.
    pub fn version(&self) -> KubernetesVersion {
        self.version
    }

    /// Carries out a request. Watch events are appended to `events` in the order of their
    /// revisions.
    ///
    /// # Errors
    /// The refusal, as a client would get it; nothing was changed then.
    pub fn handle(&mut self, now: SimTime, request: Request, events: &mut Vec<WatchEvent>) -> Reply {
        match request {
            Request::Get { kind, namespace, name } => {
                self.find(kind, namespace, &name).cloned().ok_or_else(|| ApiError::not_found(kind, &name))
            }
            Request::Create(object) => self.create(now, object, events),
            Request::Update { object, .. }
                if object.kind() == Kind::Lease && object.meta().resource_version == 0 =>
            {
                let error = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
                Err(ApiError::invalid(Kind::Lease, &object.meta().name, &[error.to_owned()]))
            }
            Request::Update { object, subresource } => self.update(object, subresource, events, now),
            Request::Patch { target, patch } => self.patch(now, target, patch, events),
            Request::Delete { target, options } => self.delete(now, target, options, events),
            Request::Bind { pod, node } => self.bind(now, pod, node, events),
            Request::Evict { pod, grace_period_seconds } => {
                self.evict(now, pod, grace_period_seconds, events)
            }
            Request::Apply(object) => self.apply(now, object, events),
            Request::PodMetrics { .. } => Err(ApiError::new(
                ErrorReason::NotFound,
                "the server could not find the requested resource (get pods.metrics.k8s.io)",
            )),
            Request::Metric(query) => Err(query.not_served()),
        }
    }

    /// Takes an object over as a running cluster had it: status, identity, owners and times are
    /// kept; only its row and version are new.
    ///
    /// # Errors
    /// If an object of that kind, namespace and name is there already.
    pub fn import(&mut self, mut object: Object, events: &mut Vec<WatchEvent>) -> Reply {
        let kind = object.kind();
        let meta = object.meta();
        if self.find_like(&object, &meta.name).is_some() {
            return Err(create::already_exists(kind, &meta.name, false));
        }
        let unset = meta.uid.is_unset();
        let uid = if unset { self.next_uid() } else { meta.uid };
        object.meta_mut().uid = uid;
        if let Object::Pod(pod) = &mut object {
            let admitted = self.admit_spec(&pod.spec, Symbol::empty());
            Arc::make_mut(pod).spec = admitted.map_or_else(|_| pod.spec.clone(), |admitted| admitted.0);
        }
        Ok(self.insert(object, events))
    }

    /// The object in a row.
    pub fn get(&self, target: ObjectRef) -> Option<&Object> {
        self.arena(target.kind).rows.get(target.id as usize)?.as_ref()
    }

    /// The object of a type in a row.
    pub fn typed<T: Typed>(&self, id: u32) -> Option<&Arc<T>> {
        self.get(ObjectRef { kind: T::KIND, id }).and_then(T::of)
    }

    /// The object with this name; the namespace is empty for kinds of cluster scope.
    pub fn find(&self, kind: Kind, namespace: Symbol, name: &str) -> Option<&Object> {
        let id = *self.arena(kind).by_name.get(&(namespace, CompactString::from(name)))?;
        self.get(ObjectRef { kind, id })
    }

    /// The object of the untyped lane with this `apiVersion`, `kind`, namespace and name.
    pub fn find_untyped(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Symbol,
        name: &str,
    ) -> Option<&Object> {
        let key = untyped_name(api_version, kind, name);
        let id = *self.arena(Kind::Untyped).by_name.get(&(namespace, key))?;
        self.get(ObjectRef { kind: Kind::Untyped, id })
    }

    /// The object that is called `name` and is otherwise of the kind and in the namespace of `object`.
    pub(crate) fn find_like(&self, object: &Object, name: &str) -> Option<&Object> {
        let namespace = object.meta().namespace;
        match object {
            Object::Untyped(untyped) => {
                self.find_untyped(untyped.api_version.as_str(), untyped.kind.as_str(), namespace, name)
            }
            _ => self.find(object.kind(), namespace, name),
        }
    }

    /// All objects of a kind, in the order of their rows.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.arena(kind).rows.iter().flatten()
    }

    /// All objects of a type, in the order of their rows.
    pub fn list_typed<T: Typed>(&self) -> impl Iterator<Item = &Arc<T>> {
        self.list(T::KIND).filter_map(T::of)
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.arena(kind).by_name.len()
    }

    fn arena(&self, kind: Kind) -> &Arena {
        &self.arenas[kind as usize]
    }

    /// The object in a row, or the answer that there is none.
    fn require(&self, target: ObjectRef) -> Result<&Object, ApiError> {
        self.get(target).ok_or_else(|| ApiError::not_found(target.kind, "(deleted)"))
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// A random UUID of version 4, from the server's stream.
    pub(crate) fn next_uid(&mut self) -> Uid {
        let high = self.uids.next_u64() & !0xF000 | 0x4000;
        let low = self.uids.next_u64() >> 2 | 1 << 63;
        Uid::from_bits(high, low)
    }

    /// Puts a new object into a new row.
    fn insert(&mut self, mut object: Object, events: &mut Vec<WatchEvent>) -> Object {
        let kind = object.kind();
        let revision = self.next_revision();
        let arena = &mut self.arenas[kind as usize];
        let id =
            u32::try_from(arena.rows.len()).expect("invariant: fewer than 2^32 objects of a kind in one run");
        let meta = object.meta_mut();
        meta.id = id;
        meta.resource_version = revision;
        arena.by_name.insert(index_key(&object), id);
        arena.rows.push(Some(object.clone()));
        self.policy_changed(&object, Change::Added);
        events.push(WatchEvent { change: Change::Added, object: object.clone() });
        object
    }

    /// Writes a new version of an object that is there.
    fn replace(&mut self, mut object: Object, events: &mut Vec<WatchEvent>) -> Object {
        let revision = self.next_revision();
        let meta = object.meta_mut();
        meta.resource_version = revision;
        let id = meta.id as usize;
        self.policy_changed(&object, Change::Modified);
        self.arenas[object.kind() as usize].rows[id] = Some(object.clone());
        events.push(WatchEvent { change: Change::Modified, object: object.clone() });
        object
    }

    /// What admission goes by has changed.
    fn policy_changed(&mut self, object: &Object, change: Change) {
        let kind = object.kind();
        if matches!(kind, Kind::PriorityClass | Kind::LimitRange) {
            self.admitted.clear();
        }
        if matches!(kind, Kind::ResourceQuota | Kind::LimitRange) {
            let rows = self.policies.entry((kind, object.meta().namespace)).or_default();
            match change {
                Change::Added => rows.push(object.meta().id),
                Change::Modified => {}
                Change::Deleted => rows.retain(|row| *row != object.meta().id),
            }
        }
    }

    /// The quotas or limit ranges of a namespace, in the order of their names.
    fn policies<T: Typed>(&self, namespace: Symbol) -> Vec<Arc<T>> {
        let rows = self.policies.get(&(T::KIND, namespace));
        let mut objects: Vec<Arc<T>> =
            rows.into_iter().flatten().filter_map(|&row| self.typed::<T>(row)).cloned().collect();
        objects.sort_by(|a, b| a.meta().name.cmp(&b.meta().name));
        objects
    }

    /// Takes an object out of the store; the event carries its last version with the revision of
    /// its removal.
    fn remove(&mut self, mut object: Object, events: &mut Vec<WatchEvent>) -> Object {
        let revision = self.next_revision();
        let meta = object.meta_mut();
        meta.resource_version = revision;
        let id = meta.id as usize;
        let key = index_key(&object);
        self.policy_changed(&object, Change::Deleted);
        let arena = &mut self.arenas[object.kind() as usize];
        arena.rows[id] = None;
        arena.by_name.remove(&key);
        events.push(WatchEvent { change: Change::Deleted, object: object.clone() });
        object
    }
}

/// The name under which an object of the untyped lane is found, where many kinds share one index.
fn untyped_name(api_version: &str, kind: &str, name: &str) -> CompactString {
    compact_str::format_compact!("{api_version}/{kind}/{name}")
}

fn index_key(object: &Object) -> (Symbol, CompactString) {
    let meta = object.meta();
    match object {
        Object::Untyped(untyped) => {
            let key = untyped_name(untyped.api_version.as_str(), untyped.kind.as_str(), &meta.name);
            (meta.namespace, key)
        }
        _ => (meta.namespace, meta.name.clone()),
    }
}

#[cfg(test)]
mod admission_tests;
#[cfg(test)]
mod tests;
