//! A small world around an autoscaler: pods of one workload, a scheduler that places them by first
//! fit, a cloud, and evictions within one budget. Everything takes a fixed time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::cloud::{CloudError, CloudReport, CloudRequest, Offer};
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::machine::{Effects, Input, Machine, NO_REPLY, Token};
use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::node::{LABEL_HOSTNAME, Node, NodeCondition, NodeConditionType, NodeResources};
use seatrial_api::object::Object;
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodReason, PodSpec, PodTemplate};
use seatrial_api::policy::{PdbStatus, PodDisruptionBudget, UnhealthyPodEvictionPolicy};
use seatrial_api::request::{ApiError, Change, ErrorReason, Patch, Reply, Request, WatchEvent};
use seatrial_api::resources::{ResourceList, Resources};
use seatrial_api::storage::VolumeAttachment;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::snapshot::Snapshot;

/// From a request for a machine to its node.
pub(crate) const BOOT: Span = Span::from_secs(60);
/// From a deletion to the end of a pod.
const POD_END: Span = Span::from_secs(3);
/// From the request to give a machine back to its end.
const MACHINE_END: Span = Span::from_secs(20);

/// What waits for its time.
#[derive(Clone, Debug)]
enum Event<T> {
    Timer(T),
    Boot(Symbol, Offer),
    MachineEnd(Symbol),
    PodEnd(u32),
    Reply(Token, Reply),
}

/// A decision, as tests look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) at: SimTime,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// What a budget of the workload demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinAvailable(pub(crate) usize);

/// The world around a machine.
#[derive(Clone)]
pub(crate) struct World<M: Machine + Clone> {
    pub(crate) machine: M,
    pub(crate) now: SimTime,
    pub(crate) nodes: BTreeMap<Symbol, Arc<Node>>,
    pub(crate) pods: BTreeMap<u32, Arc<Pod>>,
    pub(crate) said: Vec<Said>,
    /// Groups by name: the kind of machine, and how many instances it has had.
    pub(crate) groups: BTreeMap<Symbol, (Offer, u32)>,
    /// Pools or groups of which no machine is to be had.
    pub(crate) stock_out: BTreeSet<Symbol>,
    /// Machines that come up but never become nodes.
    pub(crate) duds: bool,
    pub(crate) budget: Option<MinAvailable>,
    /// Machines that exist, and what each costs.
    pub(crate) machines: BTreeMap<Symbol, u64>,
    /// What should never happen and did.
    pub(crate) violations: Vec<String>,
    pub(crate) timers_fired: usize,
    scheduler: Snapshot,
    queue: BTreeMap<(SimTime, u64), Event<M::Timer>>,
    sequence: u64,
    spec: Arc<PodSpec>,
    labels: Labels,
    next_id: u32,
}

impl<M: Machine + Clone> World<M> {
    pub(crate) fn new(machine: M) -> World<M> {
        let mut world = World {
            machine,
            now: SimTime::ZERO,
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            said: Vec::new(),
            groups: BTreeMap::new(),
            stock_out: BTreeSet::new(),
            duds: false,
            budget: None,
            machines: BTreeMap::new(),
            violations: Vec::new(),
            timers_fired: 0,
            scheduler: Snapshot::new(&SchedulerConfiguration::default()).expect("the default is valid"),
            queue: BTreeMap::new(),
            sequence: 0,
            spec: pod_spec(1_000, 1),
            labels: Labels::of(&[("app", "shop")]),
            next_id: 1,
        };
        let set = ReplicaSet {
            meta: ObjectMeta { uid: owner_uid(), ..ObjectMeta::named("default", "shop") },
            replicas: 0,
            min_ready_seconds: 0,
            selector: Arc::new(Selector::of_labels(&world.labels)),
            template: Arc::new(PodTemplate {
                labels: world.labels.clone(),
                annotations: Labels::NONE,
                spec: world.spec.clone(),
            }),
            status: ReplicaSetStatus::default(),
        };
        world.watch(Change::Added, Object::ReplicaSet(Arc::new(set)));
        world
    }

