//! Faults: when they strike, what they hit, what they do.

use compact_str::CompactString;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Ratio, SimTime, Span};

use super::config::{Fault, FaultTiming, FaultType, MasterComponent, Target};
use super::event::{Cause, What};
use super::nodes::machine_entity;
use super::streams::{Purpose, name_entity};
use super::world::World;
use crate::engine::dist::{DistributionError, Sampler};
use crate::results::{EventRow, EventType, FaultRow};

/// One occurrence after another of a fault on one target.
#[derive(Clone, Debug)]
pub(super) struct Injection {
    /// The fault in the configuration.
    fault: usize,
    /// The machines it hits, fixed when it begins.
    machines: Vec<u32>,
    target: Option<Target>,
    timing: Timing,
    /// How often it has struck.
    strikes: u32,
    /// Its row in the results while it is in force.
    row: Option<usize>,
}

#[derive(Clone, Debug)]
enum Timing {
    At(SimTime, Option<Span>),
    Random { entity: u64, mtbf: Sampler, mttr: Sampler },
}

impl Injection {
    /// The component of the masters that it hits.
    fn master(&self) -> Option<MasterComponent> {
        match self.target {
            Some(Target::Master(component)) => Some(component),
            _ => None,
        }
    }
}

impl World {
    /// Prepares the faults of the configuration and plans their first strikes.
    ///
    /// # Errors
    /// If a distribution has a parameter out of range.
    pub(super) fn plan_faults(&mut self) -> Result<(), DistributionError> {
        let config = self.config.clone();
        for (index, fault) in config.faults.iter().enumerate() {
            for target in self.single_targets(fault) {
                let timing = match &fault.timing {
                    FaultTiming::At { at, duration } => Timing::At(*at, *duration),
                    FaultTiming::Random { mtbf, mttr } => Timing::Random {
                        entity: target_entity(fault.name, target.as_ref()),
                        mtbf: mtbf.sampler()?,
                        mttr: mttr.sampler()?,
                    },
                };
                let injection =
                    Injection { fault: index, machines: Vec::new(), target, timing, strikes: 0, row: None };
                self.injections.push(injection);
                self.plan_strike(SimTime::ZERO, (self.injections.len() - 1) as u32);
            }
        }
        Ok(())
    }

    /// A random fault of a pool strikes each of its machines on its own.
    fn single_targets(&self, fault: &Fault) -> Vec<Option<Target>> {
        match (&fault.target, &fault.timing) {
            (Some(Target::Pool(pool)), FaultTiming::Random { .. }) => {
                let of_pool = self.machines.iter().filter(|(_, machine)| machine.spec.pool == *pool);
                of_pool.map(|(_, machine)| Some(Target::Node(machine.spec.name))).collect()
            }
            (target, _) => vec![target.clone()],
        }
    }

    fn plan_strike(&mut self, now: SimTime, index: u32) {
        let injection = &self.injections[index as usize];
        let at = match &injection.timing {
            Timing::At(at, _) if injection.strikes == 0 => *at,
            Timing::At(..) => return,
            Timing::Random { entity, mtbf, .. } => {
                now + mtbf.draw(&mut self.streams.of(*entity, Purpose::FaultTime, injection.strikes))
            }
        };
        if at <= SimTime::ZERO + self.config.duration {
            self.plan(at, What::FaultBegin(index), Cause::NONE);
        }
    }

