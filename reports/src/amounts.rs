//! Amounts as people and files read them.

use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use serde::Serializer;

/// Serialises a span as seconds.
pub(crate) fn seconds<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}

/// Serialises an instant as seconds since the start.
pub(crate) fn instant<S: Serializer>(time: &SimTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// Serialises an instant as seconds since the start, or null.
pub(crate) fn maybe_instant<S: Serializer>(time: &Option<SimTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => instant(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Nanoseconds as exact decimal seconds without trailing zeros, appended to `out`.
pub(crate) fn push_decimal_seconds(nanos: i64, out: &mut String) {
    use std::fmt::Write;
    if nanos < 0 {
        out.push('-');
    }
    let (whole, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let written = if fraction == 0 { write!(out, "{whole}") } else { write!(out, "{whole}.{fraction:09}") };
    written.expect("invariant: writing to a string succeeds");
    if fraction != 0 {
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// A span as a person says it: `350ms`, `12.5s`, `12m03s`, `2h05m`.
pub(crate) fn span(span: Span) -> String {
    let text = span.to_string();
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('s').trim_end_matches('0');
            if fraction.is_empty() { format!("{whole}s") } else { format!("{whole}.{fraction}s") }
        }
        None => text.strip_suffix("m00s").map(|hours| format!("{hours}m")).unwrap_or(text),
    }
}

/// An instant as the span from the start.
pub(crate) fn clock(time: SimTime) -> String {
    span(time.since(SimTime::ZERO))
}

/// A count with thousands separated: `150,000`.
pub(crate) fn count(amount: u64) -> String {
    let digits = amount.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 pod`, `3 pods`.
pub(crate) fn counted(amount: u64, noun: &str) -> String {
    let plural = if amount == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(amount))
}

/// At most `decimals` decimals, without trailing zeros.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// CPU in cores: `24 cores`, `1.5 cores`.
pub(crate) fn cores(cpu: MilliCpu) -> String {
    let plural = if cpu.get() == 1_000 { "core" } else { "cores" };
    format!("{} {plural}", trimmed(cpu.get() as f64 / 1_000.0, 2))
}

/// Memory in binary units: `96 GiB`, `1.5 MiB`.
pub(crate) fn bytes(amount: Bytes) -> String {
    let mut value = amount.get() as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value.abs() < 1_024.0 {
            return format!("{} {unit}", trimmed(value, 1));
        }
        value /= 1_024.0;
    }
    format!("{} PiB", trimmed(value, 1))
}

/// A share in percent with one decimal: `43.1 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{share:.1} %")
}

/// Availability in percent, rounded down to thousandths, so that only what never failed reads 100.
pub(crate) fn availability(pct: f64) -> String {
    if pct >= 100.0 { "100 %".to_owned() } else { format!("{:.3} %", (pct * 1_000.0).floor() / 1_000.0) }
}

/// Money: `$1.15`, `$0.0042`.
pub(crate) fn usd(amount: f64) -> String {
    if amount != 0.0 && amount.abs() < 0.1 { format!("${amount:.4}") } else { format!("${amount:.2}") }
}

/// `namespace/name`, or the name alone.
pub(crate) fn object(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// The same without control characters but line breaks: they could move the cursor of a terminal,
/// and are not allowed in SVG.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// A reason and its message, either of which may be missing.
pub(crate) fn said(reason: &str, message: &str) -> String {
    let colon = if reason.is_empty() || message.is_empty() { "" } else { ": " };
    format!("{reason}{colon}{message}")
}

/// At most `max` characters, the last of them an ellipsis if something was cut.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lose_their_empty_fractions() {
        for (millis, text) in [
            (350, "350ms"),
            (12_000, "12s"),
            (12_500, "12.5s"),
            (723_250, "12m03.25s"),
            (600_000, "10m00s"),
            (3_600_000, "1h00m"),
            (3_605_000, "1h00m05s"),
        ] {
            assert_eq!(span(Span::from_millis(millis)), text);
        }
    }

    #[test]
    fn decimal_seconds_are_exact() {
        for (nanos, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (-500_000_000, "-0.5"),
            (12_003_250_000, "12.00325"),
            (100_000_000_000, "100"),
        ] {
            let mut out = String::new();
            push_decimal_seconds(nanos, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn amounts_read_naturally() {
        assert_eq!([count(7), count(1_000), count(1_234_567)], ["7", "1,000", "1,234,567"]);
        assert_eq!([cores(MilliCpu(24_000)), cores(MilliCpu(250))], ["24 cores", "0.25 cores"]);
        assert_eq!([bytes(Bytes(512)), bytes(Bytes(3 << 29))], ["512 B", "1.5 GiB"]);
        assert_eq!([availability(100.0), availability(99.999_96)], ["100 %", "99.999 %"]);
        assert_eq!([usd(1.152), usd(0.0042), usd(0.0)], ["$1.15", "$0.0042", "$0.00"]);
        assert_eq!(shortened("abcdef", 4), "abc…");
    }
}
