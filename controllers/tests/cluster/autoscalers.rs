//! HorizontalPodAutoscalers, against the sizes that were recorded of the original.

use std::sync::Arc;

use seatrial_api::autoscaling::{
    HorizontalPodAutoscaler, HpaStatus, Metric, MetricSource, MetricTarget, PolicyUnit, ScalingBehavior,
    ScalingPolicy, ScalingRules, SelectPolicy,
};
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{PodSpec, PodTemplate};
use seatrial_api::units::MilliCpu;
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus, condition};

use seatrial_controllers::{ClientLimits, Config};

use crate::world::{NAMESPACE, World};

fn set(name: &str, replicas: i32, request: Option<i64>) -> ReplicaSet {
    let labels = Labels::of(&[("app", name)]);
    let mut container = Container::new("c", "img:1");
    container.requests.cpu = request.map(MilliCpu);
    let spec = Arc::new(PodSpec::new(vec![container]).sealed());
    ReplicaSet {
        meta: ObjectMeta::named(NAMESPACE, name),
        replicas,
        min_ready_seconds: 0,
        selector: Arc::new(Selector::of_labels(&labels)),
        template: Arc::new(PodTemplate { labels, annotations: Labels::NONE, spec }),
        status: ReplicaSetStatus::default(),
    }
}

fn autoscaler(name: &str, target: &str, max: i32) -> HorizontalPodAutoscaler {
    let source = MetricSource::Resource { name: "cpu".into(), container: None };
    HorizontalPodAutoscaler {
        meta: ObjectMeta::named(NAMESPACE, name),
        target_kind: "ReplicaSet".into(),
        target_api_version: "apps/v1".into(),
        target_name: target.into(),
        min_replicas: 1,
        max_replicas: max,
        metrics: vec![Metric { source, target: MetricTarget::Utilization(50) }],
        behavior: None,
        status: HpaStatus::default(),
    }
}

/// The sizes of a set with the seconds at which they were set.
fn sizes(world: &World, row: u32) -> Vec<(i64, i32)> {
    let mut found: Vec<(i64, i32)> = Vec::new();
    for (at, event) in &world.history {
        if let Object::ReplicaSet(set) = &event.object
            && set.meta.id == row
            && found.last().is_none_or(|last| last.1 != set.replicas)
        {
            found.push((at.nanos() / 1_000_000_000, set.replicas));
        }
    }
    found
}

fn reason(world: &World, row: u32, kind: &str) -> String {
    let status = &world.get::<HorizontalPodAutoscaler>(row).status;
    condition(&status.conditions, kind).map(|condition| condition.reason.to_string()).unwrap_or_default()
}

fn world() -> World {
    let mut world = World::new();
    world.node("n1", "");
    world.run_on = Some("n1");
    world
}

/// Recorded as hpa-up-a.
#[test]
fn a_set_grows_with_its_load_and_a_cut_jump_is_completed() {
    let mut world = world();
    let target = world.create(set("web", 1, Some(200)));
    let row = world.create(autoscaler("web", "web", 10));
    world.run_to(5);
    world.set_load("web", 400);
    world.run_to(20);
    assert_eq!(reason(&world, row, "ScalingActive"), "FailedGetResourceMetric", "not ready for a window yet");
    world.run_to(80);
    world.set_load("web", 1600);
    world.run_to(140);
    assert_eq!(sizes(&world, target), [(0, 1), (30, 4), (90, 8), (105, 10)]);
    let messages: Vec<String> = world.events("SuccessfulRescale").into_iter().map(|event| event.1).collect();
    assert_eq!(
        messages,
        [
            "New size: 4; reason: cpu resource utilization (percentage of request) above target",
            "New size: 8; reason: cpu resource utilization (percentage of request) above target",
            "New size: 10; reason: ",
        ]
    );
    assert_eq!(reason(&world, row, "ScalingLimited"), "TooManyReplicas");
    assert_eq!(reason(&world, row, "AbleToScale"), "ReadyForNewScale");
    assert_eq!(
        world.events("FailedComputeMetricsReplicas")[0].1,
        "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get \
         cpu utilization: did not receive metrics for targeted pods (pods might be unready)"
    );
}

/// Recorded as hpa-down-b.
#[test]
fn a_set_shrinks_only_after_the_default_window() {
    let mut world = world();
    let target = world.create(set("web", 5, Some(200)));
    let row = world.create(autoscaler("web", "web", 10));
    world.set_load("web", 500);
    world.run_to(60);
    world.set_load("web", 90);
    world.run_to(300);
    assert_eq!(reason(&world, row, "AbleToScale"), "ScaleDownStabilized");
    world.run_to(430);
    assert_eq!(sizes(&world, target), [(0, 5), (360, 1)]);
    assert_eq!(world.events("SuccessfulRescale")[0].1, "New size: 1; reason: All metrics below target");
}

