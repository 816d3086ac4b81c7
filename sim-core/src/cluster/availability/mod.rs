//! Availability of Services (docs/results.md): at an instant and seen from one live
//! node, the share of the backends among which kube-proxy there would choose whose containers
//! really run, are ready and can be reached; averaged over live nodes and over the time in which
//! the Service should have a backend.
//!
//! What changes is followed where it happens: a pod costs its own endpoints, whatever the number of
//! machines and of other endpoints.

mod backends;
mod recount;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::object::Object;
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::service::{Service, TrafficDistribution, TrafficPolicy};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use self::backends::{Backends, Side, side_of};
use super::machines::Machines;
use super::recorder::object_symbol;
use super::runtime::Runtimes;

/// One Service under observation.
#[derive(Clone, Debug)]
struct Observed {
    service: Arc<Service>,
    object: Symbol,
    /// The endpoints that the proxies of reachable nodes know.
    backends: Backends,
    /// The same as the machines of each partition knew them when they were cut off.
    islands: BTreeMap<u32, Backends>,
    /// Active pods that the Service selects, and workloads that want some.
    wanted_pods: i64,
    wanted_workloads: BTreeSet<(u8, u32)>,
    /// The share now, in [0, 1].
    share: f64,
    since: SimTime,
    /// Integrals over the wanted time, in nanoseconds.
    available_nanos: f64,
    wanted_nanos: i64,
    down_nanos: i64,
    gone: bool,
}

/// Availability of all Services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Availability {
    services: Vec<Observed>,
    by_id: BTreeMap<u32, usize>,
    /// Positions by namespace.
    by_namespace: BTreeMap<Symbol, Vec<usize>>,
    /// Positions by pod that is an endpoint somewhere.
    by_pod: BTreeMap<u32, Vec<usize>>,
    population: Population,
}

/// How many machines run, by the partition that they are in and by zone.
#[derive(Clone, Debug, Default)]
struct Population {
    live: u32,
    sides: BTreeMap<Side, u32>,
    zones: BTreeMap<(Side, Symbol), u32>,
}

impl Population {
    fn of(machines: &Machines) -> Population {
        let mut population = Population::default();
        for (_, machine) in machines.iter() {
            if let Some(side) = side_of(machine) {
                population.live += 1;
                *population.sides.entry(side).or_default() += 1;
                *population.zones.entry((side, machine.zone)).or_default() += 1;
            }
        }
        population
    }
}

/// What is known about a run when a share is computed.
pub(crate) struct World<'a> {
    pub(crate) machines: &'a Machines,
    pub(crate) runtimes: &'a Runtimes,
}

/// A new value of a Service's availability.
pub(crate) struct Sample {
    pub(crate) object: Symbol,
    pub(crate) percent: f64,
}

impl Availability {
    /// Whether no Service is observed, so that nothing needs to be computed.
    pub(crate) fn is_idle(&self) -> bool {
        self.services.is_empty()
    }

    /// A Service was written.
    pub(crate) fn service(&mut self, now: SimTime, change: Change, service: &Arc<Service>, wanted_pods: i64) {
        let id = service.meta.id;
        match (change, self.by_id.get(&id)) {
            (Change::Deleted, Some(&position)) => {
                let observed = &mut self.services[position];
                observed.advance(now);
                observed.gone = true;
            }
            (_, Some(&position)) => {
                let observed = &mut self.services[position];
                observed.advance(now);
                observed.service = service.clone();
                observed.wanted_pods = wanted_pods;
            }
            (_, None) => {
                let position = self.services.len();
                self.by_id.insert(id, position);
                self.by_namespace.entry(service.meta.namespace).or_default().push(position);
                self.services.push(Observed::new(now, service, wanted_pods));
            }
        }
    }

    /// An active pod with these labels came (`1`) or went (`-1`).
    pub(crate) fn count_pod(&mut self, now: SimTime, namespace: Symbol, labels: &Labels, sign: i64) {
        for &position in self.by_namespace.get(&namespace).map_or(&[][..], Vec::as_slice) {
            let observed = &mut self.services[position];
            if observed.selects(labels) {
                observed.advance(now);
                observed.wanted_pods += sign;
            }
        }
    }

    /// A workload with this template wants pods, or no longer.
    pub(crate) fn workload(
        &mut self,
        now: SimTime,
        key: (u8, u32),
        namespace: Symbol,
        labels: &Labels,
        wants: bool,
    ) {
        for &position in self.by_namespace.get(&namespace).map_or(&[][..], Vec::as_slice) {
            let observed = &mut self.services[position];
            let wants = wants && observed.selects(labels);
            if wants != observed.wanted_workloads.contains(&key) {
                observed.advance(now);
                if wants {
                    observed.wanted_workloads.insert(key);
                } else {
                    observed.wanted_workloads.remove(&key);
                }
            }
        }
    }

    /// A slice reached the proxies.
    pub(crate) fn slice(
        &mut self,
        now: SimTime,
        event: &WatchEvent,
        world: &World<'_>,
        samples: &mut Vec<Sample>,
    ) {
        let Object::EndpointSlice(slice) = &event.object else { return };
        let service = slice.service;
        let in_namespace = self.by_namespace.get(&slice.meta.namespace).map_or(&[][..], Vec::as_slice);
        let position = in_namespace
            .iter()
            .rev()
            .copied()
            .find(|&position| self.services[position].service.meta.name == *service.as_str());
        let Some(position) = position else { return };
        match event.change {
            Change::Deleted => self.services[position].backends.remove(slice.meta.id),
            _ => self.services[position].backends.put(slice, world),
        }
        for endpoint in slice.endpoints.iter() {
            let positions = self.by_pod.entry(endpoint.pod).or_default();
            if !positions.contains(&position) {
                positions.push(position);
            }
        }
        self.evaluate(now, position, world, samples);
    }

