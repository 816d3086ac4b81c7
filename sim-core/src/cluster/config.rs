//! What a simulated cluster consists of, how fast its parts are, and what will happen to it.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::cloud::{CapacityType, Offer};
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::{ObjectMeta, Uid};
use seatrial_api::node::NodeResources;
use seatrial_api::object::{Kind, Object};
use seatrial_api::scheduling::Taint;
use seatrial_api::storage::{DEFAULT_CLASS, ReclaimPolicy, StorageClass, VolumeBindingMode};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_autoscaler::{ClusterAutoscalerOptions, KarpenterOptions, NodeGroup};
use seatrial_scheduler::config::{ClientRate, CostModel, SchedulerConfiguration};

use crate::engine::dist::Distribution;

/// A node that is there from the start, or joins later.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Its name.
    pub name: Symbol,
    /// The pool it belongs to, empty for none.
    pub pool: Symbol,
    /// Its labels, zone and host name among them.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What it has.
    pub capacity: Arc<NodeResources>,
    /// What it has to give away.
    pub allocatable: Arc<NodeResources>,
    /// The rack it stands in, empty for none.
    pub rack: Symbol,
    /// What it costs, in millionths of a dollar per hour.
    pub micro_usd_per_hour: u64,
    /// Images that it has from the start.
    pub images: Arc<[Symbol]>,
}

/// Latencies of the parts of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyModel {
    /// From the arrival of a write at the API server to its commit, etcd included.
    pub api_write: Distribution,
    /// A read of one object.
    pub api_read: Distribution,
    /// From a commit to the arrival of its watch event at a client.
    pub watch: Distribution,
    /// From the arrival of a pod's watch event to the kubelet's acting on it.
    pub kubelet_notice: Distribution,
    /// Mounting the volumes of a pod that has any which must be waited for.
    pub volume_mount: Distribution,
    /// Making a sandbox with its network.
    pub sandbox: Distribution,
    /// Creating and starting a container.
    pub container_start: Distribution,
    /// From the start of a container that has probes until it could pass them, where no profile says it.
    pub startup: Distribution,
    /// Fixed part of an image pull.
    pub image_pull_fixed: Distribution,
    /// Bandwidth of an image pull in bytes per second, compressed.
    pub image_pull_bandwidth: Distribution<Bytes>,
    /// Compressed size of an image whose size nothing says.
    pub image_size: Distribution<Bytes>,
    /// From SIGTERM to a container's end.
    pub container_stop: Distribution,
    /// From a slice's watch event to a node's forwarding rules.
    pub proxy_sync: Distribution,
    /// One step of a controller's worker.
    pub controller_step: Span,
    /// The scheduler's cycle: fixed part, per node filtered, per node scored.
    pub scheduling_cycle: [Span; 3],
    /// From a machine's start to its kubelet's registration, for nodes that join during the run.
    pub node_boot: Distribution,
    /// A call of the cloud: from the request for a machine to its start, or to the refusal.
    pub cloud_api: Distribution,
    /// From the end of such a call to the end of a machine that is given back.
    pub node_deletion: Distribution,
    /// Making a volume for a claim, or making it larger.
    pub volume_provision: Distribution,
    /// Deleting a volume's storage.
    pub volume_delete: Distribution,
    /// Attaching a volume to a node.
    pub volume_attach: Distribution,
    /// Detaching a volume from a node.
    pub volume_detach: Distribution,
}

impl LatencyModel {
    /// No latency anywhere: for tests of logic.
    pub fn zero() -> LatencyModel {
        let zero = || Distribution::Constant { value: Span::ZERO };
        LatencyModel {
            api_write: zero(),
            api_read: zero(),
            watch: zero(),
            kubelet_notice: zero(),
            volume_mount: zero(),
            sandbox: zero(),
            container_start: zero(),
            startup: zero(),
            image_pull_fixed: zero(),
            image_pull_bandwidth: Distribution::Constant { value: Bytes(i64::MAX) },
            image_size: Distribution::Constant { value: Bytes(0) },
            container_stop: zero(),
            proxy_sync: zero(),
            controller_step: Span::ZERO,
            scheduling_cycle: [Span::ZERO; 3],
            node_boot: zero(),
            cloud_api: zero(),
            node_deletion: zero(),
            volume_provision: zero(),
            volume_delete: zero(),
            volume_attach: zero(),
            volume_detach: zero(),
        }
    }

