//! The StatefulSet controller (upstream `pkg/controller/statefulset`): pods with names, one after
//! another or all at once, each with its claims.
//!
//! What a sync does is planned by [`plan`]; here come before it the claims on pods and revisions
//! and the revision of the template, and after it the status and the length of the history.
//!
//! Model: a pod whose volumes do not fit the set's claims (one that was adopted) is left as it is,
//! because the API server would refuse the change.

mod members;
mod plan;

use std::sync::Arc;
use std::vec::IntoIter;

use rustc_hash::FxHashMap;
use seatrial_api::machine::Severity;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::Pod;
use seatrial_api::request::{ApiError, Change, ErrorReason, Patch, Reply, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{ControllerRevision, StatefulSet, StatefulSetStatus};

use self::plan::{Phase, Step, View};
use crate::Config;
use crate::framework::{
    Adoptables, Caches, Claims, Client, Context, Controller, Event, Mode, Next, OrphanRevisions, OwnWrites,
    REVISION_HASH_LABEL, Replies, RetryPolicy, Revised, Runner, find_revision, is_not_deleting,
    made_revision, may_adopt, min_ready, next_availability, next_number, read_fresh, sort_revisions,
    template_hash,
};

/// Workers of the controller.
const WORKERS: usize = 5;
/// The largest group of a parallel set's requests.
const GROUP_MAX: usize = 500;
/// How often a status is written when it conflicts.
const STATUS_ATTEMPTS: u32 = 5;

/// Keeps the pods of StatefulSets.
#[derive(Clone, Debug)]
pub(crate) struct StatefulSetController {
    kind: Symbol,
    adoptables: Adoptables,
    orphan_revisions: OrphanRevisions,
    writes: FxHashMap<u32, OwnWrites>,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The set was read past the cache, because something is to be adopted.
    Recheck,
    ClaimRevisions,
    ClaimPods,
    /// The revision of the template is created or renumbered.
    Revise,
    /// A revision of the same name was read.
    Compare,
    Phase,
    Status,
    Truncate,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    set: Option<Arc<StatefulSet>>,
    pods: Vec<Arc<Pod>>,
    pod_claims: Claims<Pod>,
    revision_claims: Claims<ControllerRevision>,
    /// In order of their numbers.
    revisions: Vec<Arc<ControllerRevision>>,
    update: Option<Arc<ControllerRevision>>,
    current: Option<Arc<ControllerRevision>>,
    collisions: i32,
    phases: IntoIter<Phase>,
    /// The steps whose answers are awaited.
    steps: Vec<Step>,
    status: StatefulSetStatus,
    attempts: u32,
    /// Whether something failed, so that the sync is repeated.
    failed: bool,
}

impl StatefulSetController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<StatefulSetController> {
        let controller = StatefulSetController {
            kind: Symbol::new(StatefulSet::KIND.as_str()),
            adoptables: Adoptables::default(),
            orphan_revisions: OrphanRevisions::default(),
            writes: FxHashMap::default(),
        };
        Runner::new(id, controller, RetryPolicy::standard(), Client::new(config.client_limits), WORKERS)
    }

    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(set) = cx.caches.stateful_sets.get(key) else {
            self.writes.remove(&key);
            return Next::Done;
        };
        let writes = self.writes.entry(key).or_default();
        if cx.config.version >= KubernetesVersion::V1_36 && !writes.are_seen(cx.caches) {
            return Next::Retry;
        }
        sync.set = Some(set.clone());
        sync.revisions = cx.caches.revisions.controlled_by(set.meta.uid).cloned().collect();
        let adopt = self.orphan_revisions.matching(cx.caches, set.meta.namespace, &set.selector);
        sync.revision_claims = Claims { adopt, release: Vec::new() };
        let is_member = |pod: &&Arc<Pod>| {
            members::ordinal_of(&set.meta.name, &pod.meta.name).is_some()
                && set.selector.matches(&pod.meta.labels)
        };
        let owned = cx.caches.pods.controlled_by(set.meta.uid).cloned();
        let (pods, strangers): (Vec<_>, Vec<_>) = owned.partition(|pod| is_member(&pod));
        sync.pods = pods;
        if set.meta.is_deleting() {
            return self.revise(cx, sync);
        }
        let orphans = self.adoptables.of(key).filter_map(|row| cx.caches.pods.get(row));
        let adopt = orphans.filter(is_member).cloned().collect();
        sync.pod_claims = Claims { adopt, release: strangers };
        if sync.pod_claims.adopt.is_empty() && sync.revision_claims.adopt.is_empty() {
            return self.claim_pods(cx, sync);
        }
        sync.stage = Stage::Recheck;
        Next::send(read_fresh(&**set))
    }

    fn claim_revisions(&mut self, sync: &mut Sync) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        sync.stage = Stage::ClaimRevisions;
        Next::Send(sync.revision_claims.batch(&**set, None))
    }

    fn claim_pods(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        if sync.pod_claims.is_empty() {
            return self.revise(cx, sync);
        }
        sync.stage = Stage::ClaimPods;
        Next::Send(sync.pod_claims.batch(&**set, None))
    }

    /// Finds, renumbers or makes the revision of the template.
    fn revise(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        sort_revisions(&mut sync.revisions);
        sync.collisions = set.status.collision_count.unwrap_or(0);
        sync.stage = Stage::Revise;
        match find_revision(&sync.revisions, &set.template) {
            Revised::Newest(revision) => self.revised(cx, sync, revision),
            Revised::Older(revision) => {
                let number = next_number(&sync.revisions);
                let next = ControllerRevision { revision: number, ..ControllerRevision::clone(&revision) };
                let object = Object::ControllerRevision(Arc::new(next));
                Next::send(Request::Update { object, subresource: Subresource::Main })
            }
            Revised::Missing => self.create_revision(&set, sync),
        }
    }

    fn create_revision(&mut self, set: &StatefulSet, sync: &mut Sync) -> Next {
        let hash = template_hash(&set.template, Some(sync.collisions));
        let label = REVISION_HASH_LABEL.into();
        let number = next_number(&sync.revisions);
        let made = Arc::new(made_revision(set, &set.template, number, &hash, label));
        sync.update = Some(made.clone());
        sync.stage = Stage::Revise;
        Next::send(Request::Create(Object::ControllerRevision(made)))
    }

    fn revision_answered(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        match replies.first() {
            Some(Some(Ok(Object::ControllerRevision(revision)))) => self.revised(cx, sync, revision.clone()),
            Some(Some(Err(error))) if error.reason == ErrorReason::AlreadyExists => {
                let Some(made) = &sync.update else { return Next::Retry };
                sync.stage = Stage::Compare;
                Next::send(read_fresh(&**made))
            }
            _ => self.truncate(sync, false),
        }
    }

    /// A revision has the name already: it is the one, or the hash must be another.
    fn compared(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let (Some(Some(Ok(Object::ControllerRevision(existing)))), Some(set)) =
            (replies.first(), sync.set.clone())
        else {
            return Next::Retry;
        };
        if *existing.template == *set.template {
            return self.revised(cx, sync, existing.clone());
        }
        sync.collisions = sync.collisions.saturating_add(1);
        self.create_revision(&set, sync)
    }

    /// Plans with the revision of the template.
    fn revised(&mut self, cx: &mut Context<'_>, sync: &mut Sync, update: Arc<ControllerRevision>) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        let named =
            |revision: &&Arc<ControllerRevision>| set.status.current_revision == revision.meta.name.as_str();
        let current = sync.revisions.iter().find(named).unwrap_or(&update).clone();
        let claims = &cx.caches.claims;
        let plan = plan::plan(&View {
            set: &set,
            current: &current,
            update: &update,
            collisions: sync.collisions,
            pods: &sync.pods,
            claim: &|name| claims.named(set.meta.namespace, name).cloned(),
            now: cx.now,
        });
        sync.status = plan.status;
        sync.phases = plan.phases.into_iter();
        (sync.current, sync.update) = (Some(current), Some(update));
        self.next_phase(cx, sync)
    }

    /// Sends the next phase, or goes on to the status.
    fn next_phase(&mut self, cx: &mut Context<'_>, sync: &mut Sync) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        let Some(phase) = sync.phases.next().filter(|_| !sync.failed) else {
            plan::complete_rolling_update(&set, &mut sync.status);
            return self.write_status(sync, &set);
        };
        sync.stage = Stage::Phase;
        let mode = if phase.in_groups { Mode::SlowStart { group_max: GROUP_MAX } } else { Mode::Sequential };
        let requests: Vec<Request> = phase.steps.iter().map_while(request).collect();
        sync.steps = phase.steps;
        if requests.is_empty() {
            return self.phase_answered(cx, sync, &[]);
        }
        Next::batch(mode, requests)
    }

    fn phase_answered(&mut self, cx: &mut Context<'_>, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        let refused = |reply: &Option<Reply>| match reply {
            Some(Ok(_)) => false,
            Some(Err(error)) => error.reason != ErrorReason::NotFound,
            None => true,
        };
        sync.failed = replies.iter().any(refused);
        if let Some(Step::Refuse { pod, reason }) = sync.steps.get(replies.len()).filter(|_| !sync.failed) {
            tell_pod(cx, set, "Create", pod, Err(reason));
            sync.failed = true;
        }
        self.next_phase(cx, sync)
    }

    fn write_status(&mut self, sync: &mut Sync, newest: &StatefulSet) -> Next {
        let (old, new) = (&newest.status, &sync.status);
        let differs = new.observed_generation > old.observed_generation
            || new.replicas != old.replicas
            || new.current_replicas != old.current_replicas
            || new.ready_replicas != old.ready_replicas
            || new.updated_replicas != old.updated_replicas
            || new.available_replicas != old.available_replicas
            || new.current_revision != old.current_revision
            || new.update_revision != old.update_revision;
        if !differs && sync.attempts == 0 {
            return self.truncate(sync, true);
        }
        sync.stage = Stage::Status;
        let next = StatefulSet { status: sync.status.clone(), ..StatefulSet::clone(newest) };
        let object = Object::StatefulSet(Arc::new(next));
        Next::send(Request::Update { object, subresource: Subresource::Status })
    }

    fn status_answered(
        &mut self,
        cx: &mut Context<'_>,
        key: u32,
        sync: &mut Sync,
        replies: &Replies,
    ) -> Next {
        sync.attempts += 1;
        match (replies.first(), cx.caches.stateful_sets.get(key)) {
            (Some(Some(Ok(_))), _) => {}
            (Some(Some(Err(error))), Some(newest))
                if error.reason == ErrorReason::Conflict && sync.attempts < STATUS_ATTEMPTS =>
            {
                return self.write_status(sync, &newest.clone());
            }
            _ => sync.failed = true,
        }
        self.truncate(sync, true)
    }

    /// Deletes the oldest revisions beyond the limit that no pod has.
    fn truncate(&mut self, sync: &mut Sync, revised: bool) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        sync.failed |= !revised;
        let kept = |revision: &Arc<ControllerRevision>| {
            let name = revision.meta.name.as_str();
            let is = |other: &Option<Arc<ControllerRevision>>| {
                other.as_ref().is_some_and(|other| other.meta.name == name)
            };
            is(&sync.current)
                || (revised && is(&sync.update))
                || sync.pods.iter().any(|pod| members::revision_of(pod) == name)
        };
        let history: Vec<u32> = sync
            .revisions
            .iter()
            .filter(|revision| !kept(revision))
            .map(|revision| revision.meta.id)
            .collect();
        let limit = usize::try_from(set.revision_history_limit).unwrap_or(usize::MAX);
        let excess = history.len().saturating_sub(limit);
        sync.stage = Stage::Truncate;
        let delete = |&id: &u32| Request::delete(ObjectRef { kind: Kind::ControllerRevision, id });
        Next::batch(Mode::Sequential, history[..excess].iter().map(delete).collect())
    }

    fn finish(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        if sync.failed || replies.iter().any(|reply| !matches!(reply, Some(Ok(_)))) {
            return Next::Retry;
        }
        if set.min_ready_seconds > 0 && sync.status.ready_replicas != sync.status.available_replicas {
            let span = min_ready(set.min_ready_seconds);
            let pods = sync.pods.iter().map(|pod| &**pod);
            cx.queue.add_at(next_availability(pods, span, cx.now).unwrap_or(cx.now + span), key);
        }
        Next::Done
    }

    /// The set that manages a pod, as far as it is known.
    fn manager<'a>(&self, cx: &Context<'a>, pod: &Pod) -> Option<&'a StatefulSet> {
        let owner = pod.meta.controller().filter(|owner| owner.kind == self.kind)?;
        cx.caches.stateful_sets.identified(owner.uid).map(|set| &**set)
    }

    fn observe_pod(&mut self, cx: &mut Context<'_>, event: &Event<'_>, pod: &Pod) {
        let old = event.old.and_then(Pod::of).map(|pod| &**pod);
        let new = (event.change != Change::Deleted).then_some(pod);
        let (caches, queue) = (cx.caches, &mut *cx.queue);
        let selector_of = |row| caches.stateful_sets.get(row).map(|set| &*set.selector);
        self.adoptables.observe(old, new, is_not_deleting, selector_of, |row| queue.add(row));
        if let Some(before) = old.and_then(|old| self.manager(cx, old)) {
            cx.queue.add(before.meta.id);
        }
        let Some(set) = self.manager(cx, pod) else { return };
        cx.queue.add(set.meta.id);
        let became_ready = old.is_some_and(|old| !old.is_ready()) && new.is_some_and(Pod::is_ready);
        if became_ready && set.min_ready_seconds > 0 {
            cx.queue.add_at(cx.now + min_ready(set.min_ready_seconds), set.meta.id);
        }
    }

    fn observe_set(&mut self, cx: &mut Context<'_>, event: &Event<'_>, set: &StatefulSet) {
        if event.change == Change::Deleted {
            self.adoptables.remove_owner(set.meta.id);
        } else if event.old.is_none() {
            self.adoptables.put_owner(cx.caches, &set.meta, &set.selector, is_not_deleting);
        }
        cx.queue.add(set.meta.id);
    }
}

