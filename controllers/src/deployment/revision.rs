//! The ReplicaSet of the Deployment's template: finding, creating and numbering it; rollbacks.

use std::sync::Arc;

use seatrial_api::labels::{Labels, Operator, Requirement, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Kind;
use seatrial_api::pod::{ConditionStatus, PodTemplate};
use seatrial_api::symbol::Symbol;
use seatrial_api::workload::{Deployment, ReplicaSet, ReplicaSetStatus, condition};

use super::plan::{Keys, Limits, Planner, Step, annotated_revision};
use super::status::{PROGRESSING, has_deadline, set_condition};
use crate::framework::{controller_ref, template_hash};

/// The longest revision history that is kept, in characters.
const HISTORY_LENGTH_MAX: usize = 2_000;
/// The longest name of a ReplicaSet.
const NAME_LENGTH_MAX: usize = 253;

impl Planner<'_> {
    /// Finds the ReplicaSet of the template and gives it and the Deployment its revision; makes
    /// it if `create` and there is none.
    pub(super) fn sync_revision(&mut self, create: bool) {
        let keys = *self.view.keys;
        let revisions =
            self.old_sets().filter_map(|set| annotated_revision(&set.meta.annotations, keys.revision));
        let next_revision = revisions.fold(0, i64::max) + 1;
        match self.new_set().cloned() {
            Some(set) => self.sync_existing(&set, next_revision),
            None if create => self.create_set(next_revision),
            None => {}
        }
    }

    fn sync_existing(&mut self, set: &Arc<ReplicaSet>, next_revision: i64) {
        let keys = *self.view.keys;
        let annotations = new_set_annotations(&self.deployment.meta.annotations, set, next_revision, &keys);
        let min_ready_seconds = self.deployment.min_ready_seconds;
        if annotations.is_some() || set.min_ready_seconds != min_ready_seconds {
            let mut next = ReplicaSet::clone(set);
            next.meta.annotations = annotations.unwrap_or_else(|| set.meta.annotations.clone());
            next.min_ready_seconds = min_ready_seconds;
            self.steps.push(Step::WriteSet(Arc::new(next)));
            return;
        }
        let revision = set.meta.annotations.get(keys.revision).unwrap_or_default();
        let mut stale = self.set_revision(revision);
        let progressing = condition(&self.deployment.status.conditions, PROGRESSING);
        if has_deadline(&self.deployment) && progressing.is_none() {
            let message = format!("Found new replica set \"{}\"", set.meta.name);
            self.set_progressing(ConditionStatus::True, "FoundNewReplicaSet", &message);
            stale = true;
        }
        if stale {
            self.write_status_now();
        }
    }

    fn create_set(&mut self, revision: i64) {
        let set = Arc::new(self.made_set(revision));
        let message = format!("Created new replica set \"{}\"", set.meta.name);
        self.steps.push(Step::CreateSet(set.clone()));
        self.new = Some(self.sets.len());
        self.sets.push(set);
        self.runs_pods.push(false);
        let mut stale = self.set_revision(Symbol::new(&revision.to_string()));
        if has_deadline(&self.deployment) {
            self.set_progressing(ConditionStatus::True, "NewReplicaSetCreated", &message);
            stale = true;
        }
        if stale {
            self.write_status_now();
        }
    }

    /// The ReplicaSet of the template, sized by what the others leave.
    fn made_set(&self, revision: i64) -> ReplicaSet {
        let (deployment, keys) = (&self.deployment, self.view.keys);
        let hash = template_hash(&deployment.template, deployment.status.collision_count);
        let labels = deployment.template.labels.with(keys.template_hash, Symbol::new(&hash));
        let base: String = deployment.meta.name.chars().take(NAME_LENGTH_MAX - 1 - hash.len()).collect();
        let meta = ObjectMeta {
            labels: labels.clone(),
            owners: Some(Arc::new(vec![controller_ref(Kind::Deployment, &deployment.meta)])),
            created: self.view.now,
            ..ObjectMeta::named(deployment.meta.namespace.as_str(), &format!("{base}-{hash}"))
        };
        let template = PodTemplate { labels, ..PodTemplate::clone(&deployment.template) };
        let mut set = ReplicaSet {
            meta,
            replicas: 0,
            min_ready_seconds: deployment.min_ready_seconds,
            selector: Arc::new(with_hash(&deployment.selector, keys.template_hash, Symbol::new(&hash))),
            template: Arc::new(template),
            status: ReplicaSetStatus::default(),
        };
        set.replicas = self.rolled_size(0);
        let copied = new_set_annotations(&deployment.meta.annotations, &set, revision, keys);
        let max = deployment.replicas.saturating_add(Limits::of(deployment).max_surge);
        let annotations = copied.unwrap_or_default();
        set.meta.annotations = size_annotations(&annotations, deployment.replicas, max, keys);
        set
    }

    /// Takes a revision over into the Deployment; returns whether it had another.
    fn set_revision(&mut self, revision: Symbol) -> bool {
        let key = self.view.keys.revision;
        if self.deployment.meta.annotations.get(key).unwrap_or_default() == revision {
            return false;
        }
        self.deployment.meta.annotations = self.deployment.meta.annotations.with(key, revision);
        true
    }

    pub(super) fn set_progressing(&mut self, status: ConditionStatus, reason: &'static str, message: &str) {
        let now = self.view.now;
        set_condition(&mut self.deployment.status.conditions, PROGRESSING, status, reason, message, now);
    }

    pub(super) fn write_status_now(&mut self) {
        self.steps.push(Step::WriteStatus(Arc::new(self.deployment.clone())));
    }

    /// The revision that an old client asks to go back to; 0 means the last one.
    pub(super) fn rollback_target(&self) -> Option<i64> {
        self.view.deployment.meta.annotations.get(self.view.keys.rollback_to)?.as_str().parse().ok()
    }

    /// Goes back to the template of a revision, and in any case forgets the request.
    pub(super) fn roll_back(&mut self, asked: i64) {
        let keys = *self.view.keys;
        let revision_of = |set: &ReplicaSet| annotated_revision(&set.meta.annotations, keys.revision);
        let revision = if asked == 0 { self.last_revision() } else { asked };
        if revision == 0 {
            return self.give_up_rollback("Unable to find last revision.");
        }
        let old = self.old_sets().chain(self.new_set());
        let Some(target) = old.into_iter().find(|set| revision_of(set) == Some(revision)).cloned() else {
            return self.give_up_rollback("Unable to find the revision to rollback to.");
        };
        let mut next = self.deployment.clone();
        let same = Some(&target.meta.name) == self.new_set().map(|set| &set.meta.name);
        if same {
            let message = format!(
                "The rollback revision contains the same template as current deployment \"{}\"",
                next.meta.name
            );
            self.steps.push(Step::Warn { reason: "DeploymentRollbackTemplateUnchanged", message });
        } else {
            let labels = target.template.labels.without(keys.template_hash);
            next.template = Arc::new(PodTemplate { labels, ..PodTemplate::clone(&target.template) });
            let own = next.meta.annotations.iter().filter(|pair| keys.is_private(pair.0));
            let theirs = target.meta.annotations.iter().filter(|pair| !keys.is_private(pair.0));
            next.meta.annotations = Labels::new(own.chain(theirs).copied().collect());
        }
        self.clear_rollback(next, (!same).then_some(revision));
    }

    fn give_up_rollback(&mut self, message: &str) {
        let reason = "DeploymentRollbackRevisionNotFound";
        self.steps.push(Step::Warn { reason, message: message.into() });
        self.clear_rollback(self.deployment.clone(), None);
    }

    fn clear_rollback(&mut self, mut next: Deployment, rolled_back_to: Option<i64>) {
        next.meta.annotations = next.meta.annotations.without(self.view.keys.rollback_to);
        self.steps.push(Step::WriteDeployment { deployment: Arc::new(next), rolled_back_to });
    }

    /// The second-highest revision, 0 if there is none.
    fn last_revision(&self) -> i64 {
        let (mut highest, mut second) = (0, 0);
        for set in self.old_sets().chain(self.new_set()) {
            let Some(revision) = annotated_revision(&set.meta.annotations, self.view.keys.revision) else {
                continue;
            };
            if revision >= highest {
                (highest, second) = (revision, highest);
            } else if revision > second {
                second = revision;
            }
        }
        second
    }
}

