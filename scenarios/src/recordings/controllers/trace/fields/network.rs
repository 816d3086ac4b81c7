//! Services and their slices of endpoints.

use seatrial_api::container::PortRef;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::service::{
    Endpoint, EndpointAddress, EndpointPort, EndpointSlice, Endpoints, Service, ServicePort, ServiceType,
};
use seatrial_api::store::format_address;
use serde_json::{Map, Value, json};

use super::{Around, Fields};

/// What stands for addresses and ports that the server chose.
const ALLOCATED: &str = "{allocated}";

pub(super) fn service(fields: &mut Fields, service: &Service, around: &Around<'_>) {
    let kind = match service.kind {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName => "ExternalName",
    };
    fields.put("type", json!(kind));
    let address = service.cluster_ip.as_str();
    let chosen = address.is_empty() || service.is_headless() || around.named.contains(address);
    fields.text("clusterIP", if chosen { address } else { ALLOCATED });
    fields.put("ports", service.ports.iter().map(|port| service_port(port, around)).collect());
    if let Some(selector) = &service.selector {
        let pairs = selector.iter().map(|(key, value)| (key.to_string(), json!(value.as_str())));
        fields.put("selector", Value::Object(pairs.collect()));
    }
    if service.kind == ServiceType::LoadBalancer {
        fields.put("allocateLoadBalancerNodePorts", json!(true));
    }
}

fn service_port(port: &ServicePort, around: &Around<'_>) -> Value {
    let mut out = Map::new();
    if !port.name.is_empty() {
        out.insert("name".to_owned(), json!(port.name.as_str()));
    }
    out.insert("protocol".to_owned(), json!(port.protocol.as_str()));
    out.insert("port".to_owned(), json!(port.port));
    let target = match port.target_port {
        PortRef::Number(number) => json!(number),
        PortRef::Name(name) => json!(name.as_str()),
    };
    out.insert("targetPort".to_owned(), target);
    if port.node_port != 0 {
        let named = around.named.contains(&port.node_port.to_string());
        let shown = if named { json!(port.node_port) } else { json!(ALLOCATED) };
        out.insert("nodePort".to_owned(), shown);
    }
    Value::Object(out)
}

pub(super) fn endpoint_slice(fields: &mut Fields, slice: &EndpointSlice, around: &Around<'_>) {
    fields.put("addressType", json!("IPv4"));
    let labels = slice.meta.labels.iter().map(|(key, value)| (key.to_string(), json!(value.as_str())));
    fields.put("labels", Value::Object(labels.collect()));
    let mut endpoints: Vec<(String, Value)> =
        slice.endpoints.iter().map(|endpoint| self::endpoint(endpoint, around)).collect();
    endpoints.sort_by_key(|entry| natural(&entry.0));
    fields.put("endpoints", endpoints.into_iter().map(|entry| entry.1).collect());
    let port = |port: &seatrial_api::service::EndpointPort| json!({"name": port.name.as_str(), "protocol": port.protocol.as_str(), "port": port.port});
    fields.put("ports", slice.ports.iter().map(port).collect());
}

pub(super) fn endpoints(fields: &mut Fields, endpoints: &Endpoints, around: &Around<'_>) {
    let pods = |addresses: &[EndpointAddress]| {
        let pod = |address: &EndpointAddress| {
            let alias = around.aliases.of(ObjectRef { kind: Kind::Pod, id: address.pod });
            alias.map_or_else(|| format_address(address.ip).to_string(), str::to_owned)
        };
        let mut names: Vec<String> = addresses.iter().map(pod).collect();
        names.sort();
        json!(names)
    };
    let port = |port: &EndpointPort| {
        let mut out = json!({"port": port.port, "protocol": port.protocol.as_str()});
        if !port.name.is_empty() {
            out["name"] = json!(port.name.as_str());
        }
        out
    };
    let subsets = endpoints.subsets.iter().map(|subset| {
        let ports: Value = subset.ports.iter().map(port).collect();
        json!({"ready": pods(&subset.ready), "notReady": pods(&subset.not_ready), "ports": ports})
    });
    fields.put("subsets", subsets.collect());
}

/// An endpoint with the name by which it is sorted.
fn endpoint(endpoint: &Endpoint, around: &Around<'_>) -> (String, Value) {
    let pod = around.aliases.of(ObjectRef { kind: Kind::Pod, id: endpoint.pod });
    let name = pod.map_or_else(|| format_address(endpoint.ip).to_string(), str::to_owned);
    let mut out = json!({
        "pod": name, "ready": endpoint.ready, "serving": endpoint.serving, "terminating": endpoint.terminating,
    });
    if !endpoint.node.is_empty() {
        out["node"] = json!(endpoint.node.as_str());
    }
    (name, out)
}

/// A key by which names with numbers are in the order of the numbers.
fn natural(name: &str) -> (String, u64) {
    match name.rsplit_once('#') {
        Some((base, number)) => (base.to_owned(), number.parse().unwrap_or(u64::MAX)),
        None => (name.to_owned(), 0),
    }
}
