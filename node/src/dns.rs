//! The records of cluster DNS: what CoreDNS, as kubeadm sets it up, answers for a Service from what
//! its watches have told.
//!
//! [`records`] are those of one Service, [`Zone`] answers questions, [`ResolvConf`] is what a pod
//! asks with: its name servers and search domains.
//!
//! Model: endpoints have addresses of version 4.

mod resolver;
mod zone;

use std::net::IpAddr;

use compact_str::{CompactString, format_compact};
use seatrial_api::container::Protocol;
use seatrial_api::pod::Pod;
use seatrial_api::service::{Endpoint, EndpointSlice, Service, ServiceType};
use seatrial_api::units::Span;

pub use resolver::{Asker, DnsConfig, DnsPolicy, ResolvConf};
pub use zone::{Answer, Entry, QueryType, Zone};

/// For how long a client may keep an answer.
pub const TTL: Span = Span::from_secs(30);

/// A record. Names are relative to the cluster domain: `web.default.svc`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// An address.
    Address {
        /// The name.
        name: CompactString,
        /// The address as text.
        address: CompactString,
    },
    /// An alias for a name outside of the cluster.
    Alias {
        /// The name.
        name: CompactString,
        /// What it stands for.
        target: CompactString,
    },
    /// The name of an address (PTR).
    Pointer {
        /// The address, as names of addresses have it: `7.0.0.10.in-addr.arpa`.
        name: CompactString,
        /// The name that it has.
        target: CompactString,
    },
    /// A port of a Service.
    Port {
        /// The name, `_http._tcp.web.default.svc`.
        name: CompactString,
        /// The port.
        port: u16,
        /// How much of the traffic it should get: 100 parts are shared by all that serve the port.
        weight: u16,
        /// The name of the host that serves it.
        target: CompactString,
    },
}

impl Record {
    /// The name that the record is about.
    pub fn name(&self) -> &str {
        match self {
            Record::Address { name, .. }
            | Record::Alias { name, .. }
            | Record::Pointer { name, .. }
            | Record::Port { name, .. } => name,
        }
    }

    /// The record's type.
    pub fn query_type(&self) -> QueryType {
        match self {
            Record::Address { address, .. } if address.contains(':') => QueryType::Aaaa,
            Record::Address { .. } => QueryType::A,
            Record::Alias { .. } => QueryType::Cname,
            Record::Pointer { .. } => QueryType::Ptr,
            Record::Port { .. } => QueryType::Srv,
        }
    }
}

/// The host name under which a Service knows a pod: its `hostname`, or the name of a StatefulSet's
/// pod; `None` if the pod belongs to another subdomain or has no host name.
pub fn host_name(pod: &Pod, service: &Service) -> Option<CompactString> {
    let same =
        pod.spec.subdomain == service.meta.name.as_str() && pod.meta.namespace == service.meta.namespace;
    if !same {
        return None;
    }
    if !pod.spec.hostname.is_empty() {
        return Some(pod.spec.hostname.as_str().into());
    }
    let stateful = pod.meta.controller().is_some_and(|owner| owner.kind == "StatefulSet");
    stateful.then(|| pod.meta.name.clone())
}

