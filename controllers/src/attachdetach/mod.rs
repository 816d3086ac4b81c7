//! Attaches volumes to the nodes of the pods that need them, and detaches them afterwards (upstream
//! `pkg/controller/volume/attachdetach`, and the attacher of `pkg/volume/csi`).
//!
//! Upstream looks at everything every 100 ms; here a look is played only when something has
//! changed, or an instant has come at which time alone changes something.
//!
//! Model: the digits in the name of a VolumeAttachment are others than upstream's; a
//! VolumeAttachment that somebody deletes is noticed at once and not within a minute.

mod attachments;
mod operations;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHasher;
use seatrial_api::machine::Severity;
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::{ConditionStatus, ContainerState, Pod};
use seatrial_api::request::Change;
use seatrial_api::storage::{
    ClaimPhase, PersistentVolume, PersistentVolumeClaim, VolumeAttachment, claim_names, uses_claims,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use self::attachments::{Attachments, Certainty, Place, Volume};
use self::operations::Operations;
use crate::ControllerTimer;
use crate::framework::{Caches, Event, Port};

/// How often everything is looked at.
const PERIOD: Span = Span::from_millis(100);
/// How long the kubelet of a node that is not ready may take to give a volume up.
const UNMOUNT_MAX: Span = Span::from_mins(6);
/// The taint of a node that will not come back as it was.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttachDetach {
    started_at: Option<SimTime>,
    attachments: Attachments,
    operations: Operations,
    /// Nodes whose status may not list what it should.
    stale_nodes: BTreeSet<Symbol>,
    /// Whether something has changed since everything was looked at.
    changed: bool,
    armed: Option<SimTime>,
    /// The place of each attachment that the watch has shown, by row.
    places: BTreeMap<u32, Place>,
}

/// Whether a pod keeps what it needs: until it has ended, or is to go and nothing of it runs.
fn needs_volumes(pod: &Pod) -> bool {
    let runs = || {
        let containers = pod.status.containers.as_deref().unwrap_or_default();
        containers.iter().any(|container| matches!(container.state, ContainerState::Running { .. }))
    };
    pod.node.is_some() && !pod.status.phase.is_terminal() && (!pod.meta.is_deleting() || runs())
}

/// The volume behind a claim, if the claim is bound and the volume is one that must be attached.
fn volume_of(caches: &Caches, claim: &PersistentVolumeClaim) -> Option<(Symbol, Volume)> {
    if claim.phase != ClaimPhase::Bound {
        return None;
    }
    let volume = caches.volumes.named(Symbol::empty(), claim.spec.volume_name.as_str())?;
    let is_theirs = volume.claim.as_ref().is_some_and(|claim_ref| claim_ref.uid == Some(claim.meta.uid));
    if !is_theirs || volume.csi_driver.is_empty() {
        return None;
    }
    let driver = caches.csi_drivers.named(Symbol::empty(), volume.csi_driver.as_str());
    if driver.is_some_and(|driver| !driver.attach_required) {
        return None;
    }
    Some((volume.unique_name(), identity(volume)))
}

fn identity(volume: &PersistentVolume) -> Volume {
    Volume {
        name: Symbol::new(&volume.meta.name),
        driver: volume.csi_driver,
        handle: volume.csi_handle,
        shared: volume.access_modes.allows_several_nodes(),
    }
}

/// The name of a volume's attachment to a node.
fn attachment_name(volume: &Volume, node: Symbol) -> CompactString {
    let word = |round: u8| {
        let mut hasher = FxHasher::default();
        (round, volume.handle, volume.driver, node).hash(&mut hasher);
        hasher.finish()
    };
    compact_str::format_compact!("csi-{:016x}{:016x}{:016x}{:016x}", word(0), word(1), word(2), word(3))
}

impl AttachDetach {
    /// The caches are complete: what is attached is taken from what the nodes and the attachments
    /// say, what is needed from the pods.
    pub(crate) fn start(&mut self, port: &mut Port<'_>) {
        self.started_at = Some(port.now);
        for attachment in port.caches.attachments.iter() {
            self.take_over(port.caches, attachment);
        }
        for node in port.caches.nodes.iter() {
            self.attachments.set_in_use(node.name, node.volumes_in_use());
        }
        if !port.caches.claims.is_empty() {
            let pods: Vec<u32> =
                port.caches.pods.iter().filter(|pod| uses_claims(pod)).map(|pod| pod.meta.id).collect();
            pods.into_iter().for_each(|pod| self.look_at_pod(port.caches, pod));
        }
        self.arm(port);
    }

    /// An attachment from before this controller.
    fn take_over(&mut self, caches: &Caches, attachment: &VolumeAttachment) {
        let Some(volume) = caches.volumes.named(Symbol::empty(), attachment.volume.as_str()) else { return };
        let place = Place { volume: volume.unique_name(), node: attachment.node };
        let node = caches.nodes.named(Symbol::empty(), attachment.node.as_str());
        let said = node.is_some_and(|node| node.volumes_attached().contains(&place.volume));
        let certainty = if attachment.attached || said { Certainty::Attached } else { Certainty::Uncertain };
        self.attachments.volumes.insert(place.volume, identity(volume));
        self.attachments.attach(place, certainty);
        self.places.insert(attachment.meta.id, place);
        self.stale_nodes.insert(attachment.node);
        self.changed = true;
    }

