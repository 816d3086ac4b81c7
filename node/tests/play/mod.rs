//! A small world around the kubelets: an API server that stores pods and tells of them, and a
//! container runtime that follows a script.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::machine::{Effects, Input, Machine, Outgoing, Token};
use seatrial_api::meta::{Deletion, ObjectMeta, Uid};
use seatrial_api::node::{Node, NodeConditionType, NodeResources, NodeVolumes};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{
    ConditionStatus, ContainerState, Pod, PodConditionType, PodPhase, PodReason, PodSpec,
};
use seatrial_api::request::{ApiError, Change, ErrorReason, Patch, Reply, Request, WatchEvent};
use seatrial_api::resources::Resources;
use seatrial_api::runtime::{ContainerId, ProbeKind, RuntimeCommand, RuntimeReport};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_node::config::PresentImages;
use seatrial_node::pressure::{MemoryReport, Relief};
use seatrial_node::{KubeletConfig, Kubelets, Timer};

/// The row of the one node.
pub(crate) const NODE: u32 = 1;

/// How a container ends when it is told to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// After which time.
    pub after: Span,
    /// With which code.
    pub code: i32,
}

/// One instance of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// When it ends by itself, and how; never if absent.
    pub exit: Option<(Span, i32)>,
    /// What it does on SIGTERM.
    pub term: Term,
}

impl Run {
    pub(crate) const FOREVER: Run =
        Run { exit: None, term: Term { after: Span::from_millis(100), code: 143 } };

    pub(crate) fn exits(after: Span, code: i32) -> Run {
        Run { exit: Some((after, code)), ..Run::FOREVER }
    }
}

/// Whether a probe succeeds, by time since the container's start; the last entry holds on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes(pub Vec<(Span, bool)>);

impl Outcomes {
    fn at(&self, since_start: Span) -> bool {
        self.0.iter().rev().find(|entry| entry.0 <= since_start).is_none_or(|entry| entry.1)
    }
}

/// What the runtime does, by container name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub runs: BTreeMap<&'static str, Vec<Run>>,
    pub probes: BTreeMap<(&'static str, ProbeKind), Outcomes>,
    /// Whether probes promise that their outcome lasts.
    pub steady: bool,
    /// How many pulls fail before one succeeds.
    pub failing_pulls: BTreeMap<&'static str, u32>,
    pub pull: Span,
    pub failing_sandboxes: u32,
    pub post_start: Span,
}

enum Event {
    Request(Outgoing),
    Reply(Token, Reply),
    Watch(WatchEvent),
    Timer(Timer),
    Report(RuntimeReport),
    Act(Action),
}

