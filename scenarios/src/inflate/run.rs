//! One run: the real scheduler, asked for one pod after the other.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::machine::{Effects, Input, Machine};
use seatrial_api::meta::{ObjectMeta, Uid};
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, Reply, Request, WatchEvent};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_scheduler::config::{ClientRate, ConfigurationError, CostModel, DeviceChoice, TieBreak};
use seatrial_scheduler::fragmentation::{Fragmentation, Room};
use seatrial_scheduler::policies;
use seatrial_scheduler::{Scheduler, SchedulerConfiguration, Timer};
use seatrial_workloads::openb;

use super::series::{Series, State};
use super::{Machines, TablePolicy, Workload, protocol};

/// Fills the cluster with pods of a workload by a policy.
///
/// # Errors
/// If the policy's configuration is not valid.
pub fn run(
    machines: &Machines,
    workload: &Workload,
    policy: TablePolicy,
    seed: u64,
) -> Result<Series, ConfigurationError> {
    let mut cluster = Cluster::new(machines, configuration(workload, policy, seed))?;
    let mut gauge = Gauge::new(&cluster, workload);
    let mut series = Series::new(machines.gpus * 1000);
    let mut state =
        State { total: series_total(machines), arrived: 0, allocated: 0, fragmented: gauge.total };
    for (position, &pod) in protocol::arrivals(machines, workload, seed).iter().enumerate() {
        let kind = &workload.kinds[pod as usize];
        state.arrived += kind.milli;
        series.arrived += 1;
        let mut meta = ObjectMeta::named("default", &format!("pod-{position:05}"));
        // Rows are counted from 1, as a store does.
        meta.id = position as u32 + 1;
        meta.uid = Uid::from_bits(0, u64::from(meta.id));
        match cluster.place(Pod::new(meta, kind.spec.clone())) {
            Some(node) => {
                state.allocated += kind.milli;
                state.fragmented = gauge.node_changed(&cluster, node);
            }
            None => series.dropped += 1,
        }
        series.note(&state);
    }
    Ok(series)
}

fn series_total(machines: &Machines) -> i64 {
    machines.gpus * 1000
}

fn configuration(workload: &Workload, policy: TablePolicy, seed: u64) -> SchedulerConfiguration {
    let base = policies::find(policy.name).map(|policy| policy.configuration()).unwrap_or_default();
    let mut configuration =
        SchedulerConfiguration { seed, cost: CostModel::INSTANT, client: ClientRate::Unlimited, ..base };
    let mut draws = false;
    for profile in &mut configuration.profiles {
        profile.percentage_of_nodes_to_score.get_or_insert(100);
        profile.arguments.gpu_sharing.typical_pods = workload.typical.clone();
        draws |= profile.arguments.gpu_sharing.devices == DeviceChoice::Random;
    }
    // The random policy is its ties; all others leave them to the order of the nodes.
    configuration.ties = if draws { TieBreak::Seeded } else { TieBreak::First };
    configuration
}

/// A scheduler, and what it talks to: requests are carried out at once.
struct Cluster {
    scheduler: Scheduler,
    effects: Effects<Timer>,
    timers: Vec<Timer>,
    nodes: Vec<Symbol>,
}

impl Cluster {
    fn new(
        machines: &Machines,
        configuration: SchedulerConfiguration,
    ) -> Result<Cluster, ConfigurationError> {
        let seed = configuration.seed;
        let mut cluster = Cluster {
            scheduler: Scheduler::new(configuration)?,
            effects: Effects::new(false),
            timers: Vec::new(),
            nodes: Vec::new(),
        };
        let order = protocol::node_order(machines, seed);
        let mut nodes: Vec<(usize, &openb::NodeRow)> = order.into_iter().zip(&machines.nodes).collect();
        nodes.sort_by_key(|(place, _)| *place);
        for (place, row) in nodes {
            // The place comes first in the name, since ties go to the first name.
            let node = openb::node(row, &format!("{place:04}-{}", row.name));
            cluster.nodes.push(node.name);
            cluster.watch(Change::Added, Object::Node(Arc::new(node)));
        }
        Ok(cluster)
    }

    /// Creates a pod and has it scheduled; answers with its node, or takes it away again.
    fn place(&mut self, pod: Pod) -> Option<Symbol> {
        let pod = Arc::new(pod);
        self.watch(Change::Added, Object::Pod(pod.clone()));
        let mut bound = None;
        while let Some(timer) = self.timers.pop() {
            // Back-off and the like never come: there is one attempt.
            if timer == Timer::Cycle {
                self.input(Input::Timer(timer));
                bound = bound.or_else(|| self.serve(&pod));
            }
        }
        if bound.is_none() {
            self.watch(Change::Deleted, Object::Pod(pod));
        }
        bound
    }

