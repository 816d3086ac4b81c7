//! What a candidate may write into the lease, given what it has seen of it.

use seatrial_api::lease::LeaseRecord;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

/// What a candidate has seen of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The record.
    pub record: LeaseRecord,
    /// When the candidate saw it in this form first.
    pub at: SimTime,
}

impl Observation {
    /// What is known after the record was read at an instant.
    pub fn updated(before: Option<Observation>, record: LeaseRecord, now: SimTime) -> Observation {
        match before {
            Some(before) if before.record == record => before,
            _ => Observation { record, at: now },
        }
    }

    /// Until when others let the holder be, as this candidate reckons.
    fn holds_until(&self, lease_duration: Span) -> SimTime {
        self.at + lease_duration
    }
}

/// What a candidate does about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It writes this record.
    Write(LeaseRecord),
    /// Another one holds it, and is let be.
    HeldBy(Symbol),
}

/// The claim of candidate `own` at an instant, given what it has seen.
pub fn claim(own: Symbol, seen: &Observation, lease_duration: Span, now: SimTime) -> Claim {
    let old = &seen.record;
    let held = !old.holder.is_empty() && old.holder != own;
    if held && seen.holds_until(lease_duration) > now {
        return Claim::HeldBy(old.holder);
    }
    let seconds = i32::try_from(lease_duration.nanos() / 1_000_000_000).unwrap_or(i32::MAX);
    Claim::Write(if old.holder == own {
        LeaseRecord { duration_seconds: seconds, renewed: Some(now), ..*old }
    } else {
        LeaseRecord {
            holder: own,
            duration_seconds: seconds,
            acquired: Some(now),
            renewed: Some(now),
            transitions: old.transitions + 1,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_when_it_is_free_own_or_long_unchanged() {
        let (a, b) = (Symbol::new("a"), Symbol::new("b"));
        let lease = Span::from_secs(15);
        let at = SimTime::from_secs;
        let record = |holder, transitions| LeaseRecord {
            holder,
            duration_seconds: 15,
            acquired: Some(at(1)),
            renewed: Some(at(1)),
            transitions,
        };
        for (holder, seen_at, now, expected) in [
            // Renewed by its holder: acquired stays, and it did not change hands.
            (a, 10, 12, Some((at(1), 3))),
            // Released.
            (Symbol::empty(), 10, 12, Some((at(12), 4))),
            (b, 10, 24, None),
            (b, 10, 25, Some((at(25), 4))),
        ] {
            let seen = Observation { record: record(holder, 3), at: at(seen_at) };
            let found = match claim(a, &seen, lease, at(now)) {
                Claim::HeldBy(other) => {
                    assert_eq!(other, holder);
                    None
                }
                Claim::Write(record) => {
                    assert_eq!((record.holder, record.renewed), (a, Some(at(now))));
                    record.acquired.map(|acquired| (acquired, record.transitions))
                }
            };
            assert_eq!(found, expected, "{holder} at {now}");
        }
    }

    #[test]
    fn only_a_changed_record_is_a_sign_of_life() {
        let record = LeaseRecord { holder: Symbol::new("b"), ..LeaseRecord::default() };
        let first = Observation::updated(None, record, SimTime::from_secs(1));
        let again = Observation::updated(Some(first), record, SimTime::from_secs(5));
        assert_eq!(again.at, SimTime::from_secs(1));
        let renewed = LeaseRecord { renewed: Some(SimTime::from_secs(4)), ..record };
        let changed = Observation::updated(Some(again), renewed, SimTime::from_secs(6));
        assert_eq!(changed.at, SimTime::from_secs(6));
    }
}
