//! The summary of a run: what `summary.json` holds and what the terminal prints.

use std::collections::BTreeMap;

use seatrial_api::pod::PodPhase;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_sim_core::results::{FaultRow, Metric, NodeRow, PodRow, Results, ServiceRow};
use serde::Serialize;

use crate::amounts::{count, instant, maybe_instant, object, seconds};
pub use crate::quantiles::Percentiles;
use crate::report::Report;
use crate::timeline;

/// The version of the summary's shape. It rises when a field changes its name or meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// The answer of a run in figures. Serialised in the order of its fields, names with units.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The scenario's name.
    pub name: String,
    /// Whether every expectation was met.
    pub passed: bool,
    /// The hash of the event trace, 16 hexadecimal digits.
    pub trace_hash: String,
    /// The seed.
    pub seed: u64,
    /// The version of Seatrial.
    pub seatrial_version: String,
    /// The Kubernetes version whose behaviour was played.
    pub kubernetes_version: String,
    /// The start instant in seconds since 1970.
    pub start_unix_s: i64,
    /// How long the run was, in virtual time.
    #[serde(rename = "simulated_s", serialize_with = "seconds")]
    pub simulated: Span,
    /// Engine events handled.
    pub events: u64,
    /// CPU time that the run took.
    #[serde(rename = "cpu_s", serialize_with = "seconds")]
    pub cpu: Span,
    /// What became of the expectations.
    pub expectations: Vec<ExpectationSummary>,
    /// Pods by what became of them.
    pub pods: PodCounts,
    /// Nodes.
    pub nodes: NodeCounts,
    /// CPU and memory given away and used.
    pub resources: ResourceShares,
    /// From creation to the first time Ready, of pods made in the run; null if none became Ready.
    #[serde(rename = "start_latency_s")]
    pub start_latency: Option<Percentiles>,
    /// From creation to binding, of pods made in the run; null if none was bound.
    #[serde(rename = "scheduling_latency_s")]
    pub scheduling_latency: Option<Percentiles>,
    /// Evictions by cause.
    pub evictions: EvictionCounts,
    /// Availability per Service.
    pub services: Vec<ServiceSummary>,
    /// Named faults.
    pub faults: Vec<FaultSummary>,
    /// What the machines cost, to a millionth of a dollar.
    pub cost_usd: f64,
    /// Whether the run would come out the same again: false if extenders were called.
    pub reproducible: bool,
    /// Kinds that were kept without logic of their own.
    pub not_played: Vec<NotPlayed>,
}

/// What is said of a run that would not come out the same again.
pub(crate) const NOT_REPRODUCIBLE: &str = "extenders were called: this result cannot be reproduced";

/// An expectation and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectationSummary {
    /// Its name in the scenario.
    pub name: String,
    /// Whether it was met.
    pub passed: bool,
    /// When it was decided.
    #[serde(rename = "at_s", serialize_with = "maybe_instant")]
    pub at: Option<SimTime>,
    /// The object that decides it.
    pub object: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// Pods by what became of them. `running`, `pending`, `succeeded`, `failed` and `unknown` count
/// those that were there at the end; together with `deleted` they are all that were `created`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PodCounts {
    /// All that ever existed, those that a state dump brought along included.
    pub created: u64,
    /// Running at the end.
    pub running: u64,
    /// Pending at the end.
    pub pending: u64,
    /// Ended well and still listed.
    pub succeeded: u64,
    /// Ended badly and still listed.
    pub failed: u64,
    /// In phase Unknown at the end.
    pub unknown: u64,
    /// Gone by the end.
    pub deleted: u64,
    /// Running at the end without ever having been Ready.
    pub running_never_ready: u64,
    /// Container restarts.
    pub restarts: u64,
    /// Why pods were pending at the end, the most frequent first.
    pub pending_reasons: Vec<ReasonGroup>,
    /// Why running pods were in trouble at the end (such as `CrashLoopBackOff`).
    pub running_reasons: Vec<ReasonGroup>,
    /// Why pods had failed.
    pub failed_reasons: Vec<ReasonGroup>,
}

