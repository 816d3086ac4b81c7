//! Mappings of several shapes, told apart by a field that only one of them has.

use seatrial_api::document::{FieldPath, Node};

use super::{Definitions, JsonSchema, Reader, nearest};

/// The key of `keys` that `node` has, or a finding that it has none of them.
pub(crate) fn read_union(
    node: &Node,
    path: &FieldPath<'_>,
    reader: &mut Reader<'_>,
    keys: &[&'static str],
) -> Option<&'static str> {
    let expected = format!("a mapping with one of the fields {}", keys.join(", "));
    let Some(mapping) = node.as_mapping() else { return reader.wrong(node, path, &expected) };
    if let Some(key) = keys.iter().find(|key| mapping.get(key).is_some()) {
        return Some(key);
    }
    let mut entries = mapping.entries().iter();
    let meant = entries.find_map(|entry| Some((entry, nearest(&entry.key, keys.iter().copied())?)));
    match meant {
        Some((entry, near)) => reader.error(entry.position, &path.key(&entry.key), |error| {
            error.message("there is no such field").hint(format!("did you mean {near}?"))
        }),
        None => reader.error(node.position, path, |error| error.expected(expected, node.to_string())),
    }
    None
}

/// The schema of a mapping of one of several shapes.
pub(crate) fn union_schema(
    definitions: &mut Definitions,
    name: &'static str,
    about: &str,
    shapes: impl FnOnce(&mut Definitions) -> Vec<JsonSchema>,
) -> JsonSchema {
    definitions.shared(name, |definitions| {
        let shapes = shapes(definitions);
        JsonSchema::any_of(shapes).described(about)
    })
}

/// Defines a union: an enum, its reader and its schema. Each variant is a record that has the
/// field that is named with it.
macro_rules! union {
    (
        $(#[doc = $about:literal])+
        pub(crate) enum $name:ident {
            $($variant:ident($key:literal): $type:ty,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub(crate) enum $name {
            $($variant($type),)+
        }

        impl $crate::schema::Field for $name {
            fn read(
                node: &seatrial_api::document::Node,
                path: &seatrial_api::document::FieldPath<'_>,
                reader: &mut $crate::schema::Reader<'_>,
            ) -> Option<$name> {
                match $crate::schema::read_union(node, path, reader, &[$($key),+])? {
                    $($key => <$type as $crate::schema::Field>::read(node, path, reader).map($name::$variant),)+
                    _ => None,
                }
            }

            fn schema(definitions: &mut $crate::schema::Definitions) -> $crate::schema::JsonSchema {
                let about = concat!($($about,)+);
                $crate::schema::union_schema(definitions, stringify!($name), about.trim(), |definitions| {
                    vec![$(<$type as $crate::schema::Field>::schema(definitions)),+]
                })
            }
        }
    };
}
pub(crate) use union;
