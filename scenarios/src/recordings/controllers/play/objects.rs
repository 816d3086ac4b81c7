//! Objects and the manifests that they were made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, DuplicateKeys, Node, read_documents};
use seatrial_api::labels::Labels;
use seatrial_api::node::{NodeConditionType, NodeConditions};
use seatrial_api::object::{Object, ObjectRef};
use seatrial_api::pod::{ConditionStatus, PodTemplate};
use seatrial_api::request::{ApiError, ErrorReason, Patch};
use seatrial_api::rest::patch::{PatchError, PatchType, patch};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_api::version::KubernetesVersion;
use serde_json::Value;

/// What messages about a manifest call its file.
const FILE: &str = "manifest";

/// The manifests of objects that people have made, and what reads them.
pub(super) struct Manifests {
    file: Arc<str>,
    calendar: Calendar,
    decoder: Decoder,
    state_decoder: Decoder,
    /// The manifests by which an object was written, the newest last.
    written: BTreeMap<ObjectRef, Vec<Node>>,
}

impl Manifests {
    pub(super) fn new(calendar: Calendar, version: KubernetesVersion) -> Manifests {
        Manifests {
            file: FILE.into(),
            calendar,
            decoder: Decoder::new(Mode::Manifest, calendar, version),
            state_decoder: Decoder::new(Mode::State, calendar, version),
            written: BTreeMap::new(),
        }
    }

    /// The calendar.
    pub(super) fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// The date of an instant.
    pub(super) fn date(&self, now: SimTime) -> String {
        self.calendar.format(now)
    }

    /// The object that a manifest describes, in `namespace` if it names none.
    pub(super) fn decode(&mut self, manifest: &Node, namespace: Symbol) -> Result<Object, ApiError> {
        let mut findings = Diagnostics::new();
        let object = self.decoder.decode(manifest, &self.file, &mut findings);
        let mut object = object.ok_or_else(|| refusal(manifest, &findings))?;
        let named = manifest.at(&["metadata", "namespace"]).and_then(Node::as_str);
        if object.kind().is_namespaced() {
            object.meta_mut().namespace = named.map_or(namespace, Symbol::new);
        }
        Ok(object)
    }

    /// The object with the status that its manifest has.
    pub(super) fn decode_state(&mut self, manifest: &Node) -> Result<Object, ApiError> {
        let mut findings = Diagnostics::new();
        let object = self.state_decoder.decode(manifest, &self.file, &mut findings);
        object.ok_or_else(|| refusal(manifest, &findings))
    }

    /// Remembers by which manifest an object was written.
    pub(super) fn keep(&mut self, object: ObjectRef, manifest: Node) {
        self.written.entry(object).or_default().push(manifest);
    }

    /// The manifest of an object as it is now: the newest one with its template, with what others
    /// than people change. `None` if no person has made the object.
    pub(super) fn of(&mut self, object: &Object) -> Option<Node> {
        let written = self.written.get(&object.object_ref())?.clone();
        let namespace = object.meta().namespace;
        let fits = |manifest: &&Node| {
            let decoded = self.decode(manifest, namespace).ok();
            decoded.is_some_and(|decoded| template(&decoded) == template(object))
        };
        let mut manifest = written.iter().rev().find(fits).or(written.last())?.clone();
        let meta = object.meta();
        let metadata = manifest.mapping_mut("metadata");
        metadata.set("labels", pairs(&meta.labels));
        metadata.set("annotations", pairs(&meta.annotations));
        let finalizers = meta.finalizers().iter().map(|finalizer| Node::text(finalizer.as_str()));
        metadata.set("finalizers", Node::list(finalizers));
        let spec = manifest.mapping_mut("spec");
        match object {
            Object::Deployment(object) => {
                spec.set("replicas", Node::int(object.replicas));
                spec.set("paused", Node::bool(object.paused));
            }
            Object::ReplicaSet(object) => spec.set("replicas", Node::int(object.replicas)),
            Object::ReplicationController(object) => spec.set("replicas", Node::int(object.replicas)),
            Object::StatefulSet(object) => spec.set("replicas", Node::int(object.replicas)),
            _ => {}
        }
        Some(manifest)
    }
}

fn pairs(labels: &Labels) -> Node {
    Node::object(labels.iter().map(|(key, value)| (key.as_str(), Node::text(value.as_str()))))
}

/// The template of a workload's pods.
fn template(object: &Object) -> Option<&PodTemplate> {
    Some(match object {
        Object::Deployment(object) => &object.template,
        Object::ReplicaSet(object) => &object.template,
        Object::ReplicationController(object) => &object.template,
        Object::StatefulSet(object) => &object.template,
        Object::DaemonSet(object) => &object.template,
        _ => return None,
    })
}

