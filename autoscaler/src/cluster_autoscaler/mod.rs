//! The Cluster Autoscaler: node groups that grow when pods fit nowhere, and shrink when nobody needs
//! their nodes.
//!
//! A pass looks at everything, as upstream's loop of ten seconds does. Passes in which nothing could
//! come out differently are not played: after a pass it is known what would have to change, or which
//! instant to come, and the next pass is the first of the ten-second grid from then on.
//!
//! Model: a pass takes a fixed time in which it delays the next one, and acts at its beginning. What
//! upstream reads from its cloud at the beginning of a pass is told to this one when it happens. Left
//! out: GPU limits, provisioning requests, pods of nodes that are being drained as pods to help.

mod deletion;
mod drainability;
mod estimator;
mod expander;
mod groups;
mod options;
mod pass;
mod scale_down;
mod scale_up;

use std::collections::BTreeMap;

use seatrial_api::cloud::CloudReport;
use seatrial_api::config::ConfigMap;
use seatrial_api::machine::{Effects, Input, Machine, Severity, Token};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Object, ObjectRef};
use seatrial_api::request::{Request, WatchEvent};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_scheduler::snapshot::Snapshot;

pub use drainability::BlockingReason;
pub use options::{ClusterAutoscalerOptions, Expander, NodeGroup, ScaleDownOptions};
pub use scale_down::Unremovable;

use crate::view::{News, View, on_grid};
use deletion::{Around, Deletions, Progress};
use groups::{Group, InstanceState};
use scale_down::Recheck;

/// The timers of the Cluster Autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A pass begins.
    Pass,
    /// The next step of a node's deletion.
    Deletion(Symbol),
    /// An eviction is tried again.
    Eviction(u32),
}

/// The key of the status object's creation.
const STATUS_TOKEN: Token = 1 << 40;
/// Keys of evictions carry the pod's row.
const EVICTION_TOKEN: Token = 1 << 41;

fn eviction_token(pod: u32) -> Token {
    EVICTION_TOKEN | Token::from(pod)
}

/// The Cluster Autoscaler.
#[derive(Clone)]
pub struct ClusterAutoscaler {
    options: ClusterAutoscalerOptions,
    view: View,
    groups: Vec<Group>,
    /// The group of each instance.
    group_of: BTreeMap<Symbol, usize>,
    /// Since when nodes have been unneeded.
    unneeded: BTreeMap<Symbol, SimTime>,
    rechecks: BTreeMap<Symbol, Recheck>,
    deletions: Deletions,
    /// What each pod that no group can help was told last.
    told: BTreeMap<u32, String>,
    /// When the last pass began; `None` before the first.
    last_pass: Option<SimTime>,
    /// When the next pass begins, if it is known.
    next_pass: Option<SimTime>,
    last_scale_up: Option<SimTime>,
    last_deletion: Option<SimTime>,
    last_failure: Option<SimTime>,
    was_unhealthy: bool,
    /// How many choices among equals were made.
    draws: u64,
    /// The object that events about groups are about.
    status: Option<ObjectRef>,
    status_asked: bool,
}

impl ClusterAutoscaler {
    /// An autoscaler of these groups that knows nothing of the cluster yet. `snapshot` is an empty one,
    /// by whose filters it judges.
    pub fn new(
        options: ClusterAutoscalerOptions,
        groups: Vec<NodeGroup>,
        snapshot: Snapshot,
    ) -> ClusterAutoscaler {
        let groups: Vec<Group> = groups.into_iter().map(Group::new).collect();
        let members = groups.iter().enumerate();
        let group_of =
            members.flat_map(|(index, group)| group.instances.keys().map(move |&name| (name, index)));
        ClusterAutoscaler {
            view: View::new(snapshot, options.assumed_owners.clone()),
            group_of: group_of.collect(),
            groups,
            options,
            unneeded: BTreeMap::new(),
            rechecks: BTreeMap::new(),
            deletions: Deletions::default(),
            told: BTreeMap::new(),
            last_pass: None,
            next_pass: None,
            last_scale_up: None,
            last_deletion: None,
            last_failure: None,
            was_unhealthy: false,
            draws: 0,
            status: None,
            status_asked: false,
        }
    }

