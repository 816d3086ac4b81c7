//! Everything in a simulated cluster but its clock and its queue.
//!
//! An event is handled by one component or by the model of what lies between them; what follows
//! is put on the calendar. The order of the calendar is the order in which things were decided.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use seatrial_api::labels::Selector;
use seatrial_api::machine::{Effects, Input, Machine, NO_REPLY, Token};
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pages::Pages;
use seatrial_api::pod::Pod;
use seatrial_api::request::{ApiError, ErrorReason, Reply, Request, WatchEvent};
use seatrial_api::runtime::RuntimeReport;
use seatrial_api::store::ApiServer;
use seatrial_api::units::SimTime;
use seatrial_autoscaler::{Autoscaler, Timer as AutoscalerTimer};
use seatrial_controllers::{ControllerManager, ControllerTimer};
use seatrial_node::{Kubelets, Timer as KubeletTimer};
use seatrial_scheduler::{Scheduler, Timer as SchedulerTimer};

use super::availability::Availability;
use super::cloud::Cloud;
use super::components::Masters;
use super::config::ClusterConfig;
use super::event::{Cause, ClusterEvent, WATCHERS, Watcher, Watchers, What};
use super::flow_control::FlowControl;
use super::latency::Latencies;
use super::machines::Machines;
use super::operator::Task;
use super::recorder::Recorder;
use super::runtime::{PodTruth, Runtimes};
use super::slab::Slab;
use super::storage::Storage;
use super::streams::{Purpose, Streams, request_target};
use super::usage::Usage;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Scheduler,
    Controllers,
    /// The kubelet of a machine.
    Kubelet(u32),
    /// Someone who has crashed since: nobody hears the answer.
    Departed,
    /// Someone who crashed before the request had left.
    Unsent,
    Operator,
    Workload,
    Autoscaler,
    Cloud,
    /// The storage drivers.
    Storage,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) client: Client,
    /// When it leaves its client.
    pub(super) sent_at: SimTime,
    token: Token,
    request: Request,
}

/// A watch event on its way to one or more watchers.
#[derive(Clone, Debug)]
pub(super) struct PendingWatch {
    event: WatchEvent,
    left: u32,
}

/// A timer of a component.
#[derive(Clone, Copy, Debug)]
pub(super) enum MachineTimer {
    Scheduler(SchedulerTimer),
    Controllers(ControllerTimer),
    Kubelets(KubeletTimer),
    Autoscaler(AutoscalerTimer),
    /// One of a component that has crashed.
    Lapsed,
}

/// A report of a runtime on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingReport {
    pub(super) machine: u32,
    pub(super) boot: u32,
    pub(super) report: RuntimeReport,
}

/// The state of a simulated cluster.
#[derive(Clone)]
pub(super) struct World {
    pub(super) config: Arc<ClusterConfig>,
    pub(super) api: ApiServer,
    pub(super) scheduler: Scheduler,
    pub(super) controllers: ControllerManager,
    pub(super) kubelets: Kubelets,
    /// Absent where nobody scales the cluster.
    pub(super) autoscaler: Option<Autoscaler>,
    pub(super) cloud: Cloud,
    pub(super) machines: Machines,
    /// The machines of the kubelets by their numbers, as far as they were looked up.
    pub(super) kubelet_machines: Vec<Option<u32>>,
    /// Pods bound to each machine.
    pub(super) pods_of: Vec<Vec<u32>>,
    pub(super) runtimes: Runtimes,
    pub(super) usage: Usage,
    pub(super) latencies: Latencies,
    pub(super) streams: Streams,
    pub(super) flights: Slab<Flight>,
    watches: Slab<PendingWatch>,
    pub(super) timers: Slab<MachineTimer>,
    reports: Slab<PendingReport>,
    /// Reports of what took no time.
    pub(super) prompt_reports: VecDeque<(PendingReport, Cause)>,
    pub(super) tasks: Slab<Task>,
    /// Flow control of the API server, where it is on.
    pub(super) flow: Option<Box<FlowControl>>,
    /// Who watches each kind.
    audiences: [Watchers; Kind::ALL.len()],
    /// When the last event of each kind arrived at each watcher: a watch keeps its order.
    last_arrival: [[SimTime; Kind::ALL.len()]; WATCHERS],
    /// The newest committed version of each pod, where the record needs to compare.
    pub(super) seen_pods: Pages<Arc<Pod>>,
    /// Pods whose binding was asked for, in a run that is recorded in full.
    pub(super) binding: FxHashSet<u32>,
    /// The newest committed version of each node.
    pub(super) seen_nodes: FxHashMap<u32, Arc<Node>>,
    pub(super) recorder: Recorder,
    pub(super) storage: Storage,
    pub(super) availability: Availability,
    /// Which components of the masters work.
    pub(super) masters: Masters,
    /// Faults on their targets.
    pub(super) injections: Vec<super::faults::Injection>,
    /// What came from outside.
    pub(super) inputs: Vec<super::session::Input>,
    /// What was put on the calendar since the event began.
    pub(super) calendar: Vec<(SimTime, ClusterEvent)>,
    buffers: Buffers,
}

