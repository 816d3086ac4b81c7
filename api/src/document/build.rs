//! Builds trees from events: anchors and aliases, merge keys, duplicate keys, and the two limits
//! that keep a hostile file from costing more than its size.

use super::diagnostic::{Diagnostic, Diagnostics, FieldPath, Position};
use super::event::{Anchor, Event, Events, Placed, SyntaxError};
use super::node::{Entry, Mapping, Node, Value};
use super::number;
use super::sequence::{PACKED_FROM, Packer};
use compact_str::CompactString;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

/// Mappings and lists inside each other that are read; deeper ones are refused.
pub const NESTING_MAX: usize = 128;

/// How many times the size of the file all aliases together may stand for.
pub const ALIAS_EXPANSION_MAX: u64 = 100;

/// What a key that occurs twice in a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// A warning; the last one wins, as with `kubectl`.
    LastWins,
    /// An error, for files of a format of our own.
    Refused,
}

/// The document cannot be read any further; why is among the diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abandoned;

/// The text of the message about nesting, which the YAML reader may notice first.
pub(super) fn nested_too_deeply() -> String {
    format!("nested deeper than {NESTING_MAX} levels")
}

/// A finished value with what the limits need to know about it.
#[derive(Clone)]
pub(super) struct Built {
    pub(super) node: Node,
    /// Roughly the bytes of YAML that it stands for, aliases written out.
    weight: u64,
    /// Levels of mappings and lists in it.
    height: usize,
}

/// The source of events, and the tree builder over it.
pub(super) struct Builder<'a> {
    pub(super) events: Events<'a>,
    pub(super) file: Arc<str>,
    pub(super) duplicates: DuplicateKeys,
    /// Whether the present document had an error after which reading went on.
    pub(super) faulty: bool,
    /// Whether a document that is no JSON after all may still be read as YAML, because nothing of
    /// it has been used.
    pub(super) may_be_yaml: bool,
    /// Why the present document is no JSON, kept in case that it is no YAML either.
    pub(super) json_error: Option<Diagnostic>,
    anchors: FxHashMap<Anchor, Built>,
    /// What the aliases so far stand for, and the limit.
    expanded: u64,
    expanded_max: u64,
    /// Elements of the lists that are being read, innermost last.
    elements: Vec<Node>,
    /// Fields of the mappings that are being read, innermost last.
    fields: Vec<Field>,
}

/// A field of a mapping that is still being read.
pub(super) struct Field {
    entry: Entry,
    hash: u64,
    /// Whether it came by a merge key.
    merged: bool,
}

