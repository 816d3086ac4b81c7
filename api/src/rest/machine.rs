//! The machine: where a request goes, and how objects and documents are kept together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decode::{Decoded, decode};
use super::encode::{encode, follow};
use super::request::{Body, FieldValidation, HttpAnswer, HttpRequest, Method, Query, Target, target};
use super::resource::{Resource, SubResource};
use super::status::Refusal;
use super::{defaults, json, prepare};
use crate::calendar::Calendar;
use crate::decode::{Decoder, Mode};
use crate::document::{Diagnostics, DuplicateKeys, Node, Position, read_documents};
use crate::object::{Kind, Object, ObjectRef};
use crate::request::WatchEvent;
use crate::store::ApiServer;
use crate::symbol::Symbol;
use crate::units::SimTime;

pub(super) const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
/// The largest body, in bytes.
const BODY_MAX: usize = 3 << 20;

/// The document of an object, as it was when the object was `basis`.
#[derive(Clone, Debug)]
struct Kept {
    document: Node,
    basis: Object,
}

/// The REST side of the API server.
///
/// ```
/// use seatrial_api::calendar::Calendar;
/// use seatrial_api::rest::{Body, HttpRequest, Method, Rest};
/// use seatrial_api::store::ApiServer;
/// use seatrial_api::units::SimTime;
/// use seatrial_api::version::KubernetesVersion;
///
/// let server = ApiServer::new(KubernetesVersion::V1_36, 1);
/// let mut rest = Rest::new(server, Calendar::default());
/// let request = HttpRequest {
///     method: Method::Post,
///     path: "/api/v1/namespaces",
///     query: "",
///     content_type: "application/json",
///     body: br#"{"metadata":{"name":"shop"}}"#,
/// };
/// let answer = rest.handle(SimTime::ZERO, &request, &mut Vec::new());
/// assert_eq!(answer.code, 201);
/// ```
#[derive(Clone, Debug)]
pub struct Rest {
    pub(super) server: ApiServer,
    pub(super) calendar: Calendar,
    kept: BTreeMap<ObjectRef, Kept>,
}

/// What carrying out a request gives: the code and the document.
pub(super) type Outcome = Result<(u16, Node), Refusal>;

/// A document that a client sent, decoded.
pub(super) struct Incoming {
    pub(super) object: Node,
    pub(super) warnings: Vec<String>,
}

impl Rest {
    /// The REST side of `server`, with times by `calendar`.
    pub fn new(server: ApiServer, calendar: Calendar) -> Rest {
        Rest { server, calendar, kept: BTreeMap::new() }
    }

    /// The store behind it.
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// The store behind it, for those who speak to it directly. What they write is laid over the
    /// documents of clients.
    pub fn server_mut(&mut self) -> &mut ApiServer {
        &mut self.server
    }

    /// Carries out a request. Watch events are appended to `events` in the order of their
    /// revisions.
    pub fn handle(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        events: &mut Vec<WatchEvent>,
    ) -> HttpAnswer {
        let target = match target(request.path) {
            Ok(target) => target,
            Err(reason) => return reason.into(),
        };
        let query = Query::parse(request.query);
        let writes = request.method != Method::Get;
        if writes && query.is_dry_run() {
            // Everything but the write: on a copy that is thrown away.
            return self.clone().carry_out(now, request, &target, &query, &mut Vec::new());
        }
        self.carry_out(now, request, &target, &query, events)
    }

    fn carry_out(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
    ) -> HttpAnswer {
        let mut warnings = Vec::new();
        match self.route(now, request, target, query, events, &mut warnings) {
            Ok((code, document)) => HttpAnswer { code, body: Body::Document(document), warnings },
            Err(refusal) => HttpAnswer { warnings, ..HttpAnswer::refused(&refusal) },
        }
    }

