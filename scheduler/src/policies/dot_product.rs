//! `dot-product`: the node of which the pod needs least of what is free.

use seatrial_api::pod::Pod;

use crate::cluster::{Content, NodeInfo};
use crate::framework::{Cycle, Plugin, Points, Scope};

use super::gpu_demand::{self, MAX_CPU, MAX_GPU, NodeRoom};
use super::{Policy, score_by};

pub(super) const POLICY: Policy = Policy {
    name: "dot-product",
    about: "The node whose free CPU and GPU make the smallest dot product with the pod's demand. Sharing pods \
            get the fullest device that fits. (`alignment` prefers the largest one.)",
    formula: "score(n) = ⌊100 × (1 − ½ (c/128000 × p_c/128000 + g/8000 × p_g/8000))⌋; c, g: free CPU and GPU in \
              thousandths, p_c, p_g: the pod's",
    source: "Q. Weng et al., \"Beware of Fragmentation\" (USENIX ATC 2023), baseline DotProd: \
             hkust-adsl/kubernetes-scheduler-simulator, pkg/simulator/plugin/dot_product_score.go with \
             dimExtMethod merge and normMethod max",
    parameters: &[],
    plugin: Some(|_| std::sync::Arc::new(DotProductScore)),
    adjust: |configuration| score_by(configuration, NAME),
};

const NAME: &str = "DotProductScore";

/// The plugin.
struct DotProductScore;

impl Plugin for DotProductScore {
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
}

fn score((cpu, gpu): (i64, i64), room: NodeRoom) -> i64 {
    let product = room.cpu as f64 / MAX_CPU * (cpu as f64 / MAX_CPU)
        + room.gpu as f64 / MAX_GPU * (gpu as f64 / MAX_GPU);
    ((100.0 * (1.0 - product / 2.0)) as i64).clamp(0, 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_the_product_the_better() {
        let room = |cpu, gpu| NodeRoom { cpu, gpu };
        let rows = [
            ((128_000, 8_000), room(128_000, 8_000), 0),
            ((64_000, 4_000), room(64_000, 4_000), 75),
            ((6_000, 460), room(96_000, 8_000), 95),
            ((6_000, 460), room(96_000, 500), 98),
            ((6_000, 0), room(0, 8_000), 100),
        ];
        for (demand, room, expected) in rows {
            assert_eq!(score(demand, room), expected, "{demand:?} on {room:?}");
        }
    }
}
