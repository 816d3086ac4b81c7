//! Claims, volumes and their attachments, played against the store. Drivers and kubelets are the
//! test.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use seatrial_api::container::Container;
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Typed};
use seatrial_api::pod::{Pod, PodPhase, PodSpec, Volume, VolumeSource};
use seatrial_api::request::{DeleteOptions, Patch, Request};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::storage::{
    AccessModes, ClaimPhase, ClaimSpec, ClaimTemplate, PROVISIONED_BY, PersistentVolume,
    PersistentVolumeClaim, ReclaimPolicy, STORAGE_PROVISIONER, StorageClass, VolumeAttachment, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime};

use crate::world::{NAMESPACE, World};

const RWO: AccessModes = AccessModes {
    read_write_once: true,
    read_only_many: false,
    read_write_many: false,
    read_write_once_pod: false,
};

fn claim(name: &str, class: &str, gigabytes: i64) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        meta: ObjectMeta::named(NAMESPACE, name),
        spec: ClaimSpec {
            access_modes: RWO,
            request: Bytes(gigabytes << 30),
            storage_class: Some(class.into()),
            ..ClaimSpec::default()
        },
        ..PersistentVolumeClaim::default()
    }
}

fn volume(name: &str, class: &str, gigabytes: i64) -> PersistentVolume {
    PersistentVolume {
        meta: ObjectMeta::named("", name),
        capacity: Bytes(gigabytes << 30),
        access_modes: RWO,
        storage_class: class.into(),
        ..PersistentVolume::default()
    }
}

/// A volume that a driver has made for a claim.
fn made_for(claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut volume = volume(&format!("pvc-{}", claim.meta.name), "fast", 0);
    volume.capacity = claim.spec.request;
    volume.claim = Some(claim.claim_ref());
    volume.csi_driver = "csi.example".into();
    volume.csi_handle = Symbol::new(&claim.meta.name);
    volume.reclaim_policy = ReclaimPolicy::Delete;
    volume.meta.annotations = Labels::of(&[(PROVISIONED_BY, "csi.example")]);
    volume
}

fn fast() -> StorageClass {
    StorageClass {
        meta: ObjectMeta::named("", "fast"),
        provisioner: "csi.example".into(),
        allow_expansion: true,
        ..StorageClass::default()
    }
}

fn pod_with(name: &str, node: &str, source: VolumeSource) -> Pod {
    let mut spec = PodSpec::new(vec![Container::new("c", "app:1")]);
    spec.volumes = Box::new([Volume { name: "data".into(), source }]);
    let mut pod = Pod::new(ObjectMeta::named(NAMESPACE, name), Arc::new(spec.sealed()));
    pod.node = (!node.is_empty()).then(|| Symbol::new(node));
    pod.status.phase = PodPhase::Running;
    pod
}

fn using(claim: &str) -> VolumeSource {
    VolumeSource::Claim { name: claim.into(), read_only: false }
}

fn at_once() -> DeleteOptions {
    DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() }
}

/// A world with the class `fast`, a node, and a claim `c` that a driver has made a volume for.
fn with_bound_claim() -> (World, u32, u32) {
    let mut world = World::new();
    world.node("n1", "a");
    world.node("n2", "a");
    world.create(fast());
    let row = world.create(claim("c", "fast", 5));
    world.run_to(1);
    assert!(world.get::<PersistentVolumeClaim>(row).has_annotation(STORAGE_PROVISIONER));
    let volume = made_for(world.get::<PersistentVolumeClaim>(row));
    let volume = world.create(volume);
    world.run_to(2);
    assert_eq!(world.get::<PersistentVolumeClaim>(row).phase, ClaimPhase::Bound);
    (world, row, volume)
}

fn attachments(world: &World) -> Vec<Arc<VolumeAttachment>> {
    world.all::<VolumeAttachment>()
}

/// The driver attaches whatever is asked for.
fn attach_all(world: &mut World) {
    for attachment in attachments(world).into_iter().filter(|attachment| !attachment.attached) {
        world.patch(Kind::VolumeAttachment, attachment.meta.id, Patch::Attached(true));
    }
}

/// A node's kubelet says which volumes it uses.
fn say_in_use(world: &mut World, node: &str, volumes: &[Symbol]) {
    let row = world.node_row(node);
    world.patch(Kind::Node, row, Patch::VolumesInUse(volumes.to_vec()));
}