/// Buffers that are used again and again.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    scheduler: Lent<Effects<SchedulerTimer>>,
    controllers: Lent<Effects<ControllerTimer>>,
    kubelets: Lent<Effects<KubeletTimer>>,
    autoscaler: Lent<Effects<AutoscalerTimer>>,
    events: Vec<WatchEvent>,
}

/// A buffer that is lent to whoever fills and empties it. Behind a pointer, since that moves with
/// every input of a component.
#[derive(Clone, Debug)]
struct Lent<T>(Option<Box<T>>);

impl<T> Lent<T> {
    fn new(value: T) -> Lent<T> {
        Lent(Some(Box::new(value)))
    }

    fn lend(&mut self) -> Box<T> {
        self.0.take().expect("invariant: a buffer is lent once")
    }

    fn give_back(&mut self, value: Box<T>) {
        self.0 = Some(value);
    }
}

/// The parts that a world is put together from.
pub(super) struct Parts {
    pub(super) config: Arc<ClusterConfig>,
    pub(super) api: ApiServer,
    pub(super) scheduler: Scheduler,
    pub(super) controllers: ControllerManager,
    pub(super) kubelets: Kubelets,
    pub(super) autoscaler: Option<Autoscaler>,
    pub(super) runtimes: Runtimes,
    pub(super) latencies: Latencies,
    pub(super) storage: Storage,
}

impl World {
    pub(super) fn new(parts: Parts) -> World {
        let config = parts.config;
        let explain = config.recording == super::config::Recording::Full;
        World {
            usage: Usage::new(&parts.runtimes.behaviours),
            audiences: std::array::from_fn(|kind| {
                audience(Kind::ALL[kind], &parts.scheduler, parts.autoscaler.as_ref())
            }),
            streams: Streams::new(config.seed),
            recorder: Recorder::new(config.recording, config.duration),
            masters: Masters::default(),
            injections: Vec::new(),
            inputs: Vec::new(),
            api: parts.api,
            scheduler: parts.scheduler,
            controllers: parts.controllers,
            kubelets: parts.kubelets,
            autoscaler: parts.autoscaler,
            cloud: Cloud::new(&config),
            machines: Machines::default(),
            kubelet_machines: Vec::new(),
            pods_of: Vec::new(),
            runtimes: parts.runtimes,
            latencies: parts.latencies,
            storage: parts.storage,
            flights: Slab::default(),
            watches: Slab::default(),
            timers: Slab::default(),
            reports: Slab::default(),
            prompt_reports: VecDeque::new(),
            tasks: Slab::default(),
            flow: config.flow_control_seats.map(|seats| Box::new(FlowControl::new(seats))),
            last_arrival: [[SimTime::from_nanos(i64::MIN); Kind::ALL.len()]; WATCHERS],
            seen_pods: Pages::default(),
            binding: FxHashSet::default(),
            seen_nodes: FxHashMap::default(),
            availability: Availability::default(),
            calendar: Vec::new(),
            buffers: Buffers {
                scheduler: Lent::new(Effects::new(explain)),
                controllers: Lent::new(Effects::new(explain)),
                kubelets: Lent::new(Effects::new(explain)),
                autoscaler: Lent::new(Effects::new(explain)),
                events: Vec::new(),
            },
            config,
        }
    }

    /// Takes the reports that runtimes make at once, until there are no more.
    pub(super) fn settle(&mut self, now: SimTime) {
        while let Some((report, cause)) = self.prompt_reports.pop_front() {
            self.report(now, report, cause);
        }
    }

    /// Puts something on the calendar.
    pub(super) fn plan(&mut self, at: SimTime, what: What, cause: Cause) {
        self.calendar.push((at, ClusterEvent { what, cause }));
    }

