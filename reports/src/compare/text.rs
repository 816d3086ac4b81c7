//! A comparison on the terminal.

use super::{Comparison, Difference};

/// The table: a block for each level, a line for each metric that ever differs.
pub(super) fn render(comparison: &Comparison) -> String {
    let unchanged = comparison.unchanged();
    let pairs = comparison.differences.iter().map(|difference| difference.pairs).max().unwrap_or(0);
    let mut text = format!(
        "{} against {}, up to {pairs} pairs by {}; 95 % intervals, p-values corrected for {} comparisons (Holm)\n",
        comparison.by,
        comparison.baseline,
        comparison.paired_by.join(", "),
        comparison.differences.iter().filter(|difference| difference.p.is_some()).count(),
    );
    let mut levels: Vec<&str> = Vec::new();
    for difference in &comparison.differences {
        if !levels.contains(&difference.level.as_str()) {
            levels.push(&difference.level);
        }
    }
    for level in levels {
        text.push_str(&format!("\n{level}\n"));
        let rows: Vec<&Difference> = comparison
            .differences
            .iter()
            .filter(|difference| difference.level == level && !unchanged.contains(difference.metric))
            .collect();
        text.push_str(&table(&rows, &comparison.baseline));
    }
    if !unchanged.is_empty() {
        let unchanged: Vec<&str> = unchanged.into_iter().collect();
        text.push_str(&format!("\nThe same in every pair: {}\n", unchanged.join(", ")));
    }
    text
}

fn table(rows: &[&Difference], baseline: &str) -> String {
    let interval = |row: &Difference| match (row.ci_low, row.ci_high) {
        (Some(low), Some(high)) => format!("[{}, {}]", signed(low), signed(high)),
        _ => "one pair".to_owned(),
    };
    let header = ["metric", baseline, "here", "difference", "95 % interval", "p", ""].map(str::to_owned);
    let mut cells = vec![header];
    cells.extend(rows.iter().map(|row| {
        [
            row.metric.to_owned(),
            figure(row.baseline_mean),
            figure(row.mean),
            signed(row.difference),
            interval(row),
            row.p_holm.map_or(String::new(), p_value),
            row.verdict.as_str().to_owned(),
        ]
    }));
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let mut line = format!("  {:<1$}", row[0], widths[0]);
        for column in 1..6 {
            line.push_str(&format!("  {:>1$}", row[column], widths[column]));
        }
        line.push_str(&format!("  {}", row[6]));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number with about four digits.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 100.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        tiny if tiny >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", figure(value)) } else { figure(value) }
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { "<0.0001".to_owned() } else { format!("{p:.4}") }
}
