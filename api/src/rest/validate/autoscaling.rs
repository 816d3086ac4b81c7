//! Autoscalers and the scale sub-resource (`pkg/apis/autoscaling/validation/validation.go`).

use super::meta::{self, Scope, must_be_label, non_negative};
use super::names;
use super::resources::{container_resource_name, quantity_of};
use crate::document::Node;
use crate::quantity::Quantity;
use crate::rest::errors::{Errors, Path};

const METRIC_TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const WINDOW_MAX: i64 = 3_600;
const PERIOD_MAX: i64 = 1_800;

/// The scale of a workload.
pub(super) fn scale(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    let empty = Node::empty();
    non_negative(object.field("spec").unwrap_or(&empty), "replicas", &Path::new("spec"), e);
}

/// A HorizontalPodAutoscaler.
pub(super) fn autoscaler(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    body(object, e);
}

/// A HorizontalPodAutoscaler in another version.
pub(super) fn autoscaler_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    body(new, e);
}

fn body(object: &Node, e: &mut Errors) {
    let empty = Node::empty();
    let (spec, path) = (object.field("spec").unwrap_or(&empty), Path::new("spec"));
    let (min, max) = (spec.number("minReplicas"), spec.number("maxReplicas").unwrap_or(0));
    if let Some(min) = min.filter(|min| *min < 1) {
        e.invalid(&path.child("minReplicas"), min, "must be greater than or equal to 1");
    }
    let at = path.child("maxReplicas");
    if max == 0 {
        e.required(&at, "must be set and greater than 0");
    } else if max < 0 {
        e.invalid(&at, max, "must be greater than or equal to 1");
    }
    if min.is_some_and(|min| max < min) {
        e.invalid(&at, max, "must be greater than or equal to `minReplicas`");
    }
    let target = spec.field("scaleTargetRef").unwrap_or(&empty);
    reference(target, &path.child("scaleTargetRef"), false, e);
    metrics(spec, min, &path.child("metrics"), e);
    if let Some(behavior) = spec.field("behavior") {
        for key in ["scaleUp", "scaleDown"] {
            if let Some(rules) = behavior.field(key) {
                scaling_rules(rules, &path.child("behavior").child(key), e);
            }
        }
    }
}

/// `core` says whether the target may be of the core group.
fn reference(target: &Node, path: &Path, core: bool, e: &mut Errors) {
    for key in ["kind", "name"] {
        match target.str(key) {
            "" => e.required(&path.child(key), ""),
            text => e.invalid_in(&path.child(key), text, names::path_segment(text)),
        }
    }
    let version = target.str("apiVersion");
    let path = path.child("apiVersion");
    match version.matches('/').count() {
        0 if core => {}
        0 => e.invalid(&path, version, "apiVersion must specify API group"),
        1 if version.starts_with('/') => e.invalid(&path, version, "apiVersion must specify API group"),
        1 => {}
        _ => e.invalid(&path, version, format!("unexpected GroupVersion string: {version}")),
    }
}

fn metrics(spec: &Node, min: Option<i64>, path: &Path, e: &mut Errors) {
    let metrics = spec.elements("metrics");
    for (index, metric) in metrics.iter().enumerate() {
        metric_spec(metric, &path.index(index), e);
    }
    if min == Some(0) && !metrics.iter().any(|metric| matches!(metric.str("type"), "Object" | "External")) {
        e.forbidden(
            path,
            "must specify at least one Object or External metric to support scaling to zero replicas",
        );
    }
}

