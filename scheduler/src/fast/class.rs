//! Pod classes: per class, the verdict and the score of every node, brought up to date lazily.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::pod::Pod;
use smallvec::SmallVec;

use super::column::{Column, Kind, PASSES};
use super::shape::Shape;
use crate::bitset::Bitset;
use crate::cluster::{Cluster, Content, NodeInfo, RowChangeKind};
use crate::framework::{Code, Cycle, CycleState, PluginId, PreFilter, Profile, Scope, Why};

/// The row of a class in [`Classes`].
pub(crate) type ClassId = u32;

/// A filter of scope Node or Usage.
#[derive(Clone, Copy, Debug)]
struct ClassFilter {
    plugin: PluginId,
    of_usage: bool,
}

/// A score that needs no normalisation.
#[derive(Clone, Copy, Debug)]
struct ClassScore {
    plugin: PluginId,
    weight: i64,
    of_usage: bool,
}

/// Pods that are equal in all that plugins of scope Node and Usage read.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// One of the pods.
    pub(crate) pod: Arc<Pod>,
    /// What PreFilter and PreScore found, where it depends on the specification alone. All other
    /// filters are left out.
    pub(crate) state: CycleState,
    filters: SmallVec<[ClassFilter; 8]>,
    scores: SmallVec<[ClassScore; 4]>,
    last_asked: u64,
}

/// All classes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    by_content: FxHashMap<Content, ClassId>,
    classes: Vec<Class>,
    columns: Vec<Option<Box<Column>>>,
    column_count: usize,
    asked: u64,
    /// Changes when classes were forgotten.
    pub(crate) generation: u64,
}

/// So many classes are remembered.
const MAX_CLASSES: usize = 16_384;
/// So many classes have columns at least, whatever their size.
const MIN_COLUMNS: usize = 32;
/// So many bytes of columns there are at most, beyond those.
const MAX_COLUMN_BYTES: usize = 64 << 20;
/// From so many changes on, or one for so many rows, it is worth knowing which rows have been judged
/// already.
const MANY_CHANGES: usize = 64;
/// So many rows are judged together.
const ROWS_AT_ONCE: usize = 64;
/// A class gives its column back when so many decisions did not ask for it.
const IDLE_DECISIONS: u64 = 65_536;

impl Classes {
    /// The class of a pod.
    pub(crate) fn intern(
        &mut self,
        cluster: &Cluster,
        profile: &Profile,
        profile_id: u8,
        shape: &Shape,
        pod: &Arc<Pod>,
    ) -> ClassId {
        let mut content = Content::default();
        content.number(i64::from(profile_id));
        for &plugin in &shape.readers {
            profile.plugin(plugin).reads(pod, &mut content);
        }
        if let Some(&id) = self.by_content.get(&content) {
            return id;
        }
        if self.classes.len() >= MAX_CLASSES {
            *self = Classes { generation: self.generation + 1, ..Classes::default() };
        }
        let id = self.classes.len() as ClassId;
        self.classes.push(Class::new(cluster, profile, shape, pod));
        self.columns.push(None);
        self.by_content.insert(content, id);
        id
    }

    /// The class, with its column up to date.
    pub(crate) fn caught_up(
        &mut self,
        id: ClassId,
        cluster: &Cluster,
        profile: &Profile,
        shape: &Shape,
    ) -> (&Class, &mut Column) {
        self.asked += 1;
        let index = id as usize;
        if self.columns[index].is_none() {
            self.make_room(cluster.node_count());
            self.column_count += 1;
        }
        self.classes[index].last_asked = self.asked;
        let column = self.columns[index].get_or_insert_default();
        let class = &self.classes[index];
        class.catch_up(cluster, profile, shape, column);
        (class, column)
    }

    /// Takes columns from classes that were not asked for long, and from the one that was not for
    /// longest if there are too many.
    fn make_room(&mut self, rows: usize) {
        let affordable = MAX_COLUMN_BYTES / Column::size_of_rows(rows).max(1);
        let idle_since = self.asked.saturating_sub(IDLE_DECISIONS);
        let mut oldest: Option<usize> = None;
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.is_none() {
                continue;
            }
            if self.classes[index].last_asked < idle_since {
                *column = None;
                self.column_count -= 1;
            } else if oldest
                .is_none_or(|other| self.classes[index].last_asked < self.classes[other].last_asked)
            {
                oldest = Some(index);
            }
        }
        if self.column_count >= affordable.max(MIN_COLUMNS)
            && let Some(index) = oldest
        {
            self.columns[index] = None;
            self.column_count -= 1;
        }
    }
}

