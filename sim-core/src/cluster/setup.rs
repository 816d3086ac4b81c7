//! Putting a cluster together: its namespaces, its nodes, the state it is taken over in.

use std::fmt;
use std::sync::Arc;

use seatrial_api::calendar::{Calendar, Timestamp};
use seatrial_api::config::{Namespace, ServiceAccount};
use seatrial_api::machine::{Heartbeat, Input, NO_REPLY};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{LABEL_INSTANCE_TYPE, Node};
use seatrial_api::object::Object;
use seatrial_api::pod::PodPhase;
use seatrial_api::request::{ApiError, Request, WatchEvent};
use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_controllers::{ClientLimits, Config as ControllerConfig, ControllerManager, ControllerTimer};
use seatrial_node::Kubelets;
use seatrial_scheduler::Scheduler;

use super::behaviour::Behaviours;
use super::config::{ClusterConfig, NodeSpec};
use super::event::{Cause, What};
use super::latency::Latencies;
use super::machines::KubeletState;
use super::nodes::node_object;
use super::runtime::Runtimes;
use super::storage::Storage;
use super::world::{Client, Parts, World};
use crate::engine::dist::DistributionError;

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Why a cluster cannot be put together.
#[derive(Debug)]
pub enum SetupError {
    /// A latency has a parameter out of range.
    Latency {
        /// The stage.
        stage: &'static str,
        /// What is wrong.
        error: DistributionError,
    },
    /// A profile or a fault has a parameter out of range.
    Distribution(DistributionError),
    /// The scheduler's configuration is not possible.
    Scheduler(seatrial_scheduler::ConfigurationError),
    /// An object of the state cannot be taken over.
    State {
        /// The object.
        object: String,
        /// Why.
        error: ApiError,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Latency { stage, error } => write!(f, "latency.{stage}: {error}"),
            SetupError::Distribution(error) => write!(f, "{error}"),
            SetupError::Scheduler(error) => write!(f, "schedulerConfig: {error}"),
            SetupError::State { object, error } => write!(f, "state: {object}: {error}"),
        }
    }
}

impl std::error::Error for SetupError {}

/// Puts a cluster together, up to its first instant.
pub(super) fn build(mut config: ClusterConfig) -> Result<World, SetupError> {
    config.scheduler = config.scheduler_configuration();
    let config = Arc::new(config);
    let latencies =
        Latencies::new(&config.latency).map_err(|(stage, error)| SetupError::Latency { stage, error })?;
    let behaviours = Behaviours::new(&config.profiles, &config.images).map_err(SetupError::Distribution)?;
    let storage = Storage::new(&config.storage).map_err(SetupError::Distribution)?;
    let scheduler = Scheduler::new(config.scheduler.clone()).map_err(SetupError::Scheduler)?;
    let controllers = ControllerManager::new(controller_config(&config));
    let autoscaler = super::cloud::autoscaler(&config).map_err(SetupError::Scheduler)?;
    let mut world = World::new(Parts {
        autoscaler,
        api: ApiServer::new(config.version, config.seed),
        scheduler,
        controllers,
        kubelets: Kubelets::new(config.seed),
        runtimes: Runtimes::new(behaviours),
        latencies,
        storage,
        config: config.clone(),
    });
    world.found();
    world.take_over_state()?;
    world.join_nodes();
    world.begin();
    world.plan_faults().map_err(SetupError::Distribution)?;
    world.plan_timeline();
    Ok(world)
}

/// The configuration of the controller manager.
pub(super) fn controller_config(config: &ClusterConfig) -> ControllerConfig {
    let defaults = ControllerConfig::default();
    let limits = if config.client_rate_limits { defaults.client_limits } else { ClientLimits::Unlimited };
    ControllerConfig {
        version: config.version,
        calendar: Calendar::starting_at(Timestamp { seconds: config.start_unix_seconds, nanos: 0 }),
        client_limits: limits,
        sync_cost: config.latency.controller_step,
        assumed_owners: Arc::new(config.absent_owners.iter().copied().collect()),
        hpa_scale_to_zero: config.hpa_scale_to_zero,
        ..defaults
    }
}

impl World {
    /// What is always there: namespaces, each with the account that its controller would make, and the
    /// storage classes of the configuration.
    fn found(&mut self) {
        for name in NAMESPACES {
            let namespace = Namespace { meta: ObjectMeta::named("", name), ..Namespace::default() };
            let given = self
                .config
                .state
                .iter()
                .any(|object| matches!(object, Object::Namespace(_)) && object.meta().name == name);
            if !given {
                self.import(Object::Namespace(Arc::new(namespace))).expect("invariant: the store is empty");
            }
            let account = ServiceAccount { meta: ObjectMeta::named(name, "default") };
            let known = self.config.state.iter().any(|object| {
                matches!(object, Object::ServiceAccount(_))
                    && (object.meta().namespace, object.meta().name.as_str()) == (name.into(), "default")
            });
            if !known {
                self.import(Object::ServiceAccount(Arc::new(account))).expect("invariant: it is not there");
            }
        }
        for class in self.config.storage.classes.clone() {
            let given = |object: &Object| {
                matches!(object, Object::StorageClass(_)) && object.meta().name == class.meta.name
            };
            if !self.config.state.iter().any(given) {
                self.import(Object::StorageClass(Arc::new(class))).expect("invariant: the store is empty");
            }
        }
    }

    /// Takes an object over and shows it to everybody at once: the initial lists of their watches.
    fn import(&mut self, object: Object) -> Result<(), ApiError> {
        let mut events = Vec::new();
        self.api.import(object, &mut events)?;
        self.show_all(&events);
        Ok(())
    }

