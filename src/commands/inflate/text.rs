//! The answer: whether results agree with the published ones, and how much of the GPUs is in use.

use std::collections::BTreeSet;
use std::fmt::Write;

use seatrial_scenarios::inflate::{Cell, Comparison, Deviation};

/// The load at which the table shows the GPUs in use, in per cent.
const TABLE_LOAD: u16 = 100;
/// How many failures are listed.
const FAILURES_SHOWN: usize = 10;

/// The answer as lines.
pub(super) fn answer(cells: &[Cell], comparison: &Comparison, has_expectations: bool) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    let _ = writeln!(text, "{}", verdict(comparison, has_expectations));
    if let Some(worst) = comparison.worst() {
        let _ = writeln!(text, "nearest to its bar: {}", told(worst));
    }
    let failures: Vec<&Deviation> = comparison.deviations.iter().filter(|one| !one.passes()).collect();
    for failure in failures.iter().take(FAILURES_SHOWN) {
        let _ = writeln!(text, "FAILED: {}", told(failure));
    }
    if failures.len() > FAILURES_SHOWN {
        let _ = writeln!(text, "… and {} more", failures.len() - FAILURES_SHOWN);
    }
    let _ =
        writeln!(text, "\nGPU in use when {TABLE_LOAD} % of the cluster's GPUs have been asked for, in %\n");
    text.push_str(&table(cells, comparison));
    text
}

fn verdict(comparison: &Comparison, has_expectations: bool) -> String {
    let (compared, first) = (&comparison.deviations, &comparison.first);
    let within = compared.iter().filter(|one| one.passes()).count();
    let workloads: BTreeSet<&str> = compared.iter().map(|one| one.workload.as_str()).collect();
    let mut parts = Vec::new();
    if compared.is_empty() {
        let why = if has_expectations { "for these runs" } else { "in this folder" };
        parts.push(format!("no published results {why} to compare with"));
    } else {
        parts.push(format!(
            "{within} of {} means within max(0.6 points, 4 standard errors) of the published ones on {} workloads",
            compared.len(),
            workloads.len(),
        ));
    }
    if !first.is_empty() {
        let ahead = first.iter().filter(|first| first.1).count();
        parts.push(format!("FGD first at 100 % on {ahead} of {}", first.len()));
    }
    let word = match (comparison.passes(), compared.is_empty() && first.is_empty()) {
        (false, _) => "FAILED",
        (true, true) => "done",
        (true, false) => "passed",
    };
    format!("{word}: {}", parts.join("; "))
}

fn told(one: &Deviation) -> String {
    format!(
        "{} of {} under {} at {} %: {:.2} instead of {:.2}, {:.2} points of {:.2}",
        one.metric.as_str(),
        one.workload,
        one.policy,
        one.load,
        one.found,
        one.published,
        one.points(),
        one.bar,
    )
}

/// Workloads by policies: GPU in use, whether all means of the pair pass, and the worst of them.
fn table(cells: &[Cell], comparison: &Comparison) -> String {
    let (mut workloads, mut policies): (Vec<&str>, Vec<&str>) = Default::default();
    for cell in cells {
        if !workloads.contains(&cell.workload.as_str()) {
            workloads.push(&cell.workload);
        }
        if !policies.contains(&cell.policy.as_str()) {
            policies.push(&cell.policy);
        }
    }
    let mut rows = vec![vec!["workload".to_owned()]];
    rows[0].extend(policies.iter().map(|policy| (*policy).to_owned()));
    rows[0].push("FGD first".to_owned());
    rows[0].push("worst deviation".to_owned());
    for workload in &workloads {
        let mut row = vec![(*workload).to_owned()];
        row.extend(policies.iter().map(|policy| entry(cells, comparison, workload, policy)));
        let first = comparison.first.iter().find(|first| first.0 == *workload);
        row.push(first.map_or("", |first| if first.1 { "yes" } else { "NO" }).to_owned());
        let all = policies.iter().flat_map(|policy| comparison.of(workload, policy));
        let worst = all.max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        row.push(worst.map_or_else(String::new, |worst| {
            format!("{:.2} of {:.2} ({} at {} %)", worst.points(), worst.bar, worst.policy, worst.load)
        }));
        rows.push(row);
    }
    aligned(&rows)
}

/// The figure of a pair, with a mark if it was compared.
fn entry(cells: &[Cell], comparison: &Comparison, workload: &str, policy: &str) -> String {
    let wanted = |cell: &&Cell| cell.workload == workload && cell.policy == policy && cell.load == TABLE_LOAD;
    let Some(cell) = cells.iter().find(wanted) else { return "–".to_owned() };
    let mut compared = comparison.of(workload, policy).peekable();
    let mark = match (compared.peek().is_some(), compared.all(Deviation::passes)) {
        (false, _) => "",
        (true, true) => " ok",
        (true, false) => " FAILED",
    };
    format!("{:.2}{mark}", cell.allocated.mean)
}

/// Columns side by side, two spaces between them.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
