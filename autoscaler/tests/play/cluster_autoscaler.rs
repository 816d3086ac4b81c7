//! The Cluster Autoscaler.

use std::sync::Arc;

use proptest::prelude::*;
use seatrial_api::labels::Labels;
use seatrial_api::meta::{OwnerRef, Uid};
use seatrial_api::pod::{ConditionStatus, Pod, Volume, VolumeSource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime, Span};
use seatrial_autoscaler::cluster_autoscaler::{BlockingReason, Unremovable};
use seatrial_autoscaler::{ClusterAutoscaler, ClusterAutoscalerOptions, NodeGroup};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::snapshot::Snapshot;

use crate::world::{MinAvailable, World, offer, set_ready};

type Play = World<ClusterAutoscaler>;

/// Groups by name with minimum, maximum and cores; each has its minimum of instances.
fn play(options: ClusterAutoscalerOptions, groups: &[(&str, u32, u32, i64)]) -> Play {
    let offers: Vec<_> =
        groups.iter().map(|&(name, _, _, cores)| offer(name, cores, 4 * cores, 10)).collect();
    let configs = groups.iter().zip(&offers).map(|(&(name, min, max, _), offer)| NodeGroup {
        name: Symbol::new(name),
        min,
        max,
        priority: 0,
        offers: [offer.clone()].into(),
        instances: (0..min).map(|index| Symbol::new(&format!("{name}-{index}"))).collect(),
    });
    let snapshot = Snapshot::new(&SchedulerConfiguration::default()).expect("the default is valid");
    let mut world = World::new(ClusterAutoscaler::new(options, configs.collect(), snapshot));
    for (&(name, min, _, _), offer) in groups.iter().zip(&offers) {
        world.groups.insert(Symbol::new(name), (offer.clone(), min));
        for index in 0..min {
            world.add_node(&format!("{name}-{index}"), offer);
        }
    }
    world
}

fn secs(seconds: i64) -> SimTime {
    SimTime::from_secs(seconds)
}

#[test]
fn a_group_grows_for_pods_that_fit_nowhere_and_shrinks_when_they_are_gone() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 1, 5, 4)]);
    world.run(Span::from_mins(1));
    world.add_pods(12);
    world.run(Span::from_mins(3));
    assert_eq!(
        (world.nodes.len(), world.waiting()),
        (3, 0),
        "twelve pods of a core need three nodes of four"
    );
    assert_eq!(world.count("TriggeredScaleUp"), 8);
    world.remove_pods(10);
    world.run(Span::from_mins(9));
    assert_eq!(world.nodes.len(), 3, "nodes are kept until they have been unneeded for ten minutes");
    world.run(Span::from_mins(5));
    assert_eq!(world.nodes.len(), 1);
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn a_lone_new_pod_is_served_by_the_pass_after_next() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 1, 5, 4)]);
    world.run(Span::from_secs(101));
    world.add_pods(5);
    world.run(Span::from_mins(1));
    let first = world.first("TriggeredScaleUp").expect("there is a scale-up");
    assert_eq!(first, secs(101) + Span::from_millis(10_200), "the pod was younger than two seconds at first");
}

#[test]
fn a_cluster_in_which_nothing_happens_has_no_passes() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 2, 5, 4)]);
    world.add_pods(7);
    world.run(Span::from_mins(2));
    let before = world.timers_fired;
    world.run(Span::from_hours(24));
    assert_eq!(world.timers_fired, before);
    assert!(world.is_at_rest());
}

#[test]
fn a_pod_that_no_group_can_hold_is_told_why_once() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 1, 5, 4), ("full", 1, 1, 64)]);
    world.pods_request(32_000, 1);
    world.add_pods(3);
    world.run(Span::from_hours(2));
    let told: Vec<_> = world.said.iter().filter(|said| said.reason == "NotTriggerScaleUp").collect();
    assert_eq!(told.len(), 1, "two of three fit on the large node");
    assert_eq!(
        told[0].message,
        "pod didn't trigger scale-up: 1 Insufficient cpu, 1 max node group size reached"
    );
}

