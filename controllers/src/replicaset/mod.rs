//! The controllers of ReplicaSets and ReplicationControllers (upstream `pkg/controller/replicaset`):
//! keep as many pods as each set wants.
//!
//! A set of a hundred pods sees hundreds of pod events, so what a sync needs of the pods is
//! counted as they come ([`state`]); only a deletion, an adoption or `minReadySeconds` looks at
//! the pods themselves.

mod kind;
mod ranking;
mod state;
mod status;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::machine::Severity;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::request::{ErrorReason, Reply, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::version::KubernetesVersion;

use self::kind::PodSet;
use self::state::Sets;
use crate::Config;
use crate::framework::{
    Caches, Claims, Client, Context, Controller, Event, Mode, Next, Parentage, Replies, RetryPolicy, Runner,
    first_error, may_adopt, min_ready, next_availability, read_fresh,
};

/// The most pods that one sync creates or deletes.
const BURST: usize = 500;
/// Workers of the controller.
const WORKERS: usize = 5;

/// Keeps the number of pods that each set of a kind wants.
#[derive(Clone, Debug)]
pub(crate) struct PodSetController<T> {
    sets: Sets<T>,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The set was read past the cache, because pods are to be adopted.
    Recheck,
    Claim,
    Create,
    Delete,
    Status,
    /// The set was read again, because its status had a conflict.
    Refetch,
    LastStatus,
}

/// A sync on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sync<T> {
    stage: Stage,
    set: Option<Arc<T>>,
    /// Active pods of the set, as they were read.
    counts: state::Counts,
    /// The pods themselves, where counts are not enough.
    pods: Option<Vec<Arc<Pod>>>,
    /// Pods to be adopted and to be released.
    claims: Claims<Pod>,
    /// Pods that this step deletes.
    victims: Vec<u32>,
    /// Whether what was expected before has been seen.
    may_manage: bool,
    /// The error of creating or deleting pods.
    failure: Option<String>,
    /// The newest version of the status that is to be written.
    status: Option<Arc<T>>,
}

impl<T> Default for Sync<T> {
    fn default() -> Sync<T> {
        Sync {
            stage: Stage::default(),
            set: None,
            counts: state::Counts::default(),
            pods: None,
            claims: Claims::default(),
            victims: Vec::new(),
            may_manage: false,
            failure: None,
            status: None,
        }
    }
}

impl<T: PodSet> PodSetController<T> {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<PodSetController<T>> {
        let client = Client::new(config.client_limits);
        let controller = PodSetController { sets: Sets::default() };
        Runner::new(id, controller, RetryPolicy::standard(), client, WORKERS)
    }

