//! What all objects share: metadata, labels, selectors, conditions of templates
//! (`staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go`).

use super::names::{self, Faults};
use crate::document::Node;
use crate::rest::errors::{Errors, Path};
use crate::schema::internal_json;

/// All annotations of an object together, in bytes.
const ANNOTATIONS_MAX: usize = 256 * 1024;
/// Finalizers without a domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Namespaced,
    Cluster,
}

/// Metadata of an object that is to be created.
pub(super) fn object_meta(object: &Node, scope: Scope, name_rule: fn(&str) -> Faults, e: &mut Errors) {
    let empty = Node::empty();
    let (meta, path) = (object.get("metadata").unwrap_or(&empty), Path::new("metadata"));
    let generate = meta.str("generateName");
    if !generate.is_empty() {
        e.invalid_in(&path.child("generateName"), generate, name_rule(&names::as_prefix(generate)));
    }
    match meta.str("name") {
        "" => e.required(&path.child("name"), "name or generateName is required"),
        name => e.invalid_in(&path.child("name"), name, name_rule(name)),
    }
    let namespace = meta.str("namespace");
    match scope {
        Scope::Namespaced if namespace.is_empty() => e.required(&path.child("namespace"), ""),
        Scope::Namespaced => e.invalid_in(&path.child("namespace"), namespace, names::dns_label(namespace)),
        Scope::Cluster if !namespace.is_empty() => {
            e.forbidden(&path.child("namespace"), "not allowed on this type");
        }
        Scope::Cluster => {}
    }
    non_negative(meta, "generation", &path, e);
    labels(meta, "labels", &path.child("labels"), e);
    annotations(meta, &path.child("annotations"), e);
    owner_references(meta, &path.child("ownerReferences"), e);
    finalizers(meta, &path.child("finalizers"), e);
    kubernetes_finalizers(meta, &path.child("finalizers"), e);
}

/// Metadata of an object that replaces another version of itself.
pub(super) fn object_meta_update(new: &Node, old: &Node, e: &mut Errors) {
    let empty = Node::empty();
    let new = new.get("metadata").unwrap_or(&empty);
    let old = old.get("metadata").unwrap_or(&empty);
    let path = Path::new("metadata");
    if old.field("deletionTimestamp").is_some() {
        no_new_finalizers(new, old, &path.child("finalizers"), e);
    }
    if new.str("resourceVersion").is_empty() {
        e.invalid(&path.child("resourceVersion"), "", "must be specified for an update");
    }
    if new.number("generation").unwrap_or(0) < old.number("generation").unwrap_or(0) {
        e.invalid(
            &path.child("generation"),
            new.number("generation").unwrap_or(0),
            "must not be decremented",
        );
    }
    for key in ["name", "namespace", "uid"] {
        if new.str(key) != old.str(key) {
            e.invalid(&path.child(key), new.str(key), "field is immutable");
        }
    }
    for key in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        immutable(new.field(key), old.field(key), &path.child(key), e);
    }
    labels(new, "labels", &path.child("labels"), e);
    annotations(new, &path.child("annotations"), e);
    owner_references(new, &path.child("ownerReferences"), e);
    kubernetes_finalizers(new, &path.child("finalizers"), e);
}

fn no_new_finalizers(new: &Node, old: &Node, path: &Path, e: &mut Errors) {
    let texts = |node: &Node| -> Vec<String> {
        node.elements("finalizers").iter().filter_map(|f| f.as_str().map(str::to_owned)).collect()
    };
    let old = texts(old);
    let mut extra: Vec<String> = texts(new).into_iter().filter(|f| !old.contains(f)).collect();
    extra.sort();
    extra.dedup();
    if !extra.is_empty() {
        let quoted: Vec<String> = extra.iter().map(|f| format!("{f:?}")).collect();
        e.forbidden(
            path,
            &format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                quoted.join(", ")
            ),
        );
    }
}

