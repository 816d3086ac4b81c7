//! The life of machines: power, boot, connection, leases; and what their runtimes do.

use std::sync::Arc;

use seatrial_api::machine::{Heartbeat, Input, Machine};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{LABEL_HOSTNAME, Node, NodeCondition, NodeConditionType, NodeConditions};
use seatrial_api::object::Object;
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::runtime::{RuntimeCommand, RuntimeReport};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_node::config::{KubeletConfig, PresentImages, RateLimit};

use super::config::{MasterComponent, NodeSpec};
use super::event::{Cause, What};
use super::machines::{KubeletState, LEASE_PERIOD};
use super::runtime::Answer;
use super::streams::{Purpose, name_entity};
use super::world::{PendingReport, World};

impl World {
    /// Puts a machine into its place, without power.
    pub(super) fn place_machine(&mut self, spec: Arc<NodeSpec>) -> u32 {
        let entity = machine_entity(spec.name);
        let mut stream = self.streams.of(entity, Purpose::LeasePhase, 0);
        let phase = Span::from_nanos(stream.below(LEASE_PERIOD.nanos().unsigned_abs()) as i64);
        let row = self.machines.add(spec, phase);
        self.pods_of.push(Vec::new());
        self.recorder.add_machine();
        self.usage.add_machine();
        // The name may have been another machine's.
        self.kubelet_machines.clear();
        row
    }

    /// A new machine is switched on and boots.
    pub(super) fn order_machine(&mut self, now: SimTime, spec: Arc<NodeSpec>, cause: Cause) -> u32 {
        let machine = self.place_machine(spec);
        self.plan_reclaims_of(now, machine);
        self.boot(now, machine, cause);
        machine
    }

    /// Power on: the kubelet comes up after the time of a boot.
    fn boot(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get(machine);
        let entity = machine_entity(state.spec.name);
        let boot = state.boot;
        let span = self.latencies.node_boot.draw(&mut self.streams.of(entity, Purpose::Boot, boot));
        self.powered(now, machine, true);
        self.plan(now + span, What::Booted(machine), cause);
    }

    /// The kubelet of a machine comes up: it registers, or finds its Node object and its pods.
    pub(super) fn booted(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        if state.outages > 0 || !state.present || state.powered {
            return;
        }
        state.powered = true;
        self.powered(now, machine, true);
        match self.machines.get(machine).kubelet_outages {
            0 => self.begin_kubelet(now, machine, cause),
            _ => self.machines.get_mut(machine).kubelet = KubeletState::Stopped,
        }
    }

    /// The kubelet of a machine begins its work: it registers, or finds its Node object and its pods.
    pub(super) fn begin_kubelet(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        let before = std::mem::replace(&mut state.kubelet, KubeletState::Running);
        let (node, spec) = (state.node, state.spec.clone());
        let known = node.and_then(|node| self.api.typed::<Node>(node)).cloned();
        let config = self.kubelet_config(&spec);
        // What happened while the machine was off is part of the first list, its own Node included:
        // a kubelet that believed itself to be Ready still would not say so again.
        self.forget_held_events(machine);
        if let Some(node) = &known {
            let event = WatchEvent { change: Change::Modified, object: Object::Node(node.clone()) };
            self.tell_kubelets(now, Input::Watch(&event), cause);
        }
        let object = known.unwrap_or_else(|| Arc::new(node_object(&spec, now)));
        let pods =
            self.pods_of[machine as usize].iter().filter_map(|&pod| self.api.typed::<Pod>(pod).cloned());
        let mut pods: Vec<_> = pods.collect();
        pods.sort_by_key(|pod| pod.meta.id);
        self.with_kubelets(now, cause, |kubelets, effects| {
            match before {
                KubeletState::New => return kubelets.start_node(now, object, config, effects),
                KubeletState::Lost => kubelets.reboot_node(now, spec.name, &pods, effects),
                KubeletState::Running | KubeletState::Stopped => {
                    kubelets.start_kubelet(now, spec.name, &pods, effects);
                }
            }
            // What became of its Node object meanwhile is part of the first list as well.
            let event = WatchEvent { change: Change::Modified, object: Object::Node(object) };
            kubelets.handle(now, Input::Watch(&event), effects);
        });
        self.machine_truth_changed(now, None);
        self.resume_heartbeat(now, machine, cause);
        if self.machines.get(machine).is_connected() {
            self.reconnect(now, machine, cause);
        }
    }

