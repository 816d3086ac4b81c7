//! Mappings with known fields.

use seatrial_api::document::Value;

use super::json::{JsonSchema, list, mapping, text};

/// Which fields of a record go together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// One of these, and no other of them.
    ExactlyOne(&'static [&'static str]),
    /// At least one of these.
    AtLeastOne(&'static [&'static str]),
    /// No two of these.
    AtMostOne(&'static [&'static str]),
    /// The first only with the second.
    Needs(&'static str, &'static str),
}

/// A broken rule.
pub(crate) struct Problem {
    /// The field that is too much, if there is one.
    pub(crate) at: Option<&'static str>,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Rule {
    /// What is wrong if the present fields are those for which `has` says so.
    pub(crate) fn broken(&self, has: impl Fn(&str) -> bool) -> Option<Problem> {
        let present = |keys: &'static [&'static str]| {
            keys.iter().copied().filter(|key| has(key)).collect::<Vec<&'static str>>()
        };
        let problem =
            |at: Option<&'static str>, expected: String, found: String| Some(Problem { at, expected, found });
        match *self {
            Rule::ExactlyOne(keys) | Rule::AtLeastOne(keys) if present(keys).is_empty() => {
                let what = if matches!(self, Rule::ExactlyOne(_)) { "" } else { "at least " };
                problem(None, format!("{what}{}", fields(keys)), "none of them".to_owned())
            }
            Rule::ExactlyOne(keys) | Rule::AtMostOne(keys) if present(keys).len() > 1 => {
                let present = present(keys);
                problem(Some(present[1]), format!("only {}", fields(keys)), present.join(" and "))
            }
            Rule::Needs(key, other) if has(key) && !has(other) => {
                problem(Some(key), format!("{key} together with {other}"), format!("{key} alone"))
            }
            _ => None,
        }
    }

    pub(super) fn schema(&self) -> Value {
        let required =
            |keys: &[&'static str]| mapping([("required", list(keys.iter().map(|key| text(*key))))]);
        let each = |keys: &[&'static str]| list(keys.iter().map(|key| required(&[key])));
        match *self {
            Rule::ExactlyOne(keys) => mapping([("oneOf", each(keys))]),
            Rule::AtLeastOne(keys) => mapping([("anyOf", each(keys))]),
            Rule::AtMostOne(keys) => {
                let pairs = keys.iter().enumerate().flat_map(|(index, first)| {
                    keys[index + 1..].iter().map(move |second| required(&[first, second]))
                });
                let any = JsonSchema::default().with("anyOf", list(pairs)).into_value();
                mapping([("not", any)])
            }
            Rule::Needs(key, other) => {
                mapping([("dependentRequired", mapping([(key, list([text(other)]))]))])
            }
        }
    }
}

fn fields(keys: &[&str]) -> String {
    match keys {
        [only] => format!("the field {only}"),
        many => format!("one of the fields {}", many.join(", ")),
    }
}

/// Defines a record: a struct, its reader and its schema. The documentation of the struct and of
/// each field is what editors show; a field whose type can be absent, or which has a default, may
/// be left out.
///
/// ```text
/// record! {
///     /// A pool of equal machines.
///     pub(crate) struct Pool {
///         /// Its name.
///         name("name"): Name,
///         /// How many machines.
///         count("count"): u32 = "1",
///     }
///     rules [Rule::AtMostOne(&["capacity", "machineType"])]
/// }
/// ```
///
/// A `lenient` record goes on with what stands for an absent field where a field has errors, so that
/// the rest can be checked too.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        pub(crate) lenient struct $name:ident $body:tt
    ) => {
        $crate::schema::record!(@define recover $(#[doc = $about])+ $name $body []);
    };
    (
        $(#[doc = $about:literal])+
        pub(crate) struct $name:ident $body:tt
        $(rules [$($rule:expr),+ $(,)?])?
    ) => {
        $crate::schema::record!(@define take $(#[doc = $about])+ $name $body [$($($rule),+)?]);
    };
    (
        @define $take:ident
        $(#[doc = $about:literal])+
        $name:ident {
            $($(#[doc = $doc:literal])+ $field:ident($key:literal): $type:ty $(= $default:literal)?,)+
        } [$($rule:expr),*]
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $($(#[doc = $doc])+ pub(crate) $field: $type,)+
        }

        impl $name {
            const RULES: &'static [$crate::schema::Rule] = &[$($rule),*];
        }

        impl $crate::schema::Field for $name {
            fn read(
                node: &seatrial_api::document::Node,
                path: &seatrial_api::document::FieldPath<'_>,
                reader: &mut $crate::schema::Reader<'_>,
            ) -> Option<$name> {
                let fields = reader.mapping(node, path, &[$($key),+])?;
                $(let $field = fields.$take::<$type>($key, $crate::schema::record!(@default $($default)?), reader);)+
                let kept = fields.check($name::RULES, reader);
                let record = $name { $($field: $field?,)+ };
                $crate::schema::record!(@kept $take kept record)
            }

            fn schema(definitions: &mut $crate::schema::Definitions) -> $crate::schema::JsonSchema {
                let about = concat!($($about,)+);
                definitions.record(stringify!($name), about.trim(), $name::RULES, |definitions| {
                    vec![$({
                        let default: Option<&str> = $crate::schema::record!(@default $($default)?);
                        $crate::schema::Property {
                            key: $key,
                            about: concat!($($doc,)+).trim().to_owned(),
                            schema: <$type as $crate::schema::Field>::schema(definitions),
                            required: default.is_none() && <$type as $crate::schema::Field>::absent().is_none(),
                            default: default.map(|text| $crate::schema::default_node(text).value),
                        }
                    },)+]
                })
            }
        }
    };
    (@kept take $kept:ident $record:ident) => { $kept.map(|()| $record) };
    (@kept recover $kept:ident $record:ident) => {{
        // What fields do not go together, or are unknown, is an error that was found.
        let _ = $kept;
        Some($record)
    }};
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(crate) use record;
