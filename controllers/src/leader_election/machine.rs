//! A candidate as a machine: it reads and writes the lease, and says when it begins and ceases to lead.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::lease::{Lease, LeaseRecord};
use seatrial_api::machine::{Effects, Input, Machine, Token};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object};
use seatrial_api::request::{ErrorReason, Reply, Request, Subresource};
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::{Claim, ElectionConfig, Observation, claim};

/// How much of the retry period a candidate's pause may be longer, in tenths.
const JITTER_TENTHS: i64 = 12;

/// Timers of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectorTimer {
    /// It may try again. The number tells the timers of different attempts apart.
    Try(u32),
    /// The holder has not been able to renew for so long that it gives up.
    Deadline(u32),
}

/// What a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its turn.
    Candidate,
    /// It leads.
    Leader,
    /// It led and could not renew, or was told to end: the process is to exit.
    Ended,
}

/// What the answer that the candidate waits for is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Read,
    Written(LeaseRecord),
    Released,
}

/// A candidate.
#[derive(Clone, Debug)]
pub struct Elector {
    config: ElectionConfig,
    namespace: Symbol,
    lease: CompactString,
    own: Symbol,
    jitter: Stream,
    standing: Standing,
    /// The lease as it was read or written last.
    stored: Option<Arc<Lease>>,
    seen: Option<Observation>,
    asked: Asked,
    /// Counts attempts: answers and timers of earlier ones are ignored.
    attempt: u32,
    /// Counts renewals: a deadline is that of the last one.
    renewal: u32,
}

impl Elector {
    /// The candidate `own` for a lease; its pauses are drawn from `jitter`.
    pub fn new(
        config: ElectionConfig,
        namespace: Symbol,
        lease: &str,
        own: Symbol,
        jitter: Stream,
    ) -> Elector {
        Elector {
            config,
            namespace,
            lease: lease.into(),
            own,
            jitter,
            standing: Standing::Candidate,
            stored: None,
            seen: None,
            asked: Asked::Nothing,
            attempt: 0,
            renewal: 0,
        }
    }

    /// What it is.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Who holds the lease, as far as it knows; empty for nobody.
    pub fn holder(&self) -> Symbol {
        self.seen.map_or(Symbol::empty(), |seen| seen.record.holder)
    }

    /// Begins to compete.
    pub fn start(&mut self, now: SimTime, effects: &mut Effects<ElectorTimer>) {
        self.try_now(now, effects);
    }

    /// Ends in order: the holder gives the lease back if that is agreed on.
    pub fn end(&mut self, now: SimTime, effects: &mut Effects<ElectorTimer>) {
        let led = self.standing == Standing::Leader;
        self.standing = Standing::Ended;
        self.attempt += 1;
        let Some(stored) = self.stored.clone().filter(|_| led && self.config.release_on_cancel) else {
            return;
        };
        let record = LeaseRecord {
            holder: Symbol::empty(),
            duration_seconds: 1,
            acquired: Some(now),
            renewed: Some(now),
            transitions: stored.record.transitions,
        };
        self.write(now, &stored, record, Asked::Released, effects);
    }

    fn token(&self) -> Token {
        Token::from(self.attempt)
    }

    /// Reads the lease, or writes it at once if it is the candidate's own.
    fn try_now(&mut self, now: SimTime, effects: &mut Effects<ElectorTimer>) {
        self.attempt += 1;
        // The holder knows the lease: it renews without reading it first.
        if self.standing == Standing::Leader
            && let (Some(stored), Some(seen)) = (self.stored.clone(), self.seen)
            && seen.record.holder == self.own
            && let Claim::Write(record) = claim(self.own, &seen, self.config.lease_duration, now)
        {
            return self.write(now, &stored, record, Asked::Written(record), effects);
        }
        self.read(now, effects);
    }

    fn read(&mut self, now: SimTime, effects: &mut Effects<ElectorTimer>) {
        self.asked = Asked::Read;
        let request = Request::Get { kind: Kind::Lease, namespace: self.namespace, name: self.lease.clone() };
        effects.request(now, self.token(), request);
    }

