//! Sets of completion indexes, written as `0,2-4`.

use compact_str::CompactString;

/// A set of indexes as ranges in ascending order, with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// The indexes below `completions` in a text; what cannot be read is passed over.
    pub(super) fn parse(text: &str, completions: i32) -> Indexes {
        let mut indexes = Indexes::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
            if first < 0 || first >= completions {
                break;
            }
            indexes.append(first, last.min(completions - 1));
        }
        indexes
    }

    /// Inclusive ranges, as far as they lie below `completions`.
    pub(super) fn of_ranges(ranges: &[(i32, i32)], completions: i32) -> Indexes {
        let mut indexes = Indexes::default();
        for &(first, last) in ranges.iter().filter(|range| range.0 < completions) {
            indexes.append(first, last.min(completions - 1));
        }
        indexes
    }

    /// Adds a range that begins at or after the last one.
    fn append(&mut self, first: i32, last: i32) {
        match self.0.last_mut() {
            Some(range) if first <= range.1.saturating_add(1) => range.1 = range.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// The union of two sets.
    pub(super) fn union(&self, other: &Indexes) -> Indexes {
        let mut ranges: Vec<(i32, i32)> = self.0.iter().chain(&other.0).copied().collect();
        ranges.sort_unstable();
        let mut union = Indexes::default();
        ranges.into_iter().for_each(|(first, last)| union.append(first, last));
        union
    }

    /// This set and single indexes.
    pub(super) fn with(&self, indexes: impl IntoIterator<Item = i32>) -> Indexes {
        let mut sorted: Vec<i32> = indexes.into_iter().collect();
        sorted.sort_unstable();
        let mut added = Indexes::default();
        sorted.into_iter().for_each(|index| added.append(index, index));
        self.union(&added)
    }

    /// How many indexes there are.
    pub(super) fn total(&self) -> i32 {
        self.0.iter().map(|range| range.1 - range.0 + 1).fold(0, i32::saturating_add)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an index is in the set.
    pub(super) fn contains(&self, index: i32) -> bool {
        let after = self.0.partition_point(|range| range.1 < index);
        self.0.get(after).is_some_and(|range| range.0 <= index)
    }

    /// How many indexes both sets have.
    pub(super) fn overlap(&self, other: &Indexes) -> i32 {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = 0;
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            common += (x.1.min(y.1) - x.0.max(y.0) + 1).max(0);
            if x.1 <= y.1 {
                a.next();
            } else {
                b.next();
            }
        }
        common
    }

    /// The lowest `count` indexes below `completions` that are not in the set.
    pub(super) fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut candidate = 0;
        for &(first, last) in self.0.iter().chain([&(completions, completions)]) {
            while candidate < first.min(completions) && missing.len() < count {
                missing.push(candidate);
                candidate += 1;
            }
            candidate = candidate.max(last.saturating_add(1));
        }
        missing
    }

    /// As a status writes them: two neighbours with a comma, more with a hyphen.
    pub(super) fn text(&self) -> CompactString {
        let mut text = CompactString::default();
        for &(first, last) in &self.0 {
            let comma = if text.is_empty() { "" } else { "," };
            let range = match last - first {
                0 => format!("{comma}{first}"),
                1 => format!("{comma}{first},{last}"),
                _ => format!("{comma}{first}-{last}"),
            };
            text.push_str(&range);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        for (text, completions, written, total) in [
            ("", 5, "", 0),
            ("0,2-4", 5, "0,2-4", 4),
            ("0,1,2", 5, "0-2", 3),
            ("0,1", 5, "0,1", 2),
            ("1-9", 4, "1-3", 3),
            ("1,7", 4, "1", 1),
            ("x,3", 5, "3", 1),
        ] {
            let indexes = Indexes::parse(text, completions);
            assert_eq!((indexes.text().as_str(), indexes.total()), (written, total), "{text}");
        }
    }

    #[test]
    fn missing_indexes_are_found_from_below() {
        let indexes = Indexes::parse("0,2-3", 10);
        assert_eq!(indexes.first_missing(3, 10), [1, 4, 5]);
        assert_eq!(indexes.first_missing(9, 5), [1, 4]);
        assert_eq!(Indexes::default().first_missing(2, 10), [0, 1]);
    }

    #[test]
    fn sets_are_joined_and_compared() {
        let a = Indexes::parse("0-3,8", 10);
        assert_eq!(a.with([4, 9, 6]).text(), "0-4,6,8,9");
        assert_eq!(a.overlap(&Indexes::parse("2-8", 10)), 3);
        assert!(a.contains(8) && !a.contains(7) && a.contains(0));
    }
}
