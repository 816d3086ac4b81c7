//! Arguments of the scheduler's plugins, as `KubeSchedulerConfiguration` has them.

use std::marker::PhantomData;
use std::sync::Arc;

use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Entry, FieldPath, Mapping, Node, Value};
use seatrial_api::pod::PodSpec;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_api::version::KubernetesVersion;
use seatrial_scheduler::config::{
    AddedAffinity, DefaultConstraints, NodeResourcesFitArgs, PluginArguments, ResourceWeight,
    ScoringStrategy, ShapePoint,
};

use super::scheduler::SchedulerApiVersion;
use crate::schema::{Definitions, Field, JsonSchema, Placed, Reader, Text, choice, record, wrong_word};

/// Arguments of one plugin.
#[derive(Clone, Debug)]
pub(crate) enum PluginConfig {
    Fit(FitArgs),
    Balanced(BalancedArgs),
    InterPodAffinity(InterPodAffinityArgs),
    NodeAffinity(NodeAffinityArgs),
    TopologySpread(TopologySpreadArgs),
    Preemption(DefaultPreemptionArgs),
    VolumeBinding(VolumeBindingArgs),
}

const CONFIGURABLE: [&str; 7] = [
    "NodeResourcesFit",
    "NodeResourcesBalancedAllocation",
    "InterPodAffinity",
    "NodeAffinity",
    "PodTopologySpread",
    "DefaultPreemption",
    "VolumeBinding",
];

impl Field for PluginConfig {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<PluginConfig> {
        let fields = reader.mapping(node, path, &["name", "args"])?;
        let name: Option<Placed<Text>> = fields.take("name", None, reader);
        fields.check(&[], reader)?;
        let name = name?;
        let (args, path) = (node.get("args").unwrap_or(node), path.key("args"));
        Some(match name.value.0.as_str() {
            "NodeResourcesFit" => PluginConfig::Fit(Field::read(args, &path, reader)?),
            "NodeResourcesBalancedAllocation" => PluginConfig::Balanced(Field::read(args, &path, reader)?),
            "InterPodAffinity" => PluginConfig::InterPodAffinity(Field::read(args, &path, reader)?),
            "NodeAffinity" => PluginConfig::NodeAffinity(Field::read(args, &path, reader)?),
            "PodTopologySpread" => PluginConfig::TopologySpread(Field::read(args, &path, reader)?),
            "DefaultPreemption" => PluginConfig::Preemption(Field::read(args, &path, reader)?),
            "VolumeBinding" => PluginConfig::VolumeBinding(Field::read(args, &path, reader)?),
            _ => {
                let name = Node { value: Value::String(name.value.0.clone()), position: name.position };
                return wrong_word(&name, &fields.key("name"), reader, &CONFIGURABLE);
            }
        })
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("object")
    }
}

record! {
    /// A resource with its weight in a score.
    pub(crate) struct WeightedResource {
        /// The resource.
        name("name"): Text,
        /// Its weight, from 1 to 100.
        weight("weight"): u32 = "1",
    }
}

record! {
    /// Arguments of NodeResourcesFit.
    pub(crate) struct FitArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// Extended resources that the filter leaves out.
        ignored_resources("ignoredResources"): Vec<Text>,
        /// Groups of extended resources that the filter leaves out.
        ignored_groups("ignoredResourceGroups"): Vec<Text>,
        /// How it scores.
        strategy("scoringStrategy"): Option<StrategyField>,
    }
}

record! {
    /// How NodeResourcesFit scores.
    pub(crate) struct StrategyField {
        /// The strategy.
        kind("type"): StrategyWord,
        /// Over which resources; cpu and memory if absent.
        resources("resources"): Vec<WeightedResource>,
        /// The shape of RequestedToCapacityRatio.
        ratio("requestedToCapacityRatio"): Option<RatioField>,
    }
}

