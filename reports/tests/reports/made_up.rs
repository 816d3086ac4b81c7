//! Results made up for tests: Deployments on nodes in three zones, one of which is lost for ten
//! minutes of an hour.

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::meta::{OwnerRef, Uid};
use seatrial_api::pod::PodPhase;
use seatrial_api::resources::Resources;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_reports::Report;
use seatrial_sim_core::results::{
    EventRow, EventType, Evictions, ExpectationOutcome, FaultRow, Metric, NodeRow, PodRow, Results, Series,
    ServiceRow,
};

/// How large a made-up cluster is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) deployments: usize,
    pub(crate) replicas: usize,
}

const GIB: i64 = 1 << 30;
const ZONES: [&str; 3] = ["a", "b", "c"];
const LOST: i64 = 1_200;
const BACK: i64 = 1_800;
const END: i64 = 3_600;
const UNSCHEDULABLE: &str = "0/6 nodes are available: 2 node(s) had untolerated taint \
    {node.kubernetes.io/unreachable: }, 4 Insufficient cpu. preemption: 0/6 nodes are available: 2 Preemption \
    is not helpful for scheduling, 4 No preemption victims found for incoming pod.";

pub(crate) fn at(millis: i64) -> SimTime {
    SimTime::from_nanos(millis * 1_000_000)
}

/// Numbers without visible order, the same in every run.
fn scattered(index: usize, below: usize) -> usize {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33) as usize % below.max(1)
}

/// A run in which nothing happened.
pub(crate) fn empty(name: &str) -> Results {
    Results {
        name: name.to_owned(),
        seed: 42,
        trace_hash: 0x0123_4567_89ab_cdef,
        events: 0,
        simulated: Span::from_secs(END),
        start_unix_seconds: 1_893_456_000,
        event_rows: Vec::new(),
        pods: Vec::new(),
        nodes: Vec::new(),
        services: Vec::new(),
        series: Vec::new(),
        faults: Vec::new(),
        evictions: Evictions::default(),
        cost_usd: 0.0,
        not_played: Vec::new(),
    }
}

/// An hour with a zone lost from minute 20 to minute 30.
pub(crate) fn zone_loss(size: Size) -> Results {
    let mut results = empty("zone-loss");
    let (begin, end) = (SimTime::from_secs(LOST), SimTime::from_secs(BACK));
    results.faults = vec![FaultRow { name: "loss".into(), target: "zone a".into(), begin, end: Some(end) }];
    let name = |index: usize| Symbol::new(&format!("worker-{}-{}", ZONES[index % 3], index / 3));
    let nodes: Vec<Symbol> = (0..size.nodes).map(name).collect();
    event(&mut results, begin, "Fault", "", "loss", EventType::FaultBegin, "Crash", "zone a", None);
    event(&mut results, end, "Fault", "", "loss", EventType::FaultEnd, "Crash", "zone a", None);
    for deployment in 0..size.deployments {
        deploy(&mut results, &nodes, deployment, size.replicas);
    }
    results.event_rows.sort_by_key(|row| row.time);
    link_causes(&mut results.event_rows);
    add_nodes(&mut results, &nodes);
    add_courses(&mut results);
    results.events = 13 * results.pods.len() as u64;
    results.evictions = Evictions { taint: results.pods.len() as u64 / 5, api: 2, ..Evictions::default() };
    results.cost_usd = 0.192 * size.nodes as f64;
    results.not_played = vec![("Ingress".into(), 2), ("NetworkPolicy".into(), 1)];
    results
}

