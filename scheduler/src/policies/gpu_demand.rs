//! Demand and room in CPU and GPU, as the policies of the fragmentation paper compare them.

use seatrial_api::pod::Pod;

use crate::cluster::{Content, NodeInfo};

/// The CPU of the largest node of the paper's cluster, in millicores.
pub(super) const MAX_CPU: f64 = 128_000.0;
/// The GPUs of the largest node of the paper's cluster, in thousandths.
pub(super) const MAX_GPU: f64 = 8_000.0;

/// What is free on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeRoom {
    /// CPU in millicores.
    pub(super) cpu: i64,
    /// GPU in thousandths, of all devices together.
    pub(super) gpu: i64,
}

impl NodeRoom {
    pub(super) fn of(node: &NodeInfo) -> NodeRoom {
        NodeRoom {
            cpu: (node.usage.allocatable_cpu - node.usage.requested_cpu).get(),
            gpu: node.gpus().map_or(0, |gpus| gpus.free_total()),
        }
    }
}

/// CPU in millicores and GPU in thousandths that a pod asks for. A container that requests no CPU
/// counts with 100 m, as in the authors' program.
pub(super) fn of(pod: &Pod) -> (i64, i64) {
    let gpu = pod.spec.gpu.as_ref().map_or(0, |request| request.total_milli());
    (pod.spec.derived.non_zero_cpu.get(), gpu)
}

/// Adds what these policies read of a pod.
pub(super) fn read(pod: &Pod, content: &mut Content) {
    content.number(pod.spec.derived.non_zero_cpu.get());
    content.number(pod.spec.derived.requests.cpu.get());
    content.gpu_request(pod.spec.gpu.as_deref());
}
