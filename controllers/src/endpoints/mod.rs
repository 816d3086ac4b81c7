//! The endpoints controller (upstream `pkg/controller/endpoint`): keeps one Endpoints object for each
//! Service, as it was before there were EndpointSlices. It still runs in every cluster.
//!
//! Left out: the annotation with the time of the last change.

mod plan;

use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::labels::Labels;
use seatrial_api::machine::Severity;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::Pod;
use seatrial_api::request::{ApiError, Change, ErrorReason, Request, Subresource};
use seatrial_api::service::{Endpoints, Service, ServiceType};
use seatrial_api::symbol::Symbol;

use crate::Config;
use crate::endpointslice::{LABEL_HEADLESS, endpoint_changed};
use crate::framework::{Caches, Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner};
use crate::selected_pods::{Filter, SelectedPods};

pub use plan::{ADDRESSES_MAX, Wanted, plan as plan_endpoints};

/// The label that names who manages an Endpoints object, and its value for this controller.
const LABEL_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// The annotation of an Endpoints object that has fewer addresses than there are.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The annotation of an Endpoints object that serves as a lock.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// How often a Service is tried again.
const RETRIES_MAX: u32 = 15;
/// Workers of the controller.
const WORKERS: usize = 5;

/// Keeps the Endpoints objects of Services.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointsController {
    selected: SelectedPods,
    /// Services that are gone, whose Endpoints objects go too.
    gone: FxHashMap<u32, (Symbol, CompactString)>,
}

/// A key of the queue: a Service, or an Endpoints object that was there at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Service(u32),
    Leftover(u32),
}

impl Key {
    /// Services and Endpoints objects take turns.
    fn row(self) -> u32 {
        match self {
            Key::Service(row) => row * 2,
            Key::Leftover(row) => row * 2 + 1,
        }
    }

    fn of(row: u32) -> Key {
        if row.is_multiple_of(2) { Key::Service(row / 2) } else { Key::Leftover(row / 2) }
    }
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Start,
    Create,
    Update,
    Delete,
}

impl EndpointsController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<EndpointsController> {
        let retry = RetryPolicy { retries_max: Some(RETRIES_MAX), ..RetryPolicy::standard() };
        Runner::new(id, EndpointsController::default(), retry, Client::new(config.client_limits), WORKERS)
    }

    fn observe_service(&mut self, cx: &mut Context<'_>, change: Change, service: &Service) {
        let row = service.meta.id;
        if change == Change::Deleted {
            self.selected.remove(row);
            self.gone.insert(row, (service.meta.namespace, service.meta.name.clone()));
        } else {
            match &service.selector {
                Some(labels) if !labels.is_empty() => {
                    self.selected.put(row, service.meta.namespace, Filter::Labels(labels.clone()));
                }
                _ => self.selected.remove(row),
            }
        }
        cx.queue.add(Key::Service(row).row());
    }

    fn observe_pod(&mut self, cx: &mut Context<'_>, event: &Event<'_>, pod: &Pod) {
        self.selected.observe(event);
        let old = match event.old {
            Some(Object::Pod(old)) if event.change != Change::Deleted => Some(old),
            _ => None,
        };
        let same_labels = old.is_none_or(|old| old.meta.labels == pod.meta.labels);
        if same_labels && old.is_some_and(|old| !endpoint_changed(old, pod)) {
            return;
        }
        let mut services = self.selected.selecting(pod.meta.namespace, &pod.meta.labels);
        if let Some(old) = old.filter(|_| !same_labels) {
            services.extend(self.selected.selecting(old.meta.namespace, &old.meta.labels));
        }
        services.into_iter().for_each(|row| cx.queue.add(Key::Service(row).row()));
    }

    /// Endpoints whose Service went while no controller ran: those that are used as a lock stay.
    fn start_leftover(&mut self, cx: &mut Context<'_>, row: u32, stage: &mut Stage) -> Next {
        let Some(endpoints) = cx.caches.endpoints.get(row) else { return Next::Done };
        let meta = &endpoints.meta;
        let is_lock = meta.annotations.get(Symbol::new(LEADER)).is_some();
        if is_lock || cx.caches.services.named(meta.namespace, &meta.name).is_some() {
            return Next::Done;
        }
        *stage = Stage::Delete;
        Next::send(Request::delete(meta.object_ref(Kind::Endpoints)))
    }

    fn start(&mut self, cx: &mut Context<'_>, key: u32, stage: &mut Stage) -> Next {
        let Some(service) = cx.caches.services.get(key).cloned() else {
            let Some((namespace, name)) = self.gone.get(&key) else { return Next::Done };
            // A new Service of that name has taken the object over.
            let taken_over = cx.caches.services.named(*namespace, name).is_some();
            let endpoints = cx.caches.endpoints.named(*namespace, name).filter(|_| !taken_over);
            let Some(endpoints) = endpoints else { return self.forget(key) };
            *stage = Stage::Delete;
            return Next::send(Request::delete(endpoints.meta.object_ref(Kind::Endpoints)));
        };
        let has_selector = service.selector.as_ref().is_some_and(|labels| !labels.is_empty());
        if service.kind == ServiceType::ExternalName || !has_selector {
            return Next::Done;
        }
        let wanted = plan_endpoints(&service, self.selected.pods(cx.caches, key).map(|pod| &**pod));
        let current = cx.caches.endpoints.named(service.meta.namespace, &service.meta.name);
        let next = endpoints_of(&service, current.map(|current| &current.meta), wanted);
        if current.is_some_and(|current| **current == next) {
            return Next::Done;
        }
        let object = Object::Endpoints(Arc::new(next));
        match current {
            Some(_) => {
                *stage = Stage::Update;
                Next::send(Request::Update { object, subresource: Subresource::Main })
            }
            None => {
                *stage = Stage::Create;
                Next::send(Request::Create(object))
            }
        }
    }

    fn forget(&mut self, key: u32) -> Next {
        self.gone.remove(&key);
        Next::Done
    }
}

