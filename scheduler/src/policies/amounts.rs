//! Demand and room, resource by resource, as policies compare them.

use seatrial_api::pod::Pod;

use crate::cluster::NodeInfo;
use crate::plugins::fit::ResourceName;

/// One resource of a pod and a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) resource: ResourceName,
    /// What the pod requests.
    pub(super) request: i64,
    /// What the node has to give away, above zero.
    pub(super) allocatable: i64,
    /// What of it is free, the pod not counted.
    pub(super) free: i64,
}

/// CPU, memory, and every extended resource that the pod requests, as far as the node has any.
pub(super) fn of<'a>(pod: &'a Pod, node: &'a NodeInfo) -> impl Iterator<Item = Amounts> + 'a {
    let (requests, usage) = (&pod.spec.derived.requests, &node.usage);
    let cpu = (usage.allocatable_cpu.get(), usage.requested_cpu.get());
    let memory = (usage.allocatable_memory.get(), usage.requested_memory.get());
    let fixed =
        [(ResourceName::Cpu, requests.cpu.get(), cpu), (ResourceName::Memory, requests.memory.get(), memory)];
    let scalars = requests.scalars.iter().map(|(name, amount)| {
        let given = (node.allocatable_scalar(name).unwrap_or(0), node.requested_scalar(name));
        (ResourceName::Scalar(name), amount, given)
    });
    fixed.into_iter().chain(scalars).filter(|(_, _, (allocatable, _))| *allocatable > 0).map(
        |(resource, request, (allocatable, given))| Amounts {
            resource,
            request,
            allocatable,
            free: (allocatable - given).max(0),
        },
    )
}

/// How many resources a pod is compared by, whatever the node.
pub(super) fn dimensions(pod: &Pod) -> usize {
    2 + pod.spec.derived.requests.scalars.iter().count()
}
