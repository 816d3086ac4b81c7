//! What follows from a committed change: the truth about pods and nodes is brought up to it, the
//! recorder sees it, and everybody who watches is sent it.

use std::sync::Arc;

use seatrial_api::machine::{Decision, Severity};
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{ConditionStatus, Pod, PodTemplate};
use seatrial_api::request::{ApiError, Change, WatchEvent};
use seatrial_api::service::Service;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_api::workload::Job;

use super::availability::World as Truth;
use super::event::Cause;
use super::recorder::{object_symbol, pod_change};
use super::world::World;
use crate::results::{EventRow, EventType, Metric};

impl World {
    /// A change was committed: it is observed and sent to everybody who watches. Returns the row
    /// that tells of it, the cause of what follows.
    pub(super) fn committed(&mut self, now: SimTime, event: WatchEvent, cause: Cause) -> Cause {
        let (cause, machine) = self.observe(now, &event, cause);
        let gone = match &event.object {
            Object::Pod(pod) if event.change == Change::Deleted => Some(pod.meta.id),
            _ => None,
        };
        self.storage_committed(now, &event, cause);
        self.fan_out(now, event, machine, cause);
        if let Some(pod) = gone {
            self.runtimes.remove_pod(pod);
        }
        cause
    }

    /// Brings truth and record up to a committed change. Returns the row that tells of it, and the
    /// machine whose kubelet watches the object.
    pub(super) fn observe(&mut self, now: SimTime, event: &WatchEvent, cause: Cause) -> (Cause, Option<u32>) {
        let (cause, machine) = match &event.object {
            Object::Pod(pod) => self.pod_committed(now, event.change, pod, cause),
            Object::Node(node) => {
                let cause = self.node_committed(now, event.change, node, cause);
                (cause, self.machines.of_node(node.meta.id))
            }
            object => {
                let reason = change_reason(event.change);
                (self.recorder.change(now, event.change, object, Symbol::new(reason), cause), None)
            }
        };
        self.watch_services(now, event);
        self.watch_workloads(now, event);
        if event.change == Change::Deleted {
            self.streams.forget(event.object.object_ref());
        }
        (cause, machine)
    }

    fn pod_committed(
        &mut self,
        now: SimTime,
        change: Change,
        pod: &Arc<Pod>,
        cause: Cause,
    ) -> (Cause, Option<u32>) {
        let id = pod.meta.id;
        if change == Change::Added {
            self.runtimes.add_pod(pod, &mut self.streams);
            self.usage.add_pod(pod);
        }
        let machine = pod.node.and_then(|node| self.machine_of_pod(id, node));
        self.recorder.account(now, change, pod, machine);
        let cause = if self.recorder.is_full() || !self.availability.is_idle() {
            self.compare_pod(now, change, pod, cause)
        } else {
            cause
        };
        if change == Change::Deleted {
            self.forget_pod(now, pod);
        }
        (cause, machine)
    }

    /// Tells the record and the Services what is new about a pod. Returns the row that tells of it.
    fn compare_pod(&mut self, now: SimTime, change: Change, pod: &Arc<Pod>, cause: Cause) -> Cause {
        let id = pod.meta.id;
        let old = match change {
            Change::Deleted => self.seen_pods.remove(id),
            Change::Added | Change::Modified => self.seen_pods.insert(id, pod.clone()),
        };
        self.count_service_pods(now, change, old.as_deref(), pod);
        if !self.recorder.is_full() {
            return cause;
        }
        let workload = if change == Change::Added { self.api_workload(pod) } else { Symbol::empty() };
        self.recorder.pod(now, change, pod, workload);
        let reason =
            if change == Change::Deleted { Some("Deleted") } else { pod_change(old.as_deref(), pod) };
        let Some(reason) = reason else { return cause };
        self.recorder.change(now, change, &Object::Pod(pod.clone()), Symbol::new(reason), cause)
    }

