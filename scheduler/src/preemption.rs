//! What is done for a pod that fits nowhere: PostFilter, and preemption by upstream's rules.

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::pod::{Pod, PodConditionType, PodReason, PreemptionPolicy};
use seatrial_api::policy::PodDisruptionBudget;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::bitset::members;
use crate::cluster::{Cluster, NodeInfo};
use crate::config::{PreemptionArgs, TieBreak};
use crate::extender::Extenders;
use crate::fast::{Cost, VictimCache};
use crate::framework::{Code, CycleState, Profile, Reason, ReasonCounts, fit_message};
use crate::queue::Nominations;
use crate::schedule::{Diagnosis, View, add_pod, passes_with_nominated, remove_pod};

/// What PostFilter plugins are handed.
pub struct PostFilterContext<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) profile: &'a Profile,
    pub(crate) nominations: &'a Nominations,
    pub(crate) pod: &'a Arc<Pod>,
    pub(crate) state: &'a CycleState,
    pub(crate) diagnosis: &'a Diagnosis,
    pub(crate) explain: bool,
    pub(crate) ties: TieBreak,
    pub(crate) stream: &'a mut Stream,
    /// Whether all candidates are tried, in place of upstream's sample.
    pub(crate) exhaustive: bool,
    /// Who is asked whether the victims are right.
    pub(crate) extenders: Option<Extenders<'a>>,
    /// All candidates that were found, for those who want to see them.
    pub(crate) candidates: Vec<Candidate>,
    /// What evictions on a node cost, as far as it is remembered.
    pub(crate) costs: Option<&'a mut VictimCache>,
}

/// The answer of a PostFilter plugin.
#[derive(Clone, Debug)]
pub enum PostFilter {
    /// Nothing can be done, and nothing is to be said about it.
    Nothing,
    /// Nothing can be done; the pod keeps its nomination.
    Unschedulable(String),
    /// Nothing can be done; the pod loses its nomination.
    Unhelpful(String),
    /// It failed.
    Error(String),
    /// These victims make room.
    Preempt(Candidate),
}

/// A node on which evicting pods makes room.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The node.
    pub node: Symbol,
    /// The pods to evict, the most important first.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them a disruption budget does not allow to go.
    pub violations: usize,
}

/// What the PostFilter plugins together came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct PostFilterResult {
    pub(crate) preemption: Option<Candidate>,
    /// Whether the pod's nomination is to be cleared.
    pub(crate) clear_nomination: bool,
    /// Whether a plugin failed.
    pub(crate) failed: bool,
    pub(crate) message: String,
}

/// Runs the PostFilter plugins until one succeeds or fails.
pub(crate) fn post_filter(context: &mut PostFilterContext<'_>) -> PostFilterResult {
    let mut result = PostFilterResult::default();
    let mut reasons = Vec::new();
    if context.profile.post_filter.is_empty() {
        result.clear_nomination = true;
    }
    for &plugin in &context.profile.post_filter {
        match context.profile.plugin(plugin).post_filter(context) {
            PostFilter::Nothing => {}
            PostFilter::Unschedulable(message) => reasons.push(message),
            PostFilter::Unhelpful(message) => {
                result.clear_nomination = true;
                reasons.push(message);
            }
            PostFilter::Error(message) => {
                return PostFilterResult { failed: true, message, ..PostFilterResult::default() };
            }
            PostFilter::Preempt(candidate) => {
                return PostFilterResult { preemption: Some(candidate), ..PostFilterResult::default() };
            }
        }
    }
    result.message = reasons.join(", ");
    result
}

