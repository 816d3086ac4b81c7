//! Values as Go prints them: what upstream's messages hold.

use crate::document::{Node, Value};

/// A text as `%q` prints it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if is_unprintable(c) && (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if is_unprintable(c) => out.push_str(&format!("\\U{:08x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Control characters, and spaces other than the usual one.
fn is_unprintable(c: char) -> bool {
    let format = matches!(c as u32, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff);
    c.is_control() || (c.is_whitespace() && c != ' ') || format || (0xe000..=0xf8ff).contains(&(c as u32))
}

/// A value as `%v` prints it: `map[a:1 b:[x y]]`.
pub fn go_print(node: &Node) -> String {
    match &node.value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.to_string(),
        Value::Sequence(elements) => {
            let texts: Vec<String> = elements.iter().map(|element| go_print(&element)).collect();
            format!("[{}]", texts.join(" "))
        }
        Value::Mapping(fields) => {
            let mut sorted: Vec<_> = fields.entries().iter().collect();
            sorted.sort_by(|one, two| one.key.cmp(&two.key));
            let texts: Vec<String> =
                sorted.iter().map(|entry| format!("{}:{}", entry.key, go_print(&entry.value))).collect();
            format!("map[{}]", texts.join(" "))
        }
        other => other.to_string(),
    }
}

/// A value as Go's JSON encoder writes it, which escapes `<`, `>` and `&`. Keys stay in their order.
pub fn go_json(node: &Node) -> String {
    escape_html(&node.value.to_string())
}

/// JSON with the characters escaped that Go's encoder escapes. They can only stand inside strings.
pub fn escape_html(json: &str) -> String {
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{8}', '\u{c}']) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

/// A document with the keys of all its mappings in order, as Go writes a map.
pub fn sorted(node: &Node) -> Node {
    match &node.value {
        Value::Sequence(elements) => Node::list(elements.iter().map(|element| sorted(&element))),
        Value::Mapping(fields) => {
            let mut entries: Vec<_> =
                fields.entries().iter().map(|entry| (entry.key.clone(), sorted(&entry.value))).collect();
            entries.sort_by(|one, two| one.0.cmp(&two.0));
            Node::object(entries)
        }
        _ => node.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_maps_printed_as_go_does() {
        assert_eq!(go_quote("a\"b\\\n\u{1}é\u{a0}"), r#""a\"b\\\n\x01é\u00a0""#);
        let node = Node::object([("b", Node::list([Node::int(1), Node::text("x")])), ("a", Node::empty())]);
        assert_eq!(go_print(&node), "map[a:map[] b:[1 x]]");
        assert_eq!(go_json(&Node::text("a<b&c")), "\"a\\u003cb\\u0026c\"");
    }
}
