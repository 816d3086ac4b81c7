//! What every object carries: name, identity, version, labels, owners, deletion.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;

use crate::document;
use crate::labels::Labels;
use crate::object::{Kind, ObjectRef};
use crate::symbol::Symbol;
use crate::units::SimTime;

/// The unique identity of an object: a UUID, or whatever text a state dump used in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Uid(UidForm);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum UidForm {
    Uuid(u64, u64),
    Text(Symbol),
}

impl Default for UidForm {
    fn default() -> UidForm {
        UidForm::Uuid(0, 0)
    }
}

impl Uid {
    /// The UUID with these 128 bits, high half first.
    pub const fn from_bits(high: u64, low: u64) -> Uid {
        Uid(UidForm::Uuid(high, low))
    }

    /// Reads a UUID in its canonical form; other texts are kept as they are.
    pub fn parse(text: &str) -> Uid {
        let canonical = text.len() == 36
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            });
        if !canonical {
            return Uid(UidForm::Text(Symbol::new(text)));
        }
        let digits = text.bytes().filter(|&byte| byte != b'-');
        let bits = digits.fold(0u128, |bits, byte| {
            bits << 4 | u128::from((byte as char).to_digit(16).unwrap_or_default())
        });
        Uid::from_bits((bits >> 64) as u64, bits as u64)
    }

    /// Whether no identity was assigned yet.
    pub fn is_unset(self) -> bool {
        self == Uid::default()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            UidForm::Text(text) => write!(f, "{text}"),
            UidForm::Uuid(high, low) => write!(
                f,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                high >> 16 & 0xFFFF,
                high & 0xFFFF,
                low >> 48,
                low & 0xFFFF_FFFF_FFFF
            ),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Ord for Uid {
    /// The order of the texts, which for two UUIDs is the order of their bits.
    fn cmp(&self, other: &Uid) -> Ordering {
        match (self.0, other.0) {
            (UidForm::Uuid(a, b), UidForm::Uuid(c, d)) => (a, b).cmp(&(c, d)),
            _ => self.to_string().cmp(&other.to_string()),
        }
    }
}

impl PartialOrd for Uid {
    fn partial_cmp(&self, other: &Uid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A reference from a dependent to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRef {
    /// The owner's kind as written: custom kinds are possible, so it is not a [`Kind`].
    pub kind: Symbol,
    /// The owner's API version as written.
    pub api_version: Symbol,
    /// The owner's name.
    pub name: CompactString,
    /// The owner's identity.
    pub uid: Uid,
    /// Whether the owner is the managing controller; at most one is.
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for this dependent.
    pub block_owner_deletion: bool,
}

/// When and how gently an object is going away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// `deletionTimestamp`: the request's time plus the grace period.
    pub at: SimTime,
    /// `deletionGracePeriodSeconds`.
    pub grace_seconds: u32,
}

/// An optional [`Deletion`] in sixteen bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedDeletion {
    /// The instant with its sign inverted, so that the start of the run is no zero.
    at: Option<std::num::NonZeroI64>,
    grace_seconds: u32,
}

impl PackedDeletion {
    /// Packs a deletion.
    pub fn new(deletion: Option<Deletion>) -> PackedDeletion {
        PackedDeletion {
            at: deletion.and_then(|deletion| std::num::NonZeroI64::new(deletion.at.nanos() ^ i64::MIN)),
            grace_seconds: deletion.map_or(0, |deletion| deletion.grace_seconds),
        }
    }

    /// The deletion, if there is one.
    pub fn get(self) -> Option<Deletion> {
        self.at.map(|at| Deletion {
            at: SimTime::from_nanos(at.get() ^ i64::MIN),
            grace_seconds: self.grace_seconds,
        })
    }
}

/// Parts of the metadata that few objects have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetaExtra {
    /// `generateName`.
    pub generate_name: CompactString,
    /// `finalizers`, in order.
    pub finalizers: Vec<Symbol>,
    /// The object as written, if it has fields that its type does not hold.
    pub written: Option<document::Node>,
}

/// The metadata of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectMeta {
    /// `name`, unique within kind and namespace.
    pub name: CompactString,
    /// `namespace`; empty for kinds of cluster scope.
    pub namespace: Symbol,
    /// `uid`, assigned at creation.
    pub uid: Uid,
    /// The row of the object in the store's arena of its kind, assigned at creation and never
    /// used again, so that it identifies the object like its uid. Not visible at the border.
    pub id: u32,
    /// `resourceVersion`: the store's revision of the last write; 0 before the first.
    pub resource_version: u64,
    /// `generation`: raised when the spec changes; 0 for kinds without one.
    pub generation: i64,
    /// `creationTimestamp`, in whole seconds at the border.
    pub created: SimTime,
    /// The deletion in progress, if there is one.
    pub deletion: PackedDeletion,
    /// `labels`.
    pub labels: Labels,
    /// `annotations`.
    pub annotations: Labels,
    /// `ownerReferences`, shared by siblings.
    pub owners: Option<Arc<Vec<OwnerRef>>>,
    /// What few objects have.
    pub extra: Option<Arc<MetaExtra>>,
}

impl ObjectMeta {
    /// Metadata with a name and a namespace.
    pub fn named(namespace: &str, name: &str) -> ObjectMeta {
        ObjectMeta { name: name.into(), namespace: Symbol::new(namespace), ..ObjectMeta::default() }
    }

    /// The deletion in progress, if there is one.
    pub fn deletion(&self) -> Option<Deletion> {
        self.deletion.get()
    }

    /// Begins, changes or takes back a deletion.
    pub fn set_deletion(&mut self, deletion: Option<Deletion>) {
        self.deletion = PackedDeletion::new(deletion);
    }

    /// Whether the object is going away.
    pub fn is_deleting(&self) -> bool {
        self.deletion.get().is_some()
    }

    /// All owners.
    pub fn owner_refs(&self) -> &[OwnerRef] {
        self.owners.as_ref().map_or(&[], |owners| owners)
    }

    /// The managing controller's reference, if there is one.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owner_refs().iter().find(|owner| owner.controller)
    }

    /// The finalizers.
    pub fn finalizers(&self) -> &[Symbol] {
        self.extra.as_ref().map_or(&[], |extra| &extra.finalizers)
    }

    /// Replaces the finalizers.
    pub fn set_finalizers(&mut self, finalizers: Vec<Symbol>) {
        if self.finalizers() != finalizers {
            let extra = self.extra.get_or_insert_default();
            Arc::make_mut(extra).finalizers = finalizers;
        }
    }

    /// `namespace/name`, or the name alone for kinds of cluster scope.
    pub fn full_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }

    /// A reference to the object as one of `kind`.
    pub fn object_ref(&self, kind: Kind) -> ObjectRef {
        ObjectRef { kind, id: self.id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_survive_reading_and_printing() {
        for text in [
            "6f1d2c3b-0a09-4f8e-9d7c-5b4a39281706",
            "uid-node-000",
            "",
            "6F1D2C3B-0A09-4F8E-9D7C-5B4A39281706",
        ] {
            assert_eq!(Uid::parse(text).to_string(), text);
        }
    }

    #[test]
    fn deletion_is_kept_at_any_instant() {
        let mut meta = ObjectMeta::named("ns", "pod");
        for nanos in [0, 1, -1, 5_000_000_000, i64::MAX] {
            let deletion = Deletion { at: SimTime::from_nanos(nanos), grace_seconds: 30 };
            meta.set_deletion(Some(deletion));
            assert_eq!(meta.deletion(), Some(deletion));
        }
        meta.set_deletion(None);
        assert!(!meta.is_deleting());
    }
}