    /// The machine of a pod that is bound to `node`: the one that it was bound to first, as long as
    /// that is there.
    fn machine_of_pod(&mut self, pod: u32, node: Symbol) -> Option<u32> {
        let truth = self.runtimes.pod_mut(pod);
        let known = truth.as_ref().and_then(|truth| truth.machine);
        if known.is_some_and(|machine| self.machines.get(machine).present) {
            return known;
        }
        let machine = self.machines.named(node)?;
        if let Some(truth) = truth
            && known.is_none()
        {
            truth.machine = Some(machine);
            self.pods_of[machine as usize].push(pod);
        }
        Some(machine)
    }

    /// The object of a pod is gone; so is what it used. Its truth goes when everybody has been sent
    /// the news.
    fn forget_pod(&mut self, now: SimTime, pod: &Pod) {
        let id = pod.meta.id;
        if let Some(machine) = self.runtimes.pod(id).and_then(|truth| truth.machine) {
            let pods = &mut self.pods_of[machine as usize];
            if let Some(position) = pods.iter().position(|&other| other == id) {
                pods.swap_remove(position);
            }
        }
        self.runtimes.kill_pod(id);
        self.pod_truth_changed(now, id);
        self.usage.remove_pod(pod, |pod| self.runtimes.pod(pod).is_some());
        self.availability.forget_pod(id);
    }

    /// Containers of a pod started, ended, or changed their readiness.
    pub(super) fn pod_truth_changed(&mut self, now: SimTime, pod: u32) {
        self.usage.update(now, pod, self.runtimes.pod(pod), &mut self.recorder);
        if self.availability.is_idle() {
            return;
        }
        let mut samples = Vec::new();
        let truth = Truth { machines: &self.machines, runtimes: &self.runtimes };
        self.availability.pod(now, pod, &truth, &mut samples);
        self.record_availability(now, samples);
    }

    /// Machines lost or regained power or connection; `cut` is a partition that begins now.
    pub(super) fn machine_truth_changed(&mut self, now: SimTime, cut: Option<u32>) {
        if self.availability.is_idle() {
            return;
        }
        let mut samples = Vec::new();
        let truth = Truth { machines: &self.machines, runtimes: &self.runtimes };
        self.availability.machines(now, cut, &truth, &mut samples);
        self.record_availability(now, samples);
    }

    /// A slice has reached the forwarding rules of the nodes.
    pub(super) fn proxies_synced(&mut self, now: SimTime, event: &WatchEvent) {
        let mut samples = Vec::new();
        let truth = Truth { machines: &self.machines, runtimes: &self.runtimes };
        self.availability.slice(now, event, &truth, &mut samples);
        self.record_availability(now, samples);
    }

    fn record_availability(&mut self, now: SimTime, samples: Vec<super::availability::Sample>) {
        for sample in samples {
            self.recorder.object_gauge(now, Metric::ServiceAvailabilityPct, sample.object, sample.percent);
        }
    }

    fn node_committed(&mut self, now: SimTime, change: Change, node: &Arc<Node>, cause: Cause) -> Cause {
        let id = node.meta.id;
        let machine = match change {
            Change::Added => {
                let machine = self.machines.named(node.name);
                if let Some(machine) = machine {
                    self.machines.set_node(machine, Some(id));
                }
                machine
            }
            _ => self.machines.of_node(id),
        };
        let old = self.seen_nodes.get(&id).cloned();
        let ready = |node: &Node| node.ready() == ConditionStatus::True;
        let was_ready = old.as_deref().is_some_and(ready);
        let is_ready = change != Change::Deleted && ready(node);
        if was_ready != is_ready {
            self.recorder.node_ready(now, machine, is_ready);
            let sign = if is_ready { 1 } else { -1 };
            let offered = &node.allocatable.amounts;
            self.recorder.allocatable(now, sign * offered.cpu.0, sign * offered.memory.0);
        }
        if !is_ready && change != Change::Deleted {
            self.look_for_machine(now, id, machine, cause);
        }
        let reason = node_change(old.as_deref(), node, change);
        let cause = match reason {
            Some(reason) => {
                self.recorder.change(now, change, &Object::Node(node.clone()), Symbol::new(reason), cause)
            }
            None => cause,
        };
        if change == Change::Deleted {
            self.seen_nodes.remove(&id);
            if let Some(machine) = machine {
                self.machines.set_node(machine, None);
            }
        } else {
            self.seen_nodes.insert(id, node.clone());
        }
        cause
    }