    /// Handles one event.
    pub(super) fn handle(&mut self, now: SimTime, event: ClusterEvent) {
        let cause = event.cause;
        match event.what {
            What::Commit(row) => self.commit(now, row, cause),
            What::Admit(row) => self.admit(now, row, cause),
            What::Watch(watchers, row) => self.deliver(now, watchers, row, cause),
            What::NodeWatch { machine, row } => self.deliver_to_node(now, machine, row, cause),
            What::Timer(row) => match self.timers.take(row) {
                MachineTimer::Scheduler(timer) => self.tell_scheduler(now, Input::Timer(timer), cause),
                MachineTimer::Controllers(timer) => self.tell_controllers(now, Input::Timer(timer), cause),
                MachineTimer::Kubelets(timer) => self.tell_kubelets(now, Input::Timer(timer), cause),
                MachineTimer::Lapsed => {}
                MachineTimer::Autoscaler(timer) => self.tell_autoscaler(now, Input::Timer(timer), cause),
            },
            What::Report(row) => {
                let report = self.reports.take(row);
                self.report(now, report, cause);
            }
            What::Booted(machine) => self.booted(now, machine, cause),
            What::Beating { machine, boot } => self.beating(now, machine, boot, cause),
            What::FaultBegin(fault) => self.begin_fault(now, fault),
            What::FaultEnd(fault) => self.end_fault(now, fault),
            What::Timeline(entry) => self.timeline(now, entry),
            What::Input { row, .. } => self.input(now, row),
            What::Operator(task) => self.operate(now, task, cause),
            What::Unready { pod, attempt } => self.unready(now, pod, attempt, cause),
            What::Load { profile, step } => self.load_step(now, profile, step),
            What::Memory(machine) => self.look_at_memory(now, machine, cause),
            What::Leads { component, life } => self.leads(now, component, life, cause),
            What::KubeletUp { machine, process } => self.kubelet_up(now, machine, process, cause),
            What::Arrival(position) => self.arrive(now, position),
            What::Cloud(row) => self.cloud_step(now, row, cause),
            What::Storage(row) => self.storage_work_done(now, row, cause),
        }
    }

    pub(super) fn tell_scheduler(&mut self, now: SimTime, input: Input<'_, SchedulerTimer>, cause: Cause) {
        let mut effects = self.buffers.scheduler.lend();
        self.scheduler.handle(now, input, &mut effects);
        self.carry_out(now, Some(Client::Scheduler), &mut effects, MachineTimer::Scheduler, cause);
        self.buffers.scheduler.give_back(effects);
    }

    pub(super) fn tell_controllers(&mut self, now: SimTime, input: Input<'_, ControllerTimer>, cause: Cause) {
        let mut effects = self.buffers.controllers.lend();
        self.controllers.handle(now, input, &mut effects);
        self.carry_out(now, Some(Client::Controllers), &mut effects, MachineTimer::Controllers, cause);
        self.buffers.controllers.give_back(effects);
    }

    pub(super) fn tell_autoscaler(&mut self, now: SimTime, input: Input<'_, AutoscalerTimer>, cause: Cause) {
        let Some(autoscaler) = &mut self.autoscaler else { return };
        let mut effects = self.buffers.autoscaler.lend();
        autoscaler.handle(now, input, &mut effects);
        let asked = std::mem::take(&mut effects.cloud);
        let client = Some(Client::Autoscaler);
        let cause = self.carry_out(now, client, &mut effects, MachineTimer::Autoscaler, cause);
        self.buffers.autoscaler.give_back(effects);
        for request in asked {
            self.ask_cloud(now, request, cause);
        }
    }

    pub(super) fn tell_kubelets(&mut self, now: SimTime, input: Input<'_, KubeletTimer>, cause: Cause) {
        self.with_kubelets(now, cause, |kubelets, effects| kubelets.handle(now, input, effects));
    }

    /// Lets the kubelets act and carries out what they want.
    pub(super) fn with_kubelets(
        &mut self,
        now: SimTime,
        cause: Cause,
        act: impl FnOnce(&mut Kubelets, &mut Effects<KubeletTimer>),
    ) {
        let mut effects = self.buffers.kubelets.lend();
        act(&mut self.kubelets, &mut effects);
        self.carry_out(now, None, &mut effects, MachineTimer::Kubelets, cause);
        self.buffers.kubelets.give_back(effects);
    }

