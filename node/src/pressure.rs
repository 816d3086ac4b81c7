//! A node short of memory: which pod the kubelet evicts, which container the kernel kills
//! (upstream `eviction/*.go`, `qos/policy.go`).
//!
//! How much memory is used is the driver's knowledge. While less is available than
//! [`EVICTION_THRESHOLD`], it calls [`Kubelets::observe_memory`] every [`LOOK_PERIOD`], and once
//! more when a victim has stopped.
//!
//! Model: pressure of disk and of process ids is left out.

use std::cmp::Reverse;

use seatrial_api::container::Container;
use seatrial_api::machine::Severity;
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodReason, QosClass};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime, Span};

use crate::machine::{Fx, Kubelets, Timer};
use crate::preemption::is_critical;
use crate::rows::{Flag, Stage};
use crate::table::Power;

/// Pods are evicted while less memory is available (`evictionHard`, `memory.available`).
pub const EVICTION_THRESHOLD: Bytes = Bytes(100 << 20);

/// From one look at a node's memory to the next.
pub const LOOK_PERIOD: Span = Span::from_secs(10);

/// How long a node says that it is short of memory after it was seen to be.
const TRANSITION: Span = Span::from_mins(5);

/// A pod that may be evicted.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What it uses; `None` if nothing is known yet.
    pub usage: Option<Bytes>,
}

/// The pod that goes first when memory is short: one of which nothing is known, then one that uses
/// more than it requests, then the lower priority, then the larger excess; then the smaller name.
/// Critical pods stay.
pub fn eviction_victim<'a>(candidates: &[Candidate<'a>]) -> Option<&'a Pod> {
    first_to_go(candidates.iter().map(|candidate| {
        let request = candidate.pod.spec.derived.requests.memory;
        (candidate.pod, candidate.usage.map(|usage| usage - request))
    }))
}

/// The pod that goes first for want of a resource, of pods with what each takes beyond its request.
pub(crate) fn first_to_go<'a>(candidates: impl Iterator<Item = (&'a Pod, Option<Bytes>)>) -> Option<&'a Pod> {
    let rank = |(pod, excess): &(&'a Pod, Option<Bytes>)| {
        (
            excess.is_some(),
            Reverse(*excess > Some(Bytes::ZERO)),
            pod.spec.priority(),
            Reverse(*excess),
            pod.meta.name.clone(),
        )
    };
    candidates.filter(|(pod, _)| !is_critical(pod)).min_by_key(rank).map(|(pod, _)| pod)
}

/// `oom_score_adj` of a container: how much likelier than its share of memory the kernel kills it,
/// in thousandths.
pub fn oom_score_adjustment(pod: &Pod, container: &Container, node_memory: Bytes) -> i64 {
    if pod.spec.priority_class == "system-node-critical" {
        return -997;
    }
    let score = |memory: Bytes| 1_000 - memory.0.saturating_mul(1_000) / node_memory.0.max(1);
    match pod.spec.derived.qos {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1_000,
        QosClass::Burstable => {
            let request = |container: &Container| container.requests.memory.unwrap_or_default();
            let own = score(request(container));
            let lowest = pod.spec.containers.iter().map(request).min().unwrap_or_default();
            let adjusted = if container.is_sidecar() { own.min(score(lowest)) } else { own };
            adjusted.clamp(3, 999)
        }
    }
}

/// A container that the kernel may kill.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// Its position among init and main containers.
    pub index: usize,
    /// What it uses.
    pub usage: Bytes,
}

/// The container that the kernel kills when the node has no memory left: the highest sum of its
/// share of the node's memory and its adjustment, the first of equals.
pub fn oom_victim<'a>(processes: &[Process<'a>], node_memory: Bytes) -> Option<Process<'a>> {
    let badness = |process: &Process<'a>| {
        let container = process.pod.spec.all_containers().nth(process.index)?;
        let share = process.usage.0.saturating_mul(1_000) / node_memory.0.max(1);
        Some(share + oom_score_adjustment(process.pod, container, node_memory))
    };
    let scored = processes.iter().filter_map(|process| Some((badness(process)?, *process)));
    scored.rev().max_by_key(|scored| scored.0).map(|scored| scored.1)
}

/// What a node's memory looks like.
#[derive(Clone, Copy, Debug)]
pub struct MemoryReport<'a> {
    /// What is available.
    pub available: Bytes,
    /// What pods use, by row; pods that are not listed count as not measured yet.
    pub usage: &'a [(u32, Bytes)],
}

/// What a kubelet does about the memory of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// Nothing: there is enough of it.
    NotNeeded,
    /// A pod that it evicts has not stopped yet.
    UnderWay,
    /// It evicts this pod.
    Evicts {
        /// The pod's row in the store.
        pod: u32,
    },
    /// There is no pod that it may evict.
    Impossible,
}

impl Kubelets {
    /// Tells a node's kubelet how its memory looks. If it is short, the node says so, and one pod
    /// is evicted.
    pub fn observe_memory(
        &mut self,
        now: SimTime,
        name: Symbol,
        report: MemoryReport<'_>,
        effects: &mut Fx,
    ) -> Relief {
        let Some(&node) = self.node_slots.get(&name) else { return Relief::NotNeeded };
        let row = &mut self.nodes[node as usize];
        if row.power != Power::On || report.available >= EVICTION_THRESHOLD {
            return Relief::NotNeeded;
        }
        let until = now + TRANSITION;
        row.pressure_until = Some(until);
        effects.timer(until, Timer::Pressure { node, life: row.life });
        self.compare_node(now, node, effects);
        self.evict_one(now, node, report, effects)
    }

