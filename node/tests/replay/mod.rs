//! Plays the recorded scenarios of `golden/node` with our kubelets: the API server and the
//! runtime follow the script of the scenario, the trace is written in the recordings' own schema.

pub(crate) mod facts;
mod runtime;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::machine::{Effects, Input, Machine, Outgoing, Token};
use seatrial_api::meta::{ObjectMeta, Uid};
use seatrial_api::node::{Node, NodeResources};
use seatrial_api::object::Object;
use seatrial_api::request::{Reply, WatchEvent};
use seatrial_api::resources::Resources;
use seatrial_api::runtime::RuntimeReport;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_node::{KubeletConfig, Kubelets, Timer};
use serde_json::{Value, json};

use runtime::Runtime;
use server::Server;

/// The node's name.
const NODE: &str = "node";
/// How long the kubelet has worked when the scenario begins.
const LEAD: Span = Span::from_secs(120);
/// What an API request takes, and a watch event.
const REQUEST: Span = Span::from_millis(8);
const WATCH: Span = Span::from_millis(4);
/// How long a kubelet takes to work once it was started.
const START: Span = Span::from_millis(1_500);

enum Event {
    Request(Outgoing),
    Reply(Token, Reply),
    Watch(WatchEvent),
    Timer(Timer),
    Runtime(runtime::Pending),
    Action(usize),
    KubeletWorks,
}

/// A scenario being played.
struct Play<'a> {
    scenario: &'a Value,
    now: SimTime,
    start: SimTime,
    seq: u64,
    queue: BTreeMap<(SimTime, u64), Event>,
    kubelets: Kubelets,
    server: Server,
    runtime: Runtime,
    trace: Vec<Value>,
}

/// Plays a scenario and returns its trace, or why it cannot be played.
pub(crate) fn play(scenario: &Value) -> Result<Vec<Value>, String> {
    let start = SimTime::ZERO + LEAD;
    let mut play = Play {
        scenario,
        now: SimTime::ZERO,
        start,
        seq: 0,
        queue: BTreeMap::new(),
        kubelets: Kubelets::new(1),
        server: Server::default(),
        runtime: Runtime::new(scenario),
        trace: Vec::new(),
    };
    let config = Arc::new(play.config()?);
    let node = Arc::new(play.node());
    let mut effects = Effects::new(false);
    play.kubelets.start_node(SimTime::ZERO, node, config, &mut effects);
    play.apply(effects);
    play.runtime.known = true;
    let actions = scenario["actions"].as_array().map_or(0, Vec::len);
    for index in 0..actions {
        play.check_action(&scenario["actions"][index]["do"])?;
        let at = start + seconds(&scenario["actions"][index]["t"]);
        play.push(at, Event::Action(index));
    }
    play.run(start + seconds(&scenario["end"]));
    Ok(play.trace)
}

/// Seconds in a recording as a span.
fn seconds(value: &Value) -> Span {
    Span::from_nanos((value.as_f64().unwrap_or(0.0) * 1e9) as i64)
}

