//! What a sync of a claim or of a volume does next: pure functions over the newest versions
//! (upstream `pv_controller.go`). Each write is followed by another look.

use std::sync::Arc;

use seatrial_api::machine::Severity;
use seatrial_api::object::{Object, ObjectRef, Typed};
use seatrial_api::request::{Request, Subresource};
use seatrial_api::storage::{
    AccessModes, BETA_STORAGE_PROVISIONER, BIND_COMPLETED, BOUND_BY_CONTROLLER, ClaimPhase, ClaimRef,
    PROVISIONED_BY, PersistentVolume, PersistentVolumeClaim, ReclaimPolicy, SELECTED_NODE,
    STORAGE_PROVISIONER, StorageClass, VolumeBindingMode, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Bytes;

use super::objects::View;

/// The volume plugins that were moved into CSI drivers, with those drivers.
const MIGRATED: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
];

/// An Event to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) about: ObjectRef,
    pub(super) severity: Severity,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Note {
    fn of<T: Typed>(
        object: &T,
        severity: Severity,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Note {
        Note { about: object.meta().object_ref(T::KIND), severity, reason, message: message.into() }
    }
}

/// What comes next.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// A write, after which the sync looks again; the Event is recorded if it succeeds.
    Write(Request, Option<Note>),
    /// A write with which the sync ends.
    Last(Request),
    /// The claim is bound to the volume in this row.
    Bind(u32),
    /// The claim's volume is to be made by a provisioner.
    Provision(Symbol),
    /// The claim in this row is to be looked at.
    LookAtClaim(u32),
    /// Whether the claim is really gone is to be asked for.
    Verify(ClaimRef),
    /// Nothing.
    Done,
    /// The sync has failed.
    Failed,
}

/// What comes next, and what is to be recorded at once.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) notes: Vec<Note>,
    pub(super) next: Next,
}

impl From<Next> for Plan {
    fn from(next: Next) -> Plan {
        Plan { notes: Vec::new(), next }
    }
}

fn write<T: Typed>(object: T, subresource: Subresource) -> Request {
    Request::Update { object: T::wrap(Arc::new(object)), subresource }
}

/// A claim's class, empty for none.
pub(super) fn class_of(claim: &PersistentVolumeClaim) -> Symbol {
    claim.spec.storage_class.unwrap_or_default()
}

/// The next step of a claim's sync.
pub(super) fn claim(view: View<'_>, claim: &PersistentVolumeClaim) -> Plan {
    if claim.has_annotation(BIND_COMPLETED) {
        bound_claim(view, claim)
    } else if claim.spec.volume_name.is_empty() {
        unbound_claim(view, claim)
    } else {
        named_volume(view, claim)
    }
}

/// A claim that names no volume.
fn unbound_claim(view: View<'_>, claim: &PersistentVolumeClaim) -> Plan {
    let class = view.caches.storage_classes.named(Symbol::empty(), class_of(claim).as_str());
    let waits = class.is_some_and(|class| class.binding_mode == VolumeBindingMode::WaitForFirstConsumer);
    if let Some(volume) = best_match(view, claim, waits) {
        return Next::Bind(volume.meta.id).into();
    }
    if claim.spec.storage_class.is_none()
        && let Some(default) = StorageClass::default_of(view.caches.storage_classes.iter())
    {
        let mut next = claim.clone();
        next.spec.storage_class = Some(Symbol::new(&default.meta.name));
        return Next::Last(write(next, Subresource::Main)).into();
    }
    let note = if waits && !claim.has_annotation(SELECTED_NODE) {
        let (reason, message) = consumer_awaited(view, claim);
        Note::of(claim, Severity::Normal, reason, message)
    } else if !class_of(claim).is_empty() {
        return provision(claim, class.map(|class| &**class));
    } else {
        let message = "no persistent volumes available for this claim and no storage class is set";
        Note::of(claim, Severity::Normal, "FailedBinding", message)
    };
    Plan { notes: vec![note], next: pending(claim) }
}