    /// Carries the scheduler's requests out; answers with the node to which it bound the pod.
    fn serve(&mut self, pod: &Arc<Pod>) -> Option<Symbol> {
        let mut bound = None;
        for outgoing in std::mem::take(&mut self.effects.requests) {
            let Request::Bind { node, .. } = outgoing.request else { continue };
            let running = Object::Pod(Arc::new(Pod { node: Some(node), ..Pod::clone(pod) }));
            let reply: Reply = Ok(running.clone());
            self.input(Input::Reply { token: outgoing.token, reply: &reply });
            self.watch(Change::Modified, running);
            bound = Some(node);
        }
        self.effects.decisions.clear();
        bound
    }

    fn watch(&mut self, change: Change, object: Object) {
        self.input(Input::Watch(&WatchEvent { change, object }));
    }

    fn input(&mut self, input: Input<'_, Timer>) {
        self.scheduler.handle(SimTime::ZERO, input, &mut self.effects);
        self.timers.extend(self.effects.timers.drain(..).map(|(_, timer)| timer));
    }
}

/// Fragmentation of all nodes, kept up to date.
struct Gauge {
    measure: Fragmentation,
    per_node: FxHashMap<Symbol, f64>,
    total: f64,
}

impl Gauge {
    fn new(cluster: &Cluster, workload: &Workload) -> Gauge {
        let measure = Fragmentation::new(&workload.typical);
        let mut gauge = Gauge { measure, per_node: FxHashMap::default(), total: 0.0 };
        for &node in &cluster.nodes {
            gauge.node_changed(cluster, node);
        }
        gauge
    }

    /// Measures a node again; answers with the sum over all.
    fn node_changed(&mut self, cluster: &Cluster, node: Symbol) -> f64 {
        let info = cluster.scheduler.cluster().node(node);
        let now = info.map_or(0.0, |info| self.measure.of(&Room::of(info)));
        let before = self.per_node.insert(node, now).unwrap_or(0.0);
        self.total += now - before;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use seatrial_api::gpu::GpuRequest;
    use seatrial_api::units::{Bytes, MilliCpu};
    use seatrial_workloads::openb::{NodeRow, PodKind, PodRow};

    use super::super::{POLICIES, find_policy};
    use super::*;

    /// Four nodes of four GPUs; half of the pods ask for half a GPU, the others for two.
    fn experiment() -> (Machines, Workload) {
        let node = |index: u32| NodeRow {
            name: format!("node-{index}").into(),
            cpu: MilliCpu(64_000),
            memory: Bytes(1 << 40),
            gpus: 4,
            model: Symbol::new("T4"),
        };
        let pod = |index: u32| PodRow {
            name: format!("pod-{index:02}").into(),
            kind: PodKind {
                cpu: MilliCpu(1_000),
                memory: Bytes(1 << 30),
                gpu: Some([GpuRequest::new(1, 500), GpuRequest::new(2, 1000)][index as usize % 2].clone()),
            },
        };
        let machines = Machines::new((0..4).map(node).collect()).unwrap();
        (machines, Workload::new("test", (0..10).map(pod).collect()).unwrap())
    }

    #[test]
    fn every_policy_fills_the_cluster_and_never_beyond_its_size() {
        let (machines, workload) = experiment();
        for policy in POLICIES {
            for seed in 42..46 {
                let series = run(&machines, &workload, policy, seed).unwrap();
                let last = (100..=131).rev().find_map(|load| series.at(load)).unwrap();
                assert!((70.0..=100.0).contains(&last.allocated), "{}: {last:?}", policy.table_name);
                assert!(last.fragmented <= 100.0 - last.allocated + 0.01, "{last:?}");
                assert!(series.dropped > 0 && series.dropped < series.arrived);
            }
        }
    }

    #[test]
    fn a_run_is_a_function_of_its_seed() {
        let (machines, workload) = experiment();
        let random = find_policy("random").unwrap();
        let course = |seed| {
            let series = run(&machines, &workload, random, seed).unwrap();
            (0..130).map(|load| series.at(load)).collect::<Vec<_>>()
        };
        assert_eq!(course(42), course(42));
        assert_ne!(course(42), course(43));
    }

    #[test]
    fn fragmentation_that_is_kept_up_to_date_is_that_of_all_nodes() {
        let (machines, workload) = experiment();
        let policy = find_policy("BestFit").unwrap();
        let mut cluster = Cluster::new(&machines, configuration(&workload, policy, 1)).unwrap();
        let mut gauge = Gauge::new(&cluster, &workload);
        for (position, &pod) in protocol::arrivals(&machines, &workload, 1).iter().enumerate() {
            let mut meta = ObjectMeta::named("default", &format!("pod-{position}"));
            meta.id = position as u32 + 1;
            let spec = workload.kinds[pod as usize].spec.clone();
            if let Some(node) = cluster.place(Pod::new(meta, spec)) {
                let kept = gauge.node_changed(&cluster, node);
                let afresh = Gauge::new(&cluster, &workload).total;
                assert!((kept - afresh).abs() < 1e-6, "{kept} instead of {afresh}");
            }
        }
    }
}