    /// Is told a change.
    pub(crate) fn observe(&mut self, port: &mut Port<'_>, event: &Event<'_>) {
        if self.started_at.is_none() {
            return;
        }
        match event.object {
            Object::Pod(pod) => {
                if !uses_claims(pod) || (pod.node.is_none() && event.change != Change::Deleted) {
                    return;
                }
                self.look_at_pod(port.caches, pod.meta.id);
            }
            Object::PersistentVolumeClaim(claim) => {
                let pods = port.caches.pods.using_claim(claim.meta.namespace, &claim.meta.name);
                let rows: Vec<u32> = pods.map(|pod| pod.meta.id).collect();
                rows.into_iter().for_each(|row| self.look_at_pod(port.caches, row));
            }
            Object::PersistentVolume(volume) => {
                let Some(claim) = &volume.claim else { return };
                let pods = port.caches.pods.using_claim(claim.namespace, claim.name.as_str());
                let rows: Vec<u32> = pods.map(|pod| pod.meta.id).collect();
                rows.into_iter().for_each(|row| self.look_at_pod(port.caches, row));
            }
            Object::Node(node) => {
                let old = event.old.and_then(Node::of).map(|old| &**old);
                if !self.look_at_node(event.change, old, node) {
                    return;
                }
            }
            Object::VolumeAttachment(attachment) => self.look_at_attachment(port, event.change, attachment),
            _ => return,
        }
        self.arm(port);
    }

    /// What a pod needs may have changed.
    fn look_at_pod(&mut self, caches: &Caches, row: u32) {
        let mut places = BTreeSet::new();
        if let Some(pod) = caches.pods.get(row).filter(|pod| needs_volumes(pod))
            && let Some(node) = pod.node
        {
            for (name, _) in claim_names(pod) {
                let claim = caches.claims.named(pod.meta.namespace, &name);
                if let Some((unique, volume)) = claim.and_then(|claim| volume_of(caches, claim)) {
                    self.attachments.volumes.insert(unique, volume);
                    places.insert(Place { volume: unique, node });
                }
            }
        }
        self.changed |= self.attachments.set_needs(row, places);
    }

    /// A node has changed. Returns whether that matters.
    fn look_at_node(&mut self, change: Change, old: Option<&Node>, node: &Node) -> bool {
        let tainted = |node: &Node| node.taints().iter().any(|taint| taint.key == OUT_OF_SERVICE);
        let matters = change != Change::Modified
            || old.is_none_or(|old| {
                old.volumes != node.volumes || old.ready() != node.ready() || tainted(old) != tainted(node)
            });
        if !matters {
            return false;
        }
        self.attachments.set_in_use(node.name, node.volumes_in_use());
        let is_idle = self.attachments.to_detach.is_empty() && self.attachments.to_attach.is_empty();
        self.changed |= !is_idle;
        if change == Change::Added && !self.attachments.reported_of(node.name).is_empty() {
            self.stale_nodes.insert(node.name);
            self.changed = true;
        }
        self.changed
    }

    fn look_at_attachment(&mut self, port: &mut Port<'_>, change: Change, attachment: &VolumeAttachment) {
        let row = attachment.meta.id;
        let known = self.places.get(&row).copied();
        let place = known.or_else(|| {
            let volume = port.caches.volumes.named(Symbol::empty(), attachment.volume.as_str())?;
            Some(Place { volume: volume.unique_name(), node: attachment.node })
        });
        let Some(place) = place else { return };
        if change == Change::Deleted {
            self.places.remove(&row);
            self.attachment_gone(port, place);
        } else {
            self.places.insert(row, place);
            if attachment.attached {
                self.attachment_holds(port, place);
            } else if !attachment.attach_error.is_empty() {
                self.attachment_refused(port, place, attachment.attach_error);
            }
        }
    }

    /// The next look, if one is needed.
    fn arm(&mut self, port: &mut Port<'_>) {
        let Some(started_at) = self.started_at else { return };
        let next = |instant: SimTime| {
            let periods = (instant - started_at).nanos().div_euclid(PERIOD.nanos()) + 1;
            started_at + PERIOD.times(periods)
        };
        let at = match self.changed {
            true => next(port.now),
            false => match self.next_deadline(port) {
                Some(deadline) => next(deadline.max(port.now)),
                None => return,
            },
        };
        if self.armed.is_none_or(|armed| armed > at) {
            self.armed = Some(at);
            port.timer(at, ControllerTimer::AttachDetach);
        }
    }