    /// A cluster on virtual machines of a cloud, the default.
    pub fn cloud_vm() -> LatencyModel {
        let lognormal = |median: i64, p99: i64| Distribution::Lognormal {
            median: Span::from_millis(median),
            p99: Span::from_millis(p99),
        };
        LatencyModel {
            api_write: lognormal(8, 60),
            api_read: lognormal(2, 20),
            watch: lognormal(5, 100),
            kubelet_notice: lognormal(10, 200),
            volume_mount: lognormal(1_000, 8_000),
            sandbox: lognormal(350, 1_500),
            container_start: lognormal(250, 1_200),
            startup: lognormal(2_000, 15_000),
            image_pull_fixed: lognormal(500, 3_000),
            image_pull_bandwidth: Distribution::Lognormal {
                median: Bytes(60_000_000),
                p99: Bytes(150_000_000),
            },
            image_size: Distribution::Lognormal { median: Bytes(120_000_000), p99: Bytes(2_000_000_000) },
            container_stop: lognormal(1_000, 25_000),
            proxy_sync: Distribution::Uniform { low: Span::from_millis(50), high: Span::from_millis(1_050) },
            controller_step: Span::from_millis(1),
            scheduling_cycle: [Span::from_micros(400), Span::from_micros(6), Span::from_micros(2)],
            node_boot: lognormal(45_000, 150_000),
            cloud_api: lognormal(2_000, 15_000),
            node_deletion: lognormal(30_000, 180_000),
            volume_provision: lognormal(4_000, 30_000),
            volume_delete: lognormal(4_000, 30_000),
            volume_attach: lognormal(8_000, 40_000),
            volume_detach: lognormal(6_000, 40_000),
        }
    }
}

/// How pods behave, where their manifest cannot say.
#[derive(Clone, Debug)]
pub struct PodProfile {
    /// In which namespaces; `None` for all.
    pub namespace: Option<Symbol>,
    /// Which pods; the first profile that matches counts.
    pub selector: Selector,
    /// From a container's start until it could pass its probes, or is ready without any.
    pub startup: Option<Distribution>,
    /// How long a main container runs before it ends by itself; `None` for ever.
    pub run_time: Option<Distribution>,
    /// The chance that a container that ends by itself ends badly (exit code 1).
    pub failure: Ratio,
    /// How long after its start a container's probes begin to fail for good; `None` for never.
    pub unready_after: Option<Distribution>,
    /// From SIGTERM to the end; the model's default if absent.
    pub stop: Option<Distribution>,
    /// CPU use while running.
    pub cpu: Option<MilliCpu>,
    /// Memory use while running.
    pub memory: Option<Bytes>,
    /// A CPU demand that all ready pods of the profile share, from each instant on; it takes the
    /// place of `cpu`.
    pub load: Vec<(SimTime, MilliCpu)>,
}

/// What a metric of the custom or external metrics API is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// Pods, each with a value of its own.
    Pods,
    /// An object.
    Object {
        /// Its kind.
        kind: Symbol,
        /// Its name.
        name: CompactString,
    },
    /// Something outside of the cluster.
    External,
}

/// A metric that an adapter serves, and its course.
#[derive(Clone, Debug)]
pub struct MetricSpec {
    /// Its name.
    pub name: Symbol,
    /// For which namespace; `None` for all.
    pub namespace: Option<Symbol>,
    /// What it is about.
    pub source: MetricSource,
    /// The labels of the series.
    pub labels: Labels,
    /// The pods that have it; where it is not of pods, those among which it is divided.
    pub pods: Option<Arc<Selector>>,
    /// Whether the course is that of each pod, and not of all that share it.
    pub each: bool,
    /// From each instant on, a value in thousandths.
    pub course: Vec<(SimTime, i64)>,
}

/// How an image behaves at its registry.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// Which images: a name, or a prefix that ends in `*`.
    pub name: CompactString,
    /// Compressed size.
    pub size: Option<Bytes>,
    /// Whether every pull fails.
    pub broken: bool,
    /// Whether containers of this image fail right after their start.
    pub crashes: bool,
}

/// The selection of nodes that a fault hits.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// One node.
    Node(Symbol),
    /// A pool: all its nodes, or each of them on its own for random faults.
    Pool(Symbol),
    /// All nodes of a rack.
    Rack(Symbol),
    /// All nodes of a zone.
    Zone(Symbol),
    /// A component of the masters.
    Master(MasterComponent),
}

/// A component of the masters that can fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MasterComponent {
    /// kube-scheduler.
    Scheduler,
    /// kube-controller-manager.
    ControllerManager,
}

impl MasterComponent {
    /// As upstream names it.
    pub fn as_str(self) -> &'static str {
        match self {
            MasterComponent::Scheduler => "kube-scheduler",
            MasterComponent::ControllerManager => "kube-controller-manager",
        }
    }
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultType {
    /// Power loss: everything on the machines stops; at the end they boot again. A component of
    /// the masters crashes, and is started again at the end.
    Crash,
    /// The kubelets of the machines crash, while containers run on; at the end they are started
    /// again.
    KubeletCrash,
    /// The machines run on and reach nothing outside of themselves.
    Partition,
    /// The image registry serves pulls so many times slower.
    SlowRegistry(Ratio),
    /// The cloud takes machines back that are paid for as spot capacity: their nodes are drained from the
    /// notice on, and after so long the machines are gone for good.
    SpotReclaim {
        /// How long after the notice.
        notice: Span,
    },
}

