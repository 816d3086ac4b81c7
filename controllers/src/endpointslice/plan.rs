//! Which slices a Service should have (semantics.md 2.12; upstream
//! `staging/src/k8s.io/endpointslice/reconciler.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::container::{PortRef, Protocol};
use seatrial_api::labels::Labels;
use seatrial_api::meta::{MetaExtra, ObjectMeta, OwnerRef};
use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::service::{
    Endpoint, EndpointPort, EndpointSlice, Service, ServicePort, TrafficDistribution,
};
use seatrial_api::symbol::Symbol;

/// The most endpoints of a slice (`--max-endpoints-per-slice`).
pub const ENDPOINTS_MAX: usize = 100;
/// The label that names a slice's Service.
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names who manages a slice.
pub const LABEL_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`LABEL_MANAGED_BY`] in the slices of this controller.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";

/// What is to be written: slices to create, slices to update, and rows of slices to delete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlicePlan {
    /// Slices to create; their names are generated.
    pub create: Vec<EndpointSlice>,
    /// New contents of slices that exist. Version 0 where the content is replaced whatever it was.
    pub update: Vec<EndpointSlice>,
    /// Slices to delete.
    pub delete: Vec<u32>,
    /// Whether a pod was left out because its node is not known.
    pub incomplete: bool,
}

/// A pod behind a Service and its node, if that is known.
pub type Backend<'a> = (&'a Pod, Option<&'a Node>);

/// The ports of a slice in an order that does not depend on the Service.
type PortKey = Vec<(Symbol, Protocol, u16)>;

fn port_key(ports: &[EndpointPort]) -> PortKey {
    let mut key: PortKey = ports.iter().map(|port| (port.name, port.protocol, port.port)).collect();
    key.sort();
    key
}

/// Plans the slices of a Service. `backends` are the selected pods in order of their rows,
/// `existing` the Service's slices that this controller manages and that are not going away.
pub fn plan(service: &Service, backends: &[Backend<'_>], existing: &[Arc<EndpointSlice>]) -> SlicePlan {
    let mut plan = SlicePlan::default();
    let mut groups: BTreeMap<PortKey, Group> = BTreeMap::new();
    for slice in existing {
        if is_owned(slice, service) {
            groups.entry(port_key(&slice.ports)).or_default().slices.push(slice);
        } else {
            plan.delete.push(slice.meta.id);
        }
    }
    for &(pod, node) in backends {
        if pod.status.phase.is_terminal() || pod.status.ip == 0 {
            continue;
        }
        let ports = resolve_ports(service, pod);
        let group = groups.entry(port_key(&ports)).or_default();
        group.ports.get_or_insert(ports);
        if node.is_none() && !service.publish_not_ready_addresses {
            plan.incomplete = true;
            continue;
        }
        group.endpoints.push(endpoint(service, pod, node));
    }
    for group in groups.into_values() {
        group.plan(service, &mut plan);
    }
    keep_one_empty_slice(service, existing, &mut plan);
    reuse_deleted(&mut plan, existing, service);
    plan
}

/// All slices and endpoints of one list of ports.
#[derive(Default)]
struct Group<'a> {
    /// The ports, if some pod has them.
    ports: Option<Box<[EndpointPort]>>,
    slices: Vec<&'a Arc<EndpointSlice>>,
    /// In order of the pods' rows.
    endpoints: Vec<Endpoint>,
}

/// What becomes of a slice.
struct Draft<'a> {
    slice: &'a EndpointSlice,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

