//! What Services are given: virtual IPs and node ports (upstream `pkg/registry/core/service`).
//!
//! Both come from a range whose lower band is kept for those who ask for a certain one: it is used
//! by itself only when the rest is full.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::ApiServer;
use crate::object::Kind;
use crate::request::{ApiError, ErrorReason};
use crate::service::{IpFamilyPolicy, Service, ServicePort, ServiceType};

/// The network of the virtual IPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceNetwork {
    /// Its first address.
    pub address: u32,
    /// How many bits all its addresses have in common.
    pub prefix: u8,
}

impl Default for ServiceNetwork {
    /// 10.96.0.0/12, as installers set it.
    fn default() -> ServiceNetwork {
        ServiceNetwork { address: 10 << 24 | 96 << 16, prefix: 12 }
    }
}

impl ServiceNetwork {
    /// How many addresses can be given away: not the first, which is the network's, nor the last.
    fn size(self) -> u32 {
        (1u64 << (32 - u32::from(self.prefix.min(30)))).saturating_sub(2) as u32
    }

    /// How many of them are kept for those who ask for one.
    fn static_band(self) -> u32 {
        (self.size() / 16).clamp(16, 256).min(self.size())
    }

    fn contains(self, address: u32) -> bool {
        address > self.address && address - self.address <= self.size()
    }
}

/// Node ports, and how many of the lower band are used last.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
const NODE_PORT_STATIC_BAND: u16 = 86;

/// An IPv4 address as text.
pub fn format_address(address: u32) -> CompactString {
    let [a, b, c, d] = address.to_be_bytes();
    compact_str::format_compact!("{a}.{b}.{c}.{d}")
}

fn parse_address(text: &str) -> Option<u32> {
    text.parse::<std::net::Ipv4Addr>().ok().map(u32::from)
}

/// Whether Services of a type have a virtual IP, or are headless.
fn needs_address(service: &Service) -> bool {
    service.kind != ServiceType::ExternalName
}

fn may_have_node_ports(service: &Service) -> bool {
    matches!(service.kind, ServiceType::NodePort | ServiceType::LoadBalancer)
}

/// Whether ports that name no node port are given one.
fn needs_node_ports(service: &Service) -> bool {
    service.kind == ServiceType::NodePort
        || (service.kind == ServiceType::LoadBalancer && service.allocate_node_ports)
}

impl ApiServer {
    /// Gives a Service that is about to be written in place of `old` what it needs and has not, and
    /// refuses what it asks for and cannot have.
    pub(super) fn allocate_for_service(
        &mut self,
        old: Option<&Service>,
        service: &mut Service,
    ) -> Result<(), ApiError> {
        if let Some(old) = old {
            keep_allocated(old, service);
            drop_what_the_type_has_not(old, service);
            check_address_is_kept(old, service)?;
        }
        if service.ip_family_policy == IpFamilyPolicy::RequireDualStack && needs_address(service) {
            let error = "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": Cluster is not configured for \
                         dual-stack services";
            return Err(ApiError::invalid(Kind::Service, &service.meta.name, &[error.to_owned()]));
        }
        self.allocate_address(old, service)?;
        self.allocate_node_ports(old, service)
    }

    fn allocate_address(&mut self, old: Option<&Service>, service: &mut Service) -> Result<(), ApiError> {
        let had = old.filter(|old| needs_address(old)).map(|old| old.cluster_ip.clone());
        if !needs_address(service)
            || service.is_headless()
            || (had.as_ref() == Some(&service.cluster_ip) && !service.cluster_ip.is_empty())
        {
            return Ok(());
        }
        let services = self.list_typed::<Service>();
        let taken: BTreeSet<u32> =
            services.filter_map(|service| parse_address(&service.cluster_ip)).collect();
        if service.cluster_ip.is_empty() {
            service.cluster_ip = self.free_address(&taken)?;
            return Ok(());
        }
        let wanted = parse_address(&service.cluster_ip);
        let problem = match wanted {
            Some(wanted) if !self.settings.service_network.contains(wanted) => {
                "the provided network does not match the current range"
            }
            Some(wanted) if !taken.contains(&wanted) => return Ok(()),
            Some(_) => "provided IP is already allocated",
            None => "the provided IP is not an IPv4 address",
        };
        let ip = &service.cluster_ip;
        let error =
            format!("spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: {problem}");
        Err(ApiError::invalid(Kind::Service, &service.meta.name, &[error]))
    }

    fn free_address(&mut self, taken: &BTreeSet<u32>) -> Result<CompactString, ApiError> {
        let network = self.settings.service_network;
        let band = network.static_band();
        let dynamic = (network.size() - band).max(1);
        let start = self.addresses.below(u64::from(dynamic)) as u32;
        let offsets =
            (0..dynamic).map(|step| band + 1 + (u64::from(start) + u64::from(step)) as u32 % dynamic);
        offsets
            .chain(1..=band)
            .map(|offset| network.address + offset)
            .find(|address| !taken.contains(address))
            .map(format_address)
            .ok_or_else(|| {
                ApiError::new(ErrorReason::InternalError, "failed to allocate a serviceIP: range is full")
            })
    }

