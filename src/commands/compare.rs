//! `seatrial compare`.

use std::fs::File;

use seatrial_reports::compare::{SweepTable, compare as compare_levels};

use crate::cli::{CompareArguments, Format};
use crate::{CommandResult, Outcome, Refusal};

/// Compares the levels of a factor in the table of a sweep.
pub(crate) fn compare(arguments: &CompareArguments) -> CommandResult {
    let name = arguments.table.display();
    let file = File::open(&arguments.table).map_err(|error| Refusal(format!("{name}: {error}")))?;
    let table = SweepTable::read(file).map_err(|problem| Refusal(format!("{name}:{problem}")))?;
    let comparison = compare_levels(&table, &arguments.by, arguments.baseline.as_deref())
        .map_err(|problem| Refusal(format!("{name}: {problem}")))?;
    match arguments.format {
        Format::Json => print!("{}", comparison.to_json()),
        Format::Text => print!("{}", comparison.to_text()),
    }
    Ok(Outcome::Passed)
}
