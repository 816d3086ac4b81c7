//! What one sync of a DaemonSet does on the nodes, and the status that follows: pure functions of
//! the set, the nodes and the set's pods (upstream `daemon_controller.go`, `update.go`).

use std::cmp::Ordering;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy};

use crate::framework::min_ready;

/// Whether a set's pods belong on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// A missing pod is to be made.
    pub(super) should_run: bool,
    /// A pod that is there may stay.
    pub(super) may_stay: bool,
}

/// A node and whether the set's pods belong there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) node: Symbol,
    pub(super) verdict: Verdict,
}

/// The pods of a set by the node that they are for.
#[derive(Clone, Debug, Default)]
pub(super) struct PodsByNode {
    pods: FxHashMap<Symbol, Vec<Arc<Pod>>>,
    /// The nodes in order of their first pod's row.
    order: Vec<Symbol>,
}

impl PodsByNode {
    /// Groups pods; those that have ended and are going away have nothing to do with nodes any
    /// more.
    pub(super) fn group<'a>(pods: impl Iterator<Item = &'a Arc<Pod>>) -> PodsByNode {
        let mut groups = PodsByNode::default();
        for pod in pods.filter(|pod| !(pod.status.phase.is_terminal() && pod.meta.is_deleting())) {
            let Some(node) = pod.node.or(pod.target_node) else { continue };
            let group = groups.pods.entry(node).or_default();
            if group.is_empty() {
                groups.order.push(node);
            }
            group.push(pod.clone());
        }
        groups
    }

    fn on(&self, node: Symbol) -> &[Arc<Pod>] {
        self.pods.get(&node).map_or(&[], Vec::as_slice)
    }
}

/// What a sync looks at.
pub(super) struct View<'a> {
    pub(super) set: &'a DaemonSet,
    pub(super) places: &'a [Place],
    pub(super) pods: &'a PodsByNode,
    pub(super) revision: Revision,
    pub(super) now: SimTime,
}

/// How pods of the present template are recognised.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Revision {
    /// Key and value of the label that carries the hash of the template.
    pub(super) hash: (Symbol, Symbol),
    /// Key and value of the label that carries its number, if it is counted.
    pub(super) generation: Option<(Symbol, Symbol)>,
}

impl Revision {
    fn is_of(&self, pod: &Pod) -> bool {
        let carries = |(key, value): (Symbol, Symbol)| pod.meta.labels.get(key) == Some(value);
        carries(self.hash) || self.generation.is_some_and(carries)
    }
}

/// What to change on the nodes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Nodes that get a pod.
    pub(super) create: Vec<Symbol>,
    /// Pods that go.
    pub(super) delete: Vec<u32>,
    /// Pods that have ended: the node, the pod and whether it failed.
    pub(super) ended: Vec<(Symbol, Arc<Pod>)>,
}

/// Brings each node to the one pod that it should have, or none. `may_delete` is asked for each
/// failed pod, because those are deleted with a back-off.
pub(super) fn manage(view: &View<'_>, mut may_delete: impl FnMut(Symbol) -> bool) -> Changes {
    let mut changes = Changes::default();
    for place in view.places {
        let pods = view.pods.on(place.node);
        if place.verdict.should_run && pods.is_empty() {
            changes.create.push(place.node);
        } else if place.verdict.may_stay {
            keep(view, place, pods, &mut may_delete, &mut changes);
        } else {
            changes.delete.extend(pods.iter().filter(|pod| !pod.meta.is_deleting()).map(|pod| pod.meta.id));
        }
    }
    delete_for_lost_nodes(view, &mut changes);
    changes
}

