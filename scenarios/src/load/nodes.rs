//! Pools of machines, spelled out machine by machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use seatrial_api::cloud::{CapacityType, Offer};
use seatrial_api::labels::Labels;
use seatrial_api::node::{
    LABEL_HOSTNAME, LABEL_INSTANCE_TYPE, LABEL_REGION, LABEL_ZONE, Node, NodeResources,
};
use seatrial_api::resources::{Resources, Scalars};
use seatrial_api::scheduling::Taint;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu};
use seatrial_sim_core::cluster::config::NodeSpec;

use super::check::{Checker, Referent};
use crate::file::ScenarioFile;
use crate::file::autoscaler::{AutoscalerField, NodePoolField};
use crate::file::nodes::{Amounts, Pool, TaintField};
use crate::machines::{MACHINE_TYPES, MachineType, PODS_DEFAULT, STORAGE_DEFAULT, system_reserve};
use crate::schema::{Name, Placed, Share, Text, one_of};

/// Label key of a node's pool.
pub(crate) const LABEL_POOL: &str = "seatrial/pool";
/// Label key of a node's rack.
pub(crate) const LABEL_RACK: &str = "seatrial/rack";
/// Label key of the node pool of a provisioner.
const LABEL_NODE_POOL: &str = "karpenter.sh/nodepool";
/// Label key of how a node is paid for.
pub(crate) const LABEL_CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// Label keys that every node has.
const LABEL_OS: &str = "kubernetes.io/os";
const LABEL_ARCH: &str = "kubernetes.io/arch";

/// Machines that a scenario can have at once.
pub(crate) const NODES_MAX: u32 = 100_000;

/// Equal machines, and where they stand.
#[derive(Clone, Debug)]
pub(super) struct PoolPlan {
    pub(super) name: Symbol,
    pub(super) labels: Vec<(Symbol, Symbol)>,
    pub(super) taints: Vec<Taint>,
    pub(super) capacity: Arc<NodeResources>,
    pub(super) allocatable: Arc<NodeResources>,
    pub(super) zones: Vec<Symbol>,
    /// How many racks there are in each zone; 0 for none.
    pub(super) racks: u32,
    pub(super) micro_usd_per_hour: u64,
    pub(super) images: Arc<[Symbol]>,
    /// How many machines it has had.
    pub(super) count: u32,
}

impl PoolPlan {
    /// A pool of plain machines without a zone.
    pub(super) fn plain(name: &str, capacity: NodeResources, micro_usd_per_hour: u64) -> PoolPlan {
        let allocatable = without(&capacity, &system_reserve(&capacity));
        PoolPlan {
            name: Symbol::new(name),
            labels: vec![(Symbol::new(LABEL_ARCH), Symbol::new("amd64"))],
            taints: Vec::new(),
            capacity: Arc::new(capacity),
            allocatable: Arc::new(allocatable),
            zones: Vec::new(),
            racks: 0,
            micro_usd_per_hour,
            images: Arc::default(),
            count: 0,
        }
    }

    /// The next `count` machines.
    pub(super) fn take(&mut self, count: u32) -> Vec<NodeSpec> {
        let first = self.count;
        self.count = self.count.saturating_add(count);
        (first..self.count).map(|index| self.machine(index)).collect()
    }

    fn machine(&self, index: u32) -> NodeSpec {
        let zones = self.zones.len().max(1) as u32;
        let zone = self.zones.get((index % zones) as usize).copied();
        let rack = self.rack(zone, index / zones);
        let name = Symbol::new(&format!("{}-{index}", self.name));
        let mut labels = self.labels.clone();
        labels.push((Symbol::new(LABEL_HOSTNAME), name));
        labels.push((Symbol::new(LABEL_OS), Symbol::new("linux")));
        labels.push((Symbol::new(LABEL_POOL), self.name));
        labels.extend(zone.map(|zone| (Symbol::new(LABEL_ZONE), zone)));
        labels.extend(rack.map(|rack| (Symbol::new(LABEL_RACK), rack)));
        NodeSpec {
            name,
            pool: self.name,
            labels: Labels::new(labels),
            taints: self.taints.clone(),
            capacity: self.capacity.clone(),
            allocatable: self.allocatable.clone(),
            rack: rack.unwrap_or_default(),
            micro_usd_per_hour: self.micro_usd_per_hour,
            images: self.images.clone(),
        }
    }

