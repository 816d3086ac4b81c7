//! Units as types: instants, spans, CPU, bytes, scores and ratios.
//!
//! Everything is an integer. Arithmetic that can leave the range saturates, so a hostile quantity
//! can never wrap around into a plausible one.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An instant of virtual or wall-clock time: nanoseconds since the start of the run.
///
/// Negative instants lie before the start; they occur as creation times of objects that a state
/// dump brings along. [`crate::calendar::Calendar`] maps instants to dates. The start is always a
/// whole second, so truncating an instant to seconds truncates its date to seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(i64);

/// A length of time in nanoseconds. Negative only as the difference of two instants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl SimTime {
    /// The start of the run.
    pub const ZERO: SimTime = SimTime(0);
    /// Later than every instant that a run can reach.
    pub const MAX: SimTime = SimTime(i64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: i64) -> SimTime {
        SimTime(nanos)
    }

    /// The instant `seconds` seconds after the start.
    pub const fn from_secs(seconds: i64) -> SimTime {
        SimTime(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds since the start.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the start, for output only.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }

    /// The time since `earlier`; negative if `earlier` is later.
    pub const fn since(self, earlier: SimTime) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The last whole second at or before this instant, as Kubernetes stores times.
    pub const fn truncate_to_second(self) -> SimTime {
        SimTime(self.0.div_euclid(NANOS_PER_SECOND).saturating_mul(NANOS_PER_SECOND))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// Longer than every run.
    pub const MAX: Span = Span(i64::MAX);

    /// `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Span {
        Span(nanos)
    }

    /// `micros` microseconds.
    pub const fn from_micros(micros: i64) -> Span {
        Span(micros.saturating_mul(1_000))
    }

    /// `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Span {
        Span(millis.saturating_mul(1_000_000))
    }

    /// `seconds` seconds.
    pub const fn from_secs(seconds: i64) -> Span {
        Span(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// `minutes` minutes.
    pub const fn from_mins(minutes: i64) -> Span {
        Span::from_secs(minutes.saturating_mul(60))
    }

    /// `hours` hours.
    pub const fn from_hours(hours: i64) -> Span {
        Span::from_secs(hours.saturating_mul(3_600))
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds, for output only.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }

    /// This span times `factor`, saturating.
    pub const fn times(self, factor: i64) -> Span {
        Span(self.0.saturating_mul(factor))
    }

    /// This span divided by `divisor`, truncated toward zero.
    ///
    /// # Panics
    /// If `divisor` is zero.
    pub const fn divided_by(self, divisor: i64) -> Span {
        Span(self.0 / divisor)
    }
}

impl Add<Span> for SimTime {
    type Output = SimTime;
    fn add(self, span: Span) -> SimTime {
        SimTime(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for SimTime {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for SimTime {
    type Output = SimTime;
    fn sub(self, span: Span) -> SimTime {
        SimTime(self.0.saturating_sub(span.0))
    }
}

impl Sub<SimTime> for SimTime {
    type Output = Span;
    fn sub(self, earlier: SimTime) -> Span {
        self.since(earlier)
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for SimTime {
    /// Minutes, seconds and milliseconds from the start: `12m03.250s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Span(self.0))
    }
}

impl fmt::Display for Span {
    /// `350ms`, `12.500s`, `12m03.250s` or `2h05m00s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let millis = self.0.unsigned_abs() / 1_000_000;
        let (seconds, rest) = (millis / 1_000, millis % 1_000);
        match seconds {
            0 => write!(f, "{sign}{rest}ms"),
            1..60 => write!(f, "{sign}{seconds}.{rest:03}s"),
            60..3_600 => write!(f, "{sign}{}m{:02}.{rest:03}s", seconds / 60, seconds % 60),
            _ => write!(f, "{sign}{}h{:02}m{:02}s", seconds / 3_600, seconds / 60 % 60, seconds % 60),
        }
    }
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// Nothing.
            pub const ZERO: $name = $name(0);

            /// The bare amount.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl Add for $name {
            type Output = $name;
            fn add(self, other: $name) -> $name {
                $name(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                *self = *self + other;
            }
        }

        impl Sub for $name {
            type Output = $name;
            fn sub(self, other: $name) -> $name {
                $name(self.0.saturating_sub(other.0))
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: $name) {
                *self = *self - other;
            }
        }
    };
}

amount! {
    /// CPU in thousandths of a core, the unit in which the scheduler reckons.
    MilliCpu
}

amount! {
    /// Memory or storage in bytes.
    Bytes
}

amount! {
    /// A plugin's score of a node, 0 to 100 before its weight is applied.
    Score
}

/// A share as a fraction of two integers, for settings such as a tolerance of one tenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    /// The numerator.
    pub num: i64,
    /// The denominator, never zero.
    pub den: i64,
}

impl Ratio {
    /// `num / den`.
    ///
    /// # Panics
    /// If `den` is zero.
    pub const fn new(num: i64, den: i64) -> Ratio {
        assert!(den != 0, "a ratio needs a denominator");
        Ratio { num, den }
    }

    /// The nearest float, for output only.
    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_truncate_to_the_second_below_also_before_the_start() {
        assert_eq!(SimTime::from_nanos(1_999_999_999).truncate_to_second(), SimTime::from_secs(1));
        assert_eq!(SimTime::from_nanos(-1).truncate_to_second(), SimTime::from_secs(-1));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(SimTime::MAX + Span::from_secs(1), SimTime::MAX);
        assert_eq!(Bytes(i64::MAX) + Bytes(1), Bytes(i64::MAX));
    }

    #[test]
    fn spans_read_like_a_clock() {
        for (span, text) in [
            (Span::from_millis(350), "350ms"),
            (Span::from_millis(12_500), "12.500s"),
            (Span::from_millis(723_250), "12m03.250s"),
            (Span::from_secs(7_500), "2h05m00s"),
            (Span::from_secs(-5), "-5.000s"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }
}
