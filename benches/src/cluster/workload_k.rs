//! Workload K: a stream of bare pods that run for twenty seconds, on up to 10,000 nodes.

use std::sync::Arc;

use seatrial_api::labels::Selector;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, Span};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::config::{PluginReference, PluginSelection, ProfileConfiguration};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::config::{ClusterConfig, LatencyModel, PodProfile};
use seatrial_sim_core::engine::dist::Distribution;
use seatrial_workloads::pod_stream::PodStream;

use super::{IMAGE, nodes, quiet};
use crate::measure::{peak_rss_bytes, user_cpu};
use crate::{BenchRow, Goal};

/// How long a pod runs.
const RUN_TIME: Span = Span::from_secs(20);
/// The workload on nodes of 64 CPU and 256 GiB: Fit and LeastAllocated over all nodes, constant
/// latencies, no periodic scheduler cycle.
pub fn config(node_count: u32, pods: u32) -> ClusterConfig {
    let machines = nodes(node_count, MilliCpu(64_000), Bytes(256 << 30), 1_000);
    let mut config = quiet("workload-k", machines, Span::from_secs(10_100));
    let constant = |millis| Distribution::Constant { value: Span::from_millis(millis) };
    config.latency = LatencyModel {
        api_write: constant(50),
        watch: constant(89),
        kubelet_notice: constant(152),
        ..LatencyModel::zero()
    };
    // NodeResourcesFit scores by LeastAllocated unless told otherwise.
    let mut profile = ProfileConfiguration::default();
    profile.plugins.multi_point = PluginSelection {
        enabled: ["NodeResourcesFit", "DefaultBinder"].map(PluginReference::named).to_vec(),
        disabled: vec!["*".into()],
    };
    config.scheduler = SchedulerConfiguration {
        profiles: vec![profile],
        percentage_of_nodes_to_score: Some(100),
        ..SchedulerConfiguration::default()
    };
    config.profiles = vec![PodProfile {
        namespace: None,
        selector: Selector::default(),
        startup: None,
        run_time: Some(Distribution::Constant { value: RUN_TIME }),
        failure: Ratio::new(0, 1),
        unready_after: None,
        stop: None,
        cpu: None,
        memory: None,
        load: Vec::new(),
    }];
    config.arrivals = Some(Arc::new(PodStream::new(pods, IMAGE)));
    config
}

/// Plays the workload. Returns the events handled.
///
/// # Panics
/// If not every pod ran to its end.
pub fn play(node_count: u32, pods: u32) -> u64 {
    let mut simulation =
        Simulation::new(config(node_count, pods)).expect("invariant: the configuration is possible");
    simulation.run();
    assert_eq!(simulation.pods_ended(), u64::from(pods), "every pod ran to its end");
    simulation.events()
}

/// Microseconds of CPU per pod, best of `repeats`.
fn cost_us(node_count: u32, pods: u32, repeats: u32) -> f64 {
    let costs = (0..repeats).map(|_| {
        let before = user_cpu();
        play(node_count, pods);
        (user_cpu() - before).as_secs_f64() * 1e6 / f64::from(pods)
    });
    costs.fold(f64::MAX, f64::min)
}

/// The figures of workload K.
pub fn rows(repeats: u32) -> Vec<BenchRow> {
    const PODS: u32 = 1_000_000;
    let small = cost_us(1_000, PODS, repeats);
    let large = cost_us(10_000, PODS, repeats);
    let memory = peak_rss_bytes() as f64 / f64::from(1 << 20);
    vec![
        BenchRow::alone("workload K: per pod at 1,000 nodes", small, "µs", Goal::ValueMax(10.0))
            .with_peer("kubernetriks 295"),
        BenchRow::alone("workload K: per pod at 10,000 nodes", large, "µs", Goal::ValueMax(10.0))
            .with_peer("kubernetriks 5,205"),
        BenchRow::alone(
            "workload K: growth from 1,000 to 10,000 nodes",
            large / small,
            "×",
            Goal::ValueMax(1.2),
        )
        .with_peer("kubernetriks 17.6"),
        BenchRow::alone("workload K: peak memory", memory, "MiB", Goal::ValueMax(500.0))
            .with_peer("kubernetriks 1,481 at 100 nodes"),
    ]
}
