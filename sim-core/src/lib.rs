//! The event engine and the simulated cluster.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod cluster;
pub mod engine;
pub mod results;
