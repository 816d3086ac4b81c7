//! What all metrics of an autoscaler ask for together.

use std::sync::Arc;

use seatrial_api::autoscaling::{HorizontalPodAutoscaler, Metric, MetricSource, MetricTarget};
use seatrial_api::labels::{Operator, Selector};
use seatrial_api::machine::{MetricValue, PodMetrics};
use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::request::{ApiError, MetricQuery, MetricSubject, Request};
use seatrial_api::units::SimTime;

use super::replicas::{Measurement, Proposal, Resource, Sample, Tolerances};
use super::totals::Total;

/// What the metrics APIs have answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// The metrics server, if it was asked.
    pub(super) resources: Option<Result<Vec<PodMetrics>, ApiError>>,
    /// The other APIs, for each metric that is theirs, by its place among the autoscaler's.
    pub(super) values: Vec<(usize, Result<Vec<MetricValue>, ApiError>)>,
}

impl Answers {
    /// Notes the refusal of query number `index`.
    pub(super) fn refused(&mut self, autoscaler: &HorizontalPodAutoscaler, index: usize, error: &ApiError) {
        match metric_of_query(autoscaler, index) {
            Some(place) => self.values.push((place, Err(error.clone()))),
            None => self.resources = Some(Err(error.clone())),
        }
    }
}

/// What is scaled, as the metrics see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaled<'a> {
    /// The size as specified.
    pub(super) replicas: i32,
    /// The size that the scale's status reports.
    pub(super) status_replicas: i32,
    /// The pods that the scale's selector matches, in order of their rows.
    pub(super) pods: &'a [&'a Arc<Pod>],
}

/// Why a metric says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetricError {
    /// The reason of condition and Event, such as `FailedGetResourceMetric`.
    pub(super) reason: &'static str,
    /// The error itself.
    pub(super) error: String,
    /// The error as the list of invalid metrics names it.
    pub(super) listed: String,
}

/// What the metrics ask for.
#[derive(Clone, Debug)]
pub(super) struct Computation {
    /// The size, the name of the metric that asks for it, and an error to tell although others
    /// decide; or the error that stops everything.
    pub(super) outcome: Result<(i32, String), String>,
    /// Current values in the order of the metrics.
    pub(super) current: Vec<Option<i64>>,
    /// Errors of single metrics, in order.
    pub(super) errors: Vec<MetricError>,
}

/// What must be asked for the metrics of an autoscaler whose target's pods are those of `selector`:
/// the metrics server first, if at all, then the other APIs in the order of their metrics.
pub(super) fn queries(autoscaler: &HorizontalPodAutoscaler, selector: &Arc<Selector>) -> Vec<Request> {
    let namespace = autoscaler.meta.namespace;
    let mut requests = Vec::new();
    if asks_metrics_server(autoscaler) {
        requests.push(Request::PodMetrics { namespace, selector: selector.clone() });
    }
    requests.extend(autoscaler.metrics.iter().filter_map(|metric| {
        let (name, series, subject) = match &metric.source {
            MetricSource::Resource { .. } => return None,
            MetricSource::Pods { name, selector: series } => {
                (*name, series, MetricSubject::Pods(selector.clone()))
            }
            MetricSource::Object { name, kind, object, selector: series } => {
                (*name, series, MetricSubject::Object { kind: *kind, name: object.clone() })
            }
            MetricSource::External { name, selector: series } => (*name, series, MetricSubject::External),
        };
        let query = MetricQuery { namespace, name, selector: series.clone(), subject };
        Some(Request::Metric(Box::new(query)))
    }));
    requests
}

/// Whether some metric comes from the metrics server.
pub(super) fn asks_metrics_server(autoscaler: &HorizontalPodAutoscaler) -> bool {
    autoscaler.metrics.iter().any(|metric| matches!(metric.source, MetricSource::Resource { .. }))
}

