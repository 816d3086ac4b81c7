//! Services and what stands behind them (`pkg/apis/core/validation/validation.go`,
//! `pkg/apis/discovery/validation/validation.go`).

use super::container::{PROTOCOLS, one_of, port_number, port_number_or_name};
use super::meta::{self, Scope, must_be_label, must_be_qualified, must_be_subdomain};
use super::names::{self, Address};
use crate::document::Node;
use crate::rest::errors::{Errors, Path};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_MAX: i64 = 86_400;

/// A Service that is to be created.
pub(super) fn create(service: &Node, e: &mut Errors) {
    meta::object_meta(service, Scope::Namespaced, names::dns_label, e);
    body(service, &[], e);
}

/// A Service that replaces another version of itself.
pub(super) fn update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    let empty = Node::empty();
    let (spec, before) = (new.field("spec").unwrap_or(&empty), old.field("spec").unwrap_or(&empty));
    cluster_ips_update(spec, before, e);
    families_update(spec, before, e);
    let path = Path::new("spec.loadBalancerClass");
    if spec.str("type") == "LoadBalancer" && before.str("type") == "LoadBalancer" {
        let (class, old) = (spec.field("loadBalancerClass"), before.field("loadBalancerClass"));
        if !meta::same(class, old) {
            let null = Node::unplaced(crate::document::Value::Null);
            e.invalid(&path, class.unwrap_or(&null), "may not change once set");
        }
    }
    load_balancer_class(spec, &path, e);
    let port = |spec: &Node| spec.number("healthCheckNodePort").unwrap_or(0);
    if needs_health_check(spec) && needs_health_check(before) && port(spec) != port(before) {
        e.forbidden(&Path::new("spec.healthCheckNodePort"), "field is immutable");
    }
    body(new, &texts(before, "clusterIPs"), e);
}

fn texts(node: &Node, key: &str) -> Vec<String> {
    node.elements(key).iter().map(|element| element.as_str().unwrap_or("").to_owned()).collect()
}

fn is_headless(spec: &Node) -> bool {
    texts(spec, "clusterIPs") == ["None"]
}

/// Whether traffic from outside reaches the Service by a port or an address.
fn is_external(spec: &Node) -> bool {
    let by_address = spec.str("type") == "ClusterIP" && !spec.elements("externalIPs").is_empty();
    matches!(spec.str("type"), "LoadBalancer" | "NodePort") || by_address
}

fn needs_health_check(spec: &Node) -> bool {
    spec.str("type") == "LoadBalancer" && spec.str("externalTrafficPolicy") == "Local"
}

fn body(service: &Node, old_addresses: &[String], e: &mut Errors) {
    let empty = Node::empty();
    let spec = service.field("spec").unwrap_or(&empty);
    let path = Path::new("spec");
    let (kind, ports) = (spec.str("type"), spec.elements("ports"));
    if ports.is_empty() && !is_headless(spec) && kind != "ExternalName" {
        e.required(&path.child("ports"), "");
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            e.invalid(&path.child("clusterIPs").index(0), "None", detail);
        }
        "ExternalName" => external_name(spec, &path, e),
        _ => {}
    }
    let mut seen = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        service_port(port, ports.len() > 1, &mut seen, &path.child("ports").index(index), e);
    }
    meta::labels(spec, "selector", &path.child("selector"), e);
    session_affinity(spec, &path, e);
    cluster_ips(spec, old_addresses, &path, e);
    for (index, address) in texts(spec, "externalIPs").iter().enumerate() {
        let path = path.child("externalIPs").index(index);
        let faults = names::ip_address(address);
        if faults.is_empty() {
            endpoint_address(address, &path, e);
        } else {
            e.invalid_in(&path, address, faults);
        }
    }
    one_of(kind, &TYPES, &path.child("type"), e);
    port_conflicts(kind, &ports, &path.child("ports"), e);
    load_balancer(spec, &path, e);
    load_balancer_class(spec, &path.child("loadBalancerClass"), e);
    traffic(spec, &path, e);
}

fn external_name(spec: &Node, path: &Path, e: &mut Errors) {
    for key in ["clusterIPs", "ipFamilies"] {
        if !spec.elements(key).is_empty() {
            e.forbidden(&path.child(key), "may not be set for ExternalName services");
        }
    }
    if spec.field("ipFamilyPolicy").is_some() {
        e.forbidden(&path.child("ipFamilyPolicy"), "may not be set for ExternalName services");
    }
    let name = spec.str("externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => e.required(&path.child("externalName"), ""),
        name => must_be_subdomain(name, &path.child("externalName"), e),
    }
}

