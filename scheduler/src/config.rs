//! The scheduler's configuration: `KubeSchedulerConfiguration` as types, and what upstream leaves
//! to the machine it runs on.

use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::labels::Selector;
use seatrial_api::scheduling::{NodeSelectorTerm, PreferredNode, TopologySpreadConstraint};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_api::version::KubernetesVersion;

use crate::extender::ExtenderCalls;
use crate::fragmentation::{Fragmentation, TypicalPod};
use crate::framework::Plugin;

/// What is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationError {
    /// The field's path in a `KubeSchedulerConfiguration`, as in
    /// `profiles[0].plugins.score.enabled[2].name`; arguments by the name of their plugin, as in
    /// `profiles[0].pluginConfig[NodeResourcesFit].args.scoringStrategy`.
    pub field: CompactString,
    /// What was found and what would be right.
    pub message: String,
}

impl ConfigurationError {
    pub(crate) fn new(field: &str, message: impl Into<String>) -> ConfigurationError {
        ConfigurationError { field: field.into(), message: message.into() }
    }

    /// The same error about a field of the profile at `index`.
    pub(crate) fn of_profile(self, index: usize) -> ConfigurationError {
        ConfigurationError { field: compact_str::format_compact!("profiles[{index}].{}", self.field), ..self }
    }
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for ConfigurationError {}

/// A plugin by name, with its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginReference {
    /// The name.
    pub name: CompactString,
    /// The weight of its score; 0 stands for 1.
    pub weight: i64,
}

impl PluginReference {
    /// A plugin with weight 1.
    pub fn named(name: &str) -> PluginReference {
        PluginReference { name: name.into(), weight: 0 }
    }

    pub(crate) fn effective_weight(&self) -> i64 {
        if self.weight == 0 { 1 } else { self.weight }
    }
}

/// Which plugins take part at an extension point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSelection {
    /// Plugins to enable, in order.
    pub enabled: Vec<PluginReference>,
    /// Plugins to disable; `*` for all.
    pub disabled: Vec<CompactString>,
}

/// Which plugins take part at all extension points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSelections {
    /// At every point in which they take part.
    pub multi_point: PluginSelection,
    /// PreEnqueue.
    pub pre_enqueue: PluginSelection,
    /// PreFilter.
    pub pre_filter: PluginSelection,
    /// Filter.
    pub filter: PluginSelection,
    /// PostFilter.
    pub post_filter: PluginSelection,
    /// PreScore.
    pub pre_score: PluginSelection,
    /// Score.
    pub score: PluginSelection,
    /// Reserve.
    pub reserve: PluginSelection,
    /// Permit.
    pub permit: PluginSelection,
    /// PreBind.
    pub pre_bind: PluginSelection,
    /// Bind.
    pub bind: PluginSelection,
}

/// A resource with the weight that it has in a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceWeight {
    /// The resource's name.
    pub name: Symbol,
    /// 1 to 100.
    pub weight: i64,
}

/// A point of the shape of RequestedToCapacityRatio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapePoint {
    /// Utilisation in per cent, rising from point to point.
    pub utilization: i64,
    /// Score from 0 to 10.
    pub score: i64,
}

/// How NodeResourcesFit scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScoringStrategy {
    /// The emptier the better.
    LeastAllocated,
    /// The fuller the better.
    MostAllocated,
    /// By a shape over utilisation.
    RequestedToCapacityRatio(Vec<ShapePoint>),
}

/// Arguments of NodeResourcesFit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeResourcesFitArgs {
    /// Extended resources that the filter leaves out.
    pub ignored_resources: Vec<Symbol>,
    /// Groups (the part before the slash) of extended resources that the filter leaves out.
    pub ignored_resource_groups: Vec<CompactString>,
    /// How it scores.
    pub strategy: ScoringStrategy,
    /// Over which resources.
    pub resources: Vec<ResourceWeight>,
}

