//! Plays a scenario: the store, the controllers, the scheduler, the scripted kubelet, and people
//! who do what the recording says they did.
//!
//! A request takes five milliseconds, a watch event two, and no client is throttled.

mod answers;
mod kubectl;
mod kubelet;
mod metrics;
mod nodes;
mod objects;
mod people;
mod provisioner;
mod queue;
mod recorder;
mod rules;

use std::collections::BTreeSet;
use std::sync::Arc;

use seatrial_api::calendar::{Calendar, Timestamp};
use seatrial_api::config::{ConfigMap, Namespace};
use seatrial_api::machine::{Effects, Heartbeat, Input, Machine, Outgoing, PodMetrics, Token};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{ApiError, Change, Reply, Request, WatchEvent};
use seatrial_api::store::{ApiServer, ServiceNetwork, Settings};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_controllers::{ClientLimits, Config, ControllerManager, ControllerTimer};
use seatrial_scheduler::config::{ClientRate, SchedulerConfiguration, TieBreak};
use seatrial_scheduler::{Scheduler, Timer};
use serde_json::Value;

use super::Run;
use super::scenario::Scenario;
use super::trace::{Trace, UNTRACED};
use kubelet::{Kubelet, KubeletTimer};
use metrics::MetricsServer;
use objects::Manifests;
use people::People;
use provisioner::Provisioner;
use queue::Queue;
use recorder::Recorder;

/// Until a request is served, and from then until it is answered.
const SERVED: Span = Span::from_millis(3);
const ANSWERED: Span = Span::from_millis(2);
/// Until a watch shows a change.
const SHOWN: Span = Span::from_millis(2);
/// How long the cluster has been there when the scenario begins. Periodic passes began with it, and most
/// things are done at full tens of seconds. From these the passes of the pod garbage collector (every
/// 20 s) are so half a period away, and those of the volume controller (every 15 s) a third.
const LEAD: i64 = 70;
/// The network of the virtual IPs in the recorded cluster.
const SERVICES: ServiceNetwork = ServiceNetwork { address: 10 << 24, prefix: 16 };
/// The seed of identities and generated names.
const SEED: u64 = 1;

/// Who asks the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Controllers,
    Scheduler,
    /// Nobody waits for the answer.
    Kubelet,
}

/// What happens.
enum What {
    Serve(Client, Token, Request),
    Reply(Client, Token, Reply),
    Metrics(Token, Result<Vec<PodMetrics>, ApiError>),
    Watch(WatchEvent),
    Controllers(ControllerTimer),
    Scheduler(Timer),
    Kubelet(KubeletTimer),
    /// The provisioner has a claim's volume, or a released volume has been given up.
    Provisioner(ObjectRef),
    /// The metrics server looks at the pods of an app again.
    Scrape(String),
    /// An action is due.
    Act(usize),
    /// The next request of the action that is under way.
    Continue,
}

/// A scenario being played.
struct Play<'a> {
    scenario: &'a Scenario,
    start: SimTime,
    now: SimTime,
    server: ApiServer,
    controllers: ControllerManager,
    scheduler: Scheduler,
    queue: Queue<What>,
    manifests: Manifests,
    kubelet: Kubelet,
    provisioner: Provisioner,
    metrics: MetricsServer,
    people: People,
    recorder: Recorder,
    trace: Trace,
}