/// A value that must stay what it was.
pub(super) fn immutable(new: Option<&Node>, old: Option<&Node>, path: &Path, e: &mut Errors) {
    if !same(new, old) {
        let null = Node::unplaced(crate::document::Value::Null);
        e.invalid(path, new.unwrap_or(&null), "field is immutable");
    }
}

/// A value that must stay what it was, printed as the server holds it.
pub(super) fn immutable_as(
    of: &'static str,
    new: Option<&Node>,
    old: Option<&Node>,
    path: &Path,
    e: &mut Errors,
) {
    if !same(new, old) {
        e.invalid(path, internal_json(of, new), "field is immutable");
    }
}

/// Whether two values say the same; empty lists and mappings are as good as absent ones.
pub(super) fn same(one: Option<&Node>, other: Option<&Node>) -> bool {
    let says_something = |node: &&Node| {
        !node.is_null()
            && node.as_mapping().is_none_or(|fields| !fields.entries().is_empty())
            && node.as_sequence().is_none_or(|elements| !elements.is_empty())
    };
    match (one.filter(says_something), other.filter(says_something)) {
        (None, None) => true,
        (Some(one), Some(other)) => one.says_the_same_as(other),
        _ => false,
    }
}

/// A number that must not be below zero, if it is there.
pub(super) fn non_negative(node: &Node, key: &str, path: &Path, e: &mut Errors) {
    if let Some(number) = node.number(key).filter(|number| *number < 0) {
        e.invalid(&path.child(key), number, "must be greater than or equal to 0");
    }
}

/// The labels in the field `key`.
pub(super) fn labels(node: &Node, key: &str, path: &Path, e: &mut Errors) {
    for entry in node.entries(key) {
        e.invalid_in(path, &entry.key, names::qualified_name(&entry.key));
        let value = entry.value.as_str().unwrap_or("");
        e.invalid_in(path, value, names::label_value(value));
    }
}

/// The annotations of an object or template.
pub(super) fn annotations(meta: &Node, path: &Path, e: &mut Errors) {
    let mut size = 0;
    for entry in meta.entries("annotations") {
        e.invalid_in(path, &entry.key, names::qualified_name(&entry.key.to_lowercase()));
        size += entry.key.len() + entry.value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_MAX {
        e.too_long(path, ANNOTATIONS_MAX);
    }
}

fn owner_references(meta: &Node, path: &Path, e: &mut Errors) {
    let owners = meta.elements("ownerReferences");
    let mut controller: Option<String> = None;
    for owner in &owners {
        let (version, kind) = (owner.str("apiVersion"), owner.str("kind"));
        let rules = [
            ("apiVersion", version.rsplit('/').next().unwrap_or(""), "version must not be empty"),
            ("kind", kind, "must not be empty"),
            ("name", owner.str("name"), "must not be empty"),
            ("uid", owner.str("uid"), "must not be empty"),
        ];
        for (key, value, detail) in rules {
            if value.is_empty() {
                e.invalid(&path.child(key), owner.str(key), detail);
            }
        }
        if (version, kind) == ("v1", "Event") {
            let printed = internal_json("meta/v1.OwnerReference", Some(owner));
            e.invalid(path, printed, "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.flag("controller") {
            let name = format!("{kind}/{}", owner.str("name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => {
                    let printed = internal_json("[]meta/v1.OwnerReference", meta.get("ownerReferences"));
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                         and {name}"
                    );
                    e.invalid(path, printed, detail);
                }
            }
        }
    }
}

fn finalizers(meta: &Node, path: &Path, e: &mut Errors) {
    let all = meta.elements("finalizers");
    for finalizer in all.iter().filter_map(Node::as_str) {
        e.invalid_in(path, finalizer, names::qualified_name(finalizer));
    }
    let has = |name: &str| all.iter().any(|finalizer| finalizer.as_str() == Some(name));
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        e.invalid(path, Node::list(all.clone()), detail);
    }
}

