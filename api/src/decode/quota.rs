//! Resource quotas and limit ranges.

use super::names;
use super::reader::Reader;
use super::workload::status;
use crate::meta::ObjectMeta;
use crate::quota::{
    Amounts, Limit, LimitRange, LimitType, ResourceQuota, ResourceQuotaStatus, Scope, ScopeOperator,
    ScopeSelector,
};
use crate::symbol::Symbol;

const SCOPES: [(&str, Scope); 7] = [
    ("Terminating", Scope::Terminating),
    ("NotTerminating", Scope::NotTerminating),
    ("BestEffort", Scope::BestEffort),
    ("NotBestEffort", Scope::NotBestEffort),
    ("PriorityClass", Scope::PriorityClass),
    ("CrossNamespacePodAffinity", Scope::CrossNamespacePodAffinity),
    ("VolumeAttributesClass", Scope::VolumeAttributesClass),
];

const OPERATORS: [(&str, ScopeOperator); 4] = [
    ("In", ScopeOperator::In),
    ("NotIn", ScopeOperator::NotIn),
    ("Exists", ScopeOperator::Exists),
    ("DoesNotExist", ScopeOperator::DoesNotExist),
];

/// Resources that a quota knows without a domain and without a prefix.
const STANDARD: [&str; 20] = [
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];

/// Reads a ResourceQuota.
pub(super) fn resource_quota(object: &Reader<'_>, meta: ObjectMeta) -> Option<ResourceQuota> {
    let status = status(object, |status| ResourceQuotaStatus {
        hard: status.has("hard").then(|| amounts(status, "hard")),
        used: status.has("used").then(|| amounts(status, "used")),
    });
    object.object_or_empty("spec", |spec| {
        let hard = amounts(spec, "hard");
        for name in hard.names().filter(|name| !is_quota_resource(name.as_str())) {
            spec.refuse("hard", format!("{name} is no resource that a quota can limit"));
        }
        let mut scopes = spec.strs("scopes").iter().filter_map(|name| scope(spec, name)).collect::<Vec<_>>();
        check_scopes(spec, &scopes);
        scopes.extend(spec.object("scopeSelector", scope_selector).unwrap_or_default());
        ResourceQuota { meta, hard, scopes, status }
    })
}

fn is_quota_resource(name: &str) -> bool {
    STANDARD.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || (name.contains('/') && names::is_qualified_key(name))
}

fn scope(spec: &Reader<'_>, name: &str) -> Option<ScopeSelector> {
    let found = SCOPES.iter().find(|scope| scope.0 == name);
    if found.is_none() {
        let known: Vec<&str> = SCOPES.iter().map(|scope| scope.0).collect();
        spec.refuse("scopes", format!("{name} is no scope: one of {}", known.join(", ")));
    }
    found.map(|&(_, scope)| ScopeSelector::plain(scope))
}

/// Scopes that exclude each other.
fn check_scopes(spec: &Reader<'_>, scopes: &[ScopeSelector]) {
    let has = |wanted| scopes.iter().any(|scope| scope.scope == wanted);
    if (has(Scope::Terminating) && has(Scope::NotTerminating))
        || (has(Scope::BestEffort) && has(Scope::NotBestEffort))
    {
        spec.refuse("scopes", "conflicting scopes");
    }
}

fn scope_selector(selector: &Reader<'_>) -> Vec<ScopeSelector> {
    selector.list("matchExpressions", |expression| {
        let operator = expression.choice("operator", &OPERATORS);
        if !expression.has("operator") {
            expression.invalid("operator", "one of In, NotIn, Exists, DoesNotExist");
        }
        if !expression.has("scopeName") {
            expression.invalid("scopeName", "a scope");
        }
        let operator = operator.unwrap_or(ScopeOperator::Exists);
        let values = expression.symbols("values");
        if matches!(operator, ScopeOperator::In | ScopeOperator::NotIn) == values.is_empty() {
            expression.invalid("values", "at least one value with In and NotIn, none with the others");
        }
        let scope = expression.choice("scopeName", &SCOPES).unwrap_or(Scope::PriorityClass);
        let with_values = matches!(scope, Scope::PriorityClass | Scope::VolumeAttributesClass);
        if !with_values && operator != ScopeOperator::Exists {
            expression.invalid("operator", "Exists, for a scope without values");
        }
        ScopeSelector { scope, operator, values }
    })
}

