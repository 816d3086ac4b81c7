//! Leader election on a Lease (upstream `client-go/tools/leaderelection`): of several processes one
//! acts, and another takes over when it has not been heard of for a while.
//!
//! Each candidate judges by its own clock and by what it has read: a lease is over when the record has
//! not changed for its duration since the candidate saw it last, whatever times stand in it.

mod machine;
mod record;

pub use machine::{Elector, ElectorTimer, Standing};
pub use record::{Claim, Observation, claim};

use seatrial_api::units::Span;

/// What candidates have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionConfig {
    /// For how long others let the holder be after its last renewal.
    pub lease_duration: Span,
    /// How long the holder tries to renew before it gives up.
    pub renew_deadline: Span,
    /// The pause between two attempts; candidates lengthen theirs by a random part of up to 1.2 times.
    pub retry_period: Span,
    /// Whether the holder gives the lease back when it ends in order.
    pub release_on_cancel: bool,
}

impl Default for ElectionConfig {
    /// 15, 10 and 2 seconds.
    fn default() -> ElectionConfig {
        ElectionConfig {
            lease_duration: Span::from_secs(15),
            renew_deadline: Span::from_secs(10),
            retry_period: Span::from_secs(2),
            release_on_cancel: false,
        }
    }
}
