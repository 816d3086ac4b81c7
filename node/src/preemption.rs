//! How a node makes room for a critical pod (upstream `preemption/preemption.go`).

use seatrial_api::machine::Severity;
use seatrial_api::pod::{Pod, QosClass};
use seatrial_api::units::SimTime;

use crate::admission::{Refusal, Shortage, out_of};
use crate::machine::{Fx, Kubelets};
use crate::rows::{Flag, Stage};

/// The priority from which on a pod is critical.
pub const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// The message of pods that were stopped for a critical one.
const MESSAGE: &str = "Preempted in order to admit critical pod";

/// Whether a pod is critical: admitted before others, never evicted.
pub fn is_critical(pod: &Pod) -> bool {
    pod.spec.priority() >= CRITICAL_PRIORITY
}

/// How much is needed of each of a few resources.
type Needs = Vec<(Shortage, i64)>;

/// What `pod` requests of a resource.
fn request(pod: &Pod, shortage: &Shortage) -> i64 {
    let requests = &pod.spec.derived.requests;
    match shortage.resource.as_str() {
        "pods" => 1,
        "cpu" => requests.cpu.0,
        "memory" => requests.memory.0,
        "ephemeral-storage" => requests.ephemeral_storage.0,
        _ => requests.scalars.get(shortage.resource),
    }
}

/// What is still needed if these pods go.
fn without<'a>(needs: &Needs, pods: impl Iterator<Item = &'a Pod> + Clone) -> Needs {
    let left = needs.iter().map(|&(shortage, amount)| {
        let freed: i64 = pods.clone().map(|pod| request(pod, &shortage)).sum();
        (shortage, amount - freed)
    });
    left.filter(|need| need.1 > 0).collect()
}

/// Takes pods from `pods`, each time the one that leaves the smallest share of the needs unmet (of
/// two equal ones that with the smaller request), until nothing is needed any more.
fn closest(mut pods: Vec<&Pod>, mut needs: Needs) -> Option<Vec<&Pod>> {
    let mut taken = Vec::new();
    let distance = |pod: &Pod, needs: &Needs| -> f64 {
        let unmet = needs.iter().map(|(shortage, amount)| {
            let left = (amount - request(pod, shortage)).max(0) as f64 / *amount as f64;
            left * left
        });
        unmet.sum()
    };
    let size = |pod: &Pod| (pod.spec.derived.requests.memory, pod.spec.derived.requests.cpu);
    while !needs.is_empty() {
        let mut best: Option<(f64, usize)> = None;
        for (index, pod) in pods.iter().enumerate() {
            let here = distance(pod, &needs);
            let better = best.is_none_or(|(there, chosen)| {
                here < there || (here == there && size(pod) <= size(pods[chosen]))
            });
            if better {
                best = Some((here, index));
            }
        }
        let pod = pods.swap_remove(best?.1);
        needs = without(&needs, std::iter::once(pod));
        taken.push(pod);
    }
    Some(taken)
}

/// The pods that go to make room for `preemptor`: guaranteed ones only for what all others
/// together cannot give, then burstable, then best-effort ones. `None` if no set suffices.
pub fn victims<'a>(preemptor: &Pod, pods: &[&'a Pod], shortages: &[Shortage]) -> Option<Vec<&'a Pod>> {
    let needs: Needs = shortages
        .iter()
        .map(|shortage| (*shortage, shortage.requested - (shortage.capacity - shortage.used)))
        .collect();
    let may_go = |pod: &&&Pod| !is_critical(pod) || pod.spec.priority() < preemptor.spec.priority();
    let of = |class| -> Vec<&'a Pod> {
        pods.iter().filter(may_go).filter(|pod| pod.spec.derived.qos == class).copied().collect()
    };
    let (best_effort, burstable) = (of(QosClass::BestEffort), of(QosClass::Burstable));
    let others = best_effort.iter().chain(&burstable).copied();
    let guaranteed = closest(of(QosClass::Guaranteed), without(&needs, others))?;
    let others = best_effort.iter().chain(&guaranteed).copied();
    let burstable = closest(burstable.clone(), without(&needs, others))?;
    let others = burstable.iter().chain(&guaranteed).copied();
    let mut chosen = closest(best_effort.clone(), without(&needs, others))?;
    chosen.extend(burstable);
    chosen.extend(guaranteed);
    Some(chosen)
}

/// A critical pod for which a node is making room.
#[derive(Clone, Debug)]
pub(crate) struct Preemption {
    /// The pod.
    preemptor: u32,
    /// Pods that still have to go, the next one last.
    victims: Vec<u32>,
}

