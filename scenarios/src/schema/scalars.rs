//! Values that are no mappings of their own: words, names, times, amounts, lists.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;
use seatrial_api::calendar::Timestamp;
use seatrial_api::document::{Entry, FieldPath, Node, Position, Value};
use seatrial_api::duration::{self, DurationError};
use seatrial_api::quantity::Quantity;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, Span};

use super::json::{list, text};
use super::{Definitions, Field, JsonSchema, Reader, Rule, record};

/// A value with the place where it stands, for what can only be checked when all is read.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) position: Position,
    pub(crate) path: String,
}

impl<T: Field> Field for Placed<T> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Placed<T>> {
        T::read(node, path, reader).map(|value| Placed {
            value,
            position: node.position,
            path: path.to_string(),
        })
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        T::schema(definitions)
    }
}

impl<T: Field> Field for Option<T> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Option<T>> {
        T::read(node, path, reader).map(Some)
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        T::schema(definitions)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Vec<T>> {
        let Some(elements) = node.as_sequence() else { return reader.wrong(node, path, "a list") };
        let mut read =
            |(index, element): (usize, Cow<'_, Node>)| T::read(&element, &path.index(index), reader);
        // All elements are read, so that the errors of all of them are found.
        let values: Vec<Option<T>> = elements.iter().enumerate().map(&mut read).collect();
        values.into_iter().collect()
    }

    fn absent() -> Option<Vec<T>> {
        Some(Vec::new())
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        let items = T::schema(definitions).into_value();
        JsonSchema::of_type("array").with("items", items)
    }
}

/// Any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) CompactString);

impl Field for Text {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Text> {
        match &node.value {
            Value::String(text) => Some(Text(text.clone())),
            Value::Bool(_) | Value::Int(_) | Value::Unsigned(_) | Value::Float(_) => {
                reader.error(node.position, path, |error| {
                    let hint = format!("put quotes around it: \"{}\"", node.value);
                    error.expected("a text", node.to_string()).hint(hint)
                });
                None
            }
            _ => reader.wrong(node, path, "a text"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("string")
    }
}

/// A name that is made for the file: lower-case letters, digits and dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) Symbol);

const NAME_MAX: usize = 63;

impl Field for Name {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Name> {
        let Text(name) = Text::read(node, path, reader)?;
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let kept = !name.is_empty()
            && name.len() <= NAME_MAX
            && name.bytes().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !kept {
            return reader.wrong(node, path, "a name of lower-case letters, digits and dashes");
        }
        Some(Name(Symbol::new(&name)))
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("string")
            .with("pattern", text("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
            .with("maxLength", Value::Int(NAME_MAX as i64))
    }
}

/// The name of an object with its namespace, as people write it: `shop/cart`, or `cart` in the
/// namespace `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) namespace: Symbol,
    pub(crate) name: CompactString,
    /// Whether the namespace was written.
    pub(crate) qualified: bool,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Field for ObjectName {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<ObjectName> {
        let Text(written) = Text::read(node, path, reader)?;
        let (namespace, name) = written.split_once('/').unwrap_or(("default", &written));
        let kept = |part: &str| {
            let inner =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':');
            !part.is_empty() && part.bytes().all(inner)
        };
        if !kept(namespace) || !kept(name) {
            return reader.wrong(node, path, "the name of an object, such as shop/cart (namespace/name)");
        }
        let qualified = written.contains('/');
        Some(ObjectName { namespace: Symbol::new(namespace), name: name.into(), qualified })
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("string").with("pattern", text("^([-a-z0-9.:]+/)?[-a-z0-9.:]+$"))
    }
}

impl Field for bool {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => reader.wrong(node, path, "true or false"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("boolean")
    }
}

impl Field for u64 {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<u64> {
        match node.value {
            Value::Int(value) if value >= 0 => Some(value as u64),
            Value::Unsigned(value) => Some(value),
            _ => reader.wrong(node, path, "a whole number, 0 or more"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("integer").with("minimum", Value::Int(0))
    }
}

/// The most of anything that can be counted in a scenario.
const COUNT_MAX: u64 = 10_000_000;

impl Field for u32 {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<u32> {
        let value = u64::read(node, path, reader)?;
        match u32::try_from(value) {
            Ok(count) if value <= COUNT_MAX => Some(count),
            _ => reader.wrong(node, path, &format!("at most {COUNT_MAX}")),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("integer")
            .with("minimum", Value::Int(0))
            .with("maximum", Value::Int(COUNT_MAX as i64))
    }
}

impl Field for f64 {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<f64> {
        match node.value {
            Value::Int(value) => Some(value as f64),
            Value::Unsigned(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            _ => reader.wrong(node, path, "a number"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("number")
    }
}

impl Field for Span {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Span> {
        let problem = match &node.value {
            Value::String(written) => match duration::parse(written) {
                Ok(span) => return Some(span),
                Err(problem) => problem,
            },
            Value::Int(0) => return Some(Span::ZERO),
            Value::Int(value) if *value < 0 => DurationError::Negative,
            Value::Int(_) | Value::Unsigned(_) | Value::Float(_) => DurationError::UnitMissing,
            _ => DurationError::Malformed,
        };
        reader.error(node.position, path, |error| {
            let error = error.expected("a length of time such as 30s, 10m or 1h30m", node.to_string());
            if problem == DurationError::Malformed { error } else { error.hint(problem.to_string()) }
        });
        None
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
            .with("type", list([text("string"), text("integer")]))
            .with("pattern", text(r"^\+?(0|([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h|d|w))+$"))
            .with("maximum", Value::Int(0))
            .with("examples", list([text("30s"), text("10m"), text("1h30m")]))
    }
}

/// Reads an amount that Kubernetes could read, not below zero.
fn read_quantity(
    node: &Node,
    path: &FieldPath<'_>,
    reader: &mut Reader<'_>,
    expected: &str,
) -> Option<Quantity> {
    let written = match &node.value {
        Value::String(written) => written.clone(),
        Value::Int(_) | Value::Unsigned(_) | Value::Float(_) => CompactString::from(node.value.to_string()),
        _ => return reader.wrong(node, path, expected),
    };
    match Quantity::parse(&written) {
        Ok(quantity) if !quantity.is_negative() => Some(quantity),
        Ok(_) => reader.wrong(node, path, &format!("{expected}, not below zero")),
        Err(problem) => {
            reader.error(node.position, path, |error| {
                error.expected(expected, node.to_string()).hint(format!("it must be {problem}"))
            });
            None
        }
    }
}

fn quantity_schema(examples: [&str; 2]) -> JsonSchema {
    JsonSchema::default()
        .with("type", list([text("string"), text("number")]))
        .with("minimum", Value::Int(0))
        .with("pattern", text(r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?$"))
        .with("examples", list(examples.map(text)))
}

impl Field for MilliCpu {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<MilliCpu> {
        read_quantity(node, path, reader, "an amount of CPU such as 250m or 1.5").map(Quantity::as_milli_cpu)
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        quantity_schema(["250m", "1.5"])
    }
}

impl Field for Bytes {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Bytes> {
        read_quantity(node, path, reader, "an amount of memory such as 200Mi or 16Gi").map(Quantity::as_bytes)
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        quantity_schema(["200Mi", "16Gi"])
    }
}

/// A share of a whole: a number from 0 to 1, or a percentage such as `5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share(pub(crate) Ratio);

/// To how many parts a share is kept.
const SHARE_PARTS: i64 = 1_000_000_000;

impl Field for Share {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Share> {
        let written = match &node.value {
            Value::String(text) => text.strip_suffix('%').map(|number| (number.to_owned(), 100)),
            Value::Int(_) | Value::Float(_) => Some((node.value.to_string(), 1)),
            _ => None,
        };
        let nanos = written.and_then(|(number, parts)| {
            let amount = Quantity::parse(&number).ok()?;
            i64::try_from(amount.nanos() / parts).ok()
        });
        match nanos {
            Some(nanos @ 0..=SHARE_PARTS) => Some(Share(Ratio::new(nanos, SHARE_PARTS))),
            _ => reader.wrong(node, path, "a share from 0 to 1, or from 0% to 100%"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default()
            .with("type", list([text("number"), text("string")]))
            .with("minimum", Value::Int(0))
            .with("maximum", Value::Int(1))
            .with("pattern", text(r"^[0-9]+(\.[0-9]+)?%$"))
    }
}

impl Field for Timestamp {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Timestamp> {
        let parsed = node.as_str().and_then(|text| Timestamp::parse(text).ok());
        parsed.or_else(|| reader.wrong(node, path, "a time in the format of RFC 3339: 2030-01-01T00:00:00Z"))
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::of_type("string").with("format", text("date-time"))
    }
}

/// An amount of anything, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount(pub(crate) i64);

impl Field for Amount {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Amount> {
        let quantity = read_quantity(node, path, reader, "an amount such as 500 or 1.5k");
        quantity.map(|quantity| Amount(quantity.ceil_millis()))
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        quantity_schema(["500", "1.5k"])
    }
}

/// Labels: names with texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelMap(pub(crate) Vec<(Symbol, Symbol)>);

impl Field for LabelMap {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<LabelMap> {
        let Some(mapping) = node.as_mapping() else { return reader.wrong(node, path, "a mapping of labels") };
        let read = |entry: &Entry| {
            let Text(value) = Text::read(&entry.value, &path.key(&entry.key), reader)?;
            Some((Symbol::new(&entry.key), Symbol::new(&value)))
        };
        let pairs: Vec<_> = mapping.entries().iter().map(read).collect();
        pairs.into_iter().collect::<Option<Vec<_>>>().map(LabelMap)
    }

    fn absent() -> Option<LabelMap> {
        Some(LabelMap::default())
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        let value = JsonSchema::of_type("string").into_value();
        JsonSchema::of_type("object").with("additionalProperties", value)
    }
}

record! {
    /// The bounds within which a figure must stay.
    pub(crate) struct Bounds {
        /// At least.
        min("min"): Option<f64>,
        /// At most.
        max("max"): Option<f64>,
    }
    rules [Rule::AtLeastOne(&["min", "max"])]
}

/// Defines a choice among words: an enum, its reader and its schema.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub(crate) enum $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $crate::schema::Field for $name {
            fn read(
                node: &seatrial_api::document::Node,
                path: &seatrial_api::document::FieldPath<'_>,
                reader: &mut $crate::schema::Reader<'_>,
            ) -> Option<$name> {
                match node.as_str() {
                    $(Some($word) => Some($name::$variant),)+
                    _ => $crate::schema::wrong_word(node, path, reader, &[$($word),+]),
                }
            }

            fn schema(_: &mut $crate::schema::Definitions) -> $crate::schema::JsonSchema {
                $crate::schema::words(&[$(($word, concat!($($doc,)+))),+])
            }
        }
    };
}
pub(crate) use choice;

/// Says that `node` is none of `words`.
pub(crate) fn wrong_word<T>(
    node: &Node,
    path: &FieldPath<'_>,
    reader: &mut Reader<'_>,
    words: &[&'static str],
) -> Option<T> {
    let near = node.as_str().and_then(|typed| super::nearest(typed, words.iter().copied()));
    reader.error(node.position, path, |error| {
        let error = error.expected(super::one_of(words), node.to_string());
        match near {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        }
    });
    None
}

/// The schema of a choice among words, each with what it means.
pub(crate) fn words(words: &[(&'static str, &'static str)]) -> JsonSchema {
    let word = |&(word, about): &(&'static str, &'static str)| {
        JsonSchema::default().with("const", text(word)).described(about.trim()).into_value()
    };
    JsonSchema::default().with("oneOf", list(words.iter().map(word)))
}
