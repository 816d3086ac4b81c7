//! What is expected of a run.

use compact_str::CompactString;
use seatrial_api::document::{FieldPath, Node};
use seatrial_api::units::Span;

use super::pods::SelectorField;
use crate::schema::{
    Bounds, Definitions, Field, JsonSchema, Name, ObjectName, Placed, Reader, Rule, Text, choice, record,
    text, union,
};

union! {
    /// An expectation. Its first field says what it is about.
    pub(crate) enum Expect {
        Pods("pods"): PodsExpect,
        Restarts("restarts"): RestartsExpect,
        Evictions("evictions"): EvictionsExpect,
        StartLatency("startLatency"): StartLatencyExpect,
        Deployments("deployments"): DeploymentsExpect,
        Jobs("jobs"): JobsExpect,
        Service("service"): ServiceExpect,
        Nodes("nodes"): NodesExpect,
        Allocation("allocation"): AllocationExpect,
        Utilization("utilization"): UtilizationExpect,
        Cost("costUsd"): CostExpect,
        Hpa("hpa"): HpaExpect,
        Events("events"): EventsExpect,
        Metric("metric"): MetricExpect,
    }
}

/// An instant: so long after the start, or the beginning or end of something that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnchorField {
    /// So long after the start.
    At(Span),
    /// The beginning of a fault, or the time of an entry of the timeline.
    Begin(CompactString),
    /// The end of a fault.
    End(CompactString),
}

impl Field for AnchorField {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<AnchorField> {
        let named = node.as_str().filter(|text| text.starts_with(|first: char| first.is_ascii_alphabetic()));
        let Some(name) = named else { return Span::read(node, path, reader).map(AnchorField::At) };
        Some(match name.strip_suffix(".end") {
            Some(name) => AnchorField::End(name.into()),
            None => AnchorField::Begin(name.into()),
        })
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        let examples = ["10m", "zone-loss", "zone-loss.end"].map(text);
        JsonSchema::of_type("string").with("examples", crate::schema::list(examples))
    }
}

record! {
    /// How many pods are in a phase, at every instant between `after` and `before`.
    pub(crate) struct PodsExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The phase. Pods that succeeded or failed count from then on, also once they are removed.
        pods("pods"): PhaseWord,
        /// Only pods that have been in the phase for longer than this.
        longer_than("longerThan"): Option<Span>,
        /// At most so many, at any instant.
        at_most("atMost"): Option<u32>,
        /// At least so many, at every instant.
        at_least("atLeast"): Option<u32>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
        /// Only pods of this namespace.
        namespace("namespace"): Option<Text>,
        /// Only pods with these labels.
        selector("selector"): Option<SelectorField>,
    }
    rules [Rule::AtLeastOne(&["atMost", "atLeast"])]
}

choice! {
    /// A pod's phase.
    pub(crate) enum PhaseWord {
        /// Not all containers were started yet.
        Pending = "Pending",
        /// All containers were started.
        Running = "Running",
        /// All containers ended well.
        Succeeded = "Succeeded",
        /// It ended, and not well; evicted pods are among them.
        Failed = "Failed",
    }
}

record! {
    /// How often the containers of a pod restart: the figure of the pod with the most restarts.
    pub(crate) struct RestartsExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The bounds.
        restarts("restarts"): Bounds,
        /// Only pods of this namespace.
        namespace("namespace"): Option<Text>,
        /// Only pods with these labels.
        selector("selector"): Option<SelectorField>,
    }
}

record! {
    /// How many pods are evicted in the whole run.
    pub(crate) struct EvictionsExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The bounds.
        evictions("evictions"): Bounds,
        /// By whom; by anybody if absent.
        by("by"): Vec<EvictionWord>,
    }
}

choice! {
    /// Who evicts pods.
    pub(crate) enum EvictionWord {
        /// The taint eviction controller, from nodes that are not ready.
        Taint = "taint",
        /// The Eviction API, as in a drain.
        Api = "api",
        /// A kubelet that is short of memory or disk.
        Pressure = "pressure",
        /// The scheduler, for pods of higher priority.
        Preemption = "preemption",
    }
}

record! {
    /// How long pods take from their creation until they are ready for the first time. A pod that never was counts with its age at the end.
    pub(crate) struct StartLatencyExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The limits.
        start_latency("startLatency"): Percentiles,
        /// Only pods created from then on.
        after("after"): Option<Placed<AnchorField>>,
        /// Only pods created until then.
        before("before"): Option<Placed<AnchorField>>,
        /// Only pods of this namespace.
        namespace("namespace"): Option<Text>,
        /// Only pods with these labels.
        selector("selector"): Option<SelectorField>,
    }
}

record! {
    /// Upper limits of percentiles.
    pub(crate) struct Percentiles {
        /// Of the median.
        p50("p50"): Option<Span>,
        /// Of the 90th percentile.
        p90("p90"): Option<Span>,
        /// Of the 99th percentile.
        p99("p99"): Option<Span>,
        /// Of the longest.
        max("max"): Option<Span>,
    }
    rules [Rule::AtLeastOne(&["p50", "p90", "p99", "max"])]
}

record! {
    /// Whether all replicas that Deployments ask for are available, at every instant between `after` plus `within` and `before`.
    pub(crate) struct DeploymentsExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The condition.
        _deployments("deployments"): AvailableWord,
        /// How long it may take.
        within("within"): Span = "0s",
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
        /// Only Deployments of this namespace.
        namespace("namespace"): Option<Text>,
        /// Only these Deployments.
        only("only"): Vec<Placed<ObjectName>>,
    }
}

