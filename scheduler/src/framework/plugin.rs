//! What a plugin is.

use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::request::Request;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use super::state::CycleState;
use super::status::{Code, Reason, Verdict, Why};
use crate::cluster::{Cluster, Content, NodeInfo};
use crate::plugins::inter_pod_affinity::InterPodAffinity;
use crate::plugins::topology_spread::PodTopologySpread;
use crate::preemption::{PostFilter, PostFilterContext};
use crate::queue::{ClusterEvent, Interests};

/// How far a plugin looks. The framework keeps what does not change accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Filter and raw score depend on the pod's specification and on the node object alone (and on
    /// how widely images are spread over nodes).
    Node,
    /// They depend on the pod's specification, the node object and the pods on this node.
    Usage,
    /// They depend on more: other nodes, other pods, volumes, the pod's own name.
    Cluster,
}

/// The extension points that a plugin takes part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// PreEnqueue.
    pub pre_enqueue: bool,
    /// PreFilter.
    pub pre_filter: bool,
    /// Filter.
    pub filter: bool,
    /// PostFilter.
    pub post_filter: bool,
    /// PreScore.
    pub pre_score: bool,
    /// Score, and NormalizeScore with it.
    pub score: bool,
    /// Reserve.
    pub reserve: bool,
    /// Permit.
    pub permit: bool,
    /// PreBind.
    pub pre_bind: bool,
    /// Bind.
    pub bind: bool,
}

/// The answer of a PreFilter plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreFilter {
    /// The plugin's Filter is needed.
    Run,
    /// The plugin's Filter would pass every node: leave it out in this cycle.
    Skip,
    /// The plugin's Filter is needed, and only these nodes come into question.
    Nodes(Restriction),
    /// No node will do.
    Reject(Code, Reason),
}

/// The only nodes that come into question, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction(pub Vec<Symbol>);

/// What plugins are handed in one scheduling cycle.
#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    /// The cluster as the scheduler knows it.
    pub cluster: &'a Cluster,
    /// The pod to place.
    pub pod: &'a Arc<Pod>,
    /// What PreFilter and PreScore have found out.
    pub state: &'a CycleState,
}

/// What a queueing hint is handed.
#[derive(Clone, Copy)]
pub struct EventContext<'a> {
    /// The cluster after the event.
    pub cluster: &'a Cluster,
    /// The waiting pod.
    pub pod: &'a Arc<Pod>,
}

/// Whether an event may make a rejected pod schedulable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It may.
    Queue,
    /// It does not.
    Skip,
}

impl Hint {
    /// `Queue` if `condition` holds.
    pub fn queue_if(condition: bool) -> Hint {
        if condition { Hint::Queue } else { Hint::Skip }
    }
}

/// A scheduling plugin. Plugins hold their arguments and no memory: what is remembered is in the
/// cluster or in the cycle's state, so that a scheduler can be cloned.
pub trait Plugin: Send + Sync {
    /// The name, as configurations and messages write it.
    fn name(&self) -> &'static str;

    /// The extension points that it takes part in.
    fn points(&self) -> Points;

    /// How far Filter and Score look.
    fn scope(&self) -> Scope;

