//! What one sync of a Deployment does, as a list of steps: a pure function of the Deployment, its
//! ReplicaSets and the time.
//!
//! The order is upstream's (`deployment_controller.go`, `sync.go`), including what looks odd: a
//! status written in the middle of a sync leaves the object stale, so that the status write at its
//! end conflicts and the sync is repeated.

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{Deployment, DeploymentStrategy, ReplicaSet};

use crate::framework::{POD_TEMPLATE_HASH, same_template};

/// Keys of the annotations and labels that the controller reads and writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) revision: Symbol,
    pub(super) revision_history: Symbol,
    pub(super) desired_replicas: Symbol,
    pub(super) max_replicas: Symbol,
    pub(super) rollback_to: Symbol,
    pub(super) last_applied: Symbol,
    pub(super) template_hash: Symbol,
}

impl Keys {
    pub(super) fn new() -> Keys {
        Keys {
            revision: "deployment.kubernetes.io/revision".into(),
            revision_history: "deployment.kubernetes.io/revision-history".into(),
            desired_replicas: "deployment.kubernetes.io/desired-replicas".into(),
            max_replicas: "deployment.kubernetes.io/max-replicas".into(),
            rollback_to: "deprecated.deployment.rollback.to".into(),
            last_applied: "kubectl.kubernetes.io/last-applied-configuration".into(),
            template_hash: POD_TEMPLATE_HASH.into(),
        }
    }
}

/// What a sync looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) deployment: &'a Deployment,
    /// Its ReplicaSets.
    pub(super) sets: &'a [Arc<ReplicaSet>],
    /// Whether the ReplicaSet in the same place has pods that have not ended; asked for by
    /// Recreate alone.
    pub(super) runs_pods: &'a [bool],
    pub(super) keys: &'a Keys,
    pub(super) now: SimTime,
    pub(super) version: KubernetesVersion,
}

/// What one step of a sync does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Writes the Deployment's status and annotations over the version that was read.
    WriteStatus(Arc<Deployment>),
    /// Writes the Deployment's specification over the version that was read.
    WriteDeployment {
        deployment: Arc<Deployment>,
        /// What is told when it worked.
        rolled_back_to: Option<i64>,
    },
    /// Creates the ReplicaSet of the template.
    CreateSet(Arc<ReplicaSet>),
    /// Writes annotations and `minReadySeconds` of a ReplicaSet over the version that was read.
    WriteSet(Arc<ReplicaSet>),
    /// Resizes a ReplicaSet and writes its annotations, over the newest version of this sync.
    Scale(Scale),
    /// Deletes a ReplicaSet of the history.
    DeleteSet(u32),
    /// Tells why a rollback is given up.
    Warn { reason: &'static str, message: String },
    /// Looks again whether there is progress.
    CheckProgress(Check),
}

/// When progress is looked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// At an instant.
    At(SimTime),
    /// After a back-off, for the deadline is near.
    Soon,
    /// After a back-off again and again, and with the same outcome until something happens.
    Idly,
}

/// A change of a ReplicaSet's size.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// The ReplicaSet as it was read.
    pub(super) set: Arc<ReplicaSet>,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) desired: i32,
    pub(super) max: i32,
    /// Whether a failure ends the sync; else it skips the other steps that tolerate failures.
    pub(super) must_succeed: bool,
}

/// A plan in the making.
pub(super) struct Planner<'a> {
    pub(super) view: View<'a>,
    /// The Deployment with what this sync has written into it.
    pub(super) deployment: Deployment,
    /// All ReplicaSets, oldest first, as they were read; one that this sync creates comes last.
    pub(super) sets: Vec<Arc<ReplicaSet>>,
    /// Whether each of them has pods that have not ended.
    pub(super) runs_pods: Vec<bool>,
    /// The place of the one whose template is the Deployment's.
    pub(super) new: Option<usize>,
    pub(super) steps: Vec<Step>,
}

/// The steps of a sync.
pub(super) fn plan(view: View<'_>) -> Vec<Step> {
    let mut planner = Planner::new(view);
    planner.sync();
    planner.steps
}

