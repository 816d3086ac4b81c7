//! What follows a decision: preparations, the binding itself, and the eviction of victims.

use std::sync::Arc;

use seatrial_api::machine::{Effects, NO_REPLY, Severity, Token};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodReason};
use seatrial_api::request::{ApiError, ErrorReason, Patch, Reply, Request};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;

use super::cycle::Nomination;
use super::{Scheduler, Timer, pod_ref};
use crate::extender::Extenders;
use crate::framework::PreBindProgress;
use crate::preemption::Candidate;
use crate::queue::{ClusterEvent, Place, Preempting};

/// Preparations for a binding that are under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreBinding {
    node: Symbol,
    deadline: SimTime,
}

/// A request about a victim.
#[derive(Clone, Debug)]
pub(super) struct VictimCall {
    preemptor: u32,
    victim: Arc<Pod>,
    node: Symbol,
    step: VictimStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VictimStep {
    Condition,
    Delete,
}

/// Tokens below this are bindings, by the pod's row.
const FIRST_PRE_BIND_TOKEN: Token = 1 << 32;
/// Tokens from here on are requests about victims.
const FIRST_VICTIM_TOKEN: Token = 1 << 33;

/// How often preparations are looked at.
const PRE_BIND_POLL: Span = Span::from_secs(1);

impl Scheduler {
    /// Starts the preparations for a binding or, if there are none, the binding.
    pub(super) fn start_binding(
        &mut self,
        at: SimTime,
        pod: &Arc<Pod>,
        node: Symbol,
        effects: &mut Effects<Timer>,
    ) {
        let id = pod.meta.id;
        let profile = &self.profiles[usize::from(self.pods[&id].profile)];
        let progress = |plugin: &u8| profile.plugin(*plugin).pre_bind_progress(&self.cluster, pod, node);
        if profile.pre_bind.iter().all(|plugin| progress(plugin) == PreBindProgress::Done) {
            self.bind(at, id, node, effects);
            return;
        }
        // Others should know where the pod is about to go, since that takes a while (since 1.35).
        if self.configuration.version >= KubernetesVersion::V1_36 {
            let send_at = self.client.take(at);
            effects.request_at(send_at, NO_REPLY, Request::patch_pod(id, Patch::NominatedNode(node)));
        }
        let timeout = profile.pre_bind.iter().map(|&plugin| profile.plugin(plugin).pre_bind_timeout()).min();
        let requests: Vec<Request> = profile
            .pre_bind
            .iter()
            .flat_map(|&plugin| profile.plugin(plugin).pre_bind(&self.cluster, pod, node))
            .collect();
        for request in requests {
            let send_at = self.client.take(at);
            effects.request_at(send_at, FIRST_PRE_BIND_TOKEN | Token::from(id), request);
        }
        let deadline = at + timeout.unwrap_or(Span::MAX);
        self.pre_bindings.insert(id, PreBinding { node, deadline });
        effects.timer(at + PRE_BIND_POLL, Timer::PreBind(id));
    }

    fn bind(&mut self, at: SimTime, id: u32, node: Symbol, effects: &mut Effects<Timer>) {
        if let Some(extenders) = Extenders::of(&self.configuration)
            && let Some(entry) = self.pods.get(&id)
            && let Err(problem) = extenders.bind(&entry.pod, node)
        {
            self.fail_binding(at, id, &problem, effects);
            return;
        }
        let send_at = self.client.take(at);
        effects.request_at(send_at, Token::from(id), Request::Bind { pod: id, node });
    }

    /// Looks at preparations again.
    pub(super) fn on_pre_bind_timer(&mut self, now: SimTime, id: u32, effects: &mut Effects<Timer>) {
        let Some(PreBinding { node, deadline }) = self.pre_bindings.get(&id).copied() else { return };
        let Some(entry) = self.pods.get(&id).filter(|entry| entry.place == Place::Assumed(node)) else {
            self.pre_bindings.remove(&id);
            return;
        };
        let profile = &self.profiles[usize::from(entry.profile)];
        let mut waiting = false;
        for &plugin in &profile.pre_bind {
            match profile.plugin(plugin).pre_bind_progress(&self.cluster, &entry.pod, node) {
                PreBindProgress::Done => {}
                PreBindProgress::Waiting => waiting = true,
                PreBindProgress::Failed(problem) => {
                    let name = profile.plugin(plugin).name();
                    let message = format!("running PreBind plugin \"{name}\": {problem}");
                    self.fail_binding(now, id, &message, effects);
                    return;
                }
            }
        }
        if !waiting {
            self.pre_bindings.remove(&id);
            self.bind(now, id, node, effects);
        } else if now >= deadline {
            let name = profile.pre_bind.first().map_or("", |&plugin| profile.plugin(plugin).name());
            let message =
                format!("running PreBind plugin \"{name}\": binding volumes: context deadline exceeded");
            self.fail_binding(now, id, &message, effects);
        } else {
            effects.timer(now + PRE_BIND_POLL, Timer::PreBind(id));
        }
    }

