//! Amounts of resources as Kubernetes writes them: `250m`, `1.5`, `64Mi`, `1e3`.
//!
//! A quantity is exact: a whole number of billionths. What is finer is rounded up, away from zero,
//! so that who asks for a little gets a little; what exceeds 2^63-1 is capped there. The kind of
//! suffix is remembered, for a quantity is printed in the kind in which it was written.
//! Upstream: `apimachinery/pkg/api/resource`.

use crate::units::{Bytes, MilliCpu};
use std::cmp::Ordering;
use std::fmt;

/// An exact amount of a resource.
///
/// Equality and order are those of the amount; the notation plays no part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    /// Billionths.
    nanos: i128,
    notation: Notation,
}

/// The kind of suffix with which a quantity was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notation {
    /// Powers of a thousand: `n`, `u`, `m`, none, `k`, `M`, `G`, `T`, `P`, `E`.
    #[default]
    DecimalSi,
    /// Powers of 1024: `Ki`, `Mi`, `Gi`, `Ti`, `Pi`, `Ei`.
    BinarySi,
    /// A power of ten: `1e3`.
    DecimalExponent,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// It does not begin with a number.
    Malformed,
    /// What follows the number is no suffix.
    Suffix,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QuantityError::Malformed => "a quantity such as 250m, 1.5, 64Mi or 1e3",
            QuantityError::Suffix => {
                "a quantity with one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent"
            }
        })
    }
}

impl std::error::Error for QuantityError {}

const NANOS: i128 = 1_000_000_000;

/// The largest amount, in billionths: 2^63-1 units.
const MAX_NANOS: i128 = i64::MAX as i128 * NANOS;

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { nanos: 0, notation: Notation::DecimalSi };

    /// `units` whole units.
    pub const fn from_units(units: i64, notation: Notation) -> Quantity {
        Quantity { nanos: units as i128 * NANOS, notation }
    }

    /// `millis` thousandths.
    pub const fn from_millis(millis: i64) -> Quantity {
        Quantity { nanos: millis as i128 * 1_000_000, notation: Notation::DecimalSi }
    }

    /// Reads a quantity.
    ///
    /// ```
    /// use seatrial_api::quantity::Quantity;
    /// let quantity = Quantity::parse("1.5Gi").unwrap();
    /// assert_eq!(quantity.ceil_units(), 1_610_612_736);
    /// assert_eq!(quantity.to_string(), "1536Mi");
    /// ```
    ///
    /// # Errors
    /// If the text does not follow the grammar.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Malformed);
        }
        let (scale, notation) = Scale::of_suffix(suffix)?;
        let magnitude = scale.nanos(whole.trim_start_matches('0'), fraction);
        Ok(Quantity { nanos: if negative { -magnitude } else { magnitude }, notation })
    }

    /// The kind of suffix with which it is printed.
    pub const fn notation(self) -> Notation {
        self.notation
    }

    /// The amount in billionths.
    pub const fn nanos(self) -> i128 {
        self.nanos
    }

    /// The amount in thousandths, rounded up, away from zero; capped at the range of `i64`.
    pub fn ceil_millis(self) -> i64 {
        capped(divide_away_from_zero(self.nanos, 1_000_000))
    }

    /// The amount in whole units, rounded up, away from zero.
    pub fn ceil_units(self) -> i64 {
        capped(divide_away_from_zero(self.nanos, NANOS))
    }

    /// The amount as CPU, rounded up to a thousandth of a core.
    pub fn as_milli_cpu(self) -> MilliCpu {
        MilliCpu(self.ceil_millis())
    }

    /// The amount as bytes, rounded up.
    pub fn as_bytes(self) -> Bytes {
        Bytes(self.ceil_units())
    }

    /// The amount rounded up to thousandths, as the API server stores requests and limits.
    pub fn rounded_up_to_milli(self) -> Quantity {
        Quantity { nanos: divide_away_from_zero(self.nanos, 1_000_000) * 1_000_000, ..self }
    }

    /// Both together, printed as this one is, or as the other one if this one is nothing.
    pub fn plus(self, other: Quantity) -> Quantity {
        let notation = if self.is_zero() { other.notation } else { self.notation };
        Quantity { nanos: (self.nanos + other.nanos).clamp(-MAX_NANOS, MAX_NANOS), notation }
    }

    /// What is left of it without `other`, and never less than nothing.
    pub fn minus_or_zero(self, other: Quantity) -> Quantity {
        Quantity { nanos: (self.nanos - other.nanos).max(0), ..self }
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number of units.
    pub const fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }
}

fn divide_away_from_zero(amount: i128, divisor: i128) -> i128 {
    amount / divisor + (amount % divisor).signum()
}

fn capped(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of ten.
    Ten(i64),
    /// A power of two.
    Two(u32),
}

