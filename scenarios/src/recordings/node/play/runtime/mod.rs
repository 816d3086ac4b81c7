//! The scripted container runtime: what a kubelet decides is real, what lies under it follows the
//! script.

mod containers;
mod execs;
mod images;
mod network;
mod sandboxes;
mod script;
mod stops;
mod volumes;

use std::collections::BTreeMap;

use seatrial_api::runtime::{ContainerId, RuntimeCommand, RuntimeReport};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_node::Explanation;
use serde_json::{Value, json};

use super::{Event, Play, Stamp};
use containers::Calls;
use execs::Exec;
use sandboxes::Sandbox;
use script::Script;

pub(super) use images::present_images;

/// What an answer of the runtime takes where the script says nothing.
const QUICK: Span = Span::from_millis(16);

/// Something that the runtime does later.
#[derive(Clone, Debug)]
pub(in super::super) enum Pending {
    /// An answer to the kubelet, and why it is as it is.
    Tell(RuntimeReport, Option<Explanation>),
    /// A call has been answered: its line.
    Write(Stamp, u32, Value),
    Sandbox(u32),
    SandboxDies(u32, u32),
    Create(ContainerId),
    Start(ContainerId, u32),
    Exit(ContainerId, u32, Ending),
    ExecEnds(u64),
    Stop(ContainerId, i64),
    StopSandbox(u32),
}

/// How an instance ends.
#[derive(Clone, Debug)]
pub(in super::super) struct Ending {
    code: i32,
    why: &'static str,
    reason: Symbol,
    message: String,
}

impl Ending {
    fn new(code: i32, why: &'static str) -> Ending {
        Ending { code, why, reason: Symbol::empty(), message: String::new() }
    }
}

/// An instance of a container.
#[derive(Clone, Copy, Debug)]
struct Instance {
    /// Its number in order of creation.
    n: u32,
    started: SimTime,
    state: InstanceState,
    /// The call that stops it, if there is one under way.
    stopping: bool,
    /// Whether its hook before the stop has been run already.
    pre_stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum InstanceState {
    Created,
    Running,
    Exited,
}

impl Instance {
    fn runs(&self) -> bool {
        self.state == InstanceState::Running
    }
}

/// The runtime's memory.
pub(in super::super) struct Runtime {
    script: Script,
    /// Whether the kubelet is there to be told.
    pub(super) is_heard: bool,
    sandboxes: BTreeMap<u32, Sandbox>,
    pulls: BTreeMap<Symbol, u32>,
    calls: BTreeMap<(u32, u16), Calls>,
    instances: BTreeMap<ContainerId, Instance>,
    execs: BTreeMap<u64, Exec>,
    next_exec: u64,
    addresses: Vec<String>,
}

impl Runtime {
    /// The runtime of a scenario.
    pub(super) fn new(scenario: &Value) -> Runtime {
        Runtime {
            script: Script::new(scenario),
            is_heard: true,
            sandboxes: BTreeMap::new(),
            pulls: BTreeMap::new(),
            calls: BTreeMap::new(),
            instances: BTreeMap::new(),
            execs: BTreeMap::new(),
            next_exec: 0,
            addresses: Vec::new(),
        }
    }

    /// The number of an instance in the order of creation.
    pub(super) fn number(&self, id: ContainerId) -> u32 {
        self.instances.get(&id).map_or(0, |instance| instance.n)
    }

