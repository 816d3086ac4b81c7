//! The typeface of the plots: a Latin subset of DejaVu Sans, so that no machine needs a font.

use std::sync::Once;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

const REGULAR: &[u8] = include_bytes!("../../assets/dejavu-sans.ttf");
const BOLD: &[u8] = include_bytes!("../../assets/dejavu-sans-bold.ttf");

/// Makes the typeface known to the drawing library, once in a process.
pub(crate) fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, REGULAR), (FontStyle::Bold, BOLD)] {
            let known = register_font("sans-serif", style, bytes);
            assert!(known.is_ok(), "invariant: the embedded font can be read");
        }
    });
}

/// The typeface at `size` pixels.
pub(crate) fn face(size: i32, bold: bool) -> FontDesc<'static> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    FontDesc::new(FontFamily::SansSerif, f64::from(size), style)
}

/// How many pixels wide `text` is.
pub(crate) fn width(text: &str, size: i32, bold: bool) -> i32 {
    register();
    face(size, bold).box_size(text).map_or(0, |area| area.0 as i32)
}
