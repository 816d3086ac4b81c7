//! Claims in a whole cluster, with the modelled drivers.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::NodeResources;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{Pod, PodPhase, PodSpec, Volume, VolumeSource};
use seatrial_api::resources::Resources;
use seatrial_api::storage::{
    AccessModes, ClaimPhase, ClaimSpec, PersistentVolume, PersistentVolumeClaim, ReclaimPolicy,
    SELECTED_NODE, VolumeAttachment, VolumeBindingMode, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_sim_core::cluster::Simulation;
use seatrial_sim_core::cluster::config::{
    Action, CloudConfig, ClusterConfig, LatencyModel, NamedObject, NodeSpec, Recording, StorageModel,
    StorageProfile, TimelineEntry,
};
use seatrial_sim_core::engine::dist::Distribution;

const ONCE: AccessModes = AccessModes {
    read_write_once: true,
    read_only_many: false,
    read_write_many: false,
    read_write_once_pod: false,
};

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

fn config(manifests: Vec<Object>) -> ClusterConfig {
    ClusterConfig {
        name: "test".into(),
        seed: 1,
        version: KubernetesVersion::V1_36,
        start_unix_seconds: 1_893_456_000,
        duration: Span::from_mins(30),
        nodes: vec![node("worker-a", "a"), node("worker-b", "b")],
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

fn claim(name: &str, gigabytes: i64) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        meta: ObjectMeta::named("default", name),
        spec: ClaimSpec { access_modes: ONCE, request: Bytes(gigabytes << 30), ..ClaimSpec::default() },
        ..PersistentVolumeClaim::default()
    }
}

fn claim_object(name: &str, gigabytes: i64) -> Object {
    Object::PersistentVolumeClaim(Arc::new(claim(name, gigabytes)))
}

/// A pod that uses a claim, in a zone if one is given.
fn pod(name: &str, claim: &str, zone: &str) -> Object {
    let mut container = Container::new("app", "app:1");
    container.requests.cpu = Some(MilliCpu(100));
    container.mounts = Box::new(["data".into()]);
    let mut spec = PodSpec::new(vec![container]);
    let source = VolumeSource::Claim { name: claim.into(), read_only: false };
    spec.volumes = Box::new([Volume { name: "data".into(), source }]);
    if !zone.is_empty() {
        spec.node_selector = Labels::of(&[("topology.kubernetes.io/zone", zone)]);
    }
    Object::Pod(Arc::new(Pod::new(ObjectMeta::named("default", name), Arc::new(spec.sealed()))))
}

fn run(config: ClusterConfig, until: i64) -> Simulation {
    let mut simulation = Simulation::new(config).unwrap();
    let until = SimTime::from_secs(until);
    while simulation.step_until(until) {
        if simulation.events().is_multiple_of(50) {
            simulation.check_invariants().unwrap();
        }
    }
    simulation.check_invariants().unwrap();
    simulation
}

fn claim_of(simulation: &Simulation, name: &str) -> Arc<PersistentVolumeClaim> {
    let found = simulation.api().find(Kind::PersistentVolumeClaim, "default".into(), name);
    let Some(Object::PersistentVolumeClaim(claim)) = found else { panic!("no claim {name}") };
    claim.clone()
}

fn phase_of(simulation: &Simulation, pod: &str) -> PodPhase {
    let Some(Object::Pod(pod)) = simulation.api().find(Kind::Pod, "default".into(), pod) else {
        panic!("no pod {pod}")
    };
    pod.status.phase
}

fn volumes(simulation: &Simulation) -> Vec<Arc<PersistentVolume>> {
    simulation.api().list_typed::<PersistentVolume>().cloned().collect()
}

fn reasons(simulation: &Simulation) -> Vec<String> {
    (0..simulation.event_rows()).map(|row| simulation.event_row(row).unwrap().reason.to_string()).collect()
}

fn event_at(simulation: &Simulation, reason: &str) -> Option<SimTime> {
    let rows = (0..simulation.event_rows()).map(|row| simulation.event_row(row).unwrap());
    rows.filter(|row| row.reason == reason).map(|row| row.time).next()
}

fn fixed(seconds: i64) -> Option<Distribution> {
    Some(Distribution::Constant { value: Span::from_secs(seconds) })
}

fn profile() -> StorageProfile {
    StorageProfile {
        class: "standard".into(),
        zonal: None,
        capacity: None,
        provision: None,
        delete: None,
        attach: None,
        detach: None,
    }
}

/// A claim of the default class waits for its pod, and its volume is made where that one runs.
#[test]
fn a_volume_is_made_in_the_zone_of_its_first_pod() {
    let alone = run(config(vec![claim_object("data", 1)]), 60);
    assert_eq!(claim_of(&alone, "data").phase, ClaimPhase::Pending);
    assert_eq!(claim_of(&alone, "data").spec.storage_class, Some("standard".into()));
    assert!(reasons(&alone).iter().any(|reason| reason == "WaitForFirstConsumer"));
    assert!(volumes(&alone).is_empty());

    let both = run(config(vec![claim_object("data", 1), pod("db", "data", "b")]), 60);
    assert_eq!(claim_of(&both, "data").phase, ClaimPhase::Bound);
    assert_eq!(phase_of(&both, "db"), PodPhase::Running);
    let made = volumes(&both);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].phase, VolumePhase::Bound);
    let affinity = made[0].node_affinity.as_deref().unwrap();
    let labels = |zone| Labels::of(&[("topology.kubernetes.io/zone", zone)]);
    assert!(affinity[0].matches(&labels("b"), "n".into()));
    assert!(!affinity[0].matches(&labels("a"), "n".into()));
    let attached: Vec<_> = both.api().list_typed::<VolumeAttachment>().cloned().collect();
    assert_eq!(attached.len(), 1);
    assert!(attached[0].attached);
    assert_eq!(attached[0].node, Symbol::new("worker-b"));
}