/// When a fault strikes.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultTiming {
    /// Once.
    At {
        /// When.
        at: SimTime,
        /// How long; `None` to the end of the run.
        duration: Option<Span>,
    },
    /// At random, again and again: each target on its own.
    Random {
        /// Times from repair to failure.
        mtbf: Distribution,
        /// Times from failure to repair.
        mttr: Distribution,
    },
}

/// A fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its name in the scenario.
    pub name: Symbol,
    /// What it does.
    pub kind: FaultType,
    /// What it hits; `None` for faults that hit no node.
    pub target: Option<Target>,
    /// When.
    pub timing: FaultTiming,
}

/// An object named by kind, namespace and name, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedObject {
    /// The kind.
    pub kind: Kind,
    /// The namespace, empty for kinds of cluster scope.
    pub namespace: Symbol,
    /// The name.
    pub name: CompactString,
}

/// What people do.
#[derive(Clone, Debug)]
pub enum Action {
    /// `kubectl apply`.
    Apply(Vec<Object>),
    /// `kubectl delete`.
    Delete(NamedObject),
    /// `kubectl scale`.
    Scale(NamedObject, i32),
    /// `kubectl set image`: the container, empty for all, and the image.
    SetImage(NamedObject, Symbol, Symbol),
    /// `kubectl rollout restart`.
    RolloutRestart(NamedObject),
    /// `kubectl rollout undo`.
    RolloutUndo(NamedObject),
    /// `kubectl cordon`.
    Cordon(Symbol),
    /// `kubectl uncordon`.
    Uncordon(Symbol),
    /// `kubectl drain`: cordon, then evict until only daemons are left.
    Drain(Symbol),
    /// New machines that boot and join.
    AddNodes(Vec<NodeSpec>),
    /// The machine and its Node object go away.
    RemoveNode(Symbol),
    /// Replaces the machines of a pool one after another: drain, remove, add.
    UpgradePool(Symbol),
    /// Kills a component of the masters, which is started again at once.
    RestartMaster(MasterComponent),
    /// Kills the kubelet of a node, which is started again at once.
    RestartKubelet(Symbol),
}

/// An entry of the timeline.
#[derive(Clone, Debug)]
pub struct TimelineEntry {
    /// When first.
    pub at: SimTime,
    /// Again after so long, until the end of the run; `None` for once.
    pub every: Option<Span>,
    /// What.
    pub action: Action,
}

/// Who makes machines come and go by itself.
#[derive(Clone, Debug)]
pub enum AutoscalerConfig {
    /// The Cluster Autoscaler, over node groups.
    ClusterAutoscaler {
        /// Its flags.
        options: Box<ClusterAutoscalerOptions>,
        /// Its groups. Their instances at the start are nodes of the pool of the same name.
        groups: Vec<NodeGroup>,
    },
    /// A provisioner in the manner of Karpenter. It has no machines at the start.
    Karpenter(KarpenterOptions),
}

/// A kind of machine of which a cloud has none for some time. What is not given is any.
#[derive(Clone, Debug, PartialEq)]
pub struct StockOut {
    /// Of this pool or group.
    pub pool: Option<Symbol>,
    /// Of this type.
    pub instance_type: Option<Symbol>,
    /// In this zone.
    pub zone: Option<Symbol>,
    /// Paid for like this.
    pub capacity_type: Option<CapacityType>,
    /// From when on.
    pub from: SimTime,
    /// Until when; `None` to the end of the run.
    pub until: Option<SimTime>,
    /// With which chance a request fails meanwhile.
    pub probability: Ratio,
}

impl StockOut {
    /// Whether it is about this kind of machine at this time.
    pub fn concerns(&self, now: SimTime, offer: &Offer) -> bool {
        fn any<T: PartialEq>(wanted: &Option<T>, is: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted == is)
        }
        self.from <= now
            && self.until.is_none_or(|until| now < until)
            && any(&self.pool, &offer.pool)
            && any(&self.instance_type, &offer.instance_type)
            && any(&self.zone, &offer.zone)
            && any(&self.capacity_type, &offer.capacity_type)
    }
}

/// What limits a cloud.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloudConfig {
    /// Kinds of machines that are not to be had at times.
    pub stock_outs: Vec<StockOut>,
    /// How many machines the account may have at once, those of the start included.
    pub machines_max: Option<u32>,
    /// How much CPU they may have together.
    pub cpu_max: Option<MilliCpu>,
}

