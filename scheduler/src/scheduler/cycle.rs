//! Scheduling cycles: one pod each.

use std::sync::Arc;

use seatrial_api::machine::{Effects, NO_REPLY, Severity};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodReason};
use seatrial_api::request::{Patch, Request};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::{Scheduler, Timer, pod_ref};
use crate::decide::{self, Decided, NoFit, Outcome};
use crate::extender::Extenders;
use crate::fast::Question;
use crate::framework::PluginSet;
use crate::preemption::{Candidate, PostFilterContext, fit_error, post_filter};
use crate::queue::Place;
use crate::schedule::{View, truncated};

/// What becomes of a pod's nomination after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nomination {
    Keep,
    Clear,
    To(Symbol),
}

/// The outcome of a cycle that found no place for its pod.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) pod: u32,
    pub(super) rejectors: PluginSet,
    pub(super) reason: PodReason,
    pub(super) message: String,
    pub(super) nomination: Nomination,
    pub(super) preemption: Option<Candidate>,
}

impl Scheduler {
    /// The last cycle ends, the next one begins.
    pub(super) fn on_cycle(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        self.cycle_armed = false;
        if let Some(failure) = self.pending.take() {
            self.conclude(now, *failure, effects);
        }
        if self.queue.looks_at_cluster() {
            self.cluster.refresh();
        }
        if let Some(id) = self.next_pod(now, effects) {
            self.attempt(now, id, effects);
        }
    }

    fn attempt(&mut self, now: SimTime, id: u32, effects: &mut Effects<Timer>) {
        let Some(entry) = self.pods.get_mut(&id) else { return };
        let pod = entry.pod.clone();
        if pod.meta.is_deleting() {
            entry.place = Place::Dropped;
            self.queue.done();
            let message = || format!("skip schedule deleting pod: {}", pod.meta.full_name());
            effects.decide(pod_ref(id), Severity::Warning, "FailedScheduling", message);
            return;
        }
        self.cluster.refresh();
        if self.cluster.node_count() == 0 {
            self.busy_until = now + self.configuration.cost.cycle;
            let failure = Failure {
                pod: id,
                rejectors: PluginSet::EMPTY,
                reason: PodReason::Unschedulable,
                message: "no nodes available to schedule pods".into(),
                nomination: Nomination::Clear,
                preemption: None,
            };
            self.conclude_when_over(now, failure, effects);
            return;
        }
        let lifted = self.lift_reservation(now, &pod);
        let decided = self.decide(&pod, effects.explain);
        if lifted {
            self.restore_reservation();
        }
        self.busy_until = now + decide::cycle_cost(&self.configuration.cost, &pod, &decided);
        match decided.outcome {
            Outcome::Node(position) => {
                self.queue.done();
                let node = self.assume(&pod, position);
                self.note_placed(now, id);
                if self.is_of_attempt(&pod) {
                    self.member_placed(self.busy_until, &pod, node, effects);
                    return;
                }
                self.start_binding(self.busy_until, &pod, node, effects);
            }
            Outcome::NoFit(no_fit) => {
                let failure = if self.is_of_attempt(&pod) {
                    self.member_failure(&pod, &no_fit, effects.explain)
                } else {
                    self.failure(&pod, &no_fit, effects.explain)
                };
                self.conclude_when_over(now, failure, effects);
            }
            Outcome::Failed(message) => {
                let failure = Failure {
                    pod: id,
                    rejectors: PluginSet::EMPTY,
                    reason: PodReason::SchedulerError,
                    message,
                    nomination: Nomination::Clear,
                    preemption: None,
                };
                self.conclude_when_over(now, failure, effects);
            }
        }
    }

    fn decide(&mut self, pod: &Arc<Pod>, explain: bool) -> Decided {
        let profile_id = self.pods[&pod.meta.id].profile;
        let profile = &self.profiles[usize::from(profile_id)];
        let ties = self.configuration.ties;
        if let Some(fast) = &mut self.fast {
            let (start, stream) = (self.start, self.stream);
            let question = Question {
                cluster: &mut self.cluster,
                profile,
                profile_id,
                nominations: &self.nominations,
                pod,
                start: &mut self.start,
                ties,
                stream: &mut self.stream,
            };
            match fast.decide(question) {
                // Reasons are found by the plain path, which decides the same.
                Some(Decided { outcome: Outcome::NoFit(_), .. }) if explain => {
                    (self.start, self.stream) = (start, stream);
                    fast.victims.class = None;
                }
                Some(decided) => return decided,
                None => {}
            }
        }
        let view = View { cluster: &self.cluster, profile, nominations: &self.nominations, pod, explain };
        decide::decide(view, Extenders::of(&self.configuration), &mut self.start, ties, &mut self.stream)
    }

