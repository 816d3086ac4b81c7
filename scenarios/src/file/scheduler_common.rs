//! What the parts of a `KubeSchedulerConfiguration` share: numbers in a range, settings without
//! effect and without support, and the places of problems that the scheduler itself finds.

use seatrial_api::document::{FieldPath, Node, Value};

use crate::schema::{Definitions, Field, JsonSchema, Reader, Text};

/// A setting of the real scheduler's process that has nothing to act on here: it is warned about.
#[derive(Clone, Debug)]
pub(crate) struct NoEffect;

impl Field for NoEffect {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<NoEffect> {
        reader.warning(node.position, path, |warning| {
            warning.message("the setting is about the real scheduler's process and has no effect here")
        });
        Some(NoEffect)
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

/// Something that the real scheduler can do and this one cannot.
#[derive(Clone, Debug)]
pub(crate) struct Unsupported;

impl Field for Unsupported {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Unsupported> {
        reader
            .error(node.position, path, |error| error.message("this is not supported").hint("leave it out"));
        None
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: i64, const MAX: i64>(pub(crate) i64);

impl<const MIN: i64, const MAX: i64> Field for Whole<MIN, MAX> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Whole<MIN, MAX>> {
        match node.value {
            Value::Int(value) if (MIN..=MAX).contains(&value) => Some(Whole(value)),
            _ => reader.wrong(node, path, &format!("a whole number from {MIN} to {MAX}")),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("integer").with("minimum", Value::Int(MIN)).with("maximum", Value::Int(MAX))
    }
}

/// Requests per second: negative for no limit, 0 for upstream's 50.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qps {
    Unlimited,
    PerSecond(i64),
}

impl Field for Qps {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Qps> {
        let value = match node.value {
            Value::Int(value) => value,
            Value::Float(value) if value == value.trunc() && value.abs() < 1e9 => value as i64,
            _ => return reader.wrong(node, path, "a whole number of requests per second"),
        };
        Some(match value {
            0 => Qps::PerSecond(50),
            qps if qps < 0 => Qps::Unlimited,
            qps => Qps::PerSecond(qps),
        })
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("integer")
    }
}

/// Plugins at a point at which only some can be enabled.
fn read_set(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>, known: &[&str]) -> Option<()> {
    let fields = reader.mapping(node, path, &["enabled", "disabled"])?;
    fields.check(&[], reader)?;
    let mut good = true;
    for key in ["enabled", "disabled"] {
        let Some(list) = node.get(key).filter(|list| !list.is_null()) else { continue };
        let path = path.key(key);
        let Some(entries) = list.as_sequence() else { return reader.wrong(list, &path, "a list") };
        for (index, entry) in entries.iter().enumerate() {
            let path = path.index(index);
            let fields = reader.mapping(&entry, &path, &["name", "weight"])?;
            let name: Text = fields.take("name", None, reader)?;
            if key == "enabled" && !known.contains(&name.0.as_str()) {
                let place = entry.get("name").unwrap_or(&entry).position;
                let text = format!("plugin {:?} takes no part in this extension point", name.0);
                reader.error(place, &path.key("name"), |error| error.message(text));
                good = false;
            }
        }
    }
    good.then_some(())
}

/// What sorts the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueSortSet;

impl Field for QueueSortSet {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<QueueSortSet> {
        read_set(node, path, reader, &["PrioritySort"]).map(|()| QueueSortSet)
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

/// What happens after binding: nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostBindSet;

impl Field for PostBindSet {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<PostBindSet> {
        read_set(node, path, reader, &[]).map(|()| PostBindSet)
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
    }
}

/// Where in a file that is what the scheduler complains about.
pub(crate) mod place {
    use std::borrow::Cow;

    use seatrial_api::document::{FieldPath, Node, Position};

    use crate::schema::Reader;

    /// Says what is wrong at the place of the field, or of the innermost one around it that is there.
    pub(crate) fn say(root: &Node, path: &FieldPath<'_>, field: &str, text: &str, reader: &mut Reader<'_>) {
        let place = position(root, field);
        let field = spelled(path, field);
        reader.error(place, &FieldPath::ROOT, |mut error| {
            error.path.clone_from(&field);
            error.message(text)
        });
    }

    /// Warns about a field in the same way.
    pub(crate) fn warn(root: &Node, path: &FieldPath<'_>, field: &str, text: &str, reader: &mut Reader<'_>) {
        let place = position(root, field);
        let field = spelled(path, field);
        reader.warning(place, &FieldPath::ROOT, |mut warning| {
            warning.path.clone_from(&field);
            warning.message(text)
        });
    }

    fn spelled(path: &FieldPath<'_>, field: &str) -> String {
        let prefix = path.to_string();
        if prefix.is_empty() { field.to_owned() } else { format!("{prefix}.{field}") }
    }

    /// Walks down a path like `profiles[0].pluginConfig[NodeAffinity].args`.
    fn position(root: &Node, field: &str) -> Position {
        let mut here = root.clone();
        for part in field.split('.') {
            let (key, index) = match part.split_once('[') {
                Some((key, index)) => (key, Some(index.trim_end_matches(']'))),
                None => (part, None),
            };
            let Some(inside) = here.get(key).cloned() else { break };
            here = inside;
            let Some(index) = index else { continue };
            let found = here.as_sequence().and_then(|list| match index.parse::<usize>() {
                Ok(index) => list.get(index),
                Err(_) => list.iter().find(|entry| entry.get("name").and_then(Node::as_str) == Some(index)),
            });
            let Some(inside) = found.map(Cow::into_owned) else { break };
            here = inside;
        }
        here.position
    }
}
