//! Workloads (`pkg/apis/apps/validation/validation.go`, `pkg/apis/policy/validation/validation.go`).

use super::meta::{self, Scope, Selection, immutable, must_be_label, non_negative, printed_selector, same};
use super::names;
use super::pod;
use super::storage;
use crate::document::{Node, Value};
use crate::rest::errors::{Errors, Path};
use crate::schema::internal_json;

fn spec_of(object: &Node) -> Node {
    object.field("spec").cloned().unwrap_or_else(Node::empty)
}

fn template_of(spec: &Node) -> Node {
    spec.field("template").cloned().unwrap_or_else(Node::empty)
}

fn mismatch(template: &Node, path: &Path, e: &mut Errors) {
    let labels = internal_json("map[string]string", template.at(&["metadata", "labels"]));
    let path = path.child("metadata").child("labels");
    e.invalid(&path, labels, "`selector` does not match template `labels`");
}

/// Pods of a workload run until somebody ends them.
fn runs_for_ever(template: &Node, owner: &str, path: &Path, e: &mut Errors) {
    let policy = template.get("spec").map_or("", |spec| spec.str("restartPolicy"));
    if policy != "Always" {
        e.unsupported(&path.child("spec").child("restartPolicy"), policy, &["Always"]);
    }
    if template.at(&["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| !seconds.is_null()) {
        let detail = format!("activeDeadlineSeconds in {owner} is not Supported");
        e.forbidden(&path.child("spec").child("activeDeadlineSeconds"), &detail);
    }
}

/// A selector that must be there and select something; `what` names the workload.
fn required_selector(spec: &Node, what: &str, path: &Path, e: &mut Errors) {
    let path = path.child("selector");
    let Some(selector) = spec.field("selector") else { return e.required(&path, "") };
    meta::label_selector(spec, "selector", &path, e);
    if meta::is_empty_selector(selector) {
        let detail = format!("empty selector is invalid for {what}");
        e.invalid(&path, printed_selector(Some(selector)), detail);
    }
}

/// The template of a Deployment or ReplicaSet, and that the selector matches it.
fn replica_template(spec: &Node, path: &Path, e: &mut Errors) {
    let (template, at) = (template_of(spec), path.child("template"));
    match meta::selects(spec, "selector", template.field("metadata")) {
        Selection::Malformed => {
            e.invalid(
                &path.child("selector"),
                printed_selector(spec.field("selector")),
                "invalid label selector",
            );
            return;
        }
        // A selector without requirements is complained about elsewhere; none at all matches nothing.
        Selection::Matches(false) => mismatch(&template, &at, e),
        Selection::Matches(true) => {}
    }
    pod::template(&template, &at, e);
    runs_for_ever(&template, "ReplicaSet", &at, e);
}

/// A Deployment.
pub(super) fn deployment(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    deployment_spec(&spec_of(object), e);
}

fn deployment_spec(spec: &Node, e: &mut Errors) {
    let path = Path::new("spec");
    non_negative(spec, "replicas", &path, e);
    required_selector(spec, "deployment", &path, e);
    replica_template(spec, &path, e);
    let empty = Node::empty();
    let strategy = spec.field("strategy").unwrap_or(&empty);
    let (at, rolling) = (path.child("strategy"), strategy.field("rollingUpdate"));
    let rolling_path = at.child("rollingUpdate");
    match (strategy.str("type"), rolling) {
        ("Recreate", Some(_)) => {
            e.forbidden(&rolling_path, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => e.required(&rolling_path, "this should be defaulted and never be nil"),
        ("RollingUpdate", Some(rolling)) => rolling_deployment(rolling, &rolling_path, e),
        _ => {
            let printed = internal_json("apps.DeploymentStrategy", Some(strategy));
            e.unsupported(&at, printed, &["Recreate", "RollingUpdate"]);
        }
    }
    non_negative(spec, "minReadySeconds", &path, e);
    non_negative(spec, "revisionHistoryLimit", &path, e);
    non_negative(spec, "progressDeadlineSeconds", &path, e);
    let deadline = spec.number("progressDeadlineSeconds");
    if let Some(deadline) = deadline.filter(|d| *d <= spec.number("minReadySeconds").unwrap_or(0)) {
        e.invalid(&path.child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
    }
}

fn rolling_deployment(rolling: &Node, path: &Path, e: &mut Errors) {
    let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
    positive_or_percent(unavailable, &path.child("maxUnavailable"), e);
    positive_or_percent(surge, &path.child("maxSurge"), e);
    if amount(unavailable) == 0 && amount(surge) == 0 {
        let zero = Node::int(0);
        let detail = "may not be 0 when `maxSurge` is 0";
        e.invalid(&path.child("maxUnavailable"), unavailable.unwrap_or(&zero), detail);
    }
    at_most_all(unavailable, &path.child("maxUnavailable"), e);
}

/// A number not below zero, or a percentage.
pub(super) fn positive_or_percent(value: Option<&Node>, path: &Path, e: &mut Errors) {
    match value.map(|value| &value.value) {
        Some(Value::String(text)) => e.invalid_in(path, text, names::percent(text)),
        Some(Value::Int(number)) if *number < 0 => {
            e.invalid(path, *number, "must be greater than or equal to 0");
        }
        _ => {}
    }
}

/// A percentage of at most a hundred.
pub(super) fn at_most_all(value: Option<&Node>, path: &Path, e: &mut Errors) {
    let text = value.and_then(Node::as_str);
    if let Some(text) = text.filter(|text| names::percent_value(text).is_some_and(|percent| percent > 100)) {
        e.invalid(path, text, "must not be greater than 100%");
    }
}

/// The number itself, or that of the percentage; a text that is neither counts as Go reads it.
fn amount(value: Option<&Node>) -> i64 {
    match value.map(|value| &value.value) {
        Some(Value::Int(number)) => *number,
        Some(Value::String(text)) => {
            names::percent_value(text).or_else(|| text.parse().ok()).unwrap_or_default()
        }
        _ => 0,
    }
}

/// A Deployment in another version.
pub(super) fn deployment_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    let (spec, before) = (spec_of(new), spec_of(old));
    deployment_spec(&spec, e);
    immutable_selector(&spec, &before, e);
}

fn immutable_selector(spec: &Node, before: &Node, e: &mut Errors) {
    if !same(spec.field("selector"), before.field("selector")) {
        e.invalid(
            &Path::new("spec.selector"),
            printed_selector(spec.field("selector")),
            "field is immutable",
        );
    }
}

/// A ReplicaSet.
pub(super) fn replica_set(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    replica_set_spec(&spec_of(object), e);
}

fn replica_set_spec(spec: &Node, e: &mut Errors) {
    let path = Path::new("spec");
    non_negative(spec, "replicas", &path, e);
    non_negative(spec, "minReadySeconds", &path, e);
    required_selector(spec, "deployment", &path, e);
    replica_template(spec, &path, e);
}

/// A ReplicaSet in another version.
pub(super) fn replica_set_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    let (spec, before) = (spec_of(new), spec_of(old));
    replica_set_spec(&spec, e);
    immutable_selector(&spec, &before, e);
}

/// A ReplicationController.
pub(super) fn replication_controller(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    controller_spec(&spec_of(object), e);
}

fn controller_spec(spec: &Node, e: &mut Errors) {
    let path = Path::new("spec");
    non_negative(spec, "minReadySeconds", &path, e);
    if spec.entries("selector").is_empty() {
        e.required(&path.child("selector"), "");
    }
    match spec.field("replicas") {
        None => e.required(&path.child("replicas"), ""),
        Some(_) => non_negative(spec, "replicas", &path, e),
    }
    let at = path.child("template");
    let Some(template) = spec.field("template") else { return e.required(&at, "") };
    let label = |key: &str| template.at(&["metadata", "labels", key]).and_then(Node::as_str);
    let matches = spec.entries("selector").iter().all(|entry| label(&entry.key) == entry.value.as_str());
    if !matches {
        mismatch(template, &at, e);
    }
    pod::template(template, &at, e);
    runs_for_ever(template, "ReplicationController", &at, e);
}

/// A ReplicationController in another version.
pub(super) fn replication_controller_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    controller_spec(&spec_of(new), e);
}

/// A DaemonSet.
pub(super) fn daemon_set(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    daemon_set_spec(&spec_of(object), e);
}

fn daemon_set_spec(spec: &Node, e: &mut Errors) {
    let path = Path::new("spec");
    let (template, at) = (template_of(spec), path.child("template"));
    meta::label_selector(spec, "selector", &path.child("selector"), e);
    if meta::selects(spec, "selector", template.field("metadata")) == Selection::Matches(false) {
        mismatch(&template, &at, e);
    }
    if let Some(selector) = spec.field("selector").filter(|selector| meta::is_empty_selector(selector)) {
        let detail = "empty selector is invalid for daemonset";
        e.invalid(&path.child("selector"), printed_selector(Some(selector)), detail);
    }
    pod::template(&template, &at, e);
    runs_for_ever(&template, "DaemonSet", &at, e);
    non_negative(spec, "minReadySeconds", &path, e);
    let empty = Node::empty();
    let strategy = spec.field("updateStrategy").unwrap_or(&empty);
    let at = path.child("updateStrategy");
    match (strategy.str("type"), strategy.field("rollingUpdate")) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => e.required(&at.child("rollingUpdate"), ""),
        ("RollingUpdate", Some(rolling)) => rolling_daemon_set(rolling, &at.child("rollingUpdate"), e),
        _ => {
            let printed = internal_json("apps.DaemonSetUpdateStrategy", Some(strategy));
            e.unsupported(&at, printed, &["RollingUpdate", "OnDelete"]);
        }
    }
    non_negative(spec, "revisionHistoryLimit", &path, e);
}