    pub(super) fn show_all(&mut self, events: &[WatchEvent]) {
        for event in events {
            self.observe(SimTime::ZERO, event, Cause::NONE);
            self.show(event);
        }
    }

    fn show(&mut self, event: &WatchEvent) {
        let now = SimTime::ZERO;
        self.tell_scheduler(now, Input::Watch(event), Cause::NONE);
        self.tell_controllers(now, Input::Watch(event), Cause::NONE);
        self.tell_autoscaler(now, Input::Watch(event), Cause::NONE);
        match &event.object {
            Object::Pod(pod) if pod.node.is_some() && pod.status.phase == PodPhase::Running => {
                self.runtimes.adopt_running(pod);
                self.with_kubelets(now, Cause::NONE, |kubelets, effects| {
                    kubelets.adopt_pod(now, pod, effects)
                });
                self.pod_truth_changed(now, pod.meta.id);
                if let Some(machine) = pod.node.and_then(|node| self.machines.named(node)) {
                    self.check_memory(now, machine, Cause::NONE);
                }
            }
            _ => self.tell_kubelets(now, Input::Watch(event), Cause::NONE),
        }
    }

    /// The state of a running cluster: its nodes first, then everything else in order, at last what
    /// refers to pods.
    fn take_over_state(&mut self) -> Result<(), SetupError> {
        let config = self.config.clone();
        let mut objects: Vec<&Object> = config.state.iter().collect();
        objects.sort_by_key(|object| match object {
            Object::Node(_) => 0,
            // What pods use comes before them.
            Object::PersistentVolume(_) | Object::PersistentVolumeClaim(_) | Object::CsiDriver(_) => 1,
            Object::EndpointSlice(_) | Object::Endpoints(_) => 3,
            _ => 2,
        });
        for object in objects {
            if let Object::Node(node) = object {
                let spec = Arc::new(spec_of(node));
                self.place_machine(spec);
            }
            let taken = match object {
                Object::EndpointSlice(slice) => self.with_rows(slice),
                Object::Endpoints(endpoints) => self.addresses_with_rows(endpoints),
                _ => object.clone(),
            };
            self.import(taken).map_err(|error| SetupError::State {
                object: format!("{} {}", object.kind(), object.meta().full_name()),
                error,
            })?;
            if let Object::Node(node) = object {
                self.start_machine(node.name);
            }
        }
        self.take_over_endpoints();
        Ok(())
    }

    /// Nodes of the configuration: registered and Ready.
    fn join_nodes(&mut self) {
        let config = self.config.clone();
        for spec in &config.nodes {
            let spec = Arc::new(spec.clone());
            self.place_machine(spec.clone());
            let object = Object::Node(Arc::new(node_object(&spec, SimTime::ZERO)));
            if self.import(object).is_ok() {
                self.start_machine(spec.name);
            }
        }
        self.machine_truth_changed(SimTime::ZERO, None);
    }

    /// A machine that has been running: its kubelet, its lease.
    fn start_machine(&mut self, name: Symbol) {
        let Some(machine) = self.machines.named(name) else { return };
        let state = self.machines.get_mut(machine);
        state.powered = true;
        state.beating = true;
        state.kubelet = KubeletState::Running;
        let (spec, node) = (state.spec.clone(), state.node);
        let Some(id) = node else { return };
        let Some(object) = self.api.typed::<Node>(id).cloned() else { return };
        self.powered(SimTime::ZERO, machine, true);
        let config = self.kubelet_config(&spec);
        self.with_kubelets(SimTime::ZERO, Cause::NONE, |kubelets, effects| {
            kubelets.start_node(SimTime::ZERO, object, config, effects);
        });
        let heartbeat = Input::Heartbeat { node: id, heartbeat: Heartbeat::Regular };
        self.tell_controllers(SimTime::ZERO, heartbeat, Cause::NONE);
    }

    /// The first instant: controllers begin, manifests are applied one after another.
    fn begin(&mut self) {
        let now = SimTime::ZERO;
        self.tell_controllers(now, Input::Timer(ControllerTimer::Started), Cause::NONE);
        let config = self.config.clone();
        self.begin_storage(now);
        self.apply_in_order(now, &config.manifests, Cause::NONE);
        for (profile, behaviour) in self.runtimes.behaviours.profiles().to_vec().iter().enumerate() {
            for (step, &(at, _)) in behaviour.load().iter().enumerate() {
                self.plan(
                    at.max(now),
                    What::Load { profile: profile as u32, step: step as u32 },
                    Cause::NONE,
                );
            }
        }
    }

    /// Applies objects as kubectl does: the next one when the last one was answered.
    pub(super) fn apply_in_order(&mut self, now: SimTime, objects: &[Object], cause: Cause) {
        let mut at = now;
        for object in objects {
            at = self.send(at, Client::Operator, NO_REPLY, Request::Apply(object.clone()), cause);
        }
    }
}

/// The machine under a Node object of a state dump.
fn spec_of(node: &Node) -> NodeSpec {
    NodeSpec {
        name: node.name,
        pool: node.meta.labels.get(Symbol::new(LABEL_INSTANCE_TYPE)).unwrap_or_default(),
        labels: node.meta.labels.clone(),
        taints: node.taints().to_vec(),
        capacity: node.capacity.clone(),
        allocatable: node.allocatable.clone(),
        rack: Symbol::empty(),
        micro_usd_per_hour: 0,
        images: node.images().iter().flat_map(|image| image.names.iter().copied()).collect(),
    }
}
