//! Documents into the form in which the server keeps them: what Go makes of JSON and writes again.
//!
//! Fields that the type does not know are dropped and told, nulls are dropped, numbers and quantities
//! become canonical, fields stand in the order of the type, and what the type always writes is there.

use super::go_value::go_quote;
use crate::base64;
use crate::calendar::Timestamp;
use crate::document::{Node, Position, Value};
use crate::quantity::{Quantity, QuantityError};
use crate::schema::{Field, Struct, Type, schema};

/// What a document was decoded to.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The canonical document; not to be used if there is an error.
    pub node: Option<Node>,
    /// Fields that the type does not know, by their paths.
    pub unknown: Vec<(Position, String)>,
    /// The first value of a wrong type, in Go's words.
    pub error: Option<String>,
}

/// Decodes a document of type `structure`.
pub fn decode(node: &Node, structure: &'static Struct) -> Decoded {
    let mut decoder = Decoder { unknown: Vec::new(), error: None, fields: Vec::new(), structure };
    let node = match node.as_mapping() {
        Some(_) => Some(decoder.structure(node, structure, "")),
        None => {
            if !node.is_null() {
                let kind = go_value_kind(&node.value);
                decoder.error = Some(format!(
                    "json: cannot unmarshal {kind} into Go value of type {}",
                    Type::Struct(structure.id).go_text()
                ));
            }
            None
        }
    };
    Decoded { node, unknown: decoder.unknown, error: decoder.error }
}

/// What Go calls a value of JSON.
pub fn go_value_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Sequence(_) => "array",
        Value::Mapping(_) => "object",
        _ => "number",
    }
}

struct Decoder {
    unknown: Vec<(Position, String)>,
    error: Option<String>,
    /// The names of the fields around the value, as Go's messages join them.
    fields: Vec<&'static str>,
    /// The innermost structure around the value.
    structure: &'static Struct,
}

impl Decoder {
    fn fail(&mut self, message: impl FnOnce() -> String) {
        if self.error.is_none() {
            self.error = Some(message());
        }
    }

    /// A value of a wrong type; `found` is what Go calls it.
    fn mismatch(&mut self, found: &str, of: &Type) {
        let (structure, fields) = (self.structure.name(), self.fields.join("."));
        let text = of.go_text();
        self.fail(|| match fields.is_empty() {
            true => format!("json: cannot unmarshal {found} into Go value of type {text}"),
            false => format!(
                "json: cannot unmarshal {found} into Go struct field {structure}.{fields} of type {text}"
            ),
        });
    }

    fn structure(&mut self, node: &Node, structure: &'static Struct, path: &str) -> Node {
        let outer = std::mem::replace(&mut self.structure, structure);
        let entries = node.as_mapping().map(|fields| fields.entries()).unwrap_or_default();
        let mut found: Vec<Option<Node>> = vec![None; structure.fields.len()];
        for entry in entries {
            let inner = if path.is_empty() { entry.key.to_string() } else { format!("{path}.{}", entry.key) };
            let Some(index) = structure.fields.iter().position(|field| field.name == entry.key) else {
                self.unknown.push((entry.position, inner));
                continue;
            };
            let field = &structure.fields[index];
            self.fields.push(field.name);
            self.structure = structure;
            let value =
                if entry.value.is_null() { None } else { self.value(&entry.value, &field.of, &inner) };
            self.fields.pop();
            found[index] = value.filter(|value| is_written(field, value));
        }
        self.structure = outer;
        let complete = structure.fields.iter().zip(found).filter_map(|(field, value)| {
            let value = value.or_else(|| always_written(field))?;
            Some((field.name, value))
        });
        Node { value: Node::object(complete).value, position: node.position }
    }

