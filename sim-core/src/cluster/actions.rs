//! The timeline: what people do, and the steps of what takes several.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::machine::NO_REPLY;
use seatrial_api::node::Node;
use seatrial_api::pod::ConditionStatus;
use seatrial_api::request::{Patch, Request};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::config::{Action, NamedObject, NodeSpec};
use super::event::{Cause, What};
use super::operator::{self, Drain, POLL, Task, Upgrade};
use super::world::{Client, World};
use crate::results::{EventRow, EventType};

/// A request of the operator as its row in the results names it.
pub(super) fn describe(request: &Request) -> String {
    match request {
        Request::Create(object) => format!("create {}", object.kind()),
        Request::Apply(object) => format!("apply {} {}", object.kind(), object.meta().full_name()),
        Request::Update { object, .. } => format!("update {} {}", object.kind(), object.meta().full_name()),
        Request::Patch { target, .. } => format!("patch {}", target.kind),
        Request::Delete { target, .. } => format!("delete {}", target.kind),
        Request::Evict { .. } => "evict Pod".into(),
        Request::Bind { .. } => "bind Pod".into(),
        Request::Get { kind, name, .. } => format!("get {kind} {name}"),
        Request::PodMetrics { .. } => "get PodMetrics".into(),
        Request::Metric(query) => format!("get metric {}", query.name),
    }
}

impl World {
    /// Plans the first occurrence of every entry of the timeline.
    pub(super) fn plan_timeline(&mut self) {
        for index in 0..self.config.timeline.len() {
            let at = self.config.timeline[index].at;
            self.plan(at, What::Timeline(index as u32), Cause::NONE);
        }
    }

    pub(super) fn timeline(&mut self, now: SimTime, index: u32) {
        let config = self.config.clone();
        let entry = &config.timeline[index as usize];
        if let Some(every) = entry.every {
            self.plan(now + every, What::Timeline(index), Cause::NONE);
        }
        self.act(now, &entry.action);
    }

    /// Does what a person asks for.
    pub(super) fn act(&mut self, now: SimTime, action: &Action) {
        match action {
            Action::Apply(objects) => {
                let cause = self.record_action(now, "apply", &format!("{} objects", objects.len()));
                self.apply_in_order(now, objects, cause);
            }
            Action::Delete(named) => self.on(now, "delete", named, |world, target, cause| {
                // kubectl asks for background deletion whatever the kind's default is.
                let options = seatrial_api::request::DeleteOptions {
                    propagation: Some(seatrial_api::request::Propagation::Background),
                    ..Default::default()
                };
                world.command(now, Request::Delete { target, options }, cause);
            }),
            Action::Scale(named, replicas) => {
                self.on(now, &format!("scale to {replicas}"), named, |world, target, cause| {
                    world.command(now, Request::Patch { target, patch: Patch::Replicas(*replicas) }, cause);
                })
            }
            Action::SetImage(named, container, image) => {
                self.on(now, &format!("set image {image}"), named, |world, target, cause| {
                    let patch = Patch::Image { container: *container, image: *image };
                    world.command(now, Request::Patch { target, patch }, cause);
                });
            }
            Action::RolloutRestart(named) => {
                self.on(now, "rollout restart", named, |world, target, cause| {
                    world.command(now, operator::restart(target, now), cause);
                })
            }
            Action::RolloutUndo(named) => self.on(now, "rollout undo", named, |world, target, cause| {
                match operator::undo(&world.api, target) {
                    Ok(request) => world.command(now, request, cause),
                    Err(message) => world.record_trouble(now, "rollout undo", message, cause),
                }
            }),
            Action::Cordon(node) => self.cordon(now, *node, true),
            Action::Uncordon(node) => self.cordon(now, *node, false),
            Action::Drain(node) => {
                let cause = self.record_action(now, "drain", node.as_str());
                let task = self.tasks.insert(Task::Drain(Drain::new(*node)));
                self.plan(now, What::Operator(task), cause);
            }
            Action::AddNodes(specs) => {
                let cause = self.record_action(now, "add nodes", &specs.len().to_string());
                for spec in specs {
                    self.order_machine(now, Arc::new(spec.clone()), cause);
                }
            }
            Action::RemoveNode(node) => {
                let cause = self.record_action(now, "remove node", node.as_str());
                match self.machines.named(*node) {
                    Some(machine) => {
                        self.retire_machine(now, machine, cause);
                        self.lose_instance(now, machine, cause);
                    }
                    None => self.record_trouble(now, "remove node", not_found("node", node.as_str()), cause),
                }
            }
            Action::RestartMaster(component) => {
                let cause = self.record_action(now, "restart", component.as_str());
                self.stop_master(now, *component);
                self.start_master(now, *component, cause);
            }
            Action::RestartKubelet(node) => {
                let cause = self.record_action(now, "restart kubelet", node.as_str());
                match self.machines.named(*node) {
                    Some(machine) => {
                        self.stop_kubelet(now, machine, cause);
                        self.start_kubelet(now, machine, cause);
                    }
                    None => {
                        self.record_trouble(now, "restart kubelet", not_found("node", node.as_str()), cause)
                    }
                }
            }
            Action::UpgradePool(pool) => {
                let cause = self.record_action(now, "upgrade pool", pool.as_str());
                let old =
                    self.machines.iter().filter(|(_, machine)| machine.spec.pool == *pool && machine.present);
                let mut waiting: Vec<u32> = old.map(|(row, _)| row).collect();
                waiting.reverse();
                let task = self.tasks.insert(Task::Upgrade(Upgrade { waiting, current: None, drain: None }));
                self.plan(now, What::Operator(task), cause);
            }
        }
    }

