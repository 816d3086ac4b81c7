//! A decision about one pod: where it goes, or why nowhere.

use std::sync::Arc;

use seatrial_api::scheduling::{PodAffinityTerm, WhenUnsatisfiable};
use seatrial_api::stream::Stream;
use seatrial_api::units::Span;

use crate::config::{CostModel, TieBreak};
use crate::extender::Extenders;
use crate::framework::{CycleState, Reason};
use crate::schedule::{Diagnosis, Filtered, NodeRejection, View, filter, score};
use seatrial_api::pod::Pod;

/// What one cycle came to.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) outcome: Outcome,
    /// How many nodes were filtered.
    pub(crate) filtered: usize,
    /// How many nodes were scored.
    pub(crate) scored: usize,
}

/// Where the pod goes.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// To the node at this position of the visiting order.
    Node(usize),
    /// Nowhere; PostFilter may go on from here.
    NoFit(Box<NoFit>),
    /// Nobody knows: an extender did not answer.
    Failed(String),
}

/// Why a pod fits nowhere.
#[derive(Clone, Debug)]
pub(crate) struct NoFit {
    pub(crate) diagnosis: Diagnosis,
    pub(crate) state: CycleState,
}

/// Decides by the plain path.
pub(crate) fn decide(
    view: View<'_>,
    extenders: Option<Extenders<'_>>,
    start: &mut usize,
    ties: TieBreak,
    stream: &mut Stream,
) -> Decided {
    let mut state = CycleState::default();
    let filtered = match extended_filter(view, extenders, &mut state, start) {
        Ok(filtered) => filtered,
        Err(message) => return Decided { outcome: Outcome::Failed(message), filtered: 0, scored: 0 },
    };
    let name = |position: usize| view.cluster.node_at(position).name();
    match filtered.feasible[..] {
        [] => {
            let no_fit = NoFit { diagnosis: filtered.diagnosis, state };
            Decided { outcome: Outcome::NoFit(Box::new(no_fit)), filtered: filtered.visited, scored: 0 }
        }
        [only] => Decided { outcome: Outcome::Node(only), filtered: filtered.visited, scored: 0 },
        _ => {
            let mut totals = score(view, &mut state, &filtered.feasible).totals;
            if let Some(extenders) = extenders {
                extenders.score(view.cluster, view.pod, &filtered.feasible, &mut totals);
            }
            let best = best_positions(&filtered.feasible, &totals);
            let chosen = match ties {
                TieBreak::First => best.iter().copied().min_by_key(|&position| name(position)),
                TieBreak::Seeded if best.len() > 1 => Some(best[stream.below(best.len() as u64) as usize]),
                TieBreak::Seeded => best.first().copied(),
                TieBreak::Heap => heap_top(&filtered.feasible, &totals),
            };
            let chosen = chosen.expect("invariant: of some nodes one is best");
            let scored = filtered.feasible.len();
            Decided { outcome: Outcome::Node(chosen), filtered: filtered.visited, scored }
        }
    }
}

/// Filters nodes and has the extenders filter what is left. A nominated node that they reject is not
/// the last word, as upstream.
fn extended_filter(
    view: View<'_>,
    extenders: Option<Extenders<'_>>,
    state: &mut CycleState,
    start: &mut usize,
) -> Result<Filtered, String> {
    let filtered = filter(view, state, start);
    let Some(extenders) = extenders else { return Ok(filtered) };
    let was_nominated = view.pod.status.nominated_node.is_some() && filtered.visited == 1;
    let filtered = ask_extenders(view, extenders, filtered)?;
    if !filtered.feasible.is_empty() || !was_nominated {
        return Ok(filtered);
    }
    let mut elsewhere = Pod::clone(view.pod);
    elsewhere.status.nominated_node = None;
    let elsewhere = Arc::new(elsewhere);
    *state = CycleState::default();
    let again = filter(View { pod: &elsewhere, ..view }, state, start);
    ask_extenders(view, extenders, again)
}

