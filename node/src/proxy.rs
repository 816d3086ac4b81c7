//! Among which endpoints kube-proxy on a node chooses (upstream
//! `pkg/proxy/topology.go`).
//!
//! [`route`] is the decision for one port, [`ProxyTable`] holds those of all that a node forwards,
//! [`Affinities`] remembers which client went where.
//!
//! Model: hints for nodes are not stored with endpoints; they are those that the EndpointSlice
//! controller writes for `trafficDistribution: PreferSameNode`.

mod affinity;
mod table;

use seatrial_api::service::{
    Endpoint, EndpointSlice, Service, ServicePort, ServiceType, TrafficDistribution, TrafficPolicy,
};
use seatrial_api::symbol::Symbol;

pub use affinity::Affinities;
pub use table::{Backend, Destination, Forwarding, HealthCheck, PortRules, ProxyTable, Served};

/// The node on which the proxy runs.
#[derive(Clone, Copy, Debug)]
pub struct ProxyNode {
    /// Its name.
    pub name: Symbol,
    /// Its zone, empty for none.
    pub zone: Symbol,
}

/// Where traffic comes from and which address it is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// To the virtual IP.
    Internal,
    /// From outside, to a node port or a load balancer's address.
    External,
    /// To such an address, but from the node itself or one of its pods.
    ExternalFromNode,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It goes to one of the chosen endpoints, each with equal chance.
    Endpoints,
    /// It is refused at once.
    Reject,
    /// It gets no answer.
    Drop,
    /// The proxy has nothing to do with this Service: it is headless or an alias.
    Unproxied,
}

/// The endpoints behind a port of a Service.
pub fn endpoints_of<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    port: &ServicePort,
) -> impl Iterator<Item = &'a Endpoint> {
    let (name, protocol) = (port.name, port.protocol);
    let serves = move |slice: &&EndpointSlice| {
        slice.ports.iter().any(|port| port.name == name && port.protocol == protocol)
    };
    slices.into_iter().filter(serves).flat_map(|slice| slice.endpoints.iter())
}

/// Puts the endpoints that `traffic` may go to from `node` into `chosen` and says what becomes of
/// it. Linear in the number of endpoints.
pub fn route<'a>(
    service: &Service,
    endpoints: impl Iterator<Item = &'a Endpoint> + Clone,
    node: ProxyNode,
    traffic: Traffic,
    chosen: &mut Vec<&'a Endpoint>,
) -> Route {
    chosen.clear();
    if service.is_headless() || service.kind == ServiceType::ExternalName {
        return Route::Unproxied;
    }
    let policy = match traffic {
        Traffic::Internal => service.internal_traffic_policy,
        Traffic::External => service.external_traffic_policy,
        Traffic::ExternalFromNode => TrafficPolicy::Cluster,
    };
    match policy {
        TrafficPolicy::Cluster => {
            let hints = hints(service, endpoints.clone(), node);
            chosen.extend(endpoints.clone().filter(|endpoint| endpoint.ready && hints.admit(endpoint, node)));
            if chosen.is_empty() {
                chosen.extend(endpoints.filter(|endpoint| is_last_resort(endpoint)));
            }
            if chosen.is_empty() { Route::Reject } else { Route::Endpoints }
        }
        TrafficPolicy::Local => {
            let local = |endpoint: &&Endpoint| endpoint.node == node.name;
            chosen.extend(endpoints.clone().filter(local).filter(|endpoint| endpoint.ready));
            if chosen.is_empty() {
                chosen.extend(endpoints.clone().filter(local).filter(|endpoint| is_last_resort(endpoint)));
            }
            let usable = |endpoint: &Endpoint| endpoint.ready || is_last_resort(endpoint);
            match (chosen.is_empty(), endpoints.into_iter().any(usable)) {
                (false, _) => Route::Endpoints,
                (true, true) => Route::Drop,
                (true, false) => Route::Reject,
            }
        }
    }
}

/// Whether the endpoint is used when there is no ready one.
fn is_last_resort(endpoint: &Endpoint) -> bool {
    endpoint.serving && endpoint.terminating && !endpoint.ready
}

/// Which hints are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hints {
    Ignored,
    Zone,
    Node,
}

impl Hints {
    fn admit(self, endpoint: &Endpoint, node: ProxyNode) -> bool {
        match self {
            Hints::Ignored => true,
            Hints::Zone => endpoint.zone == node.zone,
            Hints::Node => endpoint.node == node.name,
        }
    }
}

