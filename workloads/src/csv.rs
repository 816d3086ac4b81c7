//! Tables as comma-separated values, whose columns are found by name. Quotes have no meaning: the
//! traces that are read here use none.

use std::ops::RangeInclusive;
use std::sync::Arc;

use seatrial_api::document::{Diagnostic, Diagnostics, FieldPath, Position};

/// A table.
#[derive(Clone, Debug)]
pub struct Csv<'a> {
    file: Arc<str>,
    columns: Vec<&'a str>,
    rows: Vec<(usize, &'a str)>,
}

/// A column of a table, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    index: usize,
    name: &'static str,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    file: &'a Arc<str>,
    line: usize,
    text: &'a str,
}

impl<'a> Csv<'a> {
    /// Reads a table with its header; `None` if it is none. Rows that have not as many fields as the
    /// header are reported and left out.
    pub fn read(file: &str, bytes: &'a [u8], findings: &mut Diagnostics) -> Option<Csv<'a>> {
        let file: Arc<str> = file.into();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
                let place = Position::new(line, 1);
                let finding = Diagnostic::error(&file, place, &FieldPath::ROOT);
                findings.push(finding.message("this is no UTF-8 text"));
                return None;
            }
        };
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some((_, header)) = lines.next() else {
            let finding = Diagnostic::error(&file, Position::START, &FieldPath::ROOT);
            findings.push(finding.expected("a line with the names of the columns", "an empty file"));
            return None;
        };
        let columns: Vec<&str> = header.split(',').map(str::trim).collect();
        let mut rows = Vec::new();
        for (index, line) in lines {
            let found = line.split(',').count();
            if found == columns.len() {
                rows.push((index + 1, line));
            } else {
                let finding = Diagnostic::error(&file, Position::new(index + 1, 1), &FieldPath::ROOT);
                let expected = format!("{} fields as in the header", columns.len());
                findings.push(finding.expected(expected, found.to_string()));
            }
        }
        Some(Csv { file, columns, rows })
    }

    /// The column of a name.
    pub fn find(&self, name: &'static str) -> Option<Column> {
        let index = self.columns.iter().position(|column| *column == name)?;
        Some(Column { index, name })
    }

    /// The column of a name, which must be there.
    pub fn column(&self, name: &'static str, findings: &mut Diagnostics) -> Option<Column> {
        let found = self.find(name);
        if found.is_none() {
            let finding = Diagnostic::error(&self.file, Position::START, &FieldPath::ROOT.key(name));
            findings.push(finding.expected(format!("a column named {name}"), self.columns.join(",")));
        }
        found
    }

    /// The rows below the header.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|&(line, text)| Row { file: &self.file, line, text })
    }
}

impl<'a> Row<'a> {
    /// The text of a field.
    pub fn text(&self, column: Column) -> &'a str {
        self.text.split(',').nth(column.index).unwrap_or("").trim()
    }

    /// A whole number; reported if it is none or out of range.
    pub fn number(
        &self,
        column: Column,
        range: RangeInclusive<i64>,
        findings: &mut Diagnostics,
    ) -> Option<i64> {
        let found = self.text(column).parse().ok().filter(|number| range.contains(number));
        if found.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.refuse(column, &expected, findings);
        }
        found
    }

    /// A finite number; reported if it is none.
    pub fn real(&self, column: Column, findings: &mut Diagnostics) -> Option<f64> {
        let found = self.text(column).parse().ok().filter(|number: &f64| number.is_finite());
        if found.is_none() {
            self.refuse(column, "a number", findings);
        }
        found
    }

    /// Reports that a field is not what it should be.
    pub fn refuse(&self, column: Column, expected: &str, findings: &mut Diagnostics) {
        let before = self.text.split(',').take(column.index).map(|field| field.chars().count() + 1);
        let place = Position::new(self.line, 1 + before.sum::<usize>());
        let finding = Diagnostic::error(self.file, place, &FieldPath::ROOT.key(column.name));
        findings.push(finding.expected(expected, format!("{:?}", self.text(column))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_errors_have_their_place() {
        let text = b"name, size,note\r\na,1,x\n\nb,two,\nc,3\n";
        let mut findings = Diagnostics::new();
        let csv = Csv::read("t.csv", text, &mut findings).unwrap();
        let size = csv.column("size", &mut findings).unwrap();
        assert_eq!(csv.column("absent", &mut findings), None);
        let sizes: Vec<_> = csv.rows().map(|row| row.number(size, 0..=9, &mut findings)).collect();
        assert_eq!(sizes, [Some(1), None]);
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "t.csv:5:1: expected 3 fields as in the header, found 2",
                "t.csv:1:1: absent: expected a column named absent, found name,size,note",
                "t.csv:4:3: size: expected a whole number from 0 to 9, found \"two\"",
            ]
        );
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for bytes in [&b""[..], b"\n \n", b"a,b\n\xff,1\n"] {
            let mut findings = Diagnostics::new();
            assert!(Csv::read("t.csv", bytes, &mut findings).is_none() && findings.has_errors());
        }
    }
}