/// A pod of the claim `c` that runs on `n1`, its volume attached there and in use.
fn with_attached_volume() -> (World, u32, Symbol) {
    let (mut world, _, volume) = with_bound_claim();
    let pod = world.import(pod_with("p", "n1", using("c")));
    let unique = world.get::<PersistentVolume>(volume).unique_name();
    say_in_use(&mut world, "n1", &[unique]);
    world.run_to(3);
    attach_all(&mut world);
    world.run_to(4);
    let node = world.get::<Node>(world.node_row("n1")).clone();
    assert_eq!(node.volumes_attached(), [unique]);
    let message = "AttachVolume.Attach succeeded for volume \"pvc-c\" ".to_string();
    assert_eq!(world.events("SuccessfulAttachVolume"), [(3, message)]);
    (world, pod, unique)
}

#[test]
fn a_claim_in_use_stays_until_its_pod_is_gone_and_then_its_volume_goes() {
    let (mut world, claim, volume) = with_bound_claim();
    let pod = world.import(pod_with("p", "n1", using("c")));
    world.run_to(3);
    world.delete(Kind::PersistentVolumeClaim, claim, DeleteOptions::default());
    world.run_to(10);
    assert!(world.get::<PersistentVolumeClaim>(claim).meta.is_deleting());
    world.delete(Kind::Pod, pod, at_once());
    world.run_to(11);
    assert!(!world.exists(Kind::PersistentVolumeClaim, claim));
    assert_eq!(world.get::<PersistentVolume>(volume).phase, VolumePhase::Released);
    // The driver deletes its storage, then the object.
    world.delete(Kind::PersistentVolume, volume, DeleteOptions::default());
    world.run_to(12);
    assert!(!world.exists(Kind::PersistentVolume, volume));
}

#[test]
fn a_bound_volume_is_protected_and_its_claim_is_lost_if_it_goes_all_the_same() {
    let (mut world, claim, volume) = with_bound_claim();
    world.delete(Kind::PersistentVolume, volume, DeleteOptions::default());
    world.run_to(10);
    assert!(world.get::<PersistentVolume>(volume).meta.is_deleting());
    let finalizer = vec!["kubernetes.io/pv-protection".into()];
    world.patch(Kind::PersistentVolume, volume, Patch::RemoveFinalizers(finalizer));
    world.run_to(11);
    assert_eq!(world.get::<PersistentVolumeClaim>(claim).phase, ClaimPhase::Lost);
    assert_eq!(world.events("ClaimLost").len(), 1);
}

#[test]
fn a_released_volume_is_free_again_when_its_reference_is_taken_away() {
    let mut world = World::new();
    let kept = world.create(volume("kept", "manual", 5));
    let first = world.create(claim("c", "manual", 5));
    world.run_to(1);
    world.delete(Kind::PersistentVolumeClaim, first, DeleteOptions::default());
    world.run_to(2);
    assert_eq!(world.get::<PersistentVolume>(kept).phase, VolumePhase::Released);
    let second = world.create(claim("c", "manual", 5));
    world.run_to(40);
    assert_eq!(world.get::<PersistentVolumeClaim>(second).phase, ClaimPhase::Pending);
    let free =
        PersistentVolume { claim: None, ..PersistentVolume::clone(world.get::<PersistentVolume>(kept)) };
    world.update(free);
    // The claim is looked at again with all others, at most fifteen seconds later.
    world.run_to(60);
    assert_eq!(world.get::<PersistentVolumeClaim>(second).phase, ClaimPhase::Bound);
}

#[test]
fn a_claim_that_asks_for_more_is_told_who_sees_to_it() {
    let (mut world, claim, _) = with_bound_claim();
    let mut larger = PersistentVolumeClaim::clone(world.get::<PersistentVolumeClaim>(claim));
    larger.spec.request = Bytes(9 << 30);
    world.update(larger);
    world.run_to(3);
    let message = "waiting for an external controller to expand this PVC".to_string();
    assert_eq!(world.events("ExternalExpanding"), [(2, message)]);
}

