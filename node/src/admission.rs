//! Whether a node takes a pod that was bound to it (upstream
//! `lifecycle/predicate.go`).
//!
//! Model: all nodes run Linux and allow no sysctls but the safe ones; the checks of topology, devices
//! and AppArmor are left out, because nothing here has those properties.

use seatrial_api::node::{Node, NodeResources, TAINT_MEMORY_PRESSURE};
use seatrial_api::pod::{HostPort, Pod, QosClass};
use seatrial_api::resources::Resources;
use seatrial_api::scheduling::{Taint, TaintEffect, first_untolerated, tolerated};
use seatrial_api::symbol::Symbol;

use crate::preemption::is_critical;

/// What the active pods of a node use.
#[derive(Clone, Copy, Debug)]
pub struct Occupancy<'a> {
    /// Their requests.
    pub requests: &'a Resources,
    /// How many there are.
    pub pods: i64,
}

/// Why a node refuses a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `status.reason`, such as `OutOfcpu`.
    pub reason: &'static str,
    /// The message; the status prefixes it with `Pod was rejected: `.
    pub message: String,
}

impl Refusal {
    fn predicate(reason: &'static str, why: &str) -> Refusal {
        Refusal { reason, message: format!("Predicate {reason} failed: {why}") }
    }
}

/// A resource of which there is too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Its name; `pods`, `cpu`, `memory`, `ephemeral-storage` or an extended one.
    pub resource: Symbol,
    /// What the pod asks for.
    pub requested: i64,
    /// What is in use.
    pub used: i64,
    /// What there is.
    pub capacity: i64,
}

/// The resources that `pod` asks for beyond what `node` has left, in upstream's order. Extended
/// resources of which the node knows nothing are not asked for.
pub fn shortages(pod: &Pod, node: &Node, used: Occupancy<'_>) -> Vec<Shortage> {
    let (request, have) = (&pod.spec.derived.requests, &node.allocatable.amounts);
    let mut found = Vec::new();
    if used.pods + 1 > node.allocatable.pods {
        found.push(Shortage {
            resource: Symbol::new("pods"),
            requested: 1,
            used: used.pods,
            capacity: node.allocatable.pods,
        });
    }
    let amounts = [
        ("cpu", request.cpu.0, used.requests.cpu.0, have.cpu.0),
        ("memory", request.memory.0, used.requests.memory.0, have.memory.0),
        (
            "ephemeral-storage",
            request.ephemeral_storage.0,
            used.requests.ephemeral_storage.0,
            have.ephemeral_storage.0,
        ),
    ];
    for (name, requested, used, capacity) in amounts {
        if requested > 0 && requested > capacity.saturating_sub(used) {
            found.push(Shortage { resource: Symbol::new(name), requested, used, capacity });
        }
    }
    for (resource, requested) in request.scalars.iter() {
        let Some(capacity) = have.scalars.find(resource) else { continue };
        let used = used.requests.scalars.get(resource);
        if requested > 0 && requested > capacity.saturating_sub(used) {
            found.push(Shortage { resource, requested, used, capacity });
        }
    }
    found
}

/// Whether everything fits, without saying what does not; the common case.
pub(crate) fn fits(pod: &Pod, have: &NodeResources, used: Occupancy<'_>) -> bool {
    let (request, amounts) = (&pod.spec.derived.requests, &have.amounts);
    let within = |requested: i64, used: i64, capacity: i64| {
        requested == 0 || requested <= capacity.saturating_sub(used)
    };
    used.pods < have.pods
        && request.scalars.is_empty()
        && within(request.cpu.0, used.requests.cpu.0, amounts.cpu.0)
        && within(request.memory.0, used.requests.memory.0, amounts.memory.0)
        && within(request.ephemeral_storage.0, used.requests.ephemeral_storage.0, amounts.ephemeral_storage.0)
}

/// Whether a pod asks for nothing of its node but resources.
pub(crate) fn is_undemanding(pod: &Pod) -> bool {
    let spec = &pod.spec;
    spec.node_selector.is_empty()
        && spec.os.is_empty()
        && spec.sysctls.is_empty()
        && spec.affinity.is_none()
        && pod.target_node.is_none()
        && spec.derived.host_ports.is_empty()
}

