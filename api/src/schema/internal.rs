//! Values as the API server holds them inside: what its messages print when they print an object.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Field, Struct, Type, schema};
use crate::document::{Node, Value, write_json_string};
use crate::quantity::Quantity;
use crate::rest::go_value::escape_html;

static TYPES: &str = include_str!("internal.txt");

/// A field of an internal structure.
struct Internal {
    go_name: &'static str,
    of: &'static str,
    /// The name in JSON and whether it is left out when empty, where a tag says so.
    tag: Option<(&'static str, bool)>,
    embedded: bool,
}

#[derive(Default)]
struct Table {
    structs: BTreeMap<&'static str, Vec<Internal>>,
    names: BTreeMap<&'static str, &'static str>,
}

fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(read);
    &TABLE
}

fn read() -> Table {
    let mut table = Table::default();
    for line in TYPES.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (what, id) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        match what {
            "name" => drop(table.names.insert(id, words.next().unwrap_or(""))),
            _ => drop(table.structs.insert(id, words.filter(|word| !word.is_empty()).map(field).collect())),
        }
    }
    table
}

fn field(word: &'static str) -> Internal {
    if let Some(of) = word.strip_prefix('+') {
        return Internal { go_name: "", of, tag: None, embedded: true };
    }
    let mut parts = word.splitn(3, ':');
    let (go_name, of) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let tag = parts.next().map(|tag| (tag.split(',').next().unwrap_or(""), tag.contains("omitempty")));
    Internal { go_name, of, tag, embedded: false }
}

/// The internal structure that stands for `id`, if it has one: `core.PodSpec` for `core/v1.PodSpec`.
pub fn internal_type_of(id: &str) -> Option<&'static str> {
    let (package, name) = (id.split('/').next()?, id.rsplit('.').next()?);
    table().structs.get_key_value(format!("{package}.{name}").as_str()).map(|(id, _)| *id)
}

/// The value of type `of` (as in `core.PodSpec`, `[]core.Taint`, `*int32`) that `node` is, as a tree
/// in which fields stand as Go's encoder writes them.
pub fn internal_json(of: &'static str, node: Option<&Node>) -> Node {
    render(of, node.filter(|node| !node.is_null()), None)
}

/// A tree as indented JSON, as Go's encoder writes it with one space for each level.
pub fn pretty_json(node: &Node) -> String {
    let mut out = String::new();
    pretty(node, 0, &mut out);
    escape_html(&out)
}

fn pretty(node: &Node, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    };
    match &node.value {
        Value::Sequence(elements) if !elements.is_empty() => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                line(depth + 1, out);
                pretty(&element, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Value::Mapping(fields) if !fields.entries().is_empty() => {
            out.push('{');
            for (index, entry) in fields.entries().iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                line(depth + 1, out);
                write_json_string(&entry.key, out).expect("invariant: writing to a string cannot fail");
                out.push_str(": ");
                pretty(&entry.value, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        value => out.push_str(&value.to_string()),
    }
}

fn null() -> Node {
    Node::unplaced(Value::Null)
}

/// `parent` is the mapping in which the value stands, for what the server holds elsewhere.
fn render(of: &'static str, node: Option<&Node>, parent: Option<&Node>) -> Node {
    if let Some(inner) = of.strip_prefix('*') {
        return node.map_or_else(null, |node| render(inner, Some(node), parent));
    }
    if let Some(element) = of.strip_prefix("[]") {
        return match node {
            None => null(),
            Some(node) if element == "byte" => node.clone(),
            Some(node) => {
                let elements = node.as_sequence().map(|list| list.to_vec()).unwrap_or_default();
                Node::list(
                    elements.iter().map(|node| render(element, Some(node).filter(|n| !n.is_null()), None)),
                )
            }
        };
    }
    if let Some((_, value)) = of.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        let Some(fields) = node.and_then(Node::as_mapping) else { return null() };
        let mut entries: Vec<_> = fields.entries().iter().collect();
        entries.sort_by(|one, two| one.key.cmp(&two.key));
        return Node::object(
            entries.iter().map(|entry| (entry.key.clone(), render(value, Some(&entry.value), None))),
        );
    }
    match of {
        "string" | "types.UID" | "types.NodeName" => node.cloned().unwrap_or_else(|| Node::text("")),
        "bool" => node.cloned().unwrap_or_else(|| Node::bool(false)),
        "int" | "int32" | "int64" | "uint32" | "uint8" | "byte" | "float64" | "intstr.IntOrString" => {
            node.cloned().unwrap_or_else(|| Node::int(0))
        }
        "resource.Quantity" => quantity(node),
        "meta/v1.Time" | "meta/v1.MicroTime" => node.cloned().unwrap_or_else(null),
        id if id.starts_with("meta/v1.") => external(id, node),
        id => match table().names.get(id) {
            Some(inner) => render(inner, node, parent),
            None => Node::object(structure(id, node, parent)),
        },
    }
}

/// A quantity in canonical form.
fn quantity(node: Option<&Node>) -> Node {
    let text = match node.map(|node| &node.value) {
        None => "0".to_owned(),
        Some(Value::String(text)) => text.to_string(),
        Some(other) => other.to_string(),
    };
    Node::text(Quantity::parse(text.trim()).map_or(text.clone(), |quantity| quantity.to_string()))
}

type Entries = Vec<(&'static str, Node)>;

fn structure(id: &'static str, node: Option<&Node>, parent: Option<&Node>) -> Entries {
    let mut out = Entries::new();
    fill(id, node, parent, outer(id), &mut out);
    out
}

/// The structure in documents that stands for an internal one.
fn outer(id: &str) -> Option<&'static Struct> {
    let (package, name) = id.split_once('.')?;
    let find = |version: &str| schema().get(&format!("{package}/{version}.{name}"));
    find("v2").or_else(|| find("v1"))
}

fn fill(
    id: &'static str,
    node: Option<&Node>,
    parent: Option<&Node>,
    outer: Option<&'static Struct>,
    out: &mut Entries,
) {
    for field in table().structs.get(id).into_iter().flatten() {
        match (field.embedded, field.of) {
            (true, "meta/v1.ObjectMeta") => {
                out.extend(external_fields(field.of, node.and_then(|node| node.field("metadata"))));
            }
            (true, of) if of.starts_with("meta/v1.") => out.extend(external_fields(of, node)),
            (true, of) => fill(of, node, None, outer, out),
            (false, _) => one(field, id, node, parent, outer, out),
        }
    }
}

fn one(
    field: &'static Internal,
    id: &str,
    node: Option<&Node>,
    parent: Option<&Node>,
    outer: Option<&'static Struct>,
    out: &mut Entries,
) {
    let outside = outer.and_then(|outer| outer.fields.iter().find(|known| known.go_name == field.go_name));
    // The server keeps what pods share with their node inside the security context.
    let shared = (id == "core.PodSecurityContext").then(|| shared_with_node(field.go_name)).flatten();
    let value = match (outside, shared) {
        (Some(outside), _) => node.and_then(|node| node.field(outside.name)),
        (None, Some(name)) => parent.and_then(|parent| parent.field(name)),
        (None, None) => None,
    };
    let (name, omit) = field.tag.unwrap_or((field.go_name, false));
    if omit && value.is_none() {
        return;
    }
    out.push((name, render(field.of, value, node)));
}

/// The field of a pod's specification that the server keeps in its security context.
fn shared_with_node(go_name: &str) -> Option<&'static str> {
    Some(match go_name {
        "HostNetwork" => "hostNetwork",
        "HostPID" => "hostPID",
        "HostIPC" => "hostIPC",
        "ShareProcessNamespace" => "shareProcessNamespace",
        "HostUsers" => "hostUsers",
        _ => return None,
    })
}

