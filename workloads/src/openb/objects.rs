//! Nodes and pods of the trace as objects.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::gpu::{GPU_COUNT, GPU_MILLI, GPU_MODEL, WHOLE_GPU};
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{LABEL_HOSTNAME, Node, NodeResources};
use seatrial_api::pod::PodSpec;
use seatrial_api::resources::{Resources, Scalars};
use seatrial_api::symbol::Symbol;

use super::{NodeRow, PodKind};

/// How many pods a node takes: as the authors' `data/node_yaml/openb_node_list_gpu_node.yaml` has it.
const PODS_PER_NODE: i64 = 1001;

/// The node of a row, under this name.
pub fn node(row: &NodeRow, name: &str) -> Node {
    let mut labels = vec![(Symbol::new(LABEL_HOSTNAME), Symbol::new(name))];
    let mut amounts = Resources::of(row.cpu, row.memory);
    if row.gpus > 0 {
        labels.push((Symbol::new(GPU_MODEL), row.model));
        let count = i64::from(row.gpus);
        let scalars = [(GPU_COUNT, count), (GPU_MILLI, count * i64::from(WHOLE_GPU))];
        amounts.scalars =
            Scalars::new(scalars.into_iter().map(|(name, amount)| (Symbol::new(name), amount)).collect());
    }
    let resources = Arc::new(NodeResources { amounts, pods: PODS_PER_NODE });
    Node {
        meta: ObjectMeta { labels: Labels::new(labels), ..ObjectMeta::named("", name) },
        name: Symbol::new(name),
        capacity: resources.clone(),
        allocatable: resources,
        ..Node::default()
    }
}

/// The specification of pods of a kind.
pub fn pod_spec(kind: &PodKind) -> Arc<PodSpec> {
    let mut container = Container::new("main", "tensorflow:latest");
    container.requests.cpu = Some(kind.cpu);
    container.requests.memory = Some(kind.memory);
    container.limits = container.requests.clone();
    let spec = PodSpec { gpu: kind.gpu.clone().into(), ..PodSpec::new(vec![container]) };
    Arc::new(spec.sealed())
}
