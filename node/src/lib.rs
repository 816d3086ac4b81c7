//! The kubelet, the tables of kube-proxy and the records of cluster DNS.
//!
//! [`Kubelets`] is a machine over a table of nodes: ten thousand kubelets are rows of one machine,
//! a live node agent runs a table of one.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod admission;
mod adopt;
mod backoff;
pub mod config;
pub mod dns;
mod lifecycle;
mod machine;
mod names;
mod node_status;
mod objects;
pub mod phase;
mod plan;
mod pods;
mod policy;
pub mod preemption;
pub mod pressure;
mod probes;
mod probing;
pub mod proxy;
mod publish;
mod pulls;
mod rows;
mod shutdown;
mod start;
mod status;
mod stop;
mod table;
mod volumes;
mod worker;

pub use config::KubeletConfig;
pub use machine::{Kubelets, Timer};
