//! kubectl: what its commands ask the API server for, and what they print.

mod nodes;
mod rollout;

use std::sync::Arc;

use seatrial_api::autoscaling::{HorizontalPodAutoscaler, HpaStatus, Metric, MetricSource, MetricTarget};
use seatrial_api::document::Node as Document;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::{DeleteOptions, Patch, Propagation, Request};
use seatrial_api::symbol::Symbol;
use serde_json::{Value, json};

use super::{Play, objects};

/// What a command prints and returns.
pub(super) struct Printed {
    code: i32,
    text: String,
}

/// A command that fails.
struct Failure(String);

type Outcome = Result<String, Failure>;

/// The words of a command, and its flags.
struct Command {
    words: Vec<String>,
    flags: Vec<(String, String)>,
}

impl Command {
    fn new(arguments: &Document) -> Command {
        let list = arguments.as_sequence().into_iter().flat_map(|list| list.iter());
        let (mut words, mut flags) = (Vec::new(), Vec::new());
        for argument in list.filter_map(|argument| argument.as_str().map(str::to_owned)) {
            match argument.strip_prefix("--") {
                Some(flag) => {
                    let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                    flags.push((name.to_owned(), value.to_owned()));
                }
                None => words.push(argument),
            }
        }
        Command { words, flags }
    }

    fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|flag| flag.0 == name).map(|flag| flag.1.as_str())
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.flag(name)?.parse().ok()
    }
}

/// Short and plural names of kinds.
const NAMES: [(&str, Kind); 20] = [
    ("po", Kind::Pod),
    ("no", Kind::Node),
    ("ns", Kind::Namespace),
    ("svc", Kind::Service),
    ("sa", Kind::ServiceAccount),
    ("cm", Kind::ConfigMap),
    ("pv", Kind::PersistentVolume),
    ("pvc", Kind::PersistentVolumeClaim),
    ("rs", Kind::ReplicaSet),
    ("deploy", Kind::Deployment),
    ("sts", Kind::StatefulSet),
    ("ds", Kind::DaemonSet),
    ("job", Kind::Job),
    ("pdb", Kind::PodDisruptionBudget),
    ("hpa", Kind::HorizontalPodAutoscaler),
    ("pc", Kind::PriorityClass),
    ("sc", Kind::StorageClass),
    ("secret", Kind::Secret),
    ("pod", Kind::Pod),
    ("node", Kind::Node),
];

/// The kind that a word names: singular, plural or short, with or without its group.
fn kind_named(word: &str) -> Option<Kind> {
    let word = word.to_ascii_lowercase();
    let plain = word.split('.').next().unwrap_or(&word);
    let short = NAMES.iter().find(|name| name.0 == plain).map(|name| name.1);
    short.or_else(|| {
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| *kind != Kind::Untyped && (kind.plural() == plain || singular(*kind) == plain))
    })
}

fn singular(kind: Kind) -> String {
    kind.as_str().to_ascii_lowercase()
}

/// How kubectl calls a kind: with its group.
fn shown_kind(kind: Kind) -> String {
    match kind.group() {
        "" => singular(kind),
        group => format!("{}.{group}", singular(kind)),
    }
}

/// An object that a command is about.
#[derive(Clone)]
struct Subject {
    target: ObjectRef,
    name: String,
}

impl Subject {
    /// `deployment.apps/web`.
    fn shown(&self) -> String {
        format!("{}/{}", shown_kind(self.target.kind), self.name)
    }
}

