//! The scripted kubelet: it starts and ends pods after fixed delays, and as annotations say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::container::Container;
use seatrial_api::machine::NO_REPLY;
use seatrial_api::meta::Uid;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::{
    ConditionStatus, ContainerState, ContainerStatus, Pod, PodConditionType, PodPhase, PodReason, PodStatus,
    StatusText,
};
use seatrial_api::request::{DeleteOptions, Patch, Request};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::super::scenario::span;
use super::{ANSWERED, Client, Play, SERVED, What};

/// What the kubelet's annotations begin with.
const PREFIX: &str = "fake-kubelet/";
/// The index of a pod in its Job.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// From a change or an answer to what follows from it: the script is no compiled program.
const PAUSE: Span = Span::from_millis(5);
/// What an evicted pod says.
const EVICTED: &str = "The node was low on resource: memory. ";

/// What the kubelet is about to do with a pod, by its row.
#[derive(Clone, Copy, Debug)]
pub(super) enum KubeletTimer {
    Start(u32),
    Ready(u32),
    End { pod: u32, code: i32 },
    Restart(u32),
    Terminate(u32),
    Remove(u32),
}

/// What the kubelet remembers.
#[derive(Default)]
pub(super) struct Kubelet {
    /// Pods whose binding, or whose termination with a grace, was noticed.
    bound: BTreeSet<u32>,
    terminating: BTreeMap<u32, u32>,
    /// When the pod that was bound last starts.
    last_start: Option<SimTime>,
    /// When its last request is answered: it asks one thing after another.
    free_at: Option<SimTime>,
    /// How many pods of an owner were started.
    started: BTreeMap<Uid, u32>,
    /// Nodes on which nothing happens.
    pub(super) silent: BTreeSet<Symbol>,
    /// What is to be done there as soon as something happens again.
    held: Vec<(Symbol, KubeletTimer)>,
}

impl Kubelet {
    /// What waits on a node that is back.
    pub(super) fn release(&mut self, node: Symbol) -> Vec<KubeletTimer> {
        self.silent.remove(&node);
        let (released, held) = std::mem::take(&mut self.held).into_iter().partition(|(of, _)| *of == node);
        self.held = held;
        let released: Vec<(Symbol, KubeletTimer)> = released;
        released.into_iter().map(|(_, timer)| timer).collect()
    }
}

impl KubeletTimer {
    fn pod(self) -> u32 {
        match self {
            KubeletTimer::Start(pod)
            | KubeletTimer::Ready(pod)
            | KubeletTimer::End { pod, .. }
            | KubeletTimer::Restart(pod)
            | KubeletTimer::Terminate(pod)
            | KubeletTimer::Remove(pod) => pod,
        }
    }
}

/// What a pod's annotation tells the kubelet.
fn told(pod: &Pod, key: &str) -> Option<&'static str> {
    pod.meta.annotations.get(Symbol::new(&format!("{PREFIX}{key}"))).map(Symbol::as_str)
}

fn told_number(pod: &Pod, key: &str) -> Option<f64> {
    told(pod, key)?.parse().ok().filter(|number: &f64| number.is_finite())
}

fn told_span(pod: &Pod, key: &str) -> Option<Span> {
    told_number(pod, key).map(span)
}

fn told_true(pod: &Pod, key: &str) -> bool {
    told(pod, key) == Some("true")
}

/// How a started pod ends: after how long, and with which exit code.
fn ending(pod: &Pod, number: u32) -> Option<(Span, i32)> {
    let fails = if let Some(indexes) = told(pod, "fail-indexes") {
        let index = pod.meta.annotations.get(Symbol::new(INDEX));
        index.is_some_and(|index| indexes.split(',').any(|one| index == one.trim()))
    } else if let Some(first) = told_number(pod, "fail-first") {
        f64::from(number) <= first
    } else {
        told(pod, "fail-after").is_some()
    };
    let code = told_number(pod, "exit-code").map_or(1, |code| code as i32);
    if fails {
        Some((told_span(pod, "fail-after")?, code))
    } else {
        Some((told_span(pod, "succeed-after")?, 0))
    }
}

