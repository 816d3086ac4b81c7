//! Static pods, which a kubelet runs by manifests of its own, and their mirrors at the API server
//! (upstream `config/file.go`, `pod/mirror_client.go`).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;
use seatrial_api::machine::Outgoing;
use seatrial_api::meta::{OwnerRef, Uid};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{Pod, PodSpec, PodStatus};
use seatrial_api::request::{Change, DeleteOptions, Reply, Request};
use seatrial_api::scheduling::{TaintEffect, Toleration, TolerationOperator};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::machine::{Fx, Kubelets, Purpose, Timer, token};
use crate::rows::{Flag, Stage};
use crate::table::Power;

const HASH: &str = "kubernetes.io/config.hash";
const SEEN: &str = "kubernetes.io/config.seen";
const SOURCE: &str = "kubernetes.io/config.source";
/// The annotation by which a mirror is known.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A static pod, or one whose manifest is gone but whose mirror is not.
#[derive(Clone, Debug)]
pub(crate) struct StaticPod {
    /// The pod.
    pod: Arc<Pod>,
    /// The slot of its node.
    node: u32,
    /// Its mirror, if there is one.
    mirror: Option<Arc<Pod>>,
    /// Whether a mirror is being made.
    making: bool,
    /// Whether the manifest is gone.
    removed: bool,
    /// Whether housekeeping has seen that, and forgotten its status.
    orphaned: bool,
}

/// The pod that a kubelet makes of a manifest in its folder: it has the node in its name, an
/// identity that follows from its content, and tolerates everything. `row` names it in commands
/// and reports; no pod of the store may have the same.
pub fn static_pod(manifest: &Pod, node: Symbol, row: u32) -> Pod {
    let mut pod = manifest.clone();
    let meta = &mut pod.meta;
    let mut hasher = FxHasher::default();
    (node, meta.namespace, &meta.name, &*manifest.spec).hash(&mut hasher);
    let high = hasher.finish();
    (high, "low half").hash(&mut hasher);
    meta.uid = Uid::from_bits(high, hasher.finish());
    meta.name = compact_str::format_compact!("{}-{node}", meta.name);
    meta.id = row;
    let uid = Symbol::new(&meta.uid.to_string());
    for (key, value) in [(HASH, uid), (SEEN, Symbol::new("{time}")), (SOURCE, Symbol::new("file"))] {
        meta.annotations = meta.annotations.with(Symbol::new(key), value);
    }
    let mut spec = PodSpec::clone(&manifest.spec);
    let mut tolerations = spec.tolerations.into_vec();
    tolerations.push(Toleration {
        key: Symbol::empty(),
        operator: TolerationOperator::Exists,
        value: Symbol::empty(),
        effect: Some(TaintEffect::NoExecute),
        seconds: None,
    });
    spec.tolerations = tolerations.into();
    pod.spec = Arc::new(spec);
    pod.node = Some(node);
    pod
}

fn is_mirror(pod: &Pod) -> bool {
    !pod.meta.annotations.is_empty() && pod.meta.annotations.get(Symbol::new(MIRROR)).is_some()
}

impl StaticPod {
    fn is_named(&self, pod: &Pod) -> bool {
        self.pod.meta.name == pod.meta.name && self.pod.meta.namespace == pod.meta.namespace
    }

    /// Whether a mirror shows this pod and not an earlier one of its name.
    fn is_shown_by(&self, mirror: &Pod) -> bool {
        let of = |pod: &Pod, key| pod.meta.annotations.get(Symbol::new(key));
        !mirror.meta.is_deleting() && of(mirror, MIRROR) == of(&self.pod, HASH)
    }
}

impl Kubelets {
    /// The manifest of a static pod was written or changed: see [`static_pod`].
    pub fn add_static_pod(&mut self, now: SimTime, pod: &Arc<Pod>, effects: &mut Fx) {
        let Some(&node) = pod.node.and_then(|name| self.node_slots.get(&name)) else { return };
        let known = self.statics.iter().find(|one| one.is_named(pod) && !one.removed);
        if known.is_some_and(|one| one.pod.meta.uid == pod.meta.uid) {
            return;
        }
        if known.is_some() {
            self.remove_static_pod(now, pod.meta.namespace, &pod.meta.name, effects);
        }
        let mirror =
            self.statics.iter_mut().filter(|one| one.is_named(pod)).find_map(|one| one.mirror.take());
        self.statics.push(StaticPod {
            pod: Arc::clone(pod),
            node,
            mirror,
            making: false,
            removed: false,
            orphaned: false,
        });
        if self.nodes[node as usize].power == Power::On {
            self.begin_static(now, pod, node, effects);
        }
    }

