//! Namespaces, service accounts, ConfigMaps, Secrets, priority classes, disruption budgets.

use super::names;
use super::pod::preemption_policy;
use super::reader::Reader;
use super::selector;
use super::workload::{conditions, int_or_percent, observed_generation, status};
use crate::base64;
use crate::config::{ConfigMap, Namespace, Secret, ServiceAccount};
use crate::lease::{Lease, LeaseRecord};
use crate::meta::ObjectMeta;
use crate::policy::{Budget, PdbStatus, PodDisruptionBudget, PriorityClass, UnhealthyPodEvictionPolicy};
use crate::symbol::Symbol;
use compact_str::CompactString;
use std::collections::BTreeMap;

/// The label that every namespace carries.
const LABEL_NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Data of a ConfigMap or Secret may be this large in all.
const DATA_MAX_BYTES: usize = 1024 * 1024;
/// The highest priority of classes that users make.
const USER_PRIORITY_MAX: i64 = 1_000_000_000;

/// Reads a Namespace.
pub(super) fn namespace(object: &Reader<'_>, mut meta: ObjectMeta) -> Namespace {
    let name = Symbol::new(&meta.name);
    meta.labels = meta.labels.with(Symbol::new(LABEL_NAMESPACE_NAME), name);
    let finalizers = object.object("spec", |spec| spec.strs("finalizers").len());
    let (terminating, conditions) = status(object, |status| {
        let terminating =
            status.choice("phase", &[("Active", false), ("Terminating", true)]).unwrap_or(false);
        (terminating, conditions(status))
    });
    let finalized = object.cx.is_state() && terminating && finalizers.unwrap_or(0) == 0;
    Namespace { meta, terminating, finalized, conditions }
}

/// Reads a ServiceAccount.
pub(super) fn service_account(object: &Reader<'_>, meta: ObjectMeta) -> ServiceAccount {
    object.known(&["automountServiceAccountToken", "imagePullSecrets", "secrets"]);
    ServiceAccount { meta }
}

/// Reads a Lease.
pub(super) fn lease(object: &Reader<'_>, meta: ObjectMeta) -> Option<Lease> {
    let record = object.object_or_empty("spec", |spec| {
        spec.known(&["preferredHolder", "strategy"]);
        LeaseRecord {
            holder: spec.symbol("holderIdentity"),
            duration_seconds: spec.int32("leaseDurationSeconds", 1).unwrap_or(0),
            acquired: spec.time("acquireTime"),
            renewed: spec.time("renewTime"),
            transitions: spec.int32("leaseTransitions", 0).unwrap_or(0),
        }
    })?;
    Some(Lease { meta, record })
}

/// Keys and values, in the order of the keys, as the server prints them.
type Data = BTreeMap<CompactString, CompactString>;

/// Reads a ConfigMap.
pub(super) fn config_map(object: &Reader<'_>, meta: ObjectMeta) -> ConfigMap {
    let mut data = owned(object.pairs("data", |key, _| check_key(key)));
    let binary = owned(object.pairs("binaryData", check_binary));
    check_size(object, data.values().map(|text| text.len()).sum::<usize>() + decoded_bytes(&binary));
    for (key, value) in binary {
        if let Some((key, _)) = data.get_key_value(&key) {
            object.refuse("binaryData", format!("the key {key} is in data too"));
        }
        data.insert(key, value);
    }
    ConfigMap { meta, data: data.into_iter().collect(), immutable: object.bool("immutable") }
}

/// Reads a Secret; `stringData` is encoded and takes the place of `data` of the same key.
pub(super) fn secret(object: &Reader<'_>, meta: ObjectMeta) -> Secret {
    let mut data = owned(object.pairs("data", check_binary));
    for (key, text) in object.pairs("stringData", |key, _| check_key(key)) {
        data.insert(key.into(), base64::encode(text.as_bytes()).into());
    }
    check_size(object, decoded_bytes(&data));
    let kind = object.text("type");
    for key in required_keys(&kind).iter().filter(|key| !data.contains_key(**key)) {
        object.refuse("data", format!("a Secret of type {kind} needs the key {key}"));
    }
    Secret {
        meta,
        kind: if kind.is_empty() { "Opaque".into() } else { kind },
        data: data.into_iter().collect(),
        immutable: object.bool("immutable"),
    }
}

/// The keys without which a Secret of a type is of no use.
fn required_keys(kind: &str) -> &'static [&'static str] {
    match kind {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    }
}

fn owned(pairs: Vec<(&str, &str)>) -> Data {
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn check_key(key: &str) -> Result<(), String> {
    let valid = names::is_config_key(key);
    valid.then_some(()).ok_or_else(|| "a key of letters, digits, '-', '_' and '.'".to_owned())
}

fn check_binary(key: &str, text: &str) -> Result<(), String> {
    check_key(key)?;
    base64::decode(text).map(|_| ()).ok_or_else(|| "a value in base64".to_owned())
}

fn check_size(object: &Reader<'_>, bytes: usize) {
    if bytes > DATA_MAX_BYTES {
        object.refuse("data", "more than 1 MiB of data");
    }
}

/// How many bytes the values hold, which are in base64.
fn decoded_bytes(data: &Data) -> usize {
    data.values().map(|text| base64::decode(text).map_or(0, |bytes| bytes.len())).sum()
}

/// Reads a PriorityClass.
pub(super) fn priority_class(object: &Reader<'_>, meta: ObjectMeta) -> Option<PriorityClass> {
    object.known(&["description"]);
    if !object.has("value") {
        object.invalid("value", "a whole number");
    }
    let value = object.int32("value", i32::MIN).unwrap_or(0);
    if i64::from(value) > USER_PRIORITY_MAX && !meta.name.starts_with("system-") {
        object.invalid("value", format!("a whole number up to {USER_PRIORITY_MAX}"));
    }
    Some(PriorityClass {
        meta,
        value,
        global_default: object.bool("globalDefault"),
        preemption_policy: preemption_policy(object),
    })
}

/// Reads a PodDisruptionBudget.
pub(super) fn budget(object: &Reader<'_>, meta: ObjectMeta) -> Option<PodDisruptionBudget> {
    let status = status(object, |status| {
        // Evictions that were accepted in the last two minutes, by the pods' names.
        status.known(&["disruptedPods"]);
        PdbStatus {
            disruptions_allowed: status.count("disruptionsAllowed"),
            current_healthy: status.count("currentHealthy"),
            desired_healthy: status.count("desiredHealthy"),
            expected_pods: status.count("expectedPods"),
            disrupted_pods: Vec::new(),
            observed_generation: observed_generation(status),
            conditions: conditions(status),
        }
    });
    object.object_or_empty("spec", |spec| {
        let policies = [
            ("IfHealthyBudget", UnhealthyPodEvictionPolicy::IfHealthyBudget),
            ("AlwaysAllow", UnhealthyPodEvictionPolicy::AlwaysAllow),
        ];
        let min_available = int_or_percent(spec, "minAvailable", 100).map(Budget::MinAvailable);
        let max_unavailable = int_or_percent(spec, "maxUnavailable", 100).map(Budget::MaxUnavailable);
        if min_available.is_some() && max_unavailable.is_some() {
            spec.refuse("maxUnavailable", "a budget has either minAvailable or maxUnavailable");
        }
        PodDisruptionBudget {
            meta,
            budget: min_available.or(max_unavailable),
            selector: selector::optional(spec, "selector"),
            unhealthy_pod_eviction_policy: spec
                .choice("unhealthyPodEvictionPolicy", &policies)
                .unwrap_or_default(),
            status,
        }
    })
}
