//! PUT and PATCH: a new version of an object.

use super::create::same_namespace;
use super::decode::{Decoded, decode};
use super::go_value::{go_json, go_print};
use super::machine::{Incoming, Outcome, Rest, body, canonical, complaints, media_type};
use super::patch::{PatchError, PatchType, patch};
use super::prepare;
use super::request::{FieldValidation, HttpRequest, Query, Target};
use super::resource::SubResource;
use super::status::Refusal;
use super::validate;
use super::{defaults, errors::Errors, errors::Path, json};
use crate::document::Node;
use crate::object::Object;
use crate::request::WatchEvent;
use crate::units::SimTime;

const ACCEPTED_PATCHES: &str = "application/json-patch+json, application/merge-patch+json, \
                                application/strategic-merge-patch+json, application/apply-patch+yaml";

/// Which parts of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Status,
    /// The resources of a pod's containers.
    Resize,
    /// `spec.finalizers` of a namespace.
    Finalize,
}

impl Part {
    fn of(target: &Target) -> Part {
        match target.sub_resource {
            Some(SubResource::Status) => Part::Status,
            Some(SubResource::Resize) => Part::Resize,
            Some(SubResource::Finalize) => Part::Finalize,
            _ => Part::Main,
        }
    }
}

impl Rest {
    pub(super) fn put(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
        warnings: &mut Vec<String>,
    ) -> Outcome {
        query.check_write("UpdateOptions")?;
        let resource = target.resource;
        let incoming = self.incoming(request, target, query)?;
        same_namespace(&incoming.object, target)?;
        check_name(&incoming.object, target)?;
        let Some(stored) = self.find(target) else {
            if resource.put_creates() && target.sub_resource.is_none() {
                return self.create_decoded(now, target, incoming, events, warnings);
            }
            return Err(Refusal::not_found(resource, &target.name));
        };
        let Incoming { object, warnings: complaints } = incoming;
        warnings.extend(complaints);
        let old = self.document(resource, &stored);
        let meta = object.get("metadata").cloned().unwrap_or_else(Node::empty);
        let own = old.get("metadata").map_or("", |meta| meta.str("uid"));
        if !meta.str("uid").is_empty() && meta.str("uid") != own {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {own}",
                meta.str("uid")
            );
            return Err(Refusal::conflict(resource, &target.name, &why));
        }
        if meta.str("resourceVersion").is_empty() && resource.put_needs_version() {
            let mut errors = Errors::new();
            errors.invalid(&Path::new("metadata.resourceVersion"), 0_i64, "must be specified for an update");
            return Err(Refusal::invalid(resource.group, resource.kind, &target.name, &errors));
        }
        self.replace(now, target, Part::of(target), object, &stored, &old, events)
    }

    pub(super) fn patch(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
        warnings: &mut Vec<String>,
    ) -> Outcome {
        let how = patch_type(request, query)?;
        query.check_write("PatchOptions")?;
        let resource = target.resource;
        let stored = self.find(target).ok_or_else(|| Refusal::not_found(resource, &target.name))?;
        let old = self.document(resource, &stored);
        let patched = patched(request, how, &old)?;
        let object = self.decode_patched(target, patched, how, query, warnings)?;
        same_namespace(&object, target)?;
        check_name(&object, target)?;
        self.replace(now, target, Part::of(target), object, &stored, &old, events)
    }

    /// Decodes what a patch made of a document.
    fn decode_patched(
        &self,
        target: &Target,
        patched: Patched,
        how: PatchType,
        query: &Query,
        warnings: &mut Vec<String>,
    ) -> Result<Node, Refusal> {
        let resource = target.resource;
        let Patched { document, body, duplicates } = patched;
        let shown = match how {
            PatchType::Strategic => go_print(&body),
            _ => go_json(&document),
        };
        let refused = |why: &str| {
            let mut errors = Errors::new();
            errors.invalid(&Path::new("patch"), &shown, why);
            Refusal::invalid("", "", "", &errors)
        };
        let (kind, version) = (document.str("kind"), document.str("apiVersion"));
        if how != PatchType::Strategic && (kind != resource.kind || version != resource.api_version()) {
            let why = match super::resource::of_kind(version, kind) {
                Some(other) if version != resource.api_version() || kind != resource.kind => {
                    format!("unable to decode {} into {}", other.kind, resource.kind)
                }
                _ => format!(
                    "no kind {kind:?} is registered for version {version:?} in scheme \
                     \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
                ),
            };
            return Err(refused(&why));
        }
        let Some(structure) = resource.structure() else { return Err(Refusal::no_such_resource()) };
        let Decoded { node, unknown, error } = decode(&document, structure);
        if let Some(error) = error {
            return Err(refused(&error));
        }
        let complaints = complaints(duplicates, unknown);
        if !complaints.is_empty() {
            match query.field_validation() {
                FieldValidation::Strict => {
                    return Err(refused(&format!("strict decoding error: {}", complaints.join(", "))));
                }
                FieldValidation::Warn => warnings.extend(complaints),
                FieldValidation::Ignore => {}
            }
        }
        let Some(mut object) = node else { return Err(refused("Object 'Kind' is missing")) };
        object.set("kind", Node::text(resource.kind));
        object.set("apiVersion", Node::text(resource.api_version()));
        prepare::convert(&mut object, resource);
        defaults::apply(&mut object, structure);
        Ok(canonical(object, resource))
    }

    /// Puts `object` in the place of the stored version.
    #[expect(clippy::too_many_arguments, reason = "both versions, as object and as document")]
    pub(super) fn replace(
        &mut self,
        now: SimTime,
        target: &Target,
        part: Part,
        mut object: Node,
        stored: &Object,
        old: &Node,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        let resource = target.resource;
        if part == Part::Main {
            self.admit(target, &mut object, Some(old))?;
        }
        let version = object.get("metadata").map_or("", |meta| meta.str("resourceVersion")).to_owned();
        let current = old.get("metadata").map_or("", |meta| meta.str("resourceVersion")).to_owned();
        if !version.is_empty() && version != current {
            return Err(Refusal::modified(resource, &target.name));
        }
        keep_system_fields(&mut object, old);
        prepare::update(resource, part, &mut object, old, &self.calendar.format(now));
        let object = canonical(object, resource);
        let errors = match part {
            Part::Main => validate::update(resource, &object, old),
            Part::Resize => validate::resize(resource, &object, old),
            Part::Status | Part::Finalize => validate::status_update(resource, &object, old),
        };
        if !errors.is_empty() {
            return Err(Refusal::invalid(resource.group, resource.kind, &target.name, &errors));
        }
        if object.says_the_same_as(old) {
            return Ok((200, old.clone()));
        }
        let sent = self.typed(&object)?;
        let mut next = prepare::carry_over(sent.clone(), stored);
        if part == Part::Main {
            self.server
                .admit_update(now, stored, &mut next, events)
                .map_err(|error| Refusal::of_store(resource, &target.name, error))?;
        }
        let spec_changed = prepare::raises_generation(resource, part, &object, old);
        let committed = self.server.commit(stored, next, spec_changed, events);
        let document = self.keep(resource, object, &sent, &committed);
        self.forget(&committed);
        Ok((200, document))
    }
}

