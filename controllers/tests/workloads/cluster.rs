//! A small cluster to play controllers in: the API server's store, the controller manager, and a
//! scheduler and kubelets that only do what controllers can see, all with random delays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use seatrial_api::config::Namespace;
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::machine::{Decision, Effects, Heartbeat, Input, Machine, Token};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{Node, NodeConditionType};
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::{
    ConditionStatus, ContainerState, ContainerStatus, Pod, PodConditionType, PodConditions, PodPhase,
    PodReason, PodSpec, PodStatus, PodTemplate,
};
use seatrial_api::request::{Change, DeleteOptions, Patch, Reply, Request, WatchEvent};
use seatrial_api::store::ApiServer;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_controllers::{ClientLimits, Config, ControllerManager, ControllerTimer};

/// The namespace of the tests.
pub const NAMESPACE: &str = "play";

/// What a pod does after it was bound.
#[derive(Clone, Copy, Debug)]
pub struct Behavior {
    /// From binding to running.
    pub start: Span,
    /// From running to ready; `None` for never.
    pub ready_after: Option<Span>,
    /// From running to the end with this exit code; `None` for never.
    pub exit: Option<(Span, i32)>,
    /// From the deletion's beginning to the end.
    pub stop: Span,
}

impl Default for Behavior {
    fn default() -> Behavior {
        Behavior {
            start: Span::from_millis(500),
            ready_after: Some(Span::ZERO),
            exit: None,
            stop: Span::from_secs(1),
        }
    }
}

/// The delays of requests, answers and watch events.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// A request until the server has handled it, and half of it until the answer is back.
    pub request: Span,
    /// A change until the watch shows it.
    pub watch: Span,
    /// Whether each delay is drawn from zero to three times the mean.
    pub random: bool,
}

#[derive(Clone, Debug)]
enum What {
    Request(Option<Token>, Request),
    Reply(Token, Reply),
    Watch(WatchEvent),
    Timer(ControllerTimer),
    /// From now on the node renews its lease.
    Heartbeat(u32),
    Bind(u32),
    Run(u32),
    Ready(u32),
    Exit(u32, i32),
    Stop(u32),
}

struct Entry {
    at: SimTime,
    sequence: u64,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.sequence == other.sequence
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
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

type BehaviorOf = Box<dyn Fn(&Pod) -> Behavior>;

/// The cluster.
pub struct Cluster {
    pub now: SimTime,
    pub server: ApiServer,
    pub manager: ControllerManager,
    pub decisions: Vec<(SimTime, Decision)>,
    /// Every change of every object, in order.
    pub history: Vec<(SimTime, WatchEvent)>,
    /// How many requests of the controllers were refused.
    pub refusals: Vec<String>,
    behavior: BehaviorOf,
    delays: Delays,
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    stream: Stream,
    shown_until: BTreeMap<Kind, SimTime>,
    next_node: usize,
}

impl Cluster {
    /// A cluster with so many nodes.
    pub fn new(nodes: usize) -> Cluster {
        Cluster::with(
            nodes,
            1,
            Delays { request: Span::from_millis(5), watch: Span::from_millis(2), random: false },
        )
    }

    /// A cluster whose delays are drawn.
    pub fn random(nodes: usize, seed: u64) -> Cluster {
        Cluster::with(
            nodes,
            seed,
            Delays { request: Span::from_millis(6), watch: Span::from_millis(8), random: true },
        )
    }

    fn with(nodes: usize, seed: u64, delays: Delays) -> Cluster {
        let config = Config { client_limits: ClientLimits::Unlimited, ..Config::default() };
        let mut cluster = Cluster {
            now: SimTime::ZERO,
            server: ApiServer::new(KubernetesVersion::V1_36, seed),
            manager: ControllerManager::new(config),
            decisions: Vec::new(),
            history: Vec::new(),
            refusals: Vec::new(),
            behavior: Box::new(|_| Behavior::default()),
            delays,
            heap: BinaryHeap::new(),
            sequence: 0,
            stream: Stream::new(seed, 1, 2),
            shown_until: BTreeMap::new(),
            next_node: 0,
        };
        let meta = ObjectMeta { name: NAMESPACE.into(), ..ObjectMeta::default() };
        cluster.create(Namespace { meta, ..Namespace::default() });
        for index in 0..nodes {
            cluster.create(node(&format!("node-{index}")));
        }
        cluster.renew_leases();
        cluster.input(Input::Timer(ControllerTimer::Started));
        cluster
    }

