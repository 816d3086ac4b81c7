//! Runs of many seeds, as a table.

use std::fmt::Write;

use super::Series;

/// The loads that are told, in per cent of the cluster's GPUs.
pub const LOADS: [u16; 18] = [10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 100, 105, 110, 115, 120, 125, 130];

/// Mean, spread and median over runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a sample; 0 for a single run.
    pub deviation: f64,
    /// The median.
    pub median: f64,
}

impl Statistics {
    fn of(mut values: Vec<f64>) -> Statistics {
        let count = values.len() as f64;
        if values.is_empty() {
            return Statistics::default();
        }
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        let deviation = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        Statistics { mean, deviation, median }
    }
}

/// What runs of a workload by a policy came to at one load; all figures in per cent.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The workload.
    pub workload: String,
    /// The policy.
    pub policy: String,
    /// GPUs that all pods asked for so far, of the cluster.
    pub load: u16,
    /// How many runs there were.
    pub runs: u32,
    /// GPU in use, of the cluster.
    pub allocated: Statistics,
    /// Fragmented GPU, of the cluster.
    pub fragmented: Statistics,
    /// Fragmented GPU, of what is idle.
    pub fragmented_of_idle: Statistics,
}

/// The figures of runs that differ in their seeds, at all loads that are told and were reached.
pub fn summarize(workload: &str, policy: &str, runs: &[Series]) -> Vec<Cell> {
    let at = |&load: &u16| {
        let points: Vec<_> = runs.iter().filter_map(|run| run.at(usize::from(load))).collect();
        (!points.is_empty()).then(|| Cell {
            workload: workload.to_owned(),
            policy: policy.to_owned(),
            load,
            runs: points.len() as u32,
            allocated: Statistics::of(points.iter().map(|point| point.allocated).collect()),
            fragmented: Statistics::of(points.iter().map(|point| point.fragmented).collect()),
            fragmented_of_idle: Statistics::of(points.iter().map(|point| point.fragmented_of_idle).collect()),
        })
    };
    LOADS.iter().filter_map(at).collect()
}

/// The columns of the table.
pub(super) const COLUMNS: [&str; 11] = [
    "workload",
    "policy",
    "arrived_gpu_pct",
    "runs",
    "alloc_pct_mean",
    "alloc_pct_sd",
    "alloc_pct_median",
    "frag_gpu_pct_mean",
    "frag_gpu_pct_sd",
    "frag_of_idle_pct_mean",
    "frag_of_idle_pct_sd",
];

/// The table as comma-separated values, numbers with up to three decimals.
pub fn write_csv(cells: &[Cell]) -> String {
    let mut text = COLUMNS.join(",");
    text.push('\n');
    for cell in cells {
        let figures = [
            cell.allocated.mean,
            cell.allocated.deviation,
            cell.allocated.median,
            cell.fragmented.mean,
            cell.fragmented.deviation,
            cell.fragmented_of_idle.mean,
            cell.fragmented_of_idle.deviation,
        ];
        let figures = figures.map(|figure| format!("{:?}", (figure * 1000.0).round() / 1000.0)).join(",");
        let Cell { workload, policy, load, runs, .. } = cell;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{workload},{policy},{load},{runs},{figures}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_a_sample() {
        let of = |values: &[f64]| Statistics::of(values.to_vec());
        assert_eq!(of(&[3.0]), Statistics { mean: 3.0, deviation: 0.0, median: 3.0 });
        assert_eq!(of(&[1.0, 3.0]), Statistics { mean: 2.0, deviation: 2.0f64.sqrt(), median: 2.0 });
        assert_eq!(of(&[9.0, 1.0, 2.0]).median, 2.0);
    }

    #[test]
    fn the_table_has_the_published_form() {
        let statistics = |mean, deviation| Statistics { mean, deviation, median: mean };
        let cell = Cell {
            workload: "default".into(),
            policy: "FGD".into(),
            load: 100,
            runs: 10,
            allocated: statistics(95.0, 0.1118),
            fragmented: statistics(4.9371, 0.1),
            fragmented_of_idle: statistics(98.6600, 0.5684),
        };
        let text = write_csv(&[cell]);
        assert_eq!(text.lines().nth(1), Some("default,FGD,100,10,95.0,0.112,95.0,4.937,0.1,98.66,0.568"));
    }
}
