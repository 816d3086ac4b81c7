//! What kube-proxy on one node has written: for every address that it forwards, the backends of each
//! kind of traffic.
//!
//! Load balancers of a cloud are not known here, so neither are their addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use seatrial_api::container::Protocol;
use seatrial_api::service::{Endpoint, EndpointSlice, Service, ServicePort, ServiceType};
use seatrial_api::units::Span;

use super::{ProxyNode, Route, Traffic, route};

/// Where a connection is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// A virtual IP, or an external one that is routed to nodes.
    Address {
        /// The address.
        ip: IpAddr,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
    /// A port of the node itself.
    NodePort {
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
}

/// A pod's port behind a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The pod's row in the store; `u32::MAX` for endpoints that others manage.
    pub pod: u32,
    /// The address as a number.
    pub ip: u32,
    /// The port.
    pub port: u16,
}

/// Where connections of one kind of traffic go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// What becomes of a new connection.
    pub route: Route,
    /// The backends, each with equal chance.
    pub backends: Vec<Backend>,
}

/// The rules of one port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRules {
    /// The Service's row in the store.
    pub service: u32,
    /// Which of its ports, by its place.
    pub port: usize,
    /// For how long a client stays with its backend; `None` without affinity.
    pub affinity: Option<Span>,
    internal: Forwarding,
    external: Forwarding,
    from_node: Forwarding,
}

impl PortRules {
    /// Where connections go.
    pub fn forwarding(&self, traffic: Traffic) -> &Forwarding {
        match traffic {
            Traffic::Internal => &self.internal,
            Traffic::External => &self.external,
            Traffic::ExternalFromNode => &self.from_node,
        }
    }
}

/// What a node answers on the health check port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The Service's row in the store.
    pub service: u32,
    /// How many of its ready endpoints are on the node.
    pub local_endpoints: usize,
}

impl HealthCheck {
    /// The HTTP status while the proxy is healthy.
    pub fn status(self) -> u16 {
        if self.local_endpoints > 0 { 200 } else { 503 }
    }
}

/// A Service with its slices, as the watches have told of them.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The Service.
    pub service: &'a Service,
    /// Its slices.
    pub slices: &'a [&'a EndpointSlice],
}

/// The tables of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyTable {
    rules: Vec<PortRules>,
    destinations: BTreeMap<Destination, usize>,
    health: BTreeMap<u16, HealthCheck>,
}

impl ProxyTable {
    /// The tables that kube-proxy on `node` writes. Linear in the number of endpoints, for each port.
    pub fn new<'a>(node: ProxyNode, services: impl IntoIterator<Item = Served<'a>>) -> ProxyTable {
        let mut table = ProxyTable::default();
        for served in services {
            let service = served.service;
            if service.is_headless() || service.kind == ServiceType::ExternalName {
                continue;
            }
            for (place, port) in service.ports.iter().enumerate() {
                let rules = port_rules(node, served, place, port);
                let index = table.rules.len();
                for destination in destinations(service, port) {
                    table.destinations.entry(destination).or_insert(index);
                }
                table.rules.push(rules);
            }
            if service.checks_health() && service.health_check_node_port != 0 {
                let ready = served.slices.iter().flat_map(|slice| slice.endpoints.iter());
                let ready = ready.filter(|endpoint| endpoint.ready && endpoint.node == node.name);
                let mut addresses: Vec<u32> = ready.map(|endpoint| endpoint.ip).collect();
                addresses.sort_unstable();
                addresses.dedup();
                let check = HealthCheck { service: service.meta.id, local_endpoints: addresses.len() };
                table.health.insert(service.health_check_node_port, check);
            }
        }
        table
    }

    /// The rules for a destination; `None` if the proxy forwards nothing that is sent there.
    pub fn rules(&self, destination: Destination) -> Option<&PortRules> {
        self.destinations.get(&destination).map(|&index| &self.rules[index])
    }

    /// What the node answers on a health check port.
    pub fn health(&self, port: u16) -> Option<HealthCheck> {
        self.health.get(&port).copied()
    }
}

/// Everything that leads to a port of a Service.
fn destinations(service: &Service, port: &ServicePort) -> impl Iterator<Item = Destination> {
    let (protocol, number) = (port.protocol, port.port);
    let ips = std::iter::once(&service.cluster_ip).chain(&service.external_ips);
    let ips = ips.filter_map(|text| text.parse::<IpAddr>().ok());
    let addresses: Vec<Destination> =
        ips.map(|ip| Destination::Address { ip, protocol, port: number }).collect();
    let node_port = Some(port.node_port).filter(|&port| port != 0);
    let node_port = node_port.map(|port| Destination::NodePort { protocol, port });
    addresses.into_iter().chain(node_port)
}

