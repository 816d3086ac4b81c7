//! The DaemonSet controller (upstream `pkg/controller/daemon`): one pod on every node that the
//! template fits.
//!
//! The controller chooses the nodes; the scheduler binds each pod to its
//! [`seatrial_api::pod::Pod::target_node`].
//!
//! Model: a node's change wakes the sets that it concerns at once; upstream hands it to a queue of
//! its own first.

mod plan;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::machine::Severity;
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef, Typed};
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, ErrorReason, Patch, Reply, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{ControllerRevision, DaemonSet, DaemonSetUpdateStrategy};

use self::plan::{Changes, Place, PodsByNode, Revision, View};
use self::state::SetState;
use crate::Config;
use crate::framework::{
    Adoptables, Caches, Claims, Client, Context, Controller, Event, Mode, Next, OrphanRevisions,
    REVISION_LABEL, Replies, RetryPolicy, Runner, is_not_deleting, made_revision, may_adopt, min_ready,
    read_fresh, same_content, sort_revisions, template_hash,
};

/// Workers of the controller.
const WORKERS: usize = 2;
/// The most pods that one sync creates, and the most that it deletes.
const BURST: usize = 250;
/// Annotation of a set and label of its pods: how often the template was changed.
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";

/// Keeps a pod of each DaemonSet on each node.
#[derive(Clone, Debug)]
pub(crate) struct DaemonSetController {
    kind: Symbol,
    hash_key: Symbol,
    states: Vec<Option<Box<SetState>>>,
    adoptables: Adoptables,
    orphan_revisions: OrphanRevisions,
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
    /// The revision of the template is created.
    Snapshot,
    /// A revision of the same name was read.
    Compare,
    /// The status says that another hash is needed; then the sync fails.
    Collision,
    /// Revisions of the same template are made one.
    Merge,
    Renumber,
    Create,
    Delete,
    CleanUp,
    Status,
    /// The set was read again, because its status had a conflict.
    Refetch,
    LastStatus,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    set: Option<Arc<DaemonSet>>,
    places: Vec<Place>,
    pod_claims: Claims<Pod>,
    revision_claims: Claims<ControllerRevision>,
    revisions: Vec<Arc<ControllerRevision>>,
    /// Revisions of other templates.
    old: Vec<Arc<ControllerRevision>>,
    revision: Revision,
    made: Option<Arc<ControllerRevision>>,
    may_manage: bool,
    /// Whether the nodes are in order, so that an update may go on.
    managed: bool,
    /// Pods to delete when those to create are there.
    victims: Vec<u32>,
    status: Option<Arc<DaemonSet>>,
    failed: bool,
}

