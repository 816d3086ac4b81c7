//! The work queue of a controller (upstream `client-go/util/workqueue`): keys are deduplicated, a
//! key that is being processed is not handed out twice, delayed adds keep the earlier time, and
//! failed keys come back after an exponential back-off.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rustc_hash::{FxHashMap, FxHashSet};
use seatrial_api::client::{Drain, TokenBucket, exponential};
use seatrial_api::units::{SimTime, Span};

/// How failed keys are retried.
#[derive(Clone, Debug)]
pub(crate) struct RetryPolicy {
    /// The first delay; each further failure doubles it.
    pub(crate) base: Span,
    /// The longest delay.
    pub(crate) limit: Span,
    /// A bucket that all keys of the queue share; the later of both times counts.
    pub(crate) bucket: Option<TokenBucket>,
    /// After how many retries a key is dropped until its next event; `None` for never.
    pub(crate) retries_max: Option<u32>,
}

impl RetryPolicy {
    /// Upstream's default: 5 ms doubling to 1000 s, and ten a second with a burst of a hundred.
    pub(crate) fn standard() -> RetryPolicy {
        RetryPolicy {
            base: Span::from_millis(5),
            limit: Span::from_secs(1000),
            bucket: Some(TokenBucket::new(10, 100)),
            retries_max: None,
        }
    }
}

const DIRTY: u8 = 1;
const PROCESSING: u8 = 2;

/// A queue of object rows.
#[derive(Clone, Debug)]
pub(crate) struct WorkQueue {
    order: VecDeque<u32>,
    flags: Vec<u8>,
    failures: FxHashMap<u32, u32>,
    retry: RetryPolicy,
    waiting: FxHashMap<u32, SimTime>,
    due: BinaryHeap<Reverse<(SimTime, u64, u32)>>,
    sequence: u64,
    /// Keys whose retries change nothing: computed, not played.
    idle: FxHashSet<u32>,
    /// Up to when the shared bucket was charged for them.
    charged: SimTime,
    /// The instant for which the driver holds a timer, if it lies ahead.
    armed: Option<SimTime>,
    /// Whether keys were added, or a key was done, since it was last asked.
    changed: bool,
}

impl WorkQueue {
    pub(crate) fn new(retry: RetryPolicy) -> WorkQueue {
        WorkQueue {
            order: VecDeque::new(),
            flags: Vec::new(),
            failures: FxHashMap::default(),
            retry,
            waiting: FxHashMap::default(),
            due: BinaryHeap::new(),
            sequence: 0,
            idle: FxHashSet::default(),
            charged: SimTime::ZERO,
            armed: None,
            changed: false,
        }
    }

    fn flag(&mut self, key: u32) -> &mut u8 {
        let index = key as usize;
        if index >= self.flags.len() {
            self.flags.resize((index + 1).next_power_of_two(), 0);
        }
        &mut self.flags[index]
    }

    /// Wants `key` to be synced.
    pub(crate) fn add(&mut self, key: u32) {
        let flag = self.flag(key);
        if *flag & DIRTY != 0 {
            return;
        }
        let processing = *flag & PROCESSING != 0;
        *flag |= DIRTY;
        if !processing {
            self.order.push_back(key);
            self.changed = true;
        }
    }

    /// Wants `key` to be synced at `at`, or at the earlier time for which it waits already.
    pub(crate) fn add_at(&mut self, at: SimTime, key: u32) {
        if self.waiting.get(&key).is_some_and(|&known| known <= at) {
            return;
        }
        self.waiting.insert(key, at);
        self.sequence += 1;
        self.due.push(Reverse((at, self.sequence, key)));
        self.changed = true;
    }

    /// Wants `key` to be synced again after a failure; drops it if its retries are used up.
    pub(crate) fn retry(&mut self, now: SimTime, key: u32) {
        let failures = self.failures.entry(key).or_insert(0);
        if self.retry.retries_max.is_some_and(|most| *failures >= most) {
            self.failures.remove(&key);
            return;
        }
        *failures += 1;
        let own = now + exponential(self.retry.base, self.retry.limit, *failures);
        self.charge_idle(now);
        let shared = self.retry.bucket.as_mut().map_or(now, |bucket| bucket.take(now));
        self.add_at(own.max(shared), key);
    }

    /// Wants `key` to be synced again and again with the first back-off, each time without any effect,
    /// until it is added for another reason. No sync is played; what it costs is the shared bucket's
    /// tokens.
    ///
    /// Model: each of these keys takes a token every time its back-off is over, in no order among
    /// them, and a sync takes no time.
    pub(crate) fn idle(&mut self, now: SimTime, key: u32) {
        self.charge_idle(now);
        self.idle.insert(key);
    }

    /// A key is synced: it idles no longer.
    pub(crate) fn wake(&mut self, now: SimTime, key: u32) {
        if self.idle.contains(&key) {
            self.charge_idle(now);
            self.idle.remove(&key);
        }
    }

    /// Lets the shared bucket have what the idle keys took of it up to `now`.
    fn charge_idle(&mut self, now: SimTime) {
        let since = std::mem::replace(&mut self.charged, now);
        let Some(bucket) = self.retry.bucket.as_mut().filter(|_| !self.idle.is_empty()) else { return };
        let keys = self.idle.len() as i64;
        let turns = (now - since).nanos() / self.retry.base.nanos().max(1);
        bucket.drain(now, Drain { tokens: turns.saturating_mul(keys), waiting: keys });
    }

    /// Forgets the failures of `key`.
    pub(crate) fn forget(&mut self, key: u32) {
        self.failures.remove(&key);
    }

