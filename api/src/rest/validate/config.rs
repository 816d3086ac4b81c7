//! Kinds that configure: nodes, namespaces, ConfigMaps, Secrets, limits and quotas
//! (`pkg/apis/core/validation/validation.go`).

use super::affinity;
use super::meta::{self, Scope, immutable, must_be_qualified, same};
use super::names;
use super::resources::{
    amount, container_resource_name, is_overcommit_allowed, is_standard_of_quotas, quantity,
    quota_resource_name, resource_name,
};
use crate::base64;
use crate::document::{Node, Value};
use crate::quantity::Quantity;
use crate::rest::errors::{Errors, Path};

/// What a ConfigMap or Secret may hold, in bytes.
const DATA_MAX: usize = 1 << 20;
const WHEN_IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// A Namespace.
pub(super) fn namespace(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Cluster, names::dns_label, e);
    let finalizers = object.get("spec").map(|spec| spec.elements("finalizers")).unwrap_or_default();
    for finalizer in finalizers {
        let (name, path) = (finalizer.as_str().unwrap_or(""), Path::new("spec.finalizers"));
        must_be_qualified(name, &path, e);
        meta::kubernetes_finalizer(name, &path, e);
    }
}

/// A Node that is to be created.
pub(super) fn node(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Cluster, names::dns_subdomain, e);
    let empty = Node::empty();
    let spec = object.field("spec").unwrap_or(&empty);
    affinity::taints(spec, &Path::new("metadata.taints"), e);
    node_resources(object, e);
    let ranges = spec.elements("podCIDRs");
    for (index, range) in ranges.iter().enumerate() {
        let text = range.as_str().unwrap_or("");
        e.invalid_in(&Path::new("spec.podCIDRs").index(index), text, names::network(text));
    }
    let v6 = |range: &&Node| {
        let network = range.as_str().and_then(names::parse_network);
        network.is_some_and(|network| matches!(network.address, names::Address::V6(_)))
    };
    let dual = ranges.len() == 2 && ranges.iter().filter(v6).count() == 1;
    if ranges.len() > 1 && !dual {
        let detail = "may specify no more than one CIDR for each IP family";
        e.invalid(&Path::new("spec.podCIDRs"), Node::list(ranges), detail);
    }
}

fn node_resources(object: &Node, e: &mut Errors) {
    for key in ["capacity", "allocatable"] {
        for entry in object.get("status").map_or(&[][..], |status| status.entries(key)) {
            let path = Path::new("status").child(key).child(&entry.key);
            amount(&entry.key, quantity(&entry.value), &path, e);
        }
    }
}

/// A Node that replaces another version of itself.
pub(super) fn node_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    node_resources(new, e);
    let empty = Node::empty();
    let (spec, before) = (new.field("spec").unwrap_or(&empty), old.field("spec").unwrap_or(&empty));
    let addresses = new.get("status").map(|status| status.elements("addresses")).unwrap_or_default();
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].iter().any(|other| other.says_the_same_as(address)) {
            let printed = crate::schema::internal_json("core.NodeAddress", Some(address));
            e.duplicate(&Path::new("status.addresses").index(index), printed);
        }
    }
    let (ranges, old_ranges) = (spec.elements("podCIDRs"), before.elements("podCIDRs"));
    if !old_ranges.is_empty() {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        let changed = match ranges.len() == old_ranges.len() {
            false => 1,
            true => ranges.iter().zip(&old_ranges).filter(|(one, two)| !one.says_the_same_as(two)).count(),
        };
        (0..changed).for_each(|_| e.forbidden(&Path::new("spec.podCIDRs"), detail));
    }
    if !before.str("providerID").is_empty() && before.str("providerID") != spec.str("providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        e.forbidden(&Path::new("spec.providerID"), detail);
    }
    affinity::taints(spec, &Path::new("metadata.taints"), e);
    if spec.str("externalID") != before.str("externalID") {
        e.forbidden(&Path::new("spec.externalID"), "may not be updated");
    }
}

fn byte_count(value: &Node) -> usize {
    // What is not base64 was refused when the document was decoded.
    value.as_str().and_then(base64::decode).map_or(0, |bytes| bytes.len())
}

