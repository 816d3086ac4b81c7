//! Where pods may and should run: affinity, spreading, tolerations, taints
//! (`pkg/apis/core/validation/validation.go`).

use super::meta::{self, must_be_qualified};
use super::names;
use crate::document::Node;
use crate::rest::errors::{Errors, Path};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The affinity of a pod.
pub(super) fn affinity(spec: &Node, path: &Path, e: &mut Errors) {
    let Some(affinity) = spec.field("affinity") else { return };
    let path = path.child("affinity");
    if let Some(node) = affinity.field("nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(required) = node.field(REQUIRED) {
            node_selector(required, &path.child(REQUIRED), e);
        }
        for (index, term) in node.elements(PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(index);
            weight(term, &path, e);
            if let Some(preference) = term.field("preference") {
                node_selector_term(preference, AreValuesJudged(false), &path.child("preference"), e);
            }
        }
    }
    for key in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.field(key) else { continue };
        let path = path.child(key);
        for (index, term) in pods.elements(REQUIRED).iter().enumerate() {
            pod_term(term, &path.child(REQUIRED).index(index), e);
        }
        for (index, term) in pods.elements(PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(index);
            weight(term, &path, e);
            let empty = Node::empty();
            pod_term(term.field("podAffinityTerm").unwrap_or(&empty), &path.child("podAffinityTerm"), e);
        }
    }
}

