//! Placing groups of pods as a whole.
//!
//! A group is tried when so many of its pods are there as its object asks for. They are tried one
//! after the other without any other pod in between; those that found a node hold it and wait. With
//! the last one needed all are bound; with the first that fits nowhere, or at the deadline, all give
//! their room back and wait for something to change, while other pods are tried: that is back-filling.
//! No group holds room while another is tried, so there is nothing to wait for in a circle.

use std::sync::Arc;

use seatrial_api::machine::Effects;
use seatrial_api::object::Untyped;
use seatrial_api::pod::{Pod, PodReason};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::cycle::Nomination;
use super::{Scheduler, Timer};
use crate::framework::PluginSet;
use crate::gangs::{Attempt, Gangs, GroupKey};
use crate::queue::Place;

impl Scheduler {
    /// Whether a group is being placed.
    pub(super) fn is_placing_group(&self) -> bool {
        self.gangs.as_ref().is_some_and(|gangs| gangs.attempt.is_some())
    }

    /// Whether a pod is one of a group that is being placed.
    pub(super) fn is_of_attempt(&self, pod: &Pod) -> bool {
        let attempt = self.gangs.as_ref().and_then(|gangs| gangs.attempt.as_ref());
        attempt.is_some_and(|attempt| Gangs::group_of(pod) == Some(attempt.group))
    }

    /// An object without logic of its own changed.
    pub(super) fn group_changed(&mut self, object: &Untyped, gone: bool) {
        let Some(gangs) = &mut self.gangs else { return };
        if let Some(key) = gangs.apply(object, gone) {
            self.gather(key);
        }
    }

    /// A pod with a node is there.
    pub(super) fn placed_in_group(&mut self, pod: &Pod) {
        let Some(gangs) = &mut self.gangs else { return };
        let Some(key) = Gangs::group_of(pod) else { return };
        let group = gangs.group_mut(key);
        group.members.insert(pod.meta.id);
        group.placed.insert(pod.meta.id);
    }

    /// A pod without a node is there: whether it has to wait until enough others of its group are.
    pub(super) fn waits_for_group(&mut self, pod: &Pod) -> bool {
        let Some(gangs) = &mut self.gangs else { return false };
        let Some(key) = Gangs::group_of(pod) else { return false };
        gangs.group_mut(key).members.insert(pod.meta.id);
        if let Some(entry) = self.pods.get_mut(&pod.meta.id) {
            entry.place = Place::Gathering;
        }
        self.gather(key);
        true
    }

    /// A pod gave back its node, or is over.
    pub(super) fn leaves_group(&mut self, now: SimTime, pod: &Pod, is_over: bool) {
        let Some(gangs) = &mut self.gangs else { return };
        gangs.placed_at.remove(&pod.meta.id);
        let Some(key) = Gangs::group_of(pod) else { return };
        if is_over {
            gangs.forget(key, pod.meta.id);
            self.reconsider_reservation(now, key);
        } else {
            gangs.group_mut(key).placed.remove(&pod.meta.id);
        }
    }

    /// A pod has a newer version, which may have moved it to another group, or lost its gates.
    pub(super) fn group_member_changed(&mut self, now: SimTime, old: &Pod, new: &Pod) {
        if self.gangs.is_none() {
            return;
        }
        if Gangs::group_of(old) != Gangs::group_of(new) {
            self.leaves_group(now, old, true);
            match self.pods.get(&new.meta.id).map(|entry| entry.place) {
                Some(Place::Assumed(_) | Place::Assigned(_)) => self.placed_in_group(new),
                Some(_) => {
                    if let (Some(gangs), Some(key)) = (&mut self.gangs, Gangs::group_of(new)) {
                        gangs.group_mut(key).members.insert(new.meta.id);
                    }
                }
                None => {}
            }
        }
        if let Some(key) = Gangs::group_of(new) {
            self.gather(key);
        } else if self.pods.get(&new.meta.id).is_some_and(|entry| entry.place == Place::Gathering) {
            self.queue.enqueue(&mut self.pods, &self.profiles, new.meta.id, Place::Active);
        }
    }

    /// Lets the pods of a group into the queue if there are enough.
    pub(super) fn gather(&mut self, key: GroupKey) {
        let Some(gangs) = &self.gangs else { return };
        let (Some(group), Some(wanted)) = (gangs.group(key), gangs.min_member(key)) else { return };
        if group.placed.len() + self.candidates(key).len() < wanted {
            return;
        }
        let is_gathering = |id: &u32| self.pods.get(id).is_some_and(|entry| entry.place == Place::Gathering);
        let gathering: Vec<u32> = group.members.iter().copied().filter(is_gathering).collect();
        for id in gathering {
            self.queue.enqueue(&mut self.pods, &self.profiles, id, Place::Active);
        }
    }

