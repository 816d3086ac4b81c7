//! The status of a pod as its kubelet sees it (upstream `kubelet_pods.go`
//! generateAPIPodStatus, `status/generate.go`).
//!
//! What nothing in a simulation reads (messages, images, observed generations) is in
//! [`crate::detail`] and only written where the kubelet's settings ask for it.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::pod::{
    ConditionStatus, ContainerState, ContainerStatus, LastTermination, Pod, PodConditionType, PodConditions,
    PodPhase, PodReason, PodSpec, PodStatus, StatusText,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use smallvec::SmallVec;

use crate::names::Names;
use crate::phase::{PhaseView, phase};
use crate::policy::is_to_start;
use crate::rows::{Flag, InstanceState, Mark, PodRow};
use crate::{detail, gates};

/// How much is over when a status is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Containers may be started.
    Open,
    /// Nothing will be started any more.
    Terminated,
    /// And containers of which nothing is known count as failed.
    Final,
}

/// What a status is computed from, besides the one before.
#[derive(Clone, Copy)]
pub(crate) struct StatusView<'a> {
    /// The row.
    pub row: &'a PodRow,
    /// The address that pods in the node's network have.
    pub node_ip: u32,
    /// Texts.
    pub names: &'a Names,
    /// Now.
    pub now: SimTime,
    /// Whether details are written.
    pub detailed: bool,
}

/// Brings a status up to date. Returns whether it has changed.
pub(crate) fn refresh(view: StatusView<'_>, outlook: Outlook, status: &mut PodStatus) -> bool {
    let changed = refresh_plain(view, outlook, status);
    view.detailed && detail::refresh(view, status) || changed
}

/// Everything but the details.
fn refresh_plain(view: StatusView<'_>, outlook: Outlook, status: &mut PodStatus) -> bool {
    let spec = &*view.row.pod.spec;
    if let ([], [only], []) = (&*spec.init_containers, &*spec.containers, &*spec.ephemeral_containers) {
        let mut statuses = [container_status(view, 0, only)];
        let changed = settle(view, outlook, &mut statuses, status);
        if status.containers.as_deref() != Some(&statuses[..]) {
            status.containers = Some(Arc::new(statuses));
            return true;
        }
        return changed;
    }
    let all = spec.all_containers().enumerate().zip(view.row.instances());
    let mut statuses: SmallVec<[ContainerStatus; 2]> =
        all.map(|((index, container), _)| container_status(view, index, container)).collect();
    let changed = settle(view, outlook, &mut statuses, status);
    if status.containers.as_deref() != Some(&statuses[..]) {
        status.containers = Some(Arc::from(&statuses[..]));
        return true;
    }
    changed
}

/// Everything but the list of containers. Returns whether anything has changed.
fn settle(
    view: StatusView<'_>,
    outlook: Outlook,
    statuses: &mut [ContainerStatus],
    status: &mut PodStatus,
) -> bool {
    let row = view.row;
    let phase = next_phase(row, outlook, statuses, status.phase);
    // A pod that the kubelet stops for others' sake has conditions like any other meanwhile.
    let shown = if phase == PodPhase::Failed && outlook == Outlook::Open && is_sacrificed(row) {
        PodPhase::Running
    } else {
        phase
    };
    let mut changed = conditions(view, statuses, shown, &mut status.conditions);
    // What is neither over nor will go on counts as failed; its conditions stay as they are.
    let phase = match outlook {
        Outlook::Final if !phase.is_terminal() && !row.is(Flag::Static) => PodPhase::Failed,
        Outlook::Open | Outlook::Terminated | Outlook::Final => phase,
    };
    if outlook == Outlook::Final {
        close(view, statuses);
    }
    if phase != status.phase {
        changed |= forget_reason(status);
    }
    if let Some(failure) = row.extra.as_ref().and_then(|extra| extra.failure.as_ref())
        && phase == PodPhase::Failed
        && status.text.as_ref().is_none_or(|text| !says(text, failure))
    {
        match &mut status.text {
            Some(text) if text.detail.is_some() || !text.gates.is_empty() => {
                let text = Arc::make_mut(text);
                (text.reason, text.message) = (failure.reason, failure.message.clone());
            }
            text => *text = Some(Arc::clone(failure)),
        }
        changed = true;
    }
    let ip = if row.pod.spec.host_network { view.node_ip } else { row.ip };
    changed |= status.phase != phase || status.ip != ip || status.start_time.is_none();
    status.phase = phase;
    status.ip = ip;
    status.start_time.get_or_insert_with(|| view.now.truncate_to_second());
    changed
}

