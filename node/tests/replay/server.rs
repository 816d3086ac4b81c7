//! The API server of a replay: it stores pods, tells of them, and records what changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::meta::{Deletion, Uid};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{
    ConditionStatus, ContainerState, Pod, PodConditionType, PodReason, PodSpec, PodStatus,
};
use seatrial_api::request::{ApiError, Change, ErrorReason, Patch, Reply, Request, WatchEvent};
use seatrial_api::units::Span;
use serde_json::{Map, Value, json};

use super::{Event, NODE, Play, WATCH};

/// The stored objects.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) pods: BTreeMap<u32, Arc<Pod>>,
    told: BTreeMap<u32, Map<String, Value>>,
    next: u32,
    version: u64,
    generations: BTreeMap<u32, i64>,
    others: Vec<Object>,
}

impl Play<'_> {
    /// Answers a request of the kubelet.
    pub(super) fn serve(&mut self, request: Request) -> Reply {
        match request {
            Request::Patch { target, patch: Patch::PodStatus(status) } => {
                let Some(pod) = self.server.pods.get(&target.id) else {
                    return Err(ApiError::not_found(Kind::Pod, "pod"));
                };
                let pod = Pod { status: *status, ..Pod::clone(pod) };
                Ok(Object::Pod(self.store(pod)))
            }
            Request::Patch { patch: Patch::NodeConditions(conditions), .. } => {
                let node = seatrial_api::node::Node { conditions: *conditions, ..self.node() };
                Ok(Object::Node(Arc::new(node)))
            }
            Request::Delete { target, .. } => match self.server.pods.get(&target.id).cloned() {
                Some(pod) => {
                    let mut last = Pod::clone(&pod);
                    last.meta.set_deletion(Some(Deletion { at: self.now, grace_seconds: 0 }));
                    let last = self.store(last);
                    self.remove(&last);
                    Ok(Object::Pod(last))
                }
                None => Err(ApiError::not_found(Kind::Pod, "pod")),
            },
            other => Err(ApiError::new(ErrorReason::BadRequest, format!("{other:?}"))),
        }
    }

    fn remove(&mut self, pod: &Arc<Pod>) {
        self.server.pods.remove(&pod.meta.id);
        self.server.told.remove(&pod.meta.id);
        let o = format!("pod:{}", pod.meta.name);
        self.record(json!({"v": "deleted", "o": o}));
        self.watch(Change::Deleted, pod);
    }

    fn watch(&mut self, change: Change, pod: &Arc<Pod>) {
        if pod.node.is_some() {
            let object = Object::Pod(Arc::clone(pod));
            self.push(self.now + WATCH, Event::Watch(WatchEvent { change, object }));
        }
    }

    fn store(&mut self, mut pod: Pod) -> Arc<Pod> {
        self.server.version += 1;
        pod.meta.resource_version = self.server.version;
        let pod = Arc::new(pod);
        let before = self.server.pods.insert(pod.meta.id, Arc::clone(&pod));
        let generation = *self.server.generations.entry(pod.meta.id).or_insert(1);
        let fields = tell(&pod, generation);
        let o = format!("pod:{}", pod.meta.name);
        let bound_before = before.as_ref().is_some_and(|pod| pod.node.is_some());
        match self.server.told.insert(pod.meta.id, fields.clone()) {
            None => self.record(json!({"v": "added", "o": o, "set": fields})),
            Some(old) => {
                let mut set = Map::new();
                for (key, value) in &fields {
                    if old.get(key) != Some(value) {
                        set.insert(key.clone(), value.clone());
                    }
                }
                for key in old.keys().filter(|key| !fields.contains_key(*key)) {
                    set.insert(key.clone(), Value::Null);
                }
                if !set.is_empty() {
                    self.record(json!({"v": "modified", "o": o, "set": set}));
                }
            }
        }
        self.watch(if bound_before { Change::Modified } else { Change::Added }, &pod);
        pod
    }

    /// Does what the scenario's author does.
    pub(super) fn act(&mut self, index: usize) {
        let action = self.scenario["actions"][index]["do"].clone();
        let mut codes = Vec::new();
        for manifest in action["create"].as_array().into_iter().flatten() {
            self.create(manifest);
            codes.push(201);
        }
        for name in action["bind"].as_array().into_iter().flatten() {
            let found = self.find(name.as_str().unwrap_or(""));
            if let Some(pod) = found {
                let mut pod = Pod::clone(&pod);
                pod.node = Some(NODE.into());
                let kind = PodConditionType::PodScheduled;
                pod.status.conditions.set(kind, ConditionStatus::True, PodReason::None, self.now);
                self.store(pod);
            }
            codes.push(201);
        }
        if let Some(target) = action["delete"].as_str() {
            self.delete(target, action["grace"].as_i64());
            codes.push(200);
        }
        if let Some(target) = action["patch"].as_str() {
            self.patch(target, &action["body"]);
            codes.push(200);
        }
        if action.get("kubelet_stop").is_some() {
            self.kubelets.stop_kubelet(NODE.into());
            let kills = |event: &mut Event| {
                !matches!(event, Event::Runtime(super::runtime::Pending::Exit(_, _, "kill", _)))
            };
            self.queue.retain(|_, event| kills(event));
            self.runtime.known = false;
        }
        if action.get("reboot").is_some() {
            self.reboot();
        }
        if action.get("kubelet_start").is_some() {
            self.push(self.now + super::START, Event::KubeletWorks);
        }
        let name = action.as_object().and_then(|action| action.keys().next().cloned());
        let answers: Vec<_> = codes.iter().map(|code| json!({"code": code})).collect();
        self.record(json!({"v": "action", "n": index, "do": name, "answers": answers}));
    }

    fn find(&self, name: &str) -> Option<Arc<Pod>> {
        self.server.pods.values().find(|pod| pod.meta.name == name).cloned()
    }

    fn create(&mut self, manifest: &Value) {
        let Ok(mut object) = self.decode(manifest) else { return };
        let id = self.server.next;
        self.server.next += 1;
        let meta = object.meta_mut();
        meta.id = id;
        meta.uid = Uid::from_bits(1, u64::from(id) + 1);
        meta.namespace = super::symbol(&self.scenario["namespace"]);
        match object {
            Object::Pod(pod) => {
                self.runtime.specs.insert(id, manifest.clone());
                let mut pod = Pod::clone(&pod);
                if pod.spec.priority_class.as_str().starts_with("system-") {
                    let priority = Some(2_000_000_000);
                    pod.spec = Arc::new(PodSpec { priority, ..PodSpec::clone(&pod.spec) });
                }
                if pod.node.is_some() {
                    pod.node = Some(NODE.into());
                }
                self.store(pod);
            }
            object => {
                self.server.others.push(object.clone());
                let event = WatchEvent { change: Change::Added, object };
                self.push(self.now + WATCH, Event::Watch(event));
            }
        }
    }

    fn delete(&mut self, target: &str, grace: Option<i64>) {
        let (kind, name) = target.split_once('/').unwrap_or(("", target));
        if kind != "pod" {
            if let Some(at) = self.server.others.iter().position(|other| other.meta().name == name) {
                let object = self.server.others.remove(at);
                self.push(self.now + WATCH, Event::Watch(WatchEvent { change: Change::Deleted, object }));
            }
            return;
        }
        let Some(pod) = self.find(name) else { return };
        let mut pod = Pod::clone(&pod);
        let asked = grace.unwrap_or(pod.spec.termination_grace_period_seconds);
        let now_only = pod.node.is_none() || pod.status.phase.is_terminal();
        let mut grace = if now_only {
            0
        } else if asked < 0 {
            1
        } else {
            asked
        };
        let mut at = self.now + Span::from_secs(grace);
        if let Some(deletion) = pod.meta.deletion() {
            if grace >= i64::from(deletion.grace_seconds) {
                return;
            }
            let began = deletion.at - Span::from_secs(i64::from(deletion.grace_seconds));
            at = began + Span::from_secs(grace);
            if grace > 0 && at < self.now {
                grace = 1;
            }
        } else {
            *self.server.generations.entry(pod.meta.id).or_insert(1) += 1;
        }
        pod.meta.set_deletion(Some(Deletion { at, grace_seconds: grace as u32 }));
        let pod = self.store(pod);
        if grace == 0 {
            self.remove(&pod);
        }
    }

    fn patch(&mut self, target: &str, body: &Value) {
        let Some(pod) = self.find(target.trim_start_matches("pod/")) else { return };
        let mut pod = Pod::clone(&pod);
        let mut spec = PodSpec::clone(&pod.spec);
        let groups = [("containers", &mut spec.containers), ("initContainers", &mut spec.init_containers)];
        for (key, list) in groups {
            for change in body["spec"][key].as_array().into_iter().flatten() {
                for container in list.iter_mut().filter(|container| change["name"] == container.name.as_str())
                {
                    container.image = super::symbol(&change["image"]);
                }
            }
        }
        if let Some(deadline) = body["spec"]["activeDeadlineSeconds"].as_i64() {
            spec.active_deadline_seconds = Some(deadline);
        }
        if let Some(labels) = body["metadata"]["labels"].as_object() {
            for (key, value) in labels {
                pod.meta.labels = pod.meta.labels.with(key.as_str().into(), super::symbol(value));
            }
        }
        if spec != *pod.spec {
            *self.server.generations.entry(pod.meta.id).or_insert(1) += 1;
            pod.spec = Arc::new(spec);
        }
        self.store(pod);
    }
}

