//! One pass of the loop (upstream `core/static_autoscaler.go`).

use std::cmp::Reverse;
use std::sync::Arc;

use seatrial_api::cloud::CloudRequest;
use seatrial_api::machine::{Effects, NO_REPLY, Severity};
use seatrial_api::node::Node;
use seatrial_api::object::Kind;
use seatrial_api::pod::Pod;
use seatrial_api::request::{Patch, Request};
use seatrial_api::scheduling::TaintEffect;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};

use super::deletion::{Around, DELETION_CANDIDATE, has_taint, taint};
use super::estimator::are_alike;
use super::groups::{Increase, InstanceState};
use super::scale_down::{self, Evaluation};
use super::scale_up::{self, Room};
use super::{ClusterAutoscaler, Timer};
use crate::view::{is_ready, is_unschedulable, node_of};

/// If even the oldest waiting pod is younger, more are expected to come.
const NEW_POD: Span = Span::from_secs(2);
/// The same for pods that ask for GPUs, which may come in groups.
const NEW_GPU_POD: Span = Span::from_secs(30);
/// The purpose of the stream of choices among equals.
const STREAM_PURPOSE: u64 = 0xCA5C_A1E0;

/// What a pass has found, as far as it says when the next one is needed.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// Something was begun, so the next pass follows at once.
    acted: bool,
    /// Something was put off, so the next pass of the grid is needed.
    put_off: bool,
    /// Whether nothing may be deleted in this pass.
    hold_deletions: bool,
}

impl ClusterAutoscaler {
    pub(super) fn pass(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        self.last_pass = Some(now);
        let mut outcome = Outcome::default();
        self.give_up_on_late_instances(now, effects);
        if !self.is_healthy(now) {
            self.unneeded.clear();
            if !self.was_unhealthy {
                let message = || "Cluster is unhealthy".to_owned();
                self.note(Severity::Warning, "ClusterUnhealthy", message, effects);
            }
            self.was_unhealthy = true;
            return self.plan_next_pass(now, outcome, effects);
        }
        self.was_unhealthy = false;
        self.give_back_failed_instances(now, effects);
        self.view.snapshot.fork();
        self.think_of_nominated();
        let upcoming = self.think_of_upcoming(now);
        let waiting = self.pods_to_help(now);
        let left = self.place_where_they_will_fit(waiting);
        if !left.is_empty() {
            self.scale_up(now, left, upcoming, &mut outcome, effects);
        }
        if self.options.scale_down.enabled {
            let evaluation = self.evaluate(now);
            outcome.put_off |= evaluation.cut_short;
            self.scale_down(now, evaluation, &mut outcome, effects);
        }
        self.view.snapshot.revert();
        self.plan_next_pass(now, outcome, effects);
    }

    /// Whether an instance that the cloud has known of since then is not a node yet: in its first
    /// minutes it has not registered, or has not become Ready.
    fn is_upcoming(&self, now: SimTime, (instance, since): (Symbol, SimTime)) -> bool {
        let node = self.view.nodes.get(&instance);
        let since = node.map_or(since, |node| node.meta.created);
        node.is_none_or(|node| !is_ready(node)) && now <= since + self.options.provision_time_max
    }

    /// Whether an instance has not become a node, however long that has taken.
    fn is_missing(&self, now: SimTime, instance: (Symbol, SimTime)) -> bool {
        !self.view.nodes.contains_key(&instance.0) || self.is_upcoming(now, instance)
    }

    /// Instances that take too long are given back, and their group is left alone for a while.
    fn give_up_on_late_instances(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        let span = self.options.provision_time_max;
        for index in 0..self.groups.len() {
            let group = &self.groups[index];
            let short = group.kept().any(|(name, one)| self.is_missing(now, (name, one.since)));
            let timed_out = match group.increase {
                Some(_) if !short && group.unnamed == 0 => {
                    self.groups[index].increase = None;
                    None
                }
                increase => increase.filter(|increase| increase.at + span < now),
            };
            if let Some(increase) = timed_out {
                let name = self.groups[index].config.name;
                let took = now - increase.at;
                let message = || format!("Nodes added to group {name} failed to register within {took}");
                self.note(Severity::Warning, "ScaleUpTimedOut", message, effects);
                self.groups[index].backoff.fail(now, &self.options);
                self.groups[index].increase = None;
                self.give_back_unregistered(now, index, Some(increase.count), effects);
            }
            self.give_back_unregistered(now, index, None, effects);
        }
    }

