//! The results folder: written whole or not at all, and read back.
//!
//! What is in it: `docs/results.md`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use crate::explain::Recorded;
use crate::plots;
use crate::report::Report;
use crate::summary::Summary;
use crate::{page, redact, tables};

/// What a results folder may hold besides the CSV files.
const OTHER_ENTRIES: [&str; 5] = ["summary.json", "report.html", "plots", "inputs", "trace.bin"];

/// An input of the run, kept so that it can be played again.
#[derive(Clone, Copy, Debug)]
pub struct InputFile<'a> {
    /// Its name below `inputs/`, with `/` between folders.
    pub name: &'a str,
    /// Its content. The values of Secrets are replaced when it is written.
    pub content: &'a [u8],
}

/// Why a results folder was not written. Nothing was changed.
#[derive(Debug)]
pub enum WriteError {
    /// The place is taken by a file.
    NotAFolder(PathBuf),
    /// The folder holds something that is not of an earlier run.
    ForeignEntry {
        /// The folder.
        folder: PathBuf,
        /// The name of what was found in it.
        entry: String,
    },
    /// The name of an input leads out of the folder, is empty, or is there twice.
    InputName(String),
    /// A file could not be written.
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::NotAFolder(path) => {
                write!(f, "{}: is a file; results are written into a folder", path.display())
            }
            WriteError::ForeignEntry { folder, entry } => write!(
                f,
                "{}: holds '{entry}', which is not part of a run's results; \
                 give an empty folder, a new one, or one with earlier results",
                folder.display()
            ),
            WriteError::InputName(name) => {
                write!(f, "'{name}' cannot be the name of a kept input: it must be relative and there once")
            }
            WriteError::Io { path, message } => write!(f, "{}: {message}", path.display()),
        }
    }
}

impl std::error::Error for WriteError {}

impl WriteError {
    fn io(path: &Path, error: impl fmt::Display) -> WriteError {
        WriteError::Io { path: path.to_owned(), message: error.to_string() }
    }
}

/// A results folder, or a file in it, that could not be read.
#[derive(Debug)]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for ReadError {}

/// Checks whether results can be written to `folder`: it is not there, is empty, or holds nothing
/// but the results of an earlier run. To be asked before the run, so that no run is lost.
///
/// # Errors
/// If it is a file or holds anything else.
pub fn check(folder: &Path) -> Result<(), WriteError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(WriteError::NotAFolder(folder.to_owned()));
        }
        Err(error) => return Err(WriteError::io(folder, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| WriteError::io(folder, error))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let earlier = names.iter().any(|name| name == "summary.json");
    match names.into_iter().find(|name| !earlier || !is_ours(name)) {
        Some(entry) => Err(WriteError::ForeignEntry { folder: folder.to_owned(), entry }),
        None => Ok(()),
    }
}

fn is_ours(name: &str) -> bool {
    OTHER_ENTRIES.contains(&name) || tables::FILES.iter().any(|file| file.0 == name)
}

