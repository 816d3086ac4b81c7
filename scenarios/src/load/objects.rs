//! Objects from files, folders and texts, and the names of all that a scenario may speak about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::calendar::{Calendar, Timestamp};
use seatrial_api::config::Namespace;
use seatrial_api::decode::{Decoder, Mode, newest_time};
use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Node, ObjectReader, Position};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{PodSpec, PodTemplate};
use seatrial_api::symbol::Symbol;
use seatrial_api::version::KubernetesVersion;

use super::files::Files;
use crate::file::API_VERSION;

/// Namespaces that every cluster has.
pub(super) const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Endings of files in a folder that hold objects, as `kubectl` has them.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Reads objects, and remembers which files they came from.
pub(super) struct ObjectSource<'a> {
    files: &'a dyn Files,
    decoder: Decoder,
    /// The scenario, which must not name itself.
    scenario: Option<PathBuf>,
    /// Every file that was read, once.
    pub(super) inputs: Vec<PathBuf>,
}

/// Where a path stands: in a field of the scenario, or on the command line.
#[derive(Clone, Copy)]
pub(super) struct Mention<'a> {
    pub(super) file: &'a Arc<str>,
    pub(super) position: Position,
    pub(super) path: &'a str,
}

impl Mention<'_> {
    fn error(&self, findings: &mut Diagnostics, say: impl FnOnce(Diagnostic) -> Diagnostic) {
        let error = Diagnostic::error(self.file, self.position, &FieldPath::ROOT);
        findings.push(say(Diagnostic { path: self.path.to_owned(), ..error }));
    }
}

impl<'a> ObjectSource<'a> {
    /// A source of objects from `files`, with times by `calendar`.
    pub(super) fn new(
        files: &'a dyn Files,
        scenario: Option<&Path>,
        mode: Mode,
        calendar: Calendar,
        version: KubernetesVersion,
    ) -> ObjectSource<'a> {
        let decoder = Decoder::new(mode, calendar, version);
        ObjectSource {
            files,
            decoder,
            scenario: scenario.map(|path| files.identity(path)),
            inputs: Vec::new(),
        }
    }

    /// The source for a server on which the feature gate `HPAScaleToZero` is on.
    pub(super) fn scaling_to_zero(self) -> ObjectSource<'a> {
        ObjectSource { decoder: self.decoder.scaling_to_zero(), ..self }
    }

    /// The objects in a file, or in the files of a folder, in order.
    pub(super) fn path(
        &mut self,
        path: &Path,
        mention: Mention<'_>,
        objects: &mut Vec<Object>,
        findings: &mut Diagnostics,
    ) {
        let files = self.resolve(path, mention, findings);
        let is_scenario = |file: &PathBuf| self.scenario.as_ref() == Some(&self.files.identity(file));
        if files.iter().any(is_scenario) {
            let through = if files == [path] { "" } else { ", for it is in that folder" };
            mention.error(findings, |error| {
                error
                    .message(format!("the scenario names itself as a manifest{through}"))
                    .hint("keep manifests in files and folders of their own")
            });
            return;
        }
        for file in files {
            match self.files.read(&file) {
                Ok(bytes) => {
                    self.text(&file.display().to_string(), &bytes, objects, findings);
                    if !self.inputs.contains(&file) {
                        self.inputs.push(file);
                    }
                }
                Err(problem) => unreadable(&file, &problem, mention, findings),
            }
        }
    }

    /// The files that `path` stands for: itself, or what is in the folder.
    fn resolve(&self, path: &Path, mention: Mention<'_>, findings: &mut Diagnostics) -> Vec<PathBuf> {
        let entries = match self.files.list(path) {
            Ok(None) => return vec![path.to_owned()],
            Ok(Some(entries)) => entries,
            Err(problem) => {
                unreadable(path, &problem, mention, findings);
                return Vec::new();
            }
        };
        let holds_objects = |file: &PathBuf| {
            file.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        };
        let mut files: Vec<PathBuf> = entries.into_iter().filter(holds_objects).collect();
        files.sort();
        if files.is_empty() {
            mention.error(findings, |error| {
                error
                    .message(format!("the folder {} holds no manifests", path.display()))
                    .expected("files that end in .yaml, .yml or .json", "none")
                    .hint("folders inside it are not read: name them one by one")
            });
        }
        files
    }

    /// The objects in a text that messages call `name`.
    pub(super) fn text(
        &mut self,
        name: &str,
        bytes: &[u8],
        objects: &mut Vec<Object>,
        findings: &mut Diagnostics,
    ) {
        let mut reader = ObjectReader::new(name, bytes);
        while let Some(node) = reader.next(findings) {
            let file = reader.file().clone();
            self.object(&node, &file, objects, findings);
        }
    }

    /// The object that `node` describes.
    pub(super) fn object(
        &mut self,
        node: &Node,
        file: &Arc<str>,
        objects: &mut Vec<Object>,
        findings: &mut Diagnostics,
    ) {
        let word = |key| node.get(key).and_then(Node::as_str);
        if word("apiVersion") == Some(API_VERSION) {
            let kind = word("kind").unwrap_or("file");
            let error = Diagnostic::error(file, node.position, &FieldPath::ROOT);
            findings.push(error.message(format!("{API_VERSION} {kind} is no manifest")).hint("leave it out"));
            return;
        }
        objects.extend(self.decoder.decode(node, file, findings));
    }
}

