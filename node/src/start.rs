//! Starting a pod: its sandbox, then its containers one after the other, each with its image, its
//! start and its hook (upstream `kuberuntime_manager.go` SyncPod).

use seatrial_api::container::PullPolicy;
use seatrial_api::machine::Severity;
use seatrial_api::pod::LastTermination;
use seatrial_api::runtime::{ContainerId, RuntimeCommand};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::backoff::{is_waiting, raised};
use crate::machine::{Fx, Kubelets};
use crate::pulls::{Pull, Turn};
use crate::rows::{Flag, InstanceState, Mark, Step, WaitReason};
use crate::table::Power;

/// The longest wait between pulls of an image.
const PULL_BACK_OFF_MAX: Span = Span::from_secs(300);

impl Kubelets {
    /// Makes the pod's sandbox.
    pub(crate) fn run_sandbox(&mut self, slot: usize, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        row.step = Step::Sandbox;
        let pod = row.pod.meta.id;
        fx.command(self.node_id(slot), RuntimeCommand::RunSandbox { pod });
    }

    /// The sandbox runs (at this address), or could not be made.
    pub(crate) fn sandbox_started(&mut self, now: SimTime, pod: u32, ip: Option<u32>, fx: &mut Fx) {
        let Some(slot) = self.slot(pod) else { return };
        let row = &mut self.pods[slot];
        let unheard = self.nodes[row.node as usize].power == Power::KubeletDown;
        if row.step != Step::Sandbox && !unheard {
            return;
        }
        match ip {
            Some(ip) => {
                if row.is(Flag::SandboxMade) {
                    row.instances_mut().iter_mut().for_each(|instance| instance.mark(Mark::Stale));
                }
                row.set(Flag::SandboxMade);
                row.set(Flag::SandboxReady);
                row.ip = ip;
                if unheard {
                    // The kubelet will find it when it is back.
                    return;
                }
                row.set(Flag::Acted);
                self.publish_sandbox(now, slot, fx);
                self.start_next(now, slot, fx);
            }
            None if unheard => return,
            None => {
                row.set(Flag::Failed);
                let object = self.pod_ref(slot);
                fx.decide(
                    object,
                    Severity::Warning,
                    "FailedCreatePodSandBox",
                    || "Failed to create pod sandbox",
                );
                self.end_sync(now, slot, fx);
            }
        }
        self.advance(now, slot, fx);
    }

    /// Starts the next of the marked containers, or ends the sync.
    pub(crate) fn start_next(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        loop {
            let row = &mut self.pods[slot];
            let from = usize::from(row.cursor);
            let marked = row.instances().iter().skip(from).position(|instance| instance.is(Mark::ToStart));
            let Some(offset) = marked else {
                self.end_sync(now, slot, fx);
                return;
            };
            let index = from + offset;
            row.cursor = index as u16;
            row.instances_mut()[index].unmark(Mark::ToStart);
            if self.holds_back(now, slot, index, fx) {
                continue;
            }
            match self.ensure_image(now, slot, index, fx) {
                Image::Present => {
                    if self.start_container(slot, index, fx) {
                        return;
                    }
                }
                Image::Awaited => return,
                Image::Failed => {}
            }
        }
    }

    /// Notes that a container could not be started. A regular init container holds up all others.
    fn fail(&mut self, slot: usize, index: usize, reason: WaitReason) {
        let row = &mut self.pods[slot];
        row.set(Flag::Failed);
        row.container_extra_mut(index).waiting = Some(reason);
        let first_main = row.first_main();
        let holds_up =
            index < first_main && row.container(index).is_some_and(|container| !container.is_sidecar());
        if holds_up {
            row.instances_mut().iter_mut().for_each(|instance| instance.unmark(Mark::ToStart));
        }
    }

