//! NodeResourcesFit: a node must have room for what a pod requests, and the room that is left is
//! scored.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::resources::Resources;
use seatrial_api::symbol::Symbol;

use crate::cluster::{Content, NodeInfo, Usage};
use crate::config::{
    ConfigurationError, ExtenderConfiguration, NodeResourcesFitArgs, ScoringStrategy, ShapePoint,
};
use crate::framework::{
    Code, Cycle, EventContext, Hint, MAX_NODE_SCORE, Plugin, Points, Reason, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange, PodChange};

/// A resource as scorers address it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResourceName {
    Cpu,
    Memory,
    EphemeralStorage,
    Scalar(Symbol),
}

impl ResourceName {
    pub(crate) fn new(name: Symbol) -> ResourceName {
        match name.as_str() {
            "cpu" => ResourceName::Cpu,
            "memory" => ResourceName::Memory,
            "ephemeral-storage" => ResourceName::EphemeralStorage,
            _ => ResourceName::Scalar(name),
        }
    }

    /// How much of it is in `resources`.
    pub(crate) fn of(self, resources: &Resources) -> i64 {
        match self {
            ResourceName::Cpu => resources.cpu.get(),
            ResourceName::Memory => resources.memory.get(),
            ResourceName::EphemeralStorage => resources.ephemeral_storage.get(),
            ResourceName::Scalar(name) => resources.scalars.get(name),
        }
    }
}

/// Whether a resource name is an extended resource: qualified, and not by Kubernetes' own domain.
pub(crate) fn is_extended(name: Symbol) -> bool {
    let text = name.as_str();
    text.contains('/') && !text.contains("kubernetes.io/") && !text.starts_with("requests.")
}

/// The plugin.
#[derive(Clone, Debug)]
pub(crate) struct NodeResourcesFit {
    ignored_resources: Vec<Symbol>,
    ignored_groups: Vec<CompactString>,
    strategy: ScoringStrategy,
    resources: Vec<(ResourceName, i64)>,
}

impl NodeResourcesFit {
    /// The plugin; what extenders want to judge alone is left to them.
    pub(crate) fn new(
        arguments: &NodeResourcesFitArgs,
        extenders: &[ExtenderConfiguration],
    ) -> Result<NodeResourcesFit, ConfigurationError> {
        const STRATEGY: &str = "pluginConfig[NodeResourcesFit].args.scoringStrategy";
        let error = |text: &str| Err(ConfigurationError::new(STRATEGY, text));
        if arguments.resources.is_empty() {
            return error("at least one resource is needed");
        }
        if arguments.resources.iter().any(|resource| !(1..=100).contains(&resource.weight)) {
            return error("weights must be from 1 to 100");
        }
        if let ScoringStrategy::RequestedToCapacityRatio(shape) = &arguments.strategy {
            let in_range = |point: &ShapePoint| {
                (0..=100).contains(&point.utilization) && (0..=10).contains(&point.score)
            };
            if shape.is_empty() || !shape.iter().all(in_range) {
                return error("the shape needs points with utilization 0 to 100 and score 0 to 10");
            }
            if shape.windows(2).any(|pair| pair[0].utilization >= pair[1].utilization) {
                return error("the shape's utilization must rise from point to point");
            }
        }
        let resource = |entry: &crate::config::ResourceWeight| (ResourceName::new(entry.name), entry.weight);
        if arguments.ignored_resource_groups.iter().any(|group| group.contains('/')) {
            const GROUPS: &str = "pluginConfig[NodeResourcesFit].args.ignoredResourceGroups";
            return Err(ConfigurationError::new(GROUPS, "the name of a group has no slash"));
        }
        let managed = extenders.iter().flat_map(|extender| &extender.managed_resources);
        let left_alone =
            managed.filter(|resource| resource.ignored_by_scheduler).map(|resource| resource.name);
        Ok(NodeResourcesFit {
            ignored_resources: arguments.ignored_resources.iter().copied().chain(left_alone).collect(),
            ignored_groups: arguments.ignored_resource_groups.clone(),
            strategy: arguments.strategy.clone(),
            resources: arguments.resources.iter().map(resource).collect(),
        })
    }

    fn is_ignored(&self, name: Symbol) -> bool {
        if self.ignored_resources.is_empty() && self.ignored_groups.is_empty() || !is_extended(name) {
            return false;
        }
        let group = name.as_str().split('/').next().unwrap_or_default();
        self.ignored_resources.contains(&name) || self.ignored_groups.iter().any(|other| other == group)
    }

