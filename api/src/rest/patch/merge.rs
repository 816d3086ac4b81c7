//! JSON merge patch (RFC 7386): mappings are laid over, null takes away, all else replaces.

use super::PatchError;
use crate::document::{Node, Value};

/// The document with `body` laid over it.
pub(super) fn patch(document: &Node, body: &Node) -> Result<Node, PatchError> {
    if body.as_mapping().is_none() {
        return Err(PatchError::Malformed("Invalid JSON Patch".into()));
    }
    Ok(merged(document, body))
}

fn merged(target: &Node, patch: &Node) -> Node {
    let Value::Mapping(fields) = &patch.value else { return patch.clone() };
    let mut out = if target.as_mapping().is_some() { target.clone() } else { Node::empty() };
    for entry in fields.entries() {
        if entry.value.is_null() {
            out.remove(&entry.key);
            continue;
        }
        let value = match out.get(&entry.key) {
            Some(old) => merged(old, &entry.value),
            None => merged(&Node::unplaced(Value::Null), &entry.value),
        };
        out.set(&entry.key, value);
    }
    out
}
