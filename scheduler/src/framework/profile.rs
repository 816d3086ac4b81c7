//! Profiles: which plugins take part at which extension point, in which order, with which weight.

use std::sync::Arc;

use seatrial_api::symbol::Symbol;

use super::plugin::{Plugin, Points};
use crate::config::{
    ConfigurationError, PluginReference, PluginSelection, ProfileConfiguration, SchedulerConfiguration,
};
use crate::extender::ExtenderPlugin;
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
    /// The extenders as a plugin that rejects pods, if there are some.
    pub(crate) extender: Option<PluginId>,
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
        let available = Profile::available(configuration, profile, extra)?;
        let mut builder = Builder { available, used: Vec::new() };
        let multi_point = merged(&default_plugins(), &profile.plugins.multi_point);
        for (index, reference) in profile.plugins.multi_point.enabled.iter().enumerate() {
            builder.check(reference, "multiPoint", index)?;
        }
        let mut at = |name: &str, selection: &PluginSelection, takes_part: fn(Points) -> bool| {
            builder.at_point(&multi_point, name, selection, takes_part)
        };
        let selections = &profile.plugins;
        let pre_enqueue = at("preEnqueue", &selections.pre_enqueue, |points| points.pre_enqueue)?;
        let pre_filter = at("preFilter", &selections.pre_filter, |points| points.pre_filter)?;
        let filter = at("filter", &selections.filter, |points| points.filter)?;
        let post_filter = at("postFilter", &selections.post_filter, |points| points.post_filter)?;
        at("preScore", &selections.pre_score, |points| points.pre_score)?;
        let score = at("score", &selections.score, |points| points.score)?;
        let reserve = at("reserve", &selections.reserve, |points| points.reserve)?;
        at("permit", &selections.permit, |points| points.permit)?;
        let pre_bind = at("preBind", &selections.pre_bind, |points| points.pre_bind)?;
        let bind = at("bind", &selections.bind, |points| points.bind)?;
        if bind.is_empty() {
            return Err(ConfigurationError::new("plugins.bind", "at least one bind plugin is needed"));
        }
        let extender = (!configuration.extenders.is_empty()).then(|| {
            builder.used.push(Arc::new(ExtenderPlugin));
            (builder.used.len() - 1) as PluginId
        });
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
            extender,
        })
    }

    /// All profiles of a configuration.
    ///
    /// # Errors
    /// If there is none, if two have one name, or if one is not valid.
    pub fn all(
        configuration: &SchedulerConfiguration,
        extra: &[Arc<dyn Plugin>],
    ) -> Result<Vec<Profile>, ConfigurationError> {
        if configuration.profiles.is_empty() {
            return Err(ConfigurationError::new("profiles", "at least one profile is needed"));
        }
        let mut profiles: Vec<Profile> = Vec::new();
        for (index, profile) in configuration.profiles.iter().enumerate() {
            if profiles.iter().any(|other| other.scheduler_name == profile.scheduler_name) {
                let text = format!("there is another profile named {}", profile.scheduler_name);
                return Err(ConfigurationError::new("schedulerName", text).of_profile(index));
            }
            let built = Profile::new(configuration, profile, extra);
            profiles.push(built.map_err(|error| error.of_profile(index))?);
        }
        Ok(profiles)
    }

    /// The plugins that a profile can name, with their arguments.
    ///
    /// # Errors
    /// If an argument is out of range.
    pub(crate) fn available(
        configuration: &SchedulerConfiguration,
        profile: &ProfileConfiguration,
        extra: &[Arc<dyn Plugin>],
    ) -> Result<Vec<Arc<dyn Plugin>>, ConfigurationError> {
        let mut available = plugins::all(configuration, profile)?;
        available.extend(extra.iter().cloned());
        Ok(available)
    }

    /// Default plugins of upstream that can be named and change nothing: the queue is always sorted
    /// as PrioritySort sorts it.
    ///
    /// Model: features that nodes declare (NodeDeclaredFeatures) are not known, so no pod is kept off
    /// a node for their sake.
    pub(crate) const INERT_PLUGINS: &'static [&'static str] = &["PrioritySort", "NodeDeclaredFeatures"];

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
        point: &str,
        selection: &PluginSelection,
        takes_part: fn(Points) -> bool,
    ) -> Result<Vec<(PluginId, i64)>, ConfigurationError> {
        let mut overriding = Vec::new();
        let mut added = Vec::new();
        for (index, reference) in selection.enabled.iter().enumerate() {
            if !self.check(reference, point, index)? {
                continue;
            }
            let wrong = |text: String| Err(ConfigurationError::new(&path_of(point, index), text));
            let plugin = self.find(reference)?;
            if !takes_part(self.used[usize::from(plugin)].points()) {
                return wrong(format!("plugin {:?} takes no part in this extension point", reference.name));
            }
            let entry = (plugin, reference.effective_weight());
            if overriding.iter().chain(&added).any(|other: &(PluginId, i64)| other.0 == plugin) {
                return wrong(format!("plugin {:?} is enabled twice", reference.name));
            }
            let overrides = multi_point.iter().any(|multi| multi.name == reference.name);
            if overrides { overriding.push(entry) } else { added.push(entry) }
        }
        let mut result = overriding;
        for reference in multi_point.iter().filter(|reference| !is_inert(&reference.name)) {
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

    /// Whether a plugin does something here; an error if there is no such plugin.
    fn check(
        &self,
        reference: &PluginReference,
        point: &str,
        index: usize,
    ) -> Result<bool, ConfigurationError> {
        let known = self.available.iter().any(|plugin| plugin.name() == reference.name);
        match (known, is_inert(&reference.name)) {
            (false, false) => {
                let text = format!("there is no plugin named {:?}", reference.name);
                Err(ConfigurationError::new(&path_of(point, index), text))
            }
            (known, _) => Ok(known),
        }
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
        if self.used.len() == 63 {
            return Err(ConfigurationError::new("plugins", "a profile can have 63 plugins"));
        }
        self.used.push(plugin.clone());
        Ok((self.used.len() - 1) as PluginId)
    }
}

fn path_of(point: &str, index: usize) -> String {
    format!("plugins.{point}.enabled[{index}].name")
}

fn is_inert(name: &str) -> bool {
    Profile::INERT_PLUGINS.contains(&name)
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