fn metric_spec(metric: &Node, path: &Path, e: &mut Errors) {
    const SOURCES: [(&str, &str); 5] = [
        ("Object", "object"),
        ("External", "external"),
        ("Pods", "pods"),
        ("Resource", "resource"),
        ("ContainerResource", "containerResource"),
    ];
    let kind = metric.str("type");
    if kind.is_empty() {
        e.required(&path.child("type"), "must specify a metric source type");
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    if expected.is_none() {
        e.unsupported(&path.child("type"), kind, &METRIC_TYPES);
    }
    let present: Vec<&str> =
        SOURCES.iter().map(|(_, field)| *field).filter(|field| metric.field(field).is_some()).collect();
    if let Some(first) = present.first()
        && let Some(source) = metric.field(first)
    {
        metric_source(first, source, &path.child(first), e);
    }
    match expected {
        None => e.unsupported(&path.child("type"), kind, &METRIC_TYPES),
        Some(field) if metric.field(field).is_none() => {
            e.required(&path.child(field), "must populate information for the given metric source");
        }
        Some(_) => {}
    }
    if present.len() != 1 {
        for field in present.iter().filter(|field| Some(**field) != expected) {
            e.forbidden(&path.child(field), "must populate the given metric source only");
        }
    }
}

fn metric_source(kind: &str, source: &Node, path: &Path, e: &mut Errors) {
    let empty = Node::empty();
    let target = source.field("target").unwrap_or(&empty);
    let (value, average, utilization) =
        (target.field("value"), target.field("averageValue"), target.field("averageUtilization"));
    let at = path.child("target");
    match kind {
        "object" => {
            reference(
                source.field("describedObject").unwrap_or(&empty),
                &path.child("describedObject"),
                true,
                e,
            );
            metric_name(source, path, e);
            metric_target(target, &at, e);
            if value.is_none() && average.is_none() {
                e.required(&at.child("averageValue"), "must set either a target value or averageValue");
            }
        }
        "external" => {
            metric_name(source, path, e);
            metric_target(target, &at, e);
            if value.is_none() && average.is_none() {
                let detail = "must set either a target value for metric or a per-pod target";
                e.required(&at.child("averageValue"), detail);
            }
            if value.is_some() && average.is_some() {
                let detail = "may not set both a target value for metric and a per-pod target";
                e.forbidden(&at.child("value"), detail);
            }
        }
        "pods" => {
            metric_name(source, path, e);
            metric_target(target, &at, e);
            if average.is_none() {
                e.required(&at.child("averageValue"), "must specify a positive target averageValue");
            }
        }
        _ => {
            resource_source(kind, source, path, e);
            metric_target(target, &at, e);
            if utilization.is_none() && average.is_none() {
                let detail = "must set either a target raw value or a target utilization";
                e.required(&at.child("averageUtilization"), detail);
            }
            if utilization.is_some() && average.is_some() {
                let detail = "may not set both a target raw value and a target utilization";
                e.forbidden(&at.child("averageValue"), detail);
            }
        }
    }
}

fn resource_source(kind: &str, source: &Node, path: &Path, e: &mut Errors) {
    let name = source.str("name");
    if name.is_empty() {
        e.required(&path.child("name"), "must specify a resource name");
    } else if kind == "containerResource" {
        container_resource_name(name, &path.child("name"), e);
    }
    if kind == "containerResource" {
        match source.str("container") {
            "" => e.required(&path.child("container"), "must specify a container"),
            container => must_be_label(container, &path.child("container"), e),
        }
    }
}

fn metric_name(source: &Node, path: &Path, e: &mut Errors) {
    let path = path.child("metric").child("name");
    match source.get("metric").map_or("", |metric| metric.str("name")) {
        "" => e.required(&path, "must specify a metric name"),
        name => e.invalid_in(&path, name, names::path_segment(name)),
    }
}

fn metric_target(target: &Node, path: &Path, e: &mut Errors) {
    let kind = target.str("type");
    if kind.is_empty() {
        e.required(&path.child("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        e.invalid(&path.child("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for key in ["value", "averageValue"] {
        if let Some(amount) = quantity_of(target, key).filter(|amount| *amount <= Quantity::ZERO) {
            e.invalid(&path.child(key), &amount.to_string(), "must be positive");
        }
    }
    if let Some(percent) = target.number("averageUtilization").filter(|percent| *percent < 1) {
        e.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn scaling_rules(rules: &Node, path: &Path, e: &mut Errors) {
    const SELECTIONS: [&str; 3] = ["Disabled", "Max", "Min"];
    let at = path.child("stabilizationWindowSeconds");
    match rules.number("stabilizationWindowSeconds") {
        Some(window) if window < 0 => e.invalid(&at, window, "must be greater than or equal to zero"),
        Some(window) if window > WINDOW_MAX => {
            e.invalid(&at, window, format!("must be less than or equal to {WINDOW_MAX}"));
        }
        _ => {}
    }
    let selection = rules.field("selectPolicy").and_then(Node::as_str);
    if let Some(selection) = selection.filter(|selection| !SELECTIONS.contains(selection)) {
        e.unsupported(&path.child("selectPolicy"), selection, &SELECTIONS);
    }
    let policies = rules.elements("policies");
    if policies.is_empty() {
        e.required(&path.child("policies"), "must specify at least one Policy");
    }
    for (index, policy) in policies.iter().enumerate() {
        let path = path.child("policies").index(index);
        if !matches!(policy.str("type"), "Pods" | "Percent") {
            e.unsupported(&path.child("type"), policy.str("type"), &["Percent", "Pods"]);
        }
        for key in ["value", "periodSeconds"] {
            let number = policy.number(key).unwrap_or(0);
            if number <= 0 {
                e.invalid(&path.child(key), number, "must be greater than zero");
            }
        }
        if let Some(period) = policy.number("periodSeconds").filter(|period| *period > PERIOD_MAX) {
            let detail = format!("must be less than or equal to {PERIOD_MAX}");
            e.invalid(&path.child("periodSeconds"), period, detail);
        }
    }
    if let Some(tolerance) = quantity_of(rules, "tolerance").filter(|tolerance| *tolerance < Quantity::ZERO) {
        e.invalid(&path.child("tolerance"), &tolerance.to_string(), "must be greater than or equal to 0");
    }
}
