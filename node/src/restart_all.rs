//! Rules by which the end of one container has all containers of its pod begin anew (upstream
//! `kuberuntime_manager.go`, `RestartAllContainers`).

use seatrial_api::container::{Container, RuleAction};
use seatrial_api::pod::{ConditionStatus, PodPhase};
use seatrial_api::status_detail::{OtherCondition, Times};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::machine::{Fx, Kubelets};
use crate::resize::ALL_CONTAINERS_RESTARTING;
use crate::rows::{Flag, InstanceState, Mark, PodRow, Step};

/// The message of containers that were removed.
pub(crate) const REMOVED_MESSAGE: &str = "The container is removed because RestartAllContainers in place";
/// The exit code that they are said to have.
const REMOVED_CODE: i32 = 137;

fn has_rule(container: &Container) -> bool {
    container.restart_rules.iter().any(|rule| rule.action == RuleAction::RestartAllContainers)
}

/// Whether the end of a container asks for all to begin anew.
pub(crate) fn is_asked_for(row: &PodRow) -> bool {
    if row.is_leaving() {
        return false;
    }
    row.pod.spec.all_containers().zip(row.instances()).any(|(container, instance)| {
        !container.restart_rules.is_empty()
            && instance.has_ended()
            && instance.state != InstanceState::Removed
            && crate::policy::matching_rule(container, instance.exit_code)
                == Some(RuleAction::RestartAllContainers)
    })
}

/// The condition of pods that have such a rule.
pub(crate) fn condition(row: &PodRow, phase: PodPhase) -> Option<OtherCondition> {
    if !row.pod.spec.all_containers().any(has_rule) {
        return None;
    }
    let restarting = is_asked_for(row);
    let ended = match phase {
        PodPhase::Succeeded => Some("PodCompleted"),
        PodPhase::Failed => Some("PodFailed"),
        _ => None,
    };
    let text = |text: &'static str| if restarting { text } else { "" };
    Some(OtherCondition {
        kind: Symbol::new(ALL_CONTAINERS_RESTARTING),
        status: if restarting { ConditionStatus::True } else { ConditionStatus::False },
        reason: Symbol::new(ended.unwrap_or_else(|| text("RestartAllContainersStarted"))),
        message: text("container exited with restart policy rule").into(),
    })
}

impl Kubelets {
    /// Stops what runs of the pod and removes all its containers, so that the next sync begins with
    /// the first one.
    pub(crate) fn restart_all(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        row.set(Flag::RestartAll);
        row.set(Flag::Acted);
        for index in 0..self.pods[slot].instances().len() {
            if self.pods[slot].instances()[index].runs() {
                self.pods[slot].step = Step::RestartingAll;
                self.stop_container(slot, index, seatrial_api::units::Span::ZERO, "killing", fx);
            }
        }
        self.continue_restart_all(now, slot, fx);
    }

    /// Removes the containers once none runs any more.
    pub(crate) fn continue_restart_all(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        if self.pods[slot].instances().iter().any(|instance| instance.is(Mark::Stopping)) {
            return;
        }
        let detailed = self.is_detailed(slot);
        let row = &mut self.pods[slot];
        let first_main = row.first_main();
        for index in 0..row.instances().len() {
            let instance = &mut row.instances_mut()[index];
            if instance.state == InstanceState::Absent {
                continue;
            }
            let was_done = index < first_main && instance.state == InstanceState::Completed;
            for mark in [Mark::Unseen, Mark::Started, Mark::Ready, Mark::Outdated] {
                instance.unmark(mark);
            }
            if was_done {
                instance.mark(Mark::Ready);
            }
            let attempts = instance.attempt.saturating_add(1);
            instance.attempt = 0;
            instance.end(now, REMOVED_CODE, InstanceState::Removed);
            let extra = row.container_extra_mut(index);
            extra.restarts_before = extra.restarts_before.saturating_add(attempts);
            (extra.restart, extra.waiting) = (None, None);
            if detailed {
                let notes = row.notes_mut(index);
                (notes.reason, notes.message) = (Symbol::empty(), REMOVED_MESSAGE.into());
                notes.waiting = REMOVED_MESSAGE.into();
                (notes.last_message, notes.last_times) = (REMOVED_MESSAGE.into(), Times::Lost);
            }
        }
        self.forget_probes(slot);
        self.end_sync(now, slot, fx);
    }
}