    /// Gives back instances that have not registered: the newest `count`, or all that are too old. A
    /// group is not made smaller than its minimum.
    fn give_back_unregistered(
        &mut self,
        now: SimTime,
        group: usize,
        count: Option<u32>,
        effects: &mut Effects<Timer>,
    ) {
        let span = self.options.provision_time_max;
        let one = &self.groups[group];
        let unregistered = one.kept().filter(|(name, _)| !self.view.nodes.contains_key(name));
        let mut given: Vec<(SimTime, Symbol)> = unregistered.map(|(name, kept)| (kept.since, name)).collect();
        given.sort_by_key(|&(since, name)| Reverse((since, name)));
        match count {
            Some(count) => given.truncate(count as usize),
            None => given.retain(|&(since, _)| since + span < now),
        }
        given.truncate(one.target().saturating_sub(one.config.min) as usize);
        for (_, name) in given {
            self.groups[group].set_state(name, InstanceState::Deleting);
            effects.ask_cloud(CloudRequest::Terminate { instance: name });
            let message = || format!("Removed unregistered node {name}");
            self.note(Severity::Normal, "DeleteUnregistered", message, effects);
        }
    }

    /// Whether few enough nodes are not Ready.
    fn is_healthy(&self, now: SimTime) -> bool {
        let started =
            |node: &&Arc<Node>| is_ready(node) || now >= node.meta.created + self.options.provision_time_max;
        let all = self.view.nodes.values().filter(started).count();
        let unready = self.view.nodes.values().filter(started).filter(|node| !is_ready(node)).count();
        self.tolerates(unready, all)
    }

    fn tolerates(&self, unready: usize, all: usize) -> bool {
        unready <= self.options.unready_count_ok || unready * 100 <= all * self.options.unready_pct_max
    }

    /// Whether few enough nodes of a group are missing or not Ready.
    fn is_group_healthy(&self, now: SimTime, group: usize) -> bool {
        let late = |name: Symbol, since: SimTime| match self.view.nodes.get(&name) {
            Some(node) => !is_ready(node) && !self.is_upcoming(now, (name, since)),
            None => since + self.options.provision_time_max < now,
        };
        let bad = self.groups[group].kept().filter(|(name, one)| late(*name, one.since)).count();
        self.tolerates(bad, self.groups[group].target() as usize)
    }

    /// Instances that could not be made are given back, and their group is left alone for a while.
    fn give_back_failed_instances(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        for index in 0..self.groups.len() {
            let failed = self.groups[index].instances.iter().filter_map(|(&name, one)| match one.state {
                InstanceState::Failed(error) => Some((name, error)),
                InstanceState::Kept | InstanceState::Deleting => None,
            });
            let failed: Vec<_> = failed.collect();
            let Some(&(_, error)) = failed.first() else { continue };
            let (group, count) = (self.groups[index].config.name, failed.len());
            let message = || {
                format!(
                    "Failed adding {count} nodes ({count} unseen previously) to group {group} due to {error}"
                )
            };
            self.note(Severity::Warning, "ScaleUpFailed", message, effects);
            self.groups[index].backoff.fail(now, &self.options);
            for (name, _) in failed {
                self.groups[index].set_state(name, InstanceState::Deleting);
                effects.ask_cloud(CloudRequest::Terminate { instance: name });
            }
        }
    }

    /// Pods for which room was made count as placed there.
    fn think_of_nominated(&mut self) {
        let view = &mut self.view;
        for pod in view.waiting.values() {
            if let Some(node) = pod.status.nominated_node.filter(|node| view.nodes.contains_key(node)) {
                view.snapshot.add_pod(pod, node);
            }
        }
    }

    /// Nodes that were asked for and are not there yet, as their group's template describes them. How
    /// many there are.
    fn think_of_upcoming(&mut self, now: SimTime) -> u32 {
        let mut count = 0;
        for index in 0..self.groups.len() {
            let group = &self.groups[index];
            let template = group.config.offer().template.clone();
            let kept = group.kept().map(|(name, one)| (name, one.since));
            let names: Vec<Symbol> =
                kept.filter(|&one| self.is_upcoming(now, one)).map(|(name, _)| name).collect();
            let upcoming = names.len() as u32 + group.unnamed;
            for name in names.into_iter().filter(|name| self.view.nodes.contains_key(name)) {
                self.view.snapshot.remove_node(name);
            }
            for number in 0..upcoming {
                let name = Symbol::new(&format!("template-node-for-{}-upcoming-{number}", template.name));
                self.view.think_of_node(&node_of(&template, name));
            }
            count += upcoming;
        }
        count
    }

