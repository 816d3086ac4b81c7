//! The engine as a whole: order, arrivals, clones, and a model with a known answer.

use seatrial_api::stream::Stream;
use seatrial_api::units::{SimTime, Span};

use super::Engine;
use super::arrivals::{Arrivals, SortedArrivals};
use super::dist::{Distribution, Sampler};
use super::queue::{BucketQueue, EventQueue, HeapQueue};
use super::trace::{Event, Signature};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tick(u32);

impl Event for Tick {
    fn signature(&self) -> Signature {
        Signature { kind: 0, ids: [self.0, 0, 0] }
    }
}

fn seconds(seconds: i64) -> SimTime {
    SimTime::from_secs(seconds)
}

#[test]
fn events_of_an_instant_keep_the_order_in_which_they_were_scheduled() {
    let mut engine: Engine<Tick> = Engine::new(SimTime::ZERO);
    for id in [3, 1, 2] {
        engine.schedule_at(seconds(5), Tick(id));
    }
    engine.schedule_at(seconds(4), Tick(0));
    let order: Vec<u32> = std::iter::from_fn(|| engine.next_event().map(|entry| entry.event.0)).collect();
    assert_eq!(order, [0, 3, 1, 2]);
    assert_eq!((engine.now(), engine.handled(), engine.pending()), (seconds(5), 4, 0));
}

#[test]
fn a_limit_stops_the_clock_at_the_last_event_before_it() {
    let mut engine: Engine<Tick> = Engine::new(SimTime::ZERO);
    engine.schedule_at(seconds(1), Tick(0));
    engine.schedule_at(seconds(3), Tick(1));
    assert!(engine.next_event_until(seconds(2)).is_some());
    assert!(engine.next_event_until(seconds(2)).is_none());
    engine.advance_to(seconds(2));
    engine.schedule_after(Span::from_millis(500), Tick(2));
    assert_eq!(engine.next_event().map(|entry| entry.event), Some(Tick(2)));
    assert_eq!(engine.next_event_until(seconds(3)).map(|entry| entry.event), Some(Tick(1)));
}

#[test]
#[should_panic(expected = "time never runs back")]
fn the_past_cannot_be_changed() {
    let mut engine: Engine<Tick> = Engine::new(seconds(10));
    engine.schedule_at(seconds(9), Tick(0));
}

#[test]
#[should_panic(expected = "the clock was to pass 1.000s")]
fn the_clock_does_not_pass_an_event() {
    let mut engine: Engine<Tick> = Engine::new(SimTime::ZERO);
    engine.schedule_at(seconds(1), Tick(0));
    engine.advance_to(seconds(2));
}

/// Plays a run in which each arrival sets off two events, one of them at once; gives the order.
fn play<A: Arrivals<Tick>>(mut engine: Engine<Tick, BucketQueue<Tick>, A>) -> Vec<(SimTime, u32)> {
    let mut stream = Stream::new(1, 2, 3);
    let mut order = Vec::new();
    while let Some(entry) = engine.next_event() {
        order.push((entry.time, entry.event.0));
        if entry.event.0 < 1_000 {
            engine.schedule_after(Span::ZERO, Tick(entry.event.0 + 1_000));
            engine.schedule_after(Span::from_secs(stream.below(5) as i64), Tick(entry.event.0 + 2_000));
        }
    }
    order
}

#[test]
fn arrivals_happen_as_if_all_had_been_scheduled_at_the_start() {
    let arrivals = (0..1_000).map(|id| (seconds(i64::from(id / 3)), Tick(id)));
    let streamed = play(Engine::with_arrivals(SimTime::ZERO, SortedArrivals::new(arrivals.clone())));
    let mut engine = Engine::new(SimTime::ZERO);
    arrivals.for_each(|(time, event)| engine.schedule_at(time, event));
    assert_eq!(streamed.len(), 3_000);
    assert_eq!(streamed, play(engine));
}

