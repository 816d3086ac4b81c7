//! A pod as a trace tells it.

use seatrial_api::container::Container;
use seatrial_api::pod::{
    ConditionStatus, ContainerState, ContainerStatus, LastTermination, Pod, PodConditionType, PodReason,
    PodStatus,
};
use seatrial_api::resources::ResourceList;
use seatrial_api::status_detail::{ContainerDetail, OtherCondition, StatusDetail, Times};
use serde_json::{Map, Value, json};

use super::runtime::Runtime;
use super::texts;

/// The conditions in the order of the array; others come before them.
const ORDER: [PodConditionType; 6] = [
    PodConditionType::DisruptionTarget,
    PodConditionType::PodReadyToStartContainers,
    PodConditionType::Initialized,
    PodConditionType::Ready,
    PodConditionType::ContainersReady,
    PodConditionType::PodScheduled,
];

/// The annotation by which a mirror is known.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The pod's fields. `row` is the one by which the runtime knows it.
pub(super) fn tell(pod: &Pod, row: u32, runtime: &Runtime) -> Map<String, Value> {
    let (status, spec) = (&pod.status, &pod.spec);
    let text = status.text.as_deref();
    let detail = text.and_then(|text| text.detail.as_deref());
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| {
        let nothing = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !nothing {
            fields.insert(key.to_owned(), value);
        }
    };
    set("phase", json!(status.phase.as_str()));
    set("reason", json!(text.map(|text| text.reason.as_str())));
    set("message", json!(text.map(|text| text.message.as_str())));
    set("qosClass", json!(spec.derived.qos.as_str()));
    set("generation", json!(pod.meta.generation));
    set("observedGeneration", observed(detail));
    set("nominated", json!(status.nominated_node.map(|node| node.as_str())));
    set("node", pod.node.map_or(Value::Null, |_| json!("{node}")));
    if let Some(deletion) = pod.meta.deletion() {
        set("deleting", json!(true));
        set("grace", json!(deletion.grace_seconds));
    }
    if status.start_time.is_some() {
        set("startTime", json!(true));
        // A refused pod has no addresses.
        set("hostIP", if status.containers.is_some() { json!("{hostIP}") } else { Value::Null });
    }
    set("podIPs", addresses(status, detail));
    set("finalizers", pod.meta.finalizers().iter().map(|name| json!(name.as_str())).collect());
    set("labels", labels(&pod.meta.labels));
    if pod.meta.annotations.get(MIRROR.into()).is_some() {
        set("annotations", labels(&pod.meta.annotations));
    }
    set("activeDeadlineSeconds", json!(spec.active_deadline_seconds));
    let images = spec.all_containers().map(|one| (one.name.to_string(), json!(one.image.as_str())));
    set("images", Value::Object(images.collect()));
    set("requests", requests(pod));
    set("conditions", conditions(pod, detail));
    let (init, main) = (spec.init_containers.len(), spec.containers.len());
    let listed = Listed { pod, row, detail, runtime };
    set("init", listed.statuses(0, init));
    set("containers", listed.statuses(init, init + main));
    set("ephemeral", listed.statuses(init + main, usize::MAX));
    fields
}

fn observed(detail: Option<&StatusDetail>) -> Value {
    detail.map(|detail| detail.observed_generation).filter(|generation| *generation > 0).into()
}

fn addresses(status: &PodStatus, detail: Option<&StatusDetail>) -> Value {
    let first = Some(status.ip).filter(|ip| *ip != 0).map(texts::address);
    let more = detail.into_iter().flat_map(|detail| detail.more_ips.iter().map(ToString::to_string));
    first.into_iter().chain(more).map(Value::from).collect()
}

fn labels(labels: &seatrial_api::labels::Labels) -> Value {
    Value::Object(labels.iter().map(|(key, value)| (key.to_string(), json!(value.as_str()))).collect())
}

/// Requests and limits of the containers, in pods that have any.
fn requests(pod: &Pod) -> Value {
    let of = |one: &Container| (one.name.to_string(), resources(&one.requests, &one.limits));
    let all: Map<String, Value> = pod.spec.all_containers().map(of).collect();
    let any = all.values().any(|value| value.as_object().is_some_and(|map| !map.is_empty()));
    if any { Value::Object(all) } else { Value::Null }
}

fn resources(requests: &ResourceList, limits: &ResourceList) -> Value {
    let mut out = Map::new();
    for (key, list) in [("limits", limits), ("requests", requests)] {
        let amounts = amounts(list);
        if !amounts.is_empty() {
            out.insert(key.to_owned(), Value::Object(amounts));
        }
    }
    Value::Object(out)
}

/// Amounts as they are written: `100m`, `64Mi`.
fn amounts(list: &ResourceList) -> Map<String, Value> {
    seatrial_node::resize::amounts(list).into_iter().map(|(name, text)| (name, Value::from(text))).collect()
}

