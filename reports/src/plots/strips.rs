//! One strip per object against time: the heat map of the nodes, the availability of Services
//! and Deployments.

use plotters::style::RGBColor;
use seatrial_sim_core::results::Results;

use super::font::width;
use super::frame::{HEAD, MARGIN, Panel, WIDTH};
use super::palette::{ABSENT, AVAILABLE, FAINT, FILL, INK, LEVELS, WHITE, colour, level};
use super::picture::{Anchor, Picture};
use crate::amounts::shortened;
use crate::matrix::{self, Matrix, Row};
use crate::timeline::Grid;

const COLUMNS: usize = 400;

/// How a matrix is shown.
struct Look {
    title: &'static str,
    ramp: &'static [RGBColor; 5],
    ends: [&'static str; 2],
    absent: &'static str,
    nothing: &'static str,
}

/// The share of each node's CPU that was given away.
pub(crate) fn nodes(results: &Results) -> Picture {
    let look = Look {
        title: "CPU allocated per node",
        ramp: &FILL,
        ends: ["0 %", "100 % of allocatable"],
        absent: "no such node",
        nothing: "no nodes were recorded",
    };
    draw(results, &matrix::nodes(results, 100, Grid::new(results.simulated, COLUMNS)), &look)
}

/// The availability of the Services.
pub(crate) fn services(results: &Results) -> Picture {
    let look = Look {
        title: "Availability of Services",
        ramp: &AVAILABLE,
        ends: ["0 %", "100 % of backends usable"],
        absent: "none wanted",
        nothing: "no Service should have had a backend",
    };
    draw(results, &matrix::services(results, 30, Grid::new(results.simulated, COLUMNS)), &look)
}

/// When the Deployments were available.
pub(crate) fn deployments(results: &Results) -> Picture {
    let look = Look {
        title: "Availability of Deployments",
        ramp: &AVAILABLE,
        ends: ["not available", "available"],
        absent: "not there",
        nothing: "no Deployments were recorded",
    };
    draw(results, &matrix::deployments(results, 30, Grid::new(results.simulated, COLUMNS)), &look)
}

fn draw(results: &Results, matrix: &Matrix, look: &Look) -> Picture {
    let count = matrix.rows.len().max(4) as i32;
    let tall = (560 / count).clamp(5, 34);
    let rows = matrix.rows.len() as i32;
    let bottom = HEAD + if rows == 0 { 160 } else { rows * tall };
    let mut picture = Picture::titled(look.title, results, bottom + 62);
    ramp_legend(&mut picture, look, &matrix.note);
    let labels = matrix.rows.iter().map(|row| width(&row_label(row), 13, false)).max().unwrap_or(0);
    let notes = matrix.rows.iter().map(|row| width(&row.note, 13, false)).max().unwrap_or(0);
    let groups = if is_grouped(matrix) { 70 } else { 0 };
    let named = tall >= 14;
    let left = MARGIN + groups + if named { labels + 12 } else { 8 };
    let right = WIDTH - MARGIN - if notes > 0 { notes + 12 } else { 6 };
    let panel = Panel { left, top: HEAD, right, bottom, length: results.simulated };
    if matrix.rows.is_empty() {
        picture.nothing(&panel, look.nothing);
        return picture;
    }
    for (index, row) in matrix.rows.iter().enumerate() {
        let top = HEAD + index as i32 * tall;
        strip(&mut picture, &panel, row, (top, top + tall - i32::from(tall >= 8)), look.ramp);
        let middle = top + tall / 2;
        if named {
            picture.text((left - 10, middle), &row_label(row), 13, false, INK, Anchor::End);
        }
        picture.text((right + 10, middle), &row.note, 13, false, INK, Anchor::Start);
    }
    if groups > 0 {
        group_names(&mut picture, &panel, matrix, tall);
    }
    picture.fault_marks(&panel, &results.faults, left);
    picture.time_axis(&panel, true);
    picture
}

fn row_label(row: &Row) -> String {
    shortened(&row.label, 40)
}

/// Whether the rows belong to more than one group.
fn is_grouped(matrix: &Matrix) -> bool {
    matrix.rows.first().is_some_and(|first| matrix.rows.iter().any(|row| row.group != first.group))
}

/// One row: neighbouring steps of one colour are one rectangle.
fn strip(picture: &mut Picture, panel: &Panel, row: &Row, (top, bottom): (i32, i32), ramp: &[RGBColor; 5]) {
    picture.fill(panel.left, top, panel.right, bottom, ABSENT);
    let steps = row.values.len().max(1) as f64;
    let mut begin = 0;
    for alike in row.values.chunk_by(|a, b| a.map(level) == b.map(level)) {
        let end = begin + alike.len();
        if let Some(value) = alike[0] {
            let (left, right) =
                (panel.x_of_share(begin as f64 / steps), panel.x_of_share(end as f64 / steps));
            picture.fill(left, top, right, bottom, colour(ramp, level(value)));
        }
        begin = end;
    }
}

/// The names of zones at the left, each with a line along its rows.
fn group_names(picture: &mut Picture, panel: &Panel, matrix: &Matrix, tall: i32) {
    let mut top = panel.top;
    for alike in matrix.rows.chunk_by(|a, b| a.group == b.group) {
        let bottom = top + alike.len() as i32 * tall;
        picture.rule((MARGIN + 62, top + 2), (MARGIN + 62, bottom - 3), FAINT);
        let name = shortened(alike[0].group.as_str(), 8);
        picture.text((MARGIN + 56, (top + bottom) / 2), &name, 13, true, FAINT, Anchor::End);
        if top > panel.top {
            picture.rule((panel.left, top - 1), (panel.right, top - 1), WHITE);
        }
        top = bottom;
    }
}

/// The ramp from its lower to its upper end, what grey means, and what was left out.
fn ramp_legend(picture: &mut Picture, look: &Look, note: &str) {
    let mut x = MARGIN;
    picture.text((x, 91), look.ends[0], 14, false, INK, Anchor::Start);
    x += width(look.ends[0], 14, false) + 8;
    for step in 0..=LEVELS {
        picture.fill(x, 83, x + 9, 99, colour(look.ramp, step));
        x += 9;
    }
    picture.text((x + 8, 91), look.ends[1], 14, false, INK, Anchor::Start);
    x += width(look.ends[1], 14, false) + 36;
    picture.fill(x, 84, x + 14, 98, ABSENT);
    picture.text((x + 21, 91), look.absent, 14, false, INK, Anchor::Start);
    picture.text((WIDTH - MARGIN, 91), note, 14, false, FAINT, Anchor::End);
}
