//! Who depends on whom, as the watch has shown it.

use std::collections::{BTreeSet, VecDeque};

use compact_str::CompactString;
use rustc_hash::{FxHashMap, FxHashSet};
use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::symbol::Symbol;

use crate::framework::Caches;

/// How many absent owners are remembered.
const ABSENT_MAX: usize = 500;

/// An owner as references name it, together with the namespace in which it is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) kind: Symbol,
    pub(super) api_version: Symbol,
    pub(super) name: CompactString,
    pub(super) uid: Uid,
    /// Empty for kinds of cluster scope.
    pub(super) namespace: Symbol,
}

impl Identity {
    /// The owner that a dependent in `namespace` refers to.
    pub(super) fn referred(owner: &OwnerRef, namespace: Symbol) -> Identity {
        let kind = known_kind(owner.kind, owner.api_version);
        let cluster_scoped = kind.is_some_and(|kind| !kind.is_namespaced());
        Identity {
            kind: owner.kind,
            api_version: owner.api_version,
            name: owner.name.clone(),
            uid: owner.uid,
            namespace: if cluster_scoped { Symbol::empty() } else { namespace },
        }
    }
}

/// A kind that the system knows, with its group.
pub(super) fn known_kind(kind: Symbol, api_version: Symbol) -> Option<Kind> {
    let group = api_version.as_str().split_once('/').map_or("", |(group, _)| group);
    Kind::parse(kind.as_str()).filter(|kind| kind.group() == group)
}

/// An object that others name as their owner.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// The object, if the watch has shown it; without it the owner is virtual.
    pub(super) observed: Option<ObjectRef>,
    /// As the first dependent names it.
    pub(super) identity: Identity,
    pub(super) dependents: BTreeSet<ObjectRef>,
}

/// What the collector works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// An object whose owners may be gone, or that waits for its dependents.
    Object(ObjectRef),
    /// An owner that no watch has shown.
    Virtual(Uid),
    /// An owner whose dependents lose their reference.
    Orphan(ObjectRef),
}

/// The graph, and the items that have a key of the work queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    owners: FxHashMap<Uid, Owner>,
    absent: FxHashSet<Identity>,
    absent_order: VecDeque<Identity>,
    items: Vec<Item>,
    keys: FxHashMap<Item, u32>,
    free: Vec<u32>,
}

impl Graph {
    pub(super) fn owner(&self, uid: Uid) -> Option<&Owner> {
        self.owners.get(&uid)
    }

    pub(super) fn owner_mut(&mut self, uid: Uid) -> Option<&mut Owner> {
        self.owners.get_mut(&uid)
    }

    /// Takes an owner out.
    pub(super) fn remove_owner(&mut self, uid: Uid) -> Option<Owner> {
        self.owners.remove(&uid)
    }

    /// Adds a dependent to an owner. Returns whether the owner was not in the graph before.
    pub(super) fn link(
        &mut self,
        caches: &Caches,
        owner: &OwnerRef,
        dependent: ObjectRef,
        namespace: Symbol,
    ) -> bool {
        let mut is_new = false;
        let entry = self.owners.entry(owner.uid).or_insert_with(|| {
            is_new = true;
            Owner {
                observed: find(caches, owner.kind, owner.uid).map(|object| object.object_ref()),
                identity: Identity::referred(owner, namespace),
                dependents: BTreeSet::new(),
            }
        });
        entry.dependents.insert(dependent);
        is_new
    }

    /// Takes a dependent from an owner; an owner without dependents needs no entry.
    pub(super) fn unlink(&mut self, owner: Uid, dependent: ObjectRef) {
        if let Some(entry) = self.owners.get_mut(&owner) {
            entry.dependents.remove(&dependent);
            if entry.dependents.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }

    /// Remembers that an owner does not exist.
    pub(super) fn note_absent(&mut self, identity: Identity) {
        if self.absent.insert(identity.clone()) {
            self.absent_order.push_back(identity);
            if self.absent_order.len() > ABSENT_MAX
                && let Some(oldest) = self.absent_order.pop_front()
            {
                self.absent.remove(&oldest);
            }
        }
    }

    pub(super) fn is_absent(&self, identity: &Identity) -> bool {
        self.absent.contains(identity)
    }

    /// The key of an item in the work queue.
    pub(super) fn key(&mut self, item: Item) -> u32 {
        if let Some(&key) = self.keys.get(&item) {
            return key;
        }
        let key = self.free.pop().unwrap_or(self.items.len() as u32);
        match self.items.get_mut(key as usize) {
            Some(place) => *place = item,
            None => self.items.push(item),
        }
        self.keys.insert(item, key);
        key
    }

    /// The item of a key.
    pub(super) fn item(&self, key: u32) -> Option<Item> {
        self.items.get(key as usize).copied()
    }

    /// Gives the key of an item back. If it still waits in the queue, the item that gets it next
    /// is looked at once too often, which changes nothing.
    pub(super) fn release(&mut self, item: Item) {
        if let Some(key) = self.keys.remove(&item) {
            self.free.push(key);
        }
    }
}

/// The cached object with an identity; of pods, which have no index by uid, by looking through them.
pub(super) fn find(caches: &Caches, kind: Symbol, uid: Uid) -> Option<Object> {
    match Kind::parse(kind.as_str()) {
        Some(Kind::Pod) => caches.pods.iter().find(|pod| pod.meta.uid == uid).cloned().map(Object::Pod),
        Some(kind) => caches.identified(kind, uid),
        None => caches.identified(Kind::Untyped, uid),
    }
}

/// The identity of an object that exists.
pub(super) fn identity_of(object: &Object) -> Identity {
    let (kind, api_version) = match object {
        Object::Untyped(untyped) => (untyped.kind, untyped.api_version),
        other => (Symbol::new(other.kind().as_str()), Symbol::new(other.kind().api_version())),
    };
    let meta: &ObjectMeta = object.meta();
    Identity { kind, api_version, name: meta.name.clone(), uid: meta.uid, namespace: meta.namespace }
}
