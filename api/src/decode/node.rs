//! Nodes.

use super::pod_status::{STATUSES, address};
use super::reader::Reader;
use super::resources;
use super::scheduling;
use crate::meta::ObjectMeta;
use crate::node::{Node, NodeCondition, NodeConditionType, NodeConditions, NodeImage, NodeVolumes};
use crate::symbol::Symbol;
use crate::units::Bytes;
use std::sync::Arc;

/// Images of a node that count, as upstream's kubelet reports no more.
const IMAGES_MAX: usize = 50;

/// Reads a node. Its status counts in manifests too, as it does for the API server.
pub(super) fn node(object: &Reader<'_>, meta: ObjectMeta) -> Option<Node> {
    let name = Symbol::new(&meta.name);
    let mut node = Node { meta, name, ..Node::default() };
    object.object("spec", |spec| {
        spec.known(&["podCIDR", "podCIDRs", "configSource", "externalID"]);
        node.unschedulable = spec.bool("unschedulable");
        let taints = spec.list("taints", scheduling::taint);
        node.taints = (!taints.is_empty()).then(|| taints.into());
        node.provider_id = spec.symbol("providerID");
    });
    object.object("status", |status| read_status(status, &mut node));
    Some(node)
}

fn read_status(status: &Reader<'_>, node: &mut Node) {
    status.known(&[
        "config",
        "daemonEndpoints",
        "declaredFeatures",
        "features",
        "nodeInfo",
        "phase",
        "runtimeHandlers",
    ]);
    let volumes = NodeVolumes {
        in_use: status.symbols("volumesInUse").into(),
        attached: status.list("volumesAttached", |volume| {
            volume.known(&["devicePath"]);
            volume.required_symbol("name")
        }),
    };
    if volumes != NodeVolumes::default() {
        node.volumes = Some(Arc::new(volumes));
    }
    let capacity = resources::of_node(status, "capacity").map(Arc::new);
    let allocatable = resources::of_node(status, "allocatable").map(Arc::new);
    node.capacity = capacity.clone().or(allocatable.clone()).unwrap_or_default();
    node.allocatable = allocatable.or(capacity).unwrap_or_default();
    node.conditions = conditions(status);
    let mut images = status.list("images", |image| NodeImage {
        names: image.symbols("names"),
        size: Bytes(image.int("sizeBytes", 0..=i64::MAX).unwrap_or(0)),
    });
    images.truncate(IMAGES_MAX);
    node.images = (!images.is_empty()).then(|| images.into());
    status.list("addresses", |entry| {
        let (kind, text) = (entry.str("type"), entry.str("address"));
        if kind == Some("InternalIP") && node.ip == 0 {
            node.ip = address(text);
        }
    });
}

fn conditions(status: &Reader<'_>) -> NodeConditions {
    let mut conditions = NodeConditions::default();
    status.list("conditions", |entry| {
        entry.known(&["lastHeartbeatTime"]);
        let name = entry.required_str("type");
        let condition = NodeCondition {
            status: entry.choice("status", &STATUSES).unwrap_or_default(),
            reason: entry.symbol("reason"),
            message: entry.symbol("message"),
            since: entry.time("lastTransitionTime").unwrap_or_default(),
        };
        if let Some(kind) = NodeConditionType::ALL.into_iter().find(|kind| kind.as_str() == name) {
            conditions.put(kind, condition);
        }
    });
    conditions
}
