//! `seatrial parity`.

mod json;
mod text;

use std::collections::BTreeMap;

use seatrial_scenarios::recordings::{Comparison, Kind, Line, Tally};

use super::recordings;
use crate::cli::{Format, ParityArguments};
use crate::{CommandResult, Outcome};

/// A recording in which the two answers differ.
struct Failing<'a> {
    line: &'a Line,
    comparison: Comparison,
}

/// All that was compared.
#[derive(Default)]
struct Compared<'a> {
    kinds: BTreeMap<Kind, Tally>,
    failing: Vec<Failing<'a>>,
    /// Recordings without an answer to compare with.
    not_compared: usize,
}

impl Compared<'_> {
    /// Whether as much is equal as must be.
    fn passes(&self) -> bool {
        self.kinds.values().all(|tally| tally.all.passes())
    }
}

/// Plays recordings and compares the answers.
pub(crate) fn parity(arguments: &ParityArguments) -> CommandResult {
    let lines = recordings::read(&arguments.paths, arguments.kubernetes_version.as_deref())?;
    if let Some(out) = &arguments.out {
        recordings::write_answers(&lines, Some(out))?;
    }
    let mut compared = Compared::default();
    for line in &lines {
        let Some(comparison) = line.recording.compare() else {
            compared.not_compared += 1;
            continue;
        };
        compared.kinds.entry(line.recording.kind()).or_default().add(&comparison);
        if !comparison.differences.is_empty() {
            compared.failing.push(Failing { line, comparison });
        }
    }
    match arguments.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&json::answer(&compared))?),
        Format::Text => print!("{}", text::answer(&compared, arguments.all)),
    }
    Ok(if compared.passes() { Outcome::Passed } else { Outcome::Failed })
}