/// A ConfigMap.
pub(super) fn config_map(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    let mut size = 0;
    for entry in object.entries("data") {
        let path = Path::new("data").key(&entry.key);
        e.invalid_in(&path, &entry.key, names::config_key(&entry.key));
        if object.get("binaryData").is_some_and(|data| data.get(&entry.key).is_some()) {
            e.invalid(&path, entry.key.as_str(), "duplicate of key present in binaryData");
        }
        size += entry.value.as_str().map_or(0, str::len);
    }
    for entry in object.entries("binaryData") {
        let path = Path::new("binaryData").key(&entry.key);
        e.invalid_in(&path, &entry.key, names::config_key(&entry.key));
        size += byte_count(&entry.value);
    }
    if size > DATA_MAX {
        e.too_long(&Path::new(""), DATA_MAX);
    }
}

/// Data that was declared immutable stays.
fn frozen(new: &Node, old: &Node, keys: &[&str], e: &mut Errors) {
    if !old.flag("immutable") {
        return;
    }
    if !new.flag("immutable") {
        e.forbidden(&Path::new("immutable"), WHEN_IMMUTABLE);
    }
    for key in keys.iter().filter(|key| !same(new.field(key), old.field(key))) {
        e.forbidden(&Path::new(key), WHEN_IMMUTABLE);
    }
}

/// A ConfigMap that replaces another version of itself.
pub(super) fn config_map_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    frozen(new, old, &["data", "binaryData"], e);
    config_map(new, e);
}

/// A Secret.
pub(super) fn secret(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    let path = Path::new("data");
    let mut size = 0;
    for entry in object.entries("data") {
        e.invalid_in(&path.key(&entry.key), &entry.key, names::config_key(&entry.key));
        size += byte_count(&entry.value);
    }
    if size > DATA_MAX {
        e.too_long(&path, DATA_MAX);
    }
    let value = |key: &str| object.get("data").and_then(|data| data.get(key)).and_then(Node::as_str);
    let mut needs = |keys: &[&str]| {
        for key in keys.iter().filter(|key| value(key).is_none()) {
            e.required(&path.key(key), "");
        }
    };
    match object.str("type") {
        "kubernetes.io/service-account-token" => {
            const KEY: &str = "kubernetes.io/service-account.name";
            let named = object.at(&["metadata", "annotations", KEY]).and_then(Node::as_str);
            if named.is_none_or(str::is_empty) {
                e.required(&Path::new("metadata.annotations").key(KEY), "");
            }
        }
        "kubernetes.io/dockercfg" => docker_config(value(".dockercfg"), &path.key(".dockercfg"), e),
        "kubernetes.io/dockerconfigjson" => {
            docker_config(value(".dockerconfigjson"), &path.key(".dockerconfigjson"), e);
        }
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            needs(&["username", "password"]);
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").is_none_or(str::is_empty) => {
            e.required(&path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => needs(&["tls.crt", "tls.key"]),
        _ => {}
    }
}

fn docker_config(value: Option<&str>, path: &Path, e: &mut Errors) {
    let Some(value) = value else { return e.required(path, "") };
    let bytes = base64::decode(value).unwrap_or_default();
    let redacted = "<secret contents redacted>";
    match crate::rest::json::parse(&bytes) {
        Err(error) => e.invalid(path, redacted, error.to_string()),
        Ok(parsed) => match &parsed.node.value {
            Value::Mapping(_) | Value::Null => {}
            other => {
                let found = crate::rest::decode::go_value_kind(other);
                let detail =
                    format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
                e.invalid(path, redacted, detail);
            }
        },
    }
}

/// A Secret that replaces another version of itself.
pub(super) fn secret_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    immutable(new.field("type"), old.field("type"), &Path::new("type"), e);
    frozen(new, old, &["data"], e);
    secret(new, e);
}

/// A LimitRange.
pub(super) fn limit_range(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    let limits = object.get("spec").map(|spec| spec.elements("limits")).unwrap_or_default();
    for (index, limit) in limits.iter().enumerate() {
        let (path, kind) = (Path::new("spec.limits").index(index), limit.str("type"));
        limit_type(kind, &path.child("type"), e);
        if limits[..index].iter().any(|other| other.str("type") == kind) {
            e.duplicate(&path.child("type"), kind);
        }
        limit_item(limit, kind, &path, e);
    }
}