#[test]
fn what_keeps_a_node() {
    let with = |pairs: &'static [(&'static str, &'static str)]| {
        move |pod: &mut Pod| {
            pod.meta.annotations = Labels::of(pairs);
        }
    };
    const SAFE: &[(&str, &str)] = &[("cluster-autoscaler.kubernetes.io/safe-to-evict", "true")];
    const UNSAFE: &[(&str, &str)] = &[("cluster-autoscaler.kubernetes.io/safe-to-evict", "false")];
    const SAFE_VOLUME: &[(&str, &str)] =
        &[("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes", "cache")];
    fn disk(pod: &mut Pod, memory: bool) {
        let mut spec = seatrial_api::pod::PodSpec::clone(&pod.spec);
        let source = VolumeSource::EmptyDir { memory, size_limit: Bytes(0) };
        spec.volumes = [Volume { name: Symbol::new("cache"), source }].into();
        pod.spec = Arc::new(spec);
    }
    fn owner(pod: &mut Pod, kind: &str, uid: u64) {
        let old = pod.meta.owner_refs()[0].clone();
        let owner = OwnerRef { kind: Symbol::new(kind), uid: Uid::from_bits(9, uid), ..old };
        pod.meta.owners = Some(Arc::new(vec![owner]));
    }
    type Change = Box<dyn Fn(&mut Pod)>;
    let rows: Vec<(&str, Change, Option<BlockingReason>)> = vec![
        ("a plain pod of a ReplicaSet", Box::new(|_| {}), None),
        (
            "a pod that is not safe to evict",
            Box::new(with(UNSAFE)),
            Some(BlockingReason::NotSafeToEvictAnnotation),
        ),
        ("a bare pod", Box::new(|pod| pod.meta.owners = None), Some(BlockingReason::NotReplicated)),
        (
            "a bare pod that is safe to evict",
            Box::new(move |pod| {
                pod.meta.owners = None;
                with(SAFE)(pod);
            }),
            None,
        ),
        (
            "a pod of another kind of owner",
            Box::new(|pod| owner(pod, "GameServer", 1)),
            Some(BlockingReason::NotReplicated),
        ),
        (
            "a pod whose owner is gone",
            Box::new(|pod| owner(pod, "Job", 2)),
            Some(BlockingReason::ControllerNotFound),
        ),
        (
            "a pod with local storage",
            Box::new(|pod| disk(pod, false)),
            Some(BlockingReason::LocalStorageRequested),
        ),
        ("a pod with a volume in memory", Box::new(|pod| disk(pod, true)), None),
        (
            "a pod whose local volume may be lost",
            Box::new(move |pod| {
                disk(pod, false);
                with(SAFE_VOLUME)(pod);
            }),
            None,
        ),
        (
            "a young system pod without a budget",
            Box::new(|pod| pod.meta.namespace = Symbol::new("kube-system")),
            Some(BlockingReason::UnmovableKubeSystemPod),
        ),
    ];
    for (name, change, expected) in rows {
        let mut world = play(ClusterAutoscalerOptions::default(), &[("base", 1, 1, 4), ("g", 0, 3, 4)]);
        let filler: Vec<u32> = (0..4).map(|_| world.add_pod(|_| {})).collect();
        world.add_pod(&change);
        world.run(Span::from_mins(3));
        assert_eq!(world.nodes.len(), 2, "{name}: it needed a node of its own");
        // Now there is room on the first node. A look while the pods there were ending counts for five
        // minutes.
        world.end_pods(&filler[..3]);
        world.run(Span::from_mins(8));
        let found: Vec<_> = world.machine.unremovable().collect();
        let blocked = expected.map(|reason| (Symbol::new("g-0"), Unremovable::Blocked(reason)));
        assert_eq!(found, blocked.into_iter().collect::<Vec<_>>(), "{name}");
        world.run(Span::from_mins(30));
        assert_eq!(world.nodes.len() == 2, expected.is_some(), "{name}");
        assert_eq!(world.violations, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_node_that_people_keep_stays() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 1, 3, 4)]);
    world.add_pods(8);
    world.run(Span::from_mins(3));
    for node in ["g-0", "g-1"] {
        world.change_node(node, |node| {
            let key = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
            node.meta.annotations = Labels::of(&[(key, "true")]);
        });
    }
    world.remove_pods(8);
    world.run(Span::from_hours(1));
    assert_eq!(world.nodes.len(), 2);
}

#[test]
fn a_budget_without_room_keeps_a_node_until_it_has_some() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 1, 3, 4)]);
    world.budget = Some(MinAvailable(8));
    world.add_pods(8);
    world.run(Span::from_mins(3));
    world.remove_pods(3);
    world.run(Span::from_mins(40));
    assert_eq!(world.nodes.len(), 2, "five of eight are there, so none may go");
    world.budget = Some(MinAvailable(2));
    world.remove_pods(1);
    world.run(Span::from_mins(40));
    assert_eq!(world.nodes.len(), 1);
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn a_group_out_of_stock_is_left_alone_for_longer_each_time() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 1, 5, 4)]);
    world.stock_out.insert(Symbol::new("g"));
    world.add_pods(6);
    world.run(Span::from_hours(2));
    let tries: Vec<_> =
        world.said.iter().filter(|said| said.reason == "ScaledUpGroup").map(|said| said.at).collect();
    let gaps: Vec<i64> = tries.windows(2).map(|pair| (pair[1] - pair[0]).nanos() / 60_000_000_000).collect();
    assert_eq!(gaps[..4], [5, 10, 20, 30], "minutes from one try to the next");
    assert!(world.machine.targets().all(|(_, target)| target == 1));
    world.stock_out.clear();
    world.run(Span::from_mins(40));
    assert_eq!(world.waiting(), 0);
}

