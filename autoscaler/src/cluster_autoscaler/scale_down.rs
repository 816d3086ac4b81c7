//! Which nodes nobody needs (upstream `core/scaledown/planner`): those that are little used and whose
//! pods would all fit elsewhere, one node after another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Ratio, SimTime};
use seatrial_scheduler::cluster::NodeInfo;

use super::drainability::{BlockingReason, is_long_terminating, pods_to_move};
use super::groups::{Group, InstanceState};
use super::options::{ClusterAutoscalerOptions, ScaleDownOptions};
use crate::budgets::RemainingBudgets;
use crate::view::{View, is_daemon, is_ready};

/// The annotation by which people keep a node.
const SCALE_DOWN_DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
/// GPUs count alone on nodes that have some.
const GPU_RESOURCE: &str = "nvidia.com/gpu";

/// A node that could go.
#[derive(Clone, Debug)]
pub(crate) struct Removable {
    pub(crate) node: Symbol,
    /// Pods that would have to move.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// Whether the budgets do not allow all of its pods to be evicted at once.
    pub(crate) risky: bool,
}

/// Why a node that is little used cannot go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unremovable {
    /// A pod keeps it.
    Blocked(BlockingReason),
    /// A pod would not fit anywhere else.
    NoPlaceToMovePods,
}

/// A node that was found unremovable is not looked at again for some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recheck {
    pub(crate) until: SimTime,
    /// What was known then.
    pub(crate) version: u64,
    /// When it could become removable although nothing happens.
    pub(crate) again: Option<SimTime>,
    pub(crate) reason: Unremovable,
}

/// What an evaluation came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evaluation {
    /// In the order in which they were found.
    pub(crate) removable: Vec<Removable>,
    /// Whether there was no time to look at all candidates.
    pub(crate) cut_short: bool,
}

/// What an evaluation looks at.
pub(crate) struct Question<'a> {
    pub(crate) now: SimTime,
    pub(crate) options: &'a ClusterAutoscalerOptions,
    pub(crate) groups: &'a [Group],
    /// The group of each node that has one.
    pub(crate) group_of: &'a BTreeMap<Symbol, usize>,
    /// Since when nodes have been unneeded.
    pub(crate) unneeded: &'a BTreeMap<Symbol, SimTime>,
    /// Nodes that are being deleted.
    pub(crate) deleting: &'a BTreeSet<Symbol>,
}

impl Question<'_> {
    /// How many nodes a group can do without, those that are being deleted left aside.
    fn spare(&self, group: usize) -> u32 {
        let going = self.deleting.iter().filter(|node| self.group_of.get(node) == Some(&group)).count();
        let config = &self.groups[group].config;
        self.groups[group].target().saturating_sub(config.min + going as u32)
    }
}

/// Looks for nodes that could go. What is found is thought of as done in the snapshot.
pub(crate) fn evaluate(
    view: &mut View,
    question: &Question<'_>,
    rechecks: &mut BTreeMap<Symbol, Recheck>,
) -> Evaluation {
    let options = &question.options.scale_down;
    rechecks.retain(|node, recheck| question.now < recheck.until && view.nodes.contains_key(node));
    view.snapshot.settle();
    let mut candidates: Vec<(bool, bool, Symbol)> = Vec::new();
    for info in view.snapshot.nodes() {
        let name = info.name();
        if is_eligible(info, question) && !rechecks.contains_key(&name) {
            let empty = info.pods().iter().all(|row| is_daemon(&row.pod));
            candidates.push((!empty, !question.unneeded.contains_key(&name), name));
        }
    }
    // Empty ones first, then those that were unneeded before; a stable order for the rest.
    candidates.sort_by_key(|&(occupied, fresh, _)| (occupied, fresh));
    let most = unneeded_limit(question.unneeded.len(), question.options);
    let mut budgets = RemainingBudgets::new(&view.budgets);
    let mut evaluation = Evaluation::default();
    let mut gone: BTreeSet<Symbol> = question.deleting.clone();
    let mut start = 0;
    for (_, _, node) in candidates {
        if evaluation.removable.len() >= most {
            evaluation.cut_short = true;
            break;
        }
        let pods = view.pods_on(node);
        let drained = pods_to_move(question.now, &pods, view, &budgets, options);
        let verdict = match drained {
            Err((reason, again)) => Err((Unremovable::Blocked(reason), again)),
            Ok(drained) if move_pods(view, &drained.movable, node, &gone, &mut start) => Ok(drained.movable),
            Ok(_) => Err((Unremovable::NoPlaceToMovePods, None)),
        };
        match verdict {
            Ok(pods) => {
                let risky = !budgets.allow_together(&pods);
                budgets.take(&pods);
                gone.insert(node);
                evaluation.removable.push(Removable { node, pods, risky });
            }
            Err((reason, again)) => {
                let until = question.now + options.recheck;
                rechecks.insert(node, Recheck { until, version: view.version, again, reason });
            }
        }
    }
    evaluation
}

/// How many unneeded nodes are worth knowing.
fn unneeded_limit(unneeded: usize, options: &ClusterAutoscalerOptions) -> usize {
    let parallelism = options.scale_down.parallelism;
    let interval = options.scan_interval.nanos().max(1);
    let passes = (options.scale_down.unneeded_time.nanos().max(interval) / interval) as usize;
    (unneeded + 2 * parallelism).min(parallelism * passes + parallelism)
}

