//! Checks over time courses: availability, ready nodes, allocation, replicas, any metric.

use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{Metric, Results, Series};

use super::window::Interval;
use super::{Limits, ShareMetrics, Verdict, clock, counted, figure, short};

/// The values of a series in an interval: the one at its beginning, then each change in it.
fn values<'r>(series: &'r Series, span: &Interval) -> impl Iterator<Item = (SimTime, f64)> + Clone + 'r {
    let (from, to) = (span.from, span.to);
    let first = series.points.partition_point(|point| point.0 <= from);
    let at_start = series.value_at(from).filter(|_| from <= to).map(|value| (from, value));
    let later = series.points[first..].iter().copied();
    at_start.into_iter().chain(later.take_while(move |point| point.0 <= to))
}

/// Values with the instants up to which they hold.
fn stretches<'r>(series: &'r Series, span: &Interval) -> impl Iterator<Item = (SimTime, SimTime, f64)> + 'r {
    let (values, to) = (values(series, span), span.to);
    let ends = values.clone().skip(1).map(|point| point.0).chain([to]);
    values.zip(ends).map(|((from, value), until)| (from, until, value))
}

fn find(results: &Results, metric: Metric, object: Symbol) -> Option<&Series> {
    results.series.iter().find(|series| series.metric == metric && series.object == object)
}

/// The part of an interval that is left when something may take `within`; `None` if the run or the
/// window is over by then.
fn after_grace(window: &Interval, within: Span) -> Option<Interval> {
    let from = window.from + within;
    (from <= window.to).then(|| Interval { from, ..window.clone() })
}

fn too_short(expected: String) -> Verdict {
    Verdict {
        found: "the run was over before that could be judged".to_owned(),
        expected,
        ..Verdict::default()
    }
}

/// ` within 8m of loss (10m)` and the like.
fn in_time(window: &Interval, within: Span, results: &Results) -> String {
    let limit = short(within);
    match (within, window.since.as_str()) {
        (Span::ZERO, _) => window.words(results),
        (_, "") if window.from == SimTime::ZERO => format!(" within {limit}"),
        (_, "") => format!(" within {limit} of {}", clock(window.from)),
        (_, name) => format!(" within {limit} of {name} ({})", clock(window.from)),
    }
}

/// Whether Deployments are available from some time after the beginning on.
pub(super) fn deployments(
    results: &Results,
    window: &Interval,
    within: Span,
    namespace: Option<Symbol>,
    only: &[Symbol],
) -> Verdict {
    let expected = format!("Deployments Available{}", in_time(window, within, results));
    let wanted = |series: &&Series| {
        let in_namespace = |namespace: Symbol| {
            series.object.as_str().split_once('/').is_some_and(|(first, _)| first == namespace.as_str())
        };
        series.metric == Metric::DeploymentAvailable
            && namespace.is_none_or(in_namespace)
            && (only.is_empty() || only.contains(&series.object))
    };
    let all: Vec<&Series> = results.series.iter().filter(wanted).collect();
    if let Some(absent) = only.iter().find(|name| !all.iter().any(|series| series.object == **name)) {
        let object = format!("deployment {absent}");
        return Verdict { object, found: "it was never there".to_owned(), expected, ..Verdict::default() };
    }
    if all.is_empty() {
        return Verdict { found: "there was no Deployment".to_owned(), expected, ..Verdict::default() };
    }
    let Some(judged) = after_grace(window, within) else { return too_short(expected) };
    let outage = |series: &&&Series| first_outage(series, &judged);
    let worst =
        all.iter().filter_map(|series| Some((outage(&series)?, series))).min_by_key(|(outage, _)| outage.0);
    if let Some(((at, until), series)) = worst {
        let until = until.map_or("the end".to_owned(), clock);
        let began = clock(outage_begin(series, at));
        return Verdict {
            passed: false,
            at: Some(at),
            object: format!("deployment {}", series.object),
            found: format!("not Available from {began} to {until}"),
            expected,
        };
    }
    let last = all.iter().filter_map(|series| Some((last_return(series, window)?, series)));
    match last.max_by_key(|(at, _)| *at) {
        Some((at, series)) => Verdict {
            passed: true,
            at: Some(at),
            object: format!("deployment {}", series.object),
            found: format!("all Available after {}", short(at - window.from)),
            expected,
        },
        None => Verdict {
            passed: true,
            found: "all Available throughout".to_owned(),
            expected,
            ..Verdict::default()
        },
    }
}

/// The first stretch in which a Deployment is not available; no end if it lasts beyond the interval.
fn first_outage(series: &Series, span: &Interval) -> Option<(SimTime, Option<SimTime>)> {
    let mut down = stretches(series, span).filter(|&(_, _, value)| value < 0.5);
    down.next().map(|(from, until, _)| (from, (until < span.to).then_some(until)))
}

/// When the outage that is in progress at `at` began.
fn outage_begin(series: &Series, at: SimTime) -> SimTime {
    let before = &series.points[..series.points.partition_point(|point| point.0 <= at)];
    let first_down = before.iter().rposition(|point| point.1 >= 0.5).map_or(0, |index| index + 1);
    before.get(first_down).map_or(at, |point| point.0)
}

