//! The informer caches that all controllers share: what the watch has told, by row, name,
//! namespace and managing controller. A stale cache behaves like a stale cache.

use std::collections::BTreeSet;
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::autoscaling::HorizontalPodAutoscaler;
use seatrial_api::config::{ConfigMap, Namespace, Secret, ServiceAccount};
use seatrial_api::cronjob::CronJob;
use seatrial_api::lease::Lease;
use seatrial_api::meta::Uid;
use seatrial_api::networking::{Ingress, IngressClass, NetworkPolicy};
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed, Untyped};
use seatrial_api::policy::{PodDisruptionBudget, PriorityClass};
use seatrial_api::quota::{LimitRange, ResourceQuota};
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::service::{EndpointSlice, Endpoints, Service};
use seatrial_api::storage::{
    CsiDriver, CsiNode, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, StorageClass,
    VolumeAttachment,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::vertical::VerticalPodAutoscaler;
use seatrial_api::workload::{
    ControllerRevision, DaemonSet, Deployment, Job, ReplicaSet, ReplicationController, StatefulSet,
};

use super::pods::PodTable;

/// Rows in ascending order, for lists that mostly grow at their end.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowList(Vec<u32>);

impl RowList {
    /// A list of these rows, which are all different.
    pub(crate) fn of(mut rows: Vec<u32>) -> RowList {
        rows.sort_unstable();
        RowList(rows)
    }

    pub(crate) fn insert(&mut self, row: u32) {
        match self.0.last() {
            Some(&last) if last >= row => {
                if let Err(index) = self.0.binary_search(&row) {
                    self.0.insert(index, row);
                }
            }
            _ => self.0.push(row),
        }
    }

    pub(crate) fn remove(&mut self, row: u32) {
        if let Ok(index) = self.0.binary_search(&row) {
            self.0.remove(index);
        }
    }

    pub(crate) fn rows(&self) -> &[u32] {
        &self.0
    }
}

/// Lists of rows by a key; a list that becomes empty goes.
#[derive(Clone, Debug)]
pub(crate) struct RowIndex<K>(FxHashMap<K, RowList>);

impl<K> Default for RowIndex<K> {
    fn default() -> RowIndex<K> {
        RowIndex(FxHashMap::default())
    }
}

impl<K: std::hash::Hash + Eq> RowIndex<K> {
    pub(crate) fn insert(&mut self, key: K, row: u32) {
        self.0.entry(key).or_default().insert(row);
    }

    pub(crate) fn remove(&mut self, key: &K, row: u32) {
        if let Some(list) = self.0.get_mut(key) {
            list.remove(row);
            if list.rows().is_empty() {
                self.0.remove(key);
            }
        }
    }

    pub(crate) fn rows(&self, key: &K) -> &[u32] {
        self.0.get(key).map_or(&[], RowList::rows)
    }
}

#[derive(Clone, Debug, Default)]
struct NamespaceIndex {
    names: FxHashMap<CompactString, u32>,
    rows: BTreeSet<u32>,
}

/// The cached objects of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    rows: Vec<Option<Arc<T>>>,
    namespaces: FxHashMap<Symbol, NamespaceIndex>,
    controlled: RowIndex<Uid>,
    identities: FxHashMap<Uid, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            rows: Vec::new(),
            namespaces: FxHashMap::default(),
            controlled: RowIndex::default(),
            identities: FxHashMap::default(),
        }
    }
}

impl<T: Typed> Table<T> {
    /// The object in a row.
    pub(crate) fn get(&self, row: u32) -> Option<&Arc<T>> {
        self.rows.get(row as usize)?.as_ref()
    }

    /// The object of a name; kinds of cluster scope have the empty namespace.
    pub(crate) fn named(&self, namespace: Symbol, name: &str) -> Option<&Arc<T>> {
        self.get(*self.namespaces.get(&namespace)?.names.get(name)?)
    }

    /// The object with an identity.
    pub(crate) fn identified(&self, uid: Uid) -> Option<&Arc<T>> {
        self.get(*self.identities.get(&uid)?)
    }

    /// The objects of a namespace in order of their rows.
    pub(crate) fn in_namespace(&self, namespace: Symbol) -> impl Iterator<Item = &Arc<T>> {
        let index = self.namespaces.get(&namespace);
        index.into_iter().flat_map(|index| &index.rows).filter_map(|&row| self.get(row))
    }

    /// The objects whose managing controller has this identity, in order of their rows.
    pub(crate) fn controlled_by(&self, uid: Uid) -> impl Iterator<Item = &Arc<T>> {
        self.controlled.rows(&uid).iter().filter_map(|&row| self.get(row))
    }

