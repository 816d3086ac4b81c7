//! The page of a run: one HTML file that needs nothing else, from no network.
//!
//! What was asked and found is plain HTML; charts and tables are drawn by a script from data in
//! the page. Its size does not grow with the run: courses are thinned and tables cut, with a note
//! on what is left out and where it is.

mod answer;
mod courses;
mod rows;

use seatrial_sim_core::results::Results;
use serde::Serialize;

use crate::matrix;
use crate::plots::palette;
use crate::summary::Summary;
use crate::timeline::Grid;

const TEMPLATE: &str = include_str!("../../assets/page.html");

/// What the script draws.
#[derive(Serialize)]
struct Data {
    /// The length of the run in seconds.
    length: f64,
    faults: Vec<courses::Band>,
    charts: Vec<courses::Chart>,
    heat: Heat,
    pods: rows::Rows<rows::Pod>,
    nodes: rows::Rows<rows::Node>,
    events: rows::Rows<rows::Event>,
}

/// The heat map of the nodes.
#[derive(Serialize)]
struct Heat {
    ramp: Vec<String>,
    absent: String,
    steps: usize,
    note: String,
    rows: Vec<HeatRow>,
}

#[derive(Serialize)]
struct HeatRow {
    label: String,
    group: &'static str,
    /// A character per step: `A` and on for levels of the ramp, `@` for none.
    cells: String,
}

/// The page as text.
pub(crate) fn render(summary: &Summary, results: &Results) -> String {
    let data = Data {
        length: results.simulated.as_secs_f64(),
        faults: courses::bands(results),
        charts: courses::charts(results),
        heat: heat(results),
        pods: rows::pods(results),
        nodes: rows::nodes(results),
        events: rows::events(results),
    };
    let data = serde_json::to_string(&data).expect("invariant: the data has string keys only");
    let parts = [
        ("title", escaped(&summary.name)),
        ("uplot_css", include_str!("../../assets/uplot-1.6.32.min.css").to_owned()),
        ("css", include_str!("../../assets/page.css").to_owned()),
        ("answer", answer::answer(summary)),
        ("facts", answer::facts(summary)),
        // Nothing in the data may end the script element: `<` can always be written as an escape.
        ("data", data.replace('<', "\\u003c")),
        ("uplot_js", include_str!("../../assets/uplot-1.6.32.min.js").to_owned()),
        ("js", include_str!("../../assets/page.js").to_owned()),
    ];
    filled(TEMPLATE, &parts)
}

/// `template` with each `{{name}}` replaced by its part; parts are not looked into.
fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let size = template.len() + parts.iter().map(|part| part.1.len()).sum::<usize>();
    let mut out = String::with_capacity(size);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("invariant: the template's braces match");
        let part = parts.iter().find(|part| part.0 == name);
        out.push_str(before);
        out.push_str(&part.expect("invariant: the template names its parts").1);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `text` as HTML text or attribute value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn heat(results: &Results) -> Heat {
    const STEPS: usize = 400;
    let matrix = matrix::nodes(results, 200, Grid::new(results.simulated, STEPS));
    let cell = |value: &Option<f64>| match value {
        Some(share) => char::from(b'A' + palette::level(*share)),
        None => '@',
    };
    let row = |row: matrix::Row| HeatRow {
        label: row.label,
        group: row.group.as_str(),
        cells: row.values.iter().map(cell).collect(),
    };
    let ramp = (0..=palette::LEVELS).map(|level| palette::hex(palette::colour(&palette::FILL, level)));
    Heat {
        ramp: ramp.collect(),
        absent: palette::hex(palette::ABSENT),
        steps: STEPS,
        note: matrix.note,
        rows: matrix.rows.into_iter().map(row).collect(),
    }
}
