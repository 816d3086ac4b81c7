//! Plays a recorded scenario: the store, the controllers, a scheduler that spreads pods, and the
//! scripted kubelet that the recordings' page describes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use seatrial_api::calendar::Calendar;
use seatrial_api::config::Namespace;
use seatrial_api::container::Container;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::machine::{Effects, Heartbeat, Input, Machine, Token};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::{
    ConditionStatus, ContainerState, ContainerStatus, Pod, PodConditionType, PodPhase, PodReason, PodStatus,
    StatusText,
};
use seatrial_api::request::{
    Change, DeleteOptions, Patch, Propagation, Reply, Request, Subresource, WatchEvent,
};
use seatrial_api::scheduling::{Taint, TaintEffect, first_untolerated};
use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{ControllerRevision, DaemonSet, Deployment, ReplicaSet};
use seatrial_controllers::{ClientLimits, Config, ControllerManager, ControllerTimer};
use serde_json::Value;

use crate::trace::Trace;

/// What a request takes until it is served, and until it is answered.
const SERVED: Span = Span::from_millis(3);
const ANSWERED: Span = Span::from_millis(2);
/// Until a watch shows a change.
const SHOWN: Span = Span::from_millis(2);
/// What the kubelet's own requests take.
const KUBELET: Span = Span::from_millis(10);
/// How long the scheduler takes.
const SCHEDULING: Span = Span::from_millis(4);
/// How long the cluster has been there when the scenario begins.
const LEAD: i64 = 100;

enum What {
    Request(Option<Token>, Request),
    Reply(Token, Reply),
    Watch(WatchEvent),
    Timer(ControllerTimer),
    Schedule,
    Start(u32),
    Ready(u32),
    End(u32, i32),
    Restart(u32),
    Terminate(u32),
    Remove(u32),
    Act(usize),
}

struct Entry(SimTime, u64, What);

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.1 == other.1
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// A scenario being played.
pub struct Play<'a> {
    scenario: &'a Value,
    namespace: Symbol,
    start: SimTime,
    now: SimTime,
    server: ApiServer,
    manager: ControllerManager,
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    decoder: Decoder,
    manifests: BTreeMap<String, Value>,
    trace: Trace,
    last_start: SimTime,
    started: BTreeMap<String, u32>,
    trouble: Option<String>,
}

/// The trace of a scenario that is played, or why it cannot be played here.
pub fn play(scenario: &Value) -> Result<Vec<Value>, String> {
    let clock = scenario["clock"].as_str().unwrap_or("");
    let fraction: i64 = clock.get(20..23).and_then(|millis| millis.parse().ok()).unwrap_or(0);
    let start = SimTime::from_secs(LEAD) + Span::from_millis(fraction);
    let config = Config { client_limits: ClientLimits::Unlimited, ..Config::default() };
    let mut play = Play {
        scenario,
        namespace: Symbol::new(scenario["namespace"].as_str().unwrap_or("default")),
        start,
        now: SimTime::ZERO,
        server: ApiServer::new(KubernetesVersion::V1_36, 1),
        manager: ControllerManager::new(config),
        heap: BinaryHeap::new(),
        sequence: 0,
        decoder: Decoder::new(Mode::Manifest, Calendar::default(), KubernetesVersion::V1_36),
        manifests: BTreeMap::new(),
        trace: Trace::new(start),
        last_start: SimTime::ZERO,
        started: BTreeMap::new(),
        trouble: None,
    };
    play.set_up()?;
    play.run(start + seconds(&scenario["end"]));
    match play.trouble {
        Some(trouble) => Err(trouble),
        None => Ok(play.trace.finish()),
    }
}

fn seconds(value: &Value) -> Span {
    Span::from_nanos((value.as_f64().unwrap_or(0.0) * 1e9).round() as i64)
}