    fn allocate_node_ports(&mut self, old: Option<&Service>, service: &mut Service) -> Result<(), ApiError> {
        if !may_have_node_ports(service) {
            return Ok(());
        }
        let own: BTreeSet<u16> = old.map(node_ports).unwrap_or_default();
        let mut taken: BTreeSet<u16> =
            self.list_typed::<Service>().flat_map(|service| node_ports(service)).collect();
        // What the service asks for comes before what it is given.
        let mut asked: BTreeSet<u16> = BTreeSet::new();
        for (index, port) in service.ports.iter().enumerate().filter(|(_, port)| port.node_port != 0) {
            if own.contains(&port.node_port) || asked.contains(&port.node_port) {
                continue;
            }
            if let Some(problem) = unavailable(port.node_port, &taken) {
                let field = format!("spec.ports[{index}].nodePort");
                return Err(refuse_port(service, &field, port.node_port, problem));
            }
            asked.insert(port.node_port);
        }
        taken.extend(asked);
        if needs_node_ports(service) {
            for index in 0..service.ports.len() {
                if service.ports[index].node_port == 0 {
                    let node_port = match sibling_port(&service.ports, index) {
                        Some(node_port) => node_port,
                        None => self.free_node_port(&taken)?,
                    };
                    service.ports[index].node_port = node_port;
                    taken.insert(node_port);
                }
            }
        }
        if service.checks_health() && !own.contains(&service.health_check_node_port) {
            match service.health_check_node_port {
                0 => service.health_check_node_port = self.free_node_port(&taken)?,
                wanted => {
                    if let Some(problem) = unavailable(wanted, &taken) {
                        let message =
                            format!("failed to allocate requested HealthCheck NodePort {wanted}: {problem}");
                        return Err(ApiError::new(ErrorReason::InternalError, message));
                    }
                }
            }
        }
        Ok(())
    }

    fn free_node_port(&mut self, taken: &BTreeSet<u16>) -> Result<u16, ApiError> {
        let first = NODE_PORTS.start() + NODE_PORT_STATIC_BAND;
        let dynamic = NODE_PORTS.end() - first + 1;
        let start = self.addresses.below(u64::from(dynamic)) as u16;
        (0..dynamic)
            .map(|step| first + (start + step) % dynamic)
            .chain(*NODE_PORTS.start()..first)
            .find(|port| !taken.contains(port))
            .ok_or_else(|| {
                ApiError::new(ErrorReason::InternalError, "failed to allocate a nodePort: range is full")
            })
    }
}

/// The node ports of a Service.
fn node_ports(service: &Service) -> BTreeSet<u16> {
    let ports = service.ports.iter().map(|port| port.node_port);
    ports.chain([service.health_check_node_port]).filter(|port| *port != 0).collect()
}

/// Why a node port cannot be had.
fn unavailable(port: u16, taken: &BTreeSet<u16>) -> Option<&'static str> {
    if !NODE_PORTS.contains(&port) {
        return Some("provided port is not in the valid range. The range of valid ports is 30000-32767");
    }
    taken.contains(&port).then_some("provided port is already allocated")
}

fn refuse_port(service: &Service, field: &str, port: u16, problem: &str) -> ApiError {
    let error = format!("{field}: Invalid value: {port}: {problem}");
    ApiError::invalid(Kind::Service, &service.meta.name, &[error])
}

/// One port number with two protocols has one node port.
fn sibling_port(ports: &[ServicePort], index: usize) -> Option<u16> {
    let wanted = &ports[index];
    let mut siblings =
        ports.iter().filter(|port| port.port == wanted.port && port.protocol != wanted.protocol);
    siblings.find(|port| port.node_port != 0).map(|port| port.node_port)
}

/// An update that leaves out what was allocated keeps it.
fn keep_allocated(old: &Service, service: &mut Service) {
    if needs_address(old) && needs_address(service) && service.cluster_ip.is_empty() {
        service.cluster_ip = old.cluster_ip.clone();
    }
    if may_have_node_ports(old) && may_have_node_ports(service) {
        let used: Vec<u16> = service.ports.iter().map(|port| port.node_port).collect();
        for port in service.ports.iter_mut().filter(|port| port.node_port == 0) {
            let same = |other: &&ServicePort| (other.port, other.protocol) == (port.port, port.protocol);
            let before = old.ports.iter().find(same).map_or(0, |before| before.node_port);
            if !used.contains(&before) {
                port.node_port = before;
            }
        }
    }
    if old.checks_health() && service.checks_health() && service.health_check_node_port == 0 {
        service.health_check_node_port = old.health_check_node_port;
    }
}

/// A change of the type takes away what Services of the new type do not have, if it is what the old
/// one had.
fn drop_what_the_type_has_not(old: &Service, service: &mut Service) {
    if needs_address(old) && !needs_address(service) && old.cluster_ip == service.cluster_ip {
        service.cluster_ip = CompactString::default();
    }
    if may_have_node_ports(old) && !may_have_node_ports(service) {
        let (before, after) = (node_ports(old), node_ports(service));
        if after.is_subset(&before) {
            service.ports.iter_mut().for_each(|port| port.node_port = 0);
        }
    }
    if old.checks_health() && !service.checks_health() {
        service.health_check_node_port = 0;
    }
}

/// A virtual IP is for life, and so is to be headless.
fn check_address_is_kept(old: &Service, service: &Service) -> Result<(), ApiError> {
    let free = !needs_address(old) || !needs_address(service) || old.cluster_ip.is_empty();
    if free || old.cluster_ip == service.cluster_ip {
        return Ok(());
    }
    let error =
        format!("spec.clusterIPs[0]: Invalid value: [\"{}\"]: may not change once set", service.cluster_ip);
    Err(ApiError::invalid(Kind::Service, &service.meta.name, &[error]))
}
