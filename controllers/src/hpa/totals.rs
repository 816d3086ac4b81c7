//! How many replicas a metric asks for that is not measured of single pods: one of an object, or
//! one from outside of the cluster (upstream `pkg/controller/podautoscaler/replica_calculator.go`).

use super::replicas::{Proposal, Tolerances};

/// The whole of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Total {
    /// Its value in thousandths.
    pub value: i64,
    /// Tolerances.
    pub tolerances: Tolerances,
}

impl Total {
    /// The sum of a metric's series.
    pub fn sum(values: impl IntoIterator<Item = i64>, tolerances: Tolerances) -> Total {
        let value = values.into_iter().fold(0, i64::saturating_add);
        Total { value, tolerances }
    }

    /// The size that a target for the whole, in thousandths, asks for: `replicas` is the size as
    /// specified, `ready` how many pods run and are ready. From a size of zero on neither counts.
    pub fn against_value(self, target: i64, replicas: i32, ready: i32) -> Proposal {
        let ratio = self.value as f64 / target as f64;
        let wanted = if replicas == 0 {
            ceil(ratio)
        } else if self.tolerances.contain(ratio) {
            replicas
        } else {
            ceil(ratio * f64::from(ready))
        };
        Proposal { replicas: wanted, current: self.value }
    }

    /// The size that a target for each pod's share, in thousandths, asks for. `replicas` is the size
    /// that the scale's status reports.
    pub fn against_average(self, target: i64, replicas: i32) -> Proposal {
        let ratio = self.value as f64 / (target as f64 * f64::from(replicas));
        let wanted =
            if self.tolerances.contain(ratio) { replicas } else { ceil(self.value as f64 / target as f64) };
        Proposal { replicas: wanted, current: (self.value as f64 / f64::from(replicas)).ceil() as i64 }
    }
}

/// The next whole number, at most the largest size.
fn ceil(size: f64) -> i32 {
    size.ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(value: i64) -> Total {
        Total::sum([value - 1, 1], Tolerances::default())
    }

    #[test]
    fn a_target_for_the_whole_scales_the_ready_pods() {
        // Value, target, size, ready pods, and the size asked for.
        for (value, target, replicas, ready, expected) in [
            (20_000, 10_000, 3, 3, 6),
            (20_000, 10_000, 3, 2, 4),
            (11_000, 10_000, 3, 3, 3),
            (11_001, 10_000, 3, 3, 4),
            (9_000, 10_000, 3, 3, 3),
            (8_000, 10_000, 5, 5, 4),
            (0, 10_000, 5, 5, 0),
            (25_000, 10_000, 0, 0, 3),
            (0, 10_000, 0, 0, 0),
            (i64::MAX, 1, 3, 3, i32::MAX),
        ] {
            let found = total(value).against_value(target, replicas, ready);
            assert_eq!(found, Proposal { replicas: expected, current: value }, "{value} of {target}");
        }
    }

    #[test]
    fn a_target_for_the_average_divides_the_whole() {
        // Value, target, size, and the size asked for with the share of each.
        for (value, target, replicas, expected, current) in [
            (30_000, 10_000, 2, 3, 15_000),
            (30_001, 10_000, 3, 3, 10_001),
            (33_000, 10_000, 3, 3, 11_000),
            (34_000, 10_000, 3, 4, 11_334),
            (0, 10_000, 3, 0, 0),
            (5_000, 10_000, 0, 1, i64::MAX),
            (i64::MAX, 1, 1, i32::MAX, i64::MAX),
        ] {
            let found = total(value).against_average(target, replicas);
            assert_eq!(found, Proposal { replicas: expected, current }, "{value} of {target}");
        }
        assert_eq!(total(0).against_average(10_000, 0).replicas, 0, "nothing to do, and nobody there");
    }

    #[test]
    fn series_are_added_up_without_overflow() {
        let sum = Total::sum([i64::MAX, 5], Tolerances::default());
        assert_eq!(sum.value, i64::MAX);
    }
}