impl Scale {
    fn of_suffix(suffix: &str) -> Result<(Scale, Notation), QuantityError> {
        let exponent = match suffix {
            "n" => -9,
            "u" => -6,
            "m" => -3,
            "" => 0,
            "k" => 3,
            "M" => 6,
            "G" => 9,
            "T" => 12,
            "P" => 15,
            "E" => 18,
            "Ki" => return Ok((Scale::Two(10), Notation::BinarySi)),
            "Mi" => return Ok((Scale::Two(20), Notation::BinarySi)),
            "Gi" => return Ok((Scale::Two(30), Notation::BinarySi)),
            "Ti" => return Ok((Scale::Two(40), Notation::BinarySi)),
            "Pi" => return Ok((Scale::Two(50), Notation::BinarySi)),
            "Ei" => return Ok((Scale::Two(60), Notation::BinarySi)),
            _ => return Scale::of_exponent(suffix).map(|scale| (scale, Notation::DecimalExponent)),
        };
        Ok((Scale::Ten(exponent), Notation::DecimalSi))
    }

    fn of_exponent(suffix: &str) -> Result<Scale, QuantityError> {
        let written = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
        let digits = written.strip_prefix(['+', '-']).unwrap_or(written);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(QuantityError::Suffix);
        }
        // An exponent beyond the range is as good as the largest one.
        let size = digits.parse().unwrap_or(i64::MAX);
        Ok(Scale::Ten(if written.starts_with('-') { -size } else { size }))
    }

    /// The billionths of `whole.fraction` times this scale, rounded up and capped. `whole` has no
    /// leading zeros.
    fn nanos(self, whole: &str, fraction: &str) -> i128 {
        let fraction = fraction.trim_end_matches('0');
        match self {
            Scale::Ten(exponent) => decimal_nanos(whole, fraction, exponent.saturating_add(9)),
            Scale::Two(power) => {
                // 2^60 * 10^18 * 10^9 does not fit, so the parts are scaled one after the other.
                let whole = decimal_nanos(whole, "", 0).saturating_mul(NANOS << power);
                let part = fraction_times(fraction, NANOS << power);
                whole.saturating_add(part).min(MAX_NANOS)
            }
        }
    }
}

/// `whole.fraction` times ten to the `exponent`, rounded up to an integer and capped.
fn decimal_nanos(whole: &str, fraction: &str, exponent: i64) -> i128 {
    let mut amount = 0i128;
    let mut rounded_up = false;
    let digits = whole.bytes().chain(fraction.bytes());
    // How many of the digits, and zeros behind them, stand before the point of the result.
    let kept = (whole.len() as i64).saturating_add(exponent);
    let written = (whole.len() + fraction.len()) as i64;
    for (index, digit) in (0i64..).zip(digits) {
        if index < kept {
            amount = amount.saturating_mul(10).saturating_add(i128::from(digit - b'0')).min(MAX_NANOS);
        } else {
            rounded_up |= digit != b'0';
        }
    }
    for _ in written..kept {
        if amount == 0 || amount == MAX_NANOS {
            break;
        }
        amount = amount.saturating_mul(10).min(MAX_NANOS);
    }
    (amount + i128::from(rounded_up)).min(MAX_NANOS)
}

/// `0.fraction` times `factor`, which is below 2^90, rounded up.
fn fraction_times(fraction: &str, factor: i128) -> i128 {
    // Long multiplication from the last digit on; what falls off the end only matters as a whole.
    let mut carry = 0i128;
    let mut remainder = false;
    for digit in fraction.bytes().rev() {
        let sum = i128::from(digit - b'0') * factor + carry;
        remainder |= sum % 10 != 0;
        carry = sum / 10;
    }
    carry + i128::from(remainder)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, and the largest suffix with which that is possible.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let binary = self.notation == Notation::BinarySi;
        if binary && self.is_whole() && self.nanos.abs() >= 1024 * NANOS {
            const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
            let (number, steps) = without_factors(self.nanos / NANOS, 1024, SUFFIXES.len() - 1);
            return write!(f, "{number}{}", SUFFIXES[steps]);
        }
        const SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        let (number, steps) = without_factors(self.nanos, 1000, SUFFIXES.len() - 1);
        match (self.notation, steps) {
            (Notation::DecimalExponent, 3) => write!(f, "{number}"),
            (Notation::DecimalExponent, _) => write!(f, "{number}e{}", (steps as i32 - 3) * 3),
            _ => write!(f, "{number}{}", SUFFIXES[steps]),
        }
    }
}