/// Which metric the query number `index` is about; `None` for the query of the metrics server.
pub(super) fn metric_of_query(autoscaler: &HorizontalPodAutoscaler, index: usize) -> Option<usize> {
    let index = if asks_metrics_server(autoscaler) { index.checked_sub(1)? } else { index };
    let others = autoscaler.metrics.iter().enumerate();
    let mut others = others.filter(|(_, metric)| !matches!(metric.source, MetricSource::Resource { .. }));
    others.nth(index).map(|(place, _)| place)
}

/// Whether some metric can be known while there are no pods.
pub(super) fn has_totals(autoscaler: &HorizontalPodAutoscaler) -> bool {
    let is_total = |metric: &Metric| {
        matches!(metric.source, MetricSource::Object { .. } | MetricSource::External { .. })
    };
    autoscaler.metrics.iter().any(is_total)
}

/// Computes the size that the metrics ask for: the largest; with failing metrics only if that is
/// not smaller than now.
pub(super) fn compute(
    autoscaler: &HorizontalPodAutoscaler,
    scaled: Scaled<'_>,
    answers: &Answers,
    now: SimTime,
) -> Computation {
    let mut best: Option<(i32, String)> = None;
    let mut computation =
        Computation { outcome: Err(String::new()), current: Vec::new(), errors: Vec::new() };
    let judge = Judge { autoscaler, scaled, tolerances: tolerances(autoscaler), now };
    for (place, metric) in autoscaler.metrics.iter().enumerate() {
        match judge.metric(metric, place, answers) {
            Ok((proposal, name)) => {
                computation.current.push(Some(proposal.current));
                if best.as_ref().is_none_or(|best| best.0 == 0 || proposal.replicas > best.0) {
                    best = Some((proposal.replicas, name));
                }
            }
            Err(error) => {
                computation.current.push(None);
                computation.errors.push(error);
            }
        }
    }
    let failed = computation.errors.len();
    let listed = computation.errors.first().map_or("", |error| &error.listed);
    let total = autoscaler.metrics.len();
    let message = format!("invalid metrics ({failed} invalid out of {total}), first error is: {listed}");
    computation.outcome = match best {
        Some(best) if failed == 0 || best.0 >= scaled.replicas => Ok(best),
        _ => Err(message),
    };
    computation
}

fn tolerances(autoscaler: &HorizontalPodAutoscaler) -> Tolerances {
    let default = Tolerances::default();
    autoscaler.behavior.as_ref().map_or(default, |behavior| Tolerances {
        down: behavior.scale_down.tolerance.unwrap_or(default.down),
        up: behavior.scale_up.tolerance.unwrap_or(default.up),
    })
}

/// What single metrics are judged by.
struct Judge<'a> {
    autoscaler: &'a HorizontalPodAutoscaler,
    scaled: Scaled<'a>,
    tolerances: Tolerances,
    now: SimTime,
}

/// A size with the name of the metric that asks for it.
type Verdict = Result<(Proposal, String), MetricError>;

