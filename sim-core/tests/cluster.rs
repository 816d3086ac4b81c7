//! A small cluster from its first instant to its last.

use std::sync::Arc;

use seatrial_api::calendar::Calendar;
use seatrial_api::container::Container;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::NodeResources;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{Pod, PodSpec, PodTemplate};
use seatrial_api::resources::Resources;
use seatrial_api::service::{Service, ServiceType, TrafficDistribution, TrafficPolicy};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{Deployment, DeploymentStrategy, IntOrPercent, ReplicaSet};
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::arrivals::ArrivalSource;
use seatrial_sim_core::cluster::config::{Action, CloudConfig, NamedObject, TimelineEntry};
use seatrial_sim_core::cluster::config::{
    ClusterConfig, Fault, FaultTiming, FaultType, LatencyModel, NodeSpec, Recording, StorageModel, Target,
};
use seatrial_sim_core::engine::dist::Distribution;
use seatrial_sim_core::engine::queue::HeapQueue;

fn node(name: &str, zone: &str) -> NodeSpec {
    let resources =
        Arc::new(NodeResources { amounts: Resources::of(MilliCpu(4_000), Bytes(32 << 30)), pods: 110 });
    NodeSpec {
        name: name.into(),
        pool: "worker".into(),
        labels: Labels::of(&[("kubernetes.io/hostname", name), ("topology.kubernetes.io/zone", zone)]),
        taints: Vec::new(),
        capacity: resources.clone(),
        allocatable: resources,
        rack: Symbol::empty(),
        micro_usd_per_hour: 192_000,
        images: Arc::new([]),
    }
}

fn config(nodes: usize, manifests: Vec<Object>) -> ClusterConfig {
    ClusterConfig {
        name: "test".into(),
        seed: 1,
        version: KubernetesVersion::V1_36,
        start_unix_seconds: 1_893_456_000,
        duration: Span::from_mins(30),
        nodes: (0..nodes).map(|n| node(&format!("worker-{n}"), ["a", "b", "c"][n % 3])).collect(),
        state: Vec::new(),
        absent_owners: Vec::new(),
        manifests,
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
        storage: StorageModel::standard(),
        client_rate_limits: true,
        scheduler: Default::default(),
        recording: Recording::Full,
    }
}

fn template(app: &str) -> Arc<PodTemplate> {
    let mut container = Container::new("app", "app:1");
    container.requests.cpu = Some(MilliCpu(100));
    container.requests.memory = Some(Bytes(500 << 20));
    Arc::new(PodTemplate {
        labels: Labels::of(&[("app", app)]),
        annotations: Labels::NONE,
        spec: Arc::new(PodSpec::new(vec![container]).sealed()),
    })
}

fn deployment(name: &str, replicas: i32) -> Object {
    Object::Deployment(Arc::new(Deployment {
        meta: ObjectMeta::named("default", name),
        replicas,
        min_ready_seconds: 0,
        selector: Arc::new(Selector::of_labels(&Labels::of(&[("app", name)]))),
        template: template(name),
        strategy: DeploymentStrategy::RollingUpdate {
            max_surge: IntOrPercent::Percent(25),
            max_unavailable: IntOrPercent::Percent(25),
        },
        revision_history_limit: 10,
        progress_deadline_seconds: 600,
        paused: false,
        status: Default::default(),
    }))
}

fn replica_set(name: &str, replicas: i32) -> Object {
    Object::ReplicaSet(Arc::new(ReplicaSet {
        meta: ObjectMeta::named("default", name),
        replicas,
        min_ready_seconds: 0,
        selector: Arc::new(Selector::of_labels(&Labels::of(&[("app", name)]))),
        template: template(name),
        status: Default::default(),
    }))
}

fn bare_pod(name: &str) -> Object {
    Object::Pod(Arc::new(Pod::new(ObjectMeta::named("default", name), template(name).spec.clone())))
}

#[test]
fn a_pod_is_bound_started_and_ready() {
    let mut simulation = Simulation::new(config(3, vec![bare_pod("one")])).unwrap();
    simulation.run();
    let results = simulation.results(simulation.end());
    assert_eq!(simulation.pod_counts(), [0, 1, 0, 0]);
    let pod = &results.pods[0];
    assert!(pod.ready.is_some(), "{pod:?}");
    assert!(pod.ready.unwrap() < SimTime::from_secs(30));
}

#[test]
fn a_replica_set_gets_its_pods() {
    let mut simulation = Simulation::new(config(3, vec![replica_set("web", 5)])).unwrap();
    simulation.run();
    assert_eq!(simulation.pod_counts(), [0, 5, 0, 0]);
}

#[test]
fn a_deployment_becomes_available() {
    let mut simulation = Simulation::new(config(3, vec![deployment("web", 5)])).unwrap();
    simulation.run();
    assert_eq!(simulation.pod_counts(), [0, 5, 0, 0]);
}

/// So many pods at once.
#[derive(Debug)]
struct Rush(u32);

impl ArrivalSource for Rush {
    fn time(&self, position: u32) -> Option<SimTime> {
        (position < self.0).then_some(SimTime::from_secs(1))
    }