    /// The pods of a group that can be tried, in the order of their coming.
    pub(super) fn candidates(&self, key: GroupKey) -> Vec<u32> {
        let Some(group) = self.gangs.as_ref().and_then(|gangs| gangs.group(key)) else { return Vec::new() };
        let can_be_tried = |id: &u32| {
            self.pods.get(id).is_some_and(|entry| {
                let waits = matches!(
                    entry.place,
                    Place::Gathering
                        | Place::Active
                        | Place::Backoff
                        | Place::ErrorBackoff
                        | Place::Pool
                        | Place::InFlight
                );
                waits && entry.pod.spec.scheduling_gates.is_empty() && !entry.pod.meta.is_deleting()
            })
        };
        group.members.difference(&group.placed).copied().filter(can_be_tried).collect()
    }

    /// The next pod to be tried: of the group that is being placed, or the first of the queue.
    pub(super) fn next_pod(&mut self, now: SimTime, effects: &mut Effects<Timer>) -> Option<u32> {
        if self.gangs.is_none() {
            return self.queue.pop(&mut self.pods, &self.profiles, &self.cluster);
        }
        loop {
            if self.is_placing_group() {
                if let Some(id) = self.next_member(now) {
                    return Some(id);
                }
                self.give_up(now, PluginSet::EMPTY, "the others did not come in time", effects);
            }
            let id = self.queue.pop(&mut self.pods, &self.profiles, &self.cluster)?;
            if self.begin_group(now, id) {
                return Some(id);
            }
        }
    }

    /// The next pod of the group that is being placed.
    fn next_member(&mut self, now: SimTime) -> Option<u32> {
        loop {
            let attempt = self.gangs.as_mut()?.attempt.as_mut()?;
            if now > attempt.deadline {
                return None;
            }
            let id = attempt.rest.pop_front()?;
            if self.queue.take(&mut self.pods, &self.profiles, id) {
                return Some(id);
            }
        }
    }

    /// A pod was taken out of the queue: whether it can be tried, with its group behind it.
    fn begin_group(&mut self, now: SimTime, id: u32) -> bool {
        let Some(key) = self.pods.get(&id).and_then(|entry| Gangs::group_of(&entry.pod)) else { return true };
        let candidates = self.candidates(key);
        let Some(gangs) = &mut self.gangs else { return true };
        let placed = gangs.group(key).map_or(0, |group| group.placed.len());
        match gangs.min_member(key) {
            Some(wanted) if placed >= wanted => return true,
            Some(wanted) if placed + candidates.len() >= wanted => {
                let rest = candidates.into_iter().filter(|other| *other != id).collect();
                let deadline = now + gangs.timeout(key);
                let waiting = Vec::new();
                gangs.attempt = Some(Attempt { group: key, rest, waiting, deadline, disturbed: false });
                self.end_reservation(key);
                return true;
            }
            _ => {}
        }
        self.queue.done();
        if let Some(entry) = self.pods.get_mut(&id) {
            entry.place = Place::Gathering;
        }
        false
    }

    /// A pod of the group that is being placed has a node: it waits for the others, or all are bound.
    pub(super) fn member_placed(
        &mut self,
        at: SimTime,
        pod: &Arc<Pod>,
        node: Symbol,
        effects: &mut Effects<Timer>,
    ) {
        let Some(gangs) = &mut self.gangs else { return };
        let Some(attempt) = &mut gangs.attempt else { return };
        attempt.waiting.push((pod.meta.id, node));
        let (key, waiting) = (attempt.group, attempt.waiting.len());
        let placed = gangs.group(key).map_or(0, |group| group.placed.len());
        if gangs.min_member(key).is_some_and(|wanted| placed + waiting < wanted) {
            return;
        }
        let Some(attempt) = gangs.attempt.take() else { return };
        gangs.group_mut(key).placed.extend(attempt.waiting.iter().map(|(id, _)| *id));
        for (id, node) in attempt.waiting {
            let pod = self.pods[&id].pod.clone();
            self.start_binding(at, &pod, node, effects);
        }
    }

    /// The group cannot be placed now: its pods give back what they hold, and wait.
    pub(super) fn give_up(
        &mut self,
        now: SimTime,
        rejectors: PluginSet,
        why: &str,
        effects: &mut Effects<Timer>,
    ) {
        let Some(attempt) = self.gangs.as_mut().and_then(|gangs| gangs.attempt.take()) else { return };
        let message = format!(
            "pod group {}/{} is placed as a whole or not at all; {} of its pods had a node: {why}",
            attempt.group.0,
            attempt.group.1,
            attempt.waiting.len()
        );
        for &(id, node) in attempt.waiting.iter().rev() {
            let pod = self.pods[&id].pod.clone();
            self.forget(id, &pod, node);
        }
        let waiting = attempt.waiting.iter().map(|(id, _)| *id);
        let untried = attempt.rest.iter().copied().filter(|id| {
            self.pods
                .get(id)
                .is_some_and(|entry| matches!(entry.place, Place::Gathering | Place::Active | Place::Backoff))
        });
        let others: Vec<u32> = waiting.chain(untried).collect();
        for id in others {
            self.queue.park(&mut self.pods, &self.profiles, id, rejectors, attempt.disturbed, now);
            let Some(pod) = self.pods.get(&id).map(|entry| entry.pod.clone()) else { continue };
            self.report_failure(now, &pod, PodReason::Unschedulable, &message, Nomination::Keep, effects);
        }
        self.reserve_for_group(now, attempt.group);
    }
}
