//! Reads the fields of a mapping by name and type, and notices which it was not asked for.

use super::Mode;
use crate::calendar::{Calendar, DateError};
use crate::document::{Diagnostic, Entry, FieldPath, Node, Position, Sequence, Value};
use crate::quantity::Quantity;
use crate::symbol::Symbol;
use crate::units::SimTime;
use crate::version::KubernetesVersion;
use compact_str::CompactString;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What reading one object needs to know and collects.
pub(super) struct Context<'a> {
    pub(super) mode: Mode,
    pub(super) calendar: Calendar,
    pub(super) version: KubernetesVersion,
    /// Whether autoscalers may have a minimum of zero (feature gate `HPAScaleToZero`).
    pub(super) hpa_scale_to_zero: bool,
    file: &'a Arc<str>,
    findings: RefCell<Vec<Diagnostic>>,
    unknown: RefCell<Vec<Unknown>>,
}

/// A field that is not known, or known and not played.
pub(super) struct Unknown {
    /// Its path without indices, by which it is reported only once.
    pub(super) path: String,
    pub(super) warning: Diagnostic,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        mode: Mode,
        calendar: Calendar,
        version: KubernetesVersion,
        file: &'a Arc<str>,
    ) -> Context<'a> {
        Context {
            mode,
            calendar,
            version,
            hpa_scale_to_zero: false,
            file,
            findings: RefCell::default(),
            unknown: RefCell::default(),
        }
    }

    /// What was found, and the fields that are not known.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, Vec<Unknown>) {
        (self.findings.into_inner(), self.unknown.into_inner())
    }

    fn push(&self, finding: Diagnostic) {
        self.findings.borrow_mut().push(finding);
    }

    /// Whether objects come from a running cluster, which has validated them.
    pub(super) fn is_state(&self) -> bool {
        self.mode == Mode::State
    }
}

/// A view of a mapping that reads its fields.
///
/// Absent and null fields are the same, as for the API server. A field of the wrong type is
/// reported and read as if it were absent, so that all errors of an object are found at once.
pub(super) struct Reader<'a> {
    pub(super) cx: &'a Context<'a>,
    path: FieldPath<'a>,
    position: Position,
    fields: &'a [Entry],
    /// Which of the first 128 fields were asked for, one bit each.
    asked: Cell<u128>,
    /// What was asked for in vain: what a misspelt key may have meant.
    absent: RefCell<SmallVec<[&'static str; 8]>>,
}

impl<'a> Reader<'a> {
    /// Reads `node`, which must be a mapping, by `read`; afterwards reports what `read` did not
    /// ask for.
    pub(super) fn read<T>(
        cx: &Context<'_>,
        node: &Node,
        path: FieldPath<'_>,
        read: impl FnOnce(&Reader<'_>) -> T,
    ) -> Option<T> {
        let Some(mapping) = node.as_mapping() else {
            let finding = Diagnostic::error(cx.file, node.position, &path);
            cx.push(finding.expected("a mapping", node.to_string()));
            return None;
        };
        let reader = Reader::new(cx, path, node.position, mapping.entries());
        let value = read(&reader);
        reader.report_unknown();
        Some(value)
    }

    fn new(cx: &'a Context<'a>, path: FieldPath<'a>, position: Position, fields: &'a [Entry]) -> Reader<'a> {
        Reader { cx, path, position, fields, asked: Cell::new(0), absent: RefCell::default() }
    }

    fn report_unknown(&self) {
        for (index, entry) in self.fields.iter().enumerate().take(128) {
            if self.asked.get() >> index & 1 == 1 {
                continue;
            }
            let path = self.path.key(&entry.key);
            let mut warning = Diagnostic::warning(self.cx.file, entry.position, &path)
                .message("unknown field; it is kept and has no effect");
            if let Some(meant) = self.absent.borrow().iter().find(|absent| is_misspelt(&entry.key, absent)) {
                warning = warning.hint(format!("did you mean {meant}?"));
            }
            self.cx.unknown.borrow_mut().push(Unknown { path: path.without_indices(), warning });
        }
    }