impl Judge<'_> {
    fn metric(&self, metric: &Metric, place: usize, answers: &Answers) -> Verdict {
        if let MetricSource::Resource { name, container } = metric.source {
            return self.resource(Resource { name, container }, metric.target, answers);
        }
        let unasked = Ok(Vec::new());
        let answer = answers.values.iter().find(|answer| answer.0 == place);
        let answer = answer.map_or(&unasked, |answer| &answer.1);
        match &metric.source {
            MetricSource::External { selector, .. } => {
                let values = fetched(answer, "external metrics API");
                self.external(metric, selector.as_ref(), values)
            }
            MetricSource::Object { .. } => self.object(metric, fetched(answer, "custom metrics API")),
            _ => self.pods(metric, fetched(answer, "custom metrics API")),
        }
    }

    fn resource(&self, resource: Resource, target: MetricTarget, answers: &Answers) -> Verdict {
        let Resource { name, container } = resource;
        let (of, noun) = match container {
            Some(container) => (format!("{container} container"), "container resource"),
            None => (format!("{name} resource"), "resource"),
        };
        let is_utilization = matches!(target, MetricTarget::Utilization(_));
        let fail = |error: String| {
            let what = if is_utilization { "utilization" } else { "usage" };
            let error = format!("failed to get {name} {what}: {error}");
            let reason = if container.is_some() {
                "FailedGetContainerResourceMetric"
            } else {
                "FailedGetResourceMetric"
            };
            MetricError { reason, listed: format!("failed to get {of} metric value: {error}"), error }
        };
        let unfetched = |error: String| fail(format!("unable to get metrics for resource {name}: {error}"));
        let samples = match &answers.resources {
            Some(Ok(samples)) if !samples.is_empty() => resource.samples(self.scaled.pods, samples),
            Some(Err(error)) => {
                return Err(unfetched(format!("unable to fetch metrics from resource metrics API: {error}")));
            }
            _ => return Err(unfetched("no metrics returned from resource metrics API".to_string())),
        };
        let measurement = self.measurement(Some(resource), &samples);
        let proposal = match target {
            MetricTarget::Utilization(target) => {
                let name = format!("{name} {noun} utilization (percentage of request)");
                measurement.utilization(resource, target).map(|proposal| (proposal, name))
            }
            MetricTarget::AverageValue(target) | MetricTarget::Value(target) => {
                measurement.average_value(target).map(|proposal| (proposal, format!("{name} resource")))
            }
        };
        proposal.map_err(fail)
    }

    fn measurement<'m>(&'m self, resource: Option<Resource>, samples: &'m [Sample]) -> Measurement<'m> {
        let Scaled { replicas, pods, .. } = self.scaled;
        Measurement { resource, pods, samples, replicas, tolerances: self.tolerances, now: self.now }
    }

    /// A metric that each pod has.
    fn pods(&self, metric: &Metric, values: Result<&[MetricValue], String>) -> Verdict {
        let name = name_of(metric);
        let fail = |error: String| MetricError {
            reason: "FailedGetPodsMetric",
            listed: format!("failed to get pods metric value: {error}"),
            error,
        };
        let values = values.map_err(|error| fail(format!("unable to get metric {name}: {error}")))?;
        let sample = |value: &MetricValue| {
            let MetricValue { pod, value, sampled_at, window } = *value;
            Sample { pod, value, sampled_at, window }
        };
        let samples: Vec<Sample> = values.iter().map(sample).collect();
        let proposal = self.measurement(None, &samples).average_value(amount(metric.target)).map_err(fail)?;
        Ok((proposal, format!("pods metric {name}")))
    }

    /// A metric of one object.
    fn object(&self, metric: &Metric, values: Result<&[MetricValue], String>) -> Verdict {
        let MetricSource::Object { name, kind, object, selector } = &metric.source else {
            return self.pods(metric, values);
        };
        let is_average = matches!(metric.target, MetricTarget::AverageValue(_));
        let fail = |error: String| {
            let inner = if is_average {
                format!("failed to get {name} object metric: {error}")
            } else {
                error.clone()
            };
            let listed = format!("failed to get object metric value: {inner}");
            MetricError { reason: "FailedGetObjectMetric", error, listed }
        };
        let namespace = self.autoscaler.meta.namespace;
        let unfetched =
            |error| fail(format!("unable to get metric {name}: {error} on {kind} {namespace}/{object}"));
        let total = self.total(values.map_err(unfetched)?);
        let proposal = self.against(total, metric.target).map_err(fail)?;
        let name = match is_average {
            // Upstream calls it so.
            true => format!("external metric {name}({})", written(selector.as_ref())),
            false => format!("{kind} metric {name}"),
        };
        Ok((proposal, name))
    }

    /// A metric from outside of the cluster.
    fn external(
        &self,
        metric: &Metric,
        selector: Option<&Selector>,
        values: Result<&[MetricValue], String>,
    ) -> Verdict {
        let name = name_of(metric);
        let selector = written(selector);
        let fail = |error: String| {
            let inner = match metric.target {
                MetricTarget::AverageValue(_) => format!("failed to get {name} external metric: {error}"),
                _ => format!("failed to get external metric {name}: {error}"),
            };
            let listed = format!("failed to get {name} external metric value: {inner}");
            MetricError { reason: "FailedGetExternalMetric", error, listed }
        };
        let namespace = self.autoscaler.meta.namespace;
        let unfetched =
            |error| fail(format!("unable to get external metric {namespace}/{name}/{selector}: {error}"));
        let total = self.total(values.map_err(unfetched)?);
        let proposal = self.against(total, metric.target).map_err(fail)?;
        Ok((proposal, format!("external metric {name}({selector})")))
    }

    fn total(&self, values: &[MetricValue]) -> Total {
        Total::sum(values.iter().map(|value| value.value), self.tolerances)
    }

    fn against(&self, total: Total, target: MetricTarget) -> Result<Proposal, String> {
        let Scaled { replicas, status_replicas, pods } = self.scaled;
        if let MetricTarget::AverageValue(target) = target {
            return Ok(total.against_average(target, status_replicas));
        }
        let proposal = |ready| total.against_value(amount(target), replicas, ready);
        if replicas == 0 || proposal(0).replicas == replicas {
            return Ok(proposal(0));
        }
        if pods.is_empty() {
            const EMPTY: &str = "no pods returned by selector while calculating replica count";
            return Err(format!("unable to calculate ready pods: {EMPTY}"));
        }
        let ready = pods.iter().filter(|pod| pod.status.phase == PodPhase::Running && pod.is_ready());
        Ok(proposal(ready.count() as i32))
    }
}

