//! The event engine: the hold model, PHOLD, the M/M/1 queue and ping-pong.
//!
//! Each program exists on our engine and as a reference. The reference of the hold model is the
//! same program on the binary heap of the standard library; that of the others is the plain loop
//! of [`mod@reference`]. References draw with our generator and distributions, so both do the same
//! and end with equal checksums.

pub mod hold;
pub mod mm1;
pub mod phold;
pub mod ping_pong;
pub mod reference;

use std::hint::black_box;

use seatrial_api::stream::{Stream, mix64};
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::engine::dist::{Distribution, Sampler};
use seatrial_sim_core::engine::queue::{BucketQueue, EventQueue};

use crate::measure::costs_ns;
use crate::{BenchRow, Goal};

/// A driver that records writes the records out in portions of this size.
const RECORDS_MAX: usize = 4_096;

/// What a program did, so that two of them can be seen to have done the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Events handled.
    pub events: u64,
    /// A digest of everything that happened.
    pub checksum: u64,
}

fn outcome(events: u64, parts: impl IntoIterator<Item = u64>) -> Outcome {
    Outcome { events, checksum: parts.into_iter().fold(0, |sum, part| mix64(sum ^ part)) }
}

/// Exponential times with the given mean.
fn exponential(mean: Span) -> Sampler {
    Distribution::Exponential { mean }.sampler().expect("invariant: the mean is positive")
}

/// Events of a measurement. Long enough for the queue to turn over its higher levels.
const EVENTS: u64 = 4_300_000;
/// The same for references that need a microsecond per event.
const EVENTS_SLOW: u64 = 1_000_000;
const WARM_UP: u64 = 100_000;

/// All figures of the engine.
pub fn rows() -> Vec<BenchRow> {
    vec![
        hold_row("engine/hold/1k", 1_000, EVENTS, Goal::RatioMin(1.5))
            .with_peer("simcore 0.1.0: 9.2e6 events/s"),
        hold_row("engine/hold/1M", 1_000_000, EVENTS_SLOW, Goal::RatioMin(8.0))
            .with_peer("simcore 0.1.0: 0.69e6 events/s"),
        phold_row("engine/phold/16k", 16, EVENTS, Goal::RatioMax(1.0))
            .with_peer("simcore 0.1.0: 204 ns/event"),
        phold_row("engine/phold/1M", 1_024, EVENTS_SLOW, Goal::RatioMax(0.2))
            .with_peer("simcore 0.1.0: 1475 ns/event"),
        mm1_row().with_peer("simcore 0.1.0: 80 ns/event"),
        ping_pong_row().with_peer("simcore 0.1.0: 49 ns/event"),
        memory_row().with_peer("simcore 0.1.0: 72 bytes"),
    ]
}

fn hold_row(name: &'static str, pending: u32, reference_events: u64, goal: Goal) -> BenchRow {
    let (mut ours, mut reference) = (hold::Ours::new(pending), hold::Reference::new(pending));
    let (ours, reference) =
        compared(|events| ours.run(events), |events| reference.run(events), reference_events);
    BenchRow::against(name, 1e9 / ours, 1e9 / reference, "events/s", goal)
}

fn phold_row(name: &'static str, jobs: u32, reference_events: u64, goal: Goal) -> BenchRow {
    let (mut ours, mut reference) = (phold::Ours::new(jobs), phold::reference(jobs));
    let (ours, reference) =
        compared(|events| ours.run(events), |events| reference.run(events), reference_events);
    BenchRow::against(name, ours, reference, "ns/event", goal)
}

fn mm1_row() -> BenchRow {
    let (mut ours, mut reference) = (mm1::Ours::new(), mm1::reference());
    let (ours, reference) = compared(|events| ours.run(events), |events| reference.run(events), EVENTS);
    BenchRow::against("engine/mm1", ours, reference, "ns/event", Goal::RatioMax(1.3))
}

fn ping_pong_row() -> BenchRow {
    let (mut ours, mut reference) = (ping_pong::Ours::new(), ping_pong::reference());
    let (ours, reference) = compared(|events| ours.run(events), |events| reference.run(events), EVENTS);
    BenchRow::against("engine/ping-pong", ours, reference, "ns/event", Goal::RatioMax(1.3))
}

/// Memory of a million pending events of 16 bytes, after the queue has turned over.
fn memory_row() -> BenchRow {
    const PENDING: usize = 1_000_000;
    let delay = exponential(Span::from_secs(1));
    let mut stream = Stream::new(1, 0, 0);
    let mut queue = BucketQueue::default();
    for _ in 0..PENDING {
        queue.push(SimTime::ZERO + delay.draw(&mut stream), [0u32; 4]);
    }
    for _ in 0..EVENTS {
        let Some(entry) = queue.pop() else { break };
        queue.push(entry.time + delay.draw(&mut stream), entry.event);
    }
    let bytes = queue.allocated_bytes() as f64 / PENDING as f64;
    BenchRow::alone("engine/memory/1M", bytes, "bytes/pending event", Goal::ValueMax(64.0))
}

/// The costs per event of two programs that do the same, in nanoseconds.
fn compared(
    mut ours: impl FnMut(u64) -> Outcome,
    mut reference: impl FnMut(u64) -> Outcome,
    reference_events: u64,
) -> (f64, f64) {
    assert_eq!(ours(WARM_UP), reference(WARM_UP), "the reference did something else");
    costs_ns(|| black_box(ours(EVENTS)).events, || black_box(reference(reference_events)).events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_does_what_its_reference_does() {
        for pending in [1, 10, 1_000, 20_000] {
            assert_eq!(hold::Ours::new(pending).run(50_000), hold::Reference::new(pending).run(50_000));
        }
        for jobs in [1, 16] {
            assert_eq!(phold::Ours::new(jobs).run(50_000), phold::reference(jobs).run(50_000));
        }
        assert_eq!(mm1::Ours::new().run(50_000), mm1::reference().run(50_000));
        assert_eq!(ping_pong::Ours::new().run(50_000), ping_pong::reference().run(50_000));
    }
}