    /// New pods are like this from now on.
    pub(crate) fn pods_request(&mut self, millicores: i64, gib: i64) {
        self.spec = pod_spec(millicores, gib);
    }

    /// A node that is there, of a group or not.
    pub(crate) fn add_node(&mut self, name: &str, offer: &Offer) {
        self.join(Symbol::new(name), offer);
    }

    fn join(&mut self, name: Symbol, offer: &Offer) {
        let template = &offer.template;
        let labels = template.meta.labels.with(Symbol::new(LABEL_HOSTNAME), name);
        let id = self.next_id();
        let meta = ObjectMeta { id, labels, created: self.now, ..ObjectMeta::named("", name.as_str()) };
        let mut node = Node { meta, name, ..Node::clone(template) };
        set_ready(&mut node, ConditionStatus::True, self.now);
        self.machines.entry(name).or_insert(offer.micro_usd_per_hour);
        self.nodes.insert(name, Arc::new(node.clone()));
        self.scheduler.set_node(&Arc::new(node.clone()));
        self.watch(Change::Added, Object::Node(Arc::new(node)));
        self.schedule();
    }

    /// Changes a node.
    pub(crate) fn change_node(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let Some(node) = self.nodes.get(&Symbol::new(name)) else { return };
        let mut node = Node::clone(node);
        change(&mut node);
        let node = Arc::new(node);
        self.nodes.insert(node.name, node.clone());
        self.scheduler.set_node(&node);
        self.watch(Change::Modified, Object::Node(node));
        self.schedule();
    }

    /// Attaches a volume to a node, or detaches it.
    pub(crate) fn attach_volume(&mut self, node: Symbol, attached: bool) {
        let meta = ObjectMeta { id: 1, ..ObjectMeta::named("", "attachment") };
        let empty = Symbol::empty();
        let attachment = VolumeAttachment {
            meta,
            attacher: empty,
            node,
            volume: empty,
            attached,
            attach_error: empty,
            detach_error: empty,
        };
        let change = if attached { Change::Added } else { Change::Deleted };
        self.watch(change, Object::VolumeAttachment(Arc::new(attachment)));
    }

    fn next_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// The workload has so many pods more.
    pub(crate) fn add_pods(&mut self, count: usize) {
        for _ in 0..count {
            self.add_pod(|_| {});
        }
    }

    /// The workload has one pod more, which differs from the others.
    pub(crate) fn add_pod(&mut self, change: impl FnOnce(&mut Pod)) -> u32 {
        let id = self.next_id();
        let owner = OwnerRef {
            kind: Symbol::new("ReplicaSet"),
            api_version: Symbol::new("apps/v1"),
            name: "shop".into(),
            uid: owner_uid(),
            controller: true,
            block_owner_deletion: true,
        };
        let meta = ObjectMeta {
            id,
            labels: self.labels.clone(),
            created: self.now,
            owners: Some(Arc::new(vec![owner])),
            ..ObjectMeta::named("default", &format!("shop-{id}"))
        };
        let mut pod = Pod::new(meta, self.spec.clone());
        change(&mut pod);
        self.pods.insert(id, Arc::new(pod.clone()));
        self.watch(Change::Added, Object::Pod(Arc::new(pod)));
        self.schedule();
        id
    }

    /// The workload has so many pods less: those that wait first, then the newest.
    pub(crate) fn remove_pods(&mut self, count: usize) {
        let mut order: Vec<_> = self.pods.values().filter(|pod| !pod.meta.is_deleting()).cloned().collect();
        order.sort_by_key(|pod| (pod.node.is_some(), std::cmp::Reverse(pod.meta.id)));
        for pod in order.into_iter().take(count) {
            self.begin_end(pod.meta.id);
        }
    }

