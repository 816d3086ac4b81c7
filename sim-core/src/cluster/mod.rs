//! A simulated cluster on the event engine: masters, nodes, what lies between them, and what may
//! happen to them.
//!
//! The API server, the scheduler, the controllers and the kubelets are the libraries that also run
//! live. What is modelled here is everything around them: latencies, machines, container runtimes,
//! the network, people and faults. Model: one master; its parts are addressed by role, so that
//! there can be more.

mod actions;
pub mod arrivals;
mod availability;
mod behaviour;
mod cloud;
mod components;
pub mod config;
mod endpoints;
mod event;
mod explain;
mod faults;
mod flow_control;
mod invariants;
mod latency;
mod machines;
mod memory;
mod metrics;
mod nodes;
mod observe;
mod operator;
mod outcome;
mod recorder;
mod runtime;
mod session;
mod setup;
mod slab;
mod storage;
mod streams;
mod usage;
mod world;

use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_scheduler::cases::CaseDecision;

pub use event::ClusterEvent;
pub use invariants::Violation;
pub use session::Input;
pub use setup::SetupError;

use crate::engine::Engine;
use crate::engine::queue::{BucketQueue, EventQueue};
use crate::engine::trace::{Record, TraceHash};
use crate::results::{EventRow, Results};
use arrivals::PodArrivals;
use config::ClusterConfig;
use world::World;

/// The shipped queue of a simulated cluster.
pub type ClusterQueue = BucketQueue<ClusterEvent>;

/// A simulated cluster that can be stepped and cloned.
///
/// It is a value: a clone taken between two events and its original, driven alike, give the same
/// events, the same results and the same hash. `Q` is the event queue; the reference queue gives
/// the same hash as the shipped one.
#[derive(Clone)]
pub struct Simulation<Q = ClusterQueue> {
    engine: Engine<ClusterEvent, Q, PodArrivals>,
    world: World,
}

impl Simulation {
    /// A cluster at its start, on the shipped queue.
    ///
    /// # Errors
    /// If a distribution or the scheduler's configuration is out of range, or an object of the
    /// state cannot be taken over.
    pub fn new(config: ClusterConfig) -> Result<Simulation, SetupError> {
        Simulation::with_queue(config)
    }
}

impl<Q: EventQueue<ClusterEvent>> Simulation<Q> {
    /// A cluster at its start, on a queue of the caller's choice.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn with_queue(config: ClusterConfig) -> Result<Simulation<Q>, SetupError> {
        let arrivals = PodArrivals::new(config.arrivals.clone());
        let mut engine = Engine::with_arrivals(SimTime::ZERO, arrivals);
        let mut world = setup::build(config)?;
        flush(&mut world, &mut engine);
        Ok(Simulation { engine, world })
    }

    /// Handles the next event if it happens at `limit` at the latest. Returns whether there was one.
    #[inline]
    pub fn step_until(&mut self, limit: SimTime) -> bool {
        let Some(entry) = self.engine.next_event_until(limit) else { return false };
        self.world.handle(entry.time, entry.event);
        flush(&mut self.world, &mut self.engine);
        true
    }

    /// Handles the next event of the run. Returns whether there was one before the run's end.
    pub fn step(&mut self) -> bool {
        self.step_until(self.end())
    }

    /// Plays up to and including `limit`.
    pub fn run_until(&mut self, limit: SimTime) {
        while self.step_until(limit) {}
    }

    /// Plays to the end of the run.
    pub fn run(&mut self) {
        self.run_until(self.end());
    }

    /// The end of the run.
    pub fn end(&self) -> SimTime {
        SimTime::ZERO + self.world.config.duration
    }

    /// The instant of the last event.
    pub fn now(&self) -> SimTime {
        self.engine.now()
    }

    /// How many events were handled.
    pub fn events(&self) -> u64 {
        self.engine.trace().events()
    }

    /// The hash of everything that happened.
    pub fn trace_hash(&self) -> TraceHash {
        self.engine.trace_hash()
    }

    /// Keeps the engine's events from now on, for a trace file.
    pub fn record_trace(&mut self) {
        self.engine.trace_mut().record();
    }

    /// The engine's events kept so far.
    pub fn trace_records(&self) -> &[Record] {
        self.engine.trace().records()
    }

    /// The API server with everything that it stores.
    pub fn api(&self) -> &ApiServer {
        &self.world.api
    }

    /// What the scheduler would find about a pod on every node, as the cluster stands now: nothing
    /// is changed. `None` if there is no such pod.
    pub fn explain_pod(&self, namespace: Symbol, name: &str) -> Option<CaseDecision> {
        explain::decision(&self.world, namespace, name)
    }

    /// Whether the scheduler has asked for the binding of a pod by its row in the store: the moment
    /// of its decision.
    pub fn is_binding(&self, pod: u32) -> bool {
        self.world.binding.contains(&pod)
    }

    /// A row of `events.csv` that was recorded already.
    pub fn event_row(&self, row: usize) -> Option<&EventRow> {
        self.world.recorder.rows.get(row)
    }

    /// How many rows of `events.csv` there are.
    pub fn event_rows(&self) -> usize {
        self.world.recorder.rows.len()
    }

    /// How many requests, watch events and reports are on their way: none when the cluster is at
    /// rest.
    pub fn in_flight(&self) -> usize {
        self.world.in_flight()
    }

    /// How many pods are in each phase: Pending, Running, Succeeded, Failed.
    pub fn pod_counts(&self) -> [i64; 4] {
        use seatrial_api::pod::PodPhase::{Failed, Pending, Running, Succeeded};
        [Pending, Running, Succeeded, Failed].map(|phase| self.world.recorder.phase_count(phase))
    }

    /// How many nodes are Ready.
    pub fn nodes_ready(&self) -> i64 {
        self.world.recorder.nodes_ready()
    }

    /// How many pods have ended, well or badly, whether their objects are still there or not.
    pub fn pods_ended(&self) -> u64 {
        self.world.recorder.pods_ended
    }

    /// Checks what must hold at every instant. Costs as much as the cluster is large, so it is
    /// there for tests and on demand.
    ///
    /// # Errors
    /// The first invariant that does not hold: a bug.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        invariants::check(&self.world)
    }

    /// What the run leaves behind, up to now or to its end if it was played to it.
    pub fn results(&self, at: SimTime) -> Results {
        outcome::results(&self.world, at, self.engine.trace_hash().0, self.events())
    }
}

/// Puts what was planned on the queue.
fn flush<Q: EventQueue<ClusterEvent>>(world: &mut World, engine: &mut Engine<ClusterEvent, Q, PodArrivals>) {
    world.settle(engine.now());
    for (at, event) in world.calendar.drain(..) {
        engine.schedule_at(at, event);
    }
}

/// The names of the engine's event kinds, for people who read a trace.
pub fn event_kind_name(kind: u32) -> &'static str {
    event::KIND_NAMES.get(kind as usize).copied().unwrap_or("unknown")
}
