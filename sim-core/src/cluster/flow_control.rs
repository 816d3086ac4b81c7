//! Priority and fairness of the API server (upstream `apiserver/pkg/util/flowcontrol`): requests of a
//! level hold a seat while they are served, wait in queues while there is none, and are turned away
//! when the queues are full or the wait is long.
//!
//! Model: every request holds one seat for its latency; levels lend each other no seats; the queues of
//! a level take turns. A wait that has become too long ends when the level next serves or refuses.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use seatrial_api::object::{Kind, Object};
use seatrial_api::request::Request;
use seatrial_api::stream::entity_of;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::event::{Cause, What};
use super::streams::request_target;
use super::world::{Client, World};
use crate::results::{EventRow, EventType};

/// How often a client repeats a request that was turned away, as client-go does.
const ATTEMPTS_MAX: u32 = 10;
/// How long a request waits at most: a quarter of its deadline.
const WAIT_MAX: Span = Span::from_secs(15);
/// After which time a client is told to come back, at first and at most.
const RETRY_AFTER: Span = Span::from_secs(1);
const RETRY_AFTER_MAX: Span = Span::from_secs(32);
/// The shares of all levels together, those included that nobody here uses.
const SHARES: u64 = 245;

/// A priority level: who is on it follows from the flow schemas that every server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    System,
    NodeHigh,
    LeaderElection,
    WorkloadHigh,
    WorkloadLow,
}

/// Name, shares, queues, hand size and length of the queues of each level.
const LEVELS: [(&str, u64, usize, usize, usize); 5] = [
    ("system", 30, 64, 6, 50),
    ("node-high", 40, 64, 6, 50),
    ("leader-election", 10, 16, 4, 50),
    ("workload-high", 40, 128, 6, 50),
    ("workload-low", 100, 128, 6, 50),
];

/// A request that is not served yet.
#[derive(Clone, Copy, Debug)]
struct Parked {
    level: usize,
    flow: u64,
    /// How long the server takes once it begins.
    latency: Span,
    cause: Cause,
    waits_since: SimTime,
    attempts: u32,
}

/// The queues and seats of a level.
#[derive(Clone, Debug)]
struct Station {
    seats: u64,
    used: u64,
    queues: Vec<VecDeque<u32>>,
    waiting: usize,
    /// The queue whose turn is next.
    turn: usize,
    /// What clients are told, and when it was told last.
    retry_after: Span,
    refused_at: Option<SimTime>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server begins with it and is done after so long.
    Begins(Span),
    /// It waits for a seat.
    Waits,
    /// It is turned away; the client repeats it after so long.
    Repeats(Span),
    /// It is turned away for the last time.
    Fails,
}

/// A verdict on a request that has waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) row: u32,
    pub(super) cause: Cause,
    pub(super) verdict: Verdict,
}

/// Flow control of a server.
#[derive(Clone, Debug)]
pub(super) struct FlowControl {
    stations: Vec<Station>,
    parked: FxHashMap<u32, Parked>,
    /// The levels of the requests that hold a seat.
    holders: FxHashMap<u32, usize>,
}

impl FlowControl {
    /// A server that serves so many requests at once.
    pub(super) fn new(seats: u32) -> FlowControl {
        let station = |level: &(&str, u64, usize, usize, usize)| Station {
            seats: (u64::from(seats) * level.1).div_ceil(SHARES).max(1),
            used: 0,
            queues: vec![VecDeque::new(); level.2],
            waiting: 0,
            turn: 0,
            retry_after: RETRY_AFTER,
            refused_at: None,
        };
        FlowControl {
            stations: LEVELS.iter().map(station).collect(),
            parked: FxHashMap::default(),
            holders: FxHashMap::default(),
        }
    }

    /// Notes a request that will arrive. Returns whether it is subject to flow control: what people do
    /// with the rights of an administrator is not.
    pub(super) fn expect(
        &mut self,
        row: u32,
        client: Client,
        request: &Request,
        latency: Span,
        cause: Cause,
    ) -> bool {
        let Some((level, flow)) = classify(client, request) else { return false };
        let level = level as usize;
        let parked = Parked { level, flow, latency, cause, waits_since: SimTime::ZERO, attempts: 0 };
        self.parked.insert(row, parked);
        true
    }

