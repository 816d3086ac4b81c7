//! The scripted runtime of a replay.

use std::collections::BTreeMap;

use seatrial_api::runtime::{ContainerId, ProbeKind, RuntimeCommand, RuntimeReport};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{NANOS_PER_SECOND, SimTime, Span};
use seatrial_node::config::PresentImages;
use serde_json::{Value, json};

use super::{Event, Play, seconds};

/// What an action of the runtime takes that needs no time by the script.
const QUICK: Span = Span::from_millis(4);

/// Something that the runtime does later.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Tell(RuntimeReport),
    Sandbox(u32),
    SandboxDies(u32, u32),
    Create(ContainerId),
    Start(ContainerId, u32),
    Exit(ContainerId, i32, &'static str, bool),
    HookDone(ContainerId, bool),
    Stop(ContainerId, i64),
    StopSandbox(u32),
}

/// An instance of a container.
#[derive(Clone, Copy, Debug)]
struct Instance {
    /// Its number in order of creation.
    n: u32,
    started: SimTime,
    running: bool,
}

/// The runtime.
pub(crate) struct Runtime {
    script: Value,
    /// Manifests of the pods by row.
    pub(crate) specs: BTreeMap<u32, Value>,
    /// Whether the kubelet is there to be told.
    pub(crate) known: bool,
    sandboxes: BTreeMap<u32, (u32, bool)>,
    tries: BTreeMap<u32, usize>,
    pulls: BTreeMap<String, usize>,
    created: BTreeMap<(u32, u16), u32>,
    creates: BTreeMap<(u32, u16), usize>,
    starts: BTreeMap<(u32, u16), usize>,
    instances: BTreeMap<ContainerId, Instance>,
    addresses: u32,
}

impl Runtime {
    pub(crate) fn new(scenario: &Value) -> Runtime {
        Runtime {
            script: scenario["script"].clone(),
            specs: BTreeMap::new(),
            known: false,
            sandboxes: BTreeMap::new(),
            tries: BTreeMap::new(),
            pulls: BTreeMap::new(),
            created: BTreeMap::new(),
            creates: BTreeMap::new(),
            starts: BTreeMap::new(),
            instances: BTreeMap::new(),
            addresses: 100,
        }
    }

    /// The images that are there at the start.
    pub(crate) fn present(&self) -> PresentImages {
        let pods = self.script.as_object().into_iter().flatten();
        let images = pods.flat_map(|pod| pod.1["images"].as_object().into_iter().flatten());
        let present = images.filter(|image| image.1["present"] == true);
        PresentImages::Listed(present.map(|image| Symbol::new(image.0)).collect::<Vec<_>>().into())
    }

    fn name(&self, pod: u32) -> &str {
        self.specs.get(&pod).and_then(|spec| spec["metadata"]["name"].as_str()).unwrap_or("")
    }

    fn manifest(&self, id: (u32, u16)) -> &Value {
        let spec = &self.specs[&id.0]["spec"];
        let init = spec["initContainers"].as_array().map_or(0, Vec::len);
        let index = usize::from(id.1);
        if index < init { &spec["initContainers"][index] } else { &spec["containers"][index - init] }
    }

    fn container(&self, id: (u32, u16)) -> String {
        self.manifest(id)["name"].as_str().unwrap_or("").to_string()
    }

    fn of_container(&self, id: (u32, u16)) -> &Value {
        &self.script[self.name(id.0)]["containers"][self.container(id).as_str()]
    }

    fn run(&self, id: ContainerId) -> &Value {
        let n = self.instances.get(&id).map_or(0, |instance| instance.n) as usize;
        let runs = &self.of_container((id.pod, id.index))["runs"];
        let last = runs.as_array().map_or(0, |runs| runs.len().saturating_sub(1));
        &runs[n.min(last)]
    }

    /// The entry of a list by attempt that the script has, or null beyond its end.
    fn attempt(list: &Value, count: &mut usize) -> Value {
        let entry = list[*count].clone();
        *count += 1;
        entry
    }
}

fn key(id: ContainerId) -> (u32, u16) {
    (id.pod, id.index)
}

/// An error as the kubelet words it.
fn grpc(text: &str) -> String {
    let codes = ["NotFound", "Unavailable", "DeadlineExceeded", "InvalidArgument"];
    match text.split_once(": ") {
        Some((code, rest)) if codes.contains(&code) => format!("rpc error: code = {code} desc = {rest}"),
        _ => format!("rpc error: code = Unknown desc = {text}"),
    }
}

