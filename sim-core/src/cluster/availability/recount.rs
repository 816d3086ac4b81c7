//! The share of a Service by looking at every machine and every endpoint: what the sums are checked
//! against.

use seatrial_api::service::{TrafficDistribution, TrafficPolicy};

use super::backends::{Member, home_of, side_of};
use super::{Availability, Observed, World};
use crate::cluster::machines::MachineState;

/// What rounding may make of a share.
const TOLERANCE: f64 = 1e-9;

impl Availability {
    /// The first Service whose kept share is not the counted one: what is kept and what is counted.
    pub(crate) fn first_difference(&self, world: &World<'_>) -> Option<String> {
        self.services.iter().filter(|observed| !observed.gone).find_map(|observed| {
            let (kept, counted) = (observed.share, observed.counted(world));
            let differs = (kept - counted).abs() > TOLERANCE;
            differs.then(|| format!("{} has the share {kept} instead of {counted}", observed.object))
        })
    }
}

impl Observed {
    fn counted(&self, world: &World<'_>) -> f64 {
        let live: Vec<&MachineState> =
            world.machines.iter().map(|(_, machine)| machine).filter(|m| side_of(m).is_some()).collect();
        let shares: f64 = live.iter().map(|machine| self.counted_from(machine, world)).sum();
        if live.is_empty() { 0.0 } else { shares / live.len() as f64 }
    }

    /// What the proxy of a machine chooses among.
    fn counted_from(&self, machine: &MachineState, world: &World<'_>) -> f64 {
        let Some(side) = side_of(machine) else { return 0.0 };
        let local = self.service.internal_traffic_policy == TrafficPolicy::Local;
        let known = self.backends_of(side).members();
        let usable: Vec<&Member> =
            known.filter(|member| !local || member.node == machine.spec.name).collect();
        let ready: Vec<&Member> = usable.iter().copied().filter(|member| member.ready).collect();
        let mut chosen = ready;
        let hints_count = !local && self.service.traffic_distribution.is_some();
        let prefers_node = self.service.traffic_distribution == Some(TrafficDistribution::PreferSameNode);
        let here: Vec<&Member> =
            chosen.iter().copied().filter(|member| member.node == machine.spec.name).collect();
        if !local && prefers_node && !here.is_empty() {
            chosen = here;
        } else if hints_count && chosen.iter().all(|member| member.zone_hint) {
            let near: Vec<&Member> =
                chosen.iter().copied().filter(|member| member.zone == machine.zone).collect();
            if !near.is_empty() {
                chosen = near;
            }
        }
        if chosen.is_empty() {
            chosen = usable.into_iter().filter(|member| member.terminating).collect();
        }
        let good = chosen.iter().filter(|member| home_of(member.pod, world) == Some(side)).count();
        good as f64 / chosen.len().max(1) as f64
    }
}
