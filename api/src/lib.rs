//! The object model of the cluster, the arithmetic of requests, taints and selectors, and the
//! rules of the API server. Everything here is a function of its inputs: no clock, no I/O.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod autoscaling;
mod base64;
pub mod calendar;
pub mod client;
pub mod cloud;
pub mod config;
pub mod container;
pub mod cron;
pub mod cronjob;
pub mod decode;
pub mod document;
pub mod duration;
pub mod gpu;
pub mod labels;
pub mod lease;
pub mod machine;
pub mod meta;
pub mod networking;
pub mod node;
pub mod object;
pub mod pages;
pub mod pod;
pub mod policy;
pub mod quantity;
pub mod quota;
pub mod request;
mod requests;
pub mod resources;
pub mod rest;
pub mod runtime;
pub mod same_state;
pub mod scheduling;
pub mod schema;
pub mod service;
pub mod status_detail;
pub mod storage;
pub mod store;
pub mod stream;
pub mod symbol;
pub mod time_zone;
pub mod units;
pub mod version;
pub mod vertical;
pub mod workload;

pub use requests::{DEFAULT_CPU, DEFAULT_MEMORY};