    /// Takes the next key to be processed.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let key = self.order.pop_front()?;
        let flag = self.flag(key);
        *flag = (*flag & !DIRTY) | PROCESSING;
        Some(key)
    }

    /// Ends the processing of `key`; it queues again if it was added meanwhile.
    pub(crate) fn done(&mut self, key: u32) {
        let flag = self.flag(key);
        *flag &= !PROCESSING;
        let dirty = *flag & DIRTY != 0;
        self.changed = true;
        if dirty {
            self.order.push_back(key);
        }
    }

    /// Whether there may be keys to hand out or a timer to set, since this was last asked.
    #[inline]
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether no key waits to be handed out now.
    pub(crate) fn is_idle(&self) -> bool {
        self.order.is_empty()
    }

    /// Moves the keys whose time has come into the queue. Called when the queue's timer fires.
    pub(crate) fn advance(&mut self, now: SimTime) {
        if self.armed.is_some_and(|armed| armed <= now) {
            self.armed = None;
            self.changed = true;
        }
        while let Some(&Reverse((at, _, key))) = self.due.peek() {
            if at > now {
                break;
            }
            self.due.pop();
            if self.waiting.get(&key) == Some(&at) {
                self.waiting.remove(&key);
                self.add(key);
            }
        }
    }

    /// The instant at which a timer must be set now, if one must: it counts as set.
    pub(crate) fn arm(&mut self) -> Option<SimTime> {
        let &Reverse((at, _, _)) = self.due.peek()?;
        if self.armed.is_some_and(|armed| armed <= at) {
            return None;
        }
        self.armed = Some(at);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> WorkQueue {
        WorkQueue::new(RetryPolicy::standard())
    }

    #[test]
    fn a_key_is_handed_out_once_however_often_it_is_added() {
        let mut queue = queue();
        queue.add(7);
        queue.add(3);
        queue.add(7);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(7), Some(3), None));
    }

    #[test]
    fn a_key_added_while_it_is_processed_runs_once_after() {
        let mut queue = queue();
        queue.add(7);
        assert_eq!(queue.pop(), Some(7));
        queue.add(7);
        queue.add(7);
        assert_eq!(queue.pop(), None);
        queue.done(7);
        assert_eq!(queue.pop(), Some(7));
        queue.done(7);
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_delayed_add_keeps_the_earlier_time() {
        let mut queue = queue();
        queue.add_at(SimTime::from_secs(5), 1);
        assert_eq!(queue.arm(), Some(SimTime::from_secs(5)));
        queue.add_at(SimTime::from_secs(9), 1);
        assert_eq!(queue.arm(), None);
        queue.add_at(SimTime::from_secs(2), 1);
        assert_eq!(queue.arm(), Some(SimTime::from_secs(2)));
        queue.advance(SimTime::from_secs(2));
        assert_eq!(queue.pop(), Some(1));
        queue.done(1);
        queue.advance(SimTime::from_secs(10));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn failures_double_the_delay_until_they_are_forgotten() {
        let mut queue = queue();
        let mut delays = Vec::new();
        for _ in 0..4 {
            queue.retry(SimTime::ZERO, 1);
            delays.push(queue.arm().map(SimTime::nanos));
            queue.advance(SimTime::from_secs(1));
            assert_eq!(queue.pop(), Some(1));
            queue.done(1);
        }
        assert_eq!(delays, [5, 10, 20, 40].map(|millis| Some(millis * 1_000_000)));
        queue.forget(1);
        queue.retry(SimTime::ZERO, 1);
        assert_eq!(queue.arm(), Some(SimTime::from_nanos(5_000_000)));
    }

    #[test]
    fn idle_keys_cost_the_shared_bucket_its_tokens_and_no_timer() {
        let delay_of_another = |idle: u32, after: i64| {
            let mut queue = queue();
            (0..idle).for_each(|key| queue.idle(SimTime::ZERO, key));
            assert_eq!(queue.arm(), None);
            let now = SimTime::from_secs(after);
            queue.retry(now, 100);
            (queue.arm().expect("a timer") - now).nanos() / 1_000_000
        };
        assert_eq!(delay_of_another(0, 60), 5, "the back-off alone");
        assert_eq!(delay_of_another(1, 0), 5, "no token was taken yet");
        // A hundred tokens are gone after half a second; from then on all wait for the next one.
        for (keys, wait) in [(1, 100), (7, 700)] {
            let found = delay_of_another(keys, 60);
            assert!((wait - 100..=wait).contains(&found), "{keys}: {found}");
        }
    }

    #[test]
    fn a_key_that_wakes_gives_the_bucket_time_to_recover() {
        let mut queue = queue();
        queue.idle(SimTime::ZERO, 1);
        queue.add(1);
        assert_eq!(queue.pop(), Some(1));
        queue.wake(SimTime::from_secs(60), 1);
        queue.done(1);
        queue.retry(SimTime::from_secs(75), 2);
        assert_eq!(queue.arm(), Some(SimTime::from_nanos(75_005_000_000)));
    }

    #[test]
    fn a_key_is_dropped_when_its_retries_are_used_up() {
        let policy = RetryPolicy { retries_max: Some(2), ..RetryPolicy::standard() };
        let mut queue = WorkQueue::new(policy);
        for _ in 0..2 {
            queue.retry(SimTime::ZERO, 1);
            queue.advance(SimTime::from_secs(1));
            assert_eq!(queue.pop(), Some(1));
            queue.done(1);
        }
        queue.retry(SimTime::ZERO, 1);
        assert_eq!(queue.arm(), None);
    }
}
