//! Plays a scenario: our kubelet, an API server, the scripted runtime, and a calendar of what is on
//! its way between them. What happens is written down in the schema of the recordings.

mod actions;
mod calendar;
mod changes;
mod events;
mod merge;
mod runtime;
mod server;
mod setup;
mod tell;
mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::machine::{Effects, Input, Machine, Outgoing, Token};
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodSpec};
use seatrial_api::request::{Reply, WatchEvent};
use seatrial_api::runtime::RuntimeReport;
use seatrial_api::store::ApiServer;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_node::{Kubelets, Timer};
use serde_json::{Value, json};

use calendar::Calendar;
use events::Events;
use runtime::Runtime;

/// The node's name; nothing else is called so.
const NODE: &str = "seatrial-node";
/// How long the kubelet has worked when a scenario begins.
const LEAD: Span = Span::from_millis(121_500);
/// What a request takes to the API server and what its answer takes back.
const REQUEST: Span = Span::from_millis(15);
/// The same where several scenarios begin with one kubelet.
const REQUEST_CROWDED: Span = Span::from_millis(30);
/// What a watch event takes.
const WATCH: Span = Span::from_millis(4);
/// How long a kubelet takes from its start until it works.
const KUBELET_START: Span = Span::from_millis(1_900);

/// When an entry of the trace was made: entries are in the order of stamps, whenever they are
/// written.
type Stamp = (SimTime, u64);

/// How long it works on when it is told to stop.
const KUBELET_STOP: Span = Span::from_millis(400);
/// What an author's action takes at least.
const ACTION: Span = Span::from_millis(15);

/// What is on its way.
enum Event {
    Request(Outgoing),
    Reply(Token, Reply),
    Watch(WatchEvent),
    Timer(Timer),
    Runtime(runtime::Pending),
    Action(usize),
    KubeletStops,
    KubeletWorks,
}

/// A scenario being played.
struct Play<'a> {
    scenario: &'a Value,
    version: KubernetesVersion,
    now: SimTime,
    /// The instant of the first action.
    start: SimTime,
    calendar: Calendar<Event>,
    kubelets: Kubelets,
    /// The node's row in the store.
    node: u32,
    server: ApiServer,
    /// What the trace says of each pod that is there.
    told: BTreeMap<u32, serde_json::Map<String, Value>>,
    /// Manifests of all pods that there have been, by row, with what has been patched.
    manifests: BTreeMap<u32, Value>,
    /// Their names.
    names: BTreeMap<u32, String>,
    /// Their newest specifications.
    specs: BTreeMap<u32, Arc<PodSpec>>,
    /// The manifest of the pod that is being created.
    creating: Value,
    /// The identities of all pods, in the order of their creation.
    uids: Vec<String>,
    /// The identities of static pods.
    static_uids: Vec<String>,
    runtime: Runtime,
    events: Events,
    trace: Vec<(Stamp, Value)>,
    stamps: u64,
}

/// Says why a scenario cannot be played, if it cannot.
pub(super) fn check(scenario: &Value) -> Result<(), String> {
    if scenario["id"].as_str().is_none() {
        return Err("a kubelet scenario has an id".to_owned());
    }
    if !scenario["script"].is_object() {
        return Err("script: expected a mapping of pods".to_owned());
    }
    let Some(actions) = scenario["actions"].as_array() else {
        return Err("actions: expected a list".to_owned());
    };
    setup::config(scenario)?;
    actions.iter().try_for_each(|action| actions::check(&action["do"]))
}

/// Plays a scenario and returns its trace.
pub(super) fn play(scenario: &Value, version: KubernetesVersion) -> Vec<Value> {
    let mut play = Play::new(scenario, version);
    let actions = scenario["actions"].as_array().map_or(0, Vec::len);
    let mut free_at = play.start;
    for index in 0..actions {
        let at = (play.start + seconds(&scenario["actions"][index]["at"])).max(free_at);
        play.calendar.push(at, Event::Action(index));
        free_at = at + ACTION;
    }
    play.run(play.start + seconds(&scenario["end"]));
    let mut trace = std::mem::take(&mut play.trace);
    trace.sort_by_key(|entry| entry.0);
    let mut trace: Vec<Value> = trace.into_iter().map(|entry| entry.1).collect();
    texts::replace(&play, &mut trace);
    trace
}

