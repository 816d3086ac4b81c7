//! The back-off between restarts of a container and between pulls of an image
//! (upstream `client-go/util/flowcontrol/backoff.go`).

use seatrial_api::units::{SimTime, Span};

/// The first wait.
const BASE: Span = Span::from_secs(10);

/// One container's or image's back-off: how long to wait, and since when that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOff {
    /// The current wait.
    pub wait: Span,
    /// When it was raised last.
    pub raised_at: SimTime,
}

/// After how long without a raise a back-off begins anew; the kubelet's constant, whatever the
/// longest wait is set to.
pub(crate) const EXPIRY: Span = Span::from_secs(600);

/// Whether one must still wait at `now`, when the last failure was at `failed_at`.
pub(crate) fn is_waiting(back_off: Option<BackOff>, failed_at: SimTime, now: SimTime) -> bool {
    back_off.is_some_and(|entry| !is_expired(entry, failed_at) && now - failed_at < entry.wait)
}

/// The back-off after another failure at `failed_at`: doubled, or begun anew if the last raise is
/// long ago.
pub(crate) fn raised(back_off: Option<BackOff>, failed_at: SimTime, now: SimTime, max: Span) -> BackOff {
    let wait = match back_off {
        Some(entry) if !is_expired(entry, failed_at) => entry.wait.times(2),
        _ => BASE,
    };
    BackOff { wait: wait.min(max), raised_at: now }
}

fn is_expired(entry: BackOff, failed_at: SimTime) -> bool {
    failed_at - entry.raised_at > EXPIRY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_run_from_ten_seconds_to_five_minutes() {
        let max = Span::from_secs(300);
        let mut entry = None;
        let waits: Vec<_> = (0..7)
            .map(|_| {
                entry = Some(raised(entry, SimTime::ZERO, SimTime::ZERO, max));
                entry.map_or(0, |entry: BackOff| entry.wait.nanos() / 1_000_000_000)
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_begin_the_waits_anew() {
        let entry = BackOff { wait: Span::from_secs(300), raised_at: SimTime::ZERO };
        let max = Span::from_secs(300);
        for (failed_at, waiting, next) in [(600, true, 300), (601, false, 10)] {
            let failed_at = SimTime::from_secs(failed_at);
            let now = failed_at + Span::from_secs(1);
            assert_eq!(is_waiting(Some(entry), failed_at, now), waiting);
            assert_eq!(raised(Some(entry), failed_at, now, max).wait, Span::from_secs(next));
        }
    }

    #[test]
    fn the_wait_counts_from_the_failure() {
        let entry = BackOff { wait: Span::from_secs(20), raised_at: SimTime::ZERO };
        for (now, waiting) in [(5, true), (24, true), (25, false)] {
            assert_eq!(is_waiting(Some(entry), SimTime::from_secs(5), SimTime::from_secs(now)), waiting);
        }
    }
}
