//! Requests of HTTP, and what their paths and queries say.

use std::num::{IntErrorKind, ParseIntError};

use super::errors::{Errors, Path};
use super::go_value::go_quote;
use super::resource::{self, Resource, SubResource};
use super::status::Refusal;
use crate::document::Node;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are HTTP's own")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// The method of this name.
    pub fn parse(name: &str) -> Option<Method> {
        Some(match name {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            _ => return None,
        })
    }
}

/// A request to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpRequest<'a> {
    /// The method.
    pub method: Method,
    /// The path, without the query, as it stands in the request.
    pub path: &'a str,
    /// The query, without the question mark.
    pub query: &'a str,
    /// The content type of the body; empty if there is none.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What an answer holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// An object, a list, or a Status.
    Document(Node),
    /// Plain text.
    Text(String),
}

/// An answer of the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAnswer {
    /// The status code.
    pub code: u16,
    /// The body.
    pub body: Body,
    /// Texts for headers `Warning: 299 - "…"`.
    pub warnings: Vec<String>,
}

impl HttpAnswer {
    /// A refusal as an answer.
    pub fn refused(refusal: &Refusal) -> HttpAnswer {
        HttpAnswer { code: refusal.code, body: Body::Document(refusal.to_node()), warnings: Vec::new() }
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: &'static Resource,
    /// Empty for kinds of cluster scope, and for lists over all namespaces.
    pub(super) namespace: String,
    /// Empty for the collection.
    pub(super) name: String,
    pub(super) sub_resource: Option<SubResource>,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoTarget {
    /// Nobody serves it: plain text.
    PageNotFound,
    /// The group is served, the resource is not.
    NoSuchResource,
}

/// Undoes the escapes of a path or query; what is no escape stays.
pub(super) fn unescaped(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |index: usize| bytes.get(index).and_then(|b| (*b as char).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            (b'+', _, _) if plus_is_space => {
                out.push(b' ');
                at += 1;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Finds what a path names.
pub(super) fn target(path: &str) -> Result<Target, NoTarget> {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| unescaped(segment, false))
        .collect();
    let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match texts[..] {
        ["api", version, ref rest @ ..] => ("", version, rest),
        ["apis", group, version, ref rest @ ..] => (group, version, rest),
        _ => return Err(NoTarget::PageNotFound),
    };
    if !resource::is_served(group, version) {
        return Err(NoTarget::PageNotFound);
    }
    let find = |plural: &str| resource::resource(group, version, plural);
    let (namespace, rest) = match rest {
        // A namespace itself, or one of its sub-resources.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        rest => ("", rest),
    };
    let [plural, rest @ ..] = rest else { return Err(NoTarget::PageNotFound) };
    let resource = find(plural).ok_or(NoTarget::NoSuchResource)?;
    if !namespace.is_empty() && !resource.namespaced {
        return Err(NoTarget::NoSuchResource);
    }
    let (name, sub_resource) = match rest {
        [] => ("", None),
        [name] => (*name, None),
        [name, sub] => {
            let known = resource.sub_resources.iter().find(|known| known.as_str() == *sub);
            (*name, Some(*known.ok_or(NoTarget::NoSuchResource)?))
        }
        _ => return Err(NoTarget::NoSuchResource),
    };
    if resource.namespaced && namespace.is_empty() && !name.is_empty() {
        return Err(NoTarget::NoSuchResource);
    }
    Ok(Target { resource, namespace: namespace.to_owned(), name: name.to_owned(), sub_resource })
}

impl From<NoTarget> for HttpAnswer {
    fn from(reason: NoTarget) -> HttpAnswer {
        match reason {
            NoTarget::PageNotFound => HttpAnswer {
                code: 404,
                body: Body::Text("404 page not found\n".into()),
                warnings: Vec::new(),
            },
            NoTarget::NoSuchResource => HttpAnswer::refused(&Refusal::no_such_resource()),
        }
    }
}

/// What happens to fields that the type does not know, and to those that occur twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// The parameters of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(key, true), unescaped(value, true))
        });
        Query { pairs: pairs.collect() }
    }

