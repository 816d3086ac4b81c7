//! The details of a pod's status: messages, images, observed generation.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::pod::{ContainerState, ContainerStatus, PodConditionType, PodReason, PodStatus};
use seatrial_api::status_detail::{ConditionMessages, ContainerDetail, StatusDetail, Times};

use crate::notes::times;
use crate::rows::{Flag, InstanceState, PodRow};
use crate::status::StatusView;

/// What a lost container is said to be.
pub(crate) const LOST_MESSAGE: &str = "The container could not be located when the pod was terminated";
/// The message of pods that had to make room.
const PREEMPTED_MESSAGE: &str = "Pod was preempted by Kubelet to accommodate a critical pod.";

/// Brings the details of a status up to date. Returns whether they have changed.
pub(crate) fn refresh(view: StatusView<'_>, status: &mut PodStatus) -> bool {
    let row = view.row;
    let statuses = status.containers.as_deref().unwrap_or_default();
    let all = row.pod.spec.all_containers().enumerate().zip(statuses);
    let notes = row.extra.as_ref().and_then(|extra| extra.notes.as_ref());
    let detail = StatusDetail {
        observed_generation: row.pod.meta.generation,
        containers: all
            .map(|((index, spec), status)| ContainerDetail {
                image: image(row, index, spec.image),
                ..container(row, index, status)
            })
            .collect(),
        more_ips: if status.ip == 0 {
            Vec::new()
        } else {
            notes.map_or(Vec::new(), |notes| notes.more_ips.clone())
        },
        conditions: crate::resize::conditions(row, status.phase),
        messages: messages(row, status),
    };
    put(status, detail)
}

/// Brings what a rejected pod's status says up to date.
pub(crate) fn observe(row: &PodRow, status: &mut PodStatus) {
    put(status, StatusDetail { observed_generation: row.pod.meta.generation, ..StatusDetail::default() });
}

fn put(status: &mut PodStatus, detail: StatusDetail) -> bool {
    let present = status.text.as_ref().and_then(|text| text.detail.as_deref());
    if present == Some(&detail) {
        return false;
    }
    Arc::make_mut(status.text.get_or_insert_default()).detail = Some(Box::new(detail));
    true
}

/// The image of the newest instance, or the one that the next will have.
fn image(
    row: &PodRow,
    index: usize,
    specified: seatrial_api::symbol::Symbol,
) -> seatrial_api::symbol::Symbol {
    row.notes(index).map(|notes| notes.image).filter(|image| !image.is_empty()).unwrap_or(specified)
}

fn container(row: &PodRow, index: usize, status: &ContainerStatus) -> ContainerDetail {
    let instance = row.instances()[index];
    let known = !matches!(instance.state, InstanceState::Absent | InstanceState::Removed);
    let notes = row.notes(index);
    let mut detail = ContainerDetail {
        instance: known.then_some(instance.attempt),
        resources: if known { row.allocation(index) } else { None },
        ..ContainerDetail::default()
    };
    if let Some(notes) = notes {
        (detail.last_message, detail.last_times) = (notes.last_message.clone(), notes.last_times);
    }
    let ended = || notes.map_or(CompactString::default(), |notes| notes.message.clone());
    match status.state {
        ContainerState::Running { .. } => {}
        ContainerState::Terminated { .. } if !known || instance.runs() => {
            detail.message = LOST_MESSAGE.into();
            detail.times = Times::Lost;
        }
        ContainerState::Terminated { .. } => {
            detail.message = ended();
            detail.times = times(instance.state);
        }
        ContainerState::Waiting { reason } => {
            let why = row.container_extra(index).and_then(|extra| extra.waiting).map(|why| why.as_str());
            if instance.state == InstanceState::Removed && row.is(Flag::RestartAll)
                || why == Some(reason.as_str())
            {
                detail.message = notes.map_or(CompactString::default(), |notes| notes.waiting.clone());
            }
            if known {
                // The instance that has ended is the last one while its successor waits.
                (detail.last_message, detail.last_times) = (ended(), times(instance.state));
            }
        }
    }
    detail
}

/// The messages of the conditions.
fn messages(row: &PodRow, status: &PodStatus) -> ConditionMessages {
    let reason = |kind| status.conditions.get(kind).reason;
    let statuses = status.containers.as_deref().unwrap_or_default();
    let unready = || names(row, statuses, Incomplete::Unready);
    let of = |kind| match reason(kind) {
        PodReason::ContainersNotReady => format!("containers with unready status: [{}]", unready()).into(),
        PodReason::ReadinessGatesNotReady => crate::gates::message(&row.pod),
        _ => CompactString::default(),
    };
    let initialized = match reason(PodConditionType::Initialized) {
        PodReason::ContainersNotInitialized => {
            let names = names(row, statuses, Incomplete::Uninitialized);
            format!("containers with incomplete status: [{names}]").into()
        }
        _ => CompactString::default(),
    };
    let disrupted = reason(PodConditionType::DisruptionTarget) == PodReason::TerminationByKubelet;
    ConditionMessages {
        initialized,
        ready: of(PodConditionType::Ready),
        containers_ready: of(PodConditionType::ContainersReady),
        disruption_target: if disrupted { PREEMPTED_MESSAGE.into() } else { CompactString::default() },
    }
}

/// In which way containers are not as they should be.
#[derive(Clone, Copy, PartialEq)]
enum Incomplete {
    Unready,
    Uninitialized,
}

fn names(row: &PodRow, statuses: &[ContainerStatus], which: Incomplete) -> String {
    let (init, main) = (row.first_main(), row.pod.spec.containers.len());
    let all = row.pod.spec.all_containers().zip(statuses).enumerate().take(init + main);
    let names = all.filter(|(index, (spec, status))| match which {
        Incomplete::Unready => (*index >= init || spec.is_sidecar()) && !status.ready,
        Incomplete::Uninitialized => {
            *index < init && !(if spec.is_sidecar() { status.started } else { status.ready })
        }
    });
    names.map(|(_, (spec, _))| spec.name.as_str()).collect::<Vec<_>>().join(" ")
}
