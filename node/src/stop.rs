//! Stopping containers and pods (upstream `kuberuntime_container.go`,
//! `kuberuntime_termination_order.go`).

use seatrial_api::machine::Severity;
use seatrial_api::runtime::{ContainerId, ProbeKind, RuntimeCommand};
use seatrial_api::units::{NANOS_PER_SECOND, SimTime, Span};

use crate::machine::{Fx, Kubelets};
use crate::probes::{ProbeResult, probe_of};
use crate::rows::{Flag, InstanceState, Mark, Stage, Step};
use crate::table::Power;

/// What every container gets, whatever is left of the grace.
const GRACE_MIN: Span = Span::from_secs(2);

impl Kubelets {
    /// The time that the pod's containers have to stop.
    pub(crate) fn pod_grace(&self, slot: usize) -> Span {
        let row = &self.pods[slot];
        let of_override = row.extra.as_ref().and_then(|extra| extra.grace_override);
        let of_deletion = row.pod.meta.deletion().map(|deletion| i64::from(deletion.grace_seconds));
        match (of_override, of_deletion.map(Span::from_secs)) {
            (Some(a), Some(b)) => a.min(b),
            (Some(grace), None) | (None, Some(grace)) => grace,
            (None, None) => Span::from_secs(row.pod.spec.termination_grace_period_seconds),
        }
    }

    /// Stops all containers of the pod: main ones at once, then sidecars in reverse order.
    pub(crate) fn start_kill(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &self.pods[slot];
        if row.instances().iter().any(|instance| instance.runs()) {
            let grace = self.pod_grace(slot);
            let row = &mut self.pods[slot];
            row.set(Flag::Acted);
            row.step = Step::Killing;
            let extra = row.extra_mut();
            extra.kill_started_at = now;
            extra.kill_grace = grace;
            for index in 0..self.pods[slot].instances().len() {
                if !self.pods[slot].instances()[index].runs() {
                    continue;
                }
                if self.is_sidecar(slot, index) {
                    self.announce_stop(slot, index, "", fx);
                    self.begin_pre_stop(slot, index, grace, fx);
                } else {
                    self.stop_container(slot, index, grace, "", fx);
                }
            }
        }
        self.continue_kill(now, slot, fx);
    }

    /// Hooks of sidecars run together with those of main containers, before their turn to stop.
    fn begin_pre_stop(&mut self, slot: usize, index: usize, grace: Span, fx: &mut Fx) {
        let node = self.node_id(slot);
        let row = &mut self.pods[slot];
        if grace <= Span::ZERO || row.container(index).is_none_or(|one| one.pre_stop.is_none()) {
            return;
        }
        let attempt = row.instances()[index].attempt;
        row.extra_mut().hooks |= 1_u64.checked_shl(index as u32).unwrap_or(0);
        let container = ContainerId { pod: row.pod.meta.id, index: index as u16, attempt };
        fx.command(node, RuntimeCommand::PreStop { container, grace });
    }

    fn is_sidecar(&self, slot: usize, index: usize) -> bool {
        let row = &self.pods[slot];
        index < row.first_main() && row.container(index).is_some_and(|container| container.is_sidecar())
    }

    fn announce_stop(&self, slot: usize, index: usize, why: &'static str, fx: &mut Fx) {
        let row = &self.pods[slot];
        let object = self.pod_ref(slot);
        fx.decide_for(object, index, Severity::Normal, "Killing", || {
            let name = row.container(index).map_or("", |container| container.name.as_str());
            match why {
                "" => format!("Stopping container {name}"),
                "FailedPostStartHook" | "killing" => why.to_owned(),
                "definition changed, will be restarted" if index < row.first_main() => {
                    format!("Init container {name} definition changed")
                }
                why => format!("Container {name} {why}"),
            }
        });
    }

    /// Tells a running container to stop. `why` completes the sentence "Container x …"; the empty
    /// text is the usual message.
    pub(crate) fn stop_container(
        &mut self,
        slot: usize,
        index: usize,
        grace: Span,
        why: &'static str,
        fx: &mut Fx,
    ) {
        self.announce_stop(slot, index, why, fx);
        self.send_stop(slot, index, grace, fx);
    }

