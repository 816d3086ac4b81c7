//! What becomes of an object with owners.

use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::request::Propagation;
use seatrial_api::store::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};

/// How an owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It exists, terminating or not.
    Solid,
    /// It does not exist.
    Absent,
    /// It exists and waits for its dependents to be deleted.
    Waiting,
}

/// What is known of an object's own dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependents {
    /// There are none.
    None,
    /// There are some.
    Some,
    /// There are some, and one of them waits for its own dependents: perhaps a cycle.
    Waiting,
}

/// What is done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Keep,
    /// It stays, without its references to these owners.
    DropOwners(Vec<Uid>),
    /// It is deleted, its dependents first; before that its references may cease to block.
    DeleteForeground {
        /// The references without blocking, if they are to be written first.
        unblocked: Option<Vec<OwnerRef>>,
    },
    /// It is deleted.
    Delete(Propagation),
}

/// Plans for an object with these metadata, whose owners are in these states (in order).
pub fn plan(meta: &ObjectMeta, owners: &[OwnerState], dependents: Dependents) -> Plan {
    let references = meta.owner_refs();
    if references.is_empty() {
        return Plan::Keep;
    }
    if owners.contains(&OwnerState::Solid) {
        let lost = references.iter().zip(owners).filter(|row| *row.1 != OwnerState::Solid);
        let lost: Vec<Uid> = lost.map(|row| row.0.uid).collect();
        return if lost.is_empty() { Plan::Keep } else { Plan::DropOwners(lost) };
    }
    if owners.contains(&OwnerState::Waiting) && dependents != Dependents::None {
        let unblock = |owner: &OwnerRef| OwnerRef { block_owner_deletion: false, ..owner.clone() };
        let unblocked = (dependents == Dependents::Waiting).then(|| references.iter().map(unblock).collect());
        return Plan::DeleteForeground { unblocked };
    }
    let has = |finalizer: &str| meta.finalizers().iter().any(|name| *name == finalizer);
    Plan::Delete(if has(FINALIZER_ORPHAN) {
        Propagation::Orphan
    } else if has(FINALIZER_FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    })
}

/// Whether an object is going away and waits for its dependents.
pub fn waits_for_dependents(meta: &ObjectMeta) -> bool {
    meta.is_deleting() && meta.finalizers().iter().any(|name| *name == FINALIZER_FOREGROUND)
}

/// Whether an object is going away and its dependents are to be left without it.
pub fn orphans_dependents(meta: &ObjectMeta) -> bool {
    meta.is_deleting() && meta.finalizers().iter().any(|name| *name == FINALIZER_ORPHAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn owner(low: u64) -> OwnerRef {
        OwnerRef {
            kind: "ReplicaSet".into(),
            api_version: "apps/v1".into(),
            name: "web".into(),
            uid: Uid::from_bits(1, low),
            controller: low == 0,
            block_owner_deletion: true,
        }
    }

    fn meta(owners: u64, finalizers: &[&str]) -> ObjectMeta {
        let mut meta = ObjectMeta::named("ns", "child");
        meta.owners = Some(Arc::new((0..owners).map(owner).collect()));
        meta.set_finalizers(finalizers.iter().map(|&name| name.into()).collect());
        meta
    }

    #[test]
    fn an_object_lives_as_long_as_one_of_its_owners() {
        use OwnerState::{Absent, Solid, Waiting};
        let unblocked = |count: u64| {
            let list = (0..count).map(|low| OwnerRef { block_owner_deletion: false, ..owner(low) });
            Some(list.collect::<Vec<_>>())
        };
        let rows: [(&[OwnerState], Dependents, &[&str], Plan); 11] = [
            (&[], Dependents::None, &[], Plan::Keep),
            (&[Solid], Dependents::None, &[], Plan::Keep),
            (&[Solid, Absent], Dependents::None, &[], Plan::DropOwners(vec![owner(1).uid])),
            (&[Waiting, Solid], Dependents::Some, &[], Plan::DropOwners(vec![owner(0).uid])),
            (&[Absent], Dependents::None, &[], Plan::Delete(Propagation::Background)),
            (&[Absent, Absent], Dependents::Some, &[], Plan::Delete(Propagation::Background)),
            (&[Absent], Dependents::Some, &["orphan"], Plan::Delete(Propagation::Orphan)),
            (&[Absent], Dependents::Some, &["foregroundDeletion"], Plan::Delete(Propagation::Foreground)),
            (&[Waiting], Dependents::None, &[], Plan::Delete(Propagation::Background)),
            (&[Waiting, Absent], Dependents::Some, &[], Plan::DeleteForeground { unblocked: None }),
            (
                &[Waiting, Absent],
                Dependents::Waiting,
                &[],
                Plan::DeleteForeground { unblocked: unblocked(2) },
            ),
        ];
        for (owners, dependents, finalizers, expected) in rows {
            let found = plan(&meta(owners.len() as u64, finalizers), owners, dependents);
            assert_eq!(found, expected, "{owners:?} {dependents:?} {finalizers:?}");
        }
    }
}
