//! From the tree that knows its places to plain JSON, in which answers are compared.

use seatrial_api::document::{Node, Value as Placed};
use serde_json::Value;

/// The same without places.
pub(super) fn plain(node: &Node) -> Value {
    match &node.value {
        Placed::Null => Value::Null,
        Placed::Bool(value) => Value::from(*value),
        Placed::Int(value) => Value::from(*value),
        Placed::Unsigned(value) => Value::from(*value),
        Placed::Float(value) => Value::from(*value),
        Placed::String(text) => Value::from(text.as_str()),
        Placed::Sequence(elements) => elements.iter().map(|element| plain(&element)).collect(),
        Placed::Mapping(fields) => {
            let entries = fields.entries().iter();
            Value::Object(entries.map(|entry| (entry.key.to_string(), plain(&entry.value))).collect())
        }
    }
}