/// Where PodTopologySpread takes constraints from for pods that have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DefaultConstraints {
    /// Upstream's own: by host with skew 3 and by zone with skew 5, as a preference.
    #[default]
    System,
    /// These; their selectors are not read.
    List(Vec<TopologySpreadConstraint>),
}

/// Affinity that NodeAffinity adds to every pod's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedAffinity {
    /// Required terms; absent if there is no requirement.
    pub required: Option<Box<[NodeSelectorTerm]>>,
    /// Preferred terms.
    pub preferred: Box<[PreferredNode]>,
}

/// Arguments of DefaultPreemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreemptionArgs {
    /// How many of the nodes that come into question are tried, in per cent.
    pub min_candidate_nodes_percentage: i32,
    /// At least so many.
    pub min_candidate_nodes_absolute: i32,
}

/// Which device a pod gets that shares a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fullest one that fits.
    #[default]
    Tightest,
    /// Any that fits.
    Random,
    /// The one on which fragmentation grows least.
    Fragmentation,
}

/// Arguments of Open-Gpu-Share and of the policies that know GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuSharingArgs {
    /// Which device a pod gets that shares one.
    pub devices: DeviceChoice,
    /// The typical pods against which fragmentation is measured; learnt from the pods that arrive if
    /// there are none.
    pub typical_pods: Arc<[TypicalPod]>,
}

impl GpuSharingArgs {
    /// The measure of fragmentation, if typical pods are given.
    pub(crate) fn fragmentation(&self) -> Option<Arc<Fragmentation>> {
        (!self.typical_pods.is_empty()).then(|| Arc::new(Fragmentation::new(&self.typical_pods)))
    }
}

/// Arguments of the plugins of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginArguments {
    /// NodeResourcesFit.
    pub fit: NodeResourcesFitArgs,
    /// NodeResourcesBalancedAllocation: its resources.
    pub balanced_resources: Vec<Symbol>,
    /// PodTopologySpread.
    pub default_constraints: DefaultConstraints,
    /// InterPodAffinity: the weight of existing pods' required affinity terms, 0 to 100.
    pub hard_pod_affinity_weight: i64,
    /// InterPodAffinity: whether preferences of existing pods are left out for pods without any.
    pub ignore_preferred_terms_of_existing_pods: bool,
    /// NodeAffinity.
    pub added_affinity: AddedAffinity,
    /// DefaultPreemption.
    pub preemption: PreemptionArgs,
    /// VolumeBinding: how long binding may take.
    pub volume_bind_timeout: Span,
    /// Open-Gpu-Share and FGDScore.
    pub gpu_sharing: GpuSharingArgs,
}

impl Default for PluginArguments {
    fn default() -> PluginArguments {
        let [cpu, memory] = ["cpu", "memory"].map(Symbol::new);
        PluginArguments {
            fit: NodeResourcesFitArgs {
                ignored_resources: Vec::new(),
                ignored_resource_groups: Vec::new(),
                strategy: ScoringStrategy::LeastAllocated,
                resources: vec![
                    ResourceWeight { name: cpu, weight: 1 },
                    ResourceWeight { name: memory, weight: 1 },
                ],
            },
            balanced_resources: vec![cpu, memory],
            default_constraints: DefaultConstraints::System,
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
            added_affinity: AddedAffinity::default(),
            preemption: PreemptionArgs {
                min_candidate_nodes_percentage: 10,
                min_candidate_nodes_absolute: 100,
            },
            volume_bind_timeout: Span::from_secs(600),
            gpu_sharing: GpuSharingArgs::default(),
        }
    }
}

/// One profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileConfiguration {
    /// The name by which pods choose it.
    pub scheduler_name: Symbol,
    /// How many nodes are scored, in per cent; absent for the scheduler's value.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Which plugins take part.
    pub plugins: PluginSelections,
    /// Their arguments.
    pub arguments: PluginArguments,
}

