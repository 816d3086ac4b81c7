//! `seatrial explain`.

use std::path::Path;

use seatrial_reports::directory;
use seatrial_reports::explain::{Recorded, explain_chain};
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
        event.kind == "Pod" && named(&event.namespace, &event.name) && DECISIONS.contains(&event.reason.as_str())
    });
    rows.last().map(|(row, _)| row)
}

/// Plays the run again up to the event in which the decision was made, and asks the scheduler.
fn nodes_seen(results: &Path, row: u32) -> Result<String, Refusal> {
    let loaded = input::reload(results)?;
    let mut scout = Simulation::new(loaded.config.clone())?;
    while scout.event_rows() <= row as usize && scout.step() {}
    let before = scout.events().saturating_sub(1);
    let mut simulation = Simulation::new(loaded.config)?;
    while simulation.events() < before && simulation.step() {}
    let name = scout.event_row(row as usize).map(|row| (row.namespace, row.name.clone()));
    let Some((namespace, name)) = name else {
        return Err(Refusal("the inputs of these results do not lead to the recorded decision".into()));
    };
    simulation
        .explain_pod(namespace, &name)
        .ok_or_else(|| Refusal(format!("{namespace}/{name} was not known to the scheduler before its decision")))
}