/// `amount` divided by `factor` as often as that leaves no rest, and how often that was.
fn without_factors(mut amount: i128, factor: i128, steps_max: usize) -> (i128, usize) {
    let mut steps = 0;
    while steps < steps_max && amount % factor == 0 {
        amount /= factor;
        steps += 1;
    }
    (amount, steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_read_and_printed_as_upstream_does() {
        for (text, nanos, printed) in [
            ("0", 0, "0"),
            ("0Mi", 0, "0"),
            ("250m", 250_000_000, "250m"),
            ("1", NANOS, "1"),
            ("+1", NANOS, "1"),
            ("-1", -NANOS, "-1"),
            ("1.5", 1_500_000_000, "1500m"),
            ("1.", NANOS, "1"),
            (".5", 500_000_000, "500m"),
            ("1000m", NANOS, "1"),
            ("12000", 12_000 * NANOS, "12k"),
            ("12500", 12_500 * NANOS, "12500"),
            ("100n", 100, "100n"),
            ("0.1n", 1, "1n"),
            ("-0.1n", -1, "-1n"),
            ("1500u", 1_500_000, "1500u"),
            ("1e3", 1_000 * NANOS, "1e3"),
            ("1E4", 10_000 * NANOS, "10e3"),
            ("15e2", 1_500 * NANOS, "1500"),
            ("1e-3", 1_000_000, "1e-3"),
            ("1e+21", MAX_NANOS, "9223372036854775807"),
            ("0e99999999999999999999", 0, "0"),
            ("1e-99999999999999999999", 1, "1e-9"),
            ("1k", 1_000 * NANOS, "1k"),
            ("1E", 1_000_000_000_000_000_000 * NANOS, "1E"),
            ("64Mi", 67_108_864 * NANOS, "64Mi"),
            ("1.5Gi", 1_610_612_736 * NANOS, "1536Mi"),
            ("1024Ki", 1_048_576 * NANOS, "1Mi"),
            ("0.5Ki", 512 * NANOS, "512"),
            ("1.1Ki", 1_126_400_000_000, "1126400m"),
            ("0.0000000001Ki", 103, "103n"),
            ("16Ei", MAX_NANOS, "9223372036854775807"),
            ("-16Ei", -MAX_NANOS, "-9223372036854775807"),
            ("99999999999999999999999999999999999999999999", MAX_NANOS, "9223372036854775807"),
            ("0.00000000000000000000000000000000000000001", 1, "1n"),
            ("00000000000000000000000000000000000000000001", NANOS, "1"),
        ] {
            let quantity = Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(quantity.nanos(), nanos, "{text}");
            assert_eq!(quantity.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "-", "+", ".", "Mi", " 1", "1.2.3", "--1", "e3", "-.Mi"] {
            assert_eq!(Quantity::parse(text), Err(QuantityError::Malformed), "{text}");
        }
        for text in ["1 ", "1mi", "1MiB", "1K", "1e", "1e+", "1e1.5", "1Kii", "1e3m", "1,5", "1é", "10 Mi"] {
            assert_eq!(Quantity::parse(text), Err(QuantityError::Suffix), "{text}");
        }
    }

    #[test]
    fn rounding_goes_up_and_away_from_zero() {
        let parse = |text| Quantity::parse(text).expect("a quantity");
        assert_eq!(parse("1n").ceil_millis(), 1);
        assert_eq!(parse("1.0001").ceil_millis(), 1001);
        assert_eq!(parse("-1.0001").ceil_millis(), -1001);
        assert_eq!(parse("1500m").ceil_units(), 2);
        assert_eq!(parse("-1500m").ceil_units(), -2);
        assert_eq!(parse("8Ei").ceil_millis(), i64::MAX);
        assert_eq!(parse("100u").rounded_up_to_milli().to_string(), "1m");
        assert_eq!(parse("64Mi").rounded_up_to_milli().to_string(), "64Mi");
    }

    proptest! {
        #[test]
        fn the_canonical_form_reads_back_the_same(
            text in r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?(n|u|m||k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,3})",
        ) {
            let quantity = Quantity::parse(&text).expect("the grammar is followed");
            let again = Quantity::parse(&quantity.to_string()).expect("the canonical form is a quantity");
            prop_assert_eq!(again, quantity);
            prop_assert_eq!(again.to_string(), quantity.to_string());
        }

        #[test]
        fn values_that_floats_hold_exactly_agree_with_float_arithmetic(
            whole in 0u32..1_000_000, eighths in 0u8..8, power in 0usize..5,
        ) {
            let (suffix, factor) = [("", 1i128), ("k", 1_000), ("M", 1_000_000), ("Ki", 1 << 10), ("Gi", 1 << 30)][power];
            let text = format!("{}{suffix}", f64::from(whole) + f64::from(eighths) / 8.0);
            let quantity = Quantity::parse(&text).expect("a quantity");
            prop_assert_eq!(quantity.nanos(), (i128::from(whole) * 8 + i128::from(eighths)) * factor * (NANOS / 8));
        }

        #[test]
        fn no_text_upsets_the_reader(text in ".{0,20}", close in "[0-9.eEinumkKMGTP+-]{0,20}") {
            let _ = Quantity::parse(&text);
            let _ = Quantity::parse(&close);
        }
    }
}
