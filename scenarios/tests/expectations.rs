//! Each kind of expectation, judged over results made by hand: what decides it, and how it is said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::pod::PodPhase;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_scenarios::{Expectation, Request, evaluate, load};
use seatrial_sim_core::results::{
    EventRow, EventType, Evictions, FaultRow, Metric, PodRow, Results, Series, ServiceRow,
};

const SCENARIO: &str = "
apiVersion: seatrial/v1
kind: Scenario
metadata: {name: hand-made}
for: 1h
nodes: [{name: worker, count: 3, machineType: m6i.xlarge, zones: [a, b, c]}]
manifests:
  - |
    apiVersion: v1
    kind: Namespace
    metadata: {name: shop}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: cart, namespace: shop}
    spec: &spec
      selector: {matchLabels: {app: cart}}
      template: &template
        metadata: {labels: {app: cart}}
        spec: &pod {containers: [{name: c, image: 'c:1'}]}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: shop}
    spec:
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: c, image: 'c:1'}]}
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: cart, namespace: shop}
    spec: {selector: {app: cart}, ports: [{port: 80}]}
    ---
    apiVersion: batch/v1
    kind: Job
    metadata: {name: import, namespace: shop}
    spec:
      template:
        metadata: {labels: {job: import}}
        spec: {restartPolicy: Never, containers: [{name: c, image: 'c:1'}]}
    ---
    apiVersion: batch/v1
    kind: Job
    metadata: {name: export, namespace: shop}
    spec:
      template:
        metadata: {labels: {job: export}}
        spec: {restartPolicy: Never, containers: [{name: c, image: 'c:1'}]}
    ---
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: web, namespace: shop}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
      maxReplicas: 9
timeline:
  - {name: grow, at: 20m, scale: {deployment: shop/web, replicas: 3}}
faults:
  - {name: loss, at: 10m, type: crash, target: {zone: a}, duration: 10m}
  - {name: wear, type: crash, target: {nodes: worker}, mtbf: 30d, mttr: 30m}
expect:
";

fn expectation(text: &str) -> Expectation {
    let file = format!("{SCENARIO}  - {{name: it, {text}}}\n");
    let files = BTreeMap::from([(PathBuf::from("s.yaml"), file.into_bytes())]);
    let request = Request { scenario: Some("s.yaml".into()), ..Request::default() };
    match load(&files, &request) {
        Ok(loaded) => loaded.expectations.into_iter().next().expect("one expectation"),
        Err(findings) => panic!("{text}\n{findings}"),
    }
}

fn minutes(minutes: f64) -> SimTime {
    SimTime::from_nanos((minutes * 60e9) as i64)
}

fn pod(name: &str, app: &str, created: f64, started: Option<f64>, finished: Option<f64>) -> PodRow {
    PodRow {
        namespace: Symbol::new("shop"),
        name: name.into(),
        labels: Labels::of(&[("app", app)]),
        owners: None,
        workload: Symbol::empty(),
        node: Symbol::empty(),
        phase: if started.is_some() { PodPhase::Running } else { PodPhase::Pending },
        created: minutes(created),
        scheduled: None,
        started: started.map(minutes),
        ready: started.map(minutes),
        finished: finished.map(minutes),
        deleted: false,
        restarts: 0,
        cpu_request: MilliCpu(100),
        memory_request: Bytes(100),
        reason: Symbol::empty(),
        message: Default::default(),
    }
}

fn series(metric: Metric, object: &str, points: &[(f64, f64)]) -> Series {
    let points = points.iter().map(|&(at, value)| (minutes(at), value)).collect();
    Series { metric, object: Symbol::new(object), points }
}

fn event(at: f64, kind: &str, name: &str, reason: &str) -> EventRow {
    EventRow {
        time: minutes(at),
        kind: Symbol::new(kind),
        namespace: Symbol::new("shop"),
        name: name.into(),
        event: EventType::Normal,
        reason: Symbol::new(reason),
        message: Default::default(),
        cause: None,
    }
}

