//! What the controller knows of a node's health, and when that knowledge expires.

use std::sync::Arc;

use seatrial_api::machine::Heartbeat;
use seatrial_api::node::{Node, NodeCondition, NodeConditionType, NodeConditions};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::zones::{NodeLifecycleConfig, ZoneKey};
use crate::pass_schedule::PassSchedule;

/// What is known of the renewals of a node's lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lease {
    /// None was seen.
    #[default]
    Unseen,
    /// It is renewed on schedule.
    Regular,
    /// It was renewed last at this instant.
    Last(SimTime),
}

impl Lease {
    pub(super) fn after(now: SimTime, heartbeat: Heartbeat) -> Lease {
        match heartbeat {
            Heartbeat::Regular => Lease::Regular,
            Heartbeat::Ceased { last } => Lease::Last(last),
            Heartbeat::Renewed => Lease::Last(now),
        }
    }
}

/// A node as the passes have seen it.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeHealth {
    /// Whether a pass has registered it.
    pub(super) known: bool,
    /// What is known of its lease.
    pub(super) lease: Lease,
    /// The controller's own time of the last sign of life other than the lease; `None` before the
    /// first pass that saw the node.
    pub(super) probe: Option<SimTime>,
    /// The Ready condition that the last pass has seen or written.
    pub(super) seen: NodeCondition,
    /// The zone in which it is counted and whether as ready.
    pub(super) counted: Option<(ZoneKey, ConditionStatus)>,
    /// When it expires, as filed among all expiries.
    pub(super) expiry: Option<SimTime>,
    /// The version that the controller's own write has made, until the cache shows it.
    pub(super) written: Option<Arc<Node>>,
    /// Whether marking its pods has failed and is to be tried again.
    pub(super) marks_failed: bool,
}

impl NodeHealth {
    /// Takes note of the node's status in the pass at `now`.
    pub(super) fn observe(&mut self, now: SimTime, node: &Node) {
        let ready = node.conditions.get(NodeConditionType::Ready);
        let absent = ready.status == ConditionStatus::Absent;
        if self.probe.is_none() && absent {
            self.probe = Some(node.meta.created);
        } else if self.probe.is_none() || ready != self.seen {
            // Model: a kubelet that posts a status shows itself by the condition's change; posts
            // that change nothing come with lease renewals.
            self.probe = Some(now);
        }
        self.seen = ready;
    }

    /// After which instant the node counts as silent; `None` while its lease is renewed, and for a
    /// node of which nothing more can be found out.
    pub(super) fn expires(
        &self,
        ready: ConditionStatus,
        schedule: &PassSchedule,
        config: &NodeLifecycleConfig,
    ) -> Option<SimTime> {
        let probe = self.probe?;
        let seen = match self.lease {
            Lease::Regular => return None,
            Lease::Unseen => probe,
            Lease::Last(last) => probe.max(schedule.at_or_after(last)),
        };
        match ready {
            ConditionStatus::Unknown => None,
            ConditionStatus::Absent => Some(seen + config.startup_grace_period),
            ConditionStatus::True | ConditionStatus::False => Some(seen + config.grace_period),
        }
    }
}

/// The conditions of a node that is silent since too long: four of them become Unknown.
pub fn silent_conditions(node: &Node, now: SimTime) -> NodeConditions {
    let mut conditions = node.conditions;
    let since = now.truncate_to_second();
    for kind in [
        NodeConditionType::Ready,
        NodeConditionType::MemoryPressure,
        NodeConditionType::DiskPressure,
        NodeConditionType::PidPressure,
    ] {
        let (reason, message) = match conditions.get(kind).status {
            ConditionStatus::Unknown => continue,
            ConditionStatus::Absent => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
            _ => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
        };
        let unknown = NodeCondition {
            status: ConditionStatus::Unknown,
            reason: Symbol::new(reason),
            message: Symbol::new(message),
            since,
        };
        conditions.put(kind, unknown);
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::units::Span;

    fn node(ready: ConditionStatus) -> Node {
        let mut node = Node::default();
        node.meta.created = SimTime::from_secs(3);
        node.conditions
            .put(NodeConditionType::Ready, NodeCondition { status: ready, ..NodeCondition::default() });
        node
    }

    #[test]
    fn four_conditions_become_unknown_and_the_network_is_left_alone() {
        let mut node = node(ConditionStatus::True);
        let network = NodeCondition { status: ConditionStatus::False, ..NodeCondition::default() };
        node.conditions.put(NodeConditionType::NetworkUnavailable, network);
        let conditions = silent_conditions(&node, SimTime::from_nanos(61_700_000_000));
        let ready = conditions.get(NodeConditionType::Ready);
        assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::Unknown, "NodeStatusUnknown"));
        assert_eq!(ready.since, SimTime::from_secs(61));
        let disk = conditions.get(NodeConditionType::DiskPressure);
        assert_eq!(disk.reason.as_str(), "NodeStatusNeverUpdated");
        assert_eq!(conditions.get(NodeConditionType::NetworkUnavailable), network);
    }

    #[test]
    fn a_node_expires_by_its_first_pass_after_the_last_sign_of_life() {
        let config = NodeLifecycleConfig::default();
        let schedule = PassSchedule::new(SimTime::ZERO, Span::from_secs(5));
        let at = SimTime::from_secs;
        let rows = [
            (ConditionStatus::True, Lease::Regular, None),
            (ConditionStatus::True, Lease::Unseen, Some(at(50))),
            (
                ConditionStatus::True,
                Lease::Last(at(12)),
                Some(schedule.at_or_after(at(12)) + Span::from_secs(50)),
            ),
            (ConditionStatus::Unknown, Lease::Last(at(12)), None),
            (ConditionStatus::Absent, Lease::Unseen, Some(at(63))),
        ];
        for (ready, lease, expected) in rows {
            let mut health = NodeHealth { lease, ..NodeHealth::default() };
            health.observe(SimTime::ZERO, &node(ready));
            assert_eq!(health.expires(ready, &schedule, &config), expected, "{ready:?} {lease:?}");
        }
    }
}
