//! The plots of a run, each as SVG and PNG.
//!
//! A plot is first a [`picture::Picture`], a list of shapes, made by a pure function of the results;
//! `paint` puts it into both formats. A plot is about 1,000 steps wide, so its size does not
//! grow with the run.

mod courses;
mod font;
mod frame;
mod paint;
pub(crate) mod palette;
mod picture;
mod strips;
mod ticks;

pub(crate) use courses::{PILE, occurring_phases, succeeded_pile_up};
pub(crate) use frame::fault_label;
pub(crate) use paint::PaintError;

use std::path::Path;

use seatrial_sim_core::results::Results;

use picture::Picture;

/// Draws a plot.
type Draw = fn(&Results) -> Picture;

/// The plots by file name (without extension).
const PLOTS: [(&str, Draw); 5] = [
    ("pods", courses::pods),
    ("resources", courses::resources),
    ("nodes", strips::nodes),
    ("availability", strips::services),
    ("deployments", strips::deployments),
];

/// Writes every plot as SVG and PNG into `folder`, which exists.
pub(crate) fn write_all(folder: &Path, results: &Results) -> Result<(), PaintError> {
    font::register();
    for (name, draw) in PLOTS {
        let picture = draw(results);
        paint::svg(&picture, &folder.join(format!("{name}.svg")))?;
        paint::png(&picture, &folder.join(format!("{name}.png")))?;
    }
    Ok(())
}