    /// Services come and go: their availability is observed.
    fn watch_services(&mut self, now: SimTime, event: &WatchEvent) {
        let Object::Service(service) = &event.object else { return };
        if !self.recorder.is_full() {
            return;
        }
        let first = self.availability.is_idle();
        let selected = service.selector.as_ref().filter(|selector| !selector.is_empty());
        let wanted = selected.map_or(0, |selector| {
            let pods = self.api.list_typed::<Pod>().filter(|pod| {
                pod.is_active()
                    && pod.meta.namespace == service.meta.namespace
                    && pod.meta.labels.contains_all(selector)
            });
            pods.count() as i64
        });
        self.availability.service(now, event.change, service, wanted);
        if first {
            self.machine_truth_changed(now, None);
            let pods: Vec<_> = self.api.list_typed::<Pod>().cloned().collect();
            for pod in pods {
                self.seen_pods.insert(pod.meta.id, pod);
            }
        }
        self.count_wanting_workloads(now, service);
    }

    /// Workloads that are there when a Service comes.
    fn count_wanting_workloads(&mut self, now: SimTime, service: &Service) {
        let namespace = service.meta.namespace;
        let workloads: Vec<Object> = WANTING
            .iter()
            .flat_map(|&kind| self.api.list(kind))
            .filter(|object| object.meta().namespace == namespace)
            .cloned()
            .collect();
        for object in workloads {
            self.workload_changed(now, Change::Modified, &object);
        }
    }

    fn count_service_pods(&mut self, now: SimTime, change: Change, old: Option<&Pod>, pod: &Pod) {
        if self.availability.is_idle() {
            return;
        }
        let was = old.is_some_and(Pod::is_active);
        let is = change != Change::Deleted && pod.is_active();
        if was != is {
            let sign = if is { 1 } else { -1 };
            self.availability.count_pod(now, pod.meta.namespace, &pod.meta.labels, sign);
        }
    }

    fn watch_workloads(&mut self, now: SimTime, event: &WatchEvent) {
        if self.recorder.is_full() {
            self.workload_changed(now, event.change, &event.object);
        }
    }

    fn workload_changed(&mut self, now: SimTime, change: Change, object: &Object) {
        let Some((template, wanted)) = wanted_pods(object) else {
            if let Object::HorizontalPodAutoscaler(hpa) = object {
                let name = object_symbol(hpa.meta.namespace, &hpa.meta.name);
                self.recorder.object_gauge(
                    now,
                    Metric::HpaReplicas,
                    name,
                    f64::from(hpa.status.desired_replicas),
                );
            }
            return;
        };
        let meta = object.meta();
        let wants = wanted > 0 && change != Change::Deleted && !meta.is_deleting();
        let key = (object.kind() as u8, meta.id);
        self.availability.workload(now, key, meta.namespace, &template.labels, wants);
        if let Object::Deployment(deployment) = object {
            let name = object_symbol(meta.namespace, &meta.name);
            let available = deployment.status.available_replicas;
            let all = available >= deployment.replicas && change != Change::Deleted;
            self.recorder.object_gauge(now, Metric::DeploymentAvailable, name, f64::from(u8::from(all)));
            self.recorder.object_gauge(now, Metric::DeploymentReplicasAvailable, name, f64::from(available));
        }
    }

    /// A component decided something: a row, and the count of evictions.
    pub(super) fn decided(&mut self, now: SimTime, decision: &Decision, cause: Cause) -> Cause {
        match decision.reason {
            "Preempted" => self.recorder.preempted(decision.object.id),
            "TaintManagerEviction" if !decision.message.starts_with("Cancelling") => {
                self.recorder.evictions.taint += 1
            }
            "Evicted" if decision.severity == Severity::Warning => self.recorder.evictions.pressure += 1,
            _ => {}
        }
        if !self.recorder.is_full() {
            return cause;
        }
        let (namespace, name) = self.name_of(decision.object);
        self.recorder.push(EventRow {
            time: now,
            kind: Symbol::new(decision.object.kind.as_str()),
            namespace,
            name,
            event: match decision.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: Symbol::new(decision.reason),
            message: (&*decision.message).into(),
            cause: cause.row(),
        })
    }