fn service_port(port: &Node, needs_name: bool, seen: &mut Vec<String>, path: &Path, e: &mut Errors) {
    let name = port.str("name");
    if needs_name && name.is_empty() {
        e.required(&path.child("name"), "");
    } else if !name.is_empty() {
        must_be_label(name, &path.child("name"), e);
        if seen.iter().any(|other| other == name) {
            e.duplicate(&path.child("name"), name);
        } else {
            seen.push(name.to_owned());
        }
    }
    port_number(port.number("port").unwrap_or(0), &path.child("port"), e);
    one_of(port.str("protocol"), &PROTOCOLS, &path.child("protocol"), e);
    port_number_or_name(port.field("targetPort"), &path.child("targetPort"), e);
    if let Some(protocol) = port.field("appProtocol").and_then(Node::as_str) {
        must_be_qualified(protocol, &path.child("appProtocol"), e);
    }
}

fn session_affinity(spec: &Node, path: &Path, e: &mut Errors) {
    let affinity = spec.str("sessionAffinity");
    one_of(affinity, &["ClientIP", "None"], &path.child("sessionAffinity"), e);
    let path = path.child("sessionAffinityConfig");
    let config = spec.field("sessionAffinityConfig");
    match affinity {
        "ClientIP" => {
            let missing = "when session affinity type is ClientIP";
            let Some(config) = config else { return e.required(&path, missing) };
            let path = path.child("clientIP");
            let Some(client) = config.field("clientIP") else { return e.required(&path, missing) };
            let path = path.child("timeoutSeconds");
            let Some(seconds) = client.number("timeoutSeconds") else { return e.required(&path, missing) };
            if !(1..=AFFINITY_MAX).contains(&seconds) {
                e.invalid(&path, seconds, format!("must be greater than 0 and less than {AFFINITY_MAX}"));
            }
        }
        "None" if config.is_some() => e.forbidden(&path, "must not be set when session affinity is None"),
        _ => {}
    }
}

fn cluster_ips(spec: &Node, old: &[String], path: &Path, e: &mut Errors) {
    if spec.str("type") == "ExternalName" {
        return;
    }
    let (address, addresses, families) =
        (spec.str("clusterIP"), texts(spec, "clusterIPs"), texts(spec, "ipFamilies"));
    let all = || Node::list(addresses.iter().map(Node::text));
    let at = path.child("clusterIPs");
    match addresses.first() {
        None if !address.is_empty() => e.required(&at, ""),
        Some(first) if !address.is_empty() && first != address => {
            e.invalid(&at, all(), "first value must match `clusterIP`");
        }
        Some(_) if address.is_empty() => {
            e.invalid(&at, all(), "must be empty when `clusterIP` is not specified");
        }
        _ => {}
    }
    for (index, family) in families.iter().enumerate() {
        let path = path.child("ipFamilies").index(index);
        if !matches!(family.as_str(), "IPv4" | "IPv6") {
            e.unsupported(&path, family, &["IPv4", "IPv6"]);
        }
        if families[..index].contains(family) {
            e.duplicate(&path, family);
        }
    }
    const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    let policy = spec.field("ipFamilyPolicy").and_then(Node::as_str);
    if let Some(policy) = policy.filter(|policy| !POLICIES.contains(policy)) {
        e.unsupported(&path.child("ipFamilyPolicy"), policy, &POLICIES);
    }
    let before = e.len();
    for (index, address) in addresses.iter().enumerate() {
        if index == 0 && address == "None" {
            if addresses.len() > 1 {
                e.invalid(&at, all(), "'None' must be the first and only value");
            }
        } else if !old.contains(address) {
            e.invalid_in(&at.index(index), address, names::ip_address(address));
        }
    }
    let malformed = e.len() > before;
    if addresses.len() > 2 {
        e.invalid(&at, all(), "may only hold up to 2 values");
    }
    if malformed {
        return;
    }
    let is_v6 = |text: &String| matches!(names::parse_address(text), Some(Address::V6(_)));
    if addresses.len() > 1 && addresses.iter().all(is_v6) == addresses.iter().any(is_v6) {
        e.invalid(&at, all(), "may specify no more than one IP for each IP family");
    }
    for (index, (address, family)) in
        addresses.iter().zip(&families).enumerate().filter(|_| !is_headless(spec))
    {
        if (family == "IPv4" && is_v6(address)) || (family == "IPv6" && !is_v6(address)) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            e.invalid(&at.index(index), address, detail);
        }
    }
}

