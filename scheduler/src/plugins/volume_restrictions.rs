//! VolumeRestrictions: disks that one node may use at a time, and claims that one pod may use at a
//! time.

use std::sync::Arc;

use seatrial_api::pod::{DiskSource, Pod, VolumeSource};
use seatrial_api::symbol::Symbol;

use crate::cluster::{Cluster, NodeInfo};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Plugin, Points, PreFilter, Reason, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VolumeRestrictions;

/// The pod's ReadWriteOncePod claims, and how many pods use them.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterState {
    claims: Arc<[Symbol]>,
    users: i64,
}

const DISK_CONFLICT: &str = "node(s) had no available disk";
const CLAIM_CONFLICT: &str = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";

fn claim_names(pod: &Pod) -> impl Iterator<Item = Symbol> + '_ {
    pod.spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Claim { name, .. } => Some(*name),
        _ => None,
    })
}

fn disks(pod: &Pod) -> impl Iterator<Item = &DiskSource> + '_ {
    pod.spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Disk(disk) => Some(disk),
        _ => None,
    })
}

/// Whether two uses of disks exclude each other.
fn conflict(a: &DiskSource, b: &DiskSource) -> bool {
    use DiskSource::*;
    match (a, b) {
        (
            GcePersistentDisk { name: a, read_only: a_reads },
            GcePersistentDisk { name: b, read_only: b_reads },
        )
        | (Iscsi { iqn: a, read_only: a_reads }, Iscsi { iqn: b, read_only: b_reads }) => {
            a == b && !(*a_reads && *b_reads)
        }
        (AwsElasticBlockStore { id: a }, AwsElasticBlockStore { id: b }) => a == b,
        (
            Rbd { monitors, pool, image, read_only },
            Rbd { monitors: other_monitors, pool: other_pool, image: other_image, read_only: other_reads },
        ) => {
            monitors.iter().any(|monitor| other_monitors.contains(monitor))
                && (pool, image) == (other_pool, other_image)
                && !(*read_only && *other_reads)
        }
        _ => false,
    }
}

fn disks_conflict(pod: &Pod, other: &Pod) -> bool {
    disks(pod).any(|disk| disks(other).any(|used| conflict(disk, used)))
}

fn uses_of(state: &FilterState, other: &Pod) -> i64 {
    claim_names(other).filter(|name| state.claims.contains(name)).count() as i64
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn concerns(&self, pod: &Pod) -> bool {
        claim_names(pod).next().is_some() || disks(pod).next().is_some()
    }

    fn pre_filter(&self, cluster: &Cluster, pod: &Arc<Pod>, state: &mut CycleState) -> PreFilter {
        let mut claims = Vec::new();
        let namespace = pod.meta.namespace;
        for name in claim_names(pod) {
            let Some(claim) = cluster.volumes.claim(namespace, name.as_str()) else {
                let text = format!("persistentvolumeclaim \"{name}\" not found");
                return PreFilter::Reject(Code::Unresolvable, Reason::Owned(text.into()));
            };
            if claim.spec.access_modes.read_write_once_pod && !claims.contains(&name) {
                claims.push(name);
            }
        }
        let used = |name: &&Symbol| cluster.volumes.users(&(namespace, name.as_str().into())) > 0;
        let users = claims.iter().filter(used).count() as i64;
        if users == 0 && disks(pod).next().is_none() {
            return PreFilter::Skip;
        }
        state.exclusive_claims = FilterState { claims: claims.into(), users };
        PreFilter::Run
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        if node.pods().iter().any(|other| disks_conflict(cycle.pod, &other.pod)) {
            return why.reject(Code::Unschedulable, DISK_CONFLICT);
        }
        if cycle.state.exclusive_claims.users > 0 {
            return why.reject(Code::Unschedulable, CLAIM_CONFLICT);
        }
        Ok(())
    }

    fn add_pod(&self, _: &Cluster, _: &Pod, other: &Pod, _: &NodeInfo, state: &mut CycleState) {
        state.exclusive_claims.users += uses_of(&state.exclusive_claims, other);
    }

    fn remove_pod(&self, _: &Cluster, _: &Pod, other: &Pod, _: &NodeInfo, state: &mut CycleState) {
        state.exclusive_claims.users -= uses_of(&state.exclusive_claims, other);
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::PodDelete, EventKind::NodeAdd, EventKind::NodeTaints, EventKind::Storage])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let pod = context.pod;
        match event {
            ClusterEvent::PodDelete { pod: deleted, .. } => {
                let shares = claim_names(deleted).any(|name| claim_names(pod).any(|own| own == name));
                let same_namespace = deleted.meta.namespace == pod.meta.namespace;
                Hint::queue_if(same_namespace && (shares || disks_conflict(pod, deleted)))
            }
            ClusterEvent::NodeAdd(_) | ClusterEvent::NodeUpdate { change: NodeChange::Taints, .. } => {
                Hint::Queue
            }
            ClusterEvent::ClaimAdd(claim) => Hint::queue_if(
                claim.meta.namespace == pod.meta.namespace
                    && claim_names(pod).any(|name| name == claim.meta.name.as_str()),
            ),
            _ => Hint::Skip,
        }
    }
}
