//! JSON as Go's decoder reads it: the bodies of requests, with Go's words for what is wrong with them
//! (`vendor/sigs.k8s.io/json/internal/golang/encoding/json/scanner.go`).

use std::fmt;

use compact_str::CompactString;

use super::go_value::go_quote;
use crate::document::{Entry, Mapping, NESTING_MAX, Node, Position, Value};

/// A text that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What it says. Of a key that occurs twice the last value counts.
    pub node: Node,
    /// The fields that occur twice, by their paths, each with its second place.
    pub duplicates: Vec<(Position, String)>,
}

/// Why a text is no JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError(String);

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SyntaxError {}

/// Reads one value, which must be all there is.
///
/// # Errors
/// If the text is no JSON.
pub fn parse(bytes: &[u8]) -> Result<Parsed, SyntaxError> {
    let mut parser =
        Parser { bytes, at: 0, line: 1, line_start: 0, path: Vec::new(), duplicates: Vec::new() };
    parser.skip_space();
    let node = parser.value(0)?;
    parser.skip_space();
    if parser.at < bytes.len() {
        return Err(parser.unexpected("after top-level value"));
    }
    Ok(Parsed { node, duplicates: parser.duplicates })
}

enum Step {
    Key(CompactString),
    Index(usize),
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
    /// The way to the value that is being read.
    path: Vec<Step>,
    duplicates: Vec<(Position, String)>,
}

/// A path as strict decoding spells it: `spec.containers[0].image`.
fn spelled(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                out.push_str(if out.is_empty() { "" } else { "." });
                out.push_str(key);
            }
            Step::Index(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn position(&self) -> Position {
        Position::new(self.line, self.at - self.line_start + 1)
    }

    fn skip_space(&mut self) {
        while let Some(byte) = self.peek().filter(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
            if byte == b'\n' {
                self.line += 1;
                self.line_start = self.at;
            }
        }
    }

    /// That the next character does not belong there; `context` says what was being read.
    fn unexpected(&self, context: &str) -> SyntaxError {
        match self.peek() {
            None => SyntaxError("unexpected end of JSON input".into()),
            Some(byte) => SyntaxError(format!("invalid character {} {context}", quoted_byte(byte))),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        if depth > NESTING_MAX {
            return Err(SyntaxError("exceeded max depth".into()));
        }
        let position = self.position();
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b't') => self.literal("true", Value::Bool(true))?,
            Some(b'f') => self.literal("false", Value::Bool(false))?,
            Some(b'n') => self.literal("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.unexpected("looking for beginning of value")),
        };
        Ok(Node { value, position })
    }

    fn object(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Mapping(Mapping::new(entries)));
        }
        loop {
            let position = self.position();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            self.skip_space();
            self.path.push(Step::Key(key.clone()));
            let earlier = entries.iter().position(|entry| entry.key == key);
            if earlier.is_some() {
                self.duplicates.push((position, spelled(&self.path)));
            }
            let value = self.value(depth + 1)?;
            self.path.pop();
            match earlier {
                Some(index) => entries[index].value = value,
                None => entries.push(Entry { key, position, value }),
            }
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("after object key:value pair")),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(Value::Mapping(Mapping::new(entries)))
    }

    fn array(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut elements = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Sequence(elements.into_iter().collect()));
        }
        loop {
            self.path.push(Step::Index(elements.len()));
            let element = self.value(depth + 1)?;
            self.path.pop();
            elements.push(element);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("after array element")),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(Value::Sequence(elements.into_iter().collect()))
    }

    fn literal(&mut self, text: &str, value: Value) -> Result<Value, SyntaxError> {
        for expected in text.bytes() {
            if self.peek() != Some(expected) {
                let context = format!("in literal {text} (expecting {})", quoted_byte(expected));
                return Err(self.unexpected(&context));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or("0");
        if whole {
            if let Ok(number) = text.parse::<i64>() {
                return Ok(Value::Int(number));
            }
            if let Ok(number) = text.parse::<u64>() {
                return Ok(Value::Unsigned(number));
            }
        }
        let number = text.parse::<f64>().unwrap_or(0.0);
        Ok(Value::Float(number.clamp(f64::MIN, f64::MAX)))
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &str) -> Result<(), SyntaxError> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.unexpected(context));
        }
        self.digits();
        Ok(())
    }

    fn string(&mut self) -> Result<CompactString, SyntaxError> {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    // What is no UTF-8 becomes replacement characters, as in Go.
                    return Ok(String::from_utf8_lossy(&out).as_ref().into());
                }
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) if byte >= 0x20 => {
                    out.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.hexadecimal()?;
        if !(0xd800..0xe000).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // A surrogate counts only together with its other half.
        if first < 0xdc00 && self.bytes[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hexadecimal()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hexadecimal(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| (b as char).to_digit(16)) else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }
}

/// A byte as a message shows it: the character of that number, in quotes.
fn quoted_byte(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".into(),
        b'"' => "'\"'".into(),
        _ => {
            let quoted = go_quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_in_the_words_of_go() {
        let cases: [(&[u8], &str); 14] = [
            (b"{bad", "invalid character 'b' looking for beginning of object key string"),
            (b"", "unexpected end of JSON input"),
            (b"{", "unexpected end of JSON input"),
            (b"[1,]", "invalid character ']' looking for beginning of value"),
            (b"{\"a\" 1}", "invalid character '1' after object key"),
            (b"{\"a\":1 \"b\"", "invalid character '\"' after object key:value pair"),
            (b"[1 2]", "invalid character '2' after array element"),
            (b"1 2", "invalid character '2' after top-level value"),
            (b"tru}", "invalid character '}' in literal true (expecting 'e')"),
            (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
            (b"\"a\nb\"", "invalid character '\\n' in string literal"),
            (b"\"\\q\"", "invalid character 'q' in string escape code"),
            (b"\xc7", "invalid character '\u{c7}' looking for beginning of value"),
            (b"-", "unexpected end of JSON input"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(bytes).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn values_places_and_duplicates_are_read() {
        let parsed = parse(
            b" {\"a\": [1, {\"b\": 1,\n \"b\": \"\\u00e9\\ud83d\\ude00\"}], \"c\": 18446744073709551615}",
        )
        .unwrap();
        assert_eq!(
            parsed.node.value.to_string(),
            "{\"a\":[1,{\"b\":\"\u{e9}\u{1f600}\"}],\"c\":18446744073709551615}"
        );
        assert_eq!(parsed.duplicates, [(Position::new(2, 2), "a[1].b".to_owned())]);
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
