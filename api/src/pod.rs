//! Pods: the specification that all pods of a template share, and the row of its own that each
//! pod has.

use std::sync::Arc;

use compact_str::CompactString;

use crate::container::{Container, PortRef, Protocol, RestartPolicy};
use crate::gpu::GpuDemand;
use crate::labels::Labels;
use crate::meta::ObjectMeta;
use crate::resources::{ResourceList, Resources};
use crate::scheduling::{Affinity, NodeConstraint, Toleration, TopologySpreadConstraint};
use crate::status_detail::{OtherCondition, StatusDetail};
use crate::storage::ClaimTemplate;
use crate::symbol::Symbol;
use crate::units::{Bytes, MilliCpu, SimTime, Span};

/// Where a volume comes from, as far as scheduling and starting a pod depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VolumeSource {
    /// A directory that lives as long as the pod.
    EmptyDir {
        /// Whether it is memory-backed.
        memory: bool,
        /// Its size limit, 0 for none.
        size_limit: Bytes,
    },
    /// A ConfigMap by name.
    ConfigMap {
        /// The object's name.
        name: Symbol,
        /// Whether its absence is no error.
        optional: bool,
    },
    /// A Secret by name.
    Secret {
        /// The object's name.
        name: Symbol,
        /// Whether its absence is no error.
        optional: bool,
    },
    /// A claim by name.
    Claim {
        /// The claim's name.
        name: Symbol,
        /// Whether mounted read-only.
        read_only: bool,
    },
    /// A generic ephemeral volume: the claim `<pod>-<volume>` is made for the pod from this template.
    Ephemeral(Arc<ClaimTemplate>),
    /// A path of the node.
    HostPath,
    /// An inline disk that may be attached to one node at a time (GCE PD, EBS, iSCSI, RBD).
    Disk(DiskSource),
    /// An inline CSI volume with its driver.
    Csi(Symbol),
    /// The content of an image, by its reference.
    Image(Symbol),
    /// Anything that has no influence here (downward API, projected …), by its field name.
    Other(Symbol),
}

/// An inline disk, for VolumeRestrictions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DiskSource {
    /// A GCE persistent disk by name.
    GcePersistentDisk {
        /// The disk.
        name: Symbol,
        /// Whether mounted read-only.
        read_only: bool,
    },
    /// An AWS EBS volume by id.
    AwsElasticBlockStore {
        /// The volume.
        id: Symbol,
    },
    /// An iSCSI target.
    Iscsi {
        /// The qualified name.
        iqn: Symbol,
        /// Whether mounted read-only.
        read_only: bool,
    },
    /// A RADOS block device.
    Rbd {
        /// The monitors.
        monitors: Box<[Symbol]>,
        /// The pool.
        pool: Symbol,
        /// The image.
        image: Symbol,
        /// Whether mounted read-only.
        read_only: bool,
    },
}

/// A volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Volume {
    /// The name by which containers mount it.
    pub name: Symbol,
    /// Where it comes from.
    pub source: VolumeSource,
}

/// Quality of service: who is evicted and killed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QosClass {
    /// Requests and limits are equal everywhere.
    Guaranteed,
    /// Some request or limit is set.
    Burstable,
    /// Nothing is set.
    #[default]
    BestEffort,
}

impl QosClass {
    /// As written in a pod's status.
    pub fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }
}

/// A port of the node that a pod occupies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The address, `0.0.0.0` for all.
    pub ip: Symbol,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

/// Whether a pod may preempt others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PreemptionPolicy {
    /// It may.
    #[default]
    PreemptLowerPriority,
    /// It waits.
    Never,
}

/// What follows from a pod's specification and is asked for again and again, computed once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DerivedSpec {
    /// The effective request.
    pub requests: Resources,
    /// CPU of the request with 100 m for every container that names none; for scoring only.
    pub non_zero_cpu: MilliCpu,
    /// Memory of the request with 200 MiB for every container that names none; for scoring only.
    pub non_zero_memory: Bytes,
    /// The quality of service class.
    pub qos: QosClass,
    /// The ports of the node that it occupies.
    pub host_ports: Box<[HostPort]>,
}

