//! The paired difference of two samples, and the correction for many comparisons.

use super::student;

/// What is known of the mean of differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Paired {
    /// The mean.
    pub(super) mean: f64,
    /// The interval that holds the true mean with a chance of 95 %.
    pub(super) interval: (f64, f64),
    /// The chance of a mean at least as far from zero, were there no difference.
    pub(super) p: f64,
}

/// The t-test on paired differences; `None` of fewer than two.
pub(super) fn paired(differences: &[f64]) -> Option<Paired> {
    let count = u32::try_from(differences.len()).ok().filter(|&count| count >= 2)?;
    let n = f64::from(count);
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|difference| (difference - mean) * (difference - mean)).sum();
    let error = (squares / (n - 1.0) / n).sqrt();
    // Differences that are all the same leave a spread of rounding errors alone.
    let all_equal = differences.windows(2).all(|pair| pair[0] == pair[1]);
    if all_equal || error == 0.0 {
        let value = differences[0];
        let p = if value == 0.0 { 1.0 } else { 0.0 };
        return Some(Paired { mean: value, interval: (value, value), p });
    }
    let half = student::quantile(0.05, count - 1) * error;
    let p = student::two_sided(mean / error, count - 1);
    Some(Paired { mean, interval: (mean - half, mean + half), p })
}

/// The p-values of several comparisons, corrected so that the chance of any false alarm among them
/// stays what is asked for: S. Holm, "A simple sequentially rejective multiple test procedure",
/// Scand. J. Statist. 6, 1979.
pub(super) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        largest = largest.max((p_values[index] * factor).min(1.0));
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: mean, t quantile and t tail by mpmath 1.3.0 with thirty digits.
    #[test]
    fn the_paired_test_agrees_with_arbitrary_precision() {
        let (a, b) = ([12.1, 11.4, 13.0, 12.7, 11.9], [11.0, 11.2, 12.1, 12.9, 10.8]);
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
        let found = paired(&differences).expect("five pairs");
        for (found, expected) in [
            (found.mean, -0.62),
            (found.interval.0, -1.35142335968922),
            (found.interval.1, 0.111423359689222),
            (found.p, 0.0782168398976149),
        ] {
            assert!((found / expected - 1.0).abs() < 1e-10, "{found} is not {expected}");
        }
    }

    #[test]
    fn equal_differences_are_certain_and_one_pair_says_nothing() {
        assert_eq!(paired(&[0.1; 3]), Some(Paired { mean: 0.1, interval: (0.1, 0.1), p: 0.0 }));
        assert_eq!(paired(&[0.0; 3]), Some(Paired { mean: 0.0, interval: (0.0, 0.0), p: 1.0 }));
        assert_eq!(paired(&[5.0]), None);
    }

    /// The example by hand: 4 × 0.01, 3 × 0.013, then 2 × 0.03 and no less than before, then 1.
    #[test]
    fn holm_corrects_step_by_step() {
        let corrected = holm(&[0.03, 0.01, 0.9, 0.013]);
        for (found, expected) in corrected.iter().zip([0.06, 0.04, 0.9, 0.04]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
