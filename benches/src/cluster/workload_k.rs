//! Workload K: a stream of bare pods that run for twenty seconds, on up to 10,000 nodes.

use std::sync::Arc;

use seatrial_api::container::{Container, RestartPolicy};
use seatrial_api::labels::Selector;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodSpec};
use seatrial_api::units::{Bytes, MilliCpu, Ratio, SimTime, Span};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::arrivals::ArrivalSource;
use seatrial_sim_core::cluster::config::{ClusterConfig, LatencyModel, PodProfile};
use seatrial_sim_core::engine::dist::Distribution;

use super::{IMAGE, nodes, quiet};
use crate::measure::{peak_rss_bytes, user_cpu};
use crate::{BenchRow, Goal};

/// The seed of the sizes.
const XORSHIFT_SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Seconds over which the pods arrive.
const ARRIVAL_SECONDS: f64 = 10_000.0;
/// How long a pod runs.
const RUN_TIME: Span = Span::from_secs(20);
/// Classes of pods: four sizes of CPU times four of memory.
const CLASSES: usize = 16;

/// The arrivals: pod `i` of `P` at `1 + (i + 0.37) · 10,000 / P` seconds, its size from one word.
#[derive(Debug)]
struct Pods {
    classes: Vec<u8>,
    specs: [Arc<PodSpec>; CLASSES],
}

impl Pods {
    fn new(count: u32) -> Pods {
        let mut word = XORSHIFT_SEED;
        let class = |word: u64| ((word >> 20 & 3) << 2 | word >> 40 & 3) as u8;
        let classes = (0..count).map(|_| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            class(word)
        });
        Pods { classes: classes.collect(), specs: std::array::from_fn(spec) }
    }
}

fn spec(class: usize) -> Arc<PodSpec> {
    let mut container = Container::new("app", IMAGE);
    container.requests.cpu = Some(MilliCpu([500, 1_000, 2_000, 4_000][class >> 2]));
    container.requests.memory = Some(Bytes(1 << (30 + (class & 3))));
    let spec = PodSpec { restart_policy: RestartPolicy::Never, ..PodSpec::new(vec![container]) };
    Arc::new(spec.sealed())
}

impl ArrivalSource for Pods {
    fn time(&self, position: u32) -> Option<SimTime> {
        let count = self.classes.len();
        let seconds = 1.0 + (f64::from(position) + 0.37) * ARRIVAL_SECONDS / count as f64;
        ((position as usize) < count).then(|| SimTime::from_nanos((seconds * 1e9) as i64))
    }

    fn object(&self, position: u32) -> Object {
        let class = self.classes[position as usize];
        let meta = ObjectMeta::named("default", &format!("pod-{position:07}"));
        Object::Pod(Arc::new(Pod::new(meta, self.specs[usize::from(class)].clone())))
    }
}

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
    let preset = SchedulerConfiguration::preset("least-allocated");
    config.scheduler = SchedulerConfiguration {
        percentage_of_nodes_to_score: Some(100),
        ..preset.expect("invariant: the policy is a shipped one")
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
    config.arrivals = Some(Arc::new(Pods::new(pods)));
    config
}

/// Plays the workload. Returns the events handled.
///
/// # Panics
/// If not every pod ran to its end.
pub fn play(node_count: u32, pods: u32) -> u64 {
    let mut simulation = Simulation::new(config(node_count, pods)).expect("invariant: the configuration is possible");
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
        BenchRow::alone("workload K: per pod at 1,000 nodes", small, "µs", Goal::ValueMax(10.0)).with_peer("kubernetriks 295"),
        BenchRow::alone("workload K: per pod at 10,000 nodes", large, "µs", Goal::ValueMax(10.0)).with_peer("kubernetriks 5,205"),
        BenchRow::alone("workload K: growth from 1,000 to 10,000 nodes", large / small, "×", Goal::ValueMax(1.2)).with_peer("kubernetriks 17.6"),
        BenchRow::alone("workload K: peak memory", memory, "MiB", Goal::ValueMax(500.0)).with_peer("kubernetriks 1,481 at 100 nodes"),
    ]
}
