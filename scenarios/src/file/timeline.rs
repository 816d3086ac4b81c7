//! What people do.

use seatrial_api::object::Kind;
use seatrial_api::units::Span;

use super::faults::ComponentWord;
use super::{ManifestSource, OneOrMore};
use crate::schema::{Name, ObjectName, Placed, Rule, Text, record};

record! {
    /// Something that people do, once or again and again.
    pub(crate) struct Entry {
        /// A name to which expectations can refer.
        name("name"): Option<Placed<Name>>,
        /// When; with `every`, when first.
        at("at"): Option<Placed<Span>>,
        /// Again after so long each time.
        every("every"): Option<Placed<Span>>,
        /// How often in all; to the end of the run if absent.
        times("times"): Option<Placed<u32>>,
        /// Applies manifests: files or folders relative to this file, YAML texts, or objects.
        apply("apply"): Option<OneOrMore<ManifestSource>>,
        /// Deletes an object.
        delete("delete"): Option<Placed<Deleted>>,
        /// Changes the number of replicas.
        scale("scale"): Option<Placed<Scaled>>,
        /// Changes the image of containers.
        set_image("setImage"): Option<Placed<SetImage>>,
        /// Replaces all pods of a workload, as `kubectl rollout restart` does.
        rollout_restart("rolloutRestart"): Option<Placed<Workload>>,
        /// Goes back to the last revision, as `kubectl rollout undo` does.
        rollout_undo("rolloutUndo"): Option<Placed<Workload>>,
        /// Lets no new pods onto nodes.
        cordon("cordon"): Option<OneOrMore<Placed<Text>>>,
        /// Lets new pods onto nodes again.
        uncordon("uncordon"): Option<OneOrMore<Placed<Text>>>,
        /// Cordons nodes and evicts their pods.
        drain("drain"): Option<OneOrMore<Placed<Text>>>,
        /// Adds machines to a pool.
        add_nodes("addNodes"): Option<Placed<AddNodes>>,
        /// Takes machines away, with their Node objects.
        remove_node("removeNode"): Option<OneOrMore<Placed<Text>>>,
        /// Replaces the machines of a pool one after another: drain, remove, add.
        upgrade_pool("upgradePool"): Option<Placed<Text>>,
        /// Kills a component, which is started again at once.
        restart("restart"): Option<Placed<Restart>>,
    }
    rules [
        Rule::AtLeastOne(&["at", "every"]),
        Rule::Needs("times", "every"),
        Rule::ExactlyOne(&[
            "apply", "delete", "scale", "setImage", "rolloutRestart", "rolloutUndo", "cordon", "uncordon", "drain",
            "addNodes", "removeNode", "upgradePool", "restart",
        ]),
    ]
}

record! {
    /// The object to delete.
    pub(crate) struct Deleted {
        /// A Pod.
        pod("pod"): Option<ObjectName>,
        /// A Deployment.
        deployment("deployment"): Option<ObjectName>,
        /// A ReplicaSet.
        replica_set("replicaSet"): Option<ObjectName>,
        /// A StatefulSet.
        stateful_set("statefulSet"): Option<ObjectName>,
        /// A DaemonSet.
        daemon_set("daemonSet"): Option<ObjectName>,
        /// A Job.
        job("job"): Option<ObjectName>,
        /// A CronJob.
        cron_job("cronJob"): Option<ObjectName>,
        /// A ReplicationController.
        replication_controller("replicationController"): Option<ObjectName>,
        /// A ResourceQuota.
        quota("resourceQuota"): Option<ObjectName>,
        /// A LimitRange.
        limit_range("limitRange"): Option<ObjectName>,
        /// A Service.
        service("service"): Option<ObjectName>,
        /// A HorizontalPodAutoscaler.
        hpa("horizontalPodAutoscaler"): Option<ObjectName>,
        /// A PodDisruptionBudget.
        budget("podDisruptionBudget"): Option<ObjectName>,
        /// A ConfigMap.
        config_map("configMap"): Option<ObjectName>,
        /// A Secret.
        secret("secret"): Option<ObjectName>,
        /// A Namespace.
        namespace("namespace"): Option<Text>,
    }
    rules [Rule::ExactlyOne(&[
        "pod", "deployment", "replicaSet", "statefulSet", "daemonSet", "job", "cronJob", "replicationController",
        "resourceQuota", "limitRange", "service", "horizontalPodAutoscaler", "podDisruptionBudget", "configMap",
        "secret", "namespace",
    ])]
}