    /// Reads what the caches show of the set and begins with the claims, if there are any.
    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>) -> Next {
        let Some(set) = T::table(cx.caches).get(key) else {
            self.sets.forget(key);
            return Next::Done;
        };
        let state = self.sets.state(key);
        if T::IS_CURRENT && cx.config.version >= KubernetesVersion::V1_36 && !state.writes.are_seen(cx.caches)
        {
            return Next::Retry;
        }
        sync.set = Some(set.clone());
        sync.may_manage = state.expectations.are_met(cx.now);
        sync.counts = state.counts;
        let claims = state.counts.mismatched > 0 || self.sets.adoptables.has_any(key);
        if claims || set.min_ready_seconds() > 0 {
            sync.pods = Some(active_pods(cx, &**set));
        }
        if claims && !set.meta().is_deleting() {
            return self.claim(cx, key, sync);
        }
        self.manage(cx, key, sync)
    }

    /// Adopts orphans that the selector matches and releases pods that it matches no more.
    fn claim(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        let orphans = self.sets.adoptables.of(key).filter_map(|row| cx.caches.pods.get(row));
        let mismatched = |pod: &&Arc<Pod>| pod.is_active() && !set.selector().matches(&pod.meta.labels);
        let strangers = cx.caches.pods.controlled_by(set.meta().uid).filter(mismatched);
        sync.claims = Claims { adopt: orphans.cloned().collect(), release: strangers.cloned().collect() };
        if sync.claims.adopt.is_empty() {
            return self.send_claims(sync);
        }
        sync.stage = Stage::Recheck;
        Next::send(read_fresh(&*set))
    }

    fn send_claims(&mut self, sync: &mut Sync<T>) -> Next {
        let Some(set) = &sync.set else { return Next::Done };
        sync.stage = Stage::Claim;
        Next::Send(sync.claims.batch(&**set, None))
    }

    /// Takes the outcome of the claims into the counts of this sync.
    fn claimed(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>, replies: &Replies) -> Next {
        let Some(adopted) = sync.claims.adopted(replies) else { return Next::Retry };
        let (Some(set), Some(pods)) = (&sync.set, &mut sync.pods) else { return Next::Done };
        for pod in adopted {
            sync.counts.add(&state::Counts::of(&pod, &**set, false));
            pods.push(pod);
        }
        self.manage(cx, key, sync)
    }

    /// Creates missing pods, deletes surplus ones.
    fn manage(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        let wanted = usize::try_from(set.replicas()).unwrap_or(0);
        let active = usize::try_from(sync.counts.active).unwrap_or(0);
        if !sync.may_manage || set.meta().is_deleting() || active == wanted {
            return self.write_status(cx, key, sync);
        }
        if active < wanted {
            let count = (wanted - active).min(BURST);
            let state = self.sets.state(key);
            state.expectations.expect_creations(cx.now, count);
            let parentage = state.parentage.get_or_insert_with(|| Parentage::generated(&*set, Vec::new()));
            let create = |_| Request::Create(Object::Pod(Arc::new(parentage.pod(set.template()))));
            sync.stage = Stage::Create;
            return Next::batch(Mode::SlowStart { group_max: BURST }, (0..count).map(create).collect());
        }
        let pods = sync.pods.take().unwrap_or_else(|| active_pods(cx, &*set));
        sync.victims = victims(cx, &*set, &pods, (active - wanted).min(BURST));
        sync.pods = Some(pods);
        self.sets.state(key).expectations.expect_deletions(cx.now, sync.victims.iter().copied());
        sync.stage = Stage::Delete;
        let delete = |&id: &u32| Request::delete(ObjectRef { kind: Kind::Pod, id });
        Next::batch(Mode::Parallel, sync.victims.iter().map(delete).collect())
    }

    /// Writes the status if it differs from the one that was read.
    fn write_status(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>) -> Next {
        let Some(set) = sync.set.clone() else { return Next::Done };
        let available = match &sync.pods {
            Some(pods) if set.min_ready_seconds() > 0 => {
                let span = min_ready(set.min_ready_seconds());
                pods.iter().filter(|pod| pod.is_available(span, cx.now)).count() as i32
            }
            _ => sync.counts.ready,
        };
        let version = cx.config.version;
        let next = status::next(&*set, &sync.counts, available, sync.failure.as_deref(), version, cx.now);
        match next {
            Some(next) => {
                let next = Arc::new(set.with_status(next));
                sync.status = Some(next.clone());
                sync.stage = Stage::Status;
                Next::send(Request::Update { object: T::wrap(next), subresource: Subresource::Status })
            }
            None => self.finish(cx, key, sync, &set.clone()),
        }
    }

    /// Writes the status again over the version that was read past the cache.
    fn rewrite_status(&mut self, sync: &mut Sync<T>, replies: &Replies) -> Next {
        let (Some(fresh), Some(wanted)) = (written::<T>(replies), &sync.status) else {
            return Next::Retry;
        };
        sync.stage = Stage::LastStatus;
        let next = fresh.with_status(wanted.status().clone());
        Next::send(Request::Update { object: T::wrap(Arc::new(next)), subresource: Subresource::Status })
    }

    /// Ends the sync, and looks again when the next pod becomes available.
    fn finish(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>, set: &T) -> Next {
        if sync.failure.is_some() {
            return Next::Retry;
        }
        if set.min_ready_seconds() > 0 && set.status().ready_replicas != set.status().available_replicas {
            let span = min_ready(set.min_ready_seconds());
            let pods = sync.pods.iter().flatten().map(|pod| &**pod);
            let at = next_availability(pods, span, cx.now).unwrap_or(cx.now + span);
            cx.queue.add_at(at, key);
        }
        Next::Done
    }
}

/// The active pods of a set.
fn active_pods<T: PodSet>(cx: &Context<'_>, set: &T) -> Vec<Arc<Pod>> {
    let pods = cx.caches.pods.controlled_by(set.meta().uid);
    pods.filter(|pod| pod.is_active() && set.selector().matches(&pod.meta.labels)).cloned().collect()
}

