//! Workloads: ReplicaSet, Deployment, StatefulSet, DaemonSet, Job and the revisions of the latter.

use std::sync::Arc;

use compact_str::CompactString;

use crate::labels::Selector;
use crate::meta::{ObjectMeta, Uid};
use crate::pod::{ConditionStatus, PodTemplate};
use crate::storage::ClaimTemplate;
use crate::symbol::Symbol;
use crate::units::SimTime;

/// A condition of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The type, such as `Available`.
    pub kind: Symbol,
    /// The status.
    pub status: ConditionStatus,
    /// The reason.
    pub reason: Symbol,
    /// The message.
    pub message: CompactString,
    /// `lastTransitionTime`.
    pub transition: SimTime,
    /// `lastUpdateTime` (Deployments) or `lastProbeTime` (Jobs).
    pub updated: SimTime,
}

/// Finds the condition of a type.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// A count, or a percentage of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntOrPercent {
    /// A count.
    Int(i32),
    /// A percentage.
    Percent(i32),
}

impl IntOrPercent {
    /// The count out of `total`, percentages rounded up.
    pub fn ceil_of(self, total: i32) -> i32 {
        match self {
            IntOrPercent::Int(count) => count,
            IntOrPercent::Percent(percent) => {
                i32::try_from((i64::from(percent) * i64::from(total) + 99).div_euclid(100))
                    .unwrap_or(i32::MAX)
            }
        }
    }

    /// The count out of `total`, percentages rounded down.
    pub fn floor_of(self, total: i32) -> i32 {
        match self {
            IntOrPercent::Int(count) => count,
            IntOrPercent::Percent(percent) => {
                i32::try_from((i64::from(percent) * i64::from(total)).div_euclid(100)).unwrap_or(i32::MAX)
            }
        }
    }
}

/// A ReplicaSet.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSet {
    /// The metadata.
    pub meta: ObjectMeta,
    /// How many pods are wanted.
    pub replicas: i32,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Which pods are its own.
    pub selector: Arc<Selector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// The status.
    pub status: ReplicaSetStatus,
}

/// The status of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaSetStatus {
    /// Active pods.
    pub replicas: i32,
    /// Active pods that carry all labels of the template.
    pub fully_labeled_replicas: i32,
    /// Ready pods.
    pub ready_replicas: i32,
    /// Available pods.
    pub available_replicas: i32,
    /// Terminating pods (since 1.35).
    pub terminating_replicas: Option<i32>,
    /// The generation that this status has seen.
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// A ReplicationController: a ReplicaSet of old, with a selector of labels alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicationController {
    /// The metadata.
    pub meta: ObjectMeta,
    /// How many pods are wanted.
    pub replicas: i32,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Which pods are its own.
    pub selector: Arc<Selector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// The status; terminating pods are not counted.
    pub status: ReplicaSetStatus,
}

/// How a Deployment replaces its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentStrategy {
    /// All old ones go first.
    Recreate,
    /// A few at a time.
    RollingUpdate {
        /// How many more than wanted there may be.
        max_surge: IntOrPercent,
        /// How many fewer than wanted may be available.
        max_unavailable: IntOrPercent,
    },
}

/// A Deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// The metadata.
    pub meta: ObjectMeta,
    /// How many pods are wanted.
    pub replicas: i32,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Which pods are its own.
    pub selector: Arc<Selector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// How pods are replaced.
    pub strategy: DeploymentStrategy,
    /// How many old ReplicaSets are kept.
    pub revision_history_limit: i32,
    /// After how many seconds without progress it is said so; `i32::MAX` for never.
    pub progress_deadline_seconds: i32,
    /// Whether rollouts are paused.
    pub paused: bool,
    /// The status.
    pub status: DeploymentStatus,
}

/// The status of a Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentStatus {
    /// Active pods of all its ReplicaSets.
    pub replicas: i32,
    /// Active pods of the newest template.
    pub updated_replicas: i32,
    /// Ready pods.
    pub ready_replicas: i32,
    /// Available pods.
    pub available_replicas: i32,
    /// Pods that are wanted and not available.
    pub unavailable_replicas: i32,
    /// Terminating pods (since 1.35).
    pub terminating_replicas: Option<i32>,
    /// How often the hash of the template had to be varied.
    pub collision_count: Option<i32>,
    /// The generation that this status has seen.
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// In which order a StatefulSet makes and removes pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodManagementPolicy {
    /// One after another.
    OrderedReady,
    /// All at once.
    Parallel,
}

