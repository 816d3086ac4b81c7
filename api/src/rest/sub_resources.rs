//! Parts of objects with a path of their own: scale, binding, eviction.

use super::delete::Wanted;
use super::machine::{Outcome, Rest};
use super::patch::PatchType;
use super::request::{HttpRequest, Method, Query, Target};
use super::status::{Cause, Details, Refusal};
use super::update::{Part, foreign_body, patch_type, patched};
use super::validate;
use super::{errors::Errors, errors::Path};
use crate::document::Node;
use crate::object::Object;
use crate::request::{ErrorReason, Patch, Request, WatchEvent};
use crate::symbol::Symbol;
use crate::units::SimTime;

impl Rest {
    /// The scale of a workload.
    fn scale(&self, target: &Target, document: &Node) -> Node {
        let empty = Node::empty();
        let (meta, spec, status) = (
            document.get("metadata").unwrap_or(&empty),
            document.get("spec").unwrap_or(&empty),
            document.get("status").unwrap_or(&empty),
        );
        let kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
        let metadata = kept.iter().filter_map(|key| Some((*key, meta.field(key)?.clone())));
        let mut out_spec = Node::empty();
        let replicas = spec.number("replicas").unwrap_or(0);
        if replicas != 0 {
            out_spec.set("replicas", Node::int(replicas));
        }
        let mut out_status = Node::object([("replicas", Node::int(status.number("replicas").unwrap_or(0)))]);
        let selector = selector_text(spec);
        if !selector.is_empty() {
            out_status.set("selector", Node::text(selector));
        }
        let _ = target;
        Node::object([
            ("kind", Node::text("Scale")),
            ("apiVersion", Node::text("autoscaling/v1")),
            ("metadata", Node::object(metadata)),
            ("spec", out_spec),
            ("status", out_status),
        ])
    }

    pub(super) fn get_scale(&self, target: &Target) -> Outcome {
        let object = self.find(target).ok_or_else(|| Refusal::not_found(target.resource, &target.name))?;
        let document = self.document(target.resource, &object);
        Ok((200, self.scale(target, &document)))
    }

    pub(super) fn set_scale(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
        warnings: &mut Vec<String>,
    ) -> Outcome {
        let resource = target.resource;
        let how = match request.method {
            Method::Patch => Some(patch_type(request, query)?),
            _ => None,
        };
        query.check_write(if how.is_some() { "PatchOptions" } else { "UpdateOptions" })?;
        let stored = self.find(target).ok_or_else(|| Refusal::not_found(resource, &target.name))?;
        let old = self.document(resource, &stored);
        let scale = self.wanted_scale(request, target, how, &old, warnings)?;
        let errors = validate::scale(&scale);
        if !errors.is_empty() {
            return Err(Refusal::invalid("autoscaling", "Scale", &target.name, &errors));
        }
        let mut object = old.clone();
        let version = scale.get("metadata").map_or("", |meta| meta.str("resourceVersion"));
        if !version.is_empty() {
            object.mapping_mut("metadata").set("resourceVersion", Node::text(version));
        }
        let replicas = scale.get("spec").and_then(|spec| spec.number("replicas")).unwrap_or(0);
        object.mapping_mut("spec").set("replicas", Node::int(replicas));
        let (_, document) = self.replace(now, target, Part::Main, object, &stored, &old, events)?;
        Ok((200, self.scale(target, &document)))
    }

    /// The Scale that a client sent, or that its patch makes of the present one.
    fn wanted_scale(
        &self,
        request: &HttpRequest<'_>,
        target: &Target,
        how: Option<PatchType>,
        old: &Node,
        warnings: &mut Vec<String>,
    ) -> Result<Node, Refusal> {
        let sent = match how {
            Some(how) => patched(request, how, &self.scale(target, old))?.document,
            None => foreign_body(request, "Scale")?,
        };
        let Some(structure) = crate::schema::schema().get("autoscaling/v1.Scale") else {
            return Err(Refusal::no_such_resource());
        };
        let decoded = super::decode::decode(&sent, structure);
        if let Some(error) = decoded.error {
            return Err(Refusal::bad_request(format!(
                "Scale in version \"v1\" cannot be handled as a Scale: {error}"
            )));
        }
        warnings.extend(decoded.unknown.into_iter().map(|(_, path)| format!("unknown field {path:?}")));
        let scale = decoded.node.unwrap_or(sent);
        let name = scale.get("metadata").map_or("", |meta| meta.str("name"));
        if name != target.name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        Ok(scale)
    }

