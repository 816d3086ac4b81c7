//! What breaks.

use seatrial_api::units::Span;

use super::law::MeanTime;
use crate::schema::{Name, Placed, Rule, Text, choice, record};

record! {
    /// Something that breaks: once at a time, or again and again at random.
    pub(crate) struct FaultEntry {
        /// A name to which expectations can refer.
        name("name"): Placed<Name>,
        /// What breaks.
        kind("type"): Placed<FaultWord>,
        /// What it hits. A slow registry hits all nodes and has no target.
        target("target"): Option<Placed<TargetField>>,
        /// When it strikes.
        at("at"): Option<Placed<Span>>,
        /// How long it lasts; to the end of the run if absent.
        duration("duration"): Option<Span>,
        /// The mean time between failures, each machine, rack or zone on its own: exponentially distributed, unless a distribution is given.
        mtbf("mtbf"): Option<MeanTime>,
        /// The mean time to repair: exponentially distributed, unless a distribution is given.
        mttr("mttr"): Option<MeanTime>,
        /// How many times slower a slow registry is.
        factor("factor"): Option<Placed<f64>>,
        /// How long before its end a machine that is taken back gets notice; `2m` if absent.
        notice("notice"): Option<Placed<Span>>,
    }
    rules [
        Rule::ExactlyOne(&["at", "mtbf"]),
        Rule::AtMostOne(&["duration", "mttr"]),
        Rule::Needs("duration", "at"),
        Rule::Needs("mttr", "mtbf"),
    ]
}

choice! {
    /// What breaks.
    pub(crate) enum FaultWord {
        /// Power loss: everything on the machines stops; at the end they boot again. A component of the masters dies with all that it knows, and is started again at the end.
        Crash = "crash",
        /// The kubelets of the machines die, while their containers run on; at the end they are started again.
        KubeletCrash = "kubeletCrash",
        /// The machines run on and reach nothing outside of themselves.
        Partition = "partition",
        /// The image registry serves pulls more slowly.
        SlowRegistry = "slowRegistry",
        /// The cloud takes machines back for good: their nodes are drained from the notice on. Of a zone or a rack it takes machines with `capacityType: spot` alone.
        SpotReclaim = "spotReclaim",
    }
}

record! {
    /// What a fault hits.
    pub(crate) struct TargetField {
        /// One node.
        node("node"): Option<Text>,
        /// A pool: all its nodes at once, or each on its own for random faults.
        nodes("nodes"): Option<Text>,
        /// All nodes of a rack.
        rack("rack"): Option<Text>,
        /// All nodes of a zone.
        zone("zone"): Option<Text>,
        /// A component of the masters.
        component("component"): Option<ComponentWord>,
    }
    rules [Rule::ExactlyOne(&["node", "nodes", "rack", "zone", "component"])]
}

choice! {
    /// A component of the masters.
    pub(crate) enum ComponentWord {
        /// kube-scheduler.
        Scheduler = "kube-scheduler",
        /// kube-controller-manager.
        ControllerManager = "kube-controller-manager",
    }
}
