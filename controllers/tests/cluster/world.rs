//! A scripted world around the controller manager: the API server's store, leases that are renewed
//! or not, and kubelets that end the pods of living nodes. A request is carried out and
//! answered after 5 ms, its watch event follows 2 ms later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::config::Namespace;
use seatrial_api::container::Container;
use seatrial_api::labels::Labels;
use seatrial_api::machine::{Decision, Effects, Heartbeat, Input, Machine, MetricValue, PodMetrics, Token};
use seatrial_api::meta::{ObjectMeta, Uid};
use seatrial_api::node::{Node, NodeCondition, NodeConditionType};
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodReason, PodSpec};
use seatrial_api::request::{
    ApiError, Change, DeleteOptions, MetricQuery, MetricSubject, Patch, Reply, Request, Subresource,
    WatchEvent,
};
use seatrial_api::scheduling::{TaintEffect, Toleration, TolerationOperator};
use seatrial_api::store::ApiServer;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_controllers::{ClientLimits, Config, ControllerManager, ControllerTimer};

/// The namespace of the tests.
pub(crate) const NAMESPACE: &str = "play";
const REQUEST: Span = Span::from_millis(5);
const WATCH: Span = Span::from_millis(2);
const TERMINATION: Span = Span::from_millis(500);

enum What {
    Request(Token, Request),
    Reply(Token, Reply),
    Metrics(Token, Result<Vec<PodMetrics>, ApiError>),
    MetricValues(Token, Result<Vec<MetricValue>, ApiError>),
    Watch(WatchEvent),
    Timer(ControllerTimer),
    Run(u32),
    Stop(u32),
}