/// The whole message about a pod that fits nowhere.
pub(crate) fn fit_error(nodes: usize, diagnosis: &Diagnosis, result: &PostFilterResult) -> String {
    let mut message = diagnosis.message(nodes);
    if result.preemption.is_none() && !result.message.is_empty() {
        message.push(' ');
        message.push_str(&result.message);
    }
    message
}

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// Looks for the node on which evicting pods of lower priority does the least harm.
pub(crate) fn preempt(context: &mut PostFilterContext<'_>, arguments: PreemptionArgs) -> PostFilter {
    if let Some(text) = ineligible(context) {
        return PostFilter::Unschedulable(format!("preemption: {text}"));
    }
    if !context.cluster.has_pods_below(context.pod.spec.priority()) {
        return PostFilter::Unhelpful(match context.explain {
            true => no_victims(context),
            false => String::new(),
        });
    }
    let potential = potential_nodes(context);
    if !context.explain
        && let Some(chosen) = preempt_by_costs(context, arguments, &potential)
    {
        return chosen;
    }
    let mut refusals = Refusals::default();
    let candidates = dry_run(context, arguments, &potential, &mut refusals);
    if candidates.is_empty() {
        let message = refusals.message(context.cluster.node_count());
        return PostFilter::Unhelpful(format!("preemption: {message}"));
    }
    let candidates =
        match context.extenders.map(|one| one.review(context.cluster, context.pod, candidates.clone())) {
            None => candidates,
            Some(Ok(reviewed)) => reviewed,
            Some(Err(problem)) => return PostFilter::Error(format!("preemption: {problem}")),
        };
    if candidates.is_empty() {
        return PostFilter::Unschedulable("preemption: no candidate node for preemption".into());
    }
    let best = best_candidates(&candidates);
    let names = best.iter().map(|&index| candidates[index].node);
    let chosen = best[break_tie(context.ties, context.stream, names)];
    context.candidates = candidates;
    PostFilter::Preempt(context.candidates[chosen].clone())
}

/// What is said where no pod has a lower priority, so that no node need be tried.
fn no_victims(context: &PostFilterContext<'_>) -> String {
    let mut refusals = Refusals::default();
    for _ in potential_nodes(context) {
        refusals.add([Reason::Text(NO_VICTIMS)]);
    }
    format!("preemption: {}", refusals.message(context.cluster.node_count()))
}

/// Which of several equally good nodes is taken, as an index into them.
fn break_tie(ties: TieBreak, stream: &mut Stream, names: impl ExactSizeIterator<Item = Symbol>) -> usize {
    match ties {
        TieBreak::First | TieBreak::Heap => {
            names.enumerate().min_by_key(|(_, name)| *name).map_or(0, |(index, _)| index)
        }
        TieBreak::Seeded if names.len() > 1 => stream.below(names.len() as u64) as usize,
        TieBreak::Seeded => 0,
    }
}

/// The same choice from remembered costs: only nodes that changed are tried. `None` if nothing can
/// be remembered for the pod.
fn preempt_by_costs(
    context: &mut PostFilterContext<'_>,
    arguments: PreemptionArgs,
    potential: &[usize],
) -> Option<PostFilter> {
    let (cluster, nominations, pod) = (context.cluster, context.nominations, context.pod);
    let cache = context.costs.take()?;
    let costs = cache.costs(cluster, nominations, pod)?;
    if potential.is_empty() {
        return Some(PostFilter::Unhelpful(String::new()));
    }
    let (offset, enough) = sample(context.exhaustive, context.stream, arguments, potential.len());
    let budgets: Vec<_> = cluster.budgets().cloned().collect();
    let view = View { cluster, profile: context.profile, nominations, pod, explain: false };
    let own_row = nominations.of(pod.meta.id).and_then(|node| cluster.position(node));
    let (mut kind, mut violating) = (0, 0);
    let mut best: Vec<usize> = Vec::new();
    let mut least: Option<Harm> = None;
    for step in 0..potential.len() {
        let row = potential[(offset + step) % potential.len()];
        let mut cost = costs[row];
        if cost == Cost::Unknown || Some(row) == own_row {
            cost = match victims_on(view, context.state, cluster.node_at(row), &budgets) {
                Ok(candidate) => Cost::Candidate(harm(&candidate)),
                Err(_) => Cost::NoCandidate,
            };
            // On the pod's own node its own nomination does not count, so that is true for no other.
            if Some(row) != own_row {
                costs[row] = cost;
            }
        }
        let Cost::Candidate(harm) = cost else { continue };
        if least.is_none_or(|least| harm < least) {
            best.clear();
            least = Some(harm);
        }
        if least == Some(harm) {
            best.push(row);
        }
        if harm.violations == 0 {
            kind += 1
        } else {
            violating += 1
        }
        if kind > 0 && kind + violating >= enough {
            break;
        }
    }
    if best.is_empty() {
        return Some(PostFilter::Unhelpful(String::new()));
    }
    let names = best.iter().map(|&row| cluster.node_at(row).name());
    let row = best[break_tie(context.ties, context.stream, names)];
    let candidate = victims_on(view, context.state, cluster.node_at(row), &budgets);
    Some(PostFilter::Preempt(candidate.expect("invariant: what made room a moment ago still does")))
}

