//! Attaching and detaching, step by step: each volume is in one operation at a time, and one that
//! has failed is not tried again at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{ErrorReason, Patch, Reply, Request};
use seatrial_api::storage::VolumeAttachment;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::attachments::{Certainty, Place, Volume};
use super::{AttachDetach, attachment_name, node_named};
use crate::framework::Port;

/// How long a driver may take to attach or detach.
const DRIVER_MAX: Span = Span::from_mins(2);
/// The first wait after a failure; each further one doubles it.
const BACK_OFF: Span = Span::from_millis(500);
/// The longest.
const BACK_OFF_MAX: Span = Span::from_secs(122);

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The attachment is being created.
    Create,
    /// The driver attaches.
    Attach,
    /// The node's status is made to list the volume no more.
    Unlist {
        /// Whether the node is asked then if it has given the volume up.
        verify: bool,
    },
    /// The node is read.
    Verify,
    /// The attachment is being deleted.
    Delete,
    /// The driver detaches.
    Detach,
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    id: u64,
    step: Step,
    /// When the driver has taken too long.
    deadline: SimTime,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    count: u32,
    blocked_until: SimTime,
}

/// All operations.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations {
    pending: BTreeMap<Place, Operation>,
    /// By the number in their tags.
    by_id: BTreeMap<u64, Place>,
    failures: BTreeMap<Place, Failure>,
    next_id: u64,
}

/// Answers to writes of nodes' statuses, whose failure is noticed by the next look.
const LISTING: u64 = 1 << 50;

impl Operations {
    /// Whether a place (of a volume that one node alone can have: any place of the volume) is in an
    /// operation.
    pub(super) fn is_pending(&self, place: Place, shared: bool) -> bool {
        if shared {
            return self.pending.contains_key(&place);
        }
        let first = Place { volume: place.volume, node: Symbol::empty() };
        self.pending.range(first..).next().is_some_and(|(other, _)| other.volume == place.volume)
    }

    /// Until when a place is not tried again.
    pub(super) fn blocked_until(&self, place: Place) -> Option<SimTime> {
        self.failures.get(&place).map(|failure| failure.blocked_until)
    }

    /// When the next driver will have taken too long.
    pub(super) fn next_timeout(&self) -> Option<SimTime> {
        let waits = |operation: &&Operation| matches!(operation.step, Step::Attach | Step::Detach);
        self.pending.values().filter(waits).map(|operation| operation.deadline).min()
    }

    fn begin(&mut self, place: Place, step: Step) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(place, Operation { id, step, deadline: SimTime::MAX });
        self.by_id.insert(id, place);
        id
    }

    fn step(&self, place: Place) -> Option<Step> {
        self.pending.get(&place).map(|operation| operation.step)
    }

    /// Goes on with the next step; returns the tag for its request.
    fn advance(&mut self, place: Place, step: Step, deadline: SimTime) -> u64 {
        let Some(operation) = self.pending.get_mut(&place) else { return LISTING };
        operation.step = step;
        operation.deadline = deadline;
        operation.id
    }

    fn end(&mut self, place: Place) {
        if let Some(operation) = self.pending.remove(&place) {
            self.by_id.remove(&operation.id);
        }
    }

    fn succeed(&mut self, place: Place) {
        self.end(place);
        self.failures.remove(&place);
    }

    fn fail(&mut self, place: Place, now: SimTime) {
        self.end(place);
        let count = self.failures.get(&place).map_or(0, |failure| failure.count);
        let wait = BACK_OFF.times(1 << count.min(10)).min(BACK_OFF_MAX);
        self.failures.insert(place, Failure { count: count.saturating_add(1), blocked_until: now + wait });
    }
}

impl AttachDetach {
    /// Asks for a volume to be attached.
    pub(super) fn begin_attach(&mut self, port: &mut Port<'_>, place: Place, volume: &Volume) {
        let name = attachment_name(volume, place.node);
        let existing = port.caches.attachments.named(Symbol::empty(), &name);
        if existing.is_some_and(|attachment| attachment.attached && !attachment.meta.is_deleting()) {
            self.operations.begin(place, Step::Attach);
            return self.attachment_holds(port, place);
        }
        let id = self.operations.begin(place, Step::Create);
        let attachment = VolumeAttachment {
            meta: ObjectMeta { name, ..ObjectMeta::default() },
            attacher: volume.driver,
            node: place.node,
            volume: volume.name,
            ..VolumeAttachment::default()
        };
        port.request(id, Request::Create(Object::VolumeAttachment(Arc::new(attachment))));
    }