    /// A request arrives, for the first time or again. `None` if it is not known.
    pub(super) fn arrive(&mut self, now: SimTime, row: u32) -> Option<Verdict> {
        let parked = self.parked.get_mut(&row)?;
        parked.waits_since = now;
        let (level, flow) = (parked.level, parked.flow);
        let station = &mut self.stations[level];
        if station.used < station.seats && station.waiting == 0 {
            return Some(self.begin(row, level));
        }
        let (_, _, queues, hand, length) = LEVELS[level];
        let shortest = deal(flow, queues, hand).min_by_key(|&queue| station.queues[queue].len());
        match shortest.filter(|&queue| station.queues[queue].len() < length) {
            Some(queue) => {
                station.queues[queue].push_back(row);
                station.waiting += 1;
                Some(Verdict::Waits)
            }
            None => Some(self.refuse(now, row)),
        }
    }

    /// A request was served: its seat goes to those that wait.
    pub(super) fn served(&mut self, now: SimTime, row: u32) -> Vec<Turn> {
        let mut turns = Vec::new();
        let Some(level) = self.holders.remove(&row) else { return turns };
        self.stations[level].used -= 1;
        while self.stations[level].used < self.stations[level].seats {
            let Some(next) = self.stations[level].next() else { break };
            let Some(&Parked { waits_since, cause, .. }) = self.parked.get(&next) else { continue };
            let verdict =
                if now - waits_since > WAIT_MAX { self.refuse(now, next) } else { self.begin(next, level) };
            turns.push(Turn { row: next, cause, verdict });
        }
        turns
    }

    /// The name of the level that a request is on, as long as it is not served.
    pub(super) fn level_of(&self, row: u32) -> &'static str {
        self.parked.get(&row).map_or("", |parked| LEVELS[parked.level].0)
    }

    /// Forgets a request that was turned away for the last time.
    pub(super) fn forget(&mut self, row: u32) {
        self.parked.remove(&row);
    }

    fn begin(&mut self, row: u32, level: usize) -> Verdict {
        self.stations[level].used += 1;
        self.holders.insert(row, level);
        Verdict::Begins(self.parked.remove(&row).map_or(Span::ZERO, |parked| parked.latency))
    }

    fn refuse(&mut self, now: SimTime, row: u32) -> Verdict {
        let Some(parked) = self.parked.get_mut(&row) else { return Verdict::Fails };
        parked.attempts += 1;
        let fails = parked.attempts > ATTEMPTS_MAX;
        let wait = self.stations[parked.level].refused(now);
        if fails { Verdict::Fails } else { Verdict::Repeats(wait) }
    }
}

impl Station {
    /// The request whose turn is next.
    fn next(&mut self) -> Option<u32> {
        if self.waiting == 0 {
            return None;
        }
        let count = self.queues.len();
        let queue =
            (0..count).map(|step| (self.turn + step) % count).find(|&q| !self.queues[q].is_empty())?;
        self.turn = (queue + 1) % count;
        self.waiting -= 1;
        self.queues[queue].pop_front()
    }

    /// What a client that is turned away is told: twice as long while that goes on.
    fn refused(&mut self, now: SimTime) -> Span {
        match self.refused_at {
            Some(last) if now - last < self.retry_after => return self.retry_after,
            Some(last) if now - last < self.retry_after.times(2) => {
                self.retry_after = self.retry_after.times(2).min(RETRY_AFTER_MAX);
            }
            _ => self.retry_after = RETRY_AFTER,
        }
        self.refused_at = Some(now);
        self.retry_after
    }
}

/// The level and the flow of a request; `None` for those that are exempt.
fn classify(client: Client, request: &Request) -> Option<(Level, u64)> {
    let kind = request_target(request).map(|target| target.kind).or(match request {
        Request::Create(object) | Request::Apply(object) | Request::Update { object, .. } => {
            Some(object.kind())
        }
        Request::Get { kind, .. } => Some(*kind),
        _ => None,
    });
    let system = |level, user: &str| Some((level, entity_of(Symbol::new("kube-system"), user)));
    match client {
        Client::Kubelet(machine) => {
            let level = match kind {
                Some(Kind::Node | Kind::Lease) => Level::NodeHigh,
                _ => Level::System,
            };
            Some((level, u64::from(machine)))
        }
        Client::Scheduler | Client::Controllers | Client::Autoscaler if kind == Some(Kind::Lease) => {
            system(Level::LeaderElection, "leases")
        }
        Client::Scheduler => system(Level::WorkloadHigh, "scheduler"),
        Client::Controllers | Client::Autoscaler | Client::Storage => system(Level::WorkloadHigh, ""),
        Client::Workload => {
            let namespace = match request {
                Request::Create(object) | Request::Apply(object) => namespace_of(object),
                _ => Symbol::empty(),
            };
            Some((Level::WorkloadLow, entity_of(namespace, "workload")))
        }
        Client::Operator | Client::Cloud | Client::Departed | Client::Unsent => None,
    }
}

