//! The value tree: what a YAML or JSON document says, with the place of every value in the file.

use super::diagnostic::Position;
use super::number;
use super::sequence::Sequence;
use compact_str::CompactString;
use std::fmt::{self, Write};
use std::sync::Arc;

/// A value and where it stands.
///
/// Lists and mappings are shared: cloning a node, which is what an alias does, costs a counter.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it says.
    pub value: Value,
    /// Where it begins.
    pub position: Position,
}

const _: () = assert!(size_of::<Node>() == 32, "a node is half a cache line");

/// What a YAML or JSON document can say, with the types that `kubectl` would send to the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`, and the spellings of YAML 1.1.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above `i64::MAX`.
    Unsigned(u64),
    /// Any other number; finite.
    Float(f64),
    /// A text.
    String(CompactString),
    /// A list.
    Sequence(Sequence),
    /// Keys with values.
    Mapping(Mapping),
}

/// The fields of an object, in the order of the file; no key occurs twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping(Arc<[Entry]>);

/// A field: its key, where the key stands, and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: CompactString,
    /// Where the key stands.
    pub position: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A value from no file.
    pub fn unplaced(value: Value) -> Node {
        Node { value, position: Position::NONE }
    }

    /// The field `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key)
    }

    /// The value below several keys, one inside the other.
    pub fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The fields, if this is a mapping.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The elements, if this is a list.
    pub fn as_sequence(&self) -> Option<&Sequence> {
        match &self.value {
            Value::Sequence(elements) => Some(elements),
            _ => None,
        }
    }

    /// Whether this is `null`, which Kubernetes treats as if the field were absent.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
}

impl Mapping {
    /// The fields `entries`, whose keys must differ.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Mapping {
        Mapping(entries.into_iter().collect())
    }

    /// Whether something else, such as an anchor, has the same fields.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(super) fn is_same(&self, other: &Mapping) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The field `key`. Costs a look at each key, which are few in all that is looked up by key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// All fields, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// All fields, to be changed; copies them if something else has them too.
    pub(super) fn entries_mut(&mut self) -> &mut [Entry] {
        Arc::make_mut(&mut self.0)
    }

    /// A copy in which `key` has the value `value`, at its old place or at the end.
    pub fn with(&self, key: &str, value: Node) -> Mapping {
        let mut entries = self.0.to_vec();
        match entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.value = value,
            None => entries.push(Entry { key: key.into(), position: value.position, value }),
        }
        Mapping::new(entries)
    }
}

/// Describes a value to a user who expected another: `"three"`, `3`, `a list of 2`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Sequence(elements) if elements.is_empty() => f.write_str("an empty list"),
            Value::Sequence(elements) => write!(f, "a list of {}", elements.len()),
            Value::Mapping(fields) => match fields.entries() {
                [] => f.write_str("an empty mapping"),
                [only] => write!(f, "a mapping with the key {}", only.key),
                [first, ..] => write!(f, "a mapping with the keys {}, …", first.key),
            },
            Value::String(text) if text.chars().count() > SHOWN => {
                let start: String = text.chars().take(SHOWN).collect();
                write!(f, "\"{}…\"", start.escape_debug())
            }
            value => write!(f, "{value}"),
        }
    }
}

/// Characters of a text that a message quotes.
const SHOWN: usize = 60;

/// Writes the value as compact JSON, numbers as Go's encoder writes them.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Unsigned(value) => write!(f, "{value}"),
            Value::Float(value) => f.write_str(&number::json_text(*value)),
            Value::String(text) => write_json_string(text, f),
            Value::Sequence(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    element.value.fmt(f)?;
                }
                f.write_char(']')
            }
            Value::Mapping(fields) => {
                f.write_char('{')?;
                for (index, entry) in fields.entries().iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write_json_string(&entry.key, f)?;
                    f.write_char(':')?;
                    entry.value.value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

/// Writes `text` as a JSON string, quotes included.
pub fn write_json_string(text: &str, out: &mut dyn Write) -> fmt::Result {
    out.write_char('"')?;
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.write_str(&text[start..index])?;
        match escape {
            "" => write!(out, "\\u{byte:04x}")?,
            known => out.write_str(known)?,
        }
        start = index + 1;
    }
    out.write_str(&text[start..])?;
    out.write_char('"')
}