/// How a body is to be applied.
pub(super) fn patch_type(request: &HttpRequest<'_>, query: &Query) -> Result<PatchType, Refusal> {
    let media = media_type(request.content_type);
    let how =
        PatchType::of_content_type(media).ok_or_else(|| Refusal::unsupported_media_type(ACCEPTED_PATCHES))?;
    if query.has("force") {
        let mut errors = Errors::new();
        errors.forbidden(&Path::new("force"), "may not be specified for non-apply patch");
        return Err(Refusal::invalid("meta.k8s.io", "PatchOptions", "", &errors));
    }
    Ok(how)
}

/// What a patch makes of a document.
pub(super) struct Patched {
    pub(super) document: Node,
    /// The patch itself.
    pub(super) body: Node,
    /// Fields that occur twice in the patch.
    duplicates: Vec<(crate::document::Position, String)>,
}

/// Applies the body of a request to a document.
pub(super) fn patched(request: &HttpRequest<'_>, how: PatchType, old: &Node) -> Result<Patched, Refusal> {
    let parsed = json::parse(request.body).map_err(|error| {
        Refusal::bad_request(match how {
            PatchType::Strategic => error.to_string(),
            _ => format!("error decoding patch: {error}"),
        })
    })?;
    let document = patch(old, &parsed.node, how).map_err(|error| match error {
        PatchError::Malformed(message) => Refusal::bad_request(message),
        PatchError::DoesNotApply(_) => Refusal::unprocessable(),
        PatchError::TooLarge(message) => Refusal::new(413, "RequestEntityTooLarge", message),
        PatchError::Unexpected(message) => Refusal::unexplained(message),
    })?;
    Ok(Patched { document, body: parsed.node, duplicates: parsed.duplicates })
}

/// The name in a document must be the one in the path.
fn check_name(object: &Node, target: &Target) -> Result<(), Refusal> {
    let name = object.get("metadata").map_or("", |meta| meta.str("name"));
    if name.is_empty() {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        )));
    }
    if name != target.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    Ok(())
}

/// What the server alone writes into the metadata stays as it was.
fn keep_system_fields(object: &mut Node, old: &Node) {
    let empty = Node::empty();
    let old = old.get("metadata").unwrap_or(&empty);
    let meta = object.mapping_mut("metadata");
    for key in [
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "selfLink",
    ] {
        match old.field(key) {
            Some(value) => meta.set(key, value.clone()),
            None => drop(meta.remove(key)),
        }
    }
    for key in ["uid", "namespace"] {
        if meta.str(key).is_empty()
            && let Some(value) = old.field(key)
        {
            meta.set(key, value.clone());
        }
    }
}

/// The body of a request about a Scale or another document that is no stored object.
pub(super) fn foreign_body(request: &HttpRequest<'_>, kind: &str) -> Result<Node, Refusal> {
    body(request, kind).map(|(node, _)| node)
}
