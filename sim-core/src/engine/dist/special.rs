//! Inverse cumulative distributions that have no closed form.

/// The quantile of the standard normal distribution at `unit`, strictly between 0 and 1.
///
/// Algorithm AS 241 (Wichura 1988, PPND16): rational approximations with a relative error of about
/// 1e-16.
pub(super) fn normal_quantile(unit: f64) -> f64 {
    let centred = unit - 0.5;
    if centred.abs() <= 0.425 {
        let r = 0.180625 - centred * centred;
        return centred * polynomial(&CENTRE_NUMERATOR, r) / polynomial(&CENTRE_DENOMINATOR, r);
    }
    let tail = if centred < 0.0 { unit } else { 1.0 - unit };
    let r = libm::sqrt(-libm::log(tail));
    let magnitude = if r <= 5.0 {
        polynomial(&MIDDLE_NUMERATOR, r - 1.6) / polynomial(&MIDDLE_DENOMINATOR, r - 1.6)
    } else {
        polynomial(&TAIL_NUMERATOR, r - 5.0) / polynomial(&TAIL_DENOMINATOR, r - 5.0)
    };
    if centred < 0.0 { -magnitude } else { magnitude }
}

/// The polynomial with these coefficients, the constant first, by Horner's rule.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// The quantile function of the Gamma distribution with a given shape and scale 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GammaQuantile {
    shape: f64,
    /// The logarithm of the Gamma function at `shape`.
    log_gamma: f64,
}

impl GammaQuantile {
    pub(super) fn new(shape: f64) -> Self {
        GammaQuantile { shape, log_gamma: libm::lgamma(shape) }
    }

    /// The value below which a share `unit` of the distribution lies: Halley's method on the
    /// regularised incomplete Gamma function.
    pub(super) fn at(&self, unit: f64) -> f64 {
        let mut x = self.first_guess(unit);
        for _ in 0..16 {
            if x <= 0.0 {
                return 0.0;
            }
            let density = libm::exp((self.shape - 1.0) * libm::log(x) - x - self.log_gamma);
            if density == 0.0 {
                return x;
            }
            let newton = (self.below(x) - unit) / density;
            let curvature = (newton * ((self.shape - 1.0) / x - 1.0)).min(1.0);
            let step = newton / (1.0 - 0.5 * curvature);
            // A step past zero goes half of the way there instead.
            x = if step < x { x - step } else { x / 2.0 };
            if step.abs() < 1e-9 * x {
                break;
            }
        }
        x
    }

    /// Wilson and Hilferty's cube for shapes above 1, the leading power or tail below.
    fn first_guess(&self, unit: f64) -> f64 {
        let shape = self.shape;
        if shape > 1.0 {
            let ninth = 1.0 / (9.0 * shape);
            let root = 1.0 - ninth + normal_quantile(unit) * libm::sqrt(ninth);
            return (shape * root * root * root).max(1e-3 * shape);
        }
        let split = 1.0 - shape * (0.253 + shape * 0.12);
        if unit < split {
            libm::pow(unit / split, 1.0 / shape)
        } else {
            1.0 - libm::log(1.0 - (unit - split) / (1.0 - split))
        }
    }

    /// The share of the distribution below `x`, positive.
    pub(super) fn below(&self, x: f64) -> f64 {
        let front = libm::exp(self.shape * libm::log(x) - x - self.log_gamma);
        if x < self.shape + 1.0 { front * self.series(x) } else { 1.0 - front * self.fraction(x) }
    }

    /// The power series, which converges fast below the mean.
    fn series(&self, x: f64) -> f64 {
        let mut term = 1.0 / self.shape;
        let mut sum = term;
        let mut n = self.shape;
        while term > sum * 1e-16 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        sum
    }

    /// The continued fraction, which converges fast above the mean (Lentz's method).
    fn fraction(&self, x: f64) -> f64 {
        const TINY: f64 = 1e-300;
        let mut b = x + 1.0 - self.shape;
        let mut c = 1.0 / TINY;
        let mut d = 1.0 / b;
        let mut value = d;
        for n in 1..100_000 {
            let n = f64::from(n);
            let a = -n * (n - self.shape);
            b += 2.0;
            d = 1.0 / away_from_zero(a * d + b, TINY);
            c = away_from_zero(b + a / c, TINY);
            value *= d * c;
            if (d * c - 1.0).abs() < 1e-15 {
                break;
            }
        }
        value
    }
}

fn away_from_zero(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

const CENTRE_NUMERATOR: [f64; 8] = [
    3.387_132_872_796_366_5,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
const CENTRE_DENOMINATOR: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_659_7e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_854e3,
];
const MIDDLE_NUMERATOR: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
const MIDDLE_DENOMINATOR: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const TAIL_NUMERATOR: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    2.965_605_718_285_048_7e-1,
    2.653_218_952_657_612_4e-2,
    1.242_660_947_388_078_4e-3,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const TAIL_DENOMINATOR: [f64; 8] = [
    1.0,
    5.998_322_065_558_88e-1,
    1.369_298_809_227_358e-1,
    1.487_536_129_085_061_5e-2,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_7e-15,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_below(z: f64) -> f64 {
        0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
    }

    #[test]
    fn normal_quantiles_invert_the_error_function() {
        for unit in
            [1e-300, 1e-20, 1e-12, 1e-6, 0.01, 0.05, 0.074, 0.076, 0.3, 0.5, 0.7, 0.93, 0.99, 1.0 - 1e-9]
        {
            let found = normal_below(normal_quantile(unit));
            assert!((found / unit - 1.0).abs() < 1e-12, "{unit}: {found}");
        }
    }

    #[test]
    fn gamma_quantiles_invert_the_incomplete_gamma_function() {
        for shape in [0.05, 0.5, 1.0, 1.5, 4.0, 30.0, 1e3, 1e6] {
            let gamma = GammaQuantile::new(shape);
            for unit in [1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0 - 1e-9] {
                let found = gamma.below(gamma.at(unit));
                assert!((found - unit).abs() < 1e-8 * unit.max(1e-3), "shape {shape}, {unit}: {found}");
            }
        }
    }

    #[test]
    fn gamma_of_shape_one_is_exponential() {
        let gamma = GammaQuantile::new(1.0);
        for unit in [0.001, 0.5, 0.999] {
            let exact = -libm::log(1.0 - unit);
            assert!((gamma.at(unit) / exact - 1.0).abs() < 1e-9);
        }
    }
}