/// What happens to the cluster.
#[derive(Clone)]
pub(crate) enum Action {
    Bind(Arc<Pod>),
    Delete(u32, u32),
    Observe(Object),
    Image(u32, &'static str),
    /// Someone else writes that a pod is not ready.
    Unready(u32),
    /// The volume is attached to the node.
    Attach(Symbol),
    /// The node is no longer heard of.
    NodeUnknown,
    Crash,
    Boot,
    StopKubelet,
    StartKubelet,
}

/// The world.
pub(crate) struct World {
    pub now: SimTime,
    seq: u64,
    queue: BTreeMap<(SimTime, u64), Event>,
    pub kubelets: Kubelets,
    pub pods: BTreeMap<u32, Arc<Pod>>,
    /// Specifications of all pods that there ever were.
    specs: BTreeMap<u32, Arc<PodSpec>>,
    pub node: Arc<Node>,
    version: u64,
    pub script: Script,
    running: BTreeMap<ContainerId, SimTime>,
    /// What happened, in order: milliseconds and a line.
    pub log: Vec<(i64, String)>,
    /// How many inputs the machine took.
    pub inputs: u64,
}

pub(crate) fn ms(millis: i64) -> Span {
    Span::from_millis(millis)
}

pub(crate) fn secs(seconds: i64) -> Span {
    Span::from_secs(seconds)
}

/// A pod of these containers, bound to the node.
pub(crate) fn pod(id: u32, spec: PodSpec) -> Arc<Pod> {
    let mut meta = ObjectMeta::named("default", &format!("pod-{id}"));
    meta.id = id;
    meta.uid = Uid::from_bits(1, u64::from(id));
    let mut pod = Pod::new(meta, Arc::new(spec.sealed()));
    pod.node = Some(Symbol::new("node"));
    Arc::new(pod)
}

pub(crate) fn container(name: &str) -> Container {
    Container::new(name, "app:1")
}

pub(crate) fn node() -> Node {
    let mut meta = ObjectMeta::named("", "node");
    meta.id = NODE;
    meta.uid = Uid::from_bits(2, 1);
    let amounts = Resources::of(MilliCpu(4_000), Bytes(16 << 30));
    let resources = Arc::new(NodeResources { amounts, pods: 110 });
    Node {
        meta,
        name: "node".into(),
        capacity: Arc::clone(&resources),
        allocatable: resources,
        ip: 99,
        ..Node::default()
    }
}

pub(crate) fn with_images() -> KubeletConfig {
    KubeletConfig { images: PresentImages::All, ..KubeletConfig::default() }
}

impl World {
    /// A world with one node that is ready.
    pub(crate) fn new(config: KubeletConfig) -> World {
        let mut world = World {
            now: SimTime::ZERO,
            seq: 0,
            queue: BTreeMap::new(),
            kubelets: Kubelets::new(7),
            pods: BTreeMap::new(),
            specs: BTreeMap::new(),
            node: Arc::new(node()),
            version: 0,
            script: Script::default(),
            running: BTreeMap::new(),
            log: Vec::new(),
            inputs: 0,
        };
        let mut effects = Effects::new(true);
        let node = Arc::clone(&world.node);
        world.kubelets.start_node(SimTime::ZERO, node, Arc::new(config), &mut effects);
        world.apply(effects);
        world.run(secs(3));
        world.log.clear();
        world
    }

    pub(crate) fn at(&mut self, after: Span, action: Action) {
        self.push(self.now + after, Event::Act(action));
    }

    pub(crate) fn bind(&mut self, pod: Arc<Pod>) {
        self.at(Span::ZERO, Action::Bind(pod));
    }

    fn push(&mut self, at: SimTime, event: Event) {
        assert!(at >= self.now, "an effect lies in the past");
        self.seq += 1;
        self.queue.insert((at, self.seq), event);
    }

    /// Plays for a while.
    pub(crate) fn run(&mut self, span: Span) {
        let end = self.now + span;
        while let Some((&(at, seq), _)) = self.queue.first_key_value()
            && at <= end
        {
            let event = self.queue.remove(&(at, seq)).expect("just seen");
            self.now = at;
            self.play(event);
        }
        self.now = end;
    }

    pub(crate) fn note(&mut self, line: String) {
        self.log.push((self.now.nanos() / 1_000_000, line));
    }

    /// The lines that contain a text, with their times.
    pub(crate) fn lines(&self, text: &str) -> Vec<(i64, &str)> {
        let found = self.log.iter().filter(|(_, line)| line.contains(text));
        found.map(|(at, line)| (*at, line.as_str())).collect()
    }

    pub(crate) fn pod(&self, id: u32) -> &Pod {
        &self.pods[&id]
    }

    pub(crate) fn phase(&self, id: u32) -> PodPhase {
        self.pods[&id].status.phase
    }

