//! Reads the table of types. It is part of the program, so a fault in it is a bug.

use std::collections::BTreeMap;

use super::{Field, ListType, Merge, Struct, Type, go_name};

static TYPES: &str = include_str!("types.txt");

/// All structures by their ids, inline ones resolved.
pub(super) fn structs() -> BTreeMap<&'static str, Struct> {
    let lines = || TYPES.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let names: BTreeMap<&str, &str> = lines()
        .filter_map(|line| line.strip_prefix("@name "))
        .map(|rest| rest.split_once(' ').expect("invariant: a name and its type"))
        .collect();
    let mut written: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
    let mut current = "";
    for line in lines().filter(|line| !line.starts_with("@name ")) {
        match line.strip_prefix("@type ") {
            Some(id) => {
                current = id;
                written.insert(id, Vec::new());
            }
            None => written.get_mut(current).expect("invariant: a type comes first").push(line),
        }
    }
    let build = |id: &'static str| Struct { id, fields: fields(id, &written, &names, None) };
    written.keys().map(|&id| (id, build(id))).collect()
}

type Written = BTreeMap<&'static str, Vec<&'static str>>;
type Names = BTreeMap<&'static str, &'static str>;

fn fields(id: &str, written: &Written, names: &Names, inline: Option<(u32, &'static str)>) -> Vec<Field> {
    let mut out = Vec::new();
    for line in written.get(id).into_iter().flatten() {
        match line.strip_prefix("+ ") {
            Some(rest) => {
                let (inner, number) = rest.split_once(' ').expect("invariant: a type and its number");
                let level = (number_of(number), inner);
                out.extend(fields(inner, written, names, Some(level)));
            }
            None => out.push(field(line, names, inline)),
        }
    }
    out
}

fn number_of(text: &str) -> u32 {
    text.parse().expect("invariant: a protobuf number")
}

fn field(line: &'static str, names: &Names, inline: Option<(u32, &'static str)>) -> Field {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("invariant: name, Go name, number and type");
    let (name, go_name, number, of) = (word(), word(), word(), word());
    let mut field = Field {
        name,
        go_name,
        number: number_of(number),
        inline,
        of: type_of(of.trim_start_matches('*'), names),
        pointer: of.starts_with('*'),
        omit_empty: false,
        required: false,
        merge: Merge::default(),
        list: ListType::default(),
        atomic: false,
    };
    for flag in words {
        match flag.split_once('=') {
            None => match flag {
                "omitempty" => field.omit_empty = true,
                "required" => field.required = true,
                _ => unreachable!("invariant: a known flag"),
            },
            Some(("patch", strategies)) => {
                field.merge.elements = strategies.split(',').any(|strategy| strategy == "merge");
                field.merge.retain_keys = strategies.split(',').any(|strategy| strategy == "retainKeys");
            }
            Some(("key", key)) => field.merge.key = Some(key),
            Some(("list", "set")) => field.list = ListType::Set,
            Some(("keys", keys)) => field.list = ListType::Map(keys.split(',').collect()),
            Some(("map" | "struct", how)) => field.atomic = how == "atomic",
            Some(_) => {}
        }
    }
    field
}

/// The type that a text of the table says.
fn type_of(text: &'static str, names: &Names) -> Type {
    if let Some(element) = text.strip_prefix("[]") {
        return match element {
            "byte" => Type::Bytes,
            element => Type::List(Box::new(type_of(element.trim_start_matches('*'), names))),
        };
    }
    if let Some(rest) = text.strip_prefix("map[") {
        let (_, value) = rest.split_once(']').expect("invariant: a map has a key");
        return Type::Map(Box::new(type_of(value.trim_start_matches('*'), names)));
    }
    match text {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int" | "int64" => Type::Int { bits: 64 },
        "int32" => Type::Int { bits: 32 },
        "byte" | "uint8" => Type::Unsigned { bits: 8 },
        "uint32" => Type::Unsigned { bits: 32 },
        "uint64" => Type::Unsigned { bits: 64 },
        "float64" => Type::Float,
        "resource.Quantity" => Type::Quantity,
        "intstr.IntOrString" => Type::IntOrString,
        "meta/v1.Time" => Type::Time,
        "meta/v1.MicroTime" => Type::MicroTime,
        "meta/v1.Duration" => Type::Duration,
        "meta/v1.FieldsV1" | "runtime.RawExtension" => Type::Raw,
        "types.UID" | "types.NodeName" => Type::Named(text, Box::new(Type::String)),
        id => match names.get(id) {
            Some(inner) => Type::Named(go_name(id), Box::new(type_of(inner, names))),
            None => Type::Struct(id),
        },
    }
}