    fn send_stop(&mut self, slot: usize, index: usize, grace: Span, fx: &mut Fx) {
        let node = self.node_id(slot);
        let row = &mut self.pods[slot];
        let pod = row.pod.meta.id;
        let instance = &mut row.instances_mut()[index];
        instance.mark(Mark::Stopping);
        let container = ContainerId { pod, index: index as u16, attempt: instance.attempt };
        fx.command(node, RuntimeCommand::StopContainer { container, grace: grace.max(GRACE_MIN) });
    }

    /// Goes on with the stop of a pod: the next sidecar, then the sandbox.
    fn continue_kill(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let instances = self.pods[slot].instances();
        if instances.iter().any(|instance| instance.is(Mark::Stopping)) {
            return;
        }
        if let Some(index) = instances.iter().rposition(|instance| instance.runs()) {
            let hooks = self.pods[slot].extra.as_ref().map_or(0, |extra| extra.hooks);
            if hooks & 1_u64.checked_shl(index as u32).unwrap_or(0) != 0 {
                return;
            }
            let (started_at, grace) = self.pods[slot]
                .extra
                .as_ref()
                .map_or((now, Span::ZERO), |extra| (extra.kill_started_at, extra.kill_grace));
            let waited = Span::from_secs((now - started_at).nanos() / NANOS_PER_SECOND);
            let left = Span::from_nanos(grace.nanos() - waited.nanos());
            self.send_stop(slot, index, left, fx);
            return;
        }
        let row = &mut self.pods[slot];
        if row.is(Flag::SandboxReady) {
            row.set(Flag::Acted);
            row.step = Step::StoppingSandbox;
            let pod = row.pod.meta.id;
            fx.command(self.node_id(slot), RuntimeCommand::StopSandbox { pod });
        } else {
            self.killed(now, slot, fx);
        }
    }

    /// The sandbox is gone.
    pub(crate) fn sandbox_stopped(&mut self, now: SimTime, pod: u32, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        let row = &mut self.pods[slot];
        if row.step != Step::StoppingSandbox {
            if row.is(Flag::SandboxReady) && row.stage < Stage::Terminated {
                row.set(Flag::SandboxLost);
                if self.nodes[row.node as usize].power == Power::On {
                    self.await_relist(now, slot, fx);
                }
            }
            return;
        }
        row.unset(Flag::SandboxReady);
        row.unset(Flag::SandboxLost);
        self.killed(now, slot, fx);
        self.advance(now, slot, fx);
    }

    /// All of the pod is stopped.
    fn killed(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        if !row.is(Flag::SyncKill) {
            self.end_terminating(now, slot, fx);
            return;
        }
        row.unset(Flag::SyncKill);
        if row.is(Flag::Recreate) {
            row.unset(Flag::Recreate);
            self.run_sandbox(slot, fx);
        } else {
            self.end_sync(now, slot, fx);
        }
    }

    /// Stops the next of the containers that are to be replaced, then starts the marked ones.
    pub(crate) fn replace_next(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &self.pods[slot];
        let next = row.instances().iter().position(|instance| instance.is(Mark::ToKill) && instance.runs());
        let Some(index) = next else {
            self.resize_in_place(slot, fx);
            self.start_next(now, slot, fx);
            return;
        };
        let (why, grace) = self.replacement(slot, index);
        let row = &mut self.pods[slot];
        row.set(Flag::Acted);
        row.step = Step::Replacing;
        self.stop_container(slot, index, grace, why, fx);
    }