    /// These pods end, and nobody replaces them.
    pub(crate) fn end_pods(&mut self, ids: &[u32]) {
        ids.iter().for_each(|&id| self.begin_end(id));
    }

    fn begin_end(&mut self, id: u32) {
        let Some(pod) = self.pods.get(&id) else { return };
        let mut pod = Pod::clone(pod);
        let at = self.now + POD_END;
        pod.meta.set_deletion(Some(seatrial_api::meta::Deletion { at, grace_seconds: 3 }));
        self.pod_changed(Arc::new(pod));
        self.push(at, Event::PodEnd(id));
    }

    fn pod_changed(&mut self, pod: Arc<Pod>) {
        self.pods.insert(pod.meta.id, pod.clone());
        self.watch(Change::Modified, Object::Pod(pod));
        self.budget_changed();
    }

    /// The first scheduler that can be thought of.
    fn schedule(&mut self) {
        let waiting: Vec<_> = self.pods.values().filter(|pod| pod.node.is_none()).cloned().collect();
        for pod in waiting.into_iter().filter(|pod| !pod.meta.is_deleting()) {
            let mut next = Pod::clone(&pod);
            match self.scheduler.first_fit(&pod, &mut 0, |_| true) {
                Some(node) => {
                    next.node = Some(node);
                    next.status.phase = PodPhase::Running;
                    let conditions = &mut next.status.conditions;
                    for kind in [PodConditionType::PodScheduled, PodConditionType::Ready] {
                        conditions.set(kind, ConditionStatus::True, PodReason::None, self.now);
                    }
                    let next = Arc::new(next);
                    self.scheduler.add_pod(&next, node);
                    self.pod_changed(next);
                }
                None => {
                    let kind = PodConditionType::PodScheduled;
                    let reason = PodReason::Unschedulable;
                    next.status.conditions.set(kind, ConditionStatus::False, reason, self.now);
                    if next.status != pod.status {
                        self.pod_changed(Arc::new(next));
                    }
                }
            }
        }
    }

    fn healthy(&self) -> usize {
        self.pods.values().filter(|pod| pod.is_ready() && !pod.meta.is_deleting()).count()
    }

    fn disruptions_allowed(&self) -> Option<usize> {
        self.budget.map(|MinAvailable(least)| self.healthy().saturating_sub(least))
    }

    fn budget_changed(&mut self) {
        let Some(allowed) = self.disruptions_allowed() else { return };
        let budget = PodDisruptionBudget {
            meta: ObjectMeta { id: 1, ..ObjectMeta::named("default", "shop") },
            budget: None,
            selector: Some(Selector::of_labels(&self.labels)),
            unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy::IfHealthyBudget,
            status: PdbStatus { disruptions_allowed: allowed as i32, ..PdbStatus::default() },
        };
        self.watch(Change::Modified, Object::PodDisruptionBudget(Arc::new(budget)));
    }

    fn push(&mut self, at: SimTime, event: Event<M::Timer>) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn watch(&mut self, change: Change, object: Object) {
        self.tell(Input::Watch(&WatchEvent { change, object }));
    }

    fn tell(&mut self, input: Input<'_, M::Timer>) {
        let mut effects = Effects::new(true);
        self.machine.handle(self.now, input, &mut effects);
        for decision in effects.decisions.drain(..) {
            let (at, message) = (self.now, decision.message.into_owned());
            self.said.push(Said { at, reason: decision.reason, message });
        }
        for (at, timer) in effects.timers.drain(..) {
            self.push(at, Event::Timer(timer));
        }
        for outgoing in std::mem::take(&mut effects.requests) {
            let reply = self.request(outgoing.request);
            if outgoing.token != NO_REPLY {
                self.push(self.now + Span::from_millis(5), Event::Reply(outgoing.token, reply));
            }
        }
        for request in std::mem::take(&mut effects.cloud) {
            self.ask_cloud(request);
        }
    }