/// Recorded as hpa-policy-a.
#[test]
fn policies_set_the_pace_of_both_directions() {
    let rules = |window, unit, value| ScalingRules {
        stabilization_window_seconds: window,
        select_policy: SelectPolicy::Max,
        policies: vec![ScalingPolicy { unit, value, period_seconds: 30 }],
        tolerance: None,
    };
    let mut world = world();
    let target = world.create(set("web", 2, Some(200)));
    let mut scaler = autoscaler("web", "web", 8);
    scaler.behavior = Some(ScalingBehavior {
        scale_up: rules(None, PolicyUnit::Pods, 1),
        scale_down: rules(Some(0), PolicyUnit::Percent, 50),
    });
    world.create(scaler);
    world.set_load("web", 1_000_000);
    world.run_to(130);
    world.set_load("web", 10);
    world.run_to(200);
    assert_eq!(sizes(&world, target), [(0, 2), (30, 3), (60, 4), (90, 5), (120, 6), (135, 2), (165, 1)]);
}

/// Recorded as hpa-missing-a.
#[test]
fn what_is_missing_is_told_in_conditions_and_events() {
    let mut world = world();
    world.create(set("web", 2, Some(200)));
    world.create(set("noreq", 1, None));
    let (web, noreq) =
        (world.create(autoscaler("web", "web", 4)), world.create(autoscaler("noreq", "noreq", 4)));
    let mut ghost = autoscaler("ghost", "ghost", 4);
    ghost.target_kind = "Deployment".into();
    let ghost = world.create(ghost);
    world.set_load("noreq", 100);
    world.run_to(50);
    let message = |row: u32, kind: &str| {
        let status = &world.get::<HorizontalPodAutoscaler>(row).status;
        condition(&status.conditions, kind).map(|condition| condition.message.to_string()).unwrap_or_default()
    };
    assert_eq!(
        message(web, "ScalingActive"),
        "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for \
         resource cpu: no metrics returned from resource metrics API"
    );
    let missing = message(noreq, "ScalingActive");
    assert!(missing.contains("missing request for cpu in container c of Pod noreq-"), "{missing}");
    assert_eq!(
        message(ghost, "AbleToScale"),
        "the HPA controller was unable to get the target's current scale: deployments.apps \"ghost\" not found"
    );
    assert_eq!(world.events("FailedGetScale").len(), 3);
}

#[test]
fn bounds_act_at_once_zero_switches_off_and_two_autoscalers_are_too_many() {
    let mut world = world();
    let (above, off) = (world.create(set("above", 9, Some(200))), world.create(set("off", 0, Some(200))));
    let row = world.create(autoscaler("above", "above", 4));
    let switched_off = world.create(autoscaler("off", "off", 4));
    world.create(set("twice", 2, Some(200)));
    world.create(autoscaler("one", "twice", 4));
    let second = world.create(autoscaler("two", "twice", 4));
    world.run_to(16);
    assert_eq!(sizes(&world, above), [(0, 9), (15, 4)]);
    assert!(world.get::<HorizontalPodAutoscaler>(row).status.current_metrics.is_empty());
    assert_eq!(
        world.events("SuccessfulRescale")[0].1,
        "New size: 4; reason: Current number of replicas above Spec.MaxReplicas"
    );
    assert_eq!(
        (sizes(&world, off), reason(&world, switched_off, "ScalingActive")),
        (vec![(0, 0)], "ScalingDisabled".into())
    );
    assert_eq!(reason(&world, second, "ScalingActive"), "AmbiguousSelector");
    let message = &world.events("AmbiguousSelector")[0].1;
    assert_eq!(
        message,
        "pods by selector app=twice are controlled by multiple HPAs: [{one play} {two play}]"
    );
}

#[test]
fn a_quiet_autoscaler_writes_nothing() {
    let mut world = world();
    world.create(set("web", 2, Some(200)));
    let row = world.create(autoscaler("web", "web", 4));
    world.set_load("web", 200);
    world.run_to(120);
    let before = world.history.len();
    world.run_to(3600);
    assert_eq!(world.history.len(), before);
    assert_eq!(world.get::<HorizontalPodAutoscaler>(row).status.current_metrics, [Some(50)]);
    assert!(world.exists(Kind::HorizontalPodAutoscaler, row));
}

/// An autoscaler by one metric.
fn by(source: MetricSource, target: MetricTarget, max: i32) -> HorizontalPodAutoscaler {
    HorizontalPodAutoscaler { metrics: vec![Metric { source, target }], ..autoscaler("web", "web", max) }
}

fn external() -> MetricSource {
    let selector = Some(Selector::of_labels(&Labels::of(&[("queue", "a")])));
    MetricSource::External { name: "length".into(), selector }
}

fn object() -> MetricSource {
    MetricSource::Object { name: "rps".into(), kind: "Ingress".into(), object: "main".into(), selector: None }
}

fn pods_metric() -> MetricSource {
    MetricSource::Pods { name: "rps".into(), selector: None }
}

