//! The charts of the page: courses over time, thinned.

use plotters::style::RGBColor;
use seatrial_api::units::SimTime;
use seatrial_sim_core::results::{Metric, Results, Series};
use serde::Serialize;

use crate::amounts::{count, object};
use crate::plots::palette::{self, hex};
use crate::plots::{PILE, fault_label, occurring_phases, succeeded_pile_up};
use crate::ranking;
use crate::timeline::{Grid, every, of_cluster};

/// Courses with at most so many instants are shown exactly.
const EXACT_MAX: usize = 3_000;
/// Others as the means of so many steps.
const STEPS: usize = 1_500;
/// How many objects share a chart.
const LINES_MAX: usize = 8;

/// When a fault was in force, in seconds.
#[derive(Serialize)]
pub(super) struct Band {
    label: String,
    begin: f64,
    end: f64,
}

/// A chart.
#[derive(Serialize)]
pub(super) struct Chart {
    title: &'static str,
    unit: &'static str,
    stacked: bool,
    /// The fixed top of the axis, if it has one.
    top: Option<f64>,
    note: String,
    /// Instants in seconds.
    x: Vec<f64>,
    series: Vec<Course>,
}

#[derive(Serialize)]
struct Course {
    label: String,
    colour: String,
    /// Whether it is shown only when asked for.
    hidden: bool,
    values: Vec<Option<f64>>,
}

/// A line to be drawn: its label, colour, course and what its values are divided by.
type Line<'a> = (String, RGBColor, &'a Series, f64);

/// The bands of the faults.
pub(super) fn bands(results: &Results) -> Vec<Band> {
    let end = SimTime::ZERO + results.simulated;
    let faults = results.faults.iter().map(|fault| Band {
        label: fault_label(fault),
        begin: fault.begin.as_secs_f64(),
        end: fault.end.unwrap_or(end).as_secs_f64(),
    });
    faults.collect()
}

/// All charts that there is anything to show in.
pub(super) fn charts(results: &Results) -> Vec<Chart> {
    let gib = f64::from(1 << 30);
    let cpu = [
        ("Allocatable", palette::GREY, Metric::CpuAllocatableMillicores),
        ("Allocated", palette::BLUE, Metric::CpuAllocatedMillicores),
        ("Used", palette::ORANGE, Metric::CpuUsedMillicores),
    ];
    let memory = [
        ("Allocatable", palette::GREY, Metric::MemoryAllocatableBytes),
        ("Allocated", palette::BLUE, Metric::MemoryAllocatedBytes),
        ("Used", palette::ORANGE, Metric::MemoryUsedBytes),
    ];
    let ready = [("Ready", palette::BLUE, Metric::NodesReady)];
    let services = ranking::services(results).into_iter();
    let services = services.map(|(_, row)| object(row.namespace.as_str(), &row.name)).collect();
    let deployments = ranking::deployments(results).into_iter();
    let deployments = deployments.map(|(_, series)| series.object.to_string()).collect();
    let charts = [
        pods(results),
        Chart {
            top: Some(100.0),
            ..of_objects(results, "Availability of Services", "%", Metric::ServiceAvailabilityPct, services)
        },
        of_objects(
            results,
            "Available replicas of Deployments",
            "pods",
            Metric::DeploymentReplicasAvailable,
            deployments,
        ),
        of_objects(results, "Replicas asked for by autoscalers", "pods", Metric::HpaReplicas, Vec::new()),
        of_whole(results, "CPU", "cores", 1_000.0, &cpu),
        of_whole(results, "Memory", "GiB", gib, &memory),
        of_whole(results, "Nodes Ready", "nodes", 1.0, &ready),
    ];
    charts.into_iter().filter(|chart| !chart.series.is_empty()).collect()
}

/// Pods by phase. Succeeded pods that would flatten everything else are hidden at first.
fn pods(results: &Results) -> Chart {
    let phases = occurring_phases(results);
    let lines = phases.iter().map(|phase| (phase.name.to_owned(), phase.colour, phase.course, 1.0));
    let mut chart = chart(results, "Pods by phase", "pods", String::new(), lines.collect());
    let piling = succeeded_pile_up(results).is_some();
    for (course, phase) in chart.series.iter_mut().zip(&phases) {
        course.hidden = piling && phase.metric == PILE;
    }
    chart.stacked = true;
    chart
}

/// Courses of the whole cluster.
fn of_whole(
    results: &Results,
    title: &'static str,
    unit: &'static str,
    divisor: f64,
    metrics: &[(&'static str, RGBColor, Metric)],
) -> Chart {
    let lines = metrics.iter().filter_map(|(label, colour, metric)| {
        Some(((*label).to_owned(), *colour, of_cluster(&results.series, *metric)?, divisor))
    });
    chart(results, title, unit, String::new(), lines.collect())
}

/// Courses of single objects, in the order of `first` where it names them; only a few are shown.
fn of_objects(
    results: &Results,
    title: &'static str,
    unit: &'static str,
    metric: Metric,
    first: Vec<String>,
) -> Chart {
    let mut all: Vec<&Series> = every(&results.series, metric).collect();
    let place = |series: &Series| first.iter().position(|name| series.object == name.as_str());
    all.sort_by_cached_key(|series| (place(series).unwrap_or(usize::MAX), series.object));
    let note = match all.len() {
        0..=LINES_MAX => String::new(),
        more => format!(
            "{LINES_MAX} of {} are shown, the worst first; all are in timeseries.csv",
            count(more as u64)
        ),
    };
    let shown = all.into_iter().take(LINES_MAX).zip(palette::LINES);
    let lines = shown.map(|(series, colour)| (series.object.to_string(), colour, series, 1.0));
    chart(results, title, unit, note, lines.collect())
}

fn chart(
    results: &Results,
    title: &'static str,
    unit: &'static str,
    mut note: String,
    lines: Vec<Line<'_>>,
) -> Chart {
    let end = SimTime::ZERO + results.simulated;
    let points = lines.iter().map(|line| line.2.points.len()).sum::<usize>();
    let exact = points <= EXACT_MAX;
    let grid = Grid::new(results.simulated, STEPS);
    let instants: Vec<SimTime> = if exact {
        let all = lines.iter().flat_map(|line| &line.2.points).map(|point| point.0.max(SimTime::ZERO));
        let mut all: Vec<SimTime> = all.chain([SimTime::ZERO, end]).collect();
        all.sort_unstable();
        all.dedup();
        all
    } else {
        let thinned = format!("means of {STEPS} steps; every change is in timeseries.csv");
        note = if note.is_empty() { thinned } else { format!("{note}; {thinned}") };
        grid.steps().map(|step| grid.begin(step)).chain([end]).collect()
    };
    let course = |(label, colour, series, divisor): Line<'_>| {
        let mut values: Vec<Option<f64>> = if exact {
            instants.iter().map(|&time| series.value_at(time)).collect()
        } else {
            let means = grid.means(series);
            let last = means.last().copied().flatten();
            means.into_iter().chain([last]).collect()
        };
        for value in values.iter_mut().flatten() {
            *value = rounded(*value / divisor);
        }
        Course { label, colour: hex(colour), hidden: false, values }
    };
    let series = lines.into_iter().map(course).collect();
    let x = instants.iter().map(|time| rounded(time.as_secs_f64())).collect();
    Chart { title, unit, stacked: false, top: None, note, x, series }
}

/// To a thousandth, which keeps the page small.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
