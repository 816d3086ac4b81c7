//! Probe workers (upstream `prober/worker.go`).
//!
//! Model: while the runtime promises that an outcome lasts, no probe is played. The result still
//! changes at the tick at which the threshold is reached.

use seatrial_api::container::{Container, Probe};
use seatrial_api::runtime::ProbeKind;
use seatrial_api::units::{SimTime, Span};

use crate::table::Grid;

/// All kinds, in the order of a container's workers.
pub(crate) const KINDS: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness];

/// The probe of a kind that a container has.
pub(crate) fn probe_of(container: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_deref(),
        ProbeKind::Readiness => container.readiness_probe.as_deref(),
        ProbeKind::Liveness => container.liveness_probe.as_deref(),
    }
}

/// Whether any container of these has a probe.
pub(crate) fn any_probe<'a>(mut containers: impl Iterator<Item = &'a Container>) -> bool {
    containers.any(|container| KINDS.iter().any(|&kind| probe_of(container, kind).is_some()))
}

/// What a probe has found of the present instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// Nothing yet.
    #[default]
    Initial,
    /// Success, often enough in a row.
    Success,
    /// Failure, often enough in a row.
    Failure,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Nothing: there is no instance to probe, or it is settled for this instance.
    #[default]
    Off,
    /// It waits for its next tick.
    Waiting,
    /// A probe is under way.
    Probing,
    /// The outcome lasts until further notice; the threshold is reached at the tick it waits for.
    Counting,
    /// The outcome lasts until further notice, and so does the result.
    Settled,
}

/// A probe worker of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeWorker {
    /// The result for the present instance.
    pub result: ProbeResult,
    /// What it does.
    pub activity: Activity,
    /// The instance.
    pub attempt: u16,
    /// Whether the last probe succeeded.
    success: bool,
    /// How many in a row had this outcome.
    run: i32,
    /// When it ticks.
    grid: Grid,
    /// How often the probe under way could not be carried out.
    pub tries: u8,
    /// Whether one more is asked for.
    again: bool,
    /// Until when it sleeps, if it began when its kubelet did.
    awake_at: SimTime,
    /// The tick that it waits for; the one of the last probe otherwise.
    pub due: SimTime,
}

/// What a counted outcome means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Whether the result is another one now.
    pub changed: bool,
    /// When the worker ticks next, if it does.
    pub next: Option<SimTime>,
}

impl ProbeWorker {
    /// A worker that ticks from `anchor` on.
    pub(crate) fn new(anchor: SimTime, probe: &Probe) -> ProbeWorker {
        ProbeWorker {
            result: ProbeResult::Initial,
            activity: Activity::Off,
            attempt: u16::MAX,
            success: false,
            run: 0,
            grid: Grid::new(anchor, period(probe)),
            due: anchor,
            tries: 0,
            again: false,
            awake_at: anchor,
        }
    }

    /// A new instance is to be probed. Returns the first tick: at once where `at_once`, else the
    /// next one; never before the initial delay is over.
    pub(crate) fn begin(
        &mut self,
        now: SimTime,
        probe: &Probe,
        instance: (u16, SimTime),
        at_once: FirstProbe,
    ) -> SimTime {
        let (attempt, started_at) = instance;
        self.attempt = attempt;
        self.result = match at_once {
            // What is not known to be ready is not.
            FirstProbe::AtOnce => ProbeResult::Failure,
            FirstProbe::AtTick => ProbeResult::Initial,
        };
        self.activity = Activity::Waiting;
        self.again = false;
        let delay = Span::from_secs(i64::from(probe.initial_delay_seconds.max(0)));
        let earliest = started_at.truncate_to_second() + delay;
        self.due = match at_once {
            FirstProbe::AtOnce => {
                let now = now.max(self.awake_at);
                self.grid = Grid::new(now, period(probe));
                self.grid.ceil(earliest.max(now))
            }
            FirstProbe::AtTick if earliest > now => self.grid.ceil(earliest),
            FirstProbe::AtTick => self.grid.next(now),
        };
        self.due
    }

