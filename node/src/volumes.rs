//! The wait for a pod's volumes: objects that they come from are looked for with a back-off, claims
//! and volumes are noticed when they change, volumes of drivers that attach are said to be in use
//! and awaited until the node's status lists them; the runtime mounts the rest.
//!
//! Model: a volume is mounted as soon as the node's status lists it both as in use and as attached;
//! upstream looks with a back-off. Unmounting takes no time.

use std::collections::BTreeMap;

use seatrial_api::machine::Severity;
use seatrial_api::object::Kind;
use seatrial_api::pod::{PodSpec, Volume};
use seatrial_api::runtime::RuntimeCommand;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::machine::{Fx, Kubelets, Timer};
use crate::objects::Missing;
use crate::rows::{Flag, PodRow, Stage, Step};

/// The first wait after a failed mount.
const MOUNT_RETRY: Span = Span::from_millis(500);
/// The longest.
const MOUNT_RETRY_MAX: Span = Span::from_secs(122);
/// How often a sync looks whether the volumes are there.
const POLL: Span = Span::from_millis(300);
/// How long a sync waits for volumes.
const WAIT_MAX: Span = Span::from_secs(123);

/// The attachable volumes that the pods of a node use, each with how many do.
#[derive(Clone, Debug, Default)]
pub(crate) struct VolumesInUse(BTreeMap<Symbol, u32>);

impl VolumesInUse {
    fn add(&mut self, volume: Symbol) {
        *self.0.entry(volume).or_default() += 1;
    }

    fn remove(&mut self, volume: Symbol) {
        if let Some(count) = self.0.get_mut(&volume) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&volume);
            }
        }
    }

    /// Whether a node's status lists other volumes.
    pub(crate) fn differs_from(&self, listed: &[Symbol]) -> bool {
        self.0.len() != listed.len() || !self.0.keys().eq(listed)
    }

    /// The volumes in order.
    pub(crate) fn list(&self) -> Vec<Symbol> {
        self.0.keys().copied().collect()
    }
}

/// What a pod knows of its volumes.
#[derive(Clone, Debug, Default)]
pub(crate) struct VolumeWait {
    /// The attachable volumes that it uses on its node.
    in_use: Vec<Symbol>,
    /// When the sync that waits gives up.
    gives_up_at: Option<SimTime>,
    /// When claims that are not bound are an error.
    claims_due_at: Option<SimTime>,
    /// Whether the runtime was told to mount.
    mounting: bool,
}

/// What keeps a pod's volumes from being mounted.
#[derive(Debug, Default)]
struct Lack {
    /// Volumes whose claim is missing or not bound, with what is said of it.
    claims: Vec<(Symbol, String)>,
    /// The first volume whose object is missing.
    object: Option<(Symbol, Kind, Symbol)>,
    /// Volumes that are not attached yet.
    unattached: Vec<Symbol>,
}

/// Whether some container mounts a volume.
fn mounts(spec: &PodSpec, volume: &Volume) -> bool {
    spec.all_containers().any(|container| container.mounts.contains(&volume.name))
}

impl Kubelets {
    /// Sees to the volumes and says whether the sync can go on at once.
    pub(crate) fn mount(&mut self, now: SimTime, slot: usize, fx: &mut Fx) -> bool {
        let row = &mut self.pods[slot];
        if row.is(Flag::Mounted) || row.is_leaving() {
            return true;
        }
        let spec = &row.pod.spec;
        if !spec.volumes.iter().any(|volume| mounts(spec, volume)) {
            row.set(Flag::Mounted);
            return true;
        }
        row.step = Step::Volumes;
        let wait = &mut row.extra_mut().volumes;
        (wait.gives_up_at, wait.claims_due_at) = (None, None);
        self.look_for_objects(now, slot, fx);
        false
    }

