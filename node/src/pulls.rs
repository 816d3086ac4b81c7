//! The image puller of a node: one pull at a time, first come first served, or
//! several at once; above the registry's rate a pull fails at once.

use std::collections::VecDeque;

use seatrial_api::runtime::ContainerId;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{NANOS_PER_SECOND, SimTime, Span};

use crate::config::{KubeletConfig, PullConcurrency, RateLimit};

/// A pull that is asked for.
pub(crate) type Pull = (ContainerId, Symbol);

/// What becomes of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It begins.
    Now,
    /// It waits for others.
    Later,
    /// The registry's rate is exceeded.
    Refused,
}

/// The puller.
#[derive(Clone, Debug)]
pub(crate) struct Puller {
    limit: usize,
    rate: Option<RateLimit>,
    /// When the rate's bucket would be full again.
    full_at: SimTime,
    /// The containers for which an image is being pulled.
    active: Vec<ContainerId>,
    waiting: VecDeque<Pull>,
}

impl Puller {
    pub(crate) fn new(config: &KubeletConfig) -> Puller {
        let limit = match config.pulls {
            PullConcurrency::Serial => 1,
            PullConcurrency::Parallel(limit) => limit.max(1) as usize,
        };
        Puller {
            limit,
            rate: config.registry_rate,
            full_at: SimTime::from_nanos(i64::MIN),
            active: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Asks for a pull.
    pub(crate) fn ask(&mut self, now: SimTime, pull: Pull) -> Turn {
        if self.active.len() >= self.limit {
            self.waiting.push_back(pull);
            return Turn::Later;
        }
        self.begin(now, pull.0)
    }

    /// A pull has ended: its place is free for the next. A pull of an earlier life had none.
    pub(crate) fn done(&mut self, container: ContainerId) -> Option<Pull> {
        let place = self.active.iter().position(|&other| other == container)?;
        self.active.swap_remove(place);
        self.next()
    }

    /// The next pull that waits, if there is a place for it.
    pub(crate) fn next(&mut self) -> Option<Pull> {
        if self.active.len() < self.limit { self.waiting.pop_front() } else { None }
    }

    /// Begins a pull if the registry's rate allows.
    pub(crate) fn begin(&mut self, now: SimTime, container: ContainerId) -> Turn {
        if let Some(rate) = self.rate {
            let interval = Span::from_nanos(NANOS_PER_SECOND / rate.per_second.max(1));
            let full_at = self.full_at.max(now);
            if full_at - interval.times(rate.burst - 1) > now {
                return Turn::Refused;
            }
            self.full_at = full_at + interval;
        }
        self.active.push(container);
        Turn::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(pod: u32) -> Pull {
        (ContainerId { pod, index: 0, attempt: 0 }, Symbol::new("app:1"))
    }

    #[test]
    fn pulls_take_their_turn_in_the_order_in_which_they_came() {
        let mut puller = Puller::new(&KubeletConfig::default());
        assert_eq!(puller.ask(SimTime::ZERO, pull(1)), Turn::Now);
        assert_eq!(puller.ask(SimTime::ZERO, pull(2)), Turn::Later);
        assert_eq!(puller.ask(SimTime::ZERO, pull(3)), Turn::Later);
        assert_eq!(puller.done(pull(1).0), Some(pull(2)));
        assert_eq!(puller.begin(SimTime::ZERO, pull(2).0), Turn::Now);
        assert_eq!(puller.next(), None);
        assert_eq!(puller.done(pull(1).0), None, "it has ended before");
        assert_eq!(puller.done(pull(2).0), Some(pull(3)));
    }

    #[test]
    fn above_the_rate_of_the_registry_a_pull_is_refused() {
        let config = KubeletConfig { pulls: PullConcurrency::Parallel(100), ..KubeletConfig::default() };
        let mut puller = Puller::new(&config);
        let turns: Vec<_> = (0..12).map(|pod| puller.ask(SimTime::ZERO, pull(pod))).collect();
        assert!(turns[..10].iter().all(|&turn| turn == Turn::Now));
        assert_eq!(turns[10..], [Turn::Refused, Turn::Refused]);
        assert_eq!(puller.ask(SimTime::ZERO + Span::from_millis(200), pull(12)), Turn::Now);
    }
}
