//! The object model of the cluster, the arithmetic of requests, taints and selectors, and the
//! rules of the API server. Everything here is a function of its inputs: no clock, no I/O.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod calendar;
pub mod document;
pub mod duration;
pub mod quantity;
pub mod stream;
pub mod units;
