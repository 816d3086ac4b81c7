//! `seatrial run`.

use std::io::IsTerminal;

use seatrial_api::version::KubernetesVersion;
use seatrial_reports::directory::{self, InputFile};
use seatrial_reports::text::{self, Options};
use seatrial_reports::{Report, Summary};
use seatrial_sim_core::engine::trace;

use super::input;
use super::play::{Played, Wanted, play};
use crate::cli::{Format, RunArguments};
use crate::{CommandResult, Outcome};

/// Plays what the arguments name and shows what happened.
pub(crate) fn run(arguments: &RunArguments) -> CommandResult {
    if let Some(folder) = &arguments.out {
        directory::check(folder)?;
    }
    let input = input::load(arguments.scenario.as_deref(), &arguments.input)?;
    let wanted = Wanted { trace: arguments.trace, check: arguments.check };
    let played = play(&input.loaded, wanted)?;
    let report = report(&played, input.loaded.config.version);
    if let Some(folder) = &arguments.out {
        let inputs: Vec<InputFile<'_>> =
            input.files.iter().map(|(name, content)| InputFile { name, content }).collect();
        let trace = arguments.trace.then(|| {
            let mut bytes = trace::HEADER.to_vec();
            trace::encode(played.simulation.trace_records(), &mut bytes);
            bytes
        });
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
        reproducible: played.reproducible,
    }
}