/// Deletes ended pods of a node and those beyond the first, or beyond one old and one new pod
/// while an update makes new pods first.
fn keep(
    view: &View<'_>,
    place: &Place,
    pods: &[Arc<Pod>],
    may_delete: &mut impl FnMut(Symbol) -> bool,
    changes: &mut Changes,
) {
    let mut running: Vec<&Arc<Pod>> = Vec::with_capacity(pods.len());
    for pod in pods.iter().filter(|pod| !pod.meta.is_deleting()) {
        match pod.status.phase {
            PodPhase::Failed if !may_delete(place.node) => {}
            PodPhase::Failed | PodPhase::Succeeded => {
                changes.ended.push((place.node, pod.clone()));
                changes.delete.push(pod.meta.id);
            }
            _ => running.push(pod),
        }
    }
    let surges = max_surge(view.set, 1) > 0;
    if running.len() <= 1 {
        if running.is_empty() && surges && place.verdict.should_run {
            changes.create.push(place.node);
        }
        return;
    }
    running.sort_by(|a, b| by_binding_and_age(a, b));
    if !surges {
        return changes.delete.extend(running[1..].iter().map(|pod| pod.meta.id));
    }
    let (mut new, mut old) = (None, None);
    for pod in running {
        let slot = if view.revision.hash_is_of(pod) { &mut new } else { &mut old };
        match slot {
            None => *slot = Some(pod),
            Some(_) => changes.delete.push(pod.meta.id),
        }
    }
    if let (Some(new), Some(old)) = (new, old) {
        let replaced = new.is_available(min_ready(view.set.min_ready_seconds), view.now);
        if !old.is_ready() || replaced {
            changes.delete.push(old.meta.id);
        }
    }
}

impl Revision {
    fn hash_is_of(&self, pod: &Pod) -> bool {
        pod.meta.labels.get(self.hash.0) == Some(self.hash.1)
    }
}

/// Unbound pods whose node is gone can never be bound, and nobody else deletes them.
fn delete_for_lost_nodes(view: &View<'_>, changes: &mut Changes) {
    let present: FxHashMap<Symbol, ()> = view.places.iter().map(|place| (place.node, ())).collect();
    let lost = view.pods.order.iter().filter(|node| !present.contains_key(node));
    let unbound = lost.flat_map(|&node| view.pods.on(node)).filter(|pod| pod.node.is_none());
    changes.delete.extend(unbound.map(|pod| pod.meta.id));
}

/// The old and the new pod of a node, unless there are several of a kind.
struct Pair<'a> {
    new: Option<&'a Arc<Pod>>,
    old: Option<&'a Arc<Pod>>,
}

impl<'a> Pair<'a> {
    fn of(view: &View<'a>, pods: &'a [Arc<Pod>]) -> Option<Pair<'a>> {
        let mut pair = Pair { new: None, old: None };
        for pod in pods.iter().filter(|pod| !pod.meta.is_deleting()) {
            let slot = if view.revision.is_of(pod) { &mut pair.new } else { &mut pair.old };
            if slot.replace(pod).is_some() {
                return None;
            }
        }
        Some(pair)
    }
}

/// Replaces pods of older templates, a few at a time.
pub(super) fn roll(view: &View<'_>) -> Changes {
    let wanting = view.places.iter().filter(|place| place.verdict.should_run).count();
    let wanting = i32::try_from(wanting).unwrap_or(i32::MAX);
    let (surge, unavailable) = (max_surge(view.set, wanting), max_unavailable(view.set, wanting));
    if surge == 0 {
        let unavailable = if unavailable == 0 && wanting > 0 { 1 } else { unavailable };
        roll_by_deleting(view, unavailable)
    } else {
        roll_by_surging(view, surge, wanting)
    }
}

/// All nodes that have a pod or should have one, with their pods.
fn nodes<'a>(view: &View<'a>) -> impl Iterator<Item = (Option<Verdict>, Symbol, &'a [Arc<Pod>])> {
    let (places, groups) = (view.places, view.pods);
    let known = places.iter().map(|place| (Some(place.verdict), place.node, groups.on(place.node)));
    let known = known.filter(|(verdict, _, pods)| !pods.is_empty() || verdict.is_some_and(|v| v.should_run));
    let present: FxHashMap<Symbol, ()> = places.iter().map(|place| (place.node, ())).collect();
    let lost = groups.order.iter().filter(move |node| !present.contains_key(node));
    known.chain(lost.map(|&node| (None, node, groups.on(node))))
}