impl Group<'_> {
    fn plan(self, service: &Service, plan: &mut SlicePlan) {
        let Some(ports) = self.ports else {
            plan.delete.extend(self.slices.iter().map(|slice| slice.meta.id));
            return;
        };
        let labels = labels_of(service);
        let mut placed = vec![false; self.endpoints.len()];
        let mut drafts = Vec::new();
        for slice in self.slices {
            let endpoints: Vec<_> =
                slice.endpoints.iter().filter_map(|old| find(old, &self.endpoints, &mut placed)).collect();
            if endpoints.is_empty() && !slice.endpoints.is_empty() {
                plan.delete.push(slice.meta.id);
                continue;
            }
            let changed = endpoints[..] != slice.endpoints[..] || !same_labels(&slice.meta.labels, &labels);
            drafts.push(Draft { slice, endpoints, changed });
        }
        let missing = self.endpoints.into_iter().zip(placed).filter(|row| !row.1).map(|row| row.0).collect();
        let created = distribute(&mut drafts, missing);

        plan.create.extend(created.into_iter().map(|endpoints| EndpointSlice {
            meta: new_meta(service, labels.clone()),
            service: Symbol::new(&service.meta.name),
            endpoints: endpoints.into(),
            ports: ports.clone(),
        }));
        plan.update.extend(drafts.into_iter().filter(|draft| draft.changed).map(|draft| EndpointSlice {
            meta: ObjectMeta { labels: labels.clone(), ..draft.slice.meta.clone() },
            endpoints: draft.endpoints.into(),
            ..draft.slice.clone()
        }));
    }
}

/// The wanted version of an endpoint that a slice has, if it is still wanted and not in an earlier
/// slice.
fn find(old: &Endpoint, wanted: &[Endpoint], placed: &mut [bool]) -> Option<Endpoint> {
    let index = wanted.binary_search_by_key(&old.pod, |endpoint| endpoint.pod).ok()?;
    let is_same = wanted[index].ip == old.ip && !std::mem::replace(&mut placed[index], true);
    is_same.then(|| wanted[index].clone())
}

/// Puts endpoints that have no slice into slices that change anyway, fullest first; the rest into
/// the one unchanged slice that ends closest to full if all of it fits there, else into new ones.
fn distribute(drafts: &mut [Draft<'_>], missing: Vec<Endpoint>) -> Vec<Vec<Endpoint>> {
    let mut missing = missing.into_iter().peekable();
    let mut order: Vec<usize> = (0..drafts.len()).filter(|&index| drafts[index].changed).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(drafts[index].endpoints.len()));
    for index in order {
        let endpoints = &mut drafts[index].endpoints;
        endpoints.extend(missing.by_ref().take(ENDPOINTS_MAX - endpoints.len().min(ENDPOINTS_MAX)));
    }

    let mut created = Vec::new();
    while missing.peek().is_some() {
        let count = missing.len();
        let room = |draft: &Draft<'_>| ENDPOINTS_MAX.checked_sub(count + draft.endpoints.len());
        let unchanged = drafts.iter_mut().filter(|draft| !draft.changed);
        let fitting = unchanged.filter_map(|draft| Some((room(draft)?, draft))).min_by_key(|row| row.0);
        match fitting {
            Some((_, draft)) if count < ENDPOINTS_MAX => {
                draft.changed = true;
                draft.endpoints.extend(missing.by_ref());
            }
            _ => created.push(missing.by_ref().take(ENDPOINTS_MAX).collect()),
        }
    }
    created
}

/// A Service without endpoints keeps one slice without endpoints and ports.
fn keep_one_empty_slice(service: &Service, existing: &[Arc<EndpointSlice>], plan: &mut SlicePlan) {
    if existing.len() != plan.delete.len() || !plan.create.is_empty() {
        return;
    }
    let labels = labels_of(service);
    let is_empty = |slice: &EndpointSlice| {
        slice.endpoints.is_empty()
            && slice.ports.is_empty()
            && slice.meta.labels == labels
            && is_owned(slice, service)
    };
    if let [only] = existing
        && is_empty(only)
    {
        plan.delete.clear();
        return;
    }
    plan.create.push(EndpointSlice {
        meta: new_meta(service, labels),
        service: Symbol::new(&service.meta.name),
        endpoints: Arc::new([]),
        ports: Box::new([]),
    });
}

