//! The two kinds that keep a number of pods: ReplicaSet, and ReplicationController from before it.

use std::sync::Arc;

use seatrial_api::labels::Selector;
use seatrial_api::object::Typed;
use seatrial_api::pod::PodTemplate;
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus, ReplicationController};

use crate::framework::{Caches, Table};

/// A kind that keeps a number of pods.
pub(crate) trait PodSet: Typed + std::fmt::Debug {
    /// Whether it follows what was added to ReplicaSets alone: terminating pods are counted, and a sync
    /// waits until the caches show its own writes.
    const IS_CURRENT: bool;
    /// The cached objects of the kind.
    fn table(caches: &Caches) -> &Table<Self>;
    /// How many pods are wanted.
    fn replicas(&self) -> i32;
    /// How long a pod must be ready to be available.
    fn min_ready_seconds(&self) -> i32;
    /// Which pods are its own.
    fn selector(&self) -> &Selector;
    /// What its pods look like.
    fn template(&self) -> &Arc<PodTemplate>;
    /// The status.
    fn status(&self) -> &ReplicaSetStatus;
    /// The same object with another status.
    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

macro_rules! pod_set {
    ($kind:ident, $table:ident, $is_current:literal) => {
        impl PodSet for $kind {
            const IS_CURRENT: bool = $is_current;

            fn table(caches: &Caches) -> &Table<$kind> {
                &caches.$table
            }

            fn replicas(&self) -> i32 {
                self.replicas
            }

            fn min_ready_seconds(&self) -> i32 {
                self.min_ready_seconds
            }

            fn selector(&self) -> &Selector {
                &self.selector
            }

            fn template(&self) -> &Arc<PodTemplate> {
                &self.template
            }

            fn status(&self) -> &ReplicaSetStatus {
                &self.status
            }

            fn with_status(&self, status: ReplicaSetStatus) -> $kind {
                $kind { status, ..self.clone() }
            }
        }
    };
}

pod_set!(ReplicaSet, replica_sets, true);
pod_set!(ReplicationController, replication_controllers, false);