impl Play<'_> {
    /// Runs a command.
    pub(super) fn kubectl(&mut self, arguments: &Document) -> Value {
        let command = Command::new(arguments);
        let printed = match self.run_kubectl(&command) {
            Ok(text) => Printed { code: 0, text },
            Err(Failure(text)) => Printed { code: 1, text },
        };
        json!({"code": printed.code, "output": printed.text})
    }

    fn run_kubectl(&mut self, command: &Command) -> Outcome {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["rollout", verb, rest @ ..] => self.rollout(verb, rest, command),
            ["scale", rest @ ..] => self.kubectl_scale(rest, command),
            ["set", "image", rest @ ..] => self.kubectl_set_image(rest),
            ["autoscale", rest @ ..] => self.kubectl_autoscale(rest, command),
            ["delete", rest @ ..] => self.kubectl_delete(rest, command),
            ["annotate", rest @ ..] => self.kubectl_mark(rest, "annotations", "annotated"),
            ["label", rest @ ..] => self.kubectl_mark(rest, "labels", "labeled"),
            ["cordon", node] => self.kubectl_cordon(node, true),
            ["uncordon", node] => self.kubectl_cordon(node, false),
            ["drain", node] => self.kubectl_drain(node),
            ["taint", "node" | "nodes", node, taints @ ..] => self.kubectl_taint(node, taints),
            _ => Err(Failure(format!("error: unknown command \"{}\" for \"kubectl\"\n", words.join(" ")))),
        }
    }

    /// The objects that the words of a command name, `kind/name…` or `kind name…`, and what is left.
    fn subjects<'w>(&self, words: &[&'w str]) -> Result<(Vec<Subject>, Vec<&'w str>), Failure> {
        let (mut subjects, mut rest) = (Vec::new(), Vec::new());
        let mut kind = None;
        for (index, word) in words.iter().enumerate() {
            let parts = word.split_once('/').filter(|_| !word.contains('='));
            let (named, name) = match parts {
                Some((named, name)) => (Some(self.kind_or_failure(named)?), name),
                None if index == 0 => {
                    kind = Some(self.kind_or_failure(word)?);
                    continue;
                }
                None => (kind, *word),
            };
            match named {
                Some(named) if !name.contains('=') && !name.ends_with('-') => {
                    subjects.push(self.subject(named, name)?);
                }
                _ => rest.push(*word),
            }
        }
        Ok((subjects, rest))
    }

    fn kind_or_failure(&self, word: &str) -> Result<Kind, Failure> {
        let message = || Failure(format!("error: the server doesn't have a resource type \"{word}\"\n"));
        kind_named(word).ok_or_else(message)
    }

    fn subject(&self, kind: Kind, name: &str) -> Result<Subject, Failure> {
        match self.named(kind, self.scenario.namespace, name) {
            Some(target) => Ok(Subject { target, name: name.to_owned() }),
            None => {
                let resource = kind.qualified_plural();
                Err(Failure(format!("Error from server (NotFound): {resource} \"{name}\" not found\n")))
            }
        }
    }

    /// Patches an object typed; a refusal is printed.
    fn kubectl_patches(&mut self, target: ObjectRef, patch: Patch) -> Result<Object, Failure> {
        self.kubectl_asks(Request::Patch { target, patch })
    }

    fn kubectl_asks(&mut self, request: Request) -> Result<Object, Failure> {
        self.serve(request)
            .map_err(|error| Failure(format!("Error from server ({:?}): {}\n", error.reason, error.message)))
    }

    fn kubectl_scale(&mut self, words: &[&str], command: &Command) -> Outcome {
        let Some(replicas) = command.number("replicas") else {
            return Err(Failure("error: required flag(s) \"replicas\" not set\n".to_owned()));
        };
        let mut out = String::new();
        for subject in self.subjects(words)?.0 {
            self.kubectl_patches(subject.target, Patch::Replicas(replicas as i32))?;
            out.push_str(&format!("{} scaled\n", subject.shown()));
        }
        Ok(out)
    }

    fn kubectl_set_image(&mut self, words: &[&str]) -> Outcome {
        let (subjects, images) = self.subjects(words)?;
        let mut out = String::new();
        for subject in subjects {
            let containers: Vec<Value> = images
                .iter()
                .filter_map(|pair| pair.split_once('='))
                .map(|(container, image)| json!({"name": container, "image": image}))
                .collect();
            let before = self.server.get(subject.target).map(|object| object.meta().resource_version);
            let body = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            self.kubectl_patches_document(subject.target, &body)?;
            let after = self.server.get(subject.target).map(|object| object.meta().resource_version);
            if before != after {
                out.push_str(&format!("{} image updated\n", subject.shown()));
            }
        }
        Ok(out)
    }

    fn kubectl_patches_document(&mut self, target: ObjectRef, body: &Value) -> Result<Object, Failure> {
        self.patch_object(target, &objects::document(body), "")
            .map_err(|error| Failure(format!("Error from server ({:?}): {}\n", error.reason, error.message)))
    }

    fn kubectl_autoscale(&mut self, words: &[&str], command: &Command) -> Outcome {
        let Some(max_replicas) = command.number("max") else {
            return Err(Failure("error: required flag(s) \"max\" not set\n".to_owned()));
        };
        let mut out = String::new();
        for subject in self.subjects(words)?.0 {
            let kind = subject.target.kind;
            let name = command.flag("name").unwrap_or(&subject.name);
            let percent = command.number("cpu-percent").unwrap_or(80) as i32;
            let source = MetricSource::Resource { name: Symbol::new("cpu"), container: None };
            let autoscaler = HorizontalPodAutoscaler {
                meta: ObjectMeta::named(self.scenario.namespace.as_str(), name),
                target_kind: Symbol::new(kind.as_str()),
                target_api_version: Symbol::new(kind.api_version()),
                target_name: subject.name.as_str().into(),
                min_replicas: command.number("min").unwrap_or(1) as i32,
                max_replicas: max_replicas as i32,
                metrics: vec![Metric { source, target: MetricTarget::Utilization(percent) }],
                behavior: None,
                status: HpaStatus::default(),
            };
            let object = Object::HorizontalPodAutoscaler(Arc::new(autoscaler));
            self.kubectl_asks(Request::Create(object))?;
            out.push_str(&format!("horizontalpodautoscaler.autoscaling/{name} autoscaled\n"));
        }
        Ok(out)
    }

    fn kubectl_delete(&mut self, words: &[&str], command: &Command) -> Outcome {
        let propagation = match command.flag("cascade") {
            Some("orphan") => Propagation::Orphan,
            Some("foreground") => Propagation::Foreground,
            _ => Propagation::Background,
        };
        let force = command.flag("force") == Some("true");
        let grace = command.number("grace-period").or(force.then_some(0)).filter(|grace| *grace >= 0);
        let mut out = String::new();
        if force {
            out.push_str(
                "Warning: Immediate deletion does not wait for confirmation that the running resource has been \
                 terminated. The resource may continue to run on the cluster indefinitely.\n",
            );
        }
        for subject in self.subjects(words)?.0 {
            let options = DeleteOptions {
                propagation: Some(propagation),
                grace_period_seconds: grace,
                ..DeleteOptions::default()
            };
            self.kubectl_asks(Request::Delete { target: subject.target, options })?;
            let how = if force { "force deleted" } else { "deleted" };
            out.push_str(&format!("{} \"{}\" {how}\n", shown_kind(subject.target.kind), subject.name));
        }
        Ok(out)
    }

    /// Sets and removes labels or annotations: `key=value` and `key-`.
    fn kubectl_mark(&mut self, words: &[&str], field: &str, done: &str) -> Outcome {
        let (subjects, marks) = self.subjects(words)?;
        let pair = |mark: &&str| match mark.split_once('=') {
            Some((key, value)) => (Symbol::new(key), Some(Symbol::new(value))),
            None => (Symbol::new(mark.trim_end_matches('-')), None),
        };
        let pairs: Vec<(Symbol, Option<Symbol>)> = marks.iter().map(pair).collect();
        let removes_only = !pairs.is_empty() && pairs.iter().all(|pair| pair.1.is_none());
        let mut out = String::new();
        for subject in subjects {
            let patch = if field == "labels" {
                Patch::Labels(pairs.clone())
            } else {
                Patch::Annotations(pairs.clone())
            };
            self.kubectl_patches(subject.target, patch)?;
            let done = if removes_only && field == "labels" { "unlabeled" } else { done };
            out.push_str(&format!("{} {done}\n", subject.shown()));
        }
        Ok(out)
    }
}