/// An hour in which zone a is lost from minute 10 to minute 20: the cart is unavailable from 11 to
/// 16, and a pod of it waits from 15 to 16.
fn results() -> Results {
    let failed = PodRow { phase: PodPhase::Failed, ..pod("job-1", "job", 2.0, Some(3.0), Some(5.0)) };
    let done = PodRow { phase: PodPhase::Succeeded, ..pod("job-2", "job", 5.0, Some(6.0), Some(8.0)) };
    let restless = PodRow { restarts: 4, ..pod("web-1", "web", 0.0, Some(0.5), None) };
    let steady = [(0.0, 0.0), (0.5, 1.0)];
    Results {
        name: "hand-made".into(),
        seed: 1,
        trace_hash: 0,
        events: 0,
        simulated: Span::from_hours(1),
        start_unix_seconds: 0,
        event_rows: vec![
            event(8.0, "Job", "import", "Completed"),
            event(15.5, "Pod", "cart-3", "FailedScheduling"),
            event(16.5, "Pod", "cart-3", "FailedScheduling"),
            event(40.0, "Job", "export", "Completed"),
        ],
        pods: vec![
            pod("cart-1", "cart", 0.0, Some(0.5), Some(15.0)),
            pod("cart-2", "cart", 0.0, Some(0.25), None),
            restless,
            failed,
            done,
            pod("cart-3", "cart", 15.0, Some(16.0), None),
            pod("cart-4", "cart", 59.0, None, None),
        ],
        nodes: Vec::new(),
        services: vec![ServiceRow {
            namespace: Symbol::new("shop"),
            name: "cart".into(),
            availability_pct: Some(98.5),
            down: Span::from_secs(30),
            wanted: Span::from_hours(1),
        }],
        series: vec![
            series(
                Metric::DeploymentAvailable,
                "shop/cart",
                &[(0.0, 0.0), (0.5, 1.0), (11.0, 0.0), (16.0, 1.0)],
            ),
            series(Metric::DeploymentAvailable, "shop/web", &steady),
            series(Metric::NodesReady, "", &[(0.0, 3.0), (11.0, 2.0), (20.5, 3.0)]),
            series(Metric::CpuAllocatableMillicores, "", &[(0.0, 1000.0), (11.0, 500.0), (20.0, 1000.0)]),
            series(Metric::CpuAllocatedMillicores, "", &[(0.0, 200.0), (30.0, 400.0)]),
            series(Metric::CpuUsedMillicores, "", &[(0.0, 100.0)]),
            series(
                Metric::ServiceAvailabilityPct,
                "shop/cart",
                &[(0.0, 0.0), (0.5, 100.0), (10.0, 50.0), (11.0, 100.0)],
            ),
            series(Metric::HpaReplicas, "shop/web", &[(0.0, 1.0), (20.5, 3.0), (22.0, 6.0), (40.0, 2.0)]),
        ],
        faults: vec![FaultRow {
            name: Symbol::new("loss"),
            target: "zone a".into(),
            begin: minutes(10.0),
            end: Some(minutes(20.0)),
        }],
        evictions: Evictions { taint: 3, api: 0, pressure: 0, preemption: 2 },
        cost_usd: 1.25,
        not_played: Vec::new(),
    }
}

/// Judges one expectation; the outcome as one line.
fn judge(text: &str, results: &Results) -> String {
    let outcome = evaluate(&[expectation(text)], results).remove(0);
    let word = if outcome.passed { "pass" } else { "FAIL" };
    let at = outcome.at.map_or("-".to_owned(), |at| at.to_string());
    format!("{word} | {at} | {} | {} | {}", outcome.object, outcome.found, outcome.expected)
}

#[track_caller]
fn check(rows: &[(&str, &str)]) {
    let results = results();
    let found: Vec<_> = rows.iter().map(|(text, _)| (*text, judge(text, &results))).collect();
    let same = rows.iter().zip(&found).all(|(row, found)| row.1 == found.1);
    let table: Vec<String> =
        found.iter().map(|(text, line)| format!("        ({text:?}, {line:?}),")).collect();
    assert!(same, "found:\n{}", table.join("\n"));
}

