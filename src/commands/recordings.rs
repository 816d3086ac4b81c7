//! Files of recordings, for the commands that play them.

use std::path::{Path, PathBuf};

use seatrial_api::document::Diagnostics;
use seatrial_api::version::KubernetesVersion;
use seatrial_scenarios::recordings::{Line, read_recordings};

use super::input;
use crate::Refusal;

/// Reads all recordings that the paths name: files as they are, folders by their files of JSON
/// lines. All errors are found before anything is played.
pub(super) fn read(paths: &[PathBuf], version: Option<&str>) -> Result<Vec<Line>, Refusal> {
    let version = version.map(input::parse_version).transpose()?.unwrap_or(KubernetesVersion::default());
    let (mut lines, mut findings) = (Vec::new(), Diagnostics::new());
    for path in paths {
        for file in files(path)? {
            let bytes = std::fs::read(&file).map_err(|error| unreadable(&file, &error))?;
            lines.extend(read_recordings(&file.to_string_lossy(), &bytes, version, &mut findings));
        }
    }
    if findings.has_errors() {
        return Err(Refusal(input::render(&findings, true)));
    }
    eprint!("{}", input::render(&findings, false));
    Ok(lines)
}

/// The file itself, or the recordings in a folder and in the folders in it, in the order of names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Refusal> {
    if !std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    collect(path, &mut found)?;
    if found.is_empty() {
        return Err(Refusal(format!(
            "{}: there are no recordings (*.jsonl, *.jsonl.gz) here",
            path.display()
        )));
    }
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Refusal> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            collect(&path, found)?;
        } else if name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") {
            found.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal(format!("{}: {error}", path.display()))
}

/// Writes an answer for every line, to a file or to stdout.
pub(super) fn write_answers(lines: &[Line], out: Option<&Path>) -> Result<(), Refusal> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.recording.answer());
        text.push('\n');
    }
    match out {
        Some(path) => {
            crate::files::write_whole(path, text.as_bytes()).map_err(|error| unreadable(path, &error))
        }
        None => {
            print!("{text}");
            Ok(())
        }
    }
}