impl Play<'_> {
    /// The kubelet is shown a pod.
    pub(super) fn kubelet_sees(&mut self, pod: &Arc<Pod>) {
        let id = pod.meta.id;
        if pod.node.is_none() {
            return;
        }
        if let Some(deletion) = pod.meta.deletion() {
            let grace = deletion.grace_seconds;
            let known = self.kubelet.terminating.get(&id);
            if grace > 0 && known.is_none_or(|known| grace < *known) {
                self.kubelet.terminating.insert(id, grace);
                let term = told_span(pod, "term").unwrap_or(self.scenario.kubelet.term);
                let wait = term.min(Span::from_secs(i64::from(grace)));
                self.queue.push(self.now + PAUSE + wait, What::Kubelet(KubeletTimer::Terminate(id)));
            }
        } else if pod.status.phase == PodPhase::Pending && self.kubelet.bound.insert(id) {
            self.kubelet_takes(pod);
        }
    }

    /// A pod was bound.
    fn kubelet_takes(&mut self, pod: &Pod) {
        if told_true(pod, "never-run") {
            return;
        }
        let delays = self.scenario.kubelet;
        let start = self.now + PAUSE + told_span(pod, "start").unwrap_or(delays.start);
        let at = self.kubelet.last_start.map_or(start, |last| start.max(last + delays.serial));
        self.kubelet.last_start = Some(at);
        self.queue.push(at, What::Kubelet(KubeletTimer::Start(pod.meta.id)));
    }

    pub(super) fn kubelet_timer(&mut self, timer: KubeletTimer) {
        let Some(pod) = self.server.typed::<Pod>(timer.pod()).cloned() else { return };
        let node = pod.node.unwrap_or_default();
        if self.kubelet.silent.contains(&node) {
            self.kubelet.held.push((node, timer));
            return;
        }
        match timer {
            KubeletTimer::Start(_) => self.kubelet_starts(&pod),
            KubeletTimer::Ready(_) if pod.is_active() => {
                self.kubelet_writes(&pod, running(&pod, true, None));
            }
            KubeletTimer::End { code, .. } if pod.is_active() => {
                self.kubelet_writes(&pod, Ending::with(code).into());
            }
            KubeletTimer::Ready(_) | KubeletTimer::End { .. } => {}
            KubeletTimer::Remove(_) => self.kubelet_removes(&pod),
            KubeletTimer::Restart(_) => self.kubelet_restarts(&pod),
            KubeletTimer::Terminate(_) => self.kubelet_terminates(&pod),
        }
    }

    fn kubelet_starts(&mut self, pod: &Pod) {
        if !pod.is_active() || pod.status.phase != PodPhase::Pending {
            return;
        }
        let id = pod.meta.id;
        let never = told_true(pod, "never-ready");
        let ready_after = told_span(pod, "ready-after");
        let started = self.kubelet_writes(pod, running(pod, !never && ready_after.is_none(), None));
        if let Some(after) = ready_after.filter(|_| !never) {
            self.queue.push(started + after, What::Kubelet(KubeletTimer::Ready(id)));
        }
        let owner = pod.meta.controller().map_or(pod.meta.uid, |owner| owner.uid);
        let number = self.kubelet.started.entry(owner).or_default();
        *number += 1;
        if let Some((after, code)) = ending(pod, *number) {
            self.queue.push(started + after, What::Kubelet(KubeletTimer::End { pod: id, code }));
        }
        if let Some(every) = told_span(pod, "restart-every") {
            self.queue.push(started + every, What::Kubelet(KubeletTimer::Restart(id)));
        }
    }

    fn kubelet_restarts(&mut self, pod: &Pod) {
        if pod.status.phase != PodPhase::Running || pod.meta.is_deleting() {
            return;
        }
        let restarts = pod.status.restarts() + 1;
        let restarted = self.kubelet_writes(pod, running(pod, true, Some(restarts)));
        if let Some(every) = told_span(pod, "restart-every").filter(|every| *every > Span::ZERO) {
            self.queue.push(restarted + every, What::Kubelet(KubeletTimer::Restart(pod.meta.id)));
        }
    }

    /// The grace of a pod is over: it ends, and then its object goes.
    fn kubelet_terminates(&mut self, pod: &Pod) {
        let mut ended = self.now;
        if !pod.status.phase.is_terminal() {
            let never_started = pod.status.phase == PodPhase::Pending;
            let code = told_number(pod, "term-exit").map_or(0, |code| code as i32);
            let ending = Ending::with(if never_started { 1 } else { code });
            ended = self.kubelet_writes(pod, ending.into());
        }
        self.queue.push(ended, What::Kubelet(KubeletTimer::Remove(pod.meta.id)));
    }

    fn kubelet_removes(&mut self, pod: &Pod) {
        let target = ObjectRef { kind: Kind::Pod, id: pod.meta.id };
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        self.kubelet_asks(Request::Delete { target, options });
    }

    /// What an action makes the kubelet say of a pod at once.
    pub(super) fn kubelet_says(&mut self, id: u32, what: &str) {
        let Some(pod) = self.server.typed::<Pod>(id).cloned() else { return };
        let shown = match what {
            "ready" => running(&pod, true, None),
            "notready" => running(&pod, false, None),
            "succeed" => Ending::with(0).into(),
            "evict" => Shown { evicted: true, ..Ending::with(1).into() },
            _ => Ending::with(1).into(),
        };
        self.kubelet_writes(&pod, shown);
    }

    /// Writes what a pod is like. When the script goes on.
    fn kubelet_writes(&mut self, pod: &Pod, shown: Shown) -> SimTime {
        if pod.status.phase.is_terminal() {
            return self.now;
        }
        // Times of the API have whole seconds.
        let status = status(pod, &shown, self.now.truncate_to_second());
        self.kubelet_asks(Request::patch_pod(pod.meta.id, Patch::PodStatus(Box::new(status))))
    }

    /// Asks for something as soon as all that was asked before is answered. When the script goes on.
    fn kubelet_asks(&mut self, request: Request) -> SimTime {
        let at = self.kubelet.free_at.map_or(self.now, |free| free.max(self.now));
        let answered = at + SERVED + ANSWERED;
        self.kubelet.free_at = Some(answered);
        self.queue.push(at + SERVED, What::Serve(Client::Kubelet, NO_REPLY, request));
        answered + PAUSE
    }
}