    /// The kinds of machines that join while it runs, one for each zone, in turn. In which rack they will
    /// stand is not known.
    pub(super) fn kinds(&self) -> Vec<NodeSpec> {
        let plan = PoolPlan { racks: 0, ..self.clone() };
        (0..plan.zones.len().max(1) as u32).map(|index| plan.machine(index)).collect()
    }

    /// The rack of the machine that is the `nth` of its zone.
    fn rack(&self, zone: Option<Symbol>, nth: u32) -> Option<Symbol> {
        let number = nth.checked_rem(self.racks)? + 1;
        let zone = zone.map_or("rack", Symbol::as_str);
        Some(Symbol::new(&format!("{zone}-{number}")))
    }
}

/// The machines of a scenario, and the names by which it may speak of them.
#[derive(Default)]
pub(super) struct Machines {
    pub(super) pools: Vec<PoolPlan>,
    pub(super) nodes: Vec<NodeSpec>,
    /// Names of nodes, those that join later included.
    names: BTreeSet<&'static str>,
    zones: BTreeSet<&'static str>,
    racks: BTreeSet<&'static str>,
}

impl Machines {
    /// Adds a pool with `count` machines at the start.
    pub(super) fn add_pool(&mut self, mut pool: PoolPlan, count: u32) {
        let nodes = pool.take(count);
        self.know(&nodes);
        self.zones.extend(pool.zones.iter().map(|zone| zone.as_str()));
        self.nodes.extend(nodes);
        self.pools.push(pool);
    }

    /// Takes `count` more machines of the pool at `index`.
    pub(super) fn join(&mut self, index: usize, count: u32) -> Vec<NodeSpec> {
        let nodes = self.pools[index].take(count);
        self.know(&nodes);
        nodes
    }

    /// Remembers a node of a dump, whose machine comes with the dump.
    pub(super) fn know_node(&mut self, node: &Node) {
        self.know(&[spec_of(node)]);
    }

    /// Adds a machine for a node that a manifest describes.
    pub(super) fn add_node(&mut self, node: &Node) {
        let spec = spec_of(node);
        self.know(std::slice::from_ref(&spec));
        self.nodes.push(spec);
    }

    /// Whether there is no machine.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn know(&mut self, nodes: &[NodeSpec]) {
        for node in nodes {
            self.names.insert(node.name.as_str());
            self.zones.extend(node.labels.get(Symbol::new(LABEL_ZONE)).map(Symbol::as_str));
            if !node.rack.is_empty() {
                self.racks.insert(node.rack.as_str());
            }
        }
    }

    /// How many machines there are or will be.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }

    /// The node of this name; an error if there is none.
    pub(super) fn node(&self, name: &Placed<Text>, checker: &mut Checker<'_>) -> Option<Symbol> {
        known(&self.names, "node", name, &name.value.0, checker)
    }

    /// The pool of this name and its index; an error if there is none.
    pub(super) fn pool(&self, name: &Placed<Text>, checker: &mut Checker<'_>) -> Option<(usize, Symbol)> {
        let names = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        let found = known(&names, "pool of nodes", name, &name.value.0, checker)?;
        let index = self.pools.iter().position(|pool| pool.name == found)?;
        Some((index, found))
    }

    /// The zone that a node is in; an error at `place` if there is none.
    pub(super) fn zone<T>(&self, place: &Placed<T>, name: &str, checker: &mut Checker<'_>) -> Option<Symbol> {
        known(&self.zones, "zone", place, name, checker)
    }

    /// The rack that a node is in; an error at `place` if there is none.
    pub(super) fn rack<T>(&self, place: &Placed<T>, name: &str, checker: &mut Checker<'_>) -> Option<Symbol> {
        known(&self.racks, "rack", place, name, checker)
    }
}

