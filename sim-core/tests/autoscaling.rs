//! A cluster whose machines come and go by themselves: it stays a function of its configuration.

use std::sync::Arc;

use seatrial_api::cloud::CapacityType;
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::NodeResources;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{PodSpec, PodTemplate};
use seatrial_api::resources::{ResourceList, Resources};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus};
use seatrial_autoscaler::karpenter::DisruptionBudget;
use seatrial_autoscaler::{ClusterAutoscalerOptions, KarpenterOptions, NodeGroup, NodePool};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_sim_core::cluster::config::{
    Action, AutoscalerConfig, CloudConfig, ClusterConfig, Fault, FaultTiming, FaultType, LatencyModel,
    NamedObject, NodeSpec, Recording, StockOut, Target, TimelineEntry,
};
use seatrial_sim_core::cluster::{ClusterEvent, Simulation};
use seatrial_sim_core::engine::dist::Distribution;
use seatrial_sim_core::engine::queue::HeapQueue;

fn machine(name: &str, pool: &str) -> NodeSpec {
    let amounts = Resources::of(MilliCpu(4_000), Bytes(16 << 30));
    let resources = Arc::new(NodeResources { amounts, pods: 110 });
    NodeSpec {
        name: Symbol::new(name),
        pool: Symbol::new(pool),
        labels: Labels::of(&[("topology.kubernetes.io/zone", "a")]),
        taints: Vec::new(),
        capacity: resources.clone(),
        allocatable: resources,
        rack: Symbol::empty(),
        micro_usd_per_hour: 100_000,
        images: Arc::from([Symbol::new("image")]),
    }
}

fn workload(replicas: i32) -> Object {
    let requests =
        ResourceList { cpu: Some(MilliCpu(1_000)), memory: Some(Bytes(1 << 30)), ..ResourceList::default() };
    let container = Container { requests, ..Container::new("main", "image") };
    let labels = Labels::of(&[("app", "web")]);
    let template = PodTemplate {
        labels: labels.clone(),
        annotations: Labels::NONE,
        spec: Arc::new(PodSpec::new(vec![container]).sealed()),
    };
    Object::ReplicaSet(Arc::new(ReplicaSet {
        meta: ObjectMeta::named("default", "web"),
        replicas,
        min_ready_seconds: 0,
        selector: Arc::new(Selector::of_labels(&labels)),
        template: Arc::new(template),
        status: ReplicaSetStatus::default(),
    }))
}

/// Load that comes and goes, a stock-out, and machines that are taken back at random.
fn config(seed: u64) -> ClusterConfig {
    let group = NodeGroup {
        name: Symbol::new("spot"),
        min: 1,
        max: 6,
        priority: 0,
        offers: [machine("spot", "spot").offer(Default::default())].into(),
        instances: vec![Symbol::new("spot-0")],
    };
    let named = NamedObject { kind: Kind::ReplicaSet, namespace: Symbol::new("default"), name: "web".into() };
    let scale = |minute: i64, replicas: i32| TimelineEntry {
        at: SimTime::ZERO + Span::from_mins(minute),
        every: None,
        action: Action::Scale(named.clone(), replicas),
    };
    let remove = TimelineEntry {
        at: SimTime::ZERO + Span::from_mins(5),
        every: None,
        action: Action::RemoveNode(Symbol::new("spot-0")),
    };
    let reclaims = Fault {
        name: Symbol::new("reclaims"),
        kind: FaultType::SpotReclaim { notice: Span::from_mins(2) },
        target: Some(Target::Pool(Symbol::new("spot"))),
        timing: FaultTiming::Random {
            mtbf: Distribution::Exponential { mean: Span::from_mins(50) },
            mttr: Distribution::Constant { value: Span::ZERO },
        },
    };
    let stock_out = StockOut {
        pool: Some(Symbol::new("spot")),
        instance_type: None,
        zone: None,
        capacity_type: None,
        from: SimTime::ZERO + Span::from_mins(60),
        until: Some(SimTime::ZERO + Span::from_mins(70)),
        probability: Ratio::new(9, 10),
    };
    ClusterConfig {
        name: "autoscaling".into(),
        seed,
        version: KubernetesVersion::V1_36,
        start_unix_seconds: 0,
        duration: Span::from_hours(3),
        nodes: vec![machine("base-0", "base"), machine("spot-0", "spot")],
        state: Vec::new(),
        absent_owners: Vec::new(),
        manifests: vec![workload(6)],
        profiles: Vec::new(),
        metrics: Vec::new(),
        hpa_scale_to_zero: false,
        flow_control_seats: None,
        images: Vec::new(),
        arrivals: None,
        timeline: vec![remove, scale(10, 20), scale(40, 6), scale(62, 22), scale(100, 4)],
        faults: vec![reclaims],
        autoscaler: Some(AutoscalerConfig::ClusterAutoscaler {
            options: Box::new(ClusterAutoscalerOptions { seed, ..ClusterAutoscalerOptions::default() }),
            groups: vec![group],
        }),
        storage: Default::default(),
        cloud: CloudConfig { stock_outs: vec![stock_out], ..CloudConfig::default() },
        latency: LatencyModel::cloud_vm(),
        client_rate_limits: true,
        scheduler: SchedulerConfiguration::default(),
        recording: Recording::Full,
    }
}

