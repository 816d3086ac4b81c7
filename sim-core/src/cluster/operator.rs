//! The operator: what people do with kubectl, and tasks that take several steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{Pod, PodTemplate};
use seatrial_api::request::{Patch, Request, Subresource};
use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{ControllerRevision, ReplicaSet};

use super::config::NamedObject;

/// From one look of a waiting task to the next.
pub(crate) const POLL: Span = Span::from_secs(1);
/// From a refused eviction to the next try, as kubectl has it.
const EVICTION_RETRY: Span = Span::from_secs(5);
/// The annotation that a rollout's restart sets.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const REVISION: &str = "deployment.kubernetes.io/revision";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// A task of several steps.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Evicts everything but daemons from a node.
    Drain(Drain),
    /// Replaces the nodes of a pool one after another: a new one first, then the old one drained
    /// and removed.
    Upgrade(Upgrade),
}

/// A drain.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    /// The node.
    pub(crate) node: Symbol,
    /// When each pod's eviction was last tried.
    tried: BTreeMap<u32, SimTime>,
    cordoned: bool,
}

/// An upgrade of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Upgrade {
    /// Old machines that are still to be replaced, last first.
    pub(crate) waiting: Vec<u32>,
    /// The old machine being replaced and its replacement.
    pub(crate) current: Option<(u32, u32)>,
    /// The drain of the old machine, once its replacement is Ready.
    pub(crate) drain: Option<Drain>,
}

/// What a step of a drain asks for.
pub(crate) struct DrainStep {
    pub(crate) requests: Vec<Request>,
    pub(crate) done: bool,
}

impl Drain {
    /// A drain that has not begun.
    pub(crate) fn new(node: Symbol) -> Drain {
        Drain { node, tried: BTreeMap::new(), cordoned: false }
    }

    /// The next step: cordon, then evict what may go, again after a refusal, until all is gone.
    pub(crate) fn step(&mut self, now: SimTime, api: &ApiServer, pods: &[u32]) -> DrainStep {
        let mut requests = Vec::new();
        if !self.cordoned {
            self.cordoned = true;
            requests.extend(node_patch(api, self.node, Patch::Unschedulability(true)));
        }
        let mut left = 0;
        for &id in pods {
            let Some(pod) = api.typed::<Pod>(id).filter(|pod| leaves_with_drain(pod)) else { continue };
            left += 1;
            let due = self.tried.get(&id).is_none_or(|&tried| now >= tried + EVICTION_RETRY);
            if due && !pod.meta.is_deleting() {
                self.tried.insert(id, now);
                requests.push(Request::Evict { pod: id, grace_period_seconds: None });
            }
        }
        DrainStep { requests, done: left == 0 }
    }
}

/// Whether a drain evicts a pod: daemons stay, and pods that have ended do not count.
fn leaves_with_drain(pod: &Pod) -> bool {
    !pod.status.phase.is_terminal() && pod.meta.controller().is_none_or(|owner| owner.kind != "DaemonSet")
}

/// A patch of a node that is known by name.
pub(crate) fn node_patch(api: &ApiServer, node: Symbol, patch: Patch) -> Option<Request> {
    let object = api.find(Kind::Node, Symbol::empty(), node.as_str())?;
    Some(Request::Patch { target: object.object_ref(), patch })
}

/// Finds an object that a person named.
pub(crate) fn resolve(api: &ApiServer, named: &NamedObject) -> Option<ObjectRef> {
    api.find(named.kind, named.namespace, &named.name).map(Object::object_ref)
}

/// `kubectl rollout restart`: an annotation of the template with the time.
pub(crate) fn restart(target: ObjectRef, now: SimTime) -> Request {
    let stamp = compact_str::format_compact!("{}", now.nanos() / seatrial_api::units::NANOS_PER_SECOND);
    let patch = Patch::TemplateAnnotation(Symbol::new(RESTARTED_AT), Symbol::new(&stamp));
    Request::Patch { target, patch }
}

/// `kubectl rollout undo`: the template of the revision before the newest.
///
/// # Errors
/// What kubectl would say if there is nothing to go back to.
pub(crate) fn undo(api: &ApiServer, target: ObjectRef) -> Result<Request, CompactString> {
    let object = api.get(target).ok_or("the object is gone")?;
    let previous = previous_template(api, object).ok_or_else(|| {
        let kind = target.kind.as_str().to_lowercase();
        compact_str::format_compact!("no rollout history found for {kind} \"{}\"", object.meta().name)
    })?;
    let mut next = object.clone();
    next.meta_mut().resource_version = 0;
    match &mut next {
        Object::Deployment(deployment) => Arc::make_mut(deployment).template = previous,
        Object::StatefulSet(set) => Arc::make_mut(set).template = previous,
        Object::DaemonSet(set) => Arc::make_mut(set).template = previous,
        _ => return Err(compact_str::format_compact!("a {} has no rollouts", target.kind)),
    }
    Ok(Request::Update { object: next, subresource: Subresource::Main })
}

/// The template before the newest: of a Deployment in its ReplicaSets, of others in their revisions.
fn previous_template(api: &ApiServer, object: &Object) -> Option<Arc<PodTemplate>> {
    let owner = object.meta().uid;
    let is_owned = |meta: &ObjectMeta| meta.controller().is_some_and(|reference| reference.uid == owner);
    let mut revisions: Vec<(i64, Arc<PodTemplate>)> = if object.kind() == Kind::Deployment {
        let sets = api.list_typed::<ReplicaSet>().filter(|set| is_owned(&set.meta));
        sets.filter_map(|set| Some((revision(set)?, Arc::new(without_hash(&set.template))))).collect()
    } else {
        let revisions = api.list_typed::<ControllerRevision>().filter(|revision| is_owned(&revision.meta));
        revisions.map(|revision| (revision.revision, revision.template.clone())).collect()
    };
    revisions.sort_by_key(|entry| entry.0);
    let before_newest = revisions.len().checked_sub(2)?;
    Some(revisions.swap_remove(before_newest).1)
}

fn without_hash(template: &PodTemplate) -> PodTemplate {
    let labels = template.labels.without(Symbol::new(TEMPLATE_HASH));
    PodTemplate { labels, ..template.clone() }
}

fn revision(set: &ReplicaSet) -> Option<i64> {
    set.meta.annotations.get(Symbol::new(REVISION)).and_then(|text| text.as_str().parse().ok())
}
