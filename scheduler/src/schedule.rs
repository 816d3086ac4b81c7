//! One scheduling decision by the plain path: a loop over nodes and plugins, as upstream runs it.
//! The fast path must decide the same.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;

use crate::bitset::Bitset;
use crate::cluster::{Cluster, NodeInfo};
use crate::framework::{
    Code, Cycle, CycleState, Normalization, PluginId, PluginSet, PreFilter, Profile, Reason, ReasonCounts,
    Verdict, Why, fit_message, normalize_by_max, normalize_min_max,
};
use crate::queue::Nominations;

/// What a cycle sees.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) profile: &'a Profile,
    pub(crate) nominations: &'a Nominations,
    pub(crate) pod: &'a Arc<Pod>,
    /// Whether reasons are collected.
    pub(crate) explain: bool,
}

/// Why a node was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRejection {
    /// The node.
    pub node: Symbol,
    /// The first filter that rejected it.
    pub plugin: PluginId,
    /// Whether evicting pods may help.
    pub code: Code,
    /// Why, if reasons are collected.
    pub reasons: Vec<Reason>,
}

/// Why all nodes were rejected that no filter looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentRejection {
    /// The plugin, if it was a PreFilter rejection.
    pub plugin: Option<PluginId>,
    /// Whether evicting pods may help.
    pub code: Code,
    /// Why.
    pub reason: Reason,
}

/// What filtering found out.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Nodes that filters rejected, in visiting order.
    pub rejections: Vec<NodeRejection>,
    /// The status of all other nodes that are not feasible.
    pub absent: Option<AbsentRejection>,
    /// Plugins that rejected nodes or the pod as a whole.
    pub rejectors: PluginSet,
    /// The message of a PreFilter rejection.
    pub pre_filter_message: Option<String>,
    /// The nodes that were rejected in a way that evicting pods may help against, by position in the
    /// visiting order, where rejections are not listed.
    pub(crate) helpful: Option<Bitset>,
}

impl Diagnosis {
    /// The message about a pod that fits nowhere, without what PostFilter adds.
    pub fn message(&self, nodes: usize) -> String {
        if let Some(text) = &self.pre_filter_message {
            return format!("0/{nodes} nodes are available: {text}.");
        }
        let mut counts = ReasonCounts::default();
        for reason in self.rejections.iter().flat_map(|rejection| &rejection.reasons) {
            counts.add(reason, 1);
        }
        if let Some(absent) = &self.absent {
            let count = nodes - self.rejections.len();
            if count > 0 {
                counts.add(&absent.reason, count);
            }
        }
        fit_message(nodes, &counts)
    }

    /// How a node was rejected; `Unresolvable` if nothing is known of it.
    pub(crate) fn code_of(&self, cluster: &Cluster, node: Symbol) -> Code {
        if let Some(helpful) = &self.helpful {
            let helps = cluster.position(node).is_some_and(|position| helpful.contains(position));
            return if helps { Code::Unschedulable } else { Code::Unresolvable };
        }
        let found = self.rejections.iter().find(|rejection| rejection.node == node);
        let absent = self.absent.as_ref().map_or(Code::Unresolvable, |absent| absent.code);
        found.map_or(absent, |rejection| rejection.code)
    }
}

/// What filtering came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filtered {
    /// Positions of the feasible nodes in the visiting order, as they were visited.
    pub(crate) feasible: Vec<usize>,
    pub(crate) diagnosis: Diagnosis,
    /// How many nodes were looked at.
    pub(crate) visited: usize,
}

/// How many feasible nodes are enough.
pub(crate) fn feasible_nodes_to_find(profile: &Profile, nodes: usize) -> usize {
    const AT_LEAST: usize = 100;
    if profile.score.is_empty() && profile.extender.is_none() {
        return 1;
    }
    let percentage = match profile.percentage_of_nodes_to_score {
        0 => (50 - (nodes / 125) as i64).max(5),
        percentage => i64::from(percentage),
    };
    if nodes < AT_LEAST || percentage >= 100 {
        return nodes;
    }
    (nodes * percentage as usize / 100).max(AT_LEAST)
}