    /// A probe is asked for besides the ticks, which follow it from now on. Returns when it takes
    /// place, unless one is under way, which is then followed by another.
    pub(crate) fn once_more(&mut self, now: SimTime, probe: &Probe, started_at: SimTime) -> Option<SimTime> {
        match self.activity {
            Activity::Probing => {
                self.again = true;
                None
            }
            Activity::Waiting => {
                let delay = Span::from_secs(i64::from(probe.initial_delay_seconds.max(0)));
                let earliest = started_at.truncate_to_second() + delay;
                let now = now.max(self.awake_at);
                self.grid = Grid::new(now, period(probe));
                self.due = self.grid.ceil(earliest.max(now));
                Some(self.due)
            }
            Activity::Off | Activity::Counting | Activity::Settled => None,
        }
    }

    /// The next tick, or this instant if one more probe is asked for.
    fn next(&mut self, now: SimTime, probe: &Probe) -> SimTime {
        if std::mem::take(&mut self.again) {
            self.grid = Grid::new(now, period(probe));
            return now;
        }
        self.grid.next(now)
    }

    /// Counts the outcome of a probe at `now`.
    pub(crate) fn count(
        &mut self,
        now: SimTime,
        probe: &Probe,
        kind: ProbeKind,
        outcome: Outcome,
    ) -> Counted {
        let Outcome { success, steady } = outcome;
        self.run = if self.run > 0 && self.success == success { self.run.saturating_add(1) } else { 1 };
        self.success = success;
        let missing = threshold(probe, success) - self.run;
        if missing > 0 {
            self.activity = if steady { Activity::Counting } else { Activity::Waiting };
            let next = self.next(now, probe);
            self.due = if steady { next + period(probe).times(i64::from(missing - 1)) } else { next };
            return Counted { changed: false, next: Some(self.due) };
        }
        let result = if success { ProbeResult::Success } else { ProbeResult::Failure };
        let changed = self.result != result;
        self.result = result;
        let holds = kind == ProbeKind::Startup || (kind == ProbeKind::Liveness && !success);
        if holds {
            self.activity = Activity::Off;
            self.run = 0;
            return Counted { changed, next: None };
        }
        if steady {
            self.activity = Activity::Settled;
            return Counted { changed, next: None };
        }
        self.activity = Activity::Waiting;
        self.due = self.next(now, probe);
        Counted { changed, next: Some(self.due) }
    }

    /// Waits for the next tick, which is returned.
    pub(crate) fn wait(&mut self, now: SimTime, probe: &Probe) -> SimTime {
        self.activity = Activity::Waiting;
        self.due = self.next(now, probe);
        self.due
    }

    /// The tick has come at which a lasting outcome reaches its threshold.
    pub(crate) fn reach(&mut self, now: SimTime, probe: &Probe, kind: ProbeKind) -> Counted {
        self.run = threshold(probe, self.success) - 1;
        self.count(now, probe, kind, Outcome { success: self.success, steady: true })
    }

    /// A lasting outcome may be another from now on. Returns the next tick if there was one.
    pub(crate) fn resume(&mut self, now: SimTime, probe: &Probe) -> Option<SimTime> {
        match self.activity {
            Activity::Off | Activity::Waiting | Activity::Probing => return None,
            Activity::Counting => {
                let ahead = (self.due - self.grid.last(now)).nanos() / period(probe).nanos();
                let ahead = i32::try_from(ahead).unwrap_or(i32::MAX);
                self.run = (threshold(probe, self.success) - ahead).max(1);
            }
            Activity::Settled => {}
        }
        self.activity = Activity::Waiting;
        self.due = self.grid.next(now);
        Some(self.due)
    }
}

/// When the first probe of an instance takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstProbe {
    /// At once.
    AtOnce,
    /// At the worker's next tick.
    AtTick,
}

/// The outcome of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether it succeeded.
    pub success: bool,
    /// Whether it lasts until further notice.
    pub steady: bool,
}

fn threshold(probe: &Probe, success: bool) -> i32 {
    if success { probe.success_threshold.max(1) } else { probe.failure_threshold.max(1) }
}

