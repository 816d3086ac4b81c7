//! The status of a ReplicaSet.

use compact_str::CompactString;
use seatrial_api::pod::ConditionStatus;
use seatrial_api::units::SimTime;
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{Condition, ReplicaSetStatus, condition};

use super::kind::PodSet;
use super::state::Counts;

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// The status that follows from the pods as they were read and from the error of this sync's
/// creations or deletions; `None` if it is the one that the set has.
pub(super) fn next<T: PodSet>(
    set: &T,
    counts: &Counts,
    available: i32,
    failure: Option<&str>,
    version: KubernetesVersion,
    now: SimTime,
) -> Option<ReplicaSetStatus> {
    let terminating = (T::IS_CURRENT && version >= KubernetesVersion::V1_36).then_some(counts.terminating);
    let had_failure = condition(&set.status().conditions, REPLICA_FAILURE).is_some();
    let old = set.status();
    let same = old.replicas == counts.active
        && old.fully_labeled_replicas == counts.labeled
        && old.ready_replicas == counts.ready
        && old.available_replicas == available
        && old.terminating_replicas == terminating
        && old.observed_generation == set.meta().generation
        && had_failure == failure.is_some();
    if same {
        return None;
    }
    let mut conditions = old.conditions.clone();
    match failure {
        Some(message) if !had_failure => {
            let reason = if counts.active < set.replicas() { "FailedCreate" } else { "FailedDelete" };
            conditions.push(Condition {
                kind: REPLICA_FAILURE.into(),
                status: ConditionStatus::True,
                reason: reason.into(),
                message: CompactString::from(message),
                transition: now.truncate_to_second(),
                updated: SimTime::ZERO,
            });
        }
        None => conditions.retain(|condition| condition.kind != REPLICA_FAILURE),
        Some(_) => {}
    }
    Some(ReplicaSetStatus {
        replicas: counts.active,
        fully_labeled_replicas: counts.labeled,
        ready_replicas: counts.ready,
        available_replicas: available,
        terminating_replicas: terminating,
        observed_generation: set.meta().generation,
        conditions,
    })
}
