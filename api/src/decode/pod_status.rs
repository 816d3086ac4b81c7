//! The status of a pod, as a running cluster has it.

use super::reader::Reader;
use crate::pod::{
    ConditionStatus, ContainerState, ContainerStatus, LastTermination, PodConditionType, PodConditions,
    PodPhase, PodReason, PodSpec, PodStatus, StatusText,
};
use crate::symbol::Symbol;
use crate::units::SimTime;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const STATUSES: [(&str, ConditionStatus); 3] = [
    ("True", ConditionStatus::True),
    ("False", ConditionStatus::False),
    ("Unknown", ConditionStatus::Unknown),
];

const PHASES: [PodPhase; 5] =
    [PodPhase::Pending, PodPhase::Running, PodPhase::Succeeded, PodPhase::Failed, PodPhase::Unknown];

const REASONS: [PodReason; 13] = [
    PodReason::Unschedulable,
    PodReason::SchedulerError,
    PodReason::SchedulingGated,
    PodReason::ContainersNotInitialized,
    PodReason::ContainersNotReady,
    PodReason::ReadinessGatesNotReady,
    PodReason::PodCompleted,
    PodReason::PodFailed,
    PodReason::PreemptionByScheduler,
    PodReason::DeletionByTaintManager,
    PodReason::EvictionByEvictionApi,
    PodReason::DeletionByPodGc,
    PodReason::TerminationByKubelet,
];

/// Reads `status` of a pod from a running cluster; a manifest's is ignored.
pub(super) fn read(object: &Reader<'_>, spec: &PodSpec) -> Option<PodStatus> {
    if !object.cx.is_state() {
        object.known(&["status"]);
        return None;
    }
    object.object("status", |status| {
        status.known(&[
            "allocatedResources",
            "ephemeralContainerStatuses",
            "extendedResourceClaimStatus",
            "hostIP",
            "hostIPs",
            "nodeAllocatableResourceClaimStatuses",
            "observedGeneration",
            "podIPs",
            "qosClass",
            "resize",
            "resourceClaimStatuses",
            "resources",
        ]);
        let (conditions, scheduling) = conditions(status);
        let text = StatusText {
            reason: status.symbol("reason"),
            message: status.text("message"),
            scheduling,
            ..StatusText::default()
        };
        PodStatus {
            conditions,
            containers: containers(status, spec),
            start_time: status.time("startTime"),
            nominated_node: status.str("nominatedNodeName").filter(|name| !name.is_empty()).map(Symbol::new),
            text: (text != StatusText::default()).then(|| Arc::new(text)),
            ip: address(status.str("podIP")),
            phase: status.choice("phase", &PHASES.map(|phase| (phase.as_str(), phase))).unwrap_or_default(),
        }
    })
}

/// An IPv4 address as a number; 0 for none and for others.
pub(super) fn address(text: Option<&str>) -> u32 {
    text.and_then(|text| text.parse::<std::net::Ipv4Addr>().ok()).map_or(0, u32::from)
}

/// The conditions that the system itself writes, and the message of PodScheduled.
fn conditions(status: &Reader<'_>) -> (PodConditions, compact_str::CompactString) {
    let mut conditions = PodConditions::default();
    let mut scheduling = compact_str::CompactString::default();
    status.list("conditions", |condition| {
        condition.known(&["lastProbeTime", "observedGeneration"]);
        let name = condition.required_str("type");
        let since = condition.time("lastTransitionTime").unwrap_or_default();
        let reason = condition.str("reason").unwrap_or("");
        let (message, value) = (condition.text("message"), condition.choice("status", &STATUSES));
        let kind = PodConditionType::ALL.into_iter().find(|kind| kind.as_str() == name);
        let (Some(kind), Some(value)) = (kind, value) else { return };
        let reason = REASONS.into_iter().find(|known| known.as_str() == reason).unwrap_or_default();
        conditions.set(kind, value, reason, since);
        if kind == PodConditionType::PodScheduled {
            scheduling = message;
        }
    });
    (conditions, scheduling)
}

/// Container statuses in the order of the specification.
fn containers(status: &Reader<'_>, spec: &PodSpec) -> Option<Arc<[ContainerStatus]>> {
    let mut all = status.list("initContainerStatuses", container);
    all.extend(status.list("containerStatuses", container));
    let by_name: BTreeMap<Symbol, ContainerStatus> =
        all.into_iter().map(|status| (status.name, status)).collect();
    let ordered: Vec<ContainerStatus> =
        spec.all_containers().filter_map(|container| by_name.get(&container.name).copied()).collect();
    (!ordered.is_empty()).then(|| ordered.into())
}

fn container(status: &Reader<'_>) -> ContainerStatus {
    status.known(&[
        "allocatedResources",
        "allocatedResourcesStatus",
        "containerID",
        "image",
        "imageID",
        "resources",
        "stopSignal",
        "user",
        "volumeMounts",
    ]);
    let last = status.object("lastState", |last| last.object("terminated", terminated)).flatten();
    ContainerStatus {
        name: status.required_symbol("name"),
        state: status.object("state", state).flatten().unwrap_or_else(not_started),
        last: last.and_then(|state| match state {
            ContainerState::Terminated { finished, exit_code, reason, .. } => {
                Some(LastTermination { finished, exit_code, reason })
            }
            _ => None,
        }),
        restarts: status.int("restartCount", 0..=i64::from(i32::MAX)).unwrap_or(0) as u32,
        ready: status.bool("ready"),
        started: status.bool("started"),
    }
}

/// A container of which nothing is said is about to be made.
fn not_started() -> ContainerState {
    ContainerState::Waiting { reason: Symbol::new("ContainerCreating") }
}

fn state(state: &Reader<'_>) -> Option<ContainerState> {
    let running = state.object("running", |running| ContainerState::Running {
        started: running.time("startedAt").unwrap_or(SimTime::ZERO),
    });
    let waiting = state.object("waiting", |waiting| {
        waiting.known(&["message"]);
        ContainerState::Waiting { reason: waiting.symbol("reason") }
    });
    running.or(state.object("terminated", terminated)).or(waiting)
}

fn terminated(state: &Reader<'_>) -> ContainerState {
    state.known(&["containerID", "message", "signal"]);
    ContainerState::Terminated {
        started: state.time("startedAt").unwrap_or(SimTime::ZERO),
        finished: state.time("finishedAt").unwrap_or(SimTime::ZERO),
        exit_code: state.count("exitCode"),
        reason: state.symbol("reason"),
    }
}
