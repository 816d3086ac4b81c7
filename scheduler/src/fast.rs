//! The fast path: decides the same as the plain one, from columns and indexes in place of loops over
//! nodes and plugins.
//!
//! - Pods that are equal in all that plugins of scope Node and Usage read are one class, which has a
//!   column: every node's verdict and score. Nodes that changed are judged again when the class is
//!   next asked for.
//! - Pod topology spread and pod affinity ask an index of pods by node and by domain, which is kept
//!   up to date with every pod that comes or goes.
//!
//! What it cannot serve (volumes, pods pinned to nodes by name, plugins of scope Cluster without an
//! index) it leaves to the plain path.

mod choose;
mod class;
mod column;
mod mask;
mod nominated;
mod plan;
mod shape;
mod spreading;
mod victims;

use std::sync::Arc;

use seatrial_api::pod::{Pod, PreemptionPolicy};
use seatrial_api::stream::Stream;

use crate::bitset::{self, Bitset, members};
use crate::cluster::{Cluster, TemplateId};
use crate::config::TieBreak;
use crate::decide::{Decided, NoFit, Outcome};
use crate::framework::{Code, PluginId, PluginSet, Profile};
use crate::queue::Nominations;
use crate::schedule::{Diagnosis, View, feasible_nodes_to_find, pre_filter};

use choose::{Buffers, Choice};
use class::{Class, Classes};
use column::{Column, PASSES};
use mask::{Nobody, Removed};
use nominated::Nominating;
use plan::{Plan, Planner};
use shape::Shape;
pub(crate) use victims::{Cost, VictimCache};

/// The memory of the fast path.
#[derive(Clone, Debug, Default)]
pub(crate) struct FastPath {
    shapes: Vec<Shape>,
    classes: Classes,
    /// Per profile and template.
    plans: Vec<Vec<Option<Box<Plan>>>>,
    buffers: Buffers,
    rows: Vec<u64>,
    pub(crate) victims: VictimCache,
}

/// What the fast path is asked.
pub(crate) struct Question<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) profile: &'a Profile,
    pub(crate) profile_id: u8,
    pub(crate) nominations: &'a Nominations,
    pub(crate) pod: &'a Arc<Pod>,
    pub(crate) start: &'a mut usize,
    pub(crate) ties: TieBreak,
    pub(crate) stream: &'a mut Stream,
}

impl FastPath {
    pub(crate) fn new(profiles: &[Profile]) -> FastPath {
        FastPath {
            shapes: profiles.iter().map(Shape::new).collect(),
            plans: vec![Vec::new(); profiles.len()],
            ..FastPath::default()
        }
    }

    /// Decides, or answers that the plain path has to.
    pub(crate) fn decide(&mut self, question: Question<'_>) -> Option<Decided> {
        self.victims.class = None;
        let Question { cluster, profile, profile_id, nominations, pod, start, ties, stream } = question;
        let template = self.ensure_plan(cluster, profile, profile_id, pod)?;
        let FastPath { shapes, classes, plans, buffers, rows, victims } = self;
        let cluster: &Cluster = cluster;
        let shape = &shapes[usize::from(profile_id)];
        let plan = plans[usize::from(profile_id)][template as usize].as_deref()?;
        let generation = classes.generation;
        let (class, column) = classes.caught_up(plan.class, cluster, profile, shape);
        if !nominations.is_empty() {
            if plan.has_cluster_filters() {
                return None;
            }
            Nominating { cluster, profile, nominations, class, pod }.catch_up(column);
        } else {
            column.nominated = None;
        }
        if !plan.has_cluster_filters() {
            victims.class = Some((plan.class, generation));
        }
        let decision = Decision { cluster, profile, nominations, pod, ties, shape, plan, class, column };
        Some(decision.decide(start, stream, buffers, rows))
    }

