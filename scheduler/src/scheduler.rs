//! The scheduler as a machine: watch events, replies and timers in; bindings, status patches,
//! evictions and decisions out.
//!
//! Model: a cycle decides at its beginning, and what follows from it leaves when its cost in time
//! has passed. Scheduling is serial; binding is not.

mod binding;
mod cycle;
mod gangs;
mod reservation;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::client::TokenBucket;
use seatrial_api::machine::{Effects, Input, Machine};
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::cases::{CaseDecision, Play};
use crate::cluster::Cluster;
use crate::config::{ClientRate, ConfigurationError, SchedulerConfiguration, TieBreak};
use crate::extender;
use crate::fast::FastPath;
use crate::framework::{Plugin, Profile};
use crate::gangs::Gangs;
use crate::queue::{Nominations, Order, Place, PodTable, SchedulingQueue};

use binding::{PreBinding, VictimCall};
use cycle::Failure;

/// The scheduler's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next cycle begins, and the last one ends.
    Cycle,
    /// Pods may have backed off.
    Backoff,
    /// Pods may have waited too long.
    Pool,
    /// The preparations for binding this pod are looked at again.
    PreBind(u32),
}

/// The purpose of the scheduler's random stream.
const STREAM_PURPOSE: u64 = 0x5C4E_D01E;

/// The scheduler.
#[derive(Clone)]
pub struct Scheduler {
    configuration: Arc<SchedulerConfiguration>,
    profiles: Arc<[Profile]>,
    cluster: Cluster,
    pods: PodTable,
    queue: SchedulingQueue,
    nominations: Nominations,
    /// Whether some plugin asks what demands are typical.
    learns_demand: bool,
    /// Where the next walk over the nodes begins.
    start: usize,
    stream: Stream,
    /// Absent where every decision is made by the plain path.
    fast: Option<Box<FastPath>>,
    client: TokenBucket,
    /// When the cycle that was begun last is over.
    busy_until: SimTime,
    cycle_armed: bool,
    /// The outcome of a cycle that is not over yet.
    pending: Option<Box<Failure>>,
    backoff_timer: Option<SimTime>,
    pool_timer: Option<SimTime>,
    victim_calls: BTreeMap<u64, VictimCall>,
    next_victim_call: u64,
    /// Victims that are asked to go when all others of their preemptor have been.
    last_victims: BTreeMap<u32, Arc<Pod>>,
    pre_bindings: FxHashMap<u32, PreBinding>,
    /// Absent where pods are placed one by one.
    gangs: Option<Box<Gangs>>,
}