    /// Has the runtime mount the volumes if all that they need is there; else looks again later.
    fn look_for_objects(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let lack = self.lack(now, slot, fx);
        let (pod, node) = (self.pods[slot].pod.meta.id, self.node_id(slot));
        let wait = &mut self.pods[slot].extra_mut().volumes;
        if !lack.claims.is_empty() {
            match wait.claims_due_at {
                Some(due) if due <= now => return self.claims_missing(now, slot, &lack, fx),
                Some(_) => {}
                None => {
                    wait.claims_due_at = Some(now + POLL);
                    fx.timer(now + POLL, Timer::Volumes { pod });
                }
            }
            self.claimants.push(pod);
        } else if !lack.unattached.is_empty() {
            match wait.gives_up_at {
                Some(at) if at <= now => return self.give_up_waiting(now, slot, fx),
                Some(_) => {}
                None => {
                    wait.gives_up_at = Some(now + WAIT_MAX);
                    fx.timer(now + WAIT_MAX, Timer::Volumes { pod });
                }
            }
            let waiting = &mut self.nodes[self.pods[slot].node as usize].awaiting_volumes;
            if !waiting.contains(&pod) {
                waiting.push(pod);
            }
        } else if let Some((volume, kind, name)) = lack.object {
            let object = self.pod_ref(slot);
            fx.decide(object, Severity::Warning, "FailedMount", || {
                let kind = if kind == Kind::Secret { "secret" } else { "configmap" };
                format!("MountVolume.SetUp failed for volume \"{volume}\" : {kind} \"{name}\" not found")
            });
            self.retry_mount(now, slot, fx);
        } else if !std::mem::replace(&mut wait.mounting, true) {
            fx.command(node, RuntimeCommand::MountVolumes { pod });
        }
    }

    /// What a pod's volumes lack. Those of drivers that attach are in use from now on.
    fn lack(&mut self, now: SimTime, slot: usize, fx: &mut Fx) -> Lack {
        let mut lack = Lack::default();
        let row = &self.pods[slot];
        let node = &self.nodes[row.node as usize].node;
        let mut in_use = Vec::new();
        let spec = &row.pod.spec;
        for volume in spec.volumes.iter().filter(|volume| mounts(spec, volume)) {
            match self.objects.missing(&row.pod, volume) {
                None => {}
                Some(Missing::Claim(why)) => lack.claims.push((volume.name, why)),
                Some(Missing::Object(kind, name)) => {
                    lack.object.get_or_insert((volume.name, kind, name));
                }
            }
            if let Some(name) = self.objects.attachable(&row.pod, volume) {
                in_use.push(name);
                if !node.volumes_in_use().contains(&name) || !node.volumes_attached().contains(&name) {
                    lack.unattached.push(volume.name);
                }
            }
        }
        if !in_use.is_empty() {
            self.use_volumes(now, slot, in_use, fx);
        }
        lack
    }

    /// A pod uses these volumes from now on, which its node's status is to say.
    fn use_volumes(&mut self, now: SimTime, slot: usize, volumes: Vec<Symbol>, fx: &mut Fx) {
        let node = self.pods[slot].node;
        let known = std::mem::take(&mut self.pods[slot].extra_mut().volumes.in_use);
        if known != volumes {
            let in_use = &mut self.nodes[node as usize].volumes_in_use;
            volumes.iter().for_each(|volume| in_use.add(*volume));
            known.iter().for_each(|volume| in_use.remove(*volume));
            self.compare_node(now, node, fx);
        }
        self.pods[slot].extra_mut().volumes.in_use = volumes;
    }

    /// A pod that was running before its kubelet looked uses its volumes.
    pub(crate) fn adopt_volumes(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &self.pods[slot];
        let attachable = |volume| self.objects.attachable(&row.pod, volume);
        let volumes: Vec<Symbol> = row.pod.spec.volumes.iter().filter_map(attachable).collect();
        if !volumes.is_empty() {
            self.use_volumes(now, slot, volumes, fx);
        }
    }

    /// Nothing of a pod runs any more, so it uses no volume.
    pub(crate) fn unmount(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        if self.forget_volumes(slot) {
            self.compare_node(now, self.pods[slot].node, fx);
        }
    }