    fn command(&mut self, now: SimTime, request: Request, cause: Cause) {
        self.send(now, Client::Operator, NO_REPLY, request, cause);
    }

    /// Acts on an object that a person named, or says that there is none.
    fn on(
        &mut self,
        now: SimTime,
        verb: &str,
        named: &NamedObject,
        act: impl FnOnce(&mut World, seatrial_api::object::ObjectRef, Cause),
    ) {
        let name = if named.namespace.is_empty() {
            format!("{} {}", named.kind, named.name)
        } else {
            format!("{} {}/{}", named.kind, named.namespace, named.name)
        };
        let cause = self.record_action(now, verb, &name);
        match operator::resolve(&self.api, named) {
            Some(target) => act(self, target, cause),
            None => self.record_trouble(now, verb, not_found(named.kind.as_str(), &named.name), cause),
        }
    }

    fn cordon(&mut self, now: SimTime, node: Symbol, unschedulable: bool) {
        let verb = if unschedulable { "cordon" } else { "uncordon" };
        let cause = self.record_action(now, verb, node.as_str());
        match operator::node_patch(&self.api, node, Patch::Unschedulability(unschedulable)) {
            Some(request) => self.command(now, request, cause),
            None => self.record_trouble(now, verb, not_found("node", node.as_str()), cause),
        }
    }

    /// The next step of a task.
    pub(super) fn operate(&mut self, now: SimTime, row: u32, cause: Cause) {
        let done = match self.tasks.get_mut(row).clone() {
            Task::Drain(mut drain) => {
                let done = self.drain_step(now, &mut drain, cause);
                *self.tasks.get_mut(row) = Task::Drain(drain);
                done
            }
            Task::Upgrade(mut upgrade) => {
                let done = self.upgrade_step(now, &mut upgrade, cause);
                *self.tasks.get_mut(row) = Task::Upgrade(upgrade);
                done
            }
        };
        if done {
            self.tasks.take(row);
        } else {
            self.plan(now + POLL, What::Operator(row), cause);
        }
    }

    fn drain_step(&mut self, now: SimTime, drain: &mut Drain, cause: Cause) -> bool {
        let Some(machine) = self.machines.named(drain.node) else {
            self.record_trouble(now, "drain", not_found("node", drain.node.as_str()), cause);
            return true;
        };
        let step = drain.step(now, &self.api, &self.pods_of[machine as usize]);
        for request in step.requests {
            self.command(now, request, cause);
        }
        if step.done {
            self.record_action(now, "drained", drain.node.as_str());
        }
        step.done
    }

    /// Surge of one: order a replacement, wait until it is Ready, drain the old node, remove it.
    fn upgrade_step(&mut self, now: SimTime, upgrade: &mut Upgrade, cause: Cause) -> bool {
        let Some((old, new)) = upgrade.current else {
            let Some(old) = upgrade.waiting.pop() else { return true };
            let spec = self.machines.get(old).spec.clone();
            let name = self.free_name(spec.name);
            let labels = spec.labels.without(Symbol::new(seatrial_api::node::LABEL_HOSTNAME));
            let replacement = NodeSpec { name, labels, ..NodeSpec::clone(&spec) };
            let new = self.order_machine(now, Arc::new(replacement), cause);
            upgrade.current = Some((old, new));
            return false;
        };
        let node = self.machines.get(new).node.and_then(|node| self.api.typed::<Node>(node));
        if node.is_none_or(|node| node.ready() != ConditionStatus::True) {
            return false;
        }
        let name = self.machines.get(old).spec.name;
        let drain = upgrade.drain.get_or_insert_with(|| Drain::new(name));
        if self.drain_step(now, drain, cause) {
            self.retire_machine(now, old, cause);
            upgrade.current = None;
            upgrade.drain = None;
        }
        false
    }

    /// The name of a replacement: `worker-1` becomes `worker-1-r1`, then `worker-1-r2`.
    fn free_name(&self, name: Symbol) -> Symbol {
        let base = name.as_str();
        let (stem, count) =
            match base.rsplit_once("-r").and_then(|(stem, n)| n.parse::<u32>().ok().map(|n| (stem, n))) {
                Some((stem, count)) => (stem, count),
                None => (base, 0),
            };
        let names = (count + 1..).map(|n| Symbol::new(&format!("{stem}-r{n}")));
        names.into_iter().find(|name| self.machines.named(*name).is_none()).unwrap_or(name)
    }

    /// An object of the workload arrives.
    pub(super) fn arrive(&mut self, now: SimTime, position: u32) {
        let Some(object) = self.config.arrivals.as_ref().map(|source| source.object(position)) else {
            return;
        };
        self.send(now, Client::Workload, NO_REPLY, Request::Create(object), Cause::NONE);
    }

    fn record_action(&mut self, now: SimTime, verb: &str, object: &str) -> Cause {
        self.recorder.push(EventRow {
            time: now,
            kind: Symbol::new("Action"),
            namespace: Symbol::empty(),
            name: compact_str::format_compact!("{verb} {object}"),
            event: EventType::Action,
            reason: Symbol::new(verb.split(' ').next().unwrap_or(verb)),
            message: CompactString::default(),
            cause: None,
        })
    }

    fn record_trouble(&mut self, now: SimTime, verb: &str, message: CompactString, cause: Cause) {
        self.recorder.push(EventRow {
            time: now,
            kind: Symbol::new("Action"),
            namespace: Symbol::empty(),
            name: verb.into(),
            event: EventType::Warning,
            reason: Symbol::new("Refused"),
            message,
            cause: cause.row(),
        });
    }
}

fn not_found(kind: &str, name: &str) -> CompactString {
    compact_str::format_compact!("{} \"{name}\" not found", kind.to_lowercase())
}