fn cluster_ips_update(spec: &Node, before: &Node, e: &mut Errors) {
    if [spec, before].iter().any(|spec| spec.str("type") == "ExternalName")
        || is_headless(spec) && is_headless(before)
    {
        return;
    }
    let (new, old) = (texts(spec, "clusterIPs"), texts(before, "clusterIPs"));
    let all = || Node::list(new.iter().map(Node::text));
    let path = Path::new("spec.clusterIPs");
    if new.len() == old.len() {
        for index in (0..old.len()).filter(|&index| old[index] != new[index]) {
            e.invalid(&path.index(index), all(), "may not change once set");
        }
        return;
    }
    if new.is_empty() {
        e.invalid(&path.index(0), all(), "primary clusterIP can not be unset");
    } else if !old.is_empty() && new[0] != old[0] {
        e.invalid(&path.index(0), all(), "may not change once set");
    }
    if old.len() > new.len() && new.len() == 1 {
        single_stack(spec, "must be set to 'SingleStack' when releasing the secondary clusterIP", e);
    }
}

fn single_stack(spec: &Node, detail: &str, e: &mut Errors) {
    if spec.str("ipFamilyPolicy") != "SingleStack" {
        let null = Node::unplaced(crate::document::Value::Null);
        e.invalid(&Path::new("spec.ipFamilyPolicy"), spec.field("ipFamilyPolicy").unwrap_or(&null), detail);
    }
}

fn families_update(spec: &Node, before: &Node, e: &mut Errors) {
    let external = [spec, before].iter().any(|spec| spec.str("type") == "ExternalName");
    if external || is_headless(spec) || is_headless(before) {
        return;
    }
    let (new, old) = (texts(spec, "ipFamilies"), texts(before, "ipFamilies"));
    let path = Path::new("spec.ipFamilies").index(0);
    let list = |texts: &[String]| Node::list(texts.iter().map(Node::text));
    if new.len() == old.len() {
        for _ in (0..old.len()).filter(|&index| old[index] != new[index]) {
            e.invalid(&path, list(&new), "may not change once set");
        }
        return;
    }
    let addresses = texts(spec, "clusterIPs");
    if old.len() > new.len() && addresses.is_empty() {
        e.invalid(&path, list(&new), "primary ipFamily can not be unset");
    }
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && new != old
    {
        e.invalid(&path, list(&addresses), "may not change once set");
    }
    if old.len() > new.len() && new.len() == 1 {
        single_stack(spec, "must be set to 'SingleStack' when releasing the secondary ipFamily", e);
    }
}