choice! {
    /// The condition of Deployments.
    pub(crate) enum AvailableWord {
        /// All replicas that it asks for are available.
        Available = "Available",
    }
}

record! {
    /// Whether Jobs are complete in time.
    pub(crate) struct JobsExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The condition.
        _jobs("jobs"): CompleteWord,
        /// How long it may take; to the end of the run if absent.
        within("within"): Option<Span>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Only Jobs of this namespace.
        namespace("namespace"): Option<Text>,
        /// Only these Jobs.
        only("only"): Vec<Placed<ObjectName>>,
    }
}

choice! {
    /// The condition of Jobs.
    pub(crate) enum CompleteWord {
        /// All completions that it asks for succeeded.
        Complete = "Complete",
    }
}

record! {
    /// How available a Service is: the share of the backends behind it that really run, are ready and can be reached.
    pub(crate) struct ServiceExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The Service.
        service("service"): Placed<ObjectName>,
        /// Bounds of the average, in percent of the time in which it should have a backend.
        availability("availabilityPct"): Option<Bounds>,
        /// For how long in all it may have no backend.
        downtime("downtime"): Option<SpanMaximum>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
    }
    rules [Rule::AtLeastOne(&["availabilityPct", "downtime"])]
}

record! {
    /// A limit of a length of time.
    pub(crate) struct SpanMaximum {
        /// At most.
        max("max"): Span,
    }
}

record! {
    /// How many nodes are Ready, at every instant between `after` plus `within` and `before`.
    pub(crate) struct NodesExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The condition.
        _nodes("nodes"): ReadyWord,
        /// At most so many.
        at_most("atMost"): Option<u32>,
        /// At least so many.
        at_least("atLeast"): Option<u32>,
        /// How long it may take.
        within("within"): Span = "0s",
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
    }
    rules [Rule::AtLeastOne(&["atMost", "atLeast"])]
}

choice! {
    /// The condition of nodes.
    pub(crate) enum ReadyWord {
        /// The control plane hears that the kubelet can run pods.
        Ready = "Ready",
    }
}

choice! {
    /// A resource of nodes.
    pub(crate) enum ResourceWord {
        /// CPU.
        Cpu = "cpu",
        /// Memory.
        Memory = "memory",
    }
}

record! {
    /// How much of the nodes' allocatable resources is requested by pods on them, in percent.
    pub(crate) struct AllocationExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The resource.
        allocation("allocation"): ResourceWord,
        /// Bounds of the average over time.
        mean("meanPct"): Option<Bounds>,
        /// Bounds of the highest value.
        peak("peakPct"): Option<Bounds>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
    }
    rules [Rule::AtLeastOne(&["meanPct", "peakPct"])]
}

record! {
    /// How much of the nodes' allocatable resources is used, in percent.
    pub(crate) struct UtilizationExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The resource.
        utilization("utilization"): ResourceWord,
        /// Bounds of the average over time.
        mean("meanPct"): Option<Bounds>,
        /// Bounds of the highest value.
        peak("peakPct"): Option<Bounds>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
    }
    rules [Rule::AtLeastOne(&["meanPct", "peakPct"])]
}

record! {
    /// What the machines cost in the whole run, in dollars.
    pub(crate) struct CostExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The bounds.
        cost_usd("costUsd"): Bounds,
    }
}

record! {
    /// How many replicas a HorizontalPodAutoscaler asks for.
    pub(crate) struct HpaExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The HorizontalPodAutoscaler.
        hpa("hpa"): Placed<ObjectName>,
        /// At least so many at some instant between `after` and `after` plus `within`.
        reaches("reaches"): Option<u32>,
        /// At most so many at some instant between `after` and `after` plus `within`.
        falls_to("fallsTo"): Option<u32>,
        /// How long reaching or falling may take; to the end of the run if absent.
        within("within"): Option<Span>,
        /// Bounds at every instant between `after` and `before`.
        replicas("replicas"): Option<Bounds>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
    }
    rules [
        Rule::ExactlyOne(&["reaches", "fallsTo", "replicas"]),
        Rule::AtMostOne(&["within", "replicas"]),
        Rule::AtMostOne(&["within", "before"]),
    ]
}

record! {
    /// How often something happens that a component records with a reason, such as FailedScheduling.
    pub(crate) struct EventsExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The reason.
        events("events"): Text,
        /// Only about objects of this kind.
        kind("kind"): Option<Text>,
        /// Only about objects of this name.
        object("object"): Option<ObjectName>,
        /// At most so often.
        at_most("atMost"): Option<u32>,
        /// At least so often.
        at_least("atLeast"): Option<u32>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
    }
    rules [Rule::AtLeastOne(&["atMost", "atLeast"])]
}

record! {
    /// The value of a metric of timeseries.csv, at every instant between `after` and `before`.
    pub(crate) struct MetricExpect {
        /// The name of the expectation.
        name("name"): Placed<Name>,
        /// The metric, as in timeseries.csv.
        metric("metric"): Placed<Text>,
        /// The object, as in timeseries.csv; every object that has the metric if absent.
        object("object"): Option<Text>,
        /// At least.
        min("min"): Option<f64>,
        /// At most.
        max("max"): Option<f64>,
        /// From when on; from the start if absent.
        after("after"): Option<Placed<AnchorField>>,
        /// Until when; to the end of the run if absent.
        before("before"): Option<Placed<AnchorField>>,
    }
    rules [Rule::AtLeastOne(&["min", "max"])]
}