/// The pods to delete: ranked by how many active pods of all sets of the same owner share their
/// node, among other things. Of a set without owner no pod has company, as upstream has it.
fn victims<T: PodSet>(cx: &Context<'_>, set: &T, pods: &[Arc<Pod>], count: usize) -> Vec<u32> {
    let active: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
    let mut company: FxHashMap<Option<Symbol>, u32> = FxHashMap::default();
    if count < active.len() {
        let owner = set.meta().controller().map(|owner| owner.uid);
        let siblings = owner.into_iter().flat_map(|owner| T::table(cx.caches).controlled_by(owner));
        let related = siblings.flat_map(|sibling| cx.caches.pods.controlled_by(sibling.meta().uid));
        for pod in related.filter(|pod| pod.is_active()) {
            *company.entry(pod.node).or_default() += 1;
        }
    }
    let company_of = |pod: &Pod| company.get(&pod.node).copied().unwrap_or(0);
    let chosen = ranking::victims(&active, company_of, count, cx.now);
    chosen.into_iter().map(|index| active[index].meta.id).collect()
}

impl<T: PodSet> Controller for PodSetController<T> {
    type Sync = Sync<T>;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind == T::KIND || (kind == Kind::Pod && !T::table(caches).is_empty())
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        if let Object::Pod(pod) = event.object {
            self.sets.observe_pod(cx, event, pod);
        } else if let Some(set) = T::of(event.object) {
            self.sets.observe_set(cx, event, set);
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Recheck => match &sync.set {
                Some(set) if may_adopt(&**set, replies.first()) => self.send_claims(sync),
                _ => Next::Retry,
            },
            Stage::Claim => self.claimed(cx, key, sync, replies),
            Stage::Create => {
                let unseen = replies.iter().filter(|reply| !succeeded(reply)).count();
                self.sets.state(key).expectations.lower_creations(unseen);
                sync.failure = first_error(replies).map(|error| error.message.clone());
                self.write_status(cx, key, sync)
            }
            Stage::Delete => {
                let refused = replies.iter().flatten().filter_map(|reply| reply.as_ref().err());
                let failed = refused.filter(|error| error.reason != ErrorReason::NotFound);
                sync.failure = failed.map(|error| error.message.clone()).next();
                self.write_status(cx, key, sync)
            }
            Stage::Status => match (written::<T>(replies), &sync.set) {
                (Some(set), _) => self.finish(cx, key, sync, &set.clone()),
                (_, Some(set)) => {
                    sync.stage = Stage::Refetch;
                    Next::send(read_fresh(&**set))
                }
                _ => Next::Retry,
            },
            Stage::Refetch => self.rewrite_status(sync, replies),
            Stage::LastStatus => match written::<T>(replies) {
                Some(set) => self.finish(cx, key, sync, &set.clone()),
                None => Next::Retry,
            },
        }
    }

    fn replied(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync<T>, index: usize, reply: &Reply) {
        let target = ObjectRef { kind: T::KIND, id: key };
        if !matches!(sync.stage, Stage::Recheck | Stage::Refetch | Stage::Delete) {
            self.sets.state(key).writes.note(reply);
        }
        match (sync.stage, reply) {
            (Stage::Create, Ok(pod)) => {
                cx.event(target, Severity::Normal, "SuccessfulCreate", || {
                    format!("Created pod: {}", pod.meta().name)
                });
            }
            (Stage::Create, Err(error)) if !error.namespace_terminating => {
                cx.event(target, Severity::Warning, "FailedCreate", || format!("Error creating: {error}"));
            }
            (Stage::Delete, Ok(pod)) => {
                cx.event(target, Severity::Normal, "SuccessfulDelete", || {
                    format!("Deleted pod: {}", pod.meta().name)
                });
            }
            (Stage::Delete, Err(error)) => {
                self.sets.state(key).expectations.lower_deletion(sync.victims[index]);
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

/// The set as a reply shows it.
fn written<T: PodSet>(replies: &Replies) -> Option<&Arc<T>> {
    replies.first()?.as_ref()?.as_ref().ok().and_then(T::of)
}

/// Whether a creation was done, or refused because the namespace goes away.
fn succeeded(reply: &Option<Reply>) -> bool {
    match reply {
        Some(Ok(_)) => true,
        Some(Err(error)) => error.namespace_terminating,
        None => false,
    }
}