/// Why a claim that waits for its first consumer still waits.
fn consumer_awaited(view: View<'_>, claim: &PersistentVolumeClaim) -> (&'static str, String) {
    let pods = view.caches.pods.using_claim(claim.meta.namespace, &claim.meta.name);
    let waiting = pods.filter(|pod| pod.node.is_none() && !pod.status.phase.is_terminal());
    let names: Vec<&str> = waiting.map(|pod| pod.meta.name.as_str()).collect();
    match names.as_slice() {
        [] => ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".into()),
        [pod] => ("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
        pods => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
    }
}

/// A claim's volume is to be made, if there is somebody who can.
fn provision(claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> Plan {
    let failed = |message: String| {
        let note = Note::of(claim, Severity::Warning, "ProvisioningFailed", message);
        Plan { notes: vec![note], next: Next::Done }
    };
    let Some(class) = class else {
        return failed(format!("storageclass.storage.k8s.io \"{}\" not found", class_of(claim)));
    };
    let provisioner = class.provisioner;
    match MIGRATED.iter().find(|(name, _)| provisioner == *name) {
        Some((_, driver)) => Next::Provision(Symbol::new(driver)).into(),
        None if provisioner.as_str().starts_with("kubernetes.io/") => {
            failed(format!("no volume plugin matched name: {provisioner}"))
        }
        None => Next::Provision(provisioner).into(),
    }
}

/// The claim with the annotations that call its provisioner; `None` if it has them.
pub(super) fn with_provisioner(claim: &PersistentVolumeClaim, provisioner: Symbol) -> Option<Request> {
    if claim.annotation(STORAGE_PROVISIONER) == Some(provisioner) {
        return None;
    }
    let mut next = claim.clone();
    for key in [BETA_STORAGE_PROVISIONER, STORAGE_PROVISIONER] {
        next.meta.annotations = next.meta.annotations.with(Symbol::new(key), provisioner);
    }
    Some(write(next, Subresource::Main))
}

/// What is told when a provisioner was called.
pub(super) fn provisioner_called(claim: &PersistentVolumeClaim, provisioner: Symbol) -> Note {
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by \
         the system administrator. If volume creation is delayed, please verify that the provisioner is running \
         and correctly registered."
    );
    Note::of(claim, Severity::Normal, "ExternalProvisioning", message)
}

/// What is told when the provisioner could not be called.
pub(super) fn provisioner_not_called(claim: &PersistentVolumeClaim, error: &str) -> Note {
    Note::of(claim, Severity::Warning, "ProvisioningFailed", format!("Error saving claim: {error}"))
}

/// A claim whose user, or the binder in an earlier life, has named its volume.
fn named_volume(view: View<'_>, claim: &PersistentVolumeClaim) -> Plan {
    let Some(volume) = view.volume_named(claim.spec.volume_name) else { return pending(claim).into() };
    let warning = |reason, message| Note::of(claim, Severity::Warning, reason, message);
    if volume.claim.is_none() {
        return match mismatch(volume, claim) {
            None => Next::Bind(volume.meta.id).into(),
            Some(why) => {
                let message = format!("Cannot bind to requested volume \"{}\": {why}", volume.meta.name);
                Plan { notes: vec![warning("VolumeMismatch", message)], next: pending(claim) }
            }
        };
    }
    if volume.is_bound_to(claim) {
        return Next::Bind(volume.meta.id).into();
    }
    let message = format!("volume \"{}\" already bound to a different claim.", volume.meta.name);
    let is_ours = claim.has_annotation(BOUND_BY_CONTROLLER);
    let next = if is_ours { Next::Failed } else { pending(claim) };
    Plan { notes: vec![warning("FailedBinding", message)], next }
}

/// A claim whose binding was complete.
fn bound_claim(view: View<'_>, claim: &PersistentVolumeClaim) -> Plan {
    let lost = |reason, message: &str| -> Plan {
        if claim.phase == ClaimPhase::Lost {
            return Next::Done.into();
        }
        let note = Note::of(claim, Severity::Warning, reason, message);
        let next = with_status(claim, ClaimPhase::Lost, None);
        Next::Write(write(next, Subresource::Status), Some(note)).into()
    };
    if claim.spec.volume_name.is_empty() {
        let message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lost("ClaimLost", message);
    }
    let Some(volume) = view.volume_named(claim.spec.volume_name) else {
        let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
        return lost("ClaimLost", message);
    };
    match &volume.claim {
        None => Next::Bind(volume.meta.id).into(),
        Some(claim_ref) if claim_ref.uid == Some(claim.meta.uid) => Next::Bind(volume.meta.id).into(),
        Some(_) => {
            lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
        }
    }
}

/// The claim is to be Pending, if it is not.
fn pending(claim: &PersistentVolumeClaim) -> Next {
    let next = with_status(claim, ClaimPhase::Pending, None);
    if next == *claim { Next::Done } else { Next::Last(write(next, Subresource::Status)) }
}

fn with_status(
    claim: &PersistentVolumeClaim,
    phase: ClaimPhase,
    volume: Option<&PersistentVolume>,
) -> PersistentVolumeClaim {
    let mut next = claim.clone();
    next.phase = phase;
    match volume {
        None => (next.granted_modes, next.capacity) = (AccessModes::default(), Bytes(0)),
        Some(volume) => {
            next.granted_modes = volume.access_modes;
            if claim.phase != phase {
                next.capacity = volume.capacity;
            }
        }
    }
    next
}

/// The next of the four writes that bind a claim and a volume; `None` when all are done.
pub(super) fn bind(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Request> {
    let wanted = claim.claim_ref();
    if volume.claim.as_ref() != Some(&wanted) {
        let mut next = volume.clone();
        if !volume.is_bound_to(claim) {
            next.meta.annotations =
                next.meta.annotations.with(Symbol::new(BOUND_BY_CONTROLLER), Symbol::new("yes"));
        }
        next.claim = Some(wanted);
        return Some(write(next, Subresource::Main));
    }
    if volume.phase != VolumePhase::Bound {
        return Some(with_phase(volume, VolumePhase::Bound, Symbol::empty()));
    }
    let names_it = claim.spec.volume_name == volume.meta.name.as_str();
    if !names_it || !claim.has_annotation(BIND_COMPLETED) {
        let mut next = claim.clone();
        let yes = Symbol::new("yes");
        if !names_it {
            next.spec.volume_name = Symbol::new(&volume.meta.name);
            next.meta.annotations = next.meta.annotations.with(Symbol::new(BOUND_BY_CONTROLLER), yes);
        }
        next.meta.annotations = next.meta.annotations.with(Symbol::new(BIND_COMPLETED), yes);
        return Some(write(next, Subresource::Main));
    }
    let next = with_status(claim, ClaimPhase::Bound, Some(volume));
    (next != *claim).then(|| write(next, Subresource::Status))
}

fn with_phase(volume: &PersistentVolume, phase: VolumePhase, message: Symbol) -> Request {
    write(PersistentVolume { phase, message, ..volume.clone() }, Subresource::Status)
}

/// The volume that fits a claim best: of the smallest set of access modes that has any, the one
/// reserved for the claim, else the smallest. Claims that wait for a consumer get only what is
/// reserved for them; the scheduler chooses the rest.
fn best_match<'a>(
    view: View<'a>,
    claim: &PersistentVolumeClaim,
    waits: bool,
) -> Option<&'a Arc<PersistentVolume>> {
    let class = class_of(claim);
    let key = |volume: &&Arc<PersistentVolume>| {
        let modes = volume.access_modes;
        let set =
            [modes.read_write_once, modes.read_only_many, modes.read_write_many, modes.read_write_once_pod];
        (modes.len(), set, !volume.is_bound_to(claim), volume.capacity, volume.meta.id)
    };
    let fits = |volume: &&Arc<PersistentVolume>| {
        let possible = volume.claim.as_ref().is_none_or(|claim_ref| claim_ref.names(claim))
            && volume.capacity >= claim.spec.request
            && volume.volume_mode == claim.spec.volume_mode
            && volume.attributes_class == claim.spec.attributes_class
            && volume.access_modes.contains(claim.spec.access_modes)
            && !volume.meta.is_deleting();
        let free = || {
            !waits
                && volume.claim.is_none()
                && volume.phase == VolumePhase::Available
                && volume.storage_class == class
                && claim.spec.selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta.labels))
        };
        possible && (volume.is_bound_to(claim) || free())
    };
    view.candidates(claim, class).filter(fits).min_by_key(key)
}

