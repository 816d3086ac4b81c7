//! The horizontal pod autoscaler (upstream `pkg/controller/podautoscaler`).
//!
//! Every autoscaler is synced 15 s after it was created and 15 s after the end of each sync; no
//! change brings a sync forward. Metrics come from the metrics server and, where something serves
//! them, from the custom and external metrics APIs.

mod limits;
mod metrics;
mod replicas;
mod target;
mod totals;

use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::autoscaling::{HorizontalPodAutoscaler, HpaStatus};
use seatrial_api::machine::{MetricValue, PodMetrics, Severity};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::request::{ApiError, Change, Patch, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{Condition, condition};

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Mode, Next, Replies, RetryPolicy, Runner, first_error,
};
use crate::selected_pods::{Filter, Revision, SelectedPods};
use metrics::{Answers, Scaled};
use target::{Scale, scale_of};

pub use limits::{Decision as ScaleDecision, History as ScaleHistory, Request as ScaleRequest};
pub use replicas::{Measurement, Proposal, Resource as MeasuredResource, Sample, Tolerances};
pub use totals::Total;

/// The time between two syncs of an autoscaler.
const PERIOD: Span = Span::from_secs(15);
/// Why a size below the bounds is changed.
const BELOW_MINIMUM: &str = "Current number of replicas below Spec.MinReplicas";
/// Workers of the controller.
const WORKERS: usize = 5;

/// The controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct HpaController {
    /// The selectors of the targets, by autoscaler.
    selected: SelectedPods,
    histories: FxHashMap<u32, ScaleHistory>,
    /// Autoscalers whose pods no other one selects, as of these revisions.
    unambiguous: FxHashMap<u32, Revision>,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The metrics APIs were asked.
    Measuring,
    /// The target's size is being written.
    Scaling,
    /// The status is being written.
    Status,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    autoscaler: Option<Arc<HorizontalPodAutoscaler>>,
    scale: Option<Scale>,
    answers: Answers,
    status: HpaStatus,
    /// The size that is being written, and why.
    desired: i32,
    reason: String,
}

