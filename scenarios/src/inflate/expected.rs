//! Published results.

use seatrial_api::document::Diagnostics;
use seatrial_workloads::csv::Csv;

use super::summary::COLUMNS;
use super::{Cell, Statistics};

/// Reads a table of results. What is wrong with it is in `findings`.
pub fn read_expected(file: &str, bytes: &[u8], findings: &mut Diagnostics) -> Vec<Cell> {
    let Some(csv) = Csv::read(file, bytes, findings) else { return Vec::new() };
    let columns: Vec<_> = COLUMNS.iter().filter_map(|name| csv.column(name, findings)).collect();
    let Ok(columns) = <[_; COLUMNS.len()]>::try_from(columns) else { return Vec::new() };
    let [workload, policy, load, runs, figures @ ..] = columns;
    let mut cells = Vec::new();
    for row in csv.rows() {
        let load = row.number(load, 0..=200, findings);
        let runs = row.number(runs, 1..=i64::from(u32::MAX), findings);
        let figures = figures.map(|column| row.real(column, findings));
        let (Some(load), Some(runs)) = (load, runs) else { continue };
        let [Some(mean), Some(deviation), Some(median), frag_mean, frag_sd, idle_mean, idle_sd] = figures
        else {
            continue;
        };
        let (Some(frag_mean), Some(frag_sd), Some(idle_mean), Some(idle_sd)) =
            (frag_mean, frag_sd, idle_mean, idle_sd)
        else {
            continue;
        };
        // Medians of fragmentation are not published.
        let of = |mean, deviation| Statistics { mean, deviation, median: mean };
        cells.push(Cell {
            workload: row.text(workload).to_owned(),
            policy: row.text(policy).to_owned(),
            load: load as u16,
            runs: runs as u32,
            allocated: Statistics { mean, deviation, median },
            fragmented: of(frag_mean, frag_sd),
            fragmented_of_idle: of(idle_mean, idle_sd),
        });
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::super::write_csv;
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let of = |mean, deviation| Statistics { mean, deviation, median: mean };
        let cell = Cell {
            workload: "default".into(),
            policy: "FGD".into(),
            load: 130,
            runs: 10,
            allocated: of(95.5, 0.25),
            fragmented: of(4.5, 0.125),
            fragmented_of_idle: of(99.0, 0.5),
        };
        let mut findings = Diagnostics::new();
        let text = write_csv(std::slice::from_ref(&cell));
        assert_eq!(read_expected("e.csv", text.as_bytes(), &mut findings), [cell]);
        assert!(findings.is_empty());
        read_expected("e.csv", text.replace("95.5", "many").as_bytes(), &mut findings);
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "mean and median: {told:?}");
        assert!(told[0].starts_with("e.csv:2:20: alloc_pct_mean: expected a number"), "{told:?}");
    }
}
