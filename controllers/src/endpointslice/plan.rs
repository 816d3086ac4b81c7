//! Which slices a Service should have (upstream
//! `staging/src/k8s.io/endpointslice/reconciler.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
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
pub(crate) const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";

/// What is to be written: slices to create, slices to update, and rows of slices to delete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlicePlan {
    /// Slices to create; their names are generated.
    pub create: Vec<EndpointSlice>,
    /// New contents of slices that exist. Version 0 where the content is replaced whatever it was.
    pub update: Vec<EndpointSlice>,
    /// Slices to delete.
    pub delete: Vec<u32>,
    /// Pods that were left out because their node is not known, and those nodes.
    pub left_out: Vec<(CompactString, Symbol)>,
}

/// A pod behind a Service and its node, if that is known.
pub type Backend<'a> = (&'a Pod, Option<&'a Node>);

/// The ports of a slice in an order that does not depend on the Service.
pub(crate) type PortKey = Vec<(Symbol, Protocol, u16)>;

pub(crate) fn port_key(ports: &[EndpointPort]) -> PortKey {
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
            plan.left_out.push((pod.meta.name.clone(), pod.node.unwrap_or_default()));
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
pub(crate) fn resolve_ports(service: &Service, pod: &Pod) -> Box<[EndpointPort]> {
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
        extra: Some(Arc::new(MetaExtra { generate_name, ..MetaExtra::default() })),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::{Container, ContainerPort};
    use seatrial_api::meta::{Deletion, Uid};
    use seatrial_api::pod::{ConditionStatus, PodConditionType, PodPhase, PodReason, PodSpec};
    use seatrial_api::service::{ServiceType, TrafficPolicy};
    use seatrial_api::units::SimTime;

    fn service() -> Service {
        let port = ServicePort {
            name: Symbol::empty(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: PortRef::Number(8080),
            node_port: 0,
        };
        Service {
            meta: ObjectMeta { uid: Uid::from_bits(1, 1), ..ObjectMeta::named("ns", "web") },
            kind: ServiceType::ClusterIp,
            selector: Some(Labels::of(&[("app", "web")])),
            ports: Box::new([port]),
            cluster_ip: "10.0.0.1".into(),
            external_name: "".into(),
            external_ips: Box::default(),
            health_check_node_port: 0,
            session_affinity_seconds: None,
            publish_not_ready_addresses: false,
            internal_traffic_policy: TrafficPolicy::Cluster,
            external_traffic_policy: TrafficPolicy::Cluster,
            traffic_distribution: None,
            ip_family_policy: Default::default(),
            allocate_node_ports: true,
        }
    }

    fn pod(row: u32) -> Pod {
        let mut pod = Pod::new(
            ObjectMeta::named("ns", "web-x"),
            Arc::new(PodSpec::new(vec![Container::new("c", "i")])),
        );
        pod.meta.id = row;
        pod.node = Some("n1".into());
        pod.status.ip = 1000 + row;
        pod.status.phase = PodPhase::Running;
        pod.status.conditions.set(
            PodConditionType::Ready,
            ConditionStatus::True,
            PodReason::None,
            SimTime::ZERO,
        );
        pod
    }

    /// Applies a plan as the API server would; new slices get the next rows.
    fn apply(existing: &mut Vec<Arc<EndpointSlice>>, plan: SlicePlan) {
        existing.retain(|slice| !plan.delete.contains(&slice.meta.id));
        for slice in plan.update {
            let place = existing.iter_mut().find(|old| old.meta.id == slice.meta.id).expect("it exists");
            *place = Arc::new(slice);
        }
        for mut slice in plan.create {
            slice.meta.id = 1 + existing.iter().map(|slice| slice.meta.id).max().unwrap_or(0);
            existing.push(Arc::new(slice));
        }
    }

    fn play(
        existing: &mut Vec<Arc<EndpointSlice>>,
        service: &Service,
        pods: &[Pod],
    ) -> (usize, usize, usize) {
        let node = Node::default();
        let backends: Vec<_> = pods.iter().map(|pod| (pod, Some(&node))).collect();
        let plan = plan(service, &backends, existing);
        let writes = (plan.create.len(), plan.update.len(), plan.delete.len());
        apply(existing, plan);
        writes
    }

    fn sizes(slices: &[Arc<EndpointSlice>]) -> Vec<usize> {
        slices.iter().map(|slice| slice.endpoints.len()).collect()
    }

    #[test]
    fn endpoints_tell_what_their_pods_can_do() {
        let node = Node {
            meta: ObjectMeta {
                labels: Labels::of(&[("topology.kubernetes.io/zone", "z1")]),
                ..ObjectMeta::default()
            },
            ..Node::default()
        };
        let rows = [
            (true, false, false, (true, true, false)),
            (false, false, false, (false, false, false)),
            (true, true, false, (false, true, true)),
            (false, false, true, (true, false, false)),
            (false, true, true, (true, false, true)),
        ];
        for (is_ready, deleting, publish, expected) in rows {
            let mut pod = pod(1);
            let status = if is_ready { ConditionStatus::True } else { ConditionStatus::False };
            pod.status.conditions.set(PodConditionType::Ready, status, PodReason::None, SimTime::ZERO);
            pod.meta.set_deletion(deleting.then_some(Deletion { at: SimTime::ZERO, grace_seconds: 30 }));
            let service = Service {
                publish_not_ready_addresses: publish,
                traffic_distribution: Some(TrafficDistribution::PreferSameZone),
                ..service()
            };
            let endpoint = endpoint(&service, &pod, Some(&node));
            assert_eq!((endpoint.ready, endpoint.serving, endpoint.terminating), expected);
            assert_eq!(endpoint.zone_hint, endpoint.ready);
        }
    }

    #[test]
    fn pods_without_address_or_at_their_end_are_no_endpoints_and_one_empty_slice_stays() {
        let (mut slices, service) = (Vec::new(), service());
        let mut starting = pod(1);
        starting.status.ip = 0;
        let mut ended = pod(2);
        ended.status.phase = PodPhase::Failed;
        assert_eq!(play(&mut slices, &service, &[starting, ended]), (1, 0, 0));
        assert_eq!((sizes(&slices), slices[0].ports.len()), (vec![0], 0));
        assert_eq!(play(&mut slices, &service, &[]), (0, 0, 0));
        assert_eq!(play(&mut slices, &service, &[pod(3)]), (0, 1, 0), "the empty slice is reused");
        assert_eq!(slices[0].ports[0].port, 8080);
        assert_eq!(play(&mut slices, &service, &[]), (0, 1, 0));
        assert_eq!((sizes(&slices), slices[0].ports.len()), (vec![0], 0));
    }

    #[test]
    fn slices_hold_a_hundred_and_are_never_merged() {
        let (mut slices, service) = (Vec::new(), service());
        let all: Vec<Pod> = (0..130).map(pod).collect();
        assert_eq!(play(&mut slices, &service, &all), (2, 0, 0));
        assert_eq!(sizes(&slices), [100, 30]);
        let kept: Vec<Pod> =
            all.iter().filter(|pod| pod.meta.id % 4 == 0 || pod.meta.id > 120).cloned().collect();
        play(&mut slices, &service, &kept);
        assert_eq!(sizes(&slices).len(), 2);
        assert_eq!(sizes(&slices).iter().sum::<usize>(), kept.len());
    }

    #[test]
    fn new_endpoints_fill_changing_slices_then_the_fullest_that_holds_all_then_new_ones() {
        let (mut slices, service) = (Vec::new(), service());
        for first in [0, 200, 300] {
            let count = [90, 60, 80][first as usize / 100 - usize::from(first > 0)];
            let mut part = Vec::new();
            play(&mut part, &service, &(first..first + count).map(pod).collect::<Vec<_>>());
            let mut slice = EndpointSlice::clone(&part[0]);
            slice.meta.id = 1 + slices.len() as u32;
            slices.push(Arc::new(slice));
        }
        let mut pods: Vec<Pod> = (0..90).chain(200..260).chain(300..380).map(pod).collect();
        pods.push(pod(400));
        play(&mut slices, &service, &pods);
        assert_eq!(sizes(&slices), [91, 60, 80], "one more fits best into the fullest");
        pods.retain(|pod| pod.meta.id != 200);
        pods.extend((500..515).map(pod));
        play(&mut slices, &service, &pods);
        assert_eq!(sizes(&slices), [91, 74, 80], "the slice that loses one takes all");
        pods.extend((600..630).map(pod));
        play(&mut slices, &service, &pods);
        assert_eq!(sizes(&slices), [91, 74, 80, 30], "none holds thirty more");
    }

    #[test]
    fn a_named_port_may_differ_by_pod_and_is_left_out_where_it_is_missing() {
        let mut service = service();
        service.ports[0].target_port = PortRef::Name("http".into());
        let with_port = |row: u32, number: u16| {
            let mut result = pod(row);
            let port = ContainerPort {
                name: "http".into(),
                container_port: number,
                host_port: 0,
                host_ip: "".into(),
                protocol: Protocol::Tcp,
            };
            let mut container = Container::new("c", "i");
            container.ports = [port].into();
            result.spec = Arc::new(PodSpec::new(vec![container]));
            result
        };
        let mut slices = Vec::new();
        play(&mut slices, &service, &[with_port(1, 9090), with_port(2, 9091), with_port(3, 9090), pod(4)]);
        let mut found: Vec<_> = slices
            .iter()
            .map(|slice| (slice.ports.first().map(|port| port.port), slice.endpoints.len()))
            .collect();
        found.sort();
        assert_eq!(found, [(None, 1), (Some(9090), 2), (Some(9091), 1)]);
    }

    #[test]
    fn a_pod_whose_node_is_not_known_is_left_out_unless_all_are_published() {
        let (lonely, mut service) = (pod(1), service());
        let plan_for = |service: &Service| plan(service, &[(&lonely, None)], &[]);
        let result = plan_for(&service);
        assert_eq!(result.left_out, [("web-x".into(), "n1".into())]);
        assert!(result.create[0].endpoints.is_empty());
        service.publish_not_ready_addresses = true;
        let result = plan_for(&service);
        assert!(result.left_out.is_empty() && result.create[0].endpoints.len() == 1);
    }

    #[test]
    fn labels_follow_the_service() {
        let (mut slices, mut service) = (Vec::new(), service());
        play(&mut slices, &service, &[pod(1)]);
        service.meta.labels = Labels::of(&[("team", "shop"), (LABEL_MANAGED_BY, "me")]);
        assert_eq!(play(&mut slices, &service, &[pod(1)]), (0, 1, 0));
        let labels = &slices[0].meta.labels;
        assert_eq!(labels.get("team".into()), Some("shop".into()));
        assert_eq!(labels.get(LABEL_MANAGED_BY.into()), Some(MANAGER.into()));
        assert_eq!(play(&mut slices, &service, &[pod(1)]), (0, 0, 0));
    }
}
