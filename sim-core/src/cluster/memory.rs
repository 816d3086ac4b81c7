//! The memory of machines: when it is short, and what kubelet and kernel do then.
//!
//! What pods use changes only when containers start and end, so nothing is watched while there is
//! enough; from the instant at which it is short the kubelet looks every ten seconds.
//!
//! Model: the machine's system uses what is reserved for it, and what pods use beyond the machine's
//! memory they take slowly enough for their kubelet to look first. The kernel kills a container at
//! its own limit, and for the machine's sake only where the kubelet may evict nobody.

use seatrial_api::pod::Pod;
use seatrial_api::runtime::RuntimeReport;
use seatrial_api::units::{Bytes, SimTime, Span};
use seatrial_node::pressure::{EVICTION_THRESHOLD, LOOK_PERIOD, MemoryReport, Process, Relief, oom_victim};

use super::event::{Cause, What};
use super::machines::MachineState;
use super::nodes::machine_entity;
use super::runtime::EXIT_KILLED;
use super::streams::Purpose;
use super::world::World;

/// From the end of a victim's sandbox to the kubelet's next look: it polls that often whether
/// everything of the victim is gone.
const CLEANUP_POLL: Span = Span::from_secs(1);

impl MachineState {
    /// What pods may use: what the kubelet offers them and the threshold below which it evicts,
    /// and never more than there is.
    fn memory_for_pods(&self) -> Bytes {
        let offered = Bytes(self.spec.allocatable.amounts.memory.0.saturating_add(EVICTION_THRESHOLD.0));
        offered.min(self.spec.capacity.amounts.memory)
    }
}

impl World {
    /// A runtime has reported something that may change the memory in use.
    pub(super) fn memory_changed(&mut self, now: SimTime, machine: u32, report: RuntimeReport, cause: Cause) {
        match report {
            RuntimeReport::ContainerStarted { ok: true, .. } => self.check_memory(now, machine, cause),
            RuntimeReport::SandboxStopped { .. } if self.machines.get(machine).memory_look_at.is_some() => {
                self.plan_memory_look(now + CLEANUP_POLL, machine, cause);
            }
            _ => {}
        }
    }

    /// If a machine is short of memory, its kubelet will see it at its next look.
    pub(super) fn check_memory(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get(machine);
        if state.memory_look_at.is_some() || self.memory_available(machine) >= EVICTION_THRESHOLD {
            return;
        }
        let (entity, boot) = (machine_entity(state.spec.name), state.boot);
        let mut stream = self.streams.of(entity, Purpose::MemoryLook, boot);
        let phase = stream.below(LOOK_PERIOD.nanos().unsigned_abs()).cast_signed();
        let since = (now.nanos() - phase).rem_euclid(LOOK_PERIOD.nanos());
        self.plan_memory_look(now + LOOK_PERIOD - Span::from_nanos(since), machine, cause);
    }

    fn plan_memory_look(&mut self, at: SimTime, machine: u32, cause: Cause) {
        let planned = &mut self.machines.get_mut(machine).memory_look_at;
        if planned.is_none_or(|planned| at < planned) {
            *planned = Some(at);
            self.plan(at, What::Memory(machine), cause);
        }
    }

    fn memory_available(&self, machine: u32) -> Bytes {
        self.machines.get(machine).memory_for_pods() - self.usage.memory_on(machine)
    }

    /// A kubelet looks at its machine's memory. A look that was replaced by another one is none.
    pub(super) fn look_at_memory(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        if state.memory_look_at != Some(now) {
            return;
        }
        state.memory_look_at = None;
        let name = state.spec.name;
        let available = self.memory_available(machine);
        if available >= EVICTION_THRESHOLD {
            return;
        }
        let measured = self.pods_of[machine as usize]
            .iter()
            .filter(|&&pod| self.runtimes.pod(pod).is_some_and(|truth| truth.is_measured()));
        let usage: Vec<(u32, Bytes)> = measured
            .map(|&pod| (pod, Bytes(self.runtimes.memory_of(pod).map(|container| container.1.0).sum())))
            .collect();
        let mut relief = Relief::NotNeeded;
        self.with_kubelets(now, cause, |kubelets, effects| {
            relief = kubelets.observe_memory(now, name, MemoryReport { available, usage: &usage }, effects);
        });
        if relief == Relief::Impossible && available < Bytes::ZERO {
            self.kill_for_memory(now, machine, cause);
        }
        self.plan_memory_look(now + LOOK_PERIOD, machine, cause);
    }

    /// The kernel kills a container for its machine's sake.
    fn kill_for_memory(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let mut pods: Vec<&Pod> = self.pods_of[machine as usize]
            .iter()
            .filter_map(|&pod| self.api.typed::<Pod>(pod))
            .map(|pod| &**pod)
            .collect();
        pods.sort_by_key(|pod| pod.meta.id);
        let processes = pods.iter().flat_map(|&pod| {
            let containers = self.runtimes.memory_of(pod.meta.id);
            containers.map(move |(container, usage)| {
                (container, Process { pod, index: usize::from(container.index), usage })
            })
        });
        let (containers, processes): (Vec<_>, Vec<_>) = processes.unzip();
        let state = self.machines.get(machine);
        let Some(victim) = oom_victim(&processes, state.spec.capacity.amounts.memory) else { return };
        let is_victim = |process: &Process<'_>| {
            process.pod.meta.id == victim.pod.meta.id && process.index == victim.index
        };
        let Some(position) = processes.iter().position(is_victim) else { return };
        let container = containers[position];
        let report = RuntimeReport::ContainerExited { container, exit_code: EXIT_KILLED, oom_killed: true };
        self.plan_report(now, machine, state.boot, report, cause);
    }
}
