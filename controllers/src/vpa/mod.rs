//! Vertical pod autoscaling: recommender and updater (upstream, in the autoscaler's repository,
//! `vertical-pod-autoscaler`). What admission does with the recommendation is the API server's.
//!
//! Each autoscaler is looked at once a minute: the metrics server is asked, the recommendation is
//! written if it has changed, and pods are evicted that should be others. Nothing is kept beyond a
//! restart: there are no checkpoints.
//!
//! Model: `InPlaceOrRecreate` evicts where upstream first tries to resize in place.

mod histogram;
mod model;
mod updater;

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::labels::Selector;
use seatrial_api::machine::{PodMetrics, Severity};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{ConditionStatus, ContainerState, Pod, PodPhase};
use seatrial_api::request::{ApiError, Change, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, SimTime, Span};
use seatrial_api::vertical::{UpdateMode, VerticalPodAutoscaler, VpaStatus};
use seatrial_api::workload::Condition;

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Mode, Next, Replies, RetryPolicy, Runner, first_error,
};
use crate::selected_pods::{Filter, SelectedPods};
use model::{Model, Sample};
use updater::Candidate;

/// The time between two looks at an autoscaler.
const PERIOD: Span = Span::from_secs(60);
/// A container that runs out of memory so soon after its start is told apart from others.
const QUICK_OOM: Span = Span::from_mins(10);
/// Workers of the controller.
const WORKERS: usize = 1;

/// The controller.
#[derive(Clone, Debug, Default)]
pub(crate) struct VpaController {
    /// The pods of the targets, by autoscaler.
    selected: SelectedPods,
    models: FxHashMap<u32, Model>,
    /// Pods of which a container ran out of memory soon after its start.
    quick_ooms: BTreeSet<u32>,
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    /// The metrics server was asked.
    Measuring,
    /// The status is being written.
    Status,
    /// Pods are being evicted.
    Evicting,
}

/// A sync on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    stage: Stage,
    autoscaler: Option<Arc<VerticalPodAutoscaler>>,
    samples: Vec<PodMetrics>,
    evicting: Vec<Arc<Pod>>,
}

/// What an autoscaler is about: the pods of its workload, and how many there should be.
struct Target {
    selector: Arc<Selector>,
    replicas: i32,
}

fn target_of(caches: &Caches, autoscaler: &VerticalPodAutoscaler) -> Option<Target> {
    let (namespace, name) = (autoscaler.meta.namespace, autoscaler.target_name.as_str());
    let target = |selector: &Arc<Selector>, replicas| Target { selector: selector.clone(), replicas };
    match Kind::parse(autoscaler.target_kind.as_str())? {
        Kind::Deployment => {
            caches.deployments.named(namespace, name).map(|found| target(&found.selector, found.replicas))
        }
        Kind::ReplicaSet => {
            caches.replica_sets.named(namespace, name).map(|found| target(&found.selector, found.replicas))
        }
        Kind::StatefulSet => {
            caches.stateful_sets.named(namespace, name).map(|found| target(&found.selector, found.replicas))
        }
        Kind::DaemonSet => {
            let found = caches.daemon_sets.named(namespace, name);
            found.map(|found| target(&found.selector, found.status.desired_number_scheduled))
        }
        _ => None,
    }
}

