//! How pods and images behave, and the courses of their load.

use seatrial_api::duration::to_text;
use seatrial_api::labels::Labels;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{MilliCpu, Ratio, SimTime, Span};
use seatrial_sim_core::cluster::config::{ImageSpec, PodProfile};

use super::check::Checker;
use crate::file::pods::{Image, Load, LoadPoint, LoadShape, Profile, Ramp, Sine, Step};
use crate::schema::{Placed, Text};

/// Points of a load's course; a run over a year with one a minute has half of it.
const POINTS_MAX: i64 = 1_000_000;

/// A profile, ready to be played.
pub(super) fn profile(profile: &Profile, duration: Span, checker: &mut Checker<'_>) -> PodProfile {
    let namespace = profile.namespace.as_ref().map(|Text(name)| Symbol::new(name));
    if let (Some(load), Some(usage)) = (&profile.load, &profile.usage)
        && usage.cpu.is_some()
    {
        checker.error(load, |error| error.expected("either load or usage.cpu", "both"));
    }
    let load = profile.load.as_ref().map_or(Vec::new(), |load| course(load, duration, checker));
    PodProfile {
        namespace,
        selector: profile.selector.value.selector(),
        startup: profile.startup.as_ref().map(|law| law.0.clone()),
        run_time: profile.run_time.as_ref().map(|law| law.0.clone()),
        failure: profile.failure.map_or(Ratio::new(0, 1), |share| share.0),
        unready_after: profile.unready_after.as_ref().map(|law| law.0.clone()),
        stop: profile.stop.as_ref().map(|law| law.0.clone()),
        cpu: profile.usage.as_ref().and_then(|usage| usage.cpu),
        memory: profile.usage.as_ref().and_then(|usage| usage.memory),
        load,
    }
}

/// Whether a profile selects pods with these labels in this namespace.
pub(super) fn selects(profile: &PodProfile, namespace: Symbol, labels: &Labels) -> bool {
    profile.namespace.is_none_or(|wanted| wanted == namespace) && profile.selector.matches(labels)
}

/// How an image behaves.
pub(super) fn image(image: &Image) -> ImageSpec {
    ImageSpec {
        name: image.name.value.0.clone(),
        size: image.size,
        broken: image.broken,
        crashes: image.crashes,
    }
}

/// Whether what is said about images of the name or beginning `pattern` is about this one.
pub(super) fn names_image(pattern: &str, image: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => image.starts_with(beginning),
        None => image == pattern,
    }
}

fn course(load: &Placed<Load>, duration: Span, checker: &mut Checker<'_>) -> Vec<(SimTime, MilliCpu)> {
    match &load.value {
        Load::Points(points) => rising(points, checker),
        Load::Shape(LoadShape::Step(load)) => step(&load.step, checker),
        Load::Shape(LoadShape::Ramp(load)) => ramp(&load.ramp, checker),
        Load::Shape(LoadShape::Sine(load)) => sine(&load.sine, duration, checker),
    }
}

fn rising(points: &[Placed<LoadPoint>], checker: &mut Checker<'_>) -> Vec<(SimTime, MilliCpu)> {
    for pair in points.windows(2) {
        if pair[1].value.at <= pair[0].value.at {
            checker.error(&pair[1], |error| {
                let found = format!("{} after {}", to_text(pair[1].value.at), to_text(pair[0].value.at));
                error.expected("points in the order of time", found)
            });
        }
    }
    points.iter().map(|point| (SimTime::ZERO + point.value.at, point.value.cpu)).collect()
}

fn step(step: &Step, checker: &mut Checker<'_>) -> Vec<(SimTime, MilliCpu)> {
    let mut course = vec![(SimTime::ZERO, step.from), (SimTime::ZERO + step.at, step.to)];
    if let Some(until) = &step.until {
        if until.value <= step.at {
            let at = to_text(step.at);
            checker.error(until, |error| error.expected(format!("a time after {at}"), to_text(until.value)));
        }
        course.push((SimTime::ZERO + until.value, step.from));
    }
    if step.at == Span::ZERO {
        course.remove(0);
    }
    course
}

fn ramp(ramp: &Ramp, checker: &mut Checker<'_>) -> Vec<(SimTime, MilliCpu)> {
    let length = ramp.end.value - ramp.start;
    if length <= Span::ZERO {
        let (start, end) = (to_text(ramp.start), to_text(ramp.end.value));
        checker.error(&ramp.end, |error| error.expected(format!("a time after {start}"), end));
        return Vec::new();
    }
    let Some(steps) = steps(length, &ramp.every, checker) else { return Vec::new() };
    let (from, rise) = (i128::from(ramp.from.get()), i128::from(ramp.to.get()) - i128::from(ramp.from.get()));
    let point = |step: i64| {
        let passed = ramp.every.value.times(step).min(length);
        let cpu = from + rise * i128::from(passed.nanos()) / i128::from(length.nanos());
        (SimTime::ZERO + ramp.start + passed, MilliCpu(cpu as i64))
    };
    let before = (ramp.start > Span::ZERO).then_some((SimTime::ZERO, ramp.from));
    before.into_iter().chain((0..=steps).map(point)).collect()
}

fn sine(sine: &Sine, duration: Span, checker: &mut Checker<'_>) -> Vec<(SimTime, MilliCpu)> {
    if sine.amplitude.value > sine.mean {
        let found = format!("{}m", sine.amplitude.value.get());
        checker.error(&sine.amplitude, |error| error.expected("at most the mean", found));
    }
    if sine.period.value == Span::ZERO {
        checker.error(&sine.period, |error| error.expected("a length of time above zero", "0s"));
        return Vec::new();
    }
    let Some(steps) = steps(duration, &sine.every, checker) else { return Vec::new() };
    let (mean, amplitude) = (sine.mean.get() as f64, sine.amplitude.value.get() as f64);
    let period = sine.period.value.nanos();
    let point = |step: i64| {
        let at = sine.every.value.times(step);
        let turn = (at.nanos() % period) as f64 / period as f64;
        let cpu = mean + amplitude * libm::sin(turn * std::f64::consts::TAU);
        (SimTime::ZERO + at, MilliCpu((cpu.max(0.0) + 0.5) as i64))
    };
    (0..=steps).map(point).collect()
}

/// How many steps of the length `every` cover `length`.
fn steps(length: Span, every: &Placed<Span>, checker: &mut Checker<'_>) -> Option<i64> {
    let step = every.value.nanos();
    let steps = if step == 0 { POINTS_MAX } else { (length.nanos() - 1) / step + 1 };
    if steps >= POINTS_MAX {
        checker.error(every, |error| {
            error.expected("a step long enough for at most a million points", to_text(every.value))
        });
        return None;
    }
    Some(steps)
}
