//! `seatrial schema`.

use crate::{CommandResult, Outcome};

/// Prints the JSON Schema of scenario files.
pub(crate) fn schema() -> CommandResult {
    println!("{}", seatrial_scenarios::schema());
    Ok(Outcome::Passed)
}