impl HpaController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<HpaController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, HpaController::default(), RetryPolicy::standard(), client, WORKERS)
    }

    /// Looks at the target; without metrics to wait for, decides at once.
    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(autoscaler) = cx.caches.autoscalers.get(key).cloned() else { return Next::Done };
        sync.status = autoscaler.status.clone();
        sync.autoscaler = Some(autoscaler.clone());
        let scale = match scale_of(cx.caches, &autoscaler) {
            Ok(scale) => scale,
            Err(error) => {
                warn(cx, &autoscaler, "FailedGetScale", &error);
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {error}");
                set(
                    &mut sync.status,
                    cx.now,
                    "AbleToScale",
                    ConditionStatus::False,
                    "FailedGetScale",
                    &message,
                );
                return self.write_status(cx, key, sync);
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        set(&mut sync.status, cx.now, "AbleToScale", ConditionStatus::True, "SucceededGetScale", message);
        self.histories.entry(key).or_default().begin(cx.now, scale.replicas);
        let current = scale.replicas;
        sync.scale = Some(scale.clone());
        if current == 0 && !Self::may_leave_zero(cx, &autoscaler) {
            let message = "scaling is disabled since the replica count of the target is zero";
            set(
                &mut sync.status,
                cx.now,
                "ScalingActive",
                ConditionStatus::False,
                "ScalingDisabled",
                message,
            );
            return self.stay(cx, key, sync, Vec::new());
        }
        if current > autoscaler.max_replicas {
            let reason = "Current number of replicas above Spec.MaxReplicas";
            return self.rescale(cx, sync, autoscaler.max_replicas, reason.to_string(), Vec::new());
        }
        if current != 0 && current < autoscaler.min_replicas {
            return self.rescale(cx, sync, autoscaler.min_replicas, BELOW_MINIMUM.to_string(), Vec::new());
        }
        if let Err(error) = self.check_selector(cx, key, &autoscaler, &scale, &mut sync.status) {
            return self.give_up(cx, key, sync, Vec::new(), &error);
        }
        sync.stage = Stage::Measuring;
        Next::batch(Mode::EachInTurn, metrics::queries(&autoscaler, &scale.selector))
    }

    /// Whether a target of size zero was brought there by its autoscaler, which then may also bring it
    /// back (`HPAScaleToZero`).
    fn may_leave_zero(cx: &Context<'_>, autoscaler: &HorizontalPodAutoscaler) -> bool {
        let scaled_to_zero = condition(&autoscaler.status.conditions, "ScaledToZero")
            .is_some_and(|condition| condition.status == ConditionStatus::True);
        cx.config.hpa_scale_to_zero
            && scaled_to_zero
            && (autoscaler.min_replicas != 0 || metrics::has_totals(autoscaler))
    }

    /// Notes whether a change of size was one to zero for want of load.
    fn note_zero(cx: &Context<'_>, autoscaler: &HorizontalPodAutoscaler, sync: &mut Sync, from: i32) {
        const KIND: &str = "ScaledToZero";
        if !cx.config.hpa_scale_to_zero {
            sync.status.conditions.retain(|condition| condition.kind != KIND);
            return;
        }
        let to_zero =
            from > 0 && sync.desired == 0 && autoscaler.min_replicas == 0 && metrics::has_totals(autoscaler);
        let (state, reason, message) = if to_zero {
            (ConditionStatus::True, "ScaledToZero", "the HPA controller scaled the workload to zero")
        } else {
            let message = "the HPA controller did not scale the workload to zero";
            (ConditionStatus::False, "NotScaledToZero", message)
        };
        set(&mut sync.status, cx.now, KIND, state, reason, message);
    }

    /// The target must select pods, and pods that no other autoscaler selects.
    fn check_selector(
        &mut self,
        cx: &mut Context<'_>,
        key: u32,
        autoscaler: &HorizontalPodAutoscaler,
        scale: &Scale,
        status: &mut HpaStatus,
    ) -> Result<(), String> {
        let inactive = ConditionStatus::False;
        if scale.selector.is_empty() {
            warn(cx, autoscaler, "SelectorRequired", "selector is required");
            let message = "the HPA target's scale is missing a selector";
            set(status, cx.now, "ScalingActive", inactive, "InvalidSelector", message);
            return Err("selector is required".to_string());
        }
        self.selected.put(key, autoscaler.meta.namespace, Filter::Selector(scale.selector.clone()));
        let revision = self.selected.revision(key);
        if revision.is_some() && revision == self.unambiguous.get(&key).copied() {
            return Ok(());
        }
        let caches = cx.caches;
        let mut selecting: Vec<u32> = Vec::new();
        let mut last: Option<&Pod> = None;
        let pods = self.selected.list(caches, key);
        for pod in pods {
            // Pods of one template share their labels.
            if last.is_some_and(|last| last.meta.labels.same_allocation(&pod.meta.labels)) {
                continue;
            }
            last = Some(pod);
            selecting.extend(self.selected.selecting(pod.meta.namespace, &pod.meta.labels));
        }
        selecting.sort_unstable();
        selecting.dedup();
        if selecting.len() < 2 {
            self.unambiguous.extend(self.selected.revision(key).map(|revision| (key, revision)));
            return Ok(());
        }
        let names = selecting.iter().filter_map(|&row| caches.autoscalers.get(row));
        let names: Vec<_> =
            names.map(|other| format!("{{{} {}}}", other.meta.name, other.meta.namespace)).collect();
        let names = names.join(" ");
        let message =
            format!("pods by selector {} are controlled by multiple HPAs: [{names}]", scale.selector);
        warn(cx, autoscaler, "AmbiguousSelector", &message);
        set(status, cx.now, "ScalingActive", inactive, "AmbiguousSelector", &message);
        Err(message)
    }

    /// Decides on the size from the metrics.
    fn decide(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let (Some(autoscaler), Some(scale)) = (sync.autoscaler.clone(), sync.scale.clone()) else {
            return Next::Done;
        };
        let answers = std::mem::take(&mut sync.answers);
        let caches = cx.caches;
        let pods = self.selected.list(caches, key);
        let scaled = Scaled { replicas: scale.replicas, status_replicas: scale.status_replicas, pods: &pods };
        let computation = metrics::compute(&autoscaler, scaled, &answers, cx.now);
        for error in &computation.errors {
            warn(cx, &autoscaler, error.reason, &error.error);
        }
        let (recommended, metric) = match computation.outcome {
            Ok(best) => best,
            Err(message) => {
                if let Some(first) = computation.errors.first() {
                    let text = format!("the HPA was unable to compute the replica count: {}", first.error);
                    set(
                        &mut sync.status,
                        cx.now,
                        "ScalingActive",
                        ConditionStatus::False,
                        first.reason,
                        &text,
                    );
                }
                return self.give_up(cx, key, sync, computation.current, &message);
            }
        };
        let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
        set(&mut sync.status, cx.now, "ScalingActive", ConditionStatus::True, "ValidMetricFound", &message);

        let current = scale.replicas;
        let reason = match recommended.max(0).cmp(&current) {
            std::cmp::Ordering::Greater => format!("{metric} above target"),
            std::cmp::Ordering::Less => "All metrics below target".to_string(),
            std::cmp::Ordering::Equal => String::new(),
        };
        let (min, max) = (autoscaler.min_replicas, autoscaler.max_replicas);
        let request = ScaleRequest { current, desired: recommended.max(0), min, max };
        let history = self.histories.entry(key).or_default();
        let mut decision = history.decide(cx.now, request, autoscaler.behavior.as_ref());
        let (stable, text) = decision.stabilized;
        set(&mut sync.status, cx.now, "AbleToScale", ConditionStatus::True, stable, text);
        let limited = if decision.is_limited { ConditionStatus::True } else { ConditionStatus::False };
        set(&mut sync.status, cx.now, "ScalingLimited", limited, decision.limit.0, decision.limit.1);
        let mut reason = reason;
        if current == 0 && decision.replicas < min {
            decision.replicas = min;
            if reason.is_empty() {
                reason = BELOW_MINIMUM.to_string();
            }
        }
        if decision.replicas == current {
            return self.stay(cx, key, sync, computation.current);
        }
        self.rescale(cx, sync, decision.replicas, reason, computation.current)
    }

    /// Writes the target's size.
    fn rescale(
        &mut self,
        _cx: &mut Context<'_>,
        sync: &mut Sync,
        desired: i32,
        reason: String,
        current_metrics: Vec<Option<i64>>,
    ) -> Next {
        let Some(scale) = &sync.scale else { return Next::Done };
        sync.stage = Stage::Scaling;
        sync.status.current_metrics = current_metrics;
        (sync.desired, sync.reason) = (desired, reason);
        Next::send(Request::Patch { target: scale.target, patch: Patch::Replicas(desired) })
    }

    /// The target's size was written, or was not.
    fn rescaled(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        let (Some(autoscaler), Some(scale)) = (sync.autoscaler.clone(), &sync.scale) else {
            return Next::Done;
        };
        let (current, desired, reason) = (scale.replicas, sync.desired, &sync.reason);
        if let Some(error) = first_error(replies) {
            warn(
                cx,
                &autoscaler,
                "FailedRescale",
                &format!("New size: {desired}; reason: {reason}; error: {error}"),
            );
            let message = format!("the HPA controller was unable to update the target scale: {error}");
            set(
                &mut sync.status,
                cx.now,
                "AbleToScale",
                ConditionStatus::False,
                "FailedUpdateScale",
                &message,
            );
            let metrics = std::mem::take(&mut sync.status.current_metrics);
            finish_status(&mut sync.status, current, None, metrics);
            return self.write_status(cx, key, sync);
        }
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        set(&mut sync.status, cx.now, "AbleToScale", ConditionStatus::True, "SucceededRescale", &message);
        let object = autoscaler.meta.object_ref(Kind::HorizontalPodAutoscaler);
        cx.event(object, Severity::Normal, "SuccessfulRescale", || {
            format!("New size: {desired}; reason: {reason}")
        });
        let history = self.histories.entry(key).or_default();
        history.record(cx.now, current, desired, autoscaler.behavior.as_ref());
        Self::note_zero(cx, &autoscaler, sync, current);
        sync.status.last_scale_time = Some(cx.now.truncate_to_second());
        let metrics = std::mem::take(&mut sync.status.current_metrics);
        finish_status(&mut sync.status, current, Some(desired), metrics);
        self.write_status(cx, key, sync)
    }

    /// Leaves the size as it is.
    fn stay(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, metrics: Vec<Option<i64>>) -> Next {
        let current = sync.scale.as_ref().map_or(0, |scale| scale.replicas);
        finish_status(&mut sync.status, current, Some(current), metrics);
        self.write_status(cx, key, sync)
    }

    /// Says that the size could not be computed.
    fn give_up(
        &mut self,
        cx: &mut Context<'_>,
        key: u32,
        sync: &mut Sync,
        metrics: Vec<Option<i64>>,
        error: &str,
    ) -> Next {
        let current = sync.scale.as_ref().map_or(0, |scale| scale.replicas);
        finish_status(&mut sync.status, current, None, metrics);
        if let Some(autoscaler) = sync.autoscaler.clone() {
            warn(cx, &autoscaler, "FailedComputeMetricsReplicas", error);
        }
        self.write_status(cx, key, sync)
    }

    /// Writes the status if it has changed.
    fn write_status(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(autoscaler) = &sync.autoscaler else { return Next::Done };
        if sync.status == autoscaler.status {
            return end(cx, key);
        }
        sync.stage = Stage::Status;
        let status = std::mem::take(&mut sync.status);
        let object = HorizontalPodAutoscaler { status, ..HorizontalPodAutoscaler::clone(autoscaler) };
        let object = Object::HorizontalPodAutoscaler(Arc::new(object));
        Next::send(Request::Update { object, subresource: Subresource::Status })
    }
}