/// How a StatefulSet updates its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatefulSetUpdateStrategy {
    /// Only when someone deletes them.
    OnDelete,
    /// From the highest ordinal down to the partition; `None` if no `rollingUpdate` block is given.
    RollingUpdate {
        /// The lowest ordinal that is updated.
        partition: Option<i32>,
    },
}

/// What becomes of a StatefulSet's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimRetention {
    /// They stay.
    Retain,
    /// They go.
    Delete,
}

/// A StatefulSet.
#[derive(Clone, Debug, PartialEq)]
pub struct StatefulSet {
    /// The metadata.
    pub meta: ObjectMeta,
    /// How many pods are wanted.
    pub replicas: i32,
    /// The first ordinal.
    pub ordinals_start: i32,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// The governing Service.
    pub service_name: Symbol,
    /// Which pods are its own.
    pub selector: Arc<Selector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// Claims for each pod.
    pub claim_templates: Arc<Vec<ClaimTemplate>>,
    /// The order of creation and removal.
    pub pod_management_policy: PodManagementPolicy,
    /// How pods are updated.
    pub update_strategy: StatefulSetUpdateStrategy,
    /// What becomes of the claims when the set is deleted.
    pub retention_when_deleted: ClaimRetention,
    /// What becomes of the claims of pods that are scaled away.
    pub retention_when_scaled: ClaimRetention,
    /// How many old revisions are kept.
    pub revision_history_limit: i32,
    /// The status.
    pub status: StatefulSetStatus,
}

/// The status of a StatefulSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatefulSetStatus {
    /// Pods that exist.
    pub replicas: i32,
    /// Ready pods.
    pub ready_replicas: i32,
    /// Available pods.
    pub available_replicas: i32,
    /// Pods of the current revision.
    pub current_replicas: i32,
    /// Pods of the update revision.
    pub updated_replicas: i32,
    /// The name of the revision that all pods had last.
    pub current_revision: Symbol,
    /// The name of the revision that pods are moving to.
    pub update_revision: Symbol,
    /// How often the hash of the template had to be varied.
    pub collision_count: Option<i32>,
    /// The generation that this status has seen.
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// How a DaemonSet updates its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonSetUpdateStrategy {
    /// Only when someone deletes them.
    OnDelete,
    /// A few at a time.
    RollingUpdate {
        /// How many nodes may be without an available pod.
        max_unavailable: IntOrPercent,
        /// How many nodes may have an old and a new pod.
        max_surge: IntOrPercent,
    },
}

/// A DaemonSet.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonSet {
    /// The metadata.
    pub meta: ObjectMeta,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Which pods are its own.
    pub selector: Arc<Selector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// How pods are updated.
    pub update_strategy: DaemonSetUpdateStrategy,
    /// How many old revisions are kept.
    pub revision_history_limit: i32,
    /// The status.
    pub status: DaemonSetStatus,
}

/// The status of a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaemonSetStatus {
    /// Nodes that should run a pod and do.
    pub current_number_scheduled: i32,
    /// Nodes that should not run a pod and do.
    pub number_misscheduled: i32,
    /// Nodes that should run a pod.
    pub desired_number_scheduled: i32,
    /// Nodes with a ready pod.
    pub number_ready: i32,
    /// Nodes with an available pod.
    pub number_available: i32,
    /// Nodes that should have an available pod and have none.
    pub number_unavailable: i32,
    /// Nodes with a pod of the newest template.
    pub updated_number_scheduled: i32,
    /// The generation that this status has seen.
    pub observed_generation: i64,
    /// How often the hash of the template had to be varied.
    pub collision_count: Option<i32>,
}

/// A stored revision of a StatefulSet's or DaemonSet's template.
#[derive(Clone, Debug, PartialEq)]
pub struct ControllerRevision {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The revision number.
    pub revision: i64,
    /// The template.
    pub template: Arc<PodTemplate>,
}

/// How the completions of a Job are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionMode {
    /// Any pod's success counts.
    NonIndexed,
    /// Each index must succeed once.
    Indexed,
}

/// When a Job replaces a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodReplacementPolicy {
    /// When it has begun to terminate, or failed.
    TerminatingOrFailed,
    /// When it has failed.
    Failed,
}

