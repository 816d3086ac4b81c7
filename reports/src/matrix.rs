//! Objects against time: the figures behind heat maps and availability strips.

use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_sim_core::results::{Metric, NodeRow, Results, Series, ServiceRow};

use crate::amounts::{availability, counted, object, span};
use crate::ranking;
use crate::timeline::{Grid, every};

/// A value between 0 and 1 per object and step of time.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    /// The rows, from the top.
    pub(crate) rows: Vec<Row>,
    /// What was left out or merged, as a sentence; empty if nothing was.
    pub(crate) note: String,
}

/// One object, or several that share a row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) label: String,
    /// What it belongs to, such as its zone; empty for nothing.
    pub(crate) group: Symbol,
    /// A figure that sums the row up.
    pub(crate) note: String,
    /// The value in each step; `None` where the object was not there.
    pub(crate) values: Vec<Option<f64>>,
}

/// The share of each node's CPU that was given away. Where there are more than `rows_max` nodes,
/// neighbours of one zone and pool share a row, which shows their mean.
pub(crate) fn nodes(results: &Results, rows_max: usize, grid: Grid) -> Matrix {
    let mut courses: Vec<(&NodeRow, &Series)> = Vec::with_capacity(results.nodes.len());
    let mut recorded: Vec<_> = every(&results.series, Metric::NodeCpuAllocatedMillicores).collect();
    recorded.sort_by_key(|series| series.object);
    for node in &results.nodes {
        if let Ok(found) = recorded.binary_search_by_key(&node.name, |series| series.object) {
            courses.push((node, recorded[found]));
        }
    }
    courses.sort_by_key(|(node, _)| (node.zone, node.pool));
    let per_row = courses.len().div_ceil(rows_max).max(1);
    let together = |a: &(&NodeRow, _), b: &(&NodeRow, _)| (a.0.zone, a.0.pool) == (b.0.zone, b.0.pool);
    let rows = courses.chunk_by(together).flat_map(|alike| alike.chunks(per_row));
    let note = match per_row {
        1 => String::new(),
        _ => format!("each row is the mean of up to {}", counted(per_row as u64, "node")),
    };
    Matrix { rows: rows.map(|nodes| node_row(nodes, grid)).collect(), note }
}

fn node_row(nodes: &[(&NodeRow, &Series)], grid: Grid) -> Row {
    let mut sums = vec![(0.0, 0_u32); grid.steps().len()];
    for (node, series) in nodes {
        let whole = node.allocatable.cpu.get();
        for (sum, mean) in sums.iter_mut().zip(grid.means(series)) {
            if let Some(mean) = mean.filter(|_| whole > 0) {
                *sum = (sum.0 + mean / whole as f64, sum.1 + 1);
            }
        }
    }
    let name = nodes[0].0.name;
    let label = match nodes.len() {
        1 => name.to_string(),
        more => format!("{name} and {} more", more - 1),
    };
    let zone = nodes[0].0.zone;
    Row { label, group: zone, note: String::new(), values: sums.into_iter().map(mean).collect() }
}

fn mean((sum, count): (f64, u32)) -> Option<f64> {
    (count > 0).then(|| sum / f64::from(count))
}

/// The availability of each Service that should have had a backend, the worst first, at most
/// `rows_max` of them.
pub(crate) fn services(results: &Results, rows_max: usize, grid: Grid) -> Matrix {
    let rated = ranking::services(results);
    let note = left_out(rated.len(), rows_max, "Service", "lowest availability");
    let row = |&(pct, service): &(f64, &ServiceRow)| {
        let label = object(service.namespace.as_str(), &service.name);
        let mut courses = every(&results.series, Metric::ServiceAvailabilityPct);
        let course = courses.find(|series| series.object == label.as_str());
        let shares = course.map(|series| grid.means(series)).unwrap_or_default();
        let values = shares.into_iter().map(|pct| pct.map(|pct| pct / 100.0)).collect();
        Row { label, group: Symbol::empty(), note: availability(pct), values }
    };
    Matrix { rows: rated.iter().take(rows_max).map(row).collect(), note }
}

/// The share of time in each step in which each Deployment was available, those first that were
/// unavailable longest, at most `rows_max` of them.
pub(crate) fn deployments(results: &Results, rows_max: usize, grid: Grid) -> Matrix {
    let rated = ranking::deployments(results);
    let note = left_out(rated.len(), rows_max, "Deployment", "longest time unavailable");
    let row = |&(down, series): &(Span, &Series)| Row {
        label: series.object.to_string(),
        group: Symbol::empty(),
        note: if down == Span::ZERO { "always".to_owned() } else { format!("not for {}", span(down)) },
        values: grid.means(series),
    };
    Matrix { rows: rated.iter().take(rows_max).map(row).collect(), note }
}

fn left_out(all: usize, rows_max: usize, noun: &str, first: &str) -> String {
    if all <= rows_max {
        return String::new();
    }
    format!("the {rows_max} of {} with the {first}", counted(all as u64, noun))
}
