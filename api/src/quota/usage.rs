//! What an object uses of which resources (upstream `pkg/quota/v1/evaluator`).

use super::amounts::{of_bytes, of_count};
use super::{Amounts, ResourceQuota};
use crate::object::{Kind, Object};
use crate::pod::{Pod, PodSpec};
use crate::resources::ResourceList;
use crate::service::{Service, ServiceType};
use crate::storage::PersistentVolumeClaim;
use crate::symbol::Symbol;
use crate::units::{SimTime, Span};

/// Between the name of a storage class and what is counted of it.
const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";
/// Resources of pods that quotas know by themselves.
const POD_RESOURCES: [&str; 11] = [
    "count/pods",
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// Resources of which each container must say how much it wants, once a quota limits them.
const REQUIRED_OF_CONTAINERS: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Whether a resource of a quota counts objects of this kind.
pub fn tracks(kind: Kind, resource: Symbol) -> bool {
    let name = resource.as_str();
    match kind {
        Kind::Pod => {
            POD_RESOURCES.contains(&name)
                || name.starts_with("hugepages-")
                || name.strip_prefix("requests.").is_some_and(is_pod_request)
        }
        Kind::Service => {
            ["count/services", "services", "services.nodeports", "services.loadbalancers"].contains(&name)
        }
        Kind::PersistentVolumeClaim => {
            ["count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"].contains(&name)
                || name.split_once(CLASS_SUFFIX).is_some_and(|(class, counted)| {
                    !class.is_empty() && ["requests.storage", "persistentvolumeclaims"].contains(&counted)
                })
        }
        Kind::Untyped => name.starts_with("count/"),
        _ => name.strip_prefix("count/") == Some(&*kind.qualified_plural()) || alias(kind) == Some(name),
    }
}

/// Whether what follows `requests.` is a resource of pods beside the standard ones.
fn is_pod_request(name: &str) -> bool {
    name.starts_with("hugepages-") || (name.contains('/') && !name.contains("kubernetes.io/"))
}

/// The old name under which objects of a kind are counted.
fn alias(kind: Kind) -> Option<&'static str> {
    let counted = [Kind::ConfigMap, Kind::Secret, Kind::ResourceQuota, Kind::ReplicationController];
    counted.contains(&kind).then(|| kind.plural())
}

/// Whether any resource of a quota could count objects of this kind.
pub fn may_be_charged(kind: Kind, hard: &Amounts) -> bool {
    hard.names().any(|resource| tracks(kind, resource))
}

/// Whether an object is one of those that a quota with these limits counts.
pub fn is_charged(object: &Object, quota: &ResourceQuota, hard: &Amounts) -> bool {
    let in_scope = quota.scopes.iter().all(|scope| match object {
        Object::Pod(pod) => scope.matches_pod(pod),
        Object::PersistentVolumeClaim(claim) => scope.matches_claim(claim.spec.attributes_class),
        _ => false,
    });
    in_scope && may_be_charged(object.kind(), hard)
}

/// Whether a pod uses what it requests: not once it has ended, nor when it is overdue by its grace
/// after its deletion should have been over.
pub fn counts(pod: &Pod, now: SimTime) -> bool {
    let overdue = pod
        .meta
        .deletion()
        .is_some_and(|deletion| now > deletion.at + Span::from_secs(i64::from(deletion.grace_seconds)));
    !pod.status.phase.is_terminal() && !overdue
}

/// What an object uses.
pub fn usage(object: &Object, now: SimTime) -> Amounts {
    match object {
        Object::Pod(pod) => of_pod(pod, now),
        Object::Service(service) => of_service(service),
        Object::PersistentVolumeClaim(claim) => of_claim(claim),
        Object::Untyped(untyped) => {
            let group = untyped.api_version.as_str().split_once('/').map_or("", |(group, _)| group);
            let plural = crate::object::guess_plural(untyped.kind.as_str());
            Amounts::new([(count_name(&plural, group), of_count(1))])
        }
        _ => {
            let kind = object.kind();
            let aliased = alias(kind).map(|name| (Symbol::new(name), of_count(1)));
            Amounts::new([(count_name(kind.plural(), kind.group()), of_count(1))].into_iter().chain(aliased))
        }
    }
}