/// What a rule of a pod failure policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodFailureAction {
    /// The Job fails.
    FailJob,
    /// The pod's index fails.
    FailIndex,
    /// The failure does not count.
    Ignore,
    /// The failure counts.
    Count,
}

/// What a rule of a pod failure policy matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodFailureMatch {
    /// The exit code of a container.
    ExitCodes {
        /// The container, or any.
        container: Option<Symbol>,
        /// Whether the code must be among the values, or must not.
        negated: bool,
        /// The values.
        values: Box<[i32]>,
    },
    /// Conditions of the pod by type and status.
    Conditions(Box<[(Symbol, ConditionStatus)]>),
}

/// A rule of a pod failure policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFailureRule {
    /// What it does.
    pub action: PodFailureAction,
    /// What it matches.
    pub matches: PodFailureMatch,
}

/// A rule of a success policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessRule {
    /// The indexes that must succeed, as inclusive ranges; `None` for any.
    pub indexes: Option<Box<[(i32, i32)]>>,
    /// How many of them must; `None` for all.
    pub count: Option<i32>,
}

/// A Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The metadata.
    pub meta: ObjectMeta,
    /// How many pods run at once.
    pub parallelism: i32,
    /// How many must succeed; `None` for a work queue.
    pub completions: Option<i32>,
    /// How completions are counted.
    pub completion_mode: CompletionMode,
    /// How many failures are accepted.
    pub backoff_limit: i32,
    /// How many failures are accepted for each index.
    pub backoff_limit_per_index: Option<i32>,
    /// How many indexes may fail.
    pub max_failed_indexes: Option<i32>,
    /// After how many seconds the Job fails.
    pub active_deadline_seconds: Option<i64>,
    /// How many seconds after its end the Job is deleted.
    pub ttl_seconds_after_finished: Option<i32>,
    /// Whether it is suspended.
    pub suspend: bool,
    /// What failures mean.
    pub pod_failure_policy: Box<[PodFailureRule]>,
    /// What success means.
    pub success_policy: Box<[SuccessRule]>,
    /// When pods are replaced.
    pub pod_replacement_policy: PodReplacementPolicy,
    /// Which pods are its own.
    pub selector: Arc<Selector>,
    /// What its pods look like.
    pub template: Arc<PodTemplate>,
    /// The status.
    pub status: JobStatus,
}

impl Job {
    /// A Job of one pod to completion, upstream's defaults everywhere else.
    pub fn new(template: Arc<PodTemplate>) -> Job {
        Job {
            meta: ObjectMeta::default(),
            parallelism: 1,
            completions: Some(1),
            completion_mode: CompletionMode::NonIndexed,
            backoff_limit: 6,
            backoff_limit_per_index: None,
            max_failed_indexes: None,
            active_deadline_seconds: None,
            ttl_seconds_after_finished: None,
            suspend: false,
            pod_failure_policy: Box::default(),
            success_policy: Box::default(),
            pod_replacement_policy: PodReplacementPolicy::TerminatingOrFailed,
            selector: Arc::default(),
            template,
            status: JobStatus::default(),
        }
    }
}

/// The status of a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobStatus {
    /// Pods that have neither ended nor begun to terminate.
    pub active: i32,
    /// Active pods that are ready.
    pub ready: i32,
    /// Terminating pods.
    pub terminating: i32,
    /// Completions.
    pub succeeded: i32,
    /// Failures.
    pub failed: i32,
    /// When it began.
    pub start_time: Option<SimTime>,
    /// When it completed.
    pub completion_time: Option<SimTime>,
    /// Completed indexes, `0,2-4`.
    pub completed_indexes: CompactString,
    /// Failed indexes.
    pub failed_indexes: Option<CompactString>,
    /// Finished pods that still have their finalizer or are not in the counters yet.
    pub uncounted: UncountedPods,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// `uncountedTerminatedPods` of a Job: what its controller is about to count, so that no pod is
/// counted twice or never, whenever the controller stops.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UncountedPods {
    /// Pods that succeeded.
    pub succeeded: Vec<Uid>,
    /// Pods that failed.
    pub failed: Vec<Uid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        for (percent, total, ceil, floor) in
            [(25, 4, 1, 1), (25, 3, 1, 0), (25, 10, 3, 2), (100, 7, 7, 7), (0, 5, 0, 0)]
        {
            let value = IntOrPercent::Percent(percent);
            assert_eq!((value.ceil_of(total), value.floor_of(total)), (ceil, floor));
        }
    }
}
