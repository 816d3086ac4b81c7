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

    /// Adds the members of a word.
    pub(crate) fn insert_word(&mut self, index: usize, word: u64) {
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        self.words[index] |= word;
    }

    /// Takes over from `other` what it says about the members of `of`.
    pub(crate) fn replace(&mut self, of: &Bitset, other: &Bitset) {
        for (index, word) in self.words.iter_mut().enumerate() {
            *word = *word & !of.word(index) | other.word(index) & of.word(index);
        }
    }

    /// The word with this index; zero beyond the end.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }
}

/// The members of a word, lowest first.
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = usize> + Clone {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}

/// The members of words, lowest first.
pub(crate) fn members(words: &[u64]) -> impl Iterator<Item = usize> + Clone + '_ {
    words.iter().enumerate().flat_map(|(index, &word)| ones(word).map(move |bit| index * 64 + bit))
}

/// How many members words have.
///
/// Portable binaries have no instruction for it, so sums of bytes are carried over several words.
pub(crate) fn count(words: &[u64]) -> usize {
    let in_bytes = |word: u64| {
        let pairs = word - (word >> 1 & 0x5555_5555_5555_5555);
        let nibbles = (pairs & 0x3333_3333_3333_3333) + (pairs >> 2 & 0x3333_3333_3333_3333);
        (nibbles + (nibbles >> 4)) & 0x0F0F_0F0F_0F0F_0F0F
    };
    let sum = |bytes: u64| {
        // Pairs of bytes first: a byte may hold up to 248.
        let pairs = (bytes & 0x00FF_00FF_00FF_00FF) + (bytes >> 8 & 0x00FF_00FF_00FF_00FF);
        (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize
    };
    words.chunks(CHUNK).map(|words| sum(words.iter().map(|&word| in_bytes(word)).sum())).sum()
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
    for (chunk, words) in words.chunks(CHUNK).enumerate() {
        let here = count(words);
        if k >= here {
            k -= here;
            continue;
        }
        for (index, &word) in words.iter().enumerate() {
            let here = word.count_ones() as usize;
            if k < here {
                return Some((chunk * CHUNK + index) * 64 + select(word, k));
            }
            k -= here;
        }
    }
    None
}

/// So many words are counted at once: as many as sums of bytes can hold.
const CHUNK: usize = 31;

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
        let full = vec![u64::MAX; 100];
        assert_eq!(count(&full), 6_400);
        assert_eq!([0, 1_983, 1_984, 6_399].map(|k| nth(&full, k)), [0, 1_983, 1_984, 6_399].map(Some));
        set.remove(64);
        assert!(!set.contains(64) && set.contains(63) && !set.contains(5000));
    }
}
