//! The Deployment controller (upstream `pkg/controller/deployment`): moves pods from ReplicaSet to
//! ReplicaSet as the template changes, and keeps the history of templates.
//!
//! What a sync does is planned by [`plan`] from the cached objects; here the plan's steps are sent
//! one after another, and refusals are dealt with.

mod plan;
mod revision;
mod rollout;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::vec::IntoIter;

use rustc_hash::FxHashMap;
use seatrial_api::machine::Severity;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::request::{ApiError, Change, ErrorReason, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::workload::{Deployment, DeploymentStrategy, ReplicaSet};

use self::plan::{Check, Keys, Scale, Step, View};
use crate::Config;
use crate::framework::{
    Caches, Claims, Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner, SelectorIndex,
    may_adopt, read_fresh, same_template,
};

/// Workers of the controller.
const WORKERS: usize = 5;
/// After so many failures in a row a Deployment is left alone until its next event.
const RETRIES_MAX: u32 = 15;

/// Rolls out the templates of Deployments.
#[derive(Clone, Debug)]
pub(crate) struct DeploymentController {
    keys: Keys,
    kind: Symbol,
    set_kind: Symbol,
    selectors: SelectorIndex,
    /// ReplicaSets without controller, by namespace.
    orphans: FxHashMap<Symbol, BTreeSet<u32>>,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The Deployment was read past the cache, because ReplicaSets are to be adopted.
    Recheck,
    Claim,
    Steps,
    /// The status says why the new ReplicaSet could not be created; then the sync fails.
    Report,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    deployment: Option<Arc<Deployment>>,
    sets: Vec<Arc<ReplicaSet>>,
    /// ReplicaSets to be adopted and to be released.
    claims: Claims<ReplicaSet>,
    steps: IntoIter<Step>,
    /// The step whose answer is awaited.
    current: Option<Step>,
    /// ReplicaSets as this sync has written them.
    written: Vec<Arc<ReplicaSet>>,
    /// Whether a step that may fail has failed, so that the others of its kind are skipped.
    skipping: bool,
}

impl DeploymentController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<DeploymentController> {
        let controller = DeploymentController {
            keys: Keys::new(),
            kind: Symbol::new(Deployment::KIND.as_str()),
            set_kind: Symbol::new(ReplicaSet::KIND.as_str()),
            selectors: SelectorIndex::default(),
            orphans: FxHashMap::default(),
        };
        let retry = RetryPolicy { retries_max: Some(RETRIES_MAX), ..RetryPolicy::standard() };
        Runner::new(id, controller, retry, Client::new(config.client_limits), WORKERS)
    }

    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(deployment) = cx.caches.deployments.get(key) else { return Next::Done };
        if deployment.selector.is_empty() {
            cx.event(
                ObjectRef { kind: Kind::Deployment, id: key },
                Severity::Warning,
                "SelectingAll",
                || "This deployment is selecting all pods. A non-empty selector is required.",
            );
            return Next::Done;
        }
        sync.deployment = Some(deployment.clone());
        let matches = |set: &&Arc<ReplicaSet>| deployment.selector.matches(&set.meta.labels);
        let owned = cx.caches.replica_sets.controlled_by(deployment.meta.uid);
        let (kept, strangers): (Vec<_>, Vec<_>) = owned.cloned().partition(|set| matches(&set));
        sync.sets = kept;
        if deployment.meta.is_deleting() {
            return self.plan(cx, sync);
        }
        let orphans = self.orphans.get(&deployment.meta.namespace).into_iter().flatten();
        let orphans = orphans.filter_map(|&row| cx.caches.replica_sets.get(row));
        let adopt = orphans.filter(matches).filter(|set| !set.meta.is_deleting()).cloned().collect();
        sync.claims = Claims { adopt, release: strangers };
        if !sync.claims.adopt.is_empty() {
            sync.stage = Stage::Recheck;
            return Next::send(read_fresh(&**deployment));
        }
        if sync.claims.is_empty() { self.plan(cx, sync) } else { self.claim(sync) }
    }

    fn claim(&mut self, sync: &mut Sync) -> Next {
        let Some(deployment) = &sync.deployment else { return Next::Done };
        sync.stage = Stage::Claim;
        Next::Send(sync.claims.batch(&**deployment, None))
    }

    fn claimed(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(adopted) = sync.claims.adopted(replies) else { return Next::Retry };
        sync.sets.extend(adopted);
        self.plan(cx, sync)
    }

    fn plan(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(deployment) = &sync.deployment else { return Next::Done };
        let runs = |set: &Arc<ReplicaSet>| {
            cx.caches.pods.controlled_by(set.meta.uid).any(|pod| !pod.status.phase.is_terminal())
        };
        let recreated = deployment.strategy == DeploymentStrategy::Recreate;
        let runs_pods: Vec<bool> = if recreated { sync.sets.iter().map(runs).collect() } else { Vec::new() };
        let view = View {
            deployment,
            sets: &sync.sets,
            runs_pods: &runs_pods,
            keys: &self.keys,
            now: cx.now,
            version: cx.config.version,
        };
        sync.steps = plan::plan(view).into_iter();
        sync.stage = Stage::Steps;
        self.next_step(cx, sync)
    }

    /// Sends the next step, or ends the sync.
    fn next_step(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(deployment) = sync.deployment.clone() else { return Next::Done };
        let target = deployment.meta.object_ref(Kind::Deployment);
        for step in sync.steps.by_ref() {
            let request = match &step {
                Step::Warn { reason, message } => {
                    cx.event(target, Severity::Warning, reason, || message.clone());
                    continue;
                }
                Step::CheckProgress(check) => {
                    match *check {
                        Check::At(at) => cx.queue.add_at(at, target.id),
                        Check::Soon => cx.queue.retry(cx.now, target.id),
                        Check::Idly => cx.queue.idle(cx.now, target.id),
                    }
                    continue;
                }
                Step::Scale(scale) if sync.skipping && !scale.must_succeed => continue,
                Step::Scale(scale) => writing(Arc::new(self.scaled(scale, &sync.written))),
                Step::WriteSet(set) => writing(set.clone()),
                Step::CreateSet(set) => Request::Create(Object::ReplicaSet(set.clone())),
                Step::WriteStatus(deployment) => Request::Update {
                    object: Object::Deployment(deployment.clone()),
                    subresource: Subresource::Status,
                },
                Step::WriteDeployment { deployment, .. } => Request::Update {
                    object: Object::Deployment(deployment.clone()),
                    subresource: Subresource::Main,
                },
                Step::DeleteSet(id) => Request::delete(ObjectRef { kind: Kind::ReplicaSet, id: *id }),
            };
            sync.current = Some(step);
            return Next::send(request);
        }
        Next::Done
    }

    /// A ReplicaSet with its new size, from the newest version that this sync knows.
    fn scaled(&self, scale: &Scale, written: &[Arc<ReplicaSet>]) -> ReplicaSet {
        let newest = written.iter().rev().find(|set| set.meta.id == scale.set.meta.id);
        let mut set = ReplicaSet::clone(newest.unwrap_or(&scale.set));
        set.replicas = scale.to;
        set.meta.annotations =
            revision::size_annotations(&set.meta.annotations, scale.desired, scale.max, &self.keys);
        set
    }

    /// Takes the answer to a step.
    fn stepped(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let (Some(step), Some(Some(reply)), Some(deployment)) =
            (sync.current.take(), replies.first(), sync.deployment.clone())
        else {
            return Next::Done;
        };
        let target = deployment.meta.object_ref(Kind::Deployment);
        match (step, reply) {
            (Step::Scale(scale), Ok(Object::ReplicaSet(set))) => {
                if scale.from != scale.to {
                    tell_scaled(cx, target, &set.meta.name, scale.from, scale.to);
                }
                sync.written.push(set.clone());
            }
            (Step::Scale(scale), Err(_)) if !scale.must_succeed => sync.skipping = true,
            (Step::WriteSet(_), Ok(Object::ReplicaSet(set))) => sync.written.push(set.clone()),
            (Step::CreateSet(set), Ok(_)) => {
                if set.replicas > 0 {
                    tell_scaled(cx, target, &set.meta.name, 0, set.replicas);
                }
            }
            (Step::CreateSet(set), Err(error)) => return self.creation_refused(cx, sync, &set, error),
            (Step::WriteDeployment { rolled_back_to: Some(revision), .. }, Ok(_)) => {
                cx.event(target, Severity::Normal, "DeploymentRollback", || {
                    format!("Rolled back deployment \"{}\" to revision {revision}", deployment.meta.name)
                });
            }
            (Step::DeleteSet(_), Err(error)) if error.reason == ErrorReason::NotFound => {}
            (_, Err(error)) if error.namespace_terminating => return Next::Done,
            (_, Err(_)) => return Next::Retry,
            (_, Ok(_)) => {}
        }
        self.next_step(cx, sync)
    }

    /// The new ReplicaSet could not be created: because the cache was late, because another one
    /// has its name, or for a reason that the status must tell.
    fn creation_refused(
        &mut self,
        cx: &mut Context<'_>,
        sync: &mut Sync,
        set: &ReplicaSet,
        error: &ApiError,
    ) -> Next {
        let Some(read) = sync.deployment.clone() else { return Next::Done };
        if error.namespace_terminating {
            return Next::Done;
        }
        let mut deployment = Deployment::clone(&read);
        if error.reason == ErrorReason::AlreadyExists {
            let Some(existing) = cx.caches.replica_sets.named(set.meta.namespace, &set.meta.name) else {
                return Next::Retry;
            };
            let owned = existing.meta.controller().is_some_and(|owner| owner.uid == read.meta.uid);
            if owned && same_template(&existing.template, &read.template, self.keys.template_hash) {
                *sync = Sync::default();
                return self.start(cx, read.meta.id, sync);
            }
            let collisions = deployment.status.collision_count.unwrap_or(0);
            deployment.status.collision_count = Some(collisions.saturating_add(1));
        } else {
            let message = format!("Failed to create new replica set \"{}\": {error}", set.meta.name);
            let target = read.meta.object_ref(Kind::Deployment);
            cx.event(target, Severity::Warning, "ReplicaSetCreateError", || message.clone());
            if !status::has_deadline(&deployment) {
                return Next::Retry;
            }
            status::set_condition(
                &mut deployment.status.conditions,
                status::PROGRESSING,
                ConditionStatus::False,
                "ReplicaSetCreateError",
                &message,
                cx.now,
            );
        }
        sync.stage = Stage::Report;
        Next::send(Request::Update {
            object: Object::Deployment(Arc::new(deployment)),
            subresource: Subresource::Status,
        })
    }

    fn observe_deployment(&mut self, cx: &mut Context<'_>, event: &Event<'_>, deployment: &Deployment) {
        let row = deployment.meta.id;
        if event.change == Change::Deleted {
            self.selectors.remove(row);
        } else if event.old.is_none() && !deployment.selector.is_empty() {
            self.selectors.put(row, deployment.meta.namespace, &deployment.selector);
        }
        cx.queue.add(row);
    }

    fn observe_set(&mut self, cx: &mut Context<'_>, event: &Event<'_>, set: &ReplicaSet) {
        let old = event.old.and_then(ReplicaSet::of);
        let owner = self.manager(cx, set);
        let before =
            old.filter(|old| old.meta.owners != set.meta.owners).and_then(|old| self.manager(cx, old));
        if let Some(before) = before.filter(|&before| Some(before) != owner) {
            cx.queue.add(before);
        }
        let orphaned = set.meta.controller().is_none();
        if orphaned && event.change != Change::Deleted {
            self.orphans.entry(set.meta.namespace).or_default().insert(set.meta.id);
        } else if let Some(orphans) = self.orphans.get_mut(&set.meta.namespace) {
            orphans.remove(&set.meta.id);
        }
        if let Some(owner) = owner {
            cx.queue.add(owner);
        } else if orphaned && event.change != Change::Deleted && !set.meta.is_deleting() {
            let changed =
                |old: &Arc<ReplicaSet>| old.meta.labels != set.meta.labels || old.meta.controller().is_some();
            if old.is_none_or(changed) {
                self.wake_adopters(cx, set);
            }
        }
    }

    fn wake_adopters(&mut self, cx: &mut Context<'_>, set: &ReplicaSet) {
        let mut candidates = Vec::new();
        self.selectors.candidates(set.meta.namespace, &set.meta.labels, &mut candidates);
        for row in candidates {
            let deployment = cx.caches.deployments.get(row);
            if deployment.is_some_and(|deployment| deployment.selector.matches(&set.meta.labels)) {
                cx.queue.add(row);
            }
        }
    }

    /// The row of the Deployment that manages a ReplicaSet.
    fn manager(&self, cx: &Context<'_>, set: &ReplicaSet) -> Option<u32> {
        let owner = set.meta.controller().filter(|owner| owner.kind == self.kind)?;
        cx.caches.deployments.identified(owner.uid).map(|deployment| deployment.meta.id)
    }

    /// A Deployment that recreates its pods goes on when the last one is gone.
    fn observe_pod_gone(&mut self, cx: &mut Context<'_>, pod: &Pod) {
        let Some(owner) = pod.meta.controller().filter(|owner| owner.kind == self.set_kind) else { return };
        let set = cx.caches.replica_sets.identified(owner.uid);
        let Some(row) = set.and_then(|set| self.manager(cx, set)) else { return };
        let Some(deployment) = cx.caches.deployments.get(row) else { return };
        if deployment.strategy != DeploymentStrategy::Recreate {
            return;
        }
        let mut sets = cx.caches.replica_sets.controlled_by(deployment.meta.uid);
        if sets.all(|set| cx.caches.pods.rows_controlled_by(set.meta.uid).is_empty()) {
            cx.queue.add(row);
        }
    }
}

fn writing(set: Arc<ReplicaSet>) -> Request {
    Request::Update { object: Object::ReplicaSet(set), subresource: Subresource::Main }
}

fn tell_scaled(cx: &mut Context<'_>, target: ObjectRef, name: &str, from: i32, to: i32) {
    let direction = if from < to { "up" } else { "down" };
    cx.event(target, Severity::Normal, "ScalingReplicaSet", || {
        format!("Scaled {direction} replica set {name} from {from} to {to}")
    });
}

impl Controller for DeploymentController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind != Kind::Pod || !caches.deployments.is_empty()
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Deployment(deployment) => self.observe_deployment(cx, event, deployment),
            Object::ReplicaSet(set) => self.observe_set(cx, event, set),
            Object::Pod(pod) if event.change == Change::Deleted => self.observe_pod_gone(cx, pod),
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Recheck => match &sync.deployment {
                Some(deployment) if may_adopt(&**deployment, replies.first()) => self.claim(sync),
                _ => Next::Retry,
            },
            Stage::Claim => self.claimed(cx, sync, replies),
            Stage::Steps => self.stepped(cx, sync, replies),
            Stage::Report => Next::Retry,
        }
    }
}
