//! Values of facts: rounding, comparing, writing.

use serde_json::{Map, Value};

/// An instant or a span in seconds, rounded to tenths; exact halves to the even one, as the value's
/// binary digits have it.
pub(super) fn seconds(t: f64) -> Value {
    let text = format!("{t:.1}");
    Value::from(text.parse::<f64>().unwrap_or(t))
}

/// A field that is a number.
pub(super) fn number(entry: &Value, field: &str) -> f64 {
    entry[field].as_f64().unwrap_or(0.0)
}

/// Values in order, each that equals the one before it dropped.
pub(super) fn distinct(values: impl IntoIterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.into_iter().collect();
    values.dedup_by(|a, b| same(a, b));
    Value::Array(values)
}

/// Whether a value says nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Whether a value counts as true: neither absent nor false, zero or empty.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        other => !is_nothing(other),
    }
}

/// The elements of a list; none of anything else.
pub(super) fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The fields of a mapping; none of anything else.
pub(super) fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Whether two values are equal; numbers are by their value.
pub(in super::super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => same_fields(a, b),
        (a, b) => a == b,
    }
}

fn same_fields(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
}

/// A value as JSON with spaces after commas and colons and nothing but ASCII, by which rows of a
/// recording are sorted.
pub(in super::super) fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(element, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(&Value::from(key.as_str()), out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
        scalar => {
            for character in scalar.to_string().chars() {
                if character.is_ascii() {
                    out.push(character);
                } else {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rounding_follows_the_binary_value() {
        for (t, rounded) in [(0.25, 0.2), (0.35, 0.3), (1.05, 1.1), (2.0, 2.0), (-0.04, -0.0)] {
            assert_eq!(seconds(t).as_f64(), Some(rounded), "{t}");
        }
    }

    #[test]
    fn numbers_are_compared_by_value_and_rows_are_written_with_spaces() {
        assert!(same(&json!([1, {"a": 2.0}]), &json!([1.0, {"a": 2}])));
        assert!(!same(&json!([1]), &json!([1, 2])));
        assert_eq!(compact(&json!(["ä", 1, null, {"k": true}])), r#"["\u00e4", 1, null, {"k": true}]"#);
    }
}
