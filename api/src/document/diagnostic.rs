//! What the readers of files say about them: errors and warnings with file, line, column and the
//! path of the field.

use std::fmt;
use std::sync::Arc;

/// A place in a text: line and column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1; 0 if the place is not known.
    pub line: u32,
    /// The column in characters, from 1; 0 if the place is not known.
    pub column: u32,
}

impl Position {
    /// No place in particular: the file as a whole, or an object that came from no file.
    pub const NONE: Position = Position { line: 0, column: 0 };
    /// The first character of a text.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The place at `line` and `column`, both from 1; what does not fit is capped.
    pub fn new(line: usize, column: usize) -> Position {
        let cap = |value| u32::try_from(value).unwrap_or(u32::MAX);
        Position { line: cap(line), column: cap(column) }
    }
}

impl fmt::Display for Position {
    /// `12:7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The way from the root of an object to one of its fields, as a chain that lives on the stack of
/// whoever walks the tree, so that walking costs nothing and only a message spells it out.
#[derive(Clone, Copy, Debug)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> FieldPath<'a> {
    /// The object itself.
    pub const ROOT: FieldPath<'static> = FieldPath { parent: None, segment: Segment::Root };

    /// The field `key` below this one.
    pub fn key(&'a self, key: &'a str) -> FieldPath<'a> {
        FieldPath { parent: Some(self), segment: Segment::Key(key) }
    }

    /// The element `index`, from 0, of this list.
    pub fn index(&'a self, index: usize) -> FieldPath<'a> {
        FieldPath { parent: Some(self), segment: Segment::Index(index) }
    }

    /// The path with `[]` for every index: equal for all elements of a list.
    pub fn without_indices(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, true).expect("invariant: writing to a string cannot fail");
        out
    }

    fn write(&self, out: &mut dyn fmt::Write, hide_indices: bool) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.write(out, hide_indices)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Index(_) if hide_indices => out.write_str("[]"),
            Segment::Index(index) => write!(out, "[{index}]"),
            Segment::Key(key) if !is_field_name(key) => write!(out, "[{key}]"),
            Segment::Key(key) => {
                let first = self.parent.is_none_or(|parent| matches!(parent.segment, Segment::Root));
                write!(out, "{}{key}", if first { "" } else { "." })
            }
        }
    }
}

impl fmt::Display for FieldPath<'_> {
    /// `spec.containers[0].image`; keys that are no field names stand in brackets, as in
    /// `metadata.labels[app.kubernetes.io/name]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

fn is_field_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The input is used, but the user should know.
    Warning,
    /// The input cannot be used.
    Error,
}

/// One finding about an input file.
///
/// Of `message`, `expected` and `found` those that say something are filled in; the others are
/// empty. It displays as `shop.yaml:12:7: spec.replicas: expected a whole number, found "three"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the input can be used nevertheless.
    pub severity: Severity,
    /// The name of the file as the user gave it.
    pub file: Arc<str>,
    /// Where in the file.
    pub position: Position,
    /// The field, as in `spec.containers[0].image`; empty for the file or object as a whole.
    pub path: String,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What would be right.
    pub expected: String,
    /// What is there instead.
    pub found: String,
    /// What to do about it.
    pub hint: String,
}

impl Diagnostic {
    fn new(severity: Severity, file: &Arc<str>, position: Position, path: &FieldPath<'_>) -> Diagnostic {
        Diagnostic {
            severity,
            file: file.clone(),
            position,
            path: path.to_string(),
            message: String::new(),
            expected: String::new(),
            found: String::new(),
            hint: String::new(),
        }
    }

    /// Begins an error about the field `path` at `position` of `file`.
    pub fn error(file: &Arc<str>, position: Position, path: &FieldPath<'_>) -> Diagnostic {
        Diagnostic::new(Severity::Error, file, position, path)
    }

    /// Begins a warning about the field `path` at `position` of `file`.
    pub fn warning(file: &Arc<str>, position: Position, path: &FieldPath<'_>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, file, position, path)
    }

    /// Says what is wrong.
    pub fn message(mut self, message: impl Into<String>) -> Diagnostic {
        self.message = message.into();
        self
    }

    /// Says what would be right and what is there instead.
    pub fn expected(mut self, expected: impl Into<String>, found: impl Into<String>) -> Diagnostic {
        self.expected = expected.into();
        self.found = found.into();
        self
    }

