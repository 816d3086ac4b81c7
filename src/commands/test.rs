//! `seatrial test`.

use std::path::{Path, PathBuf};

use seatrial_reports::Summary;
use serde::Serialize;

use super::play::{Wanted, play};
use super::{input, run};
use crate::cli::{Format, InputArguments, TestArguments};
use crate::{CommandResult, Outcome, Refusal};

/// What became of one scenario.
#[derive(Serialize)]
struct Verdict {
    scenario: String,
    passed: bool,
    trace_hash: String,
    /// Expectations that were missed, with what was found.
    missed: Vec<String>,
    expectations: usize,
}

/// Plays every scenario and prints a line for each.
pub(crate) fn test(arguments: &TestArguments) -> CommandResult {
    let mut verdicts = Vec::new();
    for path in scenarios(&arguments.paths)? {
        let verdict = judge(&path, arguments.seed)?;
        if arguments.format == Format::Text {
            print_line(&verdict);
        }
        verdicts.push(verdict);
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed).count();
    match arguments.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&verdicts)?),
        Format::Text => println!("{} passed, {failed} failed", verdicts.len() - failed),
    }
    Ok(if failed == 0 { Outcome::Passed } else { Outcome::Failed })
}

fn judge(path: &Path, seed: Option<u64>) -> Result<Verdict, Refusal> {
    let arguments = InputArguments { seed, ..InputArguments::default() };
    let input = input::load(Some(path), &arguments)?;
    let played = play(&input.loaded, Wanted::default())?;
    let summary = Summary::new(&run::report(&played, input.loaded.config.version));
    let missed = played.expectations.iter().filter(|outcome| !outcome.passed);
    Ok(Verdict {
        scenario: summary.name.clone(),
        passed: summary.passed,
        trace_hash: summary.trace_hash.clone(),
        missed: missed
            .map(|outcome| {
                format!("{}: expected {}, found {}", outcome.name, outcome.expected, outcome.found)
            })
            .collect(),
        expectations: played.expectations.len(),
    })
}

fn print_line(verdict: &Verdict) {
    let word = if verdict.passed { "pass" } else { "FAIL" };
    let count = verdict.expectations;
    println!("{word}  {:<24} {count} expectations  {}", verdict.scenario, verdict.trace_hash);
    for missed in &verdict.missed {
        println!("      {missed}");
    }
}

/// The scenario files that the paths name: files as they are, folders by their YAML files.
fn scenarios(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Refusal> {
    let mut found = Vec::new();
    for path in paths {
        let unreadable = |error: std::io::Error| Refusal(format!("{}: {error}", path.display()));
        if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries =
            std::fs::read_dir(path).map_err(unreadable)?.map(|entry| entry.map(|entry| entry.path()));
        let mut files = entries.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        files.retain(|file| {
            file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
        });
        files.sort();
        if files.is_empty() {
            return Err(Refusal(format!("{}: there are no scenarios in this folder", path.display())));
        }
        found.extend(files);
    }
    Ok(found)
}
