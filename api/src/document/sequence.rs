//! Lists. One of many elements is packed: a list of short scalars, two bytes each in the file, would
//! take a multiple of the file as nodes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;

use super::diagnostic::Position;
use super::node::{Entry, Mapping, Node, Value};

/// From how many elements on a list that is read is packed.
pub(super) const PACKED_FROM: usize = 1_024;

/// The elements of a list, shared by its clones.
#[derive(Clone)]
pub struct Sequence(Elements);

#[derive(Clone)]
enum Elements {
    Nodes(Arc<[Node]>),
    Packed(Arc<Packed>),
}

/// Where a walk through a list stands; it belongs to that list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    index: usize,
    byte: usize,
    position: Position,
}

/// A walk through a list. Elements of a packed one are unpacked as they come.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    sequence: &'a Sequence,
    cursor: Cursor,
}

impl Sequence {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Elements::Nodes(nodes) => nodes.len(),
            Elements::Packed(packed) => packed.count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something else, such as an anchor, has the same elements.
    fn is_shared(&self) -> bool {
        match &self.0 {
            Elements::Nodes(nodes) => Arc::strong_count(nodes) > 1,
            Elements::Packed(packed) => Arc::strong_count(packed) > 1,
        }
    }

    fn is_same(&self, other: &Sequence) -> bool {
        match (&self.0, &other.0) {
            (Elements::Nodes(one), Elements::Nodes(other)) => Arc::ptr_eq(one, other),
            (Elements::Packed(one), Elements::Packed(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// All elements in their order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { sequence: self, cursor: Cursor::default() }
    }

    /// One element. In a packed list all before it are walked through.
    pub fn get(&self, index: usize) -> Option<Cow<'_, Node>> {
        match &self.0 {
            Elements::Nodes(nodes) => nodes.get(index).map(Cow::Borrowed),
            Elements::Packed(_) => self.iter().nth(index),
        }
    }

    /// A copy of all elements.
    pub fn to_vec(&self) -> Vec<Node> {
        self.iter().map(Cow::into_owned).collect()
    }

    /// The element at a cursor, which moves on.
    pub(super) fn next(&self, cursor: &mut Cursor) -> Option<Cow<'_, Node>> {
        if cursor.index >= self.len() {
            return None;
        }
        let node = match &self.0 {
            Elements::Nodes(nodes) => Cow::Borrowed(&nodes[cursor.index]),
            Elements::Packed(packed) => Cow::Owned(packed.node(cursor)),
        };
        cursor.index += 1;
        Some(node)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Cow<'a, Node>;

    fn next(&mut self) -> Option<Cow<'a, Node>> {
        self.sequence.next(&mut self.cursor)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.sequence.len() - self.cursor.index;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Sequence {
    type Item = Cow<'a, Node>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl FromIterator<Node> for Sequence {
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Sequence {
        Sequence(Elements::Nodes(nodes.into_iter().collect()))
    }
}

impl PartialEq for Sequence {
    fn eq(&self, other: &Sequence) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Nodes as bytes: a tag, the place as a difference to the place before, and the value, numbers in
/// groups of seven bits.
#[derive(Debug, Default)]
struct Packed {
    count: usize,
    bytes: Vec<u8>,
    /// Lists and mappings with an anchor, which are not packed: aliases of them share them.
    shared: Vec<Node>,
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const UNSIGNED: u8 = 4;
const FLOAT: u8 = 5;
const STRING: u8 = 6;
const SEQUENCE: u8 = 7;
const MAPPING: u8 = 8;
const SHARED: u8 = 9;

/// How many shared values are looked through for one that comes again.
const SHARED_LOOKED_AT: usize = 8;

/// Packs the elements of a list as they are read.
#[derive(Debug, Default)]
pub(super) struct Packer {
    packed: Packed,
    position: Position,
}

impl Packer {
    /// Appends an element.
    pub(super) fn push(&mut self, node: &Node) {
        self.packed.count += 1;
        self.node(node);
    }

    /// Whether nothing was appended.
    pub(super) fn is_empty(&self) -> bool {
        self.packed.count == 0
    }

    /// The list.
    pub(super) fn finish(mut self) -> Sequence {
        self.packed.bytes.shrink_to_fit();
        Sequence(Elements::Packed(Arc::new(self.packed)))
    }

    fn node(&mut self, node: &Node) {
        match &node.value {
            Value::Sequence(elements) if elements.is_shared() => self.shared(node),
            Value::Mapping(fields) if fields.is_shared() => self.shared(node),
            Value::Null => self.head(NULL, node.position),
            Value::Bool(value) => self.head(if *value { TRUE } else { FALSE }, node.position),
            Value::Int(value) => {
                self.head(INT, node.position);
                self.signed(*value);
            }
            Value::Unsigned(value) => {
                self.head(UNSIGNED, node.position);
                self.number(*value);
            }
            Value::Float(value) => {
                self.head(FLOAT, node.position);
                self.packed.bytes.extend(value.to_bits().to_le_bytes());
            }
            Value::String(text) => {
                self.head(STRING, node.position);
                self.text(text);
            }
            Value::Sequence(elements) => {
                self.head(SEQUENCE, node.position);
                self.number(elements.len() as u64);
                elements.iter().for_each(|element| self.node(&element));
            }
            Value::Mapping(fields) => {
                self.head(MAPPING, node.position);
                self.number(fields.entries().len() as u64);
                for entry in fields.entries() {
                    self.text(&entry.key);
                    self.place(entry.position);
                    self.node(&entry.value);
                }
            }
        }
    }

    /// What was shared just before is not kept twice.
    fn shared(&mut self, node: &Node) {
        let is_same = |other: &Node| match (&node.value, &other.value) {
            (Value::Sequence(one), Value::Sequence(other)) => one.is_same(other),
            (Value::Mapping(one), Value::Mapping(other)) => one.is_same(other),
            _ => false,
        };
        let shared = &mut self.packed.shared;
        let known = shared.iter().rev().take(SHARED_LOOKED_AT).position(is_same);
        let index = known.map_or(shared.len(), |back| shared.len() - 1 - back);
        if known.is_none() {
            shared.push(node.clone());
        }
        self.packed.bytes.push(SHARED);
        self.number(index as u64);
    }

    fn head(&mut self, tag: u8, position: Position) {
        self.packed.bytes.push(tag);
        self.place(position);
    }

    /// Most elements stand in the line of the one before, or at its column.
    fn place(&mut self, position: Position) {
        let lines = i64::from(position.line) - i64::from(self.position.line);
        let columns = i64::from(position.column) - i64::from(self.position.column);
        self.position = position;
        if lines == 0 {
            return self.number(zigzag(columns) << 1);
        }
        self.number(zigzag(columns) << 1 | 1);
        self.signed(lines);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.packed.bytes.extend(text.as_bytes());
    }

    fn signed(&mut self, value: i64) {
        self.number(zigzag(value));
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.packed.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.packed.bytes.push(value as u8);
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

impl Packed {
    fn node(&self, at: &mut Cursor) -> Node {
        let tag = self.bytes[at.byte];
        at.byte += 1;
        if tag == SHARED {
            return self.shared[self.number(at) as usize].clone();
        }
        let position = self.place(at);
        let value = match tag {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            INT => Value::Int(unzigzag(self.number(at))),
            UNSIGNED => Value::Unsigned(self.number(at)),
            FLOAT => {
                let bytes = self.bytes[at.byte..].first_chunk().expect("invariant: eight bytes were packed");
                at.byte += 8;
                Value::Float(f64::from_bits(u64::from_le_bytes(*bytes)))
            }
            STRING => Value::String(self.text(at)),
            SEQUENCE => Value::Sequence((0..self.number(at)).map(|_| self.node(at)).collect()),
            MAPPING => {
                let entries = (0..self.number(at)).map(|_| {
                    let (key, position) = (self.text(at), self.place(at));
                    Entry { key, position, value: self.node(at) }
                });
                Value::Mapping(Mapping::new(entries))
            }
            _ => unreachable!("invariant: only these tags are packed"),
        };
        Node { value, position }
    }

    fn place(&self, at: &mut Cursor) -> Position {
        let columns = self.number(at);
        let lines = if columns & 1 == 1 { unzigzag(self.number(at)) } else { 0 };
        let moved = |from: u32, by: i64| (i64::from(from) + by) as u32;
        at.position = Position {
            line: moved(at.position.line, lines),
            column: moved(at.position.column, unzigzag(columns >> 1)),
        };
        at.position
    }

    fn text(&self, at: &mut Cursor) -> CompactString {
        let end = self.number(at) as usize + at.byte;
        let text = std::str::from_utf8(&self.bytes[at.byte..end]).expect("invariant: a text was packed");
        at.byte = end;
        text.into()
    }

    fn number(&self, at: &mut Cursor) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[at.byte];
            at.byte += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }
}
