//! Settings of the controller manager.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use seatrial_api::calendar::Calendar;
use seatrial_api::meta::Uid;
use seatrial_api::units::Span;
use seatrial_api::version::KubernetesVersion;

use crate::node_lifecycle::NodeLifecycleConfig;

/// The rate limit of each controller's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLimits {
    /// Requests go at once.
    Unlimited,
    /// A token bucket for each controller.
    Limited {
        /// Requests per second.
        qps: i64,
        /// Requests at once.
        burst: i64,
    },
}

impl ClientLimits {
    /// These limits multiplied, as upstream does for controllers that ask much.
    pub(crate) fn times(self, qps_factor: i64, burst_factor: i64) -> ClientLimits {
        match self {
            ClientLimits::Unlimited => ClientLimits::Unlimited,
            ClientLimits::Limited { qps, burst } => {
                ClientLimits::Limited { qps: qps * qps_factor, burst: burst * burst_factor }
            }
        }
    }
}

/// Settings of the controller manager, upstream's defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The release that is played.
    pub version: KubernetesVersion,
    /// The dates of the instants: schedules go by it.
    pub calendar: Calendar,
    /// The rate limit of each controller's client.
    pub client_limits: ClientLimits,
    /// How long a worker computes before the first request of a sync goes out; zero is allowed.
    pub sync_cost: Span,
    /// Settings of the node life cycle controller.
    pub node_lifecycle: NodeLifecycleConfig,
    /// How many finished pods may exist (`--terminated-pod-gc-threshold`); zero for any number.
    pub terminated_pod_threshold: usize,
    /// Owners that exist although no list shows them, because a state dump left them out: their
    /// dependents are no garbage.
    pub assumed_owners: Arc<FxHashSet<Uid>>,
    /// Whether autoscalers may scale to zero and back (feature gate `HPAScaleToZero`, off upstream).
    pub hpa_scale_to_zero: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            version: KubernetesVersion::default(),
            calendar: Calendar::default(),
            client_limits: ClientLimits::Limited { qps: 20, burst: 30 },
            sync_cost: Span::from_millis(1),
            node_lifecycle: NodeLifecycleConfig::default(),
            terminated_pod_threshold: 12_500,
            assumed_owners: Arc::default(),
            hpa_scale_to_zero: false,
        }
    }
}
