//! Who makes machines come and go, and what limits the cloud that they come from.

use seatrial_api::document::{FieldPath, Node, Value};
use seatrial_api::units::{Bytes, MilliCpu, Span};

use super::OneOrMore;
use super::nodes::{Amounts, TaintField};
use crate::schema::{
    Definitions, Field, JsonSchema, LabelMap, Name, Placed, Reader, Rule, Share, Text, choice, list, one_of,
    record, text,
};

record! {
    /// Bounds within which an autoscaler may change a pool.
    pub(crate) struct Autoscale {
        /// The fewest machines.
        min("min"): u32,
        /// The most machines.
        max("max"): u32,
        /// For the expander `priority`: more is preferred.
        priority("priority"): u32 = "0",
    }
}

choice! {
    /// How machines are paid for.
    pub(crate) enum CapacityWord {
        /// They may be taken back at short notice.
        Spot = "spot",
        /// They are kept until they are given back.
        OnDemand = "on-demand",
    }
}

/// Who makes machines come and go.
#[derive(Clone, Debug)]
pub(crate) enum AutoscalerField {
    ClusterAutoscaler(Box<ClusterAutoscalerField>),
    Karpenter(KarpenterField),
}

const TYPES: [&str; 2] = ["cluster-autoscaler", "karpenter"];

impl Field for AutoscalerField {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<AutoscalerField> {
        match node.get("type").map(|word| (word, word.as_str())) {
            Some((_, Some("cluster-autoscaler"))) => {
                let read = ClusterAutoscalerField::read(node, path, reader)?;
                Some(AutoscalerField::ClusterAutoscaler(Box::new(read)))
            }
            Some((_, Some("karpenter"))) => {
                KarpenterField::read(node, path, reader).map(AutoscalerField::Karpenter)
            }
            Some((word, _)) => reader.wrong(word, &path.key("type"), &one_of(&TYPES)),
            None => reader.wrong(node, path, &format!("a mapping with the field type: {}", one_of(&TYPES))),
        }
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        JsonSchema::any_of([ClusterAutoscalerField::schema(definitions), KarpenterField::schema(definitions)])
    }
}

choice! {
    /// The Cluster Autoscaler.
    pub(crate) enum ClusterAutoscalerWord {
        /// Node groups grow and shrink: pools that have `autoscale`.
        ClusterAutoscaler = "cluster-autoscaler",
    }
}

record! {
    /// The Cluster Autoscaler. Its fields are its flags, with their defaults.
    pub(crate) struct ClusterAutoscalerField {
        /// Which autoscaler.
        _kind("type"): ClusterAutoscalerWord,
        /// Which group grows, of those that would help: one rule or several, one after another.
        expander("expander"): OneOrMore<ExpanderWord> = "least-waste",
        /// From the end of a pass to the begin of the next.
        scan_interval("scanInterval"): Span = "10s",
        /// Whether groups that differ in their zone alone are kept at the same size.
        balance_similar("balanceSimilarNodeGroups"): bool = "false",
        /// The most nodes of the cluster.
        nodes_max("maxNodesTotal"): Option<u32>,
        /// The most CPU of the cluster.
        cpu_max("maxCpuTotal"): Option<MilliCpu>,
        /// The most memory of the cluster.
        memory_max("maxMemoryTotal"): Option<Bytes>,
        /// How long a machine may take to become a node.
        provision_time_max("maxNodeProvisionTime"): Span = "15m",
        /// How long a group is left alone after its first failure.
        backoff_initial("initialNodeGroupBackoff"): Span = "5m",
        /// How long at the most.
        backoff_max("maxNodeGroupBackoff"): Span = "30m",
        /// How old a pod must be for groups to grow for it.
        new_pod_delay("newPodScaleUpDelay"): Span = "0s",
        /// When nodes go.
        scale_down("scaleDown"): Option<ScaleDownField>,
    }
}

choice! {
    /// A rule that chooses among node groups.
    pub(crate) enum ExpanderWord {
        /// Any group.
        Random = "random",
        /// The group that helps the most pods.
        MostPods = "most-pods",
        /// The group of which the least CPU and memory is left idle.
        LeastWaste = "least-waste",
        /// The group that needs the fewest nodes.
        LeastNodes = "least-nodes",
        /// The group that is cheapest for what it holds.
        Price = "price",
        /// The group with the highest priority.
        Priority = "priority",
    }
}