/// Why a volume that a claim names cannot be the claim's.
fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    if volume.capacity < claim.spec.request {
        Some("requested PV is too small")
    } else if volume.storage_class != class_of(claim) {
        Some("storageClassName does not match")
    } else if volume.attributes_class != claim.spec.attributes_class {
        Some("volumeAttributesClassName does not match")
    } else if volume.volume_mode != claim.spec.volume_mode {
        Some("incompatible volumeMode")
    } else if !volume.access_modes.contains(claim.spec.access_modes) {
        Some("incompatible accessMode")
    } else {
        None
    }
}

/// What is known of a volume's claim.
#[derive(Clone, Debug, Default)]
pub(super) enum Claimed {
    /// What the caches say.
    #[default]
    Cached,
    /// What the API server said.
    Verified(Option<Arc<PersistentVolumeClaim>>),
}

/// The next step of a volume's sync.
pub(super) fn volume(view: View<'_>, volume: &PersistentVolume, claimed: &Claimed) -> Plan {
    let Some(claim_ref) = &volume.claim else { return phase(volume, VolumePhase::Available).into() };
    let Some(uid) = claim_ref.uid else { return phase(volume, VolumePhase::Available).into() };
    let is_over = matches!(volume.phase, VolumePhase::Released | VolumePhase::Failed);
    let claim = match claimed {
        Claimed::Verified(found) => found.as_ref(),
        Claimed::Cached => match view.claim_named(claim_ref) {
            Some(found) if found.meta.uid == uid => Some(found),
            None if is_over => None,
            _ => return Next::Verify(claim_ref.clone()).into(),
        },
    };
    match claim.filter(|claim| claim.meta.uid == uid) {
        None => released(volume),
        Some(claim) if claim.spec.volume_name.is_empty() => {
            if claim.spec.volume_mode == volume.volume_mode {
                return Next::LookAtClaim(claim.meta.id).into();
            }
            let about_volume = format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim \"{}\" due to incompatible \
                 volumeMode.",
                claim.meta.name
            );
            let about_claim = format!(
                "Cannot bind PersistentVolume \"{}\" to requested PersistentVolumeClaim due to incompatible \
                 volumeMode.",
                volume.meta.name
            );
            let notes = vec![
                Note::of(volume, Severity::Warning, "VolumeMismatch", about_volume),
                Note::of(&**claim, Severity::Warning, "VolumeMismatch", about_claim),
            ];
            Plan { notes, next: Next::Done }
        }
        Some(claim) if claim.spec.volume_name == volume.meta.name.as_str() => {
            phase(volume, VolumePhase::Bound).into()
        }
        Some(_) => misbound(volume),
    }
}

