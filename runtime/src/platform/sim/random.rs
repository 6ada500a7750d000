//! Numbers that look random and follow from a seed.

/// A generator of numbers that follow from its seed alone (SplitMix64; Steele, Lea and Flood,
/// "Fast Splittable Pseudorandom Number Generators", 2014). Anyone can guess them: for
/// simulations.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The generator of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// A generator of its own for `purpose`. What is drawn from one doesn't change what others
    /// give: so a change in one place of a simulation leaves the dice of the others alone.
    #[must_use]
    pub fn fork(&self, purpose: &str) -> Random {
        let mut child = Random { state: self.state ^ STEP.rotate_left(17) };
        for byte in purpose.bytes() {
            child.state ^= u64::from(byte);
            child.state = child.word();
        }
        child
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from `low` to `high`, both included; `low` where `high` is less.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.saturating_sub(low) {
            u64::MAX => self.word(),
            // The bias of a remainder is far below what a simulation could show.
            span => low + self.word() % (span + 1),
        }
    }

    /// Whether something with this probability happens, in parts of a million.
    pub fn happens(&mut self, parts_per_million: u32) -> bool {
        parts_per_million > 0 && self.word() % 1_000_000 < u64::from(parts_per_million)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_from_the_seed() {
        // The first numbers of the published generator for seed 0.
        let mut random = Random::new(0);
        assert_eq!([random.word(), random.word()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        let (mut one, mut other) = (Random::new(7).fork("a"), Random::new(7).fork("b"));
        assert_ne!(one.word(), other.word());
        assert_eq!(one.word(), {
            let mut again = Random::new(7).fork("a");
            again.word();
            again.word()
        });
    }

    #[test]
    fn stays_in_its_range() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| (3..=5).contains(&random.between(3, 5))));
        assert_eq!(random.between(5, 3), 5);
        random.between(0, u64::MAX);
        let hits = (0..10_000).filter(|_| random.happens(100_000)).count();
        assert!((800..1200).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !random.happens(0)));
    }
}
