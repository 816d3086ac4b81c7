//! All kinds of objects as one type, for the store, the watch and the border.

use std::fmt;
use std::sync::Arc;

use crate::autoscaling::HorizontalPodAutoscaler;
use crate::config::{ConfigMap, Namespace, Secret, ServiceAccount};
use crate::cronjob::CronJob;
use crate::document;
use crate::lease::Lease;
use crate::meta::ObjectMeta;
use crate::networking::{Ingress, IngressClass, NetworkPolicy};
use crate::node::Node;
use crate::pod::Pod;
use crate::policy::{PodDisruptionBudget, PriorityClass};
use crate::quota::{LimitRange, ResourceQuota};
use crate::service::{EndpointSlice, Endpoints, Service};
use crate::storage::{
    CsiDriver, CsiNode, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, StorageClass,
    VolumeAttachment,
};
use crate::symbol::Symbol;
use crate::vertical::VerticalPodAutoscaler;
use crate::workload::{
    ControllerRevision, DaemonSet, Deployment, Job, ReplicaSet, ReplicationController, StatefulSet,
};

/// An object without logic of its own: custom resources and kinds that are not played.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Untyped {
    /// The metadata.
    pub meta: ObjectMeta,
    /// `apiVersion` as written.
    pub api_version: Symbol,
    /// `kind` as written.
    pub kind: Symbol,
    /// The object as written, metadata included; `None` for one that is made here.
    pub content: Option<document::Node>,
}

