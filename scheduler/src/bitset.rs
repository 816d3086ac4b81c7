//! Sets of rows as words of bits.

/// A set of small integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bitset {
    words: Vec<u64>,
}

impl Bitset {
    /// An empty set with room for `len` members.
    pub(crate) fn with_len(len: usize) -> Bitset {
        Bitset { words: vec![0; len.div_ceil(64)] }
    }

    /// The words, lowest members first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Adds or removes a member.
    pub(crate) fn assign(&mut self, member: usize, present: bool) {
        if present { self.insert(member) } else { self.remove(member) }
    }

    /// Adds a member.
    pub(crate) fn insert(&mut self, member: usize) {
        if member / 64 >= self.words.len() {
            self.words.resize(member / 64 + 1, 0);
        }
        self.words[member / 64] |= 1 << (member % 64);
    }

    /// Removes a member.
    pub(crate) fn remove(&mut self, member: usize) {
        if let Some(word) = self.words.get_mut(member / 64) {
            *word &= !(1 << (member % 64));
        }
    }

    /// Whether something is a member.
    pub(crate) fn contains(&self, member: usize) -> bool {
        self.words.get(member / 64).is_some_and(|word| word >> (member % 64) & 1 == 1)
    }

    /// The word with this index; zero beyond the end.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }
}

/// The members of a word, lowest first.
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}

/// The members of words, lowest first.
pub(crate) fn members(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(index, &word)| ones(word).map(move |bit| index * 64 + bit))
}

/// How many members words have.
pub(crate) fn count(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// The position of the `k`-th set bit of a word, counted from zero.
pub(crate) fn select(mut word: u64, k: usize) -> usize {
    for _ in 0..k {
        word &= word - 1;
    }
    word.trailing_zeros() as usize
}

/// The `k`-th member of words, counted from zero.
pub(crate) fn nth(words: &[u64], mut k: usize) -> Option<usize> {
    for (index, &word) in words.iter().enumerate() {
        let here = word.count_ones() as usize;
        if k < here {
            return Some(index * 64 + select(word, k));
        }
        k -= here;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_rank() {
        let mut set = Bitset::with_len(10);
        let all = [0, 5, 63, 64, 130, 191];
        all.into_iter().for_each(|member| set.insert(member));
        assert_eq!(members(set.words()).collect::<Vec<_>>(), all);
        assert_eq!(count(set.words()), all.len());
        for (rank, member) in all.into_iter().enumerate() {
            assert_eq!(nth(set.words(), rank), Some(member));
        }
        assert_eq!(nth(set.words(), all.len()), None);
        set.remove(64);
        assert!(!set.contains(64) && set.contains(63) && !set.contains(5000));
    }
}
