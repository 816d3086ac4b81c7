//! Numbers as texts, the way Go writes them: what a float becomes on its way through `kubectl`.

/// The JSON text of a finite float, as Go's `encoding/json` writes it: shortest digits that read
/// back to the same value, with an exponent below 1e-6 and from 1e21.
pub(crate) fn json_text(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    // Rust never uses an exponent here, and prints no trailing `.0`.
    format!("{value}")
}

/// The text of a float that is a key of a mapping. `kubectl` formats these with single precision,
/// with an exponent below 1e-4 and from 1e6 on.
pub(crate) fn key_text(value: f64) -> String {
    // The conversion rounds to the nearest single, as Go's does.
    let single = value as f32;
    if single.is_infinite() {
        return if single > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{single:e}");
    let (digits, exponent) = scientific.split_once('e').expect("invariant: `e` formatting has an exponent");
    let exponent: i32 = exponent.parse().expect("invariant: the exponent of a float is a number");
    if single != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    format!("{single}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.5, "0.5"),
            (1000.0, "1000"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.000001, "0.000001"),
            (1.25e-7, "1.25e-7"),
        ] {
            assert_eq!(json_text(value), text);
        }
    }

    #[test]
    fn keys_that_are_floats_have_single_precision() {
        for (value, text) in [(1.5, "1.5"), (0.1, "0.1"), (1e6, "1e+06"), (0.00001, "1e-05"), (1e300, ".inf")]
        {
            assert_eq!(key_text(value), text);
        }
    }
}
