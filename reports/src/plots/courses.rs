//! Amounts against time: pods by phase, resources given away and used.

use plotters::style::RGBColor;
use seatrial_sim_core::results::{Metric, Results, Series};

use super::font::width;
use super::frame::{HEAD, MARGIN, Panel, WIDTH};
use super::palette::{BLUE, GREEN, GREY, ORANGE, VERMILLION};
use super::picture::{Picture, Shape};
use crate::amounts::count;
use crate::timeline::{Grid, of_cluster};

const LEFT: i32 = 96;
const RIGHT: i32 = WIDTH - MARGIN - 6;
const STEPS: usize = (RIGHT - LEFT) as usize;

/// The phases that are stacked, from the bottom.
const PHASES: [(&str, Metric, RGBColor); 4] = [
    ("Running", Metric::PodsRunning, BLUE),
    ("Pending", Metric::PodsPending, ORANGE),
    ("Failed", Metric::PodsFailed, VERMILLION),
    ("Succeeded", Metric::PodsSucceeded, GREEN),
];

/// Pods by phase, stacked. Succeeded pods that would flatten everything else are left out, and the
/// legend says so.
pub(crate) fn pods(results: &Results) -> Picture {
    let mut picture = Picture::titled("Pods by phase", results, 600);
    let panel = panel(results, HEAD, 540);
    let grid = Grid::new(results.simulated, STEPS);
    let piling = succeeded_pile_up(results);
    let phases =
        occurring_phases(results).into_iter().filter(|phase| !(piling.is_some() && phase.metric == PILE));
    let layer = |phase: Phase<'_>| {
        let means = grid.means(phase.course).into_iter().map(Option::unwrap_or_default).collect();
        (phase.name, phase.colour, means)
    };
    let layers: Vec<(&str, RGBColor, Vec<f64>)> = phases.map(layer).collect();
    let note = piling.map(|peak| format!("Succeeded (up to {}) not drawn", count(peak as u64)));
    let mut legend: Vec<_> = layers.iter().map(|layer| (layer.0, layer.1)).collect();
    legend.extend(note.as_deref().map(|note| (note, super::palette::ABSENT)));
    picture.legend(&legend);
    if layers.is_empty() {
        picture.nothing(&panel, "no pods were recorded");
        return picture;
    }
    picture.fault_bands(&panel, &results.faults);
    stack(&mut picture, &panel, &layers);
    picture.fault_marks(&panel, &results.faults, LEFT);
    picture.time_axis(&panel, true);
    picture
}

/// A phase that some pod was in.
#[derive(Clone, Copy)]
pub(crate) struct Phase<'a> {
    pub(crate) name: &'static str,
    pub(crate) metric: Metric,
    pub(crate) colour: RGBColor,
    /// How many pods were in it.
    pub(crate) course: &'a Series,
}

/// The phases that occurred, from the bottom of the stack.
pub(crate) fn occurring_phases(results: &Results) -> Vec<Phase<'_>> {
    let phase = |&(name, metric, colour): &(&'static str, Metric, RGBColor)| {
        let course = of_cluster(&results.series, metric)?;
        (peak(course) > 0.0).then_some(Phase { name, metric, colour, course })
    };
    PHASES.iter().filter_map(phase).collect()
}

/// The phase in which the pods of batch jobs pile up.
pub(crate) const PILE: Metric = Metric::PodsSucceeded;