impl Kubelets {
    /// Makes room for a pod that fits but for these resources. Returns the refusal if there is no
    /// way.
    pub(crate) fn preempt(
        &mut self,
        now: SimTime,
        slot: usize,
        shortages: &[Shortage],
        fx: &mut Fx,
    ) -> Option<Refusal> {
        let node = self.pods[slot].node;
        let active: Vec<_> = self.nodes[node as usize]
            .pods
            .iter()
            .filter_map(|&pod| self.slot(pod))
            .filter(|&slot| self.pods[slot].is(Flag::Counted))
            .map(|slot| &*self.pods[slot].pod)
            .collect();
        let Some(victims) = victims(&self.pods[slot].pod, &active, shortages) else {
            let message = format!(
                "Unexpected error while attempting to recover from admission failure: preemption: error finding a \
                 set of pods to preempt: no set of running pods found to reclaim resources: {}",
                shortages.first().map_or(String::new(), |shortage| out_of(*shortage).message)
            );
            return Some(Refusal { reason: "UnexpectedAdmissionError", message });
        };
        let victims = victims.iter().rev().map(|pod| pod.meta.id).collect();
        let preemptor = self.pods[slot].pod.meta.id;
        self.pods[slot].set(Flag::AwaitsRoom);
        self.nodes[node as usize].preemptions.push(Preemption { preemptor, victims });
        self.continue_preemptions(now, node, fx);
        None
    }

    /// Stops the next victim of each preemption whose last one has stopped, and admits the pods for
    /// which room was made.
    ///
    /// Model: the rest of the node's pods go on meanwhile, which upstream blocks.
    pub(crate) fn continue_preemptions(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let mut open = std::mem::take(&mut self.nodes[node as usize].preemptions);
        let mut admitted = Vec::new();
        open.retain_mut(|preemption| {
            while let Some(&victim) = preemption.victims.last() {
                let Some(slot) = self.slot(victim) else {
                    preemption.victims.pop();
                    continue;
                };
                match self.pods[slot].stage {
                    Stage::Sync => {
                        let object = self.pod_ref(slot);
                        fx.decide(object, Severity::Warning, "Preempting", || MESSAGE);
                        self.disrupt(slot, "Preempting", MESSAGE, None, now);
                        self.trigger(now, slot, fx);
                        return true;
                    }
                    Stage::Terminating => return true,
                    Stage::Terminated | Stage::Finished => {
                        preemption.victims.pop();
                    }
                }
            }
            admitted.push(preemption.preemptor);
            false
        });
        self.nodes[node as usize].preemptions.extend(open);
        for pod in admitted {
            if let Some(slot) = self.slot(pod)
                && self.pods[slot].stage == Stage::Sync
            {
                self.pods[slot].unset(Flag::AwaitsRoom);
                self.occupy(slot);
                self.trigger(now, slot, fx);
            }
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
    use seatrial_api::resources::ResourceList;
    use seatrial_api::units::{Bytes, MilliCpu};

    /// A pod by words: its name, its class, its request of CPU.
    fn pod(words: &str) -> Pod {
        let parts: Vec<_> = words.split(' ').collect();
        let mut container = Container::new("c", "app:1");
        let cpu = parts[2].parse().ok().map(MilliCpu);
        let amounts = ResourceList { cpu, memory: Some(Bytes(10)), ..ResourceList::default() };
        if parts[1] != "besteffort" {
            container.requests = amounts.clone();
        }
        if parts[1] == "guaranteed" {
            container.limits = amounts;
        }
        let mut spec = PodSpec::new(vec![container]);
        spec.priority = parts.get(3).map(|_| CRITICAL_PRIORITY);
        Pod::new(ObjectMeta::named("default", parts[0]), Arc::new(spec.sealed()))
    }

    #[test]
    fn the_fewest_and_least_protected_pods_make_room() {
        let critical = pod("system burstable 100 critical");
        for (pods, needed, expected) in [
            (&["a burstable 500", "b burstable 300"][..], 300, Some("b")),
            (&["a burstable 500", "b burstable 300"], 400, Some("a")),
            (&["a burstable 500", "b burstable 300"], 800, Some("a b")),
            (&["a guaranteed 500", "b burstable 300"], 300, Some("b")),
            (&["a guaranteed 500", "b burstable 300"], 400, Some("a")),
            (&["a besteffort 0", "b burstable 300"], 100, Some("b")),
            (&["a burstable 500 critical"], 100, None),
            (&["a burstable 100"], 200, None),
        ] {
            let pods: Vec<_> = pods.iter().map(|words| pod(words)).collect();
            let shortage = Shortage { resource: "cpu".into(), requested: needed, used: 0, capacity: 0 };
            let chosen = victims(&critical, &pods.iter().collect::<Vec<_>>(), &[shortage]);
            let names = chosen.map(|pods| {
                let names: Vec<_> = pods.iter().map(|pod| pod.meta.name.to_string()).collect();
                names.join(" ")
            });
            assert_eq!(names.as_deref(), expected, "{needed}");
        }
    }
}
