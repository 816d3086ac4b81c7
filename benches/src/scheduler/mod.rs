//! The scheduler by itself: pods queued beforehand, one cycle each, on a cluster that nobody else
//! changes. The shapes are those of upstream's scheduler_perf: nodes of 4 CPU, 32 GiB and 110 pods
//! in three zones, pods of 100m and 500 MiB.
//!
//! A scheduled pod is: queue pop, cycle, assume, bind effect, reply and bind confirmation. Creating
//! pods and filling the queue are outside the clock.

mod shapes;

use std::sync::Arc;
use std::time::Duration;

use seatrial_api::machine::{Effects, Input, Machine};
use seatrial_api::meta::{Deletion, ObjectMeta, Uid};
use seatrial_api::node::{Node, NodeResources};
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, Reply, Request, WatchEvent};
use seatrial_api::resources::Resources;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};
use seatrial_scheduler::config::{ClientRate, CostModel};
use seatrial_scheduler::{Scheduler, SchedulerConfiguration, Timer};

use crate::measure::{peak_rss_bytes, user_cpu};
use crate::{BenchRow, Goal};

pub use shapes::{SHAPES, Shape};

/// A scheduler and its cluster.
pub struct Bench {
    scheduler: Scheduler,
    effects: Effects<Timer>,
    timers: Vec<Timer>,
    pods: Vec<Option<Arc<Pod>>>,
    nodes: Vec<Symbol>,
    bound: usize,
}

/// A pod that is in no store has no row; rows are given out by the bench.
const FIRST_ROW: usize = 1;

impl Bench {
    /// A cluster of so many empty nodes, with or without the fast path.
    pub fn new(nodes: usize) -> Bench {
        let mut configuration = SchedulerConfiguration {
            percentage_of_nodes_to_score: Some(100),
            cost: CostModel::INSTANT,
            client: ClientRate::Unlimited,
            ..SchedulerConfiguration::default()
        };
        configuration.seed = 1;
        let scheduler = Scheduler::new(configuration).expect("invariant: the default is valid");
        let mut bench = Bench {
            scheduler,
            effects: Effects::new(false),
            timers: Vec::new(),
            pods: vec![None; FIRST_ROW],
            nodes: Vec::new(),
            bound: 0,
        };
        for index in 0..nodes {
            let node = node(index);
            bench.nodes.push(node.name);
            bench.watch(Change::Added, Object::Node(Arc::new(node)));
        }
        bench
    }

    /// Tells the scheduler of an object.
    pub fn watch(&mut self, change: Change, object: Object) {
        self.input(Input::Watch(&WatchEvent { change, object }));
    }

    /// A pod is created; on a node, if one is given.
    pub fn create(&mut self, mut pod: Pod, node: Option<usize>) {
        pod.meta.id = self.pods.len() as u32;
        pod.meta.uid = Uid::from_bits(0, self.pods.len() as u64);
        pod.node = node.map(|node| self.nodes[node]);
        let pod = Arc::new(pod);
        self.pods.push(Some(pod.clone()));
        self.watch(Change::Added, Object::Pod(pod));
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Schedules until nothing is due; answers with how many pods were bound.
    pub fn run(&mut self) -> usize {
        let before = self.bound;
        while let Some(timer) = self.timers.pop() {
            if timer == Timer::Cycle {
                self.input(Input::Timer(timer));
                self.serve();
            }
        }
        self.bound - before
    }

    fn input(&mut self, input: Input<'_, Timer>) {
        self.scheduler.handle(SimTime::ZERO, input, &mut self.effects);
        self.timers.extend(self.effects.timers.drain(..).map(|(_, timer)| timer));
    }

    /// Carries the scheduler's requests out, each as soon as it is made.
    fn serve(&mut self) {
        while !self.effects.requests.is_empty() {
            let requests = std::mem::take(&mut self.effects.requests);
            self.effects.decisions.clear();
            for outgoing in requests {
                let (pod, change) = self.carry_out(outgoing.request);
                let event = WatchEvent { change, object: Object::Pod(pod) };
                let reply: Reply = Ok(event.object.clone());
                self.input(Input::Reply { token: outgoing.token, reply: &reply });
                self.input(Input::Watch(&event));
            }
        }
    }

    fn carry_out(&mut self, request: Request) -> (Arc<Pod>, Change) {
        match request {
            Request::Bind { pod, node } => {
                self.bound += 1;
                (self.change(pod, |pod| pod.node = Some(node)), Change::Modified)
            }
            Request::Patch { target, patch } => {
                let patched = self.change(target.id, |pod| {
                    if let seatrial_api::request::Patch::Unschedulable { nominated_node, .. } = patch {
                        pod.status.nominated_node = nominated_node;
                    }
                });
                (patched, Change::Modified)
            }
            Request::Delete { target, .. } => {
                let at = SimTime::ZERO;
                let gone = self.change(target.id, |pod| {
                    pod.meta.set_deletion(Some(Deletion { at, grace_seconds: 0 }));
                });
                self.pods[target.id as usize] = None;
                (gone, Change::Deleted)
            }
            other => unreachable!("the scheduler does not make this request: {other:?}"),
        }
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Pod)) -> Arc<Pod> {
        let slot = self.pods[id as usize].as_mut().expect("invariant: the pod exists");
        let mut pod = Pod::clone(slot);
        change(&mut pod);
        *slot = Arc::new(pod);
        slot.clone()
    }
}