/// Runs PreFilter and Filter. `start` is where the walk over the nodes begins; it is moved on.
pub(crate) fn filter(view: View<'_>, state: &mut CycleState, start: &mut usize) -> Filtered {
    let mut filtered = Filtered::default();
    let restriction = match pre_filter(view, state, &mut filtered.diagnosis) {
        Ok(restriction) => restriction,
        Err(PodRejected) => return filtered,
    };
    let mut nominated_rejection = None;
    if let Some(position) = nominated_position(view) {
        let node = view.cluster.node_at(position);
        match passes_with_nominated(view, state, node, view.explain) {
            Ok(()) => {
                filtered.feasible.push(position);
                filtered.visited = 1;
                return filtered;
            }
            Err(rejection) => nominated_rejection = Some(rejection),
        }
    }
    let positions: Vec<usize> = match &restriction {
        Some(allowed) => (0..view.cluster.node_count())
            .filter(|&position| allowed.contains(&view.cluster.node_at(position).name()))
            .collect(),
        None => (0..view.cluster.node_count()).collect(),
    };
    walk(view, state, &positions, *start, &mut filtered);
    // The nominated node's status counts also if the walk ended before it came by there.
    if let Some(rejection) = nominated_rejection
        && filtered.diagnosis.rejections.iter().all(|other| other.node != rejection.node)
    {
        filtered.diagnosis.rejections.push(rejection);
        filtered.visited += 1;
    }
    if view.cluster.node_count() > 0 {
        *start = (*start + filtered.visited) % view.cluster.node_count();
    }
    filtered
}

/// Visits nodes from `start` on until one more than enough are feasible.
fn walk(view: View<'_>, state: &CycleState, positions: &[usize], start: usize, filtered: &mut Filtered) {
    if positions.is_empty() {
        return;
    }
    let enough = feasible_nodes_to_find(view.profile, positions.len());
    let first = start % positions.len();
    for step in 0..positions.len() {
        let position = positions[(first + step) % positions.len()];
        match passes_with_nominated(view, state, view.cluster.node_at(position), view.explain) {
            Ok(()) if filtered.feasible.len() == enough => break,
            Ok(()) => filtered.feasible.push(position),
            Err(rejection) => {
                filtered.diagnosis.rejectors.insert(rejection.plugin);
                filtered.diagnosis.rejections.push(rejection);
            }
        }
    }
    filtered.visited = filtered.feasible.len() + filtered.diagnosis.rejections.len();
}

/// The position of the node that the pod is nominated to, if the node is there.
fn nominated_position(view: View<'_>) -> Option<usize> {
    let node = view.pod.status.nominated_node?;
    view.cluster.node(node)?;
    view.cluster.position(node)
}

/// PreFilter has rejected the pod on all nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodRejected;

/// Runs PreFilter; answers with the only nodes that come into question, if plugins named some.
pub(crate) fn pre_filter(
    view: View<'_>,
    state: &mut CycleState,
    diagnosis: &mut Diagnosis,
) -> Result<Option<BTreeSet<Symbol>>, PodRejected> {
    let mut allowed: Option<BTreeSet<Symbol>> = None;
    let mut restricting = PluginSet::EMPTY;
    let mut rejected: Option<(PluginId, Code, Reason)> = None;
    for &plugin in &view.profile.pre_filter {
        match view.profile.plugin(plugin).pre_filter(view.cluster, view.pod, state) {
            PreFilter::Run => {}
            PreFilter::Skip => state.skip_filter.insert(plugin),
            PreFilter::Nodes(nodes) => {
                restricting.insert(plugin);
                let nodes: BTreeSet<Symbol> = nodes.0.into_iter().collect();
                allowed = Some(match allowed {
                    Some(known) => known.intersection(&nodes).copied().collect(),
                    None => nodes,
                });
                if allowed.as_ref().is_some_and(BTreeSet::is_empty) {
                    reject_disjoint(view, restricting, diagnosis);
                    return Err(PodRejected);
                }
            }
            PreFilter::Reject(code, reason) => {
                diagnosis.rejectors.insert(plugin);
                rejected.get_or_insert((plugin, code, reason));
                if code == Code::Unresolvable {
                    break;
                }
            }
        }
    }
    if let Some((plugin, code, reason)) = rejected {
        diagnosis.pre_filter_message = Some(reason.to_string());
        diagnosis.absent = Some(AbsentRejection { plugin: Some(plugin), code, reason });
        return Err(PodRejected);
    }
    if !restricting.is_empty() {
        diagnosis.rejectors = diagnosis.rejectors.union(restricting);
        let names = view.profile.names(restricting).join(" ");
        let reason = Reason::Owned(format!("node(s) didn't satisfy plugin(s) [{names}]").into());
        diagnosis.absent = Some(AbsentRejection { plugin: None, code: Code::Unresolvable, reason });
    }
    Ok(allowed)
}

/// Plugins named nodes, but none in common.
fn reject_disjoint(view: View<'_>, restricting: PluginSet, diagnosis: &mut Diagnosis) {
    let names = view.profile.names(restricting);
    let text = match names[..] {
        [name] => format!("node(s) didn't satisfy plugin {name}"),
        _ => format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", names.join(" ")),
    };
    diagnosis.rejectors = diagnosis.rejectors.union(restricting);
    diagnosis.pre_filter_message = Some(text.clone());
    let reason = Reason::Owned(text.into());
    diagnosis.absent = Some(AbsentRejection { plugin: None, code: Code::Unresolvable, reason });
}