    fn evict_one(&mut self, now: SimTime, node: u32, report: MemoryReport<'_>, fx: &mut Fx) -> Relief {
        let slots = self.nodes[node as usize].pods.iter().filter_map(|&pod| self.slot(pod));
        let active: Vec<_> = slots.filter(|&slot| self.pods[slot].is(Flag::Counted)).collect();
        if active.iter().any(|&slot| self.is_being_evicted(slot)) {
            return Relief::UnderWay;
        }
        let candidates: Vec<_> = active
            .iter()
            .map(|&slot| &*self.pods[slot].pod)
            .map(|pod| {
                let usage = report.usage.iter().find(|usage| usage.0 == pod.meta.id);
                Candidate { pod, usage: usage.map(|usage| usage.1) }
            })
            .collect();
        let victim = eviction_victim(&candidates).map(|pod| pod.meta.id);
        let Some((pod, slot)) = victim.and_then(|pod| Some((pod, self.slot(pod)?))) else {
            return Relief::Impossible;
        };
        let message = format!(
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: {}Ki. ",
            report.available.0.max(0) / 1_024
        );
        let object = self.pod_ref(slot);
        fx.decide(object, Severity::Warning, "Evicted", || message.clone());
        self.disrupt(slot, "Evicted", &message, Some(Span::from_secs(1)), now);
        self.trigger(now, slot, fx);
        Relief::Evicts { pod }
    }

    fn is_being_evicted(&self, slot: usize) -> bool {
        let row = &self.pods[slot];
        let failure = row.extra.as_ref().and_then(|extra| extra.failure.as_ref());
        row.stage == Stage::Terminating && failure.is_some_and(|failure| failure.reason == "Evicted")
    }

    /// The node may say again that it has memory enough.
    pub(crate) fn pressure_over(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let row = &mut self.nodes[node as usize];
        if row.pressure_until == Some(now) {
            row.pressure_until = None;
            self.compare_node(now, node, fx);
        }
    }

    /// The kubelet stops a pod for its own reasons: it will have failed, by a disruption.
    pub(crate) fn disrupt(
        &mut self,
        slot: usize,
        reason: &str,
        message: &str,
        grace: Option<Span>,
        now: SimTime,
    ) {
        self.fail_pod(now, slot, reason, message, grace);
        let kind = PodConditionType::DisruptionTarget;
        let conditions = &mut self.statuses[slot].conditions;
        conditions.set(kind, ConditionStatus::True, PodReason::TerminationByKubelet, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use seatrial_api::container::RestartPolicy;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::PodSpec;

    const MI: i64 = 1 << 20;

    fn pod(name: &str, request: i64, priority: i32) -> Pod {
        let mut container = Container::new("c", "app:1");
        container.requests.memory = (request > 0).then_some(Bytes(request * MI));
        let spec = PodSpec { priority: Some(priority), ..PodSpec::new(vec![container]) };
        Pod::new(ObjectMeta::named("default", name), Arc::new(spec.sealed()))
    }

    #[test]
    fn excess_comes_before_priority_and_priority_before_the_size_of_the_excess() {
        for (pods, expected) in [
            (&[("a", 100, 0, Some(50)), ("b", 100, 10, Some(150))][..], Some("b")),
            (&[("a", 100, 5, Some(300)), ("b", 100, 0, Some(150))], Some("b")),
            (&[("a", 100, 0, Some(300)), ("b", 100, 0, Some(150))], Some("a")),
            (&[("a", 100, 0, Some(300)), ("b", 100, 9, None)], Some("b")),
            (&[("a", 100, 0, Some(90)), ("b", 100, 0, Some(20))], Some("a")),
            (&[("a", 0, i32::MAX, Some(900))], None),
        ] {
            let pods: Vec<_> = pods
                .iter()
                .map(|&(name, request, priority, usage)| (pod(name, request, priority), usage))
                .collect();
            let candidates: Vec<_> = pods
                .iter()
                .map(|(pod, usage)| Candidate { pod, usage: usage.map(|usage: i64| Bytes(usage * MI)) })
                .collect();
            assert_eq!(eviction_victim(&candidates).map(|pod| pod.meta.name.as_str()), expected);
        }
    }

    #[test]
    fn the_kernel_prefers_those_who_asked_for_little() {
        let node = Bytes(1_000 * MI);
        let adjustment = |pod: &Pod, index: usize| {
            let container = pod.spec.all_containers().nth(index).expect("the container");
            oom_score_adjustment(pod, container, node)
        };
        assert_eq!(adjustment(&pod("best-effort", 0, 0), 0), 1_000);
        assert_eq!(adjustment(&pod("burstable", 100, 0), 0), 900);
        assert_eq!(adjustment(&pod("large", 2_000, 0), 0), 3);
        let mut spec = PodSpec::clone(&pod("with-sidecar", 300, 0).spec);
        let sidecar =
            Container { restart_policy: Some(RestartPolicy::Always), ..Container::new("s", "app:1") };
        spec.init_containers = Box::new([sidecar]);
        let with_sidecar = Pod::new(ObjectMeta::named("default", "x"), Arc::new(spec.sealed()));
        assert_eq!(adjustment(&with_sidecar, 0), 700, "not above its main container");

        let (small, large) = (pod("a", 100, 0), pod("b", 500, 0));
        let process = |pod, usage| Process { pod, index: 0, usage: Bytes(usage * MI) };
        let victim = |processes: &[Process<'_>]| {
            oom_victim(processes, node).map(|process| process.pod.meta.name.to_string())
        };
        assert_eq!(victim(&[process(&small, 200), process(&large, 500)]).as_deref(), Some("a"));
        assert_eq!(victim(&[process(&small, 50), process(&large, 950)]).as_deref(), Some("b"));
    }
}
