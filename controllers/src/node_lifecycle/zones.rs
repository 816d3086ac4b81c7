//! Zones: how disrupted each is, and how fast its nodes are given NoExecute taints.

use std::collections::BTreeSet;

use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{LABEL_REGION, LABEL_ZONE};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Ratio, SimTime, Span};

/// The label that takes a node out of the counts of disruption.
pub(super) const LABEL_EXCLUDE_DISRUPTION: &str = "node.kubernetes.io/exclude-disruption";

/// What the controller is told; the defaults are those of the controller manager.
#[derive(Clone, Copy, Debug)]
pub struct NodeLifecycleConfig {
    /// The pause between two passes of the health monitor.
    pub monitor_period: Span,
    /// How long a node may be silent.
    pub grace_period: Span,
    /// How long a node may be silent before its first status.
    pub startup_grace_period: Span,
    /// The time between two nodes of a zone that get the NoExecute taint (`--node-eviction-rate`).
    pub eviction_interval: Span,
    /// The same in a large zone that is partially disrupted (`--secondary-node-eviction-rate`).
    pub secondary_eviction_interval: Span,
    /// Zones with more nodes are large (`--large-cluster-size-threshold`).
    pub large_zone: usize,
    /// The share of nodes that are not ready from which a zone is partially disrupted.
    pub unhealthy_zone_threshold: Ratio,
}

impl Default for NodeLifecycleConfig {
    fn default() -> NodeLifecycleConfig {
        NodeLifecycleConfig {
            monitor_period: Span::from_secs(5),
            grace_period: Span::from_secs(50),
            startup_grace_period: Span::from_secs(60),
            eviction_interval: Span::from_secs(10),
            secondary_eviction_interval: Span::from_secs(100),
            large_zone: 50,
            unhealthy_zone_threshold: Ratio::new(55, 100),
        }
    }
}

/// How disrupted a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneState {
    /// No pass has judged it yet.
    Initial,
    /// Most nodes are ready.
    Normal,
    /// At least three nodes and 55 % of all are not ready.
    PartialDisruption,
    /// No node is ready.
    FullDisruption,
}

/// The nodes of a zone that count, by readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneCount {
    /// Ready nodes.
    pub ready: usize,
    /// All others, those without a Ready condition included.
    pub not_ready: usize,
}

impl ZoneCount {
    /// Counts a node.
    pub fn add(&mut self, ready: ConditionStatus) {
        match ready {
            ConditionStatus::True => self.ready += 1,
            _ => self.not_ready += 1,
        }
    }

    /// Takes a node out of the count.
    pub fn remove(&mut self, ready: ConditionStatus) {
        match ready {
            ConditionStatus::True => self.ready -= 1,
            _ => self.not_ready -= 1,
        }
    }

    /// All nodes.
    pub fn total(self) -> usize {
        self.ready + self.not_ready
    }

    /// The state of a zone with these nodes.
    pub fn state(self, threshold: Ratio) -> ZoneState {
        let share_reached = self.not_ready as i128 * i128::from(threshold.den)
            >= self.total() as i128 * i128::from(threshold.num);
        match self {
            ZoneCount { ready: 0, not_ready: 1.. } => ZoneState::FullDisruption,
            ZoneCount { not_ready: 3.., .. } if share_reached => ZoneState::PartialDisruption,
            _ => ZoneState::Normal,
        }
    }
}

/// A region and a zone in it: upstream's zone key.
pub(super) type ZoneKey = (Symbol, Symbol);

/// The zone in which a node with this metadata is.
pub(super) fn zone_of(meta: &ObjectMeta) -> ZoneKey {
    let label = |key: &str| meta.labels.get(Symbol::new(key)).unwrap_or_default();
    (label(LABEL_REGION), label(LABEL_ZONE))
}

/// A limiter with a burst of one that refuses and does not delay.
#[derive(Clone, Copy, Debug)]
struct Limiter {
    interval: Option<Span>,
    next: SimTime,
}

impl Limiter {
    fn accept(&mut self, now: SimTime) -> bool {
        let Some(interval) = self.interval else { return false };
        if now < self.next {
            return false;
        }
        self.next = now + interval;
        true
    }

    /// Changes the rate. If the old limiter would refuse now, the new one begins empty.
    fn swap(&mut self, now: SimTime, interval: Option<Span>) {
        if self.interval == interval {
            return;
        }
        let refused = !self.accept(now);
        let next = match interval {
            Some(interval) if refused => now + interval,
            _ => now,
        };
        *self = Limiter { interval, next };
    }
}

