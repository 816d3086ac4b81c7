//! `alignment`: the node whose free room points the same way as the pod's demand.

use std::sync::Arc;

use seatrial_api::pod::Pod;

use super::{Policy, amounts, score_by};
use crate::cluster::{Cluster, Content, NodeInfo};
use crate::framework::{Cycle, Plugin, Points, Scope};

pub(super) const POLICY: Policy = Policy {
    name: "alignment",
    about: "The node on which the dot product of the pod's demand and the free room is largest, both as shares of \
            the machine: pods go where there is most of what they need most.",
    formula: "score(n) = Σ_r (request_r / allocatable_r(n)) × (free_r(n) / allocatable_r(n)), over CPU, memory and \
              the extended resources that the pod requests; scaled to 0 … 30,000",
    source: "R. Grandl, G. Ananthanarayanan, S. Kandula, S. Rao, A. Akella, \"Multi-Resource Packing for Cluster \
             Schedulers\" (Tetris), SIGCOMM 2014, section 3.2",
    parameters: &[],
    plugin: Some(|_| Arc::new(Alignment)),
    adjust: |configuration| score_by(configuration, Alignment.name()),
};

/// The plugin.
pub(super) struct Alignment;

/// The largest score. The paper compares real numbers; a hundred steps would make most nodes equal
/// for a small pod.
const FINE_SCORE: i64 = 30_000;

/// The dot product, from 0 to the number of resources.
pub(super) fn alignment(pod: &Pod, node: &NodeInfo) -> f64 {
    let term = |one: amounts::Amounts| {
        let allocatable = one.allocatable as f64;
        (one.request as f64 / allocatable).min(1.0) * (one.free as f64 / allocatable)
    };
    amounts::of(pod, node).map(term).sum()
}

/// The largest alignment of a pod with a node that has room for it; `None` if none has.
pub(crate) fn best_alignment(cluster: &Cluster, pod: &Pod) -> Option<f64> {
    let has_room = |node: &&NodeInfo| {
        (node.pods().len() as i64) < node.usage.allowed_pods
            && amounts::of(pod, node).all(|one| one.request <= one.free)
    };
    cluster.nodes().iter().filter(has_room).map(|node| alignment(pod, node)).max_by(f64::total_cmp)
}

impl Plugin for Alignment {
    fn name(&self) -> &'static str {
        "Alignment"
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
        let share = alignment(cycle.pod, node) / amounts::dimensions(cycle.pod) as f64;
        (share * FINE_SCORE as f64) as i64
    }
}
