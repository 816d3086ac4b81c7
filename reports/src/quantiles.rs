//! Percentiles of latencies.

use seatrial_api::units::Span;
use serde::Serialize;

use crate::amounts::seconds;

/// The percentiles of a latency in seconds, by nearest rank: each is a latency that occurred, the
/// smallest that is at least as long as so many percent of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Over how many pods.
    pub pods: usize,
    /// The median.
    #[serde(serialize_with = "seconds")]
    pub p50: Span,
    /// The 90th percentile.
    #[serde(serialize_with = "seconds")]
    pub p90: Span,
    /// The 99th percentile.
    #[serde(serialize_with = "seconds")]
    pub p99: Span,
    /// The longest.
    #[serde(serialize_with = "seconds")]
    pub max: Span,
}

impl Percentiles {
    /// The percentiles of `latencies`, in any order; `None` if there are none.
    pub(crate) fn of(mut latencies: Vec<Span>) -> Option<Percentiles> {
        latencies.sort_unstable();
        let max = *latencies.last()?;
        let rank = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100) - 1];
        Some(Percentiles { pods: latencies.len(), p50: rank(50), p90: rank(90), p99: rank(99), max })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_percentiles_and_one_value_is_all_of_them() {
        assert_eq!(Percentiles::of(Vec::new()), None);
        let one = Percentiles::of(vec![Span::from_secs(3)]).expect("one value");
        assert_eq!((one.p50, one.p90, one.p99, one.max), (one.max, one.max, one.max, Span::from_secs(3)));
    }

    #[test]
    fn the_percentiles_of_one_to_a_hundred_are_their_own_ranks() {
        let all = Percentiles::of((1..=100).rev().map(Span::from_secs).collect()).expect("values");
        let expected = [50, 90, 99, 100].map(Span::from_secs);
        assert_eq!([all.p50, all.p90, all.p99, all.max], expected);
    }

    proptest! {
        #[test]
        fn each_percentile_is_a_value_with_enough_at_or_below_it(values in prop::collection::vec(0_i64..1_000, 1..200)) {
            let found = Percentiles::of(values.iter().copied().map(Span::from_nanos).collect()).expect("values");
            for (percent, value) in [(50, found.p50), (90, found.p90), (99, found.p99), (100, found.max)] {
                let value = value.nanos();
                prop_assert!(values.contains(&value));
                let at_or_below = values.iter().filter(|other| **other <= value).count();
                let below = values.iter().filter(|other| **other < value).count();
                prop_assert!(at_or_below * 100 >= percent * values.len());
                prop_assert!(below * 100 < percent * values.len());
            }
        }
    }
}
