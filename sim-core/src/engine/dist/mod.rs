//! Sampling: the one module that turns random words into quantities.
//!
//! Every sample is the inverse of a cumulative distribution at one uniform draw, so it takes
//! exactly one word of its [`Stream`]: two runs that differ in a distribution stay aligned draw for
//! draw. All mathematics is plain `f64` arithmetic and
//! the pinned `libm`, so equal seeds give equal samples on every platform; the first thousand
//! samples of each distribution are fixed by tests. Results are integers (a [`Span`] is whole
//! nanoseconds), rounded to nearest and never negative.

mod counts;
#[cfg(test)]
mod golden;
mod special;
#[cfg(test)]
mod tests;

pub use counts::{Bernoulli, Poisson, Zipf};

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use seatrial_api::stream::Stream;
use seatrial_api::units::{Bytes, MilliCpu, Span};

/// Standard deviations between the median and the 99th percentile of a normal distribution, as
/// latency models state it, rounded.
const P99_DEVIATIONS: f64 = 2.326;

/// The largest shape parameter: beyond it a Gamma distribution is a constant for all purposes.
const SHAPE_MAX: f64 = 1e6;

/// What can be drawn from a distribution: an integer amount of some unit.
pub trait Quantity: Copy + PartialEq + fmt::Debug {
    /// The quantity of `amount` units.
    fn from_amount(amount: i64) -> Self;
    /// How many units it is.
    fn amount(self) -> i64;
}

impl Quantity for Span {
    fn from_amount(amount: i64) -> Self {
        Span::from_nanos(amount)
    }
    fn amount(self) -> i64 {
        self.nanos()
    }
}

impl Quantity for MilliCpu {
    fn from_amount(amount: i64) -> Self {
        MilliCpu(amount)
    }
    fn amount(self) -> i64 {
        self.0
    }
}

impl Quantity for Bytes {
    fn from_amount(amount: i64) -> Self {
        Bytes(amount)
    }
    fn amount(self) -> i64 {
        self.0
    }
}

/// The description of a distribution of times or amounts, as a scenario file gives it.
///
/// Shape parameters are pure numbers, the one place where a float describes anything.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution<T: Quantity = Span> {
    /// Always the same.
    Constant {
        /// The value.
        value: T,
    },
    /// Every value from `low` to `high`, both included, is equally likely.
    Uniform {
        /// The least value.
        low: T,
        /// The greatest value, at least `low`.
        high: T,
    },
    /// The time between events that happen independently at a steady rate.
    Exponential {
        /// The mean, positive.
        mean: T,
    },
    /// A bell curve; what would be negative is zero.
    Normal {
        /// The mean.
        mean: T,
        /// The standard deviation, not negative.
        deviation: T,
    },
    /// The usual shape of a latency. Samples are kept within `median / 10` and `3 * p99` by moving
    /// those outside to the bound, which leaves the two percentiles as they are stated.
    Lognormal {
        /// Half of the samples are below, positive.
        median: T,
        /// 99 of 100 samples are below, at least `median`.
        p99: T,
    },
    /// Life times: `shape` below 1 for early failures, above 1 for wear.
    Weibull {
        /// 63.2 % of the samples are below, positive.
        scale: T,
        /// The shape, positive.
        shape: f64,
    },
    /// Heavy tails: the chance of exceeding `x` is `(minimum / x)^shape`.
    Pareto {
        /// The least value, positive.
        minimum: T,
        /// The tail index, positive; the mean is infinite at 1 and below.
        shape: f64,
    },
    /// The Gamma distribution, given by its mean.
    Gamma {
        /// The mean, positive.
        mean: T,
        /// The shape, positive; the variance is `mean² / shape`.
        shape: f64,
    },
    /// The sum of `stages` exponential times.
    Erlang {
        /// The mean of the sum, positive.
        mean: T,
        /// The number of stages, at least 1.
        stages: u32,
    },
    /// Observed values, each as often as its weight says.
    Empirical {
        /// The table, in any order.
        values: Vec<Weighted<T>>,
    },
}

