//! Which pods each of many selecting objects (Services, budgets, autoscalers) selects, kept up to
//! date change by change.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::request::Change;
use seatrial_api::symbol::Symbol;

use crate::framework::{Caches, Event, PodTable, RowList, SelectorIndex};

/// How an object selects pods of its namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// By labels that they must all have.
    Labels(Labels),
    /// By a label selector.
    Selector(Arc<Selector>),
}

impl Filter {
    fn matches(&self, labels: &Labels) -> bool {
        match self {
            Filter::Labels(required) => labels.contains_all(required),
            Filter::Selector(selector) => selector.matches(labels),
        }
    }
}

#[derive(Clone, Debug)]
struct Selecting {
    namespace: Symbol,
    filter: Filter,
    pods: RowList,
}

/// The selecting objects by their rows, with the pods of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct SelectedPods {
    index: SelectorIndex,
    objects: FxHashMap<u32, Selecting>,
    /// Objects whose pods have not been looked for yet.
    unresolved: BTreeSet<u32>,
}

impl SelectedPods {
    /// Files an object with its selector; nothing changes if it was filed with the same one.
    pub(crate) fn put(&mut self, row: u32, namespace: Symbol, filter: Filter) {
        if self.objects.get(&row).is_some_and(|known| known.filter == filter) {
            return;
        }
        match &filter {
            Filter::Labels(labels) => self.index.put_labels(row, namespace, labels),
            Filter::Selector(selector) => self.index.put(row, namespace, selector),
        }
        self.objects.insert(row, Selecting { namespace, filter, pods: RowList::default() });
        self.unresolved.insert(row);
    }

    /// Forgets an object.
    pub(crate) fn remove(&mut self, row: u32) {
        self.index.remove(row);
        self.objects.remove(&row);
        self.unresolved.remove(&row);
    }

    /// The objects that select a pod with these labels, ascending.
    pub(crate) fn selecting(&self, namespace: Symbol, labels: &Labels) -> Vec<u32> {
        let mut rows = Vec::new();
        if self.objects.is_empty() {
            return rows;
        }
        self.index.candidates(namespace, labels, &mut rows);
        rows.retain(|row| self.objects.get(row).is_some_and(|object| object.filter.matches(labels)));
        rows.sort_unstable();
        rows
    }

    /// Takes in the change of a pod.
    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        let Object::Pod(pod) = event.object else { return };
        let old = match event.old {
            Some(Object::Pod(old)) => Some(old),
            _ => None,
        };
        let gone = event.change == Change::Deleted;
        if !gone && old.is_some_and(|old| old.meta.labels == pod.meta.labels) {
            return;
        }
        if let Some(old) = old {
            self.each(old, |pods, row| pods.remove(row));
        }
        if !gone {
            self.each(pod, |pods, row| pods.insert(row));
        }
    }

    fn each(&mut self, pod: &Pod, change: impl Fn(&mut RowList, u32)) {
        for row in self.selecting(pod.meta.namespace, &pod.meta.labels) {
            if let Some(object) = self.objects.get_mut(&row) {
                change(&mut object.pods, pod.meta.id);
            }
        }
    }

    /// The pods that an object selects, in order of their rows.
    pub(crate) fn pods<'a>(&mut self, caches: &'a Caches, row: u32) -> impl Iterator<Item = &'a Arc<Pod>> {
        if self.unresolved.contains(&row) {
            self.resolve(&caches.pods);
        }
        let rows = self.objects.get(&row).map_or(&[][..], |object| object.pods.rows());
        rows.iter().filter_map(|&pod| caches.pods.get(pod))
    }

    /// Looks for the pods of all objects that wait for it, in one walk over the pods.
    fn resolve(&mut self, pods: &PodTable) {
        let wanted = std::mem::take(&mut self.unresolved);
        for row in &wanted {
            if let Some(object) = self.objects.get_mut(row) {
                object.pods = RowList::default();
            }
        }
        let single = if wanted.len() == 1 { wanted.first() } else { None };
        if let Some(object) = single.and_then(|row| self.objects.get_mut(row)) {
            let is_selected = |pod: &&Arc<Pod>| {
                pod.meta.namespace == object.namespace && object.filter.matches(&pod.meta.labels)
            };
            for pod in pods.iter().filter(is_selected) {
                object.pods.insert(pod.meta.id);
            }
            return;
        }
        for pod in pods.iter() {
            for row in self.selecting(pod.meta.namespace, &pod.meta.labels) {
                if wanted.contains(&row)
                    && let Some(object) = self.objects.get_mut(&row)
                {
                    object.pods.insert(pod.meta.id);
                }
            }
        }
    }
}
