//! ReplicaSets, Deployments, StatefulSets, DaemonSets and their revisions.

use super::names;
use super::pod::{SpecPool, TemplateRules, template};
use super::pod_status::STATUSES;
use super::reader::{Reader, whole_number};
use super::selector;
use super::storage;
use crate::container::RestartPolicy;
use crate::labels::{Labels, Operator, Selector};
use crate::meta::ObjectMeta;
use crate::pod::{PodSpec, PodTemplate};
use crate::storage::ClaimTemplate;
use crate::symbol::Symbol;
use crate::workload::{
    ClaimRetention, Condition, ControllerRevision, DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy,
    Deployment, DeploymentStatus, DeploymentStrategy, IntOrPercent, PodManagementPolicy, ReplicaSet,
    ReplicaSetStatus, ReplicationController, StatefulSet, StatefulSetStatus, StatefulSetUpdateStrategy,
};
use std::sync::Arc;

/// Reads a ReplicaSet.
pub(super) fn replica_set(object: &Reader<'_>, meta: ObjectMeta, specs: &mut SpecPool) -> Option<ReplicaSet> {
    let status = status(object, |status| ReplicaSetStatus {
        replicas: status.count("replicas"),
        fully_labeled_replicas: status.count("fullyLabeledReplicas"),
        ready_replicas: status.count("readyReplicas"),
        available_replicas: status.count("availableReplicas"),
        terminating_replicas: status.int32("terminatingReplicas", 0),
        observed_generation: observed_generation(status),
        conditions: conditions(status),
    });
    object.object_or_empty("spec", |spec| {
        let (selector, template) = pods(spec, &TemplateRules::LONG_RUNNING, specs)?;
        Some(ReplicaSet {
            meta,
            replicas: replicas(spec),
            min_ready_seconds: min_ready_seconds(spec),
            selector,
            template,
            status,
        })
    })?
}

/// Reads a ReplicationController, whose selector is the labels of its template unless it says another.
pub(super) fn replication_controller(
    object: &Reader<'_>,
    mut meta: ObjectMeta,
    specs: &mut SpecPool,
) -> Option<ReplicationController> {
    let status = status(object, |status| ReplicaSetStatus {
        replicas: status.count("replicas"),
        fully_labeled_replicas: status.count("fullyLabeledReplicas"),
        ready_replicas: status.count("readyReplicas"),
        available_replicas: status.count("availableReplicas"),
        terminating_replicas: None,
        observed_generation: observed_generation(status),
        conditions: conditions(status),
    });
    object.object_or_empty("spec", |spec| {
        let template = template(spec, &TemplateRules::LONG_RUNNING, specs)?;
        let written = super::meta::labels(spec, "selector");
        let labels = if written.is_empty() { template.labels.clone() } else { written };
        if labels.is_empty() {
            spec.invalid("selector", "a selector that is not empty");
        } else if !template.labels.contains_all(&labels) {
            spec.refuse("template", "its labels do not match the selector");
        }
        if meta.labels.is_empty() {
            meta.labels = template.labels.clone();
        }
        Some(ReplicationController {
            meta,
            replicas: replicas(spec),
            min_ready_seconds: min_ready_seconds(spec),
            selector: Arc::new(Selector::of_labels(&labels)),
            template,
            status,
        })
    })?
}

/// Reads a Deployment.
pub(super) fn deployment(object: &Reader<'_>, meta: ObjectMeta, specs: &mut SpecPool) -> Option<Deployment> {
    let status = status(object, |status| DeploymentStatus {
        replicas: status.count("replicas"),
        updated_replicas: status.count("updatedReplicas"),
        ready_replicas: status.count("readyReplicas"),
        available_replicas: status.count("availableReplicas"),
        unavailable_replicas: status.count("unavailableReplicas"),
        terminating_replicas: status.int32("terminatingReplicas", 0),
        collision_count: status.int32("collisionCount", 0),
        observed_generation: observed_generation(status),
        conditions: conditions(status),
    });
    object.object_or_empty("spec", |spec| {
        let (selector, template) = pods(spec, &TemplateRules::LONG_RUNNING, specs)?;
        let deployment = Deployment {
            meta,
            replicas: replicas(spec),
            min_ready_seconds: min_ready_seconds(spec),
            selector,
            template,
            strategy: spec.object_or_empty("strategy", deployment_strategy)?,
            revision_history_limit: spec.int32("revisionHistoryLimit", 0).unwrap_or(10),
            progress_deadline_seconds: spec.int32("progressDeadlineSeconds", 0).unwrap_or(600),
            paused: spec.bool("paused"),
            status,
        };
        if deployment.progress_deadline_seconds <= deployment.min_ready_seconds {
            spec.invalid("progressDeadlineSeconds", "more than minReadySeconds");
        }
        Some(deployment)
    })?
}