    /// Pods that fit nowhere, the highest priority first, then the oldest.
    fn pods_to_help(&self, now: SimTime) -> Vec<Arc<Pod>> {
        let wanted = |pod: &&Arc<Pod>| {
            is_unschedulable(pod)
                && pod.status.nominated_node.is_none()
                && pod.spec.priority() >= self.options.priority_cutoff
                && pod.meta.created + self.options.new_pod_delay <= now
        };
        let mut pods: Vec<Arc<Pod>> = self.view.waiting.values().filter(wanted).cloned().collect();
        pods.sort_by_key(|pod| Reverse(pod.spec.priority()));
        pods
    }

    /// Places pods on nodes that exist or will; what is left does not fit. Of pods that are alike, the
    /// first that does not fit speaks for the others.
    fn place_where_they_will_fit(&mut self, pods: Vec<Arc<Pod>>) -> Vec<Arc<Pod>> {
        let mut left: Vec<Arc<Pod>> = Vec::new();
        let mut kinds: Vec<Arc<Pod>> = Vec::new();
        let mut start = 0;
        for pod in pods {
            if kinds.iter().any(|known| are_alike(known, &pod)) {
                left.push(pod);
                continue;
            }
            match self.view.snapshot.first_fit(&pod, &mut start, |_| true) {
                Some(node) => self.view.snapshot.add_pod(&pod, node),
                None => {
                    kinds.push(pod.clone());
                    left.push(pod);
                }
            }
        }
        left
    }

    /// Enlarges one group, or that and those like it.
    fn scale_up(
        &mut self,
        now: SimTime,
        pods: Vec<Arc<Pod>>,
        upcoming: u32,
        outcome: &mut Outcome,
        effects: &mut Effects<Timer>,
    ) {
        if are_all_new(now, &pods) {
            outcome.put_off = true;
            outcome.hold_deletions = true;
            return;
        }
        let unhealthy: Vec<bool> = (0..self.groups.len()).map(|at| !self.is_group_healthy(now, at)).collect();
        let question = scale_up::Question {
            now,
            options: &self.options,
            groups: &self.groups,
            unhealthy: &unhealthy,
            pods,
            room: self.room(upcoming),
        };
        let mut stream = Stream::new(self.options.seed, STREAM_PURPOSE, self.draws);
        let plan = scale_up::plan(&mut self.view, question, &mut stream);
        self.draws += u64::from(!plan.increases.is_empty());
        for (pod, message) in plan.helpless {
            if self.told.get(&pod.meta.id) != Some(&message) {
                let object = pod.meta.object_ref(Kind::Pod);
                effects.decide(object, Severity::Normal, "NotTriggerScaleUp", || message.clone());
                self.told.insert(pod.meta.id, message);
            }
        }
        let mut parts = Vec::new();
        for &(index, count) in &plan.increases {
            let config = &self.groups[index].config;
            let (name, max, size) = (config.name, config.max, self.groups[index].target());
            parts.push(format!("{{{name} {size}->{} (max: {max})}}", size + count));
            let message = || {
                let new = size + count;
                format!("Scale-up: group {name} size set to {new} instead of {size} (max: {max})")
            };
            self.note(Severity::Normal, "ScaledUpGroup", message, effects);
            let group = &mut self.groups[index];
            group.unnamed += count;
            let before = group.increase.map_or(0, |increase| increase.count);
            group.increase = Some(Increase { at: now, count: before + count });
            effects.ask_cloud(CloudRequest::Increase { group: name, count });
        }
        if !parts.is_empty() {
            outcome.acted = true;
            self.last_scale_up = Some(now);
            let message = format!("pod triggered scale-up: [{}]", parts.join(" "));
            for pod in plan.helped {
                let object = pod.meta.object_ref(Kind::Pod);
                effects.decide(object, Severity::Normal, "TriggeredScaleUp", || message.clone());
            }
        }
    }

