//! What metrics are computed from, gathered once per run.

use std::collections::BTreeMap;

use seatrial_api::pod::PodPhase;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{Metric, PodRow};

use crate::report::Report;
use crate::summary::Summary;
use crate::timeline;

/// Lengths of time, sorted.
pub(super) struct Lengths(Vec<Span>);

impl Lengths {
    fn new(lengths: impl Iterator<Item = Span>) -> Lengths {
        let mut lengths: Vec<Span> = lengths.collect();
        lengths.sort_unstable();
        Lengths(lengths)
    }

    /// The mean in seconds.
    pub(super) fn mean(&self) -> Option<f64> {
        let sum: i128 = self.0.iter().map(|length| i128::from(length.nanos())).sum();
        (!self.0.is_empty()).then(|| sum as f64 / self.0.len() as f64 / 1e9)
    }

    /// A percentile in seconds by nearest rank.
    pub(super) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.0.len() * percent).div_ceil(100).checked_sub(1)?;
        Some(self.0[rank].as_secs_f64())
    }
}

/// A run as metrics see it.
pub(super) struct Measured<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) summary: Summary,
    pub(super) waits: Lengths,
    pub(super) starts: Lengths,
    pub(super) completions: Lengths,
    end: SimTime,
}

/// Shorter runs count as so long, lest their slowdown be all that is seen.
const SHORTEST_RUN: Span = Span::from_secs(10);

impl<'a> Measured<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Measured<'a> {
        let pods = || made_here(report);
        Measured {
            report,
            summary: Summary::new(report),
            waits: Lengths::new(pods().filter_map(|pod| Some(pod.scheduled?.since(pod.created)))),
            starts: Lengths::new(pods().filter_map(|pod| Some(pod.ready?.since(pod.created)))),
            completions: Lengths::new(pods().filter_map(|pod| Some(success(pod)?.since(pod.created)))),
            end: SimTime::ZERO + report.results.simulated,
        }
    }

    pub(super) fn missed(&self) -> f64 {
        self.report.expectations.iter().filter(|outcome| !outcome.passed).count() as f64
    }

    pub(super) fn makespan(&self) -> Option<f64> {
        let done = || made_here(self.report).filter(|pod| success(pod).is_some());
        let first = done().map(|pod| pod.created).min()?;
        let last = done().filter_map(success).max()?;
        Some(last.since(first).as_secs_f64())
    }

    pub(super) fn mean_slowdown(&self) -> Option<f64> {
        let slowdown = |pod: &PodRow| {
            let (end, start) = (success(pod)?, pod.started?);
            let run = end.since(start).max(SHORTEST_RUN).as_secs_f64();
            Some((end.since(pod.created).as_secs_f64() / run).max(1.0))
        };
        mean(made_here(self.report).filter_map(slowdown))
    }

    /// Jain's index `(Σx)² / (n Σx²)` over namespaces, `x` being the integral over time of the larger
    /// of the shares of all CPU and all memory that the namespace's pods request.
    pub(super) fn fairness(&self) -> Option<f64> {
        let nodes = || self.report.results.nodes.iter().map(|node| &node.allocatable);
        let cpu: i64 = nodes().map(|amounts| amounts.cpu.get()).sum();
        let memory: i64 = nodes().map(|amounts| amounts.memory.get()).sum();
        let mut used: BTreeMap<Symbol, (i128, i128)> = BTreeMap::new();
        for pod in &self.report.results.pods {
            let entry = used.entry(pod.namespace).or_default();
            let Some(from) = pod.scheduled else { continue };
            let held = i128::from(pod.finished.unwrap_or(self.end).since(from.max(SimTime::ZERO)).nanos());
            entry.0 += held * i128::from(pod.cpu_request.get());
            entry.1 += held * i128::from(pod.memory_request.get());
        }
        if used.len() < 2 || cpu == 0 || memory == 0 {
            return None;
        }
        let dominant = |&(used_cpu, used_memory): &(i128, i128)| {
            (used_cpu as f64 / cpu as f64).max(used_memory as f64 / memory as f64)
        };
        let (sum, squares) = used
            .values()
            .map(dominant)
            .fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
        (squares > 0.0).then(|| sum * sum / (used.len() as f64 * squares))
    }

    pub(super) fn pending_mean(&self) -> Option<f64> {
        let series = timeline::of_cluster(&self.report.results.series, Metric::PodsPending)?;
        timeline::Grid::new(self.report.results.simulated, 1).means(series).into_iter().next().flatten()
    }

    pub(super) fn pending_max(&self) -> Option<f64> {
        let series = timeline::of_cluster(&self.report.results.series, Metric::PodsPending)?;
        series.points.iter().map(|point| point.1).max_by(f64::total_cmp)
    }

    fn count(&self, counts: impl Fn(&PodRow) -> bool) -> f64 {
        made_here(self.report).filter(|pod| counts(pod)).count() as f64
    }

    pub(super) fn unbound(&self) -> f64 {
        self.count(|pod| !pod.deleted && pod.node.is_empty() && pod.phase == PodPhase::Pending)
    }

    pub(super) fn succeeded(&self) -> f64 {
        self.count(|pod| pod.phase == PodPhase::Succeeded)
    }

    pub(super) fn failed(&self) -> f64 {
        self.count(|pod| pod.phase == PodPhase::Failed)
    }

    pub(super) fn evictions(&self) -> f64 {
        self.summary.evictions.total as f64
    }

    pub(super) fn restarts(&self) -> f64 {
        self.summary.pods.restarts as f64
    }

    pub(super) fn nodes_used(&self) -> f64 {
        self.report.results.nodes.iter().filter(|node| node.pods_max > 0).count() as f64
    }

    pub(super) fn availabilities(&self) -> impl Iterator<Item = f64> + '_ {
        self.report.results.services.iter().filter_map(|service| service.availability_pct)
    }

    pub(super) fn availability_mean(&self) -> Option<f64> {
        mean(self.availabilities())
    }

    pub(super) fn service_down(&self) -> Option<f64> {
        let rated = || self.report.results.services.iter().filter(|one| one.availability_pct.is_some());
        rated().next()?;
        Some(rated().fold(Span::ZERO, |sum, service| sum + service.down).as_secs_f64())
    }
}

fn made_here<'a>(report: &'a Report<'_>) -> impl Iterator<Item = &'a PodRow> {
    report.results.pods.iter().filter(|pod| pod.created >= SimTime::ZERO)
}

/// When a pod succeeded.
fn success(pod: &PodRow) -> Option<SimTime> {
    pod.finished.filter(|_| pod.phase == PodPhase::Succeeded)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
