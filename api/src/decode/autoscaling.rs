//! HorizontalPodAutoscalers, version 2 and what version 1 is converted to.

use super::reader::Reader;
use super::selector;
use super::workload::{conditions, status};
use crate::autoscaling::{
    HorizontalPodAutoscaler, HpaStatus, Metric, MetricSource, MetricTarget, PolicyUnit, ScalingBehavior,
    ScalingPolicy, ScalingRules, SelectPolicy,
};
use crate::meta::ObjectMeta;
use crate::symbol::Symbol;
use crate::units::Ratio;
use crate::version::KubernetesVersion;

/// Percent of the requested CPU that is aimed at if no metric is given.
const CPU_UTILIZATION: i32 = 80;

/// Reads a HorizontalPodAutoscaler.
pub(super) fn autoscaler(object: &Reader<'_>, meta: ObjectMeta) -> Option<HorizontalPodAutoscaler> {
    let status = status(object, hpa_status);
    object.object_or_empty("spec", |spec| {
        let (target_kind, target_api_version, target_name) = target(spec);
        let mut metrics: Vec<Metric> = spec.list("metrics", metric).into_iter().flatten().collect();
        // Version 1 knows this one metric.
        let percent = spec.int32("targetCPUUtilizationPercentage", 1);
        if metrics.is_empty() && spec.list_len("metrics") == 0 {
            metrics.push(Metric {
                source: MetricSource::Resource { name: Symbol::new("cpu"), container: None },
                target: MetricTarget::Utilization(percent.unwrap_or(CPU_UTILIZATION)),
            });
        }
        // Zero is for metrics that are there without pods, behind the gate HPAScaleToZero.
        let without_pods = |metric: &Metric| {
            matches!(metric.source, MetricSource::Object { .. } | MetricSource::External { .. })
        };
        let least = if spec.cx.hpa_scale_to_zero && metrics.iter().any(without_pods) { 0 } else { 1 };
        let min_replicas = spec.int32("minReplicas", least).unwrap_or(1);
        if !spec.has("maxReplicas") {
            spec.invalid("maxReplicas", "a whole number ≥ 1");
        }
        let max_replicas = spec.int32("maxReplicas", 1).unwrap_or(min_replicas);
        if max_replicas < min_replicas {
            spec.invalid("maxReplicas", format!("a whole number ≥ minReplicas, {min_replicas}"));
        }
        HorizontalPodAutoscaler {
            meta,
            target_kind,
            target_api_version,
            target_name: target_name.as_str().into(),
            min_replicas,
            max_replicas,
            metrics,
            behavior: spec.object("behavior", behavior),
            status,
        }
    })
}

fn target(spec: &Reader<'_>) -> (Symbol, Symbol, Symbol) {
    if !spec.has("scaleTargetRef") {
        spec.invalid("scaleTargetRef", "the kind and name of what is scaled");
    }
    let read = |target: &Reader<'_>| {
        (target.required_symbol("kind"), target.symbol("apiVersion"), target.required_symbol("name"))
    };
    spec.object("scaleTargetRef", read).unwrap_or_default()
}

#[derive(Clone, Copy)]
enum MetricType {
    Resource,
    ContainerResource,
    Pods,
    Object,
    External,
}

fn metric(metric: &Reader<'_>) -> Option<Metric> {
    let types = [
        ("Resource", MetricType::Resource),
        ("ContainerResource", MetricType::ContainerResource),
        ("Pods", MetricType::Pods),
        ("Object", MetricType::Object),
        ("External", MetricType::External),
    ];
    let kind = metric.choice("type", &types);
    let mut read = Vec::new();
    read.push(metric.object("resource", |source| (resource(source, false), metric_target(source))));
    read.push(metric.object("containerResource", |source| (resource(source, true), metric_target(source))));
    read.push(metric.object("pods", |source| {
        let (name, selector) = identifier(source);
        (MetricSource::Pods { name, selector }, metric_target(source))
    }));
    read.push(metric.object("object", |source| {
        let (name, selector) = identifier(source);
        let described = source.object("describedObject", |object| {
            object.known(&["apiVersion"]);
            (object.required_symbol("kind"), object.text("name"))
        });
        let (kind, object) = described.unwrap_or_default();
        (MetricSource::Object { name, kind, object, selector }, metric_target(source))
    }));
    read.push(metric.object("external", |source| {
        let (name, selector) = identifier(source);
        (MetricSource::External { name, selector }, metric_target(source))
    }));
    let expected =
        "a type (Resource, ContainerResource, Pods, Object or External) and the field that goes with it";
    let Some(kind) = kind else {
        metric.invalid("type", expected);
        return None;
    };
    let Some((source, target)) = read.swap_remove(kind as usize) else {
        metric.invalid("type", expected);
        return None;
    };
    Some(Metric { source, target: target? })
}

fn resource(source: &Reader<'_>, of_container: bool) -> MetricSource {
    MetricSource::Resource {
        name: source.required_symbol("name"),
        container: of_container.then(|| source.required_symbol("container")),
    }
}

