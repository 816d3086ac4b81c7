//! `seatrial diff`.

use std::path::Path;

use seatrial_sim_core::cluster::event_kind_name;
use seatrial_sim_core::engine::trace::{self, Record};

use super::input;
use super::play::{Wanted, play};
use crate::cli::{DiffArguments, InputArguments};
use crate::{CommandResult, Outcome, Refusal};

/// How many causes of the differing event are listed.
const CHAIN_MAX: usize = 12;

/// Prints the first event in which two runs differ.
pub(crate) fn diff(arguments: &DiffArguments) -> CommandResult {
    let (a, b) = (records(&arguments.a)?, records(&arguments.b)?);
    let Some(difference) = trace::first_difference(&a, &b) else {
        println!("equal: {} events", a.len());
        return Ok(Outcome::Passed);
    };
    let index = difference.index;
    println!("first difference: event {index}, after {index} equal events");
    for (path, records) in [(&arguments.a, &a), (&arguments.b, &b)] {
        println!("\n{}", path.display());
        match records.get(index) {
            Some(record) => println!("  {}", describe(record)),
            None => println!("  ends here"),
        }
        chain(records, index);
    }
    Ok(Outcome::Failed)
}

/// The events that led to one, last cause first.
fn chain(records: &[Record], index: usize) {
    let mut current = index;
    for step in 0..CHAIN_MAX {
        let Some(cause) = records.get(current).and_then(|_| trace::cause(records, current)) else { return };
        if step == 0 {
            println!("  caused by");
        }
        println!("    {}", describe(&records[cause]));
        current = cause;
    }
    println!("    …");
}

fn describe(record: &Record) -> String {
    let [a, b, _] = record.signature.ids;
    format!("{} #{} {} {a} {b}", record.time, record.sequence, event_kind_name(record.signature.kind))
}

/// The events of a results folder, or of a scenario that is played for them.
fn records(path: &Path) -> Result<Vec<Record>, Refusal> {
    if path.is_dir() {
        let file = path.join("trace.bin");
        let bytes = std::fs::read(&file).map_err(|error| {
            Refusal(format!("{}: {error}; a run keeps its trace with --trace", file.display()))
        })?;
        return trace::decode(&bytes).map_err(|error| Refusal(format!("{}: {error}", file.display())));
    }
    let input = input::load(Some(path), &InputArguments::default())?;
    let played = play(&input.loaded, Wanted { trace: true, check: false })?;
    Ok(played.simulation.trace_records().to_vec())
}
