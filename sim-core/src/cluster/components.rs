//! Components that crash and start again: the scheduler, the controller manager, kubelets.
//!
//! What a component knows dies with it. One that starts again lists everything anew, and hears of
//! nothing that was committed before its list; what it had asked for is carried out, but nobody is
//! left to hear the answer. A leader that crashed leaves its lease behind: its successor waits until
//! it has seen no renewal for a lease's duration by its own clock
//! (`staging/src/k8s.io/client-go/tools/leaderelection`).

use seatrial_api::machine::{Heartbeat, Input};
use seatrial_api::object::{Kind, Object};
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::units::{SimTime, Span};
use seatrial_controllers::{ControllerManager, ControllerTimer};
use seatrial_scheduler::Scheduler;

use super::config::MasterComponent;
use super::event::{Cause, WATCHERS, Watcher, What};
use super::machines::KubeletState;
use super::setup::controller_config;
use super::streams::Purpose;
use super::world::{Client, MachineTimer, World};

/// How long a lease holds after its last renewal was seen.
const LEASE_DURATION: Span = Span::from_secs(15);
/// From one try for the lease to the next, before jitter.
const RETRY_PERIOD: Span = Span::from_secs(2);
/// The largest addition to the retry period, as a multiple of it in tenths.
const RETRY_JITTER_TENTHS: i64 = 12;
/// From the start of a kubelet's process until it works, at least and at most.
///
/// Model: uniformly distributed in between.
const KUBELET_START: [Span; 2] = [Span::from_secs(1), Span::from_secs(2)];

/// One component of the masters.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// How many faults keep it down.
    outages: u32,
    /// Counts its processes, so that what was planned for an earlier one is told apart.
    life: u32,
    down: bool,
}

/// The components of the masters, and what each watcher has not to hear.
#[derive(Clone, Debug, Default)]
pub(super) struct Masters {
    parts: [Part; 2],
    /// Changes up to this revision are no news to a watcher: they are part of its list, or it is
    /// not there to hear of them.
    listed: [u64; WATCHERS],
}

impl Masters {
    /// Whether a component works.
    pub(super) fn is_up(&self, component: MasterComponent) -> bool {
        !self.parts[component as usize].down
    }

    /// Whether a watcher is told of a change with this revision.
    pub(super) fn hears(&self, watcher: Watcher, revision: u64) -> bool {
        revision > self.listed[watcher as usize]
    }
}

fn watcher(component: MasterComponent) -> Watcher {
    match component {
        MasterComponent::Scheduler => Watcher::Scheduler,
        MasterComponent::ControllerManager => Watcher::Controllers,
    }
}

impl World {
    /// A component of the masters crashes.
    pub(super) fn stop_master(&mut self, now: SimTime, component: MasterComponent) {
        let part = &mut self.masters.parts[component as usize];
        part.life += 1;
        part.down = true;
        self.masters.listed[watcher(component) as usize] = u64::MAX;
        let gone = match component {
            MasterComponent::Scheduler => Client::Scheduler,
            MasterComponent::ControllerManager => Client::Controllers,
        };
        for flight in self.flights.iter_mut().filter(|flight| flight.client == gone) {
            flight.client = if flight.sent_at > now { Client::Unsent } else { Client::Departed };
        }
        for timer in self.timers.iter_mut() {
            let belongs = match component {
                MasterComponent::Scheduler => matches!(timer, MachineTimer::Scheduler(_)),
                MasterComponent::ControllerManager => matches!(timer, MachineTimer::Controllers(_)),
            };
            if belongs {
                *timer = MachineTimer::Lapsed;
            }
        }
    }

    /// A component of the masters is started again: it works once it leads.
    pub(super) fn start_master(&mut self, now: SimTime, component: MasterComponent, cause: Cause) {
        let part = self.masters.parts[component as usize];
        if part.outages > 0 || !part.down {
            return;
        }
        let mut stream = self.streams.of(component as u64, Purpose::LeaderRetry, part.life);
        let mut at = now;
        while at <= now + LEASE_DURATION {
            let jitter = stream.below(RETRY_PERIOD.nanos().unsigned_abs()) as i64 * RETRY_JITTER_TENTHS / 10;
            at = at + RETRY_PERIOD + Span::from_nanos(jitter);
        }
        self.plan(at, What::Leads { component, life: part.life }, cause);
    }

