//! Availability of Services (docs/results.md): at an instant and seen from one live
//! node, the share of the backends among which kube-proxy there would choose whose containers
//! really run, are ready and can be reached; averaged over live nodes and over the time in which
//! the Service should have a backend.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::object::Object;
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::service::{Endpoint, EndpointSlice, Service, TrafficPolicy};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::machines::{MachineState, Machines};
use super::recorder::object_symbol;
use super::runtime::Runtimes;

/// One Service under observation.
#[derive(Clone, Debug)]
struct Observed {
    service: Arc<Service>,
    object: Symbol,
    /// The slices as the proxies of reachable nodes know them.
    slices: BTreeMap<u32, Arc<EndpointSlice>>,
    /// The same as the machines of each partition knew them when they were cut off.
    islands: BTreeMap<u32, Vec<Arc<EndpointSlice>>>,
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
            Change::Deleted => self.services[position].slices.remove(&slice.meta.id),
            _ => self.services[position].slices.insert(slice.meta.id, slice.clone()),
        };
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
        for position in 0..self.services.len() {
            if let Some(island) = cut {
                let observed = &mut self.services[position];
                let known = observed.slices.values().cloned().collect();
                observed.islands.insert(island, known);
            }
            self.evaluate(now, position, world, samples);
        }
    }

    fn evaluate(&mut self, now: SimTime, position: usize, world: &World<'_>, samples: &mut Vec<Sample>) {
        let observed = &mut self.services[position];
        if observed.gone {
            return;
        }
        let share = observed.share_now(world);
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
            slices: BTreeMap::new(),
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
    fn share_now(&self, world: &World<'_>) -> f64 {
        let mut groups: BTreeMap<Option<u32>, (u32, Vec<&MachineState>)> = BTreeMap::new();
        let mut live = 0u32;
        for (_, machine) in world.machines.iter().filter(|(_, machine)| machine.powered && machine.present) {
            live += 1;
            let group = groups.entry(machine.island.filter(|_| machine.cuts > 0)).or_default();
            group.0 += 1;
            if self.needs_node() {
                group.1.push(machine);
            }
        }
        if live == 0 {
            return 0.0;
        }
        let mut total = 0.0;
        for (island, (count, machines)) in &groups {
            let known: Vec<&Arc<EndpointSlice>> = match island.and_then(|island| self.islands.get(&island)) {
                Some(frozen) => frozen.iter().collect(),
                None => self.slices.values().collect(),
            };
            let endpoints: Vec<&Endpoint> = known.iter().flat_map(|slice| slice.endpoints.iter()).collect();
            if self.needs_node() {
                total += machines
                    .iter()
                    .map(|machine| self.share_from(*island, Some(machine), &endpoints, world))
                    .sum::<f64>();
            } else {
                total += f64::from(*count) * self.share_from(*island, None, &endpoints, world);
            }
        }
        total / f64::from(live)
    }

    /// Whether the choice of endpoints depends on the node itself.
    fn needs_node(&self) -> bool {
        self.service.internal_traffic_policy == TrafficPolicy::Local
            || self.service.traffic_distribution.is_some()
    }

    /// The share of good backends among those that a proxy chooses from.
    fn share_from(
        &self,
        island: Option<u32>,
        machine: Option<&&MachineState>,
        endpoints: &[&Endpoint],
        world: &World<'_>,
    ) -> f64 {
        let zone = machine.map_or(Symbol::empty(), |machine| machine.zone);
        let node = machine.map_or(Symbol::empty(), |machine| machine.spec.name);
        let local = self.service.internal_traffic_policy == TrafficPolicy::Local;
        let usable = |wanted: &dyn Fn(&Endpoint) -> bool| -> Vec<&Endpoint> {
            endpoints.iter().copied().filter(|e| wanted(e) && (!local || e.node == node)).collect()
        };
        let mut chosen = usable(&|endpoint| endpoint.ready);
        if !chosen.is_empty() && !local && chosen.iter().all(|endpoint| endpoint.zone_hint) {
            let near: Vec<&Endpoint> =
                chosen.iter().copied().filter(|endpoint| endpoint.zone == zone).collect();
            if !near.is_empty() {
                chosen = near;
            }
        }
        if chosen.is_empty() {
            chosen = usable(&|endpoint| endpoint.serving && endpoint.terminating);
        }
        if chosen.is_empty() {
            return 0.0;
        }
        let good = chosen.iter().filter(|endpoint| is_good(endpoint, island, world)).count();
        good as f64 / chosen.len() as f64
    }
}

/// Whether a backend really serves and can be reached from an island (`None`: the mainland).
fn is_good(endpoint: &Endpoint, island: Option<u32>, world: &World<'_>) -> bool {
    let Some(pod) = world.runtimes.pod(endpoint.pod) else { return false };
    let Some(machine) = pod.machine.map(|machine| world.machines.get(machine)) else { return false };
    machine.powered && machine.island.filter(|_| machine.cuts > 0) == island && pod.is_serving()
}