impl VpaController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<VpaController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, VpaController::default(), RetryPolicy::standard(), client, WORKERS)
    }

    /// Asks for the use of the target's pods.
    fn start(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(autoscaler) = cx.caches.vertical_autoscalers.get(key).cloned() else { return Next::Done };
        let namespace = autoscaler.meta.namespace;
        let target = target_of(cx.caches, &autoscaler);
        sync.autoscaler = Some(autoscaler);
        let Some(Target { selector, .. }) = target else { return self.recommend(cx, key, sync) };
        self.selected.put(key, namespace, Filter::Selector(selector.clone()));
        sync.stage = Stage::Measuring;
        Next::send(Request::PodMetrics { namespace, selector })
    }

    /// Learns from the samples and writes the recommendation if it is another one.
    fn recommend(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(autoscaler) = sync.autoscaler.clone() else { return Next::Done };
        let model = self.models.entry(key).or_default();
        for metrics in &sync.samples {
            let Some(pod) = cx.caches.pods.get(metrics.pod) else { continue };
            samples_of(pod, metrics).into_iter().for_each(|sample| model.observe(sample));
        }
        let has_pods = self.selected.pods(cx.caches, key).next().is_some();
        let recommendation = model.recommend(|container| autoscaler.policy(container));
        let mut status = VpaStatus { recommendation, conditions: autoscaler.status.conditions.clone() };
        let (state, reason, message) = if !status.recommendation.is_empty() {
            (ConditionStatus::True, "", "")
        } else if has_pods {
            (ConditionStatus::False, "", "")
        } else {
            (ConditionStatus::False, "NoPodsMatched", "No pods match this VPA object")
        };
        set(&mut status, cx.now, state, reason, message);
        if status == autoscaler.status {
            return self.update(cx, key, sync);
        }
        let changed = VerticalPodAutoscaler { status, ..VerticalPodAutoscaler::clone(&autoscaler) };
        let changed = Arc::new(changed);
        sync.autoscaler = Some(changed.clone());
        sync.stage = Stage::Status;
        let object = Object::VerticalPodAutoscaler(changed);
        Next::send(Request::Update { object, subresource: Subresource::Status })
    }

    /// Evicts pods that should be others.
    fn update(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync) -> Next {
        let Some(autoscaler) = sync.autoscaler.clone() else { return Next::Done };
        let evicts = matches!(autoscaler.update_mode, UpdateMode::Recreate | UpdateMode::InPlaceOrRecreate);
        let Some(target) = target_of(cx.caches, &autoscaler).filter(|_| evicts) else {
            return end(cx, key);
        };
        let pods: Vec<&Arc<Pod>> = self.selected.pods(cx.caches, key).collect();
        let candidate = |pod| Candidate { pod, quick_oom: self.quick_ooms.contains(&pod.meta.id) };
        let candidates: Vec<Candidate<'_>> = pods.into_iter().map(candidate).collect();
        let plan = updater::plan(&autoscaler, &candidates, target.replicas, cx.now);
        if plan.is_empty() {
            return end(cx, key);
        }
        sync.evicting = plan.into_iter().cloned().collect();
        sync.stage = Stage::Evicting;
        let evict = |pod: &Arc<Pod>| Request::Evict { pod: pod.meta.id, grace_period_seconds: None };
        Next::batch(Mode::EachInTurn, sync.evicting.iter().map(evict).collect())
    }

    /// Tells of the pods that were evicted; those whose budget forbids it are tried again.
    fn evicted(&mut self, cx: &mut Context<'_>, key: u32, sync: &Sync, replies: &Replies) -> Next {
        for (pod, reply) in sync.evicting.iter().zip(replies) {
            if matches!(reply, Some(Ok(_))) {
                let object = pod.meta.object_ref(Kind::Pod);
                cx.event(
                    object,
                    Severity::Normal,
                    "EvictedByVPA",
                    || "Pod was evicted by VPA Updater to apply resource recommendation.",
                );
            }
        }
        end(cx, key)
    }

    /// Notes containers that ran out of memory.
    fn note_ooms(&mut self, old: Option<&Pod>, pod: &Pod) {
        let statuses = pod.status.containers.as_deref().unwrap_or_default();
        for status in statuses {
            let Some(last) = status.last.filter(|last| last.reason == "OOMKilled") else { continue };
            let before = old.and_then(|old| {
                old.status
                    .containers
                    .as_deref()
                    .unwrap_or_default()
                    .iter()
                    .find(|other| other.name == status.name)
            });
            if before.is_some_and(|before| before.last == Some(last)) {
                continue;
            }
            let started = before.and_then(|before| match before.state {
                ContainerState::Running { started } | ContainerState::Terminated { started, .. } => {
                    Some(started)
                }
                ContainerState::Waiting { .. } => None,
            });
            if started.is_none_or(|started| last.finished - started <= QUICK_OOM) {
                self.quick_ooms.insert(pod.meta.id);
            }
            let container = pod.spec.containers.iter().find(|container| container.name == status.name);
            let requested = container.and_then(|container| container.requests.memory).unwrap_or(Bytes::ZERO);
            for row in self.selected.selecting(pod.meta.namespace, &pod.meta.labels) {
                let model = self.models.entry(row).or_default();
                model.observe_oom(pod.meta.id, status.name, last.finished, requested);
            }
        }
    }
}

