//! The scheduling queue: pods ready to be tried, pods backing off, pods that wait for something to
//! change, and the pods that were nominated to nodes.

mod discipline;
mod entry;
mod event;
mod nominations;
mod scheduling_queue;

pub(crate) use discipline::Order;
pub(crate) use entry::{Place, PodEntry, PodTable, Preempting};
pub use event::{ClusterEvent, EventKind, Interests, NodeChange, PodChange};
pub(crate) use event::{node_changes, pod_changes};
pub use nominations::Nominations;
pub(crate) use scheduling_queue::SchedulingQueue;