/// From which node on evictions are tried, and how many candidates are enough.
fn sample(
    exhaustive: bool,
    stream: &mut Stream,
    arguments: PreemptionArgs,
    potential: usize,
) -> (usize, usize) {
    if exhaustive {
        (0, potential)
    } else {
        let offset = stream.below(potential as u64) as usize;
        (offset, candidates_to_find(arguments, potential))
    }
}

/// Why the pod may not preempt.
fn ineligible(context: &PostFilterContext<'_>) -> Option<&'static str> {
    let pod = context.pod;
    if pod.spec.preemption_policy == PreemptionPolicy::Never {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = pod.status.nominated_node?;
    if context.diagnosis.code_of(context.cluster, node) == Code::Unresolvable {
        return None;
    }
    let waits =
        |other: &Pod| other.spec.priority() < pod.spec.priority() && is_terminating_by_preemption(other);
    let info = context.cluster.node(node)?;
    info.pods()
        .iter()
        .any(|row| waits(&row.pod))
        .then_some("not eligible due to a terminating pod on the nominated node.")
}

fn is_terminating_by_preemption(pod: &Pod) -> bool {
    let condition = pod.status.conditions.get(PodConditionType::DisruptionTarget);
    pod.meta.is_deleting() && condition.is_true() && condition.reason == PodReason::PreemptionByScheduler
}

/// Positions of the nodes that were rejected in a way that evictions may change, in visiting order.
fn potential_nodes(context: &PostFilterContext<'_>) -> Vec<usize> {
    let diagnosis = context.diagnosis;
    if let Some(helpful) = &diagnosis.helpful {
        return members(helpful.words()).collect();
    }
    let absent_helps = diagnosis.absent.as_ref().is_some_and(|absent| absent.code == Code::Unschedulable);
    let codes: FxHashMap<Symbol, Code> =
        diagnosis.rejections.iter().map(|rejection| (rejection.node, rejection.code)).collect();
    let helps = |position: &usize| match codes.get(&context.cluster.node_at(*position).name()) {
        Some(code) => *code == Code::Unschedulable,
        None => absent_helps,
    };
    (0..context.cluster.node_count()).filter(helps).collect()
}

/// Why nodes are no candidates, as far as it is not that preemption cannot help there.
#[derive(Default)]
struct Refusals {
    counts: ReasonCounts,
    nodes: usize,
}

impl Refusals {
    fn add(&mut self, reasons: impl IntoIterator<Item = Reason>) {
        self.nodes += 1;
        for reason in reasons {
            self.counts.add(&reason, 1);
        }
    }

    fn message(mut self, nodes: usize) -> String {
        if nodes > self.nodes {
            self.counts.add(&Reason::Text(NOT_HELPFUL), nodes - self.nodes);
        }
        fit_message(nodes, &self.counts)
    }
}

/// How many candidates are enough.
fn candidates_to_find(arguments: PreemptionArgs, nodes: usize) -> usize {
    let share = nodes * arguments.min_candidate_nodes_percentage as usize / 100;
    share.max(arguments.min_candidate_nodes_absolute as usize).min(nodes)
}

/// Tries evictions node by node, from a random one on, until enough candidates are found.
fn dry_run(
    context: &mut PostFilterContext<'_>,
    arguments: PreemptionArgs,
    potential: &[usize],
    refusals: &mut Refusals,
) -> Vec<Candidate> {
    if potential.is_empty() {
        return Vec::new();
    }
    let (offset, enough) = sample(context.exhaustive, context.stream, arguments, potential.len());
    let budgets: Vec<_> = context.cluster.budgets().cloned().collect();
    let view = View {
        cluster: context.cluster,
        profile: context.profile,
        nominations: context.nominations,
        pod: context.pod,
        explain: context.explain,
    };
    let (mut kind, mut violating) = (Vec::new(), Vec::new());
    for step in 0..potential.len() {
        let node = context.cluster.node_at(potential[(offset + step) % potential.len()]);
        match victims_on(view, context.state, node, &budgets) {
            Ok(candidate) if candidate.violations == 0 => kind.push(candidate),
            Ok(candidate) => violating.push(candidate),
            Err(reasons) => refusals.add(reasons),
        }
        if !kind.is_empty() && kind.len() + violating.len() >= enough {
            break;
        }
    }
    kind.append(&mut violating);
    kind
}

/// The fewest pods of a node whose eviction makes room, or why there are none.
fn victims_on(
    view: View<'_>,
    state: &CycleState,
    node: &NodeInfo,
    budgets: &[Arc<PodDisruptionBudget>],
) -> Result<Candidate, Vec<Reason>> {
    let priority = view.pod.spec.priority();
    let lower = |pod: &&Arc<Pod>| pod.spec.priority() < priority;
    let mut potential: Vec<Arc<Pod>> =
        node.pods().iter().map(|row| &row.pod).filter(lower).cloned().collect();
    if potential.is_empty() {
        return Err(vec![Reason::Text(NO_VICTIMS)]);
    }
    let (mut state, mut node) = (state.clone(), node.clone());
    for victim in &potential {
        remove_pod(view, &mut state, &mut node, victim);
    }
    if let Err(rejection) = passes_with_nominated(view, &state, &node, view.explain) {
        return Err(rejection.reasons);
    }
    potential.sort_by_key(|pod| importance(pod));
    let (violating, kind) = split_by_budgets(potential, budgets);
    let both = !violating.is_empty() && !kind.is_empty();
    let mut victims = Vec::new();
    let mut reprieve = |pod: Arc<Pod>| {
        add_pod(view, &mut state, &mut node, &pod);
        let fits = passes_with_nominated(view, &state, &node, false).is_ok();
        if !fits {
            remove_pod(view, &mut state, &mut node, &pod);
            victims.push(pod);
        }
        fits
    };
    let violations = violating.into_iter().map(&mut reprieve).filter(|fits| !fits).count();
    kind.into_iter().for_each(|pod| {
        reprieve(pod);
    });
    if victims.is_empty() {
        let text = format!("expected at least one victim pod on node \"{}\"", node.name());
        return Err(vec![Reason::Owned(text.into())]);
    }
    if both {
        victims.sort_by_key(|pod| importance(pod));
    }
    Ok(Candidate { node: node.name(), victims, violations })
}

/// The order in which pods are kept: by priority, then by how long they have been running.
fn importance(pod: &Pod) -> (Reverse<i32>, SimTime) {
    (Reverse(pod.spec.priority()), pod.status.start_time.unwrap_or(SimTime::MAX))
}

/// Pods whose eviction no budget allows, and the others; both in the order given.
fn split_by_budgets(
    pods: Vec<Arc<Pod>>,
    budgets: &[Arc<PodDisruptionBudget>],
) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut allowed: Vec<i64> =
        budgets.iter().map(|budget| i64::from(budget.status.disruptions_allowed)).collect();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            if protects(budget, pod) {
                *allowed -= 1;
                violates |= *allowed < 0;
            }
        }
        violates
    })
}

