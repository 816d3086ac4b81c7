//! The life of machines and of their kubelets: start, crash, reboot, restart, removal.
//!
//! Heartbeats and leases are not played here: their driver computes them. What the kubelet posts
//! besides is in `node_status`.

use std::sync::Arc;

use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::request::Change;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::config::KubeletConfig;
use crate::machine::{Fx, Kubelets};
use crate::rows::{Flag, InstanceState, Mark, PodRow, Stage, Step};
use crate::table::{NodeRow, Power};

/// The exit code of containers that were lost with their machine.
const EXIT_CODE_LOST: i32 = 255;

impl Kubelets {
    /// Switches a machine on. A node that the API server does not have yet (its uid is unset) is
    /// registered; one that it has is taken over. Then the kubelet posts that it is ready.
    ///
    /// A name that was used before is the same machine again.
    pub fn start_node(
        &mut self,
        now: SimTime,
        node: Arc<Node>,
        config: Arc<KubeletConfig>,
        effects: &mut Fx,
    ) {
        let slot = match self.node_slots.get(&node.name) {
            Some(&slot) => {
                let row = &mut self.nodes[slot as usize];
                row.take(node);
                row.config = config;
                slot
            }
            None => {
                let slot = self.nodes.len() as u32;
                self.node_slots.insert(node.name, slot);
                self.nodes.push(NodeRow::new(node, config));
                slot
            }
        };
        self.begin(now, slot, effects);
    }

    fn begin(&mut self, now: SimTime, slot: u32, fx: &mut Fx) {
        let seed = self.seed;
        let row = &mut self.nodes[slot as usize];
        row.begin_life(now, seed);
        if row.node.meta.uid.is_unset() {
            self.register(now, slot, fx);
        } else if row.differs_from(&row.node.conditions) {
            self.post_conditions(now, slot, fx);
        }
        if self.nodes[slot as usize].images.iter().next().is_some() {
            self.images_changed(now, slot, fx);
        }
    }

    /// The machine loses power: its containers and its kubelet are no more. Nobody is told.
    pub fn crash_node(&mut self, now: SimTime, name: Symbol) {
        let Some(&slot) = self.node_slots.get(&name) else { return };
        let row = &mut self.nodes[slot as usize];
        row.end_life();
        row.power = Power::Off;
        for pod in row.pods.clone() {
            let Some(slot) = self.slot(pod) else { continue };
            lose_power(now, &mut self.pods[slot]);
            self.forget_work(slot);
        }
    }

    /// The kubelet stops; containers run on.
    pub fn stop_kubelet(&mut self, name: Symbol) {
        let Some(&slot) = self.node_slots.get(&name) else { return };
        let row = &mut self.nodes[slot as usize];
        row.end_life();
        row.power = Power::KubeletDown;
        for pod in row.pods.clone() {
            if let Some(slot) = self.slot(pod) {
                self.forget_work(slot);
            }
        }
    }

    /// The kubelet starts, on a machine that has run on or that has come back. `pods` is the list
    /// of pods bound to the node that it is given first; what it has of others is stopped.
    ///
    /// Everything is admitted again. Containers that ran when the machine lost power are started
    /// again, in new sandboxes, as their restart policies say.
    pub fn start_kubelet(&mut self, now: SimTime, name: Symbol, pods: &[Arc<Pod>], effects: &mut Fx) {
        let Some(&slot) = self.node_slots.get(&name) else { return };
        self.begin(now, slot, effects);
        self.nodes[slot as usize].used = Default::default();
        self.nodes[slot as usize].active = 0;
        let known = self.nodes[slot as usize].pods.clone();
        for &pod in &known {
            if let Some(slot) = self.slot(pod) {
                self.pods[slot].unset(Flag::Counted);
                self.pods[slot].set(Flag::Gone);
            }
        }
        self.restart_statics(now, slot, effects);
        for pod in pods {
            if self.watch_mirror(now, Change::Modified, pod, effects) {
                continue;
            }
            match self.slot(pod.meta.id) {
                Some(row) => self.readmit(now, row, pod, effects),
                None => self.add_pod(now, pod, effects),
            }
        }
        for pod in known {
            if let Some(slot) = self.slot(pod)
                && self.pods[slot].is(Flag::Gone)
            {
                let pod = Arc::clone(&self.pods[slot].pod);
                self.pod_gone(now, slot, &pod, effects);
            }
        }
    }

