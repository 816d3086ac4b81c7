//! Taking over pods that have been running: the state of a cluster from before the kubelet's first
//! list (a state dump, or a node agent that starts beside running containers).

use std::sync::Arc;

use seatrial_api::pod::{ContainerState, ContainerStatus, Pod};
use seatrial_api::units::SimTime;

use crate::machine::{Fx, Kubelets};
use crate::rows::{Flag, Instance, InstanceState, Mark};

impl Kubelets {
    /// Takes over a pod of a node whose containers are what its status says: those that run, run
    /// on. Everything else follows from the next sync, which is asked for.
    ///
    /// A pod whose node is not here, or that the kubelet knows already, is left alone.
    pub fn adopt_pod(&mut self, now: SimTime, pod: &Arc<Pod>, effects: &mut Fx) {
        let Some(&node) = pod.node.and_then(|name| self.node_slots.get(&name)) else { return };
        if self.slot(pod.meta.id).is_some() {
            return;
        }
        let slot = self.insert_pod(Arc::clone(pod), node);
        let row = &mut self.pods[slot];
        let names: Vec<_> = pod.spec.all_containers().map(|container| container.name).collect();
        let known = pod.status.containers.as_deref().unwrap_or_default();
        for (instance, name) in row.instances_mut().iter_mut().zip(names) {
            if let Some(status) = known.iter().find(|status| status.name == name) {
                *instance = instance_of(status);
            }
        }
        row.ip = pod.status.ip;
        for flag in [Flag::SandboxReady, Flag::SandboxMade, Flag::Mounted, Flag::Fresh, Flag::SentRunning] {
            row.set(flag);
        }
        row.last_sync = now;
        self.adopt_volumes(now, slot, effects);
        self.occupy(slot);
        self.trigger(now, slot, effects);
    }
}

/// The newest instance of a container as its status tells it.
fn instance_of(status: &ContainerStatus) -> Instance {
    let mut instance = Instance::default();
    instance.attempt = u16::try_from(status.restarts).unwrap_or(u16::MAX);
    match status.state {
        ContainerState::Waiting { .. } => {}
        ContainerState::Running { started } => {
            instance.begin(started);
            if status.started {
                instance.mark(Mark::Started);
            }
            if status.ready {
                instance.mark(Mark::Ready);
            }
        }
        ContainerState::Terminated { started, finished, exit_code, .. } => {
            let state = if exit_code == 0 { InstanceState::Completed } else { InstanceState::Error };
            instance.begin(started);
            instance.end(finished, exit_code, state);
        }
    }
    instance
}
