//! Scripts: a small store answers the scheduler's requests.

use crate::rig::{Millis, Rig, node, pod, pod_with};
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::PodReason;
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::cases::CaseOutcome;
use seatrial_scheduler::config::CostModel;

#[test]
fn pods_are_bound_and_the_decision_is_recorded() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 4000, 8));
    rig.add_node(node("n2", 2000, 8));
    rig.add_pod(pod("a", 3000));
    rig.add_pod(pod("b", 1500));
    rig.settle(SimTime::from_secs(5));
    assert_eq!(rig.node_of("a"), Some("n1"));
    assert_eq!(rig.node_of("b"), Some("n2"));
    assert!(rig.decisions.iter().any(|(_, reason, text)| {
        *reason == "Scheduled" && text == "Successfully assigned default/a to n1"
    }));
}

#[test]
fn a_cycle_takes_the_time_that_the_cost_model_says() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 4000, 8));
    rig.add_node(node("n2", 4000, 8));
    rig.add_pod(pod("a", 100));
    rig.add_pod(pod("b", 100));
    rig.settle(SimTime::from_secs(1));
    // 0.4 ms + 2 × 6 µs + 2 × 2 µs.
    let cycle = Span::from_micros(416);
    assert_eq!(rig.bound_at("a"), SimTime::ZERO + cycle);
    assert_eq!(rig.bound_at("b"), SimTime::ZERO + cycle + cycle);
}

#[test]
fn a_pod_that_fits_nowhere_says_why_and_is_tried_again_when_room_comes() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 1000, 8));
    rig.add_pod(pod("big", 3000));
    rig.settle(SimTime::from_secs(2));
    let patched = rig.pod("big");
    assert_eq!(rig.reason_of("big"), PodReason::Unschedulable);
    assert_eq!(
        patched.status.text.as_ref().unwrap().scheduling,
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
         available: 1 Preemption is not helpful for scheduling."
    );
    rig.add_node(node("n2", 500, 8));
    rig.settle(SimTime::from_secs(4));
    assert_eq!(rig.attempts("big"), 1, "a node that is too small wakes nobody");
    rig.add_node(node("n3", 4000, 8));
    rig.settle(SimTime::from_secs(9));
    assert_eq!(rig.node_of("big"), Some("n3"));
}

#[test]
fn without_nodes_a_pod_backs_off_as_after_an_error() {
    let mut rig =
        Rig::new(SchedulerConfiguration { cost: CostModel::INSTANT, ..SchedulerConfiguration::default() });
    rig.add_pod(pod("a", 100));
    rig.settle(SimTime::from_nanos(1));
    rig.add_node(node("n1", 4000, 8));
    rig.settle(SimTime::from_nanos(1_999_999_999));
    assert_eq!(rig.node_of("a"), None, "a node add does not cut the back-off short");
    rig.settle(SimTime::from_secs(3));
    assert_eq!(rig.node_of("a"), Some("n1"));
    assert_eq!(rig.bound_at("a"), SimTime::from_secs(2));
}

#[test]
fn gated_pods_wait_for_their_last_gate_to_go() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 4000, 8));
    let gated = pod_with("a", 100, |spec| spec.scheduling_gates = [Symbol::new("example.com/g")].into());
    rig.add_pod(gated);
    rig.settle(SimTime::from_secs(600));
    assert_eq!(rig.attempts("a"), 0);
    rig.update_pod("a", |pod| pod.spec = pod_with("a", 100, |_| {}).spec);
    rig.settle(SimTime::from_secs(601));
    assert_eq!(rig.node_of("a"), Some("n1"));
}

#[test]
fn a_failed_binding_is_taken_back_and_tried_again() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 1000, 8));
    rig.refuse_binds = 1;
    rig.add_pod(pod("a", 800));
    rig.settle(SimTime::from_millis_for_test(100));
    assert_eq!(rig.reason_of("a"), PodReason::SchedulerError);
    rig.settle(SimTime::from_secs(4));
    assert_eq!(rig.node_of("a"), Some("n1"));
}

