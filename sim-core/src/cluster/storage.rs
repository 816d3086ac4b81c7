//! The storage drivers of a cluster: provisioner, attacher and resizer of every class, outside of
//! the control plane, which they serve by writing claims, volumes and attachments.
//!
//! Model: a driver is installed for every provisioner, does not fail, and takes the time that is
//! drawn for each of its works, its own watch included. It makes a volume in the zone of the node
//! that was selected; without one, in a zone that follows from the claim's name, so that the claims
//! of a StatefulSet are spread. A volume that one node alone can have is reached from its zone, a
//! shared one from everywhere, unless the scenario says otherwise. A node attaches and detaches two
//! volumes at a time. A file system grows with its volume.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use seatrial_api::labels::{Labels, Operator, Requirement};
use seatrial_api::machine::{Decision, NO_REPLY, Severity};
use seatrial_api::meta::{MetaExtra, ObjectMeta};
use seatrial_api::node::{LABEL_ZONE, Node};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{Change, Patch, Reply, Request, WatchEvent};
use seatrial_api::scheduling::NodeSelectorTerm;
use seatrial_api::storage::{
    ClaimPhase, ClaimResize, PROVISIONED_BY, PersistentVolume, PersistentVolumeClaim, ReclaimPolicy,
    SELECTED_NODE, STORAGE_PROVISIONER, StorageClass, VolumeAttachment, VolumeBindingMode, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime, Span};

use super::config::StorageModel;
use super::event::{Cause, What};
use super::latency::Latencies;
use super::slab::Slab;
use super::streams::{Purpose, name_entity};
use super::world::{Client, World};
use crate::engine::dist::{DistributionError, Sampler};

/// The finalizer of a volume whose storage is not deleted yet.
const PROVISIONER_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// Begins the finalizer of what a driver has attached.
const ATTACHER_FINALIZER: &str = "external-attacher/";
/// The first wait before a work that could not be done is tried again; each further one doubles it.
const RETRY: Span = Span::from_secs(1);
/// The longest.
const RETRY_MAX: Span = Span::from_mins(5);
/// How many volumes a node attaches or detaches at a time.
const ATTACHED_AT_ONCE: usize = 2;

/// A work of a driver, by the object's row.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// The volume of a claim is made; for this node, if one was selected.
    Provision { claim: u32, node: Option<Symbol>, attempt: u32 },
    /// The volume of a claim is made larger.
    Expand { claim: u32, size: Bytes },
    /// A volume's storage is deleted.
    Delete { volume: u32, attempt: u32 },
    /// A volume is attached.
    Attach(u32),
    /// A volume is detached.
    Detach(u32),
}

/// The drivers of one class.
#[derive(Clone, Debug)]
struct Driver {
    zonal: Option<bool>,
    capacity: Option<Bytes>,
    provision: Option<Sampler>,
    delete: Option<Sampler>,
    attach: Option<Sampler>,
    detach: Option<Sampler>,
}

/// All drivers.
#[derive(Clone, Debug, Default)]
pub(super) struct Storage {
    drivers: BTreeMap<Symbol, Driver>,
    works: Slab<Work>,
    /// Objects that a driver is busy with.
    busy: FxHashSet<ObjectRef>,
    /// How much of each class was given away in each zone.
    given: BTreeMap<(Symbol, Symbol), i64>,
    /// When each place of a node's attacher is free again.
    places: FxHashMap<Symbol, [SimTime; ATTACHED_AT_ONCE]>,
    /// How many works each object has had.
    counts: FxHashMap<ObjectRef, u32>,
}

impl Storage {
    /// The drivers of a model.
    ///
    /// # Errors
    /// If a distribution has a parameter out of range.
    pub(super) fn new(model: &StorageModel) -> Result<Storage, DistributionError> {
        let mut drivers = BTreeMap::new();
        for profile in &model.profiles {
            let sampler = |law: &Option<crate::engine::dist::Distribution>| {
                law.as_ref().map(|law| law.sampler()).transpose()
            };
            let driver = Driver {
                zonal: profile.zonal,
                capacity: profile.capacity,
                provision: sampler(&profile.provision)?,
                delete: sampler(&profile.delete)?,
                attach: sampler(&profile.attach)?,
                detach: sampler(&profile.detach)?,
            };
            drivers.insert(profile.class, driver);
        }
        Ok(Storage { drivers, ..Storage::default() })
    }

