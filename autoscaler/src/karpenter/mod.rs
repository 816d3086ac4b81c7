//! A provisioner in the manner of Karpenter: no groups; for pods that fit nowhere it launches single
//! machines of whatever kind is cheapest, and it replaces machines by cheaper ones.
//!
//! Model: claims are known to the provisioner alone and are no objects. Its loop of disruption looks
//! again only when something has changed or becomes due. Left out: drift, static pools, minimum values,
//! schedules and reasons of budgets, `terminationGracePeriod`.

mod claims;
mod disruption;
mod options;
mod solver;
mod termination;

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::cloud::{CapacityType, CloudReport, CloudRequest, Offer};
use seatrial_api::machine::{Effects, Input, Machine, Severity, Token};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::Pod;
use seatrial_api::request::{Reply, WatchEvent};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_scheduler::snapshot::Snapshot;

pub use options::{ConsolidationPolicy, DisruptionBudget, KarpenterOptions, NodePool};

use crate::view::{News, View, is_ready, is_unschedulable, node_of};
use claims::Claims;
use disruption::{Command, Method, Situation, moves};
use solver::{Means, NewClaim, solve};
use termination::{Terminations, mark};

/// The timers of the provisioner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A batch of pods may be full.
    Batch,
    /// It looks for nodes that could go.
    Disruption,
    /// A command is looked at again before it is carried out.
    Validation,
    /// A node has reached its age.
    Expiry(Symbol),
    /// A machine should be a node by now.
    Liveness(Symbol),
    /// The replacement of a command should be ready by now.
    Replacement(Symbol),
    /// What was out of stock may be there again.
    Restock,
    /// An eviction is tried again.
    Eviction(u32),
}

/// From a fruitless look for nodes that could go to the next.
const DISRUPTION_PERIOD: Span = Span::from_secs(10);
/// How long a command waits before it is looked at again.
const VALIDATION: Span = Span::from_secs(15);
/// How long a machine may take to become a node.
const REGISTRATION: Span = Span::from_mins(15);
/// How long a replacement may take.
const REPLACEMENT: Span = Span::from_mins(10);
/// How long a kind of machine is taken to be out of stock.
const UNAVAILABLE: Span = Span::from_mins(3);
/// How long a node is kept for pods that should come.
const NOMINATION: Span = Span::from_secs(20);

/// Keys of evictions carry the pod's row.
const EVICTION_TOKEN: Token = 1 << 41;

fn eviction_token(pod: u32) -> Token {
    EVICTION_TOKEN | Token::from(pod)
}

/// A kind of machine, as a cloud has it or not: type, zone, way to pay.
type Stock = (Symbol, Symbol, Symbol, CapacityType);

fn stock(offer: &Offer) -> Stock {
    (offer.pool, offer.instance_type, offer.zone, offer.capacity_type)
}

/// A batch of pods.
#[derive(Clone, Copy, Debug)]
struct Batch {
    first: SimTime,
    last: SimTime,
}

/// The provisioner.
#[derive(Clone)]
pub struct Karpenter {
    options: Arc<KarpenterOptions>,
    view: View,
    claims: Claims,
    terminations: Terminations,
    batch: Option<Batch>,
    /// Kinds of machines that are out of stock, and until when.
    unavailable: BTreeMap<Stock, SimTime>,
    /// What each pod that fits nowhere was told last.
    told: BTreeMap<u32, &'static str>,
    /// The command that waits to be looked at again.
    validating: Option<Command>,
    /// Commands that wait for their replacement, by its name.
    waiting: BTreeMap<Symbol, Vec<Symbol>>,
    /// When the next look for nodes that could go is planned.
    next_look: Option<SimTime>,
    last_look: Option<SimTime>,
}

impl Karpenter {
    /// A provisioner that knows nothing of the cluster yet. `snapshot` is an empty one, by whose
    /// filters it judges.
    pub fn new(options: KarpenterOptions, snapshot: Snapshot) -> Karpenter {
        Karpenter {
            view: View::new(snapshot, options.assumed_owners.clone()),
            claims: Claims::new(options.pools.len()),
            options: Arc::new(options),
            terminations: Terminations::default(),
            batch: None,
            unavailable: BTreeMap::new(),
            told: BTreeMap::new(),
            validating: None,
            waiting: BTreeMap::new(),
            next_look: None,
            last_look: None,
        }
    }

