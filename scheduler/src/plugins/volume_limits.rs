//! NodeVolumeLimits: how many volumes of a CSI driver can be attached to a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::storage::{CsiNode, uses_claims};
use seatrial_api::symbol::Symbol;

use crate::cluster::volumes::{Volumes, claims_of};
use crate::cluster::{Cluster, NodeInfo};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Plugin, Points, PreFilter, Reason, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeVolumeLimits;

/// A volume by driver and handle; claims without a volume are told apart by their names.
type VolumeName = (Symbol, String);

/// The CSI volume behind a claim: that of its volume or, unbound, one of its class's provisioner.
fn csi_volume(volumes: &Volumes, namespace: Symbol, name: &str) -> Option<VolumeName> {
    let claim = volumes.claim(namespace, name)?;
    if let Some(volume) = volumes.volumes.get(claim.spec.volume_name.as_str()) {
        let known = !volume.csi_driver.is_empty() && !volume.csi_handle.is_empty();
        return known.then(|| (volume.csi_driver, volume.csi_handle.to_string()));
    }
    let class = volumes.classes.get(&claim.spec.storage_class.filter(|class| !class.is_empty())?)?;
    (!class.provisioner.is_empty()).then(|| (class.provisioner, format!("unbound {namespace}/{name}")))
}

fn volumes_of<'a>(cluster: &'a Cluster, pod: &'a Pod) -> impl Iterator<Item = VolumeName> + 'a {
    claims_of(pod).filter_map(|((namespace, name), _)| csi_volume(&cluster.volumes, namespace, &name))
}

fn limit(csi_node: &CsiNode, driver: Symbol) -> Option<i64> {
    let found = csi_node.drivers.iter().find(|entry| entry.name == driver);
    found.and_then(|entry| entry.allocatable).map(i64::from)
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn concerns(&self, pod: &Pod) -> bool {
        uses_claims(pod)
    }

    fn pre_filter(&self, _: &Cluster, pod: &Arc<Pod>, _: &mut CycleState) -> PreFilter {
        if uses_claims(pod) { PreFilter::Run } else { PreFilter::Skip }
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let cluster = cycle.cluster;
        let namespace = cycle.pod.meta.namespace;
        if let Some(((_, name), _)) =
            claims_of(cycle.pod).find(|((_, name), _)| cluster.volumes.claim(namespace, name).is_none())
        {
            why.say(|| {
                let text =
                    format!("looking up PVC {namespace}/{name}: persistentvolumeclaim \"{name}\" not found");
                Reason::Owned(text.into())
            });
            return Err(Code::Unresolvable);
        }
        let Some(csi_node) = cluster.volumes.csi_nodes.get(&node.name()) else { return Ok(()) };
        let mut wanted: BTreeSet<VolumeName> = volumes_of(cluster, cycle.pod).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut attached: BTreeSet<VolumeName> =
            node.pods().iter().flat_map(|other| volumes_of(cluster, &other.pod)).collect();
        wanted.retain(|volume| !attached.contains(volume));
        // What is still attached though no pod uses it any more takes a place as well.
        let volumes = &cluster.volumes;
        let left = volumes.attached_to(node.name()).filter_map(|attachment| {
            let volume = volumes.volumes.get(attachment.volume.as_str())?;
            Some((volume.csi_driver, volume.csi_handle.to_string()))
        });
        attached.extend(left);
        let mut counts: BTreeMap<Symbol, i64> = BTreeMap::new();
        for (driver, _) in &wanted {
            *counts.entry(*driver).or_default() += 1;
        }
        for (driver, count) in counts {
            let used = attached.iter().filter(|volume| volume.0 == driver).count() as i64;
            if limit(csi_node, driver).is_some_and(|limit| used + count > limit) {
                return why.reject(Code::Unschedulable, "node(s) exceed max volume count");
            }
        }
        Ok(())
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::PodDelete, EventKind::Storage])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let pod = context.pod;
        match event {
            ClusterEvent::CsiNodeAdd(_) => Hint::Queue,
            ClusterEvent::CsiNodeUpdate { old, new } => Hint::queue_if(
                new.drivers
                    .iter()
                    .any(|driver| limit(new, driver.name) > limit(old, driver.name).or(Some(0))),
            ),
            ClusterEvent::PodDelete { pod: deleted, .. } => Hint::queue_if(uses_claims(deleted)),
            ClusterEvent::ClaimAdd(claim) => Hint::queue_if(claims_of(pod).any(|((namespace, name), _)| {
                (namespace, &name) == (claim.meta.namespace, &claim.meta.name)
            })),
            ClusterEvent::AttachmentDelete(_) => Hint::queue_if(uses_claims(pod)),
            _ => Hint::Skip,
        }
    }
}