/// The specification of a pod, shared by all pods of a template.
///
/// What differs between pods of one template (name, node, a DaemonSet's target) is in [`Pod`].
/// After the public fields were set, [`PodSpec::sealed`] computes what is derived from them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodSpec {
    /// Main containers, at least one.
    pub containers: Box<[Container]>,
    /// Init containers and sidecars, in order.
    pub init_containers: Box<[Container]>,
    /// Containers that were added to the running pod.
    pub ephemeral_containers: Box<[Container]>,
    /// Volumes.
    pub volumes: Box<[Volume]>,
    /// When containers are restarted.
    pub restart_policy: RestartPolicy,
    /// Seconds that a pod has to stop.
    pub termination_grace_period_seconds: i64,
    /// Seconds after its start when the kubelet fails the pod.
    pub active_deadline_seconds: Option<i64>,
    /// Labels that the node must have.
    pub node_selector: Labels,
    /// Affinities.
    pub affinity: Option<Arc<Affinity>>,
    /// Tolerations.
    pub tolerations: Box<[Toleration]>,
    /// Spread constraints.
    pub topology_spread: Box<[TopologySpreadConstraint]>,
    /// The scheduler that places the pod.
    pub scheduler_name: Symbol,
    /// Gates that hold the pod back from the scheduling queue.
    pub scheduling_gates: Box<[Symbol]>,
    /// The priority class's name, empty for none.
    pub priority_class: Symbol,
    /// The priority, once admission has filled it in.
    pub priority: Option<i32>,
    /// Whether the pod may preempt.
    pub preemption_policy: PreemptionPolicy,
    /// Resources of the pod sandbox itself.
    pub overhead: Resources,
    /// Requests of the pod as a whole, which replace those of its containers.
    pub pod_requests: Option<ResourceList>,
    /// Limits of the pod as a whole.
    pub pod_limits: Option<ResourceList>,
    /// Whether the pod shares the node's network.
    pub host_network: bool,
    /// The service account, `default` after admission.
    pub service_account: Symbol,
    /// `hostname`, empty for the pod's name.
    pub hostname: Symbol,
    /// `subdomain`, empty for none.
    pub subdomain: Symbol,
    /// Condition types that the pod needs to be ready, besides its containers.
    pub readiness_gates: Box<[Symbol]>,
    /// `runtimeClassName`, empty for none.
    pub runtime_class: Symbol,
    /// `os.name`, empty for none.
    pub os: Symbol,
    /// Names of the kernel's settings that the pod changes for itself.
    pub sysctls: Box<[Symbol]>,
    /// What the annotations of the pods ask of shared GPUs. It is here because all pods of a template
    /// ask for the same.
    pub gpu: GpuDemand,
    /// What follows from the rest.
    pub derived: DerivedSpec,
}

impl PodSpec {
    /// A specification with these containers, upstream's defaults everywhere else.
    pub fn new(containers: Vec<Container>) -> PodSpec {
        PodSpec {
            containers: containers.into(),
            init_containers: Box::default(),
            ephemeral_containers: Box::default(),
            volumes: Box::default(),
            restart_policy: RestartPolicy::Always,
            termination_grace_period_seconds: 30,
            active_deadline_seconds: None,
            node_selector: Labels::NONE,
            affinity: None,
            tolerations: Box::default(),
            topology_spread: Box::default(),
            scheduler_name: Symbol::new("default-scheduler"),
            scheduling_gates: Box::default(),
            priority_class: Symbol::empty(),
            priority: None,
            preemption_policy: PreemptionPolicy::PreemptLowerPriority,
            overhead: Resources::default(),
            pod_requests: None,
            pod_limits: None,
            host_network: false,
            service_account: Symbol::empty(),
            hostname: Symbol::empty(),
            subdomain: Symbol::empty(),
            readiness_gates: Box::default(),
            runtime_class: Symbol::empty(),
            os: Symbol::empty(),
            sysctls: Box::default(),
            gpu: GpuDemand::NONE,
            derived: DerivedSpec::default(),
        }
    }

