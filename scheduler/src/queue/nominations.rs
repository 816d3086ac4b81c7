//! Pods that room was made for on a node, and that have not been placed yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;

/// Which pods are nominated to which nodes.
#[derive(Clone, Debug, Default)]
pub struct Nominations {
    by_node: BTreeMap<Symbol, Vec<Arc<Pod>>>,
    by_pod: FxHashMap<u32, Symbol>,
    /// Nodes whose nominations changed, since `changes_before` changes.
    changes: Vec<Symbol>,
    changes_before: u64,
}

/// So many changes are remembered.
const CHANGES: usize = 8192;

impl Nominations {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_pod.is_empty()
    }

    /// The pods nominated to a node.
    pub fn on(&self, node: Symbol) -> &[Arc<Pod>] {
        self.by_node.get(&node).map_or(&[], |pods| pods)
    }

    /// All nodes with nominated pods, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, &[Arc<Pod>])> + '_ {
        self.by_node.iter().map(|(&node, pods)| (node, &pods[..]))
    }

    /// The node that a pod is nominated to.
    pub fn of(&self, pod: u32) -> Option<Symbol> {
        self.by_pod.get(&pod).copied()
    }

    /// The number of changes so far.
    pub(crate) fn change_count(&self) -> u64 {
        self.changes_before + self.changes.len() as u64
    }

    /// The nodes whose nominations changed since `seen` changes; `None` if they are forgotten.
    pub(crate) fn changes_since(&self, seen: u64) -> Option<&[Symbol]> {
        self.changes.get(seen.checked_sub(self.changes_before)? as usize..)
    }

    fn note_change(&mut self, node: Symbol) {
        if self.changes.len() >= CHANGES {
            self.changes_before += self.changes.len() as u64;
            self.changes.clear();
        }
        self.changes.push(node);
    }

    /// Nominates a pod to a node, and to no other.
    pub fn set(&mut self, pod: &Arc<Pod>, node: Symbol) {
        self.remove(pod.meta.id);
        self.note_change(node);
        self.by_pod.insert(pod.meta.id, node);
        self.by_node.entry(node).or_default().push(pod.clone());
    }

    /// Takes a pod's nomination away.
    pub fn remove(&mut self, pod: u32) {
        let Some(node) = self.by_pod.remove(&pod) else { return };
        self.note_change(node);
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.retain(|other| other.meta.id != pod);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    /// Puts a newer version of a pod in place of the old one.
    pub fn update(&mut self, pod: &Arc<Pod>) {
        let Some(node) = self.of(pod.meta.id) else { return };
        self.note_change(node);
        for other in self.by_node.get_mut(&node).into_iter().flatten() {
            if other.meta.id == pod.meta.id {
                *other = pod.clone();
            }
        }
    }
}
