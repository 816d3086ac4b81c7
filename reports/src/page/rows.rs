//! The tables of the page, cut to a size that a browser likes.

use seatrial_api::pod::PodPhase;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{EventType, NodeRow, PodRow, Results};
use serde::Serialize;

use super::courses::rounded;
use crate::amounts::{count, object, said};
use crate::summary::share;

/// How many rows of a table are in the page.
const ROWS_MAX: usize = 10_000;

/// Some rows of all that there are.
#[derive(Serialize)]
pub(super) struct Rows<T> {
    rows: Vec<T>,
    all: usize,
    /// What was left out, as a sentence; empty if nothing was.
    note: String,
}

/// Pod, workload, node, phase, created at, bound after, ready after, restarts, why.
#[derive(Serialize)]
pub(super) struct Pod(
    String,
    &'static str,
    &'static str,
    &'static str,
    f64,
    Option<f64>,
    Option<f64>,
    u32,
    String,
);

/// Node, pool, zone, share of Ready, cores, CPU allocated and used, GiB, memory allocated and used,
/// pods at the end, most pods, cost.
#[derive(Serialize)]
pub(super) struct Node(
    &'static str,
    &'static str,
    &'static str,
    Option<f64>,
    f64,
    Option<f64>,
    Option<f64>,
    f64,
    Option<f64>,
    Option<f64>,
    u32,
    u32,
    f64,
);

/// Row number, time, kind, object, type, reason, message, cause.
#[derive(Serialize)]
pub(super) struct Event(u32, f64, &'static str, String, &'static str, &'static str, String, Option<u32>);

/// Keeps at most [`ROWS_MAX`] of `all` in their order: those that are `telling` before others.
fn cut<'a, T, R>(
    all: &'a [T],
    file: &str,
    which: &str,
    telling: impl Fn(&T) -> bool,
    row: impl Fn(usize, &'a T) -> R,
) -> Rows<R> {
    let mut kept: Vec<usize> = (0..all.len()).collect();
    let mut note = String::new();
    if all.len() > ROWS_MAX {
        kept.sort_by_key(|&index| !telling(&all[index]));
        kept.truncate(ROWS_MAX);
        kept.sort_unstable();
        note = format!(
            "This page holds {} of {}, {which} first; all of them are in {file}.",
            count(ROWS_MAX as u64),
            count(all.len() as u64)
        );
    }
    Rows { rows: kept.into_iter().map(|index| row(index, &all[index])).collect(), all: all.len(), note }
}

pub(super) fn pods(results: &Results) -> Rows<Pod> {
    let calm = |pod: &PodRow| pod.reason.is_empty() && pod.restarts == 0 && pod.phase != PodPhase::Pending;
    let after = |pod: &PodRow, time: Option<SimTime>| Some(rounded(time?.since(pod.created).as_secs_f64()));
    cut(
        &results.pods,
        "pods.csv",
        "those in trouble",
        |pod| !calm(pod),
        |_, pod| {
            Pod(
                object(pod.namespace.as_str(), &pod.name),
                pod.workload.as_str(),
                pod.node.as_str(),
                if pod.deleted { "Gone" } else { pod.phase.as_str() },
                rounded(pod.created.as_secs_f64()),
                after(pod, pod.scheduled),
                after(pod, pod.ready),
                pod.restarts,
                said(pod.reason.as_str(), &pod.message),
            )
        },
    )
}

pub(super) fn nodes(results: &Results) -> Rows<Node> {
    let steady = |node: &NodeRow| node.present && node.ready == node.uptime;
    let one_decimal = |share: Option<f64>| share.map(|pct| (pct * 10.0).round() / 10.0);
    let of = |part: i64, whole: i64| one_decimal(share(part as f64, whole as f64));
    cut(
        &results.nodes,
        "nodes.csv",
        "those that were not always ready",
        |node| !steady(node),
        |_, node| {
            let (cpu, memory) = (node.allocatable.cpu.get(), node.allocatable.memory.get());
            let ready =
                (node.uptime > Span::ZERO).then(|| node.ready.as_secs_f64() / node.uptime.as_secs_f64());
            Node(
                node.name.as_str(),
                node.pool.as_str(),
                node.zone.as_str(),
                ready.map(|share| (share * 10_000.0).floor() / 100.0),
                rounded(cpu as f64 / 1_000.0),
                of(node.cpu_allocated.get(), cpu),
                of(node.cpu_used.get(), cpu),
                rounded(memory as f64 / f64::from(1 << 30)),
                of(node.memory_allocated.get(), memory),
                of(node.memory_used.get(), memory),
                node.pods,
                node.pods_max,
                node.cost_usd,
            )
        },
    )
}

pub(super) fn events(results: &Results) -> Rows<Event> {
    let telling = |event: EventType| {
        matches!(event, EventType::Warning | EventType::Action | EventType::FaultBegin | EventType::FaultEnd)
    };
    let which = "faults, actions and warnings";
    cut(
        &results.event_rows,
        "events.csv",
        which,
        |row| telling(row.event),
        |index, row| {
            Event(
                index as u32,
                rounded(row.time.as_secs_f64()),
                row.kind.as_str(),
                object(row.namespace.as_str(), &row.name),
                row.event.as_str(),
                row.reason.as_str(),
                row.message.to_string(),
                row.cause,
            )
        },
    )
}
