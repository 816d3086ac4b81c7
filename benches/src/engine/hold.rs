//! The hold model: entities that each re-arm one exponential timer of mean one second.

use std::hint::black_box;

use seatrial_api::stream::Stream;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::engine::Engine;
use seatrial_sim_core::engine::dist::Sampler;
use seatrial_sim_core::engine::queue::{BucketQueue, EventQueue, HeapQueue};
use seatrial_sim_core::engine::trace::{Event, Signature};

use super::{Outcome, exponential};

/// The timer of an entity fires.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    entity: u32,
}

impl Event for Timer {
    #[inline]
    fn signature(&self) -> Signature {
        Signature { kind: 0, ids: [self.entity, 0, 0] }
    }
}

/// 40 bytes of state.
#[derive(Clone, Debug)]
struct Entity {
    stream: Stream,
    fired: u64,
    last: SimTime,
    delay: Span,
}

/// Entities that a core's own cache holds beside the queue.
const CACHED_MAX: usize = 4_096;

/// The hold model on the queue `Q`: one draw and one update of the trace hash per event.
#[derive(Clone, Debug)]
pub struct Hold<Q> {
    engine: Engine<Timer, Q>,
    entities: Vec<Entity>,
    delay: Sampler,
}

/// The hold model on the shipped queue.
pub type Ours = Hold<BucketQueue<Timer>>;
/// The same program on the binary heap of the standard library.
pub type Reference = Hold<HeapQueue<Timer>>;

impl<Q: EventQueue<Timer>> Hold<Q> {
    /// The model with `pending` entities, each with its first timer armed.
    pub fn new(pending: u32) -> Self {
        let delay = exponential(Span::from_secs(1));
        let mut engine = Engine::new(SimTime::ZERO);
        let entities = (0..pending).map(|entity| {
            let mut stream = Stream::new(1, u64::from(entity), 0);
            engine.schedule_after(delay.draw(&mut stream), Timer { entity });
            Entity { stream, fired: 0, last: SimTime::ZERO, delay: Span::ZERO }
        });
        let entities = entities.collect();
        Hold { engine, entities, delay }
    }

    /// Plays `events` events.
    ///
    /// Entities that do not fit into the cache are read ahead each time the queue knows what comes
    /// next, so that their way from memory is waited for once and not once per event.
    pub fn run(&mut self, events: u64) -> Outcome {
        let mut until_read_ahead = if self.entities.len() > CACHED_MAX { 0 } else { events };
        for _ in 0..events {
            if until_read_ahead == 0 {
                until_read_ahead = self.read_ahead();
            }
            until_read_ahead -= 1;
            let Some(entry) = self.engine.next_event() else { break };
            let entity = &mut self.entities[entry.event.entity as usize];
            entity.fired += 1;
            entity.last = entry.time;
            entity.delay = self.delay.draw(&mut entity.stream);
            self.engine.schedule_after(entity.delay, entry.event);
        }
        Outcome { events, checksum: self.engine.trace_hash().0 }
    }

    /// Reads the entities of the upcoming events. Returns for how many events that will do, at
    /// least for one.
    fn read_ahead(&self) -> u64 {
        let mut count = 0;
        let fired = self.engine.upcoming().map(|entry| {
            count += 1;
            self.entities[entry.event.entity as usize].fired
        });
        black_box(fired.fold(0, u64::wrapping_add));
        count.max(1)
    }
}