    /// Runs PostFilter for a pod that fits nowhere.
    fn failure(&mut self, pod: &Arc<Pod>, no_fit: &NoFit, explain: bool) -> Failure {
        let profile = &self.profiles[usize::from(self.pods[&pod.meta.id].profile)];
        let mut context = PostFilterContext {
            cluster: &self.cluster,
            profile,
            nominations: &self.nominations,
            pod,
            state: &no_fit.state,
            diagnosis: &no_fit.diagnosis,
            explain,
            ties: self.configuration.ties,
            stream: &mut self.stream,
            exhaustive: false,
            extenders: Extenders::of(&self.configuration),
            candidates: Vec::new(),
            costs: self.fast.as_mut().map(|fast| &mut fast.victims),
        };
        let result = post_filter(&mut context);
        let message = if explain {
            fit_error(self.cluster.node_count(), &no_fit.diagnosis, &result)
        } else {
            String::new()
        };
        let nomination = match &result.preemption {
            Some(candidate) => Nomination::To(candidate.node),
            None if result.clear_nomination => Nomination::Clear,
            None => Nomination::Keep,
        };
        Failure {
            pod: pod.meta.id,
            rejectors: no_fit.diagnosis.rejectors,
            reason: PodReason::Unschedulable,
            message,
            nomination,
            preemption: result.preemption,
        }
    }

    /// The failure of a pod of a group. Nothing is preempted for it: the group may not fit even then.
    fn member_failure(&self, pod: &Pod, no_fit: &NoFit, explain: bool) -> Failure {
        let nodes = self.cluster.node_count();
        Failure {
            pod: pod.meta.id,
            rejectors: no_fit.diagnosis.rejectors,
            reason: PodReason::Unschedulable,
            message: if explain { no_fit.diagnosis.message(nodes) } else { String::new() },
            nomination: Nomination::Keep,
            preemption: None,
        }
    }

    fn conclude_when_over(&mut self, now: SimTime, failure: Failure, effects: &mut Effects<Timer>) {
        if self.busy_until <= now {
            self.conclude(now, failure, effects);
        } else {
            self.pending = Some(Box::new(failure));
        }
    }

    /// The cycle is over: the pod goes back to the queue and its status says why.
    fn conclude(&mut self, now: SimTime, failure: Failure, effects: &mut Effects<Timer>) {
        let id = failure.pod;
        let Some(pod) = self.pods.get(&id).filter(|entry| entry.place == Place::InFlight) else {
            self.queue.done();
            return;
        };
        let pod = pod.pod.clone();
        if self.is_of_attempt(&pod) {
            self.give_up(now, failure.rejectors, &failure.message, effects);
        }
        self.queue.rejected(&mut self.pods, &self.profiles, &self.cluster, id, failure.rejectors, now);
        self.report_failure(now, &pod, failure.reason, &failure.message, failure.nomination, effects);
        if let Some(candidate) = failure.preemption {
            self.evict(now, &pod, candidate, effects);
        }
    }

    /// Notes the nomination, says what happened, and patches the pod's status if that changes it.
    pub(super) fn report_failure(
        &mut self,
        now: SimTime,
        pod: &Arc<Pod>,
        reason: PodReason,
        message: &str,
        nomination: Nomination,
        effects: &mut Effects<Timer>,
    ) {
        let id = pod.meta.id;
        let old = pod.status.nominated_node;
        let nominated_node = match nomination {
            Nomination::Keep => old,
            Nomination::Clear => None,
            Nomination::To(node) => Some(node),
        };
        match nominated_node {
            Some(node) => self.nominations.set(pod, node),
            None if nomination == Nomination::Clear => self.nominations.remove(id),
            None => {}
        }
        effects
            .decide(pod_ref(id), Severity::Warning, "FailedScheduling", || truncated(message).into_owned());
        let condition = pod.status.conditions.get(PodConditionType::PodScheduled);
        let text = pod.status.text.as_ref().map_or("", |text| &text.scheduling);
        let unchanged = condition.status == ConditionStatus::False
            && condition.reason == reason
            && (text == message || !effects.explain)
            && nominated_node == old;
        if !unchanged {
            let patch = Patch::Unschedulable { reason, message: message.into(), nominated_node };
            let send_at = self.client.take(now);
            effects.request_at(send_at, NO_REPLY, Request::patch_pod(id, patch));
        }
    }

    /// Thinks of the pod as on the node at a position of the visiting order.
    fn assume(&mut self, pod: &Arc<Pod>, position: usize) -> Symbol {
        let id = pod.meta.id;
        self.nominations.remove(id);
        let node = self.cluster.node_at(position).name();
        self.cluster.add_pod(pod, node, position as u32);
        self.queue.pod_placed(pod);
        let Some(entry) = self.pods.get_mut(&id) else { return node };
        entry.place = Place::Assumed(node);
        entry.row = position as u32;
        let profile = &self.profiles[usize::from(entry.profile)];
        for &plugin in &profile.reserve {
            profile.plugin(plugin).reserve(&mut self.cluster, pod, node);
        }
        node
    }
}
