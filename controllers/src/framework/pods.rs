//! The cache of pods, by row, managing controller and node.

use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::meta::{OwnerRef, Uid};
use seatrial_api::pod::Pod;
use seatrial_api::request::Change;
use seatrial_api::storage::{claim_names, uses_claims};
use seatrial_api::symbol::Symbol;

use super::cache::RowIndex;

/// The cached pods. Keeping a version costs a pointer: versions are shared with the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodTable {
    rows: Vec<Option<Arc<Pod>>>,
    controlled: RowIndex<Uid>,
    on_node: RowIndex<Symbol>,
    /// By the claims that they use, each by namespace and name.
    using_claim: FxHashMap<Symbol, RowIndex<CompactString>>,
    orphans: FxHashMap<Symbol, Orphans>,
}

/// Pods of a namespace without a managing controller, in ascending order. Rows are never used
/// twice, so those that went are taken out many at a time.
#[derive(Clone, Debug, Default)]
struct Orphans {
    rows: Vec<u32>,
    /// How many of the rows are no orphans any more.
    gone: usize,
}

/// So many rows that are no orphans any more are not worth a pass.
const GONE_MIN: usize = 64;

impl Orphans {
    fn insert(&mut self, row: u32) {
        match self.rows.last() {
            // A pod that is an orphan again may still be there.
            Some(&last) if last >= row => match self.rows.binary_search(&row) {
                Ok(_) => self.gone = self.gone.saturating_sub(1),
                Err(index) => self.rows.insert(index, row),
            },
            _ => self.rows.push(row),
        }
    }

    /// An orphan went; `remains` tells which rows are some.
    fn remove(&mut self, remains: impl Fn(u32) -> bool) {
        self.gone += 1;
        if self.gone > GONE_MIN.max(self.rows.len() / 2) {
            self.rows.retain(|&row| remains(row));
            self.gone = 0;
        }
    }
}

impl PodTable {
    /// The pod in a row.
    pub(crate) fn get(&self, row: u32) -> Option<&Arc<Pod>> {
        self.rows.get(row as usize)?.as_ref()
    }

    /// Rows of the pods whose managing controller has this identity, ascending.
    pub(crate) fn rows_controlled_by(&self, uid: Uid) -> &[u32] {
        self.controlled.rows(&uid)
    }

    /// The pods whose managing controller has this identity, in order of their rows.
    pub(crate) fn controlled_by(&self, uid: Uid) -> impl Iterator<Item = &Arc<Pod>> {
        self.rows_controlled_by(uid).iter().filter_map(|&row| self.get(row))
    }

    /// The pods bound to a node, in order of their rows.
    pub(crate) fn on_node(&self, node: Symbol) -> impl Iterator<Item = &Arc<Pod>> {
        self.on_node.rows(&node).iter().filter_map(|&row| self.get(row))
    }

    /// The pods that use a claim, in order of their rows.
    pub(crate) fn using_claim(&self, namespace: Symbol, claim: &str) -> impl Iterator<Item = &Arc<Pod>> {
        let rows = self.using_claim.get(&namespace).map(|index| index.rows(&claim.into()));
        rows.into_iter().flatten().filter_map(|&row| self.get(row))
    }

    /// The pods of a namespace that no controller manages, in order of their rows.
    pub(crate) fn orphans(&self, namespace: Symbol) -> impl Iterator<Item = &Arc<Pod>> {
        let rows = self.orphans.get(&namespace).map_or(&[][..], |orphans| &orphans.rows);
        rows.iter().filter_map(|&row| self.get(row)).filter(|pod| pod.meta.controller().is_none())
    }

    /// All pods in order of their rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.rows.iter().flatten()
    }

    /// Takes in a change and returns the version that was cached before.
    pub(crate) fn apply(&mut self, change: Change, pod: &Arc<Pod>) -> Option<Arc<Pod>> {
        match change {
            Change::Deleted => self.take(pod.meta.id),
            Change::Added | Change::Modified => self.put(pod),
        }
    }

    fn put(&mut self, pod: &Arc<Pod>) -> Option<Arc<Pod>> {
        let index = pod.meta.id as usize;
        if index >= self.rows.len() {
            self.rows.resize(index + 1, None);
        }
        let old = self.rows[index].replace(pod.clone());
        match &old {
            Some(old) => {
                if !same_owners(old, pod) {
                    self.unlink_owner(old);
                    self.link_owner(pod);
                }
                if old.node != pod.node {
                    self.unlink_node(old);
                    self.link_node(pod);
                }
            }
            None => {
                self.link_owner(pod);
                self.link_node(pod);
                if uses_claims(pod) {
                    let index = self.using_claim.entry(pod.meta.namespace).or_default();
                    claim_names(pod).for_each(|(name, _)| index.insert(name, pod.meta.id));
                }
            }
        }
        old
    }

    fn take(&mut self, row: u32) -> Option<Arc<Pod>> {
        let old = self.rows.get_mut(row as usize)?.take()?;
        self.unlink_owner(&old);
        self.unlink_node(&old);
        if uses_claims(&old)
            && let Some(index) = self.using_claim.get_mut(&old.meta.namespace)
        {
            claim_names(&old).for_each(|(name, _)| index.remove(&name, old.meta.id));
        }
        Some(old)
    }

    fn link_owner(&mut self, pod: &Pod) {
        match pod.meta.controller() {
            Some(owner) => self.controlled.insert(owner.uid, pod.meta.id),
            None => {
                self.orphans.entry(pod.meta.namespace).or_default().insert(pod.meta.id);
            }
        }
    }

    fn unlink_owner(&mut self, pod: &Pod) {
        match pod.meta.controller() {
            Some(owner) => self.controlled.remove(&owner.uid, pod.meta.id),
            None => {
                let rows = &self.rows;
                let is_orphan = |row: u32| {
                    let pod = rows.get(row as usize).and_then(Option::as_ref);
                    pod.is_some_and(|pod| pod.meta.controller().is_none())
                };
                if let Some(orphans) = self.orphans.get_mut(&pod.meta.namespace) {
                    orphans.remove(is_orphan);
                }
            }
        }
    }

    fn link_node(&mut self, pod: &Pod) {
        if let Some(node) = pod.node {
            self.on_node.insert(node, pod.meta.id);
        }
    }

    fn unlink_node(&mut self, pod: &Pod) {
        if let Some(node) = pod.node {
            self.on_node.remove(&node, pod.meta.id);
        }
    }
}

/// Whether both versions have the same managing controller, or none.
fn same_owners(old: &Pod, new: &Pod) -> bool {
    let uid = |pod: &Pod| pod.meta.controller().map(|owner: &OwnerRef| owner.uid);
    match (&old.meta.owners, &new.meta.owners) {
        (None, None) => true,
        (Some(a), Some(b)) if Arc::ptr_eq(a, b) => true,
        _ => uid(old) == uid(new),
    }
}
