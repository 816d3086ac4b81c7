//! The rules of binding, as tables.

use std::sync::Arc;

use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::{ObjectMeta, Uid};
use seatrial_api::object::{Object, Typed};
use seatrial_api::request::{Change, Request, WatchEvent};
use seatrial_api::storage::{
    AccessModes, BIND_COMPLETED, BOUND_BY_CONTROLLER, ClaimPhase, ClaimRef, ClaimSpec, PROVISIONED_BY,
    PersistentVolume, PersistentVolumeClaim, ReclaimPolicy, SELECTED_NODE, StorageClass, VolumeBindingMode,
    VolumeMode, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, Span};

use super::objects::{Objects, View};
use super::plan::{self, Claimed, Next};
use super::{SimTime, next_resync};
use crate::framework::{Caches, Event};

const RWO: AccessModes = AccessModes {
    read_write_once: true,
    read_only_many: false,
    read_write_many: false,
    read_write_once_pod: false,
};
const RWO_ROX: AccessModes = AccessModes { read_only_many: true, ..RWO };

/// Caches that are filled object by object.
#[derive(Default)]
struct World {
    caches: Caches,
    objects: Objects,
    rows: u32,
}

impl World {
    fn add<T: Typed>(&mut self, mut object: T) -> u32 {
        self.rows += 1;
        let row = self.rows;
        let meta = object.meta_mut();
        (meta.id, meta.resource_version) = (row, u64::from(row));
        if meta.uid.is_unset() {
            meta.uid = Uid::from_bits(7, u64::from(row));
        }
        let event = WatchEvent { change: Change::Added, object: T::wrap(Arc::new(object)) };
        let old = self.caches.apply(&event);
        self.objects.observe(&Event { change: event.change, object: &event.object, old: old.as_ref() });
        row
    }

    fn view(&self) -> View<'_> {
        View { caches: &self.caches, objects: &self.objects }
    }

    /// What comes next for the claim in a row, in a few words.
    fn claim(&self, row: u32) -> String {
        let view = self.view();
        let plan = plan::claim(view, view.claim(row).expect("the claim is there"));
        let notes: Vec<String> =
            plan.notes.iter().map(|note| format!("{}: {}; ", note.reason, note.message)).collect();
        format!("{}{}", notes.concat(), self.words(&plan.next))
    }

    fn volume(&self, row: u32, claimed: &Claimed) -> String {
        let view = self.view();
        let plan = plan::volume(view, view.volume(row).expect("the volume is there"), claimed);
        self.words(&plan.next)
    }

    fn words(&self, next: &Next) -> String {
        match next {
            Next::Bind(row) => format!("bind {}", self.view().volume(*row).expect("it is there").meta.name),
            Next::Provision(provisioner) => format!("provision {provisioner}"),
            Next::Write(request, note) => {
                let note = note.as_ref().map_or("", |note| note.reason);
                format!("write {} {note}", words_of(request)).trim_end().into()
            }
            Next::Last(request) => format!("last {}", words_of(request)),
            Next::LookAtClaim(_) => "look at the claim".into(),
            Next::Verify(claim) => format!("verify {}", claim.name),
            Next::Done => "done".into(),
            Next::Failed => "failed".into(),
        }
    }
}

fn words_of(request: &Request) -> String {
    match request {
        Request::Update { object: Object::PersistentVolume(volume), .. } => {
            let claim = volume.claim.as_ref().map_or("free".into(), |claim| claim.name.to_string());
            format!("{} {:?} {claim}", volume.meta.name, volume.phase)
        }
        Request::Update { object: Object::PersistentVolumeClaim(claim), .. } => {
            let volume = claim.spec.volume_name;
            format!("{} {:?} {volume}", claim.meta.name, claim.phase).trim_end().into()
        }
        Request::Delete { .. } => "delete".into(),
        other => format!("{other:?}"),
    }
}

fn volume(name: &str, gigabytes: i64) -> PersistentVolume {
    PersistentVolume {
        meta: ObjectMeta::named("", name),
        capacity: Bytes(gigabytes << 30),
        access_modes: RWO,
        storage_class: "manual".into(),
        phase: VolumePhase::Available,
        ..PersistentVolume::default()
    }
}

fn claim(name: &str, gigabytes: i64) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        meta: ObjectMeta::named("ns", name),
        spec: ClaimSpec {
            access_modes: RWO,
            request: Bytes(gigabytes << 30),
            storage_class: Some("manual".into()),
            ..ClaimSpec::default()
        },
        ..PersistentVolumeClaim::default()
    }
}

