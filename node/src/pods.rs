//! What the watch tells a kubelet of its pods.

use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::pod::{HostPort, Pod, PodPhase, PodStatus, StatusText};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::admission::{
    Occupancy, Refusal, fits, is_undemanding, other_refusal, refusal, shortages, takes_pressure,
};
use crate::machine::{Fx, Kubelets};
use crate::preemption::is_critical;
use crate::rows::{Flag, Mark, Stage, Step};
use crate::status::{Outlook, is_initialized};
use crate::table::Power;

/// The grace of pods whose object is gone.
const GRACE_GONE: Span = Span::from_secs(1);

impl Kubelets {
    /// A pod was bound to a node.
    pub(crate) fn add_pod(&mut self, now: SimTime, pod: &Arc<Pod>, fx: &mut Fx) {
        let Some(&node) = pod.node.and_then(|name| self.node_slots.get(&name)) else { return };
        if self.nodes[node as usize].power != Power::On {
            return;
        }
        let slot = self.insert_pod(Arc::clone(pod), node);
        if pod.status.phase.is_terminal() {
            let row = &mut self.pods[slot];
            row.stage = Stage::Terminated;
            row.last_sync = now;
            row.set(Flag::Fresh);
            if pod.meta.is_deleting() {
                self.trigger(now, slot, fx);
            }
            return;
        }
        if pod.meta.is_deleting() {
            self.pods[slot].stage = Stage::Terminating;
        } else if let Some(refusal) = self.admit(slot) {
            self.refuse(now, slot, refusal, fx);
            return;
        }
        self.occupy(slot);
        self.trigger(now, slot, fx);
    }

    /// Why the node does not take the pod, if it does not.
    pub(crate) fn admit(&self, slot: usize) -> Option<Refusal> {
        let row = &self.pods[slot];
        let node = &self.nodes[row.node as usize];
        if node.pressure_until.is_some() && !takes_pressure(&row.pod) {
            let message = "The node had condition: [MemoryPressure]. ".to_string();
            return Some(Refusal { reason: "Evicted", message });
        }
        if node.shutdown.is_some() {
            let message = "Pod was rejected as the node is shutting down.".to_string();
            return Some(Refusal { reason: "NodeShutdown", message });
        }
        let used = Occupancy { requests: &node.used, pods: node.active };
        if !node.no_execute && is_undemanding(&row.pod) && fits(&row.pod, &node.allocatable, used) {
            return None;
        }
        refusal(&row.pod, &node.node, used, self.ports_of(row.node))
    }

    /// The ports that the active pods of a node occupy.
    fn ports_of(&self, node: u32) -> impl Iterator<Item = &HostPort> + Clone {
        let pods = &self.nodes[node as usize].pods;
        let active = pods.iter().filter_map(|&pod| Some(&self.pods[self.slot(pod)?]));
        active.filter(|row| row.is(Flag::Counted)).flat_map(|row| row.pod.spec.derived.host_ports.iter())
    }

    /// Refuses the pod, unless it is critical and resources are all that it lacks: then others make
    /// room for it.
    pub(crate) fn refuse(&mut self, now: SimTime, slot: usize, refusal: Refusal, fx: &mut Fx) {
        let row = &self.pods[slot];
        let node = &self.nodes[row.node as usize];
        let mut refusal = Some(refusal);
        if is_critical(&row.pod) && node.shutdown.is_none() {
            let used = Occupancy { requests: &node.used, pods: node.active };
            let short = shortages(&row.pod, &node.node, used);
            refusal = match other_refusal(&row.pod, &node.node, self.ports_of(row.node)) {
                Some(other) => Some(other),
                None => self.preempt(now, slot, &short, fx),
            };
        }
        if let Some(refusal) = refusal {
            self.reject(now, slot, &refusal, fx);
        }
    }