/// The document that says what a value says.
pub(super) fn document(value: &Value) -> Node {
    let (file, mut findings) = (Arc::from(FILE), Diagnostics::new());
    let text = value.to_string();
    let documents = read_documents(&file, text.as_bytes(), DuplicateKeys::LastWins, &mut findings);
    documents.into_iter().next().unwrap_or_else(Node::empty)
}

fn refusal(manifest: &Node, findings: &Diagnostics) -> ApiError {
    let name = manifest.get("metadata").map_or("", |metadata| metadata.str("name"));
    let why: Vec<String> = findings.errors().map(ToString::to_string).collect();
    let message = format!("{} \"{name}\" is invalid: {}", manifest.str("kind"), why.join(", "));
    ApiError::new(ErrorReason::Invalid, message)
}

/// The manifest that a patch makes of one. Its type is as actions name it: strategic if it is not
/// said.
pub(super) fn patched(manifest: &Node, body: &Node, how: &str) -> Result<Node, ApiError> {
    let how = match how {
        "json" => PatchType::Json,
        "merge" => PatchType::Merge,
        _ => PatchType::Strategic,
    };
    patch(manifest, body, how).map_err(|error| {
        let reason = match &error {
            PatchError::DoesNotApply(_) => ErrorReason::Invalid,
            PatchError::Unexpected(_) => ErrorReason::InternalError,
            PatchError::Malformed(_) | PatchError::TooLarge(_) => ErrorReason::BadRequest,
        };
        ApiError::new(reason, error.to_string())
    })
}

/// The change of metadata that a merge patch asks for.
pub(super) fn metadata_patch(stored: &Object, metadata: &Node) -> Patch {
    let pairs = |key: &str| -> Vec<(Symbol, Option<Symbol>)> {
        let entries = metadata.entries(key).iter();
        entries.map(|entry| (Symbol::new(&entry.key), entry.value.as_str().map(Symbol::new))).collect()
    };
    let mut patches = vec![Patch::Labels(pairs("labels")), Patch::Annotations(pairs("annotations"))];
    if metadata.get("finalizers").is_some() {
        let wanted = metadata.elements("finalizers");
        let wanted: Vec<Symbol> = wanted.iter().filter_map(Node::as_str).map(Symbol::new).collect();
        let old = stored.meta().finalizers();
        let removed = old.iter().copied().filter(|finalizer| !wanted.contains(finalizer)).collect();
        patches.push(Patch::RemoveFinalizers(removed));
        patches.push(Patch::AddFinalizers(wanted));
    }
    if metadata.get("ownerReferences").is_some_and(Node::is_null) {
        patches.push(Patch::Owners(Vec::new()));
    }
    Patch::All(patches)
}

/// The change of a workload that a controller has made: of its metadata, its size and its images.
/// `None` if the patch asks for anything else.
pub(super) fn workload_patch(stored: &Object, body: &Node) -> Option<Patch> {
    let mut patches = Vec::new();
    for entry in body.as_mapping()?.entries() {
        match entry.key.as_str() {
            "metadata" => patches.push(metadata_patch(stored, &entry.value)),
            "spec" => spec_patches(&entry.value, &mut patches)?,
            _ => return None,
        }
    }
    Some(Patch::All(patches))
}

fn spec_patches(spec: &Node, patches: &mut Vec<Patch>) -> Option<()> {
    for entry in spec.as_mapping()?.entries() {
        match entry.key.as_str() {
            "replicas" => patches.push(Patch::Replicas(i32::try_from(entry.value.as_int()?).ok()?)),
            "template" => {
                let spec = only(&entry.value, &["spec"])?.get("spec")?;
                for container in only(spec, &["containers"])?.elements("containers") {
                    let container = only(&container, &["name", "image"])?;
                    let (name, image) = (container.str("name"), container.str("image"));
                    patches.push(Patch::Image { container: Symbol::new(name), image: Symbol::new(image) });
                }
            }
            _ => return None,
        }
    }
    Some(())
}

/// The mapping, if it has no other fields than these.
fn only<'n>(node: &'n Node, fields: &[&str]) -> Option<&'n Node> {
    let entries = node.as_mapping()?.entries();
    entries.iter().all(|entry| fields.contains(&entry.key.as_str())).then_some(node)
}

/// Lays a list of conditions over those of a node, each by its type.
pub(super) fn lay_conditions(conditions: &mut NodeConditions, given: &[Node], now: SimTime) {
    for one in given {
        let kind = NodeConditionType::ALL.into_iter().find(|kind| one.str("type") == kind.as_str());
        let Some(kind) = kind else { continue };
        let old = conditions.get(kind);
        let text = |field: &str, old: Symbol| one.get(field).and_then(Node::as_str).map_or(old, Symbol::new);
        let status = match one.str("status") {
            "" => old.status,
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        };
        conditions.set(kind, status, text("reason", old.reason), text("message", old.message), now);
    }
}