fn class(name: &str, provisioner: &str, waits: bool) -> StorageClass {
    let modes = [VolumeBindingMode::Immediate, VolumeBindingMode::WaitForFirstConsumer];
    StorageClass {
        meta: ObjectMeta::named("", name),
        provisioner: provisioner.into(),
        binding_mode: modes[usize::from(waits)],
        ..StorageClass::default()
    }
}

fn reserved(name: &str, uid: Option<Uid>) -> Option<ClaimRef> {
    Some(ClaimRef { namespace: "ns".into(), name: name.into(), uid })
}

fn annotated<T: Typed>(mut object: T, keys: &[&str]) -> T {
    let pairs = keys.iter().map(|key| (Symbol::new(key), Symbol::new("yes"))).collect();
    object.meta_mut().annotations = Labels::new(pairs);
    object
}

#[test]
fn the_volume_that_fits_best_is_chosen() {
    let none = "ProvisioningFailed: storageclass.storage.k8s.io \"manual\" not found; done";
    let labelled = |name: &str, size| {
        let mut volume = volume(name, size);
        volume.meta.labels = Labels::of(&[("disk", "ssd")]);
        volume
    };
    let picky = |size| {
        let mut claim = claim("c", size);
        claim.spec.selector = Some(Selector::of_labels(&Labels::of(&[("disk", "ssd")])));
        claim
    };
    let with = |volume: PersistentVolume, change: fn(&mut PersistentVolume)| {
        let mut volume = volume;
        change(&mut volume);
        volume
    };
    let rows: Vec<(&str, Vec<PersistentVolume>, PersistentVolumeClaim, &str)> = vec![
        ("the smallest", vec![volume("p10", 10), volume("p5", 5), volume("p2", 2)], claim("c", 3), "bind p5"),
        ("none is large enough", vec![volume("p2", 2)], claim("c", 3), none),
        ("equal ones: the first", vec![volume("a", 5), volume("b", 5)], claim("c", 5), "bind a"),
        (
            "a larger one of fewer modes before a smaller one of more",
            vec![with(volume("both", 3), |v| v.access_modes = RWO_ROX), volume("one", 9)],
            claim("c", 3),
            "bind one",
        ),
        (
            "more modes than asked for",
            vec![with(volume("both", 3), |v| v.access_modes = RWO_ROX)],
            claim("c", 3),
            "bind both",
        ),
        ("by its labels", vec![volume("a", 3), labelled("ssd", 9)], picky(3), "bind ssd"),
        ("another class", vec![with(volume("a", 3), |v| v.storage_class = "x".into())], claim("c", 3), none),
        (
            "another mode of volume",
            vec![with(volume("a", 3), |v| v.volume_mode = VolumeMode::Block)],
            claim("c", 3),
            none,
        ),
        (
            "not looked at yet",
            vec![with(volume("a", 3), |v| v.phase = VolumePhase::Pending)],
            claim("c", 3),
            none,
        ),
        (
            "reserved for the claim, though another fits better",
            vec![volume("a", 3), with(volume("mine", 9), |v| v.claim = reserved("c", None))],
            claim("c", 3),
            "bind mine",
        ),
        (
            "reserved for the claim, whatever its class and phase",
            vec![with(volume("mine", 9), |v| {
                v.claim = reserved("c", None);
                v.storage_class = "x".into();
                v.phase = VolumePhase::Pending;
            })],
            claim("c", 3),
            "bind mine",
        ),
        (
            "reserved for another",
            vec![with(volume("a", 3), |v| v.claim = reserved("d", None))],
            claim("c", 3),
            none,
        ),
        (
            "reserved for an earlier claim of that name",
            vec![with(volume("a", 3), |v| v.claim = reserved("c", Some(Uid::from_bits(9, 9))))],
            claim("c", 3),
            none,
        ),
    ];
    for (what, volumes, claim, expected) in rows {
        let mut world = World::default();
        volumes.into_iter().for_each(|volume| {
            world.add(volume);
        });
        let row = world.add(claim);
        assert_eq!(world.claim(row), expected, "{what}");
    }
}

