//! The garbage collector (upstream `pkg/controller/garbagecollector`): removes
//! what has lost all its owners, in the background or before its owners, or lets it go.
//!
//! An owner is absent only if a live read by kind and name finds nothing, or something of another
//! uid. Owners that a state dump left out are assumed to be present ([`crate::Config`]). An object
//! whose owner is of an unknown kind is left alone until that owner is seen; upstream asks again
//! and again meanwhile.

mod changes;
mod graph;
mod plan;

use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::object::{Object, ObjectRef};
use seatrial_api::request::{Change, DeleteOptions, ErrorReason, Patch, Propagation, Reply, Request};
use seatrial_api::store::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
use seatrial_api::symbol::Symbol;

use crate::Config;
use crate::framework::{Client, Context, Controller, Event, Mode, Next, Replies, RetryPolicy, Runner};
use graph::{Graph, Identity, Item, identity_of, known_kind};

pub use plan::{
    Dependents, OwnerState, Plan as GarbagePlan, orphans_dependents, plan as plan_garbage,
    waits_for_dependents,
};

/// Workers of the controller.
const WORKERS: usize = 20;

/// The controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct GarbageCollector {
    graph: Graph,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The object, or the virtual owner, is being read.
    Read,
    /// Its owners are being read.
    Owners,
    /// Its references cease to block, then it is deleted foreground.
    Unblock,
    /// It is being deleted.
    Delete,
    /// It is being read again, because it changed before it was deleted.
    Reread,
    /// The dependents are being let go.
    Orphan,
    /// It is being read, so that its finalizer can be taken away.
    Finalizer(&'static str),
    /// The last request of the sync.
    Last,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    /// What the sync is about: its key may be given to another item meanwhile.
    item: Option<Item>,
    latest: Option<Object>,
    /// What is known of each owner; `None` for those that are being read.
    owners: Vec<Option<OwnerState>>,
    propagation: Option<Propagation>,
}

impl GarbageCollector {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<GarbageCollector> {
        let client = Client::new(config.client_limits.times(2, 1));
        Runner::new(id, GarbageCollector::default(), RetryPolicy::standard(), client, WORKERS)
    }

    fn enqueue(&mut self, cx: &mut Context<'_>, item: Item) {
        let key = self.graph.key(item);
        cx.queue.add(key);
    }

    fn start(&mut self, cx: &mut Context<'_>, item: Item, sync: &mut Sync) -> Next {
        sync.stage = Stage::Read;
        sync.item = Some(item);
        match item {
            Item::Virtual(uid) => match self.graph.owner(uid).filter(|owner| owner.observed.is_none()) {
                Some(_) if cx.config.assumed_owners.contains(&uid) => Next::Done,
                Some(owner) => read(&owner.identity).map_or(Next::Done, Next::send),
                None => Next::Done,
            },
            Item::Orphan(target) => {
                let Some(object) = cx.caches.object(target) else { return Next::Done };
                self.orphan(&object, sync)
            }
            Item::Object(target) => {
                let Some(object) = cx.caches.object(target) else { return Next::Done };
                if object.meta().is_deleting() && !waits_for_dependents(object.meta()) {
                    return Next::Done;
                }
                match read(&identity_of(&object)) {
                    Some(request) => Next::send(request),
                    None => self.judge(cx, object, sync),
                }
            }
        }
    }

    /// Lets the dependents of an object go, all at once.
    fn orphan(&mut self, object: &Object, sync: &mut Sync) -> Next {
        sync.stage = Stage::Orphan;
        let uid = object.meta().uid;
        let dependents = self.graph.owner(uid).map(|owner| owner.dependents.clone()).unwrap_or_default();
        let release = |target| Request::Patch { target, patch: Patch::RemoveOwners(vec![uid]) };
        let requests: Vec<Request> = dependents.into_iter().map(release).collect();
        if requests.is_empty() {
            return read_for_finalizer(object, FINALIZER_ORPHAN, sync);
        }
        Next::batch(Mode::Parallel, requests)
    }

    /// A virtual owner was read: without it its dependents are looked at.
    fn virtual_read(&mut self, cx: &mut Context<'_>, uid: Uid, reply: &Reply) -> Next {
        match reply {
            Ok(object) if object.meta().uid == uid => return Next::Done,
            Ok(_) => {}
            Err(error) if error.reason == ErrorReason::NotFound => {}
            Err(_) => return Next::Retry,
        }
        let Some(owner) = self.graph.owner(uid) else { return Next::Done };
        let (identity, dependents) = (owner.identity.clone(), owner.dependents.clone());
        self.graph.note_absent(identity);
        self.graph.release(Item::Virtual(uid));
        for dependent in dependents {
            self.enqueue(cx, Item::Object(dependent));
        }
        Next::Done
    }