    /// The field `key`, which from now on counts as known; `None` if absent or null.
    fn find(&self, key: &'static str) -> Option<&'a Entry> {
        let Some(index) = self.fields.iter().position(|entry| entry.key == key) else {
            self.absent.borrow_mut().push(key);
            return None;
        };
        self.asked.set(self.asked.get() | 1u128.checked_shl(index as u32).unwrap_or(0));
        Some(&self.fields[index]).filter(|entry| !entry.value.is_null())
    }

    /// Whether the field is there and not null.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Declares fields that exist upstream and make no difference here.
    pub(super) fn known(&self, keys: &[&'static str]) {
        for key in keys {
            self.find(key);
        }
    }

    /// Declares fields that exist upstream, would make a difference, and are not played; who uses
    /// one is told so once.
    pub(super) fn not_played(&self, keys: &[&'static str]) {
        for key in keys {
            let Some(entry) = self.find(key) else { continue };
            let path = self.path.key(key);
            let warning = Diagnostic::warning(self.cx.file, entry.position, &path)
                .message("this field is not played yet; it is kept and has no effect");
            self.cx.unknown.borrow_mut().push(Unknown { path: path.without_indices(), warning });
        }
    }

    /// Declares every field known: for mappings whose keys are the user's.
    pub(super) fn all_known(&self) {
        self.asked.set(u128::MAX);
    }

    /// The value of the field as it is.
    pub(super) fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.find(key).map(|entry| &entry.value)
    }

    /// All fields, which from now on count as known.
    pub(super) fn entries(&self) -> &'a [Entry] {
        self.all_known();
        self.fields
    }

    // Findings.

    fn wrong_type(&self, entry: &Entry, expected: impl Into<String>) {
        self.wrong_value(&self.path.key(&entry.key), &entry.value, expected);
    }

    fn wrong_value(&self, path: &FieldPath<'_>, node: &Node, expected: impl Into<String>) {
        let finding =
            Diagnostic::error(self.cx.file, node.position, path).expected(expected, node.to_string());
        self.cx.push(finding);
    }

    /// Reports that the field `key` has a value that it must not have, unless it was reported
    /// already. Objects of a running cluster were judged by its own API server, so they are not
    /// judged again.
    pub(super) fn invalid(&self, key: &'static str, expected: impl Into<String>) {
        if self.cx.is_state() {
            return;
        }
        let path = self.path.key(key);
        let finding = match self.find(key) {
            Some(entry) => Diagnostic::error(self.cx.file, entry.value.position, &path)
                .expected(expected, entry.value.to_string()),
            None => Diagnostic::error(self.cx.file, self.position, &path)
                .message("required field is missing")
                .expected(expected, ""),
        };
        let same = |other: &Diagnostic| (other.position, &other.path) == (finding.position, &finding.path);
        // What was reported of a field was reported just before.
        if !self.cx.findings.borrow().iter().rev().take(8).any(same) {
            self.cx.push(finding);
        }
    }

    /// Reports what is wrong with the field `key`, in words; likewise not for a running cluster.
    pub(super) fn refuse(&self, key: &'static str, message: impl Into<String>) {
        if self.cx.is_state() {
            return;
        }
        let position = self.find(key).map_or(self.position, |entry| entry.value.position);
        self.cx.push(Diagnostic::error(self.cx.file, position, &self.path.key(key)).message(message));
    }

    /// Reports, for a running cluster too, that nothing can be made of the field `key` or without it.
    pub(super) fn unsupported(&self, key: &'static str, message: impl Into<String>) {
        let position = self.find(key).map_or(self.position, |entry| entry.value.position);
        self.cx.push(Diagnostic::error(self.cx.file, position, &self.path.key(key)).message(message));
    }

    // Values.

    /// The text of the field.
    pub(super) fn str(&self, key: &'static str) -> Option<&'a str> {
        let entry = self.find(key)?;
        let text = entry.value.as_str();
        if text.is_none() {
            self.wrong_text(&self.path.key(key), &entry.value);
        }
        text
    }

    fn wrong_text(&self, path: &FieldPath<'_>, node: &Node) {
        let finding =
            Diagnostic::error(self.cx.file, node.position, path).expected("a text", node.to_string());
        let plain =
            matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Unsigned(_) | Value::Float(_));
        self.cx.push(if plain { finding.hint("put it in quotes") } else { finding });
    }

    /// The text of the field, which must be there and not empty.
    pub(super) fn required_str(&self, key: &'static str) -> &'a str {
        let text = self.str(key);
        if text.is_none_or(str::is_empty) {
            self.invalid(key, "a text that is not empty");
        }
        text.unwrap_or("")
    }

    /// The text of the field as a symbol; empty if absent.
    pub(super) fn symbol(&self, key: &'static str) -> Symbol {
        self.str(key).map_or(Symbol::empty(), Symbol::new)
    }

    /// The text of the field as a symbol, which must be there and not empty.
    pub(super) fn required_symbol(&self, key: &'static str) -> Symbol {
        Symbol::new(self.required_str(key))
    }

    /// The text of the field; empty if absent.
    pub(super) fn text(&self, key: &'static str) -> CompactString {
        self.str(key).unwrap_or("").into()
    }

    /// Whether the field is true; absent is false.
    pub(super) fn bool(&self, key: &'static str) -> bool {
        self.optional_bool(key).unwrap_or(false)
    }

    /// The truth value of the field.
    pub(super) fn optional_bool(&self, key: &'static str) -> Option<bool> {
        let entry = self.find(key)?;
        if let Value::Bool(value) = entry.value.value {
            return Some(value);
        }
        self.wrong_type(entry, "true or false");
        None
    }

    /// The whole number of the field, if it is in `range`.
    pub(super) fn int(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let entry = self.find(key)?;
        let value = whole_number(&entry.value).filter(|value| range.contains(value));
        if value.is_none() {
            self.wrong_type(entry, describe_range(&range));
        }
        value
    }

    /// The whole number of the field, 32 bits wide, at least `min`.
    pub(super) fn int32(&self, key: &'static str, min: i32) -> Option<i32> {
        self.int(key, i64::from(min)..=i64::from(i32::MAX)).map(|value| value as i32)
    }

    /// The number of a counter in a status, 0 if absent.
    pub(super) fn count(&self, key: &'static str) -> i32 {
        self.int32(key, i32::MIN).unwrap_or(0)
    }

    /// One of several texts.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.str(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == text);
        if chosen.is_none()
            && let Some(entry) = self.find(key)
        {
            let names: Vec<&str> =
                choices.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
            self.wrong_type(entry, format!("one of {}", names.join(", ")));
        }
        chosen.map(|(_, value)| *value)
    }

    /// The quantity of the field, at least 0.
    pub(super) fn quantity(&self, key: &'static str) -> Option<Quantity> {
        let entry = self.find(key)?;
        self.quantity_of(entry)
    }

    /// The quantity that a field holds, at least 0.
    pub(super) fn quantity_of(&self, entry: &Entry) -> Option<Quantity> {
        let text = match &entry.value.value {
            Value::String(text) => text.trim().to_owned(),
            Value::Int(_) | Value::Unsigned(_) | Value::Float(_) => entry.value.value.to_string(),
            _ => {
                self.wrong_type(entry, "a quantity such as 250m or 64Mi");
                return None;
            }
        };
        match Quantity::parse(&text) {
            Ok(quantity) if !quantity.is_negative() => return Some(quantity),
            Ok(_) => self.wrong_type(entry, "a quantity that is not negative"),
            Err(error) => self.wrong_type(entry, error.to_string()),
        }
        None
    }

    /// The instant that the field names.
    pub(super) fn time(&self, key: &'static str) -> Option<SimTime> {
        let entry = self.find(key)?;
        let text = entry.value.as_str();
        match text.map(|text| self.cx.calendar.parse(text)) {
            Some(Ok(time)) => return Some(time),
            Some(Err(error @ DateError::OutOfRange)) => self.wrong_type(entry, format!("a time not {error}")),
            _ => self.wrong_type(entry, "a time such as 2030-01-01T00:00:00Z"),
        }
        None
    }

    // Structure.

    /// The mapping in the field, by `read`.
    pub(super) fn object<T>(&self, key: &'static str, read: impl FnOnce(&Reader<'_>) -> T) -> Option<T> {
        let entry = self.find(key)?;
        Reader::read(self.cx, &entry.value, self.path.key(key), read)
    }

