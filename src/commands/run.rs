//! `seatrial run`.

use std::io::IsTerminal;

use seatrial_api::version::KubernetesVersion;
use seatrial_reports::{InputFile, Options, Report, Summary, directory, text};
use seatrial_sim_core::cluster::trace_file;

use super::input;
use super::play::{Played, Wanted, play};
use crate::cli::{Format, RunArguments};
use crate::{CommandResult, Outcome};

/// Plays what the arguments name and shows what happened.
pub(crate) fn run(arguments: &RunArguments) -> CommandResult {
    if let Some(folder) = &arguments.out {
        directory::check(folder)?;
    }
    let loaded = input::load(arguments.scenario.as_deref(), &arguments.input)?;
    let wanted = Wanted { trace: arguments.trace, check: arguments.check };
    let played = play(&loaded.scenario, wanted)?;
    let report = report(&played, loaded.scenario.config.version);
    if let Some(folder) = &arguments.out {
        let inputs: Vec<InputFile<'_>> =
            loaded.files.iter().map(|(name, content)| InputFile { name, content }).collect();
        let trace = arguments.trace.then(|| trace_file::encode(played.simulation.trace_records()));
        directory::write(folder, &report, &inputs, trace.as_deref())?;
    }
    let summary = Summary::new(&report);
    match arguments.format {
        Format::Json => println!("{}", summary.to_json()),
        Format::Text => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            print!("{}", text::render(&summary, &Options { colour, folder: arguments.out.clone() }));
        }
    }
    Ok(if summary.passed { Outcome::Passed } else { Outcome::Failed })
}

/// The report of a run.
pub(crate) fn report(played: &Played, version: KubernetesVersion) -> Report<'_> {
    Report {
        results: &played.results,
        expectations: &played.expectations,
        seatrial_version: env!("CARGO_PKG_VERSION"),
        kubernetes_version: version.as_str(),
        cpu: played.cpu,
    }
}