fn ask_extenders(
    view: View<'_>,
    extenders: Extenders<'_>,
    mut filtered: Filtered,
) -> Result<Filtered, String> {
    let before = filtered.feasible.len();
    let left = extenders.filter(view.cluster, view.pod, std::mem::take(&mut filtered.feasible))?;
    filtered.feasible = left.feasible;
    let Some(plugin) = view.profile.extender else { return Ok(filtered) };
    if filtered.feasible.len() != before {
        filtered.diagnosis.rejectors.insert(plugin);
    }
    for (node, code, why) in left.rejected {
        let reasons = if why.is_empty() { Vec::new() } else { vec![Reason::Owned(why.into())] };
        filtered.diagnosis.rejections.push(NodeRejection { node, plugin, code, reasons });
    }
    Ok(filtered)
}

/// The positions with the largest total, in visiting order of the whole cluster.
pub(crate) fn best_positions(feasible: &[usize], totals: &[i64]) -> Vec<usize> {
    let max = totals.iter().max();
    let tied = feasible.iter().zip(totals).filter(|(_, total)| Some(*total) == max);
    let mut positions: Vec<usize> = tied.map(|(&position, _)| position).collect();
    positions.sort_unstable();
    positions
}

/// The position on top of the heap of all totals, built as Go's `container/heap` does from the nodes in
/// their order.
fn heap_top(feasible: &[usize], totals: &[i64]) -> Option<usize> {
    let mut heap: Vec<(usize, i64)> = feasible.iter().copied().zip(totals.iter().copied()).collect();
    heap.sort_unstable_by_key(|entry| entry.0);
    for root in (0..heap.len() / 2).rev() {
        sift_down(&mut heap, root);
    }
    heap.first().map(|entry| entry.0)
}

fn sift_down(heap: &mut [(usize, i64)], mut parent: usize) {
    loop {
        let (left, right) = (2 * parent + 1, 2 * parent + 2);
        if left >= heap.len() {
            return;
        }
        let child = if right < heap.len() && heap[right].1 > heap[left].1 { right } else { left };
        if heap[child].1 <= heap[parent].1 {
            return;
        }
        heap.swap(parent, child);
        parent = child;
    }
}

/// What a cycle costs in time.
pub(crate) fn cycle_cost(model: &CostModel, pod: &Pod, decided: &Decided) -> Span {
    let nodes = model.per_node_filtered.times(decided.filtered as i64)
        + model.per_node_scored.times(decided.scored as i64);
    (model.cycle + nodes).times(cost_factor(model, pod))
}

fn cost_factor(model: &CostModel, pod: &Pod) -> i64 {
    let hard = |constraint: &seatrial_api::scheduling::TopologySpreadConstraint| {
        constraint.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule
    };
    let mut factor = 1;
    if pod.spec.topology_spread.iter().any(hard) {
        factor = factor.max(model.hard_spread_factor);
    }
    if let Some(affinity) = &pod.spec.affinity {
        if !affinity.anti.required.is_empty() {
            factor = factor.max(model.anti_affinity_factor);
        }
        let weighted = affinity.pod.preferred.iter().chain(&affinity.anti.preferred);
        let terms = affinity.pod.required.iter().chain(&affinity.anti.required);
        let by_namespace = |term: &PodAffinityTerm| term.namespaces.selector.is_some();
        if !affinity.pod.required.is_empty()
            || terms.chain(weighted.map(|preferred| &preferred.term)).any(by_namespace)
        {
            factor = factor.max(model.affinity_factor);
        }
    }
    factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_fall_as_in_the_heap_of_the_original() {
        // Nodes that take one pod after another, as recorded for four and for six nodes.
        for (nodes, order) in [(4, &[0, 1, 3, 2][..]), (6, &[0, 1, 3, 4, 2, 5])] {
            let feasible: Vec<usize> = (0..nodes).collect();
            let mut totals = vec![0; nodes];
            let mut taken = Vec::new();
            for _ in 0..nodes {
                let top = heap_top(&feasible, &totals).expect("there are nodes");
                totals[top] -= 1;
                taken.push(top);
            }
            assert_eq!(taken, order);
        }
        assert_eq!(heap_top(&[], &[]), None);
    }
}
