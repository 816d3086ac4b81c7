//! Pods whose volumes a kubelet has to wait for.

mod play;

use std::sync::Arc;

use play::{Action, World, container, ms, pod, secs, with_images};
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodPhase, PodSpec, Volume, VolumeSource};
use seatrial_api::storage::{
    AccessModes, BIND_COMPLETED, ClaimPhase, ClaimSpec, PersistentVolume, PersistentVolumeClaim, VolumePhase,
};
use seatrial_api::units::Bytes;

const ONCE: AccessModes = AccessModes {
    read_write_once: true,
    read_only_many: false,
    read_write_many: false,
    read_write_once_pod: false,
};

fn using_claim() -> Arc<Pod> {
    let mut database = container("db");
    database.mounts = Box::new(["data".into()]);
    let mut spec = PodSpec::new(vec![database]);
    let source = VolumeSource::Claim { name: "data".into(), read_only: false };
    spec.volumes = Box::new([Volume { name: "data".into(), source }]);
    pod(1, spec)
}

fn claim(bound: bool) -> PersistentVolumeClaim {
    let mut meta = ObjectMeta::named("default", "data");
    meta.id = 1;
    let mut claim = PersistentVolumeClaim {
        meta,
        spec: ClaimSpec { access_modes: ONCE, request: Bytes(1 << 30), ..ClaimSpec::default() },
        ..PersistentVolumeClaim::default()
    };
    if bound {
        claim.meta.annotations = Labels::of(&[(BIND_COMPLETED, "yes")]);
        claim.spec.volume_name = "pv".into();
        claim.phase = ClaimPhase::Bound;
    }
    claim
}

fn volume() -> PersistentVolume {
    let mut meta = ObjectMeta::named("", "pv");
    meta.id = 1;
    PersistentVolume {
        meta,
        capacity: Bytes(1 << 30),
        access_modes: ONCE,
        claim: Some(claim(true).claim_ref()),
        phase: VolumePhase::Bound,
        csi_driver: "csi.example".into(),
        csi_handle: "disk-1".into(),
        ..PersistentVolume::default()
    }
}

fn observe_bound(world: &mut World) {
    world.at(ms(0), Action::Observe(Object::PersistentVolumeClaim(Arc::new(claim(true)))));
    world.at(ms(0), Action::Observe(Object::PersistentVolume(Arc::new(volume()))));
}

/// How often the runtime was told to mount.
fn mounts(world: &World) -> usize {
    world.log.iter().filter(|(_, line)| line == "mount").count()
}

/// The node tells that it is about to use a volume, waits for it, and starts the pod then.
#[test]
fn a_pod_waits_until_its_volume_is_attached() {
    let mut world = World::new(with_images());
    observe_bound(&mut world);
    world.at(ms(10), Action::Bind(using_claim()));
    world.run(secs(30));
    assert_eq!(world.lines("in use 1").len(), 1);
    assert_eq!(mounts(&world), 0, "{:?}", world.log);
    assert_eq!(world.phase(1), PodPhase::Pending);

    world.at(ms(0), Action::Attach(volume().unique_name()));
    world.run(secs(10));
    assert_eq!(mounts(&world), 1, "{:?}", world.log);
    assert_eq!(world.phase(1), PodPhase::Running);
}

/// A sync that waits for too long is given up without a word, and tried again.
#[test]
fn a_long_wait_goes_on() {
    let mut world = World::new(with_images());
    observe_bound(&mut world);
    world.at(ms(10), Action::Bind(using_claim()));
    world.run(secs(400));
    assert!(world.lines("event").is_empty(), "{:?}", world.log);
    world.at(ms(0), Action::Attach(volume().unique_name()));
    world.run(secs(30));
    assert_eq!(world.phase(1), PodPhase::Running);
}

/// A claim that is not bound keeps its pod from starting, and the kubelet says so.
#[test]
fn an_unbound_claim_keeps_a_pod_waiting() {
    let mut world = World::new(with_images());
    world.at(ms(0), Action::Observe(Object::PersistentVolumeClaim(Arc::new(claim(false)))));
    world.at(ms(10), Action::Bind(using_claim()));
    world.run(secs(200));
    let told = world.lines("event FailedMount");
    assert!(told[0].1.contains("unmounted volumes=[data]"), "{}", told[0].1);
    assert!(told[0].1.ends_with("error processing PVC default/data: PVC is not bound"), "{}", told[0].1);
    assert_eq!(mounts(&world), 0);
    observe_bound(&mut world);
    world.at(ms(0), Action::Attach(volume().unique_name()));
    world.run(secs(300));
    assert_eq!(world.phase(1), PodPhase::Running, "{:?}", world.log);
}

/// A volume is given back after its pod is gone.
#[test]
fn a_volume_is_given_back() {
    let mut world = World::new(with_images());
    observe_bound(&mut world);
    world.at(ms(10), Action::Attach(volume().unique_name()));
    world.at(ms(20), Action::Bind(using_claim()));
    world.run(secs(30));
    assert_eq!(world.phase(1), PodPhase::Running);
    world.at(ms(0), Action::Delete(1, 5));
    world.run(secs(60));
    assert!(world.lines("delete pod-1").len() == 1, "{:?}", world.log);
    assert_eq!(world.lines("in use 0").len(), 1, "{:?}", world.log);
}