/// When a Deployment last became available in the interval.
fn last_return(series: &Series, span: &Interval) -> Option<SimTime> {
    let (mut last, mut down) = (None, false);
    for (at, value) in values(series, span) {
        if value >= 0.5 && down {
            last = Some(at);
        }
        down = value < 0.5;
    }
    last
}

/// How available a Service was.
pub(super) fn service(
    results: &Results,
    window: &Interval,
    service: Symbol,
    availability: Option<Limits>,
    downtime: Option<Span>,
) -> Verdict {
    let mut wanted = Vec::new();
    wanted.extend(availability.map(|limits| format!("availability {} %", limits.words())));
    wanted.extend(downtime.map(|limit| format!("at most {} without a backend", short(limit))));
    let expected = wanted.join(", ") + &window.words(results);
    let object = format!("service {service}");
    let whole_run = window.from == SimTime::ZERO && window.to >= SimTime::ZERO + results.simulated;
    let series = find(results, Metric::ServiceAvailabilityPct, service);
    let figures = if whole_run {
        let named = |row: &&seatrial_sim_core::results::ServiceRow| {
            service.as_str().split_once('/') == Some((row.namespace.as_str(), &row.name))
        };
        let row = results.services.iter().find(named);
        row.and_then(|row| Some((row.availability_pct?, row.down)))
    } else {
        series.and_then(|series| availability_in(series, window))
    };
    let Some((pct, down)) = figures else {
        let found = "it had no pods to speak for".to_owned();
        return Verdict { object, found, expected, ..Verdict::default() };
    };
    let passed =
        availability.is_none_or(|limits| limits.admit(pct)) && downtime.is_none_or(|limit| down <= limit);
    // The lowest point is where a reader looks first.
    let lowest = series.into_iter().flat_map(|series| values(series, window)).filter(|point| point.1 < 100.0);
    let lowest = lowest.reduce(|low, next| if next.1 < low.1 { next } else { low });
    let found = format!("{pct:.3} % available, {} without a backend", short(down));
    Verdict { passed, at: lowest.map(|point| point.0), object, found, expected }
}

/// Average availability and time without a backend in an interval; `None` if none was wanted.
fn availability_in(series: &Series, span: &Interval) -> Option<(f64, Span)> {
    let (mut sum, mut wanted, mut down) = (0.0, Span::ZERO, Span::ZERO);
    for (from, until, value) in stretches(series, span).filter(|stretch| stretch.2.is_finite()) {
        let length = until - from;
        sum += value * length.nanos() as f64;
        wanted += length;
        if value <= 0.0 {
            down += length;
        }
    }
    (wanted > Span::ZERO).then(|| (sum / wanted.nanos() as f64, down))
}

/// How many nodes are Ready.
pub(super) fn nodes(results: &Results, window: &Interval, within: Span, counts: Limits) -> Verdict {
    let expected = format!("{} Ready{}", counts.of("node"), in_time(window, within, results));
    let Some(judged) = after_grace(window, within) else { return too_short(expected) };
    let Some(series) = find(results, Metric::NodesReady, Symbol::empty()) else {
        return Verdict { found: "there was no node".to_owned(), expected, ..Verdict::default() };
    };
    let (passed, at, value) = held(series, &judged, counts);
    let found = format!("{} Ready", counted(value.unwrap_or(0.0) as usize, "node"));
    Verdict { passed: passed && value.is_some(), at, object: String::new(), found, expected }
}

/// Whether a series keeps within limits, with the sample that decides: the first beyond them, or
/// the one that comes closest to them.
fn held(series: &Series, span: &Interval, limits: Limits) -> (bool, Option<SimTime>, Option<f64>) {
    let mut closest: Option<(SimTime, f64)> = None;
    for (at, value) in values(series, span).filter(|point| point.1.is_finite()) {
        if !limits.admit(value) {
            return (false, Some(at), Some(value));
        }
        let closer =
            closest.is_none_or(|(_, best)| if limits.max.is_some() { value > best } else { value < best });
        if closer {
            closest = Some((at, value));
        }
    }
    (true, closest.map(|point| point.0), closest.map(|point| point.1))
}