/// Writes the results folder of `report` to `folder`, in place of the results of an earlier run.
/// `trace` is the content of `trace.bin`, if the run kept one.
///
/// All files are first written to a folder beside it, which then takes its place; so a reader sees
/// the old results or the new ones, and after an error the old ones.
///
/// # Errors
/// If [`check`] fails, an input has an impossible name, or a file cannot be written.
pub fn write(
    folder: &Path,
    report: &Report<'_>,
    inputs: &[InputFile<'_>],
    trace: Option<&[u8]>,
) -> Result<(), WriteError> {
    check(folder)?;
    check_names(inputs)?;
    let folder = absolute(folder)?;
    let staging = beside(&folder, "partial");
    let written = fill(&staging, report, inputs, trace).and_then(|()| take_place(&staging, &folder));
    if written.is_err() {
        // Best effort: the first error is the one to tell of.
        let _ = fs::remove_dir_all(&staging);
    }
    written
}

fn check_names(inputs: &[InputFile<'_>]) -> Result<(), WriteError> {
    let mut names: Vec<&str> = inputs.iter().map(|input| input.name).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let plain = |name: &str| {
        let mut parts = Path::new(name).components();
        !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    match twice.or_else(|| names.into_iter().find(|name| !plain(name))) {
        Some(name) => Err(WriteError::InputName(name.to_owned())),
        None => Ok(()),
    }
}

/// The folder without links and `..`, its parent made if it is missing.
fn absolute(folder: &Path) -> Result<PathBuf, WriteError> {
    if let Ok(known) = fs::canonicalize(folder) {
        return Ok(known);
    }
    let whole = std::path::absolute(folder).map_err(|error| WriteError::io(folder, error))?;
    if let Some(parent) = whole.parent() {
        fs::create_dir_all(parent).map_err(|error| WriteError::io(parent, error))?;
    }
    Ok(whole)
}

/// A hidden folder beside `folder`, of this process alone.
fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    folder.with_file_name(format!(".{name}.{what}-{}", std::process::id()))
}

fn fill(
    staging: &Path,
    report: &Report<'_>,
    inputs: &[InputFile<'_>],
    trace: Option<&[u8]>,
) -> Result<(), WriteError> {
    let folder = |path: &Path| fs::create_dir_all(path).map_err(|error| WriteError::io(path, error));
    let file = |name: &str, content: &[u8]| {
        let path = staging.join(name);
        fs::write(&path, content).map_err(|error| WriteError::io(&path, error))
    };
    folder(staging)?;
    let summary = Summary::new(report);
    file("summary.json", summary.to_json().as_bytes())?;
    for (name, write_rows) in tables::FILES {
        let path = staging.join(name);
        let mut out = BufWriter::new(File::create(&path).map_err(|error| WriteError::io(&path, error))?);
        write_rows(report.results, &mut out).map_err(|error| WriteError::io(&path, error))?;
        out.flush().map_err(|error| WriteError::io(&path, error))?;
    }
    folder(&staging.join("plots"))?;
    plots::write_all(&staging.join("plots"), report.results)
        .map_err(|error| WriteError::io(&error.path, error.message))?;
    file("report.html", page::render(&summary, report.results).as_bytes())?;
    folder(&staging.join("inputs"))?;
    for input in inputs {
        let path = Path::new("inputs").join(input.name);
        if let Some(parent) = path.parent() {
            folder(&staging.join(parent))?;
        }
        file(&path.to_string_lossy(), &redact::secrets(input))?;
    }
    trace.map_or(Ok(()), |trace| file("trace.bin", trace))
}

/// Puts `staging` where `folder` is, and the earlier results out of the way.
fn take_place(staging: &Path, folder: &Path) -> Result<(), WriteError> {
    let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(|error| WriteError::io(to, error));
    let earlier = beside(folder, "earlier");
    let replaces = folder.exists();
    if replaces {
        check(folder)?;
        rename(folder, &earlier)?;
    }
    if let Err(error) = rename(staging, folder) {
        if replaces {
            rename(&earlier, folder)?;
        }
        return Err(error);
    }
    if replaces {
        fs::remove_dir_all(&earlier).map_err(|error| WriteError::io(&earlier, error))?;
    }
    Ok(())
}

/// Reads back what `seatrial explain` needs: the events and the pods.
///
/// # Errors
/// If `folder` is not a results folder or a file in it cannot be understood.
pub fn read(folder: &Path) -> Result<Recorded, ReadError> {
    if !folder.join("summary.json").is_file() {
        let message = "is not a results folder: it has no summary.json".to_owned();
        return Err(ReadError { path: folder.to_owned(), message });
    }
    Ok(Recorded {
        events: tables::read_events(&folder.join("events.csv"))?,
        pods: tables::read_pods(&folder.join("pods.csv"))?,
    })
}
