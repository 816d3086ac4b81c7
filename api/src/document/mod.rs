//! Text to value tree: reads what `kubectl` takes, YAML or JSON, and keeps the place of every
//! value, so that whatever is wrong with it later can be said with line and column.
//!
//! The language is the one of the library behind `kubectl`: YAML with the scalars of version 1.1
//! (`yes`, `on`, octal `0644`), merge keys, anchors and aliases, several documents in a file; and
//! JSON. Two readers, one for YAML over the `granit-parser` crate and one of our own for JSON, speak one
//! language of events, from which one builder makes the tree.
//!
//! What is refused, with a message, is nesting beyond [`NESTING_MAX`] levels and aliases that
//! stand for more than [`ALIAS_EXPANSION_MAX`] times the file. Aliases share what they stand for,
//! so a tree never takes more memory than a multiple of its text.

mod build;
mod diagnostic;
mod edit;
mod event;
mod json;
mod node;
mod number;
mod reader;
mod scalar;
mod sequence;
mod yaml;

pub use build::{ALIAS_EXPANSION_MAX, DuplicateKeys, NESTING_MAX};
pub use diagnostic::{Diagnostic, Diagnostics, FieldPath, Position, Severity};
pub use node::{Entry, Mapping, Node, Value, write_json_string};
pub use reader::{ObjectReader, read_documents};
pub use sequence::{Iter, Sequence};

#[cfg(test)]
mod tests;
