//! What a report is made from.

use seatrial_api::units::Span;
use seatrial_sim_core::results::{ExpectationOutcome, Results};

/// A finished run, ready to be reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What the run left behind.
    pub results: &'a Results,
    /// What became of the scenario's expectations, in the scenario's order.
    pub expectations: &'a [ExpectationOutcome],
    /// The version of Seatrial that played it.
    pub seatrial_version: &'a str,
    /// The Kubernetes version whose behaviour was played, such as `1.36`.
    pub kubernetes_version: &'a str,
    /// The CPU time that the run took: the one figure that may differ between equal runs.
    pub cpu: Span,
    /// Whether the run would come out the same again: nothing outside of it was asked.
    pub reproducible: bool,
}

impl Report<'_> {
    /// Whether every expectation was met.
    pub fn passed(&self) -> bool {
        self.expectations.iter().all(|outcome| outcome.passed)
    }
}
