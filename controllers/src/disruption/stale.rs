//! Takes the DisruptionTarget condition back from pods that were to be disrupted and still live
//! two minutes later.

use seatrial_api::object::Object;
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodReason};
use seatrial_api::request::{Change, Patch, Request};
use seatrial_api::units::{SimTime, Span};

use crate::Config;
use crate::framework::{Client, Context, Controller, Event, Next, Replies, RetryPolicy, Runner, first_error};

const TIMEOUT: Span = Span::from_mins(2);

/// The controller; its keys are rows of pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct StaleDisruption;

impl StaleDisruption {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<StaleDisruption> {
        Runner::new(id, StaleDisruption, RetryPolicy::standard(), Client::new(config.client_limits), 1)
    }
}

/// When the condition of a pod is taken back, if it must be.
fn stale_at(pod: &Pod) -> Option<SimTime> {
    let condition = pod.status.conditions.get(PodConditionType::DisruptionTarget);
    let is_stale =
        condition.is_true() && condition.reason != PodReason::TerminationByKubelet && pod.is_active();
    is_stale.then(|| condition.since() + TIMEOUT)
}

impl Controller for StaleDisruption {
    type Sync = ();

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        if let (Object::Pod(pod), true) = (event.object, event.change != Change::Deleted)
            && let Some(at) = stale_at(pod)
        {
            cx.queue.add_at(at, pod.meta.id);
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, (): &mut (), replies: &Replies) -> Next {
        if !replies.is_empty() {
            return if first_error(replies).is_some() { Next::Retry } else { Next::Done };
        }
        let Some(at) = cx.caches.pods.get(key).and_then(|pod| stale_at(pod)) else { return Next::Done };
        if at > cx.now {
            cx.queue.add_at(at, key);
            return Next::Done;
        }
        let (kind, status) = (PodConditionType::DisruptionTarget, ConditionStatus::False);
        let patch = Patch::PodCondition { kind, status, reason: PodReason::None, message: None };
        Next::send(Request::patch_pod(key, patch))
    }
}
