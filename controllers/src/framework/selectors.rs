//! Which of many selectors match a set of labels, without asking each of them.
//!
//! A selector that demands one value of some key can only match labels that have it, so it is
//! filed under that pair; the few others are tried one by one.

use rustc_hash::FxHashMap;
use seatrial_api::labels::{Labels, Operator, Selector};
use seatrial_api::symbol::Symbol;

use super::cache::RowIndex;

/// Rows of selecting objects by namespace and a pair that their selector demands.
#[derive(Clone, Debug, Default)]
pub(crate) struct SelectorIndex {
    by_pair: RowIndex<(Symbol, Symbol, Symbol)>,
    others: RowIndex<Symbol>,
    filed: FxHashMap<u32, (Symbol, Option<(Symbol, Symbol)>)>,
}

impl SelectorIndex {
    /// Files the selector of an object, in place of the one that was filed before.
    pub(crate) fn put(&mut self, row: u32, namespace: Symbol, selector: &Selector) {
        let pair = selector.requirements.iter().find_map(|requirement| match &requirement.operator {
            Operator::In(values) if values.len() == 1 => Some((requirement.key, values[0])),
            _ => None,
        });
        self.file(row, namespace, pair);
    }

    /// Files the label selector of a Service, in place of the one that was filed before.
    pub(crate) fn put_labels(&mut self, row: u32, namespace: Symbol, labels: &Labels) {
        self.file(row, namespace, labels.iter().next().copied());
    }

    fn file(&mut self, row: u32, namespace: Symbol, pair: Option<(Symbol, Symbol)>) {
        if self.filed.get(&row) == Some(&(namespace, pair)) {
            return;
        }
        self.remove(row);
        self.filed.insert(row, (namespace, pair));
        match pair {
            Some((key, value)) => self.by_pair.insert((namespace, key, value), row),
            None => self.others.insert(namespace, row),
        }
    }

    /// Forgets an object.
    pub(crate) fn remove(&mut self, row: u32) {
        match self.filed.remove(&row) {
            Some((namespace, Some((key, value)))) => self.by_pair.remove(&(namespace, key, value), row),
            Some((namespace, None)) => self.others.remove(&namespace, row),
            None => {}
        }
    }

    /// Appends the rows whose selectors may match `labels`: a superset, which the caller filters.
    pub(crate) fn candidates(&self, namespace: Symbol, labels: &Labels, rows: &mut Vec<u32>) {
        for &(key, value) in labels.iter() {
            rows.extend_from_slice(self.by_pair.rows(&(namespace, key, value)));
        }
        rows.extend_from_slice(self.others.rows(&namespace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_selectors_that_may_match_are_candidates() {
        let namespace = Symbol::new("shop");
        let mut index = SelectorIndex::default();
        index.put(1, namespace, &Selector::of_labels(&Labels::of(&[("app", "web")])));
        index.put(2, namespace, &Selector::of_labels(&Labels::of(&[("app", "db")])));
        index.put(3, namespace, &Selector::default());
        let candidates = |index: &SelectorIndex, namespace, labels: &[(&str, &str)]| {
            let mut rows = Vec::new();
            index.candidates(namespace, &Labels::of(labels), &mut rows);
            rows
        };
        assert_eq!(candidates(&index, namespace, &[("app", "web"), ("x", "y")]), [1, 3]);
        assert_eq!(candidates(&index, Symbol::new("other"), &[("app", "web")]), []);
        index.put(2, namespace, &Selector::of_labels(&Labels::of(&[("app", "web")])));
        index.remove(3);
        assert_eq!(candidates(&index, namespace, &[("app", "web")]), [1, 2]);
    }
}