fn port_rules(node: ProxyNode, served: Served<'_>, place: usize, port: &ServicePort) -> PortRules {
    let Served { service, slices } = served;
    // An endpoint with the number of its slice's port.
    let mut serving: Vec<(&Endpoint, u16)> = Vec::new();
    for slice in slices {
        let of_slice = slice.ports.iter().find(|of| of.name == port.name && of.protocol == port.protocol);
        if let Some(of_slice) = of_slice {
            serving.extend(slice.endpoints.iter().map(|endpoint| (endpoint, of_slice.port)));
        }
    }
    let forwarding = |traffic| {
        let mut chosen = Vec::new();
        let endpoints = serving.iter().map(|entry| entry.0);
        let route = route(service, endpoints, node, traffic, &mut chosen);
        let mut chosen = chosen.into_iter().peekable();
        // What was chosen is a part of the endpoints, in their order.
        let mut backends = Vec::new();
        for &(endpoint, port) in &serving {
            if chosen.next_if(|next| std::ptr::eq(*next, endpoint)).is_some() {
                backends.push(Backend { pod: endpoint.pod, ip: endpoint.ip, port });
            }
        }
        backends.sort_unstable_by_key(|backend| (backend.ip, backend.port));
        backends.dedup_by_key(|backend| (backend.ip, backend.port));
        Forwarding { route, backends }
    };
    let affinity = service.session_affinity_seconds;
    PortRules {
        service: service.meta.id,
        port: place,
        affinity: affinity.map(|seconds| Span::from_secs(i64::from(seconds))),
        internal: forwarding(Traffic::Internal),
        external: forwarding(Traffic::External),
        from_node: forwarding(Traffic::ExternalFromNode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tests::{endpoint, service};
    use seatrial_api::container::PortRef;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::service::{EndpointPort, TrafficPolicy};
    use std::net::Ipv4Addr;

    fn port(name: &str, number: u16, node_port: u16) -> ServicePort {
        ServicePort {
            name: name.into(),
            protocol: Protocol::Tcp,
            port: number,
            target_port: PortRef::Number(8080),
            node_port,
        }
    }

    fn slice(port: u16, endpoints: &[(u32, &str)]) -> EndpointSlice {
        EndpointSlice {
            meta: ObjectMeta::named("default", "web-1"),
            service: "web".into(),
            endpoints: endpoints.iter().map(|&(ip, words)| endpoint(ip, words)).collect::<Vec<_>>().into(),
            ports: Box::new([EndpointPort { name: "http".into(), protocol: Protocol::Tcp, port }]),
        }
    }

    fn table(service: &Service, slices: &[EndpointSlice]) -> ProxyTable {
        let node = ProxyNode { name: "n1".into(), zone: "a".into() };
        let slices: Vec<&EndpointSlice> = slices.iter().collect();
        ProxyTable::new(node, [Served { service, slices: &slices }])
    }

    fn at(ip: [u8; 4], port: u16) -> Destination {
        Destination::Address { ip: IpAddr::V4(Ipv4Addr::from(ip)), protocol: Protocol::Tcp, port }
    }

    fn backends(table: &ProxyTable, destination: Destination, traffic: Traffic) -> Vec<(u32, u16)> {
        let forwarding = table.rules(destination).expect("it is forwarded").forwarding(traffic);
        forwarding.backends.iter().map(|backend| (backend.ip, backend.port)).collect()
    }

    #[test]
    fn a_port_is_reached_by_virtual_external_and_node_addresses() {
        let service = Service {
            kind: ServiceType::NodePort,
            ports: Box::new([port("http", 80, 30_080)]),
            external_ips: Box::new(["192.0.2.7".into()]),
            session_affinity_seconds: Some(60),
            ..service()
        };
        let slices =
            [slice(8080, &[(1, "n1 a ready"), (2, "n2 b ready")]), slice(9090, &[(3, "n3 b ready")])];
        let table = table(&service, &slices);
        let all = [(1, 8080), (2, 8080), (3, 9090)];
        let node_port = Destination::NodePort { protocol: Protocol::Tcp, port: 30_080 };
        assert_eq!(backends(&table, at([10, 0, 0, 10], 80), Traffic::Internal), all);
        assert_eq!(backends(&table, at([192, 0, 2, 7], 80), Traffic::External), all);
        assert_eq!(backends(&table, node_port, Traffic::External), all);
        assert_eq!(table.rules(node_port).and_then(|rules| rules.affinity), Some(Span::from_secs(60)));
        assert!(table.rules(at([10, 0, 0, 10], 81)).is_none());
        let udp = Destination::NodePort { protocol: Protocol::Udp, port: 30_080 };
        assert!(table.rules(udp).is_none());
    }

    #[test]
    fn local_traffic_from_outside_is_dropped_on_nodes_that_the_health_check_names() {
        let service = |policy| Service {
            kind: ServiceType::LoadBalancer,
            external_traffic_policy: policy,
            health_check_node_port: 32_000,
            ports: Box::new([port("http", 80, 30_080)]),
            ..service()
        };
        let node_port = Destination::NodePort { protocol: Protocol::Tcp, port: 30_080 };
        for (endpoints, route, local, status) in [
            (&[(1, "n1 a ready"), (2, "n2 b ready")][..], Route::Endpoints, 1, 200),
            (&[(1, "n1 a terminating"), (2, "n2 b ready")], Route::Endpoints, 0, 503),
            (&[(2, "n2 b ready")], Route::Drop, 0, 503),
            (&[], Route::Reject, 0, 503),
        ] {
            let table = table(&service(TrafficPolicy::Local), &[slice(8080, endpoints)]);
            let rules = table.rules(node_port).expect("it is forwarded");
            assert_eq!(rules.forwarding(Traffic::External).route, route, "{endpoints:?}");
            let check = table.health(32_000).expect("it is asked");
            assert_eq!((check.local_endpoints, check.status()), (local, status), "{endpoints:?}");
        }
        let table = table(&service(TrafficPolicy::Cluster), &[slice(8080, &[(1, "n1 a ready")])]);
        assert_eq!(table.health(32_000), None, "nobody asks where every node is as good");
    }

    #[test]
    fn ports_that_no_slice_has_and_services_without_address_are_told_apart() {
        let two = Service { ports: Box::new([port("http", 80, 0), port("admin", 81, 0)]), ..service() };
        let slices = [slice(8080, &[(1, "n1 a ready")])];
        let admin = table(&two, &slices);
        let rules = admin.rules(at([10, 0, 0, 10], 81)).expect("the port is there");
        assert_eq!(rules.forwarding(Traffic::Internal).route, Route::Reject);
        let headless = Service { cluster_ip: "None".into(), ..two };
        assert_eq!(table(&headless, &slices), ProxyTable::default());
    }
}
