//! The JSON reader: strict JSON, one document after the other, at several times the speed of YAML.

use super::diagnostic::Position;
use super::event::{Event, Placed, SyntaxError};
use super::node::Value;
use super::yaml::quote_line;
use compact_str::CompactString;

/// Reads the JSON documents at the beginning of a text.
pub(super) struct JsonEvents<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
    /// What to add to a byte's offset for its column, from 0: minus the offset at which the line
    /// begins, minus the bytes since there that continue a character.
    columns_before: isize,
    /// The brackets that are open.
    open: Vec<Bracket>,
    expects: Expects,
}

#[derive(Clone, Copy, PartialEq)]
enum Bracket {
    Object,
    Array,
}

#[derive(Clone, Copy, PartialEq)]
enum Expects {
    Document,
    Value,
    FirstKey,
    Key,
    FirstElement,
    CommaOrEnd,
    DocumentEnd,
}

/// Whether the text goes on like a JSON object; what does may still be YAML.
pub(super) fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start_matches(WHITE);
    let Some(inside) = text.strip_prefix('{') else { return false };
    inside.trim_start_matches(WHITE).starts_with(['"', '}'])
}

const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];

impl<'a> JsonEvents<'a> {
    /// Reads `text` from the byte `offset` on, which stands at `position`.
    pub(super) fn new(text: &'a str, offset: usize, position: Position) -> JsonEvents<'a> {
        let byte_order_mark = if text[offset..].starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        JsonEvents {
            text,
            offset: offset + byte_order_mark,
            line: position.line as usize,
            columns_before: (position.column as usize - 1) as isize - (offset + byte_order_mark) as isize,
            open: Vec::new(),
            expects: Expects::Document,
        }
    }

    /// Reads no more.
    pub(super) fn finish(&mut self) {
        self.offset = self.text.len();
        self.open.clear();
        self.expects = Expects::Document;
    }

    /// The byte that comes next, and where it stands.
    pub(super) fn place(&self) -> (usize, Position) {
        let column = self.offset.saturating_add_signed(self.columns_before) + 1;
        (self.offset, Position::new(self.line, column))
    }

    /// The next event; the end comes where no further JSON object begins.
    pub(super) fn next(&mut self) -> Result<Placed, SyntaxError> {
        loop {
            self.skip_white();
            let (offset, position) = self.place();
            match self.expects {
                Expects::Document if looks_like_json(&self.text[offset..]) => {
                    self.expects = Expects::Value;
                    return Ok((Event::DocumentStart { offset }, position));
                }
                Expects::Document => return Ok((Event::End, position)),
                Expects::DocumentEnd => {
                    self.expects = Expects::Document;
                    return Ok((Event::DocumentEnd, position));
                }
                Expects::FirstElement if self.peek() == Some(b']') => return Ok((self.close(), position)),
                Expects::Value | Expects::FirstElement => return Ok((self.value()?, position)),
                Expects::FirstKey if self.peek() == Some(b'}') => return Ok((self.close(), position)),
                Expects::FirstKey | Expects::Key => return Ok((self.key()?, position)),
                Expects::CommaOrEnd => {
                    let inside = *self.open.last().expect("invariant: a comma is awaited inside brackets");
                    match (self.peek(), inside) {
                        (Some(b','), Bracket::Object) => self.step(Expects::Key),
                        (Some(b','), Bracket::Array) => self.step(Expects::Value),
                        (Some(b'}'), Bracket::Object) | (Some(b']'), Bracket::Array) => {
                            return Ok((self.close(), position));
                        }
                        (_, Bracket::Object) => return Err(self.unexpected("',' or '}'")),
                        (_, Bracket::Array) => return Err(self.unexpected("',' or ']'")),
                    }
                }
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn step(&mut self, expects: Expects) {
        self.offset += 1;
        self.expects = expects;
    }

    fn skip_white(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.offset += 1;
            if byte == b'\n' {
                self.line += 1;
                self.columns_before = -(self.offset as isize);
            }
        }
    }

    fn value(&mut self) -> Result<Event, SyntaxError> {
        let value = match self.peek() {
            Some(b'{') => return Ok(self.start(Bracket::Object)),
            Some(b'[') => return Ok(self.start(Bracket::Array)),
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.unexpected("a JSON value")),
        };
        self.after_value();
        Ok(Event::Scalar { value, anchor: 0 })
    }

    fn key(&mut self) -> Result<Event, SyntaxError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in double quotes"));
        }
        let value = Value::String(self.string()?);
        self.skip_white();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.step(Expects::Value);
        Ok(Event::Scalar { value, anchor: 0 })
    }

