//! Which pods keep a node from being drained (upstream `simulator/drainability/rules`): the first rule
//! that has an opinion about a pod decides.

use std::sync::Arc;

use seatrial_api::pod::{Pod, Volume, VolumeSource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::options::ScaleDownOptions;
use crate::budgets::RemainingBudgets;
use crate::view::{View, is_daemon, is_mirror};

/// Says of a pod whether it may be evicted, whatever other rules say.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Names the volumes of a pod that may be lost.
const SAFE_LOCAL_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
/// A pod that goes for so long after its deadline will not come to its end.
const LONG_TERMINATING: Span = Span::from_secs(30);
/// System pods without a budget block for so long after their creation.
const SYSTEM_POD_BLOCKS: Span = Span::from_hours(1);
/// Kinds whose pods come back elsewhere.
const REPLICATED: [&str; 4] = ["ReplicationController", "ReplicaSet", "Job", "StatefulSet"];

/// Why a pod keeps its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are upstream's reasons")]
pub enum BlockingReason {
    ControllerNotFound,
    NotReplicated,
    UnmovableKubeSystemPod,
    NotSafeToEvictAnnotation,
    LocalStorageRequested,
    NotEnoughPdb,
}

/// What a drain does with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is of no concern.
    Skip,
    /// It goes with its node.
    Daemon,
    /// It moves.
    Movable,
    /// It stays, and so does its node; a rule that depends on the time says until when.
    Blocked(BlockingReason, Option<SimTime>),
}

/// What a drain would do with a pod.
pub(crate) fn judge(
    now: SimTime,
    pod: &Pod,
    view: &View,
    budgets: &RemainingBudgets,
    options: &ScaleDownOptions,
) -> Verdict {
    if is_mirror(pod) || is_long_terminating(now, pod) {
        return Verdict::Skip;
    }
    if !view.has_owner(pod) {
        return Verdict::Blocked(BlockingReason::ControllerNotFound, None);
    }
    if is_daemon(pod) {
        return Verdict::Daemon;
    }
    let safe = pod.meta.annotations.get(Symbol::new(SAFE_TO_EVICT));
    if safe.is_some_and(|safe| safe == "true") || pod.status.phase.is_terminal() {
        return Verdict::Movable;
    }
    let replicated = pod.meta.controller().is_some_and(|owner| REPLICATED.contains(&owner.kind.as_str()));
    if !replicated {
        return Verdict::Blocked(BlockingReason::NotReplicated, None);
    }
    if options.skip_system_pods && pod.meta.namespace == "kube-system" && !budgets.protect(pod) {
        let until = pod.meta.created + SYSTEM_POD_BLOCKS;
        if now < until {
            return Verdict::Blocked(BlockingReason::UnmovableKubeSystemPod, Some(until));
        }
    }
    if safe.is_some_and(|safe| safe == "false") {
        return Verdict::Blocked(BlockingReason::NotSafeToEvictAnnotation, None);
    }
    if options.skip_local_storage && has_local_storage(pod) {
        return Verdict::Blocked(BlockingReason::LocalStorageRequested, None);
    }
    if budgets.exhausted_for(pod).is_some() {
        return Verdict::Blocked(BlockingReason::NotEnoughPdb, None);
    }
    Verdict::Movable
}

/// The pods of a node that would have to move, and those that go with it; or why the node stays.
pub(crate) fn pods_to_move(
    now: SimTime,
    pods: &[Arc<Pod>],
    view: &View,
    budgets: &RemainingBudgets,
    options: &ScaleDownOptions,
) -> Result<Drained, (BlockingReason, Option<SimTime>)> {
    let mut drained = Drained::default();
    for pod in pods {
        match judge(now, pod, view, budgets, options) {
            Verdict::Skip => {}
            Verdict::Daemon => drained.daemons.push(pod.clone()),
            Verdict::Movable => drained.movable.push(pod.clone()),
            Verdict::Blocked(reason, until) => return Err((reason, until)),
        }
    }
    Ok(drained)
}

/// The pods of a node that is drained.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drained {
    /// They move.
    pub(crate) movable: Vec<Arc<Pod>>,
    /// They go with their node.
    pub(crate) daemons: Vec<Arc<Pod>>,
}

/// Whether a pod has been going away for much longer than it was given.
pub(crate) fn is_long_terminating(now: SimTime, pod: &Pod) -> bool {
    let grace = Span::from_secs(pod.spec.termination_grace_period_seconds.max(0));
    pod.meta.deletion().is_some_and(|deletion| deletion.at + grace + LONG_TERMINATING < now)
}

fn has_local_storage(pod: &Pod) -> bool {
    let safe = pod.meta.annotations.get(Symbol::new(SAFE_LOCAL_VOLUMES)).map_or("", Symbol::as_str);
    let is_safe = |volume: &Volume| safe.split(',').any(|name| name.trim() == volume.name.as_str());
    pod.spec.volumes.iter().any(|volume| match volume.source {
        VolumeSource::HostPath | VolumeSource::EmptyDir { memory: false, .. } => !is_safe(volume),
        _ => false,
    })
}
