//! A drawing as a list of shapes, in pixels from the upper left corner.

use plotters::style::RGBColor;

/// A drawing.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) shapes: Vec<Shape>,
}

impl Picture {
    /// The same, `factor` times as wide and high.
    pub(crate) fn enlarged(&self, factor: i32) -> Picture {
        let shapes = self.shapes.iter().map(|shape| shape.enlarged(factor)).collect();
        Picture { width: self.width * factor, height: self.height * factor, shapes }
    }
}

impl Shape {
    fn enlarged(&self, factor: i32) -> Shape {
        let mut shape = self.clone();
        match &mut shape {
            Shape::Box { left, top, right, bottom, .. } => {
                for place in [left, top, right, bottom] {
                    *place *= factor;
                }
            }
            Shape::Line { points, width, .. } => {
                *width *= factor.unsigned_abs();
                points.iter_mut().for_each(|point| *point = (point.0 * factor, point.1 * factor));
            }
            Shape::Area { points, .. } => {
                points.iter_mut().for_each(|point| *point = (point.0 * factor, point.1 * factor));
            }
            Shape::Text { x, y, size, .. } => {
                for place in [x, y, size] {
                    *place *= factor;
                }
            }
        }
        shape
    }
}

/// Something drawn; later shapes cover earlier ones.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A filled rectangle, right and lower edge not included. `opacity` is in percent.
    Box { left: i32, top: i32, right: i32, bottom: i32, fill: RGBColor, opacity: u8 },
    /// A line through points.
    Line { points: Vec<(i32, i32)>, colour: RGBColor, width: u32 },
    /// A filled polygon.
    Area { points: Vec<(i32, i32)>, fill: RGBColor },
    /// Text whose anchor stands at `x` and is vertically centred at `y`.
    Text { x: i32, y: i32, text: String, size: i32, bold: bool, colour: RGBColor, anchor: Anchor },
}

/// Which part of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}
