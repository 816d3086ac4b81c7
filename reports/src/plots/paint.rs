//! Puts a picture into SVG and PNG.

use std::fmt;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::font::face;
use super::picture::{Anchor, Picture, Shape};

/// A plot that could not be written.
#[derive(Debug)]
pub(crate) struct PaintError {
    /// The file.
    pub(crate) path: PathBuf,
    /// What the drawing library said.
    pub(crate) message: String,
}

impl PaintError {
    fn at(path: &Path, message: impl fmt::Display) -> PaintError {
        PaintError { path: path.to_owned(), message: message.to_string() }
    }
}

/// Writes `picture` as SVG.
pub(crate) fn svg(picture: &Picture, path: &Path) -> Result<(), PaintError> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (picture.width as u32, picture.height as u32));
    paint(&area.into_drawing_area(), picture).map_err(|error| PaintError::at(path, error))?;
    std::fs::write(path, text).map_err(|error| PaintError::at(path, error))
}

/// Writes `picture` as PNG, with two dots per pixel and direction, so that small text is sharp.
pub(crate) fn png(picture: &Picture, path: &Path) -> Result<(), PaintError> {
    let mut picture = picture.enlarged(2);
    for shape in &mut picture.shapes {
        // Bitmaps centre the line, of which the letters are the upper part; SVG centres the letters.
        if let Shape::Text { y, size, .. } = shape {
            *y += *size / 9;
        }
    }
    let area = BitMapBackend::new(path, (picture.width as u32, picture.height as u32));
    paint(&area.into_drawing_area(), &picture).map_err(|error| PaintError::at(path, error))
}

fn paint<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    picture: &Picture,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    area.fill(&WHITE)?;
    for shape in &picture.shapes {
        match shape {
            Shape::Box { left, top, right, bottom, fill, opacity } => {
                let style = fill.mix(f64::from(*opacity) / 100.0).filled();
                area.draw(&Rectangle::new([(*left, *top), (*right, *bottom)], style))?;
            }
            Shape::Line { points, colour, width } => {
                area.draw(&PathElement::new(points.clone(), colour.stroke_width(*width)))?;
            }
            Shape::Area { points, fill } => area.draw(&Polygon::new(points.clone(), fill.filled()))?,
            Shape::Text { x, y, text, size, bold, colour, anchor } => {
                let side = match anchor {
                    Anchor::Start => HPos::Left,
                    Anchor::Middle => HPos::Center,
                    Anchor::End => HPos::Right,
                };
                let style = face(*size, *bold).color(colour).pos(Pos::new(side, VPos::Center));
                area.draw(&Text::new(text.as_str(), (*x, *y), style))?;
            }
        }
    }
    area.present()
}
