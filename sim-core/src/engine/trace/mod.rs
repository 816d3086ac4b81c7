//! The trace of a run: a hash that stands for every event, and on request the events themselves.
//!
//! The hash is what equality of two runs means: it covers the time, sequence, kind and ids of every
//! event in their order. Checkpoints of it say in which stretch two runs part; recorded events
//! ([`Record`], `trace.bin`) say where, and what led there.

mod compare;
mod file;
#[cfg(test)]
mod tests;

pub use compare::{Difference, cause, first_difference};
pub use file::{HEADER, RECORD_BYTES, TraceFileError, decode, encode};

use std::fmt;

use seatrial_api::stream::mix64;
use seatrial_api::units::SimTime;

/// Events between two checkpoints of the hash.
pub const CHECKPOINT_EVENTS: u64 = 1 << 16;

/// What identifies an event in a trace, besides its time and sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The kind of event, a number that never changes its meaning.
    pub kind: u32,
    /// The ids that the event carries; zero where it carries fewer.
    pub ids: [u32; 3],
}

/// A type of event that can be traced.
pub trait Event: Copy {
    /// What identifies this event. Events that differ in effect differ in signature.
    fn signature(&self) -> Signature;
}

/// The hash of a trace. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An event of a recorded trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it happened.
    pub time: SimTime,
    /// Its sequence number.
    pub sequence: u64,
    /// The sequence number that the first event scheduled while this one was handled got or would
    /// have got.
    pub first_effect: u64,
    /// What it was.
    pub signature: Signature,
}

/// The trace of a run so far.
#[derive(Clone, Debug)]
pub struct Trace {
    state: u64,
    events: u64,
    checkpoints: Vec<TraceHash>,
    records: Option<Vec<Record>>,
}

impl Trace {
    /// The trace of a run in which nothing happened yet.
    pub const fn new() -> Trace {
        Trace { state: KEYS[0], events: 0, checkpoints: Vec::new(), records: None }
    }

    /// Keeps every event from here on.
    pub fn record(&mut self) {
        self.records.get_or_insert_default();
    }

    /// The hash of all events so far.
    pub fn hash(&self) -> TraceHash {
        TraceHash(mix64(self.state ^ mix64(self.events)))
    }

    /// The number of events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash after each [`CHECKPOINT_EVENTS`] events: the first that differs between two runs
    /// says in which stretch they part.
    pub fn checkpoints(&self) -> &[TraceHash] {
        &self.checkpoints
    }

    /// The events kept since recording began or the records were cleared.
    pub fn records(&self) -> &[Record] {
        self.records.as_deref().unwrap_or_default()
    }

    /// Forgets the records kept so far, after the driver wrote them out.
    pub fn clear_records(&mut self) {
        if let Some(records) = &mut self.records {
            records.clear();
        }
    }

    /// Adds an event. `next_sequence` is the number that the first event scheduled by it gets.
    #[inline]
    pub(super) fn observe(&mut self, time: SimTime, sequence: u64, next_sequence: u64, signature: Signature) {
        let [a, b, c] = signature.ids.map(u64::from);
        let what = u64::from(signature.kind) | a << 32;
        let to_whom = b | c << 32;
        let event = folded(time.nanos() as u64 ^ KEYS[1], what ^ KEYS[2])
            ^ folded(sequence ^ KEYS[3], to_whom ^ KEYS[4]).rotate_left(32);
        self.state = (self.state ^ event).wrapping_mul(MULTIPLIER).rotate_left(29);
        self.events += 1;
        if self.events.is_multiple_of(CHECKPOINT_EVENTS) {
            self.checkpoint();
        }
        if let Some(records) = &mut self.records {
            records.push(Record { time, sequence, first_effect: next_sequence, signature });
        }
    }

    #[cold]
    fn checkpoint(&mut self) {
        self.checkpoints.push(self.hash());
    }
}

impl Default for Trace {
    fn default() -> Self {
        Trace::new()
    }
}

/// Both halves of a product, folded: every bit of either factor reaches all bits.
#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Odd, without pattern (the multiplier of PCG).
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
/// Arbitrary words (fractional digits of pi).
const KEYS: [u64; 5] = [
    0x243F_6A88_85A3_08D3,
    0xA409_3822_299F_31D0,
    0x082E_FA98_EC4E_6C89,
    0x4528_21E6_38D0_1377,
    0xBE54_66CF_34E9_0C6C,
];
