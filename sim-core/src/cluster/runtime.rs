//! The container runtimes of all machines: what a kubelet commands takes its time and is
//! reported, and containers end, get ready or fail as their profile says.

use std::sync::Arc;

use seatrial_api::container::{Container, RestartPolicy};
use seatrial_api::pages::Pages;
use seatrial_api::pod::{ContainerState, Pod, PodSpec};
use seatrial_api::runtime::{ContainerId, ProbeKind, RuntimeCommand, RuntimeReport};
use seatrial_api::units::{Bytes, MilliCpu, Ratio, SimTime, Span};
use smallvec::SmallVec;

use super::behaviour::{Behaviours, MemoryShare};
use super::latency::Latencies;
use super::machines::MachineState;
use super::streams::{Purpose, Streams, name_entity};

/// How long a container of an image that crashes runs.
const CRASH_AFTER: Span = Span::from_secs(1);
/// Exit code of a container that SIGKILL ended.
pub(super) const EXIT_KILLED: i32 = 137;

/// A container as it really is.
#[derive(Clone, Copy, Debug, Default)]
struct ContainerTruth {
    /// When its newest instance started.
    started: SimTime,
    /// From when on it passes its probes.
    serves_from: SimTime,
    /// Until when.
    serves_until: SimTime,
    attempt: u16,
    running: bool,
    /// Whether its newest readiness probe passed, or it has none.
    ready: bool,
}

/// A pod as it really is, whatever the API server says.
#[derive(Clone, Debug)]
pub(crate) struct PodTruth {
    /// Who draws.
    pub(crate) entity: u64,
    /// Its profile.
    pub(crate) profile: Option<u16>,
    /// Its machine, once it is bound.
    pub(crate) machine: Option<u32>,
    /// How often it was the object of a request or a change.
    pub(crate) draws: u32,
    /// CPU and memory that it uses while it runs.
    pub(crate) usage: (MilliCpu, Bytes),
    spec: Arc<PodSpec>,
    containers: SmallVec<[ContainerTruth; 1]>,
    ip: u32,
}

impl PodTruth {
    /// Its main containers.
    pub(crate) fn containers(&self) -> &[Container] {
        &self.spec.containers
    }

    /// Whether its use is measured: from the making of its sandbox on.
    pub(crate) fn is_measured(&self) -> bool {
        self.ip != 0 || self.containers.iter().any(|container| container.running)
    }

    /// Whether all main containers run.
    pub(crate) fn is_running(&self) -> bool {
        let mains = self.spec.containers.len();
        let known = self.containers.len();
        known >= mains && self.containers[known - mains..].iter().all(|container| container.running)
    }

    /// Whether all main containers run and pass their readiness probes.
    pub(crate) fn is_serving(&self) -> bool {
        let mains = self.spec.containers.len();
        let known = self.containers.len();
        known >= mains && self.containers[known - mains..].iter().all(|c| c.running && c.ready)
    }
}

/// A command's outcome: when it is reported and what is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) at: SimTime,
    pub(crate) report: RuntimeReport,
}

/// All runtimes.
#[derive(Clone, Debug)]
pub(crate) struct Runtimes {
    pods: Pages<PodTruth>,
    pub(crate) behaviours: Behaviours,
    /// How many times slower the registry is.
    pub(crate) registry_slowdown: Ratio,
    next_ip: u32,
}

/// The first address of pods, 10.128.0.0.
const POD_NETWORK: u32 = 10 << 24 | 128 << 16;

impl Runtimes {
    /// Runtimes without pods.
    pub(crate) fn new(behaviours: Behaviours) -> Runtimes {
        Runtimes {
            pods: Pages::default(),
            behaviours,
            registry_slowdown: Ratio::new(1, 1),
            next_ip: POD_NETWORK,
        }
    }

    /// A new pod is known from its creation on.
    pub(crate) fn add_pod(&mut self, pod: &Pod, streams: &mut Streams) {
        let profile = self.behaviours.find(pod);
        let truth = PodTruth {
            entity: streams.pod_entity(&pod.meta),
            profile,
            machine: None,
            draws: 0,
            usage: self.behaviours.usage(profile, pod),
            spec: pod.spec.clone(),
            containers: SmallVec::new(),
            ip: 0,
        };
        self.pods.insert(pod.meta.id, truth);
    }

    /// What the running main containers of a pod use of memory: their positions among init and main
    /// containers, their instances.
    pub(crate) fn memory_of(&self, pod: u32) -> impl Iterator<Item = (ContainerId, Bytes)> {
        let truth = self.pods.get(pod);
        let containers = truth.into_iter().flat_map(move |truth| {
            let shares = self.behaviours.memory_shares(truth.profile, &truth.spec);
            let first_main = truth.spec.init_containers.len();
            truth.containers.iter().enumerate().skip(first_main).zip(shares)
        });
        let running = containers.filter(|((_, row), _)| row.running);
        running.map(move |((index, row), share)| {
            (ContainerId { pod, index: index as u16, attempt: row.attempt }, share.used())
        })
    }