    /// Sets what pods do.
    pub fn behave(&mut self, behavior: impl Fn(&Pod) -> Behavior + 'static) {
        self.behavior = Box::new(behavior);
    }

    /// Restarts the controller manager: a new one is given the lists and nothing else.
    pub fn restart_manager(&mut self) {
        let config = Config { client_limits: ClientLimits::Unlimited, ..Config::default() };
        self.manager = ControllerManager::new(config);
        self.heap.retain(|Reverse(entry)| {
            !matches!(entry.what, What::Watch(_) | What::Timer(_) | What::Reply(..))
        });
        for &kind in Kind::ALL {
            let objects: Vec<Object> = self.server.list(kind).cloned().collect();
            for object in objects {
                let (event, node) = (WatchEvent { change: Change::Added, object }, kind == Kind::Node);
                self.input(Input::Watch(&event));
                if node {
                    let node = event.object.meta().id;
                    self.input(Input::Heartbeat { node, heartbeat: Heartbeat::Regular });
                }
            }
        }
        self.renew_leases();
        self.input(Input::Timer(ControllerTimer::Started));
    }

    /// All nodes renew their leases from now on.
    fn renew_leases(&mut self) {
        let nodes: Vec<u32> = self.server.list_typed::<Node>().map(|node| node.meta.id).collect();
        for node in nodes {
            self.input(Input::Heartbeat { node, heartbeat: Heartbeat::Regular });
        }
    }

    /// Creates an object at once and returns its row.
    pub fn create<T: Typed>(&mut self, object: T) -> u32 {
        let reply = self.request(Request::Create(T::wrap(Arc::new(object))));
        reply.expect("the test's object is accepted").meta().id
    }

    /// Does a request at once, as a user.
    pub fn request(&mut self, request: Request) -> Reply {
        let mut events = Vec::new();
        let reply = self.server.handle(self.now, request, &mut events);
        self.publish(events);
        reply
    }

    /// Patches an object as a user.
    pub fn patch(&mut self, kind: Kind, id: u32, patch: Patch) {
        let target = ObjectRef { kind, id };
        self.request(Request::Patch { target, patch }).expect("the test's patch is accepted");
    }

    /// Changes an object as a user.
    pub fn update<T: Typed>(&mut self, id: u32, change: impl FnOnce(&mut T)) {
        let mut object = T::clone(self.get::<T>(id));
        change(&mut object);
        let object = T::wrap(Arc::new(object));
        let subresource = seatrial_api::request::Subresource::Main;
        self.request(Request::Update { object, subresource }).expect("the test's update is accepted");
    }

    /// The stored object in a row.
    pub fn get<T: Typed>(&self, id: u32) -> &Arc<T> {
        self.server.typed::<T>(id).expect("the object exists")
    }

    /// The stored object of a name in the tests' namespace.
    pub fn named<T: Typed>(&self, name: &str) -> Option<&Arc<T>> {
        self.server.find(T::KIND, Symbol::new(NAMESPACE), name).and_then(T::of)
    }

    /// All objects of a type.
    pub fn all<T: Typed>(&self) -> Vec<Arc<T>> {
        self.server.list_typed::<T>().cloned().collect()
    }

    /// The pods that have neither ended nor are going away.
    pub fn active_pods(&self) -> Vec<Arc<Pod>> {
        self.server.list_typed::<Pod>().filter(|pod| pod.is_active()).cloned().collect()
    }

    /// Plays so many seconds.
    pub fn run(&mut self, seconds: i64) {
        self.run_for(Span::from_secs(seconds));
    }

    /// Plays for a while.
    pub fn run_for(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(Reverse(entry)) = self.heap.peek() {
            if entry.at > end {
                break;
            }
            let Some(Reverse(entry)) = self.heap.pop() else { break };
            self.now = entry.at;
            self.play(entry.what);
        }
        self.now = end;
    }

    /// Plays until nothing is left to do or the limit is reached; returns whether it came to rest.
    pub fn settle(&mut self, limit_seconds: i64) -> bool {
        let end = self.now + Span::from_secs(limit_seconds);
        while let Some(Reverse(entry)) = self.heap.pop() {
            if entry.at > end {
                self.heap.push(Reverse(entry));
                return false;
            }
            self.now = entry.at;
            self.play(entry.what);
        }
        true
    }