fn known<T>(
    names: &BTreeSet<&'static str>,
    what: &str,
    place: &Placed<T>,
    name: &str,
    checker: &mut Checker<'_>,
) -> Option<Symbol> {
    if names.contains(name) {
        return Some(Symbol::new(name));
    }
    checker.missing(place, (Referent::Machines, what), name, names.iter().copied());
    None
}

/// The machine that a node describes.
fn spec_of(node: &Node) -> NodeSpec {
    let label = |key: &str| node.meta.labels.get(Symbol::new(key)).unwrap_or_default();
    NodeSpec {
        name: node.name,
        pool: label(LABEL_POOL),
        labels: node.meta.labels.clone(),
        taints: node.taints().to_vec(),
        capacity: node.capacity.clone(),
        allocatable: node.allocatable.clone(),
        rack: label(LABEL_RACK),
        micro_usd_per_hour: price_of_type(label(LABEL_INSTANCE_TYPE)),
        images: node.images().iter().flat_map(|image| image.names.iter().copied()).collect(),
    }
}

/// The pools of a scenario file.
pub(super) fn plan_pools(pools: &[Pool], machines: &mut Machines, checker: &mut Checker<'_>) {
    for (index, pool) in pools.iter().enumerate() {
        if pools[..index].iter().any(|other| other.name.value == pool.name.value) {
            let name = pool.name.value.0;
            checker.error(&pool.name, |error| error.message(format!("there is another pool named {name}")));
            continue;
        }
        if machines.len().saturating_add(pool.count) > NODES_MAX {
            checker.error(&pool.name, |error| {
                error.expected(format!("at most {NODES_MAX} machines in all"), pool.count.to_string())
            });
            continue;
        }
        if let Some(plan) = plan_pool(pool, checker) {
            machines.add_pool(plan, pool.count);
        }
    }
}

fn plan_pool(pool: &Pool, checker: &mut Checker<'_>) -> Option<PoolPlan> {
    let machine = match &pool.machine_type {
        Some(name) => Some(machine_type(name, checker)?),
        None => None,
    };
    let capacity = match (&machine, &pool.capacity) {
        (Some(machine), _) => machine.capacity(),
        (None, Some(capacity)) => capacity_of(capacity, checker)?,
        (None, None) => return None,
    };
    let allocatable = allocatable(pool, &capacity, checker)?;
    let mut plan = PoolPlan::plain(pool.name.value.0.as_str(), capacity, price(pool, machine, checker));
    plan.allocatable = Arc::new(allocatable);
    if let Some(machine) = machine {
        plan.labels = vec![
            (Symbol::new(LABEL_ARCH), Symbol::new(machine.arch)),
            (Symbol::new(LABEL_INSTANCE_TYPE), Symbol::new(machine.name)),
        ];
    }
    plan.labels.extend(pool.region.map(|Name(region)| (Symbol::new(LABEL_REGION), region)));
    plan.labels.extend(pool.capacity_type.map(|word| {
        let paid = super::autoscaler::capacity_type(word);
        (Symbol::new(LABEL_CAPACITY_TYPE), Symbol::new(paid.as_str()))
    }));
    plan.labels.extend(pool.labels.0.iter().copied());
    plan.taints = pool.taints.iter().map(taint).collect();
    plan.zones = pool.zones.iter().map(|zone| zone.value.0).collect();
    plan.racks = pool.racks.unwrap_or(0);
    plan.images = pool.images.iter().map(|Text(image)| Symbol::new(image)).collect();
    Some(plan)
}

/// The machines from which a provisioner chooses in a node pool.
pub(super) struct NodePoolPlan {
    pub(super) name: Symbol,
    pub(super) offers: Vec<Offer>,
}