    /// When time alone changes something: a back-off or a wait ends.
    fn next_deadline(&self, port: &Port<'_>) -> Option<SimTime> {
        let forced = self.attachments.to_detach.iter().filter_map(|&place| {
            let since = self.attachments.attached(place)?.unneeded_since?;
            let waits = !is_healthy(port.caches, place.node) && !self.operations.is_pending(place, true);
            waits.then_some(since + UNMOUNT_MAX).filter(|at| *at >= port.now)
        });
        let tried = self.attachments.to_attach.iter().chain(&self.attachments.to_detach);
        let blocked = tried.filter_map(|&place| self.operations.blocked_until(place));
        let blocked = blocked.filter(|at| *at >= port.now);
        forced.chain(blocked).chain(self.operations.next_timeout()).min()
    }

    /// The timer fired.
    pub(crate) fn fire(&mut self, port: &mut Port<'_>) {
        self.armed.take_if(|at| *at <= port.now);
        self.changed = false;
        self.time_out(port);
        self.detach_unneeded(port);
        self.attach_needed(port);
        self.report(port);
        self.arm(port);
    }

    fn detach_unneeded(&mut self, port: &mut Port<'_>) {
        for place in self.attachments.to_detach.iter().copied().collect::<Vec<_>>() {
            let Some(volume) = self.attachments.volumes.get(&place.volume).copied() else { continue };
            if self.operations.is_pending(place, volume.shared) {
                continue;
            }
            let Some(attached) = self.attachments.attached_mut(place) else { continue };
            let since = *attached.unneeded_since.get_or_insert(port.now);
            let waited_long = port.now - since > UNMOUNT_MAX;
            let forced = waited_long && !is_healthy(port.caches, place.node);
            let out_of_service = is_out_of_service(port.caches, place.node);
            if attached.mounted && !forced && !out_of_service {
                continue;
            }
            if self.operations.blocked_until(place).is_some_and(|until| port.now < until) {
                continue;
            }
            attached.reported = false;
            let verify = !waited_long && !out_of_service;
            self.begin_detach(port, place, verify);
        }
    }

    fn attach_needed(&mut self, port: &mut Port<'_>) {
        for place in self.attachments.to_attach.iter().copied().collect::<Vec<_>>() {
            let Some(volume) = self.attachments.volumes.get(&place.volume).copied() else { continue };
            if self.operations.is_pending(place, volume.shared) {
                continue;
            }
            if !volume.shared && self.attachments.nodes_of(place.volume).next().is_some() {
                self.report_multi_attach(port, place, &volume);
                continue;
            }
            if self.operations.blocked_until(place).is_none_or(|until| port.now >= until) {
                self.begin_attach(port, place, &volume);
            }
        }
    }

    /// Tells the pods that need a volume, once, that another node has it.
    fn report_multi_attach(&mut self, port: &mut Port<'_>, place: Place, volume: &Volume) {
        let Some(needed) = self.attachments.needed_mut(place) else { return };
        if std::mem::replace(&mut needed.told, true) {
            return;
        }
        let others: Vec<Symbol> =
            self.attachments.nodes_of(place.volume).filter(|node| *node != place.node).collect();
        let on_node = |node: &Symbol| self.attachments.pods_at(Place { node: *node, ..place });
        let users: Vec<Arc<Pod>> =
            others.iter().flat_map(on_node).filter_map(|row| port.caches.pods.get(row).cloned()).collect();
        for row in self.attachments.pods_at(place).collect::<Vec<_>>() {
            let Some(pod) = port.caches.pods.get(row) else { continue };
            let namespace = pod.meta.namespace;
            let message = || {
                format!("Multi-Attach error for volume \"{}\" {}", volume.name, used_by(&users, namespace))
            };
            let about = ObjectRef { kind: Kind::Pod, id: row };
            port.event(about, Severity::Warning, "FailedAttachVolume", message);
        }
    }
}

/// Who has a volume, as a pod of this namespace may know it.
fn used_by(users: &[Arc<Pod>], namespace: Symbol) -> String {
    if users.is_empty() {
        return "Volume is already exclusively attached to one node and can't be attached to another".into();
    }
    let (local, foreign): (Vec<_>, Vec<_>) = users.iter().partition(|pod| pod.meta.namespace == namespace);
    let names: Vec<&str> = local.iter().map(|pod| pod.meta.name.as_str()).collect();
    match (names.as_slice(), foreign.len()) {
        ([], count) => format!("Volume is already used by {count} pod(s) in different namespaces"),
        (names, 0) => format!("Volume is already used by pod(s) {}", names.join(", ")),
        (names, count) => {
            format!(
                "Volume is already used by pod(s) {} and {count} pod(s) in different namespaces",
                names.join(", ")
            )
        }
    }
}

fn node_named(caches: &Caches, node: Symbol) -> Option<&Arc<Node>> {
    caches.nodes.named(Symbol::empty(), node.as_str())
}

fn is_healthy(caches: &Caches, node: Symbol) -> bool {
    node_named(caches, node).is_some_and(|node| node.ready() == ConditionStatus::True)
}

fn is_out_of_service(caches: &Caches, node: Symbol) -> bool {
    let taints = node_named(caches, node).map_or(&[][..], |node| node.taints());
    taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
}
