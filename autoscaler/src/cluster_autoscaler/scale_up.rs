//! Which node group grows, and by how much, so that pods which fit nowhere will (upstream
//! `core/scaleup/orchestrator`).

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::node::{LABEL_HOSTNAME, LABEL_REGION, LABEL_ZONE, Node};
use seatrial_api::pod::Pod;
use seatrial_api::resources::Resources;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};

use super::estimator::{PodGroup, estimate};
use super::expander::{Choice, Traits, choose};
use super::groups::Group;
use super::options::ClusterAutoscalerOptions;
use crate::view::{View, node_of};

/// What a scale-up does.
#[derive(Debug, Default)]
pub(crate) struct ScaleUp {
    /// Groups by their place, and by how many nodes each grows.
    pub(crate) increases: Vec<(usize, u32)>,
    /// Pods that it is for.
    pub(crate) helped: Vec<Arc<Pod>>,
    /// Pods that no group can help, and why.
    pub(crate) helpless: Vec<(Arc<Pod>, String)>,
}

/// What the limits of the whole cluster leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) nodes: u32,
    pub(crate) cpu: Option<MilliCpu>,
    pub(crate) memory: Option<Bytes>,
}

impl Room {
    /// How many nodes of a template there is room for.
    fn for_nodes(&self, template: &Node) -> u32 {
        let of = |room: Option<i64>, each: i64| match (room, each) {
            (Some(room), 1..) => u32::try_from(room.max(0) / each).unwrap_or(u32::MAX),
            _ => u32::MAX,
        };
        let amounts = &template.capacity.amounts;
        let cpu = of(self.cpu.map(MilliCpu::get), amounts.cpu.get());
        self.nodes.min(cpu).min(of(self.memory.map(Bytes::get), amounts.memory.get()))
    }
}

/// What a scale-up looks at.
pub(crate) struct Question<'a> {
    pub(crate) now: SimTime,
    pub(crate) options: &'a ClusterAutoscalerOptions,
    pub(crate) groups: &'a [Group],
    /// For each group, whether too many of its nodes do not come up.
    pub(crate) unhealthy: &'a [bool],
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) room: Room,
}

/// Decides about one scale-up.
pub(crate) fn plan(view: &mut View, mut question: Question<'_>, stream: &mut Stream) -> ScaleUp {
    let kinds = PodGroup::of(std::mem::take(&mut question.pods));
    let mut reasons: Vec<BTreeMap<String, u32>> = vec![BTreeMap::new(); kinds.len()];
    let mut fits: Vec<Vec<usize>> = vec![Vec::new(); question.groups.len()];
    let mut choices = Vec::new();
    let mut packed: BTreeMap<usize, Vec<Arc<Pod>>> = BTreeMap::new();
    for (index, group) in question.groups.iter().enumerate() {
        let template = &group.config.offer().template;
        let room = question.room.for_nodes(template);
        let skipped = if group.backoff.until(question.now).is_some() {
            Some("in backoff after failed scale-up")
        } else if question.unhealthy[index] {
            Some("not ready for scale-up")
        } else if group.room() == 0 {
            Some("max node group size reached")
        } else if room == 0 {
            Some("max cluster limit reached")
        } else {
            None
        };
        if let Some(reason) = skipped {
            reasons.iter_mut().for_each(|counts| *counts.entry(reason.to_owned()).or_default() += 1);
            continue;
        }
        let fitting = fitting_kinds(view, template, &kinds, &mut reasons);
        let pods: Vec<&PodGroup> = fitting.iter().map(|&kind| &kinds[kind]).collect();
        fits[index] = fitting;
        if pods.is_empty() {
            continue;
        }
        let most = group.room().min(room).min(question.options.nodes_per_scale_up);
        let found = estimate(view, template, &pods, most);
        if found.nodes > 0 {
            let mut requested = Resources::default();
            found.pods.iter().for_each(|pod| requested.add(&pod.spec.derived.requests));
            choices.push(Choice { group: index, nodes: found.nodes, pods: found.pods.len(), requested });
            packed.insert(index, found.pods);
        }
    }
    let traits = |group: usize| {
        let config = &question.groups[group].config;
        Traits { offer: config.offer(), priority: config.priority }
    };
    let mut result = ScaleUp::default();
    if let Some(chosen) = choose(choices, &question.options.expanders, traits, stream) {
        result.helped = packed.remove(&chosen.group).unwrap_or_default();
        let mut several = vec![chosen.group];
        if question.options.balance_similar {
            several.extend(similar_groups(&question, chosen.group, &fits));
        }
        result.increases = balanced(question.groups, &several, chosen.nodes);
    }
    for (index, kind) in kinds.iter().enumerate() {
        if fits.iter().all(|kinds| !kinds.contains(&index)) {
            let message = message(&reasons[index]);
            result.helpless.extend(kind.pods.iter().map(|pod| (pod.clone(), message.clone())));
        }
    }
    result
}