/// The request of a step; none for a refusal, behind which nothing is sent.
fn request(step: &Step) -> Option<Request> {
    let target = |kind, id: u32| ObjectRef { kind, id };
    Some(match step {
        Step::CreateClaim { claim, .. } => Request::Create(Object::PersistentVolumeClaim(claim.clone())),
        Step::CreatePod(pod) => Request::Create(Object::Pod(pod.clone())),
        Step::DeletePod { id, .. } => Request::delete(target(Kind::Pod, *id)),
        Step::OwnClaim { id, owners, .. } => {
            let patch = Patch::Owners(owners.clone());
            Request::Patch { target: target(Kind::PersistentVolumeClaim, *id), patch }
        }
        Step::UpdatePod { id, labels, .. } => Request::patch_pod(*id, Patch::Labels(labels.clone())),
        Step::Refuse { .. } => return None,
    })
}

/// Tells what became of a pod.
fn tell_pod(
    cx: &mut Context<'_>,
    set: &StatefulSet,
    verb: &'static str,
    pod: &str,
    outcome: Result<(), &str>,
) {
    let target = set.meta.object_ref(Kind::StatefulSet);
    let reason = match (verb, outcome.is_ok()) {
        ("Create", true) => "SuccessfulCreate",
        ("Create", false) => "FailedCreate",
        ("Delete", true) => "SuccessfulDelete",
        ("Delete", false) => "FailedDelete",
        (_, true) => "SuccessfulUpdate",
        (_, false) => "FailedUpdate",
    };
    match outcome {
        Ok(()) => cx.event(target, Severity::Normal, reason, || {
            format!("{verb} Pod {pod} in StatefulSet {} successful", set.meta.name)
        }),
        Err(error) => cx.event(target, Severity::Warning, reason, || {
            format!("{verb} Pod {pod} in StatefulSet {} failed error: {error}", set.meta.name)
        }),
    }
}