    fn play(&mut self, what: What) {
        match what {
            What::Request(token, request) => {
                let mut events = Vec::new();
                let reply = self.server.handle(self.now, request, &mut events);
                self.publish(events);
                if let Some(token) = token {
                    if let Err(error) = &reply {
                        self.refusals.push(error.message.clone());
                    }
                    let delay = self.delay(self.delays.request.divided_by(2));
                    self.push(delay, What::Reply(token, reply));
                }
            }
            What::Reply(token, reply) => self.input(Input::Reply { token, reply: &reply }),
            What::Watch(event) => self.input(Input::Watch(&event)),
            What::Timer(timer) => self.input(Input::Timer(timer)),
            What::Heartbeat(node) => self.input(Input::Heartbeat { node, heartbeat: Heartbeat::Regular }),
            What::Bind(pod) => {
                let nodes: Vec<Symbol> = self.server.list_typed::<Node>().map(|node| node.name).collect();
                let target = self.server.typed::<Pod>(pod).and_then(|pod| pod.target_node);
                if nodes.is_empty() {
                    return;
                }
                let node = target.unwrap_or(nodes[self.next_node % nodes.len()]);
                self.next_node += 1;
                let _ = self.request(Request::Bind { pod, node });
            }
            What::Run(pod) => self.start_pod(pod),
            What::Ready(pod) => self.set_ready(pod, true),
            What::Exit(pod, code) => self.end_pod(pod, code),
            What::Stop(pod) => {
                self.end_pod(pod, 0);
                let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
                let target = ObjectRef { kind: Kind::Pod, id: pod };
                let _ = self.request(Request::Delete { target, options });
            }
        }
    }

    fn input(&mut self, input: Input<'_, ControllerTimer>) {
        let mut effects = Effects::new(true);
        self.manager.handle(self.now, input, &mut effects);
        for outgoing in effects.requests {
            let delay = (outgoing.send_at - self.now) + self.delay(self.delays.request.divided_by(2));
            self.push(delay, What::Request(Some(outgoing.token), outgoing.request));
        }
        for (at, timer) in effects.timers {
            self.push(at - self.now, What::Timer(timer));
        }
        self.decisions.extend(effects.decisions.into_iter().map(|decision| (self.now, decision)));
    }

    fn delay(&mut self, mean: Span) -> Span {
        if self.delays.random { mean.times(self.stream.below(31) as i64).divided_by(10) } else { mean }
    }