    /// What the limits of the whole cluster leave for new nodes.
    fn room(&self, upcoming: u32) -> Room {
        let (options, nodes) = (&self.options, &self.view.nodes);
        let mut cpu = 0;
        let mut memory = 0;
        if options.cpu_max.is_some() || options.memory_max.is_some() {
            for node in nodes.values() {
                cpu += node.capacity.amounts.cpu.get();
                memory += node.capacity.amounts.memory.get();
            }
            for group in &self.groups {
                let amounts = &group.config.offer().template.capacity.amounts;
                let named = group.kept().filter(|(name, _)| !nodes.contains_key(name)).count() as i64;
                let unseen = named + i64::from(group.unnamed);
                cpu += amounts.cpu.get() * unseen;
                memory += amounts.memory.get() * unseen;
            }
        }
        let count = nodes.len() as u32 + upcoming;
        Room {
            nodes: options.nodes_max.map_or(u32::MAX, |most| most.saturating_sub(count)),
            cpu: options.cpu_max.map(|most| most - MilliCpu(cpu)),
            memory: options.memory_max.map(|most| most - Bytes(memory)),
        }
    }

    /// Which nodes nobody needs, and since when.
    fn evaluate(&mut self, now: SimTime) -> Evaluation {
        let deleting = self.deletions.nodes();
        let question = scale_down::Question {
            now,
            options: &self.options,
            groups: &self.groups,
            group_of: &self.group_of,
            unneeded: &self.unneeded,
            deleting: &deleting,
        };
        let evaluation = scale_down::evaluate(&mut self.view, &question, &mut self.rechecks);
        let since = |node: Symbol| self.unneeded.get(&node).copied().unwrap_or(now);
        self.unneeded = evaluation.removable.iter().map(|one| (one.node, since(one.node))).collect();
        evaluation
    }

    /// The end of the pause after a scale-up, a deletion or a failure, if it goes on.
    fn cooldown_end(&self, now: SimTime) -> Option<SimTime> {
        let options = &self.options.scale_down;
        let pauses = [
            (self.last_scale_up, options.delay_after_add),
            (self.last_deletion, options.delay_after_delete),
            (self.last_failure, options.delay_after_failure),
        ];
        let ends = pauses.into_iter().filter_map(|(at, span)| at.map(|at| at + span));
        ends.max().filter(|&end| now < end)
    }

    fn scale_down(
        &mut self,
        now: SimTime,
        evaluation: Evaluation,
        outcome: &mut Outcome,
        effects: &mut Effects<Timer>,
    ) {
        let held = outcome.hold_deletions || self.cooldown_end(now).is_some();
        if !held {
            outcome.acted |= self.begin_deletions(now, &evaluation, effects);
        }
        if self.deletions.count().all == 0 {
            outcome.put_off |= self.update_soft_taints(now, effects);
        }
    }

    /// Begins deletions whose time has come. Whether there were some.
    fn begin_deletions(
        &mut self,
        now: SimTime,
        evaluation: &Evaluation,
        effects: &mut Effects<Timer>,
    ) -> bool {
        let deleting = self.deletions.nodes();
        let question = scale_down::Question {
            now,
            options: &self.options,
            groups: &self.groups,
            group_of: &self.group_of,
            unneeded: &self.unneeded,
            deleting: &deleting,
        };
        let under_way = self.deletions.count();
        let chosen = scale_down::choose_deletions(&self.view, &question, &evaluation.removable, under_way);
        let nodes: Vec<Symbol> = chosen.empty.iter().chain(&chosen.drain).copied().collect();
        for &node in &nodes {
            let pods =
                evaluation.removable.iter().find(|one| one.node == node).map_or(0, |one| one.pods.len());
            self.announce_deletion(node, pods, effects);
            let Some(&group) = self.group_of.get(&node) else { continue };
            self.unneeded.remove(&node);
            let mut around = Around {
                view: &self.view,
                groups: &mut self.groups,
                options: &self.options.scale_down,
                effects,
            };
            self.deletions.begin(now, node, [group, pods], &mut around);
        }
        !nodes.is_empty()
    }

    fn announce_deletion(&self, node: Symbol, pods: usize, effects: &mut Effects<Timer>) {
        match pods {
            0 => {
                let message = || format!("Scale-down: removing empty node \"{node}\"");
                self.note(Severity::Normal, "ScaleDownEmpty", message, effects);
            }
            _ => {
                let message = || format!("Scale-down: removing node {node}, pods to reschedule: {pods}");
                self.note(Severity::Normal, "ScaleDown", message, effects);
            }
        }
    }

