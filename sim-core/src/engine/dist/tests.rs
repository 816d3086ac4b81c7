//! Samples against what is known of each distribution in closed form.

use super::*;
use crate::engine::dist::counts::{Bernoulli, Poisson, Zipf};
use seatrial_api::units::Ratio;

const SECOND: f64 = 1e9;
const SAMPLES: usize = 200_000;

fn secs(seconds: i64) -> Span {
    Span::from_secs(seconds)
}

fn samples(distribution: &Distribution) -> Vec<f64> {
    let sampler = distribution.sampler().expect("invariant: the parameters are in range");
    let mut stream = Stream::new(1, 2, 3);
    (0..SAMPLES).map(|_| sampler.draw(&mut stream).nanos() as f64 / SECOND).collect()
}

fn moments(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    (mean, samples.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}

/// Mean and variance in seconds, as textbooks give them.
fn closed_forms() -> Vec<(Distribution, f64, f64)> {
    let gamma = |x: f64| libm::tgamma(x);
    let weighted = |value, weight| Weighted { value: secs(value), weight };
    vec![
        (Distribution::Constant { value: secs(3) }, 3.0, 0.0),
        (Distribution::Uniform { low: secs(1), high: secs(4) }, 2.5, 0.75),
        (Distribution::Exponential { mean: secs(2) }, 2.0, 4.0),
        (Distribution::Normal { mean: secs(10), deviation: secs(2) }, 10.0, 4.0),
        (
            Distribution::Weibull { scale: secs(2), shape: 1.5 },
            2.0 * gamma(1.0 + 1.0 / 1.5),
            4.0 * (gamma(1.0 + 2.0 / 1.5) - gamma(1.0 + 1.0 / 1.5) * gamma(1.0 + 1.0 / 1.5)),
        ),
        (Distribution::Pareto { minimum: secs(1), shape: 5.0 }, 1.25, 5.0 / (16.0 * 3.0)),
        (Distribution::Gamma { mean: secs(3), shape: 0.5 }, 3.0, 18.0),
        (Distribution::Gamma { mean: secs(3), shape: 7.5 }, 3.0, 1.2),
        (Distribution::Erlang { mean: secs(3), stages: 4 }, 3.0, 2.25),
        (Distribution::Empirical { values: vec![weighted(5, 1), weighted(1, 3), weighted(9, 0)] }, 2.0, 3.0),
    ]
}

#[test]
fn moments_are_those_of_the_closed_form() {
    for (distribution, mean, variance) in closed_forms() {
        let found = moments(&samples(&distribution));
        assert!((found.0 - mean).abs() <= 0.01 * mean, "{distribution:?}: mean {} not {mean}", found.0);
        assert!(
            (found.1 - variance).abs() <= 0.05 * variance,
            "{distribution:?}: {} not {variance}",
            found.1
        );
    }
}

#[test]
fn a_lognormal_has_the_median_and_percentile_it_was_given_and_stays_within_its_bounds() {
    for (median, p99) in [(2, 8), (1, 100), (5, 5)] {
        let mut samples = samples(&Distribution::Lognormal { median: secs(median), p99: secs(p99) });
        samples.sort_by(f64::total_cmp);
        let (median, p99) = (median as f64, p99 as f64);
        assert!((samples[SAMPLES / 2] / median - 1.0).abs() < 0.02, "{}", samples[SAMPLES / 2]);
        assert!((samples[SAMPLES / 100 * 99] / p99 - 1.0).abs() < 0.03, "{}", samples[SAMPLES / 100 * 99]);
        assert!(samples[0] >= median / 10.0 && samples[SAMPLES - 1] <= 3.0 * p99);
    }
}

#[test]
fn every_sample_takes_exactly_one_word_whatever_the_distribution() {
    for (distribution, ..) in closed_forms() {
        let sampler = distribution.sampler().expect("invariant: the parameters are in range");
        let (mut drawn, mut counted) = (Stream::new(1, 2, 3), Stream::new(1, 2, 3));
        for _ in 0..1_000 {
            sampler.draw(&mut drawn);
            counted.next_u64();
        }
        assert_eq!(drawn, counted, "{distribution:?}");
    }
}

#[test]
fn a_normal_sample_is_never_negative() {
    let samples = samples(&Distribution::Normal { mean: secs(1), deviation: secs(5) });
    assert!(samples.iter().all(|&sample| sample >= 0.0));
}

#[test]
fn amounts_of_other_units_are_drawn_alike() {
    let sampler =
        Distribution::Uniform { low: Bytes(1), high: Bytes(3) }.sampler().expect("invariant: valid");
    let mut stream = Stream::new(1, 2, 3);
    let mut counts = [0; 3];
    (0..3_000).for_each(|_| counts[sampler.draw(&mut stream).0 as usize - 1] += 1);
    assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
}

#[test]
fn the_widest_parameters_neither_panic_nor_wrap() {
    let widest = [
        Distribution::Uniform { low: Span::ZERO, high: Span::MAX },
        Distribution::Exponential { mean: Span::MAX },
        Distribution::Normal { mean: Span::MAX, deviation: Span::MAX },
        Distribution::Lognormal { median: Span::from_nanos(1), p99: Span::MAX },
        Distribution::Weibull { scale: Span::MAX, shape: 1e-9 },
        Distribution::Pareto { minimum: Span::MAX, shape: 1e-9 },
        Distribution::Gamma { mean: Span::MAX, shape: 1e-9 },
        Distribution::Gamma { mean: Span::from_nanos(1), shape: 1e6 },
        Distribution::Erlang { mean: Span::MAX, stages: u32::MAX },
        Distribution::Empirical { values: vec![Weighted { value: Span::MAX, weight: u32::MAX }; 3] },
    ];
    for distribution in widest {
        let sampler = distribution.sampler().expect("invariant: the parameters are in range");
        let mut stream = Stream::new(1, 2, 3);
        assert!((0..1_000).all(|_| sampler.draw(&mut stream) >= Span::ZERO), "{distribution:?}");
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    let (zero, one, minus) = (Span::ZERO, secs(1), secs(-1));
    let wrong = [
        (Distribution::Constant { value: minus }, "value"),
        (Distribution::Uniform { low: minus, high: one }, "low"),
        (Distribution::Uniform { low: one, high: zero }, "high"),
        (Distribution::Exponential { mean: zero }, "mean"),
        (Distribution::Normal { mean: minus, deviation: one }, "mean"),
        (Distribution::Normal { mean: one, deviation: minus }, "deviation"),
        (Distribution::Lognormal { median: zero, p99: one }, "median"),
        (Distribution::Lognormal { median: secs(2), p99: one }, "p99"),
        (Distribution::Weibull { scale: one, shape: 0.0 }, "shape"),
        (Distribution::Pareto { minimum: one, shape: f64::NAN }, "shape"),
        (Distribution::Gamma { mean: one, shape: f64::INFINITY }, "shape"),
        (Distribution::Erlang { mean: one, stages: 0 }, "stages"),
        (Distribution::Empirical { values: vec![] }, "values"),
        (Distribution::Empirical { values: vec![Weighted { value: minus, weight: 1 }] }, "value"),
    ];
    for (distribution, parameter) in wrong {
        assert_eq!(
            distribution.sampler().err().map(|error| error.parameter),
            Some(parameter),
            "{distribution:?}"
        );
    }
    let error = Distribution::Weibull { scale: one, shape: -2.0 }.sampler().expect_err("invariant: negative");
    assert_eq!(error.to_string(), "`shape` must be a positive number up to a million, found -2.0");
}

#[test]
fn a_coin_falls_as_often_as_its_chance_says() {
    let mut stream = Stream::new(1, 2, 3);
    for (num, den, share) in [(0, 1, 0.0), (1, 4, 0.25), (-1, -2, 0.5), (1, 1, 1.0)] {
        let coin = Bernoulli::new(Ratio::new(num, den)).expect("invariant: a share");
        let faces = (0..SAMPLES).filter(|_| coin.draw(&mut stream)).count() as f64 / SAMPLES as f64;
        assert!((faces - share).abs() < 0.005, "{num}/{den}: {faces}");
        assert!((share != 0.0 || faces == 0.0) && (share != 1.0 || faces == 1.0));
    }
    assert!(Bernoulli::new(Ratio::new(3, 2)).is_err());
    assert!(Bernoulli::new(Ratio::new(-1, 2)).is_err());
}

#[test]
fn poisson_counts_have_their_mean_as_variance() {
    for mean in [0.0, 0.3, 5.0, 31.9, 32.1, 500.0, 1e6] {
        let poisson = Poisson::new(mean).expect("invariant: in range");
        let mut stream = Stream::new(1, 2, 3);
        let counts: Vec<f64> = (0..20_000).map(|_| poisson.draw(&mut stream) as f64).collect();
        let found = moments(&counts);
        assert!((found.0 - mean).abs() <= 0.02 * mean, "{mean}: mean {}", found.0);
        assert!((found.1 - mean).abs() <= 0.05 * mean, "{mean}: variance {}", found.1);
    }
    assert!(Poisson::new(-1.0).is_err() && Poisson::new(f64::NAN).is_err());
}

#[test]
fn both_ways_to_a_poisson_count_agree() {
    for mean in [20.0, 31.5] {
        let summed = Poisson::new(mean).expect("invariant: in range");
        for n in 1..2_000 {
            let unit = f64::from(n) / 2_000.0;
            assert_eq!(summed.summed(unit), summed.searched(unit), "mean {mean} at {unit}");
        }
    }
}

#[test]
fn zipf_ranks_fall_off_with_their_power_also_beyond_the_summed_ones() {
    for (ranks, exponent) in
        [(1, 1.0), (10, 0.0), (1_000, 1.0), (100_000, 0.8), (100_000, 1.0), (1 << 40, 1.2)]
    {
        let zipf = Zipf::new(ranks, exponent).expect("invariant: in range");
        let mut stream = Stream::new(1, 2, 3);
        let drawn: Vec<u64> = (0..SAMPLES).map(|_| zipf.draw(&mut stream)).collect();
        assert!(drawn.iter().all(|rank| (1..=ranks).contains(rank)));
        // The shares of the first ranks, and of decades beyond the table, against a direct sum.
        let total: f64 = if ranks <= 100_000 {
            (1..=ranks).map(|rank| libm::pow(rank as f64, -exponent)).sum()
        } else {
            5.591_582_441 // The zeta function at 1.2, less what lies beyond 2^40.
                - libm::pow(ranks as f64, -0.2) / 0.2
        };
        for (from, to) in [(1, 1), (2, 10), (1_000, 1_100), (1_200, 9_999), (10_000, 99_999)] {
            let (from, to) = (from.min(ranks), to.min(ranks));
            let expected = (from..=to).map(|rank| libm::pow(rank as f64, -exponent)).sum::<f64>() / total;
            let found =
                drawn.iter().filter(|rank| (from..=to).contains(rank)).count() as f64 / SAMPLES as f64;
            assert!(
                (found - expected).abs() < 0.005,
                "{ranks}^-{exponent} {from}..={to}: {found}, not {expected}"
            );
        }
    }
    assert!(Zipf::new(0, 1.0).is_err() && Zipf::new(10, -1.0).is_err());
}
