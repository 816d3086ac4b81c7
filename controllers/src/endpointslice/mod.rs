//! The EndpointSlice controller (upstream `pkg/controller/endpointslice`):
//! keeps the slices of each Service in line with its pods.
//!
//! Left out: address types other than IPv4, hostnames of endpoints, and topology-mode Auto, whose
//! hints may name a zone other than the endpoint's own.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::{FxHashMap, FxHashSet};
use seatrial_api::machine::Severity;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, DeleteOptions, Reply, Request, Subresource};
use seatrial_api::service::{EndpointSlice, Service, ServiceType};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Mode, Next, Replies, RetryPolicy, RowIndex, Runner,
    first_error,
};
use crate::selected_pods::{Filter, SelectedPods};

pub use plan::{
    Backend, ENDPOINTS_MAX, LABEL_MANAGED_BY, LABEL_SERVICE_NAME, MANAGER as ENDPOINT_SLICE_MANAGER,
    SlicePlan, plan as plan_endpoint_slices,
};
pub(crate) use plan::{LABEL_HEADLESS, PortKey, port_key, resolve_ports};

/// How long a change of slices by others waits for more of its kind.
const SLICE_CHANGE_DELAY: Span = Span::from_secs(1);
/// Workers of the controller.
const WORKERS: usize = 5;

/// What the controller's own writes have made of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// This version.
    Version(u64),
    /// It was deleted.
    Deleted,
}

/// Keeps the slices of Services.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointSliceController {
    selected: SelectedPods,
    /// Slices that this controller manages, by namespace and Service.
    slices: RowIndex<(Symbol, Symbol)>,
    /// What the controller has written, by Service and slice.
    own: FxHashMap<u32, BTreeMap<u32, Own>>,
    /// Services whose slices are being written.
    writing: FxHashSet<u32>,
}

/// A write of a sync.
#[derive(Clone, Debug)]
enum Write {
    Create,
    /// Of the slice of this name.
    Update(CompactString),
    /// Of the slice in this row, with this name.
    Delete(u32, CompactString),
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    /// Whether the writes are sent.
    sent: bool,
    /// Why pods were left out.
    errors: Vec<String>,
    /// What each request does.
    writes: Vec<Write>,
}