    fn route(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
        warnings: &mut Vec<String>,
    ) -> Outcome {
        if request.body.len() > BODY_MAX {
            let message = format!("Request entity too large: limit is {BODY_MAX}");
            return Err(Refusal::new(413, "RequestEntityTooLarge", message));
        }
        let collection = target.name.is_empty();
        if let Some(sub_resource) = target.sub_resource {
            return self.sub_resource(now, request, target, sub_resource, query, events, warnings);
        }
        match (request.method, collection) {
            (Method::Get, true) => self.list(target, query),
            (Method::Get, false) => self.get(target),
            (Method::Post, true) => self.create(now, request, target, query, events, warnings),
            (Method::Put, false) => self.put(now, request, target, query, events, warnings),
            (Method::Patch, false) => self.patch(now, request, target, query, events, warnings),
            (Method::Delete, false) => self.delete(now, request, target, query, events),
            (Method::Delete, true) => self.delete_collection(now, request, target, query, events),
            _ => Err(Refusal::method_not_allowed()),
        }
    }

    /// The object that a path names, if it is there.
    pub(super) fn find(&self, target: &Target) -> Option<Object> {
        self.find_in(target.resource, &target.namespace, &target.name)
    }

    pub(super) fn find_in(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Object> {
        let namespace = Symbol::new(namespace);
        match resource.typed() {
            Kind::Untyped => {
                self.server.find_untyped(&resource.api_version(), resource.kind, namespace, name).cloned()
            }
            kind => self.server.find(kind, namespace, name).cloned(),
        }
    }

    /// All objects of a resource, in no particular order.
    pub(super) fn all(&self, resource: &Resource) -> Vec<Object> {
        let version = resource.api_version();
        let wanted = |object: &&Object| match object {
            Object::Untyped(untyped) => untyped.kind == resource.kind && untyped.api_version == *version,
            _ => true,
        };
        self.server.list(resource.typed()).filter(wanted).cloned().collect()
    }

    /// The document of an object as clients see it now.
    pub fn document(&self, resource: &'static Resource, object: &Object) -> Node {
        let encoded = encode(self, object);
        let (document, before) = match self.kept.get(&object.object_ref()) {
            Some(kept) if kept.basis.meta().resource_version == object.meta().resource_version => {
                return kept.document.clone();
            }
            Some(kept) => (kept.document.clone(), encode(self, &kept.basis)),
            None => (self.unseen(resource, object), Node::empty()),
        };
        let mut document = document;
        follow(&mut document, &before, &encoded);
        canonical(document, resource)
    }

    /// The beginning of a document for an object that no client wrote.
    fn unseen(&self, resource: &'static Resource, object: &Object) -> Node {
        let written = object.meta().extra.as_ref().and_then(|extra| extra.written.clone());
        let content = match object {
            Object::Untyped(untyped) => untyped.content.clone(),
            _ => written,
        };
        let mut document = content.unwrap_or_else(Node::empty);
        document.set("kind", Node::text(resource.kind));
        document.set("apiVersion", Node::text(resource.api_version()));
        if let Some(spec) = self.spec_of_owner(object) {
            document.set_default("spec", || spec);
        }
        let Some(structure) = resource.structure() else { return document };
        let mut document = decode(&document, structure).node.unwrap_or(document);
        defaults::apply(&mut document, structure);
        document
    }

    /// What the controller of an object has as the template of its specification.
    fn spec_of_owner(&self, object: &Object) -> Option<Node> {
        let owner = object.meta().controller()?;
        let resource = super::resource::of_kind(owner.api_version.as_str(), owner.kind.as_str())?;
        let found = self.find_in(resource, object.meta().namespace.as_str(), &owner.name)?;
        let document = self.document(resource, &found);
        let spec = document.get("spec")?;
        match object.kind() {
            Kind::Pod => spec.at(&["template", "spec"]).cloned(),
            Kind::ReplicaSet => {
                let template = spec.get("template")?.clone();
                Some(Node::object([("template", template)]))
            }
            Kind::Job => spec.at(&["jobTemplate", "spec"]).cloned(),
            _ => None,
        }
    }

    /// Keeps the document of an object that was written just now. `sent` is the object as the
    /// document describes it, `stored` what the store made of it.
    pub(super) fn keep(
        &mut self,
        resource: &'static Resource,
        document: Node,
        sent: &Object,
        stored: &Object,
    ) -> Node {
        let mut document = document;
        let (before, after) = (encode(self, sent), encode(self, stored));
        follow(&mut document, &before, &after);
        if stored.kind() == Kind::Pod {
            prepare::classify(&mut document);
        }
        let document = canonical(document, resource);
        let kept = Kept { document: document.clone(), basis: stored.clone() };
        self.kept.insert(stored.object_ref(), kept);
        document
    }

    /// Forgets the document of an object that is gone.
    pub(super) fn forget(&mut self, object: &Object) {
        if self.server.get(object.object_ref()).is_none() {
            self.kept.remove(&object.object_ref());
        }
    }

    /// The object that a document describes.
    pub(super) fn typed(&self, document: &Node) -> Result<Object, Refusal> {
        let mut decoder = Decoder::new(Mode::State, self.calendar, self.server.version());
        let mut findings = Diagnostics::new();
        let file: Arc<str> = "request".into();
        decoder.decode(document, &file, &mut findings).ok_or_else(|| {
            let why = findings.iter().next().map(ToString::to_string).unwrap_or_default();
            Refusal::new(500, "InternalError", format!("Internal error occurred: {why}"))
        })
    }

    /// Decodes the body of a create or update of an object of this resource.
    pub(super) fn incoming(
        &self,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
    ) -> Result<Incoming, Refusal> {
        let resource = target.resource;
        let (node, duplicates) = body(request, resource.kind)?;
        decoded(node, duplicates, resource, resource.kind, query.field_validation())
    }
}

/// A document with its fields in the order of its type.
pub(super) fn canonical(document: Node, resource: &Resource) -> Node {
    match resource.structure() {
        Some(structure) => decode(&document, structure).node.unwrap_or(document),
        None => document,
    }
}

type Duplicates = Vec<(Position, String)>;

/// The document in a body of JSON or YAML; `kind` is what it should be.
pub(super) fn body(request: &HttpRequest<'_>, kind: &str) -> Result<(Node, Duplicates), Refusal> {
    let unreadable = |error: String| {
        let summary = summary(request.body);
        Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse \
             error: {error} ({summary})"
        ))
    };
    match media_type(request.content_type) {
        "" | "application/json" => match json::parse(request.body) {
            Ok(parsed) => Ok((parsed.node, parsed.duplicates)),
            Err(error) => Err(unreadable(error.to_string())),
        },
        "application/yaml" => {
            let mut findings = Diagnostics::new();
            let file: Arc<str> = "request".into();
            let documents = read_documents(&file, request.body, DuplicateKeys::LastWins, &mut findings);
            let fault = || findings.iter().next().map(ToString::to_string).unwrap_or_default();
            documents.into_iter().next().map(|node| (node, Vec::new())).ok_or_else(|| unreadable(fault()))
        }
        _ => Err(Refusal::unsupported_media_type(ACCEPTED)),
    }
}

