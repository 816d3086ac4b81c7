//! Whether a node takes a pod that was bound to it (semantics.md 3.2; upstream
//! `lifecycle/predicate.go`).
//!
//! Model: the checks of operating system, sysctls, topology, devices and AppArmor are left out,
//! because nothing here has those properties.

use seatrial_api::node::Node;
use seatrial_api::pod::{HostPort, Pod};
use seatrial_api::resources::Resources;
use seatrial_api::scheduling::{TaintEffect, first_untolerated};
use seatrial_api::symbol::Symbol;

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
fn fits(pod: &Pod, node: &Node, used: Occupancy<'_>) -> bool {
    let (request, have) = (&pod.spec.derived.requests, &node.allocatable.amounts);
    let within = |requested: i64, used: i64, capacity: i64| {
        requested == 0 || requested <= capacity.saturating_sub(used)
    };
    used.pods < node.allocatable.pods
        && request.scalars.is_empty()
        && within(request.cpu.0, used.requests.cpu.0, have.cpu.0)
        && within(request.memory.0, used.requests.memory.0, have.memory.0)
        && within(request.ephemeral_storage.0, used.requests.ephemeral_storage.0, have.ephemeral_storage.0)
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

/// The first reason why `node` refuses `pod`, if there is one.
pub fn refusal<'a>(
    pod: &Pod,
    node: &Node,
    used: Occupancy<'_>,
    ports: impl Iterator<Item = &'a HostPort> + Clone,
) -> Option<Refusal> {
    if !fits(pod, node, used)
        && let Some(&shortage) = shortages(pod, node, used).first()
    {
        return Some(out_of(shortage));
    }
    other_refusal(pod, node, ports)
}

/// Whether two pods cannot have these ports on one node.
fn clash(a: &HostPort, b: &HostPort) -> bool {
    let everywhere = |port: &HostPort| port.ip == "0.0.0.0";
    a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || everywhere(a) || everywhere(b))
}
