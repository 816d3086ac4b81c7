//! The operator: what people do with kubectl, and tasks that take several steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::meta::Uid;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{Pod, PodTemplate};
use seatrial_api::request::{Patch, Request, Subresource};
use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{Deployment, ReplicaSet};

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
    let deployment = api.typed::<Deployment>(target.id).filter(|_| target.kind == Kind::Deployment);
    let deployment = deployment.ok_or("only a Deployment's rollout can be undone here")?;
    let mut revisions: Vec<(i64, &Arc<ReplicaSet>)> = api
        .list_typed::<ReplicaSet>()
        .filter(|set| is_owned(set, deployment.meta.uid))
        .filter_map(|set| revision(set).map(|revision| (revision, set)))
        .collect();
    revisions.sort_by_key(|entry| entry.0);
    let [.., previous, _] = revisions.as_slice() else {
        return Err(compact_str::format_compact!(
            "no rollout history found for deployment \"{}\"",
            deployment.meta.name
        ));
    };
    let template = &previous.1.template;
    let mut next = Deployment::clone(deployment);
    next.meta.resource_version = 0;
    next.template = Arc::new(PodTemplate {
        labels: template.labels.without(Symbol::new(TEMPLATE_HASH)),
        annotations: template.annotations.clone(),
        spec: template.spec.clone(),
    });
    Ok(Request::Update { object: Object::Deployment(Arc::new(next)), subresource: Subresource::Main })
}

fn is_owned(set: &ReplicaSet, owner: Uid) -> bool {
    set.meta.controller().is_some_and(|reference| reference.uid == owner)
}

fn revision(set: &ReplicaSet) -> Option<i64> {
    set.meta.annotations.get(Symbol::new(REVISION)).and_then(|text| text.as_str().parse().ok())
}