/// The node pools of a scenario whose autoscaler has some. They have no machines at the start.
pub(super) fn plan_node_pools(
    scenario: &ScenarioFile,
    machines: &mut Machines,
    checker: &mut Checker<'_>,
) -> Vec<NodePoolPlan> {
    let Some(AutoscalerField::Karpenter(karpenter)) =
        scenario.autoscaler.as_ref().map(|placed| &placed.value)
    else {
        return Vec::new();
    };
    let mut plans: Vec<NodePoolPlan> = Vec::new();
    for field in &karpenter.node_pools {
        let name = field.name.value.0;
        if machines.pools.iter().any(|pool| pool.name == name) {
            checker.error(&field.name, |error| error.message(format!("there is another pool named {name}")));
        }
        let offers = node_pool_offers(field, checker);
        let mut known = PoolPlan::plain(name.as_str(), NodeResources::default(), 0);
        known.zones = field.zones.iter().map(|zone| zone.value.0).collect();
        machines.add_pool(known, 0);
        plans.push(NodePoolPlan { name, offers });
    }
    plans
}

/// Each type of machine in each zone, in each way to pay.
fn node_pool_offers(field: &NodePoolField, checker: &mut Checker<'_>) -> Vec<Offer> {
    let mut kinds: Vec<PoolPlan> = Vec::new();
    for name in &field.machine_types {
        let Some(machine) = machine_type(name, checker) else { continue };
        let mut plan =
            PoolPlan::plain(field.name.value.0.as_str(), machine.capacity(), machine.micro_usd_per_hour);
        plan.labels = vec![
            (Symbol::new(LABEL_ARCH), Symbol::new(machine.arch)),
            (Symbol::new(LABEL_INSTANCE_TYPE), Symbol::new(machine.name)),
        ];
        kinds.push(plan);
    }
    for kind in &field.instance_types {
        let price = dollars(&kind.price_per_hour, checker);
        let Some(capacity) = capacity_of(&kind.capacity, checker) else { continue };
        let mut plan = PoolPlan::plain(field.name.value.0.as_str(), capacity, price);
        plan.labels.push((Symbol::new(LABEL_INSTANCE_TYPE), kind.name.value.0));
        kinds.push(plan);
    }
    let paid = match field.capacity_types[..] {
        [] => vec![CapacityType::OnDemand],
        ref words => words.iter().map(|&word| super::autoscaler::capacity_type(word)).collect(),
    };
    let mut offers = Vec::new();
    for mut plan in kinds {
        plan.zones = field.zones.iter().map(|zone| zone.value.0).collect();
        plan.taints = field.taints.iter().map(taint).collect();
        plan.labels.push((Symbol::new(LABEL_NODE_POOL), plan.name));
        plan.labels.extend(field.labels.0.iter().copied());
        for &capacity_type in &paid {
            let mut plan = plan.clone();
            let label = (Symbol::new(LABEL_CAPACITY_TYPE), Symbol::new(capacity_type.as_str()));
            plan.labels.push(label);
            if capacity_type == CapacityType::Spot {
                let Share(share) = field.spot_price;
                let price =
                    i128::from(plan.micro_usd_per_hour) * i128::from(share.num) / i128::from(share.den);
                plan.micro_usd_per_hour = u64::try_from(price).unwrap_or(0);
            }
            offers.extend(plan.kinds().iter().map(|spec| spec.offer(capacity_type)));
        }
    }
    offers
}

