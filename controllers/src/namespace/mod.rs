//! The namespace controller (upstream `pkg/controller/namespace`): empties a
//! namespace that is going away, pods first, and lets it go when nothing is left.
//!
//! Model: what is in the namespace is taken from the caches, where upstream lists each resource, and
//! deleted by one request after another, where upstream asks for a collection whose objects the server
//! deletes one after another.

mod plan;

use std::sync::Arc;

use seatrial_api::config::Namespace;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::Pod;
use seatrial_api::request::{
    Change, DeleteOptions, ErrorReason, Patch, Propagation, Reply, Request, Subresource,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use crate::Config;
use crate::framework::{Client, Context, Controller, Event, Mode, Next, Replies, RetryPolicy, Runner};

pub use plan::{Remains, grace_estimate};

/// How long a deletion waits, so that the API servers have noticed it.
const DELAY: Span = Span::from_secs(5);
/// Workers of the controller.
const WORKERS: usize = 10;

/// The controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamespaceController;

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The namespace is being read.
    Read,
    /// Its pods are being deleted.
    Pods,
    /// Everything else is being deleted.
    Others,
    /// Its conditions are being written.
    Conditions,
    /// Its finalizer is being taken away.
    Finalize,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    namespace: Option<Arc<Namespace>>,
    estimate: i64,
    remains: Remains,
}

impl NamespaceController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<NamespaceController> {
        let retry = RetryPolicy { limit: Span::from_secs(60), ..RetryPolicy::standard() };
        Runner::new(id, NamespaceController, retry, Client::new(config.client_limits.times(20, 100)), WORKERS)
    }

    /// Deletes the pods; without any, everything else.
    fn delete_pods(&self, cx: &Context<'_>, sync: &mut Sync) -> Next {
        let Some(namespace) = sync.namespace.clone() else { return Next::Done };
        let Some(deletion) = namespace.meta.deletion().filter(|_| !namespace.finalized) else {
            return Next::Done;
        };
        let name = Symbol::new(&namespace.meta.name);
        let pods: Vec<&Arc<Pod>> = cx.caches.pods.iter().filter(|pod| pod.meta.namespace == name).collect();
        if pods.is_empty() {
            return self.delete_others(cx, sync);
        }
        sync.stage = Stage::Pods;
        sync.estimate = grace_estimate(pods.iter().map(|pod| &***pod), cx.now - deletion.at);
        Next::batch(Mode::EachInTurn, pods.into_iter().map(|pod| delete(&Object::Pod(pod.clone()))).collect())
    }

    fn delete_others(&self, cx: &Context<'_>, sync: &mut Sync) -> Next {
        let Some(namespace) = sync.namespace.clone() else { return Next::Done };
        let objects = cx.caches.in_namespace(Symbol::new(&namespace.meta.name));
        sync.stage = Stage::Others;
        if objects.is_empty() {
            return self.write_conditions(cx, sync, false);
        }
        Next::batch(Mode::EachInTurn, objects.iter().map(delete).collect())
    }

    /// Pods were deleted: while some are left, nothing else is touched.
    fn pods_deleted(&self, cx: &Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        self.take_stock(sync, replies);
        if sync.remains == Remains::default() {
            self.delete_others(cx, sync)
        } else {
            self.write_conditions(cx, sync, true)
        }
    }

    /// Looks at what is left, kind by kind.
    fn take_stock(&self, sync: &mut Sync, replies: &Replies) {
        let Some(namespace) = &sync.namespace else { return };
        let name = Symbol::new(&namespace.meta.name);
        let estimate = std::mem::take(&mut sync.estimate);
        let left: Vec<&Object> = replies.iter().flatten().filter_map(remaining).collect();
        for object in &left {
            sync.remains.add(object);
        }
        for kind in Kind::ALL {
            let of_kind: Vec<&Object> =
                left.iter().copied().filter(|object| object.kind() == *kind).collect();
            sync.remains.judge(name, &of_kind, if *kind == Kind::Pod { estimate } else { 0 });
        }
        let errors = replies.iter().flatten().filter_map(|reply| reply.as_ref().err());
        let errors = errors.filter(|error| error.reason != ErrorReason::NotFound);
        sync.remains.errors.extend(errors.map(ToString::to_string));
    }

    fn write_conditions(&self, cx: &Context<'_>, sync: &mut Sync, only_pods: bool) -> Next {
        let Some(namespace) = sync.namespace.clone() else { return Next::Done };
        sync.stage = Stage::Conditions;
        match sync.remains.conditions(&namespace.conditions, cx.now, only_pods) {
            Some(conditions) => {
                let object = Namespace { conditions, ..Namespace::clone(&namespace) };
                let object = Object::Namespace(Arc::new(object));
                Next::send(Request::Update { object, subresource: Subresource::Status })
            }
            None => self.conclude(sync),
        }
    }

    /// Everything is said: if nothing is left, the namespace may go.
    fn conclude(&self, sync: &mut Sync) -> Next {
        let Some(namespace) = &sync.namespace else { return Next::Done };
        if !sync.remains.errors.is_empty() {
            return Next::Retry;
        }
        sync.stage = Stage::Finalize;
        if sync.remains.estimate > 0 {
            return Next::Done;
        }
        let target = namespace.meta.object_ref(Kind::Namespace);
        let patch = Patch::RemoveFinalizers(vec![Symbol::new("kubernetes")]);
        Next::send(Request::Patch { target, patch })
    }
}

impl Controller for NamespaceController {
    type Sync = Sync;

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        if let Object::Namespace(namespace) = event.object
            && event.change != Change::Deleted
            && namespace.meta.is_deleting()
        {
            cx.queue.add_at(cx.now + DELAY, namespace.meta.id);
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let reply = replies.first().and_then(Option::as_ref);
        let next = match (sync.stage, reply) {
            (Stage::Start, _) => {
                let Some(namespace) = cx.caches.namespaces.get(key) else { return Next::Done };
                sync.stage = Stage::Read;
                let name = namespace.meta.name.clone();
                return Next::send(Request::Get { kind: Kind::Namespace, namespace: Symbol::empty(), name });
            }
            (Stage::Read, Some(Ok(Object::Namespace(namespace)))) => {
                sync.namespace = Some(namespace.clone());
                self.delete_pods(cx, sync)
            }
            (Stage::Pods, _) => self.pods_deleted(cx, sync, replies),
            (Stage::Others, _) => {
                self.take_stock(sync, replies);
                self.write_conditions(cx, sync, false)
            }
            (Stage::Conditions, _) => self.conclude(sync),
            (Stage::Read | Stage::Finalize, Some(Err(error))) if error.reason != ErrorReason::NotFound => {
                Next::Retry
            }
            _ => Next::Done,
        };
        if matches!(next, Next::Done) && sync.remains.estimate > 0 {
            cx.queue.add_at(cx.now + Span::from_secs(sync.remains.estimate / 2 + 1), key);
        }
        next
    }
}

fn delete(object: &Object) -> Request {
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    Request::Delete { target: object.object_ref(), options }
}

/// The object that a deletion has left: one with a grace period or held by finalizers.
fn remaining(reply: &Reply) -> Option<&Object> {
    let object = reply.as_ref().ok()?;
    let meta = object.meta();
    let has_grace = meta.deletion().is_some_and(|deletion| deletion.grace_seconds > 0);
    (has_grace || !meta.finalizers().is_empty()).then_some(object)
}