/// The world.
pub(crate) struct World {
    pub(crate) now: SimTime,
    pub(crate) server: ApiServer,
    pub(crate) decisions: Vec<(SimTime, Decision)>,
    /// Every change of every object, in order.
    pub(crate) history: Vec<(SimTime, WatchEvent)>,
    /// How many timers the controllers have been fired.
    pub(crate) timers_fired: usize,
    /// Since when which app (by the label `app`) has which load in millicores.
    loads: Vec<(SimTime, &'static str, i64)>,
    /// Values of the custom and external metrics APIs by metric, in thousandths; for a metric of pods
    /// that of each pod. `None` without an adapter.
    pub(crate) adapter: Option<Vec<(&'static str, Vec<i64>)>>,
    /// The node on which new pods run, a second after they were made.
    pub(crate) run_on: Option<&'static str>,
    manager: ControllerManager,
    pending: BTreeMap<(SimTime, u64), What>,
    sequence: u64,
    silent: BTreeSet<Symbol>,
    /// Draws delays, if they are random.
    delays: Option<Stream>,
    /// Until when the changes of each kind are shown, so that they stay in order.
    shown_until: BTreeMap<Kind, SimTime>,
}

impl World {
    /// A world whose controllers start at zero.
    pub(crate) fn new() -> World {
        let mut world = World::unstarted();
        world.start();
        world
    }

    /// A world whose controllers wait for [`World::start`].
    pub(crate) fn unstarted() -> World {
        World::with(Config { client_limits: ClientLimits::Unlimited, ..Config::default() })
    }

    /// A world with requests that take up to 20 ms and watch events that take up to 50 ms.
    pub(crate) fn random(seed: u64) -> World {
        let mut world = World::unstarted();
        world.delays = Some(Stream::new(seed, 0, 0));
        world.start();
        world
    }

    /// A world into which a dump was read that left these owners out.
    pub(crate) fn assuming(owners: &[Uid]) -> World {
        let assumed_owners = Arc::new(owners.iter().copied().collect());
        let client_limits = ClientLimits::Unlimited;
        let mut world = World::with(Config { client_limits, assumed_owners, ..Config::default() });
        world.start();
        world
    }

    /// A world whose controllers have this configuration.
    pub(crate) fn with(config: Config) -> World {
        let mut world = World {
            now: SimTime::ZERO,
            server: ApiServer::new(KubernetesVersion::V1_36, 1),
            decisions: Vec::new(),
            history: Vec::new(),
            timers_fired: 0,
            loads: Vec::new(),
            adapter: None,
            run_on: None,
            manager: ControllerManager::new(config),
            pending: BTreeMap::new(),
            sequence: 0,
            silent: BTreeSet::new(),
            delays: None,
            shown_until: BTreeMap::new(),
        };
        let meta = ObjectMeta { name: NAMESPACE.into(), ..ObjectMeta::default() };
        world.create(Namespace { meta, ..Namespace::default() });
        world
    }

    /// The caches are complete.
    pub(crate) fn start(&mut self) {
        self.input(Input::Timer(ControllerTimer::Started));
    }

    /// A new controller manager takes over: it is given the lists and the leases as they are.
    pub(crate) fn restart_manager(&mut self) {
        let config = Config { client_limits: ClientLimits::Unlimited, ..Config::default() };
        self.manager = ControllerManager::new(config);
        self.pending.retain(|_, what| matches!(what, What::Stop(_) | What::Request(..)));
        for &kind in Kind::ALL {
            let objects: Vec<Object> = self.server.list(kind).cloned().collect();
            for object in objects {
                self.input(Input::Watch(&WatchEvent { change: Change::Added, object }));
            }
        }
        for node in self.all::<Node>() {
            let silent = self.silent.contains(&node.name);
            let heartbeat =
                if silent { Heartbeat::Ceased { last: SimTime::ZERO } } else { Heartbeat::Regular };
            self.input(Input::Heartbeat { node: node.meta.id, heartbeat });
        }
        self.start();
    }

    /// Creates an object as a user.
    pub(crate) fn create<T: Typed>(&mut self, object: T) -> u32 {
        let reply = self.request(Request::Create(T::wrap(Arc::new(object))));
        reply.expect("the test's object is accepted").meta().id
    }

    /// Puts an object into the store as it is.
    pub(crate) fn import<T: Typed>(&mut self, object: T) -> u32 {
        let mut events = Vec::new();
        let reply = self.server.import(T::wrap(Arc::new(object)), &mut events);
        self.publish(events);
        reply.expect("the test's object is accepted").meta().id
    }

    /// A ready node whose lease is renewed.
    pub(crate) fn node(&mut self, name: &str, zone: &str) -> u32 {
        let mut node = Node { name: Symbol::new(name), ..Node::default() };
        node.meta.name = name.into();
        node.meta.created = self.now;
        node.meta.labels = Labels::of(&[("topology.kubernetes.io/zone", zone)]);
        for (kind, status) in conditions_of_a_living_node() {
            node.conditions.set(kind, status, Symbol::empty(), Symbol::empty(), self.now);
        }
        let row = self.import(node);
        self.input(Input::Heartbeat { node: row, heartbeat: Heartbeat::Regular });
        row
    }

    /// A running and ready pod on a node.
    pub(crate) fn pod(
        &mut self,
        name: &str,
        node: &str,
        labels: &[(&str, &str)],
        tolerations: &[Toleration],
    ) -> u32 {
        let mut spec = PodSpec::new(vec![Container::new("c", "app:1")]);
        spec.tolerations = tolerations.into();
        let mut pod = Pod::new(ObjectMeta::named(NAMESPACE, name), Arc::new(spec.sealed()));
        pod.meta.labels = Labels::of(labels);
        pod.meta.created = self.now;
        pod.node = Some(Symbol::new(node));
        pod.status.phase = PodPhase::Running;
        pod.status.start_time = Some(self.now);
        pod.status.ip = 1000 + self.sequence as u32;
        pod.status.conditions.set(PodConditionType::Ready, ConditionStatus::True, PodReason::None, self.now);
        self.import(pod)
    }

    /// Does a request at once, as a user.
    pub(crate) fn request(&mut self, request: Request) -> Reply {
        let mut events = Vec::new();
        let reply = self.server.handle(self.now, request, &mut events);
        self.publish(events);
        reply
    }

    /// Patches an object as a user.
    pub(crate) fn patch(&mut self, kind: Kind, id: u32, patch: Patch) {
        let target = ObjectRef { kind, id };
        self.request(Request::Patch { target, patch }).expect("the test's patch is accepted");
    }

    /// Writes an object as a user.
    pub(crate) fn update<T: Typed>(&mut self, object: T) {
        let object = T::wrap(Arc::new(object));
        let request = Request::Update { object, subresource: Subresource::Main };
        self.request(request).expect("the test's update is accepted");
    }

    /// Deletes an object as a user.
    pub(crate) fn delete(&mut self, kind: Kind, id: u32, options: DeleteOptions) {
        let target = ObjectRef { kind, id };
        self.request(Request::Delete { target, options }).expect("the test's deletion is accepted");
    }

    /// The lease of a node is renewed once more and then no longer; its kubelet does nothing more.
    pub(crate) fn silence(&mut self, name: &str) {
        self.silent.insert(Symbol::new(name));
        let row = self.node_row(name);
        let heartbeat = Heartbeat::Ceased { last: self.now };
        self.input(Input::Heartbeat { node: row, heartbeat });
    }

    /// A node comes back: lease, conditions, and its pods are ready or end.
    pub(crate) fn revive(&mut self, name: &str) {
        let symbol = Symbol::new(name);
        self.silent.remove(&symbol);
        let row = self.node_row(name);
        self.input(Input::Heartbeat { node: row, heartbeat: Heartbeat::Regular });
        for (kind, status) in conditions_of_a_living_node() {
            self.set_condition(name, kind, status);
        }
        for pod in self.all::<Pod>().into_iter().filter(|pod| pod.node == Some(symbol)) {
            if pod.meta.is_deleting() {
                self.push(TERMINATION, What::Stop(pod.meta.id));
            } else if pod.is_active() {
                self.set_ready(pod.meta.id, true);
            }
        }
    }

    /// Reports a condition of a node.
    pub(crate) fn set_condition(&mut self, name: &str, kind: NodeConditionType, status: ConditionStatus) {
        let row = self.node_row(name);
        let mut conditions = self.get::<Node>(row).conditions;
        let since = self.now.truncate_to_second();
        conditions.put(kind, NodeCondition { status, since, ..conditions.get(kind) });
        self.patch(Kind::Node, row, Patch::NodeConditions(Box::new(conditions)));
    }

    /// Reports a pod as ready or not.
    pub(crate) fn set_ready(&mut self, pod: u32, ready: bool) {
        let status = if ready { ConditionStatus::True } else { ConditionStatus::False };
        let (kind, reason) = (PodConditionType::Ready, PodReason::None);
        self.patch(Kind::Pod, pod, Patch::PodCondition { kind, status, reason, message: None });
    }

    /// The ready pods of an app share this load from now on, as samples show every 5 s.
    pub(crate) fn set_load(&mut self, app: &'static str, millicores: i64) {
        self.loads.push((self.now, app, millicores));
    }

    /// The stored object in a row.
    pub(crate) fn get<T: Typed>(&self, id: u32) -> &Arc<T> {
        self.server.typed::<T>(id).expect("the object exists")
    }

    /// Whether there is an object in a row.
    pub(crate) fn exists(&self, kind: Kind, id: u32) -> bool {
        self.server.get(ObjectRef { kind, id }).is_some()
    }

    /// All objects of a type.
    pub(crate) fn all<T: Typed>(&self) -> Vec<Arc<T>> {
        self.server.list_typed::<T>().cloned().collect()
    }

    pub(crate) fn node_row(&self, name: &str) -> u32 {
        self.server.find(Kind::Node, Symbol::empty(), name).expect("the node exists").meta().id
    }

    /// The keys of a node's taints with this effect, sorted.
    pub(crate) fn taints(&self, name: &str, effect: TaintEffect) -> Vec<String> {
        let node = self.get::<Node>(self.node_row(name));
        let of_effect = node.taints().iter().filter(|taint| taint.effect == effect);
        let mut keys: Vec<_> = of_effect.map(|taint| taint.key.to_string()).collect();
        keys.sort();
        keys
    }

    /// Plays up to this second.
    pub(crate) fn run_to(&mut self, seconds: i64) {
        self.run_until(SimTime::from_secs(seconds));
    }

    /// Plays up to this instant.
    pub(crate) fn run_until(&mut self, end: SimTime) {
        while let Some((&(at, _), _)) = self.pending.first_key_value() {
            if at > end {
                break;
            }
            let Some(((at, _), what)) = self.pending.pop_first() else { break };
            self.now = at;
            self.play(what);
        }
        self.now = end;
    }

    /// The Events with a reason: the second and the message of each.
    pub(crate) fn events(&self, reason: &str) -> Vec<(i64, String)> {
        let found = self.decisions.iter().filter(|row| row.1.reason == reason);
        found.map(|row| (row.0.nanos() / 1_000_000_000, row.1.message.to_string())).collect()
    }

    /// When a change of an object first fulfilled a condition, in seconds.
    pub(crate) fn first_change(
        &self,
        kind: Kind,
        id: u32,
        holds: impl Fn(&WatchEvent) -> bool,
    ) -> Option<f64> {
        let object = ObjectRef { kind, id };
        let mut found =
            self.history.iter().filter(|row| row.1.object.object_ref() == object && holds(&row.1));
        found.next().map(|row| row.0.as_secs_f64())
    }

    /// When a node first had a taint, in seconds.
    pub(crate) fn first_tainted(&self, name: &str, effect: TaintEffect) -> Option<f64> {
        self.first_change(Kind::Node, self.node_row(name), |event| match &event.object {
            Object::Node(node) => node.taints().iter().any(|taint| taint.effect == effect),
            _ => false,
        })
    }

    /// When a pod began to terminate, in seconds.
    pub(crate) fn first_deleting(&self, pod: u32) -> Option<f64> {
        self.first_change(Kind::Pod, pod, |event| event.object.meta().is_deleting())
    }

    fn play(&mut self, what: What) {
        match what {
            What::Request(token, Request::PodMetrics { namespace, selector }) => {
                let samples = self.measure(namespace, &selector);
                self.push(Span::ZERO, What::Metrics(token, samples));
            }
            What::Request(token, Request::Metric(query)) if self.adapter.is_some() => {
                let values = self.adapt(&query);
                self.push(Span::ZERO, What::MetricValues(token, values));
            }
            What::MetricValues(token, values) => self.input(Input::MetricValues { token, values: &values }),
            What::Request(token, request) => {
                let reply = self.request(request);
                self.push(Span::ZERO, What::Reply(token, reply));
            }
            What::Reply(token, reply) => self.input(Input::Reply { token, reply: &reply }),
            What::Metrics(token, samples) => self.input(Input::Metrics { token, samples: &samples }),
            What::Watch(event) => self.input(Input::Watch(&event)),
            What::Timer(timer) => {
                self.timers_fired += 1;
                self.input(Input::Timer(timer));
            }
            What::Run(pod) => self.run_pod(pod),
            What::Stop(pod) => self.end(pod),
        }
    }

    fn run_pod(&mut self, pod: u32) {
        let (Some(node), true) = (self.run_on, self.exists(Kind::Pod, pod)) else { return };
        if self.request(Request::Bind { pod, node: Symbol::new(node) }).is_ok() {
            let mut status = self.get::<Pod>(pod).status.clone();
            status.phase = PodPhase::Running;
            status.start_time = Some(self.now);
            status.ip = 1000 + pod;
            status.conditions.set(PodConditionType::Ready, ConditionStatus::True, PodReason::None, self.now);
            self.patch(Kind::Pod, pod, Patch::PodStatus(Box::new(status)));
        }
    }

    fn end(&mut self, pod: u32) {
        let Some(stored) = self.server.typed::<Pod>(pod) else { return };
        if stored.node.is_some_and(|node| self.silent.contains(&node)) {
            return;
        }
        let phase =
            Patch::PodPhase { phase: PodPhase::Succeeded, reason: Symbol::empty(), message: "".into() };
        self.patch(Kind::Pod, pod, phase);
        if self.exists(Kind::Pod, pod) {
            let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
            self.delete(Kind::Pod, pod, options);
        }
    }

    fn measure(
        &self,
        namespace: Symbol,
        selector: &seatrial_api::labels::Selector,
    ) -> Result<Vec<PodMetrics>, ApiError> {
        let window = Span::from_secs(10);
        let phase = Span::from_millis(500);
        let refreshed = SimTime::from_secs((self.now - phase).nanos() / 5_000_000_000 * 5) + phase;
        let pods = self.server.list_typed::<Pod>();
        let pods = pods.filter(|pod| pod.meta.namespace == namespace && selector.matches(&pod.meta.labels));
        let pods: Vec<&Arc<Pod>> = pods.filter(|pod| pod.is_ready() && pod.is_active()).collect();
        let count = pods.len() as i64;
        let sample = |pod: &&Arc<Pod>| {
            let app = pod.meta.labels.get(Symbol::new("app"))?;
            let mut loads = self.loads.iter().rev();
            let load = loads.find(|load| load.0 <= refreshed && app == load.1)?.2;
            let cpu = MilliCpu(load / count);
            let (memory, sampled_at, containers) = (Bytes(1 << 20), refreshed, None);
            Some(PodMetrics { pod: pod.meta.id, cpu, memory, sampled_at, window, containers })
        };
        Ok(pods.iter().filter_map(sample).collect())
    }

    fn adapt(&self, query: &MetricQuery) -> Result<Vec<MetricValue>, ApiError> {
        let adapter = self.adapter.iter().flatten();
        let mut known = adapter.filter(|metric| query.name == metric.0);
        let Some((_, values)) = known.next() else { return Err(query.unknown()) };
        let value = |pod, value| {
            let (sampled_at, window) = (self.now, Span::from_secs(60));
            MetricValue { pod, value, sampled_at, window }
        };
        let MetricSubject::Pods(selector) = &query.subject else {
            return Ok(values.iter().map(|&amount| value(u32::MAX, amount)).collect());
        };
        let pods = self.server.list_typed::<Pod>().filter(|pod| selector.matches(&pod.meta.labels));
        let pods = pods.filter(|pod| pod.status.phase == PodPhase::Running);
        Ok(pods.map(|pod| value(pod.meta.id, values[0])).collect())
    }

    fn input(&mut self, input: Input<'_, ControllerTimer>) {
        let mut effects = Effects::new(true);
        self.manager.handle(self.now, input, &mut effects);
        for outgoing in effects.requests {
            let delay = (outgoing.send_at - self.now) + self.delay(REQUEST, 20);
            self.push(delay, What::Request(outgoing.token, outgoing.request));
        }
        for (at, timer) in effects.timers {
            assert!(at >= self.now, "a timer in the past: {timer:?}");
            self.push(at - self.now, What::Timer(timer));
        }
        self.decisions.extend(effects.decisions.into_iter().map(|decision| (self.now, decision)));
    }

    fn delay(&mut self, constant: Span, most_millis: u64) -> Span {
        match &mut self.delays {
            Some(stream) => Span::from_millis(stream.below(most_millis + 1) as i64),
            None => constant,
        }
    }

    fn push(&mut self, delay: Span, what: What) {
        self.sequence += 1;
        self.pending.insert((self.now + delay, self.sequence), what);
    }

    fn publish(&mut self, events: Vec<WatchEvent>) {
        for event in events {
            self.history.push((self.now, event.clone()));
            if let (Object::Pod(pod), Change::Added, Some(_)) = (&event.object, event.change, self.run_on) {
                self.push(Span::from_secs(1), What::Run(pod.meta.id));
            }
            if let Object::Pod(pod) = &event.object
                && event.change == Change::Modified
                && pod.meta.deletion().is_some_and(|deletion| deletion.grace_seconds > 0)
            {
                self.push(TERMINATION, What::Stop(pod.meta.id));
            }
            let kind = event.object.kind();
            let shown = self.now + self.delay(WATCH, 50);
            let shown = shown.max(self.shown_until.get(&kind).copied().unwrap_or_default());
            self.shown_until.insert(kind, shown);
            self.push(shown - self.now, What::Watch(event));
        }
    }
}

fn conditions_of_a_living_node() -> [(NodeConditionType, ConditionStatus); 4] {
    [
        (NodeConditionType::MemoryPressure, ConditionStatus::False),
        (NodeConditionType::DiskPressure, ConditionStatus::False),
        (NodeConditionType::PidPressure, ConditionStatus::False),
        (NodeConditionType::Ready, ConditionStatus::True),
    ]
}

/// Tolerations of both NoExecute taints for so many seconds; `None` for ever.
pub(crate) fn tolerating(seconds: Option<i64>) -> Vec<Toleration> {
    ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
        .map(|key| Toleration {
            key: key.into(),
            operator: TolerationOperator::Exists,
            value: Symbol::empty(),
            effect: Some(TaintEffect::NoExecute),
            seconds,
        })
        .into()
}
