//! The provisioner without groups.

use std::sync::Arc;

use proptest::prelude::*;
use seatrial_api::cloud::{CapacityType, Offer};
use seatrial_api::labels::Labels;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{MilliCpu, SimTime, Span};
use seatrial_autoscaler::karpenter::{ConsolidationPolicy, DisruptionBudget};
use seatrial_autoscaler::{Karpenter, KarpenterOptions, NodePool};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::snapshot::Snapshot;

use crate::world::{BOOT, MinAvailable, World, offer};

type Play = World<Karpenter>;

/// A pool with machines of 2, 4, 8 and 16 cores, the larger ones a little cheaper by the core.
fn pool(name: &str) -> NodePool {
    let offers: Vec<Offer> = [(2, 10), (4, 19), (8, 36), (16, 70)]
        .map(|(cores, cents)| offer(name, cores, 4 * cores, cents))
        .into();
    let budgets = vec![DisruptionBudget::Percent(100)];
    NodePool { budgets, ..NodePool::new(Symbol::new(name), offers.into()) }
}

fn play(pools: Vec<NodePool>) -> Play {
    let snapshot = Snapshot::new(&SchedulerConfiguration::default()).expect("the default is valid");
    World::new(Karpenter::new(KarpenterOptions::new(pools), snapshot))
}

fn types(world: &Play) -> Vec<&'static str> {
    world.machine.claims().map(|(_, kind)| kind.as_str()).collect()
}

#[test]
fn the_cheapest_machine_that_holds_a_batch_is_launched_when_no_more_pods_come() {
    let mut world = play(vec![pool("general")]);
    world.run(Span::from_secs(100));
    for _ in 0..5 {
        world.add_pods(1);
        world.run(Span::from_millis(600));
    }
    world.run(Span::from_secs(5));
    assert_eq!(types(&world), ["8x32"], "five cores fit on eight, in one batch");
    let first = world.first("Nominated").expect("pods are told where they should go");
    assert_eq!(first, SimTime::from_secs(100) + Span::from_millis(4 * 600 + 1_000));
    world.run(BOOT);
    assert_eq!(world.waiting(), 0);
}

#[test]
fn a_batch_is_full_after_ten_seconds_although_more_pods_come() {
    let mut world = play(vec![pool("general")]);
    for _ in 0..30 {
        world.add_pods(1);
        world.run(Span::from_millis(500));
    }
    let first = world.first("Nominated");
    assert_eq!(first, Some(SimTime::from_secs(10)));
}

#[test]
fn pools_are_tried_by_weight_and_within_their_limits() {
    let small = NodePool { weight: 5, cpu_max: Some(MilliCpu(8_000)), ..pool("reserved") };
    let general = NodePool { consolidate_after: None, ..pool("general") };
    let mut world = play(vec![general, NodePool { consolidate_after: None, ..small }]);
    world.add_pods(20);
    world.run(Span::from_mins(3));
    let of =
        |name: &str| world.machine.claims().filter(|(claim, _)| claim.as_str().starts_with(name)).count();
    assert_eq!(world.waiting(), 0);
    assert!(of("reserved") >= 1 && of("general") >= 1);
    let reserved: i64 = world
        .nodes
        .values()
        .filter(|node| node.name.as_str().starts_with("reserved"))
        .map(|node| node.capacity.amounts.cpu.get())
        .sum();
    assert!(reserved <= 8_000, "{reserved} m of 8000 m");
}

