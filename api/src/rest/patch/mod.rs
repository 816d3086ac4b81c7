//! PATCH: the three ways in which a client says what changes in a document.
//!
//! Documents are patched as clients see them; defaults and validation come afterwards.

mod json;
mod merge;
mod strategic;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::document::Node;
use crate::rest::resource;

/// The most operations that a JSON patch may have.
const OPERATIONS_MAX: usize = 10_000;

/// How a patch is to be read, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PatchType {
    /// A list of operations (RFC 6902).
    Json,
    /// A document that is laid over (RFC 7386).
    Merge,
    /// A document that is laid over, with lists merged by keys and with directives.
    Strategic,
}

impl PatchType {
    /// The type with this content type, without its parameters.
    pub fn of_content_type(content_type: &str) -> Option<PatchType> {
        Some(match content_type {
            "application/json-patch+json" => PatchType::Json,
            "application/merge-patch+json" => PatchType::Merge,
            "application/strategic-merge-patch+json" => PatchType::Strategic,
            _ => return None,
        })
    }
}

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// It is no patch of its type (400).
    Malformed(String),
    /// It does not fit the document: a missing path, a failed test (422).
    DoesNotApply(String),
    /// It has too many operations (413).
    TooLarge(String),
    /// It names a field that the type lacks, or misuses a directive; upstream answers so, too (500).
    Unexpected(String),
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (PatchError::Malformed(message)
        | PatchError::DoesNotApply(message)
        | PatchError::TooLarge(message)
        | PatchError::Unexpected(message)) = self;
        f.write_str(message)
    }
}

impl std::error::Error for PatchError {}

/// The document that `body` makes of `document`. A strategic patch merges lists as the type of the
/// document has it; documents of kinds that are not known cannot be patched so.
///
/// # Errors
/// If the patch is none, or does not fit.
pub fn patch(document: &Node, body: &Node, how: PatchType) -> Result<Node, PatchError> {
    match how {
        PatchType::Json => json::patch(document, body),
        PatchType::Merge => merge::patch(document, body),
        PatchType::Strategic => {
            let (version, kind) = (document.str("apiVersion"), document.str("kind"));
            let structure = resource::structure(version, kind).ok_or_else(|| {
                PatchError::Malformed("strategic merge patch format is not supported".into())
            })?;
            strategic::patch(document, body, structure)
        }
    }
}
