//! A store and a clock, just large enough to script the scheduler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::machine::{Effects, Input, Machine, NO_REPLY, Outgoing};
use seatrial_api::meta::{Deletion, ObjectMeta, Uid};
use seatrial_api::node::{Node, NodeResources};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodReason, PodSpec, StatusText};
use seatrial_api::request::{ApiError, Change, ErrorReason, Patch, Reply, Request, WatchEvent};
use seatrial_api::resources::Resources;
use seatrial_api::storage::PersistentVolumeClaim;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};
use seatrial_scheduler::{Scheduler, SchedulerConfiguration, Timer};

pub(crate) const GIBIBYTE: i64 = 1 << 30;

/// A node with so much CPU and memory.
pub(crate) fn node(name: &str, cpu: i64, memory_gib: i64) -> Node {
    let amounts = Resources::of(MilliCpu(cpu), Bytes(memory_gib * GIBIBYTE));
    let resources = Arc::new(NodeResources { amounts, pods: 110 });
    Node {
        meta: ObjectMeta::named("", name),
        name: name.into(),
        capacity: resources.clone(),
        allocatable: resources,
        ..Node::default()
    }
}

/// A pod in `default` that requests so much CPU and a little memory.
pub(crate) fn pod(name: &str, cpu: i64) -> Pod {
    pod_with(name, cpu, |_| {})
}

/// A pod whose specification is changed before it is sealed.
pub(crate) fn pod_with(name: &str, cpu: i64, change: impl FnOnce(&mut PodSpec)) -> Pod {
    let mut container = Container::new("c", "app:1");
    container.requests.cpu = Some(MilliCpu(cpu));
    container.requests.memory = Some(Bytes(1 << 20));
    let mut spec = PodSpec::new(vec![container]);
    change(&mut spec);
    Pod::new(ObjectMeta::named("default", name), Arc::new(spec.sealed()))
}

/// Instants in milliseconds.
pub(crate) trait Millis {
    fn from_millis_for_test(millis: i64) -> SimTime;
}

impl Millis for SimTime {
    fn from_millis_for_test(millis: i64) -> SimTime {
        SimTime::from_nanos(millis * 1_000_000)
    }
}

#[derive(Clone, Debug)]
enum Due {
    Timer(Timer),
    Request(Box<Outgoing>),
}

/// The scheduler with what it talks to. Requests take no time; events come at once.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: SimTime,
    agenda: BTreeMap<(SimTime, u64), Due>,
    sequence: u64,
    pods: BTreeMap<u32, Arc<Pod>>,
    nodes: BTreeMap<Symbol, Arc<Node>>,
    claims: BTreeMap<u32, Arc<PersistentVolumeClaim>>,
    next_id: u32,
    bound: BTreeMap<u32, SimTime>,
    failures: BTreeMap<u32, usize>,
    pub(crate) decisions: Vec<(ObjectRef, &'static str, String)>,
    pub(crate) deleted: Vec<u32>,
    pub(crate) refuse_binds: usize,
    /// Whether messages are asked for.
    pub(crate) explain: bool,
    done: BTreeSet<u32>,
}

impl Rig {
    pub(crate) fn new(configuration: SchedulerConfiguration) -> Rig {
        Rig {
            scheduler: Scheduler::new(configuration).unwrap(),
            now: SimTime::ZERO,
            agenda: BTreeMap::new(),
            sequence: 0,
            pods: BTreeMap::new(),
            nodes: BTreeMap::new(),
            claims: BTreeMap::new(),
            next_id: 1,
            bound: BTreeMap::new(),
            failures: BTreeMap::new(),
            decisions: Vec::new(),
            deleted: Vec::new(),
            refuse_binds: 0,
            explain: true,
            done: BTreeSet::new(),
        }
    }

    pub(crate) fn add_node(&mut self, node: Node) {
        let node = Arc::new(node);
        self.nodes.insert(node.name, node.clone());
        self.watch(Change::Added, Object::Node(node));
    }

    pub(crate) fn update_node(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let node = self.nodes.get_mut(&Symbol::new(name)).unwrap();
        change(Arc::make_mut(node));
        let object = Object::Node(node.clone());
        self.watch(Change::Modified, object);
    }

