//! Named random streams: every draw is a function of (seed, entity, purpose, index).
//!
//! A stream has no hidden state to share: adding an entity or changing a policy never shifts the
//! draws of another one, so two policies can be compared on the same arrivals, failures and
//! latencies (common random numbers). The generator is SplitMix64 (Steele, Lea and Flood 2014) in
//! counter mode, its key whitened by the same finaliser; integer arithmetic only, so equal on
//! every platform.

use crate::symbol::Symbol;

/// The golden-ratio increment of SplitMix64.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64, a bijection on 64-bit words.
pub const fn mix64(word: u64) -> u64 {
    let z = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The entity of something that is known by namespace and name: the 64-bit FNV-1a hash of its name
/// that begins with its namespace's.
pub fn entity_of(namespace: Symbol, name: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    name.bytes().fold(namespace.text_hash(), fold)
}

/// A stream of uniform 64-bit words, addressed by seed, entity and purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
    index: u64,
}

impl Stream {
    /// The stream of `entity` for `purpose` in the run with `seed`, at its first draw.
    pub const fn new(seed: u64, entity: u64, purpose: u64) -> Stream {
        let key = mix64(seed ^ GAMMA);
        let key = mix64(key.wrapping_add(entity.wrapping_mul(GAMMA)));
        let key = mix64(key.wrapping_add(purpose.wrapping_mul(GAMMA)));
        Stream { key, index: 0 }
    }

    /// The next word, uniform over all 64-bit values.
    pub const fn next_u64(&mut self) -> u64 {
        self.index = self.index.wrapping_add(1);
        mix64(self.key.wrapping_add(self.index.wrapping_mul(GAMMA)))
    }

    /// The next integer in `0..bound`, without bias (Lemire 2019, with rejection).
    ///
    /// # Panics
    /// If `bound` is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no members");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = (self.next_u64() as u128) * (bound as u128);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// The next float in the open interval (0, 1): 53 random bits, never 0 and never 1.
    pub const fn open_unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_of_each_other_and_repeatable() {
        let draw = |seed, entity, purpose| {
            let mut stream = Stream::new(seed, entity, purpose);
            [stream.next_u64(), stream.next_u64()]
        };
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(2, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 2, 4));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 2));
    }

    #[test]
    fn bounded_draws_cover_their_range_evenly() {
        let mut stream = Stream::new(7, 0, 0);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (9_600..10_400).contains(&count)), "{counts:?}");
    }

    #[test]
    fn unit_draws_stay_inside_the_open_interval() {
        let mut stream = Stream::new(7, 0, 1);
        assert!((0..10_000).all(|_| {
            let u = stream.open_unit();
            u > 0.0 && u < 1.0
        }));
    }
}
