//! The event engine: clock, queue, trace, random quantities. It knows nothing of clusters and can
//! be used alone.
//!
//! An [`Engine`] hands out events in the order of (time, sequence) and moves the clock along; what
//! they mean is the business of the loop around it, and there is no other source of order. Every
//! event handed out enters the [trace], whose hash stands for the whole run. Future arrivals can
//! wait in a sorted side stream ([`arrivals`]) instead of the [queue]. Sampling is in [`dist`].
//!
//! A queue with one server, at a load of one half:
//!
//! ```
//! use seatrial_api::stream::Stream;
//! use seatrial_api::units::{SimTime, Span};
//! use seatrial_sim_core::engine::Engine;
//! use seatrial_sim_core::engine::dist::Distribution;
//! use seatrial_sim_core::engine::trace::{Event, Signature};
//!
//! #[derive(Clone, Copy)]
//! enum Step {
//!     Arrival,
//!     Departure,
//! }
//!
//! impl Event for Step {
//!     fn signature(&self) -> Signature {
//!         Signature { kind: *self as u32, ids: [0; 3] }
//!     }
//! }
//!
//! let between = Distribution::Exponential { mean: Span::from_secs(2) }.sampler()?;
//! let service = Distribution::Exponential { mean: Span::from_secs(1) }.sampler()?;
//! let (mut arrivals, mut services) = (Stream::new(1, 0, 0), Stream::new(1, 0, 1));
//! let (mut present, mut served) = (0, 0);
//!
//! let mut engine: Engine<Step> = Engine::new(SimTime::ZERO);
//! engine.schedule_at(SimTime::ZERO, Step::Arrival);
//! while let Some(entry) = engine.next_event_until(SimTime::from_secs(3_600)) {
//!     match entry.event {
//!         Step::Arrival => {
//!             present += 1;
//!             engine.schedule_after(between.draw(&mut arrivals), Step::Arrival);
//!         }
//!         Step::Departure => {
//!             present -= 1;
//!             served += 1;
//!         }
//!     }
//!     // Whoever arrives at an empty server, or is next in line, is served.
//!     if present > 0 && (matches!(entry.event, Step::Departure) || present == 1) {
//!         engine.schedule_after(service.draw(&mut services), Step::Departure);
//!     }
//! }
//! assert!((1_650..1_950).contains(&served));
//! assert_eq!(engine.trace_hash().to_string().len(), 16);
//! # Ok::<(), seatrial_sim_core::engine::dist::DistributionError>(())
//! ```

pub mod arrivals;
pub mod dist;
pub mod queue;
#[cfg(test)]
mod tests;
pub mod trace;

use std::marker::PhantomData;

use seatrial_api::units::{SimTime, Span};

use arrivals::{Arrivals, NoArrivals};
use queue::{BucketQueue, Entry, EventQueue};
use trace::{Event, Trace, TraceHash};

/// Sequence numbers set aside for arrivals, more than any run has.
const ARRIVALS_MAX: u64 = 1 << 40;

/// The clock, the queue and the trace of a run.
///
/// It is a value: a clone taken between two events and its original, driven alike, hand out the
/// same events and end with the same hash. So does an engine on another queue `Q`.
#[derive(Clone, Debug)]
pub struct Engine<E, Q = BucketQueue<E>, A = NoArrivals> {
    now: SimTime,
    queue: Q,
    arrivals: A,
    /// The sequence number of the next arrival.
    arrival_sequence: u64,
    trace: Trace,
    event: PhantomData<E>,
}

impl<E: Event, Q: EventQueue<E>> Engine<E, Q> {
    /// An engine whose clock stands at `start` and that has nothing to do.
    pub fn new(start: SimTime) -> Self {
        Engine::with_arrivals(start, NoArrivals)
    }
}

impl<E: Event, Q: EventQueue<E>, A: Arrivals<E>> Engine<E, Q, A> {
    /// An engine whose clock stands at `start` and to which `arrivals` will happen, none of them
    /// before `start`.
    pub fn with_arrivals(start: SimTime, arrivals: A) -> Self {
        let mut queue = Q::default();
        let arrival_sequence = queue.reserve_sequences(ARRIVALS_MAX);
        Engine { now: start, queue, arrivals, arrival_sequence, trace: Trace::new(), event: PhantomData }
    }

