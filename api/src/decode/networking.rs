//! Ingresses, their classes and NetworkPolicies (upstream `pkg/apis/networking`).

use super::container::{PROTOCOLS, port_number, port_ref};
use super::names;
use super::reader::Reader;
use super::selector;
use crate::container::PortRef;
use crate::meta::ObjectMeta;
use crate::networking::{
    Cidr, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls, NetworkPolicy,
    PathType, PolicyPeer, PolicyPort, PolicyRule,
};

/// Reads an Ingress.
pub(super) fn ingress(object: &Reader<'_>, meta: ObjectMeta) -> Option<Ingress> {
    object.known(&["status"]);
    object.object_or_empty("spec", |spec| {
        let class = spec.symbol("ingressClassName");
        let ingress = Ingress {
            meta,
            class: Some(class).filter(|class| !class.is_empty()),
            default_backend: spec.object("defaultBackend", backend).flatten(),
            tls: spec.list("tls", tls).into(),
            rules: spec.list("rules", rule).into(),
        };
        if ingress.default_backend.is_none() && ingress.rules.is_empty() && !spec.has("defaultBackend") {
            spec.invalid("rules", "a rule, or a defaultBackend");
        }
        ingress
    })
}

fn tls(tls: &Reader<'_>) -> IngressTls {
    let hosts = tls.texts("hosts");
    if hosts.iter().any(|host| !is_host(host)) {
        tls.invalid("hosts", HOST);
    }
    IngressTls { hosts, secret: tls.symbol("secretName") }
}

const HOST: &str = "a DNS name in lower case, or `*.` and such a name";

/// Whether a host is a name, or a wildcard for the subdomains of one.
fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    names::is_subdomain(name) && host.parse::<std::net::IpAddr>().is_err()
}

fn rule(rule: &Reader<'_>) -> IngressRule {
    let host = rule.text("host");
    if !host.is_empty() && !is_host(&host) {
        rule.invalid("host", HOST);
    }
    let paths = rule.object("http", |http| {
        let paths: Vec<IngressPath> = http.list("paths", path).into_iter().flatten().collect();
        if http.list_len("paths") == 0 {
            http.invalid("paths", "at least one path");
        }
        paths.into()
    });
    IngressRule { host, paths }
}

fn path(path: &Reader<'_>) -> Option<IngressPath> {
    let types = [
        ("Exact", PathType::Exact),
        ("Prefix", PathType::Prefix),
        ("ImplementationSpecific", PathType::ImplementationSpecific),
    ];
    let written = path.text("path");
    let path_type = path.choice("pathType", &types);
    match path_type {
        None if !path.has("pathType") => {
            path.invalid("pathType", "a type: Exact, Prefix or ImplementationSpecific");
        }
        None => {}
        Some(PathType::ImplementationSpecific) if written.is_empty() || written.starts_with('/') => {}
        Some(PathType::ImplementationSpecific) => path.invalid("path", "a path that begins with /"),
        Some(_) => {
            let lower = written.to_ascii_lowercase();
            let bad = ["//", "/./", "/../", "%2f"].into_iter().find(|bad| lower.contains(bad));
            if !written.starts_with('/') {
                path.invalid("path", "a path that begins with /");
            } else if let Some(bad) = bad {
                path.invalid("path", format!("a path without {bad}"));
            } else if written.ends_with("/..") || written.ends_with("/.") {
                path.invalid("path", "a path that does not end in /. or /..");
            }
        }
    }
    if !path.has("backend") {
        path.invalid("backend", "a service or a resource");
    }
    let backend = path.object("backend", backend).flatten()?;
    Some(IngressPath { path: written, path_type: path_type?, backend })
}

fn backend(backend: &Reader<'_>) -> Option<IngressBackend> {
    let service = backend.object("service", |service| {
        let name = service.required_symbol("name");
        let port = service.object("port", |port| {
            let number = port_number(port, "number").filter(|&number| number != 0);
            let name = port.symbol("name");
            match (number, name.is_empty()) {
                (Some(number), true) => Some(PortRef::Number(number)),
                (None, false) => Some(PortRef::Name(name)),
                (Some(_), false) => {
                    port.refuse("name", "a port has a name or a number, not both");
                    None
                }
                (None, true) => None,
            }
        });
        match port {
            Some(Some(port)) => Some((name, port)),
            Some(None) => None,
            None => {
                service.invalid("port", "the name or number of a port");
                None
            }
        }
    });
    let resource = backend.object("resource", |resource| {
        resource.known(&["apiGroup"]);
        IngressBackend::Resource { kind: resource.required_symbol("kind"), name: resource.text("name") }
    });
    match (service, resource) {
        (Some(_), Some(_)) => {
            backend.refuse("resource", "a backend is a service or a resource, not both");
            None
        }
        (Some(service), None) => service.map(|(name, port)| IngressBackend::Service { name, port }),
        (None, resource) => {
            if resource.is_none() {
                backend.invalid("service", "a service or a resource");
            }
            resource
        }
    }
}

