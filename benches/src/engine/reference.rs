//! The reference loop: what one writes in an afternoon. A binary heap of 32-byte events and boxed
//! components; no trace hash, no record, no bucketed queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use seatrial_api::units::{SimTime, Span};

/// An event of the reference loop, ordered by time and sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    time: SimTime,
    sequence: u64,
    /// The component that handles it.
    pub to: u32,
    /// What it means to that component.
    pub kind: u32,
    /// Whatever the sender adds.
    pub payload: u64,
}

const _: () = assert!(size_of::<Message>() == 32);

/// The pending events.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<Message>>,
    next_sequence: u64,
    /// The instant of the event being handled.
    pub now: SimTime,
}

impl Agenda {
    /// Sends an event of `kind` to the component `to`, to be handled after `delay`.
    pub fn send(&mut self, delay: Span, to: u32, kind: u32) {
        let (time, sequence) = (self.now + delay, self.next_sequence);
        self.next_sequence += 1;
        self.heap.push(Reverse(Message { time, sequence, to, kind, payload: 0 }));
    }
}

/// Something that handles events.
pub trait Component {
    /// Handles an event and sends others.
    fn handle(&mut self, message: &Message, agenda: &mut Agenda);

    /// A digest of what it did.
    fn checksum(&self) -> u64;
}

/// The loop and its components.
pub struct Loop {
    /// The pending events.
    pub agenda: Agenda,
    /// The components, addressed by position.
    pub components: Vec<Box<dyn Component>>,
}

impl Loop {
    /// Handles `events` events.
    pub fn run(&mut self, events: u64) -> super::Outcome {
        for _ in 0..events {
            let Some(Reverse(message)) = self.agenda.heap.pop() else { break };
            self.agenda.now = message.time;
            self.components[message.to as usize].handle(&message, &mut self.agenda);
        }
        super::outcome(events, self.components.iter().map(|component| component.checksum()))
    }
}