    /// Carries out the effects of a component. The kubelets are many clients: `client` is `None`
    /// for them, and each request finds its own. Returns the cause of what follows.
    fn carry_out<T: Copy>(
        &mut self,
        now: SimTime,
        client: Option<Client>,
        effects: &mut Effects<T>,
        timer: impl Fn(T) -> MachineTimer,
        cause: Cause,
    ) -> Cause {
        if effects.is_empty() {
            return cause;
        }
        // What follows from an input follows from the last decision that was made about it.
        let mut last_decision = None;
        for decision in &effects.decisions {
            last_decision = Some(self.decided(now, decision, cause));
        }
        let cause = last_decision.unwrap_or(cause);
        for outgoing in effects.requests.drain(..) {
            let client = client.unwrap_or_else(|| self.kubelet_of(outgoing.token));
            if let Client::Kubelet(machine) = client
                && !self.machines.get(machine).is_connected()
            {
                self.machines.get_mut(machine).held_requests.push(outgoing);
                continue;
            }
            if let Request::Bind { pod, .. } = outgoing.request
                && self.recorder.is_full()
            {
                self.binding.insert(pod);
            }
            self.send(outgoing.send_at.max(now), client, outgoing.token, outgoing.request, cause);
        }
        for &(at, value) in &effects.timers {
            let row = self.timers.insert(timer(value));
            self.plan(at.max(now), What::Timer(row), cause);
        }
        for &(node, command) in &effects.commands {
            let Some(machine) = self.machines.of_node(node) else { continue };
            self.run(now, machine, command, cause);
        }
        effects.clear();
        cause
    }

    /// Which kubelet sends a request. It is told by the token and not by the object, which may be
    /// gone by now: the answer that says so must still find its way.
    fn kubelet_of(&mut self, token: Token) -> Client {
        let number = Kubelets::requester_number(token) as usize;
        if let Some(&Some(machine)) = self.kubelet_machines.get(number) {
            return Client::Kubelet(machine);
        }
        let machine = self.kubelets.requester(token).and_then(|name| self.machines.named(name));
        let machine = machine.expect("invariant: a kubelet runs on a machine");
        if number >= self.kubelet_machines.len() {
            self.kubelet_machines.resize(number + 1, None);
        }
        self.kubelet_machines[number] = Some(machine);
        Client::Kubelet(machine)
    }

    /// Sends a request: it is committed and answered after the latency of a write or a read, at
    /// the instant that is returned.
    pub(super) fn send(
        &mut self,
        at: SimTime,
        client: Client,
        token: Token,
        request: Request,
        cause: Cause,
    ) -> SimTime {
        let (entity, nth) = self.draw_key(&request);
        let read = matches!(request, Request::Get { .. } | Request::PodMetrics { .. } | Request::Metric(_));
        let latency = if read {
            self.latencies.api_read.draw_from(|| self.streams.of(entity, Purpose::ApiRead, nth))
        } else {
            self.latencies.api_write.draw_from(|| self.streams.of(entity, Purpose::ApiWrite, nth))
        };
        let row = self.flights.insert(Flight { client, sent_at: at, token, request });
        if let Some(flow) = &mut self.flow
            && flow.expect(row, client, &self.flights.get_mut(row).request, latency, cause)
        {
            self.plan(at, What::Admit(row), cause);
        } else {
            self.plan(at + latency, What::Commit(row), cause);
        }
        at + latency
    }

    /// The entity and the number of the draw for a request's latency.
    fn draw_key(&mut self, request: &Request) -> (u64, u32) {
        match (request, request_target(request)) {
            (_, Some(ObjectRef { kind: Kind::Pod, id })) => match self.runtimes.pod_mut(id) {
                Some(truth) => {
                    truth.draws += 1;
                    (truth.entity, truth.draws)
                }
                None => (u64::from(id), 0),
            },
            (_, Some(target)) => self.streams.row_entity(target),
            (Request::Create(object) | Request::Apply(object), None) => self.streams.creation_entity(object),
            _ => self.streams.row_entity(ObjectRef { kind: Kind::Untyped, id: u32::MAX }),
        }
    }