impl Deleted {
    /// The object's kind and name.
    pub(crate) fn object(&self) -> Option<(Kind, ObjectName)> {
        let named = [
            (Kind::Pod, &self.pod),
            (Kind::Deployment, &self.deployment),
            (Kind::ReplicaSet, &self.replica_set),
            (Kind::StatefulSet, &self.stateful_set),
            (Kind::DaemonSet, &self.daemon_set),
            (Kind::Job, &self.job),
            (Kind::CronJob, &self.cron_job),
            (Kind::ReplicationController, &self.replication_controller),
            (Kind::ResourceQuota, &self.quota),
            (Kind::LimitRange, &self.limit_range),
            (Kind::Service, &self.service),
            (Kind::HorizontalPodAutoscaler, &self.hpa),
            (Kind::PodDisruptionBudget, &self.budget),
            (Kind::ConfigMap, &self.config_map),
            (Kind::Secret, &self.secret),
        ];
        let namespace = self.namespace.as_ref().map(|Text(name)| {
            let name = ObjectName { namespace: Default::default(), name: name.clone(), qualified: false };
            (Kind::Namespace, name)
        });
        named.into_iter().find_map(|(kind, name)| Some((kind, name.clone()?))).or(namespace)
    }
}

record! {
    /// A workload and its new size.
    pub(crate) struct Scaled {
        /// A Deployment.
        deployment("deployment"): Option<ObjectName>,
        /// A StatefulSet.
        stateful_set("statefulSet"): Option<ObjectName>,
        /// A ReplicaSet.
        replica_set("replicaSet"): Option<ObjectName>,
        /// A ReplicationController.
        replication_controller("replicationController"): Option<ObjectName>,
        /// How many pods it shall have.
        replicas("replicas"): u32,
    }
    rules [Rule::ExactlyOne(&["deployment", "statefulSet", "replicaSet", "replicationController"])]
}

record! {
    /// A workload and the new image of its containers.
    pub(crate) struct SetImage {
        /// A Deployment.
        deployment("deployment"): Option<ObjectName>,
        /// A StatefulSet.
        stateful_set("statefulSet"): Option<ObjectName>,
        /// A DaemonSet.
        daemon_set("daemonSet"): Option<ObjectName>,
        /// The container; all of them if absent.
        container("container"): Option<Text>,
        /// The image.
        image("image"): Text,
    }
    rules [Rule::ExactlyOne(&["deployment", "statefulSet", "daemonSet"])]
}

record! {
    /// A workload with a history of revisions.
    pub(crate) struct Workload {
        /// A Deployment.
        deployment("deployment"): Option<ObjectName>,
        /// A StatefulSet.
        stateful_set("statefulSet"): Option<ObjectName>,
        /// A DaemonSet.
        daemon_set("daemonSet"): Option<ObjectName>,
    }
    rules [Rule::ExactlyOne(&["deployment", "statefulSet", "daemonSet"])]
}

record! {
    /// A component that is killed and started again.
    pub(crate) struct Restart {
        /// A component of the masters.
        component("component"): Option<ComponentWord>,
        /// The kubelet of a node.
        kubelet("kubelet"): Option<Text>,
    }
    rules [Rule::ExactlyOne(&["component", "kubelet"])]
}

record! {
    /// How many machines to add to which pool.
    pub(crate) struct AddNodes {
        /// The pool.
        pool("pool"): Placed<Text>,
        /// How many.
        count("count"): u32,
    }
}