#[derive(Clone, Copy, PartialEq)]
enum StrategyType {
    RollingUpdate,
    Other,
}

fn deployment_strategy(strategy: &Reader<'_>) -> DeploymentStrategy {
    let types = [("RollingUpdate", StrategyType::RollingUpdate), ("Recreate", StrategyType::Other)];
    let chosen = strategy.choice("type", &types).unwrap_or(StrategyType::RollingUpdate);
    if chosen == StrategyType::Other {
        if strategy.has("rollingUpdate") {
            strategy.refuse("rollingUpdate", "there is none with type: Recreate");
        }
        return DeploymentStrategy::Recreate;
    }
    let quarter = IntOrPercent::Percent(25);
    let (max_surge, max_unavailable) =
        strategy.object("rollingUpdate", surge_and_unavailable).unwrap_or_default();
    let (max_surge, max_unavailable) = (max_surge.unwrap_or(quarter), max_unavailable.unwrap_or(quarter));
    if is_zero(max_surge) && is_zero(max_unavailable) {
        strategy.refuse("rollingUpdate", "maxSurge and maxUnavailable cannot both be 0");
    }
    DeploymentStrategy::RollingUpdate { max_surge, max_unavailable }
}

fn surge_and_unavailable(update: &Reader<'_>) -> (Option<IntOrPercent>, Option<IntOrPercent>) {
    (int_or_percent(update, "maxSurge", i32::MAX), int_or_percent(update, "maxUnavailable", 100))
}

fn is_zero(value: IntOrPercent) -> bool {
    matches!(value, IntOrPercent::Int(0) | IntOrPercent::Percent(0))
}

/// Reads a StatefulSet.
pub(super) fn stateful_set(
    object: &Reader<'_>,
    meta: ObjectMeta,
    specs: &mut SpecPool,
) -> Option<StatefulSet> {
    let status = status(object, |status| StatefulSetStatus {
        replicas: status.count("replicas"),
        ready_replicas: status.count("readyReplicas"),
        available_replicas: status.count("availableReplicas"),
        current_replicas: status.count("currentReplicas"),
        updated_replicas: status.count("updatedReplicas"),
        current_revision: status.symbol("currentRevision"),
        update_revision: status.symbol("updateRevision"),
        collision_count: status.int32("collisionCount", 0),
        observed_generation: observed_generation(status),
        conditions: conditions(status),
    });
    object.object_or_empty("spec", |spec| {
        let claim_templates = spec.list("volumeClaimTemplates", claim_template);
        let volumes: Vec<Symbol> = claim_templates.iter().map(|claim| claim.name).collect();
        let rules = TemplateRules { volumes: &volumes, restart_policies: &[RestartPolicy::Always] };
        let (selector, template) = pods(spec, &rules, specs)?;
        let policies = [
            ("OrderedReady", PodManagementPolicy::OrderedReady),
            ("Parallel", PodManagementPolicy::Parallel),
        ];
        let retention = spec.object("persistentVolumeClaimRetentionPolicy", |policy| {
            (retention(policy, "whenDeleted"), retention(policy, "whenScaled"))
        });
        let (when_deleted, when_scaled) =
            retention.unwrap_or((ClaimRetention::Retain, ClaimRetention::Retain));
        Some(StatefulSet {
            meta,
            replicas: replicas(spec),
            ordinals_start: spec.object("ordinals", |o| o.int32("start", 0)).flatten().unwrap_or(0),
            min_ready_seconds: min_ready_seconds(spec),
            service_name: spec.symbol("serviceName"),
            selector,
            template,
            claim_templates: Arc::new(claim_templates),
            pod_management_policy: spec
                .choice("podManagementPolicy", &policies)
                .unwrap_or(PodManagementPolicy::OrderedReady),
            update_strategy: spec.object_or_empty("updateStrategy", stateful_set_strategy)?,
            retention_when_deleted: when_deleted,
            retention_when_scaled: when_scaled,
            revision_history_limit: spec.int32("revisionHistoryLimit", 0).unwrap_or(10),
            status,
        })
    })?
}

