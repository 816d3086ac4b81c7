//! What extenders are sent, as JSON with upstream's field names.

use std::fmt::{self, Display, Write};

use seatrial_api::container::Container;
use seatrial_api::document::write_json_string;
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::resources::{ResourceList, Resources};
use seatrial_api::scheduling::TaintEffect;
use seatrial_api::symbol::Symbol;

use crate::cluster::{Cluster, NodeInfo};
use crate::preemption::Candidate;

/// The arguments of filtering and scoring: the pod, and the nodes or their names.
pub(super) fn arguments(cluster: &Cluster, pod: &Pod, nodes: &[usize], names_alone: bool) -> String {
    let infos = || nodes.iter().map(|&position| cluster.node_at(position));
    if names_alone {
        let names = list(infos().map(|info| quoted(info.name().as_str())));
        object([("Pod", pod_json(pod)), ("Nodes", "null".into()), ("NodeNames", names)])
    } else {
        let items = list(infos().filter_map(NodeInfo::node).map(|node| node_json(node)));
        let nodes = object([("metadata", "{}".into()), ("items", items)]);
        object([("Pod", pod_json(pod)), ("Nodes", nodes), ("NodeNames", "null".into())])
    }
}

/// The arguments of preemption: the candidates by node, their victims whole or by uid.
pub(super) fn preemption(pod: &Pod, candidates: &[Candidate], uids_alone: bool) -> String {
    let by_node = |candidate: &Candidate| {
        let victims = candidate.victims.iter().map(|victim| match uids_alone {
            true => object([("UID", quoted(victim.meta.uid))]),
            false => pod_json(victim),
        });
        let value = object([("Pods", list(victims)), ("NumPDBViolations", candidate.violations.to_string())]);
        (candidate.node.as_str().to_owned(), value)
    };
    let candidates = named(candidates.iter().map(by_node));
    let key = if uids_alone { "NodeNameToMetaVictims" } else { "NodeNameToVictims" };
    object([("Pod", pod_json(pod)), (key, candidates)])
}

/// The arguments of binding.
pub(super) fn binding(pod: &Pod, node: Symbol) -> String {
    object([
        ("PodName", quoted(&pod.meta.name)),
        ("PodNamespace", quoted(pod.meta.namespace)),
        ("PodUID", quoted(pod.meta.uid)),
        ("Node", quoted(node)),
    ])
}

fn pod_json(pod: &Pod) -> String {
    let spec = &pod.spec;
    let containers = |containers: &[Container]| list(containers.iter().map(container_json));
    let mut fields = vec![
        ("containers", containers(&spec.containers)),
        ("initContainers", containers(&spec.init_containers)),
        ("schedulerName", quoted(spec.scheduler_name)),
        ("priority", spec.priority().to_string()),
        ("nodeSelector", labels_json(&spec.node_selector)),
        ("overhead", amounts_json(&spec.overhead)),
    ];
    if let Some(node) = pod.node {
        fields.push(("nodeName", quoted(node)));
    }
    let nominated = pod.status.nominated_node.map_or_else(|| "\"\"".to_owned(), quoted);
    object([
        ("metadata", meta_json(&pod.meta)),
        ("spec", object(fields)),
        ("status", object([("nominatedNodeName", nominated)])),
    ])
}

fn container_json(container: &Container) -> String {
    let resources =
        object([("requests", list_json(&container.requests)), ("limits", list_json(&container.limits))]);
    object([("name", quoted(container.name)), ("image", quoted(container.image)), ("resources", resources)])
}

fn node_json(node: &Node) -> String {
    let taints = list(node.taints().iter().map(|taint| {
        object([
            ("key", quoted(taint.key)),
            ("value", quoted(taint.value)),
            ("effect", quoted(effect_name(taint.effect))),
        ])
    }));
    let resources = |of: &seatrial_api::node::NodeResources| {
        let pods = ("pods".to_owned(), quoted(of.pods));
        named(pairs(&of.amounts).into_iter().chain([pods]))
    };
    let spec = object([("unschedulable", node.unschedulable.to_string()), ("taints", taints)]);
    let status =
        object([("capacity", resources(&node.capacity)), ("allocatable", resources(&node.allocatable))]);
    object([("metadata", meta_json(&node.meta)), ("spec", spec), ("status", status)])
}

fn effect_name(effect: TaintEffect) -> &'static str {
    match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    }
}

fn meta_json(meta: &ObjectMeta) -> String {
    let mut fields = vec![("name", quoted(&meta.name)), ("uid", quoted(meta.uid))];
    if !meta.namespace.is_empty() {
        fields.push(("namespace", quoted(meta.namespace)));
    }
    fields.push(("labels", labels_json(&meta.labels)));
    fields.push(("annotations", labels_json(&meta.annotations)));
    object(fields)
}

fn labels_json(labels: &Labels) -> String {
    named(labels.iter().map(|&(key, value)| (key.as_str().to_owned(), quoted(value))))
}

fn list_json(list: &ResourceList) -> String {
    let named_ones = [
        list.cpu.map(|amount| ("cpu", format!("{}m", amount.get()))),
        list.memory.map(|amount| ("memory", amount.get().to_string())),
        list.ephemeral_storage.map(|amount| ("ephemeral-storage", amount.get().to_string())),
    ];
    let own = named_ones.into_iter().flatten().map(|(name, amount)| (name.to_owned(), quoted(amount)));
    named(own.chain(list.scalars.iter().map(|(name, amount)| (name.as_str().to_owned(), quoted(amount)))))
}

fn amounts_json(amounts: &Resources) -> String {
    if amounts.is_zero() { "{}".to_owned() } else { named(pairs(amounts)) }
}

fn pairs(amounts: &Resources) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("cpu".to_owned(), quoted(format!("{}m", amounts.cpu.get()))),
        ("memory".to_owned(), quoted(amounts.memory.get())),
        ("ephemeral-storage".to_owned(), quoted(amounts.ephemeral_storage.get())),
    ];
    pairs.extend(amounts.scalars.iter().map(|(name, amount)| (name.as_str().to_owned(), quoted(amount))));
    pairs
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    named(fields.into_iter().map(|(key, value)| (key.to_owned(), value)))
}

fn named(fields: impl IntoIterator<Item = (String, String)>) -> String {
    let fields = fields.into_iter().map(|(key, value)| format!("{}:{value}", quoted(key)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn quoted(text: impl Display) -> String {
    let mut out = String::new();
    let written: fmt::Result = write_json_string(&text.to_string(), &mut out as &mut dyn Write);
    written.expect("invariant: writing to a string cannot fail");
    out
}
