//! Colours that people with any colour vision can tell apart: those of Okabe and Ito for lines
//! and areas, ramps of steadily falling lightness for amounts.

use plotters::style::RGBColor;

/// Text and axes.
pub(crate) const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
/// Secondary text.
pub(crate) const FAINT: RGBColor = RGBColor(0x59, 0x63, 0x6e);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
/// Paper.
pub(crate) const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// What was not there.
pub(crate) const ABSENT: RGBColor = RGBColor(0xd3, 0xd6, 0xdb);

/// Running; allocated.
pub(crate) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
/// Pending; used.
pub(crate) const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
/// Failed; faults.
pub(crate) const VERMILLION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
/// Succeeded.
pub(crate) const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
/// Allocatable.
pub(crate) const GREY: RGBColor = RGBColor(0x7a, 0x7f, 0x87);
/// Further lines.
pub(crate) const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);
/// Further lines.
pub(crate) const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);

/// Colours of lines that have no meaning of their own, in the order in which they are taken.
pub(crate) const LINES: [RGBColor; 8] = [BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, INK, GREY];

/// From nothing (pale) to everything (dark blue).
pub(crate) const FILL: [RGBColor; 5] = [
    RGBColor(0xf1, 0xf6, 0xfb),
    RGBColor(0xb5, 0xd4, 0xe9),
    RGBColor(0x5f, 0xa6, 0xd1),
    RGBColor(0x1f, 0x6e, 0xb3),
    RGBColor(0x08, 0x30, 0x6b),
];

/// From none available (dark red) over half to all (pale blue): what failed catches the eye.
pub(crate) const AVAILABLE: [RGBColor; 5] = [
    RGBColor(0x7f, 0x1d, 0x00),
    RGBColor(0xc8, 0x4b, 0x05),
    RGBColor(0xf0, 0x8e, 0x3c),
    RGBColor(0xfb, 0xd0, 0xa2),
    RGBColor(0xdc, 0xea, 0xf6),
];

/// Into how many colours the ramps are divided.
pub(crate) const LEVELS: u8 = 20;

/// The level of a share between 0 and 1. The lowest and highest level are kept for nothing and
/// for everything, so that a little and almost all can be told from them.
pub(crate) fn level(share: f64) -> u8 {
    let top = f64::from(LEVELS);
    if share <= 0.0 {
        0
    } else if share >= 1.0 {
        LEVELS
    } else {
        (share * top).round().clamp(1.0, top - 1.0) as u8
    }
}

/// The colour of `level` on `ramp`.
pub(crate) fn colour(ramp: &[RGBColor; 5], level: u8) -> RGBColor {
    let place = f64::from(level.min(LEVELS)) / f64::from(LEVELS) * 4.0;
    let lower = (place as usize).min(3);
    let (from, to, part) = (ramp[lower], ramp[lower + 1], place - lower as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// `#rrggbb`.
pub(crate) fn hex(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_and_everything_have_the_end_colours() {
        assert_eq!([level(0.0), level(0.001), level(0.5), level(0.999), level(1.0)], [0, 1, 10, 19, 20]);
        assert_eq!([level(-1.0), level(7.0), level(f64::NAN)], [0, 20, 0]);
        assert_eq!([colour(&FILL, 0), colour(&FILL, 10), colour(&FILL, 20)], [FILL[0], FILL[2], FILL[4]]);
    }
}