    /// A request was answered.
    pub(super) fn on_reply(
        &mut self,
        now: SimTime,
        token: Token,
        reply: &Reply,
        effects: &mut Effects<Timer>,
    ) {
        if token < FIRST_PRE_BIND_TOKEN {
            self.on_bind_reply(now, token as u32, reply, effects);
        } else if token < FIRST_VICTIM_TOKEN {
            if let Err(error) = reply {
                self.fail_binding(now, (token - FIRST_PRE_BIND_TOKEN) as u32, &error.message, effects);
            }
        } else if token != NO_REPLY {
            self.on_victim_reply(now, token, reply, effects);
        }
    }

    fn on_bind_reply(&mut self, now: SimTime, id: u32, reply: &Reply, effects: &mut Effects<Timer>) {
        match reply {
            Ok(_) => {
                let Some(node) = self.node_of(id) else { return };
                let pod = &self.pods[&id].pod;
                effects.decide(pod_ref(id), Severity::Normal, "Scheduled", || {
                    format!("Successfully assigned {} to {node}", pod.meta.full_name())
                });
            }
            Err(error) => {
                let Some(entry) = self.pods.get(&id) else { return };
                let profile = &self.profiles[usize::from(entry.profile)];
                let binder = profile.bind.first().map_or("", |&plugin| profile.plugin(plugin).name());
                let message = format!("running Bind plugin \"{binder}\": {}", error.message);
                self.fail_binding(now, id, &message, effects);
            }
        }
    }

    /// A binding failed: the pod is forgotten on its node and goes back to the queue as an error.
    fn fail_binding(&mut self, now: SimTime, id: u32, message: &str, effects: &mut Effects<Timer>) {
        let Some(entry) = self.pods.get(&id) else { return };
        let Place::Assumed(node) = entry.place else { return };
        let pod = entry.pod.clone();
        self.forget(id, &pod, node);
        self.leaves_group(now, &pod, false);
        self.event(now, ClusterEvent::PodDelete { pod: pod.clone(), up_to_priority: None }, None);
        self.queue.failed(&mut self.pods, &self.profiles, id, now);
        self.report_failure(now, &pod, PodReason::SchedulerError, message, Nomination::Clear, effects);
    }

    /// Takes back that a pod is on a node.
    pub(super) fn forget(&mut self, id: u32, pod: &Arc<Pod>, node: Symbol) {
        self.pre_bindings.remove(&id);
        let Some(entry) = self.pods.get_mut(&id) else { return };
        entry.place = Place::Dropped;
        let profile = &self.profiles[usize::from(entry.profile)];
        for &plugin in profile.reserve.iter().rev() {
            profile.plugin(plugin).unreserve(&mut self.cluster, pod, node);
        }
        let row = entry.row;
        self.cluster.remove_pod(id, node, row);
        self.queue.pod_displaced(pod);
    }

    /// Asks the victims to go: all but the last at once, the last one when they have been asked.
    pub(super) fn evict(
        &mut self,
        now: SimTime,
        preemptor: &Arc<Pod>,
        candidate: Candidate,
        effects: &mut Effects<Timer>,
    ) {
        self.clear_lower_nominations(now, preemptor, candidate.node, effects);
        let node = candidate.node;
        let id = preemptor.meta.id;
        let mut victims: Vec<Arc<Pod>> =
            candidate.victims.into_iter().filter(|victim| !victim.meta.is_deleting()).collect();
        let Some(last) = victims.pop() else { return };
        let Some(entry) = self.pods.get_mut(&id) else { return };
        if victims.is_empty() {
            entry.preempting = Preempting::LastVictim(last.meta.id);
            self.ask_victim(now, id, last, node, effects);
            return;
        }
        entry.preempting = Preempting::Calls;
        self.last_victims.insert(id, last);
        for victim in victims {
            self.ask_victim(now, id, victim, node, effects);
        }
    }

