//! One description of a file format, from which both its reader and its JSON Schema come.
//!
//! A type that can stand in a file implements [`Field`]. The macros [`record!`](crate::schema::record),
//! [`choice!`](crate::schema::choice) and [`union!`](crate::schema::union) implement it for mappings,
//! words and mappings of several shapes from one table each, whose documentation is what editors
//! show. Reading is strict, and it goes on after an error, so that all of them are found at once.

mod json;
mod near;
mod reader;
mod record;
mod scalars;
mod union;

pub(crate) use json::{Definitions, JsonSchema, Property, list, mapping, text};
pub(crate) use near::nearest;
pub(crate) use reader::{Fields, Reader, default_node, one_of};
pub(crate) use record::{Rule, record};
pub(crate) use scalars::{
    Amount, Bounds, LabelMap, Name, ObjectName, Placed, Share, Text, choice, words, wrong_word,
};
pub(crate) use union::{read_union, union, union_schema};

use seatrial_api::document::{FieldPath, Node};

/// A value that can stand in a file.
pub(crate) trait Field: Sized {
    /// Reads the value. `None` if it cannot be used, which the reader then has a finding about.
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Self>;

    /// What stands for the value where the file does not mention it; `None` if it must.
    fn absent() -> Option<Self> {
        None
    }

    /// The schema of the value.
    fn schema(definitions: &mut Definitions) -> JsonSchema;
}