    /// Whether the container must wait for its restart back-off; if not, the back-off is raised.
    fn holds_back(&mut self, now: SimTime, slot: usize, index: usize, fx: &mut Fx) -> bool {
        let row = &self.pods[slot];
        let instance = row.instances()[index];
        let purged = instance.is(Mark::Stale) && index < row.first_main();
        if instance.state == InstanceState::Absent || purged {
            return false;
        }
        let extra = row.container_extra(index);
        // An instance that this very sync has stopped does not count: the one before it does.
        let failed_at = if instance.is(Mark::ToKill) {
            extra.and_then(|extra| extra.last).map(|last| last.finished)
        } else {
            Some(instance.finished_at)
        };
        let Some(failed_at) = failed_at else { return false };
        let entry = extra.and_then(|extra| extra.restart);
        let max = self.nodes[row.node as usize].config.restart_back_off_max;
        if !is_waiting(entry, failed_at, now) {
            let entry = raised(entry, failed_at, now, max);
            self.pods[slot].container_extra_mut(index).restart = Some(entry);
            return false;
        }
        let until = failed_at + entry.map_or(Span::ZERO, |entry| entry.wait);
        let earliest = &mut self.pods[slot].extra_mut().back_off_until;
        *earliest = Some(earliest.map_or(until, |other| other.min(until)));
        let row = &self.pods[slot];
        let object = self.pod_ref(slot);
        fx.decide(object, Severity::Warning, "BackOff", || {
            let name = row.container(index).map_or("", |container| container.name.as_str());
            let meta = &row.pod.meta;
            format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                meta.name, meta.namespace, meta.uid
            )
        });
        self.fail(slot, index, WaitReason::CrashLoopBackOff);
        true
    }

    /// Sees to the image of a container.
    fn ensure_image(&mut self, now: SimTime, slot: usize, index: usize, fx: &mut Fx) -> Image {
        let row = &self.pods[slot];
        let Some(container) = row.container(index) else { return Image::Failed };
        let (image, policy) = (container.image, container.pull_policy);
        let object = self.pod_ref(slot);
        let present = self.nodes[row.node as usize].images.contains(image);
        match (policy, present) {
            (PullPolicy::Never, false) => {
                fx.decide(object, Severity::Warning, "ErrImageNeverPull", || {
                    format!("Container image \"{image}\" is not present with pull policy of Never")
                });
                fx.decide(object, Severity::Warning, "Failed", || "Error: ErrImageNeverPull");
                self.fail(slot, index, WaitReason::ErrImageNeverPull);
                return Image::Failed;
            }
            (PullPolicy::IfNotPresent | PullPolicy::Never, true) => {
                fx.decide(object, Severity::Normal, "Pulled", || {
                    format!(
                        "Container image \"{image}\" already present on machine and can be accessed by the pod"
                    )
                });
                return Image::Present;
            }
            (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, false) => {}
        }
        let entry = row.container_extra(index).and_then(|extra| extra.pull);
        if entry.is_some_and(|entry| now - entry.raised_at < entry.wait) {
            fx.decide(object, Severity::Normal, "BackOff", || format!("Back-off pulling image \"{image}\""));
            fx.decide(object, Severity::Warning, "Failed", || "Error: ImagePullBackOff");
            self.fail(slot, index, WaitReason::ImagePullBackOff);
            return Image::Failed;
        }
        let container = self.next_instance(slot, index);
        fx.decide(object, Severity::Normal, "Pulling", || format!("Pulling image \"{image}\""));
        let node = self.pods[slot].node;
        match self.nodes[node as usize].puller.ask(now, (container, image)) {
            Turn::Now => {
                fx.command(self.node_id(slot), RuntimeCommand::PullImage { container, image });
                self.pods[slot].step = Step::Image;
                Image::Awaited
            }
            Turn::Later => {
                self.pods[slot].step = Step::Image;
                Image::Awaited
            }
            Turn::Refused => {
                self.pull_failed(now, slot, index, "pull QPS exceeded", fx);
                Image::Failed
            }
        }
    }

    /// The container and the number that its next instance will have.
    fn next_instance(&self, slot: usize, index: usize) -> ContainerId {
        let row = &self.pods[slot];
        let instance = &row.instances()[index];
        let attempt = match instance.state {
            InstanceState::Absent => instance.attempt,
            _ => instance.attempt.saturating_add(1),
        };
        ContainerId { pod: row.pod.meta.id, index: index as u16, attempt }
    }

    fn pull_failed(&mut self, now: SimTime, slot: usize, index: usize, why: &'static str, fx: &mut Fx) {
        let object = self.pod_ref(slot);
        let image = self.pods[slot].container(index).map_or(Symbol::empty(), |container| container.image);
        fx.decide(object, Severity::Warning, "Failed", || format!("Failed to pull image \"{image}\": {why}"));
        fx.decide(object, Severity::Warning, "Failed", || "Error: ErrImagePull");
        let extra = self.pods[slot].container_extra_mut(index);
        extra.pull = Some(raised(extra.pull, now, now, PULL_BACK_OFF_MAX));
        self.fail(slot, index, WaitReason::ErrImagePull);
    }

    /// A pull has ended: the pod goes on, and so does the next pull of the node.
    pub(crate) fn image_pulled(&mut self, now: SimTime, container: ContainerId, ok: bool, fx: &mut Fx) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        let node = self.pods[slot].node;
        let Some(image) = self.pods[slot].container(index).map(|container| container.image) else { return };
        if ok && self.nodes[node as usize].images.add(image) {
            self.images_changed(now, node, fx);
        }
        let next = self.nodes[node as usize].puller.done(container);
        self.pull_next(now, node, next, fx);
        let row = &self.pods[slot];
        if row.step != Step::Image || row.cursor != container.index {
            return;
        }
        if ok {
            let object = self.pod_ref(slot);
            fx.decide(object, Severity::Normal, "Pulled", || {
                format!("Successfully pulled image \"{image}\"")
            });
            if !self.start_container(slot, index, fx) {
                self.start_next(now, slot, fx);
            }
        } else {
            self.pull_failed(now, slot, index, "the registry did not deliver it", fx);
            self.start_next(now, slot, fx);
        }
        self.advance(now, slot, fx);
    }

    /// Begins the pulls that have their turn now.
    fn pull_next(&mut self, now: SimTime, node: u32, mut next: Option<Pull>, fx: &mut Fx) {
        while let Some((container, image)) = next {
            let row = &mut self.nodes[node as usize];
            match self.pod_slots.get(container.pod) {
                // The pod has left the node while it waited.
                None => {}
                Some(&slot) => match row.puller.begin(now, container) {
                    Turn::Refused => {
                        let (slot, index) = (slot as usize, usize::from(container.index));
                        self.pull_failed(now, slot, index, "pull QPS exceeded", fx);
                        self.start_next(now, slot, fx);
                        self.advance(now, slot, fx);
                    }
                    Turn::Now | Turn::Later => {
                        let id = row.id;
                        fx.command(id, RuntimeCommand::PullImage { container, image });
                    }
                },
            }
            next = self.nodes[node as usize].puller.next();
        }
    }

    /// Starts a container whose image is there. Returns whether the sync waits for it.
    fn start_container(&mut self, slot: usize, index: usize, fx: &mut Fx) -> bool {
        let row = &self.pods[slot];
        let Some(container) = row.container(index) else { return false };
        let namespace = row.pod.meta.namespace;
        if !container.env_refs.is_empty()
            && let Some(lacking) =
                container.env_refs.iter().find(|reference| !self.objects.satisfies(namespace, reference))
        {
            let object = self.pod_ref(slot);
            fx.decide(object, Severity::Warning, "Failed", || {
                let kind = if lacking.secret { "secret" } else { "configmap" };
                match lacking.key {
                    Some(key) => {
                        format!("Error: couldn't find key {key} in {kind} {namespace}/{}", lacking.name)
                    }
                    None => format!("Error: {kind} \"{}\" not found", lacking.name),
                }
            });
            self.fail(slot, index, WaitReason::CreateContainerConfigError);
            return false;
        }
        let container = self.next_instance(slot, index);
        fx.command(self.node_id(slot), RuntimeCommand::StartContainer { container });
        self.pods[slot].step = Step::Start;
        true
    }

    /// A container runs, or could not be started.
    pub(crate) fn container_started(&mut self, now: SimTime, container: ContainerId, ok: bool, fx: &mut Fx) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        let row = &self.pods[slot];
        let expected = row.step == Step::Start && row.cursor == container.index;
        let unheard = self.nodes[row.node as usize].power == Power::KubeletDown;
        if !(expected || unheard) || index >= row.instances().len() {
            return;
        }
        if self.next_instance(slot, index) != container {
            return;
        }
        self.keep_last(slot, index);
        if unheard {
            // The kubelet will find it when it is back.
            let instance = &mut self.pods[slot].instances_mut()[index];
            instance.attempt = container.attempt;
            instance.begin(now);
            if ok {
                self.mark_unprobed(slot, index);
            } else {
                instance.end(now, 128, InstanceState::StartError);
            }
            return;
        }
        let object = self.pod_ref(slot);
        let row = &mut self.pods[slot];
        row.set(Flag::Acted);
        let instance = &mut row.instances_mut()[index];
        instance.attempt = container.attempt;
        fx.decide(object, Severity::Normal, "Created", || "Container created");
        if ok {
            instance.begin(now);
            fx.decide(object, Severity::Normal, "Started", || "Container started");
            self.container_runs(slot, index, container, fx);
            if self.pods[slot].step == Step::PostStart {
                return;
            }
        } else {
            instance.begin(now);
            instance.end(now, 128, InstanceState::StartError);
            fx.decide(object, Severity::Warning, "Failed", || "Error: failed to start container");
            self.fail(slot, index, WaitReason::RunContainerError);
        }
        self.start_next(now, slot, fx);
        self.advance(now, slot, fx);
    }

    /// A container could not be created: there is no instance of it.
    pub(crate) fn not_created(&mut self, now: SimTime, container: ContainerId, fx: &mut Fx) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        if self.pods[slot].step != Step::Start || self.pods[slot].cursor != container.index {
            return;
        }
        let object = self.pod_ref(slot);
        fx.decide(object, Severity::Warning, "Failed", || "Error: failed to create container");
        self.fail(slot, index, WaitReason::CreateContainerError);
        self.start_next(now, slot, fx);
        self.advance(now, slot, fx);
    }

    /// Remembers how the instance before ended.
    fn keep_last(&mut self, slot: usize, index: usize) {
        let row = &mut self.pods[slot];
        let instance = row.instances()[index];
        if instance.state > InstanceState::Running {
            let reason = self.names.end_reason(instance.state);
            let last =
                LastTermination { finished: instance.finished_at, exit_code: instance.exit_code, reason };
            row.container_extra_mut(index).last = Some(last);
        }
    }

    /// An instance has begun to run: what it must pass is noted, and its hook begins.
    fn container_runs(&mut self, slot: usize, index: usize, id: ContainerId, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        if let Some(extra) = &mut row.extra
            && let Some(extra) = extra.containers.get_mut(index)
        {
            extra.waiting = None;
        }
        let hook = row.container(index).is_some_and(|container| container.post_start.is_some());
        self.mark_unprobed(slot, index);
        let row = &mut self.pods[slot];
        if hook {
            row.step = Step::PostStart;
            fx.command(self.node_id(slot), RuntimeCommand::PostStart { container: id });
        }
    }

    /// What no probe asks for counts as passed.
    fn mark_unprobed(&mut self, slot: usize, index: usize) {
        let row = &mut self.pods[slot];
        let Some(container) = row.container(index) else { return };
        let (startup, readiness) = (container.startup_probe.is_some(), container.readiness_probe.is_some());
        let instance = &mut row.instances_mut()[index];
        if !startup {
            instance.mark(Mark::Started);
        }
        if !readiness {
            instance.mark(Mark::Ready);
        }
    }

    /// The hook after the start has ended. If it failed, the container is stopped.
    pub(crate) fn post_start_done(&mut self, now: SimTime, container: ContainerId, ok: bool, fx: &mut Fx) {
        let Some(slot) = self.slot(container.pod) else { return };
        let row = &self.pods[slot];
        if row.step != Step::PostStart || row.cursor != container.index {
            return;
        }
        let index = usize::from(container.index);
        if !ok {
            let object = self.pod_ref(slot);
            fx.decide(object, Severity::Warning, "FailedPostStartHook", || "PostStartHook failed");
            if self.pods[slot].instances()[index].runs() {
                let grace = self.pod_grace(slot);
                self.stop_container(slot, index, grace, "FailedPostStartHook", fx);
                return;
            }
            self.fail(slot, index, WaitReason::PostStartHookError);
        }
        self.start_next(now, slot, fx);
        self.advance(now, slot, fx);
    }

    /// A container whose hook had failed has ended.
    pub(crate) fn post_start_stopped(&mut self, now: SimTime, slot: usize, index: usize, fx: &mut Fx) {
        self.fail(slot, index, WaitReason::PostStartHookError);
        self.start_next(now, slot, fx);
        self.advance(now, slot, fx);
    }
}

/// How it stands with an image.
enum Image {
    /// It is there.
    Present,
    /// It is being pulled.
    Awaited,
    /// The container cannot be started now.
    Failed,
}