/// The code that holds at a time, of a list of [from, code].
fn code_at(codes: &Value, since: Span) -> i64 {
    let list = codes.as_array().map_or(&[][..], |codes| codes);
    let holding = list.iter().rev().find(|entry| seconds(&entry[0]) <= since);
    holding.and_then(|entry| entry[1].as_i64()).unwrap_or(0)
}

impl Play<'_> {
    fn later(&mut self, after: Span, pending: Pending) {
        let at = self.now + after;
        self.push(at, Event::Runtime(pending));
    }

    fn call(&mut self, pod: u32, entry: Value) {
        let mut entry = entry;
        entry["v"] = json!("cri");
        self.entry(pod, entry);
    }

    fn entry(&mut self, pod: u32, mut entry: Value) {
        entry["o"] = json!(format!("pod:{}", self.runtime.name(pod)));
        let name = self.runtime.name(pod).to_string();
        let earlier =
            self.runtime.specs.range(..pod).filter(|other| other.1["metadata"]["name"] == *name).count();
        if earlier > 0 {
            entry["pod"] = json!(earlier + 1);
        }
        self.record(entry);
    }

    /// Takes a command of the kubelet.
    pub(super) fn command(&mut self, command: RuntimeCommand) {
        match command {
            RuntimeCommand::MountVolumes { pod } => {
                self.later(QUICK, Pending::Tell(RuntimeReport::VolumesMounted { pod, ok: true }));
            }
            RuntimeCommand::RunSandbox { pod } => self.run_sandbox(pod),
            RuntimeCommand::PullImage { container, image } => self.pull(container, image),
            RuntimeCommand::StartContainer { container } => {
                self.later(QUICK, Pending::Create(container));
            }
            RuntimeCommand::PostStart { container } => {
                let action = self.runtime.manifest(key(container))["lifecycle"]["postStart"].clone();
                let (took, code) = self.hook(container, &action, None);
                self.later(took, Pending::HookDone(container, code == Some(0)));
            }
            RuntimeCommand::StopContainer { container, grace } => self.stop(container, grace),
            RuntimeCommand::StopSandbox { pod } => {
                self.later(QUICK, Pending::StopSandbox(pod));
            }
            RuntimeCommand::Probe { container, kind } => self.probe(container, kind),
        }
    }

    fn run_sandbox(&mut self, pod: u32) {
        let attempt = self.runtime.sandboxes.get(&pod).map_or(0, |sandbox| sandbox.0 + 1);
        let list = self.runtime.script[self.runtime.name(pod)]["sandbox"].clone();
        let script = Runtime::attempt(&list, self.runtime.tries.entry(pod).or_default());
        let took = seconds(&script["delay"]).max(QUICK);
        let mut entry = json!({"call": "RunPodSandbox", "attempt": attempt, "took": took.as_secs_f64()});
        if let Some(error) = script["error"].as_str() {
            entry["error"] = json!(grpc(error));
            self.later(took, Pending::Tell(RuntimeReport::SandboxStarted { pod, ok: false, ip: 0 }));
        } else {
            self.runtime.sandboxes.insert(pod, (attempt, false));
            self.later(took, Pending::Sandbox(pod));
            if !script["dies"].is_null() {
                self.later(took + seconds(&script["dies"]), Pending::SandboxDies(pod, attempt));
            }
        }
        self.call(pod, entry);
    }

    fn pull(&mut self, container: ContainerId, image: Symbol) {
        let count = self.runtime.pulls.entry(image.to_string()).or_default();
        let number = *count;
        *count += 1;
        let pods = self.runtime.script.as_object().into_iter().flatten();
        let list = pods.map(|pod| &pod.1["images"][image.as_str()]["pulls"]).find(|list| list.is_array());
        let entries = list.and_then(Value::as_array).map_or(&[][..], |list| list);
        let entry = entries.get(number).or(entries.last()).cloned().unwrap_or(json!({"delay": 0.05}));
        let took = seconds(&entry["delay"]).max(QUICK);
        let ok = entry["error"].is_null();
        let mut line = json!({"call": "PullImage", "image": image.as_str(), "took": took.as_secs_f64()});
        if let Some(error) = entry["error"].as_str() {
            line["error"] = json!(grpc(error));
        }
        self.call(container.pod, line);
        self.later(took, Pending::Tell(RuntimeReport::ImagePulled { container, ok }));
    }

    fn instance(&self, id: ContainerId) -> Option<Instance> {
        self.runtime.instances.get(&id).copied()
    }

    fn create_instance(&mut self, id: ContainerId) {
        let list = self.runtime.of_container(key(id))["create"].clone();
        let script = Runtime::attempt(&list, self.runtime.creates.entry(key(id)).or_default());
        let took = seconds(&script["delay"]);
        let spec = &self.server.pods.get(&id.pod).map(|pod| std::sync::Arc::clone(&pod.spec));
        let image = match spec.as_ref().and_then(|spec| spec.all_containers().nth(usize::from(id.index))) {
            Some(container) => json!(container.image.as_str()),
            None => self.runtime.manifest(key(id))["image"].clone(),
        };
        let name = self.runtime.container(key(id));
        let n = self.runtime.created.get(&key(id)).copied().unwrap_or(0);
        let mut line = json!({"call": "CreateContainer", "c": name, "attempt": id.attempt});
        line["took"] = json!(took.as_secs_f64());
        if let Some(error) = script["error"].as_str() {
            line["error"] = json!(grpc(error));
            self.call(id.pod, line);
            self.later(took, Pending::Tell(RuntimeReport::ContainerNotCreated { container: id }));
            return;
        }
        line["n"] = json!(n);
        line["image"] = image;
        self.runtime.created.insert(key(id), n + 1);
        self.call(id.pod, line);
        self.later(took + QUICK, Pending::Start(id, n));
    }

    fn start_instance(&mut self, id: ContainerId, n: u32) {
        let list = self.runtime.of_container(key(id))["start"].clone();
        let script = Runtime::attempt(&list, self.runtime.starts.entry(key(id)).or_default());
        let took = seconds(&script["delay"]);
        let name = self.runtime.container(key(id));
        let mut line = json!({"call": "StartContainer", "c": name, "n": n, "took": took.as_secs_f64()});
        if let Some(error) = script["error"].as_str() {
            line["error"] = json!(grpc(error));
            self.call(id.pod, line);
            let report = RuntimeReport::ContainerStarted { container: id, ok: false };
            return self.later(took, Pending::Tell(report));
        }
        self.call(id.pod, line);
        let started = self.now + took;
        self.runtime.instances.insert(id, Instance { n, started, running: true });
        let report = RuntimeReport::ContainerStarted { container: id, ok: true };
        self.later(took, Pending::Tell(report));
        let exit = self.runtime.run(id)["exit"].clone();
        if exit.is_object() {
            let code = exit["code"].as_i64().unwrap_or(0) as i32;
            let oom = exit["reason"] == "OOMKilled";
            self.later(took + seconds(&exit["after"]), Pending::Exit(id, code, "script", oom));
        }
    }

    /// What running a command in a container gives: how long, and the exit code if it ended.
    fn exec(&self, id: ContainerId, command: &Value, limit: Option<Span>) -> (Span, Option<i64>) {
        let word = command[0].as_str().unwrap_or("");
        let run = &self.runtime.run(id)["exec"][word];
        let script = if run.is_null() { &self.runtime.of_container(key(id))["exec"][word] } else { run };
        let started = self.instance(id).map_or(self.now, |instance| instance.started);
        let took = seconds(&script["duration"]);
        if script["error"].is_string() {
            return (took, None);
        }
        match limit {
            Some(limit) if took >= limit => (limit, None),
            _ => (took, Some(code_at(&script["codes"], self.now - started))),
        }
    }

    /// Runs a hook; no command of a container is a hook of another kind.
    fn hook(&mut self, id: ContainerId, action: &Value, limit: Option<Span>) -> (Span, Option<i64>) {
        let command = &action["exec"]["command"];
        if command.is_array() {
            let (took, code) = self.exec(id, command, limit);
            let words: Vec<_> = command.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let name = self.runtime.container(key(id));
            let n = self.instance(id).map_or(0, |instance| instance.n);
            let mut line = json!({"call": "ExecSync", "c": name, "n": n, "cmd": words.join(" ")});
            line["took"] = json!(took.as_secs_f64());
            line["timeout"] = json!(0);
            match code {
                Some(code) => line["code"] = json!(code),
                None => line["error"] = json!("DeadlineExceeded"),
            }
            self.call(id.pod, line);
            return (took, code);
        }
        if action["httpGet"].is_object() {
            let (took, success) = self.ask(id, &action["httpGet"], limit);
            return (took, success.map(|success| i64::from(!success)));
        }
        let took = seconds(&action["sleep"]["seconds"]);
        (limit.map_or(took, |limit| took.min(limit)), Some(0))
    }

    fn probe(&mut self, id: ContainerId, kind: ProbeKind) {
        let name = match kind {
            ProbeKind::Startup => "startupProbe",
            ProbeKind::Readiness => "readinessProbe",
            ProbeKind::Liveness => "livenessProbe",
        };
        let probe = self.runtime.manifest(key(id))[name].clone();
        let timeout = probe["timeoutSeconds"].as_i64().unwrap_or(1);
        let limit = Span::from_secs(timeout);
        let (took, success) = if probe["exec"].is_object() {
            let command = probe["exec"]["command"].clone();
            let (took, code) = self.exec(id, &command, Some(limit));
            let words: Vec<_> = command.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let container = self.runtime.container(key(id));
            let n = self.instance(id).map_or(0, |instance| instance.n);
            let mut line = json!({"call": "ExecSync", "c": container, "n": n, "cmd": words.join(" ")});
            line["took"] = json!(took.as_secs_f64());
            line["timeout"] = json!(timeout);
            match code {
                Some(code) => line["code"] = json!(code),
                None => line["error"] = json!("DeadlineExceeded"),
            }
            self.call(id.pod, line);
            if code.is_none() && took < limit {
                let report = RuntimeReport::ProbeError { container: id, kind };
                return self.later(took, Pending::Tell(report));
            }
            (took, code == Some(0))
        } else {
            let (took, success) = self.ask(id, &probe["httpGet"], Some(limit));
            (took, success == Some(true))
        };
        let report = RuntimeReport::Probed { container: id, kind, success, steady: false };
        self.later(took, Pending::Tell(report));
    }

    /// Asks the container's HTTP server, which is recorded if it hears it. Gives how long that takes
    /// and whether the answer is a success; none if it takes too long.
    fn ask(&mut self, id: ContainerId, get: &Value, limit: Option<Span>) -> (Span, Option<bool>) {
        let of_run = &self.runtime.run(id)["http"];
        let http = if of_run.is_null() {
            self.runtime.of_container(key(id))["http"].clone()
        } else {
            of_run.clone()
        };
        let Some(instance) = self.instance(id) else { return (Span::ZERO, Some(false)) };
        let since = self.now - instance.started;
        let open = http.is_object()
            && instance.running
            && since >= seconds(&http["from"])
            && (http["until"].is_null() || since < seconds(&http["until"]));
        if !open {
            return (Span::ZERO, Some(false));
        }
        let code = if http["codes"].is_array() { code_at(&http["codes"], since) } else { 200 };
        if get.is_object() {
            let name = self.runtime.container(key(id));
            let cmd = format!("GET {}", get["path"].as_str().unwrap_or("/"));
            self.call(id.pod, json!({"call": "HTTP", "c": name, "n": instance.n, "cmd": cmd, "code": code}));
        }
        let took = seconds(&http["delay"]);
        match limit {
            Some(limit) if get.is_object() && took >= limit => (limit, None),
            _ => (took, Some((200..400).contains(&code) || !get.is_object())),
        }
    }

    fn stop(&mut self, id: ContainerId, grace: Span) {
        let hook = self.runtime.manifest(key(id))["lifecycle"]["preStop"].clone();
        let seconds = grace.nanos() / NANOS_PER_SECOND;
        if hook.is_object() && self.instance(id).is_some_and(|instance| instance.running) {
            let (took, _) = self.hook(id, &hook, Some(grace));
            let left = (seconds - took.nanos() / NANOS_PER_SECOND).max(2);
            self.later(took, Pending::Stop(id, left));
        } else {
            self.later(Span::ZERO, Pending::Stop(id, seconds));
        }
    }

    fn send_term(&mut self, id: ContainerId, timeout: i64) {
        let Some(instance) = self.instance(id) else { return };
        let name = self.runtime.container(key(id));
        let line = json!({"call": "StopContainer", "c": name, "n": instance.n, "timeout": timeout,
            "running": instance.running});
        self.call(id.pod, line);
        let term = self.runtime.run(id)["term"].clone();
        let limit = Span::from_secs(timeout);
        let after = if term.is_null() { Span::from_millis(100) } else { seconds(&term["after"]) };
        if term["ignore"] == true || after >= limit {
            self.later(limit, Pending::Exit(id, 137, "kill", false));
        } else {
            let code = term["code"].as_i64().unwrap_or(143) as i32;
            self.later(after, Pending::Exit(id, code, "term", false));
        }
    }

    /// Ends what runs in a sandbox.
    fn end_all(&mut self, pod: u32, code: i32, why: &'static str) -> Vec<RuntimeReport> {
        let running: Vec<_> = self
            .runtime
            .instances
            .iter()
            .filter(|(id, instance)| id.pod == pod && instance.running)
            .map(|(id, _)| *id)
            .collect();
        running.into_iter().flat_map(|id| self.end(id, code, why, false)).collect()
    }

    fn end(&mut self, id: ContainerId, code: i32, why: &'static str, oom: bool) -> Vec<RuntimeReport> {
        let Some(instance) = self.runtime.instances.get_mut(&id) else { return Vec::new() };
        if !instance.running {
            return Vec::new();
        }
        instance.running = false;
        let n = instance.n;
        let name = self.runtime.container(key(id));
        self.entry(id.pod, json!({"v": "exit", "c": name, "n": n, "code": code, "why": why}));
        vec![RuntimeReport::ContainerExited { container: id, exit_code: code, oom_killed: oom }]
    }

    /// Goes on with something and returns what the kubelet is told.
    pub(super) fn advance(&mut self, pending: Pending) -> Vec<RuntimeReport> {
        let reports = match pending {
            Pending::Tell(report) => vec![report],
            Pending::Sandbox(pod) => {
                self.runtime.sandboxes.entry(pod).and_modify(|sandbox| sandbox.1 = true);
                self.runtime.addresses += 1;
                let host = self.runtime.specs[&pod]["spec"]["hostNetwork"] == true;
                let ip = if host { 0 } else { self.runtime.addresses };
                vec![RuntimeReport::SandboxStarted { pod, ok: true, ip }]
            }
            Pending::SandboxDies(pod, attempt) => {
                if self.runtime.sandboxes.get(&pod) != Some(&(attempt, true)) {
                    return Vec::new();
                }
                self.runtime.sandboxes.insert(pod, (attempt, false));
                let mut reports = self.end_all(pod, 137, "sandbox died");
                self.call(pod, json!({"call": "SandboxDied", "attempt": attempt}));
                reports.push(RuntimeReport::SandboxStopped { pod });
                reports
            }
            Pending::Create(id) => {
                self.create_instance(id);
                Vec::new()
            }
            Pending::Start(id, n) => {
                self.start_instance(id, n);
                Vec::new()
            }
            Pending::Exit(id, code, why, oom) => self.end(id, code, why, oom),
            Pending::HookDone(container, ok) => vec![RuntimeReport::PostStartDone { container, ok }],
            Pending::Stop(id, timeout) => {
                self.send_term(id, timeout);
                Vec::new()
            }
            Pending::StopSandbox(pod) => {
                let (attempt, ready) = self.runtime.sandboxes.get(&pod).copied().unwrap_or_default();
                let line =
                    json!({"call": "StopPodSandbox", "attempt": attempt, "was_ready": ready, "took": 0.0});
                self.call(pod, line);
                self.runtime.sandboxes.insert(pod, (attempt, false));
                let mut reports = self.end_all(pod, 137, "sandbox");
                reports.push(RuntimeReport::SandboxStopped { pod });
                reports
            }
        };
        if self.runtime.known { reports } else { self.unheard(reports) }
    }

    /// Nobody listens: the kubelet will see the ends of containers when it is back.
    fn unheard(&mut self, reports: Vec<RuntimeReport>) -> Vec<RuntimeReport> {
        reports
            .into_iter()
            .filter(|report| {
                matches!(report, RuntimeReport::ContainerExited { .. } | RuntimeReport::SandboxStopped { .. })
            })
            .collect()
    }

    /// All containers end with their machine.
    pub(super) fn reboot(&mut self) {
        let pods: Vec<_> = self.runtime.sandboxes.keys().copied().collect();
        for pod in pods {
            let (attempt, ready) = self.runtime.sandboxes[&pod];
            if ready {
                self.call(pod, json!({"call": "SandboxDied", "attempt": attempt}));
            }
            self.end_all(pod, 255, "reboot");
            self.runtime.sandboxes.entry(pod).and_modify(|sandbox| sandbox.1 = false);
        }
        self.kubelets.crash_node(self.now, super::NODE.into());
    }
}
