//! Namespace, ServiceAccount, ConfigMap and Secret.

use std::fmt;

use compact_str::CompactString;

use crate::meta::ObjectMeta;
use crate::workload::Condition;

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespace {
    /// The metadata.
    pub meta: ObjectMeta,
    /// Whether it is going away with all that is in it.
    pub terminating: bool,
    /// Whether its controller has emptied it and given its `spec.finalizers` up.
    pub finalized: bool,
    /// Conditions, which tell what holds its deletion up.
    pub conditions: Vec<Condition>,
}

/// A ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceAccount {
    /// The metadata.
    pub meta: ObjectMeta,
}

/// A ConfigMap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigMap {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The data; binary data as its base64 text.
    pub data: Vec<(CompactString, CompactString)>,
    /// Whether it may not change.
    pub immutable: bool,
}

/// A Secret. Its values appear in no log, report or debug output.
#[derive(Clone, Default, PartialEq)]
pub struct Secret {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The type.
    pub kind: CompactString,
    /// The data, base64 as stored.
    pub data: Vec<(CompactString, CompactString)>,
    /// Whether it may not change.
    pub immutable: bool,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.data.iter().map(|entry| &entry.0).collect();
        f.debug_struct("Secret").field("meta", &self.meta).field("keys", &keys).finish_non_exhaustive()
    }
}
