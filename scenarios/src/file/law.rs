//! Distributions, as a file gives them: a value that is always the same, or a law with parameters.

use seatrial_api::document::{FieldPath, Node, Value};
use seatrial_api::units::{Bytes, Span};
use seatrial_sim_core::engine::dist::{Distribution, Quantity, Weighted};

use crate::schema::{Definitions, Field, JsonSchema, Reader, list, mapping, nearest, one_of, text};

/// A quantity of which files give distributions.
pub(crate) trait Amount: Quantity + Field {
    /// How the schema calls its distributions.
    const LAW: &'static str;
}

impl Amount for Span {
    const LAW: &'static str = "TimeDistribution";
}

impl Amount for Bytes {
    const LAW: &'static str = "ByteDistribution";
}

/// A distribution as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Law<T: Quantity>(pub(crate) Distribution<T>);

/// The time between random events: exponentially distributed around a mean, unless the file gives a
/// distribution.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeanTime(pub(crate) Distribution);

impl Field for MeanTime {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<MeanTime> {
        if node.as_mapping().is_some() {
            let Law(law) = Law::read(node, path, reader)?;
            if typical(&law) < MEAN_TIME_MIN {
                return reader.wrong(node, path, "times of which most are a second or longer");
            }
            return Some(MeanTime(law));
        }
        let mean = Span::read(node, path, reader)?;
        if mean < MEAN_TIME_MIN {
            return reader.wrong(node, path, "a second or more");
        }
        Some(MeanTime(Distribution::Exponential { mean }))
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        Law::<Span>::schema(definitions)
    }
}

/// The shortest mean time between failures: with a shorter one a run would not get anywhere.
const MEAN_TIME_MIN: Span = Span::from_secs(1);

/// A time around which or above which a good part of the samples lie.
fn typical(law: &Distribution) -> Span {
    match law {
        Distribution::Constant { value } => *value,
        Distribution::Uniform { high, .. } => *high,
        Distribution::Exponential { mean }
        | Distribution::Normal { mean, .. }
        | Distribution::Gamma { mean, .. }
        | Distribution::Erlang { mean, .. } => *mean,
        Distribution::Lognormal { median, .. } => *median,
        Distribution::Weibull { scale, .. } => *scale,
        Distribution::Pareto { minimum, .. } => *minimum,
        Distribution::Empirical { values } => {
            let drawn = values.iter().filter(|row| row.weight > 0).map(|row| row.value);
            drawn.max().unwrap_or(Span::ZERO)
        }
    }
}

/// What a parameter of a distribution is.
#[derive(Clone, Copy)]
enum Parameter {
    /// A value of the quantity that is drawn.
    Amount,
    /// A pure number.
    Shape,
    /// A whole number.
    Count,
    /// A table of values and weights.
    Table,
}

use Parameter::{Amount as A, Count, Shape, Table};

/// A kind of distribution, as files name it.
struct Kind {
    name: &'static str,
    about: &'static str,
    parameters: &'static [(&'static str, Parameter)],
}

const fn kind(
    name: &'static str,
    about: &'static str,
    parameters: &'static [(&'static str, Parameter)],
) -> Kind {
    Kind { name, about, parameters }
}

const KINDS: [Kind; 10] = [
    kind("constant", "Always the same value.", &[("value", A)]),
    kind("uniform", "Every value from low to high is equally likely.", &[("low", A), ("high", A)]),
    kind(
        "exponential",
        "The time between events that happen independently at a steady rate.",
        &[("mean", A)],
    ),
    kind("normal", "A bell curve; what would be negative is zero.", &[("mean", A), ("deviation", A)]),
    kind(
        "lognormal",
        "The usual shape of a latency. Samples are kept within a tenth of the median and three times the p99.",
        &[("median", A), ("p99", A)],
    ),
    kind(
        "weibull",
        "Life times: shape below 1 for early failures, above 1 for wear.",
        &[("scale", A), ("shape", Shape)],
    ),
    kind(
        "pareto",
        "Heavy tails: the chance of exceeding x is (minimum/x)^shape.",
        &[("minimum", A), ("shape", Shape)],
    ),
    kind("gamma", "The Gamma distribution, by its mean.", &[("mean", A), ("shape", Shape)]),
    kind("erlang", "The sum of so many exponential stages, by its mean.", &[("mean", A), ("stages", Count)]),
    kind("empirical", "Observed values, each as often as its weight says.", &[("values", Table)]),
];