/// The records of a Service. `host_of` gives the host name of an endpoint's pod, see
/// [`host_name`]. A headless Service without ready endpoints has none: its name does not exist.
pub fn records<'a>(
    service: &Service,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    host_of: impl Fn(&Endpoint) -> Option<CompactString>,
) -> Vec<Record> {
    let name = format_compact!("{}.{}.svc", service.meta.name, service.meta.namespace);
    if service.kind == ServiceType::ExternalName {
        return vec![Record::Alias { name, target: service.external_name.clone() }];
    }
    let mut records = Vec::new();
    if service.is_headless() {
        for slice in slices {
            for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready) {
                let address = dotted(endpoint.ip);
                let host = host_of(endpoint).unwrap_or_else(|| address.replace('.', "-").into());
                let target = format_compact!("{host}.{name}");
                records.push(Record::Address { name: name.clone(), address: address.clone() });
                records.push(Record::Address { name: target.clone(), address });
                let named = slice.ports.iter().filter(|port| !port.name.is_empty());
                records.extend(named.map(|port| Record::Port {
                    name: port_name(port.name.as_str(), port.protocol, &name),
                    port: port.port,
                    weight: 0,
                    target: target.clone(),
                }));
                records.push(pointer(IpAddr::V4(endpoint.ip.into()), target));
            }
        }
    } else if !service.cluster_ip.is_empty() {
        records.push(Record::Address { name: name.clone(), address: service.cluster_ip.clone() });
        let named = service.ports.iter().filter(|port| !port.name.is_empty());
        records.extend(named.map(|port| Record::Port {
            name: port_name(port.name.as_str(), port.protocol, &name),
            port: port.port,
            weight: 0,
            target: name.clone(),
        }));
        records.extend(service.cluster_ip.parse().ok().map(|ip| pointer(ip, name)));
    }
    share_weights(&mut records);
    records
}

/// Divides the weight of each port among those that serve it.
fn share_weights(records: &mut [Record]) {
    let counts: Vec<u16> = records
        .iter()
        .map(|record| {
            let same = |other: &&Record| {
                record.query_type() == QueryType::Srv
                    && other.query_type() == QueryType::Srv
                    && other.name() == record.name()
            };
            u16::try_from(records.iter().filter(same).count()).unwrap_or(u16::MAX)
        })
        .collect();
    for (record, count) in records.iter_mut().zip(counts) {
        if let Record::Port { weight, .. } = record {
            *weight = (100 / count.max(1)).max(1);
        }
    }
}

/// The record by which an address is named.
fn pointer(address: IpAddr, target: CompactString) -> Record {
    Record::Pointer { name: reverse_name(address), target }
}

/// The name under which the name of an address is asked for.
fn reverse_name(address: IpAddr) -> CompactString {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format_compact!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let mut name = CompactString::default();
            for byte in address.octets().iter().rev() {
                name.push_str(&format_compact!("{:x}.{:x}.", byte & 0xF, byte >> 4));
            }
            name.push_str("ip6.arpa");
            name
        }
    }
}

fn port_name(port: &str, protocol: Protocol, service: &str) -> CompactString {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format_compact!("_{port}._{protocol}.{service}")
}