    /// A component of the masters leads: it lists everything and begins.
    pub(super) fn leads(&mut self, now: SimTime, component: MasterComponent, life: u32, cause: Cause) {
        let part = &mut self.masters.parts[component as usize];
        if part.life != life || !part.down {
            return;
        }
        part.down = false;
        self.masters.listed[watcher(component) as usize] = self.api.revision();
        match component {
            MasterComponent::Scheduler => {
                self.scheduler = Scheduler::new(self.config.scheduler.clone())
                    .expect("invariant: the cluster began with this configuration");
                for event in self.initial_list() {
                    if self.scheduler.watches(event.object.kind()) {
                        self.tell_scheduler(now, Input::Watch(&event), cause);
                    }
                }
            }
            MasterComponent::ControllerManager => {
                self.controllers = ControllerManager::new(controller_config(&self.config));
                for event in self.initial_list() {
                    self.tell_controllers(now, Input::Watch(&event), cause);
                }
                self.tell_of_leases(now, cause);
                self.tell_controllers(now, Input::Timer(ControllerTimer::Started), cause);
            }
        }
    }

    /// Everything that is stored, pods last and of them those first that have a node: who reads it
    /// in this order has counted what is taken before it gives away what is free.
    fn initial_list(&self) -> Vec<WatchEvent> {
        let rank = |object: &Object| match object {
            Object::Pod(pod) if pod.node.is_some() => 1,
            Object::Pod(_) => 2,
            _ => 0,
        };
        let mut objects: Vec<Object> =
            Kind::ALL.iter().flat_map(|&kind| self.api.list(kind)).cloned().collect();
        objects.sort_by_key(rank);
        objects.into_iter().map(|object| WatchEvent { change: Change::Added, object }).collect()
    }

    /// What a new controller manager sees of the leases: those of silent machines are as fresh to it
    /// as all others, because it counts by its own clock from when it saw them first.
    fn tell_of_leases(&mut self, now: SimTime, cause: Cause) {
        let nodes: Vec<(u32, bool)> = self
            .machines
            .iter()
            .filter_map(|(_, machine)| machine.node.map(|node| (node, machine.beating)))
            .collect();
        for (node, beating) in nodes {
            let heartbeat = if beating { Heartbeat::Regular } else { Heartbeat::Ceased { last: now } };
            self.tell_of_lease(now, node, heartbeat, cause);
        }
    }

    /// A fault keeps a component of the masters down, or does so no longer.
    pub(super) fn master_outage(
        &mut self,
        now: SimTime,
        component: MasterComponent,
        begins: bool,
        cause: Cause,
    ) {
        if begins {
            self.masters.parts[component as usize].outages += 1;
            self.stop_master(now, component);
        } else {
            self.masters.parts[component as usize].outages -= 1;
            self.start_master(now, component, cause);
        }
    }

    /// The kubelet of a machine crashes; its containers run on.
    pub(super) fn stop_kubelet(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        if state.kubelet != KubeletState::Running || !state.powered {
            return;
        }
        state.kubelet = KubeletState::Stopped;
        state.process += 1;
        state.held_requests.clear();
        let name = state.spec.name;
        self.cease_heartbeat(now, machine, cause);
        for flight in self.flights.iter_mut().filter(|flight| flight.client == Client::Kubelet(machine)) {
            flight.client = if flight.sent_at > now { Client::Unsent } else { Client::Departed };
        }
        self.kubelets.stop_kubelet(name);
    }

    /// The kubelet of a machine is started again.
    pub(super) fn start_kubelet(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get(machine);
        if state.kubelet_outages > 0
            || state.kubelet != KubeletState::Stopped
            || !state.powered
            || state.cuts > 0
        {
            return;
        }
        let entity = super::nodes::machine_entity(state.spec.name);
        let process = state.process;
        let mut stream = self.streams.of(entity, Purpose::KubeletStart, process);
        let [least, most] = KUBELET_START;
        let more = stream.below((most - least).nanos().unsigned_abs()) as i64;
        self.plan(now + least + Span::from_nanos(more), What::KubeletUp { machine, process }, cause);
    }

    /// The process of a kubelet is ready to work.
    pub(super) fn kubelet_up(&mut self, now: SimTime, machine: u32, process: u32, cause: Cause) {
        let state = self.machines.get(machine);
        let stopped = state.kubelet == KubeletState::Stopped && state.kubelet_outages == 0;
        if state.process == process && stopped && state.powered && state.cuts == 0 {
            self.begin_kubelet(now, machine, cause);
        }
    }
}