/// How much of a resource is given away or used.
pub(super) fn share(
    results: &Results,
    window: &Interval,
    metrics: ShareMetrics,
    mean: Option<Limits>,
    peak: Option<Limits>,
) -> Verdict {
    let mut wanted = Vec::new();
    wanted.extend(mean.map(|limits| format!("mean {} %", limits.words())));
    wanted.extend(peak.map(|limits| format!("peak {} %", limits.words())));
    let expected = format!("{}: {}{}", metrics.words, wanted.join(", "), window.words(results));
    let part = find(results, metrics.part, Symbol::empty());
    let whole = find(results, metrics.whole, Symbol::empty());
    let (Some(part), Some(whole)) = (part, whole) else {
        return Verdict { found: "there was no node".to_owned(), expected, ..Verdict::default() };
    };
    let shares = shares(part, whole, window);
    let Some(&(mut peak_at, _, mut peak_pct)) = shares.first() else {
        return Verdict { found: "there was no node".to_owned(), expected, ..Verdict::default() };
    };
    let (mut sum, mut time) = (0.0, 0.0);
    for &(from, until, pct) in &shares {
        let length = (until - from).as_secs_f64();
        sum += pct * length;
        time += length;
        if pct > peak_pct {
            (peak_at, peak_pct) = (from, pct);
        }
    }
    let mean_pct = if time > 0.0 { sum / time } else { peak_pct };
    let mean_kept = mean.is_none_or(|limits| limits.admit(mean_pct));
    let peak_kept = peak.is_none_or(|limits| limits.admit(peak_pct));
    Verdict {
        passed: mean_kept && peak_kept,
        at: peak.map(|_| peak_at),
        object: String::new(),
        found: format!("mean {mean_pct:.1} %, peak {peak_pct:.1} % at {}", clock(peak_at)),
        expected,
    }
}

/// The share that one series is of another, in percent, stretch by stretch.
fn shares(part: &Series, whole: &Series, span: &Interval) -> Vec<(SimTime, SimTime, f64)> {
    let mut instants: Vec<SimTime> =
        values(part, span).chain(values(whole, span)).map(|point| point.0).collect();
    instants.sort_unstable();
    instants.dedup();
    let ends = instants.iter().copied().skip(1).chain([span.to]).collect::<Vec<_>>();
    let stretch = |(from, until): (SimTime, SimTime)| {
        let whole = whole.value_at(from).filter(|whole| *whole > 0.0)?;
        Some((from, until, part.value_at(from).unwrap_or(0.0) / whole * 100.0))
    };
    instants.into_iter().zip(ends).filter_map(stretch).collect()
}

/// Whether an autoscaler asks for so many replicas at some time.
pub(super) fn hpa_reaches(
    results: &Results,
    window: &Interval,
    hpa: Symbol,
    replicas: Limits,
    within: Option<Span>,
) -> Verdict {
    let span = match within {
        Some(within) => Interval { to: window.to.min(window.from + within), ..window.clone() },
        None => window.clone(),
    };
    let deadline = within.map_or(window.words(results), |within| in_time(window, within, results));
    let expected = format!("{} at some time{deadline}", replicas.of("replica"));
    let object = format!("hpa {hpa}");
    let Some(series) = find(results, Metric::HpaReplicas, hpa) else {
        return Verdict { object, found: "it was never there".to_owned(), expected, ..Verdict::default() };
    };
    if let Some((at, value)) = values(series, &span).find(|point| replicas.admit(point.1)) {
        let found = format!("{} after {}", counted(value as usize, "replica"), short(at - window.from));
        return Verdict { passed: true, at: Some(at), object, found, expected };
    }
    let better = |best: (SimTime, f64), next: (SimTime, f64)| {
        let nearer = if replicas.min.is_some() { next.1 > best.1 } else { next.1 < best.1 };
        if nearer { next } else { best }
    };
    let best = values(series, &span).reduce(better);
    let word = if replicas.min.is_some() { "above" } else { "below" };
    let never = |(_, value)| format!("never {word} {}", counted(value as usize, "replica"));
    let found = best.map_or("it was not there".to_owned(), never);
    Verdict { passed: false, at: best.map(|point| point.0), object, found, expected }
}

/// Whether a metric keeps within limits, of one object or of all that have it.
pub(super) fn metric(
    results: &Results,
    window: &Interval,
    metric: Metric,
    object: Option<Symbol>,
    limits: Limits,
) -> Verdict {
    let expected = format!("{} {}{}", metric.as_str(), limits.words(), window.words(results));
    let mut all = results
        .series
        .iter()
        .filter(|series| series.metric == metric && object.is_none_or(|object| series.object == object))
        .peekable();
    if all.peek().is_none() {
        let found = "there is no such series".to_owned();
        let object = object.map_or(String::new(), |object| named(metric, object));
        return Verdict { object, found, expected, ..Verdict::default() };
    }
    let mut decisive: Option<Verdict> = None;
    for series in all {
        let (passed, at, value) = held(series, window, limits);
        let found = value.map_or("no value".to_owned(), figure);
        let verdict =
            Verdict { passed, at, object: named(metric, series.object), found, expected: expected.clone() };
        // The first that breaks the limits decides, in order of time.
        let earlier = |best: &Verdict| match (best.passed, passed) {
            (true, false) => true,
            (false, false) => at < best.at,
            _ => false,
        };
        if decisive.as_ref().is_none_or(earlier) {
            decisive = Some(verdict);
        }
    }
    decisive.unwrap_or_default()
}

/// An object with the word for what it is.
fn named(metric: Metric, object: Symbol) -> String {
    let kind = match metric {
        Metric::DeploymentAvailable | Metric::DeploymentReplicasAvailable => "deployment",
        Metric::ServiceAvailabilityPct => "service",
        Metric::HpaReplicas => "hpa",
        Metric::NodeCpuAllocatedMillicores | Metric::NodeMemoryAllocatedBytes => "node",
        _ => return object.to_string(),
    };
    format!("{kind} {object}")
}
