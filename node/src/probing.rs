//! The probe workers of the pods: when they tick and what follows from their results
//! (upstream `prober/prober_manager.go`, `prober/worker.go`).

use seatrial_api::machine::Severity;
use seatrial_api::runtime::{ContainerId, ProbeKind, RuntimeCommand};
use seatrial_api::stream::{Stream, entity_of};
use seatrial_api::units::{SimTime, Span};

use crate::machine::{Fx, Kubelets, Timer};
use crate::probes::{
    Activity, Counted, FirstProbe, KINDS, Outcome, ProbeResult, ProbeWorker, any_probe, probe_of,
};
use crate::rows::{Flag, Mark, PodRow, Stage};
use crate::status::Finding;

/// The random stream of workers that begin when their kubelet does.
const PURPOSE_OFFSET: u64 = 0x6b75_6265_6c65_7403;

/// How often a probe is tried that cannot be carried out.
const PROBE_TRIES: u8 = 3;

/// The worker of a probe, if the pod has one.
fn worker(row: &mut PodRow, index: usize, kind: ProbeKind) -> Option<&mut ProbeWorker> {
    let probes = row.extra.as_mut()?.containers.get_mut(index)?.probes.as_mut()?;
    Some(&mut probes[kind as usize])
}

impl Kubelets {
    /// Gives the pod its probe workers, and sets them on instances that are new to them.
    pub(crate) fn arm_probes(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        if !self.pods[slot].is(Flag::Probed) {
            if !any_probe(self.pods[slot].pod.spec.all_containers()) {
                return;
            }
            self.add_workers(now, slot);
        }
        for index in 0..self.pods[slot].instances().len() {
            for kind in KINDS {
                self.arm_probe(now, slot, index, kind, fx);
            }
        }
    }

    fn add_workers(&mut self, now: SimTime, slot: usize) {
        let (seed, node) = (self.seed, self.pods[slot].node);
        let kubelet_started = self.nodes[node as usize].started_at;
        let row = &mut self.pods[slot];
        row.set(Flag::Probed);
        let pod = std::sync::Arc::clone(&row.pod);
        let name = entity_of(pod.meta.namespace, &pod.meta.name);
        for (index, container) in pod.spec.all_containers().enumerate() {
            let Some(any) = KINDS.iter().find_map(|&kind| probe_of(container, kind)) else { continue };
            let workers = KINDS.map(|kind| {
                let probe = probe_of(container, kind).unwrap_or(any);
                let period = Span::from_secs(i64::from(probe.period_seconds.max(1)));
                let mut anchor = now;
                if now - kubelet_started < period {
                    let purpose = PURPOSE_OFFSET.wrapping_add((index as u64) << 12 | (kind as u64) << 8);
                    let offset = Stream::new(seed, name, purpose).below(period.nanos().unsigned_abs());
                    anchor += Span::from_nanos(offset.cast_signed());
                }
                ProbeWorker::new(anchor, probe)
            });
            row.container_extra_mut(index).probes = Some(Box::new(workers));
        }
    }

    /// Sets one worker on the present instance, if it is new to it and the probe's turn.
    fn arm_probe(&mut self, now: SimTime, slot: usize, index: usize, kind: ProbeKind, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        let Some(container) = row.container(index) else { return };
        let Some(probe) = probe_of(container, kind).cloned() else { return };
        let instance = row.instances()[index];
        let pod = row.pod.meta.id;
        let has_turn = probes_now(row, index, kind);
        let Some(worker) = worker(row, index, kind) else { return };
        if worker.attempt != instance.attempt && worker.activity != Activity::Off {
            worker.activity = Activity::Off;
        }
        let settled = worker.attempt == instance.attempt && worker.activity != Activity::Off;
        if settled && has_turn && kind == ProbeKind::Readiness && worker.result != ProbeResult::Success {
            // A container that is not ready is probed once more whenever its status is computed.
            if let Some(due) = worker.once_more(now, &probe, instance.started_at) {
                fx.timer(due, Timer::Probe { pod, index: index as u16, kind });
            }
            return;
        }
        let done = worker.attempt == instance.attempt && worker.result != ProbeResult::Initial;
        if settled || done || !has_turn {
            return;
        }
        let first = if kind == ProbeKind::Readiness { FirstProbe::AtOnce } else { FirstProbe::AtTick };
        let due = worker.begin(now, &probe, (instance.attempt, instance.started_at), first);
        if kind == ProbeKind::Readiness && instance.is(Mark::Ready) {
            // It was ready before its kubelet restarted, and is until a probe says otherwise.
            worker.result = ProbeResult::Success;
        }
        fx.timer(due, Timer::Probe { pod, index: index as u16, kind });
    }

