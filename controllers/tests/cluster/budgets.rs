//! PodDisruptionBudgets.

use std::sync::Arc;

use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::{ObjectMeta, OwnerRef};
use seatrial_api::object::{Kind, Typed};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType};
use seatrial_api::policy::{Budget, PdbStatus, PodDisruptionBudget, UnhealthyPodEvictionPolicy};
use seatrial_api::request::Request;
use seatrial_api::workload::IntOrPercent;

use crate::world::{NAMESPACE, World};

fn budget(name: &str, app: &str, budget: Budget) -> PodDisruptionBudget {
    PodDisruptionBudget {
        meta: ObjectMeta::named(NAMESPACE, name),
        budget: Some(budget),
        selector: Some(Selector::of_labels(&Labels::of(&[("app", app)]))),
        unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy::default(),
        status: PdbStatus::default(),
    }
}

/// (expected, desired, healthy, allowed)
fn figures(world: &World, row: u32) -> (i32, i32, i32, i32) {
    let status = &world.get::<PodDisruptionBudget>(row).status;
    (status.expected_pods, status.desired_healthy, status.current_healthy, status.disruptions_allowed)
}

fn reason(world: &World, row: u32) -> String {
    world.get::<PodDisruptionBudget>(row).status.conditions[0].reason.to_string()
}

#[test]
fn a_budget_follows_its_pods_and_an_eviction_is_confirmed() {
    let mut world = World::new();
    world.node("n1", "");
    let row = world.create(budget("web", "web", Budget::MinAvailable(IntOrPercent::Int(2))));
    world.run_to(1);
    assert_eq!((figures(&world, row), reason(&world, row)), ((0, 2, 0, 0), "InsufficientPods".into()));
    let pods: Vec<u32> = (0..3).map(|i| world.pod(&format!("p{i}"), "n1", &[("app", "web")], &[])).collect();
    world.run_to(2);
    assert_eq!((figures(&world, row), reason(&world, row)), ((3, 2, 3, 1), "SufficientPods".into()));
    world
        .request(Request::Evict { pod: pods[0], grace_period_seconds: None })
        .expect("the budget allows one");
    let second = world.request(Request::Evict { pod: pods[1], grace_period_seconds: None });
    assert_eq!(second.map(|_| ()).map_err(|error| error.reason.code()), Err(429));
    world.run_to(3);
    assert_eq!(figures(&world, row), (2, 2, 2, 0));
    assert!(world.get::<PodDisruptionBudget>(row).status.disrupted_pods.is_empty());
}

#[test]
fn a_lost_owner_fails_the_budget_until_the_next_event() {
    let mut world = World::assuming(&[seatrial_api::meta::Uid::from_bits(9, 9)]);
    world.node("n1", "");
    let owner = OwnerRef {
        kind: "DaemonSet".into(),
        api_version: "apps/v1".into(),
        name: "agent".into(),
        uid: seatrial_api::meta::Uid::from_bits(9, 9),
        controller: true,
        block_owner_deletion: true,
    };
    let pod = world.pod("p", "n1", &[("app", "web")], &[]);
    let mut owned = Pod::clone(world.get::<Pod>(pod));
    owned.meta.name = "q".into();
    owned.meta.uid = seatrial_api::meta::Uid::default();
    owned.meta.owners = Some(Arc::new(vec![owner]));
    world.import(owned);
    let row = world.create(budget("web", "web", Budget::MaxUnavailable(IntOrPercent::Int(1))));
    world.run_to(1);
    let condition = world.get::<PodDisruptionBudget>(row).status.conditions[0].clone();
    assert_eq!(condition.reason.as_str(), "SyncFailed");
    assert_eq!(condition.message, "daemonsets.apps does not implement the scale subresource");
    let events = world.events("CalculateExpectedPodCountFailed").len();
    world.run_to(60);
    assert_eq!(world.events("CalculateExpectedPodCountFailed").len(), events, "no retry");
}

#[test]
fn an_eviction_that_never_happens_is_taken_back_after_two_minutes() {
    let mut world = World::new();
    world.node("n1", "");
    let row = world.create(budget("web", "web", Budget::MinAvailable(IntOrPercent::Int(1))));
    let pods: Vec<u32> = (0..3).map(|i| world.pod(&format!("p{i}"), "n1", &[("app", "web")], &[])).collect();
    world.run_to(1);
    let mut accepted = PodDisruptionBudget::clone(world.get::<PodDisruptionBudget>(row));
    let uid = world.get::<Pod>(pods[0]).meta.uid;
    accepted.status.disrupted_pods.push((uid, world.now));
    accepted.status.disruptions_allowed -= 1;
    let object = PodDisruptionBudget::wrap(Arc::new(accepted));
    let subresource = seatrial_api::request::Subresource::Status;
    world.request(Request::Update { object, subresource }).expect("accepted");
    let patch = seatrial_api::request::Patch::PodCondition {
        kind: PodConditionType::DisruptionTarget,
        status: ConditionStatus::True,
        reason: seatrial_api::pod::PodReason::EvictionByEvictionApi,
        message: None,
    };
    world.patch(Kind::Pod, pods[0], patch);
    world.run_to(100);
    assert_eq!(figures(&world, row), (3, 1, 2, 1));
    world.run_to(130);
    assert_eq!(figures(&world, row), (3, 1, 3, 2));
    assert!(!world.events("NotDeleted").is_empty());
    let condition = world.get::<Pod>(pods[0]).status.conditions.get(PodConditionType::DisruptionTarget);
    assert_eq!(condition.status, ConditionStatus::False);
}

#[test]
fn two_budgets_of_one_pod_are_told_of_and_bare_pods_count_for_nothing() {
    let mut world = World::new();
    world.node("n1", "");
    let share = world.create(budget("share", "web", Budget::MaxUnavailable(IntOrPercent::Int(1))));
    world.create(budget("other", "web", Budget::MinAvailable(IntOrPercent::Int(1))));
    world.pod("p", "n1", &[("app", "web")], &[]);
    world.run_to(1);
    assert_eq!(figures(&world, share), (0, 0, 1, 0));
    let message = &world.events("UnmanagedPods")[0].1;
    assert!(
        message.contains("(selector: &LabelSelector{MatchLabels:map[string]string{app: web,},"),
        "{message}"
    );
    assert_eq!(
        world.events("MultiplePodDisruptionBudgets")[0].1,
        "Pod \"play\"/\"p\" matches multiple PodDisruptionBudgets.  Chose \"share\" arbitrarily."
    );
}
