//! ControllerRevisions: the templates that a StatefulSet or DaemonSet had, by number.

use std::sync::Arc;

use seatrial_api::labels::Selector;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Object, Typed};
use seatrial_api::pod::PodTemplate;
use seatrial_api::request::Change;
use seatrial_api::symbol::Symbol;
use seatrial_api::workload::ControllerRevision;

use super::{Caches, Event, RowIndex, controller_ref};

/// Label of a pod: which revision it was made from.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";
/// Label of a StatefulSet's revision: its hash.
pub(crate) const REVISION_HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// The revisions that nobody controls, by namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrphanRevisions(RowIndex<Symbol>);

impl OrphanRevisions {
    /// Takes in a change of a revision.
    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        let Object::ControllerRevision(revision) = event.object else { return };
        let (namespace, row) = (revision.meta.namespace, revision.meta.id);
        if event.change != Change::Deleted && revision.meta.controller().is_none() {
            self.0.insert(namespace, row);
        } else {
            self.0.remove(&namespace, row);
        }
    }

    /// Revisions without controller whose labels a selector matches.
    pub(crate) fn matching(
        &self,
        caches: &Caches,
        namespace: Symbol,
        selector: &Selector,
    ) -> Vec<Arc<ControllerRevision>> {
        let revisions = self.0.rows(&namespace).iter().filter_map(|&row| caches.revisions.get(row));
        revisions.filter(|revision| selector.matches(&revision.meta.labels)).cloned().collect()
    }
}

/// Orders revisions by number, then age, then name.
pub(crate) fn sort_revisions(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by(|a, b| {
        let created = |revision: &ControllerRevision| revision.meta.created.truncate_to_second();
        (a.revision, created(a), &a.meta.name).cmp(&(b.revision, created(b), &b.meta.name))
    });
}

/// A revision of an owner's template, which carries its hash in its name and under a label.
pub(crate) fn made_revision<O: Typed>(
    owner: &O,
    template: &Arc<PodTemplate>,
    number: i64,
    hash: &str,
    label: Symbol,
) -> ControllerRevision {
    let meta = owner.meta();
    let name = format!("{}-{hash}", meta.name);
    ControllerRevision {
        meta: ObjectMeta {
            labels: template.labels.with(label, Symbol::new(hash)),
            annotations: meta.annotations.clone(),
            owners: Some(Arc::new(vec![controller_ref(O::KIND, meta)])),
            ..ObjectMeta::named(meta.namespace.as_str(), &name)
        },
        revision: number,
        template: template.clone(),
    }
}

/// How the revision of the present template comes about.
#[derive(Clone, Debug)]
pub(crate) enum Revised {
    /// It is the newest one.
    Newest(Arc<ControllerRevision>),
    /// It is an older one, which must get the highest number.
    Older(Arc<ControllerRevision>),
    /// There is none.
    Missing,
}

/// Finds the revision of a template among all, which are in order.
pub(crate) fn find_revision(revisions: &[Arc<ControllerRevision>], template: &PodTemplate) -> Revised {
    let same = |revision: &ControllerRevision| same_content(&revision.template, template);
    match revisions.iter().rposition(|revision| same(revision)) {
        Some(index) if index + 1 == revisions.len() => Revised::Newest(revisions[index].clone()),
        Some(index) => Revised::Older(revisions[index].clone()),
        None => Revised::Missing,
    }
}

/// The number of the next revision; all are in order.
pub(crate) fn next_number(revisions: &[Arc<ControllerRevision>]) -> i64 {
    revisions.last().map_or(1, |newest| newest.revision.saturating_add(1))
}

/// Whether two templates have the same content, told by their allocations where possible.
pub(crate) fn same_content(a: &PodTemplate, b: &PodTemplate) -> bool {
    std::ptr::eq(a, b)
        || (Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec)
            && a.labels == b.labels
            && a.annotations == b.annotations
}