#[test]
fn empty_nodes_go_at_once_and_the_others_when_their_pods_fit_together() {
    let mut world = play(vec![pool("general")]);
    world.add_pods(20);
    world.run(Span::from_mins(5));
    let before: u64 = world.machines.values().sum();
    world.remove_pods(17);
    world.run(Span::from_mins(10));
    let after: u64 = world.machines.values().sum();
    assert_eq!(world.waiting(), 0);
    assert!(after * 4 <= before, "{after} is not much less than {before}");
    assert_eq!(types(&world), ["4x16"], "three cores need one machine of four");
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn what_keeps_a_node_from_being_consolidated() {
    type Change = fn(&mut Play);
    type Configure = fn(&mut NodePool);
    let rows: [(&str, Configure, Change, bool); 6] = [
        ("nothing", |_| {}, |_| {}, true),
        ("the policy WhenEmpty", |pool| pool.consolidation = ConsolidationPolicy::WhenEmpty, |_| {}, false),
        ("consolidateAfter: Never", |pool| pool.consolidate_after = None, |_| {}, false),
        ("a budget of zero", |pool| pool.budgets = vec![DisruptionBudget::Nodes(0)], |_| {}, false),
        (
            "an annotation on the node",
            |_| {},
            |world| {
                let names: Vec<Symbol> = world.nodes.keys().copied().collect();
                for name in names {
                    world.change_node(name.as_str(), |node| {
                        node.meta.annotations = Labels::of(&[("karpenter.sh/do-not-disrupt", "true")]);
                    });
                }
            },
            false,
        ),
        ("a disruption budget without room", |_| {}, |world| world.budget = Some(MinAvailable(6)), false),
    ];
    for (name, configure, change, consolidated) in rows {
        let mut own = pool("general");
        configure(&mut own);
        let mut world = play(vec![own]);
        world.add_pods(15);
        world.run(Span::from_mins(5));
        change(&mut world);
        world.remove_pods(9);
        let before: u64 = world.machines.values().sum();
        world.run(Span::from_mins(30));
        let after: u64 = world.machines.values().sum();
        assert_eq!(after < before, consolidated, "{name}: {before} became {after}");
        assert_eq!((world.waiting(), world.violations.len()), (0, 0), "{name}");
    }
}

/// The pool with every machine on demand and, for two fifths of the price, as spot capacity.
fn with_spot(name: &str) -> NodePool {
    let own = pool(name);
    let spot = own.offers.iter().map(|offer| Offer {
        capacity_type: CapacityType::Spot,
        pool: Symbol::new("spot"),
        micro_usd_per_hour: offer.micro_usd_per_hour * 2 / 5,
        ..offer.clone()
    });
    let offers: Arc<[Offer]> = own.offers.iter().cloned().chain(spot).collect();
    NodePool { offers, ..own }
}

#[test]
fn spot_capacity_is_taken_first_and_machines_on_demand_while_there_is_none() {
    for (stock_out, expected) in [(false, "spot"), (true, "general")] {
        let mut world = play(vec![with_spot("general")]);
        if stock_out {
            world.stock_out.insert(Symbol::new("spot"));
        }
        world.add_pods(6);
        world.run(Span::from_mins(2));
        assert_eq!(world.waiting(), 0);
        let prices: Vec<u64> = world.machines.values().copied().collect();
        let wanted = with_spot("general")
            .offers
            .iter()
            .any(|offer| offer.pool == expected && offer.micro_usd_per_hour == prices[0]);
        assert!(wanted, "{expected}: {prices:?}");
    }
}

#[test]
fn spot_machines_are_not_replaced_by_other_spot_machines_unless_that_is_asked_for() {
    let mut world = play(vec![with_spot("general")]);
    world.add_pods(15);
    world.run(Span::from_mins(5));
    world.remove_pods(8);
    let before = types(&world);
    world.run(Span::from_mins(30));
    assert_eq!(types(&world), before);
}

#[test]
fn old_nodes_end_and_their_pods_find_others() {
    let mut own = pool("general");
    own.expire_after = Some(Span::from_hours(1));
    let mut world = play(vec![own]);
    world.add_pods(6);
    world.run(Span::from_mins(30));
    let before: Vec<Symbol> = world.nodes.keys().copied().collect();
    world.run(Span::from_mins(45));
    assert!(before.iter().all(|name| !world.nodes.contains_key(name)));
    assert_eq!((world.waiting(), world.violations.len()), (0, 0));
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_limits_and_budgets_hold_and_it_comes_to_rest(
        happenings in prop::collection::vec(happening(), 1..24),
    ) {
        let own = NodePool { cpu_max: Some(MilliCpu(24_000)), expire_after: None, ..with_spot("general") };
        let mut world = play(vec![own]);
        for happening in &happenings {
            match happening {
                Happening::Add(count) => world.add_pods(*count),
                Happening::Remove(count) => world.remove_pods(*count),
                Happening::Budget(least) => world.budget = Some(MinAvailable(*least)),
                Happening::StockOut(true) => {
                    world.stock_out.insert(Symbol::new("spot"));
                }
                Happening::StockOut(false) => world.stock_out.clear(),
                Happening::Wait(seconds) => world.run(Span::from_secs(*seconds)),
            }
            let cpu: i64 = world.nodes.values().map(|node| node.capacity.amounts.cpu.get()).sum();
            prop_assert!(cpu <= 24_000, "{} m", cpu);
        }
        let mut clone = world.clone();
        for one in [&mut world, &mut clone] {
            one.stock_out.clear();
            one.budget = Some(MinAvailable(0));
            one.run(Span::from_hours(3));
            prop_assert_eq!(&one.violations, &Vec::<String>::new());
            prop_assert!(one.waiting() == 0 || one.pods.len() > 20, "{} pods wait", one.waiting());
        }
        prop_assert_eq!(&world.said, &clone.said);
        let before = world.timers_fired;
        world.run(Span::from_hours(24));
        prop_assert!(world.timers_fired <= before + 4, "it goes on: {} timers", world.timers_fired - before);
    }
}

#[test]
fn a_machine_is_given_back_when_its_volumes_are_detached() {
    let mut own = pool("general");
    own.expire_after = Some(Span::from_mins(10));
    let mut world = play(vec![own]);
    world.add_pods(1);
    world.run(Span::from_mins(5));
    let node = *world.nodes.keys().next().expect("there is a node");
    world.attach_volume(node, true);
    world.run(Span::from_mins(30));
    assert!(world.nodes.contains_key(&node), "a volume is attached");
    assert_eq!(world.waiting(), 0, "the pod is elsewhere");
    world.attach_volume(node, false);
    world.run(Span::from_mins(5));
    assert!(!world.nodes.contains_key(&node));
}
