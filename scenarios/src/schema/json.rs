//! JSON Schema (draft 2020-12) as values that can be put together.

use compact_str::CompactString;
use seatrial_api::document::{Entry, Mapping, Node, Position, Value, write_json_string};

use super::Rule;

/// The schema of one value: its keywords in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct JsonSchema(Vec<(&'static str, Value)>);

/// A field of a record, for its schema.
pub(crate) struct Property {
    pub(crate) key: &'static str,
    pub(crate) about: String,
    pub(crate) schema: JsonSchema,
    pub(crate) required: bool,
    /// The value that stands for an absent one, as a file would have it.
    pub(crate) default: Option<Value>,
}

/// The schemas of records, by name, that others refer to.
#[derive(Debug, Default)]
pub(crate) struct Definitions(Vec<(&'static str, JsonSchema)>);

/// A text value.
pub(crate) fn text(text: impl Into<CompactString>) -> Value {
    Value::String(text.into())
}

/// A list value.
pub(crate) fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Sequence(values.into_iter().map(Node::unplaced).collect())
}

/// A mapping value.
pub(crate) fn mapping<K: Into<CompactString>>(fields: impl IntoIterator<Item = (K, Value)>) -> Value {
    let entry = |(key, value): (K, Value)| Entry {
        key: key.into(),
        position: Position::NONE,
        value: Node::unplaced(value),
    };
    Value::Mapping(Mapping::new(fields.into_iter().map(entry)))
}

impl JsonSchema {
    /// Values of one JSON type.
    pub(crate) fn of_type(name: &'static str) -> JsonSchema {
        JsonSchema::default().with("type", text(name))
    }

    /// Values of one or another schema.
    pub(crate) fn any_of(schemas: impl IntoIterator<Item = JsonSchema>) -> JsonSchema {
        JsonSchema::default().with("anyOf", list(schemas.into_iter().map(JsonSchema::into_value)))
    }

    /// Adds a keyword.
    pub(crate) fn with(mut self, keyword: &'static str, value: Value) -> JsonSchema {
        self.0.push((keyword, value));
        self
    }

    /// Adds a keyword with a text, or replaces it.
    pub(crate) fn described(mut self, about: &str) -> JsonSchema {
        self.0.retain(|(keyword, _)| *keyword != "description");
        self.0.insert(0, ("description", text(about)));
        self
    }

    /// The schema as a value.
    pub(crate) fn into_value(self) -> Value {
        mapping(self.0)
    }
}

impl Definitions {
    /// A reference to the record `name`, whose schema is made on first use.
    pub(crate) fn record(
        &mut self,
        name: &'static str,
        about: &str,
        rules: &[Rule],
        properties: impl FnOnce(&mut Definitions) -> Vec<Property>,
    ) -> JsonSchema {
        self.shared(name, |definitions| record(about, rules, properties(definitions)))
    }

    /// A reference to the schema `name`, which is made on first use.
    pub(crate) fn shared(
        &mut self,
        name: &'static str,
        make: impl FnOnce(&mut Definitions) -> JsonSchema,
    ) -> JsonSchema {
        if !self.0.iter().any(|(known, _)| *known == name) {
            let place = self.0.len();
            self.0.push((name, JsonSchema::default()));
            let schema = make(self);
            self.0[place].1 = schema;
        }
        JsonSchema::default().with("$ref", text(format!("#/$defs/{name}")))
    }

    /// The text of a schema document for `root`.
    pub(crate) fn document(mut self, identifier: &str, title: &str, root: JsonSchema) -> String {
        self.0.sort_by_key(|(name, _)| *name);
        let definitions = mapping(self.0.into_iter().map(|(name, schema)| (name, schema.into_value())));
        let head = JsonSchema::default()
            .with("$schema", text("https://json-schema.org/draft/2020-12/schema"))
            .with("$id", text(identifier))
            .with("title", text(title));
        let fields = head.0.into_iter().chain(root.0).chain([("$defs", definitions)]);
        let mut out = String::new();
        write_indented(&mapping(fields), 0, &mut out);
        out.push('\n');
        out
    }
}

fn record(about: &str, rules: &[Rule], properties: Vec<Property>) -> JsonSchema {
    let required = list(properties.iter().filter(|property| property.required).map(|p| text(p.key)));
    let fields = properties.into_iter().map(|property| {
        let mut schema = property.schema.described(&property.about);
        if let Some(default) = property.default {
            schema = schema.with("default", default);
        }
        (property.key, schema.into_value())
    });
    let mut schema = JsonSchema::of_type("object")
        .described(about)
        .with("properties", mapping(fields))
        .with("additionalProperties", Value::Bool(false));
    if !matches!(&required, Value::Sequence(keys) if keys.is_empty()) {
        schema = schema.with("required", required);
    }
    if !rules.is_empty() {
        schema = schema.with("allOf", list(rules.iter().map(Rule::schema)));
    }
    schema
}

/// Writes `value` as JSON with two spaces per level; short lists stay on their line.
fn write_indented(value: &Value, depth: usize, out: &mut String) {
    let break_line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Mapping(fields) if !fields.entries().is_empty() => {
            out.push('{');
            for (index, entry) in fields.entries().iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                break_line(depth + 1, out);
                write_json_string(&entry.key, out).expect("invariant: writing to a string cannot fail");
                out.push_str(": ");
                write_indented(&entry.value.value, depth + 1, out);
            }
            break_line(depth, out);
            out.push('}');
        }
        Value::Sequence(elements) if elements.iter().any(|element| element.as_mapping().is_some()) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                break_line(depth + 1, out);
                write_indented(&element.value, depth + 1, out);
            }
            break_line(depth, out);
            out.push(']');
        }
        value => out.push_str(&value.to_string()),
    }
}