fn stateful_set_strategy(strategy: &Reader<'_>) -> StatefulSetUpdateStrategy {
    let types = [("RollingUpdate", StrategyType::RollingUpdate), ("OnDelete", StrategyType::Other)];
    let written = strategy.choice("type", &types);
    let partition = strategy.object("rollingUpdate", |update| {
        // Behind a gate that is off: the server drops it.
        update.known(&["maxUnavailable"]);
        update.int32("partition", 0).unwrap_or(0)
    });
    match written {
        Some(StrategyType::Other) => {
            if partition.is_some() {
                strategy.refuse("rollingUpdate", "there is none with type: OnDelete");
            }
            StatefulSetUpdateStrategy::OnDelete
        }
        // The server fills the block in only where it fills the type in.
        None => StatefulSetUpdateStrategy::RollingUpdate { partition: partition.or(Some(0)) },
        Some(StrategyType::RollingUpdate) => StatefulSetUpdateStrategy::RollingUpdate { partition },
    }
}

fn retention(policy: &Reader<'_>, key: &'static str) -> ClaimRetention {
    let choices = [("Retain", ClaimRetention::Retain), ("Delete", ClaimRetention::Delete)];
    policy.choice(key, &choices).unwrap_or(ClaimRetention::Retain)
}

fn claim_template(claim: &Reader<'_>) -> ClaimTemplate {
    claim.known(&["apiVersion", "kind", "status"]);
    let meta = claim.object("metadata", |meta| {
        meta.known(&["creationTimestamp", "namespace"]);
        (
            meta.required_symbol("name"),
            super::meta::labels(meta, "labels"),
            super::meta::annotations(meta, "annotations"),
        )
    });
    if !claim.has("metadata") {
        claim.invalid("metadata", "a mapping with the claim's name");
    }
    let (name, labels, annotations) = meta.unwrap_or_default();
    if !name.is_empty() && !names::is_label(name.as_str()) {
        claim.invalid("metadata", names::NameForm::Label.describe());
    }
    let spec = claim.object_or_empty("spec", storage::claim_spec).unwrap_or_default();
    ClaimTemplate { name, claim: spec, labels, annotations }
}

/// Reads a DaemonSet.
pub(super) fn daemon_set(object: &Reader<'_>, meta: ObjectMeta, specs: &mut SpecPool) -> Option<DaemonSet> {
    let status = status(object, |status| {
        status.known(&["conditions"]);
        DaemonSetStatus {
            current_number_scheduled: status.count("currentNumberScheduled"),
            number_misscheduled: status.count("numberMisscheduled"),
            desired_number_scheduled: status.count("desiredNumberScheduled"),
            number_ready: status.count("numberReady"),
            number_available: status.count("numberAvailable"),
            number_unavailable: status.count("numberUnavailable"),
            updated_number_scheduled: status.count("updatedNumberScheduled"),
            observed_generation: observed_generation(status),
            collision_count: status.int32("collisionCount", 0),
        }
    });
    object.object_or_empty("spec", |spec| {
        let (selector, template) = pods(spec, &TemplateRules::LONG_RUNNING, specs)?;
        Some(DaemonSet {
            meta,
            min_ready_seconds: min_ready_seconds(spec),
            selector,
            template,
            update_strategy: spec.object_or_empty("updateStrategy", daemon_set_strategy)?,
            revision_history_limit: spec.int32("revisionHistoryLimit", 0).unwrap_or(10),
            status,
        })
    })?
}

fn daemon_set_strategy(strategy: &Reader<'_>) -> DaemonSetUpdateStrategy {
    let types = [("RollingUpdate", StrategyType::RollingUpdate), ("OnDelete", StrategyType::Other)];
    let chosen = strategy.choice("type", &types).unwrap_or(StrategyType::RollingUpdate);
    let (surge, unavailable) = strategy.object("rollingUpdate", surge_and_unavailable).unwrap_or_default();
    if chosen == StrategyType::Other {
        return DaemonSetUpdateStrategy::OnDelete;
    }
    let (max_surge, max_unavailable) =
        (surge.unwrap_or(IntOrPercent::Int(0)), unavailable.unwrap_or(IntOrPercent::Int(1)));
    if is_zero(max_surge) == is_zero(max_unavailable) {
        strategy.refuse("rollingUpdate", "exactly one of maxSurge and maxUnavailable must be 0");
    }
    DaemonSetUpdateStrategy::RollingUpdate { max_unavailable, max_surge }
}

