//! Reads a file document by document, and lists in it object by object.

use super::build::{Abandoned, Builder, DuplicateKeys, OpenMapping};
use super::diagnostic::{Diagnostic, Diagnostics, FieldPath, Mark, Position};
use super::event::{Event, Events, Placed};
use super::node::{Mapping, Node, Value};
use super::sequence::{Cursor, Sequence};
use compact_str::CompactString;
use std::sync::Arc;

/// Reads the objects of a manifest, one by one, as `kubectl` finds them.
///
/// A document is an object, or a list of objects: anything with `items` at its root, whatever its
/// `kind` says. Lists are streamed: their items come one by one while the rest of the file is
/// still unread, so a dump of any size takes no more memory than its text and one item. Empty
/// documents are skipped. After an error the reader goes on with the next document, so that all
/// errors of a file are found at once; an object with an error in it is not returned.
///
/// ```
/// use seatrial_api::document::{Diagnostics, ObjectReader};
/// let text = b"kind: Pod\nmetadata: {name: a}\n---\nkind: List\nitems: [{kind: Pod}]\n";
/// let (mut reader, mut findings) = (ObjectReader::new("two.yaml", text), Diagnostics::new());
/// let mut kinds = Vec::new();
/// while let Some(object) = reader.next(&mut findings) {
///     kinds.push(object.get("kind").and_then(|kind| kind.as_str()).map(str::to_owned));
/// }
/// assert_eq!(kinds, [Some("Pod".to_owned()), Some("Pod".to_owned())]);
/// assert!(findings.is_empty());
/// ```
pub struct ObjectReader<'a> {
    documents: Documents<'a>,
    state: State,
    /// Lists that came as one piece, because they are nested or came by an alias: what is left.
    pending: Vec<PendingList>,
}

enum State {
    /// Between two documents.
    Between,
    /// Inside the `items` of a document.
    Items { root: RootList, index: usize },
}

/// The list that is being streamed.
struct RootList {
    open: OpenMapping,
    position: Position,
    /// Its own kind, once it was asked for.
    kind: Option<ListKind>,
}

/// What a list says about the type of items that do not say it themselves.
#[derive(Clone, Default)]
struct ListKind {
    api_version: Option<CompactString>,
    /// The kind without `List` at its end.
    item_kind: Option<CompactString>,
}

struct PendingList {
    items: Sequence,
    next: Cursor,
    kind: ListKind,
}

/// Reads all documents of a file, whatever they are, with nothing expanded.
///
/// Also returns those that could be read in spite of an error, such as a key that is not allowed to
/// occur twice, so that whatever else is wrong with them can be found at once.
pub fn read_documents(
    file: &str,
    bytes: &[u8],
    duplicates: DuplicateKeys,
    findings: &mut Diagnostics,
) -> Vec<Node> {
    let mut documents = Documents::new(file, bytes, duplicates);
    let mut nodes = Vec::new();
    while let Some(start) = documents.next_root(findings) {
        let root = documents.builder.value(start, 0, &FieldPath::ROOT, findings);
        match root.and_then(|root| documents.end_document(findings).map(|()| root)) {
            Ok(root) if !root.node.is_null() => nodes.push(root.node),
            Ok(_) => {}
            Err(Abandoned) => documents.skip_document(findings),
        }
    }
    nodes
}