/// A zone: its state and its queue of nodes that wait for the NoExecute taint.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub(super) state: ZoneState,
    limiter: Limiter,
    /// Upstream's queue has no order among nodes that wait at the same time, and every pass
    /// queues all of them anew; here they go by their rows.
    pub(super) queue: BTreeSet<u32>,
}

impl Zone {
    pub(super) fn new(config: &NodeLifecycleConfig) -> Zone {
        let limiter =
            Limiter { interval: Some(config.eviction_interval), next: SimTime::from_nanos(i64::MIN) };
        Zone { state: ZoneState::Initial, limiter, queue: BTreeSet::new() }
    }

    /// Takes the next node of the queue, if the zone's rate allows.
    pub(super) fn take(&mut self, now: SimTime) -> Option<u32> {
        if self.queue.is_empty() || !self.limiter.accept(now) {
            return None;
        }
        self.queue.pop_first()
    }

    /// From when on the next node can be taken; `None` if there is none or evictions stand still.
    pub(super) fn next(&self) -> Option<SimTime> {
        (!self.queue.is_empty() && self.limiter.interval.is_some()).then_some(self.limiter.next)
    }

    /// Stops evictions.
    pub(super) fn stop(&mut self, now: SimTime) {
        self.limiter.swap(now, None);
        self.state = ZoneState::FullDisruption;
    }

    /// Takes on a state, with its rate.
    pub(super) fn enter(
        &mut self,
        now: SimTime,
        state: ZoneState,
        nodes: usize,
        config: &NodeLifecycleConfig,
    ) {
        let interval = match state {
            ZoneState::PartialDisruption if nodes > config.large_zone => {
                Some(config.secondary_eviction_interval)
            }
            ZoneState::PartialDisruption => None,
            _ => Some(config.eviction_interval),
        };
        self.limiter.swap(now, interval);
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_judged_by_their_ready_nodes() {
        let rows = [
            (3, 0, ZoneState::Normal),
            (0, 1, ZoneState::FullDisruption),
            (0, 0, ZoneState::Normal),
            (1, 2, ZoneState::Normal),
            (2, 3, ZoneState::PartialDisruption),
            (3, 3, ZoneState::Normal),
            (9, 11, ZoneState::PartialDisruption),
            (10, 11, ZoneState::Normal),
        ];
        for (ready, not_ready, expected) in rows {
            let count = ZoneCount { ready, not_ready };
            assert_eq!(count.state(Ratio::new(55, 100)), expected, "{ready} ready, {not_ready} not");
        }
    }

    #[test]
    fn nodes_of_a_zone_are_taken_one_every_ten_seconds() {
        let config = NodeLifecycleConfig::default();
        let mut zone = Zone::new(&config);
        zone.queue.extend([7, 3, 5]);
        let at = SimTime::from_secs;
        assert_eq!(zone.take(at(100)), Some(3));
        assert_eq!(zone.take(at(100)), None);
        assert_eq!(zone.next(), Some(at(110)));
        assert_eq!((zone.take(at(109)), zone.take(at(115)), zone.take(at(120))), (None, Some(5), None));
    }

    #[test]
    fn a_new_rate_begins_empty_if_the_old_one_was_used_up() {
        let config = NodeLifecycleConfig::default();
        let at = SimTime::from_secs;
        for (nodes, first) in [(51, Some(at(100))), (50, None)] {
            let mut zone = Zone::new(&config);
            zone.queue.extend([1, 2]);
            assert_eq!(zone.take(at(0)), Some(1));
            zone.enter(at(0), ZoneState::PartialDisruption, nodes, &config);
            assert_eq!(zone.next(), first, "{nodes} nodes");
        }
    }

    #[test]
    fn a_zone_that_stood_still_starts_with_a_pause() {
        let config = NodeLifecycleConfig::default();
        let mut zone = Zone::new(&config);
        zone.queue.insert(1);
        zone.stop(SimTime::ZERO);
        assert_eq!((zone.take(SimTime::from_secs(60)), zone.next()), (None, None));
        zone.enter(SimTime::from_secs(60), ZoneState::Normal, 4, &config);
        assert_eq!(zone.next(), Some(SimTime::from_secs(70)));
    }
}
