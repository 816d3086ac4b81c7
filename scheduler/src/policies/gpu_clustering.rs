//! `gpu-clustering`: pods that use GPUs alike go together.

use seatrial_api::pod::Pod;

use crate::cluster::{Content, GpuKind, NodeGpus, NodeInfo};
use crate::framework::{Cycle, Plugin, Points, Scope};

use super::{Policy, score_by};

pub(super) const POLICY: Policy = Policy {
    name: "gpu-clustering",
    about: "Keeps pods that use GPUs alike together (those that share one; those with 1, 2, … whole ones): first \
            nodes with such pods alone, then nodes with such pods among others, then nodes without, then the \
            rest; of equals the fuller one. Sharing pods get the fullest device that fits.",
    formula: "score(n) = ⌊25 × (8000 − g) / 8000⌋ + 75 if n runs the pod's kind alone, + 50 if among others, + 25 \
              if n runs no GPU pod, + 0 otherwise; g: free GPU in thousandths; 0 for pods without GPU",
    source: "Q. Weng et al., \"Beware of Fragmentation\" (USENIX ATC 2023), baseline GpuClustering: \
             hkust-adsl/kubernetes-scheduler-simulator, pkg/simulator/plugin/gpu_clustering_score.go",
    parameters: &[],
    plugin: Some(|_| std::sync::Arc::new(GpuClusteringScore)),
    adjust: |configuration| score_by(configuration, NAME),
};

const NAME: &str = "GpuClusteringScore";

/// The plugin.
struct GpuClusteringScore;

impl Plugin for GpuClusteringScore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Usage
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.gpu_request(pod.spec.gpu.as_deref());
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        match (cycle.pod.spec.gpu.as_deref(), node.gpus()) {
            (Some(request), Some(gpus)) => score(GpuKind::of(request), gpus),
            _ => 0,
        }
    }
}

/// The GPUs of the largest node of the paper's cluster, in thousandths.
const MAX_GPU: i64 = 8_000;

fn score(kind: GpuKind, gpus: &NodeGpus) -> i64 {
    let is_there = gpus.kinds().iter().any(|entry| entry.0 == kind);
    let rank = match (is_there, gpus.kinds().len()) {
        (true, 1) => 75,
        (true, _) => 50,
        (false, 0) => 25,
        (false, _) => 0,
    };
    // Nodes with more GPUs than the paper's largest count as wholly free.
    25 * (MAX_GPU - gpus.free_total()).max(0) / MAX_GPU + rank
}

#[cfg(test)]
mod tests {
    use seatrial_api::gpu::GpuRequest;

    use super::*;

    #[test]
    fn company_of_the_same_kind_comes_first_then_none_then_another() {
        let (share, one) = (GpuRequest::new(1, 500), GpuRequest::new(1, 1000));
        let score_of = |pods: &[&GpuRequest]| {
            let mut gpus = NodeGpus::new("T4".into(), 8);
            pods.iter().enumerate().for_each(|(id, request)| gpus.add(id as u32, request));
            score(GpuKind::of(&share), &gpus)
        };
        // 25 × (8000 − free) / 8000 is 1 for half a GPU in use, 3 for one, 4 for one and a half.
        assert_eq!(score_of(&[&share]), 76);
        assert_eq!(score_of(&[&share, &one]), 54);
        assert_eq!(score_of(&[]), 25);
        assert_eq!(score_of(&[&one]), 3);
    }
}
