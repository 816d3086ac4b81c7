//! The M/M/1 queue at a load of 0.9: an event per arrival and per departure.

use std::collections::VecDeque;

use seatrial_api::stream::Stream;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::engine::Engine;
use seatrial_sim_core::engine::dist::Sampler;
use seatrial_sim_core::engine::trace::{Event, Signature};

use super::reference::{Agenda, Component, Loop, Message};
use super::{Outcome, RECORDS_MAX, exponential, outcome};

/// What happens at the station.
#[derive(Clone, Copy, Debug)]
enum Step {
    Arrival,
    Departure,
}

impl Event for Step {
    #[inline]
    fn signature(&self) -> Signature {
        Signature { kind: *self as u32, ids: [0; 3] }
    }
}

/// A single server and its queue.
#[derive(Clone, Debug)]
struct Station {
    arrivals: Stream,
    services: Stream,
    between: Sampler,
    service: Sampler,
    /// When each customer arrived, the one in service first.
    customers: VecDeque<SimTime>,
    served: u64,
    /// Time that customers spent here, in all.
    sojourn: Span,
}

impl Station {
    fn new() -> Station {
        Station {
            arrivals: Stream::new(1, 0, 0),
            services: Stream::new(1, 0, 1),
            between: exponential(Span::from_nanos(1_111_111_111)),
            service: exponential(Span::from_secs(1)),
            customers: VecDeque::new(),
            served: 0,
            sojourn: Span::ZERO,
        }
    }

    /// Handles one event; `schedule` is told when the next ones happen.
    #[inline]
    fn handle(&mut self, now: SimTime, step: Step, mut schedule: impl FnMut(Span, Step)) {
        match step {
            Step::Arrival => {
                schedule(self.between.draw(&mut self.arrivals), Step::Arrival);
                self.customers.push_back(now);
                if self.customers.len() == 1 {
                    schedule(self.service.draw(&mut self.services), Step::Departure);
                }
            }
            Step::Departure => {
                let arrived = self.customers.pop_front().expect("invariant: who departs was there");
                self.served += 1;
                self.sojourn += now - arrived;
                if !self.customers.is_empty() {
                    schedule(self.service.draw(&mut self.services), Step::Departure);
                }
            }
        }
    }

    fn checksum(&self) -> u64 {
        self.served ^ self.sojourn.nanos() as u64
    }
}

/// The station on the engine, hashing and recording every event.
#[derive(Clone, Debug)]
pub struct Ours {
    engine: Engine<Step>,
    station: Station,
}

impl Ours {
    /// An empty station.
    pub fn new() -> Ours {
        let mut engine = Engine::new(SimTime::ZERO);
        engine.schedule_after(Span::ZERO, Step::Arrival);
        engine.trace_mut().record();
        Ours { engine, station: Station::new() }
    }

    /// Handles `events` events.
    pub fn run(&mut self, events: u64) -> Outcome {
        let Ours { engine, station } = self;
        for _ in 0..events {
            let Some(entry) = engine.next_event() else { break };
            station.handle(entry.time, entry.event, |delay, step| engine.schedule_after(delay, step));
            if engine.trace().records().len() >= RECORDS_MAX {
                engine.trace_mut().clear_records();
            }
        }
        outcome(events, [station.checksum()])
    }
}

impl Default for Ours {
    fn default() -> Self {
        Ours::new()
    }
}

struct Boxed(Station);

impl Component for Boxed {
    fn handle(&mut self, message: &Message, agenda: &mut Agenda) {
        let step = if message.kind == 0 { Step::Arrival } else { Step::Departure };
        self.0.handle(agenda.now, step, |delay, step| agenda.send(delay, 0, step as u32));
    }

    fn checksum(&self) -> u64 {
        self.0.checksum()
    }
}

/// The station on the reference loop.
pub fn reference() -> Loop {
    let mut agenda = Agenda::default();
    agenda.send(Span::ZERO, 0, Step::Arrival as u32);
    Loop { agenda, components: vec![Box::new(Boxed(Station::new()))] }
}
