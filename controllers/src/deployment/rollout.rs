//! How pods move from old ReplicaSets to the new one: rolling update, recreation, and resizing
//! in proportion.

use std::cmp::Reverse;
use std::sync::Arc;

use seatrial_api::workload::{DeploymentStrategy, ReplicaSet};

use super::plan::{Limits, Planner, annotated_count, by_creation};
use super::status::is_complete;

impl Planner<'_> {
    /// A rolling update: grows the new ReplicaSet, else shrinks the old ones.
    pub(super) fn roll(&mut self) {
        self.sync_revision(true);
        let Some(new) = self.new_set().cloned() else { return };
        let wanted = self.rolled_size(new.replicas);
        if wanted != new.replicas {
            self.scale_set(new.clone(), new.replicas, wanted, true);
            return self.write_rollout_status();
        }
        let shrunk = self.shrink_old(&new);
        if !shrunk && is_complete(&self.deployment, &self.deployment.status) {
            self.clean_up();
        }
        self.write_rollout_status();
    }

    /// The size that the new ReplicaSet, of size `current`, may have now.
    pub(super) fn rolled_size(&self, current: i32) -> i32 {
        let desired = self.view.deployment.replicas;
        if self.view.deployment.strategy == DeploymentStrategy::Recreate || current > desired {
            return desired;
        }
        let total = sum(self.old_sets().map(|set| set.replicas)).saturating_add(current);
        let most = desired.saturating_add(Limits::of(self.view.deployment).max_surge);
        current + most.saturating_sub(total).clamp(0, desired - current)
    }

    /// Shrinks old ReplicaSets, replicas that are not available first, as far as enough pods stay
    /// available. Returns whether there was something to shrink.
    fn shrink_old(&mut self, new: &ReplicaSet) -> bool {
        let mut old: Vec<(Arc<ReplicaSet>, i32)> =
            self.old_sets().filter(|set| set.replicas > 0).map(|set| (set.clone(), set.replicas)).collect();
        if old.is_empty() {
            return false;
        }
        let deployment = self.view.deployment;
        let total = sum(self.sets.iter().map(|set| set.replicas));
        let least = deployment.replicas - Limits::of(deployment).max_unavailable;
        let missing = new.replicas.saturating_sub(new.status.available_replicas);
        let unhealthy_max = total.saturating_sub(least).saturating_sub(missing);
        if unhealthy_max <= 0 {
            return false;
        }
        let mut shrunk = 0;
        for (set, size) in &mut old {
            let unhealthy = size.saturating_sub(set.status.available_replicas);
            if shrunk >= unhealthy_max || unhealthy == 0 {
                continue;
            }
            if unhealthy < 0 {
                // It still reports pods that it was told to give up: nothing is decided on that.
                return false;
            }
            let count = unhealthy.min(unhealthy_max - shrunk);
            self.scale_old(set, size, count);
            shrunk += count;
        }
        let mut surplus = self.available_of_active().saturating_sub(least);
        for (set, size) in &mut old {
            let count = (*size).min(surplus);
            if count > 0 {
                self.scale_old(set, size, count);
                surplus -= count;
                shrunk += count;
            }
        }
        shrunk > 0
    }

    /// Available pods of the new ReplicaSet and of the old ones that want pods.
    fn available_of_active(&self) -> i32 {
        let counts = |&(index, set): &(usize, &Arc<ReplicaSet>)| Some(index) == self.new || set.replicas > 0;
        let sets = self.sets.iter().enumerate().filter(counts);
        sum(sets.map(|(_, set)| set.status.available_replicas))
    }

    fn scale_old(&mut self, set: &Arc<ReplicaSet>, size: &mut i32, count: i32) {
        self.scale_set(set.clone(), *size, *size - count, false);
        *size -= count;
    }

    /// Recreation: all old pods end before the first new one is made.
    pub(super) fn recreate(&mut self) {
        self.sync_revision(false);
        let active: Vec<Arc<ReplicaSet>> = self.old_sets().filter(|set| set.replicas > 0).cloned().collect();
        if !active.is_empty() {
            for set in active {
                let from = set.replicas;
                self.scale_set(set, from, 0, true);
            }
            return self.write_rollout_status();
        }
        if self.runs_old_pods() {
            return self.write_rollout_status();
        }
        if self.new.is_none() {
            self.sync_revision(true);
        }
        let Some(new) = self.new_set().cloned() else { return };
        if new.replicas != self.view.deployment.replicas {
            let (from, to) = (new.replicas, self.view.deployment.replicas);
            self.scale_set(new, from, to, true);
        }
        if is_complete(&self.deployment, &self.deployment.status) {
            self.clean_up();
        }
        self.write_rollout_status();
    }

    fn runs_old_pods(&self) -> bool {
        let old = (0..self.sets.len()).filter(|&index| Some(index) != self.new);
        old.into_iter().any(|index| self.runs_pods[index] || self.sets[index].status.replicas > 0)
    }

    /// Resizes to the wanted size: the only active ReplicaSet takes it all, several share it in
    /// proportion to their sizes.
    pub(super) fn scale(&mut self) {
        let desired = self.view.deployment.replicas;
        let active: Vec<Arc<ReplicaSet>> = self.sets.iter().filter(|set| set.replicas > 0).cloned().collect();
        let alone = match active.as_slice() {
            [] => self.new_set().or_else(|| self.old_sets().next_back()).cloned(),
            [only] => Some(only.clone()),
            _ => None,
        };
        if let Some(set) = alone {
            let from = set.replicas;
            if from != desired {
                self.scale_set(set, from, desired, true);
            }
        } else if active.is_empty() {
            // There is no ReplicaSet at all.
        } else if self.is_saturated() {
            let old: Vec<_> = self.old_sets().filter(|set| set.replicas > 0).cloned().collect();
            for set in old {
                let from = set.replicas;
                self.scale_set(set, from, 0, true);
            }
        } else if self.view.deployment.strategy != DeploymentStrategy::Recreate {
            self.scale_in_proportion(active);
        }
    }

    /// Whether the new ReplicaSet is and knows to be of the full size, all of it available.
    fn is_saturated(&self) -> bool {
        let desired = self.view.deployment.replicas;
        self.new_set().is_some_and(|set| {
            let noted = set.meta.annotations.get(self.view.keys.desired_replicas);
            set.replicas == desired
                && set.status.available_replicas == desired
                && noted.and_then(|noted| noted.as_str().parse::<i32>().ok()) == Some(desired)
        })
    }

    fn scale_in_proportion(&mut self, mut active: Vec<Arc<ReplicaSet>>) {
        let deployment = self.view.deployment;
        let most = deployment.replicas.saturating_add(Limits::of(deployment).max_surge);
        let allowed = if deployment.replicas > 0 { most } else { 0 };
        let to_add = allowed.saturating_sub(sum(active.iter().map(|set| set.replicas)));
        match to_add {
            1.. => {
                active.sort_by(|a, b| Reverse(a.replicas).cmp(&Reverse(b.replicas)).then(by_creation(b, a)))
            }
            0 => {}
            ..0 => {
                active.sort_by(|a, b| Reverse(a.replicas).cmp(&Reverse(b.replicas)).then(by_creation(a, b)))
            }
        }
        let mut added = 0;
        let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
        for set in &active {
            let share = if to_add == added { 0 } else { self.share(set, most, to_add - added) };
            sizes.push(set.replicas + share);
            added += share;
        }
        if let Some(largest) = sizes.first_mut() {
            *largest = largest.saturating_add(to_add - added).max(0);
        }
        for (set, size) in active.into_iter().zip(sizes) {
            let noted = |key| annotated_count(&set.meta.annotations, key);
            let keys = self.view.keys;
            let annotated = noted(keys.desired_replicas) == Some(deployment.replicas)
                && noted(keys.max_replicas) == Some(most);
            if size != set.replicas || !annotated {
                let from = set.replicas;
                self.scale_set(set, from, size, true);
            }
        }
    }

    /// What a ReplicaSet gains or loses when the size it is a part of changes to `most`, at most
    /// what is `left` to be shared out.
    fn share(&self, set: &ReplicaSet, most: i32, left: i32) -> i32 {
        if self.view.deployment.replicas == 0 {
            return (-set.replicas).max(left);
        }
        let noted = annotated_count(&set.meta.annotations, self.view.keys.max_replicas);
        let before = noted.filter(|&noted| noted != 0).unwrap_or(self.view.deployment.status.replicas);
        if before == 0 {
            return 0;
        }
        let size = divide_rounded(i64::from(set.replicas) * i64::from(most), i64::from(before));
        let share = i32::try_from(size).unwrap_or(i32::MAX) - set.replicas;
        if left > 0 { share.min(left) } else { share.max(left) }
    }
}

/// A sum that stays within the range of sizes.
pub(super) fn sum(numbers: impl Iterator<Item = i32>) -> i32 {
    numbers.fold(0, i32::saturating_add)
}

/// A quotient of numbers that are not negative, rounded half up.
fn divide_rounded(dividend: i64, divisor: i64) -> i64 {
    (2 * dividend + divisor) / (2 * divisor)
}
