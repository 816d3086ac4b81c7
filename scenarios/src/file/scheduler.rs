//! `KubeSchedulerConfiguration`, the file of the real kube-scheduler. As there, unknown fields are
//! errors.

use std::sync::Arc;

use seatrial_api::document::{
    Diagnostic, Diagnostics, DuplicateKeys, FieldPath, Node, Position, read_documents,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_scheduler::Scheduler;
use seatrial_scheduler::config::{
    ClientRate, PluginArguments, PluginReference, PluginSelection, PluginSelections, ProfileConfiguration,
    SchedulerConfiguration,
};

use super::scheduler_args::PluginConfig;
use crate::schema::{Definitions, Field, JsonSchema, Reader, Text, choice, record};

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
        percentage("percentageOfNodesToScore"): Option<u32>,
        /// The first back-off of a pod.
        initial_backoff("podInitialBackoffSeconds"): u32 = "1",
        /// The longest back-off of a pod.
        max_backoff("podMaxBackoffSeconds"): u32 = "10",
        /// The profiles.
        profiles("profiles"): Vec<ProfileField>,
        /// Extenders.
        _extenders("extenders"): Vec<Unsupported>,
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

/// A setting of the real scheduler's process that has nothing to act on here: it is warned about.
#[derive(Clone, Debug)]
pub(crate) struct NoEffect;

impl Field for NoEffect {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<NoEffect> {
        reader.warning(node.position, path, |warning| {
            warning.message("the setting is about the real scheduler's process and has no effect here")
        });
        Some(NoEffect)
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

/// Something that the real scheduler can do and this one cannot.
#[derive(Clone, Debug)]
pub(crate) struct Unsupported;

impl Field for Unsupported {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Unsupported> {
        reader
            .error(node.position, path, |error| error.message("this is not supported").hint("leave it out"));
        None
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

record! {
    /// The connection to the API server.
    pub(crate) struct ClientConnection {
        /// Requests per second.
        qps("qps"): f64 = "50",
        /// Requests at once.
        burst("burst"): u32 = "100",
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
        /// The name by which pods choose it.
        name("schedulerName"): Text = "default-scheduler",
        /// How many nodes are scored, in percent.
        percentage("percentageOfNodesToScore"): Option<u32>,
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
        /// QueueSort.
        _queue_sort("queueSort"): Option<Unsupported>,
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
        /// PostBind.
        _post_bind("postBind"): Option<Unsupported>,
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
        weight("weight"): u32 = "0",
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
    let read = KubeSchedulerConfiguration::read(root, &FieldPath::ROOT, &mut Reader::new(&file, findings))?;
    let configuration = read.configuration();
    // The scheduler itself judges what plugins there are and what arguments they take.
    if let Err(problem) = Scheduler::new(configuration.clone()) {
        let error = Diagnostic::error(&file, root.position, &FieldPath::ROOT);
        findings.push(error.message(problem.to_string()));
        return None;
    }
    Some(configuration)
}

impl KubeSchedulerConfiguration {
    pub(crate) fn configuration(&self) -> SchedulerConfiguration {
        let seconds = |seconds: u32| Span::from_secs(i64::from(seconds));
        let mut configuration = SchedulerConfiguration {
            percentage_of_nodes_to_score: self.percentage.map(|percentage| percentage as i32),
            pod_initial_backoff: seconds(self.initial_backoff),
            pod_max_backoff: seconds(self.max_backoff),
            ..SchedulerConfiguration::default()
        };
        if let Some(client) = &self.client {
            // A negative rate is upstream's way to write that there is no limit.
            configuration.client = match client.qps < 0.0 {
                true => ClientRate::Unlimited,
                false => ClientRate::Limited { qps: client.qps as i64, burst: i64::from(client.burst) },
            };
        }
        if !self.profiles.is_empty() {
            configuration.profiles = self.profiles.iter().map(ProfileField::profile).collect();
        }
        configuration
    }
}

impl ProfileField {
    fn profile(&self) -> ProfileConfiguration {
        let mut arguments = PluginArguments::default();
        self.plugin_config.iter().for_each(|config| config.apply(&mut arguments));
        ProfileConfiguration {
            scheduler_name: Symbol::new(&self.name.0),
            percentage_of_nodes_to_score: self.percentage.map(|percentage| percentage as i32),
            plugins: self.plugins.as_ref().map_or_else(PluginSelections::default, PluginsField::selections),
            arguments,
        }
    }
}

impl PluginsField {
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
        let reference = |plugin: &EnabledPlugin| PluginReference {
            name: plugin.name.0.clone(),
            weight: i64::from(plugin.weight),
        };
        PluginSelection {
            enabled: self.enabled.iter().map(reference).collect(),
            disabled: self.disabled.iter().map(|plugin| plugin.name.0.clone()).collect(),
        }
    }
}