    pub(crate) fn add_pod(&mut self, mut pod: Pod) {
        pod.meta.id = self.next_id;
        pod.meta.uid = Uid::from_bits(0, u64::from(self.next_id));
        self.next_id += 1;
        let pod = Arc::new(pod);
        self.pods.insert(pod.meta.id, pod.clone());
        self.watch(Change::Added, Object::Pod(pod));
    }

    /// A claim comes; returns its row.
    pub(crate) fn add_claim(&mut self, mut claim: PersistentVolumeClaim) -> u32 {
        claim.meta.id = self.next_id;
        claim.meta.uid = Uid::from_bits(3, u64::from(self.next_id));
        self.next_id += 1;
        let claim = Arc::new(claim);
        self.claims.insert(claim.meta.id, claim.clone());
        let id = claim.meta.id;
        self.watch(Change::Added, Object::PersistentVolumeClaim(claim));
        id
    }

    pub(crate) fn change_claim(
        &mut self,
        id: u32,
        change: impl FnOnce(&mut PersistentVolumeClaim),
    ) -> Object {
        let claim = self.claims.get_mut(&id).unwrap();
        change(Arc::make_mut(claim));
        let object = Object::PersistentVolumeClaim(claim.clone());
        self.watch(Change::Modified, object.clone());
        object
    }

    pub(crate) fn claim(&self, id: u32) -> &PersistentVolumeClaim {
        &self.claims[&id]
    }

    pub(crate) fn update_pod(&mut self, name: &str, change: impl FnOnce(&mut Pod)) {
        let id = self.id(name);
        self.change_pod(id, change);
    }

    pub(crate) fn change_pod(&mut self, id: u32, change: impl FnOnce(&mut Pod)) -> Arc<Pod> {
        let pod = self.pods.get_mut(&id).unwrap();
        change(Arc::make_mut(pod));
        let pod = pod.clone();
        self.watch(Change::Modified, Object::Pod(pod.clone()));
        pod
    }

    pub(crate) fn finish_deletion(&mut self, target: ObjectRef) {
        let pod = self.pods.remove(&target.id).unwrap();
        self.done.insert(target.id);
        self.watch(Change::Deleted, Object::Pod(pod));
    }

    /// What is due, and when.
    pub(crate) fn due(&self) -> Vec<(SimTime, String)> {
        self.agenda.iter().map(|((at, _), due)| (*at, format!("{due:?}"))).collect()
    }

    /// All pods by row.
    pub(crate) fn pods(&self) -> &BTreeMap<u32, Arc<Pod>> {
        &self.pods
    }

    /// All nodes by name.
    pub(crate) fn nodes(&self) -> &BTreeMap<Symbol, Arc<Node>> {
        &self.nodes
    }

    pub(crate) fn remove_node(&mut self, name: Symbol) {
        let node = self.nodes.remove(&name).unwrap();
        self.watch(Change::Deleted, Object::Node(node));
    }

    /// A deletion by someone else: the pod terminates, and is gone when that is finished.
    pub(crate) fn terminate(&mut self, id: u32) {
        let at = self.now;
        self.change_pod(id, |pod| pod.meta.set_deletion(Some(Deletion { at, grace_seconds: 30 })));
    }

    fn id(&self, name: &str) -> u32 {
        self.pods.values().find(|pod| pod.meta.name == name).unwrap().meta.id
    }

    pub(crate) fn pod(&self, name: &str) -> &Pod {
        &self.pods[&self.id(name)]
    }

