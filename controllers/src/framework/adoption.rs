//! Adoption: which pods without controller an owner's selector matches, and the requests by which
//! owners take dependents on and let them go.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::labels::Selector;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{ObjectRef, Typed};
use seatrial_api::pod::Pod;
use seatrial_api::request::{ApiError, ErrorReason, Patch, Reply, Request};
use seatrial_api::symbol::Symbol;

use super::{Batch, Caches, Mode, Replies, SelectorIndex, controller_ref};

/// The pods that each owner of a kind could adopt, kept up to date pod event by pod event, so that
/// a sync need not look through a namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adoptables {
    selectors: SelectorIndex,
    wanted: FxHashMap<u32, BTreeSet<u32>>,
    candidates: Vec<u32>,
}

impl Adoptables {
    /// Rows of the pods that an owner could adopt.
    pub(crate) fn of(&self, owner: u32) -> impl Iterator<Item = u32> + '_ {
        self.wanted.get(&owner).into_iter().flatten().copied()
    }

    /// Whether an owner could adopt some pod.
    pub(crate) fn has_any(&self, owner: u32) -> bool {
        self.wanted.get(&owner).is_some_and(|rows| !rows.is_empty())
    }

    /// Takes in an owner with its selector; the empty one selects nothing here.
    pub(crate) fn put_owner(
        &mut self,
        caches: &Caches,
        owner: &ObjectMeta,
        selector: &Selector,
        eligible: fn(&Pod) -> bool,
    ) {
        if selector.is_empty() {
            return self.remove_owner(owner.id);
        }
        self.selectors.put(owner.id, owner.namespace, selector);
        let orphans = caches.pods.orphans(owner.namespace);
        let matching = orphans.filter(|pod| eligible(pod) && selector.matches(&pod.meta.labels));
        let rows: BTreeSet<u32> = matching.map(|pod| pod.meta.id).collect();
        if rows.is_empty() {
            self.wanted.remove(&owner.id);
        } else {
            self.wanted.insert(owner.id, rows);
        }
    }

    /// Forgets an owner.
    pub(crate) fn remove_owner(&mut self, owner: u32) {
        self.selectors.remove(owner);
        self.wanted.remove(&owner);
    }

    /// Takes in a change of a pod. `selector_of` finds an owner's selector; `wake` is told the
    /// owners that could adopt the pod now and could not before.
    pub(crate) fn observe<'a>(
        &mut self,
        old: Option<&Pod>,
        new: Option<&Pod>,
        eligible: fn(&Pod) -> bool,
        selector_of: impl Fn(u32) -> Option<&'a Selector>,
        mut wake: impl FnMut(u32),
    ) {
        let adoptable = |pod: &&Pod| pod.meta.controller().is_none() && eligible(pod);
        let (old, new) = (old.filter(adoptable), new.filter(adoptable));
        if let (Some(old), Some(new)) = (old, new)
            && old.meta.labels == new.meta.labels
        {
            return;
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        if let Some(old) = old {
            self.selectors.candidates(old.meta.namespace, &old.meta.labels, &mut candidates);
            for owner in candidates.drain(..) {
                if let Some(rows) = self.wanted.get_mut(&owner) {
                    rows.remove(&old.meta.id);
                }
            }
        }
        if let Some(new) = new {
            self.selectors.candidates(new.meta.namespace, &new.meta.labels, &mut candidates);
            for owner in candidates.drain(..) {
                if selector_of(owner).is_some_and(|selector| selector.matches(&new.meta.labels)) {
                    self.wanted.entry(owner).or_default().insert(new.meta.id);
                    wake(owner);
                }
            }
        }
        self.candidates = candidates;
    }
}

/// Dependents that an owner wants to take on and others that it lets go.
#[derive(Clone, Debug)]
pub(crate) struct Claims<T> {
    /// To be taken on.
    pub(crate) adopt: Vec<Arc<T>>,
    /// To be let go.
    pub(crate) release: Vec<Arc<T>>,
}

impl<T> Default for Claims<T> {
    fn default() -> Claims<T> {
        Claims { adopt: Vec::new(), release: Vec::new() }
    }
}

impl<T: Typed> Claims<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.adopt.is_empty() && self.release.is_empty()
    }

    /// The requests, one after another, failures or not. Finalizers are given to what is adopted
    /// and taken from what is released.
    pub(crate) fn batch<O: Typed>(&self, owner: &O, finalizer: Option<Symbol>) -> Batch {
        let target = |object: &Arc<T>| ObjectRef { kind: T::KIND, id: object.meta().id };
        let adopt = self.adopt.iter().map(|object| {
            let mut owners = object.meta().owner_refs().to_vec();
            owners.push(controller_ref(O::KIND, owner.meta()));
            let add = finalizer.map(|finalizer| Patch::AddFinalizers(vec![finalizer]));
            Request::Patch { target: target(object), patch: both(Patch::Owners(owners), add) }
        });
        let release = self.release.iter().map(|object| {
            let others =
                object.meta().owner_refs().iter().filter(|owner_ref| owner_ref.uid != owner.meta().uid);
            let remove = finalizer.map(|finalizer| Patch::RemoveFinalizers(vec![finalizer]));
            Request::Patch {
                target: target(object),
                patch: both(Patch::Owners(others.cloned().collect()), remove),
            }
        });
        Batch { requests: adopt.chain(release).collect(), mode: Mode::EachInTurn }
    }

    /// What was adopted, as it is stored now; nothing if a request failed in a way that fails the
    /// sync.
    pub(crate) fn adopted(&self, replies: &Replies) -> Option<Vec<Arc<T>>> {
        if replies.iter().flatten().any(|reply| reply.as_ref().is_err_and(fails_sync)) {
            return None;
        }
        let adopted = replies.iter().take(self.adopt.len()).flatten().filter_map(|reply| reply.as_ref().ok());
        Some(adopted.filter_map(T::of).cloned().collect())
    }
}

fn both(first: Patch, second: Option<Patch>) -> Patch {
    match second {
        Some(second) => Patch::All(vec![first, second]),
        None => first,
    }
}

/// An object that is gone needs no owner.
fn fails_sync(error: &ApiError) -> bool {
    !matches!(error.reason, ErrorReason::NotFound | ErrorReason::Invalid)
}

/// Reads an object past the cache.
pub(crate) fn read_fresh<O: Typed>(object: &O) -> Request {
    let meta = object.meta();
    Request::Get { kind: O::KIND, namespace: meta.namespace, name: meta.name.clone() }
}

/// Whether the answer to [`read_fresh`] shows that the owner may still adopt.
pub(crate) fn may_adopt<O: Typed>(owner: &O, reply: Option<&Option<Reply>>) -> bool {
    match reply {
        Some(Some(Ok(fresh))) => fresh.meta().uid == owner.meta().uid && !fresh.meta().is_deleting(),
        _ => false,
    }
}
