//! The pod workers: one sync at a time per pod, each begun with what the runtime's last listing
//! showed (upstream `pod_workers.go`, `kubelet.go` SyncPod and its siblings).

use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::pod::StatusText;
use seatrial_api::stream::{Stream, entity_of};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::config::Jitter;
use crate::machine::{Fx, Kubelets, Timer};
use crate::plan::{Plan, plan};
use crate::rows::{Flag, Stage, Step};
use crate::status::{Finding, Outlook, StatusView, note, refresh};
use crate::table::Power;

/// The message of pods past their deadline.
const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// How long it takes to list the runtime for one pod, where that matters.
///
/// Model: where statuses have no details, it takes no time.
const LISTING: Span = Span::from_millis(3);

/// The random stream of a pod's jitter.
const PURPOSE_JITTER: u64 = 0x6b75_6265_6c65_7402;

impl Kubelets {
    /// Something has happened that asks for a sync of the pod.
    pub(crate) fn trigger(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        self.pods[slot].set(Flag::Pending);
        self.advance(now, slot, fx);
    }

    /// Begins syncs as long as one is asked for and may begin.
    ///
    /// A sync waits for a listing of the runtime that is newer than the end of the one before.
    pub(crate) fn advance(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        loop {
            let row = &mut self.pods[slot];
            let held_up = row.is(Flag::AwaitsRoom) && row.stage == Stage::Sync;
            if row.step != Step::Idle || !row.is(Flag::Pending) || held_up {
                return;
            }
            let node = &self.nodes[row.node as usize];
            if node.power != Power::On {
                return;
            }
            if !row.is(Flag::Fresh) && node.relists.last(now) <= row.last_sync {
                self.await_relist(now, slot, fx);
                return;
            }
            row.unset(Flag::Pending);
            row.unset(Flag::Fresh);
            match row.stage {
                Stage::Sync => self.begin_sync(now, slot, fx),
                Stage::Terminating => self.begin_terminating(now, slot, fx),
                Stage::Terminated => {
                    if self.finish(now, slot, fx) {
                        return;
                    }
                }
                Stage::Finished => return,
            }
        }
    }

    /// Has the pod looked at after the next listing of its node's runtime.
    pub(crate) fn await_relist(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        if row.is(Flag::AwaitsRelist) {
            return;
        }
        row.set(Flag::AwaitsRelist);
        let index = row.node;
        let node = &mut self.nodes[index as usize];
        node.awaiting.push(row.pod.meta.id);
        if node.relist_at.is_none() {
            let at = node.relists.next(now);
            node.relist_at = Some(at);
            fx.timer(at, Timer::Relist { node: index, life: node.life });
        }
    }

    /// The runtime was listed for one pod, after a sync that has done something.
    pub(crate) fn listed(&mut self, now: SimTime, pod: u32, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        let row = &mut self.pods[slot];
        if row.step == Step::Idle && row.stage != Stage::Finished {
            row.set(Flag::Fresh);
            row.notice();
            self.advance(now, slot, fx);
        }
    }

    /// The runtime is listed: ended containers are noticed, and waiting workers go on.
    pub(crate) fn relist(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let mut due = std::mem::take(&mut self.due);
        let row = &mut self.nodes[node as usize];
        row.relist_at = None;
        due.append(&mut row.awaiting);
        for &pod in &due {
            let Some(slot) = self.slot(pod) else { continue };
            let row = &mut self.pods[slot];
            row.unset(Flag::AwaitsRelist);
            let (news, waits) = (row.is(Flag::News), row.is(Flag::Pending));
            row.unset(Flag::News);
            if row.notice() || news {
                row.set(Flag::Pending);
            }
            self.advance(now, slot, fx);
            if news && waits {
                // A sync that waited for the listing has begun with it; the news asks for another.
                self.trigger(now, slot, fx);
            }
        }
        due.clear();
        self.due = due;
    }

    /// Brings the pod's status up to date and publishes it if it says anything new.
    pub(crate) fn publish(&mut self, now: SimTime, slot: usize, outlook: Outlook, fx: &mut Fx) {
        self.judge_deadline(now, slot, fx);
        let row = &self.pods[slot];
        let node_ip = self.nodes[row.node as usize].ip;
        let detailed = self.nodes[row.node as usize].config.detailed_statuses;
        let view = StatusView { row, node_ip, names: &self.names, now, detailed };
        if refresh(view, outlook, &mut self.statuses[slot]) {
            self.send_soon(now, slot, fx);
        }
    }

    /// Publishes what a probe has found of a container.
    pub(crate) fn publish_finding(
        &mut self,
        now: SimTime,
        slot: usize,
        index: usize,
        finding: Finding,
        fx: &mut Fx,
    ) {
        let row = &self.pods[slot];
        let node_ip = self.nodes[row.node as usize].ip;
        let detailed = self.nodes[row.node as usize].config.detailed_statuses;
        let view = StatusView { row, node_ip, names: &self.names, now, detailed };
        if note(view, index, finding, &mut self.statuses[slot]) {
            self.send_soon(now, slot, fx);
        }
    }

