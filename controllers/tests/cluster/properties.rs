//! What holds whatever happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use seatrial_api::config::ConfigMap;
use seatrial_api::meta::{ObjectMeta, OwnerRef};
use seatrial_api::node::Node;
use seatrial_api::object::Kind;
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::request::{DeleteOptions, Patch, Propagation};
use seatrial_api::scheduling::TaintEffect;
use seatrial_api::service::EndpointSlice;

use crate::endpoints::service;
use crate::world::{NAMESPACE, World, tolerating};

/// Objects with owners among those before them, and which of them are deleted how.
fn graphs() -> impl Strategy<Value = (Vec<Vec<usize>>, Vec<(usize, u8)>)> {
    (2usize..12).prop_flat_map(|count| {
        let owners = (0..count)
            .map(|index| prop::collection::btree_set(0..index.max(1), 0..3.min(index + 1)))
            .map(|set| set.prop_map(|set: BTreeSet<usize>| set.into_iter().collect::<Vec<_>>()))
            .collect::<Vec<_>>();
        (owners, prop::collection::vec((0..count, 0u8..3), 1..4))
    })
}

fn reference(world: &World, row: u32) -> OwnerRef {
    let meta = &world.get::<ConfigMap>(row).meta;
    OwnerRef {
        kind: "ConfigMap".into(),
        api_version: "v1".into(),
        name: meta.name.clone(),
        uid: meta.uid,
        controller: false,
        block_owner_deletion: true,
    }
}

/// A step of a random history of nodes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Silence(usize),
    Revive(usize),
    NotReady(usize),
    Wait(i64),
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..6).prop_map(Step::Silence),
        (0usize..6).prop_map(Step::Revive),
        (0usize..6).prop_map(Step::NotReady),
        (1i64..120).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_is_what_has_lost_all_owners_and_nothing_else(
        (owners, deletions) in graphs(),
        seed in any::<u64>(),
    ) {
        let mut world = World::random(seed);
        let mut rows: Vec<u32> = Vec::new();
        for (index, owners) in owners.iter().enumerate() {
            let list = owners.iter().filter(|&&owner| owner < index).map(|&owner| reference(&world, rows[owner]));
            let list: Vec<OwnerRef> = list.collect();
            let meta = ObjectMeta {
                owners: (!list.is_empty()).then(|| Arc::new(list)),
                ..ObjectMeta::named(NAMESPACE, &format!("o{index}"))
            };
            rows.push(world.create(ConfigMap { meta, ..ConfigMap::default() }));
        }
        world.run_to(1);
        for &(index, how) in &deletions {
            if world.exists(Kind::ConfigMap, rows[index]) {
                let propagation = [Propagation::Background, Propagation::Foreground, Propagation::Orphan][how as usize];
                let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
                world.delete(Kind::ConfigMap, rows[index], options);
            }
        }
        world.run_to(60);
        let live: BTreeSet<_> = world.all::<ConfigMap>().iter().map(|object| object.meta.uid).collect();
        for object in world.all::<ConfigMap>() {
            prop_assert!(!object.meta.is_deleting(), "{} is stuck", object.meta.name);
            let references = object.meta.owner_refs();
            prop_assert!(
                references.iter().all(|owner| live.contains(&owner.uid)),
                "{} refers to an owner that is gone", object.meta.name
            );
        }
        let deleted: BTreeSet<usize> = deletions.iter().map(|row| row.0).collect();
        for (index, row) in rows.iter().enumerate() {
            let orphaned_only = deletions.iter().all(|deletion| deletion.1 == 2);
            if orphaned_only && !deleted.contains(&index) {
                prop_assert!(world.exists(Kind::ConfigMap, *row), "o{index} was collected although nothing cascades");
            }
            if deleted.contains(&index) {
                prop_assert!(!world.exists(Kind::ConfigMap, *row), "o{index} was deleted and is still there");
            }
        }
    }

    #[test]
    fn nodes_that_are_well_again_have_no_taints_whatever_they_went_through(
        history in histories(),
        seed in any::<u64>(),
    ) {
        let mut world = World::random(seed);
        for index in 0..6 {
            world.node(&format!("n{index}"), ["a", "b"][index % 2]);
            world.pod(&format!("p{index}"), &format!("n{index}"), &[], &tolerating(None));
        }
        let mut seconds = 1;
        world.run_to(seconds);
        for step in history {
            match step {
                Step::Silence(index) => world.silence(&format!("n{index}")),
                Step::Revive(index) => world.revive(&format!("n{index}")),
                Step::NotReady(index) => {
                    let name = format!("n{index}");
                    let kind = seatrial_api::node::NodeConditionType::Ready;
                    world.set_condition(&name, kind, ConditionStatus::False);
                }
                Step::Wait(by) => {
                    seconds += by;
                    world.run_to(seconds);
                }
            }
        }
        for index in 0..6 {
            world.revive(&format!("n{index}"));
        }
        world.run_to(seconds + 20);
        for index in 0..6 {
            let name = format!("n{index}");
            prop_assert_eq!(world.get::<Node>(world.node_row(&name)).ready(), ConditionStatus::True);
            prop_assert!(world.taints(&name, TaintEffect::NoSchedule).is_empty());
            prop_assert!(world.taints(&name, TaintEffect::NoExecute).is_empty());
        }
        prop_assert!(world.all::<Pod>().iter().all(|pod| pod.is_ready()));
        // Timers cannot be cancelled: one for a node that might have expired may still come.
        world.run_to(seconds + 120);
        let fired = world.timers_fired;
        world.run_to(seconds + 10_000);
        prop_assert_eq!(world.timers_fired, fired, "all is well and nothing happens");
    }

    #[test]
    fn every_pod_of_a_service_is_an_endpoint_exactly_once(
        sizes in prop::collection::vec(0usize..260, 1..6),
        seed in any::<u64>(),
    ) {
        let mut world = World::random(seed);
        world.node("n1", "z");
        world.create(service("web", "web"));
        let mut pods: Vec<u32> = Vec::new();
        let (mut made, mut seconds, mut draw) = (0, 1, seed);
        for size in sizes {
            while pods.len() < size {
                pods.push(world.pod(&format!("p{made}"), "n1", &[("app", "web")], &[]));
                made += 1;
            }
            while pods.len() > size {
                draw = seatrial_api::stream::mix64(draw);
                let pod = pods.swap_remove((draw % pods.len() as u64) as usize);
                let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
                world.delete(Kind::Pod, pod, options);
            }
            for &pod in pods.iter().filter(|pod| *pod % 7 == 0) {
                world.patch(Kind::Pod, pod, Patch::Labels(vec![("touched".into(), Some("yes".into()))]));
            }
            seconds += 20;
            world.run_to(seconds);
            let slices = world.all::<EndpointSlice>();
            prop_assert!(slices.iter().all(|slice| slice.endpoints.len() <= 100));
            let mut found: Vec<u32> = slices.iter().flat_map(|s| s.endpoints.iter()).map(|e| e.pod).collect();
            found.sort_unstable();
            let mut wanted = pods.clone();
            wanted.sort_unstable();
            prop_assert_eq!(found, wanted);
        }
    }
}
