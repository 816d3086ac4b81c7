//! The YAML reader: turns the tokens of `granit-parser` into events, with the scalars resolved.

use super::diagnostic::Position;
use super::event::{Event, Placed, SyntaxError};
use super::node::Value;
use super::scalar::{self, Fault, Tag};
use granit_parser::{ErrorKind, Event as Token, Marker, Parser, ScalarStyle, ScanError, StrInput};

/// Reads the YAML documents of a text.
pub(super) struct YamlEvents<'a> {
    text: &'a str,
    /// Where in the file `text` begins.
    start: Position,
    /// How many bytes of the file come before `text`.
    offset: usize,
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> YamlEvents<'a> {
    /// Reads `file` from the byte `offset` on, which stands at `start`.
    pub(super) fn new(file: &'a str, offset: usize, start: Position) -> YamlEvents<'a> {
        let options = granit_parser::options! {
            emit_comments: false,
            // The tree builder reports these itself, and goes on.
            emit_unresolved_aliases: true,
            // As the library behind kubectl reads them.
            block_scalar_eof_without_line_feed: true,
        };
        let text = &file[offset..];
        YamlEvents { text, start, offset, parser: Parser::new_from_str_with_options(text, options) }
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Placed, SyntaxError> {
        loop {
            let Some(token) = self.parser.next_event() else {
                return Ok((Event::End, Position::NONE));
            };
            let (token, span) = token.map_err(|error| self.syntax_error(&error))?;
            let position = self.position(&span.start);
            let event = match token {
                Token::Scalar(text, style, anchor, tag) => {
                    let plain = style == ScalarStyle::Plain;
                    if plain && text == "<<" && tag.as_deref().is_none_or(is_merge_tag) {
                        Event::MergeKey
                    } else {
                        let value = resolve(&text, plain, tag.as_deref())
                            .map_err(|fault| scalar_error(position, &text, fault))?;
                        Event::Scalar { value, anchor }
                    }
                }
                Token::MappingStart(_, anchor, _) => Event::MappingStart { anchor },
                Token::MappingEnd => Event::MappingEnd,
                Token::SequenceStart(_, anchor, _) => Event::SequenceStart { anchor },
                Token::SequenceEnd => Event::SequenceEnd,
                Token::Alias(anchor) => Event::Alias { anchor },
                Token::UnresolvedAlias(name) => return Err(unknown_anchor(position, &name)),
                Token::DocumentStart(..) => {
                    let offset = self.offset + span.start.byte_offset().unwrap_or(0);
                    Event::DocumentStart { offset }
                }
                Token::DocumentEnd => Event::DocumentEnd,
                Token::StreamEnd => Event::End,
                // The start of the stream, and presentation that was not asked for.
                _ => continue,
            };
            return Ok((event, position));
        }
    }

    /// Goes to the end of the document that is being read, faulty or not.
    pub(super) fn skip_document(&mut self) -> Result<(), SyntaxError> {
        self.parser.proceed_next_document().map(|_| ()).map_err(|error| self.syntax_error(&error))
    }

    fn position(&self, mark: &Marker) -> Position {
        let column = mark.col() + if mark.line() == 1 { self.start.column as usize } else { 1 };
        Position::new(mark.line() + self.start.line as usize - 1, column)
    }

    fn syntax_error(&self, error: &ScanError) -> SyntaxError {
        let kind = error.kind();
        let message = if *kind == ErrorKind::RecursionLimitExceeded {
            super::build::nested_too_deeply()
        } else {
            format!("not valid YAML: {kind}")
        };
        let mark = error.marker();
        SyntaxError {
            position: self.position(mark),
            message,
            expected: "",
            found: quote_line(self.text, mark.byte_offset().unwrap_or(0)),
            hint: hint(kind),
            recoverable: false,
        }
    }
}

fn is_merge_tag(tag: &granit_parser::Tag) -> bool {
    tag.suffix_in_namespace("tag:yaml.org,2002:").is_some_and(|name| name == "merge")
}

fn resolve(text: &str, plain: bool, tag: Option<&granit_parser::Tag>) -> Result<Value, Fault> {
    let string = || Ok(Value::String(text.into()));
    let Some(tag) = tag else {
        return if plain { scalar::resolve_plain(text) } else { string() };
    };
    let demanded = match tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref() {
        Some("null") => Tag::Null,
        Some("bool") => Tag::Bool,
        Some("int") => Tag::Int,
        Some("float") => Tag::Float,
        Some("binary") => Tag::Binary,
        // `!` alone demands nothing, so the scalar means what it would without it.
        None if tag.original() == "!" => return scalar::resolve_plain(text),
        // Tags of one's own are ignored, and dates stay texts.
        _ => Tag::String,
    };
    scalar::resolve_tagged(text, demanded)
}

fn scalar_error(position: Position, text: &str, fault: Fault) -> SyntaxError {
    let (message, expected) = match fault {
        Fault::NotFinite => ("infinity and NaN cannot be sent to an API server", "a finite number"),
        Fault::NotOfTag(tag) => (
            "the value is not of the type that its tag demands",
            match tag {
                Tag::Null => "null",
                Tag::Bool => "true or false",
                Tag::Int => "a whole number",
                Tag::Float => "a number",
                Tag::String => "a text",
                Tag::Binary => "a text in base64",
            },
        ),
    };
    let found = format!("{}", super::Node::unplaced(Value::String(text.into())));
    SyntaxError { position, message: message.into(), expected, found, hint: "", recoverable: true }
}

fn unknown_anchor(position: Position, name: &str) -> SyntaxError {
    SyntaxError {
        position,
        message: format!("the alias *{name} has no anchor &{name} before it in this document"),
        expected: "",
        found: String::new(),
        hint: "",
        recoverable: true,
    }
}

fn hint(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => "indent with spaces",
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::SimpleKeyExpected => "a text that holds ': ' needs quotes; a key needs a colon",
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation => "is the line indented like its neighbours?",
        ErrorKind::UnexpectedCharacter { .. } => "a text that begins with this character needs quotes",
        ErrorKind::UnknownQuotedScalarEscape => "in double quotes a backslash is written \\\\",
        _ => "",
    }
}

/// The line around the byte `offset`, as a message quotes it: no more than a window of a long one.
pub(super) fn quote_line(text: &str, offset: usize) -> String {
    const WINDOW: usize = 48;
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let offset = boundary(offset.min(text.len()));
    let from = boundary(offset.saturating_sub(WINDOW));
    let to = boundary((offset + WINDOW).min(text.len()));
    let start = text[from..offset].rfind('\n').map_or(from, |at| from + at + 1);
    let end = text[offset..to].find('\n').map_or(to, |at| offset + at);
    let line = text[start..end].trim();
    if line.is_empty() { String::new() } else { format!("the line \"{}\"", line.escape_debug()) }
}