    /// The mapping in the field, by `read`; as if it were there and empty if it is absent.
    pub(super) fn object_or_empty<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Reader<'_>) -> T,
    ) -> Option<T> {
        if self.has(key) {
            return self.object(key, read);
        }
        let path = self.path.key(key);
        Some(read(&Reader::new(self.cx, path, self.position, &[])))
    }

    /// The list of mappings in the field, each by `read`; those that are none are reported.
    pub(super) fn list<T>(&self, key: &'static str, mut read: impl FnMut(&Reader<'_>) -> T) -> Vec<T> {
        let path = self.path.key(key);
        let elements = self.elements(key).enumerate();
        elements
            .filter_map(|(index, node)| Reader::read(self.cx, &node, path.index(index), &mut read))
            .collect()
    }

    /// The list in the field; empty if absent.
    fn elements(&self, key: &'static str) -> impl Iterator<Item = Cow<'a, Node>> + use<'a> {
        let entry = self.find(key);
        let elements = entry.and_then(|entry| entry.value.as_sequence());
        if let (Some(entry), None) = (entry, elements) {
            self.wrong_type(entry, "a list");
        }
        elements.into_iter().flatten()
    }

    /// How many elements the list in the field has.
    pub(super) fn list_len(&self, key: &'static str) -> usize {
        self.find(key).and_then(|entry| entry.value.as_sequence()).map_or(0, Sequence::len)
    }

    /// The list of texts in the field.
    pub(super) fn strs(&self, key: &'static str) -> Vec<Cow<'a, str>> {
        self.each_text(key, |text| text).into_vec()
    }

    /// The list of texts in the field, each by `take`.
    fn each_text<T>(&self, key: &'static str, take: impl Fn(Cow<'a, str>) -> T) -> Box<[T]> {
        let path = self.path.key(key);
        let texts = self.elements(key).enumerate().filter_map(|(index, node)| {
            let text = match &node {
                Cow::Borrowed(node) => node.as_str().map(Cow::Borrowed),
                Cow::Owned(node) => node.as_str().map(|text| Cow::Owned(text.to_owned())),
            };
            if text.is_none() {
                self.wrong_text(&path.index(index), &node);
            }
            text.map(&take)
        });
        texts.collect()
    }

    /// The list of texts in the field, as symbols.
    pub(super) fn symbols(&self, key: &'static str) -> Box<[Symbol]> {
        self.each_text(key, |text| Symbol::new(&text))
    }

    /// The list of texts in the field.
    pub(super) fn texts(&self, key: &'static str) -> Box<[CompactString]> {
        self.each_text(key, CompactString::from)
    }

    /// The list of whole numbers in the field, 32 bits wide.
    pub(super) fn int32s(&self, key: &'static str) -> Vec<i32> {
        let path = self.path.key(key);
        let mut numbers = Vec::new();
        for (index, node) in self.elements(key).enumerate() {
            match whole_number(&node).and_then(|number| i32::try_from(number).ok()) {
                Some(number) => numbers.push(number),
                None => self.wrong_value(&path.index(index), &node, "a whole number"),
            }
        }
        numbers
    }

    /// The keys and texts of the mapping in the field; `check` says of a pair what it should be
    /// instead.
    pub(super) fn pairs(
        &self,
        key: &'static str,
        check: impl Fn(&str, &str) -> Result<(), String>,
    ) -> Vec<(&'a str, &'a str)> {
        let Some(entry) = self.find(key) else { return Vec::new() };
        let Some(mapping) = entry.value.as_mapping() else {
            self.wrong_type(entry, "a mapping of keys to texts");
            return Vec::new();
        };
        let path = self.path.key(key);
        let mut pairs = Vec::with_capacity(mapping.entries().len());
        for pair in mapping.entries() {
            let path = path.key(&pair.key);
            // A key without a value has the empty text.
            let text = if pair.value.is_null() { Some("") } else { pair.value.as_str() };
            let Some(text) = text else {
                self.wrong_text(&path, &pair.value);
                continue;
            };
            match check(&pair.key, text) {
                Err(expected) if !self.cx.is_state() => {
                    let finding = Diagnostic::error(self.cx.file, pair.position, &path);
                    self.cx.push(finding.expected(expected, format!("{}: {}", pair.key, pair.value)));
                }
                _ => pairs.push((pair.key.as_str(), text)),
            }
        }
        pairs
    }
}

