//! The phase of a pod, from its specification and the statuses of its containers
//! (semantics.md 3.4; upstream `kubelet_pods.go` getPhase).

use seatrial_api::container::Container;
use seatrial_api::pod::{ContainerState, ContainerStatus, PodPhase, PodSpec};

use crate::policy::{restart_policy, restarts_after};

/// What the phase depends on.
#[derive(Clone, Copy, Debug)]
pub struct PhaseView<'a> {
    /// The pod's specification.
    pub spec: &'a PodSpec,
    /// The statuses of init containers and main containers, in that order.
    pub statuses: &'a [ContainerStatus],
    /// Whether nothing of the pod will be started any more.
    pub terminated: bool,
    /// Whether a main container has been started in the present sandbox.
    pub main_started: bool,
}

/// How many containers are in which state.
#[derive(Default)]
struct Count {
    pending_init: usize,
    pending_sidecars: usize,
    failed_init: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
}

/// The exit code of the instance that has ended, the previous one of a waiting container.
fn exit_code(status: &ContainerStatus) -> Option<i32> {
    match status.state {
        ContainerState::Terminated { exit_code, .. } => Some(exit_code),
        ContainerState::Waiting { .. } => status.last.map(|last| last.exit_code),
        ContainerState::Running { .. } => None,
    }
}

impl Count {
    fn init(&mut self, spec: &PodSpec, container: &Container, status: &ContainerStatus) {
        match exit_code(status) {
            Some(0) => {}
            Some(code) => {
                let for_good = !restarts_after(restart_policy(spec, container), code);
                self.failed_init += usize::from(for_good);
            }
            None => self.pending_init += 1,
        }
    }

    fn sidecar(&mut self, status: &ContainerStatus) {
        match status.state {
            ContainerState::Running { .. } => {
                self.pending_sidecars += usize::from(!status.started);
                self.running += 1;
            }
            ContainerState::Waiting { .. } if status.last.is_none() => {
                self.pending_sidecars += 1;
                self.waiting += 1;
            }
            ContainerState::Waiting { .. } | ContainerState::Terminated { .. } => {}
        }
    }

    fn main(&mut self, spec: &PodSpec, container: &Container, status: &ContainerStatus) {
        if matches!(status.state, ContainerState::Running { .. }) {
            self.running += 1;
            return;
        }
        let Some(code) = exit_code(status) else {
            self.waiting += 1;
            return;
        };
        self.stopped += 1;
        self.stopped_for_good += usize::from(!restarts_after(restart_policy(spec, container), code));
        let terminated = matches!(status.state, ContainerState::Terminated { .. });
        self.succeeded += usize::from(terminated && code == 0);
    }
}

/// The phase.
pub fn phase(view: PhaseView<'_>) -> PodPhase {
    let spec = view.spec;
    let mut count = Count::default();
    let init_count = spec.init_containers.len();
    for (container, status) in spec.init_containers.iter().zip(view.statuses) {
        if container.is_sidecar() {
            count.sidecar(status);
        } else {
            count.init(spec, container, status);
        }
    }
    for (container, status) in spec.containers.iter().zip(view.statuses.iter().skip(init_count)) {
        count.main(spec, container, status);
    }
    if count.failed_init > 0 {
        return PodPhase::Failed;
    }
    let initializing = count.pending_init > 0 || (count.pending_sidecars > 0 && !view.main_started);
    if initializing || count.waiting > 0 {
        return PodPhase::Pending;
    }
    if count.running > 0 {
        return PodPhase::Running;
    }
    match (count.stopped, view.terminated || count.stopped == count.stopped_for_good) {
        (0, _) => PodPhase::Pending,
        (_, false) => PodPhase::Running,
        (stopped, true) if stopped == count.succeeded => PodPhase::Succeeded,
        (_, true) => PodPhase::Failed,
    }
}
