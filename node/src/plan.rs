//! What a sync does with the containers of a pod: a pure function from what the kubelet knows to
//! marks on the instances (upstream `kuberuntime_manager.go` computePodActions).

use seatrial_api::container::RestartPolicy;

use crate::policy::{is_to_start, restart_policy, restarts};
use crate::probes::ProbeResult;
use crate::rows::{Flag, InstanceState, Mark, PodRow};
use seatrial_api::runtime::ProbeKind;

/// What happens before containers are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The whole pod is stopped, because nothing of it is to run on.
    Stop,
    /// What is left of the pod is stopped and it gets a new sandbox.
    Recreate,
    /// All containers are stopped and removed.
    RestartAll,
    /// Marked containers are stopped, then marked ones started.
    Containers,
}

/// Makes the plan and marks the containers.
pub(crate) fn plan(row: &mut PodRow) -> Plan {
    row.cursor = 0;
    for instance in row.instances_mut() {
        instance.unmark(Mark::ToStart);
        instance.unmark(Mark::ToKill);
    }
    if !row.is(Flag::SandboxReady) {
        return plan_sandbox(row);
    }
    if crate::restart_all::is_asked_for(row) {
        return Plan::RestartAll;
    }
    mark_ephemeral(row);
    match plan_init(row) {
        Init::Failed => Plan::Stop,
        Init::UnderWay => Plan::Containers,
        Init::Done => plan_main(row),
    }
}

/// Containers that were added to the pod are started once.
fn mark_ephemeral(row: &mut PodRow) {
    let first = row.main().end;
    for instance in row.instances_mut().iter_mut().skip(first) {
        if instance.state == InstanceState::Absent {
            instance.mark(Mark::ToStart);
        }
    }
}

/// Without a sandbox everything begins anew, if anything is to run at all.
fn plan_sandbox(row: &mut PodRow) -> Plan {
    let spec = row.pod.spec.clone();
    let first_main = row.first_main();
    let existed = row.instances().iter().any(|instance| instance.state != InstanceState::Absent);
    if spec.restart_policy == RestartPolicy::Never && row.is(Flag::SandboxMade) && existed {
        return Plan::Stop;
    }
    let mut any_to_start = false;
    let mut any_created = false;
    for (container, instance) in spec.containers.iter().zip(&mut row.instances_mut()[first_main..]) {
        any_created |= instance.state != InstanceState::Absent;
        let done = restart_policy(&spec, container) == RestartPolicy::OnFailure
            && instance.has_ended()
            && instance.exit_code == 0;
        if !done {
            any_to_start = true;
            instance.mark(Mark::ToStart);
        }
    }
    if !any_to_start && any_created {
        return Plan::Stop;
    }
    if first_main > 0 {
        let instances = row.instances_mut();
        instances.iter_mut().for_each(|instance| instance.unmark(Mark::ToStart));
        instances[0].mark(Mark::ToStart);
    }
    Plan::Recreate
}

/// How far initialization is.
enum Init {
    Done,
    UnderWay,
    Failed,
}

/// Walks the init containers from the last to the first, because finished ones may be forgotten
/// by the runtime: the last one that is known says how far things are.
fn plan_init(row: &mut PodRow) -> Init {
    let first_main = row.first_main();
    if first_main == 0 {
        return Init::Done;
    }
    let mut done = row.instances()[row.main()].iter().any(|instance| instance.seems_running());
    let mut later_known = done;
    for index in (0..first_main).rev() {
        let instance = row.instances()[index];
        let known = !matches!(instance.state, InstanceState::Absent | InstanceState::Removed)
            && !instance.is(Mark::Stale);
        let Some(container) = row.container(index) else { continue };
        let sidecar = container.is_sidecar();
        if !known {
            if later_known && sidecar {
                row.instances_mut()[index].mark(Mark::ToStart);
            }
            continue;
        }
        if later_known && !sidecar {
            continue;
        }
        let passed = if sidecar {
            plan_sidecar(row, index)
        } else if instance.seems_running() {
            false
        } else if instance.exit_code == 0 {
            true
        } else {
            if row.is_leaving() || !restarts(&row.pod.spec, container, instance.exit_code) {
                row.instances_mut().iter_mut().for_each(|instance| instance.unmark(Mark::ToStart));
                return Init::Failed;
            }
            row.instances_mut()[index].mark(Mark::ToStart);
            false
        };
        if passed {
            if index + 1 == first_main {
                done = true;
            } else if !later_known {
                row.instances_mut()[index + 1].mark(Mark::ToStart);
            }
        }
        later_known = true;
    }
    if !later_known {
        row.instances_mut()[0].mark(Mark::ToStart);
    }
    if done { Init::Done } else { Init::UnderWay }
}

/// Marks a sidecar and says whether it has started, so that the next container may.
fn plan_sidecar(row: &mut PodRow, index: usize) -> bool {
    let startup = probe_result(row, index, ProbeKind::Startup);
    let liveness = probe_result(row, index, ProbeKind::Liveness);
    let instance = &mut row.instances_mut()[index];
    if !instance.seems_running() {
        instance.mark(Mark::ToStart);
        return false;
    }
    if startup == Some(ProbeResult::Failure) {
        instance.mark(Mark::ToKill);
        instance.mark(Mark::ToStart);
        return false;
    }
    let started = instance.is(Mark::Started);
    let unfit = instance.is(Mark::Outdated) || liveness == Some(ProbeResult::Failure);
    if started && unfit {
        instance.mark(Mark::ToKill);
        instance.mark(Mark::ToStart);
    }
    started
}

/// What a probe of a container has found, if it has that probe.
fn probe_result(row: &PodRow, index: usize, kind: ProbeKind) -> Option<ProbeResult> {
    let probes = row.container_extra(index)?.probes.as_ref()?;
    Some(probes[kind as usize].result)
}

fn plan_main(row: &mut PodRow) -> Plan {
    let spec = row.pod.spec.clone();
    let leaving = row.is_leaving();
    let first_main = row.first_main();
    let (mut kept, mut any_to_start) = (false, false);
    for (main, container) in spec.containers.iter().enumerate() {
        let index = first_main + main;
        let unhealthy = [ProbeKind::Liveness, ProbeKind::Startup]
            .iter()
            .any(|&kind| probe_result(row, index, kind) == Some(ProbeResult::Failure));
        let resizes = row.restarts_to_resize(index);
        let instance = &mut row.instances_mut()[index];
        if !instance.seems_running() {
            if is_to_start(&spec, container, instance, leaving) {
                any_to_start = true;
                instance.mark(Mark::ToStart);
            }
        } else if instance.is(Mark::Outdated) || unhealthy || resizes {
            let outdated = instance.is(Mark::Outdated) || resizes;
            instance.mark(Mark::ToKill);
            if outdated || restart_policy(&spec, container) != RestartPolicy::Never {
                any_to_start = true;
                instance.mark(Mark::ToStart);
            }
        } else {
            kept = true;
        }
    }
    if kept || any_to_start {
        return Plan::Containers;
    }
    row.instances_mut().iter_mut().for_each(|instance| instance.unmark(Mark::ToStart));
    Plan::Stop
}
