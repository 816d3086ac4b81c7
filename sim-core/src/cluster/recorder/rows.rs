//! Rows of the result files.

use seatrial_api::object::Object;
use seatrial_api::pod::{ContainerState, Pod, PodConditionType, PodPhase, PodReason};
use seatrial_api::request::Change;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::cluster::event::Cause;
use crate::results::{EventRow, EventType, PodRow};

/// The row of a pod at its creation.
pub(super) fn pod_row(pod: &Pod, workload: Symbol) -> PodRow {
    let requests = &pod.spec.derived.requests;
    PodRow {
        namespace: pod.meta.namespace,
        name: pod.meta.name.clone(),
        labels: pod.meta.labels.clone(),
        owners: pod.meta.owners.clone(),
        workload,
        node: Symbol::empty(),
        phase: PodPhase::Pending,
        created: pod.meta.created,
        scheduled: None,
        started: None,
        ready: None,
        finished: None,
        deleted: false,
        restarts: 0,
        cpu_request: requests.cpu,
        memory_request: requests.memory,
        reason: Symbol::empty(),
        message: Default::default(),
    }
}

/// Brings a pod's row up to a new version of the pod.
pub(super) fn update_pod_row(now: SimTime, change: Change, pod: &Pod, row: &mut PodRow) {
    let status = &pod.status;
    if let Some(node) = pod.node {
        row.node = node;
        row.scheduled = row.scheduled.or(Some(now));
    }
    row.phase = status.phase;
    if status.phase != PodPhase::Pending {
        row.started = row.started.or(Some(now));
    }
    if pod.is_ready() {
        row.ready = row.ready.or(Some(now));
    }
    if status.phase.is_terminal() || change == Change::Deleted {
        row.finished = row.finished.or(Some(now));
    }
    row.deleted = change == Change::Deleted;
    row.restarts = status.restarts();
    if change != Change::Deleted {
        (row.reason, row.message) = reason(pod);
    }
}

/// Why a pod is in its phase: its own reason, the reason of the first container that waits, or
/// why it could not be scheduled.
fn reason(pod: &Pod) -> (Symbol, compact_str::CompactString) {
    let status = &pod.status;
    let text = status.text.as_deref();
    if let Some(text) = text.filter(|text| !text.reason.is_empty()) {
        return (text.reason, text.message.clone());
    }
    let waiting =
        status.containers.iter().flat_map(|list| list.iter()).find_map(|container| match container.state {
            ContainerState::Waiting { reason } if !reason.is_empty() => Some(reason),
            _ => None,
        });
    if let Some(reason) = waiting {
        return (reason, Default::default());
    }
    let scheduled = status.conditions.get(PodConditionType::PodScheduled);
    if scheduled.reason != PodReason::None {
        let message = text.map(|text| text.scheduling.clone()).unwrap_or_default();
        return (Symbol::new(scheduled.reason.as_str()), message);
    }
    (Symbol::empty(), Default::default())
}

/// The row of a change of an object.
pub(super) fn change_row(
    now: SimTime,
    change: Change,
    object: &Object,
    reason: Symbol,
    cause: Cause,
) -> EventRow {
    let meta = object.meta();
    let kind = match object {
        Object::Untyped(object) => object.kind,
        _ => Symbol::new(object.kind().as_str()),
    };
    EventRow {
        time: now,
        kind,
        namespace: meta.namespace,
        name: meta.name.clone(),
        event: match change {
            Change::Added => EventType::Added,
            Change::Modified => EventType::Modified,
            Change::Deleted => EventType::Deleted,
        },
        reason,
        message: Default::default(),
        cause: cause.row(),
    }
}