#[test]
fn taints_are_respected_and_their_removal_wakes_the_pod() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    let taint = Taint { key: "k".into(), value: "v".into(), effect: TaintEffect::NoSchedule };
    let mut tainted = node("n1", 4000, 8);
    tainted.taints = Some([taint].into());
    rig.add_node(tainted);
    rig.add_pod(pod("a", 100));
    rig.settle(SimTime::from_secs(5));
    assert_eq!(rig.node_of("a"), None);
    rig.update_node("n1", |node| node.taints = None);
    rig.settle(SimTime::from_secs(6));
    assert_eq!(rig.node_of("a"), Some("n1"));
}

#[test]
fn preemption_evicts_nominates_and_then_places() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 2000, 8));
    for name in ["low-1", "low-2"] {
        rig.add_pod(pod(name, 900));
    }
    rig.settle(SimTime::from_secs(1));
    rig.add_pod(pod_with("high", 1000, |spec| spec.priority = Some(1000)));
    rig.settle(SimTime::from_secs(2));
    assert_eq!(rig.pod("high").status.nominated_node, Some("n1".into()));
    assert_eq!(rig.deleted.len(), 1, "one victim makes room");
    assert!(rig.decisions.iter().any(|(_, reason, _)| *reason == "Preempted"));
    let victim = rig.deleted[0];
    rig.finish_deletion(ObjectRef { kind: Kind::Pod, id: victim });
    rig.settle(SimTime::from_secs(5));
    assert_eq!(rig.node_of("high"), Some("n1"));
}

#[test]
fn a_clone_goes_on_like_its_original() {
    let mut rig = Rig::new(SchedulerConfiguration { seed: 7, ..SchedulerConfiguration::default() });
    for index in 0..40 {
        rig.add_node(node(&format!("n{index}"), 4000, 8));
    }
    for index in 0..60 {
        rig.add_pod(pod(&format!("p{index}"), 500));
    }
    rig.settle(SimTime::from_millis_for_test(8));
    let mut other = rig.clone();
    rig.settle(SimTime::from_secs(1));
    other.settle(SimTime::from_secs(1));
    for index in 0..60 {
        let name = format!("p{index}");
        assert!(rig.node_of(&name).is_some());
        assert_eq!(rig.node_of(&name), other.node_of(&name));
    }
}

#[test]
fn priorities_go_first_and_equal_ones_in_order_of_coming() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 4000, 8));
    rig.add_pod(pod("first", 100));
    rig.add_pod(pod("second", 100));
    rig.add_pod(pod_with("urgent", 100, |spec| spec.priority = Some(5)));
    rig.settle(SimTime::from_secs(1));
    assert!(rig.bound_at("urgent") < rig.bound_at("first"));
    assert!(rig.bound_at("first") < rig.bound_at("second"));
}

#[test]
fn a_pod_of_another_scheduler_is_left_alone_but_counts_on_its_node() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 1000, 8));
    rig.add_pod(pod_with("foreign", 800, |spec| spec.scheduler_name = "other".into()));
    rig.settle(SimTime::from_secs(1));
    assert_eq!(rig.attempts("foreign"), 0);
    rig.update_pod("foreign", |pod| pod.node = Some("n1".into()));
    rig.add_pod(pod("own", 500));
    rig.settle(SimTime::from_secs(2));
    assert_eq!(rig.node_of("own"), None);
}

#[test]
fn a_pod_can_be_explained_before_and_after_it_was_placed() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.add_node(node("n1", 1000, 8));
    rig.add_node(node("n2", 4000, 8));
    rig.add_pod(pod("a", 900));
    rig.add_pod(pod("big", 6000));
    rig.settle(SimTime::from_secs(1));
    let placed = rig.scheduler.explain(rig.pod("a").meta.id).unwrap();
    let CaseOutcome::Bound(node) = placed.outcome else { panic!("it was placed") };
    assert_eq!(Some(node.as_str()), rig.node_of("a"));
    let scores = placed.attempts[0].scores.as_ref().unwrap();
    assert_eq!(scores.nodes.len(), 2, "its own requests do not stand in its way");
    let waiting = rig.scheduler.explain(rig.pod("big").meta.id).unwrap();
    assert_eq!(waiting.outcome, CaseOutcome::Unschedulable);
    assert_eq!(waiting.attempts[0].rejected.len(), 2);
    assert!(rig.scheduler.explain(999).is_none());
}
