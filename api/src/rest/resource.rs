//! The resources that the API serves: names, versions, scopes, sub-resources.

use crate::object::Kind;
use crate::schema::{Struct, schema};

/// A sub-resource of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubResource {
    /// `status`.
    Status,
    /// `scale`.
    Scale,
    /// `binding` of a pod.
    Binding,
    /// `eviction` of a pod.
    Eviction,
    /// `finalize` of a namespace.
    Finalize,
    /// `resize` of a pod.
    Resize,
    /// `ephemeralcontainers` of a pod.
    EphemeralContainers,
}

impl SubResource {
    /// The name in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            SubResource::Status => "status",
            SubResource::Scale => "scale",
            SubResource::Binding => "binding",
            SubResource::Eviction => "eviction",
            SubResource::Finalize => "finalize",
            SubResource::Resize => "resize",
            SubResource::EphemeralContainers => "ephemeralcontainers",
        }
    }
}

/// A resource of the API in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The plural in paths.
    pub plural: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Short names for users.
    pub short_names: &'static [&'static str],
    /// Whether it is among `all`.
    pub in_all: bool,
    /// Its sub-resources.
    pub sub_resources: &'static [SubResource],
    /// The package of its types in [`crate::schema`].
    package: &'static str,
}

impl Resource {
    /// `apiVersion` in documents.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The plural with the group, as messages name the resource: `deployments.apps`.
    pub fn qualified_plural(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// The kind with the group, as messages about invalid objects name it: `Deployment.apps`.
    pub fn qualified_kind(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// The type of its documents.
    pub fn structure(&self) -> Option<&'static Struct> {
        schema().get(&format!("{}/{}.{}", self.package, self.version, self.kind))
    }

    /// The package of its types, which for the core group has a name.
    pub fn package(&self) -> &'static str {
        self.package
    }

    /// The kind in the store: one with a type of its own, or the untyped lane.
    pub fn typed(&self) -> Kind {
        Kind::parse(self.kind).filter(|kind| kind.group() == self.group).unwrap_or(Kind::Untyped)
    }

    /// Whether it has this sub-resource.
    pub fn has(&self, sub_resource: SubResource) -> bool {
        self.sub_resources.contains(&sub_resource)
    }

    /// Whether a PUT to a name that is not there creates the object.
    pub fn put_creates(&self) -> bool {
        matches!(self.kind, "Service" | "Endpoints" | "Event" | "LimitRange" | "Lease" | "RuntimeClass")
            || self.group == "rbac.authorization.k8s.io"
    }

    /// Whether a PUT must say which version it replaces.
    pub fn put_needs_version(&self) -> bool {
        matches!(
            self.kind,
            "PodDisruptionBudget"
                | "Lease"
                | "RuntimeClass"
                | "CSINode"
                | "CSIDriver"
                | "CSIStorageCapacity"
                | "VolumeAttachment"
        )
    }
}

/// The resource with these names.
pub fn resource(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|resource| resource.group == group && resource.version == version && resource.plural == plural)
}

/// The resource whose documents have this `apiVersion` and `kind`.
pub fn of_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    RESOURCES
        .iter()
        .find(|resource| resource.group == group && resource.version == version && resource.kind == kind)
}

/// The type of documents with this `apiVersion` and `kind`.
pub fn structure(api_version: &str, kind: &str) -> Option<&'static Struct> {
    of_kind(api_version, kind)?.structure()
}

/// Whether a group is served in this version.
pub fn is_served(group: &str, version: &str) -> bool {
    RESOURCES.iter().any(|resource| resource.group == group && resource.version == version)
}

macro_rules! resources {
    ($($package:literal $group:literal $version:literal {
        $($kind:literal $plural:literal $scope:ident [$($short:literal)*] $([$all:ident])? $(($($sub:ident)+))? ;)+
    })+) => {
        /// All resources, group by group.
        pub const RESOURCES: &[Resource] = &[$($(Resource {
            group: $group,
            version: $version,
            kind: $kind,
            plural: $plural,
            namespaced: resources!(@scope $scope),
            short_names: &[$($short),*],
            in_all: resources!(@all $($all)?),
            sub_resources: &[$($(SubResource::$sub),+)?],
            package: $package,
        },)+)+];
    };
    (@scope namespaced) => { true };
    (@scope cluster) => { false };
    (@all all) => { true };
    (@all) => { false };
}