impl Controller for HpaController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind != Kind::Pod || !caches.autoscalers.is_empty()
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(_) => self.selected.observe(event),
            Object::HorizontalPodAutoscaler(autoscaler) => {
                let row = autoscaler.meta.id;
                if event.change == Change::Deleted {
                    self.selected.remove(row);
                    self.histories.remove(&row);
                    self.unambiguous.remove(&row);
                } else {
                    cx.queue.add_at(cx.now + PERIOD, row);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Measuring => {
                // What no adapter serves, the API server itself refuses.
                for (index, reply) in replies.iter().enumerate() {
                    if let (Some(Err(error)), Some(autoscaler)) = (reply, &sync.autoscaler) {
                        sync.answers.refused(autoscaler, index, error);
                    }
                }
                self.decide(cx, key, sync)
            }
            Stage::Scaling => self.rescaled(cx, key, sync, replies),
            Stage::Status => {
                if let (Some(error), Some(autoscaler)) = (first_error(replies), sync.autoscaler.clone()) {
                    warn(cx, &autoscaler, "FailedUpdateStatus", &error.message);
                }
                end(cx, key)
            }
        }
    }

    fn measured(
        &mut self,
        _cx: &mut Context<'_>,
        _key: u32,
        sync: &mut Sync,
        _index: usize,
        samples: &Result<Vec<PodMetrics>, ApiError>,
    ) {
        sync.answers.resources = Some(samples.clone());
    }

    fn metric_values(
        &mut self,
        _cx: &mut Context<'_>,
        _key: u32,
        sync: &mut Sync,
        index: usize,
        values: &Result<Vec<MetricValue>, ApiError>,
    ) {
        let place = sync.autoscaler.as_ref().and_then(|hpa| metrics::metric_of_query(hpa, index));
        sync.answers.values.extend(place.map(|place| (place, values.clone())));
    }
}

