//! Kinds with few rules: priority and runtime classes, leases, events, roles
//! (`pkg/apis/{scheduling,node,coordination,rbac}/validation/validation.go`,
//! `pkg/apis/core/validation/events.go`).

use super::affinity;
use super::container::one_of;
use super::meta::{self, Scope, immutable, must_be_qualified, must_be_subdomain};
use super::names;
use super::resources;
use crate::document::Node;
use crate::rest::errors::{Errors, Path};
use crate::schema::internal_json;

const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
const RBAC: &str = "rbac.authorization.k8s.io";

/// A PriorityClass.
pub(super) fn priority_class(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    let name = object.get("metadata").map_or("", |meta| meta.str("name"));
    let value = object.number("value").unwrap_or(0);
    if name.starts_with("system-") {
        let fault = match SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, known)) if *known != value => {
                Some(format!("value of {name} PriorityClass must be {known}"))
            }
            Some(_) if object.flag("globalDefault") => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(fault) = fault {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {fault}"
            );
            e.forbidden(&Path::new("metadata.name"), &detail);
        }
    } else if value > USER_PRIORITY_MAX {
        let detail = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        e.forbidden(&Path::new("value"), &detail);
    }
    if let Some(policy) = object.field("preemptionPolicy").and_then(Node::as_str) {
        one_of(policy, &["PreemptLowerPriority", "Never"], &Path::new("preemptionPolicy"), e);
    }
}

/// A PriorityClass in another version.
pub(super) fn priority_class_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    if new.number("value").unwrap_or(0) != old.number("value").unwrap_or(0) {
        e.forbidden(&Path::new("value"), "may not be changed in an update.");
    }
    let path = Path::new("preemptionPolicy");
    immutable(new.field("preemptionPolicy"), old.field("preemptionPolicy"), &path, e);
}

/// A RuntimeClass.
pub(super) fn runtime_class(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    match object.str("handler") {
        "" => e.required(&Path::new("handler"), ""),
        handler => meta::must_be_label(handler, &Path::new("handler"), e),
    }
    if let Some(fixed) = object.at(&["overhead", "podFixed"]) {
        let limits = Node::object([("limits", fixed.clone())]);
        let path = Path::new("overhead").child("podFixed");
        resources::requirements(&limits, resources::Of::Container, &[], &path, e);
    }
    let Some(scheduling) = object.field("scheduling") else { return };
    let path = Path::new("scheduling");
    meta::labels(scheduling, "nodeSelector", &path.child("nodeSelector"), e);
    affinity::tolerations(scheduling, &path.child("tolerations"), e);
    let tolerations = scheduling.elements("tolerations");
    let identity =
        |toleration: &Node| ["key", "operator", "value", "effect"].map(|key| toleration.str(key).to_owned());
    for (index, toleration) in tolerations.iter().enumerate() {
        if tolerations[..index].iter().any(|other| identity(other) == identity(toleration)) {
            let printed = internal_json("core.Toleration", Some(toleration));
            e.duplicate(&path.child("tolerations").index(index), printed);
        }
    }
}

/// A RuntimeClass in another version.
pub(super) fn runtime_class_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    immutable(new.field("handler"), old.field("handler"), &Path::new("handler"), e);
}

/// A Lease.
pub(super) fn lease(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    lease_spec(object, e);
}

/// A Lease in another version.
pub(super) fn lease_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    lease_spec(new, e);
}