    pub(super) fn bind(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        query.check_write("CreateOptions")?;
        let binding = foreign_body(request, "Binding")?;
        let empty = Node::empty();
        let (meta, to) =
            (binding.field("metadata").unwrap_or(&empty), binding.field("target").unwrap_or(&empty));
        if !meta.str("name").is_empty() && meta.str("name") != target.name {
            return Err(Refusal::bad_request("name in URL does not match name in Binding object"));
        }
        let mut errors = Errors::new();
        if !matches!(to.str("kind"), "" | "Node") {
            errors.unsupported(&Path::new("target.kind"), to.str("kind"), &["Node", "<empty>"]);
        }
        if to.str("name").is_empty() {
            errors.required(&Path::new("target.name"), "");
        }
        if !errors.is_empty() {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let message = if texts.len() == 1 { texts[0].clone() } else { format!("[{}]", texts.join(", ")) };
            return Err(Refusal::unexplained(message));
        }
        let resource = target.resource;
        let stored = self.find(target).ok_or_else(|| Refusal::not_found(resource, &target.name))?;
        let (uid, version) = (stored.meta().uid.to_string(), stored.meta().resource_version.to_string());
        for (wanted, own, what) in
            [(meta.str("uid"), &uid, "UID"), (meta.str("resourceVersion"), &version, "ResourceVersion")]
        {
            if !wanted.is_empty() && wanted != own {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {own}"
                );
                return Err(conflict_on_binding(&target.name, &why));
            }
        }
        let pairs = |key: &str| -> Vec<(Symbol, Option<Symbol>)> {
            let entries = meta.entries(key).iter();
            entries
                .map(|entry| (Symbol::new(&entry.key), Some(Symbol::new(entry.value.as_str().unwrap_or("")))))
                .collect()
        };
        let node = Symbol::new(to.str("name"));
        let bind = Request::Bind { pod: stored.object_ref().id, node };
        self.server.handle(now, bind, events).map_err(|error| match error.reason {
            ErrorReason::Conflict => {
                let prefix = format!("Operation cannot be fulfilled on pods/binding \"{}\": ", target.name);
                let why = error.message.strip_prefix(&prefix).unwrap_or(&error.message).to_owned();
                conflict_on_binding(&target.name, &why)
            }
            _ => Refusal::of_store(resource, &target.name, error),
        })?;
        let (labels, annotations) = (pairs("labels"), pairs("annotations"));
        if !labels.is_empty() || !annotations.is_empty() {
            let patch = Patch::All(vec![Patch::Labels(labels), Patch::Annotations(annotations)]);
            let request = Request::Patch { target: stored.object_ref(), patch };
            self.server
                .handle(now, request, events)
                .map_err(|error| Refusal::of_store(resource, &target.name, error))?;
        }
        Ok((201, success()))
    }

    pub(super) fn evict(
        &mut self,
        now: SimTime,
        request: &HttpRequest<'_>,
        target: &Target,
        query: &Query,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        query.check_write("CreateOptions")?;
        let eviction = foreign_body(request, "Eviction")?;
        let name = eviction.get("metadata").map_or("", |meta| meta.str("name"));
        if name != target.name {
            return Err(Refusal::bad_request(format!(
                "name in URL does not match name in Eviction object: {name}"
            )));
        }
        let options = eviction.field("deleteOptions").cloned().unwrap_or_else(Node::empty);
        let wanted = Wanted::of(&options)?;
        if wanted.dry_run {
            return self.clone().evict_pod(now, target, &wanted, &mut Vec::new());
        }
        self.evict_pod(now, target, &wanted, events)
    }

    fn evict_pod(
        &mut self,
        now: SimTime,
        target: &Target,
        wanted: &Wanted,
        events: &mut Vec<WatchEvent>,
    ) -> Outcome {
        let resource = target.resource;
        let stored = self.find(target).ok_or_else(|| Refusal::not_found(resource, &target.name))?;
        let Object::Pod(pod) = &stored else { return Err(Refusal::no_such_resource()) };
        let evict =
            Request::Evict { pod: pod.meta.id, grace_period_seconds: wanted.options.grace_period_seconds };
        let gone = self.server.handle(now, evict, events).map_err(|error| match error.reason {
            ErrorReason::TooManyRequests => too_many(&error.message),
            _ => Refusal::of_store(resource, &target.name, error),
        })?;
        self.forget(&gone);
        Ok((201, success()))
    }
}

/// 429, with the budget's words as a cause.
fn too_many(message: &str) -> Refusal {
    const MESSAGE: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
    const BUSY_SECONDS: i64 = 10;
    let cause = message.strip_prefix(MESSAGE).unwrap_or(message).trim();
    let details = Details {
        causes: vec![Cause {
            reason: "DisruptionBudget".into(),
            message: cause.into(),
            field: String::new(),
        }],
        retry_after_seconds: if cause.contains("still being processed") { BUSY_SECONDS } else { 0 },
        ..Details::default()
    };
    Refusal { details: Some(Box::new(details)), ..Refusal::new(429, "TooManyRequests", MESSAGE) }
}

fn conflict_on_binding(name: &str, why: &str) -> Refusal {
    let message = format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}");
    let details = Details { name: name.into(), kind: "pods/binding".into(), ..Details::default() };
    Refusal { details: Some(Box::new(details)), ..Refusal::new(409, "Conflict", message) }
}

/// That something was done which leaves no object.
fn success() -> Node {
    Node::object([
        ("kind", Node::text("Status")),
        ("apiVersion", Node::text("v1")),
        ("metadata", Node::empty()),
        ("status", Node::text("Success")),
        ("code", Node::int(201)),
    ])
}

/// The selector of a workload as a text.
fn selector_text(spec: &Node) -> String {
    let Some(selector) = spec.field("selector") else { return String::new() };
    let structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let pairs = if structured {
        selector.entries("matchLabels")
    } else {
        selector.as_mapping().map_or(&[][..], |f| f.entries())
    };
    let mut texts: Vec<String> =
        pairs.iter().map(|entry| format!("{}={}", entry.key, entry.value.as_str().unwrap_or(""))).collect();
    for requirement in selector.elements("matchExpressions") {
        let key = requirement.str("key");
        let mut values: Vec<String> = requirement
            .elements("values")
            .iter()
            .map(|value| value.as_str().unwrap_or("").to_owned())
            .collect();
        values.sort();
        texts.push(match requirement.str("operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    texts.sort();
    texts.join(",")
}
