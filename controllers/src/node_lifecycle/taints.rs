//! Which taints a node should have for its conditions.

use std::sync::OnceLock;

use seatrial_api::node::{
    Node, NodeConditionType, TAINT_DISK_PRESSURE, TAINT_MEMORY_PRESSURE, TAINT_NETWORK_UNAVAILABLE,
    TAINT_NOT_READY, TAINT_PID_PRESSURE, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE,
};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::request::Patch;
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;

/// The keys of the NoSchedule taints that the controller sets and takes away, interned once.
fn own_keys() -> &'static [Symbol; 7] {
    static KEYS: OnceLock<[Symbol; 7]> = OnceLock::new();
    KEYS.get_or_init(|| {
        [
            TAINT_NOT_READY,
            TAINT_UNREACHABLE,
            TAINT_MEMORY_PRESSURE,
            TAINT_DISK_PRESSURE,
            TAINT_PID_PRESSURE,
            TAINT_NETWORK_UNAVAILABLE,
            TAINT_UNSCHEDULABLE,
        ]
        .map(Symbol::new)
    })
}

/// Which of [`own_keys`] a node should have.
fn wanted(node: &Node) -> [bool; 7] {
    let is = |kind, status| node.conditions.get(kind).status == status;
    [
        is(NodeConditionType::Ready, ConditionStatus::False),
        is(NodeConditionType::Ready, ConditionStatus::Unknown),
        is(NodeConditionType::MemoryPressure, ConditionStatus::True),
        is(NodeConditionType::DiskPressure, ConditionStatus::True),
        is(NodeConditionType::PidPressure, ConditionStatus::True),
        is(NodeConditionType::NetworkUnavailable, ConditionStatus::True),
        node.unschedulable,
    ]
}

/// Taints to set on a node and to take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaintPlan {
    /// Taints to set.
    pub add: Vec<Taint>,
    /// Taints to take away.
    pub remove: Vec<Taint>,
}

impl TaintPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// The request to the API server.
    pub(crate) fn into_patch(self) -> Patch {
        Patch::TaintChanges { add: self.add, remove: self.remove }
    }
}

fn has(node: &Node, key: Symbol, effect: TaintEffect) -> bool {
    node.taints().iter().any(|taint| taint.key == key && taint.effect == effect)
}

/// A taint of the system, which has no value.
fn taint(key: Symbol, effect: TaintEffect) -> Taint {
    Taint { key, value: Symbol::empty(), effect }
}

/// The NoSchedule taints that follow from a node's conditions and from a cordon, against those
/// that it has.
pub fn plan_no_schedule(node: &Node) -> TaintPlan {
    let mut plan = TaintPlan::default();
    for (&key, wanted) in own_keys().iter().zip(wanted(node)) {
        match (wanted, has(node, key, TaintEffect::NoSchedule)) {
            (true, false) => plan.add.push(taint(key, TaintEffect::NoSchedule)),
            (false, true) => plan.remove.push(taint(key, TaintEffect::NoSchedule)),
            _ => {}
        }
    }
    plan
}

/// The NoExecute taint for a node that is not ready, in place of the other one. Empty for a ready
/// node and for one that has the right taint alone.
pub fn plan_no_execute(node: &Node) -> TaintPlan {
    let [not_ready, unreachable, ..] = *own_keys();
    let (right, wrong) = match node.ready() {
        ConditionStatus::False => (not_ready, unreachable),
        ConditionStatus::Unknown => (unreachable, not_ready),
        ConditionStatus::True | ConditionStatus::Absent => return TaintPlan::default(),
    };
    let mut plan = TaintPlan::default();
    if !has(node, right, TaintEffect::NoExecute) {
        plan.add.push(taint(right, TaintEffect::NoExecute));
    }
    if has(node, wrong, TaintEffect::NoExecute) {
        plan.remove.push(taint(wrong, TaintEffect::NoExecute));
    }
    plan
}