impl Keys {
    /// Whether an annotation is not copied between Deployment and ReplicaSet.
    fn is_private(&self, key: Symbol) -> bool {
        [
            self.last_applied,
            self.revision,
            self.revision_history,
            self.desired_replicas,
            self.max_replicas,
            self.rollback_to,
        ]
        .contains(&key)
    }
}

/// The annotations of the new ReplicaSet, if they must change: the Deployment's are copied, the
/// revision is raised, a revision that it had before goes into its history.
fn new_set_annotations(theirs: &Labels, set: &ReplicaSet, next: i64, keys: &Keys) -> Option<Labels> {
    let own = &set.meta.annotations;
    let copied = |pair: &&(Symbol, Symbol)| !keys.is_private(pair.0) && own.get(pair.0) != Some(pair.1);
    let mut changes: Vec<(Symbol, Symbol)> = theirs.iter().filter(copied).copied().collect();
    let had = own.get(keys.revision);
    // A revision that is no number is left alone, and everything else with it.
    if annotated_revision(own, keys.revision)? < next {
        changes.push((keys.revision, Symbol::new(&next.to_string())));
        let history = own.get(keys.revision_history).unwrap_or_default();
        if let Some(history) = had.and_then(|had| extended_history(history.as_str(), had.as_str())) {
            changes.push((keys.revision_history, Symbol::new(&history)));
        }
    }
    if changes.is_empty() {
        return None;
    }
    Some(Labels::new(own.iter().copied().chain(changes).collect()))
}