    /// When a node's attacher can begin a work that takes `span`.
    fn reserve(&mut self, node: Symbol, now: SimTime, span: Span) -> SimTime {
        let places = self.places.entry(node).or_insert([SimTime::from_nanos(i64::MIN); ATTACHED_AT_ONCE]);
        let place = places.iter_mut().min().expect("invariant: there are places");
        let begin = now.max(*place);
        *place = begin + span;
        begin
    }
}

/// How long a work takes: as the class says, else as the model does.
fn law<'a>(driver: Option<&'a Driver>, latencies: &'a Latencies, work: Work) -> (&'a Sampler, Purpose) {
    let (own, general, purpose): (fn(&Driver) -> &Option<Sampler>, _, _) = match work {
        Work::Provision { .. } | Work::Expand { .. } => {
            (|driver| &driver.provision, &latencies.volume_provision, Purpose::VolumeProvision)
        }
        Work::Delete { .. } => (|driver| &driver.delete, &latencies.volume_delete, Purpose::VolumeDelete),
        Work::Attach(_) => (|driver| &driver.attach, &latencies.volume_attach, Purpose::VolumeAttach),
        Work::Detach(_) => (|driver| &driver.detach, &latencies.volume_detach, Purpose::VolumeDetach),
    };
    (driver.and_then(|driver| own(driver).as_ref()).unwrap_or(general), purpose)
}

fn claim_ref(row: u32) -> ObjectRef {
    ObjectRef { kind: Kind::PersistentVolumeClaim, id: row }
}

fn volume_ref(row: u32) -> ObjectRef {
    ObjectRef { kind: Kind::PersistentVolume, id: row }
}

fn attachment_ref(row: u32) -> ObjectRef {
    ObjectRef { kind: Kind::VolumeAttachment, id: row }
}

impl World {
    /// What storage there is at the start is looked at by its drivers.
    pub(super) fn begin_storage(&mut self, now: SimTime) {
        for kind in [Kind::PersistentVolumeClaim, Kind::PersistentVolume, Kind::VolumeAttachment] {
            let objects: Vec<Object> = self.api.list(kind).cloned().collect();
            for object in objects {
                if let Object::PersistentVolume(volume) = &object {
                    self.count_volume(volume, 1);
                }
                let event = WatchEvent { change: Change::Modified, object };
                self.storage_committed(now, &event, Cause::NONE);
            }
        }
    }

    /// A change was committed that a driver may have to act on.
    pub(super) fn storage_committed(&mut self, now: SimTime, event: &WatchEvent, cause: Cause) {
        let gone = event.change == Change::Deleted;
        let kind = event.object.kind();
        if !matches!(kind, Kind::PersistentVolumeClaim | Kind::PersistentVolume | Kind::VolumeAttachment) {
            return;
        }
        if gone {
            let target = event.object.object_ref();
            self.storage.busy.remove(&target);
            self.storage.counts.remove(&target);
        }
        match &event.object {
            Object::PersistentVolumeClaim(claim) if !gone => self.claim_committed(now, claim, cause),
            Object::PersistentVolume(volume) => {
                match event.change {
                    Change::Added => self.count_volume(volume, 1),
                    Change::Deleted => self.count_volume(volume, -1),
                    Change::Modified => {}
                }
                let provisioned = volume.meta.annotations.get(Symbol::new(PROVISIONED_BY)).is_some();
                let is_over =
                    volume.phase == VolumePhase::Released && volume.reclaim_policy == ReclaimPolicy::Delete;
                if !gone && provisioned && is_over && !volume.meta.is_deleting() {
                    self.begin_work(now, Work::Delete { volume: volume.meta.id, attempt: 0 }, cause);
                }
            }
            Object::VolumeAttachment(attachment) if !gone => {
                self.attachment_committed(now, attachment, cause);
            }
            _ => {}
        }
    }

    /// What a volume takes of its class's storage.
    fn count_volume(&mut self, volume: &PersistentVolume, sign: i64) {
        let zone = zone_of(volume);
        *self.storage.given.entry((volume.storage_class, zone)).or_default() += sign * volume.capacity.0;
    }

