//! Services and EndpointSlices.

use super::container::{PROTOCOLS, port_number, port_ref};
use super::meta;
use super::names;
use super::pod_status::address;
use super::reader::Reader;
use crate::container::PortRef;
use crate::meta::{ObjectMeta, Uid};
use crate::service::{
    Endpoint, EndpointAddress, EndpointPort, EndpointSlice, EndpointSubset, Endpoints, IpFamilyPolicy,
    Service, ServicePort, ServiceType, TrafficDistribution, TrafficPolicy,
};
use crate::symbol::Symbol;
use compact_str::CompactString;
use std::collections::BTreeSet;

/// The label that names the Service of a slice.
const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";

/// For how long a client stays with its endpoint, unless the Service says so.
const SESSION_AFFINITY_SECONDS: i32 = 10_800;

/// Fields of Services that make no difference here.
const WITHOUT_EFFECT: [&str; 4] =
    ["ipFamily", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges"];

/// Reads a Service.
pub(super) fn service(object: &Reader<'_>, meta: ObjectMeta) -> Option<Service> {
    object.known(&["status"]);
    object.object_or_empty("spec", |spec| {
        spec.known(&WITHOUT_EFFECT);
        let types = [
            ("ClusterIP", ServiceType::ClusterIp),
            ("NodePort", ServiceType::NodePort),
            ("LoadBalancer", ServiceType::LoadBalancer),
            ("ExternalName", ServiceType::ExternalName),
        ];
        let kind = spec.choice("type", &types).unwrap_or(ServiceType::ClusterIp);
        let traffic = [("Cluster", TrafficPolicy::Cluster), ("Local", TrafficPolicy::Local)];
        // PreferClose is the old name of PreferSameZone.
        let distributions = [
            ("PreferClose", TrafficDistribution::PreferSameZone),
            ("PreferSameZone", TrafficDistribution::PreferSameZone),
            ("PreferSameNode", TrafficDistribution::PreferSameNode),
        ];
        let policies = [
            ("SingleStack", IpFamilyPolicy::SingleStack),
            ("PreferDualStack", IpFamilyPolicy::PreferDualStack),
            ("RequireDualStack", IpFamilyPolicy::RequireDualStack),
        ];
        if spec.strs("ipFamilies").iter().any(|family| family != "IPv4") {
            spec.refuse("ipFamilies", "the cluster has IPv4 only");
        }
        let service = Service {
            meta,
            kind,
            ip_family_policy: spec.choice("ipFamilyPolicy", &policies).unwrap_or_default(),
            allocate_node_ports: spec.optional_bool("allocateLoadBalancerNodePorts").unwrap_or(true),
            selector: spec.has("selector").then(|| meta::labels(spec, "selector")).filter(|s| !s.is_empty()),
            ports: spec.list("ports", port).into(),
            cluster_ip: cluster_ip(spec),
            external_name: spec.text("externalName"),
            external_ips: spec.texts("externalIPs"),
            health_check_node_port: spec.int("healthCheckNodePort", 0..=65_535).unwrap_or(0) as u16,
            session_affinity_seconds: session_affinity(spec),
            publish_not_ready_addresses: spec.bool("publishNotReadyAddresses"),
            internal_traffic_policy: spec.choice("internalTrafficPolicy", &traffic).unwrap_or_default(),
            external_traffic_policy: spec.choice("externalTrafficPolicy", &traffic).unwrap_or_default(),
            traffic_distribution: spec.choice("trafficDistribution", &distributions),
        };
        check(spec, &service);
        service
    })
}

/// The virtual IP, which is the first of `clusterIPs` too.
fn cluster_ip(spec: &Reader<'_>) -> CompactString {
    let (written, all) = (spec.text("clusterIP"), spec.strs("clusterIPs"));
    match all.first() {
        Some(first) if written.is_empty() => (&**first).into(),
        Some(first) if *first != written.as_str() => {
            spec.refuse("clusterIPs", "the first of them is clusterIP");
            written
        }
        _ => written,
    }
}

fn port(port: &Reader<'_>) -> ServicePort {
    port.known(&["appProtocol"]);
    if !port.has("port") {
        port.invalid("port", "a port from 1 to 65535");
    }
    let number = port_number(port, "port").unwrap_or(0);
    let name = port.symbol("name");
    if !name.is_empty() && !names::is_label(name.as_str()) {
        port.invalid("name", names::NameForm::Label.describe());
    }
    let target = port_ref(port, "targetPort");
    ServicePort {
        name,
        protocol: port.choice("protocol", &PROTOCOLS).unwrap_or_default(),
        port: number,
        target_port: target.unwrap_or(PortRef::Number(number)),
        node_port: port.int("nodePort", 0..=65_535).unwrap_or(0) as u16,
    }
}

fn session_affinity(spec: &Reader<'_>) -> Option<i32> {
    let seconds = spec.object("sessionAffinityConfig", |config| {
        config.object("clientIP", |client| client.int("timeoutSeconds", 1..=86_400)).flatten()
    });
    let seconds = seconds.flatten().map_or(SESSION_AFFINITY_SECONDS, |seconds| seconds as i32);
    let sticks = spec.choice("sessionAffinity", &[("None", false), ("ClientIP", true)]).unwrap_or(false);
    sticks.then_some(seconds)
}

fn check(spec: &Reader<'_>, service: &Service) {
    let headless = service.is_headless();
    match service.kind {
        ServiceType::ExternalName => {
            if service.external_name.is_empty() {
                spec.invalid("externalName", "the DNS name that the Service stands for");
            }
            if !matches!(service.cluster_ip.as_str(), "" | "None") {
                spec.refuse("clusterIP", "an ExternalName Service has no virtual IP");
            }
            return;
        }
        ServiceType::NodePort | ServiceType::LoadBalancer if headless => {
            spec.refuse("clusterIP", "only a ClusterIP Service can be headless");
        }
        _ => {}
    }
    if service.ports.is_empty() && !headless {
        spec.invalid("ports", "at least one port");
    }
    if !headless && !service.cluster_ip.is_empty() && service.cluster_ip.parse::<std::net::IpAddr>().is_err()
    {
        spec.invalid("clusterIP", "an IP address, None or nothing");
    }
    if service.external_ips.iter().any(|ip| ip.parse::<std::net::IpAddr>().is_err()) {
        spec.invalid("externalIPs", "IP addresses");
    }
    if service.health_check_node_port != 0 && !service.checks_health() {
        spec.refuse(
            "healthCheckNodePort",
            "it is for Services of type LoadBalancer with externalTrafficPolicy Local alone",
        );
    }
    check_ports(spec, service);
}

fn check_ports(spec: &Reader<'_>, service: &Service) {
    if service.ports.len() > 1 && service.ports.iter().any(|port| port.name.is_empty()) {
        spec.refuse("ports", "with more than one port each needs a name");
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for port in &service.ports {
        if !port.name.is_empty() && !names.insert(port.name) {
            spec.refuse("ports", format!("two of them are named {}", port.name));
        }
        if !numbers.insert((port.port, port.protocol)) {
            spec.refuse(
                "ports",
                format!("two of them have the port {} {}", port.port, port.protocol.as_str()),
            );
        }
        if port.node_port != 0 && service.kind == ServiceType::ClusterIp {
            spec.refuse("ports", "a ClusterIP Service has no nodePort");
        }
    }
}

/// Reads an EndpointSlice.
pub(super) fn endpoint_slice(object: &Reader<'_>, meta: ObjectMeta) -> Option<EndpointSlice> {
    object.known(&["addressType"]);
    let service = meta.labels.get(Symbol::new(LABEL_SERVICE_NAME)).unwrap_or_default();
    Some(EndpointSlice {
        meta,
        service,
        endpoints: object.list("endpoints", endpoint).into(),
        ports: object.list("ports", endpoint_port).into(),
    })
}

/// Reads an Endpoints object.
pub(super) fn endpoints(object: &Reader<'_>, meta: ObjectMeta) -> Endpoints {
    let subsets = object.list("subsets", |subset| EndpointSubset {
        ready: subset.list("addresses", endpoint_address),
        not_ready: subset.list("notReadyAddresses", endpoint_address),
        ports: subset.list("ports", endpoint_port).into(),
    });
    Endpoints { meta, subsets: subsets.into() }
}

fn endpoint_address(entry: &Reader<'_>) -> EndpointAddress {
    EndpointAddress {
        ip: address(Some(entry.required_str("ip"))),
        pod: u32::MAX,
        pod_uid: target_uid(entry),
        node: entry.symbol("nodeName"),
        hostname: entry.symbol("hostname"),
    }
}

fn endpoint_port(port: &Reader<'_>) -> EndpointPort {
    port.known(&["appProtocol"]);
    EndpointPort {
        name: port.symbol("name"),
        protocol: port.choice("protocol", &PROTOCOLS).unwrap_or_default(),
        port: port_number(port, "port").unwrap_or(0),
    }
}

/// The identity of the pod behind an endpoint.
fn target_uid(endpoint: &Reader<'_>) -> Uid {
    let uid = endpoint.object("targetRef", |target| {
        target.known(&["apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion"]);
        target.str("uid").map(Uid::parse)
    });
    uid.flatten().unwrap_or_default()
}

fn endpoint(endpoint: &Reader<'_>) -> Endpoint {
    endpoint.known(&["hostname", "deprecatedTopology"]);
    let zone = endpoint.symbol("zone");
    let (ready, serving, terminating) = endpoint
        .object("conditions", |conditions| {
            let ready = conditions.optional_bool("ready").unwrap_or(true);
            let serving = conditions.optional_bool("serving").unwrap_or(ready);
            (ready, serving, conditions.bool("terminating"))
        })
        .unwrap_or((true, true, false));
    let zones = endpoint.object("hints", |hints| {
        hints.known(&["forNodes"]);
        hints.list("forZones", |zone| zone.symbol("name"))
    });
    Endpoint {
        pod: u32::MAX,
        pod_uid: target_uid(endpoint),
        ip: address(endpoint.strs("addresses").first().map(|address| &**address)),
        node: endpoint.symbol("nodeName"),
        zone,
        ready,
        serving,
        terminating,
        zone_hint: zones.unwrap_or_default().contains(&zone),
    }
}
