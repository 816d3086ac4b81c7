//! `seatrial explain`.

use seatrial_reports::directory;
use seatrial_reports::explain::explain_chain;

use crate::cli::ExplainArguments;
use crate::{CommandResult, Outcome};

/// Prints why a pod is where it is: the chain of events that led there.
pub(crate) fn explain(arguments: &ExplainArguments) -> CommandResult {
    let recorded = directory::read(&arguments.results)?;
    print!("{}", explain_chain(&recorded, &arguments.pod)?);
    Ok(Outcome::Passed)
}
