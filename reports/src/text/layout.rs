//! Columns of text, some of it styled.

use std::fmt::Write;

/// The widest line.
pub(crate) const WIDTH: usize = 100;

/// Terminal styles by their SGR code.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Bold = 1,
    Faint = 2,
    Red = 31,
    Green = 32,
}

/// A piece of a line.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Option<Style>,
    right: bool,
}

impl Cell {
    /// Text at the left of its column.
    pub(crate) fn text(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), style: None, right: false }
    }

    /// A figure at the right of its column.
    pub(crate) fn figure(text: impl Into<String>) -> Cell {
        Cell { right: true, ..Cell::text(text) }
    }

    /// The same in a style.
    pub(crate) fn in_style(self, style: Style) -> Cell {
        Cell { style: Some(style), ..self }
    }

    fn push(&self, text: &str, width: usize, colour: bool, out: &mut String) {
        let pad = width.saturating_sub(text.chars().count());
        let (before, after) = if self.right { (pad, 0) } else { (0, pad) };
        let text = match self.style.filter(|_| colour && !text.is_empty()) {
            Some(style) => format!("\x1b[{}m{text}\x1b[0m", style as u8),
            None => text.to_owned(),
        };
        write!(out, "{:before$}{text}{:after$}", "", "").expect("invariant: writing to a string succeeds");
    }
}

/// Appends `rows` to `out`: columns two spaces apart, the last one wrapped so that no line is
/// wider than [`WIDTH`] as long as the others leave it room.
pub(crate) fn push_rows(rows: &[Vec<Cell>], indent: usize, colour: bool, out: &mut String) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    for row in rows {
        let Some((last, first)) = row.split_last() else { continue };
        let mut line = " ".repeat(indent);
        for (cell, width) in first.iter().zip(&widths) {
            cell.push(&cell.text, *width, colour, &mut line);
            line.push_str("  ");
        }
        let used = indent + widths[..first.len()].iter().map(|width| width + 2).sum::<usize>();
        let room = WIDTH.saturating_sub(used).max(20);
        for (index, part) in wrapped(&last.text, room).iter().enumerate() {
            if index > 0 {
                line = " ".repeat(used);
            }
            last.push(part, if last.right { widths[first.len()] } else { 0 }, colour, &mut line);
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

/// `text` in lines of at most `width` characters: its own lines, broken between words where that is
/// possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for own in text.trim_end().split('\n') {
        let mut line = String::new();
        let mut filled = 0;
        for word in own.split_whitespace() {
            let mut word: Vec<char> = word.chars().collect();
            if filled > 0 && filled + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
                filled = 0;
            }
            while word.len() > width {
                let rest = word.split_off(width);
                lines.push(word.into_iter().collect());
                word = rest;
            }
            if filled > 0 {
                line.push(' ');
                filled += 1;
            }
            filled += word.len();
            line.extend(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_where_they_fit() {
        assert_eq!(wrapped("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrapped("abcdefg h", 3), ["abc", "def", "g h"]);
        assert_eq!(wrapped("", 3), [""]);
        assert_eq!(wrapped("a b\nc", 9), ["a b", "c"]);
    }

    #[test]
    fn columns_line_up_and_the_last_wraps_below_itself() {
        let row = |name: &str, figure: &str, text: &str| {
            vec![Cell::text(name).in_style(Style::Bold), Cell::figure(figure), Cell::text(text)]
        };
        let long = "word ".repeat(30);
        let mut out = String::new();
        push_rows(&[row("a", "1", "x"), row("bcd", "100", &long)], 2, false, &mut out);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "  a      1  x");
        assert!(lines[1].starts_with("  bcd  100  word word"), "{}", lines[1]);
        assert!(lines[2].starts_with("            word"), "{}", lines[2]);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn styles_do_not_count_as_width() {
        let mut out = String::new();
        let rows = [
            vec![Cell::text("ok").in_style(Style::Green), Cell::text("x")],
            vec![Cell::text("long"), Cell::text("y")],
        ];
        push_rows(&rows, 0, true, &mut out);
        assert_eq!(out, "\x1b[32mok\x1b[0m    x\nlong  y\n");
    }
}
