//! The kubelet, the tables of kube-proxy and the records of cluster DNS.
//!
//! [`Kubelets`] is a machine over a table of nodes: ten thousand kubelets are rows of one machine,
//! a live node agent runs a table of one. Its driver
//!
//! - tells it of machines by methods ([`Kubelets::start_node`], [`Kubelets::crash_node`],
//!   [`Kubelets::start_kubelet`] …) and of their memory ([`Kubelets::observe_memory`]);
//! - hands it, as watch events, the pods of each node while its kubelet works (those that were
//!   changed meanwhile come with the list at its start), the nodes, ConfigMaps, Secrets and claims;
//! - carries out its runtime commands and reports; computes heartbeats and leases by itself.
//!
//! Left out: pressure of disk and of process ids, checks of topology and devices, image sizes and
//! garbage collection. What nothing in a simulation reads is written only where a kubelet's settings
//! ask for it ([`KubeletConfig::detailed_statuses`]): messages, observed generations, images.
//!
//! ```
//! use std::sync::Arc;
//! use seatrial_api::machine::Effects;
//! use seatrial_api::node::Node;
//! use seatrial_api::units::SimTime;
//! use seatrial_node::{KubeletConfig, Kubelets};
//!
//! let mut kubelets = Kubelets::new(1);
//! let node = Arc::new(Node { name: "worker-1".into(), ..Node::default() });
//! let mut effects = Effects::new(true);
//! kubelets.start_node(SimTime::ZERO, node, Arc::new(KubeletConfig::default()), &mut effects);
//! assert_eq!(effects.requests.len(), 1, "it registers");
//! ```
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod admission;
mod adopt;
mod backoff;
pub mod config;
mod detail;
pub mod disk;
pub mod dns;
mod gates;
mod hooks;
pub mod image_gc;
mod image_names;
mod images;
pub mod ingress;
mod lifecycle;
mod machine;
mod names;
pub mod network_policy;
mod node_status;
mod notes;
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
pub mod resize;
mod restart_all;
mod rows;
mod shutdown;
mod start;
mod statics;
mod status;
mod stop;
mod table;
mod volumes;
mod worker;

pub use config::KubeletConfig;
pub use machine::{Kubelets, Timer};
pub use notes::Explanation;
pub use resize::ALL_CONTAINERS_RESTARTING;
pub use statics::static_pod;