/// Whether a budget counts the eviction of a pod.
fn protects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.selector.as_ref().filter(|selector| !selector.is_empty());
    !pod.meta.labels.is_empty()
        && budget.meta.namespace == pod.meta.namespace
        && selector.is_some_and(|selector| selector.matches(&pod.meta.labels))
        && budget.status.disrupted_pods.iter().all(|(uid, _)| *uid != pod.meta.uid)
}

/// Indexes of the candidates that are tied after upstream's five criteria: fewest violations,
/// lowest highest priority, smallest sum of priorities, fewest victims, latest start.
pub(crate) fn best_candidates(candidates: &[Candidate]) -> Vec<usize> {
    let keys: Vec<_> = candidates.iter().map(harm).collect();
    let least = keys.iter().min().copied();
    (0..candidates.len()).filter(|&index| Some(keys[index]) == least).collect()
}

/// What evicting a candidate's victims does, the least of which is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Harm {
    violations: usize,
    highest_priority: i32,
    priorities: i64,
    victims: usize,
    start: Reverse<SimTime>,
}

fn harm(candidate: &Candidate) -> Harm {
    let priority = |pod: &Arc<Pod>| pod.spec.priority();
    let victims = &candidate.victims;
    let most_important = victims.iter().map(priority).max();
    let earliest = victims
        .iter()
        .filter(|pod| Some(priority(pod)) == most_important)
        .map(|pod| pod.status.start_time.unwrap_or(SimTime::MAX))
        .min();
    Harm {
        violations: candidate.violations,
        highest_priority: victims.first().map_or(i32::MIN, priority),
        priorities: victims.iter().map(|pod| i64::from(priority(pod)) + (1i64 << 31)).sum(),
        victims: victims.len(),
        start: Reverse(earliest.unwrap_or(SimTime::MAX)),
    }
}
