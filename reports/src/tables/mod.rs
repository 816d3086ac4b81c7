//! The CSV files of a results folder: written here, read back here.
//!
//! Written row by row, so that memory does not grow with the run. Times are exact decimal seconds
//! since the start. A field that holds a comma, a quote or a line break is quoted; nothing else is
//! changed.

mod read;
mod write;

pub(crate) use read::{read_events, read_pods};
pub(crate) use write::FILES;

/// The columns of `events.csv`.
const EVENTS: [&str; 8] = ["time_s", "kind", "namespace", "name", "type", "reason", "message", "cause"];

/// The columns of `pods.csv`.
const PODS: [&str; 17] = [
    "namespace",
    "name",
    "owner",
    "node",
    "phase",
    "created_s",
    "scheduled_s",
    "started_s",
    "ready_s",
    "finished_s",
    "restarts",
    "cpu_request_millicores",
    "memory_request_bytes",
    "reason",
    "message",
    "workload",
    "deleted",
];

/// The columns of `nodes.csv`.
const NODES: [&str; 18] = [
    "name",
    "pool",
    "zone",
    "cpu_allocatable_millicores",
    "memory_allocatable_bytes",
    "ephemeral_storage_allocatable_bytes",
    "other_allocatable",
    "pods_capacity",
    "pods",
    "pods_max",
    "cpu_allocated_millicores",
    "memory_allocated_bytes",
    "cpu_used_millicores",
    "memory_used_bytes",
    "uptime_s",
    "ready_s",
    "cost_usd",
    "present",
];

/// The columns of `services.csv`.
const SERVICES: [&str; 5] = ["namespace", "name", "availability_pct", "down_s", "wanted_s"];

/// The columns of `timeseries.csv`.
const TIMESERIES: [&str; 4] = ["time_s", "metric", "object", "value"];
