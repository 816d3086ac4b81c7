//! The shipped queue against the reference, and what it costs in memory.

use proptest::prelude::*;
use seatrial_api::stream::Stream;
use seatrial_api::units::{SimTime, Span};

use super::{BucketQueue, Entry, EventQueue, HeapQueue};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Push `count` events, each `delay` after the one popped last, plus `spread` for each before.
    Push { delay: i64, spread: i64, count: u32 },
    /// Pop so many events.
    Pop { count: u32 },
    /// Go on with a clone.
    Clone,
}

fn delays() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(0),
        4 => 0..4i64,
        4 => 0..70_000i64,
        4 => 0..1i64 << 32,
        2 => (0..48u32).prop_map(|bits| 1 << bits),
        2 => (0..48u32).prop_map(|bits| (1 << bits) - 1),
        1 => 0..i64::MAX,
        1 => Just(i64::MAX),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let spreads = prop_oneof![Just(0), Just(0), 0..3i64, 0..100_000i64, 0..1i64 << 33];
    let counts = prop_oneof![8 => 1..4u32, 2 => 1..100u32, 1 => 100..1_500u32];
    prop_oneof![
        5 => (delays(), spreads, counts.clone()).prop_map(|(delay, spread, count)| Step::Push { delay, spread, count }),
        5 => counts.prop_map(|count| Step::Pop { count }),
        1 => Just(Step::Clone),
    ]
}

/// Both queues, driven alike and compared at every step.
#[derive(Clone, Default)]
struct Pair {
    bucket: BucketQueue<u32>,
    heap: HeapQueue<u32>,
    now: SimTime,
    pushed: u32,
}

impl Pair {
    fn push(&mut self, time: SimTime) {
        self.bucket.push(time, self.pushed);
        self.heap.push(time, self.pushed);
        self.pushed += 1;
    }

    fn pop(&mut self) -> Option<Entry<u32>> {
        assert_eq!(self.bucket.peek_time(), self.heap.peek_time());
        assert_eq!(self.bucket.len(), self.heap.len());
        let popped = self.bucket.pop();
        assert_eq!(popped, self.heap.pop());
        if let Some(entry) = popped {
            self.now = entry.time;
        }
        let upcoming: Vec<_> = self.bucket.upcoming().map(Entry::key).collect();
        assert!(upcoming.is_sorted());
        assert!(upcoming.first().is_none_or(|&(time, _)| self.heap.peek_time() == Some(time)));
        popped
    }

    fn play(&mut self, step: &Step) -> Option<Pair> {
        match *step {
            Step::Push { delay, spread, count } => {
                for index in 0..i64::from(count) {
                    self.push(
                        self.now + Span::from_nanos(delay) + Span::from_nanos(spread.saturating_mul(index)),
                    );
                }
            }
            Step::Pop { count } => (0..count).for_each(|_| {
                self.pop();
            }),
            Step::Clone => return Some(std::mem::replace(self, self.clone())),
        }
        None
    }

    fn drain(mut self) {
        while self.pop().is_some() {}
        assert!(self.bucket.is_empty() && self.heap.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_shipped_queue_gives_what_the_reference_gives(
        start in prop_oneof![Just(0), Just(i64::MIN + 1), any::<i64>().prop_map(|start| start.max(i64::MIN + 1))],
        history in prop::collection::vec(steps(), 1..60),
    ) {
        let mut pair = Pair { now: SimTime::from_nanos(start), ..Pair::default() };
        let originals: Vec<Pair> = history.iter().filter_map(|step| pair.play(step)).collect();
        pair.drain();
        originals.into_iter().for_each(Pair::drain);
    }
}

#[test]
fn before_the_first_pop_events_are_taken_in_any_order_of_time() {
    let mut pair = Pair::default();
    for time in (0..5_000).rev() {
        pair.push(SimTime::from_secs(time - 100));
        pair.push(SimTime::from_nanos(time));
    }
    pair.drain();
}

#[test]
fn pushes_before_the_next_bucket_come_first_however_many_they_are() {
    let mut pair = Pair::default();
    for index in 0..2_000 {
        pair.push(SimTime::from_secs(1_000) + Span::from_micros(index));
    }
    pair.push(SimTime::from_secs(1));
    pair.pop();
    for index in 0..1_000 {
        pair.push(SimTime::from_secs(999) - Span::from_millis(index));
    }
    pair.drain();
}

/// Pops and pushes back `events` times after an exponential-like delay of about a second.
fn hold(queue: &mut BucketQueue<[u32; 4]>, stream: &mut Stream, events: usize) {
    for _ in 0..events {
        let Some(entry) = queue.pop() else { return };
        queue.push(entry.time + delay(stream), entry.event);
    }
}

fn delay(stream: &mut Stream) -> Span {
    Span::from_nanos((-1e9 * libm::log(stream.open_unit())) as i64)
}

#[test]
fn a_pending_event_costs_at_most_64_bytes_also_after_long_use() {
    for pending in [16_384, 100_000, 300_000] {
        let mut queue = BucketQueue::default();
        let mut stream = Stream::new(1, 0, 0);
        for _ in 0..pending {
            queue.push(SimTime::ZERO + delay(&mut stream), [0; 4]);
        }
        hold(&mut queue, &mut stream, 5 * pending);
        let bytes = queue.allocated_bytes() as f64 / pending as f64;
        assert!(bytes <= 64.0, "{bytes} bytes for each of {pending}");
    }
}

#[test]
fn memory_of_a_burst_is_given_back() {
    let mut queue = BucketQueue::default();
    for index in 0..200_000 {
        queue.push(SimTime::from_nanos(index * 1_000), [0; 4]);
    }
    assert!(queue.allocated_bytes() > 200_000 * 32);
    let mut stream = Stream::new(1, 0, 0);
    while queue.len() > 1_000 {
        queue.pop();
    }
    hold(&mut queue, &mut stream, 10_000);
    assert!(queue.allocated_bytes() < 1_000_000, "{} bytes", queue.allocated_bytes());
}

#[test]
fn an_entry_of_a_16_byte_event_has_32_bytes() {
    assert_eq!(size_of::<Entry<[u32; 4]>>(), 32);
}

#[test]
#[should_panic(expected = "an event was pushed for 1.000s, after one at 2.000s was popped")]
fn an_event_before_the_one_popped_last_is_refused() {
    let mut queue = BucketQueue::default();
    queue.push(SimTime::from_secs(2), 0);
    queue.pop();
    queue.push(SimTime::from_secs(1), 0);
}
