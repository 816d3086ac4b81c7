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
    /// Counts changes of the pods.
    revision: u64,
}

/// The selecting objects by their rows, with the pods of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct SelectedPods {
    index: SelectorIndex,
    objects: FxHashMap<u32, Selecting>,
    /// Objects whose pods have not been looked for yet.
    unresolved: BTreeSet<u32>,
    /// All pods by their labels, from when pods were first looked for.
    groups: Option<PodGroups>,
    /// Counts changes of the objects.
    revision: u64,
}

/// Tells whether what an object selects, and who else selects that, may be different from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revision(u64, u64);

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
        self.objects.insert(row, Selecting { namespace, filter, pods: RowList::default(), revision: 0 });
        self.unresolved.insert(row);
        self.revision += 1;
    }

    /// Forgets an object.
    pub(crate) fn remove(&mut self, row: u32) {
        self.index.remove(row);
        self.objects.remove(&row);
        self.unresolved.remove(&row);
        self.revision += 1;
    }

    /// The revision of what an object selects; `None` if it has yet to be looked for.
    pub(crate) fn revision(&self, row: u32) -> Option<Revision> {
        let object = self.objects.get(&row).filter(|_| !self.unresolved.contains(&row))?;
        Some(Revision(self.revision, object.revision))
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
            self.groups.iter_mut().for_each(|groups| groups.remove(old));
        }
        if !gone {
            self.each(pod, |pods, row| pods.insert(row));
            self.groups.iter_mut().for_each(|groups| groups.insert(pod));
        }
    }

    fn each(&mut self, pod: &Pod, change: impl Fn(&mut RowList, u32)) {
        for row in self.selecting(pod.meta.namespace, &pod.meta.labels) {
            if let Some(object) = self.objects.get_mut(&row) {
                change(&mut object.pods, pod.meta.id);
                object.revision += 1;
            }
        }
    }

    /// The pods that an object selects, in order of their rows.
    pub(crate) fn pods<'a>(&mut self, caches: &'a Caches, row: u32) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.rows(caches, row).iter().filter_map(|&pod| caches.pods.get(pod))
    }

    /// The same as a list.
    pub(crate) fn list<'a>(&mut self, caches: &'a Caches, row: u32) -> Vec<&'a Arc<Pod>> {
        let rows = self.rows(caches, row);
        let mut pods = Vec::with_capacity(rows.len());
        pods.extend(rows.iter().filter_map(|&pod| caches.pods.get(pod)));
        pods
    }

    fn rows(&mut self, caches: &Caches, row: u32) -> &[u32] {
        if self.unresolved.contains(&row) {
            self.resolve(&caches.pods);
        }
        self.objects.get(&row).map_or(&[][..], |object| object.pods.rows())
    }

    /// Looks for the pods of all objects that wait for it. Pods with equal labels are asked about
    /// together.
    fn resolve(&mut self, pods: &PodTable) {
        let groups = self.groups.get_or_insert_with(|| PodGroups::of(pods));
        for row in std::mem::take(&mut self.unresolved) {
            if let Some(object) = self.objects.get_mut(&row) {
                object.pods = groups.selected(object.namespace, &object.filter);
            }
        }
    }
}

/// Pods by their namespace and labels: those of one template are asked about together.
#[derive(Clone, Debug, Default)]
struct PodGroups {
    groups: Vec<PodGroup>,
    index: FxHashMap<(Symbol, Labels), usize>,
    vacant: Vec<usize>,
}

#[derive(Clone, Debug)]
struct PodGroup {
    namespace: Symbol,
    labels: Labels,
    pods: RowList,
}

impl PodGroups {
    fn of(pods: &PodTable) -> PodGroups {
        let mut groups = PodGroups::default();
        pods.iter().for_each(|pod| groups.insert(pod));
        groups
    }

    fn insert(&mut self, pod: &Pod) {
        let (namespace, labels) = (pod.meta.namespace, pod.meta.labels.clone());
        let PodGroups { groups, index, vacant } = self;
        let group = *index.entry((namespace, labels.clone())).or_insert_with(|| {
            let group = PodGroup { namespace, labels, pods: RowList::default() };
            match vacant.pop() {
                Some(place) => {
                    groups[place] = group;
                    place
                }
                None => {
                    groups.push(group);
                    groups.len() - 1
                }
            }
        });
        groups[group].pods.insert(pod.meta.id);
    }

    fn remove(&mut self, pod: &Pod) {
        let key = (pod.meta.namespace, pod.meta.labels.clone());
        let Some(&group) = self.index.get(&key) else { return };
        let pods = &mut self.groups[group].pods;
        pods.remove(pod.meta.id);
        if pods.rows().is_empty() {
            self.index.remove(&key);
            self.vacant.push(group);
        }
    }

    /// The pods that a filter selects, in order of their rows.
    fn selected(&self, namespace: Symbol, filter: &Filter) -> RowList {
        let selected = self.groups.iter().filter(|group| {
            !group.pods.rows().is_empty() && group.namespace == namespace && filter.matches(&group.labels)
        });
        RowList::of(selected.flat_map(|group| group.pods.rows()).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::PodSpec;
    use seatrial_api::request::WatchEvent;
    use seatrial_api::stream::Stream;

    fn app(name: u64) -> Labels {
        Labels::of(&[("app", ["a", "b", "c"][name as usize])])
    }

    #[test]
    fn an_object_selects_what_its_filter_matches_whatever_comes_and_goes() {
        let (mut caches, mut selected) = (Caches::default(), SelectedPods::default());
        let namespaces = ["x", "y"].map(Symbol::new);
        let spec = Arc::new(PodSpec::new(vec![Container::new("c", "i")]));
        let mut stream = Stream::new(5, 0, 0);
        let mut revisions = FxHashMap::default();
        for _ in 0..3_000 {
            let (id, name) = (stream.below(40) as u32, stream.below(3));
            let namespace = namespaces[id as usize % 2];
            let known = caches.pods.get(id).cloned();
            let (change, pod) = match (known, stream.below(3)) {
                (Some(known), 0) => (Change::Deleted, known),
                _ => {
                    let meta =
                        ObjectMeta { id, labels: app(name), ..ObjectMeta::named(namespace.as_str(), "p") };
                    (Change::Modified, Arc::new(Pod::new(meta, spec.clone())))
                }
            };
            let event = WatchEvent { change, object: Object::Pod(pod) };
            let old = caches.apply(&event);
            selected.observe(&Event { change, object: &event.object, old: old.as_ref() });
            let row = stream.below(4) as u32;
            match stream.below(12) {
                0 => selected.remove(row),
                1 => selected.put(row, namespaces[row as usize % 2], Filter::Labels(app(name))),
                _ => {}
            }
            for row in 0..4 {
                let Some(Selecting { namespace, filter, .. }) = selected.objects.get(&row).cloned() else {
                    continue;
                };
                let wanted =
                    |pod: &&Arc<Pod>| pod.meta.namespace == namespace && filter.matches(&pod.meta.labels);
                let ids = |pod: &Arc<Pod>| pod.meta.id;
                let expected: Vec<u32> = caches.pods.iter().filter(wanted).map(ids).collect();
                let found: Vec<u32> = selected.list(&caches, row).into_iter().map(ids).collect();
                assert_eq!(found, expected);
                let revision = selected.revision(row).expect("it was looked for");
                if let Some(before) = revisions.insert((row, format!("{revision:?}")), found.clone()) {
                    assert_eq!(before, found, "equal revisions, other pods");
                }
            }
        }
    }
}