fn kubernetes_finalizers(meta: &Node, path: &Path, e: &mut Errors) {
    for (index, finalizer) in meta.elements("finalizers").iter().enumerate() {
        kubernetes_finalizer(finalizer.as_str().unwrap_or(""), &path.index(index), e);
    }
}

/// A finalizer is one of those that there are, or has a domain.
pub(super) fn kubernetes_finalizer(name: &str, path: &Path, e: &mut Errors) {
    if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        e.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// The selector of labels in the field `key`, if it is there.
pub(super) fn label_selector(node: &Node, key: &str, path: &Path, e: &mut Errors) {
    let Some(selector) = node.field(key) else { return };
    labels(selector, "matchLabels", &path.child("matchLabels"), e);
    for (index, requirement) in selector.elements("matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = requirement.elements("values");
        match requirement.str("operator") {
            "In" | "NotIn" if values.is_empty() => {
                e.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                e.forbidden(
                    &path.child("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "Exists" | "DoesNotExist" => {}
            other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        e.invalid_in(
            &path.child("key"),
            requirement.str("key"),
            names::qualified_name(requirement.str("key")),
        );
        for (index, value) in values.iter().filter_map(Node::as_str).enumerate() {
            e.invalid_in(&path.child("values").index(index), value, names::label_value(value));
        }
    }
}

/// How a selector relates to labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// It cannot be evaluated.
    Malformed,
    /// It is well-formed; whether it matches.
    Matches(bool),
}

/// Whether the selector in the field `key` matches the labels in `meta`.
pub(super) fn selects(node: &Node, key: &str, meta: Option<&Node>) -> Selection {
    let empty = Node::empty();
    let meta = meta.unwrap_or(&empty);
    // An absent selector matches nothing.
    let Some(selector) = node.field(key) else { return Selection::Matches(false) };
    let value_of = |key: &str| meta.get("labels").and_then(|labels| labels.get(key)).and_then(Node::as_str);
    let mut matches = true;
    for entry in selector.entries("matchLabels") {
        let value = entry.value.as_str().unwrap_or("");
        if !names::qualified_name(&entry.key).is_empty() || !names::label_value(value).is_empty() {
            return Selection::Malformed;
        }
        matches &= value_of(&entry.key) == Some(value);
    }
    for requirement in selector.elements("matchExpressions") {
        let (key, values) = (requirement.str("key"), requirement.elements("values"));
        let malformed_value = |value: &Node| !names::label_value(value.as_str().unwrap_or("")).is_empty();
        if !names::qualified_name(key).is_empty() || values.iter().any(malformed_value) {
            return Selection::Malformed;
        }
        let found = value_of(key);
        let is_in = || found.is_some_and(|found| values.iter().any(|value| value.as_str() == Some(found)));
        matches &= match (requirement.str("operator"), values.is_empty()) {
            ("In", false) => is_in(),
            ("NotIn", false) => !is_in(),
            ("Exists", true) => found.is_some(),
            ("DoesNotExist", true) => found.is_none(),
            _ => return Selection::Malformed,
        };
    }
    Selection::Matches(matches)
}

/// Whether a selector has no requirement at all.
pub(super) fn is_empty_selector(selector: &Node) -> bool {
    selector.entries("matchLabels").is_empty() && selector.elements("matchExpressions").is_empty()
}

/// A selector as messages print it.
pub(super) fn printed_selector(selector: Option<&Node>) -> Node {
    internal_json("*meta/v1.LabelSelector", selector)
}

/// A text that must be a DNS label.
pub(super) fn must_be_label(text: &str, path: &Path, e: &mut Errors) {
    e.invalid_in(path, text, names::dns_label(text));
}

/// A text that must be a DNS subdomain.
pub(super) fn must_be_subdomain(text: &str, path: &Path, e: &mut Errors) {
    e.invalid_in(path, text, names::dns_subdomain(text));
}

/// A text that must be a key with an optional domain.
pub(super) fn must_be_qualified(text: &str, path: &Path, e: &mut Errors) {
    e.invalid_in(path, text, names::qualified_name(text));
}
