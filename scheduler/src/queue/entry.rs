//! What the scheduler remembers of a pod.

use std::ops::Index;
use std::sync::Arc;

use seatrial_api::pages::Pages;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::framework::{PluginId, PluginSet};

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Ready to be tried.
    Active,
    /// Backing off after a rejection.
    Backoff,
    /// Backing off after an error.
    ErrorBackoff,
    /// Waiting for something to change.
    Pool,
    /// Waiting for other pods of its group to come.
    Gathering,
    /// Being tried.
    InFlight,
    /// Given up, because it is being deleted.
    Dropped,
    /// Placed in the scheduler's memory; the binding is under way.
    Assumed(Symbol),
    /// On its node.
    Assigned(Symbol),
}

/// What the scheduler remembers of a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodEntry {
    pub(crate) pod: Arc<Pod>,
    pub(crate) place: Place,
    /// Where the node was last seen in the visiting order.
    pub(crate) row: u32,
    /// The profile that places it.
    pub(crate) profile: u8,
    /// The PreEnqueue plugin that holds it back.
    pub(crate) gated_by: Option<PluginId>,
    /// Tells valid heap entries from stale ones.
    pub(super) ticket: u32,
    /// When it last entered the queue.
    pub(super) timestamp: SimTime,
    /// When it first did.
    pub(super) arrival: SimTime,
    pub(crate) attempts: u32,
    pub(super) unschedulable_count: u32,
    pub(super) error_count: u32,
    /// The plugins that rejected it in its last attempt.
    pub(crate) rejectors: PluginSet,
    /// How far its preemption is.
    pub(crate) preempting: Preempting,
}

/// How far a preemption is. While it is under way the preemptor stays out of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Preempting {
    /// There is none.
    #[default]
    No,
    /// Victims are being asked to go, the last one aside.
    Calls,
    /// The last victim is being asked to go; over as soon as it is seen to.
    LastVictim(u32),
}

impl PodEntry {
    pub(crate) fn new(pod: Arc<Pod>, place: Place, profile: u8, now: SimTime) -> PodEntry {
        PodEntry {
            pod,
            place,
            row: u32::MAX,
            profile,
            gated_by: None,
            ticket: 0,
            timestamp: now,
            arrival: now,
            attempts: 0,
            unschedulable_count: 0,
            error_count: 0,
            rejectors: PluginSet::EMPTY,
            preempting: Preempting::No,
        }
    }
}

/// All pods that the scheduler knows, by their rows in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodTable(Pages<PodEntry>);

impl PodTable {
    pub(crate) fn get(&self, pod: &u32) -> Option<&PodEntry> {
        self.0.get(*pod)
    }

    pub(crate) fn get_mut(&mut self, pod: &u32) -> Option<&mut PodEntry> {
        self.0.get_mut(*pod)
    }

    pub(crate) fn insert(&mut self, pod: u32, entry: PodEntry) {
        self.0.insert(pod, entry);
    }

    pub(crate) fn remove(&mut self, pod: &u32) {
        self.0.remove(*pod);
    }
}

impl Index<&u32> for PodTable {
    type Output = PodEntry;

    fn index(&self, pod: &u32) -> &PodEntry {
        self.get(pod).expect("invariant: the scheduler knows the pod")
    }
}
