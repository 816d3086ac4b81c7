//! The results of a run, from what its recorder gathered.

use std::collections::BTreeMap;

use seatrial_api::object::{Kind, Object};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};

use super::world::World;
use crate::results::{NodeRow, Results};

/// Nanoseconds in an hour.
const NANOS_PER_HOUR: i128 = 3_600 * 1_000_000_000;

/// Gathers the results as they stand at `at`.
pub(super) fn results(world: &World, at: SimTime, trace_hash: u64, events: u64) -> Results {
    let config = &world.config;
    let nodes = node_rows(world, at);
    Results {
        name: config.name.clone(),
        seed: config.seed,
        trace_hash,
        events,
        simulated: at - SimTime::ZERO,
        start_unix_seconds: config.start_unix_seconds,
        event_rows: world.recorder.rows.clone(),
        pods: world.recorder.pods.clone(),
        cost_usd: nodes.iter().map(|node| node.cost_usd).sum(),
        nodes,
        services: world.availability.results(at),
        series: world.recorder.series.all().to_vec(),
        faults: world.recorder.faults.clone(),
        evictions: world.recorder.evictions,
        not_played: not_played(world),
    }
}

fn node_rows(world: &World, at: SimTime) -> Vec<NodeRow> {
    let rows = world.machines.iter().map(|(row, machine)| {
        let record = &world.recorder.machines[row as usize];
        let uptime = record.uptime.span(at);
        let average = |total: i128| match i128::from(uptime.nanos()) {
            0 => 0,
            nanos => i64::try_from(total / nanos).unwrap_or(i64::MAX),
        };
        let spec = &machine.spec;
        let micro_usd = record.uptime.total(at) * i128::from(spec.micro_usd_per_hour) / NANOS_PER_HOUR;
        NodeRow {
            name: spec.name,
            pool: spec.pool,
            zone: machine.zone,
            allocatable: spec.allocatable.amounts.clone(),
            pods_capacity: spec.allocatable.pods,
            pods: record.pods,
            pods_max: record.pods_max,
            cpu_allocated: MilliCpu(average(record.cpu_allocated.total(at))),
            memory_allocated: Bytes(average(record.memory_allocated.total(at))),
            cpu_used: MilliCpu(average(record.cpu_used.total(at))),
            memory_used: Bytes(average(record.memory_used.total(at))),
            uptime,
            ready: record.ready.span(at),
            cost_usd: micro_usd as f64 / 1e6,
            present: machine.present,
        }
    });
    rows.collect()
}

/// Kinds that are stored and have no logic, with how many objects of them there are.
fn not_played(world: &World) -> Vec<(Symbol, u32)> {
    let mut kinds: BTreeMap<Symbol, u32> = BTreeMap::new();
    for object in world.api.list(Kind::Untyped) {
        if let Object::Untyped(object) = object {
            *kinds.entry(object.kind).or_default() += 1;
        }
    }
    kinds.into_iter().collect()
}
