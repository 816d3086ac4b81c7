//! The course of a run: figures by how many GPUs have been asked for.

/// The largest load in a series, in per cent.
const LOAD_MAX: usize = 131;

/// A state of the cluster after a pod has arrived, placed or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Thousandths of GPUs of the cluster.
    pub(super) total: i64,
    /// Thousandths that all pods asked for so far, those included that were dropped.
    pub(super) arrived: i64,
    /// Thousandths in use.
    pub(super) allocated: i64,
    /// Thousandths that are free and fragmented.
    pub(super) fragmented: f64,
}

/// Figures at one load, in per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// GPU in use, of the cluster.
    pub allocated: f64,
    /// Fragmented GPU, of the cluster.
    pub fragmented: f64,
    /// Fragmented GPU, of what is idle.
    pub fragmented_of_idle: f64,
}

/// Sums at one load.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: u32,
    allocated: f64,
    /// In thousandths of a GPU.
    fragmented: f64,
    fragmented_of_idle: f64,
}

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Series {
    loads: Vec<Sums>,
    /// The GPUs of the cluster, in thousandths.
    total: i64,
    /// How many pods arrived, and how many of them found no place.
    pub arrived: u32,
    /// How many pods found no place.
    pub dropped: u32,
}

impl Series {
    pub(super) fn new(total: i64) -> Series {
        Series { loads: vec![Sums::default(); LOAD_MAX + 1], total, arrived: 0, dropped: 0 }
    }

    /// Takes note of a state. Roundings are those of the authors' logs and of their
    /// `experiments/analysis`.
    pub(super) fn note(&mut self, state: &State) {
        let percent = |milli: i64| 100.0 * milli as f64 / state.total as f64;
        let load = percent(state.arrived).round_ties_even() as usize;
        let Some(sums) = self.loads.get_mut(load) else { return };
        let idle = state.total - state.allocated;
        sums.count += 1;
        sums.allocated += hundredths(percent(state.allocated));
        sums.fragmented += hundredths(state.fragmented);
        sums.fragmented_of_idle +=
            if idle > 0 { hundredths(100.0 * state.fragmented / idle as f64) } else { 0.0 };
    }

    /// The figures at a load in per cent, from its neighbours if there is nothing at it. `None` if
    /// nothing is near.
    pub fn at(&self, load: usize) -> Option<Point> {
        let known = |range: std::ops::RangeInclusive<usize>| {
            let near = self.loads.get(range.clone()).unwrap_or_default().iter();
            near.fold(Sums::default(), |a, b| Sums {
                count: a.count + b.count,
                allocated: a.allocated + b.allocated,
                fragmented: a.fragmented + b.fragmented,
                fragmented_of_idle: a.fragmented_of_idle + b.fragmented_of_idle,
            })
        };
        let exact = known(load..=load);
        let sums = if exact.count > 0 { exact } else { known(load.saturating_sub(1)..=load + 1) };
        let count = f64::from(sums.count);
        (sums.count > 0).then(|| Point {
            allocated: hundredths(sums.allocated / count),
            fragmented: hundredths(100.0 * (sums.fragmented / count) / self.total as f64),
            fragmented_of_idle: sums.fragmented_of_idle / count,
        })
    }
}

/// Rounded to two decimals.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round_ties_even() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_means_over_the_states_of_a_load() {
        let mut series = Series::new(10_000);
        let mut note = |arrived, allocated, fragmented| {
            series.note(&State { total: 10_000, arrived, allocated, fragmented });
        };
        note(4_960, 4_000, 1_000.0);
        note(5_049, 5_000, 2_000.0);
        note(5_051, 9_999, 9_999.0);
        let expected = Point { allocated: 45.0, fragmented: 15.0, fragmented_of_idle: 28.335 };
        assert_eq!(series.at(50), Some(expected));
        assert_eq!(series.at(52).map(|point| point.allocated), Some(99.99));
        assert_eq!(series.at(60), None);
    }
}
