//! What PreFilter and PreScore of a cycle have found out.

use crate::plugins::{inter_pod_affinity, topology_spread, volume_binding, volume_restrictions, volume_zone};

use super::profile::PluginSet;

/// The memory of one scheduling cycle. Dry runs of preemption clone it for every node.
#[derive(Clone, Debug, Default)]
pub struct CycleState {
    /// Plugins whose Filter is left out, because their PreFilter said so.
    pub(crate) skip_filter: PluginSet,
    /// Plugins whose Score is left out, because their PreScore said so.
    pub(crate) skip_score: PluginSet,
    /// Whether DynamicResources has run its PreFilter.
    pub(crate) claims_seen: bool,
    pub(crate) spread_filter: topology_spread::FilterState,
    pub(crate) spread_score: topology_spread::ScoreState,
    pub(crate) affinity_filter: inter_pod_affinity::FilterState,
    pub(crate) affinity_score: inter_pod_affinity::ScoreState,
    pub(crate) exclusive_claims: volume_restrictions::FilterState,
    pub(crate) volume_zone: volume_zone::FilterState,
    pub(crate) volume_binding: volume_binding::FilterState,
}