impl<'a> ObjectReader<'a> {
    /// Reads `bytes`, which messages call `file`.
    pub fn new(file: &str, bytes: &'a [u8]) -> ObjectReader<'a> {
        let documents = Documents::new(file, bytes, DuplicateKeys::LastWins);
        ObjectReader { documents, state: State::Between, pending: Vec::new() }
    }

    /// The name of the file, for further findings about its objects.
    pub fn file(&self) -> &Arc<str> {
        &self.documents.builder.file
    }

    /// The next object, always a mapping; what is wrong on the way to it is added to `findings`.
    pub fn next(&mut self, findings: &mut Diagnostics) -> Option<Node> {
        loop {
            if let Some(item) = self.next_pending() {
                let object = self.object(item, findings);
                if object.is_some() {
                    return object;
                }
                continue;
            }
            let step = match std::mem::replace(&mut self.state, State::Between) {
                State::Between => {
                    let start = self.documents.next_root(findings)?;
                    self.document(start, findings)
                }
                State::Items { root, index } => self.item(root, index, findings),
            };
            match step {
                Ok(Some(object)) => return Some(object),
                Ok(None) => {}
                Err(Abandoned) => {
                    self.state = State::Between;
                    self.documents.skip_document(findings);
                }
            }
        }
    }

    fn next_pending(&mut self) -> Option<Node> {
        let list = self.pending.last_mut()?;
        let Some(item) = list.items.next(&mut list.next) else {
            self.pending.pop();
            return self.next_pending();
        };
        Some(list.kind.complete(item.into_owned()))
    }

    /// Begins a document, whose root is `start`.
    fn document(&mut self, start: Placed, findings: &mut Diagnostics) -> Result<Option<Node>, Abandoned> {
        let (event, position) = start;
        if let Event::MappingStart { .. } = event {
            let open = self.documents.builder.open_mapping();
            return self.fields(RootList { open, position, kind: None }, false, findings);
        }
        let root = self.documents.builder.value((event, position), 0, &FieldPath::ROOT, findings)?;
        self.documents.end_document(findings)?;
        Ok(if root.node.is_null() { None } else { self.object(root.node, findings) })
    }

    /// Reads the fields of a document's root, up to its end or to the beginning of its items.
    fn fields(
        &mut self,
        mut root: RootList,
        streamed: bool,
        findings: &mut Diagnostics,
    ) -> Result<Option<Node>, Abandoned> {
        let builder = &mut self.documents.builder;
        while let Some(key) = builder.key(&FieldPath::ROOT, findings)? {
            let path = FieldPath::ROOT.key(&key.text);
            let next = builder.next(&path, findings)?;
            if key.is("items") && matches!(next.0, Event::SequenceStart { anchor: 0 }) {
                if streamed {
                    builder.faulty = true;
                    let finding = Diagnostic::error(&builder.file, next.1, &path);
                    findings.push(finding.message("the list has `items` twice").hint("join the two"));
                }
                self.state = State::Items { root, index: 0 };
                return Ok(None);
            }
            let value = builder.value(next, 1, &path, findings)?;
            builder.add_field(&mut root.open, key, value, &FieldPath::ROOT, findings);
        }
        let node = builder.close_mapping(root.open, root.position, &FieldPath::ROOT, findings).node;
        self.documents.end_document(findings)?;
        Ok(if streamed || self.documents.builder.faulty { None } else { self.object(node, findings) })
    }

    /// Reads the next item of the list that is being streamed.
    fn item(
        &mut self,
        mut root: RootList,
        index: usize,
        findings: &mut Diagnostics,
    ) -> Result<Option<Node>, Abandoned> {
        let builder = &mut self.documents.builder;
        builder.faulty = false;
        let items = FieldPath::ROOT.key("items");
        let path = items.index(index);
        let next = builder.next(&path, findings)?;
        if next.0 == Event::SequenceEnd {
            return self.fields(root, true, findings);
        }
        let mut item = builder.value(next, 2, &path, findings)?.node;
        let faulty = builder.faulty;
        builder.may_be_yaml &= faulty;
        if !faulty && lacks_type(&item) {
            let kind = root.kind.get_or_insert_with(|| self.documents.kind_of_list());
            item = kind.complete(item);
        }
        self.state = State::Items { root, index: index + 1 };
        Ok(if faulty { None } else { self.object(item, findings) })
    }

    /// Returns `node` if it is an object; if it is a list, its items are next.
    fn object(&mut self, node: Node, findings: &mut Diagnostics) -> Option<Node> {
        let file = self.file().clone();
        let Some(fields) = node.as_mapping() else {
            let finding = Diagnostic::error(&file, node.position, &FieldPath::ROOT);
            findings.push(finding.expected("an object with apiVersion and kind", node.to_string()));
            return None;
        };
        let Some(items) = fields.get("items") else { return Some(node) };
        match &items.value {
            Value::Sequence(elements) => {
                let kind = ListKind::of(fields);
                self.pending.push(PendingList { items: elements.clone(), next: Cursor::default(), kind });
            }
            Value::Null => {}
            _ => {
                let finding = Diagnostic::error(&file, items.position, &FieldPath::ROOT.key("items"));
                findings.push(finding.expected("a list of objects", items.to_string()));
            }
        }
        None
    }
}

fn lacks_type(item: &Node) -> bool {
    item.as_mapping().is_some_and(|fields| fields.get("kind").is_none() || fields.get("apiVersion").is_none())
}

impl ListKind {
    fn of(list: &Mapping) -> ListKind {
        let text = |key| list.get(key).and_then(Node::as_str);
        ListKind {
            api_version: text("apiVersion").map(CompactString::from),
            item_kind: text("kind").and_then(item_kind),
        }
    }

    /// Gives an item that does not say its type the one of the list, as `kubectl` does.
    fn complete(&self, item: Node) -> Node {
        let (Some(api_version), Some(kind)) = (&self.api_version, &self.item_kind) else { return item };
        let Some(fields) = item.as_mapping().filter(|_| lacks_type(&item)) else { return item };
        let position = item.position;
        let text = |text: &CompactString| Node { value: Value::String(text.clone()), position };
        let fields = fields.with("apiVersion", text(api_version)).with("kind", text(kind));
        Node { value: Value::Mapping(fields), position }
    }
}

/// The kind of the items of a typed list: `Pod` for `PodList`, none for a plain `List`.
fn item_kind(list_kind: &str) -> Option<CompactString> {
    list_kind.strip_suffix("List").filter(|kind| !kind.is_empty()).map(CompactString::from)
}

/// The documents of a file: where they begin, and in which of the two languages they are.
struct Documents<'a> {
    text: &'a str,
    builder: Builder<'a>,
    /// The bytes that are no text, reported with the first document.
    invalid: Option<Diagnostic>,
    /// Where the present document begins.
    start: (usize, Position),
    /// What had been found before it.
    findings_before: Mark,
}

