//! Keeps the pods of an application apart: the node that has fewest of them wins.

use std::sync::Arc;

use seatrial_api::{pod::Pod, symbol::Symbol};
use seatrial_scheduler::cluster::{Content, NodeInfo};
use seatrial_scheduler::framework::{Cycle, MAX_NODE_SCORE, Plugin, Points, Scope};
use seatrial_scheduler::{SchedulerConfiguration, policies};

/// A policy of one's own.
pub struct FewestSiblings;

impl Plugin for FewestSiblings {
    fn name(&self) -> &'static str {
        "FewestSiblings"
    }
    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }
    fn scope(&self) -> Scope {
        Scope::Usage
    }
    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.labels(&pod.meta.labels);
    }
    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let app = |pod: &Pod| pod.meta.labels.get(Symbol::new("app"));
        let is_sibling = |other: &Pod| app(other) == app(cycle.pod);
        let siblings = node.pods().iter().filter(|other| is_sibling(&other.pod)).count();
        (MAX_NODE_SCORE - siblings as i64).max(0)
    }
}

/// Upstream's filters, and this policy in the place of all of upstream's scores.
pub fn configuration() -> SchedulerConfiguration {
    policies::scored_by(Arc::new(FewestSiblings))
}
