//! What nominated pods do to the verdicts of a column.
//!
//! A node to which pods of at least the same priority are nominated must pass the filters with them
//! and without them. Few nodes have nominations, and few of those change between two decisions.

use std::collections::BTreeMap;

use seatrial_api::pod::Pod;
use smallvec::SmallVec;

use super::class::Class;
use super::column::{Column, PASSES};
use crate::bitset::Bitset;
use crate::cluster::Cluster;
use crate::framework::Profile;
use crate::queue::Nominations;

/// A node with nominations that count.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The column's own verdict.
    own: u8,
    /// The verdict that counts: with the nominated pods if that rejects, else the own one.
    last: u8,
}

/// The part of a column that nominations concern, for pods of one priority.
#[derive(Clone, Debug)]
pub(crate) struct NominatedColumn {
    priority: i32,
    seen_rows: u64,
    seen_nominations: u64,
    entries: BTreeMap<u32, Entry>,
    /// Rows with an entry.
    pub(crate) rows: Bitset,
    /// Rows that only nominated pods make infeasible, or that are infeasible anyway.
    pub(crate) blocked: Bitset,
    /// Rows with an entry whose last verdict evicting pods may help against.
    pub(crate) helpful: Bitset,
    /// Per filter: rows that it rejects in the end, less those that it rejects by the column.
    pub(crate) rejected: SmallVec<[i32; 8]>,
}

/// What the column of nominations is made from.
#[derive(Clone, Copy)]
pub(crate) struct Nominating<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) profile: &'a Profile,
    pub(crate) nominations: &'a Nominations,
    pub(crate) class: &'a Class,
    pub(crate) pod: &'a Pod,
}

impl Nominating<'_> {
    /// Brings the column's view of nominations up to date for the pod's priority.
    pub(crate) fn catch_up(self, column: &mut Column) {
        let priority = self.pod.spec.priority();
        let old = column.nominated.take().filter(|old| old.priority == priority);
        let changes = old.as_ref().and_then(|old| {
            let rows = self.cluster.changes_since(old.seen_rows)?;
            Some((rows, self.nominations.changes_since(old.seen_nominations)?))
        });
        let mut nominated = match (old, changes) {
            (Some(mut nominated), Some((rows, nodes))) => {
                for change in rows {
                    if nominated.rows.contains(change.row as usize) {
                        self.judge(column, &mut nominated, change.row);
                    }
                }
                for &node in nodes {
                    if let Some(row) = self.cluster.position(node) {
                        self.judge(column, &mut nominated, row as u32);
                    }
                }
                nominated
            }
            _ => self.fresh(column, priority),
        };
        nominated.seen_rows = self.cluster.change_count();
        nominated.seen_nominations = self.nominations.change_count();
        column.nominated = Some(nominated);
    }

    fn fresh(self, column: &Column, priority: i32) -> Box<NominatedColumn> {
        let mut nominated = Box::new(NominatedColumn {
            priority,
            seen_rows: 0,
            seen_nominations: 0,
            entries: BTreeMap::new(),
            rows: Bitset::with_len(self.cluster.node_count()),
            blocked: Bitset::with_len(self.cluster.node_count()),
            helpful: Bitset::with_len(self.cluster.node_count()),
            rejected: SmallVec::from_elem(0, self.class.filter_count()),
        });
        for (node, _) in self.nominations.iter() {
            if let Some(row) = self.cluster.position(node) {
                self.judge(column, &mut nominated, row as u32);
            }
        }
        nominated
    }

    fn judge(self, column: &Column, nominated: &mut NominatedColumn, row: u32) {
        nominated.forget(row);
        let own = column.verdict(row as usize);
        let own_helps = column.helpful.contains(row as usize);
        let Some((with, with_helps)) = self.verdict_with(row as usize, None) else { return };
        let (last, helps) = if with == PASSES { (own, own_helps) } else { (with, with_helps) };
        nominated.remember(row, Entry { own, last }, helps);
    }

    /// The verdict on a node with the pods that are nominated to it, `except` for one; `None` if
    /// there are none that count.
    fn verdict_with(self, row: usize, except: Option<u32>) -> Option<(u8, bool)> {
        let info = self.cluster.node_at(row);
        let counts =
            |pod: &Pod| pod.spec.priority() >= self.pod.spec.priority() && Some(pod.meta.id) != except;
        let mut pods = self.nominations.on(info.name()).iter().filter(|pod| counts(pod)).peekable();
        pods.peek()?;
        let mut info = info.clone();
        pods.for_each(|pod| info.add_pod(pod, 0));
        Some(self.class.judge(self.cluster, self.profile, &info))
    }

    /// The verdict on the node to which the pod itself is nominated, its own nomination aside, and
    /// whether evicting pods may help.
    pub(crate) fn verdict_on_own_node(self, column: &Column, row: usize) -> (u8, bool) {
        let own = (column.verdict(row), column.helpful.contains(row));
        let with = self.verdict_with(row, Some(self.pod.meta.id));
        with.filter(|with| with.0 != PASSES).unwrap_or(own)
    }
}

impl NominatedColumn {
    /// The verdict that counts for a row with an entry.
    pub(crate) fn last_verdict(&self, row: usize) -> u8 {
        self.entries.get(&(row as u32)).map_or(PASSES, |entry| entry.last)
    }

    fn forget(&mut self, row: u32) {
        let Some(entry) = self.entries.remove(&row) else { return };
        self.count(entry, -1);
        self.rows.remove(row as usize);
        self.blocked.remove(row as usize);
        self.helpful.remove(row as usize);
    }

    fn remember(&mut self, row: u32, entry: Entry, helps: bool) {
        self.entries.insert(row, entry);
        self.count(entry, 1);
        self.rows.insert(row as usize);
        self.blocked.assign(row as usize, entry.last != PASSES);
        self.helpful.assign(row as usize, entry.last != PASSES && helps);
    }

    fn count(&mut self, entry: Entry, change: i32) {
        if let Some(count) = self.rejected.get_mut(usize::from(entry.own)) {
            *count -= change;
        }
        if let Some(count) = self.rejected.get_mut(usize::from(entry.last)) {
            *count += change;
        }
    }
}