#[test]
fn the_claim_of_an_ephemeral_volume_is_made_and_goes_with_its_pod() {
    let mut world = World::new();
    world.node("n1", "a");
    let template = ClaimTemplate { claim: claim("", "fast", 1).spec, ..ClaimTemplate::default() };
    let source = VolumeSource::Ephemeral(Arc::new(template));
    let pod = world.import(pod_with("p", "n1", source.clone()));
    world.run_to(1);
    let claims = world.all::<PersistentVolumeClaim>();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].meta.name, "p-data");
    world.delete(Kind::Pod, pod, at_once());
    world.run_to(10);
    assert!(world.all::<PersistentVolumeClaim>().is_empty());
    // A claim of that name which is not the pod's is refused.
    world.create(claim("q-data", "fast", 1));
    world.import(pod_with("q", "n1", source));
    world.run_to(11);
    let message =
        "ephemeral volume data: PVC play/q-data was not created for pod play/q (pod is not the owner)";
    assert_eq!(world.events("FailedBinding").first().map(|event| event.1.clone()), Some(message.into()));
}

#[test]
fn a_volume_is_detached_when_its_kubelet_has_given_it_up() {
    let (mut world, pod, _) = with_attached_volume();
    world.delete(Kind::Pod, pod, at_once());
    world.run_to(30);
    assert_eq!(attachments(&world).len(), 1, "the kubelet still uses it");
    say_in_use(&mut world, "n1", &[]);
    world.run_to(31);
    assert!(attachments(&world).is_empty());
    assert!(world.get::<Node>(world.node_row("n1")).volumes_attached().is_empty());
}

#[test]
fn a_volume_that_another_node_has_is_waited_for() {
    let (mut world, pod, unique) = with_attached_volume();
    world.import(pod_with("q", "n2", using("c")));
    world.run_to(20);
    let message = "Multi-Attach error for volume \"pvc-c\" Volume is already used by pod(s) p".to_string();
    assert_eq!(world.events("FailedAttachVolume"), [(4, message)], "told once");
    world.delete(Kind::Pod, pod, at_once());
    say_in_use(&mut world, "n1", &[]);
    world.run_to(21);
    let nodes: Vec<Symbol> = attachments(&world).iter().map(|attachment| attachment.node).collect();
    assert_eq!(nodes, ["n2"]);
    attach_all(&mut world);
    world.run_to(22);
    assert_eq!(world.get::<Node>(world.node_row("n2")).volumes_attached(), [unique]);
}

#[test]
fn a_silent_node_loses_its_volumes_six_minutes_after_its_pod_is_gone() {
    let (mut world, pod, _) = with_attached_volume();
    world.silence("n1");
    world.run_to(100);
    world.delete(Kind::Pod, pod, at_once());
    world.run_to(459);
    assert_eq!(attachments(&world).len(), 1);
    world.run_to(461);
    assert!(attachments(&world).is_empty(), "forced after 360 s");
}

#[test]
fn a_node_out_of_service_loses_its_volumes_at_once() {
    let (mut world, pod, _) = with_attached_volume();
    world.silence("n1");
    world.run_to(100);
    world.delete(Kind::Pod, pod, at_once());
    let taint = Taint {
        key: "node.kubernetes.io/out-of-service".into(),
        value: Symbol::empty(),
        effect: TaintEffect::NoExecute,
    };
    let row = world.node_row("n1");
    world.patch(Kind::Node, row, Patch::TaintChanges { add: vec![taint], remove: Vec::new() });
    world.run_to(101);
    assert!(attachments(&world).is_empty());
}

#[test]
fn a_driver_that_does_not_answer_is_given_up_and_asked_again() {
    let (mut world, ..) = with_bound_claim();
    world.import(pod_with("p", "n1", using("c")));
    world.run_to(130);
    let events = world.events("FailedAttachVolume");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].1.ends_with(
            "timed out waiting for external-attacher of csi.example CSI driver to attach volume c"
        )
    );
    attach_all(&mut world);
    world.run_to(135);
    assert_eq!(world.get::<Node>(world.node_row("n1")).volumes_attached().len(), 1);
}

#[test]
fn a_new_controller_manager_goes_on_where_the_old_one_was() {
    let (mut world, pod, _) = with_attached_volume();
    world.restart_manager();
    world.run_to(10);
    assert_eq!(attachments(&world).len(), 1);
    world.delete(Kind::Pod, pod, at_once());
    say_in_use(&mut world, "n1", &[]);
    world.run_to(11);
    assert!(attachments(&world).is_empty());
}