impl EndpointSliceController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<EndpointSliceController> {
        let retry =
            RetryPolicy { base: Span::from_secs(1), retries_max: Some(15), ..RetryPolicy::standard() };
        let client = Client::new(config.client_limits);
        Runner::new(id, EndpointSliceController::default(), retry, client, WORKERS)
    }

    fn observe_service(&mut self, cx: &mut Context<'_>, change: Change, service: &Service) {
        let row = service.meta.id;
        if change == Change::Deleted {
            self.selected.remove(row);
            self.own.remove(&row);
            return;
        }
        match &service.selector {
            Some(labels) if !labels.is_empty() => {
                self.selected.put(row, service.meta.namespace, Filter::Labels(labels.clone()));
            }
            _ => self.selected.remove(row),
        }
        cx.queue.add(row);
    }

    fn observe_pod(&mut self, cx: &mut Context<'_>, event: &Event<'_>, pod: &Pod) {
        self.selected.observe(event);
        let old = match event.old {
            Some(Object::Pod(old)) if event.change != Change::Deleted => Some(old),
            _ => None,
        };
        let same_labels = old.is_none_or(|old| old.meta.labels == pod.meta.labels);
        let changed = old.is_none_or(|old| endpoint_changed(old, pod));
        if !changed && same_labels {
            return;
        }
        let services = self.selected.selecting(pod.meta.namespace, &pod.meta.labels);
        let mut before = Vec::new();
        if let Some(old) = old.filter(|_| !same_labels) {
            before = self.selected.selecting(old.meta.namespace, &old.meta.labels);
        }
        let concerned = |row: &u32, others: &[u32]| changed || !others.contains(row);
        for &row in services.iter().filter(|row| same_labels || concerned(row, &before)) {
            cx.queue.add(row);
        }
        for &row in before.iter().filter(|row| concerned(row, &services)) {
            cx.queue.add(row);
        }
    }

    fn observe_slice(&mut self, cx: &mut Context<'_>, event: &Event<'_>, slice: &EndpointSlice) {
        let key = (slice.meta.namespace, slice.service);
        let service = cx.caches.services.named(key.0, key.1.as_str()).map(|service| service.meta.id);
        if event.change == Change::Deleted {
            self.slices.remove(&key, slice.meta.id);
            let own =
                service.and_then(|row| self.own.get_mut(&row)).and_then(|own| own.remove(&slice.meta.id));
            if let (Some(row), Some(Own::Version(_))) = (service, own) {
                cx.queue.add_at(cx.now + SLICE_CHANGE_DELAY, row);
            }
            return;
        }
        if slice.meta.labels.get(Symbol::new(LABEL_MANAGED_BY)) != Some(Symbol::new(ENDPOINT_SLICE_MANAGER)) {
            self.slices.remove(&key, slice.meta.id);
            return;
        }
        self.slices.insert(key, slice.meta.id);
        if let Some(row) = service.filter(|row| !self.writing.contains(row) && self.is_foreign(*row, slice)) {
            cx.queue.add_at(cx.now + SLICE_CHANGE_DELAY, row);
        }
    }

    /// Whether a version of a slice is none that the controller has written.
    fn is_foreign(&self, service: u32, slice: &EndpointSlice) -> bool {
        match self.own.get(&service).and_then(|own| own.get(&slice.meta.id)) {
            Some(Own::Version(version)) => slice.meta.resource_version > *version,
            Some(Own::Deleted) => slice.meta.resource_version > 0 && !slice.meta.is_deleting(),
            None => true,
        }
    }

    /// The cached slices of a Service that are not going away.
    fn cached_slices(&self, cx: &Context<'_>, service: &Service) -> Vec<Arc<EndpointSlice>> {
        let rows = self.slices.rows(&(service.meta.namespace, Symbol::new(&service.meta.name)));
        let slices = rows.iter().filter_map(|&row| cx.caches.endpoint_slices.get(row));
        slices.filter(|slice| !slice.meta.is_deleting()).cloned().collect()
    }

    /// Whether the cache does not show yet what the controller has written.
    fn is_stale(&self, service: u32, cached: &[Arc<EndpointSlice>]) -> bool {
        let Some(own) = self.own.get(&service) else { return false };
        own.iter().any(|(row, own)| {
            let version =
                cached.iter().find(|slice| slice.meta.id == *row).map(|slice| slice.meta.resource_version);
            match (own, version) {
                (Own::Deleted, cached) => cached.is_some(),
                (Own::Version(_), None) => true,
                (Own::Version(written), Some(cached)) => cached < *written,
            }
        })
    }

    /// Plans the slices and sends what is to be written.
    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(service) = cx.caches.services.get(key).cloned() else { return Next::Done };
        let has_selector = service.selector.as_ref().is_some_and(|labels| !labels.is_empty());
        if service.kind == ServiceType::ExternalName || !has_selector {
            return Next::Done;
        }
        let slices = self.cached_slices(cx, &service);
        if self.is_stale(key, &slices) {
            return Next::Retry;
        }
        let caches = cx.caches;
        let node_of =
            |pod: &Pod| pod.node.and_then(|name| caches.nodes.named(Symbol::empty(), name.as_str()));
        let pods = self.selected.pods(caches, key);
        let backends: Vec<_> = pods.map(|pod| (&**pod, node_of(pod).map(|node| &**node))).collect();
        let plan = plan_endpoint_slices(&service, &backends, &slices);
        let left_out = |(pod, node): &(CompactString, Symbol)| {
            format!("skipping Pod {pod} for Service {}: Node {node} Not Found", service.meta.full_name())
        };
        sync.errors = plan.left_out.iter().map(left_out).collect();
        let requests = self.requests(&service, &slices, plan, sync);
        if requests.is_empty() {
            return self.finish(cx, key, sync, None);
        }
        sync.sent = true;
        self.writing.insert(key);
        Next::batch(Mode::Sequential, requests)
    }

    fn requests(
        &self,
        service: &Service,
        slices: &[Arc<EndpointSlice>],
        plan: SlicePlan,
        sync: &mut Sync,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        let created = if service.meta.is_deleting() { Vec::new() } else { plan.create };
        for slice in created {
            sync.writes.push(Write::Create);
            requests.push(Request::Create(Object::EndpointSlice(Arc::new(slice))));
        }
        for slice in plan.update {
            sync.writes.push(Write::Update(slice.meta.name.clone()));
            let object = Object::EndpointSlice(Arc::new(slice));
            requests.push(Request::Update { object, subresource: Subresource::Main });
        }
        for id in plan.delete {
            let name = slices.iter().find(|slice| slice.meta.id == id).map(|slice| slice.meta.name.clone());
            sync.writes.push(Write::Delete(id, name.unwrap_or_default()));
            let target = ObjectRef { kind: Kind::EndpointSlice, id };
            requests.push(Request::Delete { target, options: DeleteOptions::default() });
        }
        requests
    }

    /// The first refusal, as upstream tells it.
    fn failure(&self, cx: &Context<'_>, key: u32, sync: &Sync, replies: &Replies) -> Option<String> {
        let is_refused = |reply: &Option<Reply>| {
            reply
                .as_ref()
                .is_some_and(|reply| reply.as_ref().is_err_and(|error| !error.namespace_terminating))
        };
        let index = replies.iter().position(is_refused)?;
        let error = first_error(replies)?;
        let service = cx.caches.services.get(key).map(|service| service.meta.full_name()).unwrap_or_default();
        Some(match sync.writes.get(index) {
            Some(Write::Update(name)) => {
                format!("failed to update {name} EndpointSlice for Service {service}: {error}")
            }
            Some(Write::Delete(_, name)) => {
                format!("failed to delete {name} EndpointSlice for Service {service}: {error}")
            }
            _ => format!("failed to create EndpointSlice for Service {service}: {error}"),
        })
    }

    /// Ends a sync whose requests, if there were any, are answered.
    fn finish(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, error: Option<String>) -> Next {
        if sync.sent {
            self.writing.remove(&key);
            self.look_for_foreign_changes(cx, key);
        }
        let mut errors = std::mem::take(&mut sync.errors);
        errors.extend(error);
        let error = match &errors[..] {
            [] => return Next::Done,
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        if let Some(service) = cx.caches.services.get(key) {
            cx.event(
                service.meta.object_ref(Kind::Service),
                Severity::Warning,
                "FailedToUpdateEndpointSlices",
                || {
                    format!(
                        "Error updating Endpoint Slices for Service {}: {error}",
                        service.meta.full_name()
                    )
                },
            );
        }
        Next::Retry
    }

    /// Changes of slices that came while the controller wrote were not looked at.
    fn look_for_foreign_changes(&mut self, cx: &mut Context<'_>, key: u32) {
        let Some(service) = cx.caches.services.get(key).cloned() else { return };
        let slices = self.cached_slices(cx, &service);
        if slices.iter().any(|slice| self.is_foreign(key, slice)) {
            cx.queue.add_at(cx.now + SLICE_CHANGE_DELAY, key);
        }
    }
}

