//! Pods whose claims wait for their first pod, drivers that say what is free, and what is attached.

use std::sync::Arc;

use crate::rig::{GIBIBYTE, Rig, node, pod_with};
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodReason, Volume, VolumeSource};
use seatrial_api::request::Change;
use seatrial_api::storage::{
    AccessModes, BIND_COMPLETED, ClaimPhase, ClaimSpec, CsiDriver, CsiNode, CsiNodeDriver,
    CsiStorageCapacity, PersistentVolume, PersistentVolumeClaim, SELECTED_NODE, STORAGE_PROVISIONER,
    StorageClass, VolumeAttachment, VolumeBindingMode, VolumePhase,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime, Span};
use seatrial_scheduler::SchedulerConfiguration;

const DRIVER: &str = "csi.example";

fn in_zone(name: &str, zone: &str) -> Node {
    let mut node = node(name, 4000, 8);
    node.meta.labels = Labels::of(&[("topology.kubernetes.io/zone", zone)]);
    node
}

fn class() -> Object {
    Object::StorageClass(Arc::new(StorageClass {
        meta: ObjectMeta::named("", "late"),
        provisioner: DRIVER.into(),
        binding_mode: VolumeBindingMode::WaitForFirstConsumer,
        ..StorageClass::default()
    }))
}

fn claim(name: &str, gigabytes: i64) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        meta: ObjectMeta::named("default", name),
        spec: ClaimSpec {
            access_modes: AccessModes { read_write_once: true, ..AccessModes::default() },
            request: Bytes(gigabytes * GIBIBYTE),
            storage_class: Some("late".into()),
            ..ClaimSpec::default()
        },
        ..PersistentVolumeClaim::default()
    }
}

fn using(name: &str, claim: &str) -> Pod {
    let source = VolumeSource::Claim { name: claim.into(), read_only: false };
    pod_with(name, 100, |spec| spec.volumes = Box::new([Volume { name: "data".into(), source }]))
}

/// The volume of a claim is there, and bound.
fn bind(rig: &mut Rig, row: u32) -> Symbol {
    let volume = Symbol::new(&format!("pv-{row}"));
    let claimed = rig.claim(row).claim_ref();
    let object = PersistentVolume {
        meta: ObjectMeta::named("", volume.as_str()),
        capacity: Bytes(GIBIBYTE),
        access_modes: rig.claim(row).spec.access_modes,
        storage_class: "late".into(),
        claim: Some(claimed),
        phase: VolumePhase::Bound,
        csi_driver: DRIVER.into(),
        csi_handle: volume,
        ..PersistentVolume::default()
    };
    rig.watch(Change::Added, Object::PersistentVolume(Arc::new(object)));
    rig.change_claim(row, |claim| {
        claim.spec.volume_name = volume;
        claim.phase = ClaimPhase::Bound;
        claim.meta.annotations = claim.meta.annotations.with(Symbol::new(BIND_COMPLETED), "yes".into());
    });
    volume
}

fn seconds(rig: &mut Rig, seconds: i64) {
    rig.settle(SimTime::from_secs(seconds));
}

/// The node is selected for the claim, and the pod is bound when the claim is.
#[test]
fn a_late_claim_gets_a_node_and_the_pod_waits_for_it() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.watch(Change::Added, class());
    rig.add_node(in_zone("n1", "a"));
    let row = rig.add_claim(claim("data", 1));
    rig.add_pod(using("db", "data"));
    seconds(&mut rig, 5);
    assert_eq!(rig.claim(row).annotation(SELECTED_NODE), Some("n1".into()));
    assert_eq!(rig.node_of("db"), None);
    bind(&mut rig, row);
    seconds(&mut rig, 7);
    assert_eq!(rig.node_of("db"), Some("n1"));
    assert!(rig.bound_at("db") >= SimTime::from_secs(5));
}

