//! Checks over counters and over what was recorded as an event.

use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use seatrial_sim_core::results::{EventRow, Results};

use super::window::Interval;
use super::{Evictor, Limits, Verdict, counted, full_name, short};

/// How many pods were evicted.
pub(super) fn evictions(results: &Results, limits: Limits, by: &[Evictor]) -> Verdict {
    let counts = &results.evictions;
    let all = [
        (Evictor::Taint, counts.taint, "by taint"),
        (Evictor::Api, counts.api, "by the Eviction API"),
        (Evictor::Pressure, counts.pressure, "under pressure"),
        (Evictor::Preemption, counts.preemption, "by preemption"),
    ];
    let meant: Vec<_> =
        all.into_iter().filter(|(evictor, ..)| by.is_empty() || by.contains(evictor)).collect();
    let total: u64 = meant.iter().map(|(_, count, _)| count).sum();
    let parts: Vec<String> =
        meant.iter().filter(|part| part.1 > 0).map(|(_, count, words)| format!("{count} {words}")).collect();
    let words: Vec<&str> = if by.is_empty() { Vec::new() } else { meant.iter().map(|part| part.2).collect() };
    let who = if words.is_empty() { String::new() } else { format!(" {}", words.join(" or ")) };
    let detail = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    Verdict {
        passed: limits.admit(total as f64),
        found: format!("{}{detail}", counted(total as usize, "eviction")),
        expected: format!("{}{who}", limits.of("eviction")),
        ..Verdict::default()
    }
}

/// What the machines cost.
pub(super) fn cost(results: &Results, limits: Limits) -> Verdict {
    Verdict {
        passed: limits.admit(results.cost_usd),
        found: format!("{:.2} dollars", results.cost_usd),
        expected: format!("{} dollars", limits.words()),
        ..Verdict::default()
    }
}

/// The reason with which the Job controller records a Job's completion.
const JOB_COMPLETED: &str = "Completed";

/// Whether Jobs completed in time.
pub(super) fn jobs(results: &Results, window: &Interval, within: Option<Span>, jobs: &[Symbol]) -> Verdict {
    let deadline = within.map_or(window.to, |within| window.to.min(window.from + within));
    let since = if window.since.is_empty() { String::new() } else { format!(" of {}", window.since) };
    let limit = within.map_or(String::new(), |within| format!(" within {}{since}", short(within)));
    let expected = format!("{} Complete{limit}", counted(jobs.len(), "Job"));
    let completed = |job: Symbol| {
        let is_it = |row: &&EventRow| {
            row.kind == "Job"
                && row.reason == JOB_COMPLETED
                && full_name(row.namespace, &row.name) == job.as_str()
        };
        results.event_rows.iter().find(is_it).map(|row| row.time)
    };
    let mut last = None;
    for &job in jobs {
        let at = completed(job);
        if at.is_none_or(|at| at > deadline) {
            let found = at.map_or("not complete".to_owned(), |at| {
                format!("complete after {}", short(at - window.from))
            });
            return Verdict { passed: false, at, object: format!("job {job}"), found, expected };
        }
        last = last.max(at.map(|at| (at, job)));
    }
    Verdict {
        passed: true,
        at: last.map(|(at, _)| at),
        object: last.map_or(String::new(), |(_, job)| format!("job {job}")),
        found: last
            .map_or("no Job".to_owned(), |(at, _)| format!("all complete after {}", short(at - window.from))),
        expected,
    }
}

/// How often something was recorded with a reason.
pub(super) fn events(
    results: &Results,
    window: &Interval,
    reason: Symbol,
    kind: Option<Symbol>,
    object: Option<&(Symbol, String)>,
    counts: Limits,
) -> Verdict {
    let meant = |row: &&EventRow| {
        row.reason == reason
            && (window.from..=window.to).contains(&row.time)
            && kind.is_none_or(|kind| row.kind == kind)
            && object.is_none_or(|(namespace, name)| row.namespace == *namespace && row.name == name.as_str())
    };
    let rows: Vec<&EventRow> = results.event_rows.iter().filter(meant).collect();
    let passed = counts.admit(rows.len() as f64);
    // The row that is one too many, or else the first.
    let surplus = counts.max.and_then(|max| rows.get(max as usize)).filter(|_| !passed);
    let decisive = surplus.or(rows.first());
    let about =
        object.map_or(String::new(), |(namespace, name)| format!(" about {}", full_name(*namespace, name)));
    Verdict {
        passed,
        at: decisive.map(|row| row.time),
        object: decisive.map_or(String::new(), |row| {
            format!("{} {}", row.kind.as_str().to_lowercase(), full_name(row.namespace, &row.name))
        }),
        found: format!("{} {reason}", counted(rows.len(), "event")),
        expected: format!("{} {reason}{about}{}", counts.of("event"), window.words(results)),
    }
}
