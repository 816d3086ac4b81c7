//! Which node group grows, of those that would help (upstream `expander`).

use seatrial_api::cloud::Offer;
use seatrial_api::resources::Resources;
use seatrial_api::stream::Stream;

use super::options::Expander;

/// A way to help some pods: so many nodes more in a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    /// The group, by its place.
    pub(crate) group: usize,
    pub(crate) nodes: u32,
    /// How many pods it helps.
    pub(crate) pods: usize,
    /// What they request.
    pub(crate) requested: Resources,
}

/// What is known of the group of a choice.
pub(crate) struct Traits<'a> {
    pub(crate) offer: &'a Offer,
    pub(crate) priority: i32,
}

/// The choice that the rules leave, one after another; chance decides between what is left.
pub(crate) fn choose<'a>(
    mut choices: Vec<Choice>,
    rules: &[Expander],
    traits: impl Fn(usize) -> Traits<'a>,
    stream: &mut Stream,
) -> Option<Choice> {
    for &rule in rules {
        if choices.len() > 1 && rule != Expander::Random {
            let scores: Vec<f64> = choices.iter().map(|one| score(rule, one, &traits(one.group))).collect();
            let best = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let mut scores = scores.iter();
            choices.retain(|_| scores.next().is_some_and(|score| score.total_cmp(&best).is_le()));
        }
    }
    let chosen = match choices.len() {
        0 => return None,
        1 => 0,
        several => stream.below(several as u64) as usize,
    };
    Some(choices.swap_remove(chosen))
}

/// How bad a choice is by a rule.
fn score(rule: Expander, choice: &Choice, traits: &Traits<'_>) -> f64 {
    match rule {
        Expander::Random => 0.0,
        Expander::MostPods => -(choice.pods as f64),
        Expander::LeastNodes => f64::from(choice.nodes),
        Expander::Priority => -f64::from(traits.priority),
        Expander::LeastWaste => waste(choice, traits.offer),
        Expander::Price => relative_price(choice, traits.offer),
    }
}

/// The share of CPU and the share of memory that would be left idle, added up.
fn waste(choice: &Choice, offer: &Offer) -> f64 {
    let capacity = &offer.template.capacity.amounts;
    let idle = |capacity: i64, requested: i64| {
        let all = capacity as f64 * f64::from(choice.nodes);
        if all == 0.0 { 0.0 } else { (all - requested as f64) / all }
    };
    idle(capacity.cpu.get(), choice.requested.cpu.get())
        + idle(capacity.memory.get(), choice.requested.memory.get())
}

/// Dollars per hour of a core, of a GiB, and of the pod that keeps small choices comparable (half a
/// core and 500 MB).
const CORE_USD: f64 = 0.033_174;
const GIB_USD: f64 = 0.004_446;
const STEADYING_POD_USD: f64 = 0.5 * CORE_USD + 500e6 / GIB * GIB_USD;
const GIB: f64 = (1_u64 << 30) as f64;

/// The price of the nodes over what their pods would cost by themselves.
///
/// Model: upstream multiplies this with how far the size of the machines is from the one that it
/// thinks right for a cluster of that size; that factor is left out, and all pods are priced alike.
fn relative_price(choice: &Choice, offer: &Offer) -> f64 {
    let nodes = offer.micro_usd_per_hour as f64 / 1e6 * f64::from(choice.nodes);
    let pods = choice.requested.cpu.get() as f64 / 1e3 * CORE_USD
        + choice.requested.memory.get() as f64 / GIB * GIB_USD;
    (nodes + STEADYING_POD_USD) / (pods + STEADYING_POD_USD)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seatrial_api::cloud::CapacityType;
    use seatrial_api::node::{Node, NodeResources};
    use seatrial_api::symbol::Symbol;
    use seatrial_api::units::{Bytes, MilliCpu};

    use super::*;

    const GIB: i64 = 1 << 30;

    fn offer(cores: i64, gib: i64, micro_usd_per_hour: u64) -> Offer {
        let amounts = Resources::of(MilliCpu(cores * 1_000), Bytes(gib * GIB));
        let capacity = Arc::new(NodeResources { amounts, pods: 110 });
        let template =
            Arc::new(Node { capacity: capacity.clone(), allocatable: capacity, ..Node::default() });
        Offer {
            template,
            pool: Symbol::empty(),
            instance_type: Symbol::empty(),
            zone: Symbol::empty(),
            capacity_type: CapacityType::OnDemand,
            micro_usd_per_hour,
        }
    }

    fn choice(group: usize, nodes: u32, pods: usize, cores: i64, gib: i64) -> Choice {
        let requested = Resources::of(MilliCpu(cores * 1_000), Bytes(gib * GIB));
        Choice { group, nodes, pods, requested }
    }

    #[test]
    fn each_rule_picks_the_group_that_it_is_named_for() {
        let offers = [offer(4, 16, 200_000), offer(16, 64, 600_000), offer(4, 32, 100_000)];
        let priorities = [1, 5, 5];
        // Six pods of 2 cores and 4 GiB; the second group holds eight, and helps only four here.
        let choices = [choice(0, 3, 6, 12, 24), choice(1, 1, 4, 8, 16), choice(2, 3, 6, 12, 24)];
        let traits = |group: usize| Traits { offer: &offers[group], priority: priorities[group] };
        for (rules, expected) in [
            (&[Expander::MostPods, Expander::LeastWaste][..], 0),
            (&[Expander::LeastWaste], 0),
            (&[Expander::LeastNodes], 1),
            (&[Expander::Price], 2),
            (&[Expander::Priority, Expander::MostPods], 2),
            (&[Expander::Priority, Expander::LeastNodes], 1),
        ] {
            let chosen = choose(choices.to_vec(), rules, traits, &mut Stream::new(1, 2, 3));
            assert_eq!(chosen.map(|one| one.group), Some(expected), "{rules:?}");
        }
    }

    #[test]
    fn chance_decides_between_equals_and_is_a_function_of_the_seed() {
        let offers = [offer(4, 16, 1), offer(4, 16, 1)];
        let traits = |group: usize| Traits { offer: &offers[group], priority: 0 };
        let choices = vec![choice(0, 1, 1, 1, 1), choice(1, 1, 1, 1, 1)];
        let pick = |seed| {
            let mut stream = Stream::new(seed, 0, 0);
            choose(choices.clone(), &[Expander::LeastWaste], traits, &mut stream).map(|one| one.group)
        };
        assert!((0..50).any(|seed| pick(seed) == Some(0)) && (0..50).any(|seed| pick(seed) == Some(1)));
        assert!((0..50).all(|seed| pick(seed) == pick(seed)));
    }
}
