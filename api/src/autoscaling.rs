//! HorizontalPodAutoscaler (autoscaling/v2).

use compact_str::CompactString;

use crate::labels::Selector;
use crate::meta::ObjectMeta;
use crate::symbol::Symbol;
use crate::units::{Ratio, SimTime};
use crate::workload::Condition;

/// What a metric is compared with. Values are in thousandths of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricTarget {
    /// Percent of the request.
    Utilization(i32),
    /// Average over the pods, in thousandths.
    AverageValue(i64),
    /// The whole, in thousandths.
    Value(i64),
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricSource {
    /// A resource of the pods, such as `cpu`.
    Resource {
        /// The resource.
        name: Symbol,
        /// One container of the pods, or all.
        container: Option<Symbol>,
    },
    /// A metric of each pod.
    Pods {
        /// The metric.
        name: Symbol,
        /// Its selector.
        selector: Option<Selector>,
    },
    /// A metric of one object.
    Object {
        /// The metric.
        name: Symbol,
        /// The object's kind.
        kind: Symbol,
        /// The object's name.
        object: CompactString,
        /// The metric's selector.
        selector: Option<Selector>,
    },
    /// A metric from outside the cluster.
    External {
        /// The metric.
        name: Symbol,
        /// Its selector.
        selector: Option<Selector>,
    },
}

/// A metric and its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// What is measured.
    pub source: MetricSource,
    /// What it is compared with.
    pub target: MetricTarget,
}

/// Which of several scaling policies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that changes most.
    #[default]
    Max,
    /// The one that changes least.
    Min,
    /// None: this direction is switched off.
    Disabled,
}

/// The unit of a scaling policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyUnit {
    /// Pods.
    Pods,
    /// Percent of the current size.
    Percent,
}

/// How fast a size may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPolicy {
    /// The unit.
    pub unit: PolicyUnit,
    /// The amount.
    pub value: i32,
    /// Per how many seconds.
    pub period_seconds: i32,
}

/// Rules of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingRules {
    /// Seconds over which recommendations are considered; `None` for the controller's default.
    pub stabilization_window_seconds: Option<i32>,
    /// Which policy counts.
    pub select_policy: SelectPolicy,
    /// The policies.
    pub policies: Vec<ScalingPolicy>,
    /// The tolerance of this direction (since 1.35); `None` for the controller's default.
    pub tolerance: Option<Ratio>,
}

/// Rules of both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingBehavior {
    /// Growing.
    pub scale_up: ScalingRules,
    /// Shrinking.
    pub scale_down: ScalingRules,
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct HorizontalPodAutoscaler {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The kind that is scaled.
    pub target_kind: Symbol,
    /// Its API version.
    pub target_api_version: Symbol,
    /// Its name.
    pub target_name: CompactString,
    /// The least size.
    pub min_replicas: i32,
    /// The greatest size.
    pub max_replicas: i32,
    /// Metrics; never empty after defaulting.
    pub metrics: Vec<Metric>,
    /// Rules, if they are given.
    pub behavior: Option<ScalingBehavior>,
    /// The status.
    pub status: HpaStatus,
}

/// The status of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HpaStatus {
    /// The size when last looked at.
    pub current_replicas: i32,
    /// The size wanted.
    pub desired_replicas: i32,
    /// When the size was last changed.
    pub last_scale_time: Option<SimTime>,
    /// Current values in the order of the metrics: percent, or thousandths.
    pub current_metrics: Vec<Option<i64>>,
    /// The generation that this status has seen.
    pub observed_generation: Option<i64>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}
