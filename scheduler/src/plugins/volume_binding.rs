//! VolumeBinding: claims are bound to volumes that the chosen node can reach, or volumes are made
//! there.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{Pod, Volume, VolumeSource};
use seatrial_api::request::{Patch, Request, Subresource};
use seatrial_api::storage::{
    ClaimPhase, CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, SELECTED_NODE,
    VolumeBindingMode, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use crate::cluster::volumes::{ClaimKey, Volumes, claims_of};
use crate::cluster::{Cluster, NodeInfo};
use crate::framework::{
    Code, Cycle, CycleState, EventContext, Hint, Plugin, Points, PreBindProgress, PreFilter, Reason, Scope,
    Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VolumeBinding {
    timeout: Span,
}

impl VolumeBinding {
    pub(crate) fn new(timeout: Span) -> VolumeBinding {
        VolumeBinding { timeout }
    }
}

/// The pod's claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterState {
    claims: Arc<PodClaims>,
}

#[derive(Debug, Default)]
struct PodClaims {
    bound: Vec<Arc<PersistentVolumeClaim>>,
    /// Those that wait for a node.
    delayed: Vec<Arc<PersistentVolumeClaim>>,
    /// Whether some claim should have been bound by now.
    unbound_immediate: bool,
}

/// What binding on a node comes to.
#[derive(Debug, Default)]
struct Plan {
    volumes: Vec<(CompactString, Arc<PersistentVolumeClaim>)>,
    provisions: Vec<Arc<PersistentVolumeClaim>>,
}

const NODE_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const BIND_CONFLICT: &str = "node(s) didn't find available persistent volumes to bind";
const NO_SPACE: &str = "node(s) did not have enough free storage";
const VOLUME_MISSING: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

fn key_of(claim: &PersistentVolumeClaim) -> ClaimKey {
    (claim.meta.namespace, claim.meta.name.clone())
}

/// The pod's claims by how they are bound, or why the pod cannot be scheduled at all.
fn pod_claims(volumes: &Volumes, pod: &Pod) -> Result<PodClaims, String> {
    let mut claims = PodClaims::default();
    for ((namespace, name), ephemeral) in claims_of(pod) {
        let Some(claim) = volumes.claim(namespace, &name) else {
            return Err(if ephemeral {
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
                )
            } else {
                format!("persistentvolumeclaim \"{name}\" not found")
            });
        };
        let volume = claim.spec.volume_name;
        if claim.phase == ClaimPhase::Lost {
            return Err(format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
            ));
        }
        if claim.meta.is_deleting() {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        if claim.is_fully_bound() {
            claims.bound.push(claim.clone());
        } else if volume.is_empty() && waits_for_consumer(volumes, claim) {
            claims.delayed.push(claim.clone());
        } else {
            claims.unbound_immediate = true;
        }
    }
    Ok(claims)
}

fn waits_for_consumer(volumes: &Volumes, claim: &PersistentVolumeClaim) -> bool {
    let class = claim.spec.storage_class.and_then(|name| volumes.classes.get(&name));
    class.is_some_and(|class| class.binding_mode == VolumeBindingMode::WaitForFirstConsumer)
}

/// Whether a volume can be reached from a node; fields are not looked at.
fn reaches(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    volume.node_affinity.as_ref().is_none_or(|terms| {
        terms.iter().any(|term| {
            let labels = term.expressions.iter().all(|wanted| wanted.admits(node.label(wanted.key)));
            labels && !(term.expressions.is_empty() && term.fields.is_empty())
        })
    })
}

/// The volume to bind a claim to on a node: one reserved for it, else the smallest that will do.
fn matching_volume<'a>(
    volumes: &'a Volumes,
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
    taken: &[(CompactString, Arc<PersistentVolumeClaim>)],
) -> Option<&'a Arc<PersistentVolume>> {
    let class = claim.spec.storage_class.unwrap_or_default();
    let mut smallest: Option<&Arc<PersistentVolume>> = None;
    for volume in volumes.volumes.values() {
        let owner = volumes.claim_of(volume);
        let comes_into_question = volume.storage_class == class
            && taken.iter().all(|(name, _)| *name != volume.meta.name)
            && owner.is_none_or(|claim_ref| claim_ref.names(claim))
            && volume.capacity >= claim.spec.request
            && volume.volume_mode == claim.spec.volume_mode
            && volume.attributes_class == claim.spec.attributes_class
            && !volume.meta.is_deleting();
        if !comes_into_question {
            continue;
        }
        if owner.is_some() {
            return reaches(volume, node).then_some(volume);
        }
        let fits = volume.phase == VolumePhase::Available
            && claim.spec.selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta.labels))
            && volume.access_modes.contains(claim.spec.access_modes)
            && reaches(volume, node);
        if fits && smallest.is_none_or(|other| other.capacity > volume.capacity) {
            smallest = Some(volume);
        }
    }
    smallest
}

