//! Requests and limits, and the names of resources
//! (`pkg/apis/core/validation/validation.go`, `pkg/apis/core/helper/helpers.go`).

use super::meta::must_be_qualified;
use super::names;
use crate::document::{Node, Value};
use crate::quantity::Quantity;
use crate::rest::errors::{Errors, Path};

const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const STANDARD_OF_QUOTAS: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const INTEGERS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// The quantity in a node, zero if it is none.
pub(super) fn quantity(node: &Node) -> Quantity {
    match &node.value {
        Value::String(text) => Quantity::parse(text.trim()).unwrap_or(Quantity::ZERO),
        other => Quantity::parse(&other.to_string()).unwrap_or(Quantity::ZERO),
    }
}

/// The quantity in the field `key`.
pub(super) fn quantity_of(node: &Node, key: &str) -> Option<Quantity> {
    node.field(key).map(quantity)
}

pub(super) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_huge_page_of_quota(name: &str) -> bool {
    is_huge_page(name) || name.starts_with("requests.hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether containers may ask for less than their limit.
pub(super) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

pub(super) fn is_standard_of_quotas(name: &str) -> bool {
    STANDARD_OF_QUOTAS.contains(&name) || is_huge_page_of_quota(name)
}

/// A name of a resource of any kind.
pub(super) fn resource_name(name: &str, path: &Path, e: &mut Errors) {
    let before = e.len();
    must_be_qualified(name, path, e);
    let known = STANDARD.contains(&name) || is_huge_page_of_quota(name);
    if e.len() == before && !name.contains('/') && !known {
        e.invalid(path, name, "must be a standard resource type or fully qualified");
    }
}

/// A name of a resource that containers use.
pub(super) fn container_resource_name(name: &str, path: &Path, e: &mut Errors) {
    resource_name(name, path, e);
    let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name);
    if !name.contains('/') {
        if !standard {
            e.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        e.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

fn pod_resource_name(name: &str, path: &Path, e: &mut Errors) {
    let before = e.len();
    resource_name(name, path, e);
    if e.len() == before && !matches!(name, "cpu" | "memory") && !is_huge_page(name) {
        e.unsupported(path, name, &["cpu", "hugepages-", "memory"]);
    }
}

/// A name of a resource that quotas count.
pub(super) fn quota_resource_name(name: &str, path: &Path, e: &mut Errors) {
    resource_name(name, path, e);
    if !name.contains('/') && !is_standard_of_quotas(name) {
        e.invalid(path, name, "must be a standard resource for quota");
    }
}

/// An amount of a resource: not below zero, and whole where parts make no sense.
pub(super) fn amount(name: &str, quantity: Quantity, path: &Path, e: &mut Errors) {
    if quantity < Quantity::ZERO {
        e.invalid(path, &quantity.to_string(), "must be greater than or equal to 0");
    }
    if (INTEGERS.contains(&name) || is_extended(name)) && quantity.ceil_millis() % 1_000 != 0 {
        e.invalid(path, &quantity.to_string(), "must be an integer");
    }
}

fn huge_page_amount(name: &str, quantity: Quantity, path: &Path, e: &mut Errors) {
    let size = name.strip_prefix("hugepages-").and_then(|size| Quantity::parse(size).ok());
    let whole = size.is_some_and(|size| {
        size.ceil_units() > 0
            && quantity.ceil_millis() % 1_000 == 0
            && quantity.ceil_units() % size.ceil_units() == 0
    });
    if !whole {
        let detail = format!("{quantity} is not positive integer multiple of {name}");
        e.invalid(path, &quantity.to_string(), detail);
    }
}

/// Whose requests and limits they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Container,
    Pod,
}

/// Requests and limits; `claims` are the names of the pod's resource claims.
pub(super) fn requirements(resources: &Node, of: Of, claims: &[String], path: &Path, e: &mut Errors) {
    let name_rule = match of {
        Of::Container => container_resource_name,
        Of::Pod => pod_resource_name,
    };
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let (mut has_compute, mut has_huge_pages) = (false, false);
    for entry in resources.entries("limits") {
        let path = limits_path.key(&entry.key);
        let found = quantity(&entry.value);
        name_rule(&entry.key, &path, e);
        amount(&entry.key, found, &path, e);
        if is_huge_page(&entry.key) {
            has_huge_pages = true;
            huge_page_amount(&entry.key, found, &path, e);
        }
        has_compute |= matches!(entry.key.as_str(), "cpu" | "memory");
    }
    let empty = Node::empty();
    let limits = resources.field("limits").unwrap_or(&empty);
    for entry in resources.entries("requests") {
        let path = requests_path.key(&entry.key);
        let (name, found) = (entry.key.as_str(), quantity(&entry.value));
        name_rule(name, &path, e);
        amount(name, found, &path, e);
        match quantity_of(limits, name) {
            Some(limit) if found != limit && !is_overcommit_allowed(name) => {
                e.invalid(
                    &requests_path,
                    &found.to_string(),
                    format!("must be equal to {name} limit of {limit}"),
                );
            }
            Some(limit) if found > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                e.invalid(&requests_path, &found.to_string(), detail);
            }
            None if !is_overcommit_allowed(name) => {
                e.required(&limits_path, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
        if is_huge_page(name) {
            has_huge_pages = true;
            huge_page_amount(name, found, &path, e);
        }
        has_compute |= matches!(name, "cpu" | "memory");
    }
    if !has_compute && has_huge_pages {
        e.forbidden(path, "HugePages require cpu or memory");
    }
    resource_claims(resources, claims, &path.child("claims"), e);
}

fn resource_claims(resources: &Node, known: &[String], path: &Path, e: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (index, claim) in resources.elements("claims").iter().enumerate() {
        let path = path.index(index);
        let (name, request) = (claim.str("name"), claim.str("request"));
        if name.is_empty() {
            e.required(&path, "");
            continue;
        }
        if seen.iter().any(|one| one == name) {
            e.duplicate(&path, name);
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                e.invalid_in(&path.child("request"), request, names::dns_label(request));
                key = format!("{name}/{request}");
            }
            let part_taken = |one: &&String| one.split_once('/').is_some_and(|(claim, _)| claim == name);
            if seen.contains(&key) {
                e.duplicate(&path, &key);
            } else if request.is_empty() {
                (0..seen.iter().filter(part_taken).count()).for_each(|_| e.duplicate(&path, name));
            }
            seen.push(key);
        }
        if !known.iter().any(|known| known == name) {
            let mut sorted = known.to_vec();
            sorted.sort();
            let which = match sorted.is_empty() {
                true => " which is empty".to_owned(),
                false => format!(": {}", sorted.join(", ")),
            };
            e.not_found_because(
                &path,
                name,
                &format!("must be one of the names in pod.spec.resourceClaims{which}"),
            );
        }
    }
}

/// Requests and limits of a pod as a whole, which its containers must fit into.
pub(super) fn pod_resources(spec: &Node, claims: &[String], path: &Path, e: &mut Errors) {
    let Some(resources) = spec.field("resources") else { return };
    let path = path.child("resources");
    if spec.get("os").is_some_and(|os| os.str("name") == "windows") {
        e.forbidden(&path, "may not be set for a windows pod");
        return;
    }
    if resources.field("claims").is_some() {
        e.forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements(resources, Of::Pod, claims, &path, e);
    let empty = Node::empty();
    let requests = resources.field("requests").unwrap_or(&empty);
    for (name, sum) in sums(spec, "requests") {
        if let Some(request) = quantity_of(requests, &name).filter(|request| sum > *request) {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            e.invalid(&path.child("requests").key(&name), &request.to_string(), detail);
        }
    }
    let limits = resources.field("limits").unwrap_or(&empty);
    for (name, sum) in sums(spec, "limits").into_iter().filter(|(name, _)| is_huge_page(name)) {
        if let Some(limit) = quantity_of(limits, &name).filter(|limit| sum > *limit) {
            let detail = format!("must be greater than or equal to aggregate container limits of {sum}");
            e.invalid(&path.child("limits").key(&name), &limit.to_string(), detail);
        }
    }
    for (index, container) in spec.elements("containers").iter().enumerate() {
        for entry in container.get("resources").map_or(&[][..], |resources| resources.entries("limits")) {
            let own = quantity(&entry.value);
            if let Some(limit) = quantity_of(limits, &entry.key).filter(|limit| own > *limit) {
                let path = path.child("containers").index(index).key(&entry.key).child("limits");
                e.invalid(
                    &path,
                    &own.to_string(),
                    format!("must be less than or equal to pod limits of {limit}"),
                );
            }
        }
    }
}

/// The sums of requests or limits over a pod: its containers and sidecars together, or the largest
/// init container with the sidecars before it.
pub(super) fn sums(spec: &Node, key: &str) -> Vec<(String, Quantity)> {
    type Sums = Vec<(String, Quantity)>;
    let own = |container: &Node| -> Sums {
        let entries = container.get("resources").map_or(&[][..], |resources| resources.entries(key));
        entries.iter().map(|entry| (entry.key.to_string(), quantity(&entry.value))).collect()
    };
    fn merge(into: &mut Sums, other: &Sums, combine: fn(Quantity, Quantity) -> Quantity) {
        for (name, amount) in other {
            match into.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum = combine(*sum, *amount),
                None => into.push((name.clone(), *amount)),
            }
        }
    }
    let (mut total, mut sidecars, mut largest) = (Sums::new(), Sums::new(), Sums::new());
    for container in spec.elements("containers") {
        merge(&mut total, &own(&container), Quantity::plus);
    }
    for container in spec.elements("initContainers") {
        let mut needed = own(&container);
        if container.str("restartPolicy") == "Always" {
            merge(&mut total, &needed, Quantity::plus);
            merge(&mut sidecars, &needed, Quantity::plus);
            needed = sidecars.clone();
        } else {
            merge(&mut needed, &sidecars, Quantity::plus);
        }
        merge(&mut largest, &needed, Ord::max);
    }
    merge(&mut total, &largest, Ord::max);
    total
}