    fn play(&mut self, event: Event) {
        let mut effects = Effects::new(true);
        let now = self.now;
        match event {
            Event::Request(outgoing) => {
                let reply = self.serve(outgoing.request);
                if outgoing.token != Token::MAX {
                    self.push(now + ms(5), Event::Reply(outgoing.token, reply));
                }
                return;
            }
            Event::Reply(token, reply) => {
                self.kubelets.handle(now, Input::Reply { token, reply: &reply }, &mut effects);
            }
            Event::Watch(event) => self.kubelets.handle(now, Input::Watch(&event), &mut effects),
            Event::Timer(timer) => self.kubelets.handle(now, Input::Timer(timer), &mut effects),
            Event::Report(report) => {
                if let RuntimeReport::ContainerExited { container, exit_code, .. } = report {
                    if self.running.remove(&container).is_none() {
                        return;
                    }
                    let line = format!("exit {} {exit_code}", self.name(container));
                    self.note(line);
                }
                self.kubelets.handle(now, Input::Runtime { node: NODE, report }, &mut effects);
            }
            Event::Act(action) => return self.act(action),
        }
        self.inputs += 1;
        self.apply(effects);
    }

    fn act(&mut self, action: Action) {
        let mut effects = Effects::new(true);
        match action {
            Action::Bind(pod) => self.store(pod, Change::Added),
            Action::Delete(id, grace) => {
                let mut pod = Pod::clone(&self.pods[&id]);
                if grace == 0 {
                    self.pods.remove(&id);
                    self.tell(Change::Deleted, Arc::new(pod));
                    return;
                }
                let at = self.now + secs(i64::from(grace));
                pod.meta.set_deletion(Some(Deletion { at, grace_seconds: grace }));
                self.store(Arc::new(pod), Change::Modified);
            }
            Action::Observe(object) => {
                self.push(self.now + ms(2), Event::Watch(WatchEvent { change: Change::Added, object }));
            }
            Action::Image(id, image) => {
                let mut pod = Pod::clone(&self.pods[&id]);
                let mut spec = PodSpec::clone(&pod.spec);
                spec.containers[0].image = image.into();
                pod.spec = Arc::new(spec);
                self.store(Arc::new(pod), Change::Modified);
            }
            Action::Unready(id) => {
                let mut pod = Pod::clone(&self.pods[&id]);
                let kind = PodConditionType::Ready;
                pod.status.conditions.set(kind, ConditionStatus::False, PodReason::None, self.now);
                self.store(Arc::new(pod), Change::Modified);
            }
            Action::Attach(name) => {
                let known = self.node.volumes.as_deref().cloned();
                let mut volumes = known.unwrap_or_default();
                volumes.attached.push(name);
                self.set_volumes(volumes);
                return;
            }
            Action::NodeUnknown => {
                let mut node = Node::clone(&self.node);
                let (kind, unknown) = (NodeConditionType::Ready, ConditionStatus::Unknown);
                node.conditions.set(kind, unknown, "NodeStatusUnknown".into(), "".into(), self.now);
                self.node = Arc::new(node);
                let object = Object::Node(Arc::clone(&self.node));
                self.push(self.now + ms(2), Event::Watch(WatchEvent { change: Change::Modified, object }));
            }
            Action::Crash => {
                self.kubelets.crash_node(self.now, "node".into());
                self.running.clear();
            }
            Action::StopKubelet => self.kubelets.stop_kubelet("node".into()),
            Action::Boot | Action::StartKubelet => {
                let pods: Vec<_> = self.pods.values().cloned().collect();
                self.kubelets.start_kubelet(self.now, "node".into(), &pods, &mut effects);
            }
        }
        self.apply(effects);
    }

    pub(crate) fn observe_memory(&mut self, report: MemoryReport<'_>) -> Relief {
        let mut effects = Effects::new(true);
        let evicted = self.kubelets.observe_memory(self.now, "node".into(), report, &mut effects);
        self.apply(effects);
        evicted
    }

    pub(crate) fn shutdown(&mut self) -> SimTime {
        let mut effects = Effects::new(true);
        let off_at = self.kubelets.shutdown_node(self.now, "node".into(), &mut effects);
        self.apply(effects);
        off_at
    }

    fn apply(&mut self, effects: Effects<Timer>) {
        for outgoing in effects.requests {
            self.push(outgoing.send_at.max(self.now), Event::Request(outgoing));
        }
        for (at, timer) in effects.timers {
            self.push(at, Event::Timer(timer));
        }
        for decision in effects.decisions {
            self.note(format!("event {} {}", decision.reason, decision.message));
        }
        for (_, command) in effects.commands {
            self.command(command);
        }
    }