    /// The room that is wanted and what the node can give, per configured resource.
    #[inline]
    fn requested_and_allocatable(
        &self,
        pod: &Pod,
        node: &NodeInfo,
        resource: ResourceName,
    ) -> Option<(i64, i64)> {
        let (usage, derived) = (&node.usage, &pod.spec.derived);
        let (allocatable, requested) = match resource {
            ResourceName::Cpu => {
                (usage.allocatable_cpu.get(), (usage.non_zero_cpu + derived.non_zero_cpu).get())
            }
            ResourceName::Memory => {
                (usage.allocatable_memory.get(), (usage.non_zero_memory + derived.non_zero_memory).get())
            }
            ResourceName::EphemeralStorage => (
                usage.allocatable_storage.get(),
                (usage.requested_storage + derived.requests.ephemeral_storage).get(),
            ),
            ResourceName::Scalar(name) => {
                let request = derived.requests.scalars.get(name);
                if request == 0 {
                    return None;
                }
                (
                    node.allocatable_scalar(name).unwrap_or(0),
                    node.requested_scalar(name).saturating_add(request),
                )
            }
        };
        (allocatable != 0).then_some((requested, allocatable))
    }

    /// The weighted sum of the resources' scores that count, and the sum of their weights.
    #[inline]
    fn weighted(
        &self,
        pod: &Pod,
        node: &NodeInfo,
        score: impl Fn(i64, i64) -> i64,
        counts: impl Fn(i64) -> bool,
    ) -> (i64, i64) {
        let (mut sum, mut weights) = (0, 0);
        for &(resource, weight) in &self.resources {
            let Some((requested, allocatable)) = self.requested_and_allocatable(pod, node, resource) else {
                continue;
            };
            let score = score(requested, allocatable);
            if counts(score) {
                sum += score * weight;
                weights += weight;
            }
        }
        (sum, weights)
    }

    /// Adds `weight` times the weighted average of the resources' shares to the rows' totals.
    #[inline]
    fn add_averages(
        &self,
        cycle: Cycle<'_>,
        rows: &[u32],
        weight: i64,
        totals: &mut [i64],
        share: impl Fn(i64, i64) -> i64,
    ) {
        let derived = &cycle.pod.spec.derived;
        let (cpu, memory) = (derived.non_zero_cpu, derived.non_zero_memory);
        let usual = match self.resources[..] {
            [(ResourceName::Cpu, cpu), (ResourceName::Memory, memory)] => Some((cpu, memory)),
            _ => None,
        };
        for (&row, total) in rows.iter().zip(totals) {
            let node = cycle.cluster.node_at(row as usize);
            let usage = &node.usage;
            let is_there = usage.allocatable_cpu.get() != 0 && usage.allocatable_memory.get() != 0;
            let (sum, weights) = match usual {
                Some((cpu_weight, memory_weight)) if is_there => {
                    let cpu = share((usage.non_zero_cpu + cpu).get(), usage.allocatable_cpu.get());
                    let memory =
                        share((usage.non_zero_memory + memory).get(), usage.allocatable_memory.get());
                    (cpu * cpu_weight + memory * memory_weight, cpu_weight + memory_weight)
                }
                _ => self.weighted(cycle.pod, node, &share, |_| true),
            };
            *total += weight * if weights == 0 { 0 } else { sum / weights };
        }
    }
}

/// The share of a resource that stays free, of 100. Amounts beyond 2^63 / 100 wrap, as upstream's
/// do.
fn least_requested(requested: i64, allocatable: i64) -> i64 {
    match requested > allocatable {
        true => 0,
        false => allocatable.wrapping_sub(requested).wrapping_mul(MAX_NODE_SCORE).wrapping_div(allocatable),
    }
}

/// The share of a resource that is given away, of 100.
fn most_requested(requested: i64, allocatable: i64) -> i64 {
    requested.min(allocatable).wrapping_mul(MAX_NODE_SCORE).wrapping_div(allocatable)
}