/// The kinds of pods that fit on an empty node of a template; for the others the reason is noted.
fn fitting_kinds(
    view: &mut View,
    template: &Arc<Node>,
    kinds: &[PodGroup],
    reasons: &mut [BTreeMap<String, u32>],
) -> Vec<usize> {
    let name = Symbol::new(&format!("template-node-for-{}", template.name));
    view.snapshot.fork();
    view.think_of_node(&node_of(template, name));
    let mut fitting = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        match view.snapshot.fits(kind.sample(), name) {
            Ok(()) => fitting.push(index),
            Err(why) => *reasons[index].entry(why.join(", ")).or_default() += 1,
        }
    }
    view.snapshot.revert();
    fitting
}

fn message(reasons: &BTreeMap<String, u32>) -> String {
    let counted: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    format!("pod didn't trigger scale-up: {}", counted.join(", "))
}

/// Labels in which similar groups may differ.
const IGNORED_LABELS: [&str; 3] = [LABEL_HOSTNAME, LABEL_ZONE, LABEL_REGION];
/// The label that names a node's group here, as every cloud has one.
const LABEL_POOL: &str = "seatrial/pool";

/// Groups that are like the chosen one and could grow in its place: the same machines but for the
/// zone, on which the same pods fit.
fn similar_groups(question: &Question<'_>, chosen: usize, fits: &[Vec<usize>]) -> Vec<usize> {
    let template = &question.groups[chosen].config.offer().template;
    let similar = |&group: &usize| {
        let other = &question.groups[group].config.offer().template;
        group != chosen
            && !fits[group].is_empty()
            && fits[chosen].iter().all(|kind| fits[group].contains(kind))
            && are_similar(template, other)
    };
    (0..question.groups.len()).filter(similar).collect()
}

/// Whether two kinds of nodes count as one (upstream `IsCloudProviderNodeInfoSimilar`).
fn are_similar(one: &Node, other: &Node) -> bool {
    let within = |a: i64, b: i64, per_mille: i64| (a - b).abs() * 1_000 <= a.max(b) * per_mille;
    let (a, b) = (&one.capacity.amounts, &other.capacity.amounts);
    let (free, other_free) = (&one.allocatable.amounts, &other.allocatable.amounts);
    let labels = |node: &Node| -> Vec<(Symbol, Symbol)> {
        let differ = |key: Symbol| IGNORED_LABELS.iter().any(|label| key == *label) || key == LABEL_POOL;
        node.meta.labels.iter().copied().filter(|&(key, _)| !differ(key)).collect()
    };
    a.cpu == b.cpu
        && a.ephemeral_storage == b.ephemeral_storage
        && a.scalars == b.scalars
        && one.capacity.pods == other.capacity.pods
        && within(a.memory.get(), b.memory.get(), 15)
        && within(free.cpu.get(), other_free.cpu.get(), 50)
        && within(free.memory.get(), other_free.memory.get(), 50)
        && labels(one) == labels(other)
}

/// Spreads new nodes over groups so that their sizes become as equal as they can; each node goes to
/// the smallest group that is not full, the first of several.
fn balanced(groups: &[Group], among: &[usize], nodes: u32) -> Vec<(usize, u32)> {
    let mut sizes: Vec<(usize, u32)> = among.iter().map(|&group| (group, 0)).collect();
    for _ in 0..nodes {
        let open = sizes.iter_mut().filter(|(group, more)| *more < groups[*group].room());
        match open.min_by_key(|(group, more)| groups[*group].target() + *more) {
            Some(smallest) => smallest.1 += 1,
            None => break,
        }
    }
    sizes.retain(|&(_, more)| more > 0);
    sizes
}

#[cfg(test)]
mod tests {
    use super::super::options::NodeGroup;
    use super::*;
    use crate::fixtures::{offer, symbols};

    #[test]
    fn new_nodes_go_to_the_smallest_groups_and_never_beyond_a_maximum() {
        let group = |size: usize, max: u32| {
            let instances = symbols("i", size);
            let config = NodeGroup {
                name: Symbol::new("g"),
                min: 0,
                max,
                priority: 0,
                offers: [offer("g", 4_000, 16, 100)].into(),
                instances,
            };
            Group::new(config)
        };
        let groups = [group(1, 10), group(3, 10), group(1, 2)];
        for (nodes, expected) in [
            (1, vec![(0, 1)]),
            (2, vec![(0, 1), (2, 1)]),
            (5, vec![(0, 3), (1, 1), (2, 1)]),
            (40, vec![(0, 9), (1, 7), (2, 1)]),
        ] {
            assert_eq!(balanced(&groups, &[0, 1, 2], nodes), expected, "{nodes} nodes");
        }
    }
}
