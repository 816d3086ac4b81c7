//! Benchmarks of the public surface.
//!
//! Each module holds programs, ours and the references they are compared with, that the criterion
//! benches and the command `seatrial bench` both run. A measurement is the user CPU time of this
//! process, the median of five, with the reference taking turns in the same process: machines are
//! shared and noisy, so ratios decide.

pub mod engine;
pub mod measure;

use serde::Serialize;

/// A figure, as `seatrial bench` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchRow {
    /// What was measured.
    pub name: &'static str,
    /// Our figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The figure of the reference loop, where there is one.
    pub reference: Option<f64>,
    /// `value / reference`.
    pub ratio: Option<f64>,
    /// The published or measured figure of a peer.
    pub peer: Option<&'static str>,
    /// What has to be reached.
    pub goal: Goal,
    /// Whether it was.
    pub reached: bool,
}

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The ratio is at least this.
    RatioMin(f64),
    /// The ratio is at most this.
    RatioMax(f64),
    /// The value is at most this.
    ValueMax(f64),
}

impl BenchRow {
    /// A figure without a reference.
    pub fn alone(name: &'static str, value: f64, unit: &'static str, goal: Goal) -> BenchRow {
        BenchRow { name, value, unit, reference: None, ratio: None, peer: None, goal, reached: false }
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
        BenchRow { peer: Some(peer), ..self }
    }

    fn judged(mut self) -> BenchRow {
        self.reached = match self.goal {
            Goal::RatioMin(min) => self.ratio.is_some_and(|ratio| ratio >= min),
            Goal::RatioMax(max) => self.ratio.is_some_and(|ratio| ratio <= max),
            Goal::ValueMax(max) => self.value <= max,
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
