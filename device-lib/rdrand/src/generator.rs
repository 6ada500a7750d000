//! ChaCha20 over seeds that come from elsewhere, with a new key after every request.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::processor::Failed;

/// Where seeds come from.
pub trait Words {
    /// A word for a seed, as good as the source has them.
    ///
    /// # Errors
    /// [`Failed`].
    fn seed_word(&mut self) -> Result<u64, Failed>;

    /// A word that is quickly had, to tell copies of one state apart.
    ///
    /// # Errors
    /// [`Failed`].
    fn quick_word(&mut self) -> Result<u64, Failed>;
}

/// After how many bytes of output the whole key is mixed with fresh words.
const RESEED_AFTER: u64 = 1 << 20;

/// The longest output under one key; longer requests change it on the way. Far below
/// the 2⁶⁴ blocks of the cipher's counter.
const CHUNK: usize = 1 << 16;

/// A generator of random bytes.
pub struct Generator<W> {
    words: W,
    key: [u8; 32],
    since_seed: u64,
}

impl<W: Words> Generator<W> {
    /// A generator with a fresh key from `words`.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn new(words: W) -> Result<Self, Failed> {
        let mut generator = Generator { words, key: [0; 32], since_seed: 0 };
        generator.reseed()?;
        Ok(generator)
    }

    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`Failed`] when the source did; `bytes` must not be used then.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Failed> {
        for chunk in bytes.chunks_mut(CHUNK) {
            if self.since_seed >= RESEED_AFTER {
                self.reseed()?;
            }
            let fresh = self.words.quick_word()?;
            mix(&mut self.key[..8], fresh);
            let mut cipher = ChaCha20Rng::from_seed(self.key);
            // The first bytes are the next key, and never given out.
            cipher.fill_bytes(&mut self.key);
            cipher.fill_bytes(chunk);
            self.since_seed += chunk.len() as u64;
        }
        Ok(())
    }

    fn reseed(&mut self) -> Result<(), Failed> {
        for part in self.key.chunks_exact_mut(8) {
            // Two words each: RDRAND's own generator may give several words for one seed.
            let word = self.words.seed_word()? ^ self.words.seed_word()?.rotate_left(32);
            mix(part, word);
        }
        self.since_seed = 0;
        Ok(())
    }
}

fn mix(part: &mut [u8], word: u64) {
    for (byte, fresh) in part.iter_mut().zip(word.to_le_bytes()) {
        *byte ^= fresh;
    }
}

/// Without the key.
impl<W> core::fmt::Debug for Generator<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts; fails after some words.
    struct Counter {
        next: u64,
        until: u64,
        quick: u64,
    }

    impl Words for Counter {
        fn seed_word(&mut self) -> Result<u64, Failed> {
            self.next += 1;
            if self.next > self.until { Err(Failed) } else { Ok(self.next) }
        }

        fn quick_word(&mut self) -> Result<u64, Failed> {
            Ok(self.quick)
        }
    }

    fn counter(until: u64, quick: u64) -> Counter {
        Counter { next: 0, until, quick }
    }

    #[test]
    fn copies_of_one_state_go_different_ways() {
        let bytes = |quick| {
            let mut bytes = [0; 32];
            Generator::new(counter(8, quick)).expect("a seed").fill(&mut bytes).expect("bytes");
            bytes
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn the_key_changes_with_each_request() {
        let mut generator = Generator::new(counter(8, 0)).expect("a seed");
        let before = generator.key;
        let (mut one, mut other) = ([0; 32], [0; 32]);
        generator.fill(&mut one).expect("bytes");
        generator.fill(&mut other).expect("bytes");
        assert!(generator.key != before && generator.key != one && one != other);
    }

    #[test]
    fn a_source_that_fails_gives_no_bytes() {
        assert!(Generator::new(counter(7, 0)).is_err());
        let mut generator = Generator::new(counter(8, 0)).expect("a seed");
        let mut bytes = [0; 4096];
        let filled = (0..).take_while(|_| generator.fill(&mut bytes).is_ok()).count();
        assert_eq!(filled as u64, RESEED_AFTER / 4096);
        assert_eq!(generator.fill(&mut bytes), Err(Failed));
    }
}