/// A type of objects with an arena of its own in the store.
pub trait Typed: Clone + Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
    /// The metadata.
    fn meta(&self) -> &ObjectMeta;
    /// The metadata, to be changed.
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// The object as one of any kind.
    fn wrap(object: Arc<Self>) -> Object;
    /// The object as one of this type, if it is.
    fn of(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! kinds {
    ($($kind:ident $api_version:literal $plural:literal $scope:ident,)+) => {
        /// The kinds that the system knows; everything else is [`Kind::Untyped`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are Kubernetes' own")]
        pub enum Kind {
            $($kind,)+
            Untyped,
        }

        /// One immutable version of an object of any kind.
        #[derive(Clone, Debug)]
        #[expect(missing_docs, reason = "the names are Kubernetes' own")]
        pub enum Object {
            $($kind(Arc<$kind>),)+
            Untyped(Arc<Untyped>),
        }

        impl Kind {
            /// All kinds, the untyped lane last.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)+ Kind::Untyped];

            /// The kind's name as written in manifests.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$kind => stringify!($kind),)+
                    Kind::Untyped => "Untyped",
                }
            }

            /// `apiVersion` as written in manifests.
            pub fn api_version(self) -> &'static str {
                match self {
                    $(Kind::$kind => $api_version,)+
                    Kind::Untyped => "",
                }
            }

            /// The resource's name in paths and messages.
            pub fn plural(self) -> &'static str {
                match self {
                    $(Kind::$kind => $plural,)+
                    Kind::Untyped => "",
                }
            }

            /// Whether objects of this kind live in a namespace. Untyped ones may or may not.
            pub fn is_namespaced(self) -> bool {
                match self {
                    $(Kind::$kind => kinds!(@scope $scope),)+
                    Kind::Untyped => true,
                }
            }
        }

        impl Object {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Object::$kind(_) => Kind::$kind,)+
                    Object::Untyped(_) => Kind::Untyped,
                }
            }

            /// The metadata.
            pub fn meta(&self) -> &ObjectMeta {
                match self {
                    $(Object::$kind(object) => &object.meta,)+
                    Object::Untyped(object) => &object.meta,
                }
            }

            /// The metadata, to be changed; copies the version if it is shared.
            pub fn meta_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Object::$kind(object) => &mut Arc::make_mut(object).meta,)+
                    Object::Untyped(object) => &mut Arc::make_mut(object).meta,
                }
            }
        }

        $(kinds!(@typed $kind);)+
        kinds!(@typed Untyped);
    };
    (@scope namespaced) => { true };
    (@scope cluster) => { false };
    (@typed $kind:ident) => {
        impl Typed for $kind {
            const KIND: Kind = Kind::$kind;

            fn meta(&self) -> &ObjectMeta {
                &self.meta
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.meta
            }

            fn wrap(object: Arc<Self>) -> Object {
                Object::$kind(object)
            }

            fn of(object: &Object) -> Option<&Arc<Self>> {
                match object {
                    Object::$kind(object) => Some(object),
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    Pod "v1" "pods" namespaced,
    Node "v1" "nodes" cluster,
    Namespace "v1" "namespaces" cluster,
    Service "v1" "services" namespaced,
    ServiceAccount "v1" "serviceaccounts" namespaced,
    ConfigMap "v1" "configmaps" namespaced,
    Secret "v1" "secrets" namespaced,
    PersistentVolume "v1" "persistentvolumes" cluster,
    PersistentVolumeClaim "v1" "persistentvolumeclaims" namespaced,
    ReplicationController "v1" "replicationcontrollers" namespaced,
    ResourceQuota "v1" "resourcequotas" namespaced,
    LimitRange "v1" "limitranges" namespaced,
    Endpoints "v1" "endpoints" namespaced,
    ReplicaSet "apps/v1" "replicasets" namespaced,
    Deployment "apps/v1" "deployments" namespaced,
    StatefulSet "apps/v1" "statefulsets" namespaced,
    DaemonSet "apps/v1" "daemonsets" namespaced,
    ControllerRevision "apps/v1" "controllerrevisions" namespaced,
    Job "batch/v1" "jobs" namespaced,
    CronJob "batch/v1" "cronjobs" namespaced,
    Lease "coordination.k8s.io/v1" "leases" namespaced,
    EndpointSlice "discovery.k8s.io/v1" "endpointslices" namespaced,
    PodDisruptionBudget "policy/v1" "poddisruptionbudgets" namespaced,
    HorizontalPodAutoscaler "autoscaling/v2" "horizontalpodautoscalers" namespaced,
    PriorityClass "scheduling.k8s.io/v1" "priorityclasses" cluster,
    StorageClass "storage.k8s.io/v1" "storageclasses" cluster,
    CsiNode "storage.k8s.io/v1" "csinodes" cluster,
    Ingress "networking.k8s.io/v1" "ingresses" namespaced,
    IngressClass "networking.k8s.io/v1" "ingressclasses" cluster,
    NetworkPolicy "networking.k8s.io/v1" "networkpolicies" namespaced,
    CsiDriver "storage.k8s.io/v1" "csidrivers" cluster,
    CsiStorageCapacity "storage.k8s.io/v1" "csistoragecapacities" namespaced,
    VolumeAttachment "storage.k8s.io/v1" "volumeattachments" cluster,
    VerticalPodAutoscaler "autoscaling.k8s.io/v1" "verticalpodautoscalers" namespaced,
}

/// Kinds in the order in which they came to have a type, so that random streams, which are addressed by
/// their places here, stay what they were when others are added. New ones go to the end.
const BY_AGE: [Kind; 35] = [
    Kind::Pod,
    Kind::Node,
    Kind::Namespace,
    Kind::Service,
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::Secret,
    Kind::PersistentVolume,
    Kind::PersistentVolumeClaim,
    Kind::ReplicaSet,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::ControllerRevision,
    Kind::Job,
    Kind::EndpointSlice,
    Kind::PodDisruptionBudget,
    Kind::HorizontalPodAutoscaler,
    Kind::PriorityClass,
    Kind::StorageClass,
    Kind::CsiNode,
    Kind::Untyped,
    Kind::ReplicationController,
    Kind::ResourceQuota,
    Kind::LimitRange,
    Kind::Endpoints,
    Kind::CronJob,
    Kind::Lease,
    Kind::Ingress,
    Kind::IngressClass,
    Kind::NetworkPolicy,
    Kind::CsiDriver,
    Kind::CsiStorageCapacity,
    Kind::VolumeAttachment,
    Kind::VerticalPodAutoscaler,
];

/// The place of each kind in [`BY_AGE`]; kinds that are missing there share the last one.
const NUMBERS: [u8; Kind::ALL.len()] = {
    let mut numbers = [BY_AGE.len() as u8; Kind::ALL.len()];
    let mut place = 0;
    while place < BY_AGE.len() {
        numbers[BY_AGE[place] as usize] = place as u8;
        place += 1;
    }
    numbers
};

impl Kind {
    /// A number of the kind that stays when other kinds are added.
    pub fn number(self) -> u8 {
        NUMBERS[self as usize]
    }

    /// The API group, empty for the core group.
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// The resource with its group, as messages name it: `deployments.apps`.
    pub fn qualified_plural(self) -> String {
        match self.group() {
            "" => self.plural().to_string(),
            group => [self.plural(), ".", group].concat(),
        }
    }

    /// The kind that manifests write like this; those of CSI are spelled otherwise here.
    pub fn parse(name: &str) -> Option<Kind> {
        match name {
            "CSINode" => return Some(Kind::CsiNode),
            "CSIDriver" => return Some(Kind::CsiDriver),
            "CSIStorageCapacity" => return Some(Kind::CsiStorageCapacity),
            _ => {}
        }
        Kind::ALL.iter().copied().find(|kind| *kind != Kind::Untyped && kind.as_str() == name)
    }
}

/// The name that the resource of a kind has in all likelihood, as upstream guesses it.
pub fn guess_plural(kind: &str) -> String {
    let singular = kind.to_lowercase();
    match singular.as_bytes().last() {
        Some(b's') => format!("{singular}es"),
        Some(b'y') => format!("{}ies", &singular[..singular.len() - 1]),
        _ => format!("{singular}s"),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Object {
    /// A reference to the object.
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef { kind: self.kind(), id: self.meta().id }
    }
}

/// The address of an object: its kind and its row in the store's arena of that kind.
///
/// Rows are never used again, so a reference to an object that was deleted and made anew finds
/// nothing: it is as good as a precondition on the uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind.
    pub kind: Kind,
    /// The row.
    pub id: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_number_of_its_own() {
        let numbers: std::collections::BTreeSet<u8> = Kind::ALL.iter().map(|kind| kind.number()).collect();
        assert_eq!(numbers.len(), Kind::ALL.len(), "a new kind goes to the end of BY_AGE");
        assert_eq!((Kind::Pod.number(), Kind::Untyped.number()), (0, 21));
    }

    #[test]
    fn kinds_know_their_group_and_names() {
        assert_eq!(Kind::parse("Deployment"), Some(Kind::Deployment));
        assert_eq!(Kind::parse("CSINode"), Some(Kind::CsiNode));
        assert_eq!(Kind::parse("Untyped"), None);
        assert_eq!(Kind::Deployment.qualified_plural(), "deployments.apps");
        assert_eq!(Kind::Pod.qualified_plural(), "pods");
        assert!(!Kind::Node.is_namespaced());
    }
}