/// The refusal for a shortage.
pub fn out_of(shortage: Shortage) -> Refusal {
    let Shortage { resource, requested, used, capacity } = shortage;
    let message = format!(
        "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    );
    Refusal { reason: Symbol::new(&format!("OutOf{resource}")).as_str(), message }
}

/// Judges a pod by everything but resources: node affinity, ports, taints, in this order.
pub fn other_refusal<'a>(
    pod: &Pod,
    node: &Node,
    ports: impl Iterator<Item = &'a HostPort> + Clone,
) -> Option<Refusal> {
    if !pod.node_constraint().matches(&node.meta.labels, node.name) {
        let why = "node(s) didn't match Pod's node affinity/selector";
        return Some(Refusal::predicate("NodeAffinity", why));
    }
    let wanted = &pod.spec.derived.host_ports;
    if !wanted.is_empty() && ports.into_iter().any(|used| wanted.iter().any(|port| clash(port, used))) {
        let why = "node(s) didn't have free ports for the requested pod ports";
        return Some(Refusal::predicate("NodePorts", why));
    }
    let taint = first_untolerated(&pod.spec.tolerations, node.taints(), &[TaintEffect::NoExecute]);
    taint.map(|_| Refusal::predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"))
}

/// Kernel settings that a pod may change without being allowed to.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// The operating system of all nodes.
const OS: &str = "linux";

/// Judges a pod by what it asks of the kernel: its settings, then the operating system.
fn setting_refusal(pod: &Pod) -> Option<Refusal> {
    let unsafe_one = pod.spec.sysctls.iter().find(|name| !SAFE_SYSCTLS.contains(&name.as_str()));
    if let Some(name) = unsafe_one {
        let message = format!("forbidden sysctl: \"{name}\" not allowlisted");
        return Some(Refusal { reason: "SysctlForbidden", message });
    }
    (!pod.spec.os.is_empty() && pod.spec.os != OS).then(|| Refusal {
        reason: "PodOSNotSupported",
        message: "Failed to admit pod as the OS field doesn't match node OS".to_owned(),
    })
}

/// The first reason why `node` refuses `pod`, if there is one.
pub fn refusal<'a>(
    pod: &Pod,
    node: &Node,
    used: Occupancy<'_>,
    ports: impl Iterator<Item = &'a HostPort> + Clone,
) -> Option<Refusal> {
    if let Some(refusal) = setting_refusal(pod) {
        return Some(refusal);
    }
    if !fits(pod, &node.allocatable, used)
        && let Some(&shortage) = shortages(pod, node, used).first()
    {
        return Some(out_of(shortage));
    }
    other_refusal(pod, node, ports)
}

/// Whether a node that is short of memory takes the pod: if it requests something, tolerates the
/// shortage, or is critical.
pub(crate) fn takes_pressure(pod: &Pod) -> bool {
    let taint =
        Taint { key: TAINT_MEMORY_PRESSURE.into(), value: Symbol::empty(), effect: TaintEffect::NoSchedule };
    pod.spec.derived.qos != QosClass::BestEffort
        || is_critical(pod)
        || tolerated(&pod.spec.tolerations, &taint)
}

