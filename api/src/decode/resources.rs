//! Amounts of resources: requests, limits, what nodes have.

use super::names;
use super::reader::Reader;
use crate::node::NodeResources;
use crate::quantity::Quantity;
use crate::resources::{ResourceList, Resources, Scalars};
use crate::symbol::Symbol;
use smallvec::SmallVec;

/// Reads `resources`: requests and limits. A request that is absent is the limit.
pub(super) fn requirements(reader: &Reader<'_>, key: &'static str) -> Option<(ResourceList, ResourceList)> {
    reader.object(key, |resources| {
        // Dynamic resource allocation is not modelled; claims are part of the pod's own fields.
        resources.known(&["claims"]);
        let limits = list(resources, "limits");
        let requests = list(resources, "requests");
        check_against_limits(resources, &requests, &limits);
        (requests.or(&limits), limits)
    })
}

/// Reads a list of amounts by resource.
pub(super) fn list(reader: &Reader<'_>, key: &'static str) -> ResourceList {
    let mut list = ResourceList::default();
    let mut scalars = SmallVec::new();
    reader.object(key, |amounts| {
        for entry in amounts.entries() {
            let Some(quantity) = amounts.quantity_of(entry) else { continue };
            match entry.key.as_str() {
                "cpu" => list.cpu = Some(quantity.as_milli_cpu()),
                "memory" => list.memory = Some(quantity.as_bytes()),
                "ephemeral-storage" => list.ephemeral_storage = Some(quantity.as_bytes()),
                name => {
                    check_scalar(reader, key, name, quantity);
                    scalars.push((Symbol::new(name), quantity.ceil_units()));
                }
            }
        }
    });
    list.scalars = Scalars::new(scalars);
    list
}

/// Resources beside the standard ones have a domain and come in whole units.
fn check_scalar(reader: &Reader<'_>, key: &'static str, name: &str, quantity: Quantity) {
    let huge_pages = name.starts_with("hugepages-");
    let with_domain = name.contains('/') && names::is_qualified_key(name);
    if !huge_pages && !with_domain {
        reader.refuse(
            key,
            format!(
                "{name} is no resource: cpu, memory, ephemeral-storage, hugepages-<size> or a \
                                    name with a domain such as nvidia.com/gpu"
            ),
        );
    }
    if !quantity.is_whole() {
        reader.refuse(key, format!("{name} comes in whole units only, found {quantity}"));
    }
}

fn check_against_limits(resources: &Reader<'_>, requests: &ResourceList, limits: &ResourceList) {
    let check = |name: &str, request: Option<i64>, limit: Option<i64>| {
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            resources.refuse("requests", format!("the request of {name} exceeds its limit"));
        }
    };
    check("cpu", requests.cpu.map(|cpu| cpu.0), limits.cpu.map(|cpu| cpu.0));
    check("memory", requests.memory.map(|bytes| bytes.0), limits.memory.map(|bytes| bytes.0));
    let storage = |list: &ResourceList| list.ephemeral_storage.map(|bytes| bytes.0);
    check("ephemeral-storage", storage(requests), storage(limits));
    for (name, amount) in requests.scalars.iter() {
        // These cannot be given away twice, so request and limit are the same.
        if limits.scalars.find(name) != Some(amount) {
            resources.refuse("requests", format!("{name} needs a limit that equals its request"));
        }
    }
}

/// Reads a sum of amounts, absent ones as zero (a pod's overhead).
pub(super) fn amounts(reader: &Reader<'_>, key: &'static str) -> Resources {
    list(reader, key).amounts()
}

/// Reads what a node has.
pub(super) fn of_node(status: &Reader<'_>, key: &'static str) -> Option<NodeResources> {
    status.object(key, |amounts| {
        let mut resources = NodeResources::default();
        let mut scalars = SmallVec::new();
        for entry in amounts.entries() {
            let Some(quantity) = amounts.quantity_of(entry) else { continue };
            match entry.key.as_str() {
                "cpu" => resources.amounts.cpu = quantity.as_milli_cpu(),
                "memory" => resources.amounts.memory = quantity.as_bytes(),
                "ephemeral-storage" => resources.amounts.ephemeral_storage = quantity.as_bytes(),
                "pods" => resources.pods = quantity.ceil_units(),
                name => scalars.push((Symbol::new(name), quantity.ceil_units())),
            }
        }
        resources.amounts.scalars = Scalars::new(scalars);
        resources
    })
}
