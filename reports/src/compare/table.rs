//! The rows of a sweep, written and read.

use std::io::{Read, Write};

use crate::metrics::{self, METRICS, RunMetric};
use crate::report::Report;

/// Columns between the factors and the metrics.
const FIXED: [&str; 3] = ["seed", "trace_hash", "passed"];

/// A run of a sweep, as a row of its table.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRow {
    /// What the factors were, in the order of the columns.
    pub factors: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// The hash of the event trace, 16 hexadecimal digits.
    pub trace_hash: String,
    /// Whether every expectation was met.
    pub passed: bool,
    /// The metrics, in the order of the columns.
    pub metrics: Vec<Option<f64>>,
}

impl SweepRow {
    /// The row of a run.
    pub fn new(factors: Vec<String>, report: &Report<'_>) -> SweepRow {
        SweepRow {
            factors,
            seed: report.results.seed,
            trace_hash: format!("{:016x}", report.results.trace_hash),
            passed: report.passed(),
            metrics: metrics::of(report),
        }
    }
}

/// Writes the table of a sweep: factors, seed, trace hash, passed, and a column for each metric.
///
/// # Errors
/// If `out` does not take it.
pub fn write_sweep(factors: &[String], rows: &[SweepRow], out: impl Write) -> csv::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let columns = factors.iter().map(String::as_str).chain(FIXED);
    csv.write_record(columns.chain(METRICS.iter().map(|metric| metric.name)))?;
    for row in rows {
        let fixed = [row.seed.to_string(), row.trace_hash.clone(), row.passed.to_string()];
        let metrics = row.metrics.iter().map(|value| value.map_or(String::new(), |value| value.to_string()));
        csv.write_record(row.factors.iter().cloned().chain(fixed).chain(metrics))?;
    }
    csv.flush()?;
    Ok(())
}

/// The table of a sweep.
#[derive(Clone, Debug)]
pub struct SweepTable {
    /// The names of the factors.
    pub factors: Vec<String>,
    /// The metrics that it has columns for.
    pub(super) metrics: Vec<&'static RunMetric>,
    /// A row for each run.
    pub rows: Vec<SweepRow>,
}

impl SweepTable {
    /// Reads what [`write_sweep`] writes.
    ///
    /// # Errors
    /// What is wrong with it, with its line.
    pub fn read(input: impl Read) -> Result<SweepTable, String> {
        let mut csv = csv::Reader::from_reader(input);
        let header = csv.headers().map_err(|error| error.to_string())?.clone();
        let columns: Vec<&str> = header.iter().collect();
        let fixed = columns.windows(FIXED.len()).position(|window| window == FIXED);
        let fixed = fixed.ok_or_else(|| {
            format!("1: this is no table of a sweep: there are no columns {}", FIXED.join(","))
        })?;
        let metrics = columns[fixed + FIXED.len()..].iter().map(|name| {
            metrics::find(name).ok_or_else(|| {
                let known: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
                format!("1: there is no metric {name}: expected one of {}", known.join(", "))
            })
        });
        let metrics = metrics.collect::<Result<Vec<_>, _>>()?;
        let mut rows = Vec::new();
        for record in csv.records() {
            let record = record.map_err(|error| error.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            rows.push(row(&record, fixed).map_err(|problem| format!("{line}: {problem}"))?);
        }
        let factors = columns[..fixed].iter().map(|&name| name.to_owned()).collect();
        Ok(SweepTable { factors, metrics, rows })
    }
}

fn row(record: &csv::StringRecord, fixed: usize) -> Result<SweepRow, String> {
    let field = |index: usize| &record[index];
    let metric = |text: &str| match text {
        "" => Ok(None),
        text => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(format!("expected a number, found {text:?}")),
        },
    };
    Ok(SweepRow {
        factors: (0..fixed).map(|index| field(index).to_owned()).collect(),
        seed: field(fixed)
            .parse()
            .map_err(|_| format!("seed: expected a whole number, found {:?}", field(fixed)))?,
        trace_hash: field(fixed + 1).to_owned(),
        passed: match field(fixed + 2) {
            "true" => true,
            "false" => false,
            other => return Err(format!("passed: expected true or false, found {other:?}")),
        },
        metrics: (fixed + FIXED.len()..record.len())
            .map(|index| metric(field(index)))
            .collect::<Result<_, _>>()?,
    })
}
