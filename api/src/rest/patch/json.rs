//! JSON patch (RFC 6902): operations, one after another; if one fails, all do.

use super::{OPERATIONS_MAX, PatchError};
use crate::document::{Node, Value};

/// The document after all operations of `body`.
pub(super) fn patch(document: &Node, body: &Node) -> Result<Node, PatchError> {
    let operations = body
        .as_sequence()
        .ok_or_else(|| PatchError::Malformed("error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp".into()))?;
    if operations.len() > OPERATIONS_MAX {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        )));
    }
    let mut document = document.clone();
    for operation in operations {
        apply(&mut document, &operation)?;
    }
    Ok(document)
}

fn apply(document: &mut Node, operation: &Node) -> Result<(), PatchError> {
    let path = pointer(operation, "path")?;
    let value = || {
        let given = operation.get("value").cloned();
        given.ok_or_else(|| does_not_apply(format!("{} operation missing value field", operation.str("op"))))
    };
    match operation.str("op") {
        "add" => add(document, &path, value()?),
        "replace" => {
            remove(document, &path)?;
            add(document, &path, value()?)
        }
        "remove" => remove(document, &path).map(|_| ()),
        "move" => {
            let from = pointer(operation, "from")?;
            let moved = remove(document, &from)?;
            add(document, &path, moved)
        }
        "copy" => {
            let copied = find(document, &pointer(operation, "from")?)?;
            add(document, &path, copied)
        }
        "test" => {
            let null = Node::unplaced(Value::Null);
            // What is not there equals null, as a field that is null is not there.
            let found = find(document, &path).unwrap_or_else(|_| null.clone());
            let wanted = operation.get("value").unwrap_or(&null);
            if found.says_the_same_as(wanted) {
                return Ok(());
            }
            Err(does_not_apply(format!("testing value {} failed", operation.str("path"))))
        }
        other => Err(does_not_apply(format!("Unexpected kind: {other}"))),
    }
}

fn does_not_apply(message: impl Into<String>) -> PatchError {
    PatchError::DoesNotApply(message.into())
}

/// The steps of a JSON pointer, unescaped.
fn pointer(operation: &Node, key: &str) -> Result<Vec<String>, PatchError> {
    let Some(text) = operation.get(key).and_then(Node::as_str) else {
        return Err(does_not_apply(format!("operation missing {key} field")));
    };
    match text.split_once('/') {
        None if text.is_empty() => Ok(Vec::new()),
        Some(("", rest)) => {
            Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
        }
        _ => Err(does_not_apply(format!("missing path: {text}"))),
    }
}

fn missing(path: &[String]) -> PatchError {
    does_not_apply(format!("doc is missing path: \"/{}\": missing value", path.join("/")))
}

/// The place of an element: negative numbers count from the end.
fn index(step: &str, length: usize) -> Option<usize> {
    let number: i64 = step.parse().ok()?;
    let place = if number < 0 { number.checked_add(i64::try_from(length).ok()?)? } else { number };
    usize::try_from(place).ok()
}

fn find(node: &Node, path: &[String]) -> Result<Node, PatchError> {
    let Some((step, rest)) = path.split_first() else { return Ok(node.clone()) };
    let child = match &node.value {
        Value::Mapping(fields) => fields.get(step).cloned(),
        Value::Sequence(elements) => index(step, elements.len())
            .and_then(|index| elements.get(index).map(|element| element.into_owned())),
        _ => None,
    };
    find(&child.ok_or_else(|| missing(path))?, rest)
}

/// Hands the parent of the last step of `path` to `change`.
fn at_parent<T>(
    node: &mut Node,
    path: &[String],
    change: impl FnOnce(&mut Node, &str) -> Result<T, PatchError>,
) -> Result<T, PatchError> {
    let Some((step, rest)) = path.split_first() else {
        return Err(does_not_apply("the document as a whole cannot be changed"));
    };
    if rest.is_empty() {
        return change(node, step);
    }
    match &mut node.value {
        Value::Mapping(fields) => {
            let child = fields.get_mut(step).ok_or_else(|| missing(path))?;
            at_parent(child, rest, change)
        }
        Value::Sequence(elements) => {
            let mut all = elements.to_vec();
            let place = index(step, all.len());
            let child = place.and_then(|place| all.get_mut(place)).ok_or_else(|| missing(path))?;
            let result = at_parent(child, rest, change)?;
            *elements = all.into_iter().collect();
            Ok(result)
        }
        _ => Err(missing(path)),
    }
}

fn add(document: &mut Node, path: &[String], value: Node) -> Result<(), PatchError> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    at_parent(document, path, |parent, step| match &mut parent.value {
        Value::Mapping(_) => {
            parent.set(step, value);
            Ok(())
        }
        Value::Sequence(elements) => {
            let mut all = elements.to_vec();
            let place = if step == "-" { Some(all.len()) } else { index(step, all.len()) };
            let place = place.filter(|&place| place <= all.len());
            let place =
                place.ok_or_else(|| does_not_apply(format!("Unable to access invalid index: {step}")))?;
            all.insert(place, value);
            *elements = all.into_iter().collect();
            Ok(())
        }
        _ => Err(missing(path)),
    })
}

fn remove(document: &mut Node, path: &[String]) -> Result<Node, PatchError> {
    at_parent(document, path, |parent, step| match &mut parent.value {
        Value::Mapping(_) => parent.remove(step).ok_or_else(|| missing(path)),
        Value::Sequence(elements) => {
            let mut all = elements.to_vec();
            let place = index(step, all.len()).filter(|&place| place < all.len());
            let place =
                place.ok_or_else(|| does_not_apply(format!("Unable to access invalid index: {step}")))?;
            let removed = all.remove(place);
            *elements = all.into_iter().collect();
            Ok(removed)
        }
        _ => Err(missing(path)),
    })
}
