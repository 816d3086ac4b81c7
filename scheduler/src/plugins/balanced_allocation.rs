//! NodeResourcesBalancedAllocation: resources of a node should be used in like shares.
//! The formula changed in 1.36.

use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::version::KubernetesVersion;
use smallvec::SmallVec;

use super::fit::ResourceName;
use crate::cluster::{Cluster, Content, NodeInfo};
use crate::framework::{Cycle, CycleState, MAX_NODE_SCORE, Plugin, Points, Scope};

/// The plugin.
#[derive(Clone, Debug)]
pub(crate) struct BalancedAllocation {
    resources: Vec<ResourceName>,
    version: KubernetesVersion,
}

impl BalancedAllocation {
    pub(crate) fn new(resources: &[Symbol], version: KubernetesVersion) -> BalancedAllocation {
        BalancedAllocation { resources: resources.iter().copied().map(ResourceName::new).collect(), version }
    }

    /// The score from the shares before and after the pod is on the node.
    fn score_of(&self, before: &[f64], after: &[f64]) -> i64 {
        let half = MAX_NODE_SCORE / 2;
        match self.version {
            KubernetesVersion::V1_34 => balance(after),
            KubernetesVersion::V1_36 => half + (half + balance(after) - balance(before)) / 2,
        }
    }
}

/// What a node has given away of a resource, and what it has; `None` if it has none.
fn given_and_allocatable(node: &NodeInfo, resource: ResourceName) -> Option<(i64, i64)> {
    let usage = &node.usage;
    let (given, allocatable) = match resource {
        ResourceName::Cpu => (usage.requested_cpu.get(), usage.allocatable_cpu.get()),
        ResourceName::Memory => (usage.requested_memory.get(), usage.allocatable_memory.get()),
        ResourceName::EphemeralStorage => (usage.requested_storage.get(), usage.allocatable_storage.get()),
        ResourceName::Scalar(name) => {
            (node.requested_scalar(name), node.allocatable_scalar(name).unwrap_or(0))
        }
    };
    (allocatable != 0).then_some((given, allocatable))
}

/// How balanced these shares are: `(1 - standard deviation) × 100`, truncated.
fn balance(shares: &[f64]) -> i64 {
    let deviation = match shares {
        [a, b] => ((a - b) / 2.0).abs(),
        [_, _, _, ..] => {
            let count = shares.len() as f64;
            let mean = shares.iter().sum::<f64>() / count;
            let squares: f64 = shares.iter().map(|share| (share - mean) * (share - mean)).sum();
            (squares / count).sqrt()
        }
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

fn share(amount: i64, allocatable: i64) -> f64 {
    (amount as f64 / allocatable as f64).min(1.0)
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn points(&self) -> Points {
        Points { pre_score: true, score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Usage
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.resources(&pod.spec.derived.requests);
    }

    fn pre_score(&self, _: &Cluster, pod: &Arc<Pod>, _: &[&NodeInfo], _: &mut CycleState) -> bool {
        self.resources.iter().any(|resource| resource.of(&pod.spec.derived.requests) != 0)
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let requests = &cycle.pod.spec.derived.requests;
        let (mut before, mut after) = (SmallVec::<[f64; 4]>::new(), SmallVec::<[f64; 4]>::new());
        for &resource in &self.resources {
            let request = resource.of(requests);
            if matches!(resource, ResourceName::Scalar(_)) && request == 0 {
                continue;
            }
            if let Some((given, allocatable)) = given_and_allocatable(node, resource) {
                before.push(share(given, allocatable));
                after.push(share(given.saturating_add(request), allocatable));
            }
        }
        self.score_of(&before, &after)
    }

    fn score_rows(&self, cycle: Cycle<'_>, rows: &[u32], weight: i64, totals: &mut [i64]) {
        let requests = &cycle.pod.spec.derived.requests;
        let (cpu, memory) = (requests.cpu.get(), requests.memory.get());
        let usual = matches!(self.resources[..], [ResourceName::Cpu, ResourceName::Memory]);
        for (&row, total) in rows.iter().zip(totals) {
            let node = cycle.cluster.node_at(row as usize);
            let usage = &node.usage;
            let (all_cpu, all_memory) = (usage.allocatable_cpu.get(), usage.allocatable_memory.get());
            if !usual || all_cpu == 0 || all_memory == 0 {
                *total += weight * self.score(cycle, node);
                continue;
            }
            let shares = |cpu: i64, memory: i64| {
                let (given_cpu, given_memory) = (usage.requested_cpu.get(), usage.requested_memory.get());
                let cpu = share(given_cpu.saturating_add(cpu), all_cpu);
                [cpu, share(given_memory.saturating_add(memory), all_memory)]
            };
            *total += weight * self.score_of(&shares(0, 0), &shares(cpu, memory));
        }
    }
}