    fn request(&mut self, request: Request) -> Reply {
        match request {
            Request::Create(object) => Ok(object),
            Request::Evict { pod, .. } => self.evict(pod),
            Request::Patch { target, patch } => {
                let name = self.nodes.values().find(|node| node.meta.id == target.id).map(|node| node.name);
                let Some(name) = name else { return Err(ApiError::new(ErrorReason::NotFound, "gone")) };
                self.change_node(name.as_str(), |node| apply(node, &patch));
                Ok(Object::Node(self.nodes[&name].clone()))
            }
            Request::Delete { target, .. } => {
                let name = self.nodes.values().find(|node| node.meta.id == target.id).map(|node| node.name);
                name.into_iter().for_each(|name| self.node_gone(name));
                Err(ApiError::new(ErrorReason::NotFound, "gone"))
            }
            other => panic!("an autoscaler asks for {other:?}"),
        }
    }

    fn evict(&mut self, id: u32) -> Reply {
        let Some(pod) = self.pods.get(&id).cloned() else {
            return Err(ApiError::new(ErrorReason::NotFound, "gone"));
        };
        if pod.meta.is_deleting() {
            return Ok(Object::Pod(pod));
        }
        if self.disruptions_allowed() == Some(0) {
            return Err(ApiError::new(ErrorReason::TooManyRequests, "budget"));
        }
        self.begin_end(id);
        // The workload replaces it.
        self.add_pods(1);
        Ok(Object::Pod(pod))
    }

    fn ask_cloud(&mut self, request: CloudRequest) {
        match request {
            CloudRequest::Increase { group, count } => {
                for _ in 0..count {
                    let (offer, had) = self.groups.get_mut(&group).expect("the group exists");
                    let instance = Symbol::new(&format!("{group}-{had}"));
                    *had += 1;
                    let offer = offer.clone();
                    self.tell(Input::Cloud(CloudReport::Requested { group, instance }));
                    self.launch(instance, &[offer], false);
                }
            }
            CloudRequest::Launch { instance, offers } => self.launch(instance, &offers, true),
            CloudRequest::Terminate { instance } => {
                self.push(self.now + MACHINE_END, Event::MachineEnd(instance));
            }
        }
    }

    fn launch(&mut self, instance: Symbol, offers: &[Offer], reported: bool) {
        let found = offers.iter().position(|offer| !self.stock_out.contains(&offer.pool));
        let Some(index) = found else {
            let error = CloudError::StockOut;
            return self.tell(Input::Cloud(CloudReport::Failed { instance, error }));
        };
        self.machines.insert(instance, offers[index].micro_usd_per_hour);
        if reported {
            let offer = index as u32;
            self.tell(Input::Cloud(CloudReport::Launched { instance, offer }));
        }
        if !self.duds {
            self.push(self.now + BOOT, Event::Boot(instance, offers[index].clone()));
        }
    }

    fn machine_end(&mut self, name: Symbol) {
        let on = |pod: &&Arc<Pod>| pod.node == Some(name) && !pod.meta.is_deleting();
        if let Some(pod) = self.pods.values().find(on) {
            self.violations.push(format!("{name} was given back with {}", pod.meta.name));
        }
        self.machines.remove(&name);
        self.node_gone(name);
        self.tell(Input::Cloud(CloudReport::Terminated { instance: name }));
    }

    fn node_gone(&mut self, name: Symbol) {
        if let Some(node) = self.nodes.remove(&name) {
            self.scheduler.remove_node(name);
            self.watch(Change::Deleted, Object::Node(node));
        }
    }

    fn pod_gone(&mut self, id: u32) {
        let Some(pod) = self.pods.remove(&id) else { return };
        if let Some(node) = pod.node {
            self.scheduler.remove_pod(&pod, node);
        }
        self.watch(Change::Deleted, Object::Pod(pod));
        self.budget_changed();
        self.schedule();
    }

