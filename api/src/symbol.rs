//! Interned strings for everything that is compared often and comes in few values: label keys and
//! values, namespaces, node names, resource names, reasons.
//!
//! A symbol is one pointer. Equality compares pointers; order and hash come from the text, so no
//! outcome can depend on the order in which strings were interned. Interned text is never freed:
//! names of pods, which come in millions, are not interned.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashMap;

struct Entry {
    hash: u64,
    text: Box<str>,
}

/// An interned string.
#[derive(Clone, Copy)]
pub struct Symbol(&'static Entry);

impl Symbol {
    /// Interns `text`.
    pub fn new(text: &str) -> Symbol {
        let mut table = table().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.get(text) {
            return Symbol(entry);
        }
        let mut hasher = rustc_hash::FxHasher::default();
        text.hash(&mut hasher);
        let entry: &'static Entry = Box::leak(Box::new(Entry { hash: hasher.finish(), text: text.into() }));
        table.insert(&entry.text, entry);
        Symbol(entry)
    }

    /// The empty string.
    pub fn empty() -> Symbol {
        static EMPTY: OnceLock<Symbol> = OnceLock::new();
        *EMPTY.get_or_init(|| Symbol::new(""))
    }

    /// The text.
    pub fn as_str(self) -> &'static str {
        &self.0.text
    }

    /// Whether the text is empty.
    pub fn is_empty(self) -> bool {
        self.0.text.is_empty()
    }

    /// A hash of the text, equal in every process of one platform width.
    pub fn text_hash(self) -> u64 {
        self.0.hash
    }
}

fn table() -> &'static Mutex<FxHashMap<&'static str, &'static Entry>> {
    static TABLE: OnceLock<Mutex<FxHashMap<&'static str, &'static Entry>>> = OnceLock::new();
    TABLE.get_or_init(Default::default)
}

impl Default for Symbol {
    fn default() -> Symbol {
        Symbol::empty()
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Symbol) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Symbol {}

impl Hash for Symbol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Symbol) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Symbol) -> Ordering {
        if self == other { Ordering::Equal } else { self.as_str().cmp(other.as_str()) }
    }
}

impl PartialEq<str> for Symbol {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Symbol {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<&str> for Symbol {
    fn from(text: &str) -> Symbol {
        Symbol::new(text)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_symbol_and_order_follows_the_text() {
        let (b, a) = (Symbol::new("b"), Symbol::new("a"));
        assert_eq!(Symbol::new("a"), a);
        assert!(a < b);
        assert_eq!(Symbol::default().as_str(), "");
    }
}
