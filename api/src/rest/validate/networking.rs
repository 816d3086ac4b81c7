//! Ingresses and network policies (`pkg/apis/networking/validation/validation.go`).

use super::batch::domain_prefixed_path;
use super::container::port_number;
use super::meta::{self, Scope, immutable, must_be_label, must_be_subdomain};
use super::names;
use crate::document::{Node, Value};
use crate::rest::errors::{Errors, Path};
use crate::schema::internal_json;

fn spec_of(object: &Node) -> Node {
    object.field("spec").cloned().unwrap_or_else(Node::empty)
}

/// An Ingress that is to be created.
pub(super) fn ingress(object: &Node, e: &mut Errors) {
    const KEY: &str = "kubernetes.io/ingress.class";
    ingress_body(object, e);
    let spec = spec_of(object);
    let annotation = object.at(&["metadata", "annotations", KEY]).and_then(Node::as_str);
    let class = spec.field("ingressClassName").and_then(Node::as_str);
    if let (Some(annotation), Some(class)) = (annotation, class)
        && annotation != class
    {
        let detail = "must match `ingressClassName` when both are specified";
        e.invalid(&Path::new("annotations").child(KEY), annotation, detail);
    }
}

/// An Ingress in another version.
pub(super) fn ingress_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    ingress_body(new, e);
}

fn ingress_body(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    let (spec, path) = (spec_of(object), Path::new("spec"));
    let rules = spec.elements("rules");
    if rules.is_empty() && spec.field("defaultBackend").is_none() {
        let printed = internal_json("[]networking.IngressRule", spec.field("rules"));
        e.invalid(&path, printed, "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(found) = spec.field("defaultBackend") {
        backend(found, &path.child("defaultBackend"), e);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.child("rules").index(index);
        let host = rule.str("host");
        if !host.is_empty() {
            if names::parse_address(host).is_some() {
                e.invalid(&path.child("host"), host, "must be a DNS name, not an IP address");
            }
            host_name(host, &path.child("host"), e);
        }
        let Some(http) = rule.field("http") else { continue };
        let paths = http.elements("paths");
        let path = path.child("http").child("paths");
        if paths.is_empty() {
            e.required(&path, "");
        }
        for (index, found) in paths.iter().enumerate() {
            http_path(found, &path.index(index), e);
        }
    }
    for (index, tls) in spec.elements("tls").iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, host) in tls.elements("hosts").iter().enumerate() {
            host_name(host.as_str().unwrap_or(""), &path.child("hosts").index(index), e);
        }
        if !tls.str("secretName").is_empty() {
            must_be_subdomain(tls.str("secretName"), &path.child("secretName"), e);
        }
    }
    if let Some(class) = spec.field("ingressClassName").and_then(Node::as_str) {
        must_be_subdomain(class, &path.child("ingressClassName"), e);
    }
}

fn host_name(host: &str, path: &Path, e: &mut Errors) {
    match host.contains('*') {
        true => e.invalid_in(path, host, names::wildcard_subdomain(host)),
        false => must_be_subdomain(host, path, e),
    }
}

fn http_path(found: &Node, path: &Path, e: &mut Errors) {
    const TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
    let Some(kind) = found.field("pathType").and_then(Node::as_str) else {
        return e.required(&path.child("pathType"), "pathType must be specified");
    };
    let (text, at) = (found.str("path"), path.child("path"));
    match kind {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                e.invalid(&at, text, "must be an absolute path");
            }
            for sequence in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|bad| text.contains(**bad)) {
                e.invalid(&at, text, format!("must not contain '{sequence}'"));
            }
            for end in ["/..", "/."].iter().filter(|bad| text.ends_with(**bad)) {
                e.invalid(&at, text, format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                e.invalid(&at, text, "must be an absolute path");
            }
        }
        other => e.unsupported(&path.child("pathType"), other, &TYPES),
    }
    let empty = Node::empty();
    backend(found.field("backend").unwrap_or(&empty), &path.child("backend"), e);
}

fn backend(found: &Node, path: &Path, e: &mut Errors) {
    match (found.field("resource"), found.field("service")) {
        (Some(_), Some(_)) => e.invalid(path, "", "cannot set both resource and service backends"),
        (Some(resource), None) => object_reference(resource, &path.child("resource"), e),
        (None, Some(service)) => {
            let at = path.child("service");
            match service.str("name") {
                "" => e.required(&at.child("name"), ""),
                name => must_be_label(name, &at.child("name"), e),
            }
            let (name, number) = (
                service.get("port").map_or("", |port| port.str("name")),
                service.get("port").and_then(|port| port.number("number")).unwrap_or(0),
            );
            match (name, number) {
                ("", 0) => e.required(path, "port name or number is required"),
                ("", number) => port_number(number, &at.child("port").child("number"), e),
                (name, 0) => e.invalid_in(&at.child("port").child("name"), name, names::port_name(name)),
                _ => e.invalid(path, "", "cannot set both port name & port number"),
            }
        }
        (None, None) => e.invalid(path, "", "resource or service backend is required"),
    }
}

fn object_reference(reference: &Node, path: &Path, e: &mut Errors) {
    if let Some(group) = reference.field("apiGroup").and_then(Node::as_str) {
        must_be_subdomain(group, &path.child("apiGroup"), e);
    }
    for key in ["kind", "name"] {
        match reference.str(key) {
            "" => e.required(&path.child(key), ""),
            text => e.invalid_in(&path.child(key), text, names::path_segment(text)),
        }
    }
}

