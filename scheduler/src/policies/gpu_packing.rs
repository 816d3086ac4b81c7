//! `gpu-packing`: GPUs in use first, then free ones of nodes in use, then free nodes.

use seatrial_api::gpu::{GpuRequest, WHOLE_GPU};
use seatrial_api::pod::Pod;

use crate::cluster::{Content, FreeMilli, NodeInfo};
use crate::framework::{Cycle, MAX_NODE_SCORE, Plugin, Points, Scope};

use super::{Policy, score_by};

pub(super) const POLICY: Policy = Policy {
    name: "gpu-packing",
    about: "Packs GPUs: first devices that are shared already, then free devices of nodes in use, then free \
            nodes. Sharing pods get the fullest device that fits. Pods without GPU go anywhere.",
    formula: "score(n) = max(33 − f, f) if all f devices are free; else, taking the fullest devices that fit: \
              max(50 − w, 33) if w of them are wholly free, max(100 − s / 10, 50) if none is, s being their \
              free per cents; 0 for pods without GPU",
    source: "Q. Weng et al., \"Beware of Fragmentation\" (USENIX ATC 2023), baseline GpuPacking: \
             hkust-adsl/kubernetes-scheduler-simulator, pkg/simulator/plugin/gpu_packing_score.go",
    parameters: &[],
    plugin: Some(|_| std::sync::Arc::new(GpuPackingScore)),
    adjust: |configuration| score_by(configuration, NAME),
};

const NAME: &str = "GpuPackingScore";

/// The plugin.
struct GpuPackingScore;

impl Plugin for GpuPackingScore {
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
            (Some(request), Some(gpus)) => score(request, gpus.free()),
            _ => 0,
        }
    }
}

/// A whole device that is free.
const WHOLE: i32 = WHOLE_GPU as i32;

fn score(request: &GpuRequest, free: &FreeMilli) -> i64 {
    let wholly_free = free.iter().filter(|&&free| free == WHOLE).count();
    if wholly_free == free.len() {
        let wholly_free = wholly_free as i64;
        return (MAX_NODE_SCORE / 3 - wholly_free).max(wholly_free);
    }
    let mut sorted = free.clone();
    sorted.sort_unstable();
    let fitting = sorted.iter().filter(|&&free| free >= i32::from(request.milli));
    let (mut whole, mut percents) = (0, 0);
    for &free in fitting.take(usize::from(request.count)) {
        whole += i64::from(free == WHOLE);
        percents += i64::from(free) * 100 / i64::from(WHOLE);
    }
    if whole > 0 {
        return (MAX_NODE_SCORE / 2 - whole).max(MAX_NODE_SCORE / 3);
    }
    (MAX_NODE_SCORE - percents / 10).max(MAX_NODE_SCORE / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of `TestGpuPackingScorePlugin_Score` in `gpu_packing_score_test.go`.
    #[test]
    fn scores_are_those_of_the_authors_tests() {
        let rows: [(&[i32], GpuRequest, i64); 4] = [
            (&[200, 1000, 1000, 500], GpuRequest::new(2, 1000), 48),
            (&[1000; 4], GpuRequest::new(2, 1000), 29),
            (&[1000; 8], GpuRequest::new(2, 1000), 25),
            (&[200, 1000, 1000, 500], GpuRequest::new(2, 200), 93),
        ];
        for (free, request, expected) in rows {
            assert_eq!(score(&request, &free.into()), expected, "{request:?} on {free:?}");
        }
    }
}
