//! What is wrong with the fields of a document, in upstream's words
//! (`staging/src/k8s.io/apimachinery/pkg/util/validation/field/errors.go`).

use std::fmt;

use super::go_value::{go_json, go_quote};
use crate::document::{Node, Position, Value};

/// The way to a field, as messages spell it: `spec.containers[0].resources.limits[cpu]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The field `name` of the object itself, or several, one inside the other, joined by dots.
    pub fn new(name: &str) -> Path {
        Path(name.to_owned())
    }

    /// The field `name` below this one.
    pub fn child(&self, name: &str) -> Path {
        match self.0.is_empty() {
            true => Path::new(name),
            false => Path(format!("{}.{name}", self.0)),
        }
    }

    /// An element of this list.
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }

    /// The value of a key of this mapping.
    pub fn key(&self, key: &str) -> Path {
        Path(format!("{}[{key}]", self.0))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum ErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
}

impl ErrorType {
    /// The reason of the cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::Internal => "InternalError",
        }
    }

    fn title(self) -> &'static str {
        match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooMany => "Too many",
            ErrorType::Internal => "Internal error",
        }
    }
}

/// A value as a message shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad(String);

impl Bad {
    /// Nothing is shown.
    pub const OMITTED: Bad = Bad(String::new());
}

impl From<&str> for Bad {
    fn from(text: &str) -> Bad {
        Bad(go_quote(text))
    }
}

impl From<&String> for Bad {
    fn from(text: &String) -> Bad {
        Bad(go_quote(text))
    }
}

impl From<i64> for Bad {
    fn from(number: i64) -> Bad {
        Bad(number.to_string())
    }
}

impl From<usize> for Bad {
    fn from(number: usize) -> Bad {
        Bad(number.to_string())
    }
}

impl From<bool> for Bad {
    fn from(value: bool) -> Bad {
        Bad(value.to_string())
    }
}

impl From<&Node> for Bad {
    /// A text is quoted, all else is JSON.
    fn from(node: &Node) -> Bad {
        Bad(match &node.value {
            Value::String(text) => go_quote(text),
            _ => go_json(node),
        })
    }
}

impl From<Node> for Bad {
    fn from(node: Node) -> Bad {
        Bad::from(&node)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// What kind of thing.
    pub what: ErrorType,
    /// The field.
    pub field: String,
    /// What the message says after the field.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl FieldError {
    /// Where in the document the field stands, or the nearest field around it that is there.
    pub fn position(&self, document: &Node) -> Position {
        let (mut node, mut position) = (document.clone(), document.position);
        for step in steps(&self.field) {
            let next = match &node.value {
                Value::Mapping(fields) => fields.get(step).cloned(),
                Value::Sequence(elements) => step
                    .parse()
                    .ok()
                    .and_then(|index| elements.get(index).map(|element| element.into_owned())),
                _ => None,
            };
            let Some(next) = next else { break };
            position = next.position;
            node = next;
        }
        position
    }
}

/// The steps of a path: names between dots, and what stands in brackets.
fn steps(path: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = inside.find(']').unwrap_or(inside.len());
            out.push(&inside[..end]);
            rest = inside.get(end + 1..).unwrap_or("");
        } else {
            let plain = rest.strip_prefix('.').unwrap_or(rest);
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            if end > 0 {
                out.push(&plain[..end]);
            }
            rest = if end == 0 && plain.len() == rest.len() { "" } else { &plain[end..] };
        }
    }
    out
}

/// All that is wrong with a document, in the order in which it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    list: Vec<FieldError>,
}