/// A mapping that is being read: where its fields begin, and what its parts weigh.
pub(super) struct OpenMapping {
    first_field: usize,
    weight: u64,
    height: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        events: Events<'a>,
        file: Arc<str>,
        size: usize,
        duplicates: DuplicateKeys,
    ) -> Builder<'a> {
        Builder {
            events,
            file,
            duplicates,
            faulty: false,
            may_be_yaml: true,
            json_error: None,
            anchors: FxHashMap::default(),
            expanded: 0,
            // A few aliases in a file of a few lines are no attack.
            expanded_max: ALIAS_EXPANSION_MAX.saturating_mul((size as u64).max(1_000)),
            elements: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Forgets what belonged to the last document.
    pub(super) fn start_document(&mut self) {
        self.faulty = false;
        self.may_be_yaml = true;
        self.anchors.clear();
        self.elements.clear();
        self.fields.clear();
    }

    /// The next event. A value that means nothing is reported and read as null.
    pub(super) fn next(
        &mut self,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Result<Placed, Abandoned> {
        let error = match self.events.next() {
            Ok(next) => return Ok(next),
            Err(error) => error,
        };
        let (position, recoverable) = (error.position, error.recoverable);
        let finding = self.describe(error, path);
        if recoverable {
            self.faulty = true;
            findings.push(finding);
            return Ok((Event::Scalar { value: Value::Null, anchor: 0 }, position));
        }
        if matches!(self.events, Events::Json(_)) && self.may_be_yaml {
            self.json_error = Some(finding);
        } else {
            findings.push(self.json_error.take().unwrap_or(finding));
        }
        Err(Abandoned)
    }

    fn describe(&self, error: SyntaxError, path: &FieldPath<'_>) -> Diagnostic {
        Diagnostic::error(&self.file, error.position, path)
            .message(error.message)
            .expected(error.expected, error.found)
            .hint(error.hint)
    }

    fn error(
        &mut self,
        position: Position,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
        message: String,
    ) {
        self.faulty = true;
        findings.push(Diagnostic::error(&self.file, position, path).message(message));
    }

    /// Builds the value that begins with `event`, inside `depth` mappings and lists.
    pub(super) fn value(
        &mut self,
        (event, position): Placed,
        depth: usize,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Result<Built, Abandoned> {
        let (built, anchor) = match event {
            Event::Scalar { value, anchor } => (scalar(value, position), anchor),
            Event::MergeKey => (scalar(Value::String("<<".into()), position), 0),
            Event::Alias { anchor } => return self.alias(anchor, position, depth, path, findings),
            Event::SequenceStart { anchor } => (self.sequence(position, depth, path, findings)?, anchor),
            Event::MappingStart { anchor } => (self.mapping(position, depth, path, findings)?, anchor),
            _ => {
                self.error(position, path, findings, "a value is missing".to_owned());
                return Err(Abandoned);
            }
        };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        Ok(built)
    }

    fn alias(
        &mut self,
        anchor: Anchor,
        position: Position,
        depth: usize,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Result<Built, Abandoned> {
        let Some(target) = self.anchors.get(&anchor).cloned() else {
            let message = "this alias stands inside the value that it stands for".to_owned();
            self.error(position, path, findings, message);
            return Ok(scalar(Value::Null, position));
        };
        self.expanded = self.expanded.saturating_add(target.weight);
        if self.expanded > self.expanded_max {
            let message = format!("aliases stand for more than {ALIAS_EXPANSION_MAX} times the file");
            self.error(position, path, findings, message);
            return Err(Abandoned);
        }
        if depth + target.height > NESTING_MAX {
            self.error(position, path, findings, nested_too_deeply());
            return Err(Abandoned);
        }
        Ok(target)
    }

    fn enter(
        &mut self,
        position: Position,
        depth: usize,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Result<(), Abandoned> {
        if depth < NESTING_MAX {
            return Ok(());
        }
        self.error(position, path, findings, nested_too_deeply());
        Err(Abandoned)
    }

    fn sequence(
        &mut self,
        position: Position,
        depth: usize,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Result<Built, Abandoned> {
        self.enter(position, depth, path, findings)?;
        let first = self.elements.len();
        let (mut weight, mut height) = (2, 0);
        let mut packer = Packer::default();
        for index in 0.. {
            let path = path.index(index);
            let next = self.next(&path, findings)?;
            if next.0 == Event::SequenceEnd {
                break;
            }
            let element = self.value(next, depth + 1, &path, findings)?;
            weight += element.weight;
            height = height.max(element.height);
            if index + 1 == PACKED_FROM {
                self.elements.drain(first..).for_each(|element| packer.push(&element));
            }
            if index + 1 < PACKED_FROM {
                self.elements.push(element.node);
            } else {
                packer.push(&element.node);
            }
        }
        let value = Value::Sequence(match packer.is_empty() {
            true => self.elements.drain(first..).collect(),
            false => packer.finish(),
        });
        Ok(Built { node: Node { value, position }, weight, height: height + 1 })
    }

    fn mapping(
        &mut self,
        position: Position,
        depth: usize,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Result<Built, Abandoned> {
        self.enter(position, depth, path, findings)?;
        let mut open = self.open_mapping();
        while let Some(key) = self.key(path, findings)? {
            let below = path.key(&key.text);
            let next = self.next(&below, findings)?;
            let value = self.value(next, depth + 1, &below, findings)?;
            self.add_field(&mut open, key, value, path, findings);
        }
        Ok(self.close_mapping(open, position, path, findings))
    }

    pub(super) fn open_mapping(&self) -> OpenMapping {
        OpenMapping { first_field: self.fields.len(), weight: 2, height: 0 }
    }

    /// Reads the next key of a mapping; `None` is its end.
    pub(super) fn key(
        &mut self,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Result<Option<Key>, Abandoned> {
        let (event, position) = self.next(path, findings)?;
        let node = match event {
            Event::MappingEnd => return Ok(None),
            Event::MergeKey => return Ok(Some(Key { text: "<<".into(), position, merge: true })),
            Event::Scalar { .. } | Event::Alias { .. } => {
                self.value((event, position), 0, path, findings)?.node
            }
            _ => {
                self.not_a_key(position, path, findings, "a list or a mapping".to_owned());
                return Err(Abandoned);
            }
        };
        let text = match node.value {
            Value::String(text) => text,
            Value::Bool(value) => if value { "true" } else { "false" }.into(),
            Value::Int(value) => compact_str::format_compact!("{value}"),
            Value::Unsigned(value) => compact_str::format_compact!("{value}"),
            Value::Float(value) => number::key_text(value).into(),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
                self.not_a_key(position, path, findings, node.to_string());
                CompactString::default()
            }
        };
        Ok(Some(Key { text, position, merge: false }))
    }

    fn not_a_key(
        &mut self,
        position: Position,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
        found: String,
    ) {
        self.faulty = true;
        let finding = Diagnostic::error(&self.file, position, path);
        findings.push(finding.message("a key must be a text").found(found));
    }

    /// Adds a field to the mapping at `path`, or all fields that a merge key brings.
    pub(super) fn add_field(
        &mut self,
        open: &mut OpenMapping,
        key: Key,
        value: Built,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) {
        open.weight += value.weight + key.text.len() as u64 + 2;
        if key.merge {
            // The merged mapping takes the place of this one, so it is no level of its own.
            open.height = open.height.max(value.height.saturating_sub(1));
            self.merge(value.node, path, findings);
            return;
        }
        open.height = open.height.max(value.height);
        let entry = Entry { key: key.text, position: key.position, value: value.node };
        self.push(entry, false);
    }

    fn push(&mut self, entry: Entry, merged: bool) {
        let hash = FxBuildHasher.hash_one(entry.key.as_bytes());
        self.fields.push(Field { entry, hash, merged });
    }

    fn merge(&mut self, node: Node, path: &FieldPath<'_>, findings: &mut Diagnostics) {
        let sources: Vec<Node> = match &node.value {
            Value::Sequence(sources) => sources.to_vec(),
            _ => vec![node],
        };
        // The last field of a name wins, so the first source comes last.
        for source in sources.iter().rev() {
            let Value::Mapping(fields) = &source.value else {
                self.faulty = true;
                let finding = Diagnostic::error(&self.file, source.position, &path.key("<<"));
                findings
                    .push(finding.expected("a mapping, or a list of mappings, to merge", source.to_string()));
                return;
            };
            for entry in fields.entries() {
                self.push(entry.clone(), true);
            }
        }
    }

    pub(super) fn close_mapping(
        &mut self,
        open: OpenMapping,
        position: Position,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Built {
        let fields = &self.fields[open.first_field..];
        let value = if has_duplicates(fields) {
            let fields = self.fields.split_off(open.first_field);
            Mapping::new(self.last_of_each(fields, path, findings))
        } else {
            Mapping::new(self.fields.drain(open.first_field..).map(|field| field.entry))
        };
        let node = Node { value: Value::Mapping(value), position };
        Built { node, weight: open.weight, height: open.height + 1 }
    }

    /// The fields without those that a later one of the same name replaces.
    fn last_of_each(
        &mut self,
        fields: Vec<Field>,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) -> Vec<Entry> {
        let mut order: Vec<usize> = (0..fields.len()).collect();
        order.sort_by(|&a, &b| (&fields[a].entry.key, a).cmp(&(&fields[b].entry.key, b)));
        let mut replaced = vec![false; fields.len()];
        let mut pairs = Vec::new();
        for pair in order.windows(2) {
            if fields[pair[0]].entry.key == fields[pair[1]].entry.key {
                replaced[pair[0]] = true;
                pairs.push((pair[1], pair[0]));
            }
        }
        pairs.sort_unstable();
        for (later, earlier) in pairs {
            self.report_duplicate(&fields[earlier], &fields[later], path, findings);
        }
        let kept = fields.into_iter().zip(replaced).filter(|(_, replaced)| !replaced);
        kept.map(|(field, _)| field.entry).collect()
    }

    fn report_duplicate(
        &mut self,
        earlier: &Field,
        later: &Field,
        path: &FieldPath<'_>,
        findings: &mut Diagnostics,
    ) {
        let key = &later.entry.key;
        let path = path.key(key);
        if earlier.merged {
            // Overriding what a merge key brought is what merge keys are for.
            return;
        }
        let (first, second) = (earlier.entry.position, later.entry.position);
        let finding = if later.merged {
            Diagnostic::warning(&self.file, first, &path)
                .message(format!(
                    "the merge key below it replaces this by the value at {second}, as with kubectl"
                ))
                .hint("put `<<` before it")
        } else if self.duplicates == DuplicateKeys::Refused {
            self.faulty = true;
            Diagnostic::error(&self.file, second, &path)
                .message(format!("the key occurs twice, first at {first}"))
                .hint("remove one of them")
        } else {
            Diagnostic::warning(&self.file, second, &path)
                .message(format!("the key occurs twice, first at {first}; the last one wins"))
        };
        findings.push(finding);
    }
}

/// A key that was read.
pub(super) struct Key {
    pub(super) text: CompactString,
    position: Position,
    merge: bool,
}

impl Key {
    /// Whether this is the key `name`, and not a merge key.
    pub(super) fn is(&self, name: &str) -> bool {
        !self.merge && self.text == name
    }
}

fn scalar(value: Value, position: Position) -> Built {
    let weight = match &value {
        Value::String(text) => text.len() as u64 + 2,
        _ => 4,
    };
    Built { node: Node { value, position }, weight, height: 0 }
}

/// Whether two fields may have the same name: exact but for colliding hashes, which only cost.
fn has_duplicates(fields: &[Field]) -> bool {
    const FEW: usize = 16;
    if fields.len() > FEW {
        let mut hashes: Vec<u64> = fields.iter().map(|field| field.hash).collect();
        hashes.sort_unstable();
        return hashes.windows(2).any(|pair| pair[0] == pair[1]);
    }
    fields
        .iter()
        .enumerate()
        .any(|(index, field)| fields[..index].iter().any(|other| other.hash == field.hash))
}