    /// Marks unneeded nodes so that the scheduler avoids them, and unmarks others, a few in each pass.
    /// Whether some are left for the next one.
    fn update_soft_taints(&mut self, now: SimTime, effects: &mut Effects<Timer>) -> bool {
        let marked = |node: &Node| has_taint(node, DELETION_CANDIDATE);
        let mut left = self.options.scale_down.soft_taints_at_once;
        let mut cut_short = false;
        for wanted in [false, true] {
            for (name, node) in &self.view.nodes {
                let unneeded = self.unneeded.contains_key(name);
                if unneeded != wanted || marked(node) == wanted || !self.group_of.contains_key(name) {
                    continue;
                }
                if left == 0 {
                    cut_short = true;
                    continue;
                }
                left -= 1;
                let soft = vec![taint(DELETION_CANDIDATE, TaintEffect::PreferNoSchedule)];
                let (add, remove) = if wanted { (soft, Vec::new()) } else { (Vec::new(), soft) };
                let target = node.meta.object_ref(Kind::Node);
                let patch = Patch::TaintChanges { add, remove };
                effects.request(now, NO_REPLY, Request::Patch { target, patch });
            }
        }
        cut_short
    }

    /// Sees to it that there is another pass when one is needed: at once after something was begun,
    /// otherwise when something could come out differently although nothing happens.
    fn plan_next_pass(&mut self, now: SimTime, outcome: Outcome, effects: &mut Effects<Timer>) {
        if outcome.acted {
            return self.wake(self.soonest(now), effects);
        }
        let tick = Span::from_nanos(1);
        let mut deadlines: Vec<SimTime> = Vec::new();
        if outcome.put_off {
            deadlines.push(now);
        }
        let waits = self.view.waiting.values().any(|pod| is_unschedulable(pod));
        for group in &self.groups {
            deadlines.extend(group.backoff.until(now).filter(|_| waits));
            deadlines
                .extend(group.increase.map(|increase| increase.at + self.options.provision_time_max + tick));
            for (name, one) in group.kept() {
                let since = self
                    .view
                    .nodes
                    .get(&name)
                    .map_or(Some(one.since), |node| (!is_ready(node)).then_some(node.meta.created));
                let due = since.map(|since| since + self.options.provision_time_max + tick);
                deadlines.extend(due.filter(|&due| due > now));
            }
        }
        if waits {
            let delay = self.options.new_pod_delay;
            let young = self.view.waiting.values().map(|pod| pod.meta.created + delay);
            deadlines.extend(young.filter(|&until| until > now));
        }
        deadlines.extend(self.scale_down_deadlines(now));
        if let Some(at) = deadlines.into_iter().min() {
            self.wake(self.next_on_grid(now, at), effects);
        }
    }

    /// Instants from which on a node may be deleted, or may be found to be unneeded.
    fn scale_down_deadlines(&self, now: SimTime) -> Vec<SimTime> {
        if !self.options.scale_down.enabled {
            return Vec::new();
        }
        let deleting = self.deletions.nodes();
        let question = scale_down::Question {
            now,
            options: &self.options,
            groups: &self.groups,
            group_of: &self.group_of,
            unneeded: &self.unneeded,
            deleting: &deleting,
        };
        let cooldown = self.cooldown_end(now).unwrap_or(now);
        let tick = Span::from_nanos(1);
        let due = self.unneeded.keys().filter_map(|&node| scale_down::due_at(&self.view, &question, node));
        // One whose time has come already waits for another deletion to end, which is told.
        let mut deadlines: Vec<SimTime> =
            due.map(|due| (due + tick).max(cooldown)).filter(|&at| at > now).collect();
        for recheck in self.rechecks.values() {
            if recheck.version != self.view.version {
                deadlines.push(recheck.until);
            }
            deadlines.extend(recheck.again.map(|again| again.max(recheck.until)));
        }
        deadlines
    }
}

/// Whether even the oldest of these pods is so new that more may come.
fn are_all_new(now: SimTime, pods: &[Arc<Pod>]) -> bool {
    let gpu = Symbol::new("nvidia.com/gpu");
    let oldest = |with_gpu: bool| {
        let of_kind = |pod: &&Arc<Pod>| (pod.spec.derived.requests.scalars.get(gpu) > 0) == with_gpu;
        pods.iter().filter(of_kind).map(|pod| pod.meta.created).min()
    };
    let new = |since: Option<SimTime>, span: Span| since.is_none_or(|since| now < since + span);
    new(oldest(false), NEW_POD) && new(oldest(true), NEW_GPU_POD)
}