impl Default for ProfileConfiguration {
    fn default() -> ProfileConfiguration {
        ProfileConfiguration {
            scheduler_name: Symbol::new("default-scheduler"),
            percentage_of_nodes_to_score: None,
            plugins: PluginSelections::default(),
            arguments: PluginArguments::default(),
        }
    }
}

/// How ties between best nodes are broken. Upstream leaves it to goroutine timing since 1.35.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TieBreak {
    /// Uniformly, from the scheduler's random stream.
    #[default]
    Seeded,
    /// First in name order.
    First,
    /// What lies on top of the heap that upstream builds over the nodes in their order. That order
    /// is what goroutine timing leaves of it there, which in small clusters is all.
    Heap,
}

/// What a scheduling cycle costs in time. All zero makes scheduling instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostModel {
    /// A cycle by itself.
    pub cycle: Span,
    /// Each node that was filtered.
    pub per_node_filtered: Span,
    /// Each node that was scored.
    pub per_node_scored: Span,
    /// Factor for pods with hard spread constraints.
    pub hard_spread_factor: i64,
    /// Factor for pods with required anti-affinity.
    pub anti_affinity_factor: i64,
    /// Factor for pods with required affinity or namespace selectors.
    pub affinity_factor: i64,
}

impl CostModel {
    /// Scheduling takes no time.
    pub const INSTANT: CostModel = CostModel {
        cycle: Span::ZERO,
        per_node_filtered: Span::ZERO,
        per_node_scored: Span::ZERO,
        hard_spread_factor: 1,
        anti_affinity_factor: 1,
        affinity_factor: 1,
    };
}

impl Default for CostModel {
    /// Fits upstream's published throughput at 5,000 nodes.
    fn default() -> CostModel {
        CostModel {
            cycle: Span::from_micros(400),
            per_node_filtered: Span::from_micros(6),
            per_node_scored: Span::from_micros(2),
            hard_spread_factor: 2,
            anti_affinity_factor: 4,
            affinity_factor: 8,
        }
    }
}

/// The rate limit of the scheduler's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRate {
    /// None.
    Unlimited,
    /// A token bucket.
    Limited {
        /// Requests per second, at least 1.
        qps: i64,
        /// Requests at once, at least 1.
        burst: i64,
    },
}

/// In which order waiting pods are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueDiscipline {
    /// Upstream's PrioritySort: the highest priority first, then who entered the queue last longest
    /// ago.
    #[default]
    Priority,
    /// In the order of their creation, whatever their priority.
    Fifo,
    /// The shortest expected run time first; pods of which nobody knows it come last.
    ShortestJobFirst,
    /// The queue whose dominant share is smallest; a queue is a namespace, or what the label
    /// `kueue.x-k8s.io/queue-name` names. Within a queue as `Priority`.
    DominantResourceFairness,
    /// The job with the best combination of alignment and little work left: policy `tetris`.
    Tetris,
}

/// How long pods are expected to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTimeEstimate {
    /// In which namespaces; `None` for all.
    pub namespace: Option<Symbol>,
    /// Which pods; the first estimate that selects counts, and a pod's own annotation
    /// `seatrial.dev/expected-run-time` before all.
    pub selector: Selector,
    /// How long.
    pub run_time: Span,
}

/// How pods queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueConfiguration {
    /// In which order they are tried.
    pub discipline: QueueDiscipline,
    /// How long they are expected to run.
    pub run_times: Vec<RunTimeEstimate>,
    /// Whether and how groups of pods are placed as a whole.
    pub gangs: Option<GangConfiguration>,
}

/// How groups of pods are placed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GangConfiguration {
    /// How long pods of a group may hold room while others of it are tried, where its object does
    /// not say.
    pub timeout: Span,
    /// Which pods may pass a group that does not fit.
    pub backfill: Backfill,
}