#[test]
#[should_panic(expected = "arrivals must be sorted by time")]
fn arrivals_out_of_order_are_refused() {
    play(Engine::with_arrivals(
        SimTime::ZERO,
        SortedArrivals::new([(seconds(2), Tick(0)), (seconds(1), Tick(1))]),
    ));
}

/// A queue with one server: customers arrive and are served at exponential times.
#[derive(Clone)]
struct Station<Q> {
    engine: Engine<Tick, Q>,
    arrivals: Stream,
    services: Stream,
    between: Sampler,
    service: Sampler,
    /// When each customer came who has not left, the one in service first.
    customers: std::collections::VecDeque<SimTime>,
    served: u32,
    waited: Span,
}

const ARRIVAL: Tick = Tick(0);
const DEPARTURE: Tick = Tick(1);

impl<Q: EventQueue<Tick>> Station<Q> {
    fn new(between: Span, service: Span) -> Self {
        let exponential = |mean| Distribution::Exponential { mean }.sampler().expect("invariant: positive");
        let mut engine = Engine::new(SimTime::ZERO);
        engine.schedule_at(SimTime::ZERO, ARRIVAL);
        Station {
            engine,
            arrivals: Stream::new(1, 0, 0),
            services: Stream::new(1, 0, 1),
            between: exponential(between),
            service: exponential(service),
            customers: Default::default(),
            served: 0,
            waited: Span::ZERO,
        }
    }

    fn step(&mut self) {
        let Some(entry) = self.engine.next_event() else { return };
        if entry.event == ARRIVAL {
            self.engine.schedule_after(self.between.draw(&mut self.arrivals), ARRIVAL);
            self.customers.push_back(entry.time);
            if self.customers.len() > 1 {
                return;
            }
        } else {
            self.customers.pop_front();
            self.served += 1;
        }
        if let Some(&arrived) = self.customers.front() {
            self.waited += entry.time - arrived;
            self.engine.schedule_after(self.service.draw(&mut self.services), DEPARTURE);
        }
    }
}

#[test]
fn the_mean_wait_at_a_single_server_is_the_load_over_the_spare_rate() {
    for load in [0.3, 0.5, 0.8] {
        let between = Span::from_nanos((1e9 / load) as i64);
        let mut station: Station<BucketQueue<Tick>> = Station::new(between, Span::from_secs(1));
        (0..2_000_000).for_each(|_| station.step());
        let mean = station.waited.as_secs_f64() / f64::from(station.served);
        let exact = load / (1.0 - load);
        assert!((mean / exact - 1.0).abs() < 0.02, "load {load}: {mean}, not {exact}");
    }
}

#[test]
fn queues_and_clones_give_the_same_hash_and_seeds_another() {
    let station = || Station::<BucketQueue<Tick>>::new(Span::from_secs(2), Span::from_secs(1));
    let mut straight = station();
    (0..200_000).for_each(|_| straight.step());

    let mut cloned = station();
    for _ in 0..2_000 {
        (0..100).for_each(|_| cloned.step());
        cloned = cloned.clone();
    }
    let mut reference = Station::<HeapQueue<Tick>>::new(Span::from_secs(2), Span::from_secs(1));
    (0..200_000).for_each(|_| reference.step());
    let mut other = Station { services: Stream::new(2, 0, 1), ..station() };
    (0..200_000).for_each(|_| other.step());

    assert_eq!(straight.engine.trace_hash(), cloned.engine.trace_hash());
    assert_eq!(straight.engine.trace_hash(), reference.engine.trace_hash());
    assert_eq!(straight.engine.trace().checkpoints(), reference.engine.trace().checkpoints());
    assert_ne!(straight.engine.trace_hash(), other.engine.trace_hash());
    assert_eq!(straight.engine.trace_hash().to_string(), HASH_OF_THE_STATION);
}

/// Fixed here so that every platform and build has to reproduce it.
const HASH_OF_THE_STATION: &str = "b58c7aa57dcfbe03";
