//! Where pods would go: onto nodes that there are, onto claims that are on their way, or onto new
//! claims of the cheapest kinds of machines that hold them (upstream `provisioning/scheduling`).
//!
//! Model: a claim under construction is thought of as a node of its cheapest kind. Claims whose pods
//! care about zones stay in the zone of that kind; upstream keeps the zones that the pods leave open.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::cloud::{CapacityType, Offer};
use seatrial_api::pod::Pod;
use seatrial_api::resources::Resources;
use seatrial_api::scheduling::{TaintEffect, first_untolerated};
use seatrial_api::symbol::Symbol;
use seatrial_scheduler::cluster::NodeInfo;

use super::claims::{Amounts, PoolRoom};
use super::options::NodePool;
use crate::view::{View, node_of};

/// A claim under construction.
#[derive(Clone, Debug)]
pub(crate) struct NewClaim {
    /// The pool, by its place.
    pub(crate) pool: usize,
    /// The kinds that hold its pods, by their places in the pool, the preferred one first.
    pub(crate) kinds: Vec<usize>,
    pub(crate) pods: Vec<Arc<Pod>>,
    node: Symbol,
    requested: Resources,
    /// Whether its pods care about zones.
    zonal: bool,
}

/// Where pods would go.
#[derive(Debug, Default)]
pub(crate) struct Solution {
    pub(crate) claims: Vec<NewClaim>,
    /// Pods that would go to nodes that are there or on their way.
    pub(crate) placed: Vec<(Arc<Pod>, Symbol)>,
    /// Pods that fit nowhere, and why.
    pub(crate) left: Vec<(Arc<Pod>, &'static str)>,
}

/// The names of nodes that new claims are thought of as begin like this.
const NEW_NODE: &str = "karpenter-new-";

/// What a solution may use.
pub(crate) struct Means<'a> {
    pub(crate) pools: &'a [NodePool],
    /// What each pool may still launch.
    pub(crate) rooms: Vec<PoolRoom>,
    /// Whether a kind of machine can be had.
    pub(crate) available: &'a dyn Fn(&Offer) -> bool,
    /// The most new claims.
    pub(crate) claims_max: usize,
}

/// Finds places for pods, the largest first. The snapshot is left as if they were there.
pub(crate) fn solve(
    view: &mut View,
    mut pods: Vec<Arc<Pod>>,
    mut means: Means<'_>,
    usable: impl Fn(&NodeInfo) -> bool,
) -> Solution {
    let size = |pod: &Pod| (pod.spec.derived.requests.cpu, pod.spec.derived.requests.memory);
    pods.sort_by_key(|pod| Reverse(size(pod)));
    let mut solution = Solution::default();
    let mut order: Vec<usize> = (0..means.pools.len()).collect();
    order.sort_by_key(|&pool| Reverse(means.pools[pool].weight));
    let mut memo = Memo::default();
    let usable = |info: &NodeInfo| !info.name().as_str().starts_with(NEW_NODE) && usable(info);
    let mut start = 0;
    for pod in pods {
        let waiting = Arc::new(Pod { node: None, ..Pod::clone(&pod) });
        if let Some(node) = view.snapshot.first_fit(&waiting, &mut start, &usable) {
            view.snapshot.add_pod(&waiting, node);
            solution.placed.push((pod, node));
            continue;
        }
        let mut claims: Vec<usize> = (0..solution.claims.len()).collect();
        claims.sort_by_key(|&claim| solution.claims[claim].pods.len());
        let joined = claims
            .into_iter()
            .any(|claim| join(view, &mut solution.claims[claim], &waiting, &means, &mut memo));
        if joined {
            continue;
        }
        let number = solution.claims.len();
        let opened = match number < means.claims_max {
            true => open(view, &waiting, (&order, number), &mut means, &mut memo),
            false => None,
        };
        match opened {
            Some(claim) => solution.claims.push(claim),
            None => {
                let why = reason(view, &waiting, &means, &mut memo);
                solution.left.push((pod, why));
            }
        }
    }
    solution
}

/// What does not change while pods are placed: what daemons take of each kind of machine, and which
/// pods fit on an empty one by everything that other pods do not change.
#[derive(Default)]
struct Memo {
    daemons: BTreeMap<(usize, usize), (Resources, i64)>,
    /// By the address of the pod's specification, which lives as long as the memo.
    fits: BTreeMap<(usize, usize, usize), bool>,
}

impl Memo {
    /// Whether a machine of a kind holds so many pods that request so much, besides its daemons.
    fn holds(
        &mut self,
        view: &View,
        (kind, offer): ((usize, usize), &Offer),
        requested: &Resources,
        pods: i64,
    ) -> bool {
        let daemons = self.daemons.entry(kind).or_insert_with(|| view.daemon_requests(&offer.template));
        let offered = &offer.template.allocatable;
        let mut all = requested.clone();
        all.add(&daemons.0);
        let scalars = all.scalars.iter().all(|(name, amount)| amount <= offered.amounts.scalars.get(name));
        all.cpu <= offered.amounts.cpu
            && all.memory <= offered.amounts.memory
            && all.ephemeral_storage <= offered.amounts.ephemeral_storage
            && pods + daemons.1 <= offered.pods
            && scalars
    }