fn count_name(plural: &str, group: &str) -> Symbol {
    match group {
        "" => Symbol::new(&format!("count/{plural}")),
        group => Symbol::new(&format!("count/{plural}.{group}")),
    }
}

fn of_pod(pod: &Pod, now: SimTime) -> Amounts {
    let one = of_count(1);
    let mut used = Amounts::new([("count/pods".into(), one)]);
    if !counts(pod, now) {
        return used;
    }
    used.set("pods".into(), one);
    for (name, amount) in Amounts::of_resources(&pod.spec.derived.requests).iter() {
        let standard = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str());
        if standard || name.as_str().starts_with("hugepages-") {
            used.set(name, amount);
        }
        used.set(Symbol::new(&format!("requests.{name}")), amount);
    }
    for (name, amount) in Amounts::of_resources(&crate::requests::limits(&pod.spec)).iter() {
        if ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) {
            used.set(Symbol::new(&format!("limits.{name}")), amount);
        }
    }
    used
}

fn of_service(service: &Service) -> Amounts {
    let ports = service.ports.len() as i64;
    let balanced = service.kind == ServiceType::LoadBalancer;
    let node_ports = match service.kind {
        ServiceType::NodePort => ports,
        ServiceType::LoadBalancer if service.allocate_node_ports => ports,
        ServiceType::LoadBalancer => service.ports.iter().filter(|port| port.node_port != 0).count() as i64,
        ServiceType::ClusterIp | ServiceType::ExternalName => 0,
    };
    Amounts::new([
        ("count/services".into(), of_count(1)),
        ("services".into(), of_count(1)),
        ("services.nodeports".into(), of_count(node_ports)),
        ("services.loadbalancers".into(), of_count(i64::from(balanced))),
    ])
}

fn of_claim(claim: &PersistentVolumeClaim) -> Amounts {
    let (one, storage) = (of_count(1), of_bytes(claim.spec.request));
    let mut used = Amounts::new([
        ("count/persistentvolumeclaims".into(), one),
        ("persistentvolumeclaims".into(), one),
        ("requests.storage".into(), storage),
    ]);
    if let Some(class) = claim.spec.storage_class.filter(|class| !class.is_empty()) {
        used.set(Symbol::new(&format!("{class}{CLASS_SUFFIX}persistentvolumeclaims")), one);
        used.set(Symbol::new(&format!("{class}{CLASS_SUFFIX}requests.storage")), storage);
    }
    used
}

/// What containers of a pod leave unsaid although a quota with these limits wants to know it, as a
/// refusal says it; `None` if nothing is missing.
pub fn missing_amounts(spec: &PodSpec, hard: &Amounts) -> Option<String> {
    if spec.pod_requests.is_some() || spec.pod_limits.is_some() {
        return None;
    }
    let mut missing = Vec::new();
    for name in hard.names().filter(|name| REQUIRED_OF_CONTAINERS.contains(&name.as_str())) {
        let silent =
            spec.all_containers().filter(|container| !is_said(name, &container.requests, &container.limits));
        let mut containers: Vec<&str> = silent.map(|container| container.name.as_str()).collect();
        containers.sort_unstable();
        containers.dedup();
        if !containers.is_empty() {
            missing.push(format!("{name} for: {}", containers.join(",")));
        }
    }
    (!missing.is_empty()).then(|| format!("must specify {}", missing.join("; ")))
}

fn is_said(name: Symbol, requests: &ResourceList, limits: &ResourceList) -> bool {
    match name.as_str() {
        "cpu" | "requests.cpu" => requests.cpu.is_some(),
        "memory" | "requests.memory" => requests.memory.is_some(),
        "limits.cpu" => limits.cpu.is_some(),
        _ => limits.memory.is_some(),
    }
}
