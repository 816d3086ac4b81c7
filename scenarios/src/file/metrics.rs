//! Metrics of the custom and external metrics APIs, by which autoscalers may go.

use seatrial_api::units::Span;

use super::pods::SelectorField;
use crate::schema::{Amount, LabelMap, Placed, Rule, Text, choice, record};

record! {
    /// A metric that an adapter serves to autoscalers. Without `object` or `external` it is one of pods (type `Pods`).
    pub(crate) struct MetricEntry {
        /// Its name, as the autoscalers have it.
        name("name"): Placed<Text>,
        /// In which namespace; in all if absent.
        namespace("namespace"): Option<Text>,
        /// The pods that have the metric. If it is one of an object or external: the pods among which the value is divided.
        pods("pods"): Option<SelectorField>,
        /// The object that the metric is about (type `Object`).
        object("object"): Option<DescribedObject>,
        /// That the metric comes from outside of the cluster (type `External`), and the labels of the series.
        external("external"): Option<ExternalSeries>,
        /// Whether a value is that of all pods that are ready together, or that of each.
        value_of("valueOf"): ValueOf = "all",
        /// The value over time: from each instant on, so much.
        values("values"): Placed<Vec<Placed<MetricPoint>>>,
    }
    rules [Rule::AtMostOne(&["object", "external"]), Rule::AtLeastOne(&["pods", "object", "external"])]
}

record! {
    /// An object that a metric is about.
    pub(crate) struct DescribedObject {
        /// Its kind.
        kind("kind"): Text,
        /// Its name.
        name("name"): Text,
    }
}

record! {
    /// A series of an external metric.
    pub(crate) struct ExternalSeries {
        /// Its labels, which the selectors of autoscalers choose by.
        labels("labels"): LabelMap,
    }
}

choice! {
    /// Whose a value is.
    pub(crate) enum ValueOf {
        /// Of all pods together: it is divided among those that are ready.
        All = "all",
        /// Of each pod.
        Each = "each",
    }
}

record! {
    /// From an instant on, a value.
    pub(crate) struct MetricPoint {
        /// From when on.
        at("at"): Span,
        /// How much.
        value("value"): Amount,
    }
}