fn limit_type(kind: &str, path: &Path, e: &mut Errors) {
    let before = e.len();
    must_be_qualified(kind, path, e);
    if e.len() == before
        && !kind.contains('/')
        && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim")
    {
        e.invalid(path, kind, "must be a standard limit type or fully qualified");
    }
}

fn limit_item(limit: &Node, kind: &str, path: &Path, e: &mut Errors) {
    let name_rule = match kind {
        "Pod" | "Container" => container_resource_name,
        _ => resource_name,
    };
    let mut keys: Vec<String> = Vec::new();
    let mut collect = |key: &str, e: &mut Errors| {
        for entry in limit.entries(key) {
            name_rule(&entry.key, &path.child(key).key(&entry.key), e);
            if !keys.iter().any(|known| *known == entry.key) {
                keys.push(entry.key.to_string());
            }
        }
    };
    collect("max", e);
    collect("min", e);
    for key in ["default", "defaultRequest"] {
        if kind != "Pod" {
            collect(key, e);
        } else if !limit.entries(key).is_empty() {
            e.forbidden(&path.child(key), "may not be specified when `type` is 'Pod'");
        }
    }
    let has_storage = |key: &str| limit.get(key).is_some_and(|found| found.get("storage").is_some());
    if kind == "PersistentVolumeClaim" && !has_storage("min") && !has_storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        e.required(&path.child("limits"), detail);
    }
    collect("maxLimitRequestRatio", e);
    for key in keys {
        limit_amounts(limit, kind, &key, path, e);
    }
}

fn limit_amounts(limit: &Node, kind: &str, key: &str, path: &Path, e: &mut Errors) {
    let of = |field: &str| limit.get(field).and_then(|found| found.get(key)).map(quantity);
    let with_defaults = |field: &str| of(field).filter(|_| kind != "Pod");
    let (min, max, ratio) = (of("min"), of("max"), of("maxLimitRequestRatio"));
    let (default, request) = (with_defaults("default"), with_defaults("defaultRequest"));
    // The field that is at fault, the value that is shown, and two amounts of which the first must not be larger.
    type Amount = Option<Quantity>;
    let rules: [(&str, Amount, Amount, Amount, &str, &str); 6] = [
        ("min", min, min, max, "min value", "max value"),
        ("defaultRequest", request, min, request, "min value", "default request value"),
        ("defaultRequest", request, request, max, "default request value", "max value"),
        ("defaultRequest", request, request, default, "default request value", "default limit value"),
        ("default", min, min, default, "min value", "default value"),
        ("default", max, default, max, "default value", "max value"),
    ];
    for (field, shown, low, high, low_name, high_name) in rules {
        if let (Some(shown), Some(low), Some(high)) = (shown, low, high)
            && low > high
        {
            let detail = format!("{low_name} {low} is greater than {high_name} {high}");
            e.invalid(&path.child(field).key(key), &shown.to_string(), detail);
        }
    }
    let at = path.child("maxLimitRequestRatio").key(key);
    if let Some(ratio) = ratio.filter(|ratio| ratio.ceil_millis() < 1_000) {
        e.invalid(&at, &ratio.to_string(), format!("ratio {ratio} is less than 1"));
    }
    if let (Some(ratio), Some(min), Some(max)) = (ratio, min, max) {
        // ratio > max / min, without division.
        if ratio.nanos().saturating_mul(min.nanos() / 1_000_000) > max.nanos().saturating_mul(1_000)
            && !min.is_zero()
        {
            let quotient = max.nanos() as f64 / min.nanos() as f64;
            e.invalid(
                &at,
                &ratio.to_string(),
                format!("ratio {ratio} is greater than max/min = {quotient:.6}"),
            );
        }
    }
    if let (Some(default), Some(request)) = (default, request)
        && !is_overcommit_allowed(key)
        && default != request
    {
        let detail = format!("default value {default} must equal to defaultRequest value {request} in {key}");
        e.invalid(&path.child("defaultRequest").key(key), &request.to_string(), detail);
    }
}

/// A ResourceQuota.
pub(super) fn quota(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
    quota_spec(object, e);
    let empty = Node::empty();
    let status = object.field("status").unwrap_or(&empty);
    for key in ["hard", "used"] {
        quota_amounts(status, key, &Path::new("status"), e);
    }
}

