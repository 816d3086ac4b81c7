//! The driver of virtual time: the event [`engine`], which knows no Kubernetes, the simulated
//! cluster built on it, and the results of a run.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod cluster;
pub mod engine;
pub mod results;