/// What a sample says of each container.
fn samples_of(pod: &Pod, metrics: &PodMetrics) -> Vec<Sample> {
    let sample =
        |container, cpu, memory| Sample { pod: metrics.pod, container, at: metrics.sampled_at, cpu, memory };
    match (&metrics.containers, &*pod.spec.containers) {
        (Some(containers), _) => {
            containers.iter().map(|each| sample(each.name, each.cpu, each.memory)).collect()
        }
        (None, [only]) => vec![sample(only.name, metrics.cpu, metrics.memory)],
        (None, _) => Vec::new(),
    }
}

impl Controller for VpaController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        match kind {
            Kind::VerticalPodAutoscaler => true,
            Kind::Pod => !caches.vertical_autoscalers.is_empty(),
            _ => false,
        }
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        match event.object {
            Object::Pod(pod) => {
                self.selected.observe(event);
                let old = match event.old {
                    Some(Object::Pod(old)) => Some(&**old),
                    _ => None,
                };
                if event.change == Change::Deleted {
                    self.quick_ooms.remove(&pod.meta.id);
                    for row in self.selected.selecting(pod.meta.namespace, &pod.meta.labels) {
                        if let Some(model) = self.models.get_mut(&row) {
                            model.forget_pod(pod.meta.id);
                        }
                    }
                } else if pod.status.phase != PodPhase::Pending {
                    self.note_ooms(old, pod);
                }
            }
            Object::VerticalPodAutoscaler(autoscaler) => {
                let row = autoscaler.meta.id;
                match event.change {
                    Change::Deleted => {
                        self.selected.remove(row);
                        self.models.remove(&row);
                    }
                    Change::Added => cx.queue.add_at(cx.now + PERIOD, row),
                    Change::Modified => {}
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        match sync.stage {
            Stage::Start => self.start(cx, key, sync),
            Stage::Measuring => self.recommend(cx, key, sync),
            // A recommendation that could not be written is none that pods would get.
            Stage::Status if first_error(replies).is_some() => end(cx, key),
            Stage::Status => self.update(cx, key, sync),
            Stage::Evicting => self.evicted(cx, key, sync, replies),
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
        sync.samples = samples.clone().unwrap_or_default();
    }
}

/// Ends a sync; the next one follows a period later.
fn end(cx: &mut Context<'_>, key: u32) -> Next {
    if cx.caches.vertical_autoscalers.get(key).is_some() {
        cx.queue.add_at(cx.now + PERIOD, key);
    }
    Next::Done
}

/// Sets the condition that says whether there is a recommendation.
fn set(status: &mut VpaStatus, now: SimTime, state: ConditionStatus, reason: &str, message: &str) {
    let (kind, now) = (Symbol::new("RecommendationProvided"), now.truncate_to_second());
    let old = status.conditions.iter().find(|condition| condition.kind == kind);
    let transition = old.filter(|old| old.status == state).map_or(now, |old| old.transition);
    let condition = Condition {
        kind,
        status: state,
        reason: Symbol::new(reason),
        message: message.into(),
        transition,
        updated: transition,
    };
    status.conditions.retain(|condition| condition.kind != kind);
    status.conditions.push(condition);
}