    /// An object was read: what of its owners?
    fn judge(&mut self, cx: &mut Context<'_>, latest: Object, sync: &mut Sync) -> Next {
        let target = latest.object_ref();
        if cx.caches.object(target).is_some_and(|cached| waits_for_dependents(cached.meta())) {
            return self.wait_for_dependents(cx, target, sync);
        }
        let (mut requests, mut owners) = (Vec::new(), Vec::new());
        for reference in latest.meta().owner_refs() {
            let identity = Identity::referred(reference, latest.meta().namespace);
            let known = match self.known_state(cx, reference, &identity, latest.meta()) {
                Ok(known) => known,
                // An owner of an unknown kind, or one that such an object cannot have.
                Err(()) => return Next::Done,
            };
            if known.is_none() {
                requests.extend(read(&identity));
            }
            owners.push(known);
        }
        sync.latest = Some(latest);
        sync.owners = owners;
        if requests.is_empty() {
            return self.act(cx, sync);
        }
        sync.stage = Stage::Owners;
        Next::batch(Mode::EachInTurn, requests)
    }

    /// What is known of an owner without reading it.
    fn known_state(
        &self,
        cx: &Context<'_>,
        reference: &OwnerRef,
        identity: &Identity,
        dependent: &ObjectMeta,
    ) -> Result<Option<OwnerState>, ()> {
        if self.graph.is_absent(identity) {
            return Ok(Some(OwnerState::Absent));
        }
        if cx.config.assumed_owners.contains(&reference.uid) {
            return Ok(Some(OwnerState::Solid));
        }
        match known_kind(reference.kind, reference.api_version) {
            Some(kind) if kind.is_namespaced() && dependent.namespace.is_empty() => Err(()),
            Some(_) => Ok(None),
            None => match graph::find(cx.caches, reference.kind, reference.uid) {
                Some(owner) => Ok(Some(state_of(owner.meta()))),
                None => Err(()),
            },
        }
    }

    /// The owners were read.
    fn owners_read(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(latest) = sync.latest.clone() else { return Next::Done };
        let mut replies = replies.iter().flatten();
        for (state, reference) in sync.owners.iter_mut().zip(latest.meta().owner_refs()) {
            if state.is_some() {
                continue;
            }
            *state = match replies.next() {
                Some(Ok(owner)) if owner.meta().uid == reference.uid => Some(state_of(owner.meta())),
                Some(Err(error)) if error.reason != ErrorReason::NotFound => return Next::Retry,
                _ => {
                    self.graph.note_absent(Identity::referred(reference, latest.meta().namespace));
                    Some(OwnerState::Absent)
                }
            };
        }
        self.act(cx, sync)
    }

    /// Does what the states of the owners call for.
    fn act(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(latest) = sync.latest.clone() else { return Next::Done };
        let target = latest.object_ref();
        let owners: Vec<OwnerState> = sync.owners.iter().flatten().copied().collect();
        match plan_garbage(latest.meta(), &owners, self.dependents(cx, latest.meta().uid)) {
            GarbagePlan::Keep => Next::Done,
            GarbagePlan::DropOwners(lost) => {
                sync.stage = Stage::Last;
                Next::send(Request::Patch { target, patch: Patch::RemoveOwners(lost) })
            }
            GarbagePlan::DeleteForeground { unblocked: Some(references) } => {
                sync.stage = Stage::Unblock;
                Next::send(Request::Patch { target, patch: Patch::Owners(references) })
            }
            GarbagePlan::DeleteForeground { unblocked: None } => {
                delete(target, Some(latest.meta().resource_version), Propagation::Foreground, sync)
            }
            GarbagePlan::Delete(propagation) => {
                delete(target, Some(latest.meta().resource_version), propagation, sync)
            }
        }
    }

    fn dependents(&self, cx: &Context<'_>, uid: Uid) -> Dependents {
        let Some(owner) = self.graph.owner(uid).filter(|owner| !owner.dependents.is_empty()) else {
            return Dependents::None;
        };
        let waits = |target: &ObjectRef| {
            cx.caches.object(*target).is_some_and(|object| waits_for_dependents(object.meta()))
        };
        if owner.dependents.iter().any(waits) { Dependents::Waiting } else { Dependents::Some }
    }

    /// An object waits for its dependents: those that block are deleted, then it may go.
    fn wait_for_dependents(&mut self, cx: &mut Context<'_>, target: ObjectRef, sync: &mut Sync) -> Next {
        let Some(object) = cx.caches.object(target) else { return Next::Done };
        let uid = object.meta().uid;
        let dependents = self.graph.owner(uid).map(|owner| owner.dependents.clone()).unwrap_or_default();
        let mut blocked = false;
        for dependent in dependents {
            let Some(dependent) = cx.caches.object(dependent) else { continue };
            let references = dependent.meta().owner_refs();
            if !references.iter().any(|reference| reference.uid == uid && reference.block_owner_deletion) {
                continue;
            }
            blocked = true;
            if !waits_for_dependents(dependent.meta()) {
                self.enqueue(cx, Item::Object(dependent.object_ref()));
            }
        }
        if blocked { Next::Done } else { read_for_finalizer(&object, FINALIZER_FOREGROUND, sync) }
    }

