//! What all plots share: title, legend, time axis, and the bands that show when faults were in
//! force.

use plotters::style::RGBColor;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::{FaultRow, Results};

use super::font::width;
use super::palette::{FAINT, GRID, INK, VERMILLION, WHITE};
use super::picture::{Anchor, Picture, Shape};
use super::ticks;
use crate::amounts::{printable, shortened, span};

/// The width of every plot.
pub(crate) const WIDTH: i32 = 1_200;
/// The outer margin.
pub(crate) const MARGIN: i32 = 24;
/// The distance of the first panel from the upper edge.
pub(crate) const HEAD: i32 = 136;

/// A rectangle in which values are drawn against time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) right: i32,
    pub(crate) bottom: i32,
    /// The length of the run.
    pub(crate) length: Span,
}

impl Panel {
    /// Where `time` is.
    pub(crate) fn x(&self, time: SimTime) -> i32 {
        self.x_of_share(time.as_secs_f64() / self.length.as_secs_f64().max(1e-9))
    }

    /// Where so much of the time has passed.
    pub(crate) fn x_of_share(&self, share: f64) -> i32 {
        self.left + (share.clamp(0.0, 1.0) * f64::from(self.right - self.left)).round() as i32
    }

    /// From where to where `fault` was in force, at least a pixel.
    fn span_of(&self, fault: &FaultRow) -> (i32, i32) {
        let begin = self.x(fault.begin).min(self.right - 1);
        (begin, fault.end.map_or(self.right, |end| self.x(end)).max(begin + 1))
    }

    /// Where `value` is on an axis from 0 to `max`.
    pub(crate) fn y(&self, value: f64, max: f64) -> i32 {
        let share = if max > 0.0 { (value / max).clamp(0.0, 1.0) } else { 0.0 };
        self.bottom - (share * f64::from(self.bottom - self.top)).round() as i32
    }
}

impl Picture {
    /// An empty plot with its title.
    pub(crate) fn titled(title: &str, results: &Results, height: i32) -> Picture {
        let mut picture = Picture { width: WIDTH, height, shapes: Vec::new() };
        let which = format!(
            "{}, {} simulated, seed {}, trace {:016x}",
            shortened(&results.name, 60),
            span(results.simulated),
            results.seed,
            results.trace_hash
        );
        picture.text((MARGIN, 34), title, 22, true, INK, Anchor::Start);
        picture.text((MARGIN, 62), &which, 14, false, FAINT, Anchor::Start);
        picture
    }

    /// Text centred vertically at `place`.
    pub(crate) fn text(
        &mut self,
        (x, y): (i32, i32),
        text: &str,
        size: i32,
        bold: bool,
        colour: RGBColor,
        anchor: Anchor,
    ) {
        let text = printable(text).replace('\n', " ");
        self.shapes.push(Shape::Text { x, y, text, size, bold, colour, anchor });
    }

    /// A filled rectangle.
    pub(crate) fn fill(&mut self, left: i32, top: i32, right: i32, bottom: i32, fill: RGBColor) {
        self.shapes.push(Shape::Box { left, top, right, bottom, fill, opacity: 100 });
    }

    /// A thin straight line.
    pub(crate) fn rule(&mut self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        self.shapes.push(Shape::Line { points: vec![from, to], colour, width: 1 });
    }

    /// The legend, in one line below the title.
    pub(crate) fn legend(&mut self, entries: &[(&str, RGBColor)]) {
        let mut x = MARGIN;
        for (label, colour) in entries {
            self.fill(x, 84, x + 14, 98, *colour);
            self.text((x + 21, 91), label, 15, false, INK, Anchor::Start);
            x += 21 + width(label, 15, false) + 26;
        }
    }

    /// Grid lines and labels of the time axis below `panel`; the axis' name too if `named`.
    pub(crate) fn time_axis(&mut self, panel: &Panel, named: bool) {
        let ticks = ticks::time(panel.length);
        for (seconds, label) in &ticks.marks {
            let x = panel.x_of_share(seconds / panel.length.as_secs_f64().max(1e-9));
            self.rule((x, panel.bottom), (x, panel.bottom + 5), INK);
            self.text((x, panel.bottom + 17), label, 14, false, INK, Anchor::Middle);
        }
        self.rule((panel.left, panel.bottom), (panel.right, panel.bottom), INK);
        if named {
            let name = format!("simulated time ({})", ticks.unit);
            let middle = (panel.left + panel.right) / 2;
            self.text((middle, panel.bottom + 40), &name, 14, false, FAINT, Anchor::Middle);
        }
    }

    /// Grid lines, labels and name of the axis of values from 0 to `max` at the left of `panel`.
    pub(crate) fn value_axis(&mut self, panel: &Panel, name: &str, max: f64, whole: bool) {
        for (value, label) in ticks::amounts(max, 6, whole) {
            let y = panel.y(value, max);
            self.rule((panel.left, y), (panel.right, y), GRID);
            self.text((panel.left - 9, y), &label, 14, false, INK, Anchor::End);
        }
        self.text((MARGIN, panel.top - 18), name, 14, true, FAINT, Anchor::Start);
    }

    /// Tints `panel` where faults were in force. To be drawn before the values.
    pub(crate) fn fault_bands(&mut self, panel: &Panel, faults: &[FaultRow]) {
        let mut painted = panel.left;
        for fault in faults {
            let (begin, end) = panel.span_of(fault);
            let left = begin.max(painted);
            if end > left {
                let (top, bottom, fill) = (panel.top, panel.bottom, VERMILLION);
                self.shapes.push(Shape::Box { left, top, right: end, bottom, fill, opacity: 12 });
                painted = end;
            }
        }
    }

    /// A bar above `panel` for each fault, lines where it begins and ends, and its name where there
    /// is room, not before `names_from`. To be drawn after the values.
    pub(crate) fn fault_marks(&mut self, panel: &Panel, faults: &[FaultRow], names_from: i32) {
        let mut named = names_from;
        let mut edges: Vec<i32> = Vec::new();
        for fault in faults {
            let (begin, end) = panel.span_of(fault);
            self.fill(begin, panel.top - 6, end, panel.top - 2, VERMILLION);
            edges.extend([begin, end]);
            let label = fault_label(fault);
            let wide = width(&label, 13, false);
            let at = begin.min(panel.right - wide);
            if at >= named {
                self.text((at, panel.top - 17), &label, 13, false, VERMILLION, Anchor::Start);
                named = at + wide + 12;
            }
        }
        edges.sort_unstable();
        edges.dedup();
        // So many faults that their edges would hide the values are shown by their bars alone.
        for x in edges.iter().filter(|_| edges.len() <= 40) {
            self.rule((*x, panel.top), (*x, panel.bottom), VERMILLION);
        }
    }

    /// What a plot says where there is nothing to show.
    pub(crate) fn nothing(&mut self, panel: &Panel, why: &str) {
        self.fill(panel.left, panel.top, panel.right, panel.bottom, WHITE);
        let middle = ((panel.left + panel.right) / 2, (panel.top + panel.bottom) / 2);
        self.text(middle, why, 16, false, FAINT, Anchor::Middle);
    }
}

/// A fault's name and what it hit.
pub(crate) fn fault_label(fault: &FaultRow) -> String {
    match fault.target.as_str() {
        "" => shortened(fault.name.as_str(), 40),
        target => format!("{}: {}", shortened(fault.name.as_str(), 30), shortened(target, 30)),
    }
}
