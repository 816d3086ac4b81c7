//! The controllers of the kube-controller-manager, as one state machine without I/O.
//!
//! The driver feeds a [`ControllerManager`] every change of every kind, in the order of each
//! kind's versions, and the news of each node's lease (a node of which it hears nothing is taken
//! for silent), then [`ControllerTimer::Started`] once the initial lists are complete: before that
//! nothing is synced. From then on it answers requests and fires timers.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

mod attachdetach;
mod config;
pub mod cronjob;
mod daemonset;
mod deployment;
mod direct;
pub mod disruption;
pub mod endpoints;
pub mod endpointslice;
mod framework;
pub mod garbage_collector;
pub mod hpa;
mod job;
pub mod leader_election;
mod manager;
pub mod namespace;
pub mod node_lifecycle;
mod pass_schedule;
pub mod persistentvolume;
pub mod podgc;
mod replicaset;
mod resourcequota;
mod selected_pods;
mod serviceaccount;
mod statefulset;
pub mod taint_eviction;
mod vpa;

pub use config::{ClientLimits, Config};
pub use manager::{ControllerManager, ControllerTimer};