/// Seconds in a recording as a span.
fn seconds(value: &Value) -> Span {
    Span::from_nanos((value.as_f64().unwrap_or(0.0) * 1e9).round() as i64)
}

/// The object of a manifest.
fn decode(manifest: &Value, version: KubernetesVersion) -> Result<Object, String> {
    let text = manifest.to_string();
    let mut decoder = Decoder::new(Mode::Manifest, seatrial_api::calendar::Calendar::default(), version);
    let (mut reader, mut findings) = (ObjectReader::new("manifest", text.as_bytes()), Diagnostics::new());
    let node = reader.next(&mut findings).ok_or("a manifest is missing")?;
    let object = decoder.decode(&node, reader.file(), &mut findings);
    object.ok_or_else(|| findings.errors().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

impl Play<'_> {
    /// The stamp of an entry that is made now.
    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        (self.now, self.stamps)
    }

    /// Writes an entry of the trace.
    fn record(&mut self, entry: Value) {
        let stamp = self.stamp();
        self.record_at(stamp, entry);
    }

    /// Writes an entry that was made earlier.
    fn record_at(&mut self, stamp: Stamp, mut entry: Value) {
        let t = (stamp.0 - self.start).as_secs_f64();
        entry["t"] = json!((t * 1e3).round() / 1e3);
        self.trace.push((stamp, entry));
    }

    fn run(&mut self, end: SimTime) {
        while let Some((at, event)) = self.calendar.pop(end) {
            self.now = at;
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Request(outgoing) => {
                let reply = self.serve(outgoing.request);
                self.calendar.push(now + self.request_span(), Event::Reply(outgoing.token, reply));
            }
            Event::Reply(token, reply) => self.hand(Input::Reply { token, reply: &reply }),
            Event::Watch(event) => self.hand(Input::Watch(&event)),
            Event::Timer(timer) => self.hand(Input::Timer(timer)),
            Event::Runtime(pending) => self.go_on(pending),
            Event::Action(index) => self.act(index),
            Event::KubeletStops => self.stop_kubelet(),
            Event::KubeletWorks => self.kubelet_works(),
        }
    }

    /// Hands the kubelet an input and does what it wants done.
    fn hand(&mut self, input: Input<'_, Timer>) {
        let mut effects = Effects::new(true);
        self.kubelets.handle(self.now, input, &mut effects);
        self.apply(effects);
    }

    /// Tells the kubelet of the runtime's news.
    fn tell(&mut self, report: RuntimeReport) {
        self.hand(Input::Runtime { node: self.node, report });
    }

    fn apply(&mut self, effects: Effects<Timer>) {
        for decision in &effects.decisions {
            self.decided(decision);
        }
        for outgoing in effects.requests {
            self.calendar.push(outgoing.send_at + self.request_span(), Event::Request(outgoing));
        }
        for (at, timer) in effects.timers {
            self.calendar.push(at, Event::Timer(timer));
        }
        for (_, command) in effects.commands {
            self.command(command);
        }
    }

    fn request_span(&self) -> Span {
        if self.scenario["node"] == "group" { REQUEST_CROWDED } else { REQUEST }
    }

    /// The kubelet works again, and gets the list of its pods.
    fn kubelet_works(&mut self) {
        self.runtime.is_heard = true;
        let mut pods: Vec<_> = self.server.list_typed().filter(|pod| is_bound(pod)).cloned().collect();
        pods.sort_by_key(|pod: &Arc<Pod>| pod.meta.created);
        let mut effects = Effects::new(true);
        self.kubelets.start_kubelet(self.now, NODE.into(), &pods, &mut effects);
        self.apply(effects);
    }
}

fn is_bound(pod: &Arc<Pod>) -> bool {
    pod.node.is_some()
}