impl Errors {
    /// None.
    pub fn new() -> Errors {
        Errors::default()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many things are wrong.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &FieldError> {
        self.list.iter()
    }

    /// Adds what others found.
    pub fn extend(&mut self, others: Errors) {
        self.list.extend(others.list);
    }

    /// What is wrong here and was not there.
    #[must_use]
    pub fn beyond(mut self, before: &Errors) -> Errors {
        self.list.retain(|error| !before.list.contains(error));
        self
    }

    fn push(&mut self, what: ErrorType, path: &Path, value: Option<Bad>, detail: &str) {
        let mut message = what.title().to_owned();
        let parts = [value.map(|value| value.0).unwrap_or_default(), detail.to_owned()];
        for part in parts.iter().filter(|part| !part.is_empty()) {
            message.push_str(": ");
            message.push_str(part);
        }
        // Upstream prints the root of the document, where it names it, as an empty list.
        let field = if path.0.is_empty() { "[]".to_owned() } else { path.0.clone() };
        self.list.push(FieldError { what, field, message });
    }

    /// The field is not there.
    pub fn required(&mut self, path: &Path, detail: &str) {
        self.push(ErrorType::Required, path, None, detail);
    }

    /// The value is malformed.
    pub fn invalid(&mut self, path: &Path, value: impl Into<Bad>, detail: impl AsRef<str>) {
        self.push(ErrorType::Invalid, path, Some(value.into()), detail.as_ref());
    }

    /// The text is malformed in each of these ways.
    pub fn invalid_in(&mut self, path: &Path, value: &str, details: impl IntoIterator<Item = String>) {
        for detail in details {
            self.invalid(path, value, detail);
        }
    }

    /// The value is none of those that there are.
    pub fn unsupported(&mut self, path: &Path, value: impl Into<Bad>, supported: &[&str]) {
        let quoted: Vec<String> = supported.iter().map(|value| go_quote(value)).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        self.push(ErrorType::NotSupported, path, Some(value.into()), &detail);
    }

    /// The value is there twice.
    pub fn duplicate(&mut self, path: &Path, value: impl Into<Bad>) {
        self.duplicate_because(path, value, "");
    }

    /// The value is there twice, which is not allowed for a reason.
    pub fn duplicate_because(&mut self, path: &Path, value: impl Into<Bad>, detail: &str) {
        self.push(ErrorType::Duplicate, path, Some(value.into()), detail);
    }

    /// The value is well-formed, but must not be there.
    pub fn forbidden(&mut self, path: &Path, detail: &str) {
        self.push(ErrorType::Forbidden, path, None, detail);
    }

    /// What the value names is not there.
    pub fn not_found(&mut self, path: &Path, value: impl Into<Bad>) {
        self.not_found_because(path, value, "");
    }

    /// What the value names is not there, and what would be.
    pub fn not_found_because(&mut self, path: &Path, value: impl Into<Bad>, detail: &str) {
        self.push(ErrorType::NotFound, path, Some(value.into()), detail);
    }

    /// The value has more than `max` bytes.
    pub fn too_long(&mut self, path: &Path, max: usize) {
        self.push(ErrorType::TooLong, path, None, &format!("may not be more than {max} bytes"));
    }

    /// The list has more than `max` elements.
    pub fn too_many(&mut self, path: &Path, found: usize, max: usize) {
        let unit = if max == 1 { "item" } else { "items" };
        self.push(ErrorType::TooMany, path, Some(found.into()), &format!("must have at most {max} {unit}"));
    }

    /// The server cannot judge the value.
    pub fn internal(&mut self, path: &Path, detail: &str) {
        self.push(ErrorType::Internal, path, None, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_upstream_prints_them() {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("ports").index(1).child("port");
        errors.invalid(&path, 0_i64, "must be between 1 and 65535, inclusive");
        errors.unsupported(&Path::new("spec.type"), "X", &["A", "B"]);
        errors.required(&Path::new("data").key("tls.crt"), "");
        errors.too_long(&Path::new(""), 5);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.type: Unsupported value: \"X\": supported values: \"A\", \"B\"",
                "data[tls.crt]: Required value",
                "[]: Too long: may not be more than 5 bytes",
            ]
        );
    }

    #[test]
    fn a_path_finds_its_place_in_the_document() {
        assert_eq!(steps("spec.a[0].labels[x.y/z]"), ["spec", "a", "0", "labels", "x.y/z"]);
        assert_eq!(steps("[]"), [""]);
        assert_eq!(steps("a..b[]c]"), ["a", "b", "", "c]"]);
    }
}
