//! Graceful shutdown of a node (upstream `nodeshutdown`): groups of pods by priority, the lowest
//! first, each within its time.

use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use smallvec::SmallVec;

use crate::config::{KubeletConfig, ShutdownGroup};
use crate::machine::{Fx, Kubelets, Timer};
use crate::rows::Stage;
use crate::table::Power;

/// The message of pods that were stopped.
const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";
/// The lowest priority of critical pods.
const CRITICAL: i32 = 2_000_000_000;

/// Which group is being stopped, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    group: usize,
    until: SimTime,
}

type Groups = SmallVec<[ShutdownGroup; 2]>;

/// The groups of a node in the order in which they are stopped: those of the settings, or ordinary
/// pods and critical ones.
fn groups(config: &KubeletConfig) -> Groups {
    let mut groups: Groups = config.shutdown_by_priority.iter().copied().collect();
    if groups.is_empty() && config.shutdown_grace > Span::ZERO {
        let critical = config.shutdown_grace_critical.min(config.shutdown_grace);
        let ordinary = Span::from_nanos(config.shutdown_grace.nanos() - critical.nanos());
        groups.push(ShutdownGroup { priority: 0, grace: ordinary });
        groups.push(ShutdownGroup { priority: CRITICAL, grace: critical });
    }
    groups.sort_by_key(|group| group.priority);
    groups
}

/// The group of a pod: the highest that its priority reaches; the lowest if it reaches none.
fn group_of(pod: &Pod, groups: &Groups) -> usize {
    let priority = pod.spec.priority();
    groups.iter().rposition(|group| group.priority <= priority).unwrap_or(0)
}

impl Kubelets {
    /// Begins an orderly shutdown and returns the instant at which the machine goes off, which is
    /// now unless the settings give pods time. The caller then calls [`Kubelets::crash_node`].
    pub fn shutdown_node(&mut self, now: SimTime, name: Symbol, effects: &mut Fx) -> SimTime {
        let Some(&node) = self.node_slots.get(&name) else { return now };
        let row = &self.nodes[node as usize];
        let groups = groups(&row.config);
        let whole = groups.iter().fold(Span::ZERO, |sum, group| sum + group.grace);
        if row.power != Power::On || whole <= Span::ZERO {
            return now;
        }
        self.stop_group(now, node, 0, &groups, effects);
        self.compare_node(now, node, effects);
        self.shutdown_goes_on(now, node, effects);
        now + whole
    }

    fn stop_group(&mut self, now: SimTime, node: u32, group: usize, groups: &Groups, fx: &mut Fx) {
        let time = groups[group].grace;
        let until = now + time;
        let row = &mut self.nodes[node as usize];
        row.shutdown = Some(Shutdown { group, until });
        fx.timer(until, Timer::Shutdown { node, life: row.life });
        for pod in row.pods.clone() {
            let Some(slot) = self.slot(pod) else { continue };
            let row = &self.pods[slot];
            if group_of(&row.pod, groups) != group || row.stage != Stage::Sync {
                continue;
            }
            let own = Span::from_secs(row.pod.spec.termination_grace_period_seconds);
            self.disrupt(slot, "Terminated", MESSAGE, Some(own.min(time)), now);
            self.trigger(now, slot, fx);
        }
    }

    /// The time of a group is over, or a pod has stopped: the next group that has pods follows if it
    /// may.
    pub(crate) fn shutdown_goes_on(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let groups = groups(&self.nodes[node as usize].config);
        while let Some(Shutdown { group, until }) = self.nodes[node as usize].shutdown {
            let row = &self.nodes[node as usize];
            let busy = row.pods.iter().filter_map(|&pod| self.slot(pod)).any(|slot| {
                let row = &self.pods[slot];
                group_of(&row.pod, &groups) == group && row.stage < Stage::Terminated
            });
            if group + 1 >= groups.len() || (busy && now < until) {
                return;
            }
            self.stop_group(now, node, group + 1, &groups, fx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::PodSpec;

    #[test]
    fn a_pod_belongs_to_the_highest_group_that_its_priority_reaches() {
        let group = |priority, seconds| ShutdownGroup { priority, grace: Span::from_secs(seconds) };
        let by_priority = KubeletConfig {
            shutdown_by_priority: Arc::new([group(100_000, 10), group(0, 60), group(10_000, 120)]),
            ..KubeletConfig::default()
        };
        let simple = KubeletConfig {
            shutdown_grace: Span::from_secs(30),
            shutdown_grace_critical: Span::from_secs(10),
            ..KubeletConfig::default()
        };
        for (config, expected) in [(&by_priority, [0, 0, 0, 1, 2, 2]), (&simple, [0, 0, 0, 0, 0, 1])] {
            let groups = groups(config);
            let found = [-5, 0, 9_999, 10_000, 100_000, CRITICAL].map(|priority| {
                let spec =
                    PodSpec { priority: Some(priority), ..PodSpec::new(vec![Container::new("c", "i")]) };
                group_of(&Pod::new(ObjectMeta::named("ns", "p"), Arc::new(spec)), &groups)
            });
            assert_eq!(found, expected);
        }
        assert_eq!(groups(&simple).iter().map(|group| group.grace.nanos()).sum::<i64>(), 30_000_000_000);
        assert!(groups(&KubeletConfig::default()).is_empty());
    }
}