    /// The claims that there are, each with the type of its machine, in name order.
    pub fn claims(&self) -> impl Iterator<Item = (Symbol, Symbol)> + '_ {
        let kind = |offer: &Offer| offer.instance_type;
        self.claims.rows.iter().map(move |(&name, claim)| (name, claim.offer().map(kind).unwrap_or_default()))
    }

    /// Pods wait that could be helped: the batch is full when no more have come for a while.
    fn trigger(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        let batch = self.batch.get_or_insert(Batch { first: now, last: now });
        batch.last = now;
        let full = (batch.last + self.options.batch_idle).min(batch.first + self.options.batch_max);
        effects.timer(full.max(now), Timer::Batch);
    }

    fn batch_is_full(&self, now: SimTime) -> bool {
        self.batch.is_some_and(|batch| {
            now >= batch.last + self.options.batch_idle || now >= batch.first + self.options.batch_max
        })
    }

    fn on_watch(&mut self, now: SimTime, event: &WatchEvent, effects: &mut Effects<Timer>) {
        let news = self.view.watch(event);
        match &event.object {
            Object::Node(node) => {
                if let Some(claim) = self.claims.rows.get_mut(&node.name)
                    && claim.initialized.is_none()
                    && is_ready(node)
                {
                    claim.initialized = Some(now);
                    claim.pod_event = now;
                    self.replacement_is_ready(now, node.name, effects);
                }
            }
            Object::Pod(pod) if news != News::None => {
                if let Some(node) = pod.node {
                    self.told.remove(&pod.meta.id);
                    if let Some(claim) = self.claims.rows.get_mut(&node) {
                        claim.pod_event = now;
                    }
                }
            }
            _ => {}
        }
        match news {
            News::None => return,
            News::Unschedulable => self.trigger(now, effects),
            News::Left(node) => self.terminations.step(now, node, &self.view, effects),
            News::Changed => {}
        }
        self.look_later(now, effects);
    }

    /// Plans a look for nodes that could go.
    fn look_later(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        if self.claims.rows.is_empty() {
            return;
        }
        let at = self.last_look.map_or(now, |last| (last + DISRUPTION_PERIOD).max(now));
        self.look_at(at, effects);
    }

    fn look_at(&mut self, at: SimTime, effects: &mut Effects<Timer>) {
        if self.next_look.is_none_or(|next| at < next) {
            self.next_look = Some(at);
            effects.timer(at, Timer::Disruption);
        }
    }

    fn on_cloud(&mut self, now: SimTime, report: CloudReport, effects: &mut Effects<Timer>) {
        match report {
            CloudReport::Launched { instance, offer } => {
                let Some(claim) = self.claims.rows.get_mut(&instance) else { return };
                claim.launched = Some(offer as usize);
                for missed in &claim.offers[..(offer as usize).min(claim.offers.len())] {
                    self.unavailable.insert(stock(missed), now + UNAVAILABLE);
                }
                effects.timer(now + REGISTRATION, Timer::Liveness(instance));
                if let Some(span) = self.options.pools[claim.pool].expire_after {
                    effects.timer(claim.created + span, Timer::Expiry(instance));
                }
            }
            CloudReport::Failed { instance, .. } => {
                let Some(claim) = self.claims.rows.remove(&instance) else { return };
                for offer in claim.offers.iter() {
                    self.unavailable.insert(stock(offer), now + UNAVAILABLE);
                }
                effects.ask_cloud(CloudRequest::Terminate { instance });
                self.replacement_failed(now, instance, effects);
                self.trigger(now, effects);
            }
            CloudReport::Interrupted { instance } => self.end_claim(now, instance, effects),
            CloudReport::Terminated { instance } => {
                self.claims.rows.remove(&instance);
                self.terminations.gone(now, instance, &self.view, effects);
                self.replacement_failed(now, instance, effects);
            }
            CloudReport::Requested { .. } => return,
        }
        self.view.version += 1;
        self.look_later(now, effects);
    }

    /// A claim comes to its end. Its pods will need other places.
    fn end_claim(&mut self, now: SimTime, name: Symbol, effects: &mut Effects<Timer>) {
        let Some(claim) = self.claims.rows.get_mut(&name) else { return };
        claim.going = true;
        self.terminations.begin(now, name, &self.view, effects);
        self.trigger(now, effects);
    }

    /// Thinks of nodes that are on their way, and of those that go as gone. Returns the pods that
    /// will have to move.
    fn think_ahead(&mut self) -> Vec<Arc<Pod>> {
        let mut moving = Vec::new();
        let going: Vec<Symbol> = self.terminations.nodes().collect();
        for node in going {
            let pods = self.view.pods_on(node);
            for pod in pods.iter().filter(|pod| moves(pod)) {
                self.view.snapshot.remove_pod(pod, node);
                moving.push(pod.clone());
            }
            self.view.snapshot.remove_node(node);
        }
        let on_their_way: Vec<(Symbol, Offer)> = self
            .claims
            .rows
            .iter()
            .filter(|(name, claim)| !claim.going && !self.view.nodes.contains_key(name))
            .filter_map(|(&name, claim)| Some((name, claim.offer()?.clone())))
            .collect();
        for (name, offer) in on_their_way {
            self.view.think_of_node(&node_of(&offer.template, name));
        }
        moving
    }

    /// A batch is full: places are found for all pods that wait.
    fn provision(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        self.batch = None;
        self.unavailable.retain(|_, until| now < *until);
        self.view.snapshot.fork();
        let moving = self.think_ahead();
        let view = &self.view;
        let nominated = |pod: &Pod| pod.status.nominated_node.filter(|node| view.nodes.contains_key(node));
        let waiting: Vec<Arc<Pod>> = view.waiting.values().cloned().collect();
        let mut pods: Vec<Arc<Pod>> = Vec::new();
        let mut reserved = Vec::new();
        for pod in waiting {
            match nominated(&pod) {
                Some(node) => reserved.push((pod, node)),
                None if is_unschedulable(&pod) => pods.push(pod),
                None => {}
            }
        }
        for (pod, node) in reserved {
            self.view.snapshot.add_pod(&pod, node);
        }
        pods.extend(moving);
        let options = self.options.clone();
        let unavailable = &self.unavailable;
        let means = Means {
            pools: &options.pools,
            rooms: (0..options.pools.len())
                .map(|pool| self.claims.room(pool, &options.pools[pool]))
                .collect(),
            available: &|offer| !unavailable.contains_key(&stock(offer)),
            claims_max: usize::MAX,
        };
        let claims = &self.claims;
        let usable = |info: &seatrial_scheduler::cluster::NodeInfo| {
            claims.rows.get(&info.name()).is_none_or(|claim| !claim.going)
        };
        let solution = solve(&mut self.view, pods, means, usable);
        self.view.snapshot.revert();
        for (_, node) in &solution.placed {
            if let Some(claim) = self.claims.rows.get_mut(node) {
                claim.nominated_until = now + NOMINATION;
            }
        }
        for claim in solution.claims {
            self.launch(now, claim, effects);
        }
        let retry = !solution.left.is_empty();
        for (pod, why) in solution.left {
            if pod.node.is_none() && self.told.get(&pod.meta.id) != Some(&why) {
                let object = pod.meta.object_ref(Kind::Pod);
                let message = || format!("Failed to schedule pod, {why}");
                effects.decide(object, Severity::Warning, "FailedScheduling", message);
                self.told.insert(pod.meta.id, why);
            }
        }
        // What is out of stock will be tried again.
        if let Some(&at) = self.unavailable.values().min().filter(|_| retry) {
            effects.timer(at, Timer::Restock);
        }
    }

    fn launch(&mut self, now: SimTime, claim: NewClaim, effects: &mut Effects<Timer>) -> Symbol {
        let pool = &self.options.pools[claim.pool];
        let offers: Arc<[Offer]> = claim.kinds.iter().map(|&kind| pool.offers[kind].clone()).collect();
        let name = self.claims.add(now, (claim.pool, pool.name), offers.clone());
        if let Some(row) = self.claims.rows.get_mut(&name) {
            row.nominated_until = now + NOMINATION;
        }
        for pod in &claim.pods {
            let object = pod.meta.object_ref(Kind::Pod);
            let message = || format!("Pod should schedule on: nodeclaim/{name}");
            effects.decide(object, Severity::Normal, "Nominated", message);
        }
        effects.ask_cloud(CloudRequest::Launch { instance: name, offers });
        name
    }

    /// Looks for nodes that could go.
    fn look(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        self.last_look = Some(now);
        // One command at a time is looked at twice; pods that wait come first.
        if self.validating.is_some() || self.batch.is_some() {
            return self.look_at(now + DISRUPTION_PERIOD, effects);
        }
        let (options, unavailable) = (self.options.clone(), &self.unavailable);
        let situation = Situation {
            now,
            options: &options,
            claims: &self.claims,
            available: &|offer| !unavailable.contains_key(&stock(offer)),
        };
        let command = situation.next_command(&mut self.view);
        let ripe = situation.next_ripe();
        match command {
            Some(command) => {
                self.validating = Some(command);
                effects.timer(now + VALIDATION, Timer::Validation);
            }
            None => {
                if let Some(at) = ripe {
                    self.look_at(at.max(now + DISRUPTION_PERIOD), effects);
                }
            }
        }
    }

    /// Whether a command would still be found, as far as its nodes go.
    fn still_holds(&mut self, now: SimTime, command: &Command) -> Option<Command> {
        let (options, unavailable) = (self.options.clone(), &self.unavailable);
        let situation = Situation {
            now,
            options: &options,
            claims: &self.claims,
            available: &|offer| !unavailable.contains_key(&stock(offer)),
        };
        let found = situation.next_command(&mut self.view).filter(|found| found.method == command.method)?;
        match command.method {
            Method::Emptiness => {
                let nodes: Vec<Symbol> =
                    command.nodes.iter().copied().filter(|node| found.nodes.contains(node)).collect();
                (!nodes.is_empty()).then_some(Command { nodes, ..command.clone() })
            }
            Method::Consolidation => (found.nodes == command.nodes).then_some(found),
        }
    }

    /// A command is looked at again, and carried out if it still holds.
    fn validate(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        let Some(command) = self.validating.take() else { return };
        if let Some(command) = self.still_holds(now, &command) {
            self.carry_out(now, command, effects);
        }
        self.last_look = Some(now);
        self.look_at(now, effects);
    }

    fn carry_out(&mut self, now: SimTime, command: Command, effects: &mut Effects<Timer>) {
        let what = match (command.method, &command.replacement) {
            (Method::Emptiness, _) => "Empty/Delete",
            (Method::Consolidation, None) => "Underutilized/Delete",
            (Method::Consolidation, Some(_)) => "Underutilized/Replace",
        };
        for &node in &command.nodes {
            if let Some(claim) = self.claims.rows.get_mut(&node) {
                claim.going = true;
            }
            if let Some(object) = self.view.nodes.get(&node) {
                let object = object.meta.object_ref(Kind::Node);
                let message = || format!("Disrupting Node: {what}");
                effects.decide(object, Severity::Normal, "DisruptionTerminating", message);
            }
            mark(now, node, true, &self.view, effects);
        }
        self.view.version += 1;
        match command.replacement {
            None => {
                for node in command.nodes {
                    self.end_claim(now, node, effects);
                }
            }
            Some(claim) => {
                let name = self.launch(now, claim, effects);
                self.waiting.insert(name, command.nodes);
                effects.timer(now + REPLACEMENT, Timer::Replacement(name));
            }
        }
    }

    /// The replacement of a command can run pods: what it replaces comes to its end.
    fn replacement_is_ready(&mut self, now: SimTime, name: Symbol, effects: &mut Effects<Timer>) {
        for node in self.waiting.remove(&name).unwrap_or_default() {
            self.end_claim(now, node, effects);
        }
    }

    /// The replacement of a command does not come: what it should have replaced stays.
    fn replacement_failed(&mut self, now: SimTime, name: Symbol, effects: &mut Effects<Timer>) {
        for node in self.waiting.remove(&name).unwrap_or_default() {
            if self.terminations.contains(node) {
                continue;
            }
            if let Some(claim) = self.claims.rows.get_mut(&node) {
                claim.going = false;
            }
            mark(now, node, false, &self.view, effects);
            self.view.version += 1;
        }
    }

    fn on_timer(&mut self, now: SimTime, timer: Timer, effects: &mut Effects<Timer>) {
        match timer {
            Timer::Batch if self.batch_is_full(now) => self.provision(now, effects),
            Timer::Batch => {}
            Timer::Restock => {
                if self.view.waiting.values().any(|pod| is_unschedulable(pod)) {
                    self.trigger(now, effects);
                }
            }
            Timer::Disruption if self.next_look == Some(now) => {
                self.next_look = None;
                self.look(now, effects);
            }
            Timer::Disruption => {}
            Timer::Validation => self.validate(now, effects),
            Timer::Expiry(name) => {
                let going = self.terminations.contains(name);
                if !going {
                    self.end_claim(now, name, effects);
                }
            }
            Timer::Liveness(name) => {
                if self.claims.rows.contains_key(&name) && !self.view.nodes.contains_key(&name) {
                    self.end_claim(now, name, effects);
                }
            }
            Timer::Replacement(name) => self.replacement_failed(now, name, effects),
            Timer::Eviction(pod) => self.terminations.retry(now, pod, &self.view, effects),
        }
    }

    fn on_reply(&mut self, now: SimTime, token: Token, reply: &Reply, effects: &mut Effects<Timer>) {
        if token & EVICTION_TOKEN != 0 {
            self.terminations.evicted(now, token as u32, reply, effects);
        }
    }
}

impl Machine for Karpenter {
    type Timer = Timer;

    fn handle(&mut self, now: SimTime, input: Input<'_, Timer>, effects: &mut Effects<Timer>) {
        match input {
            Input::Watch(event) => self.on_watch(now, event, effects),
            Input::Reply { token, reply } => self.on_reply(now, token, reply, effects),
            Input::Timer(timer) => self.on_timer(now, timer, effects),
            Input::Cloud(report) => self.on_cloud(now, report, effects),
            // It asks for no metrics and hears of no leases and containers.
            _ => {}
        }
    }
}