    fn claim_committed(&mut self, now: SimTime, claim: &PersistentVolumeClaim, cause: Cause) {
        let row = claim.meta.id;
        if claim.phase == ClaimPhase::Bound {
            if claim.spec.request > claim.capacity && claim.resize != ClaimResize::Controller {
                self.begin_expansion(now, claim, cause);
            }
        } else if let Some(class) = self.class_to_provision(claim) {
            let node = claim.annotation(SELECTED_NODE);
            if class.binding_mode == VolumeBindingMode::Immediate || node.is_some() {
                self.begin_work(now, Work::Provision { claim: row, node, attempt: 0 }, cause);
            }
        }
    }

    /// The class of a claim whose volume a driver is to make.
    fn class_to_provision(&self, claim: &PersistentVolumeClaim) -> Option<Arc<StorageClass>> {
        let is_called = claim.has_annotation(STORAGE_PROVISIONER) && claim.spec.volume_name.is_empty();
        if !is_called || claim.meta.is_deleting() {
            return None;
        }
        let name = claim.spec.storage_class?;
        match self.api.find(Kind::StorageClass, Symbol::empty(), name.as_str())? {
            Object::StorageClass(class) => Some(class.clone()),
            _ => None,
        }
    }

    fn attachment_committed(&mut self, now: SimTime, attachment: &VolumeAttachment, cause: Cause) {
        let row = attachment.meta.id;
        let finalizer = attacher_finalizer(attachment);
        let has_it = attachment.meta.finalizers().contains(&finalizer);
        if attachment.meta.is_deleting() {
            if has_it {
                self.begin_work(now, Work::Detach(row), cause);
            }
        } else if !attachment.attached && self.begin_work(now, Work::Attach(row), cause) && !has_it {
            let patch = Patch::AddFinalizers(vec![finalizer]);
            self.write_storage(now, attachment_ref(row), patch, cause);
        }
    }

    /// The object that a work is about, its class, and who draws its time.
    fn subject(&self, work: Work) -> (ObjectRef, Symbol, u64) {
        let target = match work {
            Work::Provision { claim, .. } | Work::Expand { claim, .. } => claim_ref(claim),
            Work::Delete { volume, .. } => volume_ref(volume),
            Work::Attach(row) | Work::Detach(row) => attachment_ref(row),
        };
        match self.api.get(target) {
            Some(Object::PersistentVolumeClaim(claim)) => {
                let entity = name_entity(Kind::PersistentVolumeClaim, claim.meta.namespace, &claim.meta.name);
                (target, claim.spec.storage_class.unwrap_or_default(), entity)
            }
            Some(Object::PersistentVolume(volume)) => (target, volume.storage_class, volume_entity(volume)),
            Some(Object::VolumeAttachment(attachment)) => {
                let named =
                    self.api.find(Kind::PersistentVolume, Symbol::empty(), attachment.volume.as_str());
                match named {
                    Some(Object::PersistentVolume(volume)) => {
                        (target, volume.storage_class, volume_entity(volume))
                    }
                    _ => (target, Symbol::empty(), u64::from(target.id)),
                }
            }
            _ => (target, Symbol::empty(), u64::from(target.id)),
        }
    }

    /// A driver begins a work, unless it is busy with the object. Returns whether it does.
    fn begin_work(&mut self, now: SimTime, work: Work, cause: Cause) -> bool {
        let (target, class, entity) = self.subject(work);
        if !self.storage.busy.insert(target) {
            return false;
        }
        if let Work::Provision { claim, .. } = work
            && let Some(claim) = self.api.typed::<PersistentVolumeClaim>(claim)
        {
            let message = format!(
                "External provisioner is provisioning volume for claim \"{}\"",
                claim.meta.full_name()
            );
            self.tell_storage(now, target, Severity::Normal, "Provisioning", message, cause);
        }
        self.plan_work(now, work, (target, class, entity), cause);
        true
    }

