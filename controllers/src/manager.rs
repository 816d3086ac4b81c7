//! The controller manager: routes inputs to the controllers.

use seatrial_api::machine::{Effects, Input, Machine, MetricValue, PodMetrics};
use seatrial_api::request::{ApiError, Reply};
use seatrial_api::units::SimTime;
use seatrial_api::workload::{ReplicaSet, ReplicationController};

use crate::Config;
use crate::cronjob::CronJobController;
use crate::daemonset::DaemonSetController;
use crate::deployment::DeploymentController;
use crate::direct::Direct;
use crate::disruption::{DisruptionController, StaleDisruption};
use crate::endpoints::EndpointsController;
use crate::endpointslice::EndpointSliceController;
use crate::framework::{Caches, Event, Runner, Surroundings, split_token};
use crate::garbage_collector::GarbageCollector;
use crate::hpa::HpaController;
use crate::job::{JobController, JobOrphanController, TtlAfterFinishedController};
use crate::namespace::NamespaceController;
use crate::node_lifecycle::NodeLifecycleTimer;
use crate::persistentvolume::{
    ClaimProtection, EphemeralVolumeController, ExpandController, VolumeProtection,
};
use crate::replicaset::PodSetController;
use crate::resourcequota::QuotaController;
use crate::serviceaccount::ServiceAccountController;
use crate::statefulset::StatefulSetController;
use crate::vpa::VpaController;

/// Timers of the controller manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerTimer {
    /// The initial lists are complete. The driver fires it once, unasked; until then nothing is
    /// synced, because half a list would look like missing pods.
    Started,
    /// A worker has spent the time that a sync takes.
    Worker {
        /// The controller.
        controller: u8,
        /// The worker.
        worker: u8,
        /// Its sync.
        generation: u16,
    },
    /// A delayed key of a controller's queue is due.
    Queue {
        /// The controller.
        controller: u8,
    },
    /// A timer of the node life cycle controller.
    NodeLifecycle(NodeLifecycleTimer),
    /// Taint eviction has something to delete.
    TaintEviction,
    /// The pod garbage collector has something to look at.
    PodGc,
    /// A timer of the binder of claims and volumes.
    PersistentVolume,
    /// Volumes that are to be attached and detached are looked at.
    AttachDetach,
}

/// Lists the controllers of queue shape, each with the number that its tokens and timers carry.
macro_rules! queued {
    ($($id:literal $field:ident: $controller:ty,)*) => {
        /// The controllers of queue shape.
        #[derive(Clone, Debug)]
        struct Queued {
            $($field: Runner<$controller>,)*
        }

        impl Queued {
            fn new(config: &Config) -> Queued {
                Queued { $($field: <$controller>::runner($id, config),)* }
            }

            fn observe(&mut self, around: &mut Surroundings<'_>, event: &Event<'_>) {
                $(self.$field.observe(around, event);)*
            }

            fn reply(&mut self, around: &mut Surroundings<'_>, id: u8, tag: u64, reply: &Reply) {
                match id {
                    $($id => self.$field.reply(around, tag, reply),)*
                    _ => {}
                }
            }

            fn measured(
                &mut self,
                around: &mut Surroundings<'_>,
                id: u8,
                tag: u64,
                samples: &Result<Vec<PodMetrics>, ApiError>,
            ) {
                match id {
                    $($id => self.$field.measured(around, tag, samples),)*
                    _ => {}
                }
            }

            fn metric_values(
                &mut self,
                around: &mut Surroundings<'_>,
                id: u8,
                tag: u64,
                values: &Result<Vec<MetricValue>, ApiError>,
            ) {
                match id {
                    $($id => self.$field.metric_values(around, tag, values),)*
                    _ => {}
                }
            }

            fn work(&mut self, around: &mut Surroundings<'_>, id: u8, worker: u8, generation: u16) {
                match id {
                    $($id => self.$field.work(around, worker, generation),)*
                    _ => {}
                }
            }

            fn advance(&mut self, now: SimTime, id: u8) {
                match id {
                    $($id => self.$field.advance(now),)*
                    _ => {}
                }
            }

            fn dispatch(&mut self, around: &mut Surroundings<'_>) {
                $(self.$field.dispatch(around);)*
            }
        }
    };
}