/// Which pods may pass a group that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backfill {
    /// All that fit.
    #[default]
    Greedy,
    /// Those that do not delay the first such group, by what is known of run times.
    Easy,
}

impl Default for GangConfiguration {
    /// That of coscheduling, `permitWaitingTimeSeconds`.
    fn default() -> GangConfiguration {
        GangConfiguration { timeout: Span::from_secs(60), backfill: Backfill::Greedy }
    }
}

/// A resource that an extender manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedResource {
    /// Its name.
    pub name: Symbol,
    /// Whether NodeResourcesFit leaves it to the extender.
    pub ignored_by_scheduler: bool,
}

/// A service that is asked before a pod is placed. An empty verb is one that it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtenderConfiguration {
    /// Its address, `http://host:port/path`.
    pub url: CompactString,
    /// What is appended to ask which nodes are feasible.
    pub filter_verb: CompactString,
    /// What is appended to ask which victims of preemption are right.
    pub preempt_verb: CompactString,
    /// What is appended to ask how good nodes are.
    pub prioritize_verb: CompactString,
    /// What is appended to ask it to bind a pod.
    pub bind_verb: CompactString,
    /// The weight of its scores, positive if it has any.
    pub weight: i64,
    /// How long an answer may take.
    pub timeout: Span,
    /// Whether it is sent the names of nodes and not the nodes.
    pub node_cache_capable: bool,
    /// Resources in which it is interested; all pods are its business if there are none.
    pub managed_resources: Vec<ManagedResource>,
    /// Whether scheduling goes on without it if it does not answer.
    pub is_ignorable: bool,
}

/// The configuration of a scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerConfiguration {
    /// Whose behaviour is played.
    pub version: KubernetesVersion,
    /// The profiles, at least one.
    pub profiles: Vec<ProfileConfiguration>,
    /// How many nodes are scored, in per cent; absent or 0 for upstream's adaptive rule.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// The first back-off.
    pub pod_initial_backoff: Span,
    /// The longest back-off.
    pub pod_max_backoff: Span,
    /// Services that are asked before a pod is placed, in order.
    pub extenders: Vec<ExtenderConfiguration>,
    /// How they are reached. A configuration with extenders needs it, and what it decides cannot be
    /// reproduced.
    pub extender_calls: ExtenderCalls,
    /// The rate limit of requests.
    pub client: ClientRate,
    /// How ties are broken.
    pub ties: TieBreak,
    /// The seed of the random stream.
    pub seed: u64,
    /// What a cycle costs.
    pub cost: CostModel,
    /// How pods queue.
    pub queue: QueueConfiguration,
    /// Plugins that profiles can name besides those of this crate.
    pub plugins: OwnPlugins,
}

/// Plugins of one's own. Two are equal if their names are.
#[derive(Clone, Default)]
pub struct OwnPlugins(pub Vec<Arc<dyn Plugin>>);

impl OwnPlugins {
    fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|plugin| plugin.name())
    }
}

impl fmt::Debug for OwnPlugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl PartialEq for OwnPlugins {
    fn eq(&self, other: &OwnPlugins) -> bool {
        self.names().eq(other.names())
    }
}

impl Eq for OwnPlugins {}

impl Default for SchedulerConfiguration {
    fn default() -> SchedulerConfiguration {
        SchedulerConfiguration {
            version: KubernetesVersion::default(),
            profiles: vec![ProfileConfiguration::default()],
            percentage_of_nodes_to_score: None,
            pod_initial_backoff: Span::from_secs(1),
            pod_max_backoff: Span::from_secs(10),
            extenders: Vec::new(),
            extender_calls: ExtenderCalls::default(),
            client: ClientRate::Limited { qps: 50, burst: 100 },
            ties: TieBreak::Seeded,
            seed: 0,
            cost: CostModel::default(),
            queue: QueueConfiguration::default(),
            plugins: OwnPlugins::default(),
        }
    }
}
