//! What a run leaves behind: the rows of its result files, as data.
//!
//! Names and meanings are those of the files (`docs/results.md`): one row type per CSV file.
//! Instants are times since the start of the run.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::labels::Labels;
use seatrial_api::meta::OwnerRef;
use seatrial_api::pod::PodPhase;
use seatrial_api::resources::Resources;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};

/// What kind of row of `events.csv` it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// An object was created.
    Added,
    /// An object was changed.
    Modified,
    /// An object was removed.
    Deleted,
    /// A routine decision of a component.
    Normal,
    /// A decision of a component that tells of trouble.
    Warning,
    /// Something that a person did, from the timeline or from outside.
    Action,
    /// A fault began.
    FaultBegin,
    /// A fault ended.
    FaultEnd,
}

impl EventType {
    /// As written in `events.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Added => "Added",
            EventType::Modified => "Modified",
            EventType::Deleted => "Deleted",
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
            EventType::Action => "Action",
            EventType::FaultBegin => "FaultBegin",
            EventType::FaultEnd => "FaultEnd",
        }
    }
}

/// A row of `events.csv`: something that happened in the cluster.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// When.
    pub time: SimTime,
    /// The kind of the object, or `Fault` or `Action`.
    pub kind: Symbol,
    /// The object's namespace, empty for none.
    pub namespace: Symbol,
    /// The object's name.
    pub name: CompactString,
    /// What kind of row.
    pub event: EventType,
    /// The reason, such as `Scheduled`; for changes what changed, such as `Ready`.
    pub reason: Symbol,
    /// The message.
    pub message: CompactString,
    /// The row (counted from 0) that led to this one.
    pub cause: Option<u32>,
}

/// A row of `pods.csv`.
#[derive(Clone, Debug)]
pub struct PodRow {
    /// The namespace.
    pub namespace: Symbol,
    /// The name.
    pub name: CompactString,
    /// Its labels, shared by siblings, for the checks that select pods.
    pub labels: Labels,
    /// The managing controller's reference, shared by siblings.
    pub owners: Option<Arc<Vec<OwnerRef>>>,
    /// The topmost owner as `Kind/name` (a Deployment rather than its ReplicaSet); empty for bare pods.
    pub workload: Symbol,
    /// The node, empty while there is none.
    pub node: Symbol,
    /// The phase at the end of the run, or at the pod's own end.
    pub phase: PodPhase,
    /// When it was created.
    pub created: SimTime,
    /// When it was bound.
    pub scheduled: Option<SimTime>,
    /// When all its containers had been started (it left Pending).
    pub started: Option<SimTime>,
    /// When it first became Ready.
    pub ready: Option<SimTime>,
    /// When it ended, or was removed.
    pub finished: Option<SimTime>,
    /// Whether the object was gone at the end of the run.
    pub deleted: bool,
    /// Container restarts.
    pub restarts: u32,
    /// The CPU that it requests.
    pub cpu_request: MilliCpu,
    /// The memory that it requests.
    pub memory_request: Bytes,
    /// Why it is in its phase: `Unschedulable`, `Evicted`, `CrashLoopBackOff` …; empty if nothing
    /// is to be said.
    pub reason: Symbol,
    /// The message that goes with the reason.
    pub message: CompactString,
}

/// A row of `nodes.csv`. Averages are over the node's uptime.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// The name.
    pub name: Symbol,
    /// The pool, empty for nodes of a state dump.
    pub pool: Symbol,
    /// The zone, empty for none.
    pub zone: Symbol,
    /// What it has to give away.
    pub allocatable: Resources,
    /// How many pods it can hold.
    pub pods_capacity: i64,
    /// Pods bound to it at the end.
    pub pods: u32,
    /// The most pods that were bound to it at once.
    pub pods_max: u32,
    /// Average CPU given away.
    pub cpu_allocated: MilliCpu,
    /// Average memory given away.
    pub memory_allocated: Bytes,
    /// Average CPU used.
    pub cpu_used: MilliCpu,
    /// Average memory used.
    pub memory_used: Bytes,
    /// How long the machine ran.
    pub uptime: Span,
    /// For how long it was Ready.
    pub ready: Span,
    /// What it cost.
    pub cost_usd: f64,
    /// Whether it was there at the end.
    pub present: bool,
}

/// How a Service fared, seen through the kube-proxies of the live nodes.
#[derive(Clone, Debug)]
pub struct ServiceRow {
    /// The namespace.
    pub namespace: Symbol,
    /// The name.
    pub name: CompactString,
    /// The share of usable backends, averaged over live nodes and the time in which the Service
    /// should have had one, in percent; `None` if it never should.
    pub availability_pct: Option<f64>,
    /// For how long no live node had a usable backend.
    pub down: Span,
    /// For how long the Service should have had a backend.
    pub wanted: Span,
}

