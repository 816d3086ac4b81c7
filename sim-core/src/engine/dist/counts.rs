//! Distributions of decisions, counts and ranks. Each draw takes exactly one word of its stream.

use std::sync::Arc;

use seatrial_api::stream::Stream;
use seatrial_api::units::Ratio;

use super::special::{GammaQuantile, normal_quantile};
use super::{DistributionError, error};

/// A coin that falls on its face with a given chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bernoulli {
    /// The number of words, out of 2^64, that mean yes.
    threshold: u128,
}

impl Bernoulli {
    /// A coin that says yes in a share `chance` of the draws, exact to 2^-64.
    ///
    /// # Errors
    /// If `chance` is not between 0 and 1.
    pub fn new(chance: Ratio) -> Result<Bernoulli, DistributionError> {
        let (num, den) = if chance.den < 0 {
            (-i128::from(chance.num), -i128::from(chance.den))
        } else {
            (i128::from(chance.num), i128::from(chance.den))
        };
        if num < 0 || num > den {
            return Err(error("probability", "between 0 and 1", &chance.as_f64()));
        }
        Ok(Bernoulli { threshold: ((num as u128) << 64) / den as u128 })
    }

    /// The next decision.
    #[inline]
    pub fn draw(&self, stream: &mut Stream) -> bool {
        u128::from(stream.next_u64()) < self.threshold
    }
}

/// The number of independent events in a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Poisson {
    mean: f64,
}

/// Below this mean the probabilities are summed from zero upwards.
const SUMMED_MEAN_MAX: f64 = 32.0;

impl Poisson {
    /// The distribution with this mean.
    ///
    /// # Errors
    /// If `mean` is not a number from 0 to a billion.
    pub fn new(mean: f64) -> Result<Poisson, DistributionError> {
        match (0.0..=1e9).contains(&mean) {
            true => Ok(Poisson { mean }),
            false => Err(error("mean", "a number from 0 to a billion", &mean)),
        }
    }

    /// The next count.
    pub fn draw(&self, stream: &mut Stream) -> u64 {
        let unit = stream.open_unit();
        if self.mean <= SUMMED_MEAN_MAX { self.summed(unit) } else { self.searched(unit) }
    }

    /// The smallest count whose cumulative probability reaches `unit`, summed from zero.
    pub(super) fn summed(&self, unit: f64) -> u64 {
        let mut count = 0;
        let mut probability = libm::exp(-self.mean);
        let mut below = probability;
        while below < unit && probability > 0.0 {
            count += 1;
            probability *= self.mean / count as f64;
            below += probability;
        }
        count
    }

    /// The same, searched from a normal approximation that is off by a few at most.
    pub(super) fn searched(&self, unit: f64) -> u64 {
        let z = normal_quantile(unit);
        let guess = self.mean + z * libm::sqrt(self.mean) + (z * z - 1.0) / 6.0;
        let mut count = guess.max(0.0) as u64;
        // The chance of at most k events in mean time m is that of the (k+1)-th coming after m.
        let mut at_most = 1.0 - GammaQuantile::new(count as f64 + 1.0).below(self.mean);
        let n = count as f64;
        let mut probability = libm::exp(n * libm::log(self.mean) - self.mean - libm::lgamma(n + 1.0));
        while at_most < unit && probability > 0.0 {
            count += 1;
            probability *= self.mean / count as f64;
            at_most += probability;
        }
        while count > 0 && at_most - probability >= unit {
            at_most -= probability;
            probability *= count as f64 / self.mean;
            count -= 1;
        }
        count
    }
}

/// Ranks by popularity: rank `k` of `1..=ranks` has a chance in proportion to `k^-exponent`.
#[derive(Clone, Debug, PartialEq)]
pub struct Zipf {
    ranks: u64,
    exponent: f64,
    /// The cumulative weights of the first ranks.
    head: Arc<[f64]>,
    /// The weight of all ranks.
    total: f64,
}

/// Ranks whose weights are summed exactly; those beyond are integrated, with a relative error
/// below 1e-6.
const HEAD_MAX: u64 = 1_024;

impl Zipf {
    /// The distribution over `1..=ranks`.
    ///
    /// # Errors
    /// If `ranks` is zero or `exponent` is not a number from 0 to 100.
    pub fn new(ranks: u64, exponent: f64) -> Result<Zipf, DistributionError> {
        if ranks == 0 || ranks > 1 << 52 {
            return Err(error("ranks", "from 1 to 2^52", &ranks));
        }
        if !(0.0..=100.0).contains(&exponent) {
            return Err(error("exponent", "a number from 0 to 100", &exponent));
        }
        let head: Arc<[f64]> = (1..=ranks.min(HEAD_MAX))
            .scan(0.0, |sum, rank| {
                *sum += libm::pow(rank as f64, -exponent);
                Some(*sum)
            })
            .collect();
        let mut zipf = Zipf { ranks, exponent, total: head.last().copied().unwrap_or(0.0), head };
        if ranks > HEAD_MAX {
            zipf.total += zipf.integral(ranks as f64 + 0.5) - zipf.integral(HEAD_MAX as f64 + 0.5);
        }
        Ok(zipf)
    }

    /// The next rank.
    pub fn draw(&self, stream: &mut Stream) -> u64 {
        let weight = stream.open_unit() * self.total;
        let rank = self.head.partition_point(|&sum| sum < weight);
        if let Some(beyond) = self.head.last().filter(|_| rank == self.head.len()) {
            let at = self.integral(HEAD_MAX as f64 + 0.5) + (weight - beyond);
            let rank = (self.integral_inverse(at) + 0.5) as u64;
            return rank.clamp(self.head.len() as u64, self.ranks);
        }
        rank as u64 + 1
    }

    /// The integral of `x^-exponent` from 1 to `x`, also where the exponent is 1 or close to it.
    fn integral(&self, x: f64) -> f64 {
        let power = 1.0 - self.exponent;
        let log = libm::log(x);
        if power == 0.0 { log } else { libm::expm1(power * log) / power }
    }

    fn integral_inverse(&self, integral: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power == 0.0 { libm::exp(integral) } else { libm::exp(libm::log1p(power * integral) / power) }
    }
}