impl Controller for EndpointSliceController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind != Kind::Pod || !caches.services.is_empty()
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => self.observe_pod(cx, event, pod),
            Object::Service(service) => self.observe_service(cx, event.change, service),
            Object::EndpointSlice(slice) => self.observe_slice(cx, event, slice),
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        if !sync.sent {
            return self.start(cx, key, sync);
        }
        let error = self.failure(cx, key, sync, replies);
        self.finish(cx, key, sync, error)
    }

    fn replied(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, index: usize, reply: &Reply) {
        if cx.caches.services.get(key).is_none() {
            return;
        }
        let own = self.own.entry(key).or_default();
        match (sync.writes.get(index), reply) {
            (Some(&Write::Delete(row, _)), Ok(_)) => {
                // The cache may show the deletion before the answer is here.
                if cx.caches.endpoint_slices.get(row).is_some() {
                    own.insert(row, Own::Deleted);
                } else {
                    own.remove(&row);
                }
            }
            (_, Ok(Object::EndpointSlice(slice))) => {
                own.insert(slice.meta.id, Own::Version(slice.meta.resource_version));
            }
            _ => {}
        }
    }
}

/// Whether a change of a pod may change its endpoints. A terminating pod's every change counts, as
/// upstream compares the addresses of its deletion times.
pub(crate) fn endpoint_changed(old: &Pod, new: &Pod) -> bool {
    old.meta.is_deleting()
        || new.meta.is_deleting()
        || old.is_ready() != new.is_ready()
        || old.status.ip != new.status.ip
}