    fn fits(&mut self, view: &View, pod: &Pod, (kind, offer): ((usize, usize), &Offer)) -> bool {
        let key = (Arc::as_ptr(&pod.spec) as usize, kind.0, kind.1);
        if let Some(&known) = self.fits.get(&key) {
            return known;
        }
        let spec = &pod.spec;
        let effects = [TaintEffect::NoSchedule, TaintEffect::NoExecute];
        let fits = pod.node_constraint().matches(&offer.template.meta.labels, offer.template.name)
            && first_untolerated(&spec.tolerations, offer.template.taints(), &effects).is_none()
            && self.holds(view, (kind, offer), &spec.derived.requests, 1);
        self.fits.insert(key, fits);
        fits
    }
}

/// Orders kinds of machines by preference: spot capacity first, then the price.
fn prefer(kinds: &mut [usize], offers: &[Offer]) {
    kinds.sort_by_key(|&kind| {
        let offer = &offers[kind];
        let spot = offer.capacity_type == CapacityType::Spot;
        (!spot, offer.micro_usd_per_hour, offer.instance_type, offer.zone)
    });
}

fn cares_about_zones(pod: &Pod) -> bool {
    let affinity = pod.spec.affinity.as_deref();
    !pod.spec.topology_spread.is_empty()
        || affinity.is_some_and(|one| !one.pod.required.is_empty() || !one.anti.required.is_empty())
}

/// Adds a pod to a claim, if some kind of machine holds it besides the others.
fn join(view: &mut View, claim: &mut NewClaim, pod: &Arc<Pod>, means: &Means<'_>, memo: &mut Memo) -> bool {
    let mut requested = claim.requested.clone();
    requested.add(&pod.spec.derived.requests);
    let offers = &means.pools[claim.pool].offers;
    let zonal = claim.zonal || cares_about_zones(pod);
    let zone = claim.kinds.first().map(|&kind| offers[kind].zone).unwrap_or_default();
    let count = claim.pods.len() as i64 + 1;
    let mut kinds = claim.kinds.clone();
    kinds.retain(|&kind| {
        let offer = ((claim.pool, kind), &offers[kind]);
        (!zonal || offers[kind].zone == zone)
            && memo.fits(view, pod, offer)
            && memo.holds(view, offer, &requested, count)
    });
    let Some(&first) = kinds.first() else { return false };
    view.snapshot.fork();
    if claim.kinds.first() != Some(&first) {
        view.snapshot.set_node(&node_of(&offers[first].template, claim.node));
    }
    if view.snapshot.fits(pod, claim.node).is_err() {
        view.snapshot.revert();
        return false;
    }
    view.snapshot.add_pod(pod, claim.node);
    view.snapshot.commit();
    claim.kinds = kinds;
    claim.requested = requested;
    claim.zonal = zonal;
    claim.pods.push(pod.clone());
    true
}

/// Opens the `number`th claim, for a pod: the first pool by weight that has a kind of machine which holds it.
fn open(
    view: &mut View,
    pod: &Arc<Pod>,
    (order, number): (&[usize], usize),
    means: &mut Means<'_>,
    memo: &mut Memo,
) -> Option<NewClaim> {
    for &pool in order {
        let offers = &means.pools[pool].offers;
        let wanted = |&kind: &usize| {
            let offer = &offers[kind];
            (means.available)(offer)
                && means.rooms[pool].has(offer)
                && memo.fits(view, pod, ((pool, kind), offer))
        };
        let mut kinds: Vec<usize> = (0..offers.len()).filter(wanted).collect();
        prefer(&mut kinds, offers);
        let node = Symbol::new(&format!("{NEW_NODE}{number:05}"));
        let mut zones: Vec<Symbol> = Vec::new();
        for &kind in &kinds {
            let offer = &offers[kind];
            if zones.contains(&offer.zone) {
                continue;
            }
            zones.push(offer.zone);
            view.snapshot.fork();
            view.think_of_node(&node_of(&offer.template, node));
            if view.snapshot.fits(pod, node).is_err() {
                view.snapshot.revert();
                continue;
            }
            view.snapshot.add_pod(pod, node);
            view.snapshot.commit();
            // Zones in which it does not fit are out, so the kind that it is thought of stands first.
            let (zone, zonal) = (offer.zone, cares_about_zones(pod));
            let mut most = Amounts::default();
            let mut kinds = kinds.clone();
            kinds.retain(|&other| {
                let other = offers[other].zone;
                other == zone || !zonal && !zones.contains(&other)
            });
            // It may become a machine of any of these kinds.
            for &kind in &kinds {
                most = most.largest(&offers[kind]);
            }
            means.rooms[pool].take_amounts(most);
            let requested = pod.spec.derived.requests.clone();
            return Some(NewClaim { pool, kinds, pods: vec![pod.clone()], node, requested, zonal });
        }
    }
    None
}

/// Why a pod fits on no new machine.
fn reason(view: &View, pod: &Pod, means: &Means<'_>, memo: &mut Memo) -> &'static str {
    let (mut out_of_stock, mut limited) = (false, false);
    for (pool, config) in means.pools.iter().enumerate() {
        for (kind, offer) in config.offers.iter().enumerate() {
            if memo.fits(view, pod, ((pool, kind), offer)) {
                out_of_stock |= !(means.available)(offer);
                limited |= !means.rooms[pool].has(offer);
            }
        }
    }
    match (out_of_stock, limited) {
        (_, true) => "all available instance types exceed limits for nodepool",
        (true, false) => "no instance type that would hold it can be had",
        (false, false) => "no instance type satisfied resources and requirements",
    }
}