/// Pods that share a reason and a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonGroup {
    /// The reason, such as `Unschedulable`.
    pub reason: String,
    /// The message.
    pub message: String,
    /// How many pods.
    pub pods: u64,
    /// One of them, the first that was created, as `namespace/name`.
    pub example: String,
}

/// Nodes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct NodeCounts {
    /// All that ever joined.
    pub joined: u64,
    /// There at the end.
    pub present: u64,
    /// Ready at the end; null if it was not recorded.
    pub ready: Option<u64>,
    /// How many pods those present can hold.
    pub pods_capacity: i64,
}

/// CPU and memory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResourceShares {
    /// CPU.
    pub cpu: CpuShares,
    /// Memory.
    pub memory: MemoryShares,
}

/// How much of the CPU was given away and used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CpuShares {
    /// What the nodes present at the end have to give away.
    #[serde(rename = "allocatable_millicores", serialize_with = "millicores")]
    pub allocatable: MilliCpu,
    /// The shares.
    #[serde(flatten)]
    pub shares: Shares,
}

/// How much of the memory was given away and used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemoryShares {
    /// What the nodes present at the end have to give away.
    #[serde(rename = "allocatable_bytes", serialize_with = "byte_count")]
    pub allocatable: Bytes,
    /// The shares.
    #[serde(flatten)]
    pub shares: Shares,
}

/// Shares of what the running machines had to give away, in percent, averaged over time and over
/// machines. Null where there was nothing to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    /// Requested by bound pods, on average.
    pub allocated_mean_pct: Option<f64>,
    /// Requested by bound pods, at the highest.
    pub allocated_max_pct: Option<f64>,
    /// Used, on average.
    pub used_mean_pct: Option<f64>,
    /// Used, at the highest.
    pub used_max_pct: Option<f64>,
}

/// Evictions by cause.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EvictionCounts {
    /// All.
    pub total: u64,
    /// By the taint eviction controller.
    pub taint: u64,
    /// By the Eviction API (drain).
    pub api: u64,
    /// By a kubelet under pressure.
    pub pressure: u64,
    /// By the scheduler, for pods of higher priority.
    pub preemption: u64,
}

/// How a Service fared.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceSummary {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The mean share of usable backends in percent; null if it never should have had one.
    pub availability_pct: Option<f64>,
    /// For how long there was no usable backend.
    #[serde(rename = "down_s", serialize_with = "seconds")]
    pub down: Span,
    /// For how long there should have been one.
    #[serde(rename = "wanted_s", serialize_with = "seconds")]
    pub wanted: Span,
}

/// When a fault was in force.
#[derive(Clone, Debug, Serialize)]
pub struct FaultSummary {
    /// Its name in the scenario.
    pub name: String,
    /// What it hit.
    pub target: String,
    /// When it began.
    #[serde(rename = "begin_s", serialize_with = "instant")]
    pub begin: SimTime,
    /// When it ended; null if it lasted to the end of the run.
    #[serde(rename = "end_s", serialize_with = "maybe_instant")]
    pub end: Option<SimTime>,
}

/// A kind that was kept without logic of its own.
#[derive(Clone, Debug, Serialize)]
pub struct NotPlayed {
    /// The kind.
    pub kind: String,
    /// How many objects of it.
    pub objects: u32,
}

impl Summary {
    /// Sums `report` up.
    pub fn new(report: &Report<'_>) -> Summary {
        let results = report.results;
        let born_here = || results.pods.iter().filter(|pod| pod.created >= SimTime::ZERO);
        let start = born_here().filter_map(|pod| Some(pod.ready?.since(pod.created)));
        let scheduling = born_here().filter_map(|pod| Some(pod.scheduled?.since(pod.created)));
        Summary {
            schema_version: SCHEMA_VERSION,
            name: results.name.clone(),
            passed: report.passed(),
            trace_hash: format!("{:016x}", results.trace_hash),
            seed: results.seed,
            seatrial_version: report.seatrial_version.to_owned(),
            kubernetes_version: report.kubernetes_version.to_owned(),
            start_unix_s: results.start_unix_seconds,
            simulated: results.simulated,
            events: results.events,
            cpu: report.cpu,
            expectations: expectations(report),
            pods: pod_counts(&results.pods),
            nodes: node_counts(results),
            resources: resource_shares(results),
            start_latency: Percentiles::of(start.collect()),
            scheduling_latency: Percentiles::of(scheduling.collect()),
            evictions: evictions(results),
            services: results.services.iter().map(service).collect(),
            faults: results.faults.iter().map(fault).collect(),
            cost_usd: (results.cost_usd * 1e6).round() / 1e6,
            reproducible: report.reproducible,
            not_played: results
                .not_played
                .iter()
                .map(|&(kind, objects)| NotPlayed { kind: kind.to_string(), objects })
                .collect(),
        }
    }

