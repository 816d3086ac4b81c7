//! PHOLD: logical processes that pass jobs on to each other at random.

use seatrial_api::stream::Stream;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::engine::Engine;
use seatrial_sim_core::engine::dist::Sampler;
use seatrial_sim_core::engine::trace::{Event, Signature};

use super::reference::{Agenda, Component, Loop, Message};
use super::{Outcome, RECORDS_MAX, exponential, outcome};

/// Logical processes.
pub const PROCESSES: u32 = 1_024;

/// A job arrives at a process.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    process: u32,
}

impl Event for Arrival {
    #[inline]
    fn signature(&self) -> Signature {
        Signature { kind: 0, ids: [self.process, 0, 0] }
    }
}

/// A logical process: it keeps a job for an exponential time of mean one second and hands it to a
/// process drawn uniformly.
#[derive(Clone, Debug)]
struct Process {
    stream: Stream,
    handled: u64,
    last: SimTime,
}

impl Process {
    fn new(index: u32) -> Process {
        Process { stream: Stream::new(1, u64::from(index), 0), handled: 0, last: SimTime::ZERO }
    }

    #[inline]
    fn pass_on(&mut self, now: SimTime, delay: &Sampler) -> (Span, u32) {
        self.handled += 1;
        self.last = now;
        (delay.draw(&mut self.stream), self.stream.below(u64::from(PROCESSES)) as u32)
    }

    fn checksum(&self) -> u64 {
        self.handled ^ self.last.nanos() as u64
    }
}

/// PHOLD on the engine, hashing and recording every event.
#[derive(Clone, Debug)]
pub struct Ours {
    engine: Engine<Arrival>,
    processes: Vec<Process>,
    delay: Sampler,
}

impl Ours {
    /// The model with `jobs` jobs at each process.
    pub fn new(jobs: u32) -> Ours {
        let delay = exponential(Span::from_secs(1));
        let mut engine = Engine::new(SimTime::ZERO);
        let mut processes: Vec<Process> = (0..PROCESSES).map(Process::new).collect();
        for _ in 0..jobs {
            for process in &mut processes {
                let (delay, process) = process.pass_on(SimTime::ZERO, &delay);
                engine.schedule_after(delay, Arrival { process });
            }
        }
        engine.trace_mut().record();
        Ours { engine, processes, delay }
    }

    /// Handles `events` events.
    pub fn run(&mut self, events: u64) -> Outcome {
        for _ in 0..events {
            let Some(entry) = self.engine.next_event() else { break };
            let process = &mut self.processes[entry.event.process as usize];
            let (delay, process) = process.pass_on(entry.time, &self.delay);
            self.engine.schedule_after(delay, Arrival { process });
            if self.engine.trace().records().len() >= RECORDS_MAX {
                self.engine.trace_mut().clear_records();
            }
        }
        outcome(events, self.processes.iter().map(Process::checksum))
    }
}

struct Boxed {
    process: Process,
    delay: Sampler,
}

impl Component for Boxed {
    fn handle(&mut self, _: &Message, agenda: &mut Agenda) {
        let (delay, to) = self.process.pass_on(agenda.now, &self.delay);
        agenda.send(delay, to, 0);
    }

    fn checksum(&self) -> u64 {
        self.process.checksum()
    }
}

/// PHOLD on the reference loop, with `jobs` jobs at each process.
pub fn reference(jobs: u32) -> Loop {
    let delay = exponential(Span::from_secs(1));
    let mut agenda = Agenda::default();
    let mut processes: Vec<Process> = (0..PROCESSES).map(Process::new).collect();
    for _ in 0..jobs {
        for process in &mut processes {
            let (delay, to) = process.pass_on(SimTime::ZERO, &delay);
            agenda.send(delay, to, 0);
        }
    }
    let components = processes
        .into_iter()
        .map(|process| -> Box<dyn Component> { Box::new(Boxed { process, delay: delay.clone() }) });
    Loop { agenda, components: components.collect() }
}