    fn store(&mut self, pod: Arc<Pod>, change: Change) {
        self.version += 1;
        let mut pod = Pod::clone(&pod);
        pod.meta.resource_version = self.version;
        let pod = Arc::new(pod);
        self.pods.insert(pod.meta.id, Arc::clone(&pod));
        self.specs.insert(pod.meta.id, Arc::clone(&pod.spec));
        self.tell(change, pod);
    }

    fn tell(&mut self, change: Change, pod: Arc<Pod>) {
        self.push(self.now + ms(2), Event::Watch(WatchEvent { change, object: Object::Pod(pod) }));
    }

    fn serve(&mut self, request: Request) -> Reply {
        match request {
            Request::Patch { target, patch: Patch::PodStatus(status) } => {
                let Some(pod) = self.pods.get(&target.id) else {
                    return Err(ApiError::not_found(Kind::Pod, "?"));
                };
                let mut pod = Pod::clone(pod);
                pod.status = *status;
                let line = format!("status {} {}", pod.meta.name, describe(&pod));
                self.note(line);
                self.store(Arc::new(pod), Change::Modified);
                Ok(Object::Pod(Arc::clone(&self.pods[&target.id])))
            }
            Request::Patch { patch: Patch::NodeConditions(conditions), .. } => {
                let node = Node { conditions: *conditions, ..Node::clone(&self.node) };
                self.node = Arc::new(node);
                self.note("node status".to_string());
                Ok(Object::Node(Arc::clone(&self.node)))
            }
            Request::Patch { target, patch: Patch::All(patches) } => {
                let mut reply = Ok(Object::Node(Arc::clone(&self.node)));
                for patch in patches {
                    reply = self.serve(Request::Patch { target, patch });
                }
                reply
            }
            Request::Patch { patch: Patch::VolumesInUse(in_use), .. } => {
                self.note(format!("in use {}", in_use.len()));
                let attached = self.node.volumes.as_ref().map_or(Vec::new(), |known| known.attached.clone());
                self.set_volumes(NodeVolumes { in_use, attached });
                Ok(Object::Node(Arc::clone(&self.node)))
            }
            Request::Delete { target, .. } => match self.pods.remove(&target.id) {
                Some(pod) => {
                    self.note(format!("delete {}", pod.meta.name));
                    self.tell(Change::Deleted, Arc::clone(&pod));
                    Ok(Object::Pod(pod))
                }
                None => Err(ApiError::not_found(Kind::Pod, "?")),
            },
            other => Err(ApiError::new(ErrorReason::BadRequest, format!("{other:?}"))),
        }
    }

    fn set_volumes(&mut self, volumes: NodeVolumes) {
        self.node = Arc::new(Node { volumes: Some(Arc::new(volumes)), ..Node::clone(&self.node) });
        let object = Object::Node(Arc::clone(&self.node));
        self.push(self.now + ms(2), Event::Watch(WatchEvent { change: Change::Modified, object }));
    }

    /// Whether there ever was a pod with this row.
    pub(crate) fn bound(&self, id: u32) -> bool {
        self.specs.contains_key(&id)
    }

    /// How many containers really run.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    fn name(&self, id: ContainerId) -> &'static str {
        let Some(spec) = self.specs.get(&id.pod) else { return "?" };
        let found = spec.all_containers().nth(usize::from(id.index));
        found.map_or("?", |container| container.name.as_str())
    }

    fn run_of(&self, id: ContainerId) -> Run {
        let runs = self.script.runs.get(self.name(id)).map_or(&[][..], |runs| runs);
        let run = runs.get(usize::from(id.attempt)).or(runs.last());
        run.copied().unwrap_or(Run::FOREVER)
    }