choice! {
    /// A strategy of NodeResourcesFit.
    pub(crate) enum StrategyWord {
        /// The emptier the better.
        LeastAllocated = "LeastAllocated",
        /// The fuller the better.
        MostAllocated = "MostAllocated",
        /// By a shape over utilisation.
        RequestedToCapacityRatio = "RequestedToCapacityRatio",
    }
}

record! {
    /// Parameters of RequestedToCapacityRatio.
    pub(crate) struct RatioField {
        /// The shape.
        shape("shape"): Vec<ShapeField>,
    }
}

record! {
    /// A point of a shape.
    pub(crate) struct ShapeField {
        /// Utilisation in percent.
        utilization("utilization"): u32,
        /// Score from 0 to 10.
        score("score"): u32,
    }
}

record! {
    /// Arguments of NodeResourcesBalancedAllocation.
    pub(crate) struct BalancedArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// Its resources.
        resources("resources"): Vec<WeightedResource>,
    }
}

record! {
    /// Arguments of InterPodAffinity.
    pub(crate) struct InterPodAffinityArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// The weight of existing pods' required affinity.
        weight("hardPodAffinityWeight"): u32 = "1",
        /// Whether preferences of existing pods are left out for pods without any.
        ignore("ignorePreferredTermsOfExistingPods"): bool = "false",
    }
}

record! {
    /// Arguments of NodeAffinity.
    pub(crate) struct NodeAffinityArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// Affinity that is added to every pod's own.
        added("addedAffinity"): Option<PartOfPod<InAffinity>>,
    }
}

record! {
    /// Arguments of PodTopologySpread.
    pub(crate) struct TopologySpreadArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// Constraints for pods that have none.
        constraints("defaultConstraints"): Option<PartOfPod<InSpread>>,
        /// Whether the default constraints are upstream's or those of the list.
        defaulting("defaultingType"): Option<DefaultingWord>,
    }
}

choice! {
    /// Where default constraints come from.
    pub(crate) enum DefaultingWord {
        /// Upstream's own.
        System = "System",
        /// The list.
        List = "List",
    }
}

record! {
    /// Arguments of DefaultPreemption.
    pub(crate) struct DefaultPreemptionArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// How many of the nodes that come into question are tried, in percent.
        percentage("minCandidateNodesPercentage"): u32 = "10",
        /// At least so many.
        absolute("minCandidateNodesAbsolute"): u32 = "100",
    }
}

record! {
    /// Arguments of VolumeBinding.
    pub(crate) struct VolumeBindingArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// How long binding may take.
        timeout("bindTimeoutSeconds"): u32 = "600",
    }
}

/// A part of a configuration that is written like a part of a pod, and read as one.
#[derive(Clone, Debug)]
pub(crate) struct PartOfPod<P> {
    spec: Arc<PodSpec>,
    place: PhantomData<P>,
}

/// Where in a pod a part stands.
pub(crate) trait PlaceInPod {
    /// The keys from the specification down.
    const KEYS: &'static [&'static str];
}

/// `affinity.nodeAffinity`.
#[derive(Clone, Debug)]
pub(crate) struct InAffinity;

/// `topologySpreadConstraints`.
#[derive(Clone, Debug)]
pub(crate) struct InSpread;

impl PlaceInPod for InAffinity {
    const KEYS: &'static [&'static str] = &["affinity", "nodeAffinity"];
}

impl PlaceInPod for InSpread {
    const KEYS: &'static [&'static str] = &["topologySpreadConstraints"];
}