    /// All objects in order of their rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.iter().flatten()
    }

    /// Whether there is no object.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.identities.len()
    }

    fn put(&mut self, object: &Arc<T>) -> Option<Arc<T>> {
        let meta = object.meta();
        let index = meta.id as usize;
        if index >= self.rows.len() {
            self.rows.resize(index + 1, None);
        }
        let old = self.rows[index].replace(object.clone());
        let controller = meta.controller().map(|owner| owner.uid);
        match &old {
            Some(old) => {
                let before = old.meta().controller().map(|owner| owner.uid);
                if before != controller {
                    self.change_controller(meta.id, before, controller);
                }
            }
            None => {
                let names = self.namespaces.entry(meta.namespace).or_default();
                names.names.insert(meta.name.clone(), meta.id);
                names.rows.insert(meta.id);
                self.identities.insert(meta.uid, meta.id);
                self.change_controller(meta.id, None, controller);
            }
        }
        old
    }

    fn change_controller(&mut self, row: u32, before: Option<Uid>, after: Option<Uid>) {
        if let Some(before) = before {
            self.controlled.remove(&before, row);
        }
        if let Some(after) = after {
            self.controlled.insert(after, row);
        }
    }

    fn take(&mut self, row: u32) -> Option<Arc<T>> {
        let old = self.rows.get_mut(row as usize)?.take()?;
        let meta = old.meta();
        if let Some(index) = self.namespaces.get_mut(&meta.namespace) {
            index.rows.remove(&row);
            // The name may have been given to a newer object already.
            if index.names.get(&meta.name) == Some(&row) {
                index.names.remove(&meta.name);
            }
            if index.rows.is_empty() {
                self.namespaces.remove(&meta.namespace);
            }
        }
        self.identities.remove(&meta.uid);
        self.change_controller(row, meta.controller().map(|owner| owner.uid), None);
        Some(old)
    }

    fn apply(&mut self, change: Change, object: &Arc<T>) -> Option<Object> {
        let old = match change {
            Change::Deleted => self.take(object.meta().id),
            Change::Added | Change::Modified => self.put(object),
        };
        old.map(T::wrap)
    }
}

/// The newest version of each kind that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Versions([u64; Kind::ALL.len()]);

impl Default for Versions {
    fn default() -> Versions {
        Versions([0; Kind::ALL.len()])
    }
}

macro_rules! caches {
    ($($field:ident: $kind:ident $doc:literal,)+) => {
        /// The caches of all kinds.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Caches {
            /// Pods.
            pub(crate) pods: PodTable,
            $(#[doc = $doc] pub(crate) $field: Table<$kind>,)+
            versions: Versions,
        }

        impl Caches {
            /// Takes in a change and returns the version that was cached before.
            pub(crate) fn apply(&mut self, event: &WatchEvent) -> Option<Object> {
                let version = &mut self.versions.0[event.object.kind() as usize];
                *version = (*version).max(event.object.meta().resource_version);
                match &event.object {
                    Object::Pod(pod) => self.pods.apply(event.change, pod).map(Object::Pod),
                    $(Object::$kind(object) => self.$field.apply(event.change, object),)+
                }
            }

            /// The object of a kind with an identity; none of the pods, which have no such index.
            pub(crate) fn identified(&self, kind: Kind, uid: Uid) -> Option<Object> {
                match kind {
                    Kind::Pod => None,
                    $(Kind::$kind => self.$field.identified(uid).cloned().map(Object::$kind),)+
                }
            }

            /// All objects of a namespace but its pods, kind by kind in order of their rows.
            pub(crate) fn in_namespace(&self, namespace: Symbol) -> Vec<Object> {
                let mut objects = Vec::new();
                $(objects.extend(self.$field.in_namespace(namespace).cloned().map(Object::$kind));)+
                objects
            }

            /// The cached version of an object.
            pub(crate) fn object(&self, target: ObjectRef) -> Option<Object> {
                match target.kind {
                    Kind::Pod => self.pods.get(target.id).cloned().map(Object::Pod),
                    $(Kind::$kind => self.$field.get(target.id).cloned().map(Object::$kind),)+
                }
            }
        }
    };
}

caches! {
    nodes: Node "Nodes.",
    namespaces: Namespace "Namespaces.",
    services: Service "Services.",
    service_accounts: ServiceAccount "ServiceAccounts.",
    config_maps: ConfigMap "ConfigMaps.",
    secrets: Secret "Secrets.",
    volumes: PersistentVolume "PersistentVolumes.",
    claims: PersistentVolumeClaim "PersistentVolumeClaims.",
    replication_controllers: ReplicationController "ReplicationControllers.",
    quotas: ResourceQuota "ResourceQuotas.",
    limit_ranges: LimitRange "LimitRanges.",
    endpoints: Endpoints "Endpoints.",
    replica_sets: ReplicaSet "ReplicaSets.",
    deployments: Deployment "Deployments.",
    stateful_sets: StatefulSet "StatefulSets.",
    daemon_sets: DaemonSet "DaemonSets.",
    revisions: ControllerRevision "ControllerRevisions.",
    jobs: Job "Jobs.",
    cron_jobs: CronJob "CronJobs.",
    leases: Lease "Leases.",
    endpoint_slices: EndpointSlice "EndpointSlices.",
    budgets: PodDisruptionBudget "PodDisruptionBudgets.",
    autoscalers: HorizontalPodAutoscaler "HorizontalPodAutoscalers.",
    priority_classes: PriorityClass "PriorityClasses.",
    storage_classes: StorageClass "StorageClasses.",
    csi_nodes: CsiNode "CSINodes.",
    ingresses: Ingress "Ingresses.",
    ingress_classes: IngressClass "IngressClasses.",
    network_policies: NetworkPolicy "NetworkPolicies.",
    csi_drivers: CsiDriver "CSIDrivers.",
    csi_storage_capacities: CsiStorageCapacity "CSIStorageCapacities.",
    attachments: VolumeAttachment "VolumeAttachments.",
    vertical_autoscalers: VerticalPodAutoscaler "VerticalPodAutoscalers.",
    untyped: Untyped "Objects without logic of their own.",
}

impl Caches {
    /// The newest resourceVersion that the watch of a kind has shown.
    pub(crate) fn version(&self, kind: Kind) -> u64 {
        self.versions.0[kind as usize]
    }
}