    /// A request was refused; a person's is worth a row.
    pub(super) fn refused(
        &mut self,
        now: SimTime,
        action: Option<String>,
        error: &ApiError,
        cause: Cause,
    ) -> Cause {
        let Some(action) = action else { return cause };
        self.recorder.push(EventRow {
            time: now,
            kind: Symbol::new("Action"),
            namespace: Symbol::empty(),
            name: action.into(),
            event: EventType::Warning,
            reason: Symbol::new("Refused"),
            message: error.message.as_str().into(),
            cause: cause.row(),
        })
    }

    /// Namespace and name of an object, also if it is just gone.
    fn name_of(&self, target: ObjectRef) -> (Symbol, compact_str::CompactString) {
        if let Some(object) = self.api.get(target) {
            return (object.meta().namespace, object.meta().name.clone());
        }
        match target.kind {
            Kind::Pod => {
                self.recorder.pods.get(target.id as usize).map(|row| (row.namespace, row.name.clone()))
            }
            _ => None,
        }
        .unwrap_or_default()
    }

    /// The topmost owner of a pod as `Kind/name`.
    fn api_workload(&self, pod: &Pod) -> Symbol {
        let Some(owner) = pod.meta.controller() else { return Symbol::empty() };
        let managed = Kind::parse(owner.kind.as_str())
            .filter(|kind| matches!(kind, Kind::ReplicaSet | Kind::Job))
            .and_then(|kind| self.api.find(kind, pod.meta.namespace, &owner.name));
        let above = managed.and_then(|object| object.meta().controller());
        let top = above.unwrap_or(owner);
        Symbol::new(&compact_str::format_compact!("{}/{}", top.kind, top.name))
    }
}

fn change_reason(change: Change) -> &'static str {
    match change {
        Change::Added => "Created",
        Change::Modified => "Updated",
        Change::Deleted => "Deleted",
    }
}

/// Kinds of workloads that want pods by themselves.
const WANTING: [Kind; 6] = [
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::ReplicationController,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
];

/// What changed in a node, as the reason of its row.
fn node_change(old: Option<&Node>, node: &Node, change: Change) -> Option<&'static str> {
    let Some(old) = old else { return Some("Registered") };
    if change == Change::Deleted {
        return Some("Deleted");
    }
    if old.ready() != node.ready() {
        return Some(match node.ready() {
            ConditionStatus::True => "Ready",
            ConditionStatus::False => "NotReady",
            ConditionStatus::Unknown | ConditionStatus::Absent => "Unknown",
        });
    }
    if old.unschedulable != node.unschedulable {
        return Some(if node.unschedulable { "Cordoned" } else { "Uncordoned" });
    }
    (old.taints() != node.taints()).then_some("Tainted")
}

/// The template of a workload and how many pods it wants.
fn wanted_pods(object: &Object) -> Option<(&PodTemplate, i32)> {
    match object {
        Object::Deployment(workload) => Some((&workload.template, workload.replicas)),
        Object::ReplicaSet(workload) => Some((&workload.template, workload.replicas)),
        Object::ReplicationController(workload) => Some((&workload.template, workload.replicas)),
        Object::StatefulSet(workload) => Some((&workload.template, workload.replicas)),
        Object::DaemonSet(workload) => Some((&workload.template, workload.status.desired_number_scheduled)),
        Object::Job(workload) => Some(of_job(workload)),
        _ => None,
    }
}

fn of_job(workload: &Job) -> (&PodTemplate, i32) {
    let ended = workload.status.conditions.iter().any(|condition| {
        (condition.kind == "Complete" || condition.kind == "Failed")
            && condition.status == ConditionStatus::True
    });
    (&workload.template, if ended || workload.suspend { 0 } else { workload.parallelism })
}