fn phase(volume: &PersistentVolume, wanted: VolumePhase) -> Next {
    if volume.phase == wanted {
        return Next::Done;
    }
    Next::Last(with_phase(volume, wanted, Symbol::empty()))
}

/// The claim is bound to another volume.
fn misbound(volume: &PersistentVolume) -> Plan {
    let annotation = |key| volume.meta.annotations.get(Symbol::new(key));
    if annotation(PROVISIONED_BY).is_some() && volume.reclaim_policy == ReclaimPolicy::Delete {
        return released(volume);
    }
    // What the binder has chosen is undone, what a user has chosen waits for that claim again.
    let mut next = volume.clone();
    if annotation(BOUND_BY_CONTROLLER).is_some() {
        next.claim = None;
        next.meta.annotations = next.meta.annotations.without(Symbol::new(BOUND_BY_CONTROLLER));
    } else if let Some(claim) = &mut next.claim {
        claim.uid = None;
    }
    Next::Write(write(next, Subresource::Main), None).into()
}

/// The claim of a volume is gone: the volume is released and, if it is to be deleted and no
/// driver outside does that, deleted.
fn released(volume: &PersistentVolume) -> Plan {
    if !matches!(volume.phase, VolumePhase::Released | VolumePhase::Failed) {
        return Next::Write(with_phase(volume, VolumePhase::Released, Symbol::empty()), None).into();
    }
    let provisioned = volume.meta.annotations.get(Symbol::new(PROVISIONED_BY)).is_some();
    if volume.reclaim_policy == ReclaimPolicy::Retain || provisioned || !volume.csi_driver.is_empty() {
        return Next::Done.into();
    }
    let path = volume.host_path.as_str();
    let why = if path.is_empty() {
        let name = &volume.meta.name;
        format!(
            "error getting deleter volume plugin for volume \"{name}\": no deletable volume plugin matched"
        )
    } else if path.len() > "/tmp/".len() && path.starts_with("/tmp/") {
        return Next::Last(Request::delete(Object::PersistentVolume(Arc::new(volume.clone())).object_ref()))
            .into();
    } else {
        format!("host_path deleter only supports /tmp/.+ but received provided {path}")
    };
    if volume.phase == VolumePhase::Failed {
        return Next::Done.into();
    }
    let note = Note::of(volume, Severity::Warning, "VolumeFailedDelete", why.clone());
    let failed = with_phase(volume, VolumePhase::Failed, Symbol::new(&why));
    Next::Write(failed, Some(note)).into()
}