    fn value(&mut self, node: &Node, of: &Type, path: &str) -> Option<Node> {
        let at = |value: Value| Some(Node { value, position: node.position });
        match (of.plain(), &node.value) {
            (Type::Struct(id), Value::Mapping(_)) => {
                let structure = schema().get(id)?;
                return Some(self.structure(node, structure, path));
            }
            (Type::List(element), Value::Sequence(elements)) => {
                let mut out = Vec::with_capacity(elements.len());
                for (index, item) in elements.iter().enumerate() {
                    let inner = format!("{path}[{index}]");
                    let value = if item.is_null() { None } else { self.value(&item, element, &inner) };
                    out.push(value.unwrap_or_else(|| zero(element)));
                }
                return at(Value::Sequence(out.into_iter().collect()));
            }
            (Type::Map(value), Value::Mapping(fields)) => {
                let mut out: Vec<(_, Node)> = Vec::new();
                for entry in fields.entries() {
                    let inner = format!("{path}.{}", entry.key);
                    let found =
                        if entry.value.is_null() { None } else { self.value(&entry.value, value, &inner) };
                    out.push((entry.key.clone(), found.unwrap_or_else(|| zero(value))));
                }
                out.sort_by(|one, two| one.0.cmp(&two.0));
                return Some(Node { value: Node::object(out).value, position: node.position });
            }
            (Type::String, Value::String(_)) | (Type::Bool, Value::Bool(_)) => return Some(node.clone()),
            (Type::Int { bits: 64 }, Value::Int(_)) | (Type::Raw, _) => return Some(node.clone()),
            (Type::Int { .. }, Value::Int(number)) if i32::try_from(*number).is_ok() => {
                return Some(node.clone());
            }
            (Type::Unsigned { bits }, Value::Int(number))
                if *number >= 0 && (*bits == 64 || *number >> bits == 0) =>
            {
                return Some(node.clone());
            }
            (Type::Unsigned { bits: 64 }, Value::Unsigned(_)) => return Some(node.clone()),
            (Type::Float, Value::Int(_) | Value::Unsigned(_) | Value::Float(_)) => return Some(node.clone()),
            (Type::Quantity, _) => return self.quantity(node),
            (Type::IntOrString, _) => return self.int_or_string(node),
            (Type::Time | Type::MicroTime, _) => return self.time(node, of.plain()),
            (Type::Duration, Value::String(_)) => return Some(node.clone()),
            (Type::Bytes, Value::String(text)) => return self.bytes(node, text),
            (
                Type::Int { .. } | Type::Unsigned { .. },
                Value::Int(_) | Value::Unsigned(_) | Value::Float(_),
            ) => {
                self.mismatch(&format!("number {}", node.value), of);
            }
            (_, value) => self.mismatch(go_value_kind(value), of),
        }
        None
    }

    fn quantity(&mut self, node: &Node) -> Option<Node> {
        let text = match &node.value {
            Value::String(text) => text.to_string(),
            other => other.to_string(),
        };
        match Quantity::parse(text.trim()) {
            Ok(quantity) => {
                Some(Node { value: Value::String(quantity.to_string().into()), position: node.position })
            }
            Err(error) => {
                self.fail(|| match error {
                    QuantityError::Suffix if suffix_is_legal(text.trim()) => {
                        "unable to parse quantity's suffix".into()
                    }
                    _ => "quantities must match the regular expression \
                          '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                        .into(),
                });
                None
            }
        }
    }

    fn int_or_string(&mut self, node: &Node) -> Option<Node> {
        match &node.value {
            Value::String(_) => return Some(node.clone()),
            Value::Int(number) if i32::try_from(*number).is_ok() => return Some(node.clone()),
            Value::Int(_) | Value::Unsigned(_) | Value::Float(_) => {
                self.fail(|| {
                    format!("json: cannot unmarshal number {} into Go value of type int32", node.value)
                });
            }
            other => {
                let kind = go_value_kind(other);
                self.fail(|| format!("json: cannot unmarshal {kind} into Go value of type int32"));
            }
        }
        None
    }

    fn time(&mut self, node: &Node, of: &Type) -> Option<Node> {
        let Some(text) = node.as_str() else {
            let kind = go_value_kind(&node.value);
            self.fail(|| format!("json: cannot unmarshal {kind} into Go value of type string"));
            return None;
        };
        match Timestamp::parse(text) {
            Ok(time) => {
                let text = match of {
                    Type::Time => Timestamp { nanos: 0, ..time }.to_string(),
                    _ => format!("{}.{:06}Z", time.date_time(), time.nanos / 1_000),
                };
                Some(Node { value: Value::String(text.into()), position: node.position })
            }
            Err(_) => {
                let layout = if *of == Type::Time {
                    "2006-01-02T15:04:05Z07:00"
                } else {
                    "2006-01-02T15:04:05.000000Z07:00"
                };
                self.fail(|| {
                    format!(
                        "parsing time {} as {layout:?}: cannot parse {} as \"2006\"",
                        go_quote(text),
                        go_quote(text)
                    )
                });
                None
            }
        }
    }

    fn bytes(&mut self, node: &Node, text: &str) -> Option<Node> {
        match base64::decode(text) {
            Some(bytes) => {
                Some(Node { value: Value::String(base64::encode(&bytes).into()), position: node.position })
            }
            None => {
                self.fail(|| format!("illegal base64 data at input byte {}", base64_fault(text)));
                None
            }
        }
    }
}