/// Deletes old pods: those that are not available without limit, the others while no more nodes
/// than allowed are without an available pod. Upstream has the nodes in a map, so in any order: here
/// the last one comes first.
fn roll_by_deleting(view: &View<'_>, unavailable_max: i32) -> Changes {
    let is_available = |pod: &Pod| pod.is_available(min_ready(view.set.min_ready_seconds), view.now);
    let mut unavailable = 0;
    let (mut broken, mut candidates) = (Vec::new(), Vec::new());
    for (_, _, pods) in nodes(view) {
        match Pair::of(view, pods) {
            Some(Pair { new: Some(new), old: None }) => unavailable += i32::from(!is_available(new)),
            Some(Pair { new: None, old: Some(old) }) if !is_available(old) => {
                broken.push(old.meta.id);
                unavailable += 1;
            }
            Some(Pair { new: None, old: Some(old) }) => {
                if unavailable < unavailable_max {
                    candidates.push(old.meta.id);
                }
            }
            _ => unavailable += 1,
        }
    }
    let room = usize::try_from(unavailable_max - unavailable).unwrap_or(0);
    broken.extend(candidates.into_iter().rev().take(room));
    Changes { delete: broken, ..Changes::default() }
}

/// Makes new pods beside old ones: beside those that are not available without limit, beside the
/// others up to `surge_max`. An old pod goes when the new one is available.
fn roll_by_surging(view: &View<'_>, surge_max: i32, wanting: i32) -> Changes {
    let is_available = |pod: &Pod| pod.is_available(min_ready(view.set.min_ready_seconds), view.now);
    let mut changes = Changes::default();
    let (mut surging, mut available) = (0, 0);
    let (mut candidates, mut misplaced) = (Vec::new(), Vec::new());
    for (verdict, node, pods) in nodes(view) {
        let Some(pair) = Pair::of(view, pods) else {
            surging += 1;
            continue;
        };
        available += i32::from(pair.old.or(pair.new).is_some_and(|pod| is_available(pod)));
        let should_run = verdict.is_some_and(|verdict| verdict.should_run);
        match (pair.old, pair.new) {
            (None, _) => {}
            (Some(old), None) => match (is_available(old), should_run) {
                (false, false) => changes.delete.push(old.meta.id),
                (false, true) => changes.create.push(node),
                (true, false) => misplaced.push(old.meta.id),
                (true, true) if surging < surge_max => candidates.push(node),
                (true, true) => {}
            },
            (Some(_), Some(new)) if !is_available(new) => surging += 1,
            (Some(old), Some(_)) => changes.delete.push(old.meta.id),
        }
    }
    let surplus = usize::try_from(available - wanting).unwrap_or(0);
    changes.delete.extend(misplaced.into_iter().take(surplus));
    let room = usize::try_from(surge_max - surging).unwrap_or(0);
    changes.create.extend(candidates.into_iter().rev().take(room));
    changes
}

fn max_surge(set: &DaemonSet, wanting: i32) -> i32 {
    match set.update_strategy {
        DaemonSetUpdateStrategy::RollingUpdate { max_surge, .. } => max_surge.ceil_of(wanting),
        DaemonSetUpdateStrategy::OnDelete => 0,
    }
}

fn max_unavailable(set: &DaemonSet, wanting: i32) -> i32 {
    match set.update_strategy {
        DaemonSetUpdateStrategy::RollingUpdate { max_unavailable, .. } => max_unavailable.ceil_of(wanting),
        DaemonSetUpdateStrategy::OnDelete => 0,
    }
}

/// The status that the pods make; of each node one pod counts, the first that was bound.
pub(super) fn status(view: &View<'_>, observed_generation: i64) -> DaemonSetStatus {
    let mut status = DaemonSetStatus {
        observed_generation,
        collision_count: view.set.status.collision_count,
        ..DaemonSetStatus::default()
    };
    let span: Span = min_ready(view.set.min_ready_seconds);
    for place in view.places {
        let first = view.pods.on(place.node).iter().min_by(|a, b| by_binding_and_age(a, b));
        if !place.verdict.should_run {
            status.number_misscheduled += i32::from(first.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = first else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pod.is_ready());
        status.number_available += i32::from(pod.is_available(span, view.now));
        status.updated_number_scheduled += i32::from(view.revision.is_of(pod));
    }
    status.number_unavailable = status.desired_number_scheduled - status.number_available;
    status
}

/// Bound pods first, then by creation to the second, then by name.
fn by_binding_and_age(a: &Pod, b: &Pod) -> Ordering {
    let created = |pod: &Pod| pod.meta.created.truncate_to_second();
    let key = |pod: &Pod| (pod.node.is_none(), created(pod));
    key(a).cmp(&key(b)).then_with(|| a.meta.name.cmp(&b.meta.name))
}
