//! x
pub mod arrivals;
pub mod dist;
pub mod queue;
pub mod trace;

use seatrial_api::units::{SimTime, Span};

use arrivals::{Arrivals, NoArrivals};
use queue::{BucketQueue, Entry, EventQueue};
use trace::{Event, Trace, TraceHash};

/// Sequence numbers set aside for arrivals, more than any run has.
const ARRIVALS_MAX: u64 = 1 << 40;

/// The clock, the queue and the trace of a run.
///
/// It is a value: a clone taken between two events and its original, driven alike, give the same
/// events and the same hash.
#[derive(Clone, Debug)]
pub struct Engine<E, Q = BucketQueue<E>, A = NoArrivals> {
    now: SimTime,
    queue: Q,
    arrivals: A,
    /// The sequence number of the next arrival.
    arrival_sequence: u64,
    trace: Trace,
    event: std::marker::PhantomData<E>,
}

impl<E: Event, Q: EventQueue<E>> Engine<E, Q> {
    /// An engine whose clock stands at `start` and that has nothing to do.
    pub fn new(start: SimTime) -> Self {
        Engine::with_arrivals(start, NoArrivals)
    }
}

impl<E: Event, Q: EventQueue<E>, A: Arrivals<E>> Engine<E, Q, A> {
    /// An engine whose clock stands at `start` and to which `arrivals` will happen.
    pub fn with_arrivals(start: SimTime, arrivals: A) -> Self {
        let mut queue = Q::default();
        let arrival_sequence = queue.reserve_sequences(ARRIVALS_MAX);
        Engine {
            now: start,
            queue,
            arrivals,
            arrival_sequence,
            trace: Trace::new(),
            event: std::marker::PhantomData,
        }
    }

    /// Schedules `event` for the instant `at`, behind all events of that instant.
    ///
    /// # Panics
    /// If `at` lies in the past: time never runs back.
    #[inline]
    pub fn schedule_at(&mut self, at: SimTime, event: E) {
        assert!(at >= self.now, "an event was scheduled for {at}, which is before {}", self.now);
        self.queue.push(at, event);
    }

    /// Schedules `event` for `delay` from now, behind all events of that instant.
    ///
    /// # Panics
    /// If `delay` is negative.
    #[inline]
    pub fn schedule_after(&mut self, delay: Span, event: E) {
        self.schedule_at(self.now + delay, event);
    }

    /// Takes the next event, and with it the clock to its instant.
    #[inline]
    pub fn next_event(&mut self) -> Option<Entry<E>> {
        let entry = match self.arrivals.peek_time() {
            Some(arrival) if self.queue.peek_time().is_none_or(|queued| arrival <= queued) => {
                self.take_arrival()?
            }
            _ => self.queue.pop()?,
        };
        assert!(entry.time >= self.now, "time ran back from {} to {}", self.now, entry.time);
        self.now = entry.time;
        self.trace.observe(entry.time, entry.sequence, self.queue.next_sequence(), entry.event.signature());
        Some(entry)
    }

    /// Takes the next event if it happens at `limit` at the latest.
    #[inline]
    pub fn next_event_until(&mut self, limit: SimTime) -> Option<Entry<E>> {
        self.peek_time().filter(|&time| time <= limit)?;
        self.next_event()
    }

    #[inline]
    fn take_arrival(&mut self) -> Option<Entry<E>> {
        let (time, event) = self.arrivals.take()?;
        let sequence = self.arrival_sequence;
        self.arrival_sequence += 1;
        Some(Entry { time, sequence, event })
    }

    /// x
    #[inline]
    pub fn upcoming(&self) -> impl Iterator<Item = &Entry<E>> {
        self.queue.upcoming()
    }

    /// The instant of the next event.
    pub fn peek_time(&self) -> Option<SimTime> {
        match (self.arrivals.peek_time(), self.queue.peek_time()) {
            (Some(arrival), Some(queued)) => Some(arrival.min(queued)),
            (arrival, queued) => arrival.or(queued),
        }
    }

    /// The instant up to which the run was played.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// The trace so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace so far, to record or clear it.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The hash of the trace so far.
    pub fn trace_hash(&self) -> TraceHash {
        self.trace.hash()
    }
}
