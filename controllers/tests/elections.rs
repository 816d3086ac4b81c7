//! Leader election, played against the store: who leads when, and how long a change of leaders takes.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use seatrial_api::config::Namespace;
use seatrial_api::lease::Lease;
use seatrial_api::machine::{Effects, Input, Machine, Token};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Object;
use seatrial_api::request::{Reply, Request};
use seatrial_api::store::ApiServer;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use seatrial_controllers::leader_election::{ElectionConfig, Elector, ElectorTimer, Standing};

const NAMESPACE: &str = "kube-system";
const LEASE: &str = "kube-scheduler";
/// A request takes so long until it is carried out, and as long until it is answered.
const LATENCY: Span = Span::from_millis(5);

enum What {
    Request(Token, Request),
    Reply(Token, Reply),
    Timer(ElectorTimer),
}

/// Some candidates and the store.
struct Election {
    now: SimTime,
    server: ApiServer,
    candidates: Vec<Elector>,
    /// Candidates that are dead, and those that cannot reach the server.
    dead: BTreeSet<usize>,
    cut_off: BTreeSet<usize>,
    heap: BinaryHeap<Reverse<(SimTime, u64, usize)>>,
    pending: Vec<Option<What>>,
}

impl Election {
    fn new(count: usize, seed: u64, config: ElectionConfig) -> Election {
        let mut server = ApiServer::new(KubernetesVersion::V1_36, seed);
        let namespace = Namespace { meta: ObjectMeta::named("", NAMESPACE), ..Namespace::default() };
        let create = Request::Create(Object::Namespace(Arc::new(namespace)));
        server.handle(SimTime::ZERO, create, &mut Vec::new()).expect("it is new");
        let candidate = |index: usize| {
            let own = Symbol::new(&format!("master-{index}"));
            let jitter = Stream::new(seed, index as u64, 1);
            Elector::new(config, NAMESPACE.into(), LEASE, own, jitter)
        };
        let mut election = Election {
            now: SimTime::ZERO,
            server,
            candidates: (0..count).map(candidate).collect(),
            dead: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            heap: BinaryHeap::new(),
            pending: Vec::new(),
        };
        (0..count)
            .for_each(|index| election.with(index, |elector, now, effects| elector.start(now, effects)));
        election
    }

    fn with(&mut self, index: usize, act: impl FnOnce(&mut Elector, SimTime, &mut Effects<ElectorTimer>)) {
        let mut effects = Effects::new(false);
        act(&mut self.candidates[index], self.now, &mut effects);
        for (at, timer) in effects.timers {
            self.push(at, index, What::Timer(timer));
        }
        for outgoing in effects.requests {
            self.push(outgoing.send_at + LATENCY, index, What::Request(outgoing.token, outgoing.request));
        }
    }

    fn push(&mut self, at: SimTime, index: usize, what: What) {
        let sequence = self.pending.len() as u64;
        self.pending.push(Some(what));
        self.heap.push(Reverse((at, sequence, index)));
    }

    fn run_until(&mut self, end: SimTime) {
        while let Some(&Reverse((at, sequence, index))) = self.heap.peek() {
            if at > end {
                break;
            }
            self.heap.pop();
            self.now = at;
            let what = self.pending[sequence as usize].take().expect("each entry is played once");
            if self.dead.contains(&index) {
                continue;
            }
            match what {
                What::Timer(timer) => self.input(index, Input::Timer(timer)),
                What::Reply(token, reply) => self.input(index, Input::Reply { token, reply: &reply }),
                What::Request(token, request) => {
                    let reply = if self.cut_off.contains(&index) {
                        let reason = seatrial_api::request::ErrorReason::Timeout;
                        Err(seatrial_api::request::ApiError::new(reason, "no answer"))
                    } else {
                        self.server.handle(at, request, &mut Vec::new())
                    };
                    self.push(at + LATENCY, index, What::Reply(token, reply));
                }
            }
            assert!(self.leaders().len() <= 1 || !self.cut_off.is_empty(), "two lead at {at}");
        }
        self.now = end;
    }