/// A content type without its parameters.
pub(super) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

/// The beginning of a body, as messages show it.
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let (shown, more) = (&body[..body.len().min(SHOWN)], if body.len() > SHOWN { " ..." } else { "" });
    match body.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => {
            let digits: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{digits}{more}")
        }
    }
}

/// Decodes a document that must be of `resource`, whose messages call it `wanted`, and fills in the
/// defaults.
pub(super) fn decoded(
    mut node: Node,
    duplicates: Duplicates,
    resource: &'static Resource,
    wanted: &str,
    validation: FieldValidation,
) -> Result<Incoming, Refusal> {
    if node.as_mapping().is_some() {
        node.set_default("kind", || Node::text(resource.kind));
        node.set_default("apiVersion", || Node::text(resource.api_version()));
    }
    let (kind, api_version) = (node.str("kind").to_owned(), node.str("apiVersion").to_owned());
    let version = api_version.rsplit('/').next().unwrap_or("").to_owned();
    let cannot = |why: &str| {
        Refusal::bad_request(format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}"))
    };
    if node.as_mapping().is_some() && (kind != resource.kind || api_version != resource.api_version()) {
        return Err(other_kind(resource, &kind, &api_version, &cannot));
    }
    let Some(structure) = resource.structure() else { return Err(Refusal::no_such_resource()) };
    let Decoded { node: object, unknown, error } = decode(&node, structure);
    if let Some(error) = error {
        return Err(cannot(&error));
    }
    let Some(mut object) = object else {
        return Err(Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {wanted}): Object 'Kind' is missing in 'null'"
        )));
    };
    let complaints = complaints(duplicates, unknown);
    if validation == FieldValidation::Strict && !complaints.is_empty() {
        return Err(cannot(&format!("strict decoding error: {}", complaints.join(", "))));
    }
    let warnings = if validation == FieldValidation::Warn { complaints } else { Vec::new() };
    super::prepare::convert(&mut object, resource);
    defaults::apply(&mut object, structure);
    Ok(Incoming { object: canonical(object, resource), warnings })
}