    fn plan_work(&mut self, now: SimTime, work: Work, subject: (ObjectRef, Symbol, u64), cause: Cause) {
        let (target, class, entity) = subject;
        let count = self.storage.counts.entry(target).or_default();
        *count += 1;
        let nth = *count;
        let (law, purpose) = law(self.storage.drivers.get(&class), &self.latencies, work);
        let span = law.draw_from(|| self.streams.of(entity, purpose, nth));
        let mut begin = now;
        if let Work::Attach(row) | Work::Detach(row) = work
            && let Some(attachment) = self.api.typed::<VolumeAttachment>(row)
        {
            let node = attachment.node;
            begin = self.storage.reserve(node, now, span);
        }
        let row = self.storage.works.insert(work);
        self.plan(begin + span, What::Storage(row), cause);
    }

    /// A driver has done a work.
    pub(super) fn storage_work_done(&mut self, now: SimTime, row: u32, cause: Cause) {
        let work = self.storage.works.take(row);
        let (target, ..) = self.subject(work);
        self.storage.busy.remove(&target);
        match work {
            Work::Provision { claim, node, attempt } => self.provisioned(now, claim, node, attempt, cause),
            Work::Expand { claim, size } => self.expanded(now, claim, size, cause),
            Work::Delete { volume, attempt } => self.deleted(now, volume, attempt, cause),
            Work::Attach(row) => {
                let Some(attachment) = self.api.typed::<VolumeAttachment>(row).cloned() else { return };
                if attachment.meta.is_deleting() {
                    self.attachment_committed(now, &attachment, cause);
                } else {
                    self.write_storage(now, target, Patch::Attached(true), cause);
                }
            }
            Work::Detach(row) => {
                let Some(attachment) = self.api.typed::<VolumeAttachment>(row) else { return };
                let patch = Patch::RemoveFinalizers(vec![attacher_finalizer(attachment)]);
                // Until that is written, there is nothing to be done again.
                self.storage.busy.insert(target);
                self.write_storage(now, target, patch, cause);
            }
        }
    }

    /// A claim's volume was made, or could not be.
    fn provisioned(&mut self, now: SimTime, row: u32, node: Option<Symbol>, attempt: u32, cause: Cause) {
        let Some(claim) = self.api.typed::<PersistentVolumeClaim>(row).cloned() else { return };
        let Some(class) = self.class_to_provision(&claim) else { return };
        let name = Symbol::new(&class.meta.name);
        let driver = self.storage.drivers.get(&name);
        let zonal = driver.and_then(|driver| driver.zonal);
        let zonal = zonal.unwrap_or(!claim.spec.access_modes.allows_several_nodes());
        let capacity = driver.and_then(|driver| driver.capacity);
        let zone = if zonal { self.zone_for(&claim, &class, node) } else { Symbol::empty() };
        let given = self.storage.given.get(&(name, zone)).copied().unwrap_or(0);
        if capacity.is_some_and(|capacity| given + claim.spec.request.0 > capacity.0) {
            return self.out_of_space(now, &claim, zone, (node, attempt), cause);
        }
        let provisioner = claim.annotation(STORAGE_PROVISIONER).unwrap_or(class.provisioner);
        let volume = volume_of(&claim, &class, provisioner, zone, now);
        // The volume is taken for the claim's until it is there.
        self.storage.busy.insert(claim_ref(row));
        let request = Request::Create(Object::PersistentVolume(Arc::new(volume)));
        self.send(now, Client::Storage, u64::from(row), request, cause);
    }

    /// The zone in which a claim's volume is made; empty where there are no zones.
    fn zone_for(&self, claim: &PersistentVolumeClaim, class: &StorageClass, node: Option<Symbol>) -> Symbol {
        if let Some(node) = node {
            return match self.api.find(Kind::Node, Symbol::empty(), node.as_str()) {
                Some(Object::Node(node)) => node.zone(),
                _ => self.machines.named(node).map_or(Symbol::empty(), |row| self.machines.get(row).zone),
            };
        }
        let admitted = |node: &&Arc<Node>| {
            let terms = class.allowed_topologies.as_deref().unwrap_or(&[]);
            terms.is_empty() || terms.iter().any(|term| term.matches(&node.meta.labels, node.name))
        };
        let mut zones: Vec<Symbol> =
            self.api.list_typed::<Node>().filter(admitted).map(|node| node.zone()).collect();
        zones.sort();
        zones.dedup();
        if zones.is_empty() {
            return Symbol::empty();
        }
        // The claims of a StatefulSet differ in their ordinals alone.
        let (base, ordinal) = match claim.meta.name.rsplit_once('-') {
            Some((base, digits)) => digits.parse().map_or((claim.meta.name.as_str(), 0), |n: u64| (base, n)),
            None => (claim.meta.name.as_str(), 0),
        };
        let start = name_entity(Kind::PersistentVolumeClaim, claim.meta.namespace, base);
        zones[(start.wrapping_add(ordinal) % zones.len() as u64) as usize]
    }