    /// A worker's tick has come.
    pub(crate) fn probe_due(&mut self, now: SimTime, pod: u32, index: u16, kind: ProbeKind, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        let row = &mut self.pods[slot];
        let Some(instance) = row.instances().get(usize::from(index)).copied() else { return };
        let has_turn = probes_now(row, usize::from(index), kind);
        let probe =
            row.container(usize::from(index)).and_then(|container| probe_of(container, kind)).cloned();
        let (Some(probe), Some(worker)) = (probe, worker(row, usize::from(index), kind)) else { return };
        if worker.due != now || !matches!(worker.activity, Activity::Waiting | Activity::Counting) {
            return;
        }
        if worker.attempt != instance.attempt || !has_turn {
            worker.activity = Activity::Off;
            return;
        }
        if worker.activity == Activity::Counting {
            let counted = worker.reach(now, &probe, kind);
            self.probe_counted(now, slot, usize::from(index), kind, counted, fx);
            return;
        }
        worker.activity = Activity::Probing;
        worker.tries = 0;
        let container = ContainerId { pod, index, attempt: instance.attempt };
        fx.command(self.node_id(slot), RuntimeCommand::Probe { container, kind });
    }

    /// A probe was answered.
    pub(crate) fn probed(
        &mut self,
        now: SimTime,
        container: ContainerId,
        kind: ProbeKind,
        outcome: Outcome,
        fx: &mut Fx,
    ) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        let object = self.pod_ref(slot);
        let row = &mut self.pods[slot];
        let probe = row.container(index).and_then(|container| probe_of(container, kind)).cloned();
        let (Some(probe), Some(worker)) = (probe, worker(row, index, kind)) else { return };
        if worker.activity != Activity::Probing || worker.attempt != container.attempt {
            return;
        }
        let counted = worker.count(now, &probe, kind, outcome);
        let said = self.explanation(slot);
        let name = name_of(kind);
        if !outcome.success {
            fx.decide_for(object, index, Severity::Warning, "Unhealthy", || {
                format!("{name} probe failed: {}", said.text)
            });
        } else if said.reason == "warning" {
            fx.decide_for(object, index, Severity::Warning, "ProbeWarning", || {
                format!("{name} probe warning: {}", said.text)
            });
        }
        self.probe_counted(now, slot, index, kind, counted, fx);
    }

    /// A probe could not be carried out: the next one comes at the next tick.
    pub(crate) fn probe_error(&mut self, now: SimTime, container: ContainerId, kind: ProbeKind, fx: &mut Fx) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        let (object, said) = (self.pod_ref(slot), self.explanation(slot).text);
        let node = self.node_id(slot);
        let row = &mut self.pods[slot];
        let probe = row.container(index).and_then(|container| probe_of(container, kind)).cloned();
        let (Some(probe), Some(worker)) = (probe, worker(row, index, kind)) else { return };
        if worker.activity != Activity::Probing || worker.attempt != container.attempt {
            return;
        }
        worker.tries += 1;
        if worker.tries < PROBE_TRIES {
            fx.command(node, RuntimeCommand::Probe { container, kind });
            return;
        }
        let due = worker.wait(now, &probe);
        fx.timer(due, Timer::Probe { pod: container.pod, index: container.index, kind });
        fx.decide_for(object, index, Severity::Warning, "Unhealthy", || {
            format!("{} probe errored and resulted in unknown state: {said}", name_of(kind))
        });
    }

    fn probe_counted(
        &mut self,
        now: SimTime,
        slot: usize,
        index: usize,
        kind: ProbeKind,
        counted: Counted,
        fx: &mut Fx,
    ) {
        let row = &mut self.pods[slot];
        if let Some(next) = counted.next {
            fx.timer(next, Timer::Probe { pod: row.pod.meta.id, index: index as u16, kind });
        }
        let Some(result) = worker(row, index, kind).map(|worker| worker.result) else { return };
        if !counted.changed {
            return;
        }
        let instance = &mut row.instances_mut()[index];
        match (kind, result == ProbeResult::Success) {
            (ProbeKind::Readiness, true) => instance.mark(Mark::Ready),
            (ProbeKind::Readiness, false) => instance.unmark(Mark::Ready),
            (ProbeKind::Startup, true) => instance.mark(Mark::Started),
            (ProbeKind::Startup | ProbeKind::Liveness, _) => {}
        }
        if row.stage >= Stage::Terminated {
            return;
        }
        let finding = match (kind, result == ProbeResult::Success) {
            (ProbeKind::Readiness, true) => Some(Finding::Ready),
            (ProbeKind::Readiness, false) => Some(Finding::Unready),
            (ProbeKind::Startup, true) => Some(Finding::Started),
            (ProbeKind::Startup, false) | (ProbeKind::Liveness, _) => None,
        };
        if let Some(finding) = finding {
            self.publish_finding(now, slot, index, finding, fx);
        }
        if self.pods[slot].stage == Stage::Sync
            && !(kind == ProbeKind::Liveness && result == ProbeResult::Success)
        {
            self.trigger(now, slot, fx);
        }
    }

    /// A lasting outcome may be another from now on.
    pub(crate) fn probe_changed(
        &mut self,
        now: SimTime,
        container: ContainerId,
        kind: ProbeKind,
        fx: &mut Fx,
    ) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        let row = &mut self.pods[slot];
        let probe = row.container(index).and_then(|container| probe_of(container, kind)).cloned();
        let (Some(probe), Some(worker)) = (probe, worker(row, index, kind)) else { return };
        if worker.attempt != container.attempt {
            return;
        }
        if let Some(due) = worker.resume(now, &probe) {
            fx.timer(due, Timer::Probe { pod: container.pod, index: container.index, kind });
        }
    }

    /// The pod begins to stop: of its main containers only readiness is still probed. Probes of
    /// sidecars go on.
    pub(crate) fn stop_liveness(&mut self, slot: usize) {
        let first_main = self.pods[slot].first_main();
        self.silence(slot, first_main, &[ProbeKind::Startup, ProbeKind::Liveness]);
    }

    /// The pod has stopped: nothing is probed any more.
    pub(crate) fn drop_probes(&mut self, slot: usize) {
        self.silence(slot, 0, &KINDS);
    }

    fn silence(&mut self, slot: usize, from: usize, kinds: &[ProbeKind]) {
        let row = &mut self.pods[slot];
        if !row.is(Flag::Probed) {
            return;
        }
        for index in from..row.instances().len() {
            for &kind in kinds {
                if let Some(worker) = worker(row, index, kind) {
                    worker.activity = Activity::Off;
                }
            }
        }
    }

    /// The kubelet has restarted: counters start afresh. A container that had been running keeps
    /// what it had passed until its first probe says otherwise.
    pub(crate) fn forget_probes(&mut self, slot: usize) {
        let row = &mut self.pods[slot];
        row.unset(Flag::Probed);
        if let Some(extra) = &mut row.extra {
            extra.containers.iter_mut().for_each(|container| container.probes = None);
        }
    }
}

/// A probe in messages.
fn name_of(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Startup => "Startup",
        ProbeKind::Readiness => "Readiness",
        ProbeKind::Liveness => "Liveness",
    }
}

/// Whether a probe has its turn: the startup probe until the container has started, the others
/// from then on. Main containers of a pod that goes away are only probed for readiness.
fn probes_now(row: &PodRow, index: usize, kind: ProbeKind) -> bool {
    let instance = &row.instances()[index];
    let started = instance.is(Mark::Started);
    let stays = row.stage == Stage::Sync && !row.is_leaving();
    let lives = stays || index < row.first_main();
    instance.seems_running()
        && row.stage < Stage::Terminated
        && match kind {
            ProbeKind::Startup => !started && lives,
            ProbeKind::Liveness => started && lives,
            ProbeKind::Readiness => started,
        }
}
