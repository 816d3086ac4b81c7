//! Checks over the rows of pods: phases, restarts, start latencies.

use seatrial_api::pod::PodPhase;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{PodRow, Results};

use super::window::Interval;
use super::{Limits, PercentileLimit, Phase, PodFilter, Verdict, counted, full_name, short};

/// How many pods are in a phase at each instant.
pub(super) fn phases(
    results: &Results,
    window: &Interval,
    phase: Phase,
    longer_than: Option<Span>,
    counts: Limits,
    filter: &PodFilter,
) -> Verdict {
    let stays: Vec<Stay<'_>> =
        filter.select(results).filter_map(|pod| Stay::of(pod, phase, longer_than, window)).collect();
    let what = format!(
        "{}{}",
        phase.as_str(),
        longer_than.map_or(String::new(), |span| format!(" longer than {}", short(span)))
    );
    let expected = format!("{} {what}{}{}", counts.of("pod"), filter.words(), window.words(results));
    let course = course(&stays, window);
    let extreme = |more: bool| {
        let key = |point: &&Point<'_>| if more { point.count } else { -point.count };
        // Of equal counts the first one decides.
        course.iter().rev().max_by_key(key)
    };
    let broken = course.iter().find(|point| !counts.admit(point.count as f64));
    let decisive = broken.or_else(|| extreme(counts.max.is_some()));
    let count = decisive.map_or(0, |point| point.count);
    let at_that_time = decisive.and_then(|point| point.pod).filter(|_| count > 0);
    let longest =
        stays.iter().map(|stay| stay.length).max().filter(|_| broken.is_some() && longer_than.is_some());
    let longest = longest.map_or(String::new(), |span| format!(", the longest for {}", short(span)));
    Verdict {
        passed: broken.is_none(),
        at: decisive.filter(|_| broken.is_some() || count > 0).map(|point| point.at),
        object: at_that_time
            .map_or(String::new(), |pod| format!("pod {}", full_name(pod.namespace, &pod.name))),
        found: format!("{} {what}{longest}", counted(count as usize, "pod")),
        expected,
    }
}

/// A pod's time in a phase, as far as it lies in the window and counts.
struct Stay<'r> {
    pod: &'r PodRow,
    from: SimTime,
    /// The first instant that no longer counts.
    to: SimTime,
    /// How long the pod is in the phase altogether.
    length: Span,
}

impl<'r> Stay<'r> {
    fn of(pod: &'r PodRow, phase: Phase, longer_than: Option<Span>, window: &Interval) -> Option<Stay<'r>> {
        let end = window.to + Span::from_nanos(1);
        let (begin, until) = phase.stay(pod)?;
        let until = until.unwrap_or(end).min(end);
        // An instant later than the limit, for at the limit itself it is not exceeded.
        let counted = longer_than.map_or(begin, |limit| begin + limit + Span::from_nanos(1));
        let from = counted.max(window.from);
        (from < until).then(|| Stay { pod, from, to: until, length: until.min(window.to) - begin })
    }
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => PodPhase::Pending.as_str(),
            Phase::Running => PodPhase::Running.as_str(),
            Phase::Succeeded => PodPhase::Succeeded.as_str(),
            Phase::Failed => PodPhase::Failed.as_str(),
        }
    }

    /// From when to when a pod is in the phase; those that ended stay what they became.
    fn stay(self, pod: &PodRow) -> Option<(SimTime, Option<SimTime>)> {
        match self {
            Phase::Pending => Some((pod.created, pod.started.or(pod.finished))),
            Phase::Running => pod.started.map(|started| (started, pod.finished)),
            Phase::Succeeded if pod.phase == PodPhase::Succeeded => pod.finished.map(|at| (at, None)),
            Phase::Failed if pod.phase == PodPhase::Failed => pod.finished.map(|at| (at, None)),
            Phase::Succeeded | Phase::Failed => None,
        }
    }
}

/// How many pods are in a phase from an instant on, and the last one that came.
struct Point<'r> {
    at: SimTime,
    count: i64,
    pod: Option<&'r PodRow>,
}