#[test]
fn pods_are_counted_in_their_phase_at_every_instant() {
    check(&[
        ("pods: Pending, atMost: 3", "pass | 0ms | pod shop/web-1 | 3 pods Pending | at most 3 pods Pending"),
        (
            "pods: Pending, longerThan: 30s, atMost: 0",
            "FAIL | 2m30.000s | pod shop/job-1 | 1 pod Pending longer than 30s, the longest for 1m | at most 0 pods Pending longer than 30s",
        ),
        (
            "pods: Pending, longerThan: 30s, atMost: 0, after: 20m, before: 50m",
            "pass | - |  | 0 pods Pending longer than 30s | at most 0 pods Pending longer than 30s from 20m until 50m",
        ),
        (
            "pods: Pending, longerThan: 1m, atMost: 0",
            "pass | - |  | 0 pods Pending longer than 1m | at most 0 pods Pending longer than 1m",
        ),
        (
            "pods: Running, atLeast: 2, after: 1m, selector: {matchLabels: {app: cart}}",
            "FAIL | 15m00.000s |  | 1 pod Running | at least 2 pods Running with app=cart from 1m on",
        ),
        (
            "pods: Running, atLeast: 2, after: 16m, selector: {matchLabels: {app: cart}}",
            "pass | 16m00.000s | pod shop/cart-3 | 2 pods Running | at least 2 pods Running with app=cart from 16m on",
        ),
        (
            "pods: Running, atMost: 0, namespace: other",
            "pass | - |  | 0 pods Running | at most 0 pods Running of namespace other",
        ),
        (
            "pods: Failed, atMost: 0",
            "FAIL | 5m00.000s | pod shop/job-1 | 1 pod Failed | at most 0 pods Failed",
        ),
        (
            "pods: Succeeded, atLeast: 1, after: loss",
            "pass | 10m00.000s | pod shop/job-2 | 1 pod Succeeded | at least 1 pod Succeeded from loss (10m) on",
        ),
        (
            "pods: Succeeded, atLeast: 1, atMost: 1, after: 7m",
            "FAIL | 7m00.000s |  | 0 pods Succeeded | exactly 1 pod Succeeded from 7m on",
        ),
    ]);
}

#[test]
fn restarts_are_those_of_the_pod_with_the_most() {
    check(&[
        ("restarts: {max: 3}", "FAIL | - | pod shop/web-1 | 4 restarts | at most 3 restarts of a pod"),
        (
            "restarts: {max: 0}, selector: {matchLabels: {app: cart}}",
            "pass | - |  | 0 restarts | at most 0 restarts of a pod with app=cart",
        ),
        ("restarts: {min: 3}", "pass | - | pod shop/web-1 | 4 restarts | at least 3 restarts of a pod"),
    ]);
}

#[test]
fn evictions_are_counted_by_whom_they_were_made() {
    check(&[
        (
            "evictions: {max: 4}",
            "FAIL | - |  | 5 evictions: 3 by taint, 2 by preemption | at most 4 evictions",
        ),
        (
            "evictions: {min: 2}, by: [preemption]",
            "pass | - |  | 2 evictions: 2 by preemption | at least 2 evictions by preemption",
        ),
        (
            "evictions: {max: 0}, by: [api, pressure]",
            "pass | - |  | 0 evictions | at most 0 evictions by the Eviction API or under pressure",
        ),
    ]);
}

#[test]
fn start_latencies_count_pods_that_never_started_with_their_age() {
    check(&[
        (
            "startLatency: {p50: 1m, max: 2m}",
            "pass | - | pod shop/cart-4 | p50 1m, longest 1m of 7 pods | start latency: p50 at most 1m, longest at most 2m",
        ),
        (
            "startLatency: {p90: 30s}, after: 10m, selector: {matchLabels: {app: cart}}",
            "FAIL | - | pod shop/cart-4 | p90 1m of 2 pods | start latency with app=cart from 10m on: p90 at most 30s",
        ),
        (
            "startLatency: {p99: 1s}, namespace: other",
            "FAIL | - |  | no pod was created | start latency of namespace other: p99 at most 1s",
        ),
    ]);
}

#[test]
fn deployments_may_take_so_long_to_be_available_again() {
    check(&[
        (
            "deployments: Available, within: 1m, before: loss",
            "pass | 30.000s | deployment shop/web | all Available after 30s | Deployments Available within 1m",
        ),
        (
            "deployments: Available, within: 8m, after: loss",
            "pass | 16m00.000s | deployment shop/cart | all Available after 6m | Deployments Available within 8m of loss (10m)",
        ),
        (
            "deployments: Available, within: 5m, after: loss",
            "FAIL | 15m00.000s | deployment shop/cart | not Available from 11m to 16m | Deployments Available within 5m of loss (10m)",
        ),
        (
            "deployments: Available, within: 5m, after: loss, only: [shop/web]",
            "pass | - |  | all Available throughout | Deployments Available within 5m of loss (10m)",
        ),
        (
            "deployments: Available, after: loss.end",
            "pass | - |  | all Available throughout | Deployments Available from the end of loss (20m) on",
        ),
        (
            "deployments: Available, within: 8m, after: wear",
            "pass | - |  | wear did not happen | something after wear",
        ),
        (
            "deployments: Available, after: 1m, namespace: other",
            "FAIL | - |  | there was no Deployment | Deployments Available from 1m on",
        ),
    ]);
}