/// A pod's fields as a recording tells them.
fn tell(pod: &Pod, generation: i64) -> Map<String, Value> {
    let status = &pod.status;
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_string(), value);
    set("phase", json!(status.phase.as_str()));
    set("qosClass", json!(pod.spec.derived.qos.as_str()));
    set("generation", json!(generation));
    if let Some(text) = &status.text {
        if !text.reason.is_empty() {
            set("reason", json!(text.reason.as_str()));
        }
        if !text.message.is_empty() {
            set("message", json!(text.message.as_str()));
        }
    }
    if pod.node.is_some() {
        set("node", json!("{node}"));
    }
    if let Some(deletion) = pod.meta.deletion() {
        set("deleting", json!(true));
        set("grace", json!(deletion.grace_seconds));
    }
    if status.start_time.is_some() {
        set("startTime", json!(true));
        set("hostIP", json!("{hostIP}"));
    }
    if status.ip == 7 {
        set("podIPs", json!(["{hostIP}"]));
    } else if status.ip != 0 {
        set("podIPs", json!([format!("{{ip:{}}}", status.ip)]));
    }
    let conditions = conditions(pod, status);
    if !conditions.is_empty() {
        set("conditions", json!(conditions));
    }
    let (mut init, mut main) = (Map::new(), Map::new());
    let init_count = pod.spec.init_containers.len();
    for (index, container) in status.containers.iter().flat_map(|list| list.iter()).enumerate() {
        let spec = pod.spec.all_containers().nth(index);
        let mut one = json!({"ready": container.ready, "restartCount": container.restarts});
        one["started"] = json!(container.started);
        one["image"] = json!(spec.map_or("", |container| container.image.as_str()));
        one["state"] = match container.state {
            ContainerState::Waiting { reason } => json!(["waiting", {"reason": reason.as_str()}]),
            ContainerState::Running { .. } => json!(["running", {"startedAt": "set"}]),
            ContainerState::Terminated { exit_code, reason, .. } => {
                json!(["terminated", {"reason": reason.as_str(), "exitCode": exit_code}])
            }
        };
        if let Some(last) = container.last {
            one["last"] = json!(["terminated", {"reason": last.reason.as_str(), "exitCode": last.exit_code}]);
        }
        let group = if index < init_count { &mut init } else { &mut main };
        group.insert(container.name.to_string(), one);
    }
    if !init.is_empty() {
        set("init", Value::Object(init));
    }
    if !main.is_empty() {
        set("containers", Value::Object(main));
    }
    fields
}