/// The newest time in a dump, with which its clock starts; what is wrong with the text is found when
/// it is read in earnest.
pub(super) fn newest_time_of(name: &str, bytes: &[u8]) -> Option<Timestamp> {
    let (mut reader, mut ignored) = (ObjectReader::new(name, bytes), Diagnostics::new());
    std::iter::from_fn(|| reader.next(&mut ignored)).filter_map(|node| newest_time(&node)).max()
}

/// Says that a file cannot be read.
pub(super) fn unreadable(
    path: &Path,
    problem: &std::io::Error,
    mention: Mention<'_>,
    findings: &mut Diagnostics,
) {
    mention.error(findings, |error| error.message(not_readable(path, problem)));
}

/// Why a file cannot be read.
pub(super) fn not_readable(path: &Path, problem: &std::io::Error) -> String {
    match problem.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file or folder {}", path.display()),
        _ => format!("{} cannot be read: {problem}", path.display()),
    }
}

/// The objects that a scenario may speak about.
#[derive(Default)]
pub(super) struct KnownObjects {
    /// Full names by kind.
    names: BTreeMap<Kind, BTreeSet<String>>,
    /// Names of containers of the workloads, by kind and full name.
    containers: BTreeMap<(Kind, String), Vec<Symbol>>,
}

impl KnownObjects {
    /// Adds an object.
    pub(super) fn add(&mut self, object: &Object) {
        let (kind, name) = (object.kind(), object.meta().full_name());
        if let Some(template) = template(object) {
            let names = template.spec.containers.iter().map(|container| container.name).collect();
            self.containers.insert((kind, name.clone()), names);
        }
        self.names.entry(kind).or_default().insert(name);
    }

    /// Whether there is an object of this kind and full name.
    pub(super) fn has(&self, kind: Kind, name: &str) -> bool {
        self.names.get(&kind).is_some_and(|names| names.contains(name))
    }

    /// The full names of the objects of a kind, in order.
    pub(super) fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.names.get(&kind).into_iter().flatten().map(String::as_str)
    }

    /// The containers of a workload.
    pub(super) fn containers(&self, kind: Kind, name: &str) -> &[Symbol] {
        self.containers.get(&(kind, name.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// The pod template of a workload.
pub(super) fn template(object: &Object) -> Option<&PodTemplate> {
    match object {
        Object::ReplicaSet(set) => Some(&set.template),
        Object::ReplicationController(set) => Some(&set.template),
        Object::CronJob(cron_job) => Some(&cron_job.template.template),
        Object::Deployment(deployment) => Some(&deployment.template),
        Object::StatefulSet(set) => Some(&set.template),
        Object::DaemonSet(set) => Some(&set.template),
        Object::Job(job) => Some(&job.template),
        _ => None,
    }
}

/// The specification of a pod, or of a workload's pods.
pub(super) fn pod_spec(object: &Object) -> Option<&PodSpec> {
    match object {
        Object::Pod(pod) => Some(&pod.spec),
        other => template(other).map(|template| &*template.spec),
    }
}

/// Makes the namespaces that objects live in and nobody defines; says so.
pub(super) fn missing_namespaces<'o>(
    objects: impl Iterator<Item = &'o Object> + Clone,
    file: &Arc<str>,
    findings: &mut Diagnostics,
) -> Vec<Object> {
    let mut there: BTreeSet<CompactString> = SYSTEM_NAMESPACES.into_iter().map(CompactString::from).collect();
    for object in objects.clone().filter(|object| object.kind() == Kind::Namespace) {
        there.insert(object.meta().name.clone());
    }
    let mut made = Vec::new();
    for namespace in objects.map(|object| object.meta().namespace) {
        if !namespace.is_empty() && there.insert(namespace.as_str().into()) {
            let warning = Diagnostic::warning(file, Position::NONE, &FieldPath::ROOT);
            let message = format!("the namespace {namespace} is defined nowhere and is created");
            findings.push(warning.message(message));
            let meta = ObjectMeta::named("", namespace.as_str());
            made.push(Object::Namespace(Arc::new(Namespace { meta, ..Namespace::default() })));
        }
    }
    made
}

/// How many objects there are of each kind that has no logic.
pub(super) fn not_played<'o>(objects: impl Iterator<Item = &'o Object>) -> Vec<(Symbol, u32)> {
    let mut counts: BTreeMap<Symbol, u32> = BTreeMap::new();
    for object in objects {
        match object {
            Object::Untyped(untyped) => *counts.entry(untyped.kind).or_default() += 1,
            // Their rules are there, and no requests yet that they would be about.
            Object::Ingress(_) | Object::IngressClass(_) | Object::NetworkPolicy(_) => {
                *counts.entry(Symbol::new(object.kind().as_str())).or_default() += 1;
            }
            _ => {}
        }
    }
    counts.into_iter().collect()
}
