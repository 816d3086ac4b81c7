//! Profiles: which plugins take part at which extension point, in which order, with which weight.

use std::sync::Arc;

use seatrial_api::symbol::Symbol;

use super::plugin::{Plugin, Points};
use crate::config::{
    ConfigurationError, PluginReference, PluginSelection, ProfileConfiguration, SchedulerConfiguration,
};
use crate::plugins;

/// The position of a plugin in its profile.
pub type PluginId = u8;

/// A set of plugins of one profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginSet(u64);

impl PluginSet {
    /// No plugin.
    pub const EMPTY: PluginSet = PluginSet(0);

    /// Adds a plugin.
    pub fn insert(&mut self, plugin: PluginId) {
        self.0 |= 1 << plugin;
    }

    /// Whether a plugin is in it.
    pub fn contains(self, plugin: PluginId) -> bool {
        self.0 >> plugin & 1 == 1
    }

    /// Whether no plugin is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All plugins of either set.
    pub fn union(self, other: PluginSet) -> PluginSet {
        PluginSet(self.0 | other.0)
    }

    /// Whether some plugin is in both.
    pub fn intersects(self, other: PluginSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Its plugins in order.
    pub fn iter(self) -> impl Iterator<Item = PluginId> {
        (0..64).filter(move |&plugin| self.contains(plugin))
    }
}

/// A profile, ready for use.
#[derive(Clone)]
pub struct Profile {
    /// The name by which pods choose it.
    pub scheduler_name: Symbol,
    /// `percentageOfNodesToScore`, 0 for upstream's adaptive rule.
    pub percentage_of_nodes_to_score: i32,
    pub(crate) plugins: Arc<[Arc<dyn Plugin>]>,
    pub(crate) pre_enqueue: Box<[PluginId]>,
    pub(crate) pre_filter: Box<[PluginId]>,
    pub(crate) filter: Box<[PluginId]>,
    pub(crate) post_filter: Box<[PluginId]>,
    pub(crate) score: Box<[(PluginId, i64)]>,
    pub(crate) reserve: Box<[PluginId]>,
    pub(crate) pre_bind: Box<[PluginId]>,
    pub(crate) bind: Box<[PluginId]>,
}

impl Profile {
    /// Builds the profile that a configuration describes.
    ///
    /// # Errors
    /// If it names a plugin that does not exist, a plugin at a point where it does nothing, a
    /// plugin twice, or arguments out of range.
    pub fn new(
        configuration: &SchedulerConfiguration,
        profile: &ProfileConfiguration,
        extra: &[Arc<dyn Plugin>],
    ) -> Result<Profile, ConfigurationError> {
        let mut builder = Builder { available: plugins::all(configuration, profile)?, used: Vec::new() };
        builder.available.extend(extra.iter().cloned());
        let multi_point = merged(&default_plugins(), &profile.plugins.multi_point);
        let mut at = |selection: &PluginSelection, takes_part: fn(Points) -> bool| {
            builder.at_point(&multi_point, selection, takes_part)
        };
        let selections = &profile.plugins;
        let pre_enqueue = at(&selections.pre_enqueue, |points| points.pre_enqueue)?;
        let pre_filter = at(&selections.pre_filter, |points| points.pre_filter)?;
        let filter = at(&selections.filter, |points| points.filter)?;
        let post_filter = at(&selections.post_filter, |points| points.post_filter)?;
        at(&selections.pre_score, |points| points.pre_score)?;
        let score = at(&selections.score, |points| points.score)?;
        let reserve = at(&selections.reserve, |points| points.reserve)?;
        at(&selections.permit, |points| points.permit)?;
        let pre_bind = at(&selections.pre_bind, |points| points.pre_bind)?;
        let bind = at(&selections.bind, |points| points.bind)?;
        if bind.is_empty() {
            return Err(ConfigurationError::new("plugins.bind", "at least one bind plugin is needed"));
        }
        let ids = |list: Vec<(PluginId, i64)>| list.into_iter().map(|(plugin, _)| plugin).collect();
        Ok(Profile {
            scheduler_name: profile.scheduler_name,
            percentage_of_nodes_to_score: profile
                .percentage_of_nodes_to_score
                .or(configuration.percentage_of_nodes_to_score)
                .unwrap_or(0),
            plugins: builder.used.into(),
            pre_enqueue: ids(pre_enqueue),
            pre_filter: ids(pre_filter),
            filter: ids(filter),
            post_filter: ids(post_filter),
            score: score.into(),
            reserve: ids(reserve),
            pre_bind: ids(pre_bind),
            bind: ids(bind),
        })
    }

    /// A plugin of this profile.
    pub fn plugin(&self, plugin: PluginId) -> &dyn Plugin {
        &*self.plugins[usize::from(plugin)]
    }

