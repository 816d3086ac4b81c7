//! The metrics of a run, by hand.

use std::collections::BTreeMap;

use seatrial_api::labels::Labels;
use seatrial_api::pod::PodPhase;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};
use seatrial_reports::metrics::{METRICS, of};
use seatrial_sim_core::results::{PodRow, Results};

use crate::made_up::{Size, empty, outcomes, report, zone_loss};

/// Metrics by name, those without a value left out.
fn metrics(results: &Results) -> BTreeMap<&'static str, f64> {
    let values = of(&report(results, &outcomes()));
    METRICS.iter().zip(values).filter_map(|(metric, value)| Some((metric.name, value?))).collect()
}

/// A pod that was created, bound, started and ended at these seconds.
fn pod(namespace: &str, times: [i64; 4], phase: PodPhase) -> PodRow {
    let [created, scheduled, started, finished] = times.map(SimTime::from_secs);
    PodRow {
        namespace: Symbol::new(namespace),
        name: "job".into(),
        labels: Labels::default(),
        owners: None,
        workload: Symbol::empty(),
        node: Symbol::new("n"),
        phase,
        created,
        scheduled: Some(scheduled),
        started: Some(started),
        ready: None,
        finished: Some(finished),
        deleted: false,
        restarts: 0,
        cpu_request: MilliCpu(1_000),
        memory_request: Bytes(1 << 30),
        reason: Symbol::empty(),
        message: "".into(),
    }
}

#[test]
fn jobs_are_measured_from_creation_to_success() {
    let mut results = empty("jobs");
    results.pods = vec![
        pod("a", [0, 2, 3, 43], PodPhase::Succeeded),
        pod("a", [10, 40, 45, 50], PodPhase::Succeeded),
        pod("b", [20, 21, 22, 30], PodPhase::Failed),
    ];
    let mut waiting = pod("b", [30, 0, 0, 0], PodPhase::Pending);
    (waiting.scheduled, waiting.started, waiting.finished) = (None, None, None);
    waiting.node = Symbol::empty();
    results.pods.push(waiting);
    let found = metrics(&results);
    for (name, expected) in [
        ("wait_mean_s", 11.0),
        ("wait_p50_s", 2.0),
        ("wait_p99_s", 30.0),
        ("wait_max_s", 30.0),
        ("completion_mean_s", 41.5),
        ("makespan_s", 50.0),
        // max(1, 43/40), and 40 s for a run of 5 s, which counts as 10 s.
        ("slowdown_mean", (43.0 / 40.0 + 4.0) / 2.0),
        ("pods_succeeded", 2.0),
        ("pods_failed", 1.0),
        ("pods_unbound", 1.0),
    ] {
        assert!((found[name] - expected).abs() < 1e-6, "{name}: {}", found[name]);
    }
    assert!(!found.contains_key("start_p50_s"), "no pod was ever Ready");
    assert!(!found.contains_key("fairness_jain"), "there is nothing to share");
}

#[test]
fn fairness_is_jains_index_of_dominant_shares() {
    let mut results = zone_loss(Size { nodes: 3, deployments: 1, replicas: 1 });
    results.pods =
        vec![pod("a", [0, 0, 0, 300], PodPhase::Succeeded), pod("b", [0, 0, 0, 100], PodPhase::Succeeded)];
    // Shares as 3 : 1, so 4² / (2 × 10).
    assert!((metrics(&results)["fairness_jain"] - 0.8).abs() < 1e-6);
}

#[test]
fn a_cluster_is_measured_by_its_services_and_machines() {
    let results = zone_loss(Size { nodes: 12, deployments: 3, replicas: 10 });
    let found = metrics(&results);
    let outcomes = outcomes();
    assert_eq!(found["expectations_missed"], outcomes.iter().filter(|one| !one.passed).count() as f64);
    assert!(found["availability_min_pct"] <= found["availability_mean_pct"]);
    assert!(found["cpu_allocated_pct"] > 0.0 && found["nodes_used"] > 0.0 && found["cost_usd"] > 0.0);
}