/// Hints are followed only if every ready endpoint has one and one of them is for this node, or
/// else its zone.
fn hints<'a>(service: &Service, endpoints: impl Iterator<Item = &'a Endpoint>, node: ProxyNode) -> Hints {
    let by_node = service.traffic_distribution == Some(TrafficDistribution::PreferSameNode);
    let (mut here, mut in_zone, mut all_hinted, mut any) = (false, false, true, false);
    for endpoint in endpoints.filter(|endpoint| endpoint.ready) {
        any = true;
        here |= endpoint.node == node.name;
        all_hinted &= endpoint.zone_hint;
        in_zone |= endpoint.zone_hint && !node.zone.is_empty() && endpoint.zone == node.zone;
    }
    if any && by_node && here {
        Hints::Node
    } else if any && all_hinted && in_zone {
        Hints::Zone
    } else {
        Hints::Ignored
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use seatrial_api::meta::{ObjectMeta, Uid};

    pub(crate) fn service() -> Service {
        Service {
            meta: ObjectMeta::named("default", "web"),
            kind: ServiceType::ClusterIp,
            selector: None,
            ports: Box::default(),
            cluster_ip: "10.0.0.10".into(),
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

    /// Endpoint `ip` in words: its node, its zone, then `ready`, `terminating` or `down`, and
    /// `hint` if it is hinted.
    pub(crate) fn endpoint(ip: u32, words: &str) -> Endpoint {
        let mut parts = words.split(' ');
        let (node, zone) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let has = |word: &str| words.split(' ').any(|other| other == word);
        Endpoint {
            pod: ip,
            pod_uid: Uid::default(),
            ip,
            node: node.into(),
            zone: zone.into(),
            ready: has("ready"),
            serving: has("ready") || has("terminating"),
            terminating: has("terminating"),
            zone_hint: has("hint"),
        }
    }

    fn check(service: &Service, traffic: Traffic, endpoints: &[&str], expected: (Route, &[u32])) {
        let endpoints: Vec<_> = (1..).zip(endpoints).map(|(ip, words)| endpoint(ip, words)).collect();
        let node = ProxyNode { name: "n1".into(), zone: "a".into() };
        let mut chosen = Vec::new();
        let route = route(service, endpoints.iter(), node, traffic, &mut chosen);
        let ips: Vec<_> = chosen.iter().map(|endpoint| endpoint.ip).collect();
        assert_eq!((route, &ips[..]), expected, "{endpoints:?}");
    }

    #[test]
    fn ready_endpoints_are_chosen_and_serving_terminating_ones_if_there_are_none() {
        let service = service();
        for (endpoints, expected) in [
            (&["n1 a ready", "n2 b ready", "n2 b down"][..], (Route::Endpoints, &[1, 2][..])),
            (&["n1 a down", "n2 b terminating"], (Route::Endpoints, &[2])),
            (&["n1 a ready", "n2 b terminating"], (Route::Endpoints, &[1])),
            (&["n1 a down"], (Route::Reject, &[])),
            (&[], (Route::Reject, &[])),
        ] {
            check(&service, Traffic::Internal, endpoints, expected);
        }
    }

    #[test]
    fn the_local_policy_stays_on_the_node_and_drops_what_has_no_endpoint_there() {
        let service = Service {
            external_traffic_policy: TrafficPolicy::Local,
            internal_traffic_policy: TrafficPolicy::Local,
            ..service()
        };
        for (endpoints, expected) in [
            (&["n1 a ready", "n2 b ready"][..], (Route::Endpoints, &[1][..])),
            (&["n1 a terminating", "n2 b ready"], (Route::Endpoints, &[1])),
            (&["n1 a down", "n2 b ready"], (Route::Drop, &[])),
            (&["n1 a down", "n2 b terminating"], (Route::Drop, &[])),
            (&["n2 b down"], (Route::Reject, &[])),
        ] {
            check(&service, Traffic::External, endpoints, expected);
            check(&service, Traffic::Internal, endpoints, expected);
        }
        let from_node = (Route::Endpoints, &[1, 2][..]);
        check(&service, Traffic::ExternalFromNode, &["n1 a ready", "n2 b ready"], from_node);
    }

    #[test]
    fn hints_are_followed_only_if_all_ready_endpoints_have_one_and_one_is_for_here() {
        let by_zone =
            Service { traffic_distribution: Some(TrafficDistribution::PreferSameZone), ..service() };
        for (endpoints, expected) in [
            (&["n2 a ready hint", "n3 b ready hint"][..], &[1][..]),
            (&["n2 a ready hint", "n3 b ready"], &[1, 2]),
            (&["n2 c ready hint", "n3 b ready hint"], &[1, 2]),
            (&["n2 a ready hint", "n3 b down"], &[1]),
        ] {
            check(&by_zone, Traffic::Internal, endpoints, (Route::Endpoints, expected));
        }
        let by_node =
            Service { traffic_distribution: Some(TrafficDistribution::PreferSameNode), ..service() };
        for (endpoints, expected) in [
            (&["n1 a ready hint", "n2 a ready hint"][..], &[1][..]),
            (&["n3 a ready hint", "n2 b ready hint"], &[1]),
            (&["n3 c ready hint", "n2 b ready hint"], &[1, 2]),
        ] {
            check(&by_node, Traffic::Internal, endpoints, (Route::Endpoints, expected));
        }
    }

    #[test]
    fn headless_services_are_not_proxied() {
        let headless = Service { cluster_ip: "None".into(), ..service() };
        check(&headless, Traffic::Internal, &["n1 a ready"], (Route::Unproxied, &[]));
    }
}
