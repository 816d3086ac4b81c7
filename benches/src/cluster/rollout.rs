//! The cluster bench: 1,000 Deployments of 150 pods on 5,000 nodes, a zone silent for ten minutes,
//! and the quiet hour after it.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Object;
use seatrial_api::pod::{PodSpec, PodTemplate};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::workload::{Deployment, DeploymentStatus, DeploymentStrategy, IntOrPercent};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::config::{ClusterConfig, Fault, FaultTiming, FaultType, Target};

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
}

/// The size whose figures are quoted.
pub const FULL: Size = Size { nodes: 5_000, deployments: 1_000, replicas: 150 };
/// A tenth of it, for counting instructions.
pub const TENTH: Size = Size { nodes: 500, deployments: 100, replicas: 150 };

/// One hour with the zone lost from minute 20 to minute 30, and a quiet one.
pub fn config(size: Size) -> ClusterConfig {
    let machines = nodes(size.nodes, MilliCpu(4_000), Bytes(32 << 30), 110);
    let mut config = quiet("cluster", machines, Span::from_hours(2));
    config.manifests = (0..size.deployments).map(|index| deployment(index, size.replicas)).collect();
    config.faults = vec![Fault {
        name: Symbol::new("silence"),
        kind: FaultType::Partition,
        target: Some(Target::Zone(Symbol::new("a"))),
        timing: FaultTiming::At { at: SimTime::from_secs(20 * 60), duration: Some(Span::from_mins(10)) },
    }];
    config
}

fn deployment(index: u32, replicas: i32) -> Object {
    let name = format!("web-{index:04}");
    let labels = Labels::of(&[("app", &name)]);
    let mut container = Container::new("app", IMAGE);
    container.requests.cpu = Some(MilliCpu(100));
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
    assert_eq!(simulation.in_flight(), 0, "nothing is on its way any more");
    simulation
}

/// The figures of the cluster bench: best of `repeats` runs, memory of the process.
pub fn rows(repeats: u32) -> Vec<BenchRow> {
    let (mut hour, mut quiet_hour, mut events) = (f64::MAX, f64::MAX, 0);
    for _ in 0..repeats {
        let before = user_cpu();
        let mut simulation = busy_hour(FULL);
        let rested = user_cpu();
        events = simulation.events();
        simulation.run();
        hour = hour.min((rested - before).as_secs_f64());
        quiet_hour = quiet_hour.min((user_cpu() - rested).as_secs_f64());
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
            peak_rss_bytes() as f64 / f64::from(1 << 20),
            "MiB",
            Goal::ValueMax(600.0),
        ),
    ]
}