    /// Says what is there.
    pub fn found(mut self, found: impl Into<String>) -> Diagnostic {
        self.found = found.into();
        self
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.position != Position::NONE {
            write!(f, ":{}", self.position)?;
        }
        if self.severity == Severity::Warning {
            write!(f, ": warning")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        let mut lead = ": ";
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
            lead = ", ";
        }
        if !self.expected.is_empty() {
            write!(f, "{lead}expected {}", self.expected)?;
            lead = ", ";
        }
        if !self.found.is_empty() {
            write!(f, "{lead}found {}", self.found)?;
        }
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// The findings about the input of one command: all of them, in the order in which they were made.
///
/// Of each severity the first [`Diagnostics::KEPT`] are kept and the rest are counted, so a file
/// with a fault in every line costs no more than one with a few.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// How many findings of each severity are kept.
    pub const KEPT: usize = 1_000;

    /// No findings yet.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let count = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= Diagnostics::KEPT {
            self.list.push(diagnostic);
        }
    }

    /// Puts the findings of each file in the order of their places; files stay in the order in which
    /// they were first mentioned.
    pub fn sort(&mut self) {
        let mut files: Vec<Arc<str>> = Vec::new();
        for finding in &self.list {
            if !files.contains(&finding.file) {
                files.push(finding.file.clone());
            }
        }
        let place = |file: &Arc<str>| files.iter().position(|known| known == file);
        self.list.sort_by_key(|finding| (place(&finding.file), finding.position));
    }

    /// Whether anything makes the input unusable.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors were found, those not kept included.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// How many warnings were found, those not kept included.
    pub fn warning_count(&self) -> usize {
        self.warnings
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.errors + self.warnings == 0
    }

    /// The findings that were kept, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The errors that were kept, in order.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Error)
    }

    /// The warnings that were kept, in order.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Warning)
    }

    /// The present state, for [`Diagnostics::rewind`].
    pub(super) fn mark(&self) -> Mark {
        Mark { kept: self.list.len(), errors: self.errors, warnings: self.warnings }
    }

    /// Forgets what was found since `mark`.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.list.truncate(mark.kept);
        (self.errors, self.warnings) = (mark.errors, mark.warnings);
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(move |diagnostic| diagnostic.severity == severity)
    }
}

/// How much had been found at some moment.
#[derive(Clone, Copy, Default)]
pub(super) struct Mark {
    kept: usize,
    errors: usize,
    warnings: usize,
}

impl fmt::Display for Diagnostics {
    /// One finding a line, and a last line that counts those which were not kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.list {
            writeln!(f, "{diagnostic}")?;
        }
        let left_out = self.errors + self.warnings - self.list.len();
        if left_out > 0 {
            writeln!(f, "… and {left_out} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_file_line_column_field_and_what_would_be_right() {
        let spec = FieldPath::ROOT.key("spec");
        let finding = Diagnostic::error(&"shop.yaml".into(), Position::new(12, 7), &spec.key("replicas"))
            .expected("a whole number ≥ 0", "\"three\"");
        assert_eq!(
            finding.to_string(),
            "shop.yaml:12:7: spec.replicas: expected a whole number ≥ 0, found \"three\""
        );
        let finding = Diagnostic::warning(&"a".into(), Position::NONE, &FieldPath::ROOT)
            .message("the file is empty")
            .hint("name another one");
        assert_eq!(finding.to_string(), "a: warning: the file is empty (name another one)");
    }

    #[test]
    fn paths_put_keys_that_are_no_field_names_in_brackets() {
        let spec = FieldPath::ROOT.key("spec");
        let containers = spec.key("containers");
        let first = containers.index(0);
        assert_eq!(first.key("image").to_string(), "spec.containers[0].image");
        assert_eq!(first.key("image").without_indices(), "spec.containers[].image");
        let labels = spec.key("labels");
        assert_eq!(labels.key("app.kubernetes.io/name").to_string(), "spec.labels[app.kubernetes.io/name]");
        assert_eq!(FieldPath::ROOT.to_string(), "");
    }

    #[test]
    fn a_file_full_of_faults_is_counted_and_not_kept() {
        let mut all = Diagnostics::new();
        for line in 1..=Diagnostics::KEPT + 5 {
            all.push(Diagnostic::error(&"a".into(), Position::new(line, 1), &FieldPath::ROOT).message("bad"));
        }
        assert_eq!(all.error_count(), Diagnostics::KEPT + 5);
        assert!(all.to_string().ends_with("… and 5 more\n"));
    }
}