impl Scheduler {
    /// A scheduler that knows nothing of the cluster yet.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn new(configuration: SchedulerConfiguration) -> Result<Scheduler, ConfigurationError> {
        let plugins = configuration.plugins.clone();
        Scheduler::with_plugins(configuration, &plugins.0)
    }

    /// Whether a scheduler can be made of a configuration.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn check(configuration: &SchedulerConfiguration) -> Result<(), ConfigurationError> {
        let unextended =
            SchedulerConfiguration { extenders: Vec::new(), ..SchedulerConfiguration::clone(configuration) };
        extender::check(&configuration.extenders)?;
        Scheduler::new(unextended).map(|_| ())
    }

    /// The names of all plugins that a configuration can name.
    pub fn plugin_names() -> Vec<&'static str> {
        let configuration = SchedulerConfiguration::default();
        let plugins = Profile::available(&configuration, &configuration.profiles[0], &[]);
        let plugins = plugins.expect("invariant: the default configuration is valid");
        let own = plugins.iter().map(|plugin| plugin.name());
        own.chain(Profile::INERT_PLUGINS.iter().copied()).collect()
    }

    /// A scheduler whose configuration can name these plugins besides the default ones.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn with_plugins(
        configuration: SchedulerConfiguration,
        plugins: &[Arc<dyn Plugin>],
    ) -> Result<Scheduler, ConfigurationError> {
        let profiles = Profile::all(&configuration, plugins)?;
        extender::check(&configuration.extenders)?;
        let learns_demand =
            profiles.iter().any(|profile| profile.plugins.iter().any(|plugin| plugin.learns_demand()));
        if !configuration.extenders.is_empty() && configuration.extender_calls.0.is_none() {
            return Err(ConfigurationError::new("extenders", "nobody carries calls to extenders out"));
        }
        let client = match configuration.client {
            ClientRate::Unlimited => TokenBucket::unlimited(),
            ClientRate::Limited { qps, burst } if qps > 0 && burst > 0 => TokenBucket::new(qps, burst),
            ClientRate::Limited { .. } => {
                return Err(ConfigurationError::new("clientConnection", "qps and burst must be positive"));
            }
        };
        if configuration.pod_initial_backoff.nanos() <= 0
            || configuration.pod_max_backoff < configuration.pod_initial_backoff
        {
            let text = "the initial back-off must be positive and not longer than the longest";
            return Err(ConfigurationError::new("podInitialBackoffSeconds", text));
        }
        Ok(Scheduler {
            queue: SchedulingQueue::new(
                configuration.pod_initial_backoff,
                configuration.pod_max_backoff,
                Order::new(&configuration.queue),
            ),
            gangs: configuration.queue.gangs.map(|gangs| Box::new(Gangs::new(gangs))),
            // What an extender answers cannot be remembered, and a heap is built over all nodes.
            fast: (configuration.extenders.is_empty() && configuration.ties != TieBreak::Heap)
                .then(|| Box::new(FastPath::new(&profiles))),
            stream: Stream::new(configuration.seed, 0, STREAM_PURPOSE),
            configuration: Arc::new(configuration),
            profiles: profiles.into(),
            cluster: Cluster::new(),
            pods: PodTable::default(),
            nominations: Nominations::default(),
            learns_demand,
            start: 0,
            client,
            busy_until: SimTime::from_nanos(i64::MIN),
            cycle_armed: false,
            pending: None,
            backoff_timer: None,
            pool_timer: None,
            victim_calls: BTreeMap::new(),
            next_victim_call: 0,
            last_victims: BTreeMap::new(),
            pre_bindings: FxHashMap::default(),
        })
    }

    /// The same scheduler without its fast path: every decision is a loop over nodes and plugins. It
    /// decides the same; this is what the fast path is tested against.
    pub fn without_fast_path(mut self) -> Scheduler {
        self.fast = None;
        self
    }

    /// The kinds of objects that the scheduler watches.
    pub const WATCHED: [Kind; 14] = [
        Kind::Pod,
        Kind::Node,
        Kind::Namespace,
        Kind::Service,
        Kind::ReplicaSet,
        Kind::StatefulSet,
        Kind::PodDisruptionBudget,
        Kind::PersistentVolume,
        Kind::PersistentVolumeClaim,
        Kind::StorageClass,
        Kind::CsiNode,
        Kind::CsiDriver,
        Kind::CsiStorageCapacity,
        Kind::VolumeAttachment,
    ];

    /// Whether the scheduler watches a kind: all of [`Scheduler::WATCHED`], and custom resources if it
    /// places groups.
    pub fn watches(&self, kind: Kind) -> bool {
        Scheduler::WATCHED.contains(&kind) || kind == Kind::Untyped && self.gangs.is_some()
    }

    /// The cluster as the scheduler knows it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The configuration.
    pub fn configuration(&self) -> &SchedulerConfiguration {
        &self.configuration
    }

    /// What a pod would meet now if it were tried, on every node: rejections with their reasons or
    /// scores, and what preemption could do. A pod on a node is looked at as if it were not there yet.
    /// Nothing is changed. `None` if the scheduler does not know the pod or it is another one's.
    pub fn explain(&self, pod: u32) -> Option<CaseDecision> {
        let entry = self.pods.get(&pod)?;
        let profile = &self.profiles[usize::from(self.profile_of(&entry.pod)?)];
        Some(Play::of(profile, &self.cluster, &self.nominations).explain(&entry.pod))
    }

    /// How many pods wait for something to change.
    pub fn unschedulable_count(&self) -> usize {
        self.queue.pool_len()
    }

    /// The profile that places a pod; `None` if it is another scheduler's.
    fn profile_of(&self, pod: &Pod) -> Option<u8> {
        let found =
            self.profiles.iter().position(|profile| profile.scheduler_name == pod.spec.scheduler_name);
        found.map(|index| index as u8)
    }

    /// Sets the timers that are needed and not set yet.
    fn arm(&mut self, now: SimTime, effects: &mut Effects<Timer>) {
        if !self.cycle_armed && (self.pending.is_some() || self.queue.is_ready() || self.is_placing_group()) {
            self.cycle_armed = true;
            effects.timer(self.busy_until.max(now), Timer::Cycle);
        }
        if let Some(at) = self.queue.next_backoff_flush(&self.pods)
            && self.backoff_timer.is_none_or(|set| at < set)
        {
            self.backoff_timer = Some(at);
            effects.timer(at.max(now), Timer::Backoff);
        }
        if self.queue.pool_len() > 0 && self.pool_timer.is_none() {
            let at = SchedulingQueue::pool_sweep_after(now);
            self.pool_timer = Some(at);
            effects.timer(at, Timer::Pool);
        }
    }

    fn on_timer(&mut self, now: SimTime, timer: Timer, effects: &mut Effects<Timer>) {
        match timer {
            Timer::Cycle => self.on_cycle(now, effects),
            Timer::Backoff => {
                self.backoff_timer = self.backoff_timer.filter(|&at| at > now);
                self.queue.flush_backoff(&mut self.pods, &self.profiles, now);
            }
            Timer::Pool => {
                self.pool_timer = None;
                self.queue.flush_pool(&mut self.pods, &self.profiles, now);
            }
            Timer::PreBind(pod) => self.on_pre_bind_timer(now, pod, effects),
        }
    }

    /// The node on which a pod is or is assumed to be.
    fn node_of(&self, pod: u32) -> Option<Symbol> {
        match self.pods.get(&pod)?.place {
            Place::Assumed(node) | Place::Assigned(node) => Some(node),
            _ => None,
        }
    }
}

impl Machine for Scheduler {
    type Timer = Timer;

    fn handle(&mut self, now: SimTime, input: Input<'_, Timer>, effects: &mut Effects<Timer>) {
        match input {
            Input::Watch(event) => self.on_watch(now, event),
            Input::Reply { token, reply } => self.on_reply(now, token, reply, effects),
            Input::Timer(timer) => self.on_timer(now, timer, effects),
            Input::Metrics { .. }
            | Input::MetricValues { .. }
            | Input::Heartbeat { .. }
            | Input::Runtime { .. }
            | Input::Cloud(_) => {}
        }
        self.arm(now, effects);
    }
}

fn pod_ref(id: u32) -> ObjectRef {
    ObjectRef { kind: Kind::Pod, id }
}