/// Reason and message belong to a phase and end with it. Returns whether there were any.
fn forget_reason(status: &mut PodStatus) -> bool {
    let Some(text) = status.text.as_mut().filter(|text| !(text.reason.is_empty() && text.message.is_empty()))
    else {
        return false;
    };
    if text.scheduling.is_empty() && text.gates.is_empty() && text.detail.is_none() {
        status.text = None;
    } else {
        let text = Arc::make_mut(text);
        (text.reason, text.message) = Default::default();
    }
    true
}

/// Whether the kubelet itself has decided that the pod fails, for another reason than its deadline.
fn is_sacrificed(row: &PodRow) -> bool {
    row.extra.as_ref().is_some_and(|extra| extra.failure.is_some()) && !row.is(Flag::DeadlineExceeded)
}

/// Whether a text has the reason and the message of a failure.
fn says(text: &StatusText, failure: &StatusText) -> bool {
    (text.reason, &text.message) == (failure.reason, &failure.message)
}

fn next_phase(row: &PodRow, outlook: Outlook, statuses: &[ContainerStatus], before: PodPhase) -> PodPhase {
    let theirs = row.pod.status.phase;
    if theirs.is_terminal() {
        return theirs;
    }
    if row.is(Flag::RestartAll) {
        return before;
    }
    let failure = row.extra.as_ref().is_some_and(|extra| extra.failure.is_some());
    if failure && !succeeded_anyway(row, statuses, outlook) {
        return PodPhase::Failed;
    }
    let main = row.instances().get(row.main()).unwrap_or_default();
    let main_started = row.is(Flag::SandboxReady)
        && main.iter().any(|instance| instance.state != InstanceState::Absent && !instance.is(Mark::Stale));
    // A static pod may begin anew.
    let terminated = outlook != Outlook::Open && !row.is(Flag::Static);
    let phase = phase(PhaseView { spec: &row.pod.spec, statuses, terminated, main_started });
    if before.is_terminal() && !phase.is_terminal() { before } else { phase }
}

/// A pod that was to be evicted but whose main containers all ended well on the signal has
/// succeeded; one beyond its deadline has failed in any case.
fn succeeded_anyway(row: &PodRow, statuses: &[ContainerStatus], outlook: Outlook) -> bool {
    outlook != Outlook::Open
        && !row.is(Flag::DeadlineExceeded)
        && statuses
            .get(row.main())
            .unwrap_or_default()
            .iter()
            .all(|status| matches!(status.state, ContainerState::Terminated { exit_code: 0, .. }))
}

fn container_status(view: StatusView<'_>, index: usize, container: &Container) -> ContainerStatus {
    let row = view.row;
    let spec = &row.pod.spec;
    let instance = &row.instances()[index];
    let extra = row.container_extra(index);
    let mut last = extra
        .and_then(|extra| extra.last)
        .map(|last| LastTermination { finished: last.finished.truncate_to_second(), ..last });
    let mut state = if instance.seems_running() {
        ContainerState::Running { started: instance.started_at.truncate_to_second() }
    } else if instance.state == InstanceState::Absent {
        ContainerState::Waiting { reason: default_reason(view.names, spec) }
    } else {
        ContainerState::Terminated {
            started: instance.started_at.truncate_to_second(),
            finished: instance.finished_at.truncate_to_second(),
            exit_code: instance.exit_code,
            reason: end_reason(view, index),
        }
    };
    let regular_init = index < row.first_main() && !container.is_sidecar();
    let done = regular_init && instance.has_ended() && instance.exit_code == 0;
    let waiting = extra.and_then(|extra| extra.waiting);
    if instance.state == InstanceState::Removed {
        let (finished, exit_code) = (instance.finished_at, instance.exit_code);
        let reason = view.names.restarting_all_containers;
        last = Some(LastTermination { finished, exit_code, reason });
        let just_now = row.is(Flag::RestartAll);
        state = ContainerState::Waiting {
            reason: if just_now { reason } else { default_reason(view.names, spec) },
        };
    } else if let Some(reason) = waiting
        && !done
        && is_to_start(spec, container, instance, row.is_leaving())
    {
        if let ContainerState::Terminated { finished, exit_code, reason, .. } = state {
            last = Some(LastTermination { finished, exit_code, reason });
        }
        state = ContainerState::Waiting { reason: Symbol::new(reason.as_str()) };
    }
    let running = matches!(state, ContainerState::Running { .. }) && index < row.main().end;
    let started = running && instance.is(Mark::Started);
    let kept = row.is(Flag::RestartAll) && instance.is(Mark::Ready);
    let ready = if regular_init { done || kept } else { started && instance.is(Mark::Ready) };
    ContainerStatus {
        name: container.name,
        state,
        last,
        restarts: u32::from(instance.attempt) + u32::from(extra.map_or(0, |extra| extra.restarts_before)),
        ready,
        started,
    }
}