    /// Pods of lower priority lose their nomination to the node.
    fn clear_lower_nominations(
        &mut self,
        now: SimTime,
        preemptor: &Pod,
        node: Symbol,
        effects: &mut Effects<Timer>,
    ) {
        let lower = |pod: &&Arc<Pod>| {
            pod.spec.priority() < preemptor.spec.priority() && pod.status.nominated_node.is_some()
        };
        let pods: Vec<Arc<Pod>> = self.nominations.on(node).iter().filter(lower).cloned().collect();
        for pod in pods {
            let condition = pod.status.conditions.get(PodConditionType::PodScheduled);
            let text = pod.status.text.as_ref().map_or("", |text| &text.scheduling);
            let patch =
                Patch::Unschedulable { reason: condition.reason, message: text.into(), nominated_node: None };
            let send_at = self.client.take(now);
            effects.request_at(send_at, NO_REPLY, Request::patch_pod(pod.meta.id, patch));
        }
    }

    fn ask_victim(
        &mut self,
        now: SimTime,
        preemptor: u32,
        victim: Arc<Pod>,
        node: Symbol,
        effects: &mut Effects<Timer>,
    ) {
        let patch = Patch::PodCondition {
            kind: PodConditionType::DisruptionTarget,
            status: ConditionStatus::True,
            reason: PodReason::PreemptionByScheduler,
            message: None,
        };
        let request = Request::patch_pod(victim.meta.id, patch);
        let call = VictimCall { preemptor, victim, node, step: VictimStep::Condition };
        self.call_victim(now, call, request, effects);
    }

    fn call_victim(
        &mut self,
        now: SimTime,
        call: VictimCall,
        request: Request,
        effects: &mut Effects<Timer>,
    ) {
        let token = FIRST_VICTIM_TOKEN + self.next_victim_call;
        self.next_victim_call += 1;
        self.victim_calls.insert(token, call);
        let send_at = self.client.take(now);
        effects.request_at(send_at, token, request);
    }

    fn on_victim_reply(&mut self, now: SimTime, token: Token, reply: &Reply, effects: &mut Effects<Timer>) {
        let Some(call) = self.victim_calls.remove(&token) else { return };
        let gone = matches!(reply, Err(ApiError { reason: ErrorReason::NotFound, .. }));
        if reply.is_err() && !gone {
            self.abandon_preemption(call.preemptor);
            return;
        }
        if call.step == VictimStep::Condition && !gone {
            let request = Request::delete(pod_ref(call.victim.meta.id));
            self.call_victim(now, VictimCall { step: VictimStep::Delete, ..call }, request, effects);
            return;
        }
        if !gone {
            self.say_preempted(&call, effects);
        }
        self.after_victim(now, &call, effects);
    }

    fn say_preempted(&self, call: &VictimCall, effects: &mut Effects<Timer>) {
        let uid = self.pods.get(&call.preemptor).map(|entry| entry.pod.meta.uid).unwrap_or_default();
        let node = call.node;
        effects.decide(pod_ref(call.victim.meta.id), Severity::Normal, "Preempted", || {
            format!("Preempted by pod {uid} on node {node}")
        });
    }

    /// A victim was asked: the last one is next, or the preemption is over.
    fn after_victim(&mut self, now: SimTime, call: &VictimCall, effects: &mut Effects<Timer>) {
        let preemptor = call.preemptor;
        if self.victim_calls.values().any(|other| other.preemptor == preemptor) {
            return;
        }
        let last = self.last_victims.remove(&preemptor);
        let Some(entry) = self.pods.get_mut(&preemptor) else { return };
        match last {
            Some(victim) => {
                entry.preempting = Preempting::LastVictim(victim.meta.id);
                self.ask_victim(now, preemptor, victim, call.node, effects);
            }
            None => entry.preempting = Preempting::No,
        }
    }

    /// A victim could not be asked: the preemptor is tried again at once.
    fn abandon_preemption(&mut self, preemptor: u32) {
        self.last_victims.remove(&preemptor);
        self.victim_calls.retain(|_, call| call.preemptor != preemptor);
        if let Some(entry) = self.pods.get_mut(&preemptor) {
            entry.preempting = Preempting::No;
            self.queue.activate(&mut self.pods, &self.profiles, preemptor);
        }
    }
}
