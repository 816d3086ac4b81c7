//! Expectations: checks over the results of a run.
//!
//! Each names the sample that decides it: when, about which object, and what was found there.

mod counts;
mod pods;
mod series;
mod window;

use seatrial_api::duration;
use seatrial_api::labels::Selector;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{NANOS_PER_SECOND, SimTime, Span};
use seatrial_sim_core::results::{ExpectationOutcome, Metric, PodRow, Results};

pub(crate) use window::{Anchor, Window};

/// What is expected of a run.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Its name in the scenario.
    pub name: String,
    pub(crate) check: Check,
    pub(crate) window: Window,
}

/// Bounds, ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// Which pods are meant.
#[derive(Clone, Debug)]
pub(crate) struct PodFilter {
    pub(crate) namespace: Option<Symbol>,
    pub(crate) selector: Option<Selector>,
}

/// A phase, as expectations speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// Who evicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evictor {
    Taint,
    Api,
    Pressure,
    Preemption,
}

/// Which figure of pods' start latencies has which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PercentileLimit {
    pub(crate) percent: u32,
    pub(crate) limit: Span,
}

/// A resource, as its allocation and its use are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareMetrics {
    pub(crate) part: Metric,
    pub(crate) whole: Metric,
    /// The figure in words, such as `CPU allocated`.
    pub(crate) words: &'static str,
}

/// What an expectation is about.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Pods { phase: Phase, longer_than: Option<Span>, counts: Limits, filter: PodFilter },
    Restarts { limits: Limits, filter: PodFilter },
    StartLatency { limits: Vec<PercentileLimit>, filter: PodFilter },
    Evictions { limits: Limits, by: Vec<Evictor> },
    Deployments { within: Span, namespace: Option<Symbol>, only: Vec<Symbol> },
    Jobs { within: Option<Span>, jobs: Vec<Symbol> },
    Service { service: Symbol, availability: Option<Limits>, downtime: Option<Span> },
    Nodes { within: Span, counts: Limits },
    Share { metrics: ShareMetrics, mean: Option<Limits>, peak: Option<Limits> },
    Cost { limits: Limits },
    HpaReaches { hpa: Symbol, replicas: Limits, within: Option<Span> },
    Events { reason: Symbol, kind: Option<Symbol>, object: Option<(Symbol, String)>, counts: Limits },
    Series { metric: Metric, object: Option<Symbol>, limits: Limits },
}

/// What became of a check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) passed: bool,
    pub(crate) at: Option<SimTime>,
    pub(crate) object: String,
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl Expectation {
    /// Whether `results` meet it, and what decides that.
    pub fn evaluate(&self, results: &Results) -> ExpectationOutcome {
        let verdict = match self.window.resolve(results) {
            Ok(span) => self.check.judge(&span, results),
            Err(never) => Verdict {
                // What never happened has no consequences that could be missed.
                passed: true,
                found: format!("{never} did not happen"),
                expected: format!("something after {never}"),
                ..Verdict::default()
            },
        };
        ExpectationOutcome {
            name: self.name.clone(),
            passed: verdict.passed,
            at: verdict.at,
            object: verdict.object,
            found: verdict.found,
            expected: verdict.expected,
        }
    }
}

/// What became of all `expectations`, in their order.
pub fn evaluate(expectations: &[Expectation], results: &Results) -> Vec<ExpectationOutcome> {
    expectations.iter().map(|expectation| expectation.evaluate(results)).collect()
}

impl Check {
    fn judge(&self, span: &window::Interval, results: &Results) -> Verdict {
        match self {
            Check::Pods { phase, longer_than, counts, filter } => {
                pods::phases(results, span, *phase, *longer_than, *counts, filter)
            }
            Check::Restarts { limits, filter } => pods::restarts(results, *limits, filter),
            Check::StartLatency { limits, filter } => pods::start_latency(results, span, limits, filter),
            Check::Evictions { limits, by } => counts::evictions(results, *limits, by),
            Check::Deployments { within, namespace, only } => {
                series::deployments(results, span, *within, *namespace, only)
            }
            Check::Jobs { within, jobs } => counts::jobs(results, span, *within, jobs),
            Check::Service { service, availability, downtime } => {
                series::service(results, span, *service, *availability, *downtime)
            }
            Check::Nodes { within, counts } => series::nodes(results, span, *within, *counts),
            Check::Share { metrics, mean, peak } => series::share(results, span, *metrics, *mean, *peak),
            Check::Cost { limits } => counts::cost(results, *limits),
            Check::HpaReaches { hpa, replicas, within } => {
                series::hpa_reaches(results, span, *hpa, *replicas, *within)
            }
            Check::Events { reason, kind, object, counts } => {
                counts::events(results, span, *reason, *kind, object.as_ref(), *counts)
            }
            Check::Series { metric, object, limits } => {
                series::metric(results, span, *metric, *object, *limits)
            }
        }
    }
}

impl PodFilter {
    fn admits(&self, pod: &PodRow) -> bool {
        self.namespace.is_none_or(|namespace| namespace == pod.namespace)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(&pod.labels))
    }

    /// The rows that are meant.
    fn select<'r>(&self, results: &'r Results) -> impl Iterator<Item = &'r PodRow> {
        results.pods.iter().filter(|pod| self.admits(pod))
    }

    /// ` of namespace shop with app=cart`, or nothing.
    fn words(&self) -> String {
        let namespace = self.namespace.map(|namespace| format!(" of namespace {namespace}"));
        let selector = self.selector.as_ref().map(|selector| format!(" with {selector}"));
        namespace.unwrap_or_default() + &selector.unwrap_or_default()
    }
}

impl Limits {
    /// Counts between two optional numbers.
    pub(crate) fn counts(min: Option<u32>, max: Option<u32>) -> Limits {
        Limits { min: min.map(f64::from), max: max.map(f64::from) }
    }

    fn admit(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// `at least 2 and at most 5 pods`.
    fn of(&self, noun: &str) -> String {
        let last = self.max.or(self.min);
        format!("{} {noun}{}", self.words(), if last == Some(1.0) { "" } else { "s" })
    }

    /// `at least 2 and at most 5`.
    fn words(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) if min == max => format!("exactly {}", figure(min)),
            (Some(min), Some(max)) => format!("at least {} and at most {}", figure(min), figure(max)),
            (Some(min), None) => format!("at least {}", figure(min)),
            (None, Some(max)) => format!("at most {}", figure(max)),
            (None, None) => "any".to_owned(),
        }
    }
}

/// A figure with three decimals at most, and none if it is whole.
fn figure(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1 pod`, `2 pods`.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The full name of an object of a row.
fn full_name(namespace: Symbol, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// A length of time as one would write it: exact in whole seconds, to the millisecond else.
fn short(span: Span) -> String {
    if span.nanos() % NANOS_PER_SECOND == 0 { duration::to_text(span) } else { span.to_string() }
}

/// An instant in the same way.
fn clock(time: SimTime) -> String {
    short(time - SimTime::ZERO)
}