/// A quantity whose time course is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the metrics' own, with their units")]
pub enum Metric {
    PodsPending,
    PodsRunning,
    PodsSucceeded,
    PodsFailed,
    NodesReady,
    CpuAllocatableMillicores,
    CpuAllocatedMillicores,
    CpuUsedMillicores,
    MemoryAllocatableBytes,
    MemoryAllocatedBytes,
    MemoryUsedBytes,
    NodeCpuAllocatedMillicores,
    NodeMemoryAllocatedBytes,
    DeploymentAvailable,
    DeploymentReplicasAvailable,
    ServiceAvailabilityPct,
    HpaReplicas,
    CostUsdPerHour,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Metric; 18] = [
        Metric::PodsPending,
        Metric::PodsRunning,
        Metric::PodsSucceeded,
        Metric::PodsFailed,
        Metric::NodesReady,
        Metric::CpuAllocatableMillicores,
        Metric::CpuAllocatedMillicores,
        Metric::CpuUsedMillicores,
        Metric::MemoryAllocatableBytes,
        Metric::MemoryAllocatedBytes,
        Metric::MemoryUsedBytes,
        Metric::NodeCpuAllocatedMillicores,
        Metric::NodeMemoryAllocatedBytes,
        Metric::DeploymentAvailable,
        Metric::DeploymentReplicasAvailable,
        Metric::ServiceAvailabilityPct,
        Metric::HpaReplicas,
        Metric::CostUsdPerHour,
    ];

    /// As written in `timeseries.csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::PodsPending => "pods_pending",
            Metric::PodsRunning => "pods_running",
            Metric::PodsSucceeded => "pods_succeeded",
            Metric::PodsFailed => "pods_failed",
            Metric::NodesReady => "nodes_ready",
            Metric::CpuAllocatableMillicores => "cpu_allocatable_millicores",
            Metric::CpuAllocatedMillicores => "cpu_allocated_millicores",
            Metric::CpuUsedMillicores => "cpu_used_millicores",
            Metric::MemoryAllocatableBytes => "memory_allocatable_bytes",
            Metric::MemoryAllocatedBytes => "memory_allocated_bytes",
            Metric::MemoryUsedBytes => "memory_used_bytes",
            Metric::NodeCpuAllocatedMillicores => "node_cpu_allocated_millicores",
            Metric::NodeMemoryAllocatedBytes => "node_memory_allocated_bytes",
            Metric::DeploymentAvailable => "deployment_available",
            Metric::DeploymentReplicasAvailable => "deployment_replicas_available",
            Metric::ServiceAvailabilityPct => "service_availability_pct",
            Metric::HpaReplicas => "hpa_replicas",
            Metric::CostUsdPerHour => "cost_usd_per_hour",
        }
    }
}

/// The time course of one metric of one object: its value from each instant to the next.
#[derive(Clone, Debug)]
pub struct Series {
    /// The metric.
    pub metric: Metric,
    /// `namespace/name`, a node's name, or empty for the whole cluster.
    pub object: Symbol,
    /// Instants of change, rising, with the value from then on. Changes closer together than the
    /// run's resolution are merged into the last of them.
    pub points: Vec<(SimTime, f64)>,
}

impl Series {
    /// The value at `time`: that of the last change at or before it.
    pub fn value_at(&self, time: SimTime) -> Option<f64> {
        let after = self.points.partition_point(|point| point.0 <= time);
        after.checked_sub(1).map(|index| self.points[index].1)
    }
}

/// When a named fault was in force.
#[derive(Clone, Debug)]
pub struct FaultRow {
    /// Its name in the scenario.
    pub name: Symbol,
    /// What it hit, such as `zone a`.
    pub target: CompactString,
    /// When it began.
    pub begin: SimTime,
    /// When it ended, unless it lasted to the end of the run.
    pub end: Option<SimTime>,
}

/// Everything that a run leaves behind.
#[derive(Clone, Debug)]
pub struct Results {
    /// The scenario's name.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// The hash of the event trace.
    pub trace_hash: u64,
    /// Engine events handled.
    pub events: u64,
    /// How long the run was, in virtual time.
    pub simulated: Span,
    /// The start instant as seconds since 1970.
    pub start_unix_seconds: i64,
    /// `events.csv`.
    pub event_rows: Vec<EventRow>,
    /// `pods.csv`, in order of creation.
    pub pods: Vec<PodRow>,
    /// `nodes.csv`, in order of joining.
    pub nodes: Vec<NodeRow>,
    /// Availability per Service.
    pub services: Vec<ServiceRow>,
    /// `timeseries.csv`.
    pub series: Vec<Series>,
    /// Faults in order of their beginning.
    pub faults: Vec<FaultRow>,
    /// Pods that were evicted: by taint, by pressure, by the Eviction API, by preemption.
    pub evictions: Evictions,
    /// What the machines cost.
    pub cost_usd: f64,
    /// Kinds that were stored and have no logic yet, with how many objects.
    pub not_played: Vec<(Symbol, u32)>,
}

/// What became of one expectation of the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectationOutcome {
    /// Its name in the scenario.
    pub name: String,
    /// Whether it was met.
    pub passed: bool,
    /// When it was first missed, or when the figure that decides it was reached; `None` where no
    /// one instant decides.
    pub at: Option<SimTime>,
    /// The object that decides it, such as `deployment shop/cart`; empty for the whole cluster.
    pub object: String,
    /// What was found, as a phrase: `2 pods pending for 41s`.
    pub found: String,
    /// What was expected, as a phrase: `at most 0 pods pending longer than 30s`.
    pub expected: String,
}

/// How many pods were evicted, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// By the taint eviction controller.
    pub taint: u64,
    /// By the Eviction API (drain).
    pub api: u64,
    /// By a kubelet under pressure.
    pub pressure: u64,
    /// By the scheduler, for pods of higher priority.
    pub preemption: u64,
}