    /// Gives a volume up: first the node's status says so.
    pub(super) fn begin_detach(&mut self, port: &mut Port<'_>, place: Place, verify: bool) {
        let id = self.operations.begin(place, Step::Unlist { verify });
        match node_named(port.caches, place.node) {
            Some(node) => {
                let target = ObjectRef { kind: Kind::Node, id: node.meta.id };
                let attached = self.attachments.reported_of(place.node);
                port.request(id, Request::Patch { target, patch: Patch::VolumesAttached(attached) });
            }
            None => self.delete_attachment(port, place),
        }
    }

    fn delete_attachment(&mut self, port: &mut Port<'_>, place: Place) {
        let Some(volume) = self.attachments.volumes.get(&place.volume) else {
            return self.detached(place);
        };
        let name = attachment_name(volume, place.node);
        let Some(attachment) = port.caches.attachments.named(Symbol::empty(), &name) else {
            return self.detached(place);
        };
        let target = ObjectRef { kind: Kind::VolumeAttachment, id: attachment.meta.id };
        let id = self.operations.advance(place, Step::Delete, SimTime::MAX);
        port.request(id, Request::delete(target));
    }

    fn detached(&mut self, place: Place) {
        self.operations.succeed(place);
        self.attachments.detach(place);
        self.changed = true;
    }

    /// Takes the answer to a request.
    pub(crate) fn reply(&mut self, port: &mut Port<'_>, tag: u64, reply: &Reply) {
        if tag & LISTING != 0 {
            if let Err(error) = reply
                && error.reason != ErrorReason::NotFound
            {
                self.stale_nodes.insert(node_of_listing(port, tag));
                self.changed = true;
            }
            return self.arm(port);
        }
        let Some(&place) = self.operations.by_id.get(&tag) else { return };
        let gone = reply.as_ref().is_err_and(|error| error.reason == ErrorReason::NotFound);
        match self.operations.step(place) {
            Some(Step::Create) => self.attachment_created(port, place, reply),
            Some(Step::Unlist { verify: true }) if reply.is_ok() => {
                let id = self.operations.advance(place, Step::Verify, SimTime::MAX);
                let name = place.node.as_str().into();
                port.request(id, Request::Get { kind: Kind::Node, namespace: Symbol::empty(), name });
            }
            Some(Step::Unlist { .. }) if reply.is_ok() || gone => self.delete_attachment(port, place),
            Some(Step::Verify) => match reply {
                Ok(Object::Node(node)) if node.volumes_in_use().contains(&place.volume) => {
                    self.detach_failed(port, place);
                }
                Ok(_) => self.delete_attachment(port, place),
                Err(_) if gone => self.delete_attachment(port, place),
                Err(_) => self.detach_failed(port, place),
            },
            Some(Step::Delete) => match reply {
                // Without a finalizer it is gone already, which the watch will show.
                Ok(_) => {
                    self.operations.advance(place, Step::Detach, port.now + DRIVER_MAX);
                }
                Err(_) if gone => self.detached(place),
                Err(_) => self.detach_failed(port, place),
            },
            Some(Step::Unlist { .. }) => self.detach_failed(port, place),
            Some(Step::Attach | Step::Detach) | None => {}
        }
        self.arm(port);
    }

    fn attachment_created(&mut self, port: &mut Port<'_>, place: Place, reply: &Reply) {
        match reply {
            Ok(Object::VolumeAttachment(attachment)) if attachment.attached => {
                self.attachment_holds(port, place);
            }
            Err(error) if error.reason != ErrorReason::AlreadyExists => {
                let why = format!("attacher.Attach failed: {}", error.message);
                self.attach_failed(port, place, &why);
            }
            _ => {
                self.operations.advance(place, Step::Attach, port.now + DRIVER_MAX);
                // The watch may have been faster than the answer.
                let volume = self.attachments.volumes.get(&place.volume);
                let name = volume.map(|volume| attachment_name(volume, place.node)).unwrap_or_default();
                let shown = port.caches.attachments.named(Symbol::empty(), &name);
                if shown.is_some_and(|shown| shown.attached && !shown.meta.is_deleting()) {
                    self.attachment_holds(port, place);
                }
            }
        }
    }