fn quota_amounts(node: &Node, key: &str, path: &Path, e: &mut Errors) {
    for entry in node.entries(key) {
        let path = path.child(key).key(&entry.key);
        quota_resource_name(&entry.key, &path, e);
        amount(&entry.key, quantity(&entry.value), &path, e);
    }
}

fn quota_spec(object: &Node, e: &mut Errors) {
    let empty = Node::empty();
    let (spec, path) = (object.field("spec").unwrap_or(&empty), Path::new("spec"));
    quota_amounts(spec, "hard", &path, e);
    let mut hard: Vec<&str> = spec.entries("hard").iter().map(|entry| entry.key.as_str()).collect();
    hard.sort_unstable();
    let scopes = spec.elements("scopes");
    let printed = || Node::list(scopes.clone());
    let at = path.child("scopes");
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str().unwrap_or("")).collect();
    for scope in &names {
        if !is_scope(scope) {
            e.invalid(&at, printed(), "unsupported scope");
        }
        for _ in hard.iter().filter(|name| is_standard_of_quotas(name) && !scope_fits(scope, name)) {
            e.invalid(&at, printed(), "unsupported scope applied to resource");
        }
    }
    conflicting_scopes(&names, printed(), &at, e);
    let Some(selector) = spec.field("scopeSelector") else { return };
    let at = path.child("scopeSelector").child("matchExpressions");
    let requirements = selector.elements("matchExpressions");
    for requirement in &requirements {
        scope_requirement(requirement, selector, &hard, &at, e);
    }
    let selected: Vec<&str> = requirements.iter().map(|requirement| requirement.str("scopeName")).collect();
    conflicting_scopes(&selected, printed(), &at, e);
}

fn is_scope(name: &str) -> bool {
    const SCOPES: [&str; 7] = [
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "VolumeAttributesClass",
        "CrossNamespacePodAffinity",
    ];
    SCOPES.contains(&name)
}

/// Whether objects in a scope use the resource at all.
fn scope_fits(scope: &str, name: &str) -> bool {
    const COMPUTE: [&str; 6] =
        ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => name == "pods" || COMPUTE.contains(&name),
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn conflicting_scopes(names: &[&str], printed: Node, path: &Path, e: &mut Errors) {
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if names.contains(&one) && names.contains(&other) {
            e.invalid(path, printed.clone(), "conflicting scopes");
        }
    }
}

fn scope_requirement(requirement: &Node, selector: &Node, hard: &[&str], path: &Path, e: &mut Errors) {
    let (scope, operator) = (requirement.str("scopeName"), requirement.str("operator"));
    let values = requirement.elements("values");
    if !is_scope(scope) {
        e.invalid(&path.child("scopeName"), scope, "unsupported scope");
    }
    for _ in hard.iter().filter(|name| is_standard_of_quotas(name) && !scope_fits(scope, name)) {
        let printed = crate::schema::internal_json("core.ScopeSelector", Some(selector));
        e.invalid(path, printed, "unsupported scope applied to resource");
    }
    let is_plain = is_scope(scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
    if is_plain && operator != "Exists" {
        let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                      ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                      ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        e.invalid(&path.child("operator"), operator, detail);
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            e.required(&path.child("values"), detail);
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            e.invalid(&path.child("values"), Node::list(values), detail);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
}

/// A ResourceQuota that replaces another version of itself.
pub(super) fn quota_update(new: &Node, old: &Node, e: &mut Errors) {
    meta::object_meta_update(new, old, e);
    quota_spec(new, e);
    let scopes = |object: &Node| {
        let scopes = object.get("spec").map(|spec| spec.elements("scopes")).unwrap_or_default();
        let mut texts: Vec<String> =
            scopes.iter().map(|scope| scope.as_str().unwrap_or("").to_owned()).collect();
        texts.sort();
        texts.dedup();
        texts
    };
    if scopes(new) != scopes(old) {
        let shown = new.at(&["spec", "scopes"]).cloned().unwrap_or(Node::unplaced(Value::Null));
        e.invalid(&Path::new("spec.scopes"), shown, "field is immutable");
    }
}

/// A ServiceAccount.
pub(super) fn service_account(object: &Node, e: &mut Errors) {
    meta::object_meta(object, Scope::Namespaced, names::dns_subdomain, e);
}