    /// The same, without a word to the API server. Returns whether it used any.
    pub(crate) fn forget_volumes(&mut self, slot: usize) -> bool {
        let row = &mut self.pods[slot];
        let node = row.node;
        let Some(extra) = row.extra.as_mut().filter(|extra| !extra.volumes.in_use.is_empty()) else {
            return false;
        };
        let volumes = std::mem::take(&mut extra.volumes.in_use);
        let in_use = &mut self.nodes[node as usize].volumes_in_use;
        volumes.iter().for_each(|volume| in_use.remove(*volume));
        true
    }

    /// Claims are not bound: the sync has failed.
    fn claims_missing(&mut self, now: SimTime, slot: usize, lack: &Lack, fx: &mut Fx) {
        let object = self.pod_ref(slot);
        let namespace = self.pods[slot].pod.meta.namespace;
        fx.decide(object, Severity::Warning, "FailedMount", || {
            let names: Vec<&str> = lack.claims.iter().map(|(volume, _)| volume.as_str()).collect();
            let others = lack.unattached.iter().map(|volume| volume.as_str());
            let mut unmounted: Vec<&str> = names.iter().copied().chain(others.clone()).collect();
            unmounted.sort_unstable();
            let errors: Vec<String> =
                lack.claims.iter().map(|(_, why)| format!("error processing PVC {namespace}/{why}")).collect();
            format!(
                "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[{}], failed to \
                 process volumes=[{}]: {}",
                unmounted.join(" "),
                others.collect::<Vec<_>>().join(" "),
                names.join(" "),
                errors.join("; ")
            )
        });
        self.give_up_waiting(now, slot, fx);
    }

    /// The sync has waited for long enough: it fails and is tried again.
    fn give_up_waiting(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        self.pods[slot].set(Flag::Failed);
        self.end_sync(now, slot, fx);
        self.advance(now, slot, fx);
    }

    fn retry_mount(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let extra = self.pods[slot].extra_mut();
        let failures = &mut extra.mount_failures;
        *failures = failures.saturating_add(1);
        let wait = MOUNT_RETRY.times(1 << (*failures - 1).min(20)).min(MOUNT_RETRY_MAX);
        fx.timer(now + wait, Timer::Volumes { pod: self.pods[slot].pod.meta.id });
    }

    /// Objects are looked for again.
    pub(crate) fn volumes_due(&mut self, now: SimTime, pod: u32, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        if self.pods[slot].step == Step::Volumes {
            self.look_for_objects(now, slot, fx);
        }
    }

    /// Claims or volumes have changed: pods that waited for one may go on.
    pub(crate) fn claims_changed(&mut self, now: SimTime, fx: &mut Fx) {
        for pod in std::mem::take(&mut self.claimants) {
            self.volumes_due(now, pod, fx);
        }
    }

    /// A node's status lists other volumes than before: its pods may go on.
    pub(crate) fn volumes_listed(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        for pod in std::mem::take(&mut self.nodes[node as usize].awaiting_volumes) {
            self.volumes_due(now, pod, fx);
        }
    }

    /// The runtime has mounted the volumes, or failed to.
    pub(crate) fn volumes_mounted(&mut self, now: SimTime, pod: u32, ok: bool, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        let row = &mut self.pods[slot];
        if let Some(extra) = &mut row.extra {
            extra.volumes.mounting = false;
        }
        if row.step != Step::Volumes {
            // The sync that asked for it has given up; the next one finds it done.
            row.put(Flag::Mounted, ok && row.stage == Stage::Sync);
            return;
        }
        if ok {
            row.set(Flag::Mounted);
            if let Some(extra) = &mut row.extra {
                extra.mount_failures = 0;
            }
            self.act(now, slot, fx);
            self.advance(now, slot, fx);
        } else {
            let object = self.pod_ref(slot);
            let why = self.explanation(slot).text;
            fx.decide(object, Severity::Warning, "FailedMount", || {
                if why.is_empty() { "Unable to attach or mount volumes".to_owned() } else { why.to_string() }
            });
            self.retry_mount(now, slot, fx);
        }
    }
}

impl PodRow {
    /// What the runtime was mounting is void.
    pub(crate) fn stop_mounting(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.volumes.mounting = false;
        }
    }
}