/// A step of a random history of storage.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u8, i64),
    Volume(u8, i64),
    DeleteClaim(u8),
    DeleteVolume(u8),
    Restart,
    Wait(i64),
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u8..6, 1i64..6).prop_map(|(name, size)| Step::Claim(name, size)),
        3 => (0u8..6, 1i64..6).prop_map(|(name, size)| Step::Volume(name, size)),
        1 => (0u8..6).prop_map(Step::DeleteClaim),
        1 => (0u8..6).prop_map(Step::DeleteVolume),
        1 => Just(Step::Restart),
        2 => (0i64..20).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..30)
}

fn named<T: Typed>(world: &World, namespace: &str, name: &str) -> Option<u32> {
    world.server.find(T::KIND, Symbol::new(namespace), name).map(|object| object.meta().id)
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Claim(name, size) => {
            let object = PersistentVolumeClaim::wrap(Arc::new(claim(&format!("c{name}"), "manual", size)));
            let _ = world.request(Request::Create(object));
        }
        Step::Volume(name, size) => {
            let object = PersistentVolume::wrap(Arc::new(volume(&format!("v{name}"), "manual", size)));
            let _ = world.request(Request::Create(object));
        }
        Step::DeleteClaim(name) => {
            if let Some(row) = named::<PersistentVolumeClaim>(world, NAMESPACE, &format!("c{name}")) {
                world.delete(Kind::PersistentVolumeClaim, row, DeleteOptions::default());
            }
        }
        Step::DeleteVolume(name) => {
            if let Some(row) = named::<PersistentVolume>(world, "", &format!("v{name}")) {
                world.delete(Kind::PersistentVolume, row, DeleteOptions::default());
            }
        }
        Step::Restart => world.restart_manager(),
        Step::Wait(seconds) => {
            let end = world.now + seatrial_api::units::Span::from_secs(seconds);
            world.run_until(end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_claim_is_bound_twice_no_volume_to_two_claims_and_all_comes_to_rest(
        history in histories(),
        seed in any::<u64>(),
    ) {
        let mut world = World::random(seed);
        for step in history {
            take(&mut world, step);
            let mut holders: BTreeMap<Symbol, usize> = BTreeMap::new();
            for claim in world.all::<PersistentVolumeClaim>() {
                if !claim.spec.volume_name.is_empty() {
                    *holders.entry(claim.spec.volume_name).or_default() += 1;
                }
            }
            prop_assert!(holders.values().all(|&count| count == 1), "a volume has two claims: {holders:?}");
        }
        let end = SimTime::from_secs((world.now.nanos() / 1_000_000_000) + 100);
        world.run_until(end);
        let claims = world.all::<PersistentVolumeClaim>();
        let volumes = world.all::<PersistentVolume>();
        for claim in &claims {
            let theirs: Vec<_> = volumes.iter().filter(|volume| volume.is_bound_to(claim)).collect();
            match claim.phase {
                ClaimPhase::Bound => {
                    prop_assert_eq!(theirs.len(), 1, "{} has one volume", claim.meta.name);
                    prop_assert!(claim.spec.volume_name == theirs[0].meta.name.as_str());
                    prop_assert_eq!(theirs[0].phase, VolumePhase::Bound);
                }
                ClaimPhase::Pending => {
                    prop_assert!(theirs.is_empty());
                    let fits = |volume: &&Arc<PersistentVolume>| {
                        volume.phase == VolumePhase::Available
                            && !volume.meta.is_deleting()
                            && volume.capacity >= claim.spec.request
                    };
                    let fitting = volumes.iter().find(fits).map(|volume| volume.meta.name.clone());
                    prop_assert!(fitting.is_none(), "{} could have {fitting:?}", claim.meta.name);
                }
                ClaimPhase::Lost => prop_assert!(!claim.spec.volume_name.is_empty()),
            }
            prop_assert!(!claim.meta.is_deleting(), "nobody uses {}", claim.meta.name);
        }
        for volume in &volumes {
            prop_assert!(volume.phase != VolumePhase::Pending);
            prop_assert!(!volume.meta.is_deleting() || volume.phase == VolumePhase::Bound);
        }
        let changes = world.history.len();
        let later = end + seatrial_api::units::Span::from_secs(100);
        world.run_until(later);
        prop_assert_eq!(world.history.len(), changes, "nothing changes any more");
    }
}