record! {
    /// When nodes go.
    pub(crate) struct ScaleDownField {
        /// Whether they do.
        enabled("enabled"): bool = "true",
        /// The share of CPU and of memory up to which a node counts as little used.
        utilization_threshold("utilizationThreshold"): Share = "0.5",
        /// How long a node must have been unneeded.
        unneeded_time("unneededTime"): Span = "10m",
        /// How long if it is not Ready.
        unready_time("unreadyTime"): Span = "20m",
        /// How long none goes after some came.
        delay_after_add("delayAfterAdd"): Span = "10m",
        /// How long none goes after another went.
        delay_after_delete("delayAfterDelete"): Span = "0s",
        /// How long none goes after that failed.
        delay_after_failure("delayAfterFailure"): Span = "3m",
        /// How many may go at once.
        parallelism("maxParallelism"): u32 = "10",
        /// How many of them with pods that have to move.
        drain_parallelism("maxDrainParallelism"): u32 = "1",
        /// Whether pods with local storage keep their node.
        skip_local_storage("skipNodesWithLocalStorage"): bool = "true",
        /// Whether young pods of kube-system without a budget keep their node.
        skip_system_pods("skipNodesWithSystemPods"): bool = "true",
        /// Whether what DaemonSets request does not count as used.
        ignore_daemons("ignoreDaemonSetsUtilization"): bool = "false",
    }
}

choice! {
    /// A provisioner in the manner of Karpenter.
    pub(crate) enum KarpenterWord {
        /// Single machines of whatever kind is cheapest come and go.
        Karpenter = "karpenter",
    }
}

record! {
    /// A provisioner in the manner of Karpenter.
    pub(crate) struct KarpenterField {
        /// Which autoscaler.
        _kind("type"): KarpenterWord,
        /// From which machines it chooses.
        node_pools("nodePools"): Vec<NodePoolField>,
        /// A batch of new pods is full when no other has come for so long.
        batch_idle("batchIdle"): Span = "1s",
        /// And in any case so long after its first pod.
        batch_max("batchMax"): Span = "10s",
        /// Whether spot machines are replaced by cheaper spot machines.
        spot_to_spot("spotToSpotConsolidation"): bool = "false",
    }
}

record! {
    /// A node pool: machines from which the provisioner chooses. They are called after the pool: `general-0`, `general-1` and so on.
    pub(crate) struct NodePoolField {
        /// The name of the pool.
        name("name"): Placed<Name>,
        /// Machine types of a cloud.
        machine_types("machineTypes"): Vec<Placed<Text>>,
        /// Other kinds of machines.
        instance_types("instanceTypes"): Vec<InstanceTypeField>,
        /// The zones in which each of them can be had; nowhere in particular if absent.
        zones("zones"): Vec<Placed<Name>>,
        /// How they may be paid for; spot capacity is taken first.
        capacity_types("capacityTypes"): Vec<CapacityWord>,
        /// The price of spot capacity as a share of the price on demand.
        spot_price("spotPrice"): Share = "0.4",
        /// Further labels.
        labels("labels"): LabelMap,
        /// Taints.
        taints("taints"): Vec<TaintField>,
        /// Pools of more weight are tried first.
        weight("weight"): u32 = "0",
        /// The most of all its nodes together.
        limits("limits"): Option<PoolLimits>,
        /// When nodes go.
        disruption("disruption"): Option<DisruptionField>,
        /// How old a node becomes; `Never` for no limit.
        expire_after("expireAfter"): Lapse = "720h",
    }
    rules [Rule::AtLeastOne(&["machineTypes", "instanceTypes"])]
}

record! {
    /// A kind of machine.
    pub(crate) struct InstanceTypeField {
        /// Its name.
        name("name"): Placed<Name>,
        /// What each machine has.
        capacity("capacity"): Placed<Amounts>,
        /// The price of a machine in dollars per hour, on demand.
        price_per_hour("pricePerHour"): Placed<f64>,
    }
}