/// Whether two pods cannot have these ports on one node.
fn clash(a: &HostPort, b: &HostPort) -> bool {
    let everywhere = |port: &HostPort| port.ip == "0.0.0.0";
    a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || everywhere(a) || everywhere(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use seatrial_api::container::{Container, ContainerPort, Protocol};
    use seatrial_api::labels::Labels;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::PodSpec;
    use seatrial_api::resources::Scalars;
    use seatrial_api::scheduling::{Toleration, TolerationOperator};
    use seatrial_api::units::{Bytes, MilliCpu};

    fn node() -> Node {
        let gpus = Scalars::new([(Symbol::new("example.com/gpu"), 1)].into_iter().collect());
        let amounts = Resources { scalars: gpus, ..Resources::of(MilliCpu(2_000), Bytes(1_000)) };
        let allocatable = Arc::new(NodeResources { amounts, pods: 3 });
        Node { name: "n".into(), allocatable, ..Node::default() }
    }

    fn pod(change: impl FnOnce(&mut PodSpec)) -> Pod {
        let mut spec = PodSpec::new(vec![Container::new("c", "app:1")]);
        change(&mut spec);
        Pod::new(ObjectMeta::named("default", "p"), Arc::new(spec.sealed()))
    }

    fn asks(cpu: i64, memory: i64, gpus: i64, toys: i64) -> Pod {
        pod(|spec| {
            let requests = &mut spec.containers[0].requests;
            requests.cpu = Some(MilliCpu(cpu));
            requests.memory = Some(Bytes(memory));
            let scalars = [("example.com/gpu", gpus), ("example.com/toy", toys)];
            let scalars = scalars.into_iter().filter(|amount| amount.1 > 0);
            requests.scalars = Scalars::new(scalars.map(|(name, count)| (name.into(), count)).collect());
        })
    }

    fn reason(pod: &Pod, node: &Node, used: (i64, i64, i64), ports: &[HostPort]) -> String {
        let requests = Resources::of(MilliCpu(used.0), Bytes(used.1));
        let used = Occupancy { requests: &requests, pods: used.2 };
        refusal(pod, node, used, ports.iter())
            .map_or(String::new(), |refusal| format!("{}: {}", refusal.reason, refusal.message))
    }

    #[test]
    fn the_first_short_resource_is_named() {
        let short = "Node didn't have enough resource:";
        for (pod, used, expected) in [
            (asks(2_000, 1_000, 1, 0), (0, 0, 0), String::new()),
            (asks(0, 0, 0, 0), (2_500, 2_000, 2), String::new()),
            (
                asks(700, 2_000, 0, 0),
                (1_500, 0, 1),
                format!("OutOfcpu: {short} cpu, requested: 700, used: 1500, capacity: 2000"),
            ),
            (
                asks(100, 2_000, 0, 0),
                (0, 5, 1),
                format!("OutOfmemory: {short} memory, requested: 2000, used: 5, capacity: 1000"),
            ),
            (
                asks(0, 0, 0, 0),
                (0, 0, 3),
                format!("OutOfpods: {short} pods, requested: 1, used: 3, capacity: 3"),
            ),
            (
                asks(0, 0, 2, 0),
                (0, 0, 0),
                format!("OutOfexample.com/gpu: {short} example.com/gpu, requested: 2, used: 0, capacity: 1"),
            ),
            (asks(0, 0, 0, 5), (0, 0, 0), String::new()),
        ] {
            assert_eq!(reason(&pod, &node(), used, &[]), expected);
        }
    }

    #[test]
    fn affinity_ports_and_taints_are_judged_in_this_order() {
        let port = |ip: &str, number| HostPort { ip: ip.into(), protocol: Protocol::Tcp, port: number };
        let picky = |spec: &mut PodSpec| spec.node_selector = Labels::of(&[("disk", "ssd")]);
        let with_port = |spec: &mut PodSpec| {
            spec.containers[0].ports = Box::new([ContainerPort {
                name: "".into(),
                container_port: 80,
                host_port: 8080,
                host_ip: "".into(),
                protocol: Protocol::Tcp,
            }]);
        };
        let mut tainted = node();
        let taint = |effect| Taint { key: "down".into(), value: "".into(), effect };
        tainted.taints = Some(Arc::new([taint(TaintEffect::NoExecute)]));
        let mut cordoned = node();
        cordoned.taints = Some(Arc::new([taint(TaintEffect::NoSchedule)]));
        let tolerant = |spec: &mut PodSpec| {
            spec.tolerations = Box::new([Toleration {
                key: "down".into(),
                operator: TolerationOperator::Exists,
                value: "".into(),
                effect: None,
                seconds: None,
            }]);
        };
        let affinity = "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node \
                        affinity/selector";
        let ports = "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested \
                     pod ports";
        let taints = "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod \
                      didn't tolerate";
        for (pod, node, used, expected) in [
            (pod(picky), &tainted, None, affinity),
            (pod(with_port), &tainted, Some(port("0.0.0.0", 8080)), ports),
            (pod(with_port), &node(), Some(port("10.0.0.1", 8080)), ports),
            (pod(with_port), &node(), Some(port("0.0.0.0", 8081)), ""),
            (pod(|_| {}), &tainted, None, taints),
            (pod(|_| {}), &cordoned, None, ""),
            (pod(tolerant), &tainted, None, ""),
        ] {
            assert_eq!(reason(&pod, node, (0, 0, 0), used.as_slice()), expected);
        }
    }
}