/// A value of a type that is the same inside and outside, with its fields in Go's order.
fn external(id: &str, node: Option<&Node>) -> Node {
    Node::object(external_fields(id, node))
}

fn external_fields(id: &str, node: Option<&Node>) -> Entries {
    let Some(structure) = schema().get(id) else { return Entries::new() };
    structure.fields.iter().filter_map(|field| external_field(field, node)).collect()
}

fn external_field(field: &'static Field, node: Option<&Node>) -> Option<(&'static str, Node)> {
    let value = node.and_then(|node| node.field(field.name));
    let Some(value) = value.filter(|value| !field.omit_empty || field.pointer || !is_empty(value)) else {
        return (!field.omit_empty).then(|| (field.name, empty_of(&field.of)));
    };
    Some((field.name, external_value(&field.of, value)))
}

fn is_empty(value: &Node) -> bool {
    match &value.value {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::String(text) => text.is_empty(),
        Value::Sequence(elements) => elements.is_empty(),
        Value::Mapping(fields) => fields.entries().is_empty(),
        _ => false,
    }
}

fn empty_of(of: &Type) -> Node {
    match of.plain() {
        Type::Bool => Node::bool(false),
        Type::Int { .. } | Type::Unsigned { .. } | Type::Float | Type::IntOrString => Node::int(0),
        Type::String | Type::Duration => Node::text(""),
        Type::Struct(id) => external(id, None),
        Type::Quantity => Node::text("0"),
        _ => null(),
    }
}

/// A value with the fields of its structures in Go's order and the keys of its mappings sorted.
fn external_value(of: &Type, node: &Node) -> Node {
    match (of.plain(), &node.value) {
        (Type::Struct(id), _) => external(id, Some(node)),
        (Type::List(element), Value::Sequence(elements)) => {
            Node::list(elements.iter().map(|node| external_value(element, &node)))
        }
        (Type::Map(value), Value::Mapping(fields)) => {
            let mut entries: Vec<_> = fields.entries().iter().collect();
            entries.sort_by(|one, two| one.key.cmp(&two.key));
            Node::object(entries.iter().map(|entry| (entry.key.clone(), external_value(value, &entry.value))))
        }
        (Type::Quantity, _) => quantity(Some(node)),
        _ => node.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_the_server_holds_them() {
        let strategy = Node::object([("type", Node::text("Blue"))]);
        assert_eq!(
            internal_json("apps.DeploymentStrategy", Some(&strategy)).value.to_string(),
            r#"{"Type":"Blue","RollingUpdate":null}"#
        );
        let taint = Node::object([("effect", Node::text("NoSchedule")), ("key", Node::text("b"))]);
        assert_eq!(
            internal_json("core.Taint", Some(&taint)).value.to_string(),
            r#"{"Key":"b","Value":"","Effect":"NoSchedule","TimeAdded":null}"#
        );
        let spec = Node::object([("hostNetwork", Node::bool(true)), ("securityContext", Node::empty())]);
        let printed = internal_json("core.PodSpec", Some(&spec)).value.to_string();
        assert!(printed.contains(r#""SecurityContext":{"HostNetwork":true,"HostPID":false,"#), "{printed}");
        assert_eq!(internal_type_of("batch/v1.JobSpec"), Some("batch.JobSpec"));
    }

    #[test]
    fn indented_json_has_one_space_for_each_level() {
        let node = Node::object([("a", Node::list([Node::int(1)])), ("b", Node::empty())]);
        assert_eq!(pretty_json(&node), "{\n \"a\": [\n  1\n ],\n \"b\": {}\n}");
    }
}