    /// The pod's object is gone.
    pub(crate) fn remove_pod(&mut self, pod: u32) {
        self.pods.remove(pod);
    }

    /// A pod.
    pub(crate) fn pod(&self, pod: u32) -> Option<&PodTruth> {
        self.pods.get(pod)
    }

    /// A pod, to be changed.
    pub(crate) fn pod_mut(&mut self, pod: u32) -> Option<&mut PodTruth> {
        self.pods.get_mut(pod)
    }

    /// Everything of a pod stops: its machine lost power.
    pub(crate) fn kill_pod(&mut self, pod: u32) {
        if let Some(truth) = self.pods.get_mut(pod) {
            truth.containers.iter_mut().for_each(|container| container.running = false);
        }
    }

    /// The containers of a pod that a state dump shows running have been running.
    pub(crate) fn adopt_running(&mut self, pod: &Pod) {
        let Some(truth) = self.pods.get_mut(pod.meta.id) else { return };
        let known = pod.status.containers.as_deref().unwrap_or_default();
        let containers = pod.spec.all_containers().map(|container| {
            let status = known.iter().find(|status| status.name == container.name);
            let started = status.and_then(|status| match status.state {
                ContainerState::Running { started } => Some(started),
                _ => None,
            });
            let since = started.unwrap_or_default();
            ContainerTruth {
                started: since,
                serves_from: since,
                serves_until: SimTime::MAX,
                attempt: status.map_or(0, |status| u16::try_from(status.restarts).unwrap_or(u16::MAX)),
                running: started.is_some(),
                ready: status.is_some_and(|status| status.ready),
            }
        });
        truth.containers = containers.collect();
        truth.ip = pod.status.ip;
        self.next_ip = self.next_ip.max(pod.status.ip.saturating_add(1));
    }

    /// Carries a command out.
    pub(crate) fn command(
        &mut self,
        now: SimTime,
        machine: &mut MachineState,
        command: RuntimeCommand,
        latencies: &Latencies,
        streams: &Streams,
    ) -> SmallVec<[Answer; 2]> {
        let mut answers = SmallVec::new();
        let mut answer = |at: SimTime, report: RuntimeReport| answers.push(Answer { at, report });
        let pod = command_pod(command);
        let Some(truth) = self.pods.get_mut(pod) else {
            // The object is gone; what is left of the pod goes without delay.
            if let Some(report) = report_of_gone(command) {
                answer(now, report);
            }
            return answers;
        };
        let entity = truth.entity;
        let stream = |purpose, nth: u32| streams.of(entity, purpose, nth);
        match command {
            RuntimeCommand::MountVolumes { pod } => {
                let span = latencies.volume_mount.draw_from(|| stream(Purpose::VolumeMount, 0));
                answer(now + span, RuntimeReport::VolumesMounted { pod, ok: true });
            }
            RuntimeCommand::RunSandbox { pod } => {
                let span = latencies.sandbox.draw_from(|| stream(Purpose::Sandbox, truth.draws));
                let begin = machine.reserve_sandbox(now, span);
                if truth.ip == 0 {
                    truth.ip = self.next_ip;
                    self.next_ip += 1;
                }
                let ip = if truth.spec.host_network { 0 } else { truth.ip };
                answer(begin + span, RuntimeReport::SandboxStarted { pod, ok: true, ip });
            }
            RuntimeCommand::PullImage { container, image } => {
                let behaviour = self.behaviours.image(image);
                let nth = container_draw(container);
                let fixed = latencies.image_pull_fixed.draw(&mut stream(Purpose::PullFixed, nth));
                let image_entity =
                    name_entity(seatrial_api::object::Kind::Untyped, Default::default(), image.as_str());
                let mut size_stream = streams.of(image_entity, Purpose::ImageSize, 0);
                let size = behaviour.size.unwrap_or_else(|| latencies.image_size.draw(&mut size_stream));
                let transfer = latencies.image_transfer(size, &mut stream(Purpose::PullBandwidth, nth));
                let slowed = scale(transfer + fixed, self.registry_slowdown);
                let ok = !behaviour.broken;
                answer(now + if ok { slowed } else { fixed }, RuntimeReport::ImagePulled { container, ok });
            }
            RuntimeCommand::StartContainer { container } => {
                let spec = container_spec(&truth.spec, container.index);
                let probed =
                    spec.is_some_and(|spec| spec.readiness_probe.is_some() || spec.startup_probe.is_some());
                let crashes = spec.is_some_and(|spec| self.behaviours.image(spec.image).crashes);
                let behaviour = self.behaviours.get(truth.profile);
                let nth = container_draw(container);
                let startup = behaviour.and_then(|behaviour| behaviour.startup.as_ref());
                let startup = startup.or(probed.then_some(&latencies.startup));
                let startup = startup.map_or(Span::ZERO, |law| law.draw(&mut stream(Purpose::Startup, nth)));
                let start = latencies.container_start.draw_from(|| stream(Purpose::ContainerStart, nth));
                // Without a probe nothing would show the startup: it then is part of the start.
                let (start, warm_up) = if probed { (start, startup) } else { (start + startup, Span::ZERO) };
                let unready = behaviour.and_then(|behaviour| behaviour.unready_after.as_ref());
                let unready = unready.map(|law| law.draw(&mut stream(Purpose::UnreadyAfter, nth)));
                let at = now + start;
                let row = truth_of(truth, container.index);
                row.attempt = container.attempt;
                row.started = at;
                // What crashes does so before it is up.
                row.serves_from = if crashes { SimTime::MAX } else { at + warm_up };
                row.serves_until = unready.map_or(SimTime::MAX, |span| at + span);
                answer(at, RuntimeReport::ContainerStarted { container, ok: true });
            }
            RuntimeCommand::PostStart { container } => {
                answer(now, RuntimeReport::PostStartDone { container, ok: true });
            }
            RuntimeCommand::StopContainer { container, grace } => {
                let running = truth_of(truth, container.index).running;
                let law = self.behaviours.get(truth.profile).and_then(|behaviour| behaviour.stop.as_ref());
                let law = law.unwrap_or(&latencies.container_stop);
                let span = law.draw_from(|| stream(Purpose::ContainerStop, container_draw(container)));
                let (span, exit_code) = if span < grace { (span, 0) } else { (grace, EXIT_KILLED) };
                let span = if running { span } else { Span::ZERO };
                answer(
                    now + span,
                    RuntimeReport::ContainerExited { container, exit_code, oom_killed: false },
                );
            }
            RuntimeCommand::PreStop { container, .. } => {
                answer(now, RuntimeReport::PreStopDone { container, ok: true });
            }
            RuntimeCommand::UpdateSandbox { .. } | RuntimeCommand::UpdateContainer { .. } => {}
            RuntimeCommand::StopSandbox { pod } => answer(now, RuntimeReport::SandboxStopped { pod }),
            RuntimeCommand::Probe { container, kind } => {
                let row = *truth_of(truth, container.index);
                let success = row.running && now >= row.serves_from && now < row.serves_until;
                let steady = success || now >= row.serves_until;
                answer(now, RuntimeReport::Probed { container, kind, success, steady });
            }
        }
        answers
    }

