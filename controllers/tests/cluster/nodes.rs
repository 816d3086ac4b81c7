//! Node life cycle, taint eviction and pod garbage collection.

use seatrial_api::node::{
    Node, NodeConditionType, TAINT_MEMORY_PRESSURE, TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE,
};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodReason};
use seatrial_api::request::{DeleteOptions, Patch};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::units::{SimTime, Span};

use crate::world::{World, tolerating};

fn is_unready(event: &seatrial_api::request::WatchEvent) -> bool {
    matches!(&event.object, Object::Pod(pod) if !pod.is_ready())
}

fn is_unknown(event: &seatrial_api::request::WatchEvent) -> bool {
    matches!(&event.object, Object::Node(node) if node.ready() == ConditionStatus::Unknown)
}

#[track_caller]
fn assert_within(found: Option<f64>, from: f64, to: f64) {
    assert!(
        found.is_some_and(|found| (from..=to).contains(&found)),
        "{found:?} is not within {from} to {to}"
    );
}

/// The documented timeline of one crashed node.
#[test]
fn a_crashed_node_is_found_after_its_grace_and_emptied_after_the_tolerations() {
    let mut world = World::new();
    for (name, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
        world.node(name, zone);
    }
    let pod = world.pod("web", "n1", &[], &tolerating(Some(300)));
    let daemon = world.pod("agent", "n1", &[], &tolerating(None));
    world.run_to(20);
    world.silence("n1");
    world.run_to(430);

    let n1 = world.node_row("n1");
    let unknown = world.first_change(Kind::Node, n1, is_unknown).expect("found");
    assert_within(Some(unknown), 70.0, 75.2);
    assert_within(world.first_change(Kind::Pod, pod, is_unready), unknown, unknown + 0.05);
    assert_within(world.first_tainted("n1", TaintEffect::NoSchedule), unknown, unknown + 0.05);
    assert_within(world.first_tainted("n1", TaintEffect::NoExecute), unknown, unknown + 0.2);
    assert_within(world.first_deleting(pod), unknown + 300.0, unknown + 300.3);
    assert_eq!(world.first_deleting(daemon), None);
    let condition = world.get::<Pod>(pod).status.conditions.get(PodConditionType::DisruptionTarget);
    assert_eq!(condition.reason, PodReason::DeletionByTaintManager);
    assert_eq!(world.events("TaintManagerEviction")[0].1, "Marking for deletion Pod play/web");
    assert_eq!(world.events("NodeNotReady")[0].1, "Node n1 status is now: NodeNotReady");
    assert_eq!(world.events("RegisteredNode").len(), 3);
}

#[test]
fn the_pods_of_a_deleted_node_go_forty_to_eighty_seconds_later() {
    let mut world = World::new();
    world.node("n1", "a");
    world.node("n2", "a");
    let pod = world.pod("web", "n1", &[], &[]);
    world.run_to(10);
    let n1 = world.node_row("n1");
    world.delete(Kind::Node, n1, DeleteOptions::default());
    world.run_to(100);
    let failed = world.first_change(Kind::Pod, pod, |event| {
        matches!(&event.object, Object::Pod(pod) if pod.status.phase == PodPhase::Failed
            && pod.status.conditions.get(PodConditionType::DisruptionTarget).reason == PodReason::DeletionByPodGc)
    });
    assert_within(failed, 50.0, 90.0);
    assert!(!world.exists(Kind::Pod, pod));
    assert_eq!(world.events("RemovingNode")[0].1, "Node n1 event: Removing Node n1 from Controller");
}

#[test]
fn a_short_silence_changes_nothing() {
    let mut world = World::new();
    world.node("n1", "a");
    world.node("n2", "a");
    world.pod("web", "n1", &[], &tolerating(Some(300)));
    world.run_to(10);
    world.silence("n1");
    world.run_to(40);
    world.revive("n1");
    let before = world.history.len();
    world.run_to(200);
    assert_eq!(world.history.len(), before);
}