/// An IngressClass.
pub(super) fn ingress_class(object: &Node, e: &mut Errors) {
    const CONTROLLER_MAX: usize = 250;
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    let (spec, path) = (spec_of(object), Path::new("spec"));
    let (controller, at) = (spec.str("controller"), path.child("controller"));
    if controller.len() > CONTROLLER_MAX {
        e.too_long(&at, CONTROLLER_MAX);
    }
    match controller {
        "" => e.required(&at, ""),
        text => domain_prefixed_path(text, &at, e),
    }
    let Some(parameters) = spec.field("parameters") else { return };
    let path = path.child("parameters");
    object_reference(parameters, &path, e);
    let namespace = parameters.field("namespace").and_then(Node::as_str);
    match (parameters.field("scope").and_then(Node::as_str), namespace) {
        (None, _) => e.required(&path.child("scope"), ""),
        (Some("Namespace"), None) => {
            e.required(&path.child("namespace"), "`parameters.scope` is set to 'Namespace'");
        }
        (Some("Namespace"), Some(name)) => must_be_label(name, &path.child("namespace"), e),
        (Some("Cluster"), Some(_)) => {
            e.forbidden(&path.child("namespace"), "`parameters.scope` is set to 'Cluster'");
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => e.unsupported(&path.child("scope"), other, &["Cluster", "Namespace"]),
    }
}

/// An IngressClass in another version.
pub(super) fn ingress_class_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    let (spec, before) = (spec_of(new), spec_of(old));
    immutable(spec.field("controller"), before.field("controller"), &Path::new("spec.controller"), e);
    ingress_class(new, e);
}

/// A NetworkPolicy that is to be created.
pub(super) fn network_policy(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    policy_spec(&spec_of(object), e);
}

/// A NetworkPolicy in another version.
pub(super) fn network_policy_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    policy_spec(&spec_of(new), e);
}

fn policy_spec(spec: &Node, e: &mut Errors) {
    let path = Path::new("spec");
    meta::label_selector(spec, "podSelector", &path.child("podSelector"), e);
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in spec.elements(rules).iter().enumerate() {
            let path = path.child(rules).index(index);
            for (index, port) in rule.elements("ports").iter().enumerate() {
                policy_port(port, &path.child("ports").index(index), e);
            }
            for (index, found) in rule.elements(peers).iter().enumerate() {
                peer(found, &path.child(peers).index(index), e);
            }
        }
    }
    let (types, at) = (spec.elements("policyTypes"), path.child("policyTypes"));
    if types.len() > 2 {
        return e.invalid(&at, Node::list(types), "may not specify more than two policyTypes");
    }
    for (index, kind) in types.iter().enumerate() {
        let text = kind.as_str().unwrap_or("");
        if !matches!(text, "Ingress" | "Egress") {
            e.unsupported(&at.index(index), text, &["Ingress", "Egress"]);
        }
    }
}

fn policy_port(port: &Node, path: &Path, e: &mut Errors) {
    let protocol = port.field("protocol").and_then(Node::as_str);
    if let Some(protocol) = protocol.filter(|protocol| !matches!(*protocol, "TCP" | "UDP" | "SCTP")) {
        e.unsupported(&path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let (end, at_end, at) = (port.number("endPort"), path.child("endPort"), path.child("port"));
    match (port.field("port").map(|port| &port.value), end) {
        (Some(Value::Int(number)), end) => {
            port_number(*number, &at, e);
            let Some(end) = end else { return };
            if end < *number {
                e.invalid(&at_end, *number, "must be greater than or equal to `port`");
            }
            port_number(end, &at_end, e);
        }
        (Some(Value::String(name)), end) => {
            if let Some(end) = end {
                e.invalid(&at_end, end, "may not be specified when `port` is non-numeric");
            }
            e.invalid_in(&at, name, names::port_name(name));
        }
        (_, Some(end)) => e.invalid(&at_end, end, "may not be specified when `port` is not specified"),
        _ => {}
    }
}

fn peer(found: &Node, path: &Path, e: &mut Errors) {
    let mut count = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if found.field(key).is_some() {
            count += 1;
            meta::label_selector(found, key, &path.child(key), e);
        }
    }
    let block = found.field("ipBlock");
    if let Some(block) = block {
        count += 1;
        ip_block(block, &path.child("ipBlock"), e);
    }
    if count == 0 {
        e.required(path, "must specify a peer");
    } else if count > 1 && block.is_some() {
        e.forbidden(path, "may not specify both ipBlock and another peer");
    }
}

fn ip_block(block: &Node, path: &Path, e: &mut Errors) {
    let text = block.str("cidr");
    if text.is_empty() {
        return e.required(&path.child("cidr"), "");
    }
    e.invalid_in(&path.child("cidr"), text, names::network(text));
    let Some(network) = names::parse_network(text) else { return };
    for (index, except) in block.elements("except").iter().enumerate() {
        let (path, text) = (path.child("except").index(index), except.as_str().unwrap_or(""));
        e.invalid_in(&path, text, names::network(text));
        if names::parse_network(text).is_some_and(|inner| !network.strictly_contains(inner)) {
            e.invalid(&path, text, "must be a strict subset of `cidr`");
        }
    }
}
