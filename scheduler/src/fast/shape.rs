//! What the fast path makes of a profile: which plugins it can keep columns for, which have an
//! index, and which it has to do without.

use seatrial_api::pod::Pod;

use crate::framework::{Indexed, Normalization, PluginId, Profile, Scope};
use crate::plugins::inter_pod_affinity::InterPodAffinity;
use crate::plugins::topology_spread::PodTopologySpread;

/// A score that is normalised over the feasible nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormalizedScore {
    pub(crate) plugin: PluginId,
    pub(crate) weight: i64,
    pub(crate) reversed: bool,
}

/// A filter with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexedFilter {
    Spread,
    Affinity,
}

/// A profile as the fast path sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// Whether the fast path can serve this profile at all.
    pub(crate) is_supported: bool,
    /// Plugins of scope Node and Usage, whose `reads` make classes.
    pub(crate) readers: Vec<PluginId>,
    /// Filters of scope Node and Usage, in order.
    pub(crate) filters: Vec<PluginId>,
    /// Scores of scope Node and Usage that need no normalisation, with their weights.
    pub(crate) scores: Vec<(PluginId, i64)>,
    /// Scores of scope Node that do.
    pub(crate) normalized: Vec<NormalizedScore>,
    /// Filters with an index, in order.
    pub(crate) indexed_filters: Vec<(PluginId, IndexedFilter)>,
    /// The weight of PodTopologySpread, if it scores.
    pub(crate) spread_weight: Option<i64>,
    /// The weight of InterPodAffinity, if it scores.
    pub(crate) affinity_weight: Option<i64>,
    /// Plugins that must not concern a pod: those of scope Cluster without an index, and filters of
    /// columns that come after ones with an index.
    unindexed: Vec<PluginId>,
}

impl Shape {
    pub(crate) fn new(profile: &Profile) -> Shape {
        let mut shape = Shape { is_supported: true, ..Shape::default() };
        for &plugin in &profile.filter {
            shape.take_filter(profile, plugin);
        }
        for &(plugin, weight) in &profile.score {
            shape.take_score(profile, plugin, weight);
        }
        // Scores are kept in sixteen bits.
        let largest =
            |&(plugin, weight): &(PluginId, i64)| weight.saturating_mul(profile.plugin(plugin).score_max());
        let largest = profile.score.iter().map(largest).fold(0, i64::saturating_add);
        shape.is_supported &= largest < i64::from(i16::MAX) && profile.score.iter().all(|score| score.1 >= 0);
        shape
    }

    fn take_filter(&mut self, profile: &Profile, plugin: PluginId) {
        let implementation = profile.plugin(plugin);
        match implementation.scope() {
            // Which plugin rejected a node is told by the first one that did, so the columns' filters
            // must come first.
            Scope::Node | Scope::Usage if !self.indexed_filters.is_empty() => self.unindexed.push(plugin),
            Scope::Node | Scope::Usage => {
                self.filters.push(plugin);
                self.readers.push(plugin);
            }
            Scope::Cluster => match implementation.indexed() {
                Some(indexed) => {
                    let kind = match indexed {
                        Indexed::TopologySpread(_) => IndexedFilter::Spread,
                        Indexed::InterPodAffinity(_) => IndexedFilter::Affinity,
                    };
                    self.is_supported &= profile.pre_filter.contains(&plugin);
                    self.indexed_filters.push((plugin, kind));
                }
                None => self.unindexed.push(plugin),
            },
        }
    }

    fn take_score(&mut self, profile: &Profile, plugin: PluginId, weight: i64) {
        let implementation = profile.plugin(plugin);
        let reversed = implementation.normalization() == Normalization::Reversed;
        match (implementation.scope(), implementation.normalization(), implementation.indexed()) {
            (_, _, Some(Indexed::TopologySpread(_))) => self.spread_weight = Some(weight),
            (_, _, Some(Indexed::InterPodAffinity(_))) => self.affinity_weight = Some(weight),
            (Scope::Node | Scope::Usage, Normalization::None, _) => self.scores.push((plugin, weight)),
            (Scope::Node, Normalization::Proportional | Normalization::Reversed, _) => {
                self.normalized.push(NormalizedScore { plugin, weight, reversed });
            }
            (Scope::Cluster, ..) => self.unindexed.push(plugin),
            // Alone, the best node by raw scores is the best one by stretched scores.
            (Scope::Node | Scope::Usage, Normalization::MinMax, _) if profile.score.len() == 1 => {
                self.scores.push((plugin, weight));
            }
            _ => self.is_supported = false,
        }
        if implementation.scope() != Scope::Cluster && !self.readers.contains(&plugin) {
            self.readers.push(plugin);
        }
    }

    /// Whether the fast path can serve pods with this specification.
    pub(crate) fn serves(&self, profile: &Profile, pod: &Pod) -> bool {
        self.is_supported && self.unindexed.iter().all(|&plugin| !profile.plugin(plugin).concerns(pod))
    }

    /// Whether a plugin with an index filters.
    pub(crate) fn filters(&self, kind: IndexedFilter) -> bool {
        self.indexed_filters.iter().any(|filter| filter.1 == kind)
    }

    /// PodTopologySpread, if it takes part in any way.
    pub(crate) fn spread<'a>(&self, profile: &'a Profile) -> Option<&'a PodTopologySpread> {
        profile.plugins.iter().find_map(|plugin| match plugin.indexed() {
            Some(Indexed::TopologySpread(spread)) => Some(spread),
            _ => None,
        })
    }

    /// InterPodAffinity, if it takes part in any way.
    pub(crate) fn affinity<'a>(&self, profile: &'a Profile) -> Option<&'a InterPodAffinity> {
        profile.plugins.iter().find_map(|plugin| match plugin.indexed() {
            Some(Indexed::InterPodAffinity(affinity)) => Some(affinity),
            _ => None,
        })
    }
}
