//! `seatrial bench`.

use std::process::Command;

use seatrial_benches::{BenchRow, SUITES};

use crate::cli::{BenchArguments, Format};
use crate::{CommandResult, Outcome, Refusal};

/// Measures and prints a row for each figure.
pub(crate) fn bench(arguments: &BenchArguments) -> CommandResult {
    let rows = match &arguments.name {
        Some(name) => suite(name)?,
        None => all()?,
    };
    match arguments.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
        Format::Text => print_table(&rows),
    }
    let reached = rows.iter().all(|row| row.reached);
    Ok(if reached { Outcome::Passed } else { Outcome::Failed })
}

fn suite(name: &str) -> Result<Vec<BenchRow>, Refusal> {
    let known = SUITES.iter().find(|suite| suite.name == name);
    let known = known.ok_or_else(|| {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        Refusal(format!("there is no bench {name}: expected one of {}", names.join(", ")))
    })?;
    Ok((known.rows)())
}

/// Each suite in a process of its own, so that its peak memory is its own.
fn all() -> Result<Vec<BenchRow>, Refusal> {
    let program = std::env::current_exe()?;
    let mut rows = Vec::new();
    for suite in SUITES {
        eprintln!("measuring {} …", suite.name);
        let output = Command::new(&program).args(["bench", suite.name, "--format", "json"]).output()?;
        let parsed: Result<Vec<BenchRow>, _> = serde_json::from_slice(&output.stdout);
        rows.extend(parsed.map_err(|error| {
            Refusal(format!("bench {}: {error}\n{}", suite.name, String::from_utf8_lossy(&output.stderr)))
        })?);
    }
    Ok(rows)
}

fn print_table(rows: &[BenchRow]) {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    for row in rows {
        let against = match (row.reference, row.ratio) {
            (Some(reference), Some(ratio)) => format!("reference {} = {ratio:.2} ×", figure(reference)),
            _ => String::new(),
        };
        let verdict = if row.reached { "reached" } else { "MISSED" };
        let peer = row.peer.as_deref().map_or(String::new(), |peer| format!("  ({peer})"));
        let value = format!("{} {}", figure(row.value), row.unit);
        let name = &row.name;
        println!("{name:<width$}  {value:>16}  {against:<28}  {:<10} {verdict}{peer}", row.goal.to_string());
    }
}

/// Three significant digits or so.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