/// The same with a provisioner that launches single machines.
fn provisioned(seed: u64) -> ClusterConfig {
    let mut offers = Vec::new();
    for (name, cores, capacity_type, price) in [
        ("small", 4, CapacityType::OnDemand, 100_000),
        ("large", 8, CapacityType::OnDemand, 190_000),
        ("small", 4, CapacityType::Spot, 40_000),
    ] {
        let amounts = Resources::of(MilliCpu(cores * 1_000), Bytes((cores * 4) << 30));
        let resources = Arc::new(NodeResources { amounts, pods: 110 });
        let labels = Labels::of(&[
            ("topology.kubernetes.io/zone", "a"),
            ("node.kubernetes.io/instance-type", name),
            ("karpenter.sh/capacity-type", capacity_type.as_str()),
        ]);
        let spec = NodeSpec {
            labels,
            capacity: resources.clone(),
            allocatable: resources,
            micro_usd_per_hour: price,
            ..machine("spot", "spot")
        };
        offers.push(spec.offer(capacity_type));
    }
    let pool = NodePool {
        budgets: vec![DisruptionBudget::Nodes(2)],
        ..NodePool::new(Symbol::new("spot"), offers.into())
    };
    ClusterConfig {
        nodes: vec![machine("base-0", "base")],
        autoscaler: Some(AutoscalerConfig::Karpenter(KarpenterOptions::new(vec![pool]))),
        ..config(seed)
    }
}

#[test]
fn clones_and_the_reference_queue_give_the_same_hash_for_each_seed() {
    let mut hashes = Vec::new();
    for config in [config(1), config(2), provisioned(1), provisioned(2)] {
        let mut simulation: Simulation = Simulation::new(config.clone()).unwrap();
        let mut clones = Vec::new();
        while simulation.step() {
            if simulation.events() % 500 == 250 {
                clones.push(simulation.clone());
            }
        }
        let mut reference: Simulation<HeapQueue<ClusterEvent>> = Simulation::with_queue(config).unwrap();
        reference.run();
        assert_eq!(reference.trace_hash(), simulation.trace_hash());
        assert!(!clones.is_empty());
        for mut clone in clones {
            clone.run();
            assert_eq!(clone.trace_hash(), simulation.trace_hash());
        }
        hashes.push(simulation.trace_hash());
    }
    assert_ne!(hashes[0], hashes[1]);
    assert_ne!(hashes[2], hashes[3]);
}

#[test]
fn a_provisioner_launches_consolidates_and_hears_of_interruptions() {
    let mut simulation: Simulation = Simulation::new(provisioned(3)).unwrap();
    while simulation.step() {
        if simulation.events().is_multiple_of(50) {
            simulation.check_invariants().unwrap();
        }
    }
    let results = simulation.results(simulation.end());
    let reasons: Vec<&str> = results.event_rows.iter().map(|row| row.reason.as_str()).collect();
    for expected in ["Nominated", "DisruptionTerminating", "SpotReclaim", "Evicted"] {
        assert!(reasons.contains(&expected), "{expected} did not happen");
    }
    assert!(simulation.nodes_ready() <= 3 && simulation.pod_counts() == [0, 4, 0, 0]);
    assert_eq!(results.evictions.pressure, 0);
}

#[test]
fn the_group_stays_within_its_bounds_and_what_is_paid_is_the_time_of_its_machines() {
    let mut simulation: Simulation = Simulation::new(config(3)).unwrap();
    let mut most = 0;
    while simulation.step() {
        if simulation.events().is_multiple_of(20) {
            simulation.check_invariants().unwrap();
            most = most.max(simulation.nodes_ready());
        }
    }
    let results = simulation.results(simulation.end());
    let reasons: Vec<&str> = results.event_rows.iter().map(|row| row.reason.as_str()).collect();
    for expected in ["TriggeredScaleUp", "ScaleUpFailed", "ScaleDown", "SpotReclaim", "DeletingNode"] {
        assert!(reasons.contains(&expected), "{expected} did not happen");
    }
    // A node whose machine was taken back counts as Ready until somebody has noticed.
    assert!((4..=9).contains(&most), "at most {most} nodes were Ready");
    let hours: f64 = results.nodes.iter().map(|node| node.uptime.as_secs_f64() / 3_600.0).sum();
    assert!((results.cost_usd - hours * 0.1).abs() < 1e-4, "{} dollars for {hours} hours", results.cost_usd);
    assert!(hours < 3.0 * 8.0);
}