/// The reason with which the newest instance has ended.
fn end_reason(view: StatusView<'_>, index: usize) -> Symbol {
    let own = view.row.notes(index).map(|notes| notes.reason).filter(|reason| !reason.is_empty());
    own.unwrap_or_else(|| view.names.end_reason(view.row.instances()[index].state))
}

fn default_reason(names: &Names, spec: &PodSpec) -> Symbol {
    if spec.init_containers.is_empty() { names.container_creating } else { names.pod_initializing }
}

/// Containers of which nothing is known when the pod is over count as failed (upstream
/// `TerminatePod`): main ones if the pod was initialized, init ones up to the last that was begun.
fn close(view: StatusView<'_>, statuses: &mut [ContainerStatus]) {
    let first_main = view.row.first_main().min(statuses.len());
    let (init, rest) = statuses.split_at_mut(first_main);
    let main = &mut rest[..view.row.pod.spec.containers.len()];
    let initialized = first_main == 0 || view.row.is(Flag::KnownInitialized);
    let init_begun = init.iter().rposition(begun).map_or(usize::from(!init.is_empty()), |last| last + 1);
    let lost = init[..init_begun].iter_mut().chain(main.iter_mut().filter(|_| initialized));
    for status in lost {
        if !matches!(status.state, ContainerState::Terminated { .. }) {
            status.state = ContainerState::Terminated {
                started: view.now.truncate_to_second(),
                finished: view.now.truncate_to_second(),
                exit_code: 137,
                reason: view.names.container_status_unknown,
            };
            status.ready = false;
            status.started = false;
        }
    }
}

fn begun(status: &ContainerStatus) -> bool {
    status.last.is_some() || !matches!(status.state, ContainerState::Waiting { .. })
}

/// Whether a version of a pod with init containers says that they are done (upstream
/// `status_manager.go` hasPodInitialized).
pub(crate) fn is_initialized(pod: &Pod) -> bool {
    let first_main = pod.spec.init_containers.len();
    let theirs = pod.status.containers.as_deref().unwrap_or_default();
    let sidecar = pod.spec.init_containers.last().is_some_and(Container::is_sidecar);
    let Some(last) = theirs.get(..first_main).and_then(|init| init.last()) else { return false };
    theirs[first_main..].iter().any(begun) || last.ready && !sidecar || last.started && sidecar
}

/// What a probe has found of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It has started.
    Started,
    /// It is ready.
    Ready,
    /// It is not ready.
    Unready,
}

/// Writes the finding of a probe into a status, without computing the rest anew. Returns whether it
/// has changed.
pub(crate) fn note(view: StatusView<'_>, index: usize, finding: Finding, status: &mut PodStatus) -> bool {
    let Some(list) = &status.containers else { return false };
    let Some(mut one) = list.get(index).copied() else { return false };
    let told = (one.started, one.ready);
    let only_started = finding == Finding::Started;
    match finding {
        Finding::Started => one.started = true,
        Finding::Ready => one.ready = true,
        Finding::Unready => one.ready = false,
    }
    let running = matches!(one.state, ContainerState::Running { .. });
    if !running || told == (one.started, one.ready) {
        return false;
    }
    let mut statuses: SmallVec<[ContainerStatus; 2]> = SmallVec::from_slice(list);
    statuses[index] = one;
    if !only_started {
        readiness(view, &statuses, status.phase, &mut status.conditions);
    }
    status.containers = Some(Arc::from(&statuses[..]));
    if view.detailed && !only_started {
        detail::refresh(view, status);
    }
    true
}

