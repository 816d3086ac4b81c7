//! ReplicaSets, Deployments, StatefulSets and DaemonSets.

use seatrial_api::meta::ObjectMeta;
use seatrial_api::workload::{
    DaemonSet, Deployment, ReplicaSet, ReplicationController, StatefulSet, StatefulSetUpdateStrategy,
};
use serde_json::{Value, json};

use super::Fields;

/// Puts an annotation of the Deployment controller under its short name.
fn rollout(fields: &mut Fields, meta: &ObjectMeta, name: &str) {
    fields.annotation(name, meta, &format!("deployment.kubernetes.io/{name}"));
}

pub(super) fn replica_set(fields: &mut Fields, set: &ReplicaSet) {
    let status = &set.status;
    fields.put("spec.replicas", json!(set.replicas));
    fields.put("replicas", json!(status.replicas));
    fields.images(&set.template.spec);
    fields.counter("readyReplicas", status.ready_replicas);
    fields.counter("availableReplicas", status.available_replicas);
    fields.counter("fullyLabeledReplicas", status.fully_labeled_replicas);
    if let Some(count) = status.terminating_replicas {
        fields.put("terminatingReplicas", json!(count));
    }
    for name in ["desired-replicas", "max-replicas", "revision", "revision-history"] {
        rollout(fields, &set.meta, name);
    }
    fields.observed(status.observed_generation);
    fields.conditions(&status.conditions);
}

pub(super) fn replication_controller(fields: &mut Fields, set: &ReplicationController) {
    let status = &set.status;
    fields.put("spec.replicas", json!(set.replicas));
    fields.put("replicas", json!(status.replicas));
    fields.counter("readyReplicas", status.ready_replicas);
    fields.counter("availableReplicas", status.available_replicas);
    fields.counter("fullyLabeledReplicas", status.fully_labeled_replicas);
    fields.observed(status.observed_generation);
    fields.conditions(&status.conditions);
}

pub(super) fn deployment(fields: &mut Fields, deployment: &Deployment) {
    let status = &deployment.status;
    fields.put("spec.replicas", json!(deployment.replicas));
    fields.images(&deployment.template.spec);
    fields.counter("replicas", status.replicas);
    fields.counter("updatedReplicas", status.updated_replicas);
    fields.counter("readyReplicas", status.ready_replicas);
    fields.counter("availableReplicas", status.available_replicas);
    fields.counter("unavailableReplicas", status.unavailable_replicas);
    if let Some(count) = status.terminating_replicas {
        fields.put("terminatingReplicas", json!(count));
    }
    if deployment.paused {
        fields.put("paused", json!(true));
    }
    rollout(fields, &deployment.meta, "revision");
    fields.observed(status.observed_generation);
    fields.conditions(&status.conditions);
}

pub(super) fn stateful_set(fields: &mut Fields, set: &StatefulSet) {
    let status = &set.status;
    fields.put("spec.replicas", json!(set.replicas));
    fields.images(&set.template.spec);
    fields.put("replicas", json!(status.replicas));
    fields.put("availableReplicas", json!(status.available_replicas));
    fields.counter("readyReplicas", status.ready_replicas);
    fields.counter("currentReplicas", status.current_replicas);
    fields.counter("updatedReplicas", status.updated_replicas);
    fields.text("currentRevision", status.current_revision.as_str());
    fields.text("updateRevision", status.update_revision.as_str());
    if let Some(count) = status.collision_count {
        fields.put("collisionCount", json!(count));
    }
    fields.put("updateStrategy", update_strategy(set.update_strategy));
    fields.observed(status.observed_generation);
    fields.conditions(&status.conditions);
}

fn update_strategy(strategy: StatefulSetUpdateStrategy) -> Value {
    match strategy {
        StatefulSetUpdateStrategy::OnDelete => json!({"type": "OnDelete"}),
        StatefulSetUpdateStrategy::RollingUpdate { partition: None } => json!({"type": "RollingUpdate"}),
        StatefulSetUpdateStrategy::RollingUpdate { partition: Some(partition) } => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}})
        }
    }
}

pub(super) fn daemon_set(fields: &mut Fields, set: &DaemonSet) {
    let status = &set.status;
    fields.images(&set.template.spec);
    fields.put("currentNumberScheduled", json!(status.current_number_scheduled));
    fields.put("desiredNumberScheduled", json!(status.desired_number_scheduled));
    fields.put("numberMisscheduled", json!(status.number_misscheduled));
    fields.put("numberReady", json!(status.number_ready));
    fields.counter("numberAvailable", status.number_available);
    fields.counter("numberUnavailable", status.number_unavailable);
    fields.counter("updatedNumberScheduled", status.updated_number_scheduled);
    fields.observed(status.observed_generation);
}