fn namespace_of(object: &Object) -> Symbol {
    object.meta().namespace
}

/// The queues among which a flow chooses: a hand of them, dealt by its hash.
fn deal(flow: u64, queues: usize, hand: usize) -> impl Iterator<Item = usize> {
    let mut cards: Vec<usize> = Vec::with_capacity(hand);
    let mut hash = flow ^ flow >> 29;
    for dealt in 0..hand.min(queues) {
        let left = (queues - dealt) as u64;
        let mut card = (hash % left) as usize;
        hash /= left;
        // The card counts among those that are left.
        let mut sorted = cards.clone();
        sorted.sort_unstable();
        for earlier in sorted {
            card += usize::from(earlier <= card);
        }
        cards.push(card);
    }
    cards.into_iter()
}

impl World {
    /// A request that is subject to flow control arrives.
    pub(super) fn admit(&mut self, now: SimTime, row: u32, cause: Cause) {
        let verdict = self.flow.as_mut().and_then(|flow| flow.arrive(now, row));
        if let Some(verdict) = verdict {
            self.take_turn(now, Turn { row, cause, verdict });
        }
    }

    /// A request was served.
    pub(super) fn seat_is_free(&mut self, now: SimTime, row: u32) {
        let turns = self.flow.as_mut().map_or_else(Vec::new, |flow| flow.served(now, row));
        for turn in turns {
            self.take_turn(now, turn);
        }
    }

    fn take_turn(&mut self, now: SimTime, turn: Turn) {
        let Turn { row, cause, verdict } = turn;
        match verdict {
            Verdict::Begins(latency) => self.plan(now + latency, What::Commit(row), cause),
            Verdict::Waits => {}
            Verdict::Repeats(wait) => {
                let cause = self.note_refusal(now, row, cause);
                self.plan(now + wait, What::Admit(row), cause);
            }
            Verdict::Fails => {
                let cause = self.note_refusal(now, row, cause);
                if let Some(flow) = &mut self.flow {
                    flow.forget(row);
                }
                self.turn_away(now, row, cause);
            }
        }
    }

