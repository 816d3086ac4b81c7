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
    3.3871328727963666080e0,
    1.3314166789178437745e+2,
    1.9715909503065514427e+3,
    1.3731693765509461125e+4,
    4.5921953931549871457e+4,
    6.7265770927008700853e+4,
    3.3430575583588128105e+4,
    2.5090809287301226727e+3,
];
const CENTRE_DENOMINATOR: [f64; 8] = [
    1.0,
    4.2313330701600911252e+1,
    6.8718700749205790830e+2,
    5.3941960214247511077e+3,
    2.1213794301586595867e+4,
    3.9307895800092710610e+4,
    2.8729085735721942674e+4,
    5.2264952788528545610e+3,
];
const MIDDLE_NUMERATOR: [f64; 8] = [
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
];
const MIDDLE_DENOMINATOR: [f64; 8] = [
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
];
const TAIL_NUMERATOR: [f64; 8] = [
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
];
const TAIL_DENOMINATOR: [f64; 8] = [
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
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