#[test]
fn claims_without_a_volume_wait_in_the_way_of_their_class() {
    let of_class = |name: Option<&str>| {
        let mut claim = claim("c", 1);
        claim.spec.storage_class = name.map(Symbol::new);
        claim
    };
    let no_class = "FailedBinding: no persistent volumes available for this claim and no storage class is set; \
                    done";
    let rows: Vec<(Option<StorageClass>, PersistentVolumeClaim, &str)> = vec![
        (None, of_class(Some("")), no_class),
        (None, of_class(None), no_class),
        (Some(class("fast", "csi.example", false)), of_class(Some("fast")), "provision csi.example"),
        (
            Some(class("old", "kubernetes.io/aws-ebs", false)),
            of_class(Some("old")),
            "provision ebs.csi.aws.com",
        ),
        (
            Some(class("hand", "kubernetes.io/no-provisioner", false)),
            of_class(Some("hand")),
            "ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner; done",
        ),
        (
            Some(class("zonal", "csi.example", true)),
            of_class(Some("zonal")),
            "WaitForFirstConsumer: waiting for first consumer to be created before binding; done",
        ),
        (
            Some(class("zonal", "csi.example", true)),
            annotated(of_class(Some("zonal")), &[SELECTED_NODE]),
            "provision csi.example",
        ),
    ];
    for (class, claim, expected) in rows {
        let mut world = World::default();
        if let Some(class) = class {
            world.add(class);
        }
        let row = world.add(claim);
        assert_eq!(world.claim(row), expected);
    }
}

#[test]
fn a_claim_gets_a_default_class_even_later() {
    let mut world = World::default();
    let mut default = class("standard", "csi.example", true);
    default.meta.annotations = Labels::of(&[("storageclass.kubernetes.io/is-default-class", "true")]);
    world.add(default);
    let mut unclassified = claim("c", 1);
    unclassified.spec.storage_class = None;
    let row = world.add(unclassified);
    assert_eq!(world.claim(row), "last c Pending");
}

#[test]
fn a_claim_that_waits_for_its_consumer_takes_only_what_is_reserved_for_it() {
    let mut world = World::default();
    world.add(class("manual", "csi.example", true));
    world.add(volume("free", 5));
    let row = world.add(claim("c", 1));
    assert!(world.claim(row).starts_with("WaitForFirstConsumer"));
    let mut mine = volume("mine", 5);
    mine.claim = reserved("c", None);
    world.add(mine);
    assert_eq!(world.claim(row), "bind mine");
}

#[test]
fn a_claim_that_names_its_volume_gets_that_one_or_none() {
    let naming = |name: &str| {
        let mut claim = claim("c", 3);
        claim.spec.volume_name = name.into();
        claim
    };
    let taken = |uid| {
        let mut volume = volume("p", 5);
        volume.claim = reserved("other", uid);
        volume
    };
    let mismatch = "VolumeMismatch: Cannot bind to requested volume \"p\": requested PV is too small; done";
    let elsewhere = "FailedBinding: volume \"p\" already bound to a different claim.; ";
    for (volume, claim, expected) in [
        (volume("p", 5), naming("p"), "bind p".to_string()),
        (volume("p", 2), naming("p"), mismatch.to_string()),
        (volume("q", 5), naming("p"), "done".to_string()),
        (taken(None), naming("p"), format!("{elsewhere}done")),
        (taken(None), annotated(naming("p"), &[BOUND_BY_CONTROLLER]), format!("{elsewhere}failed")),
    ] {
        let mut world = World::default();
        world.add(volume);
        let row = world.add(claim);
        assert_eq!(world.claim(row), expected);
    }
}

#[test]
fn a_bound_claim_whose_volume_is_gone_or_anothers_is_lost() {
    let bound = |name: &str| {
        let mut claim = annotated(claim("c", 3), &[BIND_COMPLETED]);
        claim.spec.volume_name = name.into();
        claim.phase = ClaimPhase::Bound;
        claim
    };
    let anothers = PersistentVolume { claim: reserved("d", Some(Uid::from_bits(9, 9))), ..volume("p", 5) };
    for (volume, claim, expected) in [
        (volume("q", 5), bound("p"), "write c Lost p ClaimLost"),
        (volume("q", 5), bound(""), "write c Lost ClaimLost"),
        (anothers, bound("p"), "write c Lost p ClaimMisbound"),
        (volume("p", 5), bound("p"), "bind p"),
    ] {
        let mut world = World::default();
        world.add(volume);
        let row = world.add(claim);
        assert_eq!(world.claim(row), expected);
    }
}

#[test]
fn binding_is_four_writes() {
    let (mut volume, mut claim) = (volume("p", 5), claim("c", 3));
    claim.meta.uid = Uid::from_bits(7, 1);
    let mut writes = Vec::new();
    while let Some(request) = plan::bind(&volume, &claim) {
        writes.push(words_of(&request));
        match request {
            Request::Update { object: Object::PersistentVolume(next), .. } => volume = (*next).clone(),
            Request::Update { object: Object::PersistentVolumeClaim(next), .. } => claim = (*next).clone(),
            other => panic!("unexpected: {other:?}"),
        }
        assert!(writes.len() < 10, "{writes:?}");
    }
    assert_eq!(writes, ["p Available c", "p Bound c", "c Pending p", "c Bound p"]);
    assert!(claim.is_fully_bound() && claim.has_annotation(BOUND_BY_CONTROLLER));
    assert_eq!((claim.capacity, claim.granted_modes), (volume.capacity, RWO));
}