    /// Why a running container is replaced, and the time that it has to stop.
    fn replacement(&self, slot: usize, index: usize) -> (&'static str, Span) {
        let row = &self.pods[slot];
        let restarts = row.instances()[index].is(Mark::ToStart);
        let failed = [ProbeKind::Startup, ProbeKind::Liveness].into_iter().find(|&kind| {
            let probes = row.container_extra(index).and_then(|extra| extra.probes.as_ref());
            probes.is_some_and(|probes| probes[kind as usize].result == ProbeResult::Failure)
        });
        let own_grace = failed
            .and_then(|kind| probe_of(row.container(index)?, kind)?.termination_grace_period_seconds)
            .map(Span::from_secs);
        let why = match (failed, restarts) {
            (None, _) if !row.instances()[index].is(Mark::Outdated) => "resize requires restart",
            (None, _) => "definition changed, will be restarted",
            (Some(ProbeKind::Startup), true) => "failed startup probe, will be restarted",
            (Some(ProbeKind::Startup), false) => "failed startup probe",
            (Some(_), true) => "failed liveness probe, will be restarted",
            (Some(_), false) => "failed liveness probe",
        };
        (why, own_grace.unwrap_or(self.pod_grace(slot)))
    }

    /// Notes how an instance has ended.
    fn note_end(&mut self, slot: usize, index: usize) {
        let why = self.explanation(slot);
        if self.is_detailed(slot) {
            let notes = self.pods[slot].notes_mut(index);
            (notes.reason, notes.message) = (why.reason, why.text);
        }
    }

    /// A hook before a stop has ended.
    pub(crate) fn pre_stop_done(&mut self, now: SimTime, container: ContainerId, ok: bool, fx: &mut Fx) {
        let Some(slot) = self.slot(container.pod) else { return };
        let bit = 1_u64.checked_shl(u32::from(container.index)).unwrap_or(0);
        let hooks = self.pods[slot].extra.as_mut().map(|extra| &mut extra.hooks);
        let was_awaited = hooks.is_some_and(|hooks| {
            let awaited = *hooks & bit != 0;
            *hooks &= !bit;
            awaited
        });
        if !ok {
            let index = usize::from(container.index);
            let object = self.pod_ref(slot);
            fx.decide_for(object, index, Severity::Warning, "FailedPreStopHook", || "PreStopHook failed");
        }
        if was_awaited && self.pods[slot].step == Step::Killing {
            self.continue_kill(now, slot, fx);
            self.advance(now, slot, fx);
        }
    }

    /// A container has ended.
    pub(crate) fn container_exited(
        &mut self,
        now: SimTime,
        container: ContainerId,
        exit_code: i32,
        oom_killed: bool,
        fx: &mut Fx,
    ) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        let row = &mut self.pods[slot];
        let node = row.node;
        let Some(instance) = row.instances_mut().get_mut(index) else { return };
        if !instance.runs() || instance.attempt != container.attempt {
            return;
        }
        let listed = self.nodes[node as usize].power == Power::On;
        let told_to = instance.is(Mark::Stopping);
        let state = match (oom_killed, exit_code) {
            (true, _) => InstanceState::OomKilled,
            (false, 0) => InstanceState::Completed,
            (false, _) => InstanceState::Error,
        };
        instance.end(now, exit_code, state);
        if let Some(extra) = &mut row.extra {
            extra.hooks &= !1_u64.checked_shl(u32::from(container.index)).unwrap_or(0);
        }
        self.note_end(slot, index);
        let row = &mut self.pods[slot];
        if !listed {
            // Nobody listens: the kubelet will find it ended when it is back.
            return;
        }
        match row.step {
            Step::Killing => self.continue_kill(now, slot, fx),
            Step::RestartingAll if told_to => self.continue_restart_all(now, slot, fx),
            Step::Replacing if told_to => self.replace_next(now, slot, fx),
            Step::PostStart if told_to => return self.post_start_stopped(now, slot, index, fx),
            _ => {
                instance_unseen(row, index);
                if row.stage < Stage::Terminated {
                    self.await_relist(now, slot, fx);
                }
                return;
            }
        }
        self.advance(now, slot, fx);
    }
}

/// The end of an instance is noticed by the next listing.
fn instance_unseen(row: &mut crate::rows::PodRow, index: usize) {
    row.instances_mut()[index].mark(Mark::Unseen);
}