impl DaemonSetController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<DaemonSetController> {
        let controller = DaemonSetController {
            kind: Symbol::new(DaemonSet::KIND.as_str()),
            hash_key: REVISION_LABEL.into(),
            states: Vec::new(),
            adoptables: Adoptables::default(),
            orphan_revisions: OrphanRevisions::default(),
        };
        Runner::new(id, controller, RetryPolicy::standard(), Client::new(config.client_limits), WORKERS)
    }

    fn state(&mut self, row: u32) -> &mut SetState {
        let index = row as usize;
        if index >= self.states.len() {
            self.states.resize_with(index + 1, || None);
        }
        self.states[index].get_or_insert_default()
    }

    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(set) = cx.caches.daemon_sets.get(key) else { return Next::Done };
        if cx.config.version >= KubernetesVersion::V1_36 && !self.state(key).writes.are_seen(cx.caches) {
            return Next::Retry;
        }
        if set.selector.is_empty() {
            cx.event(
                ObjectRef { kind: Kind::DaemonSet, id: key },
                Severity::Warning,
                "SelectingAll",
                || "This daemon set is selecting all pods. A non-empty selector is required.",
            );
            return Next::Done;
        }
        if set.meta.is_deleting() {
            return Next::Done;
        }
        sync.places = self.state(key).places(cx.caches, set);
        sync.set = Some(set.clone());
        let matches = |labels: &Labels| set.selector.matches(labels);
        let owned = cx.caches.revisions.controlled_by(set.meta.uid).cloned();
        let (kept, release) = owned.partition(|revision| matches(&revision.meta.labels));
        sync.revisions = kept;
        let adopt = self.orphan_revisions.matching(cx.caches, set.meta.namespace, &set.selector);
        sync.revision_claims = Claims { adopt, release };
        let strangers = cx.caches.pods.controlled_by(set.meta.uid).filter(|pod| !matches(&pod.meta.labels));
        let adopt = self.adoptables.of(key).filter_map(|row| cx.caches.pods.get(row)).cloned().collect();
        sync.pod_claims = Claims { adopt, release: strangers.cloned().collect() };
        if sync.revision_claims.adopt.is_empty() && sync.pod_claims.adopt.is_empty() {
            return self.claim_revisions(cx, key, sync);
        }
        sync.stage = Stage::Recheck;
        Next::send(read_fresh(&**set))
    }

    fn claim_revisions(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        if sync.revision_claims.is_empty() {
            return self.claim_pods(cx, key, sync);
        }
        sync.stage = Stage::ClaimRevisions;
        Next::Send(sync.revision_claims.batch(&**set, None))
    }

    fn claim_pods(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        if sync.pod_claims.is_empty() {
            return self.find_revision(cx, key, sync);
        }
        sync.stage = Stage::ClaimPods;
        Next::Send(sync.pod_claims.batch(&**set, None))
    }

    /// Finds or makes the revision of the template.
    fn find_revision(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        sort_revisions(&mut sync.revisions);
        let same = |revision: &Arc<ControllerRevision>| same_content(&revision.template, &set.template);
        let (mut present, old): (Vec<_>, Vec<_>) = sync.revisions.drain(..).partition(same);
        let number = old.last().map_or(0, |newest| newest.revision).saturating_add(1);
        sync.old = old;
        let Some(current) = present.pop() else {
            let hash = template_hash(&set.template, set.status.collision_count);
            let made = Arc::new(made_revision(&*set, &set.template, number, &hash, self.hash_key));
            sync.made = Some(made.clone());
            sync.stage = Stage::Snapshot;
            return Next::send(Request::Create(Object::ControllerRevision(made)));
        };
        self.take_revision(&set, sync, &current);
        if !present.is_empty() {
            return self.merge_revisions(cx, sync, &set, &present);
        }
        if current.revision < number {
            let next = ControllerRevision { revision: number, ..ControllerRevision::clone(&current) };
            let object = Object::ControllerRevision(Arc::new(next));
            sync.stage = Stage::Renumber;
            return Next::send(Request::Update { object, subresource: Subresource::Main });
        }
        self.revised(cx, key, sync)
    }

    /// Notes how pods of the present revision are recognised.
    fn take_revision(&self, set: &DaemonSet, sync: &mut Sync, current: &ControllerRevision) {
        let generation = set.meta.annotations.get(GENERATION_ANNOTATION.into());
        let generation = generation.filter(|generation| generation.as_str().parse::<i64>().is_ok());
        sync.revision = Revision {
            hash: (self.hash_key, current.meta.labels.get(self.hash_key).unwrap_or_default()),
            generation: generation.map(|generation| (GENERATION_LABEL.into(), generation)),
        };
    }

    /// Gives all pods the label of the newest of several revisions of the same template and
    /// deletes the others.
    fn merge_revisions(
        &mut self,
        cx: &Context<'_>,
        sync: &mut Sync,
        set: &DaemonSet,
        others: &[Arc<ControllerRevision>],
    ) -> Next {
        let (key, hash) = sync.revision.hash;
        let pods = cx.caches.pods.controlled_by(set.meta.uid);
        let relabel =
            |pod: &Arc<Pod>| Request::patch_pod(pod.meta.id, Patch::Labels(vec![(key, Some(hash))]));
        let mislabeled = pods.filter(|pod| pod.meta.labels.get(key) != Some(hash));
        let delete = |revision: &Arc<ControllerRevision>| {
            Request::delete(revision.meta.object_ref(Kind::ControllerRevision))
        };
        let requests = mislabeled.map(relabel).chain(others.iter().map(delete)).collect();
        sync.stage = Stage::Merge;
        Next::batch(Mode::Sequential, requests)
    }

    fn snapshot_answered(
        &mut self,
        cx: &mut Context<'_>,
        key: u32,
        sync: &mut Sync,
        replies: &Replies,
    ) -> Next {
        let (Some(set), Some(made)) = (sync.set.clone(), &sync.made) else { return Next::Done };
        match replies.first() {
            Some(Some(Ok(Object::ControllerRevision(revision)))) => {
                self.take_revision(&set, sync, revision);
                self.revised(cx, key, sync)
            }
            Some(Some(Err(error))) if error.reason == ErrorReason::AlreadyExists => {
                sync.stage = Stage::Compare;
                Next::send(read_fresh(&**made))
            }
            _ => Next::Retry,
        }
    }

    /// A revision has the name already: it is the one, or the hash must be another.
    fn compared(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let (Some(Some(Ok(Object::ControllerRevision(existing)))), Some(set)) =
            (replies.first(), sync.set.clone())
        else {
            return Next::Retry;
        };
        if same_content(&existing.template, &set.template) {
            self.take_revision(&set, sync, existing);
            return self.revised(cx, key, sync);
        }
        let mut next = DaemonSet::clone(&set);
        next.status.collision_count = Some(next.status.collision_count.unwrap_or(0).saturating_add(1));
        sync.stage = Stage::Collision;
        Next::send(Request::Update {
            object: Object::DaemonSet(Arc::new(next)),
            subresource: Subresource::Status,
        })
    }

    /// Brings the nodes in order, unless what was done before has not been seen yet.
    fn revised(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        sync.may_manage = self.state(key).expectations.are_met(cx.now);
        if !sync.may_manage {
            return self.write_status(cx, key, sync);
        }
        let pods = owned_pods(cx, &set);
        let view = view(&set, sync, &pods, cx);
        let generation = set.status.observed_generation;
        let (state, now) = (self.state(key), cx.now);
        let mut waits = Vec::new();
        let changes = plan::manage(&view, |node| match state.try_delete_failed(generation, node, now) {
            Ok(()) => true,
            Err(span) => {
                waits.push(span);
                false
            }
        });
        waits.into_iter().for_each(|span| cx.queue.add_at(now + span, key));
        self.tell_ended(cx, &set, &changes);
        self.change(cx, key, sync, changes)
    }

    fn tell_ended(&self, cx: &mut Context<'_>, set: &DaemonSet, changes: &Changes) {
        let target = set.meta.object_ref(Kind::DaemonSet);
        for (node, pod) in &changes.ended {
            let name = pod.meta.full_name();
            if pod.status.phase == seatrial_api::pod::PodPhase::Failed {
                cx.event(target, Severity::Warning, "FailedDaemonPod", || {
                    format!("Found failed daemon pod {name} on node {node}, will try to kill it")
                });
            } else {
                cx.event(target, Severity::Normal, "SucceededDaemonPod", || {
                    format!("Found succeeded daemon pod {name} on node {node}, will try to delete it")
                });
            }
        }
    }

    /// Creates pods, then deletes pods.
    fn change(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, mut changes: Changes) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        changes.create.truncate(BURST);
        changes.delete.truncate(BURST);
        let revision = sync.revision;
        let state = self.state(key);
        state.expectations.expect(cx.now, changes.create.len(), changes.delete.iter().copied());
        let pods = state.pods(&set, revision, changes.create);
        let requests = pods.into_iter().map(|pod| Request::Create(Object::Pod(Arc::new(pod)))).collect();
        sync.victims = changes.delete;
        sync.stage = Stage::Create;
        Next::batch(Mode::SlowStart { group_max: BURST }, requests)
    }

    fn created(&mut self, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let done = |reply: &&Option<Reply>| match reply {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.namespace_terminating,
            None => false,
        };
        let unseen = replies.iter().filter(|reply| !done(reply)).count();
        self.state(key).expectations.lower_creations(unseen);
        sync.failed |= unseen > 0;
        sync.stage = Stage::Delete;
        let delete = |&id: &u32| Request::delete(ObjectRef { kind: Kind::Pod, id });
        Next::batch(Mode::Parallel, sync.victims.iter().map(delete).collect())
    }

    fn deleted(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let refused = replies.iter().flatten().filter_map(|reply| reply.as_ref().err());
        sync.failed |= refused.into_iter().any(|error| error.reason != ErrorReason::NotFound);
        let Some(set) = sync.set.clone() else { return Next::Done };
        if sync.failed {
            return self.write_status(cx, key, sync);
        }
        let rolls = matches!(set.update_strategy, DaemonSetUpdateStrategy::RollingUpdate { .. });
        if !sync.managed && rolls && self.state(key).expectations.are_met(cx.now) {
            sync.managed = true;
            let pods = owned_pods(cx, &set);
            let changes = plan::roll(&view(&set, sync, &pods, cx));
            return self.change(cx, key, sync, changes);
        }
        self.clean_up(cx, sync, &set)
    }

    /// Deletes the oldest revisions beyond the limit that no pod has.
    fn clean_up(&mut self, cx: &Context<'_>, sync: &mut Sync, set: &DaemonSet) -> Next {
        let limit = usize::try_from(set.revision_history_limit).unwrap_or(0);
        let excess = sync.old.len().saturating_sub(limit);
        let hash_key = self.hash_key;
        let is_live = |revision: &ControllerRevision| {
            let hash = revision.meta.labels.get(hash_key);
            let mut pods = cx.caches.pods.controlled_by(set.meta.uid);
            pods.any(|pod| hash.is_some() && pod.meta.labels.get(hash_key) == hash)
        };
        let mut requests = Vec::new();
        for revision in &sync.old {
            if requests.len() >= excess {
                break;
            }
            if !is_live(revision) {
                requests.push(Request::delete(revision.meta.object_ref(Kind::ControllerRevision)));
            }
        }
        sync.stage = Stage::CleanUp;
        Next::batch(Mode::Sequential, requests)
    }

    fn write_status(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        let pods = owned_pods(cx, &set);
        // A sync that waits for its expectations has not dealt with this generation yet.
        let observed = if sync.may_manage { set.meta.generation } else { set.status.observed_generation };
        let status = plan::status(&view(&set, sync, &pods, cx), observed);
        if set.min_ready_seconds > 0 && status.number_ready != status.number_available {
            cx.queue.add_at(cx.now + min_ready(set.min_ready_seconds), key);
        }
        if status == set.status {
            return if sync.failed { Next::Retry } else { Next::Done };
        }
        let next = Arc::new(DaemonSet { status, ..DaemonSet::clone(&set) });
        sync.status = Some(next.clone());
        sync.stage = Stage::Status;
        Next::send(Request::Update { object: Object::DaemonSet(next), subresource: Subresource::Status })
    }

    fn status_answered(&mut self, sync: &mut Sync, replies: &Replies) -> Next {
        if matches!(replies.first(), Some(Some(Ok(_)))) {
            return if sync.failed { Next::Retry } else { Next::Done };
        }
        match &sync.set {
            Some(set) if sync.stage == Stage::Status => {
                sync.stage = Stage::Refetch;
                Next::send(read_fresh(&**set))
            }
            _ => Next::Retry,
        }
    }

    /// Writes the status again over the version that was read past the cache.
    fn rewrite_status(&mut self, sync: &mut Sync, replies: &Replies) -> Next {
        let (Some(Some(Ok(Object::DaemonSet(fresh)))), Some(wanted)) = (replies.first(), &sync.status) else {
            return Next::Retry;
        };
        sync.stage = Stage::LastStatus;
        let next = DaemonSet { status: wanted.status.clone(), ..DaemonSet::clone(fresh) };
        Next::send(Request::Update {
            object: Object::DaemonSet(Arc::new(next)),
            subresource: Subresource::Status,
        })
    }

    /// The set that manages a pod, as far as it is known.
    fn manager<'a>(&self, cx: &Context<'a>, pod: &Pod) -> Option<&'a DaemonSet> {
        let owner = pod.meta.controller().filter(|owner| owner.kind == self.kind)?;
        cx.caches.daemon_sets.identified(owner.uid).map(|set| &**set)
    }

    fn observe_pod(&mut self, cx: &mut Context<'_>, event: &Event<'_>, pod: &Pod) {
        let old = event.old.and_then(Pod::of).map(|pod| &**pod);
        let new = (event.change != Change::Deleted).then_some(pod);
        let (caches, queue) = (cx.caches, &mut *cx.queue);
        let selector_of = |row| caches.daemon_sets.get(row).map(|set| &*set.selector);
        self.adoptables.observe(old, new, is_not_deleting, selector_of, |row| queue.add(row));
        if let Some(before) = old.and_then(|old| self.manager(cx, old)) {
            cx.queue.add(before.meta.id);
        }
        let Some(set) = self.manager(cx, pod) else { return };
        let row = set.meta.id;
        cx.queue.add(row);
        if event.change == Change::Deleted || pod.meta.is_deleting() {
            self.state(row).expectations.lower_deletion(pod.meta.id);
        } else if old.is_none() {
            self.state(row).expectations.lower_creations(1);
        } else if set.min_ready_seconds > 0 && old.is_some_and(|old| !old.is_ready()) && pod.is_ready() {
            cx.queue.add_at(cx.now + min_ready(set.min_ready_seconds.saturating_add(1)), row);
        }
    }

    fn observe_set(&mut self, cx: &mut Context<'_>, event: &Event<'_>, set: &DaemonSet) {
        let row = set.meta.id;
        if event.change == Change::Deleted {
            self.adoptables.remove_owner(row);
            if let Some(state) = self.states.get_mut(row as usize) {
                *state = None;
            }
        } else if event.old.is_none() {
            self.adoptables.put_owner(cx.caches, &set.meta, &set.selector, is_not_deleting);
        }
        cx.queue.add(row);
    }

    /// A node that is new or whose labels or taints have changed wakes the sets for which that
    /// matters.
    fn observe_node(&mut self, cx: &mut Context<'_>, event: &Event<'_>, node: &Node) {
        if event.change == Change::Deleted {
            self.states.iter_mut().flatten().for_each(|state| state.forget_node(node));
            return;
        }
        let same = |old: &Arc<Node>| old.meta.labels == node.meta.labels && old.taints == node.taints;
        if event.old.and_then(Node::of).is_some_and(same) {
            return;
        }
        for set in cx.caches.daemon_sets.iter() {
            let verdict = self.state(set.meta.id).judge_anew(set, node);
            let owns = |pod: &Arc<Pod>| pod.meta.controller().is_some_and(|owner| owner.uid == set.meta.uid);
            let scheduled = cx.caches.pods.on_node(node.name).any(owns);
            let wakes = if scheduled {
                !verdict.may_stay || set.status.number_misscheduled > 0
            } else {
                verdict.should_run
            };
            if wakes {
                cx.queue.add(set.meta.id);
            }
        }
    }
}