fn identifier(source: &Reader<'_>) -> (Symbol, Option<crate::labels::Selector>) {
    let read = |metric: &Reader<'_>| (metric.required_symbol("name"), selector::optional(metric, "selector"));
    source.object_or_empty("metric", read).unwrap_or_default()
}

#[derive(Clone, Copy)]
enum TargetType {
    Utilization,
    AverageValue,
    Value,
}

fn metric_target(source: &Reader<'_>) -> Option<MetricTarget> {
    let types = [
        ("Utilization", TargetType::Utilization),
        ("AverageValue", TargetType::AverageValue),
        ("Value", TargetType::Value),
    ];
    source.object_or_empty("target", |target| {
        let percent = target.int32("averageUtilization", 1).map(MetricTarget::Utilization);
        let average = target.quantity("averageValue").map(|q| MetricTarget::AverageValue(q.ceil_millis()));
        let value = target.quantity("value").map(|q| MetricTarget::Value(q.ceil_millis()));
        let chosen = match target.choice("type", &types) {
            Some(TargetType::Utilization) => percent,
            Some(TargetType::AverageValue) => average,
            Some(TargetType::Value) => value,
            None => percent.or(average).or(value),
        };
        if [percent, average, value].iter().flatten().count() > 1 {
            target.refuse("type", "a metric has one target only");
        }
        if chosen.is_none() {
            target.invalid(
                "type",
                "a type and the value that goes with it (averageUtilization, averageValue or value)",
            );
        }
        chosen
    })?
}

/// Reads `behavior`; a direction that it leaves out gets the default rules.
fn behavior(behavior: &Reader<'_>) -> ScalingBehavior {
    let per_15_s = |unit, value| ScalingPolicy { unit, value, period_seconds: 15 };
    ScalingBehavior {
        scale_up: rules(
            behavior,
            "scaleUp",
            Some(0),
            vec![per_15_s(PolicyUnit::Pods, 4), per_15_s(PolicyUnit::Percent, 100)],
        ),
        scale_down: rules(behavior, "scaleDown", None, vec![per_15_s(PolicyUnit::Percent, 100)]),
    }
}

fn rules(
    behavior: &Reader<'_>,
    key: &'static str,
    window: Option<i32>,
    policies: Vec<ScalingPolicy>,
) -> ScalingRules {
    let defaults = ScalingRules {
        stabilization_window_seconds: window,
        select_policy: SelectPolicy::Max,
        policies,
        tolerance: None,
    };
    let selections =
        [("Max", SelectPolicy::Max), ("Min", SelectPolicy::Min), ("Disabled", SelectPolicy::Disabled)];
    let read = behavior.object(key, |rules| {
        let policies = rules.list("policies", scaling_policy);
        let window = rules.int("stabilizationWindowSeconds", 0..=3_600).map(|seconds| seconds as i32);
        ScalingRules {
            stabilization_window_seconds: window.or(defaults.stabilization_window_seconds),
            select_policy: rules.choice("selectPolicy", &selections).unwrap_or_default(),
            policies: if policies.is_empty() { defaults.policies.clone() } else { policies },
            tolerance: tolerance(rules),
        }
    });
    read.unwrap_or(defaults)
}

/// Reads `tolerance`, which older servers drop.
fn tolerance(rules: &Reader<'_>) -> Option<Ratio> {
    let millionths = rules.quantity("tolerance").map(|quantity| quantity.nanos() / 1_000);
    let millionths = millionths.filter(|_| rules.cx.version >= KubernetesVersion::V1_36)?;
    Some(Ratio::new(i64::try_from(millionths).unwrap_or(i64::MAX), 1_000_000))
}

fn scaling_policy(policy: &Reader<'_>) -> ScalingPolicy {
    let units = [("Pods", PolicyUnit::Pods), ("Percent", PolicyUnit::Percent)];
    let unit = policy.choice("type", &units);
    let (value, period) = (policy.int32("value", 1), policy.int("periodSeconds", 1..=1_800));
    for (key, missing) in [
        ("type", !policy.has("type")),
        ("value", !policy.has("value")),
        ("periodSeconds", !policy.has("periodSeconds")),
    ] {
        if missing {
            policy.invalid(key, "a type (Pods or Percent), a value and periodSeconds");
        }
    }
    ScalingPolicy {
        unit: unit.unwrap_or(PolicyUnit::Pods),
        value: value.unwrap_or(1),
        period_seconds: period.unwrap_or(15) as i32,
    }
}

fn hpa_status(status: &Reader<'_>) -> HpaStatus {
    HpaStatus {
        current_replicas: status.count("currentReplicas"),
        desired_replicas: status.count("desiredReplicas"),
        last_scale_time: status.time("lastScaleTime"),
        // Measured anew at the next sync.
        current_metrics: {
            status.known(&["currentMetrics", "currentCPUUtilizationPercentage"]);
            Vec::new()
        },
        observed_generation: status.int("observedGeneration", 0..=i64::MAX),
        conditions: conditions(status),
    }
}
