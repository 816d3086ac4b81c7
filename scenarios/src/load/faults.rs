//! What breaks, checked against what there is.

use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Ratio, SimTime, Span};
use seatrial_sim_core::cluster::config::{Fault, FaultTiming, FaultType, MasterComponent, Target};
use seatrial_sim_core::engine::dist::Distribution;

use super::check::Checker;
use super::nodes::Machines;
use super::timeline::within_run;
use crate::file::faults::{ComponentWord, FaultEntry, FaultWord, TargetField};
use crate::schema::{Placed, Text};

/// The faults of a scenario.
pub(super) fn faults(
    entries: &[FaultEntry],
    duration: Span,
    machines: &Machines,
    checker: &mut Checker<'_>,
) -> Vec<Fault> {
    let fault = |entry: &FaultEntry| {
        // Each part is looked at, so that the errors of all are found.
        let kind = kind(entry, checker);
        let target = target(entry, machines, checker);
        let timing = timing(entry, duration, checker);
        Some(Fault { name: entry.name.value.0, kind: kind?, target: target?, timing: timing? })
    };
    entries.iter().filter_map(fault).collect()
}

/// How long before its end a machine that is taken back gets notice.
const NOTICE_DEFAULT: Span = Span::from_mins(2);
/// To how many parts the factor of a slow registry is kept.
const FACTOR_PARTS: i64 = 1_000;
/// The largest factor.
const FACTOR_MAX: f64 = 1e9;

fn kind(entry: &FaultEntry, checker: &mut Checker<'_>) -> Option<FaultType> {
    let kind = match (entry.kind.value, &entry.factor) {
        (FaultWord::SlowRegistry, Some(factor)) if !(1.0..=FACTOR_MAX).contains(&factor.value) => {
            let found = factor.value.to_string();
            checker.error(factor, |error| error.expected("a factor of 1 or more", found));
            return None;
        }
        (FaultWord::SlowRegistry, Some(factor)) => {
            let parts = (factor.value * FACTOR_PARTS as f64).round() as i64;
            return Some(FaultType::SlowRegistry(Ratio::new(parts, FACTOR_PARTS)));
        }
        (FaultWord::SlowRegistry, None) => {
            checker
                .error(&entry.kind, |error| error.expected("a factor: how many times slower it is", "none"));
            return None;
        }
        (FaultWord::SpotReclaim, _) => FaultType::SpotReclaim {
            notice: entry.notice.as_ref().map_or(NOTICE_DEFAULT, |notice| notice.value),
        },
        (FaultWord::Crash, _) => FaultType::Crash,
        (FaultWord::KubeletCrash, _) => FaultType::KubeletCrash,
        (FaultWord::Partition, _) => FaultType::Partition,
    };
    if let Some(notice) = entry.notice.as_ref().filter(|_| entry.kind.value != FaultWord::SpotReclaim) {
        checker.error(notice, |error| error.message("only machines that are taken back get notice"));
        return None;
    }
    if let Some(factor) = &entry.factor {
        checker.error(factor, |error| error.message("only a slow registry has a factor"));
        return None;
    }
    Some(kind)
}

fn target(entry: &FaultEntry, machines: &Machines, checker: &mut Checker<'_>) -> Option<Option<Target>> {
    let hits_nodes = entry.kind.value != FaultWord::SlowRegistry;
    match &entry.target {
        None if hits_nodes => {
            checker.error(&entry.kind, |error| {
                error.expected("a target: one of node, nodes, rack, zone, component", "none")
            });
            None
        }
        None => Some(None),
        Some(target) if !hits_nodes => {
            checker.error(target, |error| error.message("a slow registry hits all nodes and has no target"));
            None
        }
        Some(target) if target.value.component.is_some() && entry.kind.value != FaultWord::Crash => {
            checker.error(target, |error| {
                error
                    .message("a component of the masters can crash, and nothing else")
                    .hint("write type: crash")
            });
            None
        }
        Some(target) => hit(target, machines, checker).map(Some),
    }
}

fn hit(target: &Placed<TargetField>, machines: &Machines, checker: &mut Checker<'_>) -> Option<Target> {
    let name =
        |name: &Text| Placed { value: name.clone(), position: target.position, path: target.path.clone() };
    let TargetField { node, nodes, rack, zone, component } = &target.value;
    if let Some(word) = component {
        Some(Target::Master(self::component(*word)))
    } else if let Some(node) = node {
        machines.node(&name(node), checker).map(Target::Node)
    } else if let Some(pool) = nodes {
        machines.pool(&name(pool), checker).map(|(_, pool)| Target::Pool(pool))
    } else if let Some(rack) = rack {
        machines.rack(target, &rack.0, checker).map(Target::Rack)
    } else {
        zone.as_ref().and_then(|zone| machines.zone(target, &zone.0, checker)).map(Target::Zone)
    }
}

/// The component that a word means.
pub(super) fn component(word: ComponentWord) -> MasterComponent {
    match word {
        ComponentWord::Scheduler => MasterComponent::Scheduler,
        ComponentWord::ControllerManager => MasterComponent::ControllerManager,
    }
}

fn timing(entry: &FaultEntry, duration: Span, checker: &mut Checker<'_>) -> Option<FaultTiming> {
    let for_good = entry.kind.value == FaultWord::SpotReclaim;
    if for_good && (entry.duration.is_some() || entry.mttr.is_some()) {
        checker.error(&entry.kind, |error| {
            error.message("machines that are taken back do not return, so there is no duration and no mttr")
        });
        return None;
    }
    if let Some(at) = &entry.at {
        within_run(at, duration, checker)?;
        return Some(FaultTiming::At { at: SimTime::ZERO + at.value, duration: entry.duration });
    }
    let mtbf = entry.mtbf.as_ref()?.0.clone();
    let mttr = match &entry.mttr {
        Some(mttr) => mttr.0.clone(),
        None if for_good => Distribution::Constant { value: Span::ZERO },
        None => {
            checker.error(&entry.kind, |error| error.expected("mtbf together with mttr", "mtbf alone"));
            return None;
        }
    };
    Some(FaultTiming::Random { mtbf, mttr })
}

/// The names of faults; an error for each that occurs twice.
pub(super) fn names(entries: &[FaultEntry], checker: &mut Checker<'_>) -> Vec<Symbol> {
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.name.value.0;
        if names.contains(&name) {
            checker.error(&entry.name, |error| error.message(format!("there is another fault named {name}")));
        }
        names.push(name);
    }
    names
}
