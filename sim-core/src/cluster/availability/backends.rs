//! Among which endpoints the proxies of a Service choose, and how many of these are good: sums that
//! are kept up to date endpoint by endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::service::{Endpoint, EndpointSlice};
use seatrial_api::symbol::Symbol;
use smallvec::SmallVec;

use super::World;
use crate::cluster::machines::MachineState;

/// Where a machine or a pod is in the network: the partition that cut it off, or the mainland.
pub(super) type Side = Option<u32>;

/// The side of a machine that runs.
pub(super) fn side_of(machine: &MachineState) -> Option<Side> {
    (machine.powered && machine.present).then(|| machine.island.filter(|_| machine.cuts > 0))
}

/// How many endpoints there are, and how many of them serve on each side.
#[derive(Clone, Debug, Default)]
struct Tally {
    total: u32,
    good: BTreeMap<Side, u32>,
}

impl Tally {
    fn count(&mut self, home: Option<Side>, change: Change) {
        change.apply(&mut self.total);
        if let Some(side) = home {
            change.apply(self.good.entry(side).or_default());
        }
    }

    fn share(&self, side: Side) -> f64 {
        f64::from(self.good.get(&side).copied().unwrap_or(0)) / f64::from(self.total.max(1))
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    In,
    Out,
}

impl Change {
    fn apply(self, count: &mut u32) {
        match self {
            Change::In => *count += 1,
            Change::Out => *count -= 1,
        }
    }
}

/// The place of an endpoint: its slice and its position in it.
type Place = (u32, u32);

/// An endpoint with what is true of its pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) ready: bool,
    /// Whether it serves although it terminates: chosen where none is ready.
    pub(super) terminating: bool,
    pub(super) zone_hint: bool,
    pub(super) zone: Symbol,
    pub(super) node: Symbol,
    pub(super) pod: u32,
    /// The side on which it really serves.
    home: Option<Side>,
}

/// The endpoints that proxies know who know the same slices.
#[derive(Clone, Debug, Default)]
pub(super) struct Backends {
    members: BTreeMap<Place, Member>,
    by_pod: FxHashMap<u32, SmallVec<[Place; 1]>>,
    /// How many endpoints each slice has here.
    slices: FxHashMap<u32, u32>,
    ready: Tally,
    /// How many of the ready ones carry a hint for their own zone.
    hinted: u32,
    terminating: Tally,
    /// Ready ones by zone.
    zones: BTreeMap<Symbol, Tally>,
}

impl Backends {
    /// A slice has these endpoints now.
    pub(super) fn put(&mut self, slice: &Arc<EndpointSlice>, world: &World<'_>) {
        self.remove(slice.meta.id);
        for (index, endpoint) in slice.endpoints.iter().enumerate() {
            let place = (slice.meta.id, index as u32);
            let member = Member::new(endpoint, world);
            self.count(&member, Change::In);
            self.members.insert(place, member);
            self.by_pod.entry(endpoint.pod).or_default().push(place);
        }
        self.slices.insert(slice.meta.id, slice.endpoints.len() as u32);
    }

    /// A slice is gone.
    pub(super) fn remove(&mut self, slice: u32) {
        for index in 0..self.slices.remove(&slice).unwrap_or(0) {
            let place = (slice, index);
            let Some(member) = self.members.remove(&place) else { continue };
            self.count(&member, Change::Out);
            if let Some(places) = self.by_pod.get_mut(&member.pod) {
                places.retain(|other| *other != place);
                if places.is_empty() {
                    self.by_pod.remove(&member.pod);
                }
            }
        }
    }

    /// A pod began or ceased to serve.
    pub(super) fn pod_changed(&mut self, pod: u32, world: &World<'_>) {
        for place in self.by_pod.get(&pod).cloned().unwrap_or_default() {
            self.look_again(place, world);
        }
    }

    /// Machines changed: any pod may serve elsewhere, or no more.
    pub(super) fn machines_changed(&mut self, world: &World<'_>) {
        let places: Vec<Place> = self.members.keys().copied().collect();
        for place in places {
            self.look_again(place, world);
        }
    }

