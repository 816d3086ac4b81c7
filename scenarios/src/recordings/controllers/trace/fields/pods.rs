//! Pods.

use seatrial_api::pod::ConditionStatus;
use seatrial_api::pod::{ContainerState, Pod, PodCondition, PodConditionType, PodReason, PodSpec};
use seatrial_api::symbol::Symbol;
use serde_json::{Map, Value, json};

use super::{Around, Fields, row};

pub(super) fn pod(fields: &mut Fields, pod: &Pod, around: &Around<'_>) {
    fields.put("phase", json!(pod.status.phase.as_str()));
    if let Some(node) = pod.node {
        fields.put("node", json!(node.as_str()));
    }
    if let Some(node) = pod.status.nominated_node {
        fields.put("nominatedNode", json!(node.as_str()));
    }
    if let Some(priority) = pod.spec.priority {
        fields.put("priority", json!(priority));
    }
    fields.images(&pod.spec);
    fields.put("gates", pod.spec.scheduling_gates.iter().map(|gate| json!(gate.as_str())).collect());
    fields.put("conditions", conditions(pod));
    if pod.status.restarts() > 0 {
        fields.put("restarts", json!(pod.status.restarts()));
    }
    if let Some(text) = &pod.status.text {
        fields.text("reason", text.reason.as_str());
        fields.text("message", &text.message);
    }
    let annotations = [
        ("pod-deletion-cost", "controller.kubernetes.io/pod-deletion-cost"),
        ("index", "batch.kubernetes.io/job-completion-index"),
        ("job-index-failure-count", "batch.kubernetes.io/job-index-failure-count"),
    ];
    for (field, key) in annotations {
        fields.annotation(field, &pod.meta, key);
    }
    let label = |key: &str| pod.meta.labels.get(Symbol::new(key));
    for (field, key) in [
        ("pod-template-generation", "pod-template-generation"),
        ("pod-index", "apps.kubernetes.io/pod-index"),
    ] {
        if let Some(value) = label(key) {
            fields.put(field, json!(value.as_str()));
        }
    }
    if let Some(hash) = label("controller-revision-hash") {
        let own = around.aliases.of_generated(hash.as_str()).map(str::to_owned);
        let of_set = || {
            let owner = pod.meta.controller()?;
            around.aliases.of_generated(&format!("{}-{hash}", owner.name)).map(str::to_owned)
        };
        if let Some(alias) = own.or_else(of_set) {
            fields.put("revision", json!(alias));
        }
    }
}

/// The three conditions that are traced.
fn conditions(pod: &Pod) -> Value {
    let mut out = Map::new();
    for kind in [PodConditionType::Ready, PodConditionType::PodScheduled, PodConditionType::DisruptionTarget]
    {
        let condition = pod.status.conditions.get(kind);
        if condition.status != ConditionStatus::Absent {
            let message = message(pod, kind, condition);
            out.insert(kind.as_str().to_owned(), row(condition.status, condition.reason.as_str(), &message));
        }
    }
    Value::Object(out)
}

/// The message of a condition: the store keeps those that say more than the reason, the others
/// follow from it.
fn message(pod: &Pod, kind: PodConditionType, condition: PodCondition) -> String {
    let text = pod.status.text.as_deref();
    match (kind, condition.reason) {
        (PodConditionType::PodScheduled, _) if condition.status == ConditionStatus::False => {
            text.map_or_else(String::new, |text| text.scheduling.to_string())
        }
        (PodConditionType::Ready, PodReason::ContainersNotReady) => {
            format!("containers with unready status: [{}]", unready(pod).join(" "))
        }
        (PodConditionType::DisruptionTarget, PodReason::EvictionByEvictionApi) => {
            "Eviction API: evicting".to_owned()
        }
        (PodConditionType::DisruptionTarget, PodReason::DeletionByTaintManager) => {
            "Taint manager: deleting due to NoExecute taint".to_owned()
        }
        (PodConditionType::DisruptionTarget, PodReason::DeletionByPodGc) => {
            "PodGC: node no longer exists".to_owned()
        }
        (PodConditionType::DisruptionTarget, PodReason::PreemptionByScheduler) => {
            let scheduler = pod.spec.scheduler_name;
            format!("{scheduler}: preempting to accommodate a higher priority pod")
        }
        (PodConditionType::DisruptionTarget, PodReason::TerminationByKubelet) => {
            text.map_or_else(String::new, |text| text.message.to_string())
        }
        _ => String::new(),
    }
}

/// The containers that are not ready.
fn unready(pod: &Pod) -> Vec<&'static str> {
    let spec: &PodSpec = &pod.spec;
    let is_ready = |name: Symbol| {
        let statuses = pod.status.containers.iter().flat_map(|list| list.iter());
        statuses.into_iter().any(|status| {
            status.name == name && status.ready && matches!(status.state, ContainerState::Running { .. })
        })
    };
    spec.containers
        .iter()
        .map(|container| container.name)
        .filter(|name| !is_ready(*name))
        .map(Symbol::as_str)
        .collect()
}