    /// How many instances each group is meant to have.
    pub fn targets(&self) -> impl Iterator<Item = (Symbol, u32)> + '_ {
        self.groups.iter().map(|group| (group.config.name, group.target()))
    }

    /// Since when nodes have been found unneeded, in name order.
    pub fn unneeded(&self) -> impl Iterator<Item = (Symbol, SimTime)> + '_ {
        self.unneeded.iter().map(|(&node, &since)| (node, since))
    }

    /// Nodes that are little used and cannot go, and why, in name order.
    pub fn unremovable(&self) -> impl Iterator<Item = (Symbol, Unremovable)> + '_ {
        self.rechecks.iter().map(|(&node, recheck)| (node, recheck.reason))
    }

    /// Makes sure that a pass begins at `at`, if no earlier one does.
    fn wake(&mut self, at: SimTime, effects: &mut Effects<Timer>) {
        if self.next_pass.is_none_or(|next| at < next) {
            self.next_pass = Some(at);
            effects.timer(at, Timer::Pass);
        }
    }

    /// The earliest instant at which a pass can begin that is not called for by the grid.
    fn soonest(&self, now: SimTime) -> SimTime {
        self.last_pass.map_or(now, |last| now.max(last + self.options.pass_time))
    }

    /// The first pass of the grid that is not before `at`, and after the last one.
    fn next_on_grid(&self, now: SimTime, at: SimTime) -> SimTime {
        let Some(last) = self.last_pass else { return now };
        let period = self.options.scan_interval + self.options.pass_time;
        on_grid(last, period, at.max(last + period)).max(now)
    }

    fn on_watch(&mut self, now: SimTime, event: &WatchEvent, effects: &mut Effects<Timer>) {
        match self.view.watch(event) {
            News::None => {}
            News::Unschedulable => self.wake(self.soonest(now), effects),
            News::Changed | News::Left(_) => self.wake(self.next_on_grid(now, now), effects),
        }
        if let Object::Pod(pod) = &event.object
            && pod.node.is_some()
        {
            self.told.remove(&pod.meta.id);
        }
    }

    fn on_cloud(&mut self, now: SimTime, report: CloudReport, effects: &mut Effects<Timer>) {
        let of = |instance: Symbol| self.group_of.get(&instance).copied();
        match report {
            CloudReport::Requested { group, instance } => {
                let Some(index) = self.groups.iter().position(|one| one.config.name == group) else { return };
                self.groups[index].requested(now, instance);
                self.group_of.insert(instance, index);
            }
            CloudReport::Failed { instance, error } => {
                let Some(index) = of(instance) else { return };
                self.groups[index].set_state(instance, InstanceState::Failed(error));
            }
            CloudReport::Terminated { instance } => {
                let Some(index) = of(instance) else { return };
                self.groups[index].instances.remove(&instance);
                self.group_of.remove(&instance);
            }
            CloudReport::Launched { .. } | CloudReport::Interrupted { .. } => return,
        }
        self.view.version += 1;
        self.wake(self.next_on_grid(now, now), effects);
    }

    fn deletion_step(
        &mut self,
        now: SimTime,
        effects: &mut Effects<Timer>,
        act: impl FnOnce(&mut Deletions, &mut Around<'_>) -> Progress,
    ) {
        let mut around =
            Around { view: &self.view, groups: &mut self.groups, options: &self.options.scale_down, effects };
        match act(&mut self.deletions, &mut around) {
            Progress::Goes => return,
            Progress::Done => self.last_deletion = Some(now),
            Progress::Failed => self.last_failure = Some(now),
        }
        self.view.version += 1;
        self.wake(self.next_on_grid(now, now), effects);
    }

    fn on_reply(
        &mut self,
        now: SimTime,
        token: Token,
        reply: &seatrial_api::request::Reply,
        effects: &mut Effects<Timer>,
    ) {
        if token == STATUS_TOKEN {
            self.status = reply.as_ref().ok().map(Object::object_ref);
        } else if token & EVICTION_TOKEN != 0 {
            let pod = token as u32;
            self.deletion_step(now, effects, |deletions, around| deletions.evicted(now, pod, reply, around));
        }
    }

    /// Records something about a group, or about all of them.
    fn note(
        &self,
        severity: Severity,
        reason: &'static str,
        message: impl FnOnce() -> String,
        effects: &mut Effects<Timer>,
    ) {
        if let Some(status) = self.status {
            effects.decide(status, severity, reason, message);
        }
    }

    /// The object that events about groups are about; upstream keeps its status there.
    fn ask_for_status(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        if !self.status_asked {
            self.status_asked = true;
            let meta = ObjectMeta::named("kube-system", "cluster-autoscaler-status");
            let status = ConfigMap { meta, ..ConfigMap::default() };
            effects.request(
                now,
                STATUS_TOKEN,
                Request::Create(Object::ConfigMap(std::sync::Arc::new(status))),
            );
        }
    }
}

impl Machine for ClusterAutoscaler {
    type Timer = Timer;

    fn handle(&mut self, now: SimTime, input: Input<'_, Timer>, effects: &mut Effects<Timer>) {
        match input {
            Input::Watch(event) => self.on_watch(now, event, effects),
            Input::Reply { token, reply } => self.on_reply(now, token, reply, effects),
            Input::Timer(Timer::Pass) if self.next_pass == Some(now) => {
                self.next_pass = None;
                self.ask_for_status(now, effects);
                self.pass(now, effects);
            }
            // An earlier pass took its place.
            Input::Timer(Timer::Pass) => {}
            Input::Timer(Timer::Deletion(node)) => {
                self.deletion_step(now, effects, |deletions, around| deletions.step(now, node, around));
            }
            Input::Timer(Timer::Eviction(pod)) => self.deletion_step(now, effects, |deletions, around| {
                deletions.retry(now, pod, around);
                Progress::Goes
            }),
            Input::Cloud(report) => self.on_cloud(now, report, effects),
            // It asks for no metrics and hears of no leases and containers.
            _ => {}
        }
    }
}