/// The shape's value at a utilisation, times ten: piecewise linear in integers.
fn shape_value(shape: &[ShapePoint], utilization: i64) -> i64 {
    let score = |point: &ShapePoint| point.score * 10;
    for (index, point) in shape.iter().enumerate() {
        if utilization <= point.utilization {
            let Some(previous) = index.checked_sub(1).map(|index| &shape[index]) else {
                return score(point);
            };
            let rise = (score(point) - score(previous)) * (utilization - previous.utilization);
            return score(previous) + rise / (point.utilization - previous.utilization);
        }
    }
    shape.last().map_or(0, score)
}

fn ratio_score(shape: &[ShapePoint], requested: i64, allocatable: i64) -> i64 {
    if requested > allocatable {
        return shape_value(shape, 100);
    }
    shape_value(shape, requested.wrapping_mul(100).wrapping_div(allocatable))
}

/// Whether a pod alone would fit the empty node.
fn fits_empty(plugin: &NodeResourcesFit, pod: &Arc<Pod>, node: &Arc<Node>) -> bool {
    plugin.check(pod, &NodeInfo::of(node), &mut Why::ignored()).is_ok()
}

/// Whether there is room for everything but scalar resources: the usual case, decided without a
/// branch for each resource.
fn has_room(usage: &Usage, pods: usize, requests: &Resources) -> bool {
    let fits =
        |wanted: i64, allocatable: i64, requested: i64| wanted <= 0 || wanted <= allocatable - requested;
    let cpu = fits(requests.cpu.get(), usage.allocatable_cpu.get(), usage.requested_cpu.get());
    let memory = fits(requests.memory.get(), usage.allocatable_memory.get(), usage.requested_memory.get());
    let storage = fits(
        requests.ephemeral_storage.get(),
        usage.allocatable_storage.get(),
        usage.requested_storage.get(),
    );
    (pods as i64) < usage.allowed_pods && cpu && memory && storage
}

impl NodeResourcesFit {
    fn check(&self, pod: &Pod, node: &NodeInfo, why: &mut Why) -> Verdict {
        let (usage, requests) = (&node.usage, &pod.spec.derived.requests);
        if requests.scalars.is_empty() && has_room(usage, node.pods().len(), requests) {
            return Ok(());
        }
        let mut verdict = Ok(());
        let mut missing = |unresolvable: bool, reason: Reason| {
            why.say(|| reason);
            if unresolvable {
                verdict = Err(Code::Unresolvable);
            } else if verdict.is_ok() {
                verdict = Err(Code::Unschedulable);
            }
        };
        if node.pods().len() as i64 + 1 > usage.allowed_pods {
            missing(false, Reason::Text("Too many pods"));
        }
        let (cpu, memory, storage) = (requests.cpu, requests.memory, requests.ephemeral_storage);
        if cpu.get() > 0 && cpu > usage.allocatable_cpu - usage.requested_cpu {
            missing(cpu > usage.allocatable_cpu, Reason::Text("Insufficient cpu"));
        }
        if memory.get() > 0 && memory > usage.allocatable_memory - usage.requested_memory {
            missing(memory > usage.allocatable_memory, Reason::Text("Insufficient memory"));
        }
        if storage.get() > 0 && storage > usage.allocatable_storage - usage.requested_storage {
            missing(storage > usage.allocatable_storage, Reason::Text("Insufficient ephemeral-storage"));
        }
        for (name, amount) in requests.scalars.iter() {
            let allocatable = node.allocatable_scalar(name).unwrap_or(0);
            let free = allocatable.saturating_sub(node.requested_scalar(name));
            if amount > 0 && amount > free && !self.is_ignored(name) {
                missing(amount > allocatable, Reason::Insufficient(name));
            }
        }
        verdict
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, pre_score: true, score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Usage
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.resources(&pod.spec.derived.requests);
        content.number(pod.spec.derived.non_zero_cpu.get());
        content.number(pod.spec.derived.non_zero_memory.get());
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        self.check(cycle.pod, node, why)
    }

    fn filter_rows(&self, cycle: Cycle<'_>, rows: &[u32], reject: &mut dyn FnMut(usize, Code)) {
        let requests = &cycle.pod.spec.derived.requests;
        let is_plain = requests.scalars.is_empty();
        for (place, &row) in rows.iter().enumerate() {
            let node = cycle.cluster.node_at(row as usize);
            if is_plain && has_room(&node.usage, node.pods().len(), requests) {
                continue;
            }
            if let Err(code) = self.check(cycle.pod, node, &mut Why::ignored()) {
                reject(place, code);
            }
        }
    }