    fn write(
        &mut self,
        now: SimTime,
        stored: &Lease,
        record: LeaseRecord,
        asked: Asked,
        effects: &mut Effects<ElectorTimer>,
    ) {
        self.asked = asked;
        let object = Object::Lease(Arc::new(Lease { record, ..stored.clone() }));
        effects.request(now, self.token(), Request::Update { object, subresource: Subresource::Main });
    }

    fn answered(&mut self, now: SimTime, reply: &Reply, effects: &mut Effects<ElectorTimer>) {
        match (std::mem::replace(&mut self.asked, Asked::Nothing), reply) {
            (Asked::Read, Ok(Object::Lease(lease))) => {
                let seen = Observation::updated(self.seen, lease.record, now);
                self.stored = Some(lease.clone());
                self.seen = Some(seen);
                match claim(self.own, &seen, self.config.lease_duration, now) {
                    Claim::Write(record) => {
                        self.write(now, lease, record, Asked::Written(record), effects);
                    }
                    Claim::HeldBy(_) => self.try_later(now, effects),
                }
            }
            (Asked::Read, Err(error)) if error.reason == ErrorReason::NotFound => self.found(now, effects),
            (Asked::Written(record), Ok(Object::Lease(lease))) => {
                self.stored = Some(lease.clone());
                self.seen = Some(Observation { record, at: now });
                self.renewed(now, effects);
            }
            (Asked::Written(_), Err(_)) if self.standing == Standing::Leader => {
                // The version may be old: it is read again at once.
                self.stored = None;
                self.read(now, effects);
            }
            (Asked::Released | Asked::Nothing, _) => {}
            _ => self.try_later(now, effects),
        }
    }

    /// There is no lease: the candidate makes one.
    fn found(&mut self, now: SimTime, effects: &mut Effects<ElectorTimer>) {
        let nobody = Observation { record: LeaseRecord::default(), at: now };
        let Claim::Write(record) = claim(self.own, &nobody, self.config.lease_duration, now) else { return };
        let record = LeaseRecord { transitions: 0, ..record };
        self.asked = Asked::Written(record);
        let meta = ObjectMeta::named(self.namespace.as_str(), &self.lease);
        let request = Request::Create(Object::Lease(Arc::new(Lease { meta, record })));
        effects.request(now, self.token(), request);
    }

    /// The lease is the candidate's own for a while.
    fn renewed(&mut self, now: SimTime, effects: &mut Effects<ElectorTimer>) {
        self.standing = Standing::Leader;
        self.renewal += 1;
        effects.timer(now + self.config.retry_period, ElectorTimer::Try(self.attempt));
        effects.timer(now + self.config.renew_deadline, ElectorTimer::Deadline(self.renewal));
    }

    fn try_later(&mut self, now: SimTime, effects: &mut Effects<ElectorTimer>) {
        let pause = match self.standing {
            Standing::Leader => self.config.retry_period,
            _ => self.config.retry_period + self.extra_pause(),
        };
        effects.timer(now + pause, ElectorTimer::Try(self.attempt));
    }

    /// Candidates that were refused at the same time do not come back at the same time.
    fn extra_pause(&mut self) -> Span {
        let most = self.config.retry_period.nanos() / 10 * JITTER_TENTHS;
        Span::from_nanos(self.jitter.below(most.max(1) as u64) as i64)
    }
}

impl Machine for Elector {
    type Timer = ElectorTimer;

    fn handle(&mut self, now: SimTime, input: Input<'_, ElectorTimer>, effects: &mut Effects<ElectorTimer>) {
        if self.standing == Standing::Ended {
            return;
        }
        match input {
            Input::Reply { token, reply } if token == self.token() => self.answered(now, reply, effects),
            Input::Timer(ElectorTimer::Try(attempt)) if attempt == self.attempt => self.try_now(now, effects),
            Input::Timer(ElectorTimer::Deadline(renewal))
                if renewal == self.renewal && self.standing == Standing::Leader =>
            {
                self.standing = Standing::Ended;
            }
            _ => {}
        }
    }
}