    /// There is no room for a claim's volume: another node is to be selected, or it is tried again.
    fn out_of_space(
        &mut self,
        now: SimTime,
        claim: &PersistentVolumeClaim,
        zone: Symbol,
        (node, attempt): (Option<Symbol>, u32),
        cause: Cause,
    ) {
        let class = claim.spec.storage_class.unwrap_or_default();
        let place = if zone.is_empty() { String::new() } else { format!(" in zone {zone}") };
        let message = format!(
            "failed to provision volume with StorageClass \"{class}\": rpc error: code = ResourceExhausted desc \
             = not enough storage is free{place}"
        );
        let target = claim_ref(claim.meta.id);
        let cause = self.tell_storage(now, target, Severity::Warning, "ProvisioningFailed", message, cause);
        if node.is_some() {
            let patch = Patch::Annotations(vec![(Symbol::new(SELECTED_NODE), None)]);
            self.write_storage(now, target, patch, cause);
            return;
        }
        self.storage.busy.insert(target);
        let work = Work::Provision { claim: claim.meta.id, node, attempt: attempt.saturating_add(1) };
        let subject = self.subject(work);
        self.plan_work(now + retry_after(attempt), work, subject, cause);
    }

    /// The PersistentVolume of a claim was created.
    pub(super) fn storage_answered(&mut self, now: SimTime, token: u64, reply: &Reply, cause: Cause) {
        let target = claim_ref(token as u32);
        self.storage.busy.remove(&target);
        if let Ok(object) = reply {
            let message = format!("Successfully provisioned volume {}", object.meta().name);
            self.tell_storage(now, target, Severity::Normal, "ProvisioningSucceeded", message, cause);
        }
    }

    fn begin_expansion(&mut self, now: SimTime, claim: &PersistentVolumeClaim, cause: Cause) {
        let volume = self.api.find(Kind::PersistentVolume, Symbol::empty(), claim.spec.volume_name.as_str());
        let has_driver =
            matches!(volume, Some(Object::PersistentVolume(volume)) if !volume.csi_driver.is_empty());
        let (target, size) = (claim_ref(claim.meta.id), claim.spec.request);
        if has_driver && self.begin_work(now, Work::Expand { claim: claim.meta.id, size }, cause) {
            let message = format!("External resizer is resizing volume {}", claim.spec.volume_name);
            let cause = self.tell_storage(now, target, Severity::Normal, "Resizing", message, cause);
            self.write_storage(now, target, Patch::ClaimResize(ClaimResize::Controller, None), cause);
        }
    }

    fn expanded(&mut self, now: SimTime, row: u32, size: Bytes, cause: Cause) {
        let Some(claim) = self.api.typed::<PersistentVolumeClaim>(row).cloned() else { return };
        let name = claim.spec.volume_name.as_str();
        let volume = self.api.find(Kind::PersistentVolume, Symbol::empty(), name);
        let Some(Object::PersistentVolume(volume)) = volume.cloned() else { return };
        let zone = zone_of(&volume);
        *self.storage.given.entry((volume.storage_class, zone)).or_default() += size.0 - volume.capacity.0;
        self.write_storage(now, volume_ref(volume.meta.id), Patch::VolumeCapacity(size), cause);
        self.write_storage(now, claim_ref(row), Patch::ClaimResize(ClaimResize::None, Some(size)), cause);
        let message = "Resize volume succeeded".to_string();
        self.tell_storage(now, claim_ref(row), Severity::Normal, "VolumeResizeSuccessful", message, cause);
    }

