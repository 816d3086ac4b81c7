//! The JSON Schema and the reader say the same, as far as a schema can: what the one accepts the
//! other accepts, and every field of the schema is in use somewhere.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::Folder;
use seatrial_api::document::{Diagnostics, DuplicateKeys, Node, Value, read_documents};
use seatrial_scenarios::{Files, schema};

/// The schema, and which of its fields were seen in an instance.
struct Schema {
    root: Node,
    seen: BTreeSet<String>,
}

fn read(name: &str, text: &[u8]) -> Node {
    let mut findings = Diagnostics::new();
    let mut nodes = read_documents(name, text, DuplicateKeys::Refused, &mut findings);
    assert!(!findings.has_errors() && nodes.len() == 1, "{findings}");
    nodes.remove(0)
}

impl Schema {
    fn new() -> Schema {
        Schema { root: read("schema", schema().as_bytes()), seen: BTreeSet::new() }
    }

    /// What is wrong with `instance` by `schema`, the name of which is `place`.
    fn check(&mut self, schema: &Node, instance: &Node, place: &str) -> Result<(), String> {
        if let Value::Bool(accepts) = schema.value {
            return if accepts { Ok(()) } else { Err("nothing may stand here".into()) };
        }
        for entry in schema.as_mapping().expect("a schema is a mapping").entries() {
            let value = &entry.value;
            match entry.key.as_str() {
                "$ref" => {
                    let name =
                        value.as_str().and_then(|text| text.strip_prefix("#/$defs/")).expect("a definition");
                    let definition = self.root.at(&["$defs", name]).expect(name).clone();
                    self.check(&definition, instance, name)?;
                }
                "type" => has_type(value, instance)?,
                "const" if value.value != instance.value => return Err(format!("{instance} is not {value}")),
                "enum" if !list(value).iter().any(|known| known.value == instance.value) => {
                    return Err(format!("{instance} is not in the list"));
                }
                "minimum" if number(instance).is_some_and(|it| Some(it) < number(value)) => {
                    return Err(format!("{instance} < {value}"));
                }
                "maximum" if number(instance).is_some_and(|it| Some(it) > number(value)) => {
                    return Err(format!("{instance} > {value}"));
                }
                "items" => {
                    for element in instance.as_sequence().into_iter().flatten() {
                        self.check(value, &element, place)?;
                    }
                }
                "properties" => self.check_fields(schema, instance, place)?,
                "required" => {
                    let missing = list(value).into_iter().find(|key| instance.get(text(key)).is_none());
                    if let (Some(key), true) = (missing, instance.as_mapping().is_some()) {
                        return Err(format!("{key} is missing"));
                    }
                }
                "dependentRequired" => {
                    for entry in value.as_mapping().expect("a mapping").entries() {
                        let needed = list(&entry.value).iter().all(|key| instance.get(text(key)).is_some());
                        if instance.get(&entry.key).is_some() && !needed {
                            return Err(format!("{} needs another", entry.key));
                        }
                    }
                }
                "allOf" => list(value).iter().try_for_each(|part| self.check(part, instance, place))?,
                "anyOf" | "oneOf" => {
                    let results: Vec<_> =
                        list(value).iter().map(|part| self.check(part, instance, place)).collect();
                    let kept = results.iter().filter(|result| result.is_ok()).count();
                    if kept == 0 || (entry.key == "oneOf" && kept > 1) {
                        return Err(format!("{kept} of {:?}", results));
                    }
                }
                "if" => {
                    let branch = if self.check(value, instance, place).is_ok() { "then" } else { "else" };
                    let branch = schema.get(branch).expect("both branches").clone();
                    self.check(&branch, instance, place)?;
                }
                "not" if self.check(value, instance, place).is_ok() => return Err("what must not be".into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_fields(&mut self, schema: &Node, instance: &Node, place: &str) -> Result<(), String> {
        let Some(mapping) = instance.as_mapping() else { return Ok(()) };
        let open = schema.get("patternProperties").is_some();
        let others = schema.get("additionalProperties").filter(|others| others.as_mapping().is_some());
        let partial = !open && schema.get("additionalProperties").is_none();
        for entry in mapping.entries() {
            match schema.at(&["properties", &entry.key]).cloned() {
                Some(property) => {
                    self.check(&property, &entry.value, place)
                        .map_err(|error| format!("{}: {error}", entry.key))?;
                    self.seen.insert(format!("{place}.{}", entry.key));
                }
                None if open && (entry.key.contains('/') || entry.key.starts_with("hugepages-")) => {}
                None if partial => {}
                None if others.is_some() => {
                    let others = others.cloned().expect("just seen");
                    self.check(&others, &entry.value, place)?;
                }
                None => return Err(format!("there is no field {}", entry.key)),
            }
        }
        Ok(())
    }

    fn accepts(&mut self, instance: &Node) -> Result<(), String> {
        let root = self.root.clone();
        self.check(&root, instance, "")
    }
}

fn list(node: &Node) -> Vec<Node> {
    node.as_sequence().expect("a list").to_vec()
}

fn text(node: &Node) -> &str {
    node.as_str().expect("a text")
}

fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Int(value) => Some(value as f64),
        Value::Unsigned(value) => Some(value as f64),
        Value::Float(value) => Some(value),
        _ => None,
    }
}

fn has_type(wanted: &Node, instance: &Node) -> Result<(), String> {
    let names: Vec<String> = match &wanted.value {
        Value::Sequence(names) => names.iter().map(|name| text(&name).to_owned()).collect(),
        _ => vec![text(wanted).to_owned()],
    };
    let is = |name: &String| {
        matches!(
            (name.as_str(), &instance.value),
            ("string", Value::String(_))
                | ("boolean", Value::Bool(_))
                | ("integer", Value::Int(_) | Value::Unsigned(_))
                | ("number", Value::Int(_) | Value::Unsigned(_) | Value::Float(_))
                | ("array", Value::Sequence(_))
                | ("object", Value::Mapping(_))
        )
    };
    if names.iter().any(is) { Ok(()) } else { Err(format!("{instance} is no {}", names.join(" or "))) }
}

#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let folder = Folder::of_crate();
    let mut schema = Schema::new();
    let examples = ["everything", "karpenter"];
    let examples = examples.map(|name| PathBuf::from(format!("tests/corpus/scenario/{name}.yaml")));
    let ready = folder.yaml_files("library").into_iter().chain(folder.yaml_files("experiments"));
    for path in ready.chain(examples) {
        let instance = read("instance", &folder.read(&path).expect("a readable file"));
        schema.accepts(&instance).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn every_field_of_the_schema_is_used_by_the_example_of_everything() {
    let mut schema = Schema::new();
    for path in [
        "tests/corpus/scenario/everything.yaml",
        "tests/corpus/scenario/karpenter.yaml",
        "experiments/packing-vs-spreading.yaml",
    ] {
        let bytes = Folder::of_crate().read(Path::new(path));
        let instance = read("everything", &bytes.expect("a readable file"));
        schema.accepts(&instance).expect("an example of everything is in order");
    }
    let definitions = schema.root.get("$defs").and_then(Node::as_mapping).expect("definitions").clone();
    let mut unused = Vec::new();
    for definition in definitions.entries() {
        let fields =
            definition.value.get("properties").and_then(Node::as_mapping).map(|fields| fields.entries());
        for field in fields.unwrap_or(&[]) {
            assert!(field.value.get("description").is_some() || definition.key == "Amounts", "{}", field.key);
            let name = format!("{}.{}", definition.key, field.key);
            if !schema.seen.contains(&name) {
                unused.push(name);
            }
        }
    }
    // One example cannot have every kind of object to delete, nor both ways to choose a policy.
    unused.retain(|name| {
        !["Deleted.", "Scaled.", "SetImage.", "Workload."].iter().any(|kind| name.starts_with(kind))
    });
    assert_eq!(unused, ["ScenarioFile.schedulerConfig", "ScenarioFile.state"]);
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let folder = Folder::of_crate();
    for name in ["fields", "types", "combinations", "version", "experiment"] {
        let path = format!("tests/bad/{name}.yaml");
        let instance = read(&path, &folder.read(Path::new(&path)).expect("a readable file"));
        assert!(Schema::new().accepts(&instance).is_err(), "{path}");
    }
}