/// Whether a volume can be made for a claim on a node, or why not.
fn can_provision(
    volumes: &Volumes,
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
) -> Result<(), &'static str> {
    let class = claim.spec.storage_class.and_then(|name| volumes.classes.get(&name));
    let Some(class) = class else { return Err(BIND_CONFLICT) };
    let here = class.allowed_topologies.as_ref().is_none_or(|terms| {
        terms.is_empty()
            || terms.iter().any(|term| {
                !term.expressions.is_empty()
                    && term.expressions.iter().all(|wanted| wanted.admits(node.label(wanted.key)))
            })
    });
    if !class.provisions() || !here {
        return Err(BIND_CONFLICT);
    }
    if volumes.has_capacity(claim, class, node.labels()) { Ok(()) } else { Err(NO_SPACE) }
}

/// Whether a driver says that there is more room than before.
fn grows(old: &CsiStorageCapacity, new: &CsiStorageCapacity) -> bool {
    let limit = |capacity: &CsiStorageCapacity| capacity.volume_max.or(capacity.capacity);
    limit(new) > limit(old)
}

/// How the pod's delayed claims would be bound on a node, or why they cannot.
fn plan(volumes: &Volumes, claims: &PodClaims, node: &NodeInfo) -> Result<Plan, &'static str> {
    let mut plan = Plan::default();
    let mut to_match = Vec::new();
    for claim in &claims.delayed {
        match volumes.selected_node(claim) {
            Some(selected) if selected != node.name() => return Err(BIND_CONFLICT),
            Some(_) => plan.provisions.push(claim.clone()),
            None => to_match.push(claim.clone()),
        }
    }
    to_match.sort_by_key(|claim| claim.spec.request);
    for claim in to_match {
        match matching_volume(volumes, &claim, node, &plan.volumes) {
            Some(volume) => plan.volumes.push((volume.meta.name.clone(), claim)),
            None => plan.provisions.push(claim),
        }
    }
    for claim in &plan.provisions {
        can_provision(volumes, claim, node)?;
    }
    Ok(plan)
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn points(&self) -> Points {
        Points { pre_filter: true, filter: true, reserve: true, pre_bind: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn concerns(&self, pod: &Pod) -> bool {
        claims_of(pod).next().is_some()
    }

    fn pre_filter(&self, cluster: &Cluster, pod: &Arc<Pod>, state: &mut CycleState) -> PreFilter {
        if claims_of(pod).next().is_none() {
            return PreFilter::Skip;
        }
        match pod_claims(&cluster.volumes, pod) {
            Err(text) => PreFilter::Reject(Code::Unresolvable, Reason::Owned(text.into())),
            Ok(claims) if claims.unbound_immediate => PreFilter::Reject(
                Code::Unresolvable,
                Reason::Text("pod has unbound immediate PersistentVolumeClaims"),
            ),
            Ok(claims) => {
                state.volume_binding.claims = Arc::new(claims);
                PreFilter::Run
            }
        }
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let volumes = &cycle.cluster.volumes;
        let claims = &cycle.state.volume_binding.claims;
        let mut verdict = Ok(());
        for claim in &claims.bound {
            let Some(volume) = volumes.volumes.get(claim.spec.volume_name.as_str()) else {
                verdict = why.reject(Code::Unresolvable, VOLUME_MISSING);
                break;
            };
            if !reaches(volume, node) {
                verdict = why.reject(Code::Unresolvable, NODE_CONFLICT);
                break;
            }
        }
        if !claims.delayed.is_empty()
            && let Err(reason) = plan(volumes, claims, node)
        {
            verdict = why.reject(Code::Unresolvable, reason);
        }
        verdict
    }

    fn reserve(&self, cluster: &mut Cluster, pod: &Arc<Pod>, node: Symbol) {
        if !self.concerns(pod) {
            return;
        }
        let plan = match (pod_claims(&cluster.volumes, pod), cluster.node(node)) {
            (Ok(claims), Some(node)) if !claims.delayed.is_empty() => {
                plan(&cluster.volumes, &claims, node).ok()
            }
            _ => None,
        };
        for (volume, claim) in plan.iter().flat_map(|plan| &plan.volumes) {
            let is_own = cluster.volumes.volumes.get(volume).is_some_and(|volume| volume.claim.is_some());
            if !is_own {
                cluster.volumes.assume_volume(volume, claim);
            }
        }
        for claim in plan.iter().flat_map(|plan| &plan.provisions) {
            cluster.volumes.assume_provisioning(claim, node);
        }
    }

    fn unreserve(&self, cluster: &mut Cluster, pod: &Arc<Pod>, _: Symbol) {
        for (key, _) in claims_of(pod) {
            cluster.volumes.forget_reservations(&key);
        }
    }

    fn pre_bind(&self, cluster: &Cluster, pod: &Arc<Pod>, _: Symbol) -> Vec<Request> {
        let mut requests = Vec::new();
        for (key, _) in claims_of(pod) {
            let Some(claim) = cluster.volumes.claim(key.0, &key.1) else { continue };
            if let Some(volume) = cluster.volumes.reserved_volume(&key) {
                let claim = cluster.volumes.claim_of(volume).cloned();
                let object = PersistentVolume { claim, ..PersistentVolume::clone(volume) };
                requests.push(Request::Update {
                    object: Object::PersistentVolume(Arc::new(object)),
                    subresource: Subresource::Main,
                });
            } else if let Some(node) = cluster.volumes.reserved_node(&key) {
                let annotation = (Symbol::new(SELECTED_NODE), Some(node));
                requests.push(Request::Patch {
                    target: ObjectRef { kind: Kind::PersistentVolumeClaim, id: claim.meta.id },
                    patch: Patch::Annotations(vec![annotation]),
                });
            }
        }
        requests
    }

    fn pre_bind_progress(&self, cluster: &Cluster, pod: &Arc<Pod>, node: Symbol) -> PreBindProgress {
        for (key, _) in claims_of(pod) {
            let Some(claim) = cluster.volumes.claim(key.0, &key.1) else {
                let text = format!(
                    "binding volumes: failed to check provisioning pvc: could not find v1.PersistentVolumeClaim \"{}/{}\"",
                    key.0, key.1
                );
                return PreBindProgress::Failed(text);
            };
            if claim.is_fully_bound() {
                let volume = cluster.volumes.volumes.get(claim.spec.volume_name.as_str());
                let reachable =
                    volume.zip(cluster.node(node)).is_some_and(|(volume, node)| reaches(volume, node));
                if !reachable {
                    let text = format!(
                        "binding volumes: pv \"{}\" node affinity doesn't match node \"{node}\": no matching \
                         NodeSelectorTerms",
                        claim.spec.volume_name
                    );
                    return PreBindProgress::Failed(text);
                }
                continue;
            }
            if cluster.volumes.gave_up(&key, node) {
                let text = format!("binding volumes: provisioning failed for PVC \"{}\"", key.1);
                return PreBindProgress::Failed(text);
            }
            return PreBindProgress::Waiting;
        }
        PreBindProgress::Done
    }

    fn pre_bind_timeout(&self) -> Span {
        self.timeout
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::NodeAdd, EventKind::NodeLabels, EventKind::NodeTaints, EventKind::Storage])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        match event {
            ClusterEvent::ClassAdd(_)
            | ClusterEvent::VolumeAdd(_)
            | ClusterEvent::VolumeUpdate { .. }
            | ClusterEvent::NodeAdd(_)
            | ClusterEvent::NodeUpdate { change: NodeChange::Labels | NodeChange::Taints, .. }
            | ClusterEvent::CsiNodeAdd(_) => Hint::Queue,
            ClusterEvent::ClassUpdate { old, new } => {
                Hint::queue_if(old.allowed_topologies != new.allowed_topologies)
            }
            ClusterEvent::ClaimAdd(claim) | ClusterEvent::ClaimUpdate { new: claim, .. } => {
                Hint::queue_if(claims_of(context.pod).any(|(key, _)| key == key_of(claim)))
            }
            ClusterEvent::CapacityAdd(_) => Hint::Queue,
            ClusterEvent::CapacityUpdate { old, new } => Hint::queue_if(grows(old, new)),
            ClusterEvent::DriverUpdate { old, new } => {
                let inline = |volume: &Volume| matches!(volume.source, VolumeSource::Csi(driver) if driver == new.meta.name.as_str());
                let is_let_off = old.storage_capacity && !new.storage_capacity;
                Hint::queue_if(is_let_off && context.pod.spec.volumes.iter().any(inline))
            }
            _ => Hint::Skip,
        }
    }
}