    /// A released volume's storage is deleted, unless a node still has it.
    fn deleted(&mut self, now: SimTime, row: u32, attempt: u32, cause: Cause) {
        let Some(volume) = self.api.typed::<PersistentVolume>(row).cloned() else { return };
        let name = volume.meta.name.as_str();
        let holder = self.api.list_typed::<VolumeAttachment>().find(|attachment| attachment.volume == name);
        let target = volume_ref(row);
        if let Some(holder) = holder {
            let message = format!("persistentvolume {name} is still attached to node {}", holder.node);
            let cause =
                self.tell_storage(now, target, Severity::Warning, "VolumeFailedDelete", message, cause);
            self.storage.busy.insert(target);
            let work = Work::Delete { volume: row, attempt: attempt.saturating_add(1) };
            let subject = self.subject(work);
            self.plan_work(now + retry_after(attempt), work, subject, cause);
            return;
        }
        self.storage.busy.insert(target);
        let at = self.send(now, Client::Storage, NO_REPLY, Request::delete(target), cause);
        let patch = Patch::RemoveFinalizers(vec![Symbol::new(PROVISIONER_FINALIZER)]);
        self.write_storage(at, target, patch, cause);
    }

    fn write_storage(&mut self, at: SimTime, target: ObjectRef, patch: Patch, cause: Cause) {
        self.send(at, Client::Storage, NO_REPLY, Request::Patch { target, patch }, cause);
    }

    fn tell_storage(
        &mut self,
        now: SimTime,
        object: ObjectRef,
        severity: Severity,
        reason: &'static str,
        message: String,
        cause: Cause,
    ) -> Cause {
        self.decided(
            now,
            &Decision { object, container: None, severity, reason, message: Cow::Owned(message) },
            cause,
        )
    }
}

fn retry_after(attempt: u32) -> Span {
    RETRY.times(1 << attempt.min(10)).min(RETRY_MAX)
}

fn attacher_finalizer(attachment: &VolumeAttachment) -> Symbol {
    let driver = attachment.attacher.as_str().replace('.', "-");
    Symbol::new(&format!("{ATTACHER_FINALIZER}{driver}"))
}

/// Who draws for a volume: its claim, whose name does not depend on chance.
fn volume_entity(volume: &PersistentVolume) -> u64 {
    match &volume.claim {
        Some(claim) => name_entity(Kind::PersistentVolume, claim.namespace, claim.name.as_str()),
        None => name_entity(Kind::PersistentVolume, Symbol::empty(), &volume.meta.name),
    }
}

/// The zone to which a volume's affinity binds it, empty for none.
fn zone_of(volume: &PersistentVolume) -> Symbol {
    let zone = Symbol::new(LABEL_ZONE);
    let mut requirements = volume.node_affinity.iter().flatten().flat_map(|term| term.expressions.iter());
    let values = requirements.find_map(|requirement| match &requirement.operator {
        Operator::In(values) if requirement.key == zone => values.first().copied(),
        _ => None,
    });
    values.unwrap_or_default()
}

/// The PersistentVolume that a driver makes for a claim.
fn volume_of(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    provisioner: Symbol,
    zone: Symbol,
    now: SimTime,
) -> PersistentVolume {
    let name = compact_str::format_compact!("pvc-{}", claim.meta.uid);
    let affinity = NodeSelectorTerm {
        expressions: Box::new([Requirement {
            key: Symbol::new(LABEL_ZONE),
            operator: Operator::In(Box::new([zone])),
        }]),
        fields: Box::default(),
    };
    let deletes = class.reclaim_policy == ReclaimPolicy::Delete;
    let finalizers = deletes.then(|| Symbol::new(PROVISIONER_FINALIZER)).into_iter().collect();
    PersistentVolume {
        meta: ObjectMeta {
            annotations: Labels::new(vec![(Symbol::new(PROVISIONED_BY), provisioner)]),
            created: now,
            extra: Some(Arc::new(MetaExtra { finalizers, ..MetaExtra::default() })),
            name: name.clone(),
            ..ObjectMeta::default()
        },
        capacity: claim.spec.request,
        access_modes: claim.spec.access_modes,
        storage_class: Symbol::new(&class.meta.name),
        volume_mode: claim.spec.volume_mode,
        attributes_class: claim.spec.attributes_class,
        claim: Some(claim.claim_ref()),
        node_affinity: (!zone.is_empty()).then(|| Box::from([affinity])),
        reclaim_policy: class.reclaim_policy,
        csi_driver: provisioner,
        csi_handle: Symbol::new(&name),
        ..PersistentVolume::default()
    }
}
