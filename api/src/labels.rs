//! Labels, annotations, and the selectors over them.

use std::fmt;
use std::sync::Arc;

use crate::symbol::Symbol;

/// A set of key-value pairs, sorted by key and shared by all objects that carry the same set.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Option<Arc<LabelSet>>);

#[derive(PartialEq, Eq, Hash)]
struct LabelSet {
    pairs: Box<[(Symbol, Symbol)]>,
}

impl Labels {
    /// No labels.
    pub const NONE: Labels = Labels(None);

    /// The set of `pairs`; of equal keys the last one wins.
    pub fn new(mut pairs: Vec<(Symbol, Symbol)>) -> Labels {
        pairs.reverse();
        pairs.sort_by_key(|pair| pair.0);
        pairs.dedup_by_key(|pair| pair.0);
        if pairs.is_empty() { Labels(None) } else { Labels(Some(Arc::new(LabelSet { pairs: pairs.into() }))) }
    }

    /// The set of textual pairs, for tests and tables.
    pub fn of(pairs: &[(&str, &str)]) -> Labels {
        Labels::new(pairs.iter().map(|&(key, value)| (Symbol::new(key), Symbol::new(value))).collect())
    }

    /// The value of `key`.
    pub fn get(&self, key: Symbol) -> Option<Symbol> {
        self.iter().find(|&&(candidate, _)| candidate == key).map(|&(_, value)| value)
    }

    /// The pairs in key order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Symbol, Symbol)> {
        self.0.as_ref().map_or(&[][..], |set| &set.pairs).iter()
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// This set with `key` set to `value`.
    pub fn with(&self, key: Symbol, value: Symbol) -> Labels {
        let mut pairs: Vec<_> = self.iter().copied().collect();
        pairs.push((key, value));
        Labels::new(pairs)
    }

    /// This set without `key`.
    pub fn without(&self, key: Symbol) -> Labels {
        Labels::new(self.iter().copied().filter(|pair| pair.0 != key).collect())
    }

    /// Whether every pair of `required` is present (a `nodeSelector`, a Service's selector).
    pub fn contains_all(&self, required: &Labels) -> bool {
        required.iter().all(|&(key, value)| self.get(key) == Some(value))
    }

    /// Whether both are one shared allocation, which makes comparing their contents unnecessary.
    pub fn same_allocation(&self, other: &Labels) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().copied()).finish()
    }
}

impl fmt::Display for Labels {
    /// `a=1,b=2`, as a selector is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// What a requirement asks of the value of its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The key is present and its value among these.
    In(Box<[Symbol]>),
    /// The key is absent or its value not among these.
    NotIn(Box<[Symbol]>),
    /// The key is present.
    Exists,
    /// The key is absent.
    DoesNotExist,
    /// The key is present and its value an integer greater than this (nodes only).
    Gt(i64),
    /// The key is present and its value an integer less than this (nodes only).
    Lt(i64),
    /// A requirement that does not parse upstream (unknown operator, a bound that is no integer):
    /// it matches nothing.
    Never,
}

/// One requirement of a selector: a key and what its value must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label key.
    pub key: Symbol,
    /// The condition on its value.
    pub operator: Operator,
}

impl Requirement {
    /// Whether `value`, the value of this requirement's key if there is one, satisfies it.
    pub fn admits(&self, value: Option<Symbol>) -> bool {
        let integer = || value.and_then(|value| value.as_str().parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(&value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt(bound) => integer().is_some_and(|value| value > *bound),
            Operator::Lt(bound) => integer().is_some_and(|value| value < *bound),
            Operator::Never => false,
        }
    }
}

/// A label selector: all requirements must hold, so the empty selector matches everything.
///
/// An absent selector, which matches nothing, is an `Option::None` of this type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The requirements, `matchLabels` first.
    pub requirements: Box<[Requirement]>,
}

impl Selector {
    /// The selector for objects that carry all of `labels`.
    pub fn of_labels(labels: &Labels) -> Selector {
        let requirement = |&(key, value)| Requirement { key, operator: Operator::In(Box::new([value])) };
        Selector { requirements: labels.iter().map(requirement).collect() }
    }

    /// Whether `labels` satisfy every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.admits(labels.get(requirement.key)))
    }

    /// Whether there is no requirement, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl fmt::Display for Selector {
    /// As `kubectl` writes a selector: `app=web,tier in (a,b),!legacy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let key = requirement.key;
            let list = |values: &[Symbol]| values.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(",");
            match &requirement.operator {
                Operator::In(values) if values.len() == 1 => write!(f, "{comma}{key}={}", values[0])?,
                Operator::In(values) => write!(f, "{comma}{key} in ({})", list(values))?,
                Operator::NotIn(values) => write!(f, "{comma}{key} notin ({})", list(values))?,
                Operator::Exists => write!(f, "{comma}{key}")?,
                Operator::DoesNotExist => write!(f, "{comma}!{key}")?,
                Operator::Gt(bound) => write!(f, "{comma}{key}>{bound}")?,
                Operator::Lt(bound) => write!(f, "{comma}{key}<{bound}")?,
                Operator::Never => write!(f, "{comma}{key} (never)")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(key: &str, operator: Operator) -> Requirement {
        Requirement { key: key.into(), operator }
    }

    #[test]
    fn of_equal_keys_the_last_one_wins() {
        assert_eq!(Labels::of(&[("a", "1"), ("b", "2"), ("a", "3")]), Labels::of(&[("a", "3"), ("b", "2")]));
    }

    #[test]
    fn operators_treat_absent_keys_as_upstream_does() {
        let labels = Labels::of(&[("app", "web"), ("size", "10")]);
        let values = |texts: &[&str]| texts.iter().map(|&text| Symbol::new(text)).collect();
        let rows = [
            ("app", Operator::In(values(&["web", "db"])), true),
            ("gone", Operator::In(values(&["web"])), false),
            ("app", Operator::NotIn(values(&["web"])), false),
            ("gone", Operator::NotIn(values(&["web"])), true),
            ("app", Operator::Exists, true),
            ("gone", Operator::DoesNotExist, true),
            ("size", Operator::Gt(9), true),
            ("size", Operator::Lt(10), false),
            ("app", Operator::Gt(0), false),
            ("gone", Operator::Lt(0), false),
        ];
        for (key, operator, expected) in rows {
            let row = requirement(key, operator);
            assert_eq!(row.admits(labels.get(row.key)), expected, "{row:?}");
        }
    }

    #[test]
    fn the_empty_selector_matches_everything() {
        assert!(Selector::default().matches(&Labels::NONE));
    }
}