    /// Publishes the status and then acts on the pod, if there is anything to do.
    fn begin_sync(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        row.unset(Flag::Acted);
        row.unset(Flag::Failed);
        if row.is(Flag::Static) {
            if self.waits_for_namesake(slot) {
                self.pods[slot].set(Flag::Failed);
                self.end_sync(now, slot, fx);
                return;
            }
            self.ensure_mirror(now, slot, fx);
        }
        self.end_resize(slot, fx);
        let row = &mut self.pods[slot];
        if let Some(extra) = &mut row.extra {
            extra.requeue_at = None;
            extra.back_off_until = None;
        }
        let first = self.statuses[slot].start_time.is_none();
        self.publish(now, slot, Outlook::Open, fx);
        self.pods[slot].unset(Flag::RestartAll);
        if self.statuses[slot].phase.is_terminal() {
            let row = &mut self.pods[slot];
            row.stage = Stage::Terminating;
            row.last_sync = now;
            row.set(Flag::Pending);
            return;
        }
        if first {
            self.arm_deadline(slot, fx);
        }
        self.arm_probes(now, slot, fx);
        if self.mount(now, slot, fx) {
            self.act(now, slot, fx);
        }
    }

    /// Does what the plan says, now that the volumes are there.
    pub(crate) fn act(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        match plan(&mut self.pods[slot]) {
            Plan::RestartAll => self.restart_all(now, slot, fx),
            Plan::Containers => self.replace_next(now, slot, fx),
            Plan::Stop => {
                self.pods[slot].set(Flag::SyncKill);
                self.start_kill(now, slot, fx);
            }
            Plan::Recreate => {
                if self.pods[slot].is(Flag::SandboxMade) {
                    fx.decide(
                        self.pod_ref(slot),
                        Severity::Normal,
                        "SandboxChanged",
                        || "Pod sandbox changed, it will be killed and re-created.",
                    );
                }
                let row = &mut self.pods[slot];
                row.set(Flag::SyncKill);
                row.set(Flag::Recreate);
                self.start_kill(now, slot, fx);
            }
        }
    }

    /// Ends a sync that acted, failed or had nothing to do.
    pub(crate) fn end_sync(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        row.step = Step::Idle;
        row.last_sync = now;
        let (acted, failed) = (row.is(Flag::Acted), row.is(Flag::Failed));
        if acted {
            row.set(Flag::Pending);
        }
        if acted && !failed {
            // The runtime is listed for this pod at once.
            if self.nodes[row.node as usize].config.detailed_statuses {
                fx.timer(now + LISTING, Timer::Listed { pod: row.pod.meta.id });
            } else {
                row.set(Flag::Fresh);
                row.notice();
            }
        }
        if acted && !failed && row.is(Flag::Probed) {
            // What a sync has started is news at the node's next listing, which asks for one more.
            row.set(Flag::News);
            self.await_relist(now, slot, fx);
        }
        if failed {
            self.requeue(now, slot, fx);
        }
    }

    /// Puts the pod into the workers' queue after a failure: at the end of its back-off, or after
    /// the usual time, with jitter, collected by the next tick.
    fn requeue(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &self.pods[slot];
        let node = &self.nodes[row.node as usize];
        let back_off = row.extra.as_ref().and_then(|extra| extra.back_off_until);
        let wait = match back_off {
            Some(until) => (until - now).max(Span::ZERO).min(node.config.resync_period),
            None => node.config.retry_period,
        };
        let ticks = node.ticks;
        let at = ticks.ceil(now + self.jittered(slot, wait));
        let row = &mut self.pods[slot];
        row.extra_mut().requeue_at = Some(at);
        fx.timer(at, Timer::Sync { pod: row.pod.meta.id });
    }

    /// `span` lengthened by a random share of up to one half.
    pub(crate) fn jittered(&mut self, slot: usize, span: Span) -> Span {
        let seed = self.seed;
        let row = &mut self.pods[slot];
        if self.nodes[row.node as usize].config.jitter == Jitter::Middle {
            return span + span.divided_by(4);
        }
        let name = entity_of(row.pod.meta.namespace, &row.pod.meta.name);
        let extra = row.extra_mut();
        extra.draws += 1;
        let purpose = PURPOSE_JITTER.wrapping_add(u64::from(extra.draws) << 8);
        let half = span.divided_by(2).nanos().unsigned_abs();
        let share = Stream::new(seed, name, purpose).below(half.max(1));
        span + Span::from_nanos(share.cast_signed())
    }

    /// A pod is due in the workers' queue.
    pub(crate) fn requeue_due(&mut self, now: SimTime, pod: u32, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        let Some(extra) = &mut self.pods[slot].extra else { return };
        if extra.requeue_at == Some(now) {
            extra.requeue_at = None;
            self.trigger(now, slot, fx);
        }
    }

