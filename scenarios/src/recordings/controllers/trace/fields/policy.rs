//! Disruption budgets, quotas and autoscalers.

use seatrial_api::autoscaling::{HorizontalPodAutoscaler, MetricSource, MetricTarget};
use seatrial_api::meta::Uid;
use seatrial_api::policy::{Budget, PodDisruptionBudget, UnhealthyPodEvictionPolicy};
use seatrial_api::quota::{Amounts, ResourceQuota};
use seatrial_api::workload::IntOrPercent;
use serde_json::{Value, json};

use super::{Around, Fields};

pub(super) fn budget(fields: &mut Fields, budget: &PodDisruptionBudget, around: &Around<'_>) {
    let status = &budget.status;
    match budget.budget {
        Some(Budget::MinAvailable(amount)) => fields.put("spec.minAvailable", int_or_percent(amount)),
        Some(Budget::MaxUnavailable(amount)) => fields.put("spec.maxUnavailable", int_or_percent(amount)),
        None => {}
    }
    if budget.unhealthy_pod_eviction_policy == UnhealthyPodEvictionPolicy::AlwaysAllow {
        fields.put("spec.unhealthyPodEvictionPolicy", json!("AlwaysAllow"));
    }
    fields.put("currentHealthy", json!(status.current_healthy));
    fields.put("desiredHealthy", json!(status.desired_healthy));
    fields.put("disruptionsAllowed", json!(status.disruptions_allowed));
    fields.put("expectedPods", json!(status.expected_pods));
    let pod = |(uid, _): &(Uid, _)| {
        let alias = around.aliases.of_uid(*uid).unwrap_or("");
        // A pod's own name is its alias without the kind.
        let name = if alias.contains(['#', '@']) { alias } else { alias.trim_start_matches("pod:") };
        format!("{{{name}}}")
    };
    let mut disrupted: Vec<String> = status.disrupted_pods.iter().map(pod).collect();
    disrupted.sort();
    fields.put("disruptedPods", disrupted.into_iter().map(Value::from).collect());
    fields.observed(status.observed_generation);
    fields.conditions(&status.conditions);
}

pub(super) fn quota(fields: &mut Fields, quota: &ResourceQuota) {
    let written = |amounts: &Amounts| {
        Value::Object(
            amounts.iter().map(|(name, amount)| (name.to_string(), json!(amount.to_string()))).collect(),
        )
    };
    let status = &quota.status;
    fields.put("hard", status.hard.as_ref().map_or(Value::Null, written));
    fields.put("used", status.used.as_ref().map_or(Value::Null, written));
}

fn int_or_percent(amount: IntOrPercent) -> Value {
    match amount {
        IntOrPercent::Int(count) => json!(count),
        IntOrPercent::Percent(percent) => json!(format!("{percent}%")),
    }
}

pub(super) fn autoscaler(fields: &mut Fields, autoscaler: &HorizontalPodAutoscaler, around: &Around<'_>) {
    let status = &autoscaler.status;
    fields.counter("currentReplicas", status.current_replicas);
    fields.put("desiredReplicas", json!(status.desired_replicas));
    fields.time("lastScaleTime", status.last_scale_time, around);
    let mut metrics = Vec::new();
    for (metric, current) in autoscaler.metrics.iter().zip(&status.current_metrics) {
        let (MetricSource::Resource { name, .. }, Some(current)) = (&metric.source, current) else {
            continue;
        };
        let value = match metric.target {
            MetricTarget::Utilization(_) => json!({"averageUtilization": current}),
            MetricTarget::AverageValue(_) | MetricTarget::Value(_) => {
                json!({"averageValue": format!("{current}m")})
            }
        };
        metrics.push(json!({name.as_str(): value}));
    }
    fields.put("currentMetrics", Value::Array(metrics));
    if let Some(generation) = status.observed_generation {
        fields.observed(generation);
    }
    fields.conditions(&status.conditions);
}