fn port_conflicts(kind: &str, ports: &[Node], path: &Path, e: &mut Errors) {
    let node_port = |port: &Node| port.number("nodePort").unwrap_or(0);
    for (index, _) in ports.iter().enumerate().filter(|(_, port)| kind == "ClusterIP" && node_port(port) != 0)
    {
        e.forbidden(&path.index(index).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
    }
    let protocol = |port: &Node| port.str("protocol").to_owned();
    for (index, port) in ports.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
        let same = |other: &Node| node_port(other) == node_port(port) && protocol(other) == protocol(port);
        if ports[..index].iter().any(same) {
            e.duplicate(&path.index(index).child("nodePort"), node_port(port));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let same =
            |other: &Node| other.number("port") == port.number("port") && protocol(other) == protocol(port);
        if ports[..index].iter().any(same) {
            let key = Node::object([
                ("Name", Node::text("")),
                ("Protocol", Node::text(port.str("protocol"))),
                ("AppProtocol", Node::unplaced(crate::document::Value::Null)),
                ("Port", Node::int(port.number("port").unwrap_or(0))),
                ("TargetPort", Node::int(0)),
                ("NodePort", Node::int(0)),
            ]);
            e.duplicate(&path.index(index), key);
        }
    }
}

fn load_balancer(spec: &Node, path: &Path, e: &mut Errors) {
    let is_balancer = spec.str("type") == "LoadBalancer";
    let ranges = texts(spec, "loadBalancerSourceRanges");
    let at = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !is_balancer {
        e.forbidden(&at, "may only be used when `type` is 'LoadBalancer'");
    }
    for (index, range) in ranges.iter().enumerate() {
        e.invalid_in(&at.index(index), range.trim(), names::network(range.trim()));
    }
    let allocates = spec.field("allocateLoadBalancerNodePorts").is_some();
    if allocates && !is_balancer {
        e.forbidden(
            &path.child("allocateLoadBalancerNodePorts"),
            "may only be used when `type` is 'LoadBalancer'",
        );
    }
    if !allocates && is_balancer {
        e.required(&Path::new("allocateLoadBalancerNodePorts"), "");
    }
}

fn load_balancer_class(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(class) = spec.field("loadBalancerClass").and_then(Node::as_str) else { return };
    if spec.str("type") == "LoadBalancer" {
        must_be_qualified(class, path, e);
    } else {
        e.forbidden(path, "may only be used when `type` is 'LoadBalancer'");
    }
}

fn traffic(spec: &Node, path: &Path, e: &mut Errors) {
    let external = spec.str("externalTrafficPolicy");
    let at = path.child("externalTrafficPolicy");
    if is_external(spec) {
        one_of(external, &["Cluster", "Local"], &at, e);
    } else if !external.is_empty() {
        e.invalid(&at, external, "may only be set for externally-accessible services");
    }
    let at = path.child("healthCheckNodePort");
    match (needs_health_check(spec), spec.number("healthCheckNodePort").unwrap_or(0)) {
        (false, 0) => {}
        (false, port) => {
            let detail =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            e.invalid(&at, port, detail);
        }
        // The server allocates one.
        (true, 0) => {}
        (true, port) => port_number(port, &at, e),
    }
    let at = path.child("internalTrafficPolicy");
    match spec.field("internalTrafficPolicy").and_then(Node::as_str) {
        None if matches!(spec.str("type"), "NodePort" | "LoadBalancer" | "ClusterIP") => e.required(&at, ""),
        None | Some("Cluster" | "Local") => {}
        Some(other) => e.unsupported(&at, other, &["Cluster", "Local"]),
    }
    const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    let distribution = spec.field("trafficDistribution").and_then(Node::as_str);
    if let Some(distribution) = distribution.filter(|found| !DISTRIBUTIONS.contains(found)) {
        e.unsupported(&path.child("trafficDistribution"), distribution, &DISTRIBUTIONS);
    }
}

/// An address that traffic may be sent to.
fn endpoint_address(text: &str, path: &Path, e: &mut Errors) {
    let Some(address) = names::parse_address(text) else {
        return e.invalid(path, text, "must be a valid IP address");
    };
    let (unspecified, loopback, link_local, multicast) = match address {
        Address::V4(v4) => {
            (v4.is_unspecified(), v4.is_loopback(), v4.is_link_local(), v4.octets()[..3] == [224, 0, 0])
        }
        Address::V6(v6) => (
            v6.is_unspecified(),
            v6.is_loopback(),
            v6.segments()[0] & 0xffc0 == 0xfe80,
            v6.segments()[0] & 0xff0f == 0xff02,
        ),
    };
    let rules = [
        (unspecified, format!("may not be unspecified ({text})")),
        (loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)".into()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".into()),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()),
    ];
    for (_, detail) in rules.iter().filter(|(broken, _)| *broken) {
        e.invalid(path, text, detail);
    }
}