    /// This specification with its derived part computed.
    pub fn sealed(mut self) -> PodSpec {
        self.derived = crate::requests::derive(&self);
        self
    }

    /// The priority, 0 where none was filled in.
    pub fn priority(&self) -> i32 {
        self.priority.unwrap_or(0)
    }

    /// All containers: init containers and sidecars, then main containers, then those that were
    /// added while the pod ran.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers).chain(&self.ephemeral_containers)
    }

    /// The number of a container port that is given by number or name.
    pub fn resolve_port(&self, port: PortRef) -> Option<u16> {
        match port {
            PortRef::Number(number) => Some(number),
            PortRef::Name(name) => self
                .containers
                .iter()
                .chain(self.init_containers.iter().filter(|container| container.is_sidecar()))
                .flat_map(|container| &container.ports)
                .find(|port| port.name == name)
                .map(|port| port.container_port),
        }
    }
}

/// A template from which controllers make pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodTemplate {
    /// Labels of the pods.
    pub labels: Labels,
    /// Annotations of the pods.
    pub annotations: Labels,
    /// The specification, shared by the pods (before admission).
    pub spec: Arc<PodSpec>,
}

/// The phase of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodPhase {
    /// Accepted, not all containers started.
    #[default]
    Pending,
    /// Bound, all containers made, at least one running or restarting.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly; or refused or evicted by its node.
    Failed,
    /// Not known.
    Unknown,
}

impl PodPhase {
    /// As written in a pod's status.
    pub fn as_str(self) -> &'static str {
        match self {
            PodPhase::Pending => "Pending",
            PodPhase::Running => "Running",
            PodPhase::Succeeded => "Succeeded",
            PodPhase::Failed => "Failed",
            PodPhase::Unknown => "Unknown",
        }
    }

    /// Whether the pod has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, PodPhase::Succeeded | PodPhase::Failed)
    }
}

/// The condition types of pods that the system itself writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodConditionType {
    /// The sandbox exists.
    PodReadyToStartContainers,
    /// All init containers have ended, all sidecars started.
    Initialized,
    /// Containers ready and readiness gates true.
    Ready,
    /// All containers ready.
    ContainersReady,
    /// A node was chosen.
    PodScheduled,
    /// About to be ended by a disruption.
    DisruptionTarget,
}

impl PodConditionType {
    /// All types, in the order in which a status lists them.
    pub const ALL: [PodConditionType; 6] = [
        PodConditionType::DisruptionTarget,
        PodConditionType::PodReadyToStartContainers,
        PodConditionType::Initialized,
        PodConditionType::Ready,
        PodConditionType::ContainersReady,
        PodConditionType::PodScheduled,
    ];

    /// As written in a pod's status.
    pub fn as_str(self) -> &'static str {
        match self {
            PodConditionType::PodReadyToStartContainers => "PodReadyToStartContainers",
            PodConditionType::Initialized => "Initialized",
            PodConditionType::Ready => "Ready",
            PodConditionType::ContainersReady => "ContainersReady",
            PodConditionType::PodScheduled => "PodScheduled",
            PodConditionType::DisruptionTarget => "DisruptionTarget",
        }
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionStatus {
    /// There is no such condition.
    #[default]
    Absent,
    /// False.
    False,
    /// True.
    True,
    /// Not known.
    Unknown,
}

/// Why a pod's condition has its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are upstream's reasons")]
pub enum PodReason {
    #[default]
    None,
    Unschedulable,
    SchedulerError,
    SchedulingGated,
    ContainersNotInitialized,
    ContainersNotReady,
    ReadinessGatesNotReady,
    PodCompleted,
    PodFailed,
    PreemptionByScheduler,
    DeletionByTaintManager,
    EvictionByEvictionApi,
    DeletionByPodGc,
    TerminationByKubelet,
}

impl PodReason {
    /// As written in a condition; empty for none.
    pub fn as_str(self) -> &'static str {
        match self {
            PodReason::None => "",
            PodReason::Unschedulable => "Unschedulable",
            PodReason::SchedulerError => "SchedulerError",
            PodReason::SchedulingGated => "SchedulingGated",
            PodReason::ContainersNotInitialized => "ContainersNotInitialized",
            PodReason::ContainersNotReady => "ContainersNotReady",
            PodReason::ReadinessGatesNotReady => "ReadinessGatesNotReady",
            PodReason::PodCompleted => "PodCompleted",
            PodReason::PodFailed => "PodFailed",
            PodReason::PreemptionByScheduler => "PreemptionByScheduler",
            PodReason::DeletionByTaintManager => "DeletionByTaintManager",
            PodReason::EvictionByEvictionApi => "EvictionByEvictionAPI",
            PodReason::DeletionByPodGc => "DeletionByPodGC",
            PodReason::TerminationByKubelet => "TerminationByKubelet",
        }
    }
}