#[test]
fn another_group_serves_while_the_first_is_out_of_stock() {
    let options = ClusterAutoscalerOptions {
        expanders: vec![seatrial_autoscaler::cluster_autoscaler::Expander::LeastNodes],
        ..ClusterAutoscalerOptions::default()
    };
    let mut world = play(options, &[("large", 0, 5, 16), ("small", 0, 5, 4)]);
    world.stock_out.insert(Symbol::new("large"));
    world.add_pods(8);
    world.run(Span::from_mins(4));
    assert_eq!(world.waiting(), 0);
    assert!(world.nodes.keys().all(|name| name.as_str().starts_with("small")));
}

#[test]
fn machines_that_never_register_are_given_back_and_their_group_backs_off() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 1, 5, 4)]);
    world.duds = true;
    world.add_pods(6);
    world.run(Span::from_mins(18));
    assert_eq!(world.count("ScaleUpTimedOut"), 1);
    assert_eq!(world.machines.len(), 1, "what never became a node is gone");
    world.duds = false;
    world.run(Span::from_mins(10));
    assert_eq!(world.waiting(), 0);
}

#[test]
fn limits_of_the_whole_cluster_hold() {
    let nodes = ClusterAutoscalerOptions { nodes_max: Some(3), ..ClusterAutoscalerOptions::default() };
    let cpu = ClusterAutoscalerOptions {
        cpu_max: Some(seatrial_api::units::MilliCpu(13_000)),
        ..ClusterAutoscalerOptions::default()
    };
    for options in [nodes, cpu] {
        let mut world = play(options, &[("g", 1, 9, 4)]);
        world.add_pods(40);
        world.run(Span::from_mins(10));
        assert_eq!(world.nodes.len(), 3);
    }
}

#[test]
fn similar_groups_are_kept_at_the_same_size() {
    let options = ClusterAutoscalerOptions { balance_similar: true, ..ClusterAutoscalerOptions::default() };
    let mut world = play(options, &[("a", 1, 9, 4), ("b", 1, 9, 4), ("c", 1, 9, 4)]);
    world.add_pods(36);
    world.run(Span::from_mins(5));
    let targets: Vec<u32> = world.machine.targets().map(|(_, target)| target).collect();
    assert_eq!((targets, world.waiting()), (vec![3, 3, 3], 0));
}

#[test]
fn an_unhealthy_cluster_is_left_as_it_is() {
    let mut world = play(ClusterAutoscalerOptions::default(), &[("g", 8, 9, 4)]);
    world.run(Span::from_mins(20));
    for index in 0..5 {
        let now = world.now;
        world.change_node(&format!("g-{index}"), |node| set_ready(node, ConditionStatus::Unknown, now));
    }
    world.pods_request(8_000, 1);
    world.add_pods(40);
    world.run(Span::from_hours(1));
    assert_eq!((world.nodes.len(), world.count("ClusterUnhealthy")), (8, 1));
}

/// What happens to a world.
#[derive(Clone, Debug)]
enum Happening {
    Add(usize),
    Remove(usize),
    Budget(usize),
    StockOut(bool),
    Wait(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..12usize).prop_map(Happening::Add),
        (1..12usize).prop_map(Happening::Remove),
        (0..8usize).prop_map(Happening::Budget),
        any::<bool>().prop_map(Happening::StockOut),
        (1..900i64).prop_map(Happening::Wait),
    ]
}

fn happen(world: &mut Play, happening: &Happening) {
    match happening {
        Happening::Add(count) => world.add_pods(*count),
        Happening::Remove(count) => world.remove_pods(*count),
        Happening::Budget(least) => world.budget = Some(MinAvailable(*least)),
        Happening::StockOut(true) => {
            world.stock_out.insert(Symbol::new("a"));
        }
        Happening::StockOut(false) => world.stock_out.clear(),
        Happening::Wait(seconds) => world.run(Span::from_secs(*seconds)),
    }
    let sizes: Vec<(Symbol, u32)> = world.machine.targets().collect();
    assert!((1..=4).contains(&sizes[0].1), "{sizes:?}");
    assert!(sizes[1].1 <= 3, "{sizes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_bounds_and_budgets_hold_and_it_comes_to_rest(
        happenings in prop::collection::vec(happening(), 1..24),
        seed in 0..2u64,
    ) {
        let options = ClusterAutoscalerOptions { seed, ..ClusterAutoscalerOptions::default() };
        let mut world = play(options, &[("a", 1, 4, 4), ("b", 0, 3, 8)]);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        let mut clone = world.clone();
        for one in [&mut world, &mut clone] {
            one.stock_out.clear();
            one.budget = Some(MinAvailable(0));
            one.remove_pods(0);
            one.run(Span::from_hours(6));
            prop_assert_eq!(&one.violations, &Vec::<String>::new());
            let room: u32 = 4 * 4 + 3 * 8;
            prop_assert!(one.waiting() == 0 || one.pods.len() as u32 > room, "{} pods wait", one.waiting());
        }
        prop_assert_eq!(&world.said, &clone.said);
        let before = world.timers_fired;
        world.run(Span::from_hours(24));
        prop_assert!(world.timers_fired <= before + 48, "it goes on: {} passes", world.timers_fired - before);
    }
}