    fn start(&mut self, bracket: Bracket) -> Event {
        self.open.push(bracket);
        match bracket {
            Bracket::Object => {
                self.step(Expects::FirstKey);
                Event::MappingStart { anchor: 0 }
            }
            Bracket::Array => {
                self.step(Expects::FirstElement);
                Event::SequenceStart { anchor: 0 }
            }
        }
    }

    fn close(&mut self) -> Event {
        self.offset += 1;
        let bracket = self.open.pop().expect("invariant: what closes was open");
        self.after_value();
        match bracket {
            Bracket::Object => Event::MappingEnd,
            Bracket::Array => Event::SequenceEnd,
        }
    }

    fn after_value(&mut self) {
        self.expects = if self.open.is_empty() { Expects::DocumentEnd } else { Expects::CommaOrEnd };
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        if !self.text[self.offset..].starts_with(word) {
            return Err(self.unexpected("true, false or null"));
        }
        self.offset += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let rest = &self.text[self.offset..];
        let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
        let text = &rest[..rest.bytes().position(|b| !is_part(b)).unwrap_or(rest.len())];
        if !is_json_number(text) {
            return Err(self.unexpected("a number"));
        }
        let whole = !text.contains(['.', 'e', 'E']);
        let value = if let Some(value) = text.parse().ok().filter(|_| whole) {
            Value::Int(value)
        } else if let Some(value) = text.parse().ok().filter(|_| whole) {
            Value::Unsigned(value)
        } else {
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Value::Float(value),
                _ => return Err(self.unexpected("a number that a double holds")),
            }
        };
        self.offset += text.len();
        Ok(value)
    }

    /// Reads a string; the opening quote is next.
    fn string(&mut self) -> Result<CompactString, SyntaxError> {
        self.offset += 1;
        let plain = self.plain_run()?;
        if self.peek() == Some(b'"') {
            self.offset += 1;
            return Ok(CompactString::from(plain));
        }
        let mut text = String::from(plain);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(CompactString::from(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                _ => text.push_str(self.plain_run()?),
            }
        }
    }

    /// The characters up to the next quote or backslash.
    fn plain_run(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.offset;
        let mut continuation_bytes = 0;
        for &byte in &self.text.as_bytes()[start..] {
            match byte {
                b'"' | b'\\' => {
                    self.columns_before -= continuation_bytes;
                    return Ok(&self.text[start..self.offset]);
                }
                0..0x20 => return Err(self.unexpected("an escape for this control character")),
                _ => {}
            }
            continuation_bytes += isize::from(byte & 0xc0 == 0x80);
            self.offset += 1;
        }
        self.columns_before -= continuation_bytes;
        Err(self.unexpected("'\"' at the end of the string"))
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        const ESCAPE: &str = "an escape such as \\n or \\u00e9";
        let escaped = match self.text.as_bytes().get(self.offset + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.unexpected(ESCAPE)),
        };
        self.offset += 2;
        Ok(escaped)
    }

    /// Reads `\u00e9`, or two of them that make one character. Half a pair is replaced by U+FFFD,
    /// as Go does.
    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let Some(first) = self.hex_unit() else { return Err(self.unexpected("four hexadecimal digits")) };
        self.offset += 6;
        if (0xd800..0xdc00).contains(&first)
            && let Some(second) = self.hex_unit()
            && (0xdc00..0xe000).contains(&second)
        {
            self.offset += 6;
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The number that `\uXXXX`, if it comes next, stands for.
    fn hex_unit(&self) -> Option<u32> {
        let digits = self.text.get(self.offset..self.offset + 6)?.strip_prefix("\\u")?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }

    #[cold]
    fn unexpected(&self, expected: &'static str) -> SyntaxError {
        let (offset, position) = self.place();
        let found = match self.text[offset..].chars().next() {
            None => "the end of the file".to_owned(),
            Some(other) => format!("{other:?} in {}", quote_line(self.text, offset)),
        };
        let message = "not valid JSON".to_owned();
        SyntaxError { position, message, expected, found, hint: "", recoverable: false }
    }
}

fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|text| all_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}
