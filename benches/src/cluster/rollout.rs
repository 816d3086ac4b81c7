//! The cluster bench: 1,000 Deployments of 150 pods on 5,000 nodes, a zone silent for ten minutes,
//! and the quiet hour after it; and the busy hour again with an autoscaler for each Deployment.

use std::sync::Arc;

use seatrial_api::autoscaling::{HorizontalPodAutoscaler, HpaStatus, Metric, MetricSource, MetricTarget};
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Object;
use seatrial_api::pod::{PodSpec, PodTemplate};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, SimTime, Span};
use seatrial_api::workload::{Deployment, DeploymentStatus, DeploymentStrategy, IntOrPercent};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::config::{ClusterConfig, Fault, FaultTiming, FaultType, PodProfile, Target};

use super::{IMAGE, nodes, quiet};
use crate::measure::{peak_rss_bytes, user_cpu};
use crate::{BenchRow, Goal};

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Nodes of 4 CPU, 32 GiB and 110 pods.
    pub nodes: u32,
    /// Deployments.
    pub deployments: u32,
    /// Pods of each, requesting 100m and 500 MiB.
    pub replicas: i32,
    /// Whether each Deployment has an autoscaler, which finds its pods as busy as they should be.
    pub autoscaled: bool,
}

/// What a pod requests of a CPU, and what it uses of it where that is measured.
const CPU: MilliCpu = MilliCpu(100);
const CPU_USED: MilliCpu = MilliCpu(50);

/// The size whose figures are quoted.
pub const FULL: Size = Size { nodes: 5_000, deployments: 1_000, replicas: 150, autoscaled: false };
/// A tenth of it, for counting instructions.
pub const TENTH: Size = Size { nodes: 500, deployments: 100, replicas: 150, autoscaled: false };

/// One hour with the zone lost from minute 20 to minute 30, and a quiet one.
pub fn config(size: Size) -> ClusterConfig {
    let machines = nodes(size.nodes, MilliCpu(4_000), Bytes(32 << 30), 110);
    let mut config = quiet("cluster", machines, Span::from_hours(2));
    config.manifests = (0..size.deployments).map(|index| deployment(index, size.replicas)).collect();
    if size.autoscaled {
        config.manifests.extend((0..size.deployments).map(|index| autoscaler(index, size.replicas)));
        config.profiles = vec![steady_use()];
    }
    config.faults = vec![Fault {
        name: Symbol::new("silence"),
        kind: FaultType::Partition,
        target: Some(Target::Zone(Symbol::new("a"))),
        timing: FaultTiming::At { at: SimTime::from_secs(20 * 60), duration: Some(Span::from_mins(10)) },
    }];
    config
}

fn deployment_name(index: u32) -> String {
    format!("web-{index:04}")
}

/// An autoscaler that could halve or double the Deployment and has no reason to.
fn autoscaler(index: u32, replicas: i32) -> Object {
    let name = deployment_name(index);
    let percent = CPU_USED.0 * 100 / CPU.0;
    Object::HorizontalPodAutoscaler(Arc::new(HorizontalPodAutoscaler {
        meta: ObjectMeta::named("default", &name),
        target_kind: Symbol::new("Deployment"),
        target_api_version: Symbol::new("apps/v1"),
        target_name: name.as_str().into(),
        min_replicas: replicas / 2,
        max_replicas: replicas * 2,
        metrics: vec![Metric {
            source: MetricSource::Resource { name: Symbol::new("cpu"), container: None },
            target: MetricTarget::Utilization(percent as i32),
        }],
        behavior: None,
        status: HpaStatus::default(),
    }))
}

/// All pods use the same at all times.
fn steady_use() -> PodProfile {
    PodProfile {
        namespace: None,
        selector: Selector::default(),
        startup: None,
        run_time: None,
        failure: Ratio::new(0, 1),
        unready_after: None,
        stop: None,
        cpu: Some(CPU_USED),
        memory: None,
        load: Vec::new(),
    }
}

fn deployment(index: u32, replicas: i32) -> Object {
    let name = deployment_name(index);
    let labels = Labels::of(&[("app", &name)]);
    let mut container = Container::new("app", IMAGE);
    container.requests.cpu = Some(CPU);
    container.requests.memory = Some(Bytes(500 << 20));
    Object::Deployment(Arc::new(Deployment {
        meta: ObjectMeta::named("default", &name),
        replicas,
        min_ready_seconds: 0,
        selector: Arc::new(Selector::of_labels(&labels)),
        template: Arc::new(PodTemplate {
            labels,
            annotations: Labels::NONE,
            spec: Arc::new(PodSpec::new(vec![container]).sealed()),
        }),
        strategy: DeploymentStrategy::RollingUpdate {
            max_surge: IntOrPercent::Percent(25),
            max_unavailable: IntOrPercent::Percent(25),
        },
        revision_history_limit: 10,
        progress_deadline_seconds: 600,
        paused: false,
        status: DeploymentStatus::default(),
    }))
}

/// Plays the busy hour. Returns the simulation at its end.
///
/// # Panics
/// If the cluster did not come to rest with all its pods running.
pub fn busy_hour(size: Size) -> Simulation {
    let mut simulation = Simulation::new(config(size)).expect("invariant: the configuration is possible");
    simulation.run_until(SimTime::from_secs(3_600));
    let wanted = i64::from(size.deployments) * i64::from(size.replicas);
    assert_eq!(simulation.pod_counts(), [0, wanted, 0, 0], "the cluster is whole again");
    assert!(size.autoscaled || simulation.in_flight() == 0, "nothing is on its way any more");
    simulation
}

/// The figures of the cluster bench: best of `repeats` runs, memory of the process.
pub fn rows(repeats: u32) -> Vec<BenchRow> {
    let (mut hour, mut quiet_hour, mut autoscaled) = (f64::MAX, f64::MAX, f64::MAX);
    let (mut events, mut memory) = (0, None);
    for _ in 0..repeats {
        let before = user_cpu();
        let mut simulation = busy_hour(FULL);
        let rested = user_cpu();
        events = simulation.events();
        simulation.run();
        hour = hour.min((rested - before).as_secs_f64());
        quiet_hour = quiet_hour.min((user_cpu() - rested).as_secs_f64());
        drop(simulation);
        // Before the first hour with autoscalers, whose memory is not asked for.
        memory.get_or_insert_with(peak_rss_bytes);
        let before = user_cpu();
        busy_hour(Size { autoscaled: true, ..FULL });
        autoscaled = autoscaled.min((user_cpu() - before).as_secs_f64());
    }
    let pods = f64::from(FULL.deployments) * f64::from(FULL.replicas);
    vec![
        BenchRow::alone("cluster: hour with a zone lost and found", hour, "s", Goal::ValueMax(10.0)),
        BenchRow::alone("cluster: quiet hour after it", quiet_hour, "s", Goal::ValueMax(0.2)),
        BenchRow::alone(
            "cluster: per engine event",
            hour / events as f64 * 1e9,
            "ns",
            Goal::ValueMax(10e9 / events as f64),
        ),
        BenchRow::alone("cluster: per pod", hour / pods * 1e6, "µs", Goal::ValueMax(10e6 / pods)),
        BenchRow::alone(
            "cluster: peak memory",
            memory.unwrap_or_default() as f64 / f64::from(1 << 20),
            "MiB",
            Goal::ValueMax(600.0),
        ),
        BenchRow::against(
            "cluster: hour with an autoscaler per Deployment",
            autoscaled,
            hour,
            "s",
            Goal::RatioMax(1.3),
        ),
    ]
}
