//! VerticalPodAutoscalers.

use super::reader::Reader;
use super::resources;
use super::workload::{conditions, status};
use crate::meta::ObjectMeta;
use crate::vertical::{
    ContainerPolicy, ContainerRecommendation, ControlledValues, CpuAndMemory, UpdateMode,
    VerticalPodAutoscaler, VpaStatus,
};

/// Reads a VerticalPodAutoscaler.
pub(super) fn autoscaler(object: &Reader<'_>, meta: ObjectMeta) -> Option<VerticalPodAutoscaler> {
    let status = status(object, vpa_status);
    object.object_or_empty("spec", |spec| {
        spec.not_played(&["recommenders", "startupBoost"]);
        if !spec.has("targetRef") {
            spec.invalid("targetRef", "the kind and name of the workload");
        }
        let target = spec.object("targetRef", |target| {
            (target.required_symbol("kind"), target.symbol("apiVersion"), target.text("name"))
        });
        let (target_kind, target_api_version, target_name) = target.unwrap_or_default();
        let (update_mode, min_replicas) = spec.object("updatePolicy", update_policy).unwrap_or_default();
        let policies =
            spec.object("resourcePolicy", |policy| policy.list("containerPolicies", container_policy));
        VerticalPodAutoscaler {
            meta,
            target_kind,
            target_api_version,
            target_name,
            update_mode,
            min_replicas,
            policies: policies.unwrap_or_default().into(),
            status,
        }
    })
}

fn update_policy(policy: &Reader<'_>) -> (UpdateMode, Option<i32>) {
    policy.not_played(&["evictionRequirements", "evictAfterOOMSeconds"]);
    let modes = [
        ("Off", UpdateMode::Off),
        ("Initial", UpdateMode::Initial),
        ("Recreate", UpdateMode::Recreate),
        ("Auto", UpdateMode::Recreate),
        ("InPlaceOrRecreate", UpdateMode::InPlaceOrRecreate),
    ];
    (policy.choice("updateMode", &modes).unwrap_or_default(), policy.int32("minReplicas", 1))
}

fn container_policy(policy: &Reader<'_>) -> ContainerPolicy {
    policy.not_played(&["oomBumpUpRatio", "oomMinBumpUp", "startupBoost"]);
    let values = [
        ("RequestsAndLimits", ControlledValues::RequestsAndLimits),
        ("RequestsOnly", ControlledValues::RequestsOnly),
    ];
    let is_off = policy.choice("mode", &[("Auto", false), ("Off", true)]).unwrap_or(false);
    let controlled = policy.strs("controlledResources");
    if controlled.iter().any(|name| !matches!(&**name, "cpu" | "memory")) {
        policy.invalid("controlledResources", "cpu, memory or both");
    }
    let controls = |name: &str| {
        !policy.has("controlledResources") || controlled.iter().any(|controlled| controlled == name)
    };
    let (min_allowed, max_allowed) = (amounts(policy, "minAllowed"), amounts(policy, "maxAllowed"));
    let above = min_allowed.cpu.zip(max_allowed.cpu).is_some_and(|(min, max)| min > max)
        || min_allowed.memory.zip(max_allowed.memory).is_some_and(|(min, max)| min > max);
    if above {
        policy.invalid("minAllowed", "amounts up to maxAllowed");
    }
    ContainerPolicy {
        container: policy.required_symbol("containerName"),
        is_off,
        min_allowed,
        max_allowed,
        controls_cpu: controls("cpu"),
        controls_memory: controls("memory"),
        controlled_values: policy.choice("controlledValues", &values).unwrap_or_default(),
    }
}

fn amounts(reader: &Reader<'_>, key: &'static str) -> CpuAndMemory {
    let list = resources::list(reader, key);
    CpuAndMemory { cpu: list.cpu, memory: list.memory }
}

fn vpa_status(status: &Reader<'_>) -> VpaStatus {
    let recommendation = status.object("recommendation", |recommendation| {
        recommendation.list("containerRecommendations", |container| ContainerRecommendation {
            container: container.required_symbol("containerName"),
            target: amounts(container, "target"),
            lower_bound: amounts(container, "lowerBound"),
            upper_bound: amounts(container, "upperBound"),
            uncapped_target: amounts(container, "uncappedTarget"),
        })
    });
    VpaStatus { recommendation: recommendation.unwrap_or_default(), conditions: conditions(status) }
}
