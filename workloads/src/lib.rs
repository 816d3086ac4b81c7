//! What arrives: generators of objects, as sources of a simulated cluster's arrivals.
//!
//! A source is a function of the position in it, so a simulation that is cloned goes on where its
//! original was, and a million pods that are still to come cost nothing but their number.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod csv;
pub mod openb;
pub mod pod_stream;