/// Endpoints, the old kind.
pub(super) fn endpoints(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    for (index, subset) in object.elements("subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        let ports = subset.elements("ports");
        if subset.elements("addresses").is_empty() && subset.elements("notReadyAddresses").is_empty() {
            e.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for key in ["addresses", "notReadyAddresses"] {
            for (index, address) in subset.elements(key).iter().enumerate() {
                let path = path.child(key).index(index);
                e.invalid_in(&path.child("ip"), address.str("ip"), names::ip_address(address.str("ip")));
                if !address.str("hostname").is_empty() {
                    must_be_label(address.str("hostname"), &path.child("hostname"), e);
                }
                if let Some(node) = address.field("nodeName").and_then(Node::as_str) {
                    must_be_subdomain(node, &path.child("nodeName"), e);
                }
                endpoint_address(address.str("ip"), &path.child("ip"), e);
            }
        }
        for (index, port) in ports.iter().enumerate() {
            let path = path.child("ports").index(index);
            match port.str("name") {
                "" if ports.len() > 1 => e.required(&path.child("name"), ""),
                "" => {}
                name => must_be_label(name, &path.child("name"), e),
            }
            port_number(port.number("port").unwrap_or(0), &path.child("port"), e);
            one_of(port.str("protocol"), &PROTOCOLS, &path.child("protocol"), e);
            if let Some(protocol) = port.field("appProtocol").and_then(Node::as_str) {
                must_be_qualified(protocol, &path.child("appProtocol"), e);
            }
        }
    }
}

/// A slice of endpoints.
pub(super) fn slice(object: &Node, e: &mut Errors) {
    const ENDPOINTS_MAX: usize = 1_000;
    const PORTS_MAX: usize = 20_000;
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    let kind = object.str("addressType");
    one_of(kind, &["FQDN", "IPv4", "IPv6"], &Path::new("addressType"), e);
    let (ports, endpoints) = (object.elements("ports"), object.elements("endpoints"));
    if ports.len() > PORTS_MAX {
        e.too_many(&Path::new("ports"), ports.len(), PORTS_MAX);
    } else {
        slice_ports(&ports, &Path::new("ports"), e);
    }
    if endpoints.len() > ENDPOINTS_MAX {
        e.too_many(&Path::new("endpoints"), endpoints.len(), ENDPOINTS_MAX);
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        slice_endpoint(kind, endpoint, &Path::new("endpoints").index(index), e);
    }
}

fn slice_ports(ports: &[Node], path: &Path, e: &mut Errors) {
    for (index, port) in ports.iter().enumerate() {
        let (path, name) = (path.index(index), port.str("name"));
        if !name.is_empty() {
            must_be_label(name, &path.child("name"), e);
        }
        if ports[..index].iter().any(|other| other.str("name") == name) {
            e.duplicate(&path.child("name"), name);
        }
        one_of(port.str("protocol"), &PROTOCOLS, &path.child("protocol"), e);
        if let Some(protocol) = port.field("appProtocol").and_then(Node::as_str) {
            must_be_qualified(protocol, &path.child("appProtocol"), e);
        }
    }
}

fn slice_endpoint(kind: &str, endpoint: &Node, path: &Path, e: &mut Errors) {
    const ADDRESSES_MAX: usize = 100;
    const HINTS_MAX: usize = 8;
    let at = path.child("addresses");
    let addresses = texts(endpoint, "addresses");
    if addresses.is_empty() {
        e.required(&at, "must contain at least 1 address");
    } else if addresses.len() > ADDRESSES_MAX {
        e.too_many(&at, addresses.len(), ADDRESSES_MAX);
    }
    for (index, address) in addresses.iter().enumerate() {
        let one = at.index(index);
        match (kind, names::parse_address(address)) {
            ("IPv4" | "IPv6", None) => e.invalid_in(&one, address, names::ip_address(address)),
            ("IPv4", Some(Address::V6(_))) => {
                e.invalid(&at, address, "must be an IPv4 address");
                endpoint_address(address, &one, e);
            }
            ("IPv6", Some(Address::V4(_))) => {
                e.invalid(&at, address, "must be an IPv6 address");
                endpoint_address(address, &one, e);
            }
            ("IPv4" | "IPv6", Some(_)) => endpoint_address(address, &one, e),
            ("FQDN", _) => domain_name(address, &one, e),
            _ => {}
        }
    }
    if let Some(node) = endpoint.field("nodeName").and_then(Node::as_str) {
        must_be_subdomain(node, &path.child("nodeName"), e);
    }
    if let Some(name) = endpoint.field("hostname").and_then(Node::as_str) {
        must_be_label(name, &path.child("hostname"), e);
    }
    let Some(hints) = endpoint.field("hints") else { return };
    for (key, rule) in [("forZones", names::label_value as fn(&str) -> _), ("forNodes", names::dns_subdomain)]
    {
        let path = path.child("hints").child(key);
        let all = hints.elements(key);
        if all.len() > HINTS_MAX {
            return e.too_many(&path, all.len(), HINTS_MAX);
        }
        for (index, hint) in all.iter().enumerate() {
            let (path, name) = (path.index(index).child("name"), hint.str("name"));
            if all[..index].iter().any(|other| other.str("name") == name) {
                e.duplicate(&path, name);
            }
            e.invalid_in(&path, name, rule(name));
        }
    }
}

fn domain_name(text: &str, path: &Path, e: &mut Errors) {
    if text.is_empty() {
        return e.required(path, "");
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let faults = names::dns_subdomain(name);
    if !faults.is_empty() {
        return e.invalid(path, name, faults.join(","));
    }
    if !name.contains('.') {
        return e.invalid(path, name, "should be a domain with at least two segments separated by dots");
    }
    if let Some(label) = name.split('.').find(|label| !names::dns_label(label).is_empty()) {
        e.invalid(path, label, names::dns_label(label).join(","));
    }
}