    /// Makes sure that there is a plan for the pod's template, if the fast path can serve the pod.
    fn ensure_plan(
        &mut self,
        cluster: &mut Cluster,
        profile: &Profile,
        profile_id: u8,
        pod: &Arc<Pod>,
    ) -> Option<TemplateId> {
        let shape = &self.shapes[usize::from(profile_id)];
        if !shape.is_supported || pod.target_node.is_some() || pod.node.is_some() {
            return None;
        }
        let template = cluster.template(pod);
        let plans = &mut self.plans[usize::from(profile_id)];
        if plans.len() <= template as usize {
            plans.resize(template as usize + 1, None);
        }
        let plan = &mut plans[template as usize];
        let is_valid = |plan: &Plan| plan.is_valid(cluster, &self.classes, template);
        if !plan.as_deref().is_some_and(is_valid) {
            let old = plan.take().map(|plan| *plan);
            let planner =
                Planner { cluster, classes: &mut self.classes, profile, profile_id, shape, pod, template };
            *plan = Some(Box::new(planner.plan(old)));
        }
        plan.as_deref().filter(|plan| plan.is_fast).map(|_| template)
    }
}

/// One decision.
struct Decision<'a> {
    cluster: &'a Cluster,
    profile: &'a Profile,
    nominations: &'a Nominations,
    pod: &'a Arc<Pod>,
    ties: TieBreak,
    shape: &'a Shape,
    plan: &'a Plan,
    class: &'a Class,
    column: &'a Column,
}

impl Decision<'_> {
    fn decide(
        &self,
        start: &mut usize,
        stream: &mut Stream,
        buffers: &mut Buffers,
        rows: &mut Vec<u64>,
    ) -> Decided {
        rows.clear();
        rows.extend_from_slice(self.column.feasible.words());
        mask::apply(self.plan, self.shape, &self.cluster.index, rows, &mut Nobody);
        if let Some(nominated) = &self.column.nominated {
            rows.iter_mut().enumerate().for_each(|(word, rows)| *rows &= !nominated.blocked.word(word));
        }
        let own_node = self.pod.status.nominated_node.and_then(|node| self.cluster.position(node));
        let own_verdict = own_node.and_then(|row| self.judge_own_node(row, rows));
        if let Some(row) = own_node.filter(|row| rows[row / 64] >> (row % 64) & 1 == 1) {
            return self.placed(row, 1, 0);
        }
        let nodes = self.cluster.node_count();
        let unfiltered = !self.plan.has_cluster_filters() && self.column.nominated.is_none();
        let feasible = if unfiltered { self.column.feasible_count } else { bitset::count(rows) };
        let enough = feasible_nodes_to_find(self.profile, nodes);
        let first = *start % nodes;
        let mut visited = if feasible > enough { cut(rows, nodes, first, enough, feasible) } else { nodes };
        if own_node.is_some_and(|row| (row + nodes - first) % nodes >= visited) {
            visited += 1;
        }
        *start = (*start + visited) % nodes;
        match feasible.min(enough) {
            0 => self.no_fit(visited, own_node.zip(own_verdict)),
            1 => self.placed(members(rows).next().unwrap_or_default(), visited, 0),
            scored => {
                let all = unfiltered && scored == self.column.feasible_count;
                let row = self.choose(stream, buffers, rows, scored, all);
                self.placed(row, visited, scored)
            }
        }
    }

    /// Where others are nominated to the pod's own node too, that is judged without the pod's own
    /// nomination.
    fn judge_own_node(&self, row: usize, rows: &mut [u64]) -> Option<(u8, bool)> {
        let Decision { cluster, profile, nominations, class, pod, column, .. } = *self;
        if !column.nominated.as_ref().is_some_and(|nominated| nominated.rows.contains(row)) {
            return None;
        }
        let nominating = Nominating { cluster, profile, nominations, class, pod };
        let verdict = nominating.verdict_on_own_node(column, row);
        rows[row / 64] &= !(1 << (row % 64));
        rows[row / 64] |= u64::from(verdict.0 == PASSES) << (row % 64);
        Some(verdict)
    }

    fn placed(&self, row: usize, filtered: usize, scored: usize) -> Decided {
        Decided { outcome: Outcome::Node(row), filtered, scored }
    }

    /// The best of the feasible rows, which may be all that are feasible by the column.
    fn choose(
        &self,
        stream: &mut Stream,
        buffers: &mut Buffers,
        rows: &[u64],
        feasible: usize,
        all: bool,
    ) -> usize {
        let Decision { plan, shape, cluster, column, .. } = *self;
        let choice = Choice { plan, shape, cluster, column, rows, feasible };
        if all && self.ties == TieBreak::Seeded && choice.is_plain() {
            let (max, count) = column.best();
            let k = if count > 1 { stream.below(count as u64) as usize } else { 0 };
            return column.nth_best(max, k).expect("invariant: of some nodes one is best");
        }
        let best = choice.best(buffers);
        let count = bitset::count(best);
        let chosen = match self.ties {
            TieBreak::First => cluster.first_by_name(members(best)),
            TieBreak::Seeded if count > 1 => bitset::nth(best, stream.below(count as u64) as usize),
            TieBreak::Seeded | TieBreak::Heap => members(best).next(),
        };
        chosen.expect("invariant: of some nodes one is best")
    }

    /// Who rejected the pod, and on which nodes evicting pods may help.
    fn no_fit(&self, visited: usize, own: Option<(usize, (u8, bool))>) -> Decided {
        let mut helpful = self.column.helpful.clone();
        let mut rejectors = PluginSet::EMPTY;
        let mut rejected: Vec<i64> = self.column.rejected().iter().map(|&count| i64::from(count)).collect();
        if let Some(nominated) = &self.column.nominated {
            for (count, &change) in rejected.iter_mut().zip(&nominated.rejected) {
                *count += i64::from(change);
            }
            helpful.replace(&nominated.rows, &nominated.helpful);
            if let Some((row, (verdict, helps))) = own {
                let mut count = |verdict: u8, change| {
                    if let Some(count) = rejected.get_mut(usize::from(verdict)) {
                        *count += change;
                    }
                };
                count(nominated.last_verdict(row), -1);
                count(verdict, 1);
                helpful.assign(row, helps);
            }
        }
        let rejecting = rejected.iter().enumerate().filter(|(_, count)| **count > 0);
        rejecting.for_each(|(filter, _)| rejectors.insert(self.class.filter(filter)));
        let mut told = Rejections { rejectors, helpful };
        let mut rows = self.column.feasible.words().to_vec();
        mask::apply(self.plan, self.shape, &self.cluster.index, &mut rows, &mut told);
        let mut state = self.class.state.clone();
        if self.plan.has_cluster_filters() && self.may_preempt() {
            state = Default::default();
            let Decision { cluster, profile, nominations, pod, .. } = *self;
            let view = View { cluster, profile, nominations, pod, explain: false };
            // Columns hold no state of cluster-wide filters, which trying evictions needs.
            let _ = pre_filter(view, &mut state, &mut Diagnosis::default());
        }
        let diagnosis =
            Diagnosis { rejectors: told.rejectors, helpful: Some(told.helpful), ..Diagnosis::default() };
        let outcome = Outcome::NoFit(Box::new(NoFit { diagnosis, state }));
        Decided { outcome, filtered: visited, scored: 0 }
    }

    fn may_preempt(&self) -> bool {
        let spec = &self.pod.spec;
        spec.preemption_policy != PreemptionPolicy::Never && self.cluster.has_pods_below(spec.priority())
    }
}

