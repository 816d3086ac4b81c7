//! VolumeZone: a pod goes where its volumes are, by their zone and region labels.

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::pod::{Pod, VolumeSource};
use seatrial_api::storage::{PersistentVolume, VolumeBindingMode};
use seatrial_api::symbol::Symbol;

use crate::cluster::{Cluster, NodeInfo};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Plugin, Points, PreFilter, Reason, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VolumeZone;

/// What the pod's volumes ask of a node: a label and the values that will do.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterState {
    demands: Arc<[(Symbol, Vec<Symbol>)]>,
}

/// The zone and region labels, beta and final, with the final one that may stand in.
const TOPOLOGY_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

fn stand_in(key: Symbol) -> Symbol {
    let found = TOPOLOGY_LABELS.iter().find(|(label, _)| key == *label);
    found.map_or(key, |(_, final_label)| Symbol::new(final_label))
}

fn demands(labels: &Labels) -> impl Iterator<Item = (Symbol, Vec<Symbol>)> + '_ {
    TOPOLOGY_LABELS.iter().filter_map(|(label, _)| {
        let key = Symbol::new(label);
        let value = labels.get(key)?;
        let values: Vec<_> = value.as_str().split("__").map(Symbol::new).collect();
        (!value.is_empty()).then_some((key, values))
    })
}

fn claim_names(pod: &Pod) -> impl Iterator<Item = Symbol> + '_ {
    pod.spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Claim { name, .. } => Some(*name),
        _ => None,
    })
}

fn rejected(text: impl Into<Arc<str>>) -> PreFilter {
    PreFilter::Reject(Code::Unresolvable, Reason::Owned(text.into()))
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn concerns(&self, pod: &Pod) -> bool {
        claim_names(pod).next().is_some()
    }

    fn pre_filter(&self, cluster: &Cluster, pod: &Arc<Pod>, state: &mut CycleState) -> PreFilter {
        let volumes = &cluster.volumes;
        let mut found = Vec::new();
        for name in claim_names(pod) {
            let Some(claim) = volumes.claim(pod.meta.namespace, name.as_str()) else {
                return rejected(format!("persistentvolumeclaim \"{name}\" not found"));
            };
            let volume_name = claim.spec.volume_name;
            if volume_name.is_empty() {
                let class_name = claim.spec.storage_class.unwrap_or_default();
                if class_name.is_empty() {
                    return rejected("PersistentVolumeClaim had no pv name and storageClass name");
                }
                match volumes.classes.get(&class_name).map(|class| class.binding_mode) {
                    Some(VolumeBindingMode::WaitForFirstConsumer) => continue,
                    Some(VolumeBindingMode::Immediate) => return rejected("PersistentVolume had no name"),
                    None => {
                        return rejected(format!("storageclass.storage.k8s.io \"{class_name}\" not found"));
                    }
                }
            }
            let Some(volume) = volumes.volumes.get(volume_name.as_str()) else {
                return rejected(format!("persistentvolume \"{volume_name}\" not found"));
            };
            found.extend(demands(&volume.meta.labels));
        }
        if found.is_empty() {
            return PreFilter::Skip;
        }
        state.volume_zone.demands = found.into();
        PreFilter::Run
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let has_zone = TOPOLOGY_LABELS.iter().any(|(label, _)| node.label(Symbol::new(label)).is_some());
        if !has_zone {
            return Ok(());
        }
        let satisfied = |(key, values): &(Symbol, Vec<Symbol>)| {
            let value = node.label(*key).or_else(|| node.label(stand_in(*key)));
            value.is_some_and(|value| values.contains(&value))
        };
        if cycle.state.volume_zone.demands.iter().all(satisfied) {
            return Ok(());
        }
        why.reject(Code::Unresolvable, "node(s) had no available volume zone")
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::NodeAdd, EventKind::NodeLabels, EventKind::NodeTaints, EventKind::Storage])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        match event {
            ClusterEvent::ClassAdd(class) => {
                Hint::queue_if(class.binding_mode == VolumeBindingMode::WaitForFirstConsumer)
            }
            ClusterEvent::NodeAdd(_)
            | ClusterEvent::NodeUpdate { change: NodeChange::Labels | NodeChange::Taints, .. }
            | ClusterEvent::VolumeAdd(_) => Hint::Queue,
            ClusterEvent::ClaimAdd(claim) | ClusterEvent::ClaimUpdate { new: claim, .. } => Hint::queue_if(
                claim.meta.namespace == context.pod.meta.namespace
                    && claim_names(context.pod).any(|name| name == claim.meta.name.as_str()),
            ),
            ClusterEvent::VolumeUpdate { old, new } => {
                let topology =
                    |volume: &PersistentVolume| -> Vec<_> { demands(&volume.meta.labels).collect() };
                Hint::queue_if(topology(old) != topology(new))
            }
            _ => Hint::Skip,
        }
    }
}