    /// The deletion was answered.
    fn deleted(&mut self, sync: &mut Sync, reply: &Reply) -> Next {
        match (reply, &sync.latest) {
            (Ok(_), _) => Next::Done,
            (Err(error), _) if error.reason == ErrorReason::NotFound => Next::Done,
            (Err(error), Some(latest)) if error.reason == ErrorReason::Conflict => {
                sync.stage = Stage::Reread;
                read(&identity_of(latest)).map_or(Next::Retry, Next::send)
            }
            _ => Next::Retry,
        }
    }

    /// The object changed before it was deleted: if its owners are the same, it goes nevertheless.
    fn reread(&mut self, sync: &mut Sync, reply: &Reply) -> Next {
        let (Some(latest), Some(propagation)) = (sync.latest.clone(), sync.propagation) else {
            return Next::Done;
        };
        match reply {
            Ok(object) if object.meta().uid != latest.meta().uid => Next::Retry,
            Ok(object) if object.meta().owner_refs() == latest.meta().owner_refs() => {
                sync.latest = None;
                delete(latest.object_ref(), None, propagation, sync)
            }
            Err(error) if error.reason == ErrorReason::NotFound => Next::Done,
            _ => Next::Retry,
        }
    }
}

impl Controller for GarbageCollector {
    type Sync = Sync;

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.change {
            Change::Deleted => self.removed(cx, event.object),
            Change::Added | Change::Modified => self.changed(cx, event.object, event.old),
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(item) = sync.item.or_else(|| self.graph.item(key)) else { return Next::Done };
        let reply = replies.first().and_then(Option::as_ref);
        match (sync.stage, item, reply) {
            (Stage::Start, _, _) => self.start(cx, item, sync),
            (Stage::Read, Item::Virtual(uid), Some(reply)) => self.virtual_read(cx, uid, reply),
            (Stage::Read, _, Some(Ok(latest))) if is_of(item, latest) => self.judge(cx, latest.clone(), sync),
            (Stage::Read | Stage::Last, _, Some(Err(error))) if error.reason != ErrorReason::NotFound => {
                Next::Retry
            }
            (Stage::Owners, _, _) => self.owners_read(cx, sync, replies),
            (Stage::Unblock, Item::Object(target), Some(Ok(_))) => {
                delete(target, None, Propagation::Foreground, sync)
            }
            (Stage::Unblock, _, _) => Next::Retry,
            (Stage::Delete, _, Some(reply)) => self.deleted(sync, reply),
            (Stage::Reread, _, Some(reply)) => self.reread(sync, reply),
            (Stage::Orphan, Item::Orphan(target), _) => {
                let is_failure =
                    |reply: &Reply| reply.as_ref().is_err_and(|error| error.reason != ErrorReason::NotFound);
                if replies.iter().flatten().any(is_failure) {
                    return Next::Retry;
                }
                let Some(object) = cx.caches.object(target) else { return Next::Done };
                read_for_finalizer(&object, FINALIZER_ORPHAN, sync)
            }
            (Stage::Finalizer(finalizer), _, Some(Ok(owner))) => take_finalizer(owner, finalizer, sync),
            (Stage::Finalizer(_), _, Some(Err(error))) if error.reason != ErrorReason::NotFound => {
                Next::Retry
            }
            _ => Next::Done,
        }
    }
}

/// Whether an object that was read is the one that the item is about.
fn is_of(item: Item, latest: &Object) -> bool {
    matches!(item, Item::Object(target) if target == latest.object_ref())
}

fn state_of(owner: &ObjectMeta) -> OwnerState {
    if waits_for_dependents(owner) { OwnerState::Waiting } else { OwnerState::Solid }
}

/// The live read of an object; none for kinds that are not known.
fn read(identity: &Identity) -> Option<Request> {
    let kind = known_kind(identity.kind, identity.api_version)?;
    Some(Request::Get { kind, namespace: identity.namespace, name: identity.name.clone() })
}

/// Reads an owner whose dependents hold it up no longer.
fn read_for_finalizer(object: &Object, finalizer: &'static str, sync: &mut Sync) -> Next {
    sync.stage = Stage::Finalizer(finalizer);
    read(&identity_of(object)).map_or_else(|| take_finalizer(object, finalizer, sync), Next::send)
}

fn take_finalizer(owner: &Object, finalizer: &str, sync: &mut Sync) -> Next {
    sync.stage = Stage::Last;
    let finalizer = Symbol::new(finalizer);
    if !owner.meta().finalizers().contains(&finalizer) {
        return Next::Done;
    }
    let patch = Patch::RemoveFinalizers(vec![finalizer]);
    Next::send(Request::Patch { target: owner.object_ref(), patch })
}

fn delete(
    target: ObjectRef,
    resource_version: Option<u64>,
    propagation: Propagation,
    sync: &mut Sync,
) -> Next {
    sync.stage = Stage::Delete;
    sync.propagation = Some(propagation);
    let options =
        DeleteOptions { propagation: Some(propagation), resource_version, ..DeleteOptions::default() };
    Next::send(Request::Delete { target, options })
}
