//! Fields of a scenario that are not what its file says.

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Mapping, Node, Position, Value};

use crate::schema::one_of;

/// A field of the scenario with the value that it has instead.
#[derive(Clone, Debug)]
pub struct Change {
    /// The file that says so.
    pub(crate) file: Arc<str>,
    /// The field, as a path of keys: elements of lists by `name` or number.
    pub(crate) path: CompactString,
    /// Where the path stands.
    pub(crate) position: Position,
    /// The value.
    pub(crate) value: Node,
}

/// A change that was made, and the field as messages about it name it.
pub(crate) struct Made<'a> {
    change: &'a Change,
    field: String,
}

/// Makes all changes to a scenario; what cannot be made is an error.
pub(crate) fn change<'a>(
    root: &Node,
    changes: &'a [Change],
    findings: &mut Diagnostics,
) -> (Node, Vec<Made<'a>>) {
    let (mut root, mut made) = (root.clone(), Vec::new());
    for change in changes {
        let keys: Vec<&str> = change.path.split('.').collect();
        let mut field = String::new();
        match with(&root, &keys, change, &mut field) {
            Ok(changed) => {
                root = changed;
                made.push(Made { change, field });
            }
            Err(message) => {
                let path = FieldPath::ROOT;
                let error = Diagnostic::error(&change.file, change.position, &path.key(&change.path));
                findings.push(error.message(message));
            }
        }
    }
    (root, made)
}

/// A value with what the change says below `keys`.
fn with(node: &Node, keys: &[&str], change: &Change, field: &mut String) -> Result<Node, String> {
    let [key, rest @ ..] = keys else { return Ok(change.value.clone()) };
    let value = match &node.value {
        Value::Mapping(mapping) => {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(key);
            let absent = Node { value: Value::Null, position: change.position };
            let old = mapping.get(key).unwrap_or(&absent);
            Value::Mapping(mapping.with(key, with(old, rest, change, field)?))
        }
        Value::Null => {
            let empty = Node { value: Value::Mapping(Mapping::new([])), position: node.position };
            return with(&empty, keys, change, field);
        }
        Value::Sequence(elements) => {
            let mut elements = elements.to_vec();
            let index = element(&elements, key, field)?;
            field.push_str(&format!("[{index}]"));
            elements[index] = with(&elements[index], rest, change, field)?;
            Value::Sequence(elements.into_iter().collect())
        }
        _ => return Err(format!("{field} is {node}, in which there is no {key}")),
    };
    Ok(Node { value, position: node.position })
}

/// The element of a list that a key stands for: its `name`, or its number from 0.
fn element(elements: &[Node], key: &str, field: &str) -> Result<usize, String> {
    let name = |node: &Node| {
        let name = node.get("name").or_else(|| node.at(&["metadata", "name"]));
        name.and_then(Node::as_str).map(str::to_owned)
    };
    let by_name = elements.iter().position(|node| name(node).is_some_and(|name| name == key));
    let by_number = || key.parse().ok().filter(|&index| index < elements.len());
    by_name.or_else(by_number).ok_or_else(|| {
        let names: Vec<String> = elements.iter().filter_map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let expected = if names.is_empty() { "a number".to_owned() } else { one_of(&names) };
        format!("there is no {key} in {field}, expected {expected}")
    })
}

/// Findings about changed fields belong to the file that changed them.
pub(crate) fn attribute(findings: Diagnostics, scenario: &Arc<str>, made: &[Made<'_>]) -> Diagnostics {
    let mut result = Diagnostics::new();
    let is_below = |path: &str, field: &str| {
        path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    for finding in findings.iter() {
        let mut finding = finding.clone();
        let is_about = |made: &&Made<'_>| {
            // The change made what is above its field, too, where there was nothing.
            let made_above = finding.position == made.change.position && is_below(&made.field, &finding.path);
            made_above || is_below(&finding.path, &made.field)
        };
        if finding.file == *scenario
            && let Some(made) = made.iter().rev().find(is_about)
        {
            finding.file = made.change.file.clone();
        }
        result.push(finding);
    }
    result
}