/// The number of stays over time in a window.
fn course<'r>(stays: &[Stay<'r>], window: &Interval) -> Vec<Point<'r>> {
    let mut changes: Vec<(SimTime, i64, &PodRow)> = Vec::with_capacity(2 * stays.len());
    for stay in stays {
        changes.push((stay.from, 1, stay.pod));
        // What lasts to the end of the window ends after all that is judged.
        if stay.to <= window.to {
            changes.push((stay.to, -1, stay.pod));
        }
    }
    changes.sort_by_key(|&(at, change, _)| (at, change));
    let mut points = vec![Point { at: window.from, count: 0, pod: None }];
    for (at, change, pod) in changes {
        if points.last().is_some_and(|point| point.at != at) {
            let count = points.last().map_or(0, |point| point.count);
            points.push(Point { at, count, pod: None });
        }
        if let Some(point) = points.last_mut() {
            point.count += change;
            if change > 0 {
                point.pod = Some(pod);
            }
        }
    }
    points
}

/// The restarts of the pod with the most of them.
pub(super) fn restarts(results: &Results, limits: Limits, filter: &PodFilter) -> Verdict {
    // Of equal ones the first one decides.
    let more = |best: &PodRow, next: &PodRow| next.restarts > best.restarts;
    let worst = filter.select(results).reduce(|best, next| if more(best, next) { next } else { best });
    let restarts = worst.map_or(0, |pod| pod.restarts);
    let object = worst.filter(|_| restarts > 0);
    Verdict {
        passed: limits.admit(f64::from(restarts)),
        at: None,
        object: object.map_or(String::new(), |pod| format!("pod {}", full_name(pod.namespace, &pod.name))),
        found: counted(restarts as usize, "restart"),
        expected: format!("{} of a pod{}", limits.of("restart"), filter.words()),
    }
}

/// How long pods took until they were ready.
pub(super) fn start_latency(
    results: &Results,
    window: &Interval,
    limits: &[PercentileLimit],
    filter: &PodFilter,
) -> Verdict {
    let end = SimTime::ZERO + results.simulated;
    let mut latencies: Vec<(Span, &PodRow)> = filter
        .select(results)
        .filter(|pod| window.from <= pod.created && pod.created <= window.to)
        .filter_map(|pod| match (pod.ready, pod.finished) {
            (Some(ready), _) => Some((ready - pod.created, pod)),
            (None, Some(_)) => None,
            (None, None) => Some((end - pod.created, pod)),
        })
        .collect();
    latencies.sort_by_key(|&(latency, _)| latency);
    let words = |limit: &PercentileLimit| match limit.percent {
        100 => "longest".to_owned(),
        percent => format!("p{percent}"),
    };
    let wanted: Vec<String> =
        limits.iter().map(|limit| format!("{} at most {}", words(limit), short(limit.limit))).collect();
    let expected = format!("start latency{}{}: {}", filter.words(), window.words(results), wanted.join(", "));
    let samples: Vec<_> = limits.iter().map(|limit| (limit, rank(&latencies, limit.percent))).collect();
    if latencies.is_empty() {
        return Verdict { found: "no pod was created".to_owned(), expected, ..Verdict::default() };
    }
    let broken = samples.iter().find(|(limit, sample)| sample.is_some_and(|sample| sample.0 > limit.limit));
    let figures: Vec<String> = samples
        .iter()
        .filter_map(|(limit, sample)| sample.map(|sample| format!("{} {}", words(limit), short(sample.0))))
        .collect();
    let pod = broken.or(samples.last()).and_then(|(_, sample)| *sample).map(|(_, pod)| pod);
    Verdict {
        passed: broken.is_none(),
        at: pod.and_then(|pod| pod.ready),
        object: pod.map_or(String::new(), |pod| format!("pod {}", full_name(pod.namespace, &pod.name))),
        found: format!("{} of {}", figures.join(", "), counted(latencies.len(), "pod")),
        expected,
    }
}

/// The sample below which `percent` of a hundred lie: the nearest rank.
fn rank<T: Copy>(sorted: &[T], percent: u32) -> Option<T> {
    let rank = (sorted.len() as u64 * u64::from(percent)).div_ceil(100).max(1);
    sorted.get(rank as usize - 1).copied()
}