/// Whether `written` is `meant` but for case, or for two letters at most.
fn is_misspelt(written: &str, meant: &str) -> bool {
    if written.eq_ignore_ascii_case(meant) {
        return true;
    }
    let allowed = if meant.len() < 5 { 1 } else { 2 };
    written.len().abs_diff(meant.len()) <= allowed
        && edit_distance(written.as_bytes(), meant.as_bytes()) <= allowed
}

/// How many bytes must be put in, taken out or changed to turn one text into the other.
fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The whole number that a node is. `3.0` is one too: on its way through JSON it becomes `3`.
pub(super) fn whole_number(node: &Node) -> Option<i64> {
    match node.value {
        Value::Int(value) => Some(value),
        Value::Float(value) if value as i64 as f64 == value && value.abs() < 9e15 => Some(value as i64),
        _ => None,
    }
}

fn describe_range(range: &RangeInclusive<i64>) -> String {
    let (&min, &max) = (range.start(), range.end());
    match (min, max) {
        (0, 0x7fff_ffff..) => "a whole number ≥ 0".to_owned(),
        (_, 0x7fff_ffff..) if min > i64::from(i32::MIN) => format!("a whole number ≥ {min}"),
        (_, 0x7fff_ffff..) => "a whole number".to_owned(),
        _ => format!("a whole number from {min} to {max}"),
    }
}