impl<'a> Planner<'a> {
    fn new(view: View<'a>) -> Planner<'a> {
        let mut order: Vec<usize> = (0..view.sets.len()).collect();
        order.sort_by(|&a, &b| by_creation(&view.sets[a], &view.sets[b]));
        let sets: Vec<Arc<ReplicaSet>> = order.iter().map(|&index| view.sets[index].clone()).collect();
        let runs_pods = order.iter().map(|&index| view.runs_pods.get(index) == Some(&true)).collect();
        let template = &view.deployment.template;
        let new = sets.iter().position(|set| same_template(&set.template, template, view.keys.template_hash));
        Planner { view, deployment: view.deployment.clone(), sets, runs_pods, new, steps: Vec::new() }
    }

    fn sync(&mut self) {
        let spec = self.view.deployment;
        if spec.meta.is_deleting() {
            self.sync_revision(false);
            return self.write_scaled_status();
        }
        self.judge_pause();
        if spec.paused {
            return self.scale_only();
        }
        if let Some(revision) = self.rollback_target() {
            self.sync_revision(true);
            return self.roll_back(revision);
        }
        self.sync_revision(false);
        if self.is_resized() {
            return self.scale_only();
        }
        match spec.strategy {
            DeploymentStrategy::RollingUpdate { .. } => self.roll(),
            DeploymentStrategy::Recreate => self.recreate(),
        }
    }

    /// Resizes without rolling anything out: while paused, or because the wanted size changed.
    fn scale_only(&mut self) {
        self.sync_revision(false);
        self.scale();
        if self.view.deployment.paused && self.rollback_target().is_none() {
            self.clean_up();
        }
        self.write_scaled_status();
    }

    /// Whether some ReplicaSet with pods was sized for another wanted size.
    fn is_resized(&self) -> bool {
        let desired = self.view.deployment.replicas;
        self.sets.iter().filter(|set| set.replicas > 0).any(|set| {
            let noted = annotated_count(&set.meta.annotations, self.view.keys.desired_replicas);
            noted.is_some_and(|noted| noted != desired)
        })
    }

    /// Deletes what the history has too many of: the lowest revisions without pods.
    pub(super) fn clean_up(&mut self) {
        let limit = self.view.deployment.revision_history_limit;
        if limit == i32::MAX {
            return;
        }
        let old = self.old_sets().filter(|set| !set.meta.is_deleting());
        let mut old: Vec<&Arc<ReplicaSet>> = old.collect();
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        let revision = |set: &ReplicaSet| annotated_revision(&set.meta.annotations, self.view.keys.revision);
        old.sort_by(|a, b| match (revision(a), revision(b)) {
            (Some(x), Some(y)) if x != y => x.cmp(&y),
            _ => by_creation(a, b),
        });
        let removable = |set: &&Arc<ReplicaSet>| {
            set.status.replicas == 0
                && set.replicas == 0
                && set.meta.generation <= set.status.observed_generation
        };
        let doomed: Vec<u32> =
            old.into_iter().take(excess).filter(removable).map(|set| set.meta.id).collect();
        self.steps.extend(doomed.into_iter().map(Step::DeleteSet));
    }

    /// The ReplicaSets of other templates, oldest first.
    pub(super) fn old_sets(&self) -> impl DoubleEndedIterator<Item = &Arc<ReplicaSet>> {
        self.sets.iter().enumerate().filter(|&(index, _)| Some(index) != self.new).map(|(_, set)| set)
    }

    /// The ReplicaSet of the Deployment's template.
    pub(super) fn new_set(&self) -> Option<&Arc<ReplicaSet>> {
        self.sets.get(self.new?)
    }

    /// Resizes a ReplicaSet that now has the size `from`.
    pub(super) fn scale_set(&mut self, set: Arc<ReplicaSet>, from: i32, to: i32, must_succeed: bool) {
        let limits = Limits::of(self.view.deployment);
        let desired = self.view.deployment.replicas;
        let max = desired.saturating_add(limits.max_surge);
        self.steps.push(Step::Scale(Scale { set, from, to, desired, max, must_succeed }));
    }
}

/// `maxSurge` and `maxUnavailable` as numbers of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) max_surge: i32,
    pub(super) max_unavailable: i32,
}

impl Limits {
    /// The limits of a Deployment; both are 0 for Recreate.
    pub(super) fn of(deployment: &Deployment) -> Limits {
        let DeploymentStrategy::RollingUpdate { max_surge, max_unavailable } = deployment.strategy else {
            return Limits { max_surge: 0, max_unavailable: 0 };
        };
        let desired = deployment.replicas;
        let surge = max_surge.ceil_of(desired);
        let unavailable = max_unavailable.floor_of(desired);
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Limits { max_surge: surge, max_unavailable: unavailable.min(desired) }
    }
}

/// Creation to the second, then name.
pub(super) fn by_creation(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    let created = |set: &ReplicaSet| set.meta.created.truncate_to_second();
    created(a).cmp(&created(b)).then_with(|| a.meta.name.cmp(&b.meta.name))
}

/// A size that an annotation holds.
pub(super) fn annotated_count(annotations: &Labels, key: Symbol) -> Option<i32> {
    let text = annotations.get(key)?.as_str();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A revision that an annotation holds: 0 if there is none, `None` if it is no number.
pub(super) fn annotated_revision(annotations: &Labels, key: Symbol) -> Option<i64> {
    annotations.get(key).map_or(Some(0), |text| text.as_str().parse().ok())
}