/// That a document is of another kind or version than the path says.
fn other_kind(
    resource: &Resource,
    kind: &str,
    api_version: &str,
    cannot: &dyn Fn(&str) -> Refusal,
) -> Refusal {
    let wanted = resource.api_version();
    match super::resource::of_kind(api_version, kind) {
        None => cannot(&format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme \
             \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
        )),
        Some(_) if api_version != wanted => Refusal::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({wanted})"
        )),
        Some(other) => {
            let (from, to) = (go_type(other), internal_name(resource));
            cannot(&format!("converting ({from}) to ({to}): unknown conversion"))
        }
    }
}

fn go_type(resource: &Resource) -> String {
    format!("{}.{}", resource.version, resource.kind)
}

fn internal_name(resource: &Resource) -> String {
    format!("{}.{}", resource.package(), resource.kind)
}

/// Complaints about fields that occur twice or that the type does not know, in the order of the text.
pub(super) fn complaints(duplicates: Duplicates, unknown: Duplicates) -> Vec<String> {
    let duplicates = duplicates.into_iter().map(|(at, path)| (at, format!("duplicate field {path:?}")));
    let unknown = unknown.into_iter().map(|(at, path)| (at, format!("unknown field {path:?}")));
    let mut all: Vec<(Position, String)> = duplicates.chain(unknown).collect();
    all.sort_by_key(|(position, _)| *position);
    all.into_iter().map(|(_, text)| text).collect()
}

impl Rest {
    /// What a sub-resource does.
    #[expect(clippy::too_many_arguments, reason = "what a request is, once more, for one of its parts")]
    fn sub_resource(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        sub_resource: SubResource,
        query: &Query,
        events: &mut Vec<WatchEvent>,
        warnings: &mut Vec<String>,
    ) -> Outcome {
        match (sub_resource, request.method) {
            (SubResource::Binding, Method::Post) => self.bind(now, request, target, query, events),
            (SubResource::Eviction, Method::Post) => self.evict(now, request, target, query, events),
            (SubResource::Binding | SubResource::Eviction, _) => Err(Refusal::method_not_allowed()),
            (SubResource::Scale, Method::Get) => self.get_scale(target),
            (SubResource::Scale, Method::Put | Method::Patch) => {
                self.set_scale(now, request, target, query, events, warnings)
            }
            (SubResource::Status | SubResource::Resize | SubResource::EphemeralContainers, Method::Get) => {
                self.get(target)
            }
            (_, Method::Put) => self.put(now, request, target, query, events, warnings),
            (SubResource::Finalize, _) => Err(Refusal::method_not_allowed()),
            (_, Method::Patch) => self.patch(now, request, target, query, events, warnings),
            _ => Err(Refusal::method_not_allowed()),
        }
    }
}
