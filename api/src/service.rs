//! Services and the slices of endpoints behind them.

use std::sync::Arc;

use compact_str::CompactString;

use crate::container::{PortRef, Protocol};
use crate::labels::Labels;
use crate::meta::{ObjectMeta, Uid};
use crate::symbol::Symbol;

/// The type of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// A virtual IP.
    ClusterIp,
    /// Also a port on every node.
    NodePort,
    /// Also an external load balancer.
    LoadBalancer,
    /// An alias for a DNS name.
    ExternalName,
}

/// Whether traffic may leave the node on which it entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// It may.
    #[default]
    Cluster,
    /// It stays.
    Local,
}

/// Which endpoints traffic prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficDistribution {
    /// Those of the same zone.
    PreferSameZone,
    /// Those of the same node.
    PreferSameNode,
}

/// How many address families a Service may have. Clusters here have one, IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpFamilyPolicy {
    /// One.
    #[default]
    SingleStack,
    /// Two where the cluster has them.
    PreferDualStack,
    /// Two.
    RequireDualStack,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The name, empty if there is one port only.
    pub name: Symbol,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the virtual IP.
    pub port: u16,
    /// The port of the pods.
    pub target_port: PortRef,
    /// The port of the nodes; 0 for none.
    pub node_port: u16,
}

/// A Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The type.
    pub kind: ServiceType,
    /// Which pods are behind it; absent for endpoints that others manage.
    pub selector: Option<Labels>,
    /// Its ports.
    pub ports: Box<[ServicePort]>,
    /// The virtual IP: an address, `None` for a headless Service, or empty before allocation.
    pub cluster_ip: CompactString,
    /// The DNS name of an ExternalName Service.
    pub external_name: CompactString,
    /// Further addresses that are routed to the nodes.
    pub external_ips: Box<[CompactString]>,
    /// The port on which nodes tell load balancers whether they have local endpoints; 0 for none.
    pub health_check_node_port: u16,
    /// For how many seconds a client stays with its endpoint; `None` without affinity.
    pub session_affinity_seconds: Option<i32>,
    /// Whether pods that are not ready are published too.
    pub publish_not_ready_addresses: bool,
    /// Policy for traffic from inside.
    pub internal_traffic_policy: TrafficPolicy,
    /// Policy for traffic from outside.
    pub external_traffic_policy: TrafficPolicy,
    /// Which endpoints traffic prefers.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// How many address families it may have.
    pub ip_family_policy: IpFamilyPolicy,
    /// Whether a LoadBalancer gets node ports of its own.
    pub allocate_node_ports: bool,
}

impl Service {
    /// Whether the Service has no virtual IP.
    pub fn is_headless(&self) -> bool {
        self.cluster_ip == "None"
    }

    /// Whether load balancers ask each node whether it has local endpoints.
    pub fn checks_health(&self) -> bool {
        self.kind == ServiceType::LoadBalancer && self.external_traffic_policy == TrafficPolicy::Local
    }
}

/// An endpoint: a pod behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's row in the store; `u32::MAX` for endpoints that others manage.
    pub pod: u32,
    /// The pod's identity.
    pub pod_uid: Uid,
    /// The address as a number.
    pub ip: u32,
    /// The pod's node.
    pub node: Symbol,
    /// The node's zone, empty for none.
    pub zone: Symbol,
    /// Whether new connections should go there.
    pub ready: bool,
    /// Whether it could serve, terminating or not.
    pub serving: bool,
    /// Whether it is terminating.
    pub terminating: bool,
    /// Whether it carries a hint for its own zone.
    pub zone_hint: bool,
}

/// A port of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// The name.
    pub name: Symbol,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// An EndpointSlice: up to a hundred endpoints of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSlice {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The Service's name.
    pub service: Symbol,
    /// The endpoints.
    pub endpoints: Arc<[Endpoint]>,
    /// The resolved ports.
    pub ports: Box<[EndpointPort]>,
}

/// An address in an Endpoints object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAddress {
    /// The address as a number.
    pub ip: u32,
    /// The pod's row in the store; `u32::MAX` for addresses that others manage.
    pub pod: u32,
    /// The pod's identity.
    pub pod_uid: Uid,
    /// The pod's node.
    pub node: Symbol,
    /// The name under which DNS knows the pod, empty for none.
    pub hostname: Symbol,
}

/// Addresses that have the same ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSubset {
    /// Those that serve.
    pub ready: Vec<EndpointAddress>,
    /// Those that do not.
    pub not_ready: Vec<EndpointAddress>,
    /// Their ports.
    pub ports: Box<[EndpointPort]>,
}

/// An Endpoints object: all endpoints of a Service in one, as there were before EndpointSlices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoints {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The addresses.
    pub subsets: Arc<[EndpointSubset]>,
}