#[test]
fn a_node_that_returns_loses_its_taints_and_cancels_what_is_pending() {
    let mut world = World::new();
    world.node("n1", "a");
    world.node("n2", "a");
    let pod = world.pod("web", "n1", &[], &tolerating(Some(300)));
    world.silence("n1");
    world.run_to(100);
    assert_eq!(world.taints("n1", TaintEffect::NoExecute), [TAINT_UNREACHABLE]);
    world.revive("n1");
    world.run_until(SimTime::from_secs(100) + Span::from_millis(50));
    assert!(world.taints("n1", TaintEffect::NoSchedule).is_empty(), "at once");
    assert!(!world.taints("n1", TaintEffect::NoExecute).is_empty(), "not before the next pass");
    world.run_to(106);
    assert!(world.taints("n1", TaintEffect::NoExecute).is_empty());
    world.run_to(500);
    assert_eq!(world.first_deleting(pod), None);
    assert_eq!(world.events("TaintManagerEviction")[0].1, "Cancelling deletion of Pod play/web");
}

#[test]
fn a_kubelets_own_not_ready_marks_no_pods_and_waits_for_the_next_pass() {
    let mut world = World::new();
    world.node("n1", "");
    world.node("n2", "");
    let pod = world.pod("web", "n1", &[], &tolerating(Some(10)));
    world.run_to(8);
    world.set_condition("n1", NodeConditionType::Ready, ConditionStatus::False);
    world.run_to(30);
    assert_within(world.first_tainted("n1", TaintEffect::NoSchedule), 8.0, 8.1);
    let tainted = world.first_tainted("n1", TaintEffect::NoExecute).expect("tainted");
    assert_within(Some(tainted), 8.0, 13.2);
    assert_eq!(world.taints("n1", TaintEffect::NoExecute), [TAINT_NOT_READY]);
    assert_within(world.first_deleting(pod), tainted + 10.0, tainted + 10.1);
    let unready_before = world.first_change(Kind::Pod, pod, is_unready);
    assert!(unready_before.is_none_or(|at| at > tainted + 10.0), "{unready_before:?}");
}

#[test]
fn pressure_and_cordon_are_tainted_at_once_and_only_while_they_last() {
    let mut world = World::new();
    let n1 = world.node("n1", "");
    world.run_to(1);
    world.set_condition("n1", NodeConditionType::MemoryPressure, ConditionStatus::True);
    world.run_to(2);
    world.patch(Kind::Node, n1, Patch::Unschedulability(true));
    world.run_to(3);
    assert_eq!(world.taints("n1", TaintEffect::NoSchedule), [TAINT_MEMORY_PRESSURE, TAINT_UNSCHEDULABLE]);
    world.set_condition("n1", NodeConditionType::MemoryPressure, ConditionStatus::False);
    world.patch(Kind::Node, n1, Patch::Unschedulability(false));
    world.run_to(4);
    assert!(world.taints("n1", TaintEffect::NoSchedule).is_empty());
}

#[test]
fn a_lost_zone_is_tainted_node_by_node_ten_seconds_apart() {
    let mut world = World::new();
    for index in 0..9 {
        world.node(&format!("n{index}"), ["a", "b", "c"][index / 3]);
    }
    world.run_to(10);
    for name in ["n0", "n1", "n2"] {
        world.silence(name);
    }
    world.run_to(120);
    let times =
        ["n0", "n1", "n2"].map(|name| world.first_tainted(name, TaintEffect::NoExecute).expect("tainted"));
    assert_within(Some(times[0]), 60.0, 65.3);
    assert_within(Some(times[1] - times[0]), 9.9, 10.2);
    assert_within(Some(times[2] - times[1]), 9.9, 10.2);
    world.revive("n0");
    world.run_to(130);
    assert!(world.taints("n0", TaintEffect::NoExecute).is_empty());
}

#[test]
fn a_small_zone_that_is_mostly_lost_is_not_emptied_further() {
    let mut world = World::new();
    for index in 0..5 {
        world.node(&format!("n{index}"), "a");
    }
    world.node("other", "b");
    world.run_to(10);
    for name in ["n0", "n1", "n2"] {
        world.silence(name);
    }
    world.run_to(300);
    let tainted = (0..5).filter(|i| world.first_tainted(&format!("n{i}"), TaintEffect::NoExecute).is_some());
    assert_eq!(tainted.count(), 1, "only the one that the worker reaches before the zone is judged");
}

