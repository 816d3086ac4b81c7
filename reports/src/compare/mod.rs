//! Comparing runs of a sweep: per metric the paired difference to a baseline, an interval for it,
//! and whether it is real.

mod paired;
mod student;
mod table;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::metrics::{Better, RunMetric};
pub use table::{SweepRow, SweepTable, write_sweep};

/// Below this a difference is called real, after the correction.
const SIGNIFICANCE: f64 = 0.05;

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Really different, in the metric's good direction.
    #[serde(rename = "better")]
    Better,
    /// Really different, in the other direction.
    #[serde(rename = "worse")]
    Worse,
    /// It may well be chance.
    #[serde(rename = "no difference shown")]
    NotShown,
}

impl Verdict {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NotShown => "no difference shown",
        }
    }
}

/// A metric of a level, compared with the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The metric.
    pub metric: &'static str,
    /// Which direction is better.
    pub better: Better,
    /// The level.
    pub level: String,
    /// Over how many pairs.
    pub pairs: usize,
    /// The mean of the baseline's runs that have a partner.
    pub baseline_mean: f64,
    /// The mean of the level's.
    pub mean: f64,
    /// The mean difference, level − baseline.
    pub difference: f64,
    /// The lower end of its 95 % interval; null with a single pair, as what follows.
    pub ci_low: Option<f64>,
    /// The upper end.
    pub ci_high: Option<f64>,
    /// The p-value of the paired t-test, two-sided.
    pub p: Option<f64>,
    /// The same, corrected by Holm for all comparisons of this table.
    pub p_holm: Option<f64>,
    /// What it is.
    pub verdict: Verdict,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The factor whose levels are compared.
    pub by: String,
    /// The level that all others are compared with.
    pub baseline: String,
    /// What pairs have in common: the other factors, and the seed.
    pub paired_by: Vec<String>,
    /// The comparisons, metric by metric.
    pub differences: Vec<Difference>,
}

/// Runs of one level by what pairs have in common.
type Runs<'a> = BTreeMap<(Vec<&'a str>, u64), &'a SweepRow>;

/// Compares the levels of the factor `by` with `baseline`, or with the first one in the table.
///
/// # Errors
/// If there is no such factor or level, nothing to compare with, or two rows for one run.
pub fn compare(table: &SweepTable, by: &str, baseline: Option<&str>) -> Result<Comparison, String> {
    let column =
        table.factors.iter().position(|factor| factor == by).ok_or_else(|| {
            format!("there is no factor {by}: expected one of {}", table.factors.join(", "))
        })?;
    let mut levels: Vec<&str> = Vec::new();
    for row in &table.rows {
        if !levels.contains(&row.factors[column].as_str()) {
            levels.push(&row.factors[column]);
        }
    }
    let baseline = match baseline {
        Some(wanted) => *levels.iter().find(|level| **level == wanted).ok_or_else(|| {
            format!("there is no {by} {wanted} in the table: expected one of {}", levels.join(", "))
        })?,
        None => *levels.first().ok_or("there are no runs in the table")?,
    };
    levels.retain(|level| *level != baseline);
    if levels.is_empty() {
        return Err(format!("all runs have the {by} {baseline}, so there is nothing to compare it with"));
    }
    let base = runs(table, column, baseline)?;
    let others = levels.iter().map(|level| Ok((*level, runs(table, column, level)?)));
    let others = others.collect::<Result<Vec<_>, String>>()?;
    let mut differences = Vec::new();
    for (index, metric) in table.metrics.iter().enumerate() {
        for (level, runs) in &others {
            differences.extend(difference(metric, index, level, &base, runs));
        }
    }
    correct(&mut differences);
    let others = table.factors.iter().filter(|factor| *factor != by).cloned();
    Ok(Comparison {
        by: by.to_owned(),
        baseline: baseline.to_owned(),
        paired_by: others.chain(["seed".to_owned()]).collect(),
        differences,
    })
}

fn runs<'a>(table: &'a SweepTable, column: usize, level: &str) -> Result<Runs<'a>, String> {
    let mut runs = Runs::new();
    for row in table.rows.iter().filter(|row| row.factors[column] == level) {
        let others = row.factors.iter().enumerate().filter(|(index, _)| *index != column);
        let key = (others.map(|(_, value)| value.as_str()).collect(), row.seed);
        if runs.insert(key, row).is_some() {
            return Err(format!("two rows have the same factors and the seed {}", row.seed));
        }
    }
    Ok(runs)
}

/// One metric of one level; `None` where no pair has it.
fn difference(
    metric: &RunMetric,
    index: usize,
    level: &str,
    base: &Runs<'_>,
    other: &Runs<'_>,
) -> Option<Difference> {
    let pair = |(key, base): (&(Vec<&str>, u64), &&SweepRow)| {
        Some((base.metrics[index]?, other.get(key)?.metrics[index]?))
    };
    let pairs: Vec<(f64, f64)> = base.iter().filter_map(pair).collect();
    if pairs.is_empty() {
        return None;
    }
    let differences: Vec<f64> = pairs.iter().map(|(base, other)| other - base).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / pairs.len() as f64;
    let tested = paired::paired(&differences);
    Some(Difference {
        metric: metric.name,
        better: metric.better,
        level: level.to_owned(),
        pairs: pairs.len(),
        baseline_mean: mean(&mut pairs.iter().map(|pair| pair.0)),
        mean: mean(&mut pairs.iter().map(|pair| pair.1)),
        difference: tested.map_or_else(|| mean(&mut differences.iter().copied()), |tested| tested.mean),
        ci_low: tested.map(|tested| tested.interval.0),
        ci_high: tested.map(|tested| tested.interval.1),
        p: tested.map(|tested| tested.p),
        p_holm: None,
        verdict: Verdict::NotShown,
    })
}

/// Corrects the p-values for each other, and says what the differences are.
fn correct(differences: &mut [Difference]) {
    let tested: Vec<f64> = differences.iter().filter_map(|difference| difference.p).collect();
    let corrected = paired::holm(&tested);
    let with_p = differences.iter_mut().filter(|difference| difference.p.is_some());
    for (difference, p) in with_p.zip(corrected) {
        difference.p_holm = Some(p);
        let is_good = match difference.better {
            Better::Higher => difference.difference > 0.0,
            Better::Lower => difference.difference < 0.0,
        };
        difference.verdict = match (p < SIGNIFICANCE, is_good) {
            (false, _) => Verdict::NotShown,
            (true, true) => Verdict::Better,
            (true, false) => Verdict::Worse,
        };
    }
}

impl Comparison {
    /// The comparison as JSON, ending in a newline.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("invariant: a comparison has string keys only");
        text.push('\n');
        text
    }

    /// The comparison for people.
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// Metrics in which no run of any level differs from its partner.
    fn unchanged(&self) -> BTreeSet<&'static str> {
        let is_zero = |difference: &&Difference| {
            (difference.ci_low, difference.ci_high) == (Some(0.0), Some(0.0)) && difference.difference == 0.0
        };
        let differing = self.differences.iter().filter(|difference| !is_zero(difference));
        let differing: BTreeSet<&str> = differing.map(|difference| difference.metric).collect();
        let all = self.differences.iter().map(|difference| difference.metric);
        all.filter(|metric| !differing.contains(metric)).collect()
    }
}