record! {
    /// The most of all nodes of a pool together.
    pub(crate) struct PoolLimits {
        /// CPU.
        cpu("cpu"): Option<MilliCpu>,
        /// Memory.
        memory("memory"): Option<Bytes>,
        /// Nodes.
        nodes("nodes"): Option<u32>,
    }
    rules [Rule::AtLeastOne(&["cpu", "memory", "nodes"])]
}

record! {
    /// When nodes of a pool go so that the others cost less.
    pub(crate) struct DisruptionField {
        /// Which nodes.
        policy("consolidationPolicy"): ConsolidationWord = "WhenEmptyOrUnderutilized",
        /// How long after the last pod came or went; `Never` for never.
        after("consolidateAfter"): Lapse = "0s",
        /// How many may go at once; the smallest counts, and without any it is `10%`.
        budgets("budgets"): Vec<BudgetField>,
    }
}

choice! {
    /// Which nodes go.
    pub(crate) enum ConsolidationWord {
        /// Those without pods that would have to move.
        WhenEmpty = "WhenEmpty",
        /// Also those whose pods fit elsewhere, or on one cheaper machine.
        WhenEmptyOrUnderutilized = "WhenEmptyOrUnderutilized",
    }
}

record! {
    /// How many nodes of a pool may go at once.
    pub(crate) struct BudgetField {
        /// A number, or a percentage of the nodes, rounded up.
        nodes("nodes"): CountOrPercent,
    }
}

/// A number of nodes or a percentage of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CountOrPercent {
    Count(u32),
    Percent(u32),
}

impl Field for CountOrPercent {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<CountOrPercent> {
        let percent = node.as_str().and_then(|text| text.strip_suffix('%')?.parse::<u32>().ok());
        match percent {
            Some(percent @ 0..=100) => Some(CountOrPercent::Percent(percent)),
            None if node.as_str().is_none() => u32::read(node, path, reader).map(CountOrPercent::Count),
            _ => reader.wrong(node, path, "a whole number, or a percentage from 0% to 100%"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
            .with("type", list([text("integer"), text("string")]))
            .with("minimum", Value::Int(0))
            .with("maximum", Value::Int(i64::from(u32::MAX)))
            .with("pattern", text("^([0-9]{1,2}|100)%$"))
    }
}

/// A span, or `Never`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lapse(pub(crate) Option<Span>);

impl Field for Lapse {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Lapse> {
        match node.as_str() {
            Some("Never") => Some(Lapse(None)),
            _ => Span::read(node, path, reader).map(|span| Lapse(Some(span))),
        }
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        let never = JsonSchema::default().with("const", text("Never"));
        JsonSchema::any_of([Span::schema(definitions), never])
    }
}

record! {
    /// What limits the cloud that machines come from.
    pub(crate) struct CloudField {
        /// Kinds of machines that are not to be had at times.
        stock_outs("stockOuts"): Vec<Placed<StockOutField>>,
        /// How much the account may have at once, the machines of the start included.
        quota("quota"): Option<QuotaField>,
    }
}

record! {
    /// How much an account may have at once.
    pub(crate) struct QuotaField {
        /// How many machines.
        machines("machines"): Option<u32>,
        /// How much CPU.
        cpu("cpu"): Option<MilliCpu>,
    }
    rules [Rule::AtLeastOne(&["machines", "cpu"])]
}

record! {
    /// A kind of machine that is not to be had for some time. Without `nodes`, `machineType`, `zone` and `capacityType` it is every kind.
    pub(crate) struct StockOutField {
        /// Machines of this pool.
        nodes("nodes"): Option<Text>,
        /// Machines of this type.
        machine_type("machineType"): Option<Text>,
        /// Machines in this zone.
        zone("zone"): Option<Text>,
        /// Machines that are paid for like this.
        capacity_type("capacityType"): Option<CapacityWord>,
        /// From when on.
        at("at"): Placed<Span> = "0s",
        /// For how long; to the end of the run if absent.
        duration("duration"): Option<Span>,
        /// The share of requests that fail meanwhile.
        share("share"): Share = "1",
    }
}