/// Plays a scenario to its end.
pub(super) fn play(scenario: &Scenario, version: KubernetesVersion) -> Run {
    let mut play = Play::new(scenario, version);
    play.set_up();
    play.run(play.start + scenario.end);
    Run { answers: play.people.answers, trace: play.trace.finish() }
}

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, version: KubernetesVersion) -> Play<'a> {
        let clock = scenario.clock;
        // The run begins at a whole second some time before the scenario.
        let calendar = Calendar::starting_at(Timestamp { seconds: clock.seconds - LEAD, nanos: 0 });
        let start = SimTime::from_secs(LEAD) + Span::from_nanos(i64::from(clock.nanos));
        let config =
            Config { version, calendar, client_limits: ClientLimits::Unlimited, ..Config::default() };
        let settings = Settings { service_network: SERVICES, ..Settings::default() };
        let configuration = SchedulerConfiguration {
            version,
            ties: TieBreak::Heap,
            client: ClientRate::Unlimited,
            ..SchedulerConfiguration::default()
        };
        Play {
            scenario,
            start,
            now: SimTime::ZERO,
            server: ApiServer::with_settings(version, SEED, settings),
            controllers: ControllerManager::new(config),
            scheduler: Scheduler::new(configuration).expect("invariant: the default configuration is valid"),
            queue: Queue::default(),
            manifests: Manifests::new(calendar, version),
            kubelet: Kubelet::default(),
            provisioner: Provisioner::default(),
            metrics: MetricsServer::default(),
            people: People::default(),
            recorder: Recorder::default(),
            trace: Trace::new(start, calendar, scenario.namespace, named_addresses(&scenario.line)),
        }
    }

    /// Makes what is there before the scenario, and lets everything settle.
    fn set_up(&mut self) {
        for namespace in self.namespaces() {
            let meta = ObjectMeta { name: namespace.as_str().into(), ..ObjectMeta::default() };
            let object = Object::Namespace(Arc::new(Namespace { meta, ..Namespace::default() }));
            let _ = self.serve(Request::Create(object));
            for name in UNTRACED {
                let map =
                    ConfigMap { meta: ObjectMeta::named(namespace.as_str(), name), ..ConfigMap::default() };
                let _ = self.serve(Request::Create(Object::ConfigMap(Arc::new(map))));
            }
        }
        let nodes = self.scenario.nodes.iter();
        for node in nodes {
            let _ = self.create_node(node, false);
        }
        for manifest in &self.scenario.setup {
            if let Ok(object) = self.manifests.decode(manifest, self.scenario.namespace) {
                let _ = self.serve(Request::Create(object));
            }
        }
        self.tell_controllers(Input::Timer(ControllerTimer::Started));
        for (index, action) in self.scenario.actions.iter().enumerate() {
            self.queue.push(self.start + action.at, What::Act(index));
        }
        self.people.answers = vec![Value::Null; self.scenario.actions.len()];
        self.run(self.start - Span::from_millis(1));
        self.trace.begin();
    }

    /// The scenario's namespace and all others that it speaks of without creating them.
    fn namespaces(&self) -> BTreeSet<Symbol> {
        let mut namespaces = BTreeSet::from([self.scenario.namespace]);
        let mut created = BTreeSet::new();
        let line = &self.scenario.line;
        let actions = line["actions"].as_array().into_iter().flatten();
        for action in actions {
            let what = &action["do"];
            for manifest in what["create"].as_array().into_iter().flatten() {
                if manifest["kind"] == "Namespace" {
                    created.extend(manifest["metadata"]["name"].as_str().map(Symbol::new));
                }
                namespaces.extend(manifest["metadata"]["namespace"].as_str().map(Symbol::new));
            }
            for reference in
                what.as_object().into_iter().flat_map(|map| map.values()).filter_map(Value::as_str)
            {
                match reference.split('/').collect::<Vec<_>>().as_slice() {
                    ["Namespace", name] | [_, name, _] => {
                        namespaces.insert(Symbol::new(name));
                    }
                    _ => {}
                }
            }
        }
        for manifest in line["setup"].as_array().into_iter().flatten() {
            namespaces.extend(manifest["metadata"]["namespace"].as_str().map(Symbol::new));
        }
        &namespaces - &created
    }

    fn run(&mut self, end: SimTime) {
        while let Some((at, what)) = self.queue.pop_until(end) {
            self.now = at;
            self.take(what);
        }
        self.now = end;
    }

    fn take(&mut self, what: What) {
        match what {
            What::Serve(Client::Controllers, token, Request::PodMetrics { namespace, selector }) => {
                let samples = self.metrics.samples(&self.server, namespace, &selector);
                self.queue.push(self.now + ANSWERED, What::Metrics(token, samples));
            }
            What::Serve(client, token, request) => {
                let reply = self.serve(request);
                if client != Client::Kubelet {
                    self.queue.push(self.now + ANSWERED, What::Reply(client, token, reply));
                }
            }
            What::Reply(Client::Controllers, token, reply) => {
                self.tell_controllers(Input::Reply { token, reply: &reply });
            }
            What::Reply(_, token, reply) => self.tell_scheduler(Input::Reply { token, reply: &reply }),
            What::Metrics(token, samples) => {
                self.tell_controllers(Input::Metrics { token, samples: &samples });
            }
            What::Watch(event) => self.show(&event),
            What::Controllers(timer) => self.tell_controllers(Input::Timer(timer)),
            What::Scheduler(timer) => self.tell_scheduler(Input::Timer(timer)),
            What::Kubelet(timer) => self.kubelet_timer(timer),
            What::Provisioner(target) => self.provisioner_acts(target),
            What::Scrape(app) => self.scrape(app),
            What::Act(index) => self.act(index),
            What::Continue => self.proceed(),
        }
    }

    /// Shows a change to all who watch.
    fn show(&mut self, event: &WatchEvent) {
        self.tell_controllers(Input::Watch(event));
        if self.scheduler.watches(event.object.kind()) {
            self.recorder.shown(event);
            self.tell_scheduler(Input::Watch(event));
        }
        if let Object::Pod(pod) = &event.object
            && event.change != Change::Deleted
        {
            self.kubelet_sees(pod);
        }
        self.provisioner_sees(event);
    }

    fn tell_controllers(&mut self, input: Input<'_, ControllerTimer>) {
        let mut effects = Effects::new(true);
        self.controllers.handle(self.now, input, &mut effects);
        for outgoing in as_goroutines_run(effects.requests) {
            let what = What::Serve(Client::Controllers, outgoing.token, outgoing.request);
            self.queue.push(outgoing.send_at.max(self.now) + SERVED, what);
        }
        for (at, timer) in effects.timers {
            self.queue.push(at.max(self.now), What::Controllers(timer));
        }
        for decision in &effects.decisions {
            let may_create = self.may_create_events(decision.object);
            self.recorder.controllers(self.now, decision, may_create, &mut self.trace);
        }
    }

    fn tell_scheduler(&mut self, input: Input<'_, Timer>) {
        let mut effects = Effects::new(true);
        self.scheduler.handle(self.now, input, &mut effects);
        for outgoing in effects.requests {
            let what = What::Serve(Client::Scheduler, outgoing.token, outgoing.request);
            self.queue.push(outgoing.send_at.max(self.now) + SERVED, what);
        }
        for (at, timer) in effects.timers {
            self.queue.push(at.max(self.now), What::Scheduler(timer));
        }
        for decision in &effects.decisions {
            if self.may_create_events(decision.object) {
                self.recorder.scheduler(self.now, decision, &mut self.trace);
            }
        }
    }

    /// Whether Events about an object can be created: not in a namespace that is going away.
    fn may_create_events(&self, object: ObjectRef) -> bool {
        let namespace = self.trace.namespace_of(object);
        let namespace = self.server.find(Kind::Namespace, Symbol::empty(), namespace.as_str());
        !object.kind.is_namespaced() || namespace.is_some_and(|namespace| !namespace.meta().is_deleting())
    }

    /// Tells what becomes of a node's lease.
    fn heartbeat(&mut self, node: u32, heartbeat: Heartbeat) {
        self.tell_controllers(Input::Heartbeat { node, heartbeat });
    }

    /// Carries a request out now.
    fn serve(&mut self, request: Request) -> Reply {
        let mut events = Vec::new();
        let reply = self.server.handle(self.now, request, &mut events);
        for event in events {
            self.trace.change(self.now, &event);
            self.queue.push_shown(self.now + SHOWN, What::Watch(event));
        }
        reply
    }

    /// Sends a request whose answer nobody waits for.
    fn send(&mut self, request: Request) {
        let what = What::Serve(Client::Kubelet, seatrial_api::machine::NO_REPLY, request);
        self.queue.push(self.now + SERVED, what);
    }

    /// The object of a kind with a name.
    fn named(&self, kind: Kind, namespace: Symbol, name: &str) -> Option<ObjectRef> {
        let namespace = if kind.is_namespaced() { namespace } else { Symbol::empty() };
        self.server.find(kind, namespace, name).map(Object::object_ref)
    }
}