/// A row of an empirical distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighted<T> {
    /// The value.
    pub value: T,
    /// How often it was seen.
    pub weight: u32,
}

/// A parameter for which no distribution exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionError {
    /// The name of the parameter, as the scenario file spells it.
    pub parameter: &'static str,
    /// What it should be.
    pub wanted: &'static str,
    /// What it is.
    pub found: String,
}

impl fmt::Display for DistributionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` must be {}, found {}", self.parameter, self.wanted, self.found)
    }
}

impl std::error::Error for DistributionError {}

/// A distribution ready to be drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler<T: Quantity = Span> {
    law: Law,
    unit: PhantomData<T>,
}

/// The parameters of each law in the form in which a draw needs them.
#[derive(Clone, Debug, PartialEq)]
enum Law {
    Constant { value: i64 },
    Uniform { low: i64, values: u64 },
    Exponential { mean: f64 },
    Normal { mean: f64, deviation: f64 },
    Lognormal { mu: f64, sigma: f64, low: f64, high: f64 },
    Weibull { scale: f64, exponent: f64 },
    Pareto { minimum: f64, exponent: f64 },
    Gamma { quantile: special::GammaQuantile, scale: f64 },
    Empirical { values: Arc<[i64]>, cumulative: Arc<[u64]> },
}

impl<T: Quantity> Distribution<T> {
    /// Checks the parameters and prepares the draws.
    ///
    /// # Errors
    /// If a parameter is out of the range that its documentation states.
    pub fn sampler(&self) -> Result<Sampler<T>, DistributionError> {
        let law = match self {
            Distribution::Constant { value } => Law::Constant { value: not_negative("value", *value)? },
            Distribution::Uniform { low, high } => {
                let low = not_negative("low", *low)?;
                let width = high.amount().checked_sub(low).filter(|&width| width >= 0);
                let width = width.ok_or_else(|| error("high", "at least `low`", high))?;
                Law::Uniform { low, values: width as u64 + 1 }
            }
            Distribution::Exponential { mean } => Law::Exponential { mean: positive("mean", *mean)? },
            Distribution::Normal { mean, deviation } => Law::Normal {
                mean: not_negative("mean", *mean)? as f64,
                deviation: not_negative("deviation", *deviation)? as f64,
            },
            Distribution::Lognormal { median, p99 } => lognormal(*median, *p99)?,
            Distribution::Weibull { scale, shape } => Law::Weibull {
                scale: positive("scale", *scale)?,
                exponent: 1.0 / positive_number("shape", *shape)?,
            },
            Distribution::Pareto { minimum, shape } => Law::Pareto {
                minimum: positive("minimum", *minimum)?,
                exponent: -1.0 / positive_number("shape", *shape)?,
            },
            Distribution::Gamma { mean, shape } => gamma(*mean, positive_number("shape", *shape)?)?,
            Distribution::Erlang { mean, stages: 0 } => {
                positive("mean", *mean)?;
                return Err(error("stages", "at least 1", &0));
            }
            Distribution::Erlang { mean, stages } => gamma(*mean, f64::from(*stages).min(SHAPE_MAX))?,
            Distribution::Empirical { values } => empirical(values)?,
        };
        Ok(Sampler { law, unit: PhantomData })
    }
}

fn lognormal<T: Quantity>(median: T, p99: T) -> Result<Law, DistributionError> {
    let middle = positive("median", median)?;
    if p99.amount() < median.amount() {
        return Err(error("p99", "at least `median`", &p99));
    }
    let high = p99.amount() as f64;
    let (mu, sigma) = (libm::log(middle), libm::log(high / middle) / P99_DEVIATIONS);
    Ok(Law::Lognormal { mu, sigma, low: middle / 10.0, high: 3.0 * high })
}

fn gamma<T: Quantity>(mean: T, shape: f64) -> Result<Law, DistributionError> {
    let scale = positive("mean", mean)? / shape;
    Ok(Law::Gamma { quantile: special::GammaQuantile::new(shape), scale })
}

fn empirical<T: Quantity>(rows: &[Weighted<T>]) -> Result<Law, DistributionError> {
    let sorted = rows.iter().map(|row| Ok((not_negative("value", row.value)?, u64::from(row.weight))));
    let mut sorted = sorted.collect::<Result<Vec<_>, DistributionError>>()?;
    sorted.retain(|&(_, weight)| weight > 0);
    sorted.sort_unstable();
    if sorted.is_empty() {
        return Err(error("values", "a table with at least one positive weight", &rows.len()));
    }
    let cumulative = sorted.iter().scan(0u64, |sum, &(_, weight)| {
        *sum += weight;
        Some(*sum)
    });
    Ok(Law::Empirical {
        cumulative: cumulative.collect(),
        values: sorted.iter().map(|&(value, _)| value).collect(),
    })
}

impl<T: Quantity> Sampler<T> {
    /// The first sample of a stream, which is made only if the distribution draws from it.
    #[inline]
    pub fn draw_from(&self, stream: impl FnOnce() -> Stream) -> T {
        match self.law {
            Law::Constant { value } => T::from_amount(value),
            _ => self.draw(&mut stream()),
        }
    }

    /// The next sample, never negative. Takes exactly one word of `stream`.
    #[inline]
    pub fn draw(&self, stream: &mut Stream) -> T {
        T::from_amount(self.law.draw(stream))
    }
}

impl Law {
    fn draw(&self, stream: &mut Stream) -> i64 {
        match self {
            Law::Constant { value } => {
                stream.next_u64();
                *value
            }
            Law::Uniform { low, values } => low + scaled(stream.next_u64(), *values) as i64,
            Law::Exponential { mean } => rounded(-mean * libm::log(stream.open_unit())),
            Law::Normal { mean, deviation } => {
                rounded(mean + deviation * special::normal_quantile(stream.open_unit()))
            }
            Law::Lognormal { mu, sigma, low, high } => {
                let log = mu + sigma * special::normal_quantile(stream.open_unit());
                rounded(libm::exp(log).clamp(*low, *high))
            }
            Law::Weibull { scale, exponent } => {
                rounded(scale * libm::pow(-libm::log(1.0 - stream.open_unit()), *exponent))
            }
            Law::Pareto { minimum, exponent } => {
                rounded(minimum * libm::pow(1.0 - stream.open_unit(), *exponent))
            }
            Law::Gamma { quantile, scale } => rounded(scale * quantile.at(stream.open_unit())),
            Law::Empirical { values, cumulative } => {
                let total = cumulative.last().copied().unwrap_or(0);
                let rank = scaled(stream.next_u64(), total);
                values[cumulative.partition_point(|&sum| sum <= rank)]
            }
        }
    }
}

/// The nearest amount that is not negative.
#[inline]
fn rounded(value: f64) -> i64 {
    (value.max(0.0) + 0.5) as i64
}

/// Maps a uniform word to `0..bound` in one multiplication; the bias is below `bound / 2^64`.
#[inline]
fn scaled(word: u64, bound: u64) -> u64 {
    ((u128::from(word) * u128::from(bound)) >> 64) as u64
}

fn error(parameter: &'static str, wanted: &'static str, found: &dyn fmt::Debug) -> DistributionError {
    DistributionError { parameter, wanted, found: format!("{found:?}") }
}

fn not_negative<T: Quantity>(parameter: &'static str, value: T) -> Result<i64, DistributionError> {
    match value.amount() {
        amount @ 0.. => Ok(amount),
        _ => Err(error(parameter, "not negative", &value)),
    }
}

fn positive<T: Quantity>(parameter: &'static str, value: T) -> Result<f64, DistributionError> {
    match value.amount() {
        amount @ 1.. => Ok(amount as f64),
        _ => Err(error(parameter, "positive", &value)),
    }
}

fn positive_number(parameter: &'static str, value: f64) -> Result<f64, DistributionError> {
    match value > 0.0 && value <= SHAPE_MAX {
        true => Ok(value),
        false => Err(error(parameter, "a positive number up to a million", &value)),
    }
}
