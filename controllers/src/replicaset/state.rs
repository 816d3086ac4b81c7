//! What the controller remembers of each ReplicaSet: expectations, own writes, and the counts of
//! its pods, kept up to date pod event by pod event so that a sync need not look at the pods.

use std::marker::PhantomData;

use seatrial_api::object::Typed;
use seatrial_api::pod::Pod;
use seatrial_api::request::Change;
use seatrial_api::symbol::Symbol;

use super::kind::PodSet;
use crate::framework::{
    Adoptables, Context, Event, Expectations, OwnWrites, Parentage, is_terminating, min_ready,
};

/// Numbers of a set's own pods, without those that its selector does not match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Active pods.
    pub(super) active: i32,
    /// Active pods that are Ready.
    pub(super) ready: i32,
    /// Active pods that carry all labels of the template.
    pub(super) labeled: i32,
    /// Terminating pods.
    pub(super) terminating: i32,
    /// Active pods that the selector does not match, which are to be released.
    pub(super) mismatched: i32,
}

impl Counts {
    /// What one pod of `set` adds. `template_fits` says whether the selector matches the labels of
    /// the set's template, which pods that nobody relabelled carry in the same allocation.
    pub(super) fn of<T: PodSet>(pod: &Pod, set: &T, template_fits: bool) -> Counts {
        let mut counts = Counts::default();
        let untouched = template_fits && pod.meta.labels.same_allocation(&set.template().labels);
        let matches = untouched || set.selector().matches(&pod.meta.labels);
        if pod.is_active() {
            if !matches {
                counts.mismatched = 1;
                return counts;
            }
            counts.active = 1;
            counts.ready = i32::from(pod.is_ready());
            counts.labeled = i32::from(untouched || pod.meta.labels.contains_all(&set.template().labels));
        } else if matches && is_terminating(pod) {
            counts.terminating = 1;
        }
        counts
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.active += other.active;
        self.ready += other.ready;
        self.labeled += other.labeled;
        self.terminating += other.terminating;
        self.mismatched += other.mismatched;
    }

    fn subtract(&mut self, other: &Counts) {
        self.active -= other.active;
        self.ready -= other.ready;
        self.labeled -= other.labeled;
        self.terminating -= other.terminating;
        self.mismatched -= other.mismatched;
    }
}

/// What is remembered of one set.
#[derive(Clone, Debug, Default)]
pub(super) struct SetState {
    pub(super) expectations: Expectations,
    pub(super) writes: OwnWrites,
    pub(super) counts: Counts,
    /// Whether the selector matches the labels of the template.
    pub(super) template_fits: bool,
    pub(super) parentage: Option<Parentage>,
}

/// All sets.
#[derive(Clone, Debug)]
pub(super) struct Sets<T> {
    rows: Vec<Option<Box<SetState>>>,
    pub(super) adoptables: Adoptables,
    kind: Symbol,
    of: PhantomData<T>,
}

impl<T: PodSet> Default for Sets<T> {
    fn default() -> Sets<T> {
        Sets {
            rows: Vec::new(),
            adoptables: Adoptables::default(),
            kind: Symbol::new(T::KIND.as_str()),
            of: PhantomData,
        }
    }
}

impl<T: PodSet> Sets<T> {
    /// What is remembered of a set.
    pub(super) fn state(&mut self, row: u32) -> &mut SetState {
        let index = row as usize;
        if index >= self.rows.len() {
            self.rows.resize_with(index + 1, || None);
        }
        self.rows[index].get_or_insert_default()
    }

    /// Forgets a set.
    pub(super) fn forget(&mut self, row: u32) {
        if let Some(slot) = self.rows.get_mut(row as usize) {
            *slot = None;
        }
    }

    /// Takes in a change of a set and enqueues it.
    pub(super) fn observe_set(&mut self, cx: &mut Context<'_>, event: &Event<'_>, set: &T) {
        let row = set.meta().id;
        if event.change == Change::Deleted {
            self.forget(row);
            self.adoptables.remove_owner(row);
        } else {
            let known = event.old.and_then(T::of);
            let same = |known: &T| {
                known.selector() == set.selector() && known.template().labels == set.template().labels
            };
            if !known.is_some_and(|known| same(known)) {
                self.count_anew(cx, set);
            }
        }
        cx.queue.add(row);
    }

    fn count_anew(&mut self, cx: &Context<'_>, set: &T) {
        let mut counts = Counts::default();
        let fits = set.selector().matches(&set.template().labels);
        cx.caches.pods.controlled_by(set.meta().uid).for_each(|pod| counts.add(&Counts::of(pod, set, fits)));
        self.adoptables.put_owner(cx.caches, set.meta(), set.selector(), Pod::is_active);
        let state = self.state(set.meta().id);
        (state.counts, state.template_fits) = (counts, fits);
    }

    /// The set that manages a pod, as far as it is known.
    fn manager<'a>(&self, cx: &Context<'a>, pod: &Pod) -> Option<&'a T> {
        let owner = pod.meta.controller().filter(|owner| owner.kind == self.kind)?;
        T::table(cx.caches).identified(owner.uid).map(|set| &**set)
    }

    /// Takes in a change of a pod and enqueues the sets that it concerns.
    pub(super) fn observe_pod(&mut self, cx: &mut Context<'_>, event: &Event<'_>, pod: &Pod) {
        let old = event.old.and_then(Pod::of).map(|pod| &**pod);
        let new = (event.change != Change::Deleted).then_some(pod);
        let set = self.manager(cx, pod);
        let set_before = match old {
            Some(old) if !same_controller(old, pod) => self.manager(cx, old),
            _ => set,
        };
        if let (Some(old), Some(set)) = (old, set_before) {
            let state = self.state(set.meta().id);
            state.counts.subtract(&Counts::of(old, set, state.template_fits));
        }
        if let (Some(new), Some(set)) = (new, set) {
            let state = self.state(set.meta().id);
            state.counts.add(&Counts::of(new, set, state.template_fits));
        }
        let orphaned = new.is_some_and(|new| new.meta.controller().is_none());
        if orphaned || old.is_some_and(|old| old.meta.controller().is_none()) {
            let (caches, queue) = (cx.caches, &mut *cx.queue);
            let selector_of = |row| T::table(caches).get(row).map(|set| set.selector());
            self.adoptables.observe(old, new, Pod::is_active, selector_of, |row| queue.add(row));
        }
        let Some(set) = set else {
            if let Some(before) = set_before {
                cx.queue.add(before.meta().id);
            }
            return;
        };
        let row = set.meta().id;
        if event.change == Change::Deleted || pod.meta.is_deleting() {
            self.state(row).expectations.lower_deletion(pod.meta.id);
        } else if old.is_none() {
            self.state(row).expectations.lower_creations(1);
        } else if let Some(before) = set_before.filter(|before| before.meta().id != row) {
            cx.queue.add(before.meta().id);
        }
        cx.queue.add(row);
        let became_ready = old.is_some_and(|old| !old.is_ready()) && new.is_some_and(Pod::is_ready);
        if became_ready && !pod.meta.is_deleting() && set.min_ready_seconds() > 0 {
            cx.queue.add_at(cx.now + min_ready(set.min_ready_seconds()), row);
        }
    }
}

/// Whether both versions have the same managing controller.
fn same_controller(old: &Pod, new: &Pod) -> bool {
    match (&old.meta.owners, &new.meta.owners) {
        (Some(a), Some(b)) if std::sync::Arc::ptr_eq(a, b) => true,
        _ => old.meta.controller().map(|owner| owner.uid) == new.meta.controller().map(|owner| owner.uid),
    }
}
