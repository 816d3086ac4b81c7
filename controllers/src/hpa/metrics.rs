//! What all metrics of an autoscaler ask for together.

use std::sync::Arc;

use seatrial_api::autoscaling::{HorizontalPodAutoscaler, Metric, MetricSource, MetricTarget};
use seatrial_api::machine::PodMetrics;
use seatrial_api::pod::Pod;
use seatrial_api::request::ApiError;
use seatrial_api::units::SimTime;

use super::replicas::{Measurement, Proposal, Resource, Tolerances};

/// The answer of the metrics server, if it was asked.
pub(super) type Samples = Result<Vec<PodMetrics>, ApiError>;

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

/// Whether some metric comes from the metrics server.
pub(super) fn needs_samples(autoscaler: &HorizontalPodAutoscaler) -> bool {
    autoscaler.metrics.iter().any(|metric| matches!(metric.source, MetricSource::Resource { .. }))
}

/// Computes the size that the metrics ask for: the largest; with failing metrics only if that is
/// not smaller than now.
pub(super) fn compute(
    autoscaler: &HorizontalPodAutoscaler,
    replicas: i32,
    pods: &[&Arc<Pod>],
    samples: &Samples,
    now: SimTime,
) -> Computation {
    let mut best: Option<(i32, String)> = None;
    let mut computation =
        Computation { outcome: Err(String::new()), current: Vec::new(), errors: Vec::new() };
    for metric in &autoscaler.metrics {
        match judge(autoscaler, metric, replicas, pods, samples, now) {
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
        Some(best) if failed == 0 || best.0 >= replicas => Ok(best),
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

fn judge(
    autoscaler: &HorizontalPodAutoscaler,
    metric: &Metric,
    replicas: i32,
    pods: &[&Arc<Pod>],
    samples: &Samples,
    now: SimTime,
) -> Result<(Proposal, String), MetricError> {
    let MetricSource::Resource { name, container } = metric.source else {
        return Err(not_served(autoscaler, metric));
    };
    let (of, noun) = match container {
        Some(_) => (format!("{} container", container.unwrap_or_default()), "container resource"),
        None => (format!("{name} resource"), "resource"),
    };
    let is_utilization = matches!(metric.target, MetricTarget::Utilization(_));
    let fail = |error: String| {
        let what = if is_utilization { "utilization" } else { "usage" };
        let error = format!("failed to get {name} {what}: {error}");
        let reason =
            if container.is_some() { "FailedGetContainerResourceMetric" } else { "FailedGetResourceMetric" };
        MetricError { reason, listed: format!("failed to get {of} metric value: {error}"), error }
    };
    let samples = samples.as_ref().map_err(|error| {
        fail(format!(
            "unable to get metrics for resource {name}: unable to fetch metrics from resource metrics API: {error}"
        ))
    })?;
    let resource = Resource { name, container };
    let measurement =
        Measurement { resource, pods, samples, replicas, tolerances: tolerances(autoscaler), now };
    match metric.target {
        MetricTarget::Utilization(target) => {
            let name = format!("{name} {noun} utilization (percentage of request)");
            measurement.utilization(target).map(|proposal| (proposal, name)).map_err(fail)
        }
        MetricTarget::AverageValue(target) | MetricTarget::Value(target) => measurement
            .average_value(target)
            .map(|proposal| (proposal, format!("{name} resource")))
            .map_err(fail),
    }
}

/// Metrics that no adapter serves, as in a cluster without one.
fn not_served(autoscaler: &HorizontalPodAutoscaler, metric: &Metric) -> MetricError {
    const CUSTOM: &str = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
    let namespace = autoscaler.meta.namespace;
    match &metric.source {
        MetricSource::Object { name, kind, object } => {
            let error = format!("unable to get metric {name}: {CUSTOM} on {kind} {namespace}/{object}");
            let listed = match metric.target {
                MetricTarget::AverageValue(_) => format!("failed to get {name} object metric: {error}"),
                _ => error.clone(),
            };
            let listed = format!("failed to get object metric value: {listed}");
            MetricError { reason: "FailedGetObjectMetric", error, listed }
        }
        MetricSource::External { name, selector } => {
            let selector = selector.as_ref().map(ToString::to_string).unwrap_or_default();
            let error = format!(
                "unable to get external metric {namespace}/{name}/{selector}: unable to fetch metrics from external \
                 metrics API: the server could not find the requested resource (get {name}.external.metrics.k8s.io)"
            );
            let listed = format!(
                "failed to get {name} external metric value: failed to get {name} external metric: {error}"
            );
            MetricError { reason: "FailedGetExternalMetric", error, listed }
        }
        MetricSource::Pods { name, .. } | MetricSource::Resource { name, .. } => {
            let error = format!("unable to get metric {name}: {CUSTOM}");
            let listed = format!("failed to get pods metric value: {error}");
            MetricError { reason: "FailedGetPodsMetric", error, listed }
        }
    }
}
