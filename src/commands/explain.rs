//! `seatrial explain`.

use std::path::Path;

use seatrial_api::object::Kind;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_reports::directory;
use seatrial_reports::explain::{Recorded, explain_chain};
use seatrial_scheduler::cases::{Attempt, CaseDecision, CaseOutcome};
use seatrial_sim_core::cluster::Simulation;

use super::input;
use crate::cli::ExplainArguments;
use crate::{CommandResult, Outcome, Refusal};

/// Reasons of the scheduler's decisions about a pod.
const DECISIONS: [&str; 2] = ["Scheduled", "FailedScheduling"];

/// Prints why a pod is where it is: the chain of events that led there, and what the scheduler saw
/// on every node when it decided last.
pub(crate) fn explain(arguments: &ExplainArguments) -> CommandResult {
    let recorded = directory::read(&arguments.results)?;
    print!("{}", explain_chain(&recorded, &arguments.pod)?);
    match decision(&recorded, &arguments.pod) {
        Some(row) => print!("\n{}", nodes_seen(&arguments.results, row)?),
        None => println!("\nThe scheduler made no decision about it."),
    }
    Ok(Outcome::Passed)
}

/// The row of the scheduler's last decision about a pod, with the pod.
fn decision(recorded: &Recorded, pod: &str) -> Option<u32> {
    let named = |namespace: &str, name: &str| match pod.split_once('/') {
        Some(full) => full == (namespace, name),
        None => pod == name,
    };
    let rows = (0u32..).zip(&recorded.events).filter(|(_, event)| {
        event.kind == "Pod"
            && named(&event.namespace, &event.name)
            && DECISIONS.contains(&event.reason.as_str())
    });
    rows.last().map(|(row, _)| row)
}

/// Plays the run again up to the event in which the decision was made, and asks the scheduler.
fn nodes_seen(results: &Path, row: u32) -> Result<String, Refusal> {
    let loaded = input::reload(results)?;
    let strayed = || Refusal("the inputs of these results do not lead to the recorded decision".into());
    let mut scout = Simulation::new(loaded.config.clone())?;
    while scout.event_rows() <= row as usize && scout.step() {}
    let recorded = scout.event_row(row as usize).ok_or_else(strayed)?;
    let (namespace, name, bound) =
        (recorded.namespace, recorded.name.clone(), recorded.reason == DECISIONS[0]);
    let mut decided_by = scout.events();
    if bound {
        // A binding is recorded when it was confirmed; it was decided when it was asked for.
        let pod =
            scout.api().find(Kind::Pod, namespace, &name).map(|pod| pod.meta().id).ok_or_else(strayed)?;
        scout = Simulation::new(loaded.config.clone())?;
        while !scout.is_binding(pod) && scout.step() {}
        decided_by = scout.events();
    }
    let mut simulation = Simulation::new(loaded.config)?;
    while simulation.events() + 1 < decided_by && simulation.step() {}
    let decision = simulation.explain_pod(namespace, &name).ok_or_else(strayed)?;
    Ok(table(scout.now(), &decision))
}

/// The last attempt of a decision, a line for each node.
fn table(time: SimTime, decision: &CaseDecision) -> String {
    let Some(attempt) = decision.attempts.last() else {
        return match &decision.outcome {
            CaseOutcome::Gated(reason) => format!("It may not be scheduled: {reason}\n"),
            _ => String::new(),
        };
    };
    let mut text = format!("What the scheduler saw on every node at {time}:\n");
    let width = attempt.feasible.iter().chain(attempt.rejected.keys()).map(|node| node.as_str().len()).max();
    let width = width.unwrap_or(0);
    for node in &attempt.feasible {
        text.push_str(&format!("  {node:<width$}  {}\n", scores(attempt, *node)));
    }
    for (node, rejection) in &attempt.rejected {
        let reasons = rejection.reasons.join(", ");
        text.push_str(&format!("  {node:<width$}  rejected by {}: {reasons}\n", rejection.plugin));
    }
    if let Some(rejection) = &attempt.absent {
        let reasons = rejection.reasons.join(", ");
        text.push_str(&format!("  all others: rejected by {}: {reasons}\n", rejection.plugin));
    }
    if let Some(found) = &attempt.preemption {
        text.push_str(&format!("Preemption on {} would remove {}.\n", found.node, found.victims.join(", ")));
    }
    text
}

/// A feasible node's scores by plugin, weighted, and their sum.
fn scores(attempt: &Attempt, node: Symbol) -> String {
    let Some((table, row)) =
        attempt.scores.as_ref().and_then(|table| table.nodes.get(&node).map(|row| (table, row)))
    else {
        return "the only feasible node".into();
    };
    let total: i64 = row.iter().sum();
    let best = if attempt.top.contains(&node) { " (best)" } else { "" };
    let parts = table.plugins.iter().zip(row).filter(|(_, score)| **score != 0);
    let parts: Vec<String> = parts.map(|(plugin, score)| format!("{plugin} {score}")).collect();
    format!("scores {total}{best} = {}", parts.join(" + "))
}