/// Whether a node comes into question: it is of a group that may shrink, people do not keep it, and
/// little of it is used.
fn is_eligible(info: &NodeInfo, question: &Question<'_>) -> bool {
    let Some(node) = info.node() else { return false };
    let Some(&index) = question.group_of.get(&node.name) else { return false };
    let group = &question.groups[index];
    let kept = group.instances.get(&node.name).is_some_and(|one| one.state == InstanceState::Kept);
    let disabled = node.meta.annotations.get(Symbol::new(SCALE_DOWN_DISABLED));
    kept && !question.deleting.contains(&node.name)
        && question.spare(index) > 0
        && disabled.is_none_or(|value| value != "true")
        && is_little_used(info, node, question.now, &question.options.scale_down)
}

/// Whether the share of a node that is requested is at most the threshold: the larger one of CPU and
/// memory, or that of the GPUs where there are some.
pub(crate) fn is_little_used(info: &NodeInfo, node: &Node, now: SimTime, options: &ScaleDownOptions) -> bool {
    let gpu = Symbol::new(GPU_RESOURCE);
    let (mut cpu, mut memory, mut gpus) = (0, 0, 0);
    for row in info.pods() {
        let ignored = options.ignore_daemons && is_daemon(&row.pod) || is_long_terminating(now, &row.pod);
        if !ignored {
            let requests = &row.pod.spec.derived.requests;
            cpu += requests.cpu.get();
            memory += requests.memory.get();
            gpus += requests.scalars.get(gpu);
        }
    }
    let within = |requested: i64, offered: i64, threshold: Ratio| {
        i128::from(requested) * i128::from(threshold.den) <= i128::from(offered) * i128::from(threshold.num)
    };
    let offered = &node.allocatable.amounts;
    let gpus_offered = offered.scalars.get(gpu);
    if gpus_offered > 0 {
        return within(gpus, gpus_offered, options.gpu_utilization_threshold);
    }
    within(cpu, offered.cpu.get(), options.utilization_threshold)
        && within(memory, offered.memory.get(), options.utilization_threshold)
}

/// Tries to move pods from a node to nodes that exist and stay. If all fit, they are moved.
fn move_pods(
    view: &mut View,
    pods: &[Arc<Pod>],
    from: Symbol,
    gone: &BTreeSet<Symbol>,
    start: &mut usize,
) -> bool {
    view.snapshot.fork();
    pods.iter().for_each(|pod| view.snapshot.remove_pod(pod, from));
    for pod in pods {
        let (nodes, snapshot) = (&view.nodes, &mut view.snapshot);
        let waiting = Arc::new(Pod { node: None, ..Pod::clone(pod) });
        let target = snapshot.first_fit(&waiting, start, |info| {
            let name = info.name();
            name != from && !gone.contains(&name) && nodes.contains_key(&name)
        });
        let Some(target) = target else {
            view.snapshot.revert();
            return false;
        };
        view.snapshot.add_pod(pod, target);
    }
    view.snapshot.commit();
    true
}

/// Which nodes are to be deleted now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Deletions {
    /// Without pods that would have to move.
    pub(crate) empty: Vec<Symbol>,
    /// To be drained.
    pub(crate) drain: Vec<Symbol>,
}

/// How many deletions are under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnderWay {
    pub(crate) all: usize,
    pub(crate) with_drain: usize,
}

/// Chooses among unneeded nodes those whose time has come, as far as minima and the limits of
/// parallel deletions allow; empty ones first.
pub(crate) fn choose_deletions(
    view: &View,
    question: &Question<'_>,
    removable: &[Removable],
    under_way: UnderWay,
) -> Deletions {
    let options = &question.options.scale_down;
    let mut left: Vec<u32> = (0..question.groups.len()).map(|group| question.spare(group)).collect();
    let mut room = options.parallelism.saturating_sub(under_way.all);
    let mut empty_room = options.empty_bulk;
    let mut drain_room = options.drain_parallelism.saturating_sub(under_way.with_drain);
    let mut order: Vec<&Removable> = removable.iter().collect();
    order.sort_by_key(|one| (!one.pods.is_empty(), one.risky));
    let mut deletions = Deletions::default();
    for one in order {
        let Some(&group) = question.group_of.get(&one.node) else { continue };
        let (list, own_room) = match one.pods.is_empty() {
            true => (&mut deletions.empty, &mut empty_room),
            false => (&mut deletions.drain, &mut drain_room),
        };
        let due = due_at(view, question, one.node).is_some_and(|due| due < question.now);
        if due && left[group] > 0 && room > 0 && *own_room > 0 {
            left[group] -= 1;
            room -= 1;
            *own_room -= 1;
            list.push(one.node);
        }
    }
    deletions
}

/// The instant after which an unneeded node may be deleted.
pub(crate) fn due_at(view: &View, question: &Question<'_>, node: Symbol) -> Option<SimTime> {
    let options = &question.options.scale_down;
    let ready = view.nodes.get(&node).is_some_and(|node| is_ready(node));
    let span = if ready { options.unneeded_time } else { options.unready_time };
    question.unneeded.get(&node).map(|&since| since + span)
}