    fn input(&mut self, index: usize, input: Input<'_, ElectorTimer>) {
        self.with(index, |elector, now, effects| elector.handle(now, input, effects));
    }

    fn leaders(&self) -> Vec<usize> {
        let leads = |index: &usize| {
            !self.dead.contains(index) && self.candidates[*index].standing() == Standing::Leader
        };
        (0..self.candidates.len()).filter(leads).collect()
    }

    fn lease(&self) -> Lease {
        let lease = self.server.list_typed::<Lease>().next().expect("somebody leads");
        Lease::clone(lease)
    }

    /// How many seconds pass until somebody leads.
    fn seconds_to_leader(&mut self) -> f64 {
        let start = self.now;
        while self.leaders().is_empty() {
            self.run_until(self.now + Span::from_millis(50));
            assert!(self.now - start < Span::from_secs(60), "nobody takes over");
        }
        (self.now - start).as_secs_f64()
    }
}

fn at(seconds: i64) -> SimTime {
    SimTime::from_secs(seconds)
}

#[test]
fn one_of_three_leads_and_renews_every_two_seconds() {
    let mut election = Election::new(3, 1, ElectionConfig::default());
    election.run_until(at(60));
    assert_eq!(election.leaders(), [0]);
    let lease = election.lease();
    assert_eq!((lease.record.holder.as_str(), lease.record.transitions), ("master-0", 0));
    let age = at(60) - lease.record.renewed.expect("it was renewed");
    assert!(age <= Span::from_millis(2_010), "{age}");
    assert_eq!(election.candidates[2].holder(), Symbol::new("master-0"));
}

#[test]
fn a_dead_leader_is_followed_after_thirteen_to_twentyfour_seconds() {
    let mut takeovers = Vec::new();
    for seed in 0..40 {
        let mut election = Election::new(2, seed, ElectionConfig::default());
        election.run_until(at(30) + Span::from_millis(seed as i64 * 50));
        election.dead.insert(0);
        takeovers.push(election.seconds_to_leader());
        assert_eq!(election.leaders(), [1]);
        assert_eq!(election.lease().record.transitions, 1);
    }
    assert!(takeovers.iter().all(|seconds| (13.0..24.0).contains(seconds)), "{takeovers:?}");
    let mean = takeovers.iter().sum::<f64>() / takeovers.len() as f64;
    assert!((15.0..19.0).contains(&mean), "{mean}");
}

#[test]
fn a_leader_that_cannot_renew_gives_up_before_another_takes_over() {
    for seed in 0..20 {
        let mut election = Election::new(2, seed, ElectionConfig::default());
        election.run_until(at(30));
        election.cut_off.insert(0);
        election.run_until(at(41));
        assert_eq!(election.candidates[0].standing(), Standing::Ended, "seed {seed}");
        assert!(election.leaders().is_empty(), "seed {seed}");
        election.seconds_to_leader();
        assert_eq!(election.leaders(), [1]);
    }
}

#[test]
fn a_short_loss_of_contact_changes_nothing() {
    let mut election = Election::new(2, 7, ElectionConfig::default());
    election.run_until(at(30));
    election.cut_off.insert(0);
    election.run_until(at(35));
    election.cut_off.clear();
    election.run_until(at(60));
    assert_eq!(election.leaders(), [0]);
    assert_eq!(election.lease().record.transitions, 0);
}

#[test]
fn a_lease_that_is_given_back_is_taken_within_a_retry_period() {
    for seed in 0..20 {
        let config = ElectionConfig { release_on_cancel: true, ..ElectionConfig::default() };
        let mut election = Election::new(2, seed, config);
        election.run_until(at(30));
        election.with(0, |elector, now, effects| elector.end(now, effects));
        let seconds = election.seconds_to_leader();
        assert!(seconds < 4.5, "{seconds}");
        assert_eq!(election.leaders(), [1]);
    }
}
