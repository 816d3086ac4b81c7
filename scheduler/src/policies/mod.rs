//! Policies by name: what a scenario, a sweep or a program of one's own can place pods by.
//!
//! A policy is a configuration of the framework, and most bring a plugin of their own. All but
//! `default` keep upstream's filters and preemption, beside the filter for shared GPUs, so that taints,
//! affinity and volumes are respected, switch off upstream's scores and put one rule in their place, by
//! which every feasible node is scored. A new policy is a file here and a line in [`POLICIES`].

mod alignment;
mod amounts;
mod best_fit;
mod dot_product;
pub(crate) mod fgd;
mod first_fit;
mod fit_strategies;
mod gpu_clustering;
mod gpu_demand;
mod gpu_packing;
mod random;
mod round_robin;
mod tetris;
mod upstream;
mod worst_fit;

use std::sync::Arc;

use crate::config::{PluginReference, PluginSelection, ProfileConfiguration, SchedulerConfiguration};
use crate::framework::Plugin;
use crate::plugins::gpu_sharing;

pub(crate) use alignment::best_alignment;

/// A policy, and what there is to know about it.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The name by which it is chosen.
    pub name: &'static str,
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// The rule as a formula.
    pub formula: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What it can be told; empty for nothing.
    pub parameters: &'static [Parameter],
    /// The plugin that it brings along, with the arguments of a profile.
    plugin: Option<MakePlugin>,
    /// Makes the policy of upstream's configuration.
    adjust: fn(&mut SchedulerConfiguration),
}

/// Makes a policy's plugin for a profile.
type MakePlugin = fn(&ProfileConfiguration) -> Arc<dyn Plugin>;

/// Something that a policy can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name: a field of `KubeSchedulerConfiguration`, of the scenario, or of the pods.
    pub name: &'static str,
    /// What counts if nobody says anything.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
}

/// All policies, in the order in which they are listed.
pub const POLICIES: &[&Policy] = &[
    &upstream::POLICY,
    &random::POLICY,
    &first_fit::POLICY,
    &best_fit::POLICY,
    &worst_fit::POLICY,
    &round_robin::POLICY,
    &fit_strategies::LEAST_ALLOCATED,
    &fit_strategies::MOST_ALLOCATED,
    &fit_strategies::REQUESTED_TO_CAPACITY_RATIO,
    &alignment::POLICY,
    &tetris::POLICY,
    &dot_product::POLICY,
    &gpu_packing::POLICY,
    &gpu_clustering::POLICY,
    &fgd::POLICY,
];

/// The policy of a name.
pub fn find(name: &str) -> Option<&'static Policy> {
    POLICIES.iter().copied().find(|policy| policy.name == name)
}

/// The names of all policies, in the order in which they are listed.
pub fn names() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|policy| policy.name)
}

/// The plugins that policies bring along, with the arguments of a profile.
pub(crate) fn plugins(profile: &ProfileConfiguration) -> Vec<Arc<dyn Plugin>> {
    POLICIES.iter().filter_map(|policy| policy.plugin).map(|make| make(profile)).collect()
}

impl Policy {
    /// The configuration that the policy stands for: upstream's, with the policy's rule.
    pub fn configuration(&self) -> SchedulerConfiguration {
        let mut configuration = SchedulerConfiguration::default();
        (self.adjust)(&mut configuration);
        if self.name != upstream::POLICY.name {
            share_gpus(&mut configuration);
        }
        configuration
    }
}

/// The configuration of a policy of one's own: upstream's filters, that for shared GPUs, and `plugin` in
/// the place of all of upstream's scores.
pub fn scored_by(plugin: Arc<dyn Plugin>) -> SchedulerConfiguration {
    let mut configuration = SchedulerConfiguration::default();
    score_by(&mut configuration, plugin.name());
    share_gpus(&mut configuration);
    configuration.plugins.0.push(plugin);
    configuration
}

/// Adds the filter for shared GPUs to upstream's: before them, so that the fast path has its verdict in
/// the same column as theirs.
fn share_gpus(configuration: &mut SchedulerConfiguration) {
    for profile in &mut configuration.profiles {
        let plugin = || PluginReference::named(gpu_sharing::NAME);
        profile.plugins.multi_point.enabled.push(plugin());
        profile.plugins.filter.enabled.push(plugin());
    }
}

/// Puts one plugin's score in the place of all of upstream's, over all feasible nodes.
fn score_by(configuration: &mut SchedulerConfiguration, plugin: &str) {
    for profile in &mut configuration.profiles {
        profile.percentage_of_nodes_to_score = Some(100);
        profile.plugins.score =
            PluginSelection { enabled: vec![PluginReference::named(plugin)], disabled: vec!["*".into()] };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Scheduler;

    #[test]
    fn every_policy_says_what_it_is_and_can_be_scheduled_by() {
        let mut seen = BTreeSet::new();
        for policy in POLICIES {
            assert!(seen.insert(policy.name), "{} is listed twice", policy.name);
            for text in [policy.about, policy.formula, policy.source] {
                assert!(!text.is_empty(), "{}", policy.name);
            }
            assert_eq!(find(policy.name).map(|found| found.name), Some(policy.name));
            let scheduler = Scheduler::new(policy.configuration());
            assert!(scheduler.is_ok(), "{}: {:?}", policy.name, scheduler.err());
        }
        assert!(find("no-such-policy").is_none());
    }

    #[test]
    fn policies_keep_the_filters_of_upstream() {
        let default = SchedulerConfiguration::default();
        let mut shared = default.clone();
        share_gpus(&mut shared);
        for policy in POLICIES {
            let configuration = policy.configuration();
            let base = if policy.name == upstream::POLICY.name { &default } else { &shared };
            let [ours, upstreams] = [&configuration, base].map(|one| &one.profiles[0].plugins);
            assert_eq!(ours.multi_point, upstreams.multi_point, "{}", policy.name);
            assert_eq!(ours.filter, upstreams.filter, "{}", policy.name);
        }
    }
}
