//! Experiments: a scenario for every combination of factors and every seed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Node, Position, Value};

use crate::file::experiment::ExperimentFile;
use crate::file::read_experiment_file;
use crate::load::change::Change;
use crate::load::{Files, Loaded, Request, load};
use crate::schema::Text;

/// So many runs has an experiment at most.
const RUNS_MAX: usize = 10_000_000;

/// An experiment: what is played, and what is varied.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// What it is to find out, for readers.
    pub description: String,
    /// The scenario.
    pub scenario: PathBuf,
    /// The seeds that every combination is played with.
    pub seeds: Vec<u64>,
    /// What is varied, in the order of the file.
    pub factors: Vec<Factor>,
}

/// A field of the scenario that is varied.
#[derive(Clone, Debug)]
pub struct Factor {
    /// Its path in the scenario, such as `nodes.worker.count`.
    pub path: String,
    /// The values that it takes, in the order of the file.
    pub levels: Vec<Level>,
}

/// A value of a factor.
#[derive(Clone, Debug)]
pub struct Level {
    /// As it is written in results: texts as they are, everything else as JSON.
    pub text: String,
    change: Change,
}

/// A combination of factors: for each, which of its levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell(Vec<usize>);

/// Reads an experiment.
///
/// # Errors
/// All that is wrong with the file.
pub fn read_experiment(files: &dyn Files, path: &Path) -> Result<Experiment, Diagnostics> {
    let mut findings = Diagnostics::new();
    let name = path.display().to_string();
    let file: Arc<str> = name.as_str().into();
    let read = match files.read(path) {
        Ok(bytes) => read_experiment_file(&name, &bytes, &mut findings),
        Err(problem) => {
            let error = Diagnostic::error(&file, Position::NONE, &FieldPath::ROOT);
            findings.push(error.message(format!("the experiment cannot be read: {problem}")));
            None
        }
    };
    findings.sort();
    match read {
        Some(read) if !findings.has_errors() => {
            let folder = path.parent().unwrap_or(Path::new(""));
            let experiment = Experiment::new(&read, &file, folder);
            if experiment.runs() > RUNS_MAX {
                let error = Diagnostic::error(&file, Position::START, &FieldPath::ROOT);
                findings
                    .push(error.expected(format!("at most {RUNS_MAX} runs"), experiment.runs().to_string()));
                return Err(findings);
            }
            Ok(experiment)
        }
        _ => Err(findings),
    }
}

impl Experiment {
    fn new(read: &ExperimentFile, file: &Arc<str>, folder: &Path) -> Experiment {
        let factors = read.factors.0.iter().map(|factor| Factor {
            path: factor.path.to_string(),
            levels: factor
                .levels
                .iter()
                .map(|value| Level {
                    text: cell_text(value),
                    change: Change {
                        file: file.clone(),
                        path: factor.path.clone(),
                        position: factor.position,
                        value: value.clone(),
                    },
                })
                .collect(),
        });
        Experiment {
            name: read.metadata.name.0.to_string(),
            description: read.description.as_ref().map_or(String::new(), |Text(text)| text.trim().to_owned()),
            scenario: folder.join(&*read.scenario.value.0),
            seeds: read.seeds.0.clone(),
            factors: factors.collect(),
        }
    }

    /// How many combinations there are.
    pub fn combinations(&self) -> usize {
        self.factors.iter().map(|factor| factor.levels.len()).fold(1, usize::saturating_mul)
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.combinations().saturating_mul(self.seeds.len())
    }

    /// All combinations in the order of the grid: the last factor changes first.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        (0..self.combinations()).map(|number| {
            let mut rest = number;
            let mut levels: Vec<usize> = self
                .factors
                .iter()
                .rev()
                .map(|factor| {
                    let level = rest % factor.levels.len();
                    rest /= factor.levels.len();
                    level
                })
                .collect();
            levels.reverse();
            Cell(levels)
        })
    }

    /// What the factors are in a combination.
    pub fn levels<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = &'a Level> + 'a {
        self.factors.iter().zip(&cell.0).map(|(factor, &level)| &factor.levels[level])
    }

    /// Reads the scenario for every combination, in the order of the grid. The runs of a combination
    /// differ in their seed alone.
    ///
    /// # Errors
    /// All that is wrong with the scenario as some combination has it.
    pub fn load(&self, files: &dyn Files) -> Result<Vec<Loaded>, Diagnostics> {
        let mut findings = Diagnostics::new();
        let mut cells = Vec::new();
        for cell in self.cells() {
            let request = Request {
                scenario: Some(self.scenario.clone()),
                changes: self.levels(&cell).map(|level| level.change.clone()).collect(),
                ..Request::default()
            };
            match load(files, &request) {
                Ok(loaded) => cells.push(loaded),
                Err(found) => {
                    for finding in found.iter() {
                        if findings.iter().all(|known| known != finding) {
                            findings.push(finding.clone());
                        }
                    }
                }
            }
        }
        findings.sort();
        if findings.has_errors() { Err(findings) } else { Ok(cells) }
    }
}

/// A value as it is written in results.
fn cell_text(node: &Node) -> String {
    match &node.value {
        Value::String(text) => text.to_string(),
        value => value.to_string(),
    }
}