    fn begin_static(&mut self, now: SimTime, pod: &Arc<Pod>, node: u32, fx: &mut Fx) {
        let slot = self.insert_pod(Arc::clone(pod), node);
        self.pods[slot].set(Flag::Static);
        self.statuses[slot] = PodStatus::default();
        if let Some(refusal) = self.admit(slot) {
            self.refuse(now, slot, refusal, fx);
            return;
        }
        self.occupy(slot);
        self.trigger(now, slot, fx);
    }

    /// The manifest of a static pod, named with its node, was removed.
    pub fn remove_static_pod(&mut self, now: SimTime, namespace: Symbol, name: &str, effects: &mut Fx) {
        let named = |one: &&mut StaticPod| {
            one.pod.meta.name == name && one.pod.meta.namespace == namespace && !one.removed
        };
        let Some(one) = self.statics.iter_mut().find(named) else { return };
        one.removed = true;
        let (row, node) = (one.pod.meta.id, one.node);
        if self.nodes[node as usize].power != Power::On {
            return;
        }
        match self.slot(row) {
            Some(slot) => self.static_gone(now, slot, effects),
            None => self.housekeep_soon(now, node, effects),
        }
    }

    fn static_gone(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let node = self.pods[slot].node;
        self.pods[slot].set(Flag::Gone);
        if self.pods[slot].stage == Stage::Finished {
            self.remove_pod(slot);
        } else {
            self.request_termination(now, slot, fx);
        }
        self.housekeep_soon(now, node, fx);
    }

    /// The entry of a static pod.
    fn static_of(&mut self, slot: usize) -> Option<&mut StaticPod> {
        let id = self.pods[slot].pod.meta.id;
        self.statics.iter_mut().find(|one| one.pod.meta.id == id)
    }

    /// Whether an earlier pod of this static pod's name has not stopped yet.
    pub(crate) fn waits_for_namesake(&self, slot: usize) -> bool {
        let row = &self.pods[slot];
        row.is(Flag::Static)
            && self.statics.iter().any(|one| {
                one.is_named(&row.pod)
                    && one.pod.meta.id != row.pod.meta.id
                    && self.slot(one.pod.meta.id).is_some()
            })
    }

    /// The mirror to which the status of a static pod is written.
    pub(crate) fn mirror_of(&self, slot: usize) -> Option<u32> {
        let id = self.pods[slot].pod.meta.id;
        let one = self.statics.iter().find(|one| one.pod.meta.id == id && !one.orphaned)?;
        one.mirror.as_ref().filter(|mirror| one.is_shown_by(mirror)).map(|mirror| mirror.meta.id)
    }

    /// Sees to the mirror of a static pod that is synced.
    pub(crate) fn ensure_mirror(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let Some(one) = self.static_of(slot) else { return };
        if one.removed || one.making {
            return;
        }
        let (node, pod) = (one.node, Arc::clone(&one.pod));
        match one.mirror.clone() {
            Some(mirror) if one.is_shown_by(&mirror) => return,
            Some(mirror) => {
                one.mirror = None;
                self.delete_mirror(now, node, mirror.meta.id, fx);
            }
            None => {}
        }
        if let Some(one) = self.static_of(slot) {
            one.making = true;
        }
        let row = &self.nodes[node as usize];
        let mut mirror = Pod::clone(&pod);
        let hash = pod.meta.annotations.get(Symbol::new(HASH)).unwrap_or(Symbol::empty());
        mirror.meta.annotations = mirror.meta.annotations.with(Symbol::new(MIRROR), hash);
        (mirror.meta.id, mirror.meta.uid) = (0, Uid::default());
        mirror.meta.owners = Some(Arc::new(vec![OwnerRef {
            kind: Symbol::new("Node"),
            api_version: Symbol::new("v1"),
            name: row.node.name.as_str().into(),
            uid: row.node.meta.uid,
            controller: true,
            block_owner_deletion: false,
        }]));
        let request = Request::Create(Object::Pod(Arc::new(mirror)));
        let token = token(Purpose::Mirror, node, row.life);
        fx.requests.push(Outgoing { token, send_at: now, request });
    }