impl Class {
    fn new(cluster: &Cluster, profile: &Profile, shape: &Shape, pod: &Arc<Pod>) -> Class {
        let mut state = CycleState::default();
        for &plugin in &profile.pre_filter {
            let implementation = profile.plugin(plugin);
            let skips = implementation.scope() != Scope::Cluster
                && implementation.pre_filter(cluster, pod, &mut state) == PreFilter::Skip;
            if skips {
                state.skip_filter.insert(plugin);
            }
        }
        for &plugin in &profile.filter {
            if profile.plugin(plugin).scope() == Scope::Cluster {
                state.skip_filter.insert(plugin);
            }
        }
        for &(plugin, _) in &profile.score {
            let implementation = profile.plugin(plugin);
            let skips = implementation.scope() != Scope::Cluster
                && implementation.points().pre_score
                && !implementation.pre_score(cluster, pod, &[], &mut state);
            if skips {
                state.skip_score.insert(plugin);
            }
        }
        let of_usage = |plugin: PluginId| profile.plugin(plugin).scope() == Scope::Usage;
        let filters = shape.filters.iter().filter(|&&plugin| !state.skip_filter.contains(plugin));
        let scores = shape.scores.iter().filter(|score| !state.skip_score.contains(score.0));
        Class {
            filters: filters.map(|&plugin| ClassFilter { plugin, of_usage: of_usage(plugin) }).collect(),
            scores: scores
                .map(|&(plugin, weight)| ClassScore { plugin, weight, of_usage: of_usage(plugin) })
                .collect(),
            pod: pod.clone(),
            state,
            last_asked: 0,
        }
    }

    /// The verdict on a node that is thought to be different from what the column saw, and whether
    /// evicting pods may help.
    pub(crate) fn judge(&self, cluster: &Cluster, profile: &Profile, node: &NodeInfo) -> (u8, bool) {
        let cycle = Cycle { cluster, pod: &self.pod, state: &self.state };
        for (index, filter) in self.filters.iter().enumerate() {
            if let Err(code) = profile.plugin(filter.plugin).filter(cycle, node, &mut Why::ignored()) {
                return (index as u8, code == Code::Unschedulable);
            }
        }
        (PASSES, false)
    }

    /// How many filters the column has.
    pub(crate) fn filter_count(&self) -> usize {
        self.filters.len()
    }

    /// The plugin behind a verdict of the column.
    pub(crate) fn filter(&self, verdict: usize) -> PluginId {
        self.filters[verdict].plugin
    }

    fn catch_up(&self, cluster: &Cluster, profile: &Profile, shape: &Shape, column: &mut Column) {
        let cycle = Cycle { cluster, pod: &self.pod, state: &self.state };
        let changes = match cluster.changes_since(column.seen) {
            Some(changes) if column.epoch == cluster.epoch && column.has_rows() && !column.is_crowded() => {
                changes
            }
            _ => {
                self.rebuild(cycle, profile, shape, column);
                return;
            }
        };
        // A class that is rarely asked for finds rows that have changed many times.
        let nodes = cluster.node_count();
        let many = changes.len() > MANY_CHANGES.max(nodes / MANY_CHANGES);
        let mut known = many.then(|| Bitset::with_len(nodes));
        let (mut rows, mut count) = ([0; ROWS_AT_ONCE], 0);
        for change in changes {
            match change.kind {
                RowChangeKind::PodStatus => continue,
                RowChangeKind::Object => self.judge_node(cycle, profile, shape, change.row as usize, column),
                RowChangeKind::Pods => {}
            }
            if let Some(known) = &mut known {
                if known.contains(change.row as usize) {
                    continue;
                }
                known.insert(change.row as usize);
            }
            if count == ROWS_AT_ONCE {
                self.judge_usage(cycle, profile, &rows, column);
                count = 0;
            }
            rows[count] = change.row;
            count += 1;
        }
        self.judge_usage(cycle, profile, &rows[..count], column);
        column.seen = cluster.change_count();
        if column.images_seen != cluster.images_epoch {
            self.judge_images(cycle, profile, shape, column);
        }
    }

    fn rebuild(&self, cycle: Cycle<'_>, profile: &Profile, shape: &Shape, column: &mut Column) {
        let cluster = cycle.cluster;
        column.reset(cluster.node_count(), self.filters.len());
        for row in 0..cluster.node_count() {
            self.judge_node(cycle, profile, shape, row, column);
        }
        let rows: Vec<u32> = (0..cluster.node_count() as u32).collect();
        rows.chunks(ROWS_AT_ONCE).for_each(|rows| self.judge_usage(cycle, profile, rows, column));
        column.epoch = cluster.epoch;
        column.seen = cluster.change_count();
        column.images_seen = cluster.images_epoch;
    }

