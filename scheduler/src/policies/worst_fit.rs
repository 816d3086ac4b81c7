//! `worst-fit`: the node on which most is left.

use std::sync::Arc;

use seatrial_api::pod::Pod;

use super::{Policy, amounts, score_by};
use crate::cluster::{Content, NodeInfo};
use crate::framework::{Cycle, Plugin, Points, Scope};
use crate::plugins::fit::ResourceName;

pub(super) const POLICY: Policy = Policy {
    name: "worst-fit",
    about: "The node on which most is left once the pod is there: amounts, not shares, so that large machines fill \
            first. The opposite of best-fit.",
    formula: "score(n) = mean over CPU, memory and the extended resources that the pod requests of \
              (free_r(n) − request_r) / u_r, u = 128 CPU, 1 TiB, 8 of anything else",
    source: "Worst fit of bin packing: D. S. Johnson, \"Fast algorithms for bin packing\", J. Comput. Syst. Sci. 8, \
             1974; over several resources as in R. Panigrahy, K. Talwar, L. Uyeda, U. Wieder, \"Heuristics for \
             Vector Bin Packing\", 2011",
    parameters: &[],
    plugin: Some(|_| Arc::new(WorstFit)),
    adjust: |configuration| score_by(configuration, WorstFit.name()),
};

struct WorstFit;

impl WorstFit {
    /// What amounts of a resource are measured by: about the largest machines there are.
    fn unit(resource: ResourceName) -> i64 {
        match resource {
            ResourceName::Cpu => 128_000,
            ResourceName::Memory | ResourceName::EphemeralStorage => 1 << 40,
            ResourceName::Scalar(_) => 8,
        }
    }
}

impl Plugin for WorstFit {
    fn name(&self) -> &'static str {
        "WorstFit"
    }

    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Usage
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.resources(&pod.spec.derived.requests);
    }

    fn score_max(&self) -> i64 {
        FINE_SCORE
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let left = |one: amounts::Amounts| {
            let left = (one.free - one.request).max(0) as f64 / WorstFit::unit(one.resource) as f64;
            left.min(1.0)
        };
        let sum: f64 = amounts::of(cycle.pod, node).map(left).sum();
        (sum / amounts::dimensions(cycle.pod) as f64 * FINE_SCORE as f64) as i64
    }
}

/// The largest score: fine enough to tell machines of 4 CPU apart by a few millicores.
const FINE_SCORE: i64 = 30_000;