    /// Takes a report that is due: whether it still holds, and what follows by itself.
    pub(crate) fn report(&mut self, now: SimTime, report: RuntimeReport, streams: &Streams) -> Due {
        match report {
            RuntimeReport::ContainerStarted { container, ok: true } => self.started(now, container, streams),
            RuntimeReport::ContainerExited { container, .. } => {
                let Some(truth) = self.pods.get_mut(container.pod) else { return Due::HOLDS };
                let row = truth_of(truth, container.index);
                let holds = row.running && row.attempt == container.attempt;
                if holds {
                    row.running = false;
                }
                Due { holds, ..Due::HOLDS }
            }
            RuntimeReport::Probed { container, kind: ProbeKind::Readiness, success, .. } => {
                if let Some(truth) = self.pods.get_mut(container.pod) {
                    truth_of(truth, container.index).ready = success;
                }
                Due::HOLDS
            }
            _ => Due::HOLDS,
        }
    }

    /// A container has started: when it will end by itself, and when it will lose its readiness.
    fn started(&mut self, now: SimTime, container: ContainerId, streams: &Streams) -> Due {
        let Some(truth) = self.pods.get_mut(container.pod) else { return Due::HOLDS };
        let Some(spec) = container_spec(&truth.spec, container.index) else { return Due::HOLDS };
        let image = spec.image;
        let probed = spec.readiness_probe.is_some();
        let is_main = usize::from(container.index) >= truth.spec.init_containers.len();
        let is_sidecar = !is_main && spec.is_sidecar();
        let policy = truth.spec.restart_policy;
        let crashes = self.behaviours.image(image).crashes;
        let behaviour = self.behaviours.get(truth.profile);
        let nth = container_draw(container);
        let drawn = behaviour.and_then(|behaviour| behaviour.run_time.as_ref());
        let drawn = drawn.map(|law| law.draw_from(|| streams.of(truth.entity, Purpose::RunTime, nth)));
        let run_time = match (crashes, is_main, is_sidecar) {
            (true, ..) => Some(CRASH_AFTER),
            (_, true, _) if policy == RestartPolicy::Always => drawn,
            (_, true, _) => drawn.or(Some(Behaviours::default_run_time())),
            (_, _, true) => None,
            _ => Some(Span::ZERO),
        };
        let failure = behaviour.map_or(Ratio::new(0, 1), |behaviour| behaviour.failure());
        let failed = is_main && happens(failure, &mut streams.of(truth.entity, Purpose::Failure, nth));
        let main = usize::from(container.index).checked_sub(truth.spec.init_containers.len());
        let share = main.and_then(|main| self.behaviours.memory_shares(truth.profile, &truth.spec).nth(main));
        let is_over = share.is_some_and(MemoryShare::is_over);
        let row = truth_of(truth, container.index);
        row.running = true;
        row.ready = !probed;
        let exit = run_time.map(|span| (now + span, i32::from(crashes || failed), false));
        // Its start-up is over when it has filled its memory.
        let killed = is_over.then(|| (row.serves_from.max(now + CRASH_AFTER), EXIT_KILLED, true));
        let exit = exit.into_iter().chain(killed).min_by_key(|exit| exit.0);
        let exit = exit.map(|(at, exit_code, oom_killed)| Answer {
            at,
            report: RuntimeReport::ContainerExited { container, exit_code, oom_killed },
        });
        let unready_at = (row.serves_until < SimTime::MAX).then_some(row.serves_until);
        Due { holds: true, exit, unready_at }
    }

