//! Making and changing documents: what an API server does with them after they were read.

use super::node::{Entry, Mapping, Node, Value};
use super::sequence::Sequence;
use compact_str::CompactString;

impl Node {
    /// A text from no file.
    pub fn text(text: impl Into<CompactString>) -> Node {
        Node::unplaced(Value::String(text.into()))
    }

    /// A whole number from no file.
    pub fn int(number: impl Into<i64>) -> Node {
        Node::unplaced(Value::Int(number.into()))
    }

    /// A truth value from no file.
    pub fn bool(value: bool) -> Node {
        Node::unplaced(Value::Bool(value))
    }

    /// A list from no file.
    pub fn list(elements: impl IntoIterator<Item = Node>) -> Node {
        Node::unplaced(Value::Sequence(elements.into_iter().collect::<Sequence>()))
    }

    /// A mapping from no file; the keys must differ.
    pub fn object<K: Into<CompactString>>(fields: impl IntoIterator<Item = (K, Node)>) -> Node {
        let entry = |(key, value): (K, Node)| Entry { key: key.into(), position: value.position, value };
        Node::unplaced(Value::Mapping(Mapping::new(fields.into_iter().map(entry))))
    }

    /// A mapping without fields, from no file.
    pub fn empty() -> Node {
        Node::unplaced(Value::Mapping(Mapping::new([])))
    }

    /// The whole number, if this is one that fits.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The field `key`, unless it is absent or null, which Kubernetes does not tell apart.
    pub fn field(&self, key: &str) -> Option<&Node> {
        self.get(key).filter(|node| !node.is_null())
    }

    /// The field `key`, to be changed, if this is a mapping that has it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Mapping(mapping) => mapping.get_mut(key),
            _ => None,
        }
    }

    /// Gives the field `key` a value, at its old place or at the end. What is no mapping becomes one.
    pub fn set(&mut self, key: &str, value: Node) {
        match &mut self.value {
            Value::Mapping(mapping) => match mapping.get_mut(key) {
                Some(old) => *old = value,
                None => *mapping = mapping.with(key, value),
            },
            other => *other = Node::object([(key, value)]).value,
        }
    }

    /// Gives the field `key` a value unless it has one.
    pub fn set_default(&mut self, key: &str, value: impl FnOnce() -> Node) {
        if self.field(key).is_none() {
            self.set(key, value());
        }
    }

    /// Takes the field `key` away.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let Value::Mapping(mapping) = &mut self.value else { return None };
        let removed = mapping.get(key)?.clone();
        *mapping = Mapping::new(mapping.entries().iter().filter(|entry| entry.key != key).cloned());
        Some(removed)
    }

    /// The mapping in the field `key`, made if it is not there or is none.
    pub fn mapping_mut(&mut self, key: &str) -> &mut Node {
        if self.get(key).is_none_or(|node| node.as_mapping().is_none()) {
            self.set(key, Node::empty());
        }
        self.get_mut(key).expect("invariant: it was made if it was not there")
    }

    /// Changes every element of the list in the field `key`, if it has one.
    pub fn edit_elements(&mut self, key: &str, mut edit: impl FnMut(&mut Node)) {
        if let Some(node) = self.get_mut(key)
            && let Value::Sequence(elements) = &mut node.value
        {
            let mut changed = elements.to_vec();
            changed.iter_mut().for_each(&mut edit);
            *elements = changed.into_iter().collect();
        }
    }

    /// Copies of the elements in the field `key`; none if it has no list.
    pub fn elements(&self, key: &str) -> Vec<Node> {
        self.get(key).and_then(Node::as_sequence).map(Sequence::to_vec).unwrap_or_default()
    }

    /// The fields in the field `key`; none if it has no mapping.
    pub fn entries(&self, key: &str) -> &[Entry] {
        self.get(key).and_then(Node::as_mapping).map_or(&[], Mapping::entries)
    }

    /// The text in the field `key`; empty if it has none.
    pub fn str(&self, key: &str) -> &str {
        self.get(key).and_then(Node::as_str).unwrap_or("")
    }

    /// The whole number in the field `key`, if it has one.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.get(key).and_then(Node::as_int)
    }

    /// The truth value in the field `key`; false if it has none.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Node::as_bool).unwrap_or(false)
    }

    /// Whether both say the same: places and the order of fields do not count.
    pub fn says_the_same_as(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Mapping(one), Value::Mapping(two)) => {
                one.entries().len() == two.entries().len()
                    && one.entries().iter().all(|entry| {
                        two.get(&entry.key).is_some_and(|value| value.says_the_same_as(&entry.value))
                    })
            }
            (Value::Sequence(one), Value::Sequence(two)) => {
                one.len() == two.len()
                    && one.iter().zip(two.iter()).all(|(one, two)| one.says_the_same_as(&two))
            }
            (one, two) => one == two,
        }
    }
}

impl Mapping {
    /// The value of `key`, to be changed; copies the fields if something else has them too.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let index = self.entries().iter().position(|entry| entry.key == key)?;
        Some(&mut self.entries_mut()[index].value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_copies_as_they_were() {
        let mut node = Node::object([("a", Node::int(1)), ("b", Node::object([("c", Node::text("x"))]))]);
        let copy = node.clone();
        node.mapping_mut("b").set("c", Node::text("y"));
        node.set("d", Node::list([Node::int(1)]));
        node.edit_elements("d", |element| *element = Node::bool(true));
        assert_eq!(node.remove("a"), Some(Node::int(1)));
        assert_eq!(node.value.to_string(), r#"{"b":{"c":"y"},"d":[true]}"#);
        assert_eq!(copy.value.to_string(), r#"{"a":1,"b":{"c":"x"}}"#);
    }

    #[test]
    fn order_of_fields_and_places_do_not_count() {
        let one = Node::object([("a", Node::int(1)), ("b", Node::int(2))]);
        let two = Node::object([("b", Node::int(2)), ("a", Node::int(1))]);
        assert!(one.says_the_same_as(&two));
        assert!(!one.says_the_same_as(&Node::object([("a", Node::int(1))])));
    }
}