#[test]
fn metrics_of_adapters_scale_and_are_named_in_messages() {
    // Source, target, value, and the size of a set of two with the reason.
    for (source, target, value, size, reason) in [
        (pods_metric(), MetricTarget::AverageValue(1_000), 2_000, 4, "pods metric rps above target"),
        (object(), MetricTarget::Value(1_000), 2_000, 4, "Ingress metric rps above target"),
        (object(), MetricTarget::AverageValue(1_000), 3_000, 3, "external metric rps(nil) above target"),
        (
            external(),
            MetricTarget::AverageValue(1_000),
            3_000,
            3,
            "external metric length(&LabelSelector{MatchLabels:map[string]string{queue: a,},\
             MatchExpressions:[]LabelSelectorRequirement{},}) above target",
        ),
        (
            external(),
            MetricTarget::Value(1_000),
            1_500,
            3,
            "external metric length(&LabelSelector{MatchLabels:map[string]string{queue: a,},\
             MatchExpressions:[]LabelSelectorRequirement{},}) above target",
        ),
    ] {
        let mut world = world();
        world.adapter = Some(vec![("rps", vec![value]), ("length", vec![value - 500, 500])]);
        let target_row = world.create(set("web", 2, Some(200)));
        let row = world.create(by(source, target, 10));
        world.run_to(20);
        assert_eq!(sizes(&world, target_row), [(0, 2), (15, size)], "{reason}");
        assert_eq!(world.events("SuccessfulRescale")[0].1, format!("New size: {size}; reason: {reason}"));
        assert_eq!(world.get::<HorizontalPodAutoscaler>(row).status.current_metrics.len(), 1);
    }
}

#[test]
fn what_no_adapter_serves_fails_with_the_reason_of_its_type() {
    let custom = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
    let external_error = "unable to get external metric play/length/&LabelSelector{MatchLabels:map[string]string{queue: a,},\
         MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: the server \
         could not find the requested resource (get length.external.metrics.k8s.io)";
    for (source, reason, error) in [
        (pods_metric(), "FailedGetPodsMetric", format!("unable to get metric rps: {custom}")),
        (
            object(),
            "FailedGetObjectMetric",
            format!("unable to get metric rps: {custom} on Ingress play/main"),
        ),
        (external(), "FailedGetExternalMetric", external_error.to_string()),
    ] {
        let mut world = world();
        world.create(set("web", 2, Some(200)));
        let row = world.create(by(source, MetricTarget::AverageValue(1_000), 10));
        world.run_to(20);
        let status = &world.get::<HorizontalPodAutoscaler>(row).status;
        let active = condition(&status.conditions, "ScalingActive").expect("it was set");
        let message = format!("the HPA was unable to compute the replica count: {error}");
        assert_eq!((active.reason.as_str(), active.message.as_str()), (reason, &*message));
        assert_eq!(world.events(reason)[0].1, error);
    }
}

#[test]
fn an_unknown_metric_fails_and_a_smaller_proposal_of_another_does_not_count() {
    let mut world = world();
    world.adapter = Some(vec![("length", vec![1_000])]);
    let target = world.create(set("web", 4, Some(200)));
    let mut scaler = by(external(), MetricTarget::AverageValue(1_000), 10);
    scaler.metrics.push(Metric { source: object(), target: MetricTarget::Value(1_000) });
    let row = world.create(scaler);
    world.run_to(400);
    assert_eq!(sizes(&world, target), [(0, 4)], "only growing is safe");
    assert_eq!(reason(&world, row, "ScalingActive"), "FailedGetObjectMetric");
    assert_eq!(
        world.events("FailedGetObjectMetric")[0].1,
        "unable to get metric rps: unable to fetch metrics from custom metrics API: the server could not find the \
         metric rps for ingress main on Ingress play/main"
    );
    world.adapter = Some(vec![("length", vec![7_000])]);
    world.run_to(420);
    assert_eq!(sizes(&world, target), [(0, 4), (405, 7)]);
}

#[test]
fn behind_its_gate_an_autoscaler_goes_to_zero_and_comes_back() {
    for gate in [true, false] {
        let config =
            Config { client_limits: ClientLimits::Unlimited, hpa_scale_to_zero: gate, ..Config::default() };
        let mut world = World::with(config);
        world.start();
        world.node("n1", "");
        world.run_on = Some("n1");
        world.adapter = Some(vec![("length", vec![2_000])]);
        let target = world.create(set("web", 2, Some(200)));
        let mut scaler = by(external(), MetricTarget::AverageValue(1_000), 10);
        scaler.min_replicas = 0;
        let row = world.create(scaler);
        world.run_to(60);
        world.adapter = Some(vec![("length", vec![0])]);
        world.run_to(500);
        assert_eq!(sizes(&world, target).last().map(|size| size.1), Some(0));
        world.adapter = Some(vec![("length", vec![3_000])]);
        world.run_to(560);
        let (size, zero) = if gate { (3, "NotScaledToZero") } else { (0, "") };
        assert_eq!(sizes(&world, target).last().map(|size| size.1), Some(size), "gate {gate}");
        assert_eq!(reason(&world, row, "ScaledToZero"), zero);
        if !gate {
            assert_eq!(reason(&world, row, "ScalingActive"), "ScalingDisabled");
        }
    }
}