    fn object(&self, position: u32) -> Object {
        bare_pod(&format!("pod-{position}"))
    }
}

/// One seat for each level: everything is done, one request after another, and what finds the queues
/// full comes back later.
#[test]
fn flow_control_delays_a_rush_and_loses_nothing() {
    let created_at = |seats: Option<u32>| {
        let mut configuration = config(40, Vec::new());
        configuration.arrivals = Some(Arc::new(Rush(400)));
        configuration.flow_control_seats = seats;
        configuration.latency.api_write = Distribution::Constant { value: Span::from_millis(50) };
        let mut simulation = Simulation::new(configuration).unwrap();
        simulation.run();
        assert_eq!(simulation.pod_counts(), [0, 400, 0, 0], "{seats:?}");
        let results = simulation.results(simulation.end());
        let refused = results.event_rows.iter().filter(|row| row.reason == "TooManyRequests").count();
        (results.pods.iter().map(|pod| pod.created).max().unwrap(), refused)
    };
    let (free, none) = created_at(None);
    assert_eq!((created_at(Some(60_000)), none), ((free, 0), 0), "there is a seat for everybody");
    let (narrow, refused) = created_at(Some(1));
    assert!(narrow >= free + Span::from_secs(19) && refused >= 99, "{free:?} {narrow:?} {refused}");
}

#[test]
fn the_reference_queue_and_a_clone_give_the_same_hash() {
    let configuration = config(6, vec![deployment("web", 20), deployment("db", 3)]);
    let mut shipped = Simulation::new(configuration.clone()).unwrap();
    let mut reference: Simulation<HeapQueue<_>> = Simulation::with_queue(configuration).unwrap();
    shipped.run_until(SimTime::from_secs(20));
    let mut clone = shipped.clone();
    shipped.run();
    clone.run();
    reference.run();
    assert_eq!(shipped.trace_hash(), clone.trace_hash());
    assert_eq!(shipped.trace_hash(), reference.trace_hash());
    assert_eq!(shipped.events(), reference.events());
}

#[test]
fn invariants_hold_after_every_event_of_a_crash() {
    let mut configuration = config(6, vec![deployment("web", 20), deployment("db", 3)]);
    configuration.faults = vec![Fault {
        name: "crash".into(),
        kind: FaultType::Crash,
        target: Some(Target::Zone("a".into())),
        timing: FaultTiming::At { at: SimTime::from_secs(300), duration: Some(Span::from_mins(10)) },
    }];
    let mut simulation = Simulation::new(configuration).unwrap();
    while simulation.step() {
        simulation.check_invariants().unwrap();
    }
    assert_eq!(simulation.pod_counts(), [0, 23, 0, 0]);
}

#[test]
fn a_cluster_is_taken_over_as_it_was() {
    let mut before = Simulation::new(config(3, vec![deployment("web", 5)])).unwrap();
    before.run();
    let state: Vec<Object> = [Kind::Namespace, Kind::Node, Kind::Deployment, Kind::ReplicaSet, Kind::Pod]
        .iter()
        .flat_map(|&kind| before.api().list(kind))
        .cloned()
        .collect();
    let mut configuration = config(0, vec![bare_pod("new")]);
    configuration.state = state;
    let mut after = Simulation::new(configuration).unwrap();
    assert_eq!(after.pod_counts(), [0, 5, 0, 0]);
    after.run();
    assert_eq!(after.pod_counts(), [0, 6, 0, 0]);
    let results = after.results(after.end());
    let touched: Vec<_> = results.event_rows.iter().filter(|row| row.name.starts_with("web-")).collect();
    assert!(touched.iter().all(|row| row.reason == "Created"), "{touched:#?}");
}

#[test]
fn a_session_with_inputs_from_outside_can_be_played_again() {
    let begin = || Simulation::new(config(3, vec![deployment("web", 4)])).unwrap();
    let scale = |name: &str, replicas: i32| {
        let named = NamedObject { kind: Kind::Deployment, namespace: "default".into(), name: name.into() };
        Action::Scale(named, replicas)
    };
    let mut session = begin();
    session.run_until(SimTime::from_secs(60));
    session.act(session.now(), scale("web", 6));
    session.act(SimTime::from_secs(200), Action::Cordon("worker-0".into()));
    for _ in 0..50 {
        session.step();
    }
    session.act(SimTime::from_secs(90), scale("web", 9));
    session.run_until(SimTime::from_secs(300));
    session.act(SimTime::from_secs(10), Action::Drain("worker-1".into()));
    session.run();
    assert_eq!(session.pod_counts(), [0, 9, 0, 0]);
    assert!(session.inputs()[3].at >= SimTime::from_secs(200), "an instant that is over is now");

    let mut again = begin();
    again.replay(session.inputs());
    again.run();
    assert_eq!((again.events(), again.trace_hash()), (session.events(), session.trace_hash()));

    let hash = |action: Option<Action>| {
        let mut simulation = begin();
        action.into_iter().for_each(|action| simulation.act(SimTime::from_secs(100), action));
        simulation.run();
        simulation.trace_hash()
    };
    let hashes = [hash(None), hash(Some(scale("nothing", 1))), hash(Some(scale("nothing", 2)))];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2], "also one without effect is in the trace");
}