/// The values that an API has answered, or why there are none.
fn fetched<'a>(
    answer: &'a Result<Vec<MetricValue>, ApiError>,
    api: &str,
) -> Result<&'a [MetricValue], String> {
    match answer {
        Ok(values) if values.is_empty() => Err(format!("no metrics returned from {api}")),
        Ok(values) => Ok(values),
        Err(error) => Err(format!("unable to fetch metrics from {api}: {error}")),
    }
}

fn name_of(metric: &Metric) -> seatrial_api::symbol::Symbol {
    match &metric.source {
        MetricSource::Resource { name, .. }
        | MetricSource::Pods { name, .. }
        | MetricSource::Object { name, .. }
        | MetricSource::External { name, .. } => *name,
    }
}

/// A target in thousandths; percent are for the metrics server alone.
fn amount(target: MetricTarget) -> i64 {
    match target {
        MetricTarget::AverageValue(amount) | MetricTarget::Value(amount) => amount,
        MetricTarget::Utilization(percent) => i64::from(percent),
    }
}

/// A metric's selector as upstream's messages print it.
///
/// Model: whether a requirement of one value was written as a label or as an expression is not known
/// any more; it is printed as a label.
fn written(selector: Option<&Selector>) -> String {
    let Some(selector) = selector else { return "nil".to_string() };
    let mut labels = Vec::new();
    let mut expressions = String::new();
    for requirement in &selector.requirements {
        let key = requirement.key;
        let (operator, values) = match &requirement.operator {
            Operator::In(values) if values.len() == 1 => {
                labels.push(format!("{key}: {},", values.iter().next().copied().unwrap_or_default()));
                continue;
            }
            Operator::In(values) => ("In", values.iter().map(|value| value.as_str()).collect()),
            Operator::NotIn(values) => ("NotIn", values.iter().map(|value| value.as_str()).collect()),
            Operator::Exists => ("Exists", Vec::new()),
            Operator::DoesNotExist => ("DoesNotExist", Vec::new()),
            Operator::Gt(_) | Operator::Lt(_) | Operator::Never => continue,
        };
        let values = values.join(" ");
        let expression =
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},");
        expressions.push_str(&expression);
    }
    labels.sort_unstable();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}",
        labels.concat()
    )
}