    /// The first value of a parameter; empty if it is not there.
    pub(super) fn get(&self, key: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value)
    }

    pub(super) fn all(&self, key: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(known, _)| known == key).map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known == key)
    }

    /// Whether nothing shall be written; by `dryRun=All`.
    pub(super) fn is_dry_run(&self) -> bool {
        self.get("dryRun") == "All"
    }

    pub(super) fn field_validation(&self) -> FieldValidation {
        match self.get("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => FieldValidation::Warn,
        }
    }

    /// The whole number in a parameter; 0 if it is not there.
    pub(super) fn number(&self, key: &str) -> Result<i64, Refusal> {
        if !self.has(key) {
            return Ok(0);
        }
        let text = self.get(key);
        text.parse().map_err(|error: ParseIntError| {
            let why = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            Refusal::bad_request(format!("strconv.ParseInt: parsing {}: {why}", go_quote(text)))
        })
    }

    /// Judges the parameters that all writes have; `kind` names their options in messages.
    pub(super) fn check_write(&self, kind: &str) -> Result<(), Refusal> {
        const MANAGER_MAX: usize = 128;
        let mut errors = Errors::new();
        let manager = self.get("fieldManager");
        if manager.len() > MANAGER_MAX {
            errors.too_long(&Path::new("fieldManager"), MANAGER_MAX);
        }
        if let Some((at, character)) = manager.char_indices().find(|(_, c)| c.is_control()) {
            let detail = format!("invalid character U+{:04X} (at position {at})", character as u32);
            errors.invalid(&Path::new("fieldManager"), manager, detail);
        }
        let runs = self.all("dryRun");
        if runs.iter().any(|run| *run != "All") {
            let printed = Node::list(runs.iter().map(|run| Node::text(*run)));
            errors.unsupported(&Path::new("dryRun"), printed, &["All"]);
        }
        let validation = self.get("fieldValidation");
        if !matches!(validation, "" | "Ignore" | "Warn" | "Strict") {
            errors.unsupported(&Path::new("fieldValidation"), validation, &["", "Ignore", "Strict", "Warn"]);
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Refusal::invalid("meta.k8s.io", kind, "", &errors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources_objects_and_parts_of_them() {
        let named = |path: &str| {
            target(path).map(|found| {
                let sub = found.sub_resource.map(SubResource::as_str);
                (found.resource.plural, found.namespace, found.name, sub)
            })
        };
        let is = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        let (a, b) = is("ns", "p");
        assert_eq!(named("/api/v1/namespaces/ns/pods/p/status"), Ok(("pods", a, b, Some("status"))));
        let (a, b) = is("", "");
        assert_eq!(named("/api/v1/pods"), Ok(("pods", a, b, None)));
        let (a, b) = is("", "ns");
        assert_eq!(named("/api/v1/namespaces/ns"), Ok(("namespaces", a, b, None)));
        let (a, b) = is("", "ns");
        assert_eq!(named("/api/v1/namespaces/ns/finalize"), Ok(("namespaces", a, b, Some("finalize"))));
        let (a, b) = is("ns", "a b");
        assert_eq!(named("/apis/apps/v1/namespaces/ns/deployments/a%20b"), Ok(("deployments", a, b, None)));
        assert_eq!(named("/api/v1/namespaces/ns/podz"), Err(NoTarget::NoSuchResource));
        assert_eq!(named("/api/v1/namespaces/ns/nodes"), Err(NoTarget::NoSuchResource));
        assert_eq!(named("/apis/nope/v1/x"), Err(NoTarget::PageNotFound));
        assert_eq!(named("/"), Err(NoTarget::PageNotFound));
    }

    #[test]
    fn queries_are_unescaped() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&x=1+2&dryRun=All&bad=%zz");
        assert_eq!(query.get("labelSelector"), "a=b,c");
        assert_eq!(query.get("x"), "1 2");
        assert_eq!(query.get("bad"), "%zz");
        assert!(query.is_dry_run() && !query.has("y"));
        assert_eq!(Query::parse("dryRun=Maybe").check_write("CreateOptions").unwrap_err().code, 422);
    }
}