    /// The text of `summary.json`, ending in a newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("invariant: a summary has string keys only");
        text.push('\n');
        text
    }

    /// The Services that should have had a backend with their availability in percent, the lowest
    /// first.
    pub fn rated_services(&self) -> Vec<(f64, &ServiceSummary)> {
        let rated = self.services.iter().filter_map(|service| Some((service.availability_pct?, service)));
        let mut rated: Vec<_> = rated.collect();
        rated.sort_by(|a, b| a.0.total_cmp(&b.0));
        rated
    }

    /// Why pods were not well at the end, with their phase: the pending first, then the failed and
    /// the running.
    pub fn troubles(&self) -> impl Iterator<Item = (&'static str, &[ReasonGroup])> {
        let pods = &self.pods;
        [
            ("pending", pods.pending_reasons.as_slice()),
            ("failed", &pods.failed_reasons),
            ("running", &pods.running_reasons),
        ]
        .into_iter()
    }

    /// The figure that says most about the pods, and its meaning.
    pub(crate) fn pods_figure(&self) -> (String, String) {
        let pods = &self.pods;
        match pods.running + pods.pending + pods.failed + pods.unknown {
            0 if pods.succeeded > 0 => (count(pods.succeeded), "pods succeeded".to_owned()),
            wanted => (format!("{} of {}", count(pods.running), count(wanted)), "pods running".to_owned()),
        }
    }
}

fn expectations(report: &Report<'_>) -> Vec<ExpectationSummary> {
    let outcomes = report.expectations.iter();
    outcomes
        .map(|outcome| ExpectationSummary {
            name: outcome.name.clone(),
            passed: outcome.passed,
            at: outcome.at,
            object: outcome.object.clone(),
            found: outcome.found.clone(),
            expected: outcome.expected.clone(),
        })
        .collect()
}

fn pod_counts(pods: &[PodRow]) -> PodCounts {
    let mut counts = PodCounts { created: pods.len() as u64, ..PodCounts::default() };
    for pod in pods {
        counts.restarts += u64::from(pod.restarts);
        let slot = match pod.phase {
            _ if pod.deleted => &mut counts.deleted,
            PodPhase::Pending => &mut counts.pending,
            PodPhase::Running => &mut counts.running,
            PodPhase::Succeeded => &mut counts.succeeded,
            PodPhase::Failed => &mut counts.failed,
            PodPhase::Unknown => &mut counts.unknown,
        };
        *slot += 1;
        if pod.phase == PodPhase::Running && !pod.deleted && pod.ready.is_none() {
            counts.running_never_ready += 1;
        }
    }
    counts.pending_reasons = reasons(pods, PodPhase::Pending);
    counts.running_reasons = reasons(pods, PodPhase::Running);
    counts.failed_reasons = reasons(pods, PodPhase::Failed);
    counts
}