/// An address in dotted form.
fn dotted(ip: u32) -> CompactString {
    let [a, b, c, d] = ip.to_be_bytes();
    format_compact!("{a}.{b}.{c}.{d}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    use seatrial_api::container::{Container, PortRef};
    use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
    use seatrial_api::pod::PodSpec;
    use seatrial_api::service::{EndpointPort, ServicePort, TrafficPolicy};

    pub(super) fn service(cluster_ip: &str) -> Service {
        Service {
            meta: ObjectMeta::named("shop", "db"),
            kind: ServiceType::ClusterIp,
            selector: None,
            ports: Box::new([ServicePort {
                name: "sql".into(),
                protocol: Protocol::Tcp,
                port: 5432,
                target_port: PortRef::Number(5432),
                node_port: 0,
            }]),
            cluster_ip: cluster_ip.into(),
            external_name: "db.example.com".into(),
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

    pub(super) fn slice(ready: bool) -> EndpointSlice {
        let endpoint = Endpoint {
            pod: 1,
            pod_uid: Uid::default(),
            ip: 0x0A01_0203,
            node: "n".into(),
            zone: "".into(),
            ready,
            serving: ready,
            terminating: false,
            zone_hint: false,
        };
        EndpointSlice {
            meta: ObjectMeta::named("shop", "db-1"),
            service: "db".into(),
            endpoints: Arc::new([endpoint]),
            ports: Box::new([EndpointPort { name: "sql".into(), protocol: Protocol::Tcp, port: 5432 }]),
        }
    }

    fn texts(records: Vec<Record>) -> Vec<String> {
        let text = |record| match record {
            Record::Address { name, address } => format!("{name} A {address}"),
            Record::Alias { name, target } => format!("{name} CNAME {target}"),
            Record::Pointer { name, target } => format!("{name} PTR {target}"),
            Record::Port { name, port, weight, target } => format!("{name} SRV {weight} {port} {target}"),
        };
        records.into_iter().map(text).collect()
    }

    #[test]
    fn a_service_has_the_address_of_its_virtual_ip_and_its_named_ports() {
        assert_eq!(
            texts(records(&service("10.0.0.7"), &[slice(true)], |_| None)),
            [
                "db.shop.svc A 10.0.0.7",
                "_sql._tcp.db.shop.svc SRV 100 5432 db.shop.svc",
                "7.0.0.10.in-addr.arpa PTR db.shop.svc",
            ]
        );
    }

    #[test]
    fn a_headless_service_has_the_addresses_of_its_ready_endpoints() {
        let headless = service("None");
        assert_eq!(
            texts(records(&headless, &[slice(true)], |_| Some("db-0".into()))),
            [
                "db.shop.svc A 10.1.2.3",
                "db-0.db.shop.svc A 10.1.2.3",
                "_sql._tcp.db.shop.svc SRV 100 5432 db-0.db.shop.svc",
                "3.2.1.10.in-addr.arpa PTR db-0.db.shop.svc",
            ]
        );
        assert_eq!(texts(records(&headless, &[slice(true)], |_| None))[1], "10-1-2-3.db.shop.svc A 10.1.2.3");
        assert!(records(&headless, &[slice(false)], |_| None).is_empty());
    }

    #[test]
    fn an_external_name_is_an_alias() {
        let alias = Service { kind: ServiceType::ExternalName, ..service("") };
        assert_eq!(texts(records(&alias, &[], |_| None)), ["db.shop.svc CNAME db.example.com"]);
    }

    #[test]
    fn pods_of_a_stateful_set_and_pods_with_a_hostname_have_host_names() {
        let pod = |hostname: &str, subdomain: &str, owner: &str| {
            let mut spec = PodSpec::new(vec![Container::new("c", "app:1")]);
            spec.hostname = hostname.into();
            spec.subdomain = subdomain.into();
            let mut pod = Pod::new(ObjectMeta::named("shop", "db-0"), Arc::new(spec));
            pod.meta.owners = Some(Arc::new(vec![OwnerRef {
                kind: owner.into(),
                api_version: "apps/v1".into(),
                name: "db".into(),
                uid: Uid::default(),
                controller: true,
                block_owner_deletion: true,
            }]));
            pod
        };
        for (hostname, subdomain, owner, expected) in [
            ("", "db", "StatefulSet", Some("db-0")),
            ("primary", "db", "ReplicaSet", Some("primary")),
            ("", "db", "ReplicaSet", None),
            ("primary", "other", "ReplicaSet", None),
        ] {
            let found = host_name(&pod(hostname, subdomain, owner), &service("None"));
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn addresses_of_version_6_are_named_and_asked_for_as_such() {
        let records = records(&service("fd00::7"), &[], |_| None);
        assert_eq!(records[0].query_type(), QueryType::Aaaa);
        let Record::Pointer { name, .. } = &records[2] else { panic!("{records:?}") };
        assert!(name.starts_with("7.0.0.0.") && name.ends_with(".0.0.d.f.ip6.arpa"), "{name}");
    }

    #[test]
    fn the_weight_of_a_port_is_shared_by_its_hosts() {
        let slice = slice(true);
        let three: Vec<Endpoint> = (1..=3).map(|ip| Endpoint { ip, ..slice.endpoints[0].clone() }).collect();
        let slice = EndpointSlice { endpoints: three.into(), ..slice };
        let weights = records(&service("None"), &[slice], |_| None);
        let weights = weights.iter().filter_map(|record| match record {
            Record::Port { weight, .. } => Some(*weight),
            _ => None,
        });
        assert_eq!(weights.collect::<Vec<_>>(), [33, 33, 33]);
    }
}