    pub(super) fn begin_fault(&mut self, now: SimTime, index: u32) {
        let config = self.config.clone();
        let injection = &self.injections[index as usize];
        let fault = &config.faults[injection.fault];
        let mut machines = self.targets(injection.target.as_ref());
        if let FaultType::SpotReclaim { .. } = fault.kind {
            let named = matches!(injection.target, Some(Target::Node(_) | Target::Pool(_)));
            machines.retain(|&machine| self.is_reclaimable(machine, named));
            if machines.is_empty() {
                return self.strike_again_unless_gone(now, index);
            }
        }
        let end = match (&injection.timing, fault.kind) {
            // From the notice to the end of the machines.
            (_, FaultType::SpotReclaim { notice }) => Some(now + notice),
            (Timing::At(_, duration), _) => duration.map(|duration| now + duration),
            (Timing::Random { entity, mttr, .. }, _) => {
                Some(now + mttr.draw(&mut self.streams.of(*entity, Purpose::RepairTime, injection.strikes)))
            }
        };
        let cause = self.record_fault(now, fault, index, EventType::FaultBegin);
        let injection = &mut self.injections[index as usize];
        injection.strikes += 1;
        injection.machines.clone_from(&machines);
        let master = injection.master();
        match fault.kind {
            FaultType::Crash => {
                if let Some(component) = master {
                    self.master_outage(now, component, true, cause);
                }
                for &machine in &machines {
                    self.machines.get_mut(machine).outages += 1;
                    self.lose_power(now, machine, cause);
                }
                self.machine_truth_changed(now, None);
            }
            FaultType::KubeletCrash => {
                for &machine in &machines {
                    self.machines.get_mut(machine).kubelet_outages += 1;
                    self.stop_kubelet(now, machine, cause);
                }
            }
            FaultType::Partition => {
                for &machine in &machines {
                    let state = self.machines.get_mut(machine);
                    state.cuts += 1;
                    state.island.get_or_insert(index);
                    self.connection_changed(now, machine, cause);
                }
                self.machine_truth_changed(now, Some(index));
            }
            FaultType::SlowRegistry(slowdown) => self.runtimes.registry_slowdown = slowdown,
            FaultType::SpotReclaim { .. } => {
                for &machine in &machines {
                    self.interrupt(now, machine, cause);
                }
            }
        }
        if let Some(end) = end {
            self.plan(end, What::FaultEnd(index), cause);
        }
    }

    pub(super) fn end_fault(&mut self, now: SimTime, index: u32) {
        let config = self.config.clone();
        let fault = &config.faults[self.injections[index as usize].fault];
        let machines = std::mem::take(&mut self.injections[index as usize].machines);
        let cause = self.record_fault(now, fault, index, EventType::FaultEnd);
        match fault.kind {
            FaultType::KubeletCrash => {
                for &machine in &machines {
                    self.machines.get_mut(machine).kubelet_outages -= 1;
                    self.start_kubelet(now, machine, cause);
                }
            }
            FaultType::Crash => {
                if let Some(component) = self.injections[index as usize].master() {
                    self.master_outage(now, component, false, cause);
                }
                for &machine in &machines {
                    self.machines.get_mut(machine).outages -= 1;
                    self.regain_power(now, machine, cause);
                }
            }
            FaultType::Partition => {
                for &machine in &machines {
                    let state = self.machines.get_mut(machine);
                    state.cuts -= 1;
                    if state.cuts == 0 {
                        state.island = None;
                    }
                    self.connection_changed(now, machine, cause);
                }
                self.machine_truth_changed(now, None);
            }
            FaultType::SlowRegistry(_) => self.runtimes.registry_slowdown = Ratio::new(1, 1),
            FaultType::SpotReclaim { .. } => {
                for &machine in &machines {
                    self.reclaim(now, machine, cause);
                }
            }
        }
        self.strike_again_unless_gone(now, index);
    }

    /// A machine that was reclaimed is not there to be reclaimed again.
    fn strike_again_unless_gone(&mut self, now: SimTime, index: u32) {
        let injection = &self.injections[index as usize];
        let kind = self.config.faults[injection.fault].kind;
        let gone = matches!(kind, FaultType::SpotReclaim { .. })
            && matches!(injection.target, Some(Target::Node(_)))
            && self.targets(injection.target.as_ref()).is_empty();
        if !gone {
            self.plan_strike(now, index);
        }
    }

