//! Doing nothing: 10,000 empty nodes for a day, heartbeats on.

use seatrial_api::units::{Bytes, MilliCpu, Span};
use seatrial_sim_core::cluster::Simulation;

use super::{nodes, quiet};
use crate::measure::user_cpu;
use crate::{BenchRow, Goal};

/// Plays the day, setting the cluster up included. Returns the events handled.
pub fn day(count: u32) -> u64 {
    let machines = nodes(count, MilliCpu(4_000), Bytes(32 << 30), 110);
    let config = quiet("idle", machines, Span::from_hours(24));
    let mut simulation = Simulation::new(config).expect("invariant: the configuration is possible");
    simulation.run();
    simulation.events()
}

/// The figure of the idle bench: best of `repeats`.
pub fn rows(repeats: u32) -> Vec<BenchRow> {
    let costs = (0..repeats).map(|_| {
        let before = user_cpu();
        day(10_000);
        (user_cpu() - before).as_secs_f64()
    });
    let best = costs.fold(f64::MAX, f64::min);
    vec![BenchRow::alone("idle: 10,000 nodes for a day", best, "s", Goal::ValueMax(1.0))]
}