/// A row follows from the row before it if that is about the same object, else from the fault.
fn link_causes(rows: &mut [EventRow]) {
    let mut fault = None;
    for index in 0..rows.len() {
        let same = index > 0 && rows[index].name == rows[index - 1].name;
        rows[index].cause = if same { Some(index as u32 - 1) } else { fault };
        if rows[index].event == EventType::FaultBegin {
            fault = Some(index as u32);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a row of a table")]
pub(crate) fn event(
    results: &mut Results,
    time: SimTime,
    kind: &str,
    namespace: &str,
    name: &str,
    event: EventType,
    reason: &str,
    message: &str,
    cause: Option<u32>,
) {
    results.event_rows.push(EventRow {
        time,
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
        event,
        reason: reason.into(),
        message: message.into(),
        cause,
    });
}

fn deploy(results: &mut Results, nodes: &[Symbol], deployment: usize, replicas: usize) {
    let app = ["cart", "checkout", "frontend", "payment", "search", "stock"][deployment % 6];
    let name = if deployment < 6 { app.to_owned() } else { format!("{app}-{}", deployment / 6) };
    let owner = OwnerRef {
        kind: "ReplicaSet".into(),
        api_version: "apps/v1".into(),
        name: format!("{name}-7d9f").into(),
        uid: Uid::parse("u"),
        controller: true,
        block_owner_deletion: true,
    };
    let owners = Some(Arc::new(vec![owner]));
    let mut lost = 0;
    for index in deployment * replicas..(deployment + 1) * replicas {
        let mut first = pod(&format!("{name}-7d9f-{index:05x}"), at(scattered(index, 5_000) as i64), &owners);
        first.workload = Symbol::new(&format!("Deployment/{name}"));
        place(&mut first, nodes[scattered(index, nodes.len())], 900 + scattered(index, 7_000) as i64);
        add_events(results, &first);
        if first.node.as_str().starts_with("worker-a") {
            lost += 1;
            first.deleted = true;
            first.finished = Some(at(LOST * 1_000 + 341_000));
            let second = successor(&first, nodes, index);
            add_events(results, &second);
            results.pods.extend([first, second]);
        } else {
            first.restarts = u32::from(index % 97 == 0);
            results.pods.push(first);
        }
    }
    add_service(results, &name, replicas, lost);
}

/// The pod that takes the place of a lost one; every ninth finds no room.
fn successor(lost: &PodRow, nodes: &[Symbol], index: usize) -> PodRow {
    let mut pod = pod(&format!("{}-r", lost.name), at(LOST * 1_000 + 341_050), &lost.owners);
    pod.workload = lost.workload;
    if index.is_multiple_of(9) {
        (pod.reason, pod.message) = ("Unschedulable".into(), UNSCHEDULABLE.into());
    } else {
        let left: Vec<_> = nodes.iter().filter(|node| !node.as_str().starts_with("worker-a")).collect();
        place(&mut pod, *left[scattered(index, left.len())], 1_200 + scattered(index, 9_000) as i64);
    }
    pod
}

pub(crate) fn pod(name: &str, created: SimTime, owners: &Option<Arc<Vec<OwnerRef>>>) -> PodRow {
    PodRow {
        namespace: "shop".into(),
        name: name.into(),
        labels: Labels::NONE,
        owners: owners.clone(),
        workload: Symbol::empty(),
        node: Symbol::empty(),
        phase: PodPhase::Pending,
        created,
        scheduled: None,
        started: None,
        ready: None,
        finished: None,
        deleted: false,
        restarts: 0,
        cpu_request: MilliCpu(250),
        memory_request: Bytes(GIB / 2),
        reason: Symbol::empty(),
        message: "".into(),
    }
}

/// Binds `pod` to `node` and has it ready after `millis`.
fn place(pod: &mut PodRow, node: Symbol, millis: i64) {
    pod.node = node;
    pod.phase = PodPhase::Running;
    pod.scheduled = Some(pod.created + Span::from_millis(12 + millis / 100));
    pod.started = Some(pod.created + Span::from_millis(millis - 100));
    pod.ready = Some(pod.created + Span::from_millis(millis));
}

fn add_events(results: &mut Results, pod: &PodRow) {
    let name = pod.name.as_str();
    event(results, pod.created, "Pod", "shop", name, EventType::Added, "", "", None);
    match pod.scheduled {
        Some(time) => {
            let message = format!("Successfully assigned shop/{name} to {}", pod.node);
            event(results, time, "Pod", "shop", name, EventType::Normal, "Scheduled", &message, None);
        }
        None => {
            let time = pod.created + Span::from_millis(9);
            event(
                results,
                time,
                "Pod",
                "shop",
                name,
                EventType::Warning,
                "FailedScheduling",
                &pod.message,
                None,
            );
        }
    }
    for (time, reason) in [(pod.started, "Running"), (pod.ready, "Ready")] {
        if let Some(time) = time {
            event(results, time, "Pod", "shop", name, EventType::Modified, reason, "", None);
        }
    }
}

fn add_service(results: &mut Results, name: &str, replicas: usize, lost: usize) {
    let object = Symbol::new(&format!("shop/{name}"));
    let left = 100.0 * (replicas - lost) as f64 / replicas as f64;
    let wanted = (END - 5) as f64;
    results.services.push(ServiceRow {
        namespace: "shop".into(),
        name: name.into(),
        availability_pct: Some(100.0 - (100.0 - left) * 345.0 / wanted),
        down: if left == 0.0 { Span::from_secs(345) } else { Span::ZERO },
        wanted: Span::from_secs(END - 5),
    });
    let mut push = |metric, points: &[(i64, f64)]| {
        let points = points.iter().map(|&(millis, value)| (at(millis), value)).collect();
        results.series.push(Series { metric, object, points });
    };
    let (hit, healed) = (LOST * 1_000, LOST * 1_000 + 345_000);
    push(Metric::ServiceAvailabilityPct, &[(4_000, 0.0), (9_000, 100.0), (hit, left), (healed, 100.0)]);
    let available = f64::from(u8::from(lost * 4 < replicas));
    push(Metric::DeploymentAvailable, &[(100, 0.0), (11_000, 1.0), (hit + 40_000, available), (healed, 1.0)]);
    let (all, rest) = (replicas as f64, (replicas - lost) as f64);
    let points = [(100, 0.0), (6_000, all / 2.0), (11_000, all), (hit + 40_000, rest), (healed, all)];
    push(Metric::DeploymentReplicasAvailable, &points);
}

fn add_nodes(results: &mut Results, names: &[Symbol]) {
    for (index, name) in names.iter().enumerate() {
        let lost = index.is_multiple_of(3);
        let here = results.pods.iter().filter(|pod| pod.node == *name && !pod.deleted).count() as u32;
        let cpu = (i64::from(here) * 250).min(4_000);
        let full = if lost { 2_000.0 + scattered(index, 1_800) as f64 } else { cpu as f64 };
        let climb = |step: i64| (at(step * 700 + scattered(index, 500) as i64), full * step as f64 / 12.0);
        let mut points = vec![(SimTime::ZERO, 0.0)];
        points.extend((1..=10).map(climb));
        points.push((SimTime::from_secs(LOST + 345), if lost { 0.0 } else { full }));
        results.series.push(Series { metric: Metric::NodeCpuAllocatedMillicores, object: *name, points });
        results.nodes.push(NodeRow {
            name: *name,
            pool: "worker".into(),
            zone: ZONES[index % 3].into(),
            allocatable: Resources::of(MilliCpu(4_000), Bytes(16 * GIB)),
            pods_capacity: 110,
            pods: here,
            pods_max: here + 3,
            cpu_allocated: MilliCpu(cpu * 9 / 10),
            memory_allocated: Bytes(i64::from(here) * GIB / 2),
            cpu_used: MilliCpu(cpu / 3),
            memory_used: Bytes(i64::from(here) * GIB / 5),
            uptime: Span::from_secs(END),
            ready: Span::from_secs(if lost { END - (BACK - LOST) } else { END }),
            cost_usd: 0.192,
            present: true,
        });
    }
}

/// The courses of the whole cluster.
fn add_courses(results: &mut Results) {
    let early: Vec<&PodRow> = results.pods.iter().filter(|pod| pod.created < at(LOST * 1_000)).collect();
    let pods = early.len() as f64;
    let lost = early.iter().filter(|pod| pod.deleted).count() as f64;
    let stuck = results.pods.iter().filter(|pod| pod.phase == PodPhase::Pending).count() as f64;
    let mut ready: Vec<SimTime> =
        early.iter().filter_map(|pod| pod.ready).map(SimTime::truncate_to_second).collect();
    ready.sort_unstable();
    let (mut running, mut pending) = (vec![(SimTime::ZERO, 0.0)], vec![(SimTime::ZERO, pods)]);
    for (index, time) in ready.iter().enumerate().filter(|(index, time)| ready.get(index + 1) != Some(time)) {
        running.push((*time, index as f64 + 1.0));
        pending.push((*time, pods - index as f64 - 1.0));
    }
    let (hit, healed) = (SimTime::from_secs(LOST + 341), SimTime::from_secs(LOST + 345));
    running.extend([(hit, pods - lost), (healed, pods - stuck)]);
    pending.extend([(hit, lost), (healed, stuck)]);
    let times = |points: &[(SimTime, f64)], factor: f64| {
        points.iter().map(|p| (p.0, p.1 * factor)).collect::<Vec<_>>()
    };
    let now = |time: SimTime| running.iter().rev().find(|point| point.0 <= time).map_or(0.0, |point| point.1);
    let quarter = |step: usize| {
        let time = SimTime::from_secs(15 * step as i64);
        (time, now(time) * (70.0 + scattered(step, 40) as f64))
    };
    let used: Vec<_> = (0..END as usize / 15).map(quarter).collect();
    let whole = results.nodes.len() as f64;
    let out = results.nodes.len().div_ceil(3) as f64;
    let (noticed, back) = (SimTime::from_secs(LOST + 40), SimTime::from_secs(BACK + 2));
    for (metric, points) in [
        (Metric::CpuAllocatableMillicores, vec![(SimTime::ZERO, whole * 4_000.0)]),
        (Metric::CpuAllocatedMillicores, times(&running, 250.0)),
        (Metric::MemoryAllocatableBytes, vec![(SimTime::ZERO, whole * 16.0 * GIB as f64)]),
        (Metric::MemoryAllocatedBytes, times(&running, GIB as f64 / 2.0)),
        (Metric::MemoryUsedBytes, times(&used, GIB as f64 / 500.0)),
        (Metric::CpuUsedMillicores, used),
        (Metric::NodesReady, vec![(SimTime::ZERO, whole), (noticed, whole - out), (back, whole)]),
        (Metric::PodsRunning, running),
        (Metric::PodsPending, pending),
        (Metric::PodsFailed, vec![(SimTime::ZERO, 0.0)]),
        (Metric::PodsSucceeded, vec![(SimTime::ZERO, 0.0)]),
    ] {
        results.series.push(Series { metric, object: Symbol::empty(), points });
    }
}

/// Three expectations, one of them missed.
pub(crate) fn outcomes() -> Vec<ExpectationOutcome> {
    let outcome = |name: &str, passed, at, object: &str, found: &str, expected: &str| ExpectationOutcome {
        name: name.to_owned(),
        passed,
        at,
        object: object.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    let (late, waiting) = ("not Available again within 8m of loss", "pods pending longer than 30s");
    vec![
        outcome("nothing-waits", true, None, "", &format!("0 {waiting}"), &format!("at most 0 {waiting}")),
        outcome(
            "heals",
            false,
            Some(at(1_680_000)),
            "deployment shop/cart",
            late,
            "all Deployments Available within 8m of loss",
        ),
        outcome("up", true, None, "service shop/cart", "availability 99.621 %", "at least 99.5 %"),
    ]
}

/// The report of `results`.
pub(crate) fn report<'a>(results: &'a Results, expectations: &'a [ExpectationOutcome]) -> Report<'a> {
    Report {
        results,
        expectations,
        seatrial_version: "0.1.0",
        kubernetes_version: "1.36",
        cpu: Span::from_millis(410),
        reproducible: true,
    }
}