    fn look_again(&mut self, place: Place, world: &World<'_>) {
        let Some(&old) = self.members.get(&place) else { return };
        let home = home_of(old.pod, world);
        if home != old.home {
            let member = Member { home, ..old };
            self.count(&old, Change::Out);
            self.count(&member, Change::In);
            self.members.insert(place, member);
        }
    }

    fn count(&mut self, member: &Member, change: Change) {
        if member.ready {
            self.ready.count(member.home, change);
            self.zones.entry(member.zone).or_default().count(member.home, change);
            if member.zone_hint {
                change.apply(&mut self.hinted);
            }
        }
        if member.terminating {
            self.terminating.count(member.home, change);
        }
    }

    /// All of them.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The share of good ones for a proxy that chooses among all.
    pub(super) fn share(&self, side: Side) -> f64 {
        if self.ready.total > 0 { self.ready.share(side) } else { self.terminating.share(side) }
    }

    /// The share of good ones for a proxy in a zone, where hints count.
    pub(super) fn share_in_zone(&self, side: Side, zone: Symbol) -> f64 {
        let all_hinted = self.ready.total > 0 && self.hinted == self.ready.total;
        match self.zones.get(&zone).filter(|near| all_hinted && near.total > 0) {
            Some(near) => near.share(side),
            None => self.share(side),
        }
    }

    /// By how much proxies on nodes that have ready endpoints of their own do better with these than
    /// with those of their zone, summed up. `place_of_node` gives a node's side and zone.
    pub(super) fn gain_on_nodes(
        &self,
        side: Side,
        place_of_node: impl Fn(Symbol) -> Option<(Side, Symbol)>,
    ) -> f64 {
        let mut nodes: BTreeMap<Symbol, Tally> = BTreeMap::new();
        for member in self.members.values().filter(|member| member.ready) {
            nodes.entry(member.node).or_default().count(member.home, Change::In);
        }
        let gain = |(node, tally): (Symbol, Tally)| {
            let (_, zone) = place_of_node(node).filter(|place| place.0 == side)?;
            Some(tally.share(side) - self.share_in_zone(side, zone))
        };
        nodes.into_iter().filter_map(gain).sum()
    }

    /// The sum of the shares of proxies that choose on their own node alone, each with the side that
    /// `side_of_node` gives it; nodes without endpoints have none.
    pub(super) fn sum_on_nodes(&self, side: Side, side_of_node: impl Fn(Symbol) -> Option<Side>) -> f64 {
        let mut nodes: BTreeMap<Symbol, [Tally; 2]> = BTreeMap::new();
        for member in self.members.values() {
            let [ready, terminating] = nodes.entry(member.node).or_default();
            if member.ready {
                ready.count(member.home, Change::In);
            }
            if member.terminating {
                terminating.count(member.home, Change::In);
            }
        }
        let here = nodes.into_iter().filter(|(node, _)| side_of_node(*node) == Some(side));
        here.map(
            |(_, [ready, terminating])| {
                if ready.total > 0 { ready.share(side) } else { terminating.share(side) }
            },
        )
        .sum()
    }
}

impl Member {
    fn new(endpoint: &Endpoint, world: &World<'_>) -> Member {
        Member {
            ready: endpoint.ready,
            terminating: endpoint.serving && endpoint.terminating,
            zone_hint: endpoint.zone_hint,
            zone: endpoint.zone,
            node: endpoint.node,
            pod: endpoint.pod,
            home: home_of(endpoint.pod, world),
        }
    }
}

/// The side on which a pod really serves.
pub(super) fn home_of(pod: u32, world: &World<'_>) -> Option<Side> {
    let pod = world.runtimes.pod(pod).filter(|pod| pod.is_serving())?;
    let machine = world.machines.get(pod.machine?);
    machine.powered.then(|| machine.island.filter(|_| machine.cuts > 0))
}
