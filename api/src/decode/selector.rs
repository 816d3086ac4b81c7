//! Selectors over labels, of objects and of nodes.

use super::meta;
use super::names;
use super::reader::Reader;
use crate::labels::{Operator, Requirement, Selector};
use crate::scheduling::NodeSelectorTerm;
use crate::symbol::Symbol;

/// Reads the label selector in the field `key`, if there is one.
pub(super) fn optional(reader: &Reader<'_>, key: &'static str) -> Option<Selector> {
    reader.object(key, selector)
}

fn selector(reader: &Reader<'_>) -> Selector {
    let labels = meta::labels(reader, "matchLabels");
    let mut requirements = Selector::of_labels(&labels).requirements.into_vec();
    requirements.extend(reader.list("matchExpressions", |expression| requirement(expression, false)));
    Selector { requirements: requirements.into() }
}

/// Reads a term of a node selector.
pub(super) fn node_term(term: &Reader<'_>) -> NodeSelectorTerm {
    NodeSelectorTerm {
        expressions: term.list("matchExpressions", |expression| requirement(expression, true)).into(),
        fields: term.list("matchFields", node_field).into(),
    }
}

/// Reads the node selector in the field `key`: its terms.
pub(super) fn node_terms(reader: &Reader<'_>, key: &'static str) -> Option<Box<[NodeSelectorTerm]>> {
    reader.object(key, |selector| {
        let terms = selector.list("nodeSelectorTerms", node_term);
        if terms.is_empty() {
            selector.invalid("nodeSelectorTerms", "at least one term");
        }
        terms.into()
    })
}

/// What an operator takes as values.
#[derive(Clone, Copy)]
enum Form {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

const FORMS: [(&str, Form); 6] = [
    ("In", Form::In),
    ("NotIn", Form::NotIn),
    ("Exists", Form::Exists),
    ("DoesNotExist", Form::DoesNotExist),
    ("Gt", Form::Gt),
    ("Lt", Form::Lt),
];

fn requirement(expression: &Reader<'_>, of_nodes: bool) -> Requirement {
    let key = expression.required_symbol("key");
    if !key.is_empty() && !names::is_qualified_key(key.as_str()) {
        expression.invalid("key", "a key such as app or example.com/app");
    }
    let forms = if of_nodes { &FORMS[..] } else { &FORMS[..4] };
    let form = expression.choice("operator", forms);
    if !expression.has("operator") {
        expression.invalid("operator", "an operator such as In or Exists");
    }
    let values = expression.symbols("values");
    let operator = form.map_or(Operator::Never, |form| operator(expression, form, values, of_nodes));
    Requirement { key, operator }
}

fn operator(expression: &Reader<'_>, form: Form, values: Box<[Symbol]>, of_nodes: bool) -> Operator {
    match form {
        Form::In | Form::NotIn if values.is_empty() => {
            expression.invalid("values", "at least one value for this operator");
        }
        Form::Exists | Form::DoesNotExist if !values.is_empty() => {
            expression.invalid("values", "no values for this operator");
        }
        Form::Gt | Form::Lt if values.len() != 1 => {
            expression.invalid("values", "exactly one value for this operator");
        }
        Form::In | Form::NotIn if !of_nodes && !values.iter().all(|v| names::is_label_value(v.as_str())) => {
            expression.invalid("values", "values of at most 63 letters, digits, '-', '_' and '.'");
        }
        _ => {}
    }
    // A bound that is no integer is accepted, and matches nothing.
    let bound = || values.first().and_then(|value| value.as_str().parse::<i64>().ok());
    match form {
        Form::In => Operator::In(values),
        Form::NotIn => Operator::NotIn(values),
        Form::Exists => Operator::Exists,
        Form::DoesNotExist => Operator::DoesNotExist,
        Form::Gt => bound().map_or(Operator::Never, Operator::Gt),
        Form::Lt => bound().map_or(Operator::Never, Operator::Lt),
    }
}

/// The only field of nodes that can be selected is their name, and only by one value.
fn node_field(field: &Reader<'_>) -> Requirement {
    let key = field.required_symbol("key");
    if key != "metadata.name" {
        field.invalid("key", "metadata.name");
    }
    let values = field.symbols("values");
    if values.len() != 1 {
        field.invalid("values", "exactly one value");
    }
    let operator = match field.choice("operator", &FORMS[..2]) {
        Some(Form::In) => Operator::In(values),
        Some(Form::NotIn) => Operator::NotIn(values),
        _ => Operator::Never,
    };
    Requirement { key, operator }
}
