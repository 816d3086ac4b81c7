//! From the command line to something that can be played, and back from a results folder.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use seatrial_api::document::{Diagnostics, Severity};
use seatrial_api::duration;
use seatrial_api::version::KubernetesVersion;
use seatrial_scenarios::{Loaded, Request, load as load_request};
use seatrial_scheduler::extender::{ExtenderCalls, ExtenderClient};
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::cli::InputArguments;
use crate::extender::HttpClient;
use crate::files::Disk;

/// The file among a run's inputs that says how they were played.
const REQUEST_FILE: &str = "run.json";
/// How many warnings are printed before they are only counted.
const WARNINGS_SHOWN: usize = 20;

/// Something to play, with the files that it was read from.
pub(crate) struct Input {
    pub(crate) loaded: Loaded,
    /// The inputs of the run by the names under which its results keep them.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// How the inputs of a results folder were played.
#[derive(Serialize, Deserialize)]
struct Kept {
    scenario: Option<PathBuf>,
    manifests: Vec<PathBuf>,
    state: Option<PathBuf>,
    nodes: Option<u32>,
    duration_ns: i64,
    seed: u64,
    kubernetes_version: String,
}

/// Reads what the arguments name and says on stderr what the user should know about it.
pub(crate) fn load(scenario: Option<&Path>, arguments: &InputArguments) -> Result<Input, Refusal> {
    let request = Request {
        scenario: scenario.map(Path::to_owned),
        manifests: arguments.manifests.clone(),
        state: arguments.state.clone(),
        nodes: arguments.nodes,
        duration: arguments.duration.as_deref().map(parse_span).transpose()?,
        seed: arguments.seed,
        version: arguments.kubernetes_version.as_deref().map(parse_version).transpose()?,
        extender_calls: ExtenderCalls(
            arguments.allow_extender_calls.then(|| Arc::new(HttpClient) as Arc<dyn ExtenderClient>),
        ),
        ..Request::default()
    };
    let disk = Disk::default();
    let loaded = load_request(&disk, &request).map_err(|findings| Refusal(render(&findings, true)))?;
    eprint!("{}", render(&loaded.warnings, false));
    let files = keep(&disk, &request, &loaded)?;
    Ok(Input { loaded, files })
}

/// Reads the inputs that a results folder keeps.
pub(crate) fn reload(results: &Path) -> Result<Loaded, Refusal> {
    let folder = results.join("inputs");
    let path = folder.join(REQUEST_FILE);
    let unreadable = |reason: String| Refusal(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let kept: Kept = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let inside = |path: PathBuf| folder.join(path);
    let request = Request {
        scenario: kept.scenario.map(inside),
        manifests: kept.manifests.into_iter().map(inside).collect(),
        state: kept.state.map(inside),
        nodes: kept.nodes,
        duration: Some(seatrial_api::units::Span::from_nanos(kept.duration_ns)),
        seed: Some(kept.seed),
        version: Some(parse_version(&kept.kubernetes_version)?),
        ..Request::default()
    };
    load_request(&Disk::default(), &request).map_err(|findings| Refusal(render(&findings, true)))
}

/// The inputs of a run, laid out as they were to each other, and how they were played.
fn keep(disk: &Disk, request: &Request, loaded: &Loaded) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    let root = common_folder(&loaded.inputs);
    let name = |path: &Path| kept_name(path, &root);
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for path in &loaded.inputs {
        let entry = name(path).to_string_lossy().into_owned();
        if let Some(content) = disk.content(path)
            && files.iter().all(|file| file.0 != entry)
        {
            files.push((entry, content));
        }
    }
    let kept = Kept {
        scenario: request.scenario.as_deref().map(name),
        manifests: request.manifests.iter().map(|path| name(path)).collect(),
        state: request.state.as_deref().map(name),
        nodes: request.nodes,
        duration_ns: loaded.config.duration.nanos(),
        seed: loaded.config.seed,
        kubernetes_version: loaded.config.version.as_str().to_owned(),
    };
    let mut text = serde_json::to_vec_pretty(&kept)?;
    text.push(b'\n');
    files.push((REQUEST_FILE.to_owned(), text));
    Ok(files)
}

/// The innermost folder in which all inputs lie.
fn common_folder(paths: &[PathBuf]) -> PathBuf {
    let mut folders = paths.iter().filter(|path| path.as_os_str() != "-").map(|path| absolute(path));
    let Some(first) = folders.next() else { return PathBuf::new() };
    let first = first.parent().map(Path::to_owned).unwrap_or_default();
    folders.fold(first, |common, path| {
        let shared = common.components().zip(path.components()).take_while(|(a, b)| a == b);
        shared.map(|(component, _)| component).collect()
    })
}

/// The path of an input below the folder of inputs.
fn kept_name(path: &Path, root: &Path) -> PathBuf {
    if path.as_os_str() == "-" {
        return PathBuf::from("stdin.yaml");
    }
    let absolute = absolute(path);
    absolute.strip_prefix(root).map_or_else(|_| PathBuf::from("input.yaml"), Path::to_owned)
}

/// A path from the root, without `.` and `..`.
fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.components().fold(PathBuf::new(), |mut so_far, component| {
        match component {
            Component::ParentDir => {
                so_far.pop();
            }
            Component::CurDir => {}
            other => so_far.push(other),
        }
        so_far
    })
}

fn parse_span(text: &str) -> Result<seatrial_api::units::Span, Refusal> {
    duration::parse(text).map_err(|error| Refusal(format!("--for {text}: {error}")))
}

/// The version that an argument names.
pub(super) fn parse_version(text: &str) -> Result<KubernetesVersion, Refusal> {
    KubernetesVersion::parse(text)
        .ok_or_else(|| Refusal(format!("--kubernetes-version {text}: expected 1.34 or 1.36")))
}

/// All findings as lines; warnings beyond a screenful are counted unless all are wanted.
pub(super) fn render(findings: &Diagnostics, all: bool) -> String {
    let mut text = String::new();
    let mut hidden = 0;
    for (index, finding) in findings.iter().enumerate() {
        if all || index < WARNINGS_SHOWN {
            let word = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            text.push_str(&format!("{word}: {finding}\n"));
        } else {
            hidden += 1;
        }
    }
    if hidden > 0 {
        text.push_str(&format!("… and {hidden} more warnings\n"));
    }
    text
}
