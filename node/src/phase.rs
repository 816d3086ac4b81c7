//! The phase of a pod, from its specification and the statuses of its containers
//! (upstream `kubelet_pods.go` getPhase).

use seatrial_api::container::Container;
use seatrial_api::pod::{ContainerState, ContainerStatus, PodPhase, PodSpec};

use crate::policy::restarts;

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

/// The reason of what was removed so that all containers begin anew.
const REMOVED: &str = "RestartingAllContainers";

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
        // What was removed so that all begin anew has no end that counts.
        ContainerState::Waiting { .. } => {
            status.last.filter(|last| last.reason != REMOVED).map(|last| last.exit_code)
        }
        ContainerState::Running { .. } => None,
    }
}

impl Count {
    fn init(&mut self, spec: &PodSpec, container: &Container, status: &ContainerStatus) {
        match exit_code(status) {
            Some(0) => {}
            Some(code) => {
                let for_good = !restarts(spec, container, code);
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
        self.stopped_for_good += usize::from(!restarts(spec, container, code));
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

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::RestartPolicy;
    use seatrial_api::pod::LastTermination;
    use seatrial_api::units::SimTime;

    /// A status in a word: `run`, `run+` (started), `wait`, `wait1` (after an exit with code 1),
    /// `end0`, `end1`.
    fn status(name: &str, word: &str) -> ContainerStatus {
        let code = word.chars().last().and_then(|digit| digit.to_digit(10)).map(|code| code as i32);
        let last =
            |code| LastTermination { finished: SimTime::ZERO, exit_code: code, reason: "Error".into() };
        let (state, last) = match (&word[..3], code) {
            ("run", _) => (ContainerState::Running { started: SimTime::ZERO }, None),
            ("wai", code) => (ContainerState::Waiting { reason: "".into() }, code.map(last)),
            (_, code) => {
                let (started, finished) = (SimTime::ZERO, SimTime::ZERO);
                let exit_code = code.unwrap_or(0);
                (ContainerState::Terminated { started, finished, exit_code, reason: "".into() }, None)
            }
        };
        let started = word.ends_with('+');
        ContainerStatus { name: name.into(), state, last, restarts: 0, ready: started, started }
    }

    /// Containers by name: `i…` regular init, `s…` sidecar, `m…` main.
    fn check(policy: RestartPolicy, words: &str, expected: PodPhase) {
        let mut spec = PodSpec::new(Vec::new());
        spec.restart_policy = policy;
        let (mut init, mut main, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
        for word in words.split(' ').filter(|word| !word.starts_with('!')) {
            let (name, state) = word.split_once('=').expect("name=state");
            let mut container = Container::new(name, "app:1");
            statuses.push(status(name, state));
            match name.as_bytes()[0] {
                b'm' => main.push(container),
                kind => {
                    container.restart_policy = (kind == b's').then_some(RestartPolicy::Always);
                    init.push(container);
                }
            }
        }
        (spec.init_containers, spec.containers) = (init.into(), main.into());
        let view = PhaseView {
            spec: &spec,
            statuses: &statuses,
            terminated: words.contains("!terminated"),
            main_started: words.contains("!started"),
        };
        assert_eq!(phase(view), expected, "{policy:?}: {words}");
    }

    #[test]
    fn the_phase_follows_the_containers() {
        use PodPhase::{Failed, Pending, Running, Succeeded};
        use RestartPolicy::{Always, Never, OnFailure};
        for (policy, words, expected) in [
            (Always, "m=wait", Pending),
            (Always, "m=run+", Running),
            (Always, "m=end1", Running),
            (Always, "m=end0", Running),
            (Always, "m=wait1", Running),
            (Always, "m1=run+ m2=wait", Pending),
            (Always, "m1=run+ m2=wait1", Running),
            (Always, "m=end1 !terminated", Failed),
            (Always, "m=end0 !terminated", Succeeded),
            (OnFailure, "m=end0", Succeeded),
            (OnFailure, "m=end1", Running),
            (OnFailure, "m1=end0 m2=run+", Running),
            (Never, "m1=end0 m2=end1", Failed),
            (Never, "m1=end1 m2=run+", Running),
            (Always, "i=run m=wait", Pending),
            (Always, "i=end1 m=wait", Pending),
            (Never, "i=end1 m=wait", Failed),
            (OnFailure, "i=wait1 m=wait", Pending),
            (Always, "i=end0 m=wait", Pending),
            (Always, "i=end0 m=run+", Running),
            (Always, "s=run m=wait", Pending),
            (Always, "s=run+ m=run+", Running),
            (Always, "s=run m=run+ !started", Running),
            (Always, "s=run m=run+", Pending),
            (Never, "s=run+ m=end0", Running),
            (Never, "s=end1 m=end0", Succeeded),
            (Always, "s=wait m=run+ !started", Pending),
        ] {
            check(policy, words, expected);
        }
    }
}