    fn delete_mirror(&mut self, now: SimTime, node: u32, mirror: u32, fx: &mut Fx) {
        let target = ObjectRef { kind: Kind::Pod, id: mirror };
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        let token = token(Purpose::Mirror, node, self.nodes[node as usize].life);
        fx.requests.push(Outgoing { token, send_at: now, request: Request::Delete { target, options } });
    }

    /// A mirror was made or deleted, or could not be.
    pub(crate) fn mirror_answered(&mut self, now: SimTime, reply: &Reply, fx: &mut Fx) {
        match reply {
            Ok(Object::Pod(pod)) if !pod.meta.is_deleting() => {
                self.watch_mirror(now, Change::Modified, pod, fx);
            }
            Ok(_) => {}
            Err(_) => self.statics.iter_mut().for_each(|one| one.making = false),
        }
    }

    /// Takes news of a pod, if it is a mirror. Returns whether it is.
    pub(crate) fn watch_mirror(&mut self, now: SimTime, change: Change, pod: &Arc<Pod>, fx: &mut Fx) -> bool {
        if !is_mirror(pod) {
            return false;
        }
        let newest = self.statics.iter_mut().rev().find(|one| one.is_named(pod));
        let Some(one) = newest else { return true };
        let node = one.node;
        let is_old = one.mirror.as_ref().is_some_and(|mirror| {
            mirror.meta.resource_version > pod.meta.resource_version && mirror.meta.id >= pod.meta.id
                || mirror.meta.id > pod.meta.id
        });
        if is_old {
            return true;
        }
        one.mirror = (change != Change::Deleted).then(|| Arc::clone(pod));
        if one.making && one.is_shown_by(pod) && change != Change::Deleted {
            one.making = false;
        }
        let (id, shown, removed) = (one.pod.meta.id, one.is_shown_by(pod), one.removed);
        if self.nodes[node as usize].power != Power::On {
            return true;
        }
        if removed {
            return true;
        }
        let Some(slot) = self.slot(id) else { return true };
        if change == Change::Deleted || !shown {
            // A mirror that goes away is replaced, whatever its pod does.
            self.ensure_mirror(now, slot, fx);
            self.pods[slot].set(Flag::Unsent);
        } else if self.pods[slot].is(Flag::Unsent) {
            self.send_soon(now, slot, fx);
        }
        true
    }

    /// Looks for mirrors of pods that are gone at the node's next round of housekeeping.
    fn housekeep_soon(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let row = &self.nodes[node as usize];
        let at = row.housekeeping().next(now);
        fx.timer(at, Timer::Housekeeping { node, life: row.life });
    }

    /// Mirrors of pods that are gone are deleted.
    pub(crate) fn housekeep(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let (mut orphans, mut again) = (Vec::new(), false);
        let slots = &self.pod_slots;
        self.statics.retain_mut(|one| {
            if one.node != node || !one.removed {
                return true;
            }
            if slots.get(one.pod.meta.id).is_some() {
                (again, one.orphaned) = (true, true);
                return true;
            }
            orphans.extend(one.mirror.as_ref().map(|mirror| mirror.meta.id));
            false
        });
        for mirror in orphans {
            self.delete_mirror(now, node, mirror, fx);
        }
        if again {
            self.housekeep_soon(now, node, fx);
        }
    }

    /// The static pods of a node whose kubelet has started: the manifests are still there.
    pub(crate) fn statics_of(&self, node: u32) -> Vec<Arc<Pod>> {
        let here = self.statics.iter().filter(|one| one.node == node && !one.removed);
        here.map(|one| Arc::clone(&one.pod)).collect()
    }

    /// A kubelet that starts reads its manifests first.
    pub(crate) fn restart_statics(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        for one in self.statics.iter_mut().filter(|one| one.node == node) {
            one.making = false;
        }
        for pod in self.statics_of(node) {
            match self.slot(pod.meta.id) {
                Some(slot) => self.readmit_static(now, slot, &pod, fx),
                None => self.begin_static(now, &pod, node, fx),
            }
        }
    }
}

/// How often pods that are gone are looked for.
pub(crate) const HOUSEKEEPING: Span = Span::from_secs(2);
