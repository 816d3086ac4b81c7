//! Benchmarks of the public surface.
//!
//! Each module holds programs, ours and the references they are compared with, that the criterion
//! benches and the command `seatrial bench` both run. A measurement is the user CPU time of this
//! process, the median of five, with the reference taking turns in the same process: machines are
//! shared and noisy, so ratios decide.

pub mod cluster;
pub mod engine;
pub mod measure;
pub mod scheduler;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A figure, as `seatrial bench` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// What was measured.
    pub name: Cow<'static, str>,
    /// Our figure.
    pub value: f64,
    /// Its unit.
    pub unit: Cow<'static, str>,
    /// The figure of the reference loop, where there is one.
    pub reference: Option<f64>,
    /// `value / reference`.
    pub ratio: Option<f64>,
    /// The published or measured figure of a peer.
    pub peer: Option<Cow<'static, str>>,
    /// What has to be reached.
    pub goal: Goal,
    /// Whether it was.
    pub reached: bool,
}

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The ratio is at least this.
    RatioMin(f64),
    /// The ratio is at most this.
    RatioMax(f64),
    /// The value is at most this.
    ValueMax(f64),
    /// The value is at least this.
    ValueMin(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::RatioMin(ratio) => write!(f, "≥ {ratio} ×"),
            Goal::RatioMax(ratio) => write!(f, "≤ {ratio} ×"),
            Goal::ValueMax(value) if *value >= 100.0 => write!(f, "≤ {value:.0}"),
            Goal::ValueMax(value) => write!(f, "≤ {value:.3}"),
            Goal::ValueMin(value) => write!(f, "≥ {value:.0}"),
        }
    }
}

/// A group of figures that are measured in one process.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its name on the command line.
    pub name: &'static str,
    /// Measures its figures.
    pub rows: fn() -> Vec<BenchRow>,
}

/// How often a run of many seconds is repeated: the best of them counts.
const LONG_REPEATS: u32 = 3;

/// All suites, in the order in which they are measured.
pub const SUITES: &[Suite] = &[
    Suite { name: "engine", rows: engine::rows },
    Suite { name: "scheduler", rows: || scheduler::rows(LONG_REPEATS) },
    Suite { name: "cluster", rows: || cluster::rollout::rows(LONG_REPEATS) },
    Suite { name: "workload-k", rows: || cluster::workload_k::rows(LONG_REPEATS) },
    Suite { name: "idle", rows: || cluster::idle::rows(LONG_REPEATS) },
];

impl BenchRow {
    /// A figure without a reference.
    pub fn alone(name: &'static str, value: f64, unit: &'static str, goal: Goal) -> BenchRow {
        BenchRow {
            name: name.into(),
            value,
            unit: unit.into(),
            reference: None,
            ratio: None,
            peer: None,
            goal,
            reached: false,
        }
        .judged()
    }

    /// A figure compared with that of the reference.
    pub fn against(
        name: &'static str,
        value: f64,
        reference: f64,
        unit: &'static str,
        goal: Goal,
    ) -> BenchRow {
        let row = BenchRow::alone(name, value, unit, goal);
        BenchRow { reference: Some(reference), ratio: Some(value / reference), ..row }.judged()
    }

    /// The same, with what a peer needs.
    pub fn with_peer(self, peer: &'static str) -> BenchRow {
        BenchRow { peer: Some(peer.into()), ..self }
    }

    fn judged(mut self) -> BenchRow {
        self.reached = match self.goal {
            Goal::RatioMin(min) => self.ratio.is_some_and(|ratio| ratio >= min),
            Goal::RatioMax(max) => self.ratio.is_some_and(|ratio| ratio <= max),
            Goal::ValueMax(max) => self.value <= max,
            Goal::ValueMin(min) => self.value >= min,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_goal_was_reached() {
        assert!(BenchRow::against("speed", 3.0, 2.0, "events/s", Goal::RatioMin(1.5)).reached);
        assert!(!BenchRow::against("speed", 2.9, 2.0, "events/s", Goal::RatioMin(1.5)).reached);
        assert!(BenchRow::against("cost", 2.0, 2.0, "ns/event", Goal::RatioMax(1.0)).reached);
        assert!(!BenchRow::alone("memory", 65.0, "bytes", Goal::ValueMax(64.0)).reached);
    }
}