impl<T: Amount> Field for Law<T> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Law<T>> {
        if node.as_mapping().is_none() {
            return T::read(node, path, reader).map(|value| Law(Distribution::Constant { value }));
        }
        let names = KINDS.map(|kind| kind.name);
        let Some(word) = node.get("distribution").filter(|word| !word.is_null()) else {
            let found = node.to_string();
            reader.error(node.position, path, |error| {
                error.expected(format!("a value, or a mapping with distribution: {}", one_of(&names)), found)
            });
            return None;
        };
        let Some(kind) = KINDS.iter().find(|kind| word.as_str() == Some(kind.name)) else {
            let near = word.as_str().and_then(|typed| nearest(typed, names));
            reader.error(word.position, &path.key("distribution"), |error| {
                let error = error.expected(one_of(&names), word.to_string());
                near.into_iter().fold(error, |error, near| error.hint(format!("did you mean {near}?")))
            });
            return None;
        };
        let mut known = vec!["distribution"];
        known.extend(kind.parameters.iter().map(|(key, _)| *key));
        let fields = reader.mapping(node, path, &known)?;
        let kept = fields.check(&[], reader);
        let law = Parameters { fields: &fields, reader }.law(kind.name);
        kept.and(law).and_then(|law| checked(law, node, path, reader))
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        definitions.shared(T::LAW, |definitions| {
            let amount = T::schema(definitions);
            let shapes = KINDS.iter().map(|Kind { name, about, parameters }| {
                let law = JsonSchema::default().with("const", text(*name)).into_value();
                let properties = parameters.iter().map(|&(key, parameter)| {
                    let schema = match parameter {
                        Parameter::Amount => amount.clone(),
                        Parameter::Shape => f64::schema(definitions),
                        Parameter::Count => u32::schema(definitions),
                        Parameter::Table => Vec::<Row<T>>::schema(definitions),
                    };
                    (key, schema.into_value())
                });
                let properties = mapping([("distribution", law)].into_iter().chain(properties));
                let keys = parameters.iter().map(|(key, _)| text(*key));
                JsonSchema::of_type("object")
                    .described(about)
                    .with("properties", properties)
                    .with("required", list([text("distribution")].into_iter().chain(keys)))
                    .with("additionalProperties", Value::Bool(false))
            });
            let shapes: Vec<JsonSchema> = shapes.collect();
            let about = "Always this value, or values drawn from a distribution.";
            JsonSchema::any_of([amount.clone()].into_iter().chain(shapes)).described(about)
        })
    }
}

/// Lets the engine judge the parameters.
fn checked<T: Amount>(
    law: Distribution<T>,
    node: &Node,
    path: &FieldPath<'_>,
    reader: &mut Reader<'_>,
) -> Option<Law<T>> {
    let Err(problem) = law.sampler() else { return Some(Law(law)) };
    let place = node.get(problem.parameter).unwrap_or(node);
    reader.error(place.position, &path.key(problem.parameter), |error| {
        error.expected(problem.wanted, place.to_string())
    });
    None
}

/// Reads the parameters of one distribution.
struct Parameters<'f, 'n, 'p, 'r, 'd> {
    fields: &'f crate::schema::Fields<'n, 'p>,
    reader: &'r mut Reader<'d>,
}

impl Parameters<'_, '_, '_, '_, '_> {
    fn take<V: Field>(&mut self, key: &'static str) -> Option<V> {
        self.fields.take(key, None, self.reader)
    }

    fn law<T: Amount>(&mut self, name: &str) -> Option<Distribution<T>> {
        Some(match name {
            "constant" => Distribution::Constant { value: self.take("value")? },
            "uniform" => {
                let (low, high) = (self.take("low"), self.take("high"));
                Distribution::Uniform { low: low?, high: high? }
            }
            "exponential" => Distribution::Exponential { mean: self.take("mean")? },
            "normal" => {
                let (mean, deviation) = (self.take("mean"), self.take("deviation"));
                Distribution::Normal { mean: mean?, deviation: deviation? }
            }
            "lognormal" => {
                let (median, p99) = (self.take("median"), self.take("p99"));
                Distribution::Lognormal { median: median?, p99: p99? }
            }
            "weibull" => {
                let (scale, shape) = (self.take("scale"), self.take("shape"));
                Distribution::Weibull { scale: scale?, shape: shape? }
            }
            "pareto" => {
                let (minimum, shape) = (self.take("minimum"), self.take("shape"));
                Distribution::Pareto { minimum: minimum?, shape: shape? }
            }
            "gamma" => {
                let (mean, shape) = (self.take("mean"), self.take("shape"));
                Distribution::Gamma { mean: mean?, shape: shape? }
            }
            "erlang" => {
                let (mean, stages) = (self.take("mean"), self.take("stages"));
                Distribution::Erlang { mean: mean?, stages: stages? }
            }
            _ => {
                let rows: Vec<Row<T>> = self.take("values")?;
                let row = |row: Row<T>| Weighted { value: row.value, weight: row.weight };
                Distribution::Empirical { values: rows.into_iter().map(row).collect() }
            }
        })
    }
}

/// A row of an empirical distribution.
struct Row<T> {
    value: T,
    weight: u32,
}

impl<T: Amount> Field for Row<T> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Row<T>> {
        let fields = reader.mapping(node, path, &["value", "weight"])?;
        let (value, weight) = (fields.take("value", None, reader), fields.take("weight", Some("1"), reader));
        fields.check(&[], reader)?;
        Some(Row { value: value?, weight: weight? })
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        let fields = [
            ("value", T::schema(definitions).into_value()),
            ("weight", u32::schema(definitions).with("default", Value::Int(1)).into_value()),
        ];
        JsonSchema::of_type("object")
            .with("properties", mapping(fields))
            .with("required", list([text("value")]))
            .with("additionalProperties", Value::Bool(false))
    }
}
