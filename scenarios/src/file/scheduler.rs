//! `KubeSchedulerConfiguration`, the file of the real kube-scheduler. As there, unknown fields are
//! errors.

use std::sync::Arc;

use seatrial_api::document::{
    Diagnostic, Diagnostics, DuplicateKeys, FieldPath, Node, Position, Sequence, read_documents,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_scheduler::config::{
    ClientRate, PluginArguments, PluginReference, PluginSelection, PluginSelections, ProfileConfiguration,
    SchedulerConfiguration,
};
use seatrial_scheduler::{ConfigurationError, Scheduler};

use super::extender::ExtenderField;
use super::scheduler_args::PluginConfig;
use super::scheduler_common::{NoEffect, PostBindSet, Qps, QueueSortSet, Unsupported, Whole, place};
use crate::schema::{Field, Reader, Text, choice, record};

/// The longest span that upstream's seconds can say, in seconds.
pub(super) const SECONDS_MAX: i64 = i64::MAX / 1_000_000_000;

record! {
    /// The configuration of a kube-scheduler.
    pub(crate) struct KubeSchedulerConfiguration {
        /// The version of the format.
        _api_version("apiVersion"): SchedulerApiVersion,
        /// The kind of file.
        _kind("kind"): SchedulerKind,
        /// The rate limit of requests.
        client("clientConnection"): Option<ClientConnection>,
        /// How many nodes are scored, in percent; 0 for the adaptive rule.
        percentage("percentageOfNodesToScore"): Option<Whole<0, 100>>,
        /// The first back-off of a pod.
        initial_backoff("podInitialBackoffSeconds"): Whole<1, SECONDS_MAX> = "1",
        /// The longest back-off of a pod.
        max_backoff("podMaxBackoffSeconds"): Whole<1, SECONDS_MAX> = "10",
        /// The profiles.
        profiles("profiles"): Vec<ProfileField>,
        /// Extenders.
        extenders("extenders"): Vec<ExtenderField>,
        /// Workers of the real scheduler.
        _parallelism("parallelism"): Option<NoEffect>,
        /// Leader election of the real scheduler.
        _leader_election("leaderElection"): Option<NoEffect>,
        /// Profiling of the real scheduler.
        _profiling("enableProfiling"): Option<NoEffect>,
        /// Profiling of the real scheduler.
        _contention_profiling("enableContentionProfiling"): Option<NoEffect>,
        /// An address of the real scheduler.
        _healthz("healthzBindAddress"): Option<NoEffect>,
        /// An address of the real scheduler.
        _metrics("metricsBindAddress"): Option<NoEffect>,
        /// A cache of the real scheduler.
        _delay_cache("delayCacheUntilActive"): Option<NoEffect>,
    }
}

choice! {
    /// The version of the format.
    pub(crate) enum SchedulerApiVersion {
        /// The present version.
        V1 = "kubescheduler.config.k8s.io/v1",
    }
}

choice! {
    /// The kind of file.
    pub(crate) enum SchedulerKind {
        /// A scheduler's configuration.
        KubeSchedulerConfiguration = "KubeSchedulerConfiguration",
    }
}

record! {
    /// The connection to the API server.
    pub(crate) struct ClientConnection {
        /// Requests per second.
        qps("qps"): Qps = "50",
        /// Requests at once; 0 for 100.
        burst("burst"): Whole<0, { i32::MAX as i64 }> = "100",
        /// A file of the real scheduler.
        _kubeconfig("kubeconfig"): Option<NoEffect>,
        /// A format on the wire.
        _accept("acceptContentTypes"): Option<NoEffect>,
        /// A format on the wire.
        _content_type("contentType"): Option<NoEffect>,
    }
}

record! {
    /// A profile.
    pub(crate) struct ProfileField {
        /// The name by which pods choose it; `default-scheduler` if it is the only profile.
        name("schedulerName"): Option<Text>,
        /// How many nodes are scored, in percent.
        percentage("percentageOfNodesToScore"): Option<Whole<0, 100>>,
        /// Which plugins take part.
        plugins("plugins"): Option<PluginsField>,
        /// Arguments of plugins.
        plugin_config("pluginConfig"): Vec<PluginConfig>,
    }
}

record! {
    /// Which plugins take part at each extension point.
    pub(crate) struct PluginsField {
        /// At all points in which they take part.
        multi_point("multiPoint"): Option<PluginSet>,
        /// PreEnqueue.
        pre_enqueue("preEnqueue"): Option<PluginSet>,
        /// QueueSort: PrioritySort, and no other.
        _queue_sort("queueSort"): Option<QueueSortSet>,
        /// PreFilter.
        pre_filter("preFilter"): Option<PluginSet>,
        /// Filter.
        filter("filter"): Option<PluginSet>,
        /// PostFilter.
        post_filter("postFilter"): Option<PluginSet>,
        /// PreScore.
        pre_score("preScore"): Option<PluginSet>,
        /// Score.
        score("score"): Option<PluginSet>,
        /// Reserve.
        reserve("reserve"): Option<PluginSet>,
        /// Permit.
        permit("permit"): Option<PluginSet>,
        /// PreBind.
        pre_bind("preBind"): Option<PluginSet>,
        /// Bind.
        bind("bind"): Option<PluginSet>,
        /// PostBind, in which no plugin takes part.
        _post_bind("postBind"): Option<PostBindSet>,
        /// A part of gang scheduling.
        _placement_generate("placementGenerate"): Option<Unsupported>,
        /// A part of gang scheduling.
        _placement_score("placementScore"): Option<Unsupported>,
    }
}

record! {
    /// Plugins at an extension point.
    pub(crate) struct PluginSet {
        /// Plugins to enable, in order.
        enabled("enabled"): Vec<EnabledPlugin>,
        /// Plugins to disable; `*` for all.
        disabled("disabled"): Vec<NamedPlugin>,
    }
}

record! {
    /// A plugin that takes part.
    pub(crate) struct EnabledPlugin {
        /// Its name.
        name("name"): Text,
        /// The weight of its score; 0 stands for 1.
        weight("weight"): Whole<0, { i32::MAX as i64 }> = "0",
    }
}

record! {
    /// A plugin by name.
    pub(crate) struct NamedPlugin {
        /// Its name.
        name("name"): Text,
    }
}

/// Reads a scheduler's configuration, of which only what the file says differs from upstream's
/// defaults. `None` if it cannot be used, which `findings` say.
pub fn read_scheduler_configuration(
    file: &str,
    bytes: &[u8],
    findings: &mut Diagnostics,
) -> Option<SchedulerConfiguration> {
    let documents = read_documents(file, bytes, DuplicateKeys::Refused, findings);
    if findings.has_errors() {
        return None;
    }
    let file: Arc<str> = file.into();
    let [root] = documents.as_slice() else {
        let error = Diagnostic::error(&file, Position::START, &FieldPath::ROOT);
        findings
            .push(error.expected("one KubeSchedulerConfiguration", format!("{} documents", documents.len())));
        return None;
    };
    configuration(root, &FieldPath::ROOT, &mut Reader::new(&file, findings))
}

/// Reads the configuration that stands at `root`.
pub(crate) fn configuration(
    root: &Node,
    path: &FieldPath<'_>,
    reader: &mut Reader<'_>,
) -> Option<SchedulerConfiguration> {
    let read = KubeSchedulerConfiguration::read(root, path, reader)?;
    KubeSchedulerConfiguration::check_arguments(root, path, reader)?;
    let configuration = read.configuration(root, path, reader)?;
    read.warn_of_unknown(root, path, reader);
    // The scheduler itself judges what plugins there are and what arguments they take.
    match Scheduler::check(&configuration) {
        Ok(()) => Some(configuration),
        Err(problem) => {
            refuse(root, path, &problem, reader);
            None
        }
    }
}

/// Says what is wrong with the configuration at `root`.
pub(crate) fn refuse(
    root: &Node,
    path: &FieldPath<'_>,
    problem: &ConfigurationError,
    reader: &mut Reader<'_>,
) {
    place::say(root, path, &problem.field, &problem.message, reader);
}

impl KubeSchedulerConfiguration {
    fn configuration(
        &self,
        root: &Node,
        path: &FieldPath<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<SchedulerConfiguration> {
        let mut configuration = SchedulerConfiguration {
            percentage_of_nodes_to_score: self.percentage.map(|percentage| percentage.0 as i32),
            pod_initial_backoff: Span::from_secs(self.initial_backoff.0),
            pod_max_backoff: Span::from_secs(self.max_backoff.0),
            extenders: self.extenders.iter().map(ExtenderField::configuration).collect(),
            ..SchedulerConfiguration::default()
        };
        if let Some(client) = &self.client {
            let burst = if client.burst.0 == 0 { 100 } else { client.burst.0 };
            configuration.client = match client.qps {
                Qps::Unlimited => ClientRate::Unlimited,
                Qps::PerSecond(qps) => ClientRate::Limited { qps, burst },
            };
        }
        if !self.profiles.is_empty() {
            configuration.profiles.clear();
        }
        for (index, profile) in self.profiles.iter().enumerate() {
            // Several profiles have no default name, as upstream.
            if profile.name.is_none() && self.profiles.len() > 1 {
                let profiles = root.get("profiles").and_then(Node::as_sequence);
                let profile = profiles.and_then(|profiles| profiles.get(index));
                reader.error(
                    profile.map_or(root.position, |profile| profile.position),
                    &path.key("profiles").index(index).key("schedulerName"),
                    |error| {
                        error.message("the field is needed where there are several profiles, and missing")
                    },
                );
                return None;
            }
            configuration.profiles.push(profile.profile());
        }
        Some(configuration)
    }

    /// Whether no plugin has its arguments twice.
    fn check_arguments(root: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<()> {
        let mut good = true;
        let list = |node: &Node, key: &str| node.get(key).and_then(Node::as_sequence).map(Sequence::to_vec);
        for (index, profile) in list(root, "profiles").unwrap_or_default().iter().enumerate() {
            let mut seen: Vec<String> = Vec::new();
            for (entry, config) in list(profile, "pluginConfig").unwrap_or_default().iter().enumerate() {
                let name = config.get("name").and_then(Node::as_str).unwrap_or_default();
                if seen.iter().any(|other| other == name) {
                    let field = format!("profiles[{index}].pluginConfig[{entry}].name");
                    place::say(root, path, &field, &format!("{name} has its arguments already"), reader);
                    good = false;
                }
                seen.push(name.to_owned());
            }
        }
        good.then_some(())
    }

    /// Warns of disabled plugins that do not exist: nothing is switched off by them.
    fn warn_of_unknown(&self, root: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) {
        let known = Scheduler::plugin_names();
        for (index, profile) in self.profiles.iter().enumerate() {
            for (point, set) in profile.plugins.iter().flat_map(PluginsField::sets) {
                for (entry, plugin) in set.disabled.iter().enumerate() {
                    let name = plugin.name.0.as_str();
                    if name == "*" || known.contains(&name) {
                        continue;
                    }
                    let field = format!("profiles[{index}].plugins.{point}.disabled[{entry}].name");
                    place::warn(root, path, &field, &format!("there is no plugin named {name:?}"), reader);
                }
            }
        }
    }
}

impl ProfileField {
    fn profile(&self) -> ProfileConfiguration {
        let mut arguments = PluginArguments::default();
        self.plugin_config.iter().for_each(|config| config.apply(&mut arguments));
        let name = self.name.as_ref().map_or("default-scheduler", |name| name.0.as_str());
        ProfileConfiguration {
            scheduler_name: Symbol::new(name),
            percentage_of_nodes_to_score: self.percentage.map(|percentage| percentage.0 as i32),
            plugins: self.plugins.as_ref().map_or_else(PluginSelections::default, PluginsField::selections),
            arguments,
        }
    }
}

impl PluginsField {
    /// The sets by the names of their points.
    fn sets(&self) -> impl Iterator<Item = (&'static str, &PluginSet)> {
        let sets = [
            ("multiPoint", &self.multi_point),
            ("preEnqueue", &self.pre_enqueue),
            ("preFilter", &self.pre_filter),
            ("filter", &self.filter),
            ("postFilter", &self.post_filter),
            ("preScore", &self.pre_score),
            ("score", &self.score),
            ("reserve", &self.reserve),
            ("permit", &self.permit),
            ("preBind", &self.pre_bind),
            ("bind", &self.bind),
        ];
        sets.into_iter().filter_map(|(point, set)| Some((point, set.as_ref()?)))
    }

    fn selections(&self) -> PluginSelections {
        let selection =
            |set: &Option<PluginSet>| set.as_ref().map_or_else(Default::default, PluginSet::selection);
        PluginSelections {
            multi_point: selection(&self.multi_point),
            pre_enqueue: selection(&self.pre_enqueue),
            pre_filter: selection(&self.pre_filter),
            filter: selection(&self.filter),
            post_filter: selection(&self.post_filter),
            pre_score: selection(&self.pre_score),
            score: selection(&self.score),
            reserve: selection(&self.reserve),
            permit: selection(&self.permit),
            pre_bind: selection(&self.pre_bind),
            bind: selection(&self.bind),
        }
    }
}

impl PluginSet {
    fn selection(&self) -> PluginSelection {
        let reference =
            |plugin: &EnabledPlugin| PluginReference { name: plugin.name.0.clone(), weight: plugin.weight.0 };
        PluginSelection {
            enabled: self.enabled.iter().map(reference).collect(),
            disabled: self.disabled.iter().map(|plugin| plugin.name.0.clone()).collect(),
        }
    }
}
