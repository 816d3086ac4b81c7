//! The wait for a pod's volumes: objects that they come from are looked for
//! with a back-off, claims are noticed when they are bound; the runtime mounts the rest.

use seatrial_api::machine::Severity;
use seatrial_api::object::Kind;
use seatrial_api::pod::PodSpec;
use seatrial_api::runtime::RuntimeCommand;
use seatrial_api::units::{SimTime, Span};

use crate::machine::{Fx, Kubelets, Timer};
use crate::objects::Missing;
use crate::rows::{Flag, Step};

/// The first wait after a failed mount.
const MOUNT_RETRY: Span = Span::from_millis(500);
/// The longest.
const MOUNT_RETRY_MAX: Span = Span::from_secs(122);

/// Whether some container mounts a volume.
fn mounts_anything(spec: &PodSpec) -> bool {
    !spec.volumes.is_empty()
        && spec.all_containers().any(|container| {
            container.mounts.iter().any(|name| spec.volumes.iter().any(|volume| volume.name == *name))
        })
}

impl Kubelets {
    /// Sees to the volumes and says whether the sync can go on at once.
    pub(crate) fn mount(&mut self, now: SimTime, slot: usize, fx: &mut Fx) -> bool {
        let row = &mut self.pods[slot];
        if row.is(Flag::Mounted) || row.is_leaving() {
            return true;
        }
        if !mounts_anything(&row.pod.spec) {
            row.set(Flag::Mounted);
            return true;
        }
        row.step = Step::Volumes;
        self.look_for_objects(now, slot, fx);
        false
    }

    /// Has the runtime mount the volumes if all that they need is there; else looks again later.
    fn look_for_objects(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &self.pods[slot];
        let spec = &row.pod.spec;
        let mounted = |name| spec.all_containers().any(|container| container.mounts.contains(&name));
        let missing = spec
            .volumes
            .iter()
            .filter(|volume| mounted(volume.name))
            .find_map(|volume| Some((volume.name, self.objects.missing(&row.pod, volume)?)));
        let pod = row.pod.meta.id;
        match missing {
            None => {
                self.pods[slot].extra_mut().mount_failures = 0;
                fx.command(self.node_id(slot), RuntimeCommand::MountVolumes { pod });
            }
            Some((_, Missing::Claim(_))) => self.claimants.push(pod),
            Some((volume, Missing::Object(kind, name))) => {
                let object = self.pod_ref(slot);
                fx.decide(object, Severity::Warning, "FailedMount", || {
                    let kind = if kind == Kind::Secret { "secret" } else { "configmap" };
                    format!("MountVolume.SetUp failed for volume \"{volume}\" : {kind} \"{name}\" not found")
                });
                self.retry_mount(now, slot, fx);
            }
        }
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

    /// Claims have changed: pods that waited for one may go on.
    pub(crate) fn claims_changed(&mut self, now: SimTime, fx: &mut Fx) {
        for pod in std::mem::take(&mut self.claimants) {
            self.volumes_due(now, pod, fx);
        }
    }

    /// The runtime has mounted the volumes, or failed to.
    pub(crate) fn volumes_mounted(&mut self, now: SimTime, pod: u32, ok: bool, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        let row = &mut self.pods[slot];
        if row.step != Step::Volumes {
            return;
        }
        if ok {
            row.set(Flag::Mounted);
            self.act(now, slot, fx);
            self.advance(now, slot, fx);
        } else {
            let object = self.pod_ref(slot);
            fx.decide(object, Severity::Warning, "FailedMount", || "Unable to attach or mount volumes");
            self.retry_mount(now, slot, fx);
        }
    }
}
