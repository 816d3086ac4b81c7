//! What a pod's status says beyond what the simulated cluster acts on: messages, images, resources,
//! conditions of other owners. Kubelets write it where somebody reads it.

use compact_str::CompactString;

use crate::pod::ConditionStatus;
use crate::resources::ResourceList;
use crate::symbol::Symbol;

/// What few pods have in their status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusDetail {
    /// `status.observedGeneration`; 0 for none.
    pub observed_generation: i64,
    /// Details of container statuses, beside [`crate::pod::PodStatus::containers`].
    pub containers: Vec<ContainerDetail>,
    /// `podIPs` after the first one.
    pub more_ips: Vec<CompactString>,
    /// Conditions of the kubelet that few pods have.
    pub conditions: Vec<OtherCondition>,
    /// The messages of the conditions that all pods have.
    pub messages: ConditionMessages,
}

/// Messages of conditions; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionMessages {
    /// Of Initialized.
    pub initialized: CompactString,
    /// Of Ready.
    pub ready: CompactString,
    /// Of ContainersReady.
    pub containers_ready: CompactString,
    /// Of DisruptionTarget.
    pub disruption_target: CompactString,
}

/// What a container's status says besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerDetail {
    /// The message of the state.
    pub message: CompactString,
    /// The message of the last state.
    pub last_message: CompactString,
    /// The image of the newest instance, or the one specified if there is none.
    pub image: Symbol,
    /// The newest instance by its attempt, if there has been one.
    pub instance: Option<u16>,
    /// Which times the state has.
    pub times: Times,
    /// Which times the last state has.
    pub last_times: Times,
    /// Requests and limits in force, and what was allocated, if it has any resources.
    pub resources: Option<Box<ContainerAllocation>>,
}

/// Which times a terminated state has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// Start and end.
    #[default]
    Known,
    /// The end alone: it never began to run.
    NeverStarted,
    /// None: it tells of an instance that was lost.
    Lost,
}

/// What a node has allocated to a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerAllocation {
    /// Requests in force: `resources.requests`.
    pub requests: ResourceList,
    /// Limits in force.
    pub limits: ResourceList,
    /// Requests that were allocated: `allocatedResources`.
    pub allocated: ResourceList,
}

/// A condition by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCondition {
    /// The type.
    pub kind: Symbol,
    /// The status.
    pub status: ConditionStatus,
    /// The reason; empty for none.
    pub reason: Symbol,
    /// The message; empty for none.
    pub message: CompactString,
}
