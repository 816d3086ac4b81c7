//! Strategic merge patch: mappings are laid over, lists are merged by the keys that the type of the
//! document names, and directives say what cannot be said by values
//! (`staging/src/k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`).

use super::PatchError;
use crate::document::{Node, Value};
use crate::rest::go_value::go_print;
use crate::schema::{Merge, Struct, Type, schema};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// The document of type `structure` with `body` laid over it.
pub(super) fn patch(document: &Node, body: &Node, structure: &Struct) -> Result<Node, PatchError> {
    if body.as_mapping().is_none() {
        let found = match body.value {
            Value::Sequence(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Null => return Ok(document.clone()),
            _ => "number",
        };
        return Err(PatchError::Malformed(format!(
            "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    }
    merge_mappings(document, body, Level::Struct(structure))
}

/// Where in the types a mapping stands.
#[derive(Clone, Copy)]
enum Level<'a> {
    /// It is a structure of this type.
    Struct(&'a Struct),
    /// It is a mapping whose values all have this type.
    Map(&'a Type),
    /// It is nothing of which more is known.
    Opaque,
}

/// What is known about a field.
struct Known<'a> {
    of: &'a Type,
    merge: Merge,
}

impl<'a> Level<'a> {
    fn of(of: &'a Type) -> Level<'a> {
        match of.plain() {
            Type::Struct(id) => schema().get(id).map_or(Level::Opaque, Level::Struct),
            Type::Map(value) => Level::Map(value),
            _ => Level::Opaque,
        }
    }

    fn field(self, name: &str) -> Result<Known<'a>, PatchError> {
        match self {
            Level::Struct(structure) => {
                let field = structure.field(name).ok_or_else(|| {
                    PatchError::Unexpected(format!(
                        "unable to find api field in struct {} for the json field \"{name}\"",
                        structure.name()
                    ))
                })?;
                Ok(Known { of: &field.of, merge: field.merge })
            }
            Level::Map(value) => Ok(Known { of: value, merge: Merge::default() }),
            Level::Opaque => Ok(Known { of: &Type::Raw, merge: Merge::default() }),
        }
    }

    /// The level of the elements of a list.
    fn of_elements(of: &'a Type) -> Level<'a> {
        match of.plain() {
            Type::List(element) => Level::of(element),
            _ => Level::Opaque,
        }
    }
}

fn merge_mappings(original: &Node, patch: &Node, level: Level<'_>) -> Result<Node, PatchError> {
    let mut patch = patch.clone();
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Node::empty()),
            _ => Err(bad_directive(&directive)),
        };
    }
    let mut out = if original.as_mapping().is_some() { original.clone() } else { Node::empty() };
    retain_keys(&mut out, &mut patch)?;
    merge_ordered_lists(&mut out, &mut patch, level)?;
    let fields = patch.as_mapping().map(|fields| fields.entries().to_vec()).unwrap_or_default();
    for entry in fields {
        match entry.key.strip_prefix(DELETE_FROM) {
            Some(list) => delete_from_list(&mut out, list, &entry.value)?,
            None => merge_field(&mut out, &entry.key, &entry.value, level)?,
        }
    }
    Ok(out)
}

fn bad_directive(directive: &Node) -> PatchError {
    PatchError::Unexpected(format!("unknown patch type [{}]", directive.as_str().unwrap_or("")))
}

fn merge_field(out: &mut Node, key: &str, value: &Node, level: Level<'_>) -> Result<(), PatchError> {
    if value.is_null() {
        out.remove(key);
        return Ok(());
    }
    let merged = match (out.field(key), &value.value) {
        (Some(old), Value::Mapping(_)) if old.as_mapping().is_some() => {
            let known = level.field(key)?;
            Some(merge_mappings(old, value, Level::of(known.of))?)
        }
        (Some(old), Value::Sequence(_)) if old.as_sequence().is_some() => {
            let known = level.field(key)?;
            let (old, new) = (elements_of(old), elements_of(value));
            if known.merge.elements {
                Some(Node::list(merge_lists(old, new, known.merge.key, Level::of_elements(known.of))?))
            } else {
                Some(value.clone())
            }
        }
        _ => without_directives(value),
    };
    match merged {
        Some(merged) => out.set(key, merged),
        None => drop(out.remove(key)),
    }
    Ok(())
}

fn elements_of(node: &Node) -> Vec<Node> {
    node.as_sequence().map(|elements| elements.to_vec()).unwrap_or_default()
}

/// The value as it enters a document: without directives and without nulls, which take away what is
/// not there. `None` if it was a directive itself.
fn without_directives(value: &Node) -> Option<Node> {
    match &value.value {
        Value::Mapping(fields) if fields.get(DIRECTIVE).is_some() => None,
        Value::Mapping(fields) => {
            let kept = fields.entries().iter().filter(|entry| !entry.value.is_null());
            Some(Node::object(
                kept.filter_map(|entry| Some((entry.key.clone(), without_directives(&entry.value)?))),
            ))
        }
        Value::Sequence(elements) => {
            Some(Node::list(elements.iter().filter_map(|element| without_directives(&element))))
        }
        _ => Some(value.clone()),
    }
}

/// `$retainKeys`: fields that it does not name go, and the patch may have no others.
fn retain_keys(out: &mut Node, patch: &mut Node) -> Result<(), PatchError> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || PatchError::Malformed("invalid patch format of retainKeys".into());
    let retained = retained.as_sequence().ok_or_else(bad)?.to_vec();
    let is_retained = |key: &str| retained.iter().any(|name| name.as_str() == Some(key));
    let fields = patch.as_mapping().ok_or_else(bad)?;
    let stray = fields.entries().iter().any(|entry| {
        let directive = entry.key.starts_with(DELETE_FROM) || entry.key.starts_with(ELEMENT_ORDER);
        !entry.value.is_null() && !directive && !is_retained(&entry.key)
    });
    if stray {
        return Err(bad());
    }
    let keys = out.as_mapping().into_iter().flat_map(|fields| fields.entries());
    let gone: Vec<_> = keys.map(|entry| entry.key.clone()).filter(|key| !is_retained(key)).collect();
    gone.iter().for_each(|key| drop(out.remove(key)));
    Ok(())
}

/// `$deleteFromPrimitiveList/…`: scalars that leave a list.
fn delete_from_list(out: &mut Node, key: &str, removed: &Node) -> Result<(), PatchError> {
    let bad = || PatchError::Malformed("invalid patch format of primitive list".into());
    let removed = removed.as_sequence().ok_or_else(bad)?.to_vec();
    if let Some(list) = out.field(key) {
        let kept = elements_of(list).into_iter();
        let kept = kept.filter(|element| !removed.iter().any(|other| other.says_the_same_as(element)));
        let kept = Node::list(kept);
        out.set(key, kept);
    }
    Ok(())
}

/// `$setElementOrder/…`: merges the lists that have one and puts them into that order. Elements that
/// only the document has keep their places among themselves.
fn merge_ordered_lists(out: &mut Node, patch: &mut Node, level: Level<'_>) -> Result<(), PatchError> {
    let entries = patch.as_mapping().map(|fields| fields.entries().to_vec()).unwrap_or_default();
    for entry in entries.iter().filter(|entry| entry.key.starts_with(ELEMENT_ORDER)) {
        patch.remove(&entry.key);
        let key = &entry.key[ELEMENT_ORDER.len()..];
        let bad = || PatchError::Malformed("invalid patch format of setElementOrder list".into());
        let order = entry.value.as_sequence().ok_or_else(bad)?.to_vec();
        let known = level.field(key)?;
        let list = |node: Option<&Node>| match node {
            Some(node) if node.as_sequence().is_some() => Ok(Some(elements_of(node))),
            Some(_) => Err(bad()),
            None => Ok(None),
        };
        let (old, new) = (list(out.field(key))?, list(patch.field(key))?);
        if let Some(new) = &new {
            check_order(new, &order, known.merge.key)?;
        }
        let merged = match (&old, new) {
            (Some(old), None) => old.clone(),
            (None, Some(new)) => {
                elements_of(&without_directives(&Node::list(new)).unwrap_or_else(Node::empty))
            }
            (Some(old), Some(new)) if known.merge.elements => {
                merge_lists(old.clone(), new, known.merge.key, Level::of_elements(known.of))?
            }
            (Some(_), Some(new)) => new,
            (None, None) => continue,
        };
        let ordered = in_order(merged, &order, &old.unwrap_or_default(), known.merge.key);
        out.set(key, Node::list(ordered));
        patch.remove(key);
    }
    Ok(())
}

/// The elements of the patch must stand in the order that it sets.
fn check_order(patch: &[Node], order: &[Node], key: Option<&str>) -> Result<(), PatchError> {
    if order.is_empty() {
        return Ok(());
    }
    let mut places = order.iter();
    let plain = patch.iter().filter(|element| element.get(DIRECTIVE).is_none());
    for element in plain {
        if !places.any(|place| is_same_element(place, element, key)) {
            let text = |list: &[Node]| {
                let texts: Vec<String> = list.iter().map(|element| element.value.to_string()).collect();
                format!("[{}]", texts.join(" "))
            };
            return Err(PatchError::Unexpected(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                text(patch),
                text(order)
            )));
        }
    }
    Ok(())
}

fn is_same_element(one: &Node, other: &Node, key: Option<&str>) -> bool {
    match key {
        None => one.says_the_same_as(other),
        Some(key) => match (one.get(key), other.get(key)) {
            (Some(one), Some(other)) => one.says_the_same_as(other),
            _ => false,
        },
    }
}

fn merge_lists(
    old: Vec<Node>,
    new: Vec<Node>,
    key: Option<&'static str>,
    level: Level<'_>,
) -> Result<Vec<Node>, PatchError> {
    let is_mapping = |list: &[Node]| list.first().is_some_and(|element| element.as_mapping().is_some());
    if !is_mapping(&old) && !is_mapping(&new) {
        let mut merged: Vec<Node> = Vec::new();
        for element in old.iter().chain(&new) {
            if !merged.iter().any(|other| other.says_the_same_as(element)) {
                merged.push(element.clone());
            }
        }
        return Ok(in_order(merged, &new, &old, None));
    }
    let key = key.ok_or_else(|| PatchError::Unexpected("cannot merge lists without merge key".into()))?;
    let (kept, new) = apply_element_directives(old.clone(), new, key)?;
    let mut merged = kept;
    for element in &new {
        require_key(element, key)?;
        match merged.iter().position(|other| is_same_element(other, element, Some(key))) {
            Some(place) => merged[place] = merge_mappings(&merged[place], element, level)?,
            None => merged.extend(without_directives(element)),
        }
    }
    merged.iter().try_for_each(|element| require_key(element, key))?;
    Ok(in_order(merged, &new, &old, Some(key)))
}

fn require_key(element: &Node, key: &str) -> Result<(), PatchError> {
    match element.get(key) {
        Some(_) => Ok(()),
        None => Err(PatchError::Unexpected(format!(
            "map: {} does not contain declared merge key: {key}",
            go_print(element)
        ))),
    }
}

/// Elements with `$patch`: the list without those that are deleted (empty if it is replaced), and
/// the elements of the patch that are left.
fn apply_element_directives(
    old: Vec<Node>,
    new: Vec<Node>,
    key: &str,
) -> Result<(Vec<Node>, Vec<Node>), PatchError> {
    let (mut kept, mut plain, mut replaced) = (old, Vec::new(), false);
    for element in new {
        let Some(directive) = element.get(DIRECTIVE) else {
            plain.push(element);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                require_key(&element, key)?;
                kept.retain(|other| !is_same_element(other, &element, Some(key)));
            }
            Some("replace") => replaced = true,
            Some("merge") => {
                let message = "merging lists cannot yet be specified in the patch";
                return Err(PatchError::Unexpected(message.into()));
            }
            _ => return Err(bad_directive(directive)),
        }
    }
    Ok((if replaced { Vec::new() } else { kept }, plain))
}

/// The elements in order: those that `order` names as it says, the others as in `before`, and one
/// of the others comes first where `before` had it before.
fn in_order(merged: Vec<Node>, order: &[Node], before: &[Node], key: Option<&str>) -> Vec<Node> {
    let place =
        |list: &[Node], element: &Node| list.iter().position(|other| is_same_element(other, element, key));
    let (mut named, mut others): (Vec<Node>, Vec<Node>) =
        merged.into_iter().partition(|element| place(order, element).is_some());
    named.sort_by_key(|element| place(order, element));
    others.sort_by_key(|element| place(before, element).unwrap_or(usize::MAX));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut out = Vec::new();
    loop {
        match (named.peek(), others.peek()) {
            (Some(name), Some(other)) => {
                let first =
                    matches!((place(before, other), place(before, name)), (Some(a), Some(b)) if a < b);
                out.extend(if first { others.next() } else { named.next() });
            }
            (Some(_), None) => out.extend(named.next()),
            (None, Some(_)) => out.extend(others.next()),
            (None, None) => return out,
        }
    }
}
