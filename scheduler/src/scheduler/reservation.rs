//! EASY back-filling: the first group that does not fit gets a reservation.
//!
//! From how long pods are expected to run follows when there will be room for the group, and on which
//! nodes. Its pods are nominated there, in the scheduler's memory alone, so that others leave that
//! room; a pod that is expected to be over by then need not.
//!
//! D. A. Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995; A. W. Mu'alem, D. G. Feitelson,
//! "Utilization, predictability, workloads, and user runtime estimates in scheduling the IBM SP2 with
//! backfilling", IEEE TPDS 12(6), 2001.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::Scheduler;
use crate::cluster::NodeInfo;
use crate::config::Backfill;
use crate::framework::{Cycle, CycleState, Profile, Scope, Why};
use crate::gangs::{GroupKey, Reservation};
use crate::queue::ClusterEvent;
use crate::schedule::{Diagnosis, View, pre_filter};

impl Scheduler {
    /// A pod was given a node.
    pub(super) fn note_placed(&mut self, now: SimTime, pod: u32) {
        if let Some(gangs) = &mut self.gangs {
            gangs.placed_at.insert(pod, now);
        }
    }

    /// Gives a group that does not fit a reservation, if it is the first one.
    pub(super) fn reserve_for_group(&mut self, now: SimTime, key: GroupKey) {
        let Some(gangs) = &self.gangs else { return };
        if gangs.configuration.backfill != Backfill::Easy || gangs.reservation.is_some() {
            return;
        }
        let Some(reservation) = self.earliest_room(now, key) else { return };
        for (pod, node) in &reservation.pods {
            self.nominations.set(pod, *node);
        }
        if let Some(gangs) = &mut self.gangs {
            gangs.reservation = Some(reservation);
        }
    }

    /// Takes a group's reservation back.
    pub(super) fn end_reservation(&mut self, key: GroupKey) -> Option<Reservation> {
        let gangs = self.gangs.as_mut()?;
        let reservation = gangs.reservation.take_if(|reservation| reservation.group == key)?;
        for (pod, _) in &reservation.pods {
            self.nominations.remove(pod.meta.id);
        }
        Some(reservation)
    }

    /// A pod of a group is over: the reservation of a group that can no longer come is taken back.
    pub(super) fn reconsider_reservation(&mut self, now: SimTime, key: GroupKey) {
        let Some(gangs) = &self.gangs else { return };
        let placed = gangs.group(key).map_or(0, |group| group.placed.len());
        let is_complete =
            gangs.min_member(key).is_some_and(|wanted| placed + self.candidates(key).len() >= wanted);
        if is_complete {
            return;
        }
        if let Some(reservation) = self.end_reservation(key)
            && let Some((pod, _)) = reservation.pods.into_iter().next()
        {
            self.event(now, ClusterEvent::PodDelete { pod, up_to_priority: None }, None);
        }
    }

    /// Whether a pod may use what is reserved, because it is expected to be over in time. If so, the
    /// reservation is lifted until [`Scheduler::restore_reservation`].
    pub(super) fn lift_reservation(&mut self, now: SimTime, pod: &Pod) -> bool {
        let reservation = self.gangs.as_ref().and_then(|gangs| gangs.reservation.as_ref());
        let Some(reservation) = reservation else { return false };
        let is_over = self.queue.run_time(pod).is_some_and(|run_time| now + run_time <= reservation.start);
        if is_over {
            reservation.pods.iter().for_each(|(pod, _)| self.nominations.remove(pod.meta.id));
        }
        is_over
    }

    /// Puts the reservation in force again.
    pub(super) fn restore_reservation(&mut self) {
        let reservation = self.gangs.as_ref().and_then(|gangs| gangs.reservation.as_ref());
        for (pod, node) in reservation.into_iter().flat_map(|reservation| &reservation.pods) {
            self.nominations.set(pod, *node);
        }
    }

    /// When, and on which nodes, there will be room for a group as far as anybody knows.
    fn earliest_room(&self, now: SimTime, key: GroupKey) -> Option<Reservation> {
        let gangs = self.gangs.as_ref()?;
        let placed = gangs.group(key)?.placed.len();
        let needed = gangs.min_member(key)?.checked_sub(placed)?;
        let pods: Vec<Arc<Pod>> =
            self.candidates(key).into_iter().take(needed).map(|id| self.pods[&id].pod.clone()).collect();
        let ends: BTreeMap<u32, SimTime> = self
            .cluster
            .nodes()
            .iter()
            .flat_map(NodeInfo::pods)
            .filter_map(|row| Some((row.id, self.expected_end(now, row.id, &row.pod)?)))
            .collect();
        let mut instants: Vec<SimTime> = ends.values().copied().collect();
        instants.sort_unstable();
        instants.dedup();
        // Room only grows from instant to instant.
        let first = instants.partition_point(|&at| self.nodes_for(&pods, &ends, at).is_none());
        let start = *instants.get(first)?;
        let nodes = self.nodes_for(&pods, &ends, start)?;
        Some(Reservation { group: key, start, pods: pods.into_iter().zip(nodes).collect() })
    }

    /// When a placed pod is expected to end; `None` if nobody knows, or if it has run for twice as long
    /// as it was to.
    fn expected_end(&self, now: SimTime, id: u32, pod: &Pod) -> Option<SimTime> {
        let since = *self.gangs.as_ref()?.placed_at.get(&id)?;
        let run_time = self.queue.run_time(pod)?;
        (now <= since + run_time + run_time).then_some(since + run_time)
    }

    /// The nodes that take these pods, first fit in visiting order, once all is over that ends until
    /// `at`.
    fn nodes_for(
        &self,
        pods: &[Arc<Pod>],
        ends: &BTreeMap<u32, SimTime>,
        at: SimTime,
    ) -> Option<Vec<Symbol>> {
        let mut nodes: Vec<NodeInfo> = self.cluster.nodes().to_vec();
        for node in &mut nodes {
            let over =
                node.pods().iter().map(|row| row.id).filter(|id| ends.get(id).is_some_and(|end| *end <= at));
            for id in over.collect::<Vec<u32>>() {
                node.remove_pod(id);
            }
        }
        let mut chosen = Vec::new();
        for pod in pods {
            let profile = &self.profiles[usize::from(self.pods.get(&pod.meta.id)?.profile)];
            let mut state = CycleState::default();
            let view =
                View { cluster: &self.cluster, profile, nominations: &self.nominations, pod, explain: false };
            pre_filter(view, &mut state, &mut Diagnosis::default()).ok()?;
            let cycle = Cycle { cluster: &self.cluster, pod, state: &state };
            let node = nodes.iter_mut().find(|node| has_room(profile, cycle, node))?;
            node.add_pod(pod, 0);
            chosen.push(node.name());
        }
        Some(chosen)
    }
}

/// Whether the filters pass that look at the node and the pods on it.
fn has_room(profile: &Profile, cycle: Cycle<'_>, node: &NodeInfo) -> bool {
    profile
        .active_filters(cycle.state.skip_filter)
        .filter(|&plugin| profile.plugin(plugin).scope() != Scope::Cluster)
        .all(|plugin| profile.plugin(plugin).filter(cycle, node, &mut Why::ignored()).is_ok())
}