    /// Power loss: everything on the machine stops at once.
    pub(super) fn lose_power(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        if !state.powered {
            return;
        }
        state.powered = false;
        state.boot += 1;
        if state.kubelet != KubeletState::New {
            state.kubelet = KubeletState::Lost;
        }
        state.held_requests.clear();
        state.memory_look_at = None;
        let name = state.spec.name;
        self.cease_heartbeat(now, machine, cause);
        self.powered(now, machine, false);
        self.kubelets.crash_node(now, name);
        for pod in self.pods_of[machine as usize].clone() {
            self.runtimes.kill_pod(pod);
            self.usage.update(now, pod, self.runtimes.pod(pod), &mut self.recorder);
        }
    }

    /// Power is back.
    pub(super) fn regain_power(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get(machine);
        if state.present && !state.powered && state.outages == 0 {
            self.boot(now, machine, cause);
        }
    }

    /// A machine costs money from now on, or no longer.
    pub(super) fn powered(&mut self, now: SimTime, machine: u32, on: bool) {
        let price = self.machines.get(machine).spec.micro_usd_per_hour;
        self.recorder.powered(now, machine, on, price);
    }

    /// The machine goes away for good. Its Node object stays until somebody takes it away.
    pub(super) fn stop_machine(&mut self, now: SimTime, machine: u32, cause: Cause) {
        self.lose_power(now, machine, cause);
        // It may have been booting.
        self.powered(now, machine, false);
        let state = self.machines.get_mut(machine);
        state.present = false;
        let name = state.spec.name;
        self.kubelets.remove_node(name);
        self.machine_truth_changed(now, None);
    }

    /// The machine and its Node object go away for good.
    pub(super) fn retire_machine(&mut self, now: SimTime, machine: u32, cause: Cause) {
        self.stop_machine(now, machine, cause);
        if let Some(id) = self.machines.get(machine).node {
            let target = seatrial_api::object::ObjectRef { kind: seatrial_api::object::Kind::Node, id };
            let request = seatrial_api::request::Request::delete(target);
            self.send(now, super::world::Client::Operator, seatrial_api::machine::NO_REPLY, request, cause);
        }
    }

    /// The connection is cut or comes back.
    pub(super) fn connection_changed(&mut self, now: SimTime, machine: u32, cause: Cause) {
        if self.machines.get(machine).is_connected() {
            self.resume_heartbeat(now, machine, cause);
            self.reconnect(now, machine, cause);
        } else {
            self.cease_heartbeat(now, machine, cause);
            // One that came up while it reached nobody could not begin.
            self.start_kubelet(now, machine, cause);
        }
    }

    /// From now on no renewal of the machine's lease arrives.
    pub(super) fn cease_heartbeat(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        let Some(node) = state.node.filter(|_| state.beating) else { return };
        state.beating = false;
        let last = state.last_renewal(now);
        self.tell_of_lease(now, node, Heartbeat::Ceased { last }, cause);
    }

    /// Renewals arrive again, from the next one on.
    fn resume_heartbeat(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get(machine);
        if state.is_connected() && !state.beating {
            let (at, boot) = (state.next_renewal(now), state.boot);
            self.plan(at, What::Beating { machine, boot }, cause);
        }
    }

    pub(super) fn beating(&mut self, now: SimTime, machine: u32, boot: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        if state.boot != boot || state.beating || !state.is_connected() {
            return;
        }
        let Some(node) = state.node else {
            // Not registered yet: the lease begins with the node.
            let at = state.next_renewal(now);
            self.plan(at, What::Beating { machine, boot }, cause);
            return;
        };
        state.beating = true;
        self.tell_of_lease(now, node, Heartbeat::Regular, cause);
    }

    /// Tells the controllers of a node's lease, if they are there.
    pub(super) fn tell_of_lease(&mut self, now: SimTime, node: u32, heartbeat: Heartbeat, cause: Cause) {
        if self.masters.is_up(MasterComponent::ControllerManager) {
            self.tell_controllers(now, Input::Heartbeat { node, heartbeat }, cause);
        }
    }

    /// A runtime carries a command out.
    pub(super) fn run(&mut self, now: SimTime, machine: u32, command: RuntimeCommand, cause: Cause) {
        let state = self.machines.get_mut(machine);
        if !state.powered {
            return;
        }
        let boot = state.boot;
        let answers = self.runtimes.command(now, state, command, &self.latencies, &self.streams);
        for Answer { at, report } in answers {
            if at == now {
                self.prompt_reports.push_back((PendingReport { machine, boot, report }, cause));
            } else {
                self.plan_report(at, machine, boot, report, cause);
            }
        }
    }