/// Reads an IngressClass.
pub(super) fn ingress_class(object: &Reader<'_>, meta: ObjectMeta) -> Option<IngressClass> {
    object.object_or_empty("spec", |spec| {
        // What the parameters mean is the controller's business.
        if spec.has("parameters") {
            spec.object("parameters", |parameters| parameters.all_known());
        }
        let controller = spec.text("controller");
        let is_path = controller.split_once('/').is_some_and(|(domain, rest)| {
            names::is_subdomain(domain) && !rest.is_empty() && controller.len() <= 250
        });
        if !is_path {
            spec.invalid("controller", "a domain and a path, such as k8s.io/ingress-nginx");
        }
        IngressClass { meta, controller }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// Reads a NetworkPolicy.
pub(super) fn policy(object: &Reader<'_>, meta: ObjectMeta) -> Option<NetworkPolicy> {
    object.known(&["status"]);
    object.object_or_empty("spec", |spec| {
        let pods = selector::optional(spec, "podSelector").unwrap_or_default();
        let ingress: Box<[PolicyRule]> = spec.list("ingress", |rule| policy_rule(rule, "from")).into();
        let egress: Box<[PolicyRule]> = spec.list("egress", |rule| policy_rule(rule, "to")).into();
        let (is_ingress, is_egress) = policy_types(spec, !egress.is_empty());
        NetworkPolicy {
            meta,
            pods,
            ingress: is_ingress.then_some(ingress),
            egress: is_egress.then_some(egress),
        }
    })
}

/// Which directions a policy is about: what it says, or ingress, and egress if it has such rules.
fn policy_types(spec: &Reader<'_>, has_egress: bool) -> (bool, bool) {
    let written = spec.strs("policyTypes");
    let type_of = |text: &str| match text {
        "Ingress" => Some(Direction::Ingress),
        "Egress" => Some(Direction::Egress),
        _ => None,
    };
    let types: Vec<Option<Direction>> = written.iter().map(|text| type_of(text)).collect();
    if types.contains(&None) || types.len() > 2 {
        spec.invalid("policyTypes", "Ingress, Egress or both");
    }
    if types.is_empty() {
        return (true, has_egress);
    }
    (types.contains(&Some(Direction::Ingress)), types.contains(&Some(Direction::Egress)))
}

fn policy_rule(rule: &Reader<'_>, peers: &'static str) -> PolicyRule {
    PolicyRule {
        peers: rule.list(peers, peer).into_iter().flatten().collect(),
        ports: rule.list("ports", policy_port).into(),
    }
}

fn peer(peer: &Reader<'_>) -> Option<PolicyPeer> {
    let namespaces = selector::optional(peer, "namespaceSelector");
    let pods = selector::optional(peer, "podSelector");
    let block = peer.object("ipBlock", |block| {
        let cidr = Cidr::parse(&block.text("cidr"));
        if cidr.is_none() {
            block.invalid("cidr", "a range of addresses such as 10.0.0.0/8");
        }
        let parts = block.texts("except");
        let except: Option<Box<[Cidr]>> = parts.iter().map(|part| Cidr::parse(part)).collect();
        let inside = match (&except, cidr) {
            (Some(except), Some(cidr)) => except.iter().all(|part| cidr.strictly_contains(*part)),
            (None, _) => false,
            (_, None) => true,
        };
        if !inside {
            block.invalid("except", "ranges that are parts of cidr");
        }
        Some(PolicyPeer::Block { cidr: cidr?, except: except? })
    });
    match (block, namespaces, pods) {
        (Some(block), None, None) => block,
        (Some(_), _, _) => {
            peer.refuse("ipBlock", "a peer is a range of addresses or selects pods, not both");
            None
        }
        (None, None, None) => {
            peer.invalid("podSelector", "a podSelector, a namespaceSelector or an ipBlock");
            None
        }
        (None, namespaces, pods) => Some(PolicyPeer::Pods { namespaces, pods }),
    }
}

fn policy_port(port: &Reader<'_>) -> PolicyPort {
    let protocol = port.choice("protocol", &PROTOCOLS).unwrap_or_default();
    let first = port_ref(port, "port");
    let end_port = port.int("endPort", 1..=65_535).map(|end| end as u16);
    match (first, end_port) {
        (Some(PortRef::Number(first)), Some(end)) if end < first => {
            port.invalid("endPort", format!("a number ≥ port, {first}"));
        }
        (Some(PortRef::Name(_)), Some(_)) => port.refuse("endPort", "a range begins with a number"),
        (None, Some(_)) => port.refuse("endPort", "a range needs a port that it begins with"),
        _ => {}
    }
    PolicyPort { protocol, port: first, end_port }
}
