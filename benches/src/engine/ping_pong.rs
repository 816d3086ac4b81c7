//! Ping-pong: two players and one ball, which takes a second from one to the other.

use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::engine::Engine;
use seatrial_sim_core::engine::trace::{Event, Signature};

use super::reference::{Agenda, Component, Loop, Message};
use super::{Outcome, RECORDS_MAX, outcome};

const FLIGHT: Span = Span::from_secs(1);

/// The ball reaches a player.
#[derive(Clone, Copy, Debug)]
struct Ball {
    player: u32,
}

impl Event for Ball {
    #[inline]
    fn signature(&self) -> Signature {
        Signature { kind: 0, ids: [self.player, 0, 0] }
    }
}

#[derive(Clone, Debug, Default)]
struct Player {
    hits: u64,
    last: SimTime,
}

impl Player {
    #[inline]
    fn hit(&mut self, now: SimTime) {
        self.hits += 1;
        self.last = now;
    }

    fn checksum(&self) -> u64 {
        self.hits ^ self.last.nanos() as u64
    }
}

/// The game on the engine, hashing and recording every event.
#[derive(Clone, Debug)]
pub struct Ours {
    engine: Engine<Ball>,
    players: [Player; 2],
}

impl Ours {
    /// The game before the first hit.
    pub fn new() -> Ours {
        let mut engine = Engine::new(SimTime::ZERO);
        engine.schedule_after(FLIGHT, Ball { player: 0 });
        engine.trace_mut().record();
        Ours { engine, players: Default::default() }
    }

    /// Handles `events` events.
    pub fn run(&mut self, events: u64) -> Outcome {
        for _ in 0..events {
            let Some(entry) = self.engine.next_event() else { break };
            let player = entry.event.player;
            self.players[player as usize].hit(entry.time);
            self.engine.schedule_after(FLIGHT, Ball { player: 1 - player });
            if self.engine.trace().records().len() >= RECORDS_MAX {
                self.engine.trace_mut().clear_records();
            }
        }
        outcome(events, self.players.iter().map(Player::checksum))
    }
}

impl Default for Ours {
    fn default() -> Self {
        Ours::new()
    }
}

impl Component for Player {
    fn handle(&mut self, message: &Message, agenda: &mut Agenda) {
        self.hit(agenda.now);
        agenda.send(FLIGHT, 1 - message.to, 0);
    }

    fn checksum(&self) -> u64 {
        Player::checksum(self)
    }
}

/// The game on the reference loop.
pub fn reference() -> Loop {
    let mut agenda = Agenda::default();
    agenda.send(FLIGHT, 0, 0);
    Loop { agenda, components: vec![Box::new(Player::default()), Box::new(Player::default())] }
}