fn conditions(pod: &Pod, detail: Option<&StatusDetail>) -> Value {
    let status = &pod.status;
    let generation = observed(detail);
    let mut rows = Vec::new();
    let text = status.text.as_deref();
    let other = |one: &OtherCondition, generation: &Value| {
        json!([
            one.kind.as_str(),
            word(one.status),
            or_null(one.reason.as_str()),
            or_null(&one.message),
            generation
        ])
    };
    let gates = text.map_or(&[][..], |text| &text.gates);
    let (first, last): (Vec<_>, Vec<_>) = detail
        .map_or(&[][..], |detail| &detail.conditions)
        .iter()
        .partition(|one| one.kind != seatrial_node::ALL_CONTAINERS_RESTARTING);
    let reported = status.start_time.is_some();
    if reported {
        rows.extend(gates.iter().map(|one| other(one, &Value::Null)));
    }
    rows.extend(first.into_iter().map(|one| other(one, &generation)));
    for kind in ORDER {
        let condition = status.conditions.get(kind);
        if condition.status == ConditionStatus::Absent {
            continue;
        }
        let reason = match condition.reason {
            PodReason::None => Value::Null,
            reason => json!(reason.as_str()),
        };
        let message = or_null(message(kind, detail));
        rows.push(json!([kind.as_str(), word(condition.status), reason, message, generation]));
    }
    if !reported {
        rows.extend(gates.iter().map(|one| other(one, &Value::Null)));
    }
    rows.extend(last.into_iter().map(|one| other(one, &Value::Null)));
    Value::Array(rows)
}

fn word(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown | ConditionStatus::Absent => "Unknown",
    }
}

fn message(kind: PodConditionType, detail: Option<&StatusDetail>) -> &str {
    let Some(messages) = detail.map(|detail| &detail.messages) else { return "" };
    match kind {
        PodConditionType::Initialized => &messages.initialized,
        PodConditionType::Ready => &messages.ready,
        PodConditionType::ContainersReady => &messages.containers_ready,
        PodConditionType::DisruptionTarget => &messages.disruption_target,
        PodConditionType::PodReadyToStartContainers | PodConditionType::PodScheduled => "",
    }
}

fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(text) }
}

/// The containers' statuses of a pod.
struct Listed<'a> {
    pod: &'a Pod,
    row: u32,
    detail: Option<&'a StatusDetail>,
    runtime: &'a Runtime,
}

impl Listed<'_> {
    fn statuses(&self, from: usize, to: usize) -> Value {
        let statuses = self.pod.status.containers.as_deref().unwrap_or_default();
        let of = |(index, status): (usize, &ContainerStatus)| {
            let detail = self.detail.and_then(|detail| detail.containers.get(index)).cloned();
            let value = self.container(index, status, &detail.unwrap_or_default());
            (status.name.to_string(), value)
        };
        let wanted = statuses.iter().enumerate().take(to).skip(from);
        Value::Object(wanted.map(of).collect())
    }

    fn container(&self, index: usize, status: &ContainerStatus, detail: &ContainerDetail) -> Value {
        let mut one = json!({
            "ready": status.ready,
            "started": status.started,
            "restartCount": status.restarts,
            "state": state(&status.state, detail),
            "image": detail.image.as_str(),
            "imageID": detail.instance.is_some(),
        });
        if index >= self.pod.spec.init_containers.len() + self.pod.spec.containers.len() {
            one.as_object_mut().map(|one| one.remove("started"));
        }
        if let Some(last) = &status.last {
            one["last"] = json!(["terminated", self::last(last, detail)]);
        }
        if let Some(attempt) = detail.instance {
            let (pod, index) = (self.row, index as u16);
            let id = seatrial_api::runtime::ContainerId { pod, index, attempt };
            one["id"] = json!(format!("{{runtime}}://{{id:{}#{}}}", status.name, self.runtime.number(id)));
        }
        if let Some(allocation) = &detail.resources {
            one["resources"] = resources(&allocation.requests, &allocation.limits);
            one["allocatedResources"] = Value::Object(amounts(&allocation.allocated));
        }
        one
    }
}

fn state(state: &ContainerState, detail: &ContainerDetail) -> Value {
    match state {
        ContainerState::Waiting { reason } => {
            let mut body = json!({"reason": reason.as_str()});
            put_message(&mut body, &detail.message);
            json!(["waiting", body])
        }
        ContainerState::Running { .. } => json!(["running", {"startedAt": "set"}]),
        ContainerState::Terminated { exit_code, reason, .. } => {
            let body = terminated(reason.as_str(), *exit_code, detail.times, &detail.message);
            json!(["terminated", body])
        }
    }
}

fn last(last: &LastTermination, detail: &ContainerDetail) -> Value {
    terminated(last.reason.as_str(), last.exit_code, detail.last_times, &detail.last_message)
}

fn terminated(reason: &str, exit_code: i32, times: Times, message: &str) -> Value {
    let mut body = json!({"reason": reason, "exitCode": exit_code});
    if times != Times::Lost {
        body["startedAt"] = json!(if times == Times::NeverStarted { "epoch" } else { "set" });
        body["finishedAt"] = json!("set");
    }
    put_message(&mut body, message);
    body
}

fn put_message(body: &mut Value, message: &str) {
    if !message.is_empty() {
        body["message"] = json!(message);
    }
}
