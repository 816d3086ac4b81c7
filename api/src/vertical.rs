//! VerticalPodAutoscaler (autoscaling.k8s.io/v1).

use compact_str::CompactString;

use crate::meta::ObjectMeta;
use crate::symbol::Symbol;
use crate::units::{Bytes, MilliCpu};
use crate::workload::Condition;

/// When pods get what is recommended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateMode {
    /// Never: the recommendation is told.
    Off,
    /// When they are created.
    Initial,
    /// Also by being evicted, so that others are created (also `Auto`, the older name).
    #[default]
    Recreate,
    /// In place where that is possible, else as above.
    InPlaceOrRecreate,
}

/// What of a container is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlledValues {
    /// Requests, and limits in proportion.
    #[default]
    RequestsAndLimits,
    /// Requests alone.
    RequestsOnly,
}

/// Amounts of the two resources that are recommended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuAndMemory {
    /// CPU.
    pub cpu: Option<MilliCpu>,
    /// Memory.
    pub memory: Option<Bytes>,
}

/// The policy for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPolicy {
    /// The container, `*` for those that no other policy names.
    pub container: Symbol,
    /// Whether it is left alone (`mode: Off`).
    pub is_off: bool,
    /// The least that is recommended.
    pub min_allowed: CpuAndMemory,
    /// The most that is recommended.
    pub max_allowed: CpuAndMemory,
    /// Whether CPU is recommended.
    pub controls_cpu: bool,
    /// Whether memory is recommended.
    pub controls_memory: bool,
    /// What is written.
    pub controlled_values: ControlledValues,
}

impl ContainerPolicy {
    /// The policy of a container of which nothing is said.
    pub fn standard(container: Symbol) -> ContainerPolicy {
        ContainerPolicy {
            container,
            is_off: false,
            min_allowed: CpuAndMemory::default(),
            max_allowed: CpuAndMemory::default(),
            controls_cpu: true,
            controls_memory: true,
            controlled_values: ControlledValues::RequestsAndLimits,
        }
    }
}

/// What is recommended for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerRecommendation {
    /// The container.
    pub container: Symbol,
    /// What it should request.
    pub target: CpuAndMemory,
    /// Below this it has too little.
    pub lower_bound: CpuAndMemory,
    /// Above this it has too much.
    pub upper_bound: CpuAndMemory,
    /// What it should request if the policy set no bounds.
    pub uncapped_target: CpuAndMemory,
}

/// A VerticalPodAutoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct VerticalPodAutoscaler {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The kind of the workload.
    pub target_kind: Symbol,
    /// Its API version.
    pub target_api_version: Symbol,
    /// Its name.
    pub target_name: CompactString,
    /// When pods get what is recommended.
    pub update_mode: UpdateMode,
    /// So many pods must live before one is evicted; the updater's own minimum if absent.
    pub min_replicas: Option<i32>,
    /// Policies of containers.
    pub policies: Box<[ContainerPolicy]>,
    /// The status.
    pub status: VpaStatus,
}

impl VerticalPodAutoscaler {
    /// The policy of a container: its own, or the one for all others.
    pub fn policy(&self, container: Symbol) -> ContainerPolicy {
        let own = self.policies.iter().find(|policy| policy.container == container);
        let policy = own.or_else(|| self.policies.iter().find(|policy| policy.container == "*"));
        policy.cloned().unwrap_or_else(|| ContainerPolicy::standard(container))
    }
}

/// The status of a VerticalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VpaStatus {
    /// Recommendations, by container.
    pub recommendation: Vec<ContainerRecommendation>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}
