//! What reaches a running simulation from outside: inputs with their virtual time, which belong to
//! the trace and can be played again.

use seatrial_api::stream::entity_of;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::Simulation;
use super::config::Action;
use super::event::{Cause, ClusterEvent, What};
use super::world::World;
use crate::engine::queue::EventQueue;

/// Something that came from outside.
#[derive(Clone, Debug)]
pub struct Input {
    /// How many events had been handled when it came.
    pub after_events: u64,
    /// When it happens, in virtual time.
    pub at: SimTime,
    /// What a person does.
    pub action: Action,
}

impl<Q: EventQueue<ClusterEvent>> Simulation<Q> {
    /// Lets a person do something at `at`, or now if that is over. It is an event of that instant
    /// behind those that are planned for it already, and is kept among the [`inputs`](Self::inputs).
    pub fn act(&mut self, at: SimTime, action: Action) {
        let at = at.max(self.engine.now());
        let row = self.world.inputs.len() as u32;
        // The trace tells inputs apart by what they are.
        let digest = entity_of(Symbol::empty(), &format!("{action:?}")) as u32;
        self.world.inputs.push(Input { after_events: self.events(), at, action });
        let event = ClusterEvent { what: What::Input { row, digest }, cause: Cause::NONE };
        self.engine.schedule_at(at, event);
    }

    /// Everything that has come from outside so far, in its order.
    pub fn inputs(&self) -> &[Input] {
        &self.world.inputs
    }

    /// Plays a session again, up to its last input: what came from outside comes again after as many
    /// events. Played on, a simulation of the same configuration then gives the trace of the session.
    pub fn replay(&mut self, inputs: &[Input]) {
        for input in inputs {
            while self.events() < input.after_events && self.step_until(SimTime::MAX) {}
            self.act(input.at, input.action.clone());
        }
    }
}

impl World {
    pub(super) fn input(&mut self, now: SimTime, row: u32) {
        let action = self.inputs[row as usize].action.clone();
        self.act(now, &action);
    }
}