/// Brings the conditions up to date; those whose status stays keep their times. Returns whether
/// any has changed.
fn conditions(
    view: StatusView<'_>,
    statuses: &[ContainerStatus],
    phase: PodPhase,
    conditions: &mut PodConditions,
) -> bool {
    use ConditionStatus::{False, True};
    let was_initialized = conditions.get(PodConditionType::Initialized).is_true();
    let mut changed = false;
    let mut set = |kind, status, reason| {
        let old = conditions.get(kind);
        if old.status != status || old.reason != reason {
            conditions.set(kind, status, reason, view.now);
            changed = true;
        }
    };
    let sandbox = if view.row.is(Flag::SandboxReady) { True } else { False };
    set(PodConditionType::PodReadyToStartContainers, sandbox, PodReason::None);
    let (status, reason) = initialized(view.row, statuses, phase, was_initialized);
    set(PodConditionType::Initialized, status, reason);
    set(PodConditionType::PodScheduled, True, PodReason::None);
    changed | readiness(view, statuses, phase, conditions)
}

/// Brings Ready and ContainersReady up to date. Returns whether either has changed.
fn readiness(
    view: StatusView<'_>,
    statuses: &[ContainerStatus],
    phase: PodPhase,
    conditions: &mut PodConditions,
) -> bool {
    use ConditionStatus::{False, True};
    let (containers_ready, reason) = containers_ready(view.row, statuses, phase);
    let (ready, ready_reason) = match containers_ready {
        True if !gates::are_open(&view.row.pod) => (False, PodReason::ReadinessGatesNotReady),
        status => (status, reason),
    };
    let before = (conditions.get(PodConditionType::ContainersReady), conditions.get(PodConditionType::Ready));
    conditions.set(PodConditionType::ContainersReady, containers_ready, reason, view.now);
    conditions.set(PodConditionType::Ready, ready, ready_reason, view.now);
    before != (conditions.get(PodConditionType::ContainersReady), conditions.get(PodConditionType::Ready))
}

fn initialized(
    row: &PodRow,
    statuses: &[ContainerStatus],
    phase: PodPhase,
    before: bool,
) -> (ConditionStatus, PodReason) {
    if phase == PodPhase::Succeeded {
        return (ConditionStatus::True, PodReason::PodCompleted);
    }
    let (init, main) = statuses.split_at(row.first_main().min(statuses.len()));
    let main_begun = main.iter().any(|status| !matches!(status.state, ContainerState::Waiting { .. }));
    let complete = row
        .pod
        .spec
        .init_containers
        .iter()
        .zip(init)
        .all(|(container, status)| if container.is_sidecar() { status.started } else { status.ready });
    if main_begun || complete || before {
        (ConditionStatus::True, PodReason::None)
    } else {
        (ConditionStatus::False, PodReason::ContainersNotInitialized)
    }
}

fn containers_ready(
    row: &PodRow,
    statuses: &[ContainerStatus],
    phase: PodPhase,
) -> (ConditionStatus, PodReason) {
    match phase {
        PodPhase::Succeeded => return (ConditionStatus::False, PodReason::PodCompleted),
        PodPhase::Failed => return (ConditionStatus::False, PodReason::PodFailed),
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => {}
    }
    let counts =
        |(container, status): (&Container, &ContainerStatus)| !container.is_sidecar() || status.ready;
    let (init, main) = statuses.split_at(row.first_main().min(statuses.len()));
    let main = &main[..row.pod.spec.containers.len().min(main.len())];
    let sidecars_ready = row.pod.spec.init_containers.iter().zip(init).all(counts);
    if sidecars_ready && main.iter().all(|status| status.ready) {
        (ConditionStatus::True, PodReason::None)
    } else {
        (ConditionStatus::False, PodReason::ContainersNotReady)
    }
}