fn lease_spec(object: &Node, e: &mut Errors) {
    let empty = Node::empty();
    let (spec, path) = (object.field("spec").unwrap_or(&empty), Path::new("spec"));
    if let Some(seconds) = spec.number("leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        e.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    meta::non_negative(spec, "leaseTransitions", &path, e);
    if !spec.str("preferredHolder").is_empty() && spec.str("strategy").is_empty() {
        e.forbidden(&path.child("preferredHolder"), "may only be specified if `strategy` is defined");
    }
}

/// An Event of the core group; `reporter` is the name of the field with its controller.
pub(super) fn event(object: &Node, reporter: &str, e: &mut Errors) {
    const SHORT_MAX: usize = 128;
    const NOTE_MAX: usize = 1_024;
    let empty = Node::empty();
    let meta = object.field("metadata").unwrap_or(&empty);
    let subject = object.field("involvedObject").or_else(|| object.field("regarding")).unwrap_or(&empty);
    let (own, other) = (meta.str("namespace"), subject.str("namespace"));
    let path = Path::new("involvedObject.namespace");
    let foreign = "does not match event.namespace";
    if object.field("eventTime").is_none() {
        let fits = if other.is_empty() { matches!(own, "" | "default") } else { own == other };
        if !fits {
            e.invalid(&path, other, foreign);
        }
    } else {
        if other.is_empty() && !matches!(own, "default" | "kube-system") {
            e.invalid(&path, other, foreign);
        }
        let at = Path::new(reporter);
        let controller = object.str(reporter);
        if controller.is_empty() {
            e.required(&at, "");
        }
        must_be_qualified(controller, &at, e);
        for (key, text, max, needed) in [
            ("reportingInstance", object.str("reportingInstance"), SHORT_MAX, true),
            ("action", object.str("action"), SHORT_MAX, true),
            ("reason", object.str("reason"), SHORT_MAX, true),
            ("message", object.str("message"), NOTE_MAX, false),
        ] {
            if needed && text.is_empty() {
                e.required(&Path::new(key), "");
            }
            if text.len() > max {
                e.invalid(&Path::new(key), "", format!("can have at most {max} characters"));
            }
        }
    }
    must_be_subdomain(own, &Path::new("namespace"), e);
}

/// A Role or ClusterRole.
pub(super) fn role(object: &Node, e: &mut Errors) {
    let namespaced = object.str("kind") == "Role";
    let scope = if namespaced { Scope::Namespaced } else { Scope::Cluster };
    meta::object_meta(object, scope, names::path_segment, e);
    for (index, rule) in object.elements("rules").iter().enumerate() {
        let path = Path::new("rules").index(index);
        let list = |key: &str| rule.elements(key);
        if list("verbs").is_empty() {
            e.required(&path.child("verbs"), "verbs must contain at least one value");
        }
        let urls = list("nonResourceURLs");
        if !urls.is_empty() {
            let at = path.child("nonResourceURLs");
            if namespaced {
                e.invalid(
                    &at,
                    Node::list(urls.clone()),
                    "namespaced rules cannot apply to non-resource URLs",
                );
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|key| !list(key).is_empty()) {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                e.invalid(&at, Node::list(urls), detail);
            }
            continue;
        }
        if list("apiGroups").is_empty() {
            e.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if list("resources").is_empty() {
            e.required(&path.child("resources"), "resource rules must supply at least one resource");
        }
    }
    let Some(aggregation) = object.field("aggregationRule").filter(|_| !namespaced) else { return };
    let path = Path::new("aggregationRule.clusterRoleSelectors");
    let selectors = aggregation.elements("clusterRoleSelectors");
    if selectors.is_empty() {
        e.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (index, selector) in selectors.iter().enumerate() {
        let wrapped = Node::object([("selector", selector.clone())]);
        meta::label_selector(&wrapped, "selector", &path.index(index), e);
    }
}

/// A RoleBinding or ClusterRoleBinding.
pub(super) fn role_binding(object: &Node, e: &mut Errors) {
    let namespaced = object.str("kind") == "RoleBinding";
    let scope = if namespaced { Scope::Namespaced } else { Scope::Cluster };
    meta::object_meta(object, scope, names::path_segment, e);
    let empty = Node::empty();
    let (role, path) = (object.field("roleRef").unwrap_or(&empty), Path::new("roleRef"));
    if role.str("apiGroup") != RBAC {
        e.unsupported(&path.child("apiGroup"), role.str("apiGroup"), &[RBAC]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&role.str("kind")) {
        e.unsupported(&path.child("kind"), role.str("kind"), kinds);
    }
    match role.str("name") {
        "" => e.required(&path.child("name"), ""),
        name => e.invalid_in(&path.child("name"), name, names::path_segment(name)),
    }
    for (index, subject) in object.elements("subjects").iter().enumerate() {
        let path = Path::new("subjects").index(index);
        let (name, group) = (subject.str("name"), subject.str("apiGroup"));
        if name.is_empty() {
            e.required(&path.child("name"), "");
        }
        match subject.str("kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    must_be_subdomain(name, &path.child("name"), e);
                }
                if !group.is_empty() {
                    e.unsupported(&path.child("apiGroup"), group, &[""]);
                }
                if !namespaced && subject.str("namespace").is_empty() {
                    e.required(&path.child("namespace"), "");
                }
            }
            "User" | "Group" if group != RBAC => e.unsupported(&path.child("apiGroup"), group, &[RBAC]),
            "User" | "Group" => {}
            other => e.unsupported(&path.child("kind"), other, &["ServiceAccount", "User", "Group"]),
        }
    }
}

/// A binding in another version.
pub(super) fn role_binding_update(new: &Node, old: &Node, e: &mut Errors) {
    role_binding(new, e);
    meta::object_meta_update(new, old, e);
    if !meta::same(new.field("roleRef"), old.field("roleRef")) {
        let printed = internal_json("rbac.RoleRef", new.field("roleRef"));
        e.invalid(&Path::new("roleRef"), printed, "cannot change roleRef");
    }
}
