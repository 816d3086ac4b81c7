//! DELETE: grace periods, finalizers, removal.

use super::ApiServer;
use super::create::has_generation;
use crate::meta::Deletion;
use crate::object::{Kind, Object, ObjectRef};
use crate::pod::Pod;
use crate::request::{ApiError, DeleteOptions, ErrorReason, Propagation, Reply, WatchEvent};
use crate::symbol::Symbol;
use crate::units::{SimTime, Span};

/// Finalizer of owners whose dependents lose their reference first.
pub const FINALIZER_ORPHAN: &str = "orphan";
/// Finalizer of owners whose dependents go first.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";
/// Namespaces that cannot be deleted.
const PROTECTED_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

impl ApiServer {
    pub(super) fn delete(
        &mut self,
        now: SimTime,
        target: ObjectRef,
        options: DeleteOptions,
        events: &mut Vec<WatchEvent>,
    ) -> Reply {
        let stored = self.require(target)?.clone();
        if options.resource_version.is_some_and(|version| version != stored.meta().resource_version) {
            return Err(ApiError::conflict(target.kind, &stored.meta().name));
        }
        match &stored {
            Object::Pod(pod) => {
                let grace = pod_grace(pod, options);
                self.delete_gracefully(now, stored.clone(), grace, options, events)
            }
            Object::Namespace(namespace) => {
                if PROTECTED_NAMESPACES.contains(&namespace.meta.name.as_str()) {
                    let message = format!(
                        "namespaces \"{}\" is forbidden: this namespace may not be deleted",
                        namespace.meta.name
                    );
                    return Err(ApiError::new(ErrorReason::Forbidden, message));
                }
                Ok(self.begin_namespace_deletion(now, stored.clone(), events))
            }
            _ => self.delete_gracefully(now, stored.clone(), 0, options, events),
        }
    }

    /// Marks the object as going away; with no grace and no finalizer it goes at once. A deletion
    /// in progress can only be made quicker.
    fn delete_gracefully(
        &mut self,
        now: SimTime,
        stored: Object,
        grace_seconds: u32,
        options: DeleteOptions,
        events: &mut Vec<WatchEvent>,
    ) -> Reply {
        let mut object = stored.clone();
        add_propagation_finalizer(&mut object, options.propagation);
        let under_way = object.meta().deletion();
        let quicker = under_way.is_none_or(|deletion| grace_seconds < deletion.grace_seconds);
        if quicker {
            object.meta_mut().set_deletion(Some(shortened(now, under_way, grace_seconds)));
        }
        let waits_for_finalizers = !object.meta().finalizers().is_empty();
        let grace_left = object.meta().deletion().is_some_and(|deletion| deletion.grace_seconds > 0);
        if grace_left || waits_for_finalizers {
            if !quicker && object.meta().finalizers() == stored.meta().finalizers() {
                return Ok(stored);
            }
            raise_generation(&mut object, under_way);
            return Ok(self.replace(object, events));
        }
        raise_generation(&mut object, under_way);
        // Watchers of pods see the deletion as an update before they see the removal.
        let last = if object.kind() == Kind::Pod && quicker { self.replace(object, events) } else { object };
        Ok(self.remove(last, events))
    }

    /// The first deletion of a namespace makes it Terminating; its controller empties it and takes
    /// its finalizer away.
    fn begin_namespace_deletion(
        &mut self,
        now: SimTime,
        stored: Object,
        events: &mut Vec<WatchEvent>,
    ) -> Object {
        if stored.meta().is_deleting() {
            return stored;
        }
        let mut object = stored;
        object.meta_mut().set_deletion(Some(Deletion { at: now, grace_seconds: 0 }));
        if let Object::Namespace(namespace) = &mut object {
            std::sync::Arc::make_mut(namespace).terminating = true;
        }
        self.replace(object, events)
    }
}

/// The beginning of a deletion is a change of what is wanted.
fn raise_generation(object: &mut Object, under_way: Option<Deletion>) {
    if under_way.is_none() && has_generation(object.kind()) {
        object.meta_mut().generation += 1;
    }
}

/// A deletion with this grace, which counts from when the deletion under way began. If that time is
/// over, the shortest grace there is is left (upstream `registry/rest/delete.go`).
fn shortened(now: SimTime, under_way: Option<Deletion>, grace_seconds: u32) -> Deletion {
    let span = |seconds: u32| Span::from_secs(i64::from(seconds));
    let began = under_way.map_or(now, |deletion| deletion.at - span(deletion.grace_seconds));
    let at = began + span(grace_seconds);
    let is_over = under_way.is_some() && grace_seconds > 0 && at <= now;
    Deletion { at, grace_seconds: if is_over { 1 } else { grace_seconds } }
}

/// The grace of a pod's deletion: none if it is unbound or has ended, else as asked, else its own.
fn pod_grace(pod: &Pod, options: DeleteOptions) -> u32 {
    if pod.node.is_none() || pod.status.phase.is_terminal() {
        return 0;
    }
    let seconds = options.grace_period_seconds.unwrap_or(pod.spec.termination_grace_period_seconds);
    if seconds < 0 { 1 } else { u32::try_from(seconds).unwrap_or(u32::MAX) }
}

/// Orphaning and foreground deletion are finalizers that the garbage collector takes away. A Job or
/// a ReplicationController that is deleted without policy leaves its pods behind.
fn add_propagation_finalizer(object: &mut Object, propagation: Option<Propagation>) {
    let finalizers = object.meta().finalizers();
    let already = finalizers.iter().any(|f| *f == FINALIZER_ORPHAN || *f == FINALIZER_FOREGROUND);
    let effective = match propagation {
        Some(propagation) => propagation,
        None if already => return,
        None if matches!(object.kind(), Kind::Job | Kind::ReplicationController) => Propagation::Orphan,
        None => Propagation::Background,
    };
    let wanted = match effective {
        Propagation::Background => None,
        Propagation::Foreground => Some(FINALIZER_FOREGROUND),
        Propagation::Orphan => Some(FINALIZER_ORPHAN),
    };
    let kept = finalizers.iter().copied().filter(|f| *f != FINALIZER_ORPHAN && *f != FINALIZER_FOREGROUND);
    let next: Vec<Symbol> = kept.chain(wanted.map(Symbol::new)).collect();
    object.meta_mut().set_finalizers(next);
}