/// A number of seconds in an annotation of the scripted kubelet.
fn annotated(pod: &Pod, key: &str) -> Option<f64> {
    pod.meta.annotations.get(Symbol::new(&format!("fake-kubelet/{key}")))?.as_str().parse().ok()
}

fn annotated_text(pod: &Pod, key: &str) -> Option<&'static str> {
    pod.meta.annotations.get(Symbol::new(&format!("fake-kubelet/{key}"))).map(Symbol::as_str)
}

fn span(seconds: f64) -> Span {
    Span::from_nanos((seconds * 1e9).round() as i64)
}

impl Play<'_> {
    fn set_up(&mut self) -> Result<(), String> {
        let meta = ObjectMeta { name: self.namespace.as_str().into(), ..ObjectMeta::default() };
        let namespace = Object::Namespace(Arc::new(Namespace { meta, ..Namespace::default() }));
        self.serve(Request::Create(namespace)).map_err(|error| error.message)?;
        let nodes = self.scenario["nodes"].as_array().cloned().unwrap_or_default();
        for manifest in &nodes {
            self.create_node(manifest)?;
        }
        for manifest in self.scenario["setup"].as_array().cloned().unwrap_or_default() {
            let object = self.decode(&manifest)?;
            self.serve(Request::Create(object)).map_err(|error| error.message)?;
        }
        self.tell(Input::Timer(ControllerTimer::Started));
        let actions = self.scenario["actions"].as_array().map_or(0, Vec::len);
        for index in 0..actions {
            let at = self.start + seconds(&self.scenario["actions"][index]["at"]);
            self.push(at, What::Act(index));
        }
        self.run(self.start - Span::from_millis(1));
        self.trace.begin();
        Ok(())
    }

    fn create_node(&mut self, manifest: &Value) -> Result<(), String> {
        let Object::Node(node) = self.decode_as(manifest, Mode::State)? else { return Err("no node".into()) };
        let reply = self.serve(Request::Create(Object::Node(node))).map_err(|error| error.message)?;
        let input = Input::Heartbeat { node: reply.meta().id, heartbeat: Heartbeat::Regular };
        self.tell(input);
        Ok(())
    }

    fn decode(&mut self, manifest: &Value) -> Result<Object, String> {
        self.decode_as(manifest, Mode::Manifest)
    }

    fn decode_as(&mut self, manifest: &Value, mode: Mode) -> Result<Object, String> {
        let text = manifest.to_string();
        let (mut reader, mut findings) = (ObjectReader::new("manifest", text.as_bytes()), Diagnostics::new());
        let node = reader.next(&mut findings).ok_or("no document")?;
        let mut other = Decoder::new(Mode::State, Calendar::default(), KubernetesVersion::V1_36);
        let decoder = if mode == Mode::State { &mut other } else { &mut self.decoder };
        let object = decoder.decode(&node, reader.file(), &mut findings);
        let mut object =
            object.ok_or_else(|| findings.errors().map(|error| format!("{error:?}")).collect::<String>())?;
        if matches!(object, Object::Untyped(_)) {
            return Err(format!("{} is not played here", manifest["kind"]));
        }
        if object.kind().is_namespaced() {
            object.meta_mut().namespace = self.namespace;
        }
        Ok(object)
    }

    fn push(&mut self, at: SimTime, what: What) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry(at.max(self.now), self.sequence, what)));
    }

    fn run(&mut self, end: SimTime) {
        while let Some(Reverse(entry)) = self.heap.peek() {
            if entry.0 > end {
                break;
            }
            let Some(Reverse(Entry(at, _, what))) = self.heap.pop() else { break };
            self.now = at;
            self.take(what);
        }
        self.now = end;
    }

    fn take(&mut self, what: What) {
        match what {
            What::Request(token, request) => {
                let reply = self.serve(request);
                if let Some(token) = token {
                    self.push(self.now + ANSWERED, What::Reply(token, reply));
                }
            }
            What::Reply(token, reply) => self.tell(Input::Reply { token, reply: &reply }),
            What::Watch(event) => self.tell(Input::Watch(&event)),
            What::Timer(timer) => self.tell(Input::Timer(timer)),
            What::Schedule => self.schedule(),
            What::Start(pod) => self.start_pod(pod),
            What::Ready(pod) => self.write(pod, PodPhase::Running, true, None, 0),
            What::End(pod, code) => {
                let phase = if code == 0 { PodPhase::Succeeded } else { PodPhase::Failed };
                self.write(pod, phase, false, Some(code), 0);
            }
            What::Restart(pod) => self.restart_pod(pod),
            What::Terminate(pod) => self.terminate(pod),
            What::Remove(id) => {
                let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
                let _ = self.serve(Request::Delete { target: ObjectRef { kind: Kind::Pod, id }, options });
            }
            What::Act(index) => {
                let action = self.scenario["actions"][index]["do"].clone();
                if let Err(trouble) = self.act(&action) {
                    self.trouble = Some(trouble);
                }
            }
        }
    }

    fn tell(&mut self, input: Input<'_, ControllerTimer>) {
        let mut effects = Effects::new(true);
        self.manager.handle(self.now, input, &mut effects);
        for outgoing in effects.requests {
            self.push(outgoing.send_at + SERVED, What::Request(Some(outgoing.token), outgoing.request));
        }
        for (at, timer) in effects.timers {
            self.push(at, What::Timer(timer));
        }
        for decision in &effects.decisions {
            self.trace.decision(self.now, decision);
        }
    }

    fn serve(&mut self, request: Request) -> Reply {
        let mut events = Vec::new();
        let reply = self.server.handle(self.now, request, &mut events);
        for event in events {
            self.trace.change(self.now, &event);
            match &event.object {
                Object::Pod(pod) => self.react(event.change, pod),
                Object::Node(_) => self.push(self.now + SCHEDULING, What::Schedule),
                _ => {}
            }
            self.push(self.now + SHOWN, What::Watch(event));
        }
        reply
    }

    /// What scheduler and kubelet do when a pod changes.
    fn react(&mut self, change: Change, pod: &Pod) {
        let id = pod.meta.id;
        if change == Change::Deleted {
            return self.push(self.now + SCHEDULING, What::Schedule);
        }
        if pod.meta.is_deleting() {
            let grace = pod.meta.deletion().map_or(0, |deletion| deletion.grace_seconds);
            if pod.node.is_some() && grace > 0 {
                let term = annotated(pod, "term").unwrap_or_else(|| self.kubelet("term"));
                self.push(self.now + span(term.min(f64::from(grace))) + KUBELET, What::Terminate(id));
            }
        } else if pod.node.is_none() {
            self.push(self.now + SCHEDULING, What::Schedule);
        }
    }

    fn kubelet(&self, key: &str) -> f64 {
        self.scenario["cluster"]["kubelet"][key].as_f64().unwrap_or(0.0)
    }

    /// Binds each waiting pod to the fitting node with the fewest pods.
    fn schedule(&mut self) {
        let nodes: Vec<Arc<Node>> = self.server.list_typed::<Node>().cloned().collect();
        let pods: Vec<Arc<Pod>> = self.server.list_typed::<Pod>().cloned().collect();
        for pod in pods.iter().filter(|pod| pod.node.is_none() && !pod.meta.is_deleting()) {
            let fits = |node: &&Arc<Node>| {
                let (mut cpu, mut count) = (pod.spec.derived.requests.cpu, 1);
                for other in self.server.list_typed::<Pod>() {
                    if other.node == Some(node.name) && !other.status.phase.is_terminal() {
                        cpu += other.spec.derived.requests.cpu;
                        count += 1;
                    }
                }
                let hard = [TaintEffect::NoSchedule, TaintEffect::NoExecute];
                pod.node_constraint().matches(&node.meta.labels, node.name)
                    && first_untolerated(&pod.spec.tolerations, node.taints(), &hard).is_none()
                    && (!node.unschedulable || pod.target_node.is_some())
                    && cpu <= node.allocatable.amounts.cpu
                    && count <= node.allocatable.pods
            };
            let load = |node: &&Arc<Node>| {
                self.server.list_typed::<Pod>().filter(|pod| pod.node == Some(node.name)).count()
            };
            let Some(node) = nodes.iter().filter(fits).min_by_key(load).map(|node| node.name) else {
                continue;
            };
            let request = Request::Bind { pod: pod.meta.id, node };
            if self.serve(request).is_ok() {
                self.bound(pod);
            }
        }
    }

    fn bound(&mut self, pod: &Pod) {
        if annotated_text(pod, "never-run") == Some("true") {
            return;
        }
        let start = span(annotated(pod, "start").unwrap_or_else(|| self.kubelet("start")));
        let at = (self.now + start).max(self.last_start + span(self.kubelet("serial")));
        self.last_start = at;
        self.push(at + KUBELET, What::Start(pod.meta.id));
    }

    fn start_pod(&mut self, id: u32) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        if pod.meta.is_deleting() || pod.status.phase != PodPhase::Pending {
            return;
        }
        let ready_after = annotated(&pod, "ready-after");
        let never = annotated_text(&pod, "never-ready") == Some("true");
        self.write(id, PodPhase::Running, !never && ready_after.is_none(), None, 0);
        if let Some(after) = ready_after.filter(|_| !never) {
            self.push(self.now + span(after) + KUBELET, What::Ready(id));
        }
        let owner = pod.meta.controller().map_or(String::new(), |owner| owner.name.to_string());
        let number = self.started.entry(owner).or_default();
        *number += 1;
        let first = annotated(&pod, "fail-first").is_some_and(|first| f64::from(*number) <= first);
        let index = pod.meta.annotations.get("batch.kubernetes.io/job-completion-index".into());
        let fails = match annotated_text(&pod, "fail-indexes") {
            Some(list) => index.is_some_and(|index| list.split(',').any(|one| index == one)),
            None if annotated(&pod, "fail-first").is_some() => first,
            None => annotated(&pod, "fail-after").is_some(),
        };
        let code = annotated(&pod, "exit-code").map_or(1, |code| code as i32);
        let end = if fails { annotated(&pod, "fail-after") } else { annotated(&pod, "succeed-after") };
        if let Some(after) = end {
            self.push(self.now + span(after) + KUBELET, What::End(id, if fails { code } else { 0 }));
        }
        if let Some(every) = annotated(&pod, "restart-every") {
            self.push(self.now + span(every), What::Restart(id));
        }
    }

    fn restart_pod(&mut self, id: u32) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        if pod.status.phase != PodPhase::Running || pod.meta.is_deleting() {
            return;
        }
        self.write(id, PodPhase::Running, true, None, pod.status.restarts() + 1);
        if let Some(every) = annotated(&pod, "restart-every") {
            self.push(self.now + span(every), What::Restart(id));
        }
    }

    fn terminate(&mut self, id: u32) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        if !pod.status.phase.is_terminal() {
            let code = annotated(&pod, "term-exit").map_or(0, |code| code as i32);
            let code = if pod.status.phase == PodPhase::Pending { 1 } else { code };
            let phase = if code == 0 { PodPhase::Succeeded } else { PodPhase::Failed };
            self.write(id, phase, false, Some(code), 0);
        }
        self.push(self.now + KUBELET, What::Remove(id));
    }

    fn write(&mut self, id: u32, phase: PodPhase, ready: bool, exit: Option<i32>, restarts: u32) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        if pod.status.phase.is_terminal() {
            return;
        }
        let started = pod.status.start_time.unwrap_or(self.now);
        let state = match exit {
            None => ContainerState::Running { started },
            Some(exit_code) => ContainerState::Terminated {
                started,
                finished: self.now,
                exit_code,
                reason: if exit_code == 0 { "Completed".into() } else { "Error".into() },
            },
        };
        let status = |container: &Container| ContainerStatus {
            name: container.name,
            state,
            last: None,
            restarts,
            ready,
            started: true,
        };
        let mut conditions = pod.status.conditions;
        let (truth, reason) = match (ready, phase) {
            (true, _) => (ConditionStatus::True, PodReason::None),
            (false, PodPhase::Succeeded) => (ConditionStatus::False, PodReason::PodCompleted),
            (false, PodPhase::Failed) => (ConditionStatus::False, PodReason::PodFailed),
            (false, _) => (ConditionStatus::False, PodReason::ContainersNotReady),
        };
        conditions.set(PodConditionType::Ready, truth, reason, self.now);
        let status = PodStatus {
            conditions,
            containers: Some(pod.spec.all_containers().map(status).collect()),
            start_time: Some(started),
            ip: id + 1,
            phase,
            ..PodStatus::default()
        };
        let _ = self.serve(Request::patch_pod(id, Patch::PodStatus(Box::new(status))));
    }

    /// The object of an alias or of `Kind/name`.
    fn target(&self, reference: &str) -> Result<ObjectRef, String> {
        if let Some((kind, name)) = reference.split_once('/') {
            let kind = Kind::parse(kind).ok_or(format!("{kind} is not played here"))?;
            let namespace = if kind.is_namespaced() { self.namespace } else { Symbol::empty() };
            let object = self.server.find(kind, namespace, name);
            return object.map(Object::object_ref).ok_or(format!("{reference} is not there"));
        }
        self.trace.find(reference).ok_or(format!("{reference} is not there"))
    }

    /// Does what an action of the scenario asks for; the API server may refuse it.
    fn act(&mut self, action: &Value) -> Result<(), String> {
        let operations = ["create", "patch", "scale", "delete", "evict", "kubelet", "taint", "cordon"];
        let others = ["node_add", "node_delete", "kubectl"];
        let operation =
            operations.iter().chain(&others).find(|known| action.get(**known).is_some()).unwrap_or(&"");
        let reference = action[*operation].as_str().unwrap_or("");
        let _ = match *operation {
            "create" => return self.create_all(&action["create"]),
            "patch" => self.patch(reference, &action["body"])?,
            "scale" => {
                let replicas = action["replicas"].as_i64().unwrap_or(0) as i32;
                let target = self.target(reference)?;
                self.serve(Request::Patch { target, patch: Patch::Replicas(replicas) })
            }
            "delete" => self.delete(reference, action)?,
            "evict" => {
                let target = self.target(reference)?;
                self.serve(Request::Evict { pod: target.id, grace_period_seconds: None })
            }
            "kubelet" => {
                let target = self.target(reference)?;
                self.kubelet_does(target.id, action["set"].as_str().unwrap_or(""));
                return Ok(());
            }
            "taint" => self.taint(reference, action)?,
            "cordon" => {
                let target = self.target(&format!("Node/{reference}"))?;
                let on = action["on"].as_bool().unwrap_or(true);
                self.serve(Request::Patch { target, patch: Patch::Unschedulability(on) })
            }
            "node_add" => {
                let mut manifest = self.scenario["nodes"][0].clone();
                let name = action["node_add"]["name"].clone();
                manifest["metadata"]["labels"]["kubernetes.io/hostname"] = name.clone();
                manifest["metadata"]["name"] = name;
                return self.create_node(&manifest);
            }
            "node_delete" => {
                let target = self.target(&format!("Node/{reference}"))?;
                self.serve(Request::delete(target))
            }
            "kubectl" if action["kubectl"][1] == "history" => return Ok(()),
            "kubectl" => self.kubectl(&action["kubectl"])?,
            other => return Err(format!("{other} is not played here")),
        };
        Ok(())
    }

    fn create_all(&mut self, manifests: &Value) -> Result<(), String> {
        for manifest in manifests.as_array().into_iter().flatten() {
            let object = self.decode(manifest)?;
            let key = format!("{}/{}", object.kind(), object.meta().name);
            self.manifests.insert(key, manifest.clone());
            let _ = self.serve(Request::Create(object));
        }
        Ok(())
    }

    fn patch(&mut self, reference: &str, body: &Value) -> Result<Reply, String> {
        let target = self.target(reference)?;
        let metadata = body.get("metadata").filter(|_| body.as_object().is_some_and(|body| body.len() == 1));
        if let Some(metadata) = metadata {
            let pairs = |key: &str| -> Vec<(Symbol, Option<Symbol>)> {
                let map = metadata[key].as_object().into_iter().flatten();
                map.map(|(key, value)| (Symbol::new(key), value.as_str().map(Symbol::new))).collect()
            };
            let patch =
                Patch::All(vec![Patch::Labels(pairs("labels")), Patch::Annotations(pairs("annotations"))]);
            return Ok(self.serve(Request::Patch { target, patch }));
        }
        let manifest =
            self.manifests.get(reference).cloned().ok_or(format!("{reference} has no manifest"))?;
        let mut merged = manifest;
        merge(&mut merged, body);
        self.manifests.insert(reference.into(), merged.clone());
        self.put(target, &merged)
    }

    /// Writes an object's specification as a changed manifest has it. Its size is what is stored.
    fn put(&mut self, target: ObjectRef, manifest: &Value) -> Result<Reply, String> {
        let mut object = self.decode(manifest)?;
        let stored = self.server.get(target).cloned().ok_or("the object is gone")?;
        let meta = stored.meta().clone();
        *object.meta_mut() = meta;
        object.meta_mut().resource_version = 0;
        match (&mut object, &stored) {
            (Object::Deployment(new), Object::Deployment(old)) => Arc::make_mut(new).replicas = old.replicas,
            (Object::StatefulSet(new), Object::StatefulSet(old)) => {
                Arc::make_mut(new).replicas = old.replicas
            }
            _ => {}
        }
        Ok(self.serve(Request::Update { object, subresource: Subresource::Main }))
    }

    fn delete(&mut self, reference: &str, action: &Value) -> Result<Reply, String> {
        let target = self.target(reference)?;
        let propagation = match action["propagation"].as_str() {
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Background") => Some(Propagation::Background),
            _ => None,
        };
        let options = DeleteOptions {
            propagation,
            grace_period_seconds: action["grace"].as_i64(),
            ..DeleteOptions::default()
        };
        Ok(self.serve(Request::Delete { target, options }))
    }

    fn kubelet_does(&mut self, id: u32, what: &str) {
        match what {
            "ready" => self.write(id, PodPhase::Running, true, None, 0),
            "notready" => self.write(id, PodPhase::Running, false, None, 0),
            "fail" => self.write(id, PodPhase::Failed, false, Some(1), 0),
            "succeed" => self.write(id, PodPhase::Succeeded, false, Some(0), 0),
            _ => {
                let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
                let mut status = pod.status.clone();
                status.phase = PodPhase::Failed;
                let (truth, reason) = (ConditionStatus::False, PodReason::PodFailed);
                status.conditions.set(PodConditionType::Ready, truth, reason, self.now);
                let (truth, reason) = (ConditionStatus::True, PodReason::TerminationByKubelet);
                status.conditions.set(PodConditionType::DisruptionTarget, truth, reason, self.now);
                let text = StatusText { reason: "Evicted".into(), ..StatusText::default() };
                status.text = Some(Arc::new(text));
                let _ = self.serve(Request::patch_pod(id, Patch::PodStatus(Box::new(status))));
            }
        }
    }

    fn taint(&mut self, node: &str, action: &Value) -> Result<Reply, String> {
        let target = self.target(&format!("Node/{node}"))?;
        let effect = match action["effect"].as_str() {
            Some("NoExecute") => TaintEffect::NoExecute,
            Some("PreferNoSchedule") => TaintEffect::PreferNoSchedule,
            _ => TaintEffect::NoSchedule,
        };
        let taint = Taint {
            key: action["key"].as_str().unwrap_or("").into(),
            value: action["value"].as_str().unwrap_or("").into(),
            effect,
        };
        let patch = if action.get("remove").is_some_and(|remove| remove != false && remove != 0) {
            Patch::TaintChanges { add: Vec::new(), remove: vec![taint] }
        } else {
            Patch::TaintChanges { add: vec![taint], remove: Vec::new() }
        };
        Ok(self.serve(Request::Patch { target, patch }))
    }

    /// `kubectl rollout undo`, by the request that it makes.
    fn kubectl(&mut self, arguments: &Value) -> Result<Reply, String> {
        let words: Vec<&str> = arguments.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let ["rollout", "undo", reference, rest @ ..] = words.as_slice() else {
            return Err("kubectl is not played here".into());
        };
        let asked = rest.iter().find_map(|word| word.strip_prefix("--to-revision=")?.parse::<i64>().ok());
        let (kind, name) = reference.split_once('/').ok_or("no name")?;
        if kind == "deployment" {
            let Some(Object::Deployment(found)) =
                self.server.find(Kind::Deployment, self.namespace, name).cloned()
            else {
                return Err("no Deployment".into());
            };
            let sets: Vec<Arc<ReplicaSet>> = self.server.list_typed::<ReplicaSet>().cloned().collect();
            let revision = |set: &Arc<ReplicaSet>| -> i64 {
                let text = set.meta.annotations.get("deployment.kubernetes.io/revision".into());
                text.and_then(|text| text.as_str().parse().ok()).unwrap_or(0)
            };
            let mut numbers: Vec<i64> = sets.iter().map(revision).collect();
            numbers.sort_unstable();
            let wanted = asked.or(numbers.iter().rev().nth(1).copied()).ok_or("no revision")?;
            let set = sets.iter().find(|set| revision(set) == wanted).ok_or("no such revision")?;
            let mut next = Deployment::clone(&found);
            let mut template = (*set.template).clone();
            template.labels = template.labels.without("pod-template-hash".into());
            next.template = Arc::new(template);
            next.meta.resource_version = 0;
            let object = Object::Deployment(Arc::new(next));
            return Ok(self.serve(Request::Update { object, subresource: Subresource::Main }));
        }
        let Some(Object::DaemonSet(found)) = self.server.find(Kind::DaemonSet, self.namespace, name).cloned()
        else {
            return Err("no DaemonSet".into());
        };
        let mut revisions: Vec<Arc<ControllerRevision>> =
            self.server.list_typed::<ControllerRevision>().cloned().collect();
        revisions.sort_by_key(|revision| revision.revision);
        let revision = revisions.iter().rev().nth(1).ok_or("no revision")?;
        let mut next = DaemonSet::clone(&found);
        next.template = revision.template.clone();
        next.meta.resource_version = 0;
        let object = DaemonSet::wrap(Arc::new(next));
        Ok(self.serve(Request::Update { object, subresource: Subresource::Main }))
    }
}

/// A strategic merge: maps merge, null removes, containers merge by name, other lists are replaced.
fn merge(base: &mut Value, patch: &Value) {
    let (Value::Object(base), Value::Object(patch)) = (&mut *base, patch) else {
        *base = patch.clone();
        return;
    };
    for (key, value) in patch {
        match (base.get_mut(key), value) {
            (_, Value::Null) => {
                base.remove(key);
            }
            (Some(Value::Array(old)), Value::Array(new)) if key == "containers" => {
                for one in new {
                    match old.iter_mut().find(|other| other["name"] == one["name"]) {
                        Some(other) => merge(other, one),
                        None => old.push(one.clone()),
                    }
                }
            }
            (Some(old), new) => merge(old, new),
            (None, new) => {
                base.insert(key.clone(), new.clone());
            }
        }
    }
}
