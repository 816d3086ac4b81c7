//! Claims and volumes as the binder knows them: what the watch has told, and beyond it what the
//! binder has written itself, so that no volume is given away twice before the watch catches up.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::object::{Object, Typed};
use seatrial_api::request::Change;
use seatrial_api::storage::{ClaimRef, PersistentVolume, PersistentVolumeClaim};
use seatrial_api::symbol::Symbol;

use crate::framework::{Caches, Event, RowIndex};

/// A claim's address.
type ClaimName = (Symbol, Symbol);

/// What the binder has written and the watch may not have shown yet, and where to look for volumes.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    written_claims: FxHashMap<u32, Arc<PersistentVolumeClaim>>,
    written_volumes: FxHashMap<u32, Arc<PersistentVolume>>,
    /// Volumes without a claim, by class.
    free: RowIndex<Symbol>,
    /// Volumes with a claim, by its name.
    reserved: RowIndex<ClaimName>,
}

fn name_of(claim: &ClaimRef) -> ClaimName {
    (claim.namespace, claim.name)
}

/// The newer one of two versions.
fn newer<'a, T: Typed>(shown: Option<&'a Arc<T>>, written: Option<&'a Arc<T>>) -> Option<&'a Arc<T>> {
    match (shown, written) {
        (Some(shown), Some(written)) => {
            let newer = written.meta().resource_version > shown.meta().resource_version;
            Some(if newer { written } else { shown })
        }
        (shown, _) => shown,
    }
}

impl Objects {
    /// Takes in a change that the watch has shown.
    pub(super) fn observe(&mut self, event: &Event<'_>) {
        match event.object {
            Object::PersistentVolume(volume) => {
                if let Some(old) = event.old.and_then(PersistentVolume::of) {
                    self.unlink(old);
                }
                if event.change != Change::Deleted {
                    self.link(volume);
                }
                catch_up(&mut self.written_volumes, event.change, volume);
            }
            Object::PersistentVolumeClaim(claim) => {
                catch_up(&mut self.written_claims, event.change, claim);
            }
            _ => {}
        }
    }

    fn link(&mut self, volume: &PersistentVolume) {
        match &volume.claim {
            Some(claim) => self.reserved.insert(name_of(claim), volume.meta.id),
            None => self.free.insert(volume.storage_class, volume.meta.id),
        }
    }

    fn unlink(&mut self, volume: &PersistentVolume) {
        match &volume.claim {
            Some(claim) => self.reserved.remove(&name_of(claim), volume.meta.id),
            None => self.free.remove(&volume.storage_class, volume.meta.id),
        }
    }

    /// Remembers the answer to a write, unless the watch was faster.
    pub(super) fn note(&mut self, caches: &Caches, object: &Object) {
        let meta = object.meta();
        let shown = caches.object(object.object_ref());
        if shown.is_none_or(|shown| shown.meta().resource_version >= meta.resource_version) {
            return;
        }
        match object {
            Object::PersistentVolume(volume) => {
                self.written_volumes.insert(meta.id, volume.clone());
            }
            Object::PersistentVolumeClaim(claim) => {
                self.written_claims.insert(meta.id, claim.clone());
            }
            _ => {}
        }
    }

    /// Whether the watch still shows an older version of a claim (else of a volume) than the binder
    /// has written.
    pub(super) fn is_behind(&self, claims: bool, row: u32) -> bool {
        if claims { self.written_claims.contains_key(&row) } else { self.written_volumes.contains_key(&row) }
    }
}

/// What was written is forgotten when the watch has shown it.
fn catch_up<T: Typed>(written: &mut FxHashMap<u32, Arc<T>>, change: Change, shown: &Arc<T>) {
    let meta = shown.meta();
    let caught_up = |written: &mut Arc<T>| {
        change == Change::Deleted || written.meta().resource_version <= meta.resource_version
    };
    if written.get_mut(&meta.id).is_some_and(caught_up) {
        written.remove(&meta.id);
    }
}

/// A view of the newest versions.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// What the watch has told.
    pub(super) caches: &'a Caches,
    /// What the binder has written.
    pub(super) objects: &'a Objects,
}

impl<'a> View<'a> {
    /// The claim in a row.
    pub(super) fn claim(self, row: u32) -> Option<&'a Arc<PersistentVolumeClaim>> {
        newer(self.caches.claims.get(row), self.objects.written_claims.get(&row))
    }

    /// The volume in a row.
    pub(super) fn volume(self, row: u32) -> Option<&'a Arc<PersistentVolume>> {
        newer(self.caches.volumes.get(row), self.objects.written_volumes.get(&row))
    }

    /// The claim that a volume names, whoever has that name now.
    pub(super) fn claim_named(self, claim: &ClaimRef) -> Option<&'a Arc<PersistentVolumeClaim>> {
        let named = self.caches.claims.named(claim.namespace, claim.name.as_str())?;
        self.claim(named.meta.id)
    }

    /// The volume of a name.
    pub(super) fn volume_named(self, name: Symbol) -> Option<&'a Arc<PersistentVolume>> {
        let named = self.caches.volumes.named(Symbol::empty(), name.as_str())?;
        self.volume(named.meta.id)
    }

    /// The volumes that come into question for a claim: those reserved for its name, and those of a
    /// class that nobody has.
    pub(super) fn candidates(
        self,
        claim: &PersistentVolumeClaim,
        class: Symbol,
    ) -> impl Iterator<Item = &'a Arc<PersistentVolume>> {
        let name = (claim.meta.namespace, Symbol::new(&claim.meta.name));
        let rows = self.objects.reserved.rows(&name).iter().chain(self.objects.free.rows(&class));
        rows.filter_map(move |&row| self.volume(row))
    }
}