    /// Images spread over nodes: rows with images are judged again.
    fn judge_images(&self, cycle: Cycle<'_>, profile: &Profile, shape: &Shape, column: &mut Column) {
        column.images_seen = cycle.cluster.images_epoch;
        let mut rows = Vec::new();
        for (row, node) in cycle.cluster.nodes().iter().enumerate() {
            let images = node.node().map_or(&[][..], |node| node.images());
            if !images.is_empty() {
                self.judge_node(cycle, profile, shape, row, column);
                rows.push(row as u32);
            }
        }
        rows.chunks(ROWS_AT_ONCE).for_each(|rows| self.judge_usage(cycle, profile, rows, column));
    }

    /// What plugins of scope Node make of a row.
    fn judge_node(
        &self,
        cycle: Cycle<'_>,
        profile: &Profile,
        shape: &Shape,
        row: usize,
        column: &mut Column,
    ) {
        let node = &cycle.cluster.nodes()[row];
        let (mut reject, mut is_helpful) = (PASSES, false);
        for (index, filter) in self.filters.iter().enumerate() {
            if !filter.of_usage
                && let Err(code) = profile.plugin(filter.plugin).filter(cycle, node, &mut Why::ignored())
            {
                (reject, is_helpful) = (index as u8, code == Code::Unschedulable);
                break;
            }
        }
        let weighted = |score: &ClassScore| score.weight * profile.plugin(score.plugin).score(cycle, node);
        let base = self.scores.iter().filter(|score| !score.of_usage).map(weighted).sum();
        let raw = |plugin: PluginId| {
            if self.state.skip_score.contains(plugin) { 0 } else { profile.plugin(plugin).score(cycle, node) }
        };
        let raws = shape.normalized.iter().map(|score| raw(score.plugin)).collect();
        column.set_kind(row, Kind { reject, is_helpful, base, group: 0 }, raws);
    }

    /// What plugins of scope Usage make of at most [`ROWS_AT_ONCE`] rows, and so their verdicts and
    /// their scores.
    fn judge_usage(&self, cycle: Cycle<'_>, profile: &Profile, rows: &[u32], column: &mut Column) {
        let mut verdicts = [(PASSES, false); ROWS_AT_ONCE];
        let mut all_pass = true;
        if column.only_kind().is_none_or(|kind| kind.reject != PASSES) {
            for (&row, verdict) in rows.iter().zip(&mut verdicts) {
                let kind = column.kind(row as usize);
                *verdict = (kind.reject, kind.is_helpful);
                all_pass &= kind.reject == PASSES;
            }
        }
        for (index, filter) in self.filters.iter().enumerate().filter(|(_, filter)| filter.of_usage) {
            // The first filter that rejects is the one that counts.
            profile.plugin(filter.plugin).filter_rows(cycle, rows, &mut |place, code| {
                if (index as u8) < verdicts[place].0 {
                    verdicts[place] = (index as u8, code == Code::Unschedulable);
                    all_pass = false;
                }
            });
        }
        if all_pass {
            return self.score_usage(cycle, profile, rows, column);
        }
        let (mut passing, mut count) = ([0; ROWS_AT_ONCE], 0);
        for (&row, (verdict, is_helpful)) in rows.iter().zip(verdicts) {
            if verdict == PASSES {
                passing[count] = row;
                count += 1;
            } else {
                column.set_rejected(row as usize, verdict, is_helpful);
            }
        }
        self.score_usage(cycle, profile, &passing[..count], column);
    }

    /// The scores of at most [`ROWS_AT_ONCE`] rows that pass.
    fn score_usage(&self, cycle: Cycle<'_>, profile: &Profile, rows: &[u32], column: &mut Column) {
        let mut totals = [0; ROWS_AT_ONCE];
        let totals = &mut totals[..rows.len()];
        match column.only_kind() {
            Some(kind) => totals.fill(kind.base),
            None => {
                let bases = rows.iter().map(|&row| column.kind(row as usize).base);
                totals.iter_mut().zip(bases).for_each(|(total, base)| *total = base);
            }
        }
        for score in self.scores.iter().filter(|score| score.of_usage) {
            profile.plugin(score.plugin).score_rows(cycle, rows, score.weight, totals);
        }
        for (&row, &mut total) in rows.iter().zip(totals) {
            column.set_feasible(row as usize, total);
        }
    }
}