    /// The API server commits a request and answers it.
    fn commit(&mut self, now: SimTime, row: u32, cause: Cause) {
        if self.flow.is_some() {
            self.seat_is_free(now, row);
        }
        let Flight { client, token, request, .. } = self.flights.take(row);
        match client {
            Client::Unsent => return,
            Client::Kubelet(machine) if !self.machines.get(machine).powered => return,
            _ => {}
        }
        if let Request::PodMetrics { namespace, selector } = &request {
            if client == Client::Departed {
                return;
            }
            let runtimes = &self.runtimes;
            let truth = |pod| runtimes.pod(pod);
            let samples: Result<_, ApiError> = Ok(self.usage.metrics(now, *namespace, selector, truth));
            return self.tell_controllers(now, Input::Metrics { token, samples: &samples }, cause);
        }
        if let Request::Metric(query) = &request
            && !self.config.metrics.is_empty()
        {
            if client == Client::Departed {
                return;
            }
            let (usage, runtimes) = (&mut self.usage, &self.runtimes);
            let serves = |pod| runtimes.pod(pod).is_some_and(PodTruth::is_serving);
            let serving = |selector: &Arc<Selector>| usage.matching_pods(query.namespace, selector, serves);
            let values = super::metrics::answer(&self.config.metrics, query, now, serving);
            return self.tell_controllers(now, Input::MetricValues { token, values: &values }, cause);
        }
        let (reply, cause) = self.commit_request(now, client, request, cause);
        self.answer(now, client, token, &reply, cause);
    }

    /// A request that was turned away for the last time is answered so.
    pub(super) fn turn_away(&mut self, now: SimTime, row: u32, cause: Cause) {
        let Flight { client, token, .. } = self.flights.take(row);
        let message = "Too many requests, please try again later.";
        let reply = Err(ApiError::new(ErrorReason::TooManyRequests, message));
        self.answer(now, client, token, &reply, cause);
    }

    /// Tells whoever asked.
    fn answer(&mut self, now: SimTime, client: Client, token: Token, reply: &Reply, cause: Cause) {
        if token == NO_REPLY {
            return;
        }
        match client {
            Client::Scheduler => self.tell_scheduler(now, Input::Reply { token, reply }, cause),
            Client::Controllers => self.tell_controllers(now, Input::Reply { token, reply }, cause),
            Client::Kubelet(_) => self.tell_kubelets(now, Input::Reply { token, reply }, cause),
            Client::Autoscaler => self.tell_autoscaler(now, Input::Reply { token, reply }, cause),
            Client::Operator | Client::Workload | Client::Cloud | Client::Departed | Client::Unsent => {}
            Client::Storage => self.storage_answered(now, token, reply, cause),
        }
    }

    /// Lets the store carry out a request and everybody see what changed.
    pub(super) fn commit_request(
        &mut self,
        now: SimTime,
        client: Client,
        request: Request,
        cause: Cause,
    ) -> (Reply, Cause) {
        let mut events = std::mem::take(&mut self.buffers.events);
        let evicts = matches!(request, Request::Evict { .. });
        let label = matches!(client, Client::Operator).then(|| super::actions::describe(&request));
        let reply = self.api.handle(now, request, &mut events);
        let mut cause = cause;
        if let Err(error) = &reply {
            cause = self.refused(now, label, error, cause);
        } else if evicts {
            self.recorder.evictions.api += 1;
        }
        for event in events.drain(..) {
            cause = self.committed(now, event, cause);
        }
        self.buffers.events = events;
        (reply, cause)
    }

    /// Sends a committed change to everybody who watches, among them the kubelet of `machine`.
    pub(super) fn fan_out(&mut self, now: SimTime, event: WatchEvent, machine: Option<u32>, cause: Cause) {
        let kind = event.object.kind();
        let (entity, nth) = match &event.object {
            Object::Pod(pod) => match self.runtimes.pod_mut(pod.meta.id) {
                Some(truth) => {
                    truth.draws += 1;
                    (truth.entity, truth.draws)
                }
                None => (u64::from(pod.meta.id), 0),
            },
            object => self.streams.object_entity(object),
        };
        let row = self.watches.insert(PendingWatch { event, left: 0 });
        let mut left = 0;
        // Those whom it reaches at the same instant are told in one event.
        let mut together: Option<(SimTime, Watchers)> = None;
        for watcher in self.audiences[kind as usize].iter() {
            let stream = |purpose| self.streams.of(entity, purpose, nth << 2 | watcher as u32 & 3);
            let purpose =
                if watcher == Watcher::Autoscaler { Purpose::AutoscalerWatch } else { Purpose::Watch };
            let mut latency = self.latencies.watch.draw_from(|| stream(purpose));
            if watcher == Watcher::Proxies {
                latency += self.latencies.proxy_sync.draw_from(|| stream(Purpose::ProxySync));
            }
            let last = &mut self.last_arrival[watcher as usize][kind as usize];
            let at = (now + latency).max(*last);
            *last = at;
            left += 1;
            match &mut together {
                Some((time, watchers)) if *time == at => watchers.insert(watcher),
                _ => {
                    if let Some((time, watchers)) = together {
                        self.plan(time, What::Watch(watchers, row), cause);
                    }
                    let mut watchers = Watchers::default();
                    watchers.insert(watcher);
                    together = Some((at, watchers));
                }
            }
        }
        if let Some((time, watchers)) = together {
            self.plan(time, What::Watch(watchers, row), cause);
        }
        if let Some(machine) = machine {
            left += 1;
            if self.machines.get(machine).is_connected() {
                let stream = |purpose, nth| self.streams.of(entity, purpose, nth);
                let watch = self.latencies.watch.draw_from(|| stream(Purpose::Watch, nth << 2 | 3));
                let notice = self.latencies.kubelet_notice.draw_from(|| stream(Purpose::KubeletNotice, nth));
                let at = self.machines.get_mut(machine).in_order(now + watch + notice);
                self.plan(at, What::NodeWatch { machine, row }, cause);
            } else {
                self.machines.get_mut(machine).held_events.push(row);
            }
        }
        if left == 0 {
            self.watches.take(row);
        } else {
            self.watches.get_mut(row).left = left;
        }
    }

