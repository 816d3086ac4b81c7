//! The metrics of a run: one number each, with the direction that is better. A sweep writes a
//! column for each, and `compare` judges them.

mod measured;

use serde::Serialize;

use crate::report::Report;
use measured::Measured;

/// Which direction of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The more the better.
    Higher,
    /// The less the better.
    Lower,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct RunMetric {
    /// Its name, as a column, with the unit at the end.
    pub name: &'static str,
    /// Which direction is better.
    pub better: Better,
    /// What it means.
    pub about: &'static str,
    value: fn(&Measured<'_>) -> Option<f64>,
}

const fn lower(
    name: &'static str,
    about: &'static str,
    value: fn(&Measured<'_>) -> Option<f64>,
) -> RunMetric {
    RunMetric { name, better: Better::Lower, about, value }
}

const fn higher(
    name: &'static str,
    about: &'static str,
    value: fn(&Measured<'_>) -> Option<f64>,
) -> RunMetric {
    RunMetric { name, better: Better::Higher, about, value }
}

/// All metrics, in the order of the columns. Pods are those that were made in the run.
pub const METRICS: &[RunMetric] = &[
    lower("expectations_missed", "expectations of the scenario that were not met", |run| Some(run.missed())),
    lower("wait_mean_s", "creation to binding, mean over bound pods", |run| run.waits.mean()),
    lower("wait_p50_s", "the same, median by nearest rank", |run| run.waits.percentile(50)),
    lower("wait_p90_s", "the same, 90th percentile", |run| run.waits.percentile(90)),
    lower("wait_p99_s", "the same, 99th percentile", |run| run.waits.percentile(99)),
    lower("wait_max_s", "the same, longest", |run| run.waits.percentile(100)),
    lower("start_p50_s", "creation to the first time Ready, median", |run| run.starts.percentile(50)),
    lower("start_p99_s", "the same, 99th percentile", |run| run.starts.percentile(99)),
    lower("completion_mean_s", "creation to success, mean over pods that succeeded", |run| {
        run.completions.mean()
    }),
    lower("completion_p99_s", "the same, 99th percentile", |run| run.completions.percentile(99)),
    lower("makespan_s", "first creation to last success, of pods that succeeded", |run| run.makespan()),
    lower(
        "slowdown_mean",
        "bounded slowdown, max(1, (end − creation) / max(end − start, 10 s)), mean over pods that succeeded",
        |run| run.mean_slowdown(),
    ),
    higher(
        "fairness_jain",
        "Jain's index over namespaces of the time integral of their dominant share",
        |run| run.fairness(),
    ),
    lower("pods_pending_mean", "pods in phase Pending, mean over time", |run| run.pending_mean()),
    lower("pods_pending_max", "the same, most at once", |run| run.pending_max()),
    lower("pods_unbound", "pods that never had a node, at the end", |run| Some(run.unbound())),
    higher("pods_succeeded", "pods that succeeded", |run| Some(run.succeeded())),
    lower("pods_failed", "pods that failed", |run| Some(run.failed())),
    lower("evictions", "pods evicted by taints, the Eviction API, pressure or preemption", |run| {
        Some(run.evictions())
    }),
    lower("preemptions", "pods evicted for pods of higher priority", |run| {
        Some(run.report.results.evictions.preemption as f64)
    }),
    lower("restarts", "container restarts", |run| Some(run.restarts())),
    higher("cpu_allocated_pct", "CPU requested by bound pods, mean over machines and time", |run| {
        run.summary.resources.cpu.shares.allocated_mean_pct
    }),
    higher("memory_allocated_pct", "the same of memory", |run| {
        run.summary.resources.memory.shares.allocated_mean_pct
    }),
    higher("cpu_used_pct", "CPU used, mean over machines and time", |run| {
        run.summary.resources.cpu.shares.used_mean_pct
    }),
    higher("memory_used_pct", "the same of memory", |run| run.summary.resources.memory.shares.used_mean_pct),
    lower("nodes_used", "nodes that ever had a pod", |run| Some(run.nodes_used())),
    higher("availability_min_pct", "availability of the Service that fared worst", |run| {
        run.availabilities().min_by(f64::total_cmp)
    }),
    higher("availability_mean_pct", "availability, mean over Services", |run| run.availability_mean()),
    lower("service_down_s", "time without a usable backend, summed over Services", |run| run.service_down()),
    lower("cost_usd", "what the machines cost", |run| Some(run.summary.cost_usd)),
];

/// The metric of a name.
pub fn find(name: &str) -> Option<&'static RunMetric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// All metrics of a run, to a millionth, in the order of [`METRICS`]; `None` where there is nothing
/// to measure.
pub fn of(report: &Report<'_>) -> Vec<Option<f64>> {
    let measured = Measured::new(report);
    METRICS.iter().map(|metric| (metric.value)(&measured).map(to_millionths)).collect()
}

fn to_millionths(value: f64) -> f64 {
    // Adding zero makes minus zero plain zero.
    (value * 1e6).round() / 1e6 + 0.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_columns_of_their_own_and_every_metric_says_what_it_means() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(!metric.about.is_empty(), "{}", metric.name);
            let is_column = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(metric.name.bytes().all(is_column), "{}", metric.name);
            assert!(find(metric.name).is_some_and(|found| found.better == metric.better));
        }
    }
}