/// Collects who rejected rows by filters of scope Cluster.
struct Rejections {
    rejectors: PluginSet,
    helpful: Bitset,
}

impl Removed for Rejections {
    fn removed(&mut self, plugin: PluginId, code: Code, word: usize, rows: u64) {
        self.rejectors.insert(plugin);
        if code == Code::Unschedulable {
            self.helpful.insert_word(word, rows);
        }
    }
}

/// Keeps the first `enough` of the `feasible` rows from `first` on, round and round; answers with
/// how many rows come before the next one.
fn cut(rows: &mut [u64], nodes: usize, first: usize, enough: usize, feasible: usize) -> usize {
    let (word, bit) = (first / 64, first % 64);
    let before = bitset::count(&rows[..word]) + (rows[word] & ((1 << bit) - 1)).count_ones() as usize;
    let rank = (before + enough) % feasible;
    let end = bitset::nth(rows, rank).expect("invariant: the rank is below the count");
    let keep = |word: usize, from: usize, to: usize| -> u64 {
        let bound = |row: usize| row.saturating_sub(word * 64).min(64);
        let below = |bits: usize| if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        below(bound(to)) & !below(bound(from))
    };
    let len = rows.len() * 64;
    for (word, rows) in rows.iter_mut().enumerate() {
        *rows &=
            if end > first { keep(word, first, end) } else { keep(word, first, len) | keep(word, 0, end) };
    }
    if end > first { end - first } else { nodes - first + end }
}