    fn command(&mut self, command: RuntimeCommand) {
        let now = self.now;
        let soon = now + ms(10);
        match command {
            RuntimeCommand::MountVolumes { pod } => {
                self.note("mount".to_string());
                self.push(soon, Event::Report(RuntimeReport::VolumesMounted { pod, ok: true }));
            }
            RuntimeCommand::RunSandbox { pod } => {
                self.note("sandbox".to_string());
                let ok = self.script.failing_sandboxes == 0;
                self.script.failing_sandboxes = self.script.failing_sandboxes.saturating_sub(1);
                let report = RuntimeReport::SandboxStarted { pod, ok, ip: 1_000 + pod };
                self.push(soon, Event::Report(report));
            }
            RuntimeCommand::PullImage { container, image } => {
                self.note(format!("pull {image}"));
                let left = self.script.failing_pulls.entry(image.as_str()).or_default();
                let ok = *left == 0;
                *left = left.saturating_sub(1);
                let at = now + self.script.pull.max(ms(50));
                self.push(at, Event::Report(RuntimeReport::ImagePulled { container, ok }));
            }
            RuntimeCommand::StartContainer { container } => {
                self.note(format!("start {}#{}", self.name(container), container.attempt));
                self.running.insert(container, soon);
                self.push(soon, Event::Report(RuntimeReport::ContainerStarted { container, ok: true }));
                if let Some((after, code)) = self.run_of(container).exit {
                    self.exit(soon + after, container, code);
                }
            }
            RuntimeCommand::PostStart { container } => {
                let at = now + self.script.post_start;
                self.push(at, Event::Report(RuntimeReport::PostStartDone { container, ok: true }));
            }
            RuntimeCommand::PreStop { container, .. } => {
                self.push(soon, Event::Report(RuntimeReport::PreStopDone { container, ok: true }));
            }
            RuntimeCommand::UpdateSandbox { .. } => self.note("resize sandbox".to_string()),
            RuntimeCommand::UpdateContainer { container } => {
                self.note(format!("resize {}", self.name(container)));
            }
            RuntimeCommand::StopContainer { container, grace } => {
                self.note(format!("stop {} {}", self.name(container), grace.nanos() / 1_000_000_000));
                let term = self.run_of(container).term;
                let (after, code) = if term.after < grace { (term.after, term.code) } else { (grace, 137) };
                self.exit(now + after, container, code);
            }
            RuntimeCommand::StopSandbox { pod } => {
                self.note("stop sandbox".to_string());
                self.push(soon, Event::Report(RuntimeReport::SandboxStopped { pod }));
            }
            RuntimeCommand::Probe { container, kind } => {
                let since = now - self.running.get(&container).copied().unwrap_or(now);
                let outcomes = self.script.probes.get(&(self.name(container), kind)).cloned();
                let success = outcomes.unwrap_or_default().at(since);
                self.note(format!("probe {} {kind:?} {success}", self.name(container)));
                let steady = self.script.steady;
                let report = RuntimeReport::Probed { container, kind, success, steady };
                self.push(now, Event::Report(report));
            }
        }
    }

    pub(crate) fn report(&mut self, after: Span, report: RuntimeReport) {
        self.push(self.now + after, Event::Report(report));
    }

    fn exit(&mut self, at: SimTime, container: ContainerId, exit_code: i32) {
        let report = RuntimeReport::ContainerExited { container, exit_code, oom_killed: false };
        self.push(at, Event::Report(report));
    }
}

/// A status in one line.
pub(crate) fn describe(pod: &Pod) -> String {
    let status = &pod.status;
    let mut line = format!("{}{}", status.phase.as_str(), if pod.is_ready() { " ready" } else { "" });
    if !status.reason().is_empty() {
        line += &format!(" {}", status.reason());
    }
    for container in status.containers.iter().flat_map(|list| list.iter()) {
        let state = match container.state {
            ContainerState::Waiting { reason } => reason.to_string(),
            ContainerState::Running { .. } => "Running".to_string(),
            ContainerState::Terminated { exit_code, reason, .. } => format!("{reason}({exit_code})"),
        };
        line += &format!(" {}={state}/{}", container.name, container.restarts);
        if container.started {
            line += if container.ready { "+r" } else { "+s" };
        }
    }
    line
}
