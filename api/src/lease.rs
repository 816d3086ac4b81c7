//! Leases: who holds a lock, and since when.

use crate::meta::ObjectMeta;
use crate::symbol::Symbol;
use crate::units::SimTime;

/// A Lease.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lease {
    /// The metadata.
    pub meta: ObjectMeta,
    /// What it says.
    pub record: LeaseRecord,
}

/// What a Lease says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it, empty for nobody.
    pub holder: Symbol,
    /// For how many seconds after its last renewal others let it be.
    pub duration_seconds: i32,
    /// When the holder took it.
    pub acquired: Option<SimTime>,
    /// When the holder renewed it last.
    pub renewed: Option<SimTime>,
    /// How often it changed hands.
    pub transitions: i32,
}