    /// The containers of a pod lose their readiness now; the probes that notice it.
    pub(crate) fn unready(&mut self, pod: u32, attempt: u32) -> SmallVec<[RuntimeReport; 4]> {
        let mut reports = SmallVec::new();
        let Some(truth) = self.pods.get_mut(pod) else { return reports };
        let first_main = truth.spec.init_containers.len();
        for (index, row) in truth.containers.iter_mut().enumerate().skip(first_main) {
            if row.running && u32::from(row.attempt) == attempt {
                let container = ContainerId { pod, index: index as u16, attempt: row.attempt };
                for kind in [ProbeKind::Readiness, ProbeKind::Liveness] {
                    reports.push(RuntimeReport::ProbeChanged { container, kind });
                }
            }
        }
        reports
    }
}

/// What becomes of a report that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Whether it is still true and to be told.
    pub(crate) holds: bool,
    /// When the container will end by itself.
    pub(crate) exit: Option<Answer>,
    /// When it will lose its readiness.
    pub(crate) unready_at: Option<SimTime>,
}

impl Due {
    const HOLDS: Due = Due { holds: true, exit: None, unready_at: None };
}

fn command_pod(command: RuntimeCommand) -> u32 {
    match command {
        RuntimeCommand::MountVolumes { pod }
        | RuntimeCommand::RunSandbox { pod }
        | RuntimeCommand::UpdateSandbox { pod }
        | RuntimeCommand::StopSandbox { pod } => pod,
        RuntimeCommand::PullImage { container, .. }
        | RuntimeCommand::StartContainer { container }
        | RuntimeCommand::PostStart { container }
        | RuntimeCommand::PreStop { container, .. }
        | RuntimeCommand::UpdateContainer { container }
        | RuntimeCommand::StopContainer { container, .. }
        | RuntimeCommand::Probe { container, .. } => container.pod,
    }
}

/// What is reported of a pod whose object is gone: that it stops.
fn report_of_gone(command: RuntimeCommand) -> Option<RuntimeReport> {
    match command {
        RuntimeCommand::StopContainer { container, .. } => {
            Some(RuntimeReport::ContainerExited { container, exit_code: EXIT_KILLED, oom_killed: false })
        }
        RuntimeCommand::StopSandbox { pod } => Some(RuntimeReport::SandboxStopped { pod }),
        _ => None,
    }
}

/// The number of a container's draw: each instance of each container has its own.
fn container_draw(container: ContainerId) -> u32 {
    u32::from(container.index) << 16 | u32::from(container.attempt)
}

fn container_spec(spec: &PodSpec, index: u16) -> Option<&seatrial_api::container::Container> {
    spec.all_containers().nth(usize::from(index))
}

fn truth_of(truth: &mut PodTruth, index: u16) -> &mut ContainerTruth {
    let index = usize::from(index);
    if truth.containers.len() <= index {
        let count = truth.spec.init_containers.len() + truth.spec.containers.len();
        truth.containers.resize(count.max(index + 1), ContainerTruth::default());
    }
    &mut truth.containers[index]
}

/// A span times a ratio, in integers.
fn scale(span: Span, ratio: Ratio) -> Span {
    let nanos = i128::from(span.nanos()) * i128::from(ratio.num) / i128::from(ratio.den);
    Span::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Whether something with this chance happens.
fn happens(chance: Ratio, stream: &mut seatrial_api::stream::Stream) -> bool {
    chance.num > 0 && stream.below(chance.den.unsigned_abs()) < chance.num.unsigned_abs()
}