    /// The pod is to stop, whatever it does.
    pub(crate) fn request_termination(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        if row.stage == Stage::Sync {
            row.stage = Stage::Terminating;
            // A wait for volumes is the one thing that a deletion interrupts.
            row.stop_waiting_for_volumes(now);
        }
        self.trigger(now, slot, fx);
    }

    fn begin_terminating(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        if self.statuses[slot].phase.is_terminal() {
            self.judge_deadline(now, slot, fx);
        } else {
            self.publish(now, slot, Outlook::Open, fx);
        }
        self.stop_liveness(slot);
        self.start_kill(now, slot, fx);
    }

    /// Nothing of the pod runs any more: its status may say so.
    pub(crate) fn end_terminating(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        row.stage = Stage::Terminated;
        row.step = Step::Idle;
        row.last_sync = now;
        row.notice();
        let unknown = row.instances().iter().any(|instance| !instance.has_ended());
        let detailed = self.nodes[row.node as usize].config.detailed_statuses;
        if row.is_leaving() || unknown || detailed {
            row.set(Flag::Pending);
        }
        self.release(slot);
        let node = self.pods[slot].node;
        self.retry_resizes(now, node, fx);
        self.drop_probes(slot);
        self.unmount(now, slot, fx);
        self.publish(now, slot, Outlook::Terminated, fx);
        if self.pods[slot].is(Flag::Held) {
            self.send_soon(now, slot, fx);
        }
        let node = self.pods[slot].node;
        if !self.nodes[node as usize].preemptions.is_empty() {
            self.continue_preemptions(now, node, fx);
        }
        if self.nodes[node as usize].shutdown.is_some() {
            self.shutdown_goes_on(now, node, fx);
        }
    }

    /// Gives the pod its last status and has it deleted if it is to go. Returns whether the row is
    /// gone.
    fn finish(&mut self, now: SimTime, slot: usize, fx: &mut Fx) -> bool {
        let row = &mut self.pods[slot];
        row.stage = Stage::Finished;
        row.last_sync = now;
        if row.is(Flag::Gone) {
            self.remove_pod(slot);
            return true;
        }
        self.publish(now, slot, Outlook::Final, fx);
        self.attend_soon(now, slot, fx);
        false
    }

    /// Sets the timer of an active deadline.
    pub(crate) fn arm_deadline(&mut self, slot: usize, fx: &mut Fx) {
        let row = &self.pods[slot];
        let Some(seconds) = row.pod.spec.active_deadline_seconds else { return };
        let Some(start) = self.statuses[slot].start_time else { return };
        let ticks = self.nodes[row.node as usize].ticks;
        let at = ticks.ceil(start + Span::from_secs(seconds));
        fx.timer(at, Timer::Deadline { pod: row.pod.meta.id });
    }

    /// A pod has been active for longer than it may.
    pub(crate) fn deadline_due(&mut self, now: SimTime, pod: u32, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        if self.pods[slot].stage == Stage::Sync && self.is_past_deadline(now, slot) {
            self.trigger(now, slot, fx);
        }
    }

    fn is_past_deadline(&self, now: SimTime, slot: usize) -> bool {
        let Some(seconds) = self.pods[slot].pod.spec.active_deadline_seconds else { return false };
        self.statuses[slot].start_time.is_some_and(|start| now - start >= Span::from_secs(seconds))
    }

    /// A pod that has been active for longer than it may has failed. That is judged, and told, each
    /// time that its status is computed.
    fn judge_deadline(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        if !self.is_past_deadline(now, slot) {
            return;
        }
        let row = &mut self.pods[slot];
        // What has ended before stays as it has ended.
        if row.pod.status.phase.is_terminal() && !row.is(Flag::DeadlineExceeded) {
            return;
        }
        row.set(Flag::DeadlineExceeded);
        row.extra_mut().failure = Some(failure("DeadlineExceeded", DEADLINE_MESSAGE));
        fx.decide(self.pod_ref(slot), Severity::Normal, "DeadlineExceeded", || DEADLINE_MESSAGE);
    }

    /// The kubelet itself has decided that the pod fails: it is stopped, with this grace if it is
    /// shorter than the pod's. A sync of it is still to be asked for.
    pub(crate) fn fail_pod(
        &mut self,
        now: SimTime,
        slot: usize,
        reason: &str,
        message: &str,
        grace: Option<Span>,
    ) {
        let row = &mut self.pods[slot];
        let extra = row.extra_mut();
        extra.failure = Some(failure(reason, message));
        extra.grace_override = grace;
        if row.stage == Stage::Sync {
            row.stage = Stage::Terminating;
            row.stop_waiting_for_volumes(now);
        }
    }
}

fn failure(reason: &str, message: &str) -> Arc<StatusText> {
    Arc::new(StatusText { reason: Symbol::new(reason), message: message.into(), ..StatusText::default() })
}