    /// The addresses that sandboxes were given, in order.
    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

/// A container of a pod, whatever the instance.
fn key(id: ContainerId) -> (u32, u16) {
    (id.pod, id.index)
}

/// An error as the kubelet gets it.
fn grpc(text: &str) -> String {
    const CODES: [&str; 16] = [
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    match text.split_once(": ") {
        Some((code, rest)) if CODES.contains(&code) => format!("rpc error: code = {code} desc = {rest}"),
        _ => format!("rpc error: code = Unknown desc = {text}"),
    }
}

fn because(text: impl Into<String>) -> Explanation {
    Explanation { text: text.into().into(), ..Explanation::default() }
}

impl Play<'_> {
    fn later(&mut self, after: Span, pending: Pending) {
        self.calendar.push(self.now + after, Event::Runtime(pending));
    }

    /// Tells the kubelet later.
    fn tell_later(&mut self, after: Span, report: RuntimeReport, why: Option<Explanation>) {
        self.later(after, Pending::Tell(report, why));
    }

    /// Writes a call that is answered at once.
    fn call(&mut self, pod: u32, line: Value) {
        let stamp = self.stamp();
        self.write_call(stamp, pod, line);
    }

    /// Writes a call, which is in the trace at the time at which it was made.
    fn write_call(&mut self, stamp: Stamp, pod: u32, mut line: Value) {
        line["v"] = json!("cri");
        self.write_line(stamp, pod, line);
    }

    fn write_line(&mut self, stamp: Stamp, pod: u32, mut line: Value) {
        let name = self.names.get(&pod).cloned().unwrap_or_default();
        line["o"] = json!(format!("pod:{name}"));
        self.record_at(stamp, line);
    }

    /// Takes a command of the kubelet.
    pub(super) fn command(&mut self, command: RuntimeCommand) {
        match command {
            RuntimeCommand::MountVolumes { pod } => {
                let missing = self.unmountable(pod);
                let report = RuntimeReport::VolumesMounted { pod, ok: missing.is_none() };
                self.tell_later(QUICK, report, missing.map(because));
            }
            RuntimeCommand::RunSandbox { pod } => self.run_sandbox(pod),
            RuntimeCommand::PullImage { container, image } => self.pull(container, image),
            RuntimeCommand::StartContainer { container } => self.later(QUICK, Pending::Create(container)),
            RuntimeCommand::PostStart { container } => self.post_start(container),
            RuntimeCommand::PreStop { container, grace } => self.pre_stop(container, grace),
            RuntimeCommand::StopContainer { container, grace } => self.stop(container, grace),
            RuntimeCommand::StopSandbox { pod } => self.later(QUICK, Pending::StopSandbox(pod)),
            RuntimeCommand::Probe { container, kind } => self.probe(container, kind),
            RuntimeCommand::UpdateSandbox { pod } => {
                self.call(pod, json!({"call": "UpdatePodSandboxResources"}));
            }
            RuntimeCommand::UpdateContainer { container } => {
                let (name, n) = (self.container_name(container), self.runtime.number(container));
                self.call(container.pod, json!({"call": "UpdateContainerResources", "c": name, "n": n}));
            }
        }
    }

    /// Goes on with something.
    pub(super) fn go_on(&mut self, pending: Pending) {
        match pending {
            Pending::Tell(report, why) => self.report(report, why),
            Pending::Write(stamp, pod, line) => self.write_call(stamp, pod, line),
            Pending::Sandbox(pod) => self.sandbox_runs(pod),
            Pending::SandboxDies(pod, attempt) => self.sandbox_dies(pod, attempt),
            Pending::Create(id) => self.create_instance(id),
            Pending::Start(id, n) => self.start_instance(id, n),
            Pending::Exit(id, n, ending) => {
                if self.runtime.number(id) == n {
                    self.end(id, &ending);
                }
            }
            Pending::ExecEnds(exec) => self.exec_ends(exec),
            Pending::Stop(id, timeout) => self.send_term(id, timeout),
            Pending::StopSandbox(pod) => self.stop_sandbox(pod),
        }
    }

    /// Tells the kubelet of the runtime's news. While it is down it finds only what has ended.
    fn report(&mut self, report: RuntimeReport, why: Option<Explanation>) {
        let is_lasting =
            matches!(report, RuntimeReport::ContainerExited { .. } | RuntimeReport::SandboxStopped { .. });
        if !self.runtime.is_heard && !is_lasting {
            return;
        }
        if let Some(why) = why {
            self.kubelets.explain(pod_of(report), why);
        }
        self.tell(report);
    }

    /// The name of a container.
    fn container_name(&self, id: ContainerId) -> String {
        self.container_spec(id).map_or(String::new(), |container| container.name.to_string())
    }

    /// A container as its pod specifies it now.
    fn container_spec(&self, id: ContainerId) -> Option<&seatrial_api::container::Container> {
        self.specs.get(&id.pod)?.all_containers().nth(usize::from(id.index))
    }

    /// All containers end with their machine.
    pub(super) fn reboot(&mut self) {
        let pods: Vec<u32> = self.runtime.sandboxes.keys().copied().collect();
        for pod in pods {
            let Some(sandbox) = self.runtime.sandboxes.get_mut(&pod) else { continue };
            let (attempt, was_ready) = (sandbox.attempt, sandbox.ready);
            sandbox.ready = false;
            if was_ready {
                self.call(pod, json!({"call": "SandboxDied", "attempt": attempt}));
            }
            let ending = Ending { reason: Symbol::new("Unknown"), ..Ending::new(255, "reboot") };
            self.end_all(pod, &ending);
        }
        self.kubelets.crash_node(self.now, super::NODE.into());
    }
}

/// The pod that a report is about.
fn pod_of(report: RuntimeReport) -> u32 {
    match report {
        RuntimeReport::VolumesMounted { pod, .. }
        | RuntimeReport::SandboxStarted { pod, .. }
        | RuntimeReport::SandboxStopped { pod } => pod,
        RuntimeReport::ImagePulled { container, .. }
        | RuntimeReport::ContainerStarted { container, .. }
        | RuntimeReport::ContainerNotCreated { container }
        | RuntimeReport::PostStartDone { container, .. }
        | RuntimeReport::PreStopDone { container, .. }
        | RuntimeReport::ContainerExited { container, .. }
        | RuntimeReport::Probed { container, .. }
        | RuntimeReport::ProbeError { container, .. }
        | RuntimeReport::ProbeChanged { container, .. } => container.pod,
    }
}
