//! The experiment file: a scenario, the seeds that it is played with, and what is varied about it.

use compact_str::CompactString;
use seatrial_api::document::{FieldPath, Node, Position, Value};

use super::{ApiVersion, Metadata};
use crate::schema::{Definitions, Field, JsonSchema, Placed, Reader, Text, choice, mapping, record, text};

record! {
    /// An experiment: a scenario that is played for every combination of factors and every seed.
    pub(crate) struct ExperimentFile {
        /// The version of the format.
        _api_version("apiVersion"): ApiVersion,
        /// The kind of file.
        _kind("kind"): ExperimentKind,
        /// The name of the experiment.
        metadata("metadata"): Metadata,
        /// What the experiment is to find out, for readers.
        description("description"): Option<Text>,
        /// The scenario, relative to this file.
        scenario("scenario"): Placed<Text>,
        /// The seeds that every combination is played with: a list, or a range such as `1..30` with both ends.
        seeds("seeds"): Seeds,
        /// What is varied: fields of the scenario by their path, each with the values that it takes in turn. Elements of lists are named by their `name` or counted from 0.
        factors("factors"): Factors,
    }
}

choice! {
    /// The kind of file.
    pub(crate) enum ExperimentKind {
        /// An experiment.
        Experiment = "Experiment",
    }
}

/// So many values has a range at most.
const RANGE_MAX: u64 = 1_000_000;

/// Seeds in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

impl Field for Seeds {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Seeds> {
        let levels = Levels::read(node, path, reader)?;
        let mut seeds = Vec::new();
        for (index, level) in levels.0.iter().enumerate() {
            match level.value {
                Value::Int(seed) if seed >= 0 => seeds.push(seed as u64),
                Value::Unsigned(seed) => seeds.push(seed),
                _ => {
                    let element = path.index(index);
                    let place = if node.as_sequence().is_some() { &element } else { path };
                    return reader.wrong(level, place, "a whole number that is not negative");
                }
            }
        }
        Some(Seeds(seeds))
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        let numbers = JsonSchema::of_type("integer").with("minimum", Value::Int(0));
        let list = JsonSchema::of_type("array")
            .with("items", numbers.into_value())
            .with("minItems", Value::Int(1))
            .with("uniqueItems", Value::Bool(true));
        JsonSchema::any_of([range_schema(), list])
    }
}

/// A range as `1..30`, both ends included.
fn range_schema() -> JsonSchema {
    JsonSchema::of_type("string").with("pattern", text(r"^-?[0-9]+\.\.-?[0-9]+$"))
}

/// The values that something takes in turn.
#[derive(Clone, Debug)]
pub(crate) struct Levels(pub(crate) Vec<Node>);

impl Field for Levels {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Levels> {
        if let Some(written) = node.as_str()
            && let Some((first, last)) = range(written)
        {
            if last < first || last.abs_diff(first) >= RANGE_MAX {
                return reader.wrong(node, path, "a range of at least one and at most a million values");
            }
            let level = |value| Node { value: Value::Int(value), position: node.position };
            return Some(Levels((first..=last).map(level).collect()));
        }
        match node.as_sequence() {
            Some(levels) if !levels.is_empty() => distinct(levels.to_vec(), path, reader),
            _ => reader.wrong(node, path, "a list of values, or a range such as 1..30"),
        }
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        let list = JsonSchema::of_type("array")
            .with("minItems", Value::Int(1))
            .with("uniqueItems", Value::Bool(true));
        JsonSchema::any_of([range_schema(), list])
    }
}

fn range(written: &str) -> Option<(i64, i64)> {
    let (first, last) = written.split_once("..")?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// The values of a list, none of them twice.
fn distinct(levels: Vec<Node>, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Levels> {
    let mut seen = std::collections::BTreeSet::new();
    for (index, level) in levels.iter().enumerate() {
        if !seen.insert(level.value.to_string()) {
            return reader.wrong(level, &path.index(index), "every value once");
        }
    }
    Some(Levels(levels))
}

/// A field of the scenario with the values that it takes.
#[derive(Clone, Debug)]
pub(crate) struct FactorField {
    pub(crate) path: CompactString,
    pub(crate) position: Position,
    pub(crate) levels: Vec<Node>,
}

/// What is varied, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Factors(pub(crate) Vec<FactorField>);

/// Columns of the result besides factors and metrics.
const RESERVED: [&str; 3] = ["seed", "trace_hash", "passed"];

impl Field for Factors {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Factors> {
        let expected =
            "fields of the scenario with the values that they take, such as `policy: [default, best-fit]`";
        let Some(fields) = node.as_mapping() else { return reader.wrong(node, path, expected) };
        let mut factors = Some(Vec::new());
        for entry in fields.entries() {
            let place = path.key(&entry.key);
            if RESERVED.contains(&entry.key.as_str()) {
                reader.error(entry.position, &place, |error| {
                    error
                        .message("no field of the scenario that can be varied")
                        .hint("seeds are given as `seeds`")
                });
                factors = None;
                continue;
            }
            match (Levels::read(&entry.value, &place, reader), &mut factors) {
                (Some(Levels(levels)), Some(factors)) => {
                    factors.push(FactorField { path: entry.key.clone(), position: entry.position, levels })
                }
                _ => factors = None,
            }
        }
        factors.map(Factors)
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        let levels = Levels::schema(definitions).into_value();
        JsonSchema::of_type("object")
            .with("additionalProperties", levels)
            .with("properties", mapping(RESERVED.map(|name| (name, Value::Bool(false)))))
    }
}