fn view<'a>(set: &'a DaemonSet, sync: &'a Sync, pods: &'a PodsByNode, cx: &Context<'_>) -> View<'a> {
    View { set, places: &sync.places, pods, revision: sync.revision, now: cx.now }
}

fn owned_pods(cx: &Context<'_>, set: &DaemonSet) -> PodsByNode {
    let pods = cx.caches.pods.controlled_by(set.meta.uid);
    PodsByNode::group(pods.filter(|pod| set.selector.matches(&pod.meta.labels)))
}

impl Controller for DaemonSetController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind != Kind::Pod || !caches.daemon_sets.is_empty()
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => self.observe_pod(cx, event, pod),
            Object::DaemonSet(set) => self.observe_set(cx, event, set),
            Object::Node(node) => self.observe_node(cx, event, node),
            Object::ControllerRevision(_) => self.orphan_revisions.observe(event),
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Recheck => match &sync.set {
                Some(set) if may_adopt(&**set, replies.first()) => self.claim_revisions(cx, key, sync),
                _ => Next::Retry,
            },
            Stage::ClaimRevisions => match sync.revision_claims.adopted(replies) {
                Some(adopted) => {
                    sync.revisions.extend(adopted);
                    self.claim_pods(cx, key, sync)
                }
                None => Next::Retry,
            },
            Stage::ClaimPods => match sync.pod_claims.adopted(replies) {
                Some(_) => self.find_revision(cx, key, sync),
                None => Next::Retry,
            },
            Stage::Snapshot => self.snapshot_answered(cx, key, sync, replies),
            Stage::Compare => self.compared(cx, key, sync, replies),
            Stage::Collision => Next::Retry,
            Stage::Merge | Stage::Renumber => {
                if replies.iter().all(|reply| matches!(reply, Some(Ok(_)))) {
                    self.revised(cx, key, sync)
                } else {
                    Next::Retry
                }
            }
            Stage::Create => self.created(key, sync, replies),
            Stage::Delete => self.deleted(cx, key, sync, replies),
            Stage::CleanUp => {
                sync.failed |= replies.iter().any(|reply| !matches!(reply, Some(Ok(_))));
                self.write_status(cx, key, sync)
            }
            Stage::Status | Stage::LastStatus => self.status_answered(sync, replies),
            Stage::Refetch => self.rewrite_status(sync, replies),
        }
    }

    fn replied(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, index: usize, reply: &Reply) {
        let target = ObjectRef { kind: Kind::DaemonSet, id: key };
        if matches!(sync.stage, Stage::ClaimPods | Stage::Create | Stage::Status | Stage::LastStatus) {
            self.state(key).writes.note(reply);
        }
        match (sync.stage, reply) {
            (Stage::Create, Ok(pod)) => cx.event(target, Severity::Normal, "SuccessfulCreate", || {
                format!("Created pod: {}", pod.meta().name)
            }),
            (Stage::Create, Err(error)) if !error.namespace_terminating => {
                cx.event(target, Severity::Warning, "FailedCreate", || format!("Error creating: {error}"));
            }
            (Stage::Delete, Ok(pod)) => cx.event(target, Severity::Normal, "SuccessfulDelete", || {
                format!("Deleted pod: {}", pod.meta().name)
            }),
            (Stage::Delete, Err(error)) => {
                let victim = sync.victims[index];
                self.state(key).expectations.lower_deletion(victim);
                if error.reason != ErrorReason::NotFound {
                    cx.event(target, Severity::Warning, "FailedDelete", || {
                        format!("Error deleting: {error}")
                    });
                }
            }
            _ => {}
        }
    }
}
