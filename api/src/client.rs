//! The client's side of the API: rate limits, back-off.

use crate::units::{SimTime, Span};

/// A token bucket that delays and never refuses (upstream `flowcontrol.NewTokenBucketRateLimiter`).
///
/// Kept as the instant at which the bucket would be full again, in integer nanoseconds, so that
/// equal histories give equal delays to the last bit.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    interval: Span,
    burst: i64,
    full_at: SimTime,
}

impl TokenBucket {
    /// A full bucket: one token every `1 / qps` seconds, at most `burst` of them.
    ///
    /// # Panics
    /// If `qps` or `burst` is not positive.
    pub const fn new(qps: i64, burst: i64) -> TokenBucket {
        assert!(qps > 0 && burst > 0, "a rate limit needs a rate and a burst");
        let interval = Span::from_nanos(crate::units::NANOS_PER_SECOND / qps);
        TokenBucket { interval, burst, full_at: SimTime::from_nanos(i64::MIN) }
    }

    /// A bucket that never delays.
    pub const fn unlimited() -> TokenBucket {
        TokenBucket { interval: Span::ZERO, burst: 1, full_at: SimTime::from_nanos(i64::MIN) }
    }

    /// Takes a token and returns when the request may go.
    pub fn take(&mut self, now: SimTime) -> SimTime {
        if self.interval == Span::ZERO {
            return now;
        }
        let full_at = self.full_at.max(now);
        let send_at = now.max(full_at - self.interval.times(self.burst - 1));
        self.full_at = full_at + self.interval;
        send_at
    }

    /// Takes tokens for those who ask for one again and again: as many as they asked for, until each
    /// of them waits for one.
    pub fn drain(&mut self, now: SimTime, drain: Drain) {
        let full_at = self.full_at.max(now);
        // As `take` has it: the last of those who wait gets its token after so many intervals.
        let waits = now + self.interval.times(self.burst - 1 + drain.waiting);
        let gone = full_at + self.interval.times(drain.tokens.min(self.burst + drain.waiting));
        self.full_at = full_at.max(gone.min(waits));
    }
}

/// What is taken out of a bucket by many who come back as soon as they have got their token.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How many tokens they took, or asked for.
    pub tokens: i64,
    /// How many they are.
    pub waiting: i64,
}

/// An exponential back-off: `base × 2^(failures - 1)`, at most `limit`.
pub fn exponential(base: Span, limit: Span, failures: u32) -> Span {
    let doublings = failures.saturating_sub(1).min(62);
    base.times(1i64 << doublings).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_go_and_then_its_rate() {
        let mut bucket = TokenBucket::new(20, 3);
        let sent: Vec<_> = (0..6).map(|_| bucket.take(SimTime::ZERO).nanos() / 1_000_000).collect();
        assert_eq!(sent, [0, 0, 0, 50, 100, 150]);
        assert_eq!(bucket.take(SimTime::from_secs(10)), SimTime::from_secs(10));
    }

    #[test]
    fn back_off_doubles_up_to_its_limit() {
        let waits = [1, 2, 3, 6, 100]
            .map(|n| exponential(Span::from_secs(10), Span::from_secs(300), n).nanos() / 1_000_000_000);
        assert_eq!(waits, [10, 20, 40, 300, 300]);
    }
}
