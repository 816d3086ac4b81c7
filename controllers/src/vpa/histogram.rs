//! Histograms whose weights decay, from which recommendations are read (upstream, in the autoscaler's
//! repository, `vertical-pod-autoscaler/pkg/recommender/util`).
//!
//! Floats are those of IEEE 754 with the pinned `libm`, so that the outcome is the same everywhere.

use seatrial_api::units::{SimTime, Span};

/// How much wider each bucket is than the one before.
const GROWTH: f64 = 1.05;
/// The time in which a sample loses half of its weight.
const HALF_LIFE: Span = Span::from_secs(24 * 3_600);
/// The weight below which a bucket counts as empty.
const EPSILON: f64 = 1e-4;
/// Beyond so many half-lives the weights are scaled down, so that they stay finite.
const EXPONENT_MAX: f64 = 100.0;

/// The borders of a histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// The width of the first bucket.
    pub(super) first: f64,
    /// Where the last bucket begins, at most.
    pub(super) max: f64,
}

/// CPU, in cores.
pub(super) const CPU: Scale = Scale { first: 0.01, max: 1_000.0 };
/// Memory, in bytes.
pub(super) const MEMORY: Scale = Scale { first: 1e7, max: 1e12 };

impl Scale {
    /// Where each bucket begins.
    fn starts(self) -> Vec<f64> {
        let ratio = self.max * (GROWTH - 1.0) / self.first + 1.0;
        let count = (libm::log(ratio) / libm::log(GROWTH)).ceil() as i32 + 1;
        let start = |bucket: i32| {
            if bucket == 0 {
                0.0
            } else {
                self.first * (libm::pow(GROWTH, f64::from(bucket)) - 1.0) / (GROWTH - 1.0)
            }
        };
        (0..count).map(start).collect()
    }
}

/// A histogram.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    starts: Vec<f64>,
    weights: Vec<f64>,
    total: f64,
    /// At this instant a sample has the weight that is given.
    reference: SimTime,
}

impl Histogram {
    pub(super) fn new(scale: Scale) -> Histogram {
        let starts = scale.starts();
        Histogram { weights: vec![0.0; starts.len()], starts, total: 0.0, reference: SimTime::ZERO }
    }

    /// Adds a sample.
    pub(super) fn add(&mut self, value: f64, weight: f64, at: SimTime) {
        let weight = weight * self.decay_factor(at);
        let bucket = self.bucket(value);
        self.weights[bucket] += weight;
        self.total += weight;
    }

    /// Takes a sample away that was added with the same instant.
    pub(super) fn subtract(&mut self, value: f64, weight: f64, at: SimTime) {
        let weight = weight * self.decay_factor(at);
        let bucket = self.bucket(value);
        self.weights[bucket] = (self.weights[bucket] - weight).max(0.0);
        self.total = (self.total - weight).max(0.0);
    }

    /// The value that a share of the weight does not exceed: the end of its bucket, or the start of
    /// the last one, which has no end. Zero while there are no samples.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        let filled = |weight: &f64| *weight >= EPSILON;
        let (Some(first), Some(last)) =
            (self.weights.iter().position(filled), self.weights.iter().rposition(filled))
        else {
            return 0.0;
        };
        let threshold = share * self.total;
        let mut sum = 0.0;
        let mut bucket = first;
        while bucket < last {
            sum += self.weights[bucket];
            if sum >= threshold {
                break;
            }
            bucket += 1;
        }
        self.starts[(bucket + 1).min(self.starts.len() - 1)]
    }

    fn bucket(&self, value: f64) -> usize {
        self.starts.partition_point(|&start| start <= value).saturating_sub(1)
    }

    fn decay_factor(&mut self, at: SimTime) -> f64 {
        let age = |reference: SimTime| (at - reference).nanos() as f64 / HALF_LIFE.nanos() as f64;
        if age(self.reference) > EXPONENT_MAX {
            let shift = libm::floor(age(self.reference));
            let scale = libm::exp2(-shift);
            self.weights.iter_mut().for_each(|weight| *weight *= scale);
            self.total *= scale;
            self.reference += HALF_LIFE.times(shift as i64);
        }
        libm::exp2(age(self.reference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> SimTime {
        SimTime::from_secs(hours * 3_600)
    }

    #[test]
    fn buckets_grow_by_five_percent_up_to_the_greatest_value() {
        let starts = CPU.starts();
        assert_eq!((starts.len(), starts[0], starts[1]), (176, 0.0, 0.01));
        assert!((starts[2] - 0.0205).abs() < 1e-12 && starts[175] >= 1_000.0 && starts[174] < 1_000.0);
        assert_eq!(MEMORY.starts().len(), 176);
    }

    #[test]
    fn a_percentile_is_the_end_of_its_bucket() {
        let mut histogram = Histogram::new(CPU);
        assert_eq!(histogram.percentile(0.9), 0.0);
        for _ in 0..9 {
            histogram.add(0.005, 0.1, at(0));
        }
        histogram.add(5_000.0, 0.1, at(0));
        let last = CPU.starts()[175];
        for (share, expected) in [(0.0, 0.01), (0.5, 0.01), (0.89, 0.01), (0.95, last), (1.0, last)] {
            assert_eq!(histogram.percentile(share), expected, "{share}");
        }
    }

    #[test]
    fn what_is_older_weighs_less_and_what_is_taken_away_nothing() {
        let mut histogram = Histogram::new(CPU);
        histogram.add(1.0, 1.0, at(0));
        histogram.add(0.005, 1.0, at(24));
        assert_eq!(histogram.percentile(0.6), 0.01, "the newer one has two thirds of the weight");
        histogram.subtract(0.005, 1.0, at(24));
        assert!(histogram.percentile(0.6) > 1.0);
    }

    #[test]
    fn after_a_hundred_half_lives_the_weights_are_still_finite() {
        let mut histogram = Histogram::new(CPU);
        for day in 0..400 {
            histogram.add(0.5, 0.1, at(day * 24));
            assert!(histogram.total.is_finite() && histogram.percentile(0.5) > 0.5, "day {day}");
        }
    }

    proptest::proptest! {
        #[test]
        fn percentiles_rise_with_the_share_and_cover_their_samples(
            samples in proptest::collection::vec((0.0f64..900.0, 0i64..500), 1..60),
        ) {
            let mut histogram = Histogram::new(CPU);
            for &(value, hours) in &samples {
                histogram.add(value, 0.1, at(hours));
            }
            let shares = [0.0, 0.1, 0.5, 0.9, 0.95, 1.0].map(|share| histogram.percentile(share));
            proptest::prop_assert!(shares.is_sorted());
            let newest = samples.iter().max_by_key(|sample| sample.1).map_or(0.0, |sample| sample.0);
            proptest::prop_assert!(shares[5] >= newest, "{shares:?} {newest}");
        }
    }
}