/// The Endpoints object of a Service in place of the one that has this metadata.
fn endpoints_of(service: &Service, current: Option<&ObjectMeta>, wanted: Wanted) -> Endpoints {
    let mut meta = current
        .cloned()
        .unwrap_or_else(|| ObjectMeta::named(service.meta.namespace.as_str(), &service.meta.name));
    let reserved = [LABEL_HEADLESS, LABEL_MANAGED_BY].map(Symbol::new);
    let mut labels: Vec<_> =
        service.meta.labels.iter().copied().filter(|pair| !reserved.contains(&pair.0)).collect();
    labels.push((reserved[1], Symbol::new(MANAGER)));
    if service.is_headless() {
        labels.push((reserved[0], Symbol::empty()));
    }
    meta.labels = Labels::new(labels);
    let over_capacity = Symbol::new(OVER_CAPACITY);
    meta.annotations = if wanted.truncated {
        meta.annotations.with(over_capacity, Symbol::new("truncated"))
    } else {
        meta.annotations.without(over_capacity)
    };
    Endpoints { meta, subsets: wanted.subsets.into() }
}

impl Controller for EndpointsController {
    type Sync = Stage;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        match kind {
            Kind::Service | Kind::Endpoints => true,
            Kind::Pod => !caches.services.is_empty(),
            _ => false,
        }
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => self.observe_pod(cx, event, pod),
            Object::Service(service) => self.observe_service(cx, event.change, service),
            Object::Endpoints(endpoints) if event.change == Change::Deleted => {
                let service = cx.caches.services.named(endpoints.meta.namespace, &endpoints.meta.name);
                if let Some(service) = service {
                    cx.queue.add(Key::Service(service.meta.id).row());
                }
            }
            Object::Endpoints(endpoints) if cx.listing => {
                cx.queue.add(Key::Leftover(endpoints.meta.id).row());
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, stage: &mut Stage, replies: &Replies) -> Next {
        let key = match Key::of(key) {
            Key::Service(row) => row,
            Key::Leftover(row) if *stage == Stage::Start => return self.start_leftover(cx, row, stage),
            Key::Leftover(_) => {
                let gone = |error: &ApiError| error.reason == ErrorReason::NotFound;
                let failed = matches!(replies.first(), Some(Some(Err(error))) if !gone(error));
                return if failed { Next::Retry } else { Next::Done };
            }
        };
        let error = match replies.first() {
            Some(Some(Err(error))) => error,
            _ if *stage == Stage::Start => return self.start(cx, key, stage),
            _ if *stage == Stage::Delete => return self.forget(key),
            _ => return Next::Done,
        };
        let (reason, verb) = match stage {
            Stage::Delete if error.reason == ErrorReason::NotFound => return self.forget(key),
            Stage::Create if !error.namespace_terminating => ("FailedToCreateEndpoint", "create"),
            Stage::Update => ("FailedToUpdateEndpoint", "update"),
            _ => return Next::Retry,
        };
        if let Some(service) = cx.caches.services.get(key) {
            let object = cx.caches.endpoints.named(service.meta.namespace, &service.meta.name);
            let target = match object {
                Some(endpoints) => endpoints.meta.object_ref(Kind::Endpoints),
                None => service.meta.object_ref(Kind::Service),
            };
            cx.event(target, Severity::Warning, reason, || {
                format!("Failed to {verb} endpoint {}: {error}", service.meta.full_name())
            });
        }
        Next::Retry
    }
}