resources! {
    "core" "" "v1" {
        "Pod" "pods" namespaced ["po"] [all] (Status Binding Eviction Resize EphemeralContainers);
        "Node" "nodes" cluster ["no"] (Status);
        "Namespace" "namespaces" cluster ["ns"] (Status Finalize);
        "Service" "services" namespaced ["svc"] [all] (Status);
        "ServiceAccount" "serviceaccounts" namespaced ["sa"];
        "ConfigMap" "configmaps" namespaced ["cm"];
        "Secret" "secrets" namespaced [];
        "PersistentVolume" "persistentvolumes" cluster ["pv"] (Status);
        "PersistentVolumeClaim" "persistentvolumeclaims" namespaced ["pvc"] (Status);
        "ReplicationController" "replicationcontrollers" namespaced ["rc"] [all] (Status Scale);
        "ResourceQuota" "resourcequotas" namespaced ["quota"] (Status);
        "LimitRange" "limitranges" namespaced ["limits"];
        "Endpoints" "endpoints" namespaced ["ep"];
        "Event" "events" namespaced ["ev"];
        "PodTemplate" "podtemplates" namespaced [];
    }
    "apps" "apps" "v1" {
        "Deployment" "deployments" namespaced ["deploy"] [all] (Status Scale);
        "ReplicaSet" "replicasets" namespaced ["rs"] [all] (Status Scale);
        "StatefulSet" "statefulsets" namespaced ["sts"] [all] (Status Scale);
        "DaemonSet" "daemonsets" namespaced ["ds"] [all] (Status);
        "ControllerRevision" "controllerrevisions" namespaced [];
    }
    "batch" "batch" "v1" {
        "Job" "jobs" namespaced [] [all] (Status);
        "CronJob" "cronjobs" namespaced ["cj"] [all] (Status);
    }
    "autoscaling" "autoscaling" "v2" {
        "HorizontalPodAutoscaler" "horizontalpodautoscalers" namespaced ["hpa"] [all] (Status);
    }
    "autoscaling" "autoscaling" "v1" {
        "HorizontalPodAutoscaler" "horizontalpodautoscalers" namespaced ["hpa"] [all] (Status);
    }
    "policy" "policy" "v1" {
        "PodDisruptionBudget" "poddisruptionbudgets" namespaced ["pdb"] (Status);
    }
    "discovery" "discovery.k8s.io" "v1" {
        "EndpointSlice" "endpointslices" namespaced [];
    }
    "networking" "networking.k8s.io" "v1" {
        "Ingress" "ingresses" namespaced ["ing"] (Status);
        "IngressClass" "ingressclasses" cluster [];
        "NetworkPolicy" "networkpolicies" namespaced ["netpol"];
        "IPAddress" "ipaddresses" cluster ["ip"];
        "ServiceCIDR" "servicecidrs" cluster [] (Status);
    }
    "storage" "storage.k8s.io" "v1" {
        "StorageClass" "storageclasses" cluster ["sc"];
        "CSINode" "csinodes" cluster [];
        "CSIDriver" "csidrivers" cluster [];
        "CSIStorageCapacity" "csistoragecapacities" namespaced [];
        "VolumeAttachment" "volumeattachments" cluster [] (Status);
        "VolumeAttributesClass" "volumeattributesclasses" cluster ["vac"];
    }
    "scheduling" "scheduling.k8s.io" "v1" {
        "PriorityClass" "priorityclasses" cluster ["pc"];
    }
    "coordination" "coordination.k8s.io" "v1" {
        "Lease" "leases" namespaced [];
    }
    "events" "events.k8s.io" "v1" {
        "Event" "events" namespaced ["ev"];
    }
    "node" "node.k8s.io" "v1" {
        "RuntimeClass" "runtimeclasses" cluster [];
    }
    "rbac" "rbac.authorization.k8s.io" "v1" {
        "Role" "roles" namespaced [];
        "RoleBinding" "rolebindings" namespaced [];
        "ClusterRole" "clusterroles" cluster [];
        "ClusterRoleBinding" "clusterrolebindings" cluster [];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_a_type_and_every_typed_kind_a_resource() {
        for resource in RESOURCES {
            assert!(resource.structure().is_some(), "{} {}", resource.api_version(), resource.kind);
        }
        // VerticalPodAutoscalers come with a custom resource definition.
        let is_built_in = |kind: &&Kind| !matches!(kind, Kind::Untyped | Kind::VerticalPodAutoscaler);
        for kind in Kind::ALL.iter().filter(is_built_in) {
            let found = RESOURCES.iter().find(|resource| resource.typed() == *kind);
            assert!(found.is_some_and(|resource| resource.plural == kind.plural()), "{kind}");
        }
    }
}