/// The removal of both NoExecute taints, for a node that is ready or new to the controller.
pub fn plan_reachable(node: &Node) -> TaintPlan {
    let [not_ready, unreachable, ..] = *own_keys();
    let tainted = [unreachable, not_ready].into_iter().filter(|&key| has(node, key, TaintEffect::NoExecute));
    TaintPlan { add: Vec::new(), remove: tainted.map(|key| taint(key, TaintEffect::NoExecute)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConditionStatus::{Absent, False, True, Unknown};
    use seatrial_api::node::NodeCondition;

    fn node(ready: ConditionStatus, taints: &[(&str, TaintEffect)]) -> Node {
        let mut node = Node::default();
        node.conditions
            .put(NodeConditionType::Ready, NodeCondition { status: ready, ..NodeCondition::default() });
        let taints: Vec<_> = taints.iter().map(|&(key, effect)| taint(Symbol::new(key), effect)).collect();
        node.taints = Some(taints.into());
        node
    }

    fn keys(taints: &[Taint]) -> Vec<&'static str> {
        taints.iter().map(|taint| taint.key.as_str()).collect()
    }

    #[test]
    fn no_schedule_taints_follow_the_conditions() {
        use TaintEffect::{NoExecute, NoSchedule};
        type Row = (
            ConditionStatus,
            &'static [(&'static str, TaintEffect)],
            &'static [&'static str],
            &'static [&'static str],
        );
        let rows: [Row; 7] = [
            (True, &[], &[], &[]),
            (Absent, &[], &[], &[]),
            (False, &[], &[TAINT_NOT_READY], &[]),
            (Unknown, &[(TAINT_NOT_READY, NoSchedule)], &[TAINT_UNREACHABLE], &[TAINT_NOT_READY]),
            (Unknown, &[(TAINT_UNREACHABLE, NoSchedule)], &[], &[]),
            (
                True,
                &[(TAINT_UNREACHABLE, NoExecute), (TAINT_UNREACHABLE, NoSchedule)],
                &[],
                &[TAINT_UNREACHABLE],
            ),
            (True, &[("dedicated", NoSchedule)], &[], &[]),
        ];
        for (ready, taints, add, remove) in rows {
            let plan = plan_no_schedule(&node(ready, taints));
            assert_eq!(
                (keys(&plan.add), keys(&plan.remove)),
                (add.to_vec(), remove.to_vec()),
                "{ready:?} {taints:?}"
            );
        }
    }

    #[test]
    fn pressure_and_cordon_are_tainted_while_they_last() {
        let mut node = node(True, &[]);
        let put = |node: &mut Node, kind, status| {
            node.conditions.put(kind, NodeCondition { status, ..NodeCondition::default() });
        };
        put(&mut node, NodeConditionType::MemoryPressure, True);
        put(&mut node, NodeConditionType::NetworkUnavailable, True);
        node.unschedulable = true;
        let plan = plan_no_schedule(&node);
        assert_eq!(keys(&plan.add), [TAINT_MEMORY_PRESSURE, TAINT_NETWORK_UNAVAILABLE, TAINT_UNSCHEDULABLE]);
        node.taints = Some(plan.add.into());
        put(&mut node, NodeConditionType::MemoryPressure, Unknown);
        node.unschedulable = false;
        assert_eq!(keys(&plan_no_schedule(&node).remove), [TAINT_MEMORY_PRESSURE, TAINT_UNSCHEDULABLE]);
    }

    #[test]
    fn the_two_no_execute_taints_exclude_each_other() {
        use TaintEffect::NoExecute;
        let tainted = node(Unknown, &[(TAINT_NOT_READY, NoExecute)]);
        let plan = plan_no_execute(&tainted);
        assert_eq!((keys(&plan.add), keys(&plan.remove)), (vec![TAINT_UNREACHABLE], vec![TAINT_NOT_READY]));
        assert!(plan_no_execute(&node(Unknown, &[(TAINT_UNREACHABLE, NoExecute)])).is_empty());
        assert!(plan_no_execute(&node(True, &[(TAINT_UNREACHABLE, NoExecute)])).is_empty());
        assert_eq!(keys(&plan_reachable(&tainted).remove), [TAINT_NOT_READY]);
    }
}