/// Tells what became of a claim.
fn tell_claim(cx: &mut Context<'_>, set: &StatefulSet, claim: &str, pod: &str, refusal: Option<&ApiError>) {
    let target = set.meta.object_ref(Kind::StatefulSet);
    let name = &set.meta.name;
    match refusal {
        None => cx.event(target, Severity::Normal, "SuccessfulCreate", || {
            format!("Create Claim {claim} Pod {pod} in StatefulSet {name} success")
        }),
        Some(error) => {
            if error.reason != ErrorReason::AlreadyExists {
                cx.event(target, Severity::Warning, "FailedCreate", || {
                    format!("Create Claim {claim} for Pod {pod} in StatefulSet {name} failed error: {error}")
                });
            }
            let message = format!("failed to create PVC {claim}: {error}");
            tell_pod(cx, set, "Create", pod, Err(&message));
        }
    }
}

impl Controller for StatefulSetController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind != Kind::Pod || !caches.stateful_sets.is_empty()
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => self.observe_pod(cx, event, pod),
            Object::StatefulSet(set) => self.observe_set(cx, event, set),
            Object::ControllerRevision(_) => self.orphan_revisions.observe(event),
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Recheck => match &sync.set {
                Some(set) if may_adopt(&**set, replies.first()) => self.claim_revisions(sync),
                _ => Next::Retry,
            },
            Stage::ClaimRevisions => match sync.revision_claims.adopted(replies) {
                Some(adopted) => {
                    sync.revisions.extend(adopted);
                    self.claim_pods(cx, sync)
                }
                None => Next::Retry,
            },
            Stage::ClaimPods => match sync.pod_claims.adopted(replies) {
                Some(adopted) => {
                    sync.pods.extend(adopted);
                    self.revise(cx, sync)
                }
                None => Next::Retry,
            },
            Stage::Revise => self.revision_answered(cx, sync, replies),
            Stage::Compare => self.compared(cx, sync, replies),
            Stage::Phase => self.phase_answered(cx, sync, replies),
            Stage::Status => self.status_answered(cx, key, sync, replies),
            Stage::Truncate => self.finish(cx, key, sync, replies),
        }
    }

    fn replied(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, index: usize, reply: &Reply) {
        let Some(set) = sync.set.clone() else { return };
        let deletes = matches!(sync.steps.get(index), Some(Step::DeletePod { .. }));
        match sync.stage {
            Stage::Status | Stage::ClaimPods => self.writes.entry(key).or_default().note(reply),
            Stage::Phase if !deletes => self.writes.entry(key).or_default().note(reply),
            _ => {}
        }
        if sync.stage != Stage::Phase {
            return;
        }
        let refusal = reply.as_ref().err();
        let message = refusal.map(ToString::to_string);
        let outcome = message.as_deref().map_or(Ok(()), Err);
        match &sync.steps[index] {
            Step::CreateClaim { claim, pod } => tell_claim(cx, &set, &claim.meta.name, pod, refusal),
            Step::CreatePod(pod) => {
                if refusal.is_none_or(|error| error.reason != ErrorReason::AlreadyExists) {
                    tell_pod(cx, &set, "Create", &pod.meta.name, outcome);
                }
            }
            Step::DeletePod { name, for_update, .. } => {
                let gone = refusal.is_none_or(|error| error.reason == ErrorReason::NotFound);
                tell_pod(cx, &set, "Delete", name, if gone { Ok(()) } else { outcome });
                if gone && *for_update {
                    sync.status.current_replicas -= 1;
                }
            }
            Step::OwnClaim { name, pod, .. } => {
                if let Err(error) = outcome {
                    let message =
                        format!("could not update claim {name} for delete policy ownerRefs: {error}");
                    tell_pod(cx, &set, "Update", pod, Err(&message));
                }
            }
            Step::UpdatePod { name, .. } => tell_pod(cx, &set, "Update", name, outcome),
            Step::Refuse { .. } => {}
        }
    }
}