    pub(super) fn plan_report(
        &mut self,
        at: SimTime,
        machine: u32,
        boot: u32,
        report: RuntimeReport,
        cause: Cause,
    ) {
        let row = self.insert_report(PendingReport { machine, boot, report });
        self.plan(at, What::Report(row), cause);
    }

    /// A report is due: it is told if it still holds.
    pub(super) fn report(&mut self, now: SimTime, report: PendingReport, cause: Cause) {
        let PendingReport { machine, boot, report } = report;
        let state = self.machines.get(machine);
        if state.boot != boot || !state.powered {
            return;
        }
        let node = state.node;
        let due = self.runtimes.report(now, report, &self.streams);
        if let Some(exit) = due.exit {
            self.plan_report(exit.at, machine, boot, exit.report, cause);
        }
        if let (Some(at), RuntimeReport::ContainerStarted { container, .. }) = (due.unready_at, report) {
            self.plan(at, What::Unready { pod: container.pod, attempt: u32::from(container.attempt) }, cause);
        }
        if let Some(pod) = report_pod(report) {
            self.pod_truth_changed(now, pod);
        }
        if due.holds
            && let Some(node) = node
        {
            self.tell_kubelets(now, Input::Runtime { node, report }, cause);
        }
        self.memory_changed(now, machine, report, cause);
    }

    /// The containers of a pod cease to serve.
    pub(super) fn unready(&mut self, now: SimTime, pod: u32, attempt: u32, cause: Cause) {
        let Some(machine) = self.runtimes.pod(pod).and_then(|truth| truth.machine) else { return };
        let boot = self.machines.get(machine).boot;
        for report in self.runtimes.unready(pod, attempt) {
            self.plan_report(now, machine, boot, report, cause);
        }
    }

    /// A step of a profile's load.
    pub(super) fn load_step(&mut self, now: SimTime, profile: u32, step: u32) {
        let behaviour = &self.runtimes.behaviours.profiles()[profile as usize];
        let (_, demand) = behaviour.load()[step as usize];
        self.usage.set_demand(now, profile, demand, &mut self.recorder);
    }

    pub(super) fn kubelet_config(&self, spec: &NodeSpec) -> Arc<KubeletConfig> {
        let limited = self.config.client_rate_limits;
        Arc::new(KubeletConfig {
            api_rate: limited.then_some(RateLimit { per_second: 50, burst: 100 }),
            images: PresentImages::Listed(spec.images.clone()),
            ..KubeletConfig::default()
        })
    }
}

/// The pod whose truth a report can change.
fn report_pod(report: RuntimeReport) -> Option<u32> {
    match report {
        RuntimeReport::ContainerStarted { container, .. }
        | RuntimeReport::ContainerExited { container, .. }
        | RuntimeReport::Probed { container, .. } => Some(container.pod),
        _ => None,
    }
}

/// The entity of a machine.
pub(super) fn machine_entity(name: Symbol) -> u64 {
    name_entity(seatrial_api::object::Kind::Node, Symbol::empty(), name.as_str())
}

/// The Node object with which a kubelet registers.
pub(super) fn node_object(spec: &NodeSpec, now: SimTime) -> Node {
    let hostname = Symbol::new(LABEL_HOSTNAME);
    let labels = match spec.labels.get(hostname) {
        Some(_) => spec.labels.clone(),
        None => spec.labels.with(hostname, spec.name),
    };
    let mut conditions = NodeConditions::default();
    let since = now.truncate_to_second();
    for (kind, status, reason, message) in [
        (
            NodeConditionType::MemoryPressure,
            ConditionStatus::False,
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            NodeConditionType::DiskPressure,
            ConditionStatus::False,
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            NodeConditionType::PidPressure,
            ConditionStatus::False,
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        (NodeConditionType::Ready, ConditionStatus::True, "KubeletReady", "kubelet is posting ready status"),
    ] {
        conditions.put(
            kind,
            NodeCondition { status, reason: Symbol::new(reason), message: Symbol::new(message), since },
        );
    }
    Node {
        meta: ObjectMeta { name: spec.name.as_str().into(), labels, created: now, ..ObjectMeta::default() },
        name: spec.name,
        taints: (!spec.taints.is_empty()).then(|| spec.taints.as_slice().into()),
        capacity: spec.capacity.clone(),
        allocatable: spec.allocatable.clone(),
        conditions,
        ..Node::default()
    }
}