    /// Refuses the pod: it has failed, and nothing of it will run.
    pub(crate) fn reject(&mut self, now: SimTime, slot: usize, refusal: &Refusal, fx: &mut Fx) {
        let object = self.pod_ref(slot);
        fx.decide(object, Severity::Warning, refusal.reason, || refusal.message.clone());
        let row = &mut self.pods[slot];
        row.set(Flag::Rejected);
        row.stage = Stage::Finished;
        row.last_sync = now;
        self.statuses[slot] = PodStatus {
            phase: PodPhase::Failed,
            start_time: Some(now.truncate_to_second()),
            text: Some(Arc::new(StatusText {
                reason: Symbol::new(refusal.reason),
                message: format!("Pod was rejected: {}", refusal.message).into(),
                ..StatusText::default()
            })),
            ..PodStatus::default()
        };
        if self.is_detailed(slot) {
            crate::detail::observe(&self.pods[slot], &mut self.statuses[slot]);
        }
        self.send_soon(now, slot, fx);
    }

    /// A pod was changed.
    pub(crate) fn update_pod(&mut self, now: SimTime, slot: usize, pod: &Arc<Pod>, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        if self.nodes[row.node as usize].power != Power::On {
            return;
        }
        let before = std::mem::replace(&mut row.pod, Arc::clone(pod));
        let node = row.node;
        let begins_to_leave = pod.meta.is_deleting() && !before.meta.is_deleting();
        let respecified = !Arc::ptr_eq(&before.spec, &pod.spec);
        let is_told = respecified || begins_to_leave || !before.meta.labels.same_allocation(&pod.meta.labels);
        if is_told && row.first_main() > 0 {
            row.put(Flag::KnownInitialized, is_initialized(pod));
        }
        if respecified {
            self.pods[slot].grow();
            self.mark_outdated(slot, &before);
            self.resources_changed(now, slot, &before, fx);
            if before.spec.active_deadline_seconds != pod.spec.active_deadline_seconds {
                self.arm_deadline(slot, fx);
            }
        }
        // Of a version that an answer has overtaken, a newer one is on its way.
        let is_news = pod.meta.resource_version >= self.answered[slot];
        if is_news && self.differs(slot) {
            self.check_soon(now, node, pod.meta.id, fx);
        }
        if self.pods[slot].is(Flag::Rejected) && respecified && self.is_detailed(slot) {
            // A pod that has ended elsewhere, or was refused, is finished once it is changed.
            self.publish(now, slot, Outlook::Final, fx);
        }
        if begins_to_leave {
            match self.pods[slot].stage {
                Stage::Finished => self.attend_soon(now, slot, fx),
                Stage::Sync | Stage::Terminating | Stage::Terminated => {
                    self.request_termination(now, slot, fx)
                }
            }
        } else if is_told || crate::gates::differ(&before, pod) {
            self.trigger(now, slot, fx);
        }
    }

    /// Marks running containers whose specification is another one now. Their restart back-off,
    /// whose key contains the image, begins anew.
    fn mark_outdated(&mut self, slot: usize, before: &Pod) {
        let spec = Arc::clone(&self.pods[slot].pod.spec);
        for (index, (old, new)) in before.spec.all_containers().zip(spec.all_containers()).enumerate() {
            if old.image == new.image {
                continue;
            }
            let row = &mut self.pods[slot];
            if let Some(extra) = &mut row.extra
                && let Some(extra) = extra.containers.get_mut(index)
            {
                extra.restart = None;
                extra.pull = None;
            }
            if let Some(instance) = row.instances_mut().get_mut(index)
                && instance.seems_running()
            {
                instance.mark(Mark::Outdated);
            }
        }
    }

    /// A pod's object is gone: what still runs of it is stopped.
    pub(crate) fn pod_gone(&mut self, now: SimTime, slot: usize, pod: &Arc<Pod>, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        if self.nodes[row.node as usize].power != Power::On {
            return;
        }
        row.pod = Arc::clone(pod);
        row.set(Flag::Gone);
        let idle = row.step == Step::Idle;
        match row.stage {
            Stage::Finished => self.remove_pod(slot),
            Stage::Terminated if idle => self.remove_pod(slot),
            Stage::Terminating if !idle => {}
            Stage::Sync | Stage::Terminating | Stage::Terminated => {
                row.extra_mut().grace_override = Some(GRACE_GONE);
                self.request_termination(now, slot, fx);
            }
        }
    }
}
