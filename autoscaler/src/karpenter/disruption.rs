//! Which nodes go so that the others cost less (upstream `disruption`): empty ones; several at once
//! whose pods fit elsewhere, with one cheaper machine if need be; single ones likewise.

use std::sync::Arc;

use seatrial_api::cloud::{CapacityType, Offer};
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::claims::Claims;
use super::options::{ConsolidationPolicy, KarpenterOptions};
use super::solver::{Means, NewClaim, solve};
use super::termination::{DO_NOT_DISRUPT, is_protected};
use crate::budgets::RemainingBudgets;
use crate::view::{View, is_daemon, is_mirror, is_ready};

/// How many candidates are looked at together.
const TOGETHER_MAX: usize = 100;
/// So many cheaper types a spot machine needs to be replaced by another.
const SPOT_TYPES_MIN: usize = 15;

/// Why nodes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Emptiness,
    Consolidation,
}

/// Nodes that go, and the machine that takes their place, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) method: Method,
    pub(crate) nodes: Vec<Symbol>,
    pub(crate) replacement: Option<NewClaim>,
}

/// What disruption looks at.
pub(crate) struct Situation<'a> {
    pub(crate) now: SimTime,
    pub(crate) options: &'a KarpenterOptions,
    pub(crate) claims: &'a Claims,
    pub(crate) available: &'a dyn Fn(&Offer) -> bool,
}

/// A node that could go.
#[derive(Clone, Debug)]
struct Candidate {
    node: Symbol,
    pool: usize,
    price: u64,
    /// Pods that would have to move.
    pods: Vec<Arc<Pod>>,
    /// How much it costs to move them, in thousandths.
    cost_milli: i64,
}

/// What it costs to move a pod, in thousandths: one, more for those that matter.
fn eviction_cost_milli(pod: &Pod) -> i64 {
    const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    let written = pod.meta.annotations.get(Symbol::new(DELETION_COST));
    let deletion = written.and_then(|text| text.as_str().parse::<i64>().ok()).unwrap_or(0);
    let cost = 1_000 + deletion * 1_000 / (1 << 27) + i64::from(pod.spec.priority()) * 1_000 / (1 << 25);
    cost.clamp(-10_000, 10_000)
}

/// Whether a pod would have to move.
pub(crate) fn moves(pod: &Pod) -> bool {
    !is_daemon(pod) && !is_mirror(pod) && pod.is_active()
}

