//! What the admission of vertical autoscaling adds to pods: the requests that are recommended for
//! them (upstream, in the autoscaler's repository, `vertical-pod-autoscaler/pkg/admission-controller`).

use std::sync::Arc;

use super::ApiServer;
use crate::container::Container;
use crate::labels::Selector;
use crate::object::{Kind, Object};
use crate::pod::{Pod, PodSpec};
use crate::symbol::Symbol;
use crate::units::{Bytes, MilliCpu};
use crate::vertical::{
    ContainerRecommendation, ControlledValues, CpuAndMemory, UpdateMode, VerticalPodAutoscaler,
};

/// The annotation of a pod whose requests were written.
const ANNOTATION: &str = "vpaUpdates";

/// A specification with the requests of a recommendation: what it was made of, and what it is.
#[derive(Clone, Debug)]
pub(super) struct Recommended {
    template: Arc<PodSpec>,
    recommendation: Vec<ContainerRecommendation>,
    spec: Arc<PodSpec>,
}

/// How many are kept before those without pods are dropped.
const RECOMMENDED_MAX: usize = 1_024;

impl ApiServer {
    /// Writes into a new pod what is recommended for its containers. Pods that share a specification
    /// share the written one too. Costs nothing where there is no autoscaler.
    pub(super) fn apply_recommendation(&mut self, pod: &mut Pod) {
        let Some(autoscaler) = self.vertical_autoscaler_of(pod) else { return };
        let wanted = processed(&autoscaler, &pod.spec);
        if wanted.is_empty() {
            return;
        }
        let known = self
            .recommended
            .iter()
            .find(|known| Arc::ptr_eq(&known.template, &pod.spec) && known.recommendation == wanted);
        let spec = match known {
            Some(known) => known.spec.clone(),
            None => {
                let spec = Arc::new(with_requests(&pod.spec, &wanted, &autoscaler));
                if self.recommended.len() >= RECOMMENDED_MAX {
                    self.recommended.retain(|known| Arc::strong_count(&known.spec) > 1);
                }
                let (template, recommendation) = (pod.spec.clone(), wanted);
                self.recommended.push(Recommended { template, recommendation, spec: spec.clone() });
                spec
            }
        };
        if spec == pod.spec {
            return;
        }
        pod.spec = spec;
        let text = format!("Pod resources updated by {}", autoscaler.meta.name);
        pod.meta.annotations = pod.meta.annotations.with(Symbol::new(ANNOTATION), Symbol::new(&text));
    }

    /// The autoscaler that controls a pod: the oldest that is about its workload.
    fn vertical_autoscaler_of(&self, pod: &Pod) -> Option<Arc<VerticalPodAutoscaler>> {
        let autoscalers = self.list_typed::<VerticalPodAutoscaler>().filter(|autoscaler| {
            autoscaler.meta.namespace == pod.meta.namespace
                && autoscaler.update_mode != UpdateMode::Off
                && !autoscaler.status.recommendation.is_empty()
        });
        let controlling = autoscalers.filter(|autoscaler| {
            self.selector_of_target(autoscaler).is_some_and(|selector| selector.matches(&pod.meta.labels))
        });
        controlling.min_by_key(|autoscaler| (autoscaler.meta.created, autoscaler.meta.id)).cloned()
    }

    fn selector_of_target(&self, autoscaler: &VerticalPodAutoscaler) -> Option<Arc<Selector>> {
        let kind = Kind::parse(autoscaler.target_kind.as_str())?;
        match self.find(kind, autoscaler.meta.namespace, &autoscaler.target_name)? {
            Object::Deployment(workload) => Some(workload.selector.clone()),
            Object::ReplicaSet(workload) => Some(workload.selector.clone()),
            Object::StatefulSet(workload) => Some(workload.selector.clone()),
            Object::DaemonSet(workload) => Some(workload.selector.clone()),
            _ => None,
        }
    }
}

/// The part of the recommendation that is about containers of `spec` that are not left alone.
fn processed(autoscaler: &VerticalPodAutoscaler, spec: &PodSpec) -> Vec<ContainerRecommendation> {
    let recommended = autoscaler.status.recommendation.iter().copied();
    let concerned = recommended.filter(|recommendation| {
        let name = recommendation.container;
        !autoscaler.policy(name).is_off && spec.containers.iter().any(|container| container.name == name)
    });
    concerned.collect()
}

fn with_requests(
    spec: &PodSpec,
    wanted: &[ContainerRecommendation],
    autoscaler: &VerticalPodAutoscaler,
) -> PodSpec {
    let mut spec = spec.clone();
    for container in spec.containers.iter_mut() {
        let Some(recommendation) = wanted.iter().find(|wanted| wanted.container == container.name) else {
            continue;
        };
        let values = autoscaler.policy(container.name).controlled_values;
        write_requests(container, recommendation.target, values);
    }
    spec.sealed()
}

/// Writes the requests of a container; its limits keep their ratio to them if they are controlled.
fn write_requests(container: &mut Container, target: CpuAndMemory, values: ControlledValues) {
    let keeps_ratio = values == ControlledValues::RequestsAndLimits;
    if let Some(cpu) = target.cpu {
        let limit = &mut container.limits.cpu;
        if keeps_ratio {
            *limit = limit.map(|limit| MilliCpu(scaled(limit.0, container.requests.cpu.map(|r| r.0), cpu.0)));
        }
        container.requests.cpu = Some(limit.map_or(cpu, |limit| cpu.min(limit)));
    }
    if let Some(memory) = target.memory {
        let limit = &mut container.limits.memory;
        if keeps_ratio {
            *limit =
                limit.map(|limit| Bytes(scaled(limit.0, container.requests.memory.map(|r| r.0), memory.0)));
        }
        container.requests.memory = Some(limit.map_or(memory, |limit| memory.min(limit)));
    }
}

/// A limit in the proportion to the new request that it had to the old one; one without an old
/// request becomes the request.
fn scaled(limit: i64, old: Option<i64>, new: i64) -> i64 {
    match old.filter(|&old| old > 0) {
        Some(old) => i64::try_from(i128::from(limit) * i128::from(new) / i128::from(old)).unwrap_or(i64::MAX),
        None => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_keep_their_ratio_unless_requests_alone_are_controlled() {
        use ControlledValues::{RequestsAndLimits, RequestsOnly};
        // Request, limit, target, what is controlled, and the new request and limit.
        for (request, limit, target, values, expected) in [
            (Some(100), Some(200), 150, RequestsAndLimits, (Some(150), Some(300))),
            (Some(100), Some(100), 150, RequestsAndLimits, (Some(150), Some(150))),
            (Some(100), None, 150, RequestsAndLimits, (Some(150), None)),
            (None, Some(100), 150, RequestsAndLimits, (Some(150), Some(150))),
            (None, None, 150, RequestsAndLimits, (Some(150), None)),
            (Some(100), Some(200), 150, RequestsOnly, (Some(150), Some(200))),
            // A request never exceeds its limit.
            (Some(100), Some(200), 250, RequestsOnly, (Some(200), Some(200))),
        ] {
            let mut container = Container::new("c", "i");
            container.requests.cpu = request.map(MilliCpu);
            container.limits.cpu = limit.map(MilliCpu);
            write_requests(
                &mut container,
                CpuAndMemory { cpu: Some(MilliCpu(target)), memory: None },
                values,
            );
            let found = (container.requests.cpu.map(|r| r.0), container.limits.cpu.map(|l| l.0));
            assert_eq!(found, expected, "{request:?} {limit:?} {target} {values:?}");
            assert_eq!(container.requests.memory, None, "what is not recommended is not written");
        }
    }
}