/// The conditions, with the messages that follow from the containers' statuses.
fn conditions(pod: &Pod, status: &PodStatus) -> Vec<Value> {
    let order = [
        PodConditionType::DisruptionTarget,
        PodConditionType::PodReadyToStartContainers,
        PodConditionType::Initialized,
        PodConditionType::Ready,
        PodConditionType::ContainersReady,
        PodConditionType::PodScheduled,
    ];
    let mut rows = Vec::new();
    for kind in order {
        let condition = status.conditions.get(kind);
        if condition.status == ConditionStatus::Absent {
            continue;
        }
        if kind == PodConditionType::PodScheduled && status.reason().as_str().starts_with("OutOf") {
            continue;
        }
        let word = if condition.is_true() { "True" } else { "False" };
        let reason = match condition.reason {
            PodReason::None => Value::Null,
            reason => json!(reason.as_str()),
        };
        let message = message(pod, status, kind, condition.reason);
        rows.push(json!([kind.as_str(), word, reason, message, null]));
    }
    rows
}

fn message(pod: &Pod, status: &PodStatus, kind: PodConditionType, reason: PodReason) -> Value {
    let init_count = pod.spec.init_containers.len();
    let names: Vec<_> = {
        let list = status.containers.iter().flat_map(|list| list.iter()).enumerate();
        let all = pod.spec.all_containers();
        list.zip(all)
            .filter(|((index, container), spec)| {
                let sidecar = spec.is_sidecar();
                if reason == PodReason::ContainersNotReady {
                    (*index >= init_count || sidecar) && !container.ready
                } else {
                    *index < init_count && !(if sidecar { container.started } else { container.ready })
                }
            })
            .map(|((_, container), _)| container.name.as_str())
            .collect()
    };
    let names = names.join(" ");
    match reason {
        PodReason::ContainersNotReady if kind != PodConditionType::PodScheduled => {
            json!(format!("containers with unready status: [{names}]"))
        }
        PodReason::ContainersNotInitialized => {
            json!(format!("containers with incomplete status: [{names}]"))
        }
        PodReason::TerminationByKubelet => {
            json!("Pod was preempted by Kubelet to accommodate a critical pod.")
        }
        _ => Value::Null,
    }
}