/// Reads amounts by resource.
fn amounts(reader: &Reader<'_>, key: &'static str) -> Amounts {
    let amounts = reader.object(key, |amounts| {
        let pair =
            |entry: &crate::document::Entry| Some((Symbol::new(&entry.key), amounts.quantity_of(entry)?));
        Amounts::new(amounts.entries().iter().filter_map(pair))
    });
    amounts.unwrap_or_default()
}

/// Reads a LimitRange.
pub(super) fn limit_range(object: &Reader<'_>, meta: ObjectMeta) -> Option<LimitRange> {
    object.object_or_empty("spec", |spec| LimitRange { meta, limits: spec.list("limits", limit) })
}

fn limit(limit: &Reader<'_>) -> Limit {
    let kind = match limit.required_str("type") {
        "Pod" => LimitType::Pod,
        "Container" => LimitType::Container,
        "PersistentVolumeClaim" => LimitType::PersistentVolumeClaim,
        other => LimitType::Other(Symbol::new(other)),
    };
    let mut read = Limit {
        kind,
        max: amounts(limit, "max"),
        min: amounts(limit, "min"),
        default: amounts(limit, "default"),
        default_request: amounts(limit, "defaultRequest"),
        max_limit_request_ratio: amounts(limit, "maxLimitRequestRatio"),
    };
    if kind == LimitType::Container {
        fill_in(&mut read);
    } else if kind == LimitType::Pod && !(read.default.is_empty() && read.default_request.is_empty()) {
        limit.refuse("default", "only limits of type Container have defaults");
    }
    if kind == LimitType::PersistentVolumeClaim && read.min.is_empty() && read.max.is_empty() {
        limit.refuse("min", "a limit of claims has min, max or both");
    }
    check_limit(limit, &read);
    read
}

/// What is not said of containers follows from what is.
fn fill_in(limit: &mut Limit) {
    let (max, min) = (limit.max.clone(), limit.min.clone());
    max.iter().for_each(|(name, amount)| limit.default.set_default(name, amount));
    let default = limit.default.clone();
    default
        .iter()
        .chain(min.iter())
        .for_each(|(name, amount)| limit.default_request.set_default(name, amount));
}

fn check_limit(reader: &Reader<'_>, limit: &Limit) {
    let ordered: [(&'static str, &Amounts, &str, &Amounts); 6] = [
        ("min", &limit.min, "max", &limit.max),
        ("defaultRequest", &limit.default_request, "max", &limit.max),
        ("default", &limit.default, "max", &limit.max),
        ("min", &limit.min, "defaultRequest", &limit.default_request),
        ("min", &limit.min, "default", &limit.default),
        ("defaultRequest", &limit.default_request, "default", &limit.default),
    ];
    for (low_key, low, high_key, high) in ordered {
        for (name, amount) in low.iter() {
            if let Some(larger) = high.get(name).filter(|larger| amount > *larger) {
                reader.refuse(
                    low_key,
                    format!("{low_key} of {name}, {amount}, is greater than its {high_key}, {larger}"),
                );
            }
        }
    }
    let one = crate::quantity::Quantity::from_millis(1_000);
    for (name, ratio) in limit.max_limit_request_ratio.iter().filter(|(_, ratio)| *ratio < one) {
        reader.refuse("maxLimitRequestRatio", format!("the ratio of {name}, {ratio}, is less than 1"));
    }
}