/// Reads a ControllerRevision: the template in the patch that it stores.
pub(super) fn controller_revision(
    object: &Reader<'_>,
    meta: ObjectMeta,
    specs: &mut SpecPool,
) -> Option<ControllerRevision> {
    let revision = object.int("revision", 0..=i64::MAX).unwrap_or(0);
    let has_template = object.object("data", |data| {
        data.all_known();
        let spec = data.object("spec", |spec| {
            spec.all_known();
            spec.has("template")
        });
        spec == Some(true)
    });
    let template = if has_template == Some(true) {
        object.object_or_empty("data", |data| {
            data.object_or_empty("spec", |spec| template(spec, &TemplateRules::LONG_RUNNING, specs))
        })???
    } else {
        // Another controller's, whose data may be anything.
        let spec = Arc::new(PodSpec::new(Vec::new()));
        Arc::new(PodTemplate { labels: Labels::default(), annotations: Labels::default(), spec })
    };
    Some(ControllerRevision { meta, revision, template })
}

/// Reads `selector` and `template`, which must fit each other.
fn pods(
    spec: &Reader<'_>,
    rules: &TemplateRules<'_>,
    specs: &mut SpecPool,
) -> Option<(Arc<Selector>, Arc<PodTemplate>)> {
    let selector = selector::optional(spec, "selector");
    if selector.as_ref().is_none_or(Selector::is_empty) {
        spec.invalid("selector", "a selector that is not empty");
    }
    let selector = selector.unwrap_or_default();
    let template = template(spec, rules, specs)?;
    let faulty = selector.requirements.iter().any(|requirement| requirement.operator == Operator::Never);
    if !selector.is_empty() && !faulty && !selector.matches(&template.labels) {
        spec.object("template", |template| {
            template.all_known();
            template.refuse("metadata", format!("the labels do not match the selector {selector}"));
        });
    }
    Some((Arc::new(selector), template))
}

fn replicas(spec: &Reader<'_>) -> i32 {
    spec.int32("replicas", 0).unwrap_or(1)
}

fn min_ready_seconds(spec: &Reader<'_>) -> i32 {
    spec.int32("minReadySeconds", 0).unwrap_or(0)
}

/// Reads `status` of an object from a running cluster; a manifest's is ignored.
pub(super) fn status<T: Default>(object: &Reader<'_>, read: impl FnOnce(&Reader<'_>) -> T) -> T {
    if !object.cx.is_state() {
        object.known(&["status"]);
        return T::default();
    }
    object.object("status", read).unwrap_or_default()
}

pub(super) fn observed_generation(status: &Reader<'_>) -> i64 {
    status.int("observedGeneration", 0..=i64::MAX).unwrap_or(0)
}

/// Reads `conditions`.
pub(super) fn conditions(status: &Reader<'_>) -> Vec<Condition> {
    status.list("conditions", |condition| {
        condition.known(&["observedGeneration"]);
        let transition = condition.time("lastTransitionTime").unwrap_or_default();
        let updated = condition.time("lastUpdateTime").or(condition.time("lastProbeTime"));
        Condition {
            kind: condition.required_symbol("type"),
            status: condition.choice("status", &STATUSES).unwrap_or_default(),
            reason: condition.symbol("reason"),
            message: condition.text("message"),
            transition,
            updated: updated.unwrap_or(transition),
        }
    })
}

/// Reads a count, or a percentage of at most `percent_max`.
pub(super) fn int_or_percent(
    reader: &Reader<'_>,
    key: &'static str,
    percent_max: i32,
) -> Option<IntOrPercent> {
    let node = reader.node(key)?;
    if whole_number(node).is_some() {
        return reader.int32(key, 0).map(IntOrPercent::Int);
    }
    let digits =
        reader.str(key)?.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let percent = digits.and_then(|digits| digits.parse().ok()).filter(|percent| *percent <= percent_max);
    if percent.is_none() {
        let expected = if percent_max == 100 {
            "a whole number ≥ 0, or 0% to 100%"
        } else {
            "a whole number ≥ 0, or a percentage"
        };
        reader.invalid(key, expected);
    }
    percent.map(IntOrPercent::Percent)
}