    /// Handles the next event up to `limit`; false if there is none.
    fn step(&mut self, limit: SimTime) -> bool {
        let Some((&(at, sequence), _)) = self.queue.first_key_value() else { return false };
        if at > limit {
            return false;
        }
        self.now = at;
        match self.queue.remove(&(at, sequence)) {
            Some(Event::Timer(timer)) => {
                self.timers_fired += 1;
                self.tell(Input::Timer(timer));
            }
            Some(Event::Boot(name, offer)) if self.machines.contains_key(&name) => self.join(name, &offer),
            Some(Event::MachineEnd(name)) => self.machine_end(name),
            Some(Event::PodEnd(id)) => self.pod_gone(id),
            Some(Event::Reply(token, reply)) => self.tell(Input::Reply { token, reply: &reply }),
            Some(Event::Boot(..)) | None => {}
        }
        true
    }

    /// Plays so long.
    pub(crate) fn run(&mut self, span: Span) {
        let limit = self.now + span;
        while self.step(limit) {}
        self.now = limit;
    }

    /// Whether nothing is planned at all.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.queue.is_empty()
    }

    /// How often something was said.
    pub(crate) fn count(&self, reason: &str) -> usize {
        self.said.iter().filter(|said| said.reason == reason).count()
    }

    /// When something was said first.
    pub(crate) fn first(&self, reason: &str) -> Option<SimTime> {
        self.said.iter().find(|said| said.reason == reason).map(|said| said.at)
    }

    /// How many pods wait.
    pub(crate) fn waiting(&self) -> usize {
        self.pods.values().filter(|pod| pod.node.is_none() && !pod.meta.is_deleting()).count()
    }
}

fn owner_uid() -> Uid {
    Uid::from_bits(7, 7)
}

/// Sets the Ready condition of a node.
pub(crate) fn set_ready(node: &mut Node, status: ConditionStatus, now: SimTime) {
    let condition = NodeCondition { status, since: now, ..NodeCondition::default() };
    node.conditions.put(NodeConditionType::Ready, condition);
}

fn apply(node: &mut Node, patch: &Patch) {
    match patch {
        Patch::All(patches) => patches.iter().for_each(|patch| apply(node, patch)),
        Patch::Unschedulability(value) => node.unschedulable = *value,
        Patch::TaintChanges { add, remove } => {
            let mut taints = node.taints().to_vec();
            let same = |a: &seatrial_api::scheduling::Taint, b: &seatrial_api::scheduling::Taint| {
                a.key == b.key && a.effect == b.effect
            };
            taints.retain(|taint| !add.iter().chain(remove).any(|other| same(taint, other)));
            taints.extend(add.iter().cloned());
            node.taints = (!taints.is_empty()).then(|| taints.into());
        }
        other => panic!("an autoscaler patches {other:?}"),
    }
}

fn pod_spec(millicores: i64, gib: i64) -> Arc<PodSpec> {
    let requests = ResourceList {
        cpu: Some(MilliCpu(millicores)),
        memory: Some(Bytes(gib << 30)),
        ..ResourceList::default()
    };
    let container = Container { requests, ..Container::new("main", "image") };
    Arc::new(PodSpec::new(vec![container]).sealed())
}

/// A kind of machine with so much CPU and memory, at a price per hour in cents.
pub(crate) fn offer(pool: &str, cores: i64, gib: i64, cents: u64) -> Offer {
    let amounts = Resources::of(MilliCpu(cores * 1_000), Bytes(gib << 30));
    let resources = Arc::new(NodeResources { amounts, pods: 110 });
    let template = Node {
        meta: ObjectMeta::named("", pool),
        name: Symbol::new(pool),
        capacity: resources.clone(),
        allocatable: resources,
        ..Node::default()
    };
    Offer {
        template: Arc::new(template),
        pool: Symbol::new(pool),
        instance_type: Symbol::new(&format!("{cores}x{gib}")),
        zone: Symbol::empty(),
        capacity_type: Default::default(),
        micro_usd_per_hour: cents * 10_000,
    }
}