/// Whether a text has the form of a quantity, so that its suffix alone is wrong.
fn suffix_is_legal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let suffix = unsigned.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let rest = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    unsigned.len() > suffix.len() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Where a text stops being base64, as Go counts.
fn base64_fault(text: &str) -> usize {
    let mut digits = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'\n' | b'\r' => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => digits += 1,
            // Padding may stand where two or three digits of a group came before it.
            b'=' if digits % 4 >= 2 => {
                let rest = &text.as_bytes()[index..];
                let needed = 4 - digits % 4;
                let given = rest.iter().take_while(|b| **b == b'=').count();
                return if given < needed { text.len() } else { index + needed };
            }
            _ => return index,
        }
    }
    text.len() - digits % 4
}

/// Whether a field with this value is written at all.
fn is_written(field: &Field, value: &Node) -> bool {
    if !field.omit_empty || field.pointer {
        // What is stored does not tell an empty list from none.
        return field.pointer || !matches!(&value.value, Value::Sequence(elements) if elements.is_empty());
    }
    match &value.value {
        Value::Null | Value::Bool(false) | Value::Int(0) => false,
        Value::String(text) => !text.is_empty(),
        Value::Sequence(elements) => !elements.is_empty(),
        Value::Mapping(fields) => !fields.entries().is_empty() || matches!(field.of, Type::Struct(_)),
        _ => true,
    }
}

/// What is written for a field that is not there, if anything.
fn always_written(field: &Field) -> Option<Node> {
    if field.pointer {
        return (!field.omit_empty).then(|| Node::unplaced(Value::Null));
    }
    match field.of.plain() {
        // A structure is never empty for Go, unless it is one that knows to be.
        Type::Struct(_) => Some(zero(&field.of)),
        // Nor is a time, except for the one field that says so.
        Type::Time | Type::MicroTime => {
            (field.name != "creationTimestamp").then(|| Node::unplaced(Value::Null))
        }
        _ if field.omit_empty => None,
        _ => Some(zero(&field.of)),
    }
}

/// The value that Go has where nothing was given.
fn zero(of: &Type) -> Node {
    match of.plain() {
        Type::String => Node::text(""),
        Type::Bool => Node::bool(false),
        Type::Int { .. } | Type::Unsigned { .. } | Type::Float | Type::IntOrString => Node::int(0),
        Type::Quantity => Node::text("0"),
        Type::Duration => Node::text("0s"),
        Type::Struct(id) => match schema().get(id) {
            Some(structure) => {
                let fields = structure.fields.iter();
                Node::object(fields.filter_map(|field| Some((field.name, always_written(field)?))))
            }
            None => Node::empty(),
        },
        _ => Node::unplaced(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::{json, resource};

    fn decoded(kind: &str, version: &str, text: &str) -> Decoded {
        let node = json::parse(text.as_bytes()).expect("JSON").node;
        decode(&node, resource::structure(version, kind).expect("a kind"))
    }

    #[test]
    fn wrong_types_are_told_in_the_words_of_go() {
        let cases = [
            (
                r#"{"spec":{"containers":"x"}}"#,
                "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                r#"{"spec":{"containers":[{"name":1}]}}"#,
                "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
            ),
            (
                r#"{"metadata":{"labels":{"a":1}}}"#,
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                r#"{"spec":{"restartPolicy":true}}"#,
                "json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
            ),
            (
                r#"{"spec":{"priority":3000000000}}"#,
                "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32",
            ),
            (
                r#"{"spec":{"volumes":[{"hostPath":[]}]}}"#,
                "json: cannot unmarshal array into Go struct field Volume.spec.volumes.hostPath of type v1.HostPathVolumeSource",
            ),
            (
                r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#,
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                r#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}"#,
                "json: cannot unmarshal bool into Go value of type int32",
            ),
            ("[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
        ];
        for (text, expected) in cases {
            assert_eq!(decoded("Pod", "v1", text).error.as_deref(), Some(expected));
        }
    }

    #[test]
    fn documents_become_canonical() {
        let text = r#"{"spec":{"foo":1,"containers":[{"image":"i","name":"c","command":null,"resources":{"limits":{"memory":"1024Mi","cpu":"1000m"}},"bar":{}}]},"kind":"Pod"}"#;
        let found = decoded("Pod", "v1", text);
        assert_eq!(
            found.node.expect("no error").value.to_string(),
            r#"{"kind":"Pod","metadata":{},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}]},"status":{}}"#
        );
        let unknown: Vec<String> = found.unknown.into_iter().map(|(_, path)| path).collect();
        assert_eq!(unknown, ["spec.foo", "spec.containers[0].bar"]);
    }

    #[test]
    fn faults_of_base64_have_the_place_that_go_names() {
        for (text, place) in [("***", 0), ("YQ", 0), ("YWJj*", 4), ("YQ=", 3), ("YWE", 0)] {
            assert_eq!(base64_fault(text), place, "{text}");
        }
    }
}
