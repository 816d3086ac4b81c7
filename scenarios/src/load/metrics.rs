//! Metrics that an adapter serves to autoscalers.

use std::sync::Arc;

use seatrial_api::duration::to_text;
use seatrial_api::labels::Labels;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_sim_core::cluster::config::{MetricSource, MetricSpec};

use super::check::Checker;
use crate::file::metrics::{MetricEntry, MetricPoint, ValueOf};
use crate::schema::{Placed, Text};

/// A metric, ready to be served.
pub(super) fn metric(entry: &MetricEntry, checker: &mut Checker<'_>) -> MetricSpec {
    let source = match (&entry.object, &entry.external) {
        (Some(object), _) => {
            MetricSource::Object { kind: Symbol::new(&object.kind.0), name: object.name.0.clone() }
        }
        (None, Some(_)) => MetricSource::External,
        (None, None) => MetricSource::Pods,
    };
    let labels = entry.external.as_ref().map_or(Labels::NONE, |series| Labels::new(series.labels.0.clone()));
    MetricSpec {
        name: Symbol::new(&entry.name.value.0),
        namespace: entry.namespace.as_ref().map(|Text(name)| Symbol::new(name)),
        source,
        labels,
        pods: entry.pods.as_ref().map(|pods| Arc::new(pods.selector())),
        each: entry.value_of == ValueOf::Each,
        course: course(&entry.values, checker),
    }
}

fn course(values: &Placed<Vec<Placed<MetricPoint>>>, checker: &mut Checker<'_>) -> Vec<(SimTime, i64)> {
    if values.value.is_empty() {
        checker.error(values, |error| error.expected("at least one point {at, value}", "none"));
    }
    for pair in values.value.windows(2) {
        if pair[1].value.at <= pair[0].value.at {
            checker.error(&pair[1], |error| {
                let found = format!("{} after {}", to_text(pair[1].value.at), to_text(pair[0].value.at));
                error.expected("points in the order of time", found)
            });
        }
    }
    values.value.iter().map(|point| (SimTime::ZERO + point.value.at, point.value.value.0)).collect()
}