    /// A pod began or ceased to serve.
    pub(crate) fn pod(&mut self, now: SimTime, pod: u32, world: &World<'_>, samples: &mut Vec<Sample>) {
        for position in self.by_pod.get(&pod).cloned().unwrap_or_default() {
            let observed = &mut self.services[position];
            observed.each_backends(|backends| backends.pod_changed(pod, world));
            self.evaluate(now, position, world, samples);
        }
    }

    /// The pod's object is gone.
    pub(crate) fn forget_pod(&mut self, pod: u32) {
        self.by_pod.remove(&pod);
    }

    /// Machines lost or regained power or connection; `cut` is a partition that begins now.
    pub(crate) fn machines(
        &mut self,
        now: SimTime,
        cut: Option<u32>,
        world: &World<'_>,
        samples: &mut Vec<Sample>,
    ) {
        self.population = Population::of(world.machines);
        for position in 0..self.services.len() {
            let observed = &mut self.services[position];
            if let Some(island) = cut {
                observed.islands.insert(island, observed.backends.clone());
            }
            observed.each_backends(|backends| backends.machines_changed(world));
            self.evaluate(now, position, world, samples);
        }
    }

    fn evaluate(&mut self, now: SimTime, position: usize, world: &World<'_>, samples: &mut Vec<Sample>) {
        let observed = &mut self.services[position];
        if observed.gone {
            return;
        }
        let share = observed.share_now(&self.population, world.machines);
        if share != observed.share {
            observed.advance(now);
            observed.share = share;
            samples.push(Sample { object: observed.object, percent: share * 100.0 });
        }
    }

    /// What became of each Service up to `now`.
    pub(crate) fn results(&self, now: SimTime) -> Vec<crate::results::ServiceRow> {
        let rows = self.services.iter().map(|observed| {
            let mut observed = observed.clone();
            observed.advance(now);
            let wanted = observed.wanted_nanos;
            crate::results::ServiceRow {
                namespace: observed.service.meta.namespace,
                name: observed.service.meta.name.clone(),
                availability_pct: (wanted > 0).then(|| observed.available_nanos / wanted as f64 * 100.0),
                down: seatrial_api::units::Span::from_nanos(observed.down_nanos),
                wanted: seatrial_api::units::Span::from_nanos(wanted),
            }
        });
        rows.collect()
    }
}

impl Observed {
    fn new(now: SimTime, service: &Arc<Service>, wanted_pods: i64) -> Observed {
        Observed {
            service: service.clone(),
            object: object_symbol(service.meta.namespace, &service.meta.name),
            backends: Backends::default(),
            islands: BTreeMap::new(),
            wanted_pods,
            wanted_workloads: BTreeSet::new(),
            share: 0.0,
            since: now,
            available_nanos: 0.0,
            wanted_nanos: 0,
            down_nanos: 0,
            gone: false,
        }
    }

    fn selects(&self, labels: &Labels) -> bool {
        !self.gone
            && self
                .service
                .selector
                .as_ref()
                .is_some_and(|wanted| !wanted.is_empty() && labels.contains_all(wanted))
    }

    /// Integrates up to `now`.
    fn advance(&mut self, now: SimTime) {
        let span = (now - self.since).nanos();
        self.since = now;
        let wanted = !self.gone && (self.wanted_pods > 0 || !self.wanted_workloads.is_empty());
        if wanted && span > 0 {
            self.wanted_nanos += span;
            self.available_nanos += span as f64 * self.share;
            if self.share == 0.0 {
                self.down_nanos += span;
            }
        }
    }

    /// The average over all live nodes of the share of good backends.
    fn share_now(&self, population: &Population, machines: &Machines) -> f64 {
        if population.live == 0 {
            return 0.0;
        }
        let total: f64 = if self.service.internal_traffic_policy == TrafficPolicy::Local {
            let side_of_node = |node| machines.named(node).and_then(|row| side_of(machines.get(row)));
            let sides = population.sides.keys();
            sides.map(|&side| self.backends_of(side).sum_on_nodes(side, side_of_node)).sum()
        } else if self.service.traffic_distribution.is_some() {
            let zones = population.zones.iter();
            let by_zone = zones.map(|(&(side, zone), &count)| {
                f64::from(count) * self.backends_of(side).share_in_zone(side, zone)
            });
            let by_zone: f64 = by_zone.sum();
            if self.service.traffic_distribution == Some(TrafficDistribution::PreferSameNode) {
                let place_of_node = |node| {
                    let machine = machines.get(machines.named(node)?);
                    Some((side_of(machine)?, machine.zone))
                };
                let sides = population.sides.keys();
                let gains = sides.map(|&side| self.backends_of(side).gain_on_nodes(side, place_of_node));
                by_zone + gains.sum::<f64>()
            } else {
                by_zone
            }
        } else {
            let sides = population.sides.iter();
            sides.map(|(&side, &count)| f64::from(count) * self.backends_of(side).share(side)).sum()
        };
        total / f64::from(population.live)
    }

    /// What the proxies on a side know.
    fn backends_of(&self, side: Side) -> &Backends {
        side.and_then(|island| self.islands.get(&island)).unwrap_or(&self.backends)
    }

    fn each_backends(&mut self, mut change: impl FnMut(&mut Backends)) {
        change(&mut self.backends);
        self.islands.values_mut().for_each(change);
    }
}