    /// Records that a request was turned away.
    fn note_refusal(&mut self, now: SimTime, row: u32, cause: Cause) -> Cause {
        let level = self.flow.as_ref().map_or("", |flow| flow.level_of(row));
        self.recorder.push(EventRow {
            time: now,
            kind: Symbol::new("PriorityLevelConfiguration"),
            namespace: Symbol::empty(),
            name: level.into(),
            event: EventType::Warning,
            reason: Symbol::new("TooManyRequests"),
            message: "a request was turned away, to be repeated later".into(),
            cause: cause.row(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::Get { kind: Kind::Pod, namespace: "a".into(), name: "p".into() }
    }

    fn at(millis: i64) -> SimTime {
        SimTime::ZERO + Span::from_millis(millis)
    }

    fn arrive(flow: &mut FlowControl, now: SimTime, row: u32, client: Client) -> Verdict {
        assert!(flow.expect(row, client, &request(), Span::from_millis(10), Cause::NONE));
        flow.arrive(now, row).expect("it was expected")
    }

    #[test]
    fn seats_follow_from_shares() {
        let flow = FlowControl::new(600);
        let seats: Vec<u64> = flow.stations.iter().map(|station| station.seats).collect();
        assert_eq!(seats, [74, 98, 25, 98, 245]);
    }

    #[test]
    fn requests_are_on_the_level_of_their_sender() {
        let lease = Request::Get { kind: Kind::Lease, namespace: "kube-system".into(), name: "l".into() };
        let node = Request::Get { kind: Kind::Node, namespace: "".into(), name: "n".into() };
        for (client, request, expected) in [
            (Client::Scheduler, &request(), Some(Level::WorkloadHigh)),
            (Client::Controllers, &request(), Some(Level::WorkloadHigh)),
            (Client::Controllers, &lease, Some(Level::LeaderElection)),
            (Client::Kubelet(1), &request(), Some(Level::System)),
            (Client::Kubelet(1), &node, Some(Level::NodeHigh)),
            (Client::Workload, &request(), Some(Level::WorkloadLow)),
            (Client::Operator, &request(), None),
        ] {
            assert_eq!(classify(client, request).map(|found| found.0), expected, "{client:?}");
        }
        let flow = |machine| classify(Client::Kubelet(machine), &request()).map(|found| found.1);
        assert_ne!(flow(1), flow(2), "each node is a flow");
    }

    #[test]
    fn without_a_seat_a_request_waits_its_turn() {
        let mut flow = FlowControl::new(1);
        assert_eq!(arrive(&mut flow, at(0), 1, Client::Scheduler), Verdict::Begins(Span::from_millis(10)));
        assert_eq!(arrive(&mut flow, at(1), 2, Client::Scheduler), Verdict::Waits);
        assert_eq!(
            arrive(&mut flow, at(2), 3, Client::Kubelet(1)),
            Verdict::Begins(Span::from_millis(10)),
            "another level"
        );
        assert!(flow.served(at(5), 3).is_empty());
        let turns = flow.served(at(10), 1);
        assert_eq!(turns.len(), 1);
        assert_eq!((turns[0].row, turns[0].verdict), (2, Verdict::Begins(Span::from_millis(10))));
        assert!(flow.served(at(20), 2).is_empty() && flow.served(at(20), 2).is_empty());
    }

    #[test]
    fn flows_take_turns() {
        let mut flow = FlowControl::new(1);
        arrive(&mut flow, at(0), 0, Client::Kubelet(0));
        for row in 1..=200 {
            arrive(&mut flow, at(1), row, Client::Kubelet(1));
        }
        arrive(&mut flow, at(2), 999, Client::Kubelet(77_777));
        let mut served = 0;
        let mut order = Vec::new();
        while order.last() != Some(&999) {
            let turns = flow.served(at(3), served);
            served = turns[0].row;
            order.push(served);
        }
        assert!(order.len() < 20, "a single request does not wait behind two hundred: {}", order.len());
    }

    #[test]
    fn who_waits_too_long_or_finds_the_queues_full_comes_back_later() {
        let mut flow = FlowControl::new(1);
        arrive(&mut flow, at(0), 0, Client::Scheduler);
        let verdicts: Vec<Verdict> =
            (1..=301).map(|row| arrive(&mut flow, at(1), row, Client::Scheduler)).collect();
        assert!(verdicts[..300].iter().all(|verdict| *verdict == Verdict::Waits), "six queues of fifty");
        assert_eq!(verdicts[300], Verdict::Repeats(Span::from_secs(1)));
        assert_eq!(flow.level_of(301), "workload-high");
        let turns = flow.served(at(16_000), 0);
        assert_eq!(turns.len(), 300, "all have waited for more than 15 s");
        assert!(turns.iter().all(|turn| matches!(turn.verdict, Verdict::Repeats(_))));
        assert_eq!(flow.arrive(at(17_000), 301), Some(Verdict::Begins(Span::from_millis(10))));
    }

    #[test]
    fn the_wait_doubles_while_requests_are_turned_away_and_a_client_gives_up() {
        let mut flow = FlowControl::new(1);
        arrive(&mut flow, at(0), 0, Client::Scheduler);
        for row in 1..=300 {
            arrive(&mut flow, at(1), row, Client::Scheduler);
        }
        let mut now = at(1);
        let mut waits = Vec::new();
        let mut verdict = arrive(&mut flow, now, 400, Client::Scheduler);
        while let Verdict::Repeats(wait) = verdict {
            waits.push(wait.nanos() / 1_000_000_000);
            now += wait;
            verdict = flow.arrive(now, 400).expect("it is known");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 32, 32, 32, 32]);
        assert_eq!(verdict, Verdict::Fails);
        flow.forget(400);
        assert_eq!(flow.arrive(now, 400), None);
    }

    proptest::proptest! {
        #[test]
        fn seats_are_never_exceeded_and_everybody_who_waits_is_served(
            clients in proptest::collection::vec(0u32..4, 1..200),
            seats in 1u32..60,
        ) {
            let mut flow = FlowControl::new(seats);
            let mut running: VecDeque<u32> = VecDeque::new();
            let mut served = 0;
            for (row, &client) in clients.iter().enumerate() {
                let client = if client == 0 { Client::Scheduler } else { Client::Kubelet(client) };
                if let Verdict::Begins(_) = arrive(&mut flow, at(row as i64), row as u32, client) {
                    running.push_back(row as u32);
                }
                proptest::prop_assert!(flow.stations.iter().all(|station| station.used <= station.seats));
            }
            while let Some(row) = running.pop_front() {
                served += 1;
                running.extend(flow.served(at(1_000), row).iter().map(|turn| turn.row));
                proptest::prop_assert!(flow.stations.iter().all(|station| station.used <= station.seats));
            }
            proptest::prop_assert_eq!(served, clients.len());
            proptest::prop_assert!(flow.parked.is_empty() && flow.holders.is_empty());
        }
    }
}
