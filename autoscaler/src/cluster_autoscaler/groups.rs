//! Node groups as the autoscaler keeps count of them: their instances, increases that are on their way,
//! and the back-off after failures (upstream `clusterstate`).

use std::collections::BTreeMap;

use seatrial_api::cloud::CloudError;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::options::{ClusterAutoscalerOptions, NodeGroup};

/// How an instance of a group is doing, as the cloud tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceState {
    /// It is there or will be.
    Kept,
    /// It could not be made.
    Failed(CloudError),
    /// It was given back.
    Deleting,
}

/// An instance of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    pub(crate) state: InstanceState,
    /// Since when the cloud has known of it.
    pub(crate) since: SimTime,
}

/// An increase that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Increase {
    /// When the group was enlarged last.
    pub(crate) at: SimTime,
    /// By how much in all.
    pub(crate) count: u32,
}

/// After a failure a group is left alone for some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    /// How long it lasts or lasted, until when, and when the last failure was; `None` without one.
    last: Option<(Span, SimTime, SimTime)>,
}

impl Backoff {
    /// The end of the back-off, if it goes on.
    pub(crate) fn until(&self, now: SimTime) -> Option<SimTime> {
        self.last.map(|(_, until, _)| until).filter(|&until| now < until)
    }

    /// The group has failed: it is left alone, twice as long as the last time if that is over and
    /// not forgotten.
    pub(crate) fn fail(&mut self, now: SimTime, options: &ClusterAutoscalerOptions) {
        // A failure during the back-off begins a short one: failures come in heaps.
        let span = match self.last {
            Some((span, until, failed)) if failed + options.backoff_reset >= now && until < now => {
                span.times(2).min(options.backoff_max)
            }
            _ => options.backoff_initial,
        };
        let until = now + span;
        self.last = Some((span, until, now));
    }
}

/// A node group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) config: NodeGroup,
    pub(crate) instances: BTreeMap<Symbol, Instance>,
    /// Instances that were asked for and that the cloud has not named yet.
    pub(crate) unnamed: u32,
    pub(crate) increase: Option<Increase>,
    pub(crate) backoff: Backoff,
}

impl Group {
    pub(crate) fn new(config: NodeGroup) -> Group {
        let instance = Instance { state: InstanceState::Kept, since: SimTime::ZERO };
        let instances = config.instances.iter().map(|&name| (name, instance)).collect();
        Group { config, instances, unnamed: 0, increase: None, backoff: Backoff::default() }
    }

    /// How many instances it is meant to have. One that is being deleted does not count.
    pub(crate) fn target(&self) -> u32 {
        let kept = self.instances.values().filter(|one| one.state != InstanceState::Deleting);
        kept.count() as u32 + self.unnamed
    }

    /// By how much it may grow.
    pub(crate) fn room(&self) -> u32 {
        self.config.max.saturating_sub(self.target())
    }

    /// Instances that are kept, in name order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (Symbol, &Instance)> + '_ {
        let kept = self.instances.iter().filter(|(_, one)| one.state == InstanceState::Kept);
        kept.map(|(&name, one)| (name, one))
    }

    /// The cloud has named an instance.
    pub(crate) fn requested(&mut self, now: SimTime, instance: Symbol) {
        self.unnamed = self.unnamed.saturating_sub(1);
        self.instances.insert(instance, Instance { state: InstanceState::Kept, since: now });
    }

    /// An instance changes its state; false if there is none of this name.
    pub(crate) fn set_state(&mut self, instance: Symbol, state: InstanceState) -> bool {
        match self.instances.get_mut(&instance) {
            Some(one) => {
                one.state = state;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_only_after_it_has_ended_and_is_forgotten() {
        let options = ClusterAutoscalerOptions::default();
        let mut backoff = Backoff::default();
        let mut check = |minutes: i64, expected: i64| {
            let now = SimTime::ZERO + Span::from_mins(minutes);
            backoff.fail(now, &options);
            let until = backoff.until(now).expect("it has just failed");
            assert_eq!(until - SimTime::ZERO, Span::from_mins(expected), "failure at minute {minutes}");
        };
        check(0, 5);
        check(3, 8);
        check(9, 19);
        check(20, 40);
        check(50, 80);
        check(90, 120);
        check(300, 305);
    }
}