queued! {
    1 replicaset: PodSetController<ReplicaSet>,
    2 deployment: DeploymentController,
    3 statefulset: StatefulSetController,
    4 daemonset: DaemonSetController,
    5 job: JobController,
    6 job_orphans: JobOrphanController,
    7 ttl_after_finished: TtlAfterFinishedController,
    8 replicationcontroller: PodSetController<ReplicationController>,
    9 cronjob: CronJobController,
    21 endpointslice: EndpointSliceController,
    22 disruption: DisruptionController,
    23 stale_disruption: StaleDisruption,
    24 hpa: HpaController,
    25 garbage_collector: GarbageCollector,
    26 namespace: NamespaceController,
    41 claim_protection: ClaimProtection,
    42 volume_protection: VolumeProtection,
    43 ephemeral_volume: EphemeralVolumeController,
    44 expand: ExpandController,
    27 resourcequota: QuotaController,
    28 serviceaccount: ServiceAccountController,
    29 endpoints: EndpointsController,
    45 vpa: VpaController,
}

/// All controllers over shared caches.
#[derive(Clone, Debug)]
pub struct ControllerManager {
    config: Config,
    caches: Caches,
    started: bool,
    queued: Queued,
    direct: Direct,
}

impl ControllerManager {
    /// A manager that has seen nothing yet.
    pub fn new(config: Config) -> ControllerManager {
        let (queued, direct) = (Queued::new(&config), Direct::new(&config));
        ControllerManager { caches: Caches::default(), started: false, queued, direct, config }
    }
}

impl Machine for ControllerManager {
    type Timer = ControllerTimer;

    fn handle(
        &mut self,
        now: SimTime,
        input: Input<'_, ControllerTimer>,
        effects: &mut Effects<ControllerTimer>,
    ) {
        if let Input::Watch(event) = input {
            let old = self.caches.apply(event);
            let event = Event { change: event.change, object: &event.object, old: old.as_ref() };
            let listing = !self.started;
            let around =
                &mut Surroundings { now, listing, config: &self.config, caches: &self.caches, effects };
            self.queued.observe(around, &event);
            self.direct.observe(around, &event);
        }
        let listing = !self.started;
        let around = &mut Surroundings { now, listing, config: &self.config, caches: &self.caches, effects };
        match input {
            Input::Reply { token, reply } => {
                let (id, tag) = split_token(token);
                self.queued.reply(around, id, tag, reply);
                self.direct.reply(around, id, tag, reply);
            }
            Input::Metrics { token, samples } => {
                let (id, tag) = split_token(token);
                self.queued.measured(around, id, tag, samples);
            }
            Input::MetricValues { token, values } => {
                let (id, tag) = split_token(token);
                self.queued.metric_values(around, id, tag, values);
            }
            Input::Timer(ControllerTimer::Started) => {
                self.started = true;
                self.direct.start(around);
            }
            Input::Timer(ControllerTimer::Worker { controller, worker, generation }) => {
                self.queued.work(around, controller, worker, generation);
            }
            Input::Timer(ControllerTimer::Queue { controller }) => self.queued.advance(now, controller),
            Input::Timer(timer) => self.direct.fire(around, timer),
            Input::Heartbeat { node, heartbeat } => self.direct.heartbeat(around, node, heartbeat),
            // Container runtimes are the kubelets' business.
            Input::Watch(_) | Input::Runtime { .. } | Input::Cloud(_) => {}
        }
        if self.started {
            self.queued.dispatch(around);
        }
    }
}