/// Ends a sync; the next one follows a period later.
fn end(cx: &mut Context<'_>, key: u32) -> Next {
    if cx.caches.autoscalers.get(key).is_some() {
        cx.queue.add_at(cx.now + PERIOD, key);
    }
    Next::Done
}

/// A warning about an autoscaler.
fn warn(cx: &mut Context<'_>, autoscaler: &HorizontalPodAutoscaler, reason: &'static str, message: &str) {
    let object = autoscaler.meta.object_ref(Kind::HorizontalPodAutoscaler);
    cx.event(object, Severity::Warning, reason, || message.to_string());
}

/// Sets the figures of a status; the wanted size stays if none was found.
fn finish_status(status: &mut HpaStatus, current: i32, desired: Option<i32>, metrics: Vec<Option<i64>>) {
    status.current_replicas = current;
    status.desired_replicas = desired.unwrap_or(status.desired_replicas);
    status.current_metrics = metrics;
    status.observed_generation = None;
}

/// Sets a condition; its time moves with its status.
fn set(
    status: &mut HpaStatus,
    now: SimTime,
    kind: &str,
    state: ConditionStatus,
    reason: &str,
    message: &str,
) {
    let (kind, reason, now) = (Symbol::new(kind), Symbol::new(reason), now.truncate_to_second());
    match status.conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(condition) => {
            if condition.status != state {
                (condition.transition, condition.updated) = (now, now);
            }
            condition.status = state;
            condition.reason = reason;
            if condition.message != message {
                condition.message = CompactString::from(message);
            }
        }
        None => status.conditions.push(Condition {
            kind,
            status: state,
            reason,
            message: message.into(),
            transition: now,
            updated: now,
        }),
    }
}