    /// A machine that joins during the run can be reclaimed at random like those of the start.
    pub(super) fn plan_reclaims_of(&mut self, now: SimTime, machine: u32) {
        if self.config.faults.is_empty() {
            return;
        }
        let config = self.config.clone();
        let spec = &self.machines.get(machine).spec;
        let (name, pool) = (spec.name, spec.pool);
        for (fault, injection) in config.faults.iter().enumerate() {
            let of_pool = injection.target == Some(Target::Pool(pool));
            let FaultTiming::Random { mtbf, mttr } = &injection.timing else { continue };
            if !of_pool || !matches!(injection.kind, FaultType::SpotReclaim { .. }) {
                continue;
            }
            let target = Some(Target::Node(name));
            let entity = target_entity(injection.name, target.as_ref());
            let (Ok(mtbf), Ok(mttr)) = (mtbf.sampler(), mttr.sampler()) else { continue };
            let timing = Timing::Random { entity, mtbf, mttr };
            self.injections.push(Injection {
                fault,
                machines: Vec::new(),
                target,
                timing,
                strikes: 0,
                row: None,
            });
            self.plan_strike(now, (self.injections.len() - 1) as u32);
        }
    }

    /// The machines that a target names and that are there now.
    fn targets(&self, target: Option<&Target>) -> Vec<u32> {
        let Some(target) = target else { return Vec::new() };
        let hit = self.machines.iter().filter(|(_, machine)| {
            machine.present
                && match target {
                    Target::Node(name) => machine.spec.name == *name,
                    Target::Pool(pool) => machine.spec.pool == *pool,
                    Target::Rack(rack) => machine.spec.rack == *rack,
                    Target::Zone(zone) => machine.zone == *zone,
                    Target::Master(_) => false,
                }
        });
        hit.map(|(row, _)| row).collect()
    }

    fn record_fault(&mut self, now: SimTime, fault: &Fault, index: u32, event: EventType) -> Cause {
        let target = self.injections[index as usize]
            .target
            .as_ref()
            .map_or_else(|| "registry".into(), describe_target);
        let row = &mut self.injections[index as usize].row;
        match event {
            EventType::FaultBegin => {
                *row = Some(self.recorder.faults.len());
                self.recorder.faults.push(FaultRow {
                    name: fault.name,
                    target: target.clone(),
                    begin: now,
                    end: None,
                });
            }
            _ => {
                if let Some(row) = row.take() {
                    self.recorder.faults[row].end = Some(now);
                }
            }
        }
        self.recorder.push(EventRow {
            time: now,
            kind: Symbol::new("Fault"),
            namespace: Symbol::empty(),
            name: fault.name.as_str().into(),
            event,
            reason: Symbol::new(match fault.kind {
                FaultType::Crash => "Crash",
                FaultType::KubeletCrash => "KubeletCrash",
                FaultType::Partition => "Partition",
                FaultType::SlowRegistry(_) => "SlowRegistry",
                FaultType::SpotReclaim { .. } => "SpotReclaim",
            }),
            message: target,
            cause: None,
        })
    }
}

fn describe_target(target: &Target) -> CompactString {
    match target {
        Target::Node(name) => compact_str::format_compact!("node {name}"),
        Target::Pool(pool) => compact_str::format_compact!("nodes {pool}"),
        Target::Rack(rack) => compact_str::format_compact!("rack {rack}"),
        Target::Zone(zone) => compact_str::format_compact!("zone {zone}"),
        Target::Master(component) => component.as_str().into(),
    }
}

/// The entity of a random fault on a target: its own draws, whatever else there is.
fn target_entity(fault: Symbol, target: Option<&Target>) -> u64 {
    let fault = name_entity(seatrial_api::object::Kind::Untyped, Symbol::empty(), fault.as_str());
    let target = match target {
        Some(Target::Node(name)) => machine_entity(*name),
        Some(Target::Pool(name) | Target::Rack(name) | Target::Zone(name)) => {
            machine_entity(*name).rotate_left(1)
        }
        Some(Target::Master(component)) => {
            name_entity(seatrial_api::object::Kind::Untyped, Symbol::empty(), component.as_str())
        }
        None => 0,
    };
    fault ^ target.rotate_left(17)
}