    /// So many watchers less have to wait for a watch event that was lent.
    fn arrived(&mut self, row: u32, mut pending: PendingWatch, watchers: u32) {
        pending.left -= watchers;
        if pending.left == 0 {
            self.watches.free(row);
        } else {
            self.watches.give_back(row, pending);
        }
    }

    fn deliver(&mut self, now: SimTime, watchers: Watchers, row: u32, cause: Cause) {
        let pending = self.watches.lend(row);
        let event = &pending.event;
        let revision = event.object.meta().resource_version;
        for watcher in watchers.iter() {
            if !self.masters.hears(watcher, revision) {
                continue;
            }
            match watcher {
                Watcher::Scheduler => self.tell_scheduler(now, Input::Watch(event), cause),
                Watcher::Controllers => self.tell_controllers(now, Input::Watch(event), cause),
                Watcher::Kubelets => self.tell_kubelets(now, Input::Watch(event), cause),
                Watcher::Proxies => self.proxies_synced(now, event),
                Watcher::Autoscaler => self.tell_autoscaler(now, Input::Watch(event), cause),
            }
        }
        self.arrived(row, pending, watchers.len());
    }

    fn deliver_to_node(&mut self, now: SimTime, machine: u32, row: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        if !state.is_connected() {
            state.held_events.push(row);
            return;
        }
        let pending = self.watches.lend(row);
        self.tell_kubelets(now, Input::Watch(&pending.event), cause);
        self.arrived(row, pending, 1);
    }

    /// Watch events that waited for a machine are not needed any more.
    pub(super) fn forget_held_events(&mut self, machine: u32) {
        for row in std::mem::take(&mut self.machines.get_mut(machine).held_events) {
            let pending = self.watches.lend(row);
            self.arrived(row, pending, 1);
        }
    }

    /// A machine reaches the API server again: what waited on either side goes its way.
    pub(super) fn reconnect(&mut self, now: SimTime, machine: u32, cause: Cause) {
        let state = self.machines.get_mut(machine);
        let held_events = std::mem::take(&mut state.held_events);
        let held_requests = std::mem::take(&mut state.held_requests);
        for row in held_events {
            self.plan(now, What::NodeWatch { machine, row }, cause);
        }
        for outgoing in held_requests {
            self.send(now, Client::Kubelet(machine), outgoing.token, outgoing.request, cause);
        }
    }

    /// How many requests, watch events, timers and reports are on their way.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len() + self.watches.len() + self.reports.len()
    }

    pub(super) fn insert_report(&mut self, report: PendingReport) -> u32 {
        self.reports.insert(report)
    }
}

/// Who watches a kind.
fn audience(kind: Kind, scheduler: &Scheduler, autoscaler: Option<&Autoscaler>) -> Watchers {
    let mut watchers = Watchers::default();
    for watcher in Watcher::ALL {
        let watches = match watcher {
            Watcher::Controllers => true,
            Watcher::Scheduler => scheduler.watches(kind),
            Watcher::Kubelets => matches!(
                kind,
                Kind::ConfigMap
                    | Kind::Secret
                    | Kind::PersistentVolume
                    | Kind::PersistentVolumeClaim
                    | Kind::CsiDriver
            ),
            Watcher::Proxies => kind == Kind::EndpointSlice,
            Watcher::Autoscaler => autoscaler.is_some_and(|one| one.watches(kind)),
        };
        if watches {
            watchers.insert(watcher);
        }
    }
    watchers
}