    /// Schedules `event` for the instant `at`, behind all events of that instant.
    ///
    /// # Panics
    /// If `at` lies in the past: time never runs back.
    #[inline]
    pub fn schedule_at(&mut self, at: SimTime, event: E) {
        if at < self.now {
            time_ran_back(self.now, at);
        }
        self.queue.push(at, event);
    }

    /// Schedules `event` for `delay` from now, behind all events of that instant. A delay beyond
    /// the end of time ends at [`SimTime::MAX`].
    ///
    /// # Panics
    /// If `delay` is negative.
    #[inline]
    pub fn schedule_after(&mut self, delay: Span, event: E) {
        self.schedule_at(self.now + delay, event);
    }

    /// Takes the next event, and with it the clock to its instant.
    ///
    /// # Panics
    /// If an arrival lies in the past.
    #[inline]
    pub fn next_event(&mut self) -> Option<Entry<E>> {
        let entry = match self.arrivals.peek_time() {
            Some(arrival) if self.queue.peek_time().is_none_or(|queued| arrival <= queued) => {
                self.take_arrival()?
            }
            _ => self.queue.pop()?,
        };
        Some(self.hand_out(entry))
    }

    /// Takes the next event if it happens at `limit` at the latest.
    #[inline]
    pub fn next_event_until(&mut self, limit: SimTime) -> Option<Entry<E>> {
        let (arrival, queued) = (self.arrivals.peek_time(), self.queue.peek_time());
        let arrives = arrival.is_some_and(|arrival| queued.is_none_or(|queued| arrival <= queued));
        let next = if arrives { arrival } else { queued };
        next.filter(|&time| time <= limit)?;
        let entry = if arrives { self.take_arrival()? } else { self.queue.pop()? };
        Some(self.hand_out(entry))
    }

    /// Takes the clock to an event, which enters the trace.
    #[inline]
    fn hand_out(&mut self, entry: Entry<E>) -> Entry<E> {
        if entry.time < self.now {
            time_ran_back(self.now, entry.time);
        }
        self.now = entry.time;
        let first_effect = self.queue.next_sequence();
        self.trace.observe(entry.time, entry.sequence, first_effect, entry.event.signature());
        entry
    }

    /// The next arrival. Its sequence number is smaller than all in the queue, because it was set
    /// aside before them.
    #[inline]
    fn take_arrival(&mut self) -> Option<Entry<E>> {
        let (time, event) = self.arrivals.take()?;
        let sequence = self.arrival_sequence;
        self.arrival_sequence += 1;
        Some(Entry { time, sequence, event })
    }

    /// Moves the clock on to `to`, at which nothing need happen: the end of a stretch that was
    /// played, or the instant of an input from outside.
    ///
    /// # Panics
    /// If `to` lies in the past or an event happens before it.
    pub fn advance_to(&mut self, to: SimTime) {
        if to < self.now {
            time_ran_back(self.now, to);
        }
        if let Some(next) = self.peek_time().filter(|&next| next < to) {
            panic!("the clock was to pass {next}, when something happens, on its way to {to}");
        }
        self.now = to;
    }

    /// The instant of the next event.
    #[inline]
    pub fn peek_time(&self) -> Option<SimTime> {
        match (self.arrivals.peek_time(), self.queue.peek_time()) {
            (Some(arrival), Some(queued)) => Some(arrival.min(queued)),
            (arrival, queued) => arrival.or(queued),
        }
    }

    /// Events that are known to be among the next, for a loop that wants to read ahead the state
    /// that they need ([`EventQueue::upcoming`]).
    #[inline]
    pub fn upcoming<'a>(&'a self) -> impl Iterator<Item = &'a Entry<E>>
    where
        E: 'a,
    {
        self.queue.upcoming()
    }

    /// The instant up to which the run was played.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// The number of events handed out.
    pub fn handled(&self) -> u64 {
        self.trace.events()
    }

    /// The number of events that are scheduled, arrivals not counted.
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// The trace so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace so far, to record it or to clear its records.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The hash of the trace so far.
    pub fn trace_hash(&self) -> TraceHash {
        self.trace.hash()
    }
}

/// Panics, out of the way of the loop.
#[cold]
#[inline(never)]
fn time_ran_back(now: SimTime, at: SimTime) -> ! {
    panic!("time never runs back, but something is to happen at {at} and it is {now}");
}