fn machine_type(name: &Placed<Text>, checker: &mut Checker<'_>) -> Option<&'static MachineType> {
    let known = MACHINE_TYPES.iter().find(|machine| machine.name == name.value.0);
    if known.is_none() {
        let names = MACHINE_TYPES.map(|machine| machine.name);
        let near = crate::schema::nearest(&name.value.0, names);
        checker.error(name, |error| {
            let error = error.expected(one_of(&names), format!("\"{}\"", name.value.0));
            error.hint(match near {
                Some(near) => format!("did you mean {near}?"),
                None => "give other machines by capacity and pricePerHour".to_owned(),
            })
        });
    }
    known
}

/// The price of a machine type in millionths of a dollar per hour; 0 for unknown ones.
fn price_of_type(name: Symbol) -> u64 {
    MACHINE_TYPES.iter().find(|machine| name == machine.name).map_or(0, |machine| machine.micro_usd_per_hour)
}

/// The highest price of a machine, in dollars per hour.
const PRICE_MAX: f64 = 1e6;

fn price(pool: &Pool, machine: Option<&MachineType>, checker: &mut Checker<'_>) -> u64 {
    match &pool.price_per_hour {
        Some(price) => dollars(price, checker),
        None => machine.map_or(0, |machine| machine.micro_usd_per_hour),
    }
}

/// A price in millionths of a dollar.
fn dollars(price: &Placed<f64>, checker: &mut Checker<'_>) -> u64 {
    if !(0.0..=PRICE_MAX).contains(&price.value) {
        let found = price.value.to_string();
        checker.error(price, |error| error.expected("a price from 0 to a million dollars per hour", found));
        return 0;
    }
    (price.value * 1e6).round() as u64
}

fn capacity_of(amounts: &Placed<Amounts>, checker: &mut Checker<'_>) -> Option<NodeResources> {
    let given = &amounts.value;
    let zero = |missing: bool, name: &'static str| missing.then_some(name);
    let needed = [
        zero(given.cpu.is_none_or(|cpu| cpu == MilliCpu::ZERO), "cpu"),
        zero(given.memory.is_none_or(|memory| memory == Bytes::ZERO), "memory"),
    ];
    for name in needed.into_iter().flatten() {
        checker.error(amounts, |error| error.message(format!("a machine needs some {name}")));
    }
    let scalars = given.others.iter().copied().collect();
    let resources = Resources {
        cpu: given.cpu.filter(|&cpu| cpu > MilliCpu::ZERO)?,
        memory: given.memory.filter(|&memory| memory > Bytes::ZERO)?,
        ephemeral_storage: given.ephemeral_storage.unwrap_or(STORAGE_DEFAULT),
        scalars: Scalars::new(scalars),
    };
    Some(NodeResources { amounts: resources, pods: i64::from(given.pods.unwrap_or(PODS_DEFAULT)) })
}

/// What is left for pods.
fn allocatable(pool: &Pool, capacity: &NodeResources, checker: &mut Checker<'_>) -> Option<NodeResources> {
    let mut reserve = system_reserve(capacity);
    let mut pods = 0;
    if let Some(given) = &pool.system_reserved {
        reserve.cpu = given.cpu.unwrap_or(reserve.cpu);
        reserve.memory = given.memory.unwrap_or(reserve.memory);
        reserve.ephemeral_storage = given.ephemeral_storage.unwrap_or(reserve.ephemeral_storage);
        reserve.scalars = Scalars::new(given.others.iter().copied().collect());
        pods = i64::from(given.pods.unwrap_or(0));
    }
    let mut left = without(capacity, &reserve);
    left.pods -= pods;
    let amounts = [
        ("cpu", left.amounts.cpu.get()),
        ("memory", left.amounts.memory.get()),
        ("ephemeral-storage", left.amounts.ephemeral_storage.get()),
        ("pods", left.pods),
    ];
    let others = left.amounts.scalars.iter().map(|(name, amount)| (name.as_str(), amount));
    let short: Vec<&str> =
        amounts.into_iter().chain(others).filter(|&(_, amount)| amount < 0).map(|(name, _)| name).collect();
    if !short.is_empty() {
        checker.error(&pool.name, |error| {
            error
                .message(format!("the machines keep more {} than they have", short.join(" and ")))
                .hint("give them more, or say in systemReserved what they keep")
        });
        return None;
    }
    Some(left)
}

fn without(capacity: &NodeResources, reserve: &Resources) -> NodeResources {
    let mut left = capacity.clone();
    left.amounts.subtract(reserve);
    left
}

fn taint(taint: &TaintField) -> Taint {
    let value = taint.value.as_ref().map_or(Symbol::empty(), |Text(value)| Symbol::new(value));
    Taint { key: Symbol::new(&taint.key.0), value, effect: taint.effect.effect() }
}