/// What a status is to show.
struct Shown {
    ready: bool,
    restarts: u32,
    ending: Option<Ending>,
    evicted: bool,
}

/// How a pod ended.
#[derive(Clone, Copy)]
struct Ending {
    code: i32,
}

impl Ending {
    fn with(code: i32) -> Ending {
        Ending { code }
    }
}

impl From<Ending> for Shown {
    fn from(ending: Ending) -> Shown {
        Shown { ready: false, restarts: 0, ending: Some(ending), evicted: false }
    }
}

/// A running pod, restarted as often as before unless it is said how often.
fn running(pod: &Pod, ready: bool, restarts: Option<u32>) -> Shown {
    let restarts = restarts.unwrap_or_else(|| pod.status.restarts());
    Shown { ready, restarts, ending: None, evicted: false }
}

fn status(pod: &Pod, shown: &Shown, now: SimTime) -> PodStatus {
    let started = pod.status.start_time.unwrap_or(now);
    let (phase, reason) = match shown.ending {
        Some(Ending { code: 0 }) => (PodPhase::Succeeded, PodReason::PodCompleted),
        Some(_) => (PodPhase::Failed, PodReason::PodFailed),
        None if shown.ready => (PodPhase::Running, PodReason::None),
        None => (PodPhase::Running, PodReason::ContainersNotReady),
    };
    let state = match shown.ending {
        None => ContainerState::Running { started },
        Some(Ending { code }) => ContainerState::Terminated {
            started,
            finished: now,
            exit_code: code,
            reason: Symbol::new(if code == 0 { "Completed" } else { "Error" }),
        },
    };
    let mut restarts = shown.restarts;
    let mut container = |container: &Container| ContainerStatus {
        name: container.name,
        state,
        last: None,
        restarts: std::mem::take(&mut restarts),
        ready: shown.ready,
        started: true,
    };
    let containers: Vec<ContainerStatus> =
        pod.spec.containers.iter().chain(&pod.spec.init_containers).map(&mut container).collect();
    let mut conditions = pod.status.conditions;
    let truth = if shown.ready { ConditionStatus::True } else { ConditionStatus::False };
    let running = ConditionStatus::True;
    conditions.set(PodConditionType::PodReadyToStartContainers, running, PodReason::None, now);
    conditions.set(PodConditionType::Initialized, running, PodReason::None, now);
    conditions.set(PodConditionType::Ready, truth, reason, now);
    conditions.set(PodConditionType::ContainersReady, truth, reason, now);
    let mut text = None;
    if shown.evicted {
        let reason = PodReason::TerminationByKubelet;
        conditions.set(PodConditionType::DisruptionTarget, ConditionStatus::True, reason, now);
        text = Some(Arc::new(StatusText {
            reason: Symbol::new("Evicted"),
            message: CompactString::from(EVICTED),
            ..StatusText::default()
        }));
    }
    PodStatus {
        conditions,
        containers: Some(containers.into()),
        start_time: Some(started),
        ip: pod.meta.id + 1,
        phase,
        text,
        ..PodStatus::default()
    }
}
