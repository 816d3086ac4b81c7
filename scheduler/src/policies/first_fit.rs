//! `first-fit`: the first node in name order on which the pod fits.

use std::sync::Arc;

use super::{Policy, score_by};
use crate::cluster::Content;
use crate::config::TieBreak;
use crate::framework::{Plugin, Points, Scope};
use seatrial_api::pod::Pod;

pub(super) const POLICY: Policy = Policy {
    name: "first-fit",
    about: "The first node on which the pod fits, nodes taken in the order of their names.",
    formula: "min { name(n) : n feasible }",
    source: "First fit of bin packing: D. S. Johnson, A. Demers, J. D. Ullman, M. R. Garey, R. L. Graham, \
             \"Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms\", \
             SIAM J. Comput. 3(4), 1974",
    parameters: &[],
    plugin: Some(|_| Arc::new(FirstFit)),
    adjust: |configuration| {
        score_by(configuration, FirstFit.name());
        configuration.ties = TieBreak::First;
    },
};

/// All nodes are equal; that ties go to the first in name order does the rest.
struct FirstFit;

impl Plugin for FirstFit {
    fn name(&self) -> &'static str {
        "FirstFit"
    }

    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, _: &Pod, _: &mut Content) {}
}
