//! Garbage collection and the deletion of namespaces.

use std::sync::Arc;

use seatrial_api::config::{ConfigMap, Namespace};
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::object::{Kind, Typed};
use seatrial_api::pod::{Pod, PodSpec, PodTemplate};
use seatrial_api::request::{Change, DeleteOptions, Patch, Propagation};
use seatrial_api::workload::{
    Deployment, DeploymentStatus, DeploymentStrategy, IntOrPercent, ReplicaSet, condition,
};

use crate::world::{NAMESPACE, World};

fn deployment(name: &str, replicas: i32) -> Deployment {
    let labels = Labels::of(&[("app", name)]);
    let spec = Arc::new(PodSpec::new(vec![Container::new("c", "img:1")]).sealed());
    Deployment {
        meta: ObjectMeta::named(NAMESPACE, name),
        replicas,
        min_ready_seconds: 0,
        selector: Arc::new(Selector::of_labels(&labels)),
        template: Arc::new(PodTemplate { labels, annotations: Labels::NONE, spec }),
        strategy: DeploymentStrategy::RollingUpdate {
            max_surge: IntOrPercent::Percent(25),
            max_unavailable: IntOrPercent::Percent(25),
        },
        paused: false,
        progress_deadline_seconds: 600,
        revision_history_limit: 10,
        status: DeploymentStatus::default(),
    }
}

fn config_map(name: &str, owners: Vec<OwnerRef>) -> ConfigMap {
    let meta = ObjectMeta { owners: Some(Arc::new(owners)), ..ObjectMeta::named(NAMESPACE, name) };
    ConfigMap { meta, ..ConfigMap::default() }
}

fn owner_of<T: Typed>(world: &World, row: u32) -> OwnerRef {
    let meta = world.get::<T>(row).meta();
    OwnerRef {
        kind: T::KIND.as_str().into(),
        api_version: T::KIND.api_version().into(),
        name: meta.name.clone(),
        uid: meta.uid,
        controller: false,
        block_owner_deletion: true,
    }
}

fn running(replicas: i32) -> (World, u32) {
    let mut world = World::new();
    world.node("n1", "");
    world.run_on = Some("n1");
    let row = world.create(deployment("web", replicas));
    world.run_to(6);
    assert_eq!(world.all::<Pod>().len(), replicas as usize);
    (world, row)
}

fn delete(world: &mut World, row: u32, propagation: Propagation) {
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    world.delete(Kind::Deployment, row, options);
}

