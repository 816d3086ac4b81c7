//! `best-fit`: the node on which least is left.

use seatrial_api::pod::Pod;

use crate::cluster::{Content, NodeInfo};
use crate::framework::{Cycle, Normalization, Plugin, Points, Scope};

use super::gpu_demand::{self, MAX_CPU, MAX_GPU, NodeRoom};
use super::{Policy, score_by};

pub(super) const POLICY: Policy = Policy {
    name: "best-fit",
    about: "Packs: the node on which least CPU and GPU is left, the pod counted. Sharing pods get the fullest \
            device that fits.",
    formula: "score(n) = ⌊100 × (1 − ½ (c − p_c) / 128000 − ½ (g − p_g) / 8000)⌋, then stretched to 0…100 over \
              the feasible nodes; c, g: free CPU and GPU in thousandths, p_c, p_g: the pod's",
    source: "Q. Weng et al., \"Beware of Fragmentation\" (USENIX ATC 2023), baseline BestFit: \
             hkust-adsl/kubernetes-scheduler-simulator, pkg/simulator/plugin/best_fit_score.go",
    parameters: &[],
    plugin: Some(|_| std::sync::Arc::new(BestFitScore)),
    adjust: |configuration| score_by(configuration, NAME),
};

const NAME: &str = "BestFitScore";

/// The plugin.
struct BestFitScore;

impl Plugin for BestFitScore {
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
        gpu_demand::read(pod, content);
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        score(gpu_demand::of(cycle.pod), NodeRoom::of(node))
    }

    fn normalization(&self) -> Normalization {
        Normalization::MinMax
    }
}

/// The score of a node before it is normalised. In floating point, since the authors' cuts of what
/// that gives decide ties.
fn score((cpu, gpu): (i64, i64), room: NodeRoom) -> i64 {
    let left = (room.cpu - cpu) as f64 / MAX_CPU * 0.5 + (room.gpu - gpu) as f64 / MAX_GPU * 0.5;
    (((1.0 - left) * 100.0) as i64).clamp(0, 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_is_left_the_better() {
        let room = |cpu, gpu| NodeRoom { cpu, gpu };
        let rows = [
            // Half a GPU and 4 cores of a node with 8 GPUs and 128 cores: 1 − ½·124/128 − ½·7.5/8.
            ((4_000, 500), room(128_000, 8_000), 4),
            ((4_000, 500), room(4_000, 500), 100),
            ((0, 0), room(128_000, 8_000), 0),
            ((1_000, 0), room(33_000, 0), 87),
        ];
        for (demand, room, expected) in rows {
            assert_eq!(score(demand, room), expected, "{demand:?} on {room:?}");
        }
    }
}
