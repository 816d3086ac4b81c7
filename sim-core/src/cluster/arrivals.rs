//! Pods that arrive by themselves, one after another, without filling the event queue.

use std::fmt;
use std::sync::Arc;

use seatrial_api::object::Object;
use seatrial_api::units::SimTime;

use super::event::{Cause, ClusterEvent, What};
use crate::engine::arrivals::Arrivals;

/// A workload of objects that are created at given instants.
///
/// The source is a function of the position, so that a clone of a simulation goes on where its
/// original was, and nothing but the position has to be kept.
pub trait ArrivalSource: fmt::Debug + Send + Sync {
    /// When the object at `position` arrives; `None` after the last one. Never decreases.
    fn time(&self, position: u32) -> Option<SimTime>;

    /// The object at `position`.
    fn object(&self, position: u32) -> Object;
}

/// The arrivals of a run and how many of them have happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodArrivals {
    source: Option<Arc<dyn ArrivalSource>>,
    position: u32,
    next: Option<SimTime>,
}

impl PodArrivals {
    /// The arrivals of a source from its beginning.
    pub(crate) fn new(source: Option<Arc<dyn ArrivalSource>>) -> PodArrivals {
        let next = source.as_ref().and_then(|source| source.time(0));
        PodArrivals { source, position: 0, next }
    }
}

impl Arrivals<ClusterEvent> for PodArrivals {
    #[inline]
    fn peek_time(&self) -> Option<SimTime> {
        self.next
    }

    #[inline]
    fn take(&mut self) -> Option<(SimTime, ClusterEvent)> {
        let time = self.next?;
        let event = ClusterEvent { what: What::Arrival(self.position), cause: Cause::NONE };
        self.position += 1;
        self.next = self.source.as_ref().and_then(|source| source.time(self.position));
        Some((time, event))
    }
}