impl Play<'_> {
    fn config(&self) -> Result<KubeletConfig, String> {
        let mut config = KubeletConfig { images: self.runtime.present(), ..KubeletConfig::default() };
        for (key, value) in self.scenario["kubeletConfig"].as_object().into_iter().flatten() {
            match key.as_str() {
                "maxPods" | "shutdownGracePeriod" => {}
                "serializeImagePulls" if value == false => {
                    config.pulls = seatrial_node::config::PullConcurrency::Parallel(1_000);
                }
                "maxParallelImagePulls" => {
                    let limit = value.as_u64().unwrap_or(1) as u32;
                    config.pulls = seatrial_node::config::PullConcurrency::Parallel(limit);
                }
                "crashLoopBackOff" => {
                    let text = value["maxContainerRestartPeriod"].as_str().unwrap_or("300s");
                    let limit = text.trim_end_matches('s').parse().map_err(|_| format!("{key}: {text}"))?;
                    config.restart_back_off_max = Span::from_secs(limit);
                }
                "registryPullQPS" | "registryBurst" => {
                    let of = |key: &str| self.scenario["kubeletConfig"][key].as_i64().unwrap_or(10);
                    let (per_second, burst) = (of("registryPullQPS"), of("registryBurst"));
                    config.registry_rate = (per_second > 0)
                        .then_some(seatrial_node::config::RateLimit { per_second, burst: burst.max(1) });
                }
                other => return Err(format!("kubelet setting {other}")),
            }
        }
        Ok(config)
    }

    fn node(&self) -> Node {
        let mut meta = ObjectMeta::named("", NODE);
        meta.uid = Uid::from_bits(9, 9);
        let pods = self.scenario["kubeletConfig"]["maxPods"].as_i64().unwrap_or(110);
        let storage = Bytes(243_497_856_212);
        let memory = Bytes((24_684_096 << 10) - (100 << 20));
        let amounts = Resources { ephemeral_storage: storage, ..Resources::of(MilliCpu(2_000), memory) };
        let allocatable = Arc::new(NodeResources { amounts, pods });
        Node {
            meta,
            name: NODE.into(),
            capacity: Arc::clone(&allocatable),
            allocatable,
            ip: 7,
            ..Node::default()
        }
    }

    fn push(&mut self, at: SimTime, event: Event) {
        self.seq += 1;
        self.queue.insert((at.max(self.now), self.seq), event);
    }

    /// Seconds since the first action, for the trace.
    fn t(&self) -> f64 {
        ((self.now - self.start).as_secs_f64() * 1e3).round() / 1e3
    }

    fn record(&mut self, mut entry: Value) {
        entry["t"] = json!(self.t());
        self.trace.push(entry);
    }

    fn run(&mut self, end: SimTime) {
        while let Some((&(at, seq), _)) = self.queue.first_key_value()
            && at <= end
        {
            let event = self.queue.remove(&(at, seq)).expect("just seen");
            self.now = at;
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        let mut effects = Effects::new(false);
        let now = self.now;
        match event {
            Event::Request(outgoing) => {
                let reply = self.serve(outgoing.request);
                self.push(now + REQUEST, Event::Reply(outgoing.token, reply));
                return;
            }
            Event::Reply(token, reply) => {
                self.kubelets.handle(now, Input::Reply { token, reply: &reply }, &mut effects);
            }
            Event::Watch(event) => self.kubelets.handle(now, Input::Watch(&event), &mut effects),
            Event::Timer(timer) => self.kubelets.handle(now, Input::Timer(timer), &mut effects),
            Event::Runtime(pending) => {
                for report in self.advance(pending) {
                    self.tell(report);
                }
                return;
            }
            Event::Action(index) => return self.act(index),
            Event::KubeletWorks => {
                self.runtime.known = true;
                let pods: Vec<_> =
                    self.server.pods.values().filter(|pod| pod.node.is_some()).cloned().collect();
                self.kubelets.start_kubelet(now, NODE.into(), &pods, &mut effects);
            }
        }
        self.apply(effects);
    }

    /// Tells the kubelet of the runtime's news.
    fn tell(&mut self, report: RuntimeReport) {
        let mut effects = Effects::new(false);
        let input = Input::Runtime { node: 0, report };
        self.kubelets.handle(self.now, input, &mut effects);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Effects<Timer>) {
        for outgoing in effects.requests {
            self.push(outgoing.send_at + REQUEST, Event::Request(outgoing));
        }
        for (at, timer) in effects.timers {
            self.push(at, Event::Timer(timer));
        }
        for (_, command) in effects.commands {
            self.command(command);
        }
    }

    /// The object of a manifest.
    fn decode(&self, manifest: &Value) -> Result<Object, String> {
        let text = manifest.to_string();
        let mut decoder = Decoder::new(Mode::Manifest, Calendar::default(), KubernetesVersion::V1_36);
        let (mut reader, mut findings) = (ObjectReader::new("manifest", text.as_bytes()), Diagnostics::new());
        let node = reader.next(&mut findings).ok_or("no document")?;
        let object = decoder.decode(&node, reader.file(), &mut findings);
        object.ok_or_else(|| findings.errors().map(|error| format!("{error:?}")).collect())
    }

    fn check_action(&self, action: &Value) -> Result<(), String> {
        let name = action.as_object().and_then(|action| action.keys().next().cloned()).unwrap_or_default();
        if let Some(manifests) = action["create"].as_array() {
            for manifest in manifests {
                self.decode(manifest)?;
            }
        }
        match name.as_str() {
            "static" | "static_remove" => Err(format!("action {name}")),
            "patch" if !action["sub"].is_null() => Err("patch of a subresource".to_string()),
            _ => Ok(()),
        }
    }
}

/// The symbol of a text in a recording.
fn symbol(value: &Value) -> Symbol {
    Symbol::new(value.as_str().unwrap_or(""))
}
