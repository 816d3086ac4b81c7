//! ResourceQuota and LimitRange, and how quotas count (upstream `pkg/quota/v1`): what an object uses,
//! which quotas it is charged to, and what is too much. Admission and the controller share it.

mod amounts;
mod scopes;
mod usage;

pub use amounts::Amounts;
pub use scopes::{Scope, ScopeOperator, ScopeSelector};
pub use usage::{counts, is_charged, may_be_charged, missing_amounts, tracks, usage};

use crate::meta::ObjectMeta;
use crate::symbol::Symbol;

/// A ResourceQuota: how much all objects of a namespace may use together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceQuota {
    /// The metadata.
    pub meta: ObjectMeta,
    /// `spec.hard`: the limits by resource.
    pub hard: Amounts,
    /// `spec.scopes` and `spec.scopeSelector`: which objects count; all of them must match.
    pub scopes: Vec<ScopeSelector>,
    /// The status.
    pub status: ResourceQuotaStatus,
}

/// The status of a ResourceQuota. Admission measures against it, and not against the specification.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceQuotaStatus {
    /// The limits that are in force; `None` before the first calculation.
    pub hard: Option<Amounts>,
    /// What is used; `None` before the first calculation.
    pub used: Option<Amounts>,
}

/// What a limit of a LimitRange is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitType {
    /// The sum over the containers of a pod.
    Pod,
    /// Each container.
    Container,
    /// Each claim.
    PersistentVolumeClaim,
    /// Something that is not looked at.
    Other(Symbol),
}

/// One limit of a LimitRange.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What it is about.
    pub kind: LimitType,
    /// The largest amounts.
    pub max: Amounts,
    /// The smallest amounts.
    pub min: Amounts,
    /// Limits of containers that have none.
    pub default: Amounts,
    /// Requests of containers that have none.
    pub default_request: Amounts,
    /// How much larger than the request a limit may be.
    pub max_limit_request_ratio: Amounts,
}

/// A LimitRange: what single objects of a namespace may use, and what they use by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitRange {
    /// The metadata.
    pub meta: ObjectMeta,
    /// The limits.
    pub limits: Vec<Limit>,
}

#[cfg(test)]
mod tests;