/// One condition of a pod. Transition times have whole seconds, as upstream stores them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodCondition {
    /// The status; `Absent` if the pod has no such condition.
    pub status: ConditionStatus,
    /// The reason.
    pub reason: PodReason,
    since_seconds: i32,
}

impl PodCondition {
    /// A condition that took its status at `since`, truncated to seconds.
    pub fn new(status: ConditionStatus, reason: PodReason, since: SimTime) -> PodCondition {
        let seconds = since.truncate_to_second().nanos() / crate::units::NANOS_PER_SECOND;
        let since_seconds = seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        PodCondition { status, reason, since_seconds }
    }

    /// `lastTransitionTime`.
    pub fn since(&self) -> SimTime {
        SimTime::from_secs(i64::from(self.since_seconds))
    }

    /// Whether the status is True.
    pub fn is_true(&self) -> bool {
        self.status == ConditionStatus::True
    }
}

/// The conditions of a pod, one slot per type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodConditions([PodCondition; 6]);

impl PodConditions {
    /// The condition of this type; absent ones have the status `Absent`.
    pub fn get(&self, kind: PodConditionType) -> PodCondition {
        self.0[kind as usize]
    }

    /// Sets a condition as given, its transition time included.
    pub fn put(&mut self, kind: PodConditionType, condition: PodCondition) {
        self.0[kind as usize] = condition;
    }

    /// Sets a condition; its transition time moves only if the status changes.
    pub fn set(&mut self, kind: PodConditionType, status: ConditionStatus, reason: PodReason, now: SimTime) {
        let slot = &mut self.0[kind as usize];
        if slot.status == status {
            slot.reason = reason;
        } else {
            *slot = PodCondition::new(status, reason, now);
        }
    }

    /// Whether the pod is Ready.
    pub fn is_ready(&self) -> bool {
        self.get(PodConditionType::Ready).is_true()
    }
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Not running, for a reason such as `ContainerCreating` or `CrashLoopBackOff`.
    Waiting {
        /// The reason.
        reason: Symbol,
    },
    /// Running.
    Running {
        /// Since when.
        started: SimTime,
    },
    /// Ended.
    Terminated {
        /// When it had been started.
        started: SimTime,
        /// When it ended.
        finished: SimTime,
        /// Its exit code.
        exit_code: i32,
        /// `Completed`, `Error`, `OOMKilled` …
        reason: Symbol,
    },
}

/// The status of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The container's name.
    pub name: Symbol,
    /// What it is doing.
    pub state: ContainerState,
    /// How its previous instance ended.
    pub last: Option<LastTermination>,
    /// How often it was restarted.
    pub restarts: u32,
    /// Whether it counts as ready.
    pub ready: bool,
    /// Whether it has passed its startup probe, if any.
    pub started: bool,
}

/// How the previous instance of a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTermination {
    /// When.
    pub finished: SimTime,
    /// With which exit code.
    pub exit_code: i32,
    /// For which reason.
    pub reason: Symbol,
}

