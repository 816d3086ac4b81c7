//! The answer for people: a table by feature for each kind, then what differs.

use std::fmt::Write;

use seatrial_scenarios::recordings::{Count, Fact, Kind, Row, Tally};

use super::Compared;

/// So many kinds of facts are columns; more of them are rows.
const COLUMNS: usize = 8;

/// The tables, and the first difference of each failing recording, or all of them.
pub(super) fn answer(compared: &Compared<'_>, all: bool) -> String {
    let mut out = String::new();
    for (&kind, tally) in &compared.kinds {
        section(kind, tally, &mut out);
    }
    if compared.not_compared > 0 {
        let _ = writeln!(out, "{} recordings hold no answer to compare with", compared.not_compared);
    }
    for failing in compared.failing.iter().filter(|failing| all || failing.comparison.fails()) {
        let (line, differences) = (failing.line, &failing.comparison.differences);
        let shown = if all { differences.len() } else { 1 };
        let place = format!("{}:{}", line.file, line.number);
        let _ = writeln!(out, "{} ({place}): {} differences", line.recording.id(), differences.len());
        for difference in &differences[..shown.min(differences.len())] {
            let _ = writeln!(out, "  {difference}");
        }
    }
    out
}

fn section(kind: Kind, tally: &Tally, out: &mut String) {
    let facts: Vec<Fact> = tally.all.facts.keys().copied().collect();
    if facts.len() > COLUMNS {
        return narrow_section(kind, tally, out);
    }
    let mut head = vec![format!("{kind}s"), "cases".to_owned(), "pods".to_owned()];
    head.extend(facts.iter().map(|fact| fact.name().replace('_', " ")));
    let mut table = vec![head];
    for (name, row) in &tally.features {
        table.push(cells(name, row, &facts));
    }
    table.push(cells("all", &tally.all, &facts));
    table.push(share("equal", &tally.all, &facts));
    write_table(&table, out);
    let missed = tally.plugins.iter().filter(|(_, count)| !count.is_full());
    let missed: Vec<Vec<String>> =
        missed.map(|(name, count)| vec![name.clone(), count.to_string()]).collect();
    if !missed.is_empty() {
        let head = vec!["plugin".to_owned(), "scores and rejections".to_owned()];
        write_table(&[vec![head], missed].concat(), out);
    }
}

/// The table of a kind with many kinds of facts: they are rows of a table of their own.
fn narrow_section(kind: Kind, tally: &Tally, out: &mut String) {
    let sum = |row: &Row| {
        let mut sum = Count::default();
        row.facts.values().for_each(|&count| sum.merge(count));
        sum
    };
    let head = |name: &str| [name, "cases", "facts"].map(str::to_owned).to_vec();
    let mut table = vec![head(&format!("{kind}s"))];
    let named = tally.features.iter().map(|(name, row)| (name.as_str(), row));
    for (name, row) in named.chain([("all", &tally.all)]) {
        table.push(vec![name.to_owned(), row.recordings.to_string(), sum(row).to_string()]);
    }
    table.push(vec!["equal".to_owned(), percent(tally.all.recordings), percent(sum(&tally.all))]);
    write_table(&table, out);
    let facts = tally.all.facts.iter();
    let rows = facts.map(|(fact, &count)| vec![fact.name().to_owned(), count.to_string(), percent(count)]);
    let head = ["kind of fact", "facts", "equal"].map(str::to_owned).to_vec();
    write_table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), out);
}

fn cells(name: &str, row: &Row, facts: &[Fact]) -> Vec<String> {
    let counts = [row.recordings, row.subjects].into_iter().chain(facts.iter().map(|fact| count(row, *fact)));
    std::iter::once(name.to_owned()).chain(counts.map(|count| count.to_string())).collect()
}

fn share(name: &str, row: &Row, facts: &[Fact]) -> Vec<String> {
    let counts = [row.recordings, row.subjects].into_iter().chain(facts.iter().map(|fact| count(row, *fact)));
    std::iter::once(name.to_owned()).chain(counts.map(percent)).collect()
}

fn count(row: &Row, fact: Fact) -> Count {
    row.facts.get(&fact).copied().unwrap_or_default()
}

/// `100 %` only where everything is equal: rounded down.
fn percent(count: Count) -> String {
    if count.is_full() {
        return "100 %".to_owned();
    }
    let hundredths = count.equal * 10_000 / count.total;
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn write_table(rows: &[Vec<String>], out: &mut String) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push('\n');
}