    fn score_rows(&self, cycle: Cycle<'_>, rows: &[u32], weight: i64, totals: &mut [i64]) {
        match &self.strategy {
            ScoringStrategy::LeastAllocated => {
                self.add_averages(cycle, rows, weight, totals, least_requested);
            }
            ScoringStrategy::MostAllocated => {
                self.add_averages(cycle, rows, weight, totals, most_requested);
            }
            ScoringStrategy::RequestedToCapacityRatio(_) => {
                for (&row, total) in rows.iter().zip(totals) {
                    *total += weight * self.score(cycle, cycle.cluster.node_at(row as usize));
                }
            }
        }
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        match &self.strategy {
            ScoringStrategy::LeastAllocated => {
                let (sum, weights) = self.weighted(cycle.pod, node, least_requested, |_| true);
                if weights == 0 { 0 } else { sum / weights }
            }
            ScoringStrategy::MostAllocated => {
                let (sum, weights) = self.weighted(cycle.pod, node, most_requested, |_| true);
                if weights == 0 { 0 } else { sum / weights }
            }
            ScoringStrategy::RequestedToCapacityRatio(shape) => {
                let score = |requested, allocatable| ratio_score(shape, requested, allocatable);
                // Upstream leaves resources without a score out of the average here, and only here.
                let (sum, weights) = self.weighted(cycle.pod, node, score, |score| score > 0);
                if weights == 0 { 0 } else { (sum as f64 / weights as f64).round() as i64 }
            }
        }
    }

    fn interests(&self) -> Interests {
        Interests::of(&[
            EventKind::PodDelete,
            EventKind::PodUpdate,
            EventKind::OwnUpdate,
            EventKind::NodeAdd,
            EventKind::NodeAllocatable,
            EventKind::NodeTaints,
        ])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let pod = context.pod;
        match event {
            ClusterEvent::PodDelete { .. }
            | ClusterEvent::OwnUpdate { change: PodChange::ScaleDown, .. }
            | ClusterEvent::NodeUpdate { change: NodeChange::Taints, .. } => Hint::Queue,
            ClusterEvent::PodUpdate { old, new, change: PodChange::ScaleDown } => {
                Hint::queue_if(frees_something(old, new, pod))
            }
            ClusterEvent::NodeAdd(node) => Hint::queue_if(fits_empty(self, pod, node)),
            ClusterEvent::NodeUpdate { old, new, change: NodeChange::Allocatable } => {
                Hint::queue_if(fits_empty(self, pod, new) && grows(old, new, pod))
            }
            _ => Hint::Skip,
        }
    }
}

/// Whether a pod gave back some of what `waiting` requests.
fn frees_something(old: &Pod, new: &Pod, waiting: &Pod) -> bool {
    let [old, new, wanted] = [old, new, waiting].map(|pod| &pod.spec.derived.requests);
    let less = |resource: ResourceName| resource.of(wanted) > 0 && resource.of(new) < resource.of(old);
    [ResourceName::Cpu, ResourceName::Memory, ResourceName::EphemeralStorage].into_iter().any(less)
        || wanted.scalars.iter().any(|(name, _)| less(ResourceName::Scalar(name)))
}

/// Whether a node has more of something that `waiting` requests, or takes more pods.
fn grows(old: &Node, new: &Node, waiting: &Pod) -> bool {
    let wanted = &waiting.spec.derived.requests;
    let (before, after) = (&old.allocatable.amounts, &new.allocatable.amounts);
    let more = |resource: ResourceName| resource.of(wanted) > 0 && resource.of(after) > resource.of(before);
    new.allocatable.pods > old.allocatable.pods
        || [ResourceName::Cpu, ResourceName::Memory, ResourceName::EphemeralStorage].into_iter().any(more)
        || wanted.scalars.iter().any(|(name, _)| more(ResourceName::Scalar(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_linear_between_its_points() {
        let shape = [(0, 2), (40, 9), (70, 5), (100, 0)]
            .map(|(utilization, score)| ShapePoint { utilization, score });
        for (utilization, value) in [(0, 20), (20, 55), (40, 90), (55, 70), (100, 0)] {
            assert_eq!(shape_value(&shape, utilization), value, "at {utilization}");
        }
    }

    #[test]
    fn least_and_most_are_integer_shares() {
        assert_eq!((least_requested(1500, 4000), most_requested(1500, 4000)), (62, 37));
        assert_eq!((least_requested(5, 4), most_requested(5, 4)), (0, 100));
    }
}
