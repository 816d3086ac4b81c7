//! What a YAML scalar means. The rules are those of YAML 1.1 as `kubectl` reads it: `yes` and
//! `on` are true, `0644` is octal, underscores may separate digits, dates stay texts.

use super::node::Value;
use crate::base64;
use compact_str::CompactString;

/// The types that a tag such as `!!int` can demand of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Null,
    Bool,
    Int,
    Float,
    String,
    Binary,
}

/// Why a scalar means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `.inf` and `.nan` cannot be sent as JSON.
    NotFinite,
    /// The text is not of the type that its tag demands.
    NotOfTag(Tag),
}

/// The value of a scalar without quotes and without a tag.
pub(super) fn resolve_plain(text: &str) -> Result<Value, Fault> {
    let Some(&first) = text.as_bytes().first() else { return Ok(Value::Null) };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => resolve_number(text).unwrap_or_else(|| Ok(string(text))),
        b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => {
            Ok(resolve_word(text).unwrap_or_else(|| string(text)))
        }
        _ => Ok(string(text)),
    }
}

/// The value of a scalar whose tag demands a type.
pub(super) fn resolve_tagged(text: &str, tag: Tag) -> Result<Value, Fault> {
    match tag {
        Tag::String => return Ok(string(text)),
        Tag::Binary => {
            let bytes = base64::decode(text).ok_or(Fault::NotOfTag(tag))?;
            return String::from_utf8(bytes).map(|text| string(&text)).map_err(|_| Fault::NotOfTag(tag));
        }
        _ => {}
    }
    match (tag, resolve_plain(text)?) {
        (Tag::Null, Value::Null) => Ok(Value::Null),
        (Tag::Bool, Value::Bool(value)) => Ok(Value::Bool(value)),
        (Tag::Int, value @ (Value::Int(_) | Value::Unsigned(_))) => Ok(value),
        (Tag::Float, Value::Float(value)) => Ok(Value::Float(value)),
        (Tag::Float, Value::Int(value)) => Ok(Value::Float(value as f64)),
        _ => Err(Fault::NotOfTag(tag)),
    }
}

fn string(text: &str) -> Value {
    Value::String(CompactString::from(text))
}

fn resolve_word(text: &str) -> Option<Value> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => return None,
    })
}

/// The number that `text` spells, or `None` if it is a text after all.
fn resolve_number(text: &str) -> Option<Result<Value, Fault>> {
    if let ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" = text.trim_start_matches(['+', '-']) {
        let signed_nan = text.len() == 5 && text[1..].eq_ignore_ascii_case(".nan");
        return (text.len() <= 5 && !signed_nan).then_some(Err(Fault::NotFinite));
    }
    if text.starts_with('.') {
        return resolve_float(text).map(Ok);
    }
    let digits: CompactString;
    let plain = if text.contains('_') {
        digits = text.chars().filter(|&c| c != '_').collect();
        digits.as_str()
    } else {
        text
    };
    resolve_integer(plain).or_else(|| resolve_float(plain)).map(Ok)
}

/// A whole number: decimal, `0x` hexadecimal, `0b` binary, `0o` or a bare leading zero octal.
fn resolve_integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Value::Int);
    }
    Some(i64::try_from(magnitude).map_or(Value::Unsigned(magnitude), Value::Int))
}

/// A number with a point or an exponent, or with more digits than an integer holds.
fn resolve_float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let well_formed = match (whole, fraction) {
        ("", fraction) => all_digits(fraction),
        (whole, "") => all_digits(whole),
        (whole, fraction) => all_digits(whole) && all_digits(fraction),
    };
    let exponent_ok = exponent.is_none_or(|text| all_digits(text.strip_prefix(['+', '-']).unwrap_or(text)));
    if !well_formed || !exponent_ok {
        return None;
    }
    // A value beyond the range of floats is a text, as in Go, where parsing it fails.
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.into())
    }

    #[test]
    fn scalars_mean_what_kubectl_takes_them_for() {
        for (written, meant) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("nULL", text("nULL")),
            ("yes", Value::Bool(true)),
            ("On", Value::Bool(true)),
            ("y", Value::Bool(true)),
            ("off", Value::Bool(false)),
            ("oN", text("oN")),
            ("0644", Value::Int(420)),
            ("-0644", Value::Int(-420)),
            ("0o644", Value::Int(420)),
            ("0x1F", Value::Int(31)),
            ("-0b101", Value::Int(-5)),
            ("1_000", Value::Int(1000)),
            ("+7", Value::Int(7)),
            ("0", Value::Int(0)),
            ("08", Value::Float(8.0)),
            ("0x", text("0x")),
            ("0x-1", text("0x-1")),
            ("--1", text("--1")),
            ("18446744073709551615", Value::Unsigned(u64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("-9223372036854775809", Value::Float(-9223372036854775809.0)),
            ("1e3", Value::Float(1000.0)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            (".", text(".")),
            ("-", text("-")),
            ("1e", text("1e")),
            ("1e999", text("1e999")),
            ("+.nan", text("+.nan")),
            ("1.2.3", text("1.2.3")),
            ("100m", text("100m")),
            ("2001-12-14", text("2001-12-14")),
            ("12:30:45", text("12:30:45")),
            ("é", text("é")),
        ] {
            assert_eq!(resolve_plain(written), Ok(meant), "{written}");
        }
        for not_finite in [".inf", "-.INF", "+.Inf", ".NaN"] {
            assert_eq!(resolve_plain(not_finite), Err(Fault::NotFinite), "{not_finite}");
        }
    }

    #[test]
    fn a_tag_decides_the_type() {
        assert_eq!(resolve_tagged("12", Tag::String), Ok(text("12")));
        assert_eq!(resolve_tagged("12", Tag::Float), Ok(Value::Float(12.0)));
        assert_eq!(resolve_tagged("yes", Tag::Bool), Ok(Value::Bool(true)));
        assert_eq!(resolve_tagged("x", Tag::Int), Err(Fault::NotOfTag(Tag::Int)));
        assert_eq!(resolve_tagged("c2Vh\ndHI=", Tag::Binary), Ok(text("seatr")));
        for broken in ["c2V", "c=Vh", "c2==dHI=", "=", "c2V?", "/w=="] {
            assert_eq!(resolve_tagged(broken, Tag::Binary), Err(Fault::NotOfTag(Tag::Binary)), "{broken}");
        }
    }
}