/// A pod starts after its volume was made and attached, which takes what the driver takes.
#[test]
fn a_pod_waits_for_its_driver() {
    let quick = run(config(vec![claim_object("data", 1), pod("db", "data", "")]), 300);
    let mut slow = config(vec![claim_object("data", 1), pod("db", "data", "")]);
    slow.storage.profiles = vec![StorageProfile { provision: fixed(60), attach: fixed(40), ..profile() }];
    let slow = run(slow, 300);
    let started = |simulation: &Simulation| event_at(simulation, "Started").expect("the pod starts");
    assert!(started(&quick) < SimTime::from_secs(60), "{:?}", started(&quick));
    assert!(started(&slow) > SimTime::from_secs(100), "{:?}", started(&slow));
    assert!(event_at(&slow, "Scheduled").unwrap() > SimTime::from_secs(60));
}

/// An Immediate class makes volumes without a pod; the pod then follows its volume.
#[test]
fn a_pod_follows_an_immediate_volume() {
    let mut config = config(vec![claim_object("data", 1), pod("db", "data", "")]);
    config.storage.classes[0].binding_mode = VolumeBindingMode::Immediate;
    let simulation = run(config, 60);
    let made = volumes(&simulation);
    assert_eq!(made.len(), 1);
    let Some(Object::Pod(pod)) = simulation.api().find(Kind::Pod, "default".into(), "db") else { panic!() };
    let node = pod.node.unwrap();
    let zone = Labels::of(&[(
        "topology.kubernetes.io/zone",
        if node == Symbol::new("worker-a") { "a" } else { "b" },
    )]);
    assert!(made[0].node_affinity.as_deref().unwrap()[0].matches(&zone, node));
}