/// How many succeeded pods there were at the highest, if so many that nothing else could be seen
/// beside them.
pub(crate) fn succeeded_pile_up(results: &Results) -> Option<f64> {
    let phases = occurring_phases(results);
    let (piled, others): (Vec<_>, Vec<_>) = phases.iter().partition(|phase| phase.metric == PILE);
    let highest = |phases: &[&Phase<'_>]| phases.iter().map(|phase| peak(phase.course)).fold(0.0, f64::max);
    let (pile, rest) = (highest(&piled), highest(&others));
    (rest > 0.0 && pile > 5.0 * rest).then_some(pile)
}

fn peak(course: &Series) -> f64 {
    course.points.iter().map(|point| point.1).fold(0.0, f64::max)
}

/// Draws `layers` on top of each other.
fn stack(picture: &mut Picture, panel: &Panel, layers: &[(&str, RGBColor, Vec<f64>)]) {
    let total = |step: usize| layers.iter().map(|layer| layer.2[step]).sum::<f64>();
    let max = 1.06 * (0..STEPS).map(total).fold(0.0, f64::max).max(1.0);
    picture.value_axis(panel, "pods", max, true);
    let mut floor = vec![0.0; STEPS];
    for (_, colour, values) in layers {
        let ceiling: Vec<f64> = floor.iter().zip(values).map(|(low, high)| low + high).collect();
        let edge = |heights: &[f64]| -> Vec<(i32, i32)> {
            let at = |step: usize, height: f64| (panel.left + step as i32, panel.y(height, max));
            let ends = heights.iter().enumerate();
            ends.flat_map(|(step, height)| [at(step, *height), at(step + 1, *height)]).collect()
        };
        let mut points = thinned(edge(&ceiling));
        points.extend(thinned(edge(&floor)).into_iter().rev());
        picture.shapes.push(Shape::Area { points, fill: *colour });
        floor = ceiling;
    }
}

/// CPU and memory: what there was, what was given away, what was used.
pub(crate) fn resources(results: &Results) -> Picture {
    let mut picture = Picture::titled("Allocation and use", results, 860);
    picture.legend(&[("Allocatable", GREY), ("Allocated (requests of bound pods)", BLUE), ("Used", ORANGE)]);
    let cpu = [
        (Metric::CpuAllocatableMillicores, GREY),
        (Metric::CpuAllocatedMillicores, BLUE),
        (Metric::CpuUsedMillicores, ORANGE),
    ];
    let memory = [
        (Metric::MemoryAllocatableBytes, GREY),
        (Metric::MemoryAllocatedBytes, BLUE),
        (Metric::MemoryUsedBytes, ORANGE),
    ];
    let upper = panel(results, HEAD, 436);
    lines(&mut picture, &upper, "CPU (cores)", results, &cpu, 1_000.0);
    picture.time_axis(&upper, false);
    let lower = panel(results, 510, 800);
    lines(&mut picture, &lower, "Memory (GiB)", results, &memory, f64::from(1 << 30));
    picture.time_axis(&lower, true);
    picture
}

/// Draws the cluster's course of each metric, divided by `unit`.
fn lines(
    picture: &mut Picture,
    panel: &Panel,
    name: &str,
    results: &Results,
    metrics: &[(Metric, RGBColor)],
    unit: f64,
) {
    let grid = Grid::new(results.simulated, STEPS);
    let courses: Vec<(RGBColor, Vec<Option<f64>>)> = metrics
        .iter()
        .filter_map(|(metric, colour)| Some((*colour, grid.means(of_cluster(&results.series, *metric)?))))
        .collect();
    let peak = courses.iter().flat_map(|course| course.1.iter().flatten()).copied().fold(0.0, f64::max);
    if peak <= 0.0 {
        picture.nothing(panel, &format!("{name}: nothing was recorded"));
        return;
    }
    let max = 1.08 * peak / unit;
    picture.fault_bands(panel, &results.faults);
    picture.value_axis(panel, name, max, false);
    for (colour, values) in &courses {
        let steps = values.iter().enumerate().filter_map(|(step, value)| Some((step as i32, (*value)?)));
        let points = steps.flat_map(|(step, value)| {
            let y = panel.y(value / unit, max);
            [(panel.left + step, y), (panel.left + step + 1, y)]
        });
        let points = thinned(points.collect());
        picture.shapes.push(Shape::Line { points, colour: *colour, width: 2 });
    }
    picture.fault_marks(panel, &results.faults, LEFT.max(MARGIN + width(name, 14, true) + 16));
}

fn panel(results: &Results, top: i32, bottom: i32) -> Panel {
    Panel { left: LEFT, top, right: RIGHT, bottom, length: results.simulated }
}

/// The same line without the points that lie between two others at the same height.
fn thinned(points: Vec<(i32, i32)>) -> Vec<(i32, i32)> {
    let mut out: Vec<(i32, i32)> = Vec::with_capacity(points.len() / 4);
    for point in points {
        let level = |place: usize| out.len().checked_sub(place).map(|index| out[index].1);
        if level(1) == Some(point.1) && level(2) == Some(point.1) {
            out.pop();
        }
        out.push(point);
    }
    out
}
