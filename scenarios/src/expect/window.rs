//! The stretch of time that an expectation is about.

use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_sim_core::results::Results;

use super::clock;

/// An instant that is known, or known when the run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// An instant.
    At(SimTime),
    /// The time of an entry of the timeline.
    Action { name: Symbol, at: SimTime },
    /// The first beginning of a fault.
    FaultBegin(Symbol),
    /// The first end of a fault.
    FaultEnd(Symbol),
}

/// From one anchor to another; absent ones are the start and the end of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) after: Option<Anchor>,
    pub(crate) before: Option<Anchor>,
}

/// A stretch of a run, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) from: SimTime,
    pub(super) to: SimTime,
    /// What the beginning is, in words: `loss`, or empty for the start of the run or a bare time.
    pub(super) since: String,
}

impl Window {
    /// The stretch that is meant, or the name of what never happened.
    pub(super) fn resolve(&self, results: &Results) -> Result<Interval, String> {
        let end = SimTime::ZERO + results.simulated;
        let from = self.after.map_or(Ok(SimTime::ZERO), |anchor| anchor.instant(results))?;
        let to = self.before.map_or(Ok(end), |anchor| anchor.instant(results))?;
        let since = self.after.map_or(String::new(), |anchor| anchor.words());
        Ok(Interval { from, to: to.min(end), since })
    }
}

impl Anchor {
    fn instant(self, results: &Results) -> Result<SimTime, String> {
        let fault = |name: Symbol| results.faults.iter().find(move |fault| fault.name == name);
        match self {
            Anchor::At(at) | Anchor::Action { at, .. } => Ok(at),
            Anchor::FaultBegin(name) => fault(name).map(|fault| fault.begin).ok_or_else(|| name.to_string()),
            Anchor::FaultEnd(name) => {
                let end = fault(name).and_then(|fault| fault.end);
                end.ok_or_else(|| format!("the end of {name}"))
            }
        }
    }

    fn words(self) -> String {
        match self {
            Anchor::At(_) => String::new(),
            Anchor::Action { name, .. } | Anchor::FaultBegin(name) => name.to_string(),
            Anchor::FaultEnd(name) => format!("the end of {name}"),
        }
    }
}

impl Interval {
    /// ` from 10m on`, ` between 10m and 20m after loss` and the like, or nothing for the whole run.
    pub(super) fn words(&self, results: &Results) -> String {
        let starts_late = self.from > SimTime::ZERO;
        let ends_early = self.to < SimTime::ZERO + results.simulated;
        let from = match self.since.as_str() {
            "" => clock(self.from),
            name => format!("{name} ({})", clock(self.from)),
        };
        match (starts_late, ends_early) {
            (false, false) => String::new(),
            (true, false) => format!(" from {from} on"),
            (false, true) => format!(" until {}", clock(self.to)),
            (true, true) => format!(" from {from} until {}", clock(self.to)),
        }
    }
}