fn node(index: usize) -> Node {
    let name = format!("node-{index:05}");
    let zone = ["a", "b", "c"][index % 3];
    let amounts = Resources::of(MilliCpu(4_000), Bytes(32 << 30));
    let resources = Arc::new(NodeResources { amounts, pods: 110 });
    let mut meta = ObjectMeta::named("", &name);
    meta.labels = seatrial_api::labels::Labels::of(&[
        ("kubernetes.io/hostname", &name),
        ("topology.kubernetes.io/zone", zone),
    ]);
    Node {
        meta,
        name: Symbol::new(&name),
        capacity: resources.clone(),
        allocatable: resources,
        ..Node::default()
    }
}

/// Pods per second of CPU of a shape: warm-up and creation of the pods aside.
pub fn pods_per_second(shape: &Shape, nodes: usize) -> f64 {
    let mut bench = Bench::new(nodes);
    (shape.prepare)(&mut bench);
    (shape.create)(&mut bench, 0, shape.warm_up);
    bench.run();
    (shape.create)(&mut bench, shape.warm_up, shape.pods);
    let before = user_cpu();
    let bound = bench.run();
    let spent = (user_cpu() - before).max(Duration::from_micros(1));
    assert_eq!(bound, shape.pods, "all pods of {} find a place", shape.name);
    bound as f64 / spent.as_secs_f64()
}

/// Bytes that a node takes with 16 classes of pods in use, its object included. To be asked for
/// first in a process: it is how far the largest resident set grows.
fn bytes_per_node() -> f64 {
    const NODES: usize = 50_000;
    const CLASSES: usize = 16;
    let before = peak_rss_bytes();
    let mut bench = Bench::new(NODES);
    shapes::create_classes(&mut bench, CLASSES);
    assert_eq!(bench.run(), CLASSES, "a pod of each class finds a place");
    (peak_rss_bytes() - before) as f64 / NODES as f64
}

/// The figures of the scheduler bench: best of `repeats`.
pub fn rows(repeats: u32) -> Vec<BenchRow> {
    let best = |shape: &Shape, nodes| (0..repeats).map(|_| pods_per_second(shape, nodes)).fold(0.0, f64::max);
    let memory = bytes_per_node();
    let mut rows =
        vec![BenchRow::alone("scheduler: memory per node", memory, "bytes", Goal::ValueMax(2_048.0))];
    for shape in SHAPES {
        for (nodes, goal) in [(5_000, shape.goal), (50_000, shape.goal_at_50_000)] {
            let name = format!("scheduler: {}, {nodes} nodes", shape.name);
            let mut row = BenchRow::alone("", best(shape, nodes), "pods/s", Goal::ValueMin(goal));
            row.name = name.into();
            row.peer = (nodes == 5_000).then(|| format!("{} (kube-scheduler 1.36)", shape.upstream).into());
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_places_all_its_pods() {
        for shape in SHAPES {
            let mut bench = Bench::new(600);
            (shape.prepare)(&mut bench);
            (shape.create)(&mut bench, 0, 300);
            assert_eq!(bench.run(), 300, "{}", shape.name);
        }
    }
}
