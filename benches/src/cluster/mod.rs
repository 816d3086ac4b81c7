//! The simulated cluster as a whole: a rollout with a zone lost and found, a stream of bare pods,
//! and doing nothing.

pub mod idle;
pub mod rollout;
pub mod workload_k;

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::node::{LABEL_HOSTNAME, LABEL_ZONE, NodeResources};
use seatrial_api::resources::Resources;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_sim_core::cluster::config::{
    CloudConfig, ClusterConfig, LatencyModel, NodeSpec, Recording, StorageModel,
};

/// The start instant of all runs, 2030-01-01.
const START_UNIX_SECONDS: i64 = 1_893_456_000;
/// The image of all containers, which every node has.
const IMAGE: &str = "registry.example/app:1";

/// Nodes with these resources in three zones.
fn nodes(count: u32, cpu: MilliCpu, memory: Bytes, pods: i64) -> Vec<NodeSpec> {
    let resources = Arc::new(NodeResources { amounts: Resources::of(cpu, memory), pods });
    let images: Arc<[Symbol]> = Arc::new([Symbol::new(IMAGE)]);
    let node = |index: u32| {
        let name = format!("node-{index:05}");
        let zone = ["a", "b", "c"][index as usize % 3];
        NodeSpec {
            name: Symbol::new(&name),
            pool: Symbol::new("node"),
            labels: Labels::of(&[(LABEL_HOSTNAME, &name), (LABEL_ZONE, zone)]),
            taints: Vec::new(),
            capacity: resources.clone(),
            allocatable: resources.clone(),
            rack: Symbol::empty(),
            micro_usd_per_hour: 0,
            images: images.clone(),
        }
    };
    (0..count).map(node).collect()
}

/// A cluster of these nodes in which nothing happens, that counts and records nothing else.
fn quiet(name: &str, nodes: Vec<NodeSpec>, duration: Span) -> ClusterConfig {
    ClusterConfig {
        name: name.to_owned(),
        seed: 1,
        version: KubernetesVersion::V1_36,
        start_unix_seconds: START_UNIX_SECONDS,
        duration,
        nodes,
        state: Vec::new(),
        absent_owners: Default::default(),
        manifests: Vec::new(),
        profiles: Vec::new(),
        images: Vec::new(),
        metrics: Vec::new(),
        hpa_scale_to_zero: false,
        flow_control_seats: None,
        arrivals: None,
        timeline: Vec::new(),
        faults: Vec::new(),
        latency: LatencyModel::cloud_vm(),
        autoscaler: None,
        cloud: CloudConfig::default(),
        storage: StorageModel::default(),
        client_rate_limits: false,
        scheduler: SchedulerConfiguration::default(),
        recording: Recording::Counters,
    }
}
