//! Time courses with a bounded number of points.

use rustc_hash::FxHashMap;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::results::{Metric, Series};

/// All time courses of a run.
#[derive(Clone, Debug)]
pub(crate) struct SeriesTable {
    resolution: Span,
    index: FxHashMap<(Metric, Symbol), u32>,
    series: Vec<Series>,
}

impl SeriesTable {
    /// A table whose courses have at most one point per `resolution`.
    pub(crate) fn new(resolution: Span) -> SeriesTable {
        SeriesTable { resolution, index: FxHashMap::default(), series: Vec::new() }
    }

    /// Records a value from `now` on. Of several changes in one stretch of the resolution the
    /// last is kept, and always the first value of all.
    pub(crate) fn record(&mut self, now: SimTime, metric: Metric, object: Symbol, value: f64) {
        let row = *self.index.entry((metric, object)).or_insert_with(|| {
            self.series.push(Series { metric, object, points: Vec::new() });
            (self.series.len() - 1) as u32
        });
        let points = &mut self.series[row as usize].points;
        let stretch = |time: SimTime| time.nanos() / self.resolution.nanos().max(1);
        match points.as_mut_slice() {
            [.., last] if last.0 == now => last.1 = value,
            [.., last] if last.1 == value => {}
            [_, .., last] if stretch(last.0) == stretch(now) => *last = (now, value),
            _ => points.push((now, value)),
        }
    }

    /// The courses in the order in which they began.
    pub(crate) fn all(&self) -> &[Series] {
        &self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_within_the_resolution_are_merged() {
        let mut table = SeriesTable::new(Span::from_secs(10));
        for (second, value) in [(0, 0.0), (1, 1.0), (2, 2.0), (12, 3.0), (13, 3.0), (15, 4.0), (30, 5.0)] {
            table.record(SimTime::from_secs(second), Metric::PodsRunning, Symbol::empty(), value);
        }
        let seconds: Vec<_> =
            table.all()[0].points.iter().map(|p| (p.0.nanos() / 1_000_000_000, p.1)).collect();
        assert_eq!(seconds, [(0, 0.0), (2, 2.0), (15, 4.0), (30, 5.0)]);
    }
}
