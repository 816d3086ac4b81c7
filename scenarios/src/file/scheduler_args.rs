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

use super::scheduler::{SECONDS_MAX, SchedulerApiVersion};
use super::scheduler_common::{NoEffect, Unsupported, Whole};
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
    /// There are no such claims here that the arguments could be about.
    DynamicResources,
}

const CONFIGURABLE: [&str; 8] = [
    "NodeResourcesFit",
    "NodeResourcesBalancedAllocation",
    "InterPodAffinity",
    "NodeAffinity",
    "PodTopologySpread",
    "DefaultPreemption",
    "VolumeBinding",
    "DynamicResources",
];

impl Field for PluginConfig {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<PluginConfig> {
        let fields = reader.mapping(node, path, &["name", "args"])?;
        let name: Option<Placed<Text>> = fields.take("name", None, reader);
        fields.check(&[], reader)?;
        let name = name?;
        let nothing = Node { value: Value::Mapping(Mapping::new([])), position: node.position };
        let args = node.get("args").filter(|args| !args.is_null()).unwrap_or(&nothing);
        let path = path.key("args");
        check_kind(args, &name.value.0, &path, reader)?;
        Some(match name.value.0.as_str() {
            "NodeResourcesFit" => PluginConfig::Fit(fit_args(args, &path, reader)?),
            "NodeResourcesBalancedAllocation" => PluginConfig::Balanced(balanced_args(args, &path, reader)?),
            "InterPodAffinity" => PluginConfig::InterPodAffinity(Field::read(args, &path, reader)?),
            "NodeAffinity" => PluginConfig::NodeAffinity(Field::read(args, &path, reader)?),
            "PodTopologySpread" => PluginConfig::TopologySpread(spread_args(args, &path, reader)?),
            "DefaultPreemption" => PluginConfig::Preemption(Field::read(args, &path, reader)?),
            "VolumeBinding" => PluginConfig::VolumeBinding(Field::read(args, &path, reader)?),
            "DynamicResources" => {
                DynamicResourcesArgs::read(args, &path, reader)?;
                PluginConfig::DynamicResources
            }
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

/// The `kind` of arguments, if there is one, is made of the plugin's name.
fn check_kind(args: &Node, plugin: &str, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<()> {
    let expected = format!("{plugin}Args");
    match args.get("kind") {
        Some(kind) if CONFIGURABLE.contains(&plugin) && kind.as_str() != Some(&expected) => {
            reader.wrong(kind, &path.key("kind"), &expected)
        }
        _ => Some(()),
    }
}

/// A shape belongs to the strategy that has one, and to no other.
fn fit_args(args: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<FitArgs> {
    let read = FitArgs::read(args, path, reader)?;
    let keys = ["scoringStrategy", "requestedToCapacityRatio"];
    let Some(strategy) = &read.strategy else { return Some(read) };
    if strategy.ratio.is_some() && !matches!(strategy.kind, StrategyWord::RequestedToCapacityRatio) {
        let place = args.at(&keys).map_or(args.position, |node| node.position);
        reader.error(place, &path.key(keys[0]).key(keys[1]), |error| {
            error.message("a shape counts only for the type RequestedToCapacityRatio")
        });
        return None;
    }
    Some(read)
}

/// A resource is balanced once.
fn balanced_args(args: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<BalancedArgs> {
    let read = BalancedArgs::read(args, path, reader)?;
    for (index, resource) in read.resources.iter().enumerate() {
        if read.resources[..index].iter().any(|other| other.name.0 == resource.name.0) {
            let entries = args.get("resources").and_then(Node::as_sequence);
            let entry = entries.and_then(|entries| entries.get(index));
            let place = entry.map_or(args.position, |entry| entry.position);
            reader.error(place, &path.key("resources").index(index), |error| {
                error.message(format!("{} is listed twice", resource.name.0))
            });
            return None;
        }
    }
    Some(read)
}

/// Constraints of one's own need the word that switches upstream's off, as there.
fn spread_args(args: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<TopologySpreadArgs> {
    let read = TopologySpreadArgs::read(args, path, reader)?;
    let some = read.constraints.as_ref().is_some_and(|part| !part.spec.topology_spread.is_empty());
    if some && read.defaulting != Some(DefaultingWord::List) {
        let place = args.get("defaultConstraints").map_or(args.position, |node| node.position);
        reader.error(place, &path.key("defaultConstraints"), |error| {
            error.message("constraints count only with defaultingType List")
        });
        return None;
    }
    Some(read)
}

record! {
    /// A resource with its weight in a score.
    pub(crate) struct WeightedResource {
        /// The resource.
        name("name"): Text,
        /// Its weight, from 1 to 100; 0 for 1.
        weight("weight"): Whole<0, 100> = "1",
    }
}

record! {
    /// A resource that is balanced.
    pub(crate) struct BalancedResource {
        /// The resource.
        name("name"): Text,
        /// Its weight, which can be nothing but 1; 0 for 1.
        _weight("weight"): Whole<0, 1> = "1",
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
        utilization("utilization"): Whole<0, 100>,
        /// Score from 0 to 10.
        score("score"): Whole<0, 10>,
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
        resources("resources"): Vec<BalancedResource>,
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
        weight("hardPodAffinityWeight"): Whole<0, 100> = "1",
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
        percentage("minCandidateNodesPercentage"): Whole<0, 100> = "10",
        /// At least so many.
        absolute("minCandidateNodesAbsolute"): Whole<0, { i32::MAX as i64 }> = "100",
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
        timeout("bindTimeoutSeconds"): Whole<0, SECONDS_MAX> = "600",
        /// A shape of upstream's scoring of storage capacity, which is off by default.
        _shape("shape"): Option<Unsupported>,
    }
}

record! {
    /// Arguments of DynamicResources.
    pub(crate) struct DynamicResourcesArgs {
        /// The version of the format.
        _api_version("apiVersion"): Option<SchedulerApiVersion>,
        /// The kind of arguments.
        _kind("kind"): Option<Text>,
        /// How long its filter may take.
        _filter("filterTimeout"): Option<NoEffect>,
        /// How long devices may take to be bound.
        _binding("bindingTimeout"): Option<NoEffect>,
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
        let containers =
            Node { value: Value::Sequence([container].into_iter().collect()), position: node.position };
        let (first, inner) = P::KEYS.split_first()?;
        let part = inner.iter().rev().fold(node.clone(), |part, key| mapping(vec![(key, part)]));
        let spec = mapping(vec![("containers", containers), (first, part)]);
        let mut decoder = Decoder::new(Mode::Manifest, Calendar::default(), KubernetesVersion::default());
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
                arguments.hard_pod_affinity_weight = args.weight.0;
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
                arguments.default_constraints = match args.defaulting {
                    Some(DefaultingWord::List) => DefaultConstraints::List(list.unwrap_or_default()),
                    Some(DefaultingWord::System) | None => DefaultConstraints::System,
                };
            }
            PluginConfig::Preemption(args) => {
                arguments.preemption.min_candidate_nodes_percentage = args.percentage.0 as i32;
                arguments.preemption.min_candidate_nodes_absolute = args.absolute.0 as i32;
            }
            PluginConfig::DynamicResources => {}
            PluginConfig::VolumeBinding(args) => {
                arguments.volume_bind_timeout = Span::from_secs(args.timeout.0);
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
                weight: resource.weight.0.max(1),
            };
            fit.resources = strategy.resources.iter().map(weighted).collect();
        }
        let point =
            |point: &ShapeField| ShapePoint { utilization: point.utilization.0, score: point.score.0 };
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
