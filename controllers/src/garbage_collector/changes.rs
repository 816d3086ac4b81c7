//! What changes of objects mean for the graph, and what must be looked at because of them.

use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::meta::{ObjectMeta, OwnerRef};
use seatrial_api::object::Object;

use super::graph::{Identity, Item, identity_of};
use super::{GarbageCollector, orphans_dependents, waits_for_dependents};
use crate::framework::Context;

impl GarbageCollector {
    /// An object appeared or changed.
    pub(super) fn changed(&mut self, cx: &mut Context<'_>, object: &Object, old: Option<&Object>) {
        let meta = object.meta();
        if old.is_none() {
            self.appeared(cx, object);
        }
        let before = old.map_or(&[][..], |old| old.meta().owner_refs());
        let shared = old.is_some_and(|old| same_owners(old.meta(), meta));
        if !shared {
            self.owners_changed(cx, object, before);
        }
        let target = object.object_ref();
        if orphans_dependents(meta) && !old.is_some_and(|old| orphans_dependents(old.meta())) {
            self.enqueue(cx, Item::Orphan(target));
        } else if waits_for_dependents(meta) && !old.is_some_and(|old| waits_for_dependents(old.meta())) {
            let dependents =
                self.graph.owner(meta.uid).map(|owner| owner.dependents.clone()).unwrap_or_default();
            for dependent in dependents {
                self.enqueue(cx, Item::Object(dependent));
            }
            self.enqueue(cx, Item::Object(target));
        }
    }

    /// An object appeared: others may have named it as their owner already.
    fn appeared(&mut self, cx: &mut Context<'_>, object: &Object) {
        let Some(owner) = self.graph.owner_mut(object.meta().uid) else { return };
        owner.observed = Some(object.object_ref());
        let dependents = owner.dependents.clone();
        for dependent in dependents {
            let Some(dependent) = cx.caches.object(dependent) else { continue };
            self.check_reference(cx, &dependent, object);
        }
    }

    /// A reference that names its owner wrongly is looked at.
    fn check_reference(&mut self, cx: &mut Context<'_>, dependent: &Object, owner: &Object) {
        let (meta, owner_meta) = (dependent.meta(), owner.meta());
        let elsewhere = !owner_meta.namespace.is_empty() && owner_meta.namespace != meta.namespace;
        let mut is_wrong = false;
        for reference in meta.owner_refs().iter().filter(|reference| reference.uid == owner_meta.uid) {
            if elsewhere {
                report_namespace(cx, dependent, reference);
            }
            is_wrong |= elsewhere || !names(reference, owner);
        }
        if is_wrong {
            self.enqueue(cx, Item::Object(dependent.object_ref()));
        }
    }

    fn owners_changed(&mut self, cx: &mut Context<'_>, object: &Object, before: &[OwnerRef]) {
        let (meta, target) = (object.meta(), object.object_ref());
        let references = meta.owner_refs();
        for old in before {
            let new = references.iter().find(|new| new.uid == old.uid);
            let unblocks = old.block_owner_deletion && new.is_none_or(|new| !new.block_owner_deletion);
            let owner = self.graph.owner(old.uid).and_then(|owner| owner.observed);
            if new.is_none() {
                self.graph.unlink(old.uid, target);
            }
            if let (Some(owner), true) = (owner, unblocks) {
                self.enqueue(cx, Item::Object(owner));
            }
        }
        let added = references.iter().filter(|new| before.iter().all(|old| old.uid != new.uid));
        for reference in added {
            let is_new = self.graph.link(cx.caches, reference, target, meta.namespace);
            let Some(owner) = self.graph.owner(reference.uid) else { continue };
            match owner.observed.and_then(|owner| cx.caches.object(owner)) {
                Some(owner) => self.check_reference(cx, object, &owner),
                None if is_new => self.enqueue(cx, Item::Virtual(reference.uid)),
                None if owner.identity == Identity::referred(reference, meta.namespace) => {}
                None => self.enqueue(cx, Item::Object(target)),
            }
        }
    }

    /// An object is gone: its dependents have lost it, its owners may have waited for it.
    pub(super) fn removed(&mut self, cx: &mut Context<'_>, object: &Object) {
        let (meta, target) = (object.meta(), object.object_ref());
        for item in [Item::Object(target), Item::Orphan(target)] {
            self.graph.release(item);
        }
        if let Some(owner) = self.graph.remove_owner(meta.uid) {
            self.graph.note_absent(identity_of(object));
            for dependent in owner.dependents {
                self.enqueue(cx, Item::Object(dependent));
            }
        }
        for reference in meta.owner_refs() {
            let owner = self.graph.owner(reference.uid).and_then(|owner| owner.observed);
            self.graph.unlink(reference.uid, target);
            let waits = owner.and_then(|owner| cx.caches.object(owner));
            if let Some(owner) = waits.filter(|owner| waits_for_dependents(owner.meta())) {
                self.enqueue(cx, Item::Object(owner.object_ref()));
            }
        }
    }
}

/// Whether a reference names its owner as it is.
fn names(reference: &OwnerRef, owner: &Object) -> bool {
    let (kind, api_version) = match owner {
        Object::Untyped(untyped) => (untyped.kind.as_str(), untyped.api_version.as_str()),
        typed => (typed.kind().as_str(), typed.kind().api_version()),
    };
    reference.name == owner.meta().name && reference.kind == kind && reference.api_version == api_version
}

/// Whether both versions have the same owners, usually because they share the list.
fn same_owners(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    match (&old.owners, &new.owners) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => false,
    }
}

/// Tells that an object names an owner in another namespace.
fn report_namespace(cx: &mut Context<'_>, dependent: &Object, owner: &OwnerRef) {
    let (object, namespace) = (dependent.object_ref(), dependent.meta().namespace);
    cx.event(object, Severity::Warning, "OwnerRefInvalidNamespace", || {
        format!(
            "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {}] does not exist in namespace \"{namespace}\"",
            owner.api_version, owner.kind, owner.name, owner.uid
        )
    });
}
