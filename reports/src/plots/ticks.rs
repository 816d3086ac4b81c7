//! Round numbers for axes.

use seatrial_api::units::Span;

/// A time axis: its unit and the instants that get a label, all in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimeTicks {
    /// The unit's name.
    pub(crate) unit: &'static str,
    /// Instants and their labels.
    pub(crate) marks: Vec<(f64, String)>,
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

/// At most eleven ticks over a run of length `length`.
pub(crate) fn time(length: Span) -> TimeTicks {
    let seconds = length.as_secs_f64();
    let (unit, unit_seconds) = match seconds {
        ..=180.0 => ("seconds", 1.0),
        ..=10_800.0 => ("minutes", MINUTE),
        ..=259_200.0 => ("hours", HOUR),
        _ => ("days", DAY),
    };
    let sixties: &[f64] = &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0];
    let steps: &[f64] = if unit == "hours" { &[1.0, 2.0, 3.0, 6.0, 12.0, 24.0] } else { sixties };
    let whole = seconds / unit_seconds;
    let fits = |step: &&f64| whole / **step <= 10.0;
    let step = if whole < 5.0 || steps.iter().find(fits).is_none() {
        nice_step(whole, 8)
    } else {
        *steps.iter().find(fits).expect("invariant: just found")
    };
    let marks = multiples(step, whole).map(|value| (value * unit_seconds, number(value, step))).collect();
    TimeTicks { unit, marks }
}

/// Ticks from 0 to at most `max`, about `count` of them, labelled; in whole numbers if `whole`.
pub(crate) fn amounts(max: f64, count: usize, whole: bool) -> Vec<(f64, String)> {
    let step = nice_step(max, count);
    let step = if whole { step.max(1.0).round() } else { step };
    multiples(step, max).map(|value| (value, number(value, step))).collect()
}

/// 1, 2 or 5 times a power of ten, so that `max` holds at most `count` steps.
fn nice_step(max: f64, count: usize) -> f64 {
    if !(max > 0.0 && max.is_finite()) {
        return 1.0;
    }
    let raw = max / count as f64;
    let mut power = 1.0;
    while power > raw {
        power /= 10.0;
    }
    while power * 10.0 <= raw {
        power *= 10.0;
    }
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw).unwrap_or(raw)
}

fn multiples(step: f64, max: f64) -> impl Iterator<Item = f64> {
    let count = (max / step * (1.0 + 1e-9)).floor() as usize;
    (0..=count.min(100)).map(move |index| index as f64 * step)
}

/// A multiple of `step`: thousands separated, with the decimals that the step has.
fn number(value: f64, step: f64) -> String {
    let mut decimals = 0;
    let mut unit = step;
    while decimals < 9 && (unit - unit.round()).abs() > 1e-6 {
        unit *= 10.0;
        decimals += 1;
    }
    if decimals == 0 { crate::amounts::count(value.round() as u64) } else { format!("{value:.decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[(f64, String)]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn time_is_marked_in_the_unit_that_suits_the_run() {
        for (length, unit, expected) in [
            (Span::from_secs(60), "seconds", vec!["0", "10", "20", "30", "40", "50", "60"]),
            (Span::from_mins(60), "minutes", vec!["0", "10", "20", "30", "40", "50", "60"]),
            (Span::from_hours(24), "hours", vec!["0", "3", "6", "9", "12", "15", "18", "21", "24"]),
            (Span::from_hours(24 * 7), "days", vec!["0", "1", "2", "3", "4", "5", "6", "7"]),
            (Span::from_millis(500), "seconds", vec!["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        ] {
            let ticks = time(length);
            assert_eq!((ticks.unit, labels(&ticks.marks)), (unit, expected));
        }
    }

    #[test]
    fn amounts_are_marked_in_round_steps() {
        assert_eq!(labels(&amounts(33.0, 5, true)), ["0", "10", "20", "30"]);
        assert_eq!(labels(&amounts(3.0, 5, true)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&amounts(1.0, 5, false)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            labels(&amounts(0.000_5, 5, false)),
            ["0.0000", "0.0001", "0.0002", "0.0003", "0.0004", "0.0005"]
        );
        assert_eq!(labels(&amounts(150_000.0, 5, true)), ["0", "50,000", "100,000", "150,000"]);
        assert_eq!(labels(&amounts(0.0, 5, true)), ["0"]);
        assert_eq!(labels(&amounts(f64::NAN, 5, true)), ["0"]);
    }
}