    /// Adds what Filter and Score read of a pod, for plugins of scope Node and Usage: pods for which
    /// all plugins read the same are one class. The default is the specification as a whole.
    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.address(&*pod.spec);
    }

    /// Whether Filter or Score can make a difference to pods with this specification.
    fn concerns(&self, pod: &Pod) -> bool {
        let _ = pod;
        true
    }

    /// Whether Score asks what demands are typical of the pods that have arrived
    /// ([`Cluster::learned_fragmentation`]).
    fn learns_demand(&self) -> bool {
        false
    }

    /// For plugins of scope Cluster: that the framework keeps an index for this one.
    fn indexed(&self) -> Option<Indexed<'_>> {
        None
    }

    /// PreEnqueue: a reason to keep the pod out of the queue.
    fn pre_enqueue(&self, pod: &Pod) -> Option<Reason> {
        let _ = pod;
        None
    }

    /// PreFilter: prepares Filter, or does without it.
    fn pre_filter(&self, cluster: &Cluster, pod: &Arc<Pod>, state: &mut CycleState) -> PreFilter {
        let _ = (cluster, pod, state);
        PreFilter::Run
    }

    /// Filter: whether the pod can run on the node.
    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let _ = (cycle, node, why);
        Ok(())
    }

    /// Filter on many nodes, for plugins of scope Usage: `reject` is told the places in `rows` of
    /// the nodes that it rejects.
    fn filter_rows(&self, cycle: Cycle<'_>, rows: &[u32], reject: &mut dyn FnMut(usize, Code)) {
        let mut why = Why::ignored();
        for (place, &row) in rows.iter().enumerate() {
            if let Err(code) = self.filter(cycle, cycle.cluster.node_at(row as usize), &mut why) {
                reject(place, code);
            }
        }
    }

    /// PreFilter's extension: `other` is thought to be on `node`.
    fn add_pod(&self, cluster: &Cluster, pod: &Pod, other: &Pod, node: &NodeInfo, state: &mut CycleState) {
        let _ = (cluster, pod, other, node, state);
    }

    /// PreFilter's extension: `other` is thought to be gone from `node`.
    fn remove_pod(&self, cluster: &Cluster, pod: &Pod, other: &Pod, node: &NodeInfo, state: &mut CycleState) {
        let _ = (cluster, pod, other, node, state);
    }

    /// PostFilter: what can be done for a pod that fits nowhere.
    fn post_filter(&self, context: &mut PostFilterContext<'_>) -> PostFilter {
        let _ = context;
        PostFilter::Nothing
    }

    /// PreScore: prepares Score for these feasible nodes; false leaves the plugin out.
    fn pre_score(
        &self,
        cluster: &Cluster,
        pod: &Arc<Pod>,
        nodes: &[&NodeInfo],
        state: &mut CycleState,
    ) -> bool {
        let _ = (cluster, pod, nodes, state);
        true
    }

    /// The largest score that Score gives where it is not normalised. Upstream's plugins keep to 100; a
    /// policy that scores alone may be finer, up to about 32,000.
    fn score_max(&self) -> i64 {
        MAX_NODE_SCORE
    }

    /// Score: the raw score of a node, from 0 to [`Plugin::score_max`] unless the plugin normalises.
    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let _ = (cycle, node);
        0
    }

    /// Score of many nodes, for plugins of scope Usage: adds `weight` times the score of each of
    /// `rows` to its total.
    fn score_rows(&self, cycle: Cycle<'_>, rows: &[u32], weight: i64, totals: &mut [i64]) {
        for (&row, total) in rows.iter().zip(totals) {
            *total += weight * self.score(cycle, cycle.cluster.node_at(row as usize));
        }
    }

    /// How raw scores become scores from 0 to 100.
    fn normalization(&self) -> Normalization {
        Normalization::None
    }

    /// NormalizeScore, for [`Normalization::Own`].
    fn normalize(&self, cycle: Cycle<'_>, nodes: &[&NodeInfo], scores: &mut [i64]) {
        let _ = (cycle, nodes, scores);
    }

    /// Reserve: books what the pod will use on the node, in the scheduler's memory alone.
    fn reserve(&self, cluster: &mut Cluster, pod: &Arc<Pod>, node: Symbol) {
        let _ = (cluster, pod, node);
    }

    /// Unreserve: takes the booking back.
    fn unreserve(&self, cluster: &mut Cluster, pod: &Arc<Pod>, node: Symbol) {
        let _ = (cluster, pod, node);
    }

    /// PreBind: what must be written before the pod can be bound.
    fn pre_bind(&self, cluster: &Cluster, pod: &Arc<Pod>, node: Symbol) -> Vec<Request> {
        let _ = (cluster, pod, node);
        Vec::new()
    }

    /// PreBind: how far the preparations are.
    fn pre_bind_progress(&self, cluster: &Cluster, pod: &Arc<Pod>, node: Symbol) -> PreBindProgress {
        let _ = (cluster, pod, node);
        PreBindProgress::Done
    }

    /// PreBind: how long the preparations may take.
    fn pre_bind_timeout(&self) -> Span {
        Span::MAX
    }

    /// The kinds of events that [`Plugin::hint`] wants to see.
    fn interests(&self) -> Interests {
        Interests::ALL
    }

    /// Whether `event` may help a pod that this plugin has rejected. The
    /// default reconsiders the pod on every event, as upstream does for plugins that register
    /// nothing.
    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        let _ = (context, event);
        Hint::Queue
    }
}

/// The plugins of scope Cluster for which the framework keeps an index.
#[derive(Clone, Copy, Debug)]
pub enum Indexed<'a> {
    /// PodTopologySpread.
    TopologySpread(&'a PodTopologySpread),
    /// InterPodAffinity.
    InterPodAffinity(&'a InterPodAffinity),
}

/// How far the preparations for binding are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreBindProgress {
    /// The pod can be bound.
    Done,
    /// Somebody else's work is awaited.
    Waiting,
    /// They failed, for this reason.
    Failed(String),
}

/// How raw scores become scores from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// They are such scores already.
    None,
    /// In proportion to the largest one.
    Proportional,
    /// In proportion to the largest one, the largest being worst.
    Reversed,
    /// Stretched from the smallest to the largest one; raw scores are from 0 to 100.
    MinMax,
    /// By the plugin's own rule.
    Own,
}

/// Upstream's default rule: `100 × raw / max`, reversed if asked; all 0 (reversed: all 100) if the
/// maximum is 0.
pub fn normalize_by_max(scores: &mut [i64], reversed: bool) {
    let max = scores.iter().copied().max().unwrap_or(0).max(0);
    for score in scores {
        *score = normalized(*score, max, reversed);
    }
}

/// Stretches scores so that the smallest becomes 0 and the largest 100; all 0 if they are equal. What
/// was larger stays larger if raw scores are at most 100 apart.
pub fn normalize_min_max(scores: &mut [i64]) {
    let (min, max) = (scores.iter().min().copied(), scores.iter().max().copied());
    let (Some(min), Some(max)) = (min, max) else { return };
    for score in scores {
        *score = if max == min { 0 } else { (*score - min) * MAX_NODE_SCORE / (max - min) };
    }
}

/// One score by upstream's default rule.
pub fn normalized(raw: i64, max: i64, reversed: bool) -> i64 {
    if max == 0 {
        return if reversed { MAX_NODE_SCORE } else { raw };
    }
    let scaled = MAX_NODE_SCORE * raw / max;
    if reversed { MAX_NODE_SCORE - scaled } else { scaled }
}

/// The largest score of a node.
pub const MAX_NODE_SCORE: i64 = 100;