fn period(probe: &Probe) -> Span {
    Span::from_secs(i64::from(probe.period_seconds.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::HandlerAction;

    fn probe() -> Probe {
        Probe {
            action: HandlerAction::Exec(Box::default()),
            initial_delay_seconds: 0,
            period_seconds: 10,
            timeout_seconds: 1,
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period_seconds: None,
        }
    }

    const FAIL: Outcome = Outcome { success: false, steady: false };

    #[test]
    fn the_first_tick_waits_for_the_initial_delay_counted_from_a_whole_second() {
        let delayed = Probe { initial_delay_seconds: 15, ..probe() };
        let started = SimTime::from_nanos(2_900_000_000);
        for (first, probe, expected) in [
            (FirstProbe::AtOnce, &probe(), 3_000),
            (FirstProbe::AtTick, &probe(), 10_000),
            (FirstProbe::AtTick, &delayed, 20_000),
            (FirstProbe::AtOnce, &delayed, 23_000),
        ] {
            let mut worker = ProbeWorker::new(SimTime::ZERO, probe);
            let now = SimTime::from_secs(3);
            let due = worker.begin(now, probe, (0, started), first);
            assert_eq!(due.nanos() / 1_000_000, expected, "{first:?}");
        }
    }

    #[test]
    fn a_failure_counts_when_it_has_lasted() {
        let probe = probe();
        let mut worker = ProbeWorker::new(SimTime::ZERO, &probe);
        worker.begin(SimTime::ZERO, &probe, (0, SimTime::ZERO), FirstProbe::AtTick);
        for (second, result) in
            [(0, ProbeResult::Initial), (10, ProbeResult::Initial), (20, ProbeResult::Failure)]
        {
            worker.count(SimTime::from_secs(second), &probe, ProbeKind::Liveness, FAIL);
            assert_eq!(worker.result, result);
        }
    }

    #[test]
    fn what_is_not_known_to_be_ready_is_not_and_is_probed_once_more_when_asked_for() {
        let probe = probe();
        let mut worker = ProbeWorker::new(SimTime::ZERO, &probe);
        worker.begin(SimTime::ZERO, &probe, (0, SimTime::ZERO), FirstProbe::AtOnce);
        assert_eq!(worker.result, ProbeResult::Failure);
        let now = SimTime::from_secs(3);
        assert_eq!(worker.once_more(now, &probe, SimTime::ZERO), Some(now));
        worker.activity = Activity::Probing;
        assert_eq!(worker.once_more(now, &probe, SimTime::ZERO), None, "after the one under way");
        let counted = worker.count(now, &probe, ProbeKind::Readiness, FAIL);
        assert_eq!(counted, Counted { changed: false, next: Some(now) });
    }

    #[test]
    fn a_lasting_failure_takes_effect_at_the_tick_of_the_threshold_without_probes_between() {
        let probe = probe();
        let mut worker = ProbeWorker::new(SimTime::ZERO, &probe);
        worker.begin(SimTime::ZERO, &probe, (0, SimTime::ZERO), FirstProbe::AtTick);
        let steady = Outcome { success: false, steady: true };
        let counted = worker.count(SimTime::ZERO, &probe, ProbeKind::Liveness, steady);
        assert_eq!(counted, Counted { changed: false, next: Some(SimTime::from_secs(20)) });
        let counted = worker.reach(SimTime::from_secs(20), &probe, ProbeKind::Liveness);
        assert_eq!(counted, Counted { changed: true, next: None });
        assert_eq!(worker.result, ProbeResult::Failure);
    }

    #[test]
    fn a_lasting_outcome_that_ends_early_has_counted_up_to_then() {
        let probe = probe();
        let mut worker = ProbeWorker::new(SimTime::ZERO, &probe);
        worker.begin(SimTime::ZERO, &probe, (0, SimTime::ZERO), FirstProbe::AtOnce);
        worker.count(SimTime::ZERO, &probe, ProbeKind::Readiness, Outcome { success: false, steady: true });
        assert_eq!(worker.resume(SimTime::from_secs(15), &probe), Some(SimTime::from_secs(20)));
        assert_eq!(worker.run, 2);
        worker.count(SimTime::from_secs(20), &probe, ProbeKind::Readiness, FAIL);
        assert_eq!(worker.result, ProbeResult::Failure);
    }
}