/// Requests in the order in which the original sends them. It starts a goroutine for each pod that it
/// creates or deletes at once, and the one that was started last runs first.
fn as_goroutines_run(mut requests: Vec<Outgoing>) -> Vec<Outgoing> {
    let of_pods = |request: &Request| match request {
        Request::Create(Object::Pod(_)) => Some(true),
        Request::Delete { target, .. } if target.kind == Kind::Pod => Some(false),
        _ => None,
    };
    let together = |a: &Outgoing, b: &Outgoing| {
        a.send_at == b.send_at && of_pods(&a.request).is_some() && of_pods(&a.request) == of_pods(&b.request)
    };
    for group in requests.chunk_by_mut(together) {
        group.rotate_right(1);
    }
    requests
}

/// The addresses and node ports that a scenario chooses itself.
fn named_addresses(line: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, key: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| collect(value, key, out)),
            Value::Array(values) => values.iter().for_each(|value| collect(value, key, out)),
            Value::String(text) if key == "clusterIP" || key == "clusterIPs" => {
                out.insert(text.clone());
            }
            Value::Number(number) if key == "nodePort" => {
                out.insert(number.to_string());
            }
            _ => {}
        }
    }
    let mut out = BTreeSet::new();
    for part in ["actions", "setup"] {
        collect(&line[part], part, &mut out);
    }
    out
}