/// The reasons of the pods that were there in `phase` at the end. A running pod without a reason
/// needs none; every other pod is told of.
fn reasons(pods: &[PodRow], phase: PodPhase) -> Vec<ReasonGroup> {
    let mut groups: BTreeMap<(Symbol, &str), (u64, usize)> = BTreeMap::new();
    for (index, pod) in pods.iter().enumerate() {
        let told = phase != PodPhase::Running || !pod.reason.is_empty();
        if pod.phase == phase && !pod.deleted && told {
            groups.entry((pod.reason, &pod.message)).or_insert((0, index)).0 += 1;
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|&(_, (count, first))| (std::cmp::Reverse(count), first));
    let group = |((reason, message), (count, first)): ((Symbol, &str), (u64, usize))| ReasonGroup {
        reason: reason.to_string(),
        message: message.to_owned(),
        pods: count,
        example: object(pods[first].namespace.as_str(), &pods[first].name),
    };
    groups.into_iter().map(group).collect()
}

fn node_counts(results: &Results) -> NodeCounts {
    let present = || results.nodes.iter().filter(|node| node.present);
    let ready = timeline::find(&results.series, Metric::NodesReady, Symbol::empty());
    NodeCounts {
        joined: results.nodes.len() as u64,
        present: present().count() as u64,
        ready: ready.and_then(|series| series.points.last()).map(|point| point.1 as u64),
        pods_capacity: present().map(|node| node.pods_capacity).sum(),
    }
}

/// Averages come from the nodes, whose integrals are exact; maxima from the recorded time courses.
fn resource_shares(results: &Results) -> ResourceShares {
    let present = || results.nodes.iter().filter(|node| node.present);
    let mean = |part: fn(&NodeRow) -> i64, whole: fn(&NodeRow) -> i64| {
        let weighted = |amount: fn(&NodeRow) -> i64| -> i128 {
            results.nodes.iter().map(|node| i128::from(amount(node)) * i128::from(node.uptime.nanos())).sum()
        };
        share(weighted(part) as f64, weighted(whole) as f64)
    };
    let max = |part, whole| timeline::peak_share(&results.series, part, whole);
    let cpu = |node: &NodeRow| node.allocatable.cpu.get();
    let memory = |node: &NodeRow| node.allocatable.memory.get();
    ResourceShares {
        cpu: CpuShares {
            allocatable: present().fold(MilliCpu::ZERO, |sum, node| sum + node.allocatable.cpu),
            shares: Shares {
                allocated_mean_pct: mean(|node| node.cpu_allocated.get(), cpu),
                allocated_max_pct: max(Metric::CpuAllocatedMillicores, Metric::CpuAllocatableMillicores),
                used_mean_pct: mean(|node| node.cpu_used.get(), cpu),
                used_max_pct: max(Metric::CpuUsedMillicores, Metric::CpuAllocatableMillicores),
            },
        },
        memory: MemoryShares {
            allocatable: present().fold(Bytes::ZERO, |sum, node| sum + node.allocatable.memory),
            shares: Shares {
                allocated_mean_pct: mean(|node| node.memory_allocated.get(), memory),
                allocated_max_pct: max(Metric::MemoryAllocatedBytes, Metric::MemoryAllocatableBytes),
                used_mean_pct: mean(|node| node.memory_used.get(), memory),
                used_max_pct: max(Metric::MemoryUsedBytes, Metric::MemoryAllocatableBytes),
            },
        },
    }
}

/// `part / whole` in percent, to a ten-thousandth of a percent; `None` of nothing.
pub(crate) fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (1_000_000.0 * part / whole).round() / 10_000.0)
}

fn evictions(results: &Results) -> EvictionCounts {
    let by = results.evictions;
    EvictionCounts {
        total: by.taint + by.api + by.pressure + by.preemption,
        taint: by.taint,
        api: by.api,
        pressure: by.pressure,
        preemption: by.preemption,
    }
}

fn service(row: &ServiceRow) -> ServiceSummary {
    ServiceSummary {
        namespace: row.namespace.to_string(),
        name: row.name.to_string(),
        availability_pct: row.availability_pct,
        down: row.down,
        wanted: row.wanted,
    }
}

fn fault(row: &FaultRow) -> FaultSummary {
    FaultSummary {
        name: row.name.to_string(),
        target: row.target.to_string(),
        begin: row.begin,
        end: row.end,
    }
}

fn millicores<S: serde::Serializer>(cpu: &MilliCpu, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(cpu.get())
}

fn byte_count<S: serde::Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(bytes.get())
}