    pub(crate) fn node_of(&self, name: &str) -> Option<&'static str> {
        self.pod(name).node.map(Symbol::as_str)
    }

    pub(crate) fn bound_at(&self, name: &str) -> SimTime {
        self.bound[&self.id(name)]
    }

    /// How often the pod was tried in vain.
    pub(crate) fn attempts(&self, name: &str) -> usize {
        self.failures.get(&self.id(name)).copied().unwrap_or(0)
    }

    pub(crate) fn reason_of(&self, name: &str) -> PodReason {
        self.pod(name).status.conditions.get(PodConditionType::PodScheduled).reason
    }

    /// Plays until nothing is due up to `until`.
    pub(crate) fn settle(&mut self, until: SimTime) {
        while let Some((&(at, sequence), _)) = self.agenda.first_key_value() {
            if at > until {
                break;
            }
            let due = self.agenda.remove(&(at, sequence)).unwrap();
            self.now = self.now.max(at);
            match due {
                Due::Timer(timer) => self.input(Input::Timer(timer)),
                Due::Request(outgoing) => self.serve(*outgoing),
            }
        }
        self.now = until;
    }

    pub(crate) fn watch(&mut self, change: Change, object: Object) {
        self.input(Input::Watch(&WatchEvent { change, object }));
    }

    fn input(&mut self, input: Input<'_, Timer>) {
        let mut effects = Effects::new(self.explain);
        self.scheduler.handle(self.now, input, &mut effects);
        for (at, timer) in effects.timers {
            assert!(at >= self.now, "a timer in the past: {timer:?}");
            self.later(at, Due::Timer(timer));
        }
        for outgoing in effects.requests {
            assert!(outgoing.send_at >= self.now);
            self.later(outgoing.send_at, Due::Request(Box::new(outgoing)));
        }
        for decision in effects.decisions {
            if decision.reason == "FailedScheduling" {
                *self.failures.entry(decision.object.id).or_default() += 1;
            }
            self.decisions.push((decision.object, decision.reason, decision.message.into_owned()));
        }
    }

    fn later(&mut self, at: SimTime, due: Due) {
        self.sequence += 1;
        self.agenda.insert((at, self.sequence), due);
    }

    fn serve(&mut self, outgoing: Outgoing) {
        let reply: Reply = match outgoing.request {
            Request::Bind { pod, .. } if self.refuse_binds > 0 => {
                self.refuse_binds -= 1;
                Err(ApiError::new(ErrorReason::Conflict, format!("refused {pod}")))
            }
            Request::Bind { pod, node } => self.on_pod(pod, |rig| {
                rig.bound.insert(pod, rig.now);
                rig.change_pod(pod, |pod| {
                    assert_eq!(pod.node, None, "no pod is bound twice");
                    pod.node = Some(node);
                    pod.status.nominated_node = None;
                })
            }),
            Request::Patch { target, patch: Patch::Annotations(changes) }
                if target.kind == Kind::PersistentVolumeClaim =>
            {
                Ok(self.change_claim(target.id, |claim| {
                    for (key, value) in changes {
                        let old = &claim.meta.annotations;
                        claim.meta.annotations = match value {
                            Some(value) => old.with(key, value),
                            None => old.without(key),
                        };
                    }
                }))
            }
            Request::Patch { target, patch } => self.on_pod(target.id, |rig| {
                let now = rig.now;
                rig.change_pod(target.id, |pod| apply(pod, patch, now))
            }),
            Request::Delete { target, .. } => self.on_pod(target.id, |rig| {
                rig.deleted.push(target.id);
                let at = rig.now;
                rig.change_pod(target.id, |pod| {
                    pod.meta.set_deletion(Some(Deletion { at, grace_seconds: 30 }))
                })
            }),
            other => panic!("unexpected request {other:?}"),
        };
        if outgoing.token != NO_REPLY {
            self.input(Input::Reply { token: outgoing.token, reply: &reply });
        }
    }

    fn on_pod(&mut self, id: u32, change: impl FnOnce(&mut Rig) -> Arc<Pod>) -> Reply {
        if self.pods.contains_key(&id) {
            Ok(Object::Pod(change(self)))
        } else {
            Err(ApiError::new(ErrorReason::NotFound, "gone"))
        }
    }
}

fn apply(pod: &mut Pod, patch: Patch, now: SimTime) {
    match patch {
        Patch::Unschedulable { reason, message, nominated_node } => {
            pod.status.conditions.set(PodConditionType::PodScheduled, ConditionStatus::False, reason, now);
            pod.status.nominated_node = nominated_node;
            let text = StatusText { scheduling: (&*message).into(), ..StatusText::default() };
            pod.status.text = Some(Arc::new(text));
        }
        Patch::NominatedNode(node) => pod.status.nominated_node = Some(node),
        Patch::PodCondition { kind, status, reason, .. } => {
            pod.status.conditions.set(kind, status, reason, now)
        }
        other => panic!("unexpected patch {other:?}"),
    }
}
