//! Node claims: machines that were asked for, and what became of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::cloud::Offer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};

use super::options::NodePool;
use crate::view::{View, is_ready};

/// A machine that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The pool, by its place.
    pub(crate) pool: usize,
    /// The kinds that will do, the preferred one first.
    pub(crate) offers: Arc<[Offer]>,
    /// The kind that it is of, once the cloud has made it.
    pub(crate) launched: Option<usize>,
    pub(crate) created: SimTime,
    /// Since when its node has been able to run pods.
    pub(crate) initialized: Option<SimTime>,
    /// When a pod came to its node or left it last.
    pub(crate) pod_event: SimTime,
    /// Until when it is kept for pods that should come there.
    pub(crate) nominated_until: SimTime,
    /// Whether it is being disrupted or deleted.
    pub(crate) going: bool,
}

impl Claim {
    /// The kind that it is of, or most likely will be.
    pub(crate) fn offer(&self) -> Option<&Offer> {
        self.offers.get(self.launched.unwrap_or(0))
    }

    /// What it costs, in millionths of a dollar per hour.
    pub(crate) fn price(&self) -> u64 {
        self.offer().map_or(0, |offer| offer.micro_usd_per_hour)
    }
}

/// All claims by name, which is the name of the node as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    pub(crate) rows: BTreeMap<Symbol, Claim>,
    /// How many each pool has had.
    had: Vec<u32>,
}

impl Claims {
    pub(crate) fn new(pools: usize) -> Claims {
        Claims { rows: BTreeMap::new(), had: vec![0; pools] }
    }

    /// A new claim of a pool. Returns its name.
    pub(crate) fn add(
        &mut self,
        now: SimTime,
        (pool, name): (usize, Symbol),
        offers: Arc<[Offer]>,
    ) -> Symbol {
        let number = self.had[pool];
        self.had[pool] += 1;
        let name = Symbol::new(&format!("{name}-{number}"));
        let claim = Claim {
            pool,
            offers,
            launched: None,
            created: now,
            initialized: None,
            pod_event: now,
            nominated_until: now,
            going: false,
        };
        self.rows.insert(name, claim);
        name
    }

    /// What the limits of a pool leave.
    pub(crate) fn room(&self, pool: usize, config: &NodePool) -> PoolRoom {
        let mut room = PoolRoom {
            cpu: config.cpu_max.unwrap_or(MilliCpu(i64::MAX)),
            memory: config.memory_max.unwrap_or(Bytes(i64::MAX)),
            nodes: config.nodes_max.unwrap_or(u32::MAX),
        };
        for claim in self.rows.values().filter(|claim| claim.pool == pool) {
            if let Some(offer) = claim.offer() {
                room.take(offer);
            }
        }
        room
    }

    /// How many nodes of a pool may be disrupted now.
    pub(crate) fn disruptions_allowed(&self, pool: usize, config: &NodePool, view: &View) -> u32 {
        let of_pool = || self.rows.iter().filter(move |(_, claim)| claim.pool == pool);
        let initialized = of_pool().filter(|(_, claim)| claim.initialized.is_some()).count() as u32;
        let unready = |name: &Symbol| view.nodes.get(name).is_some_and(|node| !is_ready(node));
        let disrupted = of_pool()
            .filter(|(_, claim)| claim.initialized.is_some())
            .filter(|(name, claim)| claim.going || unready(name))
            .count() as u32;
        let allowed = config.budgets.iter().map(|budget| budget.of(initialized)).min();
        allowed.unwrap_or(u32::MAX).saturating_sub(disrupted)
    }
}

/// CPU and memory of a machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amounts {
    cpu: MilliCpu,
    memory: Bytes,
}

impl Amounts {
    fn of(offer: &Offer) -> Amounts {
        let amounts = &offer.template.capacity.amounts;
        Amounts { cpu: amounts.cpu, memory: amounts.memory }
    }

    /// The larger amount of each.
    pub(crate) fn largest(self, offer: &Offer) -> Amounts {
        let other = Amounts::of(offer);
        Amounts { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }
}

/// What the limits of a pool leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolRoom {
    cpu: MilliCpu,
    memory: Bytes,
    nodes: u32,
}

impl PoolRoom {
    /// Whether there is room for a machine of this kind.
    pub(crate) fn has(&self, offer: &Offer) -> bool {
        let amounts = Amounts::of(offer);
        self.nodes > 0 && amounts.cpu <= self.cpu && amounts.memory <= self.memory
    }

    /// A machine of this kind takes its part.
    pub(crate) fn take(&mut self, offer: &Offer) {
        self.take_amounts(Amounts::of(offer));
    }

    /// A machine with so much takes its part.
    pub(crate) fn take_amounts(&mut self, amounts: Amounts) {
        self.nodes = self.nodes.saturating_sub(1);
        if self.cpu.get() != i64::MAX {
            self.cpu -= amounts.cpu;
        }
        if self.memory.get() != i64::MAX {
            self.memory -= amounts.memory;
        }
    }
}
