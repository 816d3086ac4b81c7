//! Graceful shutdown of a node (upstream `nodeshutdown`): ordinary pods first,
//! then critical ones, each group within its time.

use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::machine::{Fx, Kubelets, Timer};
use crate::preemption::is_critical;
use crate::rows::Stage;
use crate::table::Power;

/// The message of pods that were stopped.
const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";

/// Which group is being stopped, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    group: Group,
    until: SimTime,
}

/// A group of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Ordinary,
    Critical,
}

impl Kubelets {
    /// Begins an orderly shutdown and returns the instant at which the machine goes off, which is
    /// now unless the settings give pods time. The caller then calls [`Kubelets::crash_node`].
    pub fn shutdown_node(&mut self, now: SimTime, name: Symbol, effects: &mut Fx) -> SimTime {
        let Some(&node) = self.node_slots.get(&name) else { return now };
        let row = &self.nodes[node as usize];
        let grace = row.config.shutdown_grace;
        if row.power != Power::On || grace <= Span::ZERO {
            return now;
        }
        let critical = row.config.shutdown_grace_critical.min(grace);
        let ordinary = Span::from_nanos(grace.nanos() - critical.nanos());
        self.stop_group(now, node, Group::Ordinary, ordinary, effects);
        self.compare_node(now, node, effects);
        self.shutdown_goes_on(now, node, effects);
        now + grace
    }

    fn stop_group(&mut self, now: SimTime, node: u32, group: Group, time: Span, fx: &mut Fx) {
        let until = now + time;
        let row = &mut self.nodes[node as usize];
        row.shutdown = Some(Shutdown { group, until });
        fx.timer(until, Timer::Shutdown { node, life: row.life });
        for pod in row.pods.clone() {
            let Some(slot) = self.slot(pod) else { continue };
            let row = &self.pods[slot];
            if is_critical(&row.pod) != (group == Group::Critical) || row.stage != Stage::Sync {
                continue;
            }
            let own = Span::from_secs(row.pod.spec.termination_grace_period_seconds);
            self.disrupt(slot, "Terminated", MESSAGE, Some(own.min(time)), now);
            self.trigger(now, slot, fx);
        }
    }

    /// The time of a group is over, or a pod has stopped: the next group follows if it may.
    pub(crate) fn shutdown_goes_on(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let row = &self.nodes[node as usize];
        let Some(Shutdown { group: Group::Ordinary, until }) = row.shutdown else { return };
        let busy = row.pods.iter().filter_map(|&pod| self.slot(pod)).any(|slot| {
            let row = &self.pods[slot];
            !is_critical(&row.pod) && row.stage < Stage::Terminated
        });
        if !busy || now >= until {
            let time = row.config.shutdown_grace_critical;
            self.stop_group(now, node, Group::Critical, time, fx);
        }
    }
}
