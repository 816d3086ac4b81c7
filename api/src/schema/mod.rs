//! The types of the Kubernetes API as data: names, types, numbers and merge rules of all fields.
//!
//! One table serves whoever handles objects without a type of their own here: decoding with Go's
//! errors, patches, defaulting, the printing of values in messages, and whatever describes the API
//! to clients. It holds facts about the interface and nothing else.

mod internal;
mod table;

pub use internal::{internal_json, internal_type_of, pretty_json};

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A text.
    String,
    /// A truth value.
    Bool,
    /// A whole number of `bits`, with a sign.
    Int {
        /// Its size, 32 or 64.
        bits: u8,
    },
    /// A whole number of 64 bits without a sign, or of 8 or 32.
    Unsigned {
        /// Its size.
        bits: u8,
    },
    /// A number with a fraction.
    Float,
    /// Bytes, in JSON a text in base64.
    Bytes,
    /// A quantity such as `100m`.
    Quantity,
    /// A whole number or a text.
    IntOrString,
    /// An instant in whole seconds (RFC 3339).
    Time,
    /// An instant in microseconds (RFC 3339).
    MicroTime,
    /// A duration such as `1h30m`.
    Duration,
    /// Any value, kept as it is.
    Raw,
    /// A named scalar, list or map: its name in Go and what it is.
    Named(&'static str, Box<Type>),
    /// A list.
    List(Box<Type>),
    /// A mapping from texts.
    Map(Box<Type>),
    /// A structure, by its id, as in `core/v1.PodSpec`.
    Struct(&'static str),
}

impl Type {
    /// The type without its name.
    pub fn plain(&self) -> &Type {
        match self {
            Type::Named(_, inner) => inner.plain(),
            other => other,
        }
    }

    /// The type as Go's messages spell it: `[]v1.Container`.
    pub fn go_text(&self) -> String {
        match self {
            Type::String => "string".into(),
            Type::Bool => "bool".into(),
            Type::Int { bits } => format!("int{bits}"),
            Type::Unsigned { bits } => format!("uint{bits}"),
            Type::Float => "float64".into(),
            Type::Bytes => "[]uint8".into(),
            Type::Quantity => "resource.Quantity".into(),
            Type::IntOrString => "intstr.IntOrString".into(),
            Type::Time => "v1.Time".into(),
            Type::MicroTime => "v1.MicroTime".into(),
            Type::Duration => "v1.Duration".into(),
            Type::Raw => "runtime.RawExtension".into(),
            Type::Named(name, _) => (*name).into(),
            Type::List(element) => format!("[]{}", element.go_text()),
            Type::Map(value) => format!("map[string]{}", value.go_text()),
            Type::Struct(id) => go_name(id).into(),
        }
    }
}

/// `v1.PodSpec` of `core/v1.PodSpec`.
fn go_name(id: &'static str) -> &'static str {
    id.rsplit('/').next().unwrap_or(id)
}

/// How a strategic merge patch treats a list or mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merge {
    /// Elements are merged into the list instead of replacing it.
    pub elements: bool,
    /// The field by which elements are told apart; `None` for lists of scalars.
    pub key: Option<&'static str>,
    /// Fields that the patch does not name in `$retainKeys` go.
    pub retain_keys: bool,
}

/// What server-side apply tells apart in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// The list as a whole.
    #[default]
    Atomic,
    /// Each scalar.
    Set,
    /// Each element, by these fields.
    Map(Vec<&'static str>),
}

/// A field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in documents.
    pub name: &'static str,
    /// Its name in Go.
    pub go_name: &'static str,
    /// Its protobuf number.
    pub number: u32,
    /// The protobuf number of the inline structure that it stands in, and that structure; 0 if
    /// protobuf knows no such level.
    pub inline: Option<(u32, &'static str)>,
    /// Its type, without the pointer.
    pub of: Type,
    /// Whether Go holds it by a pointer, so that absent and empty differ.
    pub pointer: bool,
    /// Whether an empty value is left out when the object is written.
    pub omit_empty: bool,
    /// Whether clients must give it.
    pub required: bool,
    /// How strategic merge patches treat it.
    pub merge: Merge,
    /// How server-side apply treats it, if it is a list.
    pub list: ListType,
    /// Whether server-side apply treats the mapping or structure as a whole.
    pub atomic: bool,
}

/// A structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struct {
    /// Its id, `group/version.Name`.
    pub id: &'static str,
    /// Its fields in order, those of inline structures in their places.
    pub fields: Vec<Field>,
}

impl Struct {
    /// The field with this name in documents.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The name alone: `PodSpec`.
    pub fn name(&self) -> &'static str {
        self.id.rsplit('.').next().unwrap_or(self.id)
    }
}

/// The table.
#[derive(Debug)]
pub struct Schema {
    structs: BTreeMap<&'static str, Struct>,
}

impl Schema {
    /// The structure with this id.
    pub fn get(&self, id: &str) -> Option<&Struct> {
        self.structs.get(id)
    }

    /// All structures, in the order of their ids.
    pub fn structs(&self) -> impl Iterator<Item = &Struct> {
        self.structs.values()
    }
}

/// The types of the API. The table is read at the first use.
pub fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema { structs: table::structs() });
    &SCHEMA
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_fields_numbers_and_merge_rules() {
        let spec = schema().get("core/v1.PodSpec").expect("it is there");
        let containers = spec.field("containers").expect("a field");
        assert_eq!((containers.go_name, containers.number), ("Containers", 2));
        assert_eq!(containers.of.go_text(), "[]v1.Container");
        assert_eq!(containers.merge, Merge { elements: true, key: Some("name"), retain_keys: false });
        let volume = schema().get("core/v1.Volume").expect("it is there");
        let inline = volume.field("hostPath").expect("an inline field");
        assert_eq!(inline.inline, Some((2, "core/v1.VolumeSource")));
        assert!(
            schema().get("core/v1.PodSpec").is_some_and(|spec| spec
                .field("volumes")
                .unwrap()
                .merge
                .retain_keys)
        );
        let strategy =
            schema().get("apps/v1.DeploymentSpec").and_then(|spec| spec.field("strategy")).unwrap();
        assert!(strategy.merge.retain_keys && !strategy.merge.elements);
    }

    #[test]
    fn every_structure_that_a_field_names_is_in_the_table() {
        fn named(of: &Type) -> Option<&'static str> {
            match of {
                Type::Struct(id) => Some(id),
                Type::List(inner) | Type::Map(inner) | Type::Named(_, inner) => named(inner),
                _ => None,
            }
        }
        for structure in schema().structs() {
            for field in &structure.fields {
                if let Some(id) = named(&field.of) {
                    assert!(schema().get(id).is_some(), "{}.{}: {id}", structure.id, field.name);
                }
            }
        }
    }
}