#[test]
fn a_volume_follows_its_claim() {
    let uid = Uid::from_bits(7, 1);
    let held = |phase, policy| PersistentVolume {
        claim: reserved("c", Some(uid)),
        phase,
        reclaim_policy: policy,
        ..volume("p", 5)
    };
    let gone = || Claimed::Verified(None);
    let retained = held(VolumePhase::Released, ReclaimPolicy::Retain);
    let provisioned = annotated(held(VolumePhase::Released, ReclaimPolicy::Delete), &[PROVISIONED_BY]);
    let on_host = |path: &str| PersistentVolume {
        host_path: path.into(),
        ..held(VolumePhase::Released, ReclaimPolicy::Delete)
    };
    let pending = PersistentVolume { phase: VolumePhase::Pending, ..volume("p", 5) };
    let reserved_by_user = PersistentVolume { claim: reserved("c", None), ..pending.clone() };
    for (volume, claimed, expected) in [
        (volume("p", 5), Claimed::Cached, "done"),
        (pending, Claimed::Cached, "last p Available free"),
        (reserved_by_user, Claimed::Cached, "last p Available c"),
        (held(VolumePhase::Bound, ReclaimPolicy::Retain), Claimed::Cached, "verify c"),
        (held(VolumePhase::Bound, ReclaimPolicy::Retain), gone(), "write p Released c"),
        (retained, Claimed::Cached, "done"),
        (provisioned, gone(), "done"),
        (on_host("/tmp/data"), gone(), "last delete"),
        (on_host("/data"), gone(), "write p Failed c VolumeFailedDelete"),
    ] {
        let mut world = World::default();
        let row = world.add(volume);
        assert_eq!(world.volume(row, &claimed), expected);
    }
}

#[test]
fn a_volume_whose_claim_has_another_is_given_up() {
    let other = |annotations: &[&str], policy| {
        let mut world = World::default();
        let mut claim = claim("c", 3);
        claim.spec.volume_name = "q".into();
        claim.meta.uid = Uid::from_bits(7, 1);
        world.add(claim);
        let volume = PersistentVolume {
            claim: reserved("c", Some(Uid::from_bits(7, 1))),
            phase: VolumePhase::Bound,
            reclaim_policy: policy,
            ..volume("p", 5)
        };
        let row = world.add(annotated(volume, annotations));
        world.volume(row, &Claimed::Cached)
    };
    assert_eq!(other(&[BOUND_BY_CONTROLLER], ReclaimPolicy::Retain), "write p Bound free");
    assert_eq!(other(&[], ReclaimPolicy::Retain), "write p Bound c");
    assert_eq!(other(&[PROVISIONED_BY], ReclaimPolicy::Delete), "write p Released c");
}

#[test]
fn a_write_is_known_until_the_watch_shows_it() {
    let mut world = World::default();
    let row = world.add(volume("p", 5));
    let mut written = volume("p", 5);
    (written.meta.id, written.meta.resource_version) = (row, 50);
    written.claim = reserved("c", None);
    let object = Object::PersistentVolume(Arc::new(written));
    world.objects.note(&world.caches, &object);
    assert!(world.objects.is_behind(false, row));
    assert!(world.view().volume(row).expect("there").claim.is_some());
    let event = WatchEvent { change: Change::Modified, object: object.clone() };
    let old = world.caches.apply(&event);
    world.objects.observe(&Event { change: event.change, object: &event.object, old: old.as_ref() });
    assert!(!world.objects.is_behind(false, row));
    world.objects.note(&world.caches, &object);
    assert!(!world.objects.is_behind(false, row), "an answer that comes after the watch is no news");
}

#[test]
fn everything_is_looked_at_every_fifteen_seconds_from_the_start() {
    let start = SimTime::from_secs(7);
    for (now, next) in [(7, 22), (8, 22), (21, 22), (22, 37), (100, 112)] {
        let next = SimTime::from_secs(next);
        assert_eq!(next_resync(start, SimTime::from_secs(now)), next);
        assert_eq!((next - start).nanos() % Span::from_secs(15).nanos(), 0);
    }
}