/// Where a zone has no room, the driver takes the selected node back and another zone is tried.
#[test]
fn a_zone_without_room_is_left() {
    let mut full = config(vec![
        claim_object("first", 3),
        pod("one", "first", "a"),
        claim_object("second", 3),
        pod("two", "second", "a"),
    ]);
    full.storage.profiles = vec![StorageProfile { capacity: Some(Bytes(4 << 30)), ..profile() }];
    let simulation = run(full, 120);
    let bound = ["first", "second"].map(|name| claim_of(&simulation, name).phase == ClaimPhase::Bound);
    assert_eq!(bound.iter().filter(|bound| **bound).count(), 1);
    assert!(reasons(&simulation).iter().any(|reason| reason == "ProvisioningFailed"));
    assert_eq!(volumes(&simulation).len(), 1);
}

/// A larger request makes the volume larger, where the class allows it.
#[test]
fn a_claim_is_expanded() {
    let mut config = config(vec![claim_object("data", 1), pod("db", "data", "")]);
    config.timeline.push(TimelineEntry {
        at: SimTime::from_secs(60),
        every: None,
        action: Action::Apply(vec![claim_object("data", 2)]),
    });
    let simulation = run(config, 200);
    assert_eq!(claim_of(&simulation, "data").capacity, Bytes(2 << 30));
    assert_eq!(volumes(&simulation)[0].capacity, Bytes(2 << 30));
    assert!(reasons(&simulation).iter().any(|reason| reason == "VolumeResizeSuccessful"));
}

/// A claim outlives its deletion while a pod uses it; then its volume goes, or stays Released.
#[test]
fn reclaim_policies() {
    let deletions = |policy| {
        let mut config = config(vec![claim_object("data", 1), pod("db", "data", "")]);
        config.storage.classes[0].reclaim_policy = policy;
        let delete = |kind, name: &str, at| TimelineEntry {
            at: SimTime::from_secs(at),
            every: None,
            action: Action::Delete(NamedObject { kind, namespace: "default".into(), name: name.into() }),
        };
        config.timeline.push(delete(Kind::PersistentVolumeClaim, "data", 60));
        config.timeline.push(delete(Kind::Pod, "db", 120));
        config
    };
    let early = run(deletions(ReclaimPolicy::Delete), 110);
    assert!(claim_of(&early, "data").meta.is_deleting());
    assert_eq!(phase_of(&early, "db"), PodPhase::Running);

    let late = run(deletions(ReclaimPolicy::Delete), 600);
    assert_eq!(late.api().list_typed::<PersistentVolumeClaim>().count(), 0);
    assert_eq!(late.api().list_typed::<PersistentVolume>().count(), 0);
    assert_eq!(late.api().list_typed::<VolumeAttachment>().count(), 0);

    let kept = run(deletions(ReclaimPolicy::Retain), 600);
    assert_eq!(kept.api().list_typed::<PersistentVolumeClaim>().count(), 0);
    assert_eq!(volumes(&kept)[0].phase, VolumePhase::Released);
    assert_eq!(kept.api().list_typed::<VolumeAttachment>().count(), 0);
}

/// Without a class there is no one who makes a volume.
#[test]
fn a_claim_without_a_class_waits() {
    let mut config = config(vec![claim_object("data", 1), pod("db", "data", "")]);
    config.storage = StorageModel::default();
    let simulation = run(config, 120);
    assert_eq!(claim_of(&simulation, "data").phase, ClaimPhase::Pending);
    assert_eq!(phase_of(&simulation, "db"), PodPhase::Pending);
    assert!(claim_of(&simulation, "data").annotation(SELECTED_NODE).is_none());
    assert!(reasons(&simulation).iter().any(|reason| reason == "FailedBinding"));
}

/// The same configuration gives the same run.
#[test]
fn runs_are_repeatable() {
    let hash = || run(config(vec![claim_object("data", 1), pod("db", "data", "")]), 300).trace_hash();
    assert_eq!(hash(), hash());
}
