//! The status manager of a node: one worker, one status at a time, the newest status of a pod
//! replacing older ones that wait (upstream `status/status_manager.go`).
//!
//! Model: upstream reads a pod before it writes its status. The reading takes its token of the
//! client's limit; its answer is what the watch has told.

use std::sync::Arc;

use seatrial_api::machine::Outgoing;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::{ConditionStatus, PodConditionType, PodPhase, PodReason, PodStatus};
use seatrial_api::request::{DeleteOptions, ErrorReason, Patch, Reply, Request};
use seatrial_api::units::SimTime;

use crate::machine::{Fx, Kubelets, Purpose, Timer, token};
use crate::rows::{Flag, PodRow, Stage};

/// Conditions that the kubelet owns.
const OWN: [PodConditionType; 4] = [
    PodConditionType::PodReadyToStartContainers,
    PodConditionType::Initialized,
    PodConditionType::Ready,
    PodConditionType::ContainersReady,
];

impl Kubelets {
    /// Says at once that the sandbox is there, without computing the rest anew.
    pub(crate) fn publish_sandbox(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let conditions = &mut self.statuses[slot].conditions;
        let kind = PodConditionType::PodReadyToStartContainers;
        if !conditions.get(kind).is_true() {
            conditions.set(kind, ConditionStatus::True, PodReason::None, now);
            self.send_soon(now, slot, fx);
        }
    }

    /// Sends the pod's newest status as soon as the worker is free.
    pub(crate) fn send_soon(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        self.pods[slot].set(Flag::Unsent);
        self.attend_soon(now, slot, fx);
    }

    /// Has the worker look at the pod as soon as it is free.
    pub(crate) fn attend_soon(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        let node = &mut self.nodes[row.node as usize];
        if node.sending.is_some() {
            if !row.is(Flag::Queued) {
                row.set(Flag::Queued);
                node.queue.push_back(row.pod.meta.id);
            }
            return;
        }
        self.send(now, slot, fx);
    }