/// A Service over the pods of a Deployment.
fn service(name: &str, app: &str, change: impl FnOnce(&mut Service)) -> Object {
    let mut service = Service {
        meta: ObjectMeta::named("default", name),
        kind: ServiceType::ClusterIp,
        selector: Some(Labels::of(&[("app", app)])),
        ports: Box::new([]),
        cluster_ip: Default::default(),
        external_name: Default::default(),
        external_ips: Default::default(),
        health_check_node_port: 0,
        session_affinity_seconds: None,
        publish_not_ready_addresses: false,
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        ip_family_policy: Default::default(),
        allocate_node_ports: true,
    };
    change(&mut service);
    Object::Service(Arc::new(service))
}

#[test]
fn availability_equals_a_recount_through_crashes_partitions_and_rollouts() {
    let near = |service: &mut Service| {
        service.traffic_distribution = Some(TrafficDistribution::PreferSameZone);
    };
    let same_node = |service: &mut Service| {
        service.traffic_distribution = Some(TrafficDistribution::PreferSameNode);
    };
    let local = |service: &mut Service| service.internal_traffic_policy = TrafficPolicy::Local;
    let mut configuration = config(
        6,
        vec![
            deployment("web", 12),
            deployment("db", 2),
            service("web", "web", |_| {}),
            service("db", "db", |_| {}),
            service("near", "web", near),
            service("same-node", "web", same_node),
            service("local", "web", local),
            service("nobody", "nothing", |_| {}),
        ],
    );
    let fault = |name: &str, kind, zone: &str, at, minutes| Fault {
        name: name.into(),
        kind,
        target: Some(Target::Zone(zone.into())),
        timing: FaultTiming::At { at: SimTime::from_secs(at), duration: Some(Span::from_mins(minutes)) },
    };
    configuration.faults = vec![
        fault("cut", FaultType::Partition, "a", 200, 9),
        fault("cut-too", FaultType::Partition, "b", 400, 3),
        fault("crash", FaultType::Crash, "c", 500, 5),
    ];
    let mut simulation = Simulation::new(configuration).unwrap();
    let named = NamedObject { kind: Kind::Deployment, namespace: "default".into(), name: "web".into() };
    simulation.act(SimTime::from_secs(300), Action::RolloutRestart(named));
    while simulation.step() {
        simulation.check_invariants().unwrap();
    }
    let results = simulation.results(simulation.end());
    let share = |name: &str| {
        let row = results.services.iter().find(|row| row.name == name).expect("the Service");
        row.availability_pct
    };
    let partly = |name: &str| share(name).is_some_and(|percent| percent > 50.0 && percent < 100.0);
    assert!(partly("web") && partly("db") && partly("near") && partly("local"), "{:?}", results.services);
    assert_eq!(share("nobody"), None);
}

/// The object that a manifest describes.
fn decode(text: &str) -> Object {
    let mut decoder = Decoder::new(Mode::Manifest, Calendar::default(), KubernetesVersion::V1_36);
    let (mut reader, mut findings) = (ObjectReader::new("f", text.as_bytes()), Diagnostics::new());
    let node = reader.next(&mut findings).expect("an object");
    let file = reader.file().clone();
    decoder.decode(&node, &file, &mut findings).unwrap_or_else(|| panic!("{findings}"))
}

#[test]
fn pods_of_a_cron_job_are_counted_as_its_own_and_other_rollouts_than_deployments_can_be_undone() {
    let manifests = [
        "{apiVersion: batch/v1, kind: CronJob, metadata: {name: tick}, spec: {schedule: '*/5 * * * *', jobTemplate: \
         {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'tick:1'}]}}}}}}",
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db}, spec: {replicas: 2, serviceName: db, selector: \
         {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: \
         'db:1'}]}}}}",
    ];
    let mut configuration = config(2, manifests.iter().map(|text| decode(text)).collect());
    let db = NamedObject { kind: Kind::StatefulSet, namespace: "default".into(), name: "db".into() };
    let at =
        |minutes: i64, action| TimelineEntry { at: SimTime::from_secs(minutes * 60), every: None, action };
    configuration.timeline = vec![
        at(10, Action::SetImage(db.clone(), Symbol::empty(), "db:2".into())),
        at(20, Action::RolloutUndo(db)),
    ];
    let mut simulation: Simulation = Simulation::new(configuration).expect("it can be played");
    simulation.run();
    let results = simulation.results(simulation.end());
    let ticks = results.pods.iter().filter(|pod| pod.workload == "CronJob/tick").count();
    assert_eq!(ticks, 5, "at 5, 10 … 25 minutes");
    let set = simulation.api().find(Kind::StatefulSet, "default".into(), "db").expect("it is there");
    let Object::StatefulSet(set) = set else { unreachable!() };
    assert_eq!(set.template.spec.containers[0].image, "db:1");
    assert_eq!((set.status.ready_replicas, set.status.updated_replicas), (2, 2));
}