impl<'a> Documents<'a> {
    fn new(file: &str, bytes: &'a [u8], duplicates: DuplicateKeys) -> Documents<'a> {
        let file: Arc<str> = file.into();
        let (text, invalid) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => ("", Some(not_utf8(&file, bytes, error.valid_up_to()))),
        };
        let events = Events::new(text, 0, Position::START);
        let builder = Builder::new(events, file, text.len(), duplicates);
        Documents { text, builder, invalid, start: (0, Position::START), findings_before: Mark::default() }
    }

    /// Goes on to the next document and returns the event that its root begins with.
    fn next_root(&mut self, findings: &mut Diagnostics) -> Option<Placed> {
        if let Some(invalid) = self.invalid.take() {
            findings.push(invalid);
        }
        loop {
            self.builder.start_document();
            match self.begin_document(findings) {
                Ok(Some(root)) => return Some(root),
                Ok(None) => self.go_on_after_json()?,
                Err(Abandoned) => self.skip_document(findings),
            }
        }
    }

    /// Reads up to the root of the next document; `None` if there is no other.
    fn begin_document(&mut self, findings: &mut Diagnostics) -> Result<Option<Placed>, Abandoned> {
        loop {
            match self.builder.next(&FieldPath::ROOT, findings)? {
                (Event::DocumentStart { offset }, position) => {
                    self.start = (offset, position);
                    self.findings_before = findings.mark();
                    return self.builder.next(&FieldPath::ROOT, findings).map(Some);
                }
                (Event::End, _) => return Ok(None),
                _ => {}
            }
        }
    }

    /// If JSON has ended before the file, reads the rest as YAML.
    fn go_on_after_json(&mut self) -> Option<()> {
        let Events::Json(json) = &self.builder.events else { return None };
        let (offset, position) = json.place();
        if offset == self.text.len() {
            return None;
        }
        self.builder.events = Events::yaml(self.text, offset, position);
        Some(())
    }

    fn end_document(&mut self, findings: &mut Diagnostics) -> Result<(), Abandoned> {
        self.builder.next(&FieldPath::ROOT, findings)?;
        self.builder.json_error = None;
        Ok(())
    }

    /// Goes to the end of a document that cannot be read, or back to its beginning if it was read
    /// as JSON and may be YAML.
    fn skip_document(&mut self, findings: &mut Diagnostics) {
        match &mut self.builder.events {
            // What it would complain about on the way is a consequence of what was reported.
            Events::Yaml(yaml) => {
                drop(yaml.skip_document());
                self.builder.json_error = None;
            }
            Events::Json(_) if self.builder.json_error.is_some() => {
                findings.rewind(self.findings_before);
                let (offset, position) = self.start;
                self.builder.events = Events::yaml(self.text, offset, position);
            }
            Events::Json(json) => json.finish(),
        }
    }

    /// Looks ahead for the kind that the present document gives itself, which may stand below its
    /// items.
    fn kind_of_list(&self) -> ListKind {
        let (offset, position) = self.start;
        let mut events = match self.builder.events {
            Events::Yaml(_) => Events::yaml(self.text, offset, position),
            Events::Json(_) => Events::new(self.text, offset, position),
        };
        let mut kind = ListKind::default();
        let (mut depth, mut key) = (0, None::<CompactString>);
        loop {
            let event = match events.next() {
                Ok((event, _)) => event,
                Err(error) if error.recoverable => Event::Scalar { value: Value::Null, anchor: 0 },
                Err(_) => return kind,
            };
            match event {
                Event::MappingStart { .. } | Event::SequenceStart { .. } => depth += 1,
                Event::MappingEnd | Event::SequenceEnd => {
                    depth -= 1;
                    key = None;
                    if depth == 0 {
                        return kind;
                    }
                }
                Event::Scalar { .. } | Event::Alias { .. } | Event::MergeKey if depth == 1 => {
                    let text = match event {
                        Event::Scalar { value: Value::String(text), .. } => text,
                        _ => CompactString::default(),
                    };
                    match key.take().as_deref() {
                        None => key = Some(text),
                        Some("kind") => kind.item_kind = item_kind(&text),
                        Some("apiVersion") => kind.api_version = Some(text),
                        Some(_) => {}
                    }
                }
                Event::End => return kind,
                _ => {}
            }
        }
    }
}

fn not_utf8(file: &Arc<str>, bytes: &[u8], valid_up_to: usize) -> Diagnostic {
    let valid = &bytes[..valid_up_to];
    let line_start = valid.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let line = valid.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = valid[line_start..].iter().filter(|&&b| b & 0xc0 != 0x80).count() + 1;
    let found = format!("the byte {:#04x}", bytes[valid_up_to]);
    let finding = Diagnostic::error(file, Position::new(line, column), &FieldPath::ROOT);
    finding.message("the file is not text").expected("UTF-8", found).hint("is it compressed?")
}