/// A driver that takes the node back makes the binding fail, and the pod is tried again.
#[test]
fn a_provisioner_that_gives_up_is_told_of() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.watch(Change::Added, class());
    rig.add_node(in_zone("n1", "a"));
    let row = rig.add_claim(claim("data", 1));
    rig.add_pod(using("db", "data"));
    seconds(&mut rig, 2);
    rig.change_claim(row, |claim| {
        claim.meta.annotations = claim.meta.annotations.with(Symbol::new(STORAGE_PROVISIONER), DRIVER.into());
    });
    seconds(&mut rig, 4);
    assert_eq!(rig.attempts("db"), 0);
    rig.change_claim(row, |claim| {
        claim.meta.annotations = claim.meta.annotations.without(Symbol::new(SELECTED_NODE));
    });
    seconds(&mut rig, 6);
    assert_eq!(rig.attempts("db"), 1);
    assert_eq!(rig.reason_of("db"), PodReason::SchedulerError);
    let (.., message) =
        rig.decisions.iter().find(|(_, reason, _)| *reason == "FailedScheduling").expect("it is told");
    assert!(message.contains("binding volumes: provisioning failed for PVC \"data\""), "{message}");
    seconds(&mut rig, 120);
    assert_eq!(rig.claim(row).annotation(SELECTED_NODE), Some("n1".into()), "it is selected again");
    bind(&mut rig, row);
    seconds(&mut rig, 125);
    assert_eq!(rig.node_of("db"), Some("n1"));
}

/// A binding that takes too long fails.
#[test]
fn a_binding_has_its_time() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.watch(Change::Added, class());
    rig.add_node(in_zone("n1", "a"));
    rig.add_claim(claim("data", 1));
    rig.add_pod(using("db", "data"));
    seconds(&mut rig, 599);
    assert_eq!(rig.attempts("db"), 0);
    rig.settle(SimTime::ZERO + Span::from_secs(602));
    assert_eq!(rig.attempts("db"), 1);
}

fn capacity(zone: &str, gigabytes: i64, id: u32) -> Object {
    let mut meta = ObjectMeta::named("kube-system", zone);
    meta.id = id;
    let labels = Labels::of(&[("topology.kubernetes.io/zone", zone)]);
    Object::CsiStorageCapacity(Arc::new(CsiStorageCapacity {
        meta,
        class: "late".into(),
        topology: Some(Selector::of_labels(&labels)),
        capacity: Some(Bytes(gigabytes * GIBIBYTE)),
        volume_max: None,
    }))
}

/// A driver that says what is free is not asked for more, and more room wakes the pod.
#[test]
fn a_node_without_storage_is_left_out() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.watch(Change::Added, class());
    let driver =
        CsiDriver { meta: ObjectMeta::named("", DRIVER), attach_required: true, storage_capacity: true };
    rig.watch(Change::Added, Object::CsiDriver(Arc::new(driver)));
    rig.watch(Change::Added, capacity("a", 1, 91));
    rig.add_node(in_zone("n1", "a"));
    rig.add_node(in_zone("n2", "b"));
    let row = rig.add_claim(claim("data", 5));
    rig.add_pod(using("db", "data"));
    seconds(&mut rig, 2);
    assert_eq!(rig.attempts("db"), 1);
    let message = &rig.pod("db").status.text.as_ref().unwrap().scheduling;
    assert!(message.contains("2 node(s) did not have enough free storage"), "{message}");
    rig.watch(Change::Added, capacity("b", 10, 92));
    seconds(&mut rig, 15);
    assert_eq!(rig.claim(row).annotation(SELECTED_NODE), Some("n2".into()));
}

/// A volume that is still attached takes one of the places that a node has.
#[test]
fn what_is_left_attached_takes_a_place() {
    let mut rig = Rig::new(SchedulerConfiguration::default());
    rig.watch(Change::Added, class());
    rig.add_node(in_zone("n1", "a"));
    let limit = CsiNode {
        meta: ObjectMeta::named("", "n1"),
        drivers: Box::new([CsiNodeDriver { name: DRIVER.into(), allocatable: Some(1) }]),
    };
    rig.watch(Change::Added, Object::CsiNode(Arc::new(limit)));
    let (old, new) = (rig.add_claim(claim("old", 1)), rig.add_claim(claim("new", 1)));
    let left = bind(&mut rig, old);
    bind(&mut rig, new);
    let attachment = Object::VolumeAttachment(Arc::new(VolumeAttachment {
        meta: ObjectMeta::named("", "csi-1"),
        attacher: DRIVER.into(),
        node: "n1".into(),
        volume: left,
        attached: true,
        ..VolumeAttachment::default()
    }));
    rig.watch(Change::Added, attachment.clone());
    rig.add_pod(using("db", "new"));
    seconds(&mut rig, 2);
    let message = &rig.pod("db").status.text.as_ref().unwrap().scheduling;
    assert!(message.contains("1 node(s) exceed max volume count"), "{message}");
    rig.watch(Change::Deleted, attachment);
    seconds(&mut rig, 15);
    assert_eq!(rig.node_of("db"), Some("n1"));
}
