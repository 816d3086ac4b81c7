//! Which addresses the Endpoints object of a Service should have (upstream
//! `pkg/controller/endpoint` and `pkg/api/v1/endpoints`).

use std::collections::BTreeMap;

use seatrial_api::pod::Pod;
use seatrial_api::service::{EndpointAddress, EndpointPort, EndpointSubset, Service};
use seatrial_api::symbol::Symbol;

use crate::endpointslice::{PortKey, port_key, resolve_ports};

/// The most addresses of an Endpoints object.
pub const ADDRESSES_MAX: usize = 1_000;

/// The addresses that are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The addresses, grouped by the ports that they serve.
    pub subsets: Vec<EndpointSubset>,
    /// Whether there are more than fit.
    pub truncated: bool,
}

/// The addresses of a Service with these pods.
pub fn plan<'a>(service: &Service, pods: impl Iterator<Item = &'a Pod>) -> Wanted {
    let mut groups: BTreeMap<PortKey, EndpointSubset> = BTreeMap::new();
    for pod in pods {
        let hidden = pod.meta.is_deleting() && !service.publish_not_ready_addresses;
        if pod.status.phase.is_terminal() || pod.status.ip == 0 || hidden {
            continue;
        }
        let ports = resolve_ports(service, pod);
        // A pod without any of the ports is only of use to a headless Service without ports.
        if ports.is_empty() && !(service.is_headless() && service.ports.is_empty()) {
            continue;
        }
        let subset = groups.entry(port_key(&ports)).or_insert_with(|| EndpointSubset {
            ready: Vec::new(),
            not_ready: Vec::new(),
            ports: sorted(&ports),
        });
        let ready = service.publish_not_ready_addresses || pod.is_ready();
        let side = if ready { &mut subset.ready } else { &mut subset.not_ready };
        side.push(address(service, pod));
    }
    let mut wanted = Wanted { subsets: groups.into_values().collect(), truncated: false };
    for subset in &mut wanted.subsets {
        subset.ready.sort_by_key(|address| (address.ip, address.pod_uid));
        subset.not_ready.sort_by_key(|address| (address.ip, address.pod_uid));
    }
    truncate(&mut wanted);
    wanted
}

fn sorted(ports: &[EndpointPort]) -> Box<[EndpointPort]> {
    let mut ports = ports.to_vec();
    ports.sort_by_key(|port| (port.name, port.protocol, port.port));
    ports.into()
}

fn address(service: &Service, pod: &Pod) -> EndpointAddress {
    let governed = pod.spec.subdomain == service.meta.name.as_str();
    EndpointAddress {
        ip: pod.status.ip,
        pod: pod.meta.id,
        pod_uid: pod.meta.uid,
        node: pod.node.unwrap_or_default(),
        hostname: if governed { pod.spec.hostname } else { Symbol::empty() },
    }
}

/// What does not fit is left out: addresses that are not ready first.
fn truncate(wanted: &mut Wanted) {
    let mut room = ADDRESSES_MAX;
    for take_ready in [true, false] {
        for subset in &mut wanted.subsets {
            let side = if take_ready { &mut subset.ready } else { &mut subset.not_ready };
            wanted.truncated |= side.len() > room;
            side.truncate(room);
            room -= side.len();
        }
    }
    wanted.subsets.retain(|subset| !subset.ready.is_empty() || !subset.not_ready.is_empty());
}
