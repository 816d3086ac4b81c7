//! Who makes machines come and go, and what limits the cloud that they come from.

use seatrial_api::document::{FieldPath, Node};
use seatrial_api::units::{Bytes, MilliCpu, Span};

use super::OneOrMore;
use crate::schema::{
    Definitions, Field, JsonSchema, Placed, Reader, Rule, Share, Text, choice, one_of, record,
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
}

const TYPES: [&str; 1] = ["cluster-autoscaler"];

impl Field for AutoscalerField {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<AutoscalerField> {
        match node.get("type").map(|word| (word, word.as_str())) {
            Some((_, Some("cluster-autoscaler"))) => {
                let read = ClusterAutoscalerField::read(node, path, reader)?;
                Some(AutoscalerField::ClusterAutoscaler(Box::new(read)))
            }
            Some((word, _)) => reader.wrong(word, &path.key("type"), &one_of(&TYPES)),
            None => reader.wrong(node, path, &format!("a mapping with the field type: {}", one_of(&TYPES))),
        }
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        JsonSchema::any_of([ClusterAutoscalerField::schema(definitions)])
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