/// Texts that few pods have in their status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusText {
    /// `status.reason`, such as `Evicted`.
    pub reason: Symbol,
    /// `status.message`.
    pub message: CompactString,
    /// The message of the PodScheduled condition.
    pub scheduling: CompactString,
    /// Conditions of others than the system's own components, readiness gates above all.
    pub gates: Vec<OtherCondition>,
    /// What kubelets write where somebody reads it.
    pub detail: Option<Box<StatusDetail>>,
}

/// The status of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodStatus {
    /// The conditions.
    pub conditions: PodConditions,
    /// Container statuses: init containers in spec order, then main containers; empty until the
    /// kubelet has seen the pod.
    pub containers: Option<Arc<[ContainerStatus]>>,
    /// `startTime`: when the kubelet first handled the pod.
    pub start_time: Option<SimTime>,
    /// The node on which room was made for the pod.
    pub nominated_node: Option<Symbol>,
    /// Reason and messages, if there are any.
    pub text: Option<Arc<StatusText>>,
    /// `podIP` as a number; 0 for none.
    pub ip: u32,
    /// The phase.
    pub phase: PodPhase,
}

impl PodStatus {
    /// The sum of all containers' restarts.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().flat_map(|list| list.iter()).map(|status| status.restarts).sum()
    }

    /// `status.reason`, empty for none.
    pub fn reason(&self) -> Symbol {
        self.text.as_ref().map_or(Symbol::empty(), |text| text.reason)
    }
}

/// A pod: one immutable version of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The specification, shared with its siblings.
    pub spec: Arc<PodSpec>,
    /// `spec.nodeName`.
    pub node: Option<Symbol>,
    /// The one node for which a DaemonSet made the pod. At the border it is the required node
    /// affinity `metadata.name In [node]`, in place of all required terms of the template.
    pub target_node: Option<Symbol>,
    /// The status.
    pub status: PodStatus,
}

const _: () = assert!(size_of::<Pod>() <= 288, "a pod's row must stay small");

impl Pod {
    /// A pod with this metadata and specification, as it is posted.
    pub fn new(meta: ObjectMeta, spec: Arc<PodSpec>) -> Pod {
        Pod { meta, spec, node: None, target_node: None, status: PodStatus::default() }
    }

    /// The constraints on its node.
    pub fn node_constraint(&self) -> NodeConstraint<'_> {
        NodeConstraint {
            selector: &self.spec.node_selector,
            affinity: self.spec.affinity.as_ref(),
            target: self.target_node,
        }
    }

    /// Whether the pod has neither ended nor is going away.
    pub fn is_active(&self) -> bool {
        !self.status.phase.is_terminal() && !self.meta.is_deleting()
    }

    /// Whether the pod is Ready.
    pub fn is_ready(&self) -> bool {
        self.status.conditions.is_ready()
    }

    /// Whether the pod has been Ready for `min_ready` at `now` (Kubernetes: available).
    pub fn is_available(&self, min_ready: Span, now: SimTime) -> bool {
        let ready = self.status.conditions.get(PodConditionType::Ready);
        ready.is_true() && (min_ready == Span::ZERO || ready.since() + min_ready <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let mut conditions = PodConditions::default();
        let at = |millis: i64| SimTime::from_nanos(millis * 1_000_000);
        conditions.set(
            PodConditionType::Ready,
            ConditionStatus::False,
            PodReason::ContainersNotReady,
            at(1_700),
        );
        conditions.set(PodConditionType::Ready, ConditionStatus::False, PodReason::PodFailed, at(2_700));
        assert_eq!(conditions.get(PodConditionType::Ready).since(), SimTime::from_secs(1));
        conditions.set(PodConditionType::Ready, ConditionStatus::True, PodReason::None, at(3_900));
        assert_eq!(conditions.get(PodConditionType::Ready).since(), SimTime::from_secs(3));
        assert!(conditions.is_ready());
    }
}
