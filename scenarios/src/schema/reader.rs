//! Reads fields, and says what is wrong with them.

use std::sync::Arc;

use seatrial_api::document::{Diagnostic, Diagnostics, Entry, FieldPath, Mapping, Node, Position};

use super::{Field, Rule, nearest};

/// The file that is being read, and what was found so far.
pub(crate) struct Reader<'a> {
    file: Arc<str>,
    findings: &'a mut Diagnostics,
}

impl<'a> Reader<'a> {
    /// Reads the file that messages call `file`.
    pub(crate) fn new(file: &Arc<str>, findings: &'a mut Diagnostics) -> Reader<'a> {
        Reader { file: file.clone(), findings }
    }

    /// Adds an error about the value `path` at `position`, made by `say`.
    pub(crate) fn error(
        &mut self,
        position: Position,
        path: &FieldPath<'_>,
        say: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        self.findings.push(say(Diagnostic::error(&self.file, position, path)));
    }

    /// Adds a warning in the same way.
    pub(crate) fn warning(
        &mut self,
        position: Position,
        path: &FieldPath<'_>,
        say: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        self.findings.push(say(Diagnostic::warning(&self.file, position, path)));
    }

    /// Lets another reader read a part of this file.
    pub(crate) fn decode<T>(&mut self, read: impl FnOnce(&Arc<str>, &mut Diagnostics) -> T) -> T {
        read(&self.file, self.findings)
    }

    /// Says that `node` is not what was expected; always `None`, for the reader's convenience.
    pub(crate) fn wrong<T>(&mut self, node: &Node, path: &FieldPath<'_>, expected: &str) -> Option<T> {
        self.error(node.position, path, |error| error.expected(expected, node.to_string()));
        None
    }

    /// The fields of `node`, which must be a mapping with none but `known` keys.
    pub(crate) fn mapping<'n, 'p>(
        &mut self,
        node: &'n Node,
        path: &'p FieldPath<'p>,
        known: &[&'static str],
    ) -> Option<Fields<'n, 'p>> {
        let Some(mapping) = node.as_mapping() else {
            return self.wrong(node, path, &format!("a mapping with the fields {}", known.join(", ")));
        };
        let (mut faulty, mut meant) = (false, Vec::new());
        for entry in mapping.entries() {
            if !known.contains(&entry.key.as_str()) {
                let free = known.iter().copied().filter(|key| mapping.get(key).is_none());
                let near = nearest(&entry.key, free);
                self.unknown(entry, path, known, near);
                meant.extend(near);
                faulty = true;
            }
        }
        Some(Fields { mapping, position: node.position, path, faulty, meant })
    }

    fn unknown(&mut self, entry: &Entry, path: &FieldPath<'_>, known: &[&str], near: Option<&str>) {
        self.error(entry.position, &path.key(&entry.key), |error| {
            let error = error.message("there is no such field");
            match near {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.expected(one_of(known), entry.key.as_str()),
            }
        });
    }

    /// Whether an error was already found exactly here, so that another would be its echo.
    fn has_error_at(&self, position: Position) -> bool {
        position != Position::NONE && self.findings.errors().any(|error| error.position == position)
    }
}

/// `a`, `a or b`, `one of a, b, c`.
pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [first, second] => format!("{first} or {second}"),
        many => format!("one of {}", many.join(", ")),
    }
}

/// The fields of a mapping that is being read.
pub(crate) struct Fields<'n, 'p> {
    mapping: &'n Mapping,
    position: Position,
    path: &'p FieldPath<'p>,
    faulty: bool,
    /// Absent fields that unknown ones were probably meant to be: nothing more is said about them.
    meant: Vec<&'static str>,
}

impl<'p> Fields<'_, 'p> {
    /// The path of the field `key`.
    pub(crate) fn key(&self, key: &'p str) -> FieldPath<'p> {
        self.path.key(key)
    }

    /// The field `key`: read, or what stands for an absent one.
    pub(crate) fn take<T: Field>(
        &self,
        key: &'static str,
        default: Option<&'static str>,
        reader: &mut Reader<'_>,
    ) -> Option<T> {
        let path = self.path.key(key);
        let node = self.mapping.get(key);
        match node.filter(|node| !node.is_null()) {
            Some(node) => T::read(node, &path, reader),
            None => {
                if let Some(text) = default {
                    return T::read(&default_node(text), &path, reader);
                }
                let absent = T::absent();
                let position = node.map_or(self.position, |node| node.position);
                if absent.is_none() && !self.meant.contains(&key) && !reader.has_error_at(position) {
                    reader.error(position, &path, |error| match node {
                        Some(_) => error.message("the field is needed").found("nothing"),
                        None => error.message("the field is needed and missing"),
                    });
                }
                absent
            }
        }
    }

    /// The field `key`: read, or what stands for an absent one, also where it has errors.
    pub(crate) fn recover<T: Field>(
        &self,
        key: &'static str,
        default: Option<&'static str>,
        reader: &mut Reader<'_>,
    ) -> Option<T> {
        self.take(key, default, reader).or_else(|| match default {
            Some(text) => T::read(&default_node(text), &self.path.key(key), reader),
            None => T::absent(),
        })
    }

    /// Whether the field `key` is there.
    fn has(&self, key: &str) -> bool {
        self.mapping.get(key).is_some_and(|node| !node.is_null())
    }

    /// Checks which fields go together; `None` if they do not, or if there were unknown ones.
    pub(crate) fn check(&self, rules: &[Rule], reader: &mut Reader<'_>) -> Option<()> {
        let mut kept = !self.faulty;
        for rule in rules {
            if let Some(problem) = rule.broken(|key| self.has(key) || self.meant.contains(&key)) {
                let position = problem.at.and_then(|key| self.mapping.entry(key)).map(|entry| entry.position);
                reader.error(position.unwrap_or(self.position), self.path, |error| {
                    error.expected(problem.expected, problem.found)
                });
                kept = false;
            }
        }
        kept.then_some(())
    }
}

/// The value that the text of a default stands for, as a file would have it.
pub(crate) fn default_node(text: &str) -> Node {
    let mut findings = Diagnostics::new();
    let duplicates = seatrial_api::document::DuplicateKeys::Refused;
    let nodes = seatrial_api::document::read_documents("default", text.as_bytes(), duplicates, &mut findings);
    nodes.into_iter().next().expect("invariant: defaults are values")
}
