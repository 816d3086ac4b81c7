//! How pods queue, and what the scheduler is told about their run times.

use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_scheduler::config::{
    Backfill, GangConfiguration, QueueDiscipline, RunTimeEstimate, SchedulerConfiguration,
};
use seatrial_sim_core::engine::dist::Distribution;

use crate::file::{BackfillField, Queue, ScenarioFile};
use crate::schema::Text;

/// The scheduler with what the scenario says about its queue. Pods are expected to run as long as
/// the first profile that selects them says in the mean.
pub(super) fn queue(
    mut scheduler: SchedulerConfiguration,
    scenario: &ScenarioFile,
) -> SchedulerConfiguration {
    if let Some(queue) = scenario.queue {
        scheduler.queue.discipline = match queue {
            Queue::Priority => QueueDiscipline::Priority,
            Queue::Fifo => QueueDiscipline::Fifo,
            Queue::ShortestJobFirst => QueueDiscipline::ShortestJobFirst,
            Queue::DominantResourceFairness => QueueDiscipline::DominantResourceFairness,
        };
    }
    scheduler.queue.gangs = scenario.gang_scheduling.as_ref().map(|gangs| GangConfiguration {
        timeout: gangs.timeout,
        backfill: match gangs.backfill {
            BackfillField::Greedy => Backfill::Greedy,
            BackfillField::Easy => Backfill::Easy,
        },
    });
    let estimates = scenario.pod_profiles.iter().filter_map(|profile| {
        Some(RunTimeEstimate {
            namespace: profile.namespace.as_ref().map(|Text(name)| Symbol::new(name)),
            selector: profile.selector.value.selector(),
            run_time: mean(&profile.run_time.as_ref()?.0)?,
        })
    });
    scheduler.queue.run_times = estimates.collect();
    scheduler
}

/// The mean of a law, to a nanosecond; `None` where there is none.
fn mean(law: &Distribution) -> Option<Span> {
    // The 99th percentile of the standard normal distribution.
    const NORMAL_P99: f64 = 2.326_347_874_040_841;
    let times = |span: &Span, factor: f64| Span::from_nanos((span.nanos() as f64 * factor) as i64);
    Some(match law {
        Distribution::Constant { value } => *value,
        Distribution::Uniform { low, high } => Span::from_nanos(low.nanos() / 2 + high.nanos() / 2),
        Distribution::Exponential { mean }
        | Distribution::Normal { mean, .. }
        | Distribution::Gamma { mean, .. }
        | Distribution::Erlang { mean, .. } => *mean,
        Distribution::Lognormal { median, p99 } => {
            let sigma = libm::log(p99.nanos() as f64 / median.nanos() as f64) / NORMAL_P99;
            times(median, libm::exp(sigma * sigma / 2.0))
        }
        Distribution::Weibull { scale, shape } => times(scale, libm::tgamma(1.0 + 1.0 / shape)),
        Distribution::Pareto { minimum, shape } if *shape > 1.0 => times(minimum, shape / (shape - 1.0)),
        Distribution::Pareto { .. } => return None,
        Distribution::Empirical { values } => {
            let weights: i128 = values.iter().map(|row| i128::from(row.weight)).sum();
            let sum: i128 =
                values.iter().map(|row| i128::from(row.value.nanos()) * i128::from(row.weight)).sum();
            Span::from_nanos(sum.checked_div(weights)? as i64)
        }
    })
}

#[cfg(test)]
mod tests {
    use seatrial_sim_core::engine::dist::Weighted;

    use super::*;

    #[test]
    fn means_are_those_of_the_laws() {
        let second = Span::from_secs(1);
        let rows: [(Distribution, f64); 6] = [
            (Distribution::Uniform { low: second, high: Span::from_secs(3) }, 2.0),
            // exp(σ²/2) with σ = ln 2 / 2.326….
            (Distribution::Lognormal { median: second, p99: Span::from_secs(2) }, 1.045_385),
            // Γ(3) = 2.
            (Distribution::Weibull { scale: second, shape: 0.5 }, 2.0),
            (Distribution::Pareto { minimum: second, shape: 3.0 }, 1.5),
            (Distribution::Gamma { mean: second, shape: 2.0 }, 1.0),
            (
                Distribution::Empirical {
                    values: vec![
                        Weighted { value: second, weight: 3 },
                        Weighted { value: Span::from_secs(5), weight: 1 },
                    ],
                },
                2.0,
            ),
        ];
        for (law, expected) in rows {
            let found = mean(&law).map(Span::as_secs_f64);
            assert!(found.is_some_and(|found| (found - expected).abs() < 1e-5), "{law:?}: {found:?}");
        }
        assert_eq!(mean(&Distribution::Pareto { minimum: second, shape: 1.0 }), None);
    }
}