    /// The names of a set of plugins, in text order.
    pub fn names(&self, set: PluginSet) -> Vec<&'static str> {
        let mut names: Vec<_> = set.iter().map(|plugin| self.plugin(plugin).name()).collect();
        names.sort_unstable();
        names
    }

    /// The filters that a state does not leave out, in order.
    pub(crate) fn active_filters(&self, skip: PluginSet) -> impl Iterator<Item = PluginId> + '_ {
        self.filter.iter().copied().filter(move |&plugin| !skip.contains(plugin))
    }
}

struct Builder {
    available: Vec<Arc<dyn Plugin>>,
    used: Vec<Arc<dyn Plugin>>,
}

impl Builder {
    /// The plugins of one point with their weights: first those that override a MultiPoint plugin,
    /// as listed; then the remaining MultiPoint plugins; then the other entries.
    fn at_point(
        &mut self,
        multi_point: &[PluginReference],
        selection: &PluginSelection,
        takes_part: fn(Points) -> bool,
    ) -> Result<Vec<(PluginId, i64)>, ConfigurationError> {
        let mut overriding = Vec::new();
        let mut added = Vec::new();
        for reference in &selection.enabled {
            let plugin = self.find(reference)?;
            if !takes_part(self.used[usize::from(plugin)].points()) {
                let text = format!("plugin {:?} takes no part in this extension point", reference.name);
                return Err(ConfigurationError::new("plugins", text));
            }
            let entry = (plugin, reference.effective_weight());
            if overriding.iter().chain(&added).any(|other: &(PluginId, i64)| other.0 == plugin) {
                let text = format!("plugin {:?} is enabled twice", reference.name);
                return Err(ConfigurationError::new("plugins", text));
            }
            let overrides = multi_point.iter().any(|multi| multi.name == reference.name);
            if overrides { overriding.push(entry) } else { added.push(entry) }
        }
        let mut result = overriding;
        for reference in multi_point {
            let plugin = self.find(reference)?;
            let disabled = selection.disabled.iter().any(|name| name == "*" || *name == reference.name);
            let listed = result.iter().any(|entry| entry.0 == plugin);
            if !disabled && !listed && takes_part(self.used[usize::from(plugin)].points()) {
                result.push((plugin, reference.effective_weight()));
            }
        }
        result.extend(added);
        Ok(result)
    }

    fn find(&mut self, reference: &PluginReference) -> Result<PluginId, ConfigurationError> {
        if let Some(index) = self.used.iter().position(|plugin| plugin.name() == reference.name) {
            return Ok(index as PluginId);
        }
        let found = self.available.iter().find(|plugin| plugin.name() == reference.name);
        let Some(plugin) = found else {
            let text = format!("there is no plugin named {:?}", reference.name);
            return Err(ConfigurationError::new("plugins", text));
        };
        if self.used.len() == 64 {
            return Err(ConfigurationError::new("plugins", "a profile can have 64 plugins"));
        }
        self.used.push(plugin.clone());
        Ok((self.used.len() - 1) as PluginId)
    }
}

/// Upstream's default plugins in order; weight 0 stands for 1 where a plugin scores.
fn default_plugins() -> Vec<PluginReference> {
    let weighted = |name: &str, weight| PluginReference { name: name.into(), weight };
    vec![
        weighted("SchedulingGates", 0),
        weighted("NodeUnschedulable", 0),
        weighted("NodeName", 0),
        weighted("TaintToleration", 3),
        weighted("NodeAffinity", 2),
        weighted("NodePorts", 0),
        weighted("NodeResourcesFit", 1),
        weighted("VolumeRestrictions", 0),
        weighted("NodeVolumeLimits", 0),
        weighted("VolumeBinding", 0),
        weighted("VolumeZone", 0),
        weighted("PodTopologySpread", 2),
        weighted("InterPodAffinity", 2),
        weighted("DynamicResources", 2),
        weighted("DefaultPreemption", 0),
        weighted("NodeResourcesBalancedAllocation", 1),
        weighted("ImageLocality", 1),
        weighted("DefaultBinder", 0),
    ]
}

/// A user's list merged into the defaults: an enabled entry that names a default replaces it in
/// place, other entries are appended, `disabled` removes (`*`: all defaults).
fn merged(defaults: &[PluginReference], selection: &PluginSelection) -> Vec<PluginReference> {
    let replacement = |name: &str| selection.enabled.iter().find(|reference| reference.name == name);
    let is_disabled = |name: &str| selection.disabled.iter().any(|other| other == "*" || other == name);
    let mut result: Vec<PluginReference> = Vec::new();
    for default in defaults {
        if !is_disabled(&default.name) {
            result.push(replacement(&default.name).unwrap_or(default).clone());
        }
    }
    for reference in &selection.enabled {
        if result.iter().all(|other| other.name != reference.name) {
            result.push(reference.clone());
        }
    }
    result
}