/// How the volumes of a StorageClass behave, where the class cannot say.
#[derive(Clone, Debug, Default)]
pub struct StorageProfile {
    /// The class.
    pub class: Symbol,
    /// Whether a volume can be reached from its zone alone; `None` for all but those that several
    /// nodes may have.
    pub zonal: Option<bool>,
    /// How much storage there is: in each zone, or in all if volumes are not bound to one; `None`
    /// for any amount.
    pub capacity: Option<Bytes>,
    /// Making a volume; the model's default if absent.
    pub provision: Option<Distribution>,
    /// Deleting one; the model's default if absent.
    pub delete: Option<Distribution>,
    /// Attaching one; the model's default if absent.
    pub attach: Option<Distribution>,
    /// Detaching one; the model's default if absent.
    pub detach: Option<Distribution>,
}

/// The storage of a cluster.
#[derive(Clone, Debug, Default)]
pub struct StorageModel {
    /// Classes that are there from the start, besides those of the state and the manifests.
    pub classes: Vec<StorageClass>,
    /// How the volumes of classes behave.
    pub profiles: Vec<StorageProfile>,
}

impl StorageModel {
    /// A class of volumes as clouds offer them: made where the first pod runs, reached from that zone
    /// alone, by one node at a time.
    pub fn block_class(name: &str) -> StorageClass {
        StorageClass {
            meta: ObjectMeta::named("", name),
            provisioner: Symbol::new("csi.seatrial"),
            binding_mode: VolumeBindingMode::WaitForFirstConsumer,
            reclaim_policy: ReclaimPolicy::Delete,
            allowed_topologies: None,
            allow_expansion: true,
        }
    }

    /// The class `standard`, which claims without a class get.
    pub fn standard() -> StorageModel {
        let mut class = StorageModel::block_class("standard");
        class.meta.annotations = Labels::of(&[(DEFAULT_CLASS, "true")]);
        StorageModel { classes: vec![class], profiles: Vec::new() }
    }
}

/// Everything that a simulated cluster is made from.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The name of the run.
    pub name: String,
    /// The seed of all random streams.
    pub seed: u64,
    /// The version whose behaviour is followed.
    pub version: KubernetesVersion,
    /// The start instant as seconds since 1970.
    pub start_unix_seconds: i64,
    /// How long the run is.
    pub duration: Span,
    /// Nodes from the start.
    pub nodes: Vec<NodeSpec>,
    /// Objects of a running cluster, taken over as they are before the start.
    pub state: Vec<Object>,
    /// Owners that objects of the state name and that are not among them: they count as present, so
    /// that nothing is collected for their absence.
    pub absent_owners: Vec<Uid>,
    /// Objects that are applied at the start, in order.
    pub manifests: Vec<Object>,
    /// How pods behave.
    pub profiles: Vec<PodProfile>,
    /// How images behave.
    pub images: Vec<ImageSpec>,
    /// Metrics of the custom and external metrics APIs; without any, nothing serves these APIs.
    pub metrics: Vec<MetricSpec>,
    /// Whether autoscalers may scale to zero and back (feature gate `HPAScaleToZero`).
    pub hpa_scale_to_zero: bool,
    /// How many requests the API server serves at once, by priority and fairness; `None` for any
    /// number.
    pub flow_control_seats: Option<u32>,
    /// Objects that arrive by themselves.
    pub arrivals: Option<Arc<dyn super::arrivals::ArrivalSource>>,
    /// What people do.
    pub timeline: Vec<TimelineEntry>,
    /// What breaks.
    pub faults: Vec<Fault>,
    /// Who makes machines come and go by itself; `None` for nobody.
    pub autoscaler: Option<AutoscalerConfig>,
    /// What limits the cloud that the machines come from.
    pub cloud: CloudConfig,
    /// How fast things are.
    pub latency: LatencyModel,
    /// The storage.
    pub storage: StorageModel,
    /// Whether clients keep to their rate limits.
    pub client_rate_limits: bool,
    /// The scheduler's configuration.
    pub scheduler: SchedulerConfiguration,
    /// What is recorded.
    pub recording: Recording,
}

impl ClusterConfig {
    /// The scheduler's configuration with what the cluster says about it: version, seed, rate
    /// limits, and the time that a cycle takes.
    pub fn scheduler_configuration(&self) -> SchedulerConfiguration {
        let [cycle, per_node_filtered, per_node_scored] = self.latency.scheduling_cycle;
        SchedulerConfiguration {
            version: self.version,
            seed: self.seed,
            client: if self.client_rate_limits { self.scheduler.client } else { ClientRate::Unlimited },
            cost: CostModel { cycle, per_node_filtered, per_node_scored, ..self.scheduler.cost },
            ..self.scheduler.clone()
        }
    }
}

/// What a run records, besides its hash and its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Rows, series and messages for all result files.
    Full,
    /// Counters alone: finished pods are counted and forgotten.
    Counters,
}
