//! The scheduling framework, its queue and its plugins.
//!
//! The default profile makes the same decisions as the upstream kube-scheduler: the same feasible
//! nodes, the same integer scores, the same messages, the same victims.
//!
//! ```
//! use seatrial_scheduler::{Scheduler, SchedulerConfiguration};
//!
//! let scheduler = Scheduler::new(SchedulerConfiguration::default()).unwrap();
//! assert_eq!(scheduler.cluster().node_count(), 0);
//! ```
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

mod bitset;
pub mod cases;
pub mod cluster;
pub mod config;
mod decide;
pub mod extender;
mod fast;
pub mod fragmentation;
pub mod framework;
mod gangs;
mod plugins;
pub mod policies;
pub mod preemption;
pub mod queue;
pub mod schedule;
mod scheduler;
pub mod snapshot;

pub use config::{ConfigurationError, SchedulerConfiguration};
pub use scheduler::{Scheduler, Timer};
