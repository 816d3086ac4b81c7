//! Whether results agree with published ones.

use super::{Cell, Statistics};

/// The policy that must come out first.
const FIRST: &str = "FGD";
/// At which load, in per cent.
const FIRST_AT: u16 = 100;
/// Means may differ by so many points, however small the errors are.
const POINTS: f64 = 0.6;
/// Means may differ by so many standard errors of the difference.
const ERRORS: f64 = 4.0;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// GPU in use, of the cluster.
    Allocated,
    /// Fragmented GPU, of the cluster.
    Fragmented,
}

impl Metric {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Allocated => "allocation",
            Metric::Fragmented => "fragmentation",
        }
    }
}

/// How far a mean is from the published one.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// The workload.
    pub workload: String,
    /// The policy.
    pub policy: String,
    /// The load in per cent.
    pub load: u16,
    /// What was compared.
    pub metric: Metric,
    /// Ours.
    pub found: f64,
    /// Theirs.
    pub published: f64,
    /// How far they may be apart.
    pub bar: f64,
}

impl Deviation {
    /// The distance in points.
    pub fn points(&self) -> f64 {
        (self.found - self.published).abs()
    }

    /// The distance as a part of the bar; above 1 it is too far.
    pub fn ratio(&self) -> f64 {
        self.points() / self.bar
    }

    /// Whether it is within the bar.
    pub fn passes(&self) -> bool {
        self.points() <= self.bar
    }
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Every mean that was compared.
    pub deviations: Vec<Deviation>,
    /// Per workload on which policies compete: whether FGD has most GPUs in use at 100 %.
    pub first: Vec<(String, bool)>,
}

impl Comparison {
    /// Whether everything is as it should be.
    pub fn passes(&self) -> bool {
        self.deviations.iter().all(Deviation::passes) && self.first.iter().all(|first| first.1)
    }

    /// The one that is nearest to its bar, or farthest beyond it.
    pub fn worst(&self) -> Option<&Deviation> {
        self.deviations.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio()))
    }

    /// The deviations of a workload under a policy.
    pub fn of<'a>(&'a self, workload: &'a str, policy: &'a str) -> impl Iterator<Item = &'a Deviation> {
        let wanted = move |one: &&Deviation| one.workload == workload && one.policy == policy;
        self.deviations.iter().filter(wanted)
    }
}

/// Compares results with published ones, as far as there are both.
pub fn compare(found: &[Cell], published: &[Cell]) -> Comparison {
    let key = |cell: &Cell| (cell.workload.clone(), cell.policy.clone(), cell.load);
    let mut comparison = Comparison::default();
    for cell in found {
        let Some(other) = published.iter().find(|other| key(other) == key(cell)) else { continue };
        let metrics = [
            (Metric::Allocated, cell.allocated, other.allocated),
            (Metric::Fragmented, cell.fragmented, other.fragmented),
        ];
        comparison.deviations.extend(metrics.map(|(metric, ours, theirs)| Deviation {
            workload: cell.workload.clone(),
            policy: cell.policy.clone(),
            load: cell.load,
            metric,
            found: ours.mean,
            published: theirs.mean,
            bar: bar((ours, cell.runs), (theirs, other.runs)),
        }));
    }
    comparison.first = first(found);
    comparison
}

/// `max(0.6, 4 standard errors of the difference)`.
fn bar(ours: (Statistics, u32), theirs: (Statistics, u32)) -> f64 {
    let variance = |(statistics, runs): (Statistics, u32)| {
        statistics.deviation * statistics.deviation / f64::from(runs.max(1))
    };
    POINTS.max(ERRORS * (variance(ours) + variance(theirs)).sqrt())
}

/// Per workload: whether FGD comes out first among the policies that were run.
fn first(found: &[Cell]) -> Vec<(String, bool)> {
    let mut workloads: Vec<&str> = found.iter().map(|cell| cell.workload.as_str()).collect();
    workloads.dedup();
    let verdict = |workload: &str| {
        let at_load = found.iter().filter(|cell| cell.workload == workload && cell.load == FIRST_AT);
        let (ours, others): (Vec<&Cell>, Vec<&Cell>) = at_load.partition(|cell| cell.policy == FIRST);
        let [fgd] = ours[..] else { return None };
        let beats = |other: &&Cell| fgd.allocated.mean > other.allocated.mean;
        (!others.is_empty()).then(|| (workload.to_owned(), others.iter().all(beats)))
    };
    workloads.into_iter().filter_map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(policy: &str, mean: f64, deviation: f64) -> Cell {
        let statistics = Statistics { mean, deviation, median: mean };
        Cell {
            workload: "default".into(),
            policy: policy.into(),
            load: 100,
            runs: 10,
            allocated: statistics,
            fragmented: Statistics::default(),
            fragmented_of_idle: Statistics::default(),
        }
    }

    #[test]
    fn means_may_differ_by_six_tenths_or_four_standard_errors() {
        // 4 × sqrt((0.3² + 0.4²) / 10) = 0.632…
        let rows = [
            (95.0, 0.0, 95.6, 0.0, true),
            (95.0, 0.0, 95.61, 0.0, false),
            (95.0, 0.3, 95.63, 0.4, true),
            (95.0, 0.3, 95.64, 0.4, false),
        ];
        for (mean, deviation, published, published_deviation, passes) in rows {
            let comparison =
                compare(&[cell("FGD", mean, deviation)], &[cell("FGD", published, published_deviation)]);
            assert_eq!(comparison.deviations.len(), 2);
            assert_eq!(comparison.passes(), passes, "{mean} and {published}");
            assert_eq!(comparison.worst().map(|worst| worst.metric), Some(Metric::Allocated));
        }
    }

    #[test]
    fn fgd_must_be_first_where_it_competes() {
        let of = |cells: &[Cell]| compare(cells, &[]).first;
        assert_eq!(of(&[cell("FGD", 95.0, 0.0)]), []);
        assert_eq!(of(&[cell("BestFit", 95.0, 0.0), cell("Random", 94.0, 0.0)]), []);
        let tied = [cell("BestFit", 95.0, 0.0), cell("FGD", 95.0, 0.0)];
        assert_eq!(of(&tied), [("default".to_owned(), false)]);
        assert!(!compare(&tied, &[]).passes());
        let ahead = [cell("BestFit", 95.0, 0.0), cell("FGD", 95.1, 0.0)];
        assert_eq!(of(&ahead), [("default".to_owned(), true)]);
    }
}