    /// An attachment is said to hold.
    pub(super) fn attachment_holds(&mut self, port: &mut Port<'_>, place: Place) {
        if self.operations.step(place) != Some(Step::Attach) {
            return;
        }
        self.operations.succeed(place);
        self.attachments.attach(place, Certainty::Attached);
        self.stale_nodes.insert(place.node);
        self.changed = true;
        let name = self.attachments.volumes.get(&place.volume).map_or(Symbol::empty(), |volume| volume.name);
        for pod in self.attachments.pods_at(place).collect::<Vec<_>>() {
            let about = ObjectRef { kind: Kind::Pod, id: pod };
            port.event(about, Severity::Normal, "SuccessfulAttachVolume", || {
                format!("AttachVolume.Attach succeeded for volume \"{name}\" ")
            });
        }
    }

    /// The driver could not attach.
    pub(super) fn attachment_refused(&mut self, port: &mut Port<'_>, place: Place, why: Symbol) {
        if self.operations.step(place) == Some(Step::Attach) {
            self.attach_failed(port, place, why.as_str());
        }
    }

    fn attach_failed(&mut self, port: &mut Port<'_>, place: Place, why: &str) {
        self.operations.fail(place, port.now);
        self.attachments.attach(place, Certainty::Uncertain);
        self.changed = true;
        let name = self.attachments.volumes.get(&place.volume).map_or(Symbol::empty(), |volume| volume.name);
        for pod in self.attachments.pods_at(place).collect::<Vec<_>>() {
            let about = ObjectRef { kind: Kind::Pod, id: pod };
            port.event(about, Severity::Warning, "FailedAttachVolume", || {
                format!("AttachVolume.Attach failed for volume \"{name}\" : {why}")
            });
        }
    }

    fn detach_failed(&mut self, port: &mut Port<'_>, place: Place) {
        self.operations.fail(place, port.now);
        if let Some(attached) = self.attachments.attached_mut(place) {
            attached.reported = attached.certainty == Certainty::Attached;
        }
        self.stale_nodes.insert(place.node);
        self.changed = true;
    }

    /// An attachment is gone: as it was to be, or because somebody has deleted it.
    pub(super) fn attachment_gone(&mut self, port: &mut Port<'_>, place: Place) {
        match self.operations.step(place) {
            Some(Step::Detach | Step::Delete) => self.detached(place),
            Some(Step::Attach) => self.attach_failed(port, place, "volume attachment is being deleted"),
            Some(_) => {}
            None => {
                self.attachments.detach(place);
                self.stale_nodes.insert(place.node);
                self.changed = true;
            }
        }
    }

    /// Drivers that have taken too long.
    pub(super) fn time_out(&mut self, port: &mut Port<'_>) {
        let late = |operation: &Operation| operation.deadline <= port.now;
        let places: Vec<(Place, Step)> = self
            .operations
            .pending
            .iter()
            .filter(|(_, operation)| late(operation))
            .map(|(place, operation)| (*place, operation.step))
            .collect();
        for (place, step) in places {
            if step == Step::Attach {
                let volume = self.attachments.volumes.get(&place.volume);
                let (driver, handle) =
                    volume.map(|volume| (volume.driver, volume.handle)).unwrap_or_default();
                let why = format!(
                    "timed out waiting for external-attacher of {driver} CSI driver to attach volume {handle}"
                );
                self.attach_failed(port, place, &why);
            } else {
                self.detach_failed(port, place);
            }
        }
    }

    /// Makes the statuses of nodes list what is attached to them.
    pub(super) fn report(&mut self, port: &mut Port<'_>) {
        for name in std::mem::take(&mut self.stale_nodes) {
            let Some(node) = node_named(port.caches, name) else { continue };
            let attached = self.attachments.reported_of(name);
            if node.volumes_attached() != attached {
                let target = ObjectRef { kind: Kind::Node, id: node.meta.id };
                let tag = LISTING | u64::from(node.meta.id);
                port.request(tag, Request::Patch { target, patch: Patch::VolumesAttached(attached) });
            }
        }
    }
}

/// The node whose status was written.
fn node_of_listing(port: &Port<'_>, tag: u64) -> Symbol {
    port.caches.nodes.get(tag as u32).map(|node| node.name).unwrap_or_default()
}
