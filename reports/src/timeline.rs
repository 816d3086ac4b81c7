//! Time courses brought onto a common grid of instants, for plots and pages.

use std::ops::Range;

use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{Metric, Series};

use crate::summary::share;

/// The time course of `metric` of `object`.
pub(crate) fn find(all: &[Series], metric: Metric, object: Symbol) -> Option<&Series> {
    all.iter().find(|series| series.metric == metric && series.object == object)
}

/// The time course of `metric` of the whole cluster.
pub(crate) fn of_cluster(all: &[Series], metric: Metric) -> Option<&Series> {
    find(all, metric, Symbol::empty())
}

/// Every time course of `metric`.
pub(crate) fn every(all: &[Series], metric: Metric) -> impl Iterator<Item = &Series> {
    all.iter().filter(move |series| series.metric == metric)
}

/// The highest share that `part` ever had of `whole`, in percent.
pub(crate) fn peak_share(all: &[Series], part: Metric, whole: Metric) -> Option<f64> {
    let (part, whole) = (of_cluster(all, part)?, of_cluster(all, whole)?);
    let instants = part.points.iter().chain(&whole.points).map(|point| point.0);
    let shares = instants.filter_map(|time| share(part.value_at(time)?, whole.value_at(time)?));
    shares.max_by(f64::total_cmp)
}

/// For how long `series` was below `value`, from its first point to `end`.
pub(crate) fn time_below(series: &Series, value: f64, end: SimTime) -> Span {
    let ends = series.points.iter().skip(1).map(|point| point.0).chain([end]);
    let lows = series.points.iter().zip(ends).filter(|(point, _)| point.1 < value);
    lows.fold(Span::ZERO, |sum, (point, until)| sum + until.since(point.0))
}

/// Equal steps of time from the start of a run to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    end: SimTime,
    steps: usize,
}

impl Grid {
    /// `steps` steps over a run of length `length`.
    pub(crate) fn new(length: Span, steps: usize) -> Grid {
        Grid { end: SimTime::ZERO + length.max(Span::from_nanos(1)), steps: steps.max(1) }
    }

    /// The steps.
    pub(crate) fn steps(self) -> Range<usize> {
        0..self.steps
    }

    /// The instant at which step `step` begins; that of the step after the last is the end.
    pub(crate) fn begin(self, step: usize) -> SimTime {
        let nanos = i128::from(self.end.nanos()) * step as i128 / self.steps as i128;
        SimTime::from_nanos(nanos as i64)
    }

    /// The mean of `series` over each step, as far as it has a value there. A mean keeps the area
    /// under the curve, so what is shorter than a step is still seen.
    pub(crate) fn means(self, series: &Series) -> Vec<Option<f64>> {
        let points = &series.points;
        let (mut next, mut value) = (0, None);
        let mut out = Vec::with_capacity(self.steps);
        for step in self.steps() {
            let (mut from, until) = (self.begin(step), self.begin(step + 1));
            while let Some(&(_, held)) = points.get(next).filter(|point| point.0 <= from) {
                (value, next) = (Some(held), next + 1);
            }
            let (mut area, mut known) = (0.0, Span::ZERO);
            while let Some(&(change, then)) = points.get(next).filter(|point| point.0 < until) {
                if let Some(held) = value {
                    area += held * change.since(from).nanos() as f64;
                    known += change.since(from);
                }
                (from, value, next) = (change, Some(then), next + 1);
            }
            let changed = from > self.begin(step);
            out.push(value.map(|held| {
                let rest = until.since(from);
                let mean = (area + held * rest.nanos() as f64) / (known + rest).nanos() as f64;
                if changed { mean } else { held }
            }));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(i64, f64)]) -> Series {
        let points = points.iter().map(|&(at, value)| (SimTime::from_secs(at), value)).collect();
        Series { metric: Metric::PodsRunning, object: Symbol::empty(), points }
    }

    #[test]
    fn a_step_has_the_mean_of_what_was_known_in_it() {
        let grid = Grid::new(Span::from_secs(40), 4);
        let course = series(&[(5, 2.0), (15, 4.0), (20, 1.0), (20, 3.0)]);
        assert_eq!(grid.means(&course), [Some(2.0), Some(3.0), Some(3.0), Some(3.0)]);
        assert_eq!(grid.means(&series(&[])), [None; 4]);
        assert_eq!(
            grid.means(&series(&[(-7, 1.0), (30, 0.0)])),
            [Some(1.0), Some(1.0), Some(1.0), Some(0.0)]
        );
    }

    #[test]
    fn the_peak_is_the_share_of_what_was_there_at_that_instant() {
        let metric = |metric, points: &[(i64, f64)]| Series { metric, ..series(points) };
        let all = [
            metric(Metric::CpuAllocatedMillicores, &[(0, 0.0), (10, 500.0)]),
            metric(Metric::CpuAllocatableMillicores, &[(0, 2_000.0), (20, 1_000.0)]),
        ];
        let (part, whole) = (Metric::CpuAllocatedMillicores, Metric::CpuAllocatableMillicores);
        assert_eq!(peak_share(&all, part, whole), Some(50.0));
        assert_eq!(peak_share(&all, part, Metric::MemoryUsedBytes), None);
    }

    #[test]
    fn time_below_counts_to_the_end() {
        let down =
            time_below(&series(&[(0, 1.0), (10, 0.0), (12, 1.0), (50, 0.0)]), 1.0, SimTime::from_secs(60));
        assert_eq!(down, Span::from_secs(12));
    }
}
