//! Starting a pod: its sandbox, then its containers one after the other, each with its image, its
//! start and its hook (upstream `kuberuntime_manager.go` SyncPod).

use compact_str::{CompactString, format_compact};
use seatrial_api::container::Container;
use seatrial_api::machine::Severity;
use seatrial_api::pod::{LastTermination, Pod};
use seatrial_api::runtime::{ContainerId, RuntimeCommand};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::backoff::{is_waiting, raised};
use crate::hooks;
use crate::images::Image;
use crate::machine::{Fx, Kubelets};
use crate::notes::times;
use crate::rows::{Flag, InstanceState, Mark, Step, WaitReason};
use crate::table::Power;

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
                let error = self.explanation(slot).text;
                fx.decide(object, Severity::Warning, "FailedCreatePodSandBox", || {
                    format!("Failed to create pod sandbox{}", after_colon(&error))
                });
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

    /// Notes that a container could not be started, and why.
    pub(crate) fn fail_with(&mut self, slot: usize, index: usize, reason: WaitReason, why: CompactString) {
        if self.is_detailed(slot) {
            self.pods[slot].notes_mut(index).waiting = why;
        }
        self.fail(slot, index, reason);
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
        if matches!(instance.state, InstanceState::Absent | InstanceState::Removed) || purged {
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
        let name = row.container(index).map_or(Symbol::empty(), |container| container.name);
        fx.decide_for(object, index, Severity::Warning, "BackOff", || {
            format!("Back-off restarting failed container {name} in pod {}", full_name(&row.pod))
        });
        let why = if self.is_detailed(slot) {
            let wait = entry.map_or(Span::ZERO, |entry| entry.wait);
            let wait = seatrial_api::duration::to_text(wait);
            format_compact!("back-off {wait} restarting failed container={name} pod={}", full_name(&row.pod))
        } else {
            CompactString::default()
        };
        self.fail_with(slot, index, WaitReason::CrashLoopBackOff, why);
        true
    }

    /// Starts a container whose image is there. Returns whether the sync waits for it.
    pub(crate) fn start_container(&mut self, slot: usize, index: usize, fx: &mut Fx) -> bool {
        let row = &self.pods[slot];
        let Some(container) = row.container(index) else { return false };
        if let Some(why) = self.misconfigured(slot, container) {
            let object = self.pod_ref(slot);
            fx.decide_for(object, index, Severity::Warning, "Failed", || format!("Error: {why}"));
            self.fail_with(slot, index, WaitReason::CreateContainerConfigError, why);
            return false;
        }
        let container = self.next_instance(slot, index);
        fx.command(self.node_id(slot), RuntimeCommand::StartContainer { container });
        self.pods[slot].step = Step::Start;
        true
    }

    /// Why a container cannot even be configured, if it cannot.
    fn misconfigured(&self, slot: usize, container: &Container) -> Option<CompactString> {
        let pod = &self.pods[slot].pod;
        let namespace = pod.meta.namespace;
        let lacking = container.env_refs.iter().find(|one| !self.objects.satisfies(namespace, one));
        if let Some(lacking) = lacking {
            let kind = if lacking.secret { "Secret" } else { "ConfigMap" };
            return Some(match lacking.key.filter(|_| self.objects.knows(namespace, lacking)) {
                Some(key) => {
                    format_compact!("couldn't find key {key} in {kind} {namespace}/{}", lacking.name)
                }
                None => {
                    let kind = kind.to_lowercase();
                    format_compact!("{kind} \"{}\" not found", lacking.name)
                }
            });
        }
        // Model: an image whose user the pod does not say is what `runAsNonRoot` asks for.
        let as_root = match container.run_as_user {
            Some(user) => user == 0,
            None => self.nodes[self.pods[slot].node as usize].config.images_run_as_root,
        };
        (container.non_root == Some(true) && as_root).then(|| {
            format_compact!(
                "container has runAsNonRoot and image will run as root (pod: \"{}\", container: {})",
                full_name(pod),
                container.name
            )
        })
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
        if self.is_purged(slot, index) {
            let row = &mut self.pods[slot];
            let attempts = row.instances()[index].attempt.saturating_add(1);
            let extra = row.container_extra_mut(index);
            extra.restarts_before = extra.restarts_before.saturating_add(attempts);
        }
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
        let error = self.explanation(slot).text;
        self.note_start(slot, index, &error);
        let row = &mut self.pods[slot];
        row.set(Flag::Acted);
        row.resized_by_start(index);
        let instance = &mut row.instances_mut()[index];
        instance.attempt = container.attempt;
        fx.decide_for(object, index, Severity::Normal, "Created", || "Container created");
        if ok {
            instance.begin(now);
            fx.decide_for(object, index, Severity::Normal, "Started", || "Container started");
            self.container_runs(slot, index, container, fx);
            if self.pods[slot].step == Step::PostStart {
                return;
            }
        } else {
            instance.begin(now);
            instance.end(now, 128, InstanceState::StartError);
            let why = description(&error, "failed to start container");
            fx.decide_for(object, index, Severity::Warning, "Failed", || format!("Error: {why}"));
            self.fail_with(slot, index, WaitReason::RunContainerError, why);
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
        let why = description(&self.explanation(slot).text, "failed to create container");
        fx.decide_for(object, index, Severity::Warning, "Failed", || format!("Error: {why}"));
        self.fail_with(slot, index, WaitReason::CreateContainerError, why);
        self.start_next(now, slot, fx);
        self.advance(now, slot, fx);
    }

    /// Notes what a new instance was made of. One that did not start has its error as message.
    fn note_start(&mut self, slot: usize, index: usize, error: &str) {
        if !self.is_detailed(slot) {
            return;
        }
        let row = &mut self.pods[slot];
        let image = row.container(index).map_or(Symbol::empty(), |container| container.image);
        let notes = row.notes_mut(index);
        notes.image = image;
        notes.reason = Symbol::empty();
        notes.message = if error.is_empty() { CompactString::default() } else { description(error, "") };
    }

    /// Remembers how the instance before ended.
    fn keep_last(&mut self, slot: usize, index: usize) {
        let detailed = self.is_detailed(slot);
        let row = &mut self.pods[slot];
        let instance = row.instances()[index];
        if instance.state > InstanceState::Running {
            let mut reason = self.names.end_reason(instance.state);
            if detailed {
                let notes = row.notes_mut(index);
                reason = if notes.reason.is_empty() { reason } else { notes.reason };
                notes.last_message = std::mem::take(&mut notes.message);
                notes.last_times = times(instance.state);
            }
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
            let why = self.explanation(slot);
            fx.decide_for(object, index, Severity::Warning, "FailedPostStartHook", || "PostStartHook failed");
            if self.is_detailed(slot) {
                let row = &mut self.pods[slot];
                let text = row.container(index).map(|one| hooks::failure(&row.pod, one, &why));
                row.notes_mut(index).waiting = text.unwrap_or_default();
            }
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
        // That it has ended is news at the node's next listing.
        self.pods[slot].set(Flag::News);
        self.await_relist(now, slot, fx);
        self.advance(now, slot, fx);
    }
}

/// A pod as messages of the kubelet name it.
pub(crate) fn full_name(pod: &Pod) -> String {
    format!("{}_{}({})", pod.meta.name, pod.meta.namespace, pod.meta.uid)
}

/// An error behind a colon; nothing if none is known.
fn after_colon(error: &str) -> String {
    if error.is_empty() { String::new() } else { format!(": {error}") }
}

/// What a runtime's error says, without its code; `general` if nothing is known.
fn description(error: &str, general: &'static str) -> CompactString {
    match error.split_once(" desc = ") {
        Some((_, description)) => description.into(),
        None if error.is_empty() => general.into(),
        None => error.into(),
    }
}