    /// Sends what is to be said of a pod: its status, or that it may be deleted. Returns whether
    /// there was anything.
    fn send(&mut self, now: SimTime, slot: usize, fx: &mut Fx) -> bool {
        let row = &mut self.pods[slot];
        row.unset(Flag::Queued);
        let pod = row.pod.meta.id;
        let node = row.node;
        let request = if row.is(Flag::Gone) && !row.is(Flag::Static) {
            return false;
        } else if row.is(Flag::Unsent) {
            let target = if row.is(Flag::Static) { self.mirror_of(slot) } else { Some(pod) };
            // The mirror of a static pod is still to be made.
            let Some(target) = target else { return false };
            let row = &mut self.pods[slot];
            row.unset(Flag::Unsent);
            row.set(Flag::InFlight);
            let status = merged(row, &self.statuses[slot]);
            row.put(Flag::SentRunning, status.phase == PodPhase::Running);
            row.put(Flag::Held, status.phase != self.statuses[slot].phase);
            Request::patch_pod(target, Patch::PodStatus(Box::new(status)))
        } else if row.stage == Stage::Finished && row.pod.meta.is_deleting() && !row.is(Flag::DeleteSent) {
            row.set(Flag::DeleteSent);
            Request::Delete {
                target: ObjectRef { kind: Kind::Pod, id: pod },
                options: DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() },
            }
        } else {
            return false;
        };
        let row = &mut self.nodes[node as usize];
        if matches!(request, Request::Patch { .. }) {
            row.client.take(now);
        }
        let send_at = row.client.take(now);
        row.sending = Some(pod);
        let token = token(Purpose::PodStatus, node, row.life);
        fx.requests.push(Outgoing { token, send_at, request });
        true
    }

    /// A status or a deletion was answered: the worker goes on.
    pub(crate) fn status_answered(&mut self, now: SimTime, node: u32, reply: &Reply, fx: &mut Fx) {
        let Some(pod) = self.nodes[node as usize].sending.take() else { return };
        if let Some(slot) = self.slot(pod) {
            let row = &mut self.pods[slot];
            row.unset(Flag::InFlight);
            match reply {
                Err(error) if error.reason != ErrorReason::NotFound => {
                    row.unset(Flag::DeleteSent);
                    row.set(Flag::Unsent);
                    self.check_soon(now, node, pod, fx);
                }
                Err(_) => {}
                Ok(object) => {
                    self.answered[slot] = object.meta().resource_version;
                    if !row.is(Flag::Queued) && row.stage == Stage::Finished && self.send(now, slot, fx) {
                        return;
                    }
                }
            }
        }
        while self.nodes[node as usize].sending.is_none()
            && let Some(pod) = self.nodes[node as usize].queue.pop_front()
        {
            let Some(slot) = self.slot(pod) else { continue };
            if self.pods[slot].is(Flag::Queued) {
                self.send(now, slot, fx);
            }
        }
    }

    /// Has the status of a pod compared with the API server's at its node's next check.
    pub(crate) fn check_soon(&mut self, now: SimTime, node: u32, pod: u32, fx: &mut Fx) {
        let row = &mut self.nodes[node as usize];
        if !row.doubtful.contains(&pod) {
            row.doubtful.push(pod);
        }
        if row.check_at.is_none() {
            let at = row.checks.next(now);
            row.check_at = Some(at);
            fx.timer(at, Timer::Check { node, life: row.life });
        }
    }

    /// Sends statuses again that failed to be sent or that others have changed. Only those in
    /// doubt are looked at: every other was the API server's when it was last told.
    pub(crate) fn check_statuses(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let row = &mut self.nodes[node as usize];
        row.check_at = None;
        let mut doubtful = std::mem::take(&mut row.doubtful);
        for pod in doubtful.drain(..) {
            let Some(slot) = self.slot(pod) else { continue };
            if self.pods[slot].is(Flag::Unsent) || self.differs(slot) {
                self.send_soon(now, slot, fx);
            }
        }
        self.nodes[node as usize].doubtful = doubtful;
    }

    /// Whether the API server has another status than the one that was sent, and nothing is on
    /// its way to change that.
    pub(crate) fn differs(&self, slot: usize) -> bool {
        let row = &self.pods[slot];
        if row.is(Flag::Queued) || row.is(Flag::InFlight) || row.is(Flag::Gone) {
            return false;
        }
        let (theirs, ours) = (&row.pod.status, &self.statuses[slot]);
        if ours.start_time.is_none() {
            return false;
        }
        let conditions_differ = OWN.iter().any(|&kind| {
            let (theirs, ours) = (theirs.conditions.get(kind), ours.conditions.get(kind));
            theirs.status != ours.status || theirs.reason != ours.reason
        });
        let phase_differs = theirs.phase != ours.phase && !row.is(Flag::Held);
        let containers_differ = match (&theirs.containers, &ours.containers) {
            (Some(theirs), Some(ours)) => !Arc::ptr_eq(theirs, ours) && theirs != ours,
            (theirs, ours) => theirs.is_some() != ours.is_some(),
        };
        conditions_differ || phase_differs || containers_differ || theirs.ip != ours.ip
    }
}

/// Reason and message are held back with the phase.
fn hold_back_reason(status: &mut PodStatus, theirs: &PodStatus) {
    let Some(detail) = status.text.as_ref().and_then(|text| text.detail.clone()) else {
        status.text = theirs.text.clone();
        return;
    };
    status.text = theirs.text.clone();
    Arc::make_mut(status.text.get_or_insert_default()).detail = Some(detail);
}

/// The status as it may be said. A terminal phase, its reason and the mark of a disruption are
/// held back until nothing of the pod runs any more.
fn merged(row: &PodRow, status: &PodStatus) -> PodStatus {
    let mut status = status.clone();
    let held = !row.is(Flag::Static)
        && status.phase.is_terminal()
        && row.stage < Stage::Terminated
        && !row.pod.status.phase.is_terminal();
    if held {
        status.phase = if row.is(Flag::SentRunning) { PodPhase::Running } else { row.pod.status.phase };
        hold_back_reason(&mut status, &row.pod.status);
        let theirs = row.pod.status.conditions.get(PodConditionType::DisruptionTarget);
        status.conditions.put(PodConditionType::DisruptionTarget, theirs);
    }
    status
}
