//! What kubelets note of pods where somebody reads the details of their statuses: why things are as
//! they are, in words, and from which images containers were made.
//!
//! Nothing of this exists for a node whose settings do not ask for it
//! ([`crate::KubeletConfig::detailed_statuses`]).

use compact_str::CompactString;
use seatrial_api::status_detail::Times;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::machine::Kubelets;
use crate::rows::{InstanceState, PodRow};

/// Why the next report of a runtime about a pod is as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// A reason in one word, where the report has one: of the end of a container, or `warning` of a
    /// probe that succeeded with a warning.
    pub reason: Symbol,
    /// The error, the termination message of a container, or what a probe has printed; of a pulled
    /// image its size in bytes.
    pub text: CompactString,
    /// What the command of a failed hook has printed.
    pub output: CompactString,
}

/// Notes on a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodNotes {
    /// Why the next report is as it is.
    pub explanation: Option<Explanation>,
    /// Addresses after the first one.
    pub more_ips: Vec<CompactString>,
    /// When the pull under way was asked for, and when it began.
    pub pull: Option<(SimTime, SimTime)>,
}

/// Notes on a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerNotes {
    /// The image of the newest instance.
    pub image: Symbol,
    /// The reason with which it ended, if it is none of the usual ones.
    pub reason: Symbol,
    /// Its termination message.
    pub message: CompactString,
    /// The message of why its start failed.
    pub waiting: CompactString,
    /// The error of the last pull, with its reason in front.
    pub pull_error: CompactString,
    /// The termination message of the instance before.
    pub last_message: CompactString,
    /// Which times are known of the instance before.
    pub last_times: Times,
}

impl PodRow {
    /// The notes on a container, if there are any.
    pub(crate) fn notes(&self, index: usize) -> Option<&ContainerNotes> {
        self.container_extra(index)?.notes.as_deref()
    }

    /// The notes on a container; made if there are none.
    pub(crate) fn notes_mut(&mut self, index: usize) -> &mut ContainerNotes {
        self.container_extra_mut(index).notes.get_or_insert_default()
    }

    /// The notes on the pod; made if there are none.
    pub(crate) fn pod_notes_mut(&mut self) -> &mut PodNotes {
        self.extra_mut().notes.get_or_insert_default()
    }
}

/// Which times a state has that tells of an ended instance.
pub(crate) fn times(state: InstanceState) -> Times {
    match state {
        InstanceState::StartError => Times::NeverStarted,
        InstanceState::Removed => Times::Lost,
        _ => Times::Known,
    }
}

impl Kubelets {
    /// Says why the next report of the runtime about this pod is as it is. Without it the kubelet's
    /// messages are general ones.
    pub fn explain(&mut self, pod: u32, why: Explanation) {
        if let Some(slot) = self.slot(pod)
            && self.is_detailed(slot)
        {
            self.pods[slot].pod_notes_mut().explanation = Some(why);
        }
    }

    /// Says which addresses the pod's next sandbox has besides the first one.
    pub fn more_addresses(&mut self, pod: u32, addresses: Vec<CompactString>) {
        if let Some(slot) = self.slot(pod)
            && self.is_detailed(slot)
        {
            self.pods[slot].pod_notes_mut().more_ips = addresses;
        }
    }

    /// The address under which a pod is probed, if it has one.
    pub fn pod_address(&self, pod: u32) -> Option<u32> {
        let row = &self.pods[self.slot(pod)?];
        let ip = if row.pod.spec.host_network { self.nodes[row.node as usize].ip } else { row.ip };
        Some(ip).filter(|ip| *ip != 0)
    }

    /// Whether the details of the pod's status are written.
    pub(crate) fn is_detailed(&self, slot: usize) -> bool {
        self.nodes[self.pods[slot].node as usize].config.detailed_statuses
    }

    /// Why the report at hand is as it is; nothing where nothing was said.
    pub(crate) fn explanation(&mut self, slot: usize) -> Explanation {
        let notes = self.pods[slot].extra.as_mut().and_then(|extra| extra.notes.as_mut());
        notes.and_then(|notes| notes.explanation.take()).unwrap_or_default()
    }
}
