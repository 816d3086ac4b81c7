//! Refusals as clients get them: a Status with code, reason, message and details
//! (`staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go`).

use super::errors::Errors;
use super::resource::Resource;
use crate::document::Node;
use crate::request::{ApiError, ErrorReason};

/// What a refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The name of the object.
    pub name: String,
    /// The API group.
    pub group: String,
    /// The resource, or for invalid objects the kind.
    pub kind: String,
    /// The identity of the object.
    pub uid: String,
    /// What is wrong, one by one.
    pub causes: Vec<Cause>,
    /// After how many seconds trying again makes sense; 0 if at no known time.
    pub retry_after_seconds: i64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// The field.
    pub field: String,
}

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status code.
    pub code: u16,
    /// The reason; empty where upstream gives none.
    pub reason: &'static str,
    /// The message.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
}

impl Refusal {
    /// A refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into(), details: None }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "BadRequest", message)
    }

    /// 404: the server has no such resource.
    pub fn no_such_resource() -> Refusal {
        let details = Some(Box::default());
        let message = "the server could not find the requested resource";
        Refusal { details, ..Refusal::new(404, "NotFound", message) }
    }

    /// 405: the resource cannot be treated so.
    pub fn method_not_allowed() -> Refusal {
        let details = Some(Box::default());
        let message = "the server does not allow this method on the requested resource";
        Refusal { details, ..Refusal::new(405, "MethodNotAllowed", message) }
    }

    /// 422 without causes: the patch does not fit.
    pub fn unprocessable() -> Refusal {
        let details = Some(Box::default());
        let message = "the server rejected our request due to an error in our request";
        Refusal { details, ..Refusal::new(422, "Invalid", message) }
    }

    /// 500: something that upstream does not answer with a reason either.
    pub fn unexplained(message: impl Into<String>) -> Refusal {
        Refusal::new(500, "", message)
    }

    /// 415: the body is in none of the known formats.
    pub fn unsupported_media_type(accepted: &str) -> Refusal {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Refusal::new(415, "UnsupportedMediaType", message)
    }

    fn about(
        code: u16,
        reason: &'static str,
        message: String,
        group: &str,
        kind: &str,
        name: &str,
    ) -> Refusal {
        let details =
            Details { name: name.into(), group: group.into(), kind: kind.into(), ..Details::default() };
        Refusal { code, reason, message, details: Some(Box::new(details)) }
    }

    fn of(code: u16, reason: &'static str, resource: &Resource, name: &str, message: String) -> Refusal {
        Refusal::about(code, reason, message, resource.group, resource.plural, name)
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Refusal {
        let message = format!("{} \"{name}\" not found", resource.qualified_plural());
        Refusal::of(404, "NotFound", resource, name, message)
    }

    /// 404: there is no such namespace.
    pub fn no_namespace(name: &str) -> Refusal {
        Refusal::about(404, "NotFound", format!("namespaces \"{name}\" not found"), "", "namespaces", name)
    }

    /// 403: it is not allowed, and why.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Refusal {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified_plural());
        Refusal::of(403, "Forbidden", resource, name, message)
    }

    /// 409: there is such an object already.
    pub fn already_exists(resource: &Resource, name: &str, deleting: bool) -> Refusal {
        let prefix = if deleting { "object is being deleted: " } else { "" };
        let message = format!("{prefix}{} \"{name}\" already exists", resource.qualified_plural());
        Refusal::of(409, "AlreadyExists", resource, name, message)
    }

    /// 409: the object is not as the client thought.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Refusal {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified_plural());
        Refusal::of(409, "Conflict", resource, name, message)
    }

    /// 409: the object was changed in between.
    pub fn modified(resource: &Resource, name: &str) -> Refusal {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::conflict(resource, name, why)
    }

    /// 422: fields are wrong. `kind` is qualified by its group where it has one.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &Errors) -> Refusal {
        let mut texts: Vec<String> = Vec::new();
        for text in errors.iter().map(ToString::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = match &texts[..] {
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let message = format!("{qualified} \"{name}\" is invalid: {all}");
        let mut refusal = Refusal::about(422, "Invalid", message, group, kind, name);
        let causes = errors.iter().map(|error| Cause {
            reason: error.what.reason().into(),
            message: error.message.clone(),
            field: error.field.clone(),
        });
        if let Some(details) = &mut refusal.details {
            details.causes = causes.collect();
        }
        refusal
    }

    /// 504: the version is newer than all that there is.
    pub fn too_new(wanted: u64, current: u64) -> Refusal {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let mut refusal = Refusal::about(504, "Timeout", message, "", "", "");
        if let Some(details) = &mut refusal.details {
            details.causes = vec![Cause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                field: String::new(),
            }];
            details.retry_after_seconds = 1;
        }
        refusal
    }

    /// 410: the version is older than what is kept.
    pub fn expired(message: impl Into<String>) -> Refusal {
        Refusal::new(410, "Expired", message)
    }

    /// What the store's refusal of a request about `name` looks like to clients.
    pub fn of_store(resource: &Resource, name: &str, error: ApiError) -> Refusal {
        let reason = match error.reason {
            ErrorReason::BadRequest => "BadRequest",
            ErrorReason::Forbidden => "Forbidden",
            ErrorReason::NotFound => "NotFound",
            ErrorReason::AlreadyExists => "AlreadyExists",
            ErrorReason::Conflict => "Conflict",
            ErrorReason::Invalid => "Invalid",
            ErrorReason::TooManyRequests => "TooManyRequests",
            ErrorReason::InternalError => "InternalError",
            ErrorReason::ServerTimeout => "ServerTimeout",
            ErrorReason::Timeout => "Timeout",
        };
        let code = error.reason.code();
        let prefix = format!("{} \"{name}\" is forbidden: ", resource.qualified_plural());
        match error.reason {
            ErrorReason::Forbidden => {
                let why = error.message.strip_prefix(&prefix).unwrap_or(&error.message);
                let mut refusal = Refusal::forbidden(resource, name, why);
                if error.namespace_terminating
                    && let Some(details) = &mut refusal.details
                {
                    details.causes = vec![Cause {
                        reason: "NamespaceTerminating".into(),
                        message: why
                            .split_once("namespace ")
                            .and_then(|(_, rest)| rest.split(' ').next())
                            .map(|namespace| format!("namespace {namespace} is being terminated"))
                            .unwrap_or_default(),
                        field: "metadata.namespace".into(),
                    }];
                }
                refusal
            }
            ErrorReason::NotFound | ErrorReason::AlreadyExists | ErrorReason::Conflict => {
                Refusal::of(code, reason, resource, name, error.message)
            }
            _ => Refusal::new(code, reason, error.message),
        }
    }

    /// The Status document.
    pub fn to_node(&self) -> Node {
        let mut fields = vec![
            ("kind", Node::text("Status")),
            ("apiVersion", Node::text("v1")),
            ("metadata", Node::empty()),
            ("status", Node::text("Failure")),
            ("message", Node::text(&self.message)),
        ];
        if !self.reason.is_empty() {
            fields.push(("reason", Node::text(self.reason)));
        }
        if let Some(details) = &self.details {
            fields.push(("details", details.to_node()));
        }
        fields.push(("code", Node::int(i64::from(self.code))));
        Node::object(fields)
    }
}

impl Details {
    /// The details of a Status.
    pub fn to_node(&self) -> Node {
        let texts = [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)];
        let given = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let mut fields: Vec<_> = given.map(|(key, text)| (key, Node::text(text))).collect();
        if !self.causes.is_empty() {
            fields.push(("causes", Node::list(self.causes.iter().map(Cause::to_node))));
        }
        if self.retry_after_seconds > 0 {
            fields.push(("retryAfterSeconds", Node::int(self.retry_after_seconds)));
        }
        Node::object(fields)
    }
}

impl Cause {
    fn to_node(&self) -> Node {
        let texts = [("reason", &self.reason), ("message", &self.message), ("field", &self.field)];
        Node::object(
            texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key, Node::text(text))),
        )
    }
}
