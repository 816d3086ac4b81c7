//! The plugin of CONTRIBUTING.md.

use seatrial_api::symbol::Symbol;
use seatrial_scheduler::cluster::NodeInfo;
use seatrial_scheduler::framework::{Cycle, MAX_NODE_SCORE, Plugin, Points, Scope};

/// Spares nodes in the zone "a" for those who ask for it.
pub(crate) struct SpareZoneA;

impl Plugin for SpareZoneA {
    fn name(&self) -> &'static str {
        "SpareZoneA"
    }
    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }
    fn scope(&self) -> Scope {
        Scope::Node
    }
    fn score(&self, _: Cycle<'_>, node: &NodeInfo) -> i64 {
        let zone = node.label(Symbol::new("topology.kubernetes.io/zone"));
        if zone == Some(Symbol::new("a")) { 0 } else { MAX_NODE_SCORE }
    }
}