/// A revision history with one more entry, the oldest ones dropped if it becomes too long.
fn extended_history(history: &str, revision: &str) -> Option<String> {
    if history.is_empty() {
        return Some(revision.into());
    }
    let mut rest = history;
    while !rest.is_empty() && rest.len() + 1 + revision.len() > HISTORY_LENGTH_MAX {
        rest = rest.split_once(',').map_or("", |(_, rest)| rest);
    }
    let kept = if rest.is_empty() { revision.to_string() } else { format!("{rest},{revision}") };
    (kept.len() <= HISTORY_LENGTH_MAX).then_some(kept)
}

/// Annotations that note for which sizes a ReplicaSet was sized.
pub(super) fn size_annotations(annotations: &Labels, desired: i32, max: i32, keys: &Keys) -> Labels {
    annotations
        .with(keys.desired_replicas, Symbol::new(&desired.to_string()))
        .with(keys.max_replicas, Symbol::new(&max.to_string()))
}

/// A selector that also demands the hash.
fn with_hash(selector: &Selector, key: Symbol, hash: Symbol) -> Selector {
    let demand = Requirement { key, operator: Operator::In(Box::new([hash])) };
    let others = selector.requirements.iter().filter(|requirement| requirement.key != key);
    Selector { requirements: others.cloned().chain([demand]).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_drops_its_oldest_entries_when_it_is_full() {
        assert_eq!(extended_history("", "3").as_deref(), Some("3"));
        assert_eq!(extended_history("1,2", "3").as_deref(), Some("1,2,3"));
        let full = vec!["12345"; 333].join(",");
        let next = extended_history(&full, "99999").unwrap_or_default();
        assert!(next.len() <= HISTORY_LENGTH_MAX && next.ends_with("12345,99999"));
        assert_eq!(next.split(',').count(), 333);
    }
}
