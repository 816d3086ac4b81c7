//! Plays of what a kubelet does to pods for its own reasons: eviction under pressure of memory, room
//! for critical pods, orderly shutdown; and how it finds its way back after a loss.

mod play;

use play::{Action, Run, Term, World, container, ms, pod, secs, with_images};
use seatrial_api::node::NodeConditionType;
use seatrial_api::pod::{ConditionStatus, PodConditionType, PodPhase, PodSpec};
use seatrial_api::units::{Bytes, MilliCpu};
use seatrial_node::KubeletConfig;
use seatrial_node::preemption::CRITICAL_PRIORITY;
use seatrial_node::pressure::{MemoryReport, Relief};

fn asks(cpu: i64, memory_mi: i64) -> PodSpec {
    let mut spec = PodSpec::new(vec![container("main")]);
    spec.containers[0].requests.cpu = Some(MilliCpu(cpu));
    spec.containers[0].requests.memory = Some(Bytes(memory_mi << 20));
    spec
}

#[test]
fn a_node_short_of_memory_evicts_one_pod_and_says_so_for_five_minutes() {
    let mut world = World::new(with_images());
    world.bind(pod(1, asks(100, 100)));
    world.bind(pod(2, asks(100, 100)));
    world.run(secs(5));
    let usage = [(1, Bytes(50 << 20)), (2, Bytes(500 << 20))];
    let report = MemoryReport { available: Bytes(50 << 20), usage: &usage };
    assert_eq!(world.observe_memory(report), Relief::Evicts { pod: 2 });
    assert_eq!(world.observe_memory(report), Relief::UnderWay, "the victim has not stopped yet");
    world.run(secs(20));
    assert_eq!(world.phase(1), PodPhase::Running);
    assert_eq!(world.phase(2), PodPhase::Failed);
    assert_eq!(world.pod(2).status.reason(), "Evicted");
    let target = world.pod(2).status.conditions.get(PodConditionType::DisruptionTarget);
    assert_eq!(target.reason.as_str(), "TerminationByKubelet");
    assert_eq!(world.lines("stop main").len(), 1);
    let pressure = |world: &World| world.node.conditions.get(NodeConditionType::MemoryPressure).status;
    assert_eq!(pressure(&world), ConditionStatus::True);
    world.bind(pod(3, PodSpec::new(vec![container("main")])));
    world.bind(pod(4, asks(100, 100)));
    world.run(secs(5));
    assert_eq!(world.pod(3).status.reason(), "Evicted", "best-effort pods are refused");
    assert_eq!(world.phase(4), PodPhase::Running);
    world.run(secs(400));
    assert_eq!(pressure(&world), ConditionStatus::False);
}

#[test]
fn an_evicted_pod_that_ends_well_has_succeeded_and_gives_no_reason() {
    let mut world = World::new(with_images());
    world.script.runs.insert("main", vec![Run { exit: None, term: Term { after: ms(100), code: 0 } }]);
    world.bind(pod(1, asks(100, 100)));
    world.run(secs(5));
    let report = MemoryReport { available: Bytes(50 << 20), usage: &[(1, Bytes(500 << 20))] };
    assert_eq!(world.observe_memory(report), Relief::Evicts { pod: 1 });
    world.run(secs(20));
    assert_eq!((world.phase(1), world.pod(1).status.reason()), (PodPhase::Succeeded, "".into()));
    let target = world.pod(1).status.conditions.get(PodConditionType::DisruptionTarget);
    assert_eq!(target.reason.as_str(), "TerminationByKubelet");
}

#[test]
fn a_critical_pod_finds_room() {
    let mut world = World::new(with_images());
    world.bind(pod(1, asks(3_000, 100)));
    world.bind(pod(2, asks(500, 100)));
    let critical = PodSpec { priority: Some(CRITICAL_PRIORITY), ..asks(800, 100) };
    world.at(secs(5), Action::Bind(pod(3, critical)));
    world.run(secs(20));
    assert_eq!(world.phase(1), PodPhase::Running);
    assert_eq!(world.phase(2), PodPhase::Failed);
    assert_eq!(world.pod(2).status.reason(), "Preempting");
    assert!(world.pod(3).is_ready());
}

#[test]
fn a_critical_pod_for_which_there_is_no_room_is_refused() {
    let mut world = World::new(with_images());
    let critical = PodSpec { priority: Some(CRITICAL_PRIORITY), ..asks(8_000, 100) };
    world.bind(pod(1, critical));
    world.run(secs(5));
    assert_eq!(world.pod(1).status.reason(), "UnexpectedAdmissionError");
}

#[test]
fn an_orderly_shutdown_stops_critical_pods_last() {
    let config =
        KubeletConfig { shutdown_grace: secs(30), shutdown_grace_critical: secs(10), ..with_images() };
    let mut world = World::new(config);
    let mut ordinary = asks(100, 100);
    ordinary.containers[0].name = "ordinary".into();
    world.bind(pod(1, ordinary));
    let mut critical = PodSpec { priority: Some(CRITICAL_PRIORITY), ..asks(100, 100) };
    critical.containers[0].name = "critical".into();
    world.bind(pod(2, critical));
    world.run(secs(5));
    let off_at = world.shutdown();
    assert_eq!(off_at, world.now + secs(30));
    world.run(secs(25));
    let stops: Vec<_> = world.lines("stop ").iter().map(|line| line.1.to_string()).collect();
    assert_eq!(stops, ["stop ordinary 20", "stop sandbox", "stop critical 10", "stop sandbox"]);
    for id in [1, 2] {
        assert_eq!(world.pod(id).status.reason(), "Terminated");
    }
    assert_eq!(world.node.ready(), ConditionStatus::False);
}

#[test]
fn a_status_that_others_have_changed_is_written_again() {
    let mut world = World::new(with_images());
    world.bind(pod(1, asks(100, 100)));
    world.run(secs(5));
    world.at(ms(1), Action::Unready(1));
    world.run(secs(1));
    assert!(!world.pod(1).is_ready());
    world.run(secs(11));
    assert!(world.pod(1).is_ready(), "within the ten seconds of the next check");
}

#[test]
fn a_node_that_was_given_up_says_that_it_is_ready() {
    let mut world = World::new(with_images());
    world.at(secs(5), Action::NodeUnknown);
    world.run(secs(6));
    assert_eq!(world.node.ready(), ConditionStatus::Unknown);
    world.run(secs(11));
    assert_eq!(world.node.ready(), ConditionStatus::True);
}