    /// A power loss, followed by the start of the machine and of its kubelet.
    pub fn reboot_node(&mut self, now: SimTime, name: Symbol, pods: &[Arc<Pod>], effects: &mut Fx) {
        self.crash_node(now, name);
        self.start_kubelet(now, name, pods, effects);
    }

    /// The machine is gone for good, with all that ran on it.
    pub fn remove_node(&mut self, name: Symbol) {
        let Some(&slot) = self.node_slots.get(&name) else { return };
        let row = &mut self.nodes[slot as usize];
        row.end_life();
        row.power = Power::Off;
        for pod in row.pods.clone() {
            if let Some(slot) = self.slot(pod) {
                self.remove_pod(slot);
            }
        }
        let row = &mut self.nodes[slot as usize];
        *row = NodeRow { life: row.life, ..NodeRow::new(Arc::clone(&row.node), Arc::clone(&row.config)) };
    }

    /// A pod that the kubelet had before it stopped is in its first list.
    fn readmit(&mut self, now: SimTime, slot: usize, pod: &Arc<Pod>, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        row.unset(Flag::Gone);
        row.notice();
        row.pod = Arc::clone(pod);
        self.statuses[slot] = pod.status.clone();
        if pod.status.phase.is_terminal() {
            let row = &mut self.pods[slot];
            row.stage = if row.is(Flag::Rejected) { Stage::Finished } else { Stage::Terminating };
        } else if pod.meta.is_deleting() {
            self.pods[slot].stage = Stage::Terminating;
        } else if let Some(refusal) = self.admit(slot) {
            if self.pods[slot].instances().iter().all(|instance| !instance.runs()) {
                self.reject(now, slot, &refusal, fx);
                return;
            }
            self.fail_pod(now, slot, refusal.reason, &refusal.message, Some(Span::from_secs(1)));
        }
        self.arm_deadline(slot, fx);
        if self.pods[slot].stage < Stage::Terminated {
            self.occupy(slot);
        }
        self.trigger(now, slot, fx);
    }

    /// A static pod whose manifest is still there.
    pub(crate) fn readmit_static(&mut self, now: SimTime, slot: usize, pod: &Arc<Pod>, fx: &mut Fx) {
        let status = self.statuses[slot].clone();
        self.readmit(now, slot, pod, fx);
        self.pods[slot].set(Flag::Static);
        self.pods[slot].set(Flag::Unsent);
        self.statuses[slot] = status;
    }

    /// The worker's memory of the pod is void, the runtime's is not.
    fn forget_work(&mut self, slot: usize) {
        let row = &mut self.pods[slot];
        row.notice();
        let kept = [
            Flag::KnownInitialized,
            Flag::SandboxReady,
            Flag::SandboxLost,
            Flag::SandboxMade,
            Flag::Counted,
            Flag::Rejected,
            Flag::Static,
        ];
        row.stop_mounting();
        row.forget_all_but(&kept);
        row.step = Step::Idle;
        if !row.is(Flag::SandboxReady) {
            // Only a running sandbox tells its address.
            row.ip = 0;
        }
        if row.stage != Stage::Finished {
            row.stage = Stage::Sync;
        }
        row.last_sync = SimTime::from_nanos(i64::MIN);
        for instance in row.instances_mut() {
            for mark in [Mark::Stopping, Mark::ToKill, Mark::ToStart] {
                instance.unmark(mark);
            }
        }
        if let Some(extra) = &mut row.extra {
            extra.requeue_at = None;
            extra.grace_override = None;
            extra.mount_failures = 0;
            for container in &mut extra.containers {
                container.restart = None;
                container.pull = None;
                container.waiting = None;
            }
        }
        self.forget_probes(slot);
    }
}

/// What ran is lost; sandboxes are gone.
fn lose_power(now: SimTime, row: &mut PodRow) {
    row.unset(Flag::SandboxReady);
    row.unset(Flag::Mounted);
    for instance in row.instances_mut() {
        if instance.runs() {
            instance.end(now, EXIT_CODE_LOST, InstanceState::Vanished);
        }
    }
}
