//! `seatrial schedule`.

use seatrial_scenarios::recordings::Kind;

use super::recordings;
use crate::cli::ScheduleArguments;
use crate::{CommandResult, Outcome, Refusal};

/// Places the pods of every case and writes what was decided.
pub(crate) fn schedule(arguments: &ScheduleArguments) -> CommandResult {
    let lines = recordings::read(&arguments.cases, arguments.kubernetes_version.as_deref())?;
    if let Some(other) = lines.iter().find(|line| line.recording.kind() != Kind::SchedulerCase) {
        let kind = other.recording.kind();
        return Err(Refusal(format!(
            "{}:{}:1: expected a scheduler case, found a {kind} (seatrial parity plays those)",
            other.file, other.number
        )));
    }
    recordings::write_answers(&lines, arguments.out.as_deref())?;
    Ok(Outcome::Passed)
}