/// A slice that would be created takes the place of one that would be deleted.
fn reuse_deleted(plan: &mut SlicePlan, existing: &[Arc<EndpointSlice>], service: &Service) {
    plan.delete.retain(|row| {
        let reusable = existing.iter().find(|slice| slice.meta.id == *row && is_owned(slice, service));
        let Some(old) = reusable else { return true };
        let Some(created) = plan.create.pop() else { return true };
        let meta =
            ObjectMeta { labels: created.meta.labels.clone(), resource_version: 0, ..old.meta.clone() };
        plan.update.push(EndpointSlice { meta, ..created });
        false
    });
}

fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    slice.meta.owner_refs().iter().any(|owner| owner.uid == service.meta.uid && owner.kind == "Service")
}

fn endpoint(service: &Service, pod: &Pod, node: Option<&Node>) -> Endpoint {
    let serving = pod.is_ready();
    let terminating = pod.meta.is_deleting();
    let ready = service.publish_not_ready_addresses || (serving && !terminating);
    let zone = node.map(Node::zone).unwrap_or_default();
    let prefers = |distribution| {
        matches!(distribution, TrafficDistribution::PreferSameZone | TrafficDistribution::PreferSameNode)
    };
    Endpoint {
        pod: pod.meta.id,
        pod_uid: pod.meta.uid,
        ip: pod.status.ip,
        node: pod.node.unwrap_or_default(),
        zone,
        ready,
        serving,
        terminating,
        zone_hint: ready && !zone.is_empty() && service.traffic_distribution.is_some_and(prefers),
    }
}

/// The ports behind which a pod serves; a named port that it does not have is left out.
fn resolve_ports(service: &Service, pod: &Pod) -> Box<[EndpointPort]> {
    let resolve = |port: &ServicePort| {
        let number = match port.target_port {
            PortRef::Number(number) => number,
            PortRef::Name(name) => named_port(pod, name, port.protocol)?,
        };
        Some(EndpointPort { name: port.name, protocol: port.protocol, port: number })
    };
    service.ports.iter().filter_map(resolve).collect()
}

fn named_port(pod: &Pod, name: Symbol, protocol: Protocol) -> Option<u16> {
    let sidecars = pod.spec.init_containers.iter().filter(|container| container.is_sidecar());
    let mut ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports.find(|port| port.name == name && port.protocol == protocol).map(|port| port.container_port)
}

/// The labels of a Service's slices: its own, the Service's name, and who manages them.
fn labels_of(service: &Service) -> Labels {
    let mut pairs: Vec<_> = service.meta.labels.iter().copied().collect();
    let reserved = [LABEL_SERVICE_NAME, LABEL_MANAGED_BY, LABEL_HEADLESS].map(Symbol::new);
    pairs.retain(|pair| !reserved.contains(&pair.0));
    if service.is_headless() || service.cluster_ip.is_empty() {
        pairs.push((reserved[2], Symbol::empty()));
    }
    pairs.push((reserved[0], Symbol::new(&service.meta.name)));
    pairs.push((reserved[1], Symbol::new(MANAGER)));
    Labels::new(pairs)
}

/// Whether the labels that slices take over from their Service are equal.
fn same_labels(slice: &Labels, wanted: &Labels) -> bool {
    if slice == wanted {
        return true;
    }
    let is_reserved =
        |key: Symbol| [LABEL_SERVICE_NAME, LABEL_MANAGED_BY, LABEL_HEADLESS].contains(&key.as_str());
    let own =
        |labels: &Labels| labels.iter().copied().filter(|pair| !is_reserved(pair.0)).collect::<Vec<_>>();
    own(slice) == own(wanted)
}

fn new_meta(service: &Service, labels: Labels) -> ObjectMeta {
    let owner = OwnerRef {
        kind: Symbol::new("Service"),
        api_version: Symbol::new("v1"),
        name: service.meta.name.clone(),
        uid: service.meta.uid,
        controller: true,
        block_owner_deletion: true,
    };
    let generate_name = compact_str::format_compact!("{}-", service.meta.name);
    ObjectMeta {
        namespace: service.meta.namespace,
        labels,
        owners: Some(Arc::new(vec![owner])),
        extra: Some(Arc::new(MetaExtra { generate_name, finalizers: Vec::new() })),
        ..ObjectMeta::default()
    }
}