impl<P: PlaceInPod> Field for PartOfPod<P> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<PartOfPod<P>> {
        let mapping = |entries: Vec<(&str, Node)>| {
            let entry =
                |(key, value): (&str, Node)| Entry { key: key.into(), position: node.position, value };
            Node {
                value: Value::Mapping(Mapping::new(entries.into_iter().map(entry))),
                position: node.position,
            }
        };
        let text = |text: &str| Node { value: Value::String(text.into()), position: node.position };
        let container = mapping(vec![("name", text("c")), ("image", text("i"))]);
        let containers = Node { value: Value::Sequence([container].into()), position: node.position };
        let (first, inner) = P::KEYS.split_first()?;
        let part = inner.iter().rev().fold(node.clone(), |part, key| mapping(vec![(key, part)]));
        let spec = mapping(vec![("containers", containers), (first, part)]);
        let mut decoder = Decoder::new(Mode::State, Calendar::default(), KubernetesVersion::default());
        let spec = reader.decode(|file, findings| decoder.pod_spec(&spec, path, file, findings))?;
        Some(PartOfPod { spec, place: PhantomData })
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

impl PluginConfig {
    /// Sets the arguments of the plugin.
    pub(super) fn apply(&self, arguments: &mut PluginArguments) {
        match self {
            PluginConfig::Fit(args) => args.apply(&mut arguments.fit),
            PluginConfig::Balanced(args) if args.resources.is_empty() => {}
            PluginConfig::Balanced(args) => {
                arguments.balanced_resources =
                    args.resources.iter().map(|resource| Symbol::new(&resource.name.0)).collect();
            }
            PluginConfig::InterPodAffinity(args) => {
                arguments.hard_pod_affinity_weight = i64::from(args.weight);
                arguments.ignore_preferred_terms_of_existing_pods = args.ignore;
            }
            PluginConfig::NodeAffinity(args) => {
                let affinity = args.added.as_ref().and_then(|part| part.spec.affinity.as_ref());
                if let Some(affinity) = affinity {
                    arguments.added_affinity = AddedAffinity {
                        required: affinity.node.required.clone(),
                        preferred: affinity.node.preferred.clone(),
                    };
                }
            }
            PluginConfig::TopologySpread(args) => {
                let list = args.constraints.as_ref().map(|part| part.spec.topology_spread.to_vec());
                arguments.default_constraints = match (args.defaulting, list) {
                    (Some(DefaultingWord::List), list) => DefaultConstraints::List(list.unwrap_or_default()),
                    (None, Some(list)) => DefaultConstraints::List(list),
                    (Some(DefaultingWord::System) | None, _) => DefaultConstraints::System,
                };
            }
            PluginConfig::Preemption(args) => {
                arguments.preemption.min_candidate_nodes_percentage = args.percentage as i32;
                arguments.preemption.min_candidate_nodes_absolute = args.absolute as i32;
            }
            PluginConfig::VolumeBinding(args) => {
                arguments.volume_bind_timeout = Span::from_secs(i64::from(args.timeout));
            }
        }
    }
}

impl FitArgs {
    fn apply(&self, fit: &mut NodeResourcesFitArgs) {
        fit.ignored_resources = self.ignored_resources.iter().map(|Text(name)| Symbol::new(name)).collect();
        fit.ignored_resource_groups = self.ignored_groups.iter().map(|Text(name)| name.clone()).collect();
        let Some(strategy) = &self.strategy else { return };
        if !strategy.resources.is_empty() {
            let weighted = |resource: &WeightedResource| ResourceWeight {
                name: Symbol::new(&resource.name.0),
                weight: i64::from(resource.weight),
            };
            fit.resources = strategy.resources.iter().map(weighted).collect();
        }
        let point = |point: &ShapeField| ShapePoint {
            utilization: i64::from(point.utilization),
            score: i64::from(point.score),
        };
        fit.strategy = match strategy.kind {
            StrategyWord::LeastAllocated => ScoringStrategy::LeastAllocated,
            StrategyWord::MostAllocated => ScoringStrategy::MostAllocated,
            StrategyWord::RequestedToCapacityRatio => {
                let shape = strategy.ratio.iter().flat_map(|ratio| &ratio.shape);
                ScoringStrategy::RequestedToCapacityRatio(shape.map(point).collect())
            }
        };
    }
}
