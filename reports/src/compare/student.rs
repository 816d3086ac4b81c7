//! Student's t distribution: tail probabilities and quantiles.

/// The chance that a t-distributed number with `freedom` degrees of freedom is at least as far from
/// zero as `t`.
pub(super) fn two_sided(t: f64, freedom: u32) -> f64 {
    let freedom = f64::from(freedom);
    let square = t * t;
    if square.is_infinite() {
        return 0.0;
    }
    incomplete_beta(freedom / (freedom + square), freedom / 2.0, 0.5)
}

/// The number that a t-distributed one with `freedom` degrees of freedom is farther from zero than
/// with the chance `tail`, by bisection.
pub(super) fn quantile(tail: f64, freedom: u32) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, freedom) > tail {
        (low, high) = (high, high * 2.0);
    }
    // The halves end at neighbouring numbers.
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if two_sided(middle, freedom) > tail { low = middle } else { high = middle }
    }
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (W. J. Lentz' way
/// of evaluating it; NIST Digital Library of Mathematical Functions, 8.17.22).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side alone.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let log_front =
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    libm::exp(log_front) / a * fraction(x, a, b)
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const STEPS_MAX: u32 = 10_000;
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut result) = (1.0, d);
    for step in 1..=STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change *= d * c;
        }
        result *= change;
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64, what: &str) {
        assert!((found / expected - 1.0).abs() < 1e-10, "{what}: {found} is not {expected}");
    }

    /// Expected values: I_{v/(v+t²)}(v/2, 1/2) by mpmath 1.3.0 with thirty digits.
    #[test]
    fn tails_agree_with_arbitrary_precision() {
        for (t, freedom, expected) in [
            (1.0, 1, 0.5),
            (2.5, 2, 0.12961172022151081),
            (0.1, 3, 0.926652348800806),
            (3.3, 9, 0.009229908318547023),
            (2.045229642132703, 29, 0.05),
            (6.0, 29, 1.5927908426174665e-6),
            (12.0, 99, 5.1306296878974855e-21),
            (0.001, 1000, 0.9992023150184527),
            (40.0, 5, 1.8411962171772954e-7),
        ] {
            assert_close(two_sided(t, freedom), expected, &format!("t = {t}, {freedom}"));
        }
        assert_eq!((two_sided(0.0, 7), two_sided(f64::INFINITY, 7)), (1.0, 0.0));
    }

    /// Expected values: roots of the same function by mpmath's findroot.
    #[test]
    fn quantiles_agree_with_arbitrary_precision() {
        for (freedom, expected) in [
            (1, 12.706204736174705),
            (2, 4.302652729749464),
            (3, 3.1824463052837096),
            (4, 2.7764451051977944),
            (5, 2.5705818356363155),
            (9, 2.2621571627982055),
            (19, 2.0930240544083098),
            (29, 2.0452296421327043),
            (99, 1.9842169515864175),
            (999, 1.96234146113345),
        ] {
            assert_close(quantile(0.05, freedom), expected, &format!("{freedom} degrees of freedom"));
        }
    }
}