#[test]
fn jobs_are_complete_in_time() {
    check(&[
        ("jobs: Complete", "pass | 40m00.000s | job shop/export | all complete after 40m | 2 Jobs Complete"),
        (
            "jobs: Complete, within: 10m",
            "FAIL | 40m00.000s | job shop/export | complete after 40m | 2 Jobs Complete within 10m",
        ),
        (
            "jobs: Complete, within: 10m, only: [shop/import]",
            "pass | 8m00.000s | job shop/import | all complete after 8m | 1 Job Complete within 10m",
        ),
        (
            "jobs: Complete, within: 15m, after: grow, only: [shop/export]",
            "FAIL | 40m00.000s | job shop/export | complete after 20m | 1 Job Complete within 15m of grow",
        ),
    ]);
}

#[test]
fn services_are_available_over_the_run_or_a_part_of_it() {
    check(&[
        (
            "service: shop/cart, availabilityPct: {min: 98}, downtime: {max: 1m}",
            "pass | 0ms | service shop/cart | 98.500 % available, 30s without a backend | availability at least 98 %, at most 1m without a backend",
        ),
        (
            "service: shop/cart, availabilityPct: {min: 99}",
            "FAIL | 0ms | service shop/cart | 98.500 % available, 30s without a backend | availability at least 99 %",
        ),
        (
            "service: shop/cart, downtime: {max: 10s}",
            "FAIL | 0ms | service shop/cart | 98.500 % available, 30s without a backend | at most 10s without a backend",
        ),
        (
            "service: shop/cart, availabilityPct: {min: 99}, downtime: {max: 0s}, after: 1m",
            "pass | 10m00.000s | service shop/cart | 99.153 % available, 0s without a backend | availability at least 99 %, at most 0s without a backend from 1m on",
        ),
        (
            "service: shop/cart, availabilityPct: {min: 99.5}, after: 5m, before: 15m",
            "FAIL | 10m00.000s | service shop/cart | 95.000 % available, 0s without a backend | availability at least 99.5 % from 5m until 15m",
        ),
    ]);
}

#[test]
fn nodes_are_ready() {
    check(&[
        ("nodes: Ready, atLeast: 2", "pass | 11m00.000s |  | 2 nodes Ready | at least 2 nodes Ready"),
        ("nodes: Ready, atLeast: 3", "FAIL | 11m00.000s |  | 2 nodes Ready | at least 3 nodes Ready"),
        (
            "nodes: Ready, atMost: 2, after: loss, within: 1m, before: loss.end",
            "pass | 11m00.000s |  | 2 nodes Ready | at most 2 nodes Ready within 1m of loss (10m)",
        ),
        (
            "nodes: Ready, atLeast: 3, after: loss.end, within: 1m",
            "pass | 21m00.000s |  | 3 nodes Ready | at least 3 nodes Ready within 1m of the end of loss (20m)",
        ),
    ]);
}

#[test]
fn shares_of_resources_are_averaged_over_time_and_peak_somewhere() {
    check(&[
        (
            "allocation: cpu, meanPct: {min: 30, max: 40}, peakPct: {max: 50}",
            "pass | 11m00.000s |  | mean 33.0 %, peak 40.0 % at 11m | CPU allocated: mean at least 30 and at most 40 %, peak at most 50 %",
        ),
        (
            "allocation: cpu, peakPct: {max: 30}, before: 20m",
            "FAIL | 11m00.000s |  | mean 29.0 %, peak 40.0 % at 11m | CPU allocated: peak at most 30 % until 20m",
        ),
        (
            "utilization: cpu, meanPct: {max: 15}",
            "pass | - |  | mean 11.5 %, peak 20.0 % at 11m | CPU used: mean at most 15 %",
        ),
        (
            "utilization: memory, meanPct: {max: 15}",
            "FAIL | - |  | there was no node | memory used: mean at most 15 %",
        ),
    ]);
}