/// The kinds in the order in which objects of them first went.
fn order_of_removal(world: &World) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (_, event) in &world.history {
        let kind = event.object.kind();
        if event.change == Change::Deleted && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

#[test]
fn in_the_background_owners_go_first() {
    let (mut world, row) = running(3);
    delete(&mut world, row, Propagation::Background);
    world.run_to(10);
    assert!(world.all::<Pod>().is_empty() && world.all::<ReplicaSet>().is_empty());
    assert_eq!(order_of_removal(&world), [Kind::Deployment, Kind::ReplicaSet, Kind::Pod]);
}

/// Recorded as gc-deploy-b: marked from the owner on, gone in reverse.
#[test]
fn in_the_foreground_owners_wait_for_those_that_block_them() {
    let (mut world, row) = running(3);
    delete(&mut world, row, Propagation::Foreground);
    world.run_to(10);
    assert!(world.all::<Pod>().is_empty() && world.all::<ReplicaSet>().is_empty());
    assert_eq!(order_of_removal(&world), [Kind::Pod, Kind::ReplicaSet, Kind::Deployment]);
}

#[test]
fn orphans_lose_their_reference_and_stay() {
    let (mut world, row) = running(3);
    delete(&mut world, row, Propagation::Orphan);
    world.run_to(10);
    assert!(!world.exists(Kind::Deployment, row));
    let sets = world.all::<ReplicaSet>();
    assert_eq!((sets.len(), world.all::<Pod>().len()), (1, 3));
    assert!(sets[0].meta.owner_refs().is_empty());
}

#[test]
fn an_owner_that_never_was_takes_its_dependents_along() {
    let mut world = World::new();
    let ghost = OwnerRef {
        kind: "ConfigMap".into(),
        api_version: "v1".into(),
        name: "ghost".into(),
        uid: Uid::from_bits(0, 1),
        controller: false,
        block_owner_deletion: false,
    };
    let keep = world.create(config_map("keep", vec![]));
    let child = world.create(config_map("child", vec![ghost.clone()]));
    let both = world.create(config_map("both", vec![ghost.clone(), owner_of::<ConfigMap>(&world, keep)]));
    let wrong_uid = OwnerRef { uid: Uid::from_bits(0, 2), ..owner_of::<ConfigMap>(&world, keep) };
    let mistaken = world.create(config_map("mistaken", vec![wrong_uid]));
    let custom = OwnerRef { kind: "Database".into(), api_version: "example.com/v1".into(), ..ghost };
    let of_unknown_kind = world.create(config_map("custom", vec![custom]));
    world.run_to(1);
    let exist = [keep, child, both, mistaken, of_unknown_kind].map(|row| world.exists(Kind::ConfigMap, row));
    assert_eq!(exist, [true, false, true, false, true]);
    let owners: Vec<_> =
        world.get::<ConfigMap>(both).meta.owner_refs().iter().map(|o| o.name.to_string()).collect();
    assert_eq!(owners, ["keep"]);
}

#[test]
fn an_owner_in_another_namespace_is_none() {
    let mut world = World::new();
    let meta = ObjectMeta { name: "other".into(), ..ObjectMeta::default() };
    world.create(Namespace { meta, ..Namespace::default() });
    let far = ConfigMap { meta: ObjectMeta::named("other", "far"), ..ConfigMap::default() };
    let far = world.create(far);
    world.run_to(1);
    let child = world.create(config_map("child", vec![owner_of::<ConfigMap>(&world, far)]));
    world.run_to(2);
    assert!(!world.exists(Kind::ConfigMap, child));
    let message = &world.events("OwnerRefInvalidNamespace")[0].1;
    assert!(message.ends_with("does not exist in namespace \"play\""), "{message}");
}

#[test]
fn owners_that_a_dump_left_out_are_present() {
    let ghost = OwnerRef {
        kind: "ReplicaSet".into(),
        api_version: "apps/v1".into(),
        name: "left-out".into(),
        uid: Uid::from_bits(0, 7),
        controller: true,
        block_owner_deletion: true,
    };
    let mut world = World::assuming(&[ghost.uid]);
    let child = world.create(config_map("child", vec![ghost]));
    world.run_to(5);
    assert!(world.exists(Kind::ConfigMap, child));
}

/// Recorded as gc-finalizer-a.
#[test]
fn a_finalizer_of_a_dependent_holds_its_owner() {
    let mut world = World::new();
    let parent = world.create(config_map("parent", vec![]));
    let child = world.create(config_map("child", vec![owner_of::<ConfigMap>(&world, parent)]));
    let mut held = ConfigMap::clone(world.get::<ConfigMap>(child));
    held.meta.set_finalizers(vec!["example.com/hold".into()]);
    world.update(held);
    let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
    world.delete(Kind::ConfigMap, parent, options);
    world.run_to(5);
    assert!(world.exists(Kind::ConfigMap, parent) && world.get::<ConfigMap>(child).meta.is_deleting());
    world.patch(Kind::ConfigMap, child, Patch::RemoveFinalizers(vec!["example.com/hold".into()]));
    world.run_to(6);
    assert!(!world.exists(Kind::ConfigMap, parent) && !world.exists(Kind::ConfigMap, child));
}

#[test]
fn two_objects_that_own_each_other_can_be_deleted_in_the_foreground() {
    let mut world = World::new();
    let first = world.create(config_map("first", vec![]));
    let second = world.create(config_map("second", vec![owner_of::<ConfigMap>(&world, first)]));
    let back = owner_of::<ConfigMap>(&world, second);
    world.patch(Kind::ConfigMap, first, Patch::Owners(vec![back]));
    world.run_to(1);
    let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
    world.delete(Kind::ConfigMap, first, options);
    world.run_to(10);
    assert!(!world.exists(Kind::ConfigMap, first) && !world.exists(Kind::ConfigMap, second));
}

/// Recorded as ns-delete-a: pods at 5 s, everything else one pass after the last pod.
#[test]
fn a_namespace_loses_its_pods_first_and_goes_when_it_is_empty() {
    let (mut world, deployment) = running(2);
    let data = world.create(config_map("data", vec![]));
    let namespace = world.server.find(Kind::Namespace, "".into(), NAMESPACE).expect("it exists").meta().id;
    world.delete(Kind::Namespace, namespace, DeleteOptions::default());
    world.run_to(10);
    assert_eq!(world.all::<Pod>().iter().filter(|pod| pod.meta.is_deleting()).count(), 0);
    world.run_to(12);
    assert!(world.all::<Pod>().is_empty(), "deleted at eleven, gone half a second later");
    assert!(world.exists(Kind::Deployment, deployment) && world.exists(Kind::ConfigMap, data));
    let conditions = &world.get::<Namespace>(namespace).conditions;
    assert_eq!(
        condition(conditions, "NamespaceContentRemaining").map(|c| c.reason.as_str()),
        Some("ContentRemoved")
    );
    world.run_to(17);
    assert!(!world.exists(Kind::Deployment, deployment) && !world.exists(Kind::ConfigMap, data));
    assert!(!world.exists(Kind::Namespace, namespace));
}

/// Recorded as ns-finalizer-a: passes at 9.0, 14.2 and 19.4 after a deletion at 4.
#[test]
fn a_finalizer_holds_the_namespace_and_its_condition_says_so() {
    let mut world = World::new();
    let held = world.create(config_map("held", vec![]));
    let mut with_finalizer = ConfigMap::clone(world.get::<ConfigMap>(held));
    with_finalizer.meta.set_finalizers(vec!["example.com/hold".into()]);
    world.update(with_finalizer);
    world.run_to(4);
    let namespace = world.server.find(Kind::Namespace, "".into(), NAMESPACE).expect("it exists").meta().id;
    world.delete(Kind::Namespace, namespace, DeleteOptions::default());
    world.run_to(10);
    let conditions = world.get::<Namespace>(namespace).conditions.clone();
    let message = condition(&conditions, "NamespaceContentRemaining").map(|c| c.message.to_string());
    assert_eq!(
        message.as_deref(),
        Some("Some resources are remaining: configmaps. has 1 resource instances")
    );
    world.patch(Kind::ConfigMap, held, Patch::RemoveFinalizers(vec!["example.com/hold".into()]));
    world.run_to(13);
    assert!(world.exists(Kind::Namespace, namespace));
    world.run_to(16);
    assert!(!world.exists(Kind::Namespace, namespace));
}