fn weight(term: &Node, path: &Path, e: &mut Errors) {
    let weight = term.number("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        e.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// A selector of nodes with at least one term.
pub(super) fn node_selector(selector: &Node, path: &Path, e: &mut Errors) {
    let path = path.child("nodeSelectorTerms");
    let terms = selector.elements("nodeSelectorTerms");
    if terms.is_empty() {
        e.required(&path, "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        node_selector_term(term, AreValuesJudged(true), &path.index(index), e);
    }
}

/// Whether the values of a requirement must be values that a label can have.
struct AreValuesJudged(bool);

fn node_selector_term(term: &Node, judged: AreValuesJudged, path: &Path, e: &mut Errors) {
    for (index, requirement) in term.elements("matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = requirement.elements("values");
        match requirement.str("operator") {
            "In" | "NotIn" if values.is_empty() => {
                e.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                e.forbidden(
                    &path.child("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "Gt" | "Lt" if values.len() != 1 => {
                e.required(
                    &path.child("values"),
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        must_be_qualified(requirement.str("key"), &path.child("key"), e);
        for (index, value) in values.iter().enumerate().filter(|_| judged.0) {
            let value = value.as_str().unwrap_or("");
            e.invalid_in(&path.child("values").index(index), value, names::label_value(value));
        }
    }
    for (index, requirement) in term.elements("matchFields").iter().enumerate() {
        let path = path.child("matchFields").index(index);
        let values = requirement.elements("values");
        match requirement.str("operator") {
            "In" | "NotIn" if values.len() != 1 => {
                let detail =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                e.required(&path.child("values"), detail);
            }
            "In" | "NotIn" => {}
            other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        if requirement.str("key") != "metadata.name" {
            e.invalid(&path.child("key"), requirement.str("key"), "not a valid field selector key");
            continue;
        }
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            e.invalid_in(&path.child("values").index(index), value, names::dns_subdomain(value));
        }
    }
}

fn pod_term(term: &Node, path: &Path, e: &mut Errors) {
    meta::label_selector(term, "labelSelector", &path.child("labelSelector"), e);
    meta::label_selector(term, "namespaceSelector", &path.child("namespaceSelector"), e);
    for namespace in term.elements("namespaces") {
        let name = namespace.as_str().unwrap_or("");
        e.invalid_in(&path.child("namespace"), name, names::dns_label(name));
    }
    label_keys_of(term, path, e);
    let key = term.str("topologyKey");
    if key.is_empty() {
        e.required(&path.child("topologyKey"), "can not be empty");
    }
    must_be_qualified(key, &path.child("topologyKey"), e);
}

fn texts(node: &Node, key: &str) -> Vec<String> {
    node.elements(key).iter().map(|element| element.as_str().unwrap_or("").to_owned()).collect()
}

/// Keys whose values pods of a revision have in common, or not.
fn label_keys_of(term: &Node, path: &Path, e: &mut Errors) {
    let (matching, other) = (texts(term, "matchLabelKeys"), texts(term, "mismatchLabelKeys"));
    label_keys(term, &matching, &path.child("matchLabelKeys"), e);
    label_keys(term, &other, &path.child("mismatchLabelKeys"), e);
    if let Some(selector) = term.field("labelSelector") {
        let mut seen: Vec<String> =
            selector.entries("matchLabels").iter().map(|entry| entry.key.to_string()).collect();
        for requirement in selector.elements("matchExpressions") {
            let key = requirement.str("key").to_owned();
            if let Some(index) =
                matching.iter().rposition(|other| *other == key).filter(|_| seen.contains(&key))
            {
                e.invalid(&path.index(index), &key, "exists in both matchLabelKeys and labelSelector");
            }
            seen.push(key);
        }
    }
    for (index, key) in matching.iter().enumerate().filter(|(_, key)| other.contains(key)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        e.invalid(&path.child("matchLabelKeys").index(index), key, detail);
    }
}

fn label_keys(term: &Node, keys: &[String], path: &Path, e: &mut Errors) {
    if keys.is_empty() {
        return;
    }
    if term.field("labelSelector").is_none() {
        e.forbidden(path, "must not be specified when labelSelector is not set");
    }
    for (index, key) in keys.iter().enumerate() {
        must_be_qualified(key, &path.index(index), e);
    }
}

/// How a pod wants to be spread.
pub(super) fn spread_constraints(spec: &Node, path: &Path, e: &mut Errors) {
    let constraints = spec.elements("topologySpreadConstraints");
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        positive(constraint.number("maxSkew").unwrap_or(0), &path.child("maxSkew"), e);
        let (key, action) = (constraint.str("topologyKey"), constraint.str("whenUnsatisfiable"));
        if key.is_empty() {
            e.required(&path.child("topologyKey"), "can not be empty");
        }
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            e.unsupported(&path.child("whenUnsatisfiable"), action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let repeated = constraints[index + 1..]
            .iter()
            .any(|other| other.str("topologyKey") == key && other.str("whenUnsatisfiable") == action);
        if repeated {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            e.duplicate(&path, &format!("{{{key}, {action}}}"));
        }
        if let Some(domains) = constraint.number("minDomains") {
            let path = path.child("minDomains");
            positive(domains, &path, e);
            if action != "DoNotSchedule" {
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                e.invalid(&path, domains, detail);
            }
        }
        for key in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.field(key).and_then(Node::as_str);
            if let Some(policy) = policy.filter(|policy| !matches!(*policy, "Honor" | "Ignore")) {
                e.unsupported(&path.child(key), policy, &["Honor", "Ignore"]);
            }
        }
        label_keys_of(constraint, &path, e);
        meta::label_selector(constraint, "labelSelector", &path.child("labelSelector"), e);
    }
}

/// A number above zero.
pub(super) fn positive(number: i64, path: &Path, e: &mut Errors) {
    if number <= 0 {
        e.invalid(path, number, "must be greater than zero");
    }
}

/// The tolerations in the field `tolerations`.
pub(super) fn tolerations(node: &Node, path: &Path, e: &mut Errors) {
    for (index, toleration) in node.elements("tolerations").iter().enumerate() {
        let path = path.index(index);
        let (key, operator, value, effect) = (
            toleration.str("key"),
            toleration.str("operator"),
            toleration.str("value"),
            toleration.str("effect"),
        );
        if !key.is_empty() {
            must_be_qualified(key, &path.child("key"), e);
        } else if operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            e.invalid(&path.child("operator"), operator, detail);
        }
        if toleration.field("tolerationSeconds").is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            e.invalid(&path.child("effect"), effect, detail);
        }
        match operator {
            "Equal" | "" => {
                let faults = names::label_value(value);
                if !faults.is_empty() {
                    e.invalid(&path.child("operator"), value, faults.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                e.invalid(&path.child("operator"), value, detail);
            }
            "Exists" => {}
            "Lt" | "Gt" => e.unsupported(&path.child("operator"), operator, &["Equal", "Exists", "Lt", "Gt"]),
            other => e.unsupported(&path.child("operator"), other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            taint_effect(effect, &path.child("effect"), e);
        }
    }
}

fn taint_effect(effect: &str, path: &Path, e: &mut Errors) {
    if effect.is_empty() {
        e.required(path, "");
    } else if !EFFECTS.contains(&effect) {
        e.unsupported(path, effect, &EFFECTS);
    }
}

/// The taints of a node.
pub(super) fn taints(spec: &Node, path: &Path, e: &mut Errors) {
    let mut seen: Vec<(String, String)> = Vec::new();
    for (index, taint) in spec.elements("taints").iter().enumerate() {
        let path = path.index(index);
        must_be_qualified(taint.str("key"), &path.child("key"), e);
        let faults = names::label_value(taint.str("value"));
        if !faults.is_empty() {
            e.invalid(&path.child("value"), taint.str("value"), faults.join(";"));
        }
        taint_effect(taint.str("effect"), &path.child("effect"), e);
        let identity = (taint.str("effect").to_owned(), taint.str("key").to_owned());
        if seen.contains(&identity) {
            let printed = crate::schema::internal_json("core.Taint", Some(taint));
            e.duplicate_because(&path, printed, "taints must be unique by key and effect pair");
        }
        seen.push(identity);
    }
}
