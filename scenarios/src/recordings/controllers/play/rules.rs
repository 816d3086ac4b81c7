//! What the API server's REST rules refuse of what people write, with their words.
//!
//! The play writes typed objects, which know less than the documents that they are made from: what
//! is wrong with a document is asked of those who judge documents.

use seatrial_api::document::Node;
use seatrial_api::object::Object;
use seatrial_api::request::{ApiError, ErrorReason};
use seatrial_api::rest::status::Refusal;
use seatrial_api::rest::{Body, HttpRequest, Method, Rest, defaults, go_value, resource, validate};
use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use serde_json::{Value, json};

use super::objects::Manifests;

/// The answer to the creation of what a manifest describes, if it is refused.
pub(super) fn refused_creation(
    server: &ApiServer,
    manifests: &Manifests,
    namespace: Symbol,
    now: SimTime,
    manifest: &Node,
) -> Option<Value> {
    let text = |key: &str| manifest.get(key).and_then(Node::as_str).unwrap_or("");
    let resource = resource::of_kind(text("apiVersion"), text("kind"))?;
    let named = manifest.at(&["metadata", "namespace"]).and_then(Node::as_str);
    let group = if resource.group.is_empty() { "/api/" } else { "/apis/" };
    let within = match resource.namespaced {
        true => format!("namespaces/{}/", named.unwrap_or(namespace.as_str())),
        false => String::new(),
    };
    let path = format!("{group}{}/{within}{}", resource.api_version(), resource.plural);
    let body = go_value::go_json(manifest);
    let request = HttpRequest {
        method: Method::Post,
        path: &path,
        query: "fieldValidation=Strict&dryRun=All",
        content_type: "application/json",
        body: body.as_bytes(),
    };
    let answer = Rest::new(server.clone(), manifests.calendar()).handle(now, &request, &mut Vec::new());
    let Body::Document(status) = answer.body else { return None };
    let status: Value = serde_json::from_str(&go_value::go_json(&status)).ok()?;
    (answer.code >= 400).then(|| json!({"code": answer.code, "status": status}))
}

/// Checks that one manifest may take the place of another.
///
/// # Errors
/// With upstream's words, if a field is wrong or must not change.
pub(super) fn check_update(stored: &Object, old: &Node, new: &Node) -> Result<(), ApiError> {
    let kind = stored.kind();
    let Some(resource) = resource::of_kind(kind.api_version(), kind.as_str()) else { return Ok(()) };
    let Some(structure) = resource.structure() else { return Ok(()) };
    let whole = |manifest: &Node| {
        let mut whole = manifest.clone();
        let meta = whole.mapping_mut("metadata");
        meta.set("uid", Node::text(stored.meta().uid.to_string()));
        meta.set("resourceVersion", Node::text(stored.meta().resource_version.to_string()));
        if kind.is_namespaced() {
            meta.set("namespace", Node::text(stored.meta().namespace.as_str()));
        }
        defaults::apply(&mut whole, structure);
        whole
    };
    // A manifest may lack what the server fills in: what it lacks was no fault before.
    let (old, new) = (whole(old), whole(new));
    let errors = validate::update(resource, &new, &old).beyond(&validate::update(resource, &old, &old));
    if errors.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::invalid(resource.group, resource.kind, &stored.meta().name, &errors);
    Err(ApiError::new(ErrorReason::Invalid, refusal.message))
}