/// Runs the filters on a node twice where pods of at least this priority are nominated to it: with
/// and without them, because nobody knows whether they will come.
pub(crate) fn passes_with_nominated(
    view: View<'_>,
    state: &CycleState,
    node: &NodeInfo,
    explain: bool,
) -> Result<(), NodeRejection> {
    let priority = view.pod.spec.priority();
    let counts = |other: &&Arc<Pod>| other.spec.priority() >= priority && other.meta.id != view.pod.meta.id;
    let nominated: Vec<_> = view.nominations.on(node.name()).iter().filter(counts).collect();
    if !nominated.is_empty() {
        let (mut state, mut node) = (state.clone(), node.clone());
        for other in nominated {
            add_pod(view, &mut state, &mut node, other);
        }
        passes(view, &state, &node, explain)?;
    }
    passes(view, state, node, explain)
}

/// Runs the filters on a node.
fn passes(view: View<'_>, state: &CycleState, node: &NodeInfo, explain: bool) -> Result<(), NodeRejection> {
    let cycle = Cycle { cluster: view.cluster, pod: view.pod, state };
    let mut why = Why::wanted_if(explain);
    for plugin in view.profile.active_filters(state.skip_filter) {
        let verdict: Verdict = view.profile.plugin(plugin).filter(cycle, node, &mut why);
        if let Err(code) = verdict {
            return Err(NodeRejection { node: node.name(), plugin, code, reasons: why.take() });
        }
    }
    Ok(())
}

/// Thinks of `other` as on the node.
pub(crate) fn add_pod(view: View<'_>, state: &mut CycleState, node: &mut NodeInfo, other: &Arc<Pod>) {
    // A pod that is only thought of counts in no index, so its template does not matter.
    node.add_pod(other, 0);
    for &plugin in &view.profile.pre_filter {
        if !state.skip_filter.contains(plugin) {
            view.profile.plugin(plugin).add_pod(view.cluster, view.pod, other, node, state);
        }
    }
}

/// Thinks of `other` as gone from the node.
pub(crate) fn remove_pod(view: View<'_>, state: &mut CycleState, node: &mut NodeInfo, other: &Arc<Pod>) {
    node.remove_pod(other.meta.id);
    for &plugin in &view.profile.pre_filter {
        if !state.skip_filter.contains(plugin) {
            view.profile.plugin(plugin).remove_pod(view.cluster, view.pod, other, node, state);
        }
    }
}

/// Scores of the feasible nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores {
    /// The plugins that scored.
    pub(crate) plugins: Vec<PluginId>,
    /// Per node, per plugin: the score times its weight.
    pub(crate) weighted: Vec<Vec<i64>>,
    /// Per node: the sum.
    pub(crate) totals: Vec<i64>,
}

/// Runs PreScore, Score and NormalizeScore over feasible nodes.
pub(crate) fn score(view: View<'_>, state: &mut CycleState, feasible: &[usize]) -> Scores {
    let nodes: Vec<&NodeInfo> = feasible.iter().map(|&position| view.cluster.node_at(position)).collect();
    for &(plugin, _) in &view.profile.score {
        let implementation = view.profile.plugin(plugin);
        if implementation.points().pre_score
            && !implementation.pre_score(view.cluster, view.pod, &nodes, state)
        {
            state.skip_score.insert(plugin);
        }
    }
    let cycle = Cycle { cluster: view.cluster, pod: view.pod, state };
    let mut scores =
        Scores { totals: vec![0; nodes.len()], weighted: vec![Vec::new(); nodes.len()], plugins: Vec::new() };
    for &(plugin, weight) in &view.profile.score {
        if state.skip_score.contains(plugin) {
            continue;
        }
        let implementation = view.profile.plugin(plugin);
        let mut column: Vec<i64> = nodes.iter().map(|node| implementation.score(cycle, node)).collect();
        match implementation.normalization() {
            Normalization::None => {}
            Normalization::Proportional => normalize_by_max(&mut column, false),
            Normalization::Reversed => normalize_by_max(&mut column, true),
            Normalization::MinMax => normalize_min_max(&mut column),
            Normalization::Own => implementation.normalize(cycle, &nodes, &mut column),
        }
        scores.plugins.push(plugin);
        for (index, score) in column.into_iter().enumerate() {
            scores.weighted[index].push(score * weight);
            scores.totals[index] += score * weight;
        }
    }
    scores
}

/// A message at the length at which upstream cuts events: 1024 bytes.
pub(crate) fn truncated(message: &str) -> Cow<'_, str> {
    const LIMIT: usize = 1024;
    if message.len() <= LIMIT {
        return Cow::Borrowed(message);
    }
    let mut end = LIMIT - " ...".len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{} ...", &message[..end]))
}
