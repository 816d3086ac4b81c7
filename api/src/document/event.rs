//! What a document is made of, one piece at a time: the common language of the YAML and the JSON
//! reader, so that both build the same tree.

use super::diagnostic::Position;
use super::json::{self, JsonEvents};
use super::node::Value;
use super::yaml::YamlEvents;

/// A piece of a document.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    /// A document begins at this byte of the text.
    DocumentStart {
        offset: usize,
    },
    DocumentEnd,
    /// A mapping begins. Keys and values follow in turn.
    MappingStart {
        anchor: Anchor,
    },
    MappingEnd,
    SequenceStart {
        anchor: Anchor,
    },
    SequenceEnd,
    Scalar {
        value: Value,
        anchor: Anchor,
    },
    /// The key `<<`, whose value is merged into the mapping around it.
    MergeKey,
    /// The value that had this anchor, again.
    Alias {
        anchor: Anchor,
    },
    /// Nothing more in this text that this reader can read.
    End,
}

/// The number by which an alias finds its value; 0 is none.
pub(super) type Anchor = usize;

/// An event and where it stands.
pub(super) type Placed = (Event, Position);

/// Why a text is not what it should be.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) position: Position,
    pub(super) message: String,
    pub(super) expected: &'static str,
    pub(super) found: String,
    pub(super) hint: &'static str,
    /// Whether the document can be read on, as if the faulty value were null.
    pub(super) recoverable: bool,
}

/// The source of events: the reader of one of the two languages.
pub(super) enum Events<'a> {
    Yaml(Box<YamlEvents<'a>>),
    Json(JsonEvents<'a>),
}

impl<'a> Events<'a> {
    /// Reads `text` from the byte `offset` on, which stands at `position`, in the language that it
    /// looks like.
    pub(super) fn new(text: &'a str, offset: usize, position: Position) -> Events<'a> {
        if json::looks_like_json(&text[offset..]) {
            Events::Json(JsonEvents::new(text, offset, position))
        } else {
            Events::yaml(text, offset, position)
        }
    }

    /// Reads `text` from the byte `offset` on, which stands at `position`, as YAML.
    pub(super) fn yaml(text: &'a str, offset: usize, position: Position) -> Events<'a> {
        Events::Yaml(Box::new(YamlEvents::new(text, offset, position)))
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Placed, SyntaxError> {
        match self {
            Events::Yaml(yaml) => yaml.next(),
            Events::Json(json) => json.next(),
        }
    }
}