impl Situation<'_> {
    /// The nodes that may go at all: able to run pods, left alone by pods for long enough, kept by
    /// nobody.
    fn candidates(&self, view: &View, budgets: &RemainingBudgets) -> Vec<Candidate> {
        let mut found = Vec::new();
        for (&node, claim) in &self.claims.rows {
            let config = &self.options.pools[claim.pool];
            let Some(after) = config.consolidate_after else { continue };
            let Some(since) = claim.initialized else { continue };
            let ripe = claim.pod_event.max(since) + after <= self.now;
            let Some(object) = view.nodes.get(&node).filter(|object| is_ready(object)) else { continue };
            let kept = object.meta.annotations.get(Symbol::new(DO_NOT_DISRUPT));
            if claim.going || !ripe || self.now < claim.nominated_until || kept.is_some_and(|v| v == "true") {
                continue;
            }
            let here = view.pods_on(node);
            let held = here.iter().any(|pod| {
                is_protected(pod) && pod.is_active() || moves(pod) && budgets.exhausted_for(pod).is_some()
            });
            if held {
                continue;
            }
            let pods: Vec<Arc<Pod>> = here.into_iter().filter(|pod| moves(pod)).collect();
            let cost_milli = pods.iter().map(|pod| eviction_cost_milli(pod).max(0)).sum();
            found.push(Candidate { node, pool: claim.pool, price: claim.price(), pods, cost_milli });
        }
        found
    }

    /// When the next node becomes ripe, or is no longer kept for pods that should come.
    pub(crate) fn next_ripe(&self) -> Option<SimTime> {
        let instants = self.claims.rows.values().filter(|claim| !claim.going).filter_map(|claim| {
            let after = self.options.pools[claim.pool].consolidate_after?;
            let at = claim.pod_event.max(claim.initialized?) + after;
            Some(at.max(claim.nominated_until))
        });
        instants.filter(|&at| at > self.now).min()
    }

    /// What to do next, if anything.
    pub(crate) fn next_command(&self, view: &mut View) -> Option<Command> {
        let budgets = RemainingBudgets::new(&view.budgets);
        let mut candidates = self.candidates(view, &budgets);
        let mut allowed: Vec<u32> = (0..self.options.pools.len())
            .map(|pool| self.claims.disruptions_allowed(pool, &self.options.pools[pool], view))
            .collect();
        let empty: Vec<Symbol> = candidates
            .iter()
            .filter(|one| one.cost_milli == 0)
            .filter(|one| {
                let left = &mut allowed[one.pool];
                let fits = *left > 0;
                *left = left.saturating_sub(u32::from(fits));
                fits
            })
            .map(|one| one.node)
            .collect();
        if !empty.is_empty() {
            return Some(Command { method: Method::Emptiness, nodes: empty, replacement: None });
        }
        candidates.retain(|one| {
            let policy = self.options.pools[one.pool].consolidation;
            one.cost_milli > 0 && policy == ConsolidationPolicy::WhenEmptyOrUnderutilized
        });
        // The most money for the least trouble first.
        let savings = |one: &Candidate| u128::from(one.price) * 1_000_000 / (1_000 + one.cost_milli) as u128;
        candidates.sort_by_key(|one| (std::cmp::Reverse(savings(one)), one.node));
        let within: Vec<Candidate> = candidates
            .into_iter()
            .filter(|one| {
                let left = &mut allowed[one.pool];
                let fits = *left > 0;
                *left = left.saturating_sub(u32::from(fits));
                fits
            })
            .collect();
        self.several(view, &within).or_else(|| self.single(view, &within))
    }

    /// The largest number of first candidates that can go together, two at least.
    fn several(&self, view: &mut View, candidates: &[Candidate]) -> Option<Command> {
        let candidates = &candidates[..candidates.len().min(TOGETHER_MAX)];
        let (mut low, mut high) = (2, candidates.len());
        let mut best = None;
        while low <= high {
            let middle = (low + high) / 2;
            match self.consolidate(view, &candidates[..middle]) {
                Some(command) => {
                    best = Some(command);
                    low = middle + 1;
                }
                None => high = middle - 1,
            }
        }
        best
    }

    fn single(&self, view: &mut View, candidates: &[Candidate]) -> Option<Command> {
        candidates.iter().find_map(|one| self.consolidate(view, std::slice::from_ref(one)))
    }

    /// Whether these nodes can go: their pods fit on others, with at most one cheaper machine more.
    fn consolidate(&self, view: &mut View, candidates: &[Candidate]) -> Option<Command> {
        view.snapshot.fork();
        for one in candidates {
            one.pods.iter().for_each(|pod| view.snapshot.remove_pod(pod, one.node));
            view.snapshot.remove_node(one.node);
        }
        let pods = candidates.iter().flat_map(|one| one.pods.iter().cloned()).collect();
        let pools = &self.options.pools;
        let means = Means {
            pools,
            rooms: (0..pools.len()).map(|pool| self.claims.room(pool, &pools[pool])).collect(),
            available: self.available,
            claims_max: 1,
        };
        let claims = self.claims;
        let solution = solve(view, pods, means, |info| {
            let claim = claims.rows.get(&info.name());
            claim.is_none_or(|claim| !claim.going && claim.initialized.is_some())
        });
        view.snapshot.revert();
        if !solution.left.is_empty() {
            return None;
        }
        let replacement = match solution.claims.into_iter().next() {
            None => None,
            Some(claim) => Some(self.cheaper(claim, candidates)?),
        };
        let nodes = candidates.iter().map(|one| one.node).collect();
        Some(Command { method: Method::Consolidation, nodes, replacement })
    }

    /// A replacement made of the kinds that are cheaper than what it replaces.
    fn cheaper(&self, mut claim: NewClaim, candidates: &[Candidate]) -> Option<NewClaim> {
        let price: u64 = candidates.iter().map(|one| one.price).sum();
        let kind = |node: Symbol| self.claims.rows.get(&node).and_then(|claim| claim.offer());
        let all_spot = candidates
            .iter()
            .all(|one| kind(one.node).is_some_and(|offer| offer.capacity_type == CapacityType::Spot));
        let offers = &self.options.pools[claim.pool].offers;
        claim.kinds.retain(|&kind| offers[kind].micro_usd_per_hour < price);
        if candidates.len() > 1 {
            // One of the same kind would only have swallowed the others.
            let same = candidates.iter().filter_map(|one| kind(one.node));
            let limits: Vec<(Symbol, u64)> =
                same.map(|offer| (offer.instance_type, offer.micro_usd_per_hour)).collect();
            claim.kinds.retain(|&kind| {
                let offer = &offers[kind];
                limits
                    .iter()
                    .all(|&(same, price)| offer.instance_type != same || offer.micro_usd_per_hour < price)
            });
        }
        let is_spot = |&kind: &usize| offers[kind].capacity_type == CapacityType::Spot;
        let spot = claim.kinds.iter().filter(|kind| is_spot(kind)).count();
        if spot > 0 {
            if all_spot && (!self.options.spot_to_spot || candidates.len() == 1 && spot < SPOT_TYPES_MIN) {
                return None;
            }
            claim.kinds.retain(is_spot);
        }
        (!claim.kinds.is_empty()).then_some(claim)
    }
}
