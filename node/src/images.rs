//! The image of a container: whether it is there, and how it is pulled (upstream
//! `images/image_manager.go`).

use compact_str::{CompactString, format_compact};
use seatrial_api::container::PullPolicy;
use seatrial_api::machine::Severity;
use seatrial_api::runtime::{ContainerId, RuntimeCommand};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::backoff::raised;
use crate::image_names;
use crate::machine::{Fx, Kubelets};
use crate::pulls::{Pull, Turn};
use crate::rows::{InstanceState, Mark, Step, WaitReason};

/// The longest wait between pulls of an image.
const PULL_BACK_OFF_MAX: Span = Span::from_secs(300);

/// Errors of runtimes that are reasons of their own, and how they are told.
const PULL_FAILURES: [(&str, WaitReason, &str); 2] = [
    ("RegistryUnavailable", WaitReason::RegistryUnavailable, "the registry is unavailable"),
    ("SignatureValidationFailed", WaitReason::SignatureValidationFailed, "the signature validation failed"),
];

/// How it stands with an image.
pub(crate) enum Image {
    /// It is there.
    Present,
    /// It is being pulled.
    Awaited,
    /// The container cannot be started now.
    Failed,
}

impl Kubelets {
    /// Sees to the image of a container.
    pub(crate) fn ensure_image(&mut self, now: SimTime, slot: usize, index: usize, fx: &mut Fx) -> Image {
        let row = &self.pods[slot];
        let Some(container) = row.container(index) else { return Image::Failed };
        let (image, policy) = (container.image, container.pull_policy);
        let object = self.pod_ref(slot);
        if let Some(fault) = image_names::fault(image.as_str()) {
            let why = format_compact!(
                "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": {fault}"
            );
            fx.decide_for(object, index, Severity::Warning, "InspectFailed", || why.to_string());
            fx.decide_for(object, index, Severity::Warning, "Failed", || "Error: InvalidImageName");
            self.fail_with(slot, index, WaitReason::InvalidImageName, why);
            return Image::Failed;
        }
        let pulled = self.pulled_name(slot, image);
        let present = self.nodes[row.node as usize].images.contains(pulled);
        match (policy, present) {
            (PullPolicy::Never, false) => {
                let why =
                    format_compact!("Container image \"{image}\" is not present with pull policy of Never");
                fx.decide_for(object, index, Severity::Warning, "ErrImageNeverPull", || why.to_string());
                fx.decide_for(object, index, Severity::Warning, "Failed", || "Error: ErrImageNeverPull");
                self.fail_with(slot, index, WaitReason::ErrImageNeverPull, why);
                return Image::Failed;
            }
            (PullPolicy::IfNotPresent | PullPolicy::Never, true) => {
                fx.decide_for(object, index, Severity::Normal, "Pulled", || {
                    format!(
                        "Container image \"{image}\" already present on machine and can be accessed by the pod"
                    )
                });
                return Image::Present;
            }
            (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, false) => {}
        }
        if self.waits_for_pull(now, slot, index, image, fx) {
            return Image::Failed;
        }
        fx.decide_for(object, index, Severity::Normal, "Pulling", || format!("Pulling image \"{image}\""));
        if self.is_detailed(slot) {
            self.pods[slot].pod_notes_mut().pull = Some((now, now));
        }
        let container = self.next_instance(slot, index);
        let node = self.pods[slot].node;
        let image = pulled;
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
                self.pull_failed(now, slot, index, "pull QPS exceeded".into(), fx);
                Image::Failed
            }
        }
    }

    /// The name by which an image is pulled.
    ///
    /// Model: where statuses have no details, it is the one that is written.
    fn pulled_name(&self, slot: usize, image: Symbol) -> Symbol {
        let tagged = if self.is_detailed(slot) { image_names::with_tag(image.as_str()) } else { None };
        tagged.map_or(image, |tagged| Symbol::new(&tagged))
    }

    /// Whether the last pull has failed so recently that the next one must wait.
    fn waits_for_pull(
        &mut self,
        now: SimTime,
        slot: usize,
        index: usize,
        image: Symbol,
        fx: &mut Fx,
    ) -> bool {
        let row = &self.pods[slot];
        let entry = row.container_extra(index).and_then(|extra| extra.pull);
        if entry.is_none_or(|entry| now - entry.raised_at >= entry.wait) {
            return false;
        }
        let object = self.pod_ref(slot);
        let error = row.notes(index).map_or(CompactString::default(), |notes| notes.pull_error.clone());
        let text = format_compact!("Back-off pulling image \"{image}\"");
        fx.decide_for(object, index, Severity::Normal, "BackOff", || text.to_string());
        fx.decide_for(object, index, Severity::Warning, "Failed", || "Error: ImagePullBackOff");
        let why = if error.is_empty() { text } else { format_compact!("{text}: {error}") };
        self.fail_with(slot, index, WaitReason::ImagePullBackOff, why);
        true
    }

    /// The container and the number that its next instance will have.
    pub(crate) fn next_instance(&self, slot: usize, index: usize) -> ContainerId {
        let row = &self.pods[slot];
        let instance = &row.instances()[index];
        let attempt = match instance.state {
            InstanceState::Absent => instance.attempt,
            InstanceState::Removed => 0,
            _ if self.is_purged(slot, index) => 0,
            _ => instance.attempt.saturating_add(1),
        };
        ContainerId { pod: row.pod.meta.id, index: index as u16, attempt }
    }

    /// Whether the runtime has forgotten all instances of the container: those of init containers
    /// are removed when a new sandbox is made, but the first one is started in the same sync.
    ///
    /// Model: where statuses have no details, instances are numbered on instead.
    pub(crate) fn is_purged(&self, slot: usize, index: usize) -> bool {
        let row = &self.pods[slot];
        (1..row.first_main()).contains(&index)
            && row.instances()[index].is(Mark::Stale)
            && self.is_detailed(slot)
    }

    fn pull_failed(&mut self, now: SimTime, slot: usize, index: usize, error: CompactString, fx: &mut Fx) {
        let object = self.pod_ref(slot);
        let image = self.pods[slot].container(index).map_or(Symbol::empty(), |container| container.image);
        let (reason, shown, why) = pull_failure(image, error);
        fx.decide_for(object, index, Severity::Warning, "Failed", || {
            format!("Failed to pull image \"{image}\": {shown}")
        });
        fx.decide_for(object, index, Severity::Warning, "Failed", || format!("Error: {}", reason.as_str()));
        let detailed = self.is_detailed(slot);
        let extra = self.pods[slot].container_extra_mut(index);
        extra.pull = Some(raised(extra.pull, now, now, PULL_BACK_OFF_MAX));
        if detailed {
            self.pods[slot].notes_mut(index).pull_error = format_compact!("{}: {why}", reason.as_str());
        }
        self.fail_with(slot, index, reason, why);
    }

    /// A pull has ended: the pod goes on, and so does the next pull of the node.
    pub(crate) fn image_pulled(&mut self, now: SimTime, container: ContainerId, ok: bool, fx: &mut Fx) {
        let Some(slot) = self.slot(container.pod) else { return };
        let index = usize::from(container.index);
        let node = self.pods[slot].node;
        let Some(image) = self.pods[slot].container(index).map(|container| container.image) else { return };
        let said = self.explanation(slot).text;
        let pulled = self.pulled_name(slot, image);
        if ok && self.nodes[node as usize].images.add(pulled) {
            self.images_changed(now, node, fx);
        }
        let next = self.nodes[node as usize].puller.done(container);
        self.pull_next(now, node, next, fx);
        let row = &self.pods[slot];
        if row.step != Step::Image || row.cursor != container.index {
            return;
        }
        if ok {
            self.tell_pulled(now, slot, index, image, &said, fx);
            if !self.start_container(slot, index, fx) {
                self.start_next(now, slot, fx);
            }
        } else {
            let error = if said.is_empty() { "the registry did not deliver it".into() } else { said };
            self.pull_failed(now, slot, index, error, fx);
            self.start_next(now, slot, fx);
        }
        self.advance(now, slot, fx);
    }

    fn tell_pulled(&self, now: SimTime, slot: usize, index: usize, image: Symbol, size: &str, fx: &mut Fx) {
        let notes = self.pods[slot].extra.as_ref().and_then(|extra| extra.notes.as_ref());
        let pull = notes.and_then(|notes| notes.pull);
        fx.decide_for(self.pod_ref(slot), index, Severity::Normal, "Pulled", || {
            let text = format!("Successfully pulled image \"{image}\"");
            let Some((asked, began)) = pull else { return text };
            let [took, all] = [began, asked].map(|since| duration(now - since));
            let size = if size.is_empty() { String::new() } else { format!(" Image size: {size} bytes.") };
            format!("{text} in {took} ({all} including waiting).{size}")
        });
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
                        self.pull_failed(now, slot, index, "pull QPS exceeded".into(), fx);
                        self.start_next(now, slot, fx);
                        self.advance(now, slot, fx);
                    }
                    Turn::Now | Turn::Later => {
                        let id = row.id;
                        let notes =
                            self.pods[slot as usize].extra.as_mut().and_then(|extra| extra.notes.as_mut());
                        if let Some(pull) = notes.and_then(|notes| notes.pull.as_mut()) {
                            pull.1 = now;
                        }
                        fx.command(id, RuntimeCommand::PullImage { container, image });
                    }
                },
            }
            next = self.nodes[node as usize].puller.next();
        }
    }
}

/// The reason of a failed pull, how its event tells it and how the status does.
fn pull_failure(image: Symbol, error: CompactString) -> (WaitReason, CompactString, CompactString) {
    let description = error.split_once(" desc = ").map_or(error.as_str(), |(_, description)| description);
    for (word, reason, because) in PULL_FAILURES {
        let Some(rest) = description.strip_prefix(word) else { continue };
        let rest = rest.trim_start_matches(':').trim_start();
        let why = format_compact!("image pull failed for {image} because {because}: {rest}");
        return (reason, description.into(), why);
    }
    (WaitReason::ErrImagePull, error.clone(), error)
}

/// A duration as upstream prints it, in whole milliseconds: `1.5s`, `80ms`.
fn duration(span: Span) -> String {
    let millis = span.nanos() / 1_000_000;
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let (minutes, seconds) = (millis / 60_000, millis % 60_000);
    let fraction = format!("{:03}", seconds % 1_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let minutes = if minutes > 0 { format!("{minutes}m") } else { String::new() };
    format!("{minutes}{}{point}{fraction}s", seconds / 1_000)
}