fn rolling_daemon_set(rolling: &Node, path: &Path, e: &mut Errors) {
    let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
    let (at_unavailable, at_surge) = (path.child("maxUnavailable"), path.child("maxSurge"));
    positive_or_percent(unavailable, &at_unavailable, e);
    positive_or_percent(surge, &at_surge, e);
    at_most_all(unavailable, &at_unavailable, e);
    at_most_all(surge, &at_surge, e);
    match (amount(unavailable) != 0, amount(surge) != 0, surge) {
        (true, true, Some(surge)) => {
            e.invalid(&at_surge, surge, "may not be set when maxUnavailable is non-zero");
        }
        (false, false, _) => e.required(&at_unavailable, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

/// A DaemonSet in another version.
pub(super) fn daemon_set_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    let (spec, before) = (spec_of(new), spec_of(old));
    immutable_selector(&spec, &before, e);
    daemon_set_spec(&spec, e);
}

/// Whether a StatefulSet is made or changed; some of it is then not judged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Create,
    Update,
}

/// A StatefulSet.
pub(super) fn stateful_set(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_label, e);
    stateful_set_spec(&spec_of(object), Moment::Create, e);
}

fn stateful_set_spec(spec: &Node, moment: Moment, e: &mut Errors) {
    let path = Path::new("spec");
    let at = path.child("podManagementPolicy");
    match spec.str("podManagementPolicy") {
        "" => e.required(&at, ""),
        "OrderedReady" | "Parallel" => {}
        other => e.invalid(&at, other, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(spec, &path.child("updateStrategy"), e);
    if let Some(policy) = spec.field("persistentVolumeClaimRetentionPolicy") {
        for key in ["whenDeleted", "whenScaled"] {
            if !matches!(policy.str(key), "Retain" | "Delete") {
                let path = path.child("persistentVolumeClaimRetentionPolicy").child(key);
                e.unsupported(&path, policy.str(key), &["Retain", "Delete"]);
            }
        }
    }
    let claims = spec.elements("volumeClaimTemplates");
    for (index, claim) in claims.iter().enumerate().filter(|_| moment == Moment::Create) {
        let path = path.child("volumeClaimTemplates").index(index).child("spec");
        storage::claim_spec(&spec_of(claim), &path, e);
    }
    non_negative(spec, "replicas", &path, e);
    non_negative(spec, "minReadySeconds", &path, e);
    let start = spec.get("ordinals").and_then(|ordinals| ordinals.number("start")).unwrap_or(0);
    if start < 0 {
        e.invalid(&path.child("ordinals.start"), start, "must be greater than or equal to 0");
    }
    if moment == Moment::Create && !spec.str("serviceName").is_empty() {
        must_be_label(spec.str("serviceName"), &path.child("serviceName"), e);
    }
    required_selector(spec, "statefulset", &path, e);
    stateful_template(spec, &claims, &path, e);
    runs_for_ever(&template_of(spec), "StatefulSet", &path.child("template"), e);
}

fn update_strategy(spec: &Node, path: &Path, e: &mut Errors) {
    let empty = Node::empty();
    let strategy = spec.field("updateStrategy").unwrap_or(&empty);
    let (at, rolling) = (path.child("rollingUpdate"), strategy.field("rollingUpdate"));
    match (strategy.str("type"), rolling) {
        ("", _) => e.required(path, ""),
        ("OnDelete", Some(rolling)) => {
            let printed = internal_json("apps.RollingUpdateStatefulSetStrategy", Some(rolling));
            e.invalid(&at, printed, "only allowed for updateStrategy 'RollingUpdate'");
        }
        ("RollingUpdate", Some(rolling)) => non_negative(rolling, "partition", &at, e),
        ("OnDelete" | "RollingUpdate", None) => {}
        _ => {
            let printed = internal_json("apps.StatefulSetUpdateStrategy", Some(strategy));
            e.invalid(path, printed, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}

/// The template with the volumes that come from claims, without the host names that pods get.
fn stateful_template(spec: &Node, claims: &[Node], path: &Path, e: &mut Errors) {
    let mut template = template_of(spec);
    match meta::selects(spec, "selector", template.field("metadata")) {
        Selection::Malformed => {
            return e.invalid(&path.child("selector"), printed_selector(spec.field("selector")), "");
        }
        Selection::Matches(false) => mismatch(&template, &path.child("template"), e),
        Selection::Matches(true) => {}
    }
    let pod_spec = template.mapping_mut("spec");
    pod_spec.remove("hostname");
    pod_spec.remove("subdomain");
    let name_of = |claim: &Node| claim.get("metadata").map_or("", |meta| meta.str("name")).to_owned();
    let claimed: Vec<String> = claims.iter().map(name_of).collect();
    let from_claims = claimed.iter().map(|name| {
        let source = Node::object([("claimName", Node::text(name))]);
        Node::object([("name", Node::text(name)), ("persistentVolumeClaim", source)])
    });
    let own = pod_spec.elements("volumes");
    let others = own.into_iter().filter(|volume| !claimed.iter().any(|name| name == volume.str("name")));
    let volumes: Vec<Node> = from_claims.chain(others).collect();
    pod_spec.set("volumes", Node::list(volumes));
    let path = path.child("template");
    pod::template(&template, &path, e);
    let empty = Node::empty();
    let meta = template.field("metadata").unwrap_or(&empty);
    meta::labels(meta, "labels", &path.child("labels"), e);
    meta::annotations(meta, &path.child("annotations"), e);
}

/// A StatefulSet in another version.
pub(super) fn stateful_set_update(new: &Node, old: &Node, e: &mut Errors) {
    const FREE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ];
    meta::object_meta_update(new, old, e);
    let (spec, before) = (spec_of(new), spec_of(old));
    stateful_set_spec(&spec, Moment::Update, e);
    let fixed = |spec: &Node| {
        let mut fixed = spec.clone();
        FREE.iter().for_each(|key| drop(fixed.remove(key)));
        fixed
    };
    if !same(Some(&fixed(&spec)), Some(&fixed(&before))) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                      'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                      'minReadySeconds' are forbidden";
        e.forbidden(&Path::new("spec"), detail);
    }
}

/// A ControllerRevision.
pub(super) fn controller_revision(object: &Node, e: &mut Errors) {
    revision_fields(object, e);
    let path = Path::new("data");
    match object.field("data").map(|data| &data.value) {
        None => e.required(&path, "data is mandatory"),
        Some(Value::Mapping(_)) => {}
        Some(_) => e.required(&path, "data must be a valid JSON object"),
    }
}

fn revision_fields(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    non_negative(object, "revision", &Path::default(), e);
}

/// A ControllerRevision in another version.
pub(super) fn controller_revision_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    revision_fields(new, e);
    immutable(new.field("data"), old.field("data"), &Path::new("data"), e);
}

/// A PodTemplate.
pub(super) fn pod_template(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    pod::template(&template_of(object), &Path::new("template"), e);
}

/// A PodTemplate in another version.
pub(super) fn pod_template_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    pod::template(&template_of(new), &Path::new("template"), e);
}

/// A PodDisruptionBudget; its metadata is judged like anyone's.
pub(super) fn budget(object: &Node, e: &mut Errors) {
    let (spec, path) = (spec_of(object), Path::new("spec"));
    let (min, max) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if min.is_some() && max.is_some() {
        let printed = internal_json("policy.PodDisruptionBudgetSpec", Some(&spec));
        e.invalid(&path, printed, "minAvailable and maxUnavailable cannot be both set");
    }
    for (key, value) in [("minAvailable", min), ("maxUnavailable", max)] {
        positive_or_percent(value, &path.child(key), e);
        at_most_all(value, &path.child(key), e);
    }
    meta::label_selector(&spec, "selector", &path.child("selector"), e);
    let policy = spec.field("unhealthyPodEvictionPolicy").and_then(Node::as_str);
    if let Some(policy) = policy.filter(|policy| !matches!(*policy, "AlwaysAllow" | "IfHealthyBudget")) {
        e.unsupported(&path.child("unhealthyPodEvictionPolicy"), policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}