#[test]
fn costs_have_bounds() {
    check(&[
        ("costUsd: {max: 1.25}", "pass | - |  | 1.25 dollars | at most 1.25 dollars"),
        ("costUsd: {min: 1, max: 1.2}", "FAIL | - |  | 1.25 dollars | at least 1 and at most 1.2 dollars"),
    ]);
}

#[test]
fn autoscalers_reach_what_is_expected_of_them() {
    check(&[
        (
            "hpa: shop/web, reaches: 6, within: 5m, after: grow",
            "pass | 22m00.000s | hpa shop/web | 6 replicas after 2m | at least 6 replicas at some time within 5m of grow (20m)",
        ),
        (
            "hpa: shop/web, reaches: 6, within: 1m, after: grow",
            "FAIL | 20m30.000s | hpa shop/web | never above 3 replicas | at least 6 replicas at some time within 1m of grow (20m)",
        ),
        (
            "hpa: shop/web, fallsTo: 2, after: 30m",
            "pass | 40m00.000s | hpa shop/web | 2 replicas after 10m | at most 2 replicas at some time from 30m on",
        ),
        (
            "hpa: shop/web, fallsTo: 2, after: 25m, before: 35m",
            "FAIL | 25m00.000s | hpa shop/web | never below 6 replicas | at most 2 replicas at some time from 25m until 35m",
        ),
        (
            "hpa: shop/web, replicas: {max: 5}",
            "FAIL | 22m00.000s | hpa shop/web | 6 | hpa_replicas at most 5",
        ),
        (
            "hpa: shop/web, replicas: {min: 1, max: 6}",
            "pass | 22m00.000s | hpa shop/web | 6 | hpa_replicas at least 1 and at most 6",
        ),
    ]);
}

#[test]
fn events_are_counted_by_reason_and_object() {
    check(&[
        (
            "events: FailedScheduling, atMost: 1",
            "FAIL | 16m30.000s | pod shop/cart-3 | 2 events FailedScheduling | at most 1 event FailedScheduling",
        ),
        (
            "events: FailedScheduling, atMost: 1, after: 16m",
            "pass | 16m30.000s | pod shop/cart-3 | 1 event FailedScheduling | at most 1 event FailedScheduling from 16m on",
        ),
        (
            "events: FailedScheduling, atLeast: 2, kind: Pod, object: shop/cart-3",
            "pass | 15m30.000s | pod shop/cart-3 | 2 events FailedScheduling | at least 2 events FailedScheduling about shop/cart-3",
        ),
        (
            "events: FailedScheduling, atLeast: 1, kind: Job",
            "FAIL | - |  | 0 events FailedScheduling | at least 1 event FailedScheduling",
        ),
    ]);
}

#[test]
fn any_metric_can_be_bounded() {
    check(&[
        ("metric: nodes_ready, min: 2", "pass | 11m00.000s |  | 2 | nodes_ready at least 2"),
        (
            "metric: nodes_ready, min: 3, after: 30m",
            "pass | 30m00.000s |  | 3 | nodes_ready at least 3 from 30m on",
        ),
        (
            "metric: deployment_available, min: 1, after: 1m",
            "FAIL | 11m00.000s | deployment shop/cart | 0 | deployment_available at least 1 from 1m on",
        ),
        (
            "metric: deployment_available, object: shop/web, min: 1, after: 1m",
            "pass | 1m00.000s | deployment shop/web | 1 | deployment_available at least 1 from 1m on",
        ),
        (
            "metric: deployment_available, object: shop/db, min: 1",
            "FAIL | - | deployment shop/db | there is no such series | deployment_available at least 1",
        ),
    ]);
}

#[test]
fn evaluation_keeps_the_order_and_names_of_expectations() {
    let both = [expectation("costUsd: {max: 2}"), expectation("nodes: Ready, atLeast: 2")];
    let outcomes = evaluate(&both, &results());
    assert_eq!(outcomes.iter().map(|outcome| outcome.name.as_str()).collect::<Vec<_>>(), ["it", "it"]);
    assert!(outcomes[0].found.contains("dollars") && outcomes[1].found.contains("nodes"));
    let _shared: Arc<[Expectation]> = both.into();
}