/// Recorded as zone-all-a: one node of the zone keeps its taint and loses its pods.
#[test]
fn if_every_zone_is_lost_evictions_stop_but_for_the_node_reached_in_that_pass() {
    let mut world = World::new();
    for index in 0..4 {
        world.node(&format!("n{index}"), "a");
    }
    let pods: Vec<u32> =
        (0..4).map(|i| world.pod(&format!("p{i}"), &format!("n{i}"), &[], &tolerating(Some(20)))).collect();
    world.run_to(10);
    for index in 0..4 {
        world.silence(&format!("n{index}"));
    }
    world.run_to(170);
    let tainted = |world: &World| -> Vec<usize> {
        (0..4).filter(|i| !world.taints(&format!("n{i}"), TaintEffect::NoExecute).is_empty()).collect()
    };
    assert_eq!(tainted(&world).len(), 1);
    let deleted = pods.iter().filter(|&&pod| world.first_deleting(pod).is_some()).count();
    assert_eq!(deleted, 1);
    assert!((0..4).all(|i| world.taints(&format!("n{i}"), TaintEffect::NoSchedule) == [TAINT_UNREACHABLE]));
    for index in 0..4 {
        world.revive(&format!("n{index}"));
    }
    world.run_to(200);
    assert!(tainted(&world).is_empty());
    assert!(
        (0..4).all(|i| world.get::<Node>(world.node_row(&format!("n{i}"))).ready() == ConditionStatus::True)
    );
}

#[test]
fn a_node_without_a_kubelet_is_found_after_its_startup_grace() {
    let mut world = World::new();
    let mut node = Node { name: "mute".into(), ..Node::default() };
    node.meta.name = "mute".into();
    let row = world.import(node);
    world.run_to(100);
    assert_within(world.first_change(Kind::Node, row, is_unknown), 60.0, 65.2);
    let conditions = world.get::<Node>(row).conditions;
    assert_eq!(conditions.get(NodeConditionType::DiskPressure).reason.as_str(), "NodeStatusNeverUpdated");
}

#[test]
fn a_controller_that_takes_over_gives_grace_anew_and_tolerations_begin_again() {
    let mut world = World::new();
    world.node("n1", "a");
    world.node("n2", "a");
    let pod = world.pod("web", "n1", &[], &tolerating(Some(30)));
    world.silence("n1");
    world.run_to(75);
    assert!(!world.taints("n1", TaintEffect::NoExecute).is_empty());
    world.restart_manager();
    world.run_until(SimTime::from_secs(75) + Span::from_millis(20));
    assert!(world.taints("n1", TaintEffect::NoExecute).is_empty(), "every node is new to it");
    world.run_to(120);
    assert_within(world.first_deleting(pod), 105.0, 111.0);
}

#[test]
fn an_intolerable_taint_evicts_at_once_and_a_second_one_keeps_the_first_deadline() {
    let mut world = World::new();
    let n1 = world.node("n1", "");
    let taint = |key: &str| Taint { key: key.into(), value: "".into(), effect: TaintEffect::NoExecute };
    let bare = world.pod("bare", "n1", &[], &[]);
    let mut tolerations = tolerating(Some(8));
    tolerations[0].key = "a".into();
    tolerations[1].key = "b".into();
    tolerations[1].seconds = Some(100);
    let patient = world.pod("patient", "n1", &[], &tolerations);
    world.run_to(1);
    let add = |key: &str| Patch::TaintChanges { add: vec![taint(key)], remove: vec![] };
    world.patch(Kind::Node, n1, add("a"));
    world.run_to(5);
    world.patch(Kind::Node, n1, add("b"));
    world.run_to(20);
    assert_within(world.first_deleting(bare), 1.0, 1.05);
    assert_within(world.first_deleting(patient), 9.0, 9.05);
}

#[test]
fn pods_on_a_node_out_of_service_are_removed_by_the_next_pass() {
    let mut world = World::new();
    let n1 = world.node("n1", "");
    world.node("n2", "");
    let pod = world.pod("db-0", "n1", &[], &tolerating(Some(10)));
    world.run_to(10);
    world.silence("n1");
    world.run_to(100);
    assert!(world.get::<Pod>(pod).meta.is_deleting());
    let out = Taint {
        key: "node.kubernetes.io/out-of-service".into(),
        value: "".into(),
        effect: TaintEffect::NoExecute,
    };
    world.patch(Kind::Node, n1, Patch::TaintChanges { add: vec![out], remove: vec![] });
    world.run_to(121);
    assert!(!world.exists(Kind::Pod, pod));
}

#[test]
fn an_idle_cluster_causes_no_events() {
    let mut world = World::new();
    for index in 0..1000 {
        world.node(&format!("n{index}"), "a");
    }
    world.run_to(60);
    let fired = world.timers_fired;
    world.run_to(24 * 3600);
    assert_eq!(world.timers_fired, fired);
}
