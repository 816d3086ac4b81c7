//! How pods and images behave.

use seatrial_api::document::{FieldPath, Node};
use seatrial_api::labels::{Operator, Requirement, Selector};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Span};

use super::law::Law;
use crate::schema::{
    Definitions, Field, JsonSchema, LabelMap, Placed, Reader, Rule, Share, Text, choice, record, union,
};

record! {
    /// How the pods that a selector matches behave.
    pub(crate) struct Profile {
        /// Which pods.
        selector("selector"): Placed<SelectorField>,
        /// In which namespace; in all if absent.
        namespace("namespace"): Option<Text>,
        /// From a container's start until it could pass its probes, or is ready if it has none.
        startup("startup"): Option<Law<Span>>,
        /// How long a container runs before it ends by itself; for ever if absent.
        run_time("runTime"): Option<Law<Span>>,
        /// The chance that a container that ends by itself fails.
        failure("failure"): Option<Share>,
        /// What a running pod uses.
        usage("usage"): Option<Usage>,
        /// A demand of CPU that the ready pods of the profile share, over time. It takes the place of usage.cpu.
        load("load"): Option<Placed<Load>>,
        /// How long after its start a container's probes begin to fail for good; never if absent.
        unready_after("unreadyAfter"): Option<Law<Span>>,
        /// How long a container takes to end after it was asked to.
        stop("stop"): Option<Law<Span>>,
    }
    rules [Rule::Needs("failure", "runTime")]
}

record! {
    /// What a running pod uses.
    pub(crate) struct Usage {
        /// CPU.
        cpu("cpu"): Option<MilliCpu>,
        /// Memory, divided among its containers by what they request. A container that wants more than its limit is killed; a machine whose pods use more than it offers evicts some.
        memory("memory"): Option<Bytes>,
    }
}

record! {
    /// A label selector: all that it says must hold.
    pub(crate) struct SelectorField {
        /// Labels with these values.
        match_labels("matchLabels"): LabelMap,
        /// Further requirements.
        match_expressions("matchExpressions"): Vec<Placed<Expression>>,
    }
}

record! {
    /// A requirement of a selector.
    pub(crate) struct Expression {
        /// The label's key.
        key("key"): Text,
        /// How it is compared.
        operator("operator"): OperatorWord,
        /// With which values.
        values("values"): Vec<Text>,
    }
}

choice! {
    /// How a label is compared.
    pub(crate) enum OperatorWord {
        /// It has one of the values.
        In = "In",
        /// It has none of the values, or is absent.
        NotIn = "NotIn",
        /// It is there.
        Exists = "Exists",
        /// It is absent.
        DoesNotExist = "DoesNotExist",
    }
}

impl SelectorField {
    pub(crate) fn selector(&self) -> Selector {
        let label =
            |&(key, value): &(Symbol, Symbol)| Requirement { key, operator: Operator::In([value].into()) };
        let expression = |placed: &Placed<Expression>| {
            let expression = &placed.value;
            let values = || expression.values.iter().map(|Text(value)| Symbol::new(value)).collect();
            let operator = match expression.operator {
                OperatorWord::In => Operator::In(values()),
                OperatorWord::NotIn => Operator::NotIn(values()),
                OperatorWord::Exists => Operator::Exists,
                OperatorWord::DoesNotExist => Operator::DoesNotExist,
            };
            Requirement { key: Symbol::new(&expression.key.0), operator }
        };
        let labels = self.match_labels.0.iter().map(label);
        Selector { requirements: labels.chain(self.match_expressions.iter().map(expression)).collect() }
    }
}

/// A demand of CPU over time: points, or a shape.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// From each instant on, so much.
    Points(Vec<Placed<LoadPoint>>),
    /// A shape with parameters.
    Shape(LoadShape),
}

record! {
    /// From an instant on, a demand.
    pub(crate) struct LoadPoint {
        /// From when on.
        at("at"): Span,
        /// How much, all pods together.
        cpu("cpu"): MilliCpu,
    }
}

union! {
    /// A demand of CPU that changes over time in a known shape.
    pub(crate) enum LoadShape {
        Step("step"): StepLoad,
        Ramp("ramp"): RampLoad,
        Sine("sine"): SineLoad,
    }
}

record! {
    /// A demand that jumps.
    pub(crate) struct StepLoad {
        /// The jump.
        step("step"): Step,
    }
}

record! {
    /// A demand that grows or shrinks steadily.
    pub(crate) struct RampLoad {
        /// The ramp.
        ramp("ramp"): Ramp,
    }
}

record! {
    /// A demand that swings, as between day and night.
    pub(crate) struct SineLoad {
        /// The wave.
        sine("sine"): Sine,
    }
}

record! {
    /// A jump from one demand to another, and back if there is an end.
    pub(crate) struct Step {
        /// The demand before, and after the end.
        from("from"): MilliCpu,
        /// The demand after the jump.
        to("to"): MilliCpu,
        /// When it jumps.
        at("at"): Span,
        /// When it falls back; never if absent.
        until("until"): Option<Placed<Span>>,
    }
}

record! {
    /// A steady way from one demand to another.
    pub(crate) struct Ramp {
        /// The demand at the start.
        from("from"): MilliCpu,
        /// The demand at the end, and from then on.
        to("to"): MilliCpu,
        /// When it starts.
        start("start"): Span = "0s",
        /// When it ends.
        end("end"): Placed<Span>,
        /// How often the demand is set anew.
        every("every"): Placed<Span> = "15s",
    }
}

record! {
    /// A wave around a mean.
    pub(crate) struct Sine {
        /// The demand around which it swings.
        mean("mean"): MilliCpu,
        /// How far it swings to each side.
        amplitude("amplitude"): Placed<MilliCpu>,
        /// How long a full swing takes.
        period("period"): Placed<Span>,
        /// How often the demand is set anew.
        every("every"): Placed<Span> = "1m",
    }
}

impl Field for Load {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Load> {
        match node.as_sequence() {
            Some(points) if points.is_empty() => reader.wrong(node, path, "at least one point {at, cpu}"),
            Some(_) => Vec::read(node, path, reader).map(Load::Points),
            None if node.as_mapping().is_some() => LoadShape::read(node, path, reader).map(Load::Shape),
            None => {
                reader.wrong(node, path, "a list of points {at, cpu}, or a mapping with step, ramp or sine")
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        JsonSchema::any_of([Vec::<LoadPoint>::schema(definitions), LoadShape::schema(definitions)])
    }
}

record! {
    /// How images behave at their registry.
    pub(crate) struct Image {
        /// The name of the image as the manifests write it, or its beginning and a `*`.
        name("name"): Placed<Text>,
        /// Compressed size.
        size("size"): Option<Bytes>,
        /// Whether every pull fails.
        broken("broken"): bool = "false",
        /// Whether containers of the image fail right after their start.
        crashes("crashes"): bool = "false",
    }
}