    fn push(&mut self, delay: Span, what: What) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry { at: self.now + delay, sequence: self.sequence, what }));
    }

    /// Shows changes to the controllers (late, each kind in order), the scheduler and the kubelets.
    fn publish(&mut self, events: Vec<WatchEvent>) {
        for event in events {
            self.history.push((self.now, event.clone()));
            let kind = event.object.kind();
            let shown = self.now + self.delay(self.delays.watch);
            let shown = shown.max(self.shown_until.get(&kind).copied().unwrap_or(SimTime::ZERO));
            self.shown_until.insert(kind, shown);
            if let Object::Pod(pod) = &event.object {
                self.react(event.change, pod);
            }
            let is_new_node = kind == Kind::Node && event.change == Change::Added;
            let row = event.object.meta().id;
            self.push(shown - self.now, What::Watch(event));
            if is_new_node {
                self.push(shown - self.now, What::Heartbeat(row));
            }
        }
    }

    fn react(&mut self, change: Change, pod: &Pod) {
        let id = pod.meta.id;
        let behavior = (self.behavior)(pod);
        if change == Change::Deleted {
            return;
        }
        if pod.meta.is_deleting() {
            if pod.node.is_some() && pod.meta.deletion().is_some_and(|deletion| deletion.grace_seconds > 0) {
                self.push(behavior.stop, What::Stop(id));
            }
        } else if pod.node.is_none() && change == Change::Added {
            let delay = self.delay(Span::from_millis(20));
            self.push(delay, What::Bind(id));
        } else if pod.node.is_some()
            && pod.status.phase == PodPhase::Pending
            && pod.status.start_time.is_none()
        {
            self.push(behavior.start, What::Run(id));
        }
    }

    fn start_pod(&mut self, id: u32) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        if pod.meta.is_deleting() || pod.status.phase != PodPhase::Pending {
            return;
        }
        let behavior = (self.behavior)(&pod);
        let ready = behavior.ready_after == Some(Span::ZERO);
        self.write_status(&pod, PodPhase::Running, ready, None);
        if let Some(after) = behavior.ready_after.filter(|&after| after > Span::ZERO) {
            self.push(after, What::Ready(id));
        }
        if let Some((after, code)) = behavior.exit {
            self.push(after, What::Exit(id, code));
        }
    }

    /// Reports a running pod as ready or not.
    pub fn set_ready(&mut self, id: u32, ready: bool) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        if pod.status.phase == PodPhase::Running {
            self.write_status(&pod, PodPhase::Running, ready, None);
        }
    }

    /// Reports the end of a pod.
    pub fn end_pod(&mut self, id: u32, code: i32) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        if pod.status.phase.is_terminal() {
            return;
        }
        let phase = if code == 0 { PodPhase::Succeeded } else { PodPhase::Failed };
        self.write_status(&pod, phase, false, Some(code));
    }

    fn write_status(&mut self, pod: &Pod, phase: PodPhase, ready: bool, exit: Option<i32>) {
        let started = pod.status.start_time.unwrap_or(self.now);
        let state = match exit {
            None => ContainerState::Running { started },
            Some(exit_code) => {
                let reason = if exit_code == 0 { "Completed" } else { "Error" };
                ContainerState::Terminated { started, finished: self.now, exit_code, reason: reason.into() }
            }
        };
        let status = |container: &Container| ContainerStatus {
            name: container.name,
            state,
            last: None,
            restarts: 0,
            ready,
            started: true,
        };
        let mut conditions: PodConditions = pod.status.conditions;
        let truth = if ready { ConditionStatus::True } else { ConditionStatus::False };
        let reason = if ready { PodReason::None } else { PodReason::ContainersNotReady };
        conditions.set(PodConditionType::Ready, truth, reason, self.now);
        let status = PodStatus {
            conditions,
            containers: Some(pod.spec.all_containers().map(status).collect()),
            start_time: Some(started),
            ip: pod.meta.id + 1,
            phase,
            ..PodStatus::default()
        };
        let _ = self.request(Request::patch_pod(pod.meta.id, Patch::PodStatus(Box::new(status))));
    }

    /// Reasons and messages of the Events about objects of a kind, in order.
    pub fn events(&self, kind: Kind) -> Vec<String> {
        let about = self.decisions.iter().filter(|(_, decision)| decision.object.kind == kind);
        about.map(|(_, decision)| format!("{}: {}", decision.reason, decision.message)).collect()
    }

    /// The most and the fewest of something over the history since an instant, told by a count of
    /// the pods that exist after each change.
    pub fn pod_envelope(&self, since: SimTime, counts: impl Fn(&Pod) -> bool) -> (usize, usize) {
        let mut pods: BTreeMap<u32, Arc<Pod>> = BTreeMap::new();
        let (mut least, mut most) = (usize::MAX, 0);
        for (at, event) in &self.history {
            let Object::Pod(pod) = &event.object else { continue };
            match event.change {
                Change::Deleted => pods.remove(&pod.meta.id),
                _ => pods.insert(pod.meta.id, pod.clone()),
            };
            if *at >= since {
                let count = pods.values().filter(|pod| counts(pod)).count();
                least = least.min(count);
                most = most.max(count);
            }
        }
        (least, most)
    }
}

/// A ready node.
pub fn node(name: &str) -> Node {
    let mut node = Node {
        meta: ObjectMeta { name: name.into(), ..ObjectMeta::default() },
        name: name.into(),
        ..Node::default()
    };
    let (reason, message) = (Symbol::new("KubeletReady"), Symbol::new("kubelet is posting ready status"));
    node.conditions.set(NodeConditionType::Ready, ConditionStatus::True, reason, message, SimTime::ZERO);
    node
}

/// The labels of an app.
pub fn app(name: &str) -> Labels {
    Labels::of(&[("app", name)])
}

/// A template of one container for an app.
pub fn template(name: &str) -> Arc<PodTemplate> {
    let spec = PodSpec::new(vec![Container::new("main", "image:1")]).sealed();
    Arc::new(PodTemplate { labels: app(name), annotations: Labels::NONE, spec: Arc::new(spec) })
}

/// The selector of an app.
pub fn selector(name: &str) -> Arc<Selector> {
    Arc::new(Selector::of_labels(&app(name)))
}
