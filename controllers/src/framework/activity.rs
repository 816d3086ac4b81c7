//! What controllers ask of pods: whether they count, since when they are ready, how often they
//! were restarted.

use seatrial_api::pod::{Pod, PodConditionType};
use seatrial_api::units::{SimTime, Span};

/// Whether a pod is going away and has not ended yet: the `terminating` of workload statuses.
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.meta.is_deleting() && !pod.status.phase.is_terminal()
}

/// Whether a pod is not going away: what most controllers ask of a pod before they adopt it.
pub(crate) fn is_not_deleting(pod: &Pod) -> bool {
    !pod.meta.is_deleting()
}

/// Since when a pod is Ready.
pub(crate) fn ready_since(pod: &Pod) -> Option<SimTime> {
    let ready = pod.status.conditions.get(PodConditionType::Ready);
    ready.is_true().then(|| ready.since())
}

/// The seconds of a `minReadySeconds` as a span.
pub(crate) fn min_ready(seconds: i32) -> Span {
    Span::from_secs(i64::from(seconds.max(0)))
}

/// The next instant after `now` at which one of `pods` becomes available by mere waiting.
pub(crate) fn next_availability<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    min_ready: Span,
    now: SimTime,
) -> Option<SimTime> {
    pods.into_iter().filter_map(ready_since).map(|since| since + min_ready).filter(|&at| at > now).min()
}

/// The most restarts among a pod's main containers, and among its sidecars.
pub(crate) fn restarts(pod: &Pod) -> (u32, u32) {
    let init_count = pod.spec.init_containers.len();
    let statuses = pod.status.containers.as_deref().unwrap_or(&[]);
    let mut most = (0, 0);
    for (index, status) in statuses.iter().enumerate() {
        if index >= init_count {
            most.0 = status.restarts.max(most.0);
        } else if pod.spec.init_containers[index].is_sidecar() {
            most.1 = status.restarts.max(most.1);
        }
    }
    most
}
